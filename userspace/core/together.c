// SPDX-License-Identifier: Apache-2.0
/*
 * Jobs over nodes. What communicators join is found twice: first as all claims have it; then communicators in
 * which two processes of several tenants claim one rank, or of several tenants of which not all ranks were
 * seen, are taken apart, so that each tenant's processes are joined by them to its own only. So a stranger
 * who copies an id neither joins another's processes to his own nor parts them from each other.
 */
#include "together_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

/* While it is made. */
struct making {
	struct together *t;
	struct held **sorted; /* by process, ledger, job */
	struct om_join_claim *claim;
	struct held **of; /* of each claim */
	size_t *by_set;	  /* claims by id, number of ranks, time */
	size_t claims;
	struct om_joining *joining;
	bool is_taken_apart;
};

static bool learns(const struct together_process *p)
{
	return p->verdict == PHASE_IS_TRAINING || p->verdict == PHASE_IS_FROZEN ||
	       p->verdict == PHASE_IS_MIXED;
}

void together_unmake(struct together *t)
{
	together_lineages_done(t);
	free(t->order);
	free(t->job);
	free(t->oddity);
	t->order = NULL;
	t->job = NULL;
	t->oddity = NULL;
	t->jobs = t->oddities = t->oddity_room = 0;
	t->is_made = false;
}

/* --- claims --- */

static int by_key(const void *x, const void *y)
{
	const struct together_process *a = *(struct together_process *const *)x,
				      *b = *(struct together_process *const *)y;

	return together_by_key(&a->ledger, &a->job, &a->process, b);
}

