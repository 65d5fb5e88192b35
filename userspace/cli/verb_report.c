// SPDX-License-Identifier: Apache-2.0
/* `report case|period`: tables for people and for filings, as JSON or CSV. docs/formats.md, "Reports". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/yaml.h"
#include "../core/report.h"
#include "case_verbs.h"
#include "report_fleet.h"
#include "verbs.h"

#define LEDGER_DEFAULT "/var/lib/opmeter"

struct asked {
	const char *from, *to, *half, *regimes, *owners, *form;
	bool csv;
};

static int write_out(json_t *report, bool csv)
{
	int r;

	if (!csv)
		return store_print(report, false);
	r = om_report_csv(report, stdout);
	json_decref(report);
	return r ? EXIT_FAILED : EXIT_OK;
}

static int parse_days(const struct asked *a, struct om_report_request *q, struct error_text *err)
{
	q->from_day = 0;
	q->to_day = (int32_t)(store_now_ns() / UINT64_C(86400000000000));
	q->now_ns = store_now_ns();
	if (a->half)
		return om_report_half(a->half, &q->from_day, &q->to_day)
			       ? error_set(err, -EINVAL, "'%s': a half year is as in 2026H2", a->half)
			       : 0;
	if ((a->from && date_parse(a->from, &q->from_day)) || (a->to && date_parse(a->to, &q->to_day)))
		return error_set(err, -EINVAL, "a date is as in 2026-11-23");
	return q->from_day > q->to_day ? error_set(err, -EINVAL, "the period ends before it begins") : 0;
}

static int load(const struct asked *a, struct om_report_request *q, struct regimes **regimes,
		struct owners **owners, struct error_text *err)
{
	int r = parse_days(a, q, err);

	if (r == 0 && a->regimes)
		r = regimes_load(a->regimes, regimes, err);
	if (r == 0 && a->owners)
		r = owners_load(a->owners, owners, err)
			    ?: owners_check_dates(*owners, (int32_t)(time(NULL) / 86400), err);
	q->regimes = *regimes;
	q->owners = *owners;
	return r ? -EINVAL : 0;
}

static int report_case(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *clocks = RETENTION_DEFAULT;
	struct asked a = { .form = "figures" };
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "form", "FORM", OPTION_STRING, &a.form,
		  "figures, or 7308: the fields of proposed 15 CFR 7.308(d) (figures)" },
		{ "csv", NULL, OPTION_FLAG, &a.csv, "rows as CSV instead of JSON" },
		{ "from", "DATE", OPTION_STRING, &a.from, "the first day (all)" },
		{ "to", "DATE", OPTION_STRING, &a.to, "the last day (today)" },
		{ "regimes", "DIR", OPTION_STRING, &a.regimes,
		  "thresholds to set the figures beside (none)" },
		{ "retention", "FILE", OPTION_STRING, &clocks, "the clocks (" RETENTION_DEFAULT ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "report case",
		.operands = "CASE",
		.summary = "The figures behind a case with bounds, meters, losses and gaps, its regime's "
			   "version, the "
			   "ownership path with sources,\nand where all of it stands in the log.",
		.options = options,
	};
	_cleanup_(om_retention_freep) struct om_retention *retention = NULL;
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	_cleanup_(owners_freep) struct owners *owners = NULL;
	_cleanup_desk_ struct case_desk d = { 0 };
	struct om_report_request q = { 0 };
	struct error_text err = { 0 };
	json_t *report = NULL;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || (strcmp(a.form, "figures") && strcmp(a.form, "7308"))) {
		log_error("report case: name one CASE; a form is figures or 7308");
		return EXIT_USAGE;
	}
	r = load(&a, &q, &regimes, &owners, &err);
	r = r ?: om_retention_load(clocks, &retention, &err) ? -EINVAL : 0;
	if (r)
		return case_say(&err, r);
	r = case_desk_open(&d, dir, false, argv[at], NULL);
	if (r)
		return store_exit(r);
	r = !strcmp(a.form, "7308") ? om_report_7308(d.ledger, d.c, &q, &report, &err)
				    : om_report_case(d.ledger, d.c, retention, &q, &report, &err);
	return r ? case_say(&err, r) : write_out(report, a.csv);
}

struct opened {
	struct om_ledger *ledger[OPTION_LIST_MAX];
	size_t count;
};

static void opened_done(struct opened *o)
{
	for (size_t i = 0; i < o->count; i++)
		om_ledger_free(o->ledger[i]);
}

static int open_all(const struct option_list *dirs, struct opened *ret)
{
	int r = dirs->count ? 0 : store_open_reader(LEDGER_DEFAULT, &ret->ledger[ret->count++]);

	for (size_t i = 0; i < dirs->count && r == 0; i++)
		r = store_open_reader(dirs->item[i], &ret->ledger[ret->count++]);
	return r;
}

/* The figures come from ledgers or from the fleet. */
static int open_figures(const struct option_list *dirs, const struct api_client *api,
			struct om_report_request *q, struct opened *o, struct fleet_totals *f)
{
	struct error_text err = { 0 };
	int r;

