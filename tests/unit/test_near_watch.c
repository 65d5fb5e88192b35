// SPDX-License-Identifier: Apache-2.0
/* Whom the judge calls near a level, and what it writes of that: once, again while it holds, and taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "exporters/topic.h"
#include "userspace/core/near.h"
#include "userspace/core/total_record.h"
#include "userspace/fleet/fleet_internal.h"

#define SECOND 1000000000ULL
#define T0 (20780ULL * 86400 * SECOND)
#define NEAR ((opcount)4950000000000000)  /* of the demonstration's 5e15 */
#define BELOW ((opcount)2000000000000000) /* three of them are over, two are not near */

struct world {
	struct near_watch *watch;
	struct view *view;
	struct regimes *regimes;
	struct owners *owners;
	unsigned round, subjects;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error_text err = { 0 };

	w->watch = near_watch_new("f");
	w->view = view_new("f", 1);
	*state = w;
	return regimes_load("tests/demo/regimes", &w->regimes, &err);
}

static int teardown(void **state)
{
	struct world *w = *state;

	near_watch_free(w->watch);
	view_free(w->view);
	regimes_free(w->regimes);
	owners_free(w->owners);
	free(w);
	return 0;
}

static void put(struct world *w, enum om_group group, const char *name, const char *model, opcount high)
{
	struct om_subject_total s = { .group = group, .tenant = group == OM_GROUP_MODEL ? name : "", .model = model,
				      .lineage = group == OM_GROUP_LINEAGE ? name : "", .registers = 1, .training_high = high,
				      .training_ceiling = high, .is_bounded = true };
	struct epoch e = { 1, 1 };
	char key[OM_TOTAL_KEY_MAX], head[200];
	_cleanup_free_ char *text = om_total_encode(&s, 0);
	struct view_record m = { .key = key, .value = text, .value_len = strlen(text), .epoch = e };

	assert_int_equal(om_total_key("f", 0, &s, key), 0);
	m.key_len = strlen(key);
	assert_int_equal(view_take(w->view, &m), 0);
	m = (struct view_record){ .key = "f/0", .key_len = 3, .value = head, .epoch = e };
	m.value_len = (size_t)snprintf(head, sizeof(head),
				       "{\"v\":2,\"group\":\"head\",\"round\":\"%u\",\"subjects\":\"%u\",\"refused\":{},"
				       "\"as_of\":\"2026-11-29T00:00:00Z\"}",
				       ++w->round, w->subjects);
	assert_int_equal(view_take(w->view, &m), 0);
}

/* What is owed at a time; *ret_nulls: of which are tombstones. */
static size_t owed(struct world *w, uint64_t now_ns, struct saying **ret, size_t *ret_nulls)
{
	struct policy p = { .regimes = w->regimes, .owners = w->owners, .now_ns = now_ns };
	size_t n = 0;

	assert_int_equal(near_watch_look(w->watch, w->view, &p), 0);
	assert_int_equal(near_watch_owed(w->watch, ret, &n), 0);
	*ret_nulls = 0;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal((*ret)[i].topic, OM_TOPIC_NEAR);
		*ret_nulls += !(*ret)[i].text;
	}
	return n;
}

/* Hints and tombstones, written. */
static void expect(struct world *w, uint64_t now_ns, size_t hints, size_t nulls)
{
	struct saying *s;
	size_t is_null, n = owed(w, now_ns, &s, &is_null);

	near_watch_said(w->watch, true);
	assert_int_equal(n - is_null, hints);
	assert_int_equal(is_null, nulls);
}

static void take(struct near_watch *watch, const char *key, const char *value)
{
	rd_kafka_message_t m = { .key = (char *)key, .key_len = strlen(key), .payload = (char *)value,
				 .len = value ? strlen(value) : 0 };

	assert_int_equal(near_watch_take(watch, &m), 0);
}

static void a_hint_is_written_once_and_again_while_it_holds(void **state)
{
	struct world *w = *state;
	struct om_near_hint h;
	struct om_id id;
	struct saying *s;
	size_t nulls;
	char key[OM_NEAR_KEY_MAX];

	w->subjects = 1;
	put(w, OM_GROUP_MODEL, "acme", "lm", BELOW);
	expect(w, T0, 0, 0);
	put(w, OM_GROUP_MODEL, "acme", "lm", NEAR);
	assert_int_equal(owed(w, T0 + 2 * SECOND, &s, &nulls), 1);
	om_near_id_of(OM_NEAR_MODEL, "acme", "lm", &id);
	assert_string_equal(s->key, om_near_key("f", &id, key));
	assert_int_equal(om_near_hint_decode(s->text, strlen(s->text), &h), 0);
	assert_true(h.since_ns == T0 + 2 * SECOND && h.until_ns == h.since_ns + OM_NEAR_HOLDS_NS);
	near_watch_said(w->watch, false); /* the broker was away */
	expect(w, T0 + 2 * SECOND, 0, 0); /* at most once a second */
	expect(w, T0 + 4 * SECOND, 1, 0);
	expect(w, T0 + 6 * SECOND, 0, 0);
	assert_int_equal(owed(w, T0 + 4 * SECOND + OM_NEAR_HOLDS_NS / 2 + SECOND, &s, &nulls), 1);
	assert_int_equal(om_near_hint_decode(s->text, strlen(s->text), &h), 0);
	assert_true(h.since_ns == T0 + 4 * SECOND);
	near_watch_said(w->watch, true);
}

