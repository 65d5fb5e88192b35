// SPDX-License-Identifier: Apache-2.0
/* What a node's devices can have done at most: of one register, which is refused, and of a day, which is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/fleet/claims.h"

#define SECOND 1000000000ULL
#define DAY_NS (86400 * SECOND)
#define DAY 20780
#define BEGIN (DAY * DAY_NS)
#define NOW (BEGIN + 10 * DAY_NS)
#define PEAK 1000000000ULL

/* Read over the whole of a day that is long over, by a node that is older than it. */
static struct om_reading reading(uint8_t meter)
{
	struct om_reading r = { .key = { .day = DAY, .format = OM_FORMAT_BF16, .meter = meter } };

	memset(r.key.ledger.byte, 0x5a, 16);
	r.value = (struct om_value){ .from_ns = BEGIN, .to_ns = BEGIN + DAY_NS };
	r.node = (struct om_node_facts){ .ledger_start_ns = BEGIN - 300 * DAY_NS, .peak_ops_per_s = PEAK, .device_count = 8 };
	return r;
}

/* The largest claim that is taken. */
static opcount largest(struct om_reading r)
{
	opcount low = 0, high = (opcount)1 << 120;

	r.value.exact = low;
	if (!claim_is_possible(&r, NOW, 0))
		return 0;
	while (high - low > 1) {
		r.value.exact = low + (high - low) / 2;
		if (claim_is_possible(&r, NOW, 0))
			low = r.value.exact;
		else
			high = r.value.exact;
	}
	return low;
}

/* A bound is whole seconds, rounded up. */
static void is_about(opcount got, opcount peak, uint64_t seconds)
{
	assert_true(got >= peak * seconds && got <= peak * (seconds + 1));
}

static void a_register_is_of_one_day(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);

	is_about(largest(r), PEAK, 2 * 86400); /* the day and the slack, however old the ledger is */
	r.node.ledger_start_ns = 1;
	is_about(largest(r), PEAK, 2 * 86400);
	r.node.ledger_start_ns = 0;
	is_about(largest(r), PEAK, 2 * 86400);
	r.node.ledger_start_ns = BEGIN + 20 * 3600 * SECOND; /* four hours, and the slack */
	is_about(largest(r), PEAK, 86400 + 4 * 3600);
	r.value.to_ns = UINT64_MAX; /* a clock of its own is not believed */
	is_about(largest(r), PEAK, 2 * 86400);
	r.node.ledger_start_ns = NOW + 90 * DAY_NS;
	assert_true(largest(r) == 0);
}

/* The agent was away: what it missed is in the day of its return, and the span that was read tells of it. */
static void who_was_away_brings_more(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);

	r.value.from_ns = BEGIN - 3 * DAY_NS;
	is_about(largest(r), PEAK, 5 * 86400);
	r.node.ledger_start_ns = BEGIN - DAY_NS;
	is_about(largest(r), PEAK, 3 * 86400);
	r = reading(OM_METER_SHAPE);
	r.value.from_ns = 1;
	is_about(largest(r), PEAK, 9 * 86400);
}

static void what_a_node_does_not_tell_is_bounded_all_the_same(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);

	r.node.peak_ops_per_s = 0;
	is_about(largest(r), (opcount)8 * CLAIM_DEVICE_PEAK_MAX, 2 * 86400);
	r.node.device_count = 0;
	is_about(largest(r), (opcount)CLAIM_DEVICES_MAX * CLAIM_DEVICE_PEAK_MAX, 2 * 86400);
	r.node.peak_ops_per_s = CLAIM_DEVICES_MAX * CLAIM_DEVICE_PEAK_MAX;
	assert_true(largest(r) > 0);
	r.value.exact = 0;
	r.node.peak_ops_per_s++;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.node = (struct om_node_facts){ .peak_ops_per_s = 2 * CLAIM_DEVICE_PEAK_MAX, .device_count = 2 };
	assert_true(claim_is_possible(&r, NOW, 0));
	r.node.peak_ops_per_s++;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.node = (struct om_node_facts){ .peak_ops_per_s = PEAK, .device_count = CLAIM_UNITS_A_DEVICE * CLAIM_DEVICES_MAX };
	assert_true(claim_is_possible(&r, NOW, 0));
	r.node.device_count++;
	assert_false(claim_is_possible(&r, NOW, 0));
	/* A register that is written back by whoever knows nothing of its node. */
	r = reading(OM_METER_SHAPE);
	r.node = (struct om_node_facts){ 0 };
	r.value.exact = (opcount)8 * CLAIM_DEVICE_PEAK_MAX * 86400;
	assert_true(claim_is_possible(&r, NOW, 0));
}

