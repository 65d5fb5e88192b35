/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CASE_INTERNAL_H
#define OPMETER_CORE_CASE_INTERNAL_H

/* What the files of cases share; nobody else includes it. */

#include "case.h"
#include "ledger.h"

#define CASE_EVENTS_MAX 4096 /* dated events that clocks look at; the latest of each kind is kept */

struct om_case {
	char id[OM_CASE_ID_STRLEN];
	char finding[33];
	enum om_case_state state;
	uint64_t acts;
	bool is_held;
	json_t *record; /* what grows with the acts */
	json_t *sres;	/* every list of who ran the account's machines, from the first */
	char *cause;	/* of its first event; NULL: destroyed */
};

enum case_kind {
	CASE_TAKE,
	CASE_EVIDENCE,
	CASE_FACT,
	CASE_ASSIGN,
	CASE_NOTE,
	CASE_CHECKLIST,
	CASE_INQUIRY,
	CASE_ANSWER,
	CASE_EVENT,
	CASE_HOLD,
	CASE_RELEASE,
	CASE_DETERMINE,
	CASE_CONFIRM,
	CASE_DISAGREE,
	CASE_ESCALATE,
	CASE_REOPEN,
	CASE_ERASE_REQUEST,
	CASE_ERASE,
	CASE_KIND_END,
};

struct case_kind_info {
	const char *name;
	const char *needs[3]; /* texts that are there and not empty */
	unsigned states;      /* bits of the states it may come in */
	enum om_entry_kind entry;
};
const struct case_kind_info *case_kind_info(enum case_kind k);
enum case_kind case_kind_of(const json_t *act); /* CASE_KIND_END: none */
/* What is asked of an act that is recorded now, and not of one that an earlier opmeter recorded. -EINVAL. */
int case_check_new(const struct om_case *c, const json_t *act, struct error_text *err);

/* The record as version 1 had it, for bundles that were sealed then. NULL: out of memory. */
json_t *case_record_1(const struct om_case *c);

/* "" if it is not there or no text. */
static inline const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

#endif
