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

/* Ids are random already, but a ledger that lies may choose them: both halves count. */
static uint64_t hash_ids(const struct om_id *ledger, const struct om_id *job)
{
	uint64_t a[2], b[2];

	memcpy(a, ledger, 16);
	memcpy(b, job, 16);
	return mix(mix(a[0] ^ b[0]) + mix(a[1]) * 3 + b[1]);
}

static uint64_t hash_key(uint32_t job, uint32_t day, uint8_t format, uint8_t meter)
{
	return mix(mix((uint64_t)job << 32 | day) ^ ((uint64_t)format << 8 | meter));
}

static uint64_t hash_cell(enum om_group group, const char *a, const char *b)
{
	return mix(mix((uintptr_t)a) + (uintptr_t)b + group);
}

static uint64_t hash_text(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return mix(h);
}

static uint64_t hash_of_reg(const struct om_totals *t, uint32_t i)
{
	const struct reg *g = reg_at(t, i);

	return hash_key(g->job, g->day, g->format, g->meter);
}

static uint64_t hash_of_job(const struct om_totals *t, uint32_t i)
{
	return hash_ids(&job_at(t, i)->ledger, &job_at(t, i)->id);
}

static uint64_t hash_of_cell(const struct om_totals *t, uint32_t i)
{
	return hash_cell(cell_at(t, i)->group, cell_at(t, i)->a, cell_at(t, i)->b);
}

static const char *name_at(const struct om_totals *t, uint32_t i)
{
	return *(const char **)chunks_at(&t->names, i);
}

static uint64_t hash_of_name(const struct om_totals *t, uint32_t i)
{
	return hash_text(name_at(t, i));
}

typedef uint64_t hash_fn(const struct om_totals *t, uint32_t i);

static int index_init(struct index *x, size_t slots)
{
	x->slot = malloc(slots * sizeof(*x->slot));
	if (!x->slot)
		return -ENOMEM;
	memset(x->slot, 0xff, slots * sizeof(*x->slot));
	x->mask = slots - 1;
	return 0;
}

static void index_put(struct index *x, uint64_t hash, uint32_t i)
{
	size_t at = hash & x->mask;

	while (x->slot[at] != NONE)
		at = (at + 1) & x->mask;
	x->slot[at] = i;
	x->count++;
}

/* Room for one more. */
static int index_grow(const struct om_totals *t, struct index *x, hash_fn *hash)
{
	struct index bigger = { 0 };

	if (2 * (x->count + 1) <= x->mask + 1)
		return 0;
	if (index_init(&bigger, 2 * (x->mask + 1)))
		return -ENOMEM;
	for (size_t at = 0; at <= x->mask; at++)
		if (x->slot[at] != NONE)
			index_put(&bigger, hash(t, x->slot[at]), x->slot[at]);
	free(x->slot);
	*x = bigger;
	return 0;
}

/* What stands behind the gap moves up, as far as its own place lets it. */
static void index_drop(const struct om_totals *t, struct index *x, hash_fn *hash, uint32_t i)
{
	size_t gap = hash(t, i) & x->mask, at;

	while (x->slot[gap] != i)
		gap = (gap + 1) & x->mask;
	for (at = (gap + 1) & x->mask; x->slot[at] != NONE; at = (at + 1) & x->mask) {
		size_t home = hash(t, x->slot[at]) & x->mask;

		if (((at - home) & x->mask) < ((at - gap) & x->mask))
			continue;
		x->slot[gap] = x->slot[at];
		gap = at;
	}
	x->slot[gap] = NONE;
	x->count--;
}

