// SPDX-License-Identifier: Apache-2.0
/*
 * The peer that opmeter's cost is held against: a tracer that keeps CUPTI's activity
 * records of every kernel, all the time, as tools do that are always on. It counts the
 * records and throws them away, so that what it costs is CUPTI's part alone. Loaded by
 * CUDA_INJECTION64_PATH; a test rig, never shipped.
 *
 * OPMETER_PEER_REPORT: a file to which results and counts are appended.
 * OPMETER_PEER_CUPTI: the libcupti to open if none is found by its name.
 */
#include <cupti.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BUFFER_SIZE (8 << 20)
#define BUFFER_ALIGNMENT 8

static __typeof__(&cuptiActivityRegisterCallbacks) register_callbacks;
static __typeof__(&cuptiActivityEnable) enable;
static __typeof__(&cuptiActivityGetNextRecord) next_record;
static __typeof__(&cuptiActivityGetNumDroppedRecords) dropped_records;
static __typeof__(&cuptiActivityFlushAll) flush_all;

static atomic_ullong kernels, others, dropped, buffers, nanoseconds;

static void report(const char *what, long long value)
{
	const char *path = getenv("OPMETER_PEER_REPORT");
	FILE *f = path ? fopen(path, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "pid %d %s %lld\n", (int)getpid(), what, value);
	fclose(f);
}

static void on_requested(uint8_t **ret_buffer, size_t *ret_size, size_t *ret_records_max)
{
	*ret_buffer = aligned_alloc(BUFFER_ALIGNMENT, BUFFER_SIZE);
	*ret_size = *ret_buffer ? BUFFER_SIZE : 0;
	*ret_records_max = 0; /* as many as fit */
}

static void on_completed(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
	CUpti_Activity *record = NULL;
	size_t lost = 0;

	(void)size;
	atomic_fetch_add(&buffers, 1);
	while (valid && next_record(buffer, valid, &record) == CUPTI_SUCCESS) {
		const CUpti_ActivityKernel9 *k = (const void *)record;

		if (record->kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
			atomic_fetch_add(&others, 1);
			continue;
		}
		atomic_fetch_add(&kernels, 1);
		if (k->end > k->start)
			atomic_fetch_add(&nanoseconds, k->end - k->start);
	}
	if (dropped_records && dropped_records(context, stream, &lost) == CUPTI_SUCCESS)
		atomic_fetch_add(&dropped, lost);
	free(buffer);
}

static void on_exit_report(void)
{
	report("flush", flush_all ? (long long)flush_all(0) : -1);
	report("kernels", (long long)atomic_load(&kernels));
	report("kernel_ns", (long long)atomic_load(&nanoseconds));
	report("others", (long long)atomic_load(&others));
	report("dropped", (long long)atomic_load(&dropped));
	report("buffers", (long long)atomic_load(&buffers));
}

static void *open_cupti(void)
{
	static const char *const names[] = { "libcupti.so.13", "libcupti.so.12", "libcupti.so" };
	const char *path = getenv("OPMETER_PEER_CUPTI");
	void *library = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !library; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD);
	if (!library && path)
		library = dlopen(path, RTLD_NOW);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !library; i++)
		library = dlopen(names[i], RTLD_NOW);
	return library;
}

/* The driver calls this in cuInit(). */
int InitializeInjection(void);
int InitializeInjection(void)
{
	void *cupti = open_cupti();

	if (!cupti) {
		report("no libcupti", -1);
		return 1;
	}
	register_callbacks = dlsym(cupti, "cuptiActivityRegisterCallbacks");
	enable = dlsym(cupti, "cuptiActivityEnable");
	next_record = dlsym(cupti, "cuptiActivityGetNextRecord");
	dropped_records = dlsym(cupti, "cuptiActivityGetNumDroppedRecords");
	flush_all = dlsym(cupti, "cuptiActivityFlushAll");
	if (!register_callbacks || !enable || !next_record || !flush_all) {
		report("not a libcupti with activities", -1);
		return 1;
	}
	report("register", register_callbacks(on_requested, on_completed));
	report("enable", enable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL));
	atexit(on_exit_report);
	return 1;
}
