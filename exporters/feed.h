/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_FEED_H
#define OPMETER_EXPORTERS_FEED_H

/*
 * From the ledger's outbox through one exporter and back: what the exporter
 * acknowledges leaves the outbox, what it loses is offered again. The outbox is
 * the queue; a feed holds a bounded window of it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../userspace/core/ledger.h"
#include "exporter.h"

struct om_feed;

/* Takes the exporter over (frees it with itself). `name` names the outbox. */
int om_feed_new(struct om_ledger *l, const char *name, struct om_exporter *e, struct om_feed **ret);
struct om_feed *om_feed_free(struct om_feed *f);

/* Offers what waits, moves things along for at most timeout_ms, acknowledges. 0, or -errno of the ledger. */
int om_feed_step(struct om_feed *f, int timeout_ms);
/* Until everything is acknowledged or the time ran out: 0, or 1. */
int om_feed_drain(struct om_feed *f, int timeout_ms);

/* A sign of life; not in the outbox: one that is lost is itself the message. The node's peak (0: not known)
 * bounds what it can do while it is silent, and whose jobs ran there is whose bound that widens. */
struct om_heartbeat {
	uint64_t now_ns, interval_ns; /* Unix time; until the next one */
	uint64_t registers, peak_ops_per_s;
	const char *const *tenants; /* a loan */
	size_t tenant_count;
	bool has_more_tenants; /* than are named */
};
int om_feed_heartbeat(struct om_feed *f, const struct om_heartbeat *beat);

struct om_feed_totals {
	const char *name;
	uint64_t backlog, sent, acked, failed;
};
void om_feed_totals(struct om_feed *f, struct om_feed_totals *ret);

#endif
