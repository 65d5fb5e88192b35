// SPDX-License-Identifier: Apache-2.0
#include "assignment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"

#define VERSION 1
#define VERSION_SERVES 2 /* an earlier reader refuses it by its version */
#define PPM 1000000u

static const char *const kind_names[OM_ASSIGN_END] = { "tenant",  "phase",  "model",
						       "lineage", "family", "serves" };

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

/* Two digits, at most `max`; -1: they are none. */
static int two_digits(const char *s, int max)
{
	int v;

	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return -1;
	v = (s[0] - '0') * 10 + s[1] - '0';
	return v <= max ? v : -1;
}

int om_time_parse(const char *s, uint64_t *ret_ns)
{
	char date[11];
	int h, m, sec;
	unsigned ns = 0;
	int32_t day;

	if (strlen(s) < 20)
		return -EINVAL;
	memcpy(date, s, 10);
	date[10] = '\0';
	h = two_digits(s + 11, 23);
	m = two_digits(s + 14, 59);
	sec = two_digits(s + 17, 60);
	if (date_parse(date, &day) || day < 0 || s[10] != 'T' || s[13] != ':' || s[16] != ':' || h < 0 ||
	    m < 0 || sec < 0)
		return -EINVAL;
	s += 19;
	if (*s == '.') {
		unsigned unit = 100000000;

		for (s++; *s >= '0' && *s <= '9' && unit; s++, unit /= 10)
			ns += (unsigned)(*s - '0') * unit;
	}
	if (strcmp(s, "Z"))
		return -EINVAL;
	*ret_ns = ((uint64_t)day * 86400 + (uint64_t)(h * 3600 + m * 60 + sec)) * 1000000000 + ns;
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
	j = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:s?,s:{s:s,s:s},s:s,s:o,s:s}", "v",
		      a->kind == OM_ASSIGN_SERVES ? VERSION_SERVES : VERSION, "ledger",
		      om_id_format(&a->ledger, ledger), "job", om_id_format(&a->job, job), "kind",
		      om_assignment_kind_name(a->kind), "value", a->value, "from",
		      om_time_format(a->from_ns, from), "to", a->to_ns ? om_time_format(a->to_ns, to) : NULL,
		      "share", "low", low, "high", high, "evidence", a->evidence, "author", author(a), "at",
		      om_time_format(a->at_ns, at));
	return j ? json_dumps(j, JSON_COMPACT) : NULL;
}
