// SPDX-License-Identifier: Apache-2.0
/*
 * What judging jobs costs: 64 processes, each of a job of its own, with 500 products in training form on two threads and a full
 * burst that names buffers, judged once as the agent does each minute; against taking in the same counts. Then keeping a window of each
 * in the ledger, and telling one job's model from the windows that are kept, as `explain` does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "userspace/core/ledger_order.h"
#include "userspace/core/model.h"

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

/* Forward through all weights, then back: each with a buffer of its own. */
static void fill_steps(struct om_tally_step *steps, const struct om_shape_usage *all, uint32_t round)
{
	for (uint32_t i = 0; i < STEPS; i++) {
		uint32_t at = (i + 17 * round) % (WEIGHTS * 3), back = at < WEIGHTS ? 0 : at - WEIGHTS, w = at < WEIGHTS ? at : WEIGHTS - 1 - back / 2,
			 form = at < WEIGHTS ? 0 : 1 + back % 2;

		steps[i] = (struct om_tally_step){ hash_of(&all[w * 3 + form]), 1, (uint8_t)(form > 0), form ? 5000 : 1000 + w,
						   form == 2 ? 1000 + w : 1 + w, 6000 + form };
	}
}

static int keep_windows(const struct om_tally_step *steps)
{
	char dir[] = "/tmp/opmeter-judge-XXXXXX", command[64];
	struct om_order_window w[JOBS] = { 0 };
	struct om_ledger *l = NULL;
	struct error_text err = { "" };
	double begun;
	int rc = mkdtemp(dir) ? om_ledger_open(dir, OM_LEDGER_CREATE, 1, &l, &err) : -1;

	for (uint32_t i = 0; i < JOBS; i++)
		w[i] = (struct om_order_window){ .job = { { (uint8_t)i, 1 } }, .tgid = i, .window = 1, .steps = steps, .count = STEPS };
	begun = cpu_ms();
	rc = rc ?: om_ledger_store_order(l, w, JOBS, 1);
	printf("| keeping a window of %d steps of each of %d processes, once an hour | %.1f ms, %.5f %% of a core | |\n", STEPS, JOBS, cpu_ms() - begun,
	       (cpu_ms() - begun) / 36000);
	om_ledger_free(l);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return rc ?: system(command);
}

/* The agent keeps one window for its judgements; the ledger has several. */
static int tell_model(const struct om_shape_usage *all, size_t n, struct om_tally_step *steps)
{
	struct om_tally *t = om_tally_new(hash_of);
	static struct model_fingerprint f;
	struct om_id job = { { 1, 1 } };
	struct phase_judgement p;
	struct run r = { 0 };
	double begun;
	int rc = t ? om_tally_put(t, all, n) : -1;

	om_tally_keep_windows(t, OM_TALLY_WINDOWS_MAX);
	for (uint32_t window = 1; window <= OM_TALLY_WINDOWS_MAX && rc == 0; window++) {
		fill_steps(steps, all, window);
		rc = om_tally_burst(t, 2, 1, window, steps, STEPS);
	}
	begun = cpu_ms();
	rc = rc ?: om_tally_run(t, &job, &r);
	rc = rc ?: phase_judge(&r, &p);
	rc = rc ?: model_judge(&r, &p, NULL, &f);
	printf("| telling the model of one job from %d windows, when it is asked for | %.1f ms | by buffers: %s |\n", OM_TALLY_WINDOWS_MAX, cpu_ms() - begun,
	       f.by_buffers ? "yes" : "no");
	run_done(&r);
	om_tally_free(t);
	return rc;
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
			fill_steps(steps, all, (uint32_t)round);
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
	if (keep_windows(steps) || tell_model(all, n, steps))
		return 1;
	om_tally_free(t);
	free(steps);
	free(all);
	return 0;
}
