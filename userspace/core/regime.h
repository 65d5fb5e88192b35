/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_REGIME_H
#define OPMETER_CORE_REGIME_H

/*
 * Regimes: one law's rule each, as dated and versioned data (data/regimes/,
 * docs/regimes.md). A regime is read strictly: an unknown field is an error with
 * file and line. Versions of one id stand beside each other; their windows
 * [from, to) may not overlap, and a superseded one is never removed.
 *
 * `enforce` opens cases and pages people: it needs counsel's recorded acceptance,
 * in acceptances.yaml beside the regimes, bound to the digest of the accepted text.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "../base/opcount.h"

enum regime_mode { REGIME_ENFORCE, REGIME_SHADOW, REGIME_NOTICE, REGIME_OFF };
enum regime_kind {
	REGIME_THRESHOLD, /* training operations of a model against a threshold */
	REGIME_OWNER,	  /* where the customer's ultimate parent sits */
	REGIME_FRACTION,  /* operations beyond a parent model's, against a part of the parent's */
	REGIME_CAPACITY,  /* what machines could do (TPP), never mixed with operations */
	REGIME_LISTED,	  /* what share listed parties hold of the customer */
	REGIME_TEXT,	  /* carried with its clauses, dated and cited; no figure of opmeter judges it */
};
enum regime_comparator { REGIME_AT_LEAST, REGIME_MORE_THAN };
enum regime_figure { REGIME_ALGORITHMIC, REGIME_EXECUTED };

/* What may open a case of a threshold, beside the level itself. */
enum regime_case {
	CASE_EXCEEDED,
	CASE_PARTIAL_VIEW,	 /* what is declared elsewhere reaches, what is observed here does not */
	CASE_STRUCTURING,	 /* several tenants reach together what none reaches alone */
	CASE_LINEAGE_MERGE,	 /* several models, by name, are one */
	CASE_SUSPECTED_TRAINING, /* a person says inference, the shapes say training */
	CASE_EXEMPTION_LOST,	 /* beyond what may be derived from published weights */
	CASE_TELEMETRY_GAP,	 /* again and again */
	CASE_CONDITIONAL,	 /* the level would be exceeded, but for data that is missing */
	CASE_END,
};
const char *regime_case_name(enum regime_case c); /* "exceeded", "partial-view", ... */

#define REGIME_LEVELS_MAX 8
#define REGIME_NOTICES_MAX 12
#define REGIME_CLAUSES_MAX 16
#define REGIME_LIMITS_MAX 16
#define REGIME_QUARTERS_MAX 16
#define REGIME_REQUIRES_MAX 8
#define REGIME_EVENTS_MAX 16
#define REGIME_CALENDAR_MAX 8
#define REGIME_LISTS_MAX 8

struct regime_level {
	const char *name;   /* "notice", "warn", "urgent", "exceeded" */
	uint32_t share_ppm; /* of the threshold */
	bool lower;	    /* compares the lower bound; the early ones compare the upper */
};

/* What is compared with: operations x num / den, exactly. */
struct regime_limit {
	opcount operations;
	uint32_t num, den;
	enum regime_comparator comparator;
};

/* A duty with a clock. */
struct regime_notice {
	const char *what, *who, *clock_from, *citation, *evidence;
	uint32_t within_hours; /* 0: no such clock */
	bool in_days;	       /* the text says days */
	uint32_t every_months; /* 0: likewise */
	const char *level;     /* the level whose meeting starts the clock */
	bool when_known;       /* the clock runs as soon as it is known that it will be met */
	uint32_t calendar[REGIME_CALENDAR_MAX]; /* month * 100 + day */
	size_t calendar_count;
};

/* What else the text says: carried, cited, and not judged unless `judged` says how. */
struct regime_clause {
	const char *id, *says, *citation, *evidence, *judged;
};

/* A condition beside the figure: judged by a declared fact, conditional while nobody declared it. */
struct regime_condition {
	const char *fact, *what;
};

