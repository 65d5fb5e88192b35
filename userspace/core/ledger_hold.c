// SPDX-License-Identifier: Apache-2.0
/* What is accrued is held to what the node's devices can have done (core/claim.h). */
#include "claim.h"
#include "ledger_internal.h"

#define HOUR_NS 3600000000000ULL
#define AWAY_UNKNOWN_NS (12 * HOUR_NS)

/* When this was opened nothing later had been read. 0: never anything, or it cannot be known. */
static uint64_t last_hour(struct om_ledger *l)
{
	sqlite3_stmt *s;
	uint64_t hour = 0;

	if (sqlite3_prepare_v2(l->db, "SELECT max(hour) FROM register", -1, &s, NULL))
		return 0;
	if (sqlite3_step(s) == SQLITE_ROW)
		hour = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return hour;
}

void om_ledger_hold(struct om_ledger *l, const struct om_node_facts *node,
		    void (*fn)(void *ctx, const struct om_usage *u, opcount over), void *ctx)
{
	if (!l->hold.is_on)
		l->hold.hour_before = last_hour(l);
	l->hold.is_on = true;
	l->hold.node = *node;
	l->hold.fn = fn;
	l->hold.ctx = ctx;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* An agent that was started anew does not know since when the kernel counted: since the last hour that it
 * wrote down, and at most for half a day. 0: it is of no use. */
static uint64_t away_from(const struct om_ledger *l, uint64_t now_ns)
{
	uint64_t begin = now_ns / HOUR_NS * HOUR_NS, last = l->hold.hour_before * HOUR_NS;

	if (!last || last >= begin)
		return 0;
	return begin - last > AWAY_UNKNOWN_NS ? begin - AWAY_UNKNOWN_NS : last;
}

uint64_t ledger_hold(struct om_ledger *l, const struct om_usage *u, const struct om_value *known,
		     uint64_t since_ns, uint64_t now_ns, struct om_value *delta)
{
	uint64_t from = earlier(known->from_ns, since_ns) ?: now_ns,
		 away = since_ns ? 0 : away_from(l, now_ns);
	struct om_value held = *delta;
	opcount peak, over;

	/* The hour is as long as it was read, though the clock was set back since. */
	now_ns = known->to_ns > now_ns ? known->to_ns : now_ns;
	/* What the kernel counted for an earlier ledger is in upper bounds only. Since when nobody knows. */
	if (l->baseline)
		from = earlier(from, now_ns - AWAY_UNKNOWN_NS);

	/* More devices than a fleet takes unless it is told: then it is told their peak, too. */
	if (!om_claim_peak(&l->hold.node, 0, &peak))
		peak = l->hold.node.peak_ops_per_s ?: OM_DEVICE_PEAK_MAX * (opcount)l->hold.node.device_count;
	over = om_claim_hold(u->meter, known, &held, om_claim_hour(peak, l->start_ns, from, now_ns));
	/* Too much for the time since the start: then it was done before. */
	if (over && away && away < from) {
		from = away;
		held = *delta;
		over = om_claim_hold(u->meter, known, &held, om_claim_hour(peak, l->start_ns, from, now_ns));
	} else {
		from = 0;
	}
	*delta = held;
	if (over && l->hold.fn)
		l->hold.fn(l->hold.ctx, u, over);
	return from;
}
