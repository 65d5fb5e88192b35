// SPDX-License-Identifier: Apache-2.0
/* Days on the totals topic: who asks is told, what did not change is not said again, and from part of the days nothing is concluded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "exporters/topic.h"
#include "userspace/core/days_record.h"
#include "userspace/fleet/fleet_internal.h"

#define PARTITIONS 2
#define SECOND_NS 1000000000ULL
#define DAY_NS (86400 * SECOND_NS)
#define LETTERS 4096

/* What is written to the totals topic, until the test delivers it. */
static struct outbox {
	struct om_exporter base;
	struct letter {
		char key[300], epoch[EPOCH_STRLEN];
		uint32_t partition;
		char *value;
	} letter[LETTERS];
	size_t count, value_max;
} outbox;

static int box_send(struct om_exporter *e, const struct om_event *ev)
{
	struct letter *l = &outbox.letter[outbox.count];

	assert_int_equal(ev->topic, OM_TOPIC_TOTALS);
	if (ev->value_len > outbox.value_max)
		return -EMSGSIZE;
	assert_true(outbox.count++ < LETTERS);
	assert_in_range(ev->key_len, 1, sizeof(l->key) - 1);
	*l = (struct letter){ .partition = ev->partition_plus_1 - 1, .value = ev->value ? strndup(ev->value, ev->value_len) : NULL };
	memcpy(l->key, ev->key, ev->key_len);
	if (ev->headers)
		snprintf(l->epoch, sizeof(l->epoch), "%s", ev->headers[1]);
	return 0;
}

static int box_poll(struct om_exporter *e, int timeout_ms)
{
	return 0;
}

static const struct om_exporter_ops box_ops = { .name = "box", .send = box_send, .poll = box_poll };

static void empty_box(void)
{
	while (outbox.count)
		free(outbox.letter[--outbox.count].value);
}

static size_t letters(const char *kind, uint32_t partition, bool is_null)
{
	char prefix[32];
	size_t n = 0;

	snprintf(prefix, sizeof(prefix), "f/%u/%s/", (unsigned)partition, kind);
	for (size_t i = 0; i < outbox.count; i++)
		n += !strncmp(outbox.letter[i].key, prefix, strlen(prefix)) && !outbox.letter[i].value == is_null;
	return n;
}

static struct fleet_config config = { .name = "f", .registers_max = 20000, .once = true };
static struct fleet *fleet;
static struct view *view;
static struct findings findings;
static uint32_t today;
static char said[2000];
static size_t said_count;

static int keep(void *ctx, const struct alert *a)
{
	said_count++;
	snprintf(said, sizeof(said), "%s %s", a->subject, a->data);
	return 0;
}

static int set_up(void **state)
{
	static const struct duties_pace pace = { 0 };

	outbox.base = (struct om_exporter){ .ops = &box_ops };
	outbox.value_max = 100000;
	said_count = 0;
	fleet = calloc(1, sizeof(*fleet));
	fleet->config = &config;
	fleet->partitions = PARTITIONS;
	fleet->me.instance = 7;
	fleet->producer = &outbox.base;
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		fleet->parts[i] = part_new(fleet, i);
		fleet->parts[i]->readings_ended = true;
		memset(fleet->parts[i]->companion_ended, 1, COMPANION_END);
	}
	view = view_new("f", PARTITIONS);
	today = (uint32_t)(fleet_now_ns(CLOCK_REALTIME) / DAY_NS);
	findings = (struct findings){ .fleet = fleet, .view = view, .emit = keep, .duties = duties_new(PARTITIONS, &pace) };
	findings.policy = (struct policy){ .source = "/opmeter/f", .now_ns = today * DAY_NS + 1 };
	return 0;
}

static int tear_down(void **state)
{
	for (uint32_t i = 0; i < PARTITIONS; i++)
		part_free(fleet->parts[i]);
	duties_free(findings.duties);
	view_free(view);
	free(fleet);
	empty_box();
	return 0;
}

static struct om_id id(uint8_t n)
{
	struct om_id v = { { n, 0xbb } };

	return v;
}

