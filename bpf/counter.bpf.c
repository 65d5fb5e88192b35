// SPDX-License-Identifier: GPL-2.0-only
/*
 * The counter meter's kernel side: two programs at the probe sites of the collector
 * (userspace/cupti/), which runs in the tenant's process.
 *
 * The process, its start and its cgroup are the kernel's; all else is a claim. A
 * claim that contradicts itself, or what the process said before, is a loss and is
 * never kept. Readings are cumulative, so a second probe on one site (an overlay's
 * alias, an upgrade) adds nothing, and nothing is needed to tell which was first.
 *
 * An object of its own, apart from the other meters: it is loaded only where the
 * counter meter is on, and only `control`, the switch, is theirs.
 */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "counter.h"

char LICENSE_COUNTER[] SEC("license") = "GPL";

#if defined(__TARGET_ARCH_x86)
#define OM_FIRST(ctx) ((ctx)->di)
#elif defined(__TARGET_ARCH_arm64)
#define OM_FIRST(ctx) ((ctx)->user_regs.regs[0])
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_counter_meta);
} counter_meta SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct om_counter_key);
	__type(value, struct om_counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct om_proc_key);
	__type(value, struct om_counter_process);
} counter_processes SEC(".maps");

/* Not on the stack: see bpf/work.bpf.h. */
struct counter_work {
	struct om_counter_reading reading;
	struct om_counter_status status;
	struct om_counter_key key;
	struct om_proc_key process;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct counter_work);
} counter_threads SEC(".maps");

static const struct om_counter_process no_process;
static const struct om_counter no_counter;

static __noinline struct om_counter_process *process_get(struct counter_work *w)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct om_counter_process *p;

	if (!w)
		return NULL;
	w->process.start_ns = task->group_leader->start_boottime;
	w->process.tgid = task->tgid;
	w->process.pad = 0;
	p = bpf_map_lookup_elem(&counter_processes, &w->process);
	if (p)
		return p;
	bpf_map_update_elem(&counter_processes, &w->process, &no_process, BPF_NOEXIST);
	p = bpf_map_lookup_elem(&counter_processes, &w->process);
	if (p)
		p->cgroup_id = bpf_get_current_cgroup_id();
	return p;
}

