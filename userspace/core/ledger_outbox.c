// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's outbox: what waits for which exporter. A register waits once,
 * with its newest published value, so the backlog is bounded by the number of
 * registers whatever the outage; log entries wait in order.
 */
#include "ledger_internal.h"

#include <errno.h>
#include <string.h>

static int exporter_id(struct om_ledger *l, const char *name, int *ret)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, "SELECT id FROM exporter WHERE name = ?1", -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int(s, 0);
	r = r == SQLITE_ROW ? 0 : r == SQLITE_DONE ? -ENOENT : ledger_errno(l);
	sqlite3_finalize(s);
	return r;
}

static int run_with(struct om_ledger *l, const char *sql, const char *text, int id)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, id);
	if (text)
		sqlite3_bind_text(s, 2, text, -1, SQLITE_STATIC);
	r = sqlite3_step(s) == SQLITE_DONE ? 0 : ledger_errno(l);
	sqlite3_finalize(s);
	return r;
}

/* A new exporter is owed everything that was published before it came. */
static int add_exporter(struct om_ledger *l, const char *name, int *ret)
{
	sqlite3_stmt *s;
	int id = 0, r;

	if (sqlite3_prepare_v2(l->db, "SELECT COUNT(*) FROM exporter", -1, &s, NULL))
		return ledger_errno(l);
	if (sqlite3_step(s) == SQLITE_ROW)
		id = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	if (id >= LEDGER_EXPORTERS_MAX)
		return -ENOSPC;
	r = ledger_begin(l);
	if (r)
		return r;
	r = run_with(l, "INSERT INTO exporter VALUES(?1, ?2)", name, id);
	r = r
		    ?: run_with(l,
				"INSERT INTO waiting SELECT ?1, job, format, meter, day,"
				" ROW_NUMBER() OVER (ORDER BY day, job) FROM published",
				NULL, id);
	r = r
		    ?: run_with(l,
				"INSERT INTO pending SELECT ?1, idx FROM entry WHERE kind IN (3, 4, 7, 8)"
				" OR (kind = 5 AND uniq GLOB '" OM_CHECKPOINT_UNIQUE "*')",
				NULL, id);
	r = ledger_end(l, r);
	if (r == 0)
		*ret = id;
	return r;
}

int om_ledger_exporter(struct om_ledger *l, const char *name, int *ret_exporter)
{
	int r = exporter_id(l, name, ret_exporter);

	return r == -ENOENT ? add_exporter(l, name, ret_exporter) : r;
}

int ledger_know_owed(struct om_ledger *l)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, "SELECT MAX(?1, IFNULL(MAX(sequence), 0)) FROM waiting", -1, &s, NULL))
		return ledger_errno(l);
	/* Never back: what was handed out had a number that nothing else may get. */
	sqlite3_bind_int64(s, 1, (int64_t)(l->owed > l->sequence ? l->owed : l->sequence));
	r = sqlite3_step(s) == SQLITE_ROW ? 0 : ledger_errno(l);
	if (r == 0)
		l->owed = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r;
}

