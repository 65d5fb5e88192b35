// SPDX-License-Identifier: Apache-2.0
/* A verdict as alerts, one for each level that is met, and as cases where the regime is enforced. */
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "policy_internal.h"

/* What may be said of one level of a verdict. */
static void level_words(const struct verdict *v, const struct regime_level *l, char *buf, size_t size)
{
	const struct regime *g = v->regime;
	bool floor_only = v->standing == VERDICT_CONDITIONAL && g->floor_missing && !v->is_derived &&
			  !strcmp(v->missing, g->floor_missing) && l->share_ppm != PPM_ONE;
	struct text_out t = { .buf = buf, .size = size };

	if ((v->standing == VERDICT_CONDITIONAL && !floor_only) || v->standing == VERDICT_EXEMPT) {
		text_add(&t, verdict_standing_name(v->standing));
		text_add(&t, "(");
		text_add(&t, v->missing);
		text_add(&t, ")");
		return;
	}
	text_add(&t, v->low >= regime_limit_figure(&v->limit, l->share_ppm) ? "reached" : "possible");
}

static void add_meters(struct json_out *o, uint32_t meters)
{
	json_out_key(o, "meters");
	json_out_open(o, '[');
	for (int m = 1; m < 32; m++)
		if (meters >> m & 1)
			json_out_string(o, om_meter_name((uint8_t)m));
	json_out_close(o, ']');
}

static void meters_text(uint32_t meters, struct text_out *t)
{
	bool any = false;

	for (int m = 1; m < 32; m++) {
		if (!(meters >> m & 1))
			continue;
		if (any)
			text_add(t, ", ");
		text_add(t, om_meter_name((uint8_t)m));
		any = true;
	}
	if (!any)
		text_add(t, "no meter");
}

static void add_cases(struct json_out *o, uint32_t cases)
{
	json_out_key(o, "findings");
	json_out_open(o, '[');
	for (int c = 0; c < CASE_END; c++)
		if (cases >> c & 1)
			json_out_string(o, regime_case_name((enum regime_case)c));
	json_out_close(o, ']');
}

static void add_range(struct json_out *o, const char *key, opcount low, opcount high)
{
	json_out_key(o, key);
	json_out_open(o, '{');
	json_out_key(o, "low");
	json_out_count(o, low);
	json_out_key(o, "high");
	json_out_count(o, high);
	json_out_close(o, '}');
}

/* "A to B training operations observed here, C to D with what is declared" */
static void figures_text(const struct verdict *v, const struct om_subject_total *s, char *buf, size_t size)
{
	struct range o = { v->observed_low, v->observed_high }, c = { v->low, v->high };
	struct text_out t = { .buf = buf, .size = size };
	char text[100];

	text_add(&t, range_text(&o, text, sizeof(text)));
	text_add(&t, " training operations observed here");
	if (s->attempted)
		text_add(&t, " (attempted)");
	if (!v->has_declared || (o.low == c.low && o.high == c.high))
		return;
	text_add(&t, ", ");
	text_add(&t, range_text(&c, text, sizeof(text)));
	text_add(&t, " with what is declared");
}

static void fill(const struct judgement *j, const struct verdict *v)
{
	static const char *const groups[] = { "model", "lineage", "family" };
	const struct regime *g = v->regime;
	struct json_out *o = j->out;

	if (g->threshold != OPCOUNT_MAX) {
		json_out_key(o, "threshold");
		json_out_count(o, g->threshold);
	}
	json_out_key(o, "limit");
	json_out_count(o, regime_limit_figure(&v->limit, PPM_ONE));
	json_out_member(o, "comparator", regime_comparator_text(v->limit.comparator));
	add_range(o, "counted", v->low, v->high);
	add_range(o, "executed", j->s->total->executed_low, j->s->total->executed_high);
	json_out_key(o, "declared");
	json_out_bool(o, v->has_declared);
	add_meters(o, v->meters);
	add_cases(o, v->cases);
	json_out_member(o, "group", groups[j->s->group]);
	json_out_key(o, "members");
	json_out_open(o, '{');
	json_out_key(o, "tenants");
	json_out_number(o, (int64_t)j->s->tenants);
	json_out_key(o, "models");
	json_out_number(o, (int64_t)j->s->models);
	json_out_close(o, '}');
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	policy_add_figures(o, j->s->total);
}

