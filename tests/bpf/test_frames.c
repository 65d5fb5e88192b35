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

void test_frames(void)
{
	static char log[3][65536];
	static const char *const names[] = { "on_lt_matmul", "on_gemm", "on_gemm_grouped" };
	const char *build = getenv("B") ? getenv("B") : "build";
	struct bpf_program *prog;
	struct bpf_object *obj;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/bpf/matmul.bpf.o", build);
	obj = bpf_object__open_file(path, NULL);
	check(obj, "%s: %m", path);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		prog = bpf_object__find_program_by_name(obj, names[i]);
		check(prog, "%s is not in %s", names[i], path);
		bpf_program__set_log_level(prog, BPF_LOG_STATS_LEVEL);
		bpf_program__set_log_buf(prog, log[i], sizeof(log[i]));
	}
	check(!bpf_object__load(obj), "%s: %m", path);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_frames(names[i], log[i]);
		printf("%s: %u instructions verified\n", names[i], insns_of(names[i], log[i]));
	}
	bpf_object__close(obj);
}