static __always_inline struct counter_work *work_get(void)
{
	return bpf_task_storage_get(&counter_threads, bpf_get_current_task_btf(), NULL,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline bool is_off(void)
{
	u32 zero = 0;
	struct om_control *c = bpf_map_lookup_elem(&control, &zero);

	return c && c->off & (OM_OFF_NODE | OM_OFF_COUNTER);
}

static __noinline int lose(struct om_counter_process *p, u32 cause)
{
	if (p && cause < OM_COUNTER_LOST_END)
		__sync_fetch_and_add(&p->lost[cause], 1);
	return 0;
}

/* Values that one and the same row of launches can have. */
static __noinline bool is_possible(struct counter_work *w)
{
	struct om_counter_reading *r;
	u32 parts, metric;
	u64 mean;

	if (!w)
		return false;
	r = &w->reading;
	metric = r->metric;
	parts = metric >> 16 & 0x7f;
	if (!(metric & 0xff) || (metric & 0xff) > 15 || !parts || (metric >> 8 & 0xff) >= parts)
		return false;
	if (!r->name || !r->count || r->count > OM_COUNTER_COUNT_MAX || r->max > OM_COUNTER_OPS_MAX ||
	    r->min > r->max || r->deviation > r->max - r->min + 1)
		return false;
	mean = r->sum / r->count;
	return mean >= r->min && mean <= r->max;
}

/* What came on top of what was said before. */
static __noinline bool is_growth(struct counter_work *w, struct om_counter *c)
{
	struct om_counter_reading *r;
	u64 count, sum;

	if (!w || !c)
		return false;
	r = &w->reading;
	if (r->count < c->count || r->sum < c->sum || r->max < c->max || r->min > c->min)
		return false;
	count = r->count - c->count;
	sum = r->sum - c->sum;
	if (!count)
		return !sum && r->max == c->max && r->min == c->min;
	return sum / count >= r->min && sum / count <= r->max;
}

static __noinline struct om_counter *counter_new(struct counter_work *w, struct om_counter_process *p)
{
	struct om_counter_meta *meta;
	struct om_counter *c;
	u32 zero = 0;

	meta = bpf_map_lookup_elem(&counter_meta, &zero);
	if (!w || !p || !meta)
		return NULL;
	if (__sync_fetch_and_add(&p->signatures, 1) >= meta->quota) {
		__sync_fetch_and_add(&p->signatures, -1);
		return NULL;
	}
	if ((int)bpf_map_update_elem(&counters, &w->key, (void *)&no_counter, BPF_NOEXIST))
		__sync_fetch_and_add(&p->signatures, -1);
	c = bpf_map_lookup_elem(&counters, &w->key);
	if (c && !c->first_ns)
		c->first_ns = bpf_ktime_get_boot_ns();
	return c;
}

static __always_inline void key_fill(struct counter_work *w)
{
	struct om_counter_reading *r = &w->reading;

	w->key.start_ns = w->process.start_ns;
	w->key.tgid = w->process.tgid;
	w->key.cgroup_id = bpf_get_current_cgroup_id();
	w->key.name = r->name;
	for (int i = 0; i < 3; i++) {
		w->key.grid[i] = r->grid[i];
		w->key.block[i] = r->block[i];
	}
	w->key.shared = r->shared;
	w->key.metric = r->metric;
	w->key.pad = 0;
}

static __noinline int reading_keep(struct counter_work *w, struct om_counter_process *p)
{
	struct om_counter_reading *r;
	struct om_counter *c;

	if (!w || !p)
		return 0;
	r = &w->reading;
	if (r->version != OM_COUNTER_WIRE || r->size != sizeof(*r))
		return lose(p, OM_COUNTER_LOST_VERSION);
	if (!is_possible(w))
		return lose(p, OM_COUNTER_LOST_ABSURD);
	key_fill(w);
	c = bpf_map_lookup_elem(&counters, &w->key);
	if (!c)
		c = counter_new(w, p);
	else if (!is_growth(w, c))
		return lose(p, OM_COUNTER_LOST_DECREASING);
	if (!c)
		return lose(p, OM_COUNTER_LOST_QUOTA);
	c->count = r->count;
	c->sum = r->sum;
	c->min = r->min;
	c->max = r->max;
	c->deviation = r->deviation;
	c->last_ns = p->last_ns = bpf_ktime_get_boot_ns();
	__sync_fetch_and_add(&p->readings, 1);
	return 0;
}

SEC("uprobe.s")
int on_counter_reading(struct pt_regs *ctx)
{
	struct counter_work *w = work_get();
	struct om_counter_process *p = process_get(w);

	if (!w || !p)
		return 0; /* no room for the process: it has never been heard, and user space sees the map
			     full */
	if (is_off())
		return lose(p, OM_COUNTER_LOST_OFF);
	if (bpf_copy_from_user(&w->reading, sizeof(w->reading), (void *)OM_FIRST(ctx)))
		return lose(p, OM_COUNTER_LOST_READ);
	return reading_keep(w, p);
}

SEC("uprobe.s")
int on_counter_status(struct pt_regs *ctx)
{
	struct counter_work *w = work_get();
	struct om_counter_process *p = process_get(w);

	if (!w || !p)
		return 0;
	if (is_off())
		return lose(p, OM_COUNTER_LOST_OFF);
	if (bpf_copy_from_user(&w->status, sizeof(w->status), (void *)OM_FIRST(ctx)))
		return lose(p, OM_COUNTER_LOST_READ);
	if (w->status.version != OM_COUNTER_WIRE || w->status.size != sizeof(w->status))
		return lose(p, OM_COUNTER_LOST_VERSION);
	if (!w->status.state || w->status.state > OM_COUNTER_STOPPED ||
	    w->status.reason >= OM_COUNTER_REASON_END)
		return lose(p, OM_COUNTER_LOST_ABSURD);
	p->status = w->status;
	p->last_ns = bpf_ktime_get_boot_ns();
	return 0;
}
