// SPDX-License-Identifier: Apache-2.0
/*
 * The bare consumer that the fleet's aggregator is compared with: the same library, the
 * same settings, the same topics, and nothing done with a record but to look at its length.
 *
 *   fleet_consume BROKERS TOPIC...
 *
 * Prints: records seconds records/s, from the first record to the end of every partition.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <librdkafka/rdkafka.h>

#include "exporters/kafka.h"

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int add(rd_kafka_t *rk, const char *topic, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
	const struct rd_kafka_metadata *md;
	int n = 0;

	if (rd_kafka_metadata(rk, 0, t, &md, 10000) == 0) {
		for (; n < md->topics[0].partition_cnt; n++)
			rd_kafka_topic_partition_list_add(list, topic, n)->offset = RD_KAFKA_OFFSET_BEGINNING;
		rd_kafka_metadata_destroy(md);
	}
	rd_kafka_topic_destroy(t);
	return n;
}

static int assign(rd_kafka_t *rk, char **topic, int count)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	int n = 0;

	for (int i = 0; i < count; i++)
		n += add(rk, topic[i], list);
	rd_kafka_assign(rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return n;
}

static void consume(rd_kafka_t *rk, int partitions)
{
	uint64_t records = 0, bytes = 0;
	double first = 0;

	while (partitions > 0) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 1000);

		if (!m)
			continue;
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			partitions--;
		} else if (!m->err) {
			if (records++ == 0)
				first = now_s();
			bytes += m->len;
		}
		rd_kafka_message_destroy(m);
	}
	first = now_s() - first;
	printf("%llu %.3f %.0f %llu\n", (unsigned long long)records, first, (double)records / first, (unsigned long long)bytes);
}

int main(int argc, char **argv)
{
	struct om_kafka_config kafka = { argc >= 3 ? argv[1] : "", NULL };
	struct error_text err = { 0 };
	rd_kafka_conf_t *conf;
	rd_kafka_t *rk;
	char why[256];

	if (argc < 3) {
		fprintf(stderr, "usage: fleet_consume BROKERS TOPIC...\n");
		return 2;
	}
	conf = om_kafka_conf(&kafka, &err);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	rd_kafka_conf_set(conf, "group.id", "opmeter-bench", why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof(why));
	rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", why, sizeof(why));
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk)
		return 1;
	rd_kafka_poll_set_consumer(rk);
	consume(rk, assign(rk, argv + 2, argc - 2));
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return 0;
}
