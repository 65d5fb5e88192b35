// SPDX-License-Identifier: Apache-2.0
/*
 * A list of rows, tried in order. Names are the tenant's: they are only searched,
 * never parsed beyond the numbers that a formula needs, and every number is
 * checked against what the kernel can be before it is used.
 */
#include "catalogue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "catalogue_attention.h"

#define ROWS_MAX 4096
#define LINE_MAX_BYTES 1024
#define PIECES_MAX 8

enum formula { FORMULA_NONE, FORMULA_ZERO, FORMULA_FA2_FORWARD, FORMULA_FA2_BACKWARD, FORMULA_FA3_BACKWARD };

struct row {
	char *pattern; /* cut into pieces by NUL */
	const char *piece[PIECES_MAX];
	size_t pieces;
	bool is_anchored;
	bool is_format_auto;
	uint8_t format;
	enum om_kernel_class class;
	enum formula formula;
	uint32_t line;
};

struct om_catalogue {
	struct row *rows;
	size_t count;
};

static const char *const class_names[OM_KERNEL_CLASS_END] = {
	[OM_KERNEL_UNKNOWN] = "unknown",
	[OM_KERNEL_PRODUCT] = "product",
	[OM_KERNEL_CONVOLUTION] = "convolution",
	[OM_KERNEL_ATTENTION] = "attention",
	[OM_KERNEL_ATTENTION_BWD] = "attention-backward",
	[OM_KERNEL_ELEMENTWISE] = "elementwise",
	[OM_KERNEL_OPTIMIZER] = "optimizer",
	[OM_KERNEL_COMMUNICATION] = "communication",
	[OM_KERNEL_AUXILIARY] = "auxiliary",
};

const char *om_kernel_class_name(enum om_kernel_class c)
{
	return c < OM_KERNEL_CLASS_END ? class_names[c] : "invalid";
}

/* --- the file --- */

static int class_parse(const char *name, enum om_kernel_class *ret)
{
	for (int i = OM_KERNEL_UNKNOWN + 1; i < OM_KERNEL_CLASS_END; i++)
		if (!strcmp(class_names[i], name)) {
			*ret = (enum om_kernel_class)i;
			return 0;
		}
	return -EINVAL;
}

static int formula_parse(const char *name, enum formula *ret)
{
	static const char *const names[] = { "none", "zero", "fa2-forward", "fa2-backward", "fa3-backward" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name)) {
			*ret = (enum formula)i;
			return 0;
		}
	return -EINVAL;
}

static int pattern_cut(struct row *r, const char *text)
{
	char *at;

	r->is_anchored = text[0] == '^';
	r->pattern = strdup(text + r->is_anchored);
	if (!r->pattern)
		return -ENOMEM;
	for (at = r->pattern; at;) {
		char *star = strchr(at, '*');

		if (star)
			*star = '\0';
		if (!*at || r->pieces == PIECES_MAX)
			return -EINVAL;
		r->piece[r->pieces++] = at;
		at = star ? star + 1 : NULL;
	}
	return 0;
}

/* Cuts the next field off *at; a field in quotes may hold commas. NULL: no more. */
static char *field_next(char **at)
{
	char *begin = *at, *end;

	if (!begin)
		return NULL;
	if (*begin == '"') {
		begin++;
		end = strchr(begin, '"');
		if (!end)
			return NULL;
		*end++ = '\0';
		*at = *end == ',' ? end + 1 : NULL;
		return begin;
	}
	end = strchr(begin, ',');
	*at = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return begin;
}

static int row_parse(char *line, struct row *r, const char **ret_why)
{
	char *at = line, *field[5];
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = field_next(&at);
		*ret_why = "five fields are expected: pattern,class,format,formula,reason";
		if (!field[i])
			return -EINVAL;
	}
	*ret_why = "five fields are expected: pattern,class,format,formula,reason";
	if (at)
		return -EINVAL;
	rc = pattern_cut(r, field[0]);
	*ret_why = "the pattern has an empty piece, or more than eight";
	if (rc)
		return rc;
	*ret_why = "the class is not one of those in userspace/core/catalogue.h";
	if (class_parse(field[1], &r->class))
		return -EINVAL;
	*ret_why = "the format is not one of docs/formats.md, nor `auto`";
	r->is_format_auto = !strcmp(field[2], "auto");
	if (!r->is_format_auto && om_format_parse(field[2], &r->format))
		return -EINVAL;
	*ret_why = "the formula is not none, zero, fa2-forward, fa2-backward or fa3-backward";
	if (formula_parse(field[3], &r->formula))
		return -EINVAL;
	*ret_why = "a row needs a reason";
	return field[4][0] ? 0 : -EINVAL;
}

static int row_add(struct om_catalogue *c, char *line, uint32_t number, const char **ret_why)
{
	struct row r = { .line = number }, *rows;
	int rc = row_parse(line, &r, ret_why);

	if (rc) {
		free(r.pattern);
		return rc;
	}
	*ret_why = "more rows than are allowed (4096)";
	rows = c->count < ROWS_MAX ? reallocarray(c->rows, c->count + 1, sizeof(*rows)) : NULL;
	if (!rows) {
		free(r.pattern);
		return c->count < ROWS_MAX ? -ENOMEM : -EINVAL;
	}
	c->rows = rows;
	c->rows[c->count++] = r;
	return 0;
}

