// SPDX-License-Identifier: Apache-2.0
/* Who stands above whom on which day, what listed parties hold, and that a version is its facts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/ownership_internal.h"
#include "userspace/core/screening.h"

#define DAY 20780 /* 2026-11-23 */

static struct owners *start(void)
{
	struct owners *o = owners_new();

	assert_non_null(o);
	o->is_screened = true;
	return o;
}

static size_t at(struct owners *o, const char *id)
{
	size_t ret;

	assert_int_equal(owners_entity(o, id, &ret), 0);
	return ret;
}

static void record(struct owners *o, const char *id, const char *seat, bool top, struct own_record more)
{
	more.name = id;
	more.headquarters = seat;
	more.top = top;
	more.source = more.source ?: "test";
	more.until = more.until ?: INT32_MAX;
	assert_int_equal(owners_add_record(o, at(o, id), &more), 0);
}

static void entity(struct owners *o, const char *id, const char *seat, bool top)
{
	record(o, id, seat, top, (struct own_record){ .since = 100 });
}

static void edge(struct owners *o, const char *child, enum owner_tie tie, const char *parent, struct own_edge more)
{
	more.tie = tie;
	more.parent = at(o, parent);
	more.source = more.source ?: "test";
	more.from = more.from ?: INT32_MIN;
	more.to = more.to ?: INT32_MAX;
	more.until = more.until ?: INT32_MAX;
	more.is_active = true;
	assert_int_equal(owners_add_edge(o, at(o, child), &more), 0);
}

static void holds(struct owners *o, const char *child, const char *parent, uint32_t ppb)
{
	edge(o, child, OWNER_TIE_HOLDS, parent, (struct own_edge){ .has_share = true, .share_ppb = ppb, .since = 100 });
}

static void excepts(struct owners *o, const char *id, bool is_ultimate, const char *reason)
{
	struct own_exception x = { .source = "test", .reason = reason, .is_ultimate = is_ultimate, .since = 100, .until = INT32_MAX };

	assert_int_equal(owners_add_exception(o, at(o, id), &x), 0);
}

static void listed(struct owners *o, const char *id, const char *list, enum own_word word)
{
	struct own_hit h = { .list = list, .entry = id, .word = word, .from = INT32_MIN, .to = INT32_MAX };

	assert_int_equal(owners_add_hit(o, at(o, id), &h), 0);
}

static void tenant(struct owners *o, const char *name, const char *id, int32_t from, int32_t to)
{
	struct own_binding b = { .tenant = name, .entity = id ? at(o, id) : OWNER_NOWHERE, .from = from, .to = to, .number = o->bindings.count };

	assert_int_equal(owners_add_binding(o, &b), 0);
}

/* Resolves tenant t, who is entity a, and frees the graph. */
static struct owner_answer answer(struct owners *o)
{
	struct owner_answer a;

	tenant(o, "t", "a", INT32_MIN, INT32_MAX);
	owners_sort(o);
	owners_resolve(o, "t", DAY, &a);
	return a;
}

static void is(struct owners *o, enum owner_state state, enum owner_why why, size_t steps, const char *last)
{
	struct owner_answer a = answer(o);

	if (a.state != state || a.why != why || a.steps != steps || strcmp(a.path[steps - 1].entity, last))
		fail_msg("state %d why '%s' steps %zu, last %s", a.state, owner_why_text(a.why), a.steps, a.path[a.steps - 1].entity);
	assert_int_equal(owner_is_settled(&a), state == OWNER_KNOWN && !a.lapsed);
	owners_free(o);
}

