/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEDGER_H
#define OPMETER_CORE_LEDGER_H

/*
 * The node's durable record: one SQLite file (WAL, synchronous=FULL) with one
 * writer. It holds the registers by hour, the cursors (what of each process's
 * count is already in a register), the log (RFC 6962 leaves over salted
 * commitments) and the outbox. docs/formats.md, "Ledger" and "Leaf".
 *
 * Exactness: a count in the kernel only grows until its process is dead and
 * om_ledger_forget() has been told so. om_ledger_accrue() adds to the registers
 * what is new since the cursor and moves the cursor, in one transaction: a
 * crash anywhere leaves both as before or both as after.
 *
 * Append before send: what leaves the node is first in the log; it is
 * acknowledged only when the exporter's delivery callback says so.
 *
 * No function reads a clock: the caller passes Unix time in ns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/cleanup.h"
#include "../base/log.h"
#include "claim.h"
#include "register.h"

struct om_ledger;

enum om_ledger_flags {
	OM_LEDGER_READ_ONLY = 1, /* for verbs that look; never blocks the writer */
	OM_LEDGER_CREATE = 2,
	/* A new ledger, also the first one, begins as om_ledger_expect_baseline() says. */
	OM_LEDGER_EXPECT_BASELINE = 4,
	/* Nothing is set aside: a damaged file is refused (-EUCLEAN), a copy is written where it stands. For
	 * ledgers that count nothing: what they hold must not be begun anew. */
	OM_LEDGER_KEEP = 8,
};

/*
 * Opens DIR/ledger.db. The writer also takes DIR/ledger.lock (flock).
 * A ledger has a random id, new whenever it is created, restored from a copy or
 * found broken: with OM_LEDGER_CREATE a damaged file is moved to
 * DIR/quarantine-<id>-<time> and a new ledger is begun. A copy is recognised by
 * the file's device, inode and the machine id kept beside the id.
 *
 * 0; -EWOULDBLOCK: another process writes it; -ENOENT; -EUCLEAN: damaged and
 * not opened for writing; -ENOSPC; *err says what, where and what to do.
 */
int om_ledger_open(const char *dir, unsigned flags, uint64_t now_ns, struct om_ledger **ret,
		   struct error_text *err);
struct om_ledger *om_ledger_free(struct om_ledger *l); /* NULL is fine; returns NULL */
#define _cleanup_ledger_ _cleanup_(om_ledger_freep)
static inline void om_ledger_freep(struct om_ledger **l)
{
	*l = om_ledger_free(*l);
}

const struct om_id *om_ledger_id(const struct om_ledger *l);
uint64_t om_ledger_start_ns(const struct om_ledger *l);
/* True if open() had to begin a new ledger in place of a damaged or copied one. */
bool om_ledger_was_replaced(const struct om_ledger *l);

/* One process's count so far for one number format, as the kernel holds it now.
 * Everything is cumulative since the process began. */
struct om_usage {
	struct om_id map; /* which set of kernel maps: new when they are made anew */
	uint32_t tgid;
	uint64_t start_ns;  /* process start, boot time: with tgid and map, one process */
	uint64_t cgroup_id; /* read in the kernel at the call */
	struct om_id job;   /* the job instance this cgroup is */
	uint8_t format;
	uint8_t meter;
	struct om_value now; /* exact, calls, nested, duplicates, overflow_calls, lost[] */
	opcount unshaped;    /* within `exact`: counted without a shape */
};

/* One shape of one process, cumulative; stays in the ledger, never exported
 * unless a case asks for it. */
struct om_shape_usage {
	struct om_id map, job;
	uint32_t tgid;
	uint64_t start_ns, cgroup_id;
	uint64_t m, n, k, batch;
	uint32_t types; /* cudaDataType of A, B, C and compute type, a byte each, A lowest */
	uint32_t flags; /* docs/formats.md, "Shape" */
	uint64_t calls;
};
#define OM_SHAPE_NESTED 16u
#define OM_SHAPE_REPLAYED 32u
#define OM_SHAPE_THREAD(flags) ((flags) >> 16 & 15)

/*
 * Adds what is new to the registers of the hour of now_ns. `since_ns` is when
 * the counts were last read (0: not known, the register's own last `to`, or
 * now). A count below its cursor is never subtracted: it is counted in
 * *ret_regressions (may be NULL) and the register stays.
 * All or nothing. -ENOSPC: nothing was stored; call again with the same or later
 * counts, nothing is lost while the kernel holds them.
 */
int om_ledger_accrue(struct om_ledger *l, const struct om_usage *u, size_t n, uint64_t since_ns,
		     uint64_t now_ns, uint64_t *ret_regressions);

/*
 * Holds what is accrued from here on to what the node's devices can have done (core/claim.h): what tenants
 * ask for and no device can do is no part of a register's lower bound, so that whoever reads it never has to
 * refuse it. fn (may be NULL) is told of each count that was over, and by how much; it must not call the
 * ledger, and what it is told stands only if om_ledger_accrue() returns 0. Call it again when the facts have
 * changed.
 */