struct regime_event {
	int32_t day;
	const char *what;
};

enum capacity_scope {
	CAPACITY_OWNER_YEAR,	/* added for one owner in a calendar year */
	CAPACITY_OWNER_TOTAL,	/* all that one owner has */
	CAPACITY_OWNER_COUNTRY, /* one owner in one country, all so far, by a dated schedule */
	CAPACITY_COUNTRY,	/* all owners in one country, all so far */
	CAPACITY_LOT,		/* one row of the inventory */
	CAPACITY_SHARE_OUTSIDE, /* part of an owner's that stands outside a set of countries */
	CAPACITY_SHARE_COUNTRY, /* largest part in a single country outside the set */
	CAPACITY_SHARE_ABROAD,	/* part outside the owner's home */
};
struct capacity_limit {
	const char *id, *what, *citation, *evidence;
	enum capacity_scope scope;
	enum regime_comparator comparator;
	opcount tpp;		  /* of the amounts */
	uint32_t share_ppm;	  /* of the shares */
	const char *set;	  /* countries inside which it does not hold; NULL: it holds everywhere */
	const char *in, *except;  /* countries in which alone it holds; in which it does not, beside `set` */
	const char *missing;	  /* what the text was not read for: conditional(...), whatever the amount */
	const char *status;	  /* only owners with it: "UVEU", "NVEU"; NULL: any */
	const char *home;	  /* only owners whose home is this country; NULL: any */
	int32_t from_day, to_day; /* of what is added; INT32_MIN: open */
	struct {
		int32_t from_day; /* holds from this day on, until the next */
		opcount tpp;
	} quarter[REGIME_QUARTERS_MAX];
	size_t quarters;
};

struct country_set {
	const char *name;
	const char **codes; /* ISO 3166-1 alpha-2, upper case */
	size_t count;
};

struct regime {
	const char *id, *version, *title, *citation, *evidence, *digest, *file;
	const char *jurisdiction, *status; /* NULL: not said */
	int32_t status_day;		   /* INT32_MIN: not said */
	enum regime_kind kind;
	enum regime_mode mode;
	bool demo;
	int32_t from_day, to_day; /* INT32_MIN: open */
	struct {
		const char *by, *reference; /* NULL: nobody accepted it */
		int32_t day;
	} accepted;
	struct regime_event event[REGIME_EVENTS_MAX];
	size_t events;
	const char **notes, **unverified, **training;
	size_t note_count, unverified_count, training_count;
	struct regime_clause clause[REGIME_CLAUSES_MAX];
	size_t clauses;
	struct regime_notice notice[REGIME_NOTICES_MAX];
	size_t notices;
	struct {
		uint32_t years; /* 0: says nothing */
		const char *from, *citation, *evidence;
		bool hold; /* no destruction once an agency asked */
	} retention;
	/* REGIME_THRESHOLD, REGIME_FRACTION */
	opcount threshold;
	const char *threshold_missing; /* the law names none yet: conditional(...) */
	enum regime_comparator comparator;
	enum regime_figure figure;
	bool floating_only;	   /* the text counts floating-point operations only */
	bool has_floor;		   /* Note 2: not controlled below a number that moves */
	opcount floor;		   /* 0: not published */
	const char *floor_what;	   /* NULL: no floor */
	const char *floor_missing; /* as floor_what while the number is null, else NULL */
	struct regime_level levels[REGIME_LEVELS_MAX];
	size_t level_count;
	opcount first_figure; /* the least that meets any level; OPCOUNT_MAX: none, or not known */
	struct regime_condition requires[REGIME_REQUIRES_MAX];
	size_t requires_count;
	uint32_t cases;	       /* bit mask, 1 << enum regime_case: what opens one, where it is enforced */
	bool published_exempt; /* a published model is not controlled */
	struct {
		bool is_set;
		opcount at_least; /* the higher of this and num/den of the floor */
		uint32_t num, den;
		enum regime_comparator comparator;
		const char *citation;
	} derived; /* beyond published weights: not controlled up to that */
	struct {
		bool is_set;
		uint32_t over_ppm; /* more than this share of the operations */
		const char *citation;
	} synthetic;
	struct {
		uint32_t num, den;
		opcount fallback; /* instead of the parent's, where that is not known; 0: none */
		bool unpublished; /* only where the parent's weights are not published */
	} fraction;
	/* REGIME_OWNER, REGIME_LISTED */
	const char *clear_set;	  /* headquarters there raise nothing */
	const char *apart_set;	  /* told apart from the rest */
	const char *threshold_of; /* id of the regime whose threshold makes a case material */
	uint32_t material_ppm;
	const char **checklist;
	size_t checklist_count;
	uint32_t listed_ppm; /* REGIME_LISTED: together, directly or indirectly */
	const char *lists[REGIME_LISTS_MAX +
			  1]; /* REGIME_LISTED: whose entries count, by their codes; NULL ends */
	bool is_suspended;    /* REGIME_LISTED: a red flag to look at, no restriction */
	/* REGIME_CAPACITY */
	struct capacity_limit limit[REGIME_LIMITS_MAX];
	size_t limits;
};

