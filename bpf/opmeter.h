/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef OPMETER_BPF_OPMETER_H
#define OPMETER_BPF_OPMETER_H

/*
 * The only header that both sides see: what the pinned maps hold.
 *
 * A pinned map outlives the build that made it, so every struct here is a
 * format: a change of any of them is a new OM_ABI_VERSION, and a build adopts
 * only maps of its own version. All integers are in the byte order of the node;
 * nothing here leaves it. Counters only grow.
 */

#ifdef __bpf__
typedef __u8 om_u8;
typedef __u16 om_u16;
typedef __u32 om_u32;
typedef __u64 om_u64;
#else
#include <stdint.h>
typedef uint8_t om_u8;
typedef uint16_t om_u16;
typedef uint32_t om_u32;
typedef uint64_t om_u64;
#endif

#define OM_ABI_VERSION 1

/* How a call's arguments are to be read: one row for each counted symbol. The
 * numbers are slots: positions among the integer-class arguments, translated
 * for the machine's calling convention by the loader. */
enum om_call_class {
	OM_CLASS_LT_MATMUL = 1, /* the values of docs/formats.md, "Shape" */
	OM_CLASS_GEMM = 2,
	OM_CLASS_BATCHED = 3,
	OM_CLASS_STRIDED = 4,
	OM_CLASS_GROUPED = 5,
};

#define OM_CALL_SITES_MAX 96 /* counted symbols of all libraries together */
#define OM_SLOT_NONE 0xff
#define OM_TYPE_NONE 0xff
#define OM_TYPES_UNKNOWN 0xffffffffu

enum om_call_flags {
	OM_CALL_WIDE = 1,      /* sizes are 64 bits wide, else 32 */
	OM_CALL_LETTERS = 2,   /* transposition as a letter (v1), else cublasOperation_t */
	OM_CALL_IN_CUBLAS = 4, /* an entry of libcublas, which may call libcublasLt */
};

struct om_call_site {
	om_u8 class; /* enum om_call_class; 0: an empty row */
	om_u8 flags;
	om_u8 stack_words; /* how many words to read above the return address */
	om_u8 transa, transb;
	om_u8 m, n, k;
	om_u8 batch;			       /* or the number of groups */
	om_u8 group_size;		       /* OM_CLASS_GROUPED: the array of batch counts */
	om_u8 a_type, b_type, c_type, compute; /* OM_SLOT_NONE: as in `types` */
	om_u8 pad[2];
	om_u32 types; /* a byte each: A lowest, B, C, compute type; 255 not given */
};

/* Where a build of libcublasLt keeps what we read: byte offsets into its
 * descriptors, proved from the vendor's file (opmeter prove). Row 0 of the map
 * is all zero: not proven. */
#define OM_OFFSETS_ROWS 64
#define OM_OFFSET_NONE 0xffff
#define OM_LAYOUT_READ_MAX 64
#define OM_DESC_READ_MAX 64
struct om_offsets {
	om_u16 layout_size;  /* bytes to read of a matrix layout; 0: an empty row */
	om_u16 layout_type;  /* u32 cudaDataType */
	om_u16 layout_rows;  /* u64 */
	om_u16 layout_cols;  /* u64 */
	om_u16 layout_batch; /* s32 */
	om_u16 layout_mode;  /* low 16 bits of a u32 (12.9 and 13.10 keep something else above),
			      * 2: grouped, sizes on the device; OM_OFFSET_NONE: has none */
	om_u16 desc_size;    /* bytes to read of an operation descriptor */
	om_u16 desc_compute; /* u32 cublasComputeType_t */
	om_u16 desc_transa;  /* u32 cublasOperation_t */
	om_u16 desc_transb;  /* u32 cublasOperation_t */
	om_u16 pad[6];
};

/* The cookie of a probe: which row of the call sites, which row of the offsets,
 * and the number of the attachment. Numbers grow in the order of attachment. */
#define OM_COOKIE(site, row, seq) ((om_u64)(om_u16)(site) << 48 | (om_u64)(om_u16)(row) << 32 | (om_u32)(seq))
#define OM_COOKIE_SITE(c) ((om_u16)((c) >> 48))
#define OM_COOKIE_ROW(c) ((om_u16)((c) >> 32))
#define OM_COOKIE_SEQ(c) ((om_u32)(c))

/* map `shapes`: om_shape_key -> u64 calls. One entry for each product that a
 * process has asked for. */
#define OM_FLAGS_TRANSA(f) ((f)&3) /* 0 N, 1 T, 2 C, 3 something else */
#define OM_FLAGS_TRANSB(f) ((f) >> 2 & 3)
#define OM_FLAG_NESTED 16u
#define OM_FLAGS_CLASS(f) ((f) >> 8 & 0xff)
struct om_shape_key {
	om_u64 start_ns; /* start of the process, boot time */
	om_u64 cgroup_id;
	om_u64 m, n, k, batch;
	om_u32 tgid;
	om_u32 types;
	om_u32 flags;
	om_u32 pad;
};

/* maps `sums` and `spills`: om_sum_key -> om_sum. What is counted without its
 * shape, and what is lost. A key of `spills` has neither process nor start: the
 * place for a cgroup whose process found no room in `sums`. */
