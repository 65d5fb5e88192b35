// SPDX-License-Identifier: Apache-2.0
/* `tpp`: what an inventory could do against the caps on it. Capacity, never operations. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/yaml.h"
#include "../core/capacity.h"
#include "../core/country.h"
#include "verbs.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif
#define REJECTS_SHOWN 20

struct telling {
	const char *path;
	bool json, all;
	size_t rejects, met, conditional, findings;
};

static void tell_reject(void *ctx, unsigned line, const char *why)
{
	struct telling *t = ctx;

	if (t->rejects++ < REJECTS_SHOWN)
		log_warn("%s:%u: refused: %s", t->path, line, why);
}

static double share_of(const struct capacity_finding *f)
{
	if (f->limit->share_ppm)
		return f->of ? 100 * opcount_to_double(f->tpp) / opcount_to_double(f->of) : 0;
	return f->cap ? 100 * opcount_to_double(f->tpp) / opcount_to_double(f->cap) : 0;
}

static const char *state_text(const struct capacity_finding *f)
{
	static char text[300];

	if (f->is_conditional && f->limit->missing) {
		snprintf(text, sizeof(text), "conditional(%s)", f->limit->missing);
		return text;
	}
	if (f->is_conditional && f->limit->status) {
		snprintf(text, sizeof(text), "conditional(whether the owner is a %s: --status OWNER=%s%s)",
			 f->limit->status, f->limit->status,
			 f->limit->home ? "; its home: --home OWNER=CC" : "");
		return text;
	}
	if (f->is_conditional)
		return "conditional(the owner's home: --home OWNER=CC)";
	if (!f->is_met)
		return "within";
	return f->limit->comparator == REGIME_AT_LEAST ? "reached" : "exceeded";
}

static void print_json(const struct capacity_finding *f)
{
	char tpp[OPCOUNT_STRLEN], cap[OPCOUNT_STRLEN];
	json_t *o = json_pack(
		"{s:s,s:s,s:s,s:s,s:s?,s:s?,s:s,s:s?,s:s,s:s,s:s}", "regime", f->regime->id, "version",
		f->regime->version, "mode", regime_mode_name(f->regime->mode), "limit", f->limit->id, "owner",
		f->owner, "country", f->country, "tpp", opcount_format(f->tpp, tpp),
		f->limit->share_ppm ? "of" : "cap",
		f->limit->missing ? NULL : opcount_format(f->limit->share_ppm ? f->of : f->cap, cap), "state",
		state_text(f), "citation", f->limit->citation, "evidence", f->limit->evidence);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text)
		puts(text);
	free(text);
	json_decref(o);
}

static int tell(void *ctx, const struct capacity_finding *f)
{
	struct telling *t = ctx;
	char tpp[OPCOUNT_STRLEN], cap[OPCOUNT_STRLEN], line[32] = "";

	t->findings++;
	t->met += f->is_met;
	t->conditional += f->is_conditional;
	/* Rows are many, and most are small. */
	if (f->line && !f->is_met && !t->all)
		return 0;
	if (t->json) {
		print_json(f);
		return 0;
	}
	if (f->line)
		snprintf(line, sizeof(line), " line %u", f->line);
	if (f->limit->missing) {
		printf("%-26s %-24s %-3s%s %14s TPP: %s  (%s, %s; mode %s)\n", f->limit->id,
		       f->owner ? f->owner : "all owners", f->country ? f->country : "", line,
		       opcount_format(f->tpp, tpp), state_text(f), f->limit->citation, f->limit->evidence,
		       regime_mode_name(f->regime->mode));
		return 0;
	}
	opcount_format(f->limit->share_ppm ? f->of : f->cap, cap);
	printf("%-26s %-24s %-3s%s %14s TPP of %14s: %6.2f %%%s%s  (%s; mode %s)\n", f->limit->id,
	       f->owner ? f->owner : "all owners", f->country ? f->country : "", line,
	       opcount_format(f->tpp, tpp), cap, share_of(f), f->limit->share_ppm ? ", " : " of the cap, ",
	       state_text(f), f->limit->citation, regime_mode_name(f->regime->mode));
	return 0;
}

static int set_homes(struct inventory *inv, const struct option_list *homes)
{
	for (size_t i = 0; i < homes->count; i++) {
		const char *eq = strrchr(homes->item[i], '=');
		char owner[96];

		/* As inventories write them; anything else would match no row and so be abroad everywhere. */
		if (!eq || !country_is_code(eq + 1) || (size_t)(eq - homes->item[i]) >= sizeof(owner)) {
			log_error("tpp: --home is OWNER=CC, CC a code of ISO 3166-1, two capital letters "
				  "such as US, not '%s'",
				  homes->item[i]);
			return -EINVAL;
		}
		snprintf(owner, sizeof(owner), "%.*s", (int)(eq - homes->item[i]), homes->item[i]);
		if (inventory_home(inv, owner, eq + 1))
			return -ENOMEM;
	}
	return 0;
}

