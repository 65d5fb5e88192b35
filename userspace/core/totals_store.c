// SPDX-License-Identifier: Apache-2.0
/* Where registers, jobs, cells and names stand, and how they are found. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "totals_internal.h"

int list_push(struct list *l, uint32_t v)
{
	size_t room = l->room ? 2 * l->room : 16;
	uint32_t *bigger;

	if (l->count == l->room) {
		bigger = reallocarray(l->item, room, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		l->item = bigger;
		l->room = room;
	}
	l->item[l->count++] = v;
	return 0;
}

void *chunks_add(struct chunks *c)
{
	if (c->count == c->room * CHUNK_THINGS) {
		char **bigger = reallocarray(c->chunk, c->room + 1, sizeof(*bigger));

		if (!bigger)
			return NULL;
		c->chunk = bigger;
		c->chunk[c->room] = calloc(CHUNK_THINGS, c->size);
		if (!c->chunk[c->room])
			return NULL;
		c->room++;
	}
	return chunks_at(c, (uint32_t)c->count++);
}

static void chunks_done(struct chunks *c)
{
	for (size_t i = 0; i < c->room; i++)
		free(c->chunk[i]);
	free(c->chunk);
}

static uint64_t mix(uint64_t h)
{
	h *= 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

/* Ids are random already, but a ledger that lies may choose them: the salt, which differs from one process to
 * the next, keeps it from choosing many for one slot. Nothing that is told depends on it. */
static uint32_t hash_ids(const struct om_totals *t, const struct om_id *ledger, const struct om_id *job)
{
	uint64_t a[2], b[2];

	memcpy(a, ledger, 16);
	memcpy(b, job, 16);
	return (uint32_t)mix(mix(a[0] ^ b[0] ^ t->salt) + mix(a[1] + t->salt) * 3 + mix(b[1] ^ t->salt));
}

static uint32_t hash_key(uint32_t job, uint32_t day, uint8_t format, uint8_t meter)
{
	return (uint32_t)mix(mix((uint64_t)job << 32 | day) ^ ((uint64_t)format << 8 | meter));
}

static uint32_t hash_cell(enum om_group group, const char *a, const char *b)
{
	return (uint32_t)mix(mix((uintptr_t)a) + (uintptr_t)b + group);
}

static uint32_t hash_text(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return (uint32_t)mix(h);
}

static const char *name_at(const struct om_totals *t, uint32_t i)
{
	return *(const char **)chunks_at(&t->names, i);
}

static int index_init(struct index *x, size_t slots)
{
	x->slot = malloc(slots * sizeof(*x->slot));
	if (!x->slot)
		return -ENOMEM;
	memset(x->slot, 0xff, slots * sizeof(*x->slot));
	x->mask = slots - 1;
	x->count = 0;
	return 0;
}

static void index_put(struct index *x, uint32_t hash, uint32_t i)
{
	size_t at = hash & x->mask;

	while (x->slot[at].at != NONE)
		at = (at + 1) & x->mask;
	x->slot[at].hash = hash;
	x->slot[at].at = i;
	x->count++;
}

/* The next position that may be meant; *at: where to look, moved behind it. NONE: no more. */
static uint32_t index_next(const struct index *x, uint32_t hash, size_t *at)
{
	for (; x->slot[*at & x->mask].at != NONE; ++*at)
		if (x->slot[*at & x->mask].hash == hash)
			return x->slot[(*at)++ & x->mask].at;
	return NONE;
}

/* Room for one more. */
static int index_grow(struct index *x)
{
	struct index bigger;

	if (2 * (x->count + 1) <= x->mask + 1)
		return 0;
	if (index_init(&bigger, 2 * (x->mask + 1)))
		return -ENOMEM;
	for (size_t at = 0; at <= x->mask; at++)
		if (x->slot[at].at != NONE)
			index_put(&bigger, x->slot[at].hash, x->slot[at].at);
	free(x->slot);
	*x = bigger;
	return 0;
}

