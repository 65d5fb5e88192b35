// SPDX-License-Identifier: Apache-2.0
#include "owner_store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x4f504f57 /* "OPOW" */

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO meta VALUES('changed', 1), ('screened', 0);"
	"CREATE TABLE source(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
	"CREATE TABLE import(no INTEGER PRIMARY KEY, source INTEGER NOT NULL, format TEXT NOT NULL, file "
	"TEXT NOT NULL,"
	" sha256 TEXT NOT NULL, as_of INTEGER NOT NULL, complete INTEGER NOT NULL, at INTEGER NOT NULL, by "
	"TEXT NOT NULL,"
	" rows INTEGER NOT NULL, taken INTEGER NOT NULL, confirmed INTEGER NOT NULL, lost INTEGER NOT NULL,"
	" ended INTEGER NOT NULL);"
#define TOLD                                                                                                 \
	" source INTEGER NOT NULL, since INTEGER NOT NULL, import INTEGER NOT NULL, line INTEGER NOT NULL,"  \
	" seen INTEGER NOT NULL, until INTEGER, touched INTEGER NOT NULL,"
	"CREATE TABLE record(entity TEXT NOT NULL, name TEXT NOT NULL, headquarters TEXT NOT NULL, "
	"jurisdiction TEXT NOT NULL,"
	" category TEXT NOT NULL, status TEXT NOT NULL, registration TEXT NOT NULL, authority TEXT NOT NULL,"
	" number TEXT NOT NULL, no_parent INTEGER NOT NULL," TOLD
	" PRIMARY KEY(entity, source, since)) WITHOUT ROWID;"
	"CREATE TABLE edge(entity TEXT NOT NULL, tie INTEGER NOT NULL, parent TEXT NOT NULL, begins INTEGER "
	"NOT NULL,"
	" ends INTEGER NOT NULL, share INTEGER, rounded INTEGER NOT NULL, active INTEGER NOT NULL,"
	" registration TEXT NOT NULL," TOLD
	" PRIMARY KEY(entity, tie, parent, begins, source, since)) WITHOUT ROWID;"
	"CREATE TABLE exception(entity TEXT NOT NULL, ultimate INTEGER NOT NULL, reason TEXT NOT NULL,"
	" reference TEXT NOT NULL," TOLD " PRIMARY KEY(entity, ultimate, source, since)) WITHOUT ROWID;"
	"CREATE TABLE listing(list TEXT NOT NULL, entity TEXT NOT NULL, list_name TEXT NOT NULL, name TEXT "
	"NOT NULL,"
	" alt_names TEXT NOT NULL, type TEXT NOT NULL, countries TEXT NOT NULL, ids TEXT NOT NULL, programs "
	"TEXT NOT NULL,"
	" url TEXT NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL," TOLD
	" PRIMARY KEY(list, entity, source, since)) WITHOUT ROWID;"
	"CREATE TABLE binding(no INTEGER PRIMARY KEY, tenant TEXT NOT NULL, entity TEXT NOT NULL, how TEXT "
	"NOT NULL,"
	" begins INTEGER NOT NULL, ends INTEGER NOT NULL, by TEXT NOT NULL, because TEXT NOT NULL, at "
	"INTEGER NOT NULL);"
	"CREATE TABLE hit(id TEXT PRIMARY KEY, entity TEXT NOT NULL, list TEXT NOT NULL, entry TEXT NOT NULL,"
	" source INTEGER NOT NULL, listed_name TEXT NOT NULL, own_name TEXT NOT NULL, score INTEGER NOT NULL,"
	" by_id INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE word(no INTEGER PRIMARY KEY, hit TEXT NOT NULL, word TEXT NOT NULL, by TEXT NOT NULL,"
	" because TEXT NOT NULL, at INTEGER NOT NULL);";

int owner_store_errno(struct owner_store *s)
{
	switch (sqlite3_errcode(s->db) & 0xff) {
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
	}
	return -EIO;
}

int owner_store_exec(struct owner_store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? owner_store_errno(s) ?: -EIO : 0;
}

sqlite3_stmt *owner_store_prepare(struct owner_store *s, const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	return sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) ? NULL : stmt;
}

int owner_store_run(struct owner_store *s, sqlite3_stmt *stmt)
{
	int r = sqlite3_step(stmt);
	int rc = r == SQLITE_DONE || r == SQLITE_ROW ? 0 : owner_store_errno(s) ?: -EIO;

	sqlite3_reset(stmt);
	return rc;
}

const char *owner_store_text(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column) ?: "";
}

