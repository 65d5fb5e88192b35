/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOTALS_H
#define OPMETER_CORE_TOTALS_H

/*
 * Totals: registers summed under assignments. Readings, carries, nulls and assignments
 * may come in any order, repeated, lost and sent again: the totals are the same. A tenant
 * that is assigned late or changes moves totals, of sealed days too, never registers.
 *
 * A register's value is the largest of all that came for it, in readings or in carries
 * (core/carry.h). A day that a carry covers costs a few bytes a register; what comes late
 * for it raises the register by (value - folded) and opens it again until the next seal.
 *
 * Training counts in both bounds with the share of its assignment; work of
 * unknown phase counts in the upper bound only; inference in neither. What is mixed
 * counts with the share of training. What is said to serve the learning of others (kind `serves`) counts in
 * the upper bound whatever a rule says of its phase; where a person says its phase, that holds. A register is
 * of a UTC day, so an assignment that begins or ends within a day takes effect with the whole of it.
 *
 * One om_totals holds one readings partition, or one ledger. Not for two threads at once.
 * Sums saturate at 2^128 - 1 and say so; nothing wraps.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assignment.h"
#include "carry.h"
#include "dated.h"
#include "register.h"

struct om_totals;

/* `registers_max` bounds the memory: about 300 bytes for each live register, and as much again for
 * those folded away. NULL: out of memory. */
struct om_totals *om_totals_new(size_t registers_max);
struct om_totals *om_totals_free(struct om_totals *t);
static inline void om_totals_freep(struct om_totals **t)
{
	*t = om_totals_free(*t);
}

/*
 * Joins a reading into its register. 0: it told something new; 1: nothing new in it;
 * 2: it is below what is known although it is later (a regression, a fault somewhere);
 * 3: it is below and older, no fault. After 2 and 3 the maximum stands and is owed to a
 * compacted topic: om_totals_each_owed(). -ENOSPC; -ENOMEM.
 */
int om_totals_put(struct om_totals *t, const struct om_reading *r);
/* Dated: core/dated.h says which one holds on a day. 0; 1: an older one; -ENOSPC; -ENOMEM. */
int om_totals_assign(struct om_totals *t, const struct om_assignment *a);
/* What is assigned with just this beginning, by a person or by a rule; NULL: nothing. A loan until the next
 * call. */
const struct om_dated *om_totals_assigned(const struct om_totals *t, const struct om_assignment *like);
/* What holds for a job on a UTC day (days since 1970-01-01); NULL: nothing. Likewise a loan. */
const struct om_dated *om_totals_holds(const struct om_totals *t, const struct om_id *ledger,
				       const struct om_id *job, enum om_assignment_kind kind, uint32_t day);
/* The register's value now; false: nothing is known of it. */
bool om_totals_get(const struct om_totals *t, const struct om_register_key *key, struct om_reading *ret);
/* What the node last said of itself in the register or, if that is not here, in another live one of its job;
 * false: the job is not known. */
bool om_totals_node(const struct om_totals *t, const struct om_register_key *key, struct om_node_facts *ret);
/* Other node facts for a register that is held whole; nothing if it is not. For who found that the facts it
 * has cannot be true: otherwise those of the later sequence stand. */
void om_totals_set_node(struct om_totals *t, const struct om_register_key *key,
			const struct om_node_facts *node);

/*
 * Joins a carry: its registers, as folded. 0: it told something new; 1: it did not; 2: it is
 * below what an earlier carry of this day said, whose maximum is owed: om_totals_seal()
 * gives it. -ENOSPC; -ENOMEM. What failed half way is made good by putting it again.
 */
int om_totals_carry(struct om_totals *t, const struct om_carry *c);
/* Something that is no carry came last for a day's key: what is known of it is owed as above. False: no carry
 * of that day is known. */
bool om_totals_owe_carry(struct om_totals *t, const struct om_id *ledger, const struct om_id *job,
			 uint32_t day);
/*
 * A null came for a register's key. It lowers nothing. 0: a carry holds the register's value,
 * its live record is let go; 1: none does: until a carry or a reading comes the value is owed
 * (om_totals_each_owed()). -ENOSPC; -ENOMEM.
 */
int om_totals_null(struct om_totals *t, const struct om_register_key *key);

