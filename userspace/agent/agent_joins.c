// SPDX-License-Identifier: Apache-2.0
/*
 * Which jobs of this node communicators join (core/joining.h), for their phases: a job that only infers
 * beside one that learns may answer, judge or teach for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/collective.h"
#include "../core/communicators.h"
#include "../core/ledger_collectives.h"
#include "../core/process_record.h"
#include "agent_internal.h"

struct place {
	struct om_id job;
	size_t group;
};

struct agent_joins {
	struct om_communicators *all;
	bool has_changed, is_full;
	struct place *place; /* by job */
	size_t places;
	bool *learns; /* of a group */
	size_t groups;
};

struct agent_joins *agent_joins_free(struct agent_joins *j)
{
	if (!j)
		return NULL;
	om_communicators_free(j->all);
	free(j->place);
	free(j->learns);
	free(j);
	return NULL;
}

static bool makes_communicators(uint32_t kind)
{
	return kind == OM_COMMUNICATOR_INIT || kind == OM_COMMUNICATOR_INIT_ALL ||
	       kind == OM_COMMUNICATOR_GROW || kind == OM_COMMUNICATOR_SPLIT ||
	       kind == OM_COMMUNICATOR_SHRINK;
}

int agent_joins_event(struct agent *a, const struct om_communicator_event *e)
{
	struct agent_joins *j = a->joins;
	struct om_join_claim claim;
	int r = 0;

	if (!j || !makes_communicators(e->kind))
		return 0;
	om_collective_claim(e, &claim);
	if (e->kind != OM_COMMUNICATOR_INIT || !e->has_id)
		r = om_communicators_odd(j->all, &claim.process, &claim.job);
	if (r >= 0 && e->has_id &&
	    (e->kind == OM_COMMUNICATOR_INIT || e->kind == OM_COMMUNICATOR_INIT_ALL ||
	     e->kind == OM_COMMUNICATOR_GROW)) {
		r = om_communicators_put(j->all, &claim);
		j->has_changed = true;
	}
	if (r > 0 && !j->is_full) {
		log_warn("more communicators than are kept of a process (%d), a job (%d) or the node: "
			 "further ones join nothing",
			 OM_COMMUNICATORS_OF_A_PROCESS, OM_COMMUNICATORS_OF_A_JOB);
		j->is_full = true;
	}
	return r < 0 ? r : 0;
}

static int load_event(void *ctx, const struct om_communicator_event *e)
{
	return agent_joins_event(ctx, e);
}

int agent_joins_open(struct agent *a)
{
	a->joins = calloc(1, sizeof(*a->joins));
	if (!a->joins)
		return -ENOMEM;
	a->joins->all = om_communicators_new();
	return a->joins->all ? om_ledger_each_communicator(a->ledger, load_event, a) : -ENOMEM;
}

static int by_job(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	return memcmp(&a->job, &b->job, sizeof(a->job));
}

static int refresh(struct agent_joins *j)
{
	_cleanup_joining_ struct om_joining *joining = NULL;
	size_t members = 0, count;
	const struct om_join_claim *all = om_communicators_all(j->all, &count);
	int r = om_joining_make(all, count, 0, &joining);

	if (r)
		return r;
	for (size_t i = 0; i < joining->job_count; i++)
		members += joining->jobs[i].member_count;
	free(j->place);
	free(j->learns);
	j->places = j->groups = 0;
	j->place = calloc(members + 1, sizeof(*j->place));
	j->learns = calloc(joining->job_count + 1, sizeof(*j->learns));
	if (!j->place || !j->learns)
		return -ENOMEM;
	for (size_t i = 0; i < joining->job_count; i++)
		for (size_t k = 0; k < joining->jobs[i].member_count; k++)
			j->place[j->places++] = (struct place){ joining->jobs[i].members[k].job, i };
	qsort(j->place, j->places, sizeof(*j->place), by_job);
	j->groups = joining->job_count;
	j->has_changed = false;
	return 0;
}

int agent_joins_begin(struct agent *a)
{
	struct agent_joins *j = a->joins;
	int r = j->has_changed ? refresh(j) : 0;

	if (r == 0 && j->groups)
		memset(j->learns, 0, j->groups * sizeof(*j->learns));
	return r;
}

/* The first place of the job; a job whose processes are of several groups has more. */
static size_t place_of(const struct agent_joins *j, const struct om_id *job)
{
	size_t low = 0, high = j->places;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(&j->place[mid].job, job, sizeof(*job)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void agent_joins_learns(struct agent *a, const struct om_id *job)
{
	struct agent_joins *j = a->joins;

	for (size_t i = place_of(j, job); i < j->places && om_id_equal(&j->place[i].job, job); i++)
		j->learns[j->place[i].group] = true;
}

bool agent_joins_with_learner(const struct agent *a, const struct om_id *job)
{
	const struct agent_joins *j = a->joins;

	for (size_t i = place_of(j, job); i < j->places && om_id_equal(&j->place[i].job, job); i++)
		if (j->learns[j->place[i].group])
			return true;
	return false;
}

/* --- the communicators of one process --- */

size_t agent_joins_count(const struct agent *a, const struct om_id *process)
{
	return om_communicators_count(a->joins->all, process);
}

void agent_joins_claims(const struct agent *a, struct process_record *p)
{
	p->claims = om_communicators_of(a->joins->all, &p->process, p->claim, PROCESS_CLAIMS_MAX,
					&p->claims_left_out);
	for (size_t i = 0; i < p->claims; i++)
		p->claim[i].job = p->job;
}

uint32_t agent_joins_ranks(const struct agent *a, const struct om_id *process)
{
	return om_communicators_ranks(a->joins->all, process);
}

uint64_t agent_joins_left_out(const struct agent *a)
{
	return a->joins ? om_communicators_left_out(a->joins->all) : 0;
}