void om_ledger_hold(struct om_ledger *l, const struct om_node_facts *node,
		    void (*fn)(void *ctx, const struct om_usage *u, const struct om_claim_over *over),
		    void *ctx);

/*
 * The kernel's counts may already be in a ledger that this one replaces, or in
 * one that was deleted: then the first accrual goes into `high` instead of
 * `exact`, since what of it is new cannot be known. open() arranges that for a
 * ledger that it has to replace. A caller that finds the kernel's maps newly
 * made knows better and says so: nothing of what they hold can stand elsewhere.
 */
int om_ledger_clear_baseline(struct om_ledger *l);

/* Adds to a register directly, for meters that hold no cumulative count. */
int om_ledger_add(struct om_ledger *l, const struct om_register_key *key, const struct om_value *delta,
		  uint64_t now_ns);

int om_ledger_store_shapes(struct om_ledger *l, const struct om_shape_usage *s, size_t n, uint64_t now_ns);

/* One kernel that one process launches, with its geometry, cumulative; stays in the
 * ledger as shapes do. */
struct om_launch_usage {
	struct om_id map, job;
	uint32_t tgid;
	uint64_t start_ns, cgroup_id;
	uint64_t name; /* hash: om_ledger_each_kernel_name() has the text; 0: not known */
	uint32_t grid[3], block[3];
	uint32_t shared; /* bytes, dynamic */
	uint32_t flags;	 /* enum om_launch_flags of bpf/opmeter.h */
	uint64_t calls;
};
int om_ledger_store_launches(struct om_ledger *l, const struct om_launch_usage *u, size_t n, uint64_t now_ns);
/* The most launched first; name: a loan, NULL: not known. */
int om_ledger_each_launch(struct om_ledger *l,
			  int (*fn)(void *ctx, const struct om_launch_usage *u, const char *name), void *ctx);

/* Names of kernels, as the tenants gave them: any bytes. Repeats change nothing. */
struct om_kernel_name {
	uint64_t hash;
	const char *text; /* NUL-terminated; a loan */
	bool is_cut;	  /* the name was longer */
};
int om_ledger_store_kernel_names(struct om_ledger *l, const struct om_kernel_name *names, size_t n);
int om_ledger_each_kernel_name(struct om_ledger *l, int (*fn)(void *ctx, const struct om_kernel_name *n),
			       void *ctx);

/* The kernel no longer holds this process's entries, so its cursors may go. */
int om_ledger_forget(struct om_ledger *l, const struct om_id *map, uint32_t tgid, uint64_t start_ns);

/* Job instances: (boot id, cgroup id) -> id, made at first sight; the id is a
 * keyed hash under a secret of this ledger, so it says nothing outside it.
 * `path` may be NULL while it is not known; a path that comes later is recorded. */
int om_ledger_job(struct om_ledger *l, const struct om_id *boot, uint64_t cgroup_id, const char *path,
		  uint64_t now_ns, struct om_id *ret_job, bool *ret_is_new);

/* Log entries: payload bytes under a kind. The leaf commits to them by a salt. */
enum om_entry_kind {
	OM_ENTRY_READINGS = 1,	 /* n x OM_READING_SIZE */
	OM_ENTRY_JOB = 2,	 /* JSON: a job instance and its cgroup path */
	OM_ENTRY_ASSIGNMENT = 3, /* JSON */
	OM_ENTRY_ALERT = 4,	 /* JSON: the CloudEvent as published */
	OM_ENTRY_ACT = 5,	 /* JSON: what a person or the program did: off, erase, ... */
	OM_ENTRY_NODE = 6,	 /* JSON: the inventory */
	OM_ENTRY_CASE = 7,	 /* JSON: a case record, restricted */
	OM_ENTRY_PROCESS = 8,	 /* JSON: what a process does (core/process_record.h), restricted */
	OM_ENTRY_END,
};

/*
 * Appends one entry; `unique` (may be NULL) makes it happen once: 0 appended,
 * 1 an entry with that unique name exists (*ret_index is that one's). An act leaves
 * the node only if it is named as a checkpoint is.
 */
#define OM_CHECKPOINT_UNIQUE "checkpoint-"
int om_ledger_append(struct om_ledger *l, enum om_entry_kind kind, const char *unique, const void *payload,
		     size_t len, uint64_t now_ns, uint64_t *ret_index);

/*
 * Publishes: encodes every register that changed since the last call as a
 * reading of its day, appends them as one OM_ENTRY_READINGS, and marks them
 * waiting for each exporter. *ret_n: how many. Cheap when nothing changed.
 * fn (may be NULL) sees each once it is stored.
 */
int om_ledger_publish(struct om_ledger *l, const struct om_node_facts *node, uint64_t now_ns,
		      void (*fn)(void *ctx, const struct om_reading *r), void *ctx, size_t *ret_n);

