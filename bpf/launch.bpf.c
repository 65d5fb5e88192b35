// SPDX-License-Identifier: GPL-2.0-only
/*
 * The launch meter: which kernels a process launches, and how often it launches
 * its CUDA graphs. What makes up a graph is in graph.bpf.c.
 *
 * A launch is counted under the name of its function and its geometry. One made by
 * a product library (its return address lies in that library's text) belongs to
 * the product that was counted on this thread; it is counted apart, and tells on
 * which stream the product runs. A launch into a stream that captures has not
 * happened yet: it goes into the contents of the graph's segment, and so does the
 * product that waited for it.
 */

#include "driver.bpf.h"

char LICENSE_LAUNCH[] SEC("license") = "GPL";

/* --- products --- */

static __noinline bool is_in_product(struct om_thread *t)
{
	struct om_proc_key key;
	struct om_driver_work *d;
	struct om_ranges *r;
	u64 at;

	if (!t)
		return false;
	d = driver_of(t);
	at = OM_RETURN_ADDRESS(&d->w);
	if (at >= t->cublas_start && at < t->cublas_end)
		return true;
	key.start_ns = d->w.proc_key.start_ns / OM_RANGE_TICK_NS;
	key.tgid = d->w.proc_key.tgid;
	key.pad = 0;
	r = bpf_map_lookup_elem(&ranges, &key);
	if (!r)
		return false;
	for (int i = 0; i < OM_RANGES_MAX; i++)
		if (at >= r->at[i].start && at < r->at[i].end)
			return true;
	return false;
}

/* The product that waited for its stream: it runs now, or whenever the graph does. */
static __always_inline int product_settle(struct om_thread *t, u32 segment)
{
	struct om_driver_work *d;

	if (!t)
		return 0;
	d = driver_of(t);
	if (t->is_deferred != OM_DEFERRED_WAITING) {
		/* a grouped product, or one that came before we did: what it adds to the graph is not known
		 */
		if (segment && t->is_deferred != OM_DEFERRED_SETTLED)
			segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
		return 0;
	}
	t->is_deferred = OM_DEFERRED_SETTLED;
	if (!segment) {
		d->w.key = t->deferred;
		return count(t);
	}
	d->content.kind = OM_CONTENT_PRODUCT;
	d->content.a[0] = t->deferred.m;
	d->content.a[1] = t->deferred.n;
	d->content.a[2] = t->deferred.k;
	d->content.a[3] = t->deferred.batch;
	d->content.types = t->deferred.types;
	d->content.flags = t->deferred.flags;
	return content_add(t, segment);
}

/* --- counting a launch --- */

static __always_inline int launch_lose(struct om_thread *t)
{
	om_stat_add(launch_failed);
	return lose(t, OM_TYPES_UNKNOWN, OM_LOST_REFUSED);
}

/* A signature that the process has not launched before. Past its quota by name only,
 * past a sixteenth more without a name: one entry that is always found again. */
static __noinline int launch_new(struct om_thread *t)
{
	struct om_limits *limit = limits_get();
	struct om_driver_work *d;
	u64 one = 1, *n;
	struct om_proc *p;

	if (!t || !limit)
		return 0;
	d = driver_of(t);
	p = proc_get(&d->w.proc_key);
	if (!p)
		return launch_lose(t);
	if (p->launches >= limit->launches_per_process) {
		om_stat_add(launch_quota);
		for (int i = 0; i < 3; i++) {
			d->launch.grid[i] = 0;
			d->launch.block[i] = 0;
		}
		d->launch.shared = 0;
		d->launch.flags |= OM_LAUNCH_NO_SHAPE;
		if (p->launches >= limit->launches_per_process + limit->launches_per_process / 16)
			d->launch.name = OM_NAME_UNKNOWN;
		n = bpf_map_lookup_elem(&launches, &d->launch);
		if (n) {
			__sync_fetch_and_add(n, 1);
			return 0;
		}
	}
	if (!bpf_map_update_elem(&launches, &d->launch, &one, BPF_NOEXIST)) {
		__sync_fetch_and_add(&p->launches, 1);
		return 0;
	}
	n = bpf_map_lookup_elem(&launches, &d->launch);
	if (!n)
		return launch_lose(t);
	__sync_fetch_and_add(n, 1);
	return 0;
}

static __noinline int launch_count(struct om_thread *t)
{
	struct om_driver_work *d;
	u64 *n;

	if (!t)
		return 0;
	d = driver_of(t);
	d->launch.start_ns = d->w.proc_key.start_ns;
	d->launch.tgid = d->w.proc_key.tgid;
	d->launch.cgroup_id = d->w.key.cgroup_id;
	d->launch.pad = 0;
	n = bpf_map_lookup_elem(&launches, &d->launch);
	if (!n)
		return launch_new(t);
	__sync_fetch_and_add(n, 1);
	return 0;
}

