// SPDX-License-Identifier: Apache-2.0
/* What people say, in the owners database: which tenant is which entity, and what a hit is. */
#include "owner_store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"

static bool has_record(struct owner_store *s, const char *entity)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, "SELECT 1 FROM record WHERE entity = ?1 LIMIT 1");

	if (!q)
		return false;
	sqlite3_bind_text(q, 1, entity, -1, SQLITE_STATIC);
	return sqlite3_step(q) == SQLITE_ROW;
}

int owner_store_bind(struct owner_store *s, const struct owner_binding_row *b)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, "INSERT INTO binding(tenant, entity, how, begins, ends, by, because, "
				       "at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
	int r;

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	if (*b->entity && !has_record(s, b->entity))
		return -ENOENT;
	sqlite3_bind_text(q, 1, b->tenant, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, b->entity, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 3, b->how, -1, SQLITE_STATIC);
	sqlite3_bind_int(q, 4, b->from_day);
	sqlite3_bind_int(q, 5, b->to_day);
	sqlite3_bind_text(q, 6, b->by, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 7, b->because, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 8, (int64_t)b->at_s);
	r = owner_store_exec(s, "BEGIN IMMEDIATE");
	r = r ?: owner_store_run(s, q);
	r = r ?: owner_store_changed(s);
	r = r ?: owner_store_exec(s, "COMMIT");
	if (r && !sqlite3_get_autocommit(s->db))
		owner_store_exec(s, "ROLLBACK");
	return r;
}

int owner_store_each_binding(struct owner_store *s, int (*fn)(void *ctx, const struct owner_binding_row *b),
			     void *ctx)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, "SELECT no, tenant, entity, how, begins, ends, by, because, at FROM "
				       "binding ORDER BY tenant, no");
	int step, r = 0;

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
		r = fn(ctx, &(struct owner_binding_row){ .number = sqlite3_column_int64(q, 0),
							 .tenant = owner_store_text(q, 1),
							 .entity = owner_store_text(q, 2),
							 .how = owner_store_text(q, 3),
							 .from_day = sqlite3_column_int(q, 4),
							 .to_day = sqlite3_column_int(q, 5),
							 .by = owner_store_text(q, 6),
							 .because = owner_store_text(q, 7),
							 .at_s = (uint64_t)sqlite3_column_int64(q, 8) });
	return r ?: step == SQLITE_DONE ? 0 : owner_store_errno(s) ?: -EIO;
}

int owner_store_by_number(struct owner_store *s, const char *authority, const char *number, char ret[96])
{
	_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(
		s, "SELECT DISTINCT entity FROM record WHERE number = ?2 AND authority = ?1 LIMIT 2");

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_text(q, 1, authority, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, number, -1, SQLITE_STATIC);
	if (sqlite3_step(q) != SQLITE_ROW)
		return owner_store_errno(s) ?: -ENOENT;
	snprintf(ret, 96, "%s", owner_store_text(q, 0));
	return sqlite3_step(q) == SQLITE_ROW ? -EEXIST : 0;
}

int owner_store_each_hit(struct owner_store *s, int (*fn)(void *ctx, const struct owner_hit_row *h),
			 void *ctx)
{
	_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(
		s, "SELECT h.id, h.entity, h.list, h.entry, e.list_name, h.listed_name, h.own_name, s.name, "
		   "e.countries, e.url,"
		   " h.score, h.by_id, e.seen, e.begins, MIN(e.ends, COALESCE(e.until, e.ends)), w.word, "
		   "w.by, w.because, w.at"
		   " FROM hit h JOIN source s ON s.no = h.source"
		   " JOIN listing e ON e.list = h.list AND e.entity = h.entry AND e.source = h.source AND "
		   "e.since ="
		   " (SELECT MAX(since) FROM listing g WHERE g.list = h.list AND g.entity = h.entry AND "
		   "g.source = h.source)"
		   " LEFT JOIN word w ON w.no = (SELECT MAX(no) FROM word v WHERE v.hit = h.id)"
		   " ORDER BY h.entity, h.score DESC, h.id");
	int step, r = 0;

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
		r = fn(ctx,
		       &(struct owner_hit_row){
			       .id = owner_store_text(q, 0),
			       .entity = owner_store_text(q, 1),
			       .list = owner_store_text(q, 2),
			       .entry = owner_store_text(q, 3),
			       .list_name = owner_store_text(q, 4),
			       .listed_name = owner_store_text(q, 5),
			       .own_name = owner_store_text(q, 6),
			       .source = owner_store_text(q, 7),
			       .countries = owner_store_text(q, 8),
			       .url = owner_store_text(q, 9),
			       .score = sqlite3_column_int(q, 10),
			       .is_by_id = sqlite3_column_int(q, 11),
			       .list_day = sqlite3_column_int(q, 12),
			       .from_day = sqlite3_column_int(q, 13),
			       .to_day = sqlite3_column_int(q, 14),
			       .word = sqlite3_column_type(q, 15) == SQLITE_NULL ? "open"
										 : owner_store_text(q, 15),
			       .by = owner_store_text(q, 16),
			       .because = owner_store_text(q, 17),
			       .at_s = (uint64_t)sqlite3_column_int64(q, 18),
		       });
	return r ?: step == SQLITE_DONE ? 0 : owner_store_errno(s) ?: -EIO;
}

int owner_store_decide(struct owner_store *s, const char *hit, const char *word, const char *by,
		       const char *because, uint64_t at_s)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, "INSERT INTO word(hit, word, by, because, at) SELECT id, ?2, ?3, ?4, "
				       "?5 FROM hit WHERE id = ?1");
	int r;

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_text(q, 1, hit, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, word, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 3, by, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 4, because, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 5, (int64_t)at_s);
	r = owner_store_run(s, q);
	return r ?: sqlite3_changes(s->db) ? 0 : -ENOENT;
}