/* What stands behind the gap moves up, as far as its own place lets it. */
static void index_drop(struct index *x, uint32_t hash, uint32_t i)
{
	size_t gap = hash & x->mask;

	while (x->slot[gap].at != i)
		gap = (gap + 1) & x->mask;
	for (size_t at = (gap + 1) & x->mask; x->slot[at].at != NONE; at = (at + 1) & x->mask) {
		size_t home = x->slot[at].hash & x->mask;

		if (((at - home) & x->mask) < ((at - gap) & x->mask))
			continue;
		x->slot[gap] = x->slot[at];
		gap = at;
	}
	x->slot[gap].at = NONE;
	x->count--;
}

int store_init(struct om_totals *t)
{
	t->regs.size = sizeof(struct reg);
	t->jobs.size = sizeof(struct job);
	t->cells.size = sizeof(struct cell);
	t->names.size = sizeof(char *);
	t->free_reg = t->last_job = t->last_reg = NONE;
	t->salt = mix((uintptr_t)t);
	if (index_init(&t->by_key, 1024) || index_init(&t->by_job, 256) || index_init(&t->by_cell, 64) ||
	    index_init(&t->by_name, 64))
		return -ENOMEM;
	/* Subjects are told apart by the addresses of their names. */
	t->unknown = store_name(t, "unknown");
	t->unassigned = store_name(t, "unassigned");
	return t->unknown && t->unassigned ? 0 : -ENOMEM;
}

void store_done(struct om_totals *t)
{
	for (uint32_t i = 0; i < t->jobs.count; i++) {
		for (int k = 0; k < OM_ASSIGN_END; k++)
			om_dated_done(&job_at(t, i)->assigned[k]);
		free(job_at(t, i)->folded);
	}
	for (uint32_t i = 0; i < t->names.count; i++)
		free((char *)name_at(t, i));
	chunks_done(&t->regs);
	chunks_done(&t->jobs);
	chunks_done(&t->cells);
	chunks_done(&t->names);
	free(t->by_key.slot);
	free(t->by_job.slot);
	free(t->by_cell.slot);
	free(t->by_name.slot);
	free(t->debts.item);
	free(t->dirty.item);
	free(t->stale.item);
	free(t->changed.item);
	free(t->order);
	free(t->part);
	free(t->decoded);
}

static bool is_job(const struct om_totals *t, uint32_t i, const struct om_id *ledger, const struct om_id *job)
{
	return om_id_equal(&job_at(t, i)->id, job) && om_id_equal(&job_at(t, i)->ledger, ledger);
}

uint32_t store_find_job(struct om_totals *t, const struct om_id *ledger, const struct om_id *job)
{
	uint32_t hash, i = t->last_job;
	size_t at;

	if (i != NONE && is_job(t, i, ledger, job))
		return i;
	hash = hash_ids(t, ledger, job);
	for (at = hash; (i = index_next(&t->by_job, hash, &at)) != NONE;) {
		if (is_job(t, i, ledger, job)) {
			t->last_job = i;
			return i;
		}
	}
	return NONE;
}

