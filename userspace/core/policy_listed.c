// SPDX-License-Identifier: Apache-2.0
/* What listed parties hold of the customer, under the version of the rule that the day falls into. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/yaml.h"
#include "policy_internal.h"

const char *policy_listed_verdict(const struct regime *g, enum owner_standing s)
{
	if (s == OWNER_CLEAR)
		return "clear";
	if (s == OWNER_STANDING_UNKNOWN)
		return "unknown: resolve it, or apply for a licence";
	if (s == OWNER_BELOW_RED_FLAG)
		return "red flag: below the threshold";
	if (s == OWNER_LISTED)
		return "listed";
	/* The rule is about who is not listed itself. */
	if (g->is_suspended)
		return "suspended: a red flag to review";
	return g->status && !strcmp(g->status, "unconfirmed")
		       ? "restricted, unless the suspension was extended"
		       : "restricted";
}

/* ppb as a share: "0.123456789". */
static void add_share(struct json_out *o, const char *key, uint32_t ppb)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%09u", ppb / 1000000000, ppb % 1000000000);
	json_out_member(o, key, text);
}

static void add_screening(struct json_out *o, const struct owner_share_answer *s, const char *verdict)
{
	json_out_key(o, "screening");
	json_out_open(o, '{');
	json_out_member(o, "standing", owner_standing_name(s->standing));
	json_out_member(o, "why", s->why);
	json_out_member(o, "verdict", verdict);
	add_share(o, "cascade", s->cascade_ppb);
	add_share(o, "through", s->through_ppb);
	add_share(o, "possible", s->possible_ppb);
	json_out_key(o, "hits");
	json_out_open(o, '{');
	json_out_key(o, "confirmed");
	json_out_number(o, s->hits.confirmed);
	json_out_key(o, "open");
	json_out_number(o, s->hits.open);
	json_out_key(o, "dismissed");
	json_out_number(o, s->hits.dismissed);
	json_out_close(o, '}');
	json_out_close(o, '}');
}

/* The rule asks for no training: who is restricted is so from the first operation. */
static int emit_listed_case(const struct judgement *j, const char *tenant, const struct regime *g,
			    const struct owner_answer *a, const struct owner_share_answer *s, int32_t until,
			    const char *level, const char *case_id)
{
	const char *verdict = policy_listed_verdict(g, s->standing);
	struct json_out *o = j->out;
	char sentence[600], cause[64], day[16];
	struct alert alert;

	if (!policy_begin(j, ALERT_CASE, g, tenant, level, &alert))
		return 0;
	snprintf(cause, sizeof(cause), "listed-owners/%s", owner_standing_name(s->standing));
	snprintf(sentence, sizeof(sentence), "%s: owners and lists%s%s: %s%s%s: %s version %s, %s.", tenant,
		 until ? " until " : "", until ? date_format(until, day) : "", verdict, *s->why ? ": " : "",
		 s->why, g->id, g->version, g->citation);
	json_out_member(o, "case", case_id);
	json_out_member(o, "cause", cause);
	json_out_member(o, "verdict", verdict);
	json_out_member(o, "state", "detected");
	json_out_key(o, "hold");
	json_out_bool(o, s->standing == OWNER_STANDING_UNKNOWN);
	json_out_member(o, "tenant", tenant);
	json_out_member(o, "ownership", owner_state_text(a->state));
	json_out_member(o, "ownership_version", a->version);
	policy_add_path(o, a);
	if (until)
		json_out_member(o, "owner_until", date_format(until, day));
	add_screening(o, s, verdict);
	policy_add_checklist(o, g);
	policy_add_retention(o, g);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	return policy_emit(j, &alert, sentence);
}

