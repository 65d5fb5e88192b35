// SPDX-License-Identifier: Apache-2.0
/* Reading the owners database for people: what was told, and what is in doubt. */
#include "owner_store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"

int owner_store_each_import(struct owner_store *s, int (*fn)(void *ctx, const struct owner_import_row *r),
			    void *ctx)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, "SELECT i.no, s.name, format, file, sha256, as_of, complete, at, by, "
				       "rows, taken, confirmed, lost, ended"
				       " FROM import i JOIN source s ON s.no = i.source ORDER BY i.no");
	int step, r = 0;

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
		r = fn(ctx, &(struct owner_import_row){ .number = sqlite3_column_int64(q, 0),
							.source = owner_store_text(q, 1),
							.format = owner_store_text(q, 2),
							.file = owner_store_text(q, 3),
							.digest = owner_store_text(q, 4),
							.as_of_day = sqlite3_column_int(q, 5),
							.is_complete = sqlite3_column_int(q, 6),
							.at_s = (uint64_t)sqlite3_column_int64(q, 7),
							.by = owner_store_text(q, 8),
							.rows = sqlite3_column_int64(q, 9),
							.taken = sqlite3_column_int64(q, 10),
							.confirmed = sqlite3_column_int64(q, 11),
							.lost = sqlite3_column_int64(q, 12),
							.ended = sqlite3_column_int64(q, 13) });
	return r ?: step == SQLITE_DONE ? 0 : owner_store_errno(s) ?: -EIO;
}

static int each_told(struct owner_store *s, sqlite3_stmt *q, int (*fn)(void *ctx, const struct owner_told *t),
		     void *ctx)
{
	int step, r = 0;

	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
		r = fn(ctx, &(struct owner_told){
				    .id = owner_store_text(q, 0),
				    .source = owner_store_text(q, 1),
				    .file = owner_store_text(q, 2),
				    .line = (uint64_t)sqlite3_column_int64(q, 3),
				    .since_day = sqlite3_column_int(q, 4),
				    .seen_day = sqlite3_column_int(q, 5),
				    .until_day = sqlite3_column_type(q, 6) == SQLITE_NULL
							 ? INT32_MAX
							 : sqlite3_column_int(q, 6),
				    .name = owner_store_text(q, 7),
				    .headquarters = owner_store_text(q, 8),
				    .jurisdiction = owner_store_text(q, 9),
				    .category = owner_store_text(q, 10),
				    .status = owner_store_text(q, 11),
				    .registration = owner_store_text(q, 12),
				    .authority = owner_store_text(q, 13),
				    .number = owner_store_text(q, 14),
				    .no_parent = sqlite3_column_int(q, 15),
			    });
	return r ?: step == SQLITE_DONE ? 0 : owner_store_errno(s) ?: -EIO;
}

#define TOLD                                                                                                 \
	"SELECT r.entity, s.name, i.file, r.line, r.since, r.seen, r.until, r.name, headquarters, "          \
	"jurisdiction,"                                                                                      \
	" category, status, registration, authority, number, no_parent FROM record r"                        \
	" JOIN source s ON s.no = r.source JOIN import i ON i.no = r.import"

int owner_store_each_told(struct owner_store *s, const char *entity,
			  int (*fn)(void *ctx, const struct owner_told *t), void *ctx)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, TOLD " WHERE r.entity = ?1 ORDER BY r.since, s.name");

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_text(q, 1, entity, -1, SQLITE_STATIC);
	return each_told(s, q, fn, ctx);
}

int owner_store_each_record(struct owner_store *s, int (*fn)(void *ctx, const struct owner_told *t),
			    void *ctx)
{
	_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(
		s, TOLD
		" WHERE NOT EXISTS(SELECT 1 FROM record n WHERE n.entity = r.entity AND n.source = r.source"
		" AND n.since > r.since) ORDER BY r.entity, r.source");

	return q ? each_told(s, q, fn, ctx) : owner_store_errno(s) ?: -EIO;
}

