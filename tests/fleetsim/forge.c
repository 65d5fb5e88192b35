// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <string.h>

enum { STREAM_FORGED = 300 };

const char *sim_forgery_name(enum sim_forgery f)
{
	static const char *const names[SIM_FORGERIES] = { "new",     "grown",	"key", "damaged",
							  "version", "crossed", "null", "source",
							  "peak", "start", "old", "devices" };

	return f < SIM_FORGERIES ? names[f] : "invalid";
}

/* A register's key with another one's value: compaction would lose the one it names. */
static int send_wrong_key(struct sim *s, struct om_reading *r)
{
	uint8_t bytes[OM_READING_SIZE];

	om_reading_encode(r, bytes);
	r->key.day++;
	return sim_send_raw(s, r, bytes, sizeof(bytes));
}

static int send_damaged(struct sim *s, const struct om_reading *r, enum sim_forgery how, uint64_t h)
{
	uint8_t bytes[OM_READING_SIZE];
	size_t len = sizeof(bytes);

	om_reading_encode(r, bytes);
	if (how == SIM_FORGED_VERSION)
		bytes[4] = 9;
	else if (how == SIM_FORGED_CROSSED)
		memset(bytes + 72, 0xff, 16); /* low; high is not that large */
	else if (h & 1)
		bytes[0] = 'X';
	else
		len = (size_t)(h >> 1) % sizeof(bytes);
	return sim_send_raw(s, r, bytes, len);
}

/* A node that runs on with a copy of another's disk, and knows who it is. */
static int send_other_source(struct sim *s, struct om_reading *r)
{
	uint8_t bytes[OM_READING_SIZE];
	struct om_id own = r->key.ledger;

	own.byte[3] ^= 1;
	r->node.inventory ^= 1;
	r->value.exact += 1000;
	om_reading_encode(r, bytes);
	return sim_send_as(s, &own, r, bytes, sizeof(bytes));
}

/* What the node says of itself would allow it, were it believed. */
static int send_with_facts(struct sim *s, struct om_reading *r, enum sim_forgery how)
{
	uint8_t bytes[OM_READING_SIZE];
	opcount day = (opcount)s->config.node_peak * SIM_DAY_S;

	r->value.exact += 100 * day;
	switch (how) {
	case SIM_FORGED_PEAK:
		r->node.peak_ops_per_s = 0;
		r->value.exact = (opcount)UINT64_MAX * SIM_DAY_S * 10;
		break;
	case SIM_FORGED_START:
		r->node.ledger_start_ns = 0;
		break;
	case SIM_FORGED_OLD:
		r->node.ledger_start_ns = 1;
		break;
	default:
		r->node.device_count = 0;
		r->node.peak_ops_per_s = UINT64_MAX;
		break;
	}
	om_reading_encode(r, bytes);
	return sim_send_raw(s, r, bytes, sizeof(bytes));
}

int sim_forge(struct sim *s, const struct sim_instance *i, uint64_t n)
{
	uint64_t h = sim_hash(&s->config, STREAM_FORGED, n);
	enum sim_forgery how = (enum sim_forgery)(h % SIM_FORGERIES);
	uint8_t bytes[OM_READING_SIZE];
	struct om_reading r;

	if (!i->count)
		return 0;
	sim_reading_of(s, i, &i->reg[h >> 8 & 0xff ? 0 : i->count - 1], &i->reg[0].value, &r);
	s->sequence++;
	r.sequence = s->sequence;
	s->forged[how]++;
	switch (how) {
	case SIM_FORGED_KEY:
		return send_wrong_key(s, &r);
	case SIM_FORGED_SOURCE:
		return send_other_source(s, &r);
	case SIM_FORGED_NULL:
		return sim_send_raw(s, &r, NULL, 0);
	case SIM_FORGED_PEAK:
	case SIM_FORGED_START:
	case SIM_FORGED_OLD:
	case SIM_FORGED_DEVICES:
		return send_with_facts(s, &r, how);
	case SIM_FORGED_NEW:
	case SIM_FORGED_GROWN:
		/* A thousand times what the node can do in all the time that its ledger stands. */
		r.value.exact = (opcount)s->config.node_peak * ((r.value.to_ns - r.node.ledger_start_ns) / SIM_NS + 1) * 1000;
		if (how == SIM_FORGED_NEW)
			r.key.format = OM_FORMAT_INT4;
		om_reading_encode(&r, bytes);
		return sim_send_raw(s, &r, bytes, sizeof(bytes));
	default:
		return send_damaged(s, &r, how, h >> 16);
	}
}
