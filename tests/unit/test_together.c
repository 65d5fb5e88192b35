// SPDX-License-Identifier: Apache-2.0
/* Processes of many nodes: what is one job, who serves whom, what a stranger's claim does, and that order plays no part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/together.h"
#include "golden.h"

#define SECOND 1000000000ULL
#define HOUR (3600 * SECOND)
#define START (1790000000ULL * SECOND)
#define TEXT 65536
#define SMALL "opmeter-model 1 layers=12 vocabulary=50257 768x3072:24 768x50257:1 768x2304:12 768x768:12"
#define LARGE "opmeter-model 1 layers=24 vocabulary=50257 1024x4096:48 1024x50257:1 1024x3072:24 1024x1024:24"

static struct process_record p;

static struct om_id name(char kind, unsigned n)
{
	return (struct om_id){ { (uint8_t)kind, (uint8_t)(n >> 8), (uint8_t)n, 7 } };
}

/* Process n of job instance n / 4 of ledger n / 8. */
static struct process_record *make(unsigned n, const char *tenant, enum phase_verdict verdict)
{
	memset(&p, 0, sizeof(p));
	p.ledger = name('l', n / 8);
	p.job = name('j', n / 4);
	p.process = name('p', n);
	p.from_ns = START;
	p.to_ns = START + HOUR;
	p.at_ns = START + HOUR + SECOND;
	snprintf(p.tenant, sizeof(p.tenant), "%s", tenant);
	snprintf(p.model_name, sizeof(p.model_name), "unassigned");
	p.phase.verdict = verdict;
	p.phase.confidence = "high";
	p.phase.executed = 1000;
	p.phase.training_low = verdict == PHASE_IS_TRAINING ? 0.75 : 0;
	p.phase.training_high = verdict == PHASE_IS_INFERENCE ? 0 : 1;
	return &p;
}

static struct process_record *claims(unsigned id, int nranks, int rank)
{
	p.claim[p.claims++] = (struct om_join_claim){ .process = p.process, .job = p.job, .has_id = true, .id = name('c', id),
						      .nranks = nranks, .rank = rank, .time_ns = START + SECOND };
	return &p;
}

static void multiplies(const char *model)
{
	p.has_model = true;
	assert_int_equal(model_parse(model, &p.model), 0);
}

static void put(struct together *t)
{
	assert_int_equal(together_put(t, &p), 0);
}

/* --- all that is told, as text --- */

static int print_job(void *ctx, const struct together_job *j)
{
	char *to = ctx, low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];

	to += strlen(to);
	to += sprintf(to, "job %u:", j->name.byte[1] << 8 | j->name.byte[2]);
	for (size_t i = 0; i < j->count; i++)
		to += sprintf(to, " %u", j->process[i]->process.byte[1] << 8 | j->process[i]->process.byte[2]);
	sprintf(to, " of %u, %s %s..%s, %zu tenants, %zu ledgers, %u conflicts\n", j->judgement.world, phase_verdict_name(j->judgement.verdict),
		opcount_format(j->judgement.training_low, low), opcount_format(j->judgement.training_high, high), j->tenants, j->ledgers,
		j->conflicts);
	return 0;
}

static int print_serving(void *ctx, const struct together_serving *s)
{
	sprintf((char *)ctx + strlen(ctx), "job instance %u of %s serves job %u of %s\n", s->job.byte[2], s->tenant, s->joined.byte[2], s->learner);
	return 0;
}

static int print_oddity(void *ctx, const struct together_oddity *o)
{
	static const char *const kinds[] = { "conflict", "part", "shared", "left out" };

	sprintf((char *)ctx + strlen(ctx), "%s %u: %u and %u%s\n", kinds[o->kind], o->id.byte[2],
		o->a->process.byte[2], o->b->process.byte[2], o->is_over_tenants ? ", over tenants" : "");
	return 0;
}

