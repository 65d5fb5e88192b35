// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in for libcupti: the callback API and the range profiler as the headers of
 * 12.9 and 13.0 describe them, on kernels whose operations a test has set. It is
 * strict: a parameter block of another size, a call out of order, or one for an object
 * that is gone is refused as the header says, and counted (simcupti_violations()). A
 * test rig, never installed.
 *
 * Rules kept: one subscriber; only subscribed calls are delivered; an automatic range
 * for each kernel that runs between Start and Stop on the profiler's context, up to
 * the configured number, the rest dropped; sets that need several passes are refused
 * without replay; a captured launch runs nothing; cuptiFinalize takes all down.
 *
 * Faults, by environment: SIMCUPTI_FAULT=function:result[@n],... fails a function
 * from its nth call on. SIMCUPTI_CHIP: the chip (GH100). SIMCUPTI_DISABLED=confidential|vgpu.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/cupti/abi.h"
#include "simcupti.h"

#define IMAGE_MAGIC 0x5c0f1600u
#define DATA_MAGIC 0x5c0da7a0u
#define NAME_SIZE 128
#define METRICS_MAX 16
#define RANGES_MAX 64
#define KERNELS 256
#define FAULTS 16

struct config_image {
	uint32_t magic, count, passes, pad;
	char name[METRICS_MAX][NAME_SIZE];
};

struct range {
	char kernel[NAME_SIZE];
	uint64_t launch; /* the how many-th of that kernel */
};
struct data_image {
	uint32_t magic, ranges, ranges_max;
	struct range range[RANGES_MAX];
};

struct host {
	bool used;
	struct config_image config;
};

struct profiler {
	bool used, is_configured, is_started;
	void *context;
	struct data_image *data;
	uint32_t ranges_max;
	size_t ran, dropped;
	struct range range[RANGES_MAX];
};

struct kernel {
	char name[NAME_SIZE];
	char metric[NAME_SIZE];
	double ops, step; /* launch i: ops + step * (i % 3 - 1) */
};

static struct {
	pthread_mutex_t lock;
	bool has_subscriber;
	cupti_callback *callback;
	void *user;
	bool enabled[8][1024];
	struct host host[16];
	struct profiler profiler[4];
	struct kernel kernel[KERNELS];
	size_t kernels;
	struct {
		char name[NAME_SIZE];
		uint64_t count;
	} launched[KERNELS];
	size_t launched_count;
	struct {
		char name[NAME_SIZE];
		unsigned calls;
	} called[64];
	size_t called_count;
	uint64_t violations;
	bool is_foreign; /* the subscriber is the tenant's profiler */
} sim = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int subscriber_handle;

static void unlock(int *unused)
{
	(void)unused;
	pthread_mutex_unlock(&sim.lock);
}
#define LOCKED __attribute__((cleanup(unlock))) int locked_ = pthread_mutex_lock(&sim.lock)

static int violation(int result)
{
	sim.violations++;
	return result;
}

/* The calling thread's, by exchanging it twice. */
int simcupti_capture_mode(void)
{
	void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
	int (*exchange)(int *) = handle ? (int (*)(int *))dlsym(handle, "cuThreadExchangeStreamCaptureMode") : NULL;
	int mode = 2, was;

	if (!exchange || exchange(&mode))
		return 2;
	was = mode;
	exchange(&mode);
	return was;
}

/* --- faults --- */

static unsigned call_count(const char *function)
{
	for (size_t i = 0; i < sim.called_count; i++)
		if (!strcmp(sim.called[i].name, function))
			return ++sim.called[i].calls;
	snprintf(sim.called[sim.called_count].name, NAME_SIZE, "%s", function);
	return sim.called[sim.called_count++].calls = 1;
}

static int fault_of(const char *function)
{
	const char *text = getenv("SIMCUPTI_FAULT");
	unsigned calls = call_count(function), from;
	char name[NAME_SIZE];
	int result;

	for (; text && *text; text = strchr(text, ',') ? strchr(text, ',') + 1 : "") {
		int n = sscanf(text, "%127[^:]:%d@%u", name, &result, &from);

		if (n >= 2 && !strcmp(name, function) && (n == 2 || calls >= from))
			return result;
	}
	return 0;
}

