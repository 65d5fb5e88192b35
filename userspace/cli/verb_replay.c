// SPDX-License-Identifier: Apache-2.0
#include "../base/log.h"
#include "verbs.h"

int verb_replay(int argc, char **argv)
{
	log_error("replay: not built yet");
	return EXIT_FAILED;
}
