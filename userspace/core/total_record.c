// SPDX-License-Identifier: Apache-2.0
#include "total_record.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "decimal.h"
#include "total_record_internal.h"

#define VERSION TOTAL_RECORD_VERSION
#define NAME_MAX_BYTES 128 /* with its end */
#define MEMBERS_MAX 100000

static const char *const group_names[] = { [OM_GROUP_MODEL] = "model", [OM_GROUP_LINEAGE] = "lineage" };

/* A name as one part of a key: no slash of its own may look like the one between parts. */
static size_t put_name(char *out, size_t n, const char *name)
{
	for (; *name && n + 4 < OM_TOTAL_KEY_MAX; name++) {
		unsigned char c = (unsigned char)*name;

		if (isascii(c) && (isalnum(c) || strchr("._-", c)))
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02x", c);
	}
	out[n] = '\0';
	return *name ? OM_TOTAL_KEY_MAX : n;
}

int om_total_key(const char *fleet, uint32_t partition, const struct om_subject_total *s,
		 char out[OM_TOTAL_KEY_MAX])
{
	return total_key_of_kind(fleet, partition, "", s, out);
}

int total_key_of_kind(const char *fleet, uint32_t partition, const char *kind,
		      const struct om_subject_total *s, char out[OM_TOTAL_KEY_MAX])
{
	size_t n = put_name(out, 0, fleet);

	if (n + 32 > OM_TOTAL_KEY_MAX)
		return -ENAMETOOLONG;
	n += (size_t)snprintf(out + n, 32, "/%u/%s%s/", partition, kind, group_names[s->group]);
	n = put_name(out, n, s->group == OM_GROUP_MODEL ? s->tenant : s->lineage);
	if (s->group == OM_GROUP_MODEL && n + 2 < OM_TOTAL_KEY_MAX) {
		out[n++] = '/';
		n = put_name(out, n, s->model);
	}
	return n < OM_TOTAL_KEY_MAX ? 0 : -ENAMETOOLONG;
}

static json_t *bounds(opcount low, opcount high, opcount ceiling)
{
	return json_pack("{s:o,s:o,s:o}", "low", decimal(low), "high", decimal(high), "ceiling",
			 decimal(ceiling));
}

static json_t *members_of(const struct om_subject_total *s)
{
	json_t *all = json_array();

	for (size_t i = 0; i < s->member_count; i++) {
		const struct om_member *m = &s->members[i];

		json_array_append_new(
			all, json_pack("{s:s,s:o,s:o}", "tenant", m->tenant, "training",
				       bounds(m->training_low, m->training_high, m->training_ceiling),
				       "registers", decimal(m->registers)));
	}
	return all;
}

static json_t *meters_of(uint32_t meters)
{
	json_t *all = json_array();

	for (uint8_t m = 1; m < OM_METER_END; m++)
		if (meters >> m & 1)
			json_array_append_new(all, json_string(om_meter_name(m)));
	return all;
}

/* Of a sum that has more than a record has room for, the latest; none of which a part does not tell. */
static void put_until(json_t *o, const struct om_subject_total *s)
{
	json_t *all = json_array();
	size_t n = 0;

	for (size_t i = 0; i < s->until_count; i++)
		n += !s->until[i].is_wide;
	for (size_t i = 0; i < s->until_count; i++) {
		const struct om_until *u = &s->until[i];
		char day[16];

		if (u->is_wide || n-- > OM_UNTIL_MAX)
			continue;
		json_array_append_new(all,
				      json_pack("{s:s,s:{s:o,s:o}}", "day", date_format((int32_t)u->day, day),
						"training", "low", decimal(u->training_low), "high",
						decimal(u->training_high)));
	}
	if (json_array_size(all))
		json_object_set_new(o, "until", all);
	else
		json_decref(all);
}

/* What version 3 brought. */
static void put_figures_3(json_t *o, const struct om_subject_total *s)
{
	char day[16];

	json_object_set_new(
		o, "executed",
		json_pack("{s:o,s:o}", "low", decimal(s->executed_low), "high", decimal(s->executed_high)));
	json_object_set_new(o, "suspected", decimal(s->suspected));
	json_object_set_new(o, "gap_days", decimal(s->gap_days));
	json_object_set_new(o, "first_day",
			    s->first_day ? json_string(date_format((int32_t)s->first_day, day))
					 : json_null());
	if (s->until_count)
		put_until(o, s);
	if (s->is_older)
		json_object_set_new(o, "older", json_true());
}

