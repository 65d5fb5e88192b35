// SPDX-License-Identifier: Apache-2.0
/*
 * What tenants ask for beyond what the node's devices can do counts as done at most, not as done at least
 * (core/claim.h), and is said. Without it a tenant's own forged calls would make its registers impossible,
 * the fleet would refuse them, and what it truly did would be in no total.
 */
#include <stdio.h>

#include "../base/cleanup.h"
#include "agent_internal.h"

/* So long the first drain waits for the device sampler to say what there is: a minute's claims under a peak
 * that is not known would stand against the peak that comes to be known. The kernel keeps the counts
 * meanwhile. */
#define SAMPLER_WAIT_NS 5000000000ULL

static bool has(const uint64_t *ids, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static void add(struct om_claim_over *to, const struct om_claim_over *over)
{
	opcount_add_saturating(&to->over, over->over);
	opcount_add_saturating(&to->cut, over->cut);
}

/* Those that were said give way to others: who forges under many cgroups hides nobody behind the first. */
static void on_over(void *ctx, const struct om_usage *u, const struct om_claim_over *over)
{
	struct agent_claims *c = &((struct agent *)ctx)->claims;
	size_t said = c->said_count < ARRAY_SIZE(c->said) ? c->said_count : ARRAY_SIZE(c->said);

	add(&c->now, over);
	if (c->named < ARRAY_SIZE(c->cgroup_id) && !has(c->cgroup_id, c->named, u->cgroup_id) &&
	    !has(c->said, said, u->cgroup_id))
		c->cgroup_id[c->named++] = u->cgroup_id;
}

bool agent_claims_wait(struct agent *a, bool is_last)
{
	struct device_totals t = { .has_spoken = true };

	if (a->devices)
		device_get_totals(a->devices, &t);
	if (!is_last && !t.has_spoken && agent_boot_ns() - a->started_ns < SAMPLER_WAIT_NS)
		return true;
	a->claims.now = (struct om_claim_over){ 0 };
	a->claims.named = 0;
	om_ledger_hold(a->ledger, &a->node, on_over, a);
	return false;
}

int agent_claims_say(struct agent *a)
{
	struct agent_claims *c = &a->claims;
	int r = 0;

	if (!c->now.over && !c->now.cut)
		return 0;
	c->drains++;
	add(&c->all, &c->now);
	for (size_t i = 0; i < c->named && r == 0; i++) {
		r = agent_say(
			a, "more was asked for than the node's devices can do",
			cgroups_path(a->cgroups, c->cgroup_id[i]) ?: "a cgroup",
			"Forged or failed calls: what is over counts in the upper bound only, past eight "
			"times in none; see `opmeter ledger export --readings`.");
		if (r == 0)
			c->said[c->said_count++ % ARRAY_SIZE(c->said)] = c->cgroup_id[i];
	}
	return r;
}
