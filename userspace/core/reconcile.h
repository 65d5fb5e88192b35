/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_RECONCILE_H
#define OPMETER_CORE_RECONCILE_H

/*
 * Several meters, one figure. Everything that the meters say of one job in one
 * period goes in; one interval of algorithmic operations comes out, with the
 * meters that stand behind it, what they contradict, and what none of them
 * explains. This is the only place that combines meters.
 *
 *   asked    A = shape + launch + counter: what the job asked for
 *   device   D = [low, high]: what its devices executed, from pipe activity
 *   held     P: device time held x dense peak
 *
 *   roof     R = min(D.high x r_max, P); r_max is how many textbook operations one
 *            executed operation may stand for (Winograd, sparsity: docs/counting.md)
 *   low      = min(A.low, R)      work that the device cannot have done is not in it
 *   high     = max(A.high, R)     and stays in `high`, raised as `contradicted`
 *   contradicted = A.low - R where positive
 *   unattributed = D.low - A.high x e_max where positive; e_max is how many operations
 *            may be executed for one textbook operation (padding to tiles)
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
	opcount attempted;		       /* shape */
	opcount launched_low, launched_high;   /* launch: kernels that the catalogue bounds */
	uint64_t unknown_launches;	       /* launch: kernels it does not: only a roof covers them */
	double sampled_mean, sampled_variance; /* counter: calibrated kernels, operations */
	opcount device_low, device_high;       /* device: executed */
	opcount allocated;		       /* allocation: held x peak */
	uint64_t losses;		       /* calls or launches that could not be counted */
	uint32_t ratio_max_ppm; /* r_max in millionths; 0: the default of the classes in play */
};

/* Adds one register to what is known of a job and period. Commutative. Saturates. */
void om_evidence_add(struct om_evidence *e, const struct om_reading *r);

enum om_roof { OM_ROOF_NONE, OM_ROOF_DEVICE, OM_ROOF_ALLOCATION };

struct om_interval {
	opcount low, high;
	/* False: there is work that nothing bounds (unknown kernels or losses, and neither
	 * device nor allocation meter); `high` is then only what was asked for. */
	bool is_bounded;
	enum om_roof roof; /* which meter gave the roof. A figure whose `high` stands on allocation
			    * alone is reported and pages nobody: use `asked_high` for that */
	opcount asked_low, asked_high;
	opcount contradicted;
	opcount unattributed;
	uint32_t meters;
};
void om_reconcile(const struct om_evidence *e, struct om_interval *ret);

#endif
