// SPDX-License-Identifier: Apache-2.0
#include "topic.h"

#include <string.h>

#include "../userspace/core/register.h"

#define MINUTE_MS (60LL * 1000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

/*
 * The one table of topics: `opmeter topics` makes, checks and prints it, and a
 * test compares docs/asyncapi.yaml with it.
 *
 * Compacted are the topics whose last record of a key is the state. Compaction
 * keeps the last record, not the largest: the lag is the time in which an aggregator
 * heals a key over which something smaller was written, so it is how long a fleet may
 * be without one. Of readings that is two hours, for all that is within the lag is read
 * anew by whoever takes over, and a fleet writes thousands a second; of what is written
 * seldom it is a week. Alerts are compacted because a finding's key is its id, so none ever
 * goes, and of each node's heartbeats the last is left.
 */
static const struct om_topic_spec specs[OM_TOPIC_END] = {
	[OM_TOPIC_READINGS] = { "opmeter.readings.v1", "registers of the nodes, whole values",
				.is_compacted = true, .is_by_job = true, .compaction_lag_ms = 2 * HOUR_MS,
				.compaction_by_ms = 3 * HOUR_MS, .segment_ms = 30 * MINUTE_MS },
	[OM_TOPIC_ASSIGNMENTS] = { "opmeter.assignments.v1", "who and what a job is, by date",
				   .is_compacted = true, .is_by_job = true, .compaction_lag_ms = 7 * DAY_MS },
	[OM_TOPIC_CARRY] = { "opmeter.carry.v1", "sealed days, folded; what covers a tombstone",
			     .is_compacted = true, .is_by_job = true, .compaction_lag_ms = 7 * DAY_MS },
	[OM_TOPIC_ARCHIVE] = { "opmeter.archive.v1", "registers of sealed days, as they were",
			       .is_by_job = true, .retention_ms = 1826 * DAY_MS },
	[OM_TOPIC_TOTALS] = { "opmeter.totals.v1", "totals, partial by readings partition",
			      .is_compacted = true, .is_by_job = true },
	[OM_TOPIC_ALERTS] = { "opmeter.alerts.v1", "findings, each id once; heartbeats", .is_compacted = true,
			      .compaction_lag_ms = DAY_MS },
	[OM_TOPIC_ALERTS_SHADOW] = { "opmeter.alerts.shadow.v1", "findings of shadow regimes",
				     .is_compacted = true, .compaction_lag_ms = DAY_MS },
	[OM_TOPIC_CASES] = { "opmeter.cases.v1", "what reviewers work on", .is_restricted = true,
			     .retention_ms = -1 },
	[OM_TOPIC_DEADLETTERS] = { "opmeter.deadletters.v1", "records that were refused, with the reason",
				   .is_restricted = true, .retention_ms = 30 * DAY_MS },
	[OM_TOPIC_CHECKPOINTS] = { "opmeter.checkpoints.v1", "signed heads of the nodes' ledgers",
				   .retention_ms = -1 },
	[OM_TOPIC_NEAR] = { "opmeter.near.v1", "hints: whose registers nodes send each second",
			    .is_compacted = true, .is_single = true },
	[OM_TOPIC_PROCESSES] = { "opmeter.processes.v1",
				 "what each process does: phase, model, communicators", .is_compacted = true,
				 .is_by_job = true, .is_restricted = true, .compaction_lag_ms = 7 * DAY_MS },
};

const struct om_topic_spec *om_topic_spec(enum om_topic topic)
{
	return topic < OM_TOPIC_END ? &specs[topic] : NULL;
}

int om_topic_partitions(const struct om_topic_spec *s, int by_job)
{
	return s->is_by_job ? by_job : s->is_single ? 1 : OM_TOPIC_PARTITIONS_FEW;
}

const char *om_topic_name(enum om_topic topic)
{
	return topic < OM_TOPIC_END ? specs[topic].name : "invalid";
}

int om_topic_min_insync(int replication)
{
	return replication > 2 ? 2 : 1;
}

static int parse_id(const char *hex, struct om_id *ret)
{
	char text[OM_ID_STRLEN];

	memcpy(text, hex, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	return om_id_parse(text, ret);
}

int om_topic_partition(const void *key, size_t len, uint32_t partitions, uint32_t *ret)
{
	const char *text = key;
	struct om_id ledger, job;
	uint64_t a, b;

	if (len == OM_REGISTER_KEY_SIZE) {
		memcpy(&ledger, key, sizeof(ledger));
		memcpy(&job, text + sizeof(ledger), sizeof(job));
	} else if (len < 66 || text[32] != '/' || text[65] != '/' || parse_id(text, &ledger) ||
		   parse_id(text + 33, &job)) {
		return 1;
	}
	memcpy(&a, &ledger, sizeof(a));
	memcpy(&b, &job, sizeof(b));
	*ret = (uint32_t)((a ^ b) % partitions);
	return 0;
}
