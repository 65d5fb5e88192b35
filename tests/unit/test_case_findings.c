// SPDX-License-Identifier: Apache-2.0
/* What opens a case and what names one: an alert names a case only where there is one, and what is enforced opens it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "userspace/core/ownership_internal.h"
#include "userspace/core/policy.h"

#define DAY 20780 /* 2026-11-23 */
#define NOW ((uint64_t)DAY * 86400000000000ULL)

struct told {
	json_t *cases, *alerts;
};

static int collect(void *ctx, const struct alert *a)
{
	struct told *t = ctx;
	json_t *data = json_loads(a->data, 0, NULL);

	assert_non_null(data);
	json_object_set_new(data, "subject", json_string(a->subject));
	json_array_append_new(a->type == ALERT_CASE ? t->cases : t->alerts, data);
	return 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* What is told of a tenant's model by that regime. */
static struct told judge(const struct regimes *g, const struct owners *o, opcount training)
{
	struct policy p = { .regimes = g, .owners = o, .source = "/opmeter/test", .now_ns = NOW };
	struct om_subject_total s = { .tenant = "t", .model = "m", .training_low = training, .training_high = training,
				      .all_low = training, .all_high = training, .attempted = true, .meters = 2 };
	struct told t = { json_array(), json_array() };

	assert_int_equal(policy_judge(&p, &s, collect, &t), 0);
	return t;
}

static void forget(struct told *t)
{
	json_decref(t->cases);
	json_decref(t->alerts);
}

static struct regimes *regimes(const char *dir)
{
	struct error_text err = { 0 };
	struct regimes *g;

	if (regimes_load(dir, &g, &err))
		fail_msg("%s", err.text);
	return g;
}

static opcount ops(const char *s)
{
	opcount v;

	assert_int_equal(opcount_parse(s, &v), 0);
	return v;
}

/* t is entity a, which b holds. */
static struct owners *held(const char *seat_of_b, enum own_word word_on_b)
{
	struct owners *o = owners_new();
	struct own_record r = { .headquarters = "US", .name = "a", .source = "s", .since = 100, .until = INT32_MAX };
	struct own_edge e = { .tie = OWNER_TIE_HOLDS, .has_share = true, .share_ppb = 600000000, .source = "s", .from = INT32_MIN,
			      .to = INT32_MAX, .since = 100, .until = INT32_MAX, .is_active = true };
	struct own_edge rest = e;
	struct own_binding bind = { .tenant = "t", .from = INT32_MIN, .to = INT32_MAX };
	struct own_hit hit = { .list = "EL", .entry = "e", .word = word_on_b, .from = INT32_MIN, .to = INT32_MAX };
	size_t a, b, c;

	assert_non_null(o);
	o->is_screened = true;
	assert_int_equal(owners_entity(o, "a", &a) + owners_entity(o, "b", &b) + owners_entity(o, "c", &c), 0);
	assert_int_equal(owners_add_record(o, a, &r), 0);
	r.top = true;
	r.name = "c";
	assert_int_equal(owners_add_record(o, c, &r), 0);
	r.name = "b";
	r.headquarters = seat_of_b;
	assert_int_equal(owners_add_record(o, b, &r), 0);
	e.parent = b;
	rest.parent = c;
	rest.share_ppb = 400000000;
	assert_int_equal(owners_add_edge(o, a, &e), 0);
	assert_int_equal(owners_add_edge(o, a, &rest), 0);
	assert_int_equal(owners_add_hit(o, b, &hit), 0);
	bind.entity = a;
	assert_int_equal(owners_add_binding(o, &bind), 0);
	o->has_lists = true;
	owners_sort(o);
	return o;
}

/* The alerts of a regime that name a case, and that their words speak of one. */
static int naming(const struct told *t, const char *regime)
{
	const json_t *a;
	size_t i;
	int n = 0;

	json_array_foreach(t->alerts, i, a)
	{
		if (strcmp(text(a, "regime"), regime))
			continue;
		assert_int_equal(!!strstr(text(a, "sentence"), "case-"), *text(a, "case") && strstr(text(a, "sentence"), "facts"));
		n += *text(a, "case") != 0;
	}
	return n;
}

static void an_alert_names_a_case_where_one_is_opened(void **state)
{
	struct regimes *shipped = regimes("data/regimes"), *demo = regimes("tests/demo/regimes");
	struct owners *o = held("CN", OWN_HIT_DISMISSED);
	struct told shadow = judge(shipped, o, ops("9e25")), small = judge(demo, o, 1), large = judge(demo, o, ops("5e15"));
	const json_t *first = json_array_get(small.alerts, 0);

	/* As shipped nothing is enforced: material or not, no case is opened, and none is named. */
	assert_int_equal(json_array_size(shadow.cases), 0);
	assert_true(json_array_size(shadow.alerts) > 0);
	assert_int_equal(naming(&shadow, "us-bis-red-flag-28"), 0);
	assert_int_equal(naming(&shadow, "us-bis-4e091"), 0);
	/* Enforced, and not material yet. */
	assert_int_equal(json_array_size(small.cases), 0);
	assert_int_equal(json_array_size(small.alerts), 1);
	assert_int_equal(naming(&small, "demo-owner"), 0);
	assert_non_null(strstr(text(first, "sentence"), "A case opens when training is material"));
	/* Material. */
	assert_int_equal(json_array_size(large.cases), 1);
	assert_int_equal(naming(&large, "demo-owner"), 1);
	assert_true(naming(&large, "demo-threshold") > 0);
	for (size_t i = 0; i < json_array_size(large.alerts); i++)
		assert_string_equal(text(json_array_get(large.alerts, i), "case"), text(json_array_get(large.cases, 0), "case"));
	forget(&shadow);
	forget(&small);
	forget(&large);
	owners_free(o);
	regimes_free(shipped);
	regimes_free(demo);
}

/* The regime that is shipped about listed owners, in another mode. */
static struct regimes *listed(const char *mode)
{
	char dir[] = "/tmp/opmeter-findings-XXXXXX", path[64], command[96];
	struct regimes *g;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/r.yaml", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "id: x\nversion: \"1\"\ntitle: DEMO\nkind: listed\ncitation: c\nevidence: design\nsources: [s]\nmode: %s\ndemo: true\n"
		   "listed: {share: 50%%, suspended: false, lists: [EL]}\nchecklist: [\"Determine the share.\", \"Resolve it.\"]\n", mode);
	fclose(f);
	g = regimes(dir);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	return g;
}