static __noinline int launch_capture(struct om_thread *t, u32 segment)
{
	struct om_driver_work *d;

	if (!t)
		return 0;
	d = driver_of(t);
	d->content.kind = OM_CONTENT_LAUNCH;
	d->content.a[0] = d->launch.name;
	d->content.a[1] = d->launch.grid[0] | (u64)d->launch.grid[1] << 32;
	d->content.a[2] = d->launch.grid[2] | (u64)d->launch.block[0] << 32;
	d->content.a[3] = d->launch.block[1] | (u64)d->launch.block[2] << 32;
	d->content.types = d->launch.shared;
	d->content.flags = d->launch.flags;
	return content_add(t, segment);
}

/* d->launch.name: of the function or kernel with this handle. A name learned before
 * the process unloaded something is believed unless a newer one is found. */
static __noinline int launch_name(struct om_thread *t, u64 function)
{
	struct om_driver_work *d;
	struct om_handle *h;

	if (!t)
		return 0;
	d = driver_of(t);
	handle_key_set(d, OM_HANDLE_FUNCTION, function);
	h = handle_get(t);
	d->launch.name = h ? h->value : OM_NAME_UNKNOWN;
	return 0;
}

/* d->launch has geometry and flags, d->stream the stream. */
static __always_inline int launch_finish(struct om_thread *t, u64 function)
{
	struct om_driver_work *d;
	struct om_activity *a;
	u32 zero = 0, segment = 0;

	if (!t)
		return 0;
	d = driver_of(t);
	launch_name(t, function);
	a = bpf_map_lookup_elem(&activity, &zero);
	if (a && a->captures)
		segment = capturing_segment(t, d->stream);
	if (is_in_product(t)) {
		d->launch.flags |= OM_LAUNCH_IN_PRODUCT;
		if (t->is_deferred || segment)
			product_settle(t, segment);
	}
	return segment ? launch_capture(t, segment) : launch_count(t);
}

static __always_inline void launch_geometry(struct om_driver_work *d, u64 grid_xy, u64 grid_z_block_x,
					    u64 block_yz)
{
	d->launch.grid[0] = grid_xy;
	d->launch.grid[1] = grid_xy >> 32;
	d->launch.grid[2] = grid_z_block_x;
	d->launch.block[0] = grid_z_block_x >> 32;
	d->launch.block[1] = block_yz;
	d->launch.block[2] = block_yz >> 32;
}

SEC("uprobe.s")
int on_launch(struct pt_regs *ctx)
{
	const struct om_driver_site *site;
	struct om_driver_work *d;
	struct om_thread *t = NULL;

	site = driver_begin(ctx, &t);
	if (!site || !t)
		return 0;
	d = driver_of(t);
	for (int i = 0; i < 3; i++) {
		d->launch.grid[i] = ARG(d, site, 1 + i);
		d->launch.block[i] = ARG(d, site, 4 + i);
	}
	d->launch.shared = ARG(d, site, 7);
	d->launch.flags = 0;
	d->stream = stream_name(t, ARG(d, site, 8), site->flags);
	return launch_finish(t, ARG(d, site, 0));
}

/* CUlaunchConfig of cuda.h: grid, block, shared memory, stream at byte 32 */
#define CONFIG_SIZE 40
SEC("uprobe.s")
int on_launch_ex(struct pt_regs *ctx)
{
	const struct om_driver_site *site;
	struct om_driver_work *d;
	struct om_thread *t = NULL;

	site = driver_begin(ctx, &t);
	if (!site || !t)
		return 0;
	d = driver_of(t);
	d->launch.flags = 0;
	if (bpf_copy_from_user(d->w.bytes, CONFIG_SIZE, (void *)ARG(d, site, 0))) {
		for (int i = 0; i < 5; i++)
			d->w.bytes[i] = 0;
		d->launch.flags = OM_LAUNCH_FAILED_READ;
		om_stat_add(launch_unread);
	}
	launch_geometry(d, d->w.bytes[0], d->w.bytes[1], d->w.bytes[2]);
	d->launch.shared = d->w.bytes[3];
	d->stream = stream_name(t, d->w.bytes[4], site->flags);
	return launch_finish(t, ARG(d, site, 1));
}

/* CUDA_LAUNCH_PARAMS of cuda.h: function, grid, block, shared memory, stream at byte 40 */
#define LAUNCH_PARAMS_SIZE 56
#define LAUNCH_PARAMS_READ 48
#define DEVICES_MAX 64

