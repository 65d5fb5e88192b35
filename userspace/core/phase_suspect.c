// SPDX-License-Identifier: Apache-2.0
/*
 * What honest work does not leave: shapes that were asked for to be seen. Each finding takes a verdict away;
 * none gives one, for who forges shapes could forge a finding as well.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "kernel_role.h"
#include "phase_internal.h"

#define HEAD_FROM 512	/* outputs: a vocabulary */
#define HEAD_CALLS 0.34 /* of what other layers are asked for that read the same */
#define DILUTED 8 /* forward passes for one that is learned from: more than an evaluation at each step */
#define REDUCED_OF_MET 0.5 /* bytes for each weight that is met */
#define MADE_BYTES_MAX 4   /* of one number that a product makes */
#define NAMED_LEAST 8	   /* launches */

/* A layer as it is read: what it contracts over and one side of the result. */
struct read {
	uint64_t over, side;
	double calls;
};

static int by_read(const void *x, const void *y)
{
	const struct read *a = x, *b = y;

	if (a->over != b->over)
		return a->over < b->over ? -1 : 1;
	return a->side < b->side ? -1 : a->side > b->side;
}

struct reads {
	struct read *item; /* sorted, each once */
	size_t count;
};

static void reads_done(struct reads *r)
{
	free(r->item);
}

static int reads_make(const struct judge *j, struct reads *ret)
{
	size_t n = 0, kept = 0;

	ret->item = calloc(2 * j->shapes + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];

		if (s->batch != 1)
			continue;
		ret->item[n++] = (struct read){ s->k, s->m, s->calls };
		if (s->m != s->n)
			ret->item[n++] = (struct read){ s->k, s->n, s->calls };
	}
	if (n)
		qsort(ret->item, n, sizeof(*ret->item), by_read);
	for (size_t i = 0; i < n; i++) {
		if (kept && !by_read(&ret->item[kept - 1], &ret->item[i]))
			ret->item[kept - 1].calls += ret->item[i].calls;
		else
			ret->item[kept++] = ret->item[i];
	}
	ret->count = kept;
	return 0;
}

static const struct read *first_over(const struct reads *r, uint64_t over)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->item[mid].over < over)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->count && r->item[low].over == over ? &r->item[low] : NULL;
}

/* Whether the side is asked for much less often than others that read the same: than the second most, as the
 * most may be the tokens', which are a side of all. */
static bool is_rare(const struct reads *r, uint64_t over, uint64_t side)
{
	double own = 0, most = 0, second = 0;

	for (const struct read *x = first_over(r, over); x && x < r->item + r->count && x->over == over;
	     x++) {
		second = x->calls > most ? most : fmax(second, x->calls);
		most = fmax(most, x->calls);
		own = x->side == side ? x->calls : own;
	}
	return own > 0 && own <= HEAD_CALLS * second;
}

static int by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/* Whether any product has two sides that nothing contracts over: most runs have none, and are done with.
 * -ENOMEM; 0, 1. */
static int has_unreturned(const struct judge *j)
{
	_cleanup_free_ uint64_t *over = calloc(j->shapes + 1, sizeof(*over));
	size_t n = 0;

	if (!over)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++)
		over[n++] = j->shape[i].k;
	if (n)
		qsort(over, n, sizeof(*over), by_number);
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];

		if (s->batch == 1 && s->n >= HEAD_FROM &&
		    !bsearch(&s->m, over, n, sizeof(*over), by_number) &&
		    !bsearch(&s->n, over, n, sizeof(*over), by_number))
			return 1;
	}
	return 0;
}

/* Weights with that dimension are there in all three forms. */
static bool learns_with(const struct groups *g, uint64_t dim)
{
	for (size_t i = 0; i < g->count; i++)
		if (phase_least(g->item[i].over) > 0 &&
		    (g->item[i].dim[0] == dim || g->item[i].dim[1] == dim || g->item[i].dim[2] == dim))
			return true;
	return false;
}

/*
 * Learning goes back through the last layer: what it makes is contracted over (for the input gradient), or
 * the tokens that it met (for its weight gradient). A head over what learns that is only gone forward
 * through, for tokens that nothing learns from, belongs to requests that are answered.
 */
static int has_unreturned_head(const struct judge *j, const struct groups *g, bool *ret)
{
	_cleanup_(reads_done) struct reads r = { 0 };
	int rc = has_unreturned(j);

	*ret = false;
	if (rc <= 0)
		return rc;
	rc = reads_make(j, &r);
	for (size_t i = 0; i < j->shapes && rc == 0 && !*ret; i++) {
		const struct shape *s = &j->shape[i];

		if (s->batch != 1 || s->n < HEAD_FROM || first_over(&r, s->m) || first_over(&r, s->n))
			continue;
		*ret = ((s->n >= HEAD_FROM && is_rare(&r, s->k, s->n)) ||
			(s->m >= HEAD_FROM && is_rare(&r, s->k, s->m))) &&
		       learns_with(g, s->k);
	}
	return rc;
}

/*
 * A live run has sums, so the sizes of single calls are not known: what passes all that products have made
 * cannot be activations that ranks share.
 */
static bool reduces_gradients(const struct run *r, const struct groups *g, double reduced)
{
	double made = 0;

	for (size_t i = 0; i < r->product_count && r->has_threads; i++)
		made += MADE_BYTES_MAX * (double)r->products[i].batch * (double)r->products[i].m *
			(double)r->products[i].n * (double)r->products[i].calls;
	return reduced > made && reduced >= REDUCED_OF_MET * phase_weights_met(g);
}

/* Names are claims: they take a verdict of inference away, and nothing else. */
static bool is_named_learning(const struct phase_judgement *p)
{
	return p->named_backward >= NAMED_LEAST || p->named_optimizer >= NAMED_LEAST;
}

void phase_names(const struct run *r, struct phase_judgement *ret)
{
	ret->named_backward = r->named_backward;
	ret->named_optimizer = r->named_optimizer;
	for (size_t i = 0; i < r->launch_count; i++) {
		enum om_kernel_role role = om_kernel_role_of(r->launches[i].kernel);

		if (role == OM_ROLE_BACKWARD)
			ret->named_backward += r->launches[i].launches;
		else if (role == OM_ROLE_OPTIMIZER)
			ret->named_optimizer += r->launches[i].launches;
	}
}

int phase_suspect(const struct judge *j, const struct groups *g, const struct run *r,
		  const struct phase_learned *l, double reduced, struct phase_judgement *ret)
{
	bool is_unreturned = false;
	int rc = ret->verdict == PHASE_IS_TRAINING ? has_unreturned_head(j, g, &is_unreturned) : 0;

	if (is_unreturned)
		ret->suspicion = "products look like gradients, but nothing goes back through the last layer";
	else if (ret->verdict == PHASE_IS_TRAINING && l->least_times >= DILUTED)
		ret->suspicion = "through each weight that learns far more goes forward than is learned from";
	else if (ret->verdict == PHASE_IS_INFERENCE && reduces_gradients(r, g, reduced))
		ret->suspicion = "products go forward only, but ranks add up as many numbers as weights have";
	else if (ret->verdict == PHASE_IS_INFERENCE && is_named_learning(ret))
		ret->suspicion =
			"products go forward only, but kernels are named as backward's or an optimizer's";
	if (ret->suspicion)
		ret->verdict = PHASE_IS_UNKNOWN;
	ret->is_forged = is_unreturned;
	return rc;
}
