// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's registers and cursors: from cumulative counts of processes to
 * totals by hour, and from hours to the readings that are published by day.
 */
#include "ledger_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_auth_hmacsha256.h>

#define NS_PER_HOUR 3600000000000ULL

/* The checksum of a row covers where it belongs: hour, day or cursor. */
#define SCOPE_DAY(d) ((uint64_t)(d) << 2 | 2)

static uint64_t scope_cursor(const struct om_usage *u)
{
	/* Distinct processes of one job and format must not be exchangeable. */
	return (u->start_ns ^ (uint64_t)u->tgid << 40 ^ u->cgroup_id << 8) << 2 | 3;
}

static void bind_id(sqlite3_stmt *s, int i, const struct om_id *id)
{
	sqlite3_bind_blob(s, i, id, sizeof(*id), SQLITE_STATIC);
}

/* What names a register in a table: its job, format and meter, and the hour or day that the table is by. */
static void bind_register(sqlite3_stmt *s, const struct om_register_key *k, uint64_t when)
{
	bind_id(s, 1, &k->job);
	sqlite3_bind_int64(s, 2, k->format);
	sqlite3_bind_int64(s, 3, k->meter);
	sqlite3_bind_int64(s, 4, (int64_t)when);
}

static void bind_cursor(sqlite3_stmt *s, const struct om_usage *u)
{
	bind_id(s, 1, &u->map);
	sqlite3_bind_int64(s, 2, u->tgid);
	sqlite3_bind_int64(s, 3, (int64_t)u->start_ns);
	sqlite3_bind_int64(s, 4, (int64_t)u->cgroup_id);
	sqlite3_bind_int64(s, 5, u->format);
	sqlite3_bind_int64(s, 6, u->meter);
}

static int get_row(struct om_ledger *l, sqlite3_stmt *s, uint64_t scope, struct om_value *ret)
{
	int r = sqlite3_step(s);

	memset(ret, 0, sizeof(*ret));
	if (r == SQLITE_ROW)
		r = ledger_row_decode(l, scope, sqlite3_column_blob(s, 0), sqlite3_column_bytes(s, 0), NULL,
				      ret);
	else
		r = r == SQLITE_DONE ? -ENOENT : ledger_errno(l);
	sqlite3_reset(s);
	return r;
}

/* What is new since the cursor; the caller knows that nothing went down. */
static void difference(const struct om_value *now, const struct om_value *before, struct om_value *ret)
{
	*ret = *now;
	ret->exact -= before->exact;
	ret->low -= before->low;
	ret->high -= before->high;
	ret->mean -= before->mean;
	ret->variance -= before->variance;
	if (ret->variance < 0)
		ret->variance = 0;
	ret->calls -= before->calls;
	ret->device_time_ns -= before->device_time_ns;
	ret->nested -= before->nested;
	ret->duplicates -= before->duplicates;
	ret->overflow_calls -= before->overflow_calls;
	for (int i = 0; i < OM_LOSS_END; i++)
		ret->lost[i] -= before->lost[i];
}

static bool same_counts(const struct om_value *a, const struct om_value *b)
{
	return !om_value_is_regression(a, b) && !om_value_is_regression(b, a);
}

/* u: whose count it is; NULL: nobody's. */
static int add_to_hour(struct om_ledger *l, const struct om_register_key *key, const struct om_usage *u,
		       const struct om_value *delta, uint64_t since_ns, uint64_t now_ns)
{
	uint64_t hour = now_ns / NS_PER_HOUR;
	uint8_t row[LEDGER_ROW_SIZE];
	sqlite3_stmt *s = ledger_stmt(l, ST_REGISTER_GET);
	struct om_value v, d = *delta;
	int r;

	if (!s)
		return ledger_errno(l);
	bind_register(s, key, hour);
	r = get_row(l, s, LEDGER_SCOPE_HOUR(hour), &v);
	if (r && r != -ENOENT)
		return r;
	if (u && l->hold.is_on)
		since_ns = ledger_hold(l, u, &v, since_ns, now_ns, &d) ?: since_ns;
	d.from_ns = since_ns ? since_ns : v.to_ns ? v.to_ns : now_ns;
	d.to_ns = now_ns;
	r = om_value_add(&v, &d);
	if (r)
		return r;
	ledger_row_encode(l, key, LEDGER_SCOPE_HOUR(hour), &v, row);
	s = ledger_stmt(l, ST_REGISTER_PUT);
	if (!s)
		return ledger_errno(l);
	bind_register(s, key, hour);
	sqlite3_bind_blob(s, 5, row, sizeof(row), SQLITE_STATIC);
	return ledger_run(l, s);
}

