/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_ALERT_H
#define OPMETER_CORE_ALERT_H

/* Alerts and case records as CloudEvents 1.0, structured JSON (docs/formats.md, docs/alerts.md). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "register.h"

enum alert_type {
	ALERT_LEVEL,
	ALERT_OWNER,
	ALERT_DATA,
	ALERT_CASE,
	ALERT_HEARTBEAT,
	ALERT_DUTY,
	ALERT_FORECAST
};
const char *alert_type_name(enum alert_type t); /* "opmeter.alert.level.v1" ... */
/* -EINVAL if the name is none of ours. */
int alert_type_parse(const char *name, enum alert_type *ret);

struct alert {
	enum alert_type type;
	struct om_id id;
	const char *source;  /* "/opmeter/<ledger id or fleet name>" */
	const char *subject; /* "tenant/model" */
	uint64_t time_ns;
	bool shadow;	    /* goes to the shadow topic */
	const char *data;   /* a compact JSON object; a loan of whoever raises it */
	char sentence[600]; /* what it says, for people */
};

/* The id of a finding: the same from any instance, before and after a restart.
 * `level` is the level's name or the ownership version. */
void alert_make_id(enum alert_type t, const char *source, const char *regime, const char *version,
		   const char *subject, const char *level, struct om_id *ret);

/* The whole event as one line of JSON, malloc'ed. NULL: out of memory, or data is in no braces. The data
 * stand in it as they are: they come from our own writers, never from outside. */
char *alert_encode(const struct alert *a);

#endif
