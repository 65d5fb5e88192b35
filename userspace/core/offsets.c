// SPDX-License-Identifier: Apache-2.0
/*
 * A wrong offset would be read as a wrong size on every node, so the reader takes
 * nothing on trust: every column, every number's range and alignment, fields that
 * overlap, and a build that is named twice are refused with the line's number.
 */
#include "offsets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 1024
/* Both structs are read 64 bytes deep at most by the probes. */
#define OFFSET_LIMIT 64

static const struct {
	const char *name;
	uint16_t size;
	bool may_be_absent;
} fields[OM_OFFSET_FIELD_END] = {
	[OM_OFFSET_LAYOUT_TYPE] = { "layout_type", 4, false },
	[OM_OFFSET_LAYOUT_ORDER] = { "layout_order", 4, false },
	[OM_OFFSET_LAYOUT_ROWS] = { "layout_rows", 8, false },
	[OM_OFFSET_LAYOUT_COLS] = { "layout_cols", 8, false },
	[OM_OFFSET_LAYOUT_LD] = { "layout_ld", 8, false },
	[OM_OFFSET_LAYOUT_BATCH] = { "layout_batch", 4, false },
	[OM_OFFSET_LAYOUT_STRIDE] = { "layout_stride", 8, false },
	[OM_OFFSET_LAYOUT_MODE] = { "layout_mode", 2, true },
	[OM_OFFSET_DESC_COMPUTE] = { "desc_compute", 4, false },
	[OM_OFFSET_DESC_SCALE] = { "desc_scale", 4, false },
	[OM_OFFSET_DESC_TRANSA] = { "desc_transa", 4, false },
	[OM_OFFSET_DESC_TRANSB] = { "desc_transb", 4, false },
};

struct om_offsets_table {
	size_t count;
	struct om_offsets_row row[OM_OFFSETS_ROWS_MAX];
	unsigned line[OM_OFFSETS_ROWS_MAX];
};

struct reader {
	const char *path;
	unsigned line;
	struct error_text *err;
};

const char *om_offset_field_name(enum om_offset_field field)
{
	return field < OM_OFFSET_FIELD_END ? fields[field].name : "invalid";
}

unsigned om_offset_field_size(enum om_offset_field field)
{
	return field < OM_OFFSET_FIELD_END ? fields[field].size : 0;
}

const char *om_sha256_format(const uint8_t hash[OM_SHA256_SIZE], char buf[OM_SHA256_STRLEN])
{
	for (size_t i = 0; i < OM_SHA256_SIZE; i++)
		snprintf(buf + 2 * i, 3, "%02x", hash[i]);
	return buf;
}

/* The next field of the line, or NULL after the last one. */
static char *next_field(char **line)
{
	return strsep(line, ",");
}

