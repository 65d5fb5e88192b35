// SPDX-License-Identifier: Apache-2.0
/* The feed: an alert arrives once whatever the exporter loses, and nothing waits behind one that is held
 * back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "exporters/feed.h"
#include "userspace/core/assignment.h"
#include "userspace/core/process_record.h"

#define T0 1795456800000000000ULL

#define FAR_MAX 5000

static char dir[64];

/* A far side that keeps what it is sent, and an exporter that may lose the acknowledgement. */
static struct far_side {
	struct om_exporter base; /* first */
	char key[FAR_MAX][64];
	uint64_t cookie[FAR_MAX];
	size_t count, acked, assignments;
	char assignment_key[256], process_key[128];
	bool loses, is_mute, hides_cases, is_deaf; /* is_deaf: it acknowledges nothing */
} far_side;

static int far_send(struct om_exporter *e, const struct om_event *ev)
{
	snprintf(far_side.key[far_side.count], 64, "%.*s", (int)ev->key_len, (const char *)ev->key);
	if (ev->topic == OM_TOPIC_ASSIGNMENTS) {
		far_side.assignments++;
		snprintf(far_side.assignment_key, sizeof(far_side.assignment_key), "%.*s", (int)ev->key_len,
			 (const char *)ev->key);
	}
	if (ev->topic == OM_TOPIC_PROCESSES)
		snprintf(far_side.process_key, sizeof(far_side.process_key), "%.*s", (int)ev->key_len, (const char *)ev->key);
	far_side.cookie[far_side.count++] = ev->cookie;
	return 0;
}

static int far_poll(struct om_exporter *e, int timeout_ms)
{
	while (far_side.acked < far_side.count && !far_side.is_deaf)
		e->acked(e->acked_ctx, far_side.cookie[far_side.acked++], far_side.loses ? -EIO : 0);
	return 0;
}

static void far_free(struct om_exporter *e)
{
}

static int far_published(struct om_exporter *e, bool cases,
			 void (*fn)(void *ctx, const void *key, size_t len), void *ctx)
{
	if (far_side.is_mute || (cases && far_side.hides_cases))
		return -EIO;
	for (size_t i = 0; i < far_side.count; i++)
		fn(ctx, far_side.key[i], strlen(far_side.key[i]));
	return 0;
}

static const struct om_exporter_ops far_ops = {
	.name = "far", .send = far_send, .poll = far_poll, .free = far_free, .published = far_published
};

static struct om_ledger *begin(struct om_feed **ret)
{
	struct error_text err = { 0 };
	struct om_ledger *l = NULL;

	/* In memory: thousands of commits, and no disk is to be waited for. */
	strcpy(dir, access("/dev/shm", W_OK) ? "/tmp/opmeter-feed-XXXXXX" : "/dev/shm/opmeter-feed-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(om_ledger_open(dir, OM_LEDGER_CREATE, T0, &l, &err), 0);
	far_side = (struct far_side){ .base.ops = &far_ops };
	assert_int_equal(om_feed_new(l, "far", &far_side.base, ret), 0);
	return l;
}

static void end(struct om_ledger *l, struct om_feed *f)
{
	char cmd[128];

	om_feed_free(f);
	om_ledger_free(l);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	assert_int_equal(system(cmd), 0);
}

static void add_alert(struct om_ledger *l, const char *id)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "{\"id\":\"%s\",\"type\":\"opmeter.alert.level.v1\"}", id);

	assert_int_equal(om_ledger_append(l, OM_ENTRY_ALERT, id, text, (size_t)n, T0, NULL), 0);
}

static void expect_backlog(struct om_ledger *l, uint64_t want)
{
	uint64_t items;
	int e;

	assert_int_equal(om_ledger_exporter(l, "far", &e), 0);
	assert_int_equal(om_ledger_backlog(l, e, &items), 0);
	assert_int_equal(items, want);
}

/* As after a fatal error: purged while under way, and yet delivered. */
static void lost_but_delivered_is_not_sent_again(void **state)
{
	struct om_feed *f;
	struct om_ledger *l = begin(&f);

	add_alert(l, "a1");
	far_side.loses = true;
	assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 1);
	far_side.loses = false;
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 1);
	expect_backlog(l, 0);
	add_alert(l, "a2");
	assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 2);
	expect_backlog(l, 0);
	end(l, f);
}

