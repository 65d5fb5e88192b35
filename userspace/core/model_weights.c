// SPDX-License-Identifier: Apache-2.0
/* From products to weights: which dimension is the tokens', what is left, and who asks for it. */
#include "model_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define GRAMS_MAX 256 /* looked for one by one */

/* --- weights and who asks for them --- */

/* One of 64 bits for each number of tokens: equal sets have equal bits. */
static uint64_t bit_of(uint64_t tokens)
{
	return 1ULL << (tokens * 0x9e3779b97f4a7c15ULL >> 58);
}

int model_by_pair(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;

	if (a->small != b->small)
		return a->small < b->small ? -1 : 1;
	return a->large < b->large ? -1 : a->large > b->large;
}

static void ask(struct asked *a, double calls, uint64_t tokens)
{
	a->calls += calls;
	a->tokens += calls * (double)tokens;
}

static void add_asked(struct asked *a, const struct asked *b)
{
	a->calls += b->calls;
	a->tokens += b->tokens;
}

int model_calls_by_thread(const struct run *r, double (**ret)[RUN_THREADS_MAX])
{
	double(*c)[RUN_THREADS_MAX] = calloc(r->product_count + 1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < r->product_count; i++)
		for (int t = 0; t < RUN_THREADS_MAX && r->has_threads; t++)
			c[i][t] = (double)r->products[i].calls_by_thread[t];
	for (size_t i = 0; i < r->step_count && !r->has_threads; i++) {
		uint32_t t = r->steps[i].thread < RUN_THREADS_MAX ? r->steps[i].thread : RUN_THREADS_MAX - 1;

		c[r->steps[i].product][t] += r->steps[i].repeat;
	}
	for (size_t i = 0; i < r->product_count && !r->has_threads && !r->step_count; i++)
		c[i][0] = (double)r->products[i].calls;
	*ret = c;
	return 0;
}

static void pair_take(struct pair *p, const struct reading *x, const double calls[RUN_THREADS_MAX],
		      int backward)
{
	double all = 0, own = backward >= 0 ? calls[backward] : 0;

	for (int t = 0; t < RUN_THREADS_MAX; t++)
		all += calls[t];
	*p = (struct pair){
		.small = x->small,
		.large = x->large,
		.first_tokens = x->tokens,
		.forms = 1,
		.tokens_seen = bit_of(x->tokens),
	};
	ask(x->is_weight_gradient ? &p->gradient
	    : x->over_small	  ? &p->over_small
				  : &p->over_large,
	    all, x->tokens);
	if (!x->is_weight_gradient) {
		ask(&p->forward, all - own, x->tokens);
		ask(&p->backward, own, x->tokens);
	}
}

static void pair_merge(struct pair *a, const struct pair *b)
{
	add_asked(&a->gradient, &b->gradient);
	add_asked(&a->over_small, &b->over_small);
	add_asked(&a->over_large, &b->over_large);
	add_asked(&a->forward, &b->forward);
	add_asked(&a->backward, &b->backward);
	a->forms += b->forms;
	a->is_batched |= b->is_batched;
	a->tokens_seen |= b->tokens_seen;
	a->has_many_tokens |= b->has_many_tokens || a->first_tokens != b->first_tokens;
}

static int pairs_merge(struct judging *j, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(j->pair, n, sizeof(*j->pair), model_by_pair);
	for (size_t i = 0; i < n; i++) {
		if (kept && !model_by_pair(&j->pair[kept - 1], &j->pair[i]))
			pair_merge(&j->pair[kept - 1], &j->pair[i]);
		else
			j->pair[kept++] = j->pair[i];
	}
	j->count = kept;
	return 0;
}

static struct pair *pair_find(const struct judging *j, uint64_t a, uint64_t b)
{
	struct pair key = { .small = a < b ? a : b, .large = a < b ? b : a };

	return j->count ? bsearch(&key, j->pair, j->count, sizeof(key), model_by_pair) : NULL;
}

/* The backward thread's part in a weight that forward has shown. What may be two things is no weight
 * gradient. */
