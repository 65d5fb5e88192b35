/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_KERNEL_CACHE_H
#define OPMETER_AGENT_KERNEL_CACHE_H

/*
 * Names of kernels by hash, and what the catalogue says of a signature, so that a
 * name is matched once and not at each drain. Bounded: what finds no room has no
 * name, and is counted as an unknown kernel.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/cleanup.h"
#include "../core/catalogue.h"

#define KERNEL_CACHE_NAMES_MAX 65536	   /* 8 to 500 bytes each */
#define KERNEL_CACHE_SIGNATURES_MAX 262144 /* 100 bytes each; then it begins anew */

struct kernel_cache;
struct kernel_cache *kernel_cache_new(void); /* NULL: out of memory */
struct kernel_cache *kernel_cache_free(struct kernel_cache *k);
/* A loan that must outlive the cache; NULL: every kernel is unknown. */
void kernel_cache_set_catalogue(struct kernel_cache *k, const struct om_catalogue *c);

/* 0 new, 1 known already, -ENOMEM, -ENOSPC. The text is copied. */
int kernel_cache_add_name(struct kernel_cache *k, uint64_t hash, const char *text);
const char *kernel_cache_name(const struct kernel_cache *k, uint64_t hash); /* NULL: not known */

struct kernel_signature {
	uint64_t name; /* hash */
	uint32_t grid[3], block[3];
	uint32_t shared;
};
/* What one launch of it computes. A loan until the next call. NULL: out of memory. */
const struct om_kernel_estimate *kernel_cache_estimate(struct kernel_cache *k,
						       const struct kernel_signature *s);

#endif
