/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DEVICE_RECORD_H
#define OPMETER_AGENT_DEVICE_RECORD_H

/* What the sampler's process writes to the agent: one record, one write, below
 * PIPE_BUF, so it comes whole. */

#include <stdint.h>

#include "../core/peaks.h"

#define DEVICE_RECORD_MAGIC 0x4f4d4452u
#define DEVICE_PIDS_MAX 512
#define DEVICE_WHOLE UINT32_MAX
#define DEVICE_SLICES_MAX 8 /* MIG devices (compute instances) of one GPU instance */

enum device_record_kind {
	DEVICE_RECORD_READY = 1, /* `devices` were found */
	DEVICE_RECORD_SAMPLE,
	DEVICE_RECORD_LOST,   /* the device has fallen off the bus */
	DEVICE_RECORD_FAILED, /* a device that cannot be read: `error` */
	DEVICE_RECORD_END,    /* the sampler cannot go on: `text` */
};

enum device_record_flags {
	DEVICE_HAS_GPM = 1,  /* pipe activity; else utilisation only */
	DEVICE_PIDS_CUT = 2, /* more processes than fit */
	DEVICE_NO_PIDS = 4,  /* they cannot be listed */
};

struct device_record {
	uint32_t magic, size;
	uint32_t kind;
	uint32_t devices;
	uint32_t index;
	uint32_t instance;	  /* MIG GPU instance; DEVICE_WHOLE */
	uint32_t multiprocessors; /* of the instance; 0: the chip's */
	uint32_t flags;
	int32_t error;			/* nvmlReturn_t */
	uint32_t clock_low, clock_high; /* MHz, seen in the span */
	uint32_t pid_count;
	uint64_t from_ns, to_ns; /* boot time */
	double percent[OM_PIPE_END], busy, step;
	char uuid[96], name[96], text[200];
	char slice[DEVICE_SLICES_MAX][48]; /* UUIDs of the instance's MIG devices; "" ends them */
	uint32_t pid[DEVICE_PIDS_MAX];
};
_Static_assert(sizeof(struct device_record) <= 4096, "one atomic write to a pipe");

/* The sampler's process: writes records to fd until that is closed. Returns an exit code. */
int device_sampler(const char *nvml_path, int fd, uint64_t interval_ns);

#endif
