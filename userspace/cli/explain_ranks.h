/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_EXPLAIN_RANKS_H
#define OPMETER_CLI_EXPLAIN_RANKS_H

/* `explain`: what the ranks of a job do together, as far as one ledger has them. */

#include "../core/job_model.h"
#include "../core/ledger.h"

/* Ranks are processes with products, of the job instance and of those that communicators join it with
 * (core/joining.h). ret->ranks 0: it has none. -ENOMEM; the ledger's errors. */
int explain_ranks(struct om_ledger *l, const struct om_id *job, const struct architectures *known,
		  struct job_judgement *ret);

#endif
