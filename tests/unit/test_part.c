// SPDX-License-Identifier: Apache-2.0
/* One readings partition: what a record over another one's key, a lie about a node and a lost delivery do to it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "exporters/topic.h"
#include "userspace/fleet/fleet_internal.h"

#define PARTITIONS 2
#define SECOND_NS 1000000000ULL
#define DAY_NS (86400 * SECOND_NS)
#define LETTERS 32768

/* Keeps what it is given instead of sending it; `room` is a window that fills until it is
 * flushed, `loses` a delivery that fails. */
static struct outbox {
	struct om_exporter base;
	struct letter {
		enum om_topic topic;
		uint8_t key[256];
		size_t key_len, len;
		uint8_t *value;
	} letter[LETTERS];
	size_t count, room;
	bool loses;
} outbox;

static int box_send(struct om_exporter *e, const struct om_event *ev)
{
	struct letter *l = &outbox.letter[outbox.count];

	if (outbox.count == outbox.room)
		return 1;
	outbox.count++;
	assert_in_range(ev->key_len, 1, sizeof(l->key));
	*l = (struct letter){ .topic = ev->topic, .key_len = ev->key_len, .len = ev->value_len };
	memcpy(l->key, ev->key, ev->key_len);
	if (ev->value) {
		l->value = malloc(ev->value_len + 1);
		memcpy(l->value, ev->value, ev->value_len);
	}
	return 0;
}

static int box_poll(struct om_exporter *e, int timeout_ms)
{
	return 0;
}

static int box_flush(struct om_exporter *e, int timeout_ms)
{
	outbox.room = LETTERS; /* the window is empty again */
	if (outbox.loses)
		e->acked(e->acked_ctx, 0, -EIO);
	return 0;
}

static const struct om_exporter_ops box_ops = { .name = "box", .send = box_send, .poll = box_poll, .flush = box_flush };

static void empty_box(void)
{
	for (size_t i = 0; i < outbox.count; i++)
		free(outbox.letter[i].value);
	outbox.count = 0;
	outbox.room = LETTERS;
	outbox.loses = false;
}

static size_t sent(enum om_topic topic)
{
	size_t n = 0;

	for (size_t i = 0; i < outbox.count; i++)
		n += outbox.letter[i].topic == topic;
	return n;
}

static const struct letter *last_sent(enum om_topic topic)
{
	for (size_t i = outbox.count; i > 0; i--)
		if (outbox.letter[i - 1].topic == topic)
			return &outbox.letter[i - 1];
	fail();
	return NULL;
}

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	struct fleet *f = ctx;

	f->failed += err != 0;
}

static struct fleet_config config = { .name = "f", .seal_after_ns = 3600 * SECOND_NS, .registers_max = 20000 };
static struct fleet *fleet;
static rd_kafka_t *kafka;
static rd_kafka_topic_t *rkt[OM_TOPIC_END];

static int begin(void **state)
{
	kafka = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0);
	if (!kafka)
		return -1;
	for (int i = 0; i < OM_TOPIC_END; i++)
		rkt[i] = rd_kafka_topic_new(kafka, om_topic_name((enum om_topic)i), NULL);
	return 0;
}

static int end(void **state)
{
	for (int i = 0; i < OM_TOPIC_END; i++)
		rd_kafka_topic_destroy(rkt[i]);
	rd_kafka_destroy(kafka);
	return 0;
}

static int set_up(void **state)
{
	empty_box();
	fleet = calloc(1, sizeof(*fleet));
	fleet->config = &config;
	fleet->partitions = PARTITIONS;
	fleet->taken_ns = fleet_now_ns(CLOCK_REALTIME);
	outbox.base = (struct om_exporter){ .ops = &box_ops, .acked = on_acked, .acked_ctx = fleet };
	fleet->producer = &outbox.base;
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		fleet->parts[i] = part_new(fleet, i);
		fleet->parts[i]->readings_ended = true;
		memset(fleet->parts[i]->companion_ended, 1, COMPANION_END);
	}
	return 0;
}

static int tear_down(void **state)
{
	for (uint32_t i = 0; i < PARTITIONS; i++)
		part_free(fleet->parts[i]);
	free(fleet);
	empty_box();
	return 0;
}

