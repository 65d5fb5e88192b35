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
	OM_PIPE_TENSOR,
	OM_PIPE_FP64_TENSOR,
	OM_PIPE_INT_TENSOR,
	OM_PIPE_FP64,
	OM_PIPE_FP32,
	OM_PIPE_FP16,
	OM_PIPE_INT,
	OM_PIPE_END
};
const char *om_pipe_name(enum om_pipe p);

struct om_chip {
	char name[64]; /* as NVML names it, a pattern in the file: "NVIDIA H100 80GB HBM3" */
	uint32_t multiprocessors;
	uint32_t boost_mhz; /* the highest SM clock of the product */
	/* Dense operations per clock and multiprocessor; 0: the pipe cannot. */
	uint32_t tensor[OM_FORMAT_REAL_END];
	uint32_t scalar[OM_FORMAT_REAL_END];
};

struct om_peaks;
int om_peaks_load(const char *path, struct om_peaks **ret, struct error_text *err);
struct om_peaks *om_peaks_free(struct om_peaks *p); /* NULL is fine; returns NULL */
/* The row for a device name; NULL: an unknown chip. A loan. */
const struct om_chip *om_peaks_find(const struct om_peaks *p, const char *device_name);
/* The row to fall back to for an unknown chip: the highest of every column, so that
 * an upper bound stays one. */
const struct om_chip *om_peaks_highest(const struct om_peaks *p);

/* The highest rate of one pipe, over the formats in `formats` (bit mask, 1 << enum
 * om_format; 0: any), in operations per clock and multiprocessor. */
uint32_t om_chip_pipe_rate(const struct om_chip *c, enum om_pipe pipe, uint32_t formats);
/* Dense peak over everything, operations per second, at boost clock. */
uint64_t om_chip_peak(const struct om_chip *c);

#endif
