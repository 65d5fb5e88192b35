// SPDX-License-Identifier: Apache-2.0
/*
 * From products to weights: which dimension is the tokens', what is left, and how often
 * each weight is met in one pass.
 */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define NEAR 0.02      /* two figures that are the same but for chance */
#define SEEN 1e-6      /* of the operations: less is no layer */
#define PAIRS_MAX 1024 /* the largest */
#define LAYERS_MAX 512 /* no model is deeper: where the passes are not known */
#define ONE_EACH 0.9   /* of the operations: with just one dimension of tokens, else there is no telling */

/* --- which dimension is the tokens' --- */

/* A dimension by where it stands: tokens keep to one side, weights come on both. */
struct dim {
	uint64_t value;
	double at_m, at_n;
};

struct dims {
	struct dim *item; /* by value */
	size_t count;
};

static int by_value(const void *x, const void *y)
{
	const struct dim *a = x, *b = y;

	return a->value < b->value ? -1 : a->value > b->value;
}

static double ops_of(const struct run_product *p)
{
	return 2.0 * (double)p->batch * (double)p->m * (double)p->n * (double)p->k * (double)p->calls;
}

static int dims_make(const struct run *r, struct dims *ret)
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

/* The product's two other dimensions, and its tokens. */
struct reading {
	uint64_t small, large, tokens;
	bool is_weight_gradient, over_small;
};

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

static double share_read(const struct run *r, const struct dims *d, bool at_m)
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

struct asked {
	double calls, tokens; /* tokens: summed over calls */
};

struct pair {
	uint64_t small, large;
	struct asked gradient, over_small, over_large, forward, backward; /* the last two by thread */
	uint64_t first_tokens;
	bool has_many_tokens; /* calls differ in them */
	struct asked pass;    /* what stands for its forward passes */
	double copies, active;
	bool is_experts;
};

struct judging {
	const struct run *run;
	const struct phase_judgement *phase;
	double (*calls)[RUN_THREADS_MAX]; /* of each product, by thread */
	struct dims dims;
	bool at_m;    /* tokens stand there, else at n */
	bool by_side; /* forward is told by who asks, so tokens are what stands on their side, even where a
			 weight has that size */
	struct pair *pair;
	size_t count, left_out;
	double ops, other; /* other: calls x size of weights that nobody asks gradients through */
	bool learns;
	struct model_fingerprint *f;
};

static int by_pair(const void *x, const void *y)
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

static int calls_by_thread(const struct run *r, double (**ret)[RUN_THREADS_MAX])
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
static struct reading read_side(const struct run_product *p, bool at_m)
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
static double same_tokens(const struct judging *j, bool at_m)
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
		while (s[from].mean < s[to].mean * (1 - NEAR))
			now -= s[from++].ops;
		best = fmax(best, now);
	}
	return sum > 0 ? best / sum : 0;
}