static void consolidation_leads_up(void **state)
{
	struct owners *o = start();

	entity(o, "a", "US", false), entity(o, "b", "IE", false), entity(o, "c", "AE", false);
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ 0 });
	edge(o, "a", OWNER_TIE_ULTIMATE, "c", (struct own_edge){ 0 });
	edge(o, "b", OWNER_TIE_DIRECT, "c", (struct own_edge){ 0 });
	is(o, OWNER_KNOWN, OWNER_WHY_NONE, 3, "c");
	/* The steps between are not told: the claim leads there. */
	o = start();
	entity(o, "a", "US", false), entity(o, "b", "IE", false), entity(o, "c", "AE", false);
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ 0 });
	edge(o, "a", OWNER_TIE_ULTIMATE, "c", (struct own_edge){ 0 });
	is(o, OWNER_KNOWN, OWNER_WHY_NONE, 3, "c");
	/* A direct parent of which nothing is said is not the top. */
	o = start();
	entity(o, "a", "US", false), entity(o, "b", "IE", false);
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ 0 });
	is(o, OWNER_PARENT_UNKNOWN, OWNER_WHY_NOTHING_SAID, 2, "b");
	/* The holder of most is on the way to who consolidates. */
	o = start();
	entity(o, "a", "US", false), entity(o, "b", "IE", false), entity(o, "c", "AE", true);
	holds(o, "a", "b", 600000000), holds(o, "b", "c", 1000000000);
	edge(o, "a", OWNER_TIE_DIRECT, "c", (struct own_edge){ 0 });
	is(o, OWNER_KNOWN, OWNER_WHY_NONE, 3, "c");
}

static void what_is_not_told_is_told_apart(void **state)
{
	static const struct {
		const char *direct, *ultimate;
		enum owner_state state;
		enum owner_why why;
	} cases[] = {
		{ NULL, NULL, OWNER_PARENT_UNKNOWN, OWNER_WHY_NOTHING_SAID },
		{ "NO_KNOWN_PERSON", "NO_KNOWN_PERSON", OWNER_KNOWN, OWNER_WHY_NONE },
		{ NULL, "NATURAL_PERSONS", OWNER_KNOWN, OWNER_WHY_NONE },
		{ NULL, "NON_PUBLIC", OWNER_PARENT_UNKNOWN, OWNER_WHY_NOT_DISCLOSED },
		{ "NATURAL_PERSONS", "NON_PUBLIC", OWNER_PARENT_UNKNOWN, OWNER_WHY_NOT_DISCLOSED },
		{ "NON_PUBLIC", "NATURAL_PERSONS", OWNER_PARENT_UNKNOWN, OWNER_WHY_NOT_DISCLOSED },
		{ "NO_LEI", "NO_LEI", OWNER_PARENT_UNKNOWN, OWNER_WHY_NOT_DISCLOSED },
		{ "NON_CONSOLIDATING", "NON_CONSOLIDATING", OWNER_PARENT_UNKNOWN, OWNER_WHY_NOT_CONSOLIDATING },
		{ NULL, "SOMETHING_NEW", OWNER_PARENT_UNKNOWN, OWNER_WHY_NOT_DISCLOSED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct owners *o = start();

		entity(o, "a", "US", false);
		if (cases[i].direct)
			excepts(o, "a", false, cases[i].direct);
		if (cases[i].ultimate)
			excepts(o, "a", true, cases[i].ultimate);
		is(o, cases[i].state, cases[i].why, 1, "a");
	}
}

static void branches_and_funds(void **state)
{
	struct owners *o = start();

	entity(o, "a", "US", false), entity(o, "b", "CN", true);
	edge(o, "a", OWNER_TIE_BRANCH, "b", (struct own_edge){ 0 });
	is(o, OWNER_KNOWN, OWNER_WHY_NONE, 2, "b");
	o = start();
	entity(o, "a", "LU", false), entity(o, "b", "LU", true);
	edge(o, "a", OWNER_TIE_SUBFUND, "b", (struct own_edge){ 0 });
	is(o, OWNER_KNOWN, OWNER_WHY_NONE, 2, "b");
	o = start();
	entity(o, "a", "LU", false), entity(o, "b", "US", true);
	edge(o, "a", OWNER_TIE_MANAGES, "b", (struct own_edge){ 0 });
	is(o, OWNER_PARENT_UNKNOWN, OWNER_WHY_FUND, 1, "a");
}

static void contradictions(void **state)
{
	struct owners *o = start();

	entity(o, "a", "US", false), entity(o, "b", "US", true), entity(o, "c", "US", true);
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ 0 });
	edge(o, "a", OWNER_TIE_DIRECT, "c", (struct own_edge){ .source = "other" });
	is(o, OWNER_CONTRADICTION, OWNER_WHY_TWO_PARENTS, 1, "a");
	o = start(); /* 50 and 50: neither is the parent alone */
	entity(o, "a", "US", false), entity(o, "b", "US", true), entity(o, "c", "CN", true);
	holds(o, "a", "b", 500000000), holds(o, "a", "c", 500000000);
	is(o, OWNER_CONTRADICTION, OWNER_WHY_TWO_PARENTS, 1, "a");
	o = start();
	entity(o, "a", "US", true), entity(o, "b", "US", true);
	edge(o, "a", OWNER_TIE_ULTIMATE, "b", (struct own_edge){ 0 });
	is(o, OWNER_CONTRADICTION, OWNER_WHY_TOP_WITH_PARENT, 1, "a");
	o = start(); /* the path ends elsewhere than is claimed */
	entity(o, "a", "US", false), entity(o, "b", "US", true), entity(o, "c", "CN", true);
	holds(o, "a", "b", 900000000);
	edge(o, "a", OWNER_TIE_ULTIMATE, "c", (struct own_edge){ 0 });
	is(o, OWNER_CONTRADICTION, OWNER_WHY_CLAIM_UNMET, 2, "b");
	o = start();
	entity(o, "a", "US", false), entity(o, "b", "US", false);
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ 0 });
	edge(o, "b", OWNER_TIE_DIRECT, "a", (struct own_edge){ 0 });
	is(o, OWNER_CYCLE, OWNER_WHY_NONE, 2, "b");
	o = start();
	entity(o, "a", "US", false);
	edge(o, "a", OWNER_TIE_ULTIMATE, "b", (struct own_edge){ 0 });
	is(o, OWNER_PARENT_UNKNOWN, OWNER_WHY_NO_RECORD, 2, "b");
	o = start();
	record(o, "a", "US", true, (struct own_record){ .is_void = true });
	is(o, OWNER_PARENT_UNKNOWN, OWNER_WHY_VOID, 1, "a");
}