static void take_backward(struct judging *j, const struct run_product *p, double calls)
{
	uint64_t side = j->at_m ? p->m : p->n, other = j->at_m ? p->n : p->m;
	struct pair *as_gradient = pair_find(j, p->m, p->n), *as_other = pair_find(j, other, p->k);

	as_gradient = as_gradient && (p->batch == 1 || as_gradient->is_batched) ? as_gradient : NULL;
	as_other = as_other && (p->batch == 1 || as_other->is_batched) ? as_other : NULL;
	calls *= (double)p->batch;
	if (as_other && side == as_other->first_tokens && as_gradient && p->k == as_gradient->first_tokens)
		as_gradient = side == p->k ? NULL : as_gradient;
	if (as_gradient && (p->k == as_gradient->first_tokens || as_gradient->has_many_tokens || !as_other))
		ask(&as_gradient->gradient, calls, p->k);
	else if (as_other)
		ask(&as_other->backward, calls, side);
}

/* X^T X of what goes into a layer is no weight: another product contracts over the same side for the same
 * tokens. */
static bool is_gram(const struct judging *j, const struct run_product *p)
{
	if (p->m != p->n || p->m == p->k || p->batch != 1)
		return false;
	for (size_t i = 0; i < j->run->product_count; i++) {
		const struct run_product *x = &j->run->products[i];

		if (x->k == p->m && x->batch == 1 && (j->at_m ? x->m : x->n) == p->k)
			return true;
	}
	return false;
}

/* Forward passes that nobody goes back through (an optimizer's products, an evaluation, a rollout, layers
 * below those that learn) are told by their tokens, and are no part of what learns. */
static int pairs_forward(struct judging *j, size_t *ret)
{
	int b = j->phase->backward;
	size_t n = 0, grams = 0;
	_cleanup_(model_answers_done) struct answers answers = { 0 };

	if (model_answers_make(j, j->at_m, &answers))
		return -ENOMEM;
	for (size_t i = 0; i < j->run->product_count; i++) {
		double calls[RUN_THREADS_MAX], forward = model_forward_calls(j, i, j->at_m);
		struct reading x;

		if (forward <= 0)
			continue;
		if (b < 0 && grams < GRAMS_MAX && is_gram(j, &j->run->products[i])) {
			grams++;
			continue;
		}
		x = model_read_side(&j->run->products[i], j->at_m);
		if (!model_may_learn(j, &answers, &x)) {
			j->other += forward * (double)j->run->products[i].batch * (double)x.small *
				    (double)x.large;
			continue;
		}
		memcpy(calls, j->calls[i], sizeof(calls));
		if (b >= 0)
			calls[b] = 0;
		for (int t = 0; t < RUN_THREADS_MAX; t++)
			calls[t] *= (double)j->run->products[i].batch;
		pair_take(&j->pair[n++], &x, calls, b);
		j->pair[n - 1].is_batched = j->run->products[i].batch > 1;
	}
	*ret = n;
	return 0;
}

static int pairs_by_side(struct judging *j)
{
	int b = j->phase->backward;
	size_t n = 0;
	int rc = model_input_find(j);

	rc = rc ?: pairs_forward(j, &n);

	if (rc)
		return rc;
	rc = pairs_merge(j, n);
	for (size_t i = 0; i < j->run->product_count && rc == 0 && b >= 0; i++)
		if (j->calls[i][b] > 0)
			take_backward(j, &j->run->products[i], j->calls[i][b]);
	return rc;
}

int model_pairs_make(struct judging *j)
{
	size_t n = 0;

	j->pair = calloc(j->run->product_count + 1, sizeof(*j->pair));
	if (!j->pair)
		return -ENOMEM;
	for (size_t i = 0; i < j->whole->product_count; i++)
		j->ops += model_ops_of(&j->whole->products[i]);
	if (j->by_side)
		return pairs_by_side(j);
	for (size_t i = 0; i < j->run->product_count; i++) {
		struct reading x;

		if (model_read_product(&j->dims, &j->run->products[i], j->at_m, &x))
			pair_take(&j->pair[n++], &x, j->calls[i], j->phase->backward);
	}
	return pairs_merge(j, n);
}
