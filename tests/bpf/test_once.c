// SPDX-License-Identifier: Apache-2.0
/*
 * Each call once: one file behind several mounts, libraries that call themselves
 * and each other.
 */
#include "kit.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests.h"

/* --- two overlay mounts over one image layer, and the layer itself --- */

enum { MOUNTS = 3, CALLS = 1009 };

static void overlay_mount(const char *lower, const char *at)
{
	char dir[4][PATH_MAX], options[4 * PATH_MAX];
	static const char *const parts[] = { "", "/upper", "/work", "/merged" };

	for (size_t i = 0; i < 4; i++) {
		snprintf(dir[i], PATH_MAX, "%s%s", at, parts[i]);
		check(!mkdir(dir[i], 0700), "%s: %m", dir[i]);
	}
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower, dir[1], dir[2]);
	if (mount("overlay", dir[3], "overlay", 0, options))
		skip("no overlay mounts here: %m");
}

static void call_through(void *path)
{
	struct blas b = kit_load_path(path);
	void *f = kit_symbol(&b, "cublasSgemm_v2");

	for (int i = 0; i < CALLS; i++)
		kit_sgemm(f, 11, 13, 17);
}

void test_overlay(void)
{
	static const char *const entries[] = { "cublasSgemm_v2", NULL };
	char path[MOUNTS][PATH_MAX], lower[PATH_MAX], at[PATH_MAX];
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct library lib[MOUNTS];
	struct totals t;

	snprintf(path[0], PATH_MAX, "%s", kit_library_path("13.10.0.20", "libcublas.so.13"));
	snprintf(lower, sizeof(lower), "%.*s", (int)(strrchr(path[0], '/') - path[0]), path[0]);
	for (int i = 1; i < MOUNTS; i++) {
		snprintf(at, sizeof(at), "%s/o%d", kit_dir, i);
		overlay_mount(lower, at);
		snprintf(path[i], PATH_MAX, "%.*s/merged/libcublas.so.13", PATH_MAX - 64, at);
	}
	p = kit_open(NULL);
	for (int i = 0; i < MOUNTS; i++) {
		kit_describe(path[i], &lib[i]);
		kit_keep_entries(&lib[i], entries);
		kit_attach(p, &lib[i]);
		check(!i || lib[i].dev != lib[i - 1].dev || lib[i].ino != lib[i - 1].ino,
		      "the mounts show one inode");
	}
	check_equal(probes_attached_count(p), MOUNTS, "attachments");
	check(!drain_new(p, &d), "drain_new");
	for (int i = 0; i < MOUNTS; i++)
		kit_run(call_through, path[i]);
	t = kit_totals(d, 0);
	check_equal(t.calls, MOUNTS * CALLS, "calls");
	check_equal(t.duplicates, MOUNTS * CALLS * (MOUNTS - 1), "duplicates");
}

/* --- nested calls --- */

enum { V1 = 31, V2 = 37, LT = 41, INSIDE = 43, WORKER = 47, BF16 = 14, COMPUTE_32F = 68 };
static struct blas nest_blas, nest_lt, vendor;
static struct lt lt;

static void *worker(void *arg)
{
	int (*multiply)(void *, void *, void *, void *) = kit_symbol(&nest_blas, "nest_multiply");

	for (int i = 0; i < WORKER; i++)
		multiply(lt.desc, lt.a, lt.b, lt.d);
	return NULL;
}

static void nest(void *arg)
{
	void (*v1)(char, char, int, int, int, float, const float *, int, const float *, int, float, float *,
		   int) = kit_symbol(&nest_blas, "cublasSgemm");
	int (*hgemm)(void *, int, int, int, int, int, void *, void *, int, void *) =
		kit_symbol(&nest_blas, "cublasHgemm");
	void *v2 = kit_symbol(&nest_blas, "cublasSgemm_v2");
	pthread_t thread;

	for (int i = 0; i < V1; i++)
		v1('n', 't', 5, 7, 11, 1, NULL, 1, NULL, 1, 0, NULL, 1);
	for (int i = 0; i < V2; i++)
		kit_sgemm(v2, 5, 7, 13);
	for (int i = 0; i < LT; i++)
		kit_lt_call(&lt);
	for (int i = 0; i < INSIDE; i++)
		hgemm(lt.desc, 0, 0, 3, 5, 7, lt.a, lt.b, 1, lt.d);
	/* a thread of the library's own, which has entered through no probe */
	check(!pthread_create(&thread, NULL, worker, NULL), "pthread_create");
	pthread_join(thread, NULL);
}

static void nest_check(const struct drain_result *r)
{
	uint64_t nested_v2 = 0, plain_v2 = 0, nested_lt = 0, plain_lt = 0;

	for (size_t i = 0; i < r->shape_count; i++) {
		const struct om_shape_usage *s = &r->shapes[i];
		bool is_nested = s->flags & OM_FLAG_NESTED;

		if (OM_FLAGS_CLASS(s->flags) == OM_CLASS_LT_MATMUL)
			*(is_nested ? &nested_lt : &plain_lt) += s->calls;
		else if (s->m == 5)
			*(is_nested ? &nested_v2 : &plain_v2) += s->calls;
	}
	check_equal(nested_v2, V1, "nested calls of _v2");
	check_equal(plain_v2, V1 + V2, "calls of v1 and _v2");
	check_equal(nested_lt, INSIDE + WORKER, "nested calls of cublasLtMatmul");
	check_equal(plain_lt, LT, "calls of cublasLtMatmul");
}

void test_nested(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct drain_result r;
	struct totals t;
	pid_t pid;

	nest_lt = kit_load_built("libnest_lt.so");
	nest_blas = kit_load_built("libnest_blas.so");
	vendor = kit_load("13.10.0.20", "libcublasLt.so.13"); /* makes the descriptors */
	lt = kit_lt(&vendor, BF16, BF16, BF16, COMPUTE_32F, false, false, 19, 23, 29, 1);
	lt.matmul = kit_symbol(&nest_lt, "cublasLtMatmul");
	p = kit_open(NULL);
	kit_attach(p, &nest_blas.lib);
	kit_attach(p, &nest_lt.lib);
	pid = kit_run(nest, NULL);
	check(!drain_new(p, &d), "drain_new");
	kit_read(d, true, &r);
	nest_check(&r);
	t = kit_totals(d, pid);
	check_equal(t.nested, V1 + INSIDE + WORKER, "nested");
	check_equal(t.calls, V1 + V2 + LT + INSIDE, "calls");
}
