// SPDX-License-Identifier: Apache-2.0
/* What is not the model's, told by buffers: an optimizer's products, a draft model, a frozen network as loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/model.h"

#define BACK 1

static void add(struct run *r, const uint64_t dim[3], uint32_t thread, uint32_t a, uint32_t b, uint32_t d)
{
	struct run_product p = { .batch = 1, .m = dim[0], .n = dim[1], .k = dim[2], .types = 0x440e0e0e, .op = "mm" };
	struct run_step step = { .repeat = 1, .thread = thread, .a = a, .b = b, .d = d };
	size_t i = 0;

	while (i < r->product_count && (r->products[i].m != p.m || r->products[i].n != p.n || r->products[i].k != p.k))
		i++;
	if (i == r->product_count)
		assert_int_equal(run_add_product(r, &p), 0);
	r->products[i].calls++;
	step.product = (uint32_t)i;
	assert_int_equal(run_add_step(r, &step), 0);
}

/* Layers of two weights, H x F and F x H, and a head. Weights are numbered from `first`, inputs from `first` + 1000. */
struct net {
	uint64_t hidden, feed, vocabulary;
	uint32_t layers, first;
};

static void weight(const struct net *m, uint32_t i, uint64_t *ret_in, uint64_t *ret_out)
{
	*ret_in = i % 2 ? m->feed : m->hidden;
	*ret_out = i == 2 * m->layers ? m->vocabulary : i % 2 ? m->hidden : m->feed;
}

static uint32_t weights(const struct net *m)
{
	return 2 * m->layers + (m->vocabulary > 0);
}

static void forward(struct run *r, const struct net *m, uint64_t t)
{
	for (uint32_t i = 0; i < weights(m); i++) {
		uint64_t in, out;

		weight(m, i, &in, &out);
		add(r, (uint64_t[]){ t, out, in }, 0, m->first + 1000 + i, m->first + i, 90000);
	}
}

static void backward(struct run *r, const struct net *m, uint64_t t, bool learns)
{
	for (uint32_t i = weights(m); i-- > 0;) {
		uint64_t in, out;

		weight(m, i, &in, &out);
		if (learns)
			add(r, (uint64_t[]){ out, in, t }, BACK, 91000 + i % 2, m->first + 1000 + i, m->first + 2000 + i);
		add(r, (uint64_t[]){ t, in, out }, BACK, 91000 + i % 2, m->first + i, 90001);
	}
}

static double parameters(const struct net *m)
{
	return (double)(m->hidden * (2 * m->feed * m->layers + m->vocabulary));
}

static void judge(const struct run *r, struct model_fingerprint *f)
{
	struct phase_judgement p;

	assert_int_equal(phase_judge(r, &p), 0);
	assert_int_equal(model_judge(r, &p, NULL, f), 0);
}

/* Newton and Schulz, of each gradient: X X^T, that with itself, and what comes of it with X. */
static void orthogonalise(struct run *r, const struct net *m)
{
	for (uint32_t i = 0; i < weights(m); i++)
		for (int turn = 0; turn < 5; turn++) {
			uint32_t x = 95000 + (uint32_t)(turn % 2);
			uint64_t in, out;

			weight(m, i, &in, &out);
			add(r, (uint64_t[]){ out, out, in }, 0, x, x, 95010);
			add(r, (uint64_t[]){ out, out, out }, 0, 95010, 95010, 95011);
			add(r, (uint64_t[]){ out, in, out }, 0, 95011, x, 95000 + (uint32_t)((turn + 1) % 2));
		}
}

/* With all dimensions equal an optimizer's products are one shape with the model's. */
static void an_optimizer_is_set_aside(void **state)
{
	const struct net nets[] = { { 256, 1024, 8000, 6, 1 }, { 1024, 1024, 1024, 6, 1 } };

	for (size_t i = 0; i < 2; i++)
		for (int threads = 1; threads <= 2; threads++) {
			_cleanup_(run_done) struct run r = { 0 };
			struct model_fingerprint f;

			for (int step = 0; step < 3; step++) {
				forward(&r, &nets[i], 1024);
				backward(&r, &nets[i], 1024, true);
				orthogonalise(&r, &nets[i]);
			}
			for (size_t k = 0; k < r.step_count && threads == 1; k++)
				r.steps[k].thread = 0;
			judge(&r, &f);
			assert_true(f.by_buffers);
			assert_true(f.parameters.best == parameters(&nets[i]));
			assert_true(f.tokens.best == 3 * 1024);
		}
}

/* The larger one of two models with heads of as many outputs answers; the smaller one is asked more often. Both are in the upper
 * bound. */
static void a_draft_model_is_told_from_what_answers(void **state)
{
	const struct net large = { 512, 2048, 8000, 6, 1 }, small = { 256, 1024, 8000, 3, 10001 };
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;

	for (int turn = 0; turn < 8; turn++) {
		for (int k = 0; k < 4; k++)
			forward(&r, &small, 16);
		forward(&r, &large, 80);
	}
	judge(&r, &f);
	assert_true(f.by_buffers);
	assert_true(f.parameters.best == parameters(&large));
	assert_true(f.parameters.high >= parameters(&large) + parameters(&small));
	assert_int_equal(f.hidden, 512);
}

/* Two towers that are asked equally often are one model. */
static void what_is_asked_equally_often_is_one_model(void **state)
{
	const struct net one = { 512, 2048, 8000, 6, 1 }, other = { 256, 1024, 8000, 3, 10001 };
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;

	for (int turn = 0; turn < 8; turn++) {
		forward(&r, &other, 80);
		forward(&r, &one, 80);
	}
	judge(&r, &f);
	assert_true(f.parameters.best == parameters(&one) + parameters(&other));
}

/* Gradients pass through a frozen network above what learns: it compares. Below, it would be layers that do not learn. */
static void a_frozen_network_above_is_a_loss(void **state)
{
	const struct net own = { 512, 2048, 0, 6, 1 }, frozen = { 768, 512, 0, 2, 10001 };

	for (int is_below = 0; is_below < 2; is_below++) {
		_cleanup_(run_done) struct run r = { 0 };
		struct model_fingerprint f;

		for (int step = 0; step < 3; step++) {
			forward(&r, is_below ? &frozen : &own, 1024);
			forward(&r, is_below ? &own : &frozen, 1024);
			backward(&r, is_below ? &own : &frozen, 1024, is_below);
			backward(&r, is_below ? &frozen : &own, 1024, !is_below);
		}
		judge(&r, &f);
		assert_true(f.by_buffers);
		assert_true(f.parameters.best == parameters(&own) + (is_below ? parameters(&frozen) : 0));
		assert_true(f.parameters.high >= parameters(&own) + parameters(&frozen));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_optimizer_is_set_aside),
		cmocka_unit_test(a_draft_model_is_told_from_what_answers),
		cmocka_unit_test(what_is_asked_equally_often_is_one_model),
		cmocka_unit_test(a_frozen_network_above_is_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
