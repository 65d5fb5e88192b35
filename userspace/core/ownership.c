// SPDX-License-Identifier: Apache-2.0
/*
 * The ultimate parent. From an entity the path goes up by the first of these
 * that is there: the head office of a branch, the umbrella of a sub-fund, the
 * holder of 50 % or more, who consolidates it directly. Who is named as a
 * consolidating parent must then lie on the path, and the ultimate one at its
 * end: a claim that is not met is used where the path would end otherwise, and
 * is a contradiction if it can't be.
 */
#include "ownership_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"

#define HALF_PPB 500000000u

bool lei_is_valid(const char *lei)
{
	unsigned rest = 0;

	if (strlen(lei) != 20)
		return false;
	for (int i = 0; i < 20; i++) {
		char c = lei[i];

		if (c >= '0' && c <= '9')
			rest = (rest * 10 + (unsigned)(c - '0')) % 97;
		else if (c >= 'A' && c <= 'Z' && i < 18)
			rest = (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
		else
			return false;
	}
	return rest == 1;
}

const char *owner_state_text(enum owner_state s)
{
	static const char *const texts[] = {
		"the ultimate parent is known",
		"no legal entity is bound to the tenant",
		"the ultimate parent is not known",
		"the parents form a cycle",
		"what is said of the parents contradicts itself",
	};

	return texts[s];
}

const char *owner_why_text(enum owner_why w)
{
	static const char *const texts[] = {
		[OWNER_WHY_NONE] = "",
		[OWNER_WHY_NOTHING_SAID] = "nobody names a parent, nor says that there is none",
		[OWNER_WHY_NOT_DISCLOSED] = "there is a parent, and it is not made public",
		[OWNER_WHY_NOT_CONSOLIDATING] = "a parent draws up no consolidated accounts and is not named",
		[OWNER_WHY_NO_RECORD] = "an entity is named of which no record is there",
		[OWNER_WHY_VOID] = "its record was annulled or is a duplicate",
		[OWNER_WHY_FUND] = "a fund: who manages it does not own it",
		[OWNER_WHY_TOO_LONG] = "the path is longer than 16 steps",
		[OWNER_WHY_TOO_MANY] = "more holders are named than are looked at (256)",
		[OWNER_WHY_TWO_PARENTS] = "two parents are named for the same date",
		[OWNER_WHY_SOURCES_DISAGREE] = "sources disagree about where its headquarters are",
		[OWNER_WHY_CLAIM_UNMET] = "a consolidating parent is named to which no path leads",
		[OWNER_WHY_TOP_WITH_PARENT] = "an entity is said to have no parent, and has one",
		[OWNER_WHY_SHARES] = "holders have more than 100 % together",
	};

	return texts[w];
}

static const char *const tie_names[] = {
	[OWNER_TIE_NONE] = "itself",
	[OWNER_TIE_HOLDS] = "holds",
	[OWNER_TIE_DIRECT] = "consolidates-directly",
	[OWNER_TIE_ULTIMATE] = "consolidates-ultimately",
	[OWNER_TIE_BRANCH] = "head-office",
	[OWNER_TIE_SUBFUND] = "umbrella-fund",
	[OWNER_TIE_MANAGES] = "manages-fund",
	[OWNER_TIE_FEEDER] = "master-fund",
};

const char *owner_tie_name(enum owner_tie t)
{
	return tie_names[t];
}

int owner_tie_parse(const char *name, enum owner_tie *ret)
{
	for (enum owner_tie t = OWNER_TIE_HOLDS; t < OWNER_TIE_END; t++) {
		if (!strcmp(tie_names[t], name)) {
			*ret = t;
			return 0;
		}
	}
	return -EINVAL;
}

struct claim {
	size_t target;
	const struct own_edge *edge;
};

struct walk {
	const struct owners *o;
	int32_t day;
	struct owner_answer *a;
	size_t at[OWNER_PATH_MAX];
	struct claim claims[OWNER_PATH_MAX * 2];
	size_t claim_count;
	bool disagree;
};

static void stop(struct walk *w, enum owner_state state, enum owner_why why)
{
	w->a->state = state;
	w->a->why = why;
}

static bool is_on_path(const struct walk *w, size_t entity)
{
	for (size_t i = 0; i < w->a->steps; i++)
		if (w->at[i] == entity)
			return true;
	return false;
}

/* Takes an entity onto the path. False: the walk ends here. */
static bool add_step(struct walk *w, size_t at, const struct own_edge *by)
{
	const struct own_entity *e = &w->o->entities.item[at];
	struct owner_answer *a = w->a;
	const struct own_record *r;
	bool disagree;

	if (is_on_path(w, at)) {
		stop(w, OWNER_CYCLE, OWNER_WHY_NONE);
		return false;
	}
	if (a->steps == OWNER_PATH_MAX) {
		stop(w, OWNER_PARENT_UNKNOWN, OWNER_WHY_TOO_LONG);
		return false;
	}
	r = own_record_on(e, w->day, &disagree);
	w->disagree |= disagree;
	w->at[a->steps] = at;
	a->path[a->steps++] = (struct owner_step){
		.entity = e->id,
		.name = r ? r->name : e->id,
		.headquarters = r ? r->headquarters : "",
		.jurisdiction = r ? r->jurisdiction : "",
		.source = by  ? by->source
			  : r ? r->source
			      : "",
		.as_of_day = by	 ? by->as_of
			     : r ? r->as_of
				 : INT32_MIN,
		.share_ppm = by && by->has_share ? by->share_ppb / 1000 : 0,
		.tie = by ? by->tie : OWNER_TIE_NONE,
		.lapsed = (r && r->lapsed) || (by && by->lapsed),
	};
	a->lapsed |= a->path[a->steps - 1].lapsed;
	if (!r || r->is_void) {
		stop(w, OWNER_PARENT_UNKNOWN, r ? OWNER_WHY_VOID : OWNER_WHY_NO_RECORD);
		return false;
	}
	return true;
}

static bool is_upward(const struct own_edge *e, enum owner_tie tie)
{
	return e->tie == tie && (tie != OWNER_TIE_HOLDS || (e->has_share && e->share_ppb >= HALF_PPB));
}

/* The one edge of a kind. True if there are two. */
static bool the_one(const struct own_edge *const *edges, size_t n, enum owner_tie tie,
		    const struct own_edge **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!is_upward(edges[i], tie))
			continue;
		if (*ret)
			return true;
		*ret = edges[i];
	}
	return false;
}

