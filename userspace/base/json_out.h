/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_JSON_OUT_H
#define OPMETER_BASE_JSON_OUT_H

/*
 * JSON written straight into one buffer, compact, in the order of the calls: no tree, one
 * allocation for many records. The first error is remembered and told at the end.
 *
 * Text is escaped as jansson does it (RFC 8259: quotes, backslashes, control characters), so that
 * what is written here and there is the same to the byte. Bytes that are no UTF-8 become U+FFFD.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "opcount.h"

struct json_out {
	char *text; /* malloc'ed */
	size_t len, room;
	bool failed; /* out of memory */
};

void json_out_free(struct json_out *o);
/* Begins anew, in the same memory. */
void json_out_reset(struct json_out *o);
/* What was written, ended by a zero: a loan until the next call. NULL: out of memory. */
const char *json_out_text(struct json_out *o);
/* The same, given away: the caller frees it. The buffer is empty afterwards. */
char *json_out_take(struct json_out *o);

/* open is '{' or '[', close its counterpart. */
void json_out_open(struct json_out *o, char open);
void json_out_close(struct json_out *o, char close);
/* A member's name: ASCII without anything to escape. Its value is the next call. */
void json_out_key(struct json_out *o, const char *key);

/* Values: behind a key, or elements of an array. */
void json_out_string(struct json_out *o, const char *value);
void json_out_count(struct json_out *o, opcount v); /* decimal text: in quotes */
void json_out_number(struct json_out *o, int64_t v);
void json_out_real(struct json_out *o, double v); /* finite; 17 digits, as jansson writes it */
void json_out_bool(struct json_out *o, bool v);
void json_out_null(struct json_out *o);
/* One value that is compact JSON already. */
void json_out_raw(struct json_out *o, const char *json, size_t len);

static inline void json_out_member(struct json_out *o, const char *key, const char *value)
{
	json_out_key(o, key);
	json_out_string(o, value);
}

#endif
