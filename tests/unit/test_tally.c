// SPDX-License-Identifier: Apache-2.0
/* A recorded run told as counts that grow, over threads, bursts, hours and processes, is judged as the recording is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/core/tally.h"

#define TRAINING "tests/phases/runs/gpt2_bf16.run.gz"
#define INFERENCE "tests/phases/runs/inf_gpt2_beam.run.gz"

static uint32_t hash_of(const struct om_shape_usage *s)
{
	return (uint32_t)((s->m * 31 + s->n) * 131 + s->k * 7 + s->batch + s->types + s->flags);
}

static struct om_id job(uint8_t n)
{
	return (struct om_id){ { n, 0xbb } };
}

static void load(const char *path, struct run *r)
{
	struct error_text err;

	if (run_load(path, r, &err))
		fail_msg("%s: %s", path, err.text);
}

/* The run `times` over, as a process's cumulative counts. */
static void put(struct om_tally *t, const struct run *r, uint32_t tgid, struct om_id of, uint64_t times, bool is_base)
{
	uint64_t(*by_thread)[RUN_THREADS_MAX] = calloc(r->product_count, sizeof(*by_thread));

	for (size_t i = 0; i < r->step_count; i++)
		by_thread[r->steps[i].product][r->steps[i].thread % RUN_THREADS_MAX] += r->steps[i].repeat;
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		for (uint32_t th = 0; th < RUN_THREADS_MAX; th++) {
			struct om_shape_usage s = { .job = of, .tgid = tgid, .start_ns = 5, .m = p->m, .n = p->n, .k = p->k, .batch = p->batch,
						    .types = p->types, .flags = th << 16 | 2 << 8, .calls = by_thread[i][th] * times };

			if (s.calls)
				assert_int_equal(is_base ? om_tally_base(t, &s) : om_tally_put(t, &s, 1), 0);
		}
	}
	free(by_thread);
}

static void burst(struct om_tally *t, const struct run *r, uint32_t tgid)
{
	struct om_tally_step *steps = calloc(r->step_count, sizeof(*steps));

	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_product *p = &r->products[r->steps[i].product];
		struct om_shape_usage s = { .m = p->m, .n = p->n, .k = p->k, .batch = p->batch, .types = p->types, .flags = 2 << 8 };

		steps[i] = (struct om_tally_step){ hash_of(&s), (uint16_t)r->steps[i].repeat, (uint8_t)r->steps[i].thread };
	}
	assert_int_equal(om_tally_burst(t, tgid, 5, 1, steps, r->step_count), 0);
	free(steps);
}

static int keep(void *ctx, const struct om_phase_hour *h)
{
	struct om_phase_hour *all = ctx;

	all[h->job.byte[0]] = *h;
	return 0;
}

static void it_is_judged_as_the_recording_is(void **state)
{
	static const char *const paths[] = { TRAINING, INFERENCE };

	for (size_t i = 0; i < 2; i++) {
		_cleanup_(run_done) struct run r = { 0 };
		struct om_tally *t = om_tally_new(hash_of);
		struct om_phase_hour h[4] = { 0 };
		struct phase_judgement want;

		load(paths[i], &r);
		assert_int_equal(phase_judge(&r, &want), 0);
		assert_int_not_equal(want.verdict, PHASE_IS_UNKNOWN);
		put(t, &r, 7, job(1), 1, false);
		burst(t, &r, 7);
		assert_int_equal(om_tally_judge(t, keep, h), 0);
		assert_int_equal(h[1].verdict, want.verdict);
		assert_true(h[1].executed == want.executed);
		assert_int_equal(h[1].processes, 1);
		/* Nothing has changed: nothing to say. */
		memset(h, 0, sizeof(h));
		assert_int_equal(om_tally_judge(t, keep, h), 0);
		assert_int_equal(h[1].processes, 0);
		om_tally_free(t);
	}
}