static struct om_register_key key_of(const struct om_ledger *l, const struct om_id *job, uint64_t hour,
				     uint8_t format, uint8_t meter)
{
	return (struct om_register_key){
		.ledger = l->id, .job = *job, .day = (uint32_t)(hour / 24), .format = format, .meter = meter
	};
}

static int put_cursor(struct om_ledger *l, const struct om_usage *u, const struct om_register_key *key)
{
	uint8_t row[LEDGER_ROW_SIZE];
	sqlite3_stmt *s = ledger_stmt(l, ST_CURSOR_PUT);

	if (!s)
		return ledger_errno(l);
	ledger_row_encode(l, key, scope_cursor(u), &u->now, row);
	bind_cursor(s, u);
	sqlite3_bind_blob(s, 7, row, sizeof(row), SQLITE_STATIC);
	return ledger_run(l, s);
}

/* One process's count: what is new goes to the hour, the cursor moves up. */
static int accrue_one(struct om_ledger *l, const struct om_usage *u, uint64_t since_ns, uint64_t now_ns,
		      uint64_t *regressions)
{
	struct om_register_key key = key_of(l, &u->job, now_ns / NS_PER_HOUR, u->format, u->meter);
	sqlite3_stmt *s = ledger_stmt(l, ST_CURSOR_GET);
	struct om_value before, delta;
	int r;

	if (!s)
		return ledger_errno(l);
	bind_cursor(s, u);
	r = get_row(l, s, scope_cursor(u), &before);
	if (r && r != -ENOENT)
		return r;
	if (om_value_is_regression(&before, &u->now)) {
		++*regressions;
		return 0;
	}
	if (same_counts(&before, &u->now))
		return 0;
	difference(&u->now, &before, &delta);
	if (l->baseline) {
		delta.high += delta.exact;
		delta.exact = 0;
	}
	r = add_to_hour(l, &key, u, &delta, since_ns, now_ns);
	return r ?: put_cursor(l, u, &key);
}

int om_ledger_accrue(struct om_ledger *l, const struct om_usage *u, size_t n, uint64_t since_ns,
		     uint64_t now_ns, uint64_t *ret_regressions)
{
	uint64_t regressions = 0;
	const uint8_t no = 0;
	int r = 0;

	if (n == 0 && !l->baseline)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = accrue_one(l, &u[i], since_ns, now_ns, &regressions);
	if (r == 0 && l->baseline)
		r = ledger_meta_put(l, "baseline", &no, sizeof(no));
	r = ledger_end(l, r);
	if (r == 0) {
		l->baseline = false;
		if (ret_regressions)
			*ret_regressions += regressions;
	}
	return r;
}

int om_ledger_add(struct om_ledger *l, const struct om_register_key *key, const struct om_value *delta,
		  uint64_t now_ns)
{
	struct om_register_key k = key_of(l, &key->job, now_ns / NS_PER_HOUR, key->format, key->meter);
	int r = ledger_begin(l);

	if (r)
		return r;
	return ledger_end(l, add_to_hour(l, &k, NULL, delta, delta->from_ns, now_ns));
}

int om_ledger_store_shapes(struct om_ledger *l, const struct om_shape_usage *shapes, size_t n,
			   uint64_t now_ns)
{
	int r;

	if (n == 0)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct om_shape_usage *u = &shapes[i];
		sqlite3_stmt *s = ledger_stmt(l, ST_SHAPE_PUT);
		const uint64_t numbers[] = { u->tgid,  u->start_ns, u->m,	  u->n,	    u->k,  u->batch,
					     u->types, u->flags,    u->cgroup_id, u->calls, now_ns };

		if (!s) {
			r = ledger_errno(l);
			break;
		}
		bind_id(s, 1, &u->job);
		bind_id(s, 2, &u->map);
		for (size_t j = 0; j < ARRAY_SIZE(numbers); j++)
			sqlite3_bind_int64(s, (int)j + 3, (int64_t)numbers[j]);
		r = ledger_run(l, s);
	}
	return ledger_end(l, r);
}

