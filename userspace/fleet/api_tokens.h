/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_API_TOKENS_H
#define OPMETER_FLEET_API_TOKENS_H

/*
 * Who may ask what. A file has a line for each token: a name, a scope, and the SHA-256 of the
 * token in hexadecimal; `#` begins a comment. A token is 32 random bytes, so a plain hash is
 * enough: nobody guesses it. Scopes: `all`, `metrics`, `tenants=a,b`.
 */

#include <stdbool.h>
#include <stddef.h>

#include "../base/log.h"

#define API_TOKENS_MAX 1000
#define API_TOKEN_STRLEN 48 /* "opm_", 43 characters, NUL */
#define API_TOKEN_TENANTS_MAX 1000
#define API_TOKEN_NAME_STRLEN 65

struct api_tokens;
struct api_token;

/* 0; -EINVAL with *err naming the line; -errno. No token at all is an error: nobody could ask anything. */
int api_tokens_load(const char *path, struct api_tokens **ret, struct error_text *err);
/* The same from text; `path` is for *err. */
int api_tokens_parse(const char *text, size_t len, const char *path, struct api_tokens **ret,
		     struct error_text *err);
struct api_tokens *api_tokens_free(struct api_tokens *t);
size_t api_tokens_count(const struct api_tokens *t);

/* Whose token it is; NULL: nobody's. Takes the same time for every text of one length. The result is a loan.
 */
const struct api_token *api_tokens_find(const struct api_tokens *t, const char *text);
const char *api_token_name(const struct api_token *t);
bool api_token_may_all(const struct api_token *t);     /* what is of no tenant, or of several */
bool api_token_may_metrics(const struct api_token *t); /* with scope `all`, too */
bool api_token_may_tenant(const struct api_token *t, const char *tenant);
/* Of a token for some tenants: their names, which NULL ends; NULL: it has no such list. */
const char *const *api_token_tenants(const struct api_token *t);

/* A new token for a person or program, and the line that goes into the file (malloc'ed, the caller frees).
 * -EINVAL with *err: name or scope cannot be. */
int api_token_make(const char *name, const char *scope, char ret_token[API_TOKEN_STRLEN], char **ret_line,
		   struct error_text *err);
/* Whether a file would still be read with this line more; one without any token is in order. */
int api_tokens_check(const char *path, const char *line, struct error_text *err);

#endif