static void an_hour_holds_what_is_new_in_it(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct om_tally *t = om_tally_new(hash_of);
	struct om_phase_hour h[4] = { 0 };
	opcount once;

	load(TRAINING, &r);
	assert_int_equal(run_ops(&r, &once), 0);
	put(t, &r, 7, job(1), 3, true); /* written down before */
	put(t, &r, 7, job(1), 5, false);
	assert_int_equal(om_tally_judge(t, keep, h), 0);
	assert_true(h[1].executed == 2 * once);
	om_tally_turn(t);
	assert_int_equal(om_tally_judge(t, keep, memset(h, 0, sizeof(h))), 0);
	assert_int_equal(h[1].processes, 0);
	put(t, &r, 7, job(1), 6, false);
	put(t, &r, 7, job(1), 4, false); /* below what is known: left alone */
	assert_int_equal(om_tally_judge(t, keep, h), 0);
	assert_true(h[1].executed == once);
	om_tally_ended(t, 7, 5);
	om_tally_turn(t);
	assert_int_equal(om_tally_products(t), 0);
	om_tally_free(t);
}

static void a_job_is_the_sum_of_its_processes(void **state)
{
	_cleanup_(run_done) struct run training = { 0 };
	_cleanup_(run_done) struct run inference = { 0 };
	struct om_tally *t = om_tally_new(hash_of);
	struct om_phase_hour h[4] = { 0 };
	opcount a, b;

	load(TRAINING, &training);
	load(INFERENCE, &inference);
	run_ops(&training, &a);
	run_ops(&inference, &b);
	for (uint32_t tgid = 1; tgid <= 100; tgid++)
		put(t, &training, tgid, job(tgid % 2 ? 1 : 2), 1, false);
	put(t, &inference, 200, job(2), 1, false);
	assert_int_equal(om_tally_judge(t, keep, h), 0);
	assert_int_equal(h[1].processes, 50);
	assert_int_equal(h[1].verdict, PHASE_IS_TRAINING);
	assert_true(h[1].executed == 50 * a);
	assert_int_equal(h[2].verdict, PHASE_IS_MIXED);
	assert_true(h[2].executed == 50 * a + b);
	assert_true(h[2].training_high <= 50 * a);
	assert_true(h[2].training_low > 0);
	om_tally_free(t);
}

static void doubt_takes_no_verdict_away(void **state)
{
	struct om_phase_hour a = { .verdict = PHASE_IS_TRAINING, .executed = 100, .training_low = 90, .training_high = 100 };
	struct om_phase_hour doubt = { .verdict = PHASE_IS_UNKNOWN, .executed = 1000, .training_high = 1000 };
	struct om_phase_hour b = { .verdict = PHASE_IS_INFERENCE, .executed = 10 };

	om_phase_hour_add(&a, &doubt);
	assert_int_equal(a.verdict, PHASE_IS_TRAINING);
	assert_int_equal((uint64_t)a.training_low, 90);
	assert_int_equal((uint64_t)a.training_high, 1100);
	om_phase_hour_add(&a, &b);
	assert_int_equal(a.verdict, PHASE_IS_MIXED);
	assert_int_equal((uint64_t)a.executed, 1110);
}

/* Two products of one name: their steps are left out, their counts are not. */
static uint32_t hash_badly(const struct om_shape_usage *s)
{
	(void)s;
	return 1;
}

static void steps_that_mean_two_products_mean_none(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	_cleanup_(run_done) struct run got = { 0 };
	struct om_tally *t = om_tally_new(hash_badly);
	struct om_tally_step step = { 1, 1, 0 };
	struct om_id of = job(1);
	opcount want, ops;

	load(TRAINING, &r);
	put(t, &r, 7, of, 1, false);
	assert_int_equal(om_tally_burst(t, 7, 5, 1, &step, 1), 0);
	assert_int_equal(om_tally_run(t, &of, &got), 0);
	assert_int_equal(got.step_count, 0);
	run_ops(&r, &want);
	run_ops(&got, &ops);
	assert_true(want == ops);
	om_tally_free(t);
}

