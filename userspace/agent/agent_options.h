/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_AGENT_OPTIONS_H
#define OPMETER_AGENT_AGENT_OPTIONS_H

#include "agent.h"

/* Command line -> configuration, shared by `agent` and `standalone`.
 * As options_parse(). */
int agent_options_parse(const char *verb, const char *summary, int argc, char **argv,
			struct agent_config *ret);

#endif
