/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_KAFKA_H
#define OPMETER_EXPORTERS_KAFKA_H

#include <stdbool.h>

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

/* Creates the topics that are missing, with the settings of exporters/topic.h. partitions:
 * of the topics by job; 0: the broker's default for all of them; replication 0 likewise,
 * and min.insync.replicas is then left to the broker. Waits at most timeout_ms.
 * -EACCES: not allowed. */
int om_kafka_create_topics(const struct om_kafka_config *config, int partitions, int replication,
			   int timeout_ms, struct error_text *err);

/* One way in which a topic on the broker differs from exporters/topic.h. */
struct om_kafka_finding {
	const char *topic;
	char what[160]; /* "cleanup.policy is delete, should be compact" */
	char todo[256]; /* what to do about it */
	bool is_fatal;	/* registers would be lost or counted twice: totals must not be made from it */
};
/*
 * Compares the topics on the broker with the table; emit gets each deviation as a loan.
 * replication: how many copies are expected, 0: any. 0 when the broker has answered, whatever it
 * says; -EACCES: it does not let us look; -ETIMEDOUT, -EIO. */
int om_kafka_check_topics(const struct om_kafka_config *config, int replication, int timeout_ms,
			  void (*emit)(void *ctx, const struct om_kafka_finding *f), void *ctx,
			  struct error_text *err);

/* A librdkafka configuration with brokers, file, log and limits set: for the
 * fleet's consumer. NULL with *err. The caller owns it (rd_kafka_conf_t *). */
void *om_kafka_conf(const struct om_kafka_config *config, struct error_text *err);

#endif
