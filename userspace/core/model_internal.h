/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_MODEL_INTERNAL_H
#define OPMETER_CORE_MODEL_INTERNAL_H

/* What core/model*.c share: tokens are told (model_sides.c), products become weights (model_weights.c),
 * weights are met so often in a pass (model_passes.c), and that comes to a model (model.c). */

#include <math.h>

#include "model.h"

#define MODEL_NEAR 0.02	      /* two figures that are the same but for chance */
#define MODEL_ROUTED_MAX 1024 /* experts */
#define MODEL_ROUTED_FROM 4   /* a hidden size is so many times larger */
#define MODEL_LAYERS_MAX 512  /* no model is deeper: where the passes are not known */

/* A dimension by where it stands: tokens keep to one side, weights come on both. */
struct dim {
	uint64_t value;
	double at_m, at_n;
};

struct dims {
	struct dim *item; /* by value */
	size_t count;
};

/* The product's two other dimensions, and its tokens. */
struct reading {
	uint64_t small, large, tokens;
	bool is_weight_gradient, over_small;
};

struct asked {
	double calls, tokens; /* tokens: summed over calls */
};

struct pair {
	uint64_t small, large;
	struct asked gradient, over_small, over_large, forward, backward; /* the last two by thread */
	uint64_t first_tokens;
	bool has_many_tokens; /* calls differ in them */
	uint64_t tokens_seen; /* a bit for each number of them */
	uint32_t forms;	      /* products that are of it: by tokens and direction */
	bool is_batched;      /* several in one product */
	bool is_uneven;	      /* meets as many tokens as come: experts */
	struct asked pass;    /* what stands for its forward passes */
	double copies, active;
	double copies_high; /* of experts, by the router; 0: no more than copies */
	bool is_experts;
	double told, sure;	      /* by their buffers: copies, and those that learn; 0: not told */
	uint32_t met_least, met_most; /* how often one of them is met */
	double tokens_all, tokens_least, tokens_most; /* that all of them, and that one of them meets */
};

/* Weights of one size, told one by one by their buffers. */
struct model_told {
	uint64_t small, large;
	double copies, sure; /* sure: that backward has met, or all where there is none */
	uint32_t batch;
	uint32_t least, most; /* how often one of them was met, reads in a row taken for one */
	uint32_t again;	      /* the most before backward began */
	double tokens, tokens_least, tokens_most; /* met by all, by one */
};

struct judging {
	const struct run *run, *whole;		      /* whole: with what is set aside */
	const struct phase_judgement *phase, *judged; /* as it is used here, and as it was judged */
	struct phase_judgement turned, threaded;
	struct run ordered; /* one thread's, with backward on one of its own (model_order.c) */
	bool is_ordered;
	struct run left; /* without what is set aside (model_aside.c): products and steps of its own */
	bool has_left;
	double (*calls)[RUN_THREADS_MAX]; /* of each product, by thread */
	struct dims dims;
	bool at_m;    /* tokens stand there, else at n */
	bool by_side; /* forward is told by who asks, so tokens are what stands on their side, even where a
			 weight has that size */
	struct pair *pair;
	size_t count, left_out;
	double ops, other; /* other: calls x size of weights that nobody asks gradients through */
	bool learns;
	double told_passes; /* by another rank; 0: none tells */
	double chunks;	/* of the tokens, if what tells the passes is asked for so often in one; 1: it is not
			 */
	uint64_t input; /* what most forward products contract over */
	struct model_told *told; /* by pair; none: buffers tell nothing */
	size_t tolds;
	bool may_tell;	      /* buffers are looked at, or have told */
	bool is_contradicted; /* what shapes tell is not what buffers do */
	uint32_t cut;	   /* windows whose ends are anywhere: weights are met so many times more or less */
	bool is_part;	   /* some of the work that backward may answer is taken for somebody else's */
	bool is_seen_once; /* a sample has one time round and no more */
	double apart;	   /* parameters that are told and not the model's: a draft model, a loss */
	bool is_open;	   /* no weight is there once: buffers may be filled anew for each layer */
	struct model_fingerprint *f;
};

