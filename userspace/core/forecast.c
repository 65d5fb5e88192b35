// SPDX-License-Identifier: Apache-2.0
#include "forecast.h"

#include <string.h>

#define WINDOWS_MAX 5
#define DAYS_MAX 1000000

static const int32_t windows[] = { 7, 14, 28, 56 };

const char *om_forecast_state_name(enum om_forecast_state s)
{
	static const char *const names[] = { "none", "met", "will-be-met", "far", "resting" };

	return names[s];
}

/* The total at the end of a day. `points` before `count` end on or before it from some index on. */
static struct om_forecast_point at_day(const struct om_forecast_point *points, size_t count, int32_t day)
{
	struct om_forecast_point p = { .day = day };

	for (size_t i = count; i-- > 0;) {
		if (points[i].day > day)
			continue;
		p.low = points[i].low;
		p.high = points[i].high;
		break;
	}
	return p;
}

static opcount grown(opcount now, opcount before)
{
	return now > before ? now - before : 0;
}

/* Days until `left` is done at `rate` a day, from today on. */
static int32_t date_at(int32_t today, opcount left, opcount rate)
{
	opcount days;

	if (!rate)
		return OM_FORECAST_NEVER;
	days = left / rate + (left % rate != 0);
	return days > DAYS_MAX ? OM_FORECAST_NEVER : today + (int32_t)days;
}

static void sort(opcount *v, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0 && v[k] < v[k - 1]; k--) {
			opcount t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
}

/* Rates by window, ascending. The upper bound for fast, the lower one for slow. */
static size_t rates(const struct om_forecast_point *points, size_t count, int32_t today, int32_t days,
		    opcount low[WINDOWS_MAX], opcount high[WINDOWS_MAX])
{
	struct om_forecast_point now = at_day(points, count, today);
	size_t n = 0;

	for (size_t i = 0; i <= sizeof(windows) / sizeof(windows[0]); i++) {
		bool is_all = i == sizeof(windows) / sizeof(windows[0]);
		int32_t w = is_all ? days : windows[i];
		struct om_forecast_point before;

		if (w > days)
			continue;
		before = at_day(points, count, today - w);
		low[n] = grown(now.low, before.low) / (uint32_t)w;
		high[n++] = grown(now.high, before.high) / (uint32_t)w;
	}
	sort(low, n);
	sort(high, n);
	return n;
}

/* In tenths. */
static uint64_t factor(uint32_t days)
{
	return days <= 14 ? 30 : days <= 28 ? 25 : 20;
}

static bool is_first_use(const struct om_forecast_point *p)
{
	return p->low || p->high;
}

void om_forecast(const struct om_forecast_point *points, size_t count, int32_t today, opcount threshold,
		 struct om_forecast *ret)
{
	opcount low[WINDOWS_MAX], high[WINDOWS_MAX];
	struct om_forecast_point now;
	size_t n, first = 0;

	*ret = (struct om_forecast){
		OM_FORECAST_NONE, OM_FORECAST_NEVER, OM_FORECAST_NEVER, OM_FORECAST_NEVER, 0, 0, 0, 0
	};
	while (first < count && !is_first_use(&points[first]))
		first++;
	if (first == count || points[first].day > today)
		return;
	ret->days = (uint32_t)(today - points[first].day) + 1;
	now = at_day(points, count, today);
	if (now.low >= threshold) {
		ret->state = OM_FORECAST_MET;
		ret->earliest = ret->likely = ret->latest = today;
		return;
	}
	n = rates(points, count, today, (int32_t)ret->days, low, high);
	if (opcount_muldiv(high[n - 1], factor(ret->days), 10, &ret->fast))
		ret->fast = OPCOUNT_MAX;
	ret->likely_rate = low[n / 2];
	opcount_muldiv(low[0], 10, factor(ret->days), &ret->slow);
	ret->earliest = date_at(today, grown(threshold, now.high), ret->fast);
	ret->likely = date_at(today, threshold - now.low, ret->likely_rate);
	ret->latest = date_at(today, threshold - now.low, ret->slow);
	if (ret->days > 56 && !grown(now.high, at_day(points, count, today - 56).high))
		ret->state = OM_FORECAST_RESTING;
	else
		ret->state = ret->earliest == OM_FORECAST_NEVER ? OM_FORECAST_FAR : OM_FORECAST_WILL;
}

bool om_forecast_is_due(const struct om_forecast *f, int32_t today, uint32_t horizon_days)
{
	if (f->state == OM_FORECAST_MET)
		return true;
	return f->state == OM_FORECAST_WILL && f->earliest != OM_FORECAST_NEVER &&
	       (int64_t)f->earliest - today <= (int64_t)horizon_days;
}
