// SPDX-License-Identifier: Apache-2.0
/* Where the customer's seat and ultimate parent are: an event per ownership version, a case when training is
 * material. */
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
	struct json_out *o = j->out;
	struct alert a;
	char sentence[600];

	if (!policy_begin(j, ALERT_OWNER, g, j->tenant, f->answer.version, &a))
		return 0;
	/* No name of a parent, no country: this goes to the people who run the machines. */
	snprintf(sentence, sizeof(sentence),
		 "%s: %s under %s version %s (%s). The facts are in case %s, for compliance; nothing is to "
		 "be done to the job.",
		 j->tenant,
		 f->answer.state == OWNER_KNOWN ? "ownership calls for a look"
						: owner_state_text(f->answer.state),
		 g->id, g->version, g->citation, f->case_id);
	json_out_member(o, "case", f->case_id);
	json_out_member(o, "ownership_version", f->answer.version);
	json_out_key(o, "known");
	json_out_bool(o, f->answer.state == OWNER_KNOWN);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	return policy_emit(j, &a, sentence);
}

static void add_path(struct json_out *o, const struct owner_answer *a)
{
	char text[24];

	json_out_key(o, "path");
	json_out_open(o, '[');
	for (size_t i = 0; i < a->steps; i++) {
		json_out_open(o, '{');
		json_out_member(o, "entity", a->path[i].entity);
		json_out_member(o, "name", a->path[i].name);
		json_out_member(o, "headquarters", a->path[i].headquarters);
		json_out_key(o, "share");
		json_out_real(o, a->path[i].share_ppm / 1e6);
		json_out_member(o, "source", a->path[i].source);
		json_out_member(o, "as_of", date_format(a->path[i].as_of_day, text));
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
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

static void add_checklist(struct json_out *o, const struct regime *g)
{
	json_out_key(o, "checklist");
	json_out_open(o, '[');
	for (size_t i = 0; i < g->checklist_count; i++) {
		json_out_open(o, '{');
		json_out_member(o, "duty", g->checklist[i]);
		json_out_key(o, "done");
		json_out_bool(o, false);
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
}

static int emit_case(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	struct json_out *o = j->out;
	struct alert a;
	char sentence[600];

	if (!policy_begin(j, ALERT_CASE, g, j->tenant, f->answer.version, &a))
		return 0;
	snprintf(sentence, sizeof(sentence),
		 "%s: material training observed here for a customer whose seat or ultimate parent is %s: %s "
		 "version %s, %s.",
		 j->s->name, seat_text(j->p, g, &f->answer), g->id, g->version, g->citation);
	json_out_member(o, "case", f->case_id);
	json_out_member(o, "cause", "material-training");
	json_out_member(o, "state", "detected");
	/* Who is not known is not cleared, and not condemned either: work waits for the answer. */
	json_out_key(o, "hold");
	json_out_bool(o, f->answer.state != OWNER_KNOWN);
	json_out_member(o, "tenant", j->tenant);
	json_out_member(o, "model", j->s->total->model);
	json_out_member(o, "ownership", owner_state_text(f->answer.state));
	json_out_member(o, "ownership_version", f->answer.version);
	json_out_member(o, "seat", seat_text(j->p, g, &f->answer));
	add_path(o, &f->answer);
	add_checklist(o, g);
	policy_add_retention(o, g);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	policy_add_figures(o, j->s->total);
	return policy_emit(j, &a, sentence);
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
