/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_LEARN_H
#define OPMETER_BPF_LEARN_H

/* Learning what a handle means, and the names of kernels. */

#include "handles.bpf.h"

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

#endif
