// SPDX-License-Identifier: Apache-2.0
#include "forecast_json.h"

#include <errno.h>

#include "../base/yaml.h"
#include "decimal.h"

static json_t *day_json(int32_t day)
{
	char buf[16];

	if (day == OM_FORECAST_NEVER)
		return json_null();
	date_format(day, buf);
	return json_string(buf);
}

int om_forecast_json(json_t *o, const struct regime *g, const struct om_forecast_point *points, size_t count,
		     int32_t today, uint32_t horizon_days)
{
	struct regime_limit limit = regime_limit_of(g);
	opcount threshold = regime_limit_figure(&limit, 1000000);
	const struct om_forecast_point *now = count ? &points[count - 1] : NULL;
	struct om_forecast f;
	json_t *row;
	int r;

	if (g->kind != REGIME_THRESHOLD || g->threshold_missing || !regime_holds_on(g, today) || !now)
		return 1;
	om_forecast(points, count, today, threshold, &f);
	if (f.state == OM_FORECAST_NONE)
		return 1;
	row = json_pack("{s:s,s:s,s:o,s:{s:o,s:o},s:s,s:o,s:o,s:o,s:{s:o,s:o,s:o},s:i,s:b}", "regime", g->id,
			"version", g->version, "threshold", decimal(threshold), "observed", "low",
			decimal(now->low), "high", decimal(now->high), "state",
			om_forecast_state_name(f.state), "earliest", day_json(f.earliest), "likely",
			day_json(f.likely), "latest", day_json(f.latest), "operations_per_day", "fast",
			decimal(f.fast), "likely", decimal(f.likely_rate), "slow", decimal(f.slow), "days",
			(int)f.days, "notice_due", om_forecast_is_due(&f, today, horizon_days));
	if (!row)
		return -ENOMEM;
	r = json_object_update(o, row);
	json_decref(row);
	return r ? -ENOMEM : 0;
}