/* What each meter's fields may be, docs/formats.md: no honest one is refused, whatever it is an upper bound of. */
static void each_meter_is_held_to_what_it_can_say(void **state)
{
	struct om_reading r = reading(OM_METER_ALLOCATION);
	opcount day = (opcount)PEAK * 86400;

	r.value.high = 8 * day; /* eight jobs that share a device are given all of it */
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.high = 17 * day;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_DEVICE);
	r.value.low = 2 * day;
	r.value.high = 16 * day;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.low += PEAK + 1;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.value.low = 0;
	r.value.high = 17 * day;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_LAUNCH); /* textbook operations: four for one that is executed; above, names alone tell */
	r.value.low = 8 * day;
	r.value.high = OPCOUNT_MAX;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.low = 8 * day + 4 * PEAK + 1;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_COUNTER);
	r.value.mean = 8.0 * 86400 * PEAK;
	r.value.variance = r.value.mean * r.value.mean;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.mean *= 1.001;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.value.mean = 0;
	r.value.variance *= 9;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_CORRECTION); /* what is taken back was counted once, so it is within what could be */
	r.value.exact = 8 * day;
	r.value.low = r.value.high = OPCOUNT_MAX / 2;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.exact = 8 * day + 4 * PEAK + 1;
	assert_false(claim_is_possible(&r, NOW, 0));
}

static int add(struct claims *c, struct om_reading r, uint8_t job, uint8_t ledger, opcount growth)
{
	r.key.job.byte[0] = job;
	r.key.ledger.byte[0] = ledger;
	return claims_add(c, &r, growth, NOW);
}

static void the_jobs_of_a_day_must_fit_together(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE), launched = reading(OM_METER_LAUNCH);
	opcount most = (opcount)PEAK * (2 * 86400 + 1);
	struct claim_told told[CLAIMS_NAMED];
	struct claims c = { 0 };
	json_t *list;

	for (uint8_t job = 0; job < 10; job++)
		assert_int_equal(add(&c, r, job, 1, most / 10), 0);
	assert_int_equal(add(&c, r, 1, 2, most), 0); /* another node */
	r.key.day++;
	assert_int_equal(add(&c, r, 1, 1, most), 0); /* another day */
	r.key.day--;
	assert_int_equal(add(&c, launched, 1, 1, 4 * most), 0); /* another meter sees the same work */
	assert_int_equal(c.over_count, 0);
	assert_int_equal(add(&c, r, 11, 1, most % 10 + 1), 1);
	assert_int_equal(add(&c, r, 12, 1, most), 0); /* once */
	assert_int_equal(add(&c, launched, 1, 1, 4 * most), 0);
	assert_int_equal(c.over_count, 1);
	list = claims_encode(&c);
	json_array_append_new(list, json_null());
	json_array_append_new(list, json_pack("{s:s,s:i}", "ledger", "x", "day", 4));
	assert_int_equal(claims_decode(list, told), 1);
	json_decref(list);
	assert_true(told[0].ledger.byte[0] == 1 && told[0].day == DAY && told[0].possible == most && told[0].claimed == most + 1);
	assert_int_equal(claims_decode(NULL, told), 0);
	claims_done(&c);
}

/* A ledger that is young in its first reading is not so in its last: order must not make a day shorter. */
static void a_late_reading_makes_no_day_shorter(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE), early;
	struct claims c = { 0 };

	r.node.ledger_start_ns = BEGIN;
	early = r;
	early.value.to_ns = BEGIN + 3600 * SECOND;
	assert_int_equal(add(&c, r, 1, 1, (opcount)PEAK * (2 * 86400 - 3600)), 0);
	assert_int_equal(add(&c, early, 2, 1, (opcount)PEAK * 3600), 0);
	claims_done(&c);
}

static void old_days_are_let_go_and_what_was_said_stays(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);
	struct claims c = { 0 };

	assert_int_equal(add(&c, r, 1, 1, 5), 0);
	assert_int_equal(add(&c, r, 1, 2, OPCOUNT_MAX), 1);
	r.key.day += 9;
	assert_int_equal(add(&c, r, 1, 1, 5), 0);
	assert_int_equal(c.days.count, 3);
	r.key.ledger.byte[0] = 1;
	assert_int_equal(claims_add(&c, &r, 5, NOW + DAY_NS), 0);
	assert_int_equal(c.days.count, 2);
	assert_true(c.over_count == 1 && c.over[0]->day == DAY);
	for (unsigned i = 0; i < 3 * CLAIMS_NAMED; i++)
		assert_int_equal(add(&c, r, 1, (uint8_t)(10 + i), OPCOUNT_MAX), 1);
	assert_int_equal(c.over_count, 1 + 3 * CLAIMS_NAMED);
	claims_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_register_is_of_one_day),
		cmocka_unit_test(who_was_away_brings_more),
		cmocka_unit_test(what_a_node_does_not_tell_is_bounded_all_the_same),
		cmocka_unit_test(each_meter_is_held_to_what_it_can_say),
		cmocka_unit_test(the_jobs_of_a_day_must_fit_together),
		cmocka_unit_test(a_late_reading_makes_no_day_shorter),
		cmocka_unit_test(old_days_are_let_go_and_what_was_said_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
