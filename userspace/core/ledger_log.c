// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's log: leaves, the tree over them, and their verification
 * (docs/formats.md, "Ledger and leaf").
 */
#include "assignment.h"
#include "ledger_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/randombytes.h>

static void make_leaf(const struct om_entry *e, const uint8_t salt[LEDGER_SALT_SIZE],
		      uint8_t out[LEDGER_LEAF_SIZE])
{
	struct om_leaf leaf = {
		.kind = (uint16_t)e->kind, .time_ns = e->time_ns, .index = e->index, .len = (uint32_t)e->len
	};

	om_leaf_commit(salt, e->payload, e->len, leaf.commitment);
	om_leaf_encode(&leaf, out);
}

static int put_frontier(struct om_ledger *l, int level)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_FRONTIER_PUT);

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, level);
	sqlite3_bind_blob(s, 2, l->tree.node[level], OM_HASH_SIZE, SQLITE_STATIC);
	return ledger_run(l, s);
}

static int grow_tree(struct om_ledger *l, const uint8_t leaf[LEDGER_LEAF_SIZE])
{
	uint64_t before = l->tree.size;
	uint8_t hash[OM_HASH_SIZE];
	int level = 0;

	om_merkle_leaf_hash(leaf, LEDGER_LEAF_SIZE, hash);
	om_merkle_append(&l->tree, hash);
	/* An append writes exactly one node: where the carry came to rest. */
	while (before >> level & 1)
		level++;
	return put_frontier(l, level);
}

static int put_entry(struct om_ledger *l, const struct om_entry *e, const char *unique)
{
	uint8_t leaf[LEDGER_LEAF_SIZE], salt[LEDGER_SALT_SIZE];
	sqlite3_stmt *s = ledger_stmt(l, ST_ENTRY_PUT);
	int r;

	if (!s)
		return ledger_errno(l);
	randombytes_buf(salt, sizeof(salt));
	make_leaf(e, salt, leaf);
	sqlite3_bind_int64(s, 1, (int64_t)e->index);
	sqlite3_bind_int(s, 2, e->kind);
	sqlite3_bind_int64(s, 3, (int64_t)e->time_ns);
	if (unique)
		sqlite3_bind_text(s, 4, unique, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 5, leaf, sizeof(leaf), SQLITE_STATIC);
	sqlite3_bind_blob(s, 6, salt, sizeof(salt), SQLITE_STATIC);
	sqlite3_bind_blob64(s, 7, e->payload, e->len, SQLITE_STATIC);
	r = ledger_run(l, s);
	return r ?: grow_tree(l, leaf);
}

static int find_unique(struct om_ledger *l, const char *unique, uint64_t *ret_index)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_ENTRY_UNIQUE);
	int r;

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_text(s, 1, unique, -1, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW && ret_index)
		*ret_index = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : ledger_errno(l);
}

static bool leaves_the_node(enum om_entry_kind kind, const char *unique)
{
	return kind == OM_ENTRY_ASSIGNMENT || kind == OM_ENTRY_ALERT || kind == OM_ENTRY_CASE ||
	       kind == OM_ENTRY_PROCESS ||
	       (kind == OM_ENTRY_ACT && unique &&
		!strncmp(unique, OM_CHECKPOINT_UNIQUE, strlen(OM_CHECKPOINT_UNIQUE)));
}

int ledger_append_in(struct om_ledger *l, enum om_entry_kind kind, const char *unique, const void *payload,
		     size_t len, uint64_t now_ns, uint64_t *ret_index)
{
	struct om_entry e = {
		.index = l->tree.size, .time_ns = now_ns, .kind = kind, .payload = payload, .len = len
	};
	sqlite3_stmt *s;
	int r;

	if (unique) {
		r = find_unique(l, unique, ret_index);
		if (r)
			return r;
	}
	r = put_entry(l, &e, unique);
	if (r == 0 && leaves_the_node(kind, unique)) {
		s = ledger_stmt(l, ST_PENDING_PUT);
		if (!s)
			return ledger_errno(l);
		sqlite3_bind_int64(s, 1, (int64_t)e.index);
		r = ledger_run(l, s);
	}
	if (r == 0 && ret_index)
		*ret_index = e.index;
	return r;
}

int om_ledger_append(struct om_ledger *l, enum om_entry_kind kind, const char *unique, const void *payload,
		     size_t len, uint64_t now_ns, uint64_t *ret_index)
{
	int r, rc;

	if (kind <= 0 || kind >= OM_ENTRY_END || len > UINT32_MAX)
		return -EINVAL;
	r = ledger_begin(l);
	if (r)
		return r;
	rc = ledger_append_in(l, kind, unique, payload, len, now_ns, ret_index);
	r = ledger_end(l, rc < 0 ? rc : 0);
	return r ? r : rc;
}

