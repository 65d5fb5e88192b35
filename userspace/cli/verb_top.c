// SPDX-License-Identifier: Apache-2.0
/*
 * `top` reads the ledger, not the agent: what it shows is what is committed,
 * and it works while the agent is away.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <jansson.h>

#include "../base/options.h"
#include "../core/decimal.h"
#include "../core/ledger.h"
#include "../core/totals.h"
#include "top_api.h"
#include "verbs.h"

#define ROWS_MAX 4096

struct row {
	char tenant[64], model[64];
	struct om_subject_total total;
	char formats[64];
	enum om_phase phase;
	bool phases_differ;
	double rate; /* operations per second since the last look; NaN: first look */
	struct row *next;
};

struct look {
	struct om_totals *totals;
	uint64_t entries; /* read so far */
	struct row *rows, *before;
	double seconds;
};

static int take_assignment(void *ctx, const struct om_entry *e)
{
	struct look *k = ctx;
	struct om_assignment as;

	k->entries = e->index + 1;
	if (om_entry_assignment(e, &as))
		om_totals_assign(k->totals, &as);
	return 0;
}

static int take_register(void *ctx, const struct om_reading *r)
{
	int rc = om_totals_put(((struct look *)ctx)->totals, r);

	return rc < 0 ? rc : 0;
}

static struct row *find_row(struct row *rows, const char *tenant, const char *model)
{
	while (rows && (strcmp(rows->tenant, tenant) || strcmp(rows->model, model)))
		rows = rows->next;
	return rows;
}

static int take_total(void *ctx, const struct om_subject_total *s)
{
	struct look *k = ctx;
	struct row *r = calloc(1, sizeof(*r)), *before = find_row(k->before, s->tenant, s->model);

	if (!r)
		return -ENOMEM;
	snprintf(r->tenant, sizeof(r->tenant), "%s", s->tenant);
	snprintf(r->model, sizeof(r->model), "%s", s->model);
	r->total = *s;
	r->phase = (enum om_phase) - 1;
	r->rate = NAN;
	if (before && k->seconds > 0)
		r->rate = (opcount_to_double(s->all_high) - opcount_to_double(before->total.all_high)) /
			  k->seconds;
	r->next = k->rows;
	k->rows = r;
	return 0;
}

static int take_details(void *ctx, const struct om_attributed *a)
{
	struct row *r = find_row(((struct look *)ctx)->rows, a->tenant, a->model);
	const char *f = om_format_name(a->reading->key.format);
	size_t n;

	if (!r)
		return 0;
	if (r->phase != (enum om_phase) - 1 && r->phase != a->phase)
		r->phases_differ = true;
	r->phase = a->phase;
	n = strlen(r->formats);
	if (a->reading->key.format != OM_FORMAT_UNKNOWN && !strstr(r->formats, f) &&
	    n + strlen(f) + 2 < sizeof(r->formats))
		snprintf(r->formats + n, sizeof(r->formats) - n, "%s%s", n ? "," : "", f);
	return 0;
}

static void free_rows(struct row *r)
{
	while (r) {
		struct row *next = r->next;

		free(r);
		r = next;
	}
}

static int look(struct om_ledger *l, struct look *k)
{
	int r = om_ledger_each_entry(l, k->entries, take_assignment, k);

	r = r ?: om_ledger_each_register(l, take_register, k);
	free_rows(k->before);
	k->before = k->rows;
	k->rows = NULL;
	r = r ?: om_totals_each(k->totals, take_total, k);
	return r ?: om_totals_each_register(k->totals, take_details, k);
}

static int by_size(const void *x, const void *y)
{
	const struct row *a = *(const struct row *const *)x, *b = *(const struct row *const *)y;

	if (a->total.all_high != b->total.all_high)
		return a->total.all_high < b->total.all_high ? 1 : -1;
	return strcmp(a->tenant, b->tenant);
}

static size_t sorted(struct row *rows, const struct row **ret, size_t max)
{
	size_t n = 0;

	for (; rows && n < max; rows = rows->next)
		ret[n++] = rows;
	qsort(ret, n, sizeof(*ret), by_size);
	return n;
}

static void rate_text(double rate, char buf[24])
{
	if (isnan(rate))
		strcpy(buf, "-");
	else
		snprintf(buf, 24, "%.3g", rate);
}

