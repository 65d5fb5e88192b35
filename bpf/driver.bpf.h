/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_DRIVER_H
#define OPMETER_BPF_DRIVER_H

/* How every program on an entry of the driver's library begins. */

#include "handles.bpf.h"

#define ARG(d, site, i) ((site)->arg[i] < OM_WORDS_MAX ? (d)->w.word[(site)->arg[i]] : 0)

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
	t->pending.kind = OM_PENDING_NONE; /* of a call that never returned */
	if (om_words_read(&d->w, ctx, site->stack_words)) {
		om_stat_add(launch_unread);
		lose(t, OM_TYPES_UNKNOWN, OM_LOST_FAILED_READ);
		return NULL;
	}
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
