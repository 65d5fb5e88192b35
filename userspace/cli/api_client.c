// SPDX-License-Identifier: Apache-2.0
#include "api_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <curl/curl.h>

#include "../base/cleanup.h"
#include "../core/file_io.h"

#define ANSWER_MAX (256u << 20)
#define TOKEN_MAX 4096
#define CONNECT_S 10L
#define ANSWER_S 180L

static bool is_of_this_machine(const char *host)
{
	static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i]);

		const char *end = host + n;

		if (strncmp(host, names[i], n))
			continue;
		/* A port and nothing else: what stands before an @ is no host. */
		if (*end == ':')
			end += 1 + strspn(end + 1, "0123456789");
		return !*end || *end == '/';
	}
	return false;
}

int api_client_check(const struct api_client *c, struct error_text *err)
{
	if (!c->token_path)
		return error_set(err, -EINVAL, "--token-file must be given with --api");
	if (!strncmp(c->url, "https://", 8) ||
	    (!strncmp(c->url, "http://", 7) && is_of_this_machine(c->url + 7)))
		return 0;
	return error_set(err, -EINVAL,
			 "--api %s: expected such as https://api.example:9465; without TLS a token may only "
			 "go to this machine",
			 c->url);
}

struct answer {
	char *text;
	size_t len, room;
	bool is_too_long;
};

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
	struct answer *a = ctx;
	size_t len = size * n;

	if (a->len + len > ANSWER_MAX) {
		a->is_too_long = true;
		return 0;
	}
	if (a->len + len > a->room) {
		size_t room = 2 * (a->len + len) + 4096;
		char *more = realloc(a->text, room);

		if (!more)
			return 0;
		a->text = more;
		a->room = room;
	}
	memcpy(a->text + a->len, data, len);
	a->len += len;
	return len;
}

static int load_token(const char *path, char header[TOKEN_MAX + 32], struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = om_file_get(AT_FDCWD, path, TOKEN_MAX, &text, &len);

	if (r)
		return error_set(err, -EINVAL, "%s: %s", path, strerror(-r));
	text[strcspn(text, "\r\n")] = '\0';
	if (!*text || strpbrk(text, " \t") || strlen(text) + 1 < len)
		return error_set(err, -EINVAL, "%s: expected one line, the token", path);
	snprintf(header, TOKEN_MAX + 32, "Authorization: Bearer %s", text);
	explicit_bzero(text, len);
	return 0;
}

static void easy_done(CURL **c)
{
	curl_easy_cleanup(*c);
}

static void list_done(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

static void answer_done(struct answer *a)
{
	free(a->text);
}

static int judge_status(long status, const json_t *o, const char *url, struct error_text *err)
{
	const char *detail = json_string_value(json_object_get(o, "detail"));
	int r = status == 401 || status == 403 ? -EACCES : status == 503 ? -EAGAIN : -EIO;

	if (status == 200)
		return json_is_object(o) ? 0
					 : error_set(err, -EIO, "%.200s: what it answers is no JSON", url);
	return error_set(err, r, "%.200s: %ld: %.200s", url, status, detail ?: "no reason is given");
}

static int perform(CURL *curl, const struct api_client *c, const char *url, struct answer *a,
		   struct error_text *err)
{
	char why[CURL_ERROR_SIZE] = "";
	CURLcode code;

	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_S);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
	if (c->ca_path)
		curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca_path);
	code = curl_easy_perform(curl);
	if (a->is_too_long)
		return error_set(err, -EIO, "%.200s: its answer has more than %u MiB", url, ANSWER_MAX >> 20);
	return code ? error_set(err, -EIO, "%.200s: %.200s", url, *why ? why : curl_easy_strerror(code)) : 0;
}

int api_client_get(const struct api_client *c, const char *target, json_t **ret, struct error_text *err)
{
	_cleanup_(easy_done) CURL *curl = curl_easy_init();
	_cleanup_(list_done) struct curl_slist *headers = NULL;
	_cleanup_(answer_done) struct answer a = { 0 };
	_cleanup_(json_decrefp) json_t *o = NULL;
	_cleanup_free_ char *url = NULL;
	char header[TOKEN_MAX + 32];
	size_t n = strlen(c->url);
	long status = 0;
	int r = load_token(c->token_path, header, err);

	if (r)
		return r;
	headers = curl_slist_append(NULL, header);
	explicit_bzero(header, sizeof(header));
	if (!curl || !headers ||
	    asprintf(&url, "%.*s%s", (int)(n - (c->url[n - 1] == '/')), c->url, target) < 0)
		return -ENOMEM;
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	r = perform(curl, c, url, &a, err);
	if (r)
		return r;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	o = a.text ? json_loadb(a.text, a.len, 0, NULL) : NULL;
	r = judge_status(status, o, url, err);
	if (r == 0)
		*ret = TAKE_PTR(o);
	return r;
}

char *api_client_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, (int)strlen(text));
	char *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

static int take_page(const json_t *page, const char *key, int (*fn)(void *ctx, const json_t *item), void *ctx)
{
	const json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(page, key), i, item)
	{
		r = fn(ctx, item);
		if (r)
			break;
	}
	return r;
}

int api_client_pages(const struct api_client *c, const char *target, const char *key,
		     int (*fn)(void *ctx, const json_t *item), void *ctx, bool *ret_one,
		     struct error_text *err)
{
	_cleanup_free_ char *cursor = NULL, *view = NULL;
	bool is_one = true;
	int r;

	do {
		_cleanup_(json_decrefp) json_t *page = NULL;
		_cleanup_free_ char *at = NULL;
		const char *next, *now;

		if (asprintf(&at, "%s%s%s", target, cursor ? "&cursor=" : "", cursor ?: "") < 0)
			return -ENOMEM;
		r = api_client_get(c, at, &page, err);
		r = r ?: take_page(page, key, fn, ctx);
		now = json_string_value(json_object_get(json_object_get(page, "as_of"), "view")) ?: "";
		is_one = is_one && (!view || !strcmp(view, now));
		next = json_string_value(json_object_get(page, "next"));
		free(view);
		free(cursor);
		view = strdup(now);
		cursor = next ? strdup(next) : NULL;
	} while (r == 0 && cursor);
	if (ret_one)
		*ret_one = is_one;
	return r;
}