/* Windows are kept up to a number, each with its buffers, each beginning with a step that says so; the same one again replaces itself. */
static void windows_are_kept_with_their_buffers(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	_cleanup_(run_done) struct run got = { 0 };
	struct om_tally *t = om_tally_new(hash_of);
	struct om_id of = job(1), found;

	om_tally_keep_windows(t, OM_TALLY_WINDOWS_MAX);
	load(TRAINING, &r);
	put(t, &r, 7, of, 1, false);
	for (uint32_t window = 1; window <= OM_TALLY_WINDOWS_MAX + 2; window++) {
		const struct run_product *p = &r.products[0];
		struct om_shape_usage s = { .m = p->m, .n = p->n, .k = p->k, .batch = p->batch, .types = p->types, .flags = 2 << 8 };
		struct om_tally_step steps[] = { { hash_of(&s), 3, 1, window, 11, 12 }, { hash_of(&s), 1, 1, window, 11, 13 } };

		assert_false(om_tally_has_window(t, 7, 5, window, 1));
		assert_int_equal(om_tally_burst(t, 7, 5, window, steps, 1), 0);
		assert_true(om_tally_has_window(t, 7, 5, window, 1));
		assert_false(om_tally_has_window(t, 7, 5, window, 2)); /* it went on */
		assert_int_equal(om_tally_burst(t, 7, 5, window, steps, 2), 0);
		assert_true(om_tally_has_window(t, 7, 5, window, 2) && om_tally_has_window(t, 7, 5, window, 1));
		assert_int_equal(om_tally_burst(t, 7, 5, window, steps, 1), 0); /* shorter: left alone */
	}
	assert_int_equal(om_tally_windows(t, 7, 5, &found), OM_TALLY_WINDOWS_MAX + 2);
	assert_true(om_id_equal(&found, &of));
	assert_int_equal(om_tally_windows(t, 8, 5, &found), 0);
	assert_false(om_tally_has_window(t, 8, 5, 1, 1));
	put(t, &r, 7, job(2), 1, false); /* it moved: of the other job it is not there yet */
	assert_false(om_tally_has_window(t, 7, 5, OM_TALLY_WINDOWS_MAX + 2, 1));
	assert_int_equal(om_tally_run(t, &of, &got), 0);
	assert_int_equal(got.step_count, 2 * OM_TALLY_WINDOWS_MAX);
	for (uint32_t i = 0; i < got.step_count; i++) {
		assert_int_equal(got.steps[i].begins, i % 2 == 0);
		assert_int_equal(got.steps[i].a, 3 + i / 2);
		assert_int_equal(got.steps[i].d, 12 + i % 2);
	}
	om_tally_free(t);
}

/* What the run is judged to be so many times over, by a tally that has seen nothing else. */
static struct om_phase_hour fresh(const struct run *r, uint64_t times)
{
	struct om_tally *t = om_tally_new(hash_of);
	struct om_phase_hour h[8] = { 0 };

	put(t, r, 7, job(1), times, false);
	burst(t, r, 7);
	assert_int_equal(om_tally_judge(t, keep, h), 0);
	om_tally_free(t);
	return h[1];
}

static void assert_same_hour(const struct om_phase_hour *a, const struct om_phase_hour *b)
{
	assert_int_equal(a->verdict, b->verdict);
	assert_true(a->executed == b->executed && a->training_low == b->training_low && a->training_high == b->training_high);
	assert_true(a->recompute_low == b->recompute_low && a->recompute_high == b->recompute_high);
	assert_string_equal(a->confidence, b->confidence);
}

