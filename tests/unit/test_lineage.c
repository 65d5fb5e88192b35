// SPDX-License-Identifier: Apache-2.0
/* Lineages: what joins runs, what never does, and that the order in which runs are known plays no part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/lineage.h"

#define RUNS 40

static struct model_fingerprint small, large, open_one;

static void model_of(struct model_fingerprint *f, const char *text)
{
	assert_int_equal(model_parse(text, f), 0);
}

static int make_models(void **state)
{
	model_of(&small, "opmeter-model 1 layers=12 vocabulary=50257 768x3072:24 768x50257:1 768x2304:12 768x768:12");
	model_of(&large, "opmeter-model 1 layers=24 vocabulary=50257 1024x4096:48 1024x50257:1 1024x3072:24 1024x1024:24");
	open_one = large;
	open_one.matches = 1;
	open_one.match[0] = (struct model_match){ .name = "known", .score = 0.95 };
	return 0;
}

static struct lineage_run run(uint8_t n, const char *tenant, uint64_t from, uint64_t to, const struct model_fingerprint *f)
{
	return (struct lineage_run){ .job = { { n } }, .tenant = tenant, .from_ns = from, .to_ns = to, .model = f };
}

/* "name:members,by,job,number;..." in the order of names. */
static int by_text(const void *x, const void *y)
{
	return strcmp(x, y);
}

static void print(const struct lineage_run *runs, const struct lineages *l, char *ret, size_t size)
{
	char line[RUNS][256];

	for (size_t i = 0; i < l->groups; i++) {
		const struct lineage_group *g = &l->group[i];
		int n = snprintf(line[i], sizeof(line[i]), "%s %.3f:", g->name, g->confidence);

		for (size_t k = 0; k < g->count; k++)
			n += snprintf(line[i] + n, sizeof(line[i]) - (size_t)n, " %u", runs[g->member[k]].job.byte[0]);
	}
	qsort(line, l->groups, sizeof(line[0]), by_text);
	*ret = '\0';
	for (size_t i = 0; i < l->groups; i++)
		snprintf(ret + strlen(ret), size - strlen(ret), "%s\n", line[i]);
	snprintf(ret + strlen(ret), size - strlen(ret), "%zu findings\n", l->findings);
}

static void expect(const struct lineage_run *runs, size_t n, const char *want)
{
	struct lineages *l = NULL;
	char got[8192];

	assert_int_equal(lineages_make(runs, n, &l), 0);
	print(runs, l, got, sizeof(got));
	assert_string_equal(got, want);
	lineages_free(l);
}

static void restarts_of_one_tenant_are_one(void **state)
{
	const struct lineage_run runs[] = { run(1, "acme", 10, 20, &small), run(2, "acme", 20, 30, &small), run(3, "acme", 40, 50, &large) };

	expect(runs, 3, "l-010000000000 0.900: 1 2\nl-030000000000 1.000: 3\n0 findings\n");
}

static void two_tenants_are_never_joined_by_likeness(void **state)
{
	const struct lineage_run runs[] = { run(1, "acme", 10, 20, &small), run(2, "zeta", 20, 30, &small) };

	expect(runs, 2, "l-010000000000 1.000: 1\nl-020000000000 1.000: 2\n1 findings\n");
}

/* Two at once of an open architecture are experiments beside each other; one after the other may be a restart. */
static void an_open_architecture_says_less(void **state)
{
	const struct lineage_run after[] = { run(1, "acme", 10, 20, &open_one), run(2, "acme", 20, 30, &open_one) };
	const struct lineage_run beside[] = { run(1, "acme", 10, 20, &open_one), run(2, "acme", 15, 30, &open_one) };

	expect(after, 2, "l-010000000000 0.600: 1 2\n0 findings\n");
	expect(beside, 2, "l-010000000000 1.000: 1\nl-020000000000 1.000: 2\n0 findings\n");
}

static void communicators_join_accounts(void **state)
{
	struct lineage_run runs[] = { run(1, "acme", 10, 20, NULL), run(2, "zeta", 10, 20, NULL), run(3, "zeta", 10, 20, NULL) };

	runs[0].is_united = runs[1].is_united = true;
	runs[0].united = runs[1].united = (struct om_id){ { 9 } };
	expect(runs, 3, "l-010000000000 0.990: 1 2\nl-030000000000 1.000: 3\n0 findings\n");
}

static void a_persons_word_beats_the_rule(void **state)
{
	struct lineage_run runs[] = { run(1, "acme", 10, 20, &small), run(2, "acme", 20, 30, &small), run(3, "zeta", 40, 50, &large) };

	/* A name for one of them is a name for the lineage. */
	runs[1].declared = "chat";
	expect(runs, 3, "chat 0.900: 1 2\nl-030000000000 1.000: 3\n0 findings\n");
	runs[1].is_parted = true;
	expect(runs, 3, "chat 1.000: 2\nl-010000000000 1.000: 1\nl-030000000000 1.000: 3\n0 findings\n");
}