static void print_table(const struct row *const *rows, size_t n)
{
	char total[OPCOUNT_STRLEN], low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN], rate[24], training[96];
	bool attempted = false;

	printf("%-16s %-16s %-22s %-10s %9s %19s %12s %7s  %s\n", "TENANT", "MODEL", "PHASE", "OPERATIONS",
	       "OP/S", "TRAINING", "CALLS", "LOSSES", "FORMATS");
	for (size_t i = 0; i < n; i++) {
		const struct om_subject_total *s = &rows[i]->total;

		opcount_human(s->training_low, low);
		opcount_human(s->training_high, high);
		if (s->training_low == s->training_high)
			snprintf(training, sizeof(training), "%s", low);
		else
			snprintf(training, sizeof(training), "%s..%s", low, high);
		rate_text(rows[i]->rate, rate);
		printf("%-16.16s %-16.16s %-22s %-10s %9s %19s %12llu %7llu  %s%s\n", rows[i]->tenant,
		       rows[i]->model, rows[i]->phases_differ ? "several" : om_phase_name(rows[i]->phase),
		       opcount_human(s->all_high, total), rate, training, (unsigned long long)s->calls,
		       (unsigned long long)s->losses, rows[i]->formats, s->attempted ? " *" : "");
		attempted |= s->attempted;
	}
	if (n == 0)
		printf("nothing has been metered yet\n");
	if (attempted)
		printf("* attempted: what processes asked the library for; no device meter stands behind "
		       "it\n");
}

static void print_json(const struct row *const *rows, size_t n)
{
	json_t *list = json_array();
	char *text;

	for (size_t i = 0; i < n; i++) {
		const struct om_subject_total *s = &rows[i]->total;

		json_array_append_new(
			list,
			json_pack("{s:s,s:s,s:s,s:{s:o,s:o,s:o},s:{s:o,s:o,s:o},s:o,s:o,s:o,s:o,s:o,s:b,s:b,"
				  "s:s}",
				  "tenant", rows[i]->tenant, "model", rows[i]->model, "phase",
				  rows[i]->phases_differ ? "several" : om_phase_name(rows[i]->phase), "all",
				  "low", decimal(s->all_low), "high", decimal(s->all_high), "ceiling",
				  decimal(s->all_ceiling), "training", "low", decimal(s->training_low),
				  "high", decimal(s->training_high), "ceiling", decimal(s->training_ceiling),
				  "calls", decimal(s->calls), "launches", decimal(s->launches), "losses",
				  decimal(s->losses), "contradicted", decimal(s->contradicted),
				  "unattributed", decimal(s->unattributed), "attempted", s->attempted,
				  "bounded", s->is_bounded, "formats", rows[i]->formats));
	}
	text = json_dumps(list, JSON_COMPACT);
	printf("%s\n", text);
	free(text);
	json_decref(list);
}

static int show_once(struct om_ledger *l, struct look *k, bool json)
{
	const struct row *rows[ROWS_MAX];
	int r = look(l, k);
	size_t n;

	if (r)
		return r;
	n = sorted(k->rows, rows, ROWS_MAX);
	if (json)
		print_json(rows, n);
	else
		print_table(rows, n);
	fflush(stdout);
	return 0;
}

static int show(struct om_ledger *l, uint64_t interval_ns, bool once, bool json)
{
	struct look k = { .totals = om_totals_new(4000000) };
	struct timespec pause = { (time_t)(interval_ns / 1000000000), (long)(interval_ns % 1000000000) };
	int r;

	if (!k.totals)
		return -ENOMEM;
	do {
		bool screen = !once && !json && isatty(STDOUT_FILENO);

		if (screen)
			printf("\033[H\033[2J");
		else if (!once && !json)
			printf("\n");
		r = show_once(l, &k, json);
		k.seconds = (double)interval_ns / 1e9;
	} while (r == 0 && !once && nanosleep(&pause, NULL) == 0);
	free_rows(k.rows);
	free_rows(k.before);
	om_totals_free(k.totals);
	return r;
}

int verb_top(int argc, char **argv)
{
	const char *dir = "/var/lib/opmeter";
	struct api_client api = { 0 };
	bool once = false, json = false;
	uint64_t interval_ns = 2000000000ULL;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (/var/lib/opmeter)" },
		API_CLIENT_OPTIONS(api),
		{ "interval", "TIME", OPTION_DURATION, &interval_ns, "how often to look (2s)" },
		{ "once", NULL, OPTION_FLAG, &once, "show once and end" },
		{ "json", NULL, OPTION_FLAG, &json, "exact figures as one line of JSON each time" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "top",
		.summary = "Shows what tenants compute, from what the ledger holds, or with --api the "
			   "fleet's largest "
			   "totals. OPERATIONS\n"
			   "is the upper bound; TRAINING a figure, or LOW..HIGH where the phase of some work "
			   "is not "
			   "known.",
		.options = options,
	};
	_cleanup_ledger_ struct om_ledger *l = NULL;
	struct error_text err = { 0 };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (api.url) {
		r = top_api(&api, interval_ns, once, json, &err);
	} else {
		r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, &l, &err);
		r = r ?: show(l, interval_ns, once, json);
	}
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : r == -EACCES && api.url ? EXIT_NOPERM : r ? EXIT_FAILED : EXIT_OK;
}
