/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNER_STORE_H
#define OPMETER_CORE_OWNER_STORE_H

/*
 * The owners database: one SQLite file with what sources told, by source and
 * date, and what people said of it (docs/owners.md has the tables). Nothing is
 * overwritten: a newer record of a source stands beside the older one.
 *
 * Errors are -errno: -EUCLEAN a damaged file, -EPROTONOSUPPORT a schema that is
 * newer than this program, -EWOULDBLOCK another writer.
 */

#include "owner_fact.h"

struct owner_store;

/* Whoever finds another writer waits 5 s for it, at each step; with NO_WAIT it is -EWOULDBLOCK at once. */
enum { OWNER_STORE_READ_ONLY = 1, OWNER_STORE_CREATE = 2, OWNER_STORE_NO_WAIT = 4 };
int owner_store_open(const char *path, int flags, struct owner_store **ret, struct error_text *err);
struct owner_store *owner_store_free(struct owner_store *s); /* rolls back what was not committed */
static inline void owner_store_freep(struct owner_store **s)
{
	*s = owner_store_free(*s);
}

struct owner_import {
	const char *source, *file, *by; /* by: "" if nobody is named */
	enum owner_format format;
	int32_t as_of_day; /* of the file */
	bool is_complete;  /* what this source told before and does not tell here ends on that day */
	uint64_t at_s;	   /* Unix time */
	/* filled by the import */
	uint64_t rows, taken, confirmed, rejected[OWNER_REJECT_END], ended;
	char digest[65];
};

/* One transaction. -EEXIST with a sentence: a complete file that is older than the last. */
int owner_store_begin(struct owner_store *s, struct owner_import *i, struct error_text *err);
enum { OWNER_PUT_NEW = 0, OWNER_PUT_CONFIRMED = 1, OWNER_PUT_DUPLICATE = 2, OWNER_PUT_CONFLICT = 3 };
/* One of these, or -errno. *ret_line: where the other fact stands, of a duplicate or conflict. */
int owner_store_put(struct owner_store *s, const struct owner_fact *f, uint64_t line, uint64_t *ret_line);
/* Ends what a complete file no longer tells, unless rows of it were lost, and commits. */
int owner_store_commit(struct owner_store *s);
int owner_store_rollback(struct owner_store *s);

/* Imports in order. */
struct owner_import_row {
	int64_t number, rows, taken, confirmed, lost, ended;
	const char *source, *format, *file, *digest, *by;
	int32_t as_of_day;
	bool is_complete;
	uint64_t at_s;
};
int owner_store_each_import(struct owner_store *s, int (*fn)(void *ctx, const struct owner_import_row *r),
			    void *ctx);

/* What a source tells of an entity, every version. */
struct owner_told {
	const char *id, *source, *file;
	uint64_t line;
	int32_t since_day, seen_day, until_day; /* INT32_MAX: still told */
	const char *name, *headquarters, *jurisdiction, *category, *status, *registration, *authority,
		*number;
	bool no_parent;
};
int owner_store_each_told(struct owner_store *s, const char *entity,
			  int (*fn)(void *ctx, const struct owner_told *t), void *ctx);
/* The last version of every source about every entity, in the order of ids. */
int owner_store_each_record(struct owner_store *s, int (*fn)(void *ctx, const struct owner_told *t),
			    void *ctx);
/* Entities whose sources disagree about the headquarters now; edges to entities without a record; shares over
 * 100 %; an entity that stands above itself; one of which a source says that it has no parent, and names one:
 * told as sentences. */
enum owner_doubt {
	OWNER_DOUBT_HEADQUARTERS,
	OWNER_DOUBT_SHARE,
	OWNER_DOUBT_NO_RECORD,
	OWNER_DOUBT_OVER_100,
	OWNER_DOUBT_CYCLE,
	OWNER_DOUBT_TOP,
	OWNER_DOUBT_END
};
const char *owner_doubt_text(enum owner_doubt d);
int owner_store_each_doubt(struct owner_store *s,
			   int (*fn)(void *ctx, enum owner_doubt d, const char *entity, const char *a,
				     const char *b),
			   void *ctx);
int64_t owner_store_count(struct owner_store *s, const char *table); /* -errno; of a table of ours */

/* --- words of people --- */
struct owner_binding_row {
	int64_t number;
	const char *tenant, *entity, *how, *by, *because; /* entity "": none, says a person */
	int32_t from_day, to_day;
	uint64_t at_s;
};
/* -ENOENT: no record of that entity. */
int owner_store_bind(struct owner_store *s, const struct owner_binding_row *b);
int owner_store_each_binding(struct owner_store *s, int (*fn)(void *ctx, const struct owner_binding_row *b),
			     void *ctx);
/* The entity that stands in a register under a number: ret is 96 bytes. -ENOENT; -EEXIST: more than one. */
int owner_store_by_number(struct owner_store *s, const char *authority, const char *number, char ret[96]);

struct owner_hit_row {
	const char *id; /* 12 hex digits */
	const char *entity, *list, *entry, *list_name, *listed_name, *own_name, *source, *countries, *url;
	int score; /* of 1000 */
	bool is_by_id;
	int32_t list_day;		 /* of the file that told it last */
	int32_t from_day, to_day;	 /* listed in this time */
	const char *word, *by, *because; /* "open", "confirmed", "dismissed" */
	uint64_t at_s;
};
/* Hits of the entities that are bound or above a bound one, against all lists; earlier words about the same
 * names stay. Its own transaction. */
int owner_store_screen(struct owner_store *s, int least_score, uint64_t *ret_hits);
int owner_store_each_hit(struct owner_store *s, int (*fn)(void *ctx, const struct owner_hit_row *h),
			 void *ctx);
/* -ENOENT: no such hit. */
int owner_store_decide(struct owner_store *s, const char *hit, const char *word, const char *by,
		       const char *because, uint64_t at_s);

/* The graph above the bound entities, and above one more (NULL: none). -E2BIG: over 200,000 entities. */
int owner_store_load(struct owner_store *s, const char *also, struct owners **ret);

#endif
