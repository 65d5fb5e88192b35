// SPDX-License-Identifier: Apache-2.0
/* Since when a level is met: a duty's clock runs from that day, whenever somebody looks. */
#include <stdlib.h>

#include "../base/cleanup.h"
#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL

/* As of the end of that day, with what was declared by then. */
static bool is_met_on(const struct judgement *j, const struct regime *g, const struct regime_level *level,
		      const struct om_forecast_point *at)
{
	struct policy then = *j->p;
	struct om_subject_total total = *j->s->total;
	struct policy_subject subject = *j->s;
	struct verdict v = { .steps = NULL };

	then.now_ns = ((uint64_t)at->day + 1) * NS_PER_DAY - 1;
	total.training_low = at->low;
	total.training_high = total.training_ceiling = at->high;
	subject.total = &total;
	policy_verdict(&then, &subject, g, &v);
	return v.level && (level->lower ? v.low : v.high) >= regime_limit_figure(&v.limit, level->share_ppm);
}

int32_t policy_met_on(const struct judgement *j, const struct regime *g, const struct regime_level *level)
{
	_cleanup_free_ struct om_forecast_point *day = NULL;
	size_t count = 0;

	/* Days are of training as it is counted, not of what was executed. */
	if (!j->p->days || g->figure != REGIME_ALGORITHMIC || j->p->days(j->p->days_ctx, j->s, &day, &count))
		return INT32_MIN;
	for (size_t i = 0; i < count && day[i].day <= j->day; i++)
		if (is_met_on(j, g, level, &day[i]))
			return day[i].day;
	return INT32_MIN;
}
