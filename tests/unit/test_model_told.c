// SPDX-License-Identifier: Apache-2.0
/* Weights told by the buffers that products read: with all dimensions equal, a reference, gathered weights, and hostile ones. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/model.h"

/* A plain model: so many layers of three weights each, H x H, H x F and F x H, and a head. Buffers are numbered from 1: weights
 * first, then inputs and what comes back, the same ones in each step. */
struct job {
	uint64_t t, hidden, feed, vocabulary;
	uint32_t layers, steps;
	bool has_reference; /* goes forward with weights of its own before each step */
	uint32_t gathered;  /* so many buffers hold all layers' weights in turn; 0: each has its own */
	bool is_swapped;    /* m and n, A and B exchanged, as a library by columns has it */
	uint32_t (*buffer)(uint32_t honest);
};

static uint32_t honest(uint32_t b)
{
	return b;
}

static void product(struct run *r, const struct job *j, const uint64_t dim[3], uint32_t thread, uint32_t a, uint32_t b, uint32_t d)
{
	struct run_product p = { .batch = 1, .m = dim[j->is_swapped], .n = dim[!j->is_swapped], .k = dim[2], .types = 0x440e0e0e,
				 .op = "mm" };
	struct run_step *s;

	assert_int_equal(run_add(r, &p, thread), 0);
	s = &r->steps[r->step_count - 1];
	/* The last call is a step of its own. */
	if (s->repeat > 1) {
		struct run_step own = *s;

		s->repeat--;
		own.repeat = 1;
		own.a = UINT32_MAX;
		assert_int_equal(run_add_step(r, &own), 0);
		s = &r->steps[r->step_count - 1];
	}
	s->a = j->buffer(j->is_swapped ? b : a);
	s->b = j->buffer(j->is_swapped ? a : b);
	s->d = j->buffer(d);
}

/* Weight i of 3 L and the head. */
static void dims(const struct job *j, uint32_t i, uint64_t *ret_in, uint64_t *ret_out)
{
	*ret_in = i % 3 == 2 ? j->feed : j->hidden;
	*ret_out = i == 3 * j->layers ? j->vocabulary : i % 3 == 1 ? j->feed : j->hidden;
}

static uint32_t weight(const struct job *j, uint32_t i, bool of_reference)
{
	if (j->gathered && i < 3 * j->layers)
		return 1 + i % (3 * j->gathered);
	return 1 + i + (of_reference ? 3 * j->layers + 1 : 0);
}

static void forward(struct run *r, const struct job *j, bool of_reference)
{
	for (uint32_t i = 0; i <= 3 * j->layers; i++) {
		uint32_t x = 1000 + (of_reference ? 0 : i);
		uint64_t in, out;

		dims(j, i, &in, &out);
		product(r, j, (uint64_t[]){ j->t, out, in }, 0, x, weight(j, i, of_reference), 3000);
	}
}

static void backward(struct run *r, const struct job *j)
{
	for (uint32_t i = 3 * j->layers + 1; i-- > 0;) {
		uint64_t in, out;

		dims(j, i, &in, &out);
		product(r, j, (uint64_t[]){ j->t, in, out }, 1, 2000, weight(j, i, false), 3001);
		product(r, j, (uint64_t[]){ out, in, j->t }, 1, 2000, 1000 + i, 4000 + i);
	}
}

static void judge(const struct job *j, struct model_fingerprint *f)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct phase_judgement p;

	for (uint32_t s = 0; s < j->steps; s++) {
		if (j->has_reference)
			forward(&r, j, true);
		forward(&r, j, false);
		backward(&r, j);
	}
	assert_int_equal(phase_judge(&r, &p), 0);
	assert_int_equal(model_judge(&r, &p, NULL, f), 0);
}

static double parameters(const struct job *j)
{
	return (double)(j->layers * j->hidden * (2 * j->feed + j->hidden) + j->hidden * j->vocabulary);
}

static const struct job PLAIN = { 2048, 1024, 2816, 32000, 6, 3, .buffer = honest };

