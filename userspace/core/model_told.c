// SPDX-License-Identifier: Apache-2.0
/*
 * Which buffers products read and write: weights told one by one.
 *
 * Forward, the operand that has no tokens is the weight. It is one buffer per layer, which no product writes
 * to; so as many different ones as are read are there, however often. Backward reads the same buffer for the
 * input gradient, or what went into the layer for the weight gradient: a weight that neither meets does not
 * learn. If such weights have a head of their own they are another model (a reference, a teacher), else
 * layers below.
 *
 * Buffers are claims, and allocators give them out again. Nothing is told by them where products write to
 * what stands for weights (copies, buffers into which ranks gather), where layers are met more often than the
 * head (gathered as well, or one layer used many times), or where buffers are not known.
 */
#include "model_seeing.h"

#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"

#define TOLD 0.95	   /* of the work meets weights that nothing writes to */
#define OTHER_SIDE 0.9	   /* on the wrong side less of it does */
#define MORE_THAN_HEAD 1.5 /* times */

static int by_pair(const void *x, const void *y)
{
	const struct held *a = *(struct held *const *)x, *b = *(struct held *const *)y;

	if (a->small != b->small)
		return a->small < b->small ? -1 : 1;
	return a->large < b->large ? -1 : a->large > b->large;
}

/* --- what it comes to --- */

static bool is_met(const struct seeing *s, const struct held *h)
{
	return !s->answers.is_asked || h->met;
}

/* What gradients only pass through is part of what learns where most of it does not learn itself. Else each
 * has a weight gradient, of its own or as many as all of its size were met. */
static bool is_sure(const struct seeing *s, const struct held *h, bool has_all)
{
	return is_met(s, h) && (!s->answers.is_asked || !s->is_taught || h->taught || has_all ||
				s->j->phase->verdict == PHASE_IS_FROZEN);
}

bool seeing_has_all_gradients(struct seeing *s, struct held *const *all, size_t n, size_t from)
{
	double reads = 0;

	for (size_t i = from; i < n && !by_pair(&all[from], &all[i]); i++)
		reads += is_met(s, all[i]) ? all[i]->reads : 0;
	return seeing_size(s, all[from]->small, all[from]->large)->gradients >= OTHER_SIDE * reads;
}

/* Share of the work that meets what gets a weight gradient each time, as it must on the right side. */
static double share_answered(struct seeing *s)
{
	double taught = 0;

	for (size_t i = 0; i < s->slots; i++)
		if (s->held[i].address && 2 * s->held[i].taught >= s->held[i].visits)
			taught += s->held[i].work;
	return !s->answers.is_asked ? 1 : s->work > 0 ? taught / s->work : 0;
}

/* The head: the largest weight that is there once among those that learn. NULL: none. */
static struct held *find_head(struct held *const *all, size_t n, const struct seeing *s)
{
	struct held *head = NULL;

	for (size_t i = 0, end; i < n; i = end) {
		struct held *one = NULL;
		size_t count = 0;

		for (end = i; end < n && !by_pair(&all[i], &all[end]); end++)
			if (is_met(s, all[end]) && all[end]->work > 0) {
				one = all[end];
				count++;
			}
		if (count == 1 && (!head || head->small * head->large < one->small * one->large))
			head = one;
	}
	return head;
}

/* Is what nobody goes back through another model? It has a head of as many outputs, or as many weights of
 * each size as what learns. */
static bool is_another(struct held *const *all, size_t n, const struct seeing *s, const struct held *head)
{
	bool is_twin = true;

	for (size_t i = 0; head && i < n; i++)
		if (!is_met(s, all[i]) && all[i]->out == head->out)
			return true;
	for (size_t i = 0, end; i < n; i = end) {
		size_t own = 0, other = 0;

		for (end = i; end < n && !by_pair(&all[i], &all[end]); end++) {
			own += is_met(s, all[end]);
			other += !is_met(s, all[end]);
		}
		is_twin &= own == other;
	}
	return is_twin;
}

/* Two models that learn one after the other (an actor, a critic): no backward pass meets both, and one is met
 * more often. The one with the head stays. */
