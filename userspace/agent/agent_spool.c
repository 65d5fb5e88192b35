// SPDX-License-Identifier: Apache-2.0
/* What people say while we write the ledger (core/spool.h): their judgements of lineage go into the log as
 * they stand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../core/spool.h"
#include "agent_internal.h"

static int take(void *ctx, const char *name, const char *text, size_t len)
{
	struct om_assignment as;
	struct agent *a = ctx;
	char unique[80];
	int r = om_assignment_decode(text, len, &as);

	if (r == -ENOMEM)
		return r;
	if (r || as.kind != OM_ASSIGN_LINEAGE || !as.person[0] ||
	    !om_id_equal(&as.ledger, om_ledger_id(a->ledger))) {
		log_warn("%s/spool/%s: no person's word on a lineage of this ledger: it is put aside",
			 a->config->dir, name);
		return 1;
	}
	snprintf(unique, sizeof(unique), "spool/%s", name);
	r = om_ledger_append(a->ledger, OM_ENTRY_ASSIGNMENT, unique, text, len, agent_now_ns(), NULL);
	if (r < 0)
		return r;
	r = om_totals_assign(a->totals, &as);
	return r < 0 ? r : 0;
}

int agent_spool(struct agent *a)
{
	int r = om_spool_each(a->config->dir, take, a);

	/* Said again at the next look, and the disk is told of elsewhere. */
	return r == -ENOSPC ? 0 : r;
}
