// SPDX-License-Identifier: Apache-2.0
/* Which dimension is the tokens': by values, by what stands on one side, by what backward answers. */
#include "model_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define BATCH_MAX 1024 /* experts of one batch */
#define HEAD_MAX 256   /* of attention */
#define VARIED 16      /* values on one side */
#define VARIED_TIMES 3

static int by_value(const void *x, const void *y)
{
	const struct dim *a = x, *b = y;

	return a->value < b->value ? -1 : a->value > b->value;
}

double model_ops_of(const struct run_product *p)
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
		ret->item[n++] = (struct dim){ p->m, model_ops_of(p), 0 };
		ret->item[n++] = (struct dim){ p->n, 0, model_ops_of(p) };
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

/* Tokens per call vary where experts or requests share them; weights have the sizes that they have. */
void model_side_by_values(const struct dims *d, bool *at_m)
{
	size_t m = 0, n = 0;

	for (size_t i = 0; i < d->count; i++) {
		m += d->item[i].at_m > 0;
		n += d->item[i].at_n > 0;
	}
	if (m >= VARIED && m > VARIED_TIMES * n)
		*at_m = true;
	else if (n >= VARIED && n > VARIED_TIMES * m)
		*at_m = false;
}

bool model_read_product(const struct dims *d, const struct run_product *p, bool at_m, struct reading *ret)
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
		all += model_ops_of(&r->products[i]);
		one += model_read_product(d, &r->products[i], at_m, &x) ? model_ops_of(&r->products[i]) : 0;
	}
	return all > 0 ? one / all : 0;
}

/* --- forward products --- */

/* Experts of one capacity come as a batch, one each; attention's products in batches meet no hidden size. */
static bool is_weight(const struct judging *j, const struct run_product *p, bool at_m)
{
	uint64_t tokens = at_m ? p->m : p->n, other = at_m ? p->n : p->m;

	return p->batch == 1 ||
	       (p->batch <= BATCH_MAX && j->input && (p->k == j->input || other == j->input) &&
		tokens != p->k && tokens != other && p->k > HEAD_MAX && other > HEAD_MAX);
}

double model_forward_calls(const struct judging *j, size_t product, bool at_m)
{
	double calls = 0;

	for (int t = 0; t < RUN_THREADS_MAX && is_weight(j, &j->run->products[product], at_m); t++)
		calls += t != j->phase->backward ? j->calls[product][t] : 0;
	return calls;
}

struct contracted {
	uint64_t over;
	double calls;
};

static int by_over(const void *x, const void *y)
{
	const struct contracted *a = x, *b = y;

	return a->over < b->over ? -1 : a->over > b->over;
}

/* What most calls of forward contract over: the hidden size. -ENOMEM. */
int model_input_find(struct judging *j)
{
	_cleanup_free_ struct contracted *c = calloc(j->run->product_count + 1, sizeof(*c));
	double most = 0;
	size_t n = 0;

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < j->run->product_count; i++)
		c[n++] = (struct contracted){ j->run->products[i].k, model_forward_calls(j, i, j->at_m) };
	if (n)
		qsort(c, n, sizeof(*c), by_over);
	for (size_t i = 0, end; i < n; i = end) {
		double calls = 0;

		for (end = i; end < n && c[end].over == c[i].over; end++)
			calls += c[end].calls;
		if (calls > most) {
			most = calls;
			j->input = c[i].over;
		}
	}
	return 0;
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

/* --- what backward answers --- */

static int by_answer(const void *x, const void *y)
{
	const struct answer *a = x, *b = y;

	if (a->tokens != b->tokens)
		return a->tokens < b->tokens ? -1 : 1;
	if (a->small != b->small)
		return a->small < b->small ? -1 : 1;
	return a->large < b->large ? -1 : a->large > b->large;
}

static struct answer answer_of(uint64_t tokens, uint64_t a, uint64_t b)
{
	return (struct answer){ tokens, a < b ? a : b, a < b ? b : a };
}

void model_answers_done(struct answers *a)
{
	free(a->item);
}

int model_answers_make(const struct judging *j, bool at_m, struct answers *ret)
{
	int b = j->phase->backward;

	*ret = (struct answers){ .is_asked = b >= 0 && j->phase->verdict != PHASE_IS_INFERENCE };
	if (!ret->is_asked)
		return 0;
	ret->item = calloc(2 * j->run->product_count + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	for (size_t i = 0; i < j->run->product_count; i++) {
		const struct run_product *p = &j->run->products[i];

		if (p->batch > BATCH_MAX || j->calls[i][b] <= 0)
			continue;
		ret->item[ret->count++] = answer_of(p->k, p->m, p->n);
		ret->item[ret->count++] = at_m ? answer_of(p->m, p->n, p->k) : answer_of(p->n, p->m, p->k);
	}
	if (ret->count)
		qsort(ret->item, ret->count, sizeof(*ret->item), by_answer);
	return 0;
}

bool model_is_answered(const struct answers *a, const struct reading *x)
{
	struct answer key = answer_of(x->tokens, x->small, x->large);

	return !a->is_asked || (a->count && bsearch(&key, a->item, a->count, sizeof(key), by_answer));
}

/* Layers below those that learn meet the same tokens, and nobody goes back through them. */
bool model_is_tokens_of(const struct answers *a, uint64_t tokens)
{
	size_t low = 0, high = a->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (a->item[mid].tokens < tokens)
			low = mid + 1;
		else
			high = mid;
	}
	return low < a->count && a->item[low].tokens == tokens;
}

/* Could these tokens through this weight be of what learns? Of layers below that do not learn only the tokens
 * are answered; where the phase is not known, buffers must tell them from another model's. */
bool model_may_learn(const struct judging *j, const struct answers *a, const struct reading *x)
{
	if (model_is_answered(a, x))
		return true;
	return (j->phase->verdict == PHASE_IS_FROZEN ||
		(j->phase->verdict == PHASE_IS_UNKNOWN && j->may_tell)) &&
	       model_is_tokens_of(a, x->tokens);
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
	_cleanup_(model_answers_done) struct answers answers = { 0 };
	double all = 0, sum = 0, now = 0, best = 0, forward = 0;
	size_t n = 0, kept = 0;

	if (!s || model_answers_make(j, at_m, &answers))
		return -1;
	for (size_t i = 0; i < j->run->product_count; i++) {
		const struct run_product *p = &j->run->products[i];
		struct reading x = model_read_side(p, at_m);
		double calls = j->run->products[i].batch == 1 ? model_forward_calls(j, i, at_m) : 0,
		       t = (double)(at_m ? p->m : p->n);

		forward += calls > 0 ? model_ops_of(p) * calls / (double)p->calls : 0;
		if (calls > 0 && model_is_answered(&answers, &x))
			s[n++] = (struct side){ at_m ? p->n : p->m,
						p->k,
						calls,
						calls * t,
						model_ops_of(p) * calls / (double)p->calls,
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
	/* On the wrong side backward answers less of it. */
	return sum > 0 ? best / sum * (all / forward) : 0;
}
