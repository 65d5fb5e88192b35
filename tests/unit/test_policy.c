// SPDX-License-Identifier: Apache-2.0
/* Regimes and owners as shipped: one operation below, at and above each level; what is missing; what an alert may say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/yaml.h"
#include "userspace/core/policy.h"
#include "userspace/core/totals.h"

#define NOW 1795456800000000000ULL /* 2026-11-23 */

struct found {
	char lines[64][160];
	int count;
	char all[65536];
};

/* The regime that a test is about; NULL: any. */
static const char *only;

static int collect(void *ctx, const struct alert *a)
{
	struct found *f = ctx;
	char *text, id[OM_ID_STRLEN];

	if (only && !strstr(a->data, only))
		return 0;
	text = alert_encode(a);

	assert_non_null(text);
	snprintf(f->lines[f->count++], sizeof(f->lines[0]), "%s %s%s %s", alert_type_name(a->type), a->shadow ? "shadow " : "",
		 a->subject, om_id_format(&a->id, id));
	strncat(f->all, text, sizeof(f->all) - strlen(f->all) - 1);
	strncat(f->all, "\n", sizeof(f->all) - strlen(f->all) - 1);
	free(text);
	return 0;
}

static struct found judge(const struct regimes *g, const struct owners *o, const char *tenant, opcount low, opcount high)
{
	struct policy p = { .regimes = g, .owners = o, .source = "/opmeter/test", .now_ns = NOW };
	struct om_subject_total s = { .tenant = tenant, .model = "m", .training_low = low, .training_high = high,
				      .all_low = low, .all_high = high, .attempted = true, .meters = 2 };
	struct found f = { .count = 0 };

	assert_int_equal(policy_judge(&p, &s, collect, &f), 0);
	return f;
}

static int count(const struct found *f, const char *what)
{
	int n = 0;

	for (const char *s = strstr(f->all, what); s; s = strstr(s + 1, what))
		n++;
	return n;
}

static struct regimes *shipped(void)
{
	struct error_text err = { 0 };
	struct regimes *g;

	if (regimes_load("data/regimes", &g, &err))
		fail_msg("%s", err.text);
	only = "\"regime\":\"us-bis-4e091\"";
	return g;
}

static struct regimes *demo(void)
{
	struct error_text err = { 0 };
	struct regimes *g;

	if (regimes_load("tests/demo/regimes", &g, &err))
		fail_msg("%s", err.text);
	only = NULL;
	return g;
}

static opcount ops(const char *s)
{
	opcount v;

	assert_int_equal(opcount_parse(s, &v), 0);
	return v;
}

static void each_level_to_the_operation(void **state)
{
	static const struct {
		const char *level, *figure;
		bool lower;
	} levels[] = { { "\"level\":\"notice\"", "5e25", false }, { "\"level\":\"warn\"", "7.5e25", false },
		       { "\"level\":\"urgent\"", "9e25", false }, { "\"level\":\"exceeded\"", "1e26", true } };
	struct regimes *g = shipped();

	for (size_t i = 0; i < 4; i++) {
		opcount at = ops(levels[i].figure), high = ops("9.9e26");

		for (int d = -1; d <= 1; d++) {
			opcount v = at + (opcount)(__int128)d;
			struct found f = judge(g, NULL, "acme", levels[i].lower ? v : 0, levels[i].lower ? high : v);

			assert_int_equal(count(&f, levels[i].level), d >= 0);
			/* Only the lower bound can exceed. */
			if (!levels[i].lower)
				assert_int_equal(count(&f, "\"level\":\"exceeded\""), 0);
		}
	}
	regimes_free(g);
}

static void more_than_is_not_at_least(void **state)
{
	struct regime r = { .threshold = ops("1e25"), .comparator = REGIME_MORE_THAN };
	struct regime_level l = { .share_ppm = 1000000 };

	assert_false(regime_level_met(&r, &l, ops("1e25")));
	assert_true(regime_level_met(&r, &l, ops("1e25") + 1));
	r.comparator = REGIME_AT_LEAST;
	assert_true(regime_level_met(&r, &l, ops("1e25")));
	assert_false(regime_level_met(&r, &l, ops("1e25") - 1));
	r.threshold = 3; /* half of it is no whole number: it takes two */
	l.share_ppm = 500000;
	assert_false(regime_level_met(&r, &l, 1));
	assert_true(regime_level_met(&r, &l, 2));
}

static void what_is_missing_makes_it_conditional(void **state)
{
	struct regimes *g = shipped();
	struct found f = judge(g, NULL, "acme", ops("2e26"), ops("2e26"));

	assert_int_equal(count(&f, "\"verdict\":\"conditional(published-frontier operations of Note 2)\""), 1);
	assert_int_equal(count(&f, "observed here"), 4);
	f = judge(g, NULL, "acme", 0, ops("2e26"));
	assert_int_equal(count(&f, "\"verdict\":\"possible\""), 3);
	assert_int_equal(count(&f, "exceeded"), 0);
	regimes_free(g);
}

static void the_shipped_rule_is_in_shadow(void **state)
{
	struct regimes *g = shipped();
	struct found f = judge(g, NULL, "acme", ops("2e26"), ops("2e26"));

	assert_int_equal(f.count, 4);
	for (int i = 0; i < f.count; i++)
		assert_non_null(strstr(f.lines[i], "shadow "));
	regimes_free(g);
}

