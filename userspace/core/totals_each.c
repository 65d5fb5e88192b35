// SPDX-License-Identifier: Apache-2.0
/* What is told of the sums: by subject, in the order of names; all of them, or those that changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "totals_internal.h"

typedef int total_fn(void *ctx, const struct om_subject_total *s);

void total_of_sum(const struct sum *s, struct om_subject_total *ret)
{
	ret->training_low = s->figure[FIG_TRAINING_LOW];
	ret->training_high = s->figure[FIG_TRAINING_HIGH];
	ret->training_ceiling = s->figure[FIG_TRAINING_CEILING];
	ret->all_low = s->figure[FIG_LOW];
	ret->all_high = s->figure[FIG_HIGH];
	ret->all_ceiling = s->figure[FIG_CEILING];
	ret->contradicted = s->figure[FIG_CONTRADICTED];
	ret->unattributed = s->figure[FIG_UNATTRIBUTED];
	ret->executed_low = s->figure[FIG_EXECUTED_LOW];
	ret->executed_high = s->figure[FIG_EXECUTED_HIGH];
	ret->suspected = s->figure[FIG_SUSPECTED];
	ret->losses = s->number[NUM_LOSSES];
	ret->gap_days = s->number[NUM_GAP_DAYS];
	ret->calls = s->number[NUM_CALLS];
	ret->launches = s->number[NUM_LAUNCHES];
	ret->registers = s->number[NUM_REGISTERS];
	ret->as_of_ns = s->as_of_ns;
	ret->meters = s->meters;
	ret->is_bounded = !s->is_unbounded;
	ret->attempted = s->attempted;
	ret->is_saturated = s->is_saturated;
	ret->is_older = s->is_older;
	ret->first_day = s->first_day;
}

static void from_total(const struct om_subject_total *t, struct sum *ret)
{
	*ret = (struct sum){
		.figure = { t->training_low, t->training_high, t->training_ceiling, t->all_low, t->all_high,
			    t->all_ceiling, t->contradicted, t->unattributed, t->executed_low,
			    t->executed_high, t->suspected },
		.number = { t->losses, t->calls, t->launches, t->registers, t->gap_days },
		.as_of_ns = t->as_of_ns,
		.meters = t->meters,
		.first_day = t->first_day,
		.is_older = t->is_older,
		.is_unbounded = !t->is_bounded,
		.attempted = t->attempted,
		.is_saturated = t->is_saturated,
	};
}

void om_subject_total_add(struct om_subject_total *into, const struct om_subject_total *other)
{
	struct sum a, b;

	from_total(into, &a);
	from_total(other, &b);
	sum_add(&a, &b);
	total_of_sum(&a, into);
}

static int compare_cells(const void *x, const void *y, void *ctx)
{
	const struct cell *a = cell_at(ctx, *(const uint32_t *)x), *b = cell_at(ctx, *(const uint32_t *)y);
	int r = a->group != b->group ? (a->group < b->group ? -1 : 1) : strcmp(a->a, b->a);

	return r ? r : strcmp(a->b, b->b);
}

static int compare_ranks(const void *x, const void *y, void *ctx)
{
	uint32_t a = cell_at(ctx, *(const uint32_t *)x)->rank, b = cell_at(ctx, *(const uint32_t *)y)->rank;

	return a < b ? -1 : a > b;
}

/* Sums and order as they are now. Names are sorted again only when there are new ones. */
static int make_ready(struct om_totals *t)
{
	uint32_t *order;
	int r = sum_refresh(t);

	if (r || t->ordered == t->cells.count)
		return r;
	order = reallocarray(t->order, t->cells.count, sizeof(*order));
	if (!order)
		return -ENOMEM;
	t->order = order;
	for (uint32_t i = 0; i < t->cells.count; i++)
		order[i] = i;
	qsort_r(order, t->cells.count, sizeof(*order), compare_cells, t);
	for (uint32_t i = 0; i < t->cells.count; i++)
		cell_at(t, order[i])->rank = i;
	t->ordered = t->cells.count;
	return 0;
}

static struct cell *ranked(const struct om_totals *t, size_t rank)
{
	return cell_at(t, t->order[rank]);
}