static void weights_are_counted(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct job j = PLAIN;
		struct model_fingerprint f;

		j.is_swapped = i & 1;
		j.has_reference = i & 2;
		judge(&j, &f);
		assert_true(f.by_buffers && f.is_certain);
		assert_true(fabs(f.parameters.best - parameters(&j)) < 1 && f.parameters.low == f.parameters.high);
		assert_int_equal(f.layers, j.layers);
		assert_int_equal(f.vocabulary, j.vocabulary);
		assert_true(fabs(f.tokens.best - (double)(j.steps * j.t)) < 1);
	}
}

/* Shapes tell nothing at all here. */
static void equal_dimensions_are_told(void **state)
{
	struct job j = { 1024, 1024, 1024, 1024, 6, 3, .buffer = honest };
	struct model_fingerprint f;

	judge(&j, &f);
	assert_true(f.by_buffers);
	assert_true(fabs(f.parameters.best - parameters(&j)) < 1);
}

/* Ranks that gather each layer into buffers used again: there are more weights than buffers. The head tells. */
static void gathered_weights_are_not_missed(void **state)
{
	for (uint32_t buffers = 1; buffers <= 2; buffers++) {
		struct job j = PLAIN;
		struct model_fingerprint f;

		j.gathered = buffers;
		judge(&j, &f);
		assert_false(f.by_buffers);
		assert_true(fabs(f.parameters.best - parameters(&j)) < 1);
		assert_true(f.parameters.low <= parameters(&j) && f.parameters.high >= parameters(&j));
	}
}

static uint32_t none(uint32_t b)
{
	return 0;
}

static uint32_t one(uint32_t b)
{
	return 5;
}

static uint32_t ever;
static uint32_t another_each_time(uint32_t b)
{
	return ++ever;
}

static uint32_t one_of_three(uint32_t b)
{
	return 1 + b % 3;
}

static uint32_t no_inputs(uint32_t b)
{
	return b < 1000 ? b : 0;
}

/* Weights copied to another place between passes. */
static uint32_t moved(uint32_t b)
{
	return b < 1000 ? b + 100 * (ever++ / 83) : b;
}

/* Buffers are what the tenant makes them: what they tell is never certain and wrong. */
static void lies_are_never_certain(void **state)
{
	static uint32_t (*const lies[])(uint32_t) = { none, one, another_each_time, one_of_three, no_inputs, moved };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(lies); i++) {
		struct job j = PLAIN;
		struct model_fingerprint f;

		ever = 0;
		j.buffer = lies[i / 2];
		j.has_reference = i % 2;
		judge(&j, &f);
		assert_true(f.parameters.low <= f.parameters.best && f.parameters.best <= f.parameters.high);
		assert_true(!f.is_certain || fabs(f.parameters.best - parameters(&j)) < 0.05 * parameters(&j));
		/* Without any they tell nothing, as before there were any. */
		if (lies[i / 2] == none && !j.has_reference)
			assert_true(!f.by_buffers && f.is_certain);
	}
}

/* A live run: calls are exact, the order is a sample. What is not in it has bounds all the same. */
static void what_is_not_sampled_has_bounds(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct job j = PLAIN;
	struct model_fingerprint f;
	struct phase_judgement p;

	for (uint32_t s = 0; s < j.steps; s++) {
		forward(&r, &j, false);
		backward(&r, &j);
	}
	for (size_t i = 0; i < r.step_count; i++)
		r.products[r.steps[i].product].calls_by_thread[r.steps[i].thread] += 1000 * (uint64_t)r.steps[i].repeat;
	for (size_t i = 0; i < r.product_count; i++)
		r.products[i].calls *= 1000;
	r.has_threads = true;
	for (uint64_t thread = 0; thread < 2; thread++) {
		struct run_product rare = { .batch = 1, .m = j.t, .n = thread ? 9999 : 5000, .k = thread ? 5000 : 9999, .types = 0x440e0e0e, .op = "mm", .calls = 1 };

		rare.calls_by_thread[thread] = 1;
		assert_int_equal(run_add_product(&r, &rare), 0);
	}
	assert_int_equal(phase_judge(&r, &p), 0);
	assert_int_equal(model_judge(&r, &p, NULL, &f), 0);
	assert_true(f.by_buffers && fabs(f.parameters.best - parameters(&j)) < 0.01 * parameters(&j));
	assert_true(f.parameters.low <= f.parameters.best && f.parameters.best <= f.parameters.high);
	assert_true(fabs(f.tokens.best - 1000.0 * (double)(j.steps * j.t)) < 1);
}

