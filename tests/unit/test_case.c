// SPDX-License-Identifier: Apache-2.0
/* The rules of a case: who may do what when, what it comes to, how long it is kept, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium/core.h>

#include "userspace/base/yaml.h"
#include "userspace/core/assignment.h"
#include "userspace/core/case.h"
#include "userspace/core/case_store.h"
#include "userspace/core/ledger_evidence.h"

#define DAY_NS UINT64_C(86400000000000)
#define NOW (UINT64_C(20780) * DAY_NS) /* 2026-11-23 */

static const char finding[] =
	"{\"specversion\":\"1.0\",\"id\":\"00112233445566778899aabbccddeeff\",\"source\":\"/opmeter/n1\","
	"\"type\":\"opmeter.case.v1\",\"subject\":\"cirrus\",\"time\":\"2026-11-23T00:00:00Z\",\"data\":{"
	"\"regime\":\"r\",\"version\":\"1\",\"digest\":\"d\",\"mode\":\"enforce\",\"citation\":\"c\",\"sentence\":\"s\","
	"\"case\":\"case-001122334455\",\"tenant\":\"cirrus\",\"model\":\"lm\",\"ownership_version\":\"v\","
	"\"observed\":{\"low\":\"100000000000000000000000000\",\"high\":\"100000000000000000000000001\"},"
	"\"checklist\":[{\"duty\":\"ask\",\"done\":false},{\"duty\":\"inform\",\"done\":false}]}}";

struct desk {
	char dir[64];
	struct om_ledger *l;
	struct om_case_store *s;
	struct om_actor actor;
};

static void open_desk(struct desk *d)
{
	struct error_text err = { 0 };

	assert_int_equal(om_ledger_open(d->dir, OM_LEDGER_CREATE | OM_LEDGER_KEEP, NOW, &d->l, &err), 0);
	assert_int_equal(om_case_store_load(d->l, &d->s, &err), 0);
}

static void close_desk(struct desk *d)
{
	d->s = om_case_store_free(d->s);
	d->l = om_ledger_free(d->l);
}

static int set_up(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));
	char id[OM_CASE_ID_STRLEN];

	strcpy(d->dir, "/tmp/opmeter-case-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	open_desk(d);
	d->actor = (struct om_actor){ .by = "opmeter", .uid = 1, .now_ns = NOW };
	assert_int_equal(om_case_take(d->s, finding, strlen(finding), &d->actor, id, NULL), 0);
	assert_string_equal(id, "case-001122334455");
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	struct desk *d = *state;
	char command[128];

	close_desk(d);
	snprintf(command, sizeof(command), "rm -rf %s", d->dir);
	assert_int_equal(system(command), 0);
	free(d);
	return 0;
}

static const struct om_case *the(struct desk *d)
{
	return om_case_store_find(d->s, "case-001122334455");
}

/* An act in short: {"act":..., fields}. */
static int act(struct desk *d, const char *by, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	struct error_text err = { 0 };
	int r;

	assert_non_null(o);
	d->actor.by = by;
	d->actor.now_ns += 1000000000;
	r = om_case_act(d->s, the(d), o, NULL, &d->actor, NULL, &err);
	assert_true(r >= 0 || err.text[0]);
	json_decref(o);
	return r;
}

#define DETERMINE "{\"act\":\"determine\",\"outcome\":\"below_floor\",\"rationale\":\"x\"}"
#define CONFIRM "{\"act\":\"confirm\",\"rationale\":\"y\"}"

static void to_second_review(struct desk *d)
{
	assert_int_equal(act(d, "alice", "{\"act\":\"note\",\"text\":\"t\"}"), 0);
	assert_int_equal(act(d, "alice", "{\"act\":\"assign\",\"sre\":\"carol,dan\"}"), 0);
	assert_int_equal(act(d, "alice", "{\"act\":\"checklist\",\"item\":1}"), 0);
	assert_int_equal(act(d, "alice", "{\"act\":\"checklist\",\"item\":2}"), 0);
	assert_int_equal(act(d, "alice", DETERMINE), 0);
}

static void to_closed(struct desk *d)
{
	to_second_review(d);
	assert_int_equal(act(d, "bob", CONFIRM), 0);
	assert_int_equal(om_case_state(the(d)), OM_CASE_CLOSED);
}

