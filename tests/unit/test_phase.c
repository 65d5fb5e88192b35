// SPDX-License-Identifier: Apache-2.0
/* What a verdict rests on and what takes it away: forged runs, names of kernels, sums of ranks; inference that is none of anybody's business. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/core/kernel_role.h"
#include "userspace/core/policy.h"
#include "userspace/core/tally.h"
#include "userspace/core/totals.h"

#define RUNS "tests/phases/runs"
#define NOW 1795456800000000000ULL /* 2026-11-23 */
#define DAY 20000
#define DAY_NS 86400000000000ULL

static void load(const char *path, struct run *r)
{
	struct error_text err;

	if (run_load(path, r, &err))
		fail_msg("%s: %s", path, err.text);
}

static void load_named(const char *name, struct run *r)
{
	char path[256];

	snprintf(path, sizeof(path), RUNS "/%s.run.gz", name);
	load(path, r);
}

static void each_run(const char *dir, void (*fn)(const struct run *r))
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_(run_done) struct run r = { 0 };
		char path[512];

		if (!strstr(e->d_name, ".run.gz"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		load(path, &r);
		fn(&r);
		n++;
	}
	closedir(d);
	assert_true(n >= 10);
}

/* --- names --- */

static void names_say_what_kernels_are_for(void **state)
{
	static const struct {
		const char *name;
		enum om_kernel_role role;
	} cases[] = {
		{ "void at::native::(anonymous namespace)::GammaBetaBackwardCUDAKernel<float, float>(long)", OM_ROLE_BACKWARD },
		{ "_ZN2at6native27vectorized_elementwise_kernelIZNS0_24sigmoid_backward_kernelEv", OM_ROLE_BACKWARD },
		{ "flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel", OM_ROLE_BACKWARD },
		{ "cudnn::cnn::wgrad_alg0_engine", OM_ROLE_BACKWARD },
		{ "multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor>", OM_ROLE_OPTIMIZER },
		{ "FusedAdamMathFunctor", OM_ROLE_OPTIMIZER },
		{ "adamw_step", OM_ROLE_OPTIMIZER },
		{ "flash_fwd_kernel", OM_ROLE_OTHER },
		{ "madam", OM_ROLE_OTHER },
		{ "abwdx", OM_ROLE_OTHER },
		{ "lambda_kernel", OM_ROLE_OTHER },
		{ "sm80_xmma_gemm_optimized", OM_ROLE_OTHER },
		{ "", OM_ROLE_OTHER },
		{ "\xff\x01" "bwd\xfe", OM_ROLE_BACKWARD },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (om_kernel_role_of(cases[i].name) != cases[i].role)
			fail_msg("%s", cases[i].name);
}

static unsigned taken_away;

static void names_only_raise_one(const struct run *r)
{
	struct run with = *r;
	struct phase_judgement a, b;

	with.launch_count = 0;
	assert_int_equal(phase_judge(&with, &a), 0);
	with.named_backward = 1000;
	with.named_optimizer = 1000;
	assert_int_equal(phase_judge(&with, &b), 0);
	assert_true(b.training_low >= a.training_low && b.training_high >= a.training_high);
	if (a.verdict == PHASE_IS_INFERENCE) {
		taken_away++;
		assert_int_equal(b.verdict, PHASE_IS_UNKNOWN);
		assert_non_null(b.suspicion);
		assert_true(b.training_high >= 1);
	} else {
		assert_int_equal(a.verdict, b.verdict);
	}
}

/* A tenant names its kernels as it likes: that can make its work look more like learning, never less. */
static void names_of_kernels_only_raise(void **state)
{
	taken_away = 0;
	each_run(RUNS, names_only_raise_one);
	each_run("tests/data/runs", names_only_raise_one);
	assert_true(taken_away > 50);
}

static unsigned named_real;

static void real_names_agree_one(const struct run *r)
{
	struct phase_judgement p;
	bool trains = !strcmp(run_fact(r, "phase"), "training");

	assert_int_equal(phase_judge(r, &p), 0);
	assert_int_equal(p.named_backward > 0, trains);
	named_real += trains;
}

/* On real GPU traces kernels are named so in training, and in nothing else. */
static void names_of_real_kernels_agree(void **state)
{
	named_real = 0;
	each_run("tests/data/runs", real_names_agree_one);
	assert_int_equal(named_real, 4);
}

/* --- deception --- */

static void forged_runs_are_suspected(void **state)
{
	static const char *const names[] = { "adv_padded_both", "adv_padded_both_thread", "adv_padded_reversed", "adv_padded_reversed_thread",
					     "adv_diluted_llama", "adv_hidden_both_gradients", "adv_hidden_fsdp" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(run_done) struct run r = { 0 };
		struct phase_judgement p;

		load_named(names[i], &r);
		assert_int_equal(phase_judge(&r, &p), 0);
		if (p.verdict != PHASE_IS_UNKNOWN || !p.suspicion)
			fail_msg("%s: %s", names[i], phase_verdict_name(p.verdict));
		assert_true(p.training_high >= 1);
		assert_true(!strncmp(p.evidence, PHASE_SUSPECTED, strlen(PHASE_SUSPECTED)) && strstr(p.evidence, p.suspicion));
		/* What is padded is no learning for sure. */
		if (strstr(names[i], "padded"))
			assert_true(p.training_low <= 0);
	}
}

static void honest_one(const struct run *r)
{
	struct phase_judgement p;

	if (!strncmp(r->name, "adv_", 4))
		return;
	assert_int_equal(phase_judge(r, &p), 0);
	if (p.suspicion)
		fail_msg("%s: %s", r->name, p.suspicion);
}

static void honest_runs_are_not_suspected(void **state)
{
	each_run(RUNS, honest_one);
	each_run("tests/phases/held", honest_one);
	each_run("tests/data/runs", honest_one);
}

/* --- live --- */

static uint32_t no_name(const struct om_shape_usage *s)
{
	return 0;
}

static int keep(void *ctx, const struct om_phase_hour *h)
{
	*(struct om_phase_hour *)ctx = *h;
	return 0;
}

static size_t first_like(const struct run *r, size_t product)
{
	const struct run_product *p = &r->products[product];

	for (size_t i = 0; i < product; i++) {
		const struct run_product *x = &r->products[i];

		if (x->m == p->m && x->n == p->n && x->k == p->k && x->batch == p->batch && x->types == p->types)
			return i;
	}
	return product;
}

/* The run `times` over, as the kernel counts it. */
static void put(struct om_tally *t, const struct run *r, uint64_t times)
{
	uint64_t(*by_thread)[RUN_THREADS_MAX] = calloc(r->product_count, sizeof(*by_thread));

	assert_non_null(by_thread);
	/* The kernel does not know operators: products that differ in nothing else are one. */
	for (size_t i = 0; i < r->step_count; i++)
		by_thread[first_like(r, r->steps[i].product)][r->steps[i].thread % RUN_THREADS_MAX] += r->steps[i].repeat;
	for (size_t i = 0; i < r->product_count; i++)
		for (uint32_t th = 0; th < RUN_THREADS_MAX; th++) {
			const struct run_product *p = &r->products[i];
			struct om_shape_usage s = { .tgid = 7, .start_ns = 5, .m = p->m, .n = p->n, .k = p->k, .batch = p->batch,
						    .types = p->types, .flags = th << 16 | 2 << 8, .calls = by_thread[i][th] * times };

			if (s.calls)
				assert_int_equal(om_tally_put(t, &s, 1), 0);
		}
	free(by_thread);
}

static struct om_phase_hour judged_live(const struct run *r, uint64_t times, const struct om_tally_collective *c)
{
	struct om_tally *t = om_tally_new(no_name);
	struct om_phase_hour h = { 0 };

	assert_non_null(t);
	put(t, r, times);
	if (c)
		assert_int_equal(om_tally_collective(t, c, false), 0);
	assert_int_equal(om_tally_judge(t, keep, &h), 0);
	om_tally_free(t);
	return h;
}

static int count_levels(void *ctx, const struct alert *a)
{
	char *text = alert_encode(a);

	assert_non_null(text);
	*(int *)ctx += strstr(text, "opmeter.alert.level.v1") != NULL;
	free(text);
	return 0;
}

struct levels {
	struct policy p;
	int count;
};

static int judge_total(void *ctx, const struct om_subject_total *s)
{
	struct levels *l = ctx;

	return policy_judge(&l->p, s, count_levels, &l->count);
}

static uint32_t ppm(opcount part, opcount of)
{
	return (uint32_t)lround(opcount_to_double(part) / opcount_to_double(of) * 1e6);
}

/* Levels of all shipped regimes that the hour's judgement raises, were it of a day of its own. */
static int levels_raised(const struct om_phase_hour *h, const struct regimes *g)
{
	struct om_reading r = { .key = { .day = DAY, .format = 4, .meter = OM_METER_SHAPE }, .value = { .exact = h->executed, .to_ns = NOW } };
	struct om_assignment a = { .kind = OM_ASSIGN_PHASE, .from_ns = DAY * DAY_NS, .to_ns = (DAY + 1) * DAY_NS, .rule = "phase-shapes",
				   .version = "2", .at_ns = NOW };
	struct om_totals *t = om_totals_new(10);
	struct levels l = { .p = { .regimes = g, .source = "/opmeter/test", .now_ns = NOW } };
	bool is_inference = h->verdict == PHASE_IS_INFERENCE;

	snprintf(a.value, sizeof(a.value), "%s", phase_verdict_name(h->verdict));
	a.share_low_ppm = is_inference ? 1000000 - ppm(h->training_high, h->executed) : ppm(h->training_low, h->executed);
	a.share_high_ppm = is_inference ? 1000000 : ppm(h->training_high, h->executed);
	assert_int_equal(om_totals_put(t, &r), 0);
	assert_int_equal(om_totals_assign(t, &a), 0);
	assert_int_equal(om_totals_each(t, judge_total, &l), 0);
	om_totals_free(t);
	return l.count;
}

static uint64_t times_for(const struct run *r, double ops)
{
	opcount once;

	assert_int_equal(run_ops(r, &once), 0);
	return (uint64_t)(ops / opcount_to_double(once));
}

/* Every recorded run of inference that is told as such, as if it had done 2e26 operations: from counts to alerts. */
static struct regimes *shipped;
static unsigned served;

static void raises_nothing(const struct run *r)
{
	struct om_phase_hour h;

	if (!run_fact(r, "phase") || strcmp(run_fact(r, "phase"), "inference") || !strncmp(r->name, "adv_", 4))
		return;
	/* Of products so small that a counter of calls would be full first there is no such work. */
	if ((double)times_for(r, 2e26) * (double)run_calls(r) >= 0x1p64)
		return;
	h = judged_live(r, times_for(r, 2e26), NULL);
	if (h.verdict == PHASE_IS_UNKNOWN)
		return;
	assert_int_equal(h.verdict, PHASE_IS_INFERENCE);
	assert_true(opcount_to_double(h.executed) > 1.9e26);
	assert_int_equal(levels_raised(&h, shipped), 0);
	served++;
}

static void c01_genuine_inference_at_2e26_raises_nothing(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct om_phase_hour h;
	struct error_text err = { 0 };

	if (regimes_load("data/regimes", &shipped, &err))
		fail_msg("%s", err.text);
	served = 0;
	each_run(RUNS, raises_nothing);
	each_run("tests/phases/held", raises_nothing);
	each_run("tests/data/runs", raises_nothing);
	assert_true(served >= 70);
	/* As many operations of training do. */
	load_named("gpt2_bf16", &r);
	h = judged_live(&r, times_for(&r, 2e26), NULL);
	assert_int_equal(h.verdict, PHASE_IS_TRAINING);
	assert_true(levels_raised(&h, shipped) > 0);
	regimes_free(shipped);
}

/* Ranks that share a layer add up what it makes, of each request another number: the kernel has their sum. No suspicion. */
static void shared_layers_that_serve_are_no_gradients(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct om_tally_collective c = { .tgid = 7, .start_ns = 5, .kind = RUN_ALLREDUCE };
	struct om_phase_hour h;

	load_named("inf_real_llama31_70b_tp8", &r);
	for (size_t i = 0; i < r.product_count; i++)
		if (r.products[i].n == 8192) {
			c.calls += r.products[i].calls;
			c.bytes += (opcount)2 * r.products[i].m * r.products[i].n * r.products[i].calls;
		}
	assert_true(c.calls > 0);
	c.bytes += 12345; /* their mean is no product's output */
	h = judged_live(&r, 1, &c);
	assert_int_equal(h.verdict, PHASE_IS_INFERENCE);
	/* More than all products have made is something else. */
	c.bytes *= 200;
	h = judged_live(&r, 1, &c);
	assert_int_equal(h.verdict, PHASE_IS_UNKNOWN);
	assert_non_null(h.suspicion);
}

static void live_names_reach_the_judgement(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct om_tally *t = om_tally_new(no_name);
	struct om_phase_hour h = { 0 };
	struct om_id job = { { 0 } };

	load_named("inf_gpt2_beam", &r);
	put(t, &r, 1);
	assert_int_equal(om_tally_judge(t, keep, &h), 0);
	assert_int_equal(h.verdict, PHASE_IS_INFERENCE);
	assert_int_equal(om_tally_named(t, &job, 7, 5, OM_ROLE_BACKWARD, 6), 0);
	assert_int_equal(om_tally_named(t, &job, 7, 5, OM_ROLE_BACKWARD, 6), 0);
	assert_int_equal(om_tally_judge(t, keep, &h), 0);
	assert_int_equal(h.verdict, PHASE_IS_UNKNOWN);
	assert_non_null(h.suspicion);
	assert_true(h.training_high == h.executed);
	om_tally_free(t);
}

#define MINUTE_OPS (60 * 4e14) /* one H100 at 40 % of its dense peak */

static void within_a_minute(const struct run *r)
{
	opcount ops;

	assert_int_equal(run_ops(r, &ops), 0);
	if (opcount_to_double(ops) > MINUTE_OPS)
		fail_msg("%s: %.3g operations are more than a minute of work", r->name, opcount_to_double(ops));
}

/* Each recorded run is less than a minute of work of one GPU, so each verdict of the table was given on less (and the agent
 * judges once a minute). */
static void a_verdict_takes_less_than_60_s_of_work(void **state)
{
	each_run(RUNS, within_a_minute);
	each_run("tests/phases/held", within_a_minute);
	each_run("tests/data/runs", within_a_minute);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_say_what_kernels_are_for),
		cmocka_unit_test(names_of_kernels_only_raise),
		cmocka_unit_test(names_of_real_kernels_agree),
		cmocka_unit_test(forged_runs_are_suspected),
		cmocka_unit_test(honest_runs_are_not_suspected),
		cmocka_unit_test(c01_genuine_inference_at_2e26_raises_nothing),
		cmocka_unit_test(shared_layers_that_serve_are_no_gradients),
		cmocka_unit_test(live_names_reach_the_judgement),
		cmocka_unit_test(a_verdict_takes_less_than_60_s_of_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
