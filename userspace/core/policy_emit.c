// SPDX-License-Identifier: Apache-2.0
/* Findings as alerts and cases: what every one of them carries. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/text.h"
#include "../base/yaml.h"
#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL

static void add_facts(struct json_out *o, const struct regime *g)
{
	json_out_member(o, "regime", g->id);
	json_out_member(o, "version", g->version);
	json_out_member(o, "digest", g->digest);
	json_out_member(o, "mode", regime_mode_name(g->mode));
	json_out_member(o, "citation", g->citation);
	json_out_member(o, "evidence", g->evidence);
}

bool policy_begin(const struct judgement *j, enum alert_type type, const struct regime *g,
		  const char *subject, const char *level, struct alert *ret)
{
	ret->type = type;
	ret->source = j->p->source;
	ret->subject = subject;
	ret->time_ns = j->p->now_ns;
	ret->shadow = g->mode == REGIME_SHADOW;
	alert_make_id(type, ret->source, g->id, g->version, subject, level, &ret->id);
	if (j->p->is_known && j->p->is_known(j->p->known_ctx, &ret->id))
		return false;
	json_out_reset(j->out);
	json_out_open(j->out, '{');
	add_facts(j->out, g);
	json_out_member(j->out, "occasion", level); /* with the others, what the id is made of */
	return true;
}

int policy_emit(const struct judgement *j, struct alert *a, const char *sentence)
{
	struct text_out t = TEXT_OUT(a->sentence);

	text_add(&t, sentence);
	json_out_member(j->out, "sentence", sentence);
	json_out_close(j->out, '}');
	a->data = json_out_text(j->out);
	return a->data ? j->emit(j->ctx, a) : -ENOMEM;
}

const char *policy_limit_words(const struct regime_limit *l, uint32_t share_ppm, char *buf, size_t size)
{
	struct regime_limit plain = *l;
	char n[OPCOUNT_STRLEN];

	/* The least that meets "more than" is one above: the number is the law's own. */
	plain.comparator = REGIME_AT_LEAST;
	snprintf(buf, size, "%s %s", l->comparator == REGIME_MORE_THAN ? "more than" : "at least",
		 opcount_human(regime_limit_figure(&plain, share_ppm), n));
	return buf;
}

void policy_add_figures(struct json_out *o, const struct om_subject_total *s)
{
	char coverage[80];

	json_out_key(o, "observed");
	json_out_open(o, '{');
	json_out_key(o, "low");
	json_out_count(o, s->training_low);
	json_out_key(o, "high");
	json_out_count(o, s->training_high);
	json_out_close(o, '}');
	json_out_key(o, "attempted");
	json_out_bool(o, s->attempted);
	if (s->losses)
		snprintf(coverage, sizeof(coverage),
			 "incomplete: %llu calls or processes could not be counted",
			 (unsigned long long)s->losses);
	json_out_member(o, "coverage", s->losses ? coverage : "no loss known");
}

static void add_count(struct json_out *o, const char *key, opcount v)
{
	json_out_key(o, key);
	json_out_count(o, v);
}

static void add_day(struct json_out *o, const char *key, int32_t day)
{
	char text[16];

	json_out_key(o, key);
	if (day == OM_FORECAST_NEVER)
		json_out_null(o);
	else
		json_out_string(o, date_format(day, text));
}

void policy_add_day_figures(struct json_out *o, opcount limit, const struct om_forecast_point *point,
			    opcount declared)
{
	add_count(o, "limit", limit);
	json_out_key(o, "observed");
	json_out_open(o, '{');
	add_count(o, "low", point->low);
	add_count(o, "high", point->high);
	json_out_close(o, '}');
	add_count(o, "declared", declared);
}

void policy_add_forecast(struct json_out *o, const struct om_forecast *f, uint32_t horizon_days)
{
	json_out_key(o, "forecast");
	json_out_open(o, '{');
	add_day(o, "earliest", f->earliest);
	add_day(o, "likely", f->likely);
	add_day(o, "latest", f->latest);
	json_out_key(o, "operations_per_day");
	json_out_open(o, '{');
	add_count(o, "fast", f->fast);
	add_count(o, "likely", f->likely_rate);
	add_count(o, "slow", f->slow);
	json_out_close(o, '}');
	json_out_key(o, "days");
	json_out_number(o, f->days);
	json_out_key(o, "horizon_days");
	json_out_number(o, horizon_days);
	json_out_close(o, '}');
}

