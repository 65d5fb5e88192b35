/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_COLLECTIVE_INTERNAL_H
#define OPMETER_AGENT_COLLECTIVE_INTERNAL_H

/* What agent/collective*.c share. Nobody else includes this. */

#include <limits.h>

#include "collective.h"
#include "collective.skel.h"
#include "probes_internal.h"

enum collective_map {
	COLLECTIVE_META,
	COLLECTIVE_LOST,
	COLLECTIVE_FILES,
	COLLECTIVE_SUMS,
	COLLECTIVE_COMMUNICATORS,
	COLLECTIVE_PROCESSES,
	COLLECTIVE_THREADS,
	COLLECTIVE_MAP_END,
};

extern const char *const collective_pinned[COLLECTIVE_MAP_END];

struct collective {
	char dir[PATH_MAX / 2];
	struct collective_bpf *skel;
	int map_fd[COLLECTIVE_MAP_END]; /* the skeleton's */
	uint32_t capacity[COLLECTIVE_MAP_END];
	bool is_new[COLLECTIVE_MAP_END];
	struct om_id map_id;
	uint64_t build; /* of the programs and the table */
	uint8_t key[COLLECTIVE_KEY_SIZE];
	struct collective_sum_row *sums;
	size_t sum_count;
	struct collective_process_row *processes;
	struct collective_event *events;
	size_t event_count;
	uint32_t own[OM_COLLECTIVE_FILES_MAX]; /* attachments made or kept by this instance: seq */
	size_t own_count;
	struct releaser releaser;
};

#endif