int om_ledger_forget(struct om_ledger *l, const struct om_id *map, uint32_t tgid, uint64_t start_ns)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_CURSOR_DELETE);

	if (!s)
		return ledger_errno(l);
	bind_id(s, 1, map);
	sqlite3_bind_int64(s, 2, tgid);
	sqlite3_bind_int64(s, 3, (int64_t)start_ns);
	return ledger_run(l, s);
}

static void job_id(const struct om_ledger *l, const struct om_id *boot, uint64_t cgroup_id, struct om_id *ret)
{
	static const char purpose[] = "opmeter job instance v1";
	uint8_t full[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, l->secret, sizeof(l->secret));
	crypto_auth_hmacsha256_update(&s, (const uint8_t *)purpose, sizeof(purpose));
	crypto_auth_hmacsha256_update(&s, boot->byte, sizeof(boot->byte));
	crypto_auth_hmacsha256_update(&s, (const uint8_t *)&cgroup_id, sizeof(cgroup_id));
	crypto_auth_hmacsha256_final(&s, full);
	memcpy(ret, full, sizeof(*ret));
}

static int put_job(struct om_ledger *l, const struct om_id *job, const struct om_id *boot, uint64_t cgroup_id,
		   const char *path, uint64_t now_ns)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_JOB_PUT);

	if (!s)
		return ledger_errno(l);
	bind_id(s, 1, job);
	bind_id(s, 2, boot);
	sqlite3_bind_int64(s, 3, (int64_t)cgroup_id);
	if (path)
		sqlite3_bind_text(s, 4, path, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 5, (int64_t)now_ns);
	return ledger_run(l, s);
}

static int put_path(struct om_ledger *l, const struct om_id *job, const char *path)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_JOB_PATH);

	if (!s)
		return ledger_errno(l);
	bind_id(s, 1, job);
	sqlite3_bind_text(s, 2, path, -1, SQLITE_STATIC);
	return ledger_run(l, s);
}

int om_ledger_job(struct om_ledger *l, const struct om_id *boot, uint64_t cgroup_id, const char *path,
		  uint64_t now_ns, struct om_id *ret_job, bool *ret_is_new)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_JOB_GET);
	bool has_path = false;
	int r;

	if (!s)
		return ledger_errno(l);
	bind_id(s, 1, boot);
	sqlite3_bind_int64(s, 2, (int64_t)cgroup_id);
	r = sqlite3_step(s);
	*ret_is_new = r == SQLITE_DONE;
	if (r == SQLITE_ROW)
		has_path = sqlite3_column_type(s, 1) != SQLITE_NULL;
	else if (r != SQLITE_DONE)
		return ledger_errno(l);
	sqlite3_reset(s);
	job_id(l, boot, cgroup_id, ret_job);
	if (*ret_is_new)
		return put_job(l, ret_job, boot, cgroup_id, path, now_ns);
	return path && !has_path ? put_path(l, ret_job, path) : 0;
}

/* The register of one day: the sum of its hours. */
static int sum_day(struct om_ledger *l, const struct om_register_key *key, struct om_value *ret)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_REGISTER_DAY);
	int r;

	if (!s)
		return ledger_errno(l);
	memset(ret, 0, sizeof(*ret));
	bind_register(s, key, key->day);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		uint64_t hour = (uint64_t)sqlite3_column_int64(s, 0);
		struct om_value v;

		if (ledger_row_decode(l, LEDGER_SCOPE_HOUR(hour), sqlite3_column_blob(s, 1),
				      sqlite3_column_bytes(s, 1), NULL, &v) ||
		    om_value_add(ret, &v)) {
			sqlite3_reset(s);
			return -EUCLEAN;
		}
	}
	r = r == SQLITE_DONE ? 0 : ledger_errno(l);
	sqlite3_reset(s);
	return r;
}

