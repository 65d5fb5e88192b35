// SPDX-License-Identifier: Apache-2.0
/*
 * DESIGN
 *
 * Events say that something was mapped; /proc says what is mapped now. Events are
 * only ever a reason to look: what is believed comes from /proc and from the file
 * itself, so a lost, late or misleading event costs time and nothing else.
 *
 *   event or scan -> cache by (dev, inode) -> not a library: done
 *                         | unknown             | library: note the mapper
 *                         v
 *                 open, describe, hash -> slot -> appeared(), mapped()
 *
 * A slot is a library. It is LIVE while somebody maps it, and for the linger time
 * after; then it is released and stays DORMANT: described, without a descriptor,
 * until its room is needed, so that the next process that maps the same file
 * does not make us hash it again. Before a release all of /proc is looked through
 * once more: a process that inherited the mapping by fork was never announced.
 *
 * Cost: a tenant decides how many files it maps and how large they are. The time
 * spent on looking is drawn from a budget that refills at a tenth of real time; when
 * it is used up, events wait in their rings, and if those overflow, that is counted
 * and leads to a scan when there is budget again.
 */
#include "discovery_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#include <time.h>

#define BUDGET_MAX_NS (20 * SECOND_NS) /* a first scan of a large node */
#define BUDGET_SHARE 10		       /* refills at 1/10 of real time */

uint64_t discovery_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* --- budget ------------------------------------------------------------- */

static void budget_refill(struct discovery *d)
{
	uint64_t now = discovery_now_ns();

	d->budget_ns += (int64_t)((now - d->budget_at_ns) / BUDGET_SHARE);
	if (d->budget_ns > (int64_t)BUDGET_MAX_NS)
		d->budget_ns = BUDGET_MAX_NS;
	d->budget_at_ns = now;
}

static void budget_spend(struct discovery *d, uint64_t since_ns)
{
	d->budget_ns -= (int64_t)(discovery_now_ns() - since_ns);
}

/* --- mappers ------------------------------------------------------------ */

static void note_mapper(struct discovery *d, int library, const struct sighting *s)
{
	struct slot *slot = &d->slot[library];
	int r = mapper_add(d->mappers, s->tgid, library);

	if (r == 0)
		return;
	if (r == -ENOSPC) {
		d->totals.untracked++;
		slot->idle_since_ns = discovery_now_ns();
	} else if (r == 1) {
		slot->idle_since_ns = 0;
	}
	d->ops.mapped(d->ctx, &slot->lib, s->tgid, s->mapped_ns);
}

static void sight(struct discovery *d, const struct sighting *s)
{
	int library = discovery_judge(d, s);

	if (library >= 0)
		note_mapper(d, library, s);
}

static void drop_mapper(struct discovery *d, pid_t tgid, uint64_t still)
{
	const struct mapper *m = mapper_find(d->mappers, tgid);
	uint64_t gone = m ? m->libraries & ~still : 0;

	mapper_set(d->mappers, tgid, still);
	for (int i = 0; i < MAPPER_LIBRARIES_MAX; i++)
		if (gone >> i & 1 && mapper_count(d->mappers, i) == 0)
			d->slot[i].idle_since_ns = discovery_now_ns();
}

/* --- scan and sweep ----------------------------------------------------- */

struct scan {
	struct discovery *d;
	pid_t tgid;
	bool trusts_cache;
	uint64_t last_dev, last_ino; /* several mappings of one file follow each other */
};

static int scan_mapping(void *ctx, const struct proc_mapping *m)
{
	struct scan *scan = ctx;
	struct sighting s = { .tgid = scan->tgid, .mapping = m, .trusts_cache = scan->trusts_cache };
	uint64_t dev = makedev(m->dev_major, m->dev_minor);

	if (m->ino == scan->last_ino && dev == scan->last_dev)
		return 0;
	scan->last_ino = m->ino;
	scan->last_dev = dev;
	sight(scan->d, &s);
	return 0;
}

