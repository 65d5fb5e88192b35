// SPDX-License-Identifier: Apache-2.0
/*
 * Threads take positions of the order from one counter. A call that was begun is
 * always counted, and one that was not is never: the counter of each call stands
 * beside the call itself, and stopping is looked at between calls only. Played as
 * recorded, the counter is whose turn it is.
 */
#include "player.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK 64 /* positions taken at once */

static volatile sig_atomic_t is_stopped;

struct stage {
	const struct play_config *config;
	const struct call *calls;
	size_t n_calls;
	const uint32_t *order;
	size_t n_order;
	atomic_uint_fast64_t next;
	uint64_t start_ns;
};

struct worker {
	struct stage *stage;
	pthread_t thread;
	unsigned number;
	uint64_t *calls;
	uint64_t status[STATUS_MAX];
};

void play_stop(void)
{
	is_stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t at_ns)
{
	struct timespec t = { (time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u) };

	while (!is_stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static bool is_over(const struct stage *s, uint64_t now)
{
	return is_stopped || (s->config->time_ns && now - s->start_ns >= s->config->time_ns);
}

/* When position i is due at the rate asked for. */
static uint64_t due_ns(const struct stage *s, uint64_t i)
{
	return s->start_ns + (uint64_t)((unsigned __int128)i * 1000000000u / s->config->rate);
}

/* False: the play is over. */
static bool wait_until_due(const struct stage *s, uint64_t i)
{
	uint64_t now = now_ns();

	if (i >= s->config->calls || is_over(s, now))
		return false;
	if (s->config->rate && due_ns(s, i) > now) {
		uint64_t time_up = s->start_ns + s->config->time_ns, due = due_ns(s, i);

		sleep_until(s->config->time_ns && time_up < due ? time_up : due);
		return !is_over(s, now_ns());
	}
	return true;
}

/* A buffer's number as an address, and no small one, as a device's are. */
static int call_with(const struct stage *s, const struct call *call, uint64_t i)
{
	struct call c = *call;

	if (!s->config->buffers)
		return call->via->fn(call);
	for (int k = 0; k < 3; k++) {
		uint64_t number = s->config->buffers[i % s->n_order].at[k];

		c.at[k] = number ? (void *)(0x7f0000000000u + number * 512) : NULL;
	}
	return c.via->fn(&c);
}

static void call_one(struct worker *w, uint64_t i)
{
	uint32_t which = w->stage->order[i % w->stage->n_order];
	int status = call_with(w->stage, &w->stage->calls[which], i);

	w->calls[which]++;
	w->status[status >= 0 && status < STATUS_MAX ? status : STATUS_MAX - 1]++;
}

static void *work_in_turn(struct worker *w)
{
	struct stage *s = w->stage;

	for (;;) {
		uint64_t i = atomic_load(&s->next);
		unsigned whose = s->config->thread[i % s->n_order];

		if (i < s->config->calls && whose != w->number && !is_stopped) {
			sched_yield();
			continue;
		}
		if (!wait_until_due(s, i)) {
			/* The others see that there is no more. */
			atomic_store(&s->next, s->config->calls);
			return NULL;
		}
		call_one(w, i);
		atomic_compare_exchange_strong(&s->next, &i, i + 1);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct stage *s = w->stage;
	const uint64_t chunk = s->config->rate && s->config->rate < 100000 ? 1 : CHUNK;

	if (s->config->thread)
		return work_in_turn(w);
	for (;;) {
		uint64_t i = atomic_fetch_add(&s->next, chunk);
		uint64_t end = s->config->calls - i < chunk ? s->config->calls : i + chunk;

		if (!wait_until_due(s, i))
			return NULL;
		for (; i < end; i++)
			call_one(w, i);
	}
}

static int begin(struct worker *w, unsigned n, struct stage *s)
{
	for (unsigned i = 0; i < n; i++) {
		w[i].stage = s;
		w[i].number = i;
		w[i].calls = calloc(s->n_calls, sizeof(*w[i].calls));
		if (!w[i].calls)
			return -ENOMEM;
	}
	/* The first worker is this thread itself. */
	for (unsigned i = 1; i < n; i++) {
		int r = pthread_create(&w[i].thread, NULL, work, &w[i]);

		if (r)
			return -r; /* the caller ends the process */
	}
	return 0;
}

static void gather(const struct worker *w, size_t n_calls, struct tally *t)
{
	for (size_t i = 0; i < n_calls; i++)
		t->calls[i] += w->calls[i];
	for (unsigned i = 0; i < STATUS_MAX; i++)
		t->status[i] += w->status[i];
}

int play(const struct play_config *config, const struct call *calls, size_t n_calls, const uint32_t *order,
	 size_t n_order, struct tally *ret)
{
	struct stage stage = { config, calls, n_calls, order, n_order, 0, now_ns() };
	struct worker *w = calloc(config->threads, sizeof(*w));
	int r;

	*ret = (struct tally){ .calls = calloc(n_calls, sizeof(*ret->calls)) };
	if (!w || !ret->calls)
		return -ENOMEM;
	r = begin(w, config->threads, &stage);
	if (r)
		return r;
	work(&w[0]);
	for (unsigned i = 0; i < config->threads; i++) {
		if (i)
			pthread_join(w[i].thread, NULL);
		gather(&w[i], n_calls, ret);
		free(w[i].calls);
	}
	free(w);
	ret->time_ns = now_ns() - stage.start_ns;
	return 0;
}
