/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef OPMETER_BPF_COLLECTIVE_H
#define OPMETER_BPF_COLLECTIVE_H

/*
 * The collective meter's structures: what bpf/collective.bpf.c keeps of the calls that
 * processes make to libnccl.
 *
 * An id of a communicator is a secret between its ranks, as who knows it may join: it
 * lies in map `communicators` until user space has taken it, and leaves that only
 * as a keyed hash.
 */

#include "opmeter.h"

#define OM_COLLECTIVE_ID_SIZE 128 /* NCCL_UNIQUE_ID_BYTES */
#define OM_COLLECTIVE_SITES_MAX 64
#define OM_COLLECTIVE_FILES_MAX 256
#define OM_COLLECTIVE_NO_COMM 0xffffffffffffffffULL /* a process at its quota: not told apart any more */

/* What a call is. The values are in the ledger: none ever changes its meaning. */
enum om_collective_kind {
	OM_COLLECTIVE_ALL_REDUCE = 1,
	OM_COLLECTIVE_REDUCE_SCATTER = 2,
	OM_COLLECTIVE_ALL_GATHER = 3,
	OM_COLLECTIVE_BROADCAST = 4,
	OM_COLLECTIVE_REDUCE = 5,
	OM_COLLECTIVE_ALL_TO_ALL = 6,
	OM_COLLECTIVE_GATHER = 7,
	OM_COLLECTIVE_SCATTER = 8,
	OM_COLLECTIVE_SEND = 9,
	OM_COLLECTIVE_RECV = 10,
	OM_COLLECTIVE_PUT = 11,
	OM_COLLECTIVE_KIND_END,

	OM_COMMUNICATOR_INIT = 32, /* ncclCommInitRank, Config, Scalable */
	OM_COMMUNICATOR_INIT_ALL = 33,
	OM_COMMUNICATOR_SPLIT = 34,
	OM_COMMUNICATOR_GROW = 35,
	OM_COMMUNICATOR_SHRINK = 36,
	OM_COMMUNICATOR_REVOKE = 37,
	OM_COMMUNICATOR_FINALIZE = 38,
	OM_COMMUNICATOR_DESTROY = 39,
	OM_COMMUNICATOR_ABORT = 40,
	OM_COMMUNICATOR_KIND_END,
};

/* How an entry passes what is read; the numbers are words of the call (bpf/regs.bpf.h). */
enum om_collective_flags {
	OM_COLLECTIVE_ID_IN_PLACE = 1, /* the id lies on the stack, else `id` points to it */
};
struct om_collective_site {
	om_u8 kind; /* enum om_collective_kind; 0: an empty row */
	om_u8 flags;
	om_u8 stack_words;
	om_u8 comm, count, type; /* OM_SLOT_NONE: has none */
	om_u8 id, ids, nranks, rank;
	om_u8 a, b; /* two more that are kept as they are: a split's color and key */
};

/* map `collective_files`: where the text of a file with probes lies: its own calls to itself are not a
 * tenant's. */
struct om_collective_file {
	om_u32 seq; /* 0: free */
	om_u32 pad;
	om_u64 text_start, text_end; /* virtual addresses of the file */
	om_u64 site_vaddr[OM_COLLECTIVE_SITES_MAX];
};

/* map `collectives`: om_collective_key -> om_collective. */
struct om_collective_key {
	om_u64 start_ns; /* of the process, boot time */
	om_u64 cgroup_id;
	om_u64 comm; /* the handle, as the process has it */
	om_u32 tgid;
	om_u32 kind;
};
#define OM_COLLECTIVE_LIMBS 3
#define OM_COLLECTIVE_BYTES_MAX (1ULL << 48) /* of one call: more than all memory of a node */
struct om_collective {
	om_u64 calls;
	/* Limb i counts units of 2^(16 i); each call adds less than 2^16 to each, so it
	 * overflows after 2^48 calls. */
	om_u64 bytes[OM_COLLECTIVE_LIMBS];
};

/* map `communicators`: om_communicator_key -> om_communicator, until user space has taken it. A process has
 * that many places: number n has place n modulo that, and is lost if it is not free. */
#define OM_COMMUNICATORS_WAITING 256
struct om_communicator_key {
	om_u64 start_ns;
	om_u32 tgid;
	om_u32 place;
};
enum om_communicator_flags {
	OM_COMMUNICATOR_HAS_ID = 1,
};
struct om_communicator {
	om_u64 time_ns; /* boot time */
	om_u64 cgroup_id;
	om_u64 comm; /* the handle that is split, grown, shrunk, ended; of an init: where the new one will be
			put */
	om_u64 number; /* of the process's, from 0 on */
	om_u32 kind;
	om_u32 flags;
	om_u32 nranks, rank; /* as the process says: 32 bits, perhaps of a negative number */
	om_u32 ids;	     /* how many ids the process passes; only the first is read */
	om_u32 a, b;
	om_u32 pad;
	om_u8 id[OM_COLLECTIVE_ID_SIZE];
};

/* map `collective_processes`: om_proc_key -> om_collective_process. */
enum om_collective_lost {
	OM_COLLECTIVE_LOST_READ = 0, /* arguments or an id that could not be read */
	OM_COLLECTIVE_LOST_TYPE, /* a datatype that the table does not know: the call counts, its bytes do not
				  */
	OM_COLLECTIVE_LOST_ABSURD, /* more bytes than any machine has: likewise */
	OM_COLLECTIVE_LOST_QUOTA,  /* a communicator's event: more are waiting than a process may have */
	OM_COLLECTIVE_LOST_FULL,   /* no room in a map */
	OM_COLLECTIVE_LOST_OFF,	   /* while the meter was switched off */
	OM_COLLECTIVE_LOST_LATE,   /* user space's: a process that mapped the library before it had probes */
	OM_COLLECTIVE_LOST_END,
};
struct om_collective_process {
	om_u64 cgroup_id;
	om_u64 first_ns;
	om_u64 sums;   /* entries of `collectives` that are charged to it */
	om_u64 events; /* of communicators */
	om_u64 nested; /* calls of the library to itself: not counted */
	om_u64 duplicates;
	om_u64 lost[OM_COLLECTIVE_LOST_END];
};

/* map `collective_meta`, one element. */
#define OM_COLLECTIVE_ABI_VERSION 1
struct om_collective_meta {
	om_u32 abi;
	om_u32 quota;	 /* communicators and kinds that one process's calls are told apart by */
	om_u32 next_seq; /* written by user space under the lock */
	om_u32 pad;
	om_u8 id[16]; /* random: made with the maps */
};
/* map `collective_lost`, one u64: calls of processes for which there was no room, or no thread's storage. */

#endif
