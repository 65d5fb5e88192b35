// SPDX-License-Identifier: Apache-2.0
/*
 * What the launch meter costs a launch: the driver's real library, which enters and
 * refuses without a device, unprobed, probed where the product probes it, and
 * probed at the function's first instruction, which the kernel has to single-step;
 * and the simulated driver for what only works with handles.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/kit.h"
#include "tests/simgpu/simgpu.h"
#include "userspace/agent/describe.h"

enum { ROUNDS = 9, CALLS = 100000 };

typedef int (*launch_fn)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *,
			 void **, void **);
typedef int (*replay_fn)(void *, void *);

static launch_fn launch_entry;
static replay_fn replay_entry;
static void *function, *exec;

static void call_launch(void)
{
	launch_entry(function, 3, 5, 7, 32, 4, 1, 1024, NULL, NULL, NULL);
}

static void call_replay(void)
{
	replay_entry(exec, NULL);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double least_ns(void (*call)(void))
{
	double ns[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t begun = kit_now_ns();

		for (int i = 0; i < CALLS; i++)
			call();
		ns[r] = (double)(kit_now_ns() - begun) / CALLS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[0];
}

static void row(const char *what, double ns, double base)
{
	printf("| %-58s | %6.0f | %6.0f | %5.0f |\n", what, ns, ns - base, ns / base);
	fflush(stdout);
}

static void *load(const char *path, struct library *ret)
{
	struct error_text err = {};
	char full[PATH_MAX];
	void *handle;
	int fd;

	check(realpath(path, full), "%s: %m", path);
	handle = dlopen(full, RTLD_NOW);
	check(handle, "%s", dlerror());
	fd = open(full, O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && library_describe(fd, NULL, ret, &err) == 0, "%s: %s", full, err.text);
	close(fd);
	snprintf(ret->open_path, sizeof(ret->open_path), "%s", full);
	snprintf(ret->display_path, sizeof(ret->display_path), "%s", full);
	return handle;
}

static void release(struct probes *p, const struct library *lib)
{
	check(!probes_release(p, lib->dev, lib->ino) && !probes_wait_released(p, 60000), "release");
	kit_sleep_ms(15000); /* the kernel detaches, 0.1 s a probe */
}

static void real_driver(void)
{
	const char *path = kit_driver_path();
	struct probes *p = kit_open(NULL);
	struct library lib, at_entry;
	void *driver;
	double base;

	driver = load(path, &lib);
	launch_entry = (launch_fn)dlsym(driver, "cuLaunchKernel");
	base = least_ns(call_launch);
	row("cuLaunchKernel of the real driver's library, no probe", base, base);
	at_entry = lib;
	for (size_t i = 0; i < at_entry.entry_count; i++) {
		at_entry.entries[i].file_offset &= ~(uint64_t)15;
		at_entry.entries[i].vaddr &= ~(uint64_t)15;
	}
	kit_attach(p, &lib);
	row("probed at the jump behind the comparison (as shipped)", least_ns(call_launch), base);
	probes_set_off(p, OM_OFF_LAUNCH, true);
	row("the same, meter off", least_ns(call_launch), base);
	probes_set_off(p, OM_OFF_LAUNCH, false);
	release(p, &lib);
	kit_attach(p, &at_entry);
	row("probed at its first instruction (single-stepped)", least_ns(call_launch), base);
	probes_free(p);
}

static void simulated(void)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	void *driver, *module = NULL, *graph = NULL, *node = NULL;
	struct simgpu_kernel_node params = { .grid = { 40, 1, 1 }, .block = { 32, 1, 1 } };
	struct probes *p = kit_open(NULL);
	double base, base_replay;
	struct library lib;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/simgpu/libcuda.so.1", build);
	driver = load(path, &lib);
#define DO(name, ...) ((int (*)(void *, ...))dlsym(driver, #name))(__VA_ARGS__)
	launch_entry = (launch_fn)dlsym(driver, "cuLaunchKernel");
	replay_entry = (replay_fn)dlsym(driver, "cuGraphLaunch");
	DO(cuModuleLoadData, &module, NULL);
	DO(cuModuleGetFunction, &function, module, "kernel");
	DO(cuGraphCreate, &graph, 0);
	params.function = function;
	DO(cuGraphAddKernelNode_v2, &node, graph, NULL, (size_t)0, &params);
	DO(cuGraphInstantiateWithFlags, &exec, graph, 0ULL);
	base = least_ns(call_launch);
	base_replay = least_ns(call_replay);
	kit_attach(p, &lib);
	function = NULL;
	DO(cuModuleGetFunction, &function, module, "kernel");
	DO(cuGraphClone, &graph, graph);
	DO(cuGraphInstantiateWithFlags, &exec, graph, 0ULL);
	row("simulated driver: a launch, no probe", base, base);
	row("simulated driver: a launch by name", least_ns(call_launch), base);
	row("simulated driver: a replay, no probe", base_replay, base_replay);
	row("simulated driver: a replay", least_ns(call_replay), base_replay);
	probes_free(p);
}

static void launches(void)
{
	printf("| launch, best of %d rounds of %d | ns | over the base | ratio |\n|---|---|---|---|\n", ROUNDS, CALLS);
	simulated();
	real_driver();
}

int main(int argc, char **argv)
{
	static const struct kit_test tests[] = { { "launches", launches }, { NULL, NULL } };

	return kit_main(argc, argv, tests);
}
