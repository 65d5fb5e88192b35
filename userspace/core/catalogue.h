/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CATALOGUE_H
#define OPMETER_CORE_CATALOGUE_H

/*
 * The kernel catalogue: from what a launch shows (the kernel's name and its
 * geometry) to the operations it performs, as bounds. data/kernels.csv holds the
 * rows, each with its reason; docs/counting.md the conventions.
 *
 * A kernel's name is the tenant's claim: the device meter bounds what a lie can
 * gain. Pure: no clock, no kernel, no device.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/log.h"
#include "../base/opcount.h"
#include "format.h"

/* What a launch shows. Two launches of one signature may still differ in sizes
 * that travel as parameters: that is what `low` and `high` are for. */
struct om_signature {
	const char *name; /* as the driver was asked for it: mangled; "" not known */
	uint32_t grid[3], block[3];
	uint32_t shared_bytes; /* dynamic */
};

enum om_kernel_class {
	OM_KERNEL_UNKNOWN = 0,	     /* no row matches: bounded by time and peak only */
	OM_KERNEL_PRODUCT = 1,	     /* a matrix product that no library entry announced (CUTLASS, Triton) */
	OM_KERNEL_CONVOLUTION = 2,   /* may execute fewer multiplications than the formula (Winograd, FFT) */
	OM_KERNEL_ATTENTION = 3,     /* forward */
	OM_KERNEL_ATTENTION_BWD = 4, /* backward */
	OM_KERNEL_ELEMENTWISE = 5, /* 0 operations by convention (docs/counting.md), executed ones bounded */
	OM_KERNEL_OPTIMIZER = 6,   /* the same; evidence of training */
	OM_KERNEL_COMMUNICATION = 7, /* the same */
	OM_KERNEL_AUXILIARY = 8,     /* split-K reductions, layout changes, copies of a counted product: 0 */
	OM_KERNEL_CLASS_END,
};
const char *om_kernel_class_name(enum om_kernel_class c);

struct om_kernel_estimate {
	enum om_kernel_class class;
	uint8_t format;	   /* enum om_format of what it multiplies; OM_FORMAT_UNKNOWN */
	bool is_bounded;   /* low and high hold; false: only time x peak bounds it */
	opcount low, high; /* algorithmic operations of one launch */
	uint32_t row;	   /* line of the row in its file; 0: none matched */
};

struct om_catalogue;

/* 0; -EINVAL with *err naming file, line and what is wrong; -errno. */
int om_catalogue_load(const char *path, struct om_catalogue **ret, struct error_text *err);
struct om_catalogue *om_catalogue_free(struct om_catalogue *c); /* NULL is fine; returns NULL */
static inline void om_catalogue_freep(struct om_catalogue **c)
{
	*c = om_catalogue_free(*c);
}
/* The first row that matches decides. Names may be hostile: any bytes, any length. */
void om_catalogue_estimate(const struct om_catalogue *c, const struct om_signature *s,
			   struct om_kernel_estimate *ret);

#endif
