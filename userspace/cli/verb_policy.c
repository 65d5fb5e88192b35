// SPDX-License-Identifier: Apache-2.0
/* `policy check|explain|diff|replay`: the law as data, and what it makes of what was metered. */
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "policy_input.h"
#include "verbs.h"

int verb_policy(int argc, char **argv)
{
	static const struct {
		const char *name, *help;
		int (*run)(int argc, char **argv);
	} acts[] = {
		{ "check",
		  "are regimes, owners, tenant maps and declarations in order, and what do they say?",
		  policy_check },
		{ "explain", "what a regime says; why a subject's verdicts are what they are",
		  policy_explain },
		{ "diff", "what two versions of the regimes say differently", policy_diff },
		{ "replay", "judge a history anew, and show the old verdicts beside the new", policy_replay },
	};

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(acts); i++)
		if (!strcmp(argv[1], acts[i].name))
			return acts[i].run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--help")) {
		log_error("policy: no '%s': check, explain, diff or replay", argv[1]);
		return EXIT_USAGE;
	}
	printf("usage: opmeter policy ACT [OPTION ...]\n\nThe law as data, and what it makes of what was "
	       "metered.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		printf("  %-8s %s\n", acts[i].name, acts[i].help);
	printf("  %-8s %s\n", "--help", "print this; `opmeter policy ACT --help` tells the rest");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
