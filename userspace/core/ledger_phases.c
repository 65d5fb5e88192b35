// SPDX-License-Identifier: Apache-2.0
#include "ledger_phases.h"

#include <errno.h>
#include <string.h>

#include "ledger_internal.h"

/* Operations are text: 128 bits, in decimal. */
int ledger_make_phase_tables(struct om_ledger *l)
{
	static const char text[] =
		"CREATE TABLE IF NOT EXISTS phase_hour(job BLOB NOT NULL, hour INTEGER NOT NULL, verdict "
		"INTEGER NOT NULL,"
		" confidence TEXT NOT NULL, executed TEXT NOT NULL, training_low TEXT NOT NULL, "
		"training_high TEXT NOT NULL,"
		" recompute_low TEXT NOT NULL, recompute_high TEXT NOT NULL, processes INTEGER NOT NULL,"
		" evidence TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(job, hour)) WITHOUT ROWID;";

	return sqlite3_exec(l->db, text, NULL, NULL, NULL) ? ledger_errno(l) : 0;
}

static void bind_ops(sqlite3_stmt *s, int at, opcount ops)
{
	char text[OPCOUNT_STRLEN];

	sqlite3_bind_text(s, at, opcount_format(ops, text), -1, SQLITE_TRANSIENT);
}

static int put(struct om_ledger *l, const struct om_phase_hour *h, uint64_t now_ns)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_PHASE_HOUR_PUT);
	const opcount ops[] = { h->executed, h->training_low, h->training_high, h->recompute_low,
				h->recompute_high };

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_blob(s, 1, &h->job, sizeof(h->job), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (int64_t)h->hour);
	sqlite3_bind_int64(s, 3, h->verdict);
	sqlite3_bind_text(s, 4, h->confidence, -1, SQLITE_STATIC);
	for (int i = 0; i < 5; i++)
		bind_ops(s, 5 + i, ops[i]);
	sqlite3_bind_int64(s, 10, h->processes);
	sqlite3_bind_text(s, 11, h->evidence, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 12, (int64_t)now_ns);
	return ledger_run(l, s);
}

int om_ledger_store_phase_hours(struct om_ledger *l, const struct om_phase_hour *h, size_t n, uint64_t now_ns)
{
	int r;

	if (n == 0)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = put(l, &h[i], now_ns);
	return ledger_end(l, r);
}

static void read_text(sqlite3_stmt *s, int column, char *ret, size_t size)
{
	const unsigned char *text = sqlite3_column_text(s, column);

	snprintf(ret, size, "%s", text ? (const char *)text : "");
}

/* 0, or -EUCLEAN: somebody wrote into the file. */
static int read_row(sqlite3_stmt *s, struct om_phase_hour *ret)
{
	opcount *const ops[] = { &ret->executed, &ret->training_low, &ret->training_high, &ret->recompute_low,
				 &ret->recompute_high };
	int64_t verdict = sqlite3_column_int64(s, 2);

	*ret = (struct om_phase_hour){ .hour = (uint64_t)sqlite3_column_int64(s, 1),
				       .processes = (uint32_t)sqlite3_column_int64(s, 9) };
	if (sqlite3_column_bytes(s, 0) != sizeof(ret->job) || verdict < 0 || verdict >= PHASE_VERDICTS)
		return -EUCLEAN;
	memcpy(&ret->job, sqlite3_column_blob(s, 0), sizeof(ret->job));
	ret->verdict = (enum phase_verdict)verdict;
	read_text(s, 3, ret->confidence, sizeof(ret->confidence));
	read_text(s, 10, ret->evidence, sizeof(ret->evidence));
	for (int i = 0; i < 5; i++) {
		const char *text = (const char *)sqlite3_column_text(s, 4 + i);

		if (!text || opcount_parse(text, ops[i]))
			return -EUCLEAN;
	}
	return 0;
}

int om_ledger_each_phase_hour(struct om_ledger *l, uint64_t from_hour,
			      int (*fn)(void *ctx, const struct om_phase_hour *h), void *ctx)
{
	sqlite3_stmt *s = NULL;
	int rc, r = 0;

	/* A ledger of an earlier release, opened to be read, has no such table. */
	if (sqlite3_table_column_metadata(l->db, NULL, "phase_hour", NULL, NULL, NULL, NULL, NULL, NULL))
		return 0;
	if (sqlite3_prepare_v2(l->db,
			       "SELECT job, hour, verdict, confidence, executed, training_low, training_high,"
			       " recompute_low, recompute_high, processes, evidence FROM phase_hour"
			       " WHERE hour >= ?1 ORDER BY job, hour",
			       -1, &s, NULL))
		return ledger_errno(l);
	sqlite3_bind_int64(s, 1, (int64_t)from_hour);
	while (r == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct om_phase_hour h;

		r = read_row(s, &h) ?: fn(ctx, &h);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = ledger_errno(l);
	sqlite3_finalize(s);
	return r;
}
