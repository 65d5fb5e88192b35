/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_KAFKA_ENDED_H
#define OPMETER_EXPORTERS_KAFKA_ENDED_H

#include <stdbool.h>
#include <librdkafka/rdkafka.h>

/*
 * Whoever reads a list of partitions to their ends counts partitions, not events: an
 * end is told again each time that a partition which had ended got new records. True
 * at the first end of each partition of the list, which must not be used for anything
 * else that fills `opaque`.
 */
static inline bool om_kafka_ended(rd_kafka_topic_partition_list_t *list, const char *topic, int32_t partition)
{
	rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_find(list, topic, partition);

	if (!p || p->opaque)
		return false;
	p->opaque = p;
	return true;
}

#endif
