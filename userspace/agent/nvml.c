// SPDX-License-Identifier: Apache-2.0
#include "nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "../base/cleanup.h"

#define FUNCTION(field, symbol, is_needed)                                                                   \
	{                                                                                                    \
		offsetof(struct nvml, field), symbol, is_needed                                              \
	}

static const struct {
	size_t at;
	const char *symbol;
	bool is_needed;
} functions[] = {
	FUNCTION(init, "nvmlInit_v2", true),
	FUNCTION(shutdown, "nvmlShutdown", true),
	FUNCTION(count, "nvmlDeviceGetCount_v2", true),
	FUNCTION(by_index, "nvmlDeviceGetHandleByIndex_v2", true),
	FUNCTION(name, "nvmlDeviceGetName", true),
	FUNCTION(uuid, "nvmlDeviceGetUUID", true),
	FUNCTION(clock, "nvmlDeviceGetClockInfo", true),
	FUNCTION(utilization, "nvmlDeviceGetUtilizationRates", true),
	FUNCTION(processes, "nvmlDeviceGetComputeRunningProcesses_v3", true),
	FUNCTION(mig_mode, "nvmlDeviceGetMigMode", false),
	FUNCTION(mig_max, "nvmlDeviceGetMaxMigDeviceCount", false),
	FUNCTION(mig_device, "nvmlDeviceGetMigDeviceHandleByIndex", false),
	FUNCTION(mig_instance, "nvmlDeviceGetGpuInstanceId", false),
	FUNCTION(attributes, "nvmlDeviceGetAttributes_v2", false),
	FUNCTION(gpm_support, "nvmlGpmQueryDeviceSupport", false),
	FUNCTION(gpm_alloc, "nvmlGpmSampleAlloc", false),
	FUNCTION(gpm_free, "nvmlGpmSampleFree", false),
	FUNCTION(gpm_sample, "nvmlGpmSampleGet", false),
	FUNCTION(gpm_mig_sample, "nvmlGpmMigSampleGet", false),
	FUNCTION(gpm_metrics, "nvmlGpmMetricsGet", false),
};

int nvml_open(struct nvml *n, const char *path, struct error_text *err)
{
	int rc;

	memset(n, 0, sizeof(*n));
	n->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!n->library)
		return error_set(err, -ENOENT, "%s", dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *f = dlsym(n->library, functions[i].symbol);

		if (!f && functions[i].is_needed)
			return error_set(err, -ENOEXEC, "%s has no %s", path, functions[i].symbol);
		memcpy((char *)n + functions[i].at, &f, sizeof(f));
	}
	rc = n->init();
	if (rc)
		return error_set(err, -EIO, "%s: nvmlInit: error %d%s", path, rc,
				 rc == NVML_DRIVER_NOT_LOADED ? ", the driver is not loaded" : "");
	return 0;
}
