/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNERSHIP_INTERNAL_H
#define OPMETER_CORE_OWNERSHIP_INTERNAL_H

/*
 * The loaded facts as a graph, and how it is filled. What one source says of one
 * thing is a row of versions. A version speaks from its own beginning if it
 * states one, else from the day of its record, the first of a source from ever;
 * the newest that speaks holds. So a later record corrects an earlier one, and
 * what is not dated holds until something else is said.
 */

#include "ownership.h"

#define OWNER_NOWHERE SIZE_MAX

struct own_record {
	const char *source;
	int32_t since, until; /* until: no longer told by a complete file of that day */
	int32_t as_of;
	bool is_person, top, lapsed, is_void;
	const char *name, *headquarters, *jurisdiction, *registration;
};

struct own_edge {
	size_t parent;
	const char *source;
	enum owner_tie tie;
	int32_t since, until, as_of;
	int32_t from, to; /* what it states itself */
	uint32_t share_ppb;
	bool has_share, is_rounded, is_active, is_void, lapsed;
};

struct own_exception {
	const char *source, *reason;
	bool is_ultimate; /* else of the direct parent */
	int32_t since, until;
};

enum own_word { OWN_HIT_OPEN, OWN_HIT_CONFIRMED, OWN_HIT_DISMISSED };
struct own_hit {
	const char *list, *entry;
	enum own_word word;
	int32_t from, to; /* listed in this time */
};

#define OWN_LIST(type)                                                                                       \
	struct {                                                                                             \
		struct type *item;                                                                           \
		size_t count, room;                                                                          \
	}

struct own_entity {
	const char *id;
	OWN_LIST(own_record) records; /* by source, then since */
	OWN_LIST(own_edge) edges;     /* by tie, parent, source, from, then since */
	OWN_LIST(own_exception) exceptions;
	OWN_LIST(own_hit) hits;
};

struct own_binding {
	const char *tenant;
	size_t entity; /* OWNER_NOWHERE: none, says a person */
	int32_t from, to;
	uint64_t number; /* the later word holds */
};

/* Days on which the answer for a tenant changes. */
struct own_changes {
	const char *tenant;
	int32_t *day;
	size_t count;
};

struct own_text;
struct owners {
	OWN_LIST(own_entity) entities;
	size_t *index, index_size;	/* hash of the ids */
	OWN_LIST(own_binding) bindings; /* by tenant, then number */
	struct own_text *texts;
	bool is_screened, has_lists;
	OWN_LIST(own_changes) changes; /* by tenant: owners_prepare() */
	struct own_changes any;	       /* of all tenants, each day once */
	int32_t latest_day;	       /* of what a file that people write says: the latest, and where */
	struct error_text latest;
};

struct owners *owners_new(void);
/* A copy that lives as long as o; NULL: out of memory. */
const char *owners_text(struct owners *o, const char *s);
/* Finds or makes. -ENOMEM. */
int owners_entity(struct owners *o, const char *id, size_t *ret);
/* OWNER_NOWHERE if it is not there. */
size_t owners_find(const struct owners *o, const char *id);
/* Strings are copied. -ENOMEM. */
int owners_add_record(struct owners *o, size_t entity, const struct own_record *r);
int owners_add_edge(struct owners *o, size_t entity, const struct own_edge *e);
int owners_add_exception(struct owners *o, size_t entity, const struct own_exception *x);
int owners_add_hit(struct owners *o, size_t entity, const struct own_hit *h);
int owners_add_binding(struct owners *o, const struct own_binding *b);
/* Puts everything in order. Call it once, before the first question. */
void owners_sort(struct owners *o);

/* What holds on a day. NULL: nothing. *disagree: another source names other headquarters. */
const struct own_record *own_record_on(const struct own_entity *e, int32_t day, bool *disagree);
#define OWN_EDGES_MAX 256
/* One edge a (tie, parent): `room` of them; returns how many there are. More than there is room for: not all
 * is known, so nothing is clear. */
size_t own_edges_on(const struct own_entity *e, int32_t day, const struct own_edge **ret, size_t room);
const struct own_exception *own_exception_on(const struct own_entity *e, int32_t day, bool is_ultimate);
/* Where a tenant's bindings begin. */
size_t own_first_binding(const struct owners *o, const char *tenant);
/* The entity that a tenant is on a day; OWNER_NOWHERE. */
size_t own_bound_on(const struct owners *o, const char *tenant, int32_t day);
bool own_hit_holds(const struct own_hit *h, int32_t day);

int owners_load_yaml(const char *path, struct owners **ret, struct error_text *err);
int owners_load_store(const char *path, bool waits, struct owners **ret, struct error_text *err);

#endif
