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

#define OM_ABI_VERSION 4

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
	om_u8 a, b, c; /* addresses of the operands and the result; OM_SLOT_NONE: not read */
	om_u8 pad[3];
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
 * thread of a process has asked for: who asks for what tells forward from backward. */
#define OM_THREADS_MAX 8 /* numbered in the order of their first products; further ones count as the last */
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
	om_u32 thread; /* below OM_THREADS_MAX */
};

/* A product in a burst: who it was is looked up among the process's shapes. Tenants choose shapes, and so can
 * make two of them meet: whoever reads takes neither then. */
static inline om_u32 om_shape_hash(const struct om_shape_key *k)
{
	om_u64 h = k->m * 0x9e3779b97f4a7c15ULL;

	h = (h ^ h >> 29 ^ k->n) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 32 ^ k->k) * 0x94d049bb133111ebULL;
	h = (h ^ h >> 29 ^ k->batch) * 0x9e3779b97f4a7c15ULL;
	h = (h ^ h >> 32 ^ ((om_u64)k->types << 32 | k->flags)) * 0xbf58476d1ce4e5b9ULL;
	return (om_u32)(h >> 32);
}

/* map `sampling`, one element, written by user space. */
struct om_sampling {
	om_u32 window; /* 0: no bursts; another number: each process begins a new one */
	om_u32 pad;
	om_u64 key; /* random, made with the maps: of the names of buffers */
};

/* map `bursts`, om_proc_key -> om_burst: the products that a process asks for after a window has begun, in
 * their order, those into captures too. A sample: threads that ask at once may disturb it, no count comes
 * from it. */
#define OM_BURST_STEPS 4096
struct om_step {
	om_u32 shape; /* om_shape_hash() */
	om_u16 repeat;
	om_u8 thread;
	om_u8 pad;
	/* om_buffer_name() of A, B and D: equal names, as good as surely, for equal addresses of one process;
	 * 0 where the entry does not show it. */
	om_u32 a, b, d;
};

/* A buffer as user space gets to see it: no address leaves the kernel. The process chooses its addresses, but
 * without the key it can neither make two of them meet nor read one out of a name. */
static inline om_u32 om_buffer_name(om_u64 address, om_u64 key, om_u64 start_ns)
{
	om_u64 h = (address ^ key) * 0x9e3779b97f4a7c15ULL;

	if (!address)
		return 0;
	h = (h ^ h >> 32 ^ start_ns) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 29 ^ (key << 32 | key >> 32)) * 0x94d049bb133111ebULL;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15ULL;
	return (om_u32)(h >> 32) ? (om_u32)(h >> 32) : 1;
}
struct om_burst {
	om_u32 window;
	om_u32 next; /* steps taken; beyond OM_BURST_STEPS: full */
	struct om_step step[OM_BURST_STEPS];
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
	/* The launch meter's (bpf/launch.bpf.c). */
	om_u64 launches, names, handles, contents; /* entries that are charged to it */
	om_u32 segments;			   /* the number of the last one; they begin at 1 */
	om_u32 captures;			   /* streams that are capturing by its own begin */
	om_u32 unloads;				   /* modules and libraries it has unloaded */
	om_u32 amended;				   /* graph nodes changed by hand */
	om_u32 threads;				   /* that have asked for products */
	om_u32 pad;
	char comm[OM_COMM_SIZE];
};

/* --- the launch meter --- */

/* What one entry of the driver's library means; the arguments are slots as in
 * struct om_call_site, in the order that the comment gives. */
