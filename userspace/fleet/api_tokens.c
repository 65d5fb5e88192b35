// SPDX-License-Identifier: Apache-2.0
#include "api_tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "../core/file_io.h"

#define NAME_LEN_MAX (API_TOKEN_NAME_STRLEN - 1)
#define FILE_SIZE_MAX (4 << 20)
#define PREFIX "opm_"
#define HASH_SIZE crypto_hash_sha256_BYTES
#define TENANTS "tenants="

struct api_token {
	char name[NAME_LEN_MAX + 1];
	bool is_all, is_metrics;
	char *text;	     /* what `tenant` points into */
	const char **tenant; /* NULL ends it */
	unsigned char hash[HASH_SIZE];
};

struct api_tokens {
	struct api_token *item;
	size_t count;
};

struct api_tokens *api_tokens_free(struct api_tokens *t)
{
	for (size_t i = 0; t && i < t->count; i++) {
		free(t->item[i].text);
		free(t->item[i].tenant);
	}
	if (t)
		free(t->item);
	free(t);
	return NULL;
}

static void tokens_freep(struct api_tokens **t)
{
	*t = api_tokens_free(*t);
}

size_t api_tokens_count(const struct api_tokens *t)
{
	return t->count;
}

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len <= NAME_LEN_MAX && text_is_name(s, len);
}

