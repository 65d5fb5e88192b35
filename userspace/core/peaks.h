/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_PEAKS_H
#define OPMETER_CORE_PEAKS_H

/*
 * What a chip can do at most: dense operations per clock and multiprocessor for
 * each pipe and number format, from data/peaks.csv (each row with its source).
 * Dense only: 2:4 sparsity executes half of what it is credited with.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/log.h"
#include "../base/opcount.h"
#include "format.h"

enum om_pipe {
	OM_PIPE_TENSOR, /* any format */
	OM_PIPE_FP64,
	OM_PIPE_FP32,
	OM_PIPE_FP16, /* scalar, not tensor */
	OM_PIPE_INT,
	OM_PIPE_END,
};
const char *om_pipe_name(enum om_pipe p);

struct om_chip {
	char name[64]; /* a part of the device's name as NVML gives it */
	uint32_t multiprocessors;
	uint32_t max_mhz; /* the highest SM clock of the product */
	/* Dense operations per clock and multiprocessor; 0: the pipe cannot. */
	uint32_t tensor[OM_FORMAT_REAL_END];
	uint32_t scalar[OM_PIPE_END];
	/* The data sheet's figure that the row is tested by. */
	uint32_t published_mhz;
	uint8_t published_format;
	double published_tflops;
};

struct om_peaks;
/* 0; -EINVAL with *err naming file, line and what is wrong; -errno. */
int om_peaks_load(const char *path, struct om_peaks **ret, struct error_text *err);
struct om_peaks *om_peaks_free(struct om_peaks *p); /* NULL is fine; returns NULL */
static inline void om_peaks_freep(struct om_peaks **p)
{
	*p = om_peaks_free(*p);
}
/* The row for a device's name; NULL: an unknown chip. A loan. */
const struct om_chip *om_peaks_find(const struct om_peaks *p, const char *device_name);
/* For an unknown chip: the highest of every column, so that an upper bound stays one. */
const struct om_chip *om_peaks_highest(const struct om_peaks *p);
int om_peaks_each(const struct om_peaks *p, int (*fn)(void *ctx, const struct om_chip *c), void *ctx);

/* Bounds of one pipe's rate over the formats in `formats` (bit mask, 1 << enum om_format; 0: any that it
 * can), in operations per clock and multiprocessor; 0, 0: the pipe cannot. A mask without any format that the
 * pipe can is no knowledge: any. */
struct om_rates {
	uint32_t low, high;
};
struct om_rates om_chip_rates(const struct om_chip *c, enum om_pipe pipe, uint32_t formats);

/* Dense peak over everything, operations per second, at the highest clock. */
uint64_t om_chip_peak(const struct om_chip *c);

/* What a span of activity can have executed. Percentages are 0 to 100 of the span's cycles in which
 * the pipe was active; each is known to half of `step` percent. Clocks in MHz. */
struct om_activity_span {
	double percent[OM_PIPE_END]; /* negative: not known, then 0 to `busy` */
	double busy;		     /* any work at all; the bound of what is not known */
	double step;
	uint32_t clock_low, clock_high;
	uint64_t ns;
};
/* [low, high] executed operations; 0, 0 where every counter stood still. Formula: pipe activity x clock x
 * multiprocessors x rate, each at its end.
 */
void om_chip_executed(const struct om_chip *c, const struct om_activity_span *a, uint32_t formats,
		      opcount *ret_low, opcount *ret_high);

#endif