#define BEGIN(p, type, last)                                                                                 \
	LOCKED;                                                                                              \
	int fault_ = fault_of(__func__);                                                                     \
	if (fault_)                                                                                          \
		return fault_;                                                                               \
	if (!(p) || (p)->size != CUPTI_SIZE(type, last) || (p)->priv)                                        \
	return violation(CUPTI_INVALID_PARAMETER)
#define BEGIN_PLAIN                                                                                          \
	LOCKED;                                                                                              \
	int fault_ = fault_of(__func__);                                                                     \
	if (fault_)                                                                                          \
	return fault_

int cuptiGetVersion(uint32_t *ret)
{
	*ret = 130001;
	return 0;
}

/* --- callbacks --- */

int cuptiSubscribe(void **ret, cupti_callback *callback, void *user)
{
	BEGIN_PLAIN;
	if (!ret || !callback)
		return violation(CUPTI_INVALID_PARAMETER);
	if (sim.has_subscriber)
		return CUPTI_MULTIPLE_SUBSCRIBERS;
	sim.has_subscriber = true;
	sim.callback = callback;
	sim.user = user;
	memset(sim.enabled, 0, sizeof(sim.enabled));
	*ret = &subscriber_handle;
	return 0;
}

int cuptiUnsubscribe(void *handle)
{
	BEGIN_PLAIN;
	if (handle != &subscriber_handle || !sim.has_subscriber)
		return violation(CUPTI_INVALID_PARAMETER);
	sim.has_subscriber = false;
	sim.is_foreign = false;
	return 0;
}

int cuptiEnableCallback(uint32_t enable, void *handle, int domain, uint32_t cbid)
{
	BEGIN_PLAIN;
	if (handle != &subscriber_handle || !sim.has_subscriber || domain < 1 || domain > 6 || cbid >= 1024)
		return violation(CUPTI_INVALID_PARAMETER);
	sim.enabled[domain][cbid] = enable;
	return 0;
}

int cuptiFinalize(void)
{
	BEGIN_PLAIN;
	sim.has_subscriber = false;
	memset(sim.profiler, 0, sizeof(sim.profiler));
	return 0;
}

static bool deliver(int domain, uint32_t cbid, const void *data)
{
	cupti_callback *callback = NULL;
	void *user = NULL;

	pthread_mutex_lock(&sim.lock);
	if (sim.has_subscriber && sim.enabled[domain][cbid] && !sim.is_foreign) {
		callback = sim.callback;
		user = sim.user;
	}
	pthread_mutex_unlock(&sim.lock);
	if (callback)
		callback(user, domain, cbid, data);
	return callback;
}

/* --- the host side --- */

/* As the hardware: instrumented counters do not go with others, and of the others a pass holds four. */
static uint32_t passes_of(const struct config_image *c)
{
	uint32_t scalar = 0, tensor = 0;

	for (uint32_t i = 0; i < c->count; i++)
		strstr(c->name[i], "__sass_") ? scalar++ : tensor++;
	return (scalar ? 1 : 0) + (tensor + 3) / 4;
}

int cuptiProfilerInitialize(struct cupti_initialize *p)
{
	BEGIN(p, cupti_initialize, priv);
	return 0;
}

static const char *chip(void)
{
	return getenv("SIMCUPTI_CHIP") ? getenv("SIMCUPTI_CHIP") : "GH100";
}

int cuptiProfilerHostInitialize(struct cupti_host_initialize *p)
{
	BEGIN(p, cupti_host_initialize, host);
	if (p->type != CUPTI_RANGE_PROFILER || !p->chip || strcmp(p->chip, chip()))
		return CUPTI_INVALID_PARAMETER;
	for (size_t i = 0; i < 16; i++) {
		if (sim.host[i].used)
			continue;
		sim.host[i] = (struct host){ .used = true };
		p->host = &sim.host[i];
		return 0;
	}
	return CUPTI_OUT_OF_MEMORY;
}

