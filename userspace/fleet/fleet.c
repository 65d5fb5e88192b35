// SPDX-License-Identifier: Apache-2.0
#include "fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "../../exporters/kafka.h"
#include "../base/cleanup.h"
#include "../base/exit_code.h"
#include "../core/policy.h"
#include "../core/totals.h"
#include "id_set.h"

#define PARTITIONS_MAX 4096
#define CONNECT_MS 10000

struct partition {
	enum om_topic topic;
	int32_t number;
	bool ended; /* read to the end at least once */
};

struct fleet {
	const struct fleet_config *config;
	char source[80];
	struct regimes *regimes;
	struct owners *owners;
	struct om_totals *totals;
	rd_kafka_t *consumer;
	struct om_exporter *producer;
	struct id_set published;
	struct partition partitions[PARTITIONS_MAX];
	size_t partition_count, ended;
	struct {
		uint64_t readings, assignments, alerts, tombstones, damaged, unknown_version, regressions,
			full;
	} seen;
	uint64_t sent, acked, failed;
	bool changed;
	int error;
};

static volatile sig_atomic_t is_stopping;

static void on_signal(int sig)
{
	is_stopping = 1;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static struct fleet *fleet_free(struct fleet *f)
{
	if (!f)
		return NULL;
	if (f->producer)
		f->producer->ops->free(f->producer);
	if (f->consumer) {
		rd_kafka_consumer_close(f->consumer);
		rd_kafka_destroy(f->consumer);
	}
	id_set_done(&f->published);
	om_totals_free(f->totals);
	owners_free(f->owners);
	regimes_free(f->regimes);
	free(f);
	return NULL;
}

static void fleet_freep(struct fleet **f)
{
	*f = fleet_free(*f);
}

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	struct fleet *f = ctx;

	if (err)
		f->failed++;
	else
		f->acked++;
}

static int send_event(struct fleet *f, struct om_event *ev)
{
	int r;

	/* The window is full: what is ahead of us goes first. */
	while ((r = f->producer->ops->send(f->producer, ev)) == 1 && !is_stopping)
		f->producer->ops->poll(f->producer, 100);
	if (r == 0)
		f->sent++;
	return r < 0 ? r : 0;
}

/* An event in one of the alerts topics: its id was published. */
static void take_alert(struct fleet *f, const rd_kafka_message_t *m)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(m->payload, m->len, 0, NULL);
	const char *text = json_string_value(json_object_get(o, "id"));
	struct om_id id;
	int r;

	if (!text || om_id_parse(text, &id)) {
		f->seen.damaged++;
		return;
	}
	f->seen.alerts++;
	r = id_set_add(&f->published, &id);
	if (r < 0)
		f->error = r;
}

static void take_assignment(struct fleet *f, const rd_kafka_message_t *m)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(m->payload, m->len, 0, NULL);
	const json_t *data = json_object_get(o, "data");
	_cleanup_free_ char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
	struct om_assignment a;
	int r = text ? om_assignment_decode(text, strlen(text), &a) : -EBADMSG;

	if (r == -EPROTONOSUPPORT)
		f->seen.unknown_version++;
	else if (r)
		f->seen.damaged++;
	if (r)
		return;
	f->seen.assignments++;
	r = om_totals_assign(f->totals, &a);
	f->changed |= r == 0;
	f->seen.full += r == -ENOSPC;
}

static void take_reading(struct fleet *f, const rd_kafka_message_t *m)
{
	uint8_t key[OM_REGISTER_KEY_SIZE];
	struct om_reading r;
	int rc = om_reading_decode(m->payload, m->len, &r);

	/* The key decides what compaction keeps, so it must be the reading's own. */
	if (rc == 0)
		om_register_key_encode(&r.key, key);
	if (rc == -EPROTONOSUPPORT)
		f->seen.unknown_version++;
	else if (rc || m->key_len != sizeof(key) || memcmp(m->key, key, sizeof(key)))
		f->seen.damaged++, rc = -EBADMSG;
	if (rc)
		return;
	f->seen.readings++;
	rc = om_totals_put(f->totals, &r);
	f->changed |= rc == 0;
	f->seen.regressions += rc == 2;
	f->seen.full += rc == -ENOSPC;
}

static void take_end(struct fleet *f, const char *topic, int32_t number)
{
	for (size_t i = 0; i < f->partition_count; i++) {
		struct partition *p = &f->partitions[i];

		if (p->number == number && !strcmp(om_topic_name(p->topic), topic) && !p->ended) {
			p->ended = true;
			f->ended++;
		}
	}
}