static int bad(const struct reader *r, const char *column, const char *text, const char *why)
{
	return error_set(r->err, -EINVAL, "%s:%u: %s '%.80s' %s", r->path, r->line, column, text ? text : "",
			 why);
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int parse_hash(const struct reader *r, const char *text, uint8_t ret[OM_SHA256_SIZE])
{
	if (!text || strlen(text) != 2 * OM_SHA256_SIZE)
		return bad(r, "text_sha256", text, "is not 64 lower-case hexadecimal digits");
	for (size_t i = 0; i < OM_SHA256_SIZE; i++) {
		int hi = hex_digit(text[2 * i]), lo = hex_digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return bad(r, "text_sha256", text, "is not 64 lower-case hexadecimal digits");
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

static int parse_text(const struct reader *r, const char *column, const char *text, char *ret, size_t size)
{
	if (!text || !*text)
		return bad(r, column, text, "is missing");
	if (strlen(text) >= size)
		return bad(r, column, text, "is too long");
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int parse_offset(const struct reader *r, enum om_offset_field field, const char *text, uint16_t *ret)
{
	unsigned v = 0;

	if (!text || !*text)
		return bad(r, fields[field].name, text, "is missing");
	if (!strcmp(text, "-")) {
		*ret = OM_OFFSET_ABSENT;
		return 0;
	}
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || c - text > 3)
			return bad(r, fields[field].name, text, "is not a byte offset");
		v = v * 10 + (unsigned)(*c - '0');
	}
	*ret = (uint16_t)v;
	return 0;
}

static int check_field(const struct om_offsets_row *row, unsigned i, char *why, size_t size)
{
	unsigned at = row->at[i];

	if (at == OM_OFFSET_ABSENT && fields[i].may_be_absent)
		return 0;
	if (at == OM_OFFSET_ABSENT)
		snprintf(why, size, "%s must be known", fields[i].name);
	else if (at + fields[i].size > OFFSET_LIMIT)
		snprintf(why, size, "%s at %u lies beyond the %u bytes that are read", fields[i].name, at,
			 OFFSET_LIMIT);
	else if (at % fields[i].size)
		snprintf(why, size, "%s at %u is not aligned to its %u bytes", fields[i].name, at,
			 fields[i].size);
	else
		return 0;
	return -EINVAL;
}

static bool is_of_layout(unsigned field)
{
	return field < OM_OFFSET_DESC_COMPUTE;
}

static bool do_overlap(const struct om_offsets_row *row, unsigned a, unsigned b)
{
	return is_of_layout(a) == is_of_layout(b) && row->at[a] != OM_OFFSET_ABSENT &&
	       row->at[b] != OM_OFFSET_ABSENT && row->at[a] < row->at[b] + fields[b].size &&
	       row->at[b] < row->at[a] + fields[a].size;
}

int om_offsets_check(const struct om_offsets_row *row, char *why, size_t size)
{
	for (unsigned a = 0; a < OM_OFFSET_FIELD_END; a++) {
		if (check_field(row, a, why, size))
			return -EINVAL;
		for (unsigned b = 0; b < a; b++)
			if (do_overlap(row, a, b)) {
				snprintf(why, size, "%s and %s overlap", fields[b].name, fields[a].name);
				return -EINVAL;
			}
	}
	return 0;
}

static int parse_row(const struct reader *r, char *line, struct om_offsets_row *row)
{
	int rc = parse_hash(r, next_field(&line), row->text_sha256);
	char why[128];

	if (!rc)
		rc = parse_text(r, "library", next_field(&line), row->library, sizeof(row->library));
	if (!rc)
		rc = parse_text(r, "version", next_field(&line), row->version, sizeof(row->version));
	for (unsigned i = 0; i < OM_OFFSET_FIELD_END && !rc; i++)
		rc = parse_offset(r, i, next_field(&line), &row->at[i]);
	if (!rc)
		rc = parse_text(r, "source", next_field(&line), row->source, sizeof(row->source));
	if (!rc)
		rc = parse_text(r, "proved", next_field(&line), row->proved, sizeof(row->proved));
	if (!rc && line)
		rc = bad(r, "column", line, "is one too many");
	if (!rc && om_offsets_check(row, why, sizeof(why)))
		rc = error_set(r->err, -EINVAL, "%s:%u: %s", r->path, r->line, why);
	return rc;
}

static int add_row(struct reader *r, char *line, struct om_offsets_table *t)
{
	struct om_offsets_row row = { 0 };
	int rc;

	if (t->count == OM_OFFSETS_ROWS_MAX)
		return error_set(r->err, -E2BIG, "%s:%u: more than %u rows", r->path, r->line,
				 OM_OFFSETS_ROWS_MAX);
	rc = parse_row(r, line, &row);
	if (rc)
		return rc;
	for (size_t i = 0; i < t->count; i++)
		if (!memcmp(t->row[i].text_sha256, row.text_sha256, OM_SHA256_SIZE))
			return error_set(r->err, -EINVAL, "%s:%u: the same text_sha256 as in line %u",
					 r->path, r->line, t->line[i]);
	t->line[t->count] = r->line;
	t->row[t->count++] = row;
	return 0;
}

static int read_lines(FILE *f, struct reader *r, struct om_offsets_table *t)
{
	char line[LINE_SIZE], header[LINE_SIZE];
	bool has_header = false;
	int rc = om_offsets_format_header(header, sizeof(header));

	while (!rc && fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);

		r->line++;
		if (len && line[len - 1] == '\n')
			line[--len] = '\0';
		else if (len + 1 == sizeof(line))
			return error_set(r->err, -EINVAL, "%s:%u: the line is too long", r->path, r->line);
		if (!len || line[0] == '#')
			continue;
		if (has_header)
			rc = add_row(r, line, t);
		else if (strcmp(line, header))
			rc = error_set(r->err, -EINVAL, "%s:%u: the columns are not '%s'", r->path, r->line,
				       header);
		has_header = true;
	}
	if (!rc && ferror(f))
		rc = error_set(r->err, -EIO, "%s:%u: can't be read", r->path, r->line);
	if (!rc && !has_header)
		rc = error_set(r->err, -EINVAL, "%s:%u: has no line of columns", r->path, r->line);
	return rc;
}

int om_offsets_load(const char *path, struct om_offsets_table **ret, struct error_text *err)
{
	_cleanup_offsets_ struct om_offsets_table *t = calloc(1, sizeof(*t));
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	struct reader r = { .path = path, .err = err };
	int rc;

	if (!f)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!t)
		return -ENOMEM;
	rc = read_lines(f, &r, t);
	if (rc)
		return rc;
	*ret = TAKE_PTR(t);
	return 0;
}

