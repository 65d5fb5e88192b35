// SPDX-License-Identifier: Apache-2.0
/* What jobs over nodes do, who serves whom, and what is odd about communicators. */
#include "together_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

/* --- what jobs do --- */

/* What a rank's judgement points to. */
struct side {
	char suspicion[256];
	struct job_group group[];
};

static int take_rank(struct together *t, const struct together_process *p, struct job_rank *ret)
{
	struct process_record *rec = t->scratch;
	struct side *s;

	together_record(t, p, rec);
	s = malloc(sizeof(*s) + rec->groups * sizeof(s->group[0]));
	if (!s)
		return -ENOMEM;
	memcpy(s->suspicion, rec->suspicion, sizeof(s->suspicion));
	memcpy(s->group, rec->group, rec->groups * sizeof(s->group[0]));
	*ret = (struct job_rank){ .groups = s->group,
				  .group_count = rec->groups,
				  .phase = rec->phase,
				  .model = rec->model,
				  .from_ns = rec->from_ns,
				  .to_ns = rec->to_ns };
	ret->phase.suspicion = s->suspicion[0] ? s->suspicion : NULL;
	return 0;
}

static void ranks_free(struct job_rank *ranks, size_t count)
{
	for (size_t i = 0; ranks && i < count; i++)
		if (ranks[i].groups)
			free((char *)ranks[i].groups - offsetof(struct side, group));
	free(ranks);
}

static void judge_too_many(const struct together_job *j, struct job_judgement *ret)
{
	*ret = (struct job_judgement){ .verdict = PHASE_IS_UNKNOWN, .ranks = (uint32_t)j->count };
	ret->world = ret->unknown = ret->ranks;
	for (size_t i = 0; i < j->count; i++)
		opcount_add_saturating(&ret->executed, j->process[i]->executed);
	ret->training_high = ret->executed;
	snprintf(ret->evidence, sizeof(ret->evidence),
		 "%zu processes are joined, more than the %u that are judged together: nothing is told of "
		 "them, and all of it is in the upper bound.",
		 j->count, TOGETHER_RANKS_MAX);
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

static int by_id(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct om_id));
}

static int count_whose(struct together_job *j)
{
	_cleanup_free_ const char **tenant = calloc(j->count + 1, sizeof(*tenant));
	_cleanup_free_ struct om_id *ledger = calloc(j->count + 1, sizeof(*ledger));

	if (!tenant || !ledger)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++) {
		tenant[i] = j->process[i]->tenant;
		ledger[i] = j->process[i]->ledger;
	}
	qsort(tenant, j->count, sizeof(*tenant), by_text);
	qsort(ledger, j->count, sizeof(*ledger), by_id);
	for (size_t i = 0; i < j->count; i++) {
		j->tenants += !i || strcmp(tenant[i], tenant[i - 1]) != 0;
		j->ledgers += !i || !om_id_equal(&ledger[i], &ledger[i - 1]);
	}
	return 0;
}

static int tell_job(struct together *t, size_t at, int (*fn)(void *ctx, const struct together_job *j),
		    void *ctx)
{
	const struct joined *from = &t->job[at];
	struct together_job j = { .name = from->name,
				  .process = &t->order[from->first],
				  .count = from->count,
				  .conflicts = from->conflicts };
	struct job_rank *ranks = NULL;
	int r = count_whose(&j);

	if (r == 0 && j.count > TOGETHER_RANKS_MAX) {
		judge_too_many(&j, &j.judgement);
		return fn(ctx, &j);
	}
	ranks = r ? NULL : calloc(j.count, sizeof(*ranks));
	r = ranks ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < j.count; i++)
		r = take_rank(t, j.process[i], &ranks[i]);
	r = r ?: job_combine(ranks, j.count, from->world, &j.judgement);
	r = r ?: fn(ctx, &j);
	ranks_free(ranks, j.count);
	return r;
}

int together_each_job(struct together *t, int (*fn)(void *ctx, const struct together_job *j), void *ctx)
{
	int r = together_make(t);

	for (size_t i = 0; r == 0 && i < t->jobs; i++)
		r = tell_job(t, i, fn, ctx);
	return r;
}

int together_each_size(struct together *t,
		       int (*fn)(void *ctx, const struct together_process *first, size_t processes,
				 size_t ledgers),
		       void *ctx)
{
	int r = together_make(t);

	for (size_t i = 0; r == 0 && i < t->jobs; i++) {
		struct together_job j = { .process = &t->order[t->job[i].first], .count = t->job[i].count };

		r = count_whose(&j);
		r = r ?: fn(ctx, j.process[0], j.count, j.ledgers);
	}
	return r;
}

