// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>

#include "../agent/probes.h"
#include "../base/options.h"
#include "verbs.h"

int verb_on(int argc, char **argv)
{
	const char *pin_dir = PROBES_PIN_DIR;
	const struct option options[] = {
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
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	r = probes_switch(pin_dir, false, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : "the switch cannot be reached");
		return r == -EPERM ? EXIT_NOPERM : EXIT_FAILED;
	}
	printf("on\n");
	return EXIT_OK;
}