static void work(uint32_t partition, uint8_t job, uint32_t days_ago, opcount ops)
{
	struct om_reading r = { .key = { id(1), id(job), today - days_ago, 4, OM_METER_SHAPE }, .sequence = 1,
				.value = { .exact = ops, .from_ns = 1, .to_ns = 2 } };

	assert_int_equal(om_totals_put(fleet->parts[partition]->totals, &r), 0);
	fleet->parts[partition]->is_changed = true;
}

static void name(uint32_t partition, uint8_t job, enum om_assignment_kind kind, const char *value, uint64_t at)
{
	struct om_assignment a = { .ledger = id(1), .job = id(job), .kind = kind, .from_ns = 1, .at_ns = at,
				   .share_low_ppm = 1000000, .share_high_ppm = 1000000, .rule = "r" };

	snprintf(a.value, sizeof(a.value), "%s", value);
	assert_int_equal(om_totals_assign(fleet->parts[partition]->totals, &a), 0);
	fleet->parts[partition]->is_changed = true;
}

static void train(uint32_t partition, uint8_t job, const char *tenant)
{
	name(partition, job, OM_ASSIGN_TENANT, tenant, 1);
	name(partition, job, OM_ASSIGN_MODEL, "lm", 1);
	name(partition, job, OM_ASSIGN_PHASE, "training", 1);
}

/* A message as the consumer gives it, without headers. */
static void to_keeper(const struct letter *l)
{
	union {
		rd_kafka_message_t m;
		uint8_t with_what_the_library_keeps[4096];
	} u;

	memset(&u, 0, sizeof(u));
	u.m = (rd_kafka_message_t){ .partition = (int32_t)l->partition, .key = (void *)l->key, .key_len = strlen(l->key), .payload = l->value,
				    .len = l->value ? strlen(l->value) : 0 };
	publish_take_total(fleet, fleet->parts[l->partition], &u.m);
	assert_int_equal(fleet->error, 0);
}

/* Everything to the reader; to the keepers what is not theirs. */
static void deliver(void)
{
	for (size_t i = 0; i < outbox.count; i++) {
		const struct letter *l = &outbox.letter[i];
		struct view_record m = { l->key, l->value, strlen(l->key), l->value ? strlen(l->value) : 0,
					 epoch_parse(l->epoch, strlen(l->epoch), UINT64_MAX), l->partition };

		assert_int_equal(view_take(view, &m), 0);
		if (!l->epoch[0])
			to_keeper(l);
	}
	empty_box();
}

static void publish(void)
{
	for (uint32_t i = 0; i < PARTITIONS; i++)
		assert_int_equal(publish_part(fleet, fleet->parts[i]), 0);
	assert_int_equal(fleet->error, 0);
}

static struct om_forecast_point *point;
static size_t points;

static int look(void *ctx, const struct om_subject_total *s)
{
	return strcmp(s->tenant, ctx) ? 0 : duties_points(&findings, s, &point, &points);
}

/* How many points of the tenant's model there are to judge; they stand in `point`. */
static size_t judge(const char *tenant, bool is_other)
{
	static struct om_forecast_point *before;

	free(before);
	points = 0;
	point = NULL;
	duties_begin(findings.duties, is_other);
	assert_int_equal(view_each(view, OM_GROUP_MODEL, look, (void *)tenant), 0);
	before = point;
	return points;
}

/* acme's days: 3 and 2 ago in both partitions, yesterday in one; today in the other. */
static void make_acme(void)
{
	train(0, 1, "acme");
	train(1, 2, "acme");
	train(1, 3, "small");
	work(0, 1, 3, 100);
	work(1, 2, 3, 10);
	work(1, 2, 2, 20);
	work(0, 1, 2, 200);
	work(0, 1, 1, 400);
	work(1, 2, 0, 70);
	work(1, 3, 1, 1);
	publish();
	deliver();
	assert_true(view_is_whole(view));
}

static void ask_and_hear(void)
{
	assert_int_equal(judge("acme", false), 0);
	deliver();
	publish();
	deliver();
}

