// SPDX-License-Identifier: Apache-2.0
/*
 * Who reads which partition. The readings topic is shared out by the group
 * (classic protocol, cooperative-sticky). What belongs to the same jobs on the other
 * topics is in partitions of the same number, which a second handle reads by hand.
 * Every assignment begins at the beginning: no offset is ever committed, because the
 * state is the input.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MS 10000
#define CLOSE_MS 5000
#define CHECKS_MAX 3
#define BATCH 20000 /* records between two looks at anything else */
/* Before librdkafka 2.3.0 closing a member that was never assigned anything crashes. */
#define SAFE_CLOSE 0x02030000
/* Before 2.2.0 whoever finds the queue full waits that second in any case: there, large ones are faster. */
#define SMALL_QUEUES 0x02020000

static const enum om_topic companion_topics[COMPANION_END] = {
	[COMPANION_ASSIGNMENTS] = OM_TOPIC_ASSIGNMENTS,
	[COMPANION_CARRY] = OM_TOPIC_CARRY,
	[COMPANION_TOTALS] = OM_TOPIC_TOTALS,
};

static rd_kafka_topic_partition_list_t *companions_of(const rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(COMPANION_END * list->cnt);

	for (int i = 0; i < list->cnt; i++)
		for (int t = 0; t < COMPANION_END; t++)
			rd_kafka_topic_partition_list_add(all, om_topic_name(companion_topics[t]),
							  list->elems[i].partition)
				->offset = RD_KAFKA_OFFSET_BEGINNING;
	return all;
}

static void take_over(struct fleet *f, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_t *more = companions_of(list);

	for (int i = 0; i < list->cnt; i++) {
		int32_t n = list->elems[i].partition;

		list->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
		if (n < 0 || n >= (int32_t)f->partitions)
			continue;
		part_free(f->parts[n]);
		f->parts[n] = part_new(f, (uint32_t)n);
		if (!f->parts[n])
			f->error = -ENOMEM;
	}
	rd_kafka_error_destroy(rd_kafka_incremental_assign(f->consumer, list));
	rd_kafka_error_destroy(rd_kafka_incremental_assign(f->companion, more));
	rd_kafka_topic_partition_list_destroy(more);
	f->was_assigned = true;
}

static void let_go(struct fleet *f, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_t *more = companions_of(list);

	/* Others may own them already: from here on nothing of their state may be published. */
	for (int i = 0; i < list->cnt; i++) {
		int32_t n = list->elems[i].partition;

		if (n < 0 || n >= (int32_t)f->partitions)
			continue;
		if (n == 0 && judge_speaks(f))
			judge_end(f);
		f->parts[n] = part_free(f->parts[n]);
	}
	rd_kafka_error_destroy(rd_kafka_incremental_unassign(f->consumer, list));
	rd_kafka_error_destroy(rd_kafka_incremental_unassign(f->companion, more));
	rd_kafka_topic_partition_list_destroy(more);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
			 void *opaque)
{
	struct fleet *f = opaque;

	f->rebalances++;
	f->is_owner_changed = true;
	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		take_over(f, list);
	else
		let_go(f, list);
}

void fleet_group_of(const char *name, char out[FLEET_GROUP_STRLEN])
{
	snprintf(out, FLEET_GROUP_STRLEN, "opmeter-fleet-%.60s", name);
}

rd_kafka_t *intake_reader(const struct om_kafka_config *kafka, const char *name, struct fleet *member,
			  const char *const settings[][2], size_t n, struct error_text *err)
{
	static const char *const common[][2] = { { "enable.auto.commit", "false" },
						 { "enable.auto.offset.store", "false" },
						 { "enable.partition.eof", "true" },
						 { "auto.offset.reset", "earliest" } };
	/* The defaults hold some 150 MB of records that nobody has taken yet, and leave a fast reader waiting
	 * a second whenever that is full. */
	static const char *const small[][2] = { { "fetch.queue.backoff.ms", "10" },
						{ "queued.max.messages.kbytes", "8192" },
						{ "fetch.max.bytes", "1048576" } };
	rd_kafka_conf_t *conf = om_kafka_conf(kafka, err);
	char why[256], group[FLEET_GROUP_STRLEN];
	rd_kafka_t *rk;

	if (!conf)
		return NULL;
	/* Who joins no group must have one all the same. */
	fleet_group_of(name, group);
	rd_kafka_conf_set(conf, "group.id", group, why, sizeof(why));
	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		rd_kafka_conf_set(conf, common[i][0], common[i][1], why, sizeof(why));
	for (size_t i = 0; i < n; i++)
		rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why));
	for (size_t i = 0; rd_kafka_version() >= SMALL_QUEUES && i < ARRAY_SIZE(small); i++)
		rd_kafka_conf_set(conf, small[i][0], small[i][1], why, sizeof(why));
	if (member) {
		rd_kafka_conf_set_opaque(conf, member);
		rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	}
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		error_set(err, -EINVAL, "kafka: %s", why);
		return NULL;
	}
	rd_kafka_poll_set_consumer(rk);
	return rk;
}

