/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_NVML_H
#define OPMETER_AGENT_NVML_H

/*
 * NVML, opened at run time: own prototypes after nvml.h of 12.9 and 13.0 (a test
 * compares the layouts). Used by the sampler's process only: NVML can hang.
 */

#include <stdint.h>

#include "../base/log.h"

#define NVML_PATH "libnvidia-ml.so.1"

typedef void *nvml_device;
typedef void *nvml_gpm_sample;

enum nvml_result { /* nvmlReturn_t */
		   NVML_OK = 0,
		   NVML_NOT_SUPPORTED = 3,
		   NVML_NO_PERMISSION = 4,
		   NVML_INSUFFICIENT_SIZE = 7,
		   NVML_DRIVER_NOT_LOADED = 9,
		   NVML_GPU_IS_LOST = 15,
};

enum nvml_gpm_metric_id { /* nvmlGpmMetricId_t */
			  NVML_GPM_GRAPHICS = 1,
			  NVML_GPM_SM = 2,
			  NVML_GPM_INTEGER = 4,
			  NVML_GPM_TENSOR = 5,
			  NVML_GPM_FP64 = 11,
			  NVML_GPM_FP32 = 12,
			  NVML_GPM_FP16 = 13,
};
#define NVML_GPM_METRICS_MAX 210 /* the library may look at as many as its header has */
#define NVML_CLOCK_SM 1

struct nvml_utilization {     /* nvmlUtilization_t */
	unsigned gpu, memory; /* percent */
};
struct nvml_process { /* nvmlProcessInfo_t */
	unsigned pid;
	unsigned long long memory;
	unsigned gpu_instance, compute_instance;
};
struct nvml_gpm_metric { /* nvmlGpmMetric_t */
	unsigned id;
	int result;
	double value;
	const char *short_name, *long_name, *unit;
};
struct nvml_gpm_metrics { /* nvmlGpmMetricsGet_t, version 1 */
	unsigned version, count;
	nvml_gpm_sample before, after;
	struct nvml_gpm_metric metric[NVML_GPM_METRICS_MAX];
};
struct nvml_gpm_support { /* nvmlGpmSupport_t, version 1 */
	unsigned version, is_supported;
};
struct nvml_attributes { /* nvmlDeviceAttributes_t */
	unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
	unsigned long long memory_mb;
};

struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *ret);
	int (*by_index)(unsigned index, nvml_device *ret);
	int (*name)(nvml_device d, char *ret, unsigned size);
	int (*uuid)(nvml_device d, char *ret, unsigned size);
	int (*clock)(nvml_device d, int type, unsigned *ret_mhz);
	int (*utilization)(nvml_device d, struct nvml_utilization *ret);
	int (*processes)(nvml_device d, unsigned *count, struct nvml_process *ret);
	/* From here on: may be missing in an old driver. */
	int (*mig_mode)(nvml_device d, unsigned *ret_current, unsigned *ret_pending);
	int (*mig_max)(nvml_device d, unsigned *ret);
	int (*mig_device)(nvml_device d, unsigned index, nvml_device *ret);
	int (*mig_instance)(nvml_device d, unsigned *ret_gpu_instance);
	int (*attributes)(nvml_device d, struct nvml_attributes *ret);
	int (*gpm_support)(nvml_device d, struct nvml_gpm_support *ret);
	int (*gpm_alloc)(nvml_gpm_sample *ret);
	int (*gpm_free)(nvml_gpm_sample s);
	int (*gpm_sample)(nvml_device d, nvml_gpm_sample s);
	int (*gpm_mig_sample)(nvml_device d, unsigned gpu_instance, nvml_gpm_sample s);
	int (*gpm_metrics)(struct nvml_gpm_metrics *m);
};

/* Loads and initialises. 0; -ENOENT: no such library; -ENOEXEC: it lacks a function;
 * -EIO: it cannot be initialised; *err says which and why. */
int nvml_open(struct nvml *n, const char *path, struct error_text *err);

#endif
