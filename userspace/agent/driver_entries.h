/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DRIVER_ENTRIES_H
#define OPMETER_AGENT_DRIVER_ENTRIES_H

/*
 * The one table of the driver library's entries that the launch meter watches:
 * every way to launch a kernel or a graph, and what it takes to know what is
 * launched. Prototypes: cuda.h of 12.9 and 13.0; a test compares the table with
 * them and with the exports of real driver libraries, and fails on a new launch.
 */

#include <stddef.h>
#include <stdint.h>

#include "../../bpf/opmeter.h"

struct om_driver_entry {
	const char *symbol;
	uint8_t op;    /* enum om_driver_op */
	uint8_t flags; /* enum om_driver_flags */
	/* Positions of the arguments that the op takes, counted from 0; OM_SLOT_NONE: has none. */
	uint8_t arg[OM_DRIVER_ARGS];
};

extern const struct om_driver_entry om_driver_entries[];
extern const size_t om_driver_entry_count;

/* Exports that look like launches and are none, and why. */
struct om_driver_unwatched {
	const char *pattern; /* fnmatch(3) */
	const char *reason;
};
extern const struct om_driver_unwatched om_driver_unwatched[];
extern const size_t om_driver_unwatched_count;

/* Index into om_driver_entries, or -ENOENT. */
int om_driver_entry_find(const char *symbol);

#endif
