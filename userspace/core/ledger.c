// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's file: opening, identity, quarantine, statements, transactions.
 *
 * Identity. A ledger's id is part of every register's key, so a ledger that
 * forgot (an old copy, a damaged file) must never speak under the id of the one
 * that knew. The database carries the device, inode and machine id it was made
 * on; where they differ, the file is a copy. A copied or damaged file is moved
 * aside whole and a new ledger begins. The kernel's counts are cumulative, so
 * part of what the new ledger reads first may already stand in the old one's
 * published registers: that first accrual goes into `high`, never into `exact`.
 *
 * Every stored value carries a checksum keyed by the ledger's secret, so that a
 * flipped byte or a row moved to another key is found when it is read.
 */
#include "ledger_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sodium/core.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/randombytes.h>

#define SCHEMA_VERSION 1

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE job(job BLOB PRIMARY KEY, boot BLOB NOT NULL, cgroup INTEGER NOT NULL, path TEXT,"
	" first_seen INTEGER NOT NULL, UNIQUE(boot, cgroup)) WITHOUT ROWID;"
	"CREATE TABLE register(job BLOB NOT NULL, format INTEGER NOT NULL, meter INTEGER NOT NULL,"
	" hour INTEGER NOT NULL, changed INTEGER NOT NULL, value BLOB NOT NULL,"
	" PRIMARY KEY(job, format, meter, hour)) WITHOUT ROWID;"
	"CREATE INDEX register_changed ON register(changed) WHERE changed = 1;"
	"CREATE TABLE published(job BLOB NOT NULL, format INTEGER NOT NULL, meter INTEGER NOT NULL,"
	" day INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(job, format, meter, day)) WITHOUT ROWID;"
	"CREATE TABLE cursor(map BLOB NOT NULL, tgid INTEGER NOT NULL, start INTEGER NOT NULL,"
	" cgroup INTEGER NOT NULL, format INTEGER NOT NULL, meter INTEGER NOT NULL, value BLOB NOT NULL,"
	" PRIMARY KEY(map, tgid, start, cgroup, format, meter)) WITHOUT ROWID;"
	"CREATE TABLE shape(job BLOB NOT NULL, map BLOB NOT NULL, tgid INTEGER NOT NULL, start INTEGER NOT "
	"NULL,"
	" m INTEGER NOT NULL, n INTEGER NOT NULL, k INTEGER NOT NULL, batch INTEGER NOT NULL,"
	" types INTEGER NOT NULL, flags INTEGER NOT NULL, cgroup INTEGER NOT NULL, calls INTEGER NOT NULL,"
	" first INTEGER NOT NULL, last INTEGER NOT NULL,"
	" PRIMARY KEY(job, map, tgid, start, cgroup, m, n, k, batch, types, flags)) WITHOUT ROWID;"
	"CREATE TABLE entry(idx INTEGER PRIMARY KEY, kind INTEGER NOT NULL, time INTEGER NOT NULL,"
	" uniq TEXT UNIQUE, leaf BLOB NOT NULL, salt BLOB, payload BLOB, destroyed_by INTEGER);"
	"CREATE TABLE frontier(level INTEGER PRIMARY KEY, hash BLOB NOT NULL);"
	"CREATE TABLE exporter(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
	"CREATE TABLE waiting(exporter INTEGER NOT NULL, job BLOB NOT NULL, format INTEGER NOT NULL,"
	" meter INTEGER NOT NULL, day INTEGER NOT NULL, sequence INTEGER NOT NULL,"
	" PRIMARY KEY(exporter, job, format, meter, day)) WITHOUT ROWID;"
	"CREATE INDEX waiting_order ON waiting(exporter, sequence);"
	"CREATE TABLE pending(exporter INTEGER NOT NULL, idx INTEGER NOT NULL,"
	" PRIMARY KEY(exporter, idx)) WITHOUT ROWID;";

int ledger_errno(struct om_ledger *l)
{
	switch (sqlite3_errcode(l->db) & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT:
		return -EUCLEAN;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EWOULDBLOCK;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_IOERR:
		/* A full tmpfs answers a write of the shared-memory file so. */
		return sqlite3_system_errno(l->db) == ENOSPC ? -ENOSPC : -EIO;
	}
	return -EIO;
}

static const char *const statement_text[ST_END] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_META_GET] = "SELECT value FROM meta WHERE key = ?1",
	[ST_META_PUT] = "INSERT OR REPLACE INTO meta VALUES(?1, ?2)",
	[ST_CURSOR_GET] = "SELECT value FROM cursor WHERE map = ?1 AND tgid = ?2 AND start = ?3"
			  " AND cgroup = ?4 AND format = ?5 AND meter = ?6",
	[ST_CURSOR_PUT] = "INSERT OR REPLACE INTO cursor VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[ST_CURSOR_DELETE] = "DELETE FROM cursor WHERE map = ?1 AND tgid = ?2 AND start = ?3",
	[ST_REGISTER_GET] =
		"SELECT value FROM register WHERE job = ?1 AND format = ?2 AND meter = ?3 AND hour = ?4",
	[ST_REGISTER_PUT] = "INSERT OR REPLACE INTO register VALUES(?1, ?2, ?3, ?4, 1, ?5)",
	[ST_REGISTER_CHANGED] =
		"SELECT DISTINCT job, format, meter, hour / 24 FROM register WHERE changed = 1",
	[ST_REGISTER_DAY] = "SELECT hour, value FROM register WHERE job = ?1 AND format = ?2 AND meter = ?3"
			    " AND hour BETWEEN ?4 * 24 AND ?4 * 24 + 23",
	[ST_REGISTER_CLEAR] = "UPDATE register SET changed = 0 WHERE changed = 1",
	[ST_REGISTER_CLEAR_DAY] =
		"UPDATE register SET changed = 0 WHERE changed = 1 AND job = ?1 AND format = ?2"
		" AND meter = ?3 AND hour BETWEEN ?4 * 24 AND ?4 * 24 + 23",
	[ST_PUBLISHED_PUT] = "INSERT OR REPLACE INTO published VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_PUBLISHED_GET] =
		"SELECT value FROM published WHERE job = ?1 AND format = ?2 AND meter = ?3 AND day = ?4",
	[ST_JOB_GET] = "SELECT job, path FROM job WHERE boot = ?1 AND cgroup = ?2",
	[ST_JOB_PUT] = "INSERT INTO job VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_JOB_PATH] = "UPDATE job SET path = ?2 WHERE job = ?1",
	[ST_SHAPE_PUT] =
		"INSERT INTO shape VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)"
		" ON CONFLICT DO UPDATE SET calls = excluded.calls, last = excluded.last"
		" WHERE excluded.calls > calls",
	[ST_LAUNCH_PUT] = "INSERT INTO launch VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
			  " ON CONFLICT DO UPDATE SET calls = excluded.calls, last = excluded.last"
			  " WHERE excluded.calls > calls",
	[ST_KERNEL_NAME_PUT] = "INSERT OR IGNORE INTO kernel_name VALUES(?1, ?2, ?3)",
	[ST_COLLECTIVE_PUT] =
		"INSERT INTO collective VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)"
		" ON CONFLICT DO UPDATE SET calls = excluded.calls, bytes = excluded.bytes,"
		" last = excluded.last WHERE excluded.calls > calls",
	[ST_COLLECTIVE_LOSS_PUT] =
		"INSERT INTO collective_loss VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
		" ON CONFLICT DO UPDATE SET count = excluded.count WHERE excluded.count > count",
	[ST_COMMUNICATOR_PUT] =
		"INSERT OR IGNORE INTO communicator"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
	[ST_PHASE_HOUR_PUT] =
		"INSERT OR REPLACE INTO phase_hour VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	[ST_ORDER_PUT] = "INSERT OR REPLACE INTO order_window VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[ST_ORDER_OF] = "SELECT job, map, tgid, start, window, count, steps FROM order_window WHERE job = ?1 "
			"AND map = ?2 AND tgid = ?3 AND start = ?4 ORDER BY at, window",
	[ST_ORDER_TRIM_PROCESS] = "DELETE FROM order_window WHERE job = ?1 AND map = ?2 AND tgid = ?3 AND "
				  "start = ?4 AND (at, window) IN"
				  " (SELECT at, window FROM order_window WHERE job = ?1 AND map = ?2 AND "
				  "tgid = ?3 AND start = ?4"
				  " ORDER BY at DESC, window DESC LIMIT -1 OFFSET ?5)",
	[ST_ORDER_TRIM_JOB] = "DELETE FROM order_window WHERE job = ?1 AND (map, tgid, start, window) IN"
			      " (SELECT map, tgid, start, window FROM order_window WHERE job = ?1 ORDER BY "
			      "at DESC LIMIT -1 OFFSET ?5)",
	[ST_ORDER_TRIM_NODE] = "DELETE FROM order_window WHERE (job, map, tgid, start, window) IN"
			       " (SELECT job, map, tgid, start, window FROM order_window ORDER BY at DESC "
			       "LIMIT -1 OFFSET ?5)",
	[ST_ENTRY_UNIQUE] = "SELECT idx FROM entry WHERE uniq = ?1",
	[ST_ENTRY_PUT] = "INSERT INTO entry VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
	[ST_FRONTIER_PUT] = "INSERT OR REPLACE INTO frontier VALUES(?1, ?2)",
	[ST_WAITING_PUT] = "INSERT OR REPLACE INTO waiting SELECT id, ?1, ?2, ?3, ?4, ?5 FROM exporter",
	[ST_WAITING_DELETE] =
		"DELETE FROM waiting WHERE exporter = ?1 AND job = ?2 AND format = ?3 AND meter = ?4"
		" AND day = ?5 AND sequence <= ?6",
	[ST_WAITING_EACH] =
		"SELECT w.sequence, p.value FROM waiting w JOIN published p USING(job, format, meter, day)"
		" WHERE w.exporter = ?1 AND w.sequence > ?2 ORDER BY w.sequence LIMIT ?3",
	[ST_WAITING_COUNT] = "SELECT COUNT(*) FROM waiting WHERE exporter = ?1",
	[ST_PENDING_PUT] = "INSERT INTO pending SELECT id, ?1 FROM exporter",
	[ST_PENDING_DELETE] = "DELETE FROM pending WHERE exporter = ?1 AND idx = ?2",
	[ST_PENDING_EACH] =
		"SELECT e.idx, e.kind, e.time, e.payload FROM pending p JOIN entry e USING(idx)"
		" WHERE p.exporter = ?1 AND p.idx > ?2 AND e.payload IS NOT NULL ORDER BY p.idx LIMIT ?3",
	[ST_PENDING_COUNT] = "SELECT COUNT(*) FROM pending WHERE exporter = ?1",
};

