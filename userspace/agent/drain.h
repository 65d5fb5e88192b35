/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DRAIN_H
#define OPMETER_AGENT_DRAIN_H

/*
 * Reads the kernel's counts and folds them into what the ledger takes.
 *
 * The order is: drain_read(), om_ledger_job() for each cgroup, om_ledger_accrue(),
 * drain_commit(), om_ledger_forget() for each of the dead. Counts are cumulative,
 * so a read that is lost with the agent is read again by the next one; entries
 * leave the kernel only in drain_commit(), only those of processes whose last
 * thread had ended before the counts were read.
 *
 * Memory is taken as the maps fill, at most their capacity.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/catalogue.h"
#include "../core/ledger.h"
#include "probes.h"

struct drain;
int drain_new(struct probes *p, struct drain **ret); /* p must outlive it */
struct drain *drain_free(struct drain *d);	     /* NULL is fine; returns NULL */
static inline void drain_freep(struct drain **d)
{
	*d = drain_free(*d);
}
#define _cleanup_drain_ _cleanup_(drain_freep)

struct drain_process {
	uint32_t tgid;
	uint64_t start_ns; /* boot time, as in struct om_usage */
	uint32_t parent_tgid;
	uint64_t parent_start_ns;
	uint64_t cgroup_id; /* at first sight; a process may move */
	uint64_t first_ns;  /* boot time of the first product or open of a GPU */
	uint64_t exit_ns;   /* boot time; 0: alive */
	uint32_t shapes;    /* in the kernel's map now */
	bool has_opened_device;
	bool is_killed;		 /* it ended by a signal */
	char comm[OM_COMM_SIZE]; /* NUL-terminated; what the process says it is */
};

struct drain_cgroup {
	uint64_t id;
	uint64_t created_ns; /* boot time */
	const char *path;    /* below the cgroup2 root, "/..." */
	bool is_removed;
	bool is_cut; /* the path was longer than the kernel's record */
};

/* The order of a process's products since a window began: a sample. */
struct drain_burst {
	uint32_t tgid;
	uint64_t start_ns;
	uint32_t window;
	struct om_step *steps;
	size_t count;
};

/* CUDA graphs, as of the last read with DRAIN_LAUNCHES. */
struct drain_graph_stats {
	uint64_t segments, replays;
	uint64_t uncertain; /* replays of graphs whose contents are not known for certain: in `high` only */
	uint64_t never_ran; /* captures of processes that have ended, never launched: in `high` */
};

/* All arrays belong to the drain and are valid until the next drain_read(). */
struct drain_result {
	/* One for each process, cgroup and number format; `job` is zero: the caller
	 * fills it in. A usage with tgid 0 belongs to a cgroup whose processes found
	 * no room; its start_ns is the cgroup's id, and it never dies. One with
	 * cgroup_id 0 is what could not even be given a cgroup: losses only. */
	struct om_usage *usage;
	size_t usage_count;
	struct om_shape_usage *shapes; /* of all processes; only if asked for */
	size_t shape_count;
	struct drain_burst *bursts; /* likewise */
	size_t burst_count;
	/* Which kernels each process launches with what geometry: with DRAIN_SHAPES only. */
	struct om_launch_usage *launches;
	size_t launch_count;
	/* Kernels' names that were not known before: to be stored before drain_commit(). */
	struct om_kernel_name *names;
	size_t name_count;
	struct drain_graph_stats graphs;
	struct drain_process *processes; /* all that are known, the dead ones too */
	size_t process_count;
	/* Index of the dead in `processes`: this read holds their last counts. */
	const size_t *dead;
	size_t dead_count;
	/* Cgroups made since the programs were attached and not yet committed. */
	struct drain_cgroup *cgroups;
	size_t cgroup_count;
	uint64_t shapes_held; /* entries read */
	uint64_t time_ns;     /* what the read took */
};

/* What to read beside products' sums. */
enum drain_what {
	DRAIN_SHAPES = 1,   /* each shape and launch by itself; else those of the dead alone, as this
			     * is the last time that they can be had */
	DRAIN_LAUNCHES = 2, /* launches and graphs; else only if one of their processes has ended */
};

/* How a step of a burst names a product: for om_tally_new(). */
uint32_t drain_shape_name(const struct om_shape_usage *s);

/* Begins a new window: each process notes the order of its next products. 0, or the kernel's error. */
int drain_next_burst(struct drain *d);

/* Reads. 0; -ENOMEM; or the kernel's error: nothing was changed, call again. */
int drain_read(struct drain *d, unsigned what, struct drain_result *ret);

/* How kernels become operations; a loan, NULL: all of them are unknown. Before the first read. */
void drain_set_catalogue(struct drain *d, const struct om_catalogue *c);
/* Launches of kernels that nothing bounds, of graphs' replays too: called while launches are
 * read, perhaps several times for one key; cumulative. Any result but 0 ends the read with it. */
void drain_set_unbounded(struct drain *d,
			 int (*fn)(void *ctx, const struct om_launch_key *k, uint64_t launches), void *ctx);
/* True if the last read had the launches. */
bool drain_had_launches(const struct drain *d);
/* A name that the ledger knows from before. 0, -ENOMEM, -ENOSPC. */
int drain_learn_name(struct drain *d, const struct om_kernel_name *n);

/* The caller has the last drain_read() on disk: the entries of its dead and the
 * records of its cgroups go. Calls om_ledger_forget() for nobody. */
int drain_commit(struct drain *d);

#endif