static int by_set(const void *x, const void *y, void *claims)
{
	const struct om_join_claim *all = claims, *a = &all[*(const size_t *)x],
				   *b = &all[*(const size_t *)y];
	int r = memcmp(&a->id, &b->id, sizeof(a->id));

	if (r || (r = (a->nranks > b->nranks) - (a->nranks < b->nranks)))
		return r;
	r = (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
	r = r ?: memcmp(&a->process, &b->process, sizeof(a->process));
	return r ?: (a->rank > b->rank) - (a->rank < b->rank);
}

/* One without an id for a process that has none, so that it is a job alone. */
static int gather(struct making *m)
{
	struct together *t = m->t;
	size_t room = 0;

	for (size_t i = 0; i < t->count; i++)
		room += t->all[i]->claims ?: 1;
	m->sorted = calloc(t->count + 1, sizeof(*m->sorted));
	m->claim = calloc(room + 1, sizeof(*m->claim));
	m->of = calloc(room + 1, sizeof(*m->of));
	m->by_set = calloc(room + 1, sizeof(*m->by_set));
	if (!m->sorted || !m->claim || !m->of || !m->by_set)
		return -ENOMEM;
	memcpy(m->sorted, t->all, t->count * sizeof(struct held *));
	qsort(m->sorted, t->count, sizeof(*m->sorted), by_key);
	for (size_t i = 0; i < t->count; i++) {
		struct held *h = m->sorted[i];
		size_t n = together_claims(t, h, &m->claim[m->claims]);

		h->is_disputed = false;
		if (!n)
			m->claim[m->claims + n++] = (struct om_join_claim){ .time_ns = 0 };
		for (; n; n--, m->claims++) {
			struct om_join_claim *c = &m->claim[m->claims];

			c->process = h->told.process;
			c->job = h->told.job;
			c->has_id &= c->nranks > 0 && c->rank >= OM_JOIN_NO_RANK && c->rank < c->nranks;
			m->of[m->claims] = h;
			m->by_set[m->claims] = m->claims;
		}
	}
	qsort_r(m->by_set, m->claims, sizeof(*m->by_set), by_set, m->claim);
	return 0;
}

/* The set's claims, as a range of by_set: those from *at on. */
static size_t claims_of(const struct making *m, const struct om_join_set *s, size_t *at)
{
	size_t first;

	for (first = *at; first < m->claims; first++) {
		const struct om_join_claim *c = &m->claim[m->by_set[first]];

		if (c->has_id && om_id_equal(&c->id, &s->id) && c->nranks == s->nranks &&
		    c->time_ns >= s->first_ns)
			break;
	}
	for (*at = first; *at < m->claims; (*at)++) {
		const struct om_join_claim *c = &m->claim[m->by_set[*at]];

		if (!c->has_id || !om_id_equal(&c->id, &s->id) || c->nranks != s->nranks ||
		    c->time_ns > s->last_ns)
			break;
	}
	return first;
}

static const struct together_process *process_in(const struct making *m, size_t from, size_t to,
						 const struct om_id *process)
{
	for (size_t i = from; i < to; i++)
		if (om_id_equal(&m->of[m->by_set[i]]->told.process, process))
			return &m->of[m->by_set[i]]->told;
	return &m->of[m->by_set[from]]->told;
}

static int add_oddity(struct together *t, const struct together_oddity *o)
{
	if (t->oddities == t->oddity_room) {
		size_t room = t->oddity_room ? 2 * t->oddity_room : 16;
		struct together_oddity *bigger = reallocarray(t->oddity, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->oddity = bigger;
		t->oddity_room = room;
	}
	t->oddity[t->oddities++] = *o;
	return 0;
}

/* Each tenant's part gets an id of its own. Ids are keyed hashes: none of them is another's by chance. */
static void take_apart(struct making *m, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct om_join_claim *c = &m->claim[m->by_set[i]];
		uint64_t hash = 0xcbf29ce484222325;

		for (const char *s = m->of[m->by_set[i]]->told.tenant; *s; s++)
			hash = (hash ^ (uint8_t)*s) * 0x100000001b3;
		for (size_t k = 0; k < sizeof(hash); k++)
			c->id.byte[k] ^= (uint8_t)(hash >> (8 * k));
	}
	m->is_taken_apart = true;
}

static int look_at_set(struct making *m, const struct om_join_set *s, size_t from, size_t to)
{
	const struct together_process *first = &m->of[m->by_set[from]]->told, *other = NULL;
	struct together_oddity o = { .id = s->id, .nranks = s->nranks, .time_ns = s->first_ns };
	bool has_all = s->verdict == OM_JOIN_COMPLETE;

	for (size_t i = from; i < to; i++) {
		const struct together_process *p = &m->of[m->by_set[i]]->told;

		/* Who lets others in claims no rank, so that a stranger could say it of any communicator. */
		has_all &= m->claim[m->by_set[i]].rank != OM_JOIN_NO_RANK;

		if (strcmp(p->tenant, first->tenant) != 0 && !other)
			other = p;
	}
	if (s->verdict != OM_JOIN_CONFLICT && (has_all || !other))
		return 0;
	o.kind = s->verdict == OM_JOIN_CONFLICT ? TOGETHER_CONFLICT : TOGETHER_PARTLY_SEEN;
	o.rank = s->verdict == OM_JOIN_CONFLICT ? s->claimed_rank : (int32_t)s->ranks_seen;
	o.a = s->verdict == OM_JOIN_CONFLICT ? process_in(m, from, to, &s->claimant[0]) : first;
	o.b = s->verdict == OM_JOIN_CONFLICT ? process_in(m, from, to, &s->claimant[1]) : other;
	o.is_over_tenants = other;
	if (o.is_over_tenants && o.kind == TOGETHER_CONFLICT)
		for (size_t i = from; i < to; i++)
			m->of[m->by_set[i]]->is_disputed = true;
	if (other)
		take_apart(m, from, to);
	return add_oddity(m->t, &o);
}

static int join(struct making *m)
{
	size_t at = 0;
	int r = om_joining_make(m->claim, m->claims, 0, &m->joining);

	for (size_t i = 0; r == 0 && i < m->joining->set_count; i++) {
		size_t from = claims_of(m, &m->joining->sets[i], &at);

		r = from < at ? look_at_set(m, &m->joining->sets[i], from, at) : 0;
	}
	if (r || !m->is_taken_apart)
		return r;
	m->joining = om_joining_free(m->joining);
	return om_joining_make(m->claim, m->claims, 0, &m->joining);
}

/* --- jobs --- */

static size_t first_of(const struct making *m, const struct om_id *process)
{
	size_t lo = 0, hi = m->t->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (memcmp(&m->sorted[mid]->told.process, process, sizeof(*process)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Members are sorted by process, and come more than once if their cgroup changed. */
static void place(struct making *m, size_t job, size_t *at)
{
	const struct om_join_job *from = &m->joining->jobs[job];
	struct together *t = m->t;
	struct joined *to = &t->job[job];

	*to = (struct joined){ .name = from->name, .first = *at };
	for (size_t i = 0; i < from->member_count; i++) {
		const struct om_id *process = &from->members[i].process;

		if (i && om_id_equal(process, &from->members[i - 1].process))
			continue;
		for (size_t k = first_of(m, process);
		     k < t->count && om_id_equal(&m->sorted[k]->told.process, process); k++) {
			m->sorted[k]->job = job;
			t->order[(*at)++] = &m->sorted[k]->told;
			if (!to->learner && learns(&m->sorted[k]->told))
				to->learner = &m->sorted[k]->told;
		}
	}
	to->count = *at - to->first;
}

/* A conflict is told of the jobs of both who claim a rank. */
static void count_sets(struct making *m)
{
	for (size_t i = 0; i < m->joining->set_count; i++) {
		const struct om_join_set *s = &m->joining->sets[i];
		struct joined *j = &m->t->job[s->job];

		if (s->verdict != OM_JOIN_CONFLICT && j->world < (uint32_t)s->nranks)
			j->world = (uint32_t)s->nranks;
	}
	for (size_t i = 0; i < m->t->oddities; i++) {
		const struct together_oddity *o = &m->t->oddity[i];
		const struct together_process *both[] = { o->a, o->b };

		for (size_t k = 0; k < ARRAY_SIZE(both) && o->kind == TOGETHER_CONFLICT; k++) {
			struct joined *j = &m->t->job[((const struct held *)both[k])->job];

			j->conflicts += j->seen != i + 1;
			j->seen = i + 1;
		}
	}
}

static void making_done(struct making *m)
{
	free(m->sorted);
	free(m->claim);
	free(m->of);
	free(m->by_set);
	om_joining_free(m->joining);
}

static int make(struct making *m)
{
	struct together *t = m->t;
	size_t at = 0;
	int r = gather(m);

	r = r ?: join(m);
	if (r)
		return r;
	t->order = calloc(t->count + 1, sizeof(struct together_process *));
	t->job = calloc(m->joining->job_count + 1, sizeof(*t->job));
	if (!t->order || !t->job)
		return -ENOMEM;
	t->jobs = m->joining->job_count;
	for (size_t i = 0; i < t->jobs; i++)
		place(m, i, &at);
	count_sets(m);
	return 0;
}

int together_make(struct together *t)
{
	_cleanup_(making_done) struct making m = { .t = t };
	int r;

	if (t->is_made)
		return 0;
	r = make(&m);
	t->is_made = r == 0;
	if (r)
		together_unmake(t);
	return r;
}

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

static int by_instance(const void *x, const void *y)
{
	const struct together_process *a = *(struct together_process *const *)x,
				      *b = *(struct together_process *const *)y;
	int r = memcmp(&a->ledger, &b->ledger, sizeof(a->ledger));

	r = r ?: memcmp(&a->job, &b->job, sizeof(a->job));
	return r ?: memcmp(&a->process, &b->process, sizeof(a->process));
}

/* What one job instance's processes are: count of them from `p` on. False: they serve nobody. */
static bool is_serving(const struct together *t, const struct together_process *const *p, size_t count,
		       struct together_serving *ret)
{
	const struct joined *with = NULL;

	*ret = (struct together_serving){ p[0]->ledger, p[0]->job, .from_ns = UINT64_MAX };
	for (size_t i = 0; i < count; i++) {
		const struct joined *j = &t->job[((const struct held *)p[i])->job];

		if (learns(p[i]))
			return false;
		ret->from_ns = p[i]->from_ns < ret->from_ns ? p[i]->from_ns : ret->from_ns;
		ret->to_ns = p[i]->to_ns > ret->to_ns ? p[i]->to_ns : ret->to_ns;
		if (p[i]->verdict == PHASE_IS_INFERENCE && j->learner && !with) {
			with = j;
			ret->tenant = p[i]->tenant;
		}
	}
	if (!with)
		return false;
	ret->joined = with->name;
	ret->learner = with->learner->tenant;
	return true;
}

static void say_serving(const struct together *t, const struct together_process *p,
			struct together_serving *s)
{
	const struct joined *j = &t->job[((const struct held *)p)->job];
	char name[OM_ID_STRLEN], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];

	snprintf(s->evidence, sizeof(s->evidence),
		 "Its processes only infer. Communicators join them with others that learn, %zu processes in "
		 "all, as job %s; one that learns is of job instance %s of ledger %s, tenant %.100s. What it "
		 "computes may be for the learning.",
		 j->count, om_id_format(&s->joined, name), om_id_format(&j->learner->job, job),
		 om_id_format(&j->learner->ledger, ledger),
		 j->learner->tenant[0] ? j->learner->tenant : "unknown");
}

int together_each_serving(struct together *t, int (*fn)(void *ctx, const struct together_serving *s),
			  void *ctx)
{
	_cleanup_free_ const struct together_process **p = NULL;
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
		if (!is_serving(t, &p[i], end - i, &s))
			continue;
		for (size_t k = i; k < end; k++)
			if (p[k]->verdict == PHASE_IS_INFERENCE &&
			    om_id_equal(&t->job[((const struct held *)p[k])->job].name, &s.joined)) {
				say_serving(t, p[k], &s);
				break;
			}
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
