// SPDX-License-Identifier: Apache-2.0
/*
 * Further cues: what learns beside other work on the same thread, and what kind of work that is.
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
	       others <= 0.02 * rest && rest >= 0.4 * gradient;
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

int phase_learned_dims(const struct judge *j, const struct groups *g, int **ret)
{
	_cleanup_free_ struct candidate *c = NULL;
	int *dims = calloc(g->count + 1, sizeof(*dims));
	size_t candidates;

	if (!dims || candidates_make(j, g, &c, &candidates)) {
		free(dims);
		return -ENOMEM;
	}
	for (size_t i = 0; i < g->count; i++)
		dims[i] = learned_over(&g->item[i], j->backward, c, candidates);
	*ret = dims;
	return 0;
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

/* --- evaluation and rollouts --- */

/* A weight that learns, or one that only goes forward for other tokens. */
struct met {
	uint64_t tokens, low, high;
	double ops, gradient, generated; /* generated: by threads that neither go backward nor most forward */
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

	return (struct met){
		g->dim[tokens], a < b ? a : b, a < b ? b : a, g->ops, g->over_backward[tokens], 0
	};
}

/* One for each weight: the most tokens that it meets. */
static size_t distinct(struct met *m, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(m, n, sizeof(*m), by_weight);
	for (size_t i = 0; i < n; i++) {
		if (!kept || by_weight(&m[kept - 1], &m[i])) {
			m[kept++] = m[i];
			continue;
		}
		m[kept - 1].tokens = m[i].tokens > m[kept - 1].tokens ? m[i].tokens : m[kept - 1].tokens;
		m[kept - 1].ops += m[i].ops;
		m[kept - 1].gradient += m[i].gradient;
	}
	return kept;
}

/* Weights that learn, in order. -ENOMEM; the caller frees. */
static int learned_weights(const struct judge *j, const struct groups *g, const struct candidate *c,
			   size_t candidates, struct met **ret, size_t *ret_count)
{
	struct met *m = calloc(g->count + 1, sizeof(*m));
	size_t n = 0;

	if (!m)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++) {
		int d = learned_over(&g->item[i], j->backward, c, candidates);

		if (d >= 0 && g->item[i].ops >= 0.003 * j->ops)
			m[n++] = met_of(&g->item[i], d);
	}
	*ret_count = distinct(m, n);
	*ret = m;
	return 0;
}

/* Forward passes through such weights for at least so many tokens, by tokens. -ENOMEM; the caller frees. */
static int forward_only(const struct judge *j, const struct groups *g, const struct met *learns, size_t n,
			uint64_t least_tokens, struct met **ret, size_t *ret_count)
{
	struct met *other = calloc(3 * g->count + 1, sizeof(*other));
	size_t others = 0;

	if (!other)
		return -ENOMEM;
	for (size_t i = 0; i < g->count && n; i++)
		for (int d = 0; d < 3; d++) {
			struct met m = met_of(&g->item[i], d);

			if (g->item[i].by_thread[j->backward] <= 0 && m.tokens >= least_tokens &&
			    bsearch(&m, learns, n, sizeof(m), by_weight))
				other[others++] = m;
		}
	if (others)
		qsort(other, others, sizeof(*other), by_tokens);
	*ret = other;
	*ret_count = others;
	return 0;
}

/* Operations of those that go through all `n` weights for the same tokens, at least so many. */
static double through_all(const struct met *other, size_t others, size_t n, uint64_t least_tokens)
{
	double sum = 0;

	for (size_t i = 0, end; i < others; i = end) {
		double ops = 0;

		for (end = i; end < others && other[end].tokens == other[i].tokens; end++)
			ops += other[end].ops;
		sum += end - i == n && other[i].tokens >= least_tokens ? ops : 0;
	}
	return sum;
}

/* Weights that meet most of the tokens; the others are heads that meet a part of them. Returns how many. */
static size_t keep_wide(struct met *m, size_t n, uint64_t *ret_tokens)
{
	size_t kept = 0;

	*ret_tokens = 0;
	for (size_t i = 0; i < n; i++)
		*ret_tokens = m[i].tokens > *ret_tokens ? m[i].tokens : *ret_tokens;
	for (size_t i = 0; i < n; i++)
		if (m[i].tokens == *ret_tokens)
			m[kept++] = m[i];
	return kept;
}

/* Operations of forward passes through all the weights that learn, the head too, for tokens of about as many
 * as learning meets: an evaluation. Requests that are served meet few tokens each, or leave the head out but
 * for the last. Where learning itself leaves the head out for most tokens, an evaluation may as well: then
 * nothing may go through the layers for few tokens. */
static int evaluated(const struct judge *j, const struct groups *g, struct met *learns, size_t n,
		     uint64_t least_tokens, double *ret)
{
	_cleanup_free_ struct met *other = NULL;
	uint64_t wide;
	size_t others;
	int rc = forward_only(j, g, learns, n, least_tokens / 8, &other, &others);

	if (rc)
		return rc;
	*ret = n >= 3 ? through_all(other, others, n, 0) / j->ops : 0;
	n = *ret > 0 ? n : keep_wide(learns, n, &wide);
	if (*ret > 0 || n < 2 || wide == least_tokens)
		return 0;
	free(other);
	other = NULL;
	rc = forward_only(j, g, learns, n, 0, &other, &others);
	if (rc == 0 && others && other[0].tokens >= wide)
		*ret = through_all(other, others, n, wide) / j->ops;
	return rc;
}

static int main_forward(const struct judge *j)
{
	int best = -1;

	for (int t = 0; t < THREADS_MAX; t++)
		if (t != j->backward && (best < 0 || j->by_thread[t] > j->by_thread[best]))
			best = t;
	return best;
}

/* Work of further threads that makes, and reads, just as many tokens as are learned from: rollouts. What is
 * served to others is as much as others ask for. The head is asked for the last token of a prompt alone. */
static double rolled_out(const struct judge *j, const struct groups *g, struct met *learns, size_t n)
{
	int forward = main_forward(j);
	double all = 0, same = 0;

	for (size_t i = 0; i < g->count; i++) {
		double own =
			g->item[i].ops - g->item[i].by_thread[j->backward] - g->item[i].by_thread[forward];
		struct met *at = NULL;

		for (int d = 0; d < 3 && own > 0 && n && !at; d++) {
			struct met m = met_of(&g->item[i], d);

			at = bsearch(&m, learns, n, sizeof(m), by_weight);
		}
		all += fmax(0, own);
		if (at)
			at->generated += own;
	}
	for (size_t i = 0; i < n; i++) {
		if (fabs(learns[i].generated - learns[i].gradient) <= 0.02 * learns[i].gradient)
			same += learns[i].generated;
		else if (learns[i].generated > learns[i].gradient)
			return 0;
	}
	return same >= 0.7 * all ? all / j->ops : 0;
}

static int learns_beside(const struct judge *j, const struct groups *g, const struct candidate *c,
			 size_t candidates, uint64_t least_tokens, struct phase_learned *ret)
{
	_cleanup_free_ struct met *learns = NULL;
	size_t n;
	int rc = learned_weights(j, g, c, candidates, &learns, &n);

	if (rc)
		return rc;
	ret->rolled_out = rolled_out(j, g, learns, n);
	return evaluated(j, g, learns, n, least_tokens, &ret->evaluated);
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
	return n ? learns_beside(j, g, c, candidates, tokens[0], ret) : 0;
}
