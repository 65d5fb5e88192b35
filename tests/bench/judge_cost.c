// SPDX-License-Identifier: Apache-2.0
/*
 * What judging jobs costs: 64 processes, each of a job of its own, with 500 products in training form on two threads and a full
 * burst, judged once as the agent does each minute; against taking in the same counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "userspace/core/tally.h"

enum { JOBS = 64, WEIGHTS = 167, ROUNDS = 5, STEPS = 4096 };

static uint32_t hash_of(const struct om_shape_usage *s)
{
	return (uint32_t)((s->m * 31 + s->n) * 131 + s->k * 7);
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* T x O over I, and both gradients by another thread. */
static void fill(struct om_shape_usage *all, uint64_t calls)
{
	for (uint32_t job = 0, n = 0; job < JOBS; job++)
		for (uint64_t w = 0; w < WEIGHTS; w++)
			for (uint32_t form = 0; form < 3; form++) {
				uint64_t t = 4096, o = 1024 + 64 * w, i = 2048 + 32 * (w % 9);
				const uint64_t dims[3][3] = { { t, o, i }, { t, i, o }, { o, i, t } };

				all[n++] = (struct om_shape_usage){ .job = { { (uint8_t)job, 1 } }, .tgid = job + 1, .start_ns = 1,
								    .m = dims[form][0], .n = dims[form][1], .k = dims[form][2], .batch = 1,
								    .types = 0x440e0e0e, .flags = (form > 0) << 16, .calls = calls };
			}
}

static int count(void *ctx, const struct om_phase_hour *h)
{
	(*(unsigned *)ctx)++;
	return h->verdict == PHASE_IS_TRAINING ? 0 : -1;
}

int main(void)
{
	const size_t n = (size_t)JOBS * WEIGHTS * 3;
	struct om_shape_usage *all = calloc(n, sizeof(*all));
	struct om_tally_step *steps = calloc(STEPS, sizeof(*steps));
	struct om_tally *t = om_tally_new(hash_of);
	double put = 0, judge = 0;
	unsigned judged = 0;

	if (!all || !steps || !t)
		return 1;
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		double begun = cpu_ms(), middle;

		fill(all, 10 * round);
		begun = cpu_ms();
		if (om_tally_put(t, all, n))
			return 1;
		middle = cpu_ms();
		for (uint32_t job = 0; job < JOBS; job++) {
			for (size_t i = 0; i < STEPS; i++)
				steps[i] = (struct om_tally_step){ hash_of(&all[i % (WEIGHTS * 3)]), 1, (uint8_t)(i % 3 > 0) };
			if (om_tally_burst(t, job + 1, 1, (uint32_t)round, steps, STEPS))
				return 1;
		}
		if (om_tally_judge(t, count, &judged))
			return 1;
		put += middle - begun;
		judge += cpu_ms() - middle;
	}
	if (judged != JOBS * ROUNDS)
		return 1;
	printf("| judging %d jobs x %d products, once a minute | %.1f ms, %.3f %% of a core | taking in their counts %.1f ms, ratio %.1f |\n", JOBS,
	       WEIGHTS * 3, judge / ROUNDS, judge / ROUNDS / 600, put / ROUNDS, judge / put);
	om_tally_free(t);
	free(steps);
	free(all);
	return 0;
}
