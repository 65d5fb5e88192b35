// SPDX-License-Identifier: Apache-2.0
/* Which products of one thread go back, by the order and the buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/model_internal.h"

#define STEPS_MAX 4096

/* Layers of two weights each, H x F and F x H, and a head of H x V. Each input has a buffer of its own; what comes back has one. */
struct job {
	uint64_t t, hidden, feed, vocabulary;
	uint32_t layers;
	bool is_swapped;     /* m and n, A and B exchanged, as a library by columns has it */
	bool has_recompute;  /* each layer goes forward again before its gradients */
	bool has_evaluation; /* all of it goes forward once more after each step */
	bool is_frozen;	     /* no weight gradients but the head's */
};

struct script {
	struct run run;
	bool back[STEPS_MAX];
};

static void add(struct script *s, const struct job *j, const uint64_t dim[3], bool is_back, const uint32_t at[3])
{
	struct run_product p = { .batch = 1, .m = dim[j->is_swapped], .n = dim[!j->is_swapped], .k = dim[2], .types = 0x440e0e0e, .op = "mm" };
	struct run_step step = { .repeat = 1, .a = at[j->is_swapped], .b = at[!j->is_swapped], .d = at[2] };
	size_t i = 0;

	while (i < s->run.product_count && (s->run.products[i].m != p.m || s->run.products[i].n != p.n || s->run.products[i].k != p.k))
		i++;
	if (i == s->run.product_count)
		assert_int_equal(run_add_product(&s->run, &p), 0);
	s->run.products[i].calls++;
	step.product = (uint32_t)i;
	assert_true(s->run.step_count < STEPS_MAX);
	s->back[s->run.step_count] = is_back;
	assert_int_equal(run_add_step(&s->run, &step), 0);
}

static void weight(const struct job *j, uint32_t i, uint64_t *ret_in, uint64_t *ret_out)
{
	*ret_in = i % 2 ? j->feed : j->hidden;
	*ret_out = i == 2 * j->layers ? j->vocabulary : i % 2 ? j->hidden : j->feed;
}

static void go_forward(struct script *s, const struct job *j, uint32_t from, uint32_t to, bool is_back)
{
	for (uint32_t i = from; i < to; i++) {
		uint64_t in, out;

		weight(j, i, &in, &out);
		add(s, j, (uint64_t[]){ j->t, out, in }, is_back, (uint32_t[]){ 1000 + i, 1 + i, 5000 });
	}
}

static void go_back(struct script *s, const struct job *j, uint32_t i)
{
	uint64_t in, out;

	weight(j, i, &in, &out);
	if (!j->is_frozen || i == 2 * j->layers)
		add(s, j, (uint64_t[]){ out, in, j->t }, true, (uint32_t[]){ 2000 + i % 2, 1000 + i, 6000 + i });
	add(s, j, (uint64_t[]){ j->t, in, out }, true, (uint32_t[]){ 2000 + i % 2, 1 + i, 5001 });
}

static void make(struct script *s, const struct job *j)
{
	uint32_t head = 2 * j->layers;

	*s = (struct script){ 0 };
	for (int step = 0; step < 3; step++) {
		go_forward(s, j, 0, head + 1, false);
		go_back(s, j, head);
		for (uint32_t layer = j->layers; layer-- > 0;) {
			if (j->has_recompute)
				go_forward(s, j, 2 * layer, 2 * layer + 2, true);
			go_back(s, j, 2 * layer + 1);
			go_back(s, j, 2 * layer);
		}
		if (j->has_evaluation)
			go_forward(s, j, 0, head + 1, false);
	}
}

static void check(const struct job *j)
{
	static struct script s;
	static bool back[STEPS_MAX];

	make(&s, j);
	assert_int_equal(model_directions(&s.run, back), 0);
	for (size_t i = 0; i < s.run.step_count; i++)
		if (back[i] != s.back[i])
			fail_msg("step %zu of %zu: told to go %s", i, s.run.step_count, back[i] ? "back" : "forward");
	run_done(&s.run);
}

static const struct job PLAIN = { 512, 256, 1024, 8000, 6 };

static void each_step_is_told(void **state)
{
	for (int i = 0; i < 16; i++) {
		struct job j = PLAIN;

		j.is_swapped = i & 1;
		j.has_recompute = i & 2;
		j.has_evaluation = i & 4;
		j.is_frozen = i & 8;
		check(&j);
	}
}

static void of_equal_dimensions_too(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct job j = { 512, 512, 512, 512, 6 };

		j.is_swapped = i & 1;
		j.has_evaluation = i & 2;
		check(&j);
	}
}

static void requests_go_back_nowhere(void **state)
{
	static struct script s;
	static bool back[STEPS_MAX];

	s = (struct script){ 0 };
	for (int i = 0; i < 20; i++)
		go_forward(&s, &PLAIN, 0, 2 * PLAIN.layers + 1, false);
	assert_int_equal(model_directions(&s.run, back), 0);
	for (size_t i = 0; i < s.run.step_count; i++)
		assert_false(back[i]);
	run_done(&s.run);
}

/* On one thread as much is told of the model as on two. */
static void the_model_is_that_of_two_threads(void **state)
{
	for (int i = 0; i < 4; i++) {
		static struct script s;
		struct job j = PLAIN;
		struct model_fingerprint one, two;
		struct phase_judgement p;

		j.is_swapped = i & 1;
		j.has_recompute = i & 2;
		make(&s, &j);
		assert_int_equal(phase_judge(&s.run, &p), 0);
		assert_int_equal(p.backward, -1);
		assert_int_equal(model_judge(&s.run, &p, NULL, &one), 0);
		for (size_t k = 0; k < s.run.step_count; k++)
			s.run.steps[k].thread = s.back[k];
		assert_int_equal(phase_judge(&s.run, &p), 0);
		assert_int_equal(p.backward, 1);
		assert_int_equal(model_judge(&s.run, &p, NULL, &two), 0);
		assert_true(one.by_buffers && two.by_buffers);
		assert_true(one.parameters.best == two.parameters.best && one.tokens.best == two.tokens.best && one.layers == two.layers);
		assert_true(one.parameters.best == (double)(PLAIN.hidden * (2 * PLAIN.feed * PLAIN.layers + PLAIN.vocabulary)));
		run_done(&s.run);
	}
}

/* One buffer for two weights in turn: a product's operands are the last one's, so nothing is told by them. */
static void refilled_buffers_tell_nothing(void **state)
{
	static struct script s;
	struct model_fingerprint f;
	struct phase_judgement p;

	make(&s, &PLAIN);
	for (size_t i = 0; i < s.run.step_count; i++) {
		struct run_step *x = &s.run.steps[i];

		x->a = x->a >= 1000 && x->a < 2000 ? 1000 + (x->a - 1000) % 2 : x->a < 1000 ? 1 + x->a % 2 : x->a;
		x->b = x->b >= 1000 && x->b < 2000 ? 1000 + (x->b - 1000) % 2 : x->b < 1000 ? 1 + x->b % 2 : x->b;
	}
	assert_int_equal(phase_judge(&s.run, &p), 0);
	assert_int_equal(model_judge(&s.run, &p, NULL, &f), 0);
	assert_false(f.by_buffers || f.is_certain);
	run_done(&s.run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_is_told),
		cmocka_unit_test(of_equal_dimensions_too),
		cmocka_unit_test(requests_go_back_nowhere),
		cmocka_unit_test(the_model_is_that_of_two_threads),
		cmocka_unit_test(refilled_buffers_tell_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
