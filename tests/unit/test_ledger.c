// SPDX-License-Identifier: Apache-2.0
/* The ledger: cumulative counts become registers exactly once, whatever is repeated, replaced or damaged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "userspace/core/ledger.h"

#define T0 1795456800000000000ULL /* 2026-11-23, on the hour */
#define HOUR 3600000000000ULL

static char dir[64];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/opmeter-ledger-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

static struct om_ledger *open_ledger(unsigned flags)
{
	struct error_text err = { 0 };
	struct om_ledger *l = NULL;
	int r = om_ledger_open(dir, flags, T0, &l, &err);

	if (r)
		fail_msg("open: %d: %s", r, err.text);
	return l;
}

static struct om_usage usage(uint32_t tgid, uint64_t exact, uint64_t calls)
{
	struct om_usage u = { .tgid = tgid, .start_ns = 77, .cgroup_id = 5, .format = OM_FORMAT_BF16,
			      .meter = OM_METER_SHAPE };

	u.job.byte[0] = 1;
	u.now.exact = exact;
	u.now.calls = calls;
	return u;
}

static int add_exact(void *ctx, const struct om_reading *r)
{
	*(opcount *)ctx += r->value.exact;
	return 0;
}

static uint64_t total(struct om_ledger *l)
{
	opcount sum = 0;

	assert_int_equal(om_ledger_each_register(l, add_exact, &sum), 0);
	return (uint64_t)sum;
}

static void the_same_count_is_accrued_once(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_usage u = usage(10, 1000, 3);
	uint64_t regressions = 0;

	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0, &regressions), 0);
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0 + 1, &regressions), 0);
	assert_int_equal(total(l), 1000);
	u = usage(10, 1700, 5);
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0 + HOUR, &regressions), 0);
	assert_int_equal(total(l), 1700);
	u = usage(10, 900, 6); /* below its cursor: never subtracted, never added */
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0 + HOUR, &regressions), 0);
	assert_int_equal(total(l), 1700);
	assert_int_equal(regressions, 1);
}

static int add_sampled(void *ctx, const struct om_reading *r)
{
	double *sum = ctx;

	sum[0] += r->value.mean;
	sum[1] += r->value.variance;
	return 0;
}

/* The sampled part grows like the counts do: what is new goes to its hour. */
static void a_sampled_part_is_accrued_once(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_usage u = usage(10, 0, 3);
	double sum[2] = { 0, 0 };

	u.meter = OM_METER_COUNTER;
	u.now.mean = 300;
	u.now.variance = 9;
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0, NULL), 0);
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0 + 1, NULL), 0);
	u.now.calls = 7;
	u.now.mean = 700;
	u.now.variance = 49;
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0 + HOUR, NULL), 0);
	assert_int_equal(om_ledger_accrue(l, &u, 1, 0, T0 + 2 * HOUR, NULL), 0);
	assert_int_equal(om_ledger_each_register(l, add_sampled, sum), 0);
	assert_true(sum[0] == 700 && sum[1] == 49);
}

static void reopening_changes_nothing(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_usage u[] = { usage(10, 1000, 3), usage(11, 30, 1) };
	struct om_id id = *om_ledger_id(l);

	assert_int_equal(om_ledger_accrue(l, u, 2, 0, T0, NULL), 0);
	l = om_ledger_free(l);
	l = open_ledger(OM_LEDGER_CREATE);
	assert_true(om_id_equal(&id, om_ledger_id(l)));
	assert_false(om_ledger_was_replaced(l));
	assert_int_equal(om_ledger_accrue(l, u, 2, 0, T0 + 5, NULL), 0);
	assert_int_equal(total(l), 1030);
	om_ledger_free(l);
}

struct seen {
	int readings, entries;
	struct om_outbox_item last;
};

static int see(void *ctx, const struct om_outbox_item *item)
{
	struct seen *s = ctx;

	if (item->kind == OM_ENTRY_READINGS)
		s->readings++;
	else
		s->entries++;
	s->last = *item;
	return 0;
}

