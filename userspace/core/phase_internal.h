/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_PHASE_INTERNAL_H
#define OPMETER_CORE_PHASE_INTERNAL_H

/* What phase_families.c makes of a run's products, for the verdicts of phase.c. */

#include <stddef.h>

#include "phase.h"

#define THREADS_MAX RUN_THREADS_MAX

/* A shape, m <= n: which side is which shows nowhere. */
struct shape {
	uint64_t batch, m, n, k;
	double by_thread[THREADS_MAX], ops, left;
	double calls;
};

enum role { ROLE_OVER_FIRST, ROLE_OVER_SECOND, ROLE_WEIGHT };

/* A shape in one role of the weight {a, b}, a <= b. */
struct member {
	uint64_t batch, a, b;
	enum role role;
	uint32_t shape;
};

struct family {
	uint64_t batch, a, b;
	size_t first, count; /* members */
	double bound;	     /* of what each role can have, before others took theirs */
	double complete;     /* operations of each role */
};

struct judge {
	struct shape *shape;
	size_t shapes;
	struct member *member;
	size_t members;
	struct family *family;
	size_t families;
	double ops, by_thread[THREADS_MAX];
	int backward; /* thread; -1: none told */
};

/* Products of one set of dimensions, whatever their order: one layer's three products at one T. */
struct group {
	uint64_t batch, dim[3]; /* sorted */
	double by_thread[THREADS_MAX], over[3], over_backward[3], ops;
};

struct groups {
	struct group *item;
	size_t count;
};

void phase_judge_done(struct judge *j);
/* Shapes by thread, and families with what of them is complete. The rest is zeroed by the caller. 0; -ENOMEM.
 */
int phase_families(struct judge *j, const struct run *r);
void phase_groups_done(struct groups *g);
/* Products by dimensions; `over_backward` is that of j->backward. 0; -ENOMEM. */
int phase_groups(const struct judge *j, struct groups *ret);
int phase_by_dims(const void *x, const void *y); /* order of groups */
void phase_sort3(uint64_t v[3]);

/* What learns where other work is done beside it; shares of all operations. */
struct phase_learned {
	double share;	/* in products that learn, forward passes that they answer for with them */
	double beside;	/* forward through the same weights beyond that: evaluation, references, frozen layers
			 */
	double forward; /* all forward through them */
	double least_times; /* of such weights: how often forward for one gradient; 0: none */
	double same_tokens; /* only forward, through other weights for the same tokens: a teacher, frozen
			       layers */
	double square;	    /* not of backward, with two equal dimensions: optimizers */
	double returned;    /* in products that backward has a part in, forward at least as much */
	double evaluated; /* forward through all of what learns, for other tokens: in the next two as well */
	double foreign;	  /* not of backward, anything else */
};
int phase_learned(const struct judge *j, const struct groups *g, struct phase_learned *ret); /* -ENOMEM */
/* Share of products that feed each other as layers do. -ENOMEM. */
int phase_chained(const struct judge *j, const struct run *r, double *ret);
/* 0: a thread asks for the same forms as the others; 1: for others, or that is not told. */
double phase_forms_apart(const struct judge *j, const struct groups *g, int backward);
bool phase_goes_both_ways(const struct judge *j, const struct groups *g);

static inline double phase_least(const double v[3])
{
	double low = v[0] < v[1] ? v[0] : v[1];

	return low < v[2] ? low : v[2];
}

#endif