static void print_lineages(struct together *t, const struct together_words *words, char *to)
{
	const struct lineage_run *run;
	const struct lineages *l;
	size_t runs;

	assert_int_equal(together_lineages(t, words, &run, &runs, &l), 0);
	for (size_t i = 0; i < l->groups; i++) {
		to += strlen(to);
		to += sprintf(to, "lineage %.2f:", l->group[i].confidence);
		for (size_t k = 0; k < l->group[i].count; k++)
			to += sprintf(to, " %u", run[l->group[i].member[k]].job.byte[2]);
		sprintf(to, "\n");
	}
	sprintf(to + strlen(to), "%zu findings\n", l->findings);
}

static void print(struct together *t, char to[TEXT])
{
	*to = '\0';
	assert_int_equal(together_each_job(t, print_job, to), 0);
	assert_int_equal(together_each_serving(t, print_serving, to), 0);
	assert_int_equal(together_each_oddity(t, print_oddity, to), 0);
	print_lineages(t, NULL, to);
}

static void expect(struct together *t, const char *want)
{
	char got[TEXT];

	print(t, got);
	assert_string_equal(got, want);
}

/* A learner on one node, two that answer on another. */
static struct together *one_job(const char *learner, const char *answers)
{
	struct together *t = together_new(1000);

	make(0, learner, PHASE_IS_TRAINING);
	claims(1, 3, 0);
	put(t);
	make(8, answers, PHASE_IS_INFERENCE);
	claims(1, 3, 1);
	put(t);
	make(9, answers, PHASE_IS_INFERENCE);
	claims(1, 3, 2);
	put(t);
	return t;
}

static void who_answers_serves_who_learns(void **state)
{
	struct together *t = one_job("acme", "acme");

	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nlineage 0.99: 0 2\n0 findings\n");
	together_free(t);
	t = one_job("acme", "zeta");
	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 2 tenants, 2 ledgers, 0 conflicts\n"
		  "job instance 2 of zeta serves job 0 of acme\nlineage 0.99: 0 2\n0 findings\n");
	together_free(t);
}

/* One that learns a little, in the same job instance, is no way out for those that answer. */
static void a_decoy_that_learns_frees_nobody(void **state)
{
	struct together *t = one_job("acme", "acme");

	make(10, "acme", PHASE_IS_FROZEN);
	p.phase.executed = 1;
	put(t);
	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job 10: 10 of 1, frozen-weight-training 0..1, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nlineage 0.99: 0 2\n0 findings\n");
	together_free(t);
}

static int take_evidence(void *ctx, const struct together_serving *s)
{
	snprintf(ctx, sizeof(s->evidence), "%s", s->evidence);
	return 0;
}

/* Nobody can tell that a rank whose work is not told, or is suspected, does not learn. One without work does not. */
static void doubt_about_a_learner_widens_who_answers(void **state)
{
	static const char served[] = "job 0: 0 8 9 of 3, unknown 0..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
				     "job instance 2 of acme serves job 0 of acme\nlineage 0.99: 0 2\n0 findings\n";
	struct together *t = one_job("acme", "acme");
	char evidence[512] = "";

	make(0, "acme", PHASE_IS_UNKNOWN);
	claims(1, 3, 0);
	p.at_ns += SECOND;
	put(t);
	expect(t, "job 0: 0 8 9 of 3, inference 0..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nlineage 0.99: 0 2\n0 findings\n");
	assert_int_equal(together_each_serving(t, take_evidence, evidence), 0);
	assert_non_null(strstr(evidence, "compute what is not told and may be learning"));
	snprintf(p.suspicion, sizeof(p.suspicion), "ranks add up what no product made");
	p.phase.suspicion = p.suspicion;
	p.at_ns += SECOND;
	put(t);
	expect(t, served);
	make(0, "acme", PHASE_IS_MIXED);
	claims(1, 3, 0);
	p.at_ns += 3 * SECOND;
	put(t);
	expect(t, "job 0: 0 8 9 of 3, training 0..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nlineage 0.99: 0 2\n0 findings\n");
	make(0, "acme", PHASE_IS_UNKNOWN);
	claims(1, 3, 0);
	p.phase.executed = 0;
	p.at_ns += 4 * SECOND;
	put(t);
	expect(t, "job 0: 0 8 9 of 3, inference 0..0, 1 tenants, 2 ledgers, 0 conflicts\nlineage 0.99: 0 2\n0 findings\n");
	together_free(t);
}

