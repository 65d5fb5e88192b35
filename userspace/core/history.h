/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_HISTORY_H
#define OPMETER_CORE_HISTORY_H

/*
 * Totals as they grew, day by day: readings and assignments go in, in any order; then
 * the days are played from the first to the last, each adding its own registers to what
 * was there. A total is a sum over jobs' days, so a day costs what is of that day.
 * What is assigned holds for all days, as it is known now: a history under a set of
 * assignments, not the history of what was known when.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forecast.h"
#include "totals.h"

struct history;
struct history *history_new(void);
struct history *history_free(struct history *h);
static inline void history_freep(struct history **h)
{
	*h = history_free(*h);
}
int history_reading(struct history *h, const struct om_reading *r);	  /* 0, -ENOMEM */
int history_assignment(struct history *h, const struct om_assignment *a); /* 0, -ENOMEM */

/* One subject so far: a loan while the history lives. */
struct history_subject {
	struct om_subject_total total;
	char name[300]; /* as policy names it */
	bool changed;	/* on the day that is played */
	/* Training at the end of each day that changed it, as om_forecast() takes it. */
	const struct om_forecast_point *points;
	size_t point_count;
};
size_t history_subjects(const struct history *h);
const struct history_subject *history_at(const struct history *h, size_t i);
const struct history_subject *history_find(const struct history *h, const char *name); /* NULL: none */

/* Plays every day up to `until` (days since 1970-01-01, inclusive). fn is called after each day that has
 * readings, returns 0 to go on. Once for one history. -ENOMEM. */
int history_play(struct history *h, uint32_t until, int (*fn)(void *ctx, uint32_t day), void *ctx);
uint32_t history_last_day(const struct history *h); /* of the readings; 0: none */

/* Which of the recorded assignments count: a named set. */
struct assignment_set {
	const char *name;   /* as it was asked for */
	bool rules_only;    /* no person's word */
	bool people_only;   /* no rule's, but who the tenant is */
	uint64_t before_ns; /* recorded before; 0: any */
};
/* "recorded", "rules", "people", "before:YYYY-MM-DD". -EINVAL. */
int assignment_set_parse(const char *text, struct assignment_set *ret);
bool assignment_set_has(const struct assignment_set *set, const struct om_assignment *a);

#endif