struct judging {
	struct policy p;
	struct found f;
};

static int judge_total(void *ctx, const struct om_subject_total *s)
{
	struct judging *j = ctx;

	return policy_judge(&j->p, s, collect, &j->f);
}

/* One job with 2e26 operations in a day, judged by the rule. */
static struct found judged_as(const char *phase, uint32_t low_ppm, uint32_t high_ppm)
{
	struct om_reading r = { .key = { .day = 20000, .format = 4, .meter = OM_METER_SHAPE }, .value = { .exact = ops("2e26"), .to_ns = NOW } };
	struct om_assignment a = { .kind = OM_ASSIGN_PHASE, .from_ns = 20000 * 86400000000000ULL, .to_ns = 20001 * 86400000000000ULL,
				   .share_low_ppm = low_ppm, .share_high_ppm = high_ppm, .rule = "phase-shapes", .version = "1", .at_ns = NOW };
	struct om_totals *t = om_totals_new(10);
	struct judging j = { .p = { .regimes = shipped(), .source = "/opmeter/test", .now_ns = NOW } };

	snprintf(a.value, sizeof(a.value), "%s", phase);
	assert_int_equal(om_totals_put(t, &r), 0);
	assert_int_equal(om_totals_assign(t, &a), 0);
	assert_int_equal(om_totals_each(t, judge_total, &j), 0);
	om_totals_free(t);
	regimes_free((struct regimes *)j.p.regimes);
	return j.f;
}

/* Genuine inference at 2e26 is nobody's business; the same as training, or in doubt, is. */
static void inference_raises_nothing(void **state)
{
	struct found f = judged_as("inference", 1000000, 1000000);

	assert_int_equal(count(&f, "opmeter.alert.level.v1"), 0);
	f = judged_as("training", 900000, 1000000);
	assert_true(count(&f, "opmeter.alert.level.v1") > 0);
	f = judged_as("unknown", 0, 1000000);
	assert_true(count(&f, "opmeter.alert.level.v1") > 0);
	/* A tenth of it may be training: 2e25 is below every level. */
	f = judged_as("inference", 900000, 1000000);
	assert_int_equal(count(&f, "opmeter.alert.level.v1"), 0);
}

/* A tenant called "lineage" would silence what is said of a lineage: an alert's id is of its subject. */
static void nobody_takes_a_groups_name(void **state)
{
	static const char *const tenants[] = { "lineage", "family", "tenant" };
	struct om_subject_total l = { .group = OM_GROUP_LINEAGE, .tenant = "", .model = "", .lineage = "x" };
	struct policy_subject a, b;
	char x[POLICY_NAME_MAX], y[POLICY_NAME_MAX];

	policy_subject_of(&l, x, &a);
	assert_string_equal(a.name, "lineage/x");
	for (size_t i = 0; i < 3; i++) {
		struct om_subject_total t = { .tenant = tenants[i], .model = "x", .lineage = "" };

		policy_subject_of(&t, y, &b);
		assert_true(!strncmp(b.name, "tenant/", 7) && strlen(b.name) == 7 + strlen(tenants[i]) + 2);
	}
}

