/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_API_QUERY_H
#define OPMETER_FLEET_API_QUERY_H

/*
 * The target of an HTTP request: a path and a query, as a hostile client sends them. Strict,
 * so that a target means one thing or nothing. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_TARGET_MAX 4096 /* bytes of the whole target */
#define API_SEGMENTS_MAX 8
#define API_PARAMS_MAX 16

struct api_query {
	/* Percent-decoded, valid UTF-8 without control characters, never empty; point into `text`. */
	const char *segment[API_SEGMENTS_MAX];
	size_t segments;
	struct {
		const char *name, *value; /* decoded likewise; the value may be empty */
	} param[API_PARAMS_MAX];
	size_t params;
	char text[API_TARGET_MAX + 2];
};

/*
 * "/v1/totals?tenant=acme". 0; -E2BIG: too long or too many parts; -EBADMSG with *ret_why, a
 * sentence: not absolute, an empty segment, a byte that must be encoded, a broken encoding, no UTF-8, a
 * control character, a parameter twice. "+" is a blank in the query and itself in the path.
 */
int api_query_parse(const char *target, size_t len, struct api_query *ret, const char **ret_why);
/* NULL: it is not there. */
const char *api_query_get(const struct api_query *q, const char *name);
/* The first parameter that is none of `known`, which NULL ends; NULL: all are. */
const char *api_query_unknown(const struct api_query *q, const char *const *known);

/*
 * A cursor is where a page ended: up to three names, opaque to clients. Decoding gives names
 * that point into buf. -EBADMSG: no cursor of ours.
 */
#define API_CURSOR_NAMES 3
#define API_CURSOR_MAX 2048
int api_cursor_encode(const char *const names[API_CURSOR_NAMES], char out[API_CURSOR_MAX]); /* 0; -E2BIG */
int api_cursor_decode(const char *text, const char *names[API_CURSOR_NAMES], char buf[API_CURSOR_MAX]);

#endif