static int put_published(struct om_ledger *l, const struct om_reading *reading, const uint8_t *wire)
{
	const struct om_register_key *k = &reading->key;
	sqlite3_stmt *s = ledger_stmt(l, ST_PUBLISHED_PUT);
	int r;

	if (!s)
		return ledger_errno(l);
	bind_register(s, k, k->day);
	sqlite3_bind_blob(s, 5, wire, OM_READING_SIZE, SQLITE_STATIC);
	r = ledger_run(l, s);
	if (r)
		return r;
	r = l->owed ? 0 : ledger_know_owed(l);
	if (r)
		return r;
	s = ledger_stmt(l, ST_WAITING_PUT);
	if (!s)
		return ledger_errno(l);
	bind_register(s, k, k->day);
	sqlite3_bind_int64(s, 5, (int64_t)++l->owed);
	return ledger_run(l, s);
}

static int clear_changed(struct om_ledger *l, const struct om_register_key *k)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_REGISTER_CLEAR_DAY);

	if (!s)
		return ledger_errno(l);
	bind_register(s, k, k->day);
	return ledger_run(l, s);
}

/* Leaves those that are picked, in their order. */
static size_t pick_keys(struct om_register_key *keys, size_t n,
			bool (*pick)(void *ctx, const struct om_id *job), void *ctx)
{
	struct om_id job;
	bool is_picked = false;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		/* Registers of a job mostly stand together. */
		if (i == 0 || !om_id_equal(&keys[i].job, &job))
			is_picked = pick(ctx, &keys[i].job);
		job = keys[i].job;
		if (is_picked)
			keys[kept++] = keys[i];
	}
	return kept;
}

/* Collects the keys of the changed registers; the caller frees. */
static int changed_keys(struct om_ledger *l, struct om_register_key **ret_keys, size_t *ret_n)
{
	_cleanup_free_ struct om_register_key *keys = NULL;
	sqlite3_stmt *s = ledger_stmt(l, ST_REGISTER_CHANGED);
	size_t n = 0, room = 0;
	int r;

	if (!s)
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		if (n == room) {
			struct om_register_key *more;

			room = room ? 2 * room : 64;
			more = reallocarray(keys, room, sizeof(*keys));
			if (!more) {
				sqlite3_reset(s);
				return -ENOMEM;
			}
			keys = more;
		}
		keys[n] = (struct om_register_key){ .ledger = l->id };
		memcpy(&keys[n].job, sqlite3_column_blob(s, 0), sizeof(keys[n].job));
		keys[n].format = (uint8_t)sqlite3_column_int(s, 1);
		keys[n].meter = (uint8_t)sqlite3_column_int(s, 2);
		keys[n].day = (uint32_t)sqlite3_column_int64(s, 3);
		n++;
	}
	r = r == SQLITE_DONE ? 0 : ledger_errno(l);
	sqlite3_reset(s);
	if (r)
		return r;
	*ret_keys = TAKE_PTR(keys);
	*ret_n = n;
	return 0;
}

static int publish_in(struct om_ledger *l, const struct om_node_facts *node,
		      const struct om_register_key *keys, size_t n, bool are_all, uint8_t *payload,
		      uint64_t now_ns)
{
	uint64_t sequence = l->sequence;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct om_reading reading = { .key = keys[i],
					      .node = *node,
					      .sequence = ++sequence,
					      .attempted = keys[i].meter == OM_METER_SHAPE };

		r = sum_day(l, &keys[i], &reading.value);
		om_reading_encode(&reading, payload + i * OM_READING_SIZE);
		r = r ?: put_published(l, &reading, payload + i * OM_READING_SIZE);
		r = r || are_all ? r : clear_changed(l, &keys[i]);
	}
	if (r == 0 && are_all)
		r = ledger_run(l, ledger_stmt(l, ST_REGISTER_CLEAR));
	r = r ?: ledger_append_in(l, OM_ENTRY_READINGS, NULL, payload, n * OM_READING_SIZE, now_ns, NULL);
	return r ?: ledger_meta_put(l, "sequence", &sequence, sizeof(sequence));
}

