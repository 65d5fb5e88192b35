// SPDX-License-Identifier: Apache-2.0
#include "kafka.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <librdkafka/rdkafka.h>

#include "../userspace/base/cleanup.h"
#include "../userspace/core/assignment.h"
#include "kafka_ended.h"
#include "topic.h"

#define CONTENT_TYPE_READING "application/vnd.opmeter.reading.v1"
#define CONTENT_TYPE_EVENT "application/cloudevents+json"

struct kafka_exporter {
	struct om_exporter base; /* first */
	struct om_kafka_config config;
	rd_kafka_t *producer;
	rd_kafka_topic_t *topic[OM_TOPIC_END];
	char *brokers, *config_path;
	bool has_said_unread[2]; /* of alerts, of cases */
};

/* One line a second is enough to say that a broker is away. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	static time_t last; /* librdkafka's threads race for it: a line more or less does no harm */
	time_t now = time(NULL);

	if (level > 4 ? log_get_level() < LOG_DEBUG : now == last)
		return;
	last = now;
	log_line(level <= 3 ? LOG_WARN : level <= 4 ? LOG_INFO : LOG_DEBUG, "kafka: %s: %s", facility, text);
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int read_properties(rd_kafka_conf_t *conf, const char *path, bool *scram, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[4096], why[256];

	if (!f)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	for (int n = 1; fgets(line, sizeof(line), f); n++) {
		char *key = trim(line), *value = strchr(key, '=');

		if (!*key || *key == '#')
			continue;
		if (!value)
			return error_set(err, -EINVAL, "%s:%d: expected key=value", path, n);
		*value++ = '\0';
		key = trim(key);
		value = trim(value);
		if (rd_kafka_conf_set(conf, key, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
			return error_set(err, -EINVAL, "%s:%d: %s", path, n, why);
		if (!strncmp(value, "SCRAM-", 6))
			*scram = true;
	}
	return 0;
}

void *om_kafka_conf(const struct om_kafka_config *config, struct error_text *err)
{
	static const char *const settings[][2] = {
		{ "client.id", "opmeter" },
		{ "socket.keepalive.enable", "true" },
		{ "reconnect.backoff.max.ms", "2000" },
		{ "topic.metadata.refresh.interval.ms", "60000" },
		{ "allow.auto.create.topics", "false" },
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool scram = false;
	char why[256];

	rd_kafka_conf_set_log_cb(conf, on_log);
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK) {
			error_set(err, -EINVAL, "librdkafka: %s", why);
			break;
		}
	}
	if (rd_kafka_conf_set(conf, "bootstrap.servers", config->brokers, why, sizeof(why)) !=
	    RD_KAFKA_CONF_OK)
		error_set(err, -EINVAL, "--brokers: %s", why);
	else if (config->config_path && read_properties(conf, config->config_path, &scram, err))
		error_set(err, -EINVAL, "%s: cannot be used", config->config_path);
	else if (scram && rd_kafka_version() < 0x020601ff)
		/* Fixed by librdkafka 2.6.1; Kafka 4 refuses the login of older ones. */
		error_set(err, -EINVAL,
			  "%s: SCRAM needs librdkafka 2.6.1 or later (this is %s): Kafka 4 refuses its "
			  "login; use mTLS or a "
			  "newer librdkafka",
			  config->config_path, rd_kafka_version_str());
	else if (!err->text[0])
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_exporter *k = opaque;
	int err = m->err ? -EIO : 0;

	if (err)
		k->base.failed_total++;
	else
		k->base.acked_total++;
	k->base.acked(k->base.acked_ctx, (uint64_t)(uintptr_t)m->_private, err);
}

static int32_t partition_of(const rd_kafka_topic_t *topic, const void *key, size_t len, int32_t partitions,
			    void *opaque, void *msg_opaque)
{
	uint32_t p;

	if (om_topic_partition(key, len, (uint32_t)partitions, &p) == 0)
		return (int32_t)p;
	return rd_kafka_msg_partitioner_murmur2(topic, key, len, partitions, opaque, msg_opaque);
}

static int make_producer(struct kafka_exporter *k, struct error_text *err)
{
	static const char *const settings[][2] = {
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "message.timeout.ms", "0" }, /* the outbox decides how long something waits: for ever */
		{ "queue.buffering.max.messages", "10000" },
		{ "queue.buffering.max.kbytes", "16384" },
		{ "linger.ms", "5" },
		{ "compression.type", "lz4" },
	};
	rd_kafka_conf_t *conf = om_kafka_conf(&k->config, err);
	char why[256];

	if (!conf)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK)
			return error_set(err, -EINVAL, "librdkafka: %s", why);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_opaque(conf, k);
	k->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!k->producer) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, -EINVAL, "kafka: %s", why);
	}
	for (int t = 0; t < OM_TOPIC_END; t++) {
		rd_kafka_topic_conf_t *tc = rd_kafka_topic_conf_new();

		rd_kafka_topic_conf_set_partitioner_cb(tc, partition_of);
		k->topic[t] = rd_kafka_topic_new(k->producer, om_topic_name((enum om_topic)t), tc);
		if (!k->topic[t])
			return error_set(err, -EINVAL, "kafka: %s: %s", om_topic_name((enum om_topic)t),
					 rd_kafka_err2str(rd_kafka_last_error()));
	}
	return 0;
}

