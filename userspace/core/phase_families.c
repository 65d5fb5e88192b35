// SPDX-License-Identifier: Apache-2.0
/*
 * Products to shapes with operations by thread; shapes to families of one weight; families used up, the
 * largest first; and products by their dimensions, whichever is contracted over.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "phase_internal.h"

void phase_judge_done(struct judge *j)
{
	free(j->shape);
	free(j->member);
	free(j->family);
}

/* --- shapes --- */

static int by_shape(const void *x, const void *y)
{
	const struct shape *a = x, *b = y;
	const uint64_t p[] = { a->batch, a->m, a->n, a->k }, q[] = { b->batch, b->m, b->n, b->k };

	for (int i = 0; i < 4; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

int phase_calls_by_thread(const struct run *r, double **ret)
{
	double *calls = calloc(r->product_count + 1, THREADS_MAX * sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; r->has_threads && i < r->product_count; i++)
		for (int t = 0; t < THREADS_MAX; t++)
			calls[i * THREADS_MAX + t] = (double)r->products[i].calls_by_thread[t];
	for (size_t i = 0; !r->has_threads && i < r->step_count; i++) {
		uint32_t t = r->steps[i].thread < THREADS_MAX ? r->steps[i].thread : THREADS_MAX - 1;

		calls[r->steps[i].product * THREADS_MAX + t] += r->steps[i].repeat;
	}
	for (size_t i = 0; !r->has_threads && !r->step_count && i < r->product_count; i++)
		calls[i * THREADS_MAX] = (double)r->products[i].calls;
	*ret = calls;
	return 0;
}

static int shapes_make(struct judge *j, const struct run *r)
{
	_cleanup_free_ double *calls = NULL;
	size_t kept = 0;
	int rc = phase_calls_by_thread(r, &calls);

	j->shape = calloc(r->product_count + 1, sizeof(*j->shape));
	if (rc || !j->shape)
		return -ENOMEM;
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];
		struct shape *s = &j->shape[i];

		*s = (struct shape){
			p->batch, p->m < p->n ? p->m : p->n, p->m < p->n ? p->n : p->m, p->k, { 0 }, 0, 0, 0
		};
		for (int t = 0; t < THREADS_MAX; t++) {
			double n = calls[i * THREADS_MAX + t];

			s->by_thread[t] =
				2.0 * (double)p->batch * (double)p->m * (double)p->n * (double)p->k * n;
			s->ops += s->by_thread[t];
			s->calls += n;
			j->by_thread[t] += s->by_thread[t];
		}
		j->ops += s->ops;
	}
	qsort(j->shape, r->product_count, sizeof(*j->shape), by_shape);
	for (size_t i = 0; i < r->product_count; i++) {
		if (kept && !by_shape(&j->shape[kept - 1], &j->shape[i])) {
			for (int t = 0; t < THREADS_MAX; t++)
				j->shape[kept - 1].by_thread[t] += j->shape[i].by_thread[t];
			j->shape[kept - 1].ops += j->shape[i].ops;
			j->shape[kept - 1].calls += j->shape[i].calls;
		} else {
			j->shape[kept++] = j->shape[i];
		}
	}
	j->shapes = kept;
	for (size_t i = 0; i < kept; i++)
		j->shape[i].left = j->shape[i].ops;
	return 0;
}

/* --- families --- */

static int by_weight(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	const uint64_t p[] = { a->batch, a->a, a->b, a->role, a->shape },
		       q[] = { b->batch, b->a, b->b, b->role, b->shape };

	for (int i = 0; i < 5; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

static bool same_weight(const struct member *a, const struct member *b)
{
	return a->batch == b->batch && a->a == b->a && a->b == b->b;
}

/* The weight {other, k} with tokens along the remaining side. */
static void member_forward(struct judge *j, size_t shape, uint64_t other)
{
	const struct shape *s = &j->shape[shape];
	struct member *m = &j->member[j->members++];

	*m = (struct member){ .batch = s->batch,
			      .a = other < s->k ? other : s->k,
			      .b = other < s->k ? s->k : other,
			      .role = other < s->k ? ROLE_OVER_SECOND : ROLE_OVER_FIRST,
			      .shape = (uint32_t)shape };
}

static int members_make(struct judge *j)
{
	j->member = calloc(3 * j->shapes + 1, sizeof(*j->member));
	if (!j->member)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];

		/* Both sides equal: X^T X, or equal dimensions. Completes nothing. */
		if (s->m == s->n)
			continue;
		j->member[j->members++] = (struct member){ s->batch, s->m, s->n, ROLE_WEIGHT, (uint32_t)i };
		if (s->m != s->k)
			member_forward(j, i, s->m);
		if (s->n != s->k)
			member_forward(j, i, s->n);
	}
	qsort(j->member, j->members, sizeof(*j->member), by_weight);
	return 0;
}

