// SPDX-License-Identifier: Apache-2.0
/* The table of what was measured: see signature.h. Open addressing; nothing is removed. */

#include "signature.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FNV_START 14695981039346656037ULL
#define FNV_PRIME 1099511628211ULL

int signatures_init(struct signatures *s)
{
	s->used = 0;
	s->slot = calloc(SIGNATURES_MAX, sizeof(*s->slot));
	return s->slot ? 0 : -ENOMEM;
}

void signatures_done(struct signatures *s)
{
	free(s->slot);
	memset(s, 0, sizeof(*s));
}

uint64_t signature_hash(const char *name)
{
	uint64_t h = FNV_START;

	for (size_t i = 0; i < KERNEL_NAME_MAX && name[i]; i++)
		h = (h ^ (uint8_t)name[i]) * FNV_PRIME;
	return h == OM_NAME_UNKNOWN ? 1 : h;
}

static bool is_same(const struct om_counter_reading *r, const struct launch *l, uint32_t metric)
{
	return r->name == l->name && r->metric == metric && r->shared == l->shared &&
	       !memcmp(r->grid, l->grid, sizeof(r->grid)) && !memcmp(r->block, l->block, sizeof(r->block));
}

static uint64_t mix(const struct launch *l, uint32_t metric)
{
	uint64_t h = l->name ^ metric;

	for (size_t i = 0; i < 3; i++)
		h = (h ^ l->grid[i]) * FNV_PRIME ^ l->block[i] * 0x9e3779b97f4a7c15ULL;
	h = (h ^ l->shared) * FNV_PRIME;
	return h ^ h >> 29;
}

static struct signature_slot *slot_of(struct signatures *s, const struct launch *l, uint32_t metric)
{
	for (size_t i = mix(l, metric), tries = 0; tries < SIGNATURES_MAX; i++, tries++) {
		struct signature_slot *slot = &s->slot[i % SIGNATURES_MAX];

		if (slot->reading.count && !is_same(&slot->reading, l, metric))
			continue;
		/* An eighth stays free, or a search for what is not there would be long. */
		if (!slot->reading.count && s->used >= SIGNATURES_MAX - SIGNATURES_MAX / 8)
			return NULL;
		return slot;
	}
	return NULL;
}

static void slot_begin(struct signature_slot *slot, const struct launch *l, uint32_t metric)
{
	struct om_counter_reading *r = &slot->reading;

	memset(slot, 0, sizeof(*slot));
	r->version = OM_COUNTER_WIRE;
	r->size = sizeof(*r);
	r->name = l->name;
	r->shared = l->shared;
	r->metric = metric;
	r->min = UINT64_MAX;
	memcpy(r->grid, l->grid, sizeof(r->grid));
	memcpy(r->block, l->block, sizeof(r->block));
}

const struct om_counter_reading *signatures_add(struct signatures *s, const struct launch *l, uint32_t metric,
						double ops)
{
	struct signature_slot *slot;
	struct om_counter_reading *r;
	double delta;
	uint64_t v;

	if (!(ops >= 0 && ops <= (double)OM_COUNTER_OPS_MAX))
		return NULL;
	slot = slot_of(s, l, metric);
	if (!slot)
		return NULL;
	if (!slot->reading.count) {
		slot_begin(slot, l, metric);
		s->used++;
	}
	r = &slot->reading;
	v = (uint64_t)llround(ops);
	/* At its end the sum stays what it was, and so does all that goes with it. */
	if (r->sum + v < r->sum)
		return r;
	r->count++;
	r->sum += v;
	r->min = v < r->min ? v : r->min;
	r->max = v > r->max ? v : r->max;
	delta = ops - slot->mean;
	slot->mean += delta / (double)r->count;
	slot->m2 += delta * (ops - slot->mean);
	r->deviation = r->count > 1 ? (uint64_t)llround(sqrt(slot->m2 / (double)(r->count - 1))) : 0;
	return r;
}
