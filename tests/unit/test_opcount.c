// SPDX-License-Identifier: Apache-2.0
/* Exact 128-bit operations: arithmetic at its edges, and text both ways. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/opcount.h"

static const char *text(opcount v)
{
	static char buf[OPCOUNT_STRLEN];

	return opcount_format(v, buf);
}

static void formats_and_parses(void **state)
{
	static const char *const same[] = {
		"0", "7", "10", "18446744073709551615", "18446744073709551616",
		"100000000000000000000000000", "340282366920938463463374607431768211455",
	};
	opcount v;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(opcount_parse(same[i], &v), 0);
		assert_string_equal(text(v), same[i]);
	}
	assert_true(v == OPCOUNT_MAX);
}

/* Against the school's method, around each power of ten and of two: where chunks of digits begin and end. */
static void formats_every_width(void **state)
{
	opcount edges[130 * 3], ten = 1;
	size_t n = 0;

	for (int i = 0; i < 39; i++, ten *= 10)
		for (int d = -1; d <= 1; d++)
			edges[n++] = ten + (opcount)d;
	for (int i = 0; i < 128; i += 2)
		for (int d = -1; d <= 1; d++)
			edges[n++] = ((opcount)1 << i) + (opcount)d;
	for (size_t i = 0; i < n; i++) {
		char want[OPCOUNT_STRLEN], *at = want + sizeof(want) - 1;
		opcount v = edges[i];

		*at = '\0';
		do
			*--at = (char)('0' + (int)(v % 10));
		while (v /= 10);
		assert_string_equal(text(edges[i]), at);
	}
}

static void parses_powers_of_ten_exactly(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "1e26", "100000000000000000000000000" },
		{ "2.5e25", "25000000000000000000000000" },
		{ "1.5e1", "15" },
		{ "0e5", "0" },
		{ "3E+4", "30000" },
	};
	opcount v;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(opcount_parse(good[i].in, &v), 0);
		assert_string_equal(text(v), good[i].out);
	}
}

static void refuses_what_is_not_exact(void **state)
{
	static const char *const bad[] = { "",	"-1", "+1",  " 1",  "1 ",  "01",   "1.5",  "1.55e1", "1e",
					   "e5", "1.",	".e1", "1e-1", "0x10", "1e26x", "1e100", "1..0e3" };
	opcount v = 42;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (opcount_parse(bad[i], &v) != -EINVAL)
			fail_msg("'%s' was taken as %s", bad[i], text(v));
	assert_int_equal(opcount_parse("340282366920938463463374607431768211456", &v), -EOVERFLOW);
	assert_int_equal(opcount_parse("1e39", &v), -EOVERFLOW);
	assert_true(v == 42);
}

static void arithmetic_never_wraps(void **state)
{
	opcount v = 5;

	assert_int_equal(opcount_add(OPCOUNT_MAX, 1, &v), -EOVERFLOW);
	assert_int_equal(opcount_mul(OPCOUNT_MAX / 2 + 1, 2, &v), -EOVERFLOW);
	assert_int_equal(opcount_sub(1, 2, &v), -ERANGE);
	assert_true(v == 5);
	assert_int_equal(opcount_muldiv(OPCOUNT_MAX, 3, 3, &v), 0);
	assert_true(v == OPCOUNT_MAX);
	assert_int_equal(opcount_muldiv(100, 3, 4, &v), 0);
	assert_true(v == 75);
	assert_int_equal(opcount_muldiv(OPCOUNT_MAX, 4, 3, &v), -EOVERFLOW);
	assert_int_equal(opcount_muldiv(1, 1, 0, &v), -EINVAL);
}

static void a_shown_figure_never_exceeds_the_kept_one(void **state)
{
	char buf[OPCOUNT_STRLEN];
	opcount v;

	assert_string_equal(opcount_human(9999, buf), "9999");
	assert_string_equal(opcount_human(19999, buf), "1.99e+04");
	opcount_parse("99999999999999999999999999", &v);
	assert_string_equal(opcount_human(v, buf), "9.99e+25");
}

static void little_endian_both_ways(void **state)
{
	uint8_t b[16];
	opcount v = ((opcount)0x0102030405060708ULL << 64) | 0x1112131415161718ULL;

	opcount_put_le(v, b);
	assert_int_equal(b[0], 0x18);
	assert_int_equal(b[15], 0x01);
	assert_true(opcount_get_le(b) == v);
}

static void what_says_so_saturates(void **state)
{
	opcount v = OPCOUNT_MAX - 5;

	opcount_add_saturating(&v, 5);
	assert_true(v == OPCOUNT_MAX);
	opcount_add_saturating(&v, 1);
	assert_true(v == OPCOUNT_MAX);
	v = 2;
	opcount_add_saturating(&v, 3);
	assert_true(v == 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_and_parses), cmocka_unit_test(formats_every_width),
		cmocka_unit_test(parses_powers_of_ten_exactly),
		cmocka_unit_test(refuses_what_is_not_exact),
		cmocka_unit_test(arithmetic_never_wraps), cmocka_unit_test(what_says_so_saturates),
		cmocka_unit_test(a_shown_figure_never_exceeds_the_kept_one),
		cmocka_unit_test(little_endian_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
