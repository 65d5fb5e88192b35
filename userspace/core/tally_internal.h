/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TALLY_INTERNAL_H
#define OPMETER_CORE_TALLY_INTERNAL_H

/* What tally.c keeps of processes, and tally_run.c makes a run of. */

#include "../base/opcount.h"
#include "format.h"
#include "run.h"
#include "tally.h"

struct item {
	uint64_t m, n, k, batch;
	uint32_t types, flags;
	uint64_t base, now; /* calls: when the hour began, and as last read */
	double judged;	    /* its part of the operations, as last judged */
};

struct burst {
	uint32_t window;
	struct om_tally_step *step;
	size_t count;
};

/* Of one kind through one communicator. */
#define TALLY_COLLECTIVES_MAX 256 /* of a process: further ones are not told to the judgement */
struct collective_count {
	uint64_t calls;
	opcount bytes;
};
struct collective_sum {
	uint64_t comm;
	enum run_collective_kind kind;
	struct collective_count base, now;
};

struct process {
	uint64_t start_ns;
	uint32_t tgid;
	struct om_id job;
	struct item *item;
	size_t count, room, sorted; /* the first `sorted` are in order */
	opcount unshaped_base, unshaped, unshaped_seen;
	uint64_t named[OM_ROLES], named_seen[OM_ROLES]; /* launches */
	struct burst burst[OM_TALLY_WINDOWS_MAX];	/* the oldest first */
	uint32_t bursts, windows;			/* kept; in all */
	struct collective_sum *sum;
	size_t sums;
	bool has_ended, has_changed;
	bool has_names;		     /* kernels' names say something since it was judged */
	struct om_phase_hour judged; /* executed 0: nothing yet */
	/* What that was made of: as long as the hour goes on as it went, it holds for all of it. */
	struct {
		double training_low, training_high, recompute_low, recompute_high;
		double moved; /* part of the operations that may be other products' by now */
		size_t sums;
		uint32_t times; /* that it was taken for what came since */
	} like;
};

struct om_tally {
	uint32_t (*hash)(const struct om_shape_usage *s);
	unsigned windows_max;
	struct process *process;
	size_t count, room;
	uint32_t *index; /* by hash; 0: free, else position + 1; at most half full */
	size_t slots;
};

/* Operations of its products in this hour. 1: more than can be told. */
int tally_ops(const struct process *p, opcount *ret);
/* Was what it has done since it was judged, so many operations in all, like what it did before? */
bool tally_goes_on(struct process *p, opcount executed);
/* It is judged as it is now. */
void tally_remember(struct process *p, opcount executed);
/* NULL: it is not known. */
struct process *tally_find(const struct om_tally *t, const struct om_id *job, uint32_t tgid,
			   uint64_t start_ns);
/* What the process has asked for since the hour began; the caller calls run_done(). -ENOMEM. */
int tally_process_run(const struct om_tally *t, const struct process *p, struct run *ret);

#endif