static void sources_disagree_until_a_person_settles_it(void **state)
{
	struct owners *o = start();

	record(o, "a", "US", true, (struct own_record){ .source = "one" });
	record(o, "a", "CN", true, (struct own_record){ .source = "two" });
	is(o, OWNER_CONTRADICTION, OWNER_WHY_SOURCES_DISAGREE, 1, "a");
	for (int after = 0; after <= 1; after++) {
		o = start();
		if (!after)
			record(o, "a", "FR", true, (struct own_record){ .source = "person:jane", .is_person = true });
		record(o, "a", "US", true, (struct own_record){ .source = "one", .since = 200 });
		record(o, "a", "CN", true, (struct own_record){ .source = "two", .since = 300 });
		if (after)
			record(o, "a", "FR", true, (struct own_record){ .source = "zperson", .is_person = true });
		is(o, OWNER_KNOWN, OWNER_WHY_NONE, 1, "a");
	}
	o = start(); /* a source that no longer tells it does not disagree */
	record(o, "a", "US", true, (struct own_record){ .source = "one" });
	record(o, "a", "CN", true, (struct own_record){ .source = "two", .until = DAY });
	is(o, OWNER_KNOWN, OWNER_WHY_NONE, 1, "a");
}

static void what_lapsed_is_not_settled(void **state)
{
	struct owners *o = start();
	struct owner_answer a;

	entity(o, "a", "US", false);
	record(o, "b", "US", true, (struct own_record){ .lapsed = true });
	holds(o, "a", "b", 1000000000);
	a = answer(o);
	assert_int_equal(a.state, OWNER_KNOWN);
	assert_true(a.lapsed && a.path[1].lapsed && !a.path[0].lapsed);
	assert_false(owner_is_settled(&a));
	owners_free(o);
}