struct om_offsets_table *om_offsets_free(struct om_offsets_table *t)
{
	free(t);
	return NULL;
}

size_t om_offsets_count(const struct om_offsets_table *t)
{
	return t ? t->count : 0;
}

const struct om_offsets_row *om_offsets_row(const struct om_offsets_table *t, size_t i)
{
	return i < om_offsets_count(t) ? &t->row[i] : NULL;
}

const struct om_offsets_row *om_offsets_find(const struct om_offsets_table *t,
					     const uint8_t text_sha256[OM_SHA256_SIZE])
{
	for (size_t i = 0; i < om_offsets_count(t); i++)
		if (!memcmp(t->row[i].text_sha256, text_sha256, OM_SHA256_SIZE))
			return &t->row[i];
	return NULL;
}

static int append(char *buf, size_t size, const char *text, const char *separator)
{
	size_t at = strlen(buf);

	return (size_t)snprintf(buf + at, size - at, "%s%s", text, separator) < size - at ? 0 : -ENOSPC;
}

int om_offsets_format_header(char *buf, size_t size)
{
	int rc = 0;

	buf[0] = '\0';
	rc = append(buf, size, "text_sha256,library,version", ",");
	for (unsigned i = 0; i < OM_OFFSET_FIELD_END && !rc; i++)
		rc = append(buf, size, fields[i].name, ",");
	return rc ? rc : append(buf, size, "source,proved", "");
}

int om_offsets_format_row(const struct om_offsets_row *row, char *buf, size_t size)
{
	char text[OM_SHA256_STRLEN];
	int rc;

	buf[0] = '\0';
	rc = append(buf, size, om_sha256_format(row->text_sha256, text), ",");
	if (!rc)
		rc = append(buf, size, row->library, ",");
	if (!rc)
		rc = append(buf, size, row->version, ",");
	for (unsigned i = 0; i < OM_OFFSET_FIELD_END && !rc; i++) {
		snprintf(text, sizeof(text), "%u", row->at[i]);
		rc = append(buf, size, row->at[i] == OM_OFFSET_ABSENT ? "-" : text, ",");
	}
	if (!rc)
		rc = append(buf, size, row->source, ",");
	return rc ? rc : append(buf, size, row->proved, "");
}