	if (!api->url) {
		r = open_all(dirs, o);
		q->ledgers = o->ledger;
		q->ledger_count = o->count;
		return r ? store_exit(r) : EXIT_OK;
	}
	r = fleet_totals_load(api, q->tenant, q->from_day, q->to_day, f, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : r == -EACCES ? EXIT_NOPERM : EXIT_FAILED;
	}
	q->totals = f->item;
	q->total_count = f->count;
	q->fleet = f->fleet;
	q->as_of = f->as_of;
	return EXIT_OK;
}

static int report_period(int argc, char **argv)
{
	const char *store = NULL, *tenant = NULL;
	struct option_list dirs = { 0 };
	struct api_client api = { 0 };
	struct asked a = { .form = "figures" };
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRINGS, &dirs,
		  "a node's ledger, or a copy; may be repeated (" LEDGER_DEFAULT ")" },
		API_CLIENT_OPTIONS(api),
		{ "tenant", "NAME", OPTION_STRING, &tenant, "this one alone (all)" },
		{ "form", "FORM", OPTION_STRING, &a.form,
		  "figures, or veu: the half-yearly table of a validated end user (figures)" },
		{ "csv", NULL, OPTION_FLAG, &a.csv, "rows as CSV instead of JSON" },
		{ "from", "DATE", OPTION_STRING, &a.from, "the first day (all)" },
		{ "to", "DATE", OPTION_STRING, &a.to, "the last day (today)" },
		{ "half", "YEARHn", OPTION_STRING, &a.half, "a half year, as 2026H2 (none)" },
		{ "regimes", "DIR", OPTION_STRING, &a.regimes,
		  "thresholds to set the figures beside (none)" },
		{ "owners", "FILE", OPTION_STRING, &a.owners, "legal entities and their parents (none)" },
		{ "store", "DIR", OPTION_STRING, &store, "a case store: which cases are there (none)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "report period",
		.summary = "The figures of every tenant and model in a period, from ledgers of nodes or from "
			   "the fleet's API, with bounds,\nmeters, losses, gaps, owners and log positions.",
		.options = options,
	};
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	_cleanup_(owners_freep) struct owners *owners = NULL;
	_cleanup_(opened_done) struct opened o = { 0 };
	_cleanup_(fleet_totals_done) struct fleet_totals fleet = { 0 };
	_cleanup_ledger_ struct om_ledger *cases = NULL;
	struct om_report_request q = { 0 };
	struct error_text err = { 0 };
	json_t *report = NULL;
	int at, r = options_parse(&spec, argc, argv, &at);
	bool veu = !strcmp(a.form, "veu");

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if ((!veu && strcmp(a.form, "figures")) || (veu && !a.half)) {
		log_error("report period: a form is figures or veu; veu needs --half");
		return EXIT_USAGE;
	}
	if (api.url && dirs.count) {
		log_error("report period: either --dir or --api");
		return EXIT_USAGE;
	}
	r = load(&a, &q, &regimes, &owners, &err);
	if (r)
		return case_say(&err, r);
	q.tenant = tenant;
	r = open_figures(&dirs, &api, &q, &o, &fleet);
	if (r)
		return r;
	r = store ? store_open_reader(store, &cases) : 0;
	if (r)
		return store_exit(r);
	q.cases = cases;
	r = veu ? om_report_veu(&q, &report, &err) : om_report_period(&q, &report, &err);
	return r ? case_say(&err, r) : write_out(report, a.csv);
}

int verb_report(int argc, char **argv)
{
	static const struct store_act acts[] = {
		{ "case", "the figures behind a case, or the fields of 7.308", report_case },
		{ "period", "every tenant's figures in a period, or the half-yearly table", report_period },
		{ 0 },
	};

	return store_dispatch("report", "Tables for people and for filings, as JSON or CSV.", acts, argc,
			      argv);
}
