/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_DATED_H
#define OPMETER_CORE_DATED_H

/*
 * What assignments of one kind say of one job, by date. For one `from` and one kind
 * of author (a person, a rule) the latest `at` holds. Where several overlap, a
 * person's word holds before a rule's, one with an end before one without, and a
 * later `from` before an earlier one. Assignments may come in any order and
 * repeatedly: what holds is the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assignment.h"

#define OM_DATED_MAX 8192 /* of one job and kind: a judgement a day for twenty years */

struct om_dated {
	uint64_t from_ns, to_ns; /* Unix time; to_ns 0: open */
	uint64_t at_ns;
	const char *value;			/* a loan from who put it, for as long as the list is */
	uint32_t share_low_ppm, share_high_ppm; /* of the job's operations */
	uint64_t record;			/* of the assignment: the last one that said just this */
	bool is_person;
};

struct om_dated_list {
	struct om_dated *item; /* by from, a rule's before a person's */
	uint32_t count, room;
};

void om_dated_done(struct om_dated_list *l);
/* `value` says a->value, and outlives the list. 0; 1: what is there is later; -ENOMEM; -ENOSPC. */
int om_dated_put(struct om_dated_list *l, const struct om_assignment *a, const char *value);
/* What holds anywhere in [from_ns, to_ns); NULL: nothing. A loan until the next put. */
const struct om_dated *om_dated_in(const struct om_dated_list *l, uint64_t from_ns, uint64_t to_ns);
/* The same among what rules say, whatever a person says. */
const struct om_dated *om_dated_rule_in(const struct om_dated_list *l, uint64_t from_ns, uint64_t to_ns);
/* The one with just this beginning; NULL: none. */
const struct om_dated *om_dated_exact(const struct om_dated_list *l, uint64_t from_ns, bool is_person);

#endif
