// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include "../base/exit_code.h"
#include "../base/log.h"

int agent_run(const struct agent_config *config)
{
	log_error("the agent is not wired yet");
	return EXIT_FAILED;
}
