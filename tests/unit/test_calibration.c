// SPDX-License-Identifier: Apache-2.0
/* Claims about kernels: combined, left out, contested; the interval holds what it says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/calibration.h"
#include "userspace/core/format.h"
#include "userspace/cupti/metrics.h"

#define BF16 COUNTER_METRIC(COUNTER_CHIP_GH100, OM_FORMAT_BF16, 0, 1, 0)
#define FP16(part) COUNTER_METRIC(COUNTER_CHIP_GH100, OM_FORMAT_FP16, part, 3, 0)

static uint64_t seed;
static double uniform(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return ((double)(seed >> 11) + 0.5) * 0x1p-53;
}
static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static struct om_calibration_claim claim(uint64_t owner, uint64_t process, uint64_t count, double mean, double variance)
{
	return (struct om_calibration_claim){ .key = { .name = 7, .grid = { 1, 2, 3 }, .metric = BF16 },
					      .owner = owner,
					      .process = process,
					      .count = count,
					      .mean = mean,
					      .variance = variance };
}

static const struct om_calibration *settle(struct om_calibrations *c)
{
	size_t count;
	const struct om_calibration *all;

	assert_int_equal(om_calibrations_settle(c), 0);
	all = om_calibrations_all(c, &count);
	assert_int_equal(count, 1);
	return all;
}

static void test_words_agree(void **state)
{
	uint32_t m = COUNTER_METRIC(200, 5, 3, 100, 1);

	assert_int_equal(OM_CALIBRATION_FORMAT(m), COUNTER_METRIC_FORMAT(m));
	assert_int_equal(OM_CALIBRATION_PART(m), COUNTER_METRIC_PART(m));
	assert_int_equal(OM_CALIBRATION_PARTS(m), COUNTER_METRIC_PARTS(m));
	assert_int_equal(OM_CALIBRATION_IS_SCALAR(m), COUNTER_METRIC_IS_SCALAR(m));
	assert_int_equal(OM_CALIBRATION_CHIP(m), COUNTER_METRIC_CHIP(m));
	assert_int_equal(OM_CALIBRATION_CHIP(m), 200);
	assert_int_equal(OM_CALIBRATION_PARTS(m), 100);
}

static void test_alone_and_agreed(void **state)
{
	struct om_calibrations *c = om_calibrations_new(16);
	struct om_calibration_claim a = claim(1, 1, 10, 1000, 0), b = claim(2, 2, 30, 1000, 0);
	const struct om_calibration *at;
	uint64_t id;

	om_calibrations_add(c, &a);
	at = settle(c);
	assert_int_equal(at->verdict, OM_CALIBRATION_ALONE);
	assert_true(at->mean == 1000 && at->variance == 0 && at->launches == 10);
	id = at->id;
	/* The same process again, later: takes the place, is not counted twice. */
	a.count = 20;
	om_calibrations_add(c, &a);
	at = settle(c);
	assert_true(at->launches == 20 && at->owners == 1 && at->id != id && at->id);
	om_calibrations_add(c, &b);
	at = settle(c);
	assert_int_equal(at->verdict, OM_CALIBRATION_AGREED);
	assert_true(at->mean == 1000 && at->launches == 50 && at->owners == 2 && at->rejected == 0);
	om_calibrations_free(c);
}

static void test_impossible_claims(void **state)
{
	struct om_calibrations *c = om_calibrations_new(4);
	struct om_calibration_claim bad[] = { claim(1, 1, 0, 1, 0), claim(1, 1, 1, -1, 0), claim(1, 1, 1, NAN, 0),
					      claim(1, 1, 1, INFINITY, 0), claim(1, 1, 1, 1, -1),
					      claim(1, 1, 1, 1, NAN) };
	struct om_calibration_claim part = claim(1, 1, 1, 1, 0);
	size_t count;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(om_calibrations_add(c, &bad[i]), -EINVAL);
	part.key.metric = COUNTER_METRIC(1, 4, 2, 2, 0);
	assert_int_equal(om_calibrations_add(c, &part), -EINVAL);
	assert_int_equal(om_calibrations_settle(c), 0);
	om_calibrations_all(c, &count);
	assert_int_equal(count, 0);
	for (uint64_t i = 0; i < 4; i++) {
		part = claim(1, i, 1, 1, 0);
		assert_int_equal(om_calibrations_add(c, &part), 0);
	}
	part.process = 9;
	assert_int_equal(om_calibrations_add(c, &part), -ENOSPC);
	om_calibrations_free(c);
}

