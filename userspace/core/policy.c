// SPDX-License-Identifier: Apache-2.0
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"

#define NS_PER_DAY 86400000000000ULL

struct judgement {
	const struct policy *p;
	const struct om_subject_total *s;
	char subject[140];
	int32_t day;
	int (*emit)(void *ctx, const struct alert *a);
	void *ctx;
};

/* What the owner regimes say of the subject's tenant. */
struct owner_finding {
	const struct regime *regime; /* NULL: nothing found */
	struct owner_answer answer;
	bool flagged, material;
	char case_id[24];
};

static int emit(const struct judgement *j, enum alert_type type, const struct regime *g, const char *level,
		const char *sentence, json_t *data)
{
	struct alert a = {
		.type = type,
		.source = j->p->source,
		.subject = j->subject,
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

static json_t *regime_facts(const struct regime *g)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "regime", g->id, "version", g->version, "digest",
			 g->digest, "mode", regime_mode_name(g->mode), "citation", g->citation, "evidence",
			 g->evidence);
}

static void add_figures(json_t *data, const struct om_subject_total *s)
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

static const char *comparator_text(const struct regime *g)
{
	return g->comparator == REGIME_AT_LEAST ? ">=" : ">";
}

/* reached, possible or conditional(...): what the figure's bounds allow to say. */
static void verdict_text(const struct regime *g, const struct regime_level *level,
			 const struct om_subject_total *s, char *buf, size_t size)
{
	if (!regime_level_met(g, level, s->training_low))
		snprintf(buf, size, "possible");
	else if (g->floor_missing && level->share_ppm == 1000000)
		snprintf(buf, size, "conditional(%s)", g->floor_missing);
	else
		snprintf(buf, size, "reached");
}

static int emit_level(const struct judgement *j, const struct regime *g, const struct regime_level *level,
		      const struct owner_finding *owner)
{
	char threshold[OPCOUNT_STRLEN], low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN], figure[OPCOUNT_STRLEN];
	char verdict[200], sentence[600], range[160];
	json_t *data = regime_facts(g);

	if (!data)
		return -ENOMEM;
	verdict_text(g, level, j->s, verdict, sizeof(verdict));
	opcount_format(g->threshold, threshold);
	opcount_human(j->s->training_low, low);
	opcount_human(j->s->training_high, high);
	if (j->s->training_low == j->s->training_high)
		snprintf(range, sizeof(range), "%s training operations", low);
	else
		snprintf(range, sizeof(range), "between %s and %s training operations", low, high);
	snprintf(sentence, sizeof(sentence),
		 "%s: %s observed here%s: level '%s' %s, %s %s. %s (%s version %s; %s).", j->subject, range,
		 j->s->attempted ? " (attempted)" : "", level->name, verdict, comparator_text(g),
		 opcount_human(regime_level_figure(g, level), figure), g->title, g->id, g->version,
		 g->citation);
	json_object_set_new(data, "level", json_string(level->name));
	json_object_set_new(data, "verdict", json_string(verdict));
	json_object_set_new(data, "figure",
			    json_string(level->lower ? "training, lower bound" : "training, upper bound"));
	json_object_set_new(data, "threshold", json_string(threshold));
	json_object_set_new(data, "comparator", json_string(comparator_text(g)));
	json_object_set_new(data, "demo", json_boolean(g->demo));
	add_figures(data, j->s);
	if (owner->material && g->mode == REGIME_ENFORCE)
		json_object_set_new(data, "case", json_string(owner->case_id));
	return emit(j, ALERT_LEVEL, g, level->name, sentence, data);
}

static int judge_threshold(const struct judgement *j, const struct regime *g,
			   const struct owner_finding *owner)
{
	int r;

	for (size_t i = 0; i < g->level_count; i++) {
		const struct regime_level *l = &g->levels[i];

		if (!regime_level_met(g, l, l->lower ? j->s->training_low : j->s->training_high))
			continue;
		r = emit_level(j, g, l, owner);
		if (r)
			return r;
	}
	return 0;
}

/* The customer's own seat counts as much as its ultimate parent's. */
static bool is_flagged(const struct policy *p, const struct regime *g, const struct owner_answer *a)
{
	if (a->state != OWNER_KNOWN)
		return true; /* unknown is never clear */
	return !regimes_country_in(p->regimes, g->clear_set, a->path[0].headquarters) ||
	       !regimes_country_in(p->regimes, g->clear_set, a->path[a->steps - 1].headquarters);
}

static bool is_material(const struct policy *p, const struct regime *g, const struct om_subject_total *s)
{
	const struct regime *t = regimes_find(p->regimes, g->threshold_of);
	struct regime_level l = { .share_ppm = g->material_ppm };

	return t && t->kind == REGIME_THRESHOLD && regime_level_met(t, &l, s->training_high);
}

static int emit_owner(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	char sentence[600];
	json_t *data = regime_facts(g);

	if (!data)
		return -ENOMEM;
	/* No name of a parent, no country: this goes to the people who run the machines. */
	snprintf(sentence, sizeof(sentence),
		 "%s: %s under %s version %s (%s). The facts are in case %s, for compliance; nothing is to "
		 "be done to the job.",
		 j->s->tenant,
		 f->answer.state == OWNER_KNOWN ? "ownership calls for a look"
						: owner_state_text(f->answer.state),
		 g->id, g->version, g->citation, f->case_id);
	json_object_set_new(data, "case", json_string(f->case_id));
	json_object_set_new(data, "ownership_version", json_string(f->answer.version));
	json_object_set_new(data, "known", json_boolean(f->answer.state == OWNER_KNOWN));
	json_object_set_new(data, "demo", json_boolean(g->demo));
	return emit(j, ALERT_OWNER, g, f->answer.version, sentence, data);
}

