// SPDX-License-Identifier: Apache-2.0
#include "../agent/agent_options.h"
#include "verbs.h"

int verb_standalone(int argc, char **argv)
{
	struct agent_config config = { .standalone = true };
	int r = agent_options_parse(
		"standalone",
		"Meters this machine: probes, ledger, policy and alerts in one process, no broker needed.",
		argc, argv, &config);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	return agent_run(&config);
}
