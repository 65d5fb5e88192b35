/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DESCRIBE_H
#define OPMETER_AGENT_DESCRIBE_H

/* From an open file to what the probes need to know of it. */

#include "../base/log.h"
#include "../core/offsets.h"
#include "library.h"

/*
 * Reads the shared object behind fd (a loan) and fills everything of *ret but the
 * paths. A file that exports cublasLtMatmul or any cublas*gemm* is a library,
 * whatever it is called.
 * 0; 1: not a library; -errno: damaged, too large, unreadable, *err says what.
 */
int library_describe(int fd, const struct om_offsets_table *offsets, struct library *ret,
		     struct error_text *err);

/* A row of data/offsets.csv in the form in which the probes read it. */
void library_offsets(const struct om_offsets_row *row, struct om_offsets *ret);

#endif
