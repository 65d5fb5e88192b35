/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_COUNT_H
#define OPMETER_BPF_COUNT_H

/*
 * Counting a product that has been read (bpf/matmul_read.bpf.h), and what all
 * probes begin with: which probe was first. Included by the programs of the
 * libraries, by those of the driver, since a product whose stream was not known
 * is counted when its launch shows it, and by the end of a thread.
 */

#include "work.bpf.h"

#define EEXIST 17

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
static __noinline __attribute__((unused)) int lose_without_thread(void)
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

static __noinline __attribute__((unused)) int count(struct om_thread *t)
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
	w->key.thread = 0;
	w->proc_key.start_ns = w->key.start_ns;
	w->proc_key.tgid = w->key.tgid;
	w->proc_key.pad = 0;
}

#endif