static void a_finding_opens_one_case_whoever_tells_it(void **state)
{
	struct desk *d = *state;
	char id[OM_CASE_ID_STRLEN], *other = strdup(finding), wrapped[4096];
	struct error_text err = { 0 };

	assert_int_equal(om_case_take(d->s, finding, strlen(finding), &d->actor, id, NULL), 1);
	snprintf(wrapped, sizeof(wrapped), "{\"topic\":\"opmeter.cases.v1\",\"key\":\"k\",\"event\":%s}\n", finding);
	assert_int_equal(om_case_take(d->s, wrapped, strlen(wrapped), &d->actor, id, NULL), 1);
	/* The fleet finds the same: other source, other id, other name of the case. */
	memcpy(strstr(other, "00112233445566778899"), "ff", 2);
	memcpy(strstr(other, "/n1"), "/f1", 3);
	memcpy(strstr(other, "case-0011"), "case-ffff", 9);
	assert_int_equal(om_case_take(d->s, other, strlen(other), &d->actor, id, NULL), 2);
	assert_string_equal(id, "case-001122334455");
	assert_int_equal(om_case_take(d->s, other, strlen(other), &d->actor, id, NULL), 1);
	assert_int_equal(om_case_store_count(d->s), 1);
	assert_ptr_equal(om_case_store_find(d->s, "case-ffff22334455"), the(d));
	/* Another finding that claims the same case. */
	memcpy(strstr(other, "\"v\""), "\"w\"", 3);
	memcpy(strstr(other, "case-ffff"), "case-0011", 9);
	memcpy(strstr(other, "ff112233445566778899"), "ee", 2);
	assert_int_equal(om_case_take(d->s, other, strlen(other), &d->actor, id, &err), -EBADMSG);
	free(other);
	close_desk(d);
	open_desk(d);
	assert_int_equal(om_case_store_count(d->s), 1);
	assert_int_equal(om_case_acts(the(d)), 2);
}

static void what_is_no_case_event_is_refused(void **state)
{
	static const char *const bad[] = { "", "[]", "{", "{\"type\":\"opmeter.case.v1\"}", "null", "1",
					   "{\"type\":\"opmeter.case.v1\",\"id\":\"00112233445566778899aabbccddeeff\",\"source\":\"s\",\"subject\":\"x\",\"time\":\"never\"}",
					   "{\"a\":1,\"a\":2}" };
	struct desk *d = *state;
	char id[OM_CASE_ID_STRLEN];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = om_case_take(d->s, bad[i], strlen(bad[i]), &d->actor, id, NULL);

		assert_true(r == -EBADMSG || r == 3);
	}
	for (size_t n = 0; n < strlen(finding); n++)
		assert_int_equal(om_case_take(d->s, finding, n, &d->actor, id, NULL), -EBADMSG);
	assert_int_equal(om_case_store_count(d->s), 1);
}

static void two_people_close_a_case(void **state)
{
	struct desk *d = *state;

	assert_int_equal(act(d, "alice", DETERMINE), -EINVAL); /* nobody has looked at it */
	to_second_review(d);
	assert_int_equal(act(d, "alice", CONFIRM), -EPERM);
	assert_int_equal(act(d, "ALICE", CONFIRM), -EPERM);
	assert_int_equal(act(d, "carol", CONFIRM), -EPERM); /* runs the account's machines */
	assert_int_equal(act(d, "Dan", CONFIRM), -EPERM);
	assert_int_equal(act(d, "b ob", CONFIRM), -EINVAL);
	assert_int_equal(act(d, "bob", "{\"act\":\"confirm\"}"), -EINVAL);
	assert_int_equal(om_case_state(the(d)), OM_CASE_SECOND_REVIEW);
	assert_int_equal(act(d, "bob", CONFIRM), 0);
	assert_int_equal(om_case_state(the(d)), OM_CASE_CLOSED);
	assert_int_equal(act(d, "eve", CONFIRM), -EINVAL);
}

static void nobody_confirms_before_the_sre_is_named(void **state)
{
	struct desk *d = *state;

	act(d, "alice", "{\"act\":\"checklist\",\"item\":1}");
	act(d, "alice", "{\"act\":\"checklist\",\"item\":2}");
	assert_int_equal(act(d, "alice", DETERMINE), 0);
	assert_int_equal(act(d, "bob", CONFIRM), -EINVAL);
}

