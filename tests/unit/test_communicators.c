// SPDX-License-Identifier: Apache-2.0
/* Communicators that are kept: what one process or job makes of them takes nothing from others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/communicators.h"

#define KEPT 64

static struct om_id number(uint8_t kind, uint32_t n)
{
	struct om_id id = { .byte = { kind } };

	memcpy(&id.byte[1], &n, sizeof(n));
	return id;
}

static int put(struct om_communicators *c, uint32_t process, uint32_t job, uint32_t id, int32_t ranks, uint64_t time_ns)
{
	struct om_join_claim claim = { .process = number(1, process), .job = number(2, job), .has_id = true, .id = number(3, id),
				       .nranks = ranks, .rank = 0, .time_ns = time_ns };

	return om_communicators_put(c, &claim);
}

static size_t of(const struct om_communicators *c, uint32_t process, struct om_join_claim got[KEPT], uint64_t *ret_left_out)
{
	struct om_id id = number(1, process);

	return om_communicators_of(c, &id, got, KEPT, ret_left_out);
}

static uint32_t ranks(const struct om_communicators *c, uint32_t process)
{
	struct om_id id = number(1, process);

	return om_communicators_ranks(c, &id);
}

/* It joined the learner, and then made as many of its own as the record has room for. */
static void what_joins_stays_in_the_record(void **state)
{
	_cleanup_(om_communicators_freep) struct om_communicators *c = om_communicators_new();
	struct om_join_claim got[KEPT];
	struct om_id id = number(3, 7);
	uint64_t left_out;

	assert_int_equal(put(c, 1, 1, 7, 8, 10), 0);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(put(c, 1, 1, 100 + i, 1, 11 + i), 0);
	assert_int_equal(of(c, 1, got, &left_out), 1);
	assert_true(om_id_equal(&got[0].id, &id) && left_out == 0);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(put(c, 1, 1, 5000 + i, 2, 2000 - i), 0); /* not in the order of time */
	assert_int_equal(of(c, 1, got, &left_out), KEPT);
	assert_int_equal(left_out, 201 - KEPT);
	assert_true(om_id_equal(&got[0].id, &id));
	for (size_t i = 1; i < KEPT; i++)
		assert_true(got[i].time_ns > got[i - 1].time_ns);
	assert_int_equal(got[KEPT - 1].time_ns, 2000);
	assert_int_equal(got[KEPT / 2].time_ns, 2000 - KEPT / 2 + 1);
}

static void a_flood_is_its_own_loss(void **state)
{
	_cleanup_(om_communicators_freep) struct om_communicators *c = om_communicators_new();
	struct om_id process = number(1, 1);
	struct om_join_claim got[KEPT];
	uint64_t left_out;
	size_t all;

	for (uint32_t i = 0; i < 2 * OM_COMMUNICATORS_MAX; i++)
		assert_int_equal(put(c, 1, 1, i, 2, i + 1), i >= OM_COMMUNICATORS_OF_A_PROCESS);
	assert_int_equal(of(c, 1, got, &left_out), KEPT);
	assert_int_equal(left_out, 2 * OM_COMMUNICATORS_MAX - KEPT);
	assert_int_equal(om_communicators_count(c, &process), 2 * OM_COMMUNICATORS_MAX);
	/* A job of as many processes. */
	for (uint32_t i = 0; i < 2 * OM_COMMUNICATORS_MAX; i++)
		put(c, 10 + i, 1, i, 2, i + 1);
	assert_non_null(om_communicators_all(c, &all));
	assert_true(all <= OM_COMMUNICATORS_OF_A_JOB);
	assert_true(om_communicators_left_out(c) > 3 * OM_COMMUNICATORS_MAX);
	/* Another job has all that it needs. */
	assert_int_equal(put(c, 9, 2, 1, 16, 5), 0);
	assert_int_equal(of(c, 9, got, &left_out), 1);
	assert_int_equal(left_out, 0);
	assert_int_equal(ranks(c, 9), 16);
}

/* Two processes that split by turns, however often, leave what is known of a third alone. */
static void who_splits_is_odd_alone(void **state)
{
	_cleanup_(om_communicators_freep) struct om_communicators *c = om_communicators_new();
	struct om_id job = number(2, 1);

	assert_int_equal(put(c, 3, 2, 1, 8, 1), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		struct om_id process = number(1, 1 + i % 2);

		assert_int_equal(om_communicators_odd(c, &process, &job), 0);
	}
	assert_int_equal(put(c, 1, 1, 2, 8, 1), 0);
	assert_int_equal(ranks(c, 1), 0);
	assert_int_equal(ranks(c, 3), 8);
	assert_int_equal(put(c, 3, 2, 2, 8, 2), 0);
	assert_int_equal(ranks(c, 3), 8);
	assert_int_equal(put(c, 3, 2, 3, 1, 3), 0); /* of another size, though not kept */
	assert_int_equal(ranks(c, 3), 0);
	assert_int_equal(ranks(c, 99), 0);
	assert_int_equal(om_communicators_left_out(c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_joins_stays_in_the_record),
		cmocka_unit_test(a_flood_is_its_own_loss),
		cmocka_unit_test(who_splits_is_odd_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
