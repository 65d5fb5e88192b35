// SPDX-License-Identifier: Apache-2.0
/*
 * Exact counts through every entry of the real libraries: prime numbers of
 * calls, from several threads and processes, each shape with its own count.
 */
#include "kit.h"

#include <pthread.h>
#include <string.h>

#include "tests.h"
#include "userspace/core/gemm_entries.h"

static const unsigned primes[] = {
	101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193,
	197, 199, 211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307,
	311, 313, 317, 331, 337, 347, 349, 353, 359, 367, 373, 379, 383, 389, 397, 401, 409, 419, 421,
	431, 433, 439, 443, 449, 457, 461, 463, 467, 479, 487, 491, 499, 503, 509, 521, 523, 541
};

/* Entry i gets a shape that no other entry has. */
static unsigned m_of(size_t i)
{
	return 1000 + (unsigned)i;
}
enum { N = 257, K = 263, BATCH = 5, GROUPS = 3 };
enum { BF16 = 14, FP32 = 0, COMPUTE_32F = 68 };

static void put(uint64_t arg[KIT_ARGS], uint8_t at, uint64_t value)
{
	if (at != OM_ARG_NONE)
		arg[at] = value;
}

/* The upper half of a 32-bit argument is the caller's rubbish: it must not matter. */
static uint64_t narrow(const struct om_gemm_entry *e, uint64_t value)
{
	return e->size_width == 8 ? value : value | 0xdead00000000u;
}

static void call_grouped(void *f, const struct om_gemm_entry *e, uint64_t arg[KIT_ARGS], unsigned m)
{
	int32_t trans[GROUPS] = { 0, 1, 0 }, narrow_sizes[4][GROUPS];
	int64_t wide_sizes[4][GROUPS];
	uint8_t at[4] = { e->m, e->n, e->k, e->group_size };
	const uint64_t values[4] = { m, N, K, BATCH };

	for (size_t s = 0; s < 4; s++) {
		for (size_t g = 0; g < GROUPS; g++) {
			narrow_sizes[s][g] = (int32_t)(values[s] + (s == 1 ? g : 0)); /* N, N + 1, N + 2 */
			wide_sizes[s][g] = narrow_sizes[s][g];
		}
		arg[at[s]] = e->size_width == 8 ? (uintptr_t)wide_sizes[s] : (uintptr_t)narrow_sizes[s];
	}
	arg[e->transa] = arg[e->transb] = (uintptr_t)trans;
	arg[e->batch] = narrow(e, GROUPS);
	kit_call(f, arg);
}

static void call_entry(struct blas *b, size_t index)
{
	const struct om_gemm_entry *e = &om_gemm_entries[index];
	void *f = kit_symbol(b, e->symbol);
	uint64_t arg[KIT_ARGS] = {};

	put(arg, e->a_type, narrow(e, BF16) & 0xffffffff);
	put(arg, e->b_type, BF16);
	put(arg, e->c_type, FP32);
	put(arg, e->compute, COMPUTE_32F);
	if (e->class == OM_GEMM_GROUPED) {
		call_grouped(f, e, arg, m_of(index));
		return;
	}
	put(arg, e->transa, e->is_v1 ? 'T' : 1);
	put(arg, e->transb, e->is_v1 ? 'n' : 0);
	put(arg, e->m, narrow(e, m_of(index)));
	put(arg, e->n, narrow(e, N));
	put(arg, e->k, narrow(e, K));
	put(arg, e->batch, narrow(e, BATCH));
	kit_call(f, arg);
}

static void call_all_entries(void *arg)
{
	struct blas *b = arg;

	for (size_t i = 0; i < b->lib.entry_count; i++)
		for (unsigned c = 0; c < primes[i]; c++)
			call_entry(b, b->lib.entries[i].entry);
}

static void check_types(const struct om_shape_usage *s, const struct om_gemm_entry *e)
{
	uint32_t want = e->types;

	if (e->a_type != OM_ARG_NONE)
		want = BF16 | BF16 << 8 | FP32 << 16 | 0xff000000u;
	if (e->compute != OM_ARG_NONE)
		want = (want & 0xffffff) | (uint32_t)COMPUTE_32F << 24;
	check(s->types == want, "%s: types %08x, should be %08x", e->symbol, s->types, want);
}

static void check_entry(const struct drain_result *r, pid_t pid, size_t index, unsigned calls)
{
	const struct om_gemm_entry *e = &om_gemm_entries[index];
	bool is_batched = e->batch != OM_ARG_NONE;
	uint64_t got = 0, nested = 0;

	for (size_t i = 0; i < r->shape_count; i++) {
		const struct om_shape_usage *s = &r->shapes[i];
		bool is_tn = e->class == OM_GEMM_GROUPED ? s->n == N + 1 : true;

		if (s->tgid != (uint32_t)pid || s->m != m_of(index))
			continue;
		check(s->k == K && s->n - N < (e->class == OM_GEMM_GROUPED ? GROUPS : 1) &&
			      s->batch == (is_batched ? BATCH : 1),
		      "%s: read as %llu x %llu x %llu, batch %llu", e->symbol, (unsigned long long)s->m,
		      (unsigned long long)s->n, (unsigned long long)s->k, (unsigned long long)s->batch);
		check(OM_FLAGS_CLASS(s->flags) == e->class, "%s: class %u", e->symbol,
		      OM_FLAGS_CLASS(s->flags));
		check(OM_FLAGS_TRANSA(s->flags) == is_tn, "%s: flags %x", e->symbol, s->flags);
		check_types(s, e);
		if (s->flags & OM_FLAG_NESTED)
			nested += s->calls;
		else
			got += s->calls;
	}
	/* v1 calls _v2, here as with a GPU: the same shape again, counted apart. */
	check_equal(nested, e->is_v1 ? calls : 0, e->symbol);
	check_equal(got, e->class == OM_GEMM_GROUPED ? GROUPS * calls : calls, e->symbol);
}

