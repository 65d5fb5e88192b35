// SPDX-License-Identifier: Apache-2.0
/*
 * Further cues: what learns beside other work on the same thread, what kind of work that is, and
 * whether products feed each other as the layers of a model do.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* --- what learns --- */

/* Backward asks for a weight gradient over the tokens, which nobody else contracts over, and for as much or
 * twice as much besides (input gradients, forward again); forward asks for at least as much. The dimension of
 * the tokens, or -1. */
static int learned_over(const struct group *g, int backward)
{
	double own = g->by_thread[backward], rest = g->ops - own;

	for (int d = 0; d < 3 && own > 0; d++) {
		double gradient = g->over_backward[d], others = g->over[d] - g->over_backward[d];
		bool is_alone = g->dim[d] != g->dim[(d + 1) % 3] && g->dim[d] != g->dim[(d + 2) % 3];

		if (is_alone && gradient >= 0.27 * own && gradient <= 0.55 * own && others <= 0.02 * rest &&
		    rest >= 0.8 * gradient)
			return d;
	}
	return -1;
}

static int by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/* A dimension of those that learned layers met as tokens. */
static bool has_tokens(const struct group *g, const uint64_t *tokens, size_t count)
{
	for (int d = 0; d < 3 && count; d++)
		if (bsearch(&g->dim[d], tokens, count, sizeof(*tokens), by_number))
			return true;
	return false;
}

/* How often forward goes through a weight for each time that backward does: more than once, if it goes
 * through all of them for something else as well. */
static void times_note(struct phase_learned *l, const struct group *g, double once, const struct judge *j)
{
	double times = once > 0 ? (g->ops - g->by_thread[j->backward]) / once : 0;

	if (times > 0 && g->ops >= 0.003 * j->ops && (l->least_times == 0 || times < l->least_times))
		l->least_times = times;
}

static void learned_add(struct phase_learned *l, const struct group *g, int d, const struct judge *j)
{
	double gradient = g->over_backward[d], own = g->by_thread[j->backward], rest = g->ops - own;

	l->share += (own + fmin(rest, gradient)) / j->ops;
	l->beside += fmax(0, rest - gradient) / j->ops;
	l->forward += rest / j->ops;
	times_note(l, g, gradient, j);
}

int phase_learned(const struct judge *j, const struct groups *g, struct phase_learned *ret)
{
	_cleanup_free_ uint64_t *tokens = calloc(g->count + 1, sizeof(*tokens));
	size_t n = 0;

	*ret = (struct phase_learned){ 0 };
	if (!tokens)
		return -ENOMEM;
	for (size_t i = 0; i < g->count && j->backward >= 0; i++) {
		int d = learned_over(&g->item[i], j->backward);

		if (d < 0) {
			times_note(ret, &g->item[i], g->item[i].by_thread[j->backward], j);
			continue;
		}
		tokens[n++] = g->item[i].dim[d];
		learned_add(ret, &g->item[i], d, j);
	}
	if (n)
		qsort(tokens, n, sizeof(*tokens), by_number);
	for (size_t i = 0; i < g->count && j->backward >= 0; i++) {
		const struct group *x = &g->item[i];
		bool is_square = x->dim[0] == x->dim[1] || x->dim[1] == x->dim[2];

		if (x->by_thread[j->backward] > 0)
			continue;
		if (has_tokens(x, tokens, n))
			ret->same_tokens += x->ops / j->ops;
		else if (is_square)
			ret->square += x->ops / j->ops;
		else
			ret->foreign += x->ops / j->ops;
	}
	return 0;
}

/* --- layers that feed each other --- */

/* One product as a forward pass would have it: `tokens` rows, `in` contracted, `out` made. */
struct layer {
	uint64_t tokens, in, out;
	double ops, calls;
};

static int by_in(const void *x, const void *y)
{
	const struct layer *a = x, *b = y;

	if (a->tokens != b->tokens)
		return a->tokens < b->tokens ? -1 : 1;
	return a->in < b->in ? -1 : a->in > b->in;
}

static int by_out(const void *x, const void *y)
{
	const struct layer *a = x, *b = y;

	if (a->tokens != b->tokens)
		return a->tokens < b->tokens ? -1 : 1;
	return a->out < b->out ? -1 : a->out > b->out;
}

/* Layers of a model are of several sizes (weights of two different pairs of dimensions at least), and some
 * are there more often than others. */
struct sizes {
	uint64_t low, high;
	bool has_two;
	double least, most; /* calls */
};