static int scan_process(void *ctx, pid_t tgid)
{
	struct scan *scan = ctx;

	scan->tgid = tgid;
	scan->last_ino = 0;
	/* A process that is gone, or may not be looked at, has nothing for us. */
	proc_maps_each(tgid, scan_mapping, scan);
	return 0;
}

static int scan_all(struct discovery *d, bool trusts_cache)
{
	struct scan scan = { .d = d, .trusts_cache = trusts_cache };
	uint64_t since = discovery_now_ns();
	int r = proc_each(scan_process, &scan);

	d->totals.scans++;
	budget_spend(d, since);
	return r;
}

int discovery_scan(struct discovery *d)
{
	d->needs_scan = false;
	return scan_all(d, false);
}

struct recount {
	struct discovery *d;
	uint64_t libraries;
};

static int recount_mapping(void *ctx, const struct proc_mapping *m)
{
	struct recount *r = ctx;
	const struct file_verdict *v =
		file_cache_get(r->d->cache, makedev(m->dev_major, m->dev_minor), m->ino);

	if (v && v->library >= 0)
		r->libraries |= 1ull << v->library;
	return 0;
}

static void sweep_mapper(void *ctx, const struct mapper *m)
{
	struct recount r = { .d = ctx };
	int rc = proc_maps_each(m->tgid, recount_mapping, &r);

	if (rc == 0 || rc == -ESRCH)
		drop_mapper(r.d, m->tgid, m->libraries & r.libraries);
}

/* Finds out what no event tells: dlclose, exec, CPUs that came. */
static int sweep(struct discovery *d, uint64_t now)
{
	uint64_t since = discovery_now_ns();
	int r = mmap_watch_add_cpus(d->watch);

	d->swept_ns = now;
	mapper_each(d->mappers, sweep_mapper, d);
	budget_spend(d, since);
	if (r < 0)
		return r;
	return r > 0 ? scan_all(d, true) : 0;
}

static bool is_due(const struct discovery *d, unsigned i, uint64_t now)
{
	const struct slot *s = &d->slot[i];

	return s->state == SLOT_LIVE && !s->is_pinned && mapper_count(d->mappers, (int)i) == 0 &&
	       s->idle_since_ns + d->config.linger_ns <= now;
}

static int release_idle(struct discovery *d, uint64_t now)
{
	bool any = false;
	int r;

	for (unsigned i = 0; i < d->config.libraries_max; i++)
		any |= is_due(d, i, now);
	/* One look through /proc serves all that are due, and at most one a linger time. */
	if (!any || d->confirmed_ns + d->config.linger_ns / 2 > now)
		return 0;
	d->confirmed_ns = now;
	r = scan_all(d, true);
	for (unsigned i = 0; i < d->config.libraries_max && !r; i++)
		if (is_due(d, i, now))
			discovery_release(d, &d->slot[i]);
	return r;
}

/* --- public ------------------------------------------------------------- */

static void config_defaults(struct discovery_config *c)
{
	if (!c->linger_ns)
		c->linger_ns = 10 * SECOND_NS;
	if (!c->sweep_ns)
		c->sweep_ns = 60 * SECOND_NS;
	if (!c->ring_bytes)
		c->ring_bytes = 128 * 1024;
	if (!c->libraries_max || c->libraries_max > MAPPER_LIBRARIES_MAX)
		c->libraries_max = MAPPER_LIBRARIES_MAX;
}

int discovery_open(const struct discovery_config *config, const struct discovery_ops *ops, void *ctx,
		   struct discovery **ret, struct error_text *err)
{
	_cleanup_discovery_ struct discovery *d = calloc(1, sizeof(*d));
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 0 };
	int r;

	if (!d)
		return -ENOMEM;
	d->config = *config;
	config_defaults(&d->config);
	d->ops = *ops;
	d->ctx = ctx;
	d->budget_ns = BUDGET_MAX_NS;
	d->budget_at_ns = d->swept_ns = discovery_now_ns();
	for (size_t i = 0; i < ARRAY_SIZE(d->slot); i++)
		d->slot[i].fd = -1;
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll < 0)
		return -errno;
	d->cache = file_cache_new();
	d->mappers = mapper_table_new(d->epoll);
	if (!d->cache || !d->mappers)
		return -ENOMEM;
	r = mmap_watch_open(d->config.ring_bytes, &d->watch, err);
	if (r)
		return r;
	if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, mmap_watch_fd(d->watch), &ev))
		return -errno;
	*ret = TAKE_PTR(d);
	return 0;
}

