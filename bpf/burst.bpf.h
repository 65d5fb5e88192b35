/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_BURST_H
#define OPMETER_BPF_BURST_H

/*
 * Who asks for a product, and in what order products come: what tells backward
 * from forward, and work done again from work done for another model.
 *
 * Threads are told apart exactly, in the key of each shape. The order is a
 * sample: when user space begins a window, each process notes its next products
 * and the names of their buffers, equal ones that follow each other as one, until
 * its burst is full. Past that a thread knows that it has no more to do.
 */

#include "work.bpf.h"

/* The thread's number in its process, into the key. */
static __noinline int thread_number(struct om_thread *t)
{
	struct om_proc *p;
	u32 n = 0;

	if (!t)
		return 0;
	if (!t->number) {
		p = proc_get(&work_of(t)->proc_key);
		if (p)
			n = __sync_fetch_and_add(&p->threads, 1);
		t->number = (n < OM_THREADS_MAX ? n : OM_THREADS_MAX - 1) + 1;
	}
	work_of(t)->key.thread = t->number - 1;
	return 0;
}

static const struct om_burst no_burst;

/* The names of the product's buffers, in place of their addresses. */
static __noinline int operands_name(struct om_thread *t, u64 key)
{
	struct om_work *w;

	if (!t)
		return 0;
	w = work_of(t);
	for (int i = 0; i < OM_OPERANDS; i++)
		w->operand[i] = om_buffer_name(w->operand[i], key, w->key.start_ns);
	return 0;
}

static __always_inline bool is_same_step(const struct om_step *s, const struct om_work *w, u32 hash)
{
	return s->shape == hash && s->thread == w->key.thread && s->repeat < 65535 && s->a == w->operand[0] &&
	       s->b == w->operand[1] && s->d == w->operand[2];
}

static __noinline int burst_add(struct om_thread *t, u32 window)
{
	struct om_burst *b;
	struct om_step *s;
	struct om_work *w;
	u32 hash, i;

	if (!t)
		return 0;
	w = work_of(t);
	b = bpf_map_lookup_elem(&bursts, &w->proc_key);
	if (!b) {
		bpf_map_update_elem(&bursts, &w->proc_key, &no_burst, BPF_NOEXIST);
		b = bpf_map_lookup_elem(&bursts, &w->proc_key);
	}
	if (!b) {
		om_stat_add(burst_failed);
		t->window = window;
		return 0;
	}
	if (b->window != window) {
		b->next = 0;
		b->window = window;
	}
	hash = om_shape_hash(&w->key);
	i = b->next - 1;
	if (i < OM_BURST_STEPS) {
		s = &b->step[i];
		if (is_same_step(s, w, hash)) {
			s->repeat++;
			return 0;
		}
	}
	i = __sync_fetch_and_add(&b->next, 1);
	if (i >= OM_BURST_STEPS) {
		t->window = window;
		return 0;
	}
	s = &b->step[i];
	s->shape = hash;
	s->repeat = 1;
	s->thread = w->key.thread;
	s->a = (u32)w->operand[0];
	s->b = (u32)w->operand[1];
	s->d = (u32)w->operand[2];
	return 0;
}

static __always_inline void burst_note(struct om_thread *t)
{
	struct om_sampling *s;
	u32 zero = 0;

	s = bpf_map_lookup_elem(&sampling, &zero);
	if (s && s->window && t->window != s->window) {
		operands_name(t, s->key);
		burst_add(t, s->window);
	}
}

#endif
