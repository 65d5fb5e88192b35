// SPDX-License-Identifier: Apache-2.0
/*
 * The launch meter on the simulated GPU, which keeps the truth: after each step,
 * what is counted must be what has run, kernel for kernel, whether it was launched
 * by itself, by a product or by a graph.
 */
#include "kit.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests.h"
#include "tests/simgpu/simgpu.h"
#include "userspace/agent/describe.h"
#include "userspace/core/format.h"

#pragma GCC diagnostic ignored "-Wstrict-prototypes" /* its functions are called without */

/* Every function of the stand-in by name: arguments are integers and pointers. */
#define CALL(name, ...) (((int (*)())sim_symbol(#name))(__VA_ARGS__))

static struct {
	void *driver, *blas;
	struct probes *p;
	struct drain *d;
	void *module;
} sim;

static void *sim_symbol(const char *name)
{
	void *f = dlsym(sim.driver, name);

	if (!f && sim.blas)
		f = dlsym(sim.blas, name);
	check(f, "%s is missing", name);
	return f;
}

static void *load(const char *path, struct library *ret)
{
	struct error_text err = {};
	char full[PATH_MAX];
	void *handle;
	int fd;

	check(realpath(path, full), "%s: %m", path);
	handle = dlopen(full, RTLD_NOW | RTLD_GLOBAL);
	check(handle, "%s", dlerror());
	fd = open(full, O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && library_describe(fd, NULL, ret, &err) == 0, "%s: %s", full, err.text);
	close(fd);
	snprintf(ret->open_path, sizeof(ret->open_path), "%s", full);
	snprintf(ret->display_path, sizeof(ret->display_path), "%s", full);
	kit_attach(sim.p, ret);
	return handle;
}

static void *sim_load(const char *name)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	char path[PATH_MAX];
	struct library lib;

	snprintf(path, sizeof(path), "%s/simgpu/%s", build, name);
	return load(path, &lib);
}

static void sim_open(bool with_blas)
{
	sim.p = kit_open(NULL);
	check(!drain_new(sim.p, &sim.d), "drain_new");
	sim.driver = sim_load("libcuda.so.1");
	if (with_blas)
		sim.blas = sim_load("libcublas.so.99");
	CALL(cuInit, 0);
	CALL(cuModuleLoadData, &sim.module, NULL);
}

static void sim_close(void)
{
	drain_free(sim.d);
	probes_free(sim.p);
}

static uint64_t ran(const char *name)
{
	uint64_t (*f)(const char *, uint32_t) = (uint64_t (*)(const char *, uint32_t))sim_symbol("simgpu_ran");

	return f(name, 0);
}

struct counted {
	uint64_t launches, in_products, unknown, products, lost;
	opcount exact, high;
};

static struct counted counted(void)
{
	struct drain_result r;
	struct counted c = { 0 };

	kit_read(sim.d, true, &r);
	for (size_t i = 0; i < r.usage_count; i++) {
		const struct om_usage *u = &r.usage[i];

		for (int l = 0; l < OM_LOSS_END; l++)
			c.lost += u->now.lost[l];
		if (u->meter == OM_METER_LAUNCH) {
			c.launches += u->now.calls;
			c.in_products += u->now.nested;
		} else {
			c.products += u->now.calls;
			c.exact += u->now.exact;
			c.high += u->now.high;
		}
	}
	check(!drain_commit(sim.d), "drain_commit");
	return c;
}

/* What was counted is what has run. */
static void expect_truth(const char *step)
{
	struct counted c = counted();

	if (c.launches + c.in_products != ran(NULL) || c.lost)
		fail("%s: counted %llu launches and %llu of products, %llu have run; %llu lost", step,
		     (unsigned long long)c.launches, (unsigned long long)c.in_products,
		     (unsigned long long)ran(NULL), (unsigned long long)c.lost);
	if (sim.blas)
		check_equal(c.products, ran("ampere_sgemm_128x64_nn"), step);
}

static void *function(const char *name)
{
	void *f = NULL; /* in the caller's stack, as frameworks do */

	CALL(cuModuleGetFunction, &f, sim.module, name);
	return f;
}

