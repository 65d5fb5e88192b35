// SPDX-License-Identifier: Apache-2.0
#include "ledger_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/little_endian.h"
#include "ledger_internal.h"

#define STEP_SIZE 17 /* in the row */
#define PLACE_SIZE 4

int ledger_make_order_tables(struct om_ledger *l)
{
	static const char text[] =
		"CREATE TABLE IF NOT EXISTS order_window(job BLOB NOT NULL, map BLOB NOT NULL, tgid INTEGER "
		"NOT NULL, start INTEGER NOT NULL, window INTEGER NOT NULL, at INTEGER NOT NULL,"
		" count INTEGER NOT NULL, steps BLOB NOT NULL, PRIMARY KEY(job, map, tgid, start, window));"
		"CREATE INDEX IF NOT EXISTS order_window_at ON order_window(at);";

	return sqlite3_exec(l->db, text, NULL, NULL, NULL) ? ledger_errno(l) : 0;
}

/* --- the row ---
 *
 * Little-endian: how many different steps there are (32 bits); each of them (hash, thread, A, B, D); then the
 * order, of each position which of them (16 bits) and how often in a row (16 bits). What a model does it does
 * again and again, so this is a third of the steps themselves.
 */

static void step_encode(const struct om_tally_step *s, uint8_t out[STEP_SIZE])
{
	le_put(out, s->hash, 4);
	le_put(out + 4, s->thread, 1);
	le_put(out + 5, s->a, 4);
	le_put(out + 9, s->b, 4);
	le_put(out + 13, s->d, 4);
}

static struct om_tally_step step_decode(const uint8_t in[STEP_SIZE])
{
	return (struct om_tally_step){ .hash = (uint32_t)le_get(in, 4),
				       .thread = in[4],
				       .a = (uint32_t)le_get(in + 5, 4),
				       .b = (uint32_t)le_get(in + 9, 4),
				       .d = (uint32_t)le_get(in + 13, 4) };
}

static bool is_same(const struct om_tally_step *x, const struct om_tally_step *y)
{
	return x->hash == y->hash && x->thread == y->thread && x->a == y->a && x->b == y->b && x->d == y->d;
}

/* The slot of a step, or where it would go; slots hold its number and one. */
static size_t slot_of(const struct om_tally_step *s, const struct om_tally_step *kinds, const uint32_t *index,
		      size_t slots)
{
	uint64_t h = ((uint64_t)s->hash << 32 | s->a) * 0x9e3779b97f4a7c15ULL;
	size_t i;

	h = (h ^ h >> 32 ^ ((uint64_t)s->b << 32 | s->d)) * 0xbf58476d1ce4e5b9ULL;
	i = (h ^ h >> 32) & (slots - 1);
	while (index[i] && !is_same(&kinds[index[i] - 1], s))
		i = (i + 1) & (slots - 1);
	return i;
}

static int pack(const struct om_order_window *w, uint8_t **ret, size_t *ret_len)
{
	_cleanup_free_ struct om_tally_step *kinds = calloc(w->count, sizeof(*kinds));
	_cleanup_free_ uint8_t *out = malloc(4 + w->count * (STEP_SIZE + PLACE_SIZE));
	_cleanup_free_ uint32_t *which = calloc(w->count, sizeof(*which)), *index = NULL;
	size_t slots = 16, count = 0;
	uint8_t *at;

	while (slots < 2 * w->count)
		slots *= 2;
	index = calloc(slots, sizeof(*index));
	if (!kinds || !out || !which || !index)
		return -ENOMEM;
	for (size_t i = 0; i < w->count; i++) {
		size_t slot = slot_of(&w->steps[i], kinds, index, slots);

		if (!index[slot]) {
			kinds[count++] = w->steps[i];
			index[slot] = (uint32_t)count;
		}
		which[i] = index[slot] - 1;
	}
	le_put(out, (uint32_t)count, 4);
	at = out + 4;
	for (size_t i = 0; i < count; i++, at += STEP_SIZE)
		step_encode(&kinds[i], at);
	for (size_t i = 0; i < w->count; i++, at += PLACE_SIZE) {
		le_put(at, which[i], 2);
		le_put(at + 2, w->steps[i].repeat, 2);
	}
	*ret_len = (size_t)(at - out);
	*ret = TAKE_PTR(out);
	return 0;
}

static int unpack(const uint8_t *row, size_t len, size_t count, struct om_tally_step **ret)
{
	_cleanup_free_ struct om_tally_step *steps = calloc(count, sizeof(*steps));
	size_t kinds = len >= 4 ? le_get(row, 4) : 0;
	const uint8_t *at;

	if (!steps)
		return -ENOMEM;
	if (!kinds || kinds > count || len != 4 + kinds * STEP_SIZE + count * PLACE_SIZE)
		return -EUCLEAN;
	at = row + 4 + kinds * STEP_SIZE;
	for (size_t i = 0; i < count; i++, at += PLACE_SIZE) {
		size_t which = le_get(at, 2);

		if (which >= kinds)
			return -EUCLEAN;
		steps[i] = step_decode(row + 4 + which * STEP_SIZE);
		steps[i].repeat = (uint16_t)le_get(at + 2, 2);
	}
	*ret = TAKE_PTR(steps);
	return 0;
}

/* --- storing --- */

