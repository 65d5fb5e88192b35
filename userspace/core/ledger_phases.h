/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEDGER_PHASES_H
#define OPMETER_CORE_LEDGER_PHASES_H

/*
 * What each job instance was judged to do, hour by hour. Judgements of a node's own
 * eyes, for explanations and to go on after a restart; what holds for totals
 * are the assignments in the log.
 */

#include "ledger.h"
#include "tally.h"

/* Replaces the row of the same job and hour. -ENOSPC: nothing was stored. */
int om_ledger_store_phase_hours(struct om_ledger *l, const struct om_phase_hour *h, size_t n,
				uint64_t now_ns);
/* Of hours from `from_hour` on, by job and hour; strings are loans. */
int om_ledger_each_phase_hour(struct om_ledger *l, uint64_t from_hour,
			      int (*fn)(void *ctx, const struct om_phase_hour *h), void *ctx);

#endif
