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
#define CERTAIN 0.95   /* of the work fits what is said */
#define EXPLAINED 0.95 /* likewise, in inference */
#define AGAIN_AT_MOST 1.5
#define ONE_EACH 0.9 /* of the operations: with just one dimension of tokens, else there is no telling */

/* --- what it comes to --- */

/* A layer as narrow as the number of experts, as often as a layer is there. */
static uint64_t router_of(const struct judging *j, double tokens)
{
	double layers = j->f->layers;

	for (size_t i = 0; i < j->count && j->f->layers > 1; i++) {
		const struct pair *p = &j->pair[i];

		if (p->small >= 2 && p->small <= MODEL_ROUTED_MAX &&
		    p->large >= MODEL_ROUTED_FROM * p->small && (!j->input || p->large == j->input) &&
		    !p->is_uneven && model_is_near(model_mean_tokens(p), tokens) &&
		    model_is_near(p->pass.calls, layers * j->f->passes))
			return p->small;
	}
	return 0;
}

/* Experts that no token came to in a pass are there all the same: the router chooses among so many. It may
 * choose among those of other ranks as well. */
static void take_router(const struct judging *j, struct pair *p, uint64_t router)
{
	double kinds = fmin(p->over_small.calls, p->over_large.calls), all;

	kinds = kinds > 0 ? round((p->over_small.calls + p->over_large.calls) / kinds) : 1;
	j->f->experts = router;
	if (router && j->f->layers && model_is_whole(p->copies / (kinds * j->f->layers)))
		j->f->experts_here = (uint32_t)round(p->copies / (kinds * j->f->layers));
	all = (double)router * kinds * j->f->layers;
	if (all <= p->copies || model_is_whole(p->copies / (kinds * j->f->layers)))
		return;
	p->copies_high = all;
	if (p->copies > all / 2)
		p->copies = all;
}

static void set_copies(struct judging *j, double tokens, double passes)
{
	uint64_t router = router_of(j, tokens);

	for (size_t i = 0; i < j->count; i++) {
		struct pair *p = &j->pair[i];
		double by = model_once_by(p, tokens), once = p->pass.calls;

		/* A head in chunks of the tokens; a recurrent layer, step by step. Experts have a router. */
		if (by < once && !p->is_batched &&
		    (model_is_near(by, passes) || (!router && model_is_whole(by / passes))))
			once = by;
		if (p->told > 0)
			once = p->told * passes;
		p->copies = once / passes;
		p->active = p->pass.tokens / (passes * tokens);
		p->is_experts = (p->told > 0 || once == p->pass.calls) && p->copies > 1.5 &&
				((p->active < 0.9 * p->copies && (p->has_many_tokens || p->is_batched)) ||
				 p->is_uneven);
		if (!p->is_experts)
			p->active = p->copies;
		else
			take_router(j, p, router);
	}
}

/* A weight that is there once and is gone back through once a pass: the head, whether it learns or not. */
static double tokens_by_once(const struct judging *j, double tokens)
{
	double best = 0;

	for (size_t i = 0; i < j->count && j->phase->backward >= 0; i++) {
		const struct pair *p = &j->pair[i];

		if (fabs(p->copies - 1) < MODEL_NEAR && model_is_near(model_mean_tokens(p), tokens))
			best = fmax(best, p->gradient.tokens > 0 ? p->gradient.tokens : p->backward.tokens);
	}
	return best;
}

static double tokens_seen(const struct judging *j, double passes, double tokens)
{
	double best = j->learns ? tokens_by_once(j, tokens) : 0;

	if (!j->learns || best > 0)
		return best > 0 ? fmin(best, passes * tokens) : passes * tokens;
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
		all[i] = (struct model_weight){
			.small = j->pair[i].small,
			.large = j->pair[i].large,
			.copies = j->pair[i].copies,
			.active = j->pair[i].active,
			.is_experts = j->pair[i].is_experts,
			.narrows = j->by_side && j->pair[i].over_small.calls <= 0,
			.widens = j->by_side && j->pair[i].over_large.calls <= 0,
		};
	qsort(all, j->count, sizeof(*all), by_parameters);
	f->weights = j->count < MODEL_WEIGHTS_MAX ? j->count : MODEL_WEIGHTS_MAX;
	f->weights_left_out = j->left_out + j->count - f->weights;
	memcpy(f->weight, all, f->weights * sizeof(*all));
	return 0;
}

/* Forward through a weight more often than it learns: another model's, or layers below that do not learn. */
static double copies_low(const struct judging *j, const struct pair *p)
{
	return j->learns && j->by_side && p->gradient.calls > 0
		       ? fmin(p->copies, p->copies * p->gradient.tokens / p->pass.tokens)
		       : p->copies;
}

/* Backward asks for as much as forward does, of each weight that learns or passes gradients on. Where the
 * tokens are as many as a side of the weight, only the sum of both gradients is told. */
