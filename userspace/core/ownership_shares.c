// SPDX-License-Identifier: Apache-2.0
/*
 * Listed parties' shares over the graph of holdings above an entity. Each figure
 * is the least one that its rule allows and is found by repeating the rule until
 * nothing grows, so that holdings that run in a circle have an answer too.
 */
#include "ownership_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define WHOLE_PPB 1000000000u
#define ROUNDS_MAX 200 /* a circle of holdings converges; by then the rest is below rounding */

struct holder {
	size_t entity;
	bool is_listed, is_open, is_top, is_over;
	uint32_t cascade, through, possible, unexplained;
	size_t first, edges; /* of its holders, in `ties` */
};

struct tie {
	size_t holder; /* position in `holders` */
	uint32_t share_ppb;
	bool is_known;
};

struct graph {
	const struct owners *o;
	int32_t day;
	const char *const *lists;
	uint32_t threshold;
	struct holder *holders;
	size_t count;
	size_t *position; /* of each entity, + 1 */
	struct tie *ties;
	size_t tie_count, tie_room;
	struct owner_share_answer *a;
};

const char *owner_standing_name(enum owner_standing s)
{
	static const char *const names[] = { "clear", "listed", "affiliate", "below-50-red-flag", "unknown" };

	return names[s];
}

bool owners_has_lists(const struct owners *o)
{
	return o && o->has_lists;
}

static bool is_wanted(const struct graph *g, const char *list)
{
	for (const char *const *l = g->lists; l && *l; l++)
		if (!strcmp(*l, list))
			return true;
	return !g->lists;
}

static void look_at_hits(struct graph *g, struct holder *h)
{
	const struct own_entity *e = &g->o->entities.item[h->entity];

	for (size_t i = 0; i < e->hits.count; i++) {
		const struct own_hit *x = &e->hits.item[i];

		if (!own_hit_holds(x, g->day) || !is_wanted(g, x->list))
			continue;
		h->is_listed |= x->word == OWN_HIT_CONFIRMED;
		h->is_open |= x->word == OWN_HIT_OPEN;
		g->a->hits.open += x->word == OWN_HIT_OPEN;
		g->a->hits.confirmed += x->word == OWN_HIT_CONFIRMED;
		g->a->hits.dismissed += x->word == OWN_HIT_DISMISSED;
	}
}

static size_t place_of(struct graph *g, size_t entity)
{
	if (!g->position[entity]) {
		g->holders[g->count] = (struct holder){ .entity = entity };
		g->position[entity] = ++g->count;
	}
	return g->position[entity] - 1;
}

