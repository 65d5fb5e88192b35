// SPDX-License-Identifier: Apache-2.0
/* Recomputation: forward work that backward asks for once more, told from other forward work by thread or by
 * order. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* --- by thread --- */

/* Forward goes through the weight one way only: index of what it contracts over; -1: both ways. */
static int one_way(const struct group *g, int tokens, int backward)
{
	double rest = g->ops - g->by_thread[backward];

	for (int d = 0; d < 3; d++)
		if (d != tokens && g->over[d] - g->over_backward[d] >= 0.98 * rest &&
		    g->dim[d] != g->dim[(d + 1) % 3] && g->dim[d] != g->dim[(d + 2) % 3])
			return d;
	return -1;
}

/* Input gradients that go through weights which do not learn there, beyond those of the weights that do. */
struct passing {
	double share; /* of weight gradients, the most where ways are told: layers below that are frozen */
	double calls; /* the most of a weight that never learns: another model that only passes gradients on
		       */
};

static double calls_of(const struct group *g, double ops)
{
	return ops / (2 * (double)g->batch * (double)g->dim[0] * (double)g->dim[1] * (double)g->dim[2]);
}

static struct passing passing_of(const struct judge *j, const struct groups *g, const int *tokens)
{
	struct passing ret = { 0 };

	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		double own = x->by_thread[j->backward];
		int in = tokens[i] < 0 ? -1 : one_way(x, tokens[i], j->backward);

		if (in >= 0 && x->ops >= 0.003 * j->ops && x->over_backward[tokens[i]] > 0) {
			ret.share =
				fmax(ret.share,
				     x->over_backward[3 - in - tokens[i]] / x->over_backward[tokens[i]] - 1);
		} else if (tokens[i] < 0 && own > 0 && fabs(x->ops - 2 * own) <= 0.02 * x->ops) {
			ret.calls = fmax(ret.calls, calls_of(x, own));
		}
	}
	return ret;
}

/* Of three different dimensions, backward asks for the same over T and over O; what is more than twice the
 * larger is forward work again. Of equal ones only the sum tells. */
static double again_untold(const struct judge *j, const struct group *g)
{
	double own = g->by_thread[j->backward], rest = g->ops - own, most = 0;

	if (g->dim[0] == g->dim[1] || g->dim[1] == g->dim[2])
		return fmax(0, fmin(own - 2 * rest, rest));
	for (int d = 0; d < 3; d++)
		most = fmax(most, g->over_backward[d]);
	return fmax(0, fmin(own - 2 * most, most));
}

static double again(const struct judge *j, const struct group *g, int tokens, const struct passing *pass)
{
	double own = g->by_thread[j->backward], rest = g->ops - own, gradient, more;
	int in;

	if (tokens < 0)
		return again_untold(j, g);
	gradient = g->over_backward[tokens];
	in = one_way(g, tokens, j->backward);
	/* Less forward than gradients: backward goes through a backward pass of its own. */
	if (rest < 0.9 * gradient)
		return 0;
	if (in >= 0)
		return fmin(g->over_backward[in], gradient);
	more = own - (2 + pass->share) * gradient;
	if (calls_of(g, more) <= 1.05 * pass->calls)
		return 0;
	return fmax(0, fmin(more, gradient));
}

int phase_again_by_thread(const struct judge *j, const struct groups *g, struct phase_again *ret)
{
	_cleanup_free_ int *tokens = NULL;
	struct passing pass;
	double sum = 0;
	int rc = phase_learned_dims(j, g, &tokens);

	if (rc)
		return rc;
	pass = passing_of(j, g, tokens);
	for (size_t i = 0; i < g->count; i++)
		sum += again(j, &g->item[i], tokens[i], &pass) / j->ops;
	*ret = (struct phase_again){ sum, sum, sum };
	return 0;
}

/* --- by order --- */

/* A size that may be the tokens', and the operations of the groups that say so. */
struct vote {
	uint64_t value;
	double ops;
};

static int by_value(const void *x, const void *y)
{
	const struct vote *a = x, *b = y;

	return a->value < b->value ? -1 : a->value > b->value;
}

/* Weight gradients are the least of the three forms, where there is more forward than they answer for. Of a
 * square weight the other two are one. */
