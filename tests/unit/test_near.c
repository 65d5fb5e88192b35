// SPDX-License-Identifier: Apache-2.0
/* Just below a level, and only there, a subject is near it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "userspace/core/near.h"

static struct regimes *regimes;

static bool near_at(const char *low, const char *high)
{
	struct om_subject_total s = { .tenant = "acme", .model = "m", .lineage = "" };

	assert_int_equal(opcount_parse(low, &s.training_low), 0);
	assert_int_equal(opcount_parse(high, &s.training_high), 0);
	return om_near_level(regimes, &s, 20780);
}

/* The demonstration's threshold is 10^16: levels at 50, 75 and 90 % of the upper bound, 100 % of the lower. */
static void a_subject_is_near_just_below_a_level(void **state)
{
	assert_false(near_at("0", "0"));
	assert_false(near_at("0", "4900000000000000"));
	assert_true(near_at("0", "4900000000000001"));
	assert_true(near_at("0", "4999999999999999"));
	assert_false(near_at("0", "5000000000000000"));
	assert_true(near_at("0", "7400000000000000"));
	assert_false(near_at("0", "20000000000000000"));
	assert_true(near_at("9900000000000000", "20000000000000000"));
	assert_false(near_at("10000000000000000", "20000000000000000"));
}

static int load(void **state)
{
	struct error_text err = { 0 };

	return regimes_load("tests/demo/regimes", &regimes, &err);
}

static int unload(void **state)
{
	regimes_free(regimes);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_subject_is_near_just_below_a_level) };

	return cmocka_run_group_tests(tests, load, unload);
}
