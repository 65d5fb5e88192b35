// SPDX-License-Identifier: Apache-2.0
#include "ledger_collectives.h"

#include <errno.h>
#include <string.h>

#include <sodium/crypto_generichash.h>

#include "ledger_internal.h"

#define WHO                                                                                                  \
	"job BLOB NOT NULL, map BLOB NOT NULL, tgid INTEGER NOT NULL, start INTEGER NOT NULL, "              \
	"cgroup INTEGER NOT NULL, boot BLOB NOT NULL, "
#define WHO_KEY "job, map, tgid, start, cgroup"

/* Bytes are text: 128 bits, in decimal. */
int ledger_make_collective_tables(struct om_ledger *l)
{
	static const char text[] =
		"CREATE TABLE IF NOT EXISTS collective(" WHO
		"comm INTEGER NOT NULL, kind INTEGER NOT NULL, calls INTEGER NOT NULL, bytes TEXT NOT NULL,"
		" first INTEGER NOT NULL, last INTEGER NOT NULL,"
		" PRIMARY KEY(" WHO_KEY ", comm, kind)) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS collective_loss(" WHO
		"cause INTEGER NOT NULL, count INTEGER NOT NULL,"
		" PRIMARY KEY(" WHO_KEY ", cause)) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS communicator(" WHO
		"number INTEGER NOT NULL, time INTEGER NOT NULL, comm INTEGER NOT NULL, kind INTEGER NOT "
		"NULL,"
		" id BLOB, ids INTEGER NOT NULL, nranks INTEGER NOT NULL, rank INTEGER NOT NULL, a INTEGER "
		"NOT NULL,"
		" b INTEGER NOT NULL,"
		" PRIMARY KEY(map, tgid, start, number)) WITHOUT ROWID;";

	return sqlite3_exec(l->db, text, NULL, NULL, NULL) ? ledger_errno(l) : 0;
}

#define WHO_COLUMNS 6

static void bind_who(sqlite3_stmt *s, const struct om_collective_who *w)
{
	sqlite3_bind_blob(s, 1, &w->job, sizeof(w->job), SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, &w->map, sizeof(w->map), SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, w->tgid);
	sqlite3_bind_int64(s, 4, (int64_t)w->start_ns);
	sqlite3_bind_int64(s, 5, (int64_t)w->cgroup_id);
	sqlite3_bind_blob(s, 6, &w->boot, sizeof(w->boot), SQLITE_STATIC);
}

static void read_id(sqlite3_stmt *s, int column, struct om_id *ret)
{
	if (sqlite3_column_bytes(s, column) == sizeof(*ret))
		memcpy(ret, sqlite3_column_blob(s, column), sizeof(*ret));
}

static void read_who(sqlite3_stmt *s, struct om_collective_who *ret)
{
	*ret = (struct om_collective_who){ .tgid = (uint32_t)sqlite3_column_int64(s, 2),
					   .start_ns = (uint64_t)sqlite3_column_int64(s, 3),
					   .cgroup_id = (uint64_t)sqlite3_column_int64(s, 4) };
	read_id(s, 0, &ret->job);
	read_id(s, 1, &ret->map);
	read_id(s, 5, &ret->boot);
}

/* --- storing --- */

