/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DEVICE_H
#define OPMETER_AGENT_DEVICE_H

/*
 * The device meter: what each GPU, or each GPU instance of one in MIG mode, did in
 * each second, as bounds of executed operations, and whose processes were on it.
 * NVML runs in a process of its own, which is watched and started again. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/peaks.h"

struct device_config {
	const char *nvml_path;	      /* NULL: as the dynamic loader finds libnvidia-ml.so.1 */
	const char *program;	      /* that has the sampler's verb; NULL: this one */
	const struct om_peaks *peaks; /* a loan */
	uint64_t interval_ns;	      /* 0: 1 s; NVML renews its counters every 100 ms */
	uint64_t silence_ns;	      /* 0: 10 s without a record: the sampler hangs, it is killed */
};

struct device_sample {
	uint32_t index, instance; /* instance: UINT32_MAX for a whole device */
	const char *uuid, *name;
	uint64_t from_ns, to_ns; /* boot time */
	opcount low, high;	 /* executed operations */
	opcount peak;		 /* dense peak x span */
	uint64_t busy_ns;
	bool is_gap;  /* nobody looked in this span: low is 0, high the peak */
	bool is_wide; /* no pipe activity: utilisation x peak */
	bool is_chip_known;
	bool has_all_pids;    /* every process on it is in the list */
	const char *slice[9]; /* UUIDs of a GPU instance's MIG devices, ended by NULL */
	const uint32_t *pid;
	size_t pid_count;
};

struct device_totals {
	uint32_t devices; /* now; instances count by themselves */
	uint64_t peak_ops_per_s;
	uint64_t samples, gaps, restarts, lost, failed, damaged, stuck;
	bool is_running;
	bool has_spoken; /* since it was opened: how many devices there are, or why nobody knows */
	char why[200];	 /* why it is not */
};

struct device_meter;
/* Starts the sampler; that there is no NVML shows in the totals, not here. 0; -errno. */
int device_open(const struct device_config *config, struct device_meter **ret, struct error_text *err);
/* Ends the sampler, waiting a second at most. NULL is fine; returns NULL. */
struct device_meter *device_free(struct device_meter *d);
/* Becomes readable when device_step() has something to do; it wants a call each second besides. -1: none now.
 */
int device_fd(const struct device_meter *d);
/* Hands out what has come; never waits. formats: bit mask of number formats in play on the node
 * (core/peaks.h). fn returns 0; anything else stops and is returned. */
int device_step(struct device_meter *d, uint32_t formats, int (*fn)(void *ctx, const struct device_sample *s),
		void *ctx);
/* Ends the sampler, or lets it be started again: the time between is a gap. */
void device_set_paused(struct device_meter *d, bool is_paused);
void device_get_totals(const struct device_meter *d, struct device_totals *ret);

#define DEVICE_SAMPLER_VERB "device-sampler"

#endif
