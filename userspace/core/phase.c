// SPDX-License-Identifier: Apache-2.0
/* The verdict: what is complete, and who asked for it. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* Shares of all operations, found on the recorded runs of tests/phases (docs/phases.md). */
#define ADAPTERS 0.1	  /* their families are below it */
#define LEARNS 0.25	  /* complete families, where threads agree */
#define LEARNS_ALONE 0.45 /* the same on one thread, or where backward asks for no more than forward */
#define MOST 0.75
#define ALL 0.9
#define MUCH 0.35
#define LAYERED 0.5
#define OTHER_WORK 0.2	      /* beside training: what it is shows nowhere */
#define SERVER 0.01	      /* a third thread */
#define ALONE_SHAPES_MAX 1024 /* each is held against each */
#define CHAINED 0.7	      /* products that feed each other */

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

/* Operations that contract over what no other thread contracts over, but what stands beside the products of
 * others: weight gradients. */
static double contracts_alone(const struct judge *j, int t)
{
	double sum = 0;

	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];
		double over = 0, beside = 0;

		if (s->by_thread[t] <= 0 || s->batch != 1)
			continue;
		for (size_t k = 0; k < j->shapes; k++) {
			const struct shape *o = &j->shape[k];
			double rest = o->ops - o->by_thread[t];

			over += o->k == s->k ? rest : 0;
			beside += o->m == s->k || o->n == s->k ? rest : 0;
		}
		sum += over <= 0 && beside > 0 ? s->by_thread[t] : 0;
	}
	return sum;
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
		    (b.twice + b.once == best && (j->backward >= 0 && b.twice < ret->twice)))
			continue;
		/* Two that ask for as much as each other. */
		if (j->backward >= 0 && b.twice + b.once == best && b.twice == ret->twice &&
		    (j->shapes > ALONE_SHAPES_MAX ||
		     contracts_alone(j, t) <= contracts_alone(j, j->backward)))
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

struct cues {
	struct phase_learned learned;
	struct phase_chain chain;
	struct phase_only only;
	double reduced; /* bytes of gradients that ranks add up */
	bool is_by_gradients;
};

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

/* Each group's tokens are what weight gradients contract over, told by the backward thread where there is
 * one. */
static int find_recomputation(const struct judge *j, const struct groups *g, const struct run *r,
			      const struct cues *c, struct phase_judgement *ret)
{
	struct phase_again again = { 0 };
	int rc = 0;

	if (ret->verdict == PHASE_IS_TRAINING && !c->is_by_gradients)
		rc = j->backward < 0 ? phase_again_by_order(j, g, r, &again)
				     : phase_again_by_thread(j, g, &again);
	ret->recompute_low = again.low;
	ret->recompute_best = again.best;
	ret->recompute_high = again.high;
	ret->algorithmic = ret->executed - (opcount)(ret->recompute_best * opcount_to_double(ret->executed));
	return rc;
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

	if (foreign - l->rolled_out > OTHER_WORK / 2 || third_thread(j) - l->rolled_out > SERVER)
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
		   const struct phase_chain *chain)
{
	double chained = chain->share, squares = phase_gram(j);
	bool in_layers = phase_layered(j) >= LAYERED || chained >= CHAINED ||
			 (squares < 0.6 && chained >= CHAINED * (1 - squares)) ||
			 (thread_count(j) == 1 && chain->beside_gram >= CHAINED) ||
			 (thread_count(j) == 1 && phase_attends_forward(j, g));

	if (thread_count(j) == 1 && phase_equal_returns(j, g))
		return false;
	/* Adapters of many tenants meet few tokens each: some of their products look like gradients of
	 * others. */
	if (thread_count(j) == 1 && p->complete < ADAPTERS && p->weights == 0 && chained >= CHAINED)
		return true;
	if (p->complete >= NOISE || !in_layers)
		return false;
	return thread_count(j) == 1 || (chained >= CHAINED && chain->threads_alike) ||
	       (chained >= CHAINED && phase_forms_apart(j, g, j->backward) < 0.1) ||
	       (p->twice + p->once < 0.1 && phase_gram(j) < 0.05);
}

/* What cannot be told by families, but is told by a thread that asks for weight gradients alone, or by what
 * ranks add up: half a byte for each weight that is met is gradients in half precision, reduced once in four
 * passes. */
static enum phase_verdict by_gradients(const struct judge *j, const struct groups *g,
				       const struct phase_judgement *p, const struct cues *c)
{
	bool is_reduced = c->reduced >= 0.5 * phase_weights_met(g);

	if (c->only.thread >= 0)
		return c->only.answered >= 0.5 * c->only.forward ? PHASE_IS_TRAINING : PHASE_IS_FROZEN;
	if (is_reduced && thread_count(j) > 1 && p->complete < NOISE && p->once >= ALL)
		return PHASE_IS_TRAINING;
	if (is_reduced && thread_count(j) == 1 && p->complete >= ADAPTERS && phase_goes_both_ways(j, g))
		return PHASE_IS_TRAINING;
	return PHASE_IS_UNKNOWN;
}