static void add_claim(struct walk *w, const struct own_edge *e)
{
	if (e && w->claim_count < sizeof(w->claims) / sizeof(w->claims[0]))
		w->claims[w->claim_count++] = (struct claim){ e->parent, e };
}

/* The nearest claim that the path has not met: direct ones first. */
static const struct own_edge *unmet_claim(const struct walk *w)
{
	for (int ultimate = 0; ultimate <= 1; ultimate++)
		for (size_t i = 0; i < w->claim_count; i++)
			if ((w->claims[i].edge->tie == OWNER_TIE_ULTIMATE) == ultimate &&
			    !is_on_path(w, w->claims[i].target))
				return w->claims[i].edge;
	return NULL;
}

static bool is_claimed_ultimate(const struct walk *w, size_t entity)
{
	for (size_t i = 0; i < w->claim_count; i++)
		if (w->claims[i].target == entity && w->claims[i].edge->tie == OWNER_TIE_ULTIMATE)
			return true;
	return false;
}

static bool ends_the_path(const char *reason)
{
	return !strcmp(reason, "NATURAL_PERSONS") || !strcmp(reason, "NO_KNOWN_PERSON");
}

/* The entity's own word about parents that it does not name: NULL: none. */
static const struct own_exception *exception_of(const struct walk *w, const struct own_entity *e)
{
	const struct own_exception *u = own_exception_on(e, w->day, true),
				   *d = own_exception_on(e, w->day, false);

	/* Of two, the one that leaves the parent unknown. */
	if (u && d)
		return ends_the_path(u->reason) ? d : u;
	return u ?: d;
}

static bool is_top(const struct walk *w, const struct own_entity *e)
{
	const struct own_exception *x = exception_of(w, e);
	const struct own_record *r;
	bool disagree;

	r = own_record_on(e, w->day, &disagree);
	return (r && r->top) || (x && ends_the_path(x->reason));
}

