// SPDX-License-Identifier: Apache-2.0
/* That a threshold will be met, said ahead: once for each month in which the earliest day lies, by days that are over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/yaml.h"
#include "userspace/core/policy.h"

#define DAY_NS 86400000000000ULL
#define TODAY 20780			      /* 2026-11-23 */
#define NOW (TODAY * DAY_NS + 64800000000000) /* 18:00 */
#define A_DAY ((opcount)100000000000000)      /* a hundredth of the demonstration's threshold */

struct said {
	int count;
	char *text; /* of the last */
	char occasion[8][24];
	struct om_id id[8];
};

static int take(void *ctx, const struct alert *a)
{
	struct said *s = ctx;
	const char *at = strstr(a->data, "\"occasion\":\"forecast/");

	assert_int_equal(a->type, ALERT_FORECAST);
	assert_non_null(at);
	snprintf(s->occasion[s->count], sizeof(s->occasion[0]), "%.16s", at + strlen("\"occasion\":\""));
	s->id[s->count++] = a->id;
	free(s->text);
	s->text = alert_encode(a);
	return 0;
}

static struct regimes *load(const char *dir)
{
	struct error_text err = { 0 };
	struct regimes *g;

	if (regimes_load(dir, &g, &err))
		fail_msg("%s", err.text);
	return g;
}

/* So much on each of so many days, of which the last is TODAY + last; judged `later` days after NOW. */
static struct said ask(const struct regimes *g, opcount a_day, int days, int last, int later, uint32_t notice_days)
{
	struct policy p = { .regimes = g, .source = "/opmeter/golden", .now_ns = NOW + (uint64_t)later * DAY_NS, .notice_days = notice_days };
	struct om_forecast_point *points = calloc((size_t)days, sizeof(*points));
	struct om_subject_total s = { .tenant = "acme", .model = "lm", .lineage = "", .meters = 2, .is_bounded = true };
	struct policy_subject subject;
	char name[POLICY_NAME_MAX];
	struct said ret = { .count = 0 };

	for (int i = 0; i < days; i++)
		points[i] = (struct om_forecast_point){ TODAY + last - days + 1 + i, a_day * (unsigned)(i + 1), a_day * (unsigned)(i + 1) };
	s.training_low = s.training_high = a_day * (unsigned)days;
	policy_subject_of(&s, name, &subject);
	assert_int_equal(policy_judge_forecast(&p, &subject, points, (size_t)days, take, &ret), 0);
	free(points);
	return ret;
}

static void it_is_golden(void **state)
{
	struct regimes *g = load("tests/demo/regimes");
	struct said s = ask(g, A_DAY, 20, -1, 0, 90);
	char want[4096];
	FILE *in = fopen("tests/golden/alert_forecast_v1.json", "r");
	size_t n;

	assert_non_null(in);
	n = fread(want, 1, sizeof(want) - 1, in);
	fclose(in);
	want[n] = '\0';
	want[strcspn(want, "\n")] = '\0';
	assert_int_equal(s.count, 1);
	assert_string_equal(s.text, want);
	free(s.text);
	regimes_free(g);
}

/* The day that is not over is none, so whoever asks within a day says the same. */
static void a_day_counts_when_it_is_over(void **state)
{
	struct regimes *g = load("tests/demo/regimes");
	struct said without = ask(g, A_DAY, 20, -1, 0, 90), with = ask(g, A_DAY, 21, 0, 0, 90), next = ask(g, A_DAY, 21, 0, 1, 90);

	assert_int_equal(with.count, 1);
	assert_memory_equal(&with.id[0], &without.id[0], sizeof(with.id[0]));
	assert_non_null(strstr(with.text, "\"as_of_day\":\"2026-11-22\""));
	assert_non_null(strstr(next.text, "\"as_of_day\":\"2026-11-23\""));
	free(without.text);
	free(with.text);
	free(next.text);
	regimes_free(g);
}

/* A run that is looked at every day: each month once, the first one in time, and none once it is met. */
static void each_month_is_said_once(void **state)
{
	struct regimes *g = load("tests/demo/regimes");
	char months[8][24];
	int n = 0, first = 0, met = 0;

	for (int day = 1; day <= 110; day++) {
		struct said s = ask(g, A_DAY, day, day - 60, day - 59, 90);
		bool is_new = s.count > 0;

		assert_true(s.count <= 1);
		free(s.text);
		if (day >= 100)
			met += s.count; /* the level says it */
		for (int i = 0; is_new && i < n; i++)
			is_new = strcmp(months[i], s.occasion[0]) != 0;
		if (!is_new)
			continue;
		first = first ? first : day;
		assert_true(n < 8);
		strcpy(months[n++], s.occasion[0]);
	}
	assert_int_equal(met, 0);
	assert_true(n >= 2 && n <= 5);
	assert_true(first > 0 && first <= 70); /* the threshold is met on day 100: thirty days ahead and more */
	regimes_free(g);
}

static void what_is_far_or_not_wanted_is_not_said(void **state)
{
	struct regimes *g = load("tests/demo/regimes"), *law = load("data/regimes");
	struct policy p = { .regimes = g, .notice_days = 90 };
	opcount least = policy_least_forecast(&p);
	struct said s;

	assert_true(least == (opcount)10000000000000000 / 50);
	s = ask(g, A_DAY / 100, 40, -1, 0, 90);
	assert_int_equal(s.count, 0);
	s = ask(g, A_DAY, 20, -1, 0, 0);
	assert_int_equal(s.count, 0);
	s = ask(g, A_DAY, 20, -1, 0, 31); /* it is 32 days away */
	assert_int_equal(s.count, 0);
	s = ask(g, A_DAY, 20, -1, 0, 32);
	assert_int_equal(s.count, 1);
	free(s.text);
	p.notice_days = 0;
	assert_true(policy_least_forecast(&p) == OPCOUNT_MAX);
	/* Many laws have one threshold: each is said, but those that are off. */
	s = ask(law, A_DAY * 10000000000, 60, -1, 0, 90);
	assert_true(s.count >= 3);
	for (int i = 0; i < s.count; i++)
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(&s.id[i], &s.id[k], sizeof(s.id[i]));
	free(s.text);
	regimes_free(law);
	regimes_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_golden),
		cmocka_unit_test(a_day_counts_when_it_is_over),
		cmocka_unit_test(each_month_is_said_once),
		cmocka_unit_test(what_is_far_or_not_wanted_is_not_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