static bool may_be_tokens(const struct group *g, int d)
{
	bool is_square = g->dim[0] == g->dim[1] || g->dim[1] == g->dim[2];
	double least = is_square ? (g->ops - g->over[d]) / 2 : phase_least(g->over);

	return g->batch == 1 && g->over[d] > 0 && g->over[d] <= 1.02 * least &&
	       g->dim[d] != g->dim[(d + 1) % 3] && g->dim[d] != g->dim[(d + 2) % 3];
}

static int votes_make(const struct groups *g, struct vote **ret, size_t *ret_count)
{
	struct vote *v = calloc(3 * g->count + 1, sizeof(*v));
	size_t n = 0, kept = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++)
		for (int d = 0; d < 3; d++)
			if (may_be_tokens(&g->item[i], d))
				v[n++] = (struct vote){ g->item[i].dim[d], g->item[i].ops };
	if (n)
		qsort(v, n, sizeof(*v), by_value);
	for (size_t i = 0; i < n; i++) {
		if (kept && v[kept - 1].value == v[i].value)
			v[kept - 1].ops += v[i].ops;
		else
			v[kept++] = v[i];
	}
	*ret = v;
	*ret_count = kept;
	return 0;
}

/* What most groups have in common; -1: none. */
static int tokens_of(const struct group *g, const struct vote *v, size_t count)
{
	double most = 0;
	int best = -1;

	for (int d = 0; d < 3; d++) {
		struct vote key = { .value = g->dim[d] };
		const struct vote *at =
			count && may_be_tokens(g, d) ? bsearch(&key, v, count, sizeof(key), by_value) : NULL;

		if (at && at->ops > most) {
			most = at->ops;
			best = d;
		}
	}
	return best;
}

/* A group as the recorded order shows it. */
struct ordered {
	int tokens;	 /* index of the dimension; -1: not told */
	size_t weight;	 /* groups of one weight have one number */
	double gradient; /* operations */
	double within;	 /* of others between weight gradients, no forward pass among them */
};

struct ordering {
	const struct run *run;
	const struct groups *groups;
	struct ordered *item; /* of each group */
	size_t weights;
	/* By weight: in which stretch last; and what forward contracts over, as the longest stretch has it
	 * first. */
	size_t *seen;
	uint64_t *forward;
};

/* A step's group and what it is. */
struct place {
	size_t group;
	bool is_told, is_gradient;
	uint64_t over;
	double ops;
};

static struct place place_of(const struct ordering *o, const struct run_step *s)
{
	const struct run_product *p = &o->run->products[s->product];
	const struct groups *g = o->groups;
	struct group key = { .batch = p->batch, .dim = { p->m, p->n, p->k } };
	const struct group *at;
	struct place ret = { 0 };

	phase_sort3(key.dim);
	at = g->count ? bsearch(&key, g->item, g->count, sizeof(key), phase_by_dims) : NULL;
	if (!at)
		return ret;
	ret.group = (size_t)(at - g->item);
	ret.is_told = o->item[ret.group].tokens >= 0;
	ret.is_gradient = ret.is_told && p->k == at->dim[o->item[ret.group].tokens];
	ret.over = p->k;
	ret.ops = 2 * (double)p->batch * (double)p->m * (double)p->n * (double)p->k * s->repeat;
	return ret;
}

/* Products between two weight gradients. */
struct stretch {
	size_t from, number, weights;
	double ops;
};

static void stretch_add(const struct ordering *o, struct stretch *s, const struct place *p)
{
	size_t weight = o->item[p->group].weight;

	s->ops += p->ops;
	if (p->is_told && o->seen[weight] != s->number &&
	    (o->forward[weight] == 0 || o->forward[weight] == p->over)) {
		o->seen[weight] = s->number;
		s->weights++;
	}
}

static void stretch_keep(const struct ordering *o, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct place p = place_of(o, &o->run->steps[i]);

		if (p.is_told && !p.is_gradient)
			o->item[p.group].within += p.ops;
	}
}

/* Between the weight gradients of two passes a forward pass goes through all weights, the head too. Where
 * there is no head, what is done again of one layer does as well, but it is far less than the longest. */
#define FORWARD_PASS 0.1

static struct stretch longest_stretch(const struct ordering *o)
{
	struct stretch s = { .number = 1 }, longest = { 0 };

