/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_COMMUNICATORS_H
#define OPMETER_CORE_COMMUNICATORS_H

/*
 * The communicators of a node's processes, for as long as its agent lives. Tenants make
 * as many as they like: each process and each job has its own limit, so nobody's flood
 * ends what is known of others. One of a single rank joins nobody and is only counted.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joining.h"

#define OM_COMMUNICATORS_OF_A_PROCESS 1024 /* as many as the collective meter tells apart */
#define OM_COMMUNICATORS_OF_A_JOB 4096
#define OM_COMMUNICATORS_MAX 65536 /* and as many processes */

struct om_communicators;

struct om_communicators *om_communicators_new(void);			    /* NULL: out of memory */
struct om_communicators *om_communicators_free(struct om_communicators *c); /* NULL is fine; returns NULL */
static inline void om_communicators_freep(struct om_communicators **c)
{
	*c = om_communicators_free(*c);
}

/* 0: kept, or of a single rank; 1: left out, past a limit; -ENOMEM. */
int om_communicators_put(struct om_communicators *c, const struct om_join_claim *claim);
/* The process made one whose size is not known: split off, or of threads. As above. */
int om_communicators_odd(struct om_communicators *c, const struct om_id *process, const struct om_id *job);
/* All that are kept, as they came; until the next put. */
const struct om_join_claim *om_communicators_all(const struct om_communicators *c, size_t *ret_count);
/* How many the process made that have an id and more than one rank. */
size_t om_communicators_count(const struct om_communicators *c, const struct om_id *process);
/* The first and the last of these by time, half each, if they are more than `max`; how many. *ret_left_out:
 * all others, kept or not. */
size_t om_communicators_of(const struct om_communicators *c, const struct om_id *process,
			   struct om_join_claim *ret, size_t max, uint64_t *ret_left_out);
/* The ranks of all its communicators, if these are of one known size; else 0. */
uint32_t om_communicators_ranks(const struct om_communicators *c, const struct om_id *process);
/* Past a limit, over all. */
uint64_t om_communicators_left_out(const struct om_communicators *c);

#endif
