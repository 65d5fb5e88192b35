// SPDX-License-Identifier: Apache-2.0
/* The wire forms against the golden files, which another program made from docs/formats.md alone; and the join's algebra. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "userspace/core/alert.h"
#include "userspace/core/assignment.h"
#include "userspace/core/merkle.h"
#include "userspace/core/reading_json.h"
#include "userspace/core/register.h"

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

static struct om_reading read_golden(uint8_t wire[OM_READING_SIZE])
{
	struct om_reading r;

	assert_int_equal(golden("reading_v1.hex", wire, OM_READING_SIZE), OM_READING_SIZE);
	assert_int_equal(om_reading_decode(wire, OM_READING_SIZE, &r), 0);
	return r;
}

static void a_reading_is_its_golden_bytes(void **state)
{
	uint8_t wire[OM_READING_SIZE], again[OM_READING_SIZE];
	struct om_reading r = read_golden(wire);
	opcount want;

	opcount_parse("100000000000000000000000001", &want);
	assert_true(r.value.exact == want);
	assert_true(r.value.high == (opcount)1 << 100);
	assert_int_equal(r.key.day, 20780);
	assert_int_equal(r.value.lost[OM_LOSS_OFF], 7);
	assert_int_equal(r.node.device_count, 8);
	assert_true(r.attempted);
	om_reading_encode(&r, again);
	assert_memory_equal(wire, again, sizeof(wire));
}

static void a_key_is_its_golden_bytes(void **state)
{
	uint8_t wire[OM_READING_SIZE], key[64], again[OM_REGISTER_KEY_SIZE];
	struct om_reading r = read_golden(wire);
	struct om_register_key k;

	assert_int_equal(golden("register_key_v1.hex", key, sizeof(key)), OM_REGISTER_KEY_SIZE);
	om_register_key_encode(&r.key, again);
	assert_memory_equal(key, again, sizeof(again));
	assert_int_equal(om_register_key_decode(key, OM_REGISTER_KEY_SIZE, &k), 0);
	assert_true(om_id_equal(&k.job, &r.key.job));
}

static void the_json_form_is_golden(void **state)
{
	uint8_t wire[OM_READING_SIZE];
	struct om_reading r = read_golden(wire);
	json_t *want = json_load_file("tests/golden/reading_v1.json", 0, NULL), *got = om_reading_to_json(&r);

	assert_non_null(want);
	if (!json_equal(want, got))
		fail_msg("%s", json_dumps(got, JSON_INDENT(1)));
	json_decref(want);
	json_decref(got);
}

static void damaged_readings_are_refused(void **state)
{
	uint8_t wire[OM_READING_SIZE], bad[OM_READING_SIZE];
	struct om_reading r = read_golden(wire);

	for (size_t len = 0; len < OM_READING_SIZE; len++)
		assert_int_equal(om_reading_decode(wire, len, &r), -EBADMSG);
	memcpy(bad, wire, sizeof(bad));
	bad[4] = 2; /* a later version */
	assert_int_equal(om_reading_decode(bad, sizeof(bad), &r), -EPROTONOSUPPORT);
	memcpy(bad, wire, sizeof(bad));
	bad[44] = 99; /* no such format */
	assert_int_equal(om_reading_decode(bad, sizeof(bad), &r), -EBADMSG);
	memcpy(bad, wire, sizeof(bad));
	memset(bad + 88, 0, 16); /* high below low */
	assert_int_equal(om_reading_decode(bad, sizeof(bad), &r), -EBADMSG);
	memcpy(bad, wire, sizeof(bad));
	memset(bad + 104, 0xff, 16); /* a mean that is no number */
	assert_int_equal(om_reading_decode(bad, sizeof(bad), &r), -EBADMSG);
}

