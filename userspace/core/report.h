/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_REPORT_H
#define OPMETER_CORE_REPORT_H

/*
 * Reports as tables: {"v", "report", ..., "columns": [...], "rows": [{...}]}, every cell a text, figures
 * exact decimal. The same table is JSON or CSV (docs/formats.md, "Reports"). What is not known is said, never
 * left to be taken for zero. Pure: the caller passes the time.
 */

#include <stdio.h>
#include <jansson.h>

#include "case.h"
#include "ledger.h"
#include "ownership.h"
#include "regime.h"

/* A model's part of a fleet's totals, by its API: what was added on the days of a period. The rest is told of
 * all days. Loans. */
struct om_report_total {
	const char *tenant, *model;
	opcount training[3], all[3]; /* low, high, ceiling */
	int32_t first_day, last_day; /* of the period, with a reading */
	uint32_t days;
	opcount contradicted, unattributed;
	bool is_bounded, attempted;
	uint32_t meters; /* bit mask */
	uint64_t calls, losses, registers;
};

struct om_report_request {
	/* Of a fleet: in place of ledgers, which are then none. */
	const struct om_report_total *totals; /* NULL: of ledgers */
	size_t total_count;
	const char *fleet, *as_of; /* whose totals, and of when */
	const char *tenant;	   /* this one alone; NULL: all */
	/* Of a period: each of one node. A ledger that is there twice is refused. */
	struct om_ledger *const *ledgers;
	size_t ledger_count;
	int32_t from_day, to_day;      /* both included */
	const struct regimes *regimes; /* NULL: no thresholds beside the figures */
	const struct owners *owners;   /* NULL: owners are not told */
	struct om_ledger *cases;       /* a case store, NULL: cases are not told */
	uint64_t now_ns;
};

/* Figures of every tenant and model in a period, from q->ledgers or q->totals. */
int om_report_period(const struct om_report_request *q, json_t **ret, struct error_text *err);
/* Figures behind a case, from what was gathered into its store. */
int om_report_case(struct om_ledger *store, const struct om_case *c, const struct om_retention *r,
		   const struct om_report_request *q, json_t **ret, struct error_text *err);
/* The fields of proposed 15 CFR 7.308(d): what the case holds of them, and what it lacks. */
int om_report_7308(struct om_ledger *store, const struct om_case *c, const struct om_report_request *q,
		   json_t **ret, struct error_text *err);
/* The half-yearly table of a validated end user; q->from_day and to_day are the half year. */
int om_report_veu(const struct om_report_request *q, json_t **ret, struct error_text *err);

/* "2026H2" as its first and last day. -EINVAL. */
int om_report_half(const char *text, int32_t *ret_from, int32_t *ret_to);

/* The rows as CSV (core/csv_write.h). */
int om_report_csv(const json_t *report, FILE *to);

#endif