/* Behind all that was ever owed, so that what is under way is told from it. */
static int owe_in(struct om_ledger *l, int exporter, uint32_t from_day, uint64_t *ret_n)
{
	sqlite3_stmt *s;
	int r = ledger_know_owed(l);

	if (r)
		return r;
	if (sqlite3_prepare_v2(l->db,
			       "INSERT OR IGNORE INTO waiting SELECT ?1, job, format, meter, day,"
			       " ?2 + ROW_NUMBER() OVER (ORDER BY day, job) FROM published WHERE day >= ?3",
			       -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, exporter);
	sqlite3_bind_int64(s, 2, (int64_t)l->owed);
	sqlite3_bind_int64(s, 3, from_day);
	r = sqlite3_step(s) == SQLITE_DONE ? 0 : ledger_errno(l);
	sqlite3_finalize(s);
	*ret_n = r ? 0 : (uint64_t)sqlite3_changes(l->db);
	/* The numbers of those that were owed already are passed over. */
	return r ?: ledger_know_owed(l);
}

int om_ledger_owe_again(struct om_ledger *l, int exporter, uint32_t from_day, uint64_t *ret_n)
{
	int r = ledger_begin(l);

	*ret_n = 0;
	return r ?: ledger_end(l, owe_in(l, exporter, from_day, ret_n));
}

static int each_reading(struct om_ledger *l, int exporter, size_t max, size_t *n,
			int (*fn)(void *ctx, const struct om_outbox_item *item), void *ctx)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_WAITING_EACH);
	int r, stop = 0;

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, exporter);
	sqlite3_bind_int64(s, 2, (int64_t)l->handed[exporter].reading_sequence);
	sqlite3_bind_int64(s, 3, (int64_t)(max - *n));
	while (!stop && (r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_outbox_item item = { .kind = OM_ENTRY_READINGS };

		item.sequence = (uint64_t)sqlite3_column_int64(s, 0);
		if (om_reading_decode(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1),
				      &item.reading)) {
			sqlite3_reset(s);
			return -EUCLEAN;
		}
		item.time_ns = item.reading.value.to_ns;
		stop = fn(ctx, &item);
		if (!stop) {
			l->handed[exporter].reading_sequence = item.sequence;
			++*n;
		}
	}
	sqlite3_reset(s);
	return stop ? 1 : 0;
}

static int each_pending(struct om_ledger *l, int exporter, size_t max, size_t *n,
			int (*fn)(void *ctx, const struct om_outbox_item *item), void *ctx)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_PENDING_EACH);
	int stop = 0;

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, exporter);
	/* -1: entry 0 must be seen the first time. */
	sqlite3_bind_int64(s, 2,
			   l->handed[exporter].entries_begun ? (int64_t)l->handed[exporter].entry_index : -1);
	sqlite3_bind_int64(s, 3, (int64_t)(max - *n));
	while (!stop && sqlite3_step(s) == SQLITE_ROW) {
		struct om_outbox_item item = {
			.sequence = (uint64_t)sqlite3_column_int64(s, 0),
			.kind = sqlite3_column_int(s, 1),
			.time_ns = (uint64_t)sqlite3_column_int64(s, 2),
			.payload = sqlite3_column_blob(s, 3),
			.len = (size_t)sqlite3_column_bytes(s, 3),
		};

		stop = fn(ctx, &item);
		if (!stop) {
			l->handed[exporter].entry_index = item.sequence;
			l->handed[exporter].entries_begun = true;
			++*n;
		}
	}
	sqlite3_reset(s);
	return 0;
}

int om_ledger_outbox(struct om_ledger *l, int exporter, size_t max,
		     int (*fn)(void *ctx, const struct om_outbox_item *item), void *ctx)
{
	size_t n = 0;
	int r;

	if (exporter < 0 || exporter >= LEDGER_EXPORTERS_MAX)
		return -EINVAL;
	/* Judgements and alerts first: they are few, and somebody waits for them. */
	r = each_pending(l, exporter, max, &n, fn, ctx);
	if (r == 0 && n < max)
		r = each_reading(l, exporter, max, &n, fn, ctx);
	return r < 0 ? r : 0;
}

int om_ledger_ack(struct om_ledger *l, int exporter, enum om_entry_kind kind,
		  const struct om_register_key *key, uint64_t sequence)
{
	sqlite3_stmt *s = ledger_stmt(l, kind == OM_ENTRY_READINGS ? ST_WAITING_DELETE : ST_PENDING_DELETE);

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, exporter);
	if (kind != OM_ENTRY_READINGS) {
		sqlite3_bind_int64(s, 2, (int64_t)sequence);
		return ledger_run(l, s);
	}
	if (!key)
		return -EINVAL;
	sqlite3_bind_blob(s, 2, &key->job, sizeof(key->job), SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, key->format);
	sqlite3_bind_int64(s, 4, key->meter);
	sqlite3_bind_int64(s, 5, key->day);
	sqlite3_bind_int64(s, 6, (int64_t)sequence);
	return ledger_run(l, s);
}

int om_ledger_ack_begin(struct om_ledger *l)
{
	return ledger_begin(l);
}

