// SPDX-License-Identifier: Apache-2.0
/*
 * One GET, by libcurl, in a process that does nothing else. The token's file is read for
 * each: a rotated one counts at once. Nothing is followed, nothing compressed is taken,
 * no proxy of the environment sees the token, and the body has a bound.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <curl/curl.h>

#include "../base/cleanup.h"
#include "resolve_internal.h"

#define TOKEN_MAX 16384
#define CONNECT_S 5L
#define TOTAL_S 20L

struct writing {
	struct resolve_body *body;
	size_t room;
	bool is_too_large;
};

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
	struct writing *w = ctx;
	size_t len = size * n, room = w->room ?: 65536;
	char *bigger;

	if (w->body->len + len > RESOLVE_BODY_MAX) {
		w->is_too_large = true;
		return 0;
	}
	while (room < w->body->len + len + 1)
		room *= 2;
	if (room != w->room) {
		bigger = realloc(w->body->data, room);
		if (!bigger)
			return 0;
		w->body->data = bigger;
		w->room = room;
	}
	memcpy(w->body->data + w->body->len, data, len);
	w->body->len += len;
	w->body->data[w->body->len] = '\0';
	return len;
}

/* "Authorization: Bearer TOKEN"; a token with a line break would be two headers. */
static int read_token(const char *path, char *ret, size_t size, struct error_text *err)
{
	static const char head[] = "Authorization: Bearer ";
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return error_set(err, -errno, "%s: the token cannot be read: %m", path);
	strcpy(ret, head);
	n = fread(ret + sizeof(head) - 1, 1, size - sizeof(head), f) + sizeof(head) - 1;
	while (n && strchr(" \t\r\n", ret[n - 1]))
		n--;
	ret[n] = '\0';
	if (n <= sizeof(head) - 1 || strlen(ret) != n || strpbrk(ret, "\r\n"))
		return error_set(err, -EINVAL, "%s: no token in it", path);
	return 0;
}

static void slistp(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

static void easyp(CURL **c)
{
	curl_easy_cleanup(*c);
}

static int add_header(struct curl_slist **l, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*l, text);

	if (!longer)
		return -ENOMEM;
	*l = longer;
	return 0;
}

static int make_headers(const struct resolve_http *h, struct curl_slist **ret, struct error_text *err)
{
	char token[TOKEN_MAX];
	int r = add_header(ret, h->accept ?: "Accept: application/json");

	if (r || !h->token_path)
		return r;
	r = read_token(h->token_path, token, sizeof(token), err);
	r = r ?: add_header(ret, token);
	explicit_bzero(token, sizeof(token));
	return r;
}

static void set_options(CURL *c, const struct resolve_http *h, const struct curl_slist *headers,
			struct writing *w)
{
	curl_easy_setopt(c, CURLOPT_URL, h->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, TOTAL_S);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "opmeter/" OPMETER_VERSION);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, w);
	if (h->ca_path)
		curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_path);
	if (h->unix_socket)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, h->unix_socket);
}

static enum resolve_end judge_status(const struct resolve_http *h, long status, struct error_text *err)
{
	if (status == 200 || status == 404)
		return RESOLVE_ANSWERED;
	error_set(err, 0, "%.200s: HTTP %ld%s", h->url, status,
		  status == 401	  ? ": the token is not taken"
		  : status == 403 ? ": not permitted; docs/identity.md has the rights that are needed"
				  : "");
	return status == 401 || status == 403 ? RESOLVE_REFUSED : RESOLVE_UNREACHABLE;
}

enum resolve_end resolve_http_get(const struct resolve_http *h, struct resolve_body *ret,
				  struct error_text *err)
{
	_cleanup_(slistp) struct curl_slist *headers = NULL;
	_cleanup_(easyp) CURL *c = curl_easy_init();
	struct writing w = { .body = ret };
	CURLcode rc;

	*ret = (struct resolve_body){ 0 };
	if (!c || make_headers(h, &headers, err)) {
		error_set(err, 0, "out of memory");
		return RESOLVE_UNREACHABLE;
	}
	set_options(c, h, headers, &w);
	rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &ret->status);
	if (w.is_too_large) {
		error_set(err, 0, "%.200s: an answer of over %u MiB", h->url, RESOLVE_BODY_MAX >> 20);
		return RESOLVE_TOO_LARGE;
	}
	if (rc == CURLE_OPERATION_TIMEDOUT) {
		error_set(err, 0, "%.200s: no answer within %ld s", h->url, TOTAL_S);
		return RESOLVE_TIMEOUT;
	}
	if (rc) {
		error_set(err, 0, "%.200s: %s", h->url, curl_easy_strerror(rc));
		return RESOLVE_UNREACHABLE;
	}
	if (!ret->data && !(ret->data = calloc(1, 1))) {
		error_set(err, 0, "out of memory");
		return RESOLVE_UNREACHABLE;
	}
	return judge_status(h, ret->status, err);
}