static long on_device_launch(u32 index, struct om_thread **thread)
{
	struct om_driver_work *d;

	if (!*thread)
		return 1;
	d = driver_of(*thread);
	d->launch.flags = 0;
	if (bpf_copy_from_user(d->w.bytes, LAUNCH_PARAMS_READ,
			       (void *)(d->out + (u64)index * LAUNCH_PARAMS_SIZE))) {
		for (int i = 0; i < LAUNCH_PARAMS_READ / 8; i++)
			d->w.bytes[i] = 0;
		d->launch.flags = OM_LAUNCH_FAILED_READ;
		om_stat_add(launch_unread);
	}
	launch_geometry(d, d->w.bytes[1], d->w.bytes[2], d->w.bytes[3]);
	d->launch.shared = d->w.bytes[4];
	d->stream = stream_name(*thread, d->w.bytes[5], 0);
	launch_finish(*thread, d->w.bytes[0]);
	return 0;
}

SEC("uprobe.s")
int on_launch_many(struct pt_regs *ctx)
{
	const struct om_driver_site *site;
	struct om_driver_work *d;
	struct om_thread *t = NULL;
	u32 devices;

	site = driver_begin(ctx, &t);
	if (!site || !t)
		return 0;
	d = driver_of(t);
	d->out = ARG(d, site, 0);
	devices = ARG(d, site, 1);
	if (devices > DEVICES_MAX)
		return lose(t, OM_TYPES_UNKNOWN, OM_LOST_ABSURD);
	bpf_loop(devices, on_device_launch, &t, 0);
	return 0;
}

SEC("uprobe.s")
int on_launch_grid(struct pt_regs *ctx)
{
	const struct om_driver_site *site;
	struct om_driver_work *d;
	struct om_thread *t = NULL;

	site = driver_begin(ctx, &t);
	if (!site || !t)
		return 0;
	d = driver_of(t);
	for (int i = 0; i < 3; i++) {
		d->launch.grid[i] = 1;
		d->launch.block[i] = 0;
	}
	if (site->arg[1] != OM_SLOT_NONE) {
		d->launch.grid[0] = ARG(d, site, 1);
		d->launch.grid[1] = ARG(d, site, 2);
	}
	d->launch.shared = 0;
	d->launch.flags = OM_LAUNCH_NO_BLOCK;
	d->stream = stream_name(t, ARG(d, site, 3), site->flags);
	return launch_finish(t, ARG(d, site, 0));
}

/* --- graphs --- */

static __always_inline int replay_unknown(struct om_thread *t)
{
	struct om_driver_work *d;

	if (!t)
		return 0;
	d = driver_of(t);
	om_stat_add(graph_unknown);
	launch_geometry(d, 0, 0, 0);
	d->launch.name = OM_NAME_UNKNOWN;
	d->launch.shared = 0;
	d->launch.flags = OM_LAUNCH_UNKNOWN_GRAPH;
	return launch_count(t);
}

static __noinline int replay_count(struct om_thread *t, u32 segment, u32 flags)
{
	struct om_driver_work *d;
	struct om_proc *p;
	u64 one = 1, *n;

	if (!t)
		return 0;
	d = driver_of(t);
	p = bpf_map_lookup_elem(&procs, &d->w.proc_key);
	d->replay.start_ns = d->w.proc_key.start_ns;
	d->replay.tgid = d->w.proc_key.tgid;
	d->replay.cgroup_id = d->w.key.cgroup_id;
	d->replay.segment = segment;
	d->replay.flags = flags | (p && p->amended ? OM_SEGMENT_UNCERTAIN : 0);
	d->replay.pad = 0;
	n = bpf_map_lookup_elem(&replays, &d->replay);
	if (!n && !bpf_map_update_elem(&replays, &d->replay, &one, BPF_NOEXIST))
		return 0;
	n = bpf_map_lookup_elem(&replays, &d->replay);
	if (!n)
		return -1;
	__sync_fetch_and_add(n, 1);
	return 0;
}

SEC("uprobe.s")
int on_graph_launch(struct pt_regs *ctx)
{
	const struct om_driver_site *site;
	struct om_driver_work *d;
	struct om_activity *a;
	struct om_thread *t = NULL;
	struct om_handle *h;
	u32 zero = 0, into = 0;

	site = driver_begin(ctx, &t);
	if (!site || !t)
		return 0;
	d = driver_of(t);
	d->stream = stream_name(t, ARG(d, site, 1), site->flags);
	a = bpf_map_lookup_elem(&activity, &zero);
	if (a && a->captures)
		into = capturing_segment(t, d->stream);
	handle_key_set(d, OM_HANDLE_EXEC, ARG(d, site, 0));
	h = handle_get(t);
	if (!h) {
		if (into)
			segment_flag(t, into, OM_SEGMENT_UNCERTAIN, 0);
		return into ? 0 : replay_unknown(t);
	}
	if (!into)
		return replay_count(t, h->value, h->flags) ? replay_unknown(t) : 0;
	d->content.kind = OM_CONTENT_SEGMENT;
	d->content.a[0] = h->value;
	d->content.a[1] = 0;
	d->content.a[2] = 0;
	d->content.a[3] = 0;
	d->content.types = 0;
	d->content.flags = h->flags;
	return content_add(t, into);
}
