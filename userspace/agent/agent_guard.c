// SPDX-License-Identifier: Apache-2.0
/*
 * The guard: the probes measure their own cost, and a meter that takes more of the
 * node's processors than its budget is switched off. It stays off until a person
 * says `opmeter on`: what was over the budget once will be again.
 *
 * The kernel's account of program times costs a little itself, so it is on for one
 * second in ten. Two windows in a row must be over, the load of a start is not. The
 * account is of time, not of work: a program that waits for a tenant's page, or for
 * a processor, is in it. So a run counts for a few microseconds at most: nobody can
 * switch a meter off by making it wait.
 */
#include <stdio.h>
#include <unistd.h>

#include "agent_internal.h"

#define WINDOW_NS 1000000000ULL
#define PERIOD_NS 10000000000ULL
#define WINDOWS_OVER 2
#define RUN_NS_MAX 3000 /* three times what a run was measured at */

static const struct {
	uint32_t meter;
	const char *name;
} meters[AGENT_GUARDED] = { { OM_OFF_LAUNCH, "launch" },
			    { OM_OFF_SHAPE, "shape" },
			    { OM_OFF_COUNTER, "counter" },
			    { OM_OFF_COLLECTIVE, "collective" } };

static int cost_of(const struct agent *a, int i, struct probes_cost *ret)
{
	if (meters[i].meter == OM_OFF_COLLECTIVE)
		return agent_collectives_cost(a, ret);
	return meters[i].meter == OM_OFF_COUNTER ? agent_counter_cost(a, ret)
						 : probes_cost(a->probes, meters[i].meter, ret);
}

static void window_begin(struct agent *a, uint64_t now)
{
	if (probes_set_measured(a->probes, true))
		return;
	for (int i = 0; i < AGENT_GUARDED; i++)
		if (cost_of(a, i, &a->guard.before[i]))
			return;
	a->guard.begun_ns = now;
}

static double cost_ns(const struct probes_cost *now, const struct probes_cost *before)
{
	double time_ns = (double)(now->time_ns - before->time_ns);
	double most_ns = (double)(now->runs - before->runs) * RUN_NS_MAX;

	return time_ns < most_ns ? time_ns : most_ns;
}

static void switch_off(struct agent *a, int i, double share)
{
	char what[200];

	if (probes_set_off(a->probes, meters[i].meter, true))
		return;
	snprintf(what, sizeof(what),
		 "The %s meter took %.2f %% of the processors, its budget is %llu %%: it is off. `opmeter on "
		 "--meter %s` "
		 "switches it on again.",
		 meters[i].name, share * 100, (unsigned long long)a->config->budget, meters[i].name);
	log_error("%s", what);
	agent_say(a, "a meter was switched off by the guard", meters[i].name, what);
}

static void window_end(struct agent *a, uint64_t now)
{
	bool is_over = false;
	double all_ns = (double)(now - a->guard.begun_ns) * (double)sysconf(_SC_NPROCESSORS_ONLN);

	for (int i = 0; i < AGENT_GUARDED; i++) {
		struct probes_cost c = { 0 };
		double share;

		if (cost_of(a, i, &c))
			continue;
		share = cost_ns(&c, &a->guard.before[i]) / all_ns;
		a->guard.share[i] = share;
		a->guard.over[i] = share * 100 > (double)a->config->budget ? a->guard.over[i] + 1 : 0;
		is_over |= a->guard.over[i];
		if (a->guard.over[i] < WINDOWS_OVER || probes_off(a->probes) & meters[i].meter)
			continue;
		a->guard.over[i] = 0;
		switch_off(a, i, share);
	}
	probes_set_measured(a->probes, false);
	a->guard.begun_ns = 0;
	/* What looks too dear is looked at again at once. */
	a->guard.next_ns = is_over ? now : now + PERIOD_NS - WINDOW_NS;
}

void agent_guard(struct agent *a)
{
	uint64_t now = agent_boot_ns();

	if (!a->config->budget)
		return;
	if (a->guard.begun_ns && now >= a->guard.begun_ns + WINDOW_NS)
		window_end(a, now);
	else if (!a->guard.begun_ns && now >= a->guard.next_ns)
		window_begin(a, now);
}

const char *agent_guard_meter(int i)
{
	return meters[i].name;
}
