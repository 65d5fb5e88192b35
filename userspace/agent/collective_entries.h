/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_COLLECTIVE_ENTRIES_H
#define OPMETER_AGENT_COLLECTIVE_ENTRIES_H

/*
 * The one table of libnccl's entries that the collective meter watches. Prototypes:
 * nccl.h of 2.32; a test compares the table with it and with the exports of
 * real libraries, and fails on an export that neither list below knows.
 */

#include <stddef.h>
#include <stdint.h>

#include "../../bpf/collective.h"

/* Positions of arguments, counted from 0; OM_SLOT_NONE: has none. */
struct om_collective_entry {
	const char *symbol;
	uint8_t kind;	/* enum om_collective_kind */
	uint8_t has_id; /* enum om_collective_id */
	uint8_t comm, count, type;
	uint8_t id, ids, nranks, rank;
	uint8_t a, b;
};
enum om_collective_id {
	OM_ID_NONE,
	OM_ID_BY_VALUE, /* 128 bytes: on the stack (x86-64), or a pointer to a copy (AArch64) */
	OM_ID_BY_POINTER,
};

extern const struct om_collective_entry om_collective_entries[];
extern const size_t om_collective_entry_count;

/* Exports of libnccl that are not watched, and why. */
struct om_collective_unwatched {
	const char *pattern; /* fnmatch(3) */
	const char *reason;
};
extern const struct om_collective_unwatched om_collective_unwatched[];
extern const size_t om_collective_unwatched_count;

/* Index into om_collective_entries, or -ENOENT. */
int om_collective_entry_find(const char *symbol);

/* The entry's row for the kernel side, in words of this machine's calls. */
void om_collective_entry_site(const struct om_collective_entry *e, struct om_collective_site *ret);

#endif
