// SPDX-License-Identifier: Apache-2.0
/* `policy check`: are the files that people write in order, and what do they say? */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/yaml.h"
#include "../core/attribution.h"
#include "policy_input.h"

static void print_window(const struct regime *g)
{
	char day[16];

	if (g->from_day != INT32_MIN)
		printf(", from %s", date_format(g->from_day, day));
	if (g->to_day != INT32_MIN)
		printf(" to %s", date_format(g->to_day, day));
	if (g->status)
		printf(", %s", g->status);
}

static void print_regime(const struct regime *g, int32_t today)
{
	char figure[OPCOUNT_STRLEN], day[16];

	printf("regime %s version %s: %s\n  mode %s%s", g->id, g->version, g->title,
	       regime_mode_name(g->mode), regime_holds_on(g, today) ? "" : " (does not hold today)");
	print_window(g);
	printf("\n  %s (evidence: %s)\n  digest %s\n", g->citation, g->evidence, g->digest);
	if (g->accepted.by)
		printf("  enforce accepted by %s on %s (%s)\n", g->accepted.by,
		       date_format(g->accepted.day, day), g->accepted.reference);
	for (size_t i = 0; !g->threshold_missing && g->kind == REGIME_THRESHOLD && i < g->level_count; i++)
		printf("  level %-10s %s bound at least %s\n", g->levels[i].name,
		       g->levels[i].lower ? "lower" : "upper",
		       opcount_format(regime_level_figure(g, &g->levels[i]), figure));
	if (g->threshold_missing)
		printf("  conditional: %s\n", g->threshold_missing);
	if (g->floor_missing)
		printf("  conditional: %s is not known\n", g->floor_missing);
	if (g->kind == REGIME_OWNER)
		printf("  flags headquarters, or an ultimate parent's, outside %s, tells %s apart; a case "
		       "from %g %% of "
		       "%s\n",
		       g->clear_set, g->apart_set, g->material_ppm / 1e4, g->threshold_of);
	for (size_t i = 0; i < g->unverified_count; i++)
		printf("  unverified: %s\n", g->unverified[i]);
}

static bool is_asked_for(const struct regimes *g, const char *fact)
{
	for (size_t i = 0; i < regimes_count(g); i++)
		for (size_t k = 0; k < regimes_at(g, i)->requires_count; k++)
			if (!strcmp(regimes_at(g, i)->requires[k].fact, fact))
				return true;
	return false;
}

/* A slip in a fact's name would leave its regime conditional, and nobody would know why. */
static void tell_unknown_facts(const struct regimes *g, const char *path, const struct declarations *all)
{
	for (size_t i = 0; g && all && i < declarations_count(all); i++) {
		const struct declaration *d = declarations_at(all, i);

		if (d->kind == DECLARE_FACT && !is_asked_for(g, d->other))
			printf("%s:%u: no regime asks for a fact '%s'\n", path, d->line, d->other);
	}
}

static int check_files(const struct regimes *regimes, const char *owners_path, const char *tenants_path,
		       const char *declarations_path)
{
	_cleanup_(owners_freep) struct owners *owners = NULL;
	_cleanup_(tenant_map_freep) struct tenant_map *tenants = NULL;
	_cleanup_(declarations_freep) struct declarations *declarations = NULL;
	struct error_text err = { 0 };
	int r = owners_path ? owners_load(owners_path, &owners, &err) : 0;

	if (r == 0 && owners)
		r = owners_check_dates(owners, (int32_t)(time(NULL) / 86400), &err);
	if (r == 0 && tenants_path)
		r = tenant_map_load(tenants_path, &tenants, &err);
	if (r == 0 && declarations_path)
		r = declarations_load(declarations_path, &declarations, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return EXIT_USAGE;
	}
	if (owners)
		printf("owners %s: in order\n", owners_path);
	if (tenants)
		printf("tenants %s: %zu rules, in order\n", tenants_path, tenant_map_rules(tenants));
	tell_unknown_facts(regimes, declarations_path, declarations);
	if (declarations)
		printf("declarations %s: %zu records, in order\n", declarations_path,
		       declarations_count(declarations));
	return EXIT_OK;
}

int policy_check(int argc, char **argv)
{
	const char *regimes_dir = NULL, *owners = NULL, *tenants = NULL, *declarations = NULL;
	const struct option options[] = {
		{ "regimes", "DIR", OPTION_STRING, &regimes_dir,
		  "regimes (" POLICY_REGIMES ", if nothing else is named)" },
		{ "owners", "FILE", OPTION_STRING, &owners, "legal entities and their parents (none)" },
		{ "tenants", "FILE", OPTION_STRING, &tenants, "static map of cgroups to tenants (none)" },
		{ "declarations", "FILE", OPTION_STRING, &declarations, "what people declared (none)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "policy check",
		.summary = "Reads regimes, owners, tenant maps and declarations strictly and says what they "
			   "hold. A slip is told with file and line.",
		.options = options,
	};
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	int32_t today = (int32_t)(time(NULL) / 86400);
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (!regimes_dir && !owners && !tenants && !declarations)
		regimes_dir = POLICY_REGIMES;
	r = regimes_dir ? policy_regimes_load(regimes_dir, &regimes) : EXIT_OK;
	if (r)
		return r;
	for (size_t i = 0; regimes && i < regimes_count(regimes); i++)
		print_regime(regimes_at(regimes, i), today);
	return check_files(regimes, owners, tenants, declarations);
}
