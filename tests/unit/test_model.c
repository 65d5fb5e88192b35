// SPDX-License-Identifier: Apache-2.0
/* Fingerprints: what products of known models tell, which architecture they are like and not like, and the text form. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/model.h"

static struct architectures *known;

static int load_known(void **state)
{
	struct error_text err = { "" };

	return architectures_load("data/architectures.csv", &known, &err) ? -1 : 0;
}

static int free_known(void **state)
{
	architectures_free(known);
	return 0;
}

/* T x O over I and, if it learns, both gradients; `calls` of each. */
static void layer(struct run *r, uint64_t t, uint64_t o, uint64_t i, uint64_t calls, bool learns)
{
	const uint64_t form[3][3] = { { t, o, i }, { t, i, o }, { o, i, t } };

	for (uint32_t k = 0; k < (learns ? 3 : 1); k++) {
		struct run_product p = { .batch = 1, .m = form[k][0], .n = form[k][1], .k = form[k][2], .types = 0x440e0e0e,
					 .op = "mm", .calls = calls };

		p.calls_by_thread[k > 0] = calls;
		assert_int_equal(run_add_product(r, &p), 0);
	}
	r->has_threads = true;
}

struct dims {
	uint64_t hidden, feed, layers, kv, vocabulary;
};

static void model(struct run *r, const struct dims *d, uint64_t t, uint64_t passes, uint64_t split, bool learns)
{
	uint64_t n = d->layers * passes;

	layer(r, t, d->hidden / split, d->hidden, n, learns);
	layer(r, t, d->kv / split, d->hidden, 2 * n, learns);
	layer(r, t, d->hidden, d->hidden / split, n, learns);
	layer(r, t, d->feed / split, d->hidden, 2 * n, learns);
	layer(r, t, d->hidden, d->feed / split, n, learns);
	layer(r, t, d->vocabulary / split, d->hidden, passes, learns);
}

static void judge(const struct run *r, struct model_fingerprint *f)
{
	struct phase_judgement p;

	assert_int_equal(phase_judge(r, &p), 0);
	assert_int_equal(model_judge(r, &p, known, f), 0);
}

static const struct dims LLAMA = { 4096, 14336, 32, 1024, 128256 }, OTHER = { 2816, 9728, 30, 704, 60000 };

/* Tokens of which a weight has the size too, and ones of which none has. */
static void sizes_are_told(void **state)
{
	static const uint64_t tokens[] = { 4096, 8192, 1000 };

	for (size_t i = 0; i < 3; i++)
		for (uint64_t split = 1; split <= 8; split *= 2) {
			_cleanup_(run_done) struct run r = { 0 };
			struct model_fingerprint f;
			double n = (double)((2 * LLAMA.hidden * LLAMA.hidden + 2 * LLAMA.hidden * LLAMA.kv +
					     3 * LLAMA.hidden * LLAMA.feed) * LLAMA.layers + LLAMA.hidden * LLAMA.vocabulary) / (double)split;

			model(&r, &LLAMA, tokens[i], 7, split, true);
			judge(&r, &f);
			assert_int_equal(f.hidden, LLAMA.hidden);
			assert_int_equal(f.layers, LLAMA.layers);
			assert_int_equal(f.vocabulary, LLAMA.vocabulary / split);
			assert_true(fabs(f.parameters.best / n - 1) < 1e-9);
			assert_true(fabs(f.tokens.best / (7.0 * (double)tokens[i]) - 1) < 1e-9);
			assert_true(fabs(f.check - 1) < 1e-6);
			assert_string_equal(f.match[0].name, "llama-3-8b");
			assert_int_equal(f.match[0].tensor_parallel, split);
			assert_true(f.match[0].score > 0.99);
		}
}

static void another_model_is_not_taken_for_a_known_one(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;

	model(&r, &OTHER, 1000, 3, 1, true);
	judge(&r, &f);
	assert_int_equal(f.hidden, OTHER.hidden);
	assert_int_equal(f.matches, 0);
}

