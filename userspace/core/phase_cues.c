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
 * twice as much besides (input gradients, forward again); forward asks for at least as much. */
static bool may_be_tokens(const struct group *g, int d, int backward)
{
	double own = g->by_thread[backward], rest = g->ops - own;
	double gradient = g->over_backward[d], others = g->over[d] - g->over_backward[d];
	bool is_alone = g->dim[d] != g->dim[(d + 1) % 3] && g->dim[d] != g->dim[(d + 2) % 3];

	return own > 0 && is_alone && gradient >= 0.27 * own && gradient <= 0.55 * own &&
	       others <= 0.02 * rest && rest >= 0.8 * gradient;
}

/* A dimension that may be tokens', and the operations of the groups that say so. */
struct candidate {
	uint64_t value;
	double ops;
};

static int by_value(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	return a->value < b->value ? -1 : a->value > b->value;
}

/* -ENOMEM. The caller frees. */
static int candidates_make(const struct judge *j, const struct groups *g, struct candidate **ret,
			   size_t *ret_count)
{
	struct candidate *c = calloc(3 * g->count + 1, sizeof(*c));
	size_t n = 0, kept = 0;

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < g->count && j->backward >= 0; i++)
		for (int d = 0; d < 3; d++)
			if (may_be_tokens(&g->item[i], d, j->backward))
				c[n++] = (struct candidate){ g->item[i].dim[d], g->item[i].ops };
	if (n)
		qsort(c, n, sizeof(*c), by_value);
	for (size_t i = 0; i < n; i++) {
		if (kept && c[kept - 1].value == c[i].value)
			c[kept - 1].ops += c[i].ops;
		else
			c[kept++] = c[i];
	}
	*ret = c;
	*ret_count = kept;
	return 0;
}

/* Of one layer alone its output may be the tokens as well: what most layers have in common is. -1: it does
 * not learn. */
static int learned_over(const struct group *g, int backward, const struct candidate *c, size_t count)
{
	double most = 0;
	int best = -1;

	for (int d = 0; d < 3; d++) {
		struct candidate key = { g->dim[d], 0 };
		const struct candidate *at = count && may_be_tokens(g, d, backward)
						     ? bsearch(&key, c, count, sizeof(key), by_value)
						     : NULL;

		if (at && at->ops > most) {
			most = at->ops;
			best = d;
		}
	}
	return best;
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

/* --- evaluation --- */

/* A weight that learns, or one that only goes forward for other tokens. */
struct met {
	uint64_t tokens, low, high;
	double ops;
};

static int by_weight(const void *x, const void *y)
{
	const struct met *a = x, *b = y;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return a->high < b->high ? -1 : a->high > b->high;
}

static int by_tokens(const void *x, const void *y)
{
	const struct met *a = x, *b = y;

	return a->tokens < b->tokens ? -1 : a->tokens > b->tokens ? 1 : by_weight(x, y);
}

static struct met met_of(const struct group *g, int tokens)
{
	uint64_t a = g->dim[(tokens + 1) % 3], b = g->dim[(tokens + 2) % 3];

	return (struct met){ g->dim[tokens], a < b ? a : b, a < b ? b : a, g->ops };
}

static size_t distinct(struct met *m, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(m, n, sizeof(*m), by_weight);
	for (size_t i = 0; i < n; i++)
		if (!kept || by_weight(&m[kept - 1], &m[i]))
			m[kept++] = m[i];
	return kept;
}

/* Operations of forward passes through all the weights that learn, the head too, for tokens of about as many
 * as learning meets: an evaluation. Requests that are served meet few tokens each, or leave the head out but
 * for the last. */
static int evaluated(const struct judge *j, const struct groups *g, const struct candidate *c,
		     size_t candidates, uint64_t least_tokens, double *ret)
{
	_cleanup_free_ struct met *learns = calloc(g->count + 1, sizeof(*learns));
	_cleanup_free_ struct met *other = calloc(3 * g->count + 1, sizeof(*other));
	size_t n = 0, others = 0;

	*ret = 0;
	if (!learns || !other)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++) {
		int d = learned_over(&g->item[i], j->backward, c, candidates);

		if (d >= 0 && g->item[i].ops >= 0.003 * j->ops)
			learns[n++] = met_of(&g->item[i], d);
	}
	n = distinct(learns, n);
	for (size_t i = 0; i < g->count && n >= 3; i++)
		for (int d = 0; d < 3; d++) {
			struct met m = met_of(&g->item[i], d);

			if (g->item[i].by_thread[j->backward] <= 0 && m.tokens >= least_tokens / 8 &&
			    bsearch(&m, learns, n, sizeof(m), by_weight))
				other[others++] = m;
		}
	if (others)
		qsort(other, others, sizeof(*other), by_tokens);
	for (size_t i = 0, end; i < others; i = end) {
		double ops = 0;

		for (end = i; end < others && other[end].tokens == other[i].tokens; end++)
			ops += other[end].ops;
		*ret += end - i == n ? ops / j->ops : 0;
	}
	return 0;
}

static void add_rest(const struct judge *j, const struct groups *g, const uint64_t *tokens, size_t n,
		     struct phase_learned *ret)
{
	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		bool is_square = x->dim[0] == x->dim[1] || x->dim[1] == x->dim[2];

		if (x->by_thread[j->backward] > 0)
			ret->returned += x->ops >= 1.8 * x->by_thread[j->backward] ? x->ops / j->ops : 0;
		else if (has_tokens(x, tokens, n))
			ret->same_tokens += x->ops / j->ops;
		else if (is_square)
			ret->square += x->ops / j->ops;
		else
			ret->foreign += x->ops / j->ops;
	}
}

int phase_learned(const struct judge *j, const struct groups *g, struct phase_learned *ret)
{
	_cleanup_free_ uint64_t *tokens = calloc(g->count + 1, sizeof(*tokens));
	_cleanup_free_ struct candidate *c = NULL;
	size_t n = 0, candidates;

	*ret = (struct phase_learned){ 0 };
	if (!tokens || candidates_make(j, g, &c, &candidates))
		return -ENOMEM;
	if (j->backward < 0)
		return 0;
	for (size_t i = 0; i < g->count; i++) {
		int d = learned_over(&g->item[i], j->backward, c, candidates);

		if (d < 0) {
			times_note(ret, &g->item[i], g->item[i].by_thread[j->backward], j);
			continue;
		}
		tokens[n++] = g->item[i].dim[d];
		learned_add(ret, &g->item[i], d, j);
	}
	if (n)
		qsort(tokens, n, sizeof(*tokens), by_number);
	add_rest(j, g, tokens, n, ret);
	return n ? evaluated(j, g, c, candidates, tokens[0], &ret->evaluated) : 0;
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
