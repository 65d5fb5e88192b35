// SPDX-License-Identifier: Apache-2.0
/* Which days are sealed, and with what: the carry of a job's day has everything that is known of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "totals_internal.h"

static bool is_to_seal(const struct reg *g, uint32_t before_day)
{
	return g->day < before_day && !(g->flags & (REG_GHOST | REG_COVERED));
}

static void carry_donep(struct om_carry *c)
{
	om_carry_done(c);
}

/* The carry of a job's day: what carries hold and what is live, joined. */
static int seal_day(const struct om_totals *t, const struct job *j, uint32_t day,
		    int (*fn)(void *ctx, const struct om_carry *c), void *ctx)
{
	_cleanup_(carry_donep) struct om_carry c = { .ledger = j->ledger, .job = j->id, .day = day };
	struct section s;
	struct om_reading one;
	int r = 0;

	if (fold_find(j, day, &s))
		for (uint32_t at = 0; r == 0 && fold_register(j, &s, &at, &one);)
			r = om_carry_put(&c, &one);
	for (uint32_t i = j->first; r == 0 && i != NONE; i = reg_at(t, i)->next) {
		if (reg_at(t, i)->day != day || reg_at(t, i)->flags & REG_GHOST)
			continue;
		reg_to_reading(t, reg_at(t, i), &one);
		r = om_carry_put(&c, &one);
	}
	return r ?: fn(ctx, &c);
}

static int compare_days(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

/* The days of a job that are to be sealed, each once, ascending. */
static int days_to_seal(const struct om_totals *t, const struct job *j, uint32_t before_day,
			struct list *days)
{
	struct section s;
	size_t n = 0;
	int r = 0;

	days->count = 0;
	for (uint32_t i = j->first; r == 0 && i != NONE; i = reg_at(t, i)->next)
		if (is_to_seal(reg_at(t, i), before_day))
			r = list_push(days, reg_at(t, i)->day);
	for (uint32_t at = 0; r == 0 && fold_next(j, &at, &s);)
		if (s.is_owed)
			r = list_push(days, s.day);
	if (r || days->count == 0)
		return r;
	qsort(days->item, days->count, sizeof(*days->item), compare_days);
	for (size_t i = 0; i < days->count; i++)
		if (i == 0 || days->item[i] != days->item[n - 1])
			days->item[n++] = days->item[i];
	days->count = n;
	return 0;
}

int om_totals_seal(struct om_totals *t, uint32_t before_day, int (*fn)(void *ctx, const struct om_carry *c),
		   void *ctx)
{
	struct list days = { 0 };
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->jobs.count; i++) {
		const struct job *j = job_at(t, i);

		r = days_to_seal(t, j, before_day, &days);
		for (size_t n = 0; r == 0 && n < days.count; n++)
			r = seal_day(t, j, days.item[n], fn, ctx);
	}
	free(days.item);
	return r;
}
