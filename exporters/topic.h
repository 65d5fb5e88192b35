/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_TOPIC_H
#define OPMETER_EXPORTERS_TOPIC_H

/*
 * The topics and what the broker must hold each to (docs/fleet.md, "Topics").
 * One table: what is made, what is checked and what is printed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exporter.h"

/* Of the topics whose records belong to a job: an aggregator reads the same partition of
 * each, so all of them have the same number. */
#define OM_TOPIC_PARTITIONS 24
/* Of the others, which one judge reads whole. */
#define OM_TOPIC_PARTITIONS_FEW 3
#define OM_TOPIC_REPLICATION 3

struct om_topic_spec {
	const char *name;
	const char *holds;
	bool is_compacted;	   /* cleanup.policy: compact, else delete */
	bool is_by_job;		   /* partition = hash(ledger, job) mod partitions */
	bool is_single;		   /* one partition, for those who all read the whole of it */
	bool is_restricted;	   /* personal or compliance data: few may read it */
	int64_t compaction_lag_ms; /* min.compaction.lag.ms, compacted topics only */
	/* max.compaction.lag.ms and segment.ms, 0: the broker's own. Together they bound what an instance
	 * that takes over has to read: each register once, and what was written within both. */
	int64_t compaction_by_ms, segment_ms;
	int64_t retention_ms; /* retention.ms, others only; -1: for ever */
};
const struct om_topic_spec *om_topic_spec(enum om_topic topic);
/* How many partitions a topic is made with; by_job: as many as those by job have. */
int om_topic_partitions(const struct om_topic_spec *s, int by_job);

/*
 * The partition of a key that begins with a ledger and a job (docs/formats.md, "Register"):
 * 40 bytes, or "<ledger hex>/<job hex>/...". 1: the key is no such key.
 */
int om_topic_partition(const void *key, size_t len, uint32_t partitions, uint32_t *ret);

/* min.insync.replicas that goes with a number of replicas: one may be away, and with
 * acks=all what is acknowledged is on two disks. */
int om_topic_min_insync(int replication);

#endif