int owner_store_changed(struct owner_store *s)
{
	return owner_store_exec(s, "UPDATE meta SET value = value + 1 WHERE key = 'changed'");
}

static int64_t number_of(struct owner_store *s, const char *sql)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = owner_store_prepare(s, sql);

	return stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : owner_store_errno(s) ?: -EIO;
}

static int make_schema(struct owner_store *s)
{
	char sql[128];
	int r = owner_store_exec(s, "BEGIN IMMEDIATE");

	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
		 SCHEMA_VERSION);
	r = r ?: owner_store_exec(s, schema);
	r = r ?: owner_store_exec(s, sql);
	return r ?: owner_store_exec(s, "COMMIT");
}

static int check_schema(struct owner_store *s, const char *path, int flags, struct error_text *err)
{
	int64_t id = number_of(s, "PRAGMA application_id"), version = number_of(s, "PRAGMA user_version");
	int64_t tables = number_of(s, "SELECT COUNT(*) FROM sqlite_master");

	if (id < 0 || version < 0 || tables < 0)
		return error_set(err,
				 (int)(tables < 0 ? tables
				       : id < 0	  ? id
						  : version),
				 "%s: no owners database: %s", path, sqlite3_errmsg(s->db));
	if (tables == 0 && id == 0 && flags & OWNER_STORE_CREATE)
		return make_schema(s);
	if (id != APPLICATION_ID)
		return error_set(err, -EUCLEAN, "%s: a database, but none of owners", path);
	if (version != SCHEMA_VERSION)
		return error_set(err, -EPROTONOSUPPORT, "%s: schema version %lld, and this program knows %d",
				 path, (long long)version, SCHEMA_VERSION);
	return 0;
}

int owner_store_open(const char *path, int flags, struct owner_store **ret, struct error_text *err)
{
	_cleanup_(owner_store_freep) struct owner_store *s = calloc(1, sizeof(*s));
	int open_flags = flags & OWNER_STORE_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, r;

	if (!s)
		return -ENOMEM;
	if (flags & OWNER_STORE_CREATE)
		open_flags |= SQLITE_OPEN_CREATE;
	s->read_only = flags & OWNER_STORE_READ_ONLY;
	if (sqlite3_open_v2(path, &s->db, open_flags, NULL))
		return error_set(err, s->db ? owner_store_errno(s) : -ENOMEM, "%s: cannot be opened: %s",
				 path, s->db ? sqlite3_errmsg(s->db) : "out of memory");
	sqlite3_busy_timeout(s->db, flags & OWNER_STORE_NO_WAIT ? 0 : 5000);
	/* 64 MiB of pages; what a large import changes beyond them is written early. */
	r = owner_store_exec(
		s, "PRAGMA cache_size = -65536; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
		   "PRAGMA cell_size_check = ON; PRAGMA foreign_keys = OFF");
	if (r)
		return error_set(err, r, "%s: no owners database: %s", path, sqlite3_errmsg(s->db));
	r = check_schema(s, path, flags, err);
	if (r)
		return error_set(err, r, "%s: %s", path, sqlite3_errmsg(s->db));
	*ret = TAKE_PTR(s);
	return 0;
}

static void import_done(struct owner_store *s)
{
	sqlite3_finalize(s->find);
	sqlite3_finalize(s->insert);
	sqlite3_finalize(s->confirm);
	s->find = s->insert = s->confirm = NULL;
	s->in_import = false;
}

struct owner_store *owner_store_free(struct owner_store *s)
{
	if (!s)
		return NULL;
	import_done(s);
	sqlite3_close(s->db); /* rolls back */
	free(s);
	return NULL;
}

/* --- importing: four tables, one way --- */

#define VALUES_MAX 12
static const struct table {
	const char *name, *keys[4], *values[VALUES_MAX];
} tables[TABLE_END] = {
	[TABLE_RECORD] = { "record",
			   { "entity" },
			   { "name", "headquarters", "jurisdiction", "category", "status", "registration",
			     "authority", "number", "no_parent" } },
	[TABLE_EDGE] = { "edge",
			 { "entity", "tie", "parent", "begins" },
			 { "ends", "share", "rounded", "active", "registration" } },
	[TABLE_EXCEPTION] = { "exception", { "entity", "ultimate" }, { "reason", "reference" } },
	[TABLE_LISTING] = { "listing",
			    { "list", "entity" },
			    { "list_name", "name", "alt_names", "type", "countries", "ids", "programs", "url",
			      "begins", "ends" } },
};

struct cell {
	const char *text; /* NULL: a number */
	int64_t number;
	bool is_null;
};

#define TEXT(s) ((struct cell){ .text = (s) ?: "" })
#define NUMBER(n) ((struct cell){ .number = (n) })

