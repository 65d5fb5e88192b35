// SPDX-License-Identifier: Apache-2.0
/* Compiled, never run: our structures against the vendor's, field by field. */
#include <cupti.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_range_profiler.h>
#include <cupti_target.h>

#include "../../userspace/cupti/abi.h"

#define SIZE(o, v, last_o, last_v)                                                                           \
	_Static_assert(CUPTI_SIZE(o, last_o) == offsetof(v, last_v) + sizeof(((v *)0)->last_v), #o)
#define FIELD(o, a, v, b)                                                                                    \
	_Static_assert(offsetof(struct o, a) == offsetof(v, b) &&                                            \
			       sizeof(((struct o *)0)->a) == sizeof(((v *)0)->b),                            \
		       #o "." #a)
/* Ours ends where the vendor's does: the macro of the header says where. */
#define WHOLE(o, last_o, v) _Static_assert(CUPTI_SIZE(o, last_o) == v##_STRUCT_SIZE, #o " is another size")
#define VALUE(a, b) _Static_assert((int)(a) == (int)(b), #a)

VALUE(CUPTI_OK, CUPTI_SUCCESS);
VALUE(CUPTI_INVALID_PARAMETER, CUPTI_ERROR_INVALID_PARAMETER);
VALUE(CUPTI_INVALID_OPERATION, CUPTI_ERROR_INVALID_OPERATION);
VALUE(CUPTI_OUT_OF_MEMORY, CUPTI_ERROR_OUT_OF_MEMORY);
VALUE(CUPTI_MAX_LIMIT_REACHED, CUPTI_ERROR_MAX_LIMIT_REACHED);
VALUE(CUPTI_NOT_INITIALIZED, CUPTI_ERROR_NOT_INITIALIZED);
VALUE(CUPTI_INVALID_METRIC_NAME, CUPTI_ERROR_INVALID_METRIC_NAME);
VALUE(CUPTI_HARDWARE_BUSY, CUPTI_ERROR_HARDWARE_BUSY);
VALUE(CUPTI_NOT_SUPPORTED, CUPTI_ERROR_NOT_SUPPORTED);
VALUE(CUPTI_VIRTUALIZED, CUPTI_ERROR_VIRTUALIZED_DEVICE_NOT_SUPPORTED);
VALUE(CUPTI_INSUFFICIENT_PRIVILEGES, CUPTI_ERROR_INSUFFICIENT_PRIVILEGES);
VALUE(CUPTI_MULTIPLE_SUBSCRIBERS, CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED);
VALUE(CUPTI_VIRTUALIZED_PRIVILEGES, CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES);
VALUE(CUPTI_CONFIDENTIAL_COMPUTING, CUPTI_ERROR_CONFIDENTIAL_COMPUTING_NOT_SUPPORTED);
VALUE(CUPTI_MIG, CUPTI_ERROR_MIG_DEVICE_NOT_SUPPORTED);
#if CUPTI_API_VERSION >= 130000 /* 12.9 says INVALID_PARAMETER */
VALUE(CUPTI_INVALID_CHIP, CUPTI_ERROR_INVALID_CHIP_NAME);
#endif
VALUE(CUPTI_UNKNOWN, CUPTI_ERROR_UNKNOWN);
VALUE(CUPTI_API_ENTER_SITE, CUPTI_API_ENTER);
VALUE(CUPTI_API_EXIT_SITE, CUPTI_API_EXIT);
VALUE(CUPTI_DOMAIN_DRIVER, CUPTI_CB_DOMAIN_DRIVER_API);
VALUE(CUPTI_DOMAIN_RESOURCE, CUPTI_CB_DOMAIN_RESOURCE);
VALUE(CUPTI_DOMAIN_STATE, CUPTI_CB_DOMAIN_STATE);
VALUE(CUPTI_RESOURCE_CONTEXT_DESTROY, CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING);
VALUE(CUPTI_CBID_LAUNCH_KERNEL, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel);
VALUE(CUPTI_CBID_LAUNCH_KERNEL_PTSZ, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel_ptsz);
VALUE(CUPTI_CBID_LAUNCH_COOPERATIVE, CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel);
VALUE(CUPTI_CBID_LAUNCH_COOPERATIVE_PTSZ, CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel_ptsz);
VALUE(CUPTI_CBID_LAUNCH_COOPERATIVE_MANY, CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernelMultiDevice);
VALUE(CUPTI_CBID_GRAPH_LAUNCH, CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch);
VALUE(CUPTI_CBID_GRAPH_LAUNCH_PTSZ, CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch_ptsz);
VALUE(CUPTI_CBID_LAUNCH_KERNEL_EX, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx);
VALUE(CUPTI_CBID_LAUNCH_KERNEL_EX_PTSZ, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx_ptsz);
VALUE(CUPTI_RANGE_PROFILER, CUPTI_PROFILER_TYPE_RANGE_PROFILER);
VALUE(CUPTI_LEVEL_UNSUPPORTED, CUPTI_PROFILER_CONFIGURATION_UNSUPPORTED);
VALUE(CUPTI_LEVEL_DISABLED, CUPTI_PROFILER_CONFIGURATION_DISABLED);
VALUE(CUPTI_LEVEL_SUPPORTED, CUPTI_PROFILER_CONFIGURATION_SUPPORTED);
VALUE(CUPTI_AUTO_RANGE, CUPTI_AutoRange);
VALUE(CUPTI_USER_RANGE, CUPTI_UserRange);
VALUE(CUPTI_KERNEL_REPLAY, CUPTI_KernelReplay);
VALUE(CUPTI_USER_REPLAY, CUPTI_UserReplay);

FIELD(cupti_callback_data, site, CUpti_CallbackData, callbackSite);
FIELD(cupti_callback_data, params, CUpti_CallbackData, functionParams);
FIELD(cupti_callback_data, return_value, CUpti_CallbackData, functionReturnValue);
FIELD(cupti_callback_data, symbol_name, CUpti_CallbackData, symbolName);
FIELD(cupti_callback_data, context, CUpti_CallbackData, context);
FIELD(cupti_callback_data, context_uid, CUpti_CallbackData, contextUid);
FIELD(cupti_callback_data, correlation_data, CUpti_CallbackData, correlationData);
FIELD(cupti_callback_data, correlation_id, CUpti_CallbackData, correlationId);
_Static_assert(sizeof(struct cupti_callback_data) == sizeof(CUpti_CallbackData), "callback data");
FIELD(cupti_resource_data, context, CUpti_ResourceData, context);
FIELD(cupti_resource_data, descriptor, CUpti_ResourceData, resourceDescriptor);

#define GEOMETRY(o, v)                                                                                       \
	_Static_assert(offsetof(struct o, grid) == offsetof(v, gridDimX) &&                                  \
			       offsetof(struct o, grid) + 8 == offsetof(v, gridDimZ) &&                      \
			       offsetof(struct o, block) == offsetof(v, blockDimX) &&                        \
			       offsetof(struct o, block) + 8 == offsetof(v, blockDimZ),                      \
		       #o " and " #v);                                                                       \
	FIELD(o, shared_bytes, v, sharedMemBytes);                                                           \
	FIELD(o, stream, v, hStream)
GEOMETRY(cupti_launch_params, cuLaunchKernel_params);
GEOMETRY(cupti_launch_params, cuLaunchKernel_ptsz_params);
GEOMETRY(cupti_launch_params, cuLaunchCooperativeKernel_params);
GEOMETRY(cupti_launch_params, cuLaunchCooperativeKernel_ptsz_params);
GEOMETRY(cupti_launch_config, CUlaunchConfig);
FIELD(cupti_launch_config, attribute_count, CUlaunchConfig, numAttrs);
FIELD(cupti_launch_ex_params, config, cuLaunchKernelEx_params, config);
FIELD(cupti_launch_ex_params, function, cuLaunchKernelEx_ptsz_params, f);

WHOLE(cupti_initialize, priv, CUpti_Profiler_Initialize_Params);
WHOLE(cupti_host_initialize, host, CUpti_Profiler_Host_Initialize_Params);
FIELD(cupti_host_initialize, type, CUpti_Profiler_Host_Initialize_Params, profilerType);
FIELD(cupti_host_initialize, chip, CUpti_Profiler_Host_Initialize_Params, pChipName);
FIELD(cupti_host_initialize, availability, CUpti_Profiler_Host_Initialize_Params, pCounterAvailabilityImage);
WHOLE(cupti_host_deinitialize, host, CUpti_Profiler_Host_Deinitialize_Params);
WHOLE(cupti_host_add_metrics, count, CUpti_Profiler_Host_ConfigAddMetrics_Params);
FIELD(cupti_host_add_metrics, names, CUpti_Profiler_Host_ConfigAddMetrics_Params, ppMetricNames);
WHOLE(cupti_host_image_size, image_size, CUpti_Profiler_Host_GetConfigImageSize_Params);
WHOLE(cupti_host_image, image, CUpti_Profiler_Host_GetConfigImage_Params);
FIELD(cupti_host_image, image_size, CUpti_Profiler_Host_GetConfigImage_Params, configImageSize);
WHOLE(cupti_host_passes, passes, CUpti_Profiler_Host_GetNumOfPasses_Params);
FIELD(cupti_host_passes, image, CUpti_Profiler_Host_GetNumOfPasses_Params, pConfigImage);
WHOLE(cupti_host_evaluate, values, CUpti_Profiler_Host_EvaluateToGpuValues_Params);
FIELD(cupti_host_evaluate, data, CUpti_Profiler_Host_EvaluateToGpuValues_Params, pCounterDataImage);
FIELD(cupti_host_evaluate, range, CUpti_Profiler_Host_EvaluateToGpuValues_Params, rangeIndex);
FIELD(cupti_host_evaluate, names, CUpti_Profiler_Host_EvaluateToGpuValues_Params, ppMetricNames);
WHOLE(cupti_chip_name, chip, CUpti_Device_GetChipName_Params);
WHOLE(cupti_device_supported, api, CUpti_Profiler_DeviceSupported_Params);
FIELD(cupti_device_supported, device, CUpti_Profiler_DeviceSupported_Params, cuDevice);
FIELD(cupti_device_supported, is_supported, CUpti_Profiler_DeviceSupported_Params, isSupported);
FIELD(cupti_device_supported, vgpu, CUpti_Profiler_DeviceSupported_Params, vGpu);
FIELD(cupti_device_supported, confidential, CUpti_Profiler_DeviceSupported_Params, confidentialCompute);
WHOLE(cupti_range_config, nesting_target, CUpti_RangeProfiler_SetConfig_Params);
FIELD(cupti_range_config, profiler, CUpti_RangeProfiler_SetConfig_Params, pRangeProfilerObject);
FIELD(cupti_range_config, data, CUpti_RangeProfiler_SetConfig_Params, pCounterDataImage);
FIELD(cupti_range_config, range, CUpti_RangeProfiler_SetConfig_Params, range);
FIELD(cupti_range_config, replay, CUpti_RangeProfiler_SetConfig_Params, replayMode);
FIELD(cupti_range_config, ranges_max, CUpti_RangeProfiler_SetConfig_Params, maxRangesPerPass);
FIELD(cupti_range_config, nesting_levels, CUpti_RangeProfiler_SetConfig_Params, numNestingLevels);
FIELD(cupti_range_config, nesting_min, CUpti_RangeProfiler_SetConfig_Params, minNestingLevel);
FIELD(cupti_range_config, pass, CUpti_RangeProfiler_SetConfig_Params, passIndex);
WHOLE(cupti_range_enable, profiler, CUpti_RangeProfiler_Enable_Params);
FIELD(cupti_range_enable, context, CUpti_RangeProfiler_Enable_Params, ctx);
WHOLE(cupti_range_object, profiler, CUpti_RangeProfiler_Disable_Params);
WHOLE(cupti_range_object, profiler, CUpti_RangeProfiler_Start_Params);
WHOLE(cupti_range_stop, is_all_submitted, CUpti_RangeProfiler_Stop_Params);
WHOLE(cupti_range_decode, dropped, CUpti_RangeProfiler_DecodeData_Params);
WHOLE(cupti_range_data_size, data_size, CUpti_RangeProfiler_GetCounterDataSize_Params);
FIELD(cupti_range_data_size, ranges_max, CUpti_RangeProfiler_GetCounterDataSize_Params, maxNumOfRanges);
FIELD(cupti_range_data_size, nodes_max, CUpti_RangeProfiler_GetCounterDataSize_Params, maxNumRangeTreeNodes);
WHOLE(cupti_range_data_init, data, CUpti_RangeProfiler_CounterDataImage_Initialize_Params);
WHOLE(cupti_range_data_info, ranges, CUpti_RangeProfiler_GetCounterDataInfo_Params);
FIELD(cupti_range_data_info, data, CUpti_RangeProfiler_GetCounterDataInfo_Params, pCounterDataImage);
