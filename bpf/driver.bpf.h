/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_DRIVER_H
#define OPMETER_BPF_DRIVER_H

/* How every program on an entry of the driver's library begins. */

#include "handles.bpf.h"

#define ARG(d, site, i) ((site)->arg[i] < OM_WORDS_MAX ? (d)->w.word[(site)->arg[i]] : 0)

/*
 * True if this call is the last one of the thread, passed on: the same entry with the
 * same arguments, at another address, no higher on the stack. Each call is passed on
 * to an address once at most, so a process that enters the driver twice is
 * counted twice, whatever it has loaded. A call that failed and is then made to the
 * driver itself counts once: it has run once.
 */
static __noinline bool is_forwarded(struct om_thread *t, const struct om_driver_site *site, u64 ip, u64 sp,
				    u32 index)
{
	struct om_driver_work *d;
	struct om_forward *f;
	bool same;

	if (!t || !site)
		return false;
	d = driver_of(t);
	f = &t->forward;
	same = f->ip && f->ip != ip && f->site == index && sp <= f->sp && f->depth < OM_FORWARD_DEPTH;
	for (int i = 0; i < OM_DRIVER_ARGS; i++) {
		u64 arg = ARG(d, site, i);

		same = same && f->arg[i] == arg;
		f->arg[i] = arg;
	}
	f->depth = same ? f->depth + 1 : 0;
	f->ip = ip;
	f->sp = sp;
	f->site = index;
	return same;
}

/* Common to all programs of the driver's library; NULL: nothing more to do. */
static __always_inline const struct om_driver_site *driver_begin(struct pt_regs *ctx,
								 struct om_thread **ret_thread)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct task_struct *task = bpf_get_current_task_btf();
	u32 index = OM_COOKIE_SITE(cookie) - OM_DRIVER_SITE_BASE;
	struct om_control *c = control_get();
	const struct om_driver_site *site;
	struct om_driver_work *d;
	struct om_thread *t;

	if (!c)
		return NULL;
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		lose_without_thread();
		return NULL;
	}
	*ret_thread = t;
	d = driver_of(t);
	work_begin(&d->w, task, cookie);
	if (!is_first(t, OM_IP(ctx), OM_COOKIE_SEQ(cookie))) {
		om_stat_add(duplicates);
		return NULL;
	}
	if (c->off & (OM_OFF_NODE | OM_OFF_LAUNCH)) {
		om_stat_add(launch_off);
		t->pending.kind = OM_PENDING_NONE;
		return NULL;
	}
	site = bpf_map_lookup_elem(&driver_sites, &index);
	if (!site)
		return NULL;
	d->tid = task->pid;
	d->epoch = c->epoch;
	if (om_words_read(&d->w, ctx, site->stack_words)) {
		t->pending.kind = OM_PENDING_NONE;
		om_stat_add(launch_unread);
		lose(t, OM_TYPES_UNKNOWN, OM_LOST_FAILED_READ);
		return NULL;
	}
	if (is_forwarded(t, site, OM_IP(ctx), OM_SP(ctx), index)) {
		om_stat_add(duplicates); /* what waits for the call's result goes on waiting */
		return NULL;
	}
	t->pending.kind = OM_PENDING_NONE; /* of a call that never returned */
	return site;
}

/* A stream as one name: the default streams have several. */
static __noinline u64 stream_name(struct om_thread *t, u64 stream, u32 flags)
{
	if (!t)
		return 0;
	if (stream == 2 || (!stream && flags & OM_DRIVER_PTSZ))
		return 1ULL << 63 | driver_of(t)->tid;
	return stream ? stream : 1;
}

#endif
