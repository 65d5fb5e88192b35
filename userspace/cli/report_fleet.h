/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_REPORT_FLEET_H
#define OPMETER_CLI_REPORT_FLEET_H

/* Totals of a fleet for a report, from its API: every model's days of a period. */

#include <jansson.h>

#include "../core/report.h"
#include "api_client.h"

struct fleet_totals {
	struct om_report_total *item; /* strings are loans of `totals` */
	size_t count;
	json_t *totals;
	char fleet[96], as_of[64];
};
/* tenant NULL: all that the token may see. 0; -EINVAL, -EACCES, -EAGAIN, -EIO with *err; -ENOMEM. */
int fleet_totals_load(const struct api_client *c, const char *tenant, int32_t from_day, int32_t to_day,
		      struct fleet_totals *ret, struct error_text *err);
void fleet_totals_done(struct fleet_totals *t);

#endif
