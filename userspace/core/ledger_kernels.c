// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's record of kernels: their names, and which process launched which
 * of them with what geometry. Beside shapes, these are what a figure of the launch
 * meter can be worked out again from; like them they stay here.
 */
#include "ledger_internal.h"

#include <string.h>

int ledger_make_kernel_tables(struct om_ledger *l)
{
	static const char text[] =
		"CREATE TABLE IF NOT EXISTS kernel_name(hash INTEGER PRIMARY KEY, text BLOB NOT NULL,"
		" cut INTEGER NOT NULL);"
		"CREATE TABLE IF NOT EXISTS launch(job BLOB NOT NULL, map BLOB NOT NULL, tgid INTEGER NOT "
		"NULL,"
		" start INTEGER NOT NULL, cgroup INTEGER NOT NULL, name INTEGER NOT NULL, geometry BLOB NOT "
		"NULL,"
		" shared INTEGER NOT NULL, flags INTEGER NOT NULL, calls INTEGER NOT NULL, first INTEGER NOT "
		"NULL,"
		" last INTEGER NOT NULL,"
		" PRIMARY KEY(job, map, tgid, start, cgroup, name, geometry, shared, flags)) WITHOUT ROWID;";

	return sqlite3_exec(l->db, text, NULL, NULL, NULL) ? ledger_errno(l) : 0;
}

struct geometry {
	uint32_t grid[3], block[3];
};

static int put_launch(struct om_ledger *l, const struct om_launch_usage *u, uint64_t now_ns)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_LAUNCH_PUT);
	struct geometry g;

	if (!s)
		return ledger_errno(l);
	memcpy(g.grid, u->grid, sizeof(g.grid));
	memcpy(g.block, u->block, sizeof(g.block));
	sqlite3_bind_blob(s, 1, &u->job, sizeof(u->job), SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, &u->map, sizeof(u->map), SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, u->tgid);
	sqlite3_bind_int64(s, 4, (int64_t)u->start_ns);
	sqlite3_bind_int64(s, 5, (int64_t)u->cgroup_id);
	sqlite3_bind_int64(s, 6, (int64_t)u->name);
	sqlite3_bind_blob(s, 7, &g, sizeof(g), SQLITE_TRANSIENT);
	sqlite3_bind_int64(s, 8, u->shared);
	sqlite3_bind_int64(s, 9, u->flags);
	sqlite3_bind_int64(s, 10, (int64_t)u->calls);
	sqlite3_bind_int64(s, 11, (int64_t)now_ns);
	sqlite3_bind_int64(s, 12, (int64_t)now_ns);
	return ledger_run(l, s);
}

int om_ledger_store_launches(struct om_ledger *l, const struct om_launch_usage *u, size_t n, uint64_t now_ns)
{
	int r;

	if (n == 0)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = put_launch(l, &u[i], now_ns);
	return ledger_end(l, r);
}

int om_ledger_store_kernel_names(struct om_ledger *l, const struct om_kernel_name *names, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	for (size_t i = 0; i < n && r == 0; i++) {
		sqlite3_stmt *s = ledger_stmt(l, ST_KERNEL_NAME_PUT);

		if (!s) {
			r = ledger_errno(l);
			break;
		}
		sqlite3_bind_int64(s, 1, (int64_t)names[i].hash);
		sqlite3_bind_blob(s, 2, names[i].text, (int)strlen(names[i].text), SQLITE_STATIC);
		sqlite3_bind_int64(s, 3, names[i].is_cut);
		r = ledger_run(l, s);
	}
	return ledger_end(l, r);
}

/* A ledger of an earlier build that is only read has no such tables. */
static bool has_tables(struct om_ledger *l)
{
	return !sqlite3_table_column_metadata(l->db, NULL, "kernel_name", NULL, NULL, NULL, NULL, NULL, NULL);
}

int om_ledger_each_kernel_name(struct om_ledger *l, int (*fn)(void *ctx, const struct om_kernel_name *n),
			       void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (!has_tables(l))
		return 0;
	if (sqlite3_prepare_v2(l->db, "SELECT hash, CAST(text AS TEXT), cut FROM kernel_name", -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_kernel_name n = { .hash = (uint64_t)sqlite3_column_int64(s, 0),
					    .text = (const char *)sqlite3_column_text(s, 1),
					    .is_cut = sqlite3_column_int(s, 2) };

		r = fn(ctx, &n);
		if (r)
			break;
	}
	if (r == SQLITE_DONE)
		r = 0;
	sqlite3_finalize(s);
	return r;
}

static void read_launch(sqlite3_stmt *s, struct om_launch_usage *ret)
{
	const struct geometry *g = sqlite3_column_blob(s, 6);

	*ret = (struct om_launch_usage){
		.tgid = (uint32_t)sqlite3_column_int64(s, 2),
		.start_ns = (uint64_t)sqlite3_column_int64(s, 3),
		.cgroup_id = (uint64_t)sqlite3_column_int64(s, 4),
		.name = (uint64_t)sqlite3_column_int64(s, 5),
		.shared = (uint32_t)sqlite3_column_int64(s, 7),
		.flags = (uint32_t)sqlite3_column_int64(s, 8),
		.calls = (uint64_t)sqlite3_column_int64(s, 9),
	};
	if (sqlite3_column_bytes(s, 0) == sizeof(ret->job))
		memcpy(&ret->job, sqlite3_column_blob(s, 0), sizeof(ret->job));
	if (sqlite3_column_bytes(s, 1) == sizeof(ret->map))
		memcpy(&ret->map, sqlite3_column_blob(s, 1), sizeof(ret->map));
	if (g && sqlite3_column_bytes(s, 6) == sizeof(*g)) {
		memcpy(ret->grid, g->grid, sizeof(ret->grid));
		memcpy(ret->block, g->block, sizeof(ret->block));
	}
}

int om_ledger_each_launch(struct om_ledger *l,
			  int (*fn)(void *ctx, const struct om_launch_usage *u, const char *name), void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (!has_tables(l))
		return 0;
	if (sqlite3_prepare_v2(l->db,
			       "SELECT job, map, tgid, start, cgroup, name, geometry, shared, flags, calls,"
			       " CAST(text AS TEXT) FROM launch LEFT JOIN kernel_name ON hash = name"
			       " ORDER BY calls DESC",
			       -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_launch_usage u;

		read_launch(s, &u);
		r = fn(ctx, &u, (const char *)sqlite3_column_text(s, 10));
		if (r)
			break;
	}
	if (r == SQLITE_DONE)
		r = 0;
	sqlite3_finalize(s);
	return r;
}
