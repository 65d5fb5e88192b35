// SPDX-License-Identifier: Apache-2.0
/* Who waits for what is read from the topics: one thread reads, one question at a time, and the answer is for
 * all who asked the same. */
#include "api_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 32
#define KEPT_MAX 8
#define FRESH_NS (60 * 1000000000ULL)

struct wish {
	struct wish *next;
	struct study_ask ask;
	void (*fn)(void *ctx, struct study *study, int error);
	void *ctx;
};

struct studies {
	struct api *api;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct wish *first, **last;
	size_t waiting;
	struct study *kept; /* the latest first */
	size_t kept_count;
	atomic_bool is_stopping;
};

/* What was or will be read for `a` answers `b`, too. */
static bool answers(const struct study_ask *a, const struct study_ask *b)
{
	return a->group == b->group && !strcmp(a->first, b->first) && !strcmp(a->second, b->second) &&
	       (a->wants_registers || !b->wants_registers);
}

static struct study *find_kept(struct studies *s, const struct study_ask *ask)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);

	for (struct study *one = s->kept; one; one = one->next)
		if (answers(&one->ask, ask) && now - one->made_ns < FRESH_NS) {
			atomic_fetch_add(&one->refs, 1);
			return one;
		}
	return NULL;
}

struct study *studies_have(struct studies *s, const struct study_ask *ask)
{
	struct study *found;

	pthread_mutex_lock(&s->lock);
	found = find_kept(s, ask);
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void keep(struct studies *s, struct study *one)
{
	struct study **at = &s->kept;
	size_t n = 1;

	one->next = s->kept;
	s->kept = one;
	while (*at && n <= KEPT_MAX) {
		at = &(*at)->next;
		n++;
	}
	while (*at) {
		struct study *old = *at;

		*at = old->next;
		study_unref(old);
	}
}

/* All wishes for the same, off the list. */
static struct wish *take_same(struct studies *s, const struct study_ask *ask)
{
	struct wish *same = NULL;

	for (struct wish **at = &s->first; *at;) {
		struct wish *w = *at;

		if (!answers(ask, &w->ask)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = same;
		same = w;
		s->waiting--;
	}
	s->last = &s->first;
	while (*s->last)
		s->last = &(*s->last)->next;
	return same;
}

static void fulfil(struct wish *w, struct study *one, int error)
{
	while (w) {
		struct wish *next = w->next;

		if (one)
			atomic_fetch_add(&one->refs, 1);
		w->fn(w->ctx, one, error);
		free(w);
		w = next;
	}
}

static void *run(void *ctx)
{
	struct studies *s = ctx;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct study *one = NULL;
		struct study_ask ask;
		struct wish *same;
		bool is_new;
		int r;

		while (!s->first && !atomic_load(&s->is_stopping))
			pthread_cond_wait(&s->changed, &s->lock);
		if (!s->first)
			break;
		ask = s->first->ask;
		one = find_kept(s, &ask);
		is_new = !one;
		pthread_mutex_unlock(&s->lock);
		r = one				   ? 0
		    : atomic_load(&s->is_stopping) ? -ECANCELED
						   : study_read(s->api, &ask, &s->is_stopping, &one);
		if (r && r != -ECANCELED)
			log_warn("the topics were not read for an answer: %s", strerror(-r));
		pthread_mutex_lock(&s->lock);
		same = take_same(s, &ask);
		if (one && is_new) {
			atomic_fetch_add(&one->refs, 1);
			keep(s, one);
		}
		pthread_mutex_unlock(&s->lock);
		fulfil(same, one, r);
		study_unref(one);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct studies *studies_new(struct api *a)
{
	struct studies *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->api = a;
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (pthread_create(&s->thread, NULL, run, s)) {
		free(s);
		return NULL;
	}
	return s;
}

void studies_stop(struct studies *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->is_stopping, true);
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}

struct studies *studies_free(struct studies *s)
{
	if (!s)
		return NULL;
	while (s->kept) {
		struct study *one = s->kept;

		s->kept = one->next;
		study_unref(one);
	}
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

int studies_want(struct studies *s, const struct study_ask *ask,
		 void (*fn)(void *ctx, struct study *study, int error), void *ctx)
{
	struct wish *w = calloc(1, sizeof(*w));
	int r = w ? 0 : -ENOMEM;

	pthread_mutex_lock(&s->lock);
	if (r == 0 && (s->waiting >= WAITING_MAX || atomic_load(&s->is_stopping)))
		r = -EBUSY;
	if (r == 0) {
		*w = (struct wish){ .ask = *ask, .fn = fn, .ctx = ctx };
		*s->last = w;
		s->last = &w->next;
		s->waiting++;
		pthread_cond_signal(&s->changed);
	} else {
		free(w);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}
