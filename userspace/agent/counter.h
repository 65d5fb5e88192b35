/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_COUNTER_H
#define OPMETER_AGENT_COUNTER_H

/*
 * The counter meter's host side: loads bpf/counter.bpf.c, attaches it to the probe
 * sites of the collector's file (userspace/cupti/) and reads what was kept.
 *
 * Maps and links are pinned below DIR/counter, as the other meters' are
 * (agent/probes.h), so readings go on while no agent runs:
 *
 *     DIR/counter/maps/NAME
 *     DIR/counter/links/DEV-INO-BUILD/N
 *
 * While a link is there the collector knows that somebody listens, and measures;
 * releasing the file ends that. A file may be a tenant's own: what comes out of it
 * are claims (core/calibration.h judges them). One thread uses a struct counter.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/counter.h"
#include "../base/cleanup.h"
#include "../base/log.h"
#include "../core/calibration.h"

struct counter_config {
	const char *pin_dir;		 /* on a BPF file system; it exists or is made */
	int control_fd;			 /* the other meters' map `control`: the switch. -1: one of its own */
	uint32_t counters_max;		 /* 0: 32768 entries of 128 bytes */
	uint32_t processes_max;		 /* 0: 4096 */
	uint32_t signatures_per_process; /* 0: 4096; a signature with each metric is one */
};

struct counter;

/* 0; -EPROTONOSUPPORT: pins of another version; else -errno. *err says what to do. */
int counter_open(const struct counter_config *config, struct counter **ret, struct error_text *err);
struct counter *counter_free(struct counter *c); /* pins stay; NULL is fine; returns NULL */
static inline void counter_freep(struct counter **c)
{
	*c = counter_free(*c);
}
#define _cleanup_counter_ _cleanup_(counter_freep)

/* True if the file at that path is a collector: it has both sites. Reads it only. */
bool counter_is_collector(const char *open_path);

/* Attaches to both sites, or keeps the links that this build has on that file
 * already. `dev`, `ino` name the file, as in struct library. -ENOENT: it is no collector. */
int counter_attach(struct counter *c, const char *open_path, uint64_t dev, uint64_t ino,
		   struct error_text *err);
/* -ENOENT: has none. */
int counter_release(struct counter *c, uint64_t dev, uint64_t ino);
/* Releases the links on files that this instance has neither attached nor kept. */
int counter_sweep(struct counter *c, size_t *ret_count);

struct counter_process_row {
	struct om_proc_key key;
	struct om_counter_process value;
};
struct counter_row {
	struct om_counter_key key;
	struct om_counter value;
};
struct counter_snapshot { /* arrays of the struct counter: until the next read */
	const struct counter_row *rows;
	size_t row_count;
	const struct counter_process_row *processes;
	size_t process_count;
	bool is_full; /* a map had no room left: some process may not have been heard */
};
int counter_read(struct counter *c, struct counter_snapshot *ret);

/* Mean and variance of one launch; of the mean's estimate divide by the count. */
double counter_mean(const struct om_counter *c);
double counter_variance(const struct om_counter *c);

/* What was read, as claims. owner_of says who speaks for a cgroup (NULL: the cgroup itself), so that
 * the processes of one owner are one voice. 0; -ENOMEM; -ENOSPC or -EINVAL: not all of them found room, or
 * were possible. */
int counter_claim(const struct counter_snapshot *s, uint64_t (*owner_of)(void *ctx, uint64_t cgroup_id),
		  void *ctx, struct om_calibrations *c);

/* Drops what is kept of a process that has ended and whose last read is committed. */
int counter_forget(struct counter *c, const struct om_proc_key *process);

/* The programs' runs and time, while the kernel measures (probes_set_measured()). */
int counter_cost(const struct counter *c, uint64_t *ret_runs, uint64_t *ret_time_ns);

const char *counter_lost_name(int cause);	  /* enum om_counter_lost: a word for labels */
const char *counter_state_name(uint32_t state);	  /* enum om_counter_state */
const char *counter_reason_name(uint32_t reason); /* enum om_counter_reason: a phrase for people */

/* Removes every pin below pin_dir/counter. -ENOENT: nothing there. */
int counter_remove_all(const char *pin_dir);

#endif