static int set_statuses(struct inventory *inv, const struct option_list *statuses)
{
	for (size_t i = 0; i < statuses->count; i++) {
		const char *eq = strrchr(statuses->item[i], '=');
		char owner[96];

		if (!eq || (size_t)(eq - statuses->item[i]) >= sizeof(owner) ||
		    (strcmp(eq, "=UVEU") && strcmp(eq, "=NVEU") && strcmp(eq, "=none"))) {
			log_error("tpp: --status is OWNER=UVEU, OWNER=NVEU or OWNER=none, not '%s'",
				  statuses->item[i]);
			return -EINVAL;
		}
		snprintf(owner, sizeof(owner), "%.*s", (int)(eq - statuses->item[i]), statuses->item[i]);
		if (inventory_status(inv, owner, eq + 1))
			return -ENOMEM;
	}
	return 0;
}

/* What the sum does not say by itself. */
static int tell_foot(const struct telling *t, const struct inventory *inv, int32_t day)
{
	size_t later = inventory_later(inv, day), doubled;
	char sum[OPCOUNT_STRLEN], date[16];

	if (inventory_doubled(inv, &doubled))
		return -ENOMEM;
	if (doubled)
		log_warn("%s: %zu rows say what another one says, and count as often", t->path, doubled);
	if (later)
		log_warn("%s: %zu rows of days after %s are in no sum", t->path, later,
			 date_format(day, date));
	if (t->json)
		return 0;
	printf("%zu rows of %zu, %s TPP on %s; capacity, not operations: %zu caps, %zu met, %zu "
	       "conditional\n",
	       inventory_rows(inv) - later, inventory_rows(inv), opcount_format(inventory_tpp(inv, day), sum),
	       date_format(day, date), t->findings, t->met, t->conditional);
	return 0;
}

static int judge(struct telling *t, const char *regimes_dir, const char *chips_path, int32_t day,
		 const struct option_list *homes, const struct option_list *statuses)
{
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	_cleanup_(chips_freep) struct chips *chips = NULL;
	_cleanup_(inventory_freep) struct inventory *inv = NULL;
	struct error_text err = { 0 };
	int r = regimes_load(regimes_dir, &regimes, &err);

	r = r ?: chips_load(chips_path, &chips, &err);
	r = r ?: inventory_load(t->path, chips, tell_reject, t, &inv, &err);
	if (r) {
		if (t->rejects)
			log_error("%s: %zu rows refused, so nothing is judged: what is left out would "
				  "understate. The "
				  "first: %s",
				  t->path, t->rejects, err.text);
		else
			log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	r = set_homes(inv, homes) ?: set_statuses(inv, statuses);
	r = r ?: capacity_judge(regimes, inv, day, tell, t);
	r = r ?: tell_foot(t, inv, day);
	if (r)
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	return t->met ? EXIT_FINDING : EXIT_OK;
}

int verb_tpp(int argc, char **argv)
{
	const char *regimes = OPMETER_DATADIR "/regimes", *chips = OPMETER_DATADIR "/tpp.csv", *at = NULL;
	struct option_list homes = { .count = 0 }, statuses = { .count = 0 };
	struct telling t = { .path = NULL };
	const struct option options[] = {
		{ "regimes", "DIR", OPTION_STRING, &regimes,
		  "regimes with caps (" OPMETER_DATADIR "/regimes)" },
		{ "chips", "FILE", OPTION_STRING, &chips, "TPP of each chip (" OPMETER_DATADIR "/tpp.csv)" },
		{ "at", "DATE", OPTION_STRING, &at, "judge what is there on that day (today)" },
		{ "home", "OWNER=CC", OPTION_STRINGS, &homes,
		  "country of an owner's headquarters (not known)" },
		{ "status", "OWNER=WHAT", OPTION_STRINGS, &statuses, "UVEU, NVEU or none (not known)" },
		{ "all", NULL, OPTION_FLAG, &t.all, "rows that meet no cap of a single shipment, too" },
		{ "json", NULL, OPTION_FLAG, &t.json, "one JSON object a cap" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "tpp",
		.operands = "INVENTORY",
		.summary = "Sums what an inventory (CSV: site,country,owner,chip,count,date; owner is the "
			   "ultimate parent) "
			   "could do\nin TPP, dense rates only, and compares it with the caps of regimes, "
			   "whatever their "
			   "mode. Capacity, never operations.\nExit code 3 if a cap is met.",
		.options = options,
	};
	int32_t day = (int32_t)(time(NULL) / 86400);
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (argc - operand != 1 || (at && date_parse(at, &day))) {
		log_error("tpp: one inventory must be given, and --at must be a date such as 2026-11-23");
		return EXIT_USAGE;
	}
	t.path = argv[operand];
	return judge(&t, regimes, chips, day, &homes, &statuses);
}