static void sizes_add(struct sizes *s, const struct layer *l)
{
	uint64_t low = l->in < l->out ? l->in : l->out, high = l->in < l->out ? l->out : l->in;

	s->least = s->least == 0 ? l->calls : fmin(s->least, l->calls);
	s->most = fmax(s->most, l->calls);
	if (low == high)
		return;
	s->has_two |= s->low && (s->low != low || s->high != high);
	s->low = low;
	s->high = high;
}

static size_t layers_make(const struct run *r, bool at_m, struct layer *in, struct layer *out)
{
	size_t n = 0;

	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		if (p->batch == 1)
			in[n++] = (struct layer){ at_m ? p->m : p->n, p->k, at_m ? p->n : p->m,
						  2.0 * (double)p->m * (double)p->n * (double)p->k *
							  (double)p->calls,
						  (double)p->calls };
	}
	memcpy(out, in, n * sizeof(*in));
	if (n) {
		qsort(in, n, sizeof(*in), by_in);
		qsort(out, n, sizeof(*out), by_out);
	}
	return n;
}

/* Share of the operations of products whose input another makes for the same tokens and whose output another
 * takes, the last layer included. Negative: no memory. */
static double chained(const struct judge *j, const struct run *r, bool at_m)
{
	_cleanup_free_ struct layer *in = calloc(r->product_count + 1, sizeof(*in));
	_cleanup_free_ struct layer *out = calloc(r->product_count + 1, sizeof(*out));
	struct sizes sizes = { 0 };
	double sum = 0, wide = 0;
	size_t n;

	if (!in || !out)
		return -1;
	n = layers_make(r, at_m, in, out);
	for (size_t i = 0; i < n; i++) {
		struct layer takes = { in[i].tokens, in[i].out, 0, 0 },
			     makes = { in[i].tokens, 0, in[i].in, 0 };
		bool is_taken = bsearch(&takes, in, n, sizeof(takes), by_in);
		bool is_made = bsearch(&makes, out, n, sizeof(makes), by_out);

		if (in[i].in != in[i].out && is_taken && is_made)
			wide += in[i].ops;
		if (is_made && in[i].ops > 0.005 * j->ops)
			sizes_add(&sizes, &in[i]);
		if (is_made && (is_taken || in[i].out != in[i].tokens))
			sum += in[i].ops;
	}
	return wide > 0.1 * j->ops && sizes.has_two && sizes.most >= 1.9 * sizes.least ? sum / j->ops : 0;
}

int phase_chained(const struct judge *j, const struct run *r, double *ret)
{
	double at_m = chained(j, r, true), at_n = chained(j, r, false);

	*ret = fmax(at_m, at_n);
	return at_m < 0 || at_n < 0 ? -ENOMEM : 0;
}

/* Of a layer and its way back (up and down) both forms are asked for alike, and nothing tells which is which.
 */
static bool leans(const struct group *g, double rest)
{
	double most = 0, second = 0;

	if (g->dim[0] == g->dim[1] || g->dim[1] == g->dim[2])
		return false;
	for (int d = 0; d < 3; d++) {
		double share = (g->over[d] - g->over_backward[d]) / rest;

		second = share > most ? most : fmax(second, share);
		most = fmax(most, share);
	}
	return most - second > 0.25;
}

/* How differently threads contract what they share: 0 the same forms, 1 quite others. */
double phase_forms_apart(const struct judge *j, const struct groups *g, int backward)
{
	double apart = 0, told = 0;

	for (size_t i = 0; i < g->count && backward >= 0; i++) {
		const struct group *x = &g->item[i];
		double own = x->by_thread[backward], rest = x->ops - own, sum = 0;

		if (own <= 0 || rest <= 0 || !leans(x, rest))
			continue;
		for (int d = 0; d < 3; d++)
			sum += fabs(x->over_backward[d] / own - (x->over[d] - x->over_backward[d]) / rest) /
			       2;
		apart += sum * x->ops;
		told += x->ops;
	}
	return told > 0.3 * j->ops ? apart / told : 1;
}

/* On one thread: does every large weight go both ways, forward and for the input gradient? In inference the
 * head and narrow projections go one way only. */
bool phase_goes_both_ways(const struct judge *j, const struct groups *g)
{
	bool has_wide = false;

	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		int ways = 0;

		if (x->ops < 0.01 * j->ops || x->dim[0] == x->dim[1] || x->dim[1] == x->dim[2])
			continue;
		for (int d = 0; d < 3; d++)
			ways += x->over[d] >= 0.2 * x->ops;
		if (ways < 2)
			return false;
		has_wide = true;
	}
	return has_wide;
}
