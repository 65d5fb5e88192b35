// SPDX-License-Identifier: Apache-2.0
#include "../base/log.h"
#include "verbs.h"

int verb_prove(int argc, char **argv)
{
	log_error("prove: not built yet");
	return EXIT_FAILED;
}
