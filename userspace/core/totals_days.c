// SPDX-License-Identifier: Apache-2.0
/*
 * What was trained before certain days: those on which a tenant's owner changed. Most
 * tenants have none, and cost nothing. For the others the days of their jobs are summed
 * anew each time that their total is told, which is when it changed. A lineage tells of
 * the days of all tenants: who works at it in another partition is not known here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "totals_internal.h"

void om_totals_set_days(struct om_totals *t,
			const int32_t *(*fn)(void *ctx, const char *tenant, size_t *ret_count), void *ctx)
{
	t->days_of = fn;
	t->days_ctx = ctx;
}

/* NULL, behind the cells of a lineage: the days of all tenants. */
static const int32_t *days_of(const struct om_totals *t, const struct cell *c, size_t *ret_count)
{
	return t->days_of(t->days_ctx, !c ? NULL : c->group == OM_GROUP_MODEL ? c->a : c->b, ret_count);
}

/* Adds those after the first day of the work; the caller has the room. */
static size_t put_days(struct om_until *all, size_t n, const int32_t *day, size_t days, uint32_t first_day)
{
	for (size_t k = 0; day && k < days; k++)
		if (day[k] > (int32_t)first_day)
			all[n++] = (struct om_until){ .day = (uint32_t)day[k] };
	return n;
}

/* Each day once, ascending; of too many the latest. */
static size_t keep_latest(struct om_until *all, size_t count)
{
	size_t kept = 0;

	qsort(all, count, sizeof(*all), om_until_compare);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || all[kept - 1].day != all[i].day)
			all[kept++] = all[i];
	if (kept > OM_UNTIL_MAX) {
		memmove(all, all + kept - OM_UNTIL_MAX, OM_UNTIL_MAX * sizeof(*all));
		kept = OM_UNTIL_MAX;
	}
	return kept;
}

/* Days of those who work at it elsewhere, as far as its own leave room: the latest. */
static size_t add_others(struct om_until *all, size_t own, const int32_t *day, size_t days,
			 uint32_t first_day)
{
	size_t n = own;

	while (day && days-- && n < OM_UNTIL_MAX && day[days] > (int32_t)first_day) {
		struct om_until u = { .day = (uint32_t)day[days] };

		if (!own || !bsearch(&u, all, own, sizeof(u), om_until_compare))
			all[n++] = u;
	}
	qsort(all, n, sizeof(*all), om_until_compare);
	return n;
}

/* *ret: the caller's, with room for what it has. */
static int collect_days(const struct om_totals *t, struct cell *const *cell, size_t n, uint32_t first_day,
			struct om_until **ret, size_t *ret_count)
{
	bool is_lineage = cell[0]->group == OM_GROUP_LINEAGE;
	size_t all = 0, count = 0, days = 0;
	const int32_t *day;

	for (size_t i = 0; i < n; i++)
		all += days_of(t, cell[i], &days) ? days : 0;
	day = is_lineage ? days_of(t, NULL, &days) : NULL;
	if (!all && !day)
		return 0;
	*ret = calloc(all + OM_UNTIL_MAX, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; all && i < n; i++) {
		size_t own;
		const int32_t *its = days_of(t, cell[i], &own);

		count = put_days(*ret, count, its, own, first_day);
	}
	count = keep_latest(*ret, count);
	*ret_count = add_others(*ret, count, day, days, first_day);
	return 0;
}

struct adding {
	struct om_until *until;
	size_t count;
};

static void add_one_day(void *ctx, uint32_t day, const struct sum *s)
{
	struct adding *a = ctx;

	for (size_t i = a->count; i-- > 0 && a->until[i].day > day;) {
		opcount_add_saturating(&a->until[i].training_low, s->figure[FIG_TRAINING_LOW]);
		opcount_add_saturating(&a->until[i].training_high, s->figure[FIG_TRAINING_HIGH]);
	}
}

int days_until(struct om_totals *t, struct cell *const *cell, size_t n, uint32_t first_day,
	       struct om_until **ret, size_t *ret_count)
{
	_cleanup_free_ struct om_until *all = NULL;
	struct adding adding = { 0 };
	int r = 0;

	*ret = NULL;
	*ret_count = 0;
	if (!t->days_of || !n)
		return 0;
	r = collect_days(t, cell, n, first_day, &all, &adding.count);
	if (r || !adding.count)
		return r;
	adding.until = all;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; r == 0 && k < cell[i]->members.count; k++)
			r = sum_each_day(t, cell[i]->members.item[k], cell[i], add_one_day, &adding);
	if (r)
		return r;
	*ret = TAKE_PTR(all);
	*ret_count = adding.count;
	return 0;
}
