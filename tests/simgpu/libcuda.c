// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in for the driver's library: the entries that the launch meter watches,
 * with the prototypes of cuda.h 12.9 and 13.0 and its rules, on a GPU that runs
 * everything at once. It keeps the truth: which kernel with which geometry has run
 * how often (simgpu_ran()). A test rig, never installed.
 *
 * Handles are slots that are used again as soon as they are free, last freed first,
 * as allocators do: what a handle means changes often here. A call that fails
 * leaves its results untouched, as the header says.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simgpu.h"

#define SUCCESS 0
#define INVALID_VALUE 1
#define INVALID_HANDLE 400
#define ILLEGAL_STATE 401
#define NOT_FOUND 500
#define CAPTURE_UNSUPPORTED 900
#define CAPTURE_UNMATCHED 903
#define UPDATE_FAILURE 910

#define SLOTS 512
#define NAMES 512
#define NODES 512

typedef int CUresult;

struct module { bool used; };

struct function {
	bool used;
	struct module *module;
	const char *name;
};

struct kernel_node {
	const char *name;
	uint32_t grid[3], block[3], shared;
};

struct graph {
	bool used, is_conditional;
	struct kernel_node *node;
	size_t nodes;
};

struct exec {
	bool used;
	struct kernel_node *node;
	size_t nodes;
};

struct capture {
	bool used, is_active, is_own_graph;
	struct graph *graph;
	struct stream *origin;
};

struct stream {
	bool used;
	struct capture *capture;
};

struct event {
	bool used;
	struct capture *capture;
};

static struct {
	pthread_mutex_t lock;
	struct module module[SLOTS];
	struct function function[SLOTS];
	struct graph graph[SLOTS];
	struct exec exec[SLOTS];
	struct capture capture[SLOTS];
	struct stream stream[SLOTS];
	struct event event[SLOTS];
	struct stream legacy;
	struct {
		struct kernel_node kernel;
		uint64_t count;
	} ran[NODES];
	size_t ran_count;
	uint64_t ran_beside; /* kernels for which there was no room: counted without their names */
	char *name[NAMES];
	size_t names;
} gpu = { .lock = PTHREAD_MUTEX_INITIALIZER };

static __thread struct stream thread_stream;

/* Last freed first: the search begins at the lowest free slot. */
#define TAKE(kind)                                                                                           \
	({                                                                                                   \
		__typeof__(&gpu.kind[0]) __at = NULL;                                                        \
		for (size_t __i = 0; __i < SLOTS && !__at; __i++)                                            \
			if (!gpu.kind[__i].used)                                                             \
				__at = &gpu.kind[__i];                                                       \
		if (!__at)                                                                                   \
			abort();                                                                             \
		memset(__at, 0, sizeof(*__at));                                                              \
		__at->used = true;                                                                           \
		__at;                                                                                        \
	})
#define IS(kind, h)                                                                                          \
	((void *)(h) >= (void *)&gpu.kind[0] && (void *)(h) < (void *)&gpu.kind[SLOTS] && (h)->used)

#define LOCKED __attribute__((cleanup(unlock))) int __locked = lock()
static int lock(void)
{
	return pthread_mutex_lock(&gpu.lock);
}
static void unlock(int *unused)
{
	(void)unused;
	pthread_mutex_unlock(&gpu.lock);
}

static const char *keep_name(const char *name)
{
	for (size_t i = 0; i < gpu.names; i++)
		if (!strcmp(gpu.name[i], name))
			return gpu.name[i];
	if (gpu.names == NAMES)
		abort();
	return gpu.name[gpu.names++] = strdup(name);
}

/* --- truth --- */

static bool same_kernel(const struct kernel_node *a, const struct kernel_node *b)
{
	return a->name == b->name && !memcmp(a->grid, b->grid, sizeof(a->grid)) &&
	       !memcmp(a->block, b->block, sizeof(a->block)) && a->shared == b->shared;
}

static void run(const struct kernel_node *k)
{
	for (size_t i = 0; i < gpu.ran_count; i++)
		if (same_kernel(&gpu.ran[i].kernel, k)) {
			gpu.ran[i].count++;
			return;
		}
	if (gpu.ran_count == NODES) {
		gpu.ran_beside++;
		return;
	}
	gpu.ran[gpu.ran_count].kernel = *k;
	gpu.ran[gpu.ran_count++].count = 1;
}

