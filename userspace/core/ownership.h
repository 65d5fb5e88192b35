/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNERSHIP_H
#define OPMETER_CORE_OWNERSHIP_H

/*
 * Legal entities, who holds them, and which tenant is which entity, as dated
 * facts with sources (docs/owners.md). The answer for a tenant at a date is its
 * ultimate parent, or why that is not known. `unknown` is never clear.
 *
 * Facts come from owners.yaml or from an owners database; once loaded they do
 * not change, and everything below is a pure function of them and a date. Days
 * are counted from 1970-01-01; INT32_MIN is an open beginning, INT32_MAX an open
 * end. Shares are parts per 10^9 unless a name says ppm.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"

struct owners;

/* A YAML file, or an owners database: told apart by the first bytes. Of a
 * database only what the bound tenants' parents need is read. */
int owners_load(const char *path, struct owners **ret, struct error_text *err);
/* The same without waiting: -EAGAIN: an import has the database. The other waits 5 s for it. */
int owners_try_load(const char *path, struct owners **ret, struct error_text *err);
/* Whether all that a file says was said by `today`, days since 1970-01-01. -EINVAL with file and line. An
 * import has looked at that before a database has it. */
int owners_check_dates(const struct owners *o, int32_t today, struct error_text *err);
struct owners *owners_free(struct owners *o);
static inline void owners_freep(struct owners **o)
{
	*o = owners_free(*o);
}

enum owner_state {
	OWNER_KNOWN,	      /* the path ends at an entity that somebody says has no parent */
	OWNER_NO_ENTITY,      /* nobody bound the tenant to an entity */
	OWNER_PARENT_UNKNOWN, /* the path ends at an entity of which no parent is known, nor that there is
				 none */
	OWNER_CYCLE,
	OWNER_CONTRADICTION, /* two parents at the same date, or sources that disagree */
};
const char *owner_state_text(enum owner_state s);

/* Why a parent is not known, or what contradicts. */
enum owner_why {
	OWNER_WHY_NONE,
	OWNER_WHY_NOTHING_SAID,
	OWNER_WHY_NOT_DISCLOSED,     /* there is a parent, and it is not made public */
	OWNER_WHY_NOT_CONSOLIDATING, /* there may be a parent; it draws up no consolidated accounts */
	OWNER_WHY_NO_RECORD,	     /* a parent is named of which no record is there */
	OWNER_WHY_VOID,		     /* the record was annulled or is a duplicate */
	OWNER_WHY_FUND,		     /* a fund: who manages it does not own it */
	OWNER_WHY_TOO_LONG,	     /* more than OWNER_PATH_MAX steps */
	OWNER_WHY_TOO_MANY,	     /* more ties of one entity than are looked at */
	OWNER_WHY_TWO_PARENTS,
	OWNER_WHY_SOURCES_DISAGREE, /* about where its headquarters are */
	OWNER_WHY_CLAIM_UNMET,	    /* a consolidating parent is named that the path does not lead to */
	OWNER_WHY_TOP_WITH_PARENT,  /* said to have no parent, and has one */
	OWNER_WHY_SHARES,	    /* holders have more than 100 % together */
};
const char *owner_why_text(enum owner_why w);

enum owner_tie {
	OWNER_TIE_NONE,	    /* the tenant's own entity */
	OWNER_TIE_HOLDS,    /* shares */
	OWNER_TIE_DIRECT,   /* consolidates directly: an accounting test, not 50 % ownership */
	OWNER_TIE_ULTIMATE, /* consolidates ultimately */
	OWNER_TIE_BRANCH,   /* is the head office of */
	OWNER_TIE_SUBFUND,  /* is the umbrella fund of */
	OWNER_TIE_MANAGES,  /* manages the fund: no parent */
	OWNER_TIE_FEEDER,   /* is the master fund of: no parent */
	OWNER_TIE_END,
};
const char *owner_tie_name(enum owner_tie t);
/* -EINVAL: none of ours. */
int owner_tie_parse(const char *name, enum owner_tie *ret);

#define OWNER_PATH_MAX 16
struct owner_step {
	const char *entity, *name, *headquarters; /* country */
	const char *jurisdiction;		  /* "" if nobody says */
	const char *source;			  /* of the edge that led here; of the entity for the first */
	int32_t as_of_day;
	uint32_t share_ppm; /* held of the step before; 0 for the first and where nobody says */
	enum owner_tie tie; /* what it is to the step before */
	bool lapsed;	    /* its record or the edge to it was not renewed */
};