static void add_reading(struct om_ledger *l, uint32_t day)
{
	const struct om_node_facts node = { .ledger_start_ns = T0 };
	struct om_register_key key = { .ledger = *om_ledger_id(l), .job = { "a job" }, .format = 4, .meter = OM_METER_SHAPE, .day = day };
	const struct om_value v = { .exact = 7, .calls = 1, .from_ns = day * 86400000000000ULL, .to_ns = day * 86400000000000ULL + 1 };
	size_t n;

	assert_int_equal(om_ledger_add(l, &key, &v, v.from_ns), 0);
	assert_int_equal(om_ledger_publish(l, &node, v.to_ns, NULL, NULL, &n), 0);
	assert_int_equal(n, 1);
}

/* A far side that keeps the last record of a key is told open days again at each start, once, and no others. */
static void open_days_are_said_again(void **state)
{
	uint32_t today = (uint32_t)(time(NULL) / 86400);
	struct om_exporter_ops ops = far_ops;
	struct om_feed *f;
	struct om_ledger *l = begin(&f);

	add_reading(l, today - 1);
	add_reading(l, today - 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 2);
	expect_backlog(l, 0);
	om_feed_free(f);
	assert_int_equal(om_feed_new(l, "far", &far_side.base, &f), 0);
	assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 2); /* a file would have it twice */
	om_feed_free(f);
	ops.keeps_last = true;
	far_side.base.ops = &ops;
	assert_int_equal(om_feed_new(l, "far", &far_side.base, &f), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 3);
	expect_backlog(l, 0);
	add_reading(l, today); /* numbers go on behind those */
	assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 4);
	expect_backlog(l, 0);
	end(l, f);
}

/* Who may not read the cases says alerts all the same; a case waits until it may. */
static void each_kind_waits_for_itself(void **state)
{
	const char text[] = "{\"id\":\"c1\"}";
	struct om_feed *f;
	struct om_ledger *l = begin(&f);

	far_side.hides_cases = true;
	assert_int_equal(om_ledger_append(l, OM_ENTRY_CASE, "c1", text, strlen(text), T0, NULL), 0);
	add_alert(l, "a1");
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 1);
	assert_string_equal(far_side.key[0], "a1");
	expect_backlog(l, 1);
	end(l, f);
	l = begin(&f); /* the same, read from the start: it is asked anew, and told */
	assert_int_equal(om_ledger_append(l, OM_ENTRY_CASE, "c1", text, strlen(text), T0, NULL), 0);
	assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 1);
	expect_backlog(l, 0);
	end(l, f);
}

