// SPDX-License-Identifier: Apache-2.0
/*
 * Steps: products to shapes with operations by thread; shapes to families; families used
 * up, the largest first; then the verdict from what was complete and who asked.
 */
#include "phase.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define THREADS_MAX 8 /* further ones count as the last */

/* Shares of all operations, found on the recorded runs of tests/phases (docs/phases.md). */
#define NOISE 0.0015	  /* complete families below this are chance */
#define SMALL 0.15	  /* adapters' families are below it */
#define LEARNS 0.25	  /* complete families, where threads agree */
#define LEARNS_ALONE 0.45 /* the same on one thread, or where backward asks for no more than forward */
#define MOST 0.75
#define MUCH 0.35
#define OTHER_WORK 0.2 /* beside training: what it is shows nowhere */
#define SERVER 0.01    /* a third thread */

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

static void judge_done(struct judge *j)
{
	free(j->shape);
	free(j->member);
	free(j->family);
}

const char *phase_verdict_name(enum phase_verdict v)
{
	static const char *const names[] = { "unknown", "training", "frozen-weight-training", "inference" };

	return v < PHASE_VERDICTS ? names[v] : "?";
}

/* --- shapes --- */

static int by_shape(const void *x, const void *y)
{
	const struct shape *a = x, *b = y;
	const uint64_t p[] = { a->batch, a->m, a->n, a->k }, q[] = { b->batch, b->m, b->n, b->k };

	for (int i = 0; i < 4; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

static int calls_by_thread(const struct run *r, double **ret)
{
	double *calls = calloc(r->product_count + 1, THREADS_MAX * sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < r->step_count; i++) {
		uint32_t t = r->steps[i].thread < THREADS_MAX ? r->steps[i].thread : THREADS_MAX - 1;

		calls[r->steps[i].product * THREADS_MAX + t] += r->steps[i].repeat;
	}
	for (size_t i = 0; !r->step_count && i < r->product_count; i++)
		calls[i * THREADS_MAX] = (double)r->products[i].calls;
	*ret = calls;
	return 0;
}

static int shapes_make(struct judge *j, const struct run *r)
{
	_cleanup_free_ double *calls = NULL;
	size_t kept = 0;
	int rc = calls_by_thread(r, &calls);

	j->shape = calloc(r->product_count + 1, sizeof(*j->shape));
	if (rc || !j->shape)
		return -ENOMEM;
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];
		struct shape *s = &j->shape[i];

		*s = (struct shape){
			p->batch, p->m < p->n ? p->m : p->n, p->m < p->n ? p->n : p->m, p->k, { 0 }, 0, 0, 0
		};
		for (int t = 0; t < THREADS_MAX; t++) {
			double n = calls[i * THREADS_MAX + t];

			s->by_thread[t] =
				2.0 * (double)p->batch * (double)p->m * (double)p->n * (double)p->k * n;
			s->ops += s->by_thread[t];
			s->calls += n;
			j->by_thread[t] += s->by_thread[t];
		}
		j->ops += s->ops;
	}
	qsort(j->shape, r->product_count, sizeof(*j->shape), by_shape);
	for (size_t i = 0; i < r->product_count; i++) {
		if (kept && !by_shape(&j->shape[kept - 1], &j->shape[i])) {
			for (int t = 0; t < THREADS_MAX; t++)
				j->shape[kept - 1].by_thread[t] += j->shape[i].by_thread[t];
			j->shape[kept - 1].ops += j->shape[i].ops;
			j->shape[kept - 1].calls += j->shape[i].calls;
		} else {
			j->shape[kept++] = j->shape[i];
		}
	}
	j->shapes = kept;
	for (size_t i = 0; i < kept; i++)
		j->shape[i].left = j->shape[i].ops;
	return 0;
}

/* --- families --- */

