// SPDX-License-Identifier: Apache-2.0
#include "assignment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"

#define VERSION 1
#define PPM 1000000u

static const char *const kind_names[OM_ASSIGN_END] = { "tenant", "phase", "model", "lineage", "family" };

const char *om_assignment_kind_name(enum om_assignment_kind kind)
{
	return kind < OM_ASSIGN_END ? kind_names[kind] : "invalid";
}

static const char *const phase_names[] = {
	[OM_PHASE_UNKNOWN] = "unknown",
	[OM_PHASE_TRAINING] = "training",
	[OM_PHASE_FROZEN] = "frozen-weight-training",
	[OM_PHASE_INFERENCE] = "inference",
	[OM_PHASE_MIXED] = "mixed",
};

const char *om_phase_name(enum om_phase phase)
{
	return phase <= OM_PHASE_MIXED ? phase_names[phase] : "invalid";
}

int om_phase_parse(const char *name, enum om_phase *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(phase_names); i++) {
		if (!strcmp(phase_names[i], name)) {
			*ret = (enum om_phase)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *om_time_format(uint64_t time_ns, char buf[OM_TIME_STRLEN])
{
	uint64_t s = time_ns / 1000000000, ns = time_ns % 1000000000;
	char date[16];
	int n;

	date_format((int32_t)(s / 86400), date);
	s %= 86400;
	n = snprintf(buf, OM_TIME_STRLEN, "%.10sT%02u:%02u:%02u", date, (unsigned)(s / 3600),
		     (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	if (ns)
		n += snprintf(buf + n, (size_t)(OM_TIME_STRLEN - n), ".%09u", (unsigned)ns);
	snprintf(buf + n, (size_t)(OM_TIME_STRLEN - n), "Z");
	return buf;
}

int om_time_parse(const char *s, uint64_t *ret_ns)
{
	char date[11];
	unsigned h, m, sec, ns = 0;
	int32_t day;
	int n = 0;

	if (strlen(s) < 20)
		return -EINVAL;
	memcpy(date, s, 10);
	date[10] = '\0';
	if (date_parse(date, &day) || day < 0 || s[10] != 'T' ||
	    sscanf(s + 11, "%2u:%2u:%2u%n", &h, &m, &sec, &n) != 3 || n != 8 || h > 23 || m > 59 || sec > 60)
		return -EINVAL;
	s += 19;
	if (*s == '.') {
		unsigned unit = 100000000;

		for (s++; *s >= '0' && *s <= '9' && unit; s++, unit /= 10)
			ns += (unsigned)(*s - '0') * unit;
	}
	if (strcmp(s, "Z"))
		return -EINVAL;
	*ret_ns = ((uint64_t)day * 86400 + h * 3600 + m * 60 + sec) * 1000000000 + ns;
	return 0;
}

/* Parts per million as the decimal fraction of 1 that docs/formats.md asks for. */
static void share_text(uint32_t ppm, char buf[16])
{
	size_t n;

	snprintf(buf, 16, "%u.%06u", ppm / PPM, ppm % PPM);
	for (n = strlen(buf); buf[n - 1] == '0'; n--)
		buf[n - 1] = '\0';
	if (buf[n - 1] == '.')
		buf[n - 1] = '\0';
}

static int share_parse(const char *s, uint32_t *ret)
{
	uint32_t whole = 0, part = 0, unit = PPM / 10;

	if (*s != '0' && *s != '1')
		return -EBADMSG;
	whole = (uint32_t)(*s++ - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9' && unit; s++, unit /= 10)
			part += (uint32_t)(*s - '0') * unit;
	if (*s || whole * PPM + part > PPM)
		return -EBADMSG;
	*ret = whole * PPM + part;
	return 0;
}

static json_t *author(const struct om_assignment *a)
{
	if (a->person[0])
		return json_pack("{s:s}", "person", a->person);
	return json_pack("{s:s,s:s}", "rule", a->rule, "version", a->version);
}

char *om_assignment_encode(const struct om_assignment *a)
{
	char ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], from[OM_TIME_STRLEN], to[OM_TIME_STRLEN],
		at[OM_TIME_STRLEN];
	char low[16], high[16];
	_cleanup_(json_decrefp) json_t *j = NULL;

	share_text(a->share_low_ppm, low);
	share_text(a->share_high_ppm, high);
	j = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:s?,s:{s:s,s:s},s:s,s:o,s:s}", "v", VERSION, "ledger",
		      om_id_format(&a->ledger, ledger), "job", om_id_format(&a->job, job), "kind",
		      om_assignment_kind_name(a->kind), "value", a->value, "from",
		      om_time_format(a->from_ns, from), "to", a->to_ns ? om_time_format(a->to_ns, to) : NULL,
		      "share", "low", low, "high", high, "evidence", a->evidence, "author", author(a), "at",
		      om_time_format(a->at_ns, at));
	return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

static int take(const json_t *o, const char *key, char *to, size_t size)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (!s || strlen(s) >= size)
		return -EBADMSG;
	strcpy(to, s);
	return 0;
}

static int take_time(const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *t = json_object_get(o, key);

	if (!t || json_is_null(t)) {
		*ret = 0;
		return 0;
	}
	return json_is_string(t) && om_time_parse(json_string_value(t), ret) == 0 ? 0 : -EBADMSG;
}

static int take_kind(const json_t *o, enum om_assignment_kind *ret)
{
	const char *s = json_string_value(json_object_get(o, "kind"));

	for (int k = 0; s && k < OM_ASSIGN_END; k++) {
		if (!strcmp(kind_names[k], s)) {
			*ret = (enum om_assignment_kind)k;
			return 0;
		}
	}
	return -EBADMSG;
}

static int take_author(const json_t *o, struct om_assignment *a)
{
	const json_t *who = json_object_get(o, "author");

	if (json_object_get(who, "person"))
		return take(who, "person", a->person, sizeof(a->person));
	return take(who, "rule", a->rule, sizeof(a->rule))
		       ?: take(who, "version", a->version, sizeof(a->version));
}

static int take_share(const json_t *o, struct om_assignment *a)
{
	const json_t *share = json_object_get(o, "share");
	char low[16], high[16];
	int r = take(share, "low", low, sizeof(low)) ?: take(share, "high", high, sizeof(high));

	r = r ?: share_parse(low, &a->share_low_ppm);
	r = r ?: share_parse(high, &a->share_high_ppm);
	return r ?: a->share_low_ppm > a->share_high_ppm ? -EBADMSG : 0;
}

int om_assignment_decode(const void *json, size_t len, struct om_assignment *ret)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	struct om_assignment a = { 0 };
	char id[OM_ID_STRLEN];
	enum om_phase phase;
	int r;

	if (!json_is_object(o) || !json_is_integer(json_object_get(o, "v")))
		return -EBADMSG;
	if (json_integer_value(json_object_get(o, "v")) > VERSION)
		return -EPROTONOSUPPORT;
	r = take(o, "ledger", id, sizeof(id)) ?: om_id_parse(id, &a.ledger);
	r = r ?: take(o, "job", id, sizeof(id)) ?: om_id_parse(id, &a.job);
	r = r ?: take_kind(o, &a.kind);
	r = r ?: take(o, "value", a.value, sizeof(a.value));
	r = r ?: take_time(o, "from", &a.from_ns) ?: take_time(o, "to", &a.to_ns) ?: take_time(o, "at", &a.at_ns);
	r = r ?: take(o, "evidence", a.evidence, sizeof(a.evidence));
	r = r ?: take_author(o, &a);
	r = r ?: take_share(o, &a);
	if (r == 0 && a.kind == OM_ASSIGN_PHASE && om_phase_parse(a.value, &phase))
		r = -EBADMSG;
	if (r)
		return -EBADMSG;
	*ret = a;
	return 0;
}
