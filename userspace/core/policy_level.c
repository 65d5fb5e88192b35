// SPDX-License-Identifier: Apache-2.0
/* A verdict as alerts, one for each level that is met, and as cases where the regime is enforced. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "policy_internal.h"

/* What may be said of one level of a verdict. */
static void level_words(const struct verdict *v, const struct regime_level *l, char *buf, size_t size)
{
	const struct regime *g = v->regime;
	bool floor_only = v->standing == VERDICT_CONDITIONAL && g->floor_missing && !v->is_derived &&
			  !strcmp(v->missing, g->floor_missing) && l->share_ppm != PPM_ONE;

	if ((v->standing == VERDICT_CONDITIONAL && !floor_only) || v->standing == VERDICT_EXEMPT)
		snprintf(buf, size, "%s(%s)", verdict_standing_name(v->standing), v->missing);
	else
		snprintf(buf, size, "%s",
			 v->low >= regime_limit_figure(&v->limit, l->share_ppm) ? "reached" : "possible");
}

static json_t *meter_names(uint32_t meters)
{
	json_t *list = json_array();

	for (int m = 1; m < 32; m++)
		if (meters >> m & 1)
			json_array_append_new(list, json_string(om_meter_name((uint8_t)m)));
	return list;
}

static void meters_text(uint32_t meters, char *buf, size_t size)
{
	size_t at = 0;

	snprintf(buf, size, "no meter");
	for (int m = 1; m < 32; m++)
		if ((meters >> m & 1) && at < size)
			at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "",
					       om_meter_name((uint8_t)m));
}

static json_t *case_names(uint32_t cases)
{
	json_t *list = json_array();

	for (int c = 0; c < CASE_END; c++)
		if (cases >> c & 1)
			json_array_append_new(list, json_string(regime_case_name((enum regime_case)c)));
	return list;
}

static json_t *range_json(opcount low, opcount high)
{
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN];

	return json_pack("{s:s,s:s}", "low", opcount_format(low, a), "high", opcount_format(high, b));
}

/* "between A and B training operations observed here; with what is declared, ..." */
static void figures_text(const struct verdict *v, const struct om_subject_total *t, char *buf, size_t size)
{
	struct range o = { v->observed_low, v->observed_high }, c = { v->low, v->high };
	char seen[100], all[100];

	range_text(&o, seen, sizeof(seen));
	snprintf(buf, size, "%s training operations observed here%s", seen,
		 t->attempted ? " (attempted)" : "");
	if (!v->has_declared || (o.low == c.low && o.high == c.high))
		return;
	snprintf(buf, size, "%s training operations observed here%s, %s with what is declared", seen,
		 t->attempted ? " (attempted)" : "", range_text(&c, all, sizeof(all)));
}

static void fill(json_t *data, const struct judgement *j, const struct verdict *v)
{
	static const char *const groups[] = { "model", "lineage", "family" };
	char n[OPCOUNT_STRLEN];
	const struct regime *g = v->regime;

	if (g->threshold != OPCOUNT_MAX)
		json_object_set_new(data, "threshold", json_string(opcount_format(g->threshold, n)));
	json_object_set_new(data, "limit",
			    json_string(opcount_format(regime_limit_figure(&v->limit, PPM_ONE), n)));
	json_object_set_new(data, "comparator", json_string(regime_comparator_text(v->limit.comparator)));
	json_object_set_new(data, "counted", range_json(v->low, v->high));
	json_object_set_new(data, "executed",
			    range_json(j->s->total->executed_low, j->s->total->executed_high));
	json_object_set_new(data, "declared", json_boolean(v->has_declared));
	json_object_set_new(data, "meters", meter_names(v->meters));
	json_object_set_new(data, "findings", case_names(v->cases));
	json_object_set_new(data, "group", json_string(groups[j->s->group]));
	json_object_set_new(
		data, "members",
		json_pack("{s:i,s:i}", "tenants", (int)j->s->tenants, "models", (int)j->s->models));
	json_object_set_new(data, "demo", json_boolean(g->demo));
	policy_add_figures(data, j->s->total);
}

static int emit_level(const struct judgement *j, const struct verdict *v, const struct regime_level *l,
		      const struct owner_finding *owner)
{
	const struct regime *g = v->regime;
	char verdict[340], sentence[1000], figures[300], n[OPCOUNT_STRLEN], meters[120];
	json_t *data;

	if (policy_is_known(j, ALERT_LEVEL, g, j->s->name, l->name))
		return 0;
	data = policy_facts(g);
	if (!data)
		return -ENOMEM;
	level_words(v, l, verdict, sizeof(verdict));
	figures_text(v, j->s->total, figures, sizeof(figures));
	meters_text(v->meters, meters, sizeof(meters));
	snprintf(sentence, sizeof(sentence),
		 "%.140s: %.160s: level '%s' %.120s, at least %s (meters: %s). %.100s (%s version %s; %s).",
		 j->s->name, figures, l->name, verdict,
		 opcount_human(regime_limit_figure(&v->limit, l->share_ppm), n), meters, g->title, g->id,
		 g->version, g->citation);
	json_object_set_new(data, "level", json_string(l->name));
	json_object_set_new(data, "verdict", json_string(verdict));
	json_object_set_new(data, "figure",
			    json_string(l->lower ? "training, lower bound" : "training, upper bound"));
	fill(data, j, v);
	json_object_set_new(data, "notices", policy_notices(j, g, l));
	if (owner->material && g->mode == REGIME_ENFORCE)
		json_object_set_new(data, "case", json_string(owner->case_id));
	return policy_emit(j, ALERT_LEVEL, g, j->s->name, l->name, sentence, data);
}

static int emit_case(const struct judgement *j, const struct verdict *v, enum regime_case c)
{
	const struct regime *g = v->regime;
	char id[24], words[400], figures[300], sentence[1000];
	json_t *data;

	if (policy_is_known(j, ALERT_CASE, g, j->s->name, regime_case_name(c)))
		return 0;
	data = policy_facts(g);
	if (!data)
		return -ENOMEM;
	policy_case_id(j, g, j->s->name, regime_case_name(c), id);
	figures_text(v, j->s->total, figures, sizeof(figures));
	verdict_words(v, words, sizeof(words));
	snprintf(sentence, sizeof(sentence), "%.140s: %s: %.200s; %.120s. %s version %s, %s.", j->s->name,
		 regime_case_name(c), figures, words, g->id, g->version, g->citation);
	json_object_set_new(data, "case", json_string(id));
	json_object_set_new(data, "cause", json_string(regime_case_name(c)));
	json_object_set_new(data, "state", json_string("detected"));
	json_object_set_new(data, "tenant", json_string(j->s->total->tenant));
	json_object_set_new(data, "model", json_string(j->s->total->model));
	json_object_set_new(data, "verdict", json_string(words));
	json_object_set_new(data, "retention", policy_retention(g));
	fill(data, j, v);
	return policy_emit(j, ALERT_CASE, g, j->s->name, regime_case_name(c), sentence, data);
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
