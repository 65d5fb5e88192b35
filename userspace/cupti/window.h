/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_WINDOW_H
#define OPMETER_CUPTI_WINDOW_H

/*
 * A session: a moment in which we subscribe to the driver's launch calls and let the
 * hardware count a few of them, chosen at random, one at a time.
 *
 * Nothing of it stays. Between sessions there is no subscriber, so the tenant's own
 * profiler finds the one place free, and a launch costs what it costs without us.
 * There is no activity tracing and no replay. cuptiFinalize is never called: it
 * would take the tenant's own use of CUPTI down too.
 *
 * One window is one launch: the launching thread starts the profiler at the entry
 * of the driver's call and stops it at its exit; our own thread prepares before and
 * evaluates after, so the launch path allocates nothing and waits for no lock. A
 * window counts only if the hardware saw exactly one kernel in it, the call
 * succeeded, its stream did not capture, and no other thread launched meanwhile.
 *
 * Threads: session_run() in one thread; the callback in any. `phase` hands a window
 * over: whoever moves it owns what the next phase needs.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "driver.h"
#include "metrics.h"
#include "signature.h"

enum window_phase {
	WINDOW_CLOSED,	  /* callbacks return at once */
	WINDOW_SEEKING,	  /* the next launch tells which context */
	WINDOW_PREPARING, /* our thread's */
	WINDOW_ARMED,	  /* the launch that finds `skip` at 0 opens it */
	WINDOW_OPEN,	  /* the launching thread's */
	WINDOW_DONE,	  /* our thread's */
};

struct window {
	const struct cupti_api *api;
	const struct driver_api *driver;
	void *subscriber;

	atomic_bool is_over; /* the process ends, or this is a child of it: nothing is called any more */
	atomic_int phase;
	atomic_int skip;
	atomic_uint others; /* launches of other threads while it is open */
	atomic_bool is_context_gone;
	atomic_bool is_busy; /* our thread is inside a call for the context */
	_Atomic(void *) context;
	_Atomic(void *) profiler; /* whoever takes it out disables it */

	atomic_uintptr_t owner; /* the thread of the open window; 0: none, so that nobody is taken for it */

	/* Of the open window: the launching thread's, then ours. */
	struct launch launch;
	int start_rc, stop_rc, launch_rc;
	uint64_t held_ns; /* what this launch was held up */
};

struct session_plan {
	unsigned windows;     /* at most so many launches */
	unsigned skip_max;    /* before each: that many others pass, uniformly chosen below this */
	unsigned deadline_ms; /* for all of it; an open window is always waited for */
	bool with_scalar;     /* may choose a set of instrumented counters */
	uint64_t (*random)(void *state);
	void *random_state;
	/* One launch measured: the value of one metric. In our thread. */
	void (*on_value)(void *user, const struct launch *l, uint32_t metric, double ops);
	void *user;
};

struct session_result {
	int reason;	 /* enum om_counter_reason */
	uint32_t detail; /* CUPTI's result behind it */
	uint32_t chip;	 /* enum counter_chip_id, 0: no context was seen */
	unsigned measured, discarded, dropped;
	uint64_t held_ns;
};

/* Subscribes, measures, and leaves nothing behind. */
void session_run(struct window *w, const struct session_plan *plan, struct session_result *ret);

/* What a refusal of CUPTI means. */
int session_reason(int cupti_result);

#endif