/* A topic keeps the last record, which is of an hour: whoever reads it anew knows of the whole run. */
static void the_last_record_tells_since_when(void **state)
{
	struct together *t = together_new(1000);
	const struct lineage_run *run;
	const struct lineages *l;
	size_t runs;

	make(0, "acme", PHASE_IS_TRAINING);
	p.begun_ns = START - 5 * HOUR;
	put(t);
	assert_int_equal(together_lineages(t, NULL, &run, &runs, &l), 0);
	assert_true(runs == 1 && run[0].from_ns == START - 5 * HOUR);
	together_free(t);
}

static size_t serving_count(struct together *t)
{
	char text[TEXT] = "";
	size_t n = 0;

	assert_int_equal(together_each_serving(t, print_serving, text), 0);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		n++;
	return n;
}

/* A server of several nodes in its first minutes: what is not told yet is no doubt; what never came to be told is. */
static void nobody_is_doubted_before_he_can_be_told(void **state)
{
	static const struct {
		unsigned seconds;
		bool has_ended;
		size_t serving;
	} cases[] = { { 60, false, 0 }, { 599, false, 0 }, { 600, false, 1 }, { 60, true, 1 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct together *t = together_new(1000);

		make(0, "acme", PHASE_IS_UNKNOWN);
		claims(1, 2, 0);
		p.to_ns = p.at_ns = p.from_ns + cases[i].seconds * SECOND;
		p.has_ended = cases[i].has_ended;
		put(t);
		make(8, "acme", PHASE_IS_INFERENCE);
		claims(1, 2, 1);
		put(t);
		assert_int_equal(serving_count(t), cases[i].serving);
		together_free(t);
	}
}

static int count_one(void *ctx, const struct together_process *one)
{
	++*(size_t *)ctx;
	return 0;
}

static size_t disputed(struct together *t)
{
	size_t n = 0;

	assert_int_equal(together_each_disputed(t, count_one, &n), 0);
	return n;
}

/* A stranger claims a rank that another process has: it is joined to nobody, and the others stay together. */
static void a_copied_communicator_joins_nobody(void **state)
{
	struct together *t = one_job("acme", "acme");

	make(16, "mallory", PHASE_IS_TRAINING);
	claims(1, 3, 1);
	put(t);
	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 1 tenants, 2 ledgers, 1 conflicts\n"
		  "job 16: 16 of 3, training 750..1000, 1 tenants, 1 ledgers, 1 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nconflict 1: 8 and 16, over tenants\nlineage 0.99: 0 2\nlineage 1.00: 4\n0 findings\n");
	assert_int_equal(disputed(t), 4);
	together_free(t);
	/* What two tenants are joined by is taken apart: neither's part is the other's. */
	t = one_job("acme", "zeta");
	make(16, "mallory", PHASE_IS_INFERENCE);
	claims(1, 3, 0);
	put(t);
	expect(t, "job 0: 0 of 3, training 750..1000, 1 tenants, 1 ledgers, 1 conflicts\n"
		  "job 8: 8 9 of 3, inference 0..0, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job 16: 16 of 3, inference 0..0, 1 tenants, 1 ledgers, 1 conflicts\n"
		  "conflict 1: 0 and 16, over tenants\nlineage 1.00: 0\nlineage 1.00: 2\nlineage 1.00: 4\n0 findings\n");
	together_free(t);
}

