// SPDX-License-Identifier: Apache-2.0
/*
 * What a probe costs the tenant, and the drain the node: rows of a table, each
 * with its ratio to the same call without a probe, measured in the same run.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/kit.h"
#include "userspace/agent/probes_internal.h"
#include "opmeter.skel.h"

enum { ROUNDS = 9, CALLS = 100000, BF16 = 14, COMPUTE_32F = 68 };

static struct blas lt_lib, cublas;
static struct lt lt;
static void *sgemm;

static void call_lt(void)
{
	kit_lt_call(&lt);
}

static void call_sgemm(void)
{
	kit_sgemm(sgemm, 64, 128, 256);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Nanoseconds a call: the median of the rounds, and the round least disturbed. */
struct cost {
	double median_ns, least_ns;
};

static struct cost time_calls(void (*call)(void))
{
	double ns[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t begun = kit_now_ns();

		for (int i = 0; i < CALLS; i++)
			call();
		ns[r] = (double)(kit_now_ns() - begun) / CALLS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return (struct cost){ ns[ROUNDS / 2], ns[0] };
}

static void row(const char *what, struct cost c, struct cost base)
{
	printf("| %-52s | %6.0f | %6.0f | %6.0f | %5.0f |\n", what, c.median_ns, c.least_ns,
	       c.least_ns - base.least_ns, c.least_ns / base.least_ns);
	fflush(stdout);
}

/* Every call that was counted, by shape or as skipped. */
static uint64_t seen(struct drain *d)
{
	struct totals t = kit_totals(d, getpid());

	return t.calls + t.duplicates + t.lost[OM_LOSS_OFF];
}

/* Until the kernel has detached what was released. */
static void wait_detached(struct probes *p, struct drain *d, void (*call)(void))
{
	uint64_t before;

	check(!probes_wait_released(p, 60000), "not released");
	do {
		kit_sleep_ms(50);
		before = seen(d);
		call();
	} while (seen(d) != before);
}

/* --- the same programs, not sleepable --- */

static struct bpf_object *plain_load(struct probes *p)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	struct bpf_program *prog;
	struct bpf_object *obj;
	struct bpf_map *map;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tests/bench/plain.bpf.o", build);
	obj = bpf_object__open_file(path, NULL);
	check(obj, "%s: %m", path);
	bpf_object__for_each_program(prog, obj)
		bpf_program__set_flags(prog, bpf_program__flags(prog) & ~(uint32_t)BPF_F_SLEEPABLE);
	bpf_object__for_each_map(map, obj)
	{
		struct bpf_map *ours = bpf_object__find_map_by_name(p->skel->obj, bpf_map__name(map));

		if (ours && !bpf_map__is_internal(map))
			check(!bpf_map__reuse_fd(map, bpf_map__fd(ours)), "%s: %m", bpf_map__name(map));
	}
	check(!bpf_object__load(obj), "%s: %m", path);
	return obj;
}

static struct cost plain_time(struct drain *d, struct bpf_object *obj, const char *program,
			      const struct library *lib, uint32_t seq, void (*call)(void))
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = OM_COOKIE(lib->entries[0].entry, 1, seq));
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, program);
	uint64_t before = seen(d);
	struct bpf_link *link;
	struct cost ns;

	link = bpf_program__attach_uprobe_opts(prog, -1, lib->open_path, lib->entries[0].file_offset, &opts);
	check(link, "plain uprobe: %m");
	ns = time_calls(call);
	if (strcmp(program, "on_nothing"))
		check_equal(seen(d) - before, (uint64_t)CALLS * ROUNDS, "calls of the plain program");
	bpf_link__destroy(link);
	return ns;
}

static void probe_rows(struct probes *p, struct drain *d, struct bpf_object *plain, const char *name,
		       const char *program, const struct library *lib, void (*call)(void))
{
	struct error_text err = {};
	struct cost base, ns;
	char what[96];
	uint32_t seq;

	base = time_calls(call);
	snprintf(what, sizeof(what), "%s, no probe", name);
	row(what, base, base);
	check(!probes_attach(p, lib, &seq, &err), "%s", err.text);
	ns = time_calls(call);
	snprintf(what, sizeof(what), "%s, metered (sleepable)", name);
	row(what, ns, base);
	check(!probes_set_off(p, OM_OFF_NODE, true), "off");
	ns = time_calls(call);
	snprintf(what, sizeof(what), "%s, metered, switched off", name);
	row(what, ns, base);
	check(!probes_set_off(p, OM_OFF_NODE, false) && !probes_release(p, lib->dev, lib->ino), "release");
	wait_detached(p, d, call);
	ns = plain_time(d, plain, program, lib, seq, call);
	snprintf(what, sizeof(what), "%s, the same program as a plain uprobe", name);
	row(what, ns, base);
	ns = plain_time(d, plain, "on_nothing", lib, seq, call);
	snprintf(what, sizeof(what), "%s, an empty plain uprobe", name);
	row(what, ns, base);
}

