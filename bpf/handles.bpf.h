/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_HANDLES_H
#define OPMETER_BPF_HANDLES_H

/*
 * What the driver's handles mean in a process: functions, streams, events, graphs.
 *
 * A handle comes into being as the result of a call, which a program at the entry
 * does not see, and a program at the return would need a return probe, which has
 * killed processes under seccomp. So the address that the call will write to is
 * kept (`pending`) and read at the thread's next call; another thread that meets
 * a handle nobody knows looks whether one of these addresses holds it by now.
 * Everything read here is the tenant's own claim about its own work.
 *
 * Frames stay below 64 bytes (work.bpf.h).
 */

#include "abi.bpf.h"
#include "count.bpf.h"

struct om_driver_work {
	struct om_work w; /* first: what reads words and counts products works on it */
	struct om_launch_key launch;
	struct om_handle_key handle_key;
	struct om_handle handle;
	struct om_segment_key segment_key;
	struct om_segment segment;
	struct om_content_key content;
	struct om_replay_key replay;
	struct om_pending_key pending_key;
	u64 stream;
	u64 name_at, name, out;
	u32 name_len, name_rc;
	u32 tid, epoch;
};

_Static_assert(sizeof(struct om_driver_work) <= OM_SCRATCH_SIZE, "fits into the storage of a thread");

static __always_inline struct om_driver_work *driver_of(struct om_thread *t)
{
	return (struct om_driver_work *)t->scratch;
}

/* --- handles --- */

static __always_inline void handle_key_set(struct om_driver_work *d, u32 kind, u64 handle)
{
	d->handle_key.start_ns = d->w.proc_key.start_ns;
	d->handle_key.tgid = d->w.proc_key.tgid;
	d->handle_key.kind = kind;
	d->handle_key.handle = handle;
}

/* What d->handle_key means; NULL if nobody knows, or knew it before the meter was off. */
static __noinline struct om_handle *handle_get(struct om_thread *t)
{
	struct om_driver_work *d;
	struct om_handle *h;

	if (!t)
		return NULL;
	d = driver_of(t);
	h = bpf_map_lookup_elem(&handles, &d->handle_key);
	return h && h->epoch == d->epoch ? h : NULL;
}

/* d->handle_key now means d->handle. */
static __noinline int handle_put(struct om_thread *t)
{
	struct om_limits *limit = limits_get();
	struct om_driver_work *d;
	struct om_handle *h;
	struct om_proc *p;

	if (!t)
		return 0;
	d = driver_of(t);
	p = bpf_map_lookup_elem(&procs, &d->w.proc_key);
	d->handle.epoch = d->epoch;
	d->handle.unloads = p ? p->unloads : 0;
	h = bpf_map_lookup_elem(&handles, &d->handle_key);
	if (h) {
		h->flags = d->handle.flags;
		h->unloads = d->handle.unloads;
		h->epoch = d->handle.epoch;
		h->value = d->handle.value;
		return 0;
	}
	if (p && limit && p->handles < limit->handles_per_process &&
	    !bpf_map_update_elem(&handles, &d->handle_key, &d->handle, BPF_ANY)) {
		__sync_fetch_and_add(&p->handles, 1);
		return 0;
	}
	om_stat_add(handle_failed);
	return -1;
}

/* --- segments --- */

static __always_inline struct om_segment *segment_get(struct om_thread *t, u32 segment)
{
	struct om_driver_work *d;

	if (!t || !segment)
		return NULL;
	d = driver_of(t);
	d->segment_key.start_ns = d->w.proc_key.start_ns;
	d->segment_key.tgid = d->w.proc_key.tgid;
	d->segment_key.segment = segment;
	return bpf_map_lookup_elem(&segments, &d->segment_key);
}

static __noinline int segment_flag(struct om_thread *t, u32 segment, u32 set, u32 clear)
{
	struct om_segment *s = segment_get(t, segment);

	if (!s)
		return -1;
	__sync_fetch_and_or(&s->flags, set);
	__sync_fetch_and_and(&s->flags, ~clear);
	return 0;
}

/* The segment that the process's stream captures into; 0: it does not capture. */
static __noinline u32 capturing_segment(struct om_thread *t, u64 stream)
{
	struct om_segment *s;
	struct om_handle *h;
	u32 segment;

	if (!t)
		return 0;
	handle_key_set(driver_of(t), OM_HANDLE_STREAM, stream);
	h = handle_get(t);
	if (!h)
		return 0;
	segment = h->value;
	s = segment_get(t, segment);
	return s && s->flags & OM_SEGMENT_CAPTURING ? segment : 0;
}

