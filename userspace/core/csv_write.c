// SPDX-License-Identifier: Apache-2.0
#include "csv_write.h"

#include <string.h>

void om_csv_cell(struct om_csv *c, const char *text)
{
	const char *s = text ? text : "";
	bool is_formula = *s && strchr("=+-@\t\r\n", *s), is_quoted = is_formula || s[strcspn(s, ",\"\r\n")];

	if (c->is_begun)
		fputc(',', c->f);
	c->is_begun = true;
	if (is_quoted)
		fputc('"', c->f);
	if (is_formula)
		fputc('\'', c->f);
	for (; *s; s++) {
		if (*s == '"')
			fputc('"', c->f);
		fputc(*s, c->f);
	}
	if (is_quoted)
		fputc('"', c->f);
}

void om_csv_end(struct om_csv *c)
{
	fputs("\r\n", c->f);
	c->is_begun = false;
}
