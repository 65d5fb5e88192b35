/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_DRIVER_H
#define OPMETER_CUPTI_DRIVER_H

/*
 * What must be asked of the driver's library, so that measuring never breaks a
 * tenant's stream capture: a profiler's calls are of the kind that a capture on any
 * thread forbids, unless the calling thread is in relaxed mode.
 */

#include <stdbool.h>

struct driver_api {
	int (*is_capturing)(void *stream, int *ret);
	int (*is_capturing_ptsz)(void *stream, int *ret);
	int (*exchange_mode)(int *mode);
	int (*device_attribute)(int *ret, int attribute, int device);
};

#define DRIVER_RELAXED 2       /* CU_STREAM_CAPTURE_MODE_RELAXED */
#define DRIVER_MPS_ENABLED 133 /* CU_DEVICE_ATTRIBUTE_MPS_ENABLED */

/* Takes the copy that the process has. False: none, or one that lacks something. */
bool driver_open(struct driver_api *ret);

/* True if the stream captures, or may: then a launch is recorded, not run. */
bool driver_is_capturing(const struct driver_api *d, void *stream, bool is_ptsz);

/* Relaxed mode for this thread; *mode is what it was. Called again, it gives that back. */
bool driver_exchange(const struct driver_api *d, int *mode);

#endif
