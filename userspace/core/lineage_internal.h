/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LINEAGE_INTERNAL_H
#define OPMETER_CORE_LINEAGE_INTERNAL_H

/*
 * What the files of core/lineage share: lineage.c has what ties two runs and what groups come of it,
 * lineage_near.c which runs are held against each other at all, so that their number may be large.
 */

#include "lineage.h"

struct tie {
	double confidence;
	uint32_t a, b; /* positions in the order: a < b */
};

/* While it is made. */
struct making {
	const struct lineage_run *runs;
	size_t count;
	uint32_t *order;  /* runs by ledger and job: the same for any order of coming */
	uint32_t *parent; /* of a run's set */
	double *weakest;  /* of a set's root */
	const char **named;
	struct tie *tie;
	size_t ties, room;
	uint64_t not_compared;
};

/* Jobs that communicators unite the run's processes into, sorted. */
static inline size_t lineage_jobs(const struct lineage_run *r)
{
	return r->is_united ? 1 + r->also_count : 0;
}
static inline const struct om_id *lineage_job(const struct lineage_run *r, size_t i)
{
	return i ? &r->also[i - 1] : &r->united;
}
bool lineage_is_open(const struct lineage_run *r);
/* Told at a glance, so that many runs are compared soon. */
bool lineage_is_other_size(const struct lineage_run *a, const struct lineage_run *b);
/* Keeps what ties the runs at two positions, if anything does. like: of their models, if it is known, else
 * below 0. -ENOMEM. */
int lineage_consider(struct making *m, uint32_t x, uint32_t y, double like);

/* lineage_near.c; -ENOMEM */
int lineage_tie_words(struct making *m);  /* by words, jobs, declared checkpoints, what was said before */
int lineage_tie_models(struct making *m); /* by likeness */
/* By size and weights; 0: nothing tells them apart. */
int lineage_compare_models(const struct model_fingerprint *a, const struct model_fingerprint *b);
int lineage_find(struct making *m, struct lineages *l); /* like models of two tenants */

#endif