/* The far side does not say what it has: alerts wait, the rest does not. */
static void held_back_holds_up_nothing(void **state)
{
	const struct om_assignment a = { .value = "acme", .rule = "map", .version = "1", .from_ns = 77, .share_high_ppm = 1000000 };
	char *assignment = om_assignment_encode(&a);
	struct om_feed *f;
	struct om_ledger *l = begin(&f);

	far_side.is_mute = true;
	add_alert(l, "a1");
	assert_int_equal(
		om_ledger_append(l, OM_ENTRY_ASSIGNMENT, NULL, assignment, strlen(assignment), T0, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 1);
	assert_int_equal(far_side.assignments, 1);
	/* One that begins at another time has another key: compaction keeps both. */
	assert_string_equal(far_side.assignment_key,
			    "00000000000000000000000000000000/00000000000000000000000000000000/tenant/77/rule");
	free(assignment);
	expect_backlog(l, 1);
	end(l, f);
}

/* More waits than can be under way at once: a sign of life goes out all the same, and one only. */
static void a_backlog_is_no_silence(void **state)
{
	const struct om_heartbeat beat = { .now_ns = T0, .interval_ns = 60000000000 };
	struct om_register_key key = { .day = 20000, .format = OM_FORMAT_BF16, .meter = OM_METER_SHAPE };
	const struct om_value value = { .exact = 1, .calls = 1, .from_ns = T0, .to_ns = T0 };
	const struct om_node_facts node = { .ledger_start_ns = T0 };
	struct om_feed *f;
	struct om_ledger *l = begin(&f);
	size_t full, n;

	key.ledger = *om_ledger_id(l);
	for (uint32_t i = 0; i < FAR_MAX - 200; i++) {
		memcpy(key.job.byte, &i, sizeof(i));
		assert_int_equal(om_ledger_add(l, &key, &value, T0), 0);
	}
	assert_int_equal(om_ledger_publish(l, &node, T0, NULL, NULL, &n), 0);
	assert_int_equal(n, FAR_MAX - 200);
	/* Nothing is acknowledged. */
	far_side.is_deaf = true;
	for (int i = 0; i < 3; i++)
		om_feed_step(f, 0);
	full = far_side.count;
	assert_in_range(full, 1000, FAR_MAX - 201);
	assert_int_equal(om_feed_heartbeat(f, &beat), 0);
	assert_int_equal(far_side.count, full + 1);
	assert_non_null(strstr(far_side.key[full], "/opmeter/"));
	/* It has that place until it is acknowledged; neither a second one nor a reading gets another. */
	assert_int_equal(om_feed_heartbeat(f, &beat), 1);
	om_feed_step(f, 0);
	assert_int_equal(far_side.count, full + 1);
	far_side.is_deaf = false;
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(om_feed_heartbeat(f, &beat), 0);
	expect_backlog(l, 0);
	end(l, f);
}

static int take_kind(void *ctx, const struct om_entry *e)
{
	snprintf(ctx, 128, "%d %.*s", (int)e->kind, (int)e->len, (const char *)e->payload);
	return 5;
}

/* Under its own key; of several with names that begin alike the last is found again, however late. */
static void what_a_process_does_leaves_the_node(void **state)
{
	struct process_record *p = calloc(1, sizeof(*p));
	char key[PROCESS_KEY_STRLEN], last[128] = "";
	struct om_feed *f;
	struct om_ledger *l = begin(&f);
	uint64_t owed;
	int later;
	char *text;

	p->ledger = *om_ledger_id(l);
	p->from_ns = p->to_ns = p->at_ns = T0;
	text = process_record_encode(p);
	assert_int_equal(om_ledger_append(l, OM_ENTRY_PROCESS, "process-a-1", text, strlen(text), T0, NULL), 0);
	assert_int_equal(om_ledger_append(l, OM_ENTRY_PROCESS, "process-b-1", text, strlen(text), T0, NULL), 0);
	assert_int_equal(om_ledger_append(l, OM_ENTRY_PROCESS, "process-a-2", "two", 3, T0, NULL), 0);
	assert_int_equal(om_ledger_last_named(l, "process-a-", take_kind, last), 5);
	assert_string_equal(last, "8 two");
	assert_int_equal(om_ledger_last_named(l, "process-", take_kind, last), 5);
	assert_memory_equal(last + 2, text, 100);
	assert_int_equal(om_ledger_last_named(l, "process-a-3", take_kind, last), 0);
	/* What is no record stays where it is and is an error; those before it go. */
	assert_int_equal(om_feed_step(f, 0), -EBADMSG);
	om_feed_step(f, 0);
	assert_int_equal(far_side.count, 2);
	assert_string_equal(far_side.process_key, process_record_key(p, key));
	expect_backlog(l, 1);
	/* An exporter that comes later is owed them, too. */
	assert_int_equal(om_ledger_exporter(l, "later", &later), 0);
	assert_int_equal(om_ledger_backlog(l, later, &owed), 0);
	assert_int_equal(owed, 3);
	free(text);
	free(p);
	end(l, f);
}

/* A far side that takes no record of a process is waited for with some of them; what else there is goes by, and in the end so do they. */
static void records_of_processes_hold_up_nothing(void **state)
{
	struct om_register_key key = { .day = 20000, .format = OM_FORMAT_BF16, .meter = OM_METER_SHAPE };
	const struct om_value value = { .exact = 1, .calls = 1, .from_ns = T0, .to_ns = T0 };
	const struct om_node_facts node = { .ledger_start_ns = T0 };
	struct process_record *p = calloc(1, sizeof(*p));
	struct om_feed *f;
	struct om_ledger *l = begin(&f);
	size_t n, sent;
	char *text;

	p->ledger = key.ledger = *om_ledger_id(l);
	p->from_ns = p->to_ns = p->at_ns = T0;
	text = process_record_encode(p);
	for (int i = 0; i < 700; i++)
		assert_int_equal(om_ledger_append(l, OM_ENTRY_PROCESS, NULL, text, strlen(text), T0, NULL), 0);
	assert_int_equal(om_ledger_add(l, &key, &value, T0), 0);
	assert_int_equal(om_ledger_publish(l, &node, T0, NULL, NULL, &n), 0);
	far_side.is_deaf = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	sent = far_side.count;
	assert_in_range(sent, 2, 600);
	assert_string_not_equal(far_side.key[sent - 1], far_side.key[0]); /* the reading */
	far_side.is_deaf = false;
	for (int i = 0; i < 6; i++)
		assert_int_equal(om_feed_step(f, 0), 0);
	assert_int_equal(far_side.count, 701);
	expect_backlog(l, 0);
	free(text);
	free(p);
	end(l, f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_of_processes_hold_up_nothing),
		cmocka_unit_test(what_a_process_does_leaves_the_node),
		cmocka_unit_test(lost_but_delivered_is_not_sent_again),
		cmocka_unit_test(held_back_holds_up_nothing),
		cmocka_unit_test(a_backlog_is_no_silence),
		cmocka_unit_test(each_kind_waits_for_itself),
		cmocka_unit_test(open_days_are_said_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