/* A run as the kernel would see it: so many windows of `length` steps, the first from step `from` on. */
static void judge_windows(const struct job *j, size_t from, size_t windows, size_t length, struct model_fingerprint *f)
{
	_cleanup_(run_done) struct run r = { .has_threads = true }, all = { 0 };
	struct phase_judgement p;

	for (uint32_t s = 0; s < j->steps; s++) {
		forward(&all, j, false);
		backward(&all, j);
	}
	for (size_t i = 0; i < all.product_count; i++)
		assert_int_equal(run_add_product(&r, &all.products[i]), 0);
	for (size_t i = 0; i < all.step_count; i++)
		r.products[all.steps[i].product].calls_by_thread[all.steps[i].thread] += 64 * (uint64_t)all.steps[i].repeat;
	for (size_t i = 0; i < r.product_count; i++)
		r.products[i].calls *= 64;
	for (size_t i = 0; i < windows * length; i++) {
		struct run_step s = all.steps[(from + i) % all.step_count];

		s.begins = i % length == 0;
		assert_int_equal(run_add_step(&r, &s), 0);
	}
	assert_int_equal(phase_judge(&r, &p), 0);
	assert_int_equal(model_judge(&r, &p, NULL, f), 0);
}

/* Wherever a window begins, it tells the model if it goes once round, and for certain if twice; else shapes tell as if there were none. */
static void windows_begin_anywhere(void **state)
{
	const struct job j = PLAIN;
	const size_t once = (size_t)3 * (3 * j.layers + 1); /* products from one step to the next */

	for (size_t from = 0; from < once; from += 5) {
		struct model_fingerprint f;

		judge_windows(&j, from, 1, 4 * once, &f);
		assert_true(f.by_buffers && f.is_certain && fabs(f.parameters.best - parameters(&j)) < 1);
		judge_windows(&j, from, 3, 2 * once + 1, &f);
		assert_true(f.by_buffers && f.is_certain && fabs(f.parameters.best - parameters(&j)) < 1);
		judge_windows(&j, from, 1, 2 * once, &f);
		assert_true(!f.by_buffers || (!f.is_certain && fabs(f.parameters.best - parameters(&j)) < 1));
		judge_windows(&j, from, 4, once / 2, &f);
		assert_false(f.by_buffers);
	}
}

/* Up and down of a layer, the same size one after the other, in one buffer: half as many weights, each met once. */
static uint32_t up_and_down(uint32_t b)
{
	return b < 1000 && b % 3 == 0 ? b - 1 : b;
}

static void two_weights_in_one_buffer_are_never_certain(void **state)
{
	struct job j = PLAIN;
	struct model_fingerprint f;

	j.buffer = up_and_down;
	judge_windows(&j, 0, 2, 4096, &f);
	assert_false(f.is_certain);
	assert_true(f.parameters.low <= parameters(&j) && f.parameters.high >= parameters(&j));
}

/* A verdict nobody knows is no ground for certainty. */
static void unknown_phase_is_never_certain(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct job j = PLAIN;
	struct model_fingerprint f;
	struct phase_judgement p;

	for (uint32_t s = 0; s < j.steps; s++) {
		forward(&r, &j, false);
		backward(&r, &j);
	}
	assert_int_equal(phase_judge(&r, &p), 0);
	assert_int_equal(p.verdict, PHASE_IS_TRAINING);
	p.verdict = PHASE_IS_UNKNOWN;
	assert_int_equal(model_judge(&r, &p, NULL, &f), 0);
	assert_true(f.parameters.best > 0 && !f.is_certain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_are_counted),
		cmocka_unit_test(equal_dimensions_are_told),
		cmocka_unit_test(gathered_weights_are_not_missed),
		cmocka_unit_test(lies_are_never_certain),
		cmocka_unit_test(what_is_not_sampled_has_bounds),
		cmocka_unit_test(windows_begin_anywhere),
		cmocka_unit_test(two_weights_in_one_buffer_are_never_certain),
		cmocka_unit_test(unknown_phase_is_never_certain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
