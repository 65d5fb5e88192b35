// SPDX-License-Identifier: Apache-2.0
#include "exporter.h"

const char *om_topic_name(enum om_topic topic)
{
	static const char *const names[OM_TOPIC_END] = {
		[OM_TOPIC_READINGS] = "opmeter.readings.v1",
		[OM_TOPIC_ASSIGNMENTS] = "opmeter.assignments.v1",
		[OM_TOPIC_TOTALS] = "opmeter.totals.v1",
		[OM_TOPIC_ALERTS] = "opmeter.alerts.v1",
		[OM_TOPIC_ALERTS_SHADOW] = "opmeter.alerts.shadow.v1",
		[OM_TOPIC_CASES] = "opmeter.cases.v1",
	};

	return topic < OM_TOPIC_END ? names[topic] : "invalid";
}