struct discovery *discovery_free(struct discovery *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(d->slot); i++)
		closep(&d->slot[i].fd);
	mmap_watch_free(d->watch);
	mapper_table_free(d->mappers);
	file_cache_free(d->cache);
	closep(&d->epoll);
	free(d);
	return NULL;
}

int discovery_add(struct discovery *d, const char *path, struct error_text *err)
{
	struct file_identity id;
	struct error_text why = { "" };
	int index, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	index = discovery_look_at(d, fd, path, &id, &why);
	if (index == NO_LIBRARY)
		return error_set(err, -ENOEXEC, "%s: not a library with matrix products", path);
	if (index == FAILED)
		return error_set(err, -EBADMSG, "%s: %s", path, why.text);
	d->slot[index].is_pinned = true;
	return 0;
}

int discovery_fd(const struct discovery *d)
{
	return d->epoll;
}

static void on_mmap(void *ctx, const struct mmap_event *e)
{
	struct discovery *d = ctx;
	struct proc_mapping m = { .task = e->tgid,
				  .start = e->start,
				  .end = e->end,
				  .dev_major = e->dev_major,
				  .dev_minor = e->dev_minor,
				  .ino = e->ino };
	struct sighting s = { .tgid = e->tgid, .mapping = &m, .mapped_ns = e->time_ns };

	d->totals.events++;
	if (!e->ino)
		return;
	snprintf(m.path, sizeof(m.path), "%s", e->path);
	sight(d, &s);
}

static int wait_for_events(struct discovery *d, int timeout_ms)
{
	struct epoll_event ev[64];
	int n = epoll_wait(d->epoll, ev, ARRAY_SIZE(ev), timeout_ms);

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		if (ev[i].data.u64)
			drop_mapper(d, (pid_t)ev[i].data.u64, 0);
	return 0;
}

/* No budget: everything waits where it is, for as long as was asked. */
static int wait_for_budget(struct discovery *d, int timeout_ms)
{
	uint64_t since = discovery_now_ns();
	struct timespec t = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
	d->totals.throttled_ns += discovery_now_ns() - since;
	return 0;
}

int discovery_step(struct discovery *d, int timeout_ms)
{
	uint64_t since, now;
	int r;

	budget_refill(d);
	if (d->budget_ns < 0)
		return wait_for_budget(d, timeout_ms);
	r = wait_for_events(d, timeout_ms);
	if (r)
		return r;
	since = discovery_now_ns();
	if (mmap_watch_read(d->watch, on_mmap, d))
		d->needs_scan = true;
	budget_spend(d, since);
	if (d->needs_scan)
		r = discovery_scan(d);
	now = discovery_now_ns();
	if (!r && d->swept_ns + d->config.sweep_ns <= now)
		r = sweep(d, now);
	return r ? r : release_idle(d, now);
}

int discovery_each_library(const struct discovery *d, int (*fn)(void *ctx, const struct library *lib),
			   void *ctx)
{
	for (unsigned i = 0; i < d->config.libraries_max; i++) {
		int r = d->slot[i].state == SLOT_LIVE ? fn(ctx, &d->slot[i].lib) : 0;

		if (r)
			return r;
	}
	return 0;
}

void discovery_get_totals(const struct discovery *d, struct discovery_totals *ret)
{
	*ret = d->totals;
	ret->lost = mmap_watch_lost_total(d->watch);
	ret->mappers = mapper_total(d->mappers);
}
