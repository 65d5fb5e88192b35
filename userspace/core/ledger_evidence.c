// SPDX-License-Identifier: Apache-2.0
#include "ledger_evidence.h"

#include <errno.h>
#include <string.h>
#include <jansson.h>

#include "ledger_internal.h"

int om_ledger_each_leaf(struct om_ledger *l, uint64_t from_index,
			int (*fn)(void *ctx, const struct om_leaf_entry *e), void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db,
			       "SELECT idx, kind, time, payload, destroyed_by, leaf, salt FROM entry"
			       " WHERE idx >= ?1 ORDER BY idx",
			       -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_int64(s, 1, (int64_t)from_index);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_leaf_entry e = {
			.entry = { .index = (uint64_t)sqlite3_column_int64(s, 0),
				   .kind = sqlite3_column_int(s, 1),
				   .time_ns = (uint64_t)sqlite3_column_int64(s, 2),
				   .payload = sqlite3_column_blob(s, 3),
				   .len = (size_t)sqlite3_column_bytes(s, 3),
				   .destroyed_by = (uint64_t)sqlite3_column_int64(s, 4) },
			.leaf = sqlite3_column_blob(s, 5),
			.salt = sqlite3_column_blob(s, 6),
		};

		if (!e.entry.payload && sqlite3_column_type(s, 3) != SQLITE_NULL)
			e.entry.payload = "";
		if (sqlite3_column_bytes(s, 5) != OM_LEAF_SIZE ||
		    (e.salt && sqlite3_column_bytes(s, 6) != OM_SALT_SIZE) || (e.entry.payload && !e.salt))
			r = -EUCLEAN;
		else
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

static int grow(void *ctx, const struct om_leaf_entry *e)
{
	uint8_t hash[OM_HASH_SIZE];

	if (e->entry.index != om_tlog_tree_size(ctx))
		return -EUCLEAN;
	om_merkle_leaf_hash(e->leaf, OM_LEAF_SIZE, hash);
	return om_tlog_tree_append(ctx, hash);
}

int om_ledger_tree(struct om_ledger *l, struct om_tlog_tree **ret)
{
	_cleanup_(om_tlog_tree_freep) struct om_tlog_tree *t = om_tlog_tree_new();
	int r = t ? om_ledger_each_leaf(l, 0, grow, t) : -ENOMEM;

	if (r == 0)
		*ret = TAKE_PTR(t);
	return r;
}

int om_ledger_growth_root(void *growth, uint64_t size, uint8_t ret[OM_HASH_SIZE])
{
	struct om_ledger_growth *g = growth;
	uint8_t hash[OM_HASH_SIZE];
	sqlite3_stmt *s;
	int r;

	if (size < g->tree.size)
		g->tree.size = 0;
	/* Without the payload, which would be read from its pages for nothing. */
	if (sqlite3_prepare_v2(g->ledger->db,
			       "SELECT idx, leaf FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx", -1,
			       &s, NULL))
		return ledger_errno(g->ledger);
	sqlite3_bind_int64(s, 1, (int64_t)g->tree.size);
	sqlite3_bind_int64(s, 2, (int64_t)size);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		if ((uint64_t)sqlite3_column_int64(s, 0) != g->tree.size ||
		    sqlite3_column_bytes(s, 1) != OM_LEAF_SIZE)
			break;
		om_merkle_leaf_hash(sqlite3_column_blob(s, 1), OM_LEAF_SIZE, hash);
		om_merkle_append(&g->tree, hash);
	}
	sqlite3_finalize(s);
	if (r != SQLITE_DONE) {
		g->tree.size = 0;
		return r == SQLITE_ROW || r == SQLITE_CORRUPT ? -EUCLEAN : ledger_errno(g->ledger);
	}
	if (g->tree.size < size)
		return -ESTALE;
	om_merkle_root(&g->tree, ret);
	return 0;
}

/* --- destroying --- */

static bool names(const json_t *act, uint64_t index)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(act, "entries"), i,
			   v) if (json_is_integer(v) && (uint64_t)json_integer_value(v) == index) return true;
	return false;
}

static bool is_erasing(const json_t *act)
{
	const char *what = json_string_value(json_object_get(act, "act"));

	return what && !strcmp(what, "erase");
}

