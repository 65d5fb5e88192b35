/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEDGER_COLLECTIVES_H
#define OPMETER_CORE_LEDGER_COLLECTIVES_H

/*
 * The ledger's record of communicators and collectives: what jobs can be joined by
 * (core/joining.h), and who sent how much. As kernels and shapes, they stay here until
 * somebody exports them. Kinds and causes are the numbers of bpf/collective.h.
 */

#include "joining.h"
#include "ledger.h"

/* Who: one process under one job instance. */
struct om_collective_who {
	struct om_id boot, map, job;
	uint32_t tgid;
	uint64_t start_ns, cgroup_id;
};

/* Calls of one kind through one communicator, cumulative since the process began. */
struct om_collective_usage {
	struct om_collective_who who;
	uint64_t comm; /* the handle, as the process has it; all ones: not told apart any more */
	uint32_t kind;
	uint64_t calls;
	opcount bytes; /* count times the size of the datatype, as the process passes them */
};
/* What was lost, by cause, cumulative likewise. */
struct om_collective_loss {
	struct om_collective_who who;
	uint32_t cause;
	uint64_t count;
};
/* One call that makes, changes or ends a communicator. */
struct om_communicator_event {
	struct om_collective_who who;
	uint64_t number;  /* of the process's, from 0 on: a gap is a loss */
	uint64_t time_ns; /* Unix time */
	uint64_t comm;
	uint32_t kind;
	bool has_id;
	struct om_id id; /* keyed hash */
	uint32_t ids;
	int32_t nranks, rank, a, b;
};

/* A count below the one that is held changes nothing; an event that is held already neither. */
int om_ledger_store_collectives(struct om_ledger *l, const struct om_collective_usage *u, size_t n,
				uint64_t now_ns);
int om_ledger_store_collective_losses(struct om_ledger *l, const struct om_collective_loss *u, size_t n);
int om_ledger_store_communicators(struct om_ledger *l, const struct om_communicator_event *e, size_t n);

/* The most bytes first; losses by process; events in the order of time. */
int om_ledger_each_collective(struct om_ledger *l, int (*fn)(void *ctx, const struct om_collective_usage *u),
			      void *ctx);
int om_ledger_each_collective_loss(struct om_ledger *l,
				   int (*fn)(void *ctx, const struct om_collective_loss *u), void *ctx);
int om_ledger_each_communicator(struct om_ledger *l,
				int (*fn)(void *ctx, const struct om_communicator_event *e), void *ctx);

/* One run of one process on one node, the same in every ledger that tells of it. */
void om_collective_process_id(const struct om_collective_who *who, struct om_id *ret);
/* What an event says for joining. */
void om_collective_claim(const struct om_communicator_event *e, struct om_join_claim *ret);

#endif
