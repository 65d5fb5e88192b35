// SPDX-License-Identifier: Apache-2.0
/*
 * What resolvers answer becomes assignments, dated from the job's first sight: a late answer moves what was
 * counted meanwhile from `unknown` to its tenant. Whose word holds: a person's before any rule's
 * (core/dated.h); what the static map names is not asked for; a resolver speaks of the rest.
 *
 * A name that changes while the job runs is another assignment, from then on. Where only the
 * rules changed, it is a correction, from the first sight on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent_internal.h"
#include "resolve.h"

#define DAY_NS 86400000000000ULL

int agent_identity_open(struct agent *a, struct error_text *err)
{
	struct resolve_config c = { .rules_path = a->config->identity_path };

	return a->config->identity_path ? resolve_open(&c, &a->resolve, err) : 0;
}

/* Under which rules the last answers of the ledger were given. */
void agent_identity_loaded(struct agent *a, const struct om_assignment *as)
{
	if (!strncmp(as->rule, "resolver-", 9))
		snprintf(a->identity_version, sizeof(a->identity_version), "%s", as->version);
}

static const struct om_dated *rule_says(const struct agent *a, const struct om_assignment *as,
					uint64_t now_ns)
{
	const struct om_dated *d =
		om_totals_holds(a->totals, &as->ledger, &as->job, as->kind, (uint32_t)(now_ns / DAY_NS));

	/* Under a person's word the rule's is not seen, but there: by its beginning. */
	return d && !d->is_person ? d : om_totals_assigned(a->totals, as);
}

bool agent_identity_keeps(const struct agent *a, const struct om_assignment *as)
{
	const struct om_dated *d = a->resolve ? om_totals_assigned(a->totals, as) : NULL;

	return d && strcmp(d->value, "unknown");
}

int agent_identity_want(struct agent *a, const struct om_id *job, uint64_t cgroup_id, const char *path,
			uint64_t first_seen_ns, const struct attribution *at)
{
	struct om_assignment tenant = { .ledger = *om_ledger_id(a->ledger),
					.job = *job,
					.from_ns = first_seen_ns,
					.kind = OM_ASSIGN_TENANT };
	struct resolve_wish w = { .job = *job,
				  .cgroup_id = cgroup_id,
				  .first_seen_ns = first_seen_ns,
				  .path = path,
				  .wants_tenant = !at->is_matched,
				  .wants_model = !at->model };
	uint64_t now = agent_now_ns();

	if (!a->resolve || !path || (!w.wants_tenant && !w.wants_model))
		return 0;
	w.is_known = w.wants_tenant && agent_identity_keeps(a, &tenant);
	/* Of jobs of earlier days that are gone nobody knows any more. */
	if (!cgroups_exists(a->cgroups, cgroup_id) && (w.is_known || now - first_seen_ns > RESOLVE_KEEP_NS))
		return 0;
	return resolve_want(a->resolve, &w, agent_boot_ns());
}

/* --- answers --- */

static int say_change(struct agent *a, const struct om_id *job, const char *was, const char *is)
{
	char id[OM_ID_STRLEN], subject[OM_ID_STRLEN + 8], what[200];

	snprintf(subject, sizeof(subject), "job %s", om_id_format(job, id));
	snprintf(what, sizeof(what), "It was %.63s and is %.63s from this day on: was that meant?", was, is);
	return agent_say(a, "its tenant changed while it ran", subject, what);
}

