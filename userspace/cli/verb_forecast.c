// SPDX-License-Identifier: Apache-2.0
/*
 * When each model will meet each threshold, from the ledger's days. Totals are formed day by
 * day, so that a day's figure is what policy would have judged at its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../core/forecast_json.h"
#include "../core/ledger.h"
#include "../core/regime.h"
#include "../core/totals.h"
#include "api_client.h"
#include "show_total.h"
#include "verbs.h"

#define REGISTERS_MAX 4000000
#define NS_PER_DAY 86400000000000ULL

struct subject {
	char *tenant, *model;
	struct om_forecast_point *points;
	size_t count;
	struct subject *next;
};

struct series {
	struct om_totals *totals;
	struct om_reading *readings;
	size_t readings_count;
	int32_t day;
	struct subject *subjects;
};

struct request {
	struct api_client api;
	const char *dir, *regimes_dir;
	uint64_t horizon_days;
	bool json;
	int32_t today;
};

static void series_done(struct series *s)
{
	for (struct subject *u = s->subjects, *next; u; u = next) {
		next = u->next;
		free(u->tenant);
		free(u->model);
		free(u->points);
		free(u);
	}
	free(s->readings);
	om_totals_free(s->totals);
}

static int take_assignment(void *ctx, const struct om_entry *e)
{
	struct om_assignment a;

	if (!om_entry_assignment(e, &a))
		return 0;
	return om_totals_assign(((struct series *)ctx)->totals, &a) < 0 ? -ENOSPC : 0;
}

static int take_reading(void *ctx, const struct om_reading *r)
{
	struct series *s = ctx;
	struct om_reading *bigger;

	if (s->readings_count % 1024 == 0) {
		bigger = reallocarray(s->readings, s->readings_count + 1024, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		s->readings = bigger;
	}
	s->readings[s->readings_count++] = *r;
	return 0;
}

static int by_day(const void *x, const void *y)
{
	const struct om_reading *a = x, *b = y;

	return a->key.day < b->key.day ? -1 : a->key.day > b->key.day;
}

static struct subject *subject_get(struct series *s, const struct om_subject_total *t)
{
	struct subject *u = s->subjects;

	while (u && (strcmp(u->tenant, t->tenant) || strcmp(u->model, t->model)))
		u = u->next;
	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->tenant = strdup(t->tenant);
	u->model = strdup(t->model);
	u->next = s->subjects;
	s->subjects = u;
	return u->tenant && u->model ? u : NULL;
}

static int take_total(void *ctx, const struct om_subject_total *t)
{
	struct series *s = ctx;
	struct subject *u = subject_get(s, t);
	struct om_forecast_point *bigger;

	if (!u)
		return -ENOMEM;
	bigger = reallocarray(u->points, u->count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	u->points = bigger;
	u->points[u->count++] = (struct om_forecast_point){ s->day, t->training_low, t->training_high };
	return 0;
}

static int series_read(struct series *s, struct om_ledger *l)
{
	int r = om_ledger_each_entry(l, 0, take_assignment, s) ?: om_ledger_each_register(l, take_reading, s);
	size_t i = 0;

	if (s->readings_count)
		qsort(s->readings, s->readings_count, sizeof(*s->readings), by_day);
	while (r == 0 && i < s->readings_count) {
		s->day = (int32_t)s->readings[i].key.day;
		for (; i < s->readings_count && (int32_t)s->readings[i].key.day == s->day && r >= 0; i++)
			r = om_totals_put(s->totals, &s->readings[i]);
		r = r < 0 ? r : om_totals_each(s->totals, take_total, s);
	}
	return r;
}

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key)) ?: "-";
}

/* A row as om_forecast_json() makes it, here or at a server. */
static int print_row(void *ctx, const json_t *row)
{
	const struct request *q = ctx;
	const char *lineage = json_string_value(json_object_get(row, "lineage"));
	char figure[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN], rate[OPCOUNT_STRLEN];

	if (q->json) {
		_cleanup_free_ char *text = json_dumps(row, JSON_COMPACT);

		if (!text)
			return -ENOMEM;
		printf("%s\n", text);
		return 0;
	}
	printf("%-14.14s %-16.16s %-16.16s %9s %9s %9s  %-10s  %-10s  %-10s  %s%s\n",
	       lineage ? "(lineage)" : text_of(row, "tenant"), lineage ?: text_of(row, "model"),
	       text_of(row, "regime"), opcount_human(show_total_figure(row, "threshold", NULL), figure),
	       opcount_human(show_total_figure(row, "observed", "high"), high),
	       opcount_human(show_total_figure(row, "operations_per_day", "likely"), rate),
	       text_of(row, "earliest"), text_of(row, "likely"), text_of(row, "latest"),
	       text_of(row, "state"),
	       json_is_true(json_object_get(row, "notice_due")) &&
			       !strcmp(text_of(row, "state"), "will-be-met")
		       ? ", notice due"
		       : "");
	return 0;
}