/* The same of those jobs alone that pick says true of; the others' registers stay as they are, changed. It
 * must not call the ledger. */
int om_ledger_publish_some(struct om_ledger *l, const struct om_node_facts *node, uint64_t now_ns,
			   bool (*pick)(void *ctx, const struct om_id *job),
			   void (*fn)(void *ctx, const struct om_reading *r), void *ctx, size_t *ret_n);

/* Outbox. An exporter is a name; it sees readings (the newest value of each
 * register, so the backlog is bounded by the number of registers whatever the
 * outage) and log entries of kinds ASSIGNMENT, ALERT, CASE and PROCESS and checkpoints (kind ACT), in order.
 */
struct om_outbox_item {
	enum om_entry_kind kind;
	uint64_t sequence;	   /* names the item in om_ledger_ack() */
	struct om_reading reading; /* kind READINGS: one register */
	const void *payload;	   /* other kinds: loan until the next ledger call */
	size_t len;
	uint64_t time_ns;
};
int om_ledger_exporter(struct om_ledger *l, const char *name, int *ret_exporter);
/* Calls fn for up to `max` waiting items that were not handed out since the
 * last om_ledger_unsend(). fn returns 0, or non-zero to stop (item stays waiting).
 * fn must not call the ledger. */
int om_ledger_outbox(struct om_ledger *l, int exporter, size_t max,
		     int (*fn)(void *ctx, const struct om_outbox_item *item), void *ctx);
int om_ledger_ack(struct om_ledger *l, int exporter, enum om_entry_kind kind,
		  const struct om_register_key *key, uint64_t sequence);
/* Around many acknowledgements: one commit for all of them. A crash between
 * only means that they are offered again. */
int om_ledger_ack_begin(struct om_ledger *l);
int om_ledger_ack_end(struct om_ledger *l);
/* Owes an exporter every published register of `from_day` (days since 1970-01-01) and later once more,
 * delivered or not: a far side that keeps the last record of a key may have lost it. *ret_n: how many were
 * not owed already. Not between ack_begin and ack_end. */
int om_ledger_owe_again(struct om_ledger *l, int exporter, uint32_t from_day, uint64_t *ret_n);
/* Forget what was handed out but not acknowledged: it will be offered again. */
void om_ledger_unsend(struct om_ledger *l, int exporter);
int om_ledger_backlog(struct om_ledger *l, int exporter, uint64_t *ret_items);

/* Reading back. Callbacks return 0 to go on, anything else stops and is returned. */
int om_ledger_each_register(struct om_ledger *l, int (*fn)(void *ctx, const struct om_reading *day_value),
			    void *ctx);
int om_ledger_each_hour(struct om_ledger *l,
			int (*fn)(void *ctx, const struct om_register_key *key, uint64_t hour,
				  const struct om_value *v),
			void *ctx);
int om_ledger_each_job(struct om_ledger *l,
		       int (*fn)(void *ctx, const struct om_id *job, uint64_t cgroup_id, const char *path,
				 uint64_t first_seen_ns),
		       void *ctx);
int om_ledger_each_shape(struct om_ledger *l, int (*fn)(void *ctx, const struct om_shape_usage *s),
			 void *ctx);
/* When counts of these kernel maps were last stored, Unix time; 0: never. */
int om_ledger_shapes_until(struct om_ledger *l, const struct om_id *map, uint64_t *ret_ns);
struct om_entry {
	uint64_t index, time_ns;
	enum om_entry_kind kind;
	const void *payload; /* NULL: destroyed by act `destroyed_by` */
	size_t len;
	uint64_t destroyed_by;
};
/* False: the entry is no assignment, was destroyed, or is of a later version. */
struct om_assignment;
bool om_entry_assignment(const struct om_entry *e, struct om_assignment *ret);
int om_ledger_each_entry(struct om_ledger *l, uint64_t from_index,
			 int (*fn)(void *ctx, const struct om_entry *e), void *ctx);

/* The entry whose unique name comes last of those that begin so; fn is called once or not at all. 0, what fn
 * returns, or -errno. */
int om_ledger_last_named(struct om_ledger *l, const char *prefix,
			 int (*fn)(void *ctx, const struct om_entry *e), void *ctx);

/* The log's tree head: RFC 6962 Merkle tree hash over all leaves. */
struct om_tree_head {
	uint64_t size;
	uint8_t root[32];
};
int om_ledger_head(struct om_ledger *l, struct om_tree_head *ret);

/* Recomputes every leaf, the root, and that the registers published in the log
 * are the registers held. 0 and a count, or -EUCLEAN and *err naming the first
 * entry that is wrong. */
struct om_verify_report {
	uint64_t entries, readings, destroyed;
	struct om_tree_head head;
};
int om_ledger_verify(struct om_ledger *l, struct om_verify_report *ret, struct error_text *err);

#endif
