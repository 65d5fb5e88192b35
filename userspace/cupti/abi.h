/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_ABI_H
#define OPMETER_CUPTI_ABI_H

/*
 * What we call of CUPTI, in our own words: structures by layout, numbers by value.
 * So the library builds without the vendor's headers, and with one binary for
 * CUPTI 12.x and 13.x, whose layouts here are the same; tests/cupti/abi.c compares
 * every one of them with the real headers of both.
 *
 * Each parameter block begins with its size, by which CUPTI tells versions apart:
 * CUPTI_SIZE() is the size up to the last field that we know, not sizeof, as the
 * vendor defines it.
 */

#include <stddef.h>
#include <stdint.h>

#define CUPTI_SIZE(type, last) (offsetof(struct type, last) + sizeof(((struct type *)0)->last))

/* --- results --- */

enum {
	CUPTI_OK = 0,
	CUPTI_INVALID_PARAMETER = 1,
	CUPTI_INVALID_OPERATION = 7,
	CUPTI_OUT_OF_MEMORY = 8,
	CUPTI_MAX_LIMIT_REACHED = 12,
	CUPTI_NOT_INITIALIZED = 15,
	CUPTI_INVALID_METRIC_NAME = 17,
	CUPTI_HARDWARE_BUSY = 26,
	CUPTI_NOT_SUPPORTED = 27,
	CUPTI_VIRTUALIZED = 33,
	CUPTI_INSUFFICIENT_PRIVILEGES = 35,
	CUPTI_MULTIPLE_SUBSCRIBERS = 39,
	CUPTI_VIRTUALIZED_PRIVILEGES = 40,
	CUPTI_CONFIDENTIAL_COMPUTING = 41,
	CUPTI_MIG = 43,
	CUPTI_INVALID_CHIP = 46,
	CUPTI_UNKNOWN = 999,
};

/* --- callbacks --- */

enum { CUPTI_API_ENTER_SITE = 0, CUPTI_API_EXIT_SITE = 1 };
enum { CUPTI_DOMAIN_DRIVER = 1, CUPTI_DOMAIN_RESOURCE = 3, CUPTI_DOMAIN_STATE = 6 };
enum { CUPTI_RESOURCE_CONTEXT_DESTROY = 2 };
enum {
	CUPTI_CBID_LAUNCH_KERNEL = 307,
	CUPTI_CBID_LAUNCH_KERNEL_PTSZ = 442,
	CUPTI_CBID_LAUNCH_COOPERATIVE = 477,
	CUPTI_CBID_LAUNCH_COOPERATIVE_PTSZ = 478,
	CUPTI_CBID_LAUNCH_COOPERATIVE_MANY = 480,
	CUPTI_CBID_GRAPH_LAUNCH = 514,
	CUPTI_CBID_GRAPH_LAUNCH_PTSZ = 515,
	CUPTI_CBID_LAUNCH_KERNEL_EX = 652,
	CUPTI_CBID_LAUNCH_KERNEL_EX_PTSZ = 653,
};

struct cupti_callback_data {
	int site;
	const char *function_name;
	const void *params;
	void *return_value;
	const char *symbol_name; /* the kernel's, mangled */
	void *context;
	uint32_t context_uid;
	uint64_t *correlation_data; /* one word that lives from a call's entry to its exit */
	uint32_t correlation_id;
};

struct cupti_resource_data {
	void *context;
	void *handle, *descriptor;
};

typedef void cupti_callback(void *user, int domain, uint32_t cbid, const void *data);

struct cupti_launch_params { /* cuLaunchKernel, cuLaunchCooperativeKernel and their _ptsz */
	void *function;
	uint32_t grid[3], block[3], shared_bytes;
	void *stream;
};
struct cupti_launch_config { /* CUlaunchConfig */
	uint32_t grid[3], block[3], shared_bytes;
	void *stream, *attributes;
	uint32_t attribute_count;
};
struct cupti_launch_ex_params { /* cuLaunchKernelEx and its _ptsz */
	const struct cupti_launch_config *config;
	void *function;
};

/* --- the host side: from metric names to a configuration --- */

enum { CUPTI_RANGE_PROFILER = 0 };

struct cupti_initialize {
	size_t size;
	void *priv;
};
struct cupti_host_initialize {
	size_t size;
	void *priv;
	int type;
	const char *chip;
	const uint8_t *availability;
	void *host;
};
struct cupti_host_deinitialize {
	size_t size;
	void *priv, *host;
};
struct cupti_host_add_metrics {
	size_t size;
	void *priv, *host;
	const char **names;
	size_t count;
};
struct cupti_host_image_size {
	size_t size;
	void *priv, *host;
	size_t image_size;
};
struct cupti_host_image {
	size_t size;
	void *priv, *host;
	size_t image_size;
	uint8_t *image;
};
struct cupti_host_passes {
	size_t size;
	void *priv;
	size_t image_size;
	uint8_t *image;
	size_t passes;
};
struct cupti_host_evaluate {
	size_t size;
	void *priv, *host;
	const uint8_t *data;
	size_t data_size;
	size_t range;
	const char **names;
	size_t count;
	double *values;
};

