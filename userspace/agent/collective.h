/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_COLLECTIVE_H
#define OPMETER_AGENT_COLLECTIVE_H

/*
 * The collective meter's host side: loads bpf/collective.bpf.c, attaches it to files
 * that export NCCL's calls and reads what was kept.
 *
 * Maps and links are pinned below DIR/collective, as the other meters' are
 * (agent/probes.h), so counting goes on while no agent runs:
 *
 *     DIR/collective/maps/NAME
 *     DIR/collective/libraries/SEQ-DEV-INO-BUILD/ENTRY
 *
 * Ids of communicators leave the kernel's map for the time it takes to hash them
 * under the site's key; nothing else of them is ever given out. One thread uses a
 * struct collective.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/ledger_collectives.h"
#include "../core/run.h"
#include "../core/tally.h"
#include "../../bpf/collective.h"
#include "../base/cleanup.h"
#include "../base/log.h"
#include "../core/register.h"
#include "library.h"

#define COLLECTIVE_KEY_SIZE 32

struct collective_config {
	const char *pin_dir; /* on a BPF file system; it exists or is made */
	int control_fd;	     /* the other meters' map `control`: the switch. -1: one of its own */
	/* Capacities and the quota, 0: the default. Adopted maps keep theirs. */
	uint32_t sums_max;	    /* 32768 entries of 72 bytes */
	uint32_t communicators_max; /* 16384 of 216 */
	uint32_t processes_max;	    /* 8192 */
	uint32_t sums_per_process;  /* 1024: communicators times kinds */
	uint64_t build_salt;	    /* tests of upgrades: not 0 makes this instance another build */
	uint8_t key[COLLECTIVE_KEY_SIZE];
};

struct collective;

/* 0; -EPROTONOSUPPORT: pins of another version; else -errno. *err says what to do. */
int collective_open(const struct collective_config *config, struct collective **ret, struct error_text *err);
struct collective *collective_free(struct collective *c); /* pins stay; NULL is fine; returns NULL */
static inline void collective_freep(struct collective **c)
{
	*c = collective_free(*c);
}
#define _cleanup_collective_ _cleanup_(collective_freep)

/* The set of maps: random, made with them. */
const struct om_id *collective_map_id(const struct collective *c);
/* True if the maps were there before this instance. */
bool collective_was_adopted(const struct collective *c);

/*
 * Attaches to every entry of the file that the table knows (agent/collective_entries.h),
 * or keeps the probes that this build has on that file already. Older probes on it are
 * released in the background. Of `lib` open_path, display_path, dev, ino, text_start and
 * text_end are read. All or none: -errno, and *err says which; -ENOENT: it has no such entry.
 */
int collective_attach(struct collective *c, const struct library *lib, struct error_text *err);
/* Begins to release. -ENOENT: has none. */
int collective_release(struct collective *c, uint64_t dev, uint64_t ino);
/* Begins to release the probes on files that this instance has neither attached nor kept. */
int collective_sweep(struct collective *c, size_t *ret_count);
size_t collective_attached_count(const struct collective *c);

struct collective_sum_row {
	struct om_collective_key key;
	struct om_collective value;
};
struct collective_process_row {
	struct om_proc_key key;
	struct om_collective_process value;
};
/* A call that makes, changes or ends a communicator. */
struct collective_event {
	struct om_communicator_key key;
	uint64_t time_ns; /* boot time */
	uint64_t cgroup_id, comm, number;
	uint32_t kind; /* enum om_collective_kind */
	bool has_id;
	struct om_id id; /* keyed hash */
	uint32_t ids;
	int32_t nranks, rank, a, b;
};
struct collective_snapshot { /* arrays of the struct collective: until the next read */
	const struct collective_sum_row *sums;
	size_t sum_count;
	const struct collective_process_row *processes;
	size_t process_count;
	const struct collective_event *events;
	size_t event_count;
	uint64_t lost; /* calls of processes for which there was no room */
};
/* with_sums false: only the events, which is cheap. */
int collective_read(struct collective *c, bool with_sums, struct collective_snapshot *ret);
opcount collective_bytes(const struct om_collective *sum);

/* Makes room: the events of the last read, once they are committed. */
int collective_taken(struct collective *c);
/* Drops what is kept of processes that had ended before the last read with sums, once that is committed.
 * Sorts `processes`. */
int collective_forget(struct collective *c, struct om_proc_key *processes, size_t count);

/* The programs' runs and time, while the kernel measures (probes_set_measured()). */
int collective_cost(const struct collective *c, uint64_t *ret_runs, uint64_t *ret_time_ns);

/* What it is to a judgement; false: nothing. */
bool collective_run_kind(uint32_t kind, enum run_collective_kind *ret);
bool collective_to_tally(const struct om_collective_usage *u, struct om_tally_collective *ret);
const char *collective_kind_name(uint32_t kind);  /* "all-reduce", "init", ... */
const char *collective_lost_name(uint32_t cause); /* enum om_collective_lost: "read", ... */

/* Removes every pin below pin_dir/collective. -ENOENT: nothing there. */
int collective_remove_all(const char *pin_dir);

/*
 * The key under which ids are hashed: 64 hexadecimal digits in a file that only its
 * owner may read. Nodes whose jobs are to be joined have the same. With may_make, a
 * file that is not there is made with a random key. 0; -ENOENT; -EINVAL: not a key;
 * -EPERM: others may read it; *err says what to do.
 */
int collective_key_load(const char *path, bool may_make, uint8_t ret[COLLECTIVE_KEY_SIZE],
			struct error_text *err);

#endif