rd_kafka_t *intake_consumer(const struct fleet *f, struct error_text *err)
{
	struct om_kafka_config kafka = { f->config->brokers, f->config->kafka_config };

	return intake_reader(&kafka, f->config->name, NULL, NULL, 0, err);
}

int intake_partitions(struct fleet *f, rd_kafka_t *rk, enum om_topic topic, uint32_t *ret,
		      struct error_text *err)
{
	rd_kafka_topic_t *t = rd_kafka_topic_new(rk, om_topic_name(topic), NULL);
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 0, t, &md, CONNECT_MS);
	int r = 0;

	rd_kafka_topic_destroy(t);
	if (e)
		return error_set(err, -EIO, "kafka: %s: %s (is --brokers right, and is a broker there?)",
				 om_topic_name(topic), rd_kafka_err2str(e));
	e = md->topics[0].err;
	if (e == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		r = error_set(err, -EACCES, "kafka: topic %s: the ACLs refuse it to this user",
			      om_topic_name(topic));
	else if (e || md->topics[0].partition_cnt == 0)
		r = error_set(err, -ENOENT, "kafka: topic %s: %s: create it (`opmeter topics create`)",
			      om_topic_name(topic), rd_kafka_err2str(e));
	else if (md->topics[0].partition_cnt > PARTITIONS_MAX)
		r = error_set(err, -E2BIG, "kafka: topic %s: more than %d partitions", om_topic_name(topic),
			      PARTITIONS_MAX);
	else
		*ret = (uint32_t)md->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(md);
	return r;
}

/* Registers of one job must meet their assignments, and a compacted topic must be compacted: else totals
 * would be wrong, and none is made. */
static void on_finding(void *ctx, const struct om_kafka_finding *finding)
{
	struct error_text *err = ctx;

	if (finding->is_fatal)
		error_set(err, -EINVAL, "kafka: topic %s: %s: %s", finding->topic, finding->what,
			  finding->todo);
	else
		log_info("kafka: topic %s: %s", finding->topic, finding->what);
}

static int check_topics(struct fleet *f, struct error_text *err)
{
	struct om_kafka_config kafka = { f->config->brokers, f->config->kafka_config };
	struct error_text fatal = { 0 }, why = { 0 };
	int r = -ETIMEDOUT;

	for (int i = 0; r == -ETIMEDOUT && i < CHECKS_MAX; i++)
		r = om_kafka_check_topics(&kafka, 0, CONNECT_MS, on_finding, &fatal, &why);
	if (fatal.text[0])
		return error_set(err, -EPROTO, "%s", fatal.text);
	f->settings_unchecked = r == -EACCES;
	if (r == -EACCES)
		log_warn("%s: the topics' settings are not checked: give the fleet's user the right to "
			 "describe-configs",
			 why.text);
	else if (r)
		return error_set(err, r, "%s: without the topics' settings no total is made", why.text);
	return 0;
}

int intake_open(struct fleet *f, struct error_text *err)
{
	static const char *const settings[][2] = {
		{ "partition.assignment.strategy", "cooperative-sticky" },
		{ "session.timeout.ms", "6000" },
		{ "heartbeat.interval.ms", "1500" },
	};
	struct om_kafka_config kafka = { f->config->brokers, f->config->kafka_config };
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t e;
	int r = 0;

	f->companion = intake_consumer(f, err);
	f->consumer = f->companion
			      ? intake_reader(&kafka, f->config->name, f, settings, ARRAY_SIZE(settings), err)
			      : NULL;
	if (!f->consumer)
		return -EINVAL;
	r = intake_partitions(f, f->companion, OM_TOPIC_READINGS, &f->partitions, err);
	for (int t = 0; r == 0 && t < COMPANION_END; t++) {
		uint32_t n;

		r = intake_partitions(f, f->companion, companion_topics[t], &n, err);
	}
	r = r ?: check_topics(f, err);
	if (r)
		return r;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, om_topic_name(OM_TOPIC_READINGS), RD_KAFKA_PARTITION_UA);
	e = rd_kafka_subscribe(f->consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	return e ? error_set(err, -EIO, "kafka: %s", rd_kafka_err2str(e)) : 0;
}