static void who_asks_is_told(void **state)
{
	make_acme();
	assert_true(view_head(view, 0)->tells_days && view_head(view, 0)->days_records == 0);
	assert_int_equal(judge("acme", false), 0);
	assert_int_equal(letters("ask", 0, false), 1);
	assert_int_equal(letters("ask", 1, false), 1);
	assert_int_equal(outbox.count, 2);
	assert_int_equal(judge("acme", false), 0);
	assert_int_equal(outbox.count, 2); /* it is not asked at each look */
	deliver();
	publish();
	assert_int_equal(letters("days", 0, false), 1);
	assert_int_equal(letters("days", 1, false), 1);
	deliver();
	assert_true(view_is_whole(view) && view_head(view, 1)->has_all_days);
	assert_int_equal(judge("acme", false), 3);
	assert_true(point[0].day == (int32_t)today - 3 && point[0].low == 110 && point[0].high == 110);
	assert_true(point[1].day == (int32_t)today - 2 && point[1].low == 330);
	assert_true(point[2].day == (int32_t)today - 1 && point[2].low == 730);
	assert_int_equal(judge("acme", false), 0); /* nothing is new */
	assert_int_equal(judge("acme", true), 3);  /* the law is */
	assert_int_equal(outbox.count, 0);
}

static void only_what_changed_is_told_again(void **state)
{
	make_acme();
	ask_and_hear();
	assert_int_equal(judge("acme", false), 3);
	work(0, 1, 0, 5000);
	work(1, 3, 1, 2);
	publish();
	assert_true(letters("model", 0, false) == 1 && letters("model", 1, false) == 1);
	assert_true(letters("days", 0, false) == 0 && letters("days", 1, false) == 0);
	deliver();
	assert_int_equal(judge("acme", false), 0);
	work(0, 1, 2, 201); /* late */
	publish();
	assert_true(letters("days", 0, false) == 1 && letters("days", 1, false) == 0);
	deliver();
	assert_int_equal(judge("acme", false), 3);
	assert_true(point[1].low == 331 && point[2].low == 731);
	fleet->parts[1]->is_full = true; /* somebody wrote over it, or a delivery was lost */
	publish();
	assert_true(letters("days", 0, false) == 0 && letters("days", 1, false) == 1);
	deliver();
	assert_int_equal(judge("acme", false), 3);
}

static void what_is_gone_is_retracted(void **state)
{
	make_acme();
	ask_and_hear();
	name(0, 1, OM_ASSIGN_TENANT, "other", 2);
	publish();
	assert_true(letters("days", 0, true) == 1 && letters("ask", 0, true) == 1 && letters("model", 0, true) == 1);
	deliver();
	assert_true(view_is_whole(view) && view_head(view, 0)->has_all_days && view_head(view, 0)->days_records == 0);
	assert_int_equal(judge("acme", false), 2);
	assert_true(point[0].low == 10 && point[1].low == 30);
	name(0, 1, OM_ASSIGN_TENANT, "acme", 3);
	publish();
	deliver();
	ask_and_hear();
	assert_int_equal(judge("acme", false), 3);
	assert_true(point[2].low == 730);
}

static void work_of_today_alone_is_told_as_no_days(void **state)
{
	make_acme();
	train(0, 4, "new");
	work(0, 4, 0, 9);
	publish();
	deliver();
	assert_int_equal(judge("new", false), 0);
	deliver();
	publish();
	assert_true(letters("days", 0, false) == 1 && letters("ask", 0, true) == 0);
	deliver();
	judge("new", false);
	assert_int_equal(outbox.count, 0); /* it is answered */
}

static void put(uint32_t partition, const char *key, const char *value, const char *epoch)
{
	struct view_record m = { key, value, strlen(key), strlen(value), epoch_parse(epoch, strlen(epoch), UINT64_MAX), partition };

	assert_int_equal(view_take(view, &m), 0);
}

