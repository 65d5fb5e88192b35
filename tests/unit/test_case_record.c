// SPDX-License-Identifier: Apache-2.0
/* What a case's record has of its finding, what may be recorded with which date, and reports of it: whole cells, and no parent in the
 * place of a beneficial owner. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>

#include "userspace/base/yaml.h"
#include "userspace/core/assignment.h"
#include "userspace/core/case.h"
#include "userspace/core/case_internal.h"
#include "userspace/core/case_store.h"
#include "userspace/core/hex.h"
#include "userspace/core/report.h"

#define DAY_NS UINT64_C(86400000000000)
#define DAY 20780 /* 2026-11-23 */

struct desk {
	char dir[64];
	struct om_ledger *l;
	struct om_case_store *s;
	struct om_actor actor;
};

static int set_up(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));
	struct error_text err = { 0 };

	strcpy(d->dir, "/tmp/opmeter-record-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	assert_int_equal(om_ledger_open(d->dir, OM_LEDGER_CREATE | OM_LEDGER_KEEP, DAY * DAY_NS, &d->l, &err), 0);
	assert_int_equal(om_case_store_load(d->l, &d->s, &err), 0);
	d->actor = (struct om_actor){ .by = "opmeter", .uid = 1, .now_ns = DAY * DAY_NS };
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	struct desk *d = *state;
	char command[128];

	om_case_store_free(d->s);
	om_ledger_free(d->l);
	snprintf(command, sizeof(command), "rm -rf %s", d->dir);
	assert_int_equal(system(command), 0);
	free(d);
	return 0;
}

static const char *tenant = "cirrus";

/* Takes a finding with these data beside what every one has. */
static const struct om_case *take(struct desk *d, const char *more)
{
	char id[OM_CASE_ID_STRLEN], text[8192];
	struct error_text err = { 0 };

	snprintf(text, sizeof(text),
		 "{\"specversion\":\"1.0\",\"id\":\"00112233445566778899aabbccddeeff\",\"source\":\"/opmeter/n1\",\"type\":\"opmeter.case.v1\","
		 "\"subject\":\"cirrus\",\"time\":\"2026-11-23T00:00:00Z\",\"data\":{\"regime\":\"r\",\"version\":\"1\",\"digest\":\"d\","
		 "\"mode\":\"enforce\",\"citation\":\"c\",\"sentence\":\"s\",\"case\":\"case-001122334455\",\"tenant\":\"%s\",\"cause\":\"x\"%s}}",
		 tenant, more);
	if (om_case_take(d->s, text, strlen(text), &d->actor, id, &err))
		fail_msg("%s", err.text);
	return om_case_store_find(d->s, id);
}

static int act(struct desk *d, const char *json)
{
	const struct om_case *c = om_case_store_at(d->s, 0);
	json_t *o = json_loads(json, 0, NULL);
	struct error_text err = { 0 };
	int r;

	assert_non_null(o);
	d->actor.by = "alice";
	d->actor.now_ns += 1000000000;
	r = om_case_act(d->s, c, o, NULL, &d->actor, NULL, &err);
	assert_true(r >= 0 || err.text[0]);
	json_decref(o);
	return r;
}

