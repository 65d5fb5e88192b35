// SPDX-License-Identifier: Apache-2.0
/*
 * What the verifier says of the programs: no frame of 64 bytes or more in one that
 * may sleep (bpf/work.bpf.h says why), and what verifying costs.
 */
#include "kit.h"

#include <bpf/libbpf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests.h"

enum { FRAME_MAX = 48, INSNS_MAX = 100000, BPF_LOG_STATS_LEVEL = 4 };

static void check_frames(const char *name, const char *log)
{
	const char *at = strstr(log, "stack depth ");
	int depth, used;

	check(at, "%s: the verifier says no stack depth", name);
	for (at += strlen("stack depth "); sscanf(at, "%d%n", &depth, &used) == 1;
	     at += used + (at[used] == '+'))
		check(depth <= FRAME_MAX, "%s: a frame of %d bytes, %d at most (%s)", name, depth, FRAME_MAX,
		      log);
}

static unsigned insns_of(const char *name, const char *log)
{
	const char *at = strstr(log, "processed ");
	unsigned insns = 0;

	check(at && sscanf(at, "processed %u insns", &insns) == 1, "%s: no count of instructions", name);
	check(insns < INSNS_MAX, "%s: the verifier goes through %u instructions", name, insns);
	return insns;
}

static void check_object(const char *file, const char *const *names)
{
	static char log[8][65536];
	const char *build = getenv("B") ? getenv("B") : "build";
	struct bpf_program *prog;
	struct bpf_object *obj;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/bpf/%s", build, file);
	obj = bpf_object__open_file(path, NULL);
	check(obj, "%s: %m", path);
	for (size_t i = 0; names[i]; i++) {
		prog = bpf_object__find_program_by_name(obj, names[i]);
		check(prog, "%s is not in %s", names[i], path);
		bpf_program__set_log_level(prog, BPF_LOG_STATS_LEVEL);
		bpf_program__set_log_buf(prog, log[i], sizeof(log[i]));
	}
	check(!bpf_object__load(obj), "%s: %m", path);
	for (size_t i = 0; names[i]; i++) {
		check_frames(names[i], log[i]);
		printf("%s: %u instructions verified\n", names[i], insns_of(names[i], log[i]));
	}
	bpf_object__close(obj);
}

void test_frames(void)
{
	check_object("matmul.bpf.o", (const char *const[]){ "on_lt_matmul", "on_gemm", "on_gemm_grouped", NULL });
	check_object("launch.bpf.o", (const char *const[]){ "on_launch", "on_launch_ex", "on_launch_many",
							    "on_launch_grid", "on_graph_launch", NULL });
	check_object("graph.bpf.o", (const char *const[]){ "on_driver", "on_driver_return", NULL });
	check_object("counter.bpf.o", (const char *const[]){ "on_counter_reading", "on_counter_status", NULL });
	check_object("collective.bpf.o", (const char *const[]){ "on_collective", "on_communicator", NULL });
}
