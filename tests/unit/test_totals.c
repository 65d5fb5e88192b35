// SPDX-License-Identifier: Apache-2.0
/* Totals are the same in any order, with any repetition, loss-and-resend and reassignment; and the attribution behind them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/core/attribution.h"
#include "userspace/core/totals.h"

#define JOBS 7
#define READINGS 400
#define ASSIGNMENTS 60
#define DAY_NS 86400000000000ULL

struct item {
	bool is_assignment;
	struct om_reading r;
	struct om_assignment a;
};

static struct om_id id(uint8_t n)
{
	struct om_id v = { { n, 0xaa, n } };

	return v;
}

/* A history: each register only grows; assignments change over time. */
static size_t make_history(struct item *items, unsigned *seed)
{
	opcount value[JOBS][3][2] = { 0 };
	size_t n = 0;

	for (uint64_t t = 1; n < READINGS + ASSIGNMENTS; t++) {
		int job = rand_r(seed) % JOBS, format = rand_r(seed) % 3, day = rand_r(seed) % 2;
		struct item *i = &items[n++];

		memset(i, 0, sizeof(*i));
		i->is_assignment = n % 8 == 0;
		if (i->is_assignment) {
			static const char *const phases[] = { "training", "inference", "unknown", "frozen-weight-training", "mixed" };

			i->a = (struct om_assignment){ .ledger = id(1), .job = id((uint8_t)(10 + job)), .at_ns = t,
						       .share_low_ppm = 500000, .share_high_ppm = 1000000 };
			i->a.kind = rand_r(seed) % 3;
			i->a.from_ns = (uint64_t)(rand_r(seed) % 3) * DAY_NS / 2;
			i->a.to_ns = rand_r(seed) % 2 ? i->a.from_ns + DAY_NS : 0;
			if (rand_r(seed) % 3 == 0)
				snprintf(i->a.person, sizeof(i->a.person), "jane");
			snprintf(i->a.value, sizeof(i->a.value), "%s",
				 i->a.kind == OM_ASSIGN_PHASE ? phases[rand_r(seed) % 5] : rand_r(seed) % 2 ? "acme" : "zeta");
			continue;
		}
		value[job][format][day] += (opcount)(unsigned)rand_r(seed) << (rand_r(seed) % 60);
		i->r.key = (struct om_register_key){ .ledger = id(1), .job = id((uint8_t)(10 + job)), .day = (uint32_t)day,
						     .format = (uint8_t)(format + 1), .meter = OM_METER_SHAPE };
		i->r.value.exact = value[job][format][day];
		i->r.value.calls = (uint64_t)value[job][format][day];
		i->r.value.to_ns = t;
		i->r.sequence = t;
	}
	return n;
}

static void feed(struct om_totals *t, const struct item *i)
{
	if (i->is_assignment)
		assert_true(om_totals_assign(t, &i->a) >= 0);
	else
		assert_true(om_totals_put(t, &i->r) >= 0);
}

static int print_total(void *ctx, const struct om_subject_total *s)
{
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN], c[OPCOUNT_STRLEN], d[OPCOUNT_STRLEN];

	sprintf((char *)ctx + strlen(ctx), "%s/%s %s..%s %s..%s %llu %llu\n", s->tenant, s->model,
		opcount_format(s->all_low, a), opcount_format(s->all_high, b), opcount_format(s->training_low, c),
		opcount_format(s->training_high, d), (unsigned long long)s->registers, (unsigned long long)s->as_of_ns);
	return 0;
}