int store_init(struct om_totals *t)
{
	t->regs.size = sizeof(struct reg);
	t->jobs.size = sizeof(struct job);
	t->cells.size = sizeof(struct cell);
	t->names.size = sizeof(char *);
	t->free_reg = t->last_job = NONE;
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

uint32_t store_find_job(struct om_totals *t, const struct om_id *ledger, const struct om_id *job)
{
	uint32_t i = t->last_job;

	if (i != NONE && om_id_equal(&job_at(t, i)->id, job) && om_id_equal(&job_at(t, i)->ledger, ledger))
		return i;
	for (size_t at = hash_ids(ledger, job) & t->by_job.mask;; at = (at + 1) & t->by_job.mask) {
		i = t->by_job.slot[at];
		if (i == NONE)
			return NONE;
		if (om_id_equal(&job_at(t, i)->id, job) && om_id_equal(&job_at(t, i)->ledger, ledger)) {
			t->last_job = i;
			return i;
		}
	}
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
	if (list_reserve(&t->dirty, t->jobs.count) || index_grow(t, &t->by_job, hash_of_job))
		return -ENOMEM;
	j = chunks_add(&t->jobs);
	if (!j)
		return -ENOMEM;
	j->ledger = *ledger;
	j->id = *job;
	j->first = NONE;
	j->in = j->near;
	*ret = (uint32_t)t->jobs.count - 1;
	index_put(&t->by_job, hash_ids(ledger, job), *ret);
	return 0;
}

uint32_t store_find_reg(const struct om_totals *t, uint32_t job, uint32_t day, uint8_t format, uint8_t meter)
{
	for (size_t at = hash_key(job, day, format, meter) & t->by_key.mask;;
	     at = (at + 1) & t->by_key.mask) {
		uint32_t i = t->by_key.slot[at];
		const struct reg *g;

		if (i == NONE)
			return NONE;
		g = reg_at(t, i);
		if (g->job == job && g->day == day && g->format == format && g->meter == meter)
			return i;
	}
}

int store_add_reg(struct om_totals *t, uint32_t job, uint32_t day, uint8_t format, uint8_t meter,
		  uint32_t *ret)
{
	struct job *j = job_at(t, job);
	struct reg *g;

	if (t->live + t->ghosts >= t->max)
		return -ENOSPC;
	if (index_grow(t, &t->by_key, hash_of_reg))
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

	index_drop(t, &t->by_key, hash_of_reg, i);
	while (*link != i)
		link = &reg_at(t, *link)->next;
	*link = g->next;
	*g = (struct reg){ .next = t->free_reg, .debt = NONE, .flags = REG_FREE };
	t->free_reg = i;
}

int store_need_cell(struct om_totals *t, enum om_group group, const char *a, const char *b, uint32_t *ret)
{
	size_t at = hash_cell(group, a, b) & t->by_cell.mask;
	struct cell *c;

	for (; t->by_cell.slot[at] != NONE; at = (at + 1) & t->by_cell.mask) {
		*ret = t->by_cell.slot[at];
		c = cell_at(t, *ret);
		if (c->group == group && c->a == a && c->b == b)
			return 0;
	}
	if (list_reserve(&t->stale, t->cells.count) || list_reserve(&t->changed, t->cells.count) ||
	    index_grow(t, &t->by_cell, hash_of_cell))
		return -ENOMEM;
	c = chunks_add(&t->cells);
	if (!c)
		return -ENOMEM;
	c->group = group;
	c->a = a;
	c->b = b;
	*ret = (uint32_t)t->cells.count - 1;
	index_put(&t->by_cell, hash_cell(group, a, b), *ret);
	return 0;
}

const char *store_name(struct om_totals *t, const char *text)
{
	size_t at = hash_text(text) & t->by_name.mask, size = strlen(text) + 1;
	char **place, *copy;

	for (; t->by_name.slot[at] != NONE; at = (at + 1) & t->by_name.mask)
		if (!strcmp(name_at(t, t->by_name.slot[at]), text))
			return name_at(t, t->by_name.slot[at]);
	if (index_grow(t, &t->by_name, hash_of_name))
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
	index_put(&t->by_name, hash_text(text), (uint32_t)t->names.count - 1);
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