/* What crosses back within half a minute was never gone. */
static void it_is_taken_back_when_it_stays_away(void **state)
{
	struct world *w = *state;

	w->subjects = 1;
	put(w, OM_GROUP_MODEL, "acme", "lm", NEAR);
	expect(w, T0, 1, 0);
	put(w, OM_GROUP_MODEL, "acme", "lm", NEAR + NEAR / 50);
	expect(w, T0 + 20 * SECOND, 0, 0);
	put(w, OM_GROUP_MODEL, "acme", "lm", NEAR);
	expect(w, T0 + 25 * SECOND, 0, 0);
	put(w, OM_GROUP_MODEL, "acme", "lm", NEAR + NEAR / 50);
	expect(w, T0 + 50 * SECOND, 0, 0);
	expect(w, T0 + 56 * SECOND, 0, 1);
	expect(w, T0 + 58 * SECOND, 0, 0);
}

static void the_next_judge_goes_on_with_what_stands_there(void **state)
{
	struct world *w = *state;
	struct om_id acme, gone;
	char known[OM_NEAR_KEY_MAX], forged[OM_NEAR_KEY_MAX], others[OM_NEAR_KEY_MAX];
	_cleanup_free_ char *text = om_near_hint_encode(&(struct om_near_hint){ T0, T0 + OM_NEAR_HOLDS_NS });

	om_near_id_of(OM_NEAR_MODEL, "acme", "lm", &acme);
	om_near_id_of(OM_NEAR_TENANT, "gone", "", &gone);
	om_near_key("f", &acme, known);
	om_near_key("f", &gone, forged);
	om_near_key("g", &gone, others);
	w->subjects = 1;
	put(w, OM_GROUP_MODEL, "acme", "lm", NEAR);
	take(w->watch, known, text);
	take(w->watch, forged, text);
	take(w->watch, others, text);		  /* another fleet's */
	take(w->watch, "f/0123", "x");		  /* no key of a hint */
	expect(w, T0 + SECOND, 0, 0);		  /* both are there */
	expect(w, T0 + 40 * SECOND, 0, 1);	  /* nobody is near for whom one stands */
	take(w->watch, forged, text);		  /* and again, while we judge */
	expect(w, T0 + 50 * SECOND, 0, 1);
	take(w->watch, forged, "{\"v\":9}");
	expect(w, T0 + 60 * SECOND, 0, 1);
	take(w->watch, forged, NULL);
	take(w->watch, known, NULL); /* taken away from us */
	expect(w, T0 + 70 * SECOND, 1, 0);
	take(w->watch, known, "noise");
	expect(w, T0 + 80 * SECOND, 1, 0);
}

static void lineages_and_families_are_near_as_such(void **state)
{
	static const char yaml[] = "entities:\n"
				   "  - {id: p, name: P, headquarters: SE, source: s, as-of: 2026-01-01, no-parent: true}\n"
				   "  - {id: q, name: Q, headquarters: SE, source: s, as-of: 2026-01-01, no-parent: true}\n"
				   "tenants:\n"
				   "  - {tenant: a1, entity: p}\n"
				   "  - {tenant: a2, entity: p}\n"
				   "  - {tenant: b, entity: q}\n";
	struct world *w = *state;
	struct error_text err = { 0 };
	char path[] = "/tmp/opmeter-near-XXXXXX", key[OM_NEAR_KEY_MAX];
	struct saying *s;
	struct om_id id;
	size_t nulls, n;
	unsigned found = 0;
	int fd = mkstemp(path);

	assert_int_equal(write(fd, yaml, sizeof(yaml) - 1), sizeof(yaml) - 1);
	close(fd);
	if (owners_load(path, &w->owners, &err))
		fail_msg("%s", err.text);
	unlink(path);
	w->subjects = 4;
	put(w, OM_GROUP_MODEL, "a1", "m", BELOW);
	put(w, OM_GROUP_MODEL, "a2", "m", NEAR - BELOW);
	put(w, OM_GROUP_MODEL, "b", "m", BELOW);
	put(w, OM_GROUP_LINEAGE, "l", "", NEAR);
	n = owed(w, T0, &s, &nulls);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		static const struct {
			enum om_near_kind kind;
			const char *name;
		} want[] = { { OM_NEAR_TENANT, "a1" }, { OM_NEAR_TENANT, "a2" }, { OM_NEAR_LINEAGE, "l" } };

		for (unsigned k = 0; k < 3; k++) {
			om_near_id_of(want[k].kind, want[k].name, "", &id);
			if (!strcmp(s[i].key, om_near_key("f", &id, key)))
				found |= 1u << k;
		}
	}
	assert_int_equal(found, 7);
	near_watch_said(w->watch, true);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_hint_is_written_once_and_again_while_it_holds),
		T(it_is_taken_back_when_it_stays_away),
		T(the_next_judge_goes_on_with_what_stands_there),
		T(lineages_and_families_are_near_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
