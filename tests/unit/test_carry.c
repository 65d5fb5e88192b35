// SPDX-License-Identifier: Apache-2.0
/* Carries and totals as they cross processes, against the golden files that another program made; every damage is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium/crypto_hash_sha256.h>

#include "userspace/core/carry.h"
#include "userspace/core/total_record.h"
#include "tests/unit/golden.h"

static size_t golden(const char *name, uint8_t *out, size_t max)
{
	char path[128];
	unsigned v;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (n < max && fscanf(f, "%2x", &v) == 1)
		out[n++] = (uint8_t)v;
	fclose(f);
	return n;
}

static void a_carry_is_its_golden_bytes(void **state)
{
	uint8_t wire[1024], *again;
	size_t n = golden("carry_v1.hex", wire, sizeof(wire)), len;
	struct om_reading want;
	struct om_carry c;
	uint8_t reading[OM_READING_SIZE];

	assert_int_equal(om_carry_decode(wire, n, &c), 0);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.day, 20780);
	/* Its first register is the golden reading's, but for what a carry leaves out. */
	golden("reading_v1.hex", reading, sizeof(reading));
	assert_int_equal(om_reading_decode(reading, sizeof(reading), &want), 0);
	assert_true(om_reading_is_within(&want, &c.reg[0]) && om_reading_is_within(&c.reg[0], &want));
	assert_memory_equal(&want.key, &c.reg[0].key, sizeof(want.key));
	assert_int_equal(want.sequence, c.reg[0].sequence);
	assert_int_equal(c.reg[1].value.to_ns, 0);
	assert_true(c.reg[2].value.exact == OPCOUNT_MAX);
	assert_int_equal(om_carry_encode(&c, &again, &len), 0);
	assert_int_equal(len, n);
	assert_memory_equal(wire, again, n);
	free(again);
	om_carry_done(&c);
}

static void a_carry_key_is_its_golden_bytes(void **state)
{
	uint8_t wire[64], again[OM_CARRY_KEY_SIZE];
	struct om_register_key as_register;
	struct om_id ledger, job;
	uint32_t day;

	assert_int_equal(golden("carry_key_v1.hex", wire, sizeof(wire)), OM_CARRY_KEY_SIZE);
	assert_int_equal(om_carry_key_decode(wire, OM_CARRY_KEY_SIZE, &ledger, &job, &day), 0);
	assert_int_equal(day, 20780);
	om_carry_key_encode(&ledger, &job, day, again);
	assert_memory_equal(wire, again, sizeof(again));
	/* Neither is taken for the other. */
	assert_int_equal(om_register_key_decode(wire, OM_CARRY_KEY_SIZE, &as_register), -EBADMSG);
	golden("register_key_v1.hex", wire, sizeof(wire));
	assert_int_equal(om_carry_key_decode(wire, OM_CARRY_KEY_SIZE, &ledger, &job, &day), -EBADMSG);
	wire[36] = wire[37] = 0;
	wire[38] = 2;
	assert_int_equal(om_carry_key_decode(wire, OM_CARRY_KEY_SIZE, &ledger, &job, &day), -EPROTONOSUPPORT);
}

static void seal_again(uint8_t *wire, size_t n)
{
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, wire, 64);
	crypto_hash_sha256_update(&s, wire + 96, n - 96);
	crypto_hash_sha256_final(&s, wire + 64);
}

static void damaged_carries_are_refused(void **state)
{
	uint8_t wire[1024], bad[1024];
	size_t n = golden("carry_v1.hex", wire, sizeof(wire));
	static const struct {
		size_t at;
		uint8_t value;
		int want;
	} cases[] = {
		{ 4, 2, -EPROTONOSUPPORT }, { 6, 2, -EPROTONOSUPPORT }, { 4, 0, -EBADMSG },  { 8, 9, -EBADMSG },    { 12, 2, -EBADMSG },
		{ 12, 4, -EBADMSG },	    { 14, 1, -EBADMSG },	{ 55, 1, -EBADMSG }, { 96, 14, -EBADMSG }, { 97, 0, -EBADMSG },
		{ 97, 7, -EBADMSG },	    { 98, 2, -EBADMSG },	{ 99, 1, -EBADMSG }, { 102, 0xff, -EBADMSG }, { 97, 3, -EBADMSG },
	};
	struct om_carry c;

	for (size_t len = 0; len < n; len++)
		assert_int_equal(om_carry_decode(wire, len, &c), -EBADMSG);
	for (size_t i = 0; i < n; i++) { /* every byte counts: the digest says so */
		memcpy(bad, wire, n);
		bad[i] ^= 0x10;
		assert_true(om_carry_decode(bad, n, &c) < 0);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(bad, wire, n);
		bad[cases[i].at] = cases[i].value;
		seal_again(bad, n);
		if (om_carry_decode(bad, n, &c) != cases[i].want)
			fail_msg("byte %zu as %u is not refused", cases[i].at, cases[i].value);
	}
}

