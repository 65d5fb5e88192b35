// SPDX-License-Identifier: Apache-2.0
/*
 * What a node would say of processes that compute recorded runs.
 *
 *   judge_runs RUN ...
 *
 * Prints a process record (docs/formats.md, "Process") a line for each, with ids of zeros, times of zero and no tenant: the test
 * fills those in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/process_record.h"

static int judge(const char *path)
{
	static struct process_record p;
	struct run run = { 0 };
	struct error_text err = { 0 };
	char *text = NULL;
	int r = run_load(path, &run, &err);

	memset(&p, 0, sizeof(p));
	r = r ?: phase_judge(&run, &p.phase);
	r = r ?: model_judge(&run, &p.phase, NULL, &p.model);
	p.has_model = p.model.weights;
	snprintf(p.suspicion, sizeof(p.suspicion), "%s", p.phase.suspicion ?: "");
	snprintf(p.tenant, sizeof(p.tenant), "unknown");
	snprintf(p.model_name, sizeof(p.model_name), "unassigned");
	text = r ? NULL : process_record_encode(&p);
	if (text)
		printf("%s\n", text);
	else
		fprintf(stderr, "judge_runs: %s: %s\n", path, err.text);
	free(text);
	run_done(&run);
	return text ? 0 : 1;
}

int main(int argc, char **argv)
{
	int r = argc > 1 ? 0 : 2;

	for (int i = 1; i < argc && r == 0; i++)
		r = judge(argv[i]);
	return r;
}