static void any_order_gives_the_same_totals(void **state)
{
	static struct item items[READINGS + ASSIGNMENTS];
	unsigned seed = 42;
	size_t n = make_history(items, &seed);
	char want[16384] = "", got[16384];
	struct om_totals *t = om_totals_new(100000);

	for (size_t i = 0; i < n; i++)
		feed(t, &items[i]);
	om_totals_each(t, print_total, want);
	om_totals_free(t);
	assert_true(strlen(want) > 100);
	for (int round = 0; round < 50; round++) {
		size_t order[READINGS + ASSIGNMENTS];

		for (size_t i = 0; i < n; i++)
			order[i] = i;
		for (size_t i = n - 1; i > 0; i--) {
			size_t k = (size_t)rand_r(&seed) % (i + 1), x = order[i];

			order[i] = order[k];
			order[k] = x;
		}
		t = om_totals_new(100000);
		for (size_t i = 0; i < n; i++) {
			feed(t, &items[order[i]]);
			if (rand_r(&seed) % 3 == 0)
				feed(t, &items[order[(size_t)rand_r(&seed) % (i + 1)]]); /* again */
		}
		got[0] = '\0';
		om_totals_each(t, print_total, got);
		om_totals_free(t);
		assert_string_equal(want, got);
	}
}

static int keep(void *ctx, const struct om_subject_total *s)
{
	struct om_subject_total *all = ctx;

	all[!strcmp(s->tenant, "zeta")] = *s;
	return 0;
}

/* 1000 operations on each of three days. */
static struct om_totals *three_days(void)
{
	struct om_totals *t = om_totals_new(10);

	for (uint32_t day = 0; day < 3; day++) {
		struct om_reading r = { .key = { .day = day, .format = 1, .meter = OM_METER_SHAPE }, .value = { .exact = 1000, .to_ns = 5 } };

		assert_int_equal(om_totals_put(t, &r), 0);
	}
	return t;
}

static void assign(struct om_totals *t, enum om_assignment_kind kind, const char *value, uint64_t from_day, uint64_t to_day,
		   uint32_t low, const char *person)
{
	struct om_assignment a = { .kind = kind, .from_ns = from_day * DAY_NS, .to_ns = to_day * DAY_NS, .share_low_ppm = low,
				   .share_high_ppm = 1000000, .at_ns = 7 };

	snprintf(a.value, sizeof(a.value), "%s", value);
	snprintf(a.person, sizeof(a.person), "%s", person);
	assert_int_equal(om_totals_assign(t, &a), 0);
}

static void each_day_has_its_own_judgement(void **state)
{
	struct om_totals *t = three_days();
	struct om_subject_total all[2] = { 0 };

	assign(t, OM_ASSIGN_PHASE, "training", 0, 1, 900000, "");
	assign(t, OM_ASSIGN_PHASE, "inference", 1, 2, 1000000, "");
	assign(t, OM_ASSIGN_PHASE, "mixed", 2, 3, 250000, "");
	om_totals_each(t, keep, all);
	assert_int_equal((uint64_t)all[0].training_low, 1150);
	assert_int_equal((uint64_t)all[0].training_high, 2000);
	/* A person's word about all of it holds before the rule's about a day. */
	assign(t, OM_ASSIGN_PHASE, "training", 0, 0, 1000000, "jane");
	om_totals_each(t, keep, all);
	assert_int_equal((uint64_t)all[0].training_low, 3000);
	om_totals_free(t);
}

/* A person says inference, of a part. The rest is in the upper bound of training already, and is not suspected again. */
static void what_is_suspected_is_counted_once(void **state)
{
	struct om_totals *t = three_days();
	struct om_subject_total all[2] = { 0 };

	assign(t, OM_ASSIGN_PHASE, "training", 0, 0, 900000, "");
	assign(t, OM_ASSIGN_PHASE, "inference", 0, 0, 600000, "jane");
	om_totals_each(t, keep, all);
	assert_int_equal((uint64_t)all[0].training_high, 1200);
	assert_int_equal((uint64_t)all[0].suspected, 1800);
	assert_true(all[0].training_high + all[0].suspected == all[0].all_high);
	om_totals_free(t);
}