/* Nobody's ranks are free while one of them is not seen: whoever takes such a place is not joined before all are there. */
static void a_place_that_is_free_joins_over_tenants_when_all_are_there(void **state)
{
	struct together *t = together_new(10);

	make(0, "acme", PHASE_IS_INFERENCE);
	claims(1, 3, 0);
	put(t);
	make(8, "mallory", PHASE_IS_TRAINING);
	claims(1, 3, 1);
	put(t);
	expect(t, "job 0: 0 of 3, inference 0..0, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job 8: 8 of 3, training 750..1000, 1 tenants, 1 ledgers, 0 conflicts\npart 1: 0 and 8, over tenants\n"
		  "lineage 1.00: 0\nlineage 1.00: 2\n0 findings\n");
	/* Within a tenant they are. */
	make(1, "acme", PHASE_IS_INFERENCE);
	claims(2, 3, 0);
	put(t);
	make(9, "acme", PHASE_IS_TRAINING);
	claims(2, 3, 1);
	put(t);
	expect(t, "job 0: 0 of 3, inference 0..0, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job 1: 1 9 of 3, training 750..2000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job 8: 8 of 3, training 750..1000, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job instance 0 of acme serves job 1 of acme\npart 1: 0 and 8, over tenants\nlineage 0.99: 0 2\n0 findings\n");
	together_free(t);
}

/* A root that lets others in claims no rank: in a communicator of others all of whose ranks were seen it has no place. */
static void no_rank_in_a_complete_communicator_joins_nobody(void **state)
{
	struct together *t = one_job("acme", "acme");

	make(16, "mallory", PHASE_IS_TRAINING);
	claims(1, 3, OM_JOIN_NO_RANK);
	put(t);
	make(17, "mallory", PHASE_IS_TRAINING);
	claims(1, 3, OM_JOIN_NO_RANK);
	put(t);
	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 1 tenants, 2 ledgers, 1 conflicts\n"
		  "job 16: 16 17 of 3, training 1500..2000, 1 tenants, 1 ledgers, 1 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nconflict 1: 0 and 16, over tenants\nlineage 0.99: 0 2\nlineage 1.00: 4\n0 findings\n");
	assert_int_equal(disputed(t), 0);
	together_free(t);
	/* Within a tenant it does. */
	t = one_job("acme", "acme");
	make(16, "acme", PHASE_IS_TRAINING);
	claims(1, 3, OM_JOIN_NO_RANK);
	put(t);
	expect(t, "job 0: 0 8 9 16 of 4, training 1500..4000, 1 tenants, 3 ledgers, 0 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nlineage 0.99: 0 2 4\n0 findings\n");
	together_free(t);
	/* Of several tenants that fill all ranks nobody leaves either. */
	t = one_job("acme", "zeta");
	make(16, "mallory", PHASE_IS_INFERENCE);
	claims(1, 3, OM_JOIN_NO_RANK);
	put(t);
	make(1, "zeta", PHASE_IS_INFERENCE);
	claims(1, 3, 2);
	put(t);
	expect(t, "job 0: 0 1 8 9 of 4, training 750..4000, 2 tenants, 2 ledgers, 2 conflicts\n"
		  "job 16: 16 of 3, inference 0..0, 1 tenants, 1 ledgers, 1 conflicts\n"
		  "job instance 0 of zeta serves job 0 of acme\njob instance 2 of zeta serves job 0 of acme\n"
		  "conflict 1: 1 and 9\nconflict 1: 0 and 16, over tenants\nlineage 0.99: 0 2\nlineage 1.00: 4\n0 findings\n");
	together_free(t);
}

