// SPDX-License-Identifier: Apache-2.0
#include "driver_entries.h"

#include <errno.h>
#include <string.h>

#define NONE OM_SLOT_NONE
#define A1(a)                                                                                                \
	{                                                                                                    \
		a, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE                                            \
	}
#define A2(a, b)                                                                                             \
	{                                                                                                    \
		a, b, NONE, NONE, NONE, NONE, NONE, NONE, NONE                                               \
	}
#define A3(a, b, c)                                                                                          \
	{                                                                                                    \
		a, b, c, NONE, NONE, NONE, NONE, NONE, NONE                                                  \
	}
#define A4(a, b, c, d)                                                                                       \
	{                                                                                                    \
		a, b, c, d, NONE, NONE, NONE, NONE, NONE                                                     \
	}
#define A9                                                                                                   \
	{                                                                                                    \
		0, 1, 2, 3, 4, 5, 6, 7, 8                                                                    \
	}

/* Each entry that takes a stream has a twin for per-thread default streams. */
#define TWIN(symbol, op, ...)                                                                                \
	{ symbol, op, 0, __VA_ARGS__ },                                                                      \
	{                                                                                                    \
		symbol "_ptsz", op, OM_DRIVER_PTSZ, __VA_ARGS__                                              \
	}

const struct om_driver_entry om_driver_entries[] = {
	TWIN("cuLaunchKernel", OM_OP_LAUNCH, A9),
	TWIN("cuLaunchCooperativeKernel", OM_OP_LAUNCH, A9),
	TWIN("cuLaunchKernelEx", OM_OP_LAUNCH_EX, A2(0, 1)),
	{ "cuLaunchCooperativeKernelMultiDevice", OM_OP_LAUNCH_MANY, 0, A2(0, 1) },
	{ "cuLaunch", OM_OP_LAUNCH_GRID, 0, A1(0) },
	{ "cuLaunchGrid", OM_OP_LAUNCH_GRID, 0, A3(0, 1, 2) },
	{ "cuLaunchGridAsync", OM_OP_LAUNCH_GRID, 0, A4(0, 1, 2, 3) },
	TWIN("cuGraphLaunch", OM_OP_GRAPH_LAUNCH, A2(0, 1)),

	{ "cuModuleGetFunction", OM_OP_FUNCTION, 0, A2(0, 2) },
	{ "cuLibraryGetKernel", OM_OP_FUNCTION, 0, A2(0, 2) },
	{ "cuKernelGetFunction", OM_OP_FUNCTION_OF, 0, A2(0, 1) },
	{ "cuFuncGetName", OM_OP_NAME_OF, 0, A2(0, 1) },
	{ "cuKernelGetName", OM_OP_NAME_OF, 0, A2(0, 1) },
	{ "cuModuleUnload", OM_OP_UNLOAD, 0, A1(0) },
	{ "cuLibraryUnload", OM_OP_UNLOAD, 0, A1(0) },

	TWIN("cuStreamBeginCapture", OM_OP_CAPTURE, A1(0)),
	TWIN("cuStreamBeginCapture_v2", OM_OP_CAPTURE, A2(0, 1)),
	TWIN("cuStreamBeginCaptureToGraph", OM_OP_CAPTURE_TO_GRAPH, A3(0, 1, 5)),
	TWIN("cuStreamEndCapture", OM_OP_CAPTURE_END, A2(0, 1)),
	TWIN("cuEventRecord", OM_OP_EVENT_RECORD, A2(0, 1)),
	TWIN("cuEventRecordWithFlags", OM_OP_EVENT_RECORD, A2(0, 1)),
	TWIN("cuStreamWaitEvent", OM_OP_EVENT_WAIT, A3(0, 1, 2)),
	{ "cuEventDestroy", OM_OP_EVENT_DESTROY, 0, A1(0) },
	{ "cuEventDestroy_v2", OM_OP_EVENT_DESTROY, 0, A1(0) },
	{ "cuStreamDestroy", OM_OP_STREAM_DESTROY, 0, A1(0) },
	{ "cuStreamDestroy_v2", OM_OP_STREAM_DESTROY, 0, A1(0) },

	{ "cuGraphCreate", OM_OP_GRAPH_CREATE, 0, A1(0) },
	{ "cuGraphClone", OM_OP_GRAPH_CLONE, 0, A2(0, 1) },
	{ "cuGraphAddKernelNode", OM_OP_GRAPH_KERNEL, 0, A2(1, 4) },
	{ "cuGraphAddKernelNode_v2", OM_OP_GRAPH_KERNEL, OM_DRIVER_V2, A2(1, 4) },
	{ "cuGraphAddChildGraphNode", OM_OP_GRAPH_CHILD, 0, A2(1, 4) },
	{ "cuGraphAddNode", OM_OP_GRAPH_NODE, OM_DRIVER_V2, A2(1, 4) },
	{ "cuGraphAddNode_v2", OM_OP_GRAPH_NODE, OM_DRIVER_V2, A2(1, 5) },
	{ "cuGraphConditionalHandleCreate", OM_OP_GRAPH_UNCERTAIN, 0, A1(1) },
	{ "cuGraphKernelNodeSetParams", OM_OP_NODE_AMEND, 0, A1(0) },
	{ "cuGraphKernelNodeSetParams_v2", OM_OP_NODE_AMEND, 0, A1(0) },
	{ "cuGraphNodeSetParams", OM_OP_NODE_AMEND, 0, A1(0) },
	{ "cuGraphDestroyNode", OM_OP_NODE_AMEND, 0, A1(0) },
	{ "cuGraphDestroy", OM_OP_GRAPH_DESTROY, 0, A1(0) },

	{ "cuGraphInstantiate", OM_OP_INSTANTIATE, 0, A2(0, 1) },
	{ "cuGraphInstantiate_v2", OM_OP_INSTANTIATE, 0, A2(0, 1) },
	{ "cuGraphInstantiateWithFlags", OM_OP_INSTANTIATE, 0, A3(0, 1, 2) },
	{ "cuGraphInstantiateWithParams", OM_OP_INSTANTIATE, OM_DRIVER_V2, A3(0, 1, 2) },
	{ "cuGraphInstantiateWithParams_ptsz", OM_OP_INSTANTIATE, OM_DRIVER_V2, A3(0, 1, 2) },
	{ "cuGraphExecUpdate", OM_OP_EXEC_UPDATE, 0, A3(0, 1, 3) },
	{ "cuGraphExecUpdate_v2", OM_OP_EXEC_UPDATE, 0, A3(0, 1, 2) },
	{ "cuGraphExecKernelNodeSetParams", OM_OP_EXEC_AMEND, 0, A1(0) },
	{ "cuGraphExecKernelNodeSetParams_v2", OM_OP_EXEC_AMEND, 0, A1(0) },
	{ "cuGraphExecChildGraphNodeSetParams", OM_OP_EXEC_AMEND, 0, A1(0) },
	{ "cuGraphExecNodeSetParams", OM_OP_EXEC_AMEND, 0, A1(0) },
	{ "cuGraphNodeSetEnabled", OM_OP_EXEC_AMEND, 0, A1(0) },
	{ "cuGraphExecDestroy", OM_OP_EXEC_DESTROY, 0, A1(0) },
};
const size_t om_driver_entry_count = sizeof(om_driver_entries) / sizeof(om_driver_entries[0]);

_Static_assert(sizeof(om_driver_entries) / sizeof(om_driver_entries[0]) <= OM_DRIVER_SITES_MAX,
	       "room in the map");

const struct om_driver_unwatched om_driver_unwatched[] = {
	{ "cuLaunchHostFunc*", "runs a function on the host" },
	{ "cudbg*", "the debugger's" },
};
const size_t om_driver_unwatched_count = sizeof(om_driver_unwatched) / sizeof(om_driver_unwatched[0]);

int om_driver_entry_find(const char *symbol)
{
	for (size_t i = 0; i < om_driver_entry_count; i++)
		if (!strcmp(om_driver_entries[i].symbol, symbol))
			return (int)i;
	return -ENOENT;
}