static int tell_model(struct om_totals *t, struct cell *c, total_fn *fn, void *ctx)
{
	struct om_subject_total s = { .group = OM_GROUP_MODEL, .tenant = c->a, .model = c->b, .lineage = "" };
	_cleanup_free_ struct om_until *until = NULL;
	int r;

	total_of_sum(&c->total, &s);
	r = days_until(t, &c, 1, s.first_day, &until, &s.until_count);
	s.until = until;
	return r ?: fn(ctx, &s);
}

/* The cells of one lineage stand together, by tenant: `from` up to `to`. */
static int tell_lineage(struct om_totals *t, size_t from, size_t to, total_fn *fn, void *ctx)
{
	struct om_subject_total s = {
		.group = OM_GROUP_LINEAGE, .tenant = "", .model = "", .lineage = ranked(t, from)->a
	};
	_cleanup_free_ struct om_member *members = calloc(to - from, sizeof(*members));
	_cleanup_free_ struct cell **cells = calloc(to - from, sizeof(*cells));
	_cleanup_free_ struct om_until *until = NULL;
	struct sum sum = { 0 };
	int r;

	if (!members || !cells)
		return -ENOMEM;
	for (size_t i = from; i < to; i++) {
		struct cell *c = ranked(t, i);

		if (c->total.number[NUM_REGISTERS] == 0)
			continue;
		sum_add(&sum, &c->total);
		cells[s.member_count] = c;
		members[s.member_count++] = (struct om_member){ c->b, c->total.figure[FIG_TRAINING_LOW],
								c->total.figure[FIG_TRAINING_HIGH],
								c->total.figure[FIG_TRAINING_CEILING],
								c->total.number[NUM_REGISTERS] };
	}
	s.members = members;
	total_of_sum(&sum, &s);
	r = days_until(t, cells, s.member_count, s.first_day, &until, &s.until_count);
	s.until = until;
	return r ?: fn(ctx, &s);
}

static size_t end_of_lineage(const struct om_totals *t, size_t from)
{
	size_t to = from + 1;

	while (to < t->ordered && ranked(t, to)->group == OM_GROUP_LINEAGE &&
	       ranked(t, to)->a == ranked(t, from)->a)
		to++;
	return to;
}

int om_totals_each(struct om_totals *t, total_fn *fn, void *ctx)
{
	int r = make_ready(t);

	for (size_t i = 0; r == 0 && i < t->ordered && ranked(t, i)->group == OM_GROUP_MODEL; i++)
		if (ranked(t, i)->total.number[NUM_REGISTERS])
			r = tell_model(t, ranked(t, i), fn, ctx);
	return r;
}

int om_totals_each_lineage(struct om_totals *t, total_fn *fn, void *ctx)
{
	int r = make_ready(t);

	for (size_t i = 0, to; r == 0 && i < t->ordered; i = to) {
		bool is_empty = true;

		to = i + 1;
		if (ranked(t, i)->group != OM_GROUP_LINEAGE)
			continue;
		to = end_of_lineage(t, i);
		for (size_t k = i; k < to; k++)
			is_empty &= ranked(t, k)->total.number[NUM_REGISTERS] == 0;
		r = is_empty ? 0 : tell_lineage(t, i, to, fn, ctx);
	}
	return r;
}

static void given(struct cell *c)
{
	c->given = c->total;
	c->is_changed = false;
}

