// SPDX-License-Identifier: Apache-2.0
/*
 * What the fingerprint says of recorded runs, against what their recorder knows: for docs/model.md.
 *
 *     model [--live|--one-thread|--lies] DIR ...
 *
 * Live: as the kernel would tell of a long run of the same, counts by thread and a few windows of the order that begin and end
 * anywhere. One thread: runs of several threads, as if one had asked for everything (a captured CUDA graph), in the same order. Lies: the same with addresses of buffers that a tenant makes up, each lie in turn.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/cleanup.h"
#include "lies.h"
#include "userspace/core/model.h"

#define PARAMETERS_OFF 0.05
#define TOKENS_OFF 0.02
#define UNSEEN 0.01 /* of the parameters: all linear layers are seen */
#define LIVE_TIMES 64	  /* a live run is the recorded one so often */
#define LIVE_WINDOWS 4	  /* as many as are kept */
#define LIVE_STEPS 4096	  /* in each, as the kernel's map has them */

struct count {
	unsigned runs, right, bounded;
};

struct report {
	struct count parameters, seen, certain, tokens, hidden, layers, vocabulary;
	unsigned runs;
	bool in_detail, is_live, on_one_thread;
	const struct lie *lie; /* NULL: none */
	unsigned by_buffers;
	struct architectures *known;
};

static double fact(const struct run *r, const char *key)
{
	const char *text = run_fact(r, key);

	return text ? strtod(text, NULL) : 0;
}

static double off(double got, double want)
{
	return want > 0 ? fabs(got - want) / want : 0;
}

static bool is_bounded(const struct model_bounds *got, double want, double allowed)
{
	return got->low <= want * (1 + allowed) && got->high >= want * (1 - allowed);
}

static void compare(struct count *c, const struct model_bounds *got, double want, double allowed)
{
	if (want <= 0)
		return;
	c->runs++;
	c->right += off(got->best, want) <= allowed;
	c->bounded += off(got->best, want) <= allowed || is_bounded(got, want, allowed);
}

static void compare_exact(struct count *c, double got, double want)
{
	compare(c, &(struct model_bounds){ got, got, got }, want, 0);
}

/* Windows of the run over and over, each from another place on. */
static int add_windows(const struct run *r, struct run *to)
{
	uint64_t at = 0x9e3779b97f4a7c15ULL * (r->step_count + 1);
	int rc = 0;

	for (int w = 0; w < LIVE_WINDOWS && r->step_count; w++) {
		at = (at ^ at >> 29) * 0xbf58476d1ce4e5b9ULL;
		for (size_t i = 0; i < LIVE_STEPS && rc == 0; i++) {
			struct run_step s = r->steps[(at % r->step_count + i) % r->step_count];

			s.begins = i == 0;
			rc = run_add_step(to, &s);
		}
	}
	return rc;
}

static int make_live(struct run *r)
{
	struct run live = { .has_threads = true };
	int rc = 0;

	for (size_t i = 0; i < r->product_count && rc == 0; i++) {
		struct run_product p = r->products[i];

		p.calls *= LIVE_TIMES;
		rc = run_add_product(&live, &p);
		if (!r->step_count && rc == 0)
			live.products[i].calls_by_thread[0] = p.calls;
	}
	for (size_t i = 0; i < r->step_count && rc == 0; i++) {
		uint32_t t = r->steps[i].thread < RUN_THREADS_MAX ? r->steps[i].thread : RUN_THREADS_MAX - 1;

		live.products[r->steps[i].product].calls_by_thread[t] += (uint64_t)r->steps[i].repeat * LIVE_TIMES;
	}
	rc = rc ?: add_windows(r, &live);
	for (size_t i = 0; i < r->collective_count && rc == 0; i++) {
		struct run_collective c = r->collectives[i];

		c.calls *= LIVE_TIMES;
		rc = run_add_collective(&live, &c);
	}
	for (size_t i = 0; i < r->fact_count && rc == 0; i++)
		rc = run_add_fact(&live, &r->facts[i]);
	memcpy(live.name, r->name, sizeof(live.name));
	run_done(r);
	*r = live;
	return rc;
}

/* As if one thread had asked for everything. 1: it has. */
static int make_one_thread(struct run *r)
{
	bool had_one = true;

	for (size_t i = 0; i < r->step_count; i++) {
		had_one &= r->steps[i].thread == 0;
		r->steps[i].thread = 0;
	}
	return had_one;
}

static int lie_of(struct report *rep, struct run *r, size_t turn)
{
	return rep->lie && r->step_count ? rep->lie->tell(r, turn ? turn : 1) : 0;
}

