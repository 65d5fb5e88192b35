// SPDX-License-Identifier: Apache-2.0
/* `off`, `on`: the switch that every program in the kernel reads first. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "../agent/probes.h"
#include "../base/options.h"
#include "verbs.h"

static int fail(int r, const struct error_text *err)
{
	log_error("%s", err->text[0] ? err->text : "the switch cannot be reached");
	return r == -EPERM || r == -EACCES ? EXIT_NOPERM : EXIT_FAILED;
}

static double ms_since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from->tv_sec) * 1e3 + (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

int verb_off(int argc, char **argv)
{
	const char *pin_dir = PROBES_PIN_DIR;
	bool detach = false;
	const struct option options[] = {
		{ "pin-dir", "DIR", OPTION_STRING, &pin_dir,
		  "maps and probes on bpffs (" PROBES_PIN_DIR ")" },
		{ "detach", NULL, OPTION_FLAG, &detach,
		  "remove probes and maps here and now: for a node without an agent; undrained counts are "
		  "gone" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "off",
		.summary = "Stops counting on this node within 10 ms. Calls made while it is off are counted "
			   "as lost (off).\n"
			   "A running agent then detaches its probes in the background; `opmeter on` "
			   "attaches them again.",
		.options = options,
	};
	struct error_text err = { 0 };
	struct timespec start;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	clock_gettime(CLOCK_MONOTONIC, &start);
	r = probes_switch(pin_dir, true, &err);
	if (r)
		return fail(r, &err);
	printf("off after %.2f ms\n", ms_since(&start));
	fflush(stdout);
	if (!detach)
		return EXIT_OK;
	r = probes_remove_all(pin_dir, &err);
	if (r)
		return fail(r, &err);
	printf("detached after %.0f ms\n", ms_since(&start));
	return EXIT_OK;
}