static void end_producer(struct kafka_exporter *k)
{
	if (!k->producer)
		return;
	/* What is purged comes back through on_delivery() as lost, and is offered again. */
	rd_kafka_purge(k->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_flush(k->producer, 1000);
	for (int t = 0; t < OM_TOPIC_END; t++) {
		if (k->topic[t])
			rd_kafka_topic_destroy(k->topic[t]);
		k->topic[t] = NULL;
	}
	rd_kafka_destroy(k->producer);
	k->producer = NULL;
}

static rd_kafka_headers_t *headers_of(const struct om_event *ev)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(8);
	char time_text[OM_TIME_STRLEN];

	for (size_t i = 0; ev->headers && ev->headers[i]; i += 2)
		rd_kafka_header_add(h, ev->headers[i], -1, ev->headers[i + 1], -1);
	if (!ev->ce_type) {
		if (ev->value)
			rd_kafka_header_add(h, "content-type", -1, CONTENT_TYPE_EVENT, -1);
		return h;
	}
	rd_kafka_header_add(h, "ce_specversion", -1, "1.0", -1);
	rd_kafka_header_add(h, "ce_type", -1, ev->ce_type, -1);
	rd_kafka_header_add(h, "ce_source", -1, ev->ce_source, -1);
	rd_kafka_header_add(h, "ce_id", -1, ev->ce_id, -1);
	rd_kafka_header_add(h, "ce_time", -1, om_time_format(ev->time_ns, time_text), -1);
	rd_kafka_header_add(h, "content-type", -1, CONTENT_TYPE_READING, -1);
	return h;
}

static int kafka_send(struct om_exporter *e, const struct om_event *ev)
{
	struct kafka_exporter *k = (struct kafka_exporter *)e;
	int32_t partition = ev->partition_plus_1 ? (int32_t)ev->partition_plus_1 - 1 : RD_KAFKA_PARTITION_UA;
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t r;

	if (!k->producer)
		return 1;
	headers = headers_of(ev);
	r = rd_kafka_producev(k->producer, RD_KAFKA_V_RKT(k->topic[ev->topic]),
			      RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(ev->key, ev->key_len),
			      RD_KAFKA_V_VALUE((void *)ev->value, ev->value_len),
			      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
			      RD_KAFKA_V_OPAQUE((void *)(uintptr_t)ev->cookie), RD_KAFKA_V_END);
	if (r) {
		rd_kafka_headers_destroy(headers);
		/* A full queue empties; a fatal producer is replaced at the next poll; the outbox waits for
		 * both. */
		return r == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? -EMSGSIZE : 1;
	}
	e->sent_total++;
	return 0;
}

static int kafka_poll(struct om_exporter *e, int timeout_ms)
{
	struct kafka_exporter *k = (struct kafka_exporter *)e;
	struct error_text err = { 0 };
	char why[256];

	if (k->producer) {
		rd_kafka_poll(k->producer, timeout_ms);
		if (!rd_kafka_fatal_error(k->producer, why, sizeof(why)))
			return 0;
		log_warn("kafka: the producer ended: %s: beginning a new one", why);
		end_producer(k);
	}
	return make_producer(k, &err);
}