/* One forger, whatever it says, moves the result by nothing, with however many processes. */
static void test_forger(void **state)
{
	const double lies[] = { 0, 500, 995, 2000, 1e15 };

	for (size_t l = 0; l < sizeof(lies) / sizeof(lies[0]); l++) {
		struct om_calibrations *c = om_calibrations_new(1100);
		const struct om_calibration_finding *f;
		const struct om_calibration *at;
		size_t count;

		for (uint64_t owner = 1; owner <= 4; owner++) {
			struct om_calibration_claim x = claim(owner, owner, 50, 1000, 0);

			om_calibrations_add(c, &x);
		}
		for (uint64_t p = 0; p < 1000; p++) {
			struct om_calibration_claim x = claim(66, 100 + p, 1000000, lies[l], 0);

			om_calibrations_add(c, &x);
		}
		at = settle(c);
		assert_int_equal(at->verdict, OM_CALIBRATION_AGREED);
		assert_true(at->rejected == 1 && at->owners == 4 && at->mean == 1000 && at->variance == 0);
		f = om_calibrations_findings(c, &count);
		assert_int_equal(count, 1);
		assert_true(f->owner == 66 && f->claimed == lies[l] && f->expected == 1000);
		assert_true(fabs(f->claimed - f->expected) > f->allowed);
		om_calibrations_free(c);
	}
}

/* It says its variance is huge, so that its mean may lie anywhere: then it weighs nothing. */
static void test_forger_with_variance(void **state)
{
	struct om_calibrations *c = om_calibrations_new(16);
	struct om_calibration_claim x = claim(66, 9, 2, 1e6, 1e14);
	const struct om_calibration *at;

	om_calibrations_add(c, &x);
	for (uint64_t owner = 1; owner <= 4; owner++) {
		x = claim(owner, owner, 50, 1000, 4);
		om_calibrations_add(c, &x);
	}
	at = settle(c);
	assert_true(fabs(at->mean - 1000) < 1);
	om_calibrations_free(c);
}

static void test_contested(void **state)
{
	struct om_calibrations *c = om_calibrations_new(16);
	struct om_calibration_claim a = claim(1, 1, 100, 1000, 0), b = claim(2, 2, 100, 3000, 0);
	const struct om_calibration *at;

	om_calibrations_add(c, &a);
	om_calibrations_add(c, &b);
	at = settle(c);
	assert_int_equal(at->verdict, OM_CALIBRATION_CONTESTED);
	assert_true(at->mean - 2 * sqrt(at->mean_variance) <= 1000 && at->mean + 2 * sqrt(at->mean_variance) >= 3000);
	om_calibrations_free(c);
}

/* Owners that run other sizes under one signature: a spread, not four liars. */
static void test_spread(void **state)
{
	struct om_calibrations *c = om_calibrations_new(16);
	const double means[] = { 800, 900, 1000, 1100, 1200 };
	const struct om_calibration *at;

	for (uint64_t i = 0; i < 5; i++) {
		struct om_calibration_claim x = claim(i, i, 1000, means[i], 0);

		om_calibrations_add(c, &x);
	}
	at = settle(c);
	assert_int_equal(at->rejected, 0);
	assert_true(at->mean == 1000);
	/* The owners' variance is 25,000: it is the launches', and a fifth of it the mean's. */
	assert_true(fabs(at->variance - 25000) < 100 && fabs(at->mean_variance - 5000) < 20);
	om_calibrations_free(c);
}

static void test_order(void **state)
{
	uint64_t id = 0;

	for (unsigned round = 0; round < 50; round++) {
		struct om_calibrations *c = om_calibrations_new(64);
		struct om_calibration_claim x[24];
		const struct om_calibration *at;

		seed = 4;
		for (uint64_t i = 0; i < 24; i++)
			x[i] = claim(i % 5, i, 3 + i, 1000 + 10 * normal(), 100 * uniform());
		seed = round;
		for (size_t i = 0; i < 24; i++) {
			size_t j = i + (size_t)(uniform() * (double)(24 - i));
			struct om_calibration_claim t = x[i];

			x[i] = x[j];
			x[j] = t;
			om_calibrations_add(c, &x[i]);
			if (round % 2) /* and twice */
				om_calibrations_add(c, &x[i]);
		}
		at = settle(c);
		assert_true(!id || at->id == id);
		id = at->id;
		om_calibrations_free(c);
	}
}

