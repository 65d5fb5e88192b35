// SPDX-License-Identifier: Apache-2.0
/*
 * Duties whose clock runs from the day on which a threshold's meeting is known (core/policy_known.c), and
 * forecasts (core/policy_forecast.c). Days
 * that are over do not change any more but by assignments, so this is asked when a UTC day has ended, and at
 * the beginning.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../core/history.h"
#include "agent_internal.h"

#define DAY_NS 86400000000000ULL

static int take_assignment(void *ctx, const struct om_entry *e)
{
	struct om_assignment as;

	if (!om_entry_assignment(e, &as))
		return 0;
	return history_assignment(ctx, &as);
}

static int take_reading(void *ctx, const struct om_reading *r)
{
	return history_reading(ctx, r);
}

static int no_day(void *ctx, uint32_t day)
{
	return 0;
}

static bool goes_by_days(const struct policy *p)
{
	const struct regimes *g = p->regimes;

	if (policy_least_forecast(p) != OPCOUNT_MAX)
		return true;
	for (size_t i = 0; i < regimes_count(g); i++)
		for (size_t k = 0; k < regimes_at(g, i)->notices; k++)
			if (regimes_at(g, i)->notice[k].when_known)
				return true;
	return false;
}

/* The ledger's days up to `until`, as they were. */
static int played(struct agent *a, uint32_t until, struct history **ret)
{
	_cleanup_(history_freep) struct history *h = history_new();
	int r;

	if (!h)
		return -ENOMEM;
	r = om_ledger_each_entry(a->ledger, 0, take_assignment, h);
	r = r ?: om_ledger_each_register(a->ledger, take_reading, h);
	r = r ?: history_play(h, until, no_day, NULL);
	if (r)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

int agent_days(void *ctx, const struct policy_subject *s, struct om_forecast_point **ret, size_t *ret_count)
{
	struct agent_days *d = ctx;
	const struct history_subject *h;
	int r = d->played ? 0 : played(d->agent, d->until, &d->played);

	*ret = NULL;
	*ret_count = 0;
	h = r ? NULL : history_find(d->played, s->name);
	if (!h)
		return r;
	*ret = calloc(h->point_count + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, h->points, h->point_count * sizeof(**ret));
	*ret_count = h->point_count;
	return 0;
}

int agent_duties(struct agent *a, const struct policy *p)
{
	_cleanup_(history_freep) struct history *h = NULL;
	uint64_t day = p->now_ns / DAY_NS;
	int r;

	if (a->duties_day == day || !goes_by_days(p))
		return 0;
	a->duties_day = day;
	r = played(a, (uint32_t)day - 1, &h);
	for (size_t i = 0; r == 0 && i < history_subjects(h); i++) {
		const struct history_subject *s = history_at(h, i);
		char name[POLICY_NAME_MAX];
		struct policy_subject subject;

		policy_subject_of(&s->total, name, &subject);
		r = policy_judge_known(p, &subject, s->points, s->point_count, agent_raise, a);
		r = r ?: policy_judge_forecast(p, &subject, s->points, s->point_count, agent_raise, a);
	}
	return r;
}