/* As long as a process does what it did it is not judged anew each minute, and nobody can tell; when it does something else, it is. */
static void what_goes_on_as_it_went_is_what_it_was(void **state)
{
	static const char *const paths[] = { TRAINING, INFERENCE };

	for (size_t i = 0; i < 2; i++) {
		_cleanup_(run_done) struct run r = { 0 };
		_cleanup_(run_done) struct run other = { 0 };
		struct om_tally *t = om_tally_new(hash_of);
		struct om_phase_hour h[8] = { 0 }, want;

		load(paths[i], &r);
		load(paths[1 - i], &other);
		for (uint64_t times = 1; times <= 12; times++) {
			put(t, &r, 7, job(1), times, false);
			burst(t, &r, 7);
			assert_int_equal(om_tally_judge(t, keep, h), 0);
			want = fresh(&r, times);
			assert_same_hour(&h[1], &want);
		}
		put(t, &other, 7, job(1), 40, false);
		assert_int_equal(om_tally_judge(t, keep, h), 0);
		assert_true(h[1].executed > want.executed);
		if (i)
			assert_true(h[1].training_low > want.training_low + want.executed / 10);
		else
			assert_true(h[1].training_low < want.training_high && h[1].executed - h[1].training_low > want.executed / 10);
		om_tally_free(t);
	}
}

/* A little learning beside much that goes on as it went is in the upper bound at once, and told exactly when the hour ends. */
static void what_moves_is_in_the_bounds(void **state)
{
	_cleanup_(run_done) struct run serves = { 0 };
	_cleanup_(run_done) struct run learns = { 0 };
	struct om_tally *t = om_tally_new(hash_of);
	struct om_phase_hour h[8] = { 0 }, was;
	opcount a, b;
	uint64_t times;

	load(INFERENCE, &serves);
	load(TRAINING, &learns);
	assert_int_equal(run_ops(&serves, &a), 0);
	assert_int_equal(run_ops(&learns, &b), 0);
	times = (uint64_t)(b * 1000 / a) + 1; /* so that the other is a thousandth */
	put(t, &serves, 7, job(1), times, false);
	burst(t, &serves, 7);
	assert_int_equal(om_tally_judge(t, keep, h), 0);
	was = h[1];
	assert_int_equal(was.verdict, PHASE_IS_INFERENCE);
	put(t, &learns, 7, job(1), 1, false);
	assert_int_equal(om_tally_judge(t, keep, h), 0);
	assert_true(h[1].executed == was.executed + b);
	assert_true(h[1].training_high >= was.training_high + b);
	assert_true(h[1].training_high <= was.training_high + 3 * b);
	assert_true(h[1].training_low <= was.training_low);
	om_tally_hour_ends(t);
	was = h[1];
	assert_int_equal(om_tally_judge(t, keep, memset(h, 0, sizeof(h))), 0);
	assert_true(h[1].executed == was.executed); /* judged anew, though nothing came */
	om_tally_hour_ends(t);
	assert_int_equal(om_tally_judge(t, keep, memset(h, 0, sizeof(h))), 0);
	assert_int_equal(h[1].processes, 0); /* it is as exact as it gets */
	om_tally_free(t);
}

