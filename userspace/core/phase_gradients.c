// SPDX-License-Identifier: Apache-2.0
/*
 * Weight gradients where the families of phase_families.c are not there: because no input gradient is asked
 * for (only the head learns, or a kernel of its own makes it), or because the weight gradients themselves are
 * made by other kernels, but the ranks reduce them.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

/* --- a thread that asks for nothing else --- */

/* A size, and the operations in which it is contracted over or stands beside, by who asks. */
struct size {
	uint64_t value;
	double over_own, over_others, beside_others;
};

static int by_value(const void *x, const void *y)
{
	const struct size *a = x, *b = y;

	return a->value < b->value ? -1 : a->value > b->value;
}

struct size_table {
	struct size *item;
	size_t count;
};

static const struct size *size_at(const struct size_table *s, uint64_t value)
{
	struct size key = { .value = value };

	return s->count ? bsearch(&key, s->item, s->count, sizeof(key), by_value) : NULL;
}

static int sizes_make(const struct judge *j, int own, struct size_table *ret)
{
	size_t n = 0, kept = 0;

	ret->item = calloc(3 * j->shapes + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];
		double others = s->ops - s->by_thread[own];

		ret->item[n++] = (struct size){ s->k, s->by_thread[own], others, 0 };
		ret->item[n++] = (struct size){ s->m, 0, 0, others };
		if (s->n != s->m)
			ret->item[n++] = (struct size){ s->n, 0, 0, others };
	}
	if (n)
		qsort(ret->item, n, sizeof(*ret->item), by_value);
	for (size_t i = 0; i < n; i++) {
		struct size *last = kept ? &ret->item[kept - 1] : NULL;

		if (!last || last->value != ret->item[i].value) {
			ret->item[kept++] = ret->item[i];
			continue;
		}
		last->over_own += ret->item[i].over_own;
		last->over_others += ret->item[i].over_others;
		last->beside_others += ret->item[i].beside_others;
	}
	ret->count = kept;
	return 0;
}

/* Tokens stand beside forward's products, which never contract over them; weight gradients do nothing else.
 */
static bool is_tokens(const struct size *s)
{
	return s && s->over_own > 0 && s->beside_others > 0 && s->over_others <= 0.02 * s->beside_others;
}

/* Whether thread `own` contracts over tokens alone, and the others are layers that feed each other: what
 * those contract over another makes. */
static bool asks_for_gradients(const struct judge *j, const struct size_table *sizes, int own)
{
	double over_tokens = 0, meet_tokens = 0, fed = 0, others = j->ops - j->by_thread[own];

	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];
		double rest = s->ops - s->by_thread[own];
		const struct size *over = size_at(sizes, s->k);

		over_tokens += is_tokens(over) && s->batch == 1 ? s->by_thread[own] : 0;
		meet_tokens += is_tokens(size_at(sizes, s->m)) || is_tokens(size_at(sizes, s->n)) ? rest : 0;
		fed += over && over->beside_others > 0 ? rest : 0;
	}
	return over_tokens >= 0.98 * j->by_thread[own] && meet_tokens >= 0.95 * others && fed >= 0.9 * others;
}

/* Forward work through weights whose gradients thread `own` asks for: for each at most once. */
static double answered(const struct judge *j, const struct groups *g, int own)
{
	double sum = 0;

	for (size_t i = 0; i < g->count; i++)
		sum += fmin(g->item[i].by_thread[own], g->item[i].ops - g->item[i].by_thread[own]);
	return sum / j->ops;
}

int phase_only_gradients(const struct judge *j, const struct groups *g, struct phase_only *ret)
{
	int rc = 0;

	*ret = (struct phase_only){ .thread = -1 };
	for (int t = 0; t < THREADS_MAX && rc == 0; t++) {
		struct size_table sizes = { 0 };

		if (j->by_thread[t] < NOISE * j->ops || j->by_thread[t] >= j->ops)
			continue;
		rc = sizes_make(j, t, &sizes);
		if (rc == 0 && asks_for_gradients(j, &sizes, t)) {
			ret->thread = t;
			ret->forward = 1 - j->by_thread[t] / j->ops;
			ret->answered = answered(j, g, t);
		}
		free(sizes.item);
	}
	return rc;
}

/* --- gradients that ranks reduce --- */

static int by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/* Numbers that each product makes, in order: what ranks that share a layer send each other is one of these.
 */
static int made_numbers(const struct run *r, uint64_t **ret)
{
	uint64_t *made = calloc(r->product_count + 1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	for (size_t i = 0; i < r->product_count; i++)
		if (__builtin_mul_overflow(r->products[i].m, r->products[i].n, &made[i]))
			made[i] = UINT64_MAX;
	if (r->product_count)
		qsort(made, r->product_count, sizeof(*made), by_number);
	*ret = made;
	return 0;
}

static bool is_made(const struct run *r, const uint64_t *made, uint64_t bytes)
{
	for (uint64_t size = 1; size <= 4; size *= 2) {
		uint64_t key = bytes / size;

		if (bytes % size == 0 && r->product_count &&
		    bsearch(&key, made, r->product_count, sizeof(key), by_number))
			return true;
	}
	return false;
}

int phase_reduced(const struct run *r, double *ret_bytes)
{
	_cleanup_free_ uint64_t *made = NULL;

	*ret_bytes = 0;
	if (!r->collective_count)
		return 0;
	if (made_numbers(r, &made))
		return -ENOMEM;
	for (size_t i = 0; i < r->collective_count; i++) {
		const struct run_collective *c = &r->collectives[i];

		if ((c->kind == RUN_ALLREDUCE || c->kind == RUN_REDUCESCATTER) && !is_made(r, made, c->bytes))
			*ret_bytes += (double)c->bytes * (double)c->calls;
	}
	return 0;
}

double phase_weights_met(const struct groups *g)
{
	double sum = 0;

	for (size_t i = 0; i < g->count; i++)
		sum += g->item[i].ops / (6 * (double)g->item[i].dim[2]);
	return sum;
}
