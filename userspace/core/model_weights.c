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

/* --- which dimension is the tokens' --- */

static int by_value(const void *x, const void *y)
{
	const struct dim *a = x, *b = y;

	return a->value < b->value ? -1 : a->value > b->value;
}

static double ops_of(const struct run_product *p)
{
	return 2.0 * (double)p->batch * (double)p->m * (double)p->n * (double)p->k * (double)p->calls;
}

int model_dims_make(const struct run *r, struct dims *ret)
{
	size_t n = 0, kept = 0;

	ret->item = calloc(2 * r->product_count + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		if (p->batch != 1)
			continue;
		ret->item[n++] = (struct dim){ p->m, ops_of(p), 0 };
		ret->item[n++] = (struct dim){ p->n, 0, ops_of(p) };
	}
	if (n)
		qsort(ret->item, n, sizeof(*ret->item), by_value);
	for (size_t i = 0; i < n; i++) {
		if (kept && ret->item[kept - 1].value == ret->item[i].value) {
			ret->item[kept - 1].at_m += ret->item[i].at_m;
			ret->item[kept - 1].at_n += ret->item[i].at_n;
		} else {
			ret->item[kept++] = ret->item[i];
		}
	}
	ret->count = kept;
	return 0;
}

static bool is_tokens(const struct dims *d, uint64_t value, bool at_m)
{
	struct dim key = { .value = value };
	const struct dim *at = d->count ? bsearch(&key, d->item, d->count, sizeof(key), by_value) : NULL;
	double here = at ? (at_m ? at->at_m : at->at_n) : 0, there = at ? (at_m ? at->at_n : at->at_m) : 0;

	return here > 0 && there <= 0.01 * here;
}

static bool read_product(const struct dims *d, const struct run_product *p, bool at_m, struct reading *ret)
{
	uint64_t v[] = { p->m, p->n, p->k };
	int found = 0, which = 0;

	for (int i = 0; i < 3; i++)
		if (is_tokens(d, v[i], at_m)) {
			found++;
			which = i;
		}
	if (found != 1 || p->batch != 1)
		return false;
	ret->tokens = v[which];
	ret->small = v[which == 0];
	ret->large = v[which == 2 ? 1 : 2];
	ret->is_weight_gradient = which == 2;
	if (ret->small > ret->large) {
		uint64_t t = ret->small;

		ret->small = ret->large;
		ret->large = t;
	}
	ret->over_small = p->k == ret->small;
	return true;
}

double model_share_read(const struct run *r, const struct dims *d, bool at_m)
{
	double all = 0, one = 0;
	struct reading x;

	for (size_t i = 0; i < r->product_count; i++) {
		if (r->products[i].batch != 1)
			continue;
		all += ops_of(&r->products[i]);
		one += read_product(d, &r->products[i], at_m, &x) ? ops_of(&r->products[i]) : 0;
	}
	return all > 0 ? one / all : 0;
}

/* --- weights and who asks for them --- */

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
	*p = (struct pair){ .small = x->small, .large = x->large, .first_tokens = x->tokens };
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
	a->has_many_tokens |= b->has_many_tokens || a->first_tokens != b->first_tokens;
}

static double forward_calls(const struct judging *j, size_t product)
{
	double calls = 0;

	for (int t = 0; t < RUN_THREADS_MAX && j->run->products[product].batch == 1; t++)
		calls += t != j->phase->backward ? j->calls[product][t] : 0;
	return calls;
}

/* A forward product read by its side. */
struct reading model_read_side(const struct run_product *p, bool at_m)
{
	uint64_t other = at_m ? p->n : p->m;

	return (struct reading){ .small = other < p->k ? other : p->k,
				 .large = other < p->k ? p->k : other,
				 .tokens = at_m ? p->m : p->n,
				 .over_small = p->k <= other };
}

struct side {
	uint64_t other, k;
	double calls, tokens, ops, mean;
};

static int by_weight(const void *x, const void *y)
{
	const struct side *a = x, *b = y;

	if (a->other != b->other)
		return a->other < b->other ? -1 : 1;
	return a->k < b->k ? -1 : a->k > b->k;
}

static int by_mean(const void *x, const void *y)
{
	const struct side *a = x, *b = y;

	return a->mean < b->mean ? -1 : a->mean > b->mean;
}

/* Share of the forward weights that meet equally many tokens a call: all of them, if it is
 * tokens that stand there. -ENOMEM as a negative number. */
double model_same_tokens(const struct judging *j, bool at_m)
{
	_cleanup_free_ struct side *s = calloc(j->run->product_count + 1, sizeof(*s));
	double all = 0, sum = 0, now = 0, best = 0;
	size_t n = 0, kept = 0;

	if (!s)
		return -1;
	for (size_t i = 0; i < j->run->product_count; i++) {
		const struct run_product *p = &j->run->products[i];
		double calls = forward_calls(j, i), t = (double)(at_m ? p->m : p->n);

		if (calls > 0)
			s[n++] = (struct side){ at_m ? p->n : p->m,
						p->k,
						calls,
						calls * t,
						ops_of(p) * calls / (double)p->calls,
						0 };
	}
	if (n)
		qsort(s, n, sizeof(*s), by_weight);
	for (size_t i = 0; i < n; i++) {
		if (kept && !by_weight(&s[kept - 1], &s[i])) {
			s[kept - 1].calls += s[i].calls;
			s[kept - 1].tokens += s[i].tokens;
			s[kept - 1].ops += s[i].ops;
		} else {
			s[kept++] = s[i];
		}
		all += s[i].ops;
	}
	/* By weights, not by their operations: one that is much larger than the others would decide alone. */
	for (size_t i = 0; i < kept; i++) {
		s[i].mean = s[i].tokens / s[i].calls;
		s[i].ops = (s[i].ops > 1e-3 * all) + s[i].ops / all * 1e-3;
		sum += s[i].ops;
	}
	if (kept)
		qsort(s, kept, sizeof(*s), by_mean);
	for (size_t from = 0, to = 0; to < kept; to++) {
		now += s[to].ops;
		while (s[from].mean < s[to].mean * (1 - MODEL_NEAR))
			now -= s[from++].ops;
		best = fmax(best, now);
	}
	return sum > 0 ? best / sum : 0;
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
	struct pair *as_gradient = p->batch == 1 ? pair_find(j, p->m, p->n) : NULL;
	struct pair *as_other = p->batch == 1 ? pair_find(j, other, p->k) : NULL;

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

static int pairs_by_side(struct judging *j)
{
	int b = j->phase->backward;
	size_t n = 0, grams = 0;
	int rc;

	for (size_t i = 0; i < j->run->product_count; i++) {
		struct reading x;
		double calls[RUN_THREADS_MAX];

		if (forward_calls(j, i) <= 0)
			continue;
		if (b < 0 && grams < GRAMS_MAX && is_gram(j, &j->run->products[i])) {
			grams++;
			continue;
		}
		memcpy(calls, j->calls[i], sizeof(calls));
		if (b >= 0)
			calls[b] = 0;
		x = model_read_side(&j->run->products[i], j->at_m);
		pair_take(&j->pair[n++], &x, calls, b);
	}
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
	for (size_t i = 0; i < j->run->product_count; i++)
		j->ops += ops_of(&j->run->products[i]);
	if (j->by_side)
		return pairs_by_side(j);
	for (size_t i = 0; i < j->run->product_count; i++) {
		struct reading x;

		if (read_product(&j->dims, &j->run->products[i], j->at_m, &x))
			pair_take(&j->pair[n++], &x, j->calls[i], j->phase->backward);
	}
	return pairs_merge(j, n);
}