static int by_weight(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	const uint64_t p[] = { a->batch, a->a, a->b, a->role, a->shape },
		       q[] = { b->batch, b->a, b->b, b->role, b->shape };

	for (int i = 0; i < 5; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

static bool same_weight(const struct member *a, const struct member *b)
{
	return a->batch == b->batch && a->a == b->a && a->b == b->b;
}

/* The weight {other, k} with tokens along the remaining side. */
static void member_forward(struct judge *j, size_t shape, uint64_t other)
{
	const struct shape *s = &j->shape[shape];
	struct member *m = &j->member[j->members++];

	*m = (struct member){ .batch = s->batch,
			      .a = other < s->k ? other : s->k,
			      .b = other < s->k ? s->k : other,
			      .role = other < s->k ? ROLE_OVER_SECOND : ROLE_OVER_FIRST,
			      .shape = (uint32_t)shape };
}

static int members_make(struct judge *j)
{
	j->member = calloc(3 * j->shapes + 1, sizeof(*j->member));
	if (!j->member)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];

		/* Both sides equal: X^T X, or equal dimensions. Completes nothing. */
		if (s->m == s->n)
			continue;
		j->member[j->members++] = (struct member){ s->batch, s->m, s->n, ROLE_WEIGHT, (uint32_t)i };
		if (s->m != s->k)
			member_forward(j, i, s->m);
		if (s->n != s->k)
			member_forward(j, i, s->n);
	}
	qsort(j->member, j->members, sizeof(*j->member), by_weight);
	return 0;
}

/* A shape that could be weight gradient and input gradient of one weight (T = O) tells neither. */
static bool is_ambiguous(const struct judge *j, const struct family *f, const struct member *m)
{
	const struct shape *s = &j->shape[m->shape];

	return (s->k == f->a || s->k == f->b) && s->m == f->a && s->n == f->b;
}

static void family_sums(const struct judge *j, const struct family *f, double ret[3])
{
	memset(ret, 0, 3 * sizeof(*ret));
	for (size_t i = f->first; i < f->first + f->count; i++)
		if (!is_ambiguous(j, f, &j->member[i]))
			ret[j->member[i].role] += j->shape[j->member[i].shape].left;
}

static double least(const double sums[3])
{
	return fmin(sums[0], fmin(sums[1], sums[2]));
}

static int by_bound(const void *x, const void *y)
{
	const struct family *a = x, *b = y;
	const uint64_t p[] = { a->batch, a->a, a->b }, q[] = { b->batch, b->a, b->b };

	if (a->bound != b->bound)
		return a->bound < b->bound ? 1 : -1;
	for (int i = 0; i < 3; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

static int families_make(struct judge *j)
{
	j->family = calloc(j->members + 1, sizeof(*j->family));
	if (!j->family)
		return -ENOMEM;
	for (size_t i = 0; i < j->members;) {
		struct family f = { j->member[i].batch, j->member[i].a, j->member[i].b, i, 0, 0, 0 };
		double sums[3];

		while (i < j->members && same_weight(&j->member[f.first], &j->member[i]))
			i++;
		f.count = i - f.first;
		family_sums(j, &f, sums);
		f.bound = least(sums);
		if (f.bound > 0)
			j->family[j->families++] = f;
	}
	if (j->families)
		qsort(j->family, j->families, sizeof(*j->family), by_bound);
	return 0;
}

/* Takes what is complete out of the shapes, so that each product is used once. */
static void family_use(struct judge *j, struct family *f)
{
	double sums[3], part[3];

	family_sums(j, f, sums);
	f->complete = least(sums);
	for (int i = 0; i < 3; i++)
		part[i] = sums[i] > 0 ? f->complete / sums[i] : 0;
	for (size_t i = f->first; f->complete > 0 && i < f->first + f->count; i++)
		if (!is_ambiguous(j, f, &j->member[i]))
			j->shape[j->member[i].shape].left *= 1 - part[j->member[i].role];
}

/* --- who asks --- */

/* Products of one set of dimensions, whatever their order: one layer's three products at one T. */
struct group {
	uint64_t batch, dim[3]; /* sorted */
	double by_thread[THREADS_MAX], over[3], over_backward[3], ops;
};

struct groups {
	struct group *item;
	size_t count;
};

static void groups_done(struct groups *g)
{
	free(g->item);
}

static int by_dims(const void *x, const void *y)
{
	const struct group *a = x, *b = y;

	if (a->batch != b->batch)
		return a->batch < b->batch ? -1 : 1;
	for (int i = 0; i < 3; i++)
		if (a->dim[i] != b->dim[i])
			return a->dim[i] < b->dim[i] ? -1 : 1;
	return 0;
}

static void sort3(uint64_t v[3])
{
	for (int i = 0; i < 3; i++)
		for (int k = i + 1; k < 3; k++)
			if (v[k] < v[i]) {
				uint64_t t = v[i];

				v[i] = v[k];
				v[k] = t;
			}
}

static int groups_make(const struct judge *j, struct groups *ret)
{
	size_t kept = 0;

	ret->item = calloc(j->shapes + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];
		struct group *g = &ret->item[i];

		*g = (struct group){ .batch = s->batch, .dim = { s->m, s->n, s->k }, .ops = s->ops };
		sort3(g->dim);
		memcpy(g->by_thread, s->by_thread, sizeof(g->by_thread));
		for (int d = 0; d < 3; d++)
			if (g->dim[d] == s->k) {
				g->over[d] = s->ops;
				g->over_backward[d] = j->backward < 0 ? 0 : s->by_thread[j->backward];
				break;
			}
	}
	qsort(ret->item, j->shapes, sizeof(*ret->item), by_dims);
	for (size_t i = 0; i < j->shapes; i++) {
		struct group *g = &ret->item[i], *last = kept ? &ret->item[kept - 1] : NULL;

		if (!last || by_dims(last, g)) {
			ret->item[kept++] = *g;
			continue;
		}
		for (int t = 0; t < THREADS_MAX; t++)
			last->by_thread[t] += g->by_thread[t];
		for (int d = 0; d < 3; d++) {
			last->over[d] += g->over[d];
			last->over_backward[d] += g->over_backward[d];
		}
		last->ops += g->ops;
	}
	ret->count = kept;
	return 0;
}

struct balance {
	double twice, once, elsewhere;
};

/* What thread b asks for against what the others do, product by product. */
static struct balance balance_of(const struct judge *j, const struct groups *g, int b)
{
	struct balance r = { 0 };

	for (size_t i = 0; i < g->count; i++) {
		double own = g->item[i].by_thread[b], rest = g->item[i].ops - own;

		if (own <= 0)
			r.elsewhere += g->item[i].ops / j->ops;
		else if (rest > 0 && own >= 1.6 * rest && own <= 3.4 * rest)
			r.twice += g->item[i].ops / j->ops;
		else if (rest > 0 && own >= 0.75 * rest && own <= 1.34 * rest)
			r.once += g->item[i].ops / j->ops;
	}
	return r;
}

/* Of a product in three forms, forward asks for one and backward for two: the thread to which more forms are
 * peculiar; -1: none. */
static int thread_of_two(const struct judge *j, const struct groups *g)
{
	double forms[THREADS_MAX] = { 0 };
	int most = 0, second = -1;

	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];
		struct group key = { .batch = s->batch, .dim = { s->m, s->n, s->k } };
		const struct group *in;

		sort3(key.dim);
		in = bsearch(&key, g->item, g->count, sizeof(*g->item), by_dims);
		if (!in || least(in->over) <= 0)
			continue;
		for (int t = 0; t < THREADS_MAX; t++)
			forms[t] += s->by_thread[t] >= 0.95 * s->ops ? least(in->over) : 0;
	}
	for (int t = 1; t < THREADS_MAX; t++)
		most = forms[t] > forms[most] ? t : most;
	for (int t = 0; t < THREADS_MAX; t++)
		second = t != most && (second < 0 || forms[t] > forms[second]) ? t : second;
	return forms[most] > 1.2 * forms[second] ? most : -1;
}

