// SPDX-License-Identifier: Apache-2.0
/* `replay` of several files: each rank judged by itself, and what they do together. */
#include "replay_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "show_model.h"
#include "verbs.h"

struct ranks {
	struct run *run;
	struct job_rank *rank;
	size_t count;
};

static void ranks_done(struct ranks *r)
{
	for (size_t i = 0; r->run && i < r->count; i++)
		run_done(&r->run[i]);
	free(r->run);
	free(r->rank);
}

static json_t *degree(uint32_t v)
{
	return v ? json_integer(v) : json_null();
}

static json_t *ops_json(opcount low, opcount high)
{
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN];

	return json_pack("{s:s,s:s}", "low", opcount_format(low, a), "high", opcount_format(high, b));
}

json_t *show_job_json(const struct job_judgement *j)
{
	char executed[OPCOUNT_STRLEN];

	return json_pack("{s:s,s:s?,s:i,s:i,s:{s:i,s:i,s:i},s:s,s:o,s:{s:o,s:o,s:o,s:o},s:{s:f,s:f,s:f},s:s}",
			 "verdict", phase_verdict_name(j->verdict), "suspicion", j->suspicion, "ranks",
			 (int)j->ranks, "world", (int)j->world, "phases", "learning", (int)j->learning,
			 "inferring", (int)j->inferring, "unknown", (int)j->unknown, "executed",
			 opcount_format(j->executed, executed), "training",
			 ops_json(j->training_low, j->training_high), "parallel", "tensor", degree(j->tensor),
			 "pipeline", degree(j->pipeline), "expert", degree(j->expert), "data",
			 degree(j->data), "parameters", "low", j->parameters.low, "best", j->parameters.best,
			 "high", j->parameters.high, "evidence", j->evidence);
}

void show_job_print(const struct job_judgement *j)
{
	char executed[OPCOUNT_STRLEN], low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];

	printf("together    %s: %s operations, of which training %s..%s. %s\n",
	       phase_verdict_name(j->verdict), opcount_human(j->executed, executed),
	       opcount_human(j->training_low, low), opcount_human(j->training_high, high), j->evidence);
	if (j->parameters.best > 0)
		printf("            %.4g parameters in all (%.4g to %.4g)\n", j->parameters.best,
		       j->parameters.low, j->parameters.high);
	else if (j->parameters.high > 0)
		printf("            between %.4g and %.4g parameters in all\n", j->parameters.low,
		       j->parameters.high);
}

static int ranks_load(struct ranks *r, char **paths, size_t count)
{
	r->run = calloc(count, sizeof(*r->run));
	r->rank = calloc(count, sizeof(*r->rank));
	if (!r->run || !r->rank)
		return EXIT_FAILED;
	for (; r->count < count; r->count++) {
		struct error_text err = { 0 };
		int rc = run_load(paths[r->count], &r->run[r->count], &err);

		if (rc) {
			log_error("%s", err.text[0] ? err.text : strerror(-rc));
			return EXIT_USAGE;
		}
		r->rank[r->count].run = &r->run[r->count];
	}
	return EXIT_OK;
}

static void print_json(const struct ranks *r, const struct job_judgement *j)
{
	json_t *list = json_array(), *o;
	char *text;

	for (size_t i = 0; i < r->count; i++)
		json_array_append_new(list, json_pack("{s:s,s:o,s:o}", "name", r->run[i].name, "phase",
						      replay_phase_json(&r->rank[i].phase), "model",
						      show_model_json(&r->rank[i].model)));
	o = json_pack("{s:o,s:o}", "job", show_job_json(j), "ranks", list);
	text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
	puts(text ?: "");
	free(text);
	json_decref(o);
}

static void print_people(const struct ranks *r, const struct job_judgement *j)
{
	for (size_t i = 0; i < r->count; i++)
		printf("rank %-6zu %s: %s (confidence: %s), layers %u, %.4g parameters here\n", i,
		       r->run[i].name, phase_verdict_name(r->rank[i].phase.verdict),
		       r->rank[i].phase.confidence, r->rank[i].model.layers,
		       r->rank[i].model.parameters.best);
	show_job_print(j);
}

int replay_ranks(char **paths, size_t count, bool json, const char *architectures)
{
	_cleanup_(ranks_done) struct ranks r = { 0 };
	_cleanup_(architectures_freep) struct architectures *known = NULL;
	struct job_judgement j;
	int rc = ranks_load(&r, paths, count);

	if (rc)
		return rc;
	rc = show_model_load(architectures, &known);
	rc = rc ?: job_judge(r.rank, r.count, 0, known, &j);
	if (rc) {
		log_error("replay: cannot be judged: %s", strerror(-rc));
		return EXIT_FAILED;
	}
	if (json)
		print_json(&r, &j);
	else
		print_people(&r, &j);
	return EXIT_OK;
}
