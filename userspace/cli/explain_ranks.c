// SPDX-License-Identifier: Apache-2.0
#include "explain_ranks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../agent/collective.h"
#include "../agent/drain.h"
#include "../base/cleanup.h"
#include "../core/ledger_collectives.h"
#include "../core/ledger_order.h"
#include "../core/tally.h"

#define EVENTS_MAX 1000000
#define GROUPS_MAX 64	/* of a rank */
#define RANKS_MAX 65536 /* further ones are not looked at; the job's size says so */

/* A communicator as one process has it. */
struct made {
	uint32_t tgid, ranks;
	uint64_t start_ns, comm;
};

struct rank {
	struct run run;
	struct job_group group[GROUPS_MAX];
	size_t groups;
	uint32_t tgid;
	uint64_t start_ns;
};

struct ranks {
	struct om_join_claim *claim;
	struct made *made;
	size_t claims, mades, claim_room, made_room;
	struct om_joining *joining;
	const struct om_join_job *job; /* NULL: nothing joins it */
	struct om_id id;
	struct om_tally *tally;
	struct rank **rank;
	size_t count, room;
	uint32_t world;
};

static void ranks_done(struct ranks *r)
{
	for (size_t i = 0; i < r->count; i++) {
		run_done(&r->rank[i]->run);
		free(r->rank[i]);
	}
	free(r->rank);
	free(r->claim);
	free(r->made);
	om_joining_free(r->joining);
	om_tally_free(r->tally);
}

static int grow(void **items, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room ? 2 * *room : 64;
	void *bigger;

	if (count < *room)
		return 0;
	if (count >= EVENTS_MAX)
		return -E2BIG;
	bigger = reallocarray(*items, wanted, size);
	if (!bigger)
		return -ENOMEM;
	*items = bigger;
	*room = wanted;
	return 0;
}

/* --- who is of the job --- */

static int take_event(void *ctx, const struct om_communicator_event *e)
{
	struct ranks *r = ctx;
	int rc;

	if (e->nranks <= 0)
		return 0;
	rc = grow((void **)&r->claim, &r->claim_room, r->claims, sizeof(*r->claim));
	rc = rc ?: grow((void **)&r->made, &r->made_room, r->mades, sizeof(*r->made));
	if (rc)
		return rc == -E2BIG ? 0 : rc;
	r->made[r->mades++] = (struct made){ e->who.tgid, (uint32_t)e->nranks, e->who.start_ns, e->comm };
	if (e->has_id)
		om_collective_claim(e, &r->claim[r->claims++]);
	return 0;
}

static void find_job(struct ranks *r)
{
	for (size_t i = 0; i < r->joining->job_count && !r->job; i++)
		for (size_t k = 0; k < r->joining->jobs[i].member_count && !r->job; k++)
			if (om_id_equal(&r->joining->jobs[i].members[k].job, &r->id))
				r->job = &r->joining->jobs[i];
}

static bool is_member(const struct ranks *r, const struct om_id *job)
{
	for (size_t i = 0; r->job && i < r->job->member_count; i++)
		if (om_id_equal(&r->job->members[i].job, job))
			return true;
	return om_id_equal(job, &r->id);
}

/* The largest communicator of the job's processes has all its ranks. */
static void find_world(struct ranks *r)
{
	for (size_t i = 0; i < r->joining->set_count && r->job; i++) {
		const struct om_join_set *s = &r->joining->sets[i];

		if (s->verdict != OM_JOIN_CONFLICT && &r->joining->jobs[s->job] == r->job &&
		    (uint32_t)s->nranks > r->world)
			r->world = (uint32_t)s->nranks;
	}
}

/* --- what they did --- */

static int take_shape(void *ctx, const struct om_shape_usage *s)
{
	struct ranks *r = ctx;

	return is_member(r, &s->job) ? om_tally_put(r->tally, s, 1) : 0;
}

