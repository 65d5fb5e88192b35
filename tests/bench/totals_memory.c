// SPDX-License-Identifier: Apache-2.0
/*
 * What a fleet's registers take: memory and time by number of registers, and by number of sealed days. Each size is
 * measured in a process of its own. A job has four registers a day (shape, launch, device, allocation), three days are
 * open, and tenant, model and phase are assigned; "alone" is the worst case, a job for each register.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/core/totals.h"

enum { TENANTS = 1000, METERS = 4, OPEN_DAYS = 3 };
#define DAY_NS 86400000000000ULL
#define FIRST_DAY 20780u

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rss_mib(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%lu %lu", &size, &resident) != 2)
		exit(1);
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static struct om_id id_of(uint64_t n)
{
	struct om_id id;
	uint64_t half[2] = { n * 0x9e3779b97f4a7c15ULL, n + 1 };

	memcpy(&id, half, 16);
	return id;
}

static void reading(struct om_reading *r, size_t job, uint32_t day, int meter, uint64_t round)
{
	memset(r, 0, sizeof(*r));
	r->key = (struct om_register_key){ id_of(job / 8), id_of(job), day, 4, (uint8_t)(OM_METER_SHAPE + meter + (meter > 1)) };
	r->value.exact = meter == 0 ? ((opcount)round << 60) + job : 0;
	r->value.high = meter ? (opcount)round << 66 : 0;
	r->value.calls = 1000 * round + job % 1000;
	r->value.from_ns = day * DAY_NS + 1;
	r->value.to_ns = r->value.from_ns + round * 15000000000ULL;
	r->node = (struct om_node_facts){ 1, 8ULL * 1000000000000000ULL, 8, 5 };
	r->sequence = round * 1000 + job;
}

static int assign(struct om_totals *t, size_t job)
{
	static const char *const kinds[] = { "tenant-%zu", "training", "model-%zu" };
	struct om_assignment a = { .ledger = id_of(job / 8), .job = id_of(job), .rule = "map", .share_low_ppm = 1000000, .share_high_ppm = 1000000 };

	for (int k = 0; k < 3; k++) {
		a.kind = (enum om_assignment_kind)k;
		if (k == OM_ASSIGN_PHASE)
			snprintf(a.value, sizeof(a.value), "%s", kinds[k]);
		else
			snprintf(a.value, sizeof(a.value), k == OM_ASSIGN_TENANT ? "tenant-%zu" : "model-%zu", k == OM_ASSIGN_TENANT ? job % TENANTS : job % 3);
		if (om_totals_assign(t, &a))
			return 1;
	}
	return 0;
}

static int put_all(struct om_totals *t, size_t jobs, uint32_t from, uint32_t days, int meters, uint64_t round)
{
	struct om_reading r;

	for (size_t job = 0; job < jobs; job++)
		for (uint32_t day = from; day < from + days; day++)
			for (int m = 0; m < meters; m++) {
				reading(&r, job, day, m, round);
				if (om_totals_put(t, &r))
					return 1;
			}
	return 0;
}

static int count(void *ctx, const struct om_subject_total *s)
{
	(*(size_t *)ctx)++;
	return 0;
}

static int by_registers(size_t registers, bool is_alone)
{
	size_t jobs = is_alone ? registers : registers / (METERS * OPEN_DAYS), told = 0;
	uint32_t days = is_alone ? 1 : OPEN_DAYS;
	int meters = is_alone ? 1 : METERS;
	struct om_totals *t = om_totals_new(2 * registers);
	double before = rss_mib(), at = cpu_s(), first, again, all, one;
	struct om_reading r;

	for (size_t job = 0; job < jobs; job++)
		if (assign(t, job))
			return 1;
	at = cpu_s();
	if (put_all(t, jobs, FIRST_DAY, days, meters, 1))
		return 1;
	first = cpu_s() - at;
	at = cpu_s();
	if (put_all(t, jobs, FIRST_DAY, days, meters, 2))
		return 1;
	again = cpu_s() - at;
	at = cpu_s();
	if (om_totals_each_changed(t, count, &told))
		return 1;
	all = cpu_s() - at;
	/* What a judge does each second of the fifteen in which every register is published once. */
	for (size_t job = 0; job < jobs; job += 15)
		for (int m = 0; m < meters; m++) {
			reading(&r, job, FIRST_DAY, m, 3);
			om_totals_put(t, &r);
		}
	at = cpu_s();
	if (om_totals_each_changed(t, count, &told))
		return 1;
	one = cpu_s() - at;
	registers = om_totals_registers(t);
	printf("| %s | %zu | %.0f | %.0f | %.2f | %.2f | %.1f | %.1f |\n", is_alone ? "alone" : "12 a job", registers, rss_mib() - before,
	       (rss_mib() - before) * (1 << 20) / (double)registers, (double)registers / first / 1e6, (double)registers / again / 1e6, all * 1e3,
	       one * 1e3);
	om_totals_free(t);
	return 0;
}

static int take_back(void *ctx, const struct om_carry *c)
{
	return om_totals_carry(ctx, c) < 0;
}

/* The broker's part: what was sealed comes back to another, as it does to the next instance. */
static int by_days(uint32_t sealed_days)
{
	enum { JOBS_OF_A_DAY = 20000 };
	struct om_totals *t = om_totals_new(4000000), *day;
	double before = rss_mib(), at, carries = 0;
	struct om_totals_counts counts;
	size_t told = 0;

	for (uint32_t d = 0; d < sealed_days; d++) {
		day = om_totals_new(4000000);
		if (put_all(day, JOBS_OF_A_DAY, FIRST_DAY + d, 1, METERS, 5))
			return 1;
		at = cpu_s();
		if (om_totals_seal(day, FIRST_DAY + d + 1, take_back, t))
			return 1;
		carries += cpu_s() - at;
		om_totals_free(day);
	}
	if (put_all(t, JOBS_OF_A_DAY, FIRST_DAY + sealed_days, 1, METERS, 5))
		return 1;
	at = cpu_s();
	if (om_totals_each_changed(t, count, &told))
		return 1;
	om_totals_counts(t, &counts);
	printf("| %u | %zu | %zu | %.0f | %.1f | %.2f | %.0f |\n", sealed_days, counts.live, counts.folded, rss_mib() - before,
	       (double)counts.folded_bytes / (double)counts.folded, (double)sealed_days * JOBS_OF_A_DAY / carries / 1e6, (cpu_s() - at) * 1e3);
	om_totals_free(t);
	return 0;
}

static int in_a_process(int (*fn)(size_t, bool), size_t n, bool flag, int (*days)(uint32_t))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int r = fn ? fn(n, flag) : days((uint32_t)n);

		fflush(stdout);
		_exit(r);
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 || status;
}

int main(void)
{
	static const size_t registers[] = { 100000, 300000, 1000000 }, days[] = { 10, 30, 100 };
	int r = 0;

	printf("| registers of a job | live registers | MiB | bytes each | new, million/s | raised, million/s | all totals, ms | a fifteenth changed, ms |\n"
	       "|---|---|---|---|---|---|---|---|\n");
	for (int alone = 0; alone < 2; alone++)
		for (size_t i = 0; r == 0 && i < 3; i++)
			r = in_a_process(by_registers, registers[i], alone, NULL);
	printf("\n| sealed days of 20000 jobs | live registers | folded registers | MiB | bytes each, folded | carries sealed and applied, million/s | all totals, ms |\n"
	       "|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; r == 0 && i < 3; i++)
		r = in_a_process(NULL, days[i], false, by_days);
	return r;
}