int om_ledger_publish(struct om_ledger *l, const struct om_node_facts *node, uint64_t now_ns,
		      void (*fn)(void *ctx, const struct om_reading *r), void *ctx, size_t *ret_n)
{
	return om_ledger_publish_some(l, node, now_ns, NULL, fn, ctx, ret_n);
}

int om_ledger_publish_some(struct om_ledger *l, const struct om_node_facts *node, uint64_t now_ns,
			   bool (*pick)(void *ctx, const struct om_id *job),
			   void (*fn)(void *ctx, const struct om_reading *r), void *ctx, size_t *ret_n)
{
	struct om_reading reading;
	_cleanup_free_ struct om_register_key *keys = NULL;
	_cleanup_free_ uint8_t *payload = NULL;
	size_t n = 0;
	int r;

	*ret_n = 0;
	r = changed_keys(l, &keys, &n);
	if (r == 0 && pick)
		n = pick_keys(keys, n, pick, ctx);
	if (r || n == 0)
		return r;
	payload = malloc(n * OM_READING_SIZE);
	if (!payload)
		return -ENOMEM;
	r = ledger_begin(l);
	if (r)
		return r;
	r = ledger_end(l, publish_in(l, node, keys, n, !pick, payload, now_ns));
	if (r)
		return r;
	l->sequence += n;
	*ret_n = n;
	for (size_t i = 0; fn && i < n; i++)
		if (om_reading_decode(payload + i * OM_READING_SIZE, OM_READING_SIZE, &reading) == 0)
			fn(ctx, &reading);
	return 0;
}

int om_ledger_each_hour(struct om_ledger *l,
			int (*fn)(void *ctx, const struct om_register_key *key, uint64_t hour,
				  const struct om_value *v),
			void *ctx)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(l->db, "SELECT hour, value FROM register ORDER BY job, format, meter, hour",
			       -1, &s, NULL))
		return ledger_errno(l);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		uint64_t hour = (uint64_t)sqlite3_column_int64(s, 0);
		struct om_register_key key;
		struct om_value v;

		r = ledger_row_decode(l, LEDGER_SCOPE_HOUR(hour), sqlite3_column_blob(s, 1),
				      sqlite3_column_bytes(s, 1), &key, &v);
		r = r ?: fn(ctx, &key, hour, &v);
		if (r)
			break;
	}
	if (r == SQLITE_DONE)
		r = 0;
	sqlite3_finalize(s);
	return r;
}

/* Adds up hours that come in order and hands out each day once. */
struct day_sum {
	struct om_ledger *l;
	struct om_reading reading;
	bool any;
	int (*fn)(void *ctx, const struct om_reading *r);
	void *ctx;
};

/* By field: the struct has padding. */
static bool same_key(const struct om_register_key *a, const struct om_register_key *b)
{
	return om_id_equal(&a->job, &b->job) && a->day == b->day && a->format == b->format &&
	       a->meter == b->meter;
}

static int add_hour(void *ctx, const struct om_register_key *key, uint64_t hour, const struct om_value *v)
{
	struct day_sum *d = ctx;
	int r;

	if (d->any && !same_key(&d->reading.key, key)) {
		r = d->fn(d->ctx, &d->reading);
		if (r)
			return r;
		d->any = false;
	}
	if (!d->any) {
		memset(&d->reading, 0, sizeof(d->reading));
		d->reading.key = *key;
		d->reading.node.ledger_start_ns = d->l->start_ns;
		d->reading.sequence = d->l->sequence;
		d->reading.attempted = key->meter == OM_METER_SHAPE;
		d->any = true;
	}
	return om_value_add(&d->reading.value, v);
}

int om_ledger_each_register(struct om_ledger *l, int (*fn)(void *ctx, const struct om_reading *day_value),
			    void *ctx)
{
	struct day_sum d = { .l = l, .fn = fn, .ctx = ctx };
	int r = om_ledger_each_hour(l, add_hour, &d);

	return r || !d.any ? r : fn(ctx, &d.reading);
}