static void open_duties_are_done_or_explained(void **state)
{
	struct desk *d = *state;

	act(d, "alice", "{\"act\":\"note\",\"text\":\"t\"}");
	assert_int_equal(act(d, "alice", DETERMINE), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"checklist\",\"item\":3}"), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"checklist\",\"item\":0}"), -EINVAL);
	act(d, "alice", "{\"act\":\"checklist\",\"item\":1}");
	act(d, "alice", "{\"act\":\"checklist\",\"item\":2}");
	assert_int_equal(act(d, "alice", "{\"act\":\"answer\",\"text\":\"x\"}"), -EINVAL); /* nothing was asked */
	assert_int_equal(act(d, "alice", "{\"act\":\"inquiry\",\"question\":\"q\",\"to\":\"c\"}"), 0);
	assert_int_equal(om_case_state(the(d)), OM_CASE_INQUIRY_SENT);
	assert_int_equal(act(d, "alice", DETERMINE), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"answer\",\"text\":\"no\"}"), 0);
	assert_int_equal(om_case_state(the(d)), OM_CASE_UNDER_REVIEW);
	assert_int_equal(act(d, "alice", "{\"act\":\"checklist\",\"item\":2,\"done\":false}"), 0);
	assert_int_equal(act(d, "alice", DETERMINE), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"determine\",\"outcome\":\"refused\",\"rationale\":\"x\",\"open_items\":\"why\"}"), 0);
}

static void outcomes_need_their_papers(void **state)
{
	struct desk *d = *state;

	act(d, "alice", "{\"act\":\"checklist\",\"item\":1}");
	act(d, "alice", "{\"act\":\"checklist\",\"item\":2}");
	assert_int_equal(act(d, "alice", "{\"act\":\"determine\",\"outcome\":\"fine\",\"rationale\":\"x\"}"), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"determine\",\"outcome\":\"licence_held\",\"rationale\":\"x\"}"), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"determine\",\"outcome\":\"licence_held\",\"rationale\":\"x\",\"licence\":\"D1\",\"expires\":\"2026-02-30\"}"), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"determine\",\"outcome\":\"exception_aia\",\"rationale\":\"x\"}"), -EINVAL);
	assert_int_equal(act(d, "alice", "{\"act\":\"determine\",\"outcome\":\"licence_held\",\"rationale\":\"x\",\"licence\":\"D1\",\"expires\":\"2027-02-28\"}"), 0);
}

static void a_second_person_may_disagree_and_a_case_is_opened_again(void **state)
{
	struct desk *d = *state;

	to_second_review(d);
	assert_int_equal(act(d, "alice", "{\"act\":\"disagree\",\"rationale\":\"z\"}"), -EPERM);
	assert_int_equal(act(d, "bob", "{\"act\":\"disagree\",\"rationale\":\"z\"}"), 0);
	assert_int_equal(om_case_state(the(d)), OM_CASE_UNDER_REVIEW);
	assert_int_equal(act(d, "bob", DETERMINE), 0);
	assert_int_equal(act(d, "bob", CONFIRM), -EPERM);
	assert_int_equal(act(d, "alice", CONFIRM), 0);
	assert_int_equal(act(d, "eve", DETERMINE), -EINVAL);
	assert_int_equal(act(d, "eve", "{\"act\":\"reopen\",\"reason\":\"new facts\"}"), 0);
	assert_int_equal(om_case_state(the(d)), OM_CASE_REOPENED);
	assert_int_equal(act(d, "eve", DETERMINE), 0);
	assert_int_equal(act(d, "eve", CONFIRM), -EPERM);
	assert_int_equal(act(d, "bob", CONFIRM), 0);
	assert_int_equal(act(d, "eve", "{\"act\":\"escalate\",\"reason\":\"r\"}"), -EINVAL);
}

static void a_case_survives_its_process(void **state)
{
	struct desk *d = *state;
	struct om_verify_report report;
	json_t *before, *after;

	to_closed(d);
	before = om_case_record(the(d), NULL);
	close_desk(d);
	open_desk(d);
	after = om_case_record(the(d), NULL);
	assert_true(json_equal(before, after));
	assert_int_equal(json_array_size(json_object_get(after, "irregular")), 0);
	assert_int_equal(om_ledger_verify(d->l, &report, NULL), 0);
	json_decref(before);
	json_decref(after);
}

/* Written past the rules, by whoever can write the file. */
static void what_breaks_the_rules_is_seen_in_the_log(void **state)
{
	static const char forged[] =
		"{\"v\":1,\"case\":\"case-001122334455\",\"n\":6,\"act\":\"confirm\",\"by\":\"alice\",\"uid\":1,"
		"\"at\":\"2026-11-23T00:00:09Z\",\"rationale\":\"me too\"}";
	struct desk *d = *state;
	json_t *record;

	to_second_review(d);
	assert_int_equal(om_case_acts(the(d)), 6);
	assert_int_equal(om_ledger_append(d->l, OM_ENTRY_ACT, NULL, forged, strlen(forged), NOW, NULL), 0);
	close_desk(d);
	open_desk(d);
	assert_int_equal(om_case_state(the(d)), OM_CASE_SECOND_REVIEW);
	record = om_case_record(the(d), NULL);
	assert_int_equal(json_array_size(json_object_get(record, "irregular")), 1);
	json_decref(record);
}

