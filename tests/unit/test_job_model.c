// SPDX-License-Identifier: Apache-2.0
/* Ranks of one job together: what one that is seen says of those that are not, and what no rank alone can say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/job_model.h"

#define RANKS_MAX 8

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
	assert_true(x.training_low == 0 && x.training_high > 0);
	assert_non_null(strstr(x.evidence, PHASE_SUSPECTED));
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
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_ranks_is_nothing),
		cmocka_unit_test(what_is_not_seen_is_not_claimed),
		cmocka_unit_test(ranks_that_answer_for_learners_are_in_high),
		cmocka_unit_test(doubt_in_one_rank_is_doubt_in_all_that_serve),
		cmocka_unit_test(frozen_and_trained_ranks_are_named_by_the_most),
		cmocka_unit_test(no_ranks_are_no_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
