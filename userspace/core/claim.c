// SPDX-License-Identifier: Apache-2.0
#include "claim.h"

#define SECOND_NS 1000000000ULL
#define HOUR_NS (3600 * SECOND_NS)
/* A kernel that is no such product may stand for so many textbook operations for each that it executes
 * (core/reconcile.h, r). */
#define TEXTBOOK_PER_EXECUTED 4
/* Of the fleet's day of slack each hour has half an hour; the other half is for agents that do not know since
 * when they read (ledger_hold.c). */
#define QUEUED_NS (HOUR_NS / 2)

bool om_claim_peak(const struct om_node_facts *n, uint32_t devices_max, opcount *ret)
{
	uint64_t most = devices_max ?: OM_DEVICES_MAX, devices = n->device_count ?: most;
	uint64_t chips = devices < most ? devices : most;

	if (devices > OM_UNITS_A_DEVICE * most || n->peak_ops_per_s > (opcount)chips * OM_DEVICE_PEAK_MAX)
		return false;
	*ret = n->peak_ops_per_s ?: (opcount)chips * OM_DEVICE_PEAK_MAX;
	return true;
}

unsigned om_claim_factor(uint8_t meter)
{
	return meter == OM_METER_SHAPE || meter == OM_METER_DEVICE ? 1 : TEXTBOOK_PER_EXECUTED;
}

static opcount less(opcount a, opcount b)
{
	return a > b ? a - b : 0;
}

static opcount smaller(opcount a, opcount b)
{
	return a < b ? a : b;
}

opcount om_claim_hour(opcount peak_ops_per_s, uint64_t ledger_start_ns, uint64_t from_ns, uint64_t now_ns)
{
	uint64_t begin = now_ns / HOUR_NS * HOUR_NS;
	opcount here = less(now_ns, begin > ledger_start_ns ? begin : ledger_start_ns);
	opcount before = smaller(less(begin, from_ns), OM_CLAIM_AWAY_MAX_NS), r;

	return opcount_mul(peak_ops_per_s, (here + QUEUED_NS + before) / SECOND_NS, &r) ? OPCOUNT_MAX : r;
}

static opcount add(opcount a, opcount b)
{
	opcount r;

	return opcount_add(a, b, &r) ? OPCOUNT_MAX : r;
}

static opcount times(opcount a, unsigned n)
{
	opcount r;

	return opcount_mul(a, n, &r) ? OPCOUNT_MAX : r;
}

/* Sampled in the tenant's own process: its mean is a claim too. */
static opcount hold_mean(const struct om_value *known, struct om_value *delta, opcount possible)
{
	double room = opcount_to_double(possible) - known->mean, over, widest;

	room = room > 0 ? room : 0;
	over = delta->mean > room ? delta->mean - room : 0;
	if (over > 0)
		delta->mean = room;
	widest = opcount_to_double(possible) * opcount_to_double(possible);
	if (known->variance + delta->variance > widest)
		delta->variance = widest > known->variance ? widest - known->variance : 0;
	return over < 1e38 ? (opcount)over : OPCOUNT_MAX;
}

/* What no device can have done, however many share it. */
static opcount cut_highest(const struct om_value *known, struct om_value *delta, opcount possible)
{
	opcount widest = times(possible, OM_CLAIM_SHARED_BY), before = om_value_upper(delta);

	if (before <= less(widest, om_value_upper(known)))
		return 0;
	delta->high = opcount_max(less(less(widest, om_value_upper(known)), delta->exact),
				  less(delta->low, less(known->high, known->low)));
	return less(before, om_value_upper(delta));
}

struct om_claim_over om_claim_hold(uint8_t meter, const struct om_value *known, struct om_value *delta,
				   opcount possible)
{
	opcount most = times(possible, om_claim_factor(meter)), over, from_low, from_exact;

	if (meter == OM_METER_COUNTER) {
		over = hold_mean(known, delta, most);
		return (struct om_claim_over){ over, over };
	}
	if (meter != OM_METER_SHAPE && meter != OM_METER_LAUNCH)
		return (struct om_claim_over){ 0 };
	over = less(om_value_lower(delta), less(most, om_value_lower(known)));
	from_low = smaller(over, delta->low);
	from_exact = over - from_low;
	delta->low -= from_low;
	delta->exact -= from_exact;
	delta->high = add(delta->high, from_exact); /* what was low stands in high already */
	return (struct om_claim_over){ over,
				       meter == OM_METER_SHAPE ? cut_highest(known, delta, possible) : 0 };
}