static int rows_read(FILE *f, const char *path, struct om_catalogue *c, struct error_text *err)
{
	char line[LINE_MAX_BYTES];
	bool has_header = false;
	uint32_t number = 0;

	while (fgets(line, sizeof(line), f)) {
		const char *why = NULL;
		int rc;

		number++;
		if (!strchr(line, '\n') && !feof(f))
			return error_set(err, -EINVAL, "%s:%u: the line is longer than %d bytes", path,
					 number, LINE_MAX_BYTES - 2);
		line[strcspn(line, "\r\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		if (!has_header) {
			has_header = true;
			if (strcmp(line, "pattern,class,format,formula,reason"))
				return error_set(err, -EINVAL, "%s:%u: the first line is not the header",
						 path, number);
			continue;
		}
		rc = row_add(c, line, number, &why);
		if (rc)
			return error_set(err, rc, "%s:%u: %s", path, number,
					 rc == -ENOMEM ? "out of memory" : why);
	}
	if (ferror(f))
		return error_set(err, -EIO, "%s: cannot be read", path);
	return c->count ? 0 : error_set(err, -EINVAL, "%s: has no rows", path);
}

int om_catalogue_load(const char *path, struct om_catalogue **ret, struct error_text *err)
{
	_cleanup_(om_catalogue_freep) struct om_catalogue *c = calloc(1, sizeof(*c));
	_cleanup_fclose_ FILE *f = NULL;
	int rc;

	if (!c)
		return -ENOMEM;
	f = fopen(path, "re");
	if (!f)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = rows_read(f, path, c, err);
	if (rc)
		return rc;
	/* Pieces point into the patterns, which have not moved; the array has. */
	*ret = TAKE_PTR(c);
	return 0;
}

struct om_catalogue *om_catalogue_free(struct om_catalogue *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->count; i++)
		free(c->rows[i].pattern);
	free(c->rows);
	free(c);
	return NULL;
}

/* --- names --- */

static bool row_matches(const struct row *r, const char *name)
{
	const char *at = name;

	for (size_t i = 0; i < r->pieces; i++) {
		size_t len = strlen(r->piece[i]);

		if (i == 0 && r->is_anchored) {
			if (strncmp(at, r->piece[i], len))
				return false;
			at += len;
			continue;
		}
		at = strstr(at, r->piece[i]);
		if (!at)
			return false;
		at += len;
	}
	return true;
}

/* As the name says; the narrower words first. */
static uint8_t format_of_name(const char *name)
{
	static const struct {
		const char *word;
		uint8_t format;
	} words[] = {
		{ "e2m1", OM_FORMAT_FP4 },	 { "e4m3", OM_FORMAT_FP8 },
		{ "e5m2", OM_FORMAT_FP8 },	 { "E2m1", OM_FORMAT_FP4 },
		{ "E4m3", OM_FORMAT_FP8 },	 { "qqtst", OM_FORMAT_FP8 },
		{ "bf16", OM_FORMAT_BF16 },	 { "bfloat16", OM_FORMAT_BF16 },
		{ "Bfloat16", OM_FORMAT_BF16 },	 { "tf32", OM_FORMAT_TF32 },
		{ "s1688gemm", OM_FORMAT_TF32 }, { "half_t", OM_FORMAT_FP16 },
		{ "f16", OM_FORMAT_FP16 },	 { "fp16", OM_FORMAT_FP16 },
		{ "hgemm", OM_FORMAT_FP16 },	 { "i16832gemm", OM_FORMAT_INT8 },
		{ "imma", OM_FORMAT_INT8 },	 { "dgemm", OM_FORMAT_FP64 },
		{ "f64f64", OM_FORMAT_FP64 },	 { "sgemm", OM_FORMAT_FP32 },
		{ "f32f32", OM_FORMAT_FP32 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(name, words[i].word))
			return words[i].format;
	return OM_FORMAT_UNKNOWN;
}

void om_catalogue_estimate(const struct om_catalogue *c, const struct om_signature *s,
			   struct om_kernel_estimate *ret)
{
	*ret = (struct om_kernel_estimate){ .format = OM_FORMAT_UNKNOWN };
	for (size_t i = 0; i < c->count; i++) {
		const struct row *r = &c->rows[i];

		if (!row_matches(r, s->name))
			continue;
		ret->class = r->class;
		ret->row = r->line;
		ret->format = r->is_format_auto ? format_of_name(s->name) : r->format;
		ret->is_bounded = r->formula == FORMULA_ZERO ||
				  (r->formula == FORMULA_FA2_FORWARD && om_fa2_forward(s, ret)) ||
				  (r->formula == FORMULA_FA2_BACKWARD && om_fa2_backward(s, ret)) ||
				  (r->formula == FORMULA_FA3_BACKWARD && om_fa3_backward(s, ret));
		return;
	}
}