/* --- the device side --- */

struct cupti_chip_name {
	size_t size;
	void *priv;
	size_t device;
	const char *chip;
};

enum { CUPTI_LEVEL_UNSUPPORTED = 1, CUPTI_LEVEL_DISABLED = 2, CUPTI_LEVEL_SUPPORTED = 3 };
struct cupti_device_supported {
	size_t size;
	void *priv;
	int device; /* CUdevice */
	int is_supported;
	int architecture, sli, vgpu, confidential, cmp, wsl;
	int api; /* 0: range profiling */
};

enum { CUPTI_AUTO_RANGE = 1, CUPTI_USER_RANGE = 2 };
enum { CUPTI_KERNEL_REPLAY = 2, CUPTI_USER_REPLAY = 3 };

struct cupti_range_config {
	size_t size;
	void *priv, *profiler;
	size_t config_size;
	const uint8_t *config;
	size_t data_size;
	uint8_t *data;
	int range;
	int replay;
	size_t ranges_max;
	uint16_t nesting_levels, nesting_min;
	size_t pass;
	uint16_t nesting_target;
};
struct cupti_range_enable {
	size_t size;
	void *priv, *context, *profiler;
};
struct cupti_range_object { /* Disable, Start, PopRange */
	size_t size;
	void *priv, *profiler;
};
struct cupti_range_stop {
	size_t size;
	void *priv, *profiler;
	size_t pass, nesting_target;
	uint8_t is_all_submitted;
};
struct cupti_range_decode {
	size_t size;
	void *priv, *profiler;
	size_t dropped;
};
struct cupti_range_data_size {
	size_t size;
	void *priv, *profiler;
	const char **names;
	size_t count;
	size_t ranges_max;
	uint32_t nodes_max;
	size_t data_size;
};
struct cupti_range_data_init {
	size_t size;
	void *priv, *profiler;
	size_t data_size;
	uint8_t *data;
};
struct cupti_range_data_info {
	size_t size;
	void *priv;
	const uint8_t *data;
	size_t data_size;
	size_t ranges;
};

/* --- the functions; struct cupti_api (library.h) has a pointer to each --- */

#define CUPTI_FUNCTIONS(X)                                                                                   \
	X(get_version, cuptiGetVersion, (uint32_t *))                                                        \
	X(subscribe, cuptiSubscribe, (void **, cupti_callback *, void *))                                    \
	X(unsubscribe, cuptiUnsubscribe, (void *))                                                           \
	X(enable_callback, cuptiEnableCallback, (uint32_t, void *, int, uint32_t))                           \
	X(device_id, cuptiGetDeviceId, (void *, uint32_t *))                                                 \
	X(initialize, cuptiProfilerInitialize, (struct cupti_initialize *))                                  \
	X(chip_name, cuptiDeviceGetChipName, (struct cupti_chip_name *))                                     \
	X(device_supported, cuptiProfilerDeviceSupported, (struct cupti_device_supported *))                 \
	X(host_initialize, cuptiProfilerHostInitialize, (struct cupti_host_initialize *))                    \
	X(host_deinitialize, cuptiProfilerHostDeinitialize, (struct cupti_host_deinitialize *))              \
	X(host_add_metrics, cuptiProfilerHostConfigAddMetrics, (struct cupti_host_add_metrics *))            \
	X(host_image_size, cuptiProfilerHostGetConfigImageSize, (struct cupti_host_image_size *))            \
	X(host_image, cuptiProfilerHostGetConfigImage, (struct cupti_host_image *))                          \
	X(host_passes, cuptiProfilerHostGetNumOfPasses, (struct cupti_host_passes *))                        \
	X(host_evaluate, cuptiProfilerHostEvaluateToGpuValues, (struct cupti_host_evaluate *))               \
	X(range_enable, cuptiRangeProfilerEnable, (struct cupti_range_enable *))                             \
	X(range_disable, cuptiRangeProfilerDisable, (struct cupti_range_object *))                           \
	X(range_data_size, cuptiRangeProfilerGetCounterDataSize, (struct cupti_range_data_size *))           \
	X(range_data_init, cuptiRangeProfilerCounterDataImageInitialize, (struct cupti_range_data_init *))   \
	X(range_data_info, cuptiRangeProfilerGetCounterDataInfo, (struct cupti_range_data_info *))           \
	X(range_config, cuptiRangeProfilerSetConfig, (struct cupti_range_config *))                          \
	X(range_start, cuptiRangeProfilerStart, (struct cupti_range_object *))                               \
	X(range_stop, cuptiRangeProfilerStop, (struct cupti_range_stop *))                                   \
	X(range_decode, cuptiRangeProfilerDecodeData, (struct cupti_range_decode *))

#endif
