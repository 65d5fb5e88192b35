/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_SIMGPU_H
#define OPMETER_TESTS_SIMGPU_H

/* Structures of cuda.h 13.0 that the stand-ins read, by layout; and what tests ask
 * the stand-in for the driver. tests/data/driver_entries.sh compares the layouts
 * with the header. */

#include <stddef.h>
#include <stdint.h>

struct simgpu_config { /* CUlaunchConfig */
	uint32_t grid[3], block[3], shared;
	void *stream, *attributes;
	uint32_t attribute_count;
};

struct simgpu_launch { /* CUDA_LAUNCH_PARAMS */
	void *function;
	uint32_t grid[3], block[3], shared;
	void *stream, **params;
};

struct simgpu_kernel_node { /* CUDA_KERNEL_NODE_PARAMS_v2 and _v3 */
	void *function;
	uint32_t grid[3], block[3], shared;
	void **params, **extra;
	void *kernel, *context;
};

struct simgpu_node { /* CUgraphNodeParams */
	int type, reserved[3];
	union {
		uint64_t room[29];
		struct simgpu_kernel_node kernel;
		void *graph;
	} u;
};

struct simgpu_update { /* CUgraphExecUpdateResultInfo */
	int result;
	void *node, *from;
};

/* How often kernels of that name (NULL: any) with that first dimension of the grid
 * (0: any) have run. */
uint64_t simgpu_ran(const char *name, uint32_t grid_x);
void simgpu_forget(void);

#endif
