// SPDX-License-Identifier: Apache-2.0
/* Inventories against caps: the caps of the shipped regimes to one TPP, and what is no inventory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/yaml.h"
#include "userspace/core/capacity.h"
#include "userspace/core/country.h"

#define CHIPS "name,bf16,fp8,int8,fp4,tpp,evidence,source\n"
#define UNIT CHIPS "unit,,,1,,8,design,a chip of eight\nhalf,0.5,,,,8,design,x\none,,,,0.3,1,design,rounded down from 1.2\n"
#define ROWS "site,country,owner,chip,count,date\n"

static struct chips *chips(const char *text)
{
	struct error_text err = { 0 };
	struct chips *c;

	if (chips_parse("chips", text, strlen(text), &c, &err))
		fail_msg("%s", err.text);
	return c;
}

static void no_chips(const char *text, const char *why)
{
	struct error_text err = { 0 };
	struct chips *c;

	if (chips_parse("chips", text, strlen(text), &c, &err) != -EINVAL || !strstr(err.text, why))
		fail_msg("expected '%s', got '%s'", why, err.text);
}

static struct inventory *inventory(const char *text)
{
	struct chips *c = chips(UNIT);
	struct error_text err = { 0 };
	struct inventory *i;

	if (inventory_parse("inv", text, strlen(text), c, NULL, NULL, &i, &err))
		fail_msg("%s", err.text);
	chips_free(c);
	return i;
}

static void the_shipped_chips_are_what_their_rates_say(void **state)
{
	struct error_text err = { 0 };
	struct chips *c;

	if (chips_load("data/tpp.csv", &c, &err))
		fail_msg("%s", err.text);
	assert_int_equal(chips_tpp(c, "A100"), 4992);
	assert_int_equal(chips_tpp(c, "h100 sxm"), 15832);
	assert_int_equal(chips_tpp(c, "B300"), 56000);
	assert_int_equal(chips_tpp(c, "H100"), 0);
	chips_free(c);
	no_chips("name\n", "chips:1: the first line must be");
	no_chips(CHIPS "a,312,,,,4993,e,s\n", "chips:2: the TPP is not the highest of rate x bits");
	no_chips(CHIPS "a,312,,,,624,e,s\n", "chips:2: the TPP"); /* a sparse rate, or bits forgotten */
	no_chips(CHIPS "a,-1,,,,1,e,s\n", "chips:2: a rate is a number");
	no_chips(CHIPS "a,1.25,,,,20,e,s\n", "at most one decimal");
	no_chips(CHIPS "a,312,,,,4992,e,\n", "source must be given");
	no_chips(CHIPS "a,312,,,,4992,e,s\nA,312,,,,4992,e,s\n", "chips:3: a name");
	no_chips(CHIPS "a,312,,,,4992,e,\"s\n", "chips:2: eight fields");
}

struct rejects {
	unsigned line[8];
	size_t count;
};

static void note(void *ctx, unsigned line, const char *why)
{
	struct rejects *r = ctx;

	r->line[r->count++] = line;
}

static void a_bad_row_refuses_the_whole(void **state)
{
	static const char text[] = ROWS "a,US,o,unit,1,2026-01-01\na,ZZ,o,unit,1,2026-01-01\na,us,o,unit,1,2026-01-01\na,US,,unit,1,2026-01-01\na,US,o,nothing,1,2026-01-01\n"
					"a,US,o,unit,0,2026-01-01\na,US,o,unit,1,2026-02-30\na,US,o,unit,1\n\"a,US,o,unit,1,2026-01-01\n";
	struct chips *c = chips(UNIT);
	struct rejects r = { .count = 0 };
	struct error_text err = { 0 };
	struct inventory *i;

	assert_int_equal(inventory_parse("inv", text, strlen(text), c, note, &r, &i, &err), -EINVAL);
	assert_int_equal(r.count, 8);
	for (size_t k = 0; k < r.count; k++)
		assert_int_equal(r.line[k], k + 3);
	assert_non_null(strstr(err.text, "inv:3: no country of ISO 3166-1"));
	assert_int_equal(inventory_parse("inv", "x\n", 2, c, NULL, NULL, &i, &(struct error_text){ 0 }), -EINVAL);
	assert_int_equal(inventory_parse("inv", "", 0, c, NULL, NULL, &i, &(struct error_text){ 0 }), -EINVAL);
	chips_free(c);
}

