// SPDX-License-Identifier: Apache-2.0
/*
 * What was trained on each day: the days of a subject's jobs, summed anew. Few ask: only
 * of subjects that may be about to meet a level.
 */
#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "totals_internal.h"

struct adding {
	uint32_t before;
	struct om_day *day; /* as they come */
	size_t count, room;
	bool is_failed;
};

static int compare_days(const void *x, const void *y)
{
	const struct om_day *a = x, *b = y;

	return a->day < b->day ? -1 : a->day > b->day;
}

size_t om_day_fold(struct om_day *day, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(day, n, sizeof(*day), compare_days);
	for (size_t i = 0; i < n; i++) {
		if (kept && day[kept - 1].day == day[i].day) {
			opcount_add_saturating(&day[kept - 1].training_low, day[i].training_low);
			opcount_add_saturating(&day[kept - 1].training_high, day[i].training_high);
		} else {
			day[kept++] = day[i];
		}
	}
	return kept;
}

/* Jobs have the same days for the most part: what is full is folded before it grows. */
static int make_room(struct adding *a)
{
	struct om_day *bigger;

	a->count = om_day_fold(a->day, a->count);
	if (2 * a->count < a->room)
		return 0;
	bigger = reallocarray(a->day, a->room ? 2 * a->room : 128, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	a->room = a->room ? 2 * a->room : 128;
	a->day = bigger;
	return 0;
}

static void add_one_day(void *ctx, uint32_t day, const struct sum *s)
{
	struct adding *a = ctx;

	if (day >= a->before || a->is_failed)
		return;
	if (a->count == a->room && make_room(a)) {
		a->is_failed = true;
		return;
	}
	a->day[a->count++] =
		(struct om_day){ day, s->figure[FIG_TRAINING_LOW], s->figure[FIG_TRAINING_HIGH] };
}

int days_series(struct om_totals *t, struct cell *const *cell, size_t n, uint32_t before, struct om_day **ret,
		size_t *ret_count)
{
	struct adding a = { .before = before };
	int r = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; r == 0 && k < cell[i]->members.count; k++)
			r = sum_each_day(t, cell[i]->members.item[k], cell[i], add_one_day, &a);
	if (r || a.is_failed) {
		free(a.day);
		return r ? r : -ENOMEM;
	}
	*ret_count = om_day_fold(a.day, a.count);
	*ret = a.day;
	return 0;
}