static void listed_owners_open_a_case_where_it_is_enforced(void **state)
{
	struct regimes *enforce = listed("enforce"), *notice = listed("notice");
	struct owners *affiliate = held("US", OWN_HIT_CONFIRMED), *open = held("US", OWN_HIT_OPEN), *clear = held("US", OWN_HIT_DISMISSED);
	struct told t = judge(enforce, affiliate, 1), u = judge(enforce, open, 1), n = judge(notice, affiliate, 1), c = judge(enforce, clear, 1);
	const json_t *a, *k = json_array_get(t.cases, 0), *screening = json_object_get(k, "screening");

	assert_int_equal(json_array_size(t.cases), 1);
	assert_string_equal(text(k, "cause"), "listed-owners/affiliate");
	assert_string_equal(text(screening, "standing"), "affiliate");
	assert_string_equal(text(screening, "cascade"), "0.600000000");
	assert_int_equal(json_array_size(json_object_get(k, "checklist")), 2);
	assert_string_equal(text(json_array_get(json_object_get(k, "checklist"), 1), "duty"), "Resolve it.");
	assert_true(json_is_false(json_object_get(k, "hold")));
	assert_int_equal(naming(&t, "x"), 1);
	a = json_array_get(t.alerts, 0);
	assert_string_equal(text(a, "case"), text(k, "case"));
	/* What operators see has no share, no list and no holder. */
	assert_null(json_object_get(a, "screening"));
	assert_null(json_object_get(a, "path"));
	/* Not known: on hold, and a finding of its own. */
	k = json_array_get(u.cases, 0);
	assert_string_equal(text(k, "cause"), "listed-owners/unknown");
	assert_true(json_is_true(json_object_get(k, "hold")));
	assert_true(*text(json_object_get(k, "screening"), "why"));
	/* A notice tells it, opens none and names none. */
	assert_int_equal(json_array_size(n.cases), 0);
	assert_int_equal(json_array_size(n.alerts), 1);
	assert_int_equal(naming(&n, "x"), 0);
	assert_non_null(strstr(text(json_array_get(n.alerts, 0), "sentence"), "No case is opened"));
	assert_int_equal(json_array_size(c.cases) + json_array_size(c.alerts), 0);
	forget(&t);
	forget(&u);
	forget(&n);
	forget(&c);
	owners_free(affiliate);
	owners_free(open);
	owners_free(clear);
	regimes_free(enforce);
	regimes_free(notice);
}

/* A checklist is worked through before the determination: no duty of it can be that two people determined. */
static void no_duty_is_the_determination_itself(void **state)
{
	struct regimes *g = regimes("data/regimes");
	size_t duties = 0;

	for (size_t i = 0; i < regimes_count(g); i++) {
		const struct regime *r = regimes_at(g, i);

		for (size_t k = 0; k < r->checklist_count; k++, duties++)
			if (strstr(r->checklist[k], "two people") || strstr(r->checklist[k], "the outcome"))
				fail_msg("%s: %s", r->id, r->checklist[k]);
	}
	assert_true(duties > 0);
	regimes_free(g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_alert_names_a_case_where_one_is_opened),
		cmocka_unit_test(listed_owners_open_a_case_where_it_is_enforced),
		cmocka_unit_test(no_duty_is_the_determination_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