static int add_tie(struct graph *g, size_t holder, uint32_t share_ppb, bool is_known)
{
	if (g->tie_count == g->tie_room) {
		size_t room = g->tie_room ? g->tie_room * 2 : 64;
		struct tie *more = reallocarray(g->ties, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->ties = more;
		g->tie_room = room;
	}
	g->ties[g->tie_count++] = (struct tie){ holder, share_ppb, is_known };
	return 0;
}

/* The holders of one; a branch is its head office, a sub-fund a part of its umbrella. */
static int look_at(struct graph *g, size_t at)
{
	const struct own_entity *e = &g->o->entities.item[g->holders[at].entity];
	const struct own_edge *edges[OWN_EDGES_MAX];
	size_t n = own_edges_on(e, g->day, edges, OWN_EDGES_MAX);
	const struct own_record *record;
	bool disagree, is_cut = n > OWN_EDGES_MAX;
	uint64_t sum = 0;

	look_at_hits(g, &g->holders[at]);
	record = own_record_on(e, g->day, &disagree);
	g->holders[at].is_top = record && record->top;
	g->holders[at].first = g->tie_count;
	n = is_cut ? OWN_EDGES_MAX : n;
	for (size_t i = 0; i < n; i++) {
		bool is_part = edges[i]->tie == OWNER_TIE_BRANCH || edges[i]->tie == OWNER_TIE_SUBFUND;
		uint32_t share = is_part ? WHOLE_PPB : edges[i]->share_ppb + edges[i]->is_rounded;
		bool is_known = is_part || edges[i]->has_share;
		int r;

		if (edges[i]->tie != OWNER_TIE_HOLDS && !is_part)
			continue;
		sum += is_known ? share - (is_part ? 0 : edges[i]->is_rounded) : 0;
		r = add_tie(g, place_of(g, edges[i]->parent), is_known ? share : 0, is_known);
		if (r)
			return r;
	}
	g->holders[at].edges = g->tie_count - g->holders[at].first;
	g->holders[at].is_over = sum > WHOLE_PPB;
	g->holders[at].unexplained = is_cut ? WHOLE_PPB
				     : sum >= WHOLE_PPB || g->holders[at].is_top
					     ? 0
					     : (uint32_t)(WHOLE_PPB - sum);
	return 0;
}

static uint32_t cap(uint64_t ppb)
{
	return ppb > WHOLE_PPB ? WHOLE_PPB : (uint32_t)ppb;
}

static uint32_t part_of(uint32_t share, uint32_t of)
{
	return (uint32_t)(((uint64_t)share * of + WHOLE_PPB - 1) / WHOLE_PPB);
}

/* What counts of a holder in each figure. */
static uint32_t whole_in_cascade(const struct graph *g, const struct holder *h)
{
	return h->is_listed || h->cascade >= g->threshold ? WHOLE_PPB : 0;
}

static uint32_t part_looked_through(const struct graph *g, const struct holder *h)
{
	return whole_in_cascade(g, h) ?: h->through;
}

static uint32_t part_possible(const struct graph *g, const struct holder *h)
{
	return h->is_listed || h->is_open || h->possible >= g->threshold ? WHOLE_PPB : h->possible;
}

/* One round over all. True: something grew. */
static bool grow(struct graph *g)
{
	bool grew = false;

	for (size_t i = g->count; i--;) {
		struct holder *h = &g->holders[i];
		uint64_t cascade = 0, through = 0, possible = h->unexplained;

		for (size_t k = h->first; k < h->first + h->edges; k++) {
			const struct holder *by = &g->holders[g->ties[k].holder];
			uint32_t share = g->ties[k].share_ppb;

			cascade += part_of(share, whole_in_cascade(g, by));
			through += part_of(share, part_looked_through(g, by));
			possible += part_of(share, part_possible(g, by));
		}
		grew |= cap(cascade) > h->cascade || cap(through) > h->through || cap(possible) > h->possible;
		h->cascade = cap(cascade) > h->cascade ? cap(cascade) : h->cascade;
		h->through = cap(through) > h->through ? cap(through) : h->through;
		h->possible = cap(possible) > h->possible ? cap(possible) : h->possible;
	}
	return grew;
}

/* A listed party holds, and nobody says how much. */
static bool has_unknown_listed(const struct graph *g)
{
	for (size_t k = 0; k < g->tie_count; k++)
		if (!g->ties[k].is_known && (part_looked_through(g, &g->holders[g->ties[k].holder]) ||
					     g->holders[g->ties[k].holder].is_open))
			return true;
	return false;
}

static bool is_over_anywhere(const struct graph *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (g->holders[i].is_over)
			return true;
	return false;
}

static const char *why_not_screened(const struct graph *g)
{
	return g->o->has_lists ? "not screened since the last change" : "no list to compare with is loaded";
}

static void judge(const struct graph *g, const struct owner_answer *owner)
{
	const struct holder *h = &g->holders[0];
	struct owner_share_answer *a = g->a;

	a->cascade_ppb = h->cascade;
	a->through_ppb = h->through;
	a->possible_ppb = h->possible;
	a->standing = OWNER_STANDING_UNKNOWN;
	if (h->is_listed)
		a->standing = OWNER_LISTED;
	else if (h->cascade >= g->threshold || h->through >= g->threshold)
		a->standing = OWNER_AFFILIATE;
	else if (a->hits.open)
		a->why = "a hit on a list waits for a person's word";
	else if (has_unknown_listed(g))
		a->why = "a listed party holds a share that is not known";
	else if (is_over_anywhere(g))
		a->why = "holders have more than 100 % together";
	else if (!owner->is_screened)
		a->why = why_not_screened(g);
	else if (h->possible >= g->threshold)
		a->why = "it is not known who holds the rest, and that may be enough";
	else if (h->cascade || h->through)
		a->standing = OWNER_BELOW_RED_FLAG;
	else if (owner->state != OWNER_KNOWN)
		a->why = owner_state_text(owner->state);
	else if (owner->lapsed)
		a->why = "a record of the path was not renewed";
	else
		a->standing = OWNER_CLEAR;
}

static int standing(const struct owners *o, size_t entity, int32_t day, const char *const *lists,
		    uint32_t threshold_ppb, const struct owner_answer *owner, struct owner_share_answer *ret)
{
	struct graph g = { .o = o, .day = day, .lists = lists, .threshold = threshold_ppb, .a = ret };
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ size_t *position = NULL;
	int r = 0, rounds = 0;

	*ret = (struct owner_share_answer){ .standing = OWNER_STANDING_UNKNOWN, .why = "" };
	if (entity == OWNER_NOWHERE) {
		ret->why = owner_state_text(OWNER_NO_ENTITY);
		return 0;
	}
	g.holders = holders = calloc(o->entities.count, sizeof(*holders));
	g.position = position = calloc(o->entities.count, sizeof(*position));
	if (!holders || !position)
		return -ENOMEM;
	place_of(&g, entity);
	for (size_t i = 0; i < g.count && r == 0; i++)
		r = look_at(&g, i);
	while (r == 0 && grow(&g) && ++rounds < ROUNDS_MAX)
		;
	if (r == 0)
		judge(&g, owner);
	free(g.ties);
	return r;
}

int owners_standing(const struct owners *o, const char *tenant, int32_t day, const char *const *lists,
		    uint32_t threshold_ppb, struct owner_share_answer *ret)
{
	struct owner_answer owner;

	owners_resolve(o, tenant, day, &owner);
	return standing(o, o ? own_bound_on(o, tenant, day) : OWNER_NOWHERE, day, lists, threshold_ppb,
			&owner, ret);
}

int owners_standing_entity(const struct owners *o, const char *entity, int32_t day, const char *const *lists,
			   uint32_t threshold_ppb, struct owner_share_answer *ret)
{
	struct owner_answer owner;

	owners_resolve_entity(o, entity, day, &owner);
	return standing(o, owners_find(o, entity), day, lists, threshold_ppb, &owner, ret);
}