/* Who stands above whom today by the last word of each source: whoever holds half or more, or nobody says how
 * much, consolidates it, is its head office or umbrella. */
#define ABOVE                                                                                                \
	"(SELECT a.* FROM edge a WHERE a.until IS NULL AND a.active AND a.ends = 2147483647 AND"             \
	" (a.tie BETWEEN 2 AND 5 OR (a.tie = 1 AND (a.share IS NULL OR a.share >= 500000000)))"              \
	" AND NOT EXISTS(SELECT 1 FROM edge n WHERE n.entity = a.entity AND n.tie = a.tie AND"               \
	" n.parent = a.parent AND n.source = a.source AND (n.since > a.since OR"                             \
	" (n.since = a.since AND n.begins > a.begins))))"

static const struct {
	const char *text, *sql;
} doubts[OWNER_DOUBT_END] = {
	[OWNER_DOUBT_HEADQUARTERS] = { "two sources name different headquarters",
				       "SELECT a.entity, s.name || ' says ' || a.headquarters, t.name || ' "
				       "says ' || "
				       "b.headquarters FROM record a"
				       " JOIN record b ON b.entity = a.entity AND b.source > a.source AND "
				       "b.headquarters <> a.headquarters"
				       " JOIN source s ON s.no = a.source JOIN source t ON t.no = b.source"
				       " WHERE a.until IS NULL AND b.until IS NULL AND s.name NOT LIKE "
				       "'person:%' "
				       "AND t.name NOT LIKE 'person:%'"
				       " AND NOT EXISTS(SELECT 1 FROM record n WHERE n.entity = a.entity AND "
				       "n.source = a.source AND n.since > a.since)"
				       " AND NOT EXISTS(SELECT 1 FROM record n WHERE n.entity = b.entity AND "
				       "n.source = b.source AND n.since > b.since)" },
	[OWNER_DOUBT_SHARE] = { "two sources name different shares",
				"SELECT a.entity, a.parent, printf('%s says %.6g %%, %s says %.6g %%', "
				"s.name, a.share / 1e7, t.name, b.share / 1e7)"
				" FROM edge a JOIN edge b ON b.entity = a.entity AND b.tie = a.tie AND "
				"b.parent = a.parent AND b.source > a.source"
				" AND b.share IS NOT NULL AND b.share <> a.share AND b.begins < a.ends AND "
				"a.begins < b.ends"
				" JOIN source s ON s.no = a.source JOIN source t ON t.no = b.source"
				" WHERE a.tie = 1 AND a.until IS NULL AND b.until IS NULL" },
	[OWNER_DOUBT_NO_RECORD] = { "an entity is named of which no record is there",
				    "SELECT DISTINCT n.entity, n.what, '' FROM (SELECT parent AS entity, "
				    "'parent of ' || entity AS what FROM edge"
				    " UNION ALL SELECT entity, 'child of ' || parent FROM edge"
				    " UNION ALL SELECT entity, 'bound to tenant ' || tenant FROM binding "
				    "WHERE entity <> '') n"
				    " WHERE NOT EXISTS(SELECT 1 FROM record r WHERE r.entity = n.entity) "
				    "GROUP BY n.entity" },
	[OWNER_DOUBT_OVER_100] = { "holders have more than 100 % together",
				   "SELECT a.entity, s.name, printf('%.6g %%', SUM(a.share) / 1e7) FROM edge "
				   "a JOIN source s ON s.no = a.source"
				   " WHERE a.tie = 1 AND a.ends = 2147483647 AND a.until IS NULL AND NOT "
				   "EXISTS(SELECT 1 FROM edge n"
				   " WHERE n.entity = a.entity AND n.tie = 1 AND n.parent = a.parent AND "
				   "n.source = a.source AND"
				   " (n.since > a.since OR (n.since = a.since AND n.begins > a.begins)))"
				   " GROUP BY a.entity, a.source HAVING SUM(a.share) > 1000000000" },
	/* Of what strip_trees() leaves. Longer ones than paths are followed are told as too long where they
	 * are asked about. */
	[OWNER_DOUBT_CYCLE] = { "stands above itself",
				"WITH RECURSIVE w(first, at, depth) AS (SELECT entity, parent, 1 FROM above "
				"UNION"
				" SELECT w.first, m.parent, w.depth + 1 FROM w JOIN above m ON m.entity = "
				"w.at"
				" WHERE w.at <> w.first AND w.depth < 16)"
				" SELECT first, printf('in %d steps', MIN(depth)), 'its parent is ' || "
				"(SELECT "
				"MIN(parent) FROM above m WHERE m.entity = first) FROM w WHERE at = first "
				"GROUP BY "
				"first" },
	[OWNER_DOUBT_TOP] = { "is said to have no parent, and a parent is named",
			      "SELECT a.entity, s.name || ' says both', 'the parent: ' || a.parent "
			      "FROM " ABOVE
			      " a JOIN source s ON s.no = a.source WHERE EXISTS(SELECT 1 FROM record r WHERE "
			      "r.entity = a.entity AND r.source = a.source AND r.no_parent AND r.until IS "
			      "NULL"
			      " AND NOT EXISTS(SELECT 1 FROM record n WHERE n.entity = r.entity AND n.source "
			      "= "
			      "r.source AND n.since > r.since))"
			      " OR EXISTS(SELECT 1 FROM exception x WHERE x.entity = a.entity AND x.source = "
			      "a.source AND x.until IS NULL AND x.reason IN ('NATURAL_PERSONS', "
			      "'NO_KNOWN_PERSON') AND (x.ultimate = (a.tie = 3) OR a.tie = 1)"
			      " AND NOT EXISTS(SELECT 1 FROM exception n WHERE n.entity = x.entity AND "
			      "n.ultimate = x.ultimate AND n.source = x.source AND n.since > x.since))" },
};