sqlite3_stmt *ledger_stmt(struct om_ledger *l, enum ledger_stmt which)
{
	sqlite3_stmt *s = l->stmt[which];

	if (!s && sqlite3_prepare_v3(l->db, statement_text[which], -1, SQLITE_PREPARE_PERSISTENT,
				     &l->stmt[which], NULL))
		return NULL;
	s = l->stmt[which];
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return s;
}

int ledger_run(struct om_ledger *l, sqlite3_stmt *s)
{
	int r, rc;

	if (!s)
		return ledger_errno(l);
	r = sqlite3_step(s);
	rc = r == SQLITE_DONE || r == SQLITE_ROW ? 0 : ledger_errno(l);
	sqlite3_reset(s);
	return rc;
}

int ledger_begin(struct om_ledger *l)
{
	if (l->read_only)
		return -EROFS;
	return ledger_run(l, ledger_stmt(l, ST_BEGIN));
}

int ledger_end(struct om_ledger *l, int rc)
{
	if (rc == 0)
		rc = ledger_run(l, ledger_stmt(l, ST_COMMIT));
	if (rc) {
		/* After some errors SQLite has rolled back by itself. */
		if (!sqlite3_get_autocommit(l->db))
			ledger_run(l, ledger_stmt(l, ST_ROLLBACK));
		ledger_reload_tree(l);
	}
	return rc;
}

