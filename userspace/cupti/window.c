// SPDX-License-Identifier: Apache-2.0
/* The callback's side of a window: what runs in the tenant's threads. See window.h. */

#include "window_internal.h"

#include <time.h>

uint64_t window_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void window_sleep_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

	nanosleep(&t, NULL);
}

static bool is_single_kernel(uint32_t cbid)
{
	return cbid != CUPTI_CBID_GRAPH_LAUNCH && cbid != CUPTI_CBID_GRAPH_LAUNCH_PTSZ &&
	       cbid != CUPTI_CBID_LAUNCH_COOPERATIVE_MANY;
}

static bool is_ptsz(uint32_t cbid)
{
	return cbid == CUPTI_CBID_LAUNCH_KERNEL_PTSZ || cbid == CUPTI_CBID_LAUNCH_COOPERATIVE_PTSZ ||
	       cbid == CUPTI_CBID_LAUNCH_KERNEL_EX_PTSZ;
}

static bool is_ex(uint32_t cbid)
{
	return cbid == CUPTI_CBID_LAUNCH_KERNEL_EX || cbid == CUPTI_CBID_LAUNCH_KERNEL_EX_PTSZ;
}

/* Name and geometry, and whether the launch will run. */
static bool launch_read(const struct window *w, uint32_t cbid, const struct cupti_callback_data *d,
			struct launch *ret)
{
	const struct cupti_launch_params *p = d->params;
	void *stream;

	if (!p || !d->symbol_name || !*d->symbol_name)
		return false;
	if (is_ex(cbid)) {
		const struct cupti_launch_config *c = ((const struct cupti_launch_ex_params *)p)->config;

		if (!c)
			return false;
		*ret = (struct launch){ .grid = { c->grid[0], c->grid[1], c->grid[2] },
					.block = { c->block[0], c->block[1], c->block[2] },
					.shared = c->shared_bytes };
		stream = c->stream;
	} else {
		*ret = (struct launch){ .grid = { p->grid[0], p->grid[1], p->grid[2] },
					.block = { p->block[0], p->block[1], p->block[2] },
					.shared = p->shared_bytes };
		stream = p->stream;
	}
	ret->name = signature_hash(d->symbol_name);
	return !driver_is_capturing(w->driver, stream, is_ptsz(cbid));
}

static int profiler_start(struct window *w)
{
	struct cupti_range_object p = { .size = CUPTI_SIZE(cupti_range_object, profiler),
					.profiler = atomic_load(&w->profiler) };

	return p.profiler ? w->api->range_start(&p) : CUPTI_INVALID_OPERATION;
}

static int profiler_stop(struct window *w)
{
	struct cupti_range_stop p = { .size = CUPTI_SIZE(cupti_range_stop, is_all_submitted),
				      .profiler = atomic_load(&w->profiler) };

	return p.profiler ? w->api->range_stop(&p) : CUPTI_INVALID_OPERATION;
}

/* Start or stop, in relaxed mode, and what it takes. */
static int held_up(struct window *w, int (*step)(struct window *w))
{
	uint64_t from = window_now_ns();
	int mode = DRIVER_RELAXED;
	int rc;

	if (!driver_exchange(w->driver, &mode))
		return CUPTI_UNKNOWN;
	rc = step(w);
	driver_exchange(w->driver, &mode);
	w->held_ns += window_now_ns() - from;
	return rc;
}

static void window_end(struct window *w)
{
	atomic_store(&w->owner, 0);
	atomic_store(&w->phase, WINDOW_DONE);
}

static void on_enter(struct window *w, uint32_t cbid, const struct cupti_callback_data *d)
{
	int phase = atomic_load(&w->phase);
	struct launch launch;

	if (phase == WINDOW_OPEN) {
		atomic_fetch_add(&w->others, 1);
		return;
	}
	if (phase == WINDOW_SEEKING && d->context) {
		/* The order matters: who sees PREPARING finds the context. */
		void *none = NULL;

		if (atomic_compare_exchange_strong(&w->context, &none, d->context))
			atomic_compare_exchange_strong(&w->phase, &phase, WINDOW_PREPARING);
		return;
	}
	if (phase != WINDOW_ARMED || d->context != atomic_load(&w->context) || !is_single_kernel(cbid))
		return;
	if (atomic_fetch_sub(&w->skip, 1) > 0 || !launch_read(w, cbid, d, &launch))
		return;
	if (!atomic_compare_exchange_strong(&w->phase, &phase, WINDOW_OPEN))
		return;
	w->launch = launch;
	atomic_store(&w->owner, (uintptr_t)pthread_self());
	w->start_rc = held_up(w, profiler_start);
	if (w->start_rc)
		window_end(w);
}

static void on_exit_of(struct window *w, const struct cupti_callback_data *d)
{
	if (atomic_load(&w->phase) != WINDOW_OPEN || atomic_load(&w->owner) != (uintptr_t)pthread_self())
		return;
	w->launch_rc = d->return_value ? *(const int *)d->return_value : -1;
	w->stop_rc = held_up(w, profiler_stop);
	window_end(w);
}

int window_disable(struct window *w)
{
	struct cupti_range_object p = { .size = CUPTI_SIZE(cupti_range_object, profiler),
					.profiler = atomic_exchange(&w->profiler, NULL) };

	return p.profiler ? w->api->range_disable(&p) : 0;
}

/* The context ends: so does what we have on it, here and now, since after this call
 * it may not be touched. Our thread's call for it, if it is in one, is waited for,
 * but not for ever: it may be waiting for what this thread holds. */
#define BUSY_NS_MAX 100000000u
static void on_context_end(struct window *w, const void *context)
{
	uint64_t until = window_now_ns() + BUSY_NS_MAX;

	if (!context || context != atomic_load(&w->context))
		return;
	atomic_store(&w->is_context_gone, true);
	while (atomic_load(&w->is_busy) && window_now_ns() < until)
		window_sleep_ns(100000);
	window_disable(w);
}

void window_callback(void *user, int domain, uint32_t cbid, const void *data)
{
	const struct cupti_callback_data *d = data;
	struct window *w = user;

	if (!data || atomic_load_explicit(&w->phase, memory_order_relaxed) == WINDOW_CLOSED ||
	    atomic_load(&w->is_over))
		return;
	if (domain == CUPTI_DOMAIN_RESOURCE)
		on_context_end(w, ((const struct cupti_resource_data *)data)->context);
	else if (domain == CUPTI_DOMAIN_DRIVER && d->site == CUPTI_API_ENTER_SITE)
		on_enter(w, cbid, d);
	else if (domain == CUPTI_DOMAIN_DRIVER)
		on_exit_of(w, d);
}