/* --- keeping and erasing --- */

static struct om_retention *clocks(const char *text)
{
	struct om_retention *r = NULL;
	struct error_text err = { 0 };

	assert_int_equal(om_retention_parse("clocks", text, strlen(text), &r, &err), 0);
	return r;
}

#define CLOCK(id, years, from) "  - {id: " id ", citation: c, evidence: e, years: " years ", from: [" from "]}\n"

static void it_is_kept_until_the_latest_clock(void **state)
{
	struct om_retention *r = clocks("clocks:\n" CLOCK("five", "5", "act, export") CLOCK("two", "2", "account-closed"));
	struct desk *d = *state;
	struct om_retained k;
	int32_t day;

	to_closed(d);
	om_case_retained(the(d), r, &k);
	date_parse("2031-11-23", &day);
	assert_int_equal(k.day, day);
	assert_string_equal(k.event, "act");
	act(d, "alice", "{\"act\":\"event\",\"kind\":\"account-closed\",\"date\":\"2030-01-01\"}");
	om_case_retained(the(d), r, &k);
	date_parse("2032-01-01", &day);
	assert_int_equal(k.day, day);
	assert_string_equal(k.clock, "two");
	act(d, "alice", "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2028-02-29\"}");
	om_case_retained(the(d), r, &k);
	date_parse("2033-03-01", &day);
	assert_int_equal(k.day, day);
	assert_string_equal(k.event, "export");
	/* An older event moves nothing back. */
	act(d, "alice", "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2020-01-01\"}");
	om_case_retained(the(d), r, &k);
	assert_int_equal(k.day, day);
	assert_false(k.is_open);
	om_retention_free(r);
}

static void clocks_are_read_strictly(void **state)
{
	static const char *const bad[] = {
		"", "clocks: 1", "clocks:\n  - {id: a}", "clocks:\n" CLOCK("a", "-1", "act"), "clocks:\n" CLOCK("a", "101", "act"),
		"clocks:\n" CLOCK("a", "1x", "act"), "clocks:\n" CLOCK("a", "1", ""),
		"clocks:\n  - {id: a, citation: c, evidence: e, years: 1, from: [act], more: 1}", "other: 1\nclocks: []",
	};
	struct om_retention *r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error_text err = { 0 };

		assert_true(om_retention_parse("clocks", bad[i], strlen(bad[i]), &r, &err) < 0);
		assert_true(err.text[0]);
	}
	assert_int_equal(om_retention_load("data/retention.yaml", &r, NULL), 0);
	om_retention_free(r);
}

static uint64_t destroyed(struct desk *d)
{
	struct om_verify_report report;
	struct error_text err = { 0 };

	assert_int_equal(om_ledger_verify(d->l, &report, &err), 0);
	return report.destroyed;
}

#define ASK "{\"act\":\"erase-request\",\"reason\":\"its time is over\"}"

static void two_people_erase_and_the_proofs_stay(void **state)
{
	struct om_retention *r = clocks("clocks:\n" CLOCK("five", "5", "act"));
	struct om_tree_head before, after;
	struct desk *d = *state;
	struct error_text err = { 0 };
	uint64_t entry;

	to_closed(d);
	d->actor.by = "bob";
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), -EINVAL); /* nobody asked */
	assert_int_equal(act(d, "alice", ASK), 0);
	d->actor.by = "bob";
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), -EINVAL); /* too early */
	d->actor.now_ns += 5 * 365 * DAY_NS;
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), -EINVAL); /* by a leap day */
	d->actor.now_ns += 3 * DAY_NS;
	d->actor.by = "Alice";
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), -EPERM);
	assert_int_equal(act(d, "carol", "{\"act\":\"hold\",\"reason\":\"an agency asked\"}"), 0);
	d->actor.by = "bob";
	d->actor.now_ns += 6 * 365 * DAY_NS;
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), -EINVAL); /* a hold wins */
	assert_int_equal(destroyed(d), 0);
	assert_int_equal(act(d, "carol", "{\"act\":\"release\",\"reason\":\"x\"}"), -EINVAL);
	assert_int_equal(act(d, "carol", "{\"act\":\"release\",\"reason\":\"x\",\"authorization\":\"letter\"}"), 0);
	d->actor.by = "bob";
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), -EINVAL); /* the release is an act */
	d->actor.now_ns += 6 * 365 * DAY_NS;
	om_ledger_head(d->l, &before);
	assert_int_equal(om_case_erase(d->s, the(d), r, "x", &d->actor, &entry, &err), 0);
	om_ledger_head(d->l, &after);
	assert_true(after.size == before.size + 1);
	assert_true(destroyed(d) == before.size);
	assert_int_equal(om_case_state(the(d)), OM_CASE_ERASED);
	close_desk(d);
	open_desk(d);
	assert_int_equal(om_case_state(the(d)), OM_CASE_ERASED);
	/* Told again, it stays erased. */
	{
		char id[OM_CASE_ID_STRLEN];

		assert_int_equal(om_case_take(d->s, finding, strlen(finding), &d->actor, id, NULL), 1);
	}
	assert_int_equal(act(d, "eve", "{\"act\":\"note\",\"text\":\"x\"}"), -EINVAL);
	om_retention_free(r);
}