int ledger_meta_put(struct om_ledger *l, const char *key, const void *value, size_t len)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_META_PUT);

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, value, (int)len, SQLITE_STATIC);
	return ledger_run(l, s);
}

int ledger_meta_get(struct om_ledger *l, const char *key, void *value, size_t len)
{
	sqlite3_stmt *s = ledger_stmt(l, ST_META_GET);
	int r;

	if (!s)
		return ledger_errno(l);
	sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		r = sqlite3_column_bytes(s, 0) == (int)len ? 0 : -EUCLEAN;
		if (r == 0)
			memcpy(value, sqlite3_column_blob(s, 0), len);
	} else {
		r = r == SQLITE_DONE ? -ENOENT : ledger_errno(l);
	}
	sqlite3_reset(s);
	return r;
}

static void row_tag(const struct om_ledger *l, uint64_t scope, const uint8_t *reading,
		    uint8_t tag[LEDGER_TAG_SIZE])
{
	uint8_t full[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, l->secret, sizeof(l->secret));
	crypto_auth_hmacsha256_update(&s, (const uint8_t *)&scope, sizeof(scope));
	crypto_auth_hmacsha256_update(&s, reading, OM_READING_SIZE);
	crypto_auth_hmacsha256_final(&s, full);
	memcpy(tag, full, LEDGER_TAG_SIZE);
}

