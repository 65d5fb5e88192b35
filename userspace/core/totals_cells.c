// SPDX-License-Identifier: Apache-2.0
/* Which cells a job is in, by what is assigned to it on its days; and which of their sums are stale. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "totals_internal.h"

struct membership *cells_membership(struct job *j, uint32_t cell)
{
	for (uint32_t i = 0; i < j->in_count; i++)
		if (j->in[i].cell == cell)
			return &j->in[i];
	return NULL;
}

void cells_mark(struct om_totals *t, uint32_t cell, uint32_t at)
{
	struct cell *c = cell_at(t, cell);
	uint32_t four = at / FOUR;

	if (!c->is_stale[four]) {
		c->is_stale[four] = 1;
		c->stale.item[c->stale.count++] = four;
	}
	if (!c->is_listed) {
		c->is_listed = true;
		t->stale.item[t->stale.count++] = cell;
	}
}

static void *grown(void *old, size_t from, size_t to, size_t size)
{
	char *p = reallocarray(old, to, size);

	if (p)
		memset(p + from * size, 0, (to - from) * size);
	return p;
}

/* Doubles what a cell has room for: fours in whole manys. */
static int grow_cell(struct cell *c)
{
	size_t room = c->fours_room ? 2 * c->fours_room : 1;
	size_t manys = (room + MANY - 1) / MANY, had = (c->fours_room + MANY - 1) / MANY;
	void *p;

	if (!(p = grown(c->four, c->fours_room, room, sizeof(*c->four))))
		return -ENOMEM;
	c->four = p;
	if (!(p = grown(c->is_stale, c->fours_room, room, 1)))
		return -ENOMEM;
	c->is_stale = p;
	if (!(p = grown(c->many, had, manys, sizeof(*c->many))))
		return -ENOMEM;
	c->many = p;
	if (!(p = grown(c->many_stale, had, manys, 1)))
		return -ENOMEM;
	c->many_stale = p;
	if (!(p = reallocarray(c->stale.item, room, sizeof(*c->stale.item))))
		return -ENOMEM;
	c->stale.item = p;
	c->stale.room = c->fours_room = room;
	return 0;
}

static int grow_memberships(struct job *j)
{
	uint32_t room = j->in_count;
	struct membership *m;

	/* Room is the count's next power of two, from JOB_NEAR on. */
	if (room < JOB_NEAR || room & (room - 1))
		return 0;
	m = reallocarray(j->in == j->near ? NULL : j->in, 2 * room, sizeof(*m));
	if (!m)
		return -ENOMEM;
	if (j->in == j->near)
		memcpy(m, j->near, sizeof(j->near));
	j->in = m;
	return 0;
}

static int enter(struct om_totals *t, uint32_t job, uint32_t cell)
{
	struct cell *c = cell_at(t, cell);
	struct job *j = job_at(t, job);
	int r = c->members.count == FOUR * c->fours_room ? grow_cell(c) : 0;

	r = r ?: grow_memberships(j);
	r = r ?: list_push(&c->members, job);
	if (r)
		return r;
	j->in[j->in_count++] = (struct membership){ cell, (uint32_t)c->members.count - 1, NULL };
	cells_mark(t, cell, (uint32_t)c->members.count - 1);
	return 0;
}

/* The last member takes the place of the one that leaves. */
static void leave(struct om_totals *t, uint32_t job, uint32_t in)
{
	struct job *j = job_at(t, job);
	struct membership gone = j->in[in];
	struct cell *c = cell_at(t, gone.cell);
	uint32_t last = (uint32_t)c->members.count - 1, mover = c->members.item[last];

	cells_mark(t, gone.cell, gone.at);
	cells_mark(t, gone.cell, last);
	c->members.item[gone.at] = mover;
	cells_membership(job_at(t, mover), gone.cell)->at = gone.at;
	c->members.count--;
	free(gone.closed);
	j->in[in] = j->in[--j->in_count];
}

static int note_cells(struct om_totals *t, const struct job *j, uint32_t day, struct list *cells)
{
	struct names n = sum_names_on(t, j, day);
	uint32_t cell[2];
	int r = store_need_cell(t, OM_GROUP_MODEL, n.tenant, n.model, &cell[0]);

	if (r == 0 && n.lineage)
		r = store_need_cell(t, OM_GROUP_LINEAGE, n.lineage, n.tenant, &cell[1]);
	for (int k = 0; r == 0 && k < (n.lineage ? 2 : 1); k++) {
		bool is_noted = false;

		for (size_t i = 0; i < cells->count; i++)
			is_noted |= cells->item[i] == cell[k];
		r = is_noted ? 0 : list_push(cells, cell[k]);
	}
	return r;
}

/* Brings the job into the cells that its days belong to, and out of the others. */
int cells_place(struct om_totals *t, uint32_t job, struct list *cells)
{
	struct job *j = job_at(t, job);
	struct section s;
	int r = sum_gather_live(t, job);

	for (size_t i = 0; r == 0 && i < t->part_count; i++)
		if (i == 0 || t->part[i].day != t->part[i - 1].day)
			r = note_cells(t, j, t->part[i].day, cells);
	for (uint32_t at = 0; r == 0 && fold_next(j, &at, &s);)
		r = note_cells(t, j, s.day, cells);
	for (size_t i = 0; r == 0 && i < cells->count; i++)
		if (!cells_membership(j, cells->item[i]))
			r = enter(t, job, cells->item[i]);
	for (uint32_t in = j->in_count; r == 0 && in-- > 0;) {
		bool stays = false;

		for (size_t i = 0; i < cells->count; i++)
			stays |= cells->item[i] == j->in[in].cell;
		if (!stays)
			leave(t, job, in);
	}
	return r;
}