int om_totals_each_changed(struct om_totals *t, total_fn *fn, void *ctx)
{
	size_t left = 0, i;
	int r = make_ready(t);

	if (r)
		return r;
	if (t->changed.count)
		qsort_r(t->changed.item, t->changed.count, sizeof(*t->changed.item), compare_ranks, t);
	for (i = 0; r == 0 && i < t->changed.count; i++) {
		struct cell *c = cell_at(t, t->changed.item[i]);
		size_t from = c->rank, to = from + 1;

		/* A lineage is told as a whole, once; what went back to what it was, not at all. */
		if (!c->is_changed || !memcmp(&c->total, &c->given, sizeof(c->total))) {
			c->is_changed = false;
			continue;
		}
		if (c->group == OM_GROUP_LINEAGE) {
			while (from && ranked(t, from - 1)->group == OM_GROUP_LINEAGE &&
			       ranked(t, from - 1)->a == c->a)
				from--;
			to = end_of_lineage(t, from);
		}
		r = c->group == OM_GROUP_MODEL ? tell_model(t, c, fn, ctx)
					       : tell_lineage(t, from, to, fn, ctx);
		if (r)
			break;
		for (size_t k = from; k < to; k++)
			given(ranked(t, k));
	}
	for (; i < t->changed.count; i++)
		if (cell_at(t, t->changed.item[i])->is_changed)
			t->changed.item[left++] = t->changed.item[i];
	t->changed.count = left;
	return r;
}

/* The first cell in the order of names that is not before these. */
static size_t first_from(const struct om_totals *t, enum om_group group, const char *a, const char *b)
{
	size_t lo = 0, hi = t->ordered;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct cell *c = ranked(t, mid);
		int r = c->group != group ? (c->group < group ? -1 : 1) : strcmp(c->a, a);

		r = r ? r : strcmp(c->b, b);
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int cells_of_subject(struct om_totals *t, const struct om_subject_total *of, size_t ret[2])
{
	bool is_lineage = of->group == OM_GROUP_LINEAGE;
	const char *a = is_lineage ? of->lineage : of->tenant;
	int r = make_ready(t);
	size_t from;

	ret[0] = ret[1] = 0;
	if (r)
		return r;
	from = first_from(t, of->group, a, is_lineage ? "" : of->model);
	if (from == t->ordered || ranked(t, from)->group != of->group || strcmp(ranked(t, from)->a, a) != 0 ||
	    (!is_lineage && strcmp(ranked(t, from)->b, of->model) != 0))
		return 0;
	ret[0] = from;
	ret[1] = is_lineage ? end_of_lineage(t, from) : from + 1;
	return 0;
}

int om_totals_days(struct om_totals *t, const struct om_subject_total *of, uint32_t before,
		   struct om_day **ret, size_t *ret_count)
{
	_cleanup_free_ struct cell **cells = NULL;
	size_t at[2];
	int r = cells_of_subject(t, of, at);

	*ret = NULL;
	*ret_count = 0;
	if (r || at[0] == at[1])
		return r;
	cells = calloc(at[1] - at[0], sizeof(struct cell *));
	if (!cells)
		return -ENOMEM;
	for (size_t i = at[0]; i < at[1]; i++)
		cells[i - at[0]] = ranked(t, i);
	return days_series(t, cells, at[1] - at[0], before, ret, ret_count);
}

static size_t index_bytes(const struct index *x)
{
	return (x->mask + 1) * sizeof(*x->slot);
}

static size_t chunks_bytes(const struct chunks *c)
{
	return c->room * (CHUNK_THINGS * c->size + sizeof(char *));
}

void om_totals_counts(const struct om_totals *t, struct om_totals_counts *ret)
{
	*ret = (struct om_totals_counts){
		.live = t->live,
		.folded = t->folded - t->overlap,
		.folded_bytes = t->folded_bytes,
		.jobs = t->jobs.count,
		.subjects = t->cells.count,
		.late_total = t->late_total,
		.regressions = t->regressions,
		.uncovered_total = t->uncovered_total,
	};
	ret->bytes = chunks_bytes(&t->regs) + chunks_bytes(&t->jobs) + chunks_bytes(&t->cells) +
		     chunks_bytes(&t->names) + index_bytes(&t->by_key) + index_bytes(&t->by_job) +
		     index_bytes(&t->by_cell) + index_bytes(&t->by_name) + t->folded_bytes + t->name_bytes +
		     t->dated_bytes + t->dirty.room * sizeof(uint32_t) + t->part_room * sizeof(*t->part);
	for (uint32_t i = 0; i < t->cells.count; i++) {
		const struct cell *c = cell_at(t, i);

		ret->bytes += c->members.room * sizeof(uint32_t) +
			      c->fours_room * (sizeof(*c->four) + sizeof(uint32_t) + 1);
	}
}
