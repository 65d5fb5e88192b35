/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_COUNTER_INTERNAL_H
#define OPMETER_AGENT_COUNTER_INTERNAL_H

/* What agent/counter*.c share. Nobody else includes this. */

#include <limits.h>

#include "counter.h"
#include "counter.skel.h"

enum counter_map { COUNTER_META, COUNTER_COUNTERS, COUNTER_PROCESSES, COUNTER_MAP_END };

#define COUNTER_FILES_MAX 256

struct counter {
	char dir[PATH_MAX / 2];
	struct counter_bpf *skel;
	int map_fd[COUNTER_MAP_END]; /* the skeleton's */
	uint32_t capacity[COUNTER_MAP_END];
	bool is_new[COUNTER_MAP_END];
	uint64_t build; /* of the programs */
	struct counter_row *rows;
	struct counter_process_row *processes;
	char own[COUNTER_FILES_MAX][NAME_MAX + 1]; /* directories of links made or kept by this instance */
	size_t own_count;
};

int counter_build(struct counter *c);

#endif
