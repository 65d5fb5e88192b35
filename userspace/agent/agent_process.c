// SPDX-License-Identifier: Apache-2.0
/*
 * The record of one process (core/process_record.h): judged from its counts since the hour or it began and
 * from the windows of its order that the ledger keeps, put into the log, and looked up there again. The log's
 * name of it ends with the time, so that the last one of a process is found after a restart, too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../core/ledger_collectives.h"
#include "../core/ledger_order.h"
#include "../core/model.h"
#include "../core/process_record.h"
#include "../core/tally.h"
#include "agent_internal.h"

#define SAY_AGAIN_NS (6 * 3600000000000ULL) /* that it is there still, and does what it did */
#define NAME_STRLEN (16 + 2 * OM_ID_STRLEN + 24)

/* --- the windows that are kept --- */

struct windows {
	struct om_tally_window item[OM_TALLY_WINDOWS_MAX];
	struct om_tally_step *steps[OM_TALLY_WINDOWS_MAX]; /* of the items; owned */
	size_t count;
};

static void windows_done(struct windows *w)
{
	while (w->count)
		free(w->steps[--w->count]);
}

static int take_window(void *ctx, const struct om_order_window *w)
{
	struct windows *all = ctx;
	struct om_tally_step *copy;

	if (all->count == OM_TALLY_WINDOWS_MAX)
		return 0;
	copy = calloc(w->count, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, w->steps, w->count * sizeof(*copy));
	all->steps[all->count] = copy;
	all->item[all->count++] = (struct om_tally_window){ w->window, copy, w->count };
	return 0;
}

/* --- judging --- */

/* Nobody can say what products without a shape were for: they are in the upper bound. */
static void add_unshaped(struct phase_judgement *p, opcount unshaped)
{
	double shaped = opcount_to_double(p->executed), part;

	if (!unshaped)
		return;
	opcount_add_saturating(&p->executed, unshaped);
	opcount_add_saturating(&p->algorithmic, unshaped);
	part = shaped / opcount_to_double(p->executed);
	p->training_low *= part;
	p->training_high = p->training_high * part + (1 - part);
	p->recompute_low *= part;
	p->recompute_best *= part;
	p->recompute_high *= part;
}

static int judge_run(const struct run *r, opcount unshaped, struct process_record *ret)
{
	int rc = phase_judge(r, &ret->phase);

	rc = rc ?: model_judge(r, &ret->phase, NULL, &ret->model);
	if (rc)
		return rc;
	ret->has_model = ret->model.weights > 0;
	add_unshaped(&ret->phase, unshaped);
	return 0;
}

/* By the clock as it is now; 0: before 1970, by a clock that is off. */
static uint64_t began(const struct agent_process_of *of, uint64_t now_ns)
{
	uint64_t boot = agent_boot_ns(), age = boot > of->start_ns ? boot - of->start_ns : 0;

	return now_ns > age ? now_ns - age : 0;
}

int agent_process_judge(struct agent *a, const struct om_tally *t, const struct agent_process_of *of,
			uint64_t now_ns, struct process_record *ret)
{
	struct om_order_window key = {
		.job = of->job, .map = *probes_map_id(a->probes), .tgid = of->tgid, .start_ns = of->start_ns
	};
	_cleanup_(windows_done) struct windows w = { 0 };
	_cleanup_(run_done) struct run r = { 0 };
	opcount unshaped = 0;
	int rc = of->is_dear ? 0 : om_ledger_order_of(a->ledger, &key, take_window, &w);

	rc = rc ?: om_tally_process(t, &of->job, of->tgid, of->start_ns, w.item, w.count, &r, &unshaped);
	if (rc)
		return rc;
	if (!r.product_count && !unshaped)
		return 1;
	memset(ret, 0, sizeof(*ret));
	ret->ledger = *om_ledger_id(a->ledger);
	ret->job = of->job;
	ret->process = of->process;
	ret->to_ns = of->to_ns;
	ret->from_ns = of->from_ns < of->to_ns ? of->from_ns : of->to_ns;
	ret->at_ns = now_ns;
	ret->begun_ns = began(of, now_ns);
	if (ret->begun_ns > ret->from_ns)
		ret->begun_ns = ret->from_ns;
	ret->has_ended = of->has_ended;
	return judge_run(&r, unshaped, ret);
}

/* --- whose it is --- */

