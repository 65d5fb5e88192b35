// SPDX-License-Identifier: Apache-2.0
/* Joining: who works together, who must not be joined, and that neither order nor repetition matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/joining.h"

#define SECOND 1000000000ULL
#define MINUTE (60 * SECOND)
#define START (1790000000ULL * SECOND)

static struct om_id name(char kind, unsigned n)
{
	struct om_id v = { { (uint8_t)kind, (uint8_t)(n >> 8), (uint8_t)n, 7 } };

	return v;
}

/* Process n, alone in job instance n / 4. */
static struct om_join_claim claim(unsigned process, unsigned id, int nranks, int rank, uint64_t time_ns)
{
	return (struct om_join_claim){ .process = name('p', process),
				       .job = name('j', process / 4),
				       .has_id = id,
				       .id = name('i', id),
				       .nranks = nranks,
				       .rank = rank,
				       .time_ns = START + time_ns };
}

static struct om_joining *join(const struct om_join_claim *c, size_t n)
{
	struct om_joining *j = NULL;

	assert_int_equal(om_joining_make(c, n, 0, &j), 0);
	return j;
}

static const struct om_join_job *job_of(const struct om_joining *j, unsigned process)
{
	struct om_id p = name('p', process);

	for (size_t i = 0; i < j->job_count; i++)
		for (size_t m = 0; m < j->jobs[i].member_count; m++)
			if (om_id_equal(&j->jobs[i].members[m].process, &p))
				return &j->jobs[i];
	fail_msg("process %u is in no job", process);
	return NULL;
}

static void same_job(const struct om_joining *j, unsigned a, unsigned b, bool want)
{
	if ((job_of(j, a) == job_of(j, b)) != want)
		fail_msg("processes %u and %u are %sjoined", a, b, want ? "not " : "");
}

#define N(c) (sizeof(c) / sizeof((c)[0]))

static void test_ranks_of_one_id(void **state)
{
	struct om_join_claim c[8];

	for (int i = 0; i < 8; i++)
		c[i] = claim((unsigned)i, 1, 8, 7 - i, (uint64_t)i * 30 * SECOND);
	_cleanup_joining_ struct om_joining *j = join(c, N(c));
	assert_int_equal(j->job_count, 1);
	assert_int_equal(j->set_count, 1);
	assert_int_equal(j->sets[0].verdict, OM_JOIN_COMPLETE);
	assert_int_equal(j->jobs[0].process_count, 8);
	assert_int_equal(j->jobs[0].sets, 1);
	assert_int_equal(j->jobs[0].incomplete_sets, 0);
}

static void test_missing_ranks_are_said(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 16, 3, 0), claim(2, 1, 16, 9, SECOND), claim(3, 1, 16, 9, SECOND),
					   claim(4, 2, 16, 1, 0), claim(5, 2, 16, 2, 0) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	assert_int_equal(j->sets[0].verdict, OM_JOIN_CONFLICT);
	assert_int_equal(j->sets[1].verdict, OM_JOIN_INCOMPLETE);
	assert_int_equal(j->sets[1].ranks_seen, 2);
	assert_int_equal(j->sets[1].nranks, 16);
	same_job(j, 4, 5, true);
	assert_int_equal(job_of(j, 4)->incomplete_sets, 1);
}

/* NCCL_COMM_ID: one id for ever. */
static void test_constant_id(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 0, 0), claim(2, 1, 2, 1, SECOND),
					   claim(3, 1, 2, 0, 20 * MINUTE), claim(4, 1, 2, 1, 20 * MINUTE + SECOND) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	assert_int_equal(j->set_count, 2);
	same_job(j, 1, 2, true);
	same_job(j, 3, 4, true);
	same_job(j, 1, 3, false);
	assert_int_equal(j->sets[0].verdict, OM_JOIN_COMPLETE);
	assert_int_equal(j->sets[1].verdict, OM_JOIN_COMPLETE);
}

static void test_overlapping_ranks(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 0, 0), claim(2, 1, 2, 1, 0), claim(3, 1, 2, 1, MINUTE) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));
	struct om_id a = name('p', 2), b = name('p', 3);

	assert_int_equal(j->set_count, 1);
	assert_int_equal(j->sets[0].verdict, OM_JOIN_CONFLICT);
	assert_int_equal(j->sets[0].claimed_rank, 1);
	assert_true(om_id_equal(&j->sets[0].claimant[0], &a) && om_id_equal(&j->sets[0].claimant[1], &b));
	assert_int_equal(j->job_count, 3);
}

static void test_numbers_of_ranks_must_agree(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 0, 0), claim(2, 1, 2, 1, 0), claim(3, 1, 3, 2, SECOND),
					   claim(4, 2, 5, 0, 0) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	same_job(j, 1, 2, true);
	same_job(j, 1, 3, false);
	assert_true(j->sets[0].disagrees && j->sets[1].disagrees);
	assert_false(j->sets[2].disagrees);
}

