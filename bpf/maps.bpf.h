/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_MAPS_H
#define OPMETER_BPF_MAPS_H

/*
 * The maps, and what several programs do with them. Weak, so that each object
 * may include this file and the linker keeps one of each. All are pinned by the
 * loader but `sites`, `driver_sites` and `offsets`, which belong to one build's programs.
 *
 * Hash maps are preallocated: sleepable programs may use no others before
 * 02cc5aa29e8c ("bpf: Remove prealloc-only restriction for sleepable bpf programs").
 */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "opmeter.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_control);
} control SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_limits);
} limits SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_meta);
} meta SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct om_shape_key);
	__type(value, u64);
} shapes SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_sampling);
} sampling SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct om_proc_key);
	__type(value, struct om_burst);
} bursts SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct om_sum_key);
	__type(value, struct om_sum);
} sums SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct om_sum_key);
	__type(value, struct om_sum);
} spills SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct om_proc_key);
	__type(value, struct om_proc);
} procs SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct om_proc_key);
	__type(value, struct om_proc_key);
} lineages SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct om_thread);
} threads SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OM_LIBRARIES_MAX);
	__type(key, u32);
	__type(value, struct om_library_facts);
} libraries SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct om_cgroup);
} cgroups SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_stats);
} stats SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OM_CALL_SITES_MAX);
	__type(key, u32);
	__type(value, struct om_call_site);
} sites SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OM_OFFSETS_ROWS);
	__type(key, u32);
	__type(value, struct om_offsets);
} offsets SEC(".maps") __weak;

/* --- the launch meter's --- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct om_launch_key);
	__type(value, u64);
} launches SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct om_name);
} names SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct om_handle_key);
	__type(value, struct om_handle);
} handles SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct om_segment_key);
	__type(value, struct om_segment);
} segments SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct om_content_key);
	__type(value, u64);
} contents SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct om_replay_key);
	__type(value, u64);
} replays SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct om_proc_key);
	__type(value, struct om_ranges);
} ranges SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_activity);
} activity SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OM_DRIVER_SITES_MAX);
	__type(key, u32);
	__type(value, struct om_driver_site);
} driver_sites SEC(".maps") __weak;

static __always_inline struct om_limits *limits_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&limits, &zero);
}

/* Atomic although per CPU: a sleepable program can be preempted by another. */
#define om_stat_add(field)                                                                                   \
	({                                                                                                   \
		u32 __zero = 0;                                                                              \
		struct om_stats *__s = bpf_map_lookup_elem(&stats, &__zero);                                 \
		if (__s)                                                                                     \
			__sync_fetch_and_add(&__s->field, 1);                                                \
	})

static __always_inline void proc_key_of(struct task_struct *task, struct om_proc_key *ret)
{
	ret->start_ns = task->group_leader->start_boottime;
	ret->tgid = task->tgid;
	ret->pad = 0;
}

static __always_inline void range_key_of(struct task_struct *task, struct om_proc_key *ret)
{
	ret->start_ns = task->group_leader->start_boottime / OM_RANGE_TICK_NS;
	ret->tgid = task->tgid;
	ret->pad = 0;
}

static const struct om_proc no_proc;

/* The entry of the current process; made at first sight. Filled in place: what
 * it says of the process is for people, and the stack is small. */
static __noinline struct om_proc *proc_get(struct om_proc_key *key)
{
	struct om_proc *p = bpf_map_lookup_elem(&procs, key);
	struct task_struct *task, *real_parent;
	struct om_proc_key *parent;

	if (p)
		return p;
	/* Fails if another thread of the process was faster, or for want of room. */
	bpf_map_update_elem(&procs, key, &no_proc, BPF_NOEXIST);
	p = bpf_map_lookup_elem(&procs, key);
	if (!p) {
		om_stat_add(proc_failed);
		return NULL;
	}
	task = bpf_get_current_task_btf();
	real_parent = task->real_parent;
	p->parent_start_ns = real_parent->group_leader->start_boottime;
	p->parent_tgid = real_parent->tgid;
	parent = bpf_map_lookup_elem(&lineages, key);
	if (parent) {
		p->parent_start_ns = parent->start_ns;
		p->parent_tgid = parent->tgid;
	}
	p->cgroup_id = bpf_get_current_cgroup_id();
	p->first_ns = bpf_ktime_get_boot_ns();
	bpf_get_current_comm(p->comm, sizeof(p->comm));
	return p;
}

#endif
