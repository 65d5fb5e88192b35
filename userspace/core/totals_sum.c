// SPDX-License-Identifier: Apache-2.0
/*
 * Sums. A change makes stale the sum of the four jobs it is among, of the 256 around
 * them, and of the cell; only those are made anew, always from what they are of.
 * A job's days that carries alone hold are summed once and kept.
 *
 * Every sum is over registers in the order of their keys: sampled parts are doubles,
 * and a sum of doubles depends on its order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "totals_internal.h"

void sum_add(struct sum *into, const struct sum *other)
{
	for (int i = 0; i < FIG_END; i++)
		add_figure(into, i, other->figure[i]);
	for (int i = 0; i < NUM_END; i++)
		add_number(into, i, other->number[i]);
	if (other->as_of_ns > into->as_of_ns)
		into->as_of_ns = other->as_of_ns;
	if (other->first_day && (!into->first_day || other->first_day < into->first_day))
		into->first_day = other->first_day;
	into->meters |= other->meters;
	into->is_older |= other->is_older;
	if (into->is_older)
		into->first_day = 0; /* a part may have begun before */
	into->is_unbounded |= other->is_unbounded;
	into->attempted |= other->attempted;
	into->is_saturated |= other->is_saturated;
}

static int compare_parts(const void *x, const void *y)
{
	const struct part *a = x, *b = y;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	if (a->format != b->format)
		return a->format < b->format ? -1 : 1;
	return a->meter < b->meter ? -1 : a->meter > b->meter;
}

/* Few, and mostly in order. */
static void sort_parts(struct part *part, size_t n)
{
	if (n > 32) {
		qsort(part, n, sizeof(*part), compare_parts);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct part p = part[i];
		size_t k = i;

		for (; k && compare_parts(&p, &part[k - 1]) < 0; k--)
			part[k] = part[k - 1];
		part[k] = p;
	}
}