static void newer_records_hold_from_their_own_day(void **state)
{
	struct owners *o = start();
	struct owner_answer a;

	record(o, "a", "US", true, (struct own_record){ .since = 1000 });
	record(o, "a", "CN", true, (struct own_record){ .since = 2000 });
	record(o, "a", "FR", true, (struct own_record){ .since = 3000, .until = 4000 });
	tenant(o, "t", "a", INT32_MIN, INT32_MAX);
	owners_sort(o);
	for (int i = 0; i < 5; i++) {
		static const char *const seats[] = { "US", "US", "CN", "FR", "" };

		owners_resolve(o, "t", 500 + 1000 * i, &a);
		assert_string_equal(a.path[0].headquarters, seats[i]);
		assert_int_equal(a.state, i == 4 ? OWNER_PARENT_UNKNOWN : OWNER_KNOWN);
	}
	owners_free(o);
	/* A late correction of an end holds for the past as well. */
	o = start();
	entity(o, "a", "US", false), entity(o, "b", "US", true);
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ .from = 1000, .since = 1100 });
	edge(o, "a", OWNER_TIE_DIRECT, "b", (struct own_edge){ .from = 1000, .to = 1500, .since = 2000 });
	tenant(o, "t", "a", INT32_MIN, INT32_MAX);
	owners_sort(o);
	for (int day = 900; day < 1700; day += 100) {
		owners_resolve(o, "t", day, &a);
		assert_int_equal(a.steps, day >= 1000 && day < 1500 ? 2 : 1);
	}
	owners_free(o);
}

