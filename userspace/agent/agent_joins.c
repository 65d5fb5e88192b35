// SPDX-License-Identifier: Apache-2.0
/*
 * Which jobs of this node communicators join (core/joining.h), for their phases: a job that only infers
 * beside one that learns may answer, judge or teach for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/collective.h"
#include "../core/ledger_collectives.h"
#include "agent_internal.h"

#define CLAIMS_MAX 65536 /* further communicators join nothing here; `opmeter ledger join` has them all */

struct place {
	struct om_id job;
	size_t group;
};

struct agent_joins {
	struct om_join_claim *claim;
	size_t count, room;
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
	free(j->claim);
	free(j->place);
	free(j->learns);
	free(j);
	return NULL;
}

int agent_joins_event(struct agent *a, const struct om_communicator_event *e)
{
	struct agent_joins *j = a->joins;

	if (!j || !e->has_id ||
	    (e->kind != OM_COMMUNICATOR_INIT && e->kind != OM_COMMUNICATOR_INIT_ALL &&
	     e->kind != OM_COMMUNICATOR_GROW))
		return 0;
	if (j->count == CLAIMS_MAX) {
		if (!j->is_full)
			log_warn("more than %d communicators: phases of further jobs are not joined",
				 CLAIMS_MAX);
		j->is_full = true;
		return 0;
	}
	if (j->count == j->room) {
		size_t room = j->room ? 2 * j->room : 64;
		struct om_join_claim *bigger = reallocarray(j->claim, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		j->claim = bigger;
		j->room = room;
	}
	om_collective_claim(e, &j->claim[j->count++]);
	j->has_changed = true;
	return 0;
}

static int load_event(void *ctx, const struct om_communicator_event *e)
{
	return agent_joins_event(ctx, e);
}

int agent_joins_open(struct agent *a)
{
	a->joins = calloc(1, sizeof(*a->joins));
	return a->joins ? om_ledger_each_communicator(a->ledger, load_event, a) : -ENOMEM;
}

static int by_job(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	return memcmp(&a->job, &b->job, sizeof(a->job));
}

static int refresh(struct agent_joins *j)
{
	_cleanup_joining_ struct om_joining *joining = NULL;
	size_t members = 0;
	int r = om_joining_make(j->claim, j->count, 0, &joining);

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