static void quotes_are_of_rfc_4180(void **state)
{
	struct inventory *i = inventory(ROWS "\"a, \"\"b\"\"\",US,\"o\",unit,2,2026-01-01\r\n# a comment\n\nb,HK,o,half,1,2026-01-02\n");

	assert_int_equal(inventory_rows(i), 2);
	assert_true(inventory_tpp(i, 20454) == 16); /* 2026-01-01: the second is not there yet */
	assert_true(inventory_tpp(i, 20455) == 24);
	inventory_free(i);
}

struct seen {
	const char *limit, *country;
	struct capacity_finding f;
	int count;
};

static int look(void *ctx, const struct capacity_finding *f)
{
	struct seen *s = ctx;

	if (!strcmp(f->limit->id, s->limit) && (!s->country || (f->country && !strcmp(f->country, s->country)))) {
		s->f = *f;
		s->count++;
	}
	return 0;
}

/* Of owner "o" when the cap asks for one; "": nobody said. */
static const char *status = "as asked";

static struct seen judged(const char *rows, const char *day, const char *limit, const char *country, const char *home)
{
	struct error_text err = { 0 };
	struct seen s = { .limit = limit, .country = country };
	struct inventory *i = inventory(rows);
	struct regimes *g;
	int32_t d;

	if (regimes_load("data/regimes", &g, &err))
		fail_msg("%s", err.text);
	assert_int_equal(date_parse(day, &d), 0);
	if (home)
		assert_int_equal(inventory_home(i, "o", home), 0);
	if (*status && (!strncmp(limit, "uveu", 4) || !strncmp(limit, "nveu", 4)))
		assert_int_equal(inventory_status(i, "o", !strcmp(status, "as asked") ? !strncmp(limit, "uveu", 4) ? "UVEU" : "NVEU" : status), 0);
	assert_int_equal(capacity_judge(g, i, d, look, &s), 0);
	inventory_free(i);
	s.f.regime = NULL; /* gone */
	s.f.limit = NULL;
	s.f.owner = s.f.country = NULL;
	regimes_free(g);
	return s;
}

/* Caps in TPP of eights: a cap that eight divides, a chip of eight, one of one. */
static void caps_to_one_tpp(void **state)
{
	static const struct {
		const char *limit, *rows, *day;
		bool met[3]; /* below, at, above */
		unsigned long eights;
	} cases[] = {
		{ "lpp-year", "IN", "2026-12-31", { false, false, true }, 26900000 / 8 },
		{ "lpp-notice", "IN", "2026-12-31", { false, true, true }, 3200000 / 8 },
		{ "aia-certificate", "US", "2026-12-31", { false, true, true }, 253000000 / 8 },
		{ "country-allocation", "IN", "2026-12-31", { false, false, true }, 790000000 / 8 },
		{ "nveu-country", "IN", "2026-03-31", { false, false, true }, 1899000000 / 8 },
		{ "nveu-country", "IN", "2026-04-01", { false, false, true }, 2690250000 / 8 },
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		unsigned long rest[3][2] = { { cases[c].eights - 1, 7 }, { cases[c].eights, 0 }, { cases[c].eights, 1 } };
		unsigned long rests = 2690250000UL % 8;

		for (int i = 0; i < 3; i++) {
			char rows[400];
			int n = snprintf(rows, sizeof(rows), ROWS "a,%s,o,unit,%lu,2026-01-05\n", cases[c].rows, rest[i][0]);
			unsigned long ones = rest[i][1] + (cases[c].day[6] == '4' ? rests : 0);
			struct seen s;

			/* A lot is one row: its cap is tried in whole eights. */
			if (ones && strcmp(cases[c].limit, "lpp-notice"))
				snprintf(rows + n, sizeof(rows) - (size_t)n, "a,%s,o,one,%lu,2026-01-05\n", cases[c].rows, ones);
			s = judged(rows, cases[c].day, cases[c].limit, NULL, NULL);
			assert_true(s.count >= 1);
			if (!strcmp(cases[c].limit, "lpp-notice") && i == 2)
				continue; /* the same row as at the cap */
			if (s.f.is_met != cases[c].met[i])
				fail_msg("%s %s case %d", cases[c].limit, cases[c].day, i);
		}
	}
}