static void launch(void *f, unsigned blocks, void *stream)
{
	CALL(cuLaunchKernel, f, blocks, 1, 1, 256, 1, 1, 0, stream, NULL, NULL);
}

/* Launches with that name's hash; every one has the name that was asked for. */
static uint64_t launches_named(const char *name)
{
	uint64_t hash = 14695981039346656037ull, n = 0;
	struct drain_result r;

	for (const char *c = name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211ull;
	kit_read(sim.d, true, &r);
	for (size_t i = 0; i < r.launch_count; i++)
		if (r.launches[i].name == (*name ? hash : 0))
			n += r.launches[i].calls;
	return n;
}

/* --- launches --- */

static void launch_every_way(void *f, void *stream)
{
	struct simgpu_config config = { { 7, 2, 1 }, { 128, 1, 1 }, 4096, stream, NULL, 0 };
	struct simgpu_launch many[3] = { { f, { 1, 2, 3 }, { 4, 5, 6 }, 7, stream, NULL },
					 { f, { 1, 2, 3 }, { 4, 5, 6 }, 7, stream, NULL },
					 { f, { 9, 9, 9 }, { 4, 5, 6 }, 7, stream, NULL } };

	CALL(cuLaunchKernel, f, 3, 5, 7, 32, 4, 1, 1024, stream, NULL, NULL);
	CALL(cuLaunchKernel_ptsz, f, 3, 5, 7, 32, 4, 1, 1024, stream, NULL, NULL);
	CALL(cuLaunchCooperativeKernel, f, 11, 1, 1, 64, 1, 1, 0, stream, NULL);
	CALL(cuLaunchCooperativeKernel_ptsz, f, 11, 1, 1, 64, 1, 1, 0, stream, NULL);
	CALL(cuLaunchKernelEx, &config, f, NULL, NULL);
	CALL(cuLaunchKernelEx_ptsz, &config, f, NULL, NULL);
	CALL(cuLaunchCooperativeKernelMultiDevice, many, 3, 0);
	CALL(cuLaunch, f);
	CALL(cuLaunchGrid, f, 13, 17);
	CALL(cuLaunchGridAsync, f, 13, 17, stream);
}

static void check_geometry(void)
{
	struct drain_result r;
	uint64_t found = 0;

	kit_read(sim.d, true, &r);
	for (size_t i = 0; i < r.launch_count; i++) {
		const struct om_launch_usage *u = &r.launches[i];

		if (u->grid[0] == 3 && u->grid[1] == 5 && u->grid[2] == 7 && u->block[0] == 32 &&
		    u->block[1] == 4 && u->block[2] == 1 && u->shared == 1024)
			found += u->calls;
		if (u->grid[0] == 7 && u->grid[1] == 2 && u->block[0] == 128 && u->shared == 4096)
			found += u->calls * 1000;
	}
	check_equal(found, 2 * 97 + 2 * 97 * 1000, "launches of two known geometries");
}

static void names_that_change(void)
{
	void *f = function("alpha"), *g = f, *kernel = NULL, *other = NULL, *module = NULL;
	const char *text = NULL;

	/* A look-up that fails leaves the variable as it was: still alpha. */
	CALL(cuModuleGetFunction, &g, sim.module, "missing_one");
	launch(g, 1, NULL);
	check_equal(launches_named("alpha"), ran("alpha"), "alpha after a failed look-up");
	/* The same handle for another function, when its module is gone. */
	CALL(cuModuleLoadData, &module, NULL);
	CALL(cuModuleGetFunction, &g, module, "beta");
	launch(g, 1, NULL);
	CALL(cuModuleUnload, module);
	CALL(cuModuleLoadData, &module, NULL);
	f = g;
	CALL(cuModuleGetFunction, &g, module, "gamma");
	check(f == g, "the stand-in did not use the handle again");
	launch(g, 1, NULL);
	launch(g, 1, NULL);
	check_equal(launches_named("beta"), ran("beta"), "beta");
	check_equal(launches_named("gamma"), ran("gamma"), "gamma, under beta's handle");
	/* Through a kernel of a library, and by asking for the name. */
	CALL(cuLibraryGetKernel, &kernel, module, "delta");
	CALL(cuKernelGetFunction, &f, kernel);
	launch(f, 1, NULL);
	launch(kernel, 1, NULL);
	check_equal(launches_named("delta"), ran("delta"), "delta, as function and as kernel");
	CALL(cuModuleEnumerateFunctions, &other, 1, module);
	launch(other, 1, NULL);
	check_equal(launches_named(""), 1, "a function that nobody looked up");
	CALL(cuFuncGetName, &text, other);
	launch(other, 1, NULL);
	check_equal(launches_named("enumerated"), 1, "the same after its name was asked for");
}

struct peer {
	void *f;
	unsigned calls;
};

static void *launch_in_thread(void *arg)
{
	struct peer *peer = arg;

	for (unsigned i = 0; i < peer->calls; i++)
		launch(peer->f, 2, NULL);
	return NULL;
}

void test_launch(void)
{
	pthread_t thread[4];
	struct peer peer = { NULL, 1009 };
	void *f, *stream;

	sim_open(false);
	f = function("_Z5alphaPfi");
	CALL(cuStreamCreate, &stream, 0);
	for (int i = 0; i < 97; i++)
		launch_every_way(f, stream);
	expect_truth("every way to launch");
	check_geometry();
	check_equal(launches_named("_Z5alphaPfi"), ran("_Z5alphaPfi"), "under its name");
	names_that_change();
	expect_truth("names that change");
	/* Looked up here, launched there at once: nobody has made a call in between. */
	CALL(cuModuleGetFunction, &peer.f, sim.module, "epsilon");
	for (int i = 0; i < 4; i++)
		check(!pthread_create(&thread[i], NULL, launch_in_thread, &peer), "pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	check_equal(launches_named("epsilon"), 4 * 1009, "launched by other threads");
	/* Failing launches are attempts all the same: the device will not have run them. */
	launch((void *)0x1234, 1, NULL);
	check_equal(counted().launches, ran(NULL) + 1, "an attempt that fails");
	sim_close();
}

/* A hundred thousand signatures: past the quota by name, then without one; none is lost. */
void test_launch_quota(void)
{
	struct probes_config c = { .launches_per_process = 256, .names_per_process = 64, .handles_per_process = 128 };
	struct drain_result r;
	uint64_t entries = 0, shapeless = 0;
	void *f[100];
	char name[32];

	sim.p = kit_open(&c);
	check(!drain_new(sim.p, &sim.d), "drain_new");
	sim.driver = sim_load("libcuda.so.1");
	CALL(cuModuleLoadData, &sim.module, NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "kernel_%d", i);
		f[i] = function(name);
	}
	for (unsigned i = 0; i < 100000; i++)
		launch(f[i % 100], 1 + i / 100, NULL);
	expect_truth("100,000 signatures");
	kit_read(sim.d, true, &r);
	for (size_t i = 0; i < r.launch_count; i++) {
		entries++;
		shapeless += r.launches[i].flags & OM_LAUNCH_NO_SHAPE ? r.launches[i].calls : 0;
	}
	check(entries <= 256 + 16 + 2, "%llu entries for one process", (unsigned long long)entries);
	check(shapeless > 90000, "only %llu without their geometry", (unsigned long long)shapeless);
	sim_close();
}

/* --- graphs --- */

static void *capture_end(void *stream)
{
	void *graph = NULL;

	CALL(cuStreamEndCapture, stream, &graph);
	return graph;
}

static void *instantiate(void *graph)
{
	void *exec = NULL;

	CALL(cuGraphInstantiateWithFlags, &exec, graph, 0);
	return exec;
}

static void replay(void *exec, void *stream, int times)
{
	for (int i = 0; i < times; i++)
		CALL(cuGraphLaunch, exec, stream);
}

static void captured_once(void *f, void *stream)
{
	void *graph, *exec;

	CALL(cuStreamBeginCapture_v2, stream, 0);
	for (unsigned i = 1; i <= 5; i++)
		launch(f, i, stream);
	launch(f, 50, NULL); /* on another stream: now */
	expect_truth("while capturing");
	graph = capture_end(stream);
	expect_truth("captured, not launched");
	exec = instantiate(graph);
	replay(exec, stream, 13);
	expect_truth("13 replays");
	CALL(cuGraphDestroy, graph);
	replay(exec, NULL, 7);
	expect_truth("replays after the graph's end");
	CALL(cuGraphExecDestroy, exec);
}

/* The capture goes from stream to stream by events, and on another thread. */
struct branch {
	void *f, *stream, *fork, *join;
};

static void *run_branch(void *arg)
{
	struct branch *b = arg;

	CALL(cuStreamWaitEvent, b->stream, b->fork, 0);
	launch(b->f, 21, b->stream);
	launch(b->f, 22, b->stream);
	CALL(cuEventRecord, b->join, b->stream);
	return NULL;
}

static void captured_by_events(void *f, void *stream)
{
	struct branch b = { .f = f };
	void *graph, *exec;
	pthread_t thread;

	CALL(cuStreamCreate, &b.stream, 0);
	CALL(cuEventCreate, &b.fork, 0);
	CALL(cuEventCreate, &b.join, 0);
	launch(f, 20, b.stream);
	CALL(cuStreamBeginCapture_v2, stream, 1);
	CALL(cuEventRecord, b.fork, stream);
	check(!pthread_create(&thread, NULL, run_branch, &b), "pthread_create");
	pthread_join(thread, NULL);
	CALL(cuStreamWaitEvent, stream, b.join, 0);
	launch(f, 23, stream);
	graph = capture_end(stream);
	launch(f, 24, b.stream); /* the capture is over for this stream too */
	expect_truth("after a capture over two streams");
	exec = instantiate(graph);
	replay(exec, stream, 11);
	expect_truth("replays of it");
}

/* A begin that fails captures nothing, whatever the tenant does next. */
static void captures_that_fail(void *f, void *stream)
{
	void *graph = (void *)0x77;

	CALL(cuStreamBeginCapture_v2, stream, 99);
	launch(f, 30, stream);
	CALL(cuStreamBeginCapture_v2, NULL, 0);
	launch(f, 31, NULL);
	CALL(cuStreamEndCapture, stream, &graph);
	expect_truth("captures that cannot begin");
	CALL(cuStreamBeginCapture_v2, stream, 2);
	CALL(cuStreamBeginCapture_v2, stream, 2); /* a second one fails */
	launch(f, 32, stream);
	graph = capture_end(stream);
	replay(instantiate(graph), stream, 3);
	expect_truth("a second begin");
}

static void graphs_by_hand(void *f, void *stream)
{
	struct simgpu_kernel_node node = { .kernel = f, .grid = { 40, 1, 1 }, .block = { 32, 1, 1 } };
	struct simgpu_node any = { .type = 0 }, child_node = { .type = 4 };
	void *graph = NULL, *child = NULL, *copy = NULL, *unused = NULL, *exec;

	CALL(cuGraphCreate, &child, 0);
	CALL(cuGraphAddKernelNode_v2, &unused, child, NULL, 0, &node);
	CALL(cuGraphCreate, &graph, 0);
	any.u.kernel = node;
	CALL(cuGraphAddNode_v2, &unused, graph, NULL, NULL, 0, &any);
	CALL(cuGraphAddChildGraphNode, &unused, graph, NULL, 0, child);
	CALL(cuGraphAddKernelNode_v2, &unused, child, NULL, 0, &node); /* the child has been copied: not in graph */
	exec = instantiate(graph);
	replay(exec, stream, 5);
	expect_truth("nodes by hand and a child graph");
	child_node.u.graph = child;
	CALL(cuGraphAddNode_v2, &unused, graph, NULL, NULL, 0, &child_node);
	replay(exec, stream, 2); /* the exec is as it was */
	CALL(cuGraphClone, &copy, graph);
	CALL(cuGraphAddKernelNode_v2, &unused, graph, NULL, 0, &node);
	replay(instantiate(copy), stream, 3);
	replay(instantiate(graph), stream, 3);
	expect_truth("copies and later additions");
	CALL(cuStreamBeginCaptureToGraph, stream, graph, NULL, NULL, 0, 0);
	launch(f, 41, stream);
	CALL(cuStreamEndCapture, stream, &copy);
	replay(instantiate(graph), stream, 2);
	expect_truth("captured into a graph");
}

static void updated(void *f, void *stream)
{
	struct simgpu_update result = { .result = 7 };
	void *one, *two, *three, *exec;

	CALL(cuStreamBeginCapture_v2, stream, 0);
	launch(f, 60, stream);
	one = capture_end(stream);
	CALL(cuStreamBeginCapture_v2, stream, 0);
	launch(f, 61, stream);
	two = capture_end(stream);
	CALL(cuStreamBeginCapture_v2, stream, 0);
	launch(f, 62, stream);
	launch(f, 62, stream);
	three = capture_end(stream);
	exec = instantiate(one);
	replay(exec, stream, 2);
	CALL(cuGraphExecUpdate_v2, exec, two, &result);
	replay(exec, stream, 3);
	expect_truth("an update");
	CALL(cuGraphExecUpdate_v2, exec, three, &result); /* another topology: refused */
	replay(exec, stream, 5);
	expect_truth("an update that was refused");
	/* The same handles for other graphs. */
	CALL(cuGraphDestroy, three);
	CALL(cuGraphExecDestroy, exec);
	CALL(cuStreamBeginCapture_v2, stream, 0);
	for (int i = 0; i < 4; i++)
		launch(f, 63, stream);
	check(capture_end(stream) == three, "the stand-in did not use the graph's handle again");
	check(instantiate(three) == exec, "the stand-in did not use the exec's handle again");
	replay(exec, stream, 6);
	expect_truth("handles used again");
	/* A graph launched into a capture becomes part of it. */
	CALL(cuStreamBeginCapture_v2, stream, 0);
	replay(exec, stream, 2);
	one = capture_end(stream);
	replay(instantiate(one), stream, 3);
	expect_truth("a graph in a graph");
}

static void per_thread_stream(void *f)
{
	void *graph = NULL;

	CALL(cuStreamBeginCapture_v2_ptsz, NULL, 0);
	CALL(cuLaunchKernel_ptsz, f, 70, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
	CALL(cuLaunchKernel, f, 70, 1, 1, 1, 1, 1, 0, (void *)2, NULL, NULL);
	CALL(cuLaunchKernel, f, 71, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL); /* the legacy stream: now */
	CALL(cuStreamEndCapture_ptsz, NULL, &graph);
	for (int i = 0; i < 3; i++)
		CALL(cuGraphLaunch_ptsz, instantiate(graph), NULL);
	expect_truth("the thread's own stream");
}

void test_graphs(void)
{
	void *f, *stream;

	sim_open(false);
	f = function("_Z6kernelv");
	CALL(cuStreamCreate, &stream, 0);
	captured_once(f, stream);
	captured_by_events(f, stream);
	captures_that_fail(f, stream);
	graphs_by_hand(f, stream);
	updated(f, stream);
	per_thread_stream(f);
	sim_close();
}

/* --- what is not certain --- */

static void abandon_capture(void *arg)
{
	void *stream;

	CALL(cuStreamCreate, &stream, 0);
	CALL(cuStreamBeginCapture_v2, stream, 0);
	for (int i = 0; i < 9; i++)
		launch(arg, 80, stream);
}

void test_graphs_uncertain(void)
{
	struct simgpu_kernel_node node = { .grid = { 90, 1, 1 }, .block = { 1, 1, 1 } };
	struct simgpu_node conditional = { .type = 13 };
	void *f, *stream, *graph, *exec, *unused = NULL;
	struct counted before, after;
	struct drain_result r;

	sim_open(false);
	f = function("_Z6kernelv");
	CALL(cuStreamCreate, &stream, 0);
	CALL(cuStreamBeginCapture_v2, stream, 0);
	launch(f, 1, stream);
	launch(f, 1, stream);
	graph = capture_end(stream);
	exec = instantiate(graph);
	replay(exec, stream, 3);
	expect_truth("a plain graph");
	/* Changed by hand: two launches a replay as before, and the replay itself, not known. */
	node.function = f;
	CALL(cuGraphExecKernelNodeSetParams_v2, exec, NULL, &node);
	before = counted();
	replay(exec, stream, 5);
	after = counted();
	check_equal(after.launches - before.launches, 5 * 2 + 5, "replays of an amended graph");
	kit_read(sim.d, true, &r);
	check_equal(r.graphs.uncertain, 5, "said to be uncertain");
	/* Conditional nodes. */
	CALL(cuGraphAddNode_v2, &unused, graph, NULL, NULL, 0, &conditional);
	before = counted();
	replay(instantiate(graph), stream, 4);
	after = counted();
	check(after.launches - before.launches > 4 * 2, "conditional graphs pass as certain");
	/* One that may be launched from the device too: at least these. */
	exec = NULL;
	CALL(cuStreamBeginCapture_v2, stream, 0);
	launch(f, 1, stream);
	graph = capture_end(stream);
	CALL(cuGraphInstantiateWithFlags, &exec, graph, 4);
	before = counted();
	replay(exec, stream, 3);
	after = counted();
	check_equal(after.launches - before.launches, 3 + 3, "replays of a graph for the device");
	/* A graph whose making was not seen is a loss. */
	check_equal(after.lost, 0, "losses");
	CALL(cuGraphLaunch, (void *)0x5555, stream);
	check_equal(counted().lost, 1, "a graph that nobody knows");
	/* Captured, never launched, process gone: in the upper bound, as unknown launches. */
	before = counted();
	kit_run(abandon_capture, f);
	after = counted();
	check_equal(after.launches - before.launches, 9, "what a dead process has captured only");
	sim_close();
}

/* --- layers between a process and the driver --- */

static void launch_beside(void *f, void *layer)
{
	int (*direct)() = dlsym(layer, "cuLaunchKernel");
	int (*through)() = (int (*)())sim_symbol("cuLaunchKernel");

	/* The same call again and again, once through the layers and once past them. */
	for (int i = 0; i < 53; i++) {
		through(f, 5, 1, 1, 256, 1, 1, 0, NULL, NULL, NULL);
		through(f, 5, 1, 1, 256, 1, 1, 0, NULL, NULL, NULL);
		direct(f, 6, 1, 1, 256, 1, 1, 0, NULL, NULL, NULL);
		direct(f, 6, 1, 1, 256, 1, 1, 0, NULL, NULL, NULL);
	}
}

static void run_forwarded(const char *name)
{
	uint64_t handle[3] = { 0 };
	void *f, *stream, *driver;

	sim.p = kit_open(NULL);
	check(!drain_new(sim.p, &sim.d), "drain_new");
	sim.driver = sim_load(name);
	/* The layers' needs are loaded with them; their probes are attached here. */
	sim_load("libshim_calls.so");
	driver = sim_load("libcuda.so.1");
	sim.blas = sim_load("libcublas.so.99");
	CALL(cuInit, 0);
	CALL(simgpu_forget);
	CALL(cuModuleLoadData, &sim.module, NULL);
	f = function("_Z6kernelv");
	CALL(cuStreamCreate, &stream, 0);
	for (int i = 0; i < 97; i++)
		launch_every_way(f, stream);
	expect_truth("every way to launch, passed on");
	check_equal(launches_named("_Z6kernelv"), ran("_Z6kernelv"), "under its name");
	launch_beside(f, driver);
	expect_truth("through the layers and past them");
	captured_once(f, stream);
	captured_by_events(f, stream);
	captures_that_fail(f, stream);
	graphs_by_hand(f, stream);
	updated(f, stream);
	CALL(cublasCreate_v2, handle);
	for (int i = 0; i < 101; i++)
		CALL(cublasSgemm_v2, handle, 0, 0, 128, 64, 32, NULL, NULL, 128, NULL, 32, NULL, NULL, 128);
	expect_truth("products whose launches are passed on");
	check_equal(counted().in_products, 202, "launches of products");
	sim_close();
}

void test_forwarded(void)
{
	run_forwarded("libshim_jumps.so");
}

/* --- products --- */

static void gemm(uint64_t *handle, int m)
{
	CALL(cublasSgemm_v2, handle, 0, 0, m, 64, 32, NULL, NULL, m, NULL, 32, NULL, NULL, m);
}

void test_products_in_graphs(void)
{
	uint64_t handle[3] = { 0 };
	void *f, *stream, *other, *graph, *exec;
	opcount expected;

	sim_open(true);
	f = function("_Z6kernelv");
	CALL(cuStreamCreate, &stream, 0);
	CALL(cuStreamCreate, &other, 0);
	CALL(cublasCreate_v2, handle);
	for (int i = 0; i < 101; i++)
		gemm(handle, 128);
	launch(f, 1, NULL);
	expect_truth("products and a launch");
	check_equal(counted().in_products, 202, "launches of products");
	CALL(cublasSetStream_v2, handle, stream);
	CALL(cuStreamBeginCapture_v2, stream, 0);
	for (int i = 0; i < 7; i++)
		gemm(handle, 256);
	launch(f, 2, stream);
	/* The last product of a capture waits for nothing: its launches came before this. */
	CALL(cublasSetStream_v2, handle, other);
	gemm(handle, 512); /* not captured, while another stream is */
	CALL(cublasSetStream_v2, handle, stream);
	gemm(handle, 256);
	graph = capture_end(stream);
	expect_truth("products captured");
	exec = instantiate(graph);
	replay(exec, stream, 19);
	expect_truth("products replayed");
	expected = (opcount)2 * 64 * 32 * (128 * 101 + 512 + 256 * 8 * 19);
	check(counted().exact == expected, "operations of products and replays differ from 2MNK");
	sim_close();
}

/* --- the real driver's library: it is entered, and refuses for want of a device --- */

#define DRIVER_VERSION_ASKED 12040

static void call_real(const char *symbol, bool by_address_table, int times)
{
	int (*f)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void *,
		 void *) = dlsym(sim.driver, symbol);
	int status = 0;

	/* How libcudart finds them. */
	if (by_address_table)
		check(!CALL(cuGetProcAddress_v2, symbol, &f, DRIVER_VERSION_ASKED, 0ul, &status) && f,
		      "cuGetProcAddress(%s)", symbol);
	for (int i = 0; i < times; i++)
		f(NULL, 3, 5, 7, 32, 4, 1, 1024, NULL, NULL, NULL);
}

void test_driver(void)
{
	struct simgpu_config config = { { 7, 2, 1 }, { 128, 1, 1 }, 4096, NULL, NULL, 0 };
	const char *path = kit_driver_path();
	struct library lib;
	struct counted c;

	sim.p = kit_open(NULL);
	check(!drain_new(sim.p, &sim.d), "drain_new");
	sim.driver = load(path, &lib);
	for (size_t i = 0; i < lib.entry_count; i++)
		check(lib.entries[i].vaddr % 16 == 10, "the probe of entry %u is not behind the comparison",
		      lib.entries[i].entry);
	/* No cuInit(): as root it would make device nodes. */
	call_real("cuLaunchKernel", false, 1009);
	call_real("cuLaunchKernel", true, 211);
	call_real("cuLaunchKernel_ptsz", false, 101);
	for (int i = 0; i < 307; i++)
		CALL(cuLaunchKernelEx, &config, NULL, NULL, NULL);
	c = counted();
	check_equal(c.launches, 1009 + 211 + 101 + 307, "launches");
	check_equal(launches_named(""), c.launches, "without a name");
	CALL(cuGraphLaunch, NULL, NULL);
	check_equal(counted().lost, 1, "a graph nobody knows");
	sim_close();
}
