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
#include "../core/process_record.h"
#include "agent_internal.h"

#define CLAIMS_MAX 65536 /* further communicators join nothing here; `opmeter ledger join` has them all */

#define ODD_MAX 4096

struct place {
	struct om_id job;
	size_t group;
};

struct agent_joins {
	struct om_join_claim *claim;
	size_t count, room;
	uint32_t *order; /* of claims: by process and time */
	size_t ordered;
	struct om_id
		*odd; /* processes with communicators whose size is not known: split off, or of threads */
	size_t odds, odd_room;
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
	free(j->order);
	free(j->odd);
	free(j->place);
	free(j->learns);
	free(j);
	return NULL;
}

/* Its collectives are not of communicators of one known size. */
static int note_odd(struct agent_joins *j, const struct om_communicator_event *e)
{
	struct om_id process;

	om_collective_process_id(&e->who, &process);
	if (j->odds == ODD_MAX || (j->odds && om_id_equal(&j->odd[j->odds - 1], &process)))
		return 0;
	if (j->odds == j->odd_room) {
		size_t room = j->odd_room ? 2 * j->odd_room : 16;
		struct om_id *bigger = reallocarray(j->odd, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		j->odd = bigger;
		j->odd_room = room;
	}
	j->odd[j->odds++] = process;
	return 0;
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
	int r = 0;

	if (j && makes_communicators(e->kind) && (e->kind != OM_COMMUNICATOR_INIT || !e->has_id))
		r = note_odd(j, e);
	if (r || !j || !e->has_id ||
	    (e->kind != OM_COMMUNICATOR_INIT && e->kind != OM_COMMUNICATOR_INIT_ALL &&
	     e->kind != OM_COMMUNICATOR_GROW))
		return r;
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

/* --- the communicators of one process --- */

static int by_process(const void *x, const void *y, void *ctx)
{
	const struct agent_joins *j = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int r = memcmp(&j->claim[a].process, &j->claim[b].process, sizeof(struct om_id));

	if (r)
		return r;
	if (j->claim[a].time_ns != j->claim[b].time_ns)
		return j->claim[a].time_ns < j->claim[b].time_ns ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int put_in_order(struct agent_joins *j)
{
	uint32_t *order;

	if (j->ordered == j->count)
		return 0;
	order = reallocarray(j->order, j->count, sizeof(*order));
	if (!order)
		return -ENOMEM;
	j->order = order;
	for (size_t i = 0; i < j->count; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, j->count, sizeof(*order), by_process, j);
	j->ordered = j->count;
	return 0;
}

/* Its claims in the order: the first, and how many. */
static size_t claims_of(const struct agent_joins *j, const struct om_id *process, size_t *ret_first)
{
	size_t low = 0, high = j->ordered, end;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(&j->claim[j->order[mid]].process, process, sizeof(*process)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < j->ordered && om_id_equal(&j->claim[j->order[end]].process, process); end++)
		;
	*ret_first = low;
	return end - low;
}

int agent_joins_count(struct agent *a, const struct om_id *process, size_t *ret)
{
	size_t first;
	int r = put_in_order(a->joins);

	*ret = r ? 0 : claims_of(a->joins, process, &first);
	return r;
}

int agent_joins_claims(struct agent *a, struct process_record *p)
{
	struct agent_joins *j = a->joins;
	size_t first, n;
	int r = put_in_order(j);

	if (r)
		return r;
	n = claims_of(j, &p->process, &first);
	p->claims = n < PROCESS_CLAIMS_MAX ? n : PROCESS_CLAIMS_MAX;
	p->claims_left_out = n - p->claims;
	for (size_t i = 0; i < p->claims; i++) {
		p->claim[i] = j->claim[j->order[first + n - p->claims + i]];
		p->claim[i].job = p->job;
	}
	return 0;
}

uint32_t agent_joins_ranks(const struct agent *a, const struct om_id *process)
{
	const struct agent_joins *j = a->joins;
	size_t first, n = claims_of(j, process, &first);
	int32_t ranks = n ? j->claim[j->order[first]].nranks : 0;

	if (j->odds == ODD_MAX)
		return 0;
	for (size_t i = 0; i < j->odds; i++)
		if (om_id_equal(&j->odd[i], process))
			return 0;
	for (size_t i = 1; i < n; i++)
		if (j->claim[j->order[first + i]].nranks != ranks)
			return 0;
	return ranks > 0 ? (uint32_t)ranks : 0;
}