/* Room for `count` + 1, so that a later push never fails. */
static int list_reserve(struct list *l, size_t count)
{
	size_t room = l->room ? 2 * l->room : 64;
	uint32_t *bigger;

	if (count < l->room)
		return 0;
	bigger = reallocarray(l->item, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->item = bigger;
	l->room = room;
	return 0;
}

int store_need_job(struct om_totals *t, const struct om_id *ledger, const struct om_id *job, uint32_t *ret)
{
	struct job *j;

	*ret = store_find_job(t, ledger, job);
	if (*ret != NONE)
		return 0;
	if (t->jobs.count >= t->max)
		return -ENOSPC;
	if (list_reserve(&t->dirty, t->jobs.count) || index_grow(&t->by_job))
		return -ENOMEM;
	j = chunks_add(&t->jobs);
	if (!j)
		return -ENOMEM;
	j->ledger = *ledger;
	j->id = *job;
	j->first = NONE;
	j->in = j->near;
	*ret = (uint32_t)t->jobs.count - 1;
	index_put(&t->by_job, hash_ids(t, ledger, job), *ret);
	return 0;
}

/* A free register has no meter, so it is no key's. */
static bool is_reg(const struct om_totals *t, uint32_t i, uint32_t job, uint32_t day, uint8_t format,
		   uint8_t meter)
{
	const struct reg *g = reg_at(t, i);

	return g->job == job && g->day == day && g->format == format && g->meter == meter;
}

uint32_t store_find_reg(struct om_totals *t, uint32_t job, uint32_t day, uint8_t format, uint8_t meter)
{
	uint32_t hash, i = t->last_reg;

	if (i != NONE && is_reg(t, i, job, day, format, meter))
		return i;
	hash = hash_key(job, day, format, meter);
	for (size_t at = hash; (i = index_next(&t->by_key, hash, &at)) != NONE;) {
		if (is_reg(t, i, job, day, format, meter)) {
			t->last_reg = i;
			return i;
		}
	}
	return NONE;
}

int store_add_reg(struct om_totals *t, uint32_t job, uint32_t day, uint8_t format, uint8_t meter,
		  uint32_t *ret)
{
	struct job *j = job_at(t, job);
	struct reg *g;

	if (t->live + t->ghosts >= t->max)
		return -ENOSPC;
	if (index_grow(&t->by_key))
		return -ENOMEM;
	*ret = t->free_reg;
	if (*ret != NONE) {
		t->free_reg = reg_at(t, *ret)->next;
	} else {
		if (!chunks_add(&t->regs))
			return -ENOMEM;
		*ret = (uint32_t)t->regs.count - 1;
	}
	g = reg_at(t, *ret);
	*g = (struct reg){
		.job = job, .next = j->first, .day = day, .debt = NONE, .format = format, .meter = meter
	};
	j->first = *ret;
	index_put(&t->by_key, hash_key(job, day, format, meter), *ret);
	return 0;
}

void store_drop_reg(struct om_totals *t, uint32_t i)
{
	struct reg *g = reg_at(t, i);
	uint32_t *link = &job_at(t, g->job)->first;

	index_drop(&t->by_key, hash_key(g->job, g->day, g->format, g->meter), i);
	while (*link != i)
		link = &reg_at(t, *link)->next;
	*link = g->next;
	*g = (struct reg){ .next = t->free_reg, .debt = NONE, .flags = REG_FREE };
	t->free_reg = i;
}

int store_need_cell(struct om_totals *t, enum om_group group, const char *a, const char *b, uint32_t *ret)
{
	uint32_t hash = hash_cell(group, a, b);
	struct cell *c;

	for (size_t at = hash; (*ret = index_next(&t->by_cell, hash, &at)) != NONE;) {
		c = cell_at(t, *ret);
		if (c->group == group && c->a == a && c->b == b)
			return 0;
	}
	if (list_reserve(&t->stale, t->cells.count) || list_reserve(&t->changed, t->cells.count) ||
	    index_grow(&t->by_cell))
		return -ENOMEM;
	c = chunks_add(&t->cells);
	if (!c)
		return -ENOMEM;
	c->group = group;
	c->a = a;
	c->b = b;
	*ret = (uint32_t)t->cells.count - 1;
	index_put(&t->by_cell, hash, *ret);
	return 0;
}

const char *store_name(struct om_totals *t, const char *text)
{
	uint32_t hash = hash_text(text), i;
	size_t size = strlen(text) + 1;
	char **place, *copy;

	for (size_t at = hash; (i = index_next(&t->by_name, hash, &at)) != NONE;)
		if (!strcmp(name_at(t, i), text))
			return name_at(t, i);
	if (index_grow(&t->by_name))
		return NULL;
	copy = malloc(size);
	if (!copy)
		return NULL;
	memcpy(copy, text, size);
	place = chunks_add(&t->names);
	if (!place) {
		free(copy);
		return NULL;
	}
	*place = copy;
	t->name_bytes += size;
	index_put(&t->by_name, hash, (uint32_t)t->names.count - 1);
	return copy;
}

void reg_to_reading(const struct om_totals *t, const struct reg *g, struct om_reading *ret)
{
	const struct job *j = job_at(t, g->job);

	*ret = (struct om_reading){
		.key = { .ledger = j->ledger,
			 .job = j->id,
			 .day = g->day,
			 .format = g->format,
			 .meter = g->meter },
		.value = g->value,
		.node = g->node,
		.sequence = g->sequence,
		.attempted = g->attempted,
	};
}

void reg_from_reading(struct reg *g, const struct om_reading *r)
{
	g->value = r->value;
	g->node = r->node;
	g->sequence = r->sequence;
	g->attempted = r->attempted;
}
