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
#include "policy.h"
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

/* --- figures of ledgers --- */

struct ledgers {
	struct report_figures f;
	json_t *place; /* the cells of where the figures stand */
};

static void ledgers_done(struct ledgers *l)
{
	report_figures_done(&l->f);
	json_decref(l->place);
}

static int take_entry(void *ctx, const struct om_entry *e)
{
	return e->payload ? report_take(ctx, e->kind, e->index, e->payload, e->len) : 0;
}

/* Each ledger's entries, size and root stand in the cells in the order of the ledgers. */
static int take_ledger(struct report_figures *f, struct om_ledger *l, bool is_first,
		       struct report_text text[4])
{
	char id[OM_ID_STRLEN], root[2 * OM_HASH_SIZE + 1];
	const char *part = is_first ? "" : "; ";
	struct om_tree_head head;
	int r = om_ledger_head(l, &head);

	f->first_entry = UINT64_MAX;
	f->last_entry = 0;
	r = r ?: om_ledger_each_entry(l, 0, take_entry, f);
	if (r)
		return r;
	report_say(&text[0], "%s%s", part, om_id_format(om_ledger_id(l), id));
	if (f->first_entry > f->last_entry)
		report_say(&text[1], "%snone", part);
	else
		report_say(&text[1], "%s%llu to %llu", part, (unsigned long long)f->first_entry,
			   (unsigned long long)f->last_entry);
	report_say(&text[2], "%s%llu", part, (unsigned long long)head.size);
	report_say(&text[3], "%s%s", part, om_hex(head.root, OM_HASH_SIZE, root));
	return 0;
}

/* A ledger that is named twice would be told twice, though it counts once. */
static int check_twice(struct om_ledger *const *l, size_t n, struct error_text *err)
{
	char id[OM_ID_STRLEN];

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (om_id_equal(om_ledger_id(l[i]), om_ledger_id(l[k])))
				return error_set(err, -EINVAL, "ledger %s is given twice",
						 om_id_format(om_ledger_id(l[i]), id));
	return 0;
}

/* Topics are no log: the totals' own time says which they are. */
static int fleet_place(const struct om_report_request *q, json_t *place)
{
	char text[200];

	if (!place)
		return -ENOMEM;
	snprintf(text, sizeof(text), "fleet %.64s, as of %.40s", q->fleet, q->as_of);
	report_cell(place, "ledger", text);
	report_cell(place, "entries", "totals of a fleet: the nodes' ledgers have the entries");
	report_cell(place, "log_size", "");
	report_cell(place, "log_root", "");
	return 0;
}

static int figures_of(const struct om_report_request *q, struct ledgers *ret, struct error_text *err)
{
	static const char *const column[] = { "ledger", "entries", "log_size", "log_root" };
	struct report_text text[ARRAY_SIZE(column)];
	int r = check_twice(q->ledgers, q->ledger_count, err);

	if (r)
		return r;
	r = report_figures_new(&ret->f, q->from_day, q->to_day, q->tenant);
	ret->place = json_object();
	if (q->totals)
		return r ?: report_take_totals(&ret->f, q) ?: fleet_place(q, ret->place);
	for (size_t i = 0; i < ARRAY_SIZE(column); i++)
		report_text_new(&text[i]);
	for (size_t i = 0; r == 0 && i < q->ledger_count; i++)
		r = take_ledger(&ret->f, q->ledgers[i], i == 0, text);
	for (size_t i = 0; i < ARRAY_SIZE(column); i++)
		report_said(&text[i], ret->place, column[i], "");
	r = r ?: ret->place ? report_sum(&ret->f) : -ENOMEM;
	return r ? error_set(err, r, "the ledgers cannot be read: %s", strerror(-r)) : 0;
}

static void log_cells(json_t *row, const struct ledgers *l)
{
	json_object_update(row, l->place);
}

/* Nobody is to take one machine's figures for a fleet's. */
static void scope_field(json_t *report, const struct om_report_request *q)
{
	char text[400];

	if (q->totals)
		snprintf(text, sizeof(text),
			 "the totals of fleet %.64s as of %.40s, by its API: of every node, as far as its "
			 "readings had come; what is told of all days is marked so",
			 q->fleet, q->as_of);
	else
		snprintf(text, sizeof(text),
			 "%zu ledger%s, each of one node, as named in the rows: what other nodes metered is "
			 "in no "
			 "figure "
			 "(opmeter totals, the fleet's API)",
			 q->ledger_count, q->ledger_count == 1 ? "" : "s");
	report_scope(report, text);
}

/* "Name (country, as of date: source) < ...", from the tenant's entity up. */
static void owner_cell(json_t *row, const struct om_report_request *q, const char *tenant)
{
	struct owner_answer a;
	struct report_text text;
	char day[16];

	if (!q->owners) {
		report_cell(row, "ownership", "not asked for");
		return;
	}
	owners_resolve(q->owners, tenant, q->to_day, &a);
	report_text_new(&text);
	for (size_t i = 0; i < a.steps; i++)
		report_say(&text, "%s%s (%s, as of %s: %s)", i ? " < " : "", a.path[i].name,
			   a.path[i].headquarters, date_format(a.path[i].as_of_day, day), a.path[i].source);
	report_say(&text, "%s%s", a.steps ? "; " : "", owner_state_text(a.state));
	report_said(&text, row, "ownership", "");
}

/* Whose family it is in at the end, by the name that alerts have; and who its owners were on the days of the
 * period that have a reading: "from to to: path; ...". */