static void entries_of(const char *version, const char *name)
{
	struct blas b = kit_load(version, name);
	_cleanup_probes_ struct probes *p = kit_open(NULL);
	_cleanup_drain_ struct drain *d = NULL;
	struct drain_result r;
	struct totals t;
	pid_t pid;

	check(b.lib.entry_count == 61, "%s: %zu entries of the table, should be 61", name, b.lib.entry_count);
	kit_attach(p, &b.lib);
	pid = kit_run(call_all_entries, &b);
	check(!drain_new(p, &d), "drain_new");
	kit_read(d, true, &r);
	for (size_t i = 0; i < b.lib.entry_count; i++)
		check_entry(&r, pid, b.lib.entries[i].entry, primes[i]);
	t = kit_totals(d, pid);
	check_equal(t.duplicates + t.overflow_calls, 0, "duplicates, overflow");
	for (size_t i = 0; i < OM_LOSS_END; i++)
		check_equal(t.lost[i], 0, om_loss_name(i));
}

void test_entries_12(void)
{
	entries_of("12.9.3.13", "libcublas.so.12");
}

void test_entries_13(void)
{
	entries_of("13.10.0.20", "libcublas.so.13");
}

/* --- cublasLtMatmul from threads and processes --- */

struct crowd {
	struct lt lt[4];
	unsigned calls; /* of each thread, of each product */
};

static void *crowd_thread(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < c->calls; i++)
		for (size_t s = 0; s < ARRAY_SIZE(c->lt); s++)
			kit_lt_call(&c->lt[s]);
	return NULL;
}

enum { THREADS = 8, PROCESSES = 3 };

static void crowd_process(void *arg)
{
	pthread_t thread[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		check(!pthread_create(&thread[i], NULL, crowd_thread, arg), "pthread_create");
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void crowd_check(struct drain *d, const pid_t *pid, const struct crowd *c)
{
	opcount ops = 0;
	struct drain_result r;
	struct totals t;

	kit_read(d, true, &r);
	for (size_t i = 0; i < PROCESSES; i++) {
		check_equal(kit_shape_calls(&r, pid[i], 4096, 1024, 512, 1), THREADS * c->calls, "plain");
		check_equal(kit_shape_calls(&r, pid[i], 31, 37, 41, 7), THREADS * c->calls, "batched");
		check_equal(kit_shape_calls(&r, pid[i], 1ull << 40, 3, 1, 1), THREADS * c->calls, "long");
		check_equal(kit_shape_calls(&r, pid[i], 64, 64, 64, 1), THREADS * c->calls, "fp8");
	}
	ops = 2 * ((opcount)4096 * 1024 * 512 + 31 * 37 * 41 * 7 + ((opcount)3 << 40) + 64 * 64 * 64);
	ops *= (opcount)c->calls * THREADS * PROCESSES;
	t = kit_totals(d, 0);
	check(t.ops == ops, "operations differ");
	check_equal(t.calls, 4ull * c->calls * THREADS * PROCESSES, "calls");
	check_equal(t.duplicates + t.nested + t.overflow_calls, 0, "duplicates, nested, overflow");
	check_equal(t.dead, PROCESSES, "dead processes");
}

static void lt_of(const char *version, const char *name)
{
	struct blas b = kit_load(version, name);
	_cleanup_probes_ struct probes *p = kit_open(NULL);
	_cleanup_drain_ struct drain *d = NULL;
	struct crowd c = { .calls = 7919 / THREADS };
	struct drain_result r;
	pid_t pid[PROCESSES];

	c.lt[0] = kit_lt(&b, BF16, BF16, BF16, COMPUTE_32F, true, false, 4096, 1024, 512, 1);
	c.lt[1] = kit_lt(&b, FP32, FP32, FP32, COMPUTE_32F, false, true, 31, 37, 41, 7);
	c.lt[2] = kit_lt(&b, 2, 2, 2, 64, true, true, 1ull << 40, 3, 1, 1);
	c.lt[3] = kit_lt(&b, 28, 29, BF16, COMPUTE_32F, true, false, 64, 64, 64, 1);
	kit_attach(p, &b.lib);
	check(!drain_new(p, &d), "drain_new");
	for (size_t i = 0; i < PROCESSES; i++)
		pid[i] = kit_spawn(crowd_process, &c);
	for (size_t i = 0; i < PROCESSES; i++)
		kit_wait(pid[i]);
	crowd_check(d, pid, &c);
	check(!drain_commit(d), "drain_commit");
	kit_read(d, true, &r);
	check_equal(r.usage_count + r.shape_count + r.process_count, 0, "entries left after the commit");
}

void test_lt_12(void)
{
	lt_of("12.9.3.13", "libcublasLt.so.12");
}

void test_lt_13(void)
{
	lt_of("13.10.0.20", "libcublasLt.so.13");
}
