// SPDX-License-Identifier: Apache-2.0
/*
 * Who asks, and in what order: threads told apart in the counts, bursts of ordered
 * products, and bursts of a process that asks for more than they hold.
 */
#include "kit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests.h"

enum { THREADS = 10, FLOOD = OM_BURST_STEPS + 500 };

/* Addresses that nothing is at: the library returns before it looks. Two calls with the same three, one with another result, one
 * without an operand. */
enum { WEIGHT = 0x7f000, INPUT = 0x7f200, OUTPUT = 0x7f400, OTHER = 0x7f600 };

static void call_on(struct blas *b, const char *entry, int a_at, int b_at, int c_at, uint64_t a, uint64_t c)
{
	static const double one[2] = { 1 };
	uint64_t arg[KIT_ARGS] = { 0, 0, 0, 9, 10, 11 };

	arg[6] = (uintptr_t)one;
	arg[c_at - 1] = arg[6];
	arg[a_at] = a;
	arg[b_at] = INPUT;
	arg[c_at] = c;
	kit_call(kit_symbol(b, entry), arg);
}

static void call_with_buffers(void *arg)
{
	call_on(arg, "cublasSgemm_v2", 7, 9, 12, WEIGHT, OUTPUT);
	call_on(arg, "cublasSgemm_v2", 7, 9, 12, WEIGHT, OUTPUT);
	call_on(arg, "cublasSgemm_v2", 7, 9, 12, WEIGHT, OTHER);
	call_on(arg, "cublasGemmEx", 7, 10, 14, 0, OTHER);
	call_on(arg, "cublasGemmStridedBatchedEx", 7, 11, 16, WEIGHT, OTHER);
}

static void *sgemm_once(void *f)
{
	kit_sgemm(f, 11, 13, 17);
	return NULL;
}

/* One thread after another; the first has asked for others before, the last is one of many. */
static void call_from_threads(void *arg)
{
	struct blas *b = arg;
	void *f = kit_symbol(b, "cublasSgemm_v2");
	pthread_t t;

	for (int i = 0; i < 3; i++)
		kit_sgemm(f, 5, 6, 7);
	kit_sgemm(f, 8, 6, 7);
	kit_sgemm(f, 5, 6, 7);
	for (int i = 0; i < THREADS; i++) {
		check(!pthread_create(&t, NULL, sgemm_once, f), "pthread_create");
		pthread_join(t, NULL);
	}
}

static void call_many(void *arg)
{
	struct blas *b = arg;
	void *f = kit_symbol(b, "cublasSgemm_v2");

	for (int i = 0; i < FLOOD; i++)
		kit_sgemm(f, 5 + i % 2, 6, 7);
}

static uint64_t calls_of(const struct drain_result *r, pid_t pid, uint64_t m, uint32_t thread)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->shape_count; i++)
		if (r->shapes[i].tgid == (uint32_t)pid && r->shapes[i].m == m &&
		    OM_SHAPE_THREAD(r->shapes[i].flags) == thread)
			n += r->shapes[i].calls;
	return n;
}

static const struct drain_burst *burst_of(const struct drain_result *r, pid_t pid)
{
	for (size_t i = 0; i < r->burst_count; i++)
		if (r->bursts[i].tgid == (uint32_t)pid)
			return &r->bursts[i];
	return NULL;
}

static void check_step(const struct drain_burst *b, size_t i, const struct om_shape_usage *s, uint32_t thread, uint32_t repeat)
{
	struct om_shape_key k = { .m = s->m, .n = s->n, .k = s->k, .batch = s->batch, .types = s->types, .flags = s->flags & 0xffff };

	check(b->count > i, "step %zu is missing", i);
	check_equal(b->steps[i].shape, om_shape_hash(&k), "the product of a step");
	check_equal(b->steps[i].thread, thread, "the thread of a step");
	check_equal(b->steps[i].repeat, repeat, "the repeats of a step");
}

static const struct om_shape_usage *shape_of(const struct drain_result *r, pid_t pid, uint64_t m)
{
	for (size_t i = 0; i < r->shape_count; i++)
		if (r->shapes[i].tgid == (uint32_t)pid && r->shapes[i].m == m)
			return &r->shapes[i];
	fail("no product with m = %llu", (unsigned long long)m);
}