static int pairs_merge(struct judging *j, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(j->pair, n, sizeof(*j->pair), by_pair);
	for (size_t i = 0; i < n; i++) {
		if (kept && !by_pair(&j->pair[kept - 1], &j->pair[i]))
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

	return j->count ? bsearch(&key, j->pair, j->count, sizeof(key), by_pair) : NULL;
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

static int pairs_by_side(struct judging *j)
{
	int b = j->phase->backward;
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < j->run->product_count; i++) {
		struct reading x;
		double calls[RUN_THREADS_MAX];

		if (forward_calls(j, i) <= 0)
			continue;
		memcpy(calls, j->calls[i], sizeof(calls));
		if (b >= 0)
			calls[b] = 0;
		x = read_side(&j->run->products[i], j->at_m);
		pair_take(&j->pair[n++], &x, calls, b);
	}
	rc = pairs_merge(j, n);
	for (size_t i = 0; i < j->run->product_count && rc == 0 && b >= 0; i++)
		if (j->calls[i][b] > 0)
			take_backward(j, &j->run->products[i], j->calls[i][b]);
	return rc;
}

static int pairs_make(struct judging *j)
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

static bool is_near(double a, double b);
static double once_by(const struct pair *p, double tokens);

static double size_of(const struct pair *p)
{
	return (double)p->small * (double)p->large;
}

static bool learns(const struct judging *j)
{
	double gradient = 0;

	if (j->phase->verdict != PHASE_IS_UNKNOWN)
		return j->phase->verdict != PHASE_IS_INFERENCE;
	for (size_t i = 0; i < j->count; i++)
		gradient += 2 * size_of(&j->pair[i]) * j->pair[i].gradient.tokens;
	return gradient > 0.05 * j->ops;
}

/* What stands for the forward passes of a weight: by thread, or by the role that occurs once in each. */
static struct asked pass_of(const struct judging *j, const struct pair *p)
{
	struct asked half = { p->over_small.calls / 2, p->over_small.tokens / 2 }, both = p->over_small;

	if (j->phase->backward >= 0)
		return p->forward;
	add_asked(&both, &p->over_large);
	if (!j->learns)
		return both;
	if (p->gradient.calls > 0)
		return p->gradient;
	if (p->small == p->large)
		return half;
	if (p->over_small.calls > 0 && p->over_large.calls > 0)
		return p->over_small.calls < p->over_large.calls ? p->over_small : p->over_large;
	return both;
}

static int by_work(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;
	double p = size_of(a) * a->pass.tokens, q = size_of(b) * b->pass.tokens;

	return p < q ? 1 : p > q ? -1 : by_pair(x, y);
}

/* Weights that nobody asks gradients through belong to a teacher, a reference or an evaluation. Leaves what
 * is a layer. */
static void pairs_choose(struct judging *j)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->count; i++) {
		struct pair *p = &j->pair[i];

		p->pass = pass_of(j, p);
		if (j->learns && j->phase->backward >= 0 && p->backward.calls + p->gradient.calls <= 0) {
			j->other += p->pass.calls * size_of(p);
			continue;
		}
		if (p->pass.calls > 0 && 2 * size_of(p) * p->pass.tokens >= SEEN * j->ops)
			j->pair[kept++] = *p;
	}
	j->count = kept;
	if (kept > PAIRS_MAX) {
		qsort(j->pair, kept, sizeof(*j->pair), by_work);
		j->count = PAIRS_MAX;
		j->left_out = kept - PAIRS_MAX;
	}
}

/* Where a weight that is there once is passed forward more often than it learns, another pass is made besides
 * (a reference, an evaluation): then what learns tells. */
static void pairs_of_learning(struct judging *j, double tokens, double passes)
{
	const struct pair *once = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < j->count; i++)
		if (is_near(once_by(&j->pair[i], tokens), passes) &&
		    (!once ||
		     size_of(once) * once->pass.tokens < size_of(&j->pair[i]) * j->pair[i].pass.tokens))
			once = &j->pair[i];
	if (!once || !j->learns || j->phase->backward < 0 || once->gradient.calls <= 0 ||
	    once->forward.tokens < 1.3 * once->gradient.tokens)
		return;
	for (size_t i = 0; i < j->count; i++) {
		struct pair p = j->pair[i];

		p.pass = p.gradient;
		if (p.gradient.calls > 0)
			j->pair[kept++] = p;
	}
	j->count = kept;
}

/* --- how often in one pass --- */

static bool is_near(double a, double b)
{
	return fabs(a - b) <= NEAR * fmax(fabs(a), fabs(b));
}

static bool is_whole(double v)
{
	return v >= 0.98 && fabs(v - round(v)) <= NEAR * fmax(1, round(v)) / 2;
}

static double mean_tokens(const struct pair *p)
{
	return p->pass.calls > 0 ? p->pass.tokens / p->pass.calls : 0;
}

static const struct pair *main_pair(const struct judging *j)
{
	const struct pair *best = &j->pair[0];

	for (size_t i = 1; i < j->count; i++)
		if (size_of(&j->pair[i]) * j->pair[i].pass.tokens > size_of(best) * best->pass.tokens)
			best = &j->pair[i];
	return best;
}

/* Experts share the tokens of a pass among them: the whole pass is what most weights see. */
static double tokens_of_a_pass(const struct judging *j)
{
	double most = 0;

	for (size_t i = 0; i < j->count; i++)
		if (2 * size_of(&j->pair[i]) * j->pair[i].pass.tokens >= 0.01 * j->ops)
			most = fmax(most, mean_tokens(&j->pair[i]));
	return most > 0 ? most : mean_tokens(main_pair(j));
}

/* A head that is cut into chunks of tokens is still met once by each token. */
static double once_by(const struct pair *p, double tokens)
{
	double chunks = tokens / mean_tokens(p), passes = p->pass.calls / chunks;

	return chunks > 1.5 && !p->has_many_tokens && is_whole(chunks) && is_whole(passes) ? passes
											   : p->pass.calls;
}

