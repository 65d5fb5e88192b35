// SPDX-License-Identifier: Apache-2.0
/* What is accrued is held to what the node's devices can have done (core/claim.h). */
#include "claim.h"
#include "ledger_internal.h"

#define HOUR_NS 3600000000000ULL
/* At the whole peak: so much of what the kernel counted for an earlier ledger. */
#define EARLIER_LEDGER_NS (12 * HOUR_NS)

/* When this was opened nothing later had been read. 0: never anything, or it cannot be known. */
static uint64_t read_until(struct om_ledger *l)
{
	sqlite3_stmt *s;
	uint64_t until = 0;

	if (sqlite3_prepare_v2(
		    l->db, "SELECT hour, value FROM register WHERE hour = (SELECT max(hour) FROM register)",
		    -1, &s, NULL))
		return 0;
	while (sqlite3_step(s) == SQLITE_ROW) {
		uint64_t hour = (uint64_t)sqlite3_column_int64(s, 0);
		struct om_value v;

		if (ledger_row_decode(l, LEDGER_SCOPE_HOUR(hour), sqlite3_column_blob(s, 1),
				      sqlite3_column_bytes(s, 1), NULL, &v) == 0 &&
		    v.to_ns > until)
			until = v.to_ns;
	}
	sqlite3_finalize(s);
	return until;
}

void om_ledger_hold(struct om_ledger *l, const struct om_node_facts *node,
		    void (*fn)(void *ctx, const struct om_usage *u, const struct om_claim_over *over),
		    void *ctx)
{
	if (!l->hold.is_on)
		l->hold.read_until_ns = read_until(l);
	l->hold.is_on = true;
	l->hold.node = *node;
	l->hold.fn = fn;
	l->hold.ctx = ctx;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* An agent that was started anew does not know since when the kernel counted: since it last wrote something
 * down, and at most for as long as a fleet believes that one was away. Hours that were read are in no such
 * time, or each start would make a day longer. 0: it is of no use. */
static uint64_t away_from(const struct om_ledger *l, uint64_t now_ns)
{
	uint64_t begin = now_ns / HOUR_NS * HOUR_NS, last = l->hold.read_until_ns;

	if (!last || last >= begin)
		return 0;
	return begin - last > OM_CLAIM_AWAY_MAX_NS ? begin - OM_CLAIM_AWAY_MAX_NS : last;
}

uint64_t ledger_hold(struct om_ledger *l, const struct om_usage *u, const struct om_value *known,
		     uint64_t since_ns, uint64_t now_ns, struct om_value *delta)
{
	uint64_t from = earlier(known->from_ns, since_ns) ?: now_ns,
		 away = since_ns ? 0 : away_from(l, now_ns);
	struct om_value held = *delta;
	struct om_claim_over over;
	opcount peak;

	/* The hour is as long as it was read, though the clock was set back since. */
	now_ns = known->to_ns > now_ns ? known->to_ns : now_ns;
	/* What the kernel counted for an earlier ledger is in upper bounds only. Since when nobody knows. */
	if (l->baseline)
		from = earlier(from, now_ns - EARLIER_LEDGER_NS);

	/* More devices than a fleet takes unless it is told: then it is told their peak, too. */
	if (!om_claim_peak(&l->hold.node, 0, &peak))
		peak = l->hold.node.peak_ops_per_s ?: OM_DEVICE_PEAK_MAX * (opcount)l->hold.node.device_count;
	over = om_claim_hold(u->meter, known, &held, om_claim_hour(peak, l->start_ns, from, now_ns));
	/* Too much for the time since the start: then it was done before. */
	if ((over.over || over.cut) && away && away < from) {
		from = away;
		held = *delta;
		over = om_claim_hold(u->meter, known, &held, om_claim_hour(peak, l->start_ns, from, now_ns));
	} else {
		from = 0;
	}
	*delta = held;
	if ((over.over || over.cut) && l->hold.fn)
		l->hold.fn(l->hold.ctx, u, &over);
	return from;
}