/* A shape that could be weight gradient and input gradient of one weight (T = O) tells neither. */
static bool is_ambiguous(const struct judge *j, const struct family *f, const struct member *m)
{
	const struct shape *s = &j->shape[m->shape];

	return (s->k == f->a || s->k == f->b) && s->m == f->a && s->n == f->b;
}

static void family_sums(const struct judge *j, const struct family *f, double ret[3])
{
	memset(ret, 0, 3 * sizeof(*ret));
	for (size_t i = f->first; i < f->first + f->count; i++)
		if (!is_ambiguous(j, f, &j->member[i]))
			ret[j->member[i].role] += j->shape[j->member[i].shape].left;
}

static int by_bound(const void *x, const void *y)
{
	const struct family *a = x, *b = y;
	const uint64_t p[] = { a->batch, a->a, a->b }, q[] = { b->batch, b->a, b->b };

	if (a->bound != b->bound)
		return a->bound < b->bound ? 1 : -1;
	for (int i = 0; i < 3; i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

static int families_make(struct judge *j)
{
	j->family = calloc(j->members + 1, sizeof(*j->family));
	if (!j->family)
		return -ENOMEM;
	for (size_t i = 0; i < j->members;) {
		struct family f = { j->member[i].batch, j->member[i].a, j->member[i].b, i, 0, 0, 0 };
		double sums[3];

		while (i < j->members && same_weight(&j->member[f.first], &j->member[i]))
			i++;
		f.count = i - f.first;
		family_sums(j, &f, sums);
		f.bound = phase_least(sums);
		if (f.bound > 0)
			j->family[j->families++] = f;
	}
	if (j->families)
		qsort(j->family, j->families, sizeof(*j->family), by_bound);
	return 0;
}

/* Takes what is complete out of the shapes, so that each product is used once. */
static void family_use(struct judge *j, struct family *f)
{
	double sums[3], part[3];

	family_sums(j, f, sums);
	f->complete = phase_least(sums);
	for (int i = 0; i < 3; i++)
		part[i] = sums[i] > 0 ? f->complete / sums[i] : 0;
	for (size_t i = f->first; f->complete > 0 && i < f->first + f->count; i++)
		if (!is_ambiguous(j, f, &j->member[i]))
			j->shape[j->member[i].shape].left *= 1 - part[j->member[i].role];
}

int phase_families(struct judge *j, const struct run *r)
{
	int rc = shapes_make(j, r);

	if (rc || j->ops <= 0)
		return rc;
	rc = members_make(j);
	rc = rc ?: families_make(j);
	for (size_t i = 0; rc == 0 && i < j->families; i++)
		family_use(j, &j->family[i]);
	return rc;
}

/* --- products by dimensions --- */

void phase_groups_done(struct groups *g)
{
	free(g->item);
}

int phase_by_dims(const void *x, const void *y)
{
	const struct group *a = x, *b = y;

	if (a->batch != b->batch)
		return a->batch < b->batch ? -1 : 1;
	for (int i = 0; i < 3; i++)
		if (a->dim[i] != b->dim[i])
			return a->dim[i] < b->dim[i] ? -1 : 1;
	return 0;
}

void phase_sort3(uint64_t v[3])
{
	for (int i = 0; i < 3; i++)
		for (int k = i + 1; k < 3; k++)
			if (v[k] < v[i]) {
				uint64_t t = v[i];

				v[i] = v[k];
				v[k] = t;
			}
}

int phase_groups(const struct judge *j, struct groups *ret)
{
	size_t kept = 0;

	ret->item = calloc(j->shapes + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	for (size_t i = 0; i < j->shapes; i++) {
		const struct shape *s = &j->shape[i];
		struct group *g = &ret->item[i];

		*g = (struct group){ .batch = s->batch, .dim = { s->m, s->n, s->k }, .ops = s->ops };
		phase_sort3(g->dim);
		memcpy(g->by_thread, s->by_thread, sizeof(g->by_thread));
		for (int d = 0; d < 3; d++)
			if (g->dim[d] == s->k) {
				g->over[d] = s->ops;
				g->over_backward[d] = j->backward < 0 ? 0 : s->by_thread[j->backward];
				break;
			}
	}
	qsort(ret->item, j->shapes, sizeof(*ret->item), phase_by_dims);
	for (size_t i = 0; i < j->shapes; i++) {
		struct group *g = &ret->item[i], *last = kept ? &ret->item[kept - 1] : NULL;

		if (!last || phase_by_dims(last, g)) {
			ret->item[kept++] = *g;
			continue;
		}
		for (int t = 0; t < THREADS_MAX; t++)
			last->by_thread[t] += g->by_thread[t];
		for (int d = 0; d < 3; d++) {
			last->over[d] += g->over[d];
			last->over_backward[d] += g->over_backward[d];
		}
		last->ops += g->ops;
	}
	ret->count = kept;
	return 0;
}