/* Operations, as a share, of weights met a whole number of times in each of so many passes. */
static double fits(const struct judging *j, double passes)
{
	double all = 0, whole = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		double ops = size_of(p) * p->pass.tokens;

		all += ops;
		if (is_whole(p->pass.calls / passes) || is_whole(once_by(p, mean_tokens(p)) / passes))
			whole += ops;
	}
	return all > 0 ? whole / all : 0;
}

static double gcd(double a, double b)
{
	while (b >= 0.5) {
		double t = fmod(a, b);

		a = b;
		b = t;
	}
	return a;
}

static double common_calls(const struct judging *j, double tokens)
{
	double g = 0;

	for (size_t i = 0; i < j->count; i++)
		if (is_near(mean_tokens(&j->pair[i]), tokens))
			g = gcd(g, round(j->pair[i].pass.calls));
	return g;
}

/* The fewest calls of a weight are those of one that is there once, if all others are multiples of it. */
static double find_passes(const struct judging *j, double tokens)
{
	double best = 0;

	for (size_t i = 0; i < j->count; i++) {
		double passes = once_by(&j->pair[i], tokens);

		if (passes > 0 && (best == 0 || passes < best) && fits(j, passes) > 0.9)
			best = passes;
	}
	return best > 0 ? best : common_calls(j, tokens);
}

/* Gate and up as one product of twice the size: then down is another size. */
static bool has_half(const struct judging *j, const struct pair *p)
{
	for (size_t i = 0; i < j->count; i++) {
		const struct pair *x = &j->pair[i];

		if ((x->small == p->small && 2 * x->large == p->large) ||
		    (x->large == p->small && 2 * x->small == p->large) ||
		    (x->small == p->small && x->large == 2 * p->large))
			return true;
	}
	return false;
}

/* What the weights that are there more than once have in common. */
static double find_layers(const struct judging *j, double tokens, double passes, int *ret_kinds,
			  int *ret_once)
{
	double g = 0, most = 0;
	bool has_fused = false;

	*ret_kinds = *ret_once = 0;
	for (size_t i = 0; i < j->count; i++) {
		double once = once_by(&j->pair[i], tokens);
		double copies = is_near(once, passes) ? 1 : round(j->pair[i].pass.calls / passes);

		if (copies <= 1) {
			(*ret_once)++;
		} else if (is_near(mean_tokens(&j->pair[i]), tokens)) {
			g = gcd(g, copies);
			(*ret_kinds)++;
			if (j->pair[i].small != j->pair[i].large) {
				most = fmax(most, copies);
				has_fused |= has_half(j, &j->pair[i]);
			}
		}
	}
	/* A feed-forward part goes up and down again: where no size is there more often than the others, each
	 * is there twice in a layer. */
	return most == g && !has_fused && fmod(g, 2) == 0 ? g / 2 : g;
}

/* How often the weight is asked for in a row before backward takes over: forward of one pass, or of several.
 */
static double calls_in_a_row(const struct judging *j, const struct pair *of)
{
	double least = 0, now = 0;
	bool is_first = true;

	for (size_t i = 0; i < j->run->step_count && j->by_side && j->phase->backward >= 0; i++) {
		const struct run_step *s = &j->run->steps[i];
		struct reading x = read_side(&j->run->products[s->product], j->at_m);

		if (s->thread == (uint32_t)j->phase->backward) {
			/* The first may be cut. */
			if (now > 0 && (!is_first || !j->run->has_threads) && (least == 0 || now < least))
				least = now;
			is_first &= now == 0;
			now = 0;
			continue;
		}
		if (x.small == of->small && x.large == of->large)
			now += s->repeat;
	}
	return least;
}

/* --- what it comes to --- */

static void set_copies(struct judging *j, double tokens, double passes)
{
	for (size_t i = 0; i < j->count; i++) {
		struct pair *p = &j->pair[i];
		double once = is_near(once_by(p, tokens), passes) ? passes : p->pass.calls;

		p->copies = once / passes;
		p->active = p->pass.tokens / (passes * tokens);
		p->is_experts = once == p->pass.calls && p->copies > 1.5 && p->active < 0.9 * p->copies &&
				p->has_many_tokens;
		if (!p->is_experts)
			p->active = p->copies;
	}
}

