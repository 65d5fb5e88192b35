/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_JSON_STREAM_H
#define OPMETER_BASE_JSON_STREAM_H

/*
 * JSON as a stream of tokens, for files that are larger than memory should hold.
 * Plain or gzip. Takes what profilers write: trailing commas, bare NaN and
 * Infinity, backslashes that escape nothing.
 *
 * Bounds: depth 64, a string 1 MiB. Text of a token is a loan until the next.
 */

#include <stddef.h>
#include <stdint.h>

#include "log.h"

enum json_token {
	JSON_TOKEN_END, /* of the file, after one whole value */
	JSON_TOKEN_OBJECT,
	JSON_TOKEN_OBJECT_END,
	JSON_TOKEN_ARRAY,
	JSON_TOKEN_ARRAY_END,
	JSON_TOKEN_KEY,
	JSON_TOKEN_TEXT,
	JSON_TOKEN_NUMBER, /* its text; NaN and Infinity come as "0" */
	JSON_TOKEN_TRUE,
	JSON_TOKEN_FALSE,
	JSON_TOKEN_NULL,
};

struct json_stream;

int json_stream_open(const char *path, struct json_stream **ret, struct error_text *err);
/* text is a loan; for tests and fuzzing. */
int json_stream_memory(const void *text, size_t len, struct json_stream **ret);
struct json_stream *json_stream_free(struct json_stream *s);
static inline void json_stream_freep(struct json_stream **s)
{
	*s = json_stream_free(*s);
}

/* 0, or -EBADMSG with "FILE: byte N: what" in *err. */
int json_stream_next(struct json_stream *s, enum json_token *ret, struct error_text *err);
const char *json_stream_text(const struct json_stream *s);
/* After OBJECT or ARRAY: passes over it to its end. */
int json_stream_skip(struct json_stream *s, struct error_text *err);
uint64_t json_stream_offset(const struct json_stream *s); /* uncompressed bytes */

#endif