/* The path can't go on: why? */
static void end_of_path(struct walk *w, size_t at, const struct own_edge *const *edges, size_t n)
{
	const struct own_entity *e = &w->o->entities.item[at];
	const struct own_exception *x = exception_of(w, e);
	enum owner_why why = OWNER_WHY_NOTHING_SAID;

	if (is_top(w, e) || is_claimed_ultimate(w, at)) {
		stop(w, OWNER_KNOWN, OWNER_WHY_NONE);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (edges[i]->tie == OWNER_TIE_MANAGES || edges[i]->tie == OWNER_TIE_FEEDER)
			why = OWNER_WHY_FUND;
	if (x) {
		why = !strcmp(x->reason, "NON_CONSOLIDATING") ? OWNER_WHY_NOT_CONSOLIDATING
							      : OWNER_WHY_NOT_DISCLOSED;
		w->a->exception = x->reason;
	}
	stop(w, OWNER_PARENT_UNKNOWN, why);
}

/* The edge that leads up from an entity; NULL: the walk ends, and a->state says how. */
static const struct own_edge *next_of(struct walk *w, size_t at)
{
	static const enum owner_tie order[] = { OWNER_TIE_BRANCH, OWNER_TIE_SUBFUND, OWNER_TIE_HOLDS,
						OWNER_TIE_DIRECT };
	const struct own_entity *e = &w->o->entities.item[at];
	const struct own_edge *edges[OWN_EDGES_MAX], *next = NULL, *one = NULL, *ultimate = NULL;
	size_t n = own_edges_on(e, w->day, edges, OWN_EDGES_MAX);
	bool two = false;

	if (n > OWN_EDGES_MAX) {
		stop(w, OWNER_PARENT_UNKNOWN, OWNER_WHY_TOO_MANY);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		two |= the_one(edges, n, order[i], &one);
		if (order[i] == OWNER_TIE_DIRECT)
			add_claim(w, one);
		next = next ?: one;
	}
	two |= the_one(edges, n, OWNER_TIE_ULTIMATE, &ultimate);
	add_claim(w, ultimate);
	if (two) {
		stop(w, OWNER_CONTRADICTION, OWNER_WHY_TWO_PARENTS);
		return NULL;
	}
	if ((next || ultimate) && is_top(w, e)) {
		stop(w, OWNER_CONTRADICTION, OWNER_WHY_TOP_WITH_PARENT);
		return NULL;
	}
	if (!next && !is_top(w, e))
		next = unmet_claim(w);
	if (!next)
		end_of_path(w, at, edges, n);
	return next;
}

static void check_claims(struct walk *w)
{
	if (w->a->state != OWNER_KNOWN)
		return;
	for (size_t i = 0; i < w->claim_count; i++)
		if (!is_on_path(w, w->claims[i].target) || (w->claims[i].edge->tie == OWNER_TIE_ULTIMATE &&
							    w->claims[i].target != w->at[w->a->steps - 1]))
			stop(w, OWNER_CONTRADICTION, OWNER_WHY_CLAIM_UNMET);
	if (w->a->state == OWNER_KNOWN && w->disagree)
		stop(w, OWNER_CONTRADICTION, OWNER_WHY_SOURCES_DISAGREE);
}

static void count_hits(struct walk *w)
{
	struct owner_hits *h = &w->a->hits;

	for (size_t i = 0; i < w->a->steps; i++) {
		const struct own_entity *e = &w->o->entities.item[w->at[i]];

		for (size_t k = 0; k < e->hits.count; k++) {
			if (!own_hit_holds(&e->hits.item[k], w->day))
				continue;
			h->open += e->hits.item[k].word == OWN_HIT_OPEN;
			h->confirmed += e->hits.item[k].word == OWN_HIT_CONFIRMED;
			h->dismissed += e->hits.item[k].word == OWN_HIT_DISMISSED;
		}
	}
}

static void hash_line(crypto_hash_sha256_state *s, const char *line)
{
	crypto_hash_sha256_update(s, (const unsigned char *)line, strlen(line));
}

static void hash_hits(crypto_hash_sha256_state *s, const struct walk *w, size_t step)
{
	const struct own_entity *e = &w->o->entities.item[w->at[step]];
	char line[256];

	for (size_t k = 0; k < e->hits.count; k++) {
		const struct own_hit *h = &e->hits.item[k];

		if (!own_hit_holds(h, w->day) || h->word == OWN_HIT_DISMISSED)
			continue;
		snprintf(line, sizeof(line), "hit|%s|%s|%d\n", h->list, h->entry, h->word);
		hash_line(s, line);
	}
}

static void set_version(const struct walk *w)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	struct owner_answer *a = w->a;
	crypto_hash_sha256_state s;
	char line[512];

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, (const unsigned char *)owner_state_text(a->state),
				  strlen(owner_state_text(a->state)) + 1);
	for (size_t i = 0; i < a->steps; i++) {
		/* Not the sources' dates: a fact confirmed again is the same fact. */
		snprintf(line, sizeof(line), "%s|%s|%u", a->path[i].entity, a->path[i].headquarters,
			 a->path[i].share_ppm);
		hash_line(&s, line);
		if (a->path[i].tie > OWNER_TIE_HOLDS) {
			snprintf(line, sizeof(line), "|%s", owner_tie_name(a->path[i].tie));
			hash_line(&s, line);
		}
		hash_line(&s, a->path[i].lapsed ? "|lapsed\n" : "\n");
		hash_hits(&s, w, i);
	}
	if (a->why > OWNER_WHY_NOTHING_SAID) {
		/* What is hashed keeps its first words: others would make a new version of the same facts. */
		snprintf(line, sizeof(line), "why|%s|%s\n",
			 a->why == OWNER_WHY_SOURCES_DISAGREE ? "sources disagree about a seat"
							      : owner_why_text(a->why),
			 a->exception);
		hash_line(&s, line);
	}
	crypto_hash_sha256_final(&s, hash);
	sodium_bin2hex(a->version, sizeof(a->version), hash, sizeof(hash));
}

