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

static void on_over(void *ctx, const struct om_usage *u, opcount over)
{
	struct agent_claims *c = &((struct agent *)ctx)->claims;

	opcount_add_saturating(&c->over_now, over);
	for (size_t i = 0; i < c->named; i++)
		if (c->cgroup_id[i] == u->cgroup_id)
			return;
	if (c->named < ARRAY_SIZE(c->cgroup_id))
		c->cgroup_id[c->named++] = u->cgroup_id;
}

bool agent_claims_wait(struct agent *a, bool is_last)
{
	struct device_totals t = { .has_spoken = true };

	if (a->devices)
		device_get_totals(a->devices, &t);
	if (!is_last && !t.has_spoken && agent_boot_ns() - a->started_ns < SAMPLER_WAIT_NS)
		return true;
	a->claims.over_now = 0;
	a->claims.named = 0;
	om_ledger_hold(a->ledger, &a->node, on_over, a);
	return false;
}

int agent_claims_say(struct agent *a)
{
	struct agent_claims *c = &a->claims;
	int r = 0;

	if (!c->over_now)
		return 0;
	c->drains++;
	opcount_add_saturating(&c->over, c->over_now);
	for (size_t i = 0; i < c->named && r == 0; i++)
		r = agent_say(
			a, "more was asked for than the node's devices can do",
			cgroups_path(a->cgroups, c->cgroup_id[i]) ?: "a cgroup",
			"Forged or failed calls: what is over counts in the upper bound only; see `opmeter "
			"ledger export --readings`.");
	return r;
}
