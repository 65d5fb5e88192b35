/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_POLICY_H
#define OPMETER_CORE_POLICY_H

/*
 * Totals judged by regimes, owners and declarations. policy_judge() emits every
 * finding that is true now; its id is the same each time, and whoever keeps the
 * findings makes them happen once. policy_verdict() says what one regime makes of
 * one subject and why. Pure: no clock, no state.
 */

#include "alert.h"
#include "declaration.h"
#include "forecast.h"
#include "ownership.h"
#include "regime.h"
#include "totals.h"

struct policy_subject;
struct policy {
	const struct regimes *regimes;
	const struct owners *owners; /* NULL: owners are not judged */
	const char *source;	     /* "/opmeter/<ledger id or fleet name>" */
	uint64_t now_ns;
	const struct declarations *declarations; /* NULL: none */
	/* What is observed here of another model (a parent, a generator): 0, or 1: nothing. May be NULL. */
	int (*observed)(void *ctx, const char *subject, opcount *low, opcount *high);
	void *observed_ctx;
	/* Judged now, and only now: owners that a tenant had earlier in a run are judged too
	 * (owners_prepare(), and a total's first_day and until). A replay plays the days by itself. */
	bool is_live;
	/* Totals that tell what was trained under an earlier owner may be on their way: where none does, that
	 * owner is left for later. */
	bool is_until_due;
	/* A subject's training at the end of its days, *ret for the caller to free: the day on which a level
	 * was met is found by it. *ret is NULL where the days are not known. May be NULL. */
	int (*days)(void *ctx, const struct policy_subject *s, struct om_forecast_point **ret,
		    size_t *ret_count);
	void *days_ctx;
	/* A threshold is said to be met ahead when the forecast's earliest day is within so many days; 0:
	 * none is. */
	uint32_t notice_days;
	/* True: that finding was told before; it is not made again. May be NULL. */
	bool (*is_known)(void *ctx, const struct om_id *alert);
	void *known_ctx;
};

/* A subject of several tenants or models: a lineage, or what the tenants of one ultimate parent train. */
enum policy_group { POLICY_MODEL, POLICY_LINEAGE, POLICY_FAMILY };
struct policy_subject {
	/* "acme/lm", "lineage/<name>", "family/<pseudonym>"; of tenants called lineage, family or tenant
	 * "tenant/lineage/lm" */
	const char *name;
	enum policy_group group;
	const struct om_subject_total *total;
	size_t tenants, models; /* members; 1 and 1 for a model */
	opcount largest_high;	/* the largest member's upper bound: what nobody reaches alone */
	const char *tenant;	/* whose owners are judged; NULL: several, nobody's */
};

enum verdict_standing {
	VERDICT_NONE,	     /* no level is met */
	VERDICT_POSSIBLE,    /* only the upper bound meets it */
	VERDICT_REACHED,     /* the lower bound does */
	VERDICT_CONDITIONAL, /* data is missing that the law's answer depends on: never exempt, never exceeded
			      */
	VERDICT_EXEMPT,	     /* not controlled, by a clause that is named */
	VERDICT_NOT_HELD,    /* the regime does not hold on that day, or its condition is declared not to */
};
const char *verdict_standing_name(enum verdict_standing s);

#define VERDICT_STEPS_MAX 40
struct verdict_steps {
	char text[VERDICT_STEPS_MAX][320];
	size_t count;
};

struct verdict {
	const struct regime *regime;
	const struct regime_level *level; /* the highest that is met; NULL: none */
	enum verdict_standing standing;
	char missing[320]; /* conditional: what; exempt, not held: by what */
	struct regime_limit limit;
	opcount low, high;			   /* what is compared: observed and declared */
	opcount observed_low, observed_high;	   /* of the figure that the regime counts */
	opcount ceiling;			   /* with what only time held x peak bounds */
	const struct regime_level *ceiling_level;  /* higher than `level`: reported, never paged */
	const struct regime_level *observed_level; /* the highest without what is declared */
	bool has_declared;
	bool is_derived;	     /* from published weights: the limit is that of additional operations */
	uint32_t cases;		     /* bit mask, 1 << enum regime_case */
	uint32_t meters;	     /* that stand behind the bounds; allocation is not among them */
	struct verdict_steps *steps; /* set by the caller before: filled if not NULL */
};

/* One threshold or fraction regime on one subject at p->now_ns, whatever its mode. */
void policy_verdict(const struct policy *p, const struct policy_subject *s, const struct regime *g,
		    struct verdict *ret);
/* "level 'urgent' possible", "conditional(...)", "exempt(...)", "none": for people. Returns buf. */
const char *verdict_words(const struct verdict *v, char *buf, size_t size);

/*
 * One subject (a model of a tenant). `emit` gets a loan; it returns 0 or a
 * negative errno that is passed up.
 *
 * Levels: the early ones compare the upper bound ("possible" while the lower is
 * below), `exceeded` the lower. A bound that only allocation gives raises nothing.
 * Where data that the law names is missing the verdict is conditional(what). Owners:
 * an informational event per ownership version; a case, when the regime is enforced
 * and training is material.
 */
