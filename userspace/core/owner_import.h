/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNER_IMPORT_H
#define OPMETER_CORE_OWNER_IMPORT_H

/*
 * A file into the owners database: read as a stream, in constant memory, all of
 * it or nothing. Every row that is not taken is handed to the sink with its line,
 * column and reason.
 */

#include "owner_store.h"

struct owner_sink {
	void *ctx;
	/* Bytes so far, and in all (0: not known). May be NULL. */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	/* 0 or -errno, which ends the import. */
	int (*reject)(void *ctx, uint64_t line, const struct owner_reject *r);
};

/* Entries of a screening list in JSON, as they come. fn returns 0 or -errno. Also for fuzzing. */
struct json_stream;
int owner_csl_each(struct json_stream *j, int (*fn)(void *ctx, const struct owner_csl *e, uint64_t offset),
		   void *ctx, struct error_text *err);

/*
 * 0: done (or would be: is_dry); 1: more rows were lost than lost_max, or the file
 * breaks off: nothing was imported. Fills i's counts and digest. -EINVAL with a
 * sentence: no such file format; -errno.
 */
int owner_import_run(struct owner_store *s, const char *path, struct owner_import *i, uint64_t lost_max,
		     bool is_dry, const struct owner_sink *sink, struct error_text *err);

#endif