/* A message as the consumer gives it; the library keeps its own beside it, which here is empty: no headers, no time. */
static void take(enum om_topic topic, uint32_t partition, const void *key, size_t key_len, const void *value, size_t len)
{
	union {
		rd_kafka_message_t m;
		uint8_t with_what_the_library_keeps[4096];
	} u;
	struct part *p = fleet->parts[partition];

	memset(&u, 0, sizeof(u));
	u.m = (rd_kafka_message_t){ .rkt = rkt[topic], .partition = (int32_t)partition, .key = (void *)key, .key_len = key_len,
				    .payload = (void *)value, .len = len };
	if (topic == OM_TOPIC_READINGS)
		part_take_reading(fleet, p, &u.m);
	else if (topic == OM_TOPIC_CARRY)
		part_take_carry(fleet, p, &u.m);
	else
		part_take_assignment(fleet, p, &u.m);
	assert_int_equal(fleet->error, 0);
}

static uint64_t now(void)
{
	return fleet_now_ns(CLOCK_REALTIME);
}

static struct om_reading reading(uint32_t job, uint32_t days_ago, uint64_t sequence, opcount exact)
{
	struct om_reading r = { .sequence = sequence };

	/* Both halves of the partition's hash are even, so it is partition 0. */
	r.key = (struct om_register_key){ .day = (uint32_t)(now() / DAY_NS) - days_ago, .format = OM_FORMAT_BF16, .meter = OM_METER_SHAPE };
	r.key.ledger.byte[0] = 2;
	memcpy(&r.key.job.byte[4], &job, sizeof(job));
	r.value = (struct om_value){ .exact = exact, .calls = 1, .from_ns = r.key.day * DAY_NS + 1, .to_ns = r.key.day * DAY_NS + 1 + sequence };
	return r;
}

static void take_reading(const struct om_reading *r)
{
	uint8_t key[OM_REGISTER_KEY_SIZE], value[OM_READING_SIZE];

	om_register_key_encode(&r->key, key);
	om_reading_encode(r, value);
	take(OM_TOPIC_READINGS, 0, key, sizeof(key), value, sizeof(value));
}

static void maintain(void)
{
	fleet->parts[0]->owed_ns = fleet->parts[0]->seal_ns = 0;
	assert_int_equal(part_maintain(fleet, fleet->parts[0]), 0);
}

static uint64_t refused(enum refusal why)
{
	return fleet->parts[0]->refused[why].count;
}

static opcount known(const struct om_reading *like)
{
	struct om_reading r;

	return om_totals_get(fleet->parts[0]->totals, &like->key, &r) ? r.value.exact : 0;
}

/* What is written back is read by the next instance, which must take it. */
static void the_last_reading_holds(opcount exact)
{
	const struct letter *l = last_sent(OM_TOPIC_READINGS);
	struct admission a = { 0, PARTITIONS, now(), NULL, 0 };
	struct raw_record m = { l->key, l->value, l->key_len, l->len, NULL, 0 };
	struct om_reading got;

	assert_int_equal(admit_reading(&a, &m, &got), ADMITTED);
	assert_true(got.value.exact == exact);
}

/* A node that takes its peak back cannot erase what it counted: its register would be refused when it is written back. */
static void facts_that_make_a_register_impossible_are_refused(void **state)
{
	struct om_reading a = reading(1, 0, 1, (opcount)1 << 70), b = reading(1, 0, 2, 0);

	b.node = (struct om_node_facts){ .ledger_start_ns = now() - DAY_NS, .peak_ops_per_s = 1, .device_count = 1 };
	take_reading(&a);
	take_reading(&b);
	assert_int_equal(refused(REFUSED_IMPOSSIBLE), 1);
	maintain();
	assert_int_equal(sent(OM_TOPIC_READINGS), 1); /* the lie stands last under the key */
	the_last_reading_holds(a.value.exact);
	take_reading(&a);
	empty_box();
	maintain();
	assert_int_equal(sent(OM_TOPIC_READINGS), 0);
}

