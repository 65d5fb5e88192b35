// SPDX-License-Identifier: Apache-2.0
/* Asks one source whose some jobs are: started by the agent, not by people. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "../agent/resolve_internal.h"
#include "verbs.h"

int verb_identity_resolver(int argc, char **argv)
{
	if (argc < 4 || isatty(STDOUT_FILENO))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	return resolve_ask(argv[1], argv[2], argv + 3, (size_t)argc - 3, stdout);
}