static void check_order(struct drain *d, pid_t pid)
{
	const struct drain_burst *b;
	struct drain_result r;

	kit_read(d, true, &r);
	check_equal(calls_of(&r, pid, 5, 0), 4, "calls of the first thread");
	check_equal(calls_of(&r, pid, 11, 0), 0, "calls of others under the first");
	for (uint32_t t = 1; t < OM_THREADS_MAX - 1; t++)
		check_equal(calls_of(&r, pid, 11, t), 1, "calls of each thread");
	check_equal(calls_of(&r, pid, 11, OM_THREADS_MAX - 1), THREADS - OM_THREADS_MAX + 2, "calls of the threads beyond");
	b = burst_of(&r, pid);
	check(b, "no burst");
	check_equal(b->count, 3 + THREADS - (THREADS - OM_THREADS_MAX + 1), "steps");
	check_step(b, 0, shape_of(&r, pid, 5), 0, 3);
	check_step(b, 1, shape_of(&r, pid, 8), 0, 1);
	check_step(b, 2, shape_of(&r, pid, 5), 0, 1);
	check_step(b, 3, shape_of(&r, pid, 11), 1, 1);
	check_step(b, b->count - 1, shape_of(&r, pid, 11), OM_THREADS_MAX - 1, THREADS - OM_THREADS_MAX + 2);
}

/* Names stand for addresses within a process, and are none. */
static void check_buffers(struct drain *d, pid_t pid, struct om_step ret[4])
{
	const struct drain_burst *b;
	struct drain_result r;

	kit_read(d, true, &r);
	b = burst_of(&r, pid);
	check(b && b->count == 4, "four steps");
	check_equal(b->steps[0].repeat, 2, "calls on the same buffers");
	for (int i = 0; i < 4; i++)
		check(b->steps[i].b == b->steps[0].b && b->steps[i].b != INPUT, "one input, by another name than its address");
	check(b->steps[1].a == b->steps[0].a && b->steps[3].a == b->steps[0].a && b->steps[0].a, "one weight through two entries");
	check_equal(b->steps[2].a, 0, "a buffer that is not given");
	check(b->steps[1].d != b->steps[0].d && b->steps[2].d == b->steps[1].d && b->steps[3].d == b->steps[1].d, "two results");
	check(b->steps[0].a != b->steps[0].b && b->steps[0].a != b->steps[0].d, "operands told apart");
	memcpy(ret, b->steps, 4 * sizeof(*ret));
	check(!drain_commit(d), "drain_commit");
}

void test_buffers(void)
{
	static const char *const entries[] = { "cublasSgemm_v2", "cublasGemmEx", "cublasGemmStridedBatchedEx", NULL };
	struct blas b = kit_load("13.10.0.20", "libcublas.so.13");
	_cleanup_probes_ struct probes *p = kit_open(NULL);
	_cleanup_drain_ struct drain *d = NULL;
	struct om_step one[4], other[4];

	kit_keep_entries(&b.lib, entries);
	kit_attach(p, &b.lib);
	check(!drain_new(p, &d) && !drain_next_burst(d), "drain_new");
	check_buffers(d, kit_run(call_with_buffers, &b), one);
	check(!drain_next_burst(d), "drain_next_burst");
	check_buffers(d, kit_run(call_with_buffers, &b), other);
	check(one[0].a != other[0].a, "two processes have names of their own for one address");
}

void test_order(void)
{
	static const char *const entries[] = { "cublasSgemm_v2", NULL };
	struct blas b = kit_load("13.10.0.20", "libcublas.so.13");
	_cleanup_probes_ struct probes *p = kit_open(NULL);
	_cleanup_drain_ struct drain *d = NULL;
	struct drain_result r;
	pid_t quiet, flood;

	kit_keep_entries(&b.lib, entries);
	kit_attach(p, &b.lib);
	check(!drain_new(p, &d), "drain_new");
	quiet = kit_run(call_from_threads, &b);
	kit_read(d, true, &r);
	check(!burst_of(&r, quiet), "a burst before any window has begun");
	check(!drain_commit(d), "drain_commit");
	check(!drain_next_burst(d), "drain_next_burst");
	check_order(d, kit_run(call_from_threads, &b));
	check(!drain_commit(d), "drain_commit");
	flood = kit_run(call_many, &b);
	kit_read(d, true, &r);
	check(burst_of(&r, flood), "no burst");
	check_equal(burst_of(&r, flood)->count, OM_BURST_STEPS, "steps of a full burst");
	check_equal(calls_of(&r, flood, 5, 0) + calls_of(&r, flood, 6, 0), FLOOD, "calls behind a full burst");
	check(!drain_commit(d), "drain_commit");
	kit_read(d, true, &r);
	check(!burst_of(&r, flood), "the burst of a process that is gone and committed");
}
