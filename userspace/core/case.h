/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CASE_H
#define OPMETER_CORE_CASE_H

/*
 * Cases: what a reviewer works on. A case is the fold of its acts, each an entry
 * of the case store's log (docs/formats.md, "Case act"; docs/cases.md). The
 * record is never stored: whoever has the acts can compute it again. Pure: no
 * clock, no file; person and time of an act are claims of who recorded it.
 *
 * States: detected -> triage -> inquiry_sent -> under_review -> second_review ->
 * closed | escalated; closed and escalated -> reopened; closed -> erased.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "../base/log.h"

enum om_case_state {
	OM_CASE_DETECTED,
	OM_CASE_TRIAGE,
	OM_CASE_INQUIRY_SENT,
	OM_CASE_UNDER_REVIEW,
	OM_CASE_SECOND_REVIEW,
	OM_CASE_CLOSED,
	OM_CASE_ESCALATED,
	OM_CASE_REOPENED,
	OM_CASE_ERASED,
};
const char *om_case_state_name(enum om_case_state s);

#define OM_CASE_ID_STRLEN 18   /* "case-", 12 hex digits, NUL */
#define OM_CASE_TEXT_MAX 16384 /* of one text of an act */
bool om_case_id_is_valid(const char *id);
/* Letters, digits and . _ @ -; compared without case. */
bool om_person_is_valid(const char *name);

struct om_case;
struct om_case *om_case_new(const char *id); /* NULL: out of memory, or no id */
struct om_case *om_case_free(struct om_case *c);
static inline void om_case_freep(struct om_case **c)
{
	*c = om_case_free(*c);
}
const char *om_case_id(const struct om_case *c);
enum om_case_state om_case_state(const struct om_case *c);
/* Of its finding: the same whoever found it. 32 hex digits, "" before the first act. */
const char *om_case_finding(const struct om_case *c);
uint64_t om_case_acts(const struct om_case *c); /* the number of the next act */

/* Is it an act of version 1, whatever case it is of? -EBADMSG; -EPROTONOSUPPORT: of a later version. */
int om_case_act_form(const json_t *act, struct error_text *err);
/* May it follow what the case holds? 0; -EINVAL: not in this state, or something is missing; -EPERM: not by
 * this person. */
int om_case_check(const struct om_case *c, const json_t *act, struct error_text *err);
/* Takes an act of the log into the record. One that om_case_check() refuses changes nothing but the list
 * "irregular": a log that holds one was not written by us. -ENOMEM; -EBADMSG: its form. */
int om_case_apply(struct om_case *c, uint64_t entry, const json_t *act);
/* An entry of this case that an act destroyed. */
int om_case_lost(struct om_case *c, uint64_t entry, uint64_t by_act);

/* --- how long it is kept --- */

struct om_retention;
/* Clocks as data (data/retention.yaml): years from the latest of some kinds of events. */
int om_retention_load(const char *path, struct om_retention **ret, struct error_text *err);
int om_retention_parse(const char *name, const void *text, size_t len, struct om_retention **ret,
		       struct error_text *err);
struct om_retention *om_retention_free(struct om_retention *r);
static inline void om_retention_freep(struct om_retention **r)
{
	*r = om_retention_free(*r);
}
const char *om_retention_digest(const struct om_retention *r);
struct om_retained {
	bool is_held;		   /* a hold wins over every clock */
	bool is_open;		   /* not closed: no clock has run out */
	bool is_known;		   /* some clock holds for it; else it is kept */
	int32_t day;		   /* the latest day of all clocks: destroyed after it, not on it */
	const char *clock, *event; /* which, and from what; loans */
};
void om_case_retained(const struct om_case *c, const struct om_retention *r, struct om_retained *ret);
/* Whether some clock runs from such a dated event. "act" and "closed" are none: the acts themselves give
 * them. */
bool om_retention_has(const struct om_retention *r, const char *event);
/* A day some years on; 29 February becomes 1 March. At most 2999-12-31. */
int32_t om_day_add_years(int32_t day, unsigned years);

/* The whole record (docs/formats.md, "Case record"), a new reference; NULL: out of memory. r may be NULL: the
 * record then says nothing of retention. */
json_t *om_case_record(const struct om_case *c, const struct om_retention *r);

#endif