/* Who has nobody above, and then who has nobody left above, is in no cycle: of a register's trees nothing is
 * left but what hangs below a cycle. Trees that are deeper keep their feet, and cost time only. */
#define LEVELS_MAX 64
static int strip_trees(struct owner_store *s)
{
	int r = owner_store_exec(s, "CREATE TEMP TABLE above AS SELECT DISTINCT entity, parent FROM " ABOVE);

	r = r ?: owner_store_exec(s, "CREATE INDEX temp.above_entity ON above(entity)");
	for (int i = 0; r == 0 && i < LEVELS_MAX; i++) {
		r = owner_store_exec(s, "DELETE FROM above WHERE parent NOT IN (SELECT entity FROM above)");
		if (r == 0 && sqlite3_changes(s->db) == 0)
			break;
	}
	return r;
}

const char *owner_doubt_text(enum owner_doubt d)
{
	return doubts[d].text;
}

int owner_store_each_doubt(struct owner_store *s,
			   int (*fn)(void *ctx, enum owner_doubt d, const char *entity, const char *a,
				     const char *b),
			   void *ctx)
{
	int r = strip_trees(s);

	for (enum owner_doubt d = 0; r == 0 && d < OWNER_DOUBT_END; d++) {
		_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(s, doubts[d].sql);
		int step = SQLITE_DONE;

		while (q && r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
			r = fn(ctx, d, owner_store_text(q, 0), owner_store_text(q, 1),
			       owner_store_text(q, 2));
		if (r == 0 && (!q || step != SQLITE_DONE))
			r = owner_store_errno(s) ?: -EIO;
	}
	owner_store_exec(s, "DROP TABLE IF EXISTS temp.above");
	return r;
}

int64_t owner_store_count(struct owner_store *s, const char *table)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	char sql[80];

	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM %.40s", table);
	q = owner_store_prepare(s, sql);
	return q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : owner_store_errno(s) ?: -EIO;
}
