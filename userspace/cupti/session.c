// SPDX-License-Identifier: Apache-2.0
/* Our own thread's side of a session: see window.h. */

#include "window_internal.h"

#include <stdlib.h>
#include <string.h>

/* A window holds one launch; room for some more shows that there were more. */
#define RANGES_MAX 8
#define POLL_NS 500000u
#define SLEEP_NS_MAX 50000000u

struct session {
	struct window *w;
	const struct session_plan *plan;
	struct session_result *result;
	uint64_t until_ns;
	uint32_t device;
	const struct counter_chip *chip;
	const struct counter_set *set;
	struct counter_config config;
	uint8_t *data;
	size_t data_size;
};

int session_reason(int rc)
{
	switch (rc) {
	case CUPTI_OK:
		return OM_COUNTER_FINE;
	case CUPTI_INSUFFICIENT_PRIVILEGES:
	case CUPTI_VIRTUALIZED_PRIVILEGES:
		return OM_COUNTER_PRIVILEGES;
	case CUPTI_MULTIPLE_SUBSCRIBERS:
		return OM_COUNTER_SUBSCRIBER;
	case CUPTI_CONFIDENTIAL_COMPUTING:
		return OM_COUNTER_CONFIDENTIAL;
	case CUPTI_MIG:
		return OM_COUNTER_MIG;
	case CUPTI_VIRTUALIZED:
		return OM_COUNTER_VIRTUAL;
	case CUPTI_HARDWARE_BUSY:
	case CUPTI_INVALID_OPERATION: /* another session on this context or device */
		return OM_COUNTER_BUSY;
	case CUPTI_OUT_OF_MEMORY:
	case CUPTI_MAX_LIMIT_REACHED:
		return OM_COUNTER_MEMORY;
	case CUPTI_INVALID_CHIP:
		return OM_COUNTER_UNKNOWN_CHIP;
	case COUNTER_MULTIPASS:
		return OM_COUNTER_MULTI_PASS;
	default:
		return OM_COUNTER_REFUSED;
	}
}

static int refuse(struct session *s, int reason, int detail)
{
	s->result->reason = reason;
	s->result->detail = (uint32_t)detail;
	return -1;
}

static int check(struct session *s, int cupti_result)
{
	return cupti_result ? refuse(s, session_reason(cupti_result), cupti_result) : 0;
}

static bool is_ended(const struct session *s)
{
	return atomic_load(&s->w->is_over) || atomic_load(&s->w->is_context_gone) ||
	       window_now_ns() > s->until_ns;
}

/* True if the phase was reached in time. An open window is waited for whatever the
 * time is: the thread that opened it is in the driver. */
static bool wait_for(struct session *s, int phase)
{
	uint64_t sleep_ns = POLL_NS;
	int now;

	while ((now = atomic_load(&s->w->phase)) != phase) {
		int armed = now;

		if (now != WINDOW_OPEN && is_ended(s) &&
		    atomic_compare_exchange_strong(&s->w->phase, &armed, WINDOW_CLOSED))
			return false;
		if (now == WINDOW_OPEN && atomic_load(&s->w->is_over))
			return false;
		window_sleep_ns(sleep_ns);
		/* A launch may be held up for minutes, by a full queue. */
		if (window_now_ns() > s->until_ns && sleep_ns < SLEEP_NS_MAX)
			sleep_ns *= 2;
	}
	return true;
}

/* Between the two, the context's end waits for us. */
static bool context_take(struct session *s)
{
	atomic_store(&s->w->is_busy, true);
	if (!atomic_load(&s->w->is_context_gone) && !atomic_load(&s->w->is_over))
		return true;
	atomic_store(&s->w->is_busy, false);
	return false;
}

static void context_give(struct session *s)
{
	atomic_store(&s->w->is_busy, false);
}

/* --- subscribing --- */

static const uint32_t launch_calls[] = {
	CUPTI_CBID_LAUNCH_KERNEL,	    CUPTI_CBID_LAUNCH_KERNEL_PTSZ,
	CUPTI_CBID_LAUNCH_COOPERATIVE,	    CUPTI_CBID_LAUNCH_COOPERATIVE_PTSZ,
	CUPTI_CBID_LAUNCH_COOPERATIVE_MANY, CUPTI_CBID_GRAPH_LAUNCH,
	CUPTI_CBID_GRAPH_LAUNCH_PTSZ,	    CUPTI_CBID_LAUNCH_KERNEL_EX,
	CUPTI_CBID_LAUNCH_KERNEL_EX_PTSZ,
};

static int subscribe(struct session *s)
{
	const struct cupti_api *api = s->w->api;
	int rc = api->subscribe(&s->w->subscriber, window_callback, s->w);

	if (rc) {
		s->w->subscriber = NULL;
		return check(s, rc);
	}
	for (size_t i = 0; i < sizeof(launch_calls) / sizeof(launch_calls[0]) && !rc; i++)
		rc = api->enable_callback(1, s->w->subscriber, CUPTI_DOMAIN_DRIVER, launch_calls[i]);
	rc = rc ? rc
		: api->enable_callback(1, s->w->subscriber, CUPTI_DOMAIN_RESOURCE,
				       CUPTI_RESOURCE_CONTEXT_DESTROY);
	return check(s, rc);
}

