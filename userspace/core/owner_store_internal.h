/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNER_STORE_INTERNAL_H
#define OPMETER_CORE_OWNER_STORE_INTERNAL_H

/* What the owners database's own files share; nobody else includes it. */

#include <sqlite3.h>

#include "owner_store.h"
#include "ownership_internal.h"

enum owner_table { TABLE_RECORD, TABLE_EDGE, TABLE_EXCEPTION, TABLE_LISTING, TABLE_END };

struct owner_store {
	sqlite3 *db;
	bool read_only, in_import;
	struct owner_import *import;
	enum owner_table table;
	int64_t import_no, source_no;
	sqlite3_stmt *find, *insert, *confirm; /* of the import's table */
};

int owner_store_errno(struct owner_store *s);
int owner_store_exec(struct owner_store *s, const char *sql);
/* NULL: see owner_store_errno(). */
sqlite3_stmt *owner_store_prepare(struct owner_store *s, const char *sql);
static inline void stmt_donep(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}
#define _cleanup_stmt_ _cleanup_(stmt_donep)
/* Runs a statement that returns no rows, and resets it. */
int owner_store_run(struct owner_store *s, sqlite3_stmt *stmt);
const char *owner_store_text(sqlite3_stmt *stmt, int column); /* "" for NULL */
/* Facts changed: hits must be looked for again. */
int owner_store_changed(struct owner_store *s);

#endif
