// SPDX-License-Identifier: Apache-2.0
/*
 * Hints to the nodes: whose registers they send each second, since a total of the fleet is near a level. A
 * node sees its own part only. Of a family that is near, every tenant is.
 *
 * Hints are said anew while they hold, so that they end by themselves if there is no judge, and are taken
 * back half a minute after the figure left, so that what goes to and fro costs little.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/near.h"

#define SECOND_NS 1000000000ULL
#define DAY_NS (86400 * SECOND_NS)
#define LOOK_NS SECOND_NS
#define STAYS_NS (30 * SECOND_NS)
#define HINTS_ROOM (4 * OM_NEAR_MAX) /* with those that others wrote and that are to be taken back */
#define SAYINGS_AT_ONCE 1000

struct hint {
	struct om_id id;
	uint64_t since_ns, until_ns; /* on the topic; until 0: it is not there */
	uint64_t near_ns;	     /* last seen near; 0: not yet looked at */
	bool is_strange;	     /* what stands there is no hint */
};

struct batch {
	struct saying saying[SAYINGS_AT_ONCE];
	struct hint *hint[SAYINGS_AT_ONCE];
	char key[SAYINGS_AT_ONCE][OM_NEAR_KEY_MAX];
	size_t count;
};

struct near_watch {
	char fleet[OM_NEAR_FLEET_MAX + 1];
	struct hint *hint;
	size_t count, room;
	struct batch *batch; /* what is being said; NULL: nothing was yet */
	uint64_t looked_ns;  /* Unix time */
	bool is_due, has_adopted;
	uint64_t cut; /* subjects for which there was no room */
};

struct near_watch *near_watch_new(const char *fleet)
{
	struct near_watch *w = calloc(1, sizeof(*w));

	if (w)
		snprintf(w->fleet, sizeof(w->fleet), "%s", fleet);
	return w;
}

struct near_watch *near_watch_free(struct near_watch *w)
{
	if (!w)
		return NULL;
	near_watch_said(w, false);
	free(w->batch);
	free(w->hint);
	free(w);
	return NULL;
}

static struct hint *find(const struct near_watch *w, const struct om_id *id)
{
	for (size_t i = 0; i < w->count; i++)
		if (om_id_equal(&w->hint[i].id, id))
			return &w->hint[i];
	return NULL;
}

/* 0; 1: there is no room; -ENOMEM. */
static int need(struct near_watch *w, const struct om_id *id, size_t room_max, struct hint **ret)
{
	*ret = find(w, id);
	if (*ret)
		return 0;
	if (w->count >= room_max)
		return 1;
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 16;
		struct hint *more = reallocarray(w->hint, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->hint = more;
		w->room = room;
	}
	*ret = &w->hint[w->count++];
	**ret = (struct hint){ .id = *id };
	return 0;
}

int near_watch_take(struct near_watch *w, const rd_kafka_message_t *m)
{
	struct om_near_hint is = { 0 };
	struct om_id id;
	struct hint *h;
	size_t fleet;
	int r;

	if (!m->key || om_near_key_parse(m->key, m->key_len, &id, &fleet) || fleet != strlen(w->fleet) ||
	    memcmp(m->key, w->fleet, fleet) != 0)
		return 0; /* another fleet's, or nobody's */
	if (!m->payload && !find(w, &id))
		return 0;
	r = need(w, &id, HINTS_ROOM, &h);
	if (r)
		return r < 0 ? r : 0;
	h->is_strange = m->payload && om_near_hint_decode(m->payload, m->len, &is) != 0;
	h->since_ns = is.since_ns;
	h->until_ns = is.until_ns;
	return 0;
}

/* --- who is near --- */

/* A tenant with a parent that it may share. */
struct kept {
	char tenant[130];
	const char *parent; /* a loan of the owners */
	opcount training_high;
};

struct look {
	struct near_watch *w;
	const struct policy *p;
	int32_t day;
	struct kept *kept; /* tenants whose parent is known, in the order of their names */
	size_t count, room;
	size_t near;
};

static int found(struct look *l, enum om_near_kind kind, const char *name, const char *model)
{
	struct om_id id;
	struct hint *h;
	int r;

	om_near_id_of(kind, name, model, &id);
	r = l->near < OM_NEAR_MAX ? need(l->w, &id, HINTS_ROOM, &h) : 1;
	if (r < 0)
		return r;
	if (r == 1) {
		if (l->w->cut++ == 0)
			log_warn("more than %d subjects are near a level: nodes of the others are not told",
				 OM_NEAR_MAX);
		return 0;
	}
	if (!h->near_ns && !h->until_ns)
		log_info("%s%s%s is near a level: its nodes are told", name, *model ? "/" : "", model);
	h->near_ns = l->p->now_ns;
	l->near++;
	return 0;
}

static int keep(struct look *l, const struct om_subject_total *s)
{
	struct kept *last = l->count ? &l->kept[l->count - 1] : NULL;
	struct owner_answer a;

	if (last && !strcmp(last->tenant, s->tenant)) {
		opcount_add_saturating(&last->training_high, s->training_high);
		return 0;
	}
	if (!l->p->owners || !strcmp(s->tenant, "unknown"))
		return 0;
	owners_resolve(l->p->owners, s->tenant, l->day, &a);
	if (a.state != OWNER_KNOWN)
		return 0;
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		struct kept *more = reallocarray(l->kept, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->kept = more;
		l->room = room;
	}
	last = &l->kept[l->count++];
	*last = (struct kept){ .parent = a.path[a.steps - 1].entity, .training_high = s->training_high };
	snprintf(last->tenant, sizeof(last->tenant), "%s", s->tenant);
	return 0;
}

