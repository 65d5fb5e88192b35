// SPDX-License-Identifier: GPL-2.0-only
/*
 * What makes up a CUDA graph: captures, nodes added by hand, copies, and what an
 * executable graph was made of. One program for all of these entries: they are
 * rare beside launches.
 *
 * Where a call that fails could hide work, its failure is looked at: a capture that
 * cannot have begun (a bad mode, a stream that cannot capture) is none; one that
 * ended without a graph is `failed`, and user space counts what it holds; what
 * was captured and never launched goes into the upper bound.
 */

#include "driver.bpf.h"
#include "learn.bpf.h"

char LICENSE_GRAPH[] SEC("license") = "GPL";

#define CAPTURE_MODES 3 /* CUstreamCaptureMode: global, thread local, relaxed */
#define WAIT_FLAGS 1	/* CUevent_wait_flags: default, external */
#define DEVICE_LAUNCH 4 /* CUgraphInstantiate_flags */
#define NODE_KERNEL 0	/* CUgraphNodeType */
#define NODE_GRAPH 4
#define NODE_CONDITIONAL 13
#define NODE_PARAMS_AT 16 /* CUgraphNodeParams: the union behind type and reserved words */
#define KERNEL_PARAMS 56  /* CUDA_KERNEL_NODE_PARAMS_v1; the later forms have the kernel behind it */
#define KERNEL_PARAMS_V2 64

static __noinline int handle_drop(struct om_thread *t)
{
	struct om_proc *p;

	if (!t || bpf_map_delete_elem(&handles, &driver_of(t)->handle_key))
		return 0;
	p = bpf_map_lookup_elem(&procs, &work_of(t)->proc_key);
	if (p)
		__sync_fetch_and_add(&p->handles, -1);
	return 0;
}

/* A new segment of the process; 0: no room, which makes whatever is in it unknown. */
static __noinline u32 segment_new(struct om_thread *t, u32 parent, u32 flags)
{
	struct om_driver_work *d;
	struct om_proc *p;

	if (!t)
		return 0;
	d = driver_of(t);
	p = bpf_map_lookup_elem(&procs, &d->w.proc_key);
	if (!p)
		return 0;
	d->segment_key.start_ns = d->w.proc_key.start_ns;
	d->segment_key.tgid = d->w.proc_key.tgid;
	d->segment_key.segment = __sync_fetch_and_add(&p->segments, 1) + 1;
	d->segment.begun_ns = bpf_ktime_get_boot_ns();
	d->segment.cgroup_id = d->w.key.cgroup_id;
	d->segment.parent = parent;
	d->segment.flags = flags;
	if (!bpf_map_update_elem(&segments, &d->segment_key, &d->segment, BPF_NOEXIST))
		return d->segment_key.segment;
	om_stat_add(graph_failed);
	return 0;
}

static __noinline int captures_add(struct om_thread *t, long n)
{
	struct om_activity *a;
	struct om_proc *p;
	u32 zero = 0;

	if (!t)
		return -1;
	p = bpf_map_lookup_elem(&procs, &work_of(t)->proc_key);
	a = bpf_map_lookup_elem(&activity, &zero);
	if (!p || !a)
		return -1;
	__sync_fetch_and_add(&p->captures, n);
	__sync_fetch_and_add(&a->captures, n);
	return 0;
}

/* --- capture --- */

static __noinline int capture_begin(struct om_thread *t, u32 parent)
{
	struct om_driver_work *d;
	u32 segment;

	if (!t)
		return 0;
	d = driver_of(t);
	segment = segment_new(t, parent, OM_SEGMENT_CAPTURING | OM_SEGMENT_CAPTURED);
	if (!segment)
		return 0; /* its products count when they are captured, and its graph is unknown */
	handle_key_set(d, OM_HANDLE_STREAM, d->stream);
	d->handle.value = segment;
	d->handle.flags = 0;
	if (handle_put(t))
		return 0;
	captures_add(t, 1);
	return segment;
}