static void what_counts_where(void **state)
{
	/* Supp. 5(a) is outside the country caps; Hong Kong is China; another year is another LPP. */
	assert_int_equal(judged(ROWS "a,JP,o,unit,900000000,2026-01-05\n", "2026-02-01", "country-allocation", NULL, NULL).count, 0);
	assert_int_equal(judged(ROWS "a,HK,o,unit,5,2026-01-05\nb,CN,p,unit,6,2026-01-05\n", "2026-02-01", "country-allocation", "CN", NULL).count, 1);
	assert_true(judged(ROWS "a,HK,o,unit,5,2026-01-05\nb,CN,p,unit,6,2026-01-05\n", "2026-02-01", "country-allocation", "CN", NULL).f.tpp == 88);
	assert_true(judged(ROWS "a,IN,o,unit,5,2025-12-31\nb,IN,o,unit,6,2026-01-01\n", "2026-02-01", "lpp-year", NULL, NULL).f.tpp == 48);
	assert_true(judged(ROWS "a,IN,o,unit,5,2025-12-31\nb,IN,o,unit,6,2026-03-01\n", "2026-02-01", "aia-certificate", NULL, NULL).f.tpp == 40);
}

static void shares_of_an_owner(void **state)
{
	/* 25 of 100 outside is a quarter, not more than it; 26 of 100 is more. */
	assert_false(judged(ROWS "a,US,o,unit,75,2026-01-05\nb,IN,o,unit,25,2026-01-05\n", "2026-02-01", "uveu-outside", NULL, NULL).f.is_met);
	assert_true(judged(ROWS "a,US,o,unit,74,2026-01-05\nb,IN,o,unit,26,2026-01-05\n", "2026-02-01", "uveu-outside", NULL, NULL).f.is_met);
	/* Seven in one country, eight in another: the largest alone counts. */
	assert_false(judged(ROWS "a,US,o,unit,86,2026-01-05\nb,IN,o,unit,7,2026-01-05\nc,AE,o,unit,7,2026-01-05\n", "2026-02-01", "uveu-country", NULL,
			    NULL)
			     .f.is_met);
	assert_true(judged(ROWS "a,US,o,unit,85,2026-01-05\nb,IN,o,unit,7,2026-01-05\nc,AE,o,unit,8,2026-01-05\n", "2026-02-01", "uveu-country", NULL,
			   NULL)
			    .f.is_met);
	/* Abroad needs to know where home is; another home is not what the rule is about. */
	assert_true(judged(ROWS "a,US,o,unit,5,2026-01-05\nb,JP,o,unit,6,2026-01-05\n", "2026-02-01", "uveu-us-abroad", NULL, NULL).f.is_conditional);
	assert_true(judged(ROWS "a,US,o,unit,5,2026-01-05\nb,JP,o,unit,6,2026-01-05\n", "2026-02-01", "uveu-us-abroad", NULL, "US").f.is_met);
	assert_false(judged(ROWS "a,US,o,unit,5,2026-01-05\nb,JP,o,unit,5,2026-01-05\n", "2026-02-01", "uveu-us-abroad", NULL, "US").f.is_met);
	assert_int_equal(judged(ROWS "a,US,o,unit,5,2026-01-05\nb,JP,o,unit,6,2026-01-05\n", "2026-02-01", "uveu-us-abroad", NULL, "JP").count, 0);
}

