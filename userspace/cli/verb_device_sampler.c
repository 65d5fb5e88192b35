// SPDX-License-Identifier: Apache-2.0
/* The device meter's own process: started by the agent, not by people. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "../agent/device.h"
#include "../agent/device_record.h"
#include "verbs.h"

int verb_device_sampler(int argc, char **argv)
{
	uint64_t interval_ns = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;

	/* NVML renews its counters every 100 ms. */
	if (interval_ns < 100000000 || isatty(STDOUT_FILENO))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	return device_sampler(argv[1], STDOUT_FILENO, interval_ns);
}
