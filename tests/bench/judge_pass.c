// SPDX-License-Identifier: Apache-2.0
/*
 * What one pass of the fleet's judge costs: 10,000 tenants, 3,000 of them with an entity and an ultimate parent of its own (the others are unknown), a tenth of these
 * sold in mid-run, 5,000 declarations, 1,000 lineages; and what reading those files anew costs. A pass in which everything was told
 * before is what is done each second; against judging the models alone. Then the day's first pass over 20,000 tenants whose days are
 * told: whether a threshold will be met, against the same pass without their days.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "userspace/core/law.h"
#include "userspace/core/policy.h"

enum { GROWING = 20000, GROWN_DAYS = 60, SUBJECTS = 10000, OWNED = 3000, LINEAGES = 1000, DECLARED = 5000, NOW_DAY = 20780, SOLD_DAY = 20700 };
#define DAY_NS 86400000000000ULL

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_owners(const char *path)
{
	FILE *f = fopen(path, "w");

	fputs("entities:\n", f);
	for (int i = 0; i < OWNED; i++) {
		fprintf(f, "  - {id: e%d, name: e, headquarters: US, source: s, as-of: 2026-01-01, parents: [{entity: p%d, share: 100%%, source: s, as-of: "
			   "2026-01-01%s}%s", i, i, i % 10 ? "" : ", to: 2026-09-04", i % 10 ? "" : ", {entity: p1, share: 100%, source: s, as-of: 2026-01-01, from: 2026-09-04}");
		fprintf(f, "]}\n  - {id: p%d, name: p, headquarters: %s, source: s, as-of: 2026-01-01, no-parent: true}\n", i, i % 7 ? "US" : "CN");
	}
	fputs("tenants:\n", f);
	for (int i = 0; i < OWNED; i++)
		fprintf(f, "  - {tenant: t%05d, entity: e%d}\n", i, i);
	fclose(f);
}

static void write_declarations(const char *path)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char *prev = NULL, digest[65];
	FILE *f = fopen(path, "w");

	memset(digest, '0', 64);
	digest[64] = '\0';
	for (int i = 0; i < DECLARED; i++) {
		struct declaration d = { .kind = i % 2 ? DECLARE_PARENT : DECLARE_EXTERNAL, .at_ns = 1, .low = 5, .high = 7 };

		snprintf(d.subject, sizeof(d.subject), "t%05d/m", 2 * i);
		snprintf(d.other, sizeof(d.other), i % 2 ? "t%05d/m" : "cloud %d", 2 * i + 1);
		snprintf(d.by, sizeof(d.by), "bench");
		free(prev);
		prev = declaration_encode(&d, digest);
		fprintf(f, "%s\n", prev);
		crypto_hash_sha256(hash, (const unsigned char *)prev, strlen(prev));
		sodium_bin2hex(digest, sizeof(digest), hash, sizeof(hash));
	}
	free(prev);
	fclose(f);
}

static int give(void *ctx, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s), void *fn_ctx)
{
	int r = 0;

	for (int i = 0; r == 0 && i < (group == OM_GROUP_MODEL ? SUBJECTS : LINEAGES); i++) {
		char tenant[16], lineage[16];
		opcount v = (opcount)1 << (i % 100 ? 60 : 87);
		struct om_until until = { SOLD_DAY, v / 2, v / 2 };
		struct om_member members[2] = { { tenant, v, v, v, 1 }, { "t00001", v, v, v, 1 } };
		struct om_subject_total s = { .group = group, .tenant = tenant, .model = "m", .lineage = "", .training_low = v, .training_high = v,
					      .training_ceiling = v, .meters = 2, .first_day = SOLD_DAY - 100 };

		snprintf(tenant, sizeof(tenant), "t%05d", i);
		if (i % 10 == 0) {
			s.until = &until;
			s.until_count = 1;
		}
		if (group == OM_GROUP_LINEAGE) {
			snprintf(lineage, sizeof(lineage), "l%d", i);
			s.tenant = s.model = "";
			s.lineage = lineage;
			s.members = members;
			s.member_count = 2;
		}
		r = fn(fn_ctx, &s);
	}
	return r;
}

/* A tenant that grows evenly, at a rate of its own: some meet a threshold soon, most do not. */
static opcount a_day(int tenant)
{
	return ((opcount)1 << 70) * (opcount)(1 + tenant % 97);
}