/* Where nothing says whose they are, job instances are no one tenant's: only a complete communicator joins them. */
static void nobody_is_no_tenant(void **state)
{
	struct together *t = together_new(100);

	make(0, "unknown", PHASE_IS_TRAINING);
	claims(1, 3, 0);
	put(t);
	make(8, "unknown", PHASE_IS_INFERENCE);
	claims(1, 3, 1);
	put(t);
	expect(t, "job 0: 0 of 3, training 750..1000, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job 8: 8 of 3, inference 0..0, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "part 1: 0 and 8, over tenants\nlineage 1.00: 0\nlineage 1.00: 2\n0 findings\n");
	make(9, "unknown", PHASE_IS_INFERENCE);
	claims(1, 3, 2);
	put(t);
	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job instance 2 of unknown serves job 0 of unknown\nlineage 0.99: 0 2\n0 findings\n");
	together_free(t);
}

/* Who takes another's process id is not joined by it, and takes nobody out of his job. */
static void a_copied_process_joins_nobody(void **state)
{
	struct together *t = one_job("acme", "acme");

	make(16, "mallory", PHASE_IS_TRAINING);
	p.process = name('p', 9);
	put(t);
	expect(t, "job 0: 0 8 9 of 3, training 750..3000, 1 tenants, 2 ledgers, 0 conflicts\n"
		  "job 11: 9 of 1, training 750..1000, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nshared 9: 9 and 9, over tenants\nlineage 0.99: 0 2\nlineage 1.00: 4\n0 findings\n");
	together_free(t);
}

static void two_claims_of_one_tenant_free_nobody(void **state)
{
	struct together *t = one_job("acme", "acme");

	make(16, "acme", PHASE_IS_UNKNOWN);
	claims(1, 3, 1);
	put(t);
	expect(t, "job 0: 0 8 9 16 of 4, training 750..4000, 1 tenants, 3 ledgers, 1 conflicts\n"
		  "job instance 2 of acme serves job 0 of acme\nconflict 1: 8 and 16\nlineage 0.99: 0 2 4\n0 findings\n");
	assert_int_equal(disputed(t), 0);
	together_free(t);
}

/* --- any order --- */

#define RECORDS 160

static struct process_record world[RECORDS];

static void random_record(unsigned *seed, struct process_record *ret)
{
	static const char *const tenants[] = { "acme", "zeta", "unknown" }, *const models[] = { SMALL, LARGE },
				 *const names[] = { "", "", "", "", "one", "two" };
	static const enum phase_verdict verdicts[] = { PHASE_IS_TRAINING, PHASE_IS_FROZEN, PHASE_IS_INFERENCE, PHASE_IS_UNKNOWN };
	unsigned n = (unsigned)rand_r(seed) % 48;

	make(n, tenants[n / 4 % 3], verdicts[rand_r(seed) % 4]);
	p.at_ns += (uint64_t)(rand_r(seed) % 3) * HOUR;
	p.to_ns = p.at_ns;
	p.from_ns += (uint64_t)(rand_r(seed) % 3) * HOUR;
	p.phase.executed = (opcount)(1 + rand_r(seed) % 5) * 1000;
	snprintf(p.lineage, sizeof(p.lineage), "%s", names[rand_r(seed) % 6]);
	for (int i = rand_r(seed) % 3; i > 0; i--)
		claims((unsigned)rand_r(seed) % 12, 4, rand_r(seed) % 5 - 1);
	if (rand_r(seed) % 16 == 0)
		p.ledger = name('l', 99);
	if (rand_r(seed) % 2)
		multiplies(models[rand_r(seed) % 2]);
	process_record_copy(ret, &p);
}

static void order_and_repetition_change_nothing(void **state)
{
	static char want[TEXT], got[TEXT];
	unsigned seed = 11;

	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < RECORDS; i++)
			random_record(&seed, &world[i]);
		for (int turn = 0; turn < 4; turn++) {
			struct together *t = together_new(1000);

			for (size_t i = RECORDS - 1; turn && i > 0; i--) {
				size_t k = (size_t)rand_r(&seed) % (i + 1);

				process_record_copy(&p, &world[i]);
				process_record_copy(&world[i], &world[k]);
				process_record_copy(&world[k], &p);
			}
			for (size_t i = 0; i < RECORDS; i++) {
				assert_true(together_put(t, &world[i]) >= 0);
				if (rand_r(&seed) % 4 == 0)
					assert_int_equal(together_put(t, &world[rand_r(&seed) % (int)(i + 1)]), 1);
				if (rand_r(&seed) % 40 == 0)
					print(t, got); /* to be asked in between changes nothing */
			}
			print(t, turn ? got : want);
			if (turn && strcmp(want, got) != 0)
				fail_msg("round %d, turn %d:\n%s\nnot\n%s", round, turn, got, want);
			together_free(t);
		}
	}
}

