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
#include "../core/ownership.h"
#include "../core/regime.h"
#include "verbs.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif

static void print_regime(const struct regime *g, int32_t today)
{
	char figure[OPCOUNT_STRLEN], from[16], to[16];

	printf("regime %s version %s: %s\n  mode %s%s, %s%s%s%s\n  %s (evidence: %s)\n  digest %s\n", g->id,
	       g->version, g->title, regime_mode_name(g->mode),
	       regime_holds_on(g, today) ? "" : " (does not hold today)",
	       g->from_day == INT32_MIN ? "" : "from ",
	       g->from_day == INT32_MIN ? "" : date_format(g->from_day, from),
	       g->to_day == INT32_MIN ? "" : " to ", g->to_day == INT32_MIN ? "" : date_format(g->to_day, to),
	       g->citation, g->evidence, g->digest);
	for (size_t i = 0; i < g->level_count; i++)
		printf("  level %-10s %s bound %s %s\n", g->levels[i].name,
		       g->levels[i].lower ? "lower" : "upper", g->comparator == REGIME_AT_LEAST ? ">=" : "> ",
		       opcount_format(regime_level_figure(g, &g->levels[i]), figure));
	if (g->floor_missing)
		printf("  conditional: %s is not known\n", g->floor_missing);
	if (g->kind == REGIME_OWNER)
		printf("  flags a seat or ultimate parent outside %s, tells %s apart; a case from %g %% of "
		       "%s\n",
		       g->clear_set, g->apart_set, g->material_ppm / 1e4, g->threshold_of);
}

static int check(const char *regimes_dir, const char *owners_path, const char *tenants_path,
		 struct error_text *err)
{
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	_cleanup_(owners_freep) struct owners *owners = NULL;
	_cleanup_(tenant_map_freep) struct tenant_map *tenants = NULL;
	int32_t today = (int32_t)(time(NULL) / 86400);
	int r = 0;

	if (regimes_dir)
		r = regimes_load(regimes_dir, &regimes, err);
	if (r == 0 && owners_path)
		r = owners_load(owners_path, &owners, err);
	if (r == 0 && tenants_path)
		r = tenant_map_load(tenants_path, &tenants, err);
	if (r)
		return r;
	for (size_t i = 0; regimes && i < regimes_count(regimes); i++)
		print_regime(regimes_at(regimes, i), today);
	if (owners)
		printf("owners %s: in order\n", owners_path);
	if (tenants)
		printf("tenants %s: %zu rules, in order\n", tenants_path, tenant_map_rules(tenants));
	return 0;
}

static int verb_policy_check(int argc, char **argv)
{
	const char *regimes = NULL, *owners = NULL, *tenants = NULL;
	const struct option options[] = {
		{ "regimes", "DIR", OPTION_STRING, &regimes,
		  "regimes (" OPMETER_DATADIR "/regimes, if nothing else is named)" },
		{ "owners", "FILE", OPTION_STRING, &owners, "legal entities and their parents (none)" },
		{ "tenants", "FILE", OPTION_STRING, &tenants, "static map of cgroups to tenants (none)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "policy check",
		.summary = "Reads regimes, owners and tenant maps strictly and says what they hold. A slip "
			   "is told with file and line.",
		.options = options,
	};
	struct error_text err = { 0 };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (!regimes && !owners && !tenants)
		regimes = OPMETER_DATADIR "/regimes";
	r = check(regimes, owners, tenants, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

int verb_policy(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "check"))
		return verb_policy_check(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--help")) {
		log_error("policy: no '%s': check", argv[1]);
		return EXIT_USAGE;
	}
	printf("usage: opmeter policy check [OPTION ...]\n\nLooks at the files that people write.\n\n"
	       "  check    are regimes, owners and tenant maps in order, and what do they say?\n"
	       "  --help   print this; `opmeter policy check --help` tells the rest\n");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
