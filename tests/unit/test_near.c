// SPDX-License-Identifier: Apache-2.0
/* Just below a level, and only there, a subject is near it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/near.h"

#define T0 (20780ULL * 86400 * 1000000000)
#define SECOND 1000000000ULL

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

static char *hint(uint64_t since_ns, uint64_t until_ns)
{
	struct om_near_hint h = { since_ns, until_ns };
	char *text = om_near_hint_encode(&h);

	assert_non_null(text);
	return text;
}

static int take(struct om_near_set *s, const char *fleet, const char *tenant, const char *model, const char *value, uint64_t now_ns)
{
	struct om_id id;
	char key[OM_NEAR_KEY_MAX];

	om_near_id_of(OM_NEAR_MODEL, tenant, model, &id);
	om_near_key(fleet, &id, key);
	return om_near_set_take(s, key, strlen(key), value, value ? strlen(value) : 0, now_ns);
}

static bool has(const struct om_near_set *s, const char *tenant, const char *model, uint64_t now_ns)
{
	struct om_id id;

	om_near_id_of(OM_NEAR_MODEL, tenant, model, &id);
	return om_near_set_has(s, &id, now_ns);
}

static void a_key_names_nobody_and_comes_back(void **state)
{
	struct om_id id, again;
	char key[OM_NEAR_KEY_MAX], other[OM_NEAR_KEY_MAX];
	size_t fleet;

	om_near_id_of(OM_NEAR_MODEL, "acme", "lm", &id);
	om_near_key("main/eu", &id, key);
	assert_null(strstr(key, "acme"));
	assert_int_equal(om_near_key_parse(key, strlen(key), &again, &fleet), 0);
	assert_int_equal(fleet, strlen("main/eu"));
	assert_true(om_id_equal(&id, &again));
	assert_string_not_equal(key, om_near_key("main", &id, other));
	/* The border between the names counts, and what is named. */
	om_near_id_of(OM_NEAR_MODEL, "acmel", "m", &again);
	assert_false(om_id_equal(&id, &again));
	om_near_id_of(OM_NEAR_TENANT, "acme", "", &id);
	om_near_id_of(OM_NEAR_LINEAGE, "acme", "", &again);
	assert_false(om_id_equal(&id, &again));
}

static void what_is_no_hint_is_refused(void **state)
{
	static const char *const values[] = { "",
					      "{}",
					      "[]",
					      "null",
					      "{\"v\":1}",
					      "{\"v\":\"1\",\"since\":\"2026-01-01T00:00:00Z\",\"until\":\"2026-01-01T00:00:00Z\"}",
					      "{\"v\":0,\"since\":\"2026-01-01T00:00:00Z\",\"until\":\"2026-01-01T00:00:00Z\"}",
					      "{\"v\":1,\"since\":\"2026-01-01T00:00:00Z\",\"until\":5}",
					      "{\"v\":1,\"since\":\"2026-01-01T00:00:00Z\",\"until\":\"tomorrow\"}" };
	struct om_near_set *s = om_near_set_new();
	struct om_near_hint h;
	struct om_id id;
	char key[OM_NEAR_KEY_MAX], *text = hint(T0, T0 + SECOND);
	size_t n, fleet;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		assert_int_equal(om_near_hint_decode(values[i], strlen(values[i]), &h), -EBADMSG);
		assert_int_equal(take(s, "f", "acme", "lm", values[i], T0), -EBADMSG);
	}
	assert_int_equal(om_near_hint_decode("{\"v\":2}", 7, &h), -EPROTONOSUPPORT);
	assert_int_equal(om_near_hint_decode(text, strlen(text), &h), 0);
	assert_true(h.since_ns == T0 && h.until_ns == T0 + SECOND);
	om_near_id_of(OM_NEAR_MODEL, "acme", "lm", &id);
	n = strlen(om_near_key("f", &id, key));
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(om_near_key_parse(key, cut, &id, &fleet), -EBADMSG);
	assert_int_equal(om_near_key_parse(key + 1, n - 1, &id, &fleet), -EBADMSG); /* of no fleet */
	key[n - 1] = 'g';
	assert_int_equal(om_near_key_parse(key, n, &id, &fleet), -EBADMSG);
	key[n - 1] = '0';
	key[0] = '\0';
	assert_int_equal(om_near_key_parse(key, n, &id, &fleet), -EBADMSG);
	assert_int_equal(om_near_set_count(s, T0), 0);
	free(text);
	om_near_set_free(s);
}

