// SPDX-License-Identifier: Apache-2.0
#include "../agent/agent_options.h"
#include "verbs.h"

int verb_agent(int argc, char **argv)
{
	struct agent_config config = { .standalone = false };
	int r = agent_options_parse("agent",
				    "Meters this node and sends readings and assignments to Kafka or a file.",
				    argc, argv, &config);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	return agent_run(&config);
}
