/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_LIBRARY_H
#define OPMETER_CUPTI_LIBRARY_H

/*
 * libcupti, opened at run time.
 *
 * A process that has a copy of it already (PyTorch links to one) must get no
 * second: two would both hook the driver. So what is loaded is taken first, under
 * either version's name; else the one named, else what the system's path has.
 *
 * libcupti opens its neighbour libnvperf_host.so by bare name when it is first
 * asked for metrics, and fails with NOT_INITIALIZED where the directory of the two
 * is in no path (the usual case with Python wheels): we load the neighbour first.
 */

#include "abi.h"

struct cupti_api {
	void *handle;
	uint32_t version; /* as cuptiGetVersion says: 130001 */
#define X(name, symbol, args) int(*name) args;
	CUPTI_FUNCTIONS(X)
#undef X
};

/* `path` (may be NULL): a libcupti to open if none is loaded. 0; -ENOENT: there is
 * none; -ENOSYS: one without the range profiler (before 12.6). Never closed again: a library that
 * has hooked the driver must not be unloaded. */
int cupti_open(const char *path, struct cupti_api *ret);

#endif