/* The same two, the lie first: what is true comes in, and takes no lie's facts. */
static void facts_that_are_false_keep_nothing_out(void **state)
{
	struct om_reading a = reading(1, 0, 1, (opcount)1 << 70), b = reading(1, 0, UINT64_MAX, 0);

	b.value.to_ns = a.value.to_ns + 1;
	b.node = (struct om_node_facts){ .ledger_start_ns = now() - DAY_NS, .peak_ops_per_s = 1, .device_count = 1 };
	take_reading(&b);
	take_reading(&a);
	assert_int_equal(refused(REFUSED_IMPOSSIBLE), 0);
	assert_true(known(&a) == a.value.exact);
	maintain();
	the_last_reading_holds(a.value.exact);
}

static size_t owed_seen[8];

static int stop_after_three(void *ctx, enum om_owed what, const struct om_reading *r)
{
	unsigned *n = ctx;

	if (*n == 3)
		return 1;
	++*n;
	owed_seen[r->key.job.byte[4]]++;
	return 0;
}

/* Debts that cannot be paid stay; those behind them have their turn. */
static void no_debt_waits_for_ever(void **state)
{
	struct om_totals *t = fleet->parts[0]->totals;

	memset(owed_seen, 0, sizeof(owed_seen));
	for (uint32_t job = 0; job < 8; job++) {
		struct om_reading r = reading(job, 0, 1, 5);

		take_reading(&r);
		om_totals_null(t, &r.key);
	}
	for (int i = 0; i < 8; i++) {
		unsigned n = 0;

		assert_int_equal(om_totals_each_owed(t, stop_after_three, &n), 1);
	}
	for (size_t job = 0; job < 8; job++)
		assert_int_equal(owed_seen[job], 3);
}

/* A sealed day, back from the broker. */
static void seal_one(const struct om_reading *r, struct letter *ret)
{
	take_reading(r);
	maintain();
	assert_int_equal(sent(OM_TOPIC_CARRY), 1);
	*ret = *last_sent(OM_TOPIC_CARRY);
	ret->value = malloc(ret->len);
	memcpy(ret->value, last_sent(OM_TOPIC_CARRY)->value, ret->len);
	take(OM_TOPIC_CARRY, 0, ret->key, ret->key_len, ret->value, ret->len);
	empty_box();
	maintain();
	assert_int_equal(sent(OM_TOPIC_CARRY), 0);
}

static void a_carry_is_written_over_what_stands_on_its_key(void **state)
{
	struct om_reading r = reading(1, 5, 1, 77);
	const uint8_t *over[] = { NULL, (const uint8_t *)"x" };
	struct letter carry;

	seal_one(&r, &carry);
	for (size_t i = 0; i < ARRAY_SIZE(over); i++) {
		empty_box();
		take(OM_TOPIC_CARRY, 0, carry.key, carry.key_len, over[i], i);
		assert_int_equal(refused(REFUSED_DAMAGED), i + 1);
		assert_int_equal(sent(OM_TOPIC_DEADLETTERS), 1);
		maintain();
		assert_int_equal(sent(OM_TOPIC_CARRY), 1);
		assert_memory_equal(last_sent(OM_TOPIC_CARRY)->value, carry.value, carry.len);
		take(OM_TOPIC_CARRY, 0, carry.key, carry.key_len, carry.value, carry.len);
	}
	empty_box();
	maintain();
	assert_int_equal(sent(OM_TOPIC_CARRY), 0);
	assert_true(known(&r) == 77);
	free(carry.value);
}

static void a_null_over_an_unknown_carry_is_counted(void **state)
{
	uint8_t key[OM_CARRY_KEY_SIZE];
	struct om_reading r = reading(1, 5, 1, 77);

	om_carry_key_encode(&r.key.ledger, &r.key.job, r.key.day, key);
	take(OM_TOPIC_CARRY, 0, key, sizeof(key), NULL, 0);
	assert_int_equal(refused(REFUSED_DAMAGED), 1);
	maintain();
	assert_int_equal(sent(OM_TOPIC_CARRY), 0);
}

static void take_carry_of(struct om_reading r, uint32_t partition)
{
	struct om_carry c = { .ledger = r.key.ledger, .job = r.key.job, .day = r.key.day };
	_cleanup_free_ uint8_t *value = NULL;
	uint8_t key[OM_CARRY_KEY_SIZE];
	size_t len;

	assert_int_equal(om_carry_put(&c, &r), 0);
	assert_int_equal(om_carry_encode(&c, &value, &len), 0);
	om_carry_key_encode(&c.ledger, &c.job, c.day, key);
	take(OM_TOPIC_CARRY, partition, key, sizeof(key), value, len);
	om_carry_done(&c);
}

