// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in for NVML, after nvml.h of 12.9 and 13.0: devices, their activity and
 * their faults come from the file that OPMETER_SIMGPU names, which is read anew at
 * each call, so that a test can change the world while it runs. One thing a line:
 *
 *     device UUID gpm|no-gpm NAME...
 *     activity INDEX SM TENSOR FP64 FP32 FP16 INT CLOCK    percents, MHz
 *     instance INDEX ID SM TENSOR                          MIG: a GPU instance
 *     process INDEX PID [INSTANCE]
 *     fault INDEX lost|hang|no-permission|no-processes
 *     fault -1 driver                                      nvmlInit fails
 *
 * A test rig, never installed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 8
#define INSTANCES 7
#define PROCESSES 64
#define HANDLE(i) ((void *)(uintptr_t)((i) + 1))
#define MIG_HANDLE(i, k) ((void *)(uintptr_t)(1000 + (i) * 100 + (k)))

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, SMALL = 7,
       DRIVER_NOT_LOADED = 9, LOST = 15, VERSION = 25 };

struct activity {
	double sm, tensor, fp64, fp32, fp16, integer;
	unsigned clock;
};

struct device {
	char uuid[96], name[96], fault[32];
	bool has_gpm;
	struct activity now;
	struct {
		unsigned id;
		double sm, tensor;
	} instance[INSTANCES];
	unsigned instances;
	struct {
		unsigned pid, instance;
	} process[PROCESSES];
	unsigned processes;
};

struct sample {
	unsigned device, instance;
	uint64_t ns;
};

static struct device device[DEVICES];
static unsigned devices;
static bool is_init, no_driver;

static void read_line(const char *line)
{
	unsigned i, pid, instance = UINT32_MAX;
	char uuid[96], gpm[16], fault[32];
	struct activity a;
	int at = 0, which;

	if (sscanf(line, "device %95s %15s %n", uuid, gpm, &at) == 2 && at && devices < DEVICES) {
		struct device *d = &device[devices++];

		snprintf(d->uuid, sizeof(d->uuid), "%s", uuid);
		snprintf(d->name, sizeof(d->name), "%s", line + at);
		d->has_gpm = !strcmp(gpm, "gpm");
	} else if (sscanf(line, "activity %u %lf %lf %lf %lf %lf %lf %u", &i, &a.sm, &a.tensor, &a.fp64, &a.fp32,
			  &a.fp16, &a.integer, &a.clock) == 8 &&
		   i < devices) {
		device[i].now = a;
	} else if (sscanf(line, "instance %u %u %lf %lf", &i, &pid, &a.sm, &a.tensor) == 4 && i < devices &&
		   device[i].instances < INSTANCES) {
		device[i].instance[device[i].instances].id = pid;
		device[i].instance[device[i].instances].sm = a.sm;
		device[i].instance[device[i].instances++].tensor = a.tensor;
	} else if (sscanf(line, "process %u %u %u", &i, &pid, &instance) >= 2 && i < devices &&
		   device[i].processes < PROCESSES) {
		device[i].process[device[i].processes].pid = pid;
		device[i].process[device[i].processes++].instance = instance;
	} else if (sscanf(line, "fault %d %31s", &which, fault) == 2) {
		if (which < 0)
			no_driver = true;
		else if ((unsigned)which < devices)
			snprintf(device[which].fault, sizeof(device[which].fault), "%s", fault);
	}
}

static void world_read(void)
{
	const char *path = getenv("OPMETER_SIMGPU");
	FILE *f = path ? fopen(path, "re") : NULL;
	char line[512];

	memset(device, 0, sizeof(device));
	devices = 0;
	no_driver = false;
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		read_line(line);
	}
	if (f)
		fclose(f);
}

/* Every call on a device begins so: faults are found wherever one looks. */
static int enter(void *handle, struct device **ret, unsigned *ret_index)
{
	uintptr_t h = (uintptr_t)handle;
	unsigned i = h >= 1000 ? (unsigned)(h - 1000) / 100 : (unsigned)h - 1;

	if (!is_init)
		return UNINITIALIZED;
	world_read();
	if (i >= devices)
		return INVALID;
	while (!strcmp(device[i].fault, "hang"))
		sleep(1000);
	if (!strcmp(device[i].fault, "lost"))
		return LOST;
	if (!strcmp(device[i].fault, "no-permission"))
		return NO_PERMISSION;
	*ret = &device[i];
	if (ret_index)
		*ret_index = i;
	return OK;
}

int nvmlInit_v2(void)
{
	world_read();
	is_init = !no_driver;
	return no_driver ? DRIVER_NOT_LOADED : OK;
}

int nvmlShutdown(void)
{
	return OK;
}

int nvmlDeviceGetCount_v2(unsigned *ret)
{
	world_read();
	*ret = devices;
	return is_init ? OK : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret)
{
	struct device *d;
	int r = enter(HANDLE(index), &d, NULL);

	if (r == OK)
		*ret = HANDLE(index);
	return r;
}

static int copy(char *ret, unsigned size, const char *text)
{
	if (strlen(text) >= size)
		return SMALL;
	strcpy(ret, text);
	return OK;
}

int nvmlDeviceGetName(void *h, char *ret, unsigned size)
{
	struct device *d;
	int r = enter(h, &d, NULL);

	return r ? r : copy(ret, size, d->name);
}