static int room_for_parts(struct om_totals *t, size_t n)
{
	size_t room = 2 * (n + OM_CARRY_REGISTERS_MAX);
	struct part *bigger;

	if (!t->decoded)
		t->decoded = malloc(OM_CARRY_REGISTERS_MAX * sizeof(*t->decoded));
	if (!t->decoded)
		return -ENOMEM;
	if (n + OM_CARRY_REGISTERS_MAX <= t->part_room)
		return 0;
	bigger = reallocarray(t->part, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->part = bigger;
	t->part_room = room;
	return 0;
}

/* The job's live registers, in order, with room behind them for a section's. */
int sum_gather_live(struct om_totals *t, uint32_t job)
{
	size_t n = 0;
	int r;

	/* They came at different times, so they lie apart: their values are on the way while the rest is
	 * looked up. */
	for (uint32_t i = job_at(t, job)->first; i != NONE; i = reg_at(t, i)->next) {
		const char *value = (const char *)&reg_at(t, i)->value;

		for (size_t at = 0; at < sizeof(struct om_value); at += 64)
			__builtin_prefetch(value + at);
		n++;
	}
	r = room_for_parts(t, n);
	if (r)
		return r;
	n = 0;
	for (uint32_t i = job_at(t, job)->first; i != NONE; i = reg_at(t, i)->next) {
		const struct reg *g = reg_at(t, i);

		if (!(g->flags & REG_GHOST))
			t->part[n++] = (struct part){ g->day, g->format, g->meter, &g->value };
	}
	sort_parts(t->part, n);
	t->part_count = n;
	return 0;
}

/* Adds a section's registers behind `n` parts that are of the same day and win over them. */
static size_t add_section(struct om_totals *t, const struct job *j, const struct section *s,
			  struct part *part, size_t n)
{
	size_t all = n, live = n;

	for (uint32_t at = 0; fold_register(j, s, &at, &t->decoded[all - live]);) {
		const struct om_reading *r = &t->decoded[all - live];
		bool is_live = false;

		for (size_t i = 0; i < live; i++)
			is_live |= part[i].format == r->key.format && part[i].meter == r->key.meter;
		if (!is_live)
			part[all++] = (struct part){ s->day, r->key.format, r->key.meter, &r->value };
	}
	if (live && all > live)
		sort_parts(part, all);
	return all;
}

struct names sum_names_on(const struct om_totals *t, const struct job *j, uint32_t day)
{
	return (struct names){ value_of(j, OM_ASSIGN_TENANT, day, t->unknown),
			       value_of(j, OM_ASSIGN_MODEL, day, t->unassigned),
			       value_of(j, OM_ASSIGN_LINEAGE, day, NULL) };
}

static bool is_of(const struct cell *c, const struct names *n)
{
	return c->group == OM_GROUP_MODEL ? c->a == n->tenant && c->b == n->model
					  : c->a == n->lineage && c->b == n->tenant;
}

/* What is live of a job adds to a cell, with the folded registers of those days. */
static int add_live(struct om_totals *t, uint32_t job, const struct cell *c, struct sum *s)
{
	const struct job *j = job_at(t, job);
	int r = sum_gather_live(t, job);

	for (size_t i = 0, next; r == 0 && i < t->part_count; i = next) {
		uint32_t day = t->part[i].day;
		struct names names = sum_names_on(t, j, day);
		struct part *spare = t->part + t->part_count;
		struct section folded;

		for (next = i + 1; next < t->part_count && t->part[next].day == day;)
			next++;
		if (!is_of(c, &names))
			continue;
		if (j->folded_size == 0 || !fold_find(j, day, &folded)) {
			day_add(s, c, j, &t->part[i], next - i);
			continue;
		}
		memcpy(spare, &t->part[i], (next - i) * sizeof(*spare));
		day_add(s, c, j, spare, add_section(t, j, &folded, spare, next - i));
	}
	return r;
}

/* The sums of the days of which nothing is live. The parts gathered are the job's live ones. */
static int close_days(struct om_totals *t, struct job *j)
{
	struct part *spare = t->part + t->part_count;
	size_t live = 0;
	struct section s;

	for (uint32_t i = 0; i < j->in_count; i++) {
		free(j->in[i].closed);
		j->in[i].closed = NULL;
	}
	for (uint32_t at = 0; fold_next(j, &at, &s);) {
		struct names names = sum_names_on(t, j, s.day);
		size_t n;

		while (live < t->part_count && t->part[live].day < s.day)
			live++;
		if (live < t->part_count && t->part[live].day == s.day)
			continue;
		n = add_section(t, j, &s, spare, 0);
		for (uint32_t i = 0; i < j->in_count; i++) {
			if (!is_of(cell_at(t, j->in[i].cell), &names))
				continue;
			if (!j->in[i].closed)
				j->in[i].closed = calloc(1, sizeof(struct sum));
			if (!j->in[i].closed)
				return -ENOMEM;
			day_add(j->in[i].closed, cell_at(t, j->in[i].cell), j, spare, n);
		}
	}
	return 0;
}

static int refresh_job(struct om_totals *t, uint32_t job)
{
	struct job *j = job_at(t, job);
	struct list cells = { 0 };
	int r = 0;

	if (j->flags & JOB_MOVED) {
		r = cells_place(t, job, &cells);
		free(cells.item);
		r = r ?: close_days(t, j);
	}
	for (uint32_t i = 0; r == 0 && i < j->in_count; i++)
		cells_mark(t, j->in[i].cell, j->in[i].at);
	return r;
}

int sum_member(struct om_totals *t, uint32_t job, uint32_t cell, struct sum *s)
{
	const struct membership *m = cells_membership(job_at(t, job), cell);

	if (m->closed)
		sum_add(s, m->closed);
	return add_live(t, job, cell_at(t, cell), s);
}

static int refresh_four(struct om_totals *t, uint32_t cell, uint32_t four)
{
	struct cell *c = cell_at(t, cell);
	struct sum s = { 0 };
	int r = 0;

	for (size_t at = (size_t)four * FOUR; r == 0 && at < c->members.count && at < (four + 1ULL) * FOUR;
	     at++)
		r = sum_member(t, c->members.item[at], cell, &s);
	if (r == 0) {
		c->four[four] = s;
		c->many_stale[four / MANY] = 1;
	}
	return r;
}

static int refresh_cell(struct om_totals *t, uint32_t cell)
{
	struct cell *c = cell_at(t, cell);
	size_t manys = (c->fours_room + MANY - 1) / MANY;
	struct sum total = { 0 };

	for (; c->stale.count; c->stale.count--) {
		uint32_t four = c->stale.item[c->stale.count - 1];
		int r = refresh_four(t, cell, four);

		if (r)
			return r;
		c->is_stale[four] = 0;
	}
	for (size_t m = 0; m < manys; m++) {
		if (c->many_stale[m]) {
			memset(&c->many[m], 0, sizeof(c->many[m]));
			for (size_t f = m * MANY; f < (m + 1) * MANY && f < c->fours_room; f++)
				sum_add(&c->many[m], &c->four[f]);
			c->many_stale[m] = 0;
		}
		sum_add(&total, &c->many[m]);
	}
	c->total = total;
	if (!c->is_changed && memcmp(&c->total, &c->given, sizeof(c->total))) {
		c->is_changed = true;
		t->changed.item[t->changed.count++] = cell;
	}
	return 0;
}

void sum_touch(struct om_totals *t, uint32_t job, bool is_moved)
{
	struct job *j = job_at(t, job);

	if (!(j->flags & JOB_DIRTY))
		t->dirty.item[t->dirty.count++] = job;
	j->flags |= is_moved ? JOB_DIRTY | JOB_MOVED : JOB_DIRTY;
}

int sum_refresh(struct om_totals *t)
{
	for (; t->dirty.count; t->dirty.count--) {
		uint32_t job = t->dirty.item[t->dirty.count - 1];
		int r = refresh_job(t, job);

		if (r)
			return r;
		job_at(t, job)->flags = 0;
	}
	for (; t->stale.count; t->stale.count--) {
		uint32_t cell = t->stale.item[t->stale.count - 1];
		int r = refresh_cell(t, cell);

		if (r)
			return r;
		cell_at(t, cell)->is_listed = false;
	}
	return 0;
}

void sum_done(struct om_totals *t)
{
	for (uint32_t i = 0; i < t->jobs.count; i++) {
		struct job *j = job_at(t, i);

		for (uint32_t k = 0; k < j->in_count; k++)
			free(j->in[k].closed);
		if (j->in != j->near)
			free(j->in);
	}
	for (uint32_t i = 0; i < t->cells.count; i++) {
		struct cell *c = cell_at(t, i);

		free(c->members.item);
		free(c->four);
		free(c->many);
		free(c->is_stale);
		free(c->many_stale);
		free(c->stale.item);
	}
}

int sum_each_day(struct om_totals *t, uint32_t job, const struct cell *c,
		 void (*fn)(void *ctx, uint32_t day, const struct sum *s), void *ctx)
{
	const struct job *j = job_at(t, job);
	int r = sum_gather_live(t, job);
	struct part *spare = t->part + t->part_count;
	struct section folded;
	size_t live = 0;

	for (size_t i = 0, next; r == 0 && i < t->part_count; i = next) {
		uint32_t day = t->part[i].day;
		struct names names = sum_names_on(t, j, day);
		struct sum s = { 0 };
		size_t n;

		for (next = i + 1; next < t->part_count && t->part[next].day == day;)
			next++;
		if (!is_of(c, &names))
			continue;
		n = next - i;
		memcpy(spare, &t->part[i], n * sizeof(*spare));
		if (j->folded_size && fold_find(j, day, &folded))
			n = add_section(t, j, &folded, spare, n);
		day_add(&s, c, j, spare, n);
		fn(ctx, day, &s);
	}
	for (uint32_t at = 0; r == 0 && fold_next(j, &at, &folded);) {
		struct names names = sum_names_on(t, j, folded.day);
		struct sum s = { 0 };

		while (live < t->part_count && t->part[live].day < folded.day)
			live++;
		if ((live < t->part_count && t->part[live].day == folded.day) || !is_of(c, &names))
			continue;
		day_add(&s, c, j, spare, add_section(t, j, &folded, spare, 0));
		fn(ctx, folded.day, &s);
	}
	return r;
}
