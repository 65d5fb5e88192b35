// SPDX-License-Identifier: Apache-2.0
/* Regimes as files: what is refused and where, versions beside each other, acceptances, fractions, what is said in words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "userspace/base/yaml.h"
#include "userspace/core/regime.h"

struct place {
	char dir[64], path[8][96];
	size_t files;
};

static void begin(struct place *p)
{
	*p = (struct place){ .dir = "/tmp/opmeter-regimes-XXXXXX" };
	assert_non_null(mkdtemp(p->dir));
}

static void put(struct place *p, const char *name, const char *text)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%.60s/%.30s", p->dir, name);
	memcpy(p->path[p->files++], path, sizeof(path));
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void end(struct place *p)
{
	for (size_t i = 0; i < p->files; i++)
		unlink(p->path[i]);
	rmdir(p->dir);
}

static void refused(struct place *p, const char *expected)
{
	struct error_text err = { 0 };
	struct regimes *g = NULL;

	if (regimes_load(p->dir, &g, &err) != -EINVAL || !strstr(err.text, expected))
		fail_msg("expected '%s', got '%s'", expected, err.text);
	end(p);
}

static struct regimes *loaded(struct place *p)
{
	struct error_text err = { 0 };
	struct regimes *g = NULL;

	if (regimes_load(p->dir, &g, &err))
		fail_msg("%s", err.text);
	end(p);
	return g;
}

#define HEAD(id, version, mode) \
	"id: " id "\nversion: \"" version "\"\ntitle: T\nkind: threshold\ncitation: c\nevidence: design\nsources: [s]\nmode: " mode "\n"
#define LEVELS "levels:\n  - {name: a, share: 50%, bound: upper}\n  - {name: exceeded, share: 100%, bound: lower}\n"
#define PLAIN "threshold: {operations: 1e26, comparator: \">=\", figure: algorithmic}\n" LEVELS
#define FLOOR(n) \
	"threshold: {operations: 1e26, comparator: \">=\", figure: algorithmic, floor: {what: w, operations: " n "}}\n" LEVELS

static void slip(const char *text, const char *expected)
{
	struct place p;

	begin(&p);
	put(&p, "r.yaml", text);
	refused(&p, expected);
}

static void every_field_has_its_line(void **state)
{
	slip(HEAD("x", "1", "shadow") PLAIN "notices:\n  - {what: w}\n", "r.yaml:14: a notice needs a clock");
	slip(HEAD("x", "1", "shadow") PLAIN "notices:\n  - {what: w, within-days: 15, level: b}\n", "r.yaml:14: there is no level 'b'");
	slip(HEAD("x", "1", "shadow") PLAIN "notices:\n  - {what: w, within-days: 0}\n", "r.yaml:14: 'within-days' must be a whole number");
	slip(HEAD("x", "1", "shadow") PLAIN "notices:\n  - {what: w, calendar: [\"02-29\"]}\n", "r.yaml:14: a date of every year");
	slip(HEAD("x", "1", "shadow") PLAIN "history:\n  - {date: 2026-01-02, what: w}\n  - {date: 2026-01-01, what: w}\n", "r.yaml:15: events stand");
	slip(HEAD("x", "1", "shadow") PLAIN "status: {code: lively, as-of: 2026-01-01}\n", "r.yaml:13: 'code' must be one of");
	slip(HEAD("x", "1", "shadow") PLAIN "retention: {years: 5, from: f, citation: c, hold: maybe}\n", "r.yaml:13: 'hold' must be true or false");
	slip(HEAD("x", "1", "shadow") PLAIN "clauses:\n  - {id: a, says: b}\n", "r.yaml:14: 'citation' is missing");
	slip(HEAD("x", "1", "shadow") "treshold: {operations: 1e26, comparator: \">=\", figure: algorithmic}\n" LEVELS,
	     "r.yaml:9: 'threshold' is missing: is 'treshold' meant for it?");
	slip(HEAD("x", "1", "shadow") PLAIN "cases: [rumour]\n", "r.yaml:13: nothing called 'rumour' opens a case");
	slip(HEAD("x", "1", "shadow") PLAIN "from: 2026-01-01\nto: 2026-01-01\n", "must be later than 'from'");
	slip(HEAD("x", "1", "shadow") PLAIN "derived: {at-least: 1e25, floor-share: 25%, comparator: \">\", citation: c}\n", "there is no 'floor'");
	slip(HEAD("x", "1", "shadow") "threshold: {operations: null, comparator: \">\", figure: algorithmic}\n" LEVELS, "r.yaml:9: 'missing' is missing");
	slip(HEAD("x", "1", "shadow") "threshold: {operations: 1e26, comparator: \">\", figure: guessed}\n" LEVELS, "r.yaml:9: 'figure' must be one of");
	slip(HEAD("x", "1", "shadow") "threshold: {operations: 1e26, comparator: \">\", figure: algorithmic}\nlevels:\n  - {name: a, share: 100%, bound: upper}\n",
	     "r.yaml:11: the level of the threshold itself");
	slip("id: x\nversion: \"1\"\ntitle: T\nkind: fraction\ncitation: c\nevidence: design\nsources: [s]\nmode: off\n"
	     "fraction: {of-parent: 4/3, comparator: \">\", figure: algorithmic}\n" LEVELS, "r.yaml:9: 'of-parent' must be a fraction");
	slip("id: x\nversion: \"1\"\ntitle: T\nkind: capacity\ncitation: c\nevidence: design\nsources: [s]\nmode: off\n"
	     "capacity:\n  - {id: a, what: w, scope: country, tpp: 5, comparator: \">\", not-in: nowhere}\n", "r.yaml:10: no country set 'nowhere'");
	slip("id: x\nversion: \"1\"\ntitle: \"\xff\"\n", "r.yaml:3: ");
	slip("id: x\nversion: \"1\"\ntitle: T\nkind: text\ncitation: c\nevidence: design\nsources: [s]\nmode: notice\n", "its mode is off");
	slip("id: x\nversion: \"1\"\ntitle: T\nkind: threshold\ncitation: c\nevidence: design\nsources: []\nmode: off\n" PLAIN, "r.yaml:7: 'sources' is empty");
}

static void versions_stand_beside_each_other(void **state)
{
	struct place p;
	struct regimes *g;

	begin(&p);
	put(&p, "a.yaml", HEAD("x", "1", "off") PLAIN "from: 2025-01-01\nto: 2026-01-01\n");
	put(&p, "b.yaml", HEAD("x", "2", "notice") PLAIN "from: 2026-01-01\n");
	g = loaded(&p);
	assert_string_equal(regimes_on(g, "x", 20453)->version, "1"); /* 2025-12-31 */
	assert_string_equal(regimes_on(g, "x", 20454)->version, "2");
	assert_string_equal(regimes_find(g, "x")->version, "2");
	assert_null(regimes_on(g, "x", 20000));
	assert_false(regime_holds_on(regimes_version(g, "x", "1"), 20453));
	regimes_free(g);
	begin(&p);
	put(&p, "a.yaml", HEAD("x", "1", "off") PLAIN "from: 2025-01-01\nto: 2026-01-02\n");
	put(&p, "b.yaml", HEAD("x", "2", "notice") PLAIN "from: 2026-01-01\n");
	refused(&p, "end the older with 'to'");
	begin(&p);
	put(&p, "a.yaml", HEAD("x", "1", "off") FLOOR("3e26") "from: 2025-01-01\nto: 2026-01-01\n");
	put(&p, "b.yaml", HEAD("x", "2", "off") FLOOR("299999999999999999999999999") "from: 2026-01-01\n");
	refused(&p, "must not decrease");
	begin(&p);
	put(&p, "a.yaml", HEAD("x", "1", "off") PLAIN);
	put(&p, "b.yaml", HEAD("x", "1", "off") PLAIN);
	refused(&p, "stands in a.yaml too");
}

