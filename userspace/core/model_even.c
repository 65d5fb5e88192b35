// SPDX-License-Identifier: Apache-2.0
/* Are weights that are told by their buffers met as those of one model are? */
#include "model_internal.h"

#define EVEN 0.98	   /* of the parameters */
#define SHARED_AT_MOST 1.9 /* likewise, whatever was cut: twice as many is two */
#define SHARED 1.5	   /* times the tokens of another weight: less is no two weights in one buffer */

const struct pair *model_largest_layer(const struct judging *j)
{
	const struct pair *most = NULL;
	double work = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		if (p->copies < 1.5 || p->is_experts || p->is_uneven ||
		    model_size_of(p) * p->pass.tokens < work)
			continue;
		work = model_size_of(p) * p->pass.tokens;
		most = p;
	}
	return most ?: model_main_pair(j);
}

/* Is this weight met as often as the most of the work, and by as many tokens? What is there once may meet
 * fewer (the last one of each sequence). One buffer for two weights meets twice as many. Of a window that was
 * cut anywhere one time more or less is no other. */
static bool is_even(const struct judging *j, const struct pair *p, const struct pair *most)
{
	double slack =
		fmin(SHARED * (1 + (most->met_least ? (double)j->cut / most->met_least : 0)), SHARED_AT_MOST);

	return p->met_least + j->cut >= most->met_least && p->met_most <= most->met_least + j->cut &&
	       p->tokens_most <= slack * most->tokens_least &&
	       ((p->told < 1.5 && most->told >= 1.5) || slack * p->tokens_least >= most->tokens_least);
}

/* Weights of one model are met equally often: else some may be another's, one weight in several buffers, or
 * several in one. Experts are met as they are chosen. */
bool model_is_met_evenly(const struct judging *j)
{
	const struct pair *most = model_largest_layer(j);
	double all = 0, even = 0;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];
		double own = p->is_experts || p->is_uneven ? 0 : p->copies * model_size_of(p);

		all += own;
		even += is_even(j, p, most) ? own : 0;
	}
	return even >= EVEN * all;
}

/* The fewest tokens that one weight meets: if what meets more is several weights in one buffer, there are so
 * many more. 0: not known. */
double model_least_tokens(const struct judging *j)
{
	double least = INFINITY;

	for (size_t i = 0; i < j->count; i++) {
		const struct pair *p = &j->pair[i];

		if (p->told > 0 && !p->is_experts && !p->is_uneven)
			least = fmin(least, p->tokens_least);
	}
	return isfinite(least) ? least : 0;
}
