// SPDX-License-Identifier: Apache-2.0
/* The graph of entities: filling it, and what of it holds on a day. */
#include "ownership_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

struct own_text {
	struct own_text *next;
	size_t len, room;
	char text[];
};

struct owners *owners_new(void)
{
	return calloc(1, sizeof(struct owners));
}

struct owners *owners_free(struct owners *o)
{
	if (!o)
		return NULL;
	for (size_t i = 0; i < o->entities.count; i++) {
		struct own_entity *e = &o->entities.item[i];

		free(e->records.item);
		free(e->edges.item);
		free(e->exceptions.item);
		free(e->hits.item);
	}
	while (o->texts) {
		struct own_text *next = o->texts->next;

		free(o->texts);
		o->texts = next;
	}
	free(o->entities.item);
	free(o->index);
	free(o->bindings.item);
	for (size_t i = 0; i < o->changes.count; i++)
		free(o->changes.item[i].day);
	free(o->changes.item);
	free(o->any.day);
	free(o);
	return NULL;
}

const char *owners_text(struct owners *o, const char *s)
{
	size_t n = s ? strlen(s) + 1 : 1, room = n > 65536 ? n : 65536;
	char *copy;

	if (!o->texts || o->texts->room - o->texts->len < n) {
		struct own_text *t = malloc(sizeof(*t) + room);

		if (!t)
			return NULL;
		*t = (struct own_text){ .next = o->texts, .room = room };
		o->texts = t;
	}
	copy = o->texts->text + o->texts->len;
	memcpy(copy, s ?: "", n);
	o->texts->len += n;
	return copy;
}

static size_t hash_of(const char *s)
{
	uint64_t h = 1469598103934665603u;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 1099511628211u;
	return (size_t)(h ^ h >> 29);
}

/* Where the id is, or the free place where it would be. */
static size_t slot_of(const struct owners *o, const char *id)
{
	size_t at = hash_of(id) % o->index_size;

	while (o->index[at] && strcmp(o->entities.item[o->index[at] - 1].id, id))
		at = (at + 1) % o->index_size;
	return at;
}

size_t owners_find(const struct owners *o, const char *id)
{
	size_t at = o->index_size ? o->index[slot_of(o, id)] : 0;

	return at ? at - 1 : OWNER_NOWHERE;
}

static int grow_index(struct owners *o)
{
	size_t size = o->index_size ? o->index_size * 2 + 1 : 1021;
	size_t *index = calloc(size, sizeof(*index));

	if (!index)
		return -ENOMEM;
	free(o->index);
	o->index = index;
	o->index_size = size;
	for (size_t i = 0; i < o->entities.count; i++)
		o->index[slot_of(o, o->entities.item[i].id)] = i + 1;
	return 0;
}

/* A place at the end of a list, zeroed; NULL: out of memory. */
static void *list_place(void **item, size_t *count, size_t *room, size_t size)
{
	if (*count == *room) {
		size_t more = *room ? *room * 2 : 4;
		void *bigger = reallocarray(*item, more, size);

		if (!bigger)
			return NULL;
		*item = bigger;
		*room = more;
	}
	return memset((char *)*item + (*count)++ * size, 0, size);
}
#define PLACE(list) list_place((void **)&(list).item, &(list).count, &(list).room, sizeof(*(list).item))

int owners_entity(struct owners *o, const char *id, size_t *ret)
{
	struct own_entity *e;
	const char *copy;
	int r = o->entities.count * 2 >= o->index_size ? grow_index(o) : 0;

	if (r)
		return r;
	*ret = owners_find(o, id);
	if (*ret != OWNER_NOWHERE)
		return 0;
	copy = owners_text(o, id);
	e = copy ? PLACE(o->entities) : NULL;
	if (!e)
		return -ENOMEM;
	e->id = copy;
	*ret = o->entities.count - 1;
	o->index[slot_of(o, id)] = o->entities.count;
	return 0;
}

