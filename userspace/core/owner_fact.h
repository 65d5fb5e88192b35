/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNER_FACT_H
#define OPMETER_CORE_OWNER_FACT_H

/*
 * One fact as a source tells it, on its way from a row of a file to the owners
 * database (docs/owners.md). Pure: a row and the date of its file go in, a fact
 * or a reject comes out. Strings are loans from the row.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ownership.h"

enum owner_format {
	OWNER_FORMAT_LEI,      /* GLEIF level 1 */
	OWNER_FORMAT_RR,       /* GLEIF relationship records */
	OWNER_FORMAT_REPEX,    /* GLEIF reporting exceptions */
	OWNER_FORMAT_ENTITIES, /* plain */
	OWNER_FORMAT_HOLDINGS, /* plain */
	OWNER_FORMAT_CSL,      /* US Consolidated Screening List */
	OWNER_FORMAT_CSL_JSON,
	OWNER_FORMAT_END,
};
const char *owner_format_name(enum owner_format f);
int owner_format_parse(const char *name, enum owner_format *ret); /* -EINVAL */

enum owner_fact_kind {
	OWNER_FACT_NONE,
	OWNER_FACT_RECORD,
	OWNER_FACT_EDGE,
	OWNER_FACT_EXCEPTION,
	OWNER_FACT_LISTING
};

struct owner_fact {
	enum owner_fact_kind kind;
	int32_t since; /* when the source said so */
	/* RECORD: entity; EDGE: entity is the child; EXCEPTION: entity */
	const char *entity;
	const char *name, *headquarters, *jurisdiction, *category, *status, *registration;
	const char *authority, *number; /* of the register it stands in */
	bool no_parent;
	/* EDGE */
	const char *parent;
	enum owner_tie tie;
	int32_t from, to; /* INT32_MIN, INT32_MAX: open */
	bool has_share, is_rounded, is_active;
	uint32_t share_ppb;
	/* EXCEPTION */
	bool is_ultimate;
	const char *reason, *reference;
	/* LISTING: entity is the entry's id */
	const char *list; /* its code: EL, SDN, MEU ... */
	const char *list_name, *alt_names /* one a line */, *type, *countries, *ids /* one a line */,
		*programs, *url;
	int32_t start, end;
};

enum owner_reject_kind {
	OWNER_REJECT_MALFORMED,
	OWNER_REJECT_ENCODING,
	OWNER_REJECT_DATE,
	OWNER_REJECT_PERCENT,
	OWNER_REJECT_LEI,
	OWNER_REJECT_CONFLICT,	/* the same thing twice in one file, or at one date, and not the same */
	OWNER_REJECT_DUPLICATE, /* the same thing twice: nothing is lost, it does not count against a limit */
	OWNER_REJECT_AMOUNT,	/* a note: a figure whose scale is in doubt; the row was taken without it */
	OWNER_REJECT_END,
};
const char *owner_reject_name(enum owner_reject_kind k);
/* False: the row, or all of it that matters, was taken. */
bool owner_reject_is_loss(enum owner_reject_kind k);

struct owner_reject {
	enum owner_reject_kind kind;
	char column[64]; /* its name */
	char reason[256];
};

/* How the columns of a file's head are found in its rows. */
#define OWNER_COLUMNS_MAX 64
struct owner_columns {
	enum owner_format format;
	int32_t as_of_day;	   /* of the file */
	size_t fields;		   /* of the head */
	int at[OWNER_COLUMNS_MAX]; /* -1: not in the file */
	char *joined;		   /* room for alternative names and ids */
	size_t joined_room;
};
/* -EINVAL: a column that is needed is missing or stands there twice; err names it. */
int owner_columns_init(struct owner_columns *c, enum owner_format format, int32_t as_of_day,
		       char *const *head, size_t count, struct error_text *err);
void owner_columns_done(struct owner_columns *c);
/*
 * 0: a fact, and ret_note->kind is OWNER_REJECT_AMOUNT or OWNER_REJECT_END (no note);
 * 1: rejected; 2: a row that says nothing we keep (ret->kind is NONE). -ENOMEM.
 */
int owner_fact_read(struct owner_columns *c, char **field, size_t count, struct owner_fact *ret,
		    struct owner_reject *ret_note);

/* One entry of the screening list in JSON: its fields by name, lists joined by line ends. */
struct owner_csl {
	const char *id, *source, *type, *programs, *name, *addresses, *start_date, *end_date, *alt_names,
		*ids, *source_list_url, *countries;
};
int owner_csl_read(const struct owner_csl *e, int32_t as_of_day, struct owner_fact *ret,
		   struct owner_reject *ret_note);

/* "51.5%", "0.515", "100%": parts per 10^9, rounded down, *ret_rounded if something was lost. -EINVAL: no
 * such number, or a bare one over 1, whose scale is in doubt; -ERANGE: over 100 %. */
int owner_share_parse(const char *s, uint32_t *ret_ppb, bool *ret_rounded);
/* A date, or the date of an ISO 8601 time, whose time and zone are checked for form. -EINVAL. */
int owner_day_parse(const char *s, int32_t *ret);

#endif
