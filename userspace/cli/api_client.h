/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_API_CLIENT_H
#define OPMETER_CLI_API_CLIENT_H

/* Asks an instance of `opmeter api serve` (docs/api.md). */

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "../base/log.h"

/* As options have it; loans. */
struct api_client {
	const char *url;	/* https://api.example:9465; http:// only to this machine */
	const char *token_path; /* a file that has the token and nothing else */
	const char *ca_path;	/* PEM; NULL: those that the machine trusts */
};
/* The options of every verb that may ask: name, metavar, target and help, for a table of options. */
#define API_CLIENT_OPTIONS(c)                                                                                \
	{ "api", "URL", OPTION_STRING, &(c).url,                                                             \
	  "ask a server of the fleet's, https://api.example:9465 (none)" },                                  \
		{ "token-file", "FILE", OPTION_STRING, &(c).token_path, "the token to ask it with (none)" }, \
	{                                                                                                    \
		"ca", "FILE", OPTION_STRING, &(c).ca_path,                                                   \
			"who signs its certificate, PEM (those that this machine trusts)"                    \
	}

/* 0; -EINVAL with *err: URL, token or CA cannot be used. */
int api_client_check(const struct api_client *c, struct error_text *err);
/* One name or value of a query, percent-encoded, malloc'ed; NULL: out of memory. */
char *api_client_escape(const char *text);
/* One answer, *ret a new reference. -EACCES: it refuses; -EAGAIN: it has no figures yet; -EIO, each with
 * *err. */
int api_client_get(const struct api_client *c, const char *target, json_t **ret, struct error_text *err);
/* All pages of a target that has a query: each item of the array `key` as a loan. *ret_one: all pages are of
 * one state of the totals; NULL: not asked. fn returns 0 to go on. */
int api_client_pages(const struct api_client *c, const char *target, const char *key,
		     int (*fn)(void *ctx, const json_t *item), void *ctx, bool *ret_one,
		     struct error_text *err);

#endif