static int give_growing(void *ctx, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s), void *fn_ctx)
{
	int r = 0;

	for (int i = 0; r == 0 && group == OM_GROUP_MODEL && i < GROWING; i++) {
		char tenant[16];
		opcount v = a_day(i) * GROWN_DAYS;
		struct om_subject_total s = { .group = group, .tenant = tenant, .model = "m", .lineage = "", .training_low = v, .training_high = v,
					      .training_ceiling = v, .meters = 2, .first_day = NOW_DAY - GROWN_DAYS };

		snprintf(tenant, sizeof(tenant), "t%05d", i);
		r = fn(fn_ctx, &s);
	}
	return r;
}

static int points(void *ctx, const struct om_subject_total *s, struct om_forecast_point **ret, size_t *ret_count)
{
	int tenant = atoi(s->tenant + 1);

	*ret = calloc(GROWN_DAYS, sizeof(**ret));
	if (!*ret)
		return -1;
	for (int d = 0; d < GROWN_DAYS; d++) {
		opcount sum = a_day(tenant) * (opcount)(d + 1);

		(*ret)[d] = (struct om_forecast_point){ .day = NOW_DAY - GROWN_DAYS + d, .low = sum, .high = sum };
	}
	*ret_count = GROWN_DAYS;
	return 0;
}

static int count(void *ctx, const struct alert *a)
{
	++*(size_t *)ctx;
	return 0;
}

static bool known(void *ctx, const struct om_id *id)
{
	return true;
}

static int judge_one(void *ctx, const struct om_subject_total *s)
{
	size_t n = 0;

	return policy_judge(ctx, s, count, &n);
}

static void row(const char *what, double s, double base)
{
	printf("  %-52s %7.3f s  ratio %6.2f\n", what, s, s / base);
}

/* What the judge does when a UTC day began and all days were told. */
static void forecasts(const struct regimes *regimes)
{
	struct policy p = { .source = "/opmeter/bench", .now_ns = NOW_DAY * DAY_NS, .is_live = true, .regimes = regimes, .notice_days = 90 };
	struct policy_totals totals = { give_growing, NULL };
	size_t without = 0, with = 0, again_count = 0;
	double begun = cpu_s(), plain, all, again;

	policy_judge_all(&p, &totals, count, &without);
	plain = cpu_s() - begun;
	totals.points = points;
	begun = cpu_s();
	policy_judge_all(&p, &totals, count, &with);
	all = cpu_s() - begun;
	p.is_known = known;
	begun = cpu_s();
	policy_judge_all(&p, &totals, count, &again_count);
	again = cpu_s() - begun;
	printf("%d tenants, %d days of each told, once a UTC day; CPU time\n", GROWING, GROWN_DAYS);
	row("without their days", plain, plain);
	row("with clocks and forecasts, for the first time", all, plain);
	row("the same, told before", again, plain);
	printf("  %zu alerts, and %zu of clocks and forecasts\n", without, with - without);
}

int main(void)
{
	char owners[] = "/tmp/opmeter-bench-owners-XXXXXX", declarations[] = "/tmp/opmeter-bench-declared-XXXXXX";
	struct policy_totals totals = { give, NULL };
	struct error_text err = { 0 };
	struct law law;
	struct policy p = { .source = "/opmeter/bench", .now_ns = NOW_DAY * DAY_NS, .is_live = true, .is_known = known };
	struct regimes *regimes;
	double begun, read, models, first, again;
	size_t alerts = 0, none = 0;
	int r;

	close(mkstemp(owners));
	close(mkstemp(declarations));
	write_owners(owners);
	write_declarations(declarations);
	if (regimes_load("data/regimes", &regimes, &err))
		return 1;
	begun = cpu_s();
	r = law_open(&law, (const char *const[LAW_FILES]){ [LAW_OWNERS] = owners, [LAW_DECLARATIONS] = declarations }, 0, NOW_DAY, &err);
	read = cpu_s() - begun;
	unlink(owners);
	unlink(declarations);
	if (r) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	p.regimes = regimes;
	begun = cpu_s();
	give(NULL, OM_GROUP_MODEL, judge_one, &p);
	models = cpu_s() - begun;
	p.owners = law.owners;
	p.declarations = law.declarations;
	begun = cpu_s();
	policy_judge_all(&p, &totals, count, &none);
	again = cpu_s() - begun;
	p.is_known = NULL;
	begun = cpu_s();
	policy_judge_all(&p, &totals, count, &alerts);
	first = cpu_s() - begun;
	printf("a judge's pass: %d tenants, %d with owners, %d lineages, %d declarations; CPU time\n", SUBJECTS, OWNED, LINEAGES, DECLARED);
	row("models alone, without owners and declarations", models, models);
	row("everything, told before: each second", again, models);
	row("everything, for the first time", first, models);
	printf("  %zu alerts\n", alerts);
	row("owners and declarations read anew", read, models);
	forecasts(regimes);
	law_close(&law);
	regimes_free(regimes);
	return 0;
}