static void test_parts(void **state)
{
	struct om_calibrations *c = om_calibrations_new(16);
	struct om_calibration_claim x = claim(1, 1, 10, 100, 0);
	struct om_calibration_estimate e;

	x.key.metric = FP16(0);
	om_calibrations_add(c, &x);
	x.key.metric = FP16(2);
	x.mean = 7;
	x.count = 4;
	om_calibrations_add(c, &x);
	om_calibrations_settle(c);
	assert_int_equal(om_calibrations_estimate(c, &x.key, &e), -ENODATA);
	x.key.metric = BF16;
	assert_int_equal(om_calibrations_estimate(c, &x.key, &e), -ENOENT);
	x.key.metric = FP16(1);
	x.mean = 20;
	om_calibrations_add(c, &x);
	om_calibrations_settle(c);
	assert_int_equal(om_calibrations_estimate(c, &x.key, &e), 0);
	assert_true(e.mean == 127 && e.launches == 4 && !e.is_agreed && e.id);
	om_calibrations_free(c);
}

/* 2,000 fleets: five owners measure a few launches each of a kernel that varies; what
 * another process's 400 launches really did lies in the 95 % interval as often as it says. */
static void test_coverage(void **state)
{
	unsigned hits = 0, runs = 2000;

	for (unsigned run = 0; run < runs; run++) {
		struct om_calibrations *c = om_calibrations_new(8);
		struct om_calibration_estimate e;
		struct om_calibration_key key;
		double mean, variance, truth = 0;

		seed = 1000003ull * (run + 1);
		for (uint64_t owner = 0; owner < 5; owner++) {
			unsigned n = 20 + (unsigned)(uniform() * 40);
			double sum = 0, squares = 0;
			struct om_calibration_claim x;

			for (unsigned i = 0; i < n; i++) {
				double v = 1e9 + 1e8 * normal();

				sum += v;
				squares += v * v;
			}
			x = claim(owner, owner, n, sum / n, (squares - sum * sum / n) / (n - 1));
			om_calibrations_add(c, &x);
			key = x.key;
		}
		om_calibrations_settle(c);
		assert_int_equal(om_calibrations_estimate(c, &key, &e), 0);
		om_calibration_scale(&e, 400, &mean, &variance);
		for (unsigned i = 0; i < 400; i++)
			truth += 1e9 + 1e8 * normal();
		hits += fabs(truth - mean) <= 1.96 * sqrt(variance);
		om_calibrations_free(c);
	}
	print_message("95 %% intervals held in %.1f %% of %u fleets\n", 100.0 * hits / runs, runs);
	assert_in_range(hits, 1860, 1960);
}

/* Honest owners, some with one launch only: hardly ever called liars. */
static void test_honest_few(void **state)
{
	unsigned rejected = 0, owners = 0;

	for (unsigned run = 0; run < 500; run++) {
		struct om_calibrations *c = om_calibrations_new(8);

		seed = 77ull * (run + 1);
		for (uint64_t owner = 0; owner < 7; owner++) {
			unsigned n = owner < 2 ? 1 : 10;
			double sum = 0, squares = 0, v;
			struct om_calibration_claim x;

			for (unsigned i = 0; i < n; i++) {
				v = 1e6 + 1e5 * normal();
				sum += v;
				squares += v * v;
			}
			v = n > 1 ? (squares - sum * sum / n) / (n - 1) : 0;
			x = claim(owner, owner, n, sum / n, v > 0 ? v : 0);
			om_calibrations_add(c, &x);
		}
		owners += 7;
		rejected += settle(c)->rejected;
		om_calibrations_free(c);
	}
	print_message("%u of %u honest owners left out\n", rejected, owners);
	assert_in_range(rejected, 0, 7);
}

/* A flood of one owner's claims does not keep another's out; its own end is said. */
static void test_flood(void **state)
{
	struct om_calibrations *c = om_calibrations_new(64);
	struct om_calibration_claim a = claim(1, 1, 10, 1000, 0), honest = claim(2, 1, 10, 500, 0);
	size_t count;

	honest.key.name = 99;
	for (uint64_t n = 0; n < 64; n++) {
		a.key.name = 1000 + n;
		assert_int_equal(om_calibrations_add(c, &a), 0);
	}
	a.key.name = 5000;
	assert_int_equal(om_calibrations_add(c, &a), -ENOSPC);
	assert_int_equal(om_calibrations_dropped(c), 0);
	assert_int_equal(om_calibrations_add(c, &honest), 0);
	assert_int_equal(om_calibrations_dropped(c), 32);
	assert_int_equal(om_calibrations_settle(c), 0);
	om_calibrations_all(c, &count);
	assert_int_equal(count, 33);
	assert_non_null(om_calibrations_find(c, &honest.key));
	om_calibrations_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_agree),	cmocka_unit_test(test_alone_and_agreed),
		cmocka_unit_test(test_impossible_claims), cmocka_unit_test(test_forger),
		cmocka_unit_test(test_forger_with_variance), cmocka_unit_test(test_contested),
		cmocka_unit_test(test_spread),		cmocka_unit_test(test_order),
		cmocka_unit_test(test_parts),		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_honest_few),	cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
