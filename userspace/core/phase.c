// SPDX-License-Identifier: Apache-2.0
/* The verdict: what is complete, and who asked for it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* Shares of all operations, found on the recorded runs of tests/phases (docs/phases.md). */
#define NOISE 0.0015	  /* complete families below this are chance */
#define ADAPTERS 0.1	  /* their families are below it */
#define LEARNS 0.25	  /* complete families, where threads agree */
#define LEARNS_ALONE 0.45 /* the same on one thread, or where backward asks for no more than forward */
#define MOST 0.75
#define ALL 0.9
#define MUCH 0.35
#define LAYERED 0.5
#define OTHER_WORK 0.2 /* beside training: what it is shows nowhere */
#define SERVER 0.01    /* a third thread */
#define CHAINED 0.7    /* products that feed each other */

const char *phase_verdict_name(enum phase_verdict v)
{
	static const char *const names[] = { "unknown", "training", "frozen-weight-training", "inference",
					     "mixed" };

	return v < PHASE_VERDICTS ? names[v] : "?";
}

/* --- who asks --- */

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

		phase_sort3(key.dim);
		in = bsearch(&key, g->item, g->count, sizeof(*g->item), phase_by_dims);
		if (!in || phase_least(in->over) <= 0)
			continue;
		for (int t = 0; t < THREADS_MAX; t++)
			forms[t] += s->by_thread[t] >= 0.95 * s->ops ? phase_least(in->over) : 0;
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
	int told = thread_count(j) > 1 ? thread_of_two(j, g) : -1;
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
	if (told >= 0 && j->backward < 0)
		j->backward = told;
	ret->is_told = told >= 0;
	ret->backward = j->backward;
}

/* --- what is left to tell --- */

/* Products that are there in all three forms, each form with a share worth the name. */
static uint32_t weights_of(const struct judge *j, const struct groups *g)
{
	uint32_t n = 0;

	for (size_t i = 0; i < g->count; i++)
		n += phase_least(g->item[i].over) > NOISE / 3 * j->ops &&
		     g->item[i].dim[0] != g->item[i].dim[1] && g->item[i].dim[1] != g->item[i].dim[2];
	return n;
}

static void dims_of(const struct run_product *p, uint64_t ret[3])
{
	ret[0] = p->m;
	ret[1] = p->n;
	ret[2] = p->k;
	phase_sort3(ret);
}

/* Share of the calls that come in visits with all three forms: while one set of dimensions is asked for, each
 * of them is contracted over. A benchmark asks so for everything; a model does in the last layer, and in
 * backward through two layers of one size. */
