// SPDX-License-Identifier: Apache-2.0
/*
 * A library that exports the driver's entries and passes them on, as layers that
 * share a GPU do. Built twice: one calls, the other jumps to the first. A test rig.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

typedef uint64_t word;
typedef int (*entry)(word, word, word, word, word, word, word, word, word, word, word);

static entry next_of(const char *name)
{
	static void *next;
	entry f;

	if (!next)
		next = dlopen(NEXT, RTLD_NOW | RTLD_NOLOAD);
	f = next ? (entry)dlsym(next, name) : NULL;
	if (!f)
		abort();
	return f;
}

/* Eleven words hold the arguments of each; what a caller did not pass is passed on as it lies. */
#define PASS_ON(name)                                                                                        \
	int name(word a, word b, word c, word d, word e, word f, word g, word h, word i, word j, word k)     \
	{                                                                                                    \
		static entry next;                                                                           \
		if (!next)                                                                                   \
			next = next_of(#name);                                                               \
		return next(a, b, c, d, e, f, g, h, i, j, k);                                                \
	}

/* Of entries with two arguments the other registers are not kept, as compilers do. */
#define PASS_ON_TWO(name)                                                                                    \
	int name(word a, word b)                                                                             \
	{                                                                                                    \
		static entry next;                                                                           \
		if (!next)                                                                                   \
			next = next_of(#name);                                                               \
		return next(a, b, 0x11 + b, 0x22, 0x33, 0x44, 0, 0, 0, 0, 0);                                \
	}

PASS_ON(cuLaunchKernel)
PASS_ON(cuLaunchKernel_ptsz)
PASS_ON(cuLaunchKernelEx)
PASS_ON(cuLaunchKernelEx_ptsz)
PASS_ON(cuLaunchCooperativeKernel)
PASS_ON(cuLaunchCooperativeKernel_ptsz)
PASS_ON(cuLaunchCooperativeKernelMultiDevice)
PASS_ON(cuLaunch)
PASS_ON(cuLaunchGrid)
PASS_ON(cuLaunchGridAsync)
PASS_ON(cuModuleGetFunction)
PASS_ON(cuStreamBeginCapture_v2)
PASS_ON(cuStreamBeginCaptureToGraph)
PASS_ON(cuStreamEndCapture)
PASS_ON(cuEventRecord)
PASS_ON(cuStreamWaitEvent)
PASS_ON(cuGraphCreate)
PASS_ON(cuGraphClone)
PASS_ON(cuGraphAddKernelNode_v2)
PASS_ON(cuGraphAddChildGraphNode)
PASS_ON(cuGraphInstantiateWithFlags)
PASS_ON(cuGraphExecUpdate_v2)
PASS_ON_TWO(cuGraphLaunch)
PASS_ON_TWO(cuGraphLaunch_ptsz)
PASS_ON(cuGraphDestroy)
PASS_ON(cuGraphExecDestroy)