static void hash(const char *text, char hex[65])
{
	unsigned char h[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(h, (const unsigned char *)text, strlen(text));
	sodium_bin2hex(hex, 65, h, sizeof(h));
}

static void an_acceptance_is_of_one_text(void **state)
{
	static const char *const text = HEAD("x", "1", "shadow") PLAIN;
	char hex[65], line[400];
	struct place p;
	struct regimes *g;

	hash(text, hex);
	snprintf(line, sizeof(line), "accepted:\n  - {regime: x, version: \"1\", digest: %s, by: B, date: 2026-01-01, reference: r}\n", hex);
	begin(&p);
	put(&p, "x.yaml", text);
	put(&p, "acceptances.yaml", line);
	g = loaded(&p);
	assert_int_equal(regimes_find(g, "x")->mode, REGIME_ENFORCE);
	assert_string_equal(regimes_find(g, "x")->accepted.by, "B");
	regimes_free(g);
	begin(&p);
	put(&p, "x.yaml", HEAD("x", "1", "shadow") PLAIN "notes: [changed]\n");
	put(&p, "acceptances.yaml", line);
	refused(&p, "acceptances.yaml:2: another text of x version 1 was accepted");
	begin(&p);
	put(&p, "x.yaml", HEAD("x", "1", "enforce") PLAIN);
	refused(&p, "needs counsel's recorded acceptance");
	begin(&p);
	put(&p, "x.yaml", HEAD("y", "1", "shadow") PLAIN);
	put(&p, "acceptances.yaml", line);
	refused(&p, "there is no x version 1 to accept");
}

/* An acceptance beside the text could be of any text that comes after it. */
static void no_text_accepts_itself(void **state)
{
	slip(HEAD("x", "1", "enforce") PLAIN "accepted: {by: B, date: 2026-01-01, reference: r}\n", "r.yaml:13: an acceptance does not stand in the text");
	slip(HEAD("x", "1", "shadow") PLAIN "accepted: {by: B, date: 2026-01-01, reference: r}\n", "acceptances.yaml, with the text's digest");
}

static void nobody_accepts_on_a_day_to_come(void **state)
{
	static const char *const text = HEAD("x", "1", "shadow") PLAIN;
	struct error_text err = { 0 };
	char hex[65], line[400];
	struct regimes *g;
	struct place p;
	int32_t day;

	hash(text, hex);
	snprintf(line, sizeof(line), "accepted:\n  - {regime: x, version: \"1\", digest: %s, by: B, date: 2099-01-01, reference: r}\n", hex);
	begin(&p);
	put(&p, "x.yaml", text);
	put(&p, "acceptances.yaml", line);
	g = loaded(&p);
	assert_int_equal(date_parse("2099-01-01", &day), 0);
	assert_int_equal(regimes_check_accepted(g, day - 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "x version 1 is accepted on 2099-01-01, a day to come"));
	assert_int_equal(regimes_check_accepted(g, day, &err), 0);
	regimes_free(g);
}

static void fractions_are_exact(void **state)
{
	struct regime_limit third = { 0, 1, 3, REGIME_MORE_THAN };

	opcount_parse("1e25", &third.operations);
	/* 1e25/3 is no whole number: the first figure that is more has the remainder cut and one added. */
	assert_true(regime_limit_figure(&third, 1000000) == third.operations / 3 + 1);
	third.comparator = REGIME_AT_LEAST;
	assert_true(regime_limit_figure(&third, 1000000) == third.operations / 3 + 1);
	third.operations = 9;
	assert_true(regime_limit_figure(&third, 1000000) == 3);
	third.comparator = REGIME_MORE_THAN;
	assert_true(regime_limit_figure(&third, 1000000) == 4);
	third.operations = OPCOUNT_MAX;
	assert_true(regime_limit_figure(&third, 1000000) == OPCOUNT_MAX);
}

struct seen {
	const char *field, *part;
	bool found;
};

static int look(void *ctx, const char *field, const char *text)
{
	struct seen *s = ctx;

	s->found |= !strcmp(field, s->field) && strstr(text, s->part) != NULL;
	return 0;
}

static void says(const struct regimes *g, const char *id, const char *field, const char *part)
{
	struct seen s = { field, part, false };

	assert_int_equal(regime_each_fact(regimes_find(g, id), look, &s), 0);
	if (!s.found)
		fail_msg("%s: no %s says '%s'", id, field, part);
}

/* What the law's own words say, found again in ours. */
static void the_shipped_ones_say_it(void **state)
{
	struct error_text err = { 0 };
	struct regimes *g;

	if (regimes_load("data/regimes", &g, &err))
		fail_msg("%s", err.text);
	says(g, "us-bis-4e091", "threshold", ">= 100000000000000000000000000");
	says(g, "us-bis-4e091", "floor", "not known");
	says(g, "us-bis-4e091", "derived from published weights", "higher of 25000000000000000000000000 and 1/4 of the floor");
	says(g, "us-bis-4e091", "synthetic data", "over 10 %");
	says(g, "us-bis-4e091", "clause", "734.9(l)");
	says(g, "us-bis-4e091", "unverified", "Note 2");
	says(g, "us-bis-veu-fine-tuning", "fraction", "1/4 of the training operations of the parent");
	says(g, "eu-ai-act-51", "threshold", "> 10000000000000000000000000");
	says(g, "eu-ai-act-51", "notice", "within 14 days");
	says(g, "eu-modification-systemic", "fraction", "1/3");
	says(g, "us-iaas-training-report", "notice", "within 15 days");
	says(g, "us-iaas-training-report", "threshold", "conditional");
	says(g, "us-ca-sb53", "notice", "within 24 hours");
	says(g, "us-ny-raise", "notice", "within 72 hours");
	says(g, "us-ca-sb53", "threshold", "(1.00e+26)");
	says(g, "us-bis-4e091", "clause", "STA barred");
	says(g, "us-bis-4e091", "clause", "whose ultimate parent's headquarters are in Supp. 5(a)");
	says(g, "us-bis-capacity", "clause", "4800 or more");
	says(g, "us-bis-d5-headquarters", "clause", "bona fide");
	says(g, "us-bis-end-use-2025-05-13", "citation", "744.22");
	says(g, "us-ca-sb1047", "clause", "30000000000000000000000000");
	says(g, "us-rasa", "status", "proposed");
	says(g, "us-bis-702-7", "notice", "04-15, 07-15, 10-15, 01-15");
	says(g, "kr-ai-basic-act", "threshold", ">= ");
	says(g, "us-bis-capacity", "limit", "2690250000 TPP from 2026-04-01");
	says(g, "us-bis-red-flag-28", "owner", "outside bis-supp-5a");
	/* Nothing of ours is enforced as shipped. */
	for (size_t i = 0; i < regimes_count(g); i++)
		assert_int_not_equal(regimes_at(g, i)->mode, REGIME_ENFORCE);
	regimes_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_has_its_line),	cmocka_unit_test(versions_stand_beside_each_other),
		cmocka_unit_test(an_acceptance_is_of_one_text), cmocka_unit_test(fractions_are_exact),
		cmocka_unit_test(the_shipped_ones_say_it), cmocka_unit_test(no_text_accepts_itself),
		cmocka_unit_test(nobody_accepts_on_a_day_to_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
