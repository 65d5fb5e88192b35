// SPDX-License-Identifier: Apache-2.0
/*
 * A whole set of totals judged. What is observed here of a model that another one names
 * as its parent or generator is looked up among the totals themselves.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "policy_internal.h"

struct observed {
	char *name;
	opcount low, high;
};

struct all {
	struct policy policy;
	const struct policy_totals *totals;
	opcount least_low, least_high; /* no clock of a duty can run below both */
	opcount least_ahead;	       /* no forecast is told below this upper bound */
	int (*emit)(void *ctx, const struct alert *a);
	void *ctx;
	struct kin *kin;
	struct observed *item;
	size_t count, room;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct observed *)a)->name, ((const struct observed *)b)->name);
}

static int find_observed(void *ctx, const char *subject, opcount *low, opcount *high)
{
	const struct all *a = ctx;
	struct observed key = { .name = (char *)subject };
	const struct observed *o =
		a->count ? bsearch(&key, a->item, a->count, sizeof(key), compare_names) : NULL;

	if (!o)
		return 1;
	*low = o->low;
	*high = o->high;
	return 0;
}

/* Names are asked for only where something is declared. */
static int remember(struct all *a, const struct om_subject_total *s)
{
	char name[POLICY_NAME_MAX];
	struct policy_subject subject;

	if (!declarations_count(a->policy.declarations))
		return 0;
	if (a->count == a->room) {
		size_t room = a->room ? 2 * a->room : 256;
		struct observed *more = reallocarray(a->item, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		a->item = more;
		a->room = room;
	}
	policy_subject_of(s, name, &subject);
	a->item[a->count] = (struct observed){ strdup(name), s->training_low, s->training_high };
	return a->item[a->count].name ? (a->count++, 0) : -ENOMEM;
}

static int put(void *ctx, const struct om_subject_total *s)
{
	struct all *a = ctx;
	int r = remember(a, s);

	return r ?: kin_put(a->kin, &a->policy, s);
}

/* What goes by a subject's days: duties that begin when a level is met, or when it is known that it will be,
 * and forecasts. */
static int judge_known(struct all *a, const struct om_subject_total *s)
{
	_cleanup_free_ struct om_forecast_point *points = NULL;
	struct policy_subject subject;
	char name[POLICY_NAME_MAX];
	bool has_clock = s->training_low >= a->least_low || s->training_high >= a->least_high;
	size_t count = 0;
	int r;

	if (!a->totals->points ||
	    (a->least_low == OPCOUNT_MAX && a->least_high == OPCOUNT_MAX && a->least_ahead == OPCOUNT_MAX))
		return 0;
	if (!has_clock && s->training_high && declarations_count(a->policy.declarations)) {
		policy_subject_of(s, name, &subject);
		has_clock = declarations_concern(a->policy.declarations, name);
	}
	if (!has_clock && s->training_high < a->least_ahead)
		return 0;
	r = a->totals->points(a->totals->ctx, s, &points, &count);
	if (r || !points)
		return r;
	kin_subject_of(a->kin, s, name, &subject);
	/* Clocks are looked for day by day, forecasts on the last one only: of those there are many more. */
	r = has_clock ? policy_judge_known(&a->policy, &subject, points, count, a->emit, a->ctx) : 0;
	return r ?: policy_judge_forecast(&a->policy, &subject, points, count, a->emit, a->ctx);
}

static int judge(void *ctx, const struct om_subject_total *s)
{
	struct all *a = ctx;
	int r = kin_judge(a->kin, &a->policy, s, a->emit, a->ctx);

	return r ?: judge_known(a, s);
}

int policy_judge_all(const struct policy *p, const struct policy_totals *t,
		     int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	_cleanup_(kin_freep) struct kin *kin = kin_new();
	struct all a = { .policy = *p, .totals = t, .emit = emit, .ctx = ctx, .kin = kin };
	int r = kin ? t->each(t->ctx, OM_GROUP_MODEL, put, &a) : -ENOMEM;

	policy_least_known(p, &a.least_low, &a.least_high);
	a.least_ahead = policy_least_forecast(p);
	if (r == 0 && declarations_count(p->declarations))
		r = t->each(t->ctx, OM_GROUP_LINEAGE, put, &a);
	if (a.count)
		qsort(a.item, a.count, sizeof(*a.item), compare_names);
	a.policy.observed = find_observed;
	a.policy.observed_ctx = &a;
	r = r ?: t->each(t->ctx, OM_GROUP_MODEL, judge, &a);
	r = r ?: t->each(t->ctx, OM_GROUP_LINEAGE, judge, &a);
	r = r ?: kin_judge_families(kin, &a.policy, emit, ctx);
	for (size_t i = 0; i < a.count; i++)
		free(a.item[i].name);
	free(a.item);
	return r;
}