/* Tensor, data and pipeline groups of one training: each pair shares some communicator. */
static void test_communicators_of_one_process_unite(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 0, 0),       claim(2, 1, 2, 1, 0),	    claim(3, 2, 2, 0, 0),
					   claim(4, 2, 2, 1, 0),       claim(1, 3, 2, 0, MINUTE), claim(3, 3, 2, 1, MINUTE),
					   claim(9, 0, 0, 0, 0),       claim(8, 4, 1, 0, 0),	    claim(1, 0, 0, 0, MINUTE) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	same_job(j, 1, 4, true);
	same_job(j, 2, 3, true);
	same_job(j, 1, 9, false);
	same_job(j, 1, 8, false);
	assert_int_equal(job_of(j, 2)->process_count, 4);
	assert_int_equal(job_of(j, 2)->sets, 3);
	assert_int_equal(j->job_count, 3);
}

/* One process drives several GPUs: several ranks, one claimant. */
static void test_one_process_many_ranks(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 4, 0, 0), claim(1, 1, 4, 1, 0), claim(2, 1, 4, 2, 0),
					   claim(2, 1, 4, 3, 0), claim(2, 1, 4, 3, SECOND) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	assert_int_equal(j->sets[0].verdict, OM_JOIN_COMPLETE);
	same_job(j, 1, 2, true);
}

/* ncclCommGrow: the root has an id and no rank, new ones have both. Two roots claim no place of each other's. */
static void test_grow(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 0, 0),
					   claim(2, 1, 2, 1, 0),
					   claim(1, 2, 4, OM_JOIN_NO_RANK, 30 * MINUTE),
					   claim(3, 2, 4, 2, 30 * MINUTE),
					   claim(4, 2, 4, 3, 30 * MINUTE),
					   claim(5, 3, 4, OM_JOIN_NO_RANK, 0),
					   claim(6, 3, 4, OM_JOIN_NO_RANK, 0) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	same_job(j, 2, 4, true);
	same_job(j, 5, 6, true);
	assert_int_equal(job_of(j, 1)->process_count, 4);
	for (size_t i = 0; i < j->set_count; i++)
		assert_int_equal(j->sets[i].unseated, 0);
}

/* Where every rank was seen nobody comes in without one; who has one may claim none besides. */
static void test_no_rank_in_a_complete_set(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 0, 0),
					   claim(2, 1, 2, 1, 0),
					   claim(3, 1, 2, OM_JOIN_NO_RANK, 0),
					   claim(3, 1, 2, OM_JOIN_NO_RANK, SECOND),
					   claim(4, 1, 2, OM_JOIN_NO_RANK, 0),
					   claim(2, 1, 2, OM_JOIN_NO_RANK, SECOND) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));

	assert_int_equal(j->set_count, 1);
	assert_int_equal(j->sets[0].verdict, OM_JOIN_COMPLETE);
	assert_int_equal(j->sets[0].unseated, 2);
	same_job(j, 1, 2, true);
	same_job(j, 1, 3, false);
	same_job(j, 1, 4, false);
	same_job(j, 3, 4, false);
}

static void test_hostile_numbers(void **state)
{
	const struct om_join_claim c[] = { claim(1, 1, 2, 2, 0),	     claim(2, 1, 2, -2, 0),
					   claim(3, 1, 0, 0, 0),	     claim(4, 1, -1, 0, 0),
					   claim(5, 1, INT32_MAX, 5, 0), claim(6, 1, INT32_MIN, INT32_MIN, UINT64_MAX) };
	_cleanup_joining_ struct om_joining *j = join(c, N(c));
	_cleanup_joining_ struct om_joining *none = join(c, 0);

	assert_int_equal(j->invalid, N(c));
	assert_int_equal(j->job_count, N(c));
	assert_int_equal(j->set_count, 0);
	assert_int_equal(none->job_count, 0);
}

/* --- properties --- */

#define CLAIMS 300

static void same_result(const struct om_joining *a, const struct om_joining *b)
{
	assert_int_equal(a->job_count, b->job_count);
	assert_int_equal(a->set_count, b->set_count);
	assert_int_equal(a->invalid, b->invalid);
	assert_memory_equal(a->sets, b->sets, a->set_count * sizeof(*a->sets));
	for (size_t i = 0; i < a->job_count; i++) {
		const struct om_join_job *x = &a->jobs[i], *y = &b->jobs[i];

		assert_true(om_id_equal(&x->name, &y->name));
		assert_int_equal(x->member_count, y->member_count);
		assert_int_equal(x->process_count, y->process_count);
		assert_int_equal(x->sets, y->sets);
		assert_int_equal(x->incomplete_sets, y->incomplete_sets);
		assert_memory_equal(x->members, y->members, x->member_count * sizeof(*x->members));
	}
}

