// SPDX-License-Identifier: Apache-2.0
/* Findings as alerts and cases: what every one of them carries. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/yaml.h"
#include "policy_internal.h"

int policy_emit(const struct judgement *j, enum alert_type type, const struct regime *g, const char *subject,
		const char *level, const char *sentence, json_t *data)
{
	struct alert a = {
		.type = type,
		.source = j->p->source,
		.subject = subject,
		.time_ns = j->p->now_ns,
		.shadow = g->mode == REGIME_SHADOW,
	};
	int r;

	if (!data)
		return -ENOMEM;
	snprintf(a.sentence, sizeof(a.sentence), "%s", sentence);
	alert_make_id(type, a.source, g->id, g->version, a.subject, level, &a.id);
	json_object_set_new(data, "sentence", json_string(sentence));
	a.data = json_dumps(data, JSON_COMPACT);
	json_decref(data);
	if (!a.data)
		return -ENOMEM;
	r = j->emit(j->ctx, &a);
	alert_done(&a);
	return r;
}

bool policy_is_known(const struct judgement *j, enum alert_type type, const struct regime *g,
		     const char *subject, const char *level)
{
	struct om_id id;

	if (!j->p->is_known)
		return false;
	alert_make_id(type, j->p->source, g->id, g->version, subject, level, &id);
	return j->p->is_known(j->p->known_ctx, &id);
}

json_t *policy_facts(const struct regime *g)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "regime", g->id, "version", g->version, "digest",
			 g->digest, "mode", regime_mode_name(g->mode), "citation", g->citation, "evidence",
			 g->evidence);
}

void policy_add_figures(json_t *data, const struct om_subject_total *s)
{
	char low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN], coverage[80];

	if (s->losses)
		snprintf(coverage, sizeof(coverage),
			 "incomplete: %llu calls or processes could not be counted",
			 (unsigned long long)s->losses);
	else
		snprintf(coverage, sizeof(coverage), "no loss known");
	json_object_set_new(data, "observed",
			    json_pack("{s:s,s:s}", "low", opcount_format(s->training_low, low), "high",
				      opcount_format(s->training_high, high)));
	json_object_set_new(data, "attempted", json_boolean(s->attempted));
	json_object_set_new(data, "coverage", json_string(coverage));
}

void policy_case_id(const struct judgement *j, const struct regime *g, const char *subject, const char *level,
		    char out[24])
{
	char hex[OM_ID_STRLEN];
	struct om_id id;

	alert_make_id(ALERT_CASE, j->p->source, g->id, g->version, subject, level, &id);
	snprintf(out, 24, "case-%.12s", om_id_format(&id, hex));
}

/* The next day of a calendar, and the year it is in. */
static int32_t next_calendar_day(const struct regime_notice *d, int32_t today)
{
	int32_t best = INT32_MAX;
	char date[16];

	date_format(today, date);
	for (int year = 0; year < 2; year++) {
		for (size_t i = 0; i < d->calendar_count; i++) {
			char text[40];
			int32_t day;

			snprintf(text, sizeof(text), "%04d-%02u-%02u",
				 (date[0] - '0') * 1000 + (date[1] - '0') * 100 + (date[2] - '0') * 10 +
					 (date[3] - '0') + year,
				 d->calendar[i] / 100, d->calendar[i] % 100);
			if (date_parse(text, &day) == 0 && day >= today && day < best)
				best = day;
		}
	}
	return best;
}

static json_t *due(const struct judgement *j, const struct regime_notice *d)
{
	char text[OM_TIME_STRLEN];
	int32_t day = d->calendar_count ? next_calendar_day(d, j->day) : INT32_MAX;
	uint64_t at = j->p->now_ns + (uint64_t)d->within_hours * 3600000000000ULL;

	if (day != INT32_MAX)
		return json_string(date_format(day, text));
	return d->within_hours ? json_string(om_time_format(at, text)) : json_null();
}

/* Those whose clock starts at this level; those that start when it is known that it will be met come without
 * a date, from the level before on: whether it is known is for a person or a forecast to say. */
json_t *policy_notices(const struct judgement *j, const struct regime *g, const struct regime_level *level)
{
	json_t *list = json_array();

	for (size_t i = 0; i < g->notices; i++) {
		const struct regime_notice *d = &g->notice[i];
		bool starts = d->level && !strcmp(d->level, level->name);

		if (!starts && !(d->when_known && level->share_ppm >= 900000))
			continue;
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:o,s:b,s:s,s:s}", "what", d->what, "who",
						d->who ? d->who : "", "due", starts ? due(j, d) : json_null(),
						"when_known", d->when_known, "citation", d->citation,
						"evidence", d->evidence));
	}
	return list;
}

json_t *policy_retention(const struct regime *g)
{
	if (!g->retention.years)
		return json_null();
	return json_pack("{s:i,s:s,s:s,s:b}", "years", (int)g->retention.years, "from", g->retention.from,
			 "citation", g->retention.citation, "hold", g->retention.hold);
}