static void bind_process(sqlite3_stmt *s, const struct om_order_window *w)
{
	sqlite3_bind_blob(s, 1, &w->job, sizeof(w->job), SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, &w->map, sizeof(w->map), SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, w->tgid);
	sqlite3_bind_int64(s, 4, (int64_t)w->start_ns);
}

static int put(struct om_ledger *l, const struct om_order_window *w, const uint8_t *row, size_t len,
	       uint64_t now_ns)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_ORDER_PUT);

	if (!s)
		return ledger_errno(l);
	bind_process(s, w);
	sqlite3_bind_int64(s, 5, w->window);
	sqlite3_bind_int64(s, 6, (int64_t)now_ns);
	sqlite3_bind_int64(s, 7, (int64_t)w->count);
	sqlite3_bind_blob(s, 8, row, (int)len, SQLITE_STATIC);
	return ledger_run(l, s);
}

/* What is past a limit is forgotten, the oldest first: of the process, of the job, of the node. */
static int trim(struct om_ledger *l, const struct om_order_window *w)
{
	static const struct {
		enum ledger_stmt stmt;
		int keep;
	} limits[] = { { ST_ORDER_TRIM_PROCESS, OM_TALLY_WINDOWS_MAX },
		       { ST_ORDER_TRIM_JOB, OM_ORDER_JOB_MAX },
		       { ST_ORDER_TRIM_NODE, OM_ORDER_NODE_MAX } };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits) && r == 0; i++) {
		sqlite3_stmt *s = ledger_stmt(l, limits[i].stmt);

		if (!s)
			return ledger_errno(l);
		if (limits[i].stmt == ST_ORDER_TRIM_PROCESS)
			bind_process(s, w);
		if (limits[i].stmt == ST_ORDER_TRIM_JOB)
			sqlite3_bind_blob(s, 1, &w->job, sizeof(w->job), SQLITE_STATIC);
		sqlite3_bind_int64(s, 5, limits[i].keep);
		r = ledger_run(l, s);
	}
	return r;
}

static int store(struct om_ledger *l, const struct om_order_window *w, uint64_t now_ns)
{
	_cleanup_free_ uint8_t *packed = NULL;
	size_t len = 0;
	int r = w->count && w->count <= OM_ORDER_STEPS_MAX ? pack(w, &packed, &len) : -EINVAL;

	r = r ?: put(l, w, packed, len, now_ns);
	return r ?: trim(l, w);
}

int om_ledger_store_order(struct om_ledger *l, const struct om_order_window *w, size_t n, uint64_t now_ns)
{
	int r = n ? ledger_begin(l) : 0;

	if (r || n == 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = store(l, &w[i], now_ns);
	return ledger_end(l, r);
}

/* --- reading --- */

static int read_row(sqlite3_stmt *s, struct om_order_window *ret, struct om_tally_step **ret_steps)
{
	int64_t count = sqlite3_column_int64(s, 5);

	if (sqlite3_column_bytes(s, 0) != sizeof(ret->job) ||
	    sqlite3_column_bytes(s, 1) != sizeof(ret->map) || count < 1 || count > OM_ORDER_STEPS_MAX)
		return -EUCLEAN;
	*ret = (struct om_order_window){ .tgid = (uint32_t)sqlite3_column_int64(s, 2),
					 .start_ns = (uint64_t)sqlite3_column_int64(s, 3),
					 .window = (uint32_t)sqlite3_column_int64(s, 4),
					 .count = (size_t)count };
	memcpy(&ret->job, sqlite3_column_blob(s, 0), sizeof(ret->job));
	memcpy(&ret->map, sqlite3_column_blob(s, 1), sizeof(ret->map));
	return unpack(sqlite3_column_blob(s, 6), (size_t)sqlite3_column_bytes(s, 6), ret->count, ret_steps);
}

static int each_row(struct om_ledger *l, sqlite3_stmt *s,
		    int (*fn)(void *ctx, const struct om_order_window *w), void *ctx)
{
	int rc, r = 0;

	while (r == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		_cleanup_free_ struct om_tally_step *steps = NULL;
		struct om_order_window w;

		r = read_row(s, &w, &steps);
		w.steps = steps;
		r = r ?: fn(ctx, &w);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = ledger_errno(l);
	return r;
}

int om_ledger_order_of(struct om_ledger *l, const struct om_order_window *of,
		       int (*fn)(void *ctx, const struct om_order_window *w), void *ctx)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_ORDER_OF);
	int r;

	if (!s)
		return ledger_errno(l);
	bind_process(s, of);
	r = each_row(l, s, fn, ctx);
	sqlite3_reset(s);
	return r;
}

int om_ledger_each_order(struct om_ledger *l, const struct om_id *job,
			 int (*fn)(void *ctx, const struct om_order_window *w), void *ctx)
{
	sqlite3_stmt *s = NULL;
	int r;

	/* A ledger of an earlier release, opened to be read, has no such table. */
	if (sqlite3_table_column_metadata(l->db, NULL, "order_window", NULL, NULL, NULL, NULL, NULL, NULL))
		return 0;
	if (sqlite3_prepare_v2(l->db,
			       "SELECT job, map, tgid, start, window, count, steps FROM order_window"
			       " WHERE ?1 IS NULL OR job = ?1 ORDER BY job, map, tgid, start, at, window",
			       -1, &s, NULL))
		return ledger_errno(l);
	if (job)
		sqlite3_bind_blob(s, 1, job, sizeof(*job), SQLITE_STATIC);
	r = each_row(l, s, fn, ctx);
	sqlite3_finalize(s);
	return r;
}