static void part_models(struct held *const *all, size_t n, struct seeing *s, const struct held *head)
{
	uint32_t own = head ? seeing_model_of(s, (uint32_t)(head - s->held)) : 0;

	for (size_t i = 0; head && s->answers.is_asked && i < n; i++)
		if (all[i]->is_kept && all[i]->met &&
		    seeing_model_of(s, (uint32_t)(all[i] - s->held)) != own &&
		    !model_is_near(all[i]->visits, head->visits))
			all[i]->is_kept = false;
}

/* Layers are met more often than what is there once, and by more tokens: buffers into which one layer after
 * the other is gathered, or one layer many times. Without what is there once: before backward begins. */
static bool is_gathered(struct seeing *s, struct held *const *all, size_t n, bool *ret_is_open)
{
	double least = 0, tokens = 0, more = 0, work = 0;

	for (int turn = 0; turn < 2; turn++)
		for (size_t i = 0, end; i < n; i = end) {
			double visits = 0, own = 0, met = 0;
			double count = 0;

			for (end = i; end < n && !by_pair(&all[i], &all[end]); end++)
				if (all[end]->is_kept) {
					visits += all[end]->visits;
					own += all[end]->work;
					met += all[end]->tokens;
					count++;
				}
			if (count && s->answers.is_asked)
				count = fmin(count, seeing_size(s, all[i]->small, all[i]->large)->most);
			if (turn == 0 && count == 1 && (least <= 0 || visits < least)) {
				least = visits;
				tokens = met;
			}
			if (turn == 1 && count) {
				work += own;
				more += fmin(visits / least, met / tokens) > MORE_THAN_HEAD * count ? own : 0;
			}
		}
	*ret_is_open = least <= 0;
	return least > 0 && more > (1 - TOLD) * work;
}

/* Share of the work that meets weights which nothing writes to. What neither is one nor is met by backward
 * is somebody else's (an optimizer's). */
static double share_told(struct seeing *s)
{
	double told = 0, none = 0;

	for (size_t i = 0; i < s->slots; i++) {
		const struct held *h = &s->held[i];

		if (!h->address)
			continue;
		if (!seeing_is_no_weight(s, h->address))
			told += h->work;
		else if (s->answers.is_asked && !h->met)
			none += h->work;
	}
	s->left = none;
	return s->work - none > 0 ? told / (s->work - none) : 0;
}

/* Buffers that are never met between two backward passes may be copies of one weight, made anew each time. */
static void take_together(struct seeing *s, struct judging *j)
{
	for (size_t i = 0; i < j->tolds && s->answers.is_asked; i++) {
		struct model_told *t = &j->told[i];
		double most = (double)seeing_size(s, t->small, t->large)->most * t->batch;

		t->sure = fmin(t->sure, most);
		if (most <= t->copies / 2)
			t->copies = most;
	}
}

/* Keeps what is of the model, and tells how many there are of each size. -ENOMEM. */
static int keep(struct seeing *s, struct judging *j)
{
	_cleanup_free_ struct held **all = calloc(s->slots, sizeof(struct held *));
	bool is_other, is_open, has_all = false;
	const struct held *head;
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < s->slots; i++)
		if (s->held[i].address && !seeing_is_no_weight(s, s->held[i].address))
			all[n++] = &s->held[i];
	if (!n)
		return 0;
	qsort(all, n, sizeof(struct held *), by_pair);
	head = find_head(all, n, s);
	is_other = is_another(all, n, s, head);
	for (size_t i = 0; i < n; i++)
		all[i]->is_kept = all[i]->work > 0 && (is_met(s, all[i]) || !is_other);
	part_models(all, n, s, head);
	if (seeing_leave_others(s, j, all, n))
		return -ENOMEM;
	if (is_gathered(s, all, n, &is_open))
		return 0;
	j->told = calloc(n, sizeof(*j->told));
	if (!j->told)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct model_told *last = j->tolds ? &j->told[j->tolds - 1] : NULL;
		const struct held *h = all[i];

		if (!h->is_kept)
			continue;
		if (!last || last->small != h->small || last->large != h->large) {
			has_all = seeing_has_all_gradients(s, all, n, i);
			last = &j->told[j->tolds++];
			*last = (struct model_told){ .small = h->small,
						     .large = h->large,
						     .batch = h->batch,
						     .least = UINT32_MAX,
						     .tokens_least = INFINITY };
		}
		last->copies += h->batch;
		last->sure += is_sure(s, h, has_all) ? h->batch : 0;
		last->least = h->visits < last->least ? h->visits : last->least;
		last->most = h->visits > last->most ? h->visits : last->most;
		last->again = h->again > last->again ? h->again : last->again;
		last->tokens += h->tokens;
		last->tokens_least = fmin(last->tokens_least, h->tokens);
		last->tokens_most = fmax(last->tokens_most, h->tokens);
	}
	j->is_open = is_open;
	j->is_contradicted = false;
	take_together(s, j);
	return 0;
}

