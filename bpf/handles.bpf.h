/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_HANDLES_H
#define OPMETER_BPF_HANDLES_H

/*
 * What the driver's handles mean in a process: functions, streams, events, graphs.
 *
 * A handle comes into being as the result of a call. What it will mean is known at
 * the entry and kept (`pending`); a return probe applies it if the call has
 * succeeded. Without return probes (has_return_probes) handles stay unknown, and
 * what is launched through them is counted without a name. Everything read here
 * is the tenant's own claim about its own work.
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
	d->content.thread = d->content.kind == OM_CONTENT_PRODUCT ? t->deferred.thread : 0;
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

#endif