/* Adds d->content to what one run of the segment does. */
static __noinline int content_add(struct om_thread *t, u32 segment)
{
	struct om_limits *limit = limits_get();
	struct om_driver_work *d;
	struct om_proc *p;
	u64 one = 1, *count;

	if (!t)
		return 0;
	d = driver_of(t);
	d->content.start_ns = d->w.proc_key.start_ns;
	d->content.tgid = d->w.proc_key.tgid;
	d->content.segment = segment;
	d->content.pad = 0;
	count = bpf_map_lookup_elem(&contents, &d->content);
	if (count) {
		__sync_fetch_and_add(count, 1);
		return 0;
	}
	p = bpf_map_lookup_elem(&procs, &d->w.proc_key);
	if (p && limit && __sync_fetch_and_add(&p->contents, 1) < limit->contents_per_process &&
	    !bpf_map_update_elem(&contents, &d->content, &one, BPF_NOEXIST))
		return 0;
	count = bpf_map_lookup_elem(&contents, &d->content); /* another thread was faster */
	if (count) {
		__sync_fetch_and_add(count, 1);
		return 0;
	}
	om_stat_add(graph_failed);
	segment_flag(t, segment, OM_SEGMENT_UNCERTAIN, 0);
	return -1;
}

/* --- names --- */

#define NAME_CHUNK 64
#define FNV_START 14695981039346656037ULL
#define FNV_PRIME 1099511628211ULL

/* One aligned stretch, which never crosses a page: what follows the name may not be mapped. */
static __noinline int name_chunk_read(struct om_driver_work *d, u32 index)
{
	if (!d)
		return -1;
	return bpf_copy_from_user(d->w.bytes, NAME_CHUNK,
				  (void *)((d->name_at & ~(u64)(NAME_CHUNK - 1)) + (u64)index * NAME_CHUNK));
}

static long on_name_hash(u32 index, struct om_thread **thread)
{
	struct om_driver_work *d;
	u32 skip;

	if (!*thread)
		return 1;
	d = driver_of(*thread);
	skip = index ? 0 : d->name_at & (NAME_CHUNK - 1);
	if (name_chunk_read(d, index)) {
		d->name_rc = 1;
		return 1;
	}
	for (u32 i = 0; i < NAME_CHUNK; i++) {
		u8 c = ((u8 *)d->w.bytes)[i];

		if (i < skip)
			continue;
		if (!c)
			return 1;
		d->name = (d->name ^ c) * FNV_PRIME;
		d->name_len++;
	}
	return 0;
}

static long on_name_store(u32 index, struct om_thread **thread)
{
	struct om_driver_work *d;
	struct om_name *n;
	u32 skip, at;

	if (!*thread)
		return 1;
	d = driver_of(*thread);
	skip = index ? 0 : d->name_at & (NAME_CHUNK - 1);
	if (name_chunk_read(d, index))
		return 1;
	n = bpf_map_lookup_elem(&names, &d->name);
	if (!n)
		return 1;
	at = d->name_len;
	for (u32 i = 0; i < NAME_CHUNK; i++) {
		u8 c = ((u8 *)d->w.bytes)[i];

		if (i < skip)
			continue;
		if (!c || at >= OM_NAME_SIZE - 1)
			break;
		n->text[at++] = c;
	}
	d->name_len = at;
	return at >= OM_NAME_SIZE - 1;
}

static const struct om_name no_name;

/* d->name becomes the hash of the name at this address, OM_NAME_UNKNOWN if it can't
 * be had. Its text goes to `names` for user space, once. */
static __noinline int name_learn(struct om_thread *t, u64 address)
{
	struct om_limits *limit = limits_get();
	struct om_driver_work *d;
	struct om_name *n;
	struct om_proc *p;
	u32 len;

	if (!t || !limit)
		return 0;
	d = driver_of(t);
	d->name_at = address;
	d->name = FNV_START;
	d->name_len = 0;
	d->name_rc = 0;
	bpf_loop(OM_NAME_MAX / NAME_CHUNK, on_name_hash, &t, 0);
	if (d->name_rc || !d->name_len) {
		d->name = OM_NAME_UNKNOWN;
		om_stat_add(name_failed);
		return 0;
	}
	if (bpf_map_lookup_elem(&names, &d->name))
		return 0;
	p = bpf_map_lookup_elem(&procs, &d->w.proc_key);
	if (!p || p->names >= limit->names_per_process ||
	    bpf_map_update_elem(&names, &d->name, &no_name, BPF_NOEXIST)) {
		om_stat_add(name_failed);
		d->name = OM_NAME_UNKNOWN;
		return 0;
	}
	__sync_fetch_and_add(&p->names, 1);
	len = d->name_len;
	d->name_len = 0;
	bpf_loop(OM_NAME_SIZE / NAME_CHUNK + 2, on_name_store, &t, 0);
	n = bpf_map_lookup_elem(&names, &d->name);
	if (n) {
		n->is_cut = len > d->name_len;
		n->len = d->name_len;
	}
	return 0;
}

