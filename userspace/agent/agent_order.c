// SPDX-License-Identifier: Apache-2.0
/*
 * The order in which processes asked for products: each window goes to the tally, and some into the ledger,
 * from which a model can be told long after (core/ledger_order.h).
 */
#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "../core/ledger_order.h"
#include "../core/tally.h"
#include "agent_internal.h"
#include "drain.h"

#define KEPT_EVERY 60
/* In one transaction: each costs the disk a flush, and each window some 80 KiB of memory. */
#define STORED_AT_ONCE 32

struct keeping {
	struct agent *agent;
	struct om_tally *tally;
	uint64_t now_ns;
	struct om_order_window window[STORED_AT_ONCE];
	struct om_tally_step *steps[STORED_AT_ONCE]; /* of the windows; owned */
	size_t count;
};

static void forget(struct keeping *k)
{
	while (k->count)
		free(k->steps[--k->count]);
}

static int store(struct keeping *k)
{
	int r = om_ledger_store_order(k->agent->ledger, k->window, k->count, k->now_ns);

	forget(k);
	return r;
}

/* A process's windows go into the ledger ever more rarely, then once an hour: a model does not change by the
 * minute. */
static bool is_to_keep(uint32_t windows)
{
	return windows && ((windows & (windows - 1)) == 0 || windows % KEPT_EVERY == 0);
}

/* Takes the steps if it keeps them. */
static int keep(struct keeping *k, const struct drain_burst *b, struct om_tally_step **steps)
{
	struct om_order_window w = { .map = *probes_map_id(k->agent->probes),
				     .tgid = b->tgid,
				     .start_ns = b->start_ns,
				     .window = b->window,
				     .steps = *steps,
				     .count = b->count };
	int r;

	if (!is_to_keep(om_tally_windows(k->tally, b->tgid, b->start_ns, &w.job)))
		return 0;
	k->window[k->count] = w;
	k->steps[k->count++] = TAKE_PTR(*steps);
	r = agent_models_window(k->agent, &w.job, w.tgid, w.start_ns);
	return r ?: k->count < STORED_AT_ONCE ? 0 : store(k);
}

static int put(struct keeping *k, const struct drain_burst *b)
{
	_cleanup_free_ struct om_tally_step *steps = NULL;
	int r;

	/* The kernel has a window until its process begins another: what is idle shows it each time. */
	if (!b->count || om_tally_has_window(k->tally, b->tgid, b->start_ns, b->window, b->count))
		return 0;
	steps = calloc(b->count, sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	for (size_t i = 0; i < b->count; i++)
		steps[i] = (struct om_tally_step){ b->steps[i].shape, b->steps[i].repeat, b->steps[i].thread,
						   b->steps[i].a,     b->steps[i].b,	  b->steps[i].d };
	r = om_tally_burst(k->tally, b->tgid, b->start_ns, b->window, steps, b->count);
	return r ?: keep(k, b, &steps);
}

int agent_order_put(struct agent *a, struct om_tally *t, const struct drain_result *d, uint64_t now_ns)
{
	struct keeping k = { .agent = a, .tally = t, .now_ns = now_ns };
	int r = 0;

	for (size_t i = 0; i < d->burst_count && r == 0; i++)
		r = put(&k, &d->bursts[i]);
	r = r ?: store(&k);
	forget(&k);
	return r;
}