/*
 * Seals: fn sees the carry of every job's day before `before_day` (om_carry_open_day()) of which some
 * register is not folded, or of which a carry came that was below an earlier one. The carry is a loan;
 * its registers have their node facts, so that they can be archived as readings. Nothing changes
 * here: what is sealed is what om_totals_carry() is given, after the broker has it. fn returns
 * 0 to go on, anything else stops and is returned. fn must not call this object. -ENOMEM.
 */
int om_totals_seal(struct om_totals *t, uint32_t before_day, int (*fn)(void *ctx, const struct om_carry *c),
		   void *ctx);

/* What a compacted readings topic is owed: its last record of the key is not what it should be. */
enum om_owed {
	OM_OWED_MAXIMUM,   /* the last record is below the maximum, or a null that no carry covers: write the
			    * value given */
	OM_OWED_TOMBSTONE, /* a carry holds the value: write a null */
	OM_OWED_UNKNOWN,   /* a null that no carry covers, of a register of which nothing is known: what it
			    * held is lost unless its ledger sends it again: raise it */
};
/* Each debt is told at every call until what settles it was put; where fn stopped the next call begins, so
 * that none has to wait for ever. To be asked only when readings and carries were both read to their ends. fn
 * as above; the reading is a loan (OM_OWED_UNKNOWN: its key only). */
int om_totals_each_owed(struct om_totals *t,
			int (*fn)(void *ctx, enum om_owed what, const struct om_reading *r), void *ctx);

enum om_group {
	OM_GROUP_MODEL,	  /* a tenant's model */
	OM_GROUP_LINEAGE, /* a lineage over all tenants */
};

/* A tenant's part of a lineage. */
struct om_member {
	const char *tenant;
	opcount training_low, training_high, training_ceiling;
	uint64_t registers;
};

/* What was trained on the days before `day`. */
struct om_until {
	uint32_t day; /* since 1970-01-01 */
	opcount training_low, training_high;
	bool is_wide; /* some part does not tell of that day: the bounds hold, but are wider than what was
		       * counted */
};
#define OM_UNTIL_MAX 64
int om_until_compare(const void *a, const void *b); /* by day, for qsort() and bsearch() */

struct om_subject_total {
	enum om_group group;
	const char *tenant;		 /* "unknown" if no assignment says; of a lineage "" */
	const char *model;		 /* "unassigned" likewise; of a lineage "" */
	const char *lineage;		 /* of a lineage; else "" */
	const struct om_member *members; /* of a lineage, by tenant; else NULL */
	size_t member_count;
	uint64_t members_cut; /* further members that a record of the lineage has no room for */
	/* Each job's day is reconciled by itself (core/reconcile.h), then added. `high` is what
	 * the meters of work and device bound, and what levels are compared with; `ceiling`
	 * also takes in where only time held x peak bounds a job: reported, pages nobody. */
	opcount training_low, training_high, training_ceiling;
	opcount all_low, all_high, all_ceiling;
	opcount contradicted; /* asked for, but no device can have done it: in `high` only */
	opcount unattributed; /* executed on its devices, and explained by no meter */
	/* Of training, what the devices executed: padding, recomputation and all; where no device meter
	 * stands, the bounds of what was asked for. */
	opcount executed_low, executed_high;
	/* A person says inference, a rule says training: the rule's upper share, but no more than the
	 * person's lower one; in no other figure. */
	opcount suspected;
	uint64_t gap_days; /* days of jobs with something that could not be counted */
	bool is_bounded;   /* false: some of it has no upper bound, neither by device nor by allocation */
	bool attempted;	   /* some figure has no device meter behind it */
	bool is_saturated; /* some figure reached 2^128 - 1 and is that or more */
	uint64_t losses;   /* sum over causes */
	uint64_t calls;	   /* products */
	uint64_t launches; /* kernels outside products */
	uint32_t meters;   /* bit mask, 1 << enum om_meter */
	uint64_t registers;
	uint64_t as_of_ns; /* the latest `to` */
	/* Some of it came in a record of an earlier version (core/total_record.h), which tells nothing of
	 * what was executed, what is suspected, gaps, and when it began. */
	bool is_older;
	uint32_t first_day; /* the first UTC day of a register, days since 1970-01-01; 0: not known */
	/* By day, ascending: what was trained before each of some days; NULL: nobody asked. At most
	 * OM_UNTIL_MAX in a part, more in a sum of them. */
	const struct om_until *until;
	size_t until_count;
};
/* Totals told from now on tell what was trained before some days (`until`): fn gives a tenant's days,
 * ascending, as a loan, and NULL for most. It is asked each time that a total is told. Lineages tell of the
 * days of all tenants too (tenant NULL): those who work at it elsewhere are not known here. */