static void parted_and_joined(void **state)
{
	struct lineage_run runs[] = { run(1, "acme", 10, 20, &small), run(2, "acme", 20, 30, &small), run(3, "zeta", 40, 50, &large) };

	/* Parted: each has a name of its own. */
	runs[0].declared = "one";
	runs[1].declared = "two";
	expect(runs, 3, "l-030000000000 1.000: 3\none 1.000: 1\ntwo 1.000: 2\n0 findings\n");
	/* Joined over tenants and models. */
	runs[1].declared = runs[2].declared = "one";
	expect(runs, 3, "one 1.000: 1 2 3\n0 findings\n");
}

/* --- every pair held against every other: what a few must come to, too --- */

struct pair {
	double confidence;
	unsigned a, b;
};

static int by_confidence(const void *x, const void *y)
{
	const struct pair *p = x, *q = y;

	return (p->confidence < q->confidence) - (p->confidence > q->confidence);
}

static void print_all_pairs(const struct lineage_run *runs, char ret[RUNS * 257])
{
	static struct pair pair[RUNS * RUNS];
	static char line[RUNS][256];
	double weakest[RUNS];
	unsigned set[RUNS], lines = 0, pairs = 0;

	for (unsigned i = 0; i < RUNS; i++) {
		set[i] = i;
		weakest[i] = 1;
		for (unsigned k = 0; k < i; k++) {
			const char *why;

			pair[pairs] = (struct pair){ lineage_tie(&runs[i], &runs[k], &why), i, k };
			pairs += pair[pairs].confidence >= LINEAGE_JOINS;
		}
	}
	qsort(pair, pairs, sizeof(*pair), by_confidence);
	for (unsigned i = 0; i < pairs; i++) {
		unsigned a = set[pair[i].a], b = set[pair[i].b], low = a < b ? a : b, high = a < b ? b : a;

		if (a == b)
			continue;
		weakest[low] = weakest[low] < weakest[high] ? weakest[low] : weakest[high];
		weakest[low] = pair[i].confidence < weakest[low] ? pair[i].confidence : weakest[low];
		for (unsigned k = 0; k < RUNS; k++)
			set[k] = set[k] == high ? low : set[k];
	}
	for (unsigned i = 0; i < RUNS; i++) {
		int n;

		if (set[i] != i)
			continue;
		n = snprintf(line[lines], sizeof(line[0]), "%.3f:", weakest[i]);
		for (unsigned k = 0; k < RUNS; k++)
			if (set[k] == i)
				n += snprintf(line[lines] + n, sizeof(line[0]) - (size_t)n, " %u", runs[k].job.byte[0]);
		lines++;
	}
	qsort(line, lines, sizeof(line[0]), by_text);
	*ret = '\0';
	for (unsigned i = 0; i < lines; i++)
		sprintf(ret + strlen(ret), "%s\n", line[i]);
}

static int by_number(const void *x, const void *y)
{
	return *(const int *)x - *(const int *)y;
}

static void print_groups(const struct lineage_run *runs, const struct lineages *l, char ret[RUNS * 257])
{
	static char line[RUNS][256];

	for (size_t i = 0; i < l->groups; i++) {
		int n = snprintf(line[i], sizeof(line[0]), "%.3f:", l->group[i].confidence), member[RUNS];

		for (size_t k = 0; k < l->group[i].count; k++)
			member[k] = runs[l->group[i].member[k]].job.byte[0];
		qsort(member, l->group[i].count, sizeof(*member), by_number);
		for (size_t k = 0; k < l->group[i].count; k++)
			n += snprintf(line[i] + n, sizeof(line[0]) - (size_t)n, " %d", member[k]);
	}
	qsort(line, l->groups, sizeof(line[0]), by_text);
	*ret = '\0';
	for (size_t i = 0; i < l->groups; i++)
		sprintf(ret + strlen(ret), "%s\n", line[i]);
}

static void random_run(unsigned *seed, uint8_t n, struct lineage_run *ret)
{
	static const char *const tenants[] = { "acme", "zeta", "beta" }, *const before[] = { "l-1", "l-2" },
				 *const subjects[] = { "acme/a", "acme/b", "zeta/c" };
	static const struct lineage_parent parents[] = { { "acme/a", true }, { "acme/b", false }, { "zeta/c", true } };
	static const struct om_id also[] = { { { 1 } }, { { 2 } }, { { 3 } }, { { 4 } } };
	static struct model_fingerprint near, uncertain;
	const struct model_fingerprint *models[] = { &small, &large, &open_one, &near, &uncertain, NULL };
	uint64_t from = (uint64_t)rand_r(seed) % 1000;

	near = small;
	near.weight[3].copies = 11;
	near.parameters.best -= 768 * 768;
	uncertain = large;
	uncertain.has_passes = false;
	*ret = run(n, tenants[rand_r(seed) % 3], from, from + (uint64_t)rand_r(seed) % 400, models[rand_r(seed) % 6]);
	ret->is_united = rand_r(seed) % 8 == 0;
	ret->united = (struct om_id){ { (uint8_t)(rand_r(seed) % 4) } };
	/* Those of several jobs have greater ones besides. */
	ret->also = &also[ret->united.byte[0]];
	ret->also_count = (size_t)rand_r(seed) % (4 - ret->united.byte[0]);
	ret->before = rand_r(seed) % 6 ? NULL : before[rand_r(seed) % 2];
	ret->subject = rand_r(seed) % 4 ? NULL : subjects[rand_r(seed) % 3];
	ret->parent = &parents[rand_r(seed) % 3];
	ret->parents = rand_r(seed) % 8 == 0;
	ret->is_parted = rand_r(seed) % 10 == 0;
}