static int thread_count(const struct judge *j)
{
	int n = 0;

	for (int t = 0; t < THREADS_MAX; t++)
		n += j->by_thread[t] > 0;
	return n;
}

/* The thread whose products stand best against the others'. A tenant may name threads as it likes: what
 * counts is what each asks for. */
static void find_backward(struct judge *j, const struct groups *g, struct phase_judgement *ret)
{
	int told = thread_of_two(j, g);
	double best = 0;

	j->backward = -1;
	for (int t = 0; t < THREADS_MAX && thread_count(j) > 1; t++) {
		struct balance b = balance_of(j, g, t);

		if (j->by_thread[t] <= 0 || b.twice + b.once < best ||
		    (b.twice + b.once == best && (j->backward >= 0 && b.twice <= ret->twice)))
			continue;
		best = b.twice + b.once;
		j->backward = t;
		ret->twice = b.twice;
		ret->once = b.once;
		ret->elsewhere = b.elsewhere;
	}
	if (told >= 0 && j->backward >= 0 && told != j->backward) {
		struct balance b = balance_of(j, g, told);

		j->backward = told;
		ret->twice = b.twice;
		ret->once = b.once;
		ret->elsewhere = b.elsewhere;
	}
	ret->backward = j->backward;
}

/* --- what is left to tell --- */

/* Products that are there in all three forms, each form with a share worth the name. */
static uint32_t weights_of(const struct judge *j, const struct groups *g)
{
	uint32_t n = 0;

	for (size_t i = 0; i < g->count; i++)
		n += least(g->item[i].over) > NOISE / 3 * j->ops && g->item[i].dim[0] != g->item[i].dim[1] &&
		     g->item[i].dim[1] != g->item[i].dim[2];
	return n;
}

