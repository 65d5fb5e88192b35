// SPDX-License-Identifier: Apache-2.0
/* Cells that a spreadsheet would run, quotes and line ends; half years. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/yaml.h"
#include "userspace/core/csv_write.h"
#include "userspace/core/regime.h"
#include "userspace/core/report.h"
#include "userspace/core/report_internal.h"

static char *line(const char *const *cells, size_t n)
{
	char *text = NULL;
	size_t len;
	struct om_csv c = { .f = open_memstream(&text, &len) };

	for (size_t i = 0; i < n; i++)
		om_csv_cell(&c, cells[i]);
	om_csv_end(&c);
	fclose(c.f);
	return text;
}

static void cells_are_after_rfc_4180_and_never_run(void **state)
{
	static const struct {
		const char *cell, *want;
	} cases[] = {
		{ "plain", "plain\r\n" },
		{ "", "\r\n" },
		{ "a,b", "\"a,b\"\r\n" },
		{ "say \"x\"", "\"say \"\"x\"\"\"\r\n" },
		{ "two\nlines", "\"two\nlines\"\r\n" },
		{ "=1+1", "\"'=1+1\"\r\n" },
		{ "+1", "\"'+1\"\r\n" },
		{ "-1", "\"'-1\"\r\n" },
		{ "@x", "\"'@x\"\r\n" },
		{ "\tx", "\"'\tx\"\r\n" },
		{ "\r=x", "\"'\r=x\"\r\n" },
		{ "=HYPERLINK(\"http://x.example\",\"y\")", "\"'=HYPERLINK(\"\"http://x.example\"\",\"\"y\"\")\"\r\n" },
		{ "1e26", "1e26\r\n" },
		{ "a=b", "a=b\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = line(&cases[i].cell, 1);

		assert_string_equal(got, cases[i].want);
		free(got);
	}
	{
		char *got = line((const char *const[]){ "a", NULL, "=b", "" }, 4);

		assert_string_equal(got, "a,,\"'=b\",\r\n");
		free(got);
	}
}

static void a_report_is_its_columns_and_rows(void **state)
{
	json_t *report = json_pack("{s:[s,s],s:[{s:s,s:s},{s:s}]}", "columns", "b", "a", "rows", "a", "1", "b",
				   "=2", "a", "3");
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(om_report_csv(report, f), 0);
	fclose(f);
	assert_string_equal(text, "b,a\r\n\"'=2\",1\r\n,3\r\n");
	free(text);
	json_decref(report);
}

static void a_half_year_has_its_days(void **state)
{
	static const char *const bad[] = { "", "2026", "2026H", "2026H0", "2026H3", "2026h1", "2026H11", "026H1", "99999H1" };
	int32_t from, to, day;

	assert_int_equal(om_report_half("2026H2", &from, &to), 0);
	date_parse("2026-07-01", &day);
	assert_int_equal(from, day);
	date_parse("2026-12-31", &day);
	assert_int_equal(to, day);
	assert_int_equal(om_report_half("2028H1", &from, &to), 0);
	assert_int_equal(to - from, 181); /* a leap year */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(om_report_half(bad[i], &from, &to), -EINVAL);
}

/* A threshold that the law has not set is told as such, beside one that it has. */
static void what_no_law_has_set_is_no_percentage(void **state)
{
	static const char head[] = "version: \"1\"\ntitle: T\nkind: threshold\ncitation: c\nevidence: design\nsources: [s]\nmode: shadow\n";
	static const char levels[] = "levels:\n  - {name: a, share: 50%, bound: upper}\n";
	char dir[] = "/tmp/opmeter-report-XXXXXX", path[64];
	struct report_row row = { .training_low = 250, .training_high = 500 };
	struct om_report_request q = { .to_day = 20780 };
	struct error_text err = { 0 };
	struct regimes *g;
	json_t *cells = json_object();
	const char *text;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/r.yaml", dir);
	for (int i = 0; i < 2; i++) {
		f = fopen(path, "w");
		fprintf(f, "id: x\n%sthreshold: {operations: %s, comparator: \">=\", figure: training}\n%s", head,
			i ? "1000" : "null, missing: \"the number of a rule to come\"", levels);
		fclose(f);
		if (regimes_load(dir, &g, &err))
			fail_msg("%s", err.text);
		q.regimes = g;
		report_threshold_cell(cells, &row, &q);
		text = json_string_value(json_object_get(cells, "regimes"));
		assert_non_null(strstr(text, i ? "): 25.000 % to 50.000 % of 1000" : "): conditional(the number of a rule to come)"));
		assert_true(i || !strchr(text, '%'));
		regimes_free(g);
	}
	unlink(path);
	rmdir(dir);
	json_decref(cells);
}

/* A fleet's totals: the period's figures are the days', the rest says that it is of all days; who trained nothing in the period has no row. */
static void totals_of_a_fleet_are_rows(void **state)
{
	const struct om_report_total totals[] = {
		{ .tenant = "acme", .model = "lm", .training = { 5, 6, 7 }, .all = { 8, 9, (opcount)1 << 100 }, .first_day = 20000, .last_day = 20009, .days = 8,
		  .contradicted = 3, .is_bounded = true, .meters = 1 << 1 | 1 << 4, .losses = 2, .calls = 11, .registers = 12 },
		{ .tenant = "acme", .model = "idle", .registers = 1 },
		{ .tenant = "zeta", .model = "lm", .training = { 1, 1, 1 }, .first_day = 20000, .last_day = 20000, .days = 1 },
	};
	struct om_report_request q = { .totals = totals, .total_count = 3, .fleet = "f", .as_of = "2026-11-30T00:00:00Z", .tenant = "acme", .to_day = 20020 };
	struct error_text err = { 0 };
	json_t *report, *row;

	if (om_report_period(&q, &report, &err))
		fail_msg("%s", err.text);
	assert_int_equal(json_array_size(json_object_get(report, "rows")), 1);
	row = json_array_get(json_object_get(report, "rows"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "training_low")), "5");
	assert_string_equal(json_string_value(json_object_get(row, "all_ceiling")), "1267650600228229401496703205376");
	assert_string_equal(json_string_value(json_object_get(row, "contradicted")), "of all days: 3");
	assert_string_equal(json_string_value(json_object_get(row, "meters")), "of all days: shape device");
	assert_string_equal(json_string_value(json_object_get(row, "losses")), "of all days: 2, causes are in the nodes' ledgers");
	assert_string_equal(json_string_value(json_object_get(row, "gaps")), "2 of 10 days without a reading");
	assert_string_equal(json_string_value(json_object_get(row, "ledger")), "fleet f, as of 2026-11-30T00:00:00Z");
	assert_non_null(strstr(json_string_value(json_object_get(report, "scope")), "fleet f as of 2026-11-30T00:00:00Z"));
	json_decref(report);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_are_after_rfc_4180_and_never_run),
		cmocka_unit_test(a_report_is_its_columns_and_rows),
		cmocka_unit_test(a_half_year_has_its_days),
		cmocka_unit_test(what_no_law_has_set_is_no_percentage),
		cmocka_unit_test(totals_of_a_fleet_are_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