static void take(struct fleet *f, const rd_kafka_message_t *m)
{
	const char *topic;

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		take_end(f, rd_kafka_topic_name(m->rkt), m->partition);
		return;
	}
	if (m->err) {
		log_warn("kafka: %s", rd_kafka_message_errstr(m));
		return;
	}
	topic = rd_kafka_topic_name(m->rkt);
	if (!m->payload)
		f->seen.tombstones++; /* means nothing without a carry record, which this form has not */
	else if (!strcmp(topic, om_topic_name(OM_TOPIC_READINGS)))
		take_reading(f, m);
	else if (!strcmp(topic, om_topic_name(OM_TOPIC_ASSIGNMENTS)))
		take_assignment(f, m);
	else
		take_alert(f, m);
}

static int emit(void *ctx, const struct alert *a)
{
	struct fleet *f = ctx;
	_cleanup_free_ char *text = NULL;
	char key[OM_ID_STRLEN];
	struct om_event ev = { .key = key, .key_len = OM_ID_STRLEN - 1, .time_ns = a->time_ns };
	int r;

	if (id_set_has(&f->published, &a->id))
		return 0;
	text = alert_encode(a);
	if (!text)
		return -ENOMEM;
	om_id_format(&a->id, key);
	ev.topic = a->type == ALERT_CASE ? OM_TOPIC_CASES
		   : a->shadow		 ? OM_TOPIC_ALERTS_SHADOW
					 : OM_TOPIC_ALERTS;
	ev.value = text;
	ev.value_len = strlen(text);
	r = send_event(f, &ev);
	if (r)
		return r;
	r = id_set_add(&f->published, &a->id);
	if (f->config->json)
		printf("%s\n", text);
	else
		printf("%s\n", a->sentence);
	fflush(stdout);
	return r < 0 ? r : 0;
}

static json_t *decimal(opcount v)
{
	char buf[OPCOUNT_STRLEN];

	return json_string(opcount_format(v, buf));
}

/* docs/formats.md, "Totals"; this form reads all partitions: partition 0. */
static int send_total(struct fleet *f, const struct om_subject_total *s)
{
	char key[256], as_of[OM_TIME_STRLEN];
	_cleanup_free_ char *text = NULL;
	struct om_event ev = { .topic = OM_TOPIC_TOTALS, .key = key, .time_ns = s->as_of_ns };
	json_t *o =
		json_pack("{s:i,s:s,s:s,s:i,s:{s:o,s:o,s:o},s:{s:o,s:o,s:o},s:b,s:b,s:o,s:o,s:o,s:o,s:s}",
			  "v", 1, "tenant", s->tenant, "model", s->model, "partition", 0, "training", "low",
			  decimal(s->training_low), "high", decimal(s->training_high), "ceiling",
			  decimal(s->training_ceiling), "all", "low", decimal(s->all_low), "high",
			  decimal(s->all_high), "ceiling", decimal(s->all_ceiling), "attempted", s->attempted,
			  "bounded", s->is_bounded, "contradicted", decimal(s->contradicted), "unattributed",
			  decimal(s->unattributed), "losses", decimal(s->losses), "registers",
			  decimal(s->registers), "as_of", om_time_format(s->as_of_ns, as_of));

	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return -ENOMEM;
	ev.key_len = (size_t)snprintf(key, sizeof(key), "%s/0/%s/%s", f->config->name, s->tenant, s->model);
	ev.value = text;
	ev.value_len = strlen(text);
	if (f->config->once && f->config->json)
		printf("%s\n", text);
	return send_event(f, &ev);
}

static int judge(void *ctx, const struct om_subject_total *s)
{
	struct fleet *f = ctx;
	struct policy p = { f->regimes, f->owners, f->source, now_ns(CLOCK_REALTIME) };
	int r = send_total(f, s);

	return r ?: policy_judge(&p, s, emit, f);
}

static int add_topic(struct fleet *f, enum om_topic topic, rd_kafka_topic_partition_list_t *list,
		     struct error_text *err)
{
	rd_kafka_topic_t *t = rd_kafka_topic_new(f->consumer, om_topic_name(topic), NULL);
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_resp_err_t e = rd_kafka_metadata(f->consumer, 0, t, &md, CONNECT_MS);
	int r = 0;

	rd_kafka_topic_destroy(t);
	if (e)
		return error_set(err, -EIO, "kafka: %s: %s (is --brokers right, and is a broker there?)",
				 om_topic_name(topic), rd_kafka_err2str(e));
	if (md->topics[0].err || md->topics[0].partition_cnt == 0)
		r = error_set(err, -ENOENT, "kafka: topic %s: %s: create it, or give --create-topics",
			      om_topic_name(topic), rd_kafka_err2str(md->topics[0].err));
	for (int i = 0; r == 0 && i < md->topics[0].partition_cnt; i++) {
		if (f->partition_count == PARTITIONS_MAX) {
			r = error_set(err, -E2BIG, "kafka: more than %d partitions", PARTITIONS_MAX);
			break;
		}
		rd_kafka_topic_partition_list_add(list, om_topic_name(topic), md->topics[0].partitions[i].id)
			->offset = RD_KAFKA_OFFSET_BEGINNING;
		f->partitions[f->partition_count++] =
			(struct partition){ topic, md->topics[0].partitions[i].id, false };
	}
	rd_kafka_metadata_destroy(md);
	return r;
}

