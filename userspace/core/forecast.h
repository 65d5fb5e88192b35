/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_FORECAST_H
#define OPMETER_CORE_FORECAST_H

/*
 * When a total will meet a threshold, if it goes on as it went: a date with an
 * interval. Rates are mean operations a day over windows that end today (7, 14, 28 and
 * 56 days, and since the first operation), pauses and restarts included. The likely
 * rate is the windows' median; the fast one the fastest window times a factor, the
 * slow one the slowest divided by it. The factor is 3 in the first two weeks, 2.5 in the
 * first four, then 2: how far rates of real tenants moved, docs/forecast.md, which has
 * the share of back-tests whose date lay inside.
 *
 *   earliest = today + (threshold - high) / fast
 *   likely   = today + (threshold - low) / likely rate
 *   latest   = today + (threshold - low) / slow
 *
 * each rounded up to days. What a tenant has decided and not yet begun is not in it: a
 * forecast is a warning, never a verdict. Pure; exact integers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/opcount.h"

/* A total at the end of a UTC day (days since 1970-01-01). */
struct om_forecast_point {
	int32_t day;
	opcount low, high; /* operations so far: its bounds */
};

enum om_forecast_state {
	OM_FORECAST_NONE,    /* no operation yet */
	OM_FORECAST_MET,     /* the lower bound meets the threshold already */
	OM_FORECAST_WILL,    /* at the rates seen, in the interval */
	OM_FORECAST_FAR,     /* not within 1,000,000 days, even at the fast rate */
	OM_FORECAST_RESTING, /* nothing in the last 56 days: no date at that rate */
};
const char *om_forecast_state_name(enum om_forecast_state s);

#define OM_FORECAST_NEVER INT32_MAX /* a date beyond 1,000,000 days, or none at that rate */

struct om_forecast {
	enum om_forecast_state state;
	int32_t earliest, likely, latest; /* UTC days; OM_FORECAST_NEVER */
	opcount fast, likely_rate, slow;  /* operations a day */
	uint32_t days;			  /* since the first operation, today included */
};

/*
 * `points` ascend by day, one a day at most, totals that never fall (a later one that is lower
 * counts as the one before); a day without a point is one without operations. `today` is the day
 * of the last point, or later. Whoever compares with `>` passes the threshold plus one.
 */
void om_forecast(const struct om_forecast_point *points, size_t count, int32_t today, opcount threshold,
		 struct om_forecast *ret);

/* True if a notice is due: met, or the earliest date within so many days (90: data/regimes). */
bool om_forecast_is_due(const struct om_forecast *f, int32_t today, uint32_t horizon_days);

#endif