static struct host *host_of(void *h)
{
	for (size_t i = 0; i < 16; i++)
		if (h == &sim.host[i] && sim.host[i].used)
			return h;
	return NULL;
}

int cuptiProfilerHostDeinitialize(struct cupti_host_deinitialize *p)
{
	BEGIN(p, cupti_host_deinitialize, host);
	if (!host_of(p->host))
		return violation(CUPTI_INVALID_PARAMETER);
	host_of(p->host)->used = false;
	return 0;
}

int cuptiProfilerHostConfigAddMetrics(struct cupti_host_add_metrics *p)
{
	BEGIN(p, cupti_host_add_metrics, count);
	struct host *h = host_of(p->host);

	if (!h || !p->count || p->count > METRICS_MAX)
		return violation(CUPTI_INVALID_PARAMETER);
	h->config = (struct config_image){ .magic = IMAGE_MAGIC, .count = (uint32_t)p->count };
	for (size_t i = 0; i < p->count; i++)
		snprintf(h->config.name[i], NAME_SIZE, "%s", p->names[i]);
	h->config.passes = passes_of(&h->config);
	return 0;
}

int cuptiProfilerHostGetConfigImageSize(struct cupti_host_image_size *p)
{
	BEGIN(p, cupti_host_image_size, image_size);
	if (!host_of(p->host))
		return violation(CUPTI_INVALID_PARAMETER);
	p->image_size = sizeof(struct config_image);
	return 0;
}

int cuptiProfilerHostGetConfigImage(struct cupti_host_image *p)
{
	BEGIN(p, cupti_host_image, image);
	if (!host_of(p->host) || p->image_size < sizeof(struct config_image))
		return violation(CUPTI_INVALID_PARAMETER);
	memcpy(p->image, &host_of(p->host)->config, sizeof(struct config_image));
	return 0;
}

int cuptiProfilerHostGetNumOfPasses(struct cupti_host_passes *p)
{
	BEGIN(p, cupti_host_passes, passes);
	if (!p->image || ((struct config_image *)p->image)->magic != IMAGE_MAGIC)
		return violation(CUPTI_INVALID_PARAMETER);
	p->passes = ((struct config_image *)p->image)->passes;
	return 0;
}

static double counted(const struct range *r, const char *metric)
{
	double sum = 0;

	for (size_t i = 0; i < sim.kernels; i++)
		if (!strcmp(sim.kernel[i].name, r->kernel) && strstr(metric, sim.kernel[i].metric))
			sum += sim.kernel[i].ops + sim.kernel[i].step * ((double)(r->launch % 3) - 1);
	return sum;
}

int cuptiProfilerHostEvaluateToGpuValues(struct cupti_host_evaluate *p)
{
	BEGIN(p, cupti_host_evaluate, values);
	const struct data_image *d = (const void *)p->data;

	if (!host_of(p->host) || !d || d->magic != DATA_MAGIC || p->range >= d->ranges || !p->values)
		return violation(CUPTI_INVALID_PARAMETER);
	for (size_t i = 0; i < p->count; i++)
		p->values[i] = counted(&d->range[p->range], p->names[i]);
	return 0;
}

/* --- the device side --- */

int cuptiGetDeviceId(void *context, uint32_t *ret)
{
	BEGIN_PLAIN;
	*ret = 0;
	return context ? 0 : violation(3);
}

int cuptiDeviceGetChipName(struct cupti_chip_name *p)
{
	BEGIN(p, cupti_chip_name, chip);
	p->chip = chip();
	return p->device ? violation(2) : 0;
}

int cuptiProfilerDeviceSupported(struct cupti_device_supported *p)
{
	BEGIN(p, cupti_device_supported, api);
	const char *disabled = getenv("SIMCUPTI_DISABLED") ? getenv("SIMCUPTI_DISABLED") : "";

	p->architecture = p->sli = p->cmp = p->wsl = CUPTI_LEVEL_SUPPORTED;
	p->confidential = !strcmp(disabled, "confidential") ? CUPTI_LEVEL_UNSUPPORTED : CUPTI_LEVEL_SUPPORTED;
	p->vgpu = !strcmp(disabled, "vgpu") ? CUPTI_LEVEL_DISABLED : CUPTI_LEVEL_SUPPORTED;
	p->is_supported = *disabled ? CUPTI_LEVEL_UNSUPPORTED : CUPTI_LEVEL_SUPPORTED;
	return 0;
}