static int open_consumer(struct fleet *f, struct error_text *err)
{
	static const char *const settings[][2] = { { "group.id", "opmeter-fleet" },
						   { "enable.auto.commit", "false" },
						   { "enable.partition.eof", "true" },
						   { "auto.offset.reset", "earliest" } };
	static const enum om_topic topics[] = { OM_TOPIC_ALERTS, OM_TOPIC_ALERTS_SHADOW, OM_TOPIC_CASES,
						OM_TOPIC_ASSIGNMENTS, OM_TOPIC_READINGS };
	struct om_kafka_config kafka = { f->config->brokers, f->config->kafka_config };
	rd_kafka_conf_t *conf = om_kafka_conf(&kafka, err);
	rd_kafka_topic_partition_list_t *list;
	char why[256];
	int r = 0;

	if (!conf)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why));
	f->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!f->consumer) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, -EINVAL, "kafka: %s", why);
	}
	rd_kafka_poll_set_consumer(f->consumer);
	list = rd_kafka_topic_partition_list_new(64);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(topics); i++)
		r = add_topic(f, topics[i], list, err);
	if (r == 0 && rd_kafka_assign(f->consumer, list))
		r = error_set(err, -EIO, "kafka: the partitions cannot be read");
	rd_kafka_topic_partition_list_destroy(list);
	return r;
}

static int fleet_open(const struct fleet_config *config, struct fleet **ret, struct error_text *err)
{
	_cleanup_(fleet_freep) struct fleet *f = calloc(1, sizeof(*f));
	struct om_kafka_config kafka = { config->brokers, config->kafka_config };
	int r;

	if (!f)
		return -ENOMEM;
	f->config = config;
	snprintf(f->source, sizeof(f->source), "/opmeter/%.60s", config->name);
	r = regimes_load(config->regimes_dir, &f->regimes, err);
	if (r == 0 && config->owners_path)
		r = owners_load(config->owners_path, &f->owners, err);
	if (r)
		return -EINVAL;
	f->totals = om_totals_new(config->registers_max);
	if (!f->totals)
		return -ENOMEM;
	if (config->create_topics)
		r = om_kafka_create_topics(&kafka, 0, 0, CONNECT_MS, err);
	r = r ?: om_kafka_open(&kafka, &f->producer, err);
	if (r)
		return r;
	f->producer->acked = on_acked;
	f->producer->acked_ctx = f;
	r = open_consumer(f, err);
	if (r)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

static int judge_all(struct fleet *f)
{
	if (!f->changed)
		return 0;
	f->changed = false;
	return om_totals_each(f->totals, judge, f);
}

static int fleet_loop(struct fleet *f)
{
	uint64_t start = now_ns(CLOCK_MONOTONIC), next = start, now = start;
	uint64_t end = f->config->seconds ? start + f->config->seconds * 1000000000ULL : UINT64_MAX;
	int r = 0;

	while (r == 0 && !is_stopping && now < end) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(f->consumer, 50);

		if (m) {
			take(f, m);
			rd_kafka_message_destroy(m);
		}
		f->producer->ops->poll(f->producer, 0);
		now = now_ns(CLOCK_MONOTONIC);
		/* Before every partition was read to its end, a total would be a part of one. */
		if (f->ended < f->partition_count || now < next)
			continue;
		next = now + f->config->interval_ns;
		r = judge_all(f) ?: f->error;
		if (f->config->once)
			break;
	}
	if (f->producer->ops->flush(f->producer, 10000))
		log_warn(
			"the broker has not acknowledged everything; the next run publishes what is missing");
	return r;
}

static void say_what_was_seen(const struct fleet *f)
{
	log_info("%zu registers from %llu readings, %llu assignments; %llu damaged, %llu of a later version, "
		 "%llu regressions "
		 "(the maximum stays), %llu tombstones, %llu refused for want of room; %llu sent, %llu "
		 "acknowledged",
		 om_totals_registers(f->totals), (unsigned long long)f->seen.readings,
		 (unsigned long long)f->seen.assignments, (unsigned long long)f->seen.damaged,
		 (unsigned long long)f->seen.unknown_version, (unsigned long long)f->seen.regressions,
		 (unsigned long long)f->seen.tombstones, (unsigned long long)f->seen.full,
		 (unsigned long long)f->sent, (unsigned long long)f->acked);
}

int fleet_run(const struct fleet_config *config)
{
	_cleanup_(fleet_freep) struct fleet *f = NULL;
	struct error_text err = { 0 };
	int r;

	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	r = fleet_open(config, &f, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	r = fleet_loop(f);
	say_what_was_seen(f);
	if (r)
		log_error("ended: %s", strerror(-r));
	return r ? EXIT_FAILED : EXIT_OK;
}
