/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEDGER_ORDER_H
#define OPMETER_CORE_LEDGER_ORDER_H

/*
 * Windows of the order in which processes asked for products, with the names of the products' buffers: a
 * sample, for explanations. What a model is can be told from it long after; no total is made of it. It never
 * leaves the node.
 */

#include "ledger.h"
#include "tally.h"

/* One window of one process. */
struct om_order_window {
	struct om_id map, job;
	uint32_t tgid;
	uint64_t start_ns; /* of the process: boot time */
	uint32_t window;   /* number, since the maps were made */
	const struct om_tally_step *steps;
	size_t count; /* 1 to OM_ORDER_STEPS_MAX */
};
#define OM_ORDER_STEPS_MAX 65536
#define OM_ORDER_JOB_MAX 64    /* windows of a job that are kept, the latest */
#define OM_ORDER_NODE_MAX 2048 /* and of the node */

/* All or nothing. Keeps the latest OM_TALLY_WINDOWS_MAX of the process; older ones go, as do those past the
 * limits above. -ENOSPC: nothing was stored; -EINVAL: a count out of range. */
int om_ledger_store_order(struct om_ledger *l, const struct om_order_window *w, size_t n, uint64_t now_ns);
/* Of one process under one job instance: `job`, `map`, `tgid` and `start_ns` of `of`. */
int om_ledger_order_of(struct om_ledger *l, const struct om_order_window *of,
		       int (*fn)(void *ctx, const struct om_order_window *w), void *ctx);
/* The windows of a job (NULL: of all), those of a process in their order. 0, what fn returns, or -EUCLEAN:
 * somebody wrote into the file. */
int om_ledger_each_order(struct om_ledger *l, const struct om_id *job,
			 int (*fn)(void *ctx, const struct om_order_window *w), void *ctx);

#endif