uint64_t simgpu_ran(const char *name, uint32_t grid_x)
{
	uint64_t sum = 0;
	LOCKED;

	sum = name ? 0 : gpu.ran_beside;
	for (size_t i = 0; i < gpu.ran_count; i++)
		if ((!name || !strcmp(gpu.ran[i].kernel.name, name)) &&
		    (!grid_x || gpu.ran[i].kernel.grid[0] == grid_x))
			sum += gpu.ran[i].count;
	return sum;
}

void simgpu_forget(void)
{
	LOCKED;
	gpu.ran_count = 0;
}

/* --- graphs --- */

static void node_add(struct graph *g, const struct kernel_node *k, size_t n)
{
	g->node = reallocarray(g->node, g->nodes + n, sizeof(*k));
	if (!g->node)
		abort();
	memcpy(g->node + g->nodes, k, n * sizeof(*k));
	g->nodes += n;
}

/* --- launches --- */

static struct stream *stream_of(void *h, bool is_ptsz)
{
	if (h == (void *)2 || (!h && is_ptsz))
		return &thread_stream;
	if (!h || h == (void *)1)
		return &gpu.legacy;
	return IS(stream, (struct stream *)h) ? h : NULL;
}

static struct capture *capture_of(struct stream *s)
{
	return s->capture && s->capture->is_active ? s->capture : NULL;
}

static CUresult launch(void *f, const uint32_t grid[3], const uint32_t block[3], uint32_t shared, void *stream,
		       bool is_ptsz)
{
	struct kernel_node k = { .shared = shared };
	struct function *function = f;
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s || !IS(function, function))
		return INVALID_HANDLE;
	if (!grid[0] || !grid[1] || !grid[2])
		return INVALID_VALUE;
	k.name = function->name;
	memcpy(k.grid, grid, sizeof(k.grid));
	memcpy(k.block, block, sizeof(k.block));
	if (capture_of(s))
		node_add(capture_of(s)->graph, &k, 1);
	else
		run(&k);
	return SUCCESS;
}

#define GRID                                                                                                 \
	(uint32_t[]){ gx, gy, gz }, (uint32_t[]){ bx, by, bz }
#define KERNEL_ARGS                                                                                          \
	void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
		void *stream, void **params

CUresult cuLaunchKernel(KERNEL_ARGS, void **extra)
{
	return launch(f, GRID, shared, stream, false);
}

CUresult cuLaunchKernel_ptsz(KERNEL_ARGS, void **extra)
{
	return launch(f, GRID, shared, stream, true);
}

CUresult cuLaunchCooperativeKernel(KERNEL_ARGS)
{
	return launch(f, GRID, shared, stream, false);
}

CUresult cuLaunchCooperativeKernel_ptsz(KERNEL_ARGS)
{
	return launch(f, GRID, shared, stream, true);
}

CUresult cuLaunchKernelEx(const struct simgpu_config *c, void *f, void **params, void **extra)
{
	return launch(f, c->grid, c->block, c->shared, c->stream, false);
}

CUresult cuLaunchKernelEx_ptsz(const struct simgpu_config *c, void *f, void **params, void **extra)
{
	return launch(f, c->grid, c->block, c->shared, c->stream, true);
}

CUresult cuLaunchCooperativeKernelMultiDevice(struct simgpu_launch *list, unsigned n, unsigned flags)
{
	for (unsigned i = 0; i < n; i++)
		launch(list[i].function, list[i].grid, list[i].block, list[i].shared, list[i].stream, false);
	return SUCCESS;
}

CUresult cuLaunch(void *f)
{
	return launch(f, (uint32_t[]){ 1, 1, 1 }, (uint32_t[]){ 0, 0, 0 }, 0, NULL, false);
}

CUresult cuLaunchGrid(void *f, int x, int y)
{
	return launch(f, (uint32_t[]){ (uint32_t)x, (uint32_t)y, 1 }, (uint32_t[]){ 0, 0, 0 }, 0, NULL, false);
}

CUresult cuLaunchGridAsync(void *f, int x, int y, void *stream)
{
	return launch(f, (uint32_t[]){ (uint32_t)x, (uint32_t)y, 1 }, (uint32_t[]){ 0, 0, 0 }, 0, stream, false);
}

/* --- functions --- */

CUresult cuModuleLoadData(void **ret, const void *image)
{
	LOCKED;
	*ret = TAKE(module);
	return SUCCESS;
}

CUresult cuLibraryLoadData(void **ret, const void *image)
{
	return cuModuleLoadData(ret, image);
}