static void inference_is_met_by_its_tokens(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;

	model(&r, &LLAMA, 1000, 2, 1, false);
	model(&r, &LLAMA, 8, 500, 1, false);
	judge(&r, &f);
	assert_int_equal(f.layers, LLAMA.layers);
	assert_true(fabs(f.tokens.best - 6000) < 1);
	assert_string_equal(f.match[0].name, "llama-3-8b");
}

static void without_a_head_only_bounds_hold(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;
	double n = 12.0 * (768.0 * 2304 + 768.0 * 768 + 2 * 768.0 * 3072);

	layer(&r, 1000, 2304, 768, 120, true);
	layer(&r, 1000, 768, 768, 120, true);
	layer(&r, 1000, 3072, 768, 120, true);
	layer(&r, 1000, 768, 3072, 120, true);
	judge(&r, &f);
	assert_false(f.has_passes);
	assert_int_equal(f.layers, 0);
	assert_true(f.parameters.low <= n && f.parameters.high >= n);
	assert_true(f.tokens.low <= 10000 && f.tokens.high >= 10000);
}

/* Passes of different lengths are multiples of the layers each. */
static void lengths_tell_layers_of_inference(void **state)
{
	static const uint64_t tokens[] = { 1000, 640, 96 }, passes[] = { 3, 5, 8 };
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;

	for (size_t i = 0; i < 3; i++) {
		layer(&r, tokens[i], 2304, 768, 12 * passes[i], false);
		layer(&r, tokens[i], 768, 768, 12 * passes[i], false);
		layer(&r, tokens[i], 3072, 768, 12 * passes[i], false);
		layer(&r, tokens[i], 768, 3072, 12 * passes[i], false);
	}
	judge(&r, &f);
	assert_int_equal(f.layers, 12);
	assert_true(fabs(f.parameters.best / (12.0 * (768.0 * 2304 + 768.0 * 768 + 2 * 768.0 * 3072)) - 1) < 1e-9);
	assert_false(f.is_certain); /* a multiple may be common to all of them */
}

static void product(struct run *r, uint64_t batch, uint64_t m, uint64_t n, uint64_t k, uint64_t calls, int thread)
{
	struct run_product p = { .batch = batch, .m = m, .n = n, .k = k, .types = 0x440e0e0e, .op = "bmm", .calls = calls };

	p.calls_by_thread[thread] = calls;
	assert_int_equal(run_add_product(r, &p), 0);
}

/* An optimizer that multiplies the gradients with themselves (Muon), for tokens that nobody goes back through. */
static void an_optimizer_is_no_part_of_the_model(void **state)
{
	_cleanup_(run_done) struct run plain = { 0 };
	_cleanup_(run_done) struct run with = { 0 };
	struct model_fingerprint f, g;

	model(&plain, &OTHER, 1000, 3, 1, true);
	model(&with, &OTHER, 1000, 3, 1, true);
	product(&with, 1, OTHER.hidden, OTHER.hidden, OTHER.feed, 2000, 0);
	product(&with, 1, OTHER.hidden, OTHER.hidden, OTHER.hidden, 2000, 0);
	product(&with, 1, OTHER.hidden, OTHER.feed, OTHER.hidden, 2000, 0);
	judge(&plain, &f);
	judge(&with, &g);
	assert_true(f.is_certain);
	assert_true(fabs(g.parameters.best / f.parameters.best - 1) < 1e-9);
	assert_true(fabs(g.tokens.best / f.tokens.best - 1) < 1e-9);
	assert_int_equal(g.layers, f.layers);
}