static double at_once(const struct run *r)
{
	double in_visits = 0, calls = 0;

	for (size_t i = 0, end; i < r->step_count; i = end) {
		uint64_t dim[3], other[3];
		bool over[3] = { false };
		double visit = 0;

		dims_of(&r->products[r->steps[i].product], dim);
		for (end = i; end < r->step_count; end++) {
			const struct run_product *p = &r->products[r->steps[end].product];

			dims_of(p, other);
			if (memcmp(dim, other, sizeof(dim)))
				break;
			for (int d = 0; d < 3; d++)
				over[d] |= p->k == dim[d];
			visit += r->steps[end].repeat;
		}
		calls += visit;
		in_visits += over[0] && over[1] && over[2] ? visit : 0;
	}
	return calls > 0 ? in_visits / calls : 0;
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

/* Whether the same tokens meet several layers: weights of three dimensions or more besides their own, or a
 * square one and another. One weight in both directions is none. */
static bool meets_layers(const struct side *s, size_t count)
{
	bool has_square = false, has_other = false;
	uint64_t seen[3];
	int n = 0;

	for (size_t i = 0; i < count && n < 3; i++) {
		const uint64_t dim[] = { s[i].a, s[i].b };

		has_square |= dim[0] == dim[1] && dim[0] != s[i].tokens;
		has_other |= dim[0] != dim[1] && dim[0] != s[i].tokens && dim[1] != s[i].tokens;
		for (int d = 0; d < 2 && n < 3; d++) {
			bool is_known = dim[d] == s[i].tokens;

			for (int k = 0; k < n; k++)
				is_known |= seen[k] == dim[d];
			if (!is_known)
				seen[n++] = dim[d];
		}
	}
	return n == 3 || (n == 2 && has_square && has_other);
}

/* Tokens that only pass through are never summed over, but in what X^T X is made for. */
static bool is_contracted(const struct judge *j, uint64_t tokens)
{
	double over = 0;

	for (size_t i = 0; i < j->shapes; i++)
		if (j->shape[i].k == tokens && j->shape[i].batch == 1 && j->shape[i].m != j->shape[i].n)
			over += j->shape[i].ops;
	return over > 0.01 * j->ops;
}

/* Operations of X^T X and of squares, as a share: what optimizers and calibration are made of. */
static double gram(const struct judge *j)
{
	double ops = 0;

	for (size_t i = 0; i < j->shapes; i++)
		ops += j->shape[i].m == j->shape[i].n ? j->shape[i].ops : 0;
	return ops / j->ops;
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
		if (meets_layers(&side[i], end - i) && !is_contracted(j, side[i].tokens))
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
	double own = g->by_thread[j->backward], rest = g->ops - own, most = 0;

	if (g->dim[0] == g->dim[1] || g->dim[1] == g->dim[2])
		return fmax(0, fmin(own - 2 * rest, rest));
	for (int d = 0; d < 3; d++)
		most = fmax(most, g->over_backward[d]);
	return fmax(0, fmin(own - 2 * most, most));
}

/* On one thread: forward work beyond what the weight gradients answer for, whatever it is. */
static double suspected(const struct group *g)
{
	double weight = phase_least(g->over);

	return weight > 0 ? fmax(0, g->ops - 3 * weight) : 0;
}

static void find_recomputation(const struct judge *j, const struct groups *g, struct phase_judgement *ret)
{
	double sum = 0;

	for (size_t i = 0; i < g->count && ret->verdict == PHASE_IS_TRAINING; i++)
		sum += (j->backward < 0 ? suspected(&g->item[i]) : again(j, &g->item[i])) / j->ops;
	ret->recompute_high = sum;
	ret->recompute_low = ret->recompute_best = j->backward < 0 ? 0 : sum;
	ret->algorithmic = ret->executed - (opcount)(ret->recompute_best * opcount_to_double(ret->executed));
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

/* Where other work than the learning is done on the threads of the learning: for the same tokens it is a
 * teacher, a reference, an evaluation, or frozen layers below; in squares it is the optimizer's. */
static enum phase_verdict beside_others(const struct judge *j, const struct phase_judgement *p,
					const struct phase_learned *l)
{
	double foreign = l->foreign - fmin(l->foreign, l->evaluated);

	if (foreign > OTHER_WORK / 2 || third_thread(j) > SERVER)
		return PHASE_IS_UNKNOWN;
	/* Some weights learn at each pass, most others never do. */
	if (p->complete >= ADAPTERS && l->share >= ADAPTERS && p->once < 0.6 && l->least_times > 0 &&
	    l->least_times <= 1.3 && l->beside > 0.5 * l->forward)
		return PHASE_IS_FROZEN;
	/* An optimizer's own products may outweigh the model's. */
	if (l->square >= 0.3 && p->complete >= ADAPTERS && l->share >= ADAPTERS &&
	    l->share + l->beside + l->same_tokens + l->square >= ALL)
		return PHASE_IS_TRAINING;
	if (l->share < LEARNS || p->complete < 0.15)
		return PHASE_IS_UNKNOWN;
	return l->share + l->beside + l->same_tokens + fmax(l->square, l->evaluated) >= MOST
		       ? PHASE_IS_TRAINING
		       : PHASE_IS_UNKNOWN;
}

static enum phase_verdict on_threads(const struct judge *j, const struct phase_judgement *p,
				     const struct phase_learned *l)
{
	if (p->elsewhere > OTHER_WORK || third_thread(j) > SERVER)
		return beside_others(j, p, l);
	if (p->complete >= LEARNS && p->twice >= MUCH)
		return PHASE_IS_TRAINING;
	if (p->complete >= LEARNS_ALONE && p->is_told)
		return PHASE_IS_TRAINING;
	if (p->complete >= ADAPTERS && p->twice >= ALL)
		return PHASE_IS_TRAINING;
	if (p->complete < NOISE && p->twice >= MOST)
		return PHASE_IS_TRAINING;
	/* Backward without weight gradients is as much as forward; with recomputation twice, but not in all
	 * of it. */
	if (p->complete >= NOISE && p->complete < ADAPTERS && p->twice + p->once >= ALL && p->once >= 0.15)
		return PHASE_IS_FROZEN;
	/* The same where forward goes through all of it for a reference as well. */
	if (p->complete >= NOISE && p->complete < ADAPTERS && p->weights >= 2 && l->returned >= ALL)
		return PHASE_IS_FROZEN;
	return beside_others(j, p, l);
}

/* Weights with enough of all three forms, whatever their tokens. */
static int complete_families(const struct judge *j)
{
	int n = 0;

	for (size_t i = 0; i < j->families; i++)
		n += 3 * j->family[i].complete > 0.005 * j->ops;
	return n;
}

static bool serves(const struct judge *j, const struct groups *g, const struct phase_judgement *p,
		   double chained)
{
	double squares = gram(j);
	bool in_layers = layered(j) >= LAYERED || chained >= CHAINED ||
			 (squares < 0.6 && chained >= CHAINED * (1 - squares));

	/* Adapters of many tenants meet few tokens each: some of their products look like gradients of
	 * others. */
	if (thread_count(j) == 1 && p->complete < ADAPTERS && p->weights == 0 && chained >= CHAINED)
		return true;
	if (p->complete >= NOISE || !in_layers)
		return false;
	return thread_count(j) == 1 || (chained >= CHAINED && phase_forms_apart(j, g, j->backward) < 0.1) ||
	       (p->twice + p->once < 0.1 && gram(j) < 0.05);
}

static enum phase_verdict verdict_of(const struct judge *j, const struct groups *g, const struct run *r,
				     const struct phase_judgement *p, const struct phase_learned *l,
				     double chained)
{
	if (serves(j, g, p, chained))
		return PHASE_IS_INFERENCE;
	if (thread_count(j) > 1 &&
	    (p->twice + p->once >= 0.1 || l->share >= 0.1 || (p->is_told && p->complete >= LEARNS_ALONE) ||
	     (p->weights >= 2 && l->returned >= ALL)))
		return on_threads(j, p, l);
	if (thread_count(j) == 1 && p->complete >= LEARNS_ALONE &&
	    (p->weights >= 2 || complete_families(j) >= 3) && at_once(r) < 0.85)
		return PHASE_IS_TRAINING;
	if (thread_count(j) == 1 && p->complete >= NOISE && p->complete < ADAPTERS && p->weights >= 2 &&
	    phase_goes_both_ways(j, g))
		return PHASE_IS_FROZEN;
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
	_cleanup_(phase_judge_done) struct judge j = { .backward = -1 };
	_cleanup_(phase_groups_done) struct groups g = { 0 };
	struct phase_learned learned;
	double chained = 0;
	int rc;

	*ret = (struct phase_judgement){ .confidence = "none", .backward = -1 };
	rc = run_ops(r, &ret->executed);
	ret->algorithmic = ret->executed;
	rc = rc ?: phase_families(&j, r);
	if (rc || j.ops <= 0) {
		snprintf(ret->evidence, sizeof(ret->evidence), "There are no products.");
		ret->training_high = 1;
		return rc;
	}
	rc = phase_groups(&j, &g);
	if (rc)
		return rc;
	for (size_t i = 0; i < j.families; i++)
		ret->complete += 3 * j.family[i].complete / j.ops;
	find_backward(&j, &g, ret);
	/* Again, now that the thread is known. */
	phase_groups_done(&g);
	g = (struct groups){ 0 };
	rc = phase_groups(&j, &g);
	if (rc)
		return rc;
	ret->weights = weights_of(&j, &g);
	rc = phase_learned(&j, &g, &learned);
	rc = rc ?: phase_chained(&j, r, &chained);
	if (rc)
		return rc;
	ret->verdict = verdict_of(&j, &g, r, ret, &learned, chained);
	find_recomputation(&j, &g, ret);
	ret->training_low =
		ret->verdict == PHASE_IS_TRAINING || ret->verdict == PHASE_IS_FROZEN ? ret->complete : 0;
	ret->training_high = ret->verdict == PHASE_IS_INFERENCE ? 0 : 1;
	say(&j, ret);
	return 0;
}
