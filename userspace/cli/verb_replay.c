// SPDX-License-Identifier: Apache-2.0
/* `replay`: the matrix products of a recorded run. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <jansson.h>

#include "../agent/agent_replay.h"
#include "../base/cleanup.h"
#include "../base/options.h"
#include "../core/format.h"
#include "../core/gemm_entries.h"
#include "../core/ledger.h"
#include "../core/phase.h"
#include "../core/run.h"
#include "replay_ranks.h"
#include "show_model.h"
#include "verbs.h"

#define TOP 12

static int compare_shapes(const void *x, const void *y)
{
	const struct run_product *a = *(const struct run_product *const *)x,
				 *b = *(const struct run_product *const *)y;
	const uint64_t ka[] = { a->batch, a->m, a->n, a->k }, kb[] = { b->batch, b->m, b->n, b->k };

	for (int i = 0; i < 4; i++)
		if (ka[i] != kb[i])
			return ka[i] < kb[i] ? -1 : 1;
	return 0;
}

/* Sorted by shape; products that differ only in format or operator are one line. */
static json_t *shapes_json(const struct run *run)
{
	_cleanup_free_ const struct run_product **list = calloc(run->product_count + 1, sizeof(*list));
	json_t *shapes = json_array();

	for (size_t i = 0; list && i < run->product_count; i++)
		list[i] = &run->products[i];
	if (list)
		qsort(list, run->product_count, sizeof(*list), compare_shapes);
	for (size_t i = 0; list && i < run->product_count;) {
		const struct run_product *p = list[i];
		uint64_t calls = 0;

		for (; i < run->product_count && !compare_shapes(&p, &list[i]); i++)
			calls += list[i]->calls;
		json_array_append_new(shapes,
				      json_pack("[I,I,I,I,I]", (json_int_t)p->batch, (json_int_t)p->m,
						(json_int_t)p->n, (json_int_t)p->k, (json_int_t)calls));
	}
	return shapes;
}

json_t *replay_phase_json(const struct phase_judgement *p)
{
	return json_pack("{s:s,s:s,s:s,s:s?,s:{s:f,s:f}}", "verdict", phase_verdict_name(p->verdict),
			 "confidence", p->confidence, "evidence", p->evidence, "suspicion", p->suspicion,
			 "training_share", "low", p->training_low, "high", p->training_high);
}

static void print_json(const struct run *run, opcount ops, const struct phase_judgement *p,
		       const struct model_fingerprint *f)
{
	char text[OPCOUNT_STRLEN], algorithmic[OPCOUNT_STRLEN], executed[OPCOUNT_STRLEN], *line;
	json_t *o =
		json_pack("{s:{s:s,s:I,s:o},s:o,s:f,s:{s:f,s:f},s:s,s:s,s:o}", "gemm", "ops",
			  opcount_format(ops, text), "calls", (json_int_t)run_calls(run), "shapes",
			  shapes_json(run), "phase", replay_phase_json(p), "recompute_fraction",
			  p->recompute_best, "recompute_bounds", "low", p->recompute_low, "high",
			  p->recompute_high, "algorithmic_ops", opcount_format(p->algorithmic, algorithmic),
			  "executed_ops", opcount_format(p->executed, executed), "model", show_model_json(f));

	line = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
	puts(line);
	free(line);
	json_decref(o);
}

static opcount ops_of(const struct run_product *p)
{
	return om_gemm_ops((opcount)p->batch * p->m * p->n * p->k * p->calls, run_format(p));
}

static int by_ops(const void *x, const void *y)
{
	opcount a = ops_of(*(const struct run_product *const *)x),
		b = ops_of(*(const struct run_product *const *)y);

	return a < b ? 1 : a > b ? -1 : 0;
}

static void print_phase(const struct phase_judgement *p)
{
	printf("phase       %s (confidence: %s). %s\n", phase_verdict_name(p->verdict), p->confidence,
	       p->evidence);
	if (p->verdict == PHASE_IS_TRAINING)
		printf("recomputed  %.2f %% of the operations (between %.2f and %.2f)\n",
		       100 * p->recompute_best, 100 * p->recompute_low, 100 * p->recompute_high);
}