static void the_same_finding_has_the_same_id(void **state)
{
	struct regimes *g = shipped();
	struct found a = judge(g, NULL, "acme", ops("2e26"), ops("2e26")), b = judge(g, NULL, "acme", ops("3e26"), ops("4e26"));

	for (int i = 0; i < 4; i++) {
		assert_string_equal(a.lines[i], b.lines[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(a.lines[i], a.lines[k]);
	}
	regimes_free(g);
}

static struct owners *owners(const char *text)
{
	char path[] = "/tmp/opmeter-owners-XXXXXX";
	struct error_text err = { 0 };
	struct owners *o = NULL;
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	if (owners_load(path, &o, &err))
		fail_msg("%s", err.text);
	unlink(path);
	return o;
}

#define ENTITY(id, hq, more) "  - {id: " id ", name: \"N " id "\", headquarters: " hq ", source: s, as-of: 2026-01-01" more "}\n"
#define HEAD "entities:\n"
#define BIND(id) "tenants:\n  - {tenant: t, entity: " id "}\n"
#define PARENT(id, share, dates) ", parents: [{entity: " id ", share: " share ", source: s, as-of: 2026-01-01" dates "}]"
#define TOP ", no-parent: true"

static void owners_are_resolved(void **state)
{
	static const struct {
		const char *text;
		enum owner_state state;
		int flagged;
	} cases[] = {
		{ HEAD ENTITY("a", "US", TOP) BIND("a"), OWNER_KNOWN, 0 },
		{ HEAD ENTITY("a", "US", PARENT("b", "80%", "")) ENTITY("b", "CN", TOP) BIND("a"), OWNER_KNOWN, 1 },
		{ HEAD ENTITY("a", "CN", PARENT("b", "80%", "")) ENTITY("b", "US", TOP) BIND("a"), OWNER_KNOWN, 1 },
		{ HEAD ENTITY("a", "US", PARENT("b", "80%", "")) ENTITY("b", "CH", TOP) BIND("a"), OWNER_KNOWN, 1 },
		{ HEAD ENTITY("a", "US", PARENT("b", "49.9%", "")) ENTITY("b", "CN", TOP) BIND("a"), OWNER_PARENT_UNKNOWN, 1 },
		{ HEAD ENTITY("a", "US", "") BIND("a"), OWNER_PARENT_UNKNOWN, 1 },
		{ HEAD ENTITY("a", "US", PARENT("b", "100%", "")) ENTITY("b", "US", PARENT("a", "100%", "")) BIND("a"),
		  OWNER_CYCLE, 1 },
		{ HEAD ENTITY("a", "US", PARENT("b", "80%", ", to: 2026-06-01")) ENTITY("b", "CN", TOP) BIND("a"),
		  OWNER_PARENT_UNKNOWN, 1 },
		{ HEAD ENTITY("a", "UK", TOP) BIND("a"), OWNER_KNOWN, 0 },
		{ HEAD ENTITY("b", "US", TOP) "tenants:\n  - {tenant: other, entity: b}\n", OWNER_NO_ENTITY, 1 },
	};
	struct regimes *g = demo();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct owners *o = owners(cases[i].text);
		struct owner_answer a;
		struct found f;

		owners_resolve(o, "t", 20780, &a);
		assert_int_equal(a.state, cases[i].state);
		f = judge(g, o, "t", 0, 1);
		assert_int_equal(count(&f, "opmeter.alert.owner.v1"), cases[i].flagged);
		assert_int_equal(count(&f, "opmeter.case.v1"), 0); /* nothing material yet */
		owners_free(o);
	}
	regimes_free(g);
}

static void a_case_opens_when_training_is_material(void **state)
{
	struct regimes *g = demo();
	struct owners *o = owners(HEAD ENTITY("a", "US", PARENT("cumulus", "80%", "")) ENTITY("cumulus", "CN", TOP) BIND("a"));
	struct found below = judge(g, o, "t", 0, ops("5e15") - 1), at = judge(g, o, "t", 0, ops("5e15"));
	char *case_text = strstr(at.all, "opmeter.case.v1");

	assert_int_equal(count(&below, "opmeter.case.v1"), 0);
	assert_int_equal(count(&at, "opmeter.case.v1"), 1);
	assert_non_null(strstr(case_text, "cumulus"));
	/* What operators see names neither the parent nor a country. */
	assert_int_equal(count(&at, "\"CN\""), 1);
	assert_int_equal(count(&at, "cumulus"), 2); /* entity and name, in the case alone */
	owners_free(o);
	regimes_free(g);
}

static void an_ownership_version_is_its_facts(void **state)
{
	struct owners *a = owners(HEAD ENTITY("a", "US", PARENT("b", "80%", "")) ENTITY("b", "CN", TOP) BIND("a"));
	struct owners *b = owners(HEAD ENTITY("x", "FR", TOP) ENTITY("a", "US", PARENT("b", "80%", ""))
					  ENTITY("b", "CN", TOP) BIND("a"));
	struct owners *c = owners(HEAD ENTITY("a", "US", PARENT("b", "81%", "")) ENTITY("b", "CN", TOP) BIND("a"));
	struct owner_answer x, y, z;

	owners_resolve(a, "t", 20780, &x);
	owners_resolve(b, "t", 20780, &y);
	owners_resolve(c, "t", 20780, &z);
	assert_string_equal(x.version, y.version);
	assert_string_not_equal(x.version, z.version);
	owners_free(a);
	owners_free(b);
	owners_free(c);
}

static void lei_check_digits(void **state)
{
	assert_true(lei_is_valid("00TR8NKAEL48RGTZEW89"));
	assert_true(lei_is_valid("5493001KJTIIGC8Y1R12"));
	assert_false(lei_is_valid("5493001KJTIIGC8Y1R13"));
	assert_false(lei_is_valid("5493001KJTIIGC8Y1R1"));
	assert_false(lei_is_valid("5493001kjtiigc8y1r12"));
}

static void refuses(const char *text, const char *expected)
{
	char dir[] = "/tmp/opmeter-regime-XXXXXX", path[64];
	struct error_text err = { 0 };
	struct regimes *g = NULL;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/r.yaml", dir);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	if (regimes_load(dir, &g, &err) != -EINVAL || !strstr(err.text, expected))
		fail_msg("expected '%s', got '%s'", expected, err.text);
	unlink(path);
	rmdir(dir);
}

#define REGIME(mode, extra, threshold)                                                                                   \
	"id: x\nversion: \"1\"\ntitle: T\nkind: threshold\ncitation: c\nevidence: design\nsources: [s]\nmode: " mode "\n" extra \
	"threshold: " threshold "\nlevels:\n  - {name: a, share: 50%, bound: upper}\n"
#define GOOD "{operations: 1e26, comparator: \">=\", figure: training}"

static void a_slip_is_told_with_its_line(void **state)
{
	refuses(REGIME("shadow", "colour: red\n", GOOD), "r.yaml:9: unknown field 'colour'");
	refuses(REGIME("enforce", "", GOOD), "needs counsel's recorded acceptance");
	refuses(REGIME("sometimes", "", GOOD), "r.yaml:8: 'mode' must be one of");
	refuses(REGIME("enforce", "demo: true\n", GOOD), "DEMO");
	refuses(REGIME("shadow", "", "{operations: 1e26.5, comparator: \">=\", figure: training}"), "r.yaml:9: 'operations'");
	refuses(REGIME("shadow", "", "{operations: -1, comparator: \">=\", figure: training}"), "whole number");
	refuses(REGIME("shadow", "", "{operations: 1e26, comparator: \"=\", figure: training}"), "'comparator'");
	refuses(REGIME("shadow", "from: 2026-02-30\n", GOOD), "r.yaml:9: 'from' must be a date");
	refuses(REGIME("shadow", "mode: off\n", GOOD), "r.yaml:9: 'mode' stands here twice");
	refuses("id: [never closed\n", "r.yaml:2:");
	refuses("id: &a x\nversion: *a\n", "r.yaml:1: anchors");
}

/* What is declared, in this order; "word": without the digest of its evidence. */
struct said {
	enum declaration_kind kind;
	const char *subject, *other, *operations;
	bool word, value;
};

static struct declarations *declared(const struct said *said, size_t n)
{
	char dir[] = "/tmp/opmeter-declared-XXXXXX", path[64];
	struct error_text err = { 0 };
	struct declarations *ret;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/d.jsonl", dir);
	for (size_t i = 0; i < n; i++) {
		struct declaration d = { .kind = said[i].kind, .at_ns = NOW - 1000 + i, .by = "Jane Doe", .evidence = "letter",
					 .value = said[i].value };

		snprintf(d.subject, sizeof(d.subject), "%s", said[i].subject);
		snprintf(d.other, sizeof(d.other), "%s", said[i].other ? said[i].other : "");
		d.low = d.high = said[i].operations ? ops(said[i].operations) : 0;
		if (d.kind == DECLARE_SYNTHETIC)
			d.share_low_ppm = d.share_high_ppm = 120000;
		if (!said[i].word)
			memset(d.digest, 'a', 64);
		if (declarations_append(path, &d, NULL, 0, &err))
			fail_msg("%s", err.text);
	}
	if (declarations_load(path, &ret, &err))
		fail_msg("%s", err.text);
	unlink(path);
	unlink(strcat(path, ".head"));
	rmdir(dir);
	return ret;
}

/* 3e25 to 4e25 of "seen" are observed here, of nothing else anything. */
static int observed(void *ctx, const char *subject, opcount *low, opcount *high)
{
	if (strcmp(subject, "seen"))
		return 1;
	*low = ops("3e25");
	*high = ops("4e25");
	return 0;
}

static struct verdict verdict_on(const struct regime *g, const char *own, const struct said *said, size_t n)
{
	struct declarations *d = declared(said, n);
	struct policy p = { .source = "/opmeter/test", .now_ns = NOW, .declarations = d, .observed = observed };
	struct om_subject_total total = { .tenant = "acme", .model = "lm", .training_low = ops(own), .training_high = ops(own),
					  .all_low = ops(own), .all_high = ops(own), .meters = 2 };
	char name[POLICY_NAME_MAX];
	struct policy_subject s;
	struct verdict v = { 0 };

	policy_subject_of(&total, name, &s);
	policy_verdict(&p, &s, g, &v);
	declarations_free(d);
	return v;
}
#define VERDICT(g, own, ...)                                                                                             \
	verdict_on(g, own, (const struct said[]){ __VA_ARGS__ }, sizeof((const struct said[]){ __VA_ARGS__ }) / sizeof(struct said))

/* Conditional is never exceeded: not as a finding, not in words, not as what opens a case. */
static void conditional_is_never_exceeded(void **state)
{
	struct regimes *g = shipped();
	const struct regime *r = regimes_find(g, "us-bis-4e091");
	struct verdict v = VERDICT(r, "2e26", { DECLARE_FACT, "acme/lm", "nothing", .value = true });
	char words[400];
	struct found f;

	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	assert_int_equal(v.cases & (1u << CASE_EXCEEDED), 0);
	assert_true(v.cases & r->cases & (1u << CASE_CONDITIONAL));
	assert_string_equal(verdict_words(&v, words, sizeof(words)),
			    "conditional(published-frontier operations of Note 2): whether level 'exceeded' is met depends on that");
	f = judge(g, NULL, "acme", ops("2e26"), ops("2e26"));
	assert_int_equal(count(&f, "level 'exceeded' would be met: conditional("), 1);
	assert_int_equal(count(&f, "\"findings\":[\"exceeded\""), 0);
	assert_int_equal(count(&f, "\"findings\":[\"conditional\"]"), 4);
	/* Its one level is called notice, and that exceeds nothing, shown or not. */
	v = VERDICT(regimes_find(g, "eu-gpai"), "2e23", { DECLARE_FACT, "acme/lm", "nothing", .value = true });
	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	assert_non_null(strstr(verdict_words(&v, words, sizeof(words)), "whether level 'notice' is met"));
	/* Where nothing is missing it is exceeded, and not conditional. */
	v = VERDICT(regimes_find(g, "eu-ai-act-51"), "2e25", { DECLARE_FACT, "acme/lm", "nothing", .value = true });
	assert_int_equal(v.cases, 1u << CASE_EXCEEDED);
	regimes_free(g);
}

/* "No" silences a rule only with evidence; "yes" needs none. */
static void a_word_does_not_take_a_condition_away(void **state)
{
	struct regimes *g = shipped();
	const struct regime *r = regimes_find(g, "eu-gpai");
	struct verdict v = VERDICT(r, "2e23", { DECLARE_FACT, "acme/lm", "generates-media", .word = true, .value = false });

	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	v = VERDICT(r, "2e23", { DECLARE_FACT, "acme/lm", "generates-media", .value = false });
	assert_int_equal(v.standing, VERDICT_NOT_HELD);
	v = VERDICT(r, "2e23", { DECLARE_FACT, "acme/lm", "generates-media", .word = true, .value = true });
	assert_int_equal(v.standing, VERDICT_REACHED);
	regimes_free(g);
}

/* What the text compares with, and how: 10^26 or more, more than 10^25. */
static void a_sentence_compares_as_the_law_does(void **state)
{
	struct regimes *g = shipped();
	struct found f = judge(g, NULL, "acme", ops("2e26"), ops("2e26"));

	assert_int_equal(count(&f, ", at least 1.00e+26 (meters"), 1);
	only = "\"regime\":\"eu-ai-act-51\"";
	f = judge(g, NULL, "acme", ops("2e26"), ops("2e26"));
	assert_int_equal(count(&f, ", more than 1.00e+25 (meters"), 1);
	assert_int_equal(count(&f, "at least"), 0);
	/* No title is cut. */
	for (size_t i = 0; i < regimes_count(g); i++)
		if (strlen(regimes_at(g, i)->title) > 100)
			fail_msg("%s: the title is too long for an alert", regimes_at(g, i)->id);
	regimes_free(g);
}

/* What devices did is said only where something looked. */
static void what_was_executed_is_not_known_without_a_meter(void **state)
{
	struct regimes *g = shipped();
	struct om_subject_total total = { .tenant = "acme", .model = "lm", .training_low = 5, .training_high = 5, .executed_high = 99,
					  .attempted = true, .meters = 1u << OM_METER_SHAPE };
	struct policy p = { .regimes = g, .source = "/opmeter/test", .now_ns = NOW };
	char name[POLICY_NAME_MAX];
	struct policy_subject s;

	policy_subject_of(&total, name, &s);
	for (int seen = 0; seen < 2; seen++) {
		struct verdict_steps steps = { .count = 0 };
		struct verdict v = { .steps = &steps };

		total.meters |= seen ? 1u << OM_METER_DEVICE : 0;
		policy_verdict(&p, &s, regimes_find(g, "us-bis-4e091"), &v);
		assert_non_null(strstr(steps.text[1], seen ? "executed for training by the devices" : "what devices executed is not known"));
	}
	regimes_free(g);
}

struct met {
	struct om_forecast_point point[3];
	size_t count;
};

static int days_of(void *ctx, const struct policy_subject *s, struct om_forecast_point **ret, size_t *ret_count)
{
	const struct met *m = ctx;

	*ret = m->count ? calloc(m->count, sizeof(**ret)) : NULL;
	if (m->count)
		memcpy(*ret, m->point, m->count * sizeof(**ret));
	*ret_count = m->count;
	return 0;
}

static struct found judged_with_days(const struct regimes *g, struct met *m)
{
	struct policy p = { .regimes = g, .source = "/opmeter/test", .now_ns = NOW, .days = days_of, .days_ctx = m };
	struct om_subject_total s = { .tenant = "acme", .model = "m", .training_low = ops("3e25"), .training_high = ops("3e25"), .meters = 2 };
	struct found f = { .count = 0 };

	only = "\"level\":\"exceeded\"";
	assert_int_equal(policy_judge(&p, &s, collect, &f), 0);
	return f;
}

/* The EU's two weeks run from the day on which the level was met, whenever somebody looks. */
static void a_duty_is_due_from_the_day_it_was_met(void **state)
{
	struct regimes *g = shipped();
	int32_t day = (int32_t)(NOW / 86400000000000ULL);
	struct met m = { { { day - 60, ops("9e24"), ops("1.1e25") }, { day - 40, ops("1e25"), ops("2e25") }, { day - 30, ops("1e25") + 1, ops("3e25") } }, 3 };
	struct found f = judged_with_days(g, &m);
	char expected[160], met[16], due[16];

	assert_string_equal(date_format(day - 30, met), "2026-10-24");
	date_format(day - 30 + 1 + 14, due);
	snprintf(expected, sizeof(expected), "\"met_on\":\"%s\",\"due\":\"%sT00:00:00Z\",\"not_later_than\":null", met, due);
	assert_int_equal(count(&f, expected), 1);
	/* Not known since when: now at the latest, so there is no date but the last one. */
	m.count = 0;
	f = judged_with_days(g, &m);
	date_format(day + 14, due);
	snprintf(expected, sizeof(expected), "\"met_on\":null,\"due\":null,\"not_later_than\":\"%sT", due);
	assert_int_equal(count(&f, expected), 1);
	regimes_free(g);
}

#define FROM_PUBLISHED { DECLARE_PUBLICATION, "base" }, { DECLARE_PARENT, "acme/lm", "base" }
#define DATA_OF(generator) { DECLARE_SYNTHETIC, "acme/lm", generator, "8e23" }

/* Note 1 exempts what was added to published weights, and here not all of it is known. */
static void a_gap_never_exempts(void **state)
{
	struct regimes *all = shipped();
	const struct regime *g = regimes_find(all, "us-bis-4e091");
	struct verdict v = VERDICT(g, "1e25", FROM_PUBLISHED, DATA_OF("teacher"));

	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	assert_string_equal(v.missing, "training operations of teacher");
	/* What it took to train the published parent is no gap of that; nor is a generator that is known. */
	v = VERDICT(g, "1e25", FROM_PUBLISHED);
	assert_int_equal(v.standing, VERDICT_EXEMPT);
	v = VERDICT(g, "1e25", FROM_PUBLISHED, DATA_OF("teacher"), { DECLARE_TRAINING, "teacher", NULL, "1e24" });
	assert_int_equal(v.standing, VERDICT_EXEMPT);
	v = VERDICT(g, "1e25", FROM_PUBLISHED, DATA_OF("teacher"), { DECLARE_TRAINING, "teacher", NULL, "1e24" },
		    { DECLARE_PARENT, "teacher", "base" });
	assert_int_equal(v.standing, VERDICT_EXEMPT);
	regimes_free(all);
}

/* The one that nobody knows may be the one with the most training. */
static void an_unknown_generator_is_missing(void **state)
{
	struct regimes *all = shipped();
	const struct regime *g = regimes_find(all, "us-bis-4e091");
	struct verdict v = VERDICT(g, "2e25", DATA_OF("dark"), DATA_OF("known"), { DECLARE_TRAINING, "known", NULL, "1e25" });

	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	assert_string_equal(v.missing, "training operations of dark");
	v = VERDICT(g, "2e25", DATA_OF("known"), DATA_OF("dark"), { DECLARE_TRAINING, "known", NULL, "1e25" });
	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	assert_string_equal(v.missing, "training operations of dark");
	v = VERDICT(g, "2e25", DATA_OF("dark"), DATA_OF("dark too"));
	assert_string_equal(v.missing, "training operations of dark; training operations of dark too");
	/* The known part alone is beyond the limit: that is not in doubt. */
	v = VERDICT(g, "2e25", DATA_OF("dark"), DATA_OF("known"), { DECLARE_TRAINING, "known", NULL, "9e25" });
	assert_string_equal(v.missing, g->floor_missing);
	regimes_free(all);
}

/* Two that made each other's data, and one that made its own: each counts once. */
static void generators_in_a_circle_end(void **state)
{
	struct regimes *all = shipped();
	const struct regime *g = regimes_find(all, "us-bis-4e091");
	struct verdict v = VERDICT(g, "2e25", DATA_OF("a"), { DECLARE_SYNTHETIC, "a", "b", "0" }, { DECLARE_SYNTHETIC, "b", "a", "0" },
				   { DECLARE_SYNTHETIC, "b", "b", "0" }, { DECLARE_TRAINING, "a", NULL, "1e25" },
				   { DECLARE_TRAINING, "b", NULL, "2e25" });

	assert_true(v.high == ops("5e25") + ops("8e23") && v.low == v.high);
	assert_string_equal(v.missing, "");
	regimes_free(all);
}

/* The parent is known and the generator is not: the part is still of the parent's figure. */
static void a_part_is_of_what_is_known_of_the_parent(void **state)
{
	struct regimes *all = shipped();
	struct regime g = *regimes_find(all, "eu-modification-systemic");
	struct verdict v;

	g.requires_count = 0;
	g.synthetic.is_set = true; /* no shipped rule about parts counts it; one may */
	g.synthetic.over_ppm = 100000;
	v = VERDICT(&g, "1e25", { DECLARE_PARENT, "acme/lm", "base" }, { DECLARE_TRAINING, "base", NULL, "9e25" }, DATA_OF("teacher"));
	assert_true(v.limit.operations == ops("9e25"));
	assert_int_equal(v.standing, VERDICT_CONDITIONAL);
	assert_string_equal(v.missing, "training operations of teacher");
	/* The other way round a number stands in for the parent's, and nothing is in doubt. */
	v = VERDICT(&g, "1e25", { DECLARE_PARENT, "acme/lm", "base" }, DATA_OF("teacher"), { DECLARE_TRAINING, "teacher", NULL, "1e24" });
	assert_true(v.limit.operations == g.fraction.fallback);
	assert_int_equal(v.standing, VERDICT_REACHED);
	regimes_free(all);
}

static void a_mere_word_lowers_nothing(void **state)
{
	struct regimes *all = shipped();
	const struct regime *g = regimes_find(all, "us-bis-4e091");
	struct verdict v = VERDICT(g, "5e25", { DECLARE_SYNTHETIC, "acme/lm", "teacher", "8e24", .word = true, .value = true },
				   { DECLARE_TRAINING, "teacher", NULL, "1e25" });

	/* That the data is published. */
	assert_true(v.low == ops("5e25") && v.high == ops("6.8e25"));
	v = VERDICT(g, "5e25", { DECLARE_SYNTHETIC, "acme/lm", "teacher", "8e24", .value = true }, { DECLARE_TRAINING, "teacher", NULL, "1e25" });
	assert_true(v.low == ops("5e25") && v.high == ops("5e25"));
	/* That a parent was trained less, or more, than is seen here. */
	v = VERDICT(g, "1e25", { DECLARE_PARENT, "acme/lm", "seen" }, { DECLARE_TRAINING, "seen", NULL, "1e24", .word = true });
	assert_true(v.low == ops("4e25") && v.high == ops("5e25"));
	v = VERDICT(g, "1e25", { DECLARE_PARENT, "acme/lm", "seen" }, { DECLARE_TRAINING, "seen", NULL, "6e25", .word = true });
	assert_true(v.low == ops("4e25") && v.high == ops("7e25"));
	v = VERDICT(g, "1e25", { DECLARE_PARENT, "acme/lm", "seen" }, { DECLARE_TRAINING, "seen", NULL, "6e25" });
	assert_true(v.low == ops("7e25") && v.high == ops("7e25"));
	regimes_free(all);
}

/* To the byte what make.py writes from docs/alerts.md, a name that has to be escaped included. */
static void alerts_are_golden(void **state)
{
	struct regimes *g = demo();
	struct policy p = { .regimes = g, .source = "/opmeter/golden", .now_ns = NOW };
	struct om_subject_total s = { .tenant = "ac\"me\\\x01", .model = "\xc3\xa9", .training_low = ops("8e15"), .training_high = ops("1e16") + 1,
				      .executed_low = ops("4e15"), .executed_high = ops("2e16") + 2, .attempted = true, .losses = 8,
				      .meters = 1u << OM_METER_SHAPE | 1u << OM_METER_DEVICE };
	struct found f = { .count = 0 };
	char want[8192];
	FILE *in = fopen("tests/golden/alerts_v1.jsonl", "r");
	size_t n;

	assert_non_null(in);
	n = fread(want, 1, sizeof(want) - 1, in);
	fclose(in);
	want[n] = '\0';
	assert_int_equal(policy_judge(&p, &s, collect, &f), 0);
	assert_string_equal(f.all, want);
	regimes_free(g);
}

/* --- duties whose clock runs from the day on which it is known --- */

struct duties {
	int count;
	char text[3][4096];
	struct om_id id[3];
};

static int take_duty(void *ctx, const struct alert *a)
{
	struct duties *d = ctx;

	assert_int_equal(a->type, ALERT_DUTY);
	snprintf(d->text[d->count], sizeof(d->text[0]), "%s", a->data);
	d->id[d->count++] = a->id;
	return 0;
}

#define TODAY 20780 /* 2026-11-23 */

/* As many operations on each of so many days, of which the last is TODAY + last; asked on TODAY + ask. */
static struct duties known(const struct regimes *g, opcount a_day, int days, int last, int ask, const struct declarations *said)
{
	struct policy p = { .regimes = g, .source = "/opmeter/test", .now_ns = (uint64_t)(TODAY + ask) * 86400000000000ULL, .declarations = said };
	struct om_forecast_point *points = calloc((size_t)days, sizeof(*points));
	struct om_subject_total s = { .tenant = "acme", .model = "lm", .lineage = "", .meters = 2 };
	struct duties ret = { .count = 0 };
	struct policy_subject subject;
	char name[POLICY_NAME_MAX];

	for (int i = 0; i < days; i++)
		points[i] = (struct om_forecast_point){ TODAY + last - days + 1 + i, a_day * (unsigned)(i + 1), a_day * (unsigned)(i + 1) };
	s.training_low = s.training_high = a_day * (unsigned)days;
	policy_subject_of(&s, name, &subject);
	assert_int_equal(policy_judge_known(&p, &subject, points, (size_t)days, take_duty, &ret), 0);
	free(points);
	return ret;
}

static int32_t day_in(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	char date[16];
	int32_t day;

	assert_non_null(at);
	snprintf(date, sizeof(date), "%.10s", at + strlen(key));
	assert_int_equal(date_parse(date, &day), 0);
	return day;
}

/* The least from which on anything can be known: at it, as fast as can be, it is; one below nothing is, whatever the days. */
static void below_the_least_nothing_is_known(void **state)
{
	struct regimes *g = shipped();
	struct policy p = { .regimes = g, .source = "/opmeter/test", .now_ns = TODAY * 86400000000000ULL };
	opcount least, least_high, limit = ops("1e25") + 1;
	int from = 0;

	policy_least_known(&p, &least, &least_high);
	assert_true(least == limit / (2 * POLICY_KNOWN_DAYS) && least_high == OPCOUNT_MAX); /* all go by the lower bound */
	/* Of runs that go on evenly the shortest ones of each factor need the least. */
	for (int days = 1; days <= 80; days++) {
		opcount a_day = (least - 1) / (unsigned)days;

		assert_int_equal(known(g, a_day, days, -1, 0, NULL).count, 0);
		for (unsigned share = 10; share < 70 && !from; share++)
			from = known(g, least * share / 10 / (unsigned)days, days, -1, 0, NULL).count ? (int)share : 0;
	}
	assert_true(from > 0); /* and not much above it there is */
	regimes_free(g);
}

/* The EU's two weeks run from the first day whose forecast lies within the horizon whole, and from that day whoever asks later. */
static void a_clock_runs_since_it_is_known(void **state)
{
	struct regimes *g = shipped();
	/* 10^25 is passed on day 100. On day d after four weeks the slow rate is half: (100 - d) * 2 <= 90. */
	struct duties first = known(g, ops("1e23"), 60, -1, 0, NULL), later = known(g, ops("1e23"), 60, -1, 5, NULL), early = known(g, ops("1e23"), 54, -1, 0, NULL);
	int32_t begun = TODAY - 60, on;

	assert_int_equal(first.count, 1);
	assert_non_null(strstr(first.text[0], "\"regime\":\"eu-ai-act-51\""));
	on = day_in(first.text[0], "\"known_on\":\"");
	assert_true(day_in(first.text[0], "\"latest\":\"") - on <= 90 && day_in(first.text[0], "\"latest\":\"") - on > 87);
	assert_int_equal(day_in(first.text[0], "\"due\":\""), on + 1 + 14);
	assert_true(on - begun > 50 && on - begun < 60);
	/* Asked later: the same finding, to the byte. */
	assert_string_equal(first.text[0], later.text[0]);
	assert_memory_equal(&first.id[0], &later.id[0], sizeof(first.id[0]));
	/* The day before that day it was not known. */
	assert_int_equal(early.count, 0);
	assert_int_equal(known(g, ops("1e23"), on - begun, -1, 0, NULL).count, 0);
	assert_int_equal(known(g, ops("1e23"), on - begun + 1, -1, 0, NULL).count, 1);
	/* A day counts when it is over. */
	assert_int_equal(known(g, ops("1e23"), on - begun + 1, -1, -1, NULL).count, 0);
	/* Far below: nothing is known. */
	assert_int_equal(known(g, ops("1e20"), 60, -1, 0, NULL).count, 0);
	regimes_free(g);
}

/* Where nothing was known before, the clock runs from the day on which the level was met, whoever asks when; on the threshold, which the EU's
 * "more than" does not meet, it does not run. */
static void a_clock_runs_since_the_level_is_met(void **state)
{
	struct regimes *g = shipped();
	struct duties first = known(g, ops("1e25") + 1, 1, -1, 0, NULL), later = known(g, ops("1e25") + 1, 1, -1, 9, NULL), at;

	assert_int_equal(first.count, 1);
	assert_int_equal(day_in(first.text[0], "\"met_on\":\""), TODAY - 1);
	assert_int_equal(day_in(first.text[0], "\"due\":\""), TODAY + 14);
	assert_null(strstr(first.text[0], "known_on"));
	assert_null(strstr(first.text[0], "forecast"));
	assert_string_equal(first.text[0], later.text[0]);
	assert_memory_equal(&first.id[0], &later.id[0], sizeof(first.id[0]));
	at = known(g, ops("1e25"), 1, -1, 0, NULL); /* it is known then, and not met */
	assert_int_equal(at.count, 1);
	assert_null(strstr(at.text[0], "met_on"));
	assert_int_equal(day_in(at.text[0], "\"known_on\":\""), TODAY - 1);
	assert_memory_not_equal(&first.id[0], &at.id[0], sizeof(first.id[0]));
	/* Not over yet. */
	assert_int_equal(known(g, ops("1e25") + 1, 1, 0, 0, NULL).count, 0);
	regimes_free(g);
}

/* What people declare with evidence counts from when they did. */
static void what_is_declared_makes_it_known_earlier(void **state)
{
	struct regimes *g = shipped();
	const struct said said[] = { { DECLARE_EXTERNAL, "acme/lm", "elsewhere", "5e24" } };
	struct declarations *d = declared(said, 1);
	/* Declared just before NOW, which is in the day TODAY: it is known at the end of that day. */
	struct duties without = known(g, ops("1e23"), 40, 1, 2, NULL), with = known(g, ops("1e23"), 40, 1, 2, d);

	assert_int_equal(without.count, 0);
	assert_int_equal(with.count, 1);
	assert_int_equal(day_in(with.text[0], "\"known_on\":\""), TODAY);
	assert_non_null(strstr(with.text[0], "\"declared\":\"5000000000000000000000000\""));
	declarations_free(d);
	regimes_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_level_to_the_operation),	cmocka_unit_test(more_than_is_not_at_least),
		cmocka_unit_test(what_is_missing_makes_it_conditional), cmocka_unit_test(the_shipped_rule_is_in_shadow),
		cmocka_unit_test(the_same_finding_has_the_same_id), cmocka_unit_test(nobody_takes_a_groups_name), cmocka_unit_test(inference_raises_nothing), cmocka_unit_test(owners_are_resolved),
		cmocka_unit_test(a_case_opens_when_training_is_material), cmocka_unit_test(an_ownership_version_is_its_facts),
		cmocka_unit_test(lei_check_digits),		cmocka_unit_test(a_slip_is_told_with_its_line),
		cmocka_unit_test(a_gap_never_exempts), cmocka_unit_test(an_unknown_generator_is_missing),
		cmocka_unit_test(generators_in_a_circle_end), cmocka_unit_test(a_part_is_of_what_is_known_of_the_parent),
		cmocka_unit_test(a_mere_word_lowers_nothing), cmocka_unit_test(alerts_are_golden),
		cmocka_unit_test(below_the_least_nothing_is_known),
		cmocka_unit_test(conditional_is_never_exceeded), cmocka_unit_test(a_word_does_not_take_a_condition_away),
		cmocka_unit_test(a_sentence_compares_as_the_law_does), cmocka_unit_test(what_was_executed_is_not_known_without_a_meter),
		cmocka_unit_test(a_duty_is_due_from_the_day_it_was_met),
		cmocka_unit_test(a_clock_runs_since_it_is_known), cmocka_unit_test(a_clock_runs_since_the_level_is_met), cmocka_unit_test(what_is_declared_makes_it_known_earlier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
