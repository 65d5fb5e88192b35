// SPDX-License-Identifier: Apache-2.0
/* Which way products go through a weight, and whether threads go the same way. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* Of a layer and its way back (up and down) both forms are asked for alike, and nothing tells which is which.
 */
static bool leans(const struct group *g, double rest)
{
	double most = 0, second = 0;

	if (g->dim[0] == g->dim[1] || g->dim[1] == g->dim[2])
		return false;
	for (int d = 0; d < 3; d++) {
		double share = (g->over[d] - g->over_backward[d]) / rest;

		second = share > most ? most : fmax(second, share);
		most = fmax(most, share);
	}
	return most - second > 0.25;
}

/* How differently threads contract what they share: 0 the same forms, 1 quite others. */
double phase_forms_apart(const struct judge *j, const struct groups *g, int backward)
{
	double apart = 0, told = 0;

	for (size_t i = 0; i < g->count && backward >= 0; i++) {
		const struct group *x = &g->item[i];
		double own = x->by_thread[backward], rest = x->ops - own, sum = 0;

		if (own <= 0 || rest <= 0 || !leans(x, rest))
			continue;
		for (int d = 0; d < 3; d++)
			sum += fabs(x->over_backward[d] / own - (x->over[d] - x->over_backward[d]) / rest) /
			       2;
		apart += sum * x->ops;
		told += x->ops;
	}
	return told > 0.3 * j->ops ? apart / told : 1;
}

/* On one thread: does every large weight go both ways, forward and for the input gradient? In inference the
 * head and narrow projections go one way only. */
bool phase_goes_both_ways(const struct judge *j, const struct groups *g)
{
	bool has_wide = false;

	for (size_t i = 0; i < g->count; i++) {
		const struct group *x = &g->item[i];
		int ways = 0;

		if (x->ops < 0.01 * j->ops || x->dim[0] == x->dim[1] || x->dim[1] == x->dim[2])
			continue;
		for (int d = 0; d < 3; d++)
			ways += x->over[d] >= 0.2 * x->ops;
		if (ways < 2)
			return false;
		has_wide = true;
	}
	return has_wide;
}

/* --- threads that do the same --- */

/* A weight that is not square, and who goes which way through it. */
struct way {
	uint64_t low, high;
	double up[THREADS_MAX], down[THREADS_MAX]; /* operations: from low to high, and back */
};

static int by_way(const void *x, const void *y)
{
	const struct way *a = x, *b = y;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return a->high < b->high ? -1 : a->high > b->high;
}

static struct way way_of(const struct run_product *p, const double calls[THREADS_MAX], bool at_m)
{
	uint64_t out = at_m ? p->n : p->m;
	struct way w = { .low = out < p->k ? out : p->k, .high = out < p->k ? p->k : out };

	for (int t = 0; t < THREADS_MAX; t++)
		(out > p->k ? w.up : w.down)[t] = 2.0 * (double)p->m * (double)p->n * (double)p->k * calls[t];
	return w;
}

static size_t ways_make(const struct run *r, const double *calls, bool at_m, struct way *ret)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		if (p->batch == 1 && (at_m ? p->n : p->m) != p->k)
			ret[n++] = way_of(p, calls + i * THREADS_MAX, at_m);
	}
	if (n)
		qsort(ret, n, sizeof(*ret), by_way);
	for (size_t i = 0; i < n; i++) {
		if (!kept || by_way(&ret[kept - 1], &ret[i])) {
			ret[kept++] = ret[i];
			continue;
		}
		for (int t = 0; t < THREADS_MAX; t++) {
			ret[kept - 1].up[t] += ret[i].up[t];
			ret[kept - 1].down[t] += ret[i].down[t];
		}
	}
	return kept;
}

/* One thread goes only up, another only down. */
static bool is_opposed(const struct way *w)
{
	bool only_up = false, only_down = false;

	for (int t = 0; t < THREADS_MAX; t++) {
		only_up |= w->up[t] > 0 && w->down[t] <= 0;
		only_down |= w->down[t] > 0 && w->up[t] <= 0;
	}
	return only_up && only_down;
}

/* Adds each thread's operations, if several go through it, all of them the same way. */
static void add_common(const struct way *w, double ret[THREADS_MAX])
{
	double up = 0, down = 0, most = 0;

	for (int t = 0; t < THREADS_MAX; t++) {
		up += w->up[t];
		down += w->down[t];
		most = fmax(most, w->up[t] + w->down[t]);
	}
	for (int t = 0; t < THREADS_MAX && fmin(up, down) <= 0 && most < up + down; t++)
		ret[t] += w->up[t] + w->down[t];
}

int phase_threads_alike(const struct judge *j, const struct run *r, bool at_m)
{
	_cleanup_free_ struct way *way = calloc(r->product_count + 1, sizeof(*way));
	_cleanup_free_ double *calls = NULL;
	double common[THREADS_MAX] = { 0 };
	size_t n;

	if (!way || phase_calls_by_thread(r, &calls))
		return -ENOMEM;
	n = ways_make(r, calls, at_m, way);
	for (size_t i = 0; i < n; i++) {
		if (is_opposed(&way[i]))
			return 0;
		add_common(&way[i], common);
	}
	for (int t = 0; t < THREADS_MAX; t++)
		if (j->by_thread[t] > 0 && common[t] < 0.01 * j->by_thread[t])
			return 0;
	return 1;
}