	for (size_t i = 0; i < o->run->step_count; i++) {
		struct place p = place_of(o, &o->run->steps[i]);

		if (p.is_gradient)
			s = (struct stretch){ .from = i + 1, .number = s.number + 1 };
		else
			stretch_add(o, &s, &p);
		longest = s.ops > longest.ops ? s : longest;
	}
	memset(o->seen, 0, o->weights * sizeof(*o->seen));
	return longest;
}

static void note_forward(const struct ordering *o, size_t from)
{
	for (size_t i = from; i < o->run->step_count; i++) {
		struct place p = place_of(o, &o->run->steps[i]);
		uint64_t *forward = &o->forward[o->item[p.group].weight];

		if (p.is_gradient)
			break;
		if (p.is_told && *forward == 0)
			*forward = p.over;
	}
}

/* Keeps what is between weight gradients and is no forward pass. */
static void read_order(const struct ordering *o)
{
	struct stretch longest = longest_stretch(o), s = { .number = 1 };

	note_forward(o, longest.from);
	for (size_t i = 0; i < o->run->step_count; i++) {
		struct place p = place_of(o, &o->run->steps[i]);

		if (!p.is_gradient) {
			stretch_add(o, &s, &p);
			continue;
		}
		o->item[p.group].gradient += p.ops;
		if (s.number > 1 && (s.weights < o->weights || s.ops < FORWARD_PASS * longest.ops))
			stretch_keep(o, s.from, i);
		s = (struct stretch){ .from = i + 1, .number = s.number + 1 };
	}
}

/* --- what it comes to --- */

struct named {
	uint64_t low, high;
	size_t group;
};

static int by_weight(const void *x, const void *y)
{
	const struct named *a = x, *b = y;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return a->high < b->high ? -1 : a->high > b->high;
}

/* Numbers the weights of the groups whose tokens are told. */
static int number_weights(struct ordering *o)
{
	const struct groups *g = o->groups;
	_cleanup_free_ struct named *name = calloc(g->count + 1, sizeof(*name));
	size_t n = 0;

	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++) {
		int t = o->item[i].tokens;
		uint64_t a = g->item[i].dim[(t + 1) % 3], b = g->item[i].dim[(t + 2) % 3];

		if (t >= 0)
			name[n++] = (struct named){ a < b ? a : b, a < b ? b : a, i };
	}
	if (n)
		qsort(name, n, sizeof(*name), by_weight);
	for (size_t i = 0; i < n; i++) {
		o->weights += i == 0 || by_weight(&name[i - 1], &name[i]);
		o->item[name[i].group].weight = o->weights - 1;
	}
	return 0;
}

/* Forward work beyond what the weight gradients answer for, whatever it is. */
static double suspected(const struct group *g, int tokens)
{
	double weight = tokens >= 0 ? g->over[tokens] : phase_least(g->over);

	return weight > 0 ? fmax(0, g->ops - 3 * weight) : 0;
}

int phase_again_by_order(const struct judge *j, const struct groups *g, const struct run *r,
			 struct phase_again *ret)
{
	_cleanup_free_ struct ordered *item = calloc(g->count + 1, sizeof(*item));
	_cleanup_free_ size_t *seen = calloc(g->count + 1, sizeof(*seen));
	_cleanup_free_ struct vote *v = NULL;
	_cleanup_free_ uint64_t *forward = calloc(g->count + 1, sizeof(*forward));
	struct ordering o = { r, g, item, 0, seen, forward };
	size_t votes;

	*ret = (struct phase_again){ 0 };
	if (!item || !seen || !forward || votes_make(g, &v, &votes))
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++)
		item[i].tokens = tokens_of(&g->item[i], v, votes);
	if (number_weights(&o))
		return -ENOMEM;
	read_order(&o);
	for (size_t i = 0; i < g->count; i++) {
		double high = suspected(&g->item[i], item[i].tokens), more = 0;

		/* Input gradients are as much as weight gradients. The order may be a sample: its share
		 * counts. */
		if (item[i].gradient > 0)
			more = fmax(0, item[i].within / item[i].gradient - 1) *
			       g->item[i].over[item[i].tokens];
		ret->high += high / j->ops;
		ret->best += fmin(high, more) / j->ops;
	}
	return 0;
}