static void serves(struct om_totals *t, uint64_t day, uint32_t high, uint64_t at)
{
	struct om_assignment a = { .kind = OM_ASSIGN_SERVES, .value = "00112233445566778899aabbccddeeff", .from_ns = day * DAY_NS,
				   .to_ns = (day + 1) * DAY_NS, .share_high_ppm = high, .rule = OM_RULE_JOINED, .at_ns = at };

	assert_int_equal(om_totals_assign(t, &a), 0);
}

/* What serves the learning of others is in the upper bounds on its days, in no lower one; taken back it is as before. */
static void who_serves_widens_the_upper_bound(void **state)
{
	struct om_totals *t = three_days();
	struct om_subject_total all[2] = { 0 };

	assign(t, OM_ASSIGN_PHASE, "inference", 0, 0, 1000000, "");
	om_totals_each(t, keep, all);
	assert_true(all[0].training_high == 0 && all[0].executed_high == 0);
	serves(t, 1, 1000000, 8);
	om_totals_each(t, keep, all);
	assert_int_equal((uint64_t)all[0].training_high, 1000);
	assert_int_equal((uint64_t)all[0].training_ceiling, 1000);
	assert_int_equal((uint64_t)all[0].executed_high, 1000);
	assert_true(all[0].training_low == 0 && all[0].executed_low == 0);
	serves(t, 1, 0, 9);
	om_totals_each(t, keep, all);
	assert_true(all[0].training_high == 0);
	om_totals_free(t);
}

/* A lower bound that a rule says stays; a person's word about the phase holds. */
static void who_serves_moves_no_persons_word(void **state)
{
	struct om_totals *t = three_days();
	struct om_subject_total all[2] = { 0 };

	assign(t, OM_ASSIGN_PHASE, "mixed", 0, 0, 250000, "");
	serves(t, 0, 1000000, 8);
	om_totals_each(t, keep, all);
	assert_int_equal((uint64_t)all[0].training_low, 750);
	assert_int_equal((uint64_t)all[0].training_high, 3000);
	assign(t, OM_ASSIGN_PHASE, "inference", 0, 0, 1000000, "jane");
	om_totals_each(t, keep, all);
	assert_true(all[0].training_high == 0);
	om_totals_free(t);
}

static void a_tenant_changes_with_the_day(void **state)
{
	struct om_totals *t = three_days();
	struct om_subject_total all[2] = { 0 };

	assign(t, OM_ASSIGN_TENANT, "acme", 0, 0, 1000000, "");
	assign(t, OM_ASSIGN_TENANT, "zeta", 2, 0, 1000000, "");
	om_totals_each(t, keep, all);
	assert_int_equal((uint64_t)all[0].all_low, 2000);
	assert_int_equal((uint64_t)all[1].all_low, 1000);
	assert_string_equal(om_totals_holds(t, &(struct om_id){ 0 }, &(struct om_id){ 0 }, OM_ASSIGN_TENANT, 1)->value, "acme");
	om_totals_free(t);
}

static void a_later_lower_value_is_a_regression(void **state)
{
	struct om_totals *t = om_totals_new(10);
	struct om_reading r = { .key = { .format = 1, .meter = 1 }, .value = { .exact = 100, .to_ns = 5 }, .sequence = 5 };

	assert_int_equal(om_totals_put(t, &r), 0);
	assert_int_equal(om_totals_put(t, &r), 1);
	r.value.exact = 90;
	r.sequence = 4;
	assert_int_equal(om_totals_put(t, &r), 3); /* older: no fault */
	r.sequence = 6;
	assert_int_equal(om_totals_put(t, &r), 2);
	om_totals_free(t);
}

static void the_bound_is_kept(void **state)
{
	struct om_totals *t = om_totals_new(3);
	struct om_reading r = { .key = { .format = 1, .meter = 1 } };

	for (uint32_t day = 0; day < 3; day++) {
		r.key.day = day;
		assert_int_equal(om_totals_put(t, &r), 0);
	}
	r.key.day = 9;
	assert_int_equal(om_totals_put(t, &r), -ENOSPC);
	om_totals_free(t);
}