int nvmlDeviceGetUUID(void *h, char *ret, unsigned size)
{
	struct device *d;
	int r = enter(h, &d, NULL);

	uintptr_t k = (uintptr_t)h >= 1000 ? ((uintptr_t)h - 1000) % 100 : UINTPTR_MAX;
	char mig[96];

	if (r)
		return r;
	/* A MIG device has a name of its own. */
	if (k < d->instances) {
		snprintf(mig, sizeof(mig), "MIG-%.60s-%u", d->uuid, d->instance[k].id);
		return copy(ret, size, mig);
	}
	return copy(ret, size, d->uuid);
}

int nvmlDeviceGetClockInfo(void *h, int type, unsigned *ret)
{
	struct device *d;
	int r = enter(h, &d, NULL);

	if (r == OK)
		*ret = d->now.clock;
	return r;
}

int nvmlDeviceGetUtilizationRates(void *h, unsigned ret[2])
{
	struct device *d;
	int r = enter(h, &d, NULL);

	if (r == OK && d->instances)
		return NOT_SUPPORTED; /* as the header says of MIG mode */
	if (r == OK) {
		ret[0] = (unsigned)(d->now.sm + 0.5);
		ret[1] = 0;
	}
	return r;
}

struct process {
	unsigned pid;
	unsigned long long memory;
	unsigned gpu_instance, compute_instance;
};

int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *count, struct process *ret)
{
	struct device *d;
	int r = enter(h, &d, NULL);
	unsigned room = *count;

	if (r)
		return r;
	if (!strcmp(d->fault, "no-processes"))
		return NO_PERMISSION;
	*count = d->processes;
	if (room < d->processes)
		return SMALL;
	for (unsigned i = 0; i < d->processes; i++)
		ret[i] = (struct process){ d->process[i].pid, 1 << 20, d->process[i].instance, 0 };
	return OK;
}

int nvmlDeviceGetMigMode(void *h, unsigned *current, unsigned *pending)
{
	struct device *d;
	int r = enter(h, &d, NULL);

	if (r == OK)
		*current = *pending = d->instances ? 1 : 0;
	return r;
}

int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *ret)
{
	*ret = INSTANCES;
	return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned index, void **ret)
{
	struct device *d;
	unsigned i;
	int r = enter(h, &d, &i);

	if (r == OK && index >= d->instances)
		return NOT_FOUND;
	if (r == OK)
		*ret = MIG_HANDLE(i, index);
	return r;
}

int nvmlDeviceGetGpuInstanceId(void *h, unsigned *ret)
{
	struct device *d;
	int r = enter(h, &d, NULL);
	uintptr_t k = ((uintptr_t)h - 1000) % 100;

	if (r == OK && k < d->instances)
		*ret = d->instance[k].id;
	return r;
}

/* --- GPM: Hopper and later --- */

int nvmlGpmQueryDeviceSupport(void *h, unsigned ret[2])
{
	struct device *d;
	int r = enter(h, &d, NULL);

	if (ret[0] != 1)
		return VERSION;
	if (r == OK)
		ret[1] = d->has_gpm;
	return r;
}

int nvmlGpmSampleAlloc(struct sample **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? OK : INVALID;
}

int nvmlGpmSampleFree(struct sample *s)
{
	free(s);
	return OK;
}

static int take(void *h, unsigned instance, struct sample *s)
{
	struct timespec t;
	struct device *d;
	int r = enter(h, &d, &s->device);

	if (r)
		return r;
	if (!d->has_gpm)
		return NOT_SUPPORTED;
	clock_gettime(CLOCK_MONOTONIC, &t);
	s->ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	s->instance = instance;
	return OK;
}

int nvmlGpmSampleGet(void *h, struct sample *s)
{
	return take(h, UINT32_MAX, s);
}

int nvmlGpmMigSampleGet(void *h, unsigned instance, struct sample *s)
{
	return take(h, instance, s);
}

struct metric {
	unsigned id;
	int result;
	double value;
	const char *names[3];
};

struct metrics {
	unsigned version, count;
	struct sample *before, *after;
	struct metric metric[210];
};

static double metric_of(const struct device *d, unsigned instance, unsigned id)
{
	const double whole[] = { [1] = d->now.sm,    [2] = d->now.sm,    [4] = d->now.integer, [5] = d->now.tensor,
				 [11] = d->now.fp64, [12] = d->now.fp32, [13] = d->now.fp16 };

	for (unsigned k = 0; k < d->instances; k++)
		if (d->instance[k].id == instance)
			return id == 2 ? d->instance[k].sm : id == 5 ? d->instance[k].tensor : 0;
	return id < sizeof(whole) / sizeof(whole[0]) ? whole[id] : 0;
}

int nvmlGpmMetricsGet(struct metrics *m)
{
	if (m->version != 1)
		return VERSION;
	/* "internal sample refresh rate": two samples must be 100 ms apart */
	if (m->after->ns < m->before->ns + 100000000u || m->after->device != m->before->device ||
	    m->after->instance != m->before->instance)
		return INVALID;
	for (unsigned i = 0; i < m->count; i++) {
		m->metric[i].result = OK;
		m->metric[i].value = metric_of(&device[m->after->device], m->after->instance, m->metric[i].id);
	}
	return OK;
}