static int judge(struct report *rep, const char *path)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct model_fingerprint f;
	struct phase_judgement p;
	struct error_text err = { "" };
	double n, d;
	int rc = run_load(path, &r, &err);
	size_t turn = r.step_count;

	if (rc == 0 && rep->on_one_thread && make_one_thread(&r))
		return 0;
	rc = rc ?: (rep->is_live ? make_live(&r) : 0);
	rc = rc ?: lie_of(rep, &r, turn);
	rc = rc ?: phase_judge(&r, &p);
	rc = rc ?: model_judge(&r, &p, rep->known, &f);
	if (rc) {
		fprintf(stderr, "%s: %s\n", path, err.text[0] ? err.text : strerror(-rc));
		return rc;
	}
	n = fact(&r, "parameters");
	d = fact(&r, "tokens") * (rep->is_live ? LIVE_TIMES : 1);
	rep->runs++;
	rep->by_buffers += f.by_buffers;
	compare(&rep->parameters, &f.parameters, n, PARAMETERS_OFF);
	if (run_fact(&r, "unseen_parameters") && fact(&r, "unseen_parameters") <= UNSEEN * n)
		compare(&rep->seen, &f.parameters, n, PARAMETERS_OFF);
	if (f.is_certain)
		compare(&rep->certain, &f.parameters, n, PARAMETERS_OFF);
	compare(&rep->tokens, &f.tokens, d, TOKENS_OFF);
	compare_exact(&rep->hidden, (double)f.hidden, fact(&r, "hidden"));
	compare_exact(&rep->layers, f.layers, fact(&r, "layers"));
	compare_exact(&rep->vocabulary, (double)f.vocabulary * (f.tensor_parallel ? f.tensor_parallel : 1), fact(&r, "vocabulary"));
	if (rep->in_detail)
		printf("%-36s %-10s N %.4g (%.4g..%.4g) want %.4g %s%s%s  D %.6g want %.6g %s  H %llu/%g L %u/%g V %llu/%g check %.3f %s %.2f\n", r.name,
		       phase_verdict_name(p.verdict), f.parameters.best, f.parameters.low, f.parameters.high, n,
		       off(f.parameters.best, n) > PARAMETERS_OFF ? "N!" : "", is_bounded(&f.parameters, n, PARAMETERS_OFF) ? "" : "B!", f.is_certain ? "" : "?", f.tokens.best,
		       d, off(f.tokens.best, d) > TOKENS_OFF ? "D!" : "", (unsigned long long)f.hidden, fact(&r, "hidden"), f.layers,
		       fact(&r, "layers"), (unsigned long long)f.vocabulary, fact(&r, "vocabulary"), f.check, f.matches ? f.match[0].name : "-",
		       f.matches ? f.match[0].score : 0);
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_run(const struct dirent *e)
{
	const char *dot = strstr(e->d_name, ".run.gz");

	/* Forged runs are made to mislead; what they mislead is reported with the phases. */
	return dot && !dot[7] && strncmp(e->d_name, "adv_", 4);
}

static int judge_all(struct report *rep, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_run, by_name), rc = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		rc = rc ?: judge(rep, path);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return rc;
}

static void print(const char *what, const struct count *c)
{
	printf("| %s | %u | %u | %.1f %% | %u |\n", what, c->runs, c->right, c->runs ? 100.0 * c->right / c->runs : 0, c->bounded);
}

static void print_all(const char *title, const struct report *rep)
{
	printf("%s: %u runs\n\n| figure | runs with truth | right | share | right or within the stated bounds |\n|---|---|---|---|---|\n", title,
	       rep->runs);
	print("parameters, within 5 %", &rep->parameters);
	print("the same, all linear layers seen", &rep->seen);
	print("the same, called certain", &rep->certain);
	print("tokens, within 2 %", &rep->tokens);
	print("hidden size", &rep->hidden);
	print("layers", &rep->layers);
	print("vocabulary", &rep->vocabulary);
	printf("\n");
}

/* One row for each lie: what is certain must be right. */
static int tell_lies(struct architectures *known, const char *dir)
{
	int rc = 0;

	printf("| lie | runs | told by buffers | within 5 %% | or within bounds | called certain | of which wrong |\n|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < lie_count && rc == 0; i++) {
		struct report rep = { .is_live = true, .lie = &lies[i], .in_detail = getenv("MODEL_DETAIL") != NULL, .known = known };

		rc = judge_all(&rep, dir);
		printf("| %s | %u | %u | %u | %u | %u | %u |\n", lies[i].what, rep.parameters.runs, rep.by_buffers, rep.parameters.right,
		       rep.parameters.bounded, rep.certain.runs, rep.certain.runs - rep.certain.right);
	}
	printf("\n");
	return rc;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 && !strncmp(argv[1], "--", 2) ? argv[1] : "";
	bool is_live = !strcmp(mode, "--live"), on_one_thread = !strcmp(mode, "--one-thread"), lies_told = !strcmp(mode, "--lies");
	struct architectures *known = NULL;
	struct error_text err = { "" };
	int rc = architectures_load("data/architectures.csv", &known, &err);

	if (rc) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (int i = 1 + (mode[0] != 0); i < argc && rc == 0; i++) {
		struct report rep = { .is_live = is_live, .on_one_thread = on_one_thread, .in_detail = getenv("MODEL_DETAIL") != NULL, .known = known };
		char title[64];

		if (lies_told) {
			rc = tell_lies(known, argv[i]);
			continue;
		}
		rc = judge_all(&rep, argv[i]);
		if (rc || !rep.runs)
			return 1;
		snprintf(title, sizeof(title), "%s%s", strstr(argv[i], "held") ? "Held out" : "Recorded from autograd",
			 is_live ? ", live" : on_one_thread ? ", of several threads, as one thread's" : "");
		print_all(title, &rep);
	}
	architectures_free(known);
	return rc ? 1 : 0;
}
