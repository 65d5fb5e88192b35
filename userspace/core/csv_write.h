/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CSV_WRITE_H
#define OPMETER_CORE_CSV_WRITE_H

/*
 * CSV after RFC 4180 (CRLF, quotes doubled) that a spreadsheet does not run: a cell that begins with = + - @,
 * a tab or a line end gets an apostrophe before it, as spreadsheets take for "this is text".
 */

#include <stdbool.h>
#include <stdio.h>

struct om_csv {
	FILE *f;
	bool is_begun; /* the line has a cell */
};
void om_csv_cell(struct om_csv *c, const char *text); /* NULL: an empty one */
void om_csv_end(struct om_csv *c);

#endif
