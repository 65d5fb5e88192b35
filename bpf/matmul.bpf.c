// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape meter: what processes ask the math libraries to multiply.
 *
 * One program for each way to pass sizes, driven by a table (`sites`); all of
 * them go through the same steps:
 *
 *   control    off? then the call is counted as skipped, and no more
 *   first      several probes may fire on one call (two overlay mounts show one
 *              file as two, an upgrade attaches the new programs beside the
 *              old): the kernel runs the consumers of a probe newest first, so
 *              within one call attachment numbers fall. A number that is not
 *              below the last one at this address in this thread begins a new call.
 *   nested     a return address inside the library, or inside the libcublas that
 *              the thread is in, is the library calling itself: counted apart
 *   read       sizes and types, by copying from user memory; the programs may
 *              sleep, so a page that is swapped out is fetched, not lost
 *   order      once a minute the next products of each process are noted in their
 *              order (burst.bpf.h)
 *   count      one atomic add to the entry of the shape; a new shape is charged
 *              to its process's quota, past which only operations are summed
 *
 * Exactness: nothing is sampled, and whatever cannot be counted is counted as
 * lost, by cause, under the process that it belongs to.
 */

#include "matmul_read.bpf.h"
#include "count.bpf.h"
#include "burst.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* The common beginning: returns the call's site, or NULL if there is nothing more
 * to do; the call is then accounted for. */
static __always_inline const struct om_call_site *begin(struct pt_regs *ctx, struct om_thread **ret_thread)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct om_control *c = control_get();
	struct task_struct *task = bpf_get_current_task_btf();
	u32 index = OM_COOKIE_SITE(cookie);
	struct om_thread *t;
	struct om_sum *s;

	if (!c)
		return NULL;
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		lose_without_thread();
		return NULL;
	}
	*ret_thread = t;
	work_begin(work_of(t), task, cookie);
	if (!is_first(t, OM_IP(ctx), OM_COOKIE_SEQ(cookie))) {
		om_stat_add(duplicates);
		s = sum_get(t, OM_TYPES_UNKNOWN);
		if (s)
			__sync_fetch_and_add(&s->duplicates, 1);
		return NULL;
	}
	if (c->off & (OM_OFF_NODE | OM_OFF_SHAPE)) {
		om_stat_add(off);
		lose(t, OM_TYPES_UNKNOWN, OM_LOST_OFF);
		return NULL;
	}
	thread_number(t);
	return bpf_map_lookup_elem(&sites, &index);
}

/* Does the process capture into a CUDA graph? Then what it asks for may not run now. */
static __noinline bool is_capturing(struct om_thread *t)
{
	struct om_activity *a;
	struct om_proc *p;
	u32 zero = 0;

	a = bpf_map_lookup_elem(&activity, &zero);
	if (!t || !a || !a->captures)
		return false;
	p = bpf_map_lookup_elem(&procs, &work_of(t)->proc_key);
	return p && p->captures;
}

/* A product is counted at once, unless it may be captured: then it waits for the
 * launch that shows its stream (launch.bpf.c). One that is still waiting when the
 * next comes had no launch, and counts as asked for. */
static __always_inline int count_or_wait(struct om_thread *t)
{
	struct om_work *w;

	if (!t)
		return 0;
	w = work_of(t);
	if (w->key.flags & OM_FLAG_NESTED)
		return count(t);
	burst_note(t);
	if (!is_capturing(t)) {
		count(t);
		if (t->is_deferred != OM_DEFERRED_WAITING)
			return 0;
		w->key = t->deferred;
		t->is_deferred = OM_DEFERRED_NONE;
		return count(t);
	}
	if (t->is_deferred == OM_DEFERRED_WAITING) {
		u64 *a = (u64 *)&w->key, *b = (u64 *)&t->deferred;

		for (u32 i = 0; i < sizeof(w->key) / sizeof(u64); i++) {
			u64 x = a[i];

			a[i] = b[i];
			b[i] = x;
		}
		return count(t);
	}
	t->deferred = w->key;
	t->is_deferred = OM_DEFERRED_WAITING;
	return 0;
}

static __noinline int finish(struct om_thread *t, int rc)
{
	bool is_typed = rc == LOST(OM_LOST_INCONSISTENT) || rc == LOST(OM_LOST_ABSURD);

	if (!t)
		return 0;
	if (!rc)
		return count_or_wait(t);
	return lose(t, is_typed ? work_of(t)->key.types : OM_TYPES_UNKNOWN, rc - 1);
}

SEC("uprobe.s")
int on_lt_matmul(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;

	site = begin(ctx, &t);
	if (!site)
		return 0;
	return finish(t, lt_read(ctx, t, site));
}

SEC("uprobe.s")
int on_gemm(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;

	site = begin(ctx, &t);
	if (!site)
		return 0;
	return finish(t, gemm_read(ctx, t, site));
}

static long on_group(u32 index, struct om_thread **thread)
{
	struct om_thread *t = *thread;
	int rc;

	if (!t)
		return 1;
	rc = group_read(t, index);
	work_of(t)->rc = rc;
	if (rc)
		return 1;
	if (!(work_of(t)->key.flags & OM_FLAG_NESTED))
		burst_note(t);
	count(t);
	return 0;
}

SEC("uprobe.s")
int on_gemm_grouped(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;
	int rc;

	site = begin(ctx, &t);
	if (!site)
		return 0;
	rc = groups_read(ctx, t, site);
	if (rc)
		return finish(t, rc);
	/* Too many to wait: they count now, and a graph that captures them is uncertain. */
	if (t->is_deferred == OM_DEFERRED_SETTLED)
		t->is_deferred = OM_DEFERRED_NONE;
	work_of(t)->rc = 0;
	bpf_loop(work_of(t)->group_count, on_group, &t, 0);
	rc = work_of(t)->rc;
	return rc ? finish(t, rc) : 0;
}
