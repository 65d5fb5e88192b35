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

/* The finding of set_up() as another tells it. */
static int told(struct desk *d, const char *id, const char *version, const char *name, const char *cause,
		char ret_id[OM_CASE_ID_STRLEN])
{
	json_t *o = json_loads(finding, 0, NULL), *data = json_object_get(o, "data");
	struct error_text err = { 0 };
	char *text;
	int r;

	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(data, "version", json_string(version));
	json_object_set_new(data, "case", json_string(name));
	if (cause)
		json_object_set_new(data, "cause", json_string(cause));
	text = json_dumps(o, JSON_COMPACT);
	r = om_case_take(d->s, text, strlen(text), &d->actor, ret_id, &err);
	assert_true(r >= 0 || err.text[0]);
	free(text);
	json_decref(o);
	return r;
}

#define EVENT(c) c "0112233445566778899aabbccddeeff"

static void another_cause_is_another_finding(void **state)
{
	struct desk *d = *state;
	char id[OM_CASE_ID_STRLEN];

	assert_int_equal(told(d, EVENT("a"), "1", "case-aaaaaaaaaaaa", "telemetry-gap", id), 0);
	assert_int_equal(told(d, EVENT("b"), "1", "case-bbbbbbbbbbbb", "telemetry-gap", id), 2);
	assert_string_equal(id, "case-aaaaaaaaaaaa");
	assert_int_equal(told(d, EVENT("c"), "1", "case-cccccccccccc", "exceeded", id), 0);
	assert_string_equal(id, "case-cccccccccccc");
	/* None at all is the one of set_up(). */
	assert_int_equal(told(d, EVENT("d"), "1", "case-dddddddddddd", NULL, id), 2);
	assert_string_equal(id, "case-001122334455");
	assert_int_equal(told(d, EVENT("e"), "1", "case-eeeeeeeeeeee", "", id), 2);
	close_desk(d);
	open_desk(d);
	assert_int_equal(om_case_store_count(d->s), 3);
	assert_int_equal(told(d, EVENT("c"), "1", "case-cccccccccccc", "exceeded", id), 1);
}

/* Puts acts as they are. */
static void put_act(struct desk *d, const json_t *act, const char *unique)
{
	char *text = json_dumps(act, JSON_COMPACT);

	assert_int_equal(om_ledger_append(d->l, OM_ENTRY_CASE, unique, text, strlen(text), NOW, NULL), 0);
	free(text);
}

static int retold(struct desk *d, const json_t *event, const char *id, const char *name, const char *cause, char ret[OM_CASE_ID_STRLEN])
{
	json_t *o = json_deep_copy(event), *data = json_object_get(o, "data");
	struct error_text err = { 0 };
	char *text;
	int r;

	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(data, "case", json_string(name));
	json_object_set_new(data, "cause", json_string(cause));
	text = json_dumps(o, JSON_COMPACT);
	r = om_case_take(d->s, text, strlen(text), &d->actor, ret, &err);
	free(text);
	json_decref(o);
	return r;
}

/* Of the time when a finding was told without its cause: a case keeps its own and loses what it swallowed. */
static void findings_of_version_1_are_read(void **state)
{
	json_t *act = json_load_file("tests/golden/case_act_v1.json", 0, NULL), *event, *swallowed;
	struct desk *d = *state, other = { .actor = d->actor };
	char id[OM_CASE_ID_STRLEN];

	assert_non_null(act);
	event = json_object_get(act, "event");
	json_object_set_new(json_object_get(event, "data"), "cause", json_string("telemetry-gap"));
	swallowed = json_deep_copy(act);
	json_object_set_new(swallowed, "n", json_integer(1));
	json_object_set_new(json_object_get(swallowed, "event"), "id", json_string(EVENT("a")));
	json_object_set_new(json_object_get(json_object_get(swallowed, "event"), "data"), "case", json_string("case-aaaaaaaaaaaa"));
	snprintf(other.dir, sizeof(other.dir), "%.60s/o", d->dir);
	open_desk(&other);
	put_act(&other, act, "case-event-00112233445566778899aabbccddeeff");
	put_act(&other, swallowed, "case-event-" EVENT("a"));
	close_desk(&other);
	open_desk(&other);
	assert_int_equal(om_case_store_count(other.s), 1);
	assert_int_equal(retold(&other, event, "00112233445566778899aabbccddeeff", "case-001122334455", "telemetry-gap", id), 1);
	assert_int_equal(retold(&other, event, EVENT("b"), "case-bbbbbbbbbbbb", "telemetry-gap", id), 2);
	assert_string_equal(id, "case-001122334455");
	assert_int_equal(retold(&other, event, EVENT("a"), "case-aaaaaaaaaaaa", "exceeded", id), 0);
	assert_string_equal(id, "case-aaaaaaaaaaaa");
	assert_string_equal(om_case_id(om_case_store_find(other.s, id)), id);
	close_desk(&other);
	open_desk(&other);
	assert_int_equal(om_case_store_count(other.s), 2);
	for (size_t i = 0; i < 2; i++) {
		json_t *r = om_case_record(om_case_store_at(other.s, i), NULL);

		assert_int_equal(json_array_size(json_object_get(r, "irregular")), 0);
		json_decref(r);
	}
	close_desk(&other);
	json_decref(swallowed);
	json_decref(act);
}