enum om_driver_op {
	OM_OP_LAUNCH = 1,	/* function, grid x y z, block x y z, shared, stream */
	OM_OP_LAUNCH_EX,	/* config, function */
	OM_OP_LAUNCH_MANY,	/* array of launches, their number */
	OM_OP_LAUNCH_GRID,	/* function, grid x, grid y, stream: the block was set before */
	OM_OP_GRAPH_LAUNCH,	/* exec, stream */
	OM_OP_FUNCTION,		/* out, name: a function or kernel by name */
	OM_OP_FUNCTION_OF,	/* out, kernel: the same under another handle */
	OM_OP_NAME_OF,		/* out: pointer to a name, function */
	OM_OP_UNLOAD,		/* its functions' handles may come to mean others */
	OM_OP_CAPTURE,		/* stream, mode */
	OM_OP_CAPTURE_TO_GRAPH, /* stream, graph, mode */
	OM_OP_CAPTURE_END,	/* stream, out: graph */
	OM_OP_EVENT_RECORD,	/* event, stream */
	OM_OP_EVENT_WAIT,	/* stream, event, flags */
	OM_OP_EVENT_DESTROY,	/* event */
	OM_OP_STREAM_DESTROY,	/* stream */
	OM_OP_GRAPH_CREATE,	/* out: graph */
	OM_OP_GRAPH_CLONE,	/* out: graph, graph */
	OM_OP_GRAPH_KERNEL,	/* graph, parameters of a kernel node */
	OM_OP_GRAPH_CHILD,	/* graph, child graph */
	OM_OP_GRAPH_NODE,	/* graph, parameters of any node */
	OM_OP_GRAPH_UNCERTAIN,	/* graph: conditional: what it will run is not known */
	OM_OP_NODE_AMEND,	/* a node of some graph is changed by hand */
	OM_OP_GRAPH_DESTROY,	/* graph */
	OM_OP_INSTANTIATE,	/* out: exec, graph, flags */
	OM_OP_EXEC_UPDATE,	/* exec, graph, out: result */
	OM_OP_EXEC_AMEND,	/* exec: one of its nodes is changed by hand */
	OM_OP_EXEC_DESTROY,	/* exec */
};
#define OM_DRIVER_ARGS 9
#define OM_DRIVER_SITES_MAX 96
#define OM_DRIVER_SITE_BASE 128 /* of the site's number in a cookie: products are below */
enum om_driver_flags {
	OM_DRIVER_PTSZ = 1, /* stream 0 is the thread's own */
	OM_DRIVER_V2 = 2,   /* the later form of a structure: a kernel beside the function, flags in memory */
};
struct om_driver_site {
	om_u8 op; /* enum om_driver_op; 0: an empty row */
	om_u8 flags;
	om_u8 stack_words;
	om_u8 arg[OM_DRIVER_ARGS]; /* OM_SLOT_NONE: has none */
};

/* map `names`: hash -> text, until user space has written it down. FNV-1a over
 * the whole name; the text is cut. */
#define OM_NAME_SIZE 496
#define OM_NAME_MAX 4096  /* of which that much is hashed */
#define OM_NAME_UNKNOWN 0 /* as a hash: a function that was looked up before we watched, or that we lost */
struct om_name {
	om_u32 len; /* of the text, without NUL */
	om_u32 is_cut;
	char text[OM_NAME_SIZE];
};

/* map `launches`: om_launch_key -> u64 launches. */
enum om_launch_flags {
	OM_LAUNCH_IN_PRODUCT = 1,     /* made by a product library: what it computes is counted there */
	OM_LAUNCH_NO_SHAPE = 2,	      /* a process at its quota: by name only, sizes 0 */
	OM_LAUNCH_NO_BLOCK = 4,	      /* an entry that does not tell it */
	OM_LAUNCH_FAILED_READ = 8,    /* its arguments could not be read: name and sizes 0 */
	OM_LAUNCH_UNKNOWN_GRAPH = 16, /* of a graph whose making was not seen */
};
struct om_launch_key {
	om_u64 start_ns;
	om_u64 cgroup_id;
	om_u64 name;
	om_u32 grid[3], block[3];
	om_u32 shared;
	om_u32 tgid;
	om_u32 flags;
	om_u32 pad;
};