static void the_record_has_the_whole_finding(void **state)
{
	static const char *const keys[] = { "cause", "hold", "periods", "notices", "owner_until", "owner_until_told" };
	json_t *data = json_loads("{\"cause\":\"x\",\"hold\":true,\"periods\":[{\"from\":\"2026-01-01\",\"to\":null}],"
				  "\"notices\":[{\"what\":\"notify\",\"due\":\"2026-12-14\"}],\"owner_until\":\"2026-03-12\",\"owner_until_told\":false}",
				  0, NULL);
	const struct om_case *c = take(*state, ",\"hold\":true,\"periods\":[{\"from\":\"2026-01-01\",\"to\":null}],"
					       "\"notices\":[{\"what\":\"notify\",\"due\":\"2026-12-14\"}],\"owner_until\":\"2026-03-12\",\"owner_until_told\":false");
	json_t *r, *older;

	assert_int_equal(act(*state, "{\"act\":\"escalate\",\"reason\":\"for counsel\",\"to\":\"counsel\"}"), 0);
	assert_int_equal(act(*state, "{\"act\":\"reopen\",\"reason\":\"news\"}"), 0);
	r = om_case_record(c, NULL);
	older = case_record_1(c);
	assert_int_equal(json_integer_value(json_object_get(r, "schema_version")), 2);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_true(json_equal(json_object_get(r, keys[i]), json_object_get(data, keys[i])));
		assert_null(json_object_get(older, keys[i]));
	}
	/* Why, of each, and not of the last alone. */
	assert_string_equal(json_text(json_array_get(json_object_get(r, "state_history"), 1), "reason"), "for counsel");
	assert_string_equal(json_text(json_array_get(json_object_get(r, "state_history"), 1), "handed_to"), "counsel");
	assert_string_equal(json_text(json_array_get(json_object_get(r, "state_history"), 2), "reason"), "news");
	assert_null(json_object_get(json_array_get(json_object_get(older, "state_history"), 1), "reason"));
	json_decref(data);
	json_decref(r);
	json_decref(older);
}

static void what_is_recorded_has_happened(void **state)
{
	static const struct {
		const char *act;
		int r;
	} acts[] = {
		{ "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2999-01-01\"}", -EINVAL },
		{ "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2026-11-25\"}", -EINVAL },
		{ "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2026-11-24\"}", 0 }, /* it is tomorrow somewhere */
		{ "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2026-11-23T00:00:00Z\"}", -EINVAL },
		{ "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2020-02-29\"}", 0 },
		{ "{\"act\":\"inquiry\",\"question\":\"q\",\"to\":\"t\",\"sent_at\":\"yesterday\"}", -EINVAL },
		{ "{\"act\":\"inquiry\",\"question\":\"q\",\"to\":\"t\",\"sent_at\":\"2099-01-01\"}", -EINVAL },
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"2026-11-23\"}", -EINVAL }, /* nothing was asked */
		{ "{\"act\":\"inquiry\",\"question\":\"q\",\"to\":\"t\",\"sent_at\":\"2026-11-20\"}", 0 },
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"1999-01-01\"}", -EINVAL },
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"2026-11-18\"}", -EINVAL },
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"2099-01-01\"}", -EINVAL },
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"soon\"}", -EINVAL },
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"2026-11-21T10:00:00Z\"}", 0 },
		{ "{\"act\":\"inquiry\",\"question\":\"q\",\"to\":\"t\"}", 0 }, /* now */
		{ "{\"act\":\"answer\",\"text\":\"a\",\"answered_at\":\"2026-11-20\"}", -EINVAL },
		{ "{\"act\":\"answer\",\"text\":\"a\"}", 0 },
		{ "{\"act\":\"fact\",\"name\":\"lei\",\"value\":\"NOTANLEI\",\"source\":\"s\"}", -EINVAL },
		{ "{\"act\":\"fact\",\"name\":\"lei\",\"value\":\"5493001KJTIIGC8Y1R12\",\"source\":\"s\"}", 0 },
		{ "{\"act\":\"fact\",\"name\":\"lei\",\"value\":\"5493001KJTIIGC8Y1R13\",\"source\":\"s\"}", -EINVAL },
		{ "{\"act\":\"fact\",\"name\":\"start\",\"value\":\"next spring\",\"source\":\"s\"}", -EINVAL },
		{ "{\"act\":\"fact\",\"name\":\"expected_completion\",\"value\":\"2026-02-30\",\"source\":\"s\"}", -EINVAL },
		{ "{\"act\":\"fact\",\"name\":\"expected_completion\",\"value\":\"2027-02-28\",\"source\":\"s\"}", 0 },
		{ "{\"act\":\"fact\",\"name\":\"email\",\"value\":\"anything\",\"source\":\"s\"}", 0 },
		{ "{\"act\":\"determine\",\"outcome\":\"licence_held\",\"rationale\":\"x\",\"licence\":\"D1\",\"expires\":\"2020-01-01\"}", -EINVAL },
		{ "{\"act\":\"determine\",\"outcome\":\"refused\",\"rationale\":\"x\",\"next_review\":\"2026-11-22\"}", -EINVAL },
		{ "{\"act\":\"determine\",\"outcome\":\"licence_held\",\"rationale\":\"x\",\"licence\":\"D1\",\"expires\":\"2020-01-01\","
		  "\"open_items\":\"a new one is applied for\",\"next_review\":\"2026-11-23\"}", 0 },
	};
	struct desk *d = *state;

	take(d, "");
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		if (act(d, acts[i].act) != acts[i].r)
			fail_msg("%s: not %d", acts[i].act, acts[i].r);
}