static void level_sentence(const struct judgement *j, const struct verdict *v, const struct regime_level *l,
			   const char *verdict, char *buf, size_t size)
{
	const struct regime *g = v->regime;
	struct text_out t = { .buf = buf, .size = size };
	char figures[300], n[OPCOUNT_STRLEN + 16];

	figures_text(v, j->s->total, figures, sizeof(figures));
	text_add_cut(&t, j->s->name, 140);
	text_add(&t, ": ");
	text_add_cut(&t, figures, 160);
	text_add(&t, ": level '");
	text_add(&t, l->name);
	text_add(&t, "' ");
	if (v->standing == VERDICT_CONDITIONAL && strcmp(verdict, "reached") && strcmp(verdict, "possible"))
		text_add(&t, "would be met: ");
	text_add_words(&t, verdict, 160);
	text_add(&t, ", ");
	text_add(&t, policy_limit_words(&v->limit, l->share_ppm, n, sizeof(n)));
	text_add(&t, " (meters: ");
	meters_text(v->meters, &t);
	text_add(&t, "). ");
	text_add_words(&t, g->title, 120);
	text_add(&t, " (");
	text_add(&t, g->id);
	text_add(&t, " version ");
	text_add(&t, g->version);
	text_add(&t, "; ");
	text_add(&t, g->citation);
	text_add(&t, ").");
}

static int emit_level(const struct judgement *j, const struct verdict *v, const struct regime_level *l,
		      const struct owner_finding *owner)
{
	const struct regime *g = v->regime;
	struct json_out *o = j->out;
	struct alert a;
	char verdict[340], sentence[1000];

	if (!policy_begin(j, ALERT_LEVEL, g, j->s->name, l->name, &a))
		return 0;
	level_words(v, l, verdict, sizeof(verdict));
	level_sentence(j, v, l, verdict, sentence, sizeof(sentence));
	json_out_member(o, "level", l->name);
	json_out_member(o, "verdict", verdict);
	json_out_member(o, "figure", l->lower ? "training, lower bound" : "training, upper bound");
	fill(j, v);
	policy_add_notices(j, g, l);
	if (*owner->case_id && g->mode == REGIME_ENFORCE)
		json_out_member(o, "case", owner->case_id);
	return policy_emit(j, &a, sentence);
}

static int emit_case(const struct judgement *j, const struct verdict *v, enum regime_case c)
{
	const struct regime *g = v->regime;
	struct json_out *o = j->out;
	struct alert a;
	char id[24], words[400], figures[300], sentence[1000];

	if (!policy_begin(j, ALERT_CASE, g, j->s->name, regime_case_name(c), &a))
		return 0;
	case_id_of(&a.id, id);
	figures_text(v, j->s->total, figures, sizeof(figures));
	verdict_words(v, words, sizeof(words));
	snprintf(sentence, sizeof(sentence), "%.140s: %s: %.200s; %.120s. %s version %s, %s.", j->s->name,
		 regime_case_name(c), figures, words, g->id, g->version, g->citation);
	json_out_member(o, "case", id);
	json_out_member(o, "cause", regime_case_name(c));
	json_out_member(o, "state", "detected");
	json_out_member(o, "tenant", j->s->total->tenant);
	json_out_member(o, "model", j->s->total->model);
	json_out_member(o, "verdict", words);
	policy_add_retention(o, g);
	fill(j, v);
	if (v->level)
		policy_add_notices(j, g, v->level);
	return policy_emit(j, &a, sentence);
}

/* An exemption that has a limit is told as the limit comes near; another raises nothing. */
static bool is_told(const struct verdict *v)
{
	if (v->standing == VERDICT_NONE || v->standing == VERDICT_NOT_HELD || !v->level)
		return false;
	if (v->standing == VERDICT_EXEMPT && !v->is_derived)
		return false;
	return v->meters || v->has_declared;
}

/* Where no level is met, what speaks against the figure still opens a case. */
static int emit_doubts(const struct judgement *j, const struct verdict *v)
{
	static const enum regime_case doubts[] = { CASE_SUSPECTED_TRAINING, CASE_EXEMPTION_LOST,
						   CASE_TELEMETRY_GAP };
	const struct regime *g = v->regime;
	int r = 0;

	for (size_t i = 0; r == 0 && g->mode == REGIME_ENFORCE && i < ARRAY_SIZE(doubts); i++)
		if ((v->cases & g->cases) >> doubts[i] & 1)
			r = emit_case(j, v, doubts[i]);
	return r;
}

int policy_judge_level(const struct judgement *j, const struct regime *g, const struct owner_finding *owner)
{
	struct verdict v = { .steps = NULL };
	int r = 0;

	policy_verdict(j->p, j->s, g, &v);
	if (!is_told(&v))
		return emit_doubts(j, &v);
	/* What a family trains together is not one model's training. */
	if (j->s->group == POLICY_FAMILY && !(v.cases >> CASE_STRUCTURING & 1))
		return 0;
	for (size_t i = 0; r == 0 && i < g->level_count; i++) {
		const struct regime_level *l = &g->levels[i];

		if ((l->lower ? v.low : v.high) >= regime_limit_figure(&v.limit, l->share_ppm))
			r = emit_level(j, &v, l, owner);
	}
	for (int c = 0; r == 0 && g->mode == REGIME_ENFORCE && c < CASE_END; c++)
		if ((v.cases & g->cases) >> c & 1)
			r = emit_case(j, &v, (enum regime_case)c);
	return r;
}