static __noinline int on_capture(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	if (site->arg[1] != OM_SLOT_NONE && (u32)ARG(d, site, 1) >= CAPTURE_MODES)
		return 0;
	d->stream = stream_name(t, ARG(d, site, 0), site->flags);
	if (d->stream == 1 || capturing_segment(t, d->stream))
		return 0; /* the legacy stream cannot; a second begin fails */
	capture_begin(t, 0);
	return 0;
}

/* The segment of a graph as it stands, sealed: what is added later goes elsewhere. */
static __noinline u32 graph_seal(struct om_thread *t, u64 graph)
{
	struct om_handle *h;
	u32 segment;

	if (!t)
		return 0;
	handle_key_set(driver_of(t), OM_HANDLE_GRAPH, graph);
	h = handle_get(t);
	if (!h)
		return 0;
	segment = h->value;
	segment_flag(t, segment, OM_SEGMENT_SEALED, 0);
	return segment;
}

static __noinline int on_capture_to_graph(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	struct om_handle *h;
	u32 segment;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	d->stream = stream_name(t, ARG(d, site, 0), site->flags);
	if ((u32)ARG(d, site, 2) >= CAPTURE_MODES || d->stream == 1 || capturing_segment(t, d->stream))
		return 0;
	segment = capture_begin(t, graph_seal(t, ARG(d, site, 1)));
	if (!segment)
		return 0;
	handle_key_set(d, OM_HANDLE_GRAPH, ARG(d, site, 1));
	d->handle.value = segment;
	d->handle.flags = 0;
	handle_put(t);
	h = handle_get(t);
	return h ? 0 : segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
}

static __noinline int on_capture_end(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	u32 segment;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	d->stream = stream_name(t, ARG(d, site, 0), site->flags);
	segment = capturing_segment(t, d->stream);
	if (!segment)
		return 0;
	handle_drop(t); /* handle_key is the stream's */
	segment_flag(t, segment, 0, OM_SEGMENT_CAPTURING);
	captures_add(t, -1);
	t->pending.out = ARG(d, site, 1);
	t->pending.kind = OM_PENDING_CAPTURE;
	t->pending.handle_kind = OM_HANDLE_GRAPH;
	t->pending.value = segment;
	t->pending.flags = 0;
	return 0;
}

/* An event recorded in a stream that captures carries the capture to whoever waits for it. */
static __noinline int on_event_record(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	struct om_activity *a;
	u32 zero = 0, segment;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	a = bpf_map_lookup_elem(&activity, &zero);
	if (!a || !a->captures)
		return 0;
	d->stream = stream_name(t, ARG(d, site, 1), site->flags);
	segment = capturing_segment(t, d->stream);
	handle_key_set(d, OM_HANDLE_EVENT, ARG(d, site, 0));
	if (!segment)
		return handle_drop(t);
	d->handle.value = segment;
	d->handle.flags = 0;
	return handle_put(t);
}

static __noinline int on_event_wait(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	struct om_segment *s;
	struct om_activity *a;
	struct om_handle *h;
	u32 zero = 0;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	a = bpf_map_lookup_elem(&activity, &zero);
	if (!a || !a->captures || (u32)ARG(d, site, 2) > WAIT_FLAGS)
		return 0;
	handle_key_set(d, OM_HANDLE_EVENT, ARG(d, site, 1));
	h = handle_get(t);
	if (!h)
		return 0;
	d->handle.value = h->value;
	d->handle.flags = 0;
	s = segment_get(t, d->handle.value);
	d->stream = stream_name(t, ARG(d, site, 0), site->flags);
	if (!s || !(s->flags & OM_SEGMENT_CAPTURING) || d->stream == 1)
		return 0;
	handle_key_set(d, OM_HANDLE_STREAM, d->stream);
	return handle_put(t);
}

/* --- functions --- */

