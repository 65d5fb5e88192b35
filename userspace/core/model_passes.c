// SPDX-License-Identifier: Apache-2.0
/* How often each weight is met in one forward pass: by the one that is there once, by the order of calls, or
 * not at all. */
#include "model_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define SEEN 1e-8      /* of the operations: less is no layer; a head over two classes is as small */
#define UNEVEN_TIMES 3 /* so many more numbers of tokens than others meet, and then some */
#define UNEVEN_MORE 4
#define PAIRS_MAX 1024 /* the largest */

bool model_learns(const struct judging *j)
{
	double gradient = 0;

	if (j->phase->verdict != PHASE_IS_UNKNOWN)
		return j->phase->verdict != PHASE_IS_INFERENCE;
	for (size_t i = 0; i < j->count; i++)
		gradient += 2 * model_size_of(&j->pair[i]) * j->pair[i].gradient.tokens;
	return gradient > 0.05 * j->ops;
}

/* What stands for the forward passes of a weight: by thread, or by the role that occurs once in each. */
static struct asked pass_of(const struct judging *j, const struct pair *p)
{
	struct asked half = { p->over_small.calls / 2, p->over_small.tokens / 2 }, both = p->over_small;

	if (j->phase->backward >= 0)
		return p->forward;
	both.calls += p->over_large.calls;
	both.tokens += p->over_large.tokens;
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
	double p = model_size_of(a) * a->pass.tokens, q = model_size_of(b) * b->pass.tokens;

	return p < q ? 1 : p > q ? -1 : model_by_pair(x, y);
}

/* Weights that nobody asks gradients through belong to a teacher, a reference or an evaluation. Leaves what
 * is a layer. */
void model_pairs_choose(struct judging *j)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->count; i++) {
		struct pair *p = &j->pair[i];

		p->pass = pass_of(j, p);
		model_take_told(j, p);
		if (j->learns && j->phase->backward >= 0 && j->phase->verdict != PHASE_IS_FROZEN &&
		    p->backward.calls + p->gradient.calls <= 0) {
			j->other += p->pass.calls * model_size_of(p);
			continue;
		}
		if (p->pass.calls > 0 && 2 * model_size_of(p) * p->pass.tokens >= SEEN * j->ops)
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
		if (model_is_near(model_once_by(&j->pair[i], tokens), passes) &&
		    (!once || model_size_of(once) * once->pass.tokens <
				      model_size_of(&j->pair[i]) * j->pair[i].pass.tokens))
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

double model_mean_tokens(const struct pair *p)
{
	return p->pass.calls > 0 ? p->pass.tokens / p->pass.calls : 0;
}

const struct pair *model_main_pair(const struct judging *j)
{
	const struct pair *best = &j->pair[0];

	for (size_t i = 1; i < j->count; i++)
		if (model_size_of(&j->pair[i]) * j->pair[i].pass.tokens >
		    model_size_of(best) * best->pass.tokens)
			best = &j->pair[i];
	return best;
}

/* Experts share the tokens of a pass among them: the whole pass is what most weights see. */
static double tokens_of_a_pass(const struct judging *j)
{
	double most = 0;

	for (size_t i = 0; i < j->count; i++)
		if (!j->pair[i].is_uneven &&
		    2 * model_size_of(&j->pair[i]) * j->pair[i].pass.tokens >= 0.01 * j->ops)
			most = fmax(most, model_mean_tokens(&j->pair[i]));
	return most > 0 ? most : model_mean_tokens(model_main_pair(j));
}

/* A head that is cut into chunks of tokens is still met once by each token. */
double model_once_by(const struct pair *p, double tokens)
{
	double chunks = tokens / model_mean_tokens(p), passes = p->pass.calls / chunks;

	return chunks > 1.5 && !p->has_many_tokens && model_is_whole(chunks) && model_is_whole(passes)
		       ? passes
		       : p->pass.calls;
}

/* Operations, as a share, of weights met a whole number of times in each of so many passes. */
static double fits(const struct judging *j, double passes)
{
	double all = 0, whole = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		double ops = model_size_of(p) * p->pass.tokens;

		if (p->is_uneven)
			continue;
		all += ops;
		if (model_is_whole(p->pass.calls / passes) ||
		    model_is_whole(model_once_by(p, model_mean_tokens(p)) / passes))
			whole += ops;
	}
	return all > 0 ? whole / all : 0;
}

/* Experts meet as many tokens as come, so they are met as often as one of them comes. */
static void mark_uneven(struct judging *j)
{
	uint32_t least = 0;
	double all = 0, even = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		double ops = model_size_of(p) * p->pass.tokens;

		all += ops;
		if (2 * ops >= 0.001 * j->ops && (!least || p->forms < least))
			least = p->forms;
	}
	for (size_t i = 0; i < j->count; i++) {
		struct pair *p = &j->pair[i];

		p->is_uneven = p->forms > UNEVEN_TIMES * least + UNEVEN_MORE;
		even += p->is_uneven ? 0 : model_size_of(p) * p->pass.tokens;
	}
	for (size_t i = 0; i < j->count && even < 0.02 * all; i++)
		j->pair[i].is_uneven = false;
}