static struct profiler *profiler_of(void *h)
{
	for (size_t i = 0; i < 4; i++)
		if (h == &sim.profiler[i] && sim.profiler[i].used)
			return h;
	return NULL;
}

int cuptiRangeProfilerEnable(struct cupti_range_enable *p)
{
	BEGIN(p, cupti_range_enable, profiler);
	for (size_t i = 0; i < 4; i++)
		if (sim.profiler[i].used && sim.profiler[i].context == p->context)
			return CUPTI_INVALID_OPERATION;
	for (size_t i = 0; i < 4; i++) {
		if (sim.profiler[i].used)
			continue;
		sim.profiler[i] = (struct profiler){ .used = true, .context = p->context };
		p->profiler = &sim.profiler[i];
		return 0;
	}
	return CUPTI_HARDWARE_BUSY;
}

int cuptiRangeProfilerDisable(struct cupti_range_object *p)
{
	BEGIN(p, cupti_range_object, profiler);
	struct profiler *r = profiler_of(p->profiler);

	if (!r)
		return violation(CUPTI_INVALID_PARAMETER);
	if (r->is_started)
		sim.violations++; /* Stop comes first */
	r->used = false;
	return 0;
}

int cuptiRangeProfilerGetCounterDataSize(struct cupti_range_data_size *p)
{
	BEGIN(p, cupti_range_data_size, data_size);
	if (!profiler_of(p->profiler) || !p->count || p->nodes_max < p->ranges_max)
		return violation(CUPTI_INVALID_PARAMETER);
	p->data_size = sizeof(struct data_image);
	return 0;
}

int cuptiRangeProfilerCounterDataImageInitialize(struct cupti_range_data_init *p)
{
	BEGIN(p, cupti_range_data_init, data);
	if (!profiler_of(p->profiler) || p->data_size < sizeof(struct data_image))
		return violation(CUPTI_INVALID_PARAMETER);
	*(struct data_image *)p->data = (struct data_image){ .magic = DATA_MAGIC };
	return 0;
}

int cuptiRangeProfilerSetConfig(struct cupti_range_config *p)
{
	BEGIN(p, cupti_range_config, nesting_target);
	struct profiler *r = profiler_of(p->profiler);
	const struct config_image *c = (const void *)p->config;
	struct data_image *d = (void *)p->data;

	if (!r || r->is_started || !c || c->magic != IMAGE_MAGIC || !d || d->magic != DATA_MAGIC || d->ranges)
		return violation(CUPTI_INVALID_PARAMETER);
	if (p->range != CUPTI_AUTO_RANGE || p->nesting_levels != 1 || p->ranges_max > RANGES_MAX || p->pass)
		return violation(CUPTI_INVALID_PARAMETER);
	if (p->replay == CUPTI_KERNEL_REPLAY || c->passes != 1)
		return violation(CUPTI_INVALID_PARAMETER); /* no test of ours may replay a tenant's kernel */
	r->is_configured = true;
	r->data = d;
	r->ranges_max = (uint32_t)p->ranges_max;
	r->ran = r->dropped = 0;
	return 0;
}

int cuptiRangeProfilerStart(struct cupti_range_object *p)
{
	BEGIN(p, cupti_range_object, profiler);
	struct profiler *r = profiler_of(p->profiler);

	if (!r || !r->is_configured || r->is_started)
		return violation(CUPTI_INVALID_OPERATION);
	if (simcupti_capture_mode() != 2)
		sim.violations++; /* would break a capture of another thread */
	r->is_started = true;
	return 0;
}

int cuptiRangeProfilerStop(struct cupti_range_stop *p)
{
	BEGIN(p, cupti_range_stop, is_all_submitted);
	struct profiler *r = profiler_of(p->profiler);

	if (!r || !r->is_started)
		return violation(CUPTI_INVALID_OPERATION);
	r->is_started = false;
	p->is_all_submitted = 1;
	return 0;
}

