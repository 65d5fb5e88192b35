// SPDX-License-Identifier: Apache-2.0
/* Who waits for what is read from the topics: one thread reads, one question at a time, and the answer is for
 * all who asked the same. */
#include "api_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 32
#define WAITING_OF_ONE_MAX 8 /* of one token: the others must find a place, too */
#define READING_OF_ONE_MAX 2 /* different questions of it: each may take --read-time */
#define KEPT_MAX 8
#define FRESH_NS (60 * 1000000000ULL)
#define LOOK_S 5
/* While readings come in a total is another one each time: it is not read anew for each who asks. */
#define BEHIND_NS (10 * 1000000000ULL)

struct wish {
	struct wish *next;
	struct study_ask ask;
	char asker[API_TOKEN_NAME_STRLEN];
	struct study_waiter waiter;
};

struct studies {
	struct api *api;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct wish *first, **last;
	size_t waiting;
	struct study *kept; /* the latest first */
	atomic_bool is_stopping;
};

/* What was or will be read for `a` answers `b`, too. */
static bool answers(const struct study_ask *a, const struct study_ask *b)
{
	return a->group == b->group && !strcmp(a->first, b->first) && !strcmp(a->second, b->second) &&
	       !(b->wants & ~a->wants);
}

static struct study *ref(struct study *one)
{
	atomic_fetch_add(&one->refs, 1);
	return one;
}

static bool is_fresh(struct studies *s, const struct study *one, uint64_t now)
{
	uint64_t age = now - one->made_ns;

	if (one->tenants_serial != atomic_load(&s->api->tenants_serial))
		return false;
	return age < FRESH_NS && (age < BEHIND_NS || !study_is_behind(s->api, one));
}

static struct study *find_kept(struct studies *s, const struct study_ask *ask, const char *id)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);

	for (struct study *one = s->kept; id && one; one = one->next)
		if (answers(&one->ask, ask) && !strcmp(one->id, id)) {
			one->used_ns = now;
			return ref(one);
		}
	for (struct study *one = s->kept; one; one = one->next)
		if (answers(&one->ask, ask) && is_fresh(s, one, now))
			return ref(one);
	return NULL;
}

struct study *studies_have(struct studies *s, const struct study_ask *ask, const char *id)
{
	struct study *found;

	pthread_mutex_lock(&s->lock);
	found = find_kept(s, ask, id);
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* What it holds, in registers; a day takes no more. */
static size_t weight_of(const struct study *one)
{
	size_t n = one->registers + one->jobs;

	for (size_t i = 0; i < one->subjects.count; i++)
		n += one->sorted[i]->days;
	return n;
}

/* Frees what nobody used for a minute, and of the rest the earliest that are too many: all together hold no
 * more than one reading may, but the latest stays. */
static void tidy(struct studies *s)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	size_t n = 0, weight = 0;

	for (struct study **at = &s->kept; *at;) {
		struct study *one = *at;
		size_t more = weight_of(one);

		if (now - one->used_ns >= FRESH_NS || n == KEPT_MAX ||
		    (n && weight + more > s->api->config->registers_max)) {
			*at = one->next;
			study_unref(one);
			continue;
		}
		n++;
		weight += more;
		at = &one->next;
	}
}

static void keep(struct studies *s, struct study *one)
{
	one->next = s->kept;
	s->kept = ref(one);
	tidy(s);
}

/* Until somebody wishes something, or it is time to look what is too old. */
static void wait_for_wish(struct studies *s)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += LOOK_S;
	if (s->kept)
		pthread_cond_timedwait(&s->changed, &s->lock, &end);
	else
		pthread_cond_wait(&s->changed, &s->lock);
	tidy(s);
}

/* All wishes for the same, off the list. ask NULL: all of those whose client has gone. */
static struct wish *take(struct studies *s, const struct study_ask *ask)
{
	struct wish *same = NULL;

	for (struct wish **at = &s->first; *at;) {
		struct wish *w = *at;

		if (ask ? !answers(ask, &w->ask) : !w->waiter.is_gone(w->waiter.ctx)) {
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
		w->waiter.fn(w->waiter.ctx, one, error);
		free(w);
		w = next;
	}
}

/* Gone clients keep no place and are not read for. The lock is let go meanwhile. */
static bool drop_gone(struct studies *s)
{
	struct wish *gone = take(s, NULL);

	if (!gone)
		return false;
	pthread_mutex_unlock(&s->lock);
	fulfil(gone, NULL, -ECONNRESET);
	pthread_mutex_lock(&s->lock);
	return true;
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
			wait_for_wish(s);
		if (!s->first)
			break;
		if (drop_gone(s))
			continue;
		ask = s->first->ask;
		one = find_kept(s, &ask, NULL);
		is_new = !one;
		pthread_mutex_unlock(&s->lock);
		r = one				   ? 0
		    : atomic_load(&s->is_stopping) ? -ECANCELED
						   : study_read(s->api, &ask, &s->is_stopping, &one);
		if (r && r != -ECANCELED)
			log_warn("the topics were not read for an answer: %s", strerror(-r));
		pthread_mutex_lock(&s->lock);
		same = take(s, &ask);
		if (one && is_new)
			keep(s, one);
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

/* Whether one more of this asker can be taken: few different questions, and not all places. */
static bool has_place(const struct studies *s, const struct study_ask *ask, const char *asker)
{
	size_t of_asker = 0, questions = 0;
	bool is_asked = false;

	for (const struct wish *w = s->first; w; w = w->next) {
		bool is_repeated = false;

		is_asked |= answers(&w->ask, ask);
		if (strcmp(w->asker, asker))
			continue;
		of_asker++;
		for (const struct wish *v = s->first; v != w; v = v->next)
			is_repeated |= answers(&v->ask, &w->ask);
		questions += !is_repeated;
	}
	return of_asker < WAITING_OF_ONE_MAX && (is_asked || questions < READING_OF_ONE_MAX);
}

static int place_for(const struct studies *s, const struct study_ask *ask, const char *asker)
{
	if (s->waiting >= WAITING_MAX || atomic_load(&s->is_stopping))
		return -EBUSY;
	return has_place(s, ask, asker) ? 0 : -EDQUOT;
}

int studies_want(struct studies *s, const struct study_ask *ask, const char *asker,
		 const struct study_waiter *waiter)
{
	struct wish *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	pthread_mutex_lock(&s->lock);
	r = place_for(s, ask, asker);
	if (r && drop_gone(s))
		r = place_for(s, ask, asker);
	if (r == 0) {
		*w = (struct wish){ .ask = *ask, .waiter = *waiter };
		snprintf(w->asker, sizeof(w->asker), "%s", asker);
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
