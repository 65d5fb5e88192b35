/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CASE_STORE_H
#define OPMETER_CORE_CASE_STORE_H

/*
 * Cases in a log of their own: a ledger directory that counts nothing. The store
 * is read whole; each act is checked against what the log holds and appended,
 * one transaction, so a crash leaves it done or not done. docs/cases.md.
 */

#include "case.h"
#include "ledger.h"

struct om_case_store;

/* Reads every case. -EUCLEAN with *err: an act that cannot be read. The ledger must outlive it. */
int om_case_store_load(struct om_ledger *l, struct om_case_store **ret, struct error_text *err);
struct om_case_store *om_case_store_free(struct om_case_store *s);
static inline void om_case_store_freep(struct om_case_store **s)
{
	*s = om_case_store_free(*s);
}
size_t om_case_store_count(const struct om_case_store *s);
const struct om_case *om_case_store_at(const struct om_case_store *s, size_t i); /* in the order of opening */
/* By its id; else by the id that a finding gave it; else by the beginning of its id. NULL: none, or several.
 */
const struct om_case *om_case_store_find(const struct om_case_store *s, const char *id);

struct om_actor {
	const char *by; /* the person's claim */
	unsigned uid;	/* the login the machine saw */
	uint64_t now_ns;
};

/*
 * A finding: an `opmeter.case.v1` CloudEvent, alone or as the file exporter writes it
 * ({"topic","key","event"}). 0: a case was opened; 1: nothing new (taken before, or its case is erased); 2:
 * another source says what a case already says, and is added to it; 3: not a case event. -EBADMSG with *err:
 * among others, it names the id of a case of another finding.
 * *ret_id: its case.
 */
int om_case_take(struct om_case_store *s, const void *event, size_t len, const struct om_actor *actor,
		 char ret_id[OM_CASE_ID_STRLEN], struct error_text *err);

/* An act: `what` holds its own fields, "act" among them; the rest is set here. 0; 1: `unique` was there
 * already; errors as om_case_check(). */
int om_case_act(struct om_case_store *s, const struct om_case *c, json_t *what, const char *unique,
		const struct om_actor *actor, uint64_t *ret_entry, struct error_text *err);

/* The second person's part: destroys every payload and salt of the case. -EINVAL: on hold, a clock runs
 * still, or no first person; 1: done, but see om_ledger_destroy(). */
int om_case_erase(struct om_case_store *s, const struct om_case *c, const struct om_retention *r,
		  const char *reason, const struct om_actor *actor, uint64_t *ret_act,
		  struct error_text *err);

/* Every entry of a case: fn as of om_ledger_each_entry(). `act` is a loan. */
int om_case_each_act(struct om_ledger *l, const char *id,
		     int (*fn)(void *ctx, const struct om_entry *e, const json_t *act), void *ctx);

#endif