struct regimes;
/* Every *.yaml of the directory but country-sets.yaml and acceptances.yaml, which are read first.
 * -ENOENT: no regime there. -EINVAL with FILE:LINE. */
int regimes_load(const char *dir, struct regimes **ret, struct error_text *err);
/* One file's text, without sets, acceptances and what crosses files: for tests and fuzzing. */
int regimes_parse(const char *name, const void *text, size_t len, struct regimes **ret,
		  struct error_text *err);
/* Nobody accepts on a day to come: whoever loads what may be enforced asks with today's date (UTC). -EINVAL.
 */
int regimes_check_accepted(const struct regimes *r, int32_t today, struct error_text *err);
struct regimes *regimes_free(struct regimes *r);
static inline void regimes_freep(struct regimes **r)
{
	*r = regimes_free(*r);
}
size_t regimes_count(const struct regimes *r);
const struct regime *regimes_at(const struct regimes *r, size_t i);
const struct regime *regimes_find(const struct regimes *r, const char *id); /* the latest version */
/* The version that covers the day, whatever its mode; NULL: none does. */
const struct regime *regimes_on(const struct regimes *r, const char *id, int32_t day);
const struct regime *regimes_version(const struct regimes *r, const char *id, const char *version);
/* Aliases (HK, UK) are resolved. An unknown set holds nobody. */
bool regimes_country_in(const struct regimes *r, const char *set, const char *country);
const char *regimes_alias(const struct regimes *r, const char *country);
bool regimes_has_set(const struct regimes *r, const char *set);

bool regime_covers(const struct regime *r, int32_t day);   /* its window, whatever its mode */
bool regime_holds_on(const struct regime *r, int32_t day); /* covers the day and is not off */
/* What a plain threshold compares with: the higher of threshold and floor. */
struct regime_limit regime_limit_of(const struct regime *r);
/* The smallest figure that meets a share of the limit: exact integers, the limit's comparator. */
opcount regime_limit_figure(const struct regime_limit *l, uint32_t share_ppm);
/* True if a figure meets the level of the plain threshold. */
bool regime_level_met(const struct regime *r, const struct regime_level *level, opcount figure);
/* The smallest figure that meets the level. */
opcount regime_level_figure(const struct regime *r, const struct regime_level *level);
const char *regime_mode_name(enum regime_mode mode);
const char *regime_kind_name(enum regime_kind kind);
const char *regime_comparator_text(enum regime_comparator c); /* ">=", ">" */

/* Everything that a regime says as (field, sentence): for explain and diff. fn returns 0 to go on. */
int regime_each_fact(const struct regime *r, int (*fn)(void *ctx, const char *field, const char *text),
		     void *ctx);

#endif
