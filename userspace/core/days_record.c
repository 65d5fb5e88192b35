// SPDX-License-Identifier: Apache-2.0
#include "days_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "decimal.h"
#include "total_record_internal.h"

static const char *const kinds[] = { [OM_DAYS_TOLD] = "days", [OM_DAYS_ASK] = "ask" };

void om_days_done(struct om_days *d)
{
	json_decref(d->owned);
	free(d->day);
	*d = (struct om_days){ 0 };
}

static void days_donep(struct om_days *d)
{
	om_days_done(d);
}

int om_days_key(const char *fleet, uint32_t partition, enum om_days_kind kind,
		const struct om_subject_total *of, char out[OM_TOTAL_KEY_MAX])
{
	return total_key_of_kind(fleet, partition, kind == OM_DAYS_TOLD ? "days/" : "ask/", of, out);
}

int om_days_key_kind(const char *key, size_t len, enum om_days_kind *ret, size_t *ret_at)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i]);

		if (len <= n + 1 || memcmp(key, kinds[i], n) != 0 || key[n] != '/')
			continue;
		*ret = (enum om_days_kind)i;
		*ret_at = n + 1;
		return 0;
	}
	return 1;
}

static json_t *begin(const struct om_subject_total *of, uint32_t partition, enum om_days_kind kind)
{
	json_t *o = json_pack("{s:i,s:s,s:s}", "v", TOTAL_RECORD_VERSION, "group", kinds[kind], "of",
			      total_group_name(of->group));

	if (!o)
		return NULL;
	if (of->group == OM_GROUP_MODEL) {
		json_object_set_new(o, "tenant", json_string(of->tenant));
		json_object_set_new(o, "model", json_string(of->model));
	} else {
		json_object_set_new(o, "lineage", json_string(of->lineage));
	}
	json_object_set_new(o, "partition", json_integer(partition));
	return o;
}

static json_t *one_day(const struct om_day *d)
{
	char day[16];

	return json_pack("[s,o,o]", date_format((int32_t)d->day, day), decimal(d->training_low),
			 decimal(d->training_high));
}

char *om_days_encode(const struct om_subject_total *of, uint32_t partition, const struct om_day *day,
		     size_t count, size_t max)
{
	_cleanup_(json_decrefp) json_t *o = begin(of, partition, OM_DAYS_TOLD);
	json_t *all = json_array();
	size_t folded = count > max ? count - max : 0;

	for (size_t i = folded; o && i < count; i++) {
		struct om_day d = day[i];

		for (size_t k = 0; i == folded && k < folded; k++) {
			opcount_add_saturating(&d.training_low, day[k].training_low);
			opcount_add_saturating(&d.training_high, day[k].training_high);
		}
		if (json_array_append_new(all, one_day(&d))) {
			json_decref(all);
			return NULL;
		}
	}
	if (!o || !all) {
		json_decref(all);
		return NULL;
	}
	json_object_set_new(o, "days", all);
	if (folded)
		json_object_set_new(o, "folded", json_true());
	return json_dumps(o, JSON_COMPACT);
}

char *om_days_ask_encode(const struct om_subject_total *of, uint32_t partition)
{
	_cleanup_(json_decrefp) json_t *o = begin(of, partition, OM_DAYS_ASK);

	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static int take_of(const json_t *o, struct om_subject_total *of)
{
	const char *group = json_string_value(json_object_get(o, "of"));

	of->tenant = of->model = of->lineage = "";
	if (group && !strcmp(group, total_group_name(OM_GROUP_MODEL)))
		return total_take_name(o, "tenant", &of->tenant) ?: total_take_name(o, "model", &of->model);
	if (!group || strcmp(group, total_group_name(OM_GROUP_LINEAGE)) != 0)
		return -EBADMSG;
	of->group = OM_GROUP_LINEAGE;
	return total_take_name(o, "lineage", &of->lineage);
}

static int take_count(const json_t *v, opcount *ret)
{
	const char *s = json_string_value(v);

	if (!s || strspn(s, "0123456789") != strlen(s))
		return -EBADMSG;
	return opcount_parse(s, ret) ? -EBADMSG : 0;
}

static int take_days(const json_t *o, struct om_days *d)
{
	const json_t *all = json_object_get(o, "days"), *folded = json_object_get(o, "folded");
	int r = 0;

	if (!json_is_array(all) || json_array_size(all) > OM_DAYS_MAX || (folded && !json_is_true(folded)))
		return -EBADMSG;
	d->is_folded = folded != NULL;
	d->day = calloc(json_array_size(all) + 1, sizeof(*d->day));
	if (!d->day)
		return -ENOMEM;
	d->count = json_array_size(all);
	for (size_t i = 0; r == 0 && i < d->count; i++) {
		const json_t *one = json_array_get(all, i);
		struct om_day *day = &d->day[i];

		r = json_array_size(one) == 3 ? total_take_day(json_array_get(one, 0), &day->day) : -EBADMSG;
		r = r ?: take_count(json_array_get(one, 1), &day->training_low);
		r = r ?: take_count(json_array_get(one, 2), &day->training_high);
		if (r == 0 && (day->training_low > day->training_high || (i && day->day <= day[-1].day)))
			r = -EBADMSG;
	}
	return r;
}

int om_days_decode(const void *json, size_t len, enum om_days_kind kind, struct om_days *ret)
{
	_cleanup_(days_donep) struct om_days d = { 0 };
	json_t *o = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	const char *group = json_string_value(json_object_get(o, "group"));
	json_int_t version, partition;
	int r;

	d.owned = o;
	if (!json_is_object(o) || !json_is_integer(json_object_get(o, "v")))
		return -EBADMSG;
	version = json_integer_value(json_object_get(o, "v"));
	if (version > TOTAL_RECORD_VERSION)
		return -EPROTONOSUPPORT;
	partition = json_integer_value(json_object_get(o, "partition"));
	if (version < TOTAL_RECORD_VERSION || !json_is_integer(json_object_get(o, "partition")) ||
	    partition < 0 || partition > INT32_MAX || !group || strcmp(group, kinds[kind]) != 0)
		return -EBADMSG;
	d.partition = (uint32_t)partition;
	r = take_of(o, &d.of);
	if (r == 0 && kind == OM_DAYS_TOLD)
		r = take_days(o, &d);
	if (r)
		return r;
	*ret = d;
	d = (struct om_days){ 0 };
	return 0;
}
