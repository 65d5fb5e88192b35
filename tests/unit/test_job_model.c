// SPDX-License-Identifier: Apache-2.0
/* Ranks of one job together: what one that is seen says of those that are not, and what no rank alone can say. */
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/job_model.h"
#include "userspace/core/process_record.h"

#define RANKS_MAX 32
#define HOUR_NS UINT64_C(3600000000000)
#define T0 (UINT64_C(1796050800) * 1000000000)

struct job {
	struct run run[RANKS_MAX];
	struct job_rank rank[RANKS_MAX];
	size_t count;
};

static void job_done(struct job *j)
{
	for (size_t i = 0; i < j->count; i++)
		run_done(&j->run[i]);
}

static void add(struct job *j, const char *path)
{
	struct error_text err;

	if (run_load(path, &j->run[j->count], &err))
		fail_msg("%s: %s", path, err.text);
	j->rank[j->count].run = &j->run[j->count];
	j->count++;
}

static void judge(struct job *j, uint32_t world, struct job_judgement *ret)
{
	assert_int_equal(job_judge(j->rank, j->count, world, NULL, ret), 0);
}

#define RANK(name) "tests/phases/ranks/ranks_" name ".run.gz"
#define RUN(name) "tests/phases/runs/" name ".run.gz"

static void the_order_of_ranks_is_nothing(void **state)
{
	static const char *const there[] = { RANK("tp2_pp2_00"), RANK("tp2_pp2_01"), RANK("tp2_pp2_02"), RANK("tp2_pp2_03") };
	_cleanup_(job_done) struct job a = { 0 };
	_cleanup_(job_done) struct job b = { 0 };
	struct job_judgement x, y;

	for (size_t i = 0; i < 4; i++) {
		add(&a, there[i]);
		add(&b, there[3 - i]);
	}
	judge(&a, 0, &x);
	judge(&b, 4, &y);
	assert_int_equal(x.tensor, 2);
	assert_int_equal(x.pipeline, 2);
	assert_true(x.parameters.best > 0 && x.parameters.best >= 0.999 * y.parameters.best && x.parameters.best <= 1.001 * y.parameters.best);
	assert_string_equal(x.evidence, y.evidence);
	/* The stage without the head learned its layers from the one with it. */
	assert_int_equal(a.rank[0].model.layers, 2);
}

/* Of four stages one is seen. Communicators that hand activations on tell how many there are; the parameters only have bounds. */
static void what_is_not_seen_is_not_claimed(void **state)
{
	const struct job_group groups[] = { { 4, RUN_SENDRECV, 1 << 20 }, { 2, RUN_ALLREDUCE, 1 << 20 } };
	_cleanup_(job_done) struct job j = { 0 };
	struct job_judgement x;

	add(&j, RANK("pp4_00"));
	judge(&j, 8, &x);
	assert_int_equal(x.world, 8);
	assert_int_equal(x.pipeline, 0);
	assert_int_equal(x.data, 0);
	assert_true(x.parameters.best <= 0);
	j.rank[0].groups = groups;
	j.rank[0].group_count = 2;
	judge(&j, 8, &x);
	assert_int_equal(x.pipeline, 4);
	assert_int_equal(x.data, x.tensor ? 2 : 0);
	assert_true(x.parameters.low <= 122945536 && x.parameters.high >= 122945536);
	assert_true(x.parameters.best <= 0);
}

static void ranks_that_answer_for_learners_are_in_high(void **state)
{
	_cleanup_(job_done) struct job j = { 0 };
	struct job_judgement x;

	add(&j, RUN("inf_gpt2_beam"));
	judge(&j, 0, &x);
	assert_int_equal(x.verdict, PHASE_IS_INFERENCE);
	assert_true(x.training_high == 0);
	add(&j, RUN("gpt2_bf16"));
	judge(&j, 0, &x);
	assert_int_equal(x.verdict, PHASE_IS_TRAINING);
	assert_int_equal(x.inferring, 1);
	assert_true(x.training_high == x.executed);
	assert_true(x.training_low <= j.rank[1].phase.executed);
	assert_non_null(strstr(x.evidence, "only infer"));
}

