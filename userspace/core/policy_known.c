// SPDX-License-Identifier: Apache-2.0
/*
 * Duties whose clock runs from the day on which a level was met, or on which it is known that it will be
 * (52(1) of the EU's AI Act: two weeks; proposed 7.308: 15 days). It is taken to be known on the first day at
 * whose end the whole interval of the forecast lies within a horizon: even at the slow rate the level is met
 * until then. Either day is found by going through the days as they were, so that whoever judges, whenever,
 * comes to the same one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/text.h"
#include "../base/yaml.h"
#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL
/* Left / slow <= horizon with slow <= total / days * 10/20: below a part of the threshold no day can tell it.
 */
#define LEAST_PART (2 * POLICY_KNOWN_DAYS)

enum clock { CLOCK_STANDS, CLOCK_KNOWN, CLOCK_MET };

struct known {
	const struct regime_notice *notice;
	const struct om_forecast_point *point; /* of the day */
	struct om_forecast forecast;
	opcount limit, declared; /* declared: what is added to both bounds, with evidence */
	bool is_met;
	char verdict[340];
};

static const struct regime_level *level_of(const struct regime *g, const struct regime_notice *d)
{
	for (size_t i = 0; d->level && i < g->level_count; i++)
		if (!strcmp(g->levels[i].name, d->level))
			return &g->levels[i];
	return NULL;
}

/* As of the end of that day: declarations and windows too. False: nothing can be known of the level. */
static bool limit_on(const struct policy *p, const struct policy_subject *s, const struct regime *g,
		     const struct regime_level *level, struct known *k)
{
	struct policy then = *p;
	struct om_subject_total total = *s->total;
	struct policy_subject subject = *s;
	struct verdict v = { .steps = NULL };

	then.now_ns = ((uint64_t)k->point->day + 1) * NS_PER_DAY - 1;
	total.training_low = k->point->low;
	total.training_high = total.training_ceiling = k->point->high;
	subject.total = &total;
	policy_verdict(&then, &subject, g, &v);
	if (v.standing == VERDICT_EXEMPT || v.standing == VERDICT_NOT_HELD)
		return false;
	verdict_words(&v, k->verdict, sizeof(k->verdict));
	k->limit = regime_limit_figure(&v.limit, level->share_ppm);
	k->declared = v.low > v.observed_low ? v.low - v.observed_low : 0;
	k->is_met = v.level && (level->lower ? v.low : v.high) >= k->limit;
	return true;
}

/* What stands at the end of that day, none before it being the day. */
static enum clock clock_on(const struct policy *p, const struct policy_subject *s, const struct regime *g,
			   const struct regime_level *level, const struct om_forecast_point *points, size_t i,
			   struct known *k)
{
	k->point = &points[i];
	if (!regime_holds_on(g, k->point->day) || !limit_on(p, s, g, level, k))
		return CLOCK_STANDS;
	if (k->is_met || k->limit <= k->declared)
		return CLOCK_MET;
	if (!k->notice->when_known || k->point->low < (k->limit - k->declared) / LEAST_PART)
		return CLOCK_STANDS;
	om_forecast(points, i + 1, k->point->day, k->limit - k->declared, &k->forecast);
	return k->forecast.state == OM_FORECAST_WILL &&
			       k->forecast.latest <= k->point->day + POLICY_KNOWN_DAYS
		       ? CLOCK_KNOWN
		       : CLOCK_STANDS;
}

static const char *day_text(int32_t day, char buf[16])
{
	return day == OM_FORECAST_NEVER ? "never" : date_format(day, buf);
}

static void tell_forecast(struct text_out *t, const struct om_forecast *f)
{
	char day[16];

	text_add(t, ") will be met if training observed here goes on as it went: ");
	text_add(t, day_text(f->earliest, day));
	text_add(t, " to ");
	text_add(t, day_text(f->latest, day));
}

static void tell(const struct judgement *j, const struct regime *g, const struct known *k, const char *due,
		 enum clock clock, char *buf, size_t size)
{
	struct text_out t = { .buf = buf, .size = size };
	char number[OPCOUNT_STRLEN], day[16];

