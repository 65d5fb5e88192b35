/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_FILE_CACHE_H
#define OPMETER_AGENT_FILE_CACHE_H

/*
 * What is known of a mapped file, by the device and inode numbers that
 * /proc/PID/maps and perf events show, so that each file is looked at once.
 * Fixed size: a file that is pushed out is looked at again.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../base/cleanup.h"

/* Numbers are used again, and a file may be written in place: this tells. */
struct file_identity {
	uint64_t dev, ino, size, mtime_ns, ctime_ns;
};

void file_identity_from(const struct stat *st, struct file_identity *ret);
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);

struct file_verdict {
	uint64_t dev, ino; /* as maps show them: the key */
	struct file_identity identity;
	int library; /* index, or FILE_NO_LIBRARY */
};
#define FILE_NO_LIBRARY (-1)

struct file_cache;

struct file_cache *file_cache_new(void);
struct file_cache *file_cache_free(struct file_cache *c);

/* A loan until the next put; NULL: not known. */
const struct file_verdict *file_cache_get(const struct file_cache *c, uint64_t dev, uint64_t ino);
void file_cache_put(struct file_cache *c, const struct file_verdict *v);
/* Forgets the files that are this library. */
void file_cache_drop_library(struct file_cache *c, int library);

#endif
