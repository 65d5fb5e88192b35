// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape meter: what processes ask the math libraries to multiply.
 *
 * One program for each way to pass sizes, driven by a table (`sites`); all of
 * them go through the same steps:
 *
 *   control    off? then the call is counted as skipped, and no more
 *   first      several probes may fire on one call (two overlay mounts show one
 *              file as two, an upgrade attaches the new programs beside the
 *              old): the kernel runs the consumers of a probe newest first, so
 *              within one call attachment numbers fall. A number that is not
 *              below the last one at this address in this thread begins a new call.
 *   nested     a return address inside the library, or inside the libcublas that
 *              the thread is in, is the library calling itself: counted apart
 *   read       sizes and types, by copying from user memory; the programs may
 *              sleep, so a page that is swapped out is fetched, not lost
 *   count      one atomic add to the entry of the shape; a new shape is charged
 *              to its process's quota, past which only operations are summed
 *
 * Exactness: nothing is sampled, and whatever cannot be counted is counted as
 * lost, by cause, under the process that it belongs to.
 */

#include "matmul_read.bpf.h"

#define EEXIST 17

char LICENSE[] SEC("license") = "GPL";

static __always_inline struct om_control *control_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static const struct om_sum no_sum;

static __always_inline struct om_sum *sum_at(void *map, struct om_sum_key *key)
{
	struct om_sum *s = bpf_map_lookup_elem(map, key);

	if (s)
		return s;
	bpf_map_update_elem(map, key, &no_sum, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* The place of last resort: by cgroup, without the process. */
static __noinline struct om_sum *spill_get(struct om_sum_key *key)
{
	struct om_sum *s;

	om_stat_add(sum_failed);
	key->start_ns = 0;
	key->tgid = 0;
	s = sum_at(&spills, key);
	if (s)
		return s;
	key->types = OM_TYPES_UNKNOWN;
	s = sum_at(&spills, key);
	if (!s)
		om_stat_add(spill_failed);
	return s;
}

/* The sums of a process for one combination of types. How many of them it may
 * have is limited, as types are what the process says they are. */
static __noinline struct om_sum *sum_get(struct om_shape_key *key, u32 types)
{
	struct om_sum_key sum_key = {
		.start_ns = key->start_ns,
		.cgroup_id = key->cgroup_id,
		.tgid = key->tgid,
		.types = types,
	};
	struct om_proc_key proc_key = { .start_ns = key->start_ns, .tgid = key->tgid };
	struct om_sum *s = bpf_map_lookup_elem(&sums, &sum_key);
	struct om_limits *limit = limits_get();
	struct om_proc *p;

	if (s)
		return s;
	p = proc_get(&proc_key);
	if (!p || !limit)
		return spill_get(&sum_key);
	if (__sync_fetch_and_add(&p->sums, 1) >= limit->sums_per_process && types != OM_TYPES_UNKNOWN) {
		om_stat_add(sum_quota);
		sum_key.types = OM_TYPES_UNKNOWN;
	}
	s = sum_at(&sums, &sum_key);
	if (!s)
		return spill_get(&sum_key);
	return s;
}

static __noinline int lose(struct om_shape_key *key, u32 types, u32 cause)
{
	struct om_sum *s = sum_get(key, types);

	if (s && cause < OM_LOST_END)
		__sync_fetch_and_add(&s->lost[cause], 1);
	return 0;
}

/* m * n * k * batch; false if it is negative or not below 2^63. */
static __noinline bool product_of(struct om_shape_key *key, u64 *ret)
{
	u64 limit = 1ULL << 63;
	u64 product = key->m;

	if (key->m >= limit || key->n >= limit || key->k >= limit || key->batch >= limit)
		return false;
	if (!key->m || !key->n || !key->k || !key->batch) {
		*ret = 0;
		return true;
	}
	if (product > (limit - 1) / key->n)
		return false;
	product *= key->n;
	if (product > (limit - 1) / key->k)
		return false;
	product *= key->k;
	if (product > (limit - 1) / key->batch)
		return false;
	*ret = product * key->batch;
	return true;
}

/* Without its shape: no room for one. */
static __noinline int count_sum(struct om_shape_key *key, u64 product)
{
	struct om_sum *s = sum_get(key, key->types);

	if (!s)
		return 0;
	if (key->flags & OM_FLAG_NESTED) {
		__sync_fetch_and_add(&s->nested, 1);
		return 0;
	}
	__sync_fetch_and_add(&s->calls, 1);
	__sync_fetch_and_add(&s->products[0], product & 0xffff);
	__sync_fetch_and_add(&s->products[1], product >> 16 & 0xffff);
	__sync_fetch_and_add(&s->products[2], product >> 32 & 0xffff);
	__sync_fetch_and_add(&s->products[3], product >> 48);
	return 0;
}

/* A shape that the process has not asked for before. */
static __noinline int count_new(struct om_shape_key *key)
{
	struct om_proc_key proc_key = { .start_ns = key->start_ns, .tgid = key->tgid };
	struct om_limits *limit = limits_get();
	u64 product = 0, one = 1, *calls;
	struct om_proc *p;
	/* Not a long: until d7ba4cc900bf ("bpf: return long from bpf_map_ops funcs", 6.4) the
	 * upper half of the register is not the sign's, and -EEXIST did not compare equal. */
	int rc;

	if (!product_of(key, &product))
		return lose(key, key->types, OM_LOST_ABSURD);
	p = proc_get(&proc_key);
	if (!p || !limit)
		return count_sum(key, product);
	if (__sync_fetch_and_add(&p->shapes, 1) >= limit->shapes_per_process) {
		__sync_fetch_and_add(&p->shapes, -1);
		om_stat_add(shape_quota);
		return count_sum(key, product);
	}
	rc = (int)bpf_map_update_elem(&shapes, key, &one, BPF_NOEXIST);
	if (!rc)
		return 0;
	__sync_fetch_and_add(&p->shapes, -1);
	calls = rc == -EEXIST ? bpf_map_lookup_elem(&shapes, key) : NULL;
	if (calls) {
		__sync_fetch_and_add(calls, 1);
		return 0;
	}
	om_stat_add(shape_failed);
	return count_sum(key, product);
}

static __always_inline int count(struct om_shape_key *key)
{
	u64 *calls = bpf_map_lookup_elem(&shapes, key);

	if (!calls)
		return count_new(key);
	__sync_fetch_and_add(calls, 1);
	return 0;
}

/* Notes that this probe fired; false if an earlier one did on the same call. */
static __always_inline bool is_first(struct om_thread *t, u64 ip, u32 seq)
{
	bool same = t->ip == ip && seq < t->seq;

	t->ip = ip;
	t->seq = seq;
	return !same;
}

/*
 * The common beginning: returns the call's site, or NULL if there is nothing
 * more to do; the call is then accounted for.
 */
static __always_inline const struct om_call_site *
begin(struct pt_regs *ctx, u64 cookie, struct om_shape_key *key, struct om_thread **ret_thread)
{
	struct om_control *c = control_get();
	struct task_struct *task = bpf_get_current_task_btf();
	u32 index = OM_COOKIE_SITE(cookie);
	struct om_thread *t;
	struct om_sum *s;

	if (!c)
		return NULL;
	key->tgid = task->tgid;
	key->start_ns = task->group_leader->start_boottime;
	key->cgroup_id = bpf_get_current_cgroup_id();
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	*ret_thread = t;
	if (!t) {
		om_stat_add(thread_failed);
	} else if (!is_first(t, OM_IP(ctx), OM_COOKIE_SEQ(cookie))) {
		om_stat_add(duplicates);
		s = sum_get(key, OM_TYPES_UNKNOWN);
		if (s)
			__sync_fetch_and_add(&s->duplicates, 1);
		return NULL;
	}
	if (c->off) {
		om_stat_add(off);
		lose(key, OM_TYPES_UNKNOWN, OM_LOST_OFF);
		return NULL;
	}
	return bpf_map_lookup_elem(&sites, &index);
}

static __always_inline int finish(struct om_shape_key *key, int rc)
{
	if (!rc)
		return count(key);
	if (rc == LOST(OM_LOST_INCONSISTENT))
		return lose(key, key->types, OM_LOST_INCONSISTENT);
	return lose(key, OM_TYPES_UNKNOWN, rc - 1);
}

SEC("uprobe.s")
int on_lt_matmul(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	const struct om_call_site *site;
	struct om_shape_key key = {};
	struct om_thread *t = NULL;

	site = begin(ctx, cookie, &key, &t);
	if (!site)
		return 0;
	return finish(&key, lt_read(ctx, cookie, &key, site, t));
}

SEC("uprobe.s")
int on_gemm(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	const struct om_call_site *site;
	struct om_shape_key key = {};
	struct om_thread *t = NULL;

	site = begin(ctx, cookie, &key, &t);
	if (!site)
		return 0;
	return finish(&key, gemm_read(ctx, cookie, &key, site, t));
}

static long on_group(u32 index, struct groups *g)
{
	u64 transa = 0, transb = 0, v = 0;
	int rc;

	rc = group_value(g->transa, index, false, &transa);
	if (!rc)
		rc = group_value(g->transb, index, false, &transb);
	if (!rc)
		rc = group_value(g->m, index, g->is_wide, &v);
	g->key.m = v;
	if (!rc)
		rc = group_value(g->n, index, g->is_wide, &v);
	g->key.n = v;
	if (!rc)
		rc = group_value(g->k, index, g->is_wide, &v);
	g->key.k = v;
	if (!rc)
		rc = group_value(g->size, index, g->is_wide, &v);
	g->key.batch = v;
	g->rc = rc;
	if (rc)
		return 1;
	g->key.flags =
		(g->key.flags & ~15u) | transposition(transa, false) | transposition(transb, false) << 2;
	count(&g->key);
	return 0;
}

SEC("uprobe.s")
int on_gemm_grouped(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	const struct om_call_site *site;
	struct om_thread *t = NULL;
	struct groups g = {};
	int rc;

	site = begin(ctx, cookie, &g.key, &t);
	if (!site)
		return 0;
	rc = groups_read(ctx, cookie, &g, site, t);
	if (!rc) {
		bpf_loop(g.count, on_group, &g, 0);
		rc = g.rc;
	}
	return rc ? lose(&g.key, rc == LOST(OM_LOST_ABSURD) ? g.key.types : OM_TYPES_UNKNOWN, rc - 1) : 0;
}
