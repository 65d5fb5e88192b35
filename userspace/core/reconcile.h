/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_RECONCILE_H
#define OPMETER_CORE_RECONCILE_H

/*
 * Several meters, one figure. Everything that the meters say of one job in one
 * period goes in; one interval of algorithmic operations comes out, with the
 * meters that stand behind it, what they contradict, and what none of them
 * explains. This is the only place that combines meters.
 *
 *   S        products asked for (shape): exact, each executes at least its textbook
 *            operations (tiles are padded, never cut)
 *   L        kernels that the catalogue or the counter meter bounds: [low, high]
 *   R        what the devices can have executed at most: the device meter's upper
 *            bound, no more than time held x dense peak (allocation)
 *   r        how many textbook operations one executed operation may stand for in a
 *            kernel that is not such a product: 4, Winograd F(4x4, 3x3) (Lavin and
 *            Gray 2016, "Fast Algorithms for Convolutional Neural Networks"); 2:4
 *            sparsity and causal skipping are 2
 *
 *   low      = min(S, R) + min(L.low, r (R - min(S, R)))
 *              work that the device cannot have done is not in it
 *   high     = min(r R,
 *                  S + r (R - S),
 *                  S + L.high + r (R - S - X))   X: what L executed at least: L.low / r by
 *                                                name, the count itself where it was sampled
 *              everything from the roof; or the products as asked and the rest from
 *              what they leave; or the kernels as bounded too
 *   with no R, high = S + L.high, which is no bound: what is not probed is not in it
 *   contradicted = S + L.low - low where positive; then high is S + L.high, and the
 *              finding is raised
 *   unattributed = D.low - e (S + L.high) where positive; e is how many operations may
 *              be executed for one textbook operation: 1.25, padding to tiles
 *
 *   a correction (docs/formats.md) is applied last, to the bounds the meters came to, and
 *   takes none of them below zero
 *
 * Without contradictions a meter more never widens the interval, one less never
 * narrows it; the order of evidence does not matter. Pure and total.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/opcount.h"
#include "register.h"

struct om_evidence {
	uint32_t meters;		       /* bit mask, 1 << enum om_meter: which have something to say */
	opcount attempted;		       /* shape: exact */
	opcount attempted_high;		       /* shape: not certain, beside `attempted` */
	opcount launched_low, launched_high;   /* launch: kernels that the catalogue bounds */
	uint64_t unknown_launches;	       /* launch: kernels it does not: only a roof covers them */
	uint64_t calibrated_launches;	       /* counter: how many of those it stands for */
	double sampled_mean, sampled_variance; /* counter: calibrated kernels, operations */
	opcount device_low, device_high;       /* device: executed */
	opcount allocated;		       /* allocation: held x peak */
	opcount added;			       /* correction: was missed */
	opcount retracted_low, retracted_high; /* correction: was not there, certainly and at most */
	uint64_t losses;		       /* calls or launches that could not be counted */
};

/* Adds one register to what is known of a job and period. Commutative. Saturates. */
void om_evidence_add(struct om_evidence *e, const struct om_reading *r);
void om_evidence_add_value(struct om_evidence *e, uint8_t meter, const struct om_value *v);

enum om_roof { OM_ROOF_NONE, OM_ROOF_DEVICE, OM_ROOF_ALLOCATION };

struct om_interval {
	opcount low, high;
	/* False: neither device nor allocation meter stands above it; `high` is then only what
	 * was asked for through what is probed. */
	bool is_bounded;
	/* Every launch that was seen is bounded by its name, and nothing was lost. Names are claims:
	 * this is no upper bound, but what a co-operative tenant's figure rests on. */
	bool is_complete;
	enum om_roof roof; /* which meter gave the roof. A figure whose `high` stands on allocation
			    * alone is reported and pages nobody: use `asked_high` for that */
	opcount asked_low, asked_high;
	opcount contradicted;
	opcount unattributed;
	uint32_t meters;
};
void om_reconcile(const struct om_evidence *e, struct om_interval *ret);

#endif
