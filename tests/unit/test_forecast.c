// SPDX-License-Identifier: Apache-2.0
/* Forecasts: by hand where a hand can, and what must hold of any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>

#include "userspace/core/forecast.h"

#define POINTS 400

static uint64_t state = 5;

static uint64_t roll(uint64_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 33) % below;
}

static struct om_forecast_point points[POINTS];

static void steady(int days, opcount a_day)
{
	for (int i = 0; i < days; i++)
		points[i] = (struct om_forecast_point){ 20000 + i, a_day * (unsigned)(i + 1), a_day * (unsigned)(i + 1) };
}

static struct om_forecast run(size_t n, int32_t today, opcount threshold)
{
	struct om_forecast f;

	om_forecast(points, n, today, threshold, &f);
	return f;
}

static void a_steady_run(void **unused)
{
	opcount day = (opcount)1000000000000000000ULL * 1000000; /* 1e24: a hundred days to 1e26 */
	struct om_forecast f;

	(void)unused;
	steady(60, day);
	f = run(60, 20059, day * 100);
	assert_int_equal(f.state, OM_FORECAST_WILL);
	assert_int_equal(f.likely, 20059 + 40);
	assert_int_equal(f.earliest, 20059 + 20); /* twice as fast */
	assert_int_equal(f.latest, 20059 + 80);	  /* half as fast */
	assert_true(f.likely_rate == day && f.days == 60);
	/* One operation more is a day more, rounded up. */
	assert_int_equal(run(60, 20059, day * 100 + 1).likely, 20059 + 41);
	assert_true(om_forecast_is_due(&f, 20059, 20) && !om_forecast_is_due(&f, 20059, 19));
}

static void met_by_the_lower_bound_only(void **unused)
{
	struct om_forecast f;

	(void)unused;
	steady(10, 100);
	points[9].high = 2000;
	f = run(10, 20009, 1000);
	assert_int_equal(f.state, OM_FORECAST_MET);
	f = run(10, 20009, 1001);
	assert_int_equal(f.state, OM_FORECAST_WILL);
	assert_int_equal(f.earliest, 20009); /* the upper bound is there already */
	assert_true(f.likely > 20009);
}

static void nothing_and_resting(void **unused)
{
	struct om_forecast f = run(0, 20000, 1);

	(void)unused;
	assert_int_equal(f.state, OM_FORECAST_NONE);
	assert_false(om_forecast_is_due(&f, 20000, 90));
	steady(30, 100);
	assert_int_equal(run(30, 19999, 5000).state, OM_FORECAST_NONE); /* nothing yet on that day */
	f = run(30, 20029 + 50, 5000); /* a pause of 50 days: slower, and no latest day */
	assert_int_equal(f.state, OM_FORECAST_WILL);
	assert_int_equal(f.latest, OM_FORECAST_NEVER);
	f = run(30, 20029 + 60, 5000);
	assert_int_equal(f.state, OM_FORECAST_RESTING);
	assert_false(om_forecast_is_due(&f, 20089, 90));
}

static void days_that_are_missing(void **unused)
{
	struct om_forecast all, some;

	(void)unused;
	steady(40, 0);
	for (int i = 0; i < 40; i++)
		points[i].low = points[i].high = i < 20 ? 100 : i < 30 ? 100 : 700;
	all = run(40, 20039, 100000);
	points[1] = points[30];
	points[1].day = 20030;
	some = run(2, 20039, 100000);
	assert_int_equal(all.likely, some.likely);
	assert_int_equal(all.earliest, some.earliest);
	assert_int_equal(all.latest, some.latest);
}

/* Of any run: the dates are in order, none is past, and more of anything is never later. */
static void whatever_comes(void **unused)
{
	(void)unused;
	for (int n = 0; n < 5000; n++) {
		size_t count = 1 + roll(120);
		opcount low = 0, high = 0, threshold;
		int32_t day = 20000;
		struct om_forecast f, g;

		for (size_t i = 0; i < count; i++) {
			opcount more = roll(4) ? (opcount)roll(1u << 30) << roll(40) : 0;

			low += more;
			high += more + (roll(2) ? more / 4 : 0);
			points[i] = (struct om_forecast_point){ day, low, high };
			day += 1 + (int32_t)roll(3);
		}
		threshold = low + 1 + ((opcount)roll(1u << 30) << roll(60));
		f = run(count, points[count - 1].day, threshold);
		if (f.state != OM_FORECAST_WILL)
			continue;
		assert_true(f.earliest >= points[count - 1].day);
		assert_true(f.earliest <= f.likely && f.likely <= f.latest);
		assert_true(f.slow <= f.likely_rate && f.likely_rate <= f.fast);
		g = run(count, points[count - 1].day, threshold + threshold / 2);
		assert_true(g.earliest >= f.earliest && g.likely >= f.likely && g.latest >= f.latest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_run),	      cmocka_unit_test(met_by_the_lower_bound_only),
		cmocka_unit_test(nothing_and_resting),   cmocka_unit_test(days_that_are_missing),
		cmocka_unit_test(whatever_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