void ledger_row_encode(const struct om_ledger *l, const struct om_register_key *key, uint64_t scope,
		       const struct om_value *v, uint8_t out[LEDGER_ROW_SIZE])
{
	struct om_reading r = { .key = *key, .value = *v };

	om_reading_encode(&r, out);
	row_tag(l, scope, out, out + OM_READING_SIZE);
}

int ledger_row_decode(const struct om_ledger *l, uint64_t scope, const void *blob, int len,
		      struct om_register_key *ret_key, struct om_value *ret)
{
	uint8_t tag[LEDGER_TAG_SIZE];
	struct om_reading r;

	if (len != LEDGER_ROW_SIZE)
		return -EUCLEAN;
	row_tag(l, scope, blob, tag);
	if (memcmp(tag, (const uint8_t *)blob + OM_READING_SIZE, LEDGER_TAG_SIZE) ||
	    om_reading_decode(blob, OM_READING_SIZE, &r))
		return -EUCLEAN;
	if (ret_key)
		*ret_key = r.key;
	*ret = r.value;
	return 0;
}

/* Id and beginning are in every key and reading: a flipped bit there must be found too. */
static void identity_tag(const struct om_ledger *l, uint8_t tag[LEDGER_TAG_SIZE])
{
	static const char purpose[] = "opmeter ledger identity v1";
	uint8_t full[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, l->secret, sizeof(l->secret));
	crypto_auth_hmacsha256_update(&s, (const uint8_t *)purpose, sizeof(purpose));
	crypto_auth_hmacsha256_update(&s, l->id.byte, sizeof(l->id.byte));
	crypto_auth_hmacsha256_update(&s, (const uint8_t *)&l->start_ns, sizeof(l->start_ns));
	crypto_auth_hmacsha256_final(&s, full);
	memcpy(tag, full, LEDGER_TAG_SIZE);
}

/* Where the file was made: a copy stands elsewhere. */
struct origin {
	uint64_t device, inode;
	char machine[32];
};

static int read_origin(const char *db_path, struct origin *ret)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (stat(db_path, &st))
		return -errno;
	ret->device = st.st_dev;
	ret->inode = st.st_ino;
	fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, ret->machine, sizeof(ret->machine)) < 0)
		memset(ret->machine, 0, sizeof(ret->machine));
	return 0;
}

static int pragmas(struct om_ledger *l)
{
	static const char text[] =
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF;"
		"PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
		"PRAGMA journal_size_limit=8388608; PRAGMA secure_delete=ON";

	sqlite3_busy_timeout(l->db, 5000);
	sqlite3_extended_result_codes(l->db, 1);
	if (sqlite3_exec(l->db, l->read_only ? "PRAGMA query_only=ON" : text, NULL, NULL, NULL))
		return ledger_errno(l);
	return 0;
}

static int create(struct om_ledger *l, const char *db_path, bool baseline, uint64_t now_ns)
{
	const uint8_t expects = baseline;
	uint32_t version = SCHEMA_VERSION;
	uint8_t tag[LEDGER_TAG_SIZE];
	struct origin origin;
	int r;

	randombytes_buf(&l->id, sizeof(l->id));
	randombytes_buf(l->secret, sizeof(l->secret));
	l->start_ns = now_ns;
	identity_tag(l, tag);
	r = read_origin(db_path, &origin);
	if (r)
		return r;
	r = ledger_begin(l);
	if (r)
		return r;
	if (sqlite3_exec(l->db, schema, NULL, NULL, NULL))
		r = ledger_errno(l);
	r = r ?: ledger_meta_put(l, "version", &version, sizeof(version));
	r = r ?: ledger_meta_put(l, "id", &l->id, sizeof(l->id));
	r = r ?: ledger_meta_put(l, "secret", l->secret, sizeof(l->secret));
	r = r ?: ledger_meta_put(l, "tag", tag, sizeof(tag));
	r = r ?: ledger_meta_put(l, "start", &l->start_ns, sizeof(l->start_ns));
	r = r ?: ledger_meta_put(l, "origin", &origin, sizeof(origin));
	r = r ?: ledger_meta_put(l, "sequence", &l->sequence, sizeof(l->sequence));
	r = r ?: ledger_meta_put(l, "baseline", &expects, sizeof(expects));
	l->baseline = baseline;
	return ledger_end(l, r);
}