void case_id_of(const struct om_id *id, char out[24])
{
	char hex[OM_ID_STRLEN];

	snprintf(out, 24, "case-%.12s", om_id_format(id, hex));
}

void policy_case_id(const struct judgement *j, const struct regime *g, const char *subject, const char *level,
		    char out[24])
{
	struct om_id id;

	alert_make_id(ALERT_CASE, j->p->source, g->id, g->version, subject, level, &id);
	case_id_of(&id, out);
}

const char *policy_case_words(const struct regime *g, const char *case_id, char out[64])
{
	if (*case_id)
		snprintf(out, 64, "The facts are in case %s, for compliance", case_id);
	else
		strcpy(out, g->mode == REGIME_ENFORCE ? "A case opens when training is material"
						      : "No case is opened");
	return out;
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

const char *policy_due(const struct regime_notice *d, int32_t day, uint64_t from_ns, char out[OM_TIME_STRLEN])
{
	int32_t next = d->calendar_count ? next_calendar_day(d, day) : INT32_MAX;

	if (next != INT32_MAX)
		return date_format(next, out);
	if (d->within_hours)
		return om_time_format(from_ns + (uint64_t)d->within_hours * 3600000000000ULL, out);
	return NULL;
}

static void add_due(struct json_out *o, const char *key, const char *due)
{
	json_out_key(o, key);
	if (due)
		json_out_string(o, due);
	else
		json_out_null(o);
}

/* The clock runs from the end of the day on which the level was met. Where that day is not known the level
 * was met now at the latest: so much later it is due at the latest. */
static void add_clock(struct json_out *o, const struct judgement *j, const struct regime_notice *d,
		      int32_t met_on)
{
	bool is_known = met_on != INT32_MIN;
	char text[OM_TIME_STRLEN], day[16];

	add_due(o, "met_on", is_known ? date_format(met_on, day) : NULL);
	add_due(o, "due", is_known ? policy_due(d, met_on, ((uint64_t)met_on + 1) * NS_PER_DAY, text) : NULL);
	add_due(o, "not_later_than", is_known ? NULL : policy_due(d, j->day, j->p->now_ns, text));
}

/* Those whose clock starts at this level; those that start when it is known that it will be met come without
 * a date, from the level before on: whether it is known is for a person to say, or for policy_judge_known().
 */
void policy_add_notices(const struct judgement *j, const struct regime *g, const struct regime_level *level)
{
	struct json_out *o = j->out;
	int32_t met_on = INT32_MIN;
	bool is_asked = false;

	json_out_key(o, "notices");
	json_out_open(o, '[');
	for (size_t i = 0; i < g->notices; i++) {
		const struct regime_notice *d = &g->notice[i];
		bool starts = d->level && !strcmp(d->level, level->name);

		if (!starts && !(d->when_known && level->share_ppm >= 900000))
			continue;
		json_out_open(o, '{');
		json_out_member(o, "what", d->what);
		json_out_member(o, "who", d->who ? d->who : "");
		if (starts && !is_asked) {
			met_on = policy_met_on(j, g, level);
			is_asked = true;
		}
		if (starts)
			add_clock(o, j, d, met_on);
		else
			add_due(o, "due", NULL);
		json_out_key(o, "when_known");
		json_out_bool(o, d->when_known);
		json_out_member(o, "citation", d->citation);
		json_out_member(o, "evidence", d->evidence);
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
}

void policy_add_retention(struct json_out *o, const struct regime *g)
{
	json_out_key(o, "retention");
	if (!g->retention.years) {
		json_out_null(o);
		return;
	}
	json_out_open(o, '{');
	json_out_key(o, "years");
	json_out_number(o, g->retention.years);
	json_out_member(o, "from", g->retention.from);
	json_out_member(o, "citation", g->retention.citation);
	json_out_key(o, "hold");
	json_out_bool(o, g->retention.hold);
	json_out_close(o, '}');
}