static __noinline int on_function(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	struct om_handle *h;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	t->pending.out = ARG(d, site, 0);
	t->pending.handle_kind = OM_HANDLE_FUNCTION;
	t->pending.flags = 0;
	if (site->op == OM_OP_NAME_OF) {
		t->pending.value = ARG(d, site, 1);
		t->pending.kind = OM_PENDING_NAME;
		return 0;
	}
	if (site->op == OM_OP_FUNCTION) {
		name_learn(t, ARG(d, site, 1));
		t->pending.value = d->name;
	} else {
		handle_key_set(d, OM_HANDLE_FUNCTION, ARG(d, site, 1));
		h = handle_get(t);
		t->pending.value = h ? h->value : OM_NAME_UNKNOWN;
	}
	t->pending.kind = OM_PENDING_HANDLE;
	return 0;
}

static __noinline int on_unload(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_proc *p;

	if (!t)
		return 0;
	p = bpf_map_lookup_elem(&procs, &work_of(t)->proc_key);
	if (p)
		__sync_fetch_and_add(&p->unloads, 1);
	return 0;
}

/* --- graphs --- */

/* The segment of a graph that something is being added to: a new one if it is sealed. */
static __noinline u32 graph_open(struct om_thread *t, u64 graph)
{
	struct om_driver_work *d;
	struct om_segment *s;
	struct om_handle *h;
	u32 segment;

	if (!t)
		return 0;
	d = driver_of(t);
	handle_key_set(d, OM_HANDLE_GRAPH, graph);
	h = handle_get(t);
	if (!h)
		return 0;
	segment = h->value;
	s = segment_get(t, segment);
	if (!s || !(s->flags & OM_SEGMENT_SEALED))
		return segment;
	segment = segment_new(t, segment, 0);
	handle_key_set(d, OM_HANDLE_GRAPH, graph);
	h = handle_get(t);
	if (h)
		h->value = segment;
	return segment;
}

static __noinline int on_graph_create(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	t->pending.kind = OM_PENDING_HANDLE;
	t->pending.out = ARG(d, site, 0);
	t->pending.flags = 0;
	t->pending.handle_kind = OM_HANDLE_GRAPH;
	if (site->op == OM_OP_GRAPH_CREATE)
		t->pending.value = segment_new(t, 0, 0);
	else
		t->pending.value = graph_seal(t, ARG(d, site, 1));
	if (!t->pending.value)
		t->pending.kind = OM_PENDING_NONE;
	return 0;
}

static __noinline int on_instantiate(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	t->pending.value = graph_seal(t, ARG(d, site, 1));
	if (!t->pending.value)
		return 0;
	d->out = site->arg[2] == OM_SLOT_NONE ? 0 : ARG(d, site, 2);
	if (site->flags & OM_DRIVER_V2 && bpf_copy_from_user(&d->out, sizeof(d->out), (void *)d->out))
		d->out = DEVICE_LAUNCH;
	t->pending.kind = OM_PENDING_HANDLE;
	t->pending.handle_kind = OM_HANDLE_EXEC;
	t->pending.flags = d->out & DEVICE_LAUNCH ? OM_SEGMENT_DEVICE : 0;
	t->pending.out = ARG(d, site, 0);
	return 0;
}

static __noinline int on_exec_update(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	t->pending.extra = graph_seal(t, ARG(d, site, 1));
	t->pending.value = ARG(d, site, 0);
	t->pending.kind = OM_PENDING_UPDATE;
	t->pending.handle_kind = 0;
	t->pending.out = ARG(d, site, 2);
	if (t->pending.extra)
		return 0;
	/* by a graph that we do not know: neither do we know this one any more */
	t->pending.kind = OM_PENDING_NONE;
	handle_key_set(d, OM_HANDLE_EXEC, ARG(d, site, 0));
	return handle_drop(t);
}

static __noinline int handle_flag(struct om_thread *t, u32 kind, u64 handle)
{
	struct om_handle *h;

	if (!t)
		return 0;
	handle_key_set(driver_of(t), kind, handle);
	h = handle_get(t);
	if (h)
		h->flags |= OM_SEGMENT_UNCERTAIN;
	return 0;
}

