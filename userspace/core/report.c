// SPDX-License-Identifier: Apache-2.0
/* Reports over a period, of a ledger or half a year; and every report as CSV. */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "case_internal.h"
#include "case_store.h"
#include "csv_write.h"
#include "hex.h"
#include "report_internal.h"

int om_report_csv(const json_t *report, FILE *to)
{
	const json_t *columns = json_object_get(report, "columns"), *rows = json_object_get(report, "rows"),
		     *c, *r;
	struct om_csv csv = { .f = to };
	size_t i, k;

	if (json_array_size(columns) == 0)
		return 0;
	json_array_foreach(columns, i, c) om_csv_cell(&csv, json_string_value(c));
	om_csv_end(&csv);
	json_array_foreach(rows, k, r)
	{
		json_array_foreach(columns, i, c) om_csv_cell(&csv, json_text(r, json_string_value(c)));
		om_csv_end(&csv);
	}
	return ferror(to) ? -EIO : 0;
}

int om_report_half(const char *text, int32_t *ret_from, int32_t *ret_to)
{
	char day[16];

	if (strspn(text, "0123456789") != 4 || text[4] != 'H' || (text[5] != '1' && text[5] != '2') ||
	    text[6])
		return -EINVAL;
	snprintf(day, sizeof(day), "%.4s-%s", text, text[5] == '1' ? "01-01" : "07-01");
	if (date_parse(day, ret_from))
		return -EINVAL;
	snprintf(day, sizeof(day), "%.4s-%s", text, text[5] == '1' ? "06-30" : "12-31");
	return date_parse(day, ret_to);
}

/* --- a ledger's figures --- */

static int take_entry(void *ctx, const struct om_entry *e)
{
	return e->payload ? report_take(ctx, e->kind, e->index, e->payload, e->len) : 0;
}

static int figures_of(struct om_ledger *l, const struct om_report_request *q, struct report_figures *f,
		      struct error_text *err)
{
	int r = report_figures_new(f, q->from_day, q->to_day, NULL);

	r = r ?: om_ledger_each_entry(l, 0, take_entry, f);
	r = r ?: report_sum(f);
	return r ? error_set(err, r, "the ledger cannot be read: %s", strerror(-r)) : 0;
}

static void log_cells(json_t *row, const struct report_figures *f, const struct om_tree_head *head,
		      const struct om_id *ledger)
{
	char id[OM_ID_STRLEN], text[80], root[2 * OM_HASH_SIZE + 1];

	report_cell(row, "ledger", om_id_format(ledger, id));
	snprintf(text, sizeof(text), "%llu to %llu", (unsigned long long)f->first_entry,
		 (unsigned long long)f->last_entry);
	report_cell(row, "entries", f->first_entry > f->last_entry ? "none" : text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)head->size);
	report_cell(row, "log_size", text);
	report_cell(row, "log_root", om_hex(head->root, OM_HASH_SIZE, root));
}

/* "Name (country, as of date: source) < ...", from the tenant's entity up. */
static void owner_cell(json_t *row, const struct om_report_request *q, const char *tenant)
{
	struct owner_answer a;
	char text[4096] = "", day[16];
	size_t at = 0;

	if (!q->owners) {
		report_cell(row, "ownership", "not asked for");
		return;
	}
	owners_resolve(q->owners, tenant, q->to_day, &a);
	for (size_t i = 0; i < a.steps && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s (%s, as of %s: %s)",
				       at ? " < " : "", a.path[i].name, a.path[i].headquarters,
				       date_format(a.path[i].as_of_day, day), a.path[i].source);
	if (at < sizeof(text))
		snprintf(text + at, sizeof(text) - at, "%s%s", at ? "; " : "", owner_state_text(a.state));
	report_cell(row, "ownership", text);
}

static void cases_cell(json_t *row, const struct om_case_store *s, const char *tenant)
{
	char text[2048] = "";
	size_t at = 0;

	for (size_t i = 0; s && i < om_case_store_count(s) && at < sizeof(text); i++) {
		const struct om_case *c = om_case_store_at(s, i);
		const char *outcome = json_text(c->record, "outcome");

		if (!strcmp(json_text(c->record, "tenant"), tenant))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %s%s%s", at ? "; " : "",
					       c->id, om_case_state_name(c->state), *outcome ? ": " : "",
					       outcome);
	}
	report_cell(row, "cases", at ? text : s ? "none" : "not asked for");
}

static void period_fields(json_t *report, const struct om_report_request *q)
{
	char day[16];

	json_object_set_new(report, "from", json_string(date_format(q->from_day, day)));
	json_object_set_new(report, "to", json_string(date_format(q->to_day, day)));
}

