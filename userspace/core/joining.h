/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_JOINING_H
#define OPMETER_CORE_JOINING_H

/*
 * One job over many nodes: from the calls that make communicators to the processes
 * that work together, whatever node and account they run under.
 *
 * Calls belong to one set if they have one id (a keyed hash, equal on all nodes with
 * one key), one number of ranks, and lie in one stretch of time: no gap between
 * neighbours is longer than the window. With `NCCL_COMM_ID` an id is constant, so
 * the id alone says nothing. A set in which two processes claim one rank is
 * not joined: it is two runs, or somebody pretends. All others unite their
 * processes, but where every rank was seen those alone that have one; a process with
 * several communicators unites their sets; what is split, shrunk or grown from a
 * communicator stays within the processes that had it.
 *
 * A pure function of the set of calls: order and repetition change nothing. What is
 * joined is what processes claim: docs/threat-model.md says what a forger could do.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/cleanup.h"
#include "register.h"

#define OM_JOIN_WINDOW_NS 300000000000ULL /* 5 minutes: as long as the slowest rank may need to come */
#define OM_JOIN_RANKS_MAX (1 << 24)
#define OM_JOIN_NO_RANK (-1) /* of a root that lets others in (ncclCommGrow): it has its rank from before */

/* One call of one process. */
struct om_join_claim {
	struct om_id process; /* one run of one process on one node */
	struct om_id job;     /* its job instance */
	bool has_id;	      /* false: it made a communicator by itself, or one whose id was not read */
	struct om_id id;
	int32_t nranks, rank;
	uint64_t time_ns; /* Unix time */
};

enum om_join_verdict {
	OM_JOIN_COMPLETE = 1, /* every rank was seen once */
	OM_JOIN_INCOMPLETE,   /* some were not: their nodes are not metered, or they never came */
	OM_JOIN_CONFLICT,     /* two processes claim one rank: not joined */
};
const char *om_join_verdict_name(enum om_join_verdict v);

struct om_join_set {
	struct om_id id;
	int32_t nranks;
	uint32_t ranks_seen; /* distinct ones */
	uint64_t first_ns, last_ns;
	enum om_join_verdict verdict;
	uint32_t
		unseated; /* of a complete one: claimants without a rank, which it does not join: a finding */
	bool disagrees;	  /* the same id came with another number of ranks within the window: a finding too */
	/* Of a conflict: two of those that claim one rank. */
	struct om_id claimant[2];
	int32_t claimed_rank;
	size_t job; /* index into jobs; of a conflict: of claimant 0 */
};

struct om_join_member {
	struct om_id process, job;
};

struct om_join_job {
	struct om_id name; /* the least of its processes: the same whoever joins */
	const struct om_join_member
		*members; /* sorted; a process that changed its cgroup comes more than once */
	size_t member_count;
	size_t process_count;
	uint32_t sets, incomplete_sets; /* that unite it */
};

struct om_joining {
	struct om_join_job *jobs; /* sorted by name; a process that nothing joins is a job alone */
	size_t job_count;
	struct om_join_set *sets; /* sorted by id, number of ranks, time */
	size_t set_count;
	uint64_t invalid;	       /* claims that say nothing: no such rank, or no such number of ranks */
	struct om_join_member *member; /* what jobs point into */
};

/* 0; -ENOMEM; -E2BIG: more claims than can be joined at once. window_ns 0: OM_JOIN_WINDOW_NS. */
int om_joining_make(const struct om_join_claim *claims, size_t count, uint64_t window_ns,
		    struct om_joining **ret);
struct om_joining *om_joining_free(struct om_joining *j); /* NULL is fine; returns NULL */
#define _cleanup_joining_ _cleanup_(om_joining_freep)
static inline void om_joining_freep(struct om_joining **j)
{
	*j = om_joining_free(*j);
}

#endif
