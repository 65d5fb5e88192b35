/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_CSV_H
#define OPMETER_BASE_CSV_H

/*
 * CSV after RFC 4180 as a stream of rows, in constant memory. Line ends may be
 * LF, CR LF or CR, mixed; a quoted field may hold all of them; a byte order mark
 * is passed over; blank lines are no rows. The text is checked to be UTF-8.
 *
 * Bounds: a row 1 MiB, 1024 fields. What breaks them, a quote where none may
 * stand, a NUL or a quote that never closes makes a bad row: it is told with its
 * lines, and reading goes on at the next line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define CSV_FIELDS_MAX 1024
#define CSV_ROW_MAX (1u << 20)

struct csv;

struct csv_row {
	uint64_t line, last_line; /* from 1 on */
	size_t count;
	char **field;	       /* UTF-8, NUL-terminated; loans until the next row. They may be written to. */
	const char *problem;   /* of a bad row, a static text; NULL otherwise */
	size_t problem_column; /* from 1 on: the field in which it was found */
	bool is_encoding;      /* the problem is that the text is no UTF-8 */
};

/* "-": standard input. */
int csv_open(const char *path, struct csv **ret, struct error_text *err);
/* text is a loan; for tests and fuzzing. */
int csv_memory(const void *text, size_t len, struct csv **ret);
struct csv *csv_free(struct csv *c);
static inline void csv_freep(struct csv **c)
{
	*c = csv_free(*c);
}

enum { CSV_ROW = 0, CSV_END = 1, CSV_BAD = 2 };
/* CSV_ROW; CSV_END; CSV_BAD: the row is no CSV and its problem is told; -errno of reading. */
int csv_next(struct csv *c, struct csv_row *ret);

uint64_t csv_offset(const struct csv *c); /* bytes read */
uint64_t csv_size(const struct csv *c);	  /* bytes in all; 0: not known */
/* SHA-256 of the bytes read, 64 hex digits. Ends the reading. */
void csv_digest(struct csv *c, char ret[65]);

#endif
