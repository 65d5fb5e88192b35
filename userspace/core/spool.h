/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_SPOOL_H
#define OPMETER_CORE_SPOOL_H

/*
 * What people say while an agent writes the ledger: one writer has it, so a verb leaves a file in DIR/spool,
 * and the agent takes it into the log. A file is named by its content, so the same word said twice is one,
 * and one taken twice is in the log once. Only who may write the ledger's directory may speak: it is made
 * with mode 0700.
 */

#include <stddef.h>

#define OM_SPOOL_MAX 65536 /* bytes of one file; a larger one is left where it is */

/* Durable when it returns. -errno. */
int om_spool_put(const char *dir, const char *text);
/* Calls fn for each file, with its name; 0 of fn: taken, and the file goes; anything else stops and is
 * returned, but 1: not to be taken, and the file is renamed to NAME.refused. 0 also where nothing was ever
 * said. */
int om_spool_each(const char *dir, int (*fn)(void *ctx, const char *name, const char *text, size_t len),
		  void *ctx);

#endif
