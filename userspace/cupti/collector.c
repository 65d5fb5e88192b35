// SPDX-License-Identifier: Apache-2.0
/*
 * The collector: what the driver loads into a tenant's process when
 * CUDA_INJECTION64_PATH names this library (docs/counter-meter.md).
 *
 * It makes one thread that sleeps. While no agent listens at the probe sites it does
 * nothing else: libcupti is not opened, nothing is subscribed, a launch costs what it
 * did. With an agent it runs a session (window.h) now and then, at random times, and
 * hands each result over at a probe site. It prints nothing, catches no signal, and
 * has no error that a tenant could see: what does not work is a status.
 *
 * All state is in one structure. At exit the thread is kept from further calls
 * before the vendor's libraries are torn down; in a forked child nothing goes on;
 * the library cannot be unloaded (nodelete), since a callback may be on its way.
 */

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "usdt.h"
#include "window_internal.h"

#define INTERVAL_MS_DEFAULT 10000
#define INTERVAL_MS_MIN 1
#define LISTEN_MS 1000	/* how often it looks whether somebody listens */
#define AGAIN_MS 60000	/* after a refusal that may pass */
#define YIELD_MS 600000 /* after the tenant's profiler was met */
#define YIELDS_MAX 3	/* met that often, it is left alone for good */
#define BUDGET_PPM 1000 /* of the time, for launches that are held up */
#define SESSION_WINDOWS 8
#define SESSION_SKIP_MAX 32
#define SESSION_MS 250
#define EXIT_NS_MAX 300000000u

USDT_SEMAPHORE(counter_reading);
USDT_SEMAPHORE(counter_status);

static struct collector {
	atomic_bool is_started;
	atomic_bool is_inside; /* our thread is inside calls of the vendor's libraries */
	pthread_t thread;
	struct cupti_api api;
	struct driver_api driver;
	struct window window;
	struct signatures signatures;
	struct om_counter_status status;
	struct session_plan plan;
	uint64_t random;
	uint64_t interval_ms;
	unsigned yields;
	bool is_off;
	const char *library; /* of the environment, copied */
} collector;

static __attribute__((noinline)) void reading_fire(const struct om_counter_reading *r)
{
	USDT_FIRE(counter_reading, r);
}

static __attribute__((noinline)) void status_site(const struct om_counter_status *s)
{
	USDT_FIRE(counter_status, s);
}

static void status_fire(struct collector *c, int state, int reason, uint32_t detail)
{
	c->status.version = OM_COUNTER_WIRE;
	c->status.size = sizeof(c->status);
	c->status.state = (uint32_t)state;
	c->status.reason = (uint32_t)reason;
	c->status.detail = detail;
	status_site(&c->status);
}

