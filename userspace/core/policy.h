/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_POLICY_H
#define OPMETER_CORE_POLICY_H

/*
 * Totals judged by regimes and owners. policy_judge() emits every finding that
 * is true now; its id is the same each time, and whoever keeps the findings
 * makes them happen once. Pure: no clock, no state.
 */

#include "alert.h"
#include "ownership.h"
#include "regime.h"
#include "totals.h"

struct policy {
	const struct regimes *regimes;
	const struct owners *owners; /* NULL: owners are not judged */
	const char *source;	     /* "/opmeter/<ledger id or fleet name>" */
	uint64_t now_ns;
};

/*
 * One subject (a model of a tenant). `emit` gets a loan; it returns 0 or a
 * negative errno that is passed up.
 *
 * Levels: the early ones compare the upper bound ("possible" while the lower is
 * below), `exceeded` the lower. Where data that the law names is missing the
 * verdict is conditional(what). Owners: an informational event per ownership
 * version; a case, when the regime is enforced and training is material.
 */
int policy_judge(const struct policy *p, const struct om_subject_total *s,
		 int (*emit)(void *ctx, const struct alert *a), void *ctx);

#endif
