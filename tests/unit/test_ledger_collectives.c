// SPDX-License-Identifier: Apache-2.0
/* The ledger's record of collectives: whole values, that never fall; events once; a reader of an older ledger. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/core/ledger_collectives.h"

static char dir[64];

static int set_up(void **state)
{
	strcpy(dir, "/tmp/opmeter-unit-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct om_ledger *open_it(unsigned flags)
{
	struct error_text err = { 0 };
	struct om_ledger *l = NULL;

	assert_int_equal(om_ledger_open(dir, flags, 1, &l, &err), 0);
	return l;
}

static struct om_collective_who who(unsigned pid)
{
	return (struct om_collective_who){ .boot = { { 1 } }, .map = { { 2 } }, .job = { { 3 } }, .tgid = pid, .start_ns = 5, .cgroup_id = 7 };
}

static struct om_collective_usage usage(unsigned pid, uint64_t comm, uint64_t calls, opcount bytes)
{
	return (struct om_collective_usage){ who(pid), comm, 4, calls, bytes };
}

static struct om_collective_usage seen[8];
static size_t seen_count;

static int on_collective(void *ctx, const struct om_collective_usage *u)
{
	assert_true(seen_count < 8);
	seen[seen_count++] = *u;
	return 0;
}

static void test_values_only_grow(void **state)
{
	const opcount huge = (opcount)1 << 90;
	struct om_collective_usage u[] = { usage(1, 9, 100, huge + 1), usage(1, UINT64_MAX, 7, 12), usage(2, 9, 1, 99) };
	_cleanup_ledger_ struct om_ledger *l = open_it(OM_LEDGER_CREATE);

	assert_int_equal(om_ledger_store_collectives(l, u, 3, 10), 0);
	u[0].calls = 99; /* read before, written after: an old value */
	u[0].bytes = huge;
	u[1].calls = 8;
	u[1].bytes = 13;
	assert_int_equal(om_ledger_store_collectives(l, u, 2, 11), 0);
	seen_count = 0;
	assert_int_equal(om_ledger_each_collective(l, on_collective, NULL), 0);
	assert_int_equal(seen_count, 3);
	assert_true(seen[0].bytes == huge + 1 && seen[0].calls == 100); /* the most bytes first, not the first digit */
	assert_true(seen[1].bytes == 99 && seen[1].who.tgid == 2);
	assert_true(seen[2].bytes == 13 && seen[2].comm == UINT64_MAX && seen[2].calls == 8);
	assert_memory_equal(&seen[2].who, &u[1].who, sizeof(u[1].who));
}

static struct om_communicator_event events[8];
static size_t event_count;

static int on_event(void *ctx, const struct om_communicator_event *e)
{
	assert_true(event_count < 8);
	events[event_count++] = *e;
	return 0;
}

static uint64_t lost;

static int on_loss(void *ctx, const struct om_collective_loss *u)
{
	lost = lost * 100 + u->count;
	return 0;
}

static void test_events_and_losses(void **state)
{
	const struct om_communicator_event e[] = {
		{ who(1), .number = 1, .time_ns = 30, .comm = 5, .kind = 34, .a = -1, .b = 3 },
		{ who(1), .number = 0, .time_ns = 20, .comm = 5, .kind = 32, .has_id = true, .id = { { 9 } }, .ids = 1,
		  .nranks = 8, .rank = -1 },
	};
	struct om_collective_loss loss = { who(1), 3, 42 };
	_cleanup_ledger_ struct om_ledger *l = open_it(OM_LEDGER_CREATE);
	struct om_join_claim claim, same;

	for (int i = 0; i < 2; i++)
		assert_int_equal(om_ledger_store_communicators(l, e, 2), 0);
	event_count = 0;
	assert_int_equal(om_ledger_each_communicator(l, on_event, NULL), 0);
	assert_int_equal(event_count, 2);
	assert_memory_equal(&events[0], &e[1], sizeof(e[1]));
	assert_memory_equal(&events[1], &e[0], sizeof(e[0]));
	assert_int_equal(om_ledger_store_collective_losses(l, &loss, 1), 0);
	loss.count = 41;
	assert_int_equal(om_ledger_store_collective_losses(l, &loss, 1), 0);
	lost = 0;
	assert_int_equal(om_ledger_each_collective_loss(l, on_loss, NULL), 0);
	assert_int_equal(lost, 42);
	/* one process, though another set of maps tells of it */
	events[0].who.map = (struct om_id){ { 77 } };
	om_collective_claim(&events[0], &claim);
	om_collective_claim(&e[1], &same);
	assert_memory_equal(&claim, &same, sizeof(claim));
	events[0].who.start_ns++;
	om_collective_claim(&events[0], &same);
	assert_false(om_id_equal(&claim.process, &same.process));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values_only_grow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_events_and_losses, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