/* until: when it had another owner, or the rule another version; 0: not yet. */
static int emit_listed(const struct judgement *j, const char *tenant, const struct regime *g,
		       const struct owner_answer *a, const struct owner_share_answer *s, int32_t until)
{
	const char *verdict = policy_listed_verdict(g, s->standing);
	char sentence[600], level[128], case_id[24] = "", day[16], facts[64];
	struct json_out *o = j->out;
	struct alert alert;
	int r = 0;

	snprintf(level, sizeof(level), "%s/%s", a->version, owner_standing_name(s->standing));
	if (g->mode == REGIME_ENFORCE) {
		policy_case_id(j, g, tenant, level, case_id);
		r = emit_listed_case(j, tenant, g, a, s, until, level, case_id);
	}
	if (r || !policy_begin(j, ALERT_OWNER, g, tenant, level, &alert))
		return r;
	/* No name of a holder, no share, no list: this goes to the people who run the machines. */
	snprintf(sentence, sizeof(sentence),
		 "%s: owners and lists%s%s: %s, under %s version %s (%s). %s; nothing is to be "
		 "done to the job.",
		 tenant, until ? " until " : "", until ? date_format(until, day) : "", verdict, g->id,
		 g->version, g->citation, policy_case_words(g, case_id, facts));
	if (*case_id)
		json_out_member(o, "case", case_id);
	json_out_member(o, "ownership_version", a->version);
	json_out_member(o, "standing", owner_standing_name(s->standing));
	json_out_member(o, "verdict", verdict);
	if (until)
		json_out_member(o, "owner_until", date_format(until, day));
	json_out_key(o, "known");
	json_out_bool(o, s->standing != OWNER_STANDING_UNKNOWN);
	json_out_key(o, "demo");
	json_out_bool(o, g->demo);
	return policy_emit(j, &alert, sentence);
}

/* As it was at the end of `day`. */
static int judge_day(const struct judgement *j, const struct regime *g, int32_t day, int32_t until)
{
	const char *tenant = j->s->tenant;
	struct owner_share_answer s;
	struct owner_answer a;
	int r;

	owners_resolve(j->p->owners, tenant, day, &a);
	r = owners_standing(j->p->owners, tenant, day, g->lists, g->listed_ppm * 1000, &s);
	return r ?: s.standing == OWNER_CLEAR ? 0 : emit_listed(j, tenant, g, &a, &s, until);
}

/* The last day of [from, to) on which this version of the rule holds; -1: none. */
static int32_t last_day_in(const struct regime *g, int32_t from, int32_t to)
{
	int32_t end = g->to_day != INT32_MIN && g->to_day < to ? g->to_day : to;

	return end > from && regime_holds_on(g, end - 1) ? end - 1 : -1;
}

/* Owners that the tenant had in the run, and the versions of the rule that held then. */
static int judge_run(const struct judgement *j, const struct regime *g)
{
	const struct om_subject_total *t = j->s->total;
	const int32_t *day;
	int32_t from = (int32_t)t->first_day;
	size_t n;
	int r = 0;

	if (!j->p->is_live || !t->first_day)
		return 0;
	day = policy_changes_in_run(j->p->owners, j->s->tenant, t->first_day, j->day, &n);
	for (size_t i = 0; r == 0 && i <= n; i++) {
		int32_t to = i < n ? day[i] : j->day, last = last_day_in(g, from, to);

		/* Today's owner under today's version is judged as of today. */
		if (last >= 0 && !(i == n && regime_holds_on(g, j->day)))
			r = judge_day(j, g, last, last + 1);
		from = to;
	}
	return r;
}

int policy_judge_listed(const struct judgement *j)
{
	const char *tenant = j->s->tenant;
	int r = 0;

	/* It is about a tenant: who takes part in a lineage or a family is judged as a tenant too. */
	if (!tenant || !*tenant || !strcmp(tenant, "unknown"))
		return 0;
	/* Without a list nothing was compared: there is no finding, and nobody is clear. */
	if (!owners_has_lists(j->p->owners))
		return 0;
	for (size_t i = 0; r == 0 && i < regimes_count(j->p->regimes); i++) {
		const struct regime *g = regimes_at(j->p->regimes, i);

		if (g->kind != REGIME_LISTED)
			continue;
		r = regime_holds_on(g, j->day) ? judge_day(j, g, j->day, 0) : 0;
		r = r ?: judge_run(j, g);
	}
	return r;
}
