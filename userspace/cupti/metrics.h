/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_METRICS_H
#define OPMETER_CUPTI_METRICS_H

/*
 * Which hardware counters count operations, for each chip, in sets that one pass
 * can collect: a window never replays a kernel.
 *
 * The tensor metrics are the vendor's own count of mathematical operations; scalar
 * ones count thread instructions and are multiplied by `weight` (a fused
 * multiply-add is two operations). Some formats have no single metric that fits one
 * pass (fp16 and int8 on GH100, tf32 on GB100): they are counted in *parts* that
 * exclude one another, and the operations of a kernel in that format are the sum
 * of the means of its parts. Half-precision scalar instructions are in no set: how
 * the counter treats a pair in one register is not documented.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "library.h"

/* What a value counts, in one word: it goes with every reading, so that a reader
 * needs no table of chips. Number format as in docs/formats.md. */
#define COUNTER_METRIC(chip, format, part, parts, is_scalar)                                                 \
	((uint32_t)(chip) << 24 | (uint32_t)(is_scalar) << 23 | (uint32_t)(parts) << 16 |                    \
	 (uint32_t)(part) << 8 | (uint32_t)(format))
#define COUNTER_METRIC_FORMAT(m) ((m)&0xff)
#define COUNTER_METRIC_PART(m) ((m) >> 8 & 0xff)   /* from 0 */
#define COUNTER_METRIC_PARTS(m) ((m) >> 16 & 0x7f) /* at least 1 */
#define COUNTER_METRIC_IS_SCALAR(m) ((m) >> 23 & 1)
#define COUNTER_METRIC_CHIP(m) ((m) >> 24) /* enum counter_chip_id */

enum counter_chip_id {
	COUNTER_CHIP_NONE = 0,
	COUNTER_CHIP_GV100 = 1,
	COUNTER_CHIP_TU10X = 2,
	COUNTER_CHIP_GA100 = 3,
	COUNTER_CHIP_GA10X = 4,
	COUNTER_CHIP_AD10X = 5,
	COUNTER_CHIP_GH100 = 6,
	COUNTER_CHIP_GB100 = 7,
	COUNTER_CHIP_GB20X = 8,
};

#define COUNTER_SET_METRICS 6
struct counter_metric {
	const char *name; /* as CUPTI wants it, with its roll-up */
	uint8_t format;	  /* enum om_format */
	uint8_t part, parts;
	uint8_t weight; /* operations for each event */
};
struct counter_set {
	struct counter_metric metric[COUNTER_SET_METRICS];
	size_t count;
	bool is_scalar; /* instrumented code: costlier, so only on wish */
};
struct counter_chip {
	const char *const *names; /* as CUPTI names the chips that share this table; NULL ends */
	uint8_t id;		  /* enum counter_chip_id */
	const struct counter_set *sets;
	size_t set_count;
};

extern const struct counter_chip counter_chips[];
extern const size_t counter_chip_count;

/* NULL: a chip without a table. */
const struct counter_chip *counter_chip_find(const char *name);
uint32_t counter_metric_id(const struct counter_chip *chip, const struct counter_set *set, size_t metric);

/* A set made ready: what SetConfig and GetCounterDataSize want. */
struct counter_config {
	void *host; /* CUPTI's object, which evaluates what was collected */
	uint8_t *image;
	size_t image_size;
	size_t passes;
	const char *names[COUNTER_SET_METRICS];
	size_t count;
};

/* Asks CUPTI's host side; needs no device. 0, or CUPTI's positive result with
 * *ret untouched; COUNTER_MULTIPASS: it would take more than one pass. */
#define COUNTER_MULTIPASS 1000
int counter_config_make(const struct cupti_api *api, const char *chip, const struct counter_set *set,
			struct counter_config *ret);
/* How many passes the names take together; 0 or CUPTI's positive result. */
int counter_passes(const struct cupti_api *api, const char *chip, const char *const *names, size_t count,
		   size_t *ret);
void counter_config_done(const struct cupti_api *api, struct counter_config *c);

#endif