static void owners_cells(json_t *row, const struct om_report_request *q, const struct report_row *of)
{
	_cleanup_free_ struct owner_period *p = NULL;
	struct owner_answer a = { 0 };
	struct report_text text;
	char family[32], from[16], to[16];
	size_t n = 0;

	if (!q->owners || !of->days) {
		report_cell(row, "family", "not asked for");
		report_cell(row, "owners", "not asked for");
		return;
	}
	owners_resolve(q->owners, of->tenant, q->to_day, &a);
	if (a.state == OWNER_KNOWN && a.steps)
		policy_family_name(a.path[a.steps - 1].entity, family);
	report_cell(row, "family", a.state == OWNER_KNOWN && a.steps ? family : "unknown");
	report_text_new(&text);
	if (owners_periods(q->owners, of->tenant, of->first_day, of->last_day + 1, &p, &n))
		report_say(&text, "out of memory: not told");
	for (size_t i = 0; i < n; i++) {
		report_say(&text, "%s%s to %s: ", i ? "; " : "", date_format(p[i].from_day, from),
			   date_format(p[i].to_day - 1, to));
		for (size_t k = 0; k < p[i].answer.steps; k++)
			report_say(&text, "%s%s (%s)", k ? " < " : "", p[i].answer.path[k].name,
				   p[i].answer.path[k].headquarters);
		report_say(&text, "%s%s", p[i].answer.steps ? ", " : "", owner_state_text(p[i].answer.state));
	}
	report_said(&text, row, "owners", "");
}

static void cases_cell(json_t *row, const struct om_case_store *s, const char *tenant)
{
	struct report_text text;

	report_text_new(&text);
	for (size_t i = 0; s && i < om_case_store_count(s); i++) {
		const struct om_case *c = om_case_store_at(s, i);
		const char *outcome = json_text(c->record, "outcome");

		if (!strcmp(json_text(c->record, "tenant"), tenant))
			report_say(&text, "%s%s %s%s%s", report_has(&text) ? "; " : "", c->id,
				   om_case_state_name(c->state), *outcome ? ": " : "", outcome);
	}
	report_said(&text, row, "cases", s ? "none" : "not asked for");
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

int om_report_period(const struct om_report_request *q, json_t **ret, struct error_text *err)
{
	_cleanup_(om_case_store_freep) struct om_case_store *cases = NULL;
	_cleanup_(ledgers_done) struct ledgers l = { 0 };
	_cleanup_(json_decrefp) json_t *report = report_new("period", q->now_ns);
	int r = q->cases ? om_case_store_load(q->cases, &cases, err) : 0;

	r = r ?: figures_of(q, &l, err);
	if (r)
		return r;
	period_fields(report, q);
	scope_field(report, q);
	for (size_t i = 0; i < l.f.rows || i == 0; i++) {
		const struct report_row none = { 0 }, *of = l.f.rows ? &l.f.row[i] : &none;
		json_t *row = period_row(q);

		report_figure_cells(row, of);
		report_threshold_cell(row, of, q);
		owner_cell(row, q, of->tenant);
		owners_cells(row, q, of);
		cases_cell(row, cases, of->tenant);
		log_cells(row, &l);
		report_add(report, row, !l.f.rows);
	}
	*ret = TAKE_PTR(report);
	return 0;
}

/* --- the half-yearly table --- */

/* 15 CFR 748.15(f): 15 July and 15 January; part 748, Supplement No. 10, paragraph 10: 1 August and 1
 * February. Both stand in the rule; which one binds is for counsel. */
static void due_fields(json_t *report, const struct om_report_request *q)
{
	static const char standing[] = ": codified, not enforced (BIS, 2025-05-13)";
	char day[16], text[160];
	int year;

	date_format(q->to_day, day);
	year = atoi(day);
	if (!strncmp(day + 5, "06", 2))
		snprintf(text, sizeof(text), "%04d-07-15 (748.15(f)); %04d-08-01 (Supp. 10 para. 10)%s", year,
			 year, standing);
	else
		snprintf(text, sizeof(text), "%04d-01-15 (748.15(f)); %04d-02-01 (Supp. 10 para. 10)%s",
			 year + 1, year + 1, standing);
	json_object_set_new(report, "due", json_string(text));
	json_object_set_new(
		report, "note",
		json_string("Use of computing as metered. Amounts of equipment (TPP), sites and customers' "
			    "papers are not "
			    "in a meter: the filer adds them. Operations and TPP are never added together."));
}

static void headquarters_cells(json_t *row, const struct om_report_request *q, const char *tenant)
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

int om_report_veu(const struct om_report_request *q, json_t **ret, struct error_text *err)
{
	_cleanup_(om_case_store_freep) struct om_case_store *cases = NULL;
	_cleanup_(ledgers_done) struct ledgers l = { 0 };
	_cleanup_(json_decrefp) json_t *report = report_new("veu", q->now_ns);
	int r = q->cases ? om_case_store_load(q->cases, &cases, err) : 0;

	r = r ?: figures_of(q, &l, err);
	if (r)
		return r;
	period_fields(report, q);
	due_fields(report, q);
	scope_field(report, q);
	for (size_t i = 0; i < l.f.rows || i == 0; i++) {
		const struct report_row none = { 0 }, *of = l.f.rows ? &l.f.row[i] : &none;
		json_t *row = period_row(q);

		headquarters_cells(row, q, of->tenant);
		owners_cells(row, q, of);
		report_figure_cells(row, of);
		report_threshold_cell(row, of, q);
		cases_cell(row, cases, of->tenant);
		log_cells(row, &l);
		report_add(report, row, !l.f.rows);
	}
	*ret = TAKE_PTR(report);
	return 0;
}
