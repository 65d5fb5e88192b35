// SPDX-License-Identifier: Apache-2.0
/*
 * Forecasts back-tested: each day of each run is forecast from the days before it, and
 * compared with what came. Runs are real tenants' GPU time by day (data/PROVENANCE.md) and
 * synthetic long runs (pauses, restarts, changes of scale, from a seed). Prints docs/forecast.md's
 * table; ends with 1 if a first notice came later than promised too often.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/forecast.h"

#define DAYS 600
#define HORIZON 90
#define LEAD 30
#define YOUNG 7
#define THRESHOLDS 20

struct run {
	opcount total[DAYS];
	int days, first;
};

struct score {
	uint64_t forecasts, inside, came_before, came_after, open_ended;
	uint64_t crossings, in_time;
};

static uint64_t state;

static uint64_t roll(uint64_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 33) % below;
}

/* Days of work between pauses; now and then the scale changes. In GPU seconds. */
static void synthesize(struct run *r, uint64_t seed)
{
	uint64_t scale, left, working = 1;
	opcount sum = 0;

	state = seed * 977 + 11;
	scale = 1000 + roll(9000);
	left = 5 + roll(36);
	*r = (struct run){ .days = 120 + (int)roll(380) };
	for (int d = 0; d < r->days; d++, left--) {
		if (!left) {
			static const uint64_t percent[] = { 50, 70, 130, 150, 200 };

			working = !working;
			left = working ? 5 + roll(56) : 1 + roll(roll(3) ? 4 : 20);
			if (working && !roll(4))
				scale = scale * percent[roll(5)] / 100 + 1;
		}
		sum += working ? scale * (850 + roll(150)) : 0;
		r->total[d] = sum;
	}
}

static bool crossing(const struct run *r, opcount threshold, int *ret)
{
	for (int d = 0; d < r->days; d++)
		if (r->total[d] >= threshold) {
			*ret = d;
			return true;
		}
	return false;
}

static void judge(const struct om_forecast *f, int crossed, struct score *s)
{
	s->forecasts++;
	s->came_before += crossed < f->earliest;
	s->came_after += crossed > f->latest;
	s->inside += crossed >= f->earliest && crossed <= f->latest;
	s->open_ended += f->latest == OM_FORECAST_NEVER;
}

static void try_threshold(const struct run *r, opcount threshold, struct score *s)
{
	struct om_forecast_point points[DAYS];
	int crossed, noticed = -1;

	if (!crossing(r, threshold, &crossed) || crossed < r->first + LEAD + 15)
		return;
	for (int d = 0; d < crossed; d++) {
		struct om_forecast f;

		points[d] = (struct om_forecast_point){ d, r->total[d], r->total[d] };
		om_forecast(points, (size_t)d + 1, d, threshold, &f);
		if (noticed < 0 && om_forecast_is_due(&f, d, HORIZON))
			noticed = d;
		if (f.state == OM_FORECAST_WILL && d >= r->first + YOUNG && (d - r->first) % YOUNG == 0)
			judge(&f, crossed, s);
	}
	s->crossings++;
	s->in_time += noticed >= 0 && crossed - noticed >= LEAD;
}

static void try_run(struct run *r, struct score *s)
{
	for (r->first = 0; r->first < r->days && !r->total[r->first];)
		r->first++;
	for (int k = 1; k <= THRESHOLDS && r->first < r->days; k++)
		try_threshold(r, r->total[r->days - 1] * (unsigned)k / THRESHOLDS, s);
}

static bool read_run(char *line, struct run *r)
{
	char *save = NULL, *field = strtok_r(line, ",", &save);
	opcount sum = 0;
	int used = 0;

	*r = (struct run){ 0 };
	field = strtok_r(NULL, ",", &save); /* the first day */
	while ((field = strtok_r(NULL, ",\n", &save)) && r->days < DAYS) {
		unsigned long long n = strtoull(field, NULL, 10);

		used += n > 0;
		sum += n;
		r->total[r->days++] = sum;
	}
	return used > 50; /* four tenants ran for a day or two */
}

static void print(const char *name, int runs, const struct score *s)
{
	double n = (double)(s->forecasts ?: 1);

	printf("| %s | %d | %llu | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %llu | %.1f %% |\n", name, runs,
	       (unsigned long long)s->forecasts, 100 * (double)s->inside / n, 100 * (double)s->came_before / n,
	       100 * (double)s->came_after / n, 100 * (double)s->open_ended / n, (unsigned long long)s->crossings,
	       100 * (double)s->in_time / (double)(s->crossings ?: 1));
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "tests/forecast/data/philly_daily.csv";
	struct score real = { 0 }, made = { 0 };
	static struct run r;
	static char line[16384];
	FILE *f = fopen(path, "re");
	int runs = 0;

	if (!f) {
		perror(path);
		return 1;
	}
	while (fgets(line, sizeof(line), f))
		if (line[0] != '#' && strncmp(line, "tenant", 6) && read_run(line, &r)) {
			try_run(&r, &real);
			runs++;
		}
	fclose(f);
	printf("| runs | number | forecasts | date inside | came before | came after | no latest date | crossings | first notice >= 30 days ahead |\n"
	       "|---|---|---|---|---|---|---|---|---|\n");
	print("real tenants of a shared cluster", runs, &real);
	for (uint64_t seed = 1; seed <= 200; seed++) {
		synthesize(&r, seed);
		try_run(&r, &made);
	}
	print("synthetic long runs", 200, &made);
	return !(runs >= 10 && real.in_time * 100 >= real.crossings * 95 && made.in_time * 100 >= made.crossings * 95);
}