static void anothers_carry_is_sent_there(void **state)
{
	struct om_reading r = reading(1, 5, 1, 77);

	take_carry_of(r, 1);
	assert_int_equal(fleet->parts[1]->refused[REFUSED_MISPLACED].count, 1);
	assert_int_equal(om_totals_registers(fleet->parts[1]->totals), 0);
	assert_int_equal(sent(OM_TOPIC_CARRY), 1);
	take(OM_TOPIC_CARRY, 0, outbox.letter[0].key, outbox.letter[0].key_len, outbox.letter[0].value, outbox.letter[0].len);
	assert_true(known(&r) == 77);
}

static void a_carry_of_a_day_to_come_is_refused(void **state)
{
	struct om_reading r = reading(1, 0, 1, 77);

	r.key.day += 3;
	r.value.from_ns += 3 * DAY_NS;
	r.value.to_ns += 3 * DAY_NS;
	take_carry_of(r, 0);
	assert_int_equal(refused(REFUSED_IMPOSSIBLE), 1);
	assert_true(known(&r) == 0);
}

/* The window fills while days are archived: only what the archive has is sealed. */
static void no_day_is_sealed_before_the_archive_has_it(void **state)
{
	for (uint32_t job = 0; job < 10; job++) {
		struct om_reading r = reading(job, 5, 1, 7);

		take_reading(&r);
	}
	outbox.room = 4;
	maintain();
	assert_int_equal(sent(OM_TOPIC_ARCHIVE), 4);
	assert_int_equal(sent(OM_TOPIC_CARRY), 4);
	empty_box();
	/* None of them came back: all ten are due. */
	for (uint32_t i = 0; i < 2; i++) {
		outbox.loses = i == 0;
		maintain();
		assert_int_equal(sent(OM_TOPIC_ARCHIVE), 10);
		assert_int_equal(sent(OM_TOPIC_CARRY), i == 0 ? 0 : 10); /* a lost delivery is no archive */
		empty_box();
	}
}

/* Two thousand days a time: the second pass sends just those that the first one archived. */
static void both_passes_see_the_same_days(void **state)
{
	for (uint32_t job = 0; job < 2500; job++) {
		struct om_reading r = reading(job, 5, 1, 7);

		take_reading(&r);
	}
	maintain();
	assert_in_range(sent(OM_TOPIC_ARCHIVE), 1, 2499);
	assert_int_equal(sent(OM_TOPIC_CARRY), sent(OM_TOPIC_ARCHIVE));
	for (size_t i = 0; i < sent(OM_TOPIC_CARRY); i++)
		assert_memory_equal(outbox.letter[i].key, outbox.letter[i + sent(OM_TOPIC_ARCHIVE)].key, 36);
}

static void take_assignment(uint32_t partition, const char *tenant, uint64_t at_ns)
{
	struct om_reading r = reading(1, 0, 1, 1);
	struct om_assignment a = { .ledger = r.key.ledger, .job = r.key.job, .kind = OM_ASSIGN_TENANT, .share_low_ppm = 1000000,
				   .share_high_ppm = 1000000, .rule = "test", .version = "1", .at_ns = at_ns };
	char key[160], event[2048], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];
	_cleanup_free_ char *text = NULL;
	int len;

	snprintf(a.value, sizeof(a.value), "%s", tenant);
	text = om_assignment_encode(&a);
	snprintf(key, sizeof(key), "%s/%s/tenant/0/rule", om_id_format(&a.ledger, ledger), om_id_format(&a.job, job));
	len = snprintf(event, sizeof(event), "{\"specversion\":\"1.0\",\"data\":%s}", text);
	take(OM_TOPIC_ASSIGNMENTS, partition, key, strlen(key), event, (size_t)len);
}

