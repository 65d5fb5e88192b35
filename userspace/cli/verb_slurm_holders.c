// SPDX-License-Identifier: Apache-2.0
/* Asks Slurm who holds this node's devices: started by the agent, not by people. */
#include <signal.h>
#include <unistd.h>

#include "../agent/holders.h"
#include "verbs.h"

int verb_slurm_holders(int argc, char **argv)
{
	if (argc != 2 || isatty(STDOUT_FILENO))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	return holders_slurm(argv[1], STDOUT_FILENO);
}
