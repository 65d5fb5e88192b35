// SPDX-License-Identifier: Apache-2.0
/*
 * What was trained before certain days: those on which a tenant's owner changed. Most
 * tenants have none, and cost nothing. For the others the days of their jobs are summed
 * anew each time that their total is told, which is when it changed.
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

static int compare_days(const void *a, const void *b)
{
	uint32_t x = ((const struct om_until *)a)->day, y = ((const struct om_until *)b)->day;

	return (x > y) - (x < y);
}

static size_t count_days(const struct om_totals *t, struct cell *const *cell, size_t n)
{
	size_t all = 0, count;

	for (size_t i = 0; i < n; i++)
		all += t->days_of(t->days_ctx, cell[i]->group == OM_GROUP_MODEL ? cell[i]->a : cell[i]->b,
				  &count)
			       ? count
			       : 0;
	return all;
}

/* Each day once, ascending, after the first of the work; of too many the latest. */
static size_t collect_days(const struct om_totals *t, struct cell *const *cell, size_t n, uint32_t first_day,
			   struct om_until *all)
{
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t days;
		const int32_t *day = t->days_of(
			t->days_ctx, cell[i]->group == OM_GROUP_MODEL ? cell[i]->a : cell[i]->b, &days);

		for (size_t k = 0; day && k < days; k++)
			if (day[k] > (int32_t)first_day)
				all[count++] = (struct om_until){ .day = (uint32_t)day[k] };
	}
	qsort(all, count, sizeof(*all), compare_days);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || all[kept - 1].day != all[i].day)
			all[kept++] = all[i];
	if (kept > OM_UNTIL_MAX) {
		memmove(all, all + kept - OM_UNTIL_MAX, OM_UNTIL_MAX * sizeof(*all));
		kept = OM_UNTIL_MAX;
	}
	return kept;
}

struct adding {
	struct om_until *until;
	size_t count;
};

static void add_saturating(opcount *to, opcount v)
{
	if (opcount_add(*to, v, to))
		*to = OPCOUNT_MAX;
}

static void add_one_day(void *ctx, uint32_t day, const struct sum *s)
{
	struct adding *a = ctx;

	for (size_t i = a->count; i-- > 0 && a->until[i].day > day;) {
		add_saturating(&a->until[i].training_low, s->figure[FIG_TRAINING_LOW]);
		add_saturating(&a->until[i].training_high, s->figure[FIG_TRAINING_HIGH]);
	}
}

int days_until(struct om_totals *t, struct cell *const *cell, size_t n, uint32_t first_day,
	       struct om_until **ret, size_t *ret_count)
{
	_cleanup_free_ struct om_until *all = NULL;
	struct adding adding = { 0 };
	size_t count = t->days_of && n ? count_days(t, cell, n) : 0;
	int r = 0;

	*ret = NULL;
	*ret_count = 0;
	if (!count)
		return 0;
	all = calloc(count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	adding.until = all;
	adding.count = collect_days(t, cell, n, first_day, all);
	for (size_t i = 0; adding.count && i < n; i++)
		for (size_t k = 0; r == 0 && k < cell[i]->members.count; k++)
			r = sum_each_day(t, cell[i]->members.item[k], cell[i], add_one_day, &adding);
	if (r)
		return r;
	*ret = TAKE_PTR(all);
	*ret_count = adding.count;
	return 0;
}