/* Share of the calls that belong to three in a row which are the three forms of one product: a benchmark
 * asks so, and of a model only its last layer. */
static double adjacent(const struct run *r)
{
	double in_row = 0, calls = 0;

	for (size_t i = 0; i < r->step_count; i++) {
		uint64_t d[3][3];
		bool same = i >= 2;

		calls += r->steps[i].repeat;
		for (size_t k = 0; same && k < 3; k++) {
			const struct run_product *p = &r->products[r->steps[i - k].product];

			d[k][0] = p->m;
			d[k][1] = p->n;
			d[k][2] = p->k;
			same = k == 0 || p->k != r->products[r->steps[i - k + 1].product].k;
			sort3(d[k]);
			same = same && !memcmp(d[0], d[k], sizeof(d[0]));
		}
		in_row += same ? 3.0 * r->steps[i].repeat : 0;
	}
	return calls > 0 ? in_row / calls : 0;
}

/* One side of a product, taken for tokens, and the weight that is left: a <= b. */
struct side {
	uint64_t tokens, a, b;
	size_t shape;
};

static int by_tokens(const void *x, const void *y)
{
	const struct side *a = x, *b = y;

	return a->tokens < b->tokens ? -1 : a->tokens > b->tokens;
}

/* Whether the same tokens meet weights of three dimensions or more, besides their own: one weight in both
 * directions has two. */
static bool meets_layers(const struct side *s, size_t count)
{
	uint64_t seen[3];
	int n = 0;

	for (size_t i = 0; i < count && n < 3; i++) {
		const uint64_t dim[] = { s[i].a, s[i].b };

		for (int d = 0; d < 2 && n < 3; d++) {
			bool is_known = dim[d] == s[i].tokens;

			for (int k = 0; k < n; k++)
				is_known |= seen[k] == dim[d];
			if (!is_known)
				seen[n++] = dim[d];
		}
	}
	return n == 3;
}

/* Share of operations in products one side of which passes through several layers. */
static double layered(const struct judge *j)
{
	_cleanup_free_ struct side *side = calloc(2 * j->shapes + 1, sizeof(*side));
	_cleanup_free_ bool *is_layered = calloc(j->shapes + 1, sizeof(*is_layered));
	double ops = 0;
	size_t n = 0;

	if (!side || !is_layered)
		return 0;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];

		for (int k = 0; k < 2 && s->m != s->n; k++) {
			uint64_t o = k ? s->n : s->m;

			side[n++] =
				(struct side){ k ? s->m : s->n, o < s->k ? o : s->k, o < s->k ? s->k : o, i };
		}
	}
	if (n)
		qsort(side, n, sizeof(*side), by_tokens);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && side[end].tokens == side[i].tokens;)
			end++;
		if (meets_layers(&side[i], end - i))
			for (size_t k = i; k < end; k++)
				is_layered[side[k].shape] = true;
	}
	for (size_t i = 0; i < j->shapes; i++)
		ops += is_layered[i] ? j->shape[i].ops : 0;
	return j->ops > 0 ? ops / j->ops : 0;
}

/* Forward work on the backward thread. Of three different dimensions, backward asks for the same over T and
 * over O; what is more than twice the larger is forward work again. Of equal ones only the sum tells. */
static double again(const struct judge *j, const struct group *g)
{
	double own = j->backward < 0 ? g->ops : g->by_thread[j->backward], rest = g->ops - own, most = 0, r;
	bool is_equal = g->dim[0] == g->dim[1] || g->dim[1] == g->dim[2];
	double pass = j->backward < 0 ? 3 : 2;

	for (int d = 0; d < 3; d++)
		most = fmax(most, j->backward < 0 ? g->over[d] : g->over_backward[d]);
	r = is_equal ? (j->backward < 0 ? 0 : own - 2 * rest) : own - pass * most;
	return fmax(0, fmin(r, is_equal ? rest : most));
}

static void find_recomputation(const struct judge *j, const struct groups *g, struct phase_judgement *ret)
{
	double sum = 0;

	for (size_t i = 0; i < g->count; i++)
		sum += again(j, &g->item[i]) / j->ops;
	if (ret->verdict != PHASE_IS_TRAINING)
		sum = 0;
	ret->recompute_best = ret->recompute_high = sum;
	ret->recompute_low = j->backward < 0 ? 0 : sum;
	ret->algorithmic = ret->executed - (opcount)(sum * opcount_to_double(ret->executed));
}

