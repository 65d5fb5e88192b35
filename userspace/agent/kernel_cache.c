// SPDX-License-Identifier: Apache-2.0
/* Two open-addressed tables; a name is never dropped, estimates are as a whole. */
#include "kernel_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct name {
	uint64_t hash;
	char *text; /* NULL: free */
};

struct estimate {
	struct kernel_signature signature;
	struct om_kernel_estimate value;
	bool is_used;
};

struct kernel_cache {
	const struct om_catalogue *catalogue;
	struct name *names;
	size_t name_count;
	struct estimate *estimates;
	size_t estimate_count, estimate_slots;
};

#define NAME_SLOTS (2 * KERNEL_CACHE_NAMES_MAX)
#define ESTIMATE_SLOTS_MIN 4096

struct kernel_cache *kernel_cache_new(void)
{
	struct kernel_cache *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->estimate_slots = ESTIMATE_SLOTS_MIN;
	k->names = calloc(NAME_SLOTS, sizeof(*k->names));
	k->estimates = calloc(k->estimate_slots, sizeof(*k->estimates));
	return k->names && k->estimates ? k : kernel_cache_free(k);
}

struct kernel_cache *kernel_cache_free(struct kernel_cache *k)
{
	if (!k)
		return NULL;
	for (size_t i = 0; k->names && i < NAME_SLOTS; i++)
		free(k->names[i].text);
	free(k->names);
	free(k->estimates);
	free(k);
	return NULL;
}

void kernel_cache_set_catalogue(struct kernel_cache *k, const struct om_catalogue *c)
{
	k->catalogue = c;
}

/* The hash is a tenant's choice: it is mixed before it chooses a slot. */
static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ULL;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ULL;
	return h ^ h >> 32;
}

static struct name *name_slot(const struct kernel_cache *k, uint64_t hash)
{
	size_t i = mix(hash) & (NAME_SLOTS - 1);

	while (k->names[i].text && k->names[i].hash != hash)
		i = (i + 1) & (NAME_SLOTS - 1);
	return &k->names[i];
}

int kernel_cache_add_name(struct kernel_cache *k, uint64_t hash, const char *text)
{
	struct name *n = name_slot(k, hash);

	if (n->text)
		return 1;
	if (k->name_count >= KERNEL_CACHE_NAMES_MAX)
		return -ENOSPC;
	n->text = strdup(text);
	if (!n->text)
		return -ENOMEM;
	n->hash = hash;
	k->name_count++;
	return 0;
}

const char *kernel_cache_name(const struct kernel_cache *k, uint64_t hash)
{
	return name_slot(k, hash)->text;
}

static bool signature_equal(const struct kernel_signature *a, const struct kernel_signature *b)
{
	return a->name == b->name && !memcmp(a->grid, b->grid, sizeof(a->grid)) &&
	       !memcmp(a->block, b->block, sizeof(a->block)) && a->shared == b->shared;
}

static struct estimate *estimate_slot(const struct kernel_cache *k, const struct kernel_signature *s)
{
	uint64_t h = mix(s->name ^ s->shared);
	size_t i;

	for (int j = 0; j < 3; j++)
		h = mix(h ^ ((uint64_t)s->grid[j] << 32 | s->block[j]));
	for (i = h & (k->estimate_slots - 1); k->estimates[i].is_used; i = (i + 1) & (k->estimate_slots - 1))
		if (signature_equal(&k->estimates[i].signature, s))
			break;
	return &k->estimates[i];
}

static int grow(struct kernel_cache *k)
{
	struct estimate *old = k->estimates;
	size_t slots = k->estimate_slots;

	if (k->estimate_count >= KERNEL_CACHE_SIGNATURES_MAX) {
		memset(k->estimates, 0, slots * sizeof(*old));
		k->estimate_count = 0;
		return 0;
	}
	k->estimates = calloc(slots * 2, sizeof(*old));
	if (!k->estimates) {
		k->estimates = old;
		return -ENOMEM;
	}
	k->estimate_slots = slots * 2;
	for (size_t i = 0; i < slots; i++)
		if (old[i].is_used)
			*estimate_slot(k, &old[i].signature) = old[i];
	free(old);
	return 0;
}

const struct om_kernel_estimate *kernel_cache_estimate(struct kernel_cache *k,
						       const struct kernel_signature *s)
{
	struct estimate *e = estimate_slot(k, s);
	struct om_signature full;

	if (e->is_used)
		return &e->value;
	if (2 * (k->estimate_count + 1) > k->estimate_slots) {
		if (grow(k))
			return NULL;
		e = estimate_slot(k, s);
	}
	full.name = s->name ? kernel_cache_name(k, s->name) : NULL;
	full.name = full.name ?: "";
	memcpy(full.grid, s->grid, sizeof(full.grid));
	memcpy(full.block, s->block, sizeof(full.block));
	full.shared_bytes = s->shared;
	e->value = (struct om_kernel_estimate){ 0 };
	if (k->catalogue && full.name[0])
		om_catalogue_estimate(k->catalogue, &full, &e->value);
	e->signature = *s;
	e->is_used = true;
	k->estimate_count++;
	return &e->value;
}