static double tokens_seen(const struct judging *j, double passes, double tokens)
{
	double best = 0;

	if (!j->learns)
		return passes * tokens;
	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		if (!p->is_experts && p->copies >= 0.5 && is_near(mean_tokens(p), tokens))
			best = fmax(best, p->gradient.tokens / p->copies);
	}
	/* More than passed forward is recomputation of the gradients, which there is none of. */
	return best > 0 ? fmin(best, passes * tokens) : passes * tokens;
}

static int by_parameters(const void *x, const void *y)
{
	const struct model_weight *a = x, *b = y;
	double p = a->copies * (double)a->small * (double)a->large,
	       q = b->copies * (double)b->small * (double)b->large;

	return p < q ? 1 : p > q ? -1 : 0;
}

static int keep_weights(struct judging *j)
{
	_cleanup_free_ struct model_weight *all = calloc(j->count + 1, sizeof(*all));
	struct model_fingerprint *f = j->f;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++)
		all[i] = (struct model_weight){ j->pair[i].small, j->pair[i].large, j->pair[i].copies,
						j->pair[i].active, j->pair[i].is_experts };
	qsort(all, j->count, sizeof(*all), by_parameters);
	f->weights = j->count < MODEL_WEIGHTS_MAX ? j->count : MODEL_WEIGHTS_MAX;
	f->weights_left_out = j->left_out + j->count - f->weights;
	memcpy(f->weight, all, f->weights * sizeof(*all));
	return 0;
}

static void add_parameters(struct judging *j)
{
	struct model_fingerprint *f = j->f;
	double many = f->has_passes || f->seen_in_order ? 1 : LAYERS_MAX;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		f->parameters.best += p->copies * size_of(p);
		f->parameters.low += fmin(p->copies, floor(p->copies + 0.01)) * size_of(p);
		f->parameters.high += fmax(p->copies, ceil(p->copies - 0.01)) * size_of(p) * many;
		f->active.best += p->active * size_of(p);
	}
	/* Frozen layers below those that learn, or another model: not told apart. */
	f->parameters.high += j->other / f->passes;
	/* Several passes may have gone forward before backward began. */
	if (f->seen_in_order)
		f->parameters.low /= f->seen_in_order;
	f->active.low = f->active.best * f->parameters.low / f->parameters.best;
	f->active.high = f->active.best * f->parameters.high / f->parameters.best;
}

/* The dimension that most of the parameters have. */
static uint64_t common_dim(const struct model_fingerprint *f)
{
	uint64_t best = 0;
	double most = 0;

	for (size_t i = 0; i < f->weights; i++) {
		const uint64_t dim[] = { f->weight[i].small, f->weight[i].large };

		for (int k = 0; k < 2; k++) {
			double sum = 0;

			for (size_t m = 0; m < f->weights; m++)
				if (f->weight[m].small == dim[k] || f->weight[m].large == dim[k])
					sum += f->weight[m].copies * (double)f->weight[m].small *
					       (double)f->weight[m].large;
			if (sum > most * 1.0001 || (sum > most * 0.9999 && dim[k] < best)) {
				most = fmax(most, sum);
				best = dim[k];
			}
		}
	}
	return best;
}

static uint64_t partner(const struct model_weight *w, uint64_t of)
{
	return w->small == of ? w->large : w->large == of ? w->small : 0;
}

static void name_dims(struct model_fingerprint *f)
{
	double feed = 0, layers = f->layers ? f->layers : 1;
	bool has_experts = false;

	f->hidden = common_dim(f);
	for (size_t i = 0; i < f->weights; i++) {
		const struct model_weight *w = &f->weight[i];
		uint64_t other = partner(w, f->hidden);
		double size = w->copies * (double)w->small * (double)w->large;

		has_experts |= w->is_experts;
		if (!other || other == f->hidden)
			continue;
		if (w->copies < 1.5 && f->layers > 1 && other > f->vocabulary)
			f->vocabulary = other;
		else if ((w->copies >= 1.5 || f->layers <= 1) && size > feed) {
			feed = size;
			f->feed_forward = other;
		}
		if (other < f->hidden && is_near(w->copies, 2 * layers) && other > f->key_value)
			f->key_value = other;
	}
	for (size_t i = 0; i < f->weights && has_experts; i++) {
		uint64_t other = partner(&f->weight[i], f->hidden);

		if (other && other <= 1024 && other < f->hidden && is_near(f->weight[i].copies, layers) &&
		    !f->weight[i].is_experts)
			f->experts = other;
	}
}