int ledger_load_tree(struct om_ledger *l)
{
	struct om_merkle t = { 0 };
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, "SELECT COALESCE(MAX(idx) + 1, 0) FROM entry", -1, &s, NULL))
		return ledger_errno(l);
	r = sqlite3_step(s);
	t.size = r == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	sqlite3_finalize(s);
	if (r != SQLITE_ROW)
		return ledger_errno(l);
	if (sqlite3_prepare_v2(l->db, "SELECT level, hash FROM frontier", -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		int level = sqlite3_column_int(s, 0);

		if (level >= 0 && level < 64 && sqlite3_column_bytes(s, 1) == OM_HASH_SIZE)
			memcpy(t.node[level], sqlite3_column_blob(s, 1), OM_HASH_SIZE);
	}
	sqlite3_finalize(s);
	if (r != SQLITE_DONE)
		return ledger_errno(l);
	l->tree = t;
	return 0;
}

void ledger_reload_tree(struct om_ledger *l)
{
	/* A file that cannot be read now will say so at the next statement. */
	(void)ledger_load_tree(l);
}

int om_ledger_head(struct om_ledger *l, struct om_tree_head *ret)
{
	if (l->read_only) {
		int r = ledger_load_tree(l);

		if (r)
			return r;
	}
	ret->size = l->tree.size;
	om_merkle_root(&l->tree, ret->root);
	return 0;
}

static void read_entry(sqlite3_stmt *s, struct om_entry *e)
{
	*e = (struct om_entry){
		.index = (uint64_t)sqlite3_column_int64(s, 0),
		.kind = sqlite3_column_int(s, 1),
		.time_ns = (uint64_t)sqlite3_column_int64(s, 2),
		.payload = sqlite3_column_blob(s, 3),
		.len = (size_t)sqlite3_column_bytes(s, 3),
		.destroyed_by = (uint64_t)sqlite3_column_int64(s, 4),
	};
	/* An empty payload is not a destroyed one. */
	if (!e->payload && sqlite3_column_type(s, 3) != SQLITE_NULL)
		e->payload = "";
}

#define ENTRY_COLUMNS                                                                                        \
	"SELECT idx, kind, time, payload, destroyed_by, leaf, salt FROM entry WHERE idx >= ?1 ORDER BY idx"

int om_ledger_each_entry(struct om_ledger *l, uint64_t from_index,
			 int (*fn)(void *ctx, const struct om_entry *e), void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, ENTRY_COLUMNS, -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_int64(s, 1, (int64_t)from_index);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_entry e;

		read_entry(s, &e);
		r = fn(ctx, &e);
		if (r)
			break;
	}
	if (r == SQLITE_DONE)
		r = 0;
	else if (r == SQLITE_CORRUPT)
		r = -EUCLEAN;
	sqlite3_finalize(s);
	return r;
}

int om_ledger_last_named(struct om_ledger *l, const char *prefix,
			 int (*fn)(void *ctx, const struct om_entry *e), void *ctx)
{
	sqlite3_stmt *s;
	struct om_entry e;
	int r;

	/* Names are ASCII, so that all that begin so stand before the one that goes on with a DEL. */
	if (sqlite3_prepare_v2(l->db,
			       "SELECT idx, kind, time, payload, destroyed_by FROM entry WHERE uniq >= ?1 AND"
			       " uniq < ?1 || char(127) ORDER BY uniq DESC LIMIT 1",
			       -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_text(s, 1, prefix, -1, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		read_entry(s, &e);
		r = fn(ctx, &e);
	} else {
		r = r == SQLITE_DONE ? 0 : ledger_errno(l);
	}
	sqlite3_finalize(s);
	return r;
}

/* Checks one stored entry against its leaf and adds the leaf to the tree. */
static int verify_entry(sqlite3_stmt *s, struct om_merkle *t, struct om_verify_report *report,
			struct error_text *err)
{
	uint8_t leaf[LEDGER_LEAF_SIZE], hash[OM_HASH_SIZE];
	const void *stored = sqlite3_column_blob(s, 5), *salt = sqlite3_column_blob(s, 6);
	struct om_entry e;

	read_entry(s, &e);
	if (e.index != t->size)
		return error_set(err, -EUCLEAN, "entry %llu is missing", (unsigned long long)t->size);
	if (sqlite3_column_bytes(s, 5) != LEDGER_LEAF_SIZE)
		return error_set(err, -EUCLEAN, "entry %llu: its leaf is damaged",
				 (unsigned long long)e.index);
	if (e.payload) {
		if (sqlite3_column_bytes(s, 6) != LEDGER_SALT_SIZE)
			return error_set(err, -EUCLEAN, "entry %llu: its salt is damaged",
					 (unsigned long long)e.index);
		make_leaf(&e, salt, leaf);
		if (memcmp(leaf, stored, sizeof(leaf)))
			return error_set(err, -EUCLEAN,
					 "entry %llu: what is stored is not what its leaf commits to",
					 (unsigned long long)e.index);
		if (e.kind == OM_ENTRY_READINGS)
			report->readings += e.len / OM_READING_SIZE;
	} else {
		report->destroyed++;
	}
	om_merkle_leaf_hash(stored, LEDGER_LEAF_SIZE, hash);
	om_merkle_append(t, hash);
	report->entries++;
	return 0;
}

static int verify_log(struct om_ledger *l, struct om_verify_report *report, struct error_text *err)
{
	struct om_merkle t = { 0 };
	struct om_tree_head kept;
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, ENTRY_COLUMNS, -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_int64(s, 1, 0);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		r = verify_entry(s, &t, report, err);
		if (r)
			break;
	}
	sqlite3_finalize(s);
	if (r < 0)
		return r;
	if (r != SQLITE_DONE)
		return error_set(err, -EUCLEAN, "the file is damaged after entry %llu: %s",
				 (unsigned long long)t.size, sqlite3_errmsg(l->db));
	r = ledger_load_tree(l);
	r = r ?: om_ledger_head(l, &kept);
	if (r)
		return r;
	report->head.size = t.size;
	om_merkle_root(&t, report->head.root);
	if (memcmp(report->head.root, kept.root, sizeof(kept.root)))
		return error_set(err, -EUCLEAN, "the entries do not give the root that is kept");
	return 0;
}

/* A published register must be what its last reading in the log says. */
struct last_readings {
	struct om_ledger *l;
	uint64_t wrong_index, sequence;
};

static int check_against_published(void *ctx, const struct om_entry *e)
{
	struct last_readings *c = ctx;

	if (e->kind != OM_ENTRY_READINGS || !e->payload)
		return 0;
	for (size_t at = 0; at + OM_READING_SIZE <= e->len; at += OM_READING_SIZE) {
		sqlite3_stmt *s = ledger_stmt(c->l, ST_PUBLISHED_GET);
		struct om_reading logged, kept;
		int bad;

		if (!s || om_reading_decode((const uint8_t *)e->payload + at, OM_READING_SIZE, &logged))
			return c->wrong_index = e->index, -EUCLEAN;
		if (logged.sequence > c->sequence)
			c->sequence = logged.sequence;
		sqlite3_bind_blob(s, 1, &logged.key.job, sizeof(logged.key.job), SQLITE_STATIC);
		sqlite3_bind_int64(s, 2, logged.key.format);
		sqlite3_bind_int64(s, 3, logged.key.meter);
		sqlite3_bind_int64(s, 4, logged.key.day);
		bad = sqlite3_step(s) != SQLITE_ROW ||
		      om_reading_decode(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0),
					&kept) ||
		      om_value_is_regression(&logged.value, &kept.value) || kept.sequence < logged.sequence ||
		      (kept.sequence == logged.sequence &&
		       memcmp(sqlite3_column_blob(s, 0), (const uint8_t *)e->payload + at, OM_READING_SIZE));
		sqlite3_reset(s);
		if (bad)
			return c->wrong_index = e->index, -EUCLEAN;
	}
	return 0;
}

