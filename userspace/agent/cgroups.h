/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_CGROUPS_H
#define OPMETER_AGENT_CGROUPS_H

/*
 * cgroup id -> path. The id that the kernel read at the call is the fact; the
 * path says whose it is. Paths come from three places: the tree as it stands, a
 * look-up by id (the id is the cgroup's file handle), and what the kernel
 * recorded when the cgroup was made, for those that are gone again.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/log.h"
#include "../core/register.h"

struct cgroups;

/*
 * Finds the cgroup2 hierarchy through /proc/self/mountinfo; hybrid hosts mount
 * it beside the v1 controllers. -ENOTSUP: a cgroup v1 host: every process has
 * the same cgroup id there, so work cannot be told apart; *err says so.
 */
int cgroups_open(struct cgroups **ret, struct error_text *err);
struct cgroups *cgroups_free(struct cgroups *c);
static inline void cgroups_freep(struct cgroups **c)
{
	*c = cgroups_free(*c);
}

/* Where cgroup2 is mounted. */
const char *cgroups_root(const struct cgroups *c);
const struct om_id *cgroups_boot_id(const struct cgroups *c);
/* The kernel's own record of a cgroup that was made. 0, -ENOMEM, -ENOSPC. */
int cgroups_learn(struct cgroups *c, uint64_t id, const char *path);
/* NULL: nobody knows the path. A loan until the next call. */
const char *cgroups_path(struct cgroups *c, uint64_t id);
/* By its path below the root; 0: there is none. */
uint64_t cgroups_of_path(const struct cgroups *c, const char *path);
/* Whether there is a cgroup of that id now: one that was removed is none. */
bool cgroups_exists(const struct cgroups *c, uint64_t id);
/* The cgroup of a process now; 0 if it is gone. */
uint64_t cgroups_of_process(struct cgroups *c, int pid);

#endif
