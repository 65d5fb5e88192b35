// SPDX-License-Identifier: Apache-2.0
/* What parts of one subject tell of the same days, together. */
#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "totals.h"

static int compare_days(const void *a, const void *b)
{
	uint32_t x = ((const struct om_until *)a)->day, y = ((const struct om_until *)b)->day;

	return (x > y) - (x < y);
}

static const struct om_until *find(const struct om_subject_total *s, uint32_t day)
{
	const struct om_until key = { .day = day };

	return s->until_count ? bsearch(&key, s->until, s->until_count, sizeof(key), compare_days) : NULL;
}

static void add_saturating(opcount *to, opcount v)
{
	if (opcount_add(*to, v, to))
		*to = OPCOUNT_MAX;
}

/* False: some part does not tell, and may have begun before. */
static bool sum_on(const struct om_subject_total *const *part, size_t n, struct om_until *u)
{
	u->training_low = u->training_high = 0;
	for (size_t i = 0; i < n; i++) {
		const struct om_until *told = find(part[i], u->day);

		if (!told && !(part[i]->first_day && part[i]->first_day >= u->day && !part[i]->is_older))
			return false;
		if (told) {
			add_saturating(&u->training_low, told->training_low);
			add_saturating(&u->training_high, told->training_high);
		}
	}
	return true;
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
	qsort(all, count, sizeof(*all), compare_days);
	for (size_t i = 0; i < count && kept < OM_UNTIL_MAX; i++) {
		struct om_until u = { .day = all[i].day };

		if ((i == 0 || all[i].day != all[i - 1].day) && sum_on(part, n, &u))
			all[kept++] = u;
	}
	*ret = TAKE_PTR(all);
	*ret_count = kept;
	return 0;
}
