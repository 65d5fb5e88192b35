/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TALLY_H
#define OPMETER_CORE_TALLY_H

/*
 * What each process has asked for in an hour, from counts that only grow, and what
 * its job was doing, judged as a recorded run is (core/phase.h). Pure.
 *
 * A process is judged by itself, since only within one do threads and order mean
 * something; a job instance is the sum of its processes. What was counted before the
 * hour, or before an earlier instance of the agent wrote it down, is no part of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel_role.h"
#include "ledger.h"
#include "phase.h"
#include "run.h"

struct om_tally;

/* `hash`: how a step of a burst names a product (flags without thread and replay). NULL: out of memory. */
struct om_tally *om_tally_new(uint32_t (*hash)(const struct om_shape_usage *s));
struct om_tally *om_tally_free(struct om_tally *t); /* NULL is fine; returns NULL */
static inline void om_tally_freep(struct om_tally **t)
{
	*t = om_tally_free(*t);
}

/* Counts as they were written down before: where the hour begins for these. In any order; -ENOMEM. */
int om_tally_base(struct om_tally *t, const struct om_shape_usage *s);
/* Cumulative counts, each with its job; one below what is known is left alone. A shape that comes for the
 * first time began at 0. -ENOMEM. */
int om_tally_put(struct om_tally *t, const struct om_shape_usage *s, size_t n);

/* Operations that a process asked for without a known shape, cumulative: nobody can say what they were for.
 * Once for each number format before each om_tally_judge(). -ENOMEM. */
int om_tally_unshaped(struct om_tally *t, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
		      opcount ops);

/* Launches of kernels that are named as backward's or an optimizer's, cumulative since the process began: all
 * of a process between two om_tally_judge(), once for each kernel. -ENOMEM. */
int om_tally_named(struct om_tally *t, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
		   enum om_kernel_role role, uint64_t launches);

/* Collectives of one kind through one communicator, cumulative since the process began. What a process has
 * more than 256 of is left out. `is_base`: as written down before, where the hour begins. -ENOMEM. */
struct om_tally_collective {
	struct om_id job;
	uint32_t tgid;
	uint64_t start_ns, comm;
	enum run_collective_kind kind;
	uint64_t calls;
	opcount bytes;
};
int om_tally_collective(struct om_tally *t, const struct om_tally_collective *c, bool is_base);

/* The order of some of a process's products; replaces what is there of the same window, if that is shorter,
 * and the oldest where there are more windows than are kept. -ENOMEM. */
struct om_tally_step {
	uint32_t hash;
	uint16_t repeat;
	uint8_t thread;
	uint32_t a, b, d; /* as in struct run_step */
};
int om_tally_burst(struct om_tally *t, uint32_t tgid, uint64_t start_ns, uint32_t window,
		   const struct om_tally_step *steps, size_t n);
/* So many windows of each process are kept (1): what does not fit into one is seen in several. At most
 * OM_TALLY_WINDOWS_MAX; before the first burst. */
#define OM_TALLY_WINDOWS_MAX 4
void om_tally_keep_windows(struct om_tally *t, unsigned n);
/* Are so many steps of that window there already? A process that does no more shows the same one again and
 * again. */
bool om_tally_has_window(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, uint32_t window,
			 size_t n);
/* Windows of this process since the tally was made, and its job. 0: none. */
uint32_t om_tally_windows(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, struct om_id *ret_job);
/* Its last counts are put: after the next judgement only the sum is kept. */
void om_tally_ended(struct om_tally *t, uint32_t tgid, uint64_t start_ns);

/* The next judgement is the hour's last: nothing is taken for what it was before. */
void om_tally_hour_ends(struct om_tally *t);

/* A job instance and hour. */
struct om_phase_hour {
	struct om_id job;
	uint64_t hour; /* since 1970-01-01 UTC */
	enum phase_verdict verdict;
	char confidence[8];
	opcount executed;
	/* That serve training, recomputation left out: suspected recomputation is not in `low`, but in
	 * `high`. */
	opcount training_low, training_high;
	opcount recompute_low, recompute_high;
	uint32_t processes;
	bool has_ended;	    /* one of them, since the last call: what it did comes no more */
	char evidence[512]; /* of the process with most operations */
	/* Of one of the processes, static; NULL: nothing. It is not in the ledger, but in `evidence` of that
	 * process. */
	const char *suspicion;
};
/* Judges what has changed since the last call; `hour` is left 0. Any result but 0 of fn ends it and is
 * returned. -ENOMEM. */
int om_tally_judge(struct om_tally *t, int (*fn)(void *ctx, const struct om_phase_hour *h), void *ctx);
/* The run that the process with most operations of a job makes; the caller calls run_done(). Its order is of
 * all windows that are kept: the steps of each begin with one that says so. -ENOENT, -ENOMEM. */
int om_tally_run(struct om_tally *t, const struct om_id *job, struct run *ret);
/* The runs of all processes that have products, each with its job: fn takes what it wants out of it and may
 * zero it, else it is freed. Any result but 0 ends it and is returned. -ENOMEM. */
int om_tally_each_run(struct om_tally *t,
		      int (*fn)(void *ctx, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
				struct run *r),
		      void *ctx);
/* A window of the order that was kept elsewhere. */
struct om_tally_window {
	uint32_t window;
	const struct om_tally_step *steps;
	size_t count;
};
/* The run of one process under one job instance, with its own windows behind those that are given (the oldest
 * first; not more than OM_TALLY_WINDOWS_MAX in all). *ret_unshaped: operations that are in no product. The
 * caller calls run_done(). -ENOENT, -ENOMEM. */
int om_tally_process(const struct om_tally *t, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
		     const struct om_tally_window *windows, size_t n, struct run *ret, opcount *ret_unshaped);
/* The job instances of a process: how many, at most `max` of them in ret. */
size_t om_tally_jobs(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, struct om_id *ret,
		     size_t max);
/* Its collectives since it began, likewise. */
size_t om_tally_collectives(const struct om_tally *t, const struct om_id *job, uint32_t tgid,
			    uint64_t start_ns, struct om_tally_collective *ret, size_t max);
/* A new hour begins with the counts as they are. */
int om_tally_turn(struct om_tally *t); /* -ENOMEM */
size_t om_tally_products(const struct om_tally *t);

/* Adds b to a: of one job, over processes or hours. Verdicts that differ make it mixed, but training that is
 * only a trace is not told apart from doubt. */
void om_phase_hour_add(struct om_phase_hour *a, const struct om_phase_hour *b);

#endif
