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

static __noinline struct om_sum *spill_at(struct om_sum_key *key)
{
	struct om_sum *s = sum_at(&spills, key);

	if (s)
		return s;
	key->types = OM_TYPES_UNKNOWN;
	s = sum_at(&spills, key);
	if (!s)
		om_stat_add(spill_failed);
	return s;
}

/* The place of last resort: by cgroup, without the process. */
static __noinline struct om_sum *spill_get(struct om_sum_key *key)
{
	om_stat_add(sum_failed);
	key->start_ns = 0;
	key->tgid = 0;
	return spill_at(key);
}

/* The sums of a process for one combination of types. How many of them it may
 * have is limited, as types are what the process says they are. */
static __noinline struct om_sum *sum_get(struct om_thread *t, u32 types)
{
	struct om_limits *limit;
	struct om_work *w;
	struct om_proc *p;
	struct om_sum *s;

	if (!t)
		return NULL;
	w = work_of(t);
	w->sum_key.start_ns = w->key.start_ns;
	w->sum_key.cgroup_id = w->key.cgroup_id;
	w->sum_key.tgid = w->key.tgid;
	w->sum_key.types = types;
	s = bpf_map_lookup_elem(&sums, &w->sum_key);
	if (s)
		return s;
	limit = limits_get();
	p = proc_get(&w->proc_key);
	if (!p || !limit)
		return spill_get(&w->sum_key);
	if (__sync_fetch_and_add(&p->sums, 1) >= limit->sums_per_process && types != OM_TYPES_UNKNOWN) {
		om_stat_add(sum_quota);
		w->sum_key.types = OM_TYPES_UNKNOWN;
	}
	s = sum_at(&sums, &w->sum_key);
	return s ? s : spill_get(&w->sum_key);
}

static __noinline int lose(struct om_thread *t, u32 types, u32 cause)
{
	struct om_sum *s = sum_get(t, types);

	if (s && cause < OM_LOST_END)
		__sync_fetch_and_add(&s->lost[cause], 1);
	return 0;
}

/* No storage for this thread, hence no room to work in: rare, lost, and said. */
static __noinline int lose_without_thread(void)
{
	struct om_sum_key key = { .cgroup_id = bpf_get_current_cgroup_id(), .types = OM_TYPES_UNKNOWN };
	struct om_sum *s;

	om_stat_add(thread_failed); /* first: it is what makes user space look */
	s = spill_at(&key);
	if (s)
		__sync_fetch_and_add(&s->lost[OM_LOST_REFUSED], 1);
	return 0;
}

/* m * n * k * batch; false if it is negative or not below 2^63. */
static __noinline bool product_of(struct om_thread *t)
{
	u64 limit = 1ULL << 63, product;
	struct om_work *w;

	if (!t)
		return false;
	w = work_of(t);
	if (w->key.m >= limit || w->key.n >= limit || w->key.k >= limit || w->key.batch >= limit)
		return false;
	w->product = 0;
	if (!w->key.m || !w->key.n || !w->key.k || !w->key.batch)
		return true;
	product = w->key.m;
	if (product > (limit - 1) / w->key.n)
		return false;
	product *= w->key.n;
	if (product > (limit - 1) / w->key.k)
		return false;
	product *= w->key.k;
	if (product > (limit - 1) / w->key.batch)
		return false;
	w->product = product * w->key.batch;
	return true;
}

/* Without its shape: no room for one. */
static __noinline int count_sum(struct om_thread *t)
{
	struct om_work *w;
	struct om_sum *s;

	if (!t)
		return 0;
	w = work_of(t);
	s = sum_get(t, w->key.types);
	if (!s)
		return 0;
	if (w->key.flags & OM_FLAG_NESTED) {
		__sync_fetch_and_add(&s->nested, 1);
		return 0;
	}
	__sync_fetch_and_add(&s->calls, 1);
	__sync_fetch_and_add(&s->products[0], w->product & 0xffff);
	__sync_fetch_and_add(&s->products[1], w->product >> 16 & 0xffff);
	__sync_fetch_and_add(&s->products[2], w->product >> 32 & 0xffff);
	__sync_fetch_and_add(&s->products[3], w->product >> 48);
	return 0;
}

static const u64 one_call = 1;