/* --- preparing --- */

static int chip_find(struct session *s)
{
	struct cupti_chip_name n = { .size = CUPTI_SIZE(cupti_chip_name, chip) };
	int rc = s->w->api->device_id(atomic_load(&s->w->context), &s->device);

	n.device = s->device;
	rc = rc ? rc : s->w->api->chip_name(&n);
	if (check(s, rc))
		return -1;
	s->chip = counter_chip_find(n.chip);
	if (!s->chip)
		return refuse(s, OM_COUNTER_UNKNOWN_CHIP, 0);
	s->result->chip = s->chip->id;
	return 0;
}

static int device_check(struct session *s)
{
	struct cupti_device_supported p = { .size = CUPTI_SIZE(cupti_device_supported, api),
					    .device = (int)s->device };
	int is_mps = 0;

	if (s->w->driver->device_attribute(&is_mps, DRIVER_MPS_ENABLED, (int)s->device) == 0 && is_mps)
		return refuse(s, OM_COUNTER_MPS, 0);
	if (check(s, s->w->api->device_supported(&p)))
		return -1;
	if (p.is_supported == CUPTI_LEVEL_SUPPORTED)
		return 0;
	if (p.confidential == CUPTI_LEVEL_UNSUPPORTED)
		return refuse(s, OM_COUNTER_CONFIDENTIAL, 0);
	if (p.vgpu == CUPTI_LEVEL_UNSUPPORTED || p.vgpu == CUPTI_LEVEL_DISABLED)
		return refuse(s, OM_COUNTER_VIRTUAL, 0);
	return refuse(s, OM_COUNTER_REFUSED, CUPTI_NOT_SUPPORTED);
}

/* A set, uniformly chosen. */
static int config_choose(struct session *s)
{
	size_t count = s->chip->set_count;
	struct cupti_chip_name n = { .size = CUPTI_SIZE(cupti_chip_name, chip), .device = s->device };

	while (count > 1 && s->chip->sets[count - 1].is_scalar && !s->plan->with_scalar)
		count--;
	s->set = &s->chip->sets[s->plan->random(s->plan->random_state) % count];
	if (check(s, s->w->api->chip_name(&n)))
		return -1;
	return check(s, counter_config_make(s->w->api, n.chip, s->set, &s->config));
}

static int profiler_enable(struct session *s)
{
	struct cupti_initialize i = { .size = CUPTI_SIZE(cupti_initialize, priv) };
	struct cupti_range_enable e = { .size = CUPTI_SIZE(cupti_range_enable, profiler),
					.context = atomic_load(&s->w->context) };
	struct cupti_range_data_size d = { .size = CUPTI_SIZE(cupti_range_data_size, data_size),
					   .names = s->config.names,
					   .count = s->config.count,
					   .ranges_max = RANGES_MAX,
					   .nodes_max = RANGES_MAX };
	int rc = s->w->api->initialize(&i);

	rc = rc ? rc : s->w->api->range_enable(&e);
	if (check(s, rc))
		return -1;
	atomic_store(&s->w->profiler, e.profiler);
	d.profiler = e.profiler;
	rc = s->w->api->range_data_size(&d);
	if (check(s, rc))
		return -1;
	s->data_size = d.data_size;
	s->data = calloc(1, d.data_size ? d.data_size : 1);
	return s->data ? 0 : refuse(s, OM_COUNTER_MEMORY, 0);
}

static int prepare(struct session *s)
{
	int rc;

	if (!context_take(s))
		return -1;
	rc = chip_find(s);
	rc = rc ? rc : device_check(s);
	rc = rc ? rc : config_choose(s);
	rc = rc ? rc : profiler_enable(s);
	context_give(s);
	return rc;
}

/* --- one window --- */

static int window_prepare(struct session *s)
{
	void *profiler = atomic_load(&s->w->profiler);
	struct cupti_range_data_init d = { .size = CUPTI_SIZE(cupti_range_data_init, data),
					   .profiler = profiler,
					   .data_size = s->data_size,
					   .data = s->data };
	struct cupti_range_config c = { .size = CUPTI_SIZE(cupti_range_config, nesting_target),
					.profiler = profiler,
					.config_size = s->config.image_size,
					.config = s->config.image,
					.data_size = s->data_size,
					.data = s->data,
					.range = CUPTI_AUTO_RANGE,
					.replay = CUPTI_USER_REPLAY,
					.ranges_max = RANGES_MAX,
					.nesting_levels = 1,
					.nesting_min = 1,
					.nesting_target = 1 };
	int rc;

	if (!profiler || !context_take(s))
		return -1;
	rc = s->w->api->range_data_init(&d);
	rc = rc ? rc : s->w->api->range_config(&c);
	context_give(s);
	atomic_store(&s->w->others, 0);
	s->w->start_rc = s->w->stop_rc = s->w->launch_rc = 0;
	s->w->held_ns = 0;
	return check(s, rc);
}