static int assign(struct agent *a, const struct resolve_answer *an, enum om_assignment_kind kind,
		  const char *value, const char *evidence)
{
	struct om_assignment as = { .ledger = *om_ledger_id(a->ledger),
				    .job = *an->job,
				    .kind = kind,
				    .from_ns = an->first_seen_ns,
				    .share_low_ppm = 1000000,
				    .share_high_ppm = 1000000,
				    .at_ns = agent_now_ns() };
	const char *version = om_identity_version(resolve_rules(a->resolve));
	const struct om_dated *d = rule_says(a, &as, as.at_ns);
	bool is_same = d && !strcmp(d->value, value);
	bool is_change = d && !is_same && strcmp(d->value, "unknown");
	int r = 0;

	/* That nobody is named is said once, for what was answered stands in it. */
	if (is_same && (strcmp(value, "unknown") || !an->is_first))
		return 0;
	snprintf(as.value, sizeof(as.value), "%s", value);
	snprintf(as.evidence, sizeof(as.evidence), "%s", evidence);
	snprintf(as.rule, sizeof(as.rule), "resolver-%s", resolve_source_name(an->source));
	snprintf(as.version, sizeof(as.version), "%s", version);
	if (d && (is_same || is_change))
		as.from_ns = d->from_ns;
	if (is_change && !(an->is_first && strcmp(a->identity_version, version))) {
		as.from_ns = as.at_ns;
		if (kind == OM_ASSIGN_TENANT)
			r = say_change(a, an->job, d->value, value);
	}
	return r ?: agent_assign_record(a, &as);
}

static int on_answer(void *ctx, const struct resolve_answer *an)
{
	struct agent *a = ctx;
	const struct om_identity *id = an->identity;
	int r = 0;

	if (an->wants_tenant)
		r = assign(a, an, OM_ASSIGN_TENANT, id->tenant, id->tenant_evidence);
	if (r == 0 && an->wants_model && id->model[0])
		r = assign(a, an, OM_ASSIGN_MODEL, id->model, id->model_evidence);
	return r;
}

static int on_unknown(void *ctx, const struct om_id *job, enum resolve_source s, enum resolve_state state)
{
	char id[OM_ID_STRLEN], subject[OM_ID_STRLEN + 8];

	snprintf(subject, sizeof(subject), "job %s", om_id_format(job, id));
	return agent_say(
		ctx, "whose it is, is not known", subject,
		state == RESOLVE_WAITING
			? "Its scheduler answers and does not know it: was it deleted, is it of this node? "
			  "It "
			  "counts as tenant unknown."
			: "No identity rule names its tenant: `opmeter explain` shows what was answered. It "
			  "counts as tenant unknown.");
}

static int say_sources(struct agent *a, const struct resolve_totals *t, uint64_t now_ns, uint64_t after_ns)
{
	int r = 0;

	for (int s = 0; s < RESOLVE_SOURCES && r == 0; s++) {
		char subject[80], when[OM_TIME_STRLEN];
		uint64_t since = now_ns - t->down_since_ns[s];

		if (t->is_down[s] && !a->identity_down[s])
			log_warn("identity: %s: %s; asked again, counting goes on",
				 resolve_source_name((enum resolve_source)s), t->why[s]);
		else if (!t->is_down[s] && a->identity_down[s])
			log_info("identity: %s answers", resolve_source_name((enum resolve_source)s));
		if (a->identity_down[s] != t->is_down[s])
			a->identity_said[s] = false;
		a->identity_down[s] = t->is_down[s];
		if (!t->is_down[s] || since < after_ns || a->identity_said[s])
			continue;
		a->identity_said[s] = true;
		snprintf(subject, sizeof(subject), "%s since %s", resolve_source_name((enum resolve_source)s),
			 om_time_format((agent_now_ns() - since) / 1000000000 * 1000000000, when));
		r = agent_say(a, "tenants cannot be asked for", subject, t->why[s]);
	}
	return r;
}

int agent_identity_step(struct agent *a)
{
	uint64_t now = agent_boot_ns(), after;
	struct resolve_totals t;
	int r;

	if (!a->resolve)
		return 0;
	after = om_identity_alert_after_s(resolve_rules(a->resolve)) * 1000000000ULL;
	r = resolve_step(a->resolve, now, on_answer, a);
	resolve_get_totals(a->resolve, &t);
	r = r ?: say_sources(a, &t, now, after);
	r = r ?: resolve_each_unknown(a->resolve, now, after, on_unknown, a);
	/* A full disk: the answer comes again with the next asking. */
	return r == -ENOSPC ? 0 : r;
}
