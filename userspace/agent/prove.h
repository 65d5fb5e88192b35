/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROVE_H
#define OPMETER_AGENT_PROVE_H

/*
 * Proves where a build of libcublasLt keeps the fields of its descriptors: a child
 * process loads the vendor's file, makes descriptors through the library's own public
 * functions, changes one attribute at a time and looks which bytes changed.
 *
 * For files that came from the vendor, off the node. The child is confined all the
 * same (prove_sandbox.c); nothing of the library runs in the caller's process.
 */

#include <stdint.h>

#include "../base/log.h"
#include "../core/offsets.h"

#define PROVE_TIMEOUT_DEFAULT_NS 60000000000ull

/*
 * fd: the library, a loan, open for reading. Fills row->at and row->version.
 * 0; 1: refused, the file behaves otherwise and *err says how; -ETIMEDOUT; -EPERM:
 * the kernel does not let us confine a child; other errors of making one.
 */
int prove_offsets(int fd, uint64_t timeout_ns, struct om_offsets_row *row, struct error_text *err);

#endif