/* How many kernels the hardware saw; -1: the data could not be had. */
static long kernels_decode(struct session *s)
{
	struct cupti_range_decode d = { .size = CUPTI_SIZE(cupti_range_decode, dropped),
					.profiler = atomic_load(&s->w->profiler) };
	struct cupti_range_data_info i = { .size = CUPTI_SIZE(cupti_range_data_info, ranges),
					   .data = s->data,
					   .data_size = s->data_size };
	int rc;

	if (!d.profiler || !context_take(s))
		return -1;
	rc = s->w->api->range_decode(&d);
	rc = rc ? rc : s->w->api->range_data_info(&i);
	context_give(s);
	return rc ? -1 : (long)(i.ranges + d.dropped);
}

/* Metrics of one identity (scalar ones) are one value. */
static int values_hand_over(struct session *s)
{
	double values[COUNTER_SET_METRICS] = {};
	struct cupti_host_evaluate e = { .size = CUPTI_SIZE(cupti_host_evaluate, values),
					 .host = s->config.host,
					 .data = s->data,
					 .data_size = s->data_size,
					 .names = s->config.names,
					 .count = s->config.count,
					 .values = values };

	if (s->w->api->host_evaluate(&e))
		return -1;
	for (size_t i = 0; i < s->set->count; i++) {
		uint32_t id = counter_metric_id(s->chip, s->set, i);
		double sum = 0;
		bool is_first = true;

		for (size_t j = 0; j < i; j++)
			is_first &= counter_metric_id(s->chip, s->set, j) != id;
		for (size_t j = i; j < s->set->count && is_first; j++)
			if (counter_metric_id(s->chip, s->set, j) == id)
				sum += values[j] * s->set->metric[j].weight;
		if (is_first)
			s->plan->on_value(s->plan->user, &s->w->launch, id, sum);
	}
	return 0;
}

static int window_finish(struct session *s)
{
	struct window *w = s->w;
	long kernels;

	s->result->held_ns += w->held_ns;
	if (w->start_rc || w->stop_rc) {
		s->result->dropped++;
		return check(s, w->start_rc ? w->start_rc : w->stop_rc);
	}
	kernels = kernels_decode(s);
	if (kernels < 0) {
		s->result->dropped++;
		return 0;
	}
	if (kernels != 1 || w->launch_rc || atomic_load(&w->others)) {
		s->result->discarded++;
		return 0;
	}
	if (values_hand_over(s))
		s->result->dropped++;
	else
		s->result->measured++;
	return 0;
}

static void windows_run(struct session *s)
{
	for (unsigned i = 0; i < s->plan->windows && !is_ended(s); i++) {
		if (window_prepare(s))
			return;
		atomic_store(&s->w->skip, (int)(s->plan->random(s->plan->random_state) % s->plan->skip_max));
		atomic_store(&s->w->phase, WINDOW_ARMED);
		if (!wait_for(s, WINDOW_DONE))
			return;
		atomic_store(&s->w->phase, WINDOW_PREPARING);
		if (window_finish(s))
			return;
	}
}

/* At the process's exit nothing more is called: what is left goes with the process. */
static void leave(struct session *s)
{
	int phase = atomic_load(&s->w->phase);

	if (atomic_load(&s->w->is_over))
		return;
	if (phase != WINDOW_OPEN)
		atomic_store(&s->w->phase, WINDOW_CLOSED);
	if (context_take(s)) {
		window_disable(s->w);
		context_give(s);
	}
	if (s->w->subscriber)
		s->w->api->unsubscribe(s->w->subscriber);
	s->w->subscriber = NULL;
	counter_config_done(s->w->api, &s->config);
	free(s->data);
}

void session_run(struct window *w, const struct session_plan *plan, struct session_result *ret)
{
	struct session s = { .w = w, .plan = plan, .result = ret };
	int mode = DRIVER_RELAXED;

	memset(ret, 0, sizeof(*ret));
	s.until_ns = window_now_ns() + plan->deadline_ms * 1000000ull;
	atomic_store(&w->is_context_gone, false);
	atomic_store(&w->context, NULL);
	if (!driver_exchange(w->driver, &mode)) {
		refuse(&s, OM_COUNTER_NO_DRIVER, 0);
		return;
	}
	if (!subscribe(&s)) {
		atomic_store(&w->phase, WINDOW_SEEKING);
		if (wait_for(&s, WINDOW_PREPARING) && !prepare(&s))
			windows_run(&s);
	}
	leave(&s);
	driver_exchange(w->driver, &mode);
}