struct row {
	struct cell keys[4], values[VALUES_MAX];
};

static void make_row(enum owner_table table, const struct owner_fact *f, struct row *r)
{
	switch (table) {
	case TABLE_RECORD:
		*r = (struct row){ { TEXT(f->entity) },
				   { TEXT(f->name), TEXT(f->headquarters), TEXT(f->jurisdiction),
				     TEXT(f->category), TEXT(f->status), TEXT(f->registration),
				     TEXT(f->authority), TEXT(f->number), NUMBER(f->no_parent) } };
		break;
	case TABLE_EDGE:
		*r = (struct row){ { TEXT(f->entity), NUMBER(f->tie), TEXT(f->parent), NUMBER(f->from) },
				   { NUMBER(f->to),
				     { .number = f->share_ppb, .is_null = !f->has_share },
				     NUMBER(f->is_rounded),
				     NUMBER(f->is_active),
				     TEXT(f->registration) } };
		break;
	case TABLE_EXCEPTION:
		*r = (struct row){ { TEXT(f->entity), NUMBER(f->is_ultimate) },
				   { TEXT(f->reason), TEXT(f->reference) } };
		break;
	default:
		*r = (struct row){ { TEXT(f->list), TEXT(f->entity) },
				   { TEXT(f->list_name), TEXT(f->name), TEXT(f->alt_names), TEXT(f->type),
				     TEXT(f->countries), TEXT(f->ids), TEXT(f->programs), TEXT(f->url),
				     NUMBER(f->start), NUMBER(f->end) } };
	}
}

static void bind_cell(sqlite3_stmt *s, int at, const struct cell *c)
{
	if (c->text)
		sqlite3_bind_text(s, at, c->text, -1, SQLITE_STATIC);
	else if (c->is_null)
		sqlite3_bind_null(s, at);
	else
		sqlite3_bind_int64(s, at, c->number);
}

static int key_count(const struct table *t)
{
	int n = 0;

	while (n < 4 && t->keys[n])
		n++;
	return n;
}

static int value_count(const struct table *t)
{
	int n = 0;

	while (n < VALUES_MAX && t->values[n])
		n++;
	return n;
}

static void name_list(FILE *f, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		fprintf(f, ", %s", names[i]);
}

/* find: the versions of one thing by one source, newest first: since, touched, until, line, seen, values.
 * ?1..: keys, then source (and since, to confirm: then as-of day and import). */
static int prepare(struct owner_store *s)
{
	const struct table *t = &tables[s->table];
	int keys = key_count(t), values = value_count(t);
	char sql[3][1024];
	FILE *f = fmemopen(sql[0], sizeof(sql[0]), "w");

	if (!f)
		return -errno;
	fprintf(f, "SELECT since, touched, until, line, seen");
	name_list(f, t->values, values);
	fprintf(f, " FROM %s WHERE source = ?%d", t->name, keys + 1);
	for (int i = 0; i < keys; i++)
		fprintf(f, " AND %s = ?%d", t->keys[i], i + 1);
	fprintf(f, " ORDER BY since DESC");
	fclose(f);
	f = fmemopen(sql[1], sizeof(sql[1]), "w");
	if (!f)
		return -errno;
	fprintf(f, "INSERT INTO %s(source, since, import, line, seen, touched", t->name);
	name_list(f, t->keys, keys);
	name_list(f, t->values, values);
	fprintf(f, ") VALUES(?1, ?2, ?3, ?4, ?5, ?3");
	for (int i = 0; i < keys + values; i++)
		fprintf(f, ", ?%d", i + 6);
	fprintf(f, ")");
	fclose(f);
	f = fmemopen(sql[2], sizeof(sql[2]), "w");
	if (!f)
		return -errno;
	fprintf(f, "UPDATE %s SET seen = MAX(seen, ?%d), touched = ?%d WHERE source = ?%d AND since = ?%d",
		t->name, keys + 3, keys + 4, keys + 1, keys + 2);
	for (int i = 0; i < keys; i++)
		fprintf(f, " AND %s = ?%d", t->keys[i], i + 1);
	fclose(f);
	s->find = owner_store_prepare(s, sql[0]);
	s->insert = owner_store_prepare(s, sql[1]);
	s->confirm = owner_store_prepare(s, sql[2]);
	return s->find && s->insert && s->confirm ? 0 : owner_store_errno(s) ?: -EIO;
}