/* The parent moves from Ireland to the Emirates in mid-run; the twin's is not made public. */
static void a_change_in_mid_run_is_a_dated_version(void **state)
{
	struct owners *o = start();
	struct owner_period *p;
	size_t n;

	entity(o, "a", "US", false), entity(o, "ie", "IE", true), entity(o, "ae", "AE", true);
	edge(o, "a", OWNER_TIE_ULTIMATE, "ie", (struct own_edge){ .to = 20750 });
	edge(o, "a", OWNER_TIE_ULTIMATE, "ae", (struct own_edge){ .from = 20750 });
	entity(o, "twin", "US", false);
	excepts(o, "twin", true, "NON_PUBLIC");
	tenant(o, "t", "a", INT32_MIN, INT32_MAX);
	tenant(o, "twin", "twin", 20710, INT32_MAX);
	owners_sort(o);
	assert_int_equal(owners_periods(o, "t", 20680, 20780, &p, &n), 0);
	assert_int_equal(n, 2);
	assert_true(p[0].from_day == 20680 && p[0].to_day == 20750 && p[1].from_day == 20750 && p[1].to_day == 20780);
	assert_string_equal(p[0].answer.path[1].headquarters, "IE");
	assert_string_equal(p[1].answer.path[1].headquarters, "AE");
	assert_string_not_equal(p[0].answer.version, p[1].answer.version);
	free(p);
	assert_int_equal(owners_periods(o, "twin", 20680, 20780, &p, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(p[0].answer.state, OWNER_NO_ENTITY);
	assert_int_equal(p[1].answer.why, OWNER_WHY_NOT_DISCLOSED);
	assert_string_equal(p[1].answer.exception, "NON_PUBLIC");
	assert_true(!owner_is_settled(&p[0].answer) && !owner_is_settled(&p[1].answer));
	free(p);
	assert_int_equal(owners_periods(o, "t", 5, 5, &p, &n), -EINVAL);
	assert_int_equal(owners_periods(NULL, "t", 5, 6, &p, &n), 0);
	assert_int_equal(n, 1);
	free(p);
	owners_free(o);
}

static const char *const lists[] = { "EL", "MEU", "SDN", NULL };

/* Of more holders than are looked at, one that is not seen may be the one that matters. */
static void more_holders_than_are_looked_at(void **state)
{
	struct owner_share_answer s;
	struct owner_answer a;
	struct owners *o;
	char name[16];

	for (int count = 256; count <= 300; count += 44) {
		o = start();
		entity(o, "a", "US", true);
		for (int i = 0; i < count; i++) {
			snprintf(name, sizeof(name), "h%03d", i);
			entity(o, name, "US", true);
			holds(o, "a", name, 1000000);
		}
		a = answer(o);
		if (count > 256)
			assert_true(a.state == OWNER_PARENT_UNKNOWN && a.why == OWNER_WHY_TOO_MANY);
		else
			assert_int_equal(a.state, OWNER_KNOWN);
		owners_standing(o, "t", DAY, lists, 500000000, &s);
		if (count > 256)
			assert_int_not_equal(s.standing, OWNER_CLEAR);
		else
			assert_int_equal(s.standing, OWNER_CLEAR);
		owners_free(o);
	}
}

static struct owner_share_answer standing(struct owners *o)
{
	struct owner_share_answer s;

	tenant(o, "t", "a", INT32_MIN, INT32_MAX);
	owners_sort(o);
	assert_int_equal(owners_standing(o, "t", DAY, lists, 500000000, &s), 0);
	owners_free(o);
	return s;
}

/* a, held by three: the third with this share; the rest by an own holding, who has no parent. */
static struct owner_share_answer three(uint32_t third)
{
	struct owners *o = start();

	entity(o, "a", "US", false), entity(o, "x", "CN", true), entity(o, "y", "CN", true), entity(o, "z", "CN", true);
	entity(o, "rest", "US", true);
	holds(o, "a", "x", 200000000), holds(o, "a", "y", 200000000), holds(o, "a", "z", third);
	holds(o, "a", "rest", 600000000 - third);
	listed(o, "x", "EL", OWN_HIT_CONFIRMED), listed(o, "y", "MEU", OWN_HIT_CONFIRMED), listed(o, "z", "SDN", OWN_HIT_CONFIRMED);
	return standing(o);
}

static void listed_shares_add_up_to_the_billionth(void **state)
{
	struct owner_share_answer s = three(150000000);

	assert_int_equal(s.standing, OWNER_AFFILIATE);
	assert_int_equal(s.cascade_ppb, 550000000);
	assert_int_equal(s.hits.confirmed, 3);
	assert_int_equal(three(100000001).standing, OWNER_AFFILIATE);
	assert_int_equal(three(100000000).standing, OWNER_AFFILIATE);
	s = three(99999999);
	assert_int_equal(s.standing, OWNER_BELOW_RED_FLAG);
	assert_int_equal(s.cascade_ppb, 499999999);
}

/* a <- 60 % mid <- `listed` x; the rest of both is a clean holder's. */
static struct owner_share_answer through(uint32_t mid_share)
{
	struct owners *o = start();

	entity(o, "a", "US", false), entity(o, "mid", "SG", false), entity(o, "x", "CN", true), entity(o, "clean", "US", true);
	holds(o, "a", "mid", 600000000), holds(o, "a", "clean", 400000000);
	holds(o, "mid", "x", mid_share), holds(o, "mid", "clean", 1000000000 - mid_share);
	listed(o, "x", "EL", OWN_HIT_CONFIRMED);
	return standing(o);
}

static void a_cascade_is_not_a_product(void **state)
{
	struct owner_share_answer s = through(500000000 + 1);

	assert_int_equal(s.standing, OWNER_AFFILIATE); /* 60 % by an affiliate: all of it counts */
	assert_int_equal(s.cascade_ppb, 600000000);
	s = through(499999999);
	assert_int_equal(s.standing, OWNER_BELOW_RED_FLAG); /* looked through: just under 30 % */
	assert_int_equal(s.cascade_ppb, 0);
	assert_int_equal(s.through_ppb, 300000000); /* 299999999.4, rounded up */
}

static void unknown_is_never_clear(void **state)
{
	struct owner_share_answer s;
	struct owners *o;

	o = start();
	entity(o, "a", "US", true);
	assert_int_equal(standing(o).standing, OWNER_CLEAR);
	o = start();
	entity(o, "a", "US", true);
	o->is_screened = false;
	assert_int_equal(standing(o).standing, OWNER_STANDING_UNKNOWN);
	o = start();
	entity(o, "a", "US", true), listed(o, "a", "EL", OWN_HIT_OPEN);
	assert_int_equal(standing(o).standing, OWNER_STANDING_UNKNOWN);
	o = start();
	entity(o, "a", "US", true), listed(o, "a", "EL", OWN_HIT_DISMISSED);
	assert_int_equal(standing(o).standing, OWNER_CLEAR);
	o = start();
	entity(o, "a", "US", true), listed(o, "a", "EL", OWN_HIT_CONFIRMED);
	assert_int_equal(standing(o).standing, OWNER_LISTED);
	o = start(); /* of another list than the rule's */
	entity(o, "a", "US", true), listed(o, "a", "UVL", OWN_HIT_CONFIRMED);
	assert_int_equal(standing(o).standing, OWNER_CLEAR);
	o = start(); /* 51 % are known to be clean, then 50 */
	entity(o, "a", "US", false), entity(o, "b", "US", true), holds(o, "a", "b", 510000000);
	assert_int_equal(standing(o).standing, OWNER_CLEAR);
	o = start();
	entity(o, "a", "US", false), entity(o, "b", "US", true), holds(o, "a", "b", 500000000);
	s = standing(o);
	assert_int_equal(s.standing, OWNER_STANDING_UNKNOWN);
	assert_int_equal(s.possible_ppb, 500000000);
	o = start(); /* a listed party holds a share that nobody tells */
	entity(o, "a", "US", false), entity(o, "b", "US", true), entity(o, "x", "CN", true);
	holds(o, "a", "b", 900000000), edge(o, "a", OWNER_TIE_HOLDS, "x", (struct own_edge){ 0 });
	listed(o, "x", "EL", OWN_HIT_CONFIRMED);
	assert_int_equal(standing(o).standing, OWNER_STANDING_UNKNOWN);
	o = start(); /* consolidated by a listed party: no share is known */
	entity(o, "a", "US", false), entity(o, "x", "CN", true), listed(o, "x", "EL", OWN_HIT_CONFIRMED);
	edge(o, "a", OWNER_TIE_ULTIMATE, "x", (struct own_edge){ 0 });
	assert_int_equal(standing(o).standing, OWNER_STANDING_UNKNOWN);
	o = start(); /* more than all of it */
	entity(o, "a", "US", false), entity(o, "b", "US", true), entity(o, "c", "US", true);
	holds(o, "a", "b", 900000000), holds(o, "a", "c", 200000000);
	assert_int_equal(standing(o).standing, OWNER_STANDING_UNKNOWN);
	assert_int_equal(owners_standing(NULL, "t", DAY, lists, 500000000, &s), 0);
	assert_int_equal(s.standing, OWNER_STANDING_UNKNOWN);
}

/* a and b hold 40 % of each other; x, listed, 30 % of each: a = 0.3 + 0.4 b, so a = b = 0.5. */
static void holdings_in_a_circle_have_an_answer(void **state)
{
	struct owner_share_answer s;
	struct owners *o = start();

	entity(o, "a", "US", false), entity(o, "b", "US", false), entity(o, "x", "CN", true), entity(o, "rest", "US", true);
	holds(o, "a", "b", 400000000), holds(o, "b", "a", 400000000);
	holds(o, "a", "x", 200000000), holds(o, "b", "x", 200000000);
	holds(o, "a", "rest", 400000000), holds(o, "b", "rest", 400000000);
	listed(o, "x", "EL", OWN_HIT_CONFIRMED);
	s = standing(o);
	assert_int_equal(s.cascade_ppb, 200000000);
	assert_in_range(s.through_ppb, 333333333, 333333400);
	assert_int_equal(s.standing, OWNER_BELOW_RED_FLAG); /* whose parent is not known: that is no worse */
}

/* --- properties over random graphs --- */

#define NODES 12
struct spec {
	unsigned seed;
	bool reversed, confirmed, crowded;
};

static void add_random(struct owners *o, const struct spec *s, int i)
{
	unsigned seed = s->seed * 131 + (unsigned)i;
	char child[8], parent[8];
	int32_t since = 1000 + (int32_t)(rand_r(&seed) % 200), from = 1000 + (int32_t)(rand_r(&seed) % 500);
	int what = (int)(rand_r(&seed) % 4);
	static const char *const seats[] = { "US", "CN", "MO", "AE" };

	snprintf(child, sizeof(child), "%c", 'a' + i % NODES);
	snprintf(parent, sizeof(parent), "%c", 'a' + (int)(rand_r(&seed) % NODES));
	if (i < NODES)
		record(o, child, seats[rand_r(&seed) % 4], rand_r(&seed) % 3 == 0,
		       (struct own_record){ .since = since, .as_of = s->confirmed ? 5000 : since });
	else if (!strcmp(child, parent))
		return;
	else if (what == 0)
		edge(o, child, OWNER_TIE_DIRECT, parent, (struct own_edge){ .since = since, .as_of = s->confirmed ? 5000 : 1, .from = from });
	else if (what == 1)
		edge(o, child, OWNER_TIE_HOLDS, parent,
		     (struct own_edge){ .since = since, .as_of = s->confirmed ? 5000 : 1, .has_share = true, .share_ppb = 510000000, .from = from,
					.to = from + (int32_t)(rand_r(&seed) % 500) });
	else if (what == 2)
		edge(o, child, OWNER_TIE_ULTIMATE, parent, (struct own_edge){ .since = since, .to = 1300 });
	else
		excepts(o, child, rand_r(&seed) % 2, rand_r(&seed) % 2 ? "NON_PUBLIC" : "NATURAL_PERSONS");
}

static struct owners *random_graph(struct spec s)
{
	struct owners *o = start();

	if (s.crowded)
		for (int i = 0; i < 50; i++) {
			char id[8];

			snprintf(id, sizeof(id), "z%d", i);
			entity(o, id, "RU", true);
		}
	for (int i = 0; i < 3 * NODES; i++)
		add_random(o, &s, s.reversed ? 3 * NODES - 1 - i : i);
	tenant(o, "t", "a", INT32_MIN, INT32_MAX);
	owners_sort(o);
	return o;
}

static void a_version_is_its_facts(void **state)
{
	int known = 0, changes = 0;

	for (unsigned seed = 0; seed < 400; seed++) {
		struct owners *plain = random_graph((struct spec){ seed, false, false, false });
		struct owners *same[] = { random_graph((struct spec){ seed, true, false, false }),
					  random_graph((struct spec){ seed, false, true, false }),
					  random_graph((struct spec){ seed, false, false, true }) };
		struct owner_period *p;
		size_t n;

		assert_int_equal(owners_periods(plain, "t", 900, 2100, &p, &n), 0);
		assert_true(p[0].from_day == 900 && p[n - 1].to_day == 2100);
		changes += (int)n - 1;
		for (size_t i = 0; i < n; i++) {
			assert_true(p[i].from_day < p[i].to_day && (i == 0 || p[i].from_day == p[i - 1].to_day));
			assert_true(i == 0 || strcmp(p[i].answer.version, p[i - 1].answer.version));
			known += p[i].answer.state == OWNER_KNOWN;
		}
		for (int32_t day = 900, i = 0; day < 2100; day += 7) {
			struct owner_answer a;
			struct owner_share_answer s;

			while (day >= p[i].to_day)
				i++;
			owners_resolve(plain, "t", day, &a);
			assert_string_equal(a.version, p[i].answer.version);
			for (int k = 0; k < 3; k++) {
				struct owner_answer b;

				owners_resolve(same[k], "t", day, &b);
				assert_string_equal(a.version, b.version);
			}
			assert_int_equal(owners_standing(plain, "t", day, lists, 500000000, &s), 0);
			assert_true(s.standing != OWNER_CLEAR || owner_is_settled(&a));
		}
		free(p);
		owners_free(plain);
		for (int k = 0; k < 3; k++)
			owners_free(same[k]);
	}
	/* The graphs are of all kinds, or this shows nothing. */
	assert_true(known > 50 && changes > 200);
}

/* Each fact of a path changes the version; what is beside it does not. */
static void each_fact_counts(void **state)
{
	char seen[12][65];

	for (int k = 0; k < 12; k++) {
		struct owners *o = start();
		struct owner_answer a;

		record(o, "a", k == 1 ? "DE" : "US", false, (struct own_record){ .lapsed = k == 2 });
		entity(o, k == 3 ? "c" : "b", k == 4 ? "MO" : "CN", k != 5);
		entity(o, "beside", k == 6 ? "RU" : "US", true);
		edge(o, "a", k == 7 ? OWNER_TIE_DIRECT : OWNER_TIE_HOLDS, k == 3 ? "c" : "b",
		     (struct own_edge){ .has_share = k != 7, .share_ppb = k == 8 ? 700000000 : 600000000 });
		if (k == 9 || k == 10)
			listed(o, "b", k == 9 ? "EL" : "SDN", OWN_HIT_OPEN);
		if (k == 11)
			listed(o, "b", "EL", OWN_HIT_DISMISSED);
		a = answer(o);
		memcpy(seen[k], a.version, 65);
		owners_free(o);
	}
	for (int i = 0; i < 12; i++)
		for (int k = 0; k < i; k++) {
			bool same = (i == 6 || i == 11 || i == 0) && (k == 0 || k == 6);

			if (same != !strcmp(seen[i], seen[k]))
				fail_msg("%d and %d", i, k);
		}
}

static void names_are_compared(void **state)
{
	static const struct {
		const char *a, *b;
		int least, most;
	} cases[] = {
		{ "Acme Models Inc.", "ACME MODELS, LTD", 1000, 1000 },
		{ "Société Générale S.A.", "Societe Generale", 1000, 1000 },
		{ "Müller & Söhne GmbH", "Muller Sohne", 1000, 1000 },
		{ "Øresund Ægir AB", "Oresund Aegir", 1000, 1000 },
		{ "Huaxin Semiconductor Co., Ltd.", "Huaxin Semiconducter", 900, 960 },
		{ "Semiconductor Huaxin", "Huaxin Semiconductor", 1000, 1000 },
		{ "北京 某某 科技", "北京 某某 科技", 1000, 1000 },
		{ "Acme Models", "Borealis Shipping", 0, 300 },
		{ "Acme", "Acme Navigation and Deep Sea Exploration Bureau", 0, 400 },
		{ "Holding Group Co", "Holding Group Co", 1000, 1000 }, /* nothing but forms: they count */
		{ "ABC", "ABD", 0, 0 }, /* three letters: another word */
		{ "", "Acme", 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct name_words a, b;
		int s;

		name_split(cases[i].a, &a);
		name_split(cases[i].b, &b);
		s = name_score(&a, &b);
		if (s < cases[i].least || s > cases[i].most || s != name_score(&b, &a))
			fail_msg("'%s' and '%s': %d", cases[i].a, cases[i].b, s);
	}
}

static void names_of_any_length_fit(void **state)
{
	char name[5000];
	struct name_words w;

	for (size_t i = 0; i < sizeof(name) - 1; i++)
		name[i] = i % 7 ? (char)('a' + (int)(i % 23)) : ' ';
	name[sizeof(name) - 1] = '\0';
	name_split(name, &w);
	assert_in_range(w.count, 1, NAME_WORDS_MAX);
	memset(name, 'x', sizeof(name) - 1);
	name_split(name, &w);
	assert_int_equal(w.count, 1);
	assert_true(w.length[0] < NAME_TEXT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(consolidation_leads_up),
		cmocka_unit_test(what_is_not_told_is_told_apart),
		cmocka_unit_test(branches_and_funds),
		cmocka_unit_test(contradictions),
		cmocka_unit_test(sources_disagree_until_a_person_settles_it),
		cmocka_unit_test(what_lapsed_is_not_settled),
		cmocka_unit_test(newer_records_hold_from_their_own_day),
		cmocka_unit_test(a_change_in_mid_run_is_a_dated_version),
		cmocka_unit_test(listed_shares_add_up_to_the_billionth),
		cmocka_unit_test(a_cascade_is_not_a_product),
		cmocka_unit_test(unknown_is_never_clear),
		cmocka_unit_test(holdings_in_a_circle_have_an_answer),
		cmocka_unit_test(a_version_is_its_facts),
		cmocka_unit_test(each_fact_counts),
		cmocka_unit_test(names_are_compared),
		cmocka_unit_test(names_of_any_length_fit),
		cmocka_unit_test(more_holders_than_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
