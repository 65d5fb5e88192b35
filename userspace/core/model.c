// SPDX-License-Identifier: Apache-2.0
/* What weights and passes come to: sizes, parameters, tokens. */
#include "model_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define RANKS_MAX 64
#define ONE_EACH 0.9 /* of the operations: with just one dimension of tokens, else there is no telling */

/* --- what it comes to --- */

static void set_copies(struct judging *j, double tokens, double passes)
{
	for (size_t i = 0; i < j->count; i++) {
		struct pair *p = &j->pair[i];
		double once = model_is_near(model_once_by(p, tokens), passes) ? passes : p->pass.calls;

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

		if (!p->is_experts && p->copies >= 0.5 && model_is_near(model_mean_tokens(p), tokens))
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
	double many = f->has_passes || f->seen_in_order ? 1 : MODEL_LAYERS_MAX;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		f->parameters.best += p->copies * model_size_of(p);
		f->parameters.low += fmin(p->copies, floor(p->copies + 0.01)) * model_size_of(p);
		f->parameters.high += fmax(p->copies, ceil(p->copies - 0.01)) * model_size_of(p) * many;
		f->active.best += p->active * model_size_of(p);
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

/* Ranks that share each layer hold a part of attention's output: its projection is H x H / ranks, and no
 * weight of a layer is H x H. 0: not told. */
static uint32_t shared_by(const struct model_fingerprint *f)
{
	uint32_t best = 0;

	for (size_t i = 0; i < f->weights; i++) {
		const struct model_weight *w = &f->weight[i];

		if (w->small == f->hidden && w->large == f->hidden)
			return 1;
		for (uint32_t ranks = 2; ranks <= RANKS_MAX; ranks *= 2)
			if (w->large == f->hidden && w->small * ranks == w->large && w->copies >= 1.5 &&
			    (best == 0 || ranks < best))
				best = ranks;
	}
	return best;
}

static void name_dims(struct model_fingerprint *f)
{
	double feed = 0, layers = f->layers ? f->layers : 1;
	bool has_experts = false;

	f->hidden = common_dim(f);
	f->tensor_parallel = f->layers > 1 ? shared_by(f) : 0;
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
		if (other < f->hidden && model_is_near(w->copies, 2 * layers) && other > f->key_value)
			f->key_value = other;
	}
	for (size_t i = 0; i < f->weights && has_experts; i++) {
		uint64_t other = partner(&f->weight[i], f->hidden);

		if (other && other <= 1024 && other < f->hidden &&
		    model_is_near(f->weight[i].copies, layers) && !f->weight[i].is_experts)
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

static int conclude(struct judging *j)
{
	struct model_fingerprint *f = j->f;
	double tokens, passes, explained = 0;
	int rc;

	model_passes(j, &tokens, &passes);
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
		f->tokens.low /= MODEL_LAYERS_MAX;
	f->check = j->ops / ((j->learns ? 6 : 2) * f->active.best * f->tokens.best);
	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		explained += 2 * model_size_of(p) * p->gradient.tokens;
		explained += 2 * model_size_of(p) *
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
	at_m = j->by_side ? model_same_tokens(j, true) : model_share_read(j->run, &j->dims, true);
	at_n = j->by_side ? model_same_tokens(j, false) : model_share_read(j->run, &j->dims, false);
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
	rc = model_dims_make(r, &j.dims);
	rc = rc ?: model_calls_by_thread(r, &j.calls);
	rc = rc ?: find_side(&j);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = model_pairs_make(&j);
	if (rc)
		return rc;
	j.learns = model_learns(&j);
	model_pairs_choose(&j);
	rc = j.count ? conclude(&j) : 0;
	if (rc == 0 && known)
		model_match(known, ret);
	return rc;
}