static void doubt_in_one_rank_is_doubt_in_all_that_serve(void **state)
{
	_cleanup_(job_done) struct job j = { 0 };
	struct job_judgement x;

	add(&j, RUN("inf_gpt2_beam"));
	add(&j, RUN("adv_padded_both"));
	judge(&j, 0, &x);
	assert_int_equal(x.verdict, PHASE_IS_UNKNOWN);
	assert_non_null(x.suspicion);
	/* The one in doubt may be what learns, and the other answers for it. */
	assert_true(x.training_low == 0 && x.training_high == x.executed);
	assert_non_null(strstr(x.evidence, PHASE_SUSPECTED));
	assert_non_null(strstr(x.evidence, "perhaps for what is not told"));
}

static void a_rank_of_unknown_work_may_learn(void **state)
{
	struct job_rank r[2] = { { .phase = { .verdict = PHASE_IS_INFERENCE, .executed = 1000 } },
				 { .phase = { .verdict = PHASE_IS_UNKNOWN, .executed = 10, .training_high = 1 } } };
	struct job_judgement x;

	assert_int_equal(job_combine(r, 2, 0, &x), 0);
	assert_int_equal(x.verdict, PHASE_IS_INFERENCE);
	assert_true(x.training_low == 0 && x.training_high == x.executed);
	r[1].phase.executed = 0;
	assert_int_equal(job_combine(r, 2, 0, &x), 0);
	assert_true(x.training_high == 0);
	/* A process that trains and serves learns. */
	r[1].phase = (struct phase_judgement){ .verdict = PHASE_IS_MIXED, .executed = 10, .training_high = 1 };
	assert_int_equal(job_combine(r, 2, 0, &x), 0);
	assert_int_equal(x.verdict, PHASE_IS_TRAINING);
	assert_int_equal(x.learning, 1);
	assert_true(x.training_high == x.executed);
}

/* What records claim is anybody's: degrees that no job has are none, whatever their product wraps to. */
static void degrees_that_no_job_has_are_none(void **state)
{
	static const uint32_t tensor[] = { 4096, 65536, 1U << 31, UINT32_MAX };
	static const struct job_group group = { 4096, RUN_SENDRECV, 1 };
	_cleanup_free_ struct job_rank *r = calloc(2, sizeof(*r));
	struct job_judgement x;

	for (size_t i = 0; i < sizeof(tensor) / sizeof(*tensor); i++) {
		for (size_t k = 0; k < 2; k++) {
			struct model_fingerprint *f = &r[k].model;

			r[k] = (struct job_rank){ .groups = &group, .group_count = 1, .to_ns = 1 };
			r[k].phase = (struct phase_judgement){ .verdict = PHASE_IS_TRAINING, .executed = 1 };
			f->tensor_parallel = tensor[i];
			f->experts = UINT64_C(1) << 53;
			f->experts_here = 1;
			f->vocabulary = 1000;
			f->has_passes = true;
			f->passes = 1;
			f->weights = 1;
			f->weight[0] = (struct model_weight){ .small = 1, .large = UINT64_C(1) << 53, .copies = 1e30, .is_experts = true };
			f->parameters = (struct model_bounds){ 1, 1, 1 };
		}
		assert_int_equal(job_combine(r, 2, 1 << 24, &x), 0);
		assert_int_equal(x.tensor, tensor[i] == 4096 ? 4096 : 0);
		assert_int_equal(x.expert, 0);
		assert_true(x.parameters.low >= 0 && x.parameters.best >= 0);
		assert_int_equal(job_combine(r, 2, 0, &x), 0);
		assert_int_equal(x.data, 0);
	}
	/* Layers beyond what a number holds. */
	r[0].model.weight[0] = (struct model_weight){ .small = 64, .large = 128, .copies = 1e38, .active = 1e38 };
	r[0].model.vocabulary = 0;
	r[0].model.by_buffers = true;
	r[1].model.experts = 0;
	assert_int_equal(job_combine(r, 2, 0, &x), 0);
}