/* An aggregator of before there were days took partition 1 over: nothing is concluded from what partition 0 tells. */
static void part_of_the_days_starts_no_clock(void **state)
{
	struct om_subject_total s = { .tenant = "acme", .model = "lm", .lineage = "", .registers = 2, .training_low = 30, .training_high = 30,
				      .training_ceiling = 30, .is_bounded = true };
	_cleanup_free_ char *text = om_total_encode(&s, 1);

	make_acme();
	ask_and_hear();
	put(1, "f/1/model/acme/lm", text, "90.0000000000000001");
	put(1, "f/1", "{\"v\":2,\"group\":\"head\",\"round\":\"1\",\"subjects\":\"1\",\"as_of\":\"2026-11-29T00:00:00Z\"}", "90.0000000000000001");
	assert_true(view_is_whole(view) && !view_head(view, 1)->tells_days);
	assert_int_equal(judge("acme", true), 0);
	assert_int_equal(outbox.count, 0); /* nobody would answer */
	assert_int_equal(findings_untold(&findings), 0);
	assert_int_equal(said_count, 1);
	assert_non_null(strstr(said, "partition/1 "));
	assert_non_null(strstr(said, "\"cause\":\"days-untold\""));
	assert_non_null(strstr(said, "\"subjects\":\"1\""));
}

/* It says that it tells days, and one of them is not there: lost, or of a form that this reader does not know. */
static void days_that_are_not_all_there_start_no_clock(void **state)
{
	make_acme();
	ask_and_hear();
	put(1, "f/1/days/model/small/lm", "{\"v\":4}", "1.0000000000000007");
	put(1, "f/1",
	    "{\"v\":2,\"group\":\"head\",\"round\":\"9\",\"subjects\":\"2\",\"days\":{\"before\":\"2026-11-30\",\"records\":\"2\"},"
	    "\"as_of\":\"2026-11-29T00:00:00Z\"}",
	    "1.0000000000000007");
	assert_true(view_is_whole(view) && view_head(view, 1)->tells_days && !view_head(view, 1)->has_all_days);
	assert_int_equal(judge("acme", true), 0);
	assert_int_equal(findings_untold(&findings), 0);
	assert_int_equal(said_count, 1);
}

static void a_small_record_has_the_earliest_days_in_one(void **state)
{
	make_acme();
	for (uint32_t i = 1; i < 20; i++)
		work(1, 2, i + 3, (opcount)1 << 90);
	publish();
	deliver();
	assert_int_equal(judge("acme", false), 0);
	deliver();
	outbox.value_max = 1000; /* a total fits, twenty-one days do not */
	publish();
	assert_int_equal(letters("days", 1, false), 1);
	deliver();
	assert_true(view_head(view, 1)->has_all_days);
	/* What the other partition tells of those days is in the first one, too, so that no day has only a part. */
	assert_in_range(judge("acme", false), 2, 21);
	assert_true(point[points - 1].low == 730 + 19 * ((opcount)1 << 90));
	for (size_t i = 1; i < points; i++)
		assert_true(point[i].day > point[i - 1].day && point[i].low >= point[i - 1].low);
}

static void asks_that_are_none_are_left(void **state)
{
	static const struct letter asks[] = {
		{ .key = "f/0/ask/model/acme/lm", .value = "{}" },
		{ .key = "f/0/ask/model/acme/lm", .value = "{\"v\":3,\"group\":\"ask\",\"of\":\"model\",\"tenant\":\"zeta\",\"model\":\"lm\",\"partition\":0}" },
		{ .key = "f/0/ask/", .value = "{\"v\":3,\"group\":\"ask\",\"of\":\"model\",\"tenant\":\"acme\",\"model\":\"lm\",\"partition\":0}" },
		{ .key = "f/0/ask/model/acme/lm", .value = "{\"v\":4,\"group\":\"ask\"}" },
		{ .key = "f/0/ask/model/acme/lm", .value = NULL },
	};

	make_acme();
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		to_keeper(&asks[i]);
	publish();
	assert_int_equal(letters("days", 0, false), 0);
	empty_box();
	/* Of a subject that is not here: it is said so, by taking the ask away. */
	to_keeper(&(struct letter){ .key = "f/0/ask/model/zeta/lm",
				    .value = "{\"v\":3,\"group\":\"ask\",\"of\":\"model\",\"tenant\":\"zeta\",\"model\":\"lm\",\"partition\":0}" });
	publish();
	assert_true(letters("days", 0, false) == 0 && letters("ask", 0, true) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_asks_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_what_changed_is_told_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_gone_is_retracted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(work_of_today_alone_is_told_as_no_days, set_up, tear_down),
		cmocka_unit_test_setup_teardown(part_of_the_days_starts_no_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(days_that_are_not_all_there_start_no_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_small_record_has_the_earliest_days_in_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_that_are_none_are_left, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