static void print_people(const struct run *run, opcount ops, const struct phase_judgement *p,
			 const struct model_fingerprint *f)
{
	_cleanup_free_ const struct run_product **list = calloc(run->product_count + 1, sizeof(*list));
	char text[OPCOUNT_STRLEN], human[OPCOUNT_STRLEN];

	printf("run         %s%s%s%s%s\n", run->name, run->gpu[0] ? ", " : "", run->gpu,
	       run->source[0] ? "\nfrom        " : "", run->source);
	printf("products    %s operations (%s) in %" PRIu64 " calls of %zu shapes\n",
	       opcount_format(ops, text), opcount_human(ops, human), run_calls(run), run->product_count);
	if (run->left.kernels)
		printf("left out    %" PRIu64 " operators of other kinds (convolution, attention), %" PRIu64
		       " products without shapes, %" PRIu64 " of %" PRIu64
		       " kernels with no recorded launch, %" PRIu64 " of %" PRIu64
		       " graph replays whose capture is not settled\n",
		       run->left.other_ops, run->left.no_shapes, run->left.kernels - run->left.linked,
		       run->left.kernels, run->left.graph_launches - run->left.graph_aligned,
		       run->left.graph_launches);
	print_phase(p);
	show_model_print(f);
	for (size_t i = 0; list && i < run->product_count; i++)
		list[i] = &run->products[i];
	if (list)
		qsort(list, run->product_count, sizeof(*list), by_ops);
	printf("\n%-12s %-8s %6s %8s %8s %8s %10s %10s\n", "OPERATOR", "FORMAT", "BATCH", "M", "N", "K",
	       "CALLS", "OPERATIONS");
	for (size_t i = 0; list && i < run->product_count && i < TOP; i++)
		printf("%-12s %-8s %6" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %10" PRIu64 " %10s\n",
		       list[i]->op, om_format_name(run_format(list[i])), list[i]->batch, list[i]->m,
		       list[i]->n, list[i]->k, list[i]->calls, opcount_human(ops_of(list[i]), human));
	if (run->product_count > TOP)
		printf("... and %zu more shapes\n", run->product_count - TOP);
}

static int write_compact(const struct run *run, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	if (!f || run_write_compact(run, f)) {
		log_error("%s: cannot be written: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int show(const struct run *run, opcount ops, bool json, const char *architectures)
{
	_cleanup_(architectures_freep) struct architectures *known = NULL;
	_cleanup_free_ struct model_fingerprint *model = calloc(1, sizeof(*model));
	struct phase_judgement phase;
	int r = model ? show_model_load(architectures, &known) : -ENOMEM;

	r = r ?: phase_judge(run, &phase);
	r = r ?: model_judge(run, &phase, known, model);
	if (r)
		return r;
	if (json)
		print_json(run, ops, &phase, model);
	else
		print_people(run, ops, &phase, model);
	return 0;
}

static int load(const char *path, struct run *run, opcount *ret_ops)
{
	struct error_text err = { 0 };
	int r = run_load(path, run, &err);

	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r;
	}
	r = run_ops(run, ret_ops);
	if (r)
		log_error("%s: its operations pass 2^128", path);
	return r;
}

int verb_replay(int argc, char **argv)
{
	struct agent_config ledger = { .standalone = true };
	const char *compact = NULL, *cgroup = "/replayed", *architectures = NULL;
	uint64_t repeat = 1;
	bool json = false;
	const struct option options[] = {
		{ "json", NULL, OPTION_FLAG, &json,
		  "one object: gemm {ops, calls, shapes [[batch,m,n,k,calls],...]}, phase, "
		  "recompute_fraction, model, ..." },
		{ "architectures", "FILE", OPTION_STRING, &architectures,
		  "known models (" OPMETER_DATADIR "/architectures.csv)" },
		{ "compact", "OUT", OPTION_STRING, &compact,
		  "also write the run in compact form (docs/formats.md)" },
		{ "ledger", "DIR", OPTION_STRING, &ledger.dir,
		  "put the operations into this ledger, through attribution and policy as live ones (none)" },
		{ "cgroup", "PATH", OPTION_STRING, &cgroup,
		  "with --ledger: the job's cgroup path (/replayed)" },
		{ "repeat", "N", OPTION_UINT, &repeat, "with --ledger: so many times over (1)" },
		{ "tenants", "FILE", OPTION_STRING, &ledger.tenants_path,
		  "with --ledger: map of cgroups to tenants (none)" },
		{ "regimes", "DIR", OPTION_STRING, &ledger.regimes_dir,
		  "with --ledger: regimes to judge by (none)" },
		{ "owners", "FILE", OPTION_STRING, &ledger.owners_path,
		  "with --ledger: legal entities (none)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "replay",
		.operands = "FILE...",
		.summary = "Counts the matrix products of a recorded run: a Kineto trace with input shapes "
			   "(plain or gzip), or our\n"
			   "compact form. Counted are the innermost operators mm, addmm, bmm, baddbmm and "
			   "_scaled_mm that reached\n"
			   "the GPU, each once; what is left out is said. What they were for (phase) and "
			   "of which model is judged\nby shapes, order and threads alone. Several FILEs are "
			   "the ranks of one job, judged each and "
			   "together.",
		.options = options,
	};
	_cleanup_(run_done) struct run run = { 0 };
	opcount ops;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 < argc && !ledger.dir && !compact)
		return replay_ranks(argv + at, (size_t)(argc - at), json, architectures);
	if (at + 1 != argc) {
		log_error("replay: name one FILE, or several without --ledger and --compact; see --help");
		return EXIT_USAGE;
	}
	if (load(argv[at], &run, &ops))
		return EXIT_USAGE;
	ledger.json = json;
	if (ledger.dir)
		return agent_replay(&ledger, &run, cgroup, repeat);
	r = show(&run, ops, json, architectures);
	if (r) {
		log_error("%s: cannot be judged: %s", argv[at], strerror(-r));
		return EXIT_FAILED;
	}
	return compact ? write_compact(&run, compact) : EXIT_OK;
}