/* A kernel node: d->w.bytes holds its parameters. */
static __noinline int node_kernel(struct om_thread *t, u32 segment, u32 is_v2)
{
	struct om_driver_work *d;
	struct om_handle *h;

	if (!t)
		return 0;
	d = driver_of(t);
	handle_key_set(d, OM_HANDLE_FUNCTION, d->w.bytes[0] || !is_v2 ? d->w.bytes[0] : d->w.bytes[7]);
	d->content.a[1] = d->w.bytes[1];
	d->content.a[2] = d->w.bytes[2];
	d->content.a[3] = d->w.bytes[3];
	d->content.types = d->w.bytes[4];
	d->content.flags = 0;
	d->content.kind = OM_CONTENT_LAUNCH;
	h = handle_get(t);
	d->content.a[0] = h ? h->value : OM_NAME_UNKNOWN;
	return content_add(t, segment);
}

static __noinline int node_graph(struct om_thread *t, u32 segment, u64 child)
{
	struct om_driver_work *d;

	if (!t)
		return 0;
	d = driver_of(t);
	d->content.a[0] = graph_seal(t, child);
	if (!d->content.a[0])
		return segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	d->content.kind = OM_CONTENT_SEGMENT;
	d->content.a[1] = 0;
	d->content.a[2] = 0;
	d->content.a[3] = 0;
	d->content.types = 0;
	d->content.flags = 0;
	return content_add(t, segment);
}

/* A node of any type: where its parameters are and what it is. */
static __noinline int node_any(struct om_thread *t, u32 segment, u64 params)
{
	struct om_driver_work *d;
	u32 type;

	if (!t)
		return 0;
	d = driver_of(t);
	if (bpf_copy_from_user(&d->out, sizeof(d->out), (void *)params))
		return segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	type = d->out;
	if (type == NODE_CONDITIONAL)
		return segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	if (type != NODE_KERNEL && type != NODE_GRAPH)
		return 0;
	if (bpf_copy_from_user(d->w.bytes, KERNEL_PARAMS_V2, (void *)(params + NODE_PARAMS_AT)))
		return segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	return type == NODE_KERNEL ? node_kernel(t, segment, 1) : node_graph(t, segment, d->w.bytes[0]);
}

static __noinline int on_node(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	u32 segment, is_v2;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	segment = graph_open(t, ARG(d, site, 0));
	if (!segment)
		return 0;
	if (site->op == OM_OP_GRAPH_UNCERTAIN)
		return segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	if (site->op == OM_OP_GRAPH_CHILD)
		return node_graph(t, segment, ARG(d, site, 1));
	if (site->op == OM_OP_GRAPH_NODE)
		return node_any(t, segment, ARG(d, site, 1));
	is_v2 = site->flags & OM_DRIVER_V2;
	if (bpf_copy_from_user(d->w.bytes, is_v2 ? KERNEL_PARAMS_V2 : KERNEL_PARAMS, (void *)ARG(d, site, 1)))
		return segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	return node_kernel(t, segment, is_v2);
}

static __noinline int on_destroy(struct om_thread *t, const struct om_driver_site *site)
{
	struct om_driver_work *d;
	u32 kind;

	if (!t || !site)
		return 0;
	d = driver_of(t);
	kind = site->op == OM_OP_EVENT_DESTROY	  ? OM_HANDLE_EVENT
	       : site->op == OM_OP_STREAM_DESTROY ? OM_HANDLE_STREAM
	       : site->op == OM_OP_GRAPH_DESTROY  ? OM_HANDLE_GRAPH
						  : OM_HANDLE_EXEC;
	/* An unfinished capture of it cannot go on. */
	if (kind == OM_HANDLE_STREAM) {
		u32 segment = capturing_segment(t, ARG(d, site, 0));

		if (segment) {
			segment_flag(t, segment, OM_SEGMENT_FAILED, OM_SEGMENT_CAPTURING);
			captures_add(t, -1);
		}
	}
	handle_key_set(d, kind, ARG(d, site, 0));
	return handle_drop(t);
}

static __noinline int on_amend(struct om_thread *t)
{
	struct om_proc *p;

	if (!t)
		return 0;
	p = bpf_map_lookup_elem(&procs, &work_of(t)->proc_key);
	if (p)
		__sync_fetch_and_add(&p->amended, 1);
	return 0;
}