json_t *om_total_json(const struct om_subject_total *s, int64_t partition)
{
	char as_of[OM_TIME_STRLEN];
	json_t *o = json_pack("{s:i,s:s}", "v", VERSION, "group", group_names[s->group]);

	if (!o)
		return NULL;
	if (s->group == OM_GROUP_MODEL) {
		json_object_set_new(o, "tenant", json_string(s->tenant));
		json_object_set_new(o, "model", json_string(s->model));
	} else {
		json_object_set_new(o, "lineage", json_string(s->lineage));
		json_object_set_new(o, "members", members_of(s));
		if (s->members_cut)
			json_object_set_new(o, "members_cut", decimal(s->members_cut));
	}
	if (partition >= 0)
		json_object_set_new(o, "partition", json_integer(partition));
	json_object_set_new(o, "training", bounds(s->training_low, s->training_high, s->training_ceiling));
	json_object_set_new(o, "all", bounds(s->all_low, s->all_high, s->all_ceiling));
	json_object_set_new(o, "contradicted", decimal(s->contradicted));
	json_object_set_new(o, "unattributed", decimal(s->unattributed));
	json_object_set_new(o, "bounded", json_boolean(s->is_bounded));
	json_object_set_new(o, "attempted", json_boolean(s->attempted));
	json_object_set_new(o, "saturated", json_boolean(s->is_saturated));
	json_object_set_new(o, "losses", decimal(s->losses));
	json_object_set_new(o, "calls", decimal(s->calls));
	json_object_set_new(o, "launches", decimal(s->launches));
	json_object_set_new(o, "meters", meters_of(s->meters));
	json_object_set_new(o, "registers", decimal(s->registers));
	put_figures_3(o, s);
	json_object_set_new(o, "as_of", json_string(om_time_format(s->as_of_ns, as_of)));
	return o;
}

char *om_total_encode(const struct om_subject_total *s, uint32_t partition)
{
	_cleanup_(json_decrefp) json_t *o = om_total_json(s, partition);

	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

void om_total_record_done(struct om_total_record *r)
{
	json_decref(r->owned);
	free((void *)r->total.members);
	free((void *)r->total.until);
	*r = (struct om_total_record){ 0 };
}

static void record_donep(struct om_total_record *r)
{
	om_total_record_done(r);
}

int total_take_opcount(const json_t *o, const char *key, opcount *ret)
{
	const char *s = json_string_value(json_object_get(o, key));

	/* Only digits: the parser also knows the 1e26 of configuration files. */
	if (!s || strspn(s, "0123456789") != strlen(s))
		return -EBADMSG;
	return opcount_parse(s, ret) ? -EBADMSG : 0;
}

static int take_u64(const json_t *o, const char *key, uint64_t *ret)
{
	opcount v;

	if (total_take_opcount(o, key, &v) || v > UINT64_MAX)
		return -EBADMSG;
	*ret = (uint64_t)v;
	return 0;
}

static int take_bool(const json_t *o, const char *key, bool *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = json_is_true(v);
	return json_is_boolean(v) ? 0 : -EBADMSG;
}

int total_take_name(const json_t *o, const char *key, const char **ret)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (!s || !*s || strlen(s) >= NAME_MAX_BYTES)
		return -EBADMSG;
	*ret = s;
	return 0;
}

static int take_bounds(const json_t *o, const char *key, opcount *low, opcount *high, opcount *ceiling)
{
	const json_t *b = json_object_get(o, key);
	int r = total_take_opcount(b, "low", low) ?: total_take_opcount(b, "high", high);

	r = r ?: total_take_opcount(b, "ceiling", ceiling);
	return r ?: *low > *high ? -EBADMSG : 0;
}