static int take_order(void *ctx, const struct om_order_window *w)
{
	struct ranks *r = ctx;

	return is_member(r, &w->job)
		       ? om_tally_burst(r->tally, w->tgid, w->start_ns, w->window, w->steps, w->count)
		       : 0;
}

static int take_collective(void *ctx, const struct om_collective_usage *u)
{
	struct ranks *r = ctx;
	struct om_tally_collective c;

	return is_member(r, &u->who.job) && collective_to_tally(u, &c)
		       ? om_tally_collective(r->tally, &c, false)
		       : 0;
}

static int take_run(void *ctx, const struct om_id *job, uint32_t tgid, uint64_t start_ns, struct run *run)
{
	struct ranks *r = ctx;
	struct rank *rank;
	int rc;

	if (r->count == RANKS_MAX)
		return 0;
	rc = grow((void **)&r->rank, &r->room, r->count, sizeof(struct rank *));
	rank = rc ? NULL : calloc(1, sizeof(*rank));
	if (!rank)
		return rc ?: -ENOMEM;
	rank->run = *run;
	rank->tgid = tgid;
	rank->start_ns = start_ns;
	*run = (struct run){ 0 };
	r->rank[r->count++] = rank;
	return 0;
}

static uint32_t ranks_of(const struct ranks *r, const struct om_collective_usage *u)
{
	for (size_t i = r->mades; i-- > 0;)
		if (r->made[i].tgid == u->who.tgid && r->made[i].start_ns == u->who.start_ns &&
		    r->made[i].comm == u->comm)
			return r->made[i].ranks;
	return 0;
}

static int take_group(void *ctx, const struct om_collective_usage *u)
{
	struct ranks *r = ctx;
	enum run_collective_kind kind;

	for (size_t i = 0; i < r->count && collective_run_kind(u->kind, &kind); i++) {
		struct rank *x = r->rank[i];
		uint32_t ranks =
			x->tgid == u->who.tgid && x->start_ns == u->who.start_ns ? ranks_of(r, u) : 0;

		if (ranks && x->groups < GROUPS_MAX)
			x->group[x->groups++] = (struct job_group){ ranks, kind, u->bytes };
	}
	return 0;
}

static int keep_nothing(void *ctx, const struct om_phase_hour *h)
{
	return 0;
}

static int judge(const struct ranks *r, const struct architectures *known, struct job_judgement *ret)
{
	_cleanup_free_ struct job_rank *ranks = calloc(r->count + 1, sizeof(*ranks));

	if (!ranks)
		return -ENOMEM;
	for (size_t i = 0; i < r->count; i++)
		ranks[i] = (struct job_rank){ .run = &r->rank[i]->run,
					      .groups = r->rank[i]->group,
					      .group_count = r->rank[i]->groups };
	return r->count ? job_judge(ranks, r->count, r->world, known, ret) : 0;
}

int explain_ranks(struct om_ledger *l, const struct om_id *job, const struct architectures *known,
		  struct job_judgement *ret)
{
	_cleanup_(ranks_done) struct ranks r = { .id = *job, .tally = om_tally_new(drain_shape_name) };
	int rc;

	*ret = (struct job_judgement){ 0 };
	if (!r.tally)
		return -ENOMEM;
	om_tally_keep_windows(r.tally, OM_TALLY_WINDOWS_MAX);
	rc = om_ledger_each_communicator(l, take_event, &r);
	rc = rc ?: om_joining_make(r.claim, r.claims, 0, &r.joining);
	if (rc)
		return rc;
	find_job(&r);
	find_world(&r);
	rc = om_ledger_each_shape(l, take_shape, &r);
	rc = rc ?: om_ledger_each_order(l, NULL, take_order, &r);
	rc = rc ?: om_ledger_each_collective(l, take_collective, &r);
	rc = rc ?: om_tally_judge(r.tally, keep_nothing, NULL);
	rc = rc ?: om_tally_each_run(r.tally, take_run, &r);
	rc = rc ?: om_ledger_each_collective(l, take_group, &r);
	return rc ?: judge(&r, known, ret);
}
