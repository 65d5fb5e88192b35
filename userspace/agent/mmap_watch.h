/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_MMAP_WATCH_H
#define OPMETER_AGENT_MMAP_WATCH_H

/*
 * Tells of every executable mapping of a file that any process of the machine
 * makes, from the kernel's own perf events: a software dummy event on each CPU,
 * which counts nothing, costs nothing but the records, and needs no BPF.
 */

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/cleanup.h"
#include "../base/log.h"

struct mmap_event {
	pid_t tgid;
	uint64_t start, end; /* as mapped; the mapping may have been split since */
	unsigned dev_major, dev_minor;
	uint64_t ino;
	uint64_t time_ns; /* boot time */
	const char *path; /* as the process sees it; a loan until the callback returns */
};

struct mmap_watch;

/*
 * ring_bytes: for each CPU, a power of two of at least 16 KiB; it is locked
 * memory. 0; -EPERM, -EACCES: CAP_PERFMON is missing; -ENOSYS, -ENOENT: a kernel
 * without perf events; -EMFILE. *err says what to do.
 */
int mmap_watch_open(size_t ring_bytes, struct mmap_watch **ret, struct error_text *err);
struct mmap_watch *mmap_watch_free(struct mmap_watch *w); /* NULL is fine; returns NULL */
#define _cleanup_mmap_watch_ _cleanup_(mmap_watch_freep)
static inline void mmap_watch_freep(struct mmap_watch **w)
{
	*w = mmap_watch_free(*w);
}

/* Becomes readable (epoll) when there is something to read. */
int mmap_watch_fd(const struct mmap_watch *w);

/* Hands all waiting events to fn, and leaves none behind. 1: some were lost, or
 * perhaps lost: what they were is not known, so the caller scans /proc; else 0. */
int mmap_watch_read(struct mmap_watch *w, void (*fn)(void *ctx, const struct mmap_event *e), void *ctx);

/* Records that the kernel said it had no room for, since the start. */
uint64_t mmap_watch_lost_total(const struct mmap_watch *w);

/* Opens the rings of CPUs that have come since. 1: there were some, and what they
 * ran until now was not seen; 0: none. */
int mmap_watch_add_cpus(struct mmap_watch *w);

#endif
