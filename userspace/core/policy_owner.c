// SPDX-License-Identifier: Apache-2.0
/* Where the customer and its ultimate parent are headquartered: an event per ownership version, a case when
 * training is material. */
#include <stdio.h>
#include <string.h>

#include "../base/yaml.h"
#include "policy_internal.h"

/* The customer's own headquarters count as much as its ultimate parent's. */
static bool is_flagged(const struct policy *p, const struct regime *g, const struct owner_answer *a)
{
	/* What is unknown, lapsed or waits for a word about a list is never clear. */
	if (!owner_is_settled(a))
		return true;
	return !regimes_country_in(p->regimes, g->clear_set, a->path[0].headquarters) ||
	       !regimes_country_in(p->regimes, g->clear_set, a->path[a->steps - 1].headquarters);
}

/* With what is declared: a run that is split over providers is no smaller for it. `certainly`: by the lower
 * bounds. */
static bool is_material(const struct judgement *j, const struct regime *g, bool certainly)
{
	const struct om_subject_total *total = j->s->total;
	const struct regime *t = regimes_on(j->p->regimes, g->threshold_of, j->day);
	struct regime_limit limit;
	struct verdict v = { .steps = NULL };
	opcount limit_figure;

	if (!t || t->kind != REGIME_THRESHOLD || t->threshold_missing)
		return false;
	limit = regime_limit_of(t);
	limit_figure = regime_limit_figure(&limit, g->material_ppm);
	if ((certainly ? total->training_low : total->training_high) >= limit_figure)
		return true;
	if (!declarations_concern(j->p->declarations, j->s->name))
		return false;
	policy_verdict(j->p, j->s, t, &v);
	return v.standing != VERDICT_EXEMPT && (certainly ? v.low : v.high) >= limit_figure;
}

static int emit_owner(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	struct json_out *o = j->out;
	struct alert a;
	char sentence[600], facts[64];

	if (!policy_begin(j, ALERT_OWNER, g, j->tenant, f->answer.version, &a))
		return 0;
	/* No name of a parent, no country: this goes to the people who run the machines. */
	snprintf(sentence, sizeof(sentence),
		 "%s: %s under %s version %s (%s). %s; nothing is to be done to the job.", j->tenant,
		 f->answer.state == OWNER_KNOWN ? "ownership calls for a look"
						: owner_state_text(f->answer.state),
		 g->id, g->version, g->citation, policy_case_words(g, f->case_id, facts));
	if (*f->case_id)
		json_out_member(o, "case", f->case_id);
	json_out_member(o, "ownership_version", f->answer.version);
	json_out_key(o, "known");
	json_out_bool(o, f->answer.state == OWNER_KNOWN);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	return policy_emit(j, &a, sentence);
}

/* Of an earlier owner no total tells exactly what was trained until another came, and it may be material: a
 * person is told so; the case follows when it is told. */
static int emit_possible(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	struct json_out *o = j->out;
	struct alert a;
	char sentence[600], version[80], day[16];

	snprintf(version, sizeof(version), "%s/possible", f->answer.version);
	if (!policy_begin(j, ALERT_OWNER, g, j->tenant, version, &a))
		return 0;
	date_format(f->to, day);
	snprintf(sentence, sizeof(sentence),
		 "%s: what was trained before its owner changed on %s is known within bounds only; it may be "
		 "material under %s version %s (%s). %s",
		 j->tenant, day, g->id, g->version, g->citation,
		 g->mode == REGIME_ENFORCE ? "The case follows if it is." : "No case is opened.");
	json_out_member(o, "ownership_version", f->answer.version);
	json_out_key(o, "known");
	json_out_bool(o, f->answer.state == OWNER_KNOWN);
	json_out_member(o, "material", "possible");
	json_out_member(o, "owner_until", day);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	policy_add_figures(o, j->s->total);
	return policy_emit(j, &a, sentence);
}

void policy_add_path(struct json_out *o, const struct owner_answer *a)
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

const char *policy_seat_words(const struct policy *p, const struct regime *g, const struct owner_answer *a)
{
	const char *seat = seat_text(p, g, a);

	if (a->state != OWNER_KNOWN)
		return "not known";
	if (seat != g->apart_set)
		return "outside the clear set";
	return strcmp(seat, "bis-d5-macau") ? seat : "in Country Group D:5 or Macau";
}

void policy_add_checklist(struct json_out *o, const struct regime *g)
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

const int32_t *policy_changes_in_run(const struct owners *o, const char *tenant, uint32_t first_day,
				     int32_t today, size_t *ret)
{
	size_t n = 0, skip = 0;
	const int32_t *day = owners_change_days(o, tenant, &n);

	*ret = 0;
	if (!first_day)
		return NULL;
	while (n && day[n - 1] > today)
		n--;
	while (skip < n && (day[skip] <= (int32_t)first_day || n - skip > OM_UNTIL_MAX))
		skip++;
	*ret = n - skip;
	return day + skip;
}

static const int32_t *changes_in_run(const struct judgement *j, size_t *ret)
{
	*ret = 0;
	return j->p->is_live
		       ? policy_changes_in_run(j->p->owners, j->tenant, j->whole->first_day, j->day, ret)
		       : NULL;
}

static opcount less(opcount a, opcount b)
{
	return a > b ? a - b : 0;
}

static void add_trained(struct json_out *o, const struct om_until *begin, const struct om_until *end)
{
	bool is_wide = begin->is_wide || end->is_wide;

	json_out_key(o, "training");
	json_out_open(o, '{');
	json_out_key(o, "low");
	json_out_count(o, less(end->training_low, is_wide ? begin->training_high : begin->training_low));
	json_out_key(o, "high");
	json_out_count(o, less(end->training_high, is_wide ? begin->training_low : begin->training_high));
	json_out_close(o, '}');
	json_out_key(o, "told");
	json_out_bool(o, !is_wide);
}

