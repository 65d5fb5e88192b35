// SPDX-License-Identifier: Apache-2.0
#include "processes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../exporters/kafka_ended.h"
#include "../../exporters/topic.h"
#include "fleet_internal.h"

#define RETRY_NS UINT64_C(60000000000)
#define TURN_NS UINT64_C(20000000) /* of reading, before anything else has its turn */
#define KIND_AT (2 * OM_ID_STRLEN) /* in the key of an assignment */

struct processes {
	struct processes_config config;
	struct together *together;
	struct process_record *record; /* room for one */
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	uint32_t partitions, unread;
	uint64_t retry_ns; /* CLOCK_MONOTONIC */
	bool is_changed;
	struct processes_state state;
};

static void close_reader(struct processes *p)
{
	if (p->rk)
		rd_kafka_destroy_flags(p->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	p->rk = NULL;
	if (p->list)
		rd_kafka_topic_partition_list_destroy(p->list);
	p->list = NULL;
}

struct processes *processes_new(const struct processes_config *config)
{
	struct processes *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = *config;
	p->together = together_new(config->processes_max ?: PROCESSES_MAX);
	p->record = malloc(sizeof(*p->record));
	return p->together && p->record ? p : processes_free(p);
}

struct processes *processes_free(struct processes *p)
{
	if (!p)
		return NULL;
	close_reader(p);
	together_free(p->together);
	free(p->record);
	free(p);
	return NULL;
}

static int add_topic(struct processes *p, enum om_topic topic, uint32_t *ret, struct error_text *err)
{
	int r = intake_partitions(NULL, p->rk, topic, ret, err);

	for (uint32_t i = 0; r == 0 && i < *ret; i++)
		rd_kafka_topic_partition_list_add(p->list, om_topic_name(topic), (int32_t)i)->offset =
			RD_KAFKA_OFFSET_BEGINNING;
	p->unread += r ? 0 : *ret;
	return r;
}

static int open_reader(struct processes *p, struct error_text *err)
{
	static const char *const settings[][2] = { { "queued.max.messages.kbytes", "4096" } };
	uint32_t n;
	int r;

	p->unread = 0;
	p->rk = intake_reader(&p->config.kafka, p->config.name, NULL, settings, ARRAY_SIZE(settings), err);
	if (!p->rk)
		return -EIO;
	p->list = rd_kafka_topic_partition_list_new(64);
	r = add_topic(p, OM_TOPIC_PROCESSES, &p->partitions, err);
	if (r == 0 && p->config.assigned)
		r = add_topic(p, OM_TOPIC_ASSIGNMENTS, &n, err);
	if (r == 0 && rd_kafka_assign(p->rk, p->list))
		r = error_set(err, -EIO, "kafka: %s cannot be read", om_topic_name(OM_TOPIC_PROCESSES));
	return r;
}

/* False: there is nothing to read from now. */
static bool is_open(struct processes *p)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	struct error_text err = { 0 };
	int r;

	if (p->rk)
		return true;
	if (p->retry_ns && now < p->retry_ns)
		return false;
	r = open_reader(p, &err);
	if (r == 0) {
		if (p->state.is_missing)
			log_info("kafka: %s is there: processes are joined into jobs",
				 om_topic_name(OM_TOPIC_PROCESSES));
		p->state.is_missing = false;
		return true;
	}
	if (!p->state.is_missing)
		log_warn("%s: processes of several nodes are not joined into jobs; tried again each minute",
			 err.text[0] ? err.text : strerror(-r));
	p->state.is_missing = true;
	snprintf(p->state.why, sizeof(p->state.why), "%.190s", err.text[0] ? err.text : strerror(-r));
	close_reader(p);
	p->retry_ns = now + RETRY_NS;
	return false;
}

static void refuse(struct processes *p, const rd_kafka_message_t *m, enum refusal why)
{
	int64_t ms = rd_kafka_message_timestamp(m, NULL);

	p->state.refused[why]++;
	if (ms > 0 && (uint64_t)ms > p->state.refused_ms[why])
		p->state.refused_ms[why] = (uint64_t)ms;
	p->is_changed = true; /* to be said */
	if (p->config.refused)
		p->config.refused(p->config.ctx, m, why);
}

static int take_process(struct processes *p, const rd_kafka_message_t *m)
{
	struct admission a = { (uint32_t)m->partition, p->partitions, fleet_now_ns(CLOCK_REALTIME), NULL, 0 };
	struct raw_record raw = { m->key, m->payload, m->key_len, m->len, NULL, 0 };
	struct om_id ledger, job, process;
	enum refusal why;
	int r;

	p->state.records++;
	if (!m->payload) {
		if (!admit_process_key(&raw, &ledger, &job, &process)) {
			refuse(p, m, REFUSED_DAMAGED);
			return 0;
		}
		together_drop(p->together, &ledger, &job, &process);
		p->is_changed = true;
		return 0;
	}
	why = admit_process(&a, &raw, p->record);
	if (why) {
		refuse(p, m, why);
		return 0;
	}
	r = together_put(p->together, p->record);
	p->is_changed |= r == 0;
	return r < 0 ? r : 0;
}

/* Most are of tenants and phases: told by the key, without a look at the rest. */
static bool is_wanted(const rd_kafka_message_t *m)
{
	static const char *const kinds[] = { "lineage/", "serves/" };
	const char *key = m->key;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (m->key_len > KIND_AT + len && !memcmp(key + KIND_AT, kinds[i], len))
			return true;
	}
	return false;
}

static int take(struct processes *p, const rd_kafka_message_t *m)
{
	const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		p->unread -= m->rkt && om_kafka_ended(p->list, topic, m->partition);
		return 0;
	}
	if (m->err) {
		log_warn("kafka: processes: %s", rd_kafka_message_errstr(m));
		return 0;
	}
	if (!strcmp(topic, om_topic_name(OM_TOPIC_PROCESSES)))
		return take_process(p, m);
	return is_wanted(m) ? p->config.assigned(p->config.ctx, m) : 0;
}

int processes_step(struct processes *p)
{
	uint64_t begun = fleet_now_ns(CLOCK_MONOTONIC);
	int n = 0, r = 0;

	if (!is_open(p))
		return 0;
	while (r == 0 && fleet_now_ns(CLOCK_MONOTONIC) - begun < TURN_NS) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(p->rk, 0);

		if (!m)
			break;
		r = take(p, m);
		rd_kafka_message_destroy(m);
		n++;
	}
	return r < 0 ? r : n;
}

bool processes_are_read(const struct processes *p)
{
	return p->rk && !p->unread;
}

uint32_t processes_partitions(const struct processes *p)
{
	return p->partitions;
}

struct together *processes_together(struct processes *p)
{
	return p->together;
}

bool processes_take_change(struct processes *p)
{
	bool was = p->is_changed;

	p->is_changed = false;
	return was;
}

void processes_changed(struct processes *p)
{
	p->is_changed = true;
}

const struct processes_state *processes_state(const struct processes *p)
{
	return &p->state;
}