static int put_collective(struct om_ledger *l, const void *row, uint64_t now_ns)
{
	const struct om_collective_usage *u = row;
	sqlite3_stmt *s = ledger_stmt(l, ST_COLLECTIVE_PUT);
	char bytes[OPCOUNT_STRLEN];

	if (!s)
		return ledger_errno(l);
	bind_who(s, &u->who);
	sqlite3_bind_int64(s, 7, (int64_t)u->comm);
	sqlite3_bind_int64(s, 8, u->kind);
	sqlite3_bind_int64(s, 9, (int64_t)u->calls);
	sqlite3_bind_text(s, 10, opcount_format(u->bytes, bytes), -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(s, 11, (int64_t)now_ns);
	return ledger_run(l, s);
}

static int put_loss(struct om_ledger *l, const void *row, uint64_t now_ns)
{
	const struct om_collective_loss *u = row;
	sqlite3_stmt *s = ledger_stmt(l, ST_COLLECTIVE_LOSS_PUT);

	(void)now_ns;
	if (!s)
		return ledger_errno(l);
	bind_who(s, &u->who);
	sqlite3_bind_int64(s, 7, u->cause);
	sqlite3_bind_int64(s, 8, (int64_t)u->count);
	return ledger_run(l, s);
}

static int put_communicator(struct om_ledger *l, const void *row, uint64_t now_ns)
{
	const struct om_communicator_event *e = row;
	sqlite3_stmt *s = ledger_stmt(l, ST_COMMUNICATOR_PUT);

	(void)now_ns;
	if (!s)
		return ledger_errno(l);
	bind_who(s, &e->who);
	sqlite3_bind_int64(s, 7, (int64_t)e->number);
	sqlite3_bind_int64(s, 8, (int64_t)e->time_ns);
	sqlite3_bind_int64(s, 9, (int64_t)e->comm);
	sqlite3_bind_int64(s, 10, e->kind);
	if (e->has_id)
		sqlite3_bind_blob(s, 11, &e->id, sizeof(e->id), SQLITE_STATIC);
	sqlite3_bind_int64(s, 12, e->ids);
	sqlite3_bind_int64(s, 13, e->nranks);
	sqlite3_bind_int64(s, 14, e->rank);
	sqlite3_bind_int64(s, 15, e->a);
	sqlite3_bind_int64(s, 16, e->b);
	return ledger_run(l, s);
}

static int put_all(struct om_ledger *l, int (*put)(struct om_ledger *l, const void *row, uint64_t now_ns),
		   const void *rows, size_t n, size_t size, uint64_t now_ns)
{
	int r;

	if (n == 0)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = put(l, (const uint8_t *)rows + i * size, now_ns);
	return ledger_end(l, r);
}

int om_ledger_store_collectives(struct om_ledger *l, const struct om_collective_usage *u, size_t n,
				uint64_t now_ns)
{
	return put_all(l, put_collective, u, n, sizeof(*u), now_ns);
}

int om_ledger_store_collective_losses(struct om_ledger *l, const struct om_collective_loss *u, size_t n)
{
	return put_all(l, put_loss, u, n, sizeof(*u), 0);
}

int om_ledger_store_communicators(struct om_ledger *l, const struct om_communicator_event *e, size_t n)
{
	return put_all(l, put_communicator, e, n, sizeof(*e), 0);
}

/* --- reading back --- */

/* A ledger of an earlier build that is only read has no such tables: then nothing. */
static int select_each(struct om_ledger *l, const char *text, int (*row)(sqlite3_stmt *s, void *ctx),
		       void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_table_column_metadata(l->db, NULL, "communicator", NULL, NULL, NULL, NULL, NULL, NULL))
		return 0;
	if (sqlite3_prepare_v2(l->db, text, -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		r = row(s, ctx);
		if (r)
			break;
	}
	if (r == SQLITE_DONE)
		r = 0;
	sqlite3_finalize(s);
	return r;
}

struct each {
	int (*collective)(void *ctx, const struct om_collective_usage *u);
	int (*loss)(void *ctx, const struct om_collective_loss *u);
	int (*communicator)(void *ctx, const struct om_communicator_event *e);
	void *ctx;
};

static int row_collective(sqlite3_stmt *s, void *ctx)
{
	const char *bytes = (const char *)sqlite3_column_text(s, WHO_COLUMNS + 3);
	struct each *each = ctx;
	struct om_collective_usage u = { .comm = (uint64_t)sqlite3_column_int64(s, WHO_COLUMNS),
					 .kind = (uint32_t)sqlite3_column_int64(s, WHO_COLUMNS + 1),
					 .calls = (uint64_t)sqlite3_column_int64(s, WHO_COLUMNS + 2) };

	read_who(s, &u.who);
	if (!bytes || opcount_parse(bytes, &u.bytes))
		return -EUCLEAN;
	return each->collective(each->ctx, &u);
}

int om_ledger_each_collective(struct om_ledger *l, int (*fn)(void *ctx, const struct om_collective_usage *u),
			      void *ctx)
{
	struct each each = { .collective = fn, .ctx = ctx };

	return select_each(l,
			   "SELECT " WHO_KEY ", boot, comm, kind, calls, bytes FROM collective"
			   " ORDER BY length(bytes) DESC, bytes DESC, " WHO_KEY ", comm, kind",
			   row_collective, &each);
}

static int row_loss(sqlite3_stmt *s, void *ctx)
{
	struct each *each = ctx;
	struct om_collective_loss u = { .cause = (uint32_t)sqlite3_column_int64(s, WHO_COLUMNS),
					.count = (uint64_t)sqlite3_column_int64(s, WHO_COLUMNS + 1) };

	read_who(s, &u.who);
	return each->loss(each->ctx, &u);
}

int om_ledger_each_collective_loss(struct om_ledger *l,
				   int (*fn)(void *ctx, const struct om_collective_loss *u), void *ctx)
{
	struct each each = { .loss = fn, .ctx = ctx };

	return select_each(l, "SELECT " WHO_KEY ", boot, cause, count FROM collective_loss", row_loss, &each);
}

static int row_communicator(sqlite3_stmt *s, void *ctx)
{
	const int at = WHO_COLUMNS;
	struct each *each = ctx;
	struct om_communicator_event e = {
		.number = (uint64_t)sqlite3_column_int64(s, at),
		.time_ns = (uint64_t)sqlite3_column_int64(s, at + 1),
		.comm = (uint64_t)sqlite3_column_int64(s, at + 2),
		.kind = (uint32_t)sqlite3_column_int64(s, at + 3),
		.has_id = sqlite3_column_bytes(s, at + 4) == sizeof(struct om_id),
		.ids = (uint32_t)sqlite3_column_int64(s, at + 5),
		.nranks = (int32_t)sqlite3_column_int64(s, at + 6),
		.rank = (int32_t)sqlite3_column_int64(s, at + 7),
		.a = (int32_t)sqlite3_column_int64(s, at + 8),
		.b = (int32_t)sqlite3_column_int64(s, at + 9),
	};

	read_who(s, &e.who);
	read_id(s, at + 4, &e.id);
	return each->communicator(each->ctx, &e);
}

int om_ledger_each_communicator(struct om_ledger *l,
				int (*fn)(void *ctx, const struct om_communicator_event *e), void *ctx)
{
	struct each each = { .communicator = fn, .ctx = ctx };

	return select_each(l,
			   "SELECT " WHO_KEY ", boot, number, time, comm, kind, id, ids, nranks, rank, a, b"
			   " FROM communicator ORDER BY time, map, tgid, start, number",
			   row_communicator, &each);
}

/* --- joining --- */

void om_collective_process_id(const struct om_collective_who *who, struct om_id *ret)
{
	struct {
		struct om_id boot;
		uint64_t start_ns, tgid;
	} key = { who->boot, who->start_ns, who->tgid };

	crypto_generichash(ret->byte, sizeof(ret->byte), (const uint8_t *)&key, sizeof(key), NULL, 0);
}

void om_collective_claim(const struct om_communicator_event *e, struct om_join_claim *ret)
{
	*ret = (struct om_join_claim){ .job = e->who.job,
				       .has_id = e->has_id,
				       .id = e->id,
				       .nranks = e->nranks,
				       .rank = e->rank,
				       .time_ns = e->time_ns };
	om_collective_process_id(&e->who, &ret->process);
}
