// SPDX-License-Identifier: Apache-2.0
/*
 * Judgements: assignments of jobs from the static map, totals under them, and
 * the findings of policy. Each is in the ledger before anybody hears of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "../base/text.h"
#include "../core/near.h"
#include "agent_internal.h"

#define DAY_NS 86400000000000ULL

static int load_assignment(void *ctx, const struct om_entry *e)
{
	struct agent *a = ctx;
	struct om_assignment as;
	int r;

	if (!om_entry_assignment(e, &as))
		return 0;
	agent_identity_loaded(a, &as);
	r = om_totals_assign(a->totals, &as);
	return r < 0 ? r : 0;
}

static int load_register(void *ctx, const struct om_reading *r)
{
	int rc = om_totals_put(((struct agent *)ctx)->totals, r);

	return rc < 0 ? rc : 0;
}

/* Jobs of earlier runs are judged by today's map too. */
static int reassign(void *ctx, const struct om_id *job, uint64_t cgroup_id, const char *path,
		    uint64_t first_seen_ns)
{
	return path ? agent_assign(ctx, job, cgroup_id, path, first_seen_ns) : 0;
}

int agent_load_totals(struct agent *a)
{
	int r;

	a->totals = om_totals_new(AGENT_REGISTERS_MAX);
	if (!a->totals)
		return -ENOMEM;
	om_totals_set_days(a->totals, law_days, &a->law);
	r = om_ledger_each_entry(a->ledger, 0, load_assignment, a);
	r = r ?: om_ledger_each_register(a->ledger, load_register, a);
	return r ?: om_ledger_each_job(a->ledger, reassign, a);
}

int agent_assign_record(struct agent *a, const struct om_assignment *as)
{
	_cleanup_free_ char *text = om_assignment_encode(as);
	int r;

	if (!text)
		return -ENOMEM;
	r = om_ledger_append(a->ledger, OM_ENTRY_ASSIGNMENT, NULL, text, strlen(text), as->at_ns, NULL);
	if (r < 0)
		return r;
	r = om_totals_assign(a->totals, as);
	return r < 0 ? r : 0;
}

static int assign_one(struct agent *a, const struct om_assignment *as)
{
	const struct om_dated *now = om_totals_assigned(a->totals, as);

	return now && !strcmp(now->value, as->value) ? 0 : agent_assign_record(a, as);
}

int agent_assign(struct agent *a, const struct om_id *job, uint64_t cgroup_id, const char *path,
		 uint64_t from_ns)
{
	struct om_assignment as = { .ledger = *om_ledger_id(a->ledger),
				    .job = *job,
				    .from_ns = from_ns,
				    .share_low_ppm = 1000000,
				    .share_high_ppm = 1000000,
				    .at_ns = agent_now_ns() };
	struct attribution at;
	int r = 0;

	tenant_map_attribute(a->tenants, path, &at);
	snprintf(as.evidence, sizeof(as.evidence), "%s", at.evidence);
	snprintf(as.rule, sizeof(as.rule), "static-map");
	snprintf(as.version, sizeof(as.version), "%s", at.version);
	as.kind = OM_ASSIGN_TENANT;
	snprintf(as.value, sizeof(as.value), "%s", at.tenant);
	/* Not over what a resolver was told: the map says nothing of the job. */
	if (at.is_matched || !agent_identity_keeps(a, &as))
		r = assign_one(a, &as);
	if (r == 0 && at.model) {
		as.kind = OM_ASSIGN_MODEL;
		snprintf(as.value, sizeof(as.value), "%s", at.model);
		r = assign_one(a, &as);
	}
	if (r == 0 && at.declared_by) {
		as.kind = OM_ASSIGN_PHASE;
		snprintf(as.value, sizeof(as.value), "%s", om_phase_name(at.phase));
		snprintf(as.person, sizeof(as.person), "%s", at.declared_by);
		r = assign_one(a, &as);
	}
	return r ?: agent_identity_want(a, job, cgroup_id, path, from_ns, &at);
}

static void show(const struct agent *a, const struct alert *al, const char *event)
{
	char when[16];
	time_t t = (time_t)(al->time_ns / 1000000000);
	struct tm tm;

	if (!a->config->standalone)
		return;
	if (a->config->json) {
		printf("%s\n", event);
	} else {
		gmtime_r(&t, &tm);
		strftime(when, sizeof(when), "%H:%M:%SZ", &tm);
		printf("%s  %s%s  %s\n", when, al->shadow ? "shadow " : "",
		       al->type == ALERT_LEVEL	    ? "ALERT level"
		       : al->type == ALERT_OWNER    ? "ALERT owner"
		       : al->type == ALERT_CASE	    ? "CASE"
		       : al->type == ALERT_DUTY	    ? "ALERT duty"
		       : al->type == ALERT_FORECAST ? "ALERT forecast"
						    : "ALERT data",
		       al->sentence);
	}
	fflush(stdout);
}

