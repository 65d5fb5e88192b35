/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEDGER_INTERNAL_H
#define OPMETER_CORE_LEDGER_INTERNAL_H

/* What the ledger's own files share; nobody else includes it. */

#include <sqlite3.h>

#include "leaf.h"
#include "ledger.h"
#include "merkle.h"

#define LEDGER_LEAF_SIZE OM_LEAF_SIZE
#define LEDGER_SALT_SIZE OM_SALT_SIZE
#define LEDGER_TAG_SIZE 16
/* A value as it is stored: the wire form of a reading and a keyed checksum. */
#define LEDGER_ROW_SIZE (OM_READING_SIZE + LEDGER_TAG_SIZE)
#define LEDGER_EXPORTERS_MAX 8

enum ledger_stmt {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_META_GET,
	ST_META_PUT,
	ST_CURSOR_GET,
	ST_CURSOR_PUT,
	ST_CURSOR_DELETE,
	ST_REGISTER_GET,
	ST_REGISTER_PUT,
	ST_REGISTER_CHANGED,
	ST_REGISTER_DAY,
	ST_REGISTER_CLEAR,
	ST_REGISTER_CLEAR_DAY,
	ST_PUBLISHED_PUT,
	ST_PUBLISHED_GET,
	ST_JOB_GET,
	ST_JOB_PUT,
	ST_JOB_PATH,
	ST_SHAPE_PUT,
	ST_LAUNCH_PUT,
	ST_KERNEL_NAME_PUT,
	ST_COLLECTIVE_PUT,
	ST_COLLECTIVE_LOSS_PUT,
	ST_COMMUNICATOR_PUT,
	ST_PHASE_HOUR_PUT,
	ST_ORDER_PUT,
	ST_ORDER_OF,
	ST_ORDER_TRIM_PROCESS,
	ST_ORDER_TRIM_JOB,
	ST_ORDER_TRIM_NODE,
	ST_ENTRY_UNIQUE,
	ST_ENTRY_PUT,
	ST_FRONTIER_PUT,
	ST_WAITING_PUT,
	ST_WAITING_DELETE,
	ST_WAITING_EACH,
	ST_WAITING_COUNT,
	ST_PENDING_PUT,
	ST_PENDING_DELETE,
	ST_PENDING_EACH,
	ST_PENDING_COUNT,
	ST_END,
};

struct om_ledger {
	sqlite3 *db;
	sqlite3_stmt *stmt[ST_END]; /* prepared at first use */
	int lock_fd;
	bool read_only, was_replaced;
	bool baseline; /* the next accrual goes into `high` */
	struct {
		bool is_on;
		struct om_node_facts node;
		void (*fn)(void *ctx, const struct om_usage *u, const struct om_claim_over *over);
		void *ctx;
		uint64_t read_until_ns; /* the last that had been read when this was opened; 0: nothing */
	} hold;
	struct om_id id;
	uint8_t secret[32]; /* keys the job ids and the row checksums */
	uint64_t start_ns;
	uint64_t sequence; /* last one given to a published reading */
	uint64_t owed; /* last number that a waiting reading was given; 0: not known yet. Beside `sequence`:
			* what is owed again is not published again, and the log ends where it ended. */
	struct om_merkle tree;
	int exporters;
	/* How far each exporter was handed items that are not acknowledged yet. */
	struct {
		uint64_t reading_sequence, entry_index;
		bool entries_begun;
	} handed[LEDGER_EXPORTERS_MAX];
};

/* SQLite's result as -errno. */
int ledger_errno(struct om_ledger *l);
/* The prepared statement, reset and unbound; NULL: see ledger_errno(). */
sqlite3_stmt *ledger_stmt(struct om_ledger *l, enum ledger_stmt which);
/* Runs a statement that returns no rows. */
int ledger_run(struct om_ledger *l, sqlite3_stmt *s);
/* Sets `owed`, from what waits. */
int ledger_know_owed(struct om_ledger *l);

int ledger_begin(struct om_ledger *l);
/* Commits if rc is 0, rolls back otherwise; returns what holds. */
int ledger_end(struct om_ledger *l, int rc);

/* Makes the tables of ledger_kernels.c, in a ledger that is older than they are too. */
int ledger_make_kernel_tables(struct om_ledger *l);
int ledger_make_collective_tables(struct om_ledger *l); /* likewise, of ledger_collectives.c */
int ledger_make_phase_tables(struct om_ledger *l);	/* of ledger_phases.c */
int ledger_make_order_tables(struct om_ledger *l);	/* and of ledger_order.c */

/* ledger_hold.c: *delta, of u, is to be added to *known, what its hour has. Since when it must have been
 * read, if since_ns is not known (0) and it says so; else 0. */
uint64_t ledger_hold(struct om_ledger *l, const struct om_usage *u, const struct om_value *known,
		     uint64_t since_ns, uint64_t now_ns, struct om_value *delta);

int ledger_meta_put(struct om_ledger *l, const char *key, const void *value, size_t len);
/* 0, or -ENOENT; -EUCLEAN if the length differs. */
int ledger_meta_get(struct om_ledger *l, const char *key, void *value, size_t len);

/* What an hour's row is stored under. */
#define LEDGER_SCOPE_HOUR(h) ((h) << 2 | 1)
/* Row form of a value: what it is stored under goes into the checksum. */
void ledger_row_encode(const struct om_ledger *l, const struct om_register_key *key, uint64_t scope,
		       const struct om_value *v, uint8_t out[LEDGER_ROW_SIZE]);
/* 0, or -EUCLEAN. */
int ledger_row_decode(const struct om_ledger *l, uint64_t scope, const void *blob, int len,
		      struct om_register_key *ret_key, struct om_value *ret);

/* Appends within a transaction that is open. As om_ledger_append(). */
int ledger_append_in(struct om_ledger *l, enum om_entry_kind kind, const char *unique, const void *payload,
		     size_t len, uint64_t now_ns, uint64_t *ret_index);
int ledger_load_tree(struct om_ledger *l);
/* Each payload that is gone was destroyed by an act that names it. 0, or -EUCLEAN with *err. */
int ledger_check_destroyed(struct om_ledger *l, struct error_text *err);
/* The tree may have grown in memory when a transaction fails: back to what is stored. */
void ledger_reload_tree(struct om_ledger *l);

#endif