static int take_tenants(struct api_token *t, const char *list)
{
	size_t count = 1;
	char *save = NULL;

	for (const char *c = list; *c; c++)
		count += *c == ',';
	if (count > API_TOKEN_TENANTS_MAX)
		return -EINVAL;
	t->text = strdup(list);
	t->tenant = calloc(count + 1, sizeof(*t->tenant));
	if (!t->text || !t->tenant)
		return -ENOMEM;
	count = 0;
	for (char *one = strtok_r(t->text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		if (!is_name(one))
			return -EINVAL;
		t->tenant[count++] = one;
	}
	return count ? 0 : -EINVAL;
}

static int take_scope(struct api_token *t, const char *scope)
{
	if (!strcmp(scope, "all"))
		t->is_all = t->is_metrics = true;
	else if (!strcmp(scope, "metrics"))
		t->is_metrics = true;
	else if (!strncmp(scope, TENANTS, sizeof(TENANTS) - 1))
		return take_tenants(t, scope + sizeof(TENANTS) - 1);
	else
		return -EINVAL;
	return 0;
}

static int take_line(struct api_tokens *all, char *line, const char *path, size_t number,
		     struct error_text *err)
{
	static const char *const blank = " \t\r";
	char *save = NULL, *name = strtok_r(line, blank, &save), *scope, *hash;
	struct api_token *t = &all->item[all->count];
	size_t len;
	int r;

	if (!name)
		return 0;
	scope = strtok_r(NULL, blank, &save);
	hash = scope ? strtok_r(NULL, blank, &save) : NULL;
	if (!hash || strtok_r(NULL, blank, &save))
		return error_set(err, -EINVAL, "%s:%zu: expected a name, a scope and a hash", path, number);
	if (all->count == API_TOKENS_MAX)
		return error_set(err, -EINVAL, "%s:%zu: more than %d tokens", path, number, API_TOKENS_MAX);
	if (!is_name(name))
		return error_set(err, -EINVAL, "%s:%zu: a name has letters, digits and . _ -, at most %d",
				 path, number, NAME_LEN_MAX);
	if (strlen(hash) != 2 * HASH_SIZE ||
	    sodium_hex2bin(t->hash, HASH_SIZE, hash, strlen(hash), NULL, &len, NULL) || len != HASH_SIZE)
		return error_set(err, -EINVAL, "%s:%zu: the hash is not 64 hexadecimal digits", path, number);
	for (size_t i = 0; i < all->count; i++)
		if (!strcmp(all->item[i].name, name) || !memcmp(all->item[i].hash, t->hash, HASH_SIZE))
			return error_set(err, -EINVAL, "%s:%zu: the name or the token is there already", path,
					 number);
	snprintf(t->name, sizeof(t->name), "%s", name);
	all->count++; /* from here on it is freed with the others */
	r = take_scope(t, scope);
	return r == -EINVAL ? error_set(err, r, "%s:%zu: a scope is all, metrics or tenants=NAME,...", path,
					number)
			    : r;
}

int api_tokens_parse(const char *text, size_t len, const char *path, struct api_tokens **ret,
		     struct error_text *err)
{
	_cleanup_(tokens_freep) struct api_tokens *t = calloc(1, sizeof(*t));
	_cleanup_free_ char *copy = strndup(text, len);
	char *line = copy, *next;
	int r = 0;

	if (!t || !copy)
		return -ENOMEM;
	t->item = calloc(API_TOKENS_MAX + 1, sizeof(*t->item));
	if (!t->item)
		return -ENOMEM;
	if (strlen(copy) != len)
		return error_set(err, -EINVAL, "%s: a zero byte in it", path);
	for (size_t number = 1; r == 0 && line; number++, line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line[strcspn(line, "#")] = '\0';
		r = take_line(t, line, path, number, err);
	}
	if (r)
		return r;
	if (t->count == 0)
		return error_set(err, -EINVAL, "%s: no token in it: `opmeter api token` makes one", path);
	*ret = TAKE_PTR(t);
	return 0;
}

int api_tokens_load(const char *path, struct api_tokens **ret, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = om_file_get(AT_FDCWD, path, FILE_SIZE_MAX, &text, &len);

	if (r)
		return error_set(err, r, "%s: %s", path, strerror(-r));
	return api_tokens_parse(text, len, path, ret, err);
}

int api_tokens_check(const char *path, const char *line, struct error_text *err)
{
	_cleanup_free_ char *text = NULL, *both = NULL;
	_cleanup_(tokens_freep) struct api_tokens *t = NULL;
	size_t len;
	int r = om_file_get(AT_FDCWD, path, FILE_SIZE_MAX, &text, &len);

	if (r)
		return error_set(err, r, "%s: %s", path, strerror(-r));
	if (len && text[len - 1] != '\n')
		return error_set(err, -EINVAL, "%s: its last line has no end", path);
	if (asprintf(&both, "%s%s", text, line) < 0)
		return -ENOMEM;
	return api_tokens_parse(both, strlen(both), path, &t, err);
}

/* Every token is compared, in constant time each: neither the place of one in the file nor how much of a hash
 * agrees shows in the time. */
const struct api_token *api_tokens_find(const struct api_tokens *t, const char *text)
{
	unsigned char hash[HASH_SIZE];
	const struct api_token *found = NULL;

	crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
	for (size_t i = 0; i < t->count; i++)
		if (sodium_memcmp(hash, t->item[i].hash, HASH_SIZE) == 0)
			found = &t->item[i];
	return found;
}

const char *api_token_name(const struct api_token *t)
{
	return t->name;
}

bool api_token_may_all(const struct api_token *t)
{
	return t->is_all;
}

bool api_token_may_metrics(const struct api_token *t)
{
	return t->is_metrics;
}

bool api_token_may_tenant(const struct api_token *t, const char *tenant)
{
	if (t->is_all)
		return true;
	for (const char **one = t->tenant; one && *one; one++)
		if (!strcmp(*one, tenant))
			return true;
	return false;
}

const char *const *api_token_tenants(const struct api_token *t)
{
	return t->is_all ? NULL : t->tenant;
}

int api_token_make(const char *name, const char *scope, char ret_token[API_TOKEN_STRLEN], char **ret_line,
		   struct error_text *err)
{
	unsigned char secret[32], hash[HASH_SIZE];
	char digits[2 * HASH_SIZE + 1];
	struct api_tokens *check = NULL;
	_cleanup_free_ char *line = NULL;
	int r;

	if (sodium_init() < 0)
		return error_set(err, -EIO, "no random numbers here");
	randombytes_buf(secret, sizeof(secret));
	memcpy(ret_token, PREFIX, sizeof(PREFIX));
	sodium_bin2base64(ret_token + sizeof(PREFIX) - 1, API_TOKEN_STRLEN - (sizeof(PREFIX) - 1), secret,
			  sizeof(secret), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(secret, sizeof(secret));
	crypto_hash_sha256(hash, (const unsigned char *)ret_token, strlen(ret_token));
	sodium_bin2hex(digits, sizeof(digits), hash, sizeof(hash));
	if (asprintf(&line, "%s %s %s\n", name, scope, digits) < 0)
		return -ENOMEM;
	/* What the file's reader would refuse is refused here. */
	r = api_tokens_parse(line, strlen(line), "token", &check, err);
	api_tokens_free(check);
	if (r == 0)
		*ret_line = TAKE_PTR(line);
	return r;
}
