// SPDX-License-Identifier: Apache-2.0
/* `off`, `on`: the switch that every program in the kernel reads first. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../agent/collective.h"
#include "../agent/counter.h"
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

/* "all" is the node's own bit when switching off; switching on clears every bit. */
static int meters_of(const char *name, bool is_off, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint32_t off, on;
	} meters[] = {
		{ "all", OM_OFF_NODE,
		  OM_OFF_NODE | OM_OFF_SHAPE | OM_OFF_LAUNCH | OM_OFF_COUNTER | OM_OFF_DEVICE |
			  OM_OFF_COLLECTIVE },
		{ "shape", OM_OFF_SHAPE, OM_OFF_SHAPE },
		{ "launch", OM_OFF_LAUNCH, OM_OFF_LAUNCH },
		{ "counter", OM_OFF_COUNTER, OM_OFF_COUNTER },
		{ "device", OM_OFF_DEVICE, OM_OFF_DEVICE },
		{ "collective", OM_OFF_COLLECTIVE, OM_OFF_COLLECTIVE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(meters); i++) {
		if (strcmp(meters[i].name, name))
			continue;
		*ret = is_off ? meters[i].off : meters[i].on;
		return 0;
	}
	log_error("--meter %s: not a meter that can be switched: all, shape, launch, counter, device, "
		  "collective",
		  name);
	return -EINVAL;
}

int verb_off(int argc, char **argv)
{
	const char *pin_dir = PROBES_PIN_DIR, *meter = "all";
	bool detach = false;
	const struct option options[] = {
		{ "meter", "NAME", OPTION_STRING, &meter,
		  "all, shape, launch, counter, device or collective (all)" },
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
	uint32_t meters;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (meters_of(meter, true, &meters))
		return EXIT_USAGE;
	clock_gettime(CLOCK_MONOTONIC, &start);
	r = probes_switch(pin_dir, meters, true, &err);
	if (r)
		return fail(r, &err);
	printf("off after %.2f ms\n", ms_since(&start));
	fflush(stdout);
	if (!detach)
		return EXIT_OK;
	counter_remove_all(pin_dir);
	collective_remove_all(pin_dir);
	r = probes_remove_all(pin_dir, &err);
	if (r)
		return fail(r, &err);
	printf("detached after %.0f ms\n", ms_since(&start));
	return EXIT_OK;
}

int verb_on(int argc, char **argv)
{
	const char *pin_dir = PROBES_PIN_DIR, *meter = "all";
	const struct option options[] = {
		{ "meter", "NAME", OPTION_STRING, &meter,
		  "all, shape, launch, counter, device or collective (all)" },
		{ "pin-dir", "DIR", OPTION_STRING, &pin_dir,
		  "maps and probes on bpffs (" PROBES_PIN_DIR ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "on",
		.summary = "Starts counting again on this node. A running agent attaches its probes again.",
		.options = options,
	};
	struct error_text err = { 0 };
	uint32_t meters;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (meters_of(meter, false, &meters))
		return EXIT_USAGE;
	r = probes_switch(pin_dir, meters, false, &err);
	if (r)
		return fail(r, &err);
	printf("on\n");
	return EXIT_OK;
}