static void is_golden(const char *path, struct om_assignment *ret)
{
	char want[1024], *got;
	struct om_assignment a;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(want, sizeof(want), f));
	fclose(f);
	want[strcspn(want, "\n")] = '\0';
	assert_int_equal(om_assignment_decode(want, strlen(want), ret), 0);
	got = om_assignment_encode(ret);
	assert_string_equal(got, want);
	free(got);
	for (size_t n = 0; n < strlen(want); n++)
		assert_int_equal(om_assignment_decode(want, n, &a), -EBADMSG);
}

static void an_assignment_is_its_golden_text(void **state)
{
	struct om_assignment a;

	is_golden("tests/golden/assignment_v1.json", &a);
	assert_int_equal(a.share_low_ppm, 250000);
	is_golden("tests/golden/assignment_v2.json", &a);
	assert_int_equal(a.kind, OM_ASSIGN_SERVES);
	assert_string_equal(a.rule, OM_RULE_JOINED);
}

/* What is read in place and what the library reads are the same, whatever is written how. */
static void an_assignment_is_read_alike_either_way(void **state)
{
#define IDS "\"ledger\":\"000102030405060708090a0b0c0d0e0f\",\"job\":\"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\","
#define REST "\"evidence\":\"e\",\"author\":{\"rule\":\"r\",\"version\":\"1\"},\"at\":\"2026-11-23T18:00:01Z\""
#define FROM "\"from\":\"2026-11-23T18:00:00.5Z\",\"to\":null,\"share\":{\"low\":\"0.25\",\"high\":\"1\"},"
	static const struct {
		const char *json;
		int rc;
	} texts[] = {
		{ "{\"v\":1," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", 0 },
		{ "{" REST "," FROM IDS "\"value\":\"lm\",\"kind\":\"model\",\"v\":1}", 0 },
		{ "{ \"v\" : 1 , " IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", 0 },
		{ "{\"v\":1," IDS "\"kind\":\"model\",\"value\":\"l\\u006d\"," FROM REST "}", 0 },
		{ "{\"v\":1,\"more\":[1,{}]," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", 0 },
		{ "{\"v\":1," IDS "\"kind\":\"model\",\"value\":\"\xc3\xa4\"," FROM REST "}", 0 },
		{ "{\"v\":1," IDS "\"kind\":\"model\",\"value\":\"\xc3\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":1,\"v\":1," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":3," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", -EPROTONOSUPPORT },
		{ "{\"v\":2," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", 0 },
		{ "{\"v\":2," IDS "\"kind\":\"serves\",\"value\":\"00112233445566778899aabbccddeeff\"," FROM REST "}", 0 },
		{ "{\"v\":1," IDS "\"kind\":\"serves\",\"value\":\"00112233445566778899aabbccddeeff\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":2," IDS "\"kind\":\"serves\",\"value\":\"00112233445566778899aabbccddeefg\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":2," IDS "\"kind\":\"serves\",\"value\":\"lm\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":01," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":1," IDS "\"kind\":\"model\",\"value\":\"lm\"," FROM REST "} x", -EBADMSG },
		{ "{\"v\":1," IDS "\"kind\":\"model\",\"value\":null," FROM REST "}", -EBADMSG },
		{ "{\"v\":1," IDS "\"kind\":\"modal\",\"value\":\"lm\"," FROM REST "}", -EBADMSG },
		{ "{\"v\":1," IDS "\"kind\":\"phase\",\"value\":\"lm\"," FROM REST "}", -EBADMSG },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (int is_event = 0; is_event < 2; is_event++) {
			struct om_assignment a = { 0 }, b = { 0 };
			char text[2048];
			size_t len;

			snprintf(text, sizeof(text), is_event ? "{\"specversion\":\"1.0\",\"id\":\"x\",\"data\":%s}" : "%s",
				 texts[i].json);
			len = strlen(text);
			assert_int_equal(is_event ? om_assignment_decode_event(text, len, &a) :
						    om_assignment_decode(text, len, &a),
					 texts[i].rc);
			assert_int_equal(om_assignment_decode_slowly(text, len, is_event, &b), texts[i].rc);
			assert_memory_equal(&a, &b, sizeof(a));
			if (texts[i].rc == 0)
				assert_true(a.from_ns % 1000000000 == 500000000 && a.to_ns == 0 &&
					    a.share_low_ppm == 250000);
		}
	}
}

static void an_alert_id_is_golden(void **state)
{
	uint8_t want[16];
	struct om_id id;

	assert_int_equal(golden("alert_id_v1.hex", want, sizeof(want)), 16);
	alert_make_id(ALERT_LEVEL, "/opmeter/f", "us-bis-4e091", "2025-01-15", "acme/lm", "warn", &id);
	assert_memory_equal(&id, want, 16);
}

/* The well-known roots of RFC 6962 trees over the leaves of the certificate-transparency test suite. */
static void merkle_roots_are_the_published_ones(void **state)
{
	static const struct {
		const char *leaf;
		size_t len;
		const char *root;
	} steps[] = {
		{ "", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
		{ "\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
		{ "\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
		{ "\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
		{ "\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
		{ "\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
		{ "\x50\x51\x52\x53\x54\x55\x56\x57", 8, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
		{ "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
		  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
	};
	struct om_merkle t = { 0 };
	char hex[65];

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint8_t hash[OM_HASH_SIZE];

		om_merkle_leaf_hash(steps[i].leaf, steps[i].len, hash);
		om_merkle_append(&t, hash);
		om_merkle_root(&t, hash);
		for (int k = 0; k < OM_HASH_SIZE; k++)
			snprintf(hex + 2 * k, 3, "%02x", hash[k]);
		assert_string_equal(hex, steps[i].root);
	}
}

static struct om_value random_value(unsigned *seed)
{
	struct om_value v = { 0 };

	v.exact = (opcount)rand_r(seed) << 90 | (opcount)rand_r(seed);
	v.low = rand_r(seed);
	v.high = v.low + (opcount)rand_r(seed);
	v.mean = rand_r(seed) % 3;
	v.variance = rand_r(seed) % 3;
	v.calls = (uint64_t)rand_r(seed);
	v.to_ns = (uint64_t)(rand_r(seed) % 4);
	v.from_ns = (uint64_t)(rand_r(seed) % 4);
	for (int i = 0; i < OM_LOSS_END; i++)
		v.lost[i] = (uint64_t)rand_r(seed);
	return v;
}

static void the_join_is_a_join(void **state)
{
	unsigned seed = 1;

	for (int i = 0; i < 20000; i++) {
		struct om_value a = random_value(&seed), b = random_value(&seed), c = random_value(&seed);
		struct om_value ab = a, ba = b, ab_c, bc = b, a_bc = a, aa = a;

		om_value_join(&ab, &b);
		om_value_join(&ba, &a);
		assert_memory_equal(&ab, &ba, sizeof(ab));
		ab_c = ab;
		om_value_join(&ab_c, &c);
		om_value_join(&bc, &c);
		om_value_join(&a_bc, &bc);
		assert_memory_equal(&ab_c, &a_bc, sizeof(ab_c));
		om_value_join(&aa, &a);
		assert_memory_equal(&aa, &a, sizeof(aa));
		assert_false(om_value_is_regression(&a, &ab));
		assert_false(om_value_is_regression(&b, &ab));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reading_is_its_golden_bytes), cmocka_unit_test(a_key_is_its_golden_bytes),
		cmocka_unit_test(the_json_form_is_golden),	 cmocka_unit_test(damaged_readings_are_refused),
		cmocka_unit_test(an_assignment_is_its_golden_text), cmocka_unit_test(an_assignment_is_read_alike_either_way),
		cmocka_unit_test(an_alert_id_is_golden),
		cmocka_unit_test(merkle_roots_are_the_published_ones), cmocka_unit_test(the_join_is_a_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
