// SPDX-License-Identifier: Apache-2.0
/* What each job adds to a subject. */
#include "totals_internal.h"

typedef int job_fn(void *ctx, const struct om_id *ledger, const struct om_id *job,
		   const struct om_subject_total *s);

static int each_of_cell(struct om_totals *t, uint32_t cell, job_fn *fn, void *ctx)
{
	const struct cell *c = cell_at(t, cell);
	bool is_lineage = c->group == OM_GROUP_LINEAGE;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->members.count; i++) {
		const struct job *j = job_at(t, c->members.item[i]);
		struct om_subject_total s = { .group = c->group,
					      .tenant = is_lineage ? c->b : c->a,
					      .model = is_lineage ? "" : c->b,
					      .lineage = is_lineage ? c->a : "" };
		struct sum sum = { 0 };

		r = sum_member(t, c->members.item[i], cell, &sum);
		if (r || sum.number[NUM_REGISTERS] == 0)
			continue;
		total_of_sum(&sum, &s);
		r = fn(ctx, &j->ledger, &j->id, &s);
	}
	return r;
}

int om_totals_each_job(struct om_totals *t, const struct om_subject_total *of, job_fn *fn, void *ctx)
{
	size_t at[2];
	int r = cells_of_subject(t, of, at);

	for (size_t i = at[0]; r == 0 && i < at[1]; i++)
		r = each_of_cell(t, t->order[i], fn, ctx);
	return r;
}