/* --- the verdict --- */

static double third_thread(const struct judge *j)
{
	double most = 0, all = 0;

	for (int t = 0; t < THREADS_MAX; t++) {
		if (t == j->backward)
			continue;
		most = fmax(most, j->by_thread[t]);
		all += j->by_thread[t];
	}
	return (all - most) / j->ops;
}

static enum phase_verdict on_threads(const struct judge *j, const struct phase_judgement *p)
{
	if (p->elsewhere > OTHER_WORK || third_thread(j) > SERVER)
		return PHASE_IS_UNKNOWN;
	if (p->complete >= LEARNS &&
	    (p->twice >= MUCH || (p->twice + p->once >= MOST && p->complete >= LEARNS_ALONE)))
		return PHASE_IS_TRAINING;
	if (p->complete < NOISE && p->twice >= MOST)
		return PHASE_IS_TRAINING;
	if (p->complete >= NOISE && p->complete < SMALL && p->once >= 0.5)
		return PHASE_IS_FROZEN;
	return PHASE_IS_UNKNOWN;
}

static enum phase_verdict verdict_of(const struct judge *j, const struct run *r,
				     const struct phase_judgement *p)
{
	if (thread_count(j) > 1 && p->twice + p->once >= 0.1)
		return on_threads(j, p);
	if (thread_count(j) == 1 && p->complete >= LEARNS_ALONE && p->weights >= 2 && adjacent(r) < 0.5)
		return PHASE_IS_TRAINING;
	if (p->complete < NOISE && layered(j) >= 0.6)
		return PHASE_IS_INFERENCE;
	return PHASE_IS_UNKNOWN;
}

static void say(const struct judge *j, struct phase_judgement *p)
{
	bool agree = j->backward >= 0 && p->complete >= LEARNS && p->twice + p->once >= 0.5;
	char threads[200] = "All products come from one thread.";

	p->confidence = p->verdict == PHASE_IS_UNKNOWN		 ? "none"
			: agree || p->verdict == PHASE_IS_FROZEN ? "high"
								 : "low";
	if (j->backward >= 0)
		snprintf(threads, sizeof(threads),
			 "Thread %d asks for twice what the others do in %.1f %% of the operations, for as "
			 "much in %.1f %%, and "
			 "takes no part in %.1f %%.",
			 j->backward, 100 * p->twice, 100 * p->once, 100 * p->elsewhere);
	else if (thread_count(j) > 1)
		snprintf(threads, sizeof(threads),
			 "Products come from %d threads, none of which looks like a backward pass.",
			 thread_count(j));
	snprintf(p->evidence, sizeof(p->evidence),
		 "%.1f %% of the operations lie in families with forward, input and weight gradients; %u "
		 "products are there in "
		 "all three forms. %s",
		 100 * p->complete, p->weights, threads);
}

int phase_judge(const struct run *r, struct phase_judgement *ret)
{
	_cleanup_(judge_done) struct judge j = { .backward = -1 };
	_cleanup_(groups_done) struct groups g = { 0 };
	int rc;

	*ret = (struct phase_judgement){ .confidence = "none", .backward = -1 };
	rc = run_ops(r, &ret->executed);
	ret->algorithmic = ret->executed;
	rc = rc ?: shapes_make(&j, r);
	if (rc || j.ops <= 0) {
		snprintf(ret->evidence, sizeof(ret->evidence), "There are no products.");
		ret->training_high = 1;
		return rc;
	}
	rc = members_make(&j);
	rc = rc ?: families_make(&j);
	for (size_t i = 0; rc == 0 && i < j.families; i++)
		family_use(&j, &j.family[i]);
	rc = rc ?: groups_make(&j, &g);
	if (rc)
		return rc;
	for (size_t i = 0; i < j.families; i++)
		ret->complete += 3 * j.family[i].complete / j.ops;
	find_backward(&j, &g, ret);
	/* Again, now that the thread is known. */
	groups_done(&g);
	g = (struct groups){ 0 };
	rc = groups_make(&j, &g);
	if (rc)
		return rc;
	ret->weights = weights_of(&j, &g);
	ret->verdict = verdict_of(&j, r, ret);
	find_recomputation(&j, &g, ret);
	ret->training_low =
		ret->verdict == PHASE_IS_TRAINING || ret->verdict == PHASE_IS_FROZEN ? ret->complete : 0;
	ret->training_high = ret->verdict == PHASE_IS_INFERENCE ? 0 : 1;
	say(&j, ret);
	return 0;
}