static void resolve(const struct owners *o, size_t at, int32_t day, struct owner_answer *ret)
{
	struct walk w = { .o = o, .day = day, .a = ret };
	const struct own_edge *by = NULL;

	memset(ret, 0, sizeof(*ret));
	ret->exception = "";
	ret->is_screened = o && o->is_screened;
	stop(&w, OWNER_NO_ENTITY, OWNER_WHY_NONE);
	while (at != OWNER_NOWHERE && add_step(&w, at, by)) {
		by = next_of(&w, at);
		at = by ? by->parent : OWNER_NOWHERE;
	}
	check_claims(&w);
	count_hits(&w);
	set_version(&w);
}

void owners_resolve(const struct owners *o, const char *tenant, int32_t day, struct owner_answer *ret)
{
	resolve(o, o ? own_bound_on(o, tenant, day) : OWNER_NOWHERE, day, ret);
}

int owners_resolve_entity(const struct owners *o, const char *entity, int32_t day, struct owner_answer *ret)
{
	size_t at = owners_find(o, entity);

	resolve(o, at, day, ret);
	return at == OWNER_NOWHERE ? -ENOENT : 0;
}

bool owner_is_settled(const struct owner_answer *a)
{
	return a->state == OWNER_KNOWN && !a->lapsed && !a->hits.open && !a->hits.confirmed;
}

static int load_first_bytes(const char *path, char head[16], struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	if (!f)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	if (fread(head, 1, 16, f) != 16)
		memset(head, 0, 16);
	return 0;
}

static int load(const char *path, bool waits, struct owners **ret, struct error_text *err)
{
	char head[16];
	int r = load_first_bytes(path, head, err);

	if (r)
		return r;
	return memcmp(head, "SQLite format 3", 16) ? owners_load_yaml(path, ret, err)
						   : owners_load_store(path, waits, ret, err);
}

int owners_load(const char *path, struct owners **ret, struct error_text *err)
{
	return load(path, true, ret, err);
}

int owners_try_load(const char *path, struct owners **ret, struct error_text *err)
{
	return load(path, false, ret, err);
}
