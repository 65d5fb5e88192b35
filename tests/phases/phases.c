// SPDX-License-Identifier: Apache-2.0
/*
 * `make phases`: the verdict of each recorded run against what its recorder knows. Forged and disguised runs
 * (adv_) are a table of their own. Exits with 1 if a run that is neither forged nor listed as a known error is judged
 * wrong, or a listed one is judged right: the list in docs/phases.md is neither too short nor too long.
 *
 *     phases DIR... [-- NAME...]      NAMEs: the known errors
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/phase.h"

enum { TRUTHS = 5 };
static const char *const truths[TRUTHS] = { "training", "frozen", "inference", "mixed", "other" };

struct table {
	unsigned n[TRUTHS][PHASE_VERDICTS], runs, wrong, unknown;
	unsigned recompute_runs, recompute_off;
	double recompute_worst;
	char worst[128];
};

static struct table all[4]; /* recorded from autograd, real, forged, held out */
static char **known;
static int known_count, bad;

static int truth_of(const struct run *r)
{
	const char *phase = run_fact(r, "phase");

	for (int i = 0; phase && i < TRUTHS; i++)
		if (!strcmp(truths[i], phase))
			return i;
	return -1;
}

/* Unknown is never wrong; of what is neither training nor inference nothing else is right. */
static bool is_wrong(int truth, enum phase_verdict v)
{
	return v != PHASE_IS_UNKNOWN && (truth >= 3 || (int)v != truth + 1);
}

static void compare_recomputation(struct table *t, const struct run *r, const struct phase_judgement *p)
{
	const char *again = run_fact(r, "recompute_ops"), *executed = run_fact(r, "executed_ops");
	double off;

	if (!again || !executed || p->verdict != PHASE_IS_TRAINING)
		return;
	off = fabs(p->recompute_best - atof(again) / atof(executed));
	t->recompute_runs++;
	t->recompute_off += off > 0.02;
	if (off > 0.02 && getenv("PHASES_DETAIL"))
		printf("recompute off: %s said %.4f truth %.4f\n", r->name, p->recompute_best, atof(again) / atof(executed));
	if (off > t->recompute_worst) {
		t->recompute_worst = off;
		snprintf(t->worst, sizeof(t->worst), "%s", r->name);
	}
}

static void judge(const char *path, bool is_real)
{
	struct phase_judgement p;
	struct error_text err = { 0 };
	struct run r;
	struct table *t;
	bool is_known = false, wrong;
	int truth;

	if (run_load(path, &r, &err) || phase_judge(&r, &p)) {
		fprintf(stderr, "phases: %s: %s\n", path, err.text);
		exit(2);
	}
	truth = truth_of(&r);
	if (truth < 0) {
		fprintf(stderr, "phases: %s: says no phase\n", path);
		exit(2);
	}
	t = &all[!strncmp(r.name, "adv_", 4) ? 2 : !strncmp(r.name, "held_", 5) ? 3 : is_real];
	wrong = is_wrong(truth, p.verdict);
	t->n[truth][p.verdict]++;
	t->runs++;
	t->wrong += wrong;
	t->unknown += p.verdict == PHASE_IS_UNKNOWN && truth < 3;
	compare_recomputation(t, &r, &p);
	for (int i = 0; i < known_count; i++)
		is_known |= !strcmp(known[i], r.name);
	/* What is held out is measured, not fitted: a wrong verdict there is shown, and fails nothing. */
	if (t != &all[2] && t != &all[3] && wrong != is_known) {
		printf("%s: %s, and the truth is %s\n", r.name, phase_verdict_name(p.verdict), truths[truth]);
		bad++;
	}
	if (getenv("PHASES_DETAIL"))
		printf("%s\t%s\t%s\t%s\n", r.name, truths[truth], phase_verdict_name(p.verdict), p.evidence);
	run_done(&r);
}

static void print(const char *title, const struct table *t)
{
	printf("%s: %u runs, %u judged wrong, %u unknown (%.1f %%)\n\n| truth |", title, t->runs, t->wrong, t->unknown,
	       t->runs ? 100.0 * t->unknown / t->runs : 0);
	for (int v = 0; v < PHASE_VERDICTS; v++)
		printf(" %s |", phase_verdict_name((enum phase_verdict)v));
	printf("\n|---|---|---|---|---|---|\n");
	for (int i = 0; i < TRUTHS; i++) {
		unsigned sum = 0;

		for (int v = 0; v < PHASE_VERDICTS; v++)
			sum += t->n[i][v];
		if (!sum)
			continue;
		printf("| %s |", truths[i]);
		for (int v = 0; v < PHASE_VERDICTS; v++)
			printf(" %u |", t->n[i][v]);
		printf("\n");
	}
	if (t->recompute_runs)
		printf("\nRecomputed share: within 0.02 in %u of %u runs judged training; the worst is off by %.3f (%s).\n",
		       t->recompute_runs - t->recompute_off, t->recompute_runs, t->recompute_worst, t->worst);
	printf("\n");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_run(const struct dirent *e)
{
	return strstr(e->d_name, ".run.gz") != NULL;
}

int main(int argc, char **argv)
{
	int dirs = 1;

	while (dirs < argc && strcmp(argv[dirs], "--"))
		dirs++;
	known = argv + dirs + (dirs < argc);
	known_count = argc - dirs - (dirs < argc);
	for (int d = 1; d < dirs; d++) {
		struct dirent **files;
		int n = scandir(argv[d], &files, is_run, by_name);

		if (n < 1) {
			fprintf(stderr, "phases: %s: no runs\n", argv[d]);
			return 2;
		}
		for (int i = 0; i < n; i++) {
			char path[1024];

			snprintf(path, sizeof(path), "%s/%s", argv[d], files[i]->d_name);
			judge(path, strstr(argv[d], "data/runs") != NULL);
			free(files[i]);
		}
		free(files);
	}
	print("Recorded from autograd", &all[0]);
	if (all[3].runs)
		print("Held out", &all[3]);
	print("Real traces", &all[1]);
	print("Forged or disguised", &all[2]);
	return bad ? 1 : 0;
}
