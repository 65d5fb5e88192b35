/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_KAFKA_H
#define OPMETER_EXPORTERS_KAFKA_H

#include "../userspace/base/log.h"
#include "exporter.h"

/*
 * An idempotent producer (acks=all) whose window is small: the outbox is the
 * queue. An event is acknowledged only by its delivery report. After a fatal
 * error the producer is made anew and everything under way is offered again,
 * which is harmless: readings are whole values and alerts carry their id.
 */
struct om_kafka_config {
	const char *brokers;	 /* HOST:PORT,... */
	const char *config_path; /* key=value lines for librdkafka, NULL: none */
};

/* 0; -EINVAL: a property or combination that cannot work, with *err naming file and line. A broker
 * that is away is no error: events wait. */
int om_kafka_open(const struct om_kafka_config *config, struct om_exporter **ret, struct error_text *err);

/* Creates the topics that are missing, with the cleanup policy of docs/formats.md.
 * replication 0: the broker's default. Waits at most timeout_ms. */
int om_kafka_create_topics(const struct om_kafka_config *config, int partitions, int replication,
			   int timeout_ms, struct error_text *err);

/* A librdkafka configuration with brokers, file, log and limits set: for the
 * fleet's consumer. NULL with *err. The caller owns it (rd_kafka_conf_t *). */
void *om_kafka_conf(const struct om_kafka_config *config, struct error_text *err);

#endif