int cuptiRangeProfilerDecodeData(struct cupti_range_decode *p)
{
	BEGIN(p, cupti_range_decode, dropped);
	struct profiler *r = profiler_of(p->profiler);

	if (!r || r->is_started || !r->is_configured)
		return violation(CUPTI_INVALID_OPERATION);
	memcpy(r->data->range, r->range, sizeof(r->range));
	r->data->ranges = (uint32_t)r->ran;
	p->dropped = r->dropped;
	return 0;
}

int cuptiRangeProfilerGetCounterDataInfo(struct cupti_range_data_info *p)
{
	BEGIN(p, cupti_range_data_info, ranges);
	const struct data_image *d = (const void *)p->data;

	if (!d || d->magic != DATA_MAGIC)
		return violation(CUPTI_INVALID_PARAMETER);
	p->ranges = d->ranges;
	return 0;
}

/* --- the driver's side of it --- */

static uint64_t launched_add(const char *name)
{
	for (size_t i = 0; i < sim.launched_count; i++)
		if (!strcmp(sim.launched[i].name, name))
			return sim.launched[i].count++;
	if (sim.launched_count == KERNELS)
		abort();
	snprintf(sim.launched[sim.launched_count].name, NAME_SIZE, "%s", name);
	return sim.launched[sim.launched_count++].count++;
}

static void kernel_run(void *context, const char *name)
{
	uint64_t launch;
	LOCKED;

	launch = launched_add(name);
	for (size_t i = 0; i < 4; i++) {
		struct profiler *r = &sim.profiler[i];

		if (!r->used || !r->is_started || r->context != context)
			continue;
		if (r->ran >= r->ranges_max) {
			r->dropped++;
			continue;
		}
		snprintf(r->range[r->ran].kernel, NAME_SIZE, "%s", name);
		r->range[r->ran++].launch = launch;
	}
}

int simcupti_launch(uint32_t cbid, const void *params, const char *name, void *context,
		    int (*call)(void *), void *arg, bool is_captured)
{
	struct cupti_callback_data d = { .site = CUPTI_API_ENTER_SITE,
					 .function_name = "cuLaunchKernel",
					 .params = params,
					 .symbol_name = name,
					 .context = context };
	int rc;

	deliver(CUPTI_DOMAIN_DRIVER, cbid, &d);
	rc = call ? call(arg) : 0;
	if (!rc && !is_captured)
		kernel_run(context, name);
	d.site = CUPTI_API_EXIT_SITE;
	d.return_value = &rc;
	deliver(CUPTI_DOMAIN_DRIVER, cbid, &d);
	return rc;
}

void simcupti_context_destroy(void *context)
{
	struct cupti_resource_data d = { .context = context };

	deliver(CUPTI_DOMAIN_RESOURCE, CUPTI_RESOURCE_CONTEXT_DESTROY, &d);
	LOCKED;
	for (size_t i = 0; i < 4; i++)
		if (sim.profiler[i].used && sim.profiler[i].context == context)
			sim.violations++; /* outlives its context */
}

void simcupti_kernel(const char *name, const char *metric, double ops, double step)
{
	LOCKED;

	if (sim.kernels == KERNELS)
		abort();
	snprintf(sim.kernel[sim.kernels].name, NAME_SIZE, "%s", name);
	snprintf(sim.kernel[sim.kernels].metric, NAME_SIZE, "%s", metric);
	sim.kernel[sim.kernels].ops = ops;
	sim.kernel[sim.kernels++].step = step;
}

uint64_t simcupti_violations(void)
{
	LOCKED;
	return sim.violations;
}

unsigned simcupti_calls(const char *function)
{
	LOCKED;
	for (size_t i = 0; i < sim.called_count; i++)
		if (!strcmp(sim.called[i].name, function))
			return sim.called[i].calls;
	return 0;
}

bool simcupti_has_subscriber(void)
{
	LOCKED;
	return sim.has_subscriber;
}
