// SPDX-License-Identifier: Apache-2.0
/*
 * From the database into memory: the bound entities and all that stand above
 * them, with every version of every fact. A million entities in the file cost
 * nothing here.
 */
#include "owner_store_internal.h"

#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"

#define ENTITIES_MAX 200000 /* above the tenants of one site: more is a damaged file */

struct loading {
	struct owner_store *s;
	struct owners *o;
	sqlite3_stmt *records, *edges, *exceptions, *hits;
};

static void loading_done(struct loading *l)
{
	sqlite3_finalize(l->records);
	sqlite3_finalize(l->edges);
	sqlite3_finalize(l->exceptions);
	sqlite3_finalize(l->hits);
	owners_free(l->o);
}

static int32_t until_of(sqlite3_stmt *q, int column)
{
	return sqlite3_column_type(q, column) == SQLITE_NULL ? INT32_MAX : sqlite3_column_int(q, column);
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

static bool is_void(const char *registration)
{
	static const char *const words[] = { "ANNULLED", "DUPLICATE", "CANCELLED", "PENDING_VALIDATION",
					     NULL };

	return is_one_of(registration, words);
}

/* Not renewed, or no longer kept up: what it says was true once. */
static bool is_lapsed(const char *registration, const char *status)
{
	static const char *const words[] = { "LAPSED", "RETIRED", "MERGED", NULL };

	return is_one_of(registration, words) || !strcmp(status, "INACTIVE");
}

static int end_of(struct owner_store *s, sqlite3_stmt *q, int step, int r)
{
	sqlite3_reset(q);
	return r ?: step == SQLITE_DONE ? 0 : owner_store_errno(s) ?: -EIO;
}

static int load_records(struct loading *l, size_t at)
{
	sqlite3_stmt *q = l->records;
	int step, r = 0;

	sqlite3_bind_text(q, 1, l->o->entities.item[at].id, -1, SQLITE_STATIC);
	while ((step = sqlite3_step(q)) == SQLITE_ROW && r == 0) {
		const char *registration = owner_store_text(q, 6);

		r = owners_add_record(l->o, at,
				      &(struct own_record){
					      .source = owner_store_text(q, 0),
					      .since = sqlite3_column_int(q, 1),
					      .as_of = sqlite3_column_int(q, 1),
					      .until = until_of(q, 2),
					      .name = owner_store_text(q, 3),
					      .headquarters = owner_store_text(q, 4),
					      .jurisdiction = owner_store_text(q, 5),
					      .registration = registration,
					      .top = sqlite3_column_int(q, 7),
					      .is_person = !strncmp(owner_store_text(q, 0), "person:", 7),
					      .lapsed = is_lapsed(registration, owner_store_text(q, 8)),
					      .is_void = is_void(registration),
				      });
	}
	return end_of(l->s, q, step, r);
}

static int load_edges(struct loading *l, size_t at)
{
	sqlite3_stmt *q = l->edges;
	int step, r = 0;

	sqlite3_bind_text(q, 1, l->o->entities.item[at].id, -1, SQLITE_STATIC);
	while ((step = sqlite3_step(q)) == SQLITE_ROW && r == 0) {
		const char *registration = owner_store_text(q, 10);
		int64_t tie = sqlite3_column_int64(q, 3), share = sqlite3_column_int64(q, 7);
		struct own_edge e = {
			.source = owner_store_text(q, 0),
			.since = sqlite3_column_int(q, 1),
			.as_of = sqlite3_column_int(q, 1),
			.until = until_of(q, 2),
			.tie = (enum owner_tie)tie,
			.from = sqlite3_column_int(q, 5),
			.to = sqlite3_column_int(q, 6),
			.has_share = sqlite3_column_type(q, 7) != SQLITE_NULL,
			.share_ppb = (uint32_t)share,
			.is_rounded = sqlite3_column_int(q, 8),
			.is_active = sqlite3_column_int(q, 9),
			.is_void = is_void(registration),
			.lapsed = !strcmp(registration, "LAPSED"),
		};

		if (tie <= OWNER_TIE_NONE || tie >= OWNER_TIE_END || share < 0 || share > 1000000000)
			r = -EUCLEAN;
		/* A retired edge has ended, with or without a date. */
		if (!strcmp(registration, "RETIRED"))
			e.is_active = false;
		r = r ?: owners_entity(l->o, owner_store_text(q, 4), &e.parent);
		r = r ?: owners_add_edge(l->o, at, &e);
	}
	return end_of(l->s, q, step, r);
}

static int load_exceptions(struct loading *l, size_t at)
{
	sqlite3_stmt *q = l->exceptions;
	int step, r = 0;

	sqlite3_bind_text(q, 1, l->o->entities.item[at].id, -1, SQLITE_STATIC);
	while ((step = sqlite3_step(q)) == SQLITE_ROW && r == 0)
		r = owners_add_exception(l->o, at,
					 &(struct own_exception){ .source = owner_store_text(q, 0),
								  .since = sqlite3_column_int(q, 1),
								  .until = until_of(q, 2),
								  .is_ultimate = sqlite3_column_int(q, 3),
								  .reason = owner_store_text(q, 4) });
	return end_of(l->s, q, step, r);
}

static int load_hits(struct loading *l, size_t at)
{
	sqlite3_stmt *q = l->hits;
	int step, r = 0;

	sqlite3_bind_text(q, 1, l->o->entities.item[at].id, -1, SQLITE_STATIC);
	while ((step = sqlite3_step(q)) == SQLITE_ROW && r == 0) {
		const char *word = owner_store_text(q, 5);
		int32_t from = sqlite3_column_int(q, 2), since = sqlite3_column_int(q, 6);

		r = owners_add_hit(l->o, at,
				   &(struct own_hit){ .list = owner_store_text(q, 0),
						      .entry = owner_store_text(q, 1),
						      .from = from != INT32_MIN ? from : since,
						      .to = until_of(q, 4) < sqlite3_column_int(q, 3)
								    ? until_of(q, 4)
								    : sqlite3_column_int(q, 3),
						      .word = !strcmp(word, "confirmed")   ? OWN_HIT_CONFIRMED
							      : !strcmp(word, "dismissed") ? OWN_HIT_DISMISSED
											   : OWN_HIT_OPEN });
	}
	return end_of(l->s, q, step, r);
}

static int load_bindings(struct loading *l)
{
	_cleanup_stmt_ sqlite3_stmt *q =
		owner_store_prepare(l->s, "SELECT tenant, entity, begins, ends, no FROM binding ORDER BY no");
	int step, r = 0;

	if (!q)
		return owner_store_errno(l->s) ?: -EIO;
	while ((step = sqlite3_step(q)) == SQLITE_ROW && r == 0) {
		struct own_binding b = { .tenant = owner_store_text(q, 0),
					 .entity = OWNER_NOWHERE,
					 .from = sqlite3_column_int(q, 2),
					 .to = sqlite3_column_int(q, 3),
					 .number = (uint64_t)sqlite3_column_int64(q, 4) };

		if (*owner_store_text(q, 1))
			r = owners_entity(l->o, owner_store_text(q, 1), &b.entity);
		r = r ?: owners_add_binding(l->o, &b);
	}
	return end_of(l->s, q, step, r);
}

static int prepare(struct loading *l)
{
	l->records = owner_store_prepare(l->s,
					 "SELECT s.name, since, until, r.name, headquarters, jurisdiction, "
					 "registration, no_parent, status"
					 " FROM record r JOIN source s ON s.no = r.source WHERE entity = ?1");
	l->edges = owner_store_prepare(
		l->s,
		"SELECT s.name, since, until, tie, parent, begins, ends, share, rounded, active, registration"
		" FROM edge e JOIN source s ON s.no = e.source WHERE entity = ?1");
	l->exceptions = owner_store_prepare(
		l->s, "SELECT s.name, since, until, ultimate, reason"
		      " FROM exception x JOIN source s ON s.no = x.source WHERE entity = ?1");
	/* The last word about a hit holds; the last version of its entry says how long it is listed. */
	l->hits = owner_store_prepare(
		l->s,
		"SELECT h.list, h.entry, e.begins, e.ends, e.until,"
		" COALESCE((SELECT word FROM word w WHERE w.hit = h.id ORDER BY no DESC LIMIT 1), 'open'),"
		" (SELECT MIN(since) FROM listing f WHERE f.list = h.list AND f.entity = h.entry AND "
		"f.source = h.source)"
		" FROM hit h JOIN listing e ON e.list = h.list AND e.entity = h.entry AND e.source = h.source"
		" AND e.since = (SELECT MAX(since) FROM listing g WHERE g.list = h.list AND g.entity = "
		"h.entry"
		" AND g.source = h.source) WHERE h.entity = ?1");
	return l->records && l->edges && l->exceptions && l->hits ? 0 : owner_store_errno(l->s) ?: -EIO;
}

static int about_lists(struct owner_store *s, struct owners *o)
{
	_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(
		s, "SELECT (SELECT value FROM meta WHERE key = 'changed') ="
		   " (SELECT value FROM meta WHERE key = 'screened'), EXISTS(SELECT 1 FROM listing)");

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return owner_store_errno(s) ?: -EIO;
	o->has_lists = sqlite3_column_int(q, 1);
	o->is_screened = o->has_lists && sqlite3_column_int(q, 0);
	return 0;
}

static int load_all(struct owner_store *s, const char *also, struct owners **ret)
{
	_cleanup_(loading_done) struct loading l = { .s = s, .o = owners_new() };
	int r = l.o ? prepare(&l) : -ENOMEM;
	size_t at;

	r = r ?: load_bindings(&l);
	if (r == 0 && also)
		r = owners_entity(l.o, also, &at);
	/* Parents are found while their children are read. */
	for (size_t i = 0; r == 0 && i < l.o->entities.count; i++) {
		if (i == ENTITIES_MAX)
			return -E2BIG;
		r = load_records(&l, i) ?: load_edges(&l, i) ?: load_exceptions(&l, i) ?: load_hits(&l, i);
	}
	r = r ?: about_lists(s, l.o);
	if (r)
		return r;
	owners_sort(l.o);
	*ret = TAKE_PTR(l.o);
	return 0;
}

int owner_store_load(struct owner_store *s, const char *also, struct owners **ret)
{
	/* All of it as it is at one time, whoever imports or decides meanwhile. */
	bool is_own = sqlite3_get_autocommit(s->db);
	int r = is_own ? owner_store_exec(s, "BEGIN") : 0;

	if (r)
		return r;
	r = load_all(s, also, ret);
	if (is_own && owner_store_exec(s, "ROLLBACK") && r == 0) {
		*ret = owners_free(*ret);
		r = owner_store_errno(s) ?: -EIO;
	}
	return r;
}

int owners_load_store(const char *path, bool waits, struct owners **ret, struct error_text *err)
{
	_cleanup_(owner_store_freep) struct owner_store *s = NULL;
	int r = owner_store_open(path, OWNER_STORE_READ_ONLY | (waits ? 0 : OWNER_STORE_NO_WAIT), &s, err);

	if (r)
		return r;
	r = owner_store_load(s, NULL, ret);
	return r ? error_set(err, r, "%s: cannot be read to its end: %s", path, strerror(-r)) : 0;
}