CUresult cuModuleUnload(struct module *m)
{
	LOCKED;

	if (!IS(module, m))
		return INVALID_HANDLE;
	for (size_t i = 0; i < SLOTS; i++)
		if (gpu.function[i].module == m)
			gpu.function[i].used = false;
	m->used = false;
	return SUCCESS;
}

CUresult cuLibraryUnload(struct module *m)
{
	return cuModuleUnload(m);
}

CUresult cuModuleGetFunction(void **ret, struct module *m, const char *name)
{
	struct function *f;
	LOCKED;

	if (!IS(module, m))
		return INVALID_HANDLE;
	if (!strncmp(name, "missing", 7))
		return NOT_FOUND;
	for (size_t i = 0; i < SLOTS; i++)
		if (gpu.function[i].used && gpu.function[i].module == m && !strcmp(gpu.function[i].name, name)) {
			*ret = &gpu.function[i];
			return SUCCESS;
		}
	f = TAKE(function);
	f->module = m;
	f->name = keep_name(name);
	*ret = f;
	return SUCCESS;
}

CUresult cuLibraryGetKernel(void **ret, struct module *m, const char *name)
{
	return cuModuleGetFunction(ret, m, name);
}

CUresult cuKernelGetFunction(void **ret, struct function *kernel)
{
	struct function *f;
	LOCKED;

	if (!IS(function, kernel))
		return INVALID_HANDLE;
	f = TAKE(function);
	f->module = kernel->module;
	f->name = kernel->name;
	*ret = f;
	return SUCCESS;
}

CUresult cuFuncGetName(const char **ret, struct function *f)
{
	LOCKED;

	if (!IS(function, f))
		return INVALID_HANDLE;
	*ret = f->name;
	return SUCCESS;
}

/* A function that nobody looked up by name, as cuModuleEnumerateFunctions() gives. */
CUresult cuModuleEnumerateFunctions(void **ret, unsigned n, struct module *m)
{
	struct function *f;
	LOCKED;

	f = TAKE(function);
	f->module = m;
	f->name = keep_name("enumerated");
	ret[0] = f;
	return SUCCESS;
}

/* --- streams, events, capture --- */

CUresult cuStreamCreate(void **ret, unsigned flags)
{
	LOCKED;
	*ret = TAKE(stream);
	return SUCCESS;
}

CUresult cuStreamDestroy_v2(struct stream *s)
{
	LOCKED;

	if (!IS(stream, s))
		return INVALID_HANDLE;
	if (s->capture)
		s->capture->is_active = false;
	s->used = false;
	return SUCCESS;
}

CUresult cuEventCreate(void **ret, unsigned flags)
{
	LOCKED;
	*ret = TAKE(event);
	return SUCCESS;
}

CUresult cuEventDestroy_v2(struct event *e)
{
	LOCKED;

	if (!IS(event, e))
		return INVALID_HANDLE;
	e->used = false;
	return SUCCESS;
}

static CUresult event_record(struct event *e, void *stream, bool is_ptsz)
{
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s || !IS(event, e))
		return INVALID_HANDLE;
	e->capture = capture_of(s);
	return SUCCESS;
}

CUresult cuEventRecord(struct event *e, void *stream)
{
	return event_record(e, stream, false);
}

CUresult cuEventRecord_ptsz(struct event *e, void *stream)
{
	return event_record(e, stream, true);
}

CUresult cuEventRecordWithFlags(struct event *e, void *stream, unsigned flags)
{
	return event_record(e, stream, false);
}

static CUresult stream_wait(void *stream, struct event *e, unsigned flags, bool is_ptsz)
{
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s || !IS(event, e))
		return INVALID_HANDLE;
	if (flags > 1)
		return INVALID_VALUE;
	if (e->capture && e->capture->is_active && s != &gpu.legacy)
		s->capture = e->capture;
	return SUCCESS;
}

CUresult cuStreamWaitEvent(void *stream, struct event *e, unsigned flags)
{
	return stream_wait(stream, e, flags, false);
}

CUresult cuStreamWaitEvent_ptsz(void *stream, struct event *e, unsigned flags)
{
	return stream_wait(stream, e, flags, true);
}

