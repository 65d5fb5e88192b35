// SPDX-License-Identifier: Apache-2.0
/* Reports of one case, from what its store holds alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "case_gather.h"
#include "case_internal.h"
#include "case_store.h"
#include "report_internal.h"

struct behind {
	struct report_figures f;
	uint64_t first, last;	     /* entries of the store that are of the case */
	struct report_text readings; /* where they stood: "ledger:entry ..." */
};

static int take_act(void *ctx, const struct om_entry *e, const json_t *act)
{
	struct behind *b = ctx;
	const json_t *source = json_object_get(act, "source");
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r;

	b->first = b->first == UINT64_MAX ? e->index : b->first;
	b->last = e->index;
	if (case_kind_of(act) != CASE_EVIDENCE || !json_is_object(source))
		return 0;
	r = om_evidence_data(act, &data, &len);
	r = r
		    ?: report_take(&b->f,
				   (enum om_entry_kind)json_integer_value(json_object_get(source, "kind")),
				   e->index, data, len);
	if (r == 0 && !strcmp(json_text(act, "what"), "readings"))
		report_say(&b->readings, "%s%.12s:%s", report_has(&b->readings) ? " " : "",
			   json_text(source, "ledger"), json_text(source, "index"));
	return r;
}

static int look_behind(struct om_ledger *store, const struct om_case *c, const struct om_report_request *q,
		       struct behind *b, struct error_text *err)
{
	int r = report_figures_new(&b->f, q->from_day, q->to_day, json_text(c->record, "tenant"));

	b->first = UINT64_MAX;
	report_text_new(&b->readings);
	r = r ?: om_case_each_act(store, c->id, take_act, b);
	r = r ?: report_sum(&b->f);
	return r ? error_set(err, r, "%s: what was gathered cannot be read: %s", c->id, strerror(-r)) : 0;
}

static void behind_done(struct behind *b)
{
	report_figures_done(&b->f);
	if (b->readings.f)
		fclose(b->readings.f);
	free(b->readings.text);
}

static void path_cells(json_t *row, const json_t *record)
{
	struct report_text text, sources;
	size_t i;
	const json_t *v;

	report_text_new(&text);
	report_text_new(&sources);
	json_array_foreach(json_object_get(record, "path"), i, v)
	{
		report_say(&text, "%s%s (%s)", i ? " < " : "", json_text(v, "name"),
			   json_text(v, "headquarters"));
		report_say(&sources, "%s%s: %s, as of %s", i ? "; " : "", json_text(v, "name"),
			   json_text(v, "source"), json_text(v, "as_of"));
	}
	report_cell(row, "ownership", json_text(record, "ownership"));
	report_said(&text, row, "ownership_path", "");
	report_said(&sources, row, "ownership_sources", "");
	report_cell(row, "ownership_version", json_text(record, "ownership_version"));
	report_cell(row, "seat", json_text(record, "seat"));
}

static json_t *case_cells(const struct om_case *c, const json_t *record)
{
	const json_t *p = json_object_get(record, "policy"), *d = json_object_get(record, "determination");
	json_t *row = json_object();

	report_cell(row, "case", c->id);
	report_cell(row, "state", om_case_state_name(c->state));
	report_cell(row, "outcome", json_text(record, "outcome"));
	report_cell(row, "determined_by", json_text(d, "by"));
	report_cell(row, "confirmed_by", json_text(json_object_get(d, "second"), "by"));
	report_cell(row, "regime", json_text(p, "regime"));
	report_cell(row, "regime_version", json_text(p, "version"));
	report_cell(row, "regime_digest", json_text(p, "digest"));
	report_cell(row, "citation", json_text(p, "citation"));
	path_cells(row, record);
	return row;
}

static void place_cells(json_t *row, struct behind *b, const struct om_tree_head *head)
{
	char text[80];

	snprintf(text, sizeof(text), "%llu to %llu of %llu", (unsigned long long)b->first,
		 (unsigned long long)b->last, (unsigned long long)head->size);
	report_cell(row, "store_entries", text);
	if (b->readings.f)
		fflush(b->readings.f);
	report_cell(row, "readings_at", b->readings.f ? b->readings.text : "out of memory: not told");
}

int om_report_case(struct om_ledger *store, const struct om_case *c, const struct om_retention *r,
		   const struct om_report_request *q, json_t **ret, struct error_text *err)
{
	_cleanup_(behind_done) struct behind b = { 0 };
	_cleanup_(json_decrefp) json_t *report = report_new("case", q->now_ns),
				       *record = om_case_record(c, r);
	struct om_tree_head head;
	int rc = report && record ? look_behind(store, c, q, &b, err) : -ENOMEM;

	rc = rc ?: om_ledger_head(store, &head);
	if (rc)
		return rc;
	json_object_set(report, "case", record);
	report_scope(report, "what was gathered into this case; what other ledgers hold is in no figure");
	if (b.f.rows == 0)
		json_object_set_new(
			report, "note",
			json_string("no readings were gathered: the figures are those of the finding alone "
				    "(opmeter case gather)"));
	for (size_t i = 0; i < b.f.rows || i == 0; i++) {
		const struct report_row none = { 0 }, *of = b.f.rows ? &b.f.row[i] : &none;
		json_t *row = case_cells(c, record);

		report_figure_cells(row, of);
		report_threshold_cell(row, of, q);
		place_cells(row, &b, &head);
		report_add(report, row, !b.f.rows);
	}
	*ret = TAKE_PTR(report);
	return 0;
}