static void frozen_and_trained_ranks_are_named_by_the_most(void **state)
{
	_cleanup_(job_done) struct job j = { 0 };
	struct job_judgement x;

	add(&j, RUN("gpt2_lora64"));
	judge(&j, 0, &x);
	assert_int_equal(x.verdict, PHASE_IS_FROZEN);
	add(&j, RUN("tinyllama_bf16"));
	judge(&j, 0, &x);
	assert_int_equal(x.verdict, PHASE_IS_TRAINING);
}

static void no_ranks_are_no_job(void **state)
{
	struct job_judgement x;

	assert_int_equal(job_judge(NULL, 0, 8, NULL, &x), -EINVAL);
	assert_int_equal(job_combine(NULL, 0, 8, &x), -EINVAL);
}

/* --- the same of ranks that were judged on their nodes --- */

struct told {
	struct process_record record[RANKS_MAX];
	struct job_rank rank[RANKS_MAX];
	size_t count;
};

/* As a node judges one process and sends it: `times` as much of the run, in so much of the hour. */
static void tell(struct told *t, struct run *run, uint64_t times)
{
	static struct process_record p;
	_cleanup_free_ char *text = NULL;
	struct process_record *q = &t->record[t->count];

	for (size_t i = 0; i < run->product_count; i++)
		run->products[i].calls *= times;
	for (size_t i = 0; times > 1 && i < run->step_count; i++)
		run->steps[i].repeat *= (uint32_t)times;
	memset(&p, 0, sizeof(p));
	p.from_ns = T0;
	p.to_ns = p.at_ns = T0 + times * HOUR_NS / 8;
	assert_int_equal(phase_judge(run, &p.phase), 0);
	assert_int_equal(model_judge(run, &p.phase, NULL, &p.model), 0);
	p.has_model = p.model.weights > 0;
	text = process_record_encode(&p);
	assert_int_equal(process_record_decode(text, strlen(text), q), 0);
	t->rank[t->count++] = (struct job_rank){ .phase = q->phase, .model = q->model, .from_ns = q->from_ns, .to_ns = q->to_ns };
}

static void assert_near(double a, double b, double by)
{
	if (fabs(a - b) > by * fmax(fabs(a), fabs(b)))
		fail_msg("%.9g is not %.9g", a, b);
}

static void assert_same_job(const char *name, const struct job_judgement *x, const struct job_judgement *y)
{
	print_message("%s: %u ranks, %u x %u x %u x %u, %.6g parameters\n", name, x->ranks, x->tensor, x->pipeline, x->expert, x->data, x->parameters.best);
	assert_int_equal(x->verdict, y->verdict);
	assert_int_equal(x->learning, y->learning);
	assert_int_equal(x->inferring, y->inferring);
	assert_true(x->executed == y->executed);
	/* Shares are rounded away from each other. */
	assert_true(y->training_low <= x->training_low && y->training_high >= x->training_high);
	assert_near(opcount_to_double(x->training_low), opcount_to_double(y->training_low), 1e-4);
	assert_int_equal(x->tensor, y->tensor);
	assert_int_equal(x->pipeline, y->pipeline);
	assert_int_equal(x->expert, y->expert);
	assert_int_equal(x->data, y->data);
	assert_near(x->parameters.best, y->parameters.best, 1e-6);
	assert_true(y->parameters.low <= y->parameters.best * 1.000001 && y->parameters.high >= y->parameters.best * 0.999999);
}

/* So that shapes tell, and layers are counted by the passes. */
static void forget_buffers(struct run *run)
{
	for (size_t i = 0; i < run->step_count; i++)
		run->steps[i].a = run->steps[i].b = run->steps[i].d = 0;
}