/* A form that another writer might choose for the same number. */
static void only_the_shortest_form_is_taken(void **state)
{
	static const uint8_t good[] = { 4, 1, 0, 0, 1, 0, 0, 0, 0x81, 0x01 };
	static const struct {
		uint8_t bytes[32];
		size_t len;
	} bad[] = {
		{ { 4, 1, 0, 0, 1, 0, 0, 0, 0x81, 0x80, 0x00 }, 11 },				   /* a zero at its end */
		{ { 4, 1, 0, 0, 1, 0, 0, 0, 0x00 }, 9 },					   /* a field that is zero */
		{ { 4, 1, 0, 0, 1, 0, 0, 0, 0x81 }, 9 },					   /* cut off */
		{ { 4, 1, 0, 0, 0x40, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2 }, 18 }, /* calls past 2^64 */
		{ { 4, 1, 0, 0, 2, 0, 0, 0, 5 }, 9 },						   /* low above high */
		{ { 4, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f }, 16 },		   /* a mean that is infinite */
	};
	struct om_reading r = { 0 };

	assert_int_equal(om_folded_decode(good, sizeof(good), &r), sizeof(good));
	assert_int_equal((uint64_t)r.value.exact, 129);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (om_folded_decode(bad[i].bytes, bad[i].len, &r) != -EBADMSG)
			fail_msg("case %zu is taken", i);
}

static void totals_are_their_golden_text(void **state)
{
	static const struct {
		const char *file, *key;
	} cases[] = {
		{ "total_v3.json", "f%2f1/3/model/acme/lm-7b" },
		{ "total_lineage_v3.json", "f%2f1/3/lineage/l-6f1c" },
	};
	char key[OM_TOTAL_KEY_MAX];

	for (size_t i = 0; i < 2; i++) {
		char *text = golden_json(cases[i].file), *again;
		struct om_total_record r;
		json_t *want = json_loads(text, 0, NULL), *got;

		assert_int_equal(om_total_decode(text, strlen(text), &r), 0);
		assert_int_equal(r.partition, 3);
		assert_int_equal(om_total_key("f/1", 3, &r.total, key), 0);
		assert_string_equal(key, cases[i].key);
		again = om_total_encode(&r.total, r.partition);
		got = json_loads(again, 0, NULL);
		if (!json_equal(want, got))
			fail_msg("%s", again);
		json_decref(want);
		json_decref(got);
		free(again);
		om_total_record_done(&r);
		for (size_t n = 0; n < strlen(text); n++)
			assert_int_equal(om_total_decode(text, n, &r), -EBADMSG);
		free(text);
	}
}

static void totals_of_version_1_are_read(void **state)
{
	char *text = golden_json("total_v1.json");
	struct om_total_record r;
	opcount want;

	assert_int_equal(om_total_decode(text, strlen(text), &r), 0);
	assert_int_equal(r.total.group, OM_GROUP_MODEL);
	assert_string_equal(r.total.tenant, "acme");
	opcount_parse("100000000000000000000000001", &want);
	assert_true(r.total.training_high == want);
	om_total_record_done(&r);
	free(text);
}

/* What they do not tell is told to be unknown, and stays so when it is added to what does tell. */
static void totals_of_version_2_are_read(void **state)
{
	static const char *const files[] = { "total_v2.json", "total_lineage_v2.json" };

	for (size_t i = 0; i < 2; i++) {
		char *text = golden_json(files[i]), *newer = golden_json(i ? "total_lineage_v3.json" : "total_v3.json");
		struct om_total_record old, new;
		struct om_subject_total sum;
		const struct om_subject_total *part[2] = { &old.total, &new.total };
		struct om_until *until;
		size_t n;

		assert_int_equal(om_total_decode(text, strlen(text), &old), 0);
		assert_int_equal(om_total_decode(newer, strlen(newer), &new), 0);
		assert_true(old.total.is_older && !new.total.is_older);
		assert_true(old.total.executed_low == 0 && old.total.executed_high == old.total.training_high);
		assert_int_equal(old.total.first_day, 0);
		assert_int_equal(old.total.member_count, new.total.member_count);
		sum = new.total;
		om_subject_total_add(&sum, &old.total);
		assert_true(sum.is_older);
		assert_int_equal(sum.gap_days, 14);
		assert_int_equal(sum.first_day, 0); /* the older part may have begun before */
		assert_int_equal(om_until_fold(part, 2, &until, &n), 0);
		assert_int_equal(n, 2);
		for (size_t k = 0; k < n; k++) {
			const struct om_until *told = &new.total.until[k];

			assert_true(until[k].is_wide && until[k].training_low == told->training_low);
			assert_true(until[k].training_high == told->training_high + old.total.training_high);
		}
		free(until);
		assert_int_equal(om_until_fold(part + 1, 1, &until, &n), 0);
		assert_int_equal(n, 2);
		assert_true(!until[1].is_wide && until[1].training_high == new.total.until[1].training_high);
		free(until);
		om_total_record_done(&old);
		om_total_record_done(&new);
		free(text);
		free(newer);
	}
}