static json_t *period_row(const struct om_report_request *q)
{
	json_t *row = json_object();
	char day[16];

	report_cell(row, "period_from", date_format(q->from_day, day));
	report_cell(row, "period_to", date_format(q->to_day, day));
	return row;
}

int om_report_period(struct om_ledger *l, const struct om_report_request *q, json_t **ret,
		     struct error_text *err)
{
	_cleanup_(om_case_store_freep) struct om_case_store *cases = NULL;
	_cleanup_(report_figures_done) struct report_figures f = { 0 };
	_cleanup_(json_decrefp) json_t *report = report_new("period", q->now_ns);
	struct om_tree_head head;
	int r = q->cases ? om_case_store_load(q->cases, &cases, err) : 0;

	r = r ?: figures_of(l, q, &f, err);
	r = r ?: om_ledger_head(l, &head);
	if (r)
		return r;
	period_fields(report, q);
	for (size_t i = 0; i < f.rows || i == 0; i++) {
		const struct report_row none = { 0 }, *of = f.rows ? &f.row[i] : &none;
		json_t *row = period_row(q);

		report_figure_cells(row, of);
		report_threshold_cell(row, of, q);
		owner_cell(row, q, of->tenant);
		cases_cell(row, cases, of->tenant);
		log_cells(row, &f, &head, om_ledger_id(l));
		report_add(report, row, !f.rows);
	}
	*ret = TAKE_PTR(report);
	return 0;
}

/* --- the half-yearly table --- */

/* 15 CFR 748.15(f): 15 July and 15 January; part 748, Supplement No. 10, paragraph 10: 1 August and 1
 * February. Both stand in the rule; which one binds is for counsel. */
static void due_fields(json_t *report, const struct om_report_request *q)
{
	char day[16], text[96];
	int year;

	date_format(q->to_day, day);
	year = atoi(day);
	if (!strncmp(day + 5, "06", 2))
		snprintf(text, sizeof(text), "%04d-07-15 (748.15(f)); %04d-08-01 (Supp. 10 para. 10)", year,
			 year);
	else
		snprintf(text, sizeof(text), "%04d-01-15 (748.15(f)); %04d-02-01 (Supp. 10 para. 10)",
			 year + 1, year + 1);
	json_object_set_new(report, "due", json_string(text));
	json_object_set_new(
		report, "note",
		json_string("Use of computing as metered. Amounts of equipment (TPP), sites and customers' "
			    "papers are not "
			    "in a meter: the filer adds them. Operations and TPP are never added together."));
}

static void seat_cells(json_t *row, const struct om_report_request *q, const char *tenant)
{
	struct owner_answer a = { 0 };

	if (q->owners)
		owners_resolve(q->owners, tenant, q->to_day, &a);
	report_cell(row, "entity", a.steps ? a.path[0].name : "unknown");
	report_cell(row, "headquarters", a.steps ? a.path[0].headquarters : "unknown");
	report_cell(row, "ultimate_parent",
		    a.steps && a.state == OWNER_KNOWN ? a.path[a.steps - 1].name : "unknown");
	report_cell(row, "parent_headquarters",
		    a.steps && a.state == OWNER_KNOWN ? a.path[a.steps - 1].headquarters : "unknown");
	report_cell(row, "ownership_state", q->owners ? owner_state_text(a.state) : "not asked for");
}

int om_report_veu(struct om_ledger *l, const struct om_report_request *q, json_t **ret,
		  struct error_text *err)
{
	_cleanup_(om_case_store_freep) struct om_case_store *cases = NULL;
	_cleanup_(report_figures_done) struct report_figures f = { 0 };
	_cleanup_(json_decrefp) json_t *report = report_new("veu", q->now_ns);
	struct om_tree_head head;
	int r = q->cases ? om_case_store_load(q->cases, &cases, err) : 0;

	r = r ?: figures_of(l, q, &f, err);
	r = r ?: om_ledger_head(l, &head);
	if (r)
		return r;
	period_fields(report, q);
	due_fields(report, q);
	for (size_t i = 0; i < f.rows || i == 0; i++) {
		const struct report_row none = { 0 }, *of = f.rows ? &f.row[i] : &none;
		json_t *row = period_row(q);

		seat_cells(row, q, of->tenant);
		report_figure_cells(row, of);
		report_threshold_cell(row, of, q);
		cases_cell(row, cases, of->tenant);
		log_cells(row, &f, &head, om_ledger_id(l));
		report_add(report, row, !f.rows);
	}
	*ret = TAKE_PTR(report);
	return 0;
}