static void check_recorded(char **paths, size_t count, const char *name, bool has_buffers)
{
	_cleanup_(job_done) struct job j = { 0 };
	_cleanup_free_ struct told *t = calloc(1, sizeof(*t));
	struct job_judgement x, y;

	for (size_t i = 0; i < count; i++) {
		add(&j, paths[i]);
		if (!has_buffers)
			forget_buffers(&j.run[i]);
		tell(t, &j.run[i], 1);
	}
	judge(&j, 0, &x);
	assert_int_equal(job_combine(t->rank, t->count, 0, &y), 0);
	assert_same_job(name, &x, &y);
}

static size_t name_len(const char *path)
{
	return (size_t)(strrchr(path, '_') - path);
}

static void records_of_ranks_tell_what_their_runs_do(void **state)
{
	glob_t g;
	size_t jobs = 0;

	assert_int_equal(glob("tests/phases/ranks/ranks_*.run.gz", 0, NULL, &g), 0);
	for (size_t i = 0, end; i < g.gl_pathc; i = end, jobs++) {
		size_t len = name_len(g.gl_pathv[i]);

		for (end = i; end < g.gl_pathc && name_len(g.gl_pathv[end]) == len && !memcmp(g.gl_pathv[i], g.gl_pathv[end], len); end++)
			;
		check_recorded(g.gl_pathv + i, end - i, g.gl_pathv[i], true);
		check_recorded(g.gl_pathv + i, end - i, g.gl_pathv[i], false);
	}
	globfree(&g);
	assert_true(jobs >= 12);
}

/* Stages that were looked at at different times: their passes follow from how long each record is. */
static void stages_are_compared_by_time(void **state)
{
	static const char *const there[] = { RANK("pp4_00"), RANK("pp4_01"), RANK("pp4_02"), RANK("pp4_03") };
	_cleanup_(job_done) struct job j = { 0 };
	_cleanup_free_ struct told *t = calloc(1, sizeof(*t));
	struct job_judgement x, y;

	for (size_t i = 0; i < 4; i++) {
		add(&j, there[i]);
		forget_buffers(&j.run[i]);
	}
	judge(&j, 0, &x);
	for (size_t i = 0; i < 4; i++)
		tell(t, &j.run[i], i + 1);
	assert_int_equal(job_combine(t->rank, 4, 0, &y), 0);
	assert_int_equal(y.pipeline, 4);
	assert_near(x.parameters.best, y.parameters.best, 1e-6);
	/* A little off, it is the same; a fifth less work in the time comes to no whole number of layers. */
	t->rank[0].to_ns += HOUR_NS / 8 / 50;
	assert_int_equal(job_combine(t->rank, 4, 0, &y), 0);
	assert_near(x.parameters.best, y.parameters.best, 1e-6);
	assert_true(y.parameters.low < x.parameters.best && y.parameters.high > x.parameters.best);
	t->rank[0].to_ns += HOUR_NS / 8 / 5;
	assert_int_equal(job_combine(t->rank, 4, 0, &y), 0);
	assert_true(y.parameters.best <= 0);
	assert_true(y.parameters.low < x.parameters.best && y.parameters.high > x.parameters.best);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_ranks_is_nothing),
		cmocka_unit_test(what_is_not_seen_is_not_claimed),
		cmocka_unit_test(ranks_that_answer_for_learners_are_in_high),
		cmocka_unit_test(doubt_in_one_rank_is_doubt_in_all_that_serve),
		cmocka_unit_test(a_rank_of_unknown_work_may_learn),
		cmocka_unit_test(degrees_that_no_job_has_are_none),
		cmocka_unit_test(frozen_and_trained_ranks_are_named_by_the_most),
		cmocka_unit_test(no_ranks_are_no_job),
		cmocka_unit_test(records_of_ranks_tell_what_their_runs_do),
		cmocka_unit_test(stages_are_compared_by_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