static json_t *path_json(const struct owner_answer *a)
{
	json_t *path = json_array();

	for (size_t i = 0; i < a->steps; i++) {
		char day[16];

		json_array_append_new(path, json_pack("{s:s,s:s,s:s,s:f,s:s,s:s}", "entity",
						      a->path[i].entity, "name", a->path[i].name,
						      "headquarters", a->path[i].headquarters, "share",
						      a->path[i].share_ppm / 1e6, "source", a->path[i].source,
						      "as_of", date_format(a->path[i].as_of_day, day)));
	}
	return path;
}

static const char *seat_text(const struct policy *p, const struct regime *g, const struct owner_answer *a)
{
	if (a->state != OWNER_KNOWN)
		return "unknown";
	for (size_t i = 0; i<a->steps; i += a->steps> 1 ? a->steps - 1 : 1)
		if (regimes_country_in(p->regimes, g->apart_set, a->path[i].headquarters))
			return g->apart_set;
	return "outside the clear set";
}

static int emit_case(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	char sentence[600];
	json_t *data = regime_facts(g), *checklist = json_array();

	if (!data || !checklist)
		return -ENOMEM;
	for (size_t i = 0; i < g->checklist_count; i++)
		json_array_append_new(checklist, json_pack("{s:s,s:b}", "duty", g->checklist[i], "done", 0));
	snprintf(sentence, sizeof(sentence),
		 "%s: material training observed here for a customer whose seat or ultimate parent is %s: %s "
		 "version %s, %s.",
		 j->subject, seat_text(j->p, g, &f->answer), g->id, g->version, g->citation);
	json_object_set_new(data, "case", json_string(f->case_id));
	json_object_set_new(data, "state", json_string("detected"));
	json_object_set_new(data, "tenant", json_string(j->s->tenant));
	json_object_set_new(data, "model", json_string(j->s->model));
	json_object_set_new(data, "ownership", json_string(owner_state_text(f->answer.state)));
	json_object_set_new(data, "ownership_version", json_string(f->answer.version));
	json_object_set_new(data, "seat", json_string(seat_text(j->p, g, &f->answer)));
	json_object_set_new(data, "path", path_json(&f->answer));
	json_object_set_new(data, "checklist", checklist);
	json_object_set_new(data, "demo", json_boolean(g->demo));
	add_figures(data, j->s);
	return emit(j, ALERT_CASE, g, f->answer.version, sentence, data);
}

/* Emits what the owner regimes find; *ret is the first that opens a case. */
static int judge_owners(struct judgement *j, struct owner_finding *ret)
{
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (!j->p->owners || !strcmp(j->s->tenant, "unknown"))
		return 0;
	for (size_t i = 0; r == 0 && i < regimes_count(j->p->regimes); i++) {
		struct owner_finding f = { .regime = regimes_at(j->p->regimes, i) };
		char hex[OM_ID_STRLEN], with_model[140];
		struct om_id id;

		if (f.regime->kind != REGIME_OWNER || !regime_holds_on(f.regime, j->day))
			continue;
		owners_resolve(j->p->owners, j->s->tenant, j->day, &f.answer);
		f.flagged = is_flagged(j->p, f.regime, &f.answer);
		if (!f.flagged)
			continue;
		f.material = is_material(j->p, f.regime, j->s);
		/* The event is about the tenant: one, however many models it trains. */
		memcpy(with_model, j->subject, sizeof(with_model));
		snprintf(j->subject, sizeof(j->subject), "%s", j->s->tenant);
		alert_make_id(ALERT_CASE, j->p->source, f.regime->id, f.regime->version, j->subject,
			      f.answer.version, &id);
		snprintf(f.case_id, sizeof(f.case_id), "case-%.12s", om_id_format(&id, hex));
		r = emit_owner(j, &f);
		if (r == 0 && f.material && f.regime->mode == REGIME_ENFORCE)
			r = emit_case(j, &f);
		memcpy(j->subject, with_model, sizeof(with_model));
		if (!ret->regime || (f.material && !ret->material))
			*ret = f;
	}
	return r;
}

int policy_judge(const struct policy *p, const struct om_subject_total *s,
		 int (*emit_fn)(void *ctx, const struct alert *a), void *ctx)
{
	struct judgement j = {
		.p = p, .s = s, .day = (int32_t)(p->now_ns / NS_PER_DAY), .emit = emit_fn, .ctx = ctx
	};
	struct owner_finding owner;
	int r;

	snprintf(j.subject, sizeof(j.subject), "%s/%s", s->tenant, s->model);
	r = judge_owners(&j, &owner);
	for (size_t i = 0; r == 0 && i < regimes_count(p->regimes); i++) {
		const struct regime *g = regimes_at(p->regimes, i);

		if (g->kind == REGIME_THRESHOLD && regime_holds_on(g, j.day))
			r = judge_threshold(&j, g, &owner);
	}
	return r;
}
