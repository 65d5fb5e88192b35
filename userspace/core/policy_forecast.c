// SPDX-License-Identifier: Apache-2.0
/*
 * That a threshold will be met, said ahead: as soon as the earliest day of the forecast (core/forecast.h)
 * lies within the notice. It is a warning for people, not the day on which the law's clock starts
 * (policy_known.c). Each month in which that day comes to lie is told once: when the date moves, it is told
 * anew, and never more often.
 */
#include <stdio.h>
#include <string.h>

#include "../base/text.h"
#include "../base/yaml.h"
#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL
/* Of what has less than this part of a threshold nobody asks the days: a run that grows evenly has as much
 * six days after its beginning, if it can be due at all. */
#define LEAST_PART 50

struct ahead {
	const struct regime *regime;
	struct om_forecast forecast;
	const struct om_forecast_point *point; /* of the last day that is over */
	int32_t today;			       /* that day */
	opcount limit, declared;
	char verdict[340];
};

/* Points are of training as it is counted here, so of the algorithmic figure. */
static bool has_forecast(const struct regime *g)
{
	return g->kind == REGIME_THRESHOLD && !g->threshold_missing && g->figure == REGIME_ALGORITHMIC &&
	       g->mode != REGIME_OFF;
}

/* False: there is nothing to say ahead. */
static bool look_ahead(const struct policy *p, const struct policy_subject *s,
		       const struct om_forecast_point *points, size_t count, struct ahead *a)
{
	struct policy then = *p;
	struct verdict v = { .steps = NULL };

	then.now_ns = ((uint64_t)a->today + 1) * NS_PER_DAY - 1;
	if (!has_forecast(a->regime) || !regime_holds_on(a->regime, a->today))
		return false;
	policy_verdict(&then, s, a->regime, &v);
	if (v.standing == VERDICT_EXEMPT || v.standing == VERDICT_NOT_HELD)
		return false;
	verdict_words(&v, a->verdict, sizeof(a->verdict));
	a->limit = regime_limit_figure(&v.limit, PPM_ONE);
	a->declared = v.low > v.observed_low ? v.low - v.observed_low : 0;
	if (a->limit <= a->declared)
		return false;
	om_forecast(points, count, a->today, a->limit - a->declared, &a->forecast);
	return a->forecast.state == OM_FORECAST_WILL &&
	       om_forecast_is_due(&a->forecast, a->today, p->notice_days);
}

static const char *day_text(int32_t day, char buf[16])
{
	return day == OM_FORECAST_NEVER ? "no day" : date_format(day, buf);
}

static void tell(const struct judgement *j, const struct ahead *a, char *buf, size_t size)
{
	const struct om_forecast *f = &a->forecast;
	struct text_out t = { .buf = buf, .size = size };
	char words[80], day[16];
	struct regime_limit limit = regime_limit_of(a->regime);

	text_add_cut(&t, j->s->name, 140);
	text_add(&t, ": ");
	text_add(&t, policy_limit_words(&limit, PPM_ONE, words, sizeof(words)));
	text_add(&t, " training operations will be met if it goes on as it went up to ");
	text_add(&t, date_format(a->today, day));
	text_add(&t, ": on ");
	text_add(&t, day_text(f->earliest, day));
	text_add(&t, " at the earliest, likely on ");
	text_add(&t, day_text(f->likely, day));
	text_add(&t, ", at the latest on ");
	text_add(&t, day_text(f->latest, day));
	text_add(&t, " (");
	text_add(&t, a->regime->id);
	text_add(&t, " version ");
	text_add(&t, a->regime->version);
	text_add(&t, "; ");
	text_add_cut(&t, a->regime->citation, 120);
	text_add(&t, "). Observed here; a forecast, no verdict.");
}

static int say_ahead(const struct judgement *j, const struct ahead *a)
{
	struct json_out *o = j->out;
	char occasion[40], day[16], sentence[900];
	struct alert alert;

	snprintf(occasion, sizeof(occasion), "forecast/%.7s", date_format(a->forecast.earliest, day));
	if (!policy_begin(j, ALERT_FORECAST, a->regime, j->s->name, occasion, &alert))
		return 0;
	tell(j, a, sentence, sizeof(sentence));
	json_out_member(o, "as_of_day", date_format(a->today, day));
	json_out_member(o, "verdict", a->verdict);
	policy_add_day_figures(o, a->limit, a->point, a->declared);
	policy_add_forecast(o, &a->forecast, j->p->notice_days);
	json_out_key(o, "demo");
	json_out_bool(o, a->regime->demo);
	return policy_emit(j, &alert, sentence);
}

int policy_judge_forecast(const struct policy *p, const struct policy_subject *s,
			  const struct om_forecast_point *points, size_t count,
			  int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	struct json_out out = { .text = NULL };
	struct judgement j = policy_judgement(p, s, &out, emit, ctx);
	uint64_t over = (p->now_ns + 1) / NS_PER_DAY;
	int r = 0;

	while (count && (uint64_t)points[count - 1].day + 1 > over)
		count--;
	for (size_t i = 0; r == 0 && p->notice_days && count && i < regimes_count(p->regimes); i++) {
		struct ahead a = { .regime = regimes_at(p->regimes, i),
				   .point = &points[count - 1],
				   .today = (int32_t)over - 1 };

		if (look_ahead(p, s, points, count, &a))
			r = say_ahead(&j, &a);
	}
	json_out_free(&out);
	return r;
}

opcount policy_least_forecast(const struct policy *p)
{
	opcount least = OPCOUNT_MAX;

	for (size_t i = 0; p->notice_days && i < regimes_count(p->regimes); i++) {
		const struct regime *g = regimes_at(p->regimes, i);
		struct regime_limit limit = regime_limit_of(g);
		opcount part = regime_limit_figure(&limit, PPM_ONE) / LEAST_PART;

		if (has_forecast(g) && part < least)
			least = part;
	}
	return least;
}