/* --- what is kept --- */

static int take_first(void *ctx, const struct together_job *j)
{
	*(const struct together_process **)ctx = j->process[0];
	return 0;
}

static void a_record_comes_back_whole(void **state)
{
	char *text = golden_json("process_v1.json"), *got;
	struct together *t = together_new(10);
	const struct together_process *first = NULL;
	struct together_counts counts;
	static struct process_record back;
	assert_int_equal(process_record_decode(text, strlen(text), &p), 0);
	put(t);
	assert_int_equal(together_each_job(t, take_first, &first), 0);
	together_record(t, first, &back);
	got = process_record_encode(&back);
	assert_string_equal(got, text);
	together_count(t, &counts);
	assert_true(counts.bytes < sizeof(p) / 4);
	free(got);
	free(text);
	together_free(t);
}

static int count_processes(void *ctx, const struct together_job *j)
{
	for (size_t i = 0; i < j->count; i++)
		((size_t *)ctx)[!strcmp(j->process[i]->tenant, "acme")]++;
	return 0;
}

/* Whoever has most makes room, what ended first. */
static void a_flood_pushes_out_its_own(void **state)
{
	struct together *t = together_new(64);
	struct together_counts counts;
	size_t of[2] = { 0, 0 };

	for (unsigned n = 0; n < 8; n++) {
		make(n, "acme", PHASE_IS_TRAINING);
		put(t);
	}
	make(100, "mallory", PHASE_IS_INFERENCE);
	p.at_ns -= HOUR;
	put(t);
	for (unsigned n = 200; n < 1200; n++) {
		make(n, "mallory", PHASE_IS_INFERENCE);
		p.at_ns += n;
		p.has_ended = true;
		put(t);
	}
	assert_int_equal(together_each_job(t, count_processes, of), 0);
	assert_int_equal(of[1], 8);
	together_count(t, &counts);
	assert_true(counts.processes <= 64 && counts.processes > 50);
	assert_int_equal(counts.forgotten, 1009 - counts.processes);
	/* The one that has not ended is still there, however old. */
	make(100, "mallory", PHASE_IS_INFERENCE);
	p.at_ns -= HOUR;
	assert_int_equal(together_put(t, &p), 1);
	together_free(t);
}

/* Many tenants who have little each: one who comes does not make all be sorted again. */
static void room_is_made_for_many_at_once(void **state)
{
	struct together *t = together_new(512);
	struct together_counts counts;
	char tenant[32];
	uint64_t before = 0, rounds = 0;

	for (unsigned n = 0; n < 1024; n++) {
		snprintf(tenant, sizeof(tenant), "tenant-%04u", n % 300);
		make(n, tenant, PHASE_IS_INFERENCE);
		put(t);
		together_count(t, &counts);
		assert_true(counts.processes <= 512);
		rounds += counts.forgotten != before;
		before = counts.forgotten;
	}
	assert_true(rounds >= 1 && rounds <= (1024 - 512) / 16);
	assert_int_equal(counts.processes + counts.forgotten, 1024);
	together_free(t);
}

/* As large as a record can be made. */
static void fill_record(unsigned n)
{
	make(n, n % 8 ? "mallory" : "acme", PHASE_IS_INFERENCE);
	p.has_model = true;
	p.model.weights = MODEL_WEIGHTS_MAX;
	for (size_t i = 0; i < MODEL_WEIGHTS_MAX; i++)
		p.model.weight[i] = (struct model_weight){ .small = UINT64_MAX - i, .large = UINT64_MAX - n, .copies = 0.1, .active = 0.1 };
	memset(p.model.evidence, 'x', sizeof(p.model.evidence) - 1);
	memset(p.phase.evidence, 'y', sizeof(p.phase.evidence) - 1);
}