void om_totals_set_days(struct om_totals *t,
			const int32_t *(*fn)(void *ctx, const char *tenant, size_t *ret_count), void *ctx);

/* Every (tenant, model), in that order. Strings are loans during the call. fn returns 0 to go on. What did
 * not change since the last call is not summed again. -ENOMEM. */
int om_totals_each(struct om_totals *t, int (*fn)(void *ctx, const struct om_subject_total *s), void *ctx);
/* Every lineage that some job is assigned to, by name. */
int om_totals_each_lineage(struct om_totals *t, int (*fn)(void *ctx, const struct om_subject_total *s),
			   void *ctx);
/* Of both groups those whose total is not what the last call gave; one that nothing belongs to any more comes
 * once with registers 0 and no operations. If fn stops, what was not given comes again. */
int om_totals_each_changed(struct om_totals *t, int (*fn)(void *ctx, const struct om_subject_total *s),
			   void *ctx);
/* Adds the figures of another part of the same subject: sums, or the worse of two. Names, members and `until`
 * of `into` stay as they are. Commutative and associative. */
void om_subject_total_add(struct om_subject_total *into, const struct om_subject_total *other);
/* What the parts of one subject tell by day, together, of each day that some part tells of. *ret is the
 * caller's to free, NULL if there is none. -ENOMEM. */
int om_until_fold(const struct om_subject_total *const *part, size_t n, struct om_until **ret,
		  size_t *ret_count);
/* What a total tells of a day. Where it does not tell of just that day, it is no less than before the day
 * told ahead of it and no more than before the next, or in all: wide. */
void om_until_on(const struct om_subject_total *s, uint32_t day, struct om_until *ret);

/* What was trained on one UTC day. */
struct om_day {
	uint32_t day; /* since 1970-01-01 */
	opcount training_low, training_high;
};
/* Days as they came into each day once, ascending; sums saturate. Returns how many. */
size_t om_day_fold(struct om_day *day, size_t n);
/* The days before `before` on which there is a register of the subject that `of` names (its group and names
 * count), ascending, with what was trained on each: they add up to its training. Sums every register of its
 * jobs anew. *ret is the caller's to free; NULL if there is none. -ENOMEM. */
int om_totals_days(struct om_totals *t, const struct om_subject_total *of, uint32_t before,
		   struct om_day **ret, size_t *ret_count);

/* What each job adds to the subject that `of` names (its group and names count), in no order: together they
 * are its total. A lineage's job comes once for each tenant that it was of. `s` names the subject and the
 * tenant; its members and `until` are none. fn returns 0 to go on. -ENOMEM. */
int om_totals_each_job(struct om_totals *t, const struct om_subject_total *of,
		       int (*fn)(void *ctx, const struct om_id *ledger, const struct om_id *job,
				 const struct om_subject_total *s),
		       void *ctx);

/* Every register with the tenant, model and phase that hold for its day, folded ones too (those have no node
 * facts). In no order. */
struct om_attributed {
	const struct om_reading *reading;
	const char *tenant, *model;
	enum om_phase phase;
};
int om_totals_each_register(struct om_totals *t, int (*fn)(void *ctx, const struct om_attributed *a),
			    void *ctx);
size_t om_totals_registers(const struct om_totals *t); /* live and folded, each once */

struct om_totals_counts {
	size_t live;	     /* registers held whole */
	size_t folded;	     /* registers of sealed days that are held by a carry only */
	size_t folded_bytes; /* what all carries take */
	size_t jobs, subjects;
	size_t bytes;		  /* allocated by this object, but for what malloc adds */
	uint64_t late_total;	  /* readings that raised a register after a carry held it */
	uint64_t regressions;	  /* readings below the maximum though later */
	uint64_t uncovered_total; /* nulls that no carry covered when they came */
};
void om_totals_counts(const struct om_totals *t, struct om_totals_counts *ret);

#endif
