// SPDX-License-Identifier: Apache-2.0
/*
 * The node's sign of life. It says what the node can do and whose jobs run there, so that
 * silence has a bound, and somebody whose bound it is.
 */
#include "agent_internal.h"

#include <string.h>

#define DAY_NS 86400000000000ULL
#define TENANTS_MAX 256

struct beat_names {
	const char *name[TENANTS_MAX]; /* loans of the totals */
	size_t count;
	bool has_more;
	uint64_t since_ns;
};

static int take_name(void *ctx, const struct om_attributed *at)
{
	struct beat_names *n = ctx;

	if (at->reading->value.to_ns < n->since_ns)
		return 0;
	for (size_t i = 0; i < n->count; i++)
		if (!strcmp(n->name[i], at->tenant))
			return 0;
	if (n->count == TENANTS_MAX)
		n->has_more = true;
	else
		n->name[n->count++] = at->tenant;
	return 0;
}

void agent_beat(struct agent *a)
{
	uint64_t now = agent_now_ns();
	/* Who computed here in the last day may do so while nobody hears of it. */
	struct beat_names n = { .since_ns = now - DAY_NS };
	struct om_heartbeat beat = { .now_ns = now,
				     .interval_ns = a->config->heartbeat_ns,
				     .registers = om_totals_registers(a->totals),
				     .peak_ops_per_s = a->node.peak_ops_per_s,
				     .tenants = n.name };

	om_totals_each_register(a->totals, take_name, &n);
	beat.tenant_count = n.count;
	beat.has_more_tenants = n.has_more;
	for (size_t i = 0; i < a->sink_count; i++)
		om_feed_heartbeat(a->sinks[i], &beat);
}
