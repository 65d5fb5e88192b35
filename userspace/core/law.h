/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LAW_H
#define OPMETER_CORE_LAW_H

/*
 * What people write and a judge that runs for long judges by: owners, declarations and
 * regimes. Each is read anew when its file (of regimes: one in the directory) changed (core/reload.h), whole
 * or not at all: after a failure what was read before stays in use.
 */

#include "declaration.h"
#include "ownership.h"
#include "regime.h"
#include "reload.h"

enum law_file { LAW_OWNERS, LAW_DECLARATIONS, LAW_REGIMES, LAW_FILES };
const char *law_file_name(enum law_file which); /* "owners", "declarations", "regimes" */

/* How a file of owners that people write ends. One that was cut at the end of a line reads like a whole one.
 */
struct law_end {
	bool is_database; /* no such file: it is written whole or not at all */
	bool is_ended;	  /* its last line has an end */
	bool is_marked;	  /* its last line is YAML's end of a document: "..." */
};

struct law {
	struct owners *owners;		   /* owners_prepare() was done; NULL: there is no file */
	struct declarations *declarations; /* NULL likewise */
	struct regimes *regimes;	   /* NULL likewise */
	struct reload file[LAW_FILES];
	struct law_end end;	      /* of the owners that are in use */
	const char *declaration_keys; /* a loan; NULL: their head need not be signed */
	/* Before and after what others may be reading is exchanged, by law_look() alone: files are read
	 * outside of it. NULL: nobody else reads it. */
	void (*exchange)(void *ctx, bool begins);
	void *exchange_ctx;
};

/* Paths are loans, by enum law_file, NULL: none. now_ns: of a clock that does not step; today: days since
 * 1970-01-01, UTC: nobody accepts a regime on a day to come. -EINVAL with *err. */
int law_open(struct law *l, const char *const path[LAW_FILES], uint64_t now_ns, int32_t today,
	     struct error_text *err);
/* The same where the declarations' head must name all of them and be signed by a key of that file
 * (declarations_load_signed()); NULL: as above. The keys are read with each reading of the declarations. */
int law_open_signed(struct law *l, const char *const path[LAW_FILES], const char *declaration_keys,
		    uint64_t now_ns, int32_t today, struct error_text *err);
void law_close(struct law *l);

struct law_news {
	bool is_any;		  /* something was read anew */
	bool is_read[LAW_FILES];  /* which */
	bool has_other_days;	  /* and the days on which owners change are others than before */
	bool is_worth[LAW_FILES]; /* to be said: it was read, or it failed in a new way */
};
/* Reads anew what is due. Strings of what it replaces are gone. What seems to be cut is refused: declarations
 * that do not go on where they stood; regimes of which a version that was read is gone; owners whose last
 * line lost its end or its mark, and owners without a mark that bind a tenant no more. */
void law_look(struct law *l, uint64_t now_ns, int32_t today, bool forced, struct law_news *ret);

/* For om_totals_set_days(); ctx: a struct law. */
const int32_t *law_days(void *ctx, const char *tenant, size_t *ret_count);

#endif