/* One process under one job, with windows that were kept elsewhere before its own; and what its ranks add up. */
static void a_process_is_taken_by_itself(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	_cleanup_(run_done) struct run got = { 0 };
	struct om_tally *t = om_tally_new(hash_of);
	struct om_id of = job(1), other = job(2), jobs[4];
	struct om_tally_collective c = { other, 7, 5, 77, RUN_ALLREDUCE, 3, 300 }, sums[4];
	struct om_tally_step steps[5];
	struct om_tally_window kept[5];
	const struct run_product *p;
	struct om_shape_usage s;
	opcount unshaped;

	load(TRAINING, &r);
	p = &r.products[0];
	s = (struct om_shape_usage){ .m = p->m, .n = p->n, .k = p->k, .batch = p->batch, .types = p->types, .flags = 2 << 8 };
	put(t, &r, 7, of, 1, false);
	put(t, &r, 7, other, 2, false);
	put(t, &r, 8, of, 3, false);
	for (uint32_t i = 0; i < 5; i++) {
		steps[i] = (struct om_tally_step){ hash_of(&s), 1, 0, i + 1, 0, 0 };
		kept[i] = (struct om_tally_window){ i + 1, &steps[i], 1 };
	}
	assert_int_equal(om_tally_burst(t, 7, 5, 5, &steps[4], 1), 0);
	assert_int_equal(om_tally_unshaped(t, &other, 7, 5, 1000), 0);
	assert_int_equal(om_tally_collective(t, &c, true), 0); /* since the process began, not since the hour */
	assert_int_equal(om_tally_judge(t, keep, &(struct om_phase_hour[8]){ 0 }), 0);
	assert_int_equal(om_tally_process(t, &other, 7, 5, kept, 5, &got, &unshaped), 0);
	assert_int_equal(run_calls(&got), 2 * run_calls(&r));
	assert_true(unshaped == 1000);
	/* Of five one is its own, and four are kept in all. */
	assert_int_equal(got.step_count, OM_TALLY_WINDOWS_MAX);
	for (uint32_t i = 0; i < got.step_count; i++)
		assert_true(got.steps[i].begins && got.steps[i].a == i + 2);
	assert_int_equal(om_tally_process(t, &other, 8, 5, kept, 5, &got, &unshaped), -ENOENT);
	assert_int_equal(om_tally_jobs(t, 7, 5, jobs, 4), 2);
	assert_int_equal(om_tally_jobs(t, 7, 5, jobs, 1), 1);
	assert_int_equal(om_tally_jobs(t, 9, 5, jobs, 4), 0);
	assert_int_equal(om_tally_collectives(t, &other, 7, 5, sums, 4), 1);
	assert_true(sums[0].comm == 77 && sums[0].kind == RUN_ALLREDUCE && sums[0].bytes == 300);
	assert_int_equal(om_tally_collectives(t, &of, 7, 5, sums, 4), 0);
	om_tally_free(t);
}

/* Input gradients alone are attribution or training whose weight gradients nobody sees: what ranks add up tells, in the hour that they do. */
static void ranks_that_add_up_gradients_train(void **state)
{
	static const char path[] = "tests/phases/runs/llama_hidden_weight.run.gz";
	struct om_tally *t = om_tally_new(hash_of);
	struct om_phase_hour all[8] = { 0 };
	struct run r;

	load(path, &r);
	put(t, &r, 100, job(1), 1, false);
	put(t, &r, 101, job(2), 1, false);
	put(t, &r, 102, job(3), 1, false);
	for (size_t i = 0; i < r.collective_count; i++) {
		struct om_tally_collective c = { .job = job(2), .tgid = 101, .start_ns = 5, .comm = i, .kind = r.collectives[i].kind,
						 .calls = r.collectives[i].calls, .bytes = (opcount)r.collectives[i].bytes * r.collectives[i].calls };

		assert_int_equal(om_tally_collective(t, &c, false), 0);
		c.job = job(3);
		c.tgid = 102;
		assert_int_equal(om_tally_collective(t, &c, true), 0); /* before the hour */
	}
	assert_int_equal(om_tally_judge(t, keep, all), 0);
	assert_int_equal(all[1].verdict, PHASE_IS_UNKNOWN);
	assert_int_equal(all[2].verdict, PHASE_IS_TRAINING);
	assert_int_equal(all[3].verdict, PHASE_IS_UNKNOWN);
	/* The next hour begins with neither products nor sums. */
	assert_int_equal(om_tally_turn(t), 0);
	put(t, &r, 101, job(2), 2, false);
	assert_int_equal(om_tally_judge(t, keep, all), 0);
	assert_int_equal(all[2].verdict, PHASE_IS_UNKNOWN);
	run_done(&r);
	om_tally_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranks_that_add_up_gradients_train),
		cmocka_unit_test(it_is_judged_as_the_recording_is),
		cmocka_unit_test(an_hour_holds_what_is_new_in_it),
		cmocka_unit_test(a_job_is_the_sum_of_its_processes),
		cmocka_unit_test(doubt_takes_no_verdict_away),
		cmocka_unit_test(steps_that_mean_two_products_mean_none),
		cmocka_unit_test(windows_are_kept_with_their_buffers),
		cmocka_unit_test(a_process_is_taken_by_itself),
		cmocka_unit_test(what_goes_on_as_it_went_is_what_it_was),
		cmocka_unit_test(what_moves_is_in_the_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