/* A register may have grown since it was published, but never shrunk. */
static int check_against_hours(void *ctx, const struct om_reading *day)
{
	struct om_ledger *l = ctx;
	sqlite3_stmt *s = ledger_stmt(l, ST_PUBLISHED_GET);
	struct om_reading kept;
	int r;

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_blob(s, 1, &day->key.job, sizeof(day->key.job), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, day->key.format);
	sqlite3_bind_int64(s, 3, day->key.meter);
	sqlite3_bind_int64(s, 4, day->key.day);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		r = om_reading_decode(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), &kept) ||
				    om_value_is_regression(&kept.value, &day->value)
			    ? -EUCLEAN
			    : 0;
	else
		r = r == SQLITE_DONE ? 0 : ledger_errno(l);
	sqlite3_reset(s);
	return r;
}

static int verify_all(struct om_ledger *l, struct om_verify_report *ret, struct error_text *err)
{
	struct last_readings c = { .l = l };
	int r;

	r = ledger_meta_get(l, "sequence", &l->sequence, sizeof(l->sequence));
	r = r ?: verify_log(l, ret, err);
	if (r)
		return r;
	r = ledger_check_destroyed(l, err);
	if (r)
		return r;
	r = om_ledger_each_entry(l, 0, check_against_published, &c);
	if (r)
		return error_set(err, r,
				 "entry %llu: a reading is not what the register's published value says",
				 (unsigned long long)c.wrong_index);
	if (c.sequence != l->sequence)
		return error_set(err, -EUCLEAN,
				 "the log's readings end at sequence %llu, the ledger says %llu",
				 (unsigned long long)c.sequence, (unsigned long long)l->sequence);
	r = om_ledger_each_register(l, check_against_hours, l);
	if (r)
		return error_set(err, r, "an hourly register is damaged, or below what was published of it");
	return 0;
}

int om_ledger_verify(struct om_ledger *l, struct om_verify_report *ret, struct error_text *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	/* One view of the file, whatever a writer does meanwhile. */
	if (sqlite3_exec(l->db, "BEGIN", NULL, NULL, NULL))
		return ledger_errno(l);
	r = verify_all(l, ret, err);
	sqlite3_exec(l->db, "COMMIT", NULL, NULL, NULL);
	return r;
}

bool om_entry_assignment(const struct om_entry *e, struct om_assignment *ret)
{
	return e->kind == OM_ENTRY_ASSIGNMENT && e->payload &&
	       om_assignment_decode(e->payload, e->len, ret) == 0;
}