static int compare_parents(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->parent, ((const struct kept *)b)->parent);
}

/* Tenants of one parent. What they train together is certain of no model, so only the upper bound says. */
static int look_at_family(struct look *l, const struct kept *k, size_t n)
{
	struct om_subject_total sum = { .tenant = "", .model = "", .lineage = "" };
	int r = 0;

	for (size_t i = 0; i < n; i++)
		opcount_add_saturating(&sum.training_high, k[i].training_high);
	if (n < 2 || !om_near_level(l->p->regimes, &sum, l->day))
		return 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = found(l, OM_NEAR_TENANT, k[i].tenant, "");
	return r;
}

static int look_at_families(struct look *l)
{
	int r = 0;

	if (l->count)
		qsort(l->kept, l->count, sizeof(*l->kept), compare_parents);
	for (size_t from = 0, to; r == 0 && from < l->count; from = to) {
		for (to = from + 1; to < l->count && !compare_parents(&l->kept[from], &l->kept[to]); to++)
			;
		r = look_at_family(l, &l->kept[from], to - from);
	}
	return r;
}

static int look_at(void *ctx, const struct om_subject_total *s)
{
	struct look *l = ctx;
	int r = s->group == OM_GROUP_MODEL ? keep(l, s) : 0;

	if (r || !om_near_level(l->p->regimes, s, l->day))
		return r;
	return s->group == OM_GROUP_LINEAGE ? found(l, OM_NEAR_LINEAGE, s->lineage, "")
					    : found(l, OM_NEAR_MODEL, s->tenant, s->model);
}

int near_watch_look(struct near_watch *w, struct view *view, const struct policy *p)
{
	struct look l = { .w = w, .p = p, .day = (int32_t)(p->now_ns / DAY_NS) };
	int r;

	w->is_due = p->now_ns - w->looked_ns >= LOOK_NS;
	if (!w->is_due)
		return 0;
	w->looked_ns = p->now_ns;
	r = view_each(view, OM_GROUP_MODEL, look_at, &l);
	r = r ?: view_each(view, OM_GROUP_LINEAGE, look_at, &l);
	r = r ?: look_at_families(&l);
	free(l.kept);
	return r;
}

/* --- what is said --- */

static bool is_wanted(const struct hint *h, uint64_t now_ns)
{
	return now_ns - h->near_ns < STAYS_NS;
}

static bool is_owed(const struct hint *h, uint64_t now_ns)
{
	bool is_there = h->until_ns || h->is_strange;

	if (!is_wanted(h, now_ns))
		return is_there;
	return h->is_strange || h->until_ns < now_ns + OM_NEAR_HOLDS_NS / 2 ||
	       h->until_ns > now_ns + 2 * OM_NEAR_HOLDS_NS;
}

static int put(struct near_watch *w, struct batch *b, struct hint *h)
{
	struct saying *s = &b->saying[b->count];
	struct om_near_hint is = { .since_ns = h->until_ns ? h->since_ns : w->looked_ns,
				   .until_ns = w->looked_ns + OM_NEAR_HOLDS_NS };

	*s = (struct saying){ .topic = OM_TOPIC_NEAR,
			      .partition_plus_1 = 1,
			      .key = om_near_key(w->fleet, &h->id, b->key[b->count]) };
	if (is_wanted(h, w->looked_ns)) {
		s->text = om_near_hint_encode(&is);
		if (!s->text)
			return -ENOMEM;
	}
	b->hint[b->count++] = h;
	return 0;
}

/* What was written is there, whatever comes back first of what others wrote. */
static void note(const struct near_watch *w, struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct hint *h = b->hint[i];
		bool is_wanted_now = b->saying[i].text;

		if (is_wanted_now && !h->until_ns)
			h->since_ns = w->looked_ns;
		h->until_ns = is_wanted_now ? w->looked_ns + OM_NEAR_HOLDS_NS : 0;
		h->is_strange = false;
	}
}

static void forget_gone(struct near_watch *w)
{
	for (size_t i = w->count; i > 0; i--) {
		struct hint *h = &w->hint[i - 1];

		if (!is_wanted(h, w->looked_ns) && !h->until_ns && !h->is_strange)
			*h = w->hint[--w->count];
	}
}

/* What the judge before us said stays for as long as what we say ourselves. What comes later is nobody's. */
static void adopt(struct near_watch *w)
{
	for (size_t i = 0; !w->has_adopted && i < w->count; i++)
		if (!w->hint[i].near_ns && w->hint[i].until_ns > w->looked_ns)
			w->hint[i].near_ns = w->looked_ns;
	w->has_adopted = true;
}

int near_watch_owed(struct near_watch *w, struct saying **ret, size_t *ret_count)
{
	int r = 0;

	*ret_count = 0;
	if (!w->is_due)
		return 0;
	w->is_due = false;
	adopt(w);
	forget_gone(w);
	w->batch = w->batch ?: calloc(1, sizeof(*w->batch));
	if (!w->batch)
		return -ENOMEM;
	/* What is more than one batch waits for the next look. */
	for (size_t i = 0; r == 0 && i < w->count && w->batch->count < SAYINGS_AT_ONCE; i++)
		if (is_owed(&w->hint[i], w->looked_ns))
			r = put(w, w->batch, &w->hint[i]);
	*ret = w->batch->saying;
	*ret_count = w->batch->count;
	return r;
}

void near_watch_said(struct near_watch *w, bool are_written)
{
	struct batch *b = w->batch;

	if (!b)
		return;
	if (are_written)
		note(w, b);
	for (size_t i = 0; i < b->count; i++)
		free(b->saying[i].text);
	b->count = 0;
}