static void make_claims(struct om_join_claim *c, unsigned *seed)
{
	for (size_t i = 0; i < CLAIMS; i++) {
		int nranks = 1 + rand_r(seed) % 6;

		c[i] = claim((unsigned)rand_r(seed) % 60, (unsigned)rand_r(seed) % 40, nranks,
			     rand_r(seed) % (nranks + 1) - 1, (uint64_t)(rand_r(seed) % 100) * MINUTE);
		if (rand_r(seed) % 8 == 0)
			c[i].job = name('j', 99);
	}
}

static void shuffle(struct om_join_claim *c, size_t n, unsigned *seed)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = (size_t)rand_r(seed) % i;
		struct om_join_claim t = c[other];

		c[other] = c[i - 1];
		c[i - 1] = t;
	}
}

static void test_order_and_repetition(void **state)
{
	static struct om_join_claim c[2 * CLAIMS];

	for (unsigned round = 0; round < 200; round++) {
		unsigned seed = round;

		make_claims(c, &seed);
		_cleanup_joining_ struct om_joining *first = join(c, CLAIMS);
		shuffle(c, CLAIMS, &seed);
		_cleanup_joining_ struct om_joining *shuffled = join(c, CLAIMS);
		for (size_t i = 0; i < CLAIMS; i++)
			c[CLAIMS + i] = c[(size_t)rand_r(&seed) % CLAIMS];
		shuffle(c, 2 * CLAIMS, &seed);
		_cleanup_joining_ struct om_joining *repeated = join(c, 2 * CLAIMS);
		same_result(first, shuffled);
		same_result(first, repeated);
	}
}

/* Without the ids over which somebody quarrels: who was refused for another's claim is not, when that other
 * is out of sight. */
static size_t drop_conflicts(struct om_join_claim *c, size_t n)
{
	_cleanup_joining_ struct om_joining *j = join(c, n);
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool is_bad = false;

		for (size_t s = 0; s < j->set_count; s++)
			is_bad |= (j->sets[s].verdict == OM_JOIN_CONFLICT || j->sets[s].unseated) && om_id_equal(&j->sets[s].id, &c[i].id);
		if (!is_bad)
			c[kept++] = c[i];
	}
	return kept;
}

static size_t claims_of(const struct om_join_job *job, const struct om_join_claim *c, size_t n, struct om_join_claim *ret)
{
	size_t count = 0;

	for (size_t k = 0; k < n; k++)
		for (size_t m = 0; m < job->member_count; m++)
			if (om_id_equal(&job->members[m].process, &c[k].process)) {
				ret[count++] = c[k];
				break;
			}
	return count;
}

/* Joining what was joined joins nothing more: the claims of one job alone give that job. */
static void test_idempotent(void **state)
{
	static struct om_join_claim c[CLAIMS], some[CLAIMS];
	size_t compared = 0;

	for (unsigned round = 0; round < 100; round++) {
		unsigned seed = 1000 + round;
		size_t n;

		make_claims(c, &seed);
		n = drop_conflicts(c, CLAIMS);
		_cleanup_joining_ struct om_joining *all = join(c, n);
		for (size_t i = 0; i < all->job_count; i++) {
			const struct om_join_job *job = &all->jobs[i];
			_cleanup_joining_ struct om_joining *again = join(some, claims_of(job, c, n, some));

			assert_int_equal(again->job_count, 1);
			assert_true(om_id_equal(&again->jobs[0].name, &job->name));
			assert_int_equal(again->jobs[0].process_count, job->process_count);
			assert_int_equal(again->jobs[0].sets, job->sets);
			compared += job->process_count > 1;
		}
	}
	assert_true(compared > 100);
}

/* A forger adds claims of its own: it never gets into a job whose every rank was claimed. */
static void test_forger_stays_out(void **state)
{
	for (unsigned round = 0; round < 500; round++) {
		struct om_join_claim c[12];
		unsigned seed = round;

		for (int i = 0; i < 8; i++)
			c[i] = claim((unsigned)i, 1, 8, i, (uint64_t)(rand_r(&seed) % 120) * SECOND);
		for (int i = 8; i < 12; i++)
			c[i] = claim(77, 1, rand_r(&seed) % 4 ? 8 : 9, rand_r(&seed) % 9 - 1,
				     (uint64_t)(rand_r(&seed) % 1200) * SECOND);
		shuffle(c, N(c), &seed);
		_cleanup_joining_ struct om_joining *j = join(c, N(c));
		for (unsigned i = 0; i < 8; i++)
			same_job(j, i, 77, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks_of_one_id),
		cmocka_unit_test(test_missing_ranks_are_said),
		cmocka_unit_test(test_constant_id),
		cmocka_unit_test(test_overlapping_ranks),
		cmocka_unit_test(test_numbers_of_ranks_must_agree),
		cmocka_unit_test(test_communicators_of_one_process_unite),
		cmocka_unit_test(test_one_process_many_ranks),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_no_rank_in_a_complete_set),
		cmocka_unit_test(test_hostile_numbers),
		cmocka_unit_test(test_order_and_repetition),
		cmocka_unit_test(test_idempotent),
		cmocka_unit_test(test_forger_stays_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