	text_add_cut(&t, j->s->name, 140);
	text_add(&t, clock == CLOCK_KNOWN ? ": as of " : ": on ");
	text_add(&t, date_format(k->point->day, day));
	text_add(&t, " level '");
	text_add(&t, k->notice->level);
	text_add(&t, g->comparator == REGIME_MORE_THAN ? "' (more than " : "' (at least ");
	text_add(&t, opcount_human(k->limit - (g->comparator == REGIME_MORE_THAN), number));
	if (clock == CLOCK_KNOWN) {
		tell_forecast(&t, &k->forecast);
	} else {
		text_add(&t, ") was met, by what is observed here and declared: ");
		text_add_words(&t, k->verdict, 160);
	}
	text_add(&t, ". The clock runs: ");
	text_add_cut(&t, k->notice->what, 120);
	text_add(&t, ", due ");
	text_add(&t, due);
	text_add(&t, " (");
	text_add(&t, g->id);
	text_add(&t, " version ");
	text_add(&t, g->version);
	text_add(&t, "; ");
	text_add_cut(&t, k->notice->citation, 120);
	text_add(&t, clock == CLOCK_KNOWN ? "). A forecast, no verdict." : ").");
}

static int emit_clock(const struct judgement *j, const struct regime *g, const struct known *k,
		      enum clock clock)
{
	const struct regime_notice *d = k->notice;
	struct json_out *o = j->out;
	char level[300], due[OM_TIME_STRLEN], day[16], sentence[1000];
	bool is_known = clock == CLOCK_KNOWN;
	struct alert a;

	snprintf(level, sizeof(level), "%s/%.60s/%.200s", is_known ? "known" : "met", d->level, d->what);
	if (!policy_begin(j, ALERT_DUTY, g, j->s->name, level, &a))
		return 0;
	policy_due(d, k->point->day, ((uint64_t)k->point->day + 1) * NS_PER_DAY, due);
	tell(j, g, k, due, clock, sentence, sizeof(sentence));
	json_out_member(o, "level", d->level);
	json_out_member(o, "duty", d->what);
	json_out_member(o, "who", d->who ? d->who : "");
	json_out_member(o, "clock_from", d->clock_from ? d->clock_from : "");
	json_out_member(o, is_known ? "known_on" : "met_on", date_format(k->point->day, day));
	json_out_member(o, "due", due);
	json_out_member(o, "duty_citation", d->citation);
	json_out_member(o, "duty_evidence", d->evidence);
	json_out_member(o, "verdict", k->verdict);
	policy_add_day_figures(o, k->limit, k->point, k->declared);
	if (is_known)
		policy_add_forecast(o, &k->forecast, POLICY_KNOWN_DAYS);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	return policy_emit(j, &a, sentence);
}

/* Points are of training as it is counted here, so of the algorithmic figure. */
static bool has_clock(const struct regime *g, const struct regime_notice *d)
{
	return g->kind == REGIME_THRESHOLD && !g->threshold_missing && g->figure == REGIME_ALGORITHMIC &&
	       (d->within_hours || d->calendar_count);
}

static int judge_notice(const struct judgement *j, const struct regime *g, const struct regime_notice *d,
			const struct om_forecast_point *points, size_t count)
{
	const struct regime_level *level = level_of(g, d);
	struct known k = { .notice = d };

	if (!has_clock(g, d) || !level)
		return 0;
	for (size_t i = 0; i < count && (uint64_t)points[i].day + 1 <= (j->p->now_ns + 1) / NS_PER_DAY; i++) {
		enum clock clock = clock_on(j->p, j->s, g, level, points, i, &k);

		if (clock != CLOCK_STANDS)
			return emit_clock(j, g, &k, clock);
	}
	return 0;
}

int policy_judge_known(const struct policy *p, const struct policy_subject *s,
		       const struct om_forecast_point *points, size_t count,
		       int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	struct json_out out = { .text = NULL };
	struct judgement j = policy_judgement(p, s, &out, emit, ctx);
	int r = 0;

	for (size_t i = 0; r == 0 && i < regimes_count(p->regimes); i++) {
		const struct regime *g = regimes_at(p->regimes, i);

		for (size_t k = 0; r == 0 && k < g->notices; k++)
			r = judge_notice(&j, g, &g->notice[k], points, count);
	}
	json_out_free(&out);
	return r;
}

void policy_least_known(const struct policy *p, opcount *ret_low, opcount *ret_high)
{
	*ret_low = *ret_high = OPCOUNT_MAX;

	for (size_t i = 0; i < regimes_count(p->regimes); i++) {
		const struct regime *g = regimes_at(p->regimes, i);

		for (size_t k = 0; k < g->notices; k++) {
			const struct regime_notice *d = &g->notice[k];
			const struct regime_level *level = level_of(g, d);
			struct regime_limit limit;
			opcount figure;

			if (g->mode == REGIME_OFF || !has_clock(g, d) || !level)
				continue;
			limit = regime_limit_of(g);
			figure = regime_limit_figure(&limit, level->share_ppm);
			if (!level->lower && figure < *ret_high)
				*ret_high = figure;
			if (d->when_known)
				figure /= LEAST_PART;
			if ((d->when_known || level->lower) && figure < *ret_low)
				*ret_low = figure;
		}
	}
}