static void a_hint_holds_until_it_is_taken_back_or_ends(void **state)
{
	struct om_near_set *s = om_near_set_new();
	struct om_id id;
	char *text = hint(T0, T0 + 100 * SECOND), *old = hint(T0 - 50 * SECOND, T0), *ages = hint(T0, T0 * 2);

	assert_false(has(s, "acme", "lm", T0));
	assert_int_equal(take(s, "f", "acme", "lm", text, T0), 0);
	assert_true(has(s, "acme", "lm", T0));
	assert_false(has(s, "acme", "other", T0));
	assert_false(has(s, "cirrus", "lm", T0));
	assert_true(has(s, "acme", "lm", T0 + 99 * SECOND));
	assert_false(has(s, "acme", "lm", T0 + 100 * SECOND)); /* and nobody took it back */
	/* Of two fleets each speaks for itself. */
	assert_int_equal(take(s, "g", "acme", "lm", text, T0), 0);
	assert_int_equal(take(s, "f", "acme", "lm", NULL, T0), 0);
	assert_true(has(s, "acme", "lm", T0));
	assert_int_equal(take(s, "g", "acme", "lm", NULL, T0), 0);
	assert_false(has(s, "acme", "lm", T0));
	assert_int_equal(take(s, "g", "acme", "lm", NULL, T0), 0);
	/* One that ended does not begin anew; nobody asks for ever. */
	assert_int_equal(take(s, "f", "acme", "lm", old, T0), 0);
	assert_int_equal(om_near_set_count(s, T0), 0);
	assert_int_equal(take(s, "f", "acme", "lm", ages, T0), 0);
	assert_true(has(s, "acme", "lm", T0 + OM_NEAR_HOLDS_NS - 1));
	assert_false(has(s, "acme", "lm", T0 + OM_NEAR_HOLDS_NS));
	om_near_set_clear(s);
	om_near_id_of(OM_NEAR_MODEL, "acme", "lm", &id);
	assert_int_equal(om_near_set_add(s, &id), 0);
	assert_true(has(s, "acme", "lm", T0 * 3));
	om_near_set_clear(s);
	assert_false(has(s, "acme", "lm", T0));
	free(text);
	free(old);
	free(ages);
	om_near_set_free(s);
}

/* A flood of hints takes no more memory than the set's, and hints that ended make room. */
static void the_set_is_bounded(void **state)
{
	struct om_near_set *s = om_near_set_new();
	char *text = hint(T0, T0 + 100 * SECOND), *later = hint(T0 + 200 * SECOND, T0 + 300 * SECOND), name[16];

	for (int i = 0; i < OM_NEAR_MAX; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		assert_int_equal(take(s, "f", name, "lm", text, T0), 0);
	}
	assert_int_equal(take(s, "f", "acme", "lm", text, T0), -ENOSPC);
	assert_int_equal(take(s, "f", "t7", "lm", text, T0), 0); /* known already */
	assert_int_equal(om_near_set_count(s, T0), OM_NEAR_MAX);
	assert_int_equal(take(s, "f", "acme", "lm", later, T0 + 200 * SECOND), 0);
	assert_int_equal(om_near_set_count(s, T0 + 200 * SECOND), 1);
	free(text);
	free(later);
	om_near_set_free(s);
}

/* How often each is due in two minutes, looked at every 50 ms. */
static void count_due(uint64_t interval_ns, uint64_t near_from, uint64_t near_to, unsigned due[3])
{
	struct om_cadence c = { .all_ns = interval_ns };

	memset(due, 0, 3 * sizeof(*due));
	for (uint64_t now = 0; now <= 120 * SECOND; now += SECOND / 20) {
		bool is_near = now >= near_from && now < near_to;
		uint64_t next = om_cadence_next(&c, interval_ns, is_near);
		enum om_publish p = om_cadence_step(&c, now, interval_ns, is_near);

		assert_true((p == OM_PUBLISH_NOTHING) == (now < next));
		due[p]++;
	}
}

static void each_second_while_near_and_each_interval_else(void **state)
{
	unsigned due[3];

	count_due(15 * SECOND, 0, 0, due);
	assert_int_equal(due[OM_PUBLISH_ALL], 8);
	assert_int_equal(due[OM_PUBLISH_NEAR], 0);
	/* From 30 s on for half a minute; what is due for all does for both. */
	count_due(15 * SECOND, 31 * SECOND, 61 * SECOND, due);
	assert_int_equal(due[OM_PUBLISH_ALL], 8);
	assert_int_equal(due[OM_PUBLISH_NEAR], 28);
	count_due(SECOND, 0, 120 * SECOND, due);
	assert_int_equal(due[OM_PUBLISH_NEAR], 0);
	assert_int_equal(due[OM_PUBLISH_ALL], 120);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subject_is_near_just_below_a_level),
		cmocka_unit_test(a_key_names_nobody_and_comes_back),
		cmocka_unit_test(what_is_no_hint_is_refused),
		cmocka_unit_test(a_hint_holds_until_it_is_taken_back_or_ends),
		cmocka_unit_test(the_set_is_bounded),
		cmocka_unit_test(each_second_while_near_and_each_interval_else),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