int policy_judge(const struct policy *p, const struct om_subject_total *s,
		 int (*emit)(void *ctx, const struct alert *a), void *ctx);
/* The same for a lineage or a family. */
int policy_judge_subject(const struct policy *p, const struct policy_subject *s,
			 int (*emit)(void *ctx, const struct alert *a), void *ctx);

/* How policy_judge() sees a total. */
#define POLICY_NAME_MAX 300
void policy_subject_of(const struct om_subject_total *s, char name[POLICY_NAME_MAX],
		       struct policy_subject *ret);

/*
 * What tenants train beside each other: each one's models, and families, the tenants that
 * share an ultimate parent. Put every model's total in, in the order of om_totals_each(), then judge
 * lineages by kin_judge() and families by kin_judge_families(). What a family trains together is no
 * model's figure, so no more than `possible` comes of it, with `structuring` where it reaches a level
 * that no member does.
 */
struct kin;
/* "family/<pseudonym>" of an ultimate parent's id: it says nothing of who that is, and is the same
 * everywhere.
 */
void policy_family_name(const char *parent, char out[32]);
struct kin *kin_new(void);
struct kin *kin_free(struct kin *k);
static inline void kin_freep(struct kin **k)
{
	*k = kin_free(*k);
}
/* By p's owners, which may be NULL, up to p->now_ns: each owner that the tenant had in the run has what was
 * trained while it was its, as `until` tells. A tenant whose parent is not known is then of no family. A
 * lineage is passed over. 0, -ENOMEM. */
int kin_put(struct kin *k, const struct policy *p, const struct om_subject_total *s);
/* policy_judge() that knows of a lineage which models its tenants have: `lineage-merge` is found so. */
int kin_judge(const struct kin *k, const struct policy *p, const struct om_subject_total *s,
	      int (*emit)(void *ctx, const struct alert *a), void *ctx);
void kin_subject_of(const struct kin *k, const struct om_subject_total *s, char name[POLICY_NAME_MAX],
		    struct policy_subject *ret);
int kin_judge_families(struct kin *k, const struct policy *p, int (*emit)(void *ctx, const struct alert *a),
		       void *ctx);
/* The same without alerts: each family of two tenants or more. */
int kin_each_family(struct kin *k, int (*fn)(void *ctx, const struct policy_subject *s), void *ctx);

/*
 * All of them: every model, every lineage with what is known of its tenants' models, every family; with what
 * is observed here of the models that they are said to come from. p->observed is passed over. `each` gives
 * every total of a group, in the order of names, as loans; it is called several times.
 * `points`, which may be NULL, gives a subject's days for policy_judge_known(), *ret for the caller to free;
 * NULL where they are not known or nothing of them is new. It is asked for subjects of which a level may be
 * known.
 */
struct policy_totals {
	int (*each)(void *ctx, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s),
		    void *fn_ctx);
	void *ctx;
	int (*points)(void *ctx, const struct om_subject_total *s, struct om_forecast_point **ret,
		      size_t *ret_count);
};
int policy_judge_all(const struct policy *p, const struct policy_totals *t,
		     int (*emit)(void *ctx, const struct alert *a), void *ctx);

/*
 * Duties whose clock runs: an ALERT_DUTY for each, with the day on which it was first known that the level
 * will be met (`known_on`), and the forecast of that day, or, where nothing was known before, the day on
 * which it was met (`met_on`); and when it is due. `points`: the subject's training at the end of its days,
 * as om_forecast() takes them; only days that are over at p->now_ns count. The same points give the same
 * finding, whenever it is asked.
 */
#define POLICY_KNOWN_DAYS 90 /* known: even the latest date of the forecast lies within so many days */
int policy_judge_known(const struct policy *p, const struct policy_subject *s,
		       const struct om_forecast_point *points, size_t count,
		       int (*emit)(void *ctx, const struct alert *a), void *ctx);
/*
 * That a threshold will be met: an ALERT_FORECAST for each whose forecast, from the days that are over, has
 * its earliest day within p->notice_days, once for each month in which that day lies. `points` as above.
 */
#define POLICY_NOTICE_DAYS 90
int policy_judge_forecast(const struct policy *p, const struct policy_subject *s,
			  const struct om_forecast_point *points, size_t count,
			  int (*emit)(void *ctx, const struct alert *a), void *ctx);
/* Of what has less training than this at most none is said; OPCOUNT_MAX: of nothing. */
opcount policy_least_forecast(const struct policy *p);
/* Where less than ret_low is trained for certain, and less than ret_high at most, no such clock can run for a
 * subject of which nothing is declared. What is declared may lower a limit or count towards it: then any
 * training may do. OPCOUNT_MAX: no regime has such a duty that goes by that bound. */
void policy_least_known(const struct policy *p, opcount *ret_low, opcount *ret_high);

/* What a rule about listed owners (REGIME_LISTED) says of a standing; a static text. */
const char *policy_listed_verdict(const struct regime *g, enum owner_standing s);

/* Where a flagged owner's headquarters are, for people: never a country. */
const char *policy_seat_words(const struct policy *p, const struct regime *g, const struct owner_answer *a);

#endif