static void outbox_offers_until_acknowledged(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_node_facts node = { .ledger_start_ns = T0 };
	struct om_usage u = usage(10, 1000, 3);
	struct seen s = { 0 };
	uint64_t backlog;
	size_t n;
	int e;

	assert_int_equal(om_ledger_exporter(l, "kafka", &e), 0);
	assert_int_equal(om_ledger_append(l, OM_ENTRY_ALERT, "a1", "{}", 2, T0, NULL), 0);
	assert_int_equal(om_ledger_append(l, OM_ENTRY_ALERT, "a1", "{}", 2, T0, NULL), 1);
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	assert_int_equal(om_ledger_publish(l, &node, T0 + 1, NULL, NULL, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(om_ledger_publish(l, &node, T0 + 2, NULL, NULL, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(om_ledger_outbox(l, e, 10, see, &s), 0);
	assert_int_equal(s.readings, 1);
	assert_int_equal(s.entries, 1);
	assert_int_equal(om_ledger_outbox(l, e, 10, see, &s), 0);
	assert_int_equal(s.readings + s.entries, 2);
	om_ledger_unsend(l, e);
	assert_int_equal(om_ledger_outbox(l, e, 10, see, &s), 0);
	assert_int_equal(s.readings + s.entries, 4);
	assert_true(s.last.reading.value.exact == 1000);
	/* A newer value is offered even while the older one is under way, and an old acknowledgement does not end it. */
	u = usage(10, 1500, 4);
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	om_ledger_publish(l, &node, T0 + 3, NULL, NULL, &n);
	assert_int_equal(om_ledger_ack(l, e, OM_ENTRY_READINGS, &s.last.reading.key, s.last.sequence), 0);
	assert_int_equal(om_ledger_ack(l, e, OM_ENTRY_ALERT, NULL, 0), 0);
	assert_int_equal(om_ledger_backlog(l, e, &backlog), 0);
	assert_int_equal(backlog, 1);
	om_ledger_outbox(l, e, 10, see, &s);
	assert_true(s.last.reading.value.exact == 1500);
	om_ledger_ack(l, e, OM_ENTRY_READINGS, &s.last.reading.key, s.last.sequence);
	om_ledger_backlog(l, e, &backlog);
	assert_int_equal(backlog, 0);
}

static bool is_first_job(void *ctx, const struct om_id *job)
{
	return job->byte[0] == 1;
}

/* One job's registers go out by themselves; the other's wait, changed, for the next publication of all. */
static void some_jobs_are_published_and_the_others_wait(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_node_facts node = { .ledger_start_ns = T0 };
	struct om_usage u[] = { usage(10, 1000, 3), usage(11, 500, 2) };
	struct om_verify_report report;
	struct error_text err = { 0 };
	struct seen s = { 0 };
	size_t n;
	int e;

	u[1].job.byte[0] = 2;
	assert_int_equal(om_ledger_exporter(l, "kafka", &e), 0);
	assert_int_equal(om_ledger_accrue(l, u, 2, 0, T0, NULL), 0);
	assert_int_equal(om_ledger_publish_some(l, &node, T0 + 1, is_first_job, NULL, NULL, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(om_ledger_publish_some(l, &node, T0 + 2, is_first_job, NULL, NULL, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(om_ledger_outbox(l, e, 10, see, &s), 0);
	assert_int_equal(s.readings, 1);
	assert_true(s.last.reading.value.exact == 1000);
	u[0].now.exact = 1700;
	assert_int_equal(om_ledger_accrue(l, u, 2, 0, T0, NULL), 0);
	assert_int_equal(om_ledger_publish(l, &node, T0 + 3, NULL, NULL, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(om_ledger_publish(l, &node, T0 + 4, NULL, NULL, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(total(l), 2200);
	assert_int_equal(om_ledger_verify(l, &report, &err), 0);
	assert_int_equal(report.readings, 3);
}

/* What was delivered is owed once more: behind what is under way, and as the log has it, which stays in order. */
static void what_is_owed_again_leaves_the_log_in_order(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_node_facts node = { .ledger_start_ns = T0 };
	struct om_usage u[] = { usage(10, 1000, 3), usage(11, 500, 2) };
	struct om_verify_report report;
	struct error_text err = { 0 };
	struct seen s = { 0 };
	struct om_outbox_item first;
	uint64_t owed, backlog;
	size_t n;
	int e;

	u[1].job.byte[0] = 2;
	assert_int_equal(om_ledger_exporter(l, "kafka", &e), 0);
	om_ledger_accrue(l, u, 2, 0, T0, NULL);
	assert_int_equal(om_ledger_publish(l, &node, T0 + 1, NULL, NULL, &n), 0);
	om_ledger_outbox(l, e, 1, see, &s);
	first = s.last;
	om_ledger_ack(l, e, OM_ENTRY_READINGS, &first.reading.key, first.sequence);
	assert_int_equal(om_ledger_owe_again(l, e, 0, &owed), 0);
	assert_int_equal(owed, 1); /* the other waits already */
	assert_int_equal(om_ledger_verify(l, &report, &err), 0);
	/* The late acknowledgement of what went first does not end it. */
	om_ledger_ack(l, e, OM_ENTRY_READINGS, &first.reading.key, first.sequence);
	om_ledger_backlog(l, e, &backlog);
	assert_int_equal(backlog, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(om_ledger_outbox(l, e, 1, see, &s), 0);
		assert_int_equal(s.readings, 2 + i);
		assert_int_equal(s.last.reading.sequence, i ? first.reading.sequence : 2);
		om_ledger_ack(l, e, OM_ENTRY_READINGS, &s.last.reading.key, s.last.sequence);
	}
	/* Nothing waits now; what comes next is offered all the same, under the next number of the log. */
	u[0].now.exact = 1700;
	om_ledger_accrue(l, u, 2, 0, T0, NULL);
	assert_int_equal(om_ledger_publish(l, &node, T0 + 2, NULL, NULL, &n), 0);
	assert_int_equal(om_ledger_outbox(l, e, 10, see, &s), 0);
	assert_int_equal(s.readings, 3 + (int)n);
	assert_int_equal(s.last.reading.sequence, 2 + n);
	assert_int_equal(om_ledger_verify(l, &report, &err), 0);
}

static void verify_finds_what_was_changed(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_node_facts node = { .ledger_start_ns = T0 };
	struct om_verify_report report;
	struct error_text err = { 0 };
	char cmd[256];
	size_t n;

	for (uint64_t i = 1; i <= 5; i++) {
		struct om_usage u = usage(10, 1000 * i, i);

		om_ledger_accrue(l, &u, 1, 0, T0, NULL);
		om_ledger_publish(l, &node, T0 + i, NULL, NULL, &n);
	}
	assert_int_equal(om_ledger_verify(l, &report, &err), 0);
	assert_int_equal(report.entries, 5);
	assert_int_equal(report.readings, 5);
	om_ledger_free(l);
	snprintf(cmd, sizeof(cmd), "sqlite3 %s/ledger.db \"UPDATE entry SET time = time + 1 WHERE idx = 3\"", dir);
	assert_int_equal(system(cmd), 0);
	l = open_ledger(OM_LEDGER_READ_ONLY);
	assert_int_equal(om_ledger_verify(l, &report, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "entry 3"));
	om_ledger_free(l);
}

static void a_damaged_ledger_is_set_aside(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_usage u = usage(10, 1000, 3);
	struct om_id id = *om_ledger_id(l);
	char path[128];
	FILE *f;

	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	om_ledger_free(l);
	snprintf(path, sizeof(path), "%s/ledger.db", dir);
	f = fopen(path, "r+");
	fseek(f, 100, SEEK_SET);
	for (int i = 0; i < 4000; i++)
		fputc('x', f);
	fclose(f);
	l = open_ledger(OM_LEDGER_CREATE);
	assert_true(om_ledger_was_replaced(l));
	assert_false(om_id_equal(&id, om_ledger_id(l)));
	/* What the kernel holds may stand in the old ledger already: an interval, not a figure. */
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	assert_int_equal(total(l), 0);
	u = usage(10, 1100, 4);
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	assert_int_equal(total(l), 100);
	om_ledger_free(l);
}

/* A flipped digit in a register's row: the file is whole, its content is not. */
static void a_changed_register_is_damage(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_usage u = usage(10, 1000, 3);
	char cmd[256];

	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	om_ledger_free(l);
	snprintf(cmd, sizeof(cmd),
		 "sqlite3 %s/ledger.db \"UPDATE register SET value = substr(value, 1, 57) || x'ff' || substr(value, 59)\"", dir);
	assert_int_equal(system(cmd), 0);
	l = open_ledger(OM_LEDGER_CREATE);
	assert_true(om_ledger_was_replaced(l));
	om_ledger_free(l);
}

/* A crash between the ledger's making and its first accrual must not forget which of both it is. */
static void a_new_ledger_may_meet_old_counts(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE | OM_LEDGER_EXPECT_BASELINE);
	struct om_usage u = usage(10, 1000, 3);

	om_ledger_free(l);
	l = open_ledger(OM_LEDGER_CREATE | OM_LEDGER_EXPECT_BASELINE);
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	assert_int_equal(total(l), 0);
	u = usage(10, 1100, 4);
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	assert_int_equal(total(l), 100);
	om_ledger_free(l);
}

static void new_maps_clear_the_doubt(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE | OM_LEDGER_EXPECT_BASELINE);
	struct om_usage u = usage(10, 1000, 3);

	assert_int_equal(om_ledger_clear_baseline(l), 0);
	om_ledger_free(l);
	l = open_ledger(OM_LEDGER_CREATE | OM_LEDGER_EXPECT_BASELINE);
	om_ledger_accrue(l, &u, 1, 0, T0, NULL);
	assert_int_equal(total(l), 1000);
	om_ledger_free(l);
}

static void a_copy_gets_an_id_of_its_own(void **state)
{
	struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_id id = *om_ledger_id(l);
	char cmd[256];

	om_ledger_free(l);
	snprintf(cmd, sizeof(cmd), "cd %s && cp ledger.db other && rm ledger.db* && mv other ledger.db", dir);
	assert_int_equal(system(cmd), 0);
	l = open_ledger(OM_LEDGER_CREATE);
	assert_true(om_ledger_was_replaced(l));
	assert_false(om_id_equal(&id, om_ledger_id(l)));
	om_ledger_free(l);
}

static void one_writer(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_ledger *second = NULL;
	struct error_text err = { 0 };

	assert_int_equal(om_ledger_open(dir, OM_LEDGER_CREATE, T0, &second, &err), -EWOULDBLOCK);
	assert_non_null(strstr(err.text, dir));
	second = open_ledger(OM_LEDGER_READ_ONLY);
	om_ledger_free(second);
}

static void a_job_keeps_its_id_and_gets_its_path_late(void **state)
{
	_cleanup_ledger_ struct om_ledger *l = open_ledger(OM_LEDGER_CREATE);
	struct om_id boot = { { 9 } }, a, b;
	bool is_new;

	assert_int_equal(om_ledger_job(l, &boot, 42, NULL, T0, &a, &is_new), 0);
	assert_true(is_new);
	assert_int_equal(om_ledger_job(l, &boot, 42, "/x", T0, &b, &is_new), 0);
	assert_false(is_new);
	assert_true(om_id_equal(&a, &b));
	om_ledger_job(l, &boot, 43, "/x", T0, &b, &is_new);
	assert_false(om_id_equal(&a, &b));
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_same_count_is_accrued_once),
		T(a_sampled_part_is_accrued_once),
		T(reopening_changes_nothing),
		T(outbox_offers_until_acknowledged),
		T(some_jobs_are_published_and_the_others_wait), T(what_is_owed_again_leaves_the_log_in_order),
		T(verify_finds_what_was_changed),
		T(a_damaged_ledger_is_set_aside),
		T(a_changed_register_is_damage),
		T(a_new_ledger_may_meet_old_counts),
		T(new_maps_clear_the_doubt),
		T(a_copy_gets_an_id_of_its_own),
		T(one_writer),
		T(a_job_keeps_its_id_and_gets_its_path_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