static void only_what_an_act_names_is_destroyed(void **state)
{
	static const uint64_t one[] = { 0 }, none[] = { 99 };
	struct desk *d = *state;
	uint64_t entry;

	assert_int_equal(om_ledger_destroy(d->l, "{\"act\":\"note\",\"entries\":[0]}", one, 1, NOW, &entry), -EINVAL);
	assert_int_equal(om_ledger_destroy(d->l, "{\"act\":\"erase\",\"entries\":[1]}", one, 1, NOW, &entry), -EINVAL);
	assert_int_equal(om_ledger_destroy(d->l, "{\"act\":\"erase\",\"entries\":[0,1]}", one, 1, NOW, &entry), -EINVAL);
	assert_int_equal(om_ledger_destroy(d->l, "{\"act\":\"erase\",\"entries\":[99]}", none, 1, NOW, &entry), -EINVAL);
	assert_int_equal(destroyed(d), 0);
	assert_int_equal(om_ledger_destroy(d->l, "{\"act\":\"erase\",\"entries\":[0]}", one, 1, NOW, &entry), 0);
	assert_int_equal(destroyed(d), 1);
	assert_int_equal(om_ledger_destroy(d->l, "{\"act\":\"erase\",\"entries\":[0]}", one, 1, NOW, &entry), -EINVAL);
}

struct first {
	char **text;
	size_t *len;
};

static int first_payload(void *ctx, const struct om_entry *e)
{
	struct first *f = ctx;

	*f->text = malloc(e->len);
	memcpy(*f->text, e->payload, e->len);
	*f->len = e->len;
	return 1;
}

/* Another program made it, from docs/formats.md alone. */
static void a_taken_finding_is_its_golden_act(void **state)
{
	json_t *want = json_load_file("tests/golden/case_act_v1.json", 0, NULL), *got = NULL;
	struct desk *d = *state, other = { 0 };
	char id[OM_CASE_ID_STRLEN], *event, *act = NULL;
	size_t len = 0;

	assert_non_null(want);
	snprintf(other.dir, sizeof(other.dir), "%.60s/g", d->dir);
	open_desk(&other);
	om_time_parse("2026-11-23T18:00:01Z", &other.actor.now_ns);
	other.actor.by = "opmeter";
	event = json_dumps(json_object_get(want, "event"), JSON_COMPACT);
	assert_int_equal(om_case_take(other.s, event, strlen(event), &other.actor, id, NULL), 0);
	assert_int_equal(om_ledger_each_entry(other.l, 0, first_payload, &(struct first){ &act, &len }), 1);
	got = json_loadb(act, len, 0, NULL);
	assert_true(json_equal(want, got));
	json_decref(want);
	json_decref(got);
	free(event);
	free(act);
	close_desk(&other);
}

int main(void)
{
#define CASE_TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		CASE_TEST(a_finding_opens_one_case_whoever_tells_it),
		CASE_TEST(what_is_no_case_event_is_refused),
		CASE_TEST(two_people_close_a_case),
		CASE_TEST(nobody_confirms_before_the_sre_is_named),
		CASE_TEST(open_duties_are_done_or_explained),
		CASE_TEST(outcomes_need_their_papers),
		CASE_TEST(a_second_person_may_disagree_and_a_case_is_opened_again),
		CASE_TEST(a_case_survives_its_process),
		CASE_TEST(what_breaks_the_rules_is_seen_in_the_log),
		CASE_TEST(it_is_kept_until_the_latest_clock),
		cmocka_unit_test(clocks_are_read_strictly),
		CASE_TEST(two_people_erase_and_the_proofs_stay),
		CASE_TEST(a_taken_finding_is_its_golden_act),
		CASE_TEST(only_what_an_act_names_is_destroyed),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