int agent_raise(void *ctx, const struct alert *al)
{
	struct agent *a = ctx;
	char unique[OM_ID_STRLEN];
	_cleanup_free_ char *event = alert_encode(al);
	int r;

	if (!event)
		return -ENOMEM;
	om_id_format(&al->id, unique);
	r = om_ledger_append(a->ledger, al->type == ALERT_CASE ? OM_ENTRY_CASE : OM_ENTRY_ALERT, unique,
			     event, strlen(event), al->time_ns, NULL);
	if (r == 0)
		show(a, al, event);
	return r < 0 ? r : 0;
}

int agent_say(struct agent *a, const char *cause, const char *subject, const char *what_to_do)
{
	/* A subject may be a path that a tenant chose. */
	char name[256], what[300];
	struct alert al = {
		.type = ALERT_DATA, .source = a->source, .subject = name, .time_ns = agent_now_ns()
	};
	_cleanup_free_ char *data = NULL;
	json_t *o;

	text_escape(subject, name, sizeof(name));
	o = json_pack("{s:s,s:s}", "cause", cause, "what_to_do", text_escape(what_to_do, what, sizeof(what)));
	alert_make_id(ALERT_DATA, a->source, cause, "", name, "", &al.id);
	snprintf(al.sentence, sizeof(al.sentence), "%s: %s. %s", name, cause, what);
	json_object_set_new(o, "sentence", json_string(al.sentence));
	al.data = data = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return data ? agent_raise(a, &al) : -ENOMEM;
}

struct judging {
	struct agent *a;
	struct policy policy;
};

/* What the meters say of each other. A twentieth of a subject's work is worth a look. */
#define WORTH_A_LOOK 20

static int say_differences(struct agent *a, const struct om_subject_total *s)
{
	char subject[140];
	int r = 0;

	snprintf(subject, sizeof(subject), "%s/%s", s->tenant, s->model);
	if (s->contradicted > s->all_high / WORTH_A_LOOK)
		r = agent_say(a, "work was asked for that its devices cannot have done", subject,
			      "Failed or forged calls: it counts in the upper bound only; see `opmeter top "
			      "--json`.");
	if (r == 0 && s->unattributed > s->all_low / WORTH_A_LOOK)
		r = agent_say(
			a, "its devices have done work that no meter explains", subject,
			"Kernels unknown to data/kernels.csv, a library that is not probed, or evasion: see "
			"`opmeter ledger export --kernels`.");
	return r;
}

static int look_at(void *ctx, const struct om_subject_total *s)
{
	struct judging *j = ctx;

	if (om_near_level(j->policy.regimes, s, (int32_t)(j->policy.now_ns / DAY_NS)))
		agent_near_here(j->a, s);
	return say_differences(j->a, s);
}

static int each_total(void *ctx, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s),
		      void *fn_ctx)
{
	return group == OM_GROUP_MODEL ? om_totals_each(ctx, fn, fn_ctx)
				       : om_totals_each_lineage(ctx, fn, fn_ctx);
}

/* Models, then what runs through several of them, then what tenants of one parent do together. */
static int judge_all(struct judging *j)
{
	struct policy_totals totals = { each_total, j->a->totals };
	int r = om_totals_each(j->a->totals, look_at, j);

	return r ?: policy_judge_all(&j->policy, &totals, agent_raise, j->a);
}

static void to_totals(void *ctx, const struct om_reading *r)
{
	struct agent *a = ctx;
	int rc = om_totals_put(a->totals, r);

	if (rc < 0 && !a->failed)
		a->failed = rc;
}

static bool is_near(void *ctx, const struct om_id *job)
{
	return agent_near_has(ctx, job);
}

static int publish(struct agent *a, bool near_only)
{
	struct judging j = { .a = a,
			     .policy = { .is_live = true,
					 .notice_days = POLICY_NOTICE_DAYS,
					 .source = a->source,
					 .now_ns = agent_now_ns() } };
	struct agent_days days = { .agent = a, .until = (uint32_t)(j.policy.now_ns / DAY_NS) };
	bool is_law_new = false;
	size_t n;
	int r = agent_law_look(a, &is_law_new);

	if (r)
		return r;
	j.policy.days = agent_days;
	j.policy.days_ctx = &days;
	j.policy.regimes = a->law.regimes;
	j.policy.owners = a->law.owners;
	j.policy.declarations = a->law.declarations;
	r = agent_spool(a);
	if (r)
		log_warn("%s/spool: cannot be read: %s", a->config->dir, strerror(-r));
	r = om_ledger_publish_some(a->ledger, &a->node, j.policy.now_ns, near_only ? is_near : NULL,
				   to_totals, a, &n);
	if (r == -ENOSPC)
		return 0; /* agent_meter() has said so */
	if (r == 0 && (n || is_law_new) && a->law.regimes) {
		agent_near_judged(a);
		r = judge_all(&j);
	}
	if (r == 0 && a->law.regimes)
		r = agent_duties(a, &j.policy);
	history_free(days.played);
	return r ?: a->failed;
}

int agent_publish(struct agent *a)
{
	return publish(a, false);
}

int agent_publish_near(struct agent *a)
{
	return publish(a, true);
}