double model_gcd(double a, double b)
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
		if (model_is_near(model_mean_tokens(&j->pair[i]), tokens))
			g = model_gcd(g, round(j->pair[i].pass.calls));
	return g;
}

/* Products of forward passes by their tokens. */
struct of_tokens {
	uint64_t tokens;
	double calls;
};

static int by_tokens(const void *x, const void *y)
{
	const struct of_tokens *a = x, *b = y;

	return a->tokens < b->tokens ? -1 : a->tokens > b->tokens;
}

/* Every weight meets several numbers of tokens: they are of different passes through all of them. */
static bool has_many_passes(const struct judging *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (!j->pair[i].has_many_tokens || j->pair[i].is_uneven)
			return false;
	return j->count > 0;
}

/*
 * Passes of different numbers of tokens are different passes, and each number comes with a multiple of the
 * layers. So what all calls have in common is the layers, or a multiple of them; the fewest at each number
 * are once in a layer. Layers, 0: not told; -ENOMEM as a negative number.
 */
static double layers_by_tokens(const struct judging *j, double *ret_passes)
{
	_cleanup_free_ struct of_tokens *t = calloc(j->run->product_count + 1, sizeof(*t));
	double g = 0, sum = 0, once = 0;
	size_t n = 0;

	if (!t)
		return -1;
	for (size_t i = 0; i < j->run->product_count; i++) {
		const struct run_product *p = &j->run->products[i];

		if (p->batch == 1)
			t[n++] = (struct of_tokens){ j->at_m ? p->m : p->n, (double)p->calls };
	}
	if (n)
		qsort(t, n, sizeof(*t), by_tokens);
	for (size_t i = 0, end; i < n; i = end) {
		double least = t[i].calls, all = 0;

		for (end = i; end < n && t[end].tokens == t[i].tokens; end++) {
			g = model_gcd(g, t[end].calls);
			least = fmin(least, t[end].calls);
			all += t[end].calls;
		}
		sum += least;
		/* Of other shape: an encoder and a decoder, or steps beside a prompt. */
		if (once > 0 && !model_is_near(once, all / least))
			return 0;
		once = all / least;
	}
	*ret_passes = g > 0 ? sum / g : 0;
	return g;
}

/* No weight is there once and the order tells nothing. */
static int take_tokens(struct judging *j, double *layers, double *passes)
{
	double by_pass = 0, g;

	if (j->learns || !j->by_side || !has_many_passes(j))
		return 0;
	g = layers_by_tokens(j, &by_pass);
	if (g < 0)
		return -ENOMEM;
	if (g >= 1.5) {
		*layers = g;
		*passes = by_pass;
		j->f->by_tokens = (uint32_t)g;
	}
	return 0;
}

