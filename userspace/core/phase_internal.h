/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_PHASE_INTERNAL_H
#define OPMETER_CORE_PHASE_INTERNAL_H

/* What phase_families.c makes of a run's products, for the verdicts of phase.c. */

#include <stddef.h>

#include "phase.h"

#define THREADS_MAX RUN_THREADS_MAX
#define NOISE 0.0015 /* of all operations: complete families below this are chance */

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
/* Calls of each product: THREADS_MAX numbers for each. The caller frees. -ENOMEM. */
int phase_calls_by_thread(const struct run *r, double **ret);
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
	double evaluated;  /* forward through all of what learns, for other tokens: in the next two as well */
	double rolled_out; /* by further threads, for as many tokens as are learned from */
	double foreign;	   /* not of backward, anything else */
};
int phase_learned(const struct judge *j, const struct groups *g, struct phase_learned *ret); /* -ENOMEM */
/* Products that feed each other as layers do: share of all, and of all but X^T X of what goes into them. */
struct phase_chain {
	double share, beside_gram;
	bool at_m;	    /* tokens stand there */
	bool threads_alike; /* filled in by the caller */
};
int phase_chained(const struct judge *j, const struct run *r, struct phase_chain *ret); /* -ENOMEM */
/* Share of operations in products one side of which passes through several layers. */
double phase_layered(const struct judge *j);
/* Operations of X^T X and of squares, as a share: what optimizers and calibration are made of. */
double phase_gram(const struct judge *j);
/* 0: a thread asks for the same forms as the others; 1: for others, or that is not told. */
double phase_forms_apart(const struct judge *j, const struct groups *g, int backward);
bool phase_goes_both_ways(const struct judge *j, const struct groups *g);
/* Do all threads go through the same weights the same way, whatever their tokens (which stand at m or n)? A
 * backward pass goes the other way through the head and what is narrow. -ENOMEM; 0, 1. */
int phase_threads_alike(const struct judge *j, const struct run *r, bool at_m);

/* For each group the index of the dimension that weight gradients contract over, as backward asks for them;
 * -1: it does not learn. -ENOMEM; the caller frees. */
int phase_learned_dims(const struct judge *j, const struct groups *g, int **ret);

/* phase_again.c: forward work done again within backward, shares of all operations. */
struct phase_again {
	double low, best, high;
};
int phase_again_by_thread(const struct judge *j, const struct groups *g,
			  struct phase_again *ret); /* -ENOMEM */
int phase_again_by_order(const struct judge *j, const struct groups *g, const struct run *r,
			 struct phase_again *ret); /* -ENOMEM */

/* phase_gradients.c: weight gradients where families are not there. */
/* A thread that asks for nothing but weight gradients of what the others pass forward: shares of all
 * operations. */
struct phase_only {
	int thread;	 /* -1: there is none */
	double forward;	 /* of the others */
	double answered; /* of it, through weights that learn */
};
int phase_only_gradients(const struct judge *j, const struct groups *g, struct phase_only *ret); /* -ENOMEM */
/* Bytes that ranks add up (allreduce, reducescatter) and that are no product's output: gradients. -ENOMEM. */
int phase_reduced(const struct run *r, double *ret_bytes);
/* Numbers in the weights that are met, each as often as a pass meets it: not more than that, as each product
 * is taken for three and its largest dimension for the tokens. */
double phase_weights_met(const struct groups *g);

/* phase_suspect.c: takes the verdict away where something speaks against it, and says what. `reduced`: bytes
 * of gradients that ranks add up. -ENOMEM. */
int phase_suspect(const struct judge *j, const struct groups *g, const struct run *r,
		  const struct phase_learned *l, double reduced, struct phase_judgement *ret);
void phase_names(const struct run *r, struct phase_judgement *ret); /* sets named_* */

/* phase_equal.c: where two dimensions are of one size. */
/* Share of operations in what learns of such weights: all three forms of it. */
double phase_equal_complete(const struct judge *j, const struct groups *g);
/* Such weights are most of the work, and each is gone through both ways: not so in inference, where the head
 * and what is narrow go one way. */
bool phase_equal_returns(const struct judge *j, const struct groups *g);
/* On one thread: such weights whose forms are there as learning asks for them; 0 if one of them is not. */
uint32_t phase_equal_weights(const struct judge *j, const struct groups *g);
/* Attention's products in batches are there as forward asks for them, and no more. */
bool phase_attends_forward(const struct judge *j, const struct groups *g);

static inline double phase_least(const double v[3])
{
	double low = v[0] < v[1] ? v[0] : v[1];

	return low < v[2] ? low : v[2];
}

#endif