int together_jobs_of(struct together *t, const struct om_id *ledger, const struct om_id *job,
		     int (*fn)(void *ctx, const struct together_job *j), void *ctx)
{
	int r = together_make(t);
	size_t told = SIZE_MAX;

	/* In the order of jobs, so one of several processes comes once. */
	for (size_t i = 0; r == 0 && i < t->count; i++) {
		const struct together_process *p = t->order[i];

		if (!om_id_equal(&p->job, job) || !om_id_equal(&p->ledger, ledger) ||
		    ((const struct held *)p)->job == told)
			continue;
		told = ((const struct held *)p)->job;
		r = tell_job(t, told, fn, ctx);
	}
	return r;
}

/* --- who serves --- */

static bool is_learner(const struct together_process *p)
{
	return job_learns(p->verdict);
}

static int by_instance(const void *x, const void *y)
{
	const struct together_process *a = *(struct together_process *const *)x,
				      *b = *(struct together_process *const *)y;
	int r = memcmp(&a->ledger, &b->ledger, sizeof(a->ledger));

	r = r ?: memcmp(&a->job, &b->job, sizeof(a->job));
	return r ?: memcmp(&a->process, &b->process, sizeof(a->process));
}

/* Who learns beside it in its job over nodes, or may do so as far as anybody can tell. NULL: nobody. */
static const struct together_process *served_by(const struct together *t, const struct together_process *p)
{
	const struct joined *j = &t->job[((const struct held *)p)->job];
	const struct together_process *other = j->learner ?: j->doubtful;

	return p->verdict == PHASE_IS_INFERENCE && other != p ? other : NULL;
}

/* What one job instance's processes are: count of them from `p` on. The one that serves; NULL: none does.
 * One that learns beside it takes nothing from that: it would be a way out for the rest. */
static const struct together_process *serving_of(const struct together *t,
						 const struct together_process *const *p, size_t count,
						 struct together_serving *ret)
{
	const struct together_process *serves = NULL;

	*ret = (struct together_serving){ p[0]->ledger, p[0]->job, .from_ns = UINT64_MAX };
	for (size_t i = 0; i < count; i++) {
		const struct together_process *with = served_by(t, p[i]);

		ret->from_ns = p[i]->from_ns < ret->from_ns ? p[i]->from_ns : ret->from_ns;
		ret->to_ns = p[i]->to_ns > ret->to_ns ? p[i]->to_ns : ret->to_ns;
		/* Rather one who is with a learner than with one that is in doubt. */
		if (!with || (serves && (is_learner(served_by(t, serves)) || !is_learner(with))))
			continue;
		serves = p[i];
		ret->tenant = p[i]->tenant;
		ret->learner = with->tenant;
		ret->joined = t->job[((const struct held *)p[i])->job].name;
	}
	return serves;
}

static void say_serving(const struct together *t, const struct together_process *p,
			struct together_serving *s)
{
	const struct together_process *with = served_by(t, p);
	char name[OM_ID_STRLEN], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];
	bool learns = is_learner(with);

	snprintf(s->evidence, sizeof(s->evidence),
		 "Processes of it only infer. Communicators join them with others that %s, %zu processes in "
		 "all, as job %s; one that %s is of job instance %s of ledger %s, tenant %.80s. What it "
		 "computes may be for the learning.",
		 learns ? "learn" : "compute what is not told and may be learning",
		 t->job[((const struct held *)p)->job].count, om_id_format(&s->joined, name),
		 learns ? "learns" : "may", om_id_format(&with->job, job),
		 om_id_format(&with->ledger, ledger), with->tenant[0] ? with->tenant : "unknown");
}

int together_each_serving(struct together *t, int (*fn)(void *ctx, const struct together_serving *s),
			  void *ctx)
{
	_cleanup_free_ const struct together_process **p = NULL;
	const struct together_process *serves;
	struct together_serving s;
	int r = together_make(t);

	if (r)
		return r;
	p = calloc(t->count + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	memcpy(p, t->order, t->count * sizeof(*p));
	qsort(p, t->count, sizeof(*p), by_instance);
	for (size_t i = 0, end; r == 0 && i < t->count; i = end) {
		for (end = i + 1; end < t->count && om_id_equal(&p[end]->job, &p[i]->job) &&
				  om_id_equal(&p[end]->ledger, &p[i]->ledger);)
			end++;
		serves = serving_of(t, &p[i], end - i, &s);
		if (!serves)
			continue;
		say_serving(t, serves, &s);
		r = fn(ctx, &s);
	}
	return r;
}

int together_each_oddity(struct together *t, int (*fn)(void *ctx, const struct together_oddity *o), void *ctx)
{
	int r = together_make(t);

	for (size_t i = 0; r == 0 && i < t->oddities; i++)
		r = fn(ctx, &t->oddity[i]);
	return r;
}

int together_each_disputed(struct together *t, int (*fn)(void *ctx, const struct together_process *p),
			   void *ctx)
{
	int r = together_make(t);

	for (size_t i = 0; r == 0 && i < t->count; i++)
		if (((const struct held *)t->order[i])->is_disputed)
			r = fn(ctx, t->order[i]);
	return r;
}
