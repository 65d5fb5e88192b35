// SPDX-License-Identifier: Apache-2.0
/* When the answer for a tenant changes: every day on which any loaded fact begins or ends is tried. */
#include "ownership_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define FIRST_DAY 1
#define LAST_DAY 50000 /* in 2106 */

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

/* Entities that were met, one walk after the other: those of this walk have its number. */
struct met {
	uint32_t *walk, now;
	size_t *queue;
};

static int met_begin(struct met *m, const struct owners *o)
{
	m->walk = calloc(o->entities.count + 1, sizeof(*m->walk));
	m->queue = calloc(o->entities.count + 1, sizeof(*m->queue));
	m->now = 0;
	return m->walk && m->queue ? 0 : -ENOMEM;
}

static void met_done(struct met *m)
{
	free(m->walk);
	free(m->queue);
}

static void meet(struct met *m, size_t entity, size_t *tail)
{
	if (entity == OWNER_NOWHERE || m->walk[entity] == m->now)
		return;
	m->walk[entity] = m->now;
	m->queue[(*tail)++] = entity;
}

/* Entities that may be on a path of the tenant: its own and all above them. */
static int reach(const struct owners *o, const char *tenant, struct met *m, struct days *d)
{
	size_t head = 0, tail = 0;

	m->now++;
	for (size_t i = own_first_binding(o, tenant); i < o->bindings.count; i++) {
		const struct own_binding *b = &o->bindings.item[i];

		if (strcmp(b->tenant, tenant))
			break;
		add(d, b->from);
		add(d, b->to);
		meet(m, b->entity, &tail);
	}
	while (head < tail) {
		const struct own_entity *e = &o->entities.item[m->queue[head++]];

		add_entity(d, e);
		for (size_t i = 0; i < e->edges.count; i++)
			meet(m, e->edges.item[i].parent, &tail);
	}
	return d->failed ? -ENOMEM : 0;
}

static int by_day(const void *x, const void *y)
{
	int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;

	return (a > b) - (a < b);
}

static int periods_of(const struct owners *o, const char *tenant, struct met *m, struct days d,
		      struct owner_period **ret, size_t *ret_count)
{
	_cleanup_free_ struct owner_period *periods = NULL;
	_cleanup_free_ int32_t *days = NULL;
	int32_t from_day = d.from, to_day = d.to;
	size_t n = 0;
	int r = o ? reach(o, tenant, m, &d) : 0;

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

int owners_periods(const struct owners *o, const char *tenant, int32_t from_day, int32_t to_day,
		   struct owner_period **ret, size_t *ret_count)
{
	const struct days d = { .from = from_day, .to = to_day };
	struct met m = { NULL, 0, NULL };
	int r = to_day <= from_day ? -EINVAL : o ? met_begin(&m, o) : 0;

	r = r ?: periods_of(o, tenant, &m, d, ret, ret_count);
	met_done(&m);
	return r;
}

static int take_changes(struct owners *o, const char *tenant, struct met *m)
{
	const struct days d = { .from = FIRST_DAY, .to = LAST_DAY };
	_cleanup_free_ struct owner_period *p = NULL;
	struct own_changes *c;
	size_t n;
	int r = periods_of(o, tenant, m, d, &p, &n);

	if (r || n < 2)
		return r;
	if (o->changes.count == o->changes.room) {
		size_t room = o->changes.room ? 2 * o->changes.room : 16;

		c = reallocarray(o->changes.item, room, sizeof(*c));
		if (!c)
			return -ENOMEM;
		o->changes.item = c;
		o->changes.room = room;
	}
	c = &o->changes.item[o->changes.count];
	*c = (struct own_changes){ .tenant = tenant, .day = calloc(n, sizeof(*c->day)) };
	if (!c->day)
		return -ENOMEM;
	o->changes.count++;
	for (size_t i = 1; i < n; i++)
		c->day[c->count++] = p[i].from_day;
	return 0;
}

/* Of all tenants together, each day once. */
static int take_any(struct owners *o)
{
	size_t all = 0, n = 0;

	for (size_t i = 0; i < o->changes.count; i++)
		all += o->changes.item[i].count;
	if (!all)
		return 0;
	o->any.day = calloc(all, sizeof(*o->any.day));
	if (!o->any.day)
		return -ENOMEM;
	for (size_t i = 0; i < o->changes.count; i++)
		for (size_t k = 0; k < o->changes.item[i].count; k++)
			o->any.day[n++] = o->changes.item[i].day[k];
	qsort(o->any.day, n, sizeof(*o->any.day), by_day);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || o->any.day[i] != o->any.day[i - 1])
			o->any.day[o->any.count++] = o->any.day[i];
	return 0;
}

int owners_prepare(struct owners *o)
{
	struct met m;
	int r = met_begin(&m, o);

	for (size_t i = 0; r == 0 && i < o->bindings.count; i++)
		if (i == 0 || strcmp(o->bindings.item[i].tenant, o->bindings.item[i - 1].tenant))
			r = take_changes(o, o->bindings.item[i].tenant, &m);
	met_done(&m);
	return r ?: take_any(o);
}

static int compare_tenants(const void *name, const void *changes)
{
	return strcmp(name, ((const struct own_changes *)changes)->tenant);
}

const int32_t *owners_change_days(const struct owners *o, const char *tenant, size_t *ret_count)
{
	const struct own_changes *c = !tenant ? (o ? &o->any : NULL)
				      : o && o->changes.count
					      ? bsearch(tenant, o->changes.item, o->changes.count,
							sizeof(*o->changes.item), compare_tenants)
					      : NULL;

	*ret_count = c ? c->count : 0;
	return c ? c->day : NULL;
}

const char *owners_lost_tenant(const struct owners *o, const struct owners *before)
{
	for (size_t i = 0; i < before->bindings.count; i++) {
		const char *tenant = before->bindings.item[i].tenant;
		size_t at = own_first_binding(o, tenant);

		if (at == o->bindings.count || strcmp(o->bindings.item[at].tenant, tenant) != 0)
			return tenant;
	}
	return NULL;
}

bool owners_change_alike(const struct owners *a, const struct owners *b)
{
	if (a->changes.count != b->changes.count)
		return false;
	for (size_t i = 0; i < a->changes.count; i++) {
		const struct own_changes *x = &a->changes.item[i], *y = &b->changes.item[i];

		if (strcmp(x->tenant, y->tenant) || x->count != y->count ||
		    memcmp(x->day, y->day, x->count * sizeof(*x->day)) != 0)
			return false;
	}
	return true;
}
