// SPDX-License-Identifier: Apache-2.0
/* What parts of one subject tell of the same days, together. */
#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "totals.h"

int om_until_compare(const void *a, const void *b)
{
	uint32_t x = ((const struct om_until *)a)->day, y = ((const struct om_until *)b)->day;

	return (x > y) - (x < y);
}

void om_until_on(const struct om_subject_total *s, uint32_t day, struct om_until *ret)
{
	size_t low = 0, high = s->until_count;

	*ret = (struct om_until){ .day = day };
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->until[mid].day < day)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < s->until_count && s->until[low].day == day) {
		*ret = s->until[low];
		return;
	}
	if (s->first_day && s->first_day >= day && !s->is_older)
		return;
	ret->is_wide = true;
	ret->training_high = low < s->until_count ? s->until[low].training_high : s->training_high;
	if (low)
		ret->training_low = s->until[low - 1].training_low;
	if (ret->training_low > ret->training_high)
		ret->training_low = ret->training_high;
}

static void sum_on(const struct om_subject_total *const *part, size_t n, struct om_until *u)
{
	for (size_t i = 0; i < n; i++) {
		struct om_until told;

		om_until_on(part[i], u->day, &told);
		opcount_add_saturating(&u->training_low, told.training_low);
		opcount_add_saturating(&u->training_high, told.training_high);
		u->is_wide |= told.is_wide;
	}
}

int om_until_fold(const struct om_subject_total *const *part, size_t n, struct om_until **ret,
		  size_t *ret_count)
{
	_cleanup_free_ struct om_until *all = NULL;
	size_t count = 0, kept = 0;

	*ret = NULL;
	*ret_count = 0;
	for (size_t i = 0; i < n; i++)
		count += part[i]->until_count;
	if (!count)
		return 0;
	all = calloc(count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	count = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < part[i]->until_count; k++)
			all[count++].day = part[i]->until[k].day;
	qsort(all, count, sizeof(*all), om_until_compare);
	for (size_t i = 0; i < count; i++) {
		struct om_until u = { .day = all[i].day };

		if (kept && all[kept - 1].day == u.day)
			continue;
		sum_on(part, n, &u);
		all[kept++] = u;
	}
	*ret = TAKE_PTR(all);
	*ret_count = kept;
	return 0;
}
