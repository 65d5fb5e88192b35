/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DISCOVERY_H
#define OPMETER_AGENT_DISCOVERY_H

/*
 * Which math libraries are in use on this machine: every file that any process
 * maps executable, in any mount namespace, whenever it appears, is looked at
 * once; those that export matrix products are reported with who maps them.
 * Files are read through /proc/PID/map_files, never loaded and never run.
 *
 * Not thread-safe: one thread calls it, and its callbacks come in that thread,
 * from within discovery_add(), discovery_scan() and discovery_step(). They must
 * not call back into it, except for discovery_each_library() and the totals.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/cleanup.h"
#include "../base/log.h"
#include "../core/offsets.h"
#include "library.h"

struct discovery;

struct discovery_ops {
	/* A library is mapped, or was named to discovery_add(). It is a loan until its
	 * `released` returns, its address stays the same, its open_path is valid. If it is
	 * not proven, its hash names the unknown build. */
	void (*appeared)(void *ctx, const struct library *lib);
	/* A process maps it: once for each process and library. mapped_ns: boot time;
	 * 0: it was mapped already when we came to look. A process that inherits the
	 * mapping by fork inherits the probes and is not reported at once. */
	void (*mapped)(void *ctx, const struct library *lib, pid_t tgid, uint64_t mapped_ns);
	/* No process maps it any more, and none came back for the linger time. */
	void (*released)(void *ctx, const struct library *lib);
	/* A file that is perhaps a library could not be looked at. Called once for each
	 * file, or for each process if the file is not known. */
	void (*refused)(void *ctx, const char *path, pid_t tgid, const char *why);
};

struct discovery_config {
	const struct om_offsets_table *offsets; /* a loan; NULL: nothing is proven */
	uint64_t linger_ns;	/* 0: 10 s. Detaching is dear; short processes follow each other */
	uint64_t sweep_ns;	/* 0: 60 s. How often mappers are checked for what no event tells (dlclose) */
	size_t ring_bytes;	/* 0: 128 KiB. Of locked memory for each CPU, a power of two */
	unsigned libraries_max; /* 0: 64. At once; more are refused */
};

struct discovery_totals {
	uint64_t events; /* executable mappings seen */
	uint64_t lost;	 /* records the kernel had no room for; all is scanned again then */
	uint64_t scans;
	uint64_t checked;      /* files opened and looked at */
	uint64_t unopened;     /* files whose process was gone before they could be opened */
	uint64_t refused;      /* damaged, too large, or over libraries_max */
	uint64_t untracked;    /* mappers that found no room: their library stays until a sweep */
	uint64_t throttled_ns; /* time in which events waited because checks cost too much */
	unsigned libraries;    /* now */
	unsigned mappers;      /* processes, now */
};

/*
 * Opens the event rings, so that nothing is missed from here on; what is there
 * already is found by discovery_scan(). Errors as mmap_watch_open().
 */
int discovery_open(const struct discovery_config *config, const struct discovery_ops *ops, void *ctx,
		   struct discovery **ret, struct error_text *err);
/* Does not call `released`: probes stay while the agent is replaced. NULL is fine; returns NULL. */
struct discovery *discovery_free(struct discovery *d);
#define _cleanup_discovery_ _cleanup_(discovery_freep)
static inline void discovery_freep(struct discovery **d)
{
	*d = discovery_free(*d);
}

/* Looks at a file of the host before anything maps it; it stays until the end.
 * 0; -ENOEXEC: not a library; -EBADMSG: it can't be taken up, *err says why; or the
 * error of opening it. */
int discovery_add(struct discovery *d, const char *path, struct error_text *err);

/* Looks at every mapping of every process. */
int discovery_scan(struct discovery *d);

/* Becomes readable (poll, epoll) when discovery_step() has something to do; timers
 * need a step every second besides. */
int discovery_fd(const struct discovery *d);
/* Waits up to timeout_ms for events and handles them. 0, or -errno. */
int discovery_step(struct discovery *d, int timeout_ms);

int discovery_each_library(const struct discovery *d, int (*fn)(void *ctx, const struct library *lib),
			   void *ctx);
void discovery_get_totals(const struct discovery *d, struct discovery_totals *ret);

#endif