/* Takes calls through what is not kept from those that go forward. -ENOMEM. */
static int take_others(struct seeing *s, struct judging *j)
{
	const struct run *r = j->run;
	_cleanup_free_ double *all = calloc(r->product_count + 1, sizeof(double)),
			      *own = calloc(r->product_count + 1, sizeof(double));

	if (!all || !own)
		return -ENOMEM;
	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_step *x = &r->steps[i];
		const struct run_product *p = &r->products[x->product];
		uint32_t address = j->at_m ? x->b : x->a;
		struct reading w = model_read_side(p, j->at_m);

		if (x->thread == (uint32_t)j->phase->backward)
			continue;
		all[x->product] += x->repeat;
		if (address && seeing_held(s, address, w.small, w.large)->is_kept)
			own[x->product] += x->repeat;
	}
	for (size_t i = 0; i < r->product_count; i++)
		for (int t = 0; t < RUN_THREADS_MAX; t++)
			if (t != j->phase->backward && all[i] > 0 && model_forward_calls(j, i, j->at_m) > 0)
				j->calls[i][t] *= own[i] / all[i];
	return 0;
}

/* Share of the forward work, cut ends and all, that meets weights which were met between the ends. */
static double share_within(struct seeing *s, bool at_m)
{
	const struct run *r = s->j->run;
	double all = 0, within = 0;

	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_step *x = &r->steps[i];
		const struct run_product *p = &r->products[x->product];
		struct reading w = model_read_side(p, at_m);
		uint32_t address = at_m ? x->b : x->a;
		double work =
			(double)w.small * (double)w.large * (double)w.tokens * (double)p->batch * x->repeat;

		if (!address || x->a == x->b || x->thread == (uint32_t)s->j->phase->backward ||
		    model_forward_calls(s->j, x->product, at_m) <= 0 ||
		    !model_may_learn(s->j, &s->answers, &w))
			continue;
		all += work;
		within += seeing_held(s, address, w.small, w.large)->address ? work : 0;
	}
	return all > 0 ? within / all : 0;
}

/* Has a sample met all there is? Where gradients come back, one time round is all of a model, if what is at
 * the cut ends is no other; else nearly all of the work must be with weights that were met again. */
static bool is_covered(struct seeing *s, bool at_m)
{
	double again = 0;

	if (!s->is_sampled)
		return true;
	if (s->j->phase->backward >= 0)
		return s->cycles >= 1 && share_within(s, at_m) >= TOLD;
	for (size_t i = 0; i < s->slots; i++)
		if (s->held[i].address && s->held[i].visits >= 2)
			again += s->held[i].work;
	return again >= TOLD * s->work;
}

/* Looks at it with tokens at the side that shapes tell, and if weights are not told so, at the other. 1: they
 * are, on side *at_m; 0; -ENOMEM. */
static int look(const struct judging *j, struct seeing *s, bool *at_m)
{
	double told;
	int rc = seeing_make(j, j->at_m, s);

	told = rc ? 0 : share_told(s);
	*at_m = j->at_m;
	if (rc || told >= OTHER_SIDE)
		return rc ?: told >= TOLD && is_covered(s, *at_m);
	seeing_done(s);
	*at_m = !j->at_m;
	rc = seeing_make(j, *at_m, s);
	return rc ?: share_told(s) >= TOLD && share_answered(s) >= OTHER_SIDE && is_covered(s, *at_m);
}

static bool asks(const struct judging *j, int thread)
{
	for (size_t i = 0; i < j->run->product_count; i++)
		if (j->calls[i][thread] > 0)
			return true;
	return false;
}

/* Where the phase is not known, which of two threads goes back may be told wrongly: only what goes forward
 * meets nothing but weights. */
