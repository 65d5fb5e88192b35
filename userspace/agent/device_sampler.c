// SPDX-License-Identifier: Apache-2.0
/*
 * The process that talks to NVML: samples every device once an interval and writes
 * what it saw to a pipe. It decides nothing, so that it can be killed and started
 * again at any time: NVML is known to hang on devices that fall off the bus.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/exit_code.h"
#include "device_record.h"
#include "nvml.h"

#define DEVICES_MAX 64
#define INSTANCES_MAX 8
#define CLOCKS_PER_INTERVAL 10

/* A device or a GPU instance of one, and the last sample of its counters. */
struct unit {
	struct device_record record; /* what does not change is filled in */
	nvml_device device;
	nvml_gpm_sample before, after;
	uint64_t sampled_ns;
	bool has_gpm, is_lost;
};

struct sampler {
	struct nvml nvml;
	int fd;
	struct unit unit[DEVICES_MAX * INSTANCES_MAX];
	size_t count;
};

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* False: nobody reads any more. */
static bool send(const struct sampler *s, struct device_record *r)
{
	r->magic = DEVICE_RECORD_MAGIC;
	r->size = sizeof(*r);
	return write(s->fd, r, sizeof(*r)) == (ssize_t)sizeof(*r);
}

static bool has_gpm(const struct nvml *n, nvml_device d)
{
	struct nvml_gpm_support support = { .version = 1 };

	return n->gpm_support && n->gpm_alloc && n->gpm_sample && n->gpm_metrics && n->gpm_mig_sample &&
	       n->gpm_support(d, &support) == NVML_OK && support.is_supported;
}

static int unit_add(struct sampler *s, nvml_device d, unsigned index, uint32_t instance,
		    uint32_t multiprocessors)
{
	struct unit *u = &s->unit[s->count];

	if (s->count == DEVICES_MAX * INSTANCES_MAX)
		return -E2BIG;
	memset(u, 0, sizeof(*u));
	u->device = d;
	u->record.index = index;
	u->record.instance = instance;
	u->record.multiprocessors = multiprocessors;
	s->nvml.name(d, u->record.name, sizeof(u->record.name));
	s->nvml.uuid(d, u->record.uuid, sizeof(u->record.uuid));
	u->has_gpm = has_gpm(&s->nvml, d) && s->nvml.gpm_alloc(&u->before) == NVML_OK &&
		     s->nvml.gpm_alloc(&u->after) == NVML_OK;
	s->count++;
	return 0;
}

/* By these UUIDs a device plugin hands the instance out. */
static void slice_add(const struct sampler *s, struct device_record *r, nvml_device mig)
{
	for (size_t i = 0; i < DEVICE_SLICES_MAX; i++) {
		if (r->slice[i][0])
			continue;
		if (s->nvml.uuid(mig, r->slice[i], sizeof(r->slice[i])) != NVML_OK)
			r->slice[i][0] = '\0';
		return;
	}
}

/* The GPU instances of a device in MIG mode; 0: it is not in that mode. */
static size_t add_instances(struct sampler *s, nvml_device d, unsigned index)
{
	unsigned current = 0, pending, max = 0, id;
	struct unit *of_instance[64] = { NULL };
	size_t added = 0;

	if (!s->nvml.mig_mode || !s->nvml.mig_max || !s->nvml.mig_device || !s->nvml.mig_instance ||
	    s->nvml.mig_mode(d, &current, &pending) != NVML_OK || !current ||
	    s->nvml.mig_max(d, &max) != NVML_OK)
		return 0;
	for (unsigned i = 0; i < max; i++) {
		struct nvml_attributes a = { 0 };
		nvml_device mig;

		if (s->nvml.mig_device(d, i, &mig) != NVML_OK || s->nvml.mig_instance(mig, &id) != NVML_OK ||
		    id >= 64)
			continue;
		if (s->nvml.attributes)
			s->nvml.attributes(mig, &a);
		/* Its compute instances may be several: the attributes are of one. */
		if (!of_instance[id] && unit_add(s, d, index, id, 0) == 0) {
			of_instance[id] = &s->unit[s->count - 1];
			added++;
		}
		if (of_instance[id])
			slice_add(s, &of_instance[id]->record, mig);
	}
	return added;
}

static int find_units(struct sampler *s)
{
	unsigned count = 0;
	int rc = s->nvml.count(&count);

	for (unsigned i = 0; rc == NVML_OK && i < count && i < DEVICES_MAX; i++) {
		struct device_record failed = { .kind = DEVICE_RECORD_FAILED,
						.index = i,
						.instance = DEVICE_WHOLE };
		nvml_device d;

		failed.error = s->nvml.by_index(i, &d);
		if (failed.error != NVML_OK)
			send(s, &failed);
		else if (!add_instances(s, d, i))
			unit_add(s, d, i, DEVICE_WHOLE, 0);
	}
	return rc;
}

/* --- one sample --- */

static int gpm_sample(const struct sampler *s, struct unit *u, nvml_gpm_sample to)
{
	return u->record.instance == DEVICE_WHOLE ? s->nvml.gpm_sample(u->device, to)
						  : s->nvml.gpm_mig_sample(u->device, u->record.instance, to);
}