static int take_members(const json_t *o, struct om_subject_total *s)
{
	const json_t *all = json_object_get(o, "members");
	struct om_member *m;
	int r = 0;

	if (!json_is_array(all) || json_array_size(all) > MEMBERS_MAX)
		return -EBADMSG;
	m = calloc(json_array_size(all) + 1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	s->members = m;
	s->member_count = json_array_size(all);
	for (size_t i = 0; r == 0 && i < s->member_count; i++) {
		const json_t *one = json_array_get(all, i);

		r = total_take_name(one, "tenant", &m[i].tenant);
		r = r
			    ?: take_bounds(one, "training", &m[i].training_low, &m[i].training_high,
					   &m[i].training_ceiling);
		r = r ?: take_u64(one, "registers", &m[i].registers);
	}
	return r;
}

static int take_meters(const json_t *o, uint32_t *ret)
{
	const json_t *all = json_object_get(o, "meters"), *one;
	size_t i;

	if (!json_is_array(all))
		return -EBADMSG;
	json_array_foreach(all, i, one)
	{
		uint8_t meter;

		if (!json_is_string(one) || om_meter_parse(json_string_value(one), &meter))
			return -EBADMSG;
		*ret |= 1u << meter;
	}
	return 0;
}

const char *total_group_name(enum om_group group)
{
	return group_names[group];
}

static int take_subject(const json_t *o, int version, struct om_subject_total *s)
{
	const char *group = json_string_value(json_object_get(o, "group"));

	s->tenant = s->model = s->lineage = "";
	if (version == 1 || (group && !strcmp(group, group_names[OM_GROUP_MODEL])))
		return total_take_name(o, "tenant", &s->tenant) ?: total_take_name(o, "model", &s->model);
	if (!group || strcmp(group, group_names[OM_GROUP_LINEAGE]))
		return -EBADMSG;
	s->group = OM_GROUP_LINEAGE;
	if (json_object_get(o, "members_cut") && take_u64(o, "members_cut", &s->members_cut))
		return -EBADMSG;
	return total_take_name(o, "lineage", &s->lineage) ?: take_members(o, s);
}

static int take_figures(const json_t *o, struct om_subject_total *s)
{
	const char *as_of = json_string_value(json_object_get(o, "as_of"));
	int r = take_bounds(o, "training", &s->training_low, &s->training_high, &s->training_ceiling);

	r = r ?: take_bounds(o, "all", &s->all_low, &s->all_high, &s->all_ceiling);
	r = r ?: total_take_opcount(o, "contradicted", &s->contradicted);
	r = r ?: total_take_opcount(o, "unattributed", &s->unattributed);
	r = r ?: take_bool(o, "bounded", &s->is_bounded);
	r = r ?: take_bool(o, "attempted", &s->attempted);
	r = r ?: take_u64(o, "losses", &s->losses);
	r = r ?: take_u64(o, "registers", &s->registers);
	return r ?: as_of && om_time_parse(as_of, &s->as_of_ns) == 0 ? 0 : -EBADMSG;
}

/* What version 2 brought. */
static int take_figures_2(const json_t *o, struct om_subject_total *s)
{
	int r = take_bool(o, "saturated", &s->is_saturated);

	r = r ?: take_u64(o, "calls", &s->calls);
	r = r ?: take_u64(o, "launches", &s->launches);
	return r ?: take_meters(o, &s->meters);
}

int total_take_day(const json_t *v, uint32_t *ret)
{
	int32_t day;

	if (!json_is_string(v) || date_parse(json_string_value(v), &day) || day <= 0)
		return -EBADMSG;
	*ret = (uint32_t)day;
	return 0;
}

int total_take_range(const json_t *b, opcount *low, opcount *high)
{
	int r = total_take_opcount(b, "low", low) ?: total_take_opcount(b, "high", high);

	return r ?: *low > *high ? -EBADMSG : 0;
}

static int take_until(const json_t *o, struct om_subject_total *s)
{
	const json_t *all = json_object_get(o, "until");
	struct om_until *u;
	int r = 0;

	if (!all)
		return 0;
	if (!json_is_array(all) || json_array_size(all) == 0 || json_array_size(all) > OM_UNTIL_MAX)
		return -EBADMSG;
	u = calloc(json_array_size(all), sizeof(*u));
	if (!u)
		return -ENOMEM;
	s->until = u;
	s->until_count = json_array_size(all);
	for (size_t i = 0; r == 0 && i < s->until_count; i++) {
		const json_t *one = json_array_get(all, i);

		r = total_take_day(json_object_get(one, "day"), &u[i].day);
		r = r
			    ?: total_take_range(json_object_get(one, "training"), &u[i].training_low,
						&u[i].training_high);
		if (r == 0 && i && u[i].day <= u[i - 1].day)
			r = -EBADMSG;
	}
	return r;
}

static int take_figures_3(const json_t *o, struct om_subject_total *s)
{
	const json_t *first = json_object_get(o, "first_day");
	int r = total_take_range(json_object_get(o, "executed"), &s->executed_low, &s->executed_high);

	r = r ?: total_take_opcount(o, "suspected", &s->suspected);
	r = r ?: take_u64(o, "gap_days", &s->gap_days);
	if (r == 0 && json_object_get(o, "older"))
		r = take_bool(o, "older", &s->is_older);
	if (r == 0 && !json_is_null(first))
		r = total_take_day(first, &s->first_day);
	return r ?: take_until(o, s);
}

/* What an earlier version does not tell is not known: what was executed is not less than nothing. */
static void lack_figures_3(struct om_subject_total *s)
{
	s->is_older = true;
	s->executed_high = s->training_high;
}

int om_total_decode(const void *json, size_t len, struct om_total_record *ret)
{
	_cleanup_(record_donep) struct om_total_record rec = { 0 };
	json_t *o = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	json_int_t version, partition;
	int r;

	rec.owned = o;
	if (!json_is_object(o) || !json_is_integer(json_object_get(o, "v")))
		return -EBADMSG;
	version = json_integer_value(json_object_get(o, "v"));
	partition = json_integer_value(json_object_get(o, "partition"));
	if (version > VERSION)
		return -EPROTONOSUPPORT;
	if (version < 1 || !json_is_integer(json_object_get(o, "partition")) || partition < 0 ||
	    partition > INT32_MAX)
		return -EBADMSG;
	rec.partition = (uint32_t)partition;
	r = take_subject(o, (int)version, &rec.total) ?: take_figures(o, &rec.total);
	if (r == 0 && version > 1)
		r = take_figures_2(o, &rec.total);
	if (r == 0 && version > 2)
		r = take_figures_3(o, &rec.total);
	else if (r == 0)
		lack_figures_3(&rec.total);
	if (r)
		return r;
	*ret = rec;
	rec = (struct om_total_record){ 0 };
	return 0;
}