static void large_records_take_no_more_memory(void **state)
{
	struct together *t = together_new(256);
	struct together_counts counts;

	for (unsigned n = 0; n < 600; n++) {
		fill_record(n);
		put(t);
		together_count(t, &counts);
		assert_true(counts.bytes <= 256 * TOGETHER_CHARGE);
	}
	assert_true(counts.processes > 16 && counts.processes < 256);
	/* Small ones that become large. */
	for (unsigned n = 0; n < 256; n++) {
		make(1000 + n, "mallory", PHASE_IS_INFERENCE);
		put(t);
	}
	for (unsigned n = 0; n < 256; n++) {
		fill_record(1000 + n);
		snprintf(p.tenant, sizeof(p.tenant), "mallory");
		p.at_ns += SECOND;
		assert_true(together_put(t, &p) >= 0);
		together_count(t, &counts);
		assert_true(counts.bytes <= 256 * TOGETHER_CHARGE);
	}
	together_free(t);
}

static void what_is_old_or_gone_is_forgotten(void **state)
{
	struct together *t = one_job("acme", "acme");
	struct together_counts counts;

	make(0, "acme", PHASE_IS_TRAINING);
	claims(1, 3, 0);
	p.at_ns += HOUR;
	put(t);
	together_expire(t, p.at_ns);
	expect(t, "job 0: 0 of 3, training 750..1000, 1 tenants, 1 ledgers, 0 conflicts\nlineage 1.00: 0\n0 findings\n");
	together_drop(t, &p.ledger, &p.job, &p.process);
	together_drop(t, &p.ledger, &p.job, &p.process);
	together_count(t, &counts);
	assert_true(counts.processes == 0 && counts.bytes == 0 && counts.forgotten == 0);
	expect(t, "0 findings\n");
	together_free(t);
}

/* --- lineages --- */

static const char *said_before(void *ctx, const struct om_id *ledger, const struct om_id *job)
{
	return job->byte[2] < *(uint8_t *)ctx ? "l-before" : NULL;
}

static const char *joined_by_a_person(void *ctx, const struct om_id *ledger, const struct om_id *job)
{
	return "all-of-them";
}

/* Runs of one tenant one after the other, under other names. */
static struct together *renamed(unsigned runs, const char *model)
{
	struct together *t = together_new(1000);

	for (unsigned i = 0; i < runs; i++) {
		make(4 * i, "acme", PHASE_IS_TRAINING);
		snprintf(p.model_name, sizeof(p.model_name), "name-%u", i);
		p.from_ns = START + 2 * i * HOUR;
		p.to_ns = p.from_ns + HOUR;
		multiplies(model);
		put(t);
	}
	return t;
}

static void a_renamed_model_is_one_lineage(void **state)
{
	struct together *t = renamed(5, SMALL);
	char got[TEXT] = "";

	print_lineages(t, NULL, got);
	assert_string_equal(got, "lineage 0.90: 0 1 2 3 4\n0 findings\n");
	together_free(t);
}

/* Two processes that have nothing to do with it, joined to each other, hide no job. */
static void a_decoy_pair_hides_no_job(void **state)
{
	struct together *t = together_new(100);
	char got[TEXT] = "";

	for (unsigned n = 0; n < 2; n++) {
		make(n, "acme", PHASE_IS_INFERENCE);
		claims(5, 2, (int)n);
		put(t);
	}
	make(2, "acme", PHASE_IS_TRAINING);
	claims(1, 2, 0);
	put(t);
	make(8, "acme", PHASE_IS_TRAINING);
	claims(1, 2, 1);
	put(t);
	print_lineages(t, NULL, got);
	assert_string_equal(got, "lineage 0.99: 0 2\n0 findings\n");
	together_free(t);
}