/* A shape that the process has not asked for before. */
static __noinline int count_new(struct om_thread *t)
{
	struct om_limits *limit;
	struct om_work *w;
	struct om_proc *p;
	u64 *calls;
	/* Not a long: until d7ba4cc900bf ("bpf: return long from bpf_map_ops funcs", 6.4) the
	 * upper half of the register is not the sign's, and -EEXIST did not compare equal. */
	int rc;

	if (!t)
		return 0;
	w = work_of(t);
	if (!product_of(t))
		return lose(t, w->key.types, OM_LOST_ABSURD);
	limit = limits_get();
	p = proc_get(&w->proc_key);
	if (!p || !limit)
		return count_sum(t);
	if (__sync_fetch_and_add(&p->shapes, 1) >= limit->shapes_per_process) {
		__sync_fetch_and_add(&p->shapes, -1);
		om_stat_add(shape_quota);
		return count_sum(t);
	}
	rc = (int)bpf_map_update_elem(&shapes, &w->key, (void *)&one_call, BPF_NOEXIST);
	if (!rc)
		return 0;
	__sync_fetch_and_add(&p->shapes, -1);
	calls = rc == -EEXIST ? bpf_map_lookup_elem(&shapes, &w->key) : NULL;
	if (calls) {
		__sync_fetch_and_add(calls, 1);
		return 0;
	}
	om_stat_add(shape_failed);
	return count_sum(t);
}

static __noinline int count(struct om_thread *t)
{
	u64 *calls;

	if (!t)
		return 0;
	calls = bpf_map_lookup_elem(&shapes, &work_of(t)->key);
	if (!calls)
		return count_new(t);
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

static __always_inline void work_begin(struct om_work *w, struct task_struct *task, u64 cookie)
{
	w->cookie = cookie;
	w->key.tgid = task->tgid;
	w->key.start_ns = task->group_leader->start_boottime;
	w->key.cgroup_id = bpf_get_current_cgroup_id();
	w->key.pad = 0;
	w->proc_key.start_ns = w->key.start_ns;
	w->proc_key.tgid = w->key.tgid;
	w->proc_key.pad = 0;
}

/* The common beginning: returns the call's site, or NULL if there is nothing more
 * to do; the call is then accounted for. */
static __always_inline const struct om_call_site *begin(struct pt_regs *ctx, struct om_thread **ret_thread)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct om_control *c = control_get();
	struct task_struct *task = bpf_get_current_task_btf();
	u32 index = OM_COOKIE_SITE(cookie);
	struct om_thread *t;
	struct om_sum *s;

	if (!c)
		return NULL;
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		lose_without_thread();
		return NULL;
	}
	*ret_thread = t;
	work_begin(work_of(t), task, cookie);
	if (!is_first(t, OM_IP(ctx), OM_COOKIE_SEQ(cookie))) {
		om_stat_add(duplicates);
		s = sum_get(t, OM_TYPES_UNKNOWN);
		if (s)
			__sync_fetch_and_add(&s->duplicates, 1);
		return NULL;
	}
	if (c->off) {
		om_stat_add(off);
		lose(t, OM_TYPES_UNKNOWN, OM_LOST_OFF);
		return NULL;
	}
	return bpf_map_lookup_elem(&sites, &index);
}

static __noinline int finish(struct om_thread *t, int rc)
{
	bool is_typed = rc == LOST(OM_LOST_INCONSISTENT) || rc == LOST(OM_LOST_ABSURD);

	if (!t)
		return 0;
	if (!rc)
		return count(t);
	return lose(t, is_typed ? work_of(t)->key.types : OM_TYPES_UNKNOWN, rc - 1);
}

SEC("uprobe.s")
int on_lt_matmul(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;

	site = begin(ctx, &t);
	if (!site)
		return 0;
	return finish(t, lt_read(ctx, t, site));
}

SEC("uprobe.s")
int on_gemm(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;

	site = begin(ctx, &t);
	if (!site)
		return 0;
	return finish(t, gemm_read(ctx, t, site));
}

static long on_group(u32 index, struct om_thread **thread)
{
	struct om_thread *t = *thread;
	int rc;

	if (!t)
		return 1;
	rc = group_read(t, index);
	work_of(t)->rc = rc;
	if (rc)
		return 1;
	count(t);
	return 0;
}

SEC("uprobe.s")
int on_gemm_grouped(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;
	int rc;

	site = begin(ctx, &t);
	if (!site)
		return 0;
	rc = groups_read(ctx, t, site);
	if (rc)
		return finish(t, rc);
	work_of(t)->rc = 0;
	bpf_loop(work_of(t)->group_count, on_group, &t, 0);
	rc = work_of(t)->rc;
	return rc ? finish(t, rc) : 0;
}