/* An old record in the wrong place is seen at every rebuild: it must not land after a newer one. */
static void an_old_assignment_is_not_moved_over_a_newer_one(void **state)
{
	take_assignment(1, "acme", 5 * SECOND_NS); /* nothing is known: it is moved */
	assert_int_equal(sent(OM_TOPIC_ASSIGNMENTS), 1);
	take_assignment(0, "zeta", 7 * SECOND_NS);
	empty_box();
	take_assignment(1, "acme", 5 * SECOND_NS);
	take_assignment(1, "zeta", 7 * SECOND_NS);
	assert_int_equal(outbox.count, 0);
	take_assignment(1, "beta", 9 * SECOND_NS);
	assert_int_equal(sent(OM_TOPIC_ASSIGNMENTS), 1);
	empty_box();
	fleet->parts[0]->companion_ended[COMPANION_ASSIGNMENTS] = false; /* what is known there is not known */
	take_assignment(1, "beta", 9 * SECOND_NS);
	assert_int_equal(sent(OM_TOPIC_ASSIGNMENTS), 0);
	assert_int_equal(sent(OM_TOPIC_DEADLETTERS), 1);
	assert_int_equal(fleet->parts[1]->refused[REFUSED_MISPLACED].count, 5);
}

static void a_null_without_room_is_a_refusal(void **state)
{
	struct om_reading r = reading(1, 0, 1, 1), other = reading(2, 0, 1, 1);
	uint8_t key[OM_REGISTER_KEY_SIZE];

	om_totals_free(fleet->parts[0]->totals);
	fleet->parts[0]->totals = om_totals_new(1);
	take_reading(&r);
	om_register_key_encode(&other.key, key);
	take(OM_TOPIC_READINGS, 0, key, sizeof(key), NULL, 0);
	assert_int_equal(refused(REFUSED_FULL), 1);
}

/* What the producer does not take stays where it is, counted, each time. */
static void what_could_not_be_sent_is_counted(void **state)
{
	struct om_reading r = reading(1, 2, 1, 1);
	uint8_t key[OM_REGISTER_KEY_SIZE], value[OM_READING_SIZE];

	outbox.room = 0;
	take(OM_TOPIC_READINGS, 0, "nonsense", 8, "x", 1); /* a dead letter */
	assert_int_equal(fleet->unsent, 1);
	take_assignment(1, "acme", 5 * SECOND_NS); /* another partition's */
	assert_int_equal(fleet->unsent, 2);
	take_carry_of(r, 1);
	assert_int_equal(fleet->unsent, 3);
	om_register_key_encode(&r.key, key);
	om_reading_encode(&r, value);
	take(OM_TOPIC_READINGS, 1, key, sizeof(key), value, sizeof(value));
	assert_int_equal(fleet->unsent, 4);
	assert_int_equal(outbox.count, 0);
	outbox.room = LETTERS;
	take(OM_TOPIC_READINGS, 0, "nonsense", 8, "x", 1);
	take_assignment(1, "acme", 5 * SECOND_NS);
	take_carry_of(r, 1);
	take(OM_TOPIC_READINGS, 1, key, sizeof(key), value, sizeof(value));
	assert_int_equal(fleet->unsent, 4);
	assert_int_equal(outbox.count, 4);
}

/* --- assignments that are owed, at a broker of the library's own --- */

static struct om_assignment assignment_of(const char *tenant, uint64_t at_ns)
{
	struct om_reading r = reading(1, 0, 1, 1);
	struct om_assignment a = { .ledger = r.key.ledger, .job = r.key.job, .kind = OM_ASSIGN_TENANT, .share_low_ppm = 1000000,
				   .share_high_ppm = 1000000, .rule = "test", .version = "1", .at_ns = at_ns };

	snprintf(a.value, sizeof(a.value), "%s", tenant);
	return a;
}

static void put_on_topic(const char *brokers, const char *key, const char *event)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char why[200];

	rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why));
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	assert_non_null(rk);
	assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(om_topic_name(OM_TOPIC_ASSIGNMENTS)), RD_KAFKA_V_PARTITION(0),
					   RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE((void *)event, strlen(event)),
					   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END), 0);
	assert_int_equal(rd_kafka_flush(rk, 20000), 0);
	rd_kafka_destroy(rk);
}

