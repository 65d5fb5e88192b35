// SPDX-License-Identifier: Apache-2.0
/*
 * What judging jobs costs: 64 processes, each of a job of its own, with 500 products in training form on two threads and a full
 * burst that names buffers, judged once as the agent does each 45 s; against taking in the same counts. The same again with what is given
 * back kept, as the agent does (base/memory.h). Then keeping a window of each in the ledger, and telling the models from the windows that
 * are kept: one that is asked for (`explain`), and all, as often as the agent does in an hour; and the worst that a tenant can ask for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/memory.h"
#include "userspace/core/ledger_order.h"
#include "userspace/core/model.h"

enum { INTERVAL_S = 45, JOBS = 64, WEIGHTS = 167, ROUNDS = 5, STEPS = 4096, SHAPES_MAX = 4096 };

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

/* T x O over I, and both gradients by another thread. `turn`: a third of the weights is asked for more often; 0: each is as often. */
static void fill(struct om_shape_usage *all, uint64_t calls, uint64_t turn)
{
	for (uint32_t job = 0, n = 0; job < JOBS; job++)
		for (uint64_t w = 0; w < WEIGHTS; w++)
			for (uint32_t form = 0; form < 3; form++) {
				uint64_t t = 4096, o = 1024 + 64 * w, i = 2048 + 32 * (w % 9);
				const uint64_t dims[3][3] = { { t, o, i }, { t, i, o }, { o, i, t } };

				all[n++] = (struct om_shape_usage){ .job = { { (uint8_t)job, 1 } }, .tgid = job + 1, .start_ns = 1,
								    .m = dims[form][0], .n = dims[form][1], .k = dims[form][2], .batch = 1,
								    .types = 0x440e0e0e, .flags = (form > 0) << 16, .calls = calls * (turn && w % 3 == turn % 3 ? 2 : 1) };
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

/* Of one job, from so many windows. */
static int tell(struct om_tally *t, const struct om_tally_window *w, size_t n, struct model_fingerprint *f, double *ret_ms)
{
	struct om_id job = { { 1, 1 } };
	struct phase_judgement p;
	struct run r = { 0 };
	opcount unshaped;
	double begun = cpu_ms();
	int rc = om_tally_process(t, &job, 2, 1, w, n, &r, &unshaped);

	rc = rc ?: phase_judge(&r, &p);
	rc = rc ?: model_judge(&r, &p, NULL, f);
	run_done(&r);
	*ret_ms = cpu_ms() - begun;
	return rc;
}

/* The agent judges a process by its first window, by two, three and four, and then each hour. */
static int tell_models(const struct om_shape_usage *all, size_t n, double phases_ms)
{
	struct om_tally_step *steps = calloc((size_t)STEPS * OM_TALLY_WINDOWS_MAX, sizeof(*steps));
	struct om_tally_window w[OM_TALLY_WINDOWS_MAX];
	struct om_tally *t = om_tally_new(hash_of);
	double ms[OM_TALLY_WINDOWS_MAX] = { 0 }, hour, minute = phases_ms * 3600 / INTERVAL_S;
	static struct model_fingerprint f;
	int rc = t && steps ? om_tally_put(t, all, n) : -1;

	for (uint32_t i = 0; i < OM_TALLY_WINDOWS_MAX; i++) {
		fill_steps(steps + (size_t)i * STEPS, all, i + 1);
		w[i] = (struct om_tally_window){ i + 1, steps + (size_t)i * STEPS, STEPS };
	}
	for (int round = 0; round < ROUNDS && rc == 0; round++)
		for (size_t i = 0; i < OM_TALLY_WINDOWS_MAX && rc == 0; i++) {
			double took;

			rc = tell(t, w, i + 1, &f, &took);
			ms[i] += took / ROUNDS;
		}
	printf("| telling the model of one job from %d windows, when it is asked for | %.1f ms | by buffers: %s |\n", OM_TALLY_WINDOWS_MAX,
	       ms[OM_TALLY_WINDOWS_MAX - 1], f.by_buffers ? "yes" : "no");
	hour = JOBS * ms[OM_TALLY_WINDOWS_MAX - 1];
	printf("| phases each 45 s, and models once an hour | %.3f %% of a core | models alone %.3f %% |\n", (minute + hour) / 36000, hour / 36000);
	hour = JOBS * (ms[0] + ms[1] + ms[3]);
	printf("| the same in the first hour, models told twice and then by the hour | %.3f %% of a core | models alone %.3f %% |\n",
	       (minute + hour) / 36000, hour / 36000);
	hour = JOBS * (ms[0] + ms[1] + ms[2] + 4 * ms[3]);
	printf("| and where each window tells something else (the 1st, 2nd, 4th, ... 60th) | %.3f %% of a core | models alone %.3f %% |\n",
	       (minute + hour) / 36000, hour / 36000);
	om_tally_free(t);
	free(steps);
	return rc;
}

/* As many different products as a process may have, by all threads, in no order, with few buffers. */
static int tell_worst(int kept)
{
	struct om_shape_usage *all = calloc(SHAPES_MAX, sizeof(*all));
	struct om_tally_step *steps = calloc((size_t)STEPS * OM_TALLY_WINDOWS_MAX, sizeof(*steps));
	struct om_tally_window w[OM_TALLY_WINDOWS_MAX];
	struct om_tally *t = om_tally_new(hash_of);
	static struct model_fingerprint f;
	uint32_t x = 1;
	double ms;
	int rc = all && steps && t ? 0 : -1;

	for (uint32_t i = 0; i < SHAPES_MAX && rc == 0; i++) {
		uint64_t dim[3];

		for (int k = 0; k < 3; k++)
			dim[k] = 1 + ((x = x * 1664525 + 1013904223) >> 16);
		all[i] = (struct om_shape_usage){ .job = { { 1, 1 } }, .tgid = 2, .start_ns = 1, .m = dim[0], .n = dim[1], .k = dim[2], .batch = 1,
						  .types = 0x440e0e0e, .flags = i % 8 << 16, .calls = 1 + x % 1000 };
	}
	for (uint32_t i = 0; i < STEPS * OM_TALLY_WINDOWS_MAX && rc == 0; i++) {
		x = x * 1664525 + 1013904223;
		steps[i] = (struct om_tally_step){ hash_of(&all[(x >> 8) % SHAPES_MAX]), 1, (uint8_t)(x >> 29), 1 + (x >> 8) % 50, 1 + (x >> 12) % 50,
						   1 + (x >> 16) % 5000 };
	}
	for (uint32_t i = 0; i < OM_TALLY_WINDOWS_MAX; i++)
		w[i] = (struct om_tally_window){ i + 1, steps + (size_t)i * STEPS, STEPS };
	rc = rc ?: om_tally_put(t, all, SHAPES_MAX);
	rc = rc ?: tell(t, w, (size_t)kept, &f, &ms);
	printf("| the same of %d different products in no order, %d windows | %.0f ms | |\n", SHAPES_MAX, kept, rc ? 0 : ms);
	om_tally_free(t);
	free(all);
	free(steps);
	return rc;
}

/* One pass over all jobs, each minute; *ret_ms: what a pass took. */
static int judge_phases(struct om_shape_usage *all, size_t n, struct om_tally_step *steps, bool is_steady, double *ret_ms)
{
	struct om_tally *t = om_tally_new(hash_of);
	double put = 0, judge = 0;
	unsigned judged = 0;
	int rc = t ? 0 : -1;

	for (uint64_t round = 1; round <= ROUNDS && rc == 0; round++) {
		double begun, middle;

		fill(all, 10 << round, is_steady ? 0 : round);
		begun = cpu_ms();
		rc = om_tally_put(t, all, n);
		middle = cpu_ms();
		for (uint32_t job = 0; job < JOBS && rc == 0; job++) {
			fill_steps(steps, all, (uint32_t)round);
			rc = om_tally_burst(t, job + 1, 1, (uint32_t)round, steps, STEPS);
		}
		rc = rc ?: om_tally_judge(t, count, &judged);
		put += middle - begun;
		judge += cpu_ms() - middle;
	}
	om_tally_free(t);
	if (rc || judged != JOBS * ROUNDS)
		return -1;
	printf("| judging %d jobs x %d products, each %d s, %s | %.1f ms, %.3f %% of a core | taking in their counts %.1f ms, ratio %.1f |\n", JOBS,
	       WEIGHTS * 3, INTERVAL_S, is_steady ? "each doing what it did" : "each doing something else", judge / ROUNDS, judge / ROUNDS / (10 * INTERVAL_S), put / ROUNDS, judge / put);
	*ret_ms = judge / ROUNDS;
	return 0;
}

int main(void)
{
	const size_t n = (size_t)JOBS * WEIGHTS * 3;
	struct om_shape_usage *all = calloc(n, sizeof(*all));
	struct om_tally_step *steps = calloc(STEPS, sizeof(*steps));
	double ms = 0;
	int rc = all && steps ? judge_phases(all, n, steps, false, &ms) : -1;

	memory_keep_freed();
	printf("from here on freed memory is kept, as the agent does:\n");
	rc = rc ?: judge_phases(all, n, steps, false, &ms);
	rc = rc ?: judge_phases(all, n, steps, true, &ms);
	rc = rc ?: keep_windows(steps);
	rc = rc ?: tell_models(all, n, ms);
	rc = rc ?: tell_worst(OM_TALLY_WINDOWS_MAX);
	rc = rc ?: tell_worst(1);
	free(steps);
	free(all);
	return rc ? 1 : 0;
}