static enum phase_verdict by_families(const struct judge *j, const struct groups *g, const struct run *r,
				      const struct phase_judgement *p, const struct cues *c)
{
	const struct phase_learned *l = &c->learned;

	if (serves(j, g, p, &c->chain))
		return PHASE_IS_INFERENCE;
	if (thread_count(j) > 1 &&
	    (p->twice + p->once >= 0.1 || l->share >= 0.1 || (p->is_told && p->complete >= LEARNS_ALONE) ||
	     (p->weights >= 2 && l->returned >= ALL)))
		return on_threads(j, p, l);
	if (thread_count(j) == 1 && p->complete >= LEARNS_ALONE &&
	    (p->weights + phase_equal_weights(j, g) >= 2 || complete_families(j) >= 3) && at_once(r) < 0.85)
		return PHASE_IS_TRAINING;
	if (thread_count(j) == 1 && p->complete >= NOISE && p->complete < ADAPTERS && p->weights >= 2 &&
	    phase_goes_both_ways(j, g))
		return PHASE_IS_FROZEN;
	return PHASE_IS_UNKNOWN;
}

/* By gradients alone: which gradients. */
static const char *by_what(const struct cues *c)
{
	return !c->is_by_gradients ? ""
	       : c->only.thread >= 0
		       ? " It asks for nothing but weight gradients of what the others pass forward."
		       : " Ranks add up, besides what products make, as many numbers as weights have: "
			 "gradients.";
}

static void say(const struct judge *j, const struct cues *c, struct phase_judgement *p)
{
	int len;
	bool agree = (j->backward >= 0 && p->complete >= LEARNS && p->twice + p->once >= 0.5) ||
		     (p->verdict == PHASE_IS_TRAINING && p->named_backward && p->named_optimizer);
	char named[100] = "", threads[200] = "All products come from one thread.";

	p->confidence = p->verdict == PHASE_IS_UNKNOWN					  ? "none"
			: agree || (p->verdict == PHASE_IS_FROZEN && !c->is_by_gradients) ? "high"
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
	if (p->named_backward || p->named_optimizer)
		snprintf(named, sizeof(named),
			 " Kernels' names: %" PRIu64 " launches of backward's, %" PRIu64
			 " of an optimizer's.",
			 p->named_backward, p->named_optimizer);
	len = snprintf(
		p->evidence, sizeof(p->evidence),
		"%s%s%s%.1f %% of the operations lie in families with forward, input and weight gradients; "
		"%u products are there in all three forms. %s%s%s",
		p->suspicion ? PHASE_SUSPECTED ": " : "", p->suspicion ?: "", p->suspicion ? ". " : "",
		100 * p->complete, p->weights, threads, by_what(c), named);
	/* The longest of all its parts do not fit: that it is cut is to be seen. */
	if (len >= (int)sizeof(p->evidence))
		memcpy(p->evidence + sizeof(p->evidence) - 4, "...", 4);
}

/* The thread that asks for weight gradients alone is the backward one, whatever the balance said. */
static void take_thread(struct judge *j, const struct groups *g, const struct cues *c,
			struct phase_judgement *p)
{
	struct balance b;

	if (!c->is_by_gradients || c->only.thread < 0 || c->only.thread == j->backward)
		return;
	j->backward = p->backward = c->only.thread;
	b = balance_of(j, g, j->backward);
	p->twice = b.twice;
	p->once = b.once;
	p->elsewhere = b.elsewhere;
}

static int find_cues(const struct judge *j, const struct groups *g, const struct run *r, struct cues *ret)
{
	int rc = phase_learned(j, g, &ret->learned);

	rc = rc ?: phase_chained(j, r, &ret->chain);
	ret->only.thread = -1;
	if (rc)
		return rc;
	rc = phase_reduced(r, &ret->reduced);
	rc = rc ?: phase_threads_alike(j, r, ret->chain.at_m);
	ret->chain.threads_alike = rc > 0;
	return rc < 0 ? rc : 0;
}

/* What is complete is learned, whatever else the process does, where the verdict says so or a thread goes
 * backward through it: one that trains and serves is unknown as a whole only. */
static bool learns_for_sure(const struct phase_judgement *p)
{
	if (p->is_forged)
		return false;
	return p->verdict == PHASE_IS_TRAINING || p->verdict == PHASE_IS_FROZEN ||
	       (p->verdict == PHASE_IS_UNKNOWN && p->is_told && p->complete >= ADAPTERS && p->twice >= MUCH);
}

int phase_judge(const struct run *r, struct phase_judgement *ret)
{
	_cleanup_(phase_judge_done) struct judge j = { .backward = -1 };
	_cleanup_(phase_groups_done) struct groups g = { 0 };
	struct cues cues = { 0 };
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
	ret->complete = fmin(1, ret->complete + phase_equal_complete(&j, &g));
	rc = find_cues(&j, &g, r, &cues);
	if (rc)
		return rc;
	ret->verdict = by_families(&j, &g, r, ret, &cues);
	/* Adapters pass input gradients on through what is frozen: a thread of weight gradients alone is none
	 * of theirs. */
	if (ret->verdict == PHASE_IS_FROZEN && ret->complete < ADAPTERS)
		rc = phase_only_gradients(&j, &g, &cues.only);
	if (rc == 0 && (ret->verdict == PHASE_IS_UNKNOWN || cues.only.thread >= 0)) {
		rc = phase_only_gradients(&j, &g, &cues.only);
		if (rc)
			return rc;
		ret->verdict = by_gradients(&j, &g, ret, &cues);
		cues.is_by_gradients = ret->verdict != PHASE_IS_UNKNOWN;
		take_thread(&j, &g, &cues, ret);
	}
	phase_names(r, ret);
	rc = phase_suspect(&j, &g, r, &cues.learned, cues.reduced, ret);
	rc = rc ?: find_recomputation(&j, &g, r, &cues, ret);
	ret->training_low = learns_for_sure(ret) ? ret->complete : 0;
	ret->training_high = ret->verdict == PHASE_IS_INFERENCE ? 0 : 1;
	say(&j, &cues, ret);
	return rc;
}