static void add_period(const struct judgement *j, int32_t from, int32_t to)
{
	const struct om_subject_total *t = j->whole;
	struct om_until begin, end = { .training_low = t->training_low, .training_high = t->training_high };
	struct json_out *o = j->out;
	struct owner_answer a;
	char text[24];

	om_until_on(t, (uint32_t)from, &begin);
	if (to)
		om_until_on(t, (uint32_t)to, &end);
	owners_resolve(j->p->owners, j->tenant, from, &a);
	json_out_open(o, '{');
	json_out_member(o, "from", date_format(from, text));
	json_out_key(o, "to");
	to ? json_out_string(o, date_format(to, text)) : json_out_null(o);
	json_out_member(o, "ownership_version", a.version);
	add_trained(o, &begin, &end);
	json_out_close(o, '}');
}

/* What was trained under which owner, where it changed in mid-run. */
static void add_periods(const struct judgement *j)
{
	size_t n;
	const int32_t *day = changes_in_run(j, &n);
	int32_t from = (int32_t)j->whole->first_day;

	if (!n)
		return;
	json_out_key(j->out, "periods");
	json_out_open(j->out, '[');
	for (size_t i = 0; i < n; from = day[i++])
		add_period(j, from, day[i]);
	add_period(j, from, 0);
	json_out_close(j->out, ']');
}

static int emit_case(const struct judgement *j, const struct owner_finding *f)
{
	const struct regime *g = f->regime;
	struct json_out *o = j->out;
	struct alert a;
	char sentence[600], day[16];

	if (!policy_begin(j, ALERT_CASE, g, j->tenant, f->answer.version, &a))
		return 0;
	snprintf(sentence, sizeof(sentence),
		 "%s: material training observed here for a customer whose headquarters, or its ultimate "
		 "parent's, are %s: %s "
		 "version %s, %s.",
		 j->s->name, policy_seat_words(j->p, g, &f->answer), g->id, g->version, g->citation);
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
	policy_add_path(o, &f->answer);
	if (f->to) {
		json_out_member(o, "owner_until", date_format(f->to, day));
		json_out_key(o, "owner_until_told");
		json_out_bool(o, f->is_told);
	}
	add_periods(j);
	policy_add_checklist(o, g);
	policy_add_retention(o, g);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	policy_add_figures(o, j->s->total);
	return policy_emit(j, &a, sentence);
}

/* One owner, today's or an earlier one: f->answer is there. */
static int judge_owner(const struct judgement *j, struct owner_finding *f, struct owner_finding *ret)
{
	int r;

	f->flagged = is_flagged(j->p, f->regime, &f->answer);
	if (!f->flagged)
		return 0;
	/* What is not told may have been trained later: a case of it would be there for good. */
	f->material = is_material(j, f->regime, f->to && !f->is_told);
	/* The event is about the tenant: one, however many models it trains. */
	if (f->material && f->regime->mode == REGIME_ENFORCE)
		policy_case_id(j, f->regime, j->tenant, f->answer.version, f->case_id);
	r = emit_owner(j, f);
	if (r == 0 && *f->case_id)
		r = emit_case(j, f);
	else if (r == 0 && f->to && !f->is_told && is_material(j, f->regime, false))
		r = emit_possible(j, f);
	if (!ret->regime || (f->material && !ret->material) || (*f->case_id && !*ret->case_id))
		*ret = *f;
	return r;
}

/* An owner that the tenant had, by what was trained until it had another one; where no total tells that, by
 * what was trained until then at least. */
static int judge_period(const struct judgement *j, const struct regime *g, int32_t from, int32_t to,
			struct owner_finding *ret)
{
	struct owner_finding f = { .regime = g, .from = from, .to = to };
	struct om_subject_total past = *j->s->total;
	struct policy_subject subject = *j->s;
	struct judgement one = *j;
	struct om_until until;

	om_until_on(&past, (uint32_t)to, &until);
	if (until.is_wide && j->p->is_until_due)
		return 0;
	past.training_low = until.training_low;
	past.training_high = past.training_ceiling = until.training_high;
	f.is_told = !until.is_wide;
	subject.total = &past;
	one.s = &subject;
	owners_resolve(j->p->owners, j->tenant, from, &f.answer);
	return judge_owner(&one, &f, ret);
}

static int judge_tenant(const struct judgement *j, struct owner_finding *ret)
{
	int r = 0;

	if (!j->tenant || !*j->tenant || !strcmp(j->tenant, "unknown"))
		return 0;
	for (size_t i = 0; r == 0 && i < regimes_count(j->p->regimes); i++) {
		struct owner_finding f = { .regime = regimes_at(j->p->regimes, i) };
		const int32_t *day;
		int32_t from;
		size_t n;

		if (f.regime->kind != REGIME_OWNER || !regime_holds_on(f.regime, j->day))
			continue;
		owners_resolve(j->p->owners, j->tenant, j->day, &f.answer);
		r = judge_owner(j, &f, ret);
		day = changes_in_run(j, &n);
		from = (int32_t)j->whole->first_day;
		for (size_t k = 0; r == 0 && k < n; from = day[k++])
			r = judge_period(j, f.regime, from, day[k], ret);
	}
	return r;
}

int policy_judge_owners(const struct judgement *j, struct owner_finding *ret)
{
	const struct om_subject_total *t = j->s->total;
	struct judgement one = *j;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	one.whole = t;
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
