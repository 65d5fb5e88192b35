// SPDX-License-Identifier: Apache-2.0
/*
 * Products of optimizers and solvers (Muon, Shampoo, SOAP), told by the buffers that they read, and set aside
 * before anything else is looked at. No weight is among their operands: they multiply something with itself,
 * and then, right after, what products have made of that with each other. A weight is multiplied with itself
 * by nobody, and no product writes to it.
 */
#include "model_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define SOON 64 /* steps: a buffer that is read later may have been given out again */

struct made {
	uint32_t address;	/* 0: free */
	bool is_no_weight;	/* products write to it, or multiply it with itself */
	bool is_of_square;	/* what is in it was made of something multiplied with itself */
	size_t at;		/* step that has written it */
	uint64_t rows, columns; /* as it was written */
};

struct aside {
	const struct run *run;
	struct made *made;
	size_t slots;	/* a power of two, at most half full */
	bool *is_aside; /* steps */
};

static struct made *made_at(struct aside *s, uint32_t address)
{
	uint64_t h = (address + 1) * 0x9e3779b97f4a7c15ULL;
	size_t i = (h ^ h >> 29) & (s->slots - 1);

	while (s->made[i].address && s->made[i].address != address)
		i = (i + 1) & (s->slots - 1);
	s->made[i].address = address;
	return &s->made[i];
}

static void note_buffers(struct aside *s)
{
	for (size_t i = 0; i < s->run->step_count; i++) {
		const struct run_step *x = &s->run->steps[i];

		if (x->d)
			made_at(s, x->d)->is_no_weight = true;
		if (x->a && x->a == x->b)
			made_at(s, x->a)->is_no_weight = true;
	}
}

/* Is this operand what has come of a square, as it was written, turned or not? */
static bool is_of_square(struct aside *s, size_t step, bool at_b, size_t begin)
{
	const struct run_step *x = &s->run->steps[step];
	const struct run_product *p = &s->run->products[x->product];
	const struct made *m = made_at(s, at_b ? x->b : x->a);
	uint64_t rows = at_b ? p->k : p->m, columns = at_b ? p->n : p->k;

	return m->is_of_square && m->at >= begin && step - m->at <= SOON &&
	       ((m->rows == rows && m->columns == columns) || (m->rows == columns && m->columns == rows));
}

static bool is_apart(struct aside *s, size_t i, size_t begin)
{
	const struct run_step *x = &s->run->steps[i];

	if (!x->a || !x->b || s->run->products[x->product].batch > 1)
		return false;
	if (x->a == x->b)
		return true;
	return made_at(s, x->a)->is_no_weight && made_at(s, x->b)->is_no_weight &&
	       (is_of_square(s, i, false, begin) || is_of_square(s, i, true, begin));
}

/* Steps that are apart; how many of them are more than something multiplied with itself. 0 as well where
 * addresses cannot be: what is multiplied with itself has as many rows as columns come of it. */
static size_t tell(struct aside *s)
{
	size_t begin = 0, more = 0;

	for (size_t i = 0; i < s->run->step_count; i++) {
		const struct run_step *x = &s->run->steps[i];
		const struct run_product *p = &s->run->products[x->product];

		if (x->a && x->a == x->b && p->batch == 1 && p->m != p->n)
			return 0;

		begin = x->begins ? i : begin;
		s->is_aside[i] = is_apart(s, i, begin);
		more += s->is_aside[i] && x->a != x->b;
		if (x->d) {
			struct made *m = made_at(s, x->d);

			m->is_of_square = s->is_aside[i];
			m->at = i;
			m->rows = p->m;
			m->columns = p->n;
		}
	}
	return more;
}

/* The run without them. */
static int leave(const struct aside *s, struct run *ret)
{
	const struct run *r = s->run;
	_cleanup_free_ double *all = calloc(r->product_count + 1, sizeof(*all)),
			      *own = calloc(r->product_count + 1, sizeof(*own));
	bool begins = false;

	*ret = *r;
	ret->step_count = 0;
	ret->steps = calloc(r->step_count, sizeof(*ret->steps));
	ret->products = calloc(r->product_count + 1, sizeof(*ret->products));
	if (!all || !own || !ret->steps || !ret->products)
		return -ENOMEM;
	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_step *x = &r->steps[i];

		begins |= x->begins;
		all[x->product] += x->repeat;
		if (s->is_aside[i])
			continue;
		own[x->product] += x->repeat;
		ret->steps[ret->step_count] = *x;
		ret->steps[ret->step_count++].begins = begins;
		begins = false;
	}
	for (size_t i = 0; i < r->product_count; i++) {
		double share = all[i] > 0 ? own[i] / all[i] : 1;

		ret->products[i] = r->products[i];
		ret->products[i].calls = (uint64_t)((double)r->products[i].calls * share + 0.5);
		for (int t = 0; t < RUN_THREADS_MAX; t++)
			ret->products[i].calls_by_thread[t] =
				(uint64_t)((double)r->products[i].calls_by_thread[t] * share + 0.5);
	}
	return 0;
}

static void aside_done(struct aside *s)
{
	free(s->made);
	free(s->is_aside);
}

int model_set_aside(struct judging *j)
{
	_cleanup_(aside_done) struct aside s = { .run = j->run, .slots = 16 };

	if (!j->run->step_count)
		return 0;
	while (s.slots < 6 * j->run->step_count)
		s.slots *= 2;
	s.made = calloc(s.slots, sizeof(*s.made));
	s.is_aside = calloc(j->run->step_count, sizeof(*s.is_aside));
	if (!s.made || !s.is_aside)
		return -ENOMEM;
	note_buffers(&s);
	if (!tell(&s))
		return 0;
	j->has_left = true;
	j->run = &j->left;
	return leave(&s, &j->left);
}