enum om_lost {
	OM_LOST_FAILED_READ, /* same order as enum om_loss of core/register.h */
	OM_LOST_INCONSISTENT,
	OM_LOST_ABSURD,
	OM_LOST_REFUSED,
	OM_LOST_UNREAD,
	OM_LOST_LATE,
	OM_LOST_OFF,
	OM_LOST_END,
};
struct om_sum_key {
	om_u64 start_ns;
	om_u64 cgroup_id;
	om_u32 tgid;
	om_u32 types;
};
#define OM_LIMBS 4
struct om_sum {
	om_u64 calls;
	/* Sum of m*n*k*batch of those calls: limb i counts units of 2^(16 i), and each
	 * call adds less than 2^16 to each, so it overflows after 2^48 calls. */
	om_u64 products[OM_LIMBS];
	om_u64 nested;
	om_u64 duplicates;
	om_u64 lost[OM_LOST_END];
};

/* map `procs`: om_proc_key -> om_proc. Made at the first product or the first
 * open of a GPU; deleted by user space after the last read is committed. */
#define OM_COMM_SIZE 16
enum om_proc_flags {
	OM_PROC_OPENED_DEVICE = 1, /* has opened a character device of the GPU driver */
	OM_PROC_EXITED = 2,	   /* the last thread is gone */
	OM_PROC_KILLED = 4,	   /* it ended by a signal */
};
struct om_proc_key {
	om_u64 start_ns;
	om_u32 tgid;
	om_u32 pad;
};
struct om_proc {
	om_u64 parent_start_ns;
	om_u32 parent_tgid;
	om_u32 flags;
	om_u64 exit_ns;	  /* boot time, 0: alive */
	om_u64 cgroup_id; /* at the time of the entry */
	om_u64 shapes;	  /* entries of `shapes` that are charged to it */
	om_u64 sums;
	om_u64 exec_ns;			 /* boot time of the last exec since the entry was made; 0: none */
	om_u64 first_ns;		 /* boot time of the entry */
	om_u64 cublas_start, cublas_end; /* text of the libcublas it last entered */
	char comm[OM_COMM_SIZE];
};

/* map `lineages`, om_proc_key -> om_proc_key: the parent of a child of a metered
 * process as it was at the fork; its oldest entries give way. */

/* map `threads` (task storage): which probe fired last, and where; and room for
 * the program that runs in this thread (bpf/work.bpf.h). */
#define OM_SCRATCH_SIZE 768
struct om_thread {
	om_u64 ip;
	om_u64 cublas_start, cublas_end; /* text of the libcublas it last entered */
	om_u32 seq;
	om_u32 pad;
	om_u64 scratch[OM_SCRATCH_SIZE / 8];
};

/* map `libraries`: slot -> facts; the slot is seq % OM_LIBRARIES_MAX. */
#define OM_LIBRARIES_MAX 1024
struct om_library_facts {
	om_u32 seq; /* 0: free */
	om_u32 kind;
	om_u64 dev, ino;
	om_u64 text_start, text_end; /* virtual addresses of the file */
	om_u64 site_vaddr[OM_CALL_SITES_MAX];
};

/* map `cgroups`: id -> path below the cgroup2 root, recorded when it is made. */
#define OM_CGROUP_PATH_SIZE 496
struct om_cgroup {
	om_u64 created_ns;
	om_u32 len; /* without the NUL; OM_CGROUP_PATH_SIZE - 1: perhaps cut */
	om_u32 removed;
	char path[OM_CGROUP_PATH_SIZE];
};

/* map `control`, one element, read first by every program. Alone in its map, so
 * that switching is one write that races with nothing. */
enum om_off {
	OM_OFF_NODE = 1,
	OM_OFF_SHAPE = 2,
};
struct om_control {
	om_u32 off; /* enum om_off; 0: the meter is on */
	om_u32 pad;
};

/* map `limits`, one element. */
#define OM_DEVICE_MAJORS_MAX 5
struct om_limits {
	om_u32 shapes_per_process;
	om_u32 sums_per_process;
	om_u32 device_majors[OM_DEVICE_MAJORS_MAX]; /* character devices of the GPU driver; 0: none */
	om_u32 pad;
};

/* map `meta`, one element, written by user space under the lock. */
struct om_meta {
	om_u32 abi;
	om_u32 next_seq;
	om_u8 id[16];	   /* random: made with the maps */
	om_u64 created_ns; /* boot time */
};

/* map `stats`, one element for each CPU. Every way to fail has its counter; what
 * succeeds costs none, its counts are in the maps above. */
struct om_stats {
	om_u64 duplicates;
	om_u64 off;
	om_u64 shape_quota;  /* a process at its quota: the call went to `sums` */
	om_u64 shape_failed; /* the map refused (full, busy): the call went to `sums` */
	om_u64 sum_quota;    /* a process with too many formats: kept as unknown format */
	om_u64 sum_failed;   /* no room: the call went to `spills` */
	om_u64 spill_failed; /* no room there either: lost, with no name to it */
	om_u64 proc_failed;
	om_u64 thread_failed; /* no storage: a duplicate could not be told */
	om_u64 cgroup_failed;
	om_u64 library_missing; /* a probe whose library's facts are gone */
};

/* Facts of this kernel (bpf/feature.bpf.c); not pinned, not part of the ABI. */
struct om_features {
	om_u8 has_copy_from_user;
	om_u8 has_attach_cookie;
	om_u8 has_loop;
	om_u8 has_task_storage;
	om_u8 has_start_boottime;
	om_u8 has_cgroup_id;
	om_u8 has_fentry; /* found by trying: opens of GPU devices are seen */
	/* A probe that waits for a page holds up nobody. Without it the other probes of
	 * that CPU wait with it, and whoever attaches or detaches there. */
	om_u8 has_lockless_uprobes;
};

#endif
