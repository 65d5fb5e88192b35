/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_SIGNATURE_H
#define OPMETER_CUPTI_SIGNATURE_H

/*
 * What has been measured of each kernel, geometry and metric: count, exact sum,
 * and mean and variance by Welford's update, which does not cancel when kernels
 * differ by less than a double's last digits. A table of fixed size; one thread
 * uses it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/counter.h"

#define SIGNATURES_MAX 8192
#define KERNEL_NAME_MAX OM_NAME_MAX

struct launch {
	uint64_t name; /* signature_hash() */
	uint32_t grid[3], block[3], shared;
};

struct signature_slot {
	struct om_counter_reading reading; /* count 0: free */
	double mean, m2;
};
struct signatures {
	struct signature_slot *slot; /* SIGNATURES_MAX */
	size_t used;
};

int signatures_init(struct signatures *s); /* 0, -ENOMEM */
void signatures_done(struct signatures *s);

/* FNV-1a, as the launch meter's programs compute it; never 0. */
uint64_t signature_hash(const char *name);

/* Adds one launch. Returns the reading to hand over; NULL: no room, or a value that no counter can have
 * (negative, not finite, over OM_COUNTER_OPS_MAX). */
const struct om_counter_reading *signatures_add(struct signatures *s, const struct launch *l, uint32_t metric,
						double ops);

#endif