static void damaged_totals_are_refused(void **state)
{
	static const struct {
		const char *key, *value;
		int want;
	} cases[] = {
		{ "v", "4", -EPROTONOSUPPORT }, { "v", "0", -EBADMSG },	       { "v", "\"2\"", -EBADMSG },	  { "partition", "-1", -EBADMSG },
		{ "partition", "4294967296", -EBADMSG }, { "tenant", "\"\"", -EBADMSG }, { "tenant", "null", -EBADMSG }, { "group", "\"family\"", -EBADMSG },
		{ "group", "\"lineage\"", -EBADMSG },	 { "training", "{}", -EBADMSG }, { "losses", "6", -EBADMSG },	 { "losses", "\"-6\"", -EBADMSG },
		{ "losses", "\"18446744073709551616\"", -EBADMSG }, { "contradicted", "\"1e3\"", -EBADMSG },	 { "bounded", "1", -EBADMSG },
		{ "as_of", "\"yesterday\"", -EBADMSG },	 { "meters", "[\"sundial\"]", -EBADMSG },
		{ "all", "{\"low\":\"2\",\"high\":\"1\",\"ceiling\":\"3\"}", -EBADMSG },
		{ "executed", "{\"low\":\"2\",\"high\":\"1\"}", -EBADMSG }, { "executed", "null", -EBADMSG }, { "suspected", "\"-1\"", -EBADMSG },
		{ "gap_days", "1", -EBADMSG }, { "first_day", "\"2026-02-30\"", -EBADMSG }, { "first_day", "7", -EBADMSG }, { "older", "1", -EBADMSG },
		{ "until", "[]", -EBADMSG }, { "until", "{}", -EBADMSG }, { "until", "[{\"day\":\"2026-03-12\"}]", -EBADMSG },
		{ "until", "[{\"day\":\"2026-03-12\",\"training\":{\"low\":\"2\",\"high\":\"1\"}}]", -EBADMSG },
		{ "until", "[{\"day\":\"2026-03-12\",\"training\":{\"low\":\"1\",\"high\":\"1\"}},"
			   "{\"day\":\"2026-03-12\",\"training\":{\"low\":\"1\",\"high\":\"1\"}}]", -EBADMSG },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *o = json_load_file("tests/golden/total_v3.json", 0, NULL);
		struct om_total_record r;
		char *text;

		json_object_set_new(o, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		text = json_dumps(o, 0);
		if (om_total_decode(text, strlen(text), &r) != cases[i].want)
			fail_msg("%s as %s is not refused", cases[i].key, cases[i].value);
		free(text);
		json_decref(o);
	}
}

/* Two subjects never have one key, whatever their names. */
static void names_do_not_run_into_each_other(void **state)
{
	struct om_subject_total a = { .tenant = "a/b", .model = "c" }, b = { .tenant = "a", .model = "b/c" };
	char x[OM_TOTAL_KEY_MAX], y[OM_TOTAL_KEY_MAX], name[OM_TOTAL_KEY_MAX];

	assert_int_equal(om_total_key("f", 0, &a, x), 0);
	assert_int_equal(om_total_key("f", 0, &b, y), 0);
	assert_string_not_equal(x, y);
	memset(name, '/', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	a.model = name;
	assert_int_equal(om_total_key("f", 0, &a, x), -ENAMETOOLONG);
	assert_int_equal(om_total_key(name, 0, &b, x), -ENAMETOOLONG);
}

static void the_open_day_follows_the_grace_time(void **state)
{
	const uint64_t day = 86400000000000ULL, hour = day / 24;

	assert_int_equal(om_carry_open_day(10 * day + 5 * hour, 6 * hour), 9);
	assert_int_equal(om_carry_open_day(10 * day + 6 * hour, 6 * hour), 10);
	assert_int_equal(om_carry_open_day(hour, 6 * hour), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_carry_is_its_golden_bytes),	   cmocka_unit_test(a_carry_key_is_its_golden_bytes),
		cmocka_unit_test(damaged_carries_are_refused),	   cmocka_unit_test(only_the_shortest_form_is_taken),
		cmocka_unit_test(totals_are_their_golden_text),	   cmocka_unit_test(totals_of_version_1_are_read), cmocka_unit_test(totals_of_version_2_are_read),
		cmocka_unit_test(damaged_totals_are_refused),	   cmocka_unit_test(names_do_not_run_into_each_other),
		cmocka_unit_test(the_open_day_follows_the_grace_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
