// SPDX-License-Identifier: Apache-2.0
/* When the answer for a tenant changes: every day on which any loaded fact begins or ends is tried. */
#include "ownership_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

struct days {
	int32_t *item;
	size_t count, room;
	int32_t from, to;
	bool failed;
};

static void add(struct days *d, int32_t day)
{
	if (day <= d->from || day >= d->to || d->failed)
		return;
	if (d->count == d->room) {
		size_t room = d->room ? d->room * 2 : 64;
		int32_t *more = reallocarray(d->item, room, sizeof(*more));

		if (!more) {
			d->failed = true;
			return;
		}
		d->item = more;
		d->room = room;
	}
	d->item[d->count++] = day;
}

static void add_entity(struct days *d, const struct own_entity *e)
{
	for (size_t i = 0; i < e->records.count; i++) {
		add(d, e->records.item[i].since);
		add(d, e->records.item[i].until);
	}
	for (size_t i = 0; i < e->edges.count; i++) {
		const struct own_edge *g = &e->edges.item[i];

		add(d, g->since);
		add(d, g->until);
		add(d, g->from);
		add(d, g->to);
	}
	for (size_t i = 0; i < e->exceptions.count; i++) {
		add(d, e->exceptions.item[i].since);
		add(d, e->exceptions.item[i].until);
	}
	for (size_t i = 0; i < e->hits.count; i++) {
		add(d, e->hits.item[i].from);
		add(d, e->hits.item[i].to);
	}
}

/* Entities that may be on a path of the tenant: its own and all above them. */
static int reach(const struct owners *o, const char *tenant, struct days *d)
{
	_cleanup_free_ bool *seen = calloc(o->entities.count + 1, 1);
	_cleanup_free_ size_t *queue = calloc(o->entities.count + 1, sizeof(*queue));
	size_t head = 0, tail = 0;

	if (!seen || !queue)
		return -ENOMEM;
	for (size_t i = 0; i < o->bindings.count; i++) {
		const struct own_binding *b = &o->bindings.item[i];

		if (strcmp(b->tenant, tenant))
			continue;
		add(d, b->from);
		add(d, b->to);
		if (b->entity != OWNER_NOWHERE && !seen[b->entity]) {
			seen[b->entity] = true;
			queue[tail++] = b->entity;
		}
	}
	while (head < tail) {
		const struct own_entity *e = &o->entities.item[queue[head++]];

		add_entity(d, e);
		for (size_t i = 0; i < e->edges.count; i++) {
			if (seen[e->edges.item[i].parent])
				continue;
			seen[e->edges.item[i].parent] = true;
			queue[tail++] = e->edges.item[i].parent;
		}
	}
	return d->failed ? -ENOMEM : 0;
}

static int by_day(const void *x, const void *y)
{
	int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;

	return (a > b) - (a < b);
}

int owners_periods(const struct owners *o, const char *tenant, int32_t from_day, int32_t to_day,
		   struct owner_period **ret, size_t *ret_count)
{
	struct days d = { .from = from_day, .to = to_day };
	_cleanup_free_ struct owner_period *periods = NULL;
	_cleanup_free_ int32_t *days = NULL;
	size_t n = 0;
	int r;

	if (to_day <= from_day)
		return -EINVAL;
	r = o ? reach(o, tenant, &d) : 0;
	days = d.item;
	if (r)
		return r;
	if (d.count)
		qsort(days, d.count, sizeof(*days), by_day);
	periods = calloc(d.count + 1, sizeof(*periods));
	if (!periods)
		return -ENOMEM;
	for (size_t i = 0; i <= d.count; i++) {
		struct owner_period *p = &periods[n];

		p->from_day = i ? days[i - 1] : from_day;
		if (i > 1 && days[i - 1] == days[i - 2])
			continue;
		owners_resolve(o, tenant, p->from_day, &p->answer);
		if (n && !strcmp(p[-1].answer.version, p->answer.version))
			continue;
		if (n)
			p[-1].to_day = p->from_day;
		n++;
	}
	periods[n - 1].to_day = to_day;
	*ret = TAKE_PTR(periods);
	*ret_count = n;
	return 0;
}