static void print_header(const struct request *q)
{
	if (!q->json)
		printf("%-14s %-16s %-16s %9s %9s %9s  %-10s  %-10s  %-10s  %s\n", "TENANT", "MODEL",
		       "REGIME", "THRESHOLD", "OBSERVED", "A DAY", "EARLIEST", "LIKELY", "LATEST", "STATE");
}

static int show(struct request *q, const struct series *s, const struct regimes *regimes)
{
	int r = 0;

	print_header(q);
	for (const struct subject *u = s->subjects; u; u = u->next)
		for (size_t i = 0; r >= 0 && i < regimes_count(regimes); i++) {
			_cleanup_(json_decrefp) json_t *row =
				json_pack("{s:s,s:s}", "tenant", u->tenant, "model", u->model);

			r = row ? om_forecast_json(row, regimes_at(regimes, i), u->points, u->count, q->today,
						   (uint32_t)q->horizon_days)
				: -ENOMEM;
			if (r == 0)
				r = print_row(q, row);
		}
	return r < 0 ? r : 0;
}

static int ask(struct request *q, struct error_text *err)
{
	char target[96];
	int r = api_client_check(&q->api, err);

	if (r)
		return r;
	snprintf(target, sizeof(target), "/v1/forecasts?limit=10000&horizon=%llu",
		 (unsigned long long)q->horizon_days);
	print_header(q);
	return api_client_pages(&q->api, target, "forecasts", print_row, q, NULL, err);
}

static int forecast(struct request *q, struct error_text *err)
{
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	_cleanup_ledger_ struct om_ledger *l = NULL;
	_cleanup_(series_done) struct series s = { .totals = om_totals_new(REGISTERS_MAX) };
	int r = s.totals ? regimes_load(q->regimes_dir, &regimes, err) : -ENOMEM;

	r = r ?: om_ledger_open(q->dir, OM_LEDGER_READ_ONLY, 0, &l, err);
	r = r ?: series_read(&s, l);
	return r ?: show(q, &s, regimes);
}

int verb_forecast(int argc, char **argv)
{
	struct request q = { .dir = "/var/lib/opmeter",
			     .regimes_dir = OPMETER_DATADIR "/regimes",
			     .horizon_days = 90,
			     .today = (int32_t)(time(NULL) / 86400) };
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &q.dir, "the ledger's directory (/var/lib/opmeter)" },
		API_CLIENT_OPTIONS(q.api),
		{ "regimes", "DIR", OPTION_STRING, &q.regimes_dir, "regimes (" OPMETER_DATADIR "/regimes)" },
		{ "horizon", "DAYS", OPTION_UINT, &q.horizon_days,
		  "a notice is due when the earliest date is within so many days (90)" },
		{ "json", NULL, OPTION_FLAG, &q.json, "exact figures, one JSON object a line" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "forecast",
		.summary = "Says when each model will meet each threshold if it goes on as it went: "
			   "earliest, likely and\n"
			   "latest day, from the rates of the last 7 to 56 days. A warning, never a verdict.",
		.options = options,
	};
	struct error_text err = { 0 };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (q.horizon_days < 1 || q.horizon_days > 36500) {
		log_error("--horizon: a day to a hundred years, not %llu days",
			  (unsigned long long)q.horizon_days);
		return EXIT_USAGE;
	}
	r = q.api.url ? ask(&q, &err) : forecast(&q, &err);
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r == -EINVAL		   ? EXIT_USAGE
	       : r == -EACCES && q.api.url ? EXIT_NOPERM
	       : r			   ? EXIT_FAILED
					   : EXIT_OK;
}