/* A weight for so many tokens that the backward thread asks a gradient of: of the input or of the weight. */
struct answer {
	uint64_t tokens, small, large;
};

struct answers {
	struct answer *item; /* sorted */
	size_t count;
	bool is_asked; /* false: nobody goes back, so nothing is told */
};

/* model.c. From the weights and layers, `vocabulary` being 0 before. */
void model_name_dims(struct model_fingerprint *f);

/* model_sides.c. Negative: -ENOMEM. */
int model_dims_make(const struct run *r, struct dims *ret);
double model_ops_of(const struct run_product *p);
double model_share_read(const struct run *r, const struct dims *d, bool at_m);
bool model_read_product(const struct dims *d, const struct run_product *p, bool at_m, struct reading *ret);
void model_side_by_values(const struct dims *d, bool *at_m);
double model_same_tokens(const struct judging *j, bool at_m); /* negative: no memory */
struct reading model_read_side(const struct run_product *p, bool at_m);
double model_forward_calls(const struct judging *j, size_t product, bool at_m); /* 0 if it meets no weight */
int model_input_find(struct judging *j);
int model_answers_make(const struct judging *j, bool at_m, struct answers *ret);
void model_answers_done(struct answers *a);
bool model_is_answered(const struct answers *a, const struct reading *x);
bool model_is_tokens_of(const struct answers *a, uint64_t tokens);
bool model_may_learn(const struct judging *j, const struct answers *a, const struct reading *x);

/* model_weights.c. Negative: -ENOMEM. */
int model_calls_by_thread(const struct run *r, double (**ret)[RUN_THREADS_MAX]);
int model_pairs_make(struct judging *j);
int model_by_pair(const void *x, const void *y); /* an order of pairs */

/* model_told.c */
/* Tells weights one by one by their buffers, if they can be, and leaves in `calls` those that go forward
 * through the model's own. -ENOMEM. */
int model_identities(struct judging *j);
void model_take_told(const struct judging *j, struct pair *p);
double model_passes_told(const struct judging *j); /* each weight is met once in a pass */
double model_layers_told(const struct judging *j); /* 0: no number fits */

/* model_aside.c */
/* Sets products of optimizers and solvers aside. -ENOMEM. */
int model_set_aside(struct judging *j);

/* model_order.c */
/* Where one thread asks for everything: tells from the order and the buffers which steps go back, and puts
 * them on a thread of their own. -ENOMEM. */
int model_order(struct judging *j);
/* Which steps of a run go back, by the order and the buffers alone. -ENOMEM. */
int model_directions(const struct run *r, bool *ret_back);

/* model_even.c */
const struct pair *model_largest_layer(const struct judging *j); /* never NULL where there are weights */
bool model_is_met_evenly(const struct judging *j);
/* The fewest tokens that one weight meets; 0: not known. */
double model_least_tokens(const struct judging *j);

/* model_passes.c */
bool model_learns(const struct judging *j);
void model_pairs_choose(struct judging *j);
int model_passes(struct judging *j, double *ret_tokens, double *ret_passes); /* -ENOMEM */
double model_once_by(const struct pair *p, double tokens);
const struct pair *model_main_pair(const struct judging *j); /* that most of the work goes through */
double model_mean_tokens(const struct pair *p);

static inline double model_size_of(const struct pair *p)
{
	return (double)p->small * (double)p->large;
}

static inline bool model_is_whole(double v)
{
	return v >= 0.98 && fabs(v - round(v)) <= MODEL_NEAR * fmax(1, round(v)) / 2;
}

/* Of numbers that are about whole: the greatest common divisor. model_passes.c */
double model_gcd(double a, double b);

static inline bool model_is_near(double a, double b)
{
	return fabs(a - b) <= MODEL_NEAR * fmax(fabs(a), fabs(b));
}

#endif