/* What no text was read for is conditional where it may hold, whatever the amount, and nothing elsewhere. */
static void exceptions_that_were_not_read_are_conditional(void **state)
{
	static const struct {
		const char *country;
		int nac, aca;
	} cases[] = { { "CN", 1, 0 }, { "HK", 1, 0 }, { "MO", 1, 0 }, { "RU", 1, 0 }, { "IN", 0, 1 }, { "CH", 0, 1 }, { "US", 0, 0 }, { "DE", 0, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int big = 0; big < 2; big++) {
			char rows[200];
			struct seen nac, aca;

			snprintf(rows, sizeof(rows), ROWS "a,%s,o,unit,%s,2026-01-05\n", cases[i].country, big ? "500000000" : "1");
			nac = judged(rows, "2026-02-01", "nac", NULL, NULL);
			aca = judged(rows, "2026-02-01", "aca", NULL, NULL);
			assert_int_equal(nac.count, cases[i].nac);
			assert_int_equal(aca.count, cases[i].aca);
			assert_true(!nac.count || (nac.f.is_conditional && !nac.f.is_met));
			assert_true(!aca.count || (aca.f.is_conditional && !aca.f.is_met));
		}
	}
}

/* Who is no VEU has no share to keep; of whom nobody said, nothing is met. */
static void a_cap_of_veus_is_about_veus(void **state)
{
	static const char *const limits[] = { "uveu-outside", "uveu-country", "nveu-country" };
	static const char *const rows = ROWS "a,IN,o,unit,900000000,2026-01-05\n";

	for (size_t i = 0; i < 3; i++) {
		struct seen s = judged(rows, "2026-02-01", limits[i], NULL, NULL);

		assert_true(s.f.is_met && !s.f.is_conditional);
		status = "";
		s = judged(rows, "2026-02-01", limits[i], NULL, NULL);
		assert_true(!s.f.is_met && s.f.is_conditional);
		status = "none";
		assert_int_equal(judged(rows, "2026-02-01", limits[i], NULL, NULL).count, 0);
		status = "as asked";
	}
}

static void late_and_doubled_rows_are_told(void **state)
{
	struct inventory *i = inventory(ROWS "a,US,o,unit,1,2026-01-01\na,US,o,unit,1,2026-01-01\na,US,o,unit,2,2026-01-01\na,US,o,unit,1,2099-01-01\n");
	size_t n;

	assert_int_equal(inventory_later(i, 20500), 1);
	assert_int_equal(inventory_doubled(i, &n), 0);
	assert_int_equal(n, 1);
	inventory_free(i);
}

/* The table is that of the time zone database, where that is installed, with the two that are in common use. */
static void countries_are_those_of_the_standard(void **state)
{
	FILE *f = fopen("/usr/share/zoneinfo/iso3166.tab", "r");
	char line[256], code[3] = "";
	int here = 0, there = 0;

	for (int i = 0; i < 26 * 26; i++) {
		code[0] = (char)('A' + i / 26);
		code[1] = (char)('A' + i % 26);
		here += country_is_code(code);
	}
	assert_int_equal(here, 249 + 2);
	assert_true(country_is_code("XK") && country_is_code("UK") && !country_is_code("ZZ") && !country_is_code("us") && !country_is_code("") && !country_is_code("D E"));
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		snprintf(code, sizeof(code), "%.2s", line);
		assert_true(country_is_code(code));
		there++;
	}
	fclose(f);
	assert_int_equal(there, 249);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(countries_are_those_of_the_standard),
		cmocka_unit_test(the_shipped_chips_are_what_their_rates_say), cmocka_unit_test(a_bad_row_refuses_the_whole),
		cmocka_unit_test(quotes_are_of_rfc_4180),		      cmocka_unit_test(caps_to_one_tpp), cmocka_unit_test(exceptions_that_were_not_read_are_conditional),
		cmocka_unit_test(a_cap_of_veus_is_about_veus),		      cmocka_unit_test(late_and_doubled_rows_are_told),
		cmocka_unit_test(what_counts_where),			      cmocka_unit_test(shares_of_an_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