int owners_add_record(struct owners *o, size_t entity, const struct own_record *r)
{
	struct own_record *n = PLACE(o->entities.item[entity].records);

	if (!n)
		return -ENOMEM;
	*n = *r;
	n->source = owners_text(o, r->source);
	n->name = owners_text(o, r->name);
	n->headquarters = owners_text(o, r->headquarters);
	n->jurisdiction = owners_text(o, r->jurisdiction);
	n->registration = owners_text(o, r->registration);
	return n->source && n->name && n->headquarters && n->jurisdiction && n->registration ? 0 : -ENOMEM;
}

int owners_add_edge(struct owners *o, size_t entity, const struct own_edge *e)
{
	struct own_edge *n = PLACE(o->entities.item[entity].edges);

	if (!n)
		return -ENOMEM;
	*n = *e;
	n->source = owners_text(o, e->source);
	return n->source ? 0 : -ENOMEM;
}

int owners_add_exception(struct owners *o, size_t entity, const struct own_exception *x)
{
	struct own_exception *n = PLACE(o->entities.item[entity].exceptions);

	if (!n)
		return -ENOMEM;
	*n = *x;
	n->source = owners_text(o, x->source);
	n->reason = owners_text(o, x->reason);
	return n->source && n->reason ? 0 : -ENOMEM;
}

int owners_add_hit(struct owners *o, size_t entity, const struct own_hit *h)
{
	struct own_hit *n = PLACE(o->entities.item[entity].hits);

	if (!n)
		return -ENOMEM;
	*n = *h;
	n->list = owners_text(o, h->list);
	n->entry = owners_text(o, h->entry);
	return n->list && n->entry ? 0 : -ENOMEM;
}

