// SPDX-License-Identifier: Apache-2.0
/*
 * What judging costs: 10,000 subjects under every shipped regime, most far below every threshold as in a fleet, and all
 * above every threshold; against summing the same subjects. And a year of 1,000 tenants, played day by day and judged.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/core/history.h"
#include "userspace/core/policy.h"

enum { SUBJECTS = 10000, TENANTS = 1000, DAYS = 365, NOW_DAY = 20780 };
#define DAY_NS 86400000000000ULL

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int count(void *ctx, const struct alert *a)
{
	++*(size_t *)ctx;
	return 0;
}

/* As events, the way they go to the log and to Kafka. */
static int encode(void *ctx, const struct alert *a)
{
	char *text = alert_encode(a);

	if (!text)
		return -ENOMEM;
	free(text);
	return count(ctx, a);
}

static double judge_all(const struct policy *p, opcount figure, unsigned one_in,
			int (*emit)(void *ctx, const struct alert *a), size_t *ret_alerts)
{
	double begun = cpu_s();

	*ret_alerts = 0;
	for (int i = 0; i < SUBJECTS; i++) {
		char tenant[32];
		opcount v = i % (int)one_in == 0 ? figure : figure >> 40;
		struct om_subject_total s = { .tenant = tenant, .model = "m", .lineage = "", .training_low = v, .training_high = v,
					      .training_ceiling = v, .meters = 2 };

		snprintf(tenant, sizeof(tenant), "tenant-%d", i);
		if (policy_judge(p, &s, emit, ret_alerts))
			exit(1);
	}
	return cpu_s() - begun;
}

/* As a judge does again and again: what it told before is known. */
static bool known(void *ctx, const struct om_id *id)
{
	return true;
}

struct playing {
	struct history *h;
	struct policy policy;
	size_t verdicts, met;
};

static int judge_day(void *ctx, uint32_t day)
{
	struct playing *p = ctx;

	p->policy.now_ns = (day + 1) * DAY_NS - 1;
	for (size_t i = 0; i < history_subjects(p->h); i++) {
		const struct history_subject *h = history_at(p->h, i);
		struct policy_subject s;
		char name[POLICY_NAME_MAX];

		if (!h->changed)
			continue;
		policy_subject_of(&h->total, name, &s);
		for (size_t k = 0; k < regimes_count(p->policy.regimes); k++) {
			const struct regime *g = regimes_at(p->policy.regimes, k);
			struct verdict v = { .steps = NULL };

			if (g->kind != REGIME_THRESHOLD && g->kind != REGIME_FRACTION)
				continue;
			policy_verdict(&p->policy, &s, g, &v);
			p->verdicts++;
			p->met += v.level != NULL;
		}
	}
	return 0;
}

static void fill(struct history *h)
{
	for (uint32_t t = 0; t < TENANTS; t++) {
		struct om_assignment a = { .job = { { (uint8_t)t, (uint8_t)(t >> 8) } }, .from_ns = (NOW_DAY - DAYS) * DAY_NS,
					   .share_low_ppm = 900000, .share_high_ppm = 1000000, .rule = "r", .version = "1" };

		snprintf(a.value, sizeof(a.value), "tenant-%u", t);
		a.kind = OM_ASSIGN_TENANT;
		history_assignment(h, &a);
		snprintf(a.value, sizeof(a.value), "training");
		a.kind = OM_ASSIGN_PHASE;
		history_assignment(h, &a);
		for (uint32_t d = 0; d < DAYS; d++) {
			struct om_reading r = { .key = { .job = a.job, .day = NOW_DAY - DAYS + d, .format = 4, .meter = OM_METER_SHAPE },
						.value = { .to_ns = 1 }, .attempted = true };

			/* One in a hundred trains something that regimes look at. */
			r.value.exact = (opcount)(t % 100 ? 1000000000000000000ULL : 300000000000000000ULL) * (t % 100 ? 1 : 1000000);
			if (history_reading(h, &r))
				exit(1);
		}
	}
}

static void row(const char *what, double s, double base, size_t alerts)
{
	printf("  %-44s %7.3f s  ratio %5.2f  of the budget %4.2f  %7zu alerts", what, s, s / base, s, alerts);
	if (alerts)
		printf(", %.2f us each", s * 1e6 / (double)alerts);
	printf("\n");
}

int main(void)
{
	struct error_text err = { 0 };
	struct regimes *regimes;
	struct playing p = { .h = history_new() };
	double few, all, events, again, filled, played, begun;
	size_t alerts_few, alerts_all, alerts_events, alerts_again;
	opcount big;

	if (regimes_load("data/regimes", &regimes, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	p.policy = (struct policy){ .regimes = regimes, .source = "/opmeter/bench", .now_ns = NOW_DAY * DAY_NS };
	opcount_parse("2e26", &big);
	few = judge_all(&p.policy, big, 100, count, &alerts_few);
	all = judge_all(&p.policy, big, 1, count, &alerts_all);
	events = judge_all(&p.policy, big, 1, encode, &alerts_events);
	p.policy.is_known = known;
	again = judge_all(&p.policy, big, 1, count, &alerts_again);
	printf("policy: %d subjects x %zu regimes, CPU time; the budget is 1 s\n", SUBJECTS, regimes_count(regimes));
	row("all above every threshold, told before", again, again, alerts_again);
	row("one in a hundred above, for the first time", few, again, alerts_few);
	row("all above, for the first time", all, again, alerts_all);
	row("the same, and encoded as events", events, again, alerts_events);
	begun = cpu_s();
	fill(p.h);
	filled = cpu_s() - begun;
	begun = cpu_s();
	if (history_play(p.h, UINT32_MAX, judge_day, &p))
		return 1;
	played = cpu_s() - begun;
	printf("replay: %d days of %d tenants, %zu verdicts, %zu with a level\n", DAYS, TENANTS, p.verdicts, p.met);
	printf("  played and judged                        %7.3f s  (taking in: %.3f s)\n", played, filled);
	history_free(p.h);
	regimes_free(regimes);
	return 0;
}
