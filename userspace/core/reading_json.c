// SPDX-License-Identifier: Apache-2.0
#include "reading_json.h"

#include <stdio.h>

#include "../base/yaml.h"
#include "assignment.h"
#include "decimal.h"

static json_t *time_or_null(uint64_t ns)
{
	char buf[OM_TIME_STRLEN];

	return ns ? json_string(om_time_format(ns, buf)) : json_null();
}

static json_t *losses(const struct om_value *v)
{
	json_t *o = json_object();

	for (int i = 0; i < OM_LOSS_END; i++)
		if (v->lost[i])
			json_object_set_new(o, om_loss_name((enum om_loss)i), decimal(v->lost[i]));
	return o;
}

json_t *om_reading_to_json(const struct om_reading *r)
{
	const struct om_value *v = &r->value;
	char ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], day[16], inventory[17];

	snprintf(inventory, sizeof(inventory), "%016llx", (unsigned long long)r->node.inventory);
	return json_pack(
		"{s:i,s:s,s:s,s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:f,s:f,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,"
		"s:{s:o,s:o,s:i,s:s}}",
		"v", 1, "ledger", om_id_format(&r->key.ledger, ledger), "job", om_id_format(&r->key.job, job),
		"day", date_format((int32_t)r->key.day, day), "format", om_format_name(r->key.format),
		"meter", om_meter_name(r->key.meter), "attempted", r->attempted, "sequence",
		decimal(r->sequence), "exact", decimal(v->exact), "low", decimal(v->low), "high",
		decimal(v->high), "mean", v->mean, "variance", v->variance, "calibration",
		decimal(v->calibration), "calls", decimal(v->calls), "device_time_ns",
		decimal(v->device_time_ns), "nested", decimal(v->nested), "duplicates",
		decimal(v->duplicates), "overflow_calls", decimal(v->overflow_calls), "lost", losses(v),
		"from", time_or_null(v->from_ns), "to", time_or_null(v->to_ns), "node", "ledger_start",
		time_or_null(r->node.ledger_start_ns), "peak_ops_per_s", decimal(r->node.peak_ops_per_s),
		"devices", (int)r->node.device_count, "inventory", inventory);
}
