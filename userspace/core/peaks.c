// SPDX-License-Identifier: Apache-2.0
#include "peaks.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define ROWS_MAX 256
#define FIELDS 19

struct om_peaks {
	struct om_chip *chips;
	size_t count;
	struct om_chip highest;
};

const char *om_pipe_name(enum om_pipe p)
{
	static const char *const names[OM_PIPE_END] = { "tensor", "fp64", "fp32", "fp16", "int" };

	return p < OM_PIPE_END ? names[p] : "invalid";
}

static int number_parse(const char *text, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (*end || errno || v > max)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

/* The columns that are numbers, in their order; the name before, the format and source after. */
static int numbers_parse(char *field[FIELDS], struct om_chip *c, const char **ret_why)
{
	static const char *const names[] = { "multiprocessors", "max_mhz", "t_fp64",	   "t_tf32",
					     "t_bf16",		"t_fp16",  "t_fp8",	   "t_fp4",
					     "t_int8",		"t_int4",  "s_fp64",	   "s_fp32",
					     "s_fp16",		"s_int32", "published_mhz" };
	uint32_t *const to[] = { &c->multiprocessors,	     &c->max_mhz,
				 &c->tensor[OM_FORMAT_FP64], &c->tensor[OM_FORMAT_TF32],
				 &c->tensor[OM_FORMAT_BF16], &c->tensor[OM_FORMAT_FP16],
				 &c->tensor[OM_FORMAT_FP8],  &c->tensor[OM_FORMAT_FP4],
				 &c->tensor[OM_FORMAT_INT8], &c->tensor[OM_FORMAT_INT4],
				 &c->scalar[OM_PIPE_FP64],   &c->scalar[OM_PIPE_FP32],
				 &c->scalar[OM_PIPE_FP16],   &c->scalar[OM_PIPE_INT],
				 &c->published_mhz };

	for (size_t i = 0; i < ARRAY_SIZE(to); i++)
		if (number_parse(field[1 + i], 1u << 20, to[i])) {
			*ret_why = names[i];
			return -EINVAL;
		}
	*ret_why = "multiprocessors and clocks must not be 0";
	return c->multiprocessors && c->max_mhz && c->published_mhz ? 0 : -EINVAL;
}

static int row_parse(char *line, struct om_chip *c, const char **ret_why)
{
	char *field[FIELDS], *at = line, *end;

	for (size_t i = 0; i < FIELDS; i++) {
		field[i] = at;
		at = i + 1 < FIELDS ? strchr(at, ',') : NULL;
		*ret_why = "nineteen fields are expected";
		if (i + 1 < FIELDS && !at)
			return -EINVAL;
		if (at)
			*at++ = '\0';
	}
	*ret_why = "a chip needs a name of at most 63 bytes, and a source";
	if (!field[0][0] || strlen(field[0]) >= sizeof(c->name) || !field[FIELDS - 1][0])
		return -EINVAL;
	snprintf(c->name, sizeof(c->name), "%s", field[0]);
	*ret_why = "published_format is not a number format";
	if (om_format_parse(field[16], &c->published_format) || c->published_format >= OM_FORMAT_REAL_END)
		return -EINVAL;
	*ret_why = "published_tflops is not a number";
	c->published_tflops = strtod(field[17], &end);
	if (*end || !(c->published_tflops > 0) || c->published_tflops > 1e9)
		return -EINVAL;
	return numbers_parse(field, c, ret_why);
}

static void raise_to(uint32_t *to, uint32_t v)
{
	if (v > *to)
		*to = v;
}

static int chip_add(struct om_peaks *p, const struct om_chip *c)
{
	struct om_chip *more =
		p->count < ROWS_MAX ? reallocarray(p->chips, p->count + 1, sizeof(*more)) : NULL;

	if (!more)
		return p->count < ROWS_MAX ? -ENOMEM : -EINVAL;
	p->chips = more;
	p->chips[p->count++] = *c;
	raise_to(&p->highest.multiprocessors, c->multiprocessors);
	raise_to(&p->highest.max_mhz, c->max_mhz);
	for (size_t i = 0; i < OM_FORMAT_REAL_END; i++)
		raise_to(&p->highest.tensor[i], c->tensor[i]);
	for (size_t i = 0; i < OM_PIPE_END; i++)
		raise_to(&p->highest.scalar[i], c->scalar[i]);
	return 0;
}

static int rows_read(FILE *f, const char *path, struct om_peaks *p, struct error_text *err)
{
	char line[1024];
	bool has_header = false;
	uint32_t number = 0;

	while (fgets(line, sizeof(line), f)) {
		struct om_chip c = { 0 };
		const char *why = "";
		int rc;

		number++;
		if (!strchr(line, '\n') && !feof(f))
			return error_set(err, -EINVAL, "%s:%u: the line is too long", path, number);
		line[strcspn(line, "\r\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		if (!has_header) {
			has_header = true;
			if (strncmp(line, "name,multiprocessors,", 21))
				return error_set(err, -EINVAL, "%s:%u: the first line is not the header",
						 path, number);
			continue;
		}
		rc = row_parse(line, &c, &why);
		rc = rc ?: chip_add(p, &c);
		if (rc)
			return error_set(err, rc, "%s:%u: not a chip: %s", path, number, why);
	}
	if (ferror(f))
		return error_set(err, -EIO, "%s: cannot be read", path);
	return p->count ? 0 : error_set(err, -EINVAL, "%s: has no rows", path);
}

int om_peaks_load(const char *path, struct om_peaks **ret, struct error_text *err)
{
	_cleanup_(om_peaks_freep) struct om_peaks *p = calloc(1, sizeof(*p));
	_cleanup_fclose_ FILE *f = NULL;
	int rc;

	if (!p)
		return -ENOMEM;
	f = fopen(path, "re");
	if (!f)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	snprintf(p->highest.name, sizeof(p->highest.name), "unknown chip");
	rc = rows_read(f, path, p, err);
	if (rc)
		return rc;
	*ret = TAKE_PTR(p);
	return 0;
}

struct om_peaks *om_peaks_free(struct om_peaks *p)
{
	if (p)
		free(p->chips);
	free(p);
	return NULL;
}

const struct om_chip *om_peaks_find(const struct om_peaks *p, const char *device_name)
{
	for (size_t i = 0; i < p->count; i++)
		if (strstr(device_name, p->chips[i].name))
			return &p->chips[i];
	return NULL;
}

const struct om_chip *om_peaks_highest(const struct om_peaks *p)
{
	return &p->highest;
}

int om_peaks_each(const struct om_peaks *p, int (*fn)(void *ctx, const struct om_chip *c), void *ctx)
{
	int r = 0;

	for (size_t i = 0; i < p->count && !r; i++)
		r = fn(ctx, &p->chips[i]);
	return r;
}

static struct om_rates tensor_rates(const struct om_chip *c, uint32_t formats)
{
	struct om_rates r = { 0 };

	for (uint32_t i = 0; i < OM_FORMAT_REAL_END; i++) {
		if (!c->tensor[i] || (formats && !(formats >> i & 1)))
			continue;
		r.high = c->tensor[i] > r.high ? c->tensor[i] : r.high;
		r.low = !r.low || c->tensor[i] < r.low ? c->tensor[i] : r.low;
	}
	return r;
}

struct om_rates om_chip_rates(const struct om_chip *c, enum om_pipe pipe, uint32_t formats)
{
	struct om_rates r;

	if (pipe != OM_PIPE_TENSOR)
		return (struct om_rates){ c->scalar[pipe], c->scalar[pipe] };
	r = tensor_rates(c, formats);
	return r.high ? r : tensor_rates(c, 0);
}

uint64_t om_chip_peak(const struct om_chip *c)
{
	uint64_t rate = om_chip_rates(c, OM_PIPE_TENSOR, 0).high;

	for (int p = 0; p < OM_PIPE_END; p++)
		rate += p == OM_PIPE_TENSOR ? 0 : c->scalar[p];
	return rate * c->multiprocessors * c->max_mhz * 1000000ULL;
}

static double within(double percent)
{
	return percent < 0 ? 0 : percent > 100 ? 100 : percent;
}

void om_chip_executed(const struct om_chip *c, const struct om_activity_span *a, uint32_t formats,
		      opcount *ret_low, opcount *ret_high)
{
	double low = 0, high = 0, seconds = (double)a->ns / 1e9, half = a->step / 2;
	bool is_still = a->busy == 0;

	/* Counters that stood still are no rounded figure. */
	for (int p = 0; p < OM_PIPE_END; p++)
		is_still = is_still && a->percent[p] == 0;
	if (is_still)
		half = 0;

	for (int p = 0; p < OM_PIPE_END; p++) {
		struct om_rates r = om_chip_rates(c, (enum om_pipe)p, formats);
		bool is_known = a->percent[p] >= 0;

		low += is_known ? within(a->percent[p] - half) / 100 * r.low : 0;
		high += within((is_known ? a->percent[p] : a->busy) + half) / 100 * r.high;
	}
	low *= seconds * a->clock_low * 1e6 * c->multiprocessors;
	high *= seconds * a->clock_high * 1e6 * c->multiprocessors;
	*ret_low = low < 1e38 ? (opcount)low : OPCOUNT_MAX;
	*ret_high = high < 1e38 ? (opcount)ceil(high) : OPCOUNT_MAX;
}
