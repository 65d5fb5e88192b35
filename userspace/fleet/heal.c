// SPDX-License-Identifier: Apache-2.0
/*
 * Assignments over which something older was written. Compaction keeps the last record of
 * a key, and the last need not be the latest: a node whose disk was restored says again what
 * it said long ago, a writer that failed leaves half a record, somebody writes a null. Who
 * read all of them knows better, but the next instance would not. So the record that holds
 * is fetched from where it still stands (for a week, docs/fleet.md) and written again, as
 * it was.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 100000 /* owed at once; those beyond are found again by whoever reads the topic next */
#define WORDS_AT_ONCE 50
#define FETCH_MS 2000
#define REST_NS UINT64_C(30000000000)

static void owe(struct fleet *f, struct part *p, uint64_t record)
{
	size_t room = p->words.room ? 2 * p->words.room : 16;
	uint64_t *more;

	if (!record || p->words.count >= WORDS_MAX)
		return;
	for (size_t i = p->words.count; i && i + 64 > p->words.count; i--)
		if (p->words.record[i - 1] == record)
			return;
	if (p->words.count == p->words.room) {
		more = reallocarray(p->words.record, room, sizeof(*more));
		if (!more) {
			f->error = -ENOMEM;
			return;
		}
		p->words.record = more;
		p->words.room = room;
	}
	p->words.record[p->words.count++] = record;
}

void heal_older(struct fleet *f, struct part *p, const struct om_assignment *older)
{
	const struct om_dated *known = om_totals_assigned(p->totals, older);

	if (known && known->record != older->record)
		owe(f, p, known->record);
}

/* "<ledger>/<job>/<kind>/<from>/<rule or person>" */
static bool parse_key(const rd_kafka_message_t *m, struct om_assignment *ret)
{
	char key[256], *part[5], *save = NULL, *end;
	int n = 0, kind = 0;

	if (m->key_len >= sizeof(key) || memchr(m->key, '\0', m->key_len))
		return false;
	memcpy(key, m->key, m->key_len);
	key[m->key_len] = '\0';
	for (char *s = strtok_r(key, "/", &save); s && n < 5; s = strtok_r(NULL, "/", &save))
		part[n++] = s;
	if (n != 5 || om_id_parse(part[0], &ret->ledger) || om_id_parse(part[1], &ret->job))
		return false;
	while (kind < OM_ASSIGN_END &&
	       strcmp(part[2], om_assignment_kind_name((enum om_assignment_kind)kind)) != 0)
		kind++;
	ret->kind = (enum om_assignment_kind)kind;
	ret->from_ns = strtoull(part[3], &end, 10);
	snprintf(ret->person, sizeof(ret->person), "%s", strcmp(part[4], "person") ? "" : part[4]);
	return kind < OM_ASSIGN_END && !*end && (ret->person[0] || !strcmp(part[4], "rule"));
}

void heal_overwritten(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct om_assignment like = { 0 };

	if (m->key && parse_key(m, &like))
		heal_older(f, p, &like);
}

static int open_fetcher(struct fleet *f)
{
	struct error_text err = { 0 };

	if (!f->fetcher)
		f->fetcher = intake_consumer(f, &err);
	if (!f->fetcher)
		log_warn("%s: assignments that are owed wait", err.text);
	return f->fetcher ? 0 : -EAGAIN;
}

/* 0: the record, which the caller destroys; -ENOENT: it is gone; -EAGAIN: the broker does not answer. */
static int fetch(struct fleet *f, const struct part *p, int64_t offset, rd_kafka_message_t **ret)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	uint64_t end = fleet_now_ns(CLOCK_MONOTONIC) + FETCH_MS * UINT64_C(1000000);
	int r = -EAGAIN;

	rd_kafka_topic_partition_list_add(list, om_topic_name(OM_TOPIC_ASSIGNMENTS), (int32_t)p->number)
		->offset = offset;
	rd_kafka_assign(f->fetcher, list);
	rd_kafka_topic_partition_list_destroy(list);
	while (r == -EAGAIN && fleet_now_ns(CLOCK_MONOTONIC) < end) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(f->fetcher, 50);

		if (!m)
			continue;
		if (!m->err && m->offset == offset) {
			*ret = m;
			r = 0;
			break;
		}
		/* Behind where it stood, or the end. */
		if ((!m->err && m->offset > offset) || m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			r = -ENOENT;
		rd_kafka_message_destroy(m);
	}
	rd_kafka_assign(f->fetcher, NULL);
	return r;
}

/* It was written again since, by us or by the last owner. */
static bool is_settled(const struct part *p, const rd_kafka_message_t *m, uint64_t record)
{
	struct om_assignment a;
	const struct om_dated *known;

	if (!m->payload || om_assignment_decode_event(m->payload, m->len, &a))
		return true;
	known = om_totals_assigned(p->totals, &a);
	return !known || known->record != record;
}

static int write_again(struct fleet *f, struct part *p, uint64_t record)
{
	rd_kafka_message_t *m;
	int r = fetch(f, p, (int64_t)record - 1, &m);

	if (r == -ENOENT) {
		p->words.lost++;
		p->words.lost_ms = fleet_now_ns(CLOCK_REALTIME) / 1000000;
		p->is_changed = true;
		log_error("the assignment at offset %" PRIu64 " of partition %" PRIu32
			  " holds, is no longer on the topic, and something older stands under its key: "
			  "assign again",
			  record - 1, p->number);
		return 0;
	}
	if (r == 0) {
		struct om_event ev = { .topic = OM_TOPIC_ASSIGNMENTS,
				       .key = m->key,
				       .key_len = m->key_len,
				       .value = m->payload,
				       .value_len = m->len };

		if (!is_settled(p, m, record)) {
			r = fleet_send(f, &ev);
			p->words.written += r == 0;
		}
		rd_kafka_message_destroy(m);
	}
	return r;
}

int heal_step(struct fleet *f, struct part *p)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	int r = 0;

	if (now < f->heal_ns)
		return 0;
	for (int i = 0; i < WORDS_AT_ONCE && p->words.count; i++) {
		r = open_fetcher(f) ?: write_again(f, p, p->words.record[p->words.count - 1]);
		if (r)
			break;
		p->words.count--;
	}
	/* One broker that does not answer must not hold up all partitions. */
	if (r == -EAGAIN)
		f->heal_ns = now + REST_NS;
	return r == -EAGAIN || r == 1 ? 0 : r;
}
