// SPDX-License-Identifier: Apache-2.0
/*
 * A model whose passes another rank tells, from its fingerprint alone: the weights' counts of calls are gone,
 * but how often one is there for each other one is known exactly. So one whole number is looked for, by which
 * all of them are multiplied; what other ranks tell of the passes leads to it, and need not be exact.
 */
#include "model_internal.h"

#include <math.h>

#define OFF_MAX 0.05   /* of the whole number, what the passes that are told may be off */
#define OFF_WHOLE 0.25 /* from it: beyond, another one is as likely */
#define EXACT 0.001    /* both ranks were looked at at the same time */

/* Experts meet what comes, and are counted as such. */
static bool is_countable(const struct model_weight *w)
{
	return !w->is_experts && model_is_whole(w->copies);
}

static double common_of(const struct model_fingerprint *f)
{
	double g = 0;

	for (size_t i = 0; i < f->weights; i++)
		if (is_countable(&f->weight[i]))
			g = model_gcd(g, round(f->weight[i].copies));
	return g;
}

/* Gate and up as one weight of twice the size: then down is another size. */
static bool has_half(const struct model_fingerprint *f, const struct model_weight *w)
{
	for (size_t i = 0; i < f->weights; i++) {
		const struct model_weight *x = &f->weight[i];

		if ((x->small == w->small && (2 * x->large == w->large || x->large == 2 * w->large)) ||
		    (x->large == w->small && 2 * x->small == w->large))
			return true;
	}
	return false;
}

/* As model_passes.c counts layers of pairs. */
static double layers_of(const struct model_fingerprint *f)
{
	double g = 0, most = 0;
	bool has_fused = false, is_paired = true;

	for (size_t i = 0; i < f->weights; i++) {
		const struct model_weight *w = &f->weight[i];

		if (!is_countable(w) || w->copies <= 1)
			continue;
		g = model_gcd(g, w->copies);
		if (w->small != w->large) {
			most = fmax(most, w->copies);
			has_fused |= has_half(f, w);
			is_paired &= !w->narrows && !w->widens;
		}
	}
	return most == g && !has_fused && is_paired && fmod(g, 2) == 0 ? g / 2 : g;
}

static void find_experts(struct model_fingerprint *f)
{
	bool has_experts = false;

	for (size_t i = 0; i < f->weights; i++)
		has_experts |= f->weight[i].is_experts;
	for (size_t i = 0; i < f->weights && has_experts && !f->experts; i++) {
		const struct model_weight *w = &f->weight[i];

		if (w->small >= 2 && w->small <= MODEL_ROUTED_MAX && w->large == f->hidden &&
		    w->large >= MODEL_ROUTED_FROM * w->small && !w->is_experts &&
		    model_is_near(w->copies, f->layers))
			f->experts = w->small;
	}
}

static void multiply(struct model_fingerprint *f, double by, double off)
{
	for (size_t i = 0; i < f->weights; i++) {
		struct model_weight *w = &f->weight[i];

		w->active *= by;
		w->copies = is_countable(w) ? round(round(w->copies) * by) : w->copies * by;
		if (!w->is_experts)
			w->active = w->copies;
	}
	f->parameters.best *= by;
	f->active.best *= by;
	f->parameters.low = f->parameters.best * (1 - off);
	f->parameters.high = f->parameters.best * (1 + off);
	f->active.low = f->active.best * (1 - off);
	f->active.high = f->active.best * (1 + off);
}

bool model_scale(struct model_fingerprint *f, double passes)
{
	double common = common_of(f), by = f->passes / passes * common, whole = round(by), off;

	if (f->by_buffers && common >= 1)
		whole = by = common; /* weights were told one by one, whatever the passes */
	if (!(common >= 1) || !(by > 0.5) || whole > MODEL_LAYERS_MAX * common ||
	    fabs(by - whole) > fmin(OFF_MAX * whole, OFF_WHOLE))
		return false;
	off = fabs(by - whole) > EXACT * whole ? OFF_MAX : 0;
	multiply(f, whole / common, off);
	f->has_passes = true;
	f->passes = f->passes * common / whole;
	f->seen_in_order = f->by_tokens = 0;
	f->is_certain = false;
	f->layers = (uint32_t)fmin(round(layers_of(f)), UINT32_MAX);
	f->hidden = f->feed_forward = f->key_value = f->vocabulary = 0;
	model_name_dims(f);
	find_experts(f);
	return true;
}
