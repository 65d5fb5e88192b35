/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_REPORT_INTERNAL_H
#define OPMETER_CORE_REPORT_INTERNAL_H

/* What the files of reports share; nobody else includes it. */

#include "report.h"
#include "totals.h"

/* One tenant's model, with what its registers say beside the sums. */
struct report_row {
	char tenant[128], model[128];
	opcount training_low, training_high, training_ceiling, all_low, all_high, all_ceiling;
	opcount contradicted, unattributed;
	bool is_bounded, attempted;
	uint32_t meters;
	uint64_t calls, lost[OM_LOSS_END], registers;
	int32_t first_day, last_day;
	uint32_t days; /* with a register */
	bool is_total; /* of a fleet's: contradicted to registers are of all days, losses have no cause */
	uint64_t losses;
};
struct report_figures {
	struct om_totals *totals;
	int32_t from_day, to_day;
	const char *tenant; /* only this one; NULL: all */
	struct report_row *row;
	size_t rows;
	uint64_t first_entry, last_entry; /* entries with readings of the period; first > last: none */
};
int report_figures_new(struct report_figures *f, int32_t from_day, int32_t to_day, const char *tenant);
void report_figures_done(struct report_figures *f);
/* Takes an entry's payload in: readings or an assignment. */
int report_take(struct report_figures *f, enum om_entry_kind kind, uint64_t entry, const void *payload,
		size_t len);
/* Of a fleet's totals, which are summed already. */
int report_take_totals(struct report_figures *f, const struct om_report_request *q);
/* Sums them up. */
int report_sum(struct report_figures *f);

/* A cell's text that grows with what is said: nothing of it is cut. */
struct report_text {
	char *text;
	size_t len;
	FILE *f; /* NULL: out of memory; report_say() then says nothing, report_said() fails */
};
void report_text_new(struct report_text *t);
void report_say(struct report_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts it into the row, or `none` where nothing was said, and frees it. */
void report_said(struct report_text *t, json_t *row, const char *column, const char *none);
/* What was said so far; 0: nothing. */
static inline bool report_has(struct report_text *t)
{
	return t->f && ftell(t->f) > 0;
}

json_t *report_new(const char *name, uint64_t now_ns);
/* Whose figures they are: a field of the report, as "scope". */
void report_scope(json_t *report, const char *text);
/* A cell of the row under way; the first row's cells are the columns. */
void report_cell(json_t *row, const char *column, const char *text);
void report_ops(json_t *row, const char *column, opcount v);
/* Appends the row; the first one's keys, in order, become the columns. is_none: it is there for the columns
 * alone, as a table without rows has its head too. */
void report_add(json_t *report, json_t *row, bool is_none);
/* The cells of figures, the same in every report. */
void report_figure_cells(json_t *row, const struct report_row *r);
/* Thresholds that hold on a day: "regime version (mode): low % to high % of N". */
void report_threshold_cell(json_t *row, const struct report_row *r, const struct om_report_request *q);

#endif
