// SPDX-License-Identifier: Apache-2.0
#include "communicators.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define NONE UINT32_MAX
#define SLOTS_MIN 64

/* A process, or a job. */
struct owner {
	struct om_id id;
	uint32_t first, last; /* of a process: its claims, NONE: none */
	uint32_t kept;	      /* claims, and of a job its processes */
	uint64_t left_out;
	int32_t ranks; /* 0: none was seen yet */
	bool is_odd;   /* not of one known size */
};

struct owners {
	struct owner *item;
	size_t count, room;
	uint32_t *slot; /* by hash; 0: free, else position + 1; at most half full */
	size_t slots;
};

struct om_communicators {
	struct om_join_claim *claim;
	uint32_t *next; /* of the same process; NONE */
	size_t count, room;
	struct owners processes, jobs;
	uint64_t left_out;
};

struct om_communicators *om_communicators_new(void)
{
	return calloc(1, sizeof(struct om_communicators));
}

struct om_communicators *om_communicators_free(struct om_communicators *c)
{
	if (!c)
		return NULL;
	free(c->claim);
	free(c->next);
	free(c->processes.item);
	free(c->processes.slot);
	free(c->jobs.item);
	free(c->jobs.slot);
	free(c);
	return NULL;
}

/* --- processes and jobs --- */

/* Ids are hashes, or random. */
static size_t slot_of(const struct owners *o, const struct om_id *id)
{
	uint64_t h;
	size_t i;

	memcpy(&h, id->byte, sizeof(h));
	for (i = h & (o->slots - 1); o->slot[i]; i = (i + 1) & (o->slots - 1))
		if (om_id_equal(&o->item[o->slot[i] - 1].id, id))
			break;
	return i;
}

static struct owner *find(const struct owners *o, const struct om_id *id)
{
	size_t i = o->slots ? slot_of(o, id) : 0;

	return o->slots && o->slot[i] ? &o->item[o->slot[i] - 1] : NULL;
}

static int grow(struct owners *o)
{
	size_t slots = o->slots ? 2 * o->slots : SLOTS_MIN;
	struct owner *bigger = reallocarray(o->item, slots / 2, sizeof(*bigger));
	uint32_t *slot;

	if (!bigger)
		return -ENOMEM;
	o->item = bigger;
	slot = calloc(slots, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	free(o->slot);
	o->slot = slot;
	o->slots = slots;
	o->room = slots / 2;
	for (size_t i = 0; i < o->count; i++)
		o->slot[slot_of(o, &o->item[i].id)] = (uint32_t)i + 1;
	return 0;
}

/* 0, 1: there is no room, -ENOMEM. */
static int need(struct owners *o, const struct om_id *id, struct owner **ret)
{
	size_t i;

	*ret = find(o, id);
	if (*ret)
		return 0;
	if (o->count == OM_COMMUNICATORS_MAX)
		return 1;
	if (o->count == o->room && grow(o))
		return -ENOMEM;
	i = slot_of(o, id);
	o->item[o->count++] = (struct owner){ .id = *id, .first = NONE, .last = NONE };
	o->slot[i] = (uint32_t)o->count;
	*ret = &o->item[o->count - 1];
	return 0;
}

/* A process that is new counts for its job. */
static int need_both(struct om_communicators *c, const struct om_id *process, const struct om_id *job,
		     struct owner **ret_process, struct owner **ret_job)
{
	int r = need(&c->jobs, job, ret_job);

	*ret_process = find(&c->processes, process);
	if (r || *ret_process)
		return r;
	if ((*ret_job)->kept == OM_COMMUNICATORS_OF_A_JOB)
		return 1;
	r = need(&c->processes, process, ret_process);
	(*ret_job)->kept += r == 0;
	return r;
}

/* --- claims --- */

static int append(struct om_communicators *c, struct owner *p, const struct om_join_claim *claim)
{
	if (c->count == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		struct om_join_claim *bigger = reallocarray(c->claim, room, sizeof(*bigger));
		uint32_t *next;

		if (!bigger)
			return -ENOMEM;
		c->claim = bigger;
		next = reallocarray(c->next, room, sizeof(*next));
		if (!next)
			return -ENOMEM;
		c->next = next;
		c->room = room;
	}
	if (p->first == NONE)
		p->first = (uint32_t)c->count;
	else
		c->next[p->last] = (uint32_t)c->count;
	p->last = (uint32_t)c->count;
	c->next[c->count] = NONE;
	c->claim[c->count++] = *claim;
	return 0;
}

int om_communicators_put(struct om_communicators *c, const struct om_join_claim *claim)
{
	struct owner *p, *j;
	int r = need_both(c, &claim->process, &claim->job, &p, &j);

	if (r < 0)
		return r;
	if (r) {
		c->left_out++;
		return r;
	}
	p->is_odd |= claim->nranks <= 0 || (p->ranks && p->ranks != claim->nranks);
	p->ranks = claim->nranks;
	if (claim->nranks <= 1)
		return 0;
	if (c->count == OM_COMMUNICATORS_MAX || p->kept == OM_COMMUNICATORS_OF_A_PROCESS ||
	    j->kept >= OM_COMMUNICATORS_OF_A_JOB) {
		p->left_out++;
		c->left_out++;
		return 1;
	}
	r = append(c, p, claim);
	p->kept += r == 0;
	j->kept += r == 0;
	return r;
}

int om_communicators_odd(struct om_communicators *c, const struct om_id *process, const struct om_id *job)
{
	struct owner *p, *j;
	int r = need_both(c, process, job, &p, &j);

	if (r == 0)
		p->is_odd = true;
	c->left_out += r > 0;
	return r;
}

const struct om_join_claim *om_communicators_all(const struct om_communicators *c, size_t *ret_count)
{
	*ret_count = c->count;
	return c->claim;
}

size_t om_communicators_count(const struct om_communicators *c, const struct om_id *process)
{
	const struct owner *p = find(&c->processes, process);

	return p ? p->kept + p->left_out : 0;
}

static int by_time(const void *x, const void *y, void *ctx)
{
	const struct om_communicators *c = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	if (c->claim[a].time_ns != c->claim[b].time_ns)
		return c->claim[a].time_ns < c->claim[b].time_ns ? -1 : 1;
	return a < b ? -1 : a > b;
}

size_t om_communicators_of(const struct om_communicators *c, const struct om_id *process,
			   struct om_join_claim *ret, size_t max, uint64_t *ret_left_out)
{
	const struct owner *p = find(&c->processes, process);
	uint32_t order[OM_COMMUNICATORS_OF_A_PROCESS];
	size_t n = 0, some;

	for (uint32_t i = p ? p->first : NONE; i != NONE && n < ARRAY_SIZE(order); i = c->next[i])
		order[n++] = i;
	qsort_r(order, n, sizeof(*order), by_time, (void *)(uintptr_t)c);
	some = n < max ? n : max;
	for (size_t i = 0; i < some; i++)
		ret[i] = c->claim[order[i < (some + 1) / 2 ? i : n - some + i]];
	*ret_left_out = p ? p->left_out + n - some : 0;
	return some;
}

uint32_t om_communicators_ranks(const struct om_communicators *c, const struct om_id *process)
{
	const struct owner *p = find(&c->processes, process);

	return p && !p->is_odd && p->ranks > 0 ? (uint32_t)p->ranks : 0;
}

uint64_t om_communicators_left_out(const struct om_communicators *c)
{
	return c->left_out;
}