static void cost(void)
{
	static const char *const one[] = { "cublasSgemm_v2", NULL };
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct bpf_object *plain;

	lt_lib = kit_load("13.10.0.20", "libcublasLt.so.13");
	cublas = kit_load("13.10.0.20", "libcublas.so.13");
	kit_keep_entries(&cublas.lib, one);
	lt = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, true, false, 4096, 1024, 512, 1);
	sgemm = kit_symbol(&cublas, "cublasSgemm_v2");
	p = kit_open(NULL);
	check(!drain_new(p, &d), "drain_new");
	plain = plain_load(p);
	printf("| call, null handle, one thread | median, ns | least, ns | over no probe, ns | ratio "
	       "|\n|---|---|---|---|---|\n");
	probe_rows(p, d, plain, "cublasLtMatmul", "on_lt_matmul", &lt_lib.lib, call_lt);
	probe_rows(p, d, plain, "cublasSgemm_v2", "on_gemm", &cublas.lib, call_sgemm);
	bpf_object__close(plain);
}

/* --- the drain --- */

enum { DRAIN_PROCESSES = 64, SHAPES_EACH = 500 };

static void make_shapes(void *arg)
{
	for (int m = 1; m <= SHAPES_EACH; m++)
		kit_sgemm(sgemm, m, 3, 5);
	pause();
}

static void drain_row(struct drain *d, const char *what, bool with_shapes)
{
	double ms[ROUNDS];
	struct drain_result r;

	for (int i = 0; i < ROUNDS; i++) {
		check(!drain_read(d, with_shapes, &r), "drain_read");
		ms[i] = (double)r.time_ns / 1e6;
	}
	qsort(ms, ROUNDS, sizeof(ms[0]), by_value);
	check_equal(r.shapes_held, DRAIN_PROCESSES * SHAPES_EACH, "shapes");
	printf("| %-40s | %6" PRIu64 " | %6.2f | %9.0f |\n", what, r.shapes_held, ms[ROUNDS / 2],
	       (double)r.shapes_held / ms[ROUNDS / 2] * 1000);
}

/* The baseline of the same run: a system call for each key, one for each value. */
static void walk_row(struct probes *p)
{
	int fd = probes_map_fd(p, PROBES_SHAPES);
	struct om_shape_key key, next;
	uint64_t calls, begun = kit_now_ns();
	bool is_first = true;
	uint64_t n = 0;
	double ms;

	while (!bpf_map_get_next_key(fd, is_first ? NULL : &key, &next)) {
		check(!bpf_map_lookup_elem(fd, &next, &calls), "lookup: %m");
		key = next;
		is_first = false;
		n++;
	}
	ms = (double)(kit_now_ns() - begun) / 1e6;
	printf("| %-40s | %6" PRIu64 " | %6.2f | %9.0f |\n", "key by key, not folded (baseline)", n, ms,
	       (double)n / ms * 1000);
}

static void drain(void)
{
	static const char *const one[] = { "cublasSgemm_v2", NULL };
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	pid_t pid[DRAIN_PROCESSES];
	struct drain_result r;

	cublas = kit_load("13.10.0.20", "libcublas.so.13");
	kit_keep_entries(&cublas.lib, one);
	sgemm = kit_symbol(&cublas, "cublasSgemm_v2");
	p = kit_open(NULL);
	kit_attach(p, &cublas.lib);
	check(!drain_new(p, &d), "drain_new");
	for (int i = 0; i < DRAIN_PROCESSES; i++)
		pid[i] = kit_spawn(make_shapes, NULL);
	do {
		kit_sleep_ms(50);
		check(!drain_read(d, false, &r), "drain_read");
	} while (r.shapes_held < DRAIN_PROCESSES * SHAPES_EACH);
	printf("| drain | entries | ms | entries/s |\n|---|---|---|---|\n");
	walk_row(p);
	drain_row(d, "by batch, folded", false);
	drain_row(d, "by batch, folded, with each shape", true);
	for (int i = 0; i < DRAIN_PROCESSES; i++)
		kill(pid[i], SIGKILL);
}

/* --- the loader --- */

static void loader(void)
{
	struct probes_config other = { .build_salt = 1 };
	struct probes *p, *next;
	uint64_t begun;

	lt_lib = kit_load("13.10.0.20", "libcublasLt.so.13");
	cublas = kit_load("13.10.0.20", "libcublas.so.13");
	printf("| loader | ms |\n|---|---|\n");
	begun = kit_now_ns();
	p = kit_open(NULL);
	printf("| load the programs, make the maps | %.0f |\n", (double)(kit_now_ns() - begun) / 1e6);
	begun = kit_now_ns();
	kit_attach(p, &lt_lib.lib);
	kit_attach(p, &cublas.lib);
	printf("| attach to libcublasLt and libcublas (62 probes) | %.0f |\n",
	       (double)(kit_now_ns() - begun) / 1e6);
	begun = kit_now_ns();
	next = kit_open(&other);
	kit_attach(next, &lt_lib.lib);
	kit_attach(next, &cublas.lib);
	printf("| upgrade: load, adopt the maps, attach anew | %.0f |\n",
	       (double)(kit_now_ns() - begun) / 1e6);
	begun = kit_now_ns();
	probes_free(next);
	probes_free(p);
	printf("| let go, with the old probes being released | %.0f |\n",
	       (double)(kit_now_ns() - begun) / 1e6);
}

int main(int argc, char **argv)
{
	static const struct kit_test tests[] = {
		{ "cost", cost }, { "drain", drain }, { "loader", loader }, { NULL, NULL }
	};

	return kit_main(argc, argv, tests);
}