/* A later word over which an older one was written: at offset 0 of the topic. */
static void owe_a_word(const char *brokers)
{
	struct om_assignment later = assignment_of("zeta", 7 * SECOND_NS), older = assignment_of("acme", 5 * SECOND_NS);
	char key[160], event[2048], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];
	_cleanup_free_ char *text = om_assignment_encode(&later);

	snprintf(key, sizeof(key), "%s/%s/tenant/0/rule", om_id_format(&later.ledger, ledger), om_id_format(&later.job, job));
	snprintf(event, sizeof(event), "{\"specversion\":\"1.0\",\"data\":%s}", text);
	if (brokers)
		put_on_topic(brokers, key, event);
	take_assignment(0, "zeta", 7 * SECOND_NS);
	heal_older(fleet, fleet->parts[0], &older);
	assert_int_equal(fleet->parts[0]->words.count, 1);
}

/* A broker beside other work may answer late: then it is left alone for half a minute. One that answers never
 * is, whatever comes of the answer. */
static void heal_answered(struct part *p)
{
	for (int i = 0; i < 30; i++) {
		fleet->heal_ns = 0;
		assert_int_equal(heal_step(fleet, p), 0);
		if (!fleet->heal_ns)
			return;
	}
	fail_msg("the broker did not answer");
}

static void a_debt_waits_for_room(void **state)
{
	rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(kafka, 1);
	struct fleet_config with_brokers = config;
	struct part *p = fleet->parts[0];

	rd_kafka_mock_topic_create(cluster, om_topic_name(OM_TOPIC_ASSIGNMENTS), PARTITIONS, 1);
	with_brokers.brokers = rd_kafka_mock_cluster_bootstraps(cluster);
	fleet->config = &with_brokers;
	owe_a_word(with_brokers.brokers);
	empty_box();
	outbox.room = 0;
	for (int i = 0; i < 2; i++) {
		heal_answered(p);
		assert_true(p->words.count == 1 && p->words.written == 0 && outbox.count == 0);
	}
	outbox.room = LETTERS;
	heal_answered(p);
	assert_true(p->words.count == 0 && p->words.written == 1 && p->words.lost == 0);
	assert_non_null(strstr((const char *)last_sent(OM_TOPIC_ASSIGNMENTS)->value, "zeta"));
	/* Said again meanwhile, by somebody else: nothing is owed any more. */
	owe_a_word(NULL);
	p->words.record[0] = 1;
	om_totals_free(p->totals);
	p->totals = om_totals_new(100);
	heal_answered(p);
	assert_true(p->words.count == 0 && p->words.written == 1);
	/* What is on the topic no more is lost, counted and not asked for again. */
	p->words.record[p->words.count++] = 50;
	heal_answered(p);
	assert_true(p->words.count == 0 && p->words.lost == 1);
	rd_kafka_destroy_flags(fleet->fetcher, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	fleet->fetcher = NULL;
	rd_kafka_mock_cluster_destroy(cluster);
}

/* Nobody is there: all partitions go on, and it is asked for again later. */
static void a_debt_waits_for_a_broker(void **state)
{
	struct fleet_config away = config;
	struct part *p = fleet->parts[0];

	away.brokers = "127.0.0.1:1";
	fleet->config = &away;
	owe_a_word(NULL);
	assert_int_equal(heal_step(fleet, p), 0);
	assert_int_equal(p->words.count, 1);
	assert_true(fleet->heal_ns > fleet_now_ns(CLOCK_MONOTONIC));
	assert_int_equal(heal_step(fleet, p), 0); /* at once */
	assert_int_equal(p->words.count, 1);
	rd_kafka_destroy_flags(fleet->fetcher, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	fleet->fetcher = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(facts_that_make_a_register_impossible_are_refused),
		T(facts_that_are_false_keep_nothing_out),
		T(no_debt_waits_for_ever),
		T(a_carry_is_written_over_what_stands_on_its_key),
		T(a_null_over_an_unknown_carry_is_counted),
		T(anothers_carry_is_sent_there),
		T(a_carry_of_a_day_to_come_is_refused),
		T(no_day_is_sealed_before_the_archive_has_it),
		T(both_passes_see_the_same_days),
		T(an_old_assignment_is_not_moved_over_a_newer_one),
		T(a_null_without_room_is_a_refusal),
		T(what_could_not_be_sent_is_counted),
		T(a_debt_waits_for_room),
		T(a_debt_waits_for_a_broker),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
