/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_TEXT_H
#define OPMETER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Names that tenants chose (cgroups, files) as text that can stand in JSON, in a
 * log line and on a terminal: UTF-8 as it is; control characters, backslashes
 * and bytes that are no UTF-8 as \xNN. Cut at the end of the buffer, between
 * characters. Returns out.
 */
const char *text_escape(const char *in, char *out, size_t size);

/* RFC 3629: no overlong forms, no surrogates. */
bool text_is_utf8(const char *text);
/* Bytes of the character at s, not the terminating zero; 0: it is none. */
size_t text_character(const char *s);

/*
 * "HOST:PORT" or "[HOST]:PORT" apart: the host without brackets into the buffer, the port, at most seven
 * bytes, a loan of s. -EINVAL: it is neither, or the host does not fit.
 */
int text_split_address(const char *s, char *host, size_t size, const char **ret_port);

/* Bytes that are put in, left out or changed to make b of a; 80 where one is longer than that and they
 * differ.
 */
size_t text_distance(const char *a, const char *b);

/* Whether len bytes, at least one, are all of A-Z a-z 0-9 . _ - */
bool text_is_name(const char *s, size_t len);

/* A sentence put together in a buffer of at least one byte; what does not fit is cut between characters. */
struct text_out {
	char *buf;
	size_t size, len;
};
#define TEXT_OUT(array)                                                                                      \
	{                                                                                                    \
		.buf = (array), .size = sizeof(array)                                                        \
	}
void text_add(struct text_out *t, const char *text);
void text_add_cut(struct text_out *t, const char *text, size_t max); /* at most max bytes of it */
/* The same, cut between words where there is a space, with "..." in place of what is left out. */
void text_add_words(struct text_out *t, const char *text, size_t max);

#endif