/* splitmix64: its state is one word, so a seed is the whole of it. */
static uint64_t random_next(void *state)
{
	uint64_t *s = state, z = *s += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* Exponential, so that when a session comes says nothing about the next; cut at eight means. */
static uint64_t interval_draw(struct collector *c)
{
	double u = ((double)(random_next(&c->random) >> 11) + 1) * 0x1p-53;
	double ms = -log(u) * (double)c->interval_ms;
	double most = 8.0 * (double)c->interval_ms;

	return (uint64_t)(ms < most ? ms : most) + 1;
}

static void on_value(void *user, const struct launch *l, uint32_t metric, double ops)
{
	struct collector *c = user;
	const struct om_counter_reading *r = signatures_add(&c->signatures, l, metric, ops);

	if (r)
		reading_fire(r);
	else
		c->status.full++;
}

/* --- its thread --- */

static bool is_listened_to(void)
{
	return USDT_IS_LISTENED_TO(counter_reading) || USDT_IS_LISTENED_TO(counter_status);
}

static void on_process_exit(void)
{
	uint64_t until = window_now_ns() + EXIT_NS_MAX;

	atomic_store(&collector.window.is_over, true);
	while (atomic_load(&collector.is_inside) && window_now_ns() < until)
		window_sleep_ns(1000000);
}

static void on_fork_child(void)
{
	atomic_store(&collector.window.is_over, true);
	atomic_store(&collector.window.phase, WINDOW_CLOSED);
	atomic_store(&collector.is_inside, false);
}

/* 0, or the reason why not. The handler of the exit is set after libcupti is open,
 * so that it runs before libcupti's own. */
static int vendor_open(struct collector *c)
{
	int rc;

	if (c->api.handle)
		return OM_COUNTER_FINE;
	if (!driver_open(&c->driver))
		return OM_COUNTER_NO_DRIVER;
	rc = cupti_open(c->library, &c->api);
	if (rc)
		return rc == -ENOENT ? OM_COUNTER_NO_LIBRARY : OM_COUNTER_OLD_LIBRARY;
	c->status.cupti_version = c->api.version;
	if (!c->signatures.slot && signatures_init(&c->signatures)) {
		c->api.handle = NULL;
		return OM_COUNTER_MEMORY;
	}
	c->window.api = &c->api;
	c->window.driver = &c->driver;
	atexit(on_process_exit);
	return OM_COUNTER_FINE;
}

/* What a refusal means for what comes after: how long to wait; 0: nothing comes. */
static uint64_t refusal_wait_ms(struct collector *c, int reason, int *ret_state)
{
	*ret_state = OM_COUNTER_STOPPED;
	switch (reason) {
	case OM_COUNTER_SUBSCRIBER:
	case OM_COUNTER_BUSY:
		if (++c->yields >= YIELDS_MAX)
			return 0;
		*ret_state = OM_COUNTER_YIELDED;
		return YIELD_MS;
	case OM_COUNTER_NO_LIBRARY: /* may be loaded later */
	case OM_COUNTER_NO_DRIVER:
	case OM_COUNTER_MEMORY:
	case OM_COUNTER_REFUSED:
		*ret_state = OM_COUNTER_IDLE;
		return AGAIN_MS;
	default:
		return 0;
	}
}

/* One session. Returns how long to wait at least; 0: for ever. */
static uint64_t session(struct collector *c)
{
	struct session_result r = {};
	uint64_t wait = 1;
	int state;

	c->status.sessions++;
	atomic_store(&c->is_inside, true);
	r.reason = vendor_open(c);
	if (!r.reason)
		session_run(&c->window, &c->plan, &r);
	atomic_store(&c->is_inside, false);
	c->status.measured += r.measured;
	c->status.discarded += r.discarded;
	c->status.dropped += r.dropped;
	c->status.cost_ns += r.held_ns;
	c->status.chip = r.chip ? r.chip : c->status.chip;
	if (r.reason) {
		wait = refusal_wait_ms(c, r.reason, &state);
		status_fire(c, state, r.reason, r.detail);
		return wait;
	}
	status_fire(c, r.measured ? OM_COUNTER_MEASURING : OM_COUNTER_IDLE, OM_COUNTER_FINE, 0);
	/* So long that what launches were held up stays in the budget. */
	return r.held_ns / BUDGET_PPM + wait;
}

/* An agent that comes late is told why nothing comes. */
static void rest(struct collector *c)
{
	for (;;) {
		window_sleep_ns(LISTEN_MS * 60000000ull);
		if (atomic_load(&c->window.is_over))
			return;
		if (is_listened_to())
			status_site(&c->status);
	}
}

static void *collector_main(void *arg)
{
	struct collector *c = arg;
	uint64_t wait_ms;

	pthread_setname_np(pthread_self(), "opmeter-cupti");
	while (!is_listened_to())
		window_sleep_ns(LISTEN_MS * 1000000ull);
	if (c->is_off)
		status_fire(c, OM_COUNTER_STOPPED, OM_COUNTER_OFF, 0);
	while (!c->is_off && !atomic_load(&c->window.is_over)) {
		if (!is_listened_to()) {
			window_sleep_ns(LISTEN_MS * 1000000ull);
			continue;
		}
		window_sleep_ns(interval_draw(c) * 1000000ull);
		wait_ms = session(c);
		if (!wait_ms)
			break;
		window_sleep_ns(wait_ms * 1000000ull);
	}
	rest(c);
	return NULL;
}

/* --- the start --- */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = secure_getenv(name);
	char *end;
	uint64_t v;

	if (!text || !*text)
		return otherwise;
	errno = 0;
	v = strtoull(text, &end, 10);
	return *end || errno ? otherwise : v;
}

static void settings_read(struct collector *c)
{
	const char *text = secure_getenv("OPMETER_COUNTER");
	uint64_t seed = 0;

	c->is_off = text && !strcmp(text, "off");
	text = secure_getenv("OPMETER_CUPTI_LIBRARY");
	c->library = text ? strdup(text) : NULL;
	c->interval_ms = number_of("OPMETER_COUNTER_INTERVAL_MS", INTERVAL_MS_DEFAULT);
	if (c->interval_ms < INTERVAL_MS_MIN)
		c->interval_ms = INTERVAL_MS_DEFAULT;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = window_now_ns();
	c->random = number_of("OPMETER_COUNTER_SEED", seed);
	c->plan = (struct session_plan){
		.windows = SESSION_WINDOWS,
		.skip_max = SESSION_SKIP_MAX,
		.deadline_ms = SESSION_MS,
		.with_scalar = number_of("OPMETER_COUNTER_SCALAR", 0) == 1,
		.random = random_next,
		.random_state = &c->random,
		.on_value = on_value,
		.user = c,
	};
}

/* The thread gets none of the process's signals. */
static int thread_start(struct collector *c)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	if (pthread_attr_init(&attr))
		return -ENOMEM;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&c->thread, &attr, collector_main, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

/* The driver calls this once, in cuInit(). What it returns for failure the driver would report to
 * the tenant, so it never does. */
__attribute__((visibility("default"))) int InitializeInjection(void);
int InitializeInjection(void)
{
	struct collector *c = &collector;

	if (atomic_exchange(&c->is_started, true))
		return 1;
	settings_read(c);
	if (!pthread_atfork(NULL, NULL, on_fork_child))
		thread_start(c);
	return 1;
}