/* --- proposed 15 CFR 7.308 --- */

/* The fields of the proposed rule (89 FR 5698), and the fact of the case that says each. */
static const struct {
	const char *field, *fact;
} fields_7308[] = {
	{ "customer_name_or_dba", "legal_name" },
	{ "ultimate_beneficial_owner", "ultimate_beneficial_owner" },
	{ "address", "address" },
	{ "request_origin_location", "request_origin" },
	{ "jurisdiction_of_organization", "jurisdiction" },
	{ "beneficial_owners", "beneficial_owners" },
	{ "payment_means_source", "payment_source" },
	{ "email", "email" },
	{ "telephone", "telephone" },
	{ "admin_ip_addresses_with_time", "admin_ips" },
	{ "estimated_ops", NULL },
	{ "anticipated_start", "start" },
	{ "anticipated_completion", "expected_completion" },
	{ "training_practices_primary_accelerator_model", "training_practices" },
	{ "weight_security_policies", "weight_security" },
	{ "weight_security_incidents_4y", "weight_incidents" },
	{ "certification_true_correct_complete", "certification" },
};

static void field_row(json_t *report, const char *id, const char *field, const char *value,
		      const char *source, const char *how)
{
	json_t *row = json_object();

	report_cell(row, "case", id);
	report_cell(row, "field", field);
	report_cell(row, "value", value);
	report_cell(row, "source", source);
	report_cell(row, "known", how);
	report_add(report, row, false);
}

/* A person, whom no register of parents names: a parent is told beside it, and never in its place. */
static void beneficial_owner_row(json_t *report, const struct om_case *c, const json_t *record,
				 const char *field)
{
	const json_t *path = json_object_get(record, "path");
	const json_t *last = json_array_get(path, json_array_size(path) - 1);
	const char *state = json_text(record, "ownership");
	char how[600];

	if (last && !strcmp(state, owner_state_text(OWNER_KNOWN)))
		snprintf(how, sizeof(how),
			 "missing: ask the customer (case fact); ultimate parent as given: %.200s (%.8s), by "
			 "%.200s",
			 json_text(last, "name"), json_text(last, "headquarters"), json_text(last, "source"));
	else
		snprintf(how, sizeof(how),
			 "missing: ask the customer (case fact); ultimate parent unknown: %.200s",
			 *state ? state : "the finding tells nothing of owners");
	field_row(report, c->id, field, "", "", how);
}

/* The finding's own words where nobody recorded more. */
static void from_finding(json_t *report, const struct om_case *c, const json_t *record, const char *field)
{
	const json_t *step = json_array_get(json_object_get(record, "path"), 0);

	if (!strcmp(field, "ultimate_beneficial_owner"))
		beneficial_owner_row(report, c, record, field);
	else if (step && !strcmp(field, "customer_name_or_dba"))
		field_row(report, c->id, field, json_text(step, "name"), json_text(step, "source"),
			  "ownership as given; not confirmed by the customer");
	else
		field_row(report, c->id, field, "", "", "missing: ask the customer (case fact)");
}

static void ops_row(json_t *report, const struct om_case *c, const json_t *record, const struct behind *b)
{
	const json_t *t = json_object_get(json_object_get(record, "operations"), "training");
	char value[160], low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];
	opcount sum_low = 0, sum_high = 0;

	for (size_t i = 0; i < b->f.rows; i++)
		if (opcount_add(sum_low, b->f.row[i].training_low, &sum_low) ||
		    opcount_add(sum_high, b->f.row[i].training_high, &sum_high))
			sum_low = sum_high = OPCOUNT_MAX;
	if (b->f.rows)
		snprintf(value, sizeof(value), "%s to %s", opcount_format(sum_low, low),
			 opcount_format(sum_high, high));
	else
		snprintf(value, sizeof(value), "%s to %s", json_text(t, "low"), json_text(t, "high"));
	field_row(report, c->id, "estimated_ops", value,
		  b->f.rows ? "metered; readings as gathered" : "metered; the finding",
		  "observed here: other providers' are not in it");
}

int om_report_7308(struct om_ledger *store, const struct om_case *c, const struct om_report_request *q,
		   json_t **ret, struct error_text *err)
{
	_cleanup_(behind_done) struct behind b = { 0 };
	_cleanup_(json_decrefp) json_t *report = report_new("7.308", q->now_ns),
				       *record = om_case_record(c, NULL);
	const json_t *facts = json_object_get(record, "facts");
	int r = report && record ? look_behind(store, c, q, &b, err) : -ENOMEM;

	if (r)
		return r;
	json_object_set_new(
		report, "citation",
		json_string("proposed 15 CFR 7.308(d), 89 FR 5698 (2024-01-29); no final rule was seen"));
	report_scope(report, "what was gathered into this case; what other ledgers hold is in no figure");
	for (size_t i = 0; i < ARRAY_SIZE(fields_7308); i++) {
		const json_t *f = fields_7308[i].fact ? json_object_get(facts, fields_7308[i].fact) : NULL;

		if (!fields_7308[i].fact)
			ops_row(report, c, record, &b);
		else if (f)
			field_row(report, c->id, fields_7308[i].field, json_text(f, "value"),
				  json_text(f, "source"), "recorded in the case");
		else
			from_finding(report, c, record, fields_7308[i].field);
	}
	*ret = TAKE_PTR(report);
	return 0;
}