/* Recorded before this was asked: it is read as it is. */
static void older_acts_are_read_with_their_dates(void **state)
{
	static const char old[] = "{\"v\":1,\"case\":\"case-001122334455\",\"n\":1,\"act\":\"event\",\"by\":\"alice\",\"uid\":1,"
				  "\"at\":\"2026-11-23T00:00:09Z\",\"kind\":\"exprot\",\"date\":\"2999-01-01\"}";
	json_t *o = json_loads(old, 0, NULL), *r;
	struct om_case *c = (struct om_case *)take(*state, "");

	assert_int_equal(om_case_apply(c, 1, o), 0);
	r = om_case_record(c, NULL);
	assert_int_equal(json_array_size(json_object_get(r, "irregular")), 0);
	json_decref(o);
	json_decref(r);
}

static void a_clock_runs_from_what_it_names(void **state)
{
	struct om_retention *r;
	struct om_retained k;
	struct desk *d = *state;
	const struct om_case *c = take(d, "");
	int32_t day, last;

	assert_int_equal(om_retention_load("data/retention.yaml", &r, NULL), 0);
	assert_true(om_retention_has(r, "export"));
	assert_true(om_retention_has(r, "veu-report"));
	assert_false(om_retention_has(r, "exprot"));
	assert_false(om_retention_has(r, ""));
	/* These the acts give, and no dated event. */
	assert_false(om_retention_has(r, "act"));
	assert_false(om_retention_has(r, "closed"));
	/* Work on a case is the site's own clock, and no law's. */
	om_case_retained(c, r, &k);
	assert_string_equal(k.clock, "site-policy");
	assert_int_equal(act(d, "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2026-11-24\"}"), 0);
	om_case_retained(c, r, &k);
	assert_string_equal(k.clock, "ear-762.6");
	om_retention_free(r);
	/* Past the last year of all no day comes earlier than the one it began from. */
	date_parse("2999-01-01", &day);
	date_parse("2999-12-31", &last);
	assert_int_equal(om_day_add_years(day, 5), last);
	date_parse("2994-12-31", &day);
	assert_int_equal(om_day_add_years(day, 5), last);
	date_parse("2996-02-29", &day);
	assert_int_equal(om_day_add_years(day, 100), last);
}

/* --- reports --- */

static json_t *row_of(json_t *report, const char *field)
{
	json_t *v, *ret = NULL;
	size_t i;

	json_array_foreach(json_object_get(report, "rows"), i, v) if (!strcmp(json_text(v, "field"), field)) ret = v;
	assert_non_null(ret);
	return ret;
}

static void check_7308(struct desk *d, const struct om_case *c, const char *value, const char *how)
{
	struct om_report_request q = { .to_day = DAY, .now_ns = DAY * DAY_NS };
	struct error_text err = { 0 };
	json_t *report, *row;

	assert_int_equal(om_report_7308(d->l, c, &q, &report, &err), 0);
	row = row_of(report, "ultimate_beneficial_owner");
	assert_string_equal(json_text(row, "value"), value);
	if (!strstr(json_text(row, "known"), how))
		fail_msg("'%s' is not in '%s'", how, json_text(row, "known"));
	json_decref(report);
}

#define STEP(name, seat) "{\"entity\":\"" name "\",\"name\":\"" name "\",\"headquarters\":\"" seat "\",\"source\":\"a register\",\"as_of\":\"2026-01-01\"}"