static int source_number(struct owner_store *s, const char *name)
{
	_cleanup_stmt_ sqlite3_stmt *put =
		owner_store_prepare(s, "INSERT OR IGNORE INTO source(name) VALUES(?1)");
	_cleanup_stmt_ sqlite3_stmt *get = owner_store_prepare(s, "SELECT no FROM source WHERE name = ?1");
	int r;

	if (!put || !get)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_text(put, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_text(get, 1, name, -1, SQLITE_STATIC);
	r = owner_store_run(s, put);
	if (r)
		return r;
	if (sqlite3_step(get) != SQLITE_ROW)
		return owner_store_errno(s) ?: -EIO;
	s->source_no = sqlite3_column_int64(get, 0);
	return 0;
}

static int check_order(struct owner_store *s, struct error_text *err)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(s, "SELECT MAX(as_of) FROM import WHERE source = ?1 AND format = ?2");

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_int64(q, 1, s->source_no);
	sqlite3_bind_text(q, 2, owner_format_name(s->import->format), -1, SQLITE_STATIC);
	if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL &&
	    sqlite3_column_int64(q, 0) > s->import->as_of_day)
		return error_set(
			err, -EEXIST,
			"%s: a complete file that is older than the last one of source '%s' can end nothing: "
			"import it as partial",
			s->import->file, s->import->source);
	return 0;
}

static enum owner_table table_of(enum owner_format f)
{
	switch (f) {
	case OWNER_FORMAT_LEI:
	case OWNER_FORMAT_ENTITIES:
		return TABLE_RECORD;
	case OWNER_FORMAT_RR:
	case OWNER_FORMAT_HOLDINGS:
		return TABLE_EDGE;
	case OWNER_FORMAT_REPEX:
		return TABLE_EXCEPTION;
	default:
		return TABLE_LISTING;
	}
}

int owner_store_begin(struct owner_store *s, struct owner_import *i, struct error_text *err)
{
	int64_t last;
	int r = owner_store_exec(s, "BEGIN IMMEDIATE");

	if (r)
		return r;
	s->in_import = true;
	s->import = i;
	s->table = table_of(i->format);
	r = source_number(s, i->source);
	if (r == 0 && i->is_complete)
		r = check_order(s, err);
	last = r ? r : number_of(s, "SELECT COALESCE(MAX(no), 0) FROM import");
	s->import_no = last + 1;
	r = last < 0 ? (int)last : prepare(s);
	if (r)
		owner_store_rollback(s);
	return r;
}

static bool is_same(sqlite3_stmt *found, const struct row *r, int values)
{
	for (int i = 0; i < values; i++) {
		const struct cell *c = &r->values[i];

		if (c->text	 ? strcmp(owner_store_text(found, 5 + i), c->text) != 0
		    : c->is_null ? sqlite3_column_type(found, 5 + i) != SQLITE_NULL
				 : sqlite3_column_type(found, 5 + i) == SQLITE_NULL ||
					   sqlite3_column_int64(found, 5 + i) != c->number)
			return false;
	}
	return true;
}

static int confirm(struct owner_store *s, const struct row *r, int keys, int64_t since)
{
	for (int i = 0; i < keys; i++)
		bind_cell(s->confirm, i + 1, &r->keys[i]);
	sqlite3_bind_int64(s->confirm, keys + 1, s->source_no);
	sqlite3_bind_int64(s->confirm, keys + 2, since);
	sqlite3_bind_int64(s->confirm, keys + 3, s->import->as_of_day);
	sqlite3_bind_int64(s->confirm, keys + 4, s->import_no);
	return owner_store_run(s, s->confirm) ?: OWNER_PUT_CONFIRMED;
}

static int insert(struct owner_store *s, const struct row *r, int64_t since, uint64_t line)
{
	const struct table *t = &tables[s->table];
	int keys = key_count(t), values = value_count(t);

	sqlite3_bind_int64(s->insert, 1, s->source_no);
	sqlite3_bind_int64(s->insert, 2, since);
	sqlite3_bind_int64(s->insert, 3, s->import_no);
	sqlite3_bind_int64(s->insert, 4, (int64_t)line);
	sqlite3_bind_int64(s->insert, 5, s->import->as_of_day);
	for (int i = 0; i < keys; i++)
		bind_cell(s->insert, 6 + i, &r->keys[i]);
	for (int i = 0; i < values; i++)
		bind_cell(s->insert, 6 + keys + i, &r->values[i]);
	return owner_store_run(s, s->insert);
}