static void say(struct judging *j, double seen)
{
	struct model_fingerprint *f = j->f;
	const char *how = !f->has_passes && !f->seen_in_order
				  ? "No weight is there once: how many layers share the counts is not "
				    "known, so only bounds hold."
			  : f->seen_in_order
				  ? "Layers are counted in the order of calls, as no weight is there once."
				  : "A weight that is there once tells the passes.";

	snprintf(f->evidence, sizeof(f->evidence),
		 "%zu weights explain %.1f %% of the operations. %s Input embeddings are looked up, not "
		 "multiplied: an untied one is not "
		 "among the parameters.%s",
		 f->weights, 100 * seen, how,
		 f->weights_left_out ? " Further weights are counted, but not listed." : "");
}

static void conclude_passes(struct judging *j, double *ret_tokens, double *ret_passes)
{
	struct model_fingerprint *f = j->f;
	double tokens = tokens_of_a_pass(j), passes = find_passes(j, tokens), layers, in_a_row;
	int kinds, once;

	pairs_of_learning(j, tokens, passes);
	tokens = tokens_of_a_pass(j);
	passes = find_passes(j, tokens);
	layers = find_layers(j, tokens, passes, &kinds, &once);
	f->has_passes = passes > 0 && once > 0 && kinds >= 2 && layers >= 1.5;
	in_a_row = f->has_passes || passes <= 0 ? 0 : calls_in_a_row(j, main_pair(j));
	if (in_a_row > 0) {
		double common = common_calls(j, tokens), each = main_pair(j)->pass.calls / common;

		layers = in_a_row / each;
		if (is_whole(layers)) {
			passes = common / layers;
			f->seen_in_order = (uint32_t)round(layers);
		}
	}
	f->layers = f->has_passes || f->seen_in_order ? (uint32_t)round(layers) : 0;
	f->passes = *ret_passes = passes;
	*ret_tokens = tokens;
}

static int conclude(struct judging *j)
{
	struct model_fingerprint *f = j->f;
	double tokens, passes, explained = 0;
	int rc;

	conclude_passes(j, &tokens, &passes);
	if (!(passes > 0) || !j->count)
		return 0;
	set_copies(j, tokens, passes);
	rc = keep_weights(j);
	if (rc)
		return rc;
	add_parameters(j);
	name_dims(f);
	f->tokens.best = f->tokens.low = f->tokens.high = tokens_seen(j, passes, tokens);
	if (f->seen_in_order)
		f->tokens.high *= f->seen_in_order;
	else if (!f->has_passes)
		f->tokens.low /= LAYERS_MAX;
	f->check = j->ops / ((j->learns ? 6 : 2) * f->active.best * f->tokens.best);
	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		explained += 2 * size_of(p) * p->gradient.tokens;
		explained += 2 * size_of(p) *
			     (j->by_side ? p->forward.tokens + p->backward.tokens
					 : p->over_small.tokens + p->over_large.tokens);
	}
	say(j, explained / j->ops);
	return 0;
}

/* On which side tokens stand: by who asks, if that tells forward from backward; else by what stands on one
 * side only. */
static int find_side(struct judging *j)
{
	bool only_forward = j->phase->backward < 0 && j->phase->complete < 0.01;
	double at_m, at_n;

	j->by_side = j->phase->backward >= 0 || only_forward;
	at_m = j->by_side ? same_tokens(j, true) : share_read(j->run, &j->dims, true);
	at_n = j->by_side ? same_tokens(j, false) : share_read(j->run, &j->dims, false);
	if (at_m < 0 || at_n < 0)
		return -ENOMEM;
	j->at_m = at_m >= at_n;
	return j->by_side || fmax(at_m, at_n) >= ONE_EACH ? 0 : 1;
}

static void judging_done(struct judging *j)
{
	free(j->dims.item);
	free(j->calls);
	free(j->pair);
}

int model_judge(const struct run *r, const struct phase_judgement *p, const struct architectures *known,
		struct model_fingerprint *ret)
{
	_cleanup_(judging_done) struct judging j = { .run = r, .phase = p, .f = ret };
	int rc;

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->evidence, sizeof(ret->evidence), "No dimension can be told to be the tokens'.");
	rc = dims_make(r, &j.dims);
	rc = rc ?: calls_by_thread(r, &j.calls);
	rc = rc ?: find_side(&j);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = pairs_make(&j);
	if (rc)
		return rc;
	j.learns = learns(&j);
	pairs_choose(&j);
	rc = j.count ? conclude(&j) : 0;
	if (rc == 0 && known)
		model_match(known, ret);
	return rc;
}