/* Structure of the file, then everything that is kept about the whole. */
static int load(struct om_ledger *l, bool check)
{
	uint8_t baseline = 0, tag[LEDGER_TAG_SIZE], want[LEDGER_TAG_SIZE];
	uint32_t version = 0;
	sqlite3_stmt *s = NULL;
	int r;

	if (check) {
		if (sqlite3_prepare_v2(l->db, "PRAGMA quick_check(1)", -1, &s, NULL))
			return ledger_errno(l);
		r = sqlite3_step(s) == SQLITE_ROW && !strcmp((const char *)sqlite3_column_text(s, 0), "ok");
		sqlite3_finalize(s);
		if (!r)
			return -EUCLEAN;
	}
	r = ledger_meta_get(l, "version", &version, sizeof(version));
	if (r == 0 && version != SCHEMA_VERSION)
		return -EPROTONOSUPPORT;
	r = r ?: ledger_meta_get(l, "id", &l->id, sizeof(l->id));
	r = r ?: ledger_meta_get(l, "secret", l->secret, sizeof(l->secret));
	r = r ?: ledger_meta_get(l, "start", &l->start_ns, sizeof(l->start_ns));
	r = r ?: ledger_meta_get(l, "sequence", &l->sequence, sizeof(l->sequence));
	r = r ?: ledger_meta_get(l, "tag", tag, sizeof(tag));
	if (r)
		return r == -ENOENT ? -EUCLEAN : r;
	identity_tag(l, want);
	if (memcmp(tag, want, sizeof(tag)))
		return -EUCLEAN;
	if (ledger_meta_get(l, "baseline", &baseline, sizeof(baseline)) == 0)
		l->baseline = baseline;
	return ledger_load_tree(l);
}

static int look_at(void *ctx, const struct om_register_key *key, uint64_t hour, const struct om_value *v)
{
	return 0;
}

static bool is_copy(struct om_ledger *l, const char *db_path)
{
	struct origin made, now;

	if (ledger_meta_get(l, "origin", &made, sizeof(made)) || read_origin(db_path, &now))
		return true;
	return memcmp(&made, &now, sizeof(made)) != 0;
}

static void close_db(struct om_ledger *l)
{
	for (int i = 0; i < ST_END; i++) {
		sqlite3_finalize(l->stmt[i]);
		l->stmt[i] = NULL;
	}
	sqlite3_close(l->db);
	l->db = NULL;
}

struct om_ledger *om_ledger_free(struct om_ledger *l)
{
	if (!l)
		return NULL;
	close_db(l);
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	free(l);
	return NULL;
}

static int open_db(struct om_ledger *l, const char *path)
{
	int flags = l->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

	if (sqlite3_open_v2(path, &l->db, flags | SQLITE_OPEN_NOMUTEX, NULL))
		return ledger_errno(l) ?: -EIO;
	return pragmas(l);
}

/* Moves the file and its journal aside, whole, for a person to look at. */
static int quarantine(const char *dir, const char *why, uint64_t now_ns, struct error_text *err)
{
	static const char *const files[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm" };
	char to_dir[4096], from[4096 + 32], to[4096 + 64];

	snprintf(to_dir, sizeof(to_dir), "%s/%s-%llu", dir, why, (unsigned long long)now_ns);
	if (mkdir(to_dir, 0700))
		return error_set(err, -errno, "%s: cannot set the %s ledger aside: %m", to_dir, why);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(from, sizeof(from), "%s/%s", dir, files[i]);
		snprintf(to, sizeof(to), "%s/%s", to_dir, files[i]);
		if (rename(from, to) && errno != ENOENT)
			return error_set(err, -errno, "%s: cannot set the %s ledger aside: %m", from, why);
	}
	return 0;
}