static int check_one(sqlite3_stmt *s, json_t **act, uint64_t *of, struct error_text *err)
{
	unsigned long long index = (unsigned long long)sqlite3_column_int64(s, 0);
	uint64_t by = (uint64_t)sqlite3_column_int64(s, 1);

	if (sqlite3_column_type(s, 4) != SQLITE_NULL)
		return error_set(err, -EUCLEAN, "entry %llu: its payload is gone and its salt is not", index);
	if (!*act || *of != by) {
		json_decref(*act);
		*act = sqlite3_column_int(s, 2) == OM_ENTRY_ACT && sqlite3_column_blob(s, 3)
			       ? json_loadb(sqlite3_column_blob(s, 3), (size_t)sqlite3_column_bytes(s, 3), 0,
					    NULL)
			       : NULL;
		*of = by;
	}
	if (sqlite3_column_type(s, 1) == SQLITE_NULL || by <= index || !*act || !is_erasing(*act) ||
	    !names(*act, index))
		return error_set(err, -EUCLEAN, "entry %llu: its payload is gone, and no act destroyed it",
				 index);
	return 0;
}

int ledger_check_destroyed(struct om_ledger *l, struct error_text *err)
{
	_cleanup_(json_decrefp) json_t *act = NULL;
	sqlite3_stmt *s;
	uint64_t of = 0;
	int r;

	if (sqlite3_prepare_v2(l->db,
			       "SELECT e.idx, e.destroyed_by, a.kind, a.payload, e.salt FROM entry e"
			       " LEFT JOIN entry a ON a.idx = e.destroyed_by WHERE e.payload IS NULL"
			       " ORDER BY e.destroyed_by",
			       -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		r = check_one(s, &act, &of, err);
		if (r)
			break;
	}
	sqlite3_finalize(s);
	return r == SQLITE_DONE ? 0 : r < 0 ? r : ledger_errno(l);
}

/* SQL of its own: it is done once in years. */
static int destroy_one(struct om_ledger *l, uint64_t index, uint64_t act)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "UPDATE entry SET payload = NULL, salt = NULL, destroyed_by = %llu WHERE idx = %llu"
		 " AND payload IS NOT NULL AND kind IN (%d, %d, %d)",
		 (unsigned long long)act, (unsigned long long)index, OM_ENTRY_ALERT, OM_ENTRY_ACT,
		 OM_ENTRY_CASE);
	if (sqlite3_exec(l->db, sql, NULL, NULL, NULL))
		return ledger_errno(l);
	if (sqlite3_changes(l->db) != 1)
		return -EINVAL;
	snprintf(sql, sizeof(sql), "DELETE FROM pending WHERE idx = %llu", (unsigned long long)index);
	return sqlite3_exec(l->db, sql, NULL, NULL, NULL) ? ledger_errno(l) : 0;
}

static int destroy_all(struct om_ledger *l, const char *act, const uint64_t *indices, size_t n,
		       uint64_t now_ns, uint64_t *ret_act)
{
	int r = ledger_append_in(l, OM_ENTRY_ACT, NULL, act, strlen(act), now_ns, ret_act);

	for (size_t i = 0; i < n && r == 0; i++)
		r = destroy_one(l, indices[i], *ret_act);
	return r;
}

int om_ledger_destroy(struct om_ledger *l, const char *act, const uint64_t *indices, size_t n,
		      uint64_t now_ns, uint64_t *ret_act)
{
	_cleanup_(json_decrefp) json_t *o = json_loads(act, 0, NULL);
	int r, busy = 1, log = 0, done = 0;

	if (!o || !is_erasing(o) || json_array_size(json_object_get(o, "entries")) != n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!names(o, indices[i]))
			return -EINVAL;
	r = ledger_begin(l);
	if (r)
		return r;
	r = ledger_end(l, destroy_all(l, act, indices, n, now_ns, ret_act));
	if (r)
		return r;
	/* secure_delete overwrote the rows; the journal must not keep them either. */
	busy = sqlite3_wal_checkpoint_v2(l->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &log, &done);
	return busy != SQLITE_OK;
}
