/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOTALS_H
#define OPMETER_CORE_TOTALS_H

/*
 * Totals: registers summed under assignments. Registers and assignments may come
 * in any order, repeated or late: the totals are the same. A tenant that is
 * assigned late or changes moves totals, never registers.
 *
 * Training counts in both bounds with the share of its assignment; work of
 * unknown phase counts in the upper bound only; inference in neither. What is mixed
 * counts with the share of training. A register is of a UTC day, so an assignment that
 * begins or ends within a day takes effect with the whole of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assignment.h"
#include "dated.h"
#include "register.h"

struct om_totals;

/* `registers_max` bounds the memory: about 400 bytes each. NULL: out of memory. */
struct om_totals *om_totals_new(size_t registers_max);
struct om_totals *om_totals_free(struct om_totals *t);
static inline void om_totals_freep(struct om_totals **t)
{
	*t = om_totals_free(*t);
}

/* Joins a reading into its register. 0; 1: nothing new in it; 2: it is below
 * what is known (a regression: the maximum stays); -ENOSPC. */
int om_totals_put(struct om_totals *t, const struct om_reading *r);
/* Dated: core/dated.h says which one holds on a day. 0; 1: an older one; -ENOSPC. */
int om_totals_assign(struct om_totals *t, const struct om_assignment *a);
/* What is assigned with just this beginning, by a person or by a rule; NULL: nothing. A loan until the next
 * call. */
const struct om_dated *om_totals_assigned(const struct om_totals *t, const struct om_assignment *like);
/* What holds for a job on a UTC day (days since 1970-01-01); NULL: nothing. Likewise a loan. */
const struct om_dated *om_totals_holds(const struct om_totals *t, const struct om_id *ledger,
				       const struct om_id *job, enum om_assignment_kind kind, uint32_t day);

struct om_subject_total {
	const char *tenant; /* "unknown" if no assignment says */
	const char *model;  /* "unassigned" likewise */
	/* Each job's day is reconciled by itself (core/reconcile.h), then added. `high` is what
	 * the meters of work and device bound, and what levels are compared with; `ceiling`
	 * also takes in where only time held x peak bounds a job: reported, pages nobody. */
	opcount training_low, training_high, training_ceiling;
	opcount all_low, all_high, all_ceiling;
	opcount contradicted; /* asked for, but no device can have done it: in `high` only */
	opcount unattributed; /* executed on its devices, and explained by no meter */
	bool is_bounded;      /* false: some of it has no upper bound, neither by device nor by allocation */
	bool attempted;	      /* some figure has no device meter behind it */
	uint64_t losses;      /* sum over causes */
	uint64_t calls;	      /* products */
	uint64_t launches;    /* kernels outside products */
	uint32_t meters;      /* bit mask, 1 << enum om_meter */
	uint64_t registers;
	uint64_t as_of_ns; /* the latest `to` */
};
/* In the order of tenant and model. Strings are loans during the call. */
int om_totals_each(struct om_totals *t, int (*fn)(void *ctx, const struct om_subject_total *s), void *ctx);

/* Every register with the tenant, model and phase that hold for its day. */
struct om_attributed {
	const struct om_reading *reading;
	const char *tenant, *model;
	enum om_phase phase;
};
int om_totals_each_register(struct om_totals *t, int (*fn)(void *ctx, const struct om_attributed *a),
			    void *ctx);
size_t om_totals_registers(const struct om_totals *t);

#endif