/* The fewest calls of a weight are those of one that is there once, if all others are multiples of it. */
static double find_passes(struct judging *j, double tokens)
{
	double best = 0;

	j->chunks = 1;
	for (size_t i = 0; i < j->count; i++) {
		double passes = model_once_by(&j->pair[i], tokens);

		if (passes > 0 && (best == 0 || passes < best) && fits(j, passes) > 0.9) {
			best = passes;
			j->chunks = j->pair[i].pass.calls / passes;
		}
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

/* In one pass: by calls, or by tokens where a few of the calls are for a part of them (a head's first layer
 * is as large as a projection). */
static double copies_in(const struct pair *p, double tokens, double passes)
{
	double mean = model_mean_tokens(p);

	if (p->told > 0)
		return p->told;
	if (model_is_near(model_once_by(p, tokens), passes))
		return 1;
	if (!model_is_near(mean, tokens) && mean >= 0.9 * tokens && mean <= tokens)
		return floor(p->pass.tokens / (passes * tokens) + MODEL_NEAR);
	return round(p->pass.calls / passes);
}

/* A feed-forward part goes up through a size and down again; where one thread asks for everything, which way
 * forward goes shows nowhere. */
static bool goes_up_and_down(const struct judging *j, const struct pair *p)
{
	return !j->by_side || (p->over_small.calls > 0 && p->over_large.calls > 0);
}

/* What goes up through a size goes down again through as many of it, so each layer has an even number of
 * them. */
static double even_in_a_layer(const struct judging *j, double tokens, double passes, double layers)
{
	for (size_t i = 0; i < j->count && j->by_side && layers >= 4; i++) {
		const struct pair *p = &j->pair[i];
		double each = copies_in(p, tokens, passes) / layers;

		if (p->small != p->large && !p->is_uneven && p->over_small.calls > 0 &&
		    model_is_near(p->over_small.calls, p->over_large.calls) && fmod(each, 2) == 1 &&
		    fmod(layers, 2) == 0)
			layers /= 2;
	}
	return layers;
}

/* Beside experts a narrow layer chooses among them: it is there once in a layer, not in a pass. */
static bool is_router(const struct judging *j, const struct pair *p, bool has_uneven)
{
	return has_uneven && p->large == j->input && p->small <= MODEL_ROUTED_MAX &&
	       p->large >= MODEL_ROUTED_FROM * p->small;
}

/* What the weights that are there more than once have in common. */
static double find_layers(const struct judging *j, double tokens, double passes, int *ret_kinds,
			  int *ret_once)
{
	double g = 0, most = 0;
	bool has_fused = false, is_paired = true, has_uneven = false;

	for (size_t i = 0; i < j->count; i++)
		has_uneven |= j->pair[i].is_uneven;
	*ret_kinds = *ret_once = 0;
	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		double copies = copies_in(p, tokens, passes);

		if (copies <= 1) {
			*ret_once += !is_router(j, p, has_uneven);
		} else if (model_mean_tokens(p) >= 0.9 * tokens && !p->is_uneven) {
			g = model_gcd(g, copies);
			(*ret_kinds)++;
			if (p->small != p->large) {
				most = fmax(most, copies);
				has_fused |= has_half(j, p);
				is_paired &= goes_up_and_down(j, p);
			}
		}
	}
	/* Where no size is there more often than the others, and each goes up and down, each is there twice
	 * in a layer. */
	if (most == g && !has_fused && is_paired && fmod(g, 2) == 0)
		g /= 2;
	return even_in_a_layer(j, tokens, passes, g);
}

/* How often the weight is asked for in a row before backward takes over: forward of one pass, or of several.
 */
static double calls_in_a_row(const struct judging *j, const struct pair *of)
{
	double least = 0, now = 0;
	bool is_first = true;

	for (size_t i = 0; i < j->run->step_count && j->by_side && j->phase->backward >= 0; i++) {
		const struct run_step *s = &j->run->steps[i];
		struct reading x = model_read_side(&j->run->products[s->product], j->at_m);

		if (s->begins) {
			is_first = true;
			now = 0;
		}
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

static void take_told(struct judging *j, double tokens, double *layers, double *passes)
{
	int kinds, once;

	*passes = model_passes_told(j);
	*layers = find_layers(j, tokens, *passes, &kinds, &once);
	if (kinds >= 2 && *layers < 1.5)
		*layers = even_in_a_layer(j, tokens, *passes, model_layers_told(j));
	j->f->has_passes = !j->is_open && once > 0 && kinds >= 2 && *layers >= 1.5;
	j->f->by_buffers = true;
	j->f->seen_in_order = j->f->by_tokens = 0;
	if (kinds < 2 || *layers < 1.5)
		*layers = 0;
}

int model_passes(struct judging *j, double *ret_tokens, double *ret_passes)
{
	struct model_fingerprint *f = j->f;
	double tokens, passes, layers, in_a_row;
	int kinds, once;

	mark_uneven(j);
	tokens = tokens_of_a_pass(j);
	passes = find_passes(j, tokens);
	pairs_of_learning(j, tokens, passes);
	tokens = tokens_of_a_pass(j);
	passes = find_passes(j, tokens);
	layers = find_layers(j, tokens, passes, &kinds, &once);
	f->has_passes = passes > 0 && once > 0 && kinds >= 2 && layers >= 1.5;
	in_a_row = f->has_passes || passes <= 0 ? 0 : calls_in_a_row(j, model_main_pair(j));
	if (in_a_row > 0) {
		double common = common_calls(j, tokens), each = model_main_pair(j)->pass.calls / common;

		layers = in_a_row / each;
		if (model_is_whole(layers)) {
			passes = common / layers;
			f->seen_in_order = (uint32_t)round(layers);
		}
	}
	if (!f->has_passes && !f->seen_in_order && take_tokens(j, &layers, &passes))
		return -ENOMEM;
	if (j->told_passes > 0 && fits(j, j->told_passes) > 0.9) {
		passes = j->told_passes;
		layers = find_layers(j, tokens, passes, &kinds, &once);
		f->has_passes = true;
		f->seen_in_order = f->by_tokens = 0;
	}
	if (j->tolds && model_passes_told(j) > 0)
		take_told(j, tokens, &layers, &passes);
	f->layers = f->has_passes || f->seen_in_order || f->by_tokens || f->by_buffers
			    ? (uint32_t)round(layers)
			    : 0;
	f->passes = *ret_passes = passes;
	*ret_tokens = tokens;
	return 0;
}
