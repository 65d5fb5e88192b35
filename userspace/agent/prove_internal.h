/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROVE_INTERNAL_H
#define OPMETER_AGENT_PROVE_INTERNAL_H

/* Between the three parts of a proof; nobody else includes this. */

#include <stdint.h>

#include "../core/offsets.h"

/* What the child hands back, in one write(2). Nothing of it is believed unchecked. */
struct prove_result {
	uint32_t is_proven;
	uint32_t unconfined; /* errno: the cage could not be closed, nothing was loaded */
	uint32_t version;    /* cublasLtGetVersion() */
	uint16_t at[OM_OFFSET_FIELD_END];
	char why[256]; /* not proven: one sentence */
};

/* In the child: gives up everything but reading files, memory, and writing to
 * result_fd. 0, or -errno: not confined, so nothing may be loaded. */
int prove_confine(int result_fd, uint64_t cpu_seconds_max);

/* In the child: loads the library behind fd and proves it. Always fills *ret. */
void prove_library(int fd, struct prove_result *ret);

#endif