static bool is_answered_in_full(const struct pair *p)
{
	double both = p->gradient.tokens + p->backward.tokens;

	if (p->first_tokens == p->small || p->first_tokens == p->large)
		return both >= 1.9 * p->forward.tokens;
	if (p->gradient.tokens > 0)
		return model_is_near(p->gradient.tokens, p->forward.tokens);
	return p->backward.tokens >= 0.6 * p->forward.tokens;
}

/* The same passes go through it as through the most of the work. */
static bool is_layer(const struct pair *p, const struct pair *most, double tokens)
{
	return p->copies < 1.5 ||
	       (model_is_near(model_mean_tokens(p), tokens) && p->tokens_seen == most->tokens_seen);
}

/* Share of the work, and of the parameters, that fits what is said: whole copies, the same tokens through
 * each layer. Else another model, an optimizer or an activation may be among the weights. `answered`: and of
 * it as much backward as forward. */
static double share_told(const struct judging *j, double tokens, double *answered)
{
	bool goes_back = j->learns && j->by_side && j->phase->backward >= 0;
	const struct pair *most = model_largest_layer(j);
	double all = 0, fits = 0, size = 0, fits_size = 0;

	*answered = 0;
	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		double work = model_size_of(p) * p->pass.tokens, own = p->copies * model_size_of(p);

		all += work;
		size += own;
		if (!p->is_experts && (!model_is_whole(p->copies) || !is_layer(p, most, tokens)))
			continue;
		fits += work;
		fits_size += own;
		*answered += !goes_back || is_answered_in_full(p) ? work : 0;
	}
	*answered /= all;
	return fmin(fits / all, fits_size / size);
}

/* What one product must have met at least, whichever of its dimensions are the tokens'. */
static double least_weight(const struct judging *j)
{
	double most = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		uint64_t second = p->first_tokens < p->large ? p->first_tokens : p->large;

		most = fmax(most, (double)p->small * (double)second);
	}
	return most;
}

static void add_parameters(struct judging *j, double tokens)
{
	struct model_fingerprint *f = j->f;
	bool is_counted = f->has_passes || f->seen_in_order || f->by_buffers;
	double many = is_counted ? 1 : MODEL_LAYERS_MAX, answered;
	bool is_even_met = !f->by_buffers || model_is_met_evenly(j);
	double least = is_even_met ? 0 : model_least_tokens(j);

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		f->parameters.best += p->copies * model_size_of(p);
		f->parameters.low +=
			p->told > 0 ? p->sure * model_size_of(p)
				    : fmin(copies_low(j, p), floor(p->pass.calls > 0 && p->copies_high > 0
									   ? p->pass.calls / f->passes
									   : p->copies + 0.01)) *
					      model_size_of(p);
		f->parameters.high +=
			fmax(fmax(p->copies_high, p->copies),
			     fmax(ceil(p->copies - 0.01), least > 0 ? p->tokens_all / least : 0)) *
			model_size_of(p) * many;
		f->active.best += p->active * model_size_of(p);
	}
	/* Frozen layers below those that learn, or another model: not told apart. */
	f->parameters.high += j->other / f->passes + j->apart;
	/* Several passes may have gone forward before backward began. */
	if (f->seen_in_order)
		f->parameters.low /= f->seen_in_order;
	/* A head in chunks, or as many passes for fewer tokens each. */
	if (!f->by_buffers && j->chunks >= AGAIN_AT_MOST)
		f->parameters.low /= j->chunks;
	/* Passes that come as often with each length have a multiple of the layers in common. */
	if (f->by_tokens)
		f->parameters.low /= f->by_tokens;
	/* In one thread forward again looks like forward. */
	if (j->learns && j->phase->backward < 0)
		f->parameters.low /= AGAIN_AT_MOST;
	if (share_told(j, tokens, &answered) < CERTAIN || !is_counted)
		f->parameters.low = fmin(f->parameters.low, least_weight(j));
	/* A second model may learn the same weights beside it. */
	else if (answered < CERTAIN)
		f->parameters.low /= 2;
	f->is_certain = j->phase->verdict != PHASE_IS_UNKNOWN && answered >= CERTAIN && !j->is_contradicted &&
			is_even_met && !f->by_tokens && (f->by_buffers || j->chunks < AGAIN_AT_MOST) &&
			!(f->by_buffers && (j->is_open || j->is_seen_once || j->is_part)) &&
			f->parameters.high <= 1.1 * f->parameters.low;
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
			    !w->narrows && (best == 0 || ranks < best))
				best = ranks;
	}
	return best;
}