int om_ledger_ack_end(struct om_ledger *l)
{
	return ledger_end(l, 0);
}

void om_ledger_unsend(struct om_ledger *l, int exporter)
{
	if (exporter >= 0 && exporter < LEDGER_EXPORTERS_MAX)
		memset(&l->handed[exporter], 0, sizeof(l->handed[exporter]));
}

static int count(struct om_ledger *l, enum ledger_stmt which, int exporter, uint64_t *sum)
{
	sqlite3_stmt *s = ledger_stmt(l, which);
	int r;

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_int(s, 1, exporter);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*sum += (uint64_t)sqlite3_column_int64(s, 0);
	r = r == SQLITE_ROW ? 0 : ledger_errno(l);
	sqlite3_reset(s);
	return r;
}

int om_ledger_backlog(struct om_ledger *l, int exporter, uint64_t *ret_items)
{
	uint64_t sum = 0;
	int r = count(l, ST_WAITING_COUNT, exporter, &sum);

	r = r ?: count(l, ST_PENDING_COUNT, exporter, &sum);
	if (r == 0)
		*ret_items = sum;
	return r;
}

int om_ledger_each_job(struct om_ledger *l,
		       int (*fn)(void *ctx, const struct om_id *job, uint64_t cgroup_id, const char *path,
				 uint64_t first_seen_ns),
		       void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, "SELECT job, cgroup, path, first_seen FROM job ORDER BY first_seen", -1,
			       &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_id job;

		if (sqlite3_column_bytes(s, 0) != sizeof(job)) {
			r = -EUCLEAN;
			break;
		}
		memcpy(&job, sqlite3_column_blob(s, 0), sizeof(job));
		r = fn(ctx, &job, (uint64_t)sqlite3_column_int64(s, 1),
		       (const char *)sqlite3_column_text(s, 2), (uint64_t)sqlite3_column_int64(s, 3));
		if (r)
			break;
	}
	sqlite3_finalize(s);
	return r == SQLITE_DONE ? 0 : r;
}

int om_ledger_shapes_until(struct om_ledger *l, const struct om_id *map, uint64_t *ret_ns)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, "SELECT IFNULL(MAX(last), 0) FROM shape WHERE map = ?1", -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_blob(s, 1, map, sizeof(*map), SQLITE_STATIC);
	r = sqlite3_step(s) == SQLITE_ROW ? 0 : ledger_errno(l);
	if (r == 0)
		*ret_ns = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r;
}

int om_ledger_each_shape(struct om_ledger *l, int (*fn)(void *ctx, const struct om_shape_usage *s), void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(
		    l->db,
		    "SELECT job, map, tgid, start, m, n, k, batch, types, flags, cgroup, calls FROM shape",
		    -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_shape_usage u = { 0 };

		if (sqlite3_column_bytes(s, 0) != sizeof(u.job) ||
		    sqlite3_column_bytes(s, 1) != sizeof(u.map)) {
			r = -EUCLEAN;
			break;
		}
		memcpy(&u.job, sqlite3_column_blob(s, 0), sizeof(u.job));
		memcpy(&u.map, sqlite3_column_blob(s, 1), sizeof(u.map));
		u.tgid = (uint32_t)sqlite3_column_int64(s, 2);
		u.start_ns = (uint64_t)sqlite3_column_int64(s, 3);
		u.m = (uint64_t)sqlite3_column_int64(s, 4);
		u.n = (uint64_t)sqlite3_column_int64(s, 5);
		u.k = (uint64_t)sqlite3_column_int64(s, 6);
		u.batch = (uint64_t)sqlite3_column_int64(s, 7);
		u.types = (uint32_t)sqlite3_column_int64(s, 8);
		u.flags = (uint32_t)sqlite3_column_int64(s, 9);
		u.cgroup_id = (uint64_t)sqlite3_column_int64(s, 10);
		u.calls = (uint64_t)sqlite3_column_int64(s, 11);
		r = fn(ctx, &u);
		if (r)
			break;
	}
	sqlite3_finalize(s);
	return r == SQLITE_DONE ? 0 : r;
}
