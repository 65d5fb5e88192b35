// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <librdkafka/rdkafka.h>

#include "exporters/kafka.h"
#include "userspace/base/cleanup.h"

#define ANSWER_MS 10000
#define TRIES 200

/* The topics of ours that are there; each name is the caller's to free. */
static int ours(rd_kafka_t *rk, char **names, size_t max, struct error_text *err)
{
	const struct rd_kafka_metadata *md;
	rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 1, NULL, &md, ANSWER_MS);
	size_t n = 0;

	if (e)
		return error_set(err, -EIO, "kafka: %s", rd_kafka_err2str(e));
	for (int i = 0; i < md->topic_cnt && n < max; i++)
		if (!strncmp(md->topics[i].topic, "opmeter.", 8))
			names[n++] = strdup(md->topics[i].topic);
	rd_kafka_metadata_destroy(md);
	return (int)n;
}

static void delete_topics(rd_kafka_t *rk, char **names, size_t count)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_DeleteTopic_t *topics[64];
	rd_kafka_event_t *ev;

	for (size_t i = 0; i < count; i++)
		topics[i] = rd_kafka_DeleteTopic_new(names[i]);
	rd_kafka_DeleteTopics(rk, topics, count, NULL, queue);
	ev = rd_kafka_queue_poll(queue, ANSWER_MS);
	if (ev)
		rd_kafka_event_destroy(ev);
	rd_kafka_queue_destroy(queue);
	rd_kafka_DeleteTopic_destroy_array(topics, count);
}

int sim_reset(const char *brokers, struct error_text *err)
{
	struct om_kafka_config kafka = { brokers, NULL };
	rd_kafka_conf_t *conf = om_kafka_conf(&kafka, err);
	char *names[64] = { NULL }, why[256];
	rd_kafka_t *rk;
	int n = 1;

	if (!conf)
		return -EINVAL;
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, -EINVAL, "kafka: %s", why);
	}
	/* A topic's deletion is promised first and done later. */
	for (int tries = 0; n > 0 && tries < TRIES; tries++) {
		n = ours(rk, names, ARRAY_SIZE(names), err);
		if (n > 0 && tries % 20 == 0)
			delete_topics(rk, names, (size_t)n);
		for (int i = 0; i < n; i++)
			free(names[i]);
		if (n > 0)
			nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	rd_kafka_destroy(rk);
	return n > 0 ? error_set(err, -EBUSY, "kafka: %d topics are still there", n) : n;
}