static void few_comparisons_come_to_what_all_do(void **state)
{
	struct lineage_run runs[RUNS];
	unsigned seed = 3;

	for (int world = 0; world < 500; world++) {
		static char want[RUNS * 257], got[RUNS * 257];
		struct lineages *l = NULL;

		for (uint8_t i = 0; i < RUNS; i++)
			random_run(&seed, (uint8_t)(i + 1), &runs[i]);
		assert_int_equal(lineages_make(runs, RUNS, &l), 0);
		print_all_pairs(runs, want);
		print_groups(runs, l, got);
		lineages_free(l);
		if (strcmp(want, got) != 0)
			fail_msg("world %d:\n%s\nnot\n%s", world, got, want);
	}
}

static void order_plays_no_part(void **state)
{
	static const char *const tenants[] = { "acme", "zeta", "beta" };
	static const char *const names[] = { "x", "y" };
	const struct model_fingerprint *models[] = { &small, &large, &open_one, NULL };
	struct lineage_run runs[RUNS];
	unsigned seed = 7;

	for (int world = 0; world < 300; world++) {
		char want[8192], got[8192];
		struct lineages *l = NULL;

		for (uint8_t i = 0; i < RUNS; i++) {
			uint64_t from = (uint64_t)rand_r(&seed) % 1000;

			runs[i] = run((uint8_t)(i + 1), tenants[rand_r(&seed) % 3], from, from + (uint64_t)rand_r(&seed) % 300,
				      models[rand_r(&seed) % 4]);
			runs[i].declared = rand_r(&seed) % 8 ? NULL : names[rand_r(&seed) % 2];
			runs[i].is_united = rand_r(&seed) % 6 == 0;
			runs[i].united = (struct om_id){ { (uint8_t)(rand_r(&seed) % 3) } };
		}
		for (int round = 0; round < 4; round++) {
			assert_int_equal(lineages_make(runs, RUNS, &l), 0);
			print(runs, l, round ? got : want, sizeof(got));
			lineages_free(l);
			if (round)
				assert_string_equal(want, got);
			for (size_t i = RUNS - 1; i > 0; i--) {
				size_t k = (size_t)rand_r(&seed) % (i + 1);
				struct lineage_run t = runs[i];

				runs[i] = runs[k];
				runs[k] = t;
			}
		}
	}
}

/* Two models of no likeness, the one trained on from the other as people declare: with evidence and without, over tenants; a
 * person's word that parts them holds. */
static void declared_checkpoints_join(void **state)
{
	static const struct lineage_parent proven[] = { { "acme/base", true } }, said[] = { { "else/where", true }, { "acme/base", false } };
	struct lineage_run runs[] = { run(1, "acme", 10, 20, &small), run(2, "zeta", 30, 40, &large), run(3, "acme", 50, 60, NULL) };

	runs[0].subject = "acme/base";
	runs[1].subject = "zeta/tuned";
	runs[1].parent = proven;
	runs[1].parents = 1;
	runs[2].subject = "acme/small";
	expect(runs, 3, "l-010000000000 0.950: 1 2\nl-030000000000 1.000: 3\n0 findings\n");
	runs[2].parent = said;
	runs[2].parents = 2;
	expect(runs, 3, "l-010000000000 0.700: 1 2 3\n0 findings\n");
	runs[1].is_parted = true;
	runs[1].declared = "p-02";
	expect(runs, 3, "l-010000000000 0.700: 1 3\np-02 1.000: 2\n0 findings\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restarts_of_one_tenant_are_one),
		cmocka_unit_test(two_tenants_are_never_joined_by_likeness),
		cmocka_unit_test(an_open_architecture_says_less),
		cmocka_unit_test(communicators_join_accounts),
		cmocka_unit_test(a_persons_word_beats_the_rule),
		cmocka_unit_test(parted_and_joined),
		cmocka_unit_test(declared_checkpoints_join),
		cmocka_unit_test(few_comparisons_come_to_what_all_do),
		cmocka_unit_test(order_plays_no_part),
	};

	return cmocka_run_group_tests(tests, make_models, NULL);
}