/* map `handles`: what the driver's handles mean in a process. */
enum om_handle_kind {
	OM_HANDLE_FUNCTION = 1, /* value: hash of its name */
	OM_HANDLE_STREAM,	/* value: segment it captures into */
	OM_HANDLE_EVENT,	/* value: segment whose capture it was recorded in */
	OM_HANDLE_GRAPH,	/* value: segment */
	OM_HANDLE_EXEC,		/* value: sealed segment */
};
struct om_handle_key {
	om_u64 start_ns;
	om_u64 handle;
	om_u32 tgid;
	om_u32 kind;
};
struct om_handle {
	om_u64 value;
	om_u32 epoch;	/* struct om_control's, when it was learned */
	om_u32 unloads; /* struct om_proc's, likewise */
	om_u32 flags;	/* enum om_segment_flags: of an exec, beside its segment's */
	om_u32 pad;
};

/* map `segments`: a stretch of a graph. What a graph holds is its segment and the
 * parents of that; one that has been copied, instantiated or nested is sealed, and
 * what is added later goes into a new one. So a replay is one number: (process,
 * segment), and what it ran is looked up by user space. */
enum om_segment_flags {
	OM_SEGMENT_SEALED = 1,
	OM_SEGMENT_CAPTURING = 2,
	OM_SEGMENT_FAILED = 4,	  /* the capture ended without a graph: what it holds has run or never will */
	OM_SEGMENT_UNCERTAIN = 8, /* conditional nodes, nodes changed by hand, or contents lost */
	OM_SEGMENT_DEVICE = 16,	  /* may be launched from the device: more often than we see */
	OM_SEGMENT_CAPTURED = 32, /* made by a capture */
};
struct om_segment_key {
	om_u64 start_ns;
	om_u32 tgid;
	om_u32 segment;
};
struct om_segment {
	om_u64 begun_ns; /* boot time */
	om_u64 cgroup_id;
	om_u32 parent; /* 0: none; always below its own number */
	om_u32 flags;
};

/* map `contents`: om_content_key -> u64, how often in one run of the segment. */
enum om_content_kind {
	OM_CONTENT_PRODUCT = 1, /* a: m, n, k, batch; types, flags as in struct om_shape_key */
	OM_CONTENT_LAUNCH = 2,	/* a: name, grid x y, grid z block x, block y z; types: shared */
	OM_CONTENT_SEGMENT = 3, /* a[0]: a sealed segment */
};
struct om_content_key {
	om_u64 start_ns;
	om_u64 a[4];
	om_u32 tgid;
	om_u32 segment;
	om_u32 kind;
	om_u32 types;
	om_u32 flags;
	om_u32 thread; /* a product's */
};

/* map `replays`: om_replay_key -> u64 launches of graphs. */
struct om_replay_key {
	om_u64 start_ns;
	om_u64 cgroup_id;
	om_u32 tgid;
	om_u32 segment;
	om_u32 flags; /* enum om_segment_flags of the exec */
	om_u32 pad;
};

/* map `ranges`: where a process has the text of product libraries; written by user
 * space when it is mapped, inherited over a fork. The key is an om_proc_key whose
 * start is in units of OM_RANGE_TICK_NS, as /proc tells it. */
#define OM_RANGE_TICK_NS 10000000ULL
#define OM_RANGES_MAX 6
struct om_ranges {
	struct {
		om_u64 start, end;
	} at[OM_RANGES_MAX];
};

/* map `activity`, one element. */
struct om_activity {
	om_u64 captures; /* streams of all processes: while it is 0 no product looks further */
};

/* map `lineages`, om_proc_key -> om_proc_key: the parent of a child of a metered
 * process as it was at the fork; its oldest entries give way. */

/* What a call of the driver that has begun will mean when it has succeeded: applied
 * by the probe at its return (bpf/graph.bpf.c). */
