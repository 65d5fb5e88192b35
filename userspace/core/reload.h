/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_RELOAD_H
#define OPMETER_CORE_RELOAD_H

/*
 * Files that people write while somebody judges by them: when one is to be read anew. A
 * directory is one file here: it changed when a *.yaml in it did, came or went.
 * A file that changed is read when it has rested for a second, so that half of it is not
 * taken for the whole; one that never rests, every half minute, so that whoever writes
 * it each second makes nobody judge each second. After a failure what was read before
 * stays in use, and the file is tried again when it changed, or every half minute.
 *
 * Times are of one clock that does not step; the caller loads.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/log.h"

#define RELOAD_REST_NS 1000000000ULL
#define RELOAD_EVERY_NS 30000000000ULL
/* Somebody writes it, or holds its lock, for so long: that is a failure, too. */
#define RELOAD_BUSY_NS 600000000000ULL

/* What tells one state of a file from another; of a database its journals too. */
struct reload_mark {
	struct {
		uint64_t dev, ino, size, mtime_ns, ctime_ns;
	} file[3];
};

struct reload {
	const char *path;		 /* a loan; NULL: there is no file, it is never due */
	struct reload_mark loaded, seen; /* what was tried last; what the last look saw */
	uint64_t seen_ns, tried_ns;	 /* since when it looks so; when it was tried last */
	uint64_t loads_total, failures_total;
	bool has_failed;	 /* at the last try */
	bool was_busy;		 /* it could not be looked at: somebody writes it */
	uint64_t busy_ns;	 /* since when */
	struct error_text error; /* of the last failure: what is wrong, with file and line */
};

/* At the first load, which the caller does by itself. */
void reload_begin(struct reload *r, const char *path, uint64_t now_ns);
/* Looks at the file. True: load it now, and say what became of it. `forced`: somebody asks for it. */
bool reload_is_due(struct reload *r, uint64_t now_ns, bool forced);
/* -EAGAIN is no failure for ten minutes: the file is tried again a second later. True: worth saying: it was
 * read, or the failure is another one than the last. */
bool reload_tried(struct reload *r, uint64_t now_ns, int result, const struct error_text *err);

#endif