static CUresult capture_begin(void *stream, struct graph *into, unsigned mode, bool is_ptsz)
{
	struct capture *c;
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s || (into && !IS(graph, into)))
		return INVALID_HANDLE;
	if (mode > 2)
		return INVALID_VALUE;
	if (s == &gpu.legacy)
		return CAPTURE_UNSUPPORTED;
	if (capture_of(s))
		return ILLEGAL_STATE;
	c = TAKE(capture);
	c->is_active = true;
	c->is_own_graph = !into;
	c->graph = into ? into : TAKE(graph);
	c->origin = s;
	s->capture = c;
	return SUCCESS;
}

CUresult cuStreamBeginCapture_v2(void *stream, unsigned mode)
{
	return capture_begin(stream, NULL, mode, false);
}

CUresult cuStreamBeginCapture_v2_ptsz(void *stream, unsigned mode)
{
	return capture_begin(stream, NULL, mode, true);
}

CUresult cuStreamBeginCaptureToGraph(void *stream, struct graph *g, const void *deps, const void *data, size_t n,
				     unsigned mode)
{
	return capture_begin(stream, g, mode, false);
}

static CUresult capture_end(void *stream, void **ret, bool is_ptsz)
{
	struct capture *c;
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s)
		return INVALID_HANDLE;
	c = capture_of(s);
	if (!c)
		return ILLEGAL_STATE;
	c->is_active = false;
	if (c->origin != s) {
		*ret = NULL;
		return CAPTURE_UNMATCHED;
	}
	*ret = c->graph;
	return SUCCESS;
}

CUresult cuStreamEndCapture(void *stream, void **ret)
{
	return capture_end(stream, ret, false);
}

CUresult cuStreamEndCapture_ptsz(void *stream, void **ret)
{
	return capture_end(stream, ret, true);
}

/* --- graphs by hand --- */

CUresult cuGraphCreate(void **ret, unsigned flags)
{
	LOCKED;
	*ret = TAKE(graph);
	return SUCCESS;
}

static struct graph *graph_copy(const struct graph *g)
{
	struct graph *copy = TAKE(graph);

	node_add(copy, g->node, g->nodes);
	copy->is_conditional = g->is_conditional;
	return copy;
}

CUresult cuGraphClone(void **ret, struct graph *g)
{
	LOCKED;

	if (!IS(graph, g))
		return INVALID_HANDLE;
	*ret = graph_copy(g);
	return SUCCESS;
}

CUresult cuGraphDestroy(struct graph *g)
{
	LOCKED;

	if (!IS(graph, g))
		return INVALID_HANDLE;
	free(g->node);
	g->node = NULL;
	g->nodes = 0;
	g->used = false;
	return SUCCESS;
}

static CUresult add_kernel(void **ret, struct graph *g, const struct simgpu_kernel_node *p, bool is_v2)
{
	struct kernel_node k = { .shared = p->shared };
	struct function *f = p->function;

	if (!f && is_v2)
		f = p->kernel;
	if (!IS(graph, g) || !IS(function, f))
		return INVALID_HANDLE;
	k.name = f->name;
	memcpy(k.grid, p->grid, sizeof(k.grid));
	memcpy(k.block, p->block, sizeof(k.block));
	node_add(g, &k, 1);
	*ret = (void *)(uintptr_t)(g->nodes);
	return SUCCESS;
}

CUresult cuGraphAddKernelNode_v2(void **ret, struct graph *g, const void *deps, size_t n,
				 const struct simgpu_kernel_node *p)
{
	LOCKED;
	return add_kernel(ret, g, p, true);
}

CUresult cuGraphAddKernelNode(void **ret, struct graph *g, const void *deps, size_t n,
			      const struct simgpu_kernel_node *p)
{
	LOCKED;
	return add_kernel(ret, g, p, false);
}

CUresult cuGraphAddChildGraphNode(void **ret, struct graph *g, const void *deps, size_t n, struct graph *child)
{
	LOCKED;

	if (!IS(graph, g) || !IS(graph, child))
		return INVALID_HANDLE;
	node_add(g, child->node, child->nodes);
	*ret = (void *)(uintptr_t)g->nodes;
	return SUCCESS;
}

CUresult cuGraphAddNode_v2(void **ret, struct graph *g, const void *deps, const void *data, size_t n,
			   const struct simgpu_node *p)
{
	LOCKED;

	if (p->type == 0)
		return add_kernel(ret, g, &p->u.kernel, true);
	if (!IS(graph, g))
		return INVALID_HANDLE;
	if (p->type == 13) {
		g->is_conditional = true;
		return SUCCESS;
	}
	if (p->type != 4 || !IS(graph, (struct graph *)p->u.graph))
		return INVALID_VALUE;
	node_add(g, ((struct graph *)p->u.graph)->node, ((struct graph *)p->u.graph)->nodes);
	return SUCCESS;
}