static void what_is_left_out_is_told(void **state)
{
	struct together *t = together_new(100);

	make(0, "acme", PHASE_IS_TRAINING);
	put(t);
	make(8, "acme", PHASE_IS_INFERENCE);
	p.claims_left_out = 3;
	put(t);
	make(16, "zeta", PHASE_IS_INFERENCE);
	p.claims_left_out = 3;
	put(t);
	expect(t, "job 0: 0 of 1, training 750..1000, 1 tenants, 1 ledgers, 0 conflicts\njob 8: 8 of 1, inference 0..0, 1 tenants, 1 ledgers, 0 conflicts\n"
		  "job 16: 16 of 1, inference 0..0, 1 tenants, 1 ledgers, 0 conflicts\nleft out 8: 8 and 0\n"
		  "lineage 1.00: 0\nlineage 1.00: 2\nlineage 1.00: 4\n0 findings\n");
	together_free(t);
}

/* What was of one lineage stays so when what tied it is gone, until a person parts it. */
static void a_lineage_only_grows(void **state)
{
	uint8_t before = 3;
	struct together_words words = { .ctx = &before, .before = said_before };
	struct together *t = renamed(4, SMALL);
	char got[TEXT] = "";

	make(4, "acme", PHASE_IS_TRAINING);
	p.from_ns = START + 2 * HOUR;
	p.to_ns = p.from_ns + HOUR;
	p.at_ns += HOUR;
	multiplies(LARGE);
	put(t);
	print_lineages(t, NULL, got);
	assert_string_equal(got, "lineage 0.90: 0 2 3\nlineage 1.00: 1\n0 findings\n");
	*got = '\0';
	print_lineages(t, &words, got);
	assert_string_equal(got, "lineage 0.50: 0 1 2 3\n0 findings\n");
	snprintf(p.lineage, sizeof(p.lineage), "p-6a0001070000");
	p.at_ns += HOUR;
	put(t);
	*got = '\0';
	print_lineages(t, &words, got);
	assert_string_equal(got, "lineage 0.90: 0 2 3\nlineage 1.00: 1\n0 findings\n");
	/* What is said elsewhere than in the record holds before it. */
	words.declared = joined_by_a_person;
	*got = '\0';
	print_lineages(t, &words, got);
	assert_string_equal(got, "lineage 1.00: 0 1 2 3\n0 findings\n");
	together_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_answers_serves_who_learns),
		cmocka_unit_test(a_decoy_that_learns_frees_nobody),
		cmocka_unit_test(doubt_about_a_learner_widens_who_answers),
		cmocka_unit_test(the_last_record_tells_since_when),
		cmocka_unit_test(nobody_is_doubted_before_he_can_be_told),
		cmocka_unit_test(a_copied_communicator_joins_nobody),
		cmocka_unit_test(a_place_that_is_free_joins_over_tenants_when_all_are_there),
		cmocka_unit_test(no_rank_in_a_complete_communicator_joins_nobody),
		cmocka_unit_test(nobody_is_no_tenant),
		cmocka_unit_test(a_copied_process_joins_nobody),
		cmocka_unit_test(two_claims_of_one_tenant_free_nobody),
		cmocka_unit_test(order_and_repetition_change_nothing),
		cmocka_unit_test(a_record_comes_back_whole),
		cmocka_unit_test(a_flood_pushes_out_its_own),
		cmocka_unit_test(what_is_old_or_gone_is_forgotten),
		cmocka_unit_test(a_renamed_model_is_one_lineage),
		cmocka_unit_test(a_lineage_only_grows),
		cmocka_unit_test(room_is_made_for_many_at_once),
		cmocka_unit_test(large_records_take_no_more_memory),
		cmocka_unit_test(a_decoy_pair_hides_no_job),
		cmocka_unit_test(what_is_left_out_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
