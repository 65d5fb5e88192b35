// SPDX-License-Identifier: Apache-2.0
/*
 * Weights that share a dimension's size with the tokens: of a product's three forms two are the same shape
 * then, and families (phase_families.c) take them for nothing. What is left to tell is how much there is of
 * each.
 *
 * Let `equal` be the size that two dimensions have and `other` the third; A what forward asks for over
 * `equal`, B what it asks for over `other`. The input gradient turns them round, the weight gradient
 * contracts over the tokens, hence over `equal`: so learning asks for A + B more over `equal` than input
 * gradients alone would, and for twice as much over `equal` as over `other` in all.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phase_internal.h"

#define CLOSE 0.02  /* shares that are the same but for chance */
#define SIZED 0.005 /* of all operations: a weight worth the name */

/* Index of the dimension that differs from the other two; -1: not just two are equal. */
static int other_of(const struct group *g)
{
	if ((g->dim[0] == g->dim[1]) == (g->dim[1] == g->dim[2]))
		return -1;
	return g->dim[0] == g->dim[1] ? 2 : 0;
}

/* Weight gradients of the group, in operations. */
static double gradients_of(const struct group *x, int other, int backward)
{
	double own = x->by_thread[backward], over_other = x->over_backward[other];
	double b = x->over[other] - over_other, a = x->ops - own - b;
	/* Recomputation asks for A and B once more; over `other` there is nothing else but input gradients.
	 */
	double again = b > 0 ? fmin(1, fmax(0, (over_other - a) / b)) : 0;

	/* Forward over `other`, down as it went up: so the tokens are of the size `equal`, not both sides of
	 * the weight. */
	return b > 0.4 * a ? own - over_other - b - a * again : 0;
}

/* --- on one thread --- */

/*
 * Forward f times for each gradient: (f + 1) A + 2 B over `equal` and A + f B over `other`. A weight that
 * forward goes through one way has the ratio f + 1, which is the most; none has less than 2 / f.
 */
struct ratios {
	double most, least; /* over `equal` to over `other`; most < 0: a weight has but one of both */
	double ops;
	uint32_t sized;
};

static struct ratios ratios_of(const struct judge *j, const struct groups *g)
{
	struct ratios ret = { 0 };

	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		int other = other_of(x);
		double over_other = other < 0 ? 0 : x->over[other], ratio;

		if (other < 0 || x->batch != 1 || x->ops < SIZED * j->ops)
			continue;
		ret.sized++;
		ret.ops += x->ops;
		if (over_other < CLOSE * x->ops || over_other > (1 - CLOSE) * x->ops) {
			ret.most = -1;
			continue;
		}
		ratio = x->ops / over_other - 1;
		ret.most = ret.most < 0 ? ret.most : fmax(ret.most, ratio);
		ret.least = ret.least == 0 ? ratio : fmin(ret.least, ratio);
	}
	return ret;
}

/* Weights whose ratio is that, those too that are too small to be asked for it. */
static uint32_t with_ratio(const struct groups *g, double ratio)
{
	uint32_t n = 0;

	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		int other = other_of(x);

		n += other >= 0 && x->batch == 1 && fabs(x->over[other] * (ratio + 1) / x->ops - 1) <= CLOSE;
	}
	return n;
}

#define FORWARD_MAX 4 /* for each gradient: more may be anything */

uint32_t phase_equal_weights(const struct judge *j, const struct groups *g)
{
	struct ratios r = ratios_of(j, g);
	double times = r.most - 1;

	if (times < 1 - CLOSE || times > FORWARD_MAX || r.least < (1 - CLOSE) * 2 / times)
		return 0;
	return with_ratio(g, r.most);
}

static double complete_on_one_thread(const struct judge *j, const struct groups *g)
{
	struct ratios r = ratios_of(j, g);

	return r.sized >= 3 && phase_equal_weights(j, g) >= 2 ? 3 * r.ops / (r.most + 1) / j->ops : 0;
}

double phase_equal_complete(const struct judge *j, const struct groups *g)
{
	double sum = 0;

	if (j->backward < 0)
		return complete_on_one_thread(j, g);
	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		double own = x->by_thread[j->backward];
		int other = other_of(x);
		double gradients = other < 0 || x->batch != 1 ? 0 : gradients_of(x, other, j->backward);

		if (gradients > 0.05 * own)
			sum += 3 * fmin(gradients, x->ops - own);
	}
	return sum / j->ops;
}

bool phase_equal_returns(const struct judge *j, const struct groups *g)
{
	struct ratios r = ratios_of(j, g);

	return r.most > 0 && r.ops > 0.5 * j->ops;
}

/* Products in batches: of S x S over d and S x d over S, as attention asks for them in eager mode. Forward
 * asks once for each, backward once more over d and three times over S. */
bool phase_attends_forward(const struct judge *j, const struct groups *g)
{
	const struct group *largest = NULL;
	double attention = 0, makes = 0;

	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		int other = other_of(x);

		if (x->batch == 1) {
			largest = largest && largest->ops >= x->ops ? largest : x;
			continue;
		}
		if (x->ops < NOISE * j->ops)
			continue;
		if (other < 0 || fabs(x->over[other] / x->ops - 0.5) > CLOSE)
			return false;
		attention += x->ops;
		makes = (double)x->batch * (double)x->dim[0] * (double)x->dim[2];
	}
	/* Heads share the layers' output among them: of as many numbers as a layer makes. */
	return largest && attention >= 0.01 * j->ops &&
	       (makes == (double)largest->dim[0] * (double)largest->dim[1] ||
		makes == (double)largest->dim[1] * (double)largest->dim[2] ||
		makes == (double)largest->dim[0] * (double)largest->dim[2]);
}
