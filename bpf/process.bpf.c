// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of metered processes, and what their cgroups are called.
 *
 * Only processes that have an entry in `procs` (they multiplied, or opened a
 * GPU) are followed. All of it is idempotent, as during an upgrade two builds'
 * programs see the same events.
 *
 * No program here reads kernel memory by bpf_probe_read_kernel(): a kernel
 * under lockdown refuses that helper. Fields are read through BTF pointers, and
 * the one string through bpf_snprintf().
 */

#include "count.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE_PROCESS[] SEC("license") = "GPL";

#define SIGNAL_BITS 0x7f /* of an exit code: the signal that ended it */

/* A product that still waited for its stream when its thread ended: asked for. */
static __noinline int thread_settle(struct task_struct *task)
{
	struct om_thread *t;

	if (!task)
		return 0;
	t = bpf_task_storage_get(&threads, task, NULL, 0);
	if (!t || t->is_deferred != OM_DEFERRED_WAITING)
		return 0;
	t->is_deferred = OM_DEFERRED_NONE;
	work_begin(work_of(t), task, 0);
	work_of(t)->key = t->deferred;
	return count(t);
}

static __noinline int ranges_drop(struct task_struct *task)
{
	struct om_proc_key key;

	if (!task)
		return 0;
	range_key_of(task, &key);
	return bpf_map_delete_elem(&ranges, &key);
}

/* Its unfinished captures hold up nobody else's products. */
static __noinline int captures_end(struct om_proc *p)
{
	struct om_activity *a;
	u32 zero = 0;

	a = bpf_map_lookup_elem(&activity, &zero);
	if (!p || !a)
		return 0;
	__sync_fetch_and_add(&a->captures, -(long)p->captures);
	p->captures = 0;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct om_proc_key key;
	struct om_proc *p;

	thread_settle(task);

	/* Each thread has gone down in `live` before it gets here, so the last one
	 * finds 0, and no thread can be inside a probe any more. */
	if (task->signal->live.counter)
		return 0;
	ranges_drop(task);
	proc_key_of(task, &key);
	p = bpf_map_lookup_elem(&procs, &key);
	if (!p)
		return 0;
	captures_end(p);
	p->exit_ns = bpf_ktime_get_boot_ns();
	__sync_fetch_and_or(&p->flags, OM_PROC_EXITED | (task->exit_code & SIGNAL_BITS ? OM_PROC_KILLED : 0));
	return 0;
}

/* A process keeps its number and its start over an exec, but not its libraries. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct om_proc_key key;
	struct om_proc *p;

	ranges_drop(task);
	proc_key_of(task, &key);
	p = bpf_map_lookup_elem(&procs, &key);
	if (!p)
		return 0;
	captures_end(p);
	p->exec_ns = bpf_ktime_get_boot_ns();
	p->cublas_start = 0;
	p->cublas_end = 0;
	bpf_get_current_comm(p->comm, sizeof(p->comm));
	return 0;
}

static __noinline int ranges_inherit(struct task_struct *parent, struct task_struct *child)
{
	struct om_proc_key key;
	struct om_ranges *r;

	if (!parent || !child)
		return 0;
	range_key_of(parent, &key);
	r = bpf_map_lookup_elem(&ranges, &key);
	if (!r)
		return 0;
	range_key_of(child, &key);
	return bpf_map_update_elem(&ranges, &key, r, BPF_ANY);
}

/* A child's parent may be gone when the child first multiplies. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct om_proc_key parent_key, key;

	if (child->tgid == parent->tgid)
		return 0;
	ranges_inherit(parent, child);
	proc_key_of(parent, &parent_key);
	if (!bpf_map_lookup_elem(&procs, &parent_key))
		return 0;
	proc_key_of(child, &key);
	bpf_map_update_elem(&lineages, &key, &parent_key, BPF_ANY);
	return 0;
}

static const struct om_cgroup no_cgroup;

/* A container may live for less time than user space needs to look at it. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	u64 id = cgroup->kn->id;
	struct om_cgroup *c;
	u64 arg;
	long len;

	if (cgroup->root->hierarchy_id)
		return 0; /* a v1 hierarchy */
	bpf_map_update_elem(&cgroups, &id, &no_cgroup, BPF_NOEXIST);
	c = bpf_map_lookup_elem(&cgroups, &id);
	if (!c) {
		om_stat_add(cgroup_failed);
		return 0;
	}
	arg = (u64)path;
	len = bpf_snprintf(c->path, sizeof(c->path), "%s", &arg, sizeof(arg));
	c->len = len > 0 ? len - 1 : 0;
	c->created_ns = bpf_ktime_get_boot_ns();
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	u64 id = cgroup->kn->id;
	struct om_cgroup *c;

	if (cgroup->root->hierarchy_id)
		return 0;
	c = bpf_map_lookup_elem(&cgroups, &id);
	if (c)
		c->removed = 1;
	return 0;
}

/* Opens of the GPU driver's character devices, by major number. Optional: a
 * kernel under lockdown has no fentry (has_fentry). */
#define MAJOR_SHIFT 20

SEC("fentry/chrdev_open")
int BPF_PROG(on_device_open, struct inode *inode, struct file *file)
{
	struct om_limits *limit = limits_get();
	u32 major = inode->i_rdev >> MAJOR_SHIFT;
	struct om_proc_key key;
	struct om_proc *p;
	bool is_ours = false;

	if (!limit || !major)
		return 0;
	for (int i = 0; i < OM_DEVICE_MAJORS_MAX; i++)
		is_ours |= limit->device_majors[i] == major;
	if (!is_ours)
		return 0;
	proc_key_of(bpf_get_current_task_btf(), &key);
	p = proc_get(&key);
	if (p)
		__sync_fetch_and_or(&p->flags, OM_PROC_OPENED_DEVICE);
	return 0;
}