SEC("uprobe.s")
int on_driver(struct pt_regs *ctx)
{
	const struct om_driver_site *site;
	struct om_thread *t = NULL;

	site = driver_begin(ctx, &t);
	/* The process's entry is made here: what follows charges to it. */
	if (!site || !t || !proc_get(&work_of(t)->proc_key))
		return 0;
	switch (site->op) {
	case OM_OP_FUNCTION:
	case OM_OP_FUNCTION_OF:
	case OM_OP_NAME_OF:
		return on_function(t, site);
	case OM_OP_UNLOAD:
		return on_unload(t, site);
	case OM_OP_CAPTURE:
		return on_capture(t, site);
	case OM_OP_CAPTURE_TO_GRAPH:
		return on_capture_to_graph(t, site);
	case OM_OP_CAPTURE_END:
		return on_capture_end(t, site);
	case OM_OP_EVENT_RECORD:
		return on_event_record(t, site);
	case OM_OP_EVENT_WAIT:
		return on_event_wait(t, site);
	case OM_OP_GRAPH_CREATE:
	case OM_OP_GRAPH_CLONE:
		return on_graph_create(t, site);
	case OM_OP_GRAPH_KERNEL:
	case OM_OP_GRAPH_CHILD:
	case OM_OP_GRAPH_NODE:
	case OM_OP_GRAPH_UNCERTAIN:
		return on_node(t, site);
	case OM_OP_NODE_AMEND:
		return on_amend(t);
	case OM_OP_INSTANTIATE:
		return on_instantiate(t, site);
	case OM_OP_EXEC_UPDATE:
		return on_exec_update(t, site);
	case OM_OP_EXEC_AMEND:
		return handle_flag(t, OM_HANDLE_EXEC, ARG(driver_of(t), site, 0));
	default:
		return on_destroy(t, site);
	}
}

/* --- results --- */

/* A handle that a call has just written. */
static __noinline int pending_bind(struct om_thread *t, u64 handle)
{
	struct om_driver_work *d;

	if (!t || !handle)
		return 0;
	d = driver_of(t);
	handle_key_set(d, t->pending.handle_kind, handle);
	d->handle.value = t->pending.value;
	d->handle.flags = t->pending.flags;
	return handle_put(t);
}

static __noinline int pending_update(struct om_thread *t)
{
	struct om_handle *h;

	if (!t)
		return 0;
	handle_key_set(driver_of(t), OM_HANDLE_EXEC, t->pending.value);
	h = handle_get(t);
	if (h) {
		h->value = t->pending.extra;
		h->flags = 0;
	}
	return 0;
}

static __noinline int pending_apply(struct om_thread *t)
{
	struct om_driver_work *d;

	if (!t)
		return 0;
	d = driver_of(t);
	if (t->pending.kind == OM_PENDING_UPDATE)
		return pending_update(t);
	if (bpf_copy_from_user(&d->out, sizeof(d->out), (void *)t->pending.out)) {
		om_stat_add(pending_failed);
		return 0;
	}
	if (t->pending.kind != OM_PENDING_NAME)
		return pending_bind(t, d->out);
	name_learn(t, d->out);
	d->out = t->pending.value;
	t->pending.value = d->name;
	t->pending.handle_kind = OM_HANDLE_FUNCTION;
	return d->name == OM_NAME_UNKNOWN ? 0 : pending_bind(t, d->out);
}

SEC("uprobe.s")
int on_driver_return(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct om_control *c = control_get();
	struct om_thread *t;

	t = bpf_task_storage_get(&threads, task, NULL, 0);
	if (!t || !c || !t->pending.kind)
		return 0;
	work_begin(work_of(t), task, 0);
	driver_of(t)->tid = task->pid;
	driver_of(t)->epoch = c->epoch;
	if (!(u32)OM_RESULT(ctx))
		pending_apply(t);
	else if (t->pending.kind == OM_PENDING_CAPTURE)
		segment_flag(t, t->pending.value, OM_SEGMENT_FAILED, 0);
	t->pending.kind = OM_PENDING_NONE;
	return 0;
}