enum om_pending_kind {
	OM_PENDING_NONE,
	OM_PENDING_HANDLE,  /* *out is a handle of handle_kind that means `value` */
	OM_PENDING_UPDATE,  /* exec `value` has taken over segment `extra` */
	OM_PENDING_NAME,    /* *out is a pointer to the name of function `value` */
	OM_PENDING_CAPTURE, /* as HANDLE; if it fails, the capture of segment `value` has failed */
};
struct om_pending {
	om_u64 out;
	om_u64 value;
	om_u64 extra;
	om_u32 kind;
	om_u32 handle_kind;
	om_u32 flags;
	om_u32 pad;
};

/* map `threads` (task storage): which probe fired last, and where; what waits for
 * the thread's next call; and room for the program that runs in this thread
 * (bpf/work.bpf.h). */
enum om_deferred {
	OM_DEFERRED_NONE,
	OM_DEFERRED_WAITING, /* `deferred` is a product that waits for the launch that shows its stream */
	OM_DEFERRED_SETTLED, /* the last product has had its first launch */
};
/* The driver's entry that the thread called last: a library that exports the driver's
 * entries may pass the call on, and the driver's own entry is entered within it. */
#define OM_FORWARD_DEPTH 8 /* libraries between a caller and the driver */
struct om_forward {
	om_u64 ip, sp;		    /* ip 0: nothing */
	om_u64 arg[OM_DRIVER_ARGS]; /* as the entry's site names them; what is not an argument is anything */
	om_u32 site, depth;
};

#define OM_SCRATCH_SIZE 1024
struct om_thread {
	om_u64 ip;
	om_u64 cublas_start, cublas_end; /* text of the libcublas it last entered */
	om_u32 seq;
	om_u32 is_deferred; /* enum om_deferred */
	om_u32 number;	    /* struct om_shape_key's thread and one; 0: it has none yet */
	om_u32 window;	    /* whose burst has no room or no place any more */
	struct om_shape_key deferred;
	struct om_pending pending; /* kind 0: nothing */
	struct om_forward forward;
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
	OM_OFF_NODE = 1, /* everything */
	OM_OFF_SHAPE = 2,
	OM_OFF_LAUNCH = 4,
	OM_OFF_COUNTER = 8,
	OM_OFF_DEVICE = 16, /* no program's: the agent looks at it with each sample */
	OM_OFF_COLLECTIVE = 32,
};
struct om_control {
	om_u32 off;   /* enum om_off, or-ed; 0: all meters are on */
	om_u32 epoch; /* grows whenever the launch meter is switched on: what handles meant before is stale */
};

/* map `limits`, one element. */
#define OM_DEVICE_MAJORS_MAX 5
struct om_limits {
	om_u32 shapes_per_process;
	om_u32 sums_per_process;
	om_u32 device_majors[OM_DEVICE_MAJORS_MAX]; /* character devices of the GPU driver; 0: none */
	om_u32 launches_per_process;		    /* signatures; a sixteenth of it again by name only */
	om_u32 names_per_process;
	om_u32 handles_per_process;
	om_u32 contents_per_process;
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
	om_u64 launch_off;	/* calls of the driver skipped while the launch meter was off */
	om_u64 launch_quota;	/* a process at its quota of signatures: by name only */
	om_u64 launch_failed;	/* no room at all: launches lost */
	om_u64 launch_unread;	/* arguments that could not be read */
	om_u64 name_failed;	/* a name that could not be read or kept */
	om_u64 handle_failed;	/* no room: what a handle means was lost */
	om_u64 pending_failed;	/* a handle that could not be read after the call */
	om_u64 graph_failed;	/* no room for a segment or its contents: counted as uncertain */
	om_u64 graph_unknown;	/* launches of graphs whose making was not seen */
	om_u64 burst_failed;	/* no room for the order of a process's products */
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
	om_u8 has_return_probes; /* found by trying: they do not kill processes under seccomp */
};

#endif
