// SPDX-License-Identifier: Apache-2.0
/* What an administrator does with topics: make those that are missing, and compare those that are there with
 * the table of exporters/topic.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <librdkafka/rdkafka.h>

#include "../userspace/base/cleanup.h"
#include "kafka.h"
#include "topic.h"

#define AWAIT_MS 50

static void handle_destroyp(rd_kafka_t **rk)
{
	if (*rk)
		rd_kafka_destroy(*rk);
}

static void event_destroyp(rd_kafka_event_t **ev)
{
	if (*ev)
		rd_kafka_event_destroy(*ev);
}

static void queue_destroyp(rd_kafka_queue_t **q)
{
	if (*q)
		rd_kafka_queue_destroy(*q);
}

static rd_kafka_t *open_handle(const struct om_kafka_config *config, struct error_text *err)
{
	rd_kafka_conf_t *conf = om_kafka_conf(config, err);
	rd_kafka_t *rk;
	char why[256];

	if (!conf)
		return NULL;
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		error_set(err, -EINVAL, "kafka: %s", why);
	}
	return rk;
}

/* A broker that refuses is told apart from one that fails: the first is a matter of ACLs. */
static int errno_of(rd_kafka_resp_err_t e)
{
	switch (e) {
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		return -EACCES;
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TRANSPORT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

static void set_number(rd_kafka_NewTopic_t *t, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	rd_kafka_NewTopic_set_config(t, name, text);
}

static rd_kafka_NewTopic_t *new_topic(enum om_topic topic, int partitions, int replication)
{
	const struct om_topic_spec *s = om_topic_spec(topic);
	int n = partitions == 0 && !s->is_single ? -1 : om_topic_partitions(s, partitions);
	char why[256];
	rd_kafka_NewTopic_t *t =
		rd_kafka_NewTopic_new(s->name, n, replication ? replication : -1, why, sizeof(why));

	if (!t)
		return NULL;
	rd_kafka_NewTopic_set_config(t, "cleanup.policy", s->is_compacted ? "compact" : "delete");
	if (s->is_compacted)
		set_number(t, "min.compaction.lag.ms", s->compaction_lag_ms);
	else
		set_number(t, "retention.ms", s->retention_ms);
	if (s->compaction_by_ms)
		set_number(t, "max.compaction.lag.ms", s->compaction_by_ms);
	if (s->segment_ms)
		set_number(t, "segment.ms", s->segment_ms);
	if (replication)
		set_number(t, "min.insync.replicas", om_topic_min_insync(replication));
	return t;
}

static int topics_result(rd_kafka_event_t *ev, struct error_text *err)
{
	const rd_kafka_CreateTopics_result_t *res = rd_kafka_event_CreateTopics_result(ev);
	const rd_kafka_topic_result_t **topics;
	size_t n;

	if (!res || rd_kafka_event_error(ev))
		return error_set(err, errno_of(rd_kafka_event_error(ev)),
				 "kafka: topics cannot be created: %s", rd_kafka_event_error_string(ev));
	topics = rd_kafka_CreateTopics_result_topics(res, &n);
	for (size_t i = 0; i < n; i++) {
		rd_kafka_resp_err_t e = rd_kafka_topic_result_error(topics[i]);

		if (e && e != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
			return error_set(err, errno_of(e), "kafka: %s cannot be created: %s",
					 rd_kafka_topic_result_name(topics[i]),
					 rd_kafka_topic_result_error_string(topics[i])
						 ?: rd_kafka_err2str(e));
	}
	return 0;
}

/* A created topic is the controller's word; brokers learn of it a moment later, and until then
 * say that it is not there. */
static void await_topic(rd_kafka_t *rk, const char *name, int *budget_ms)
{
	while (*budget_ms > 0) {
		rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, name, NULL);
		const struct rd_kafka_metadata *md = NULL;
		rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 0, rkt, &md, *budget_ms);

		rd_kafka_topic_destroy(rkt);
		if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
			e = md->topics[0].err;
			rd_kafka_metadata_destroy(md);
		}
		if (e != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
		    e != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
			return;
		*budget_ms -= AWAIT_MS;
		usleep(AWAIT_MS * 1000);
	}
}

int om_kafka_create_topics(const struct om_kafka_config *config, int partitions, int replication,
			   int timeout_ms, struct error_text *err)
{
	_cleanup_(handle_destroyp) rd_kafka_t *rk = open_handle(config, err);
	_cleanup_(queue_destroyp) rd_kafka_queue_t *queue = NULL;
	_cleanup_(event_destroyp) rd_kafka_event_t *ev = NULL;
	rd_kafka_NewTopic_t *topics[OM_TOPIC_END];
	int r, budget_ms = timeout_ms;
	size_t n = 0;

	if (!rk)
		return -EINVAL;
	for (int t = 0; t < OM_TOPIC_END; t++) {
		topics[n] = new_topic((enum om_topic)t, partitions, replication);
		n += topics[n] != NULL;
	}
	queue = rd_kafka_queue_new(rk);
	rd_kafka_CreateTopics(rk, topics, n, NULL, queue);
	rd_kafka_NewTopic_destroy_array(topics, n);
	ev = rd_kafka_queue_poll(queue, timeout_ms);
	if (n < OM_TOPIC_END)
		return error_set(err, -EINVAL, "kafka: %d partitions, %d replicas: not possible", partitions,
				 replication);
	if (!ev)
		return error_set(err, -ETIMEDOUT, "kafka: %s did not answer within %d ms", config->brokers,
				 timeout_ms);
	r = topics_result(ev, err);
	for (int t = 0; r == 0 && t < OM_TOPIC_END; t++)
		await_topic(rk, om_topic_name((enum om_topic)t), &budget_ms);
	return r;
}

struct check {
	rd_kafka_t *rk;
	int replication, timeout_ms;
	int partitions[OM_TOPIC_END]; /* 0: not there */
	void (*emit)(void *ctx, const struct om_kafka_finding *f);
	void *ctx;
	struct error_text *err;
};

static void __attribute__((format(printf, 5, 6)))
find(struct check *c, enum om_topic topic, bool is_fatal, const char *todo, const char *fmt, ...)
{
	struct om_kafka_finding f = { .topic = om_topic_name(topic), .is_fatal = is_fatal };
	va_list args;

	va_start(args, fmt);
	vsnprintf(f.what, sizeof(f.what), fmt, args);
	va_end(args);
	snprintf(f.todo, sizeof(f.todo), "%s", todo);
	c->emit(c->ctx, &f);
}

/* Partitions and copies, from the metadata of the whole cluster. */
static void look_at_shape(struct check *c, enum om_topic topic, const rd_kafka_metadata_topic_t *t)
{
	int copies = 0;

	if (t->err || t->partition_cnt == 0) {
		find(c, topic, false, "`opmeter topics create` makes it", "is not there (%s)",
		     rd_kafka_err2str(t->err));
		return;
	}
	c->partitions[topic] = t->partition_cnt;
	for (int i = 0; i < t->partition_cnt; i++)
		if (i == 0 || t->partitions[i].replica_cnt < copies)
			copies = t->partitions[i].replica_cnt;
	if (c->replication && copies < c->replication)
		find(c, topic, false, "reassign its partitions to more brokers, or say --replication",
		     "has %d of %d copies", copies, c->replication);
}

static int look_at_metadata(struct check *c)
{
	const struct rd_kafka_metadata *md;

	for (int t = 0; t < OM_TOPIC_END; t++) {
		rd_kafka_topic_t *rkt = rd_kafka_topic_new(c->rk, om_topic_name((enum om_topic)t), NULL);
		rd_kafka_resp_err_t e = rd_kafka_metadata(c->rk, 0, rkt, &md, c->timeout_ms);

		rd_kafka_topic_destroy(rkt);
		if (e)
			return error_set(c->err, errno_of(e),
					 "kafka: %s: %s (is --brokers right, and is a broker there?)",
					 om_topic_name((enum om_topic)t), rd_kafka_err2str(e));
		e = md->topics[0].err;
		if (e != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
			look_at_shape(c, (enum om_topic)t, &md->topics[0]);
		rd_kafka_metadata_destroy(md);
		if (e == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
			return error_set(c->err, -EACCES, "kafka: %s: the ACLs allow no Describe",
					 om_topic_name((enum om_topic)t));
	}
	for (int t = 0; t < OM_TOPIC_END; t++)
		if (om_topic_spec((enum om_topic)t)->is_by_job && c->partitions[t] &&
		    c->partitions[OM_TOPIC_READINGS] && c->partitions[t] != c->partitions[OM_TOPIC_READINGS])
			find(c, (enum om_topic)t, t != OM_TOPIC_ARCHIVE,
			     "give it as many partitions as the readings topic, before anything is written",
			     "has %d partitions, the readings topic %d", c->partitions[t],
			     c->partitions[OM_TOPIC_READINGS]);
	return 0;
}

/* "compact,delete" deletes too. */
static void look_at_policy(struct check *c, enum om_topic topic, const char *value)
{
	const char *want = om_topic_spec(topic)->is_compacted ? "compact" : "delete";
	char todo[256];

	if (!strcmp(value, want))
		return;
	snprintf(todo, sizeof(todo), "kafka-configs.sh --alter --topic %s --add-config cleanup.policy=%s",
		 om_topic_name(topic), want);
	find(c, topic, om_topic_spec(topic)->is_compacted, todo, "cleanup.policy is %s, should be %s", value,
	     want);
}

static void look_at_number(struct check *c, enum om_topic topic, const char *name, const char *value,
			   int64_t want, bool is_fatal)
{
	int64_t is = strtoll(value, NULL, 10);
	bool is_less = want < 0 ? is >= 0 : is >= 0 && is < want;
	char todo[256];

	if (!is_less)
		return;
	snprintf(todo, sizeof(todo), "kafka-configs.sh --alter --topic %s --add-config %s=%" PRId64,
		 om_topic_name(topic), name, want);
	find(c, topic, is_fatal, todo, "%s is %s, should be %s%" PRId64, name, value,
	     want < 0 ? "" : "at least ", want);
}

/* More is never wrong, only slow: whoever takes over reads what was not compacted yet. */
static void look_at_most(struct check *c, enum om_topic topic, const char *name, const char *value,
			 int64_t most)
{
	int64_t is = strtoll(value, NULL, 10);
	char todo[256];

	if (!most || (is >= 0 && is <= most))
		return;
	snprintf(todo, sizeof(todo), "kafka-configs.sh --alter --topic %s --add-config %s=%" PRId64,
		 om_topic_name(topic), name, most);
	find(c, topic, false, todo,
	     "%s is %s, should be at most %" PRId64 ": an instance that takes over has more to read", name,
	     value, most);
}

static void look_at_entry(struct check *c, enum om_topic topic, const char *name, const char *value)
{
	const struct om_topic_spec *s = om_topic_spec(topic);

	if (!strcmp(name, "cleanup.policy"))
		look_at_policy(c, topic, value);
	else if (!strcmp(name, "min.compaction.lag.ms") && s->is_compacted)
		look_at_number(c, topic, name, value, s->compaction_lag_ms, false);
	else if (!strcmp(name, "max.compaction.lag.ms"))
		look_at_most(c, topic, name, value, s->compaction_by_ms);
	else if (!strcmp(name, "segment.ms"))
		look_at_most(c, topic, name, value, s->segment_ms);
	else if (!strcmp(name, "retention.ms") && !s->is_compacted)
		look_at_number(c, topic, name, value, s->retention_ms, false);
	else if (!strcmp(name, "min.insync.replicas") && c->replication)
		look_at_number(c, topic, name, value, om_topic_min_insync(c->replication), false);
	else if (!strcmp(name, "unclean.leader.election.enable") && !strcmp(value, "true"))
		find(c, topic, false, "set unclean.leader.election.enable=false",
		     "a replica that lags may become its leader and lose acknowledged records");
}

static int look_at_settings(struct check *c, rd_kafka_event_t *ev)
{
	const rd_kafka_DescribeConfigs_result_t *res = rd_kafka_event_DescribeConfigs_result(ev);
	const rd_kafka_ConfigResource_t **topics;
	size_t n, m;

	if (!res || rd_kafka_event_error(ev))
		return error_set(c->err, errno_of(rd_kafka_event_error(ev)),
				 "kafka: settings cannot be read: %s", rd_kafka_event_error_string(ev));
	topics = rd_kafka_DescribeConfigs_result_resources(res, &n);
	for (size_t i = 0; i < n; i++) {
		const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(topics[i], &m);
		rd_kafka_resp_err_t e = rd_kafka_ConfigResource_error(topics[i]);
		enum om_topic t = 0;

		if (e)
			return error_set(c->err, errno_of(e), "kafka: %s: its settings cannot be read: %s",
					 rd_kafka_ConfigResource_name(topics[i]), rd_kafka_err2str(e));
		while (t < OM_TOPIC_END &&
		       strcmp(om_topic_name(t), rd_kafka_ConfigResource_name(topics[i])) != 0)
			t++;
		for (size_t k = 0; t < OM_TOPIC_END && k < m; k++)
			look_at_entry(c, t, rd_kafka_ConfigEntry_name(entries[k]),
				      rd_kafka_ConfigEntry_value(entries[k]) ?: "");
	}
	return 0;
}

int om_kafka_check_topics(const struct om_kafka_config *config, int replication, int timeout_ms,
			  void (*emit)(void *ctx, const struct om_kafka_finding *f), void *ctx,
			  struct error_text *err)
{
	_cleanup_(handle_destroyp) rd_kafka_t *rk = open_handle(config, err);
	_cleanup_(queue_destroyp) rd_kafka_queue_t *queue = NULL;
	_cleanup_(event_destroyp) rd_kafka_event_t *ev = NULL;
	struct check c = { rk, replication, timeout_ms, .emit = emit, .ctx = ctx, .err = err };
	rd_kafka_ConfigResource_t *resources[OM_TOPIC_END];
	size_t n = 0;
	int r;

	if (!rk)
		return -EINVAL;
	r = look_at_metadata(&c);
	if (r)
		return r;
	for (int t = 0; t < OM_TOPIC_END; t++)
		if (c.partitions[t])
			resources[n++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC,
								     om_topic_name((enum om_topic)t));
	if (n == 0)
		return 0;
	queue = rd_kafka_queue_new(rk);
	rd_kafka_DescribeConfigs(rk, resources, n, NULL, queue);
	rd_kafka_ConfigResource_destroy_array(resources, n);
	ev = rd_kafka_queue_poll(queue, timeout_ms);
	return ev ? look_at_settings(&c, ev)
		  : error_set(err, -ETIMEDOUT, "kafka: %s did not answer within %d ms", config->brokers,
			      timeout_ms);
}
