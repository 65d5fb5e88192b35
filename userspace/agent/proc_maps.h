/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROC_MAPS_H
#define OPMETER_AGENT_PROC_MAPS_H

/*
 * Which files a process maps executable, and how to open exactly those files
 * whatever mount namespace they are in.
 */

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_mapping {
	pid_t task;		       /* whose /proc entry shows it: not always the leader's */
	uint64_t start, end;	       /* addresses in the process */
	unsigned dev_major, dev_minor; /* as the kernel prints them: not always stat's */
	uint64_t ino;
	char path[PATH_MAX]; /* as the process sees it; may end in " (deleted)" */
};

/*
 * Calls fn for each executable mapping of a file. A process whose leader has
 * exited while other threads go on is read through one of those.
 * fn returns 0 to go on, anything else stops and is returned.
 * 0; -ESRCH: the process is gone, or has no memory (a kernel thread, a zombie);
 * -EPERM, -EACCES.
 */
int proc_maps_each(pid_t tgid, int (*fn)(void *ctx, const struct proc_mapping *m), void *ctx);

/* When it was started, in clock ticks since boot (/proc/PID/stat, field 22). 0, -ESRCH. */
int proc_start_ticks(pid_t tgid, uint64_t *ret);

/* Calls fn for each process of /proc. fn as above. */
int proc_each(int (*fn)(void *ctx, pid_t tgid), void *ctx);

/*
 * Opens the file behind a mapping for reading. Only regular files are opened:
 * opening a device can have effects. Returns the descriptor, or -errno: -ENOENT,
 * -ESRCH: no longer mapped there; -EINVAL: not a regular file.
 */
int proc_open_mapped(pid_t task, uint64_t start, uint64_t end);

/* As above, by the path within the root of the process, if the file there has
 * this inode number; -ESTALE if it has not. */
int proc_open_path(pid_t task, const char *path, uint64_t ino);

#endif