CUresult cuGraphKernelNodeSetParams_v2(void *node, const struct simgpu_kernel_node *p)
{
	return SUCCESS;
}

/* --- executable graphs --- */

static void exec_fill(struct exec *x, const struct graph *g)
{
	free(x->node);
	x->node = calloc(g->nodes + 1, sizeof(*x->node));
	if (!x->node)
		abort();
	if (g->nodes)
		memcpy(x->node, g->node, g->nodes * sizeof(*x->node));
	x->nodes = g->nodes;
}

CUresult cuGraphInstantiateWithFlags(void **ret, struct graph *g, unsigned long long flags)
{
	struct exec *x;
	LOCKED;

	if (!IS(graph, g))
		return INVALID_HANDLE;
	x = TAKE(exec);
	exec_fill(x, g);
	*ret = x;
	return SUCCESS;
}

CUresult cuGraphInstantiate_v2(void **ret, struct graph *g, void **error, char *log, size_t size)
{
	return cuGraphInstantiateWithFlags(ret, g, 0);
}

CUresult cuGraphInstantiateWithParams(void **ret, struct graph *g, const uint64_t *params)
{
	return cuGraphInstantiateWithFlags(ret, g, params[0]);
}

CUresult cuGraphExecUpdate_v2(struct exec *x, struct graph *g, struct simgpu_update *result)
{
	LOCKED;

	if (!IS(exec, x) || !IS(graph, g))
		return INVALID_HANDLE;
	if (x->nodes != g->nodes) {
		result->result = 2; /* CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED */
		return UPDATE_FAILURE;
	}
	exec_fill(x, g);
	result->result = 0;
	return SUCCESS;
}

CUresult cuGraphExecKernelNodeSetParams_v2(struct exec *x, void *node, const struct simgpu_kernel_node *p)
{
	return IS(exec, x) ? SUCCESS : INVALID_HANDLE;
}

CUresult cuGraphExecDestroy(struct exec *x)
{
	LOCKED;

	if (!IS(exec, x))
		return INVALID_HANDLE;
	free(x->node);
	x->node = NULL;
	x->used = false;
	return SUCCESS;
}

static CUresult graph_launch(struct exec *x, void *stream, bool is_ptsz)
{
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s || !IS(exec, x))
		return INVALID_HANDLE;
	if (capture_of(s)) {
		node_add(capture_of(s)->graph, x->node, x->nodes);
		return SUCCESS;
	}
	for (size_t i = 0; i < x->nodes; i++)
		run(&x->node[i]);
	return SUCCESS;
}

CUresult cuGraphLaunch(struct exec *x, void *stream)
{
	return graph_launch(x, stream, false);
}

CUresult cuGraphLaunch_ptsz(struct exec *x, void *stream)
{
	return graph_launch(x, stream, true);
}

CUresult cuInit(unsigned flags)
{
	return flags ? INVALID_VALUE : SUCCESS;
}

/* --- what the counter meter's collector asks --- */

static CUresult is_capturing(void *stream, int *ret, bool is_ptsz)
{
	struct stream *s;
	LOCKED;

	s = stream_of(stream, is_ptsz);
	if (!s || !ret)
		return INVALID_HANDLE;
	*ret = capture_of(s) != NULL;
	return SUCCESS;
}

CUresult cuStreamIsCapturing(void *stream, int *ret)
{
	return is_capturing(stream, ret, false);
}

CUresult cuStreamIsCapturing_ptsz(void *stream, int *ret)
{
	return is_capturing(stream, ret, true);
}

static __thread int capture_mode; /* global, as a thread begins with */

CUresult cuThreadExchangeStreamCaptureMode(int *mode)
{
	int old = capture_mode;

	if (!mode || *mode < 0 || *mode > 2)
		return INVALID_VALUE;
	capture_mode = *mode;
	*mode = old;
	return SUCCESS;
}

/* Every attribute is 0, but that MPS is in use if the environment says so. */
CUresult cuDeviceGetAttribute(int *ret, int attribute, int device)
{
	if (!ret || device)
		return INVALID_VALUE;
	*ret = attribute == 133 && getenv("SIMGPU_MPS");
	return SUCCESS;
}