int owners_add_binding(struct owners *o, const struct own_binding *b)
{
	struct own_binding *n = PLACE(o->bindings);

	if (!n)
		return -ENOMEM;
	*n = *b;
	n->tenant = owners_text(o, b->tenant);
	return n->tenant ? 0 : -ENOMEM;
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int by_source(const void *x, const void *y)
{
	const struct own_record *a = x, *b = y;

	return strcmp(a->source, b->source) ?: ORDER(a->since, b->since);
}

/* Down to the facts: what holds must not depend on the order of loading. */
static int by_thing(const void *x, const void *y)
{
	const struct own_edge *a = x, *b = y;
	int r = ORDER(a->tie, b->tie) ?: ORDER(a->parent, b->parent);

	r = r ?: strcmp(a->source, b->source);
	r = r ?: ORDER(a->from, b->from) ?: ORDER(a->since, b->since);
	return r ?: ORDER(a->to, b->to) ?: ORDER(a->share_ppb, b->share_ppb);
}

static int by_reason(const void *x, const void *y)
{
	const struct own_exception *a = x, *b = y;
	int r = ORDER(a->is_ultimate, b->is_ultimate) ?: strcmp(a->source, b->source);

	return r ?: ORDER(a->since, b->since) ?: strcmp(a->reason, b->reason);
}

static int by_entry(const void *x, const void *y)
{
	const struct own_hit *a = x, *b = y;

	return strcmp(a->list, b->list) ?: strcmp(a->entry, b->entry) ?: ORDER(a->from, b->from);
}

static int by_tenant(const void *x, const void *y)
{
	const struct own_binding *a = x, *b = y;

	return strcmp(a->tenant, b->tenant) ?: ORDER(a->number, b->number);
}

#define SORT(list, by)                                                                                       \
	do {                                                                                                 \
		if ((list).count)                                                                            \
			qsort((list).item, (list).count, sizeof(*(list).item), by);                          \
	} while (0)

void owners_sort(struct owners *o)
{
	for (size_t i = 0; i < o->entities.count; i++) {
		struct own_entity *e = &o->entities.item[i];

		SORT(e->records, by_source);
		SORT(e->edges, by_thing);
		SORT(e->exceptions, by_reason);
		SORT(e->hits, by_entry);
	}
	SORT(o->bindings, by_tenant);
}

const struct own_record *own_record_on(const struct own_entity *e, int32_t day, bool *disagree)
{
	const struct own_record *best = NULL;

	*disagree = false;
	for (size_t i = 0, next; i < e->records.count; i = next) {
		const struct own_record *holds = &e->records.item[i];

		for (next = i + 1;
		     next < e->records.count && !strcmp(e->records.item[next].source, holds->source); next++)
			if (e->records.item[next].since <= day)
				holds = &e->records.item[next];
		if (holds->until <= day)
			continue;
		if (best && best->is_person == holds->is_person &&
		    strcmp(best->headquarters, holds->headquarters))
			*disagree = true;
		if (!best || holds->is_person > best->is_person ||
		    (holds->is_person == best->is_person && holds->since > best->since)) {
			/* A person settles what sources say. */
			if (best && holds->is_person > best->is_person)
				*disagree = false;
			best = holds;
		}
	}
	return best;
}

static int32_t speaks_from(const struct own_edge *e, bool is_first)
{
	return e->from != INT32_MIN ? e->from : is_first ? INT32_MIN : e->since;
}

static bool same_thing(const struct own_edge *a, const struct own_edge *b)
{
	return a->tie == b->tie && a->parent == b->parent && !strcmp(a->source, b->source) &&
	       a->from == b->from;
}

/* The newest version of one edge that speaks on the day, if what it says holds then. */
static const struct own_edge *version_on(const struct own_edge *first, size_t count, int32_t day)
{
	const struct own_edge *holds = NULL;

	for (size_t i = 0; i < count; i++)
		if (speaks_from(&first[i], i == 0) <= day)
			holds = &first[i];
	if (!holds || !holds->is_active || holds->is_void || holds->until <= day || holds->to <= day)
		return NULL;
	return holds;
}

size_t own_edges_on(const struct own_entity *e, int32_t day, const struct own_edge **ret, size_t room)
{
	size_t n = 0, next;

	for (size_t i = 0; i < e->edges.count; i = next) {
		const struct own_edge *first = &e->edges.item[i], *holds;

		for (next = i + 1; next < e->edges.count && same_thing(first, &e->edges.item[next]); next++)
			;
		holds = version_on(first, next - i, day);
		if (!holds)
			continue;
		/* The same tie by another source, or by another period of the same one: the newer record. */
		if (n && n <= room && ret[n - 1]->tie == holds->tie && ret[n - 1]->parent == holds->parent) {
			if (holds->since >= ret[n - 1]->since)
				ret[n - 1] = holds;
			continue;
		}
		if (n < room)
			ret[n] = holds;
		n++;
	}
	return n;
}

const struct own_exception *own_exception_on(const struct own_entity *e, int32_t day, bool is_ultimate)
{
	const struct own_exception *best = NULL;

	for (size_t i = 0; i < e->exceptions.count; i++) {
		const struct own_exception *x = &e->exceptions.item[i];

		if (x->is_ultimate != is_ultimate || x->until <= day)
			continue;
		/* The first of a source has held from ever. */
		if (i && !strcmp(x[-1].source, x->source) && x[-1].is_ultimate == is_ultimate &&
		    x->since > day)
			continue;
		if (!best || x->since >= best->since)
			best = x;
	}
	return best;
}

size_t own_first_binding(const struct owners *o, const char *tenant)
{
	size_t low = 0, high = o->bindings.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(o->bindings.item[mid].tenant, tenant) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t own_bound_on(const struct owners *o, const char *tenant, int32_t day)
{
	size_t entity = OWNER_NOWHERE;

	for (size_t i = own_first_binding(o, tenant); i < o->bindings.count; i++) {
		const struct own_binding *b = &o->bindings.item[i];

		if (strcmp(b->tenant, tenant))
			break;
		if (b->from <= day && day < b->to)
			entity = b->entity;
	}
	return entity;
}

bool own_hit_holds(const struct own_hit *h, int32_t day)
{
	return h->from <= day && day < h->to;
}

size_t owners_tenant_count(const struct owners *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->bindings.count; i++)
		n += i == 0 || strcmp(o->bindings.item[i].tenant, o->bindings.item[i - 1].tenant);
	return n;
}

const char *owners_tenant(const struct owners *o, size_t wanted)
{
	size_t n = 0;

	for (size_t i = 0; i < o->bindings.count; i++) {
		if (i && !strcmp(o->bindings.item[i].tenant, o->bindings.item[i - 1].tenant))
			continue;
		if (n++ == wanted)
			return o->bindings.item[i].tenant;
	}
	return NULL;
}