static int take_lock(struct om_ledger *l, const char *dir, struct error_text *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/ledger.lock", dir);
	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->lock_fd < 0)
		return error_set(err, -errno, "%s: cannot be opened: %m", path);
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB))
		return error_set(err, -EWOULDBLOCK,
				 "%s: another opmeter writes this ledger; end it first, or use another --dir",
				 path);
	return 0;
}

/* The writer's way in: an intact ledger of this place, or a new one. */
static int open_writer(struct om_ledger *l, const char *dir, const char *path, unsigned flags,
		       uint64_t now_ns, struct error_text *err)
{
	bool exists = access(path, F_OK) == 0;
	const char *why = NULL;
	int r;

	r = open_db(l, path);
	if (r == 0 && exists) {
		r = load(l, true);
		/* A register whose checksum is wrong must be found now, not when it is to grow. */
		r = r ?: om_ledger_each_hour(l, look_at, NULL);
		if (r == 0 && !(flags & OM_LEDGER_KEEP) && is_copy(l, path))
			why = "copied";
	}
	if (r == -EUCLEAN && !(flags & OM_LEDGER_KEEP))
		why = "damaged";
	if (exists && why) {
		close_db(l);
		r = quarantine(dir, why, now_ns, err);
		if (r)
			return r;
		l->was_replaced = true;
		exists = false;
		r = open_db(l, path);
	}
	if (r == 0 && !exists) {
		memset(&l->tree, 0, sizeof(l->tree));
		l->sequence = 0;
		r = create(l, path, l->was_replaced || (flags & OM_LEDGER_EXPECT_BASELINE), now_ns);
	}
	r = r ?: ledger_make_kernel_tables(l);
	r = r ?: ledger_make_collective_tables(l);
	r = r ?: ledger_make_phase_tables(l);
	r = r ?: ledger_make_order_tables(l);
	if (r == -EPROTONOSUPPORT)
		return error_set(err, r, "%s: written by a later version of opmeter; use that one", path);
	if (r)
		return error_set(err, r, "%s: cannot be opened: %s", path,
				 l->db ? sqlite3_errmsg(l->db) : strerror(-r));
	return 0;
}

static int open_reader(struct om_ledger *l, const char *path, struct error_text *err)
{
	int r;

	if (access(path, F_OK))
		return error_set(err, -errno,
				 "%s: %m: no ledger was begun here, or --dir names another place", path);
	r = open_db(l, path);
	r = r ?: load(l, false);
	if (r == -EUCLEAN)
		return error_set(err, r, "%s: damaged: %s", path, sqlite3_errmsg(l->db));
	if (r)
		return error_set(err, r, "%s: cannot be read: %s", path, sqlite3_errmsg(l->db));
	return 0;
}

int om_ledger_open(const char *dir, unsigned flags, uint64_t now_ns, struct om_ledger **ret,
		   struct error_text *err)
{
	_cleanup_ledger_ struct om_ledger *l = NULL;
	char path[4096];
	int r;

	if (sodium_init() < 0)
		return error_set(err, -EIO, "libsodium cannot be initialised");
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->lock_fd = -1;
	l->read_only = flags & OM_LEDGER_READ_ONLY;
	snprintf(path, sizeof(path), "%s/ledger.db", dir);
	if (l->read_only) {
		r = open_reader(l, path, err);
	} else {
		if (!(flags & OM_LEDGER_CREATE) && access(path, F_OK))
			return error_set(err, -errno, "%s: %m", path);
		if (mkdir(dir, 0700) && errno != EEXIST)
			return error_set(err, -errno, "%s: cannot be made: %m", dir);
		r = take_lock(l, dir, err);
		r = r ?: open_writer(l, dir, path, flags, now_ns, err);
	}
	if (r)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

const struct om_id *om_ledger_id(const struct om_ledger *l)
{
	return &l->id;
}

uint64_t om_ledger_start_ns(const struct om_ledger *l)
{
	return l->start_ns;
}

bool om_ledger_was_replaced(const struct om_ledger *l)
{
	return l->was_replaced;
}

int om_ledger_clear_baseline(struct om_ledger *l)
{
	const uint8_t no = 0;
	int r;

	if (!l->baseline)
		return 0;
	r = ledger_begin(l);
	if (r)
		return r;
	r = ledger_end(l, ledger_meta_put(l, "baseline", &no, sizeof(no)));
	if (r == 0)
		l->baseline = false;
	return r;
}