static void an_id_is_found_before_what_others_call_theirs(void **state)
{
	struct desk *d = *state;
	char id[OM_CASE_ID_STRLEN];

	assert_int_equal(told(d, EVENT("a"), "1", "case-aaaaaaaaaaaa", NULL, id), 2);
	assert_ptr_equal(om_case_store_find(d->s, "case-aaaaaaaaaaaa"), the(d));
	/* Another case has just that id. */
	assert_int_equal(told(d, EVENT("b"), "2", "case-aaaaaaaaaaaa", NULL, id), 0);
	assert_string_equal(om_case_id(om_case_store_find(d->s, "case-aaaaaaaaaaaa")), "case-aaaaaaaaaaaa");
	/* A name of two cases is none. */
	assert_int_equal(told(d, EVENT("c"), "1", "case-cccccccccccc", NULL, id), 2);
	assert_non_null(om_case_store_find(d->s, "case-cccccccccccc"));
	assert_int_equal(told(d, EVENT("d"), "2", "case-cccccccccccc", NULL, id), 2);
	assert_null(om_case_store_find(d->s, "case-cccccccccccc"));
	/* What is known may not be told under another case's id. */
	assert_int_equal(told(d, EVENT("e"), "2", "case-001122334455", NULL, id), -EBADMSG);
	assert_int_equal(told(d, EVENT("f"), "1", "case-aaaaaaaaaaaa", NULL, id), -EBADMSG);
	assert_int_equal(om_case_store_count(d->s), 2);
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

static void the_sre_are_names_without_blanks(void **state)
{
	static const char *const bad[] = { "carol, dan", " carol", "carol ", "carol,", ",carol", "carol,,dan", ",", " ", "carol;dan" };
	struct desk *d = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *o = json_pack("{s:s,s:s}", "act", "assign", "sre", bad[i]);
		struct error_text err = { 0 };

		assert_int_equal(om_case_act(d->s, the(d), o, NULL, &d->actor, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.text, "is no person's name"));
		json_decref(o);
	}
	assert_int_equal(om_case_acts(the(d)), 1);
	assert_int_equal(act(d, "alice", "{\"act\":\"assign\",\"sre\":\"carol\"}"), 0);
}

static void who_was_named_once_never_confirms(void **state)
{
	struct desk *d = *state;

	to_second_review(d);
	assert_int_equal(act(d, "dan", "{\"act\":\"assign\",\"sre\":\"mallory\"}"), 0);
	assert_int_equal(act(d, "carol", CONFIRM), -EPERM);
	assert_int_equal(act(d, "Dan", CONFIRM), -EPERM);
	assert_int_equal(act(d, "mallory", CONFIRM), -EPERM);
	close_desk(d);
	open_desk(d);
	assert_int_equal(act(d, "dan", "{\"act\":\"disagree\",\"rationale\":\"z\"}"), -EPERM);
	assert_int_equal(act(d, "bob", CONFIRM), 0);
	/* Nor when it is opened again. */
	assert_int_equal(act(d, "bob", "{\"act\":\"reopen\",\"reason\":\"r\"}"), 0);
	assert_int_equal(act(d, "bob", DETERMINE), 0);
	assert_int_equal(act(d, "carol", CONFIRM), -EPERM);
}

/* Recorded when blanks were not refused yet: it is read, and bars whom it names. */
static void blanks_in_older_acts_free_nobody(void **state)
{
	static const char old[] = "{\"v\":1,\"case\":\"case-001122334455\",\"n\":6,\"act\":\"assign\",\"by\":\"alice\",\"uid\":1,"
				  "\"at\":\"2026-11-23T00:00:09Z\",\"sre\":\"carol, bob\\t,  , eve \"}";
	struct desk *d = *state;
	json_t *record;

	to_second_review(d);
	assert_int_equal(om_ledger_append(d->l, OM_ENTRY_ACT, NULL, old, strlen(old), NOW, NULL), 0);
	close_desk(d);
	open_desk(d);
	record = om_case_record(the(d), NULL);
	assert_int_equal(json_array_size(json_object_get(record, "irregular")), 0);
	json_decref(record);
	assert_int_equal(act(d, "bob", CONFIRM), -EPERM);
	assert_int_equal(act(d, "eve", CONFIRM), -EPERM);
	assert_int_equal(act(d, "frank", CONFIRM), 0);
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
	struct om_retention *r = clocks("clocks:\n" CLOCK("five", "5", "act") CLOCK("twenty", "20", "account-closed") CLOCK("long", "33", "export"));
	struct desk *d = *state;
	struct om_retained k;
	int32_t day;

	to_closed(d);
	om_case_retained(the(d), r, &k);
	date_parse("2031-11-23", &day);
	assert_int_equal(k.day, day);
	assert_string_equal(k.event, "act");
	act(d, "alice", "{\"act\":\"event\",\"kind\":\"account-closed\",\"date\":\"2020-01-01\"}");
	om_case_retained(the(d), r, &k);
	date_parse("2040-01-01", &day);
	assert_int_equal(k.day, day);
	assert_string_equal(k.clock, "twenty");
	act(d, "alice", "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2008-02-29\"}");
	om_case_retained(the(d), r, &k);
	date_parse("2041-03-01", &day);
	assert_int_equal(k.day, day);
	assert_string_equal(k.event, "export");
	/* An older event moves nothing back. */
	act(d, "alice", "{\"act\":\"event\",\"kind\":\"export\",\"date\":\"2001-01-01\"}");
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
	json_t *want = json_load_file("tests/golden/case_act_finding_v2.json", 0, NULL), *got = NULL;
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
		CASE_TEST(another_cause_is_another_finding),
		CASE_TEST(findings_of_version_1_are_read),
		CASE_TEST(an_id_is_found_before_what_others_call_theirs),
		CASE_TEST(what_is_no_case_event_is_refused),
		CASE_TEST(two_people_close_a_case),
		CASE_TEST(nobody_confirms_before_the_sre_is_named),
		CASE_TEST(the_sre_are_names_without_blanks),
		CASE_TEST(who_was_named_once_never_confirms),
		CASE_TEST(blanks_in_older_acts_free_nobody),
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
