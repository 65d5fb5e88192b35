// SPDX-License-Identifier: Apache-2.0
#include "alert.h"

#include <errno.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"
#include "../base/json_out.h"
#include "assignment.h"

static const char *const type_names[] = {
	[ALERT_LEVEL] = "opmeter.alert.level.v1",	[ALERT_OWNER] = "opmeter.alert.owner.v1",
	[ALERT_DATA] = "opmeter.alert.data.v1",		[ALERT_CASE] = "opmeter.case.v1",
	[ALERT_HEARTBEAT] = "opmeter.heartbeat.v1",	[ALERT_DUTY] = "opmeter.alert.duty.v1",
	[ALERT_FORECAST] = "opmeter.alert.forecast.v1",
};

const char *alert_type_name(enum alert_type t)
{
	return type_names[t];
}

int alert_type_parse(const char *name, enum alert_type *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++) {
		if (!strcmp(type_names[i], name)) {
			*ret = (enum alert_type)i;
			return 0;
		}
	}
	return -EINVAL;
}

void alert_make_id(enum alert_type t, const char *source, const char *regime, const char *version,
		   const char *subject, const char *level, struct om_id *ret)
{
	const char *const parts[] = {
		"opmeter-alert-v1", type_names[t], source, regime, version, subject, level
	};
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		crypto_hash_sha256_update(&s, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
	crypto_hash_sha256_final(&s, hash);
	memcpy(ret, hash, sizeof(*ret));
}

char *alert_encode(const struct alert *a)
{
	char id[OM_ID_STRLEN], time[OM_TIME_STRLEN];
	size_t len = strlen(a->data);
	struct json_out o = { .text = NULL };
	char *text;

	if (len < 2 || a->data[0] != '{' || a->data[len - 1] != '}')
		return NULL;
	json_out_open(&o, '{');
	json_out_member(&o, "specversion", "1.0");
	json_out_member(&o, "id", om_id_format(&a->id, id));
	json_out_member(&o, "source", a->source);
	json_out_member(&o, "type", type_names[a->type]);
	json_out_member(&o, "subject", a->subject);
	json_out_member(&o, "time", om_time_format(a->time_ns, time));
	json_out_member(&o, "datacontenttype", "application/json");
	json_out_key(&o, "data");
	json_out_raw(&o, a->data, len);
	json_out_close(&o, '}');
	text = json_out_take(&o);
	json_out_free(&o);
	return text;
}