static void name(const struct agent *a, const struct process_record *p, enum om_assignment_kind kind,
		 const char *otherwise, char *ret, size_t size)
{
	const struct om_dated *d = om_totals_holds(a->totals, &p->ledger, &p->job, kind,
						   (uint32_t)(p->at_ns / 86400000000000ULL));

	snprintf(ret, size, "%s", d ? d->value : otherwise);
}

static int by_bytes(const void *x, const void *y)
{
	const struct job_group *a = x, *b = y;

	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? 1 : -1;
	return a->kind < b->kind ? -1 : a->kind > b->kind;
}

static void add_groups(const struct agent *a, const struct om_tally *t, const struct agent_process_of *of,
		       struct process_record *p)
{
	struct om_tally_collective all[256];
	size_t n = om_tally_collectives(t, &of->job, of->tgid, of->start_ns, all, ARRAY_SIZE(all));
	uint32_t ranks = n ? agent_joins_ranks(a, &of->process) : 0;
	struct job_group sum[RUN_COLLECTIVE_KINDS] = { 0 };

	for (size_t i = 0; i < n && ranks; i++) {
		sum[all[i].kind].ranks = ranks;
		sum[all[i].kind].kind = all[i].kind;
		opcount_add_saturating(&sum[all[i].kind].bytes, all[i].bytes);
	}
	p->groups = 0;
	for (size_t k = 0; k < ARRAY_SIZE(sum); k++)
		if (sum[k].ranks)
			p->group[p->groups++] = sum[k];
	qsort(p->group, p->groups, sizeof(p->group[0]), by_bytes);
}

void agent_process_name(struct agent *a, const struct om_tally *t, const struct agent_process_of *of,
			struct process_record *p)
{
	agent_joins_claims(a, p);
	name(a, p, OM_ASSIGN_TENANT, "unknown", p->tenant, sizeof(p->tenant));
	name(a, p, OM_ASSIGN_MODEL, "unassigned", p->model_name, sizeof(p->model_name));
	name(a, p, OM_ASSIGN_LINEAGE, "", p->lineage, sizeof(p->lineage));
	add_groups(a, t, of, p);
}

/* --- the log --- */

static void prefix_of(const struct om_id *process, const struct om_id *job, char buf[NAME_STRLEN])
{
	char p[OM_ID_STRLEN], j[OM_ID_STRLEN];

	snprintf(buf, NAME_STRLEN, "process-%s-%s-", om_id_format(process, p), om_id_format(job, j));
}

struct last {
	struct process_record *ret;
	bool is_there;
};

/* A payload that was destroyed, or is of a later version, tells nothing. */
static int take_last(void *ctx, const struct om_entry *e)
{
	struct last *l = ctx;
	int r = e->kind == OM_ENTRY_PROCESS && e->payload ? process_record_decode(e->payload, e->len, l->ret)
							  : -EBADMSG;

	l->is_there = r == 0;
	return r == -ENOMEM ? r : 0;
}

static int find_last(struct agent *a, const struct om_id *process, const struct om_id *job,
		     struct process_record *ret)
{
	struct last l = { ret, false };
	char prefix[NAME_STRLEN];
	int r;

	prefix_of(process, job, prefix);
	r = om_ledger_last_named(a->ledger, prefix, take_last, &l);
	return r ?: !l.is_there;
}

int agent_process_last(struct agent *a, const struct agent_process_of *of, struct process_record *ret)
{
	return find_last(a, &of->process, &of->job, ret);
}

int agent_process_say(struct agent *a, struct process_record *p, struct process_record *was,
		      struct agent_process_said *ret)
{
	_cleanup_free_ char *text = NULL;
	char unique[NAME_STRLEN];
	size_t len;
	int r = find_last(a, &p->process, &p->job, was);

	if (r < 0)
		return r;
	ret->is_kept = r == 0 && process_record_stands(was, p);
	if (ret->is_kept)
		process_record_keep(p, was);
	ret->is_same = r == 0 && !process_record_is_news(was, p);
	if (ret->is_same && p->at_ns < was->at_ns + SAY_AGAIN_NS)
		return 1;
	text = process_record_encode(p);
	if (!text)
		return -ENOMEM;
	prefix_of(&p->process, &p->job, unique);
	len = strlen(unique);
	snprintf(unique + len, sizeof(unique) - len, "%020llu", (unsigned long long)p->at_ns);
	r = om_ledger_append(a->ledger, OM_ENTRY_PROCESS, unique, text, strlen(text), p->at_ns, NULL);
	return r < 0 ? r : 0;
}
