/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_FORECAST_JSON_H
#define OPMETER_CORE_FORECAST_JSON_H

/* One threshold's forecast as JSON: what `opmeter forecast --json` prints and the HTTP API answers. */

#include <jansson.h>

#include "forecast.h"
#include "regime.h"

/* A subject's row for one regime, forecast from its points; the names of the subject are in `o` already.
 * 0; 1: the regime has no threshold that holds today, or the subject has no operation: nothing was put in;
 * -ENOMEM. */
int om_forecast_json(json_t *o, const struct regime *g, const struct om_forecast_point *points, size_t count,
		     int32_t today, uint32_t horizon_days);

#endif