struct owner_hits {
	unsigned open, confirmed, dismissed; /* of the path's entities on screening lists */
};

struct owner_answer {
	enum owner_state state;
	enum owner_why why;
	const char *exception;			/* the source's own word for it (NON_PUBLIC ...), or "" */
	struct owner_step path[OWNER_PATH_MAX]; /* from the tenant's entity up */
	size_t steps;
	bool lapsed; /* a fact of the path was not renewed: to be confirmed, and not clear */
	struct owner_hits hits;
	bool is_screened; /* against the lists that are loaded, after the last change */
	/* SHA-256 over the facts of the path: changes when, and only when, they do. 64 hex digits. */
	char version[65];
};
/* o may be NULL: every owner is unknown. Strings are loans. */
void owners_resolve(const struct owners *o, const char *tenant, int32_t day, struct owner_answer *ret);
/* The same from an entity on. -ENOENT: not loaded; ret says so. */
int owners_resolve_entity(const struct owners *o, const char *entity, int32_t day, struct owner_answer *ret);

/* True if nothing is in doubt: the parent is known, nothing lapsed, no hit that is open or confirmed. It says
 * nothing of countries. */
bool owner_is_settled(const struct owner_answer *a);

struct owner_period {
	int32_t from_day, to_day; /* [from, to) */
	struct owner_answer answer;
};
/*
 * The answers for a tenant in [from, to), one a version, in order, without gaps:
 * what a lineage is judged again by when its owner changes in mid-run. *ret is
 * the caller's to free. -ENOMEM; -EINVAL if to <= from.
 */
int owners_periods(const struct owners *o, const char *tenant, int32_t from_day, int32_t to_day,
		   struct owner_period **ret, size_t *ret_count);

/*
 * For those who judge by them for long: works out once on which days the answers for each tenant change, from
 * 1970 to 2106. -ENOMEM.
 */
int owners_prepare(struct owners *o);
/* Those days, ascending, as a loan; NULL: there is none, or owners_prepare() was not called. o may be NULL;
 * tenant NULL: the days of all tenants. */
const int32_t *owners_change_days(const struct owners *o, const char *tenant, size_t *ret_count);
/* A tenant that `before` binds to an entity and o does not; NULL: there is none. */
const char *owners_lost_tenant(const struct owners *o, const struct owners *before);
/* Whether the days are the same for all tenants. */
bool owners_change_alike(const struct owners *a, const struct owners *b);

/*
 * What share listed parties hold, directly or indirectly, alone or together. A
 * test of shares: who consolidates is not asked. Two figures, because the rules
 * are read in two ways: in the cascade, a holder that is itself held to the
 * threshold by listed parties counts whole, any other not at all; looked
 * through, each holder counts by what listed parties hold of it.
 */
enum owner_standing {
	OWNER_CLEAR,		/* everything that matters is known, and nothing was found */
	OWNER_LISTED,		/* the entity itself, as a person confirmed */
	OWNER_AFFILIATE,	/* either figure meets the threshold */
	OWNER_BELOW_RED_FLAG,	/* listed parties hold less, and something; the rest is not enough */
	OWNER_STANDING_UNKNOWN, /* never clear: see `why` */
};
const char *owner_standing_name(enum owner_standing s);

struct owner_share_answer {
	enum owner_standing standing;
	const char *why;		   /* a static text; "" if nothing is to be said */
	uint32_t cascade_ppb, through_ppb; /* rounded up */
	uint32_t possible_ppb;		   /* if whatever is not known were listed */
	struct owner_hits hits;		   /* of the entity and of all who hold of it */
};
/* False: nothing to compare with is loaded, and every standing is unknown. o may be NULL. */
bool owners_has_lists(const struct owners *o);
/* lists: codes as EL, MEU, SDN, NULL-terminated; NULL: every list. -ENOMEM. o may be NULL. */
int owners_standing(const struct owners *o, const char *tenant, int32_t day, const char *const *lists,
		    uint32_t threshold_ppb, struct owner_share_answer *ret);
/* The same of an entity. */
int owners_standing_entity(const struct owners *o, const char *entity, int32_t day, const char *const *lists,
			   uint32_t threshold_ppb, struct owner_share_answer *ret);

/* Tenants that are bound to an entity at any date, in order, each once. */
size_t owners_tenant_count(const struct owners *o);
const char *owners_tenant(const struct owners *o, size_t i);

/* ISO 17442: 18 letters and digits and two check digits (ISO 7064 MOD 97-10). */
bool lei_is_valid(const char *lei);

#endif
