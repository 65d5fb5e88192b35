// SPDX-License-Identifier: Apache-2.0
/* Process records, from whoever may write to the topic: refused, or everything in them lies in its range, they are written again so that
 * they are read as the same, and what several of them do together can be judged. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/process_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ranges(const struct process_record *p)
{
	const struct phase_judgement *j = &p->phase;

	if (p->from_ns > p->to_ns || p->to_ns > p->at_ns || p->claims > PROCESS_CLAIMS_MAX || p->groups > PROCESS_GROUPS_MAX)
		abort();
	if (!(j->training_low >= 0 && j->training_low <= j->training_high && j->training_high <= 1))
		abort();
	if (!(j->recompute_low >= 0 && j->recompute_low <= j->recompute_high && j->recompute_high <= 1) || j->algorithmic > j->executed)
		abort();
	for (size_t i = 0; i < p->model.weights; i++)
		if (!p->model.weight[i].small || !(p->model.weight[i].copies > 0))
			abort();
}

static void combine(const struct process_record *p)
{
	static struct job_rank rank[3];
	struct job_judgement j;

	for (size_t i = 0; i < 3; i++)
		rank[i] = (struct job_rank){ .phase = p->phase, .model = p->model, .groups = p->group, .group_count = p->groups,
					     .from_ns = p->from_ns, .to_ns = p->to_ns };
	/* One stage that tells no passes, and one whose passes are another's. */
	rank[1].model.has_passes = false;
	rank[2].model.vocabulary = 0;
	rank[2].model.passes *= 3.2;
	if (job_combine(rank, 3, 0, &j) || job_combine(rank, 3, 40, &j))
		abort();
	if (!(j.parameters.low <= j.parameters.high) || j.training_low > j.executed || j.training_high > j.executed)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct process_record p, q;
	char *text, *again;

	process_record_decode_event(data, size, &p);
	if (process_record_decode(data, size, &p))
		return 0;
	check_ranges(&p);
	combine(&p);
	text = process_record_encode(&p);
	if (!text || process_record_decode(text, strlen(text), &q))
		abort();
	again = process_record_encode(&q);
	if (!again || strcmp(text, again))
		abort();
	free(text);
	free(again);
	return 0;
}