static void a_parent_is_no_beneficial_owner(void **state)
{
	const struct om_case *c = take(*state, ",\"ownership\":\"the ultimate parent is known\",\"path\":[" STEP("Cirrus", "DE") "," STEP("Cumulus", "CN") "]");

	check_7308(*state, c, "", "missing: ask the customer (case fact); ultimate parent as given: Cumulus (CN), by a register");
	assert_int_equal(act(*state, "{\"act\":\"fact\",\"name\":\"ultimate_beneficial_owner\",\"value\":\"Jo Doe\",\"source\":\"a letter\"}"), 0);
	check_7308(*state, c, "Jo Doe", "recorded in the case");
}

static void of_an_unknown_parent_the_customer_is_not_named(void **state)
{
	const struct om_case *c = take(*state, ",\"ownership\":\"the ultimate parent is not known\",\"path\":[" STEP("Cirrus", "DE") "]");

	check_7308(*state, c, "", "ultimate parent unknown: the ultimate parent is not known");
}

static void of_no_owner_at_all_that_is_told(void **state)
{
	check_7308(*state, take(*state, ""), "", "ultimate parent unknown: the finding tells nothing of owners");
}

/* As many pieces as no fixed cell would hold: each is told. */
static void readings_are_told_to_the_last(void **state)
{
	struct desk *d = *state;
	struct om_report_request q = { .to_day = DAY + 1000, .now_ns = DAY * DAY_NS };
	unsigned char hash[crypto_hash_sha256_BYTES];
	uint8_t reading[OM_READING_SIZE];
	const struct om_case *c;
	struct error_text err = { 0 };
	char text[2048], hex[2 * OM_READING_SIZE + 2] = "", data[600], sum[65];
	const char *at, *p;
	json_t *report, *row;
	int n = 0;
	FILE *f = fopen("tests/golden/reading_v1.hex", "re");

	assert_non_null(f);
	assert_non_null(fgets(hex, sizeof(hex), f));
	fclose(f);
	hex[strcspn(hex, "\n")] = 0;
	assert_int_equal(om_unhex(hex, reading, sizeof(reading)), 0);
	crypto_hash_sha256(hash, reading, sizeof(reading));
	om_hex(hash, sizeof(hash), sum);
	sodium_bin2base64(data, sizeof(data), reading, sizeof(reading), sodium_base64_VARIANT_ORIGINAL);
	tenant = "unknown"; /* nobody said whose the reading is */
	c = take(d, "");
	tenant = "cirrus";
	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text),
			 "{\"act\":\"evidence\",\"what\":\"readings\",\"name\":\"n%d\",\"data\":\"%s\",\"sha256\":\"%s\","
			 "\"source\":{\"ledger\":\"aabbccddeeff00112233445566778899\",\"index\":\"%d\",\"kind\":%d}}", i, data, sum, 1000 + i, OM_ENTRY_READINGS);
		assert_int_equal(act(d, text), 0);
	}
	assert_int_equal(om_report_case(d->l, c, NULL, &q, &report, &err), 0);
	assert_int_equal(json_array_size(json_object_get(report, "rows")), 1);
	row = json_array_get(json_object_get(report, "rows"), 0);
	assert_non_null(strstr(json_text(row, "coverage"), "incomplete")); /* the reading has losses */
	assert_non_null(strstr(json_text(report, "scope"), "gathered into this case"));
	at = json_text(row, "readings_at");
	for (p = at; (p = strstr(p, "aabbccddeeff:")); p++)
		n++;
	assert_int_equal(n, 300);
	assert_true(strlen(at) > 5 && !strcmp(at + strlen(at) - 5, ":1299"));
	json_decref(report);
}

int main(void)
{
#define RECORD_TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		RECORD_TEST(the_record_has_the_whole_finding),
		RECORD_TEST(what_is_recorded_has_happened),
		RECORD_TEST(older_acts_are_read_with_their_dates),
		RECORD_TEST(a_clock_runs_from_what_it_names),
		RECORD_TEST(a_parent_is_no_beneficial_owner),
		RECORD_TEST(of_an_unknown_parent_the_customer_is_not_named),
		RECORD_TEST(of_no_owner_at_all_that_is_told),
		RECORD_TEST(readings_are_told_to_the_last),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