/* Eight experts of one capacity in one product. */
static void experts_in_a_batch_are_counted(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;
	const uint64_t h = 2048, t = 4000, feed = 3584, layers = 6, passes = 5, n = layers * passes;
	double want = (double)layers * (4.0 * (double)(h * h) + 8.0 * (double)h + 2 * 8.0 * (double)(h * feed)) + (double)h * 50000;

	layer(&r, t, h, h, 4 * n, true);
	layer(&r, t, 8, h, n, true);
	layer(&r, t, 50000, h, passes, true);
	for (int way = 0; way < 2; way++) {
		uint64_t o = way ? h : feed, i = way ? feed : h;

		product(&r, 8, 600, o, i, n, 0);
		product(&r, 8, 600, i, o, n, 1);
		product(&r, 8, o, i, 600, n, 1);
	}
	judge(&r, &f);
	assert_true(fabs(f.parameters.best / want - 1) < 1e-9);
	assert_int_equal(f.experts, 8);
	assert_int_equal(f.layers, layers);
	assert_true(f.active.best < f.parameters.best);
}

static void text_goes_there_and_back(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	_cleanup_(run_done) struct run longer = { 0 };
	_cleanup_(run_done) struct run other = { 0 };
	struct model_fingerprint f, g, back;
	char text[MODEL_TEXT_MAX], again[MODEL_TEXT_MAX];

	model(&r, &LLAMA, 1000, 3, 1, true);
	model(&longer, &LLAMA, 512, 91, 1, true);
	model(&other, &OTHER, 1000, 3, 1, true);
	judge(&r, &f);
	judge(&longer, &g);
	model_format(&f, text);
	model_format(&g, again);
	/* Length, batch and steps are no part of it. */
	assert_string_equal(text, again);
	assert_int_equal(model_parse(text, &back), 0);
	assert_true(fabs(model_similarity(&f, &back) - 1) < 1e-6);
	judge(&other, &g);
	assert_true(model_similarity(&f, &g) < 0.01);
	assert_true(fabs(model_similarity(&f, &g) - model_similarity(&g, &f)) < 1e-12);
}

static void bad_text_is_refused(void **state)
{
	static const char *const bad[] = { "", "opmeter-model 2 layers=1 vocabulary=1", "opmeter-model 1 layers=x vocabulary=1",
					   "opmeter-model 1 layers=1 vocabulary=1 4x3:1", "opmeter-model 1 layers=1 vocabulary=1 3x4:0",
					   "opmeter-model 1 layers=1 vocabulary=1 3x4:nan", "opmeter-model 1 layers=1 vocabulary=1 3x4:1;",
					   "opmeter-model 1 layers=1 vocabulary=1 3x4:-1" };
	struct model_fingerprint f;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(model_parse(bad[i], &f), -EBADMSG);
}

static void a_bad_file_is_named_by_line(void **state)
{
	static const char *const bad[] = { "x,1,2,3\n", "x,0,1,1,1,1,1,1,gated,0,0,,s\n", "x,1,1,1,1,1,1,1,both,0,0,,s\n",
					   "x,1,1,1,1,1,1,1,gated,8,0,,s\n", "x,1,1,1,1,1,1,1,gated,0,0,4x3:1,s\n",
					   "x,1,1,1,1,1,1,1,gated,0,0,,\n", "x,-1,1,1,1,1,1,1,gated,0,0,,s\n" };
	char path[] = "/tmp/opmeter-architectures-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct architectures *a = NULL;
		struct error_text err = { "" };

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, bad[i], strlen(bad[i]), 0), (ssize_t)strlen(bad[i]));
		assert_int_equal(architectures_load(path, &a, &err), -EINVAL);
		assert_non_null(strstr(err.text, ":1: "));
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_told),
		cmocka_unit_test(another_model_is_not_taken_for_a_known_one),
		cmocka_unit_test(inference_is_met_by_its_tokens),
		cmocka_unit_test(without_a_head_only_bounds_hold),
		cmocka_unit_test(lengths_tell_layers_of_inference),
		cmocka_unit_test(an_optimizer_is_no_part_of_the_model),
		cmocka_unit_test(experts_in_a_batch_are_counted),
		cmocka_unit_test(text_goes_there_and_back),
		cmocka_unit_test(bad_text_is_refused),
		cmocka_unit_test(a_bad_file_is_named_by_line),
	};

	return cmocka_run_group_tests(tests, load_known, free_known);
}