/* Leaves the group, so that the others need not wait for the session's end; but never for long. */
static void leave(struct fleet *f)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(f->consumer);
	uint64_t end = fleet_now_ns(CLOCK_MONOTONIC) + CLOSE_MS * 1000000ULL;

	rd_kafka_error_destroy(rd_kafka_consumer_close_queue(f->consumer, queue));
	while (!rd_kafka_consumer_closed(f->consumer) && fleet_now_ns(CLOCK_MONOTONIC) < end) {
		rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, 100);

		if (ev && rd_kafka_event_type(ev) == RD_KAFKA_EVENT_REBALANCE)
			on_rebalance(f->consumer, rd_kafka_event_error(ev),
				     rd_kafka_event_topic_partition_list(ev), f);
		if (ev)
			rd_kafka_event_destroy(ev);
	}
	rd_kafka_queue_destroy(queue);
}

void intake_close(struct fleet *f)
{
	if (f->consumer) {
		if (f->was_assigned || rd_kafka_version() >= SAFE_CLOSE)
			leave(f);
		rd_kafka_destroy_flags(f->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	}
	if (f->companion)
		rd_kafka_destroy_flags(f->companion, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	if (f->fetcher)
		rd_kafka_destroy_flags(f->fetcher, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	f->consumer = f->companion = f->fetcher = NULL;
	for (uint32_t i = 0; i < f->partitions; i++)
		f->parts[i] = part_free(f->parts[i]);
}

void intake_error(struct fleet *f, const rd_kafka_message_t *m)
{
	switch (m->err) {
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		f->refused_by_broker_ms = fleet_now_ns(CLOCK_REALTIME) / 1000000;
		if (f->refused_by_broker++ == 0)
			log_error("kafka: the ACLs refuse it to this user: %s; without it no total is made",
				  rd_kafka_message_errstr(m));
		if (m->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
			f->error = -EACCES;
		break;
	default:
		log_warn("kafka: %s", rd_kafka_message_errstr(m));
	}
}

static void take_reading(struct fleet *f, const rd_kafka_message_t *m)
{
	struct part *p =
		m->partition >= 0 && m->partition < (int32_t)f->partitions ? f->parts[m->partition] : NULL;

	if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
		intake_error(f, m);
	else if (p && m->err)
		p->readings_ended = true;
	else if (p)
		part_take_reading(f, p, m);
}

static void take_companion(struct fleet *f, const rd_kafka_message_t *m)
{
	struct part *p =
		m->partition >= 0 && m->partition < (int32_t)f->partitions ? f->parts[m->partition] : NULL;
	const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
	int which = 0;

	if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		intake_error(f, m);
		return;
	}
	while (which < COMPANION_END && strcmp(topic, om_topic_name(companion_topics[which])) != 0)
		which++;
	if (!p || which == COMPANION_END)
		return;
	if (m->err)
		p->companion_ended[which] = true;
	else if (which == COMPANION_ASSIGNMENTS)
		part_take_assignment(f, p, m);
	else if (which == COMPANION_CARRY)
		part_take_carry(f, p, m);
	else
		publish_take_total(f, p, m);
}

static size_t drain(struct fleet *f, rd_kafka_t *rk, void (*fn)(struct fleet *f, const rd_kafka_message_t *m),
		    int timeout_ms)
{
	size_t n = 0;

	f->taken_ns = fleet_now_ns(CLOCK_REALTIME);
	while (n < BATCH) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, n ? 0 : timeout_ms);

		if (!m)
			break;
		fn(f, m);
		rd_kafka_message_destroy(m);
		n++;
	}
	f->records += n;
	return n;
}

size_t intake_poll(struct fleet *f, int timeout_ms)
{
	/* The group first: whether we still own a partition is known before what others wrote of it is read.
	 */
	size_t n = drain(f, f->consumer, take_reading, 0);

	n += drain(f, f->companion, take_companion, 0);
	return n ?: drain(f, f->consumer, take_reading, timeout_ms);
}