static struct tenant_map *map(const char *text, int want)
{
	char path[] = "/tmp/opmeter-tenants-XXXXXX";
	struct error_text err = { 0 };
	struct tenant_map *m = NULL;
	int fd = mkstemp(path), r;

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	r = tenant_map_load(path, &m, &err);
	unlink(path);
	if (r != want)
		fail_msg("%d: %s", r, err.text);
	return m;
}

static void the_first_rule_that_matches_counts(void **state)
{
	static const struct {
		const char *path, *tenant;
	} cases[] = {
		{ "/a/b/c", "deep" },	 { "/a/b", "one" },	  { "/a/b/c/d", "deep" },
		{ "/a/", "unknown" },	 { "/x", "unknown" },	  { "/system.slice/train.service", "unit" },
		{ "/k/?", "unknown" },	 { "/q1", "question" },	  { "/q12", "unknown" },
		{ "/end/x/y/tail", "tail" }, { "/end/x/y/tails", "unknown" }, { NULL, "unknown" },
	};
	struct tenant_map *m = map("rules:\n"
				   "  - {match: {path: \"/a/*/**\"}, tenant: deep}\n"
				   "  - {match: {path: \"/a/b*\"}, tenant: one}\n"
				   "  - {match: {unit: train.service}, tenant: unit}\n"
				   "  - {match: {path: \"/q?\"}, tenant: question}\n"
				   "  - {match: {path: \"/end/**/tail\"}, tenant: tail}\n",
				   0);
	struct attribution a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tenant_map_attribute(m, cases[i].path, &a);
		if (strcmp(a.tenant, cases[i].tenant))
			fail_msg("%s: %s, not %s", cases[i].path, a.tenant, cases[i].tenant);
	}
	tenant_map_free(m);
	tenant_map_attribute(NULL, "/a", &a);
	assert_string_equal(a.tenant, "unknown");
}

/* A pattern against a path that a tenant chose, as bad as it can be. */
static void matching_takes_no_forever(void **state)
{
	struct tenant_map *m = map("rules:\n  - {match: {path: \"**a**a**a**a**a**a**a**a**b\"}, tenant: x}\n", 0);
	struct attribution a;
	char path[4096];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	tenant_map_attribute(m, path, &a);
	assert_string_equal(a.tenant, "unknown");
	tenant_map_free(m);
}

static void a_phase_needs_somebody_who_stands_for_it(void **state)
{
	map("rules:\n  - {match: {path: /a}, tenant: x, phase: training}\n", -EINVAL);
	map("rules:\n  - {match: {path: /a}, tenant: x, phase: dreaming, declared: {by: a, date: 2026-01-01}}\n", -EINVAL);
	map("rules:\n  - {match: {}, tenant: x}\n", -EINVAL);
	map("rules:\n  - {match: {path: /a}, tenant: \"a/b\"}\n", -EINVAL);
	tenant_map_free(map("rules:\n  - {match: {path: /a}, tenant: x, phase: training, declared: {by: a, date: 2026-01-01}}\n", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_gives_the_same_totals),
		cmocka_unit_test(each_day_has_its_own_judgement),
		cmocka_unit_test(what_is_suspected_is_counted_once),
		cmocka_unit_test(who_serves_widens_the_upper_bound),
		cmocka_unit_test(who_serves_moves_no_persons_word),
		cmocka_unit_test(a_tenant_changes_with_the_day), cmocka_unit_test(a_later_lower_value_is_a_regression),
		cmocka_unit_test(the_bound_is_kept),		   cmocka_unit_test(the_first_rule_that_matches_counts),
		cmocka_unit_test(matching_takes_no_forever),	   cmocka_unit_test(a_phase_needs_somebody_who_stands_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