/* What is there already, newest first, decides. *since moves where a day is taken. */
static int compare(struct owner_store *s, const struct row *r, int64_t *since, uint64_t *ret_line)
{
	const struct table *t = &tables[s->table];
	int keys = key_count(t), values = value_count(t), rc;

	while ((rc = sqlite3_step(s->find)) == SQLITE_ROW) {
		int64_t at = sqlite3_column_int64(s->find, 0);
		bool is_newer, ended = sqlite3_column_type(s->find, 2) != SQLITE_NULL,
			       same = is_same(s->find, r, values);

		*ret_line = (uint64_t)sqlite3_column_int64(s->find, 3);
		if (sqlite3_column_int64(s->find, 1) == s->import_no)
			return same ? OWNER_PUT_DUPLICATE : OWNER_PUT_CONFLICT;
		is_newer = s->import->as_of_day >= sqlite3_column_int64(s->find, 4);
		if (same && !ended && (at <= *since || is_newer)) {
			sqlite3_reset(s->find);
			return confirm(s, r, keys, at);
		}
		if (at > *since && !is_newer)
			continue; /* an older file after a newer one */
		if (ended && sqlite3_column_int64(s->find, 2) > *since)
			*since = sqlite3_column_int64(s->find, 2);
		/* Other facts under the same date, or an earlier one: they are known since this file. */
		if (at >= *since)
			*since = s->import->as_of_day;
		return at >= *since ? OWNER_PUT_CONFLICT : OWNER_PUT_NEW;
	}
	return rc == SQLITE_DONE ? OWNER_PUT_NEW : owner_store_errno(s) ?: -EIO;
}

int owner_store_put(struct owner_store *s, const struct owner_fact *f, uint64_t line, uint64_t *ret_line)
{
	int keys = key_count(&tables[s->table]), r;
	int64_t since = f->since;
	struct row row;

	make_row(s->table, f, &row);
	for (int i = 0; i < keys; i++)
		bind_cell(s->find, i + 1, &row.keys[i]);
	sqlite3_bind_int64(s->find, keys + 1, s->source_no);
	r = compare(s, &row, &since, ret_line);
	sqlite3_reset(s->find);
	return r == OWNER_PUT_NEW ? insert(s, &row, since, line) : r;
}

static int end_the_rest(struct owner_store *s)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	char sql[128];
	int r;

	snprintf(sql, sizeof(sql),
		 "UPDATE %s SET until = ?1 WHERE source = ?2 AND until IS NULL AND touched <> ?3",
		 tables[s->table].name);
	stmt = owner_store_prepare(s, sql);
	if (!stmt)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_int64(stmt, 1, s->import->as_of_day);
	sqlite3_bind_int64(stmt, 2, s->source_no);
	sqlite3_bind_int64(stmt, 3, s->import_no);
	r = owner_store_run(s, stmt);
	s->import->ended = (uint64_t)sqlite3_changes64(s->db);
	return r;
}

static int put_import(struct owner_store *s, uint64_t lost)
{
	_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(
		s, "INSERT INTO import VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)");
	const struct owner_import *i = s->import;

	if (!q)
		return owner_store_errno(s) ?: -EIO;
	sqlite3_bind_int64(q, 1, s->import_no);
	sqlite3_bind_int64(q, 2, s->source_no);
	sqlite3_bind_text(q, 3, owner_format_name(i->format), -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 4, i->file, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 5, i->digest, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 6, i->as_of_day);
	sqlite3_bind_int64(q, 7, i->is_complete);
	sqlite3_bind_int64(q, 8, (int64_t)i->at_s);
	sqlite3_bind_text(q, 9, i->by, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 10, (int64_t)i->rows);
	sqlite3_bind_int64(q, 11, (int64_t)i->taken);
	sqlite3_bind_int64(q, 12, (int64_t)i->confirmed);
	sqlite3_bind_int64(q, 13, (int64_t)lost);
	sqlite3_bind_int64(q, 14, (int64_t)i->ended);
	return owner_store_run(s, q);
}

int owner_store_commit(struct owner_store *s)
{
	uint64_t lost = 0;
	int r = 0;

	for (enum owner_reject_kind k = 0; k < OWNER_REJECT_END; k++)
		lost += owner_reject_is_loss(k) ? s->import->rejected[k] : 0;
	/* A row that was lost may be the one that still tells it. */
	if (s->import->is_complete && lost == 0)
		r = end_the_rest(s);
	r = r ?: put_import(s, lost);
	r = r ?: owner_store_changed(s);
	r = r ?: owner_store_exec(s, "COMMIT");
	if (r)
		owner_store_rollback(s);
	import_done(s);
	return r;
}

int owner_store_rollback(struct owner_store *s)
{
	import_done(s);
	return sqlite3_get_autocommit(s->db) ? 0 : owner_store_exec(s, "ROLLBACK");
}
