// SPDX-License-Identifier: Apache-2.0
/* Where the customer's seat and ultimate parent are: an event per ownership version, a case when training is
 * material. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/yaml.h"
#include "policy_internal.h"

/* The customer's own seat counts as much as its ultimate parent's. */
static bool is_flagged(const struct policy *p, const struct regime *g, const struct owner_answer *a)
{
	/* What is unknown, lapsed or waits for a word about a list is never clear. */
	if (!owner_is_settled(a))
		return true;
	return !regimes_country_in(p->regimes, g->clear_set, a->path[0].headquarters) ||
	       !regimes_country_in(p->regimes, g->clear_set, a->path[a->steps - 1].headquarters);
}

/* With what is declared: a run that is split over providers is no smaller for it. */
static bool is_material(const struct judgement *j, const struct regime *g)
{
	const struct regime *t = regimes_on(j->p->regimes, g->threshold_of, j->day);
	struct regime_limit limit;
	struct verdict v = { .steps = NULL };

	if (!t || t->kind != REGIME_THRESHOLD || t->threshold_missing)
		return false;
	limit = regime_limit_of(t);
	if (j->s->total->training_high >= regime_limit_figure(&limit, g->material_ppm))
		return true;
	if (!declarations_concern(j->p->declarations, j->s->name))
		return false;
	policy_verdict(j->p, j->s, t, &v);
	return v.standing != VERDICT_EXEMPT && v.high >= regime_limit_figure(&limit, g->material_ppm);
}

static int emit_owner(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	char sentence[600];
	json_t *data;

	if (policy_is_known(j, ALERT_OWNER, g, j->tenant, f->answer.version))
		return 0;
	data = policy_facts(g);
	if (!data)
		return -ENOMEM;
	/* No name of a parent, no country: this goes to the people who run the machines. */
	snprintf(sentence, sizeof(sentence),
		 "%s: %s under %s version %s (%s). The facts are in case %s, for compliance; nothing is to "
		 "be done to the job.",
		 j->tenant,
		 f->answer.state == OWNER_KNOWN ? "ownership calls for a look"
						: owner_state_text(f->answer.state),
		 g->id, g->version, g->citation, f->case_id);
	json_object_set_new(data, "case", json_string(f->case_id));
	json_object_set_new(data, "ownership_version", json_string(f->answer.version));
	json_object_set_new(data, "known", json_boolean(f->answer.state == OWNER_KNOWN));
	json_object_set_new(data, "demo", json_boolean(g->demo));
	return policy_emit(j, ALERT_OWNER, g, j->tenant, f->answer.version, sentence, data);
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
	if (regimes_country_in(p->regimes, g->apart_set, a->path[0].headquarters) ||
	    regimes_country_in(p->regimes, g->apart_set, a->path[a->steps - 1].headquarters))
		return g->apart_set;
	return "outside the clear set";
}

static int emit_case(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	char sentence[600];
	json_t *data, *checklist;

	if (policy_is_known(j, ALERT_CASE, g, j->tenant, f->answer.version))
		return 0;
	data = policy_facts(g);
	checklist = json_array();
	if (!data || !checklist)
		return -ENOMEM;
	for (size_t i = 0; i < g->checklist_count; i++)
		json_array_append_new(checklist, json_pack("{s:s,s:b}", "duty", g->checklist[i], "done", 0));
	snprintf(sentence, sizeof(sentence),
		 "%s: material training observed here for a customer whose seat or ultimate parent is %s: %s "
		 "version %s, %s.",
		 j->s->name, seat_text(j->p, g, &f->answer), g->id, g->version, g->citation);
	json_object_set_new(data, "case", json_string(f->case_id));
	json_object_set_new(data, "cause", json_string("material-training"));
	json_object_set_new(data, "state", json_string("detected"));
	/* Who is not known is not cleared, and not condemned either: work waits for the answer. */
	json_object_set_new(data, "hold", json_boolean(f->answer.state != OWNER_KNOWN));
	json_object_set_new(data, "tenant", json_string(j->tenant));
	json_object_set_new(data, "model", json_string(j->s->total->model));
	json_object_set_new(data, "ownership", json_string(owner_state_text(f->answer.state)));
	json_object_set_new(data, "ownership_version", json_string(f->answer.version));
	json_object_set_new(data, "seat", json_string(seat_text(j->p, g, &f->answer)));
	json_object_set_new(data, "path", path_json(&f->answer));
	json_object_set_new(data, "checklist", checklist);
	json_object_set_new(data, "retention", policy_retention(g));
	json_object_set_new(data, "demo", json_boolean(g->demo));
	policy_add_figures(data, j->s->total);
	return policy_emit(j, ALERT_CASE, g, j->tenant, f->answer.version, sentence, data);
}

static int judge_tenant(const struct judgement *j, struct owner_finding *ret)
{
	int r = 0;

	if (!j->tenant || !*j->tenant || !strcmp(j->tenant, "unknown"))
		return 0;
	for (size_t i = 0; r == 0 && i < regimes_count(j->p->regimes); i++) {
		struct owner_finding f = { .regime = regimes_at(j->p->regimes, i) };

		if (f.regime->kind != REGIME_OWNER || !regime_holds_on(f.regime, j->day))
			continue;
		owners_resolve(j->p->owners, j->tenant, j->day, &f.answer);
		f.flagged = is_flagged(j->p, f.regime, &f.answer);
		if (!f.flagged)
			continue;
		f.material = is_material(j, f.regime);
		/* The event is about the tenant: one, however many models it trains. */
		policy_case_id(j, f.regime, j->tenant, f.answer.version, f.case_id);
		r = emit_owner(j, &f);
		if (r == 0 && f.material && f.regime->mode == REGIME_ENFORCE)
			r = emit_case(j, &f);
		if (!ret->regime || (f.material && !ret->material))
			*ret = f;
	}
	return r;
}

int policy_judge_owners(const struct judgement *j, struct owner_finding *ret)
{
	const struct om_subject_total *t = j->s->total;
	struct judgement one = *j;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (!j->p->owners)
		return 0;
	one.tenant = j->s->tenant;
	if (j->s->tenant)
		return judge_tenant(&one, ret);
	/* Whoever takes part in a lineage takes part in the whole of it. */
	for (size_t i = 0; r == 0 && j->s->group == POLICY_LINEAGE && i < t->member_count; i++) {
		one.tenant = t->members[i].tenant;
		r = judge_tenant(&one, ret);
	}
	return r;
}