static int kafka_flush(struct om_exporter *e, int timeout_ms)
{
	struct kafka_exporter *k = (struct kafka_exporter *)e;

	return k->producer && rd_kafka_flush(k->producer, timeout_ms) ? 1 : 0;
}

static void kafka_free(struct om_exporter *e)
{
	struct kafka_exporter *k = (struct kafka_exporter *)e;

	end_producer(k);
	free(k->brokers);
	free(k->config_path);
	free(k);
}

#define PUBLISHED_MS 3000 /* for one try to read the alerts topics to their end */

/* Assigns every partition of a topic from its beginning; returns how many, or -errno. */
static int assign_topic(rd_kafka_t *rk, const char *topic, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
	const struct rd_kafka_metadata *md;
	int n = 0;

	if (rd_kafka_metadata(rk, 0, t, &md, PUBLISHED_MS)) {
		rd_kafka_topic_destroy(t);
		return -EIO;
	}
	/* A topic that is not there holds nothing; any other error leaves open what it holds. */
	if (md->topics[0].err && md->topics[0].err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		n = -EIO;
	for (; n >= 0 && n < md->topics[0].partition_cnt; n++)
		rd_kafka_topic_partition_list_add(list, topic, md->topics[0].partitions[n].id)->offset =
			RD_KAFKA_OFFSET_BEGINNING;
	rd_kafka_metadata_destroy(md);
	rd_kafka_topic_destroy(t);
	return n;
}

static int read_keys(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
		     void (*fn)(void *ctx, const void *key, size_t len), void *ctx)
{
	int unread = list->cnt;

	while (unread > 0) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, PUBLISHED_MS);
		int err = m ? m->err : -1;

		if (m && err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			unread -= m->rkt && om_kafka_ended(list, rd_kafka_topic_name(m->rkt), m->partition);
		else if (m && !err && m->key)
			fn(ctx, m->key, m->key_len);
		if (m)
			rd_kafka_message_destroy(m);
		if (err && err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
			return -EIO;
	}
	return 0;
}

static int kafka_published(struct om_exporter *e, bool cases,
			   void (*fn)(void *ctx, const void *key, size_t len), void *ctx)
{
	static const enum om_topic topics[] = { OM_TOPIC_CASES, OM_TOPIC_ALERTS, OM_TOPIC_ALERTS_SHADOW };
	struct kafka_exporter *k = (struct kafka_exporter *)e;
	struct error_text err = { 0 };
	rd_kafka_conf_t *conf = om_kafka_conf(&k->config, &err);
	rd_kafka_topic_partition_list_t *list;
	int r = 0;
	rd_kafka_t *rk;
	char why[256];

	if (!conf)
		return -EINVAL;
	rd_kafka_conf_set(conf, "group.id", "opmeter-published", why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof(why));
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		return -EINVAL;
	}
	rd_kafka_poll_set_consumer(rk);
	list = rd_kafka_topic_partition_list_new(16);
	for (size_t i = !cases; r >= 0 && i < (cases ? 1 : ARRAY_SIZE(topics)); i++)
		r = assign_topic(rk, om_topic_name(topics[i]), list);
	if (r >= 0)
		r = rd_kafka_assign(rk, list) ? -EIO : read_keys(rk, list, fn, ctx);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	if (r < 0 && !k->has_said_unread[cases])
		log_warn("kafka: the %s be read (is the right to read there?): %s wait, readings go on",
			 cases ? "cases topic cannot" : "alerts topics cannot", cases ? "cases" : "alerts");
	k->has_said_unread[cases] = r < 0;
	return r < 0 ? r : 0;
}

int om_kafka_open(const struct om_kafka_config *config, struct om_exporter **ret, struct error_text *err)
{
	static const struct om_exporter_ops ops = { .name = "kafka",
						    .keeps_last = true,
						    .send = kafka_send,
						    .poll = kafka_poll,
						    .flush = kafka_flush,
						    .free = kafka_free,
						    .published = kafka_published };
	struct kafka_exporter *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	k->base.ops = &ops;
	k->brokers = strdup(config->brokers);
	k->config_path = config->config_path ? strdup(config->config_path) : NULL;
	k->config = (struct om_kafka_config){ k->brokers, k->config_path };
	r = make_producer(k, err);
	if (r) {
		kafka_free(&k->base);
		return r;
	}
	*ret = &k->base;
	return 0;
}