void model_name_dims(struct model_fingerprint *f)
{
	double feed = 0, layers = f->layers ? f->layers : 1;

	f->hidden = common_dim(f);
	f->tensor_parallel = f->layers > 1 ? shared_by(f) : 0;
	for (size_t i = 0; i < f->weights; i++) {
		const struct model_weight *w = &f->weight[i];
		uint64_t other = partner(w, f->hidden);
		double size = w->copies * (double)w->small * (double)w->large;

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
}

static void say(struct judging *j, double seen)
{
	struct model_fingerprint *f = j->f;
	const char *how =
		f->by_buffers  ? "Weights are told one by one, by the buffers that products read."
		: f->by_tokens ? "No weight is there once: what passes of different lengths have in "
				 "common are the layers, or a multiple of them."
		: !f->has_passes && !f->seen_in_order
			? "No weight is there once: how many layers share the counts is not "
			  "known, so only bounds hold."
		: f->seen_in_order ? "Layers are counted in the order of calls, as no weight is there once."
				   : "A weight that is there once tells the passes.";

	snprintf(f->evidence, sizeof(f->evidence),
		 "%zu weights explain %.1f %% of the operations. %s Input embeddings are looked up, not "
		 "multiplied: an untied one is not "
		 "among the parameters.%s",
		 f->weights, 100 * seen, how,
		 f->weights_left_out ? " Further weights are counted, but not listed." : "");
}

/* Attention's. */
static double ops_in_batches(const struct judging *j)
{
	double ops = 0;

	for (size_t i = 0; i < j->run->product_count; i++)
		ops += j->run->products[i].batch > 1 ? model_ops_of(&j->run->products[i]) : 0;
	return ops;
}

static int conclude(struct judging *j)
{
	struct model_fingerprint *f = j->f;
	double tokens, passes, explained = 0;
	int rc;

	rc = model_passes(j, &tokens, &passes);
	if (rc || !(passes > 0) || !j->count)
		return rc;
	set_copies(j, tokens, passes);
	rc = keep_weights(j);
	if (rc)
		return rc;
	add_parameters(j, tokens);
	model_name_dims(f);
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
	/* Where the order has told what goes back, most of it must have been told rightly. */
	f->is_certain &= !j->is_ordered || explained + ops_in_batches(j) >= EXPLAINED * j->ops;
	/* What is met by anything else may be no model's: solvers, calibration. Their own operands look like
	 * weights. */
	if (!j->learns && explained + ops_in_batches(j) < EXPLAINED * j->ops) {
		f->is_certain = false;
		f->parameters.low = fmin(f->parameters.low, least_weight(j));
		f->active.low = f->active.best * f->parameters.low / f->parameters.best;
	}
	say(j, explained / j->ops);
	return 0;
}

/* On which side tokens stand: by who asks, if that tells forward from backward; else by what stands on one
 * side only. */
static int find_side(struct judging *j)
{
	bool only_forward = j->phase->backward < 0 &&
			    (j->phase->complete < 0.01 || j->phase->verdict == PHASE_IS_INFERENCE);
	double at_m, at_n;

	j->by_side = j->phase->backward >= 0 || only_forward;
	at_m = j->by_side ? model_same_tokens(j, true) : model_share_read(j->run, &j->dims, true);
	at_n = j->by_side ? model_same_tokens(j, false) : model_share_read(j->run, &j->dims, false);
	if (at_m < 0 || at_n < 0)
		return -ENOMEM;
	j->at_m = at_m >= at_n - 1e-9;
	if (only_forward)
		model_side_by_values(&j->dims, &j->at_m);
	return j->by_side || fmax(at_m, at_n) >= ONE_EACH ? 0 : 1;
}

static void judging_done(struct judging *j)
{
	free(j->dims.item);
	free(j->calls);
	free(j->pair);
	free(j->told);
	if (j->is_ordered)
		free(j->ordered.steps);
	if (j->has_left) {
		free(j->left.steps);
		free(j->left.products);
	}
}

int model_judge(const struct run *r, const struct phase_judgement *p, const struct architectures *known,
		struct model_fingerprint *ret)
{
	return model_judge_passes(r, p, known, 0, ret);
}

int model_judge_passes(const struct run *r, const struct phase_judgement *p,
		       const struct architectures *known, double passes, struct model_fingerprint *ret)
{
	_cleanup_(judging_done) struct judging j = {
		.run = r, .whole = r, .phase = p, .judged = p, .f = ret, .told_passes = passes
	};
	int rc;

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->evidence, sizeof(ret->evidence), "No dimension can be told to be the tokens'.");
	rc = model_set_aside(&j);
	rc = rc ?: model_dims_make(j.run, &j.dims);
	rc = rc ?: model_order(&j);
	rc = rc ?: model_calls_by_thread(j.run, &j.calls);
	rc = rc ?: find_side(&j);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = model_identities(&j) ?: model_pairs_make(&j);
	if (rc)
		return rc;
	j.learns = model_learns(&j);
	model_pairs_choose(&j);
	rc = j.count ? conclude(&j) : 0;
	if (rc == 0 && known)
		model_match(known, ret);
	return rc;
}
