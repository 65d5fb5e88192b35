// SPDX-License-Identifier: Apache-2.0
/*
 * An hour that goes on as it went: the same products by the same threads in the same parts come to the same
 * shares, so they need not be judged each minute. Most processes do nothing else.
 */
#include "tally_internal.h"

#include <math.h>

#include "gemm_entries.h"

#define LIKE 0.002   /* of the operations may be other products' */
#define EXACT 1e-9   /* less is rounding */
#define LIKE_TIMES 4 /* then it is judged anew all the same: the order may be another */

/* As run_ops() has them. */
static int ops_of(const struct item *it, opcount *ret)
{
	uint8_t format = om_format_from_cuda(it->types & 255, it->types >> 8 & 255, it->types >> 24);
	opcount v;

	if (opcount_mul((opcount)it->m * it->n, it->k, &v) || opcount_mul(v, it->batch, &v) ||
	    opcount_mul(v, it->now - it->base, &v) || v > OPCOUNT_MAX / 8)
		return 1;
	*ret = om_gemm_ops(v, format);
	return 0;
}

int tally_ops(const struct process *p, opcount *ret)
{
	opcount all = 0, v;

	for (size_t i = 0; i < p->count; i++)
		if (ops_of(&p->item[i], &v) || opcount_add(all, v, &all))
			return 1;
	*ret = all;
	return 0;
}

static double part_of(const struct item *it, double all)
{
	opcount v;

	return all > 0 && ops_of(it, &v) == 0 ? opcount_to_double(v) / all : 0;
}

void tally_remember(struct process *p, opcount executed)
{
	double all = opcount_to_double(executed);

	for (size_t i = 0; i < p->count; i++)
		p->item[i].judged = part_of(&p->item[i], all);
	p->like.sums = p->sums;
	p->like.times = 0;
	p->like.moved = 0;
}

bool tally_goes_on(struct process *p, opcount executed)
{
	double all = opcount_to_double(executed), moved = 0;

	if (!p->judged.executed || p->has_ended || p->has_names || p->like.sums != p->sums ||
	    p->like.times++ >= LIKE_TIMES)
		return false;
	for (size_t i = 0; i < p->count; i++)
		moved += fabs(part_of(&p->item[i], all) - p->item[i].judged);
	p->like.moved = moved / 2 > EXACT ? moved / 2 : 0;
	return moved / 2 < LIKE;
}

void om_tally_hour_ends(struct om_tally *t)
{
	for (size_t i = 0; i < t->count; i++) {
		t->process[i].has_changed |= t->process[i].like.moved > 0;
		t->process[i].like.times = LIKE_TIMES;
	}
}