/* --- pending results --- */

static __always_inline void pending_key_set(struct om_driver_work *d, u32 slot)
{
	d->pending_key.start_ns = d->w.proc_key.start_ns;
	d->pending_key.tgid = d->w.proc_key.tgid;
	d->pending_key.slot = slot % OM_PENDING_SLOTS;
}

/* The call has written its result: `handle` means what it was waited for. Where it
 * wrote what stood there before, it has failed, or a handle has come back: then
 * nothing is known of it, as its end took that away. */
static __noinline int pending_bind(struct om_thread *t, u64 handle)
{
	struct om_driver_work *d;
	struct om_handle *h;
	bool is_new;

	if (!t)
		return 0;
	d = driver_of(t);
	handle_key_set(d, t->pending.handle_kind, handle);
	h = handle_get(t);
	is_new = handle && (handle != t->pending.before || !h ||
			    (t->pending.handle_kind == OM_HANDLE_GRAPH && h->value == t->pending.value));
	if (h && handle && t->pending.handle_kind == OM_HANDLE_FUNCTION && !is_new) {
		struct om_proc *p = bpf_map_lookup_elem(&procs, &d->w.proc_key);

		is_new = p && p->unloads != h->unloads; /* of a module that may be gone */
	}
	if (!is_new) {
		if (t->pending.kind == OM_PENDING_CAPTURE)
			segment_flag(t, t->pending.value, OM_SEGMENT_FAILED, 0);
		return 0;
	}
	d->handle.value = t->pending.value;
	d->handle.flags = t->pending.flags;
	handle_put(t);
	return 0;
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

/* The thread's last call has returned. */
static __noinline int pending_resolve(struct om_thread *t)
{
	struct om_driver_work *d;

	if (!t)
		return 0;
	d = driver_of(t);
	d->out = 0;
	if (bpf_copy_from_user(&d->out, sizeof(d->out), (void *)t->pending.out)) {
		om_stat_add(pending_failed);
	} else if (t->pending.kind == OM_PENDING_UPDATE) {
		if (!(u32)d->out)
			pending_update(t);
	} else if (t->pending.kind == OM_PENDING_NAME) {
		if (d->out)
			name_learn(t, d->out);
		t->pending.before = 0;
		t->pending.handle_kind = OM_HANDLE_FUNCTION;
		d->out = d->out && d->name != OM_NAME_UNKNOWN ? t->pending.value : 0;
		t->pending.value = d->name;
		pending_bind(t, d->out);
	} else {
		pending_bind(t, d->out);
	}
	t->pending.kind = OM_PENDING_NONE;
	pending_key_set(d, d->tid);
	bpf_map_delete_elem(&pendings, &d->pending_key);
	return 0;
}

/* Does slot `index` of the process's pending results hold d->handle_key by now? */
static long on_peek(u32 index, struct om_thread **thread)
{
	struct om_driver_work *d;
	struct om_pending *p;

	if (!*thread)
		return 1;
	d = driver_of(*thread);
	pending_key_set(d, index);
	p = bpf_map_lookup_elem(&pendings, &d->pending_key);
	if (!p || p->handle_kind != d->handle_key.kind ||
	    (p->kind != OM_PENDING_HANDLE && p->kind != OM_PENDING_CAPTURE))
		return 0;
	d->handle.value = p->value;
	d->handle.flags = p->flags;
	if (bpf_copy_from_user(&d->out, sizeof(d->out), (void *)p->out) || d->out != d->handle_key.handle)
		return 0;
	handle_put(*thread);
	return 1;
}

/* What d->handle_key means, also if another thread's call has only just made it. */
static __always_inline struct om_handle *handle_find(struct om_thread *t)
{
	struct om_handle *h = handle_get(t);

	if (h || !t)
		return h;
	bpf_loop(OM_PENDING_SLOTS, on_peek, &t, 0);
	return handle_get(t);
}

#endif