static int look_at_threads(struct judging *j, struct seeing *s, bool *at_m)
{
	int rc = 0;

	for (int t = 0; t < RUN_THREADS_MAX && rc == 0; t++) {
		if (t == j->phase->backward || !asks(j, t))
			continue;
		j->turned = *j->phase;
		j->turned.backward = t;
		seeing_done(s);
		j->phase = &j->turned;
		rc = look(j, s, at_m);
		if (rc <= 0)
			j->phase = j->judged;
	}
	return rc;
}

static int by_told(const void *x, const void *y)
{
	const struct model_told *a = x, *b = y;

	if (a->small != b->small)
		return a->small < b->small ? -1 : 1;
	return a->large < b->large ? -1 : a->large > b->large;
}

static const struct model_told *told_of(const struct judging *j, uint64_t small, uint64_t large)
{
	struct model_told key = { .small = small, .large = large };

	return j->tolds ? bsearch(&key, j->told, j->tolds, sizeof(key), by_told) : NULL;
}

/* Nearly all of the forward work that backward answers, as it is counted, is of sizes that are told: a sample
 * may show but a part of them. */
static bool has_told_all(const struct judging *j, const struct answers *answers)
{
	double all = 0, told = 0;

	for (size_t i = 0; i < j->run->product_count && answers->is_asked; i++) {
		const struct run_product *p = &j->run->products[i];
		struct reading x = model_read_side(p, j->at_m);
		double work = model_forward_calls(j, i, j->at_m) * (double)p->batch * (double)x.small *
			      (double)x.large * (double)x.tokens;

		if (work <= 0 || !model_is_answered(answers, &x))
			continue;
		all += work;
		told += told_of(j, x.small, x.large) ? work : 0;
	}
	return told >= TOLD * all;
}

int model_identities(struct judging *j)
{
	_cleanup_(seeing_done) struct seeing s = { 0 };
	bool at_m;
	int rc;

	if (!j->by_side || !j->run->step_count)
		return 0;
	j->may_tell = true;
	rc = look(j, &s, &at_m);
	if (rc == 0 && j->phase->verdict == PHASE_IS_UNKNOWN && j->phase->backward >= 0)
		rc = look_at_threads(j, &s, &at_m);
	j->may_tell = rc > 0;
	if (rc <= 0)
		return rc;
	j->is_contradicted = at_m != j->at_m;
	j->is_seen_once = s.is_sampled && j->phase->backward >= 0 && s.cycles < 2;
	j->is_part = s.left > (1 - TOLD) * s.work;
	j->cut = s.is_sampled && j->phase->backward < 0 ? s.windows : 0;
	j->at_m = at_m;
	rc = keep(&s, j);
	j->may_tell = j->tolds;
	j->is_part |= !has_told_all(j, &s.answers);
	return rc || !j->tolds ? rc : take_others(&s, j);
}

void model_take_told(const struct judging *j, struct pair *p)
{
	const struct model_told *t = told_of(j, p->small, p->large);

	p->told = t ? t->copies : 0;
	p->sure = t ? t->sure : 0;
	p->met_least = t ? t->least : 0;
	p->met_most = t ? t->most : 0;
	p->tokens_all = t ? t->tokens : 0;
	p->tokens_least = t ? t->tokens_least : 0;
	p->tokens_most = t ? t->tokens_most : 0;
}

/* Buffers tell how many weights there are: each is met once in a pass. */
double model_passes_told(const struct judging *j)
{
	double most = 0, passes = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		if (p->told <= 0 || p->is_uneven || model_size_of(p) * p->told <= most)
			continue;
		most = model_size_of(p) * p->told;
		passes = p->pass.calls / p->told;
	}
	return passes;
}

/* So many layers that nearly all weights are there as often, or a few times, or once more beside the head. */
double model_layers_told(const struct judging *j)
{
	double best = 0;

	for (size_t i = 0; i < 2 * j->count; i++) {
		double layers = j->pair[i / 2].told - (double)(i % 2), all = 0, fit = 0;

		if (layers < 1.5 || layers <= best || j->pair[i / 2].is_uneven || j->pair[i / 2].is_batched)
			continue;
		for (size_t k = 0; k < j->count; k++) {
			const struct pair *p = &j->pair[k];
			double own = p->is_uneven || p->is_batched || p->told < 1.5
					     ? 0
					     : p->told * model_size_of(p);

			all += own;
			fit += fmod(p->told, layers) <= 1 && p->told >= layers ? own : 0;
		}
		if (fit > 0.99 * all)
			best = layers;
	}
	return best;
}