/* Percent of the active cycles of each pipe, between the last two samples. */
static int gpm_read(const struct sampler *s, struct unit *u)
{
	static const struct {
		unsigned id;
		int pipe;
	} wanted[] = { { NVML_GPM_TENSOR, OM_PIPE_TENSOR }, { NVML_GPM_FP64, OM_PIPE_FP64 },
		       { NVML_GPM_FP32, OM_PIPE_FP32 },	    { NVML_GPM_FP16, OM_PIPE_FP16 },
		       { NVML_GPM_INTEGER, OM_PIPE_INT },   { NVML_GPM_SM, -1 } };
	static struct nvml_gpm_metrics m; /* large; one thread */
	int rc;

	memset(&m, 0, sizeof(m));
	m.version = 1;
	m.count = ARRAY_SIZE(wanted);
	m.before = u->before;
	m.after = u->after;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		m.metric[i].id = wanted[i].id;
	rc = s->nvml.gpm_metrics(&m);
	u->record.busy = 100;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		bool is_there = rc == NVML_OK && m.metric[i].result == NVML_OK && m.metric[i].value >= 0 &&
				m.metric[i].value <= 100.5;

		if (wanted[i].pipe >= 0)
			u->record.percent[wanted[i].pipe] = is_there ? m.metric[i].value : -1;
		else if (is_there)
			u->record.busy = m.metric[i].value;
	}
	u->record.step = 0.1;
	return rc;
}

/* Without GPM: whether anything ran at all, as whole percents of the time. */
static int utilization_read(const struct sampler *s, struct unit *u)
{
	struct nvml_utilization util = { 0 };
	int rc = s->nvml.utilization(u->device, &util);

	for (int i = 0; i < OM_PIPE_END; i++)
		u->record.percent[i] = -1;
	u->record.busy = rc == NVML_OK && util.gpu <= 100 ? util.gpu : 100;
	u->record.step = 1;
	return rc == NVML_NOT_SUPPORTED ? NVML_OK : rc; /* in MIG mode: then busy all the time */
}

static void processes_read(const struct sampler *s, struct unit *u)
{
	static struct nvml_process list[4096];
	unsigned count = ARRAY_SIZE(list);
	int rc = s->nvml.processes(u->device, &count, list);

	u->record.pid_count = 0;
	if (rc == NVML_INSUFFICIENT_SIZE)
		u->record.flags |= DEVICE_PIDS_CUT;
	else if (rc != NVML_OK)
		u->record.flags |= DEVICE_NO_PIDS;
	for (unsigned i = 0; rc == NVML_OK && i < count; i++) {
		if (u->record.instance != DEVICE_WHOLE && list[i].gpu_instance != u->record.instance)
			continue;
		if (u->record.pid_count == DEVICE_PIDS_MAX) {
			u->record.flags |= DEVICE_PIDS_CUT;
			break;
		}
		u->record.pid[u->record.pid_count++] = list[i].pid;
	}
}

static void clock_read(const struct sampler *s, struct unit *u)
{
	unsigned mhz;

	if (u->is_lost || s->nvml.clock(u->device, NVML_CLOCK_SM, &mhz) != NVML_OK || !mhz)
		return;
	if (!u->record.clock_low || mhz < u->record.clock_low)
		u->record.clock_low = mhz;
	if (mhz > u->record.clock_high)
		u->record.clock_high = mhz;
}

static int unit_read(const struct sampler *s, struct unit *u, uint64_t now)
{
	nvml_gpm_sample swap;
	int rc;

	u->record.flags = u->has_gpm ? DEVICE_HAS_GPM : 0;
	rc = u->has_gpm ? gpm_sample(s, u, u->after) : utilization_read(s, u);
	if (rc == NVML_OK && u->sampled_ns && u->has_gpm)
		rc = gpm_read(s, u);
	if (rc != NVML_OK)
		return rc;
	swap = u->before;
	u->before = u->after;
	u->after = swap;
	processes_read(s, u);
	u->record.from_ns = u->sampled_ns;
	u->record.to_ns = now;
	return NVML_OK;
}

static bool unit_step(struct sampler *s, struct unit *u)
{
	uint64_t now = boot_ns();
	bool is_first = !u->sampled_ns, is_read = true;

	if (u->is_lost)
		return true;
	u->record.error = unit_read(s, u, now);
	u->record.kind = u->record.error == NVML_OK	       ? DEVICE_RECORD_SAMPLE
			 : u->record.error == NVML_GPU_IS_LOST ? DEVICE_RECORD_LOST
							       : DEVICE_RECORD_FAILED;
	u->is_lost = u->record.kind == DEVICE_RECORD_LOST;
	if (u->record.kind == DEVICE_RECORD_SAMPLE)
		u->sampled_ns = now;
	/* The first one only begins a span. */
	if (!is_first || u->record.kind != DEVICE_RECORD_SAMPLE)
		is_read = send(s, &u->record);
	u->record.clock_low = u->record.clock_high = 0;
	clock_read(s, u);
	return is_read;
}

static void nap(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	nanosleep(&t, NULL);
}

int device_sampler(const char *nvml_path, int fd, uint64_t interval_ns)
{
	struct device_record r = { .kind = DEVICE_RECORD_END };
	struct error_text err = { 0 };
	struct sampler *s = calloc(1, sizeof(*s));

	if (!s)
		return EXIT_FAILED;
	s->fd = fd;
	if (nvml_open(&s->nvml, nvml_path, &err)) {
		snprintf(r.text, sizeof(r.text), "%.199s", err.text);
		send(s, &r);
		return EXIT_FAILED;
	}
	r.error = find_units(s);
	r.kind = DEVICE_RECORD_READY;
	r.devices = (uint32_t)s->count;
	if (!send(s, &r))
		return EXIT_OK;
	for (;;) {
		for (size_t i = 0; i < s->count; i++)
			if (!unit_step(s, &s->unit[i]))
				return EXIT_OK;
		for (int c = 0; c < CLOCKS_PER_INTERVAL; c++) {
			nap(interval_ns / CLOCKS_PER_INTERVAL);
			for (size_t i = 0; i < s->count; i++)
				clock_read(s, &s->unit[i]);
		}
	}
}
