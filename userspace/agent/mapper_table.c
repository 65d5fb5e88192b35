// SPDX-License-Identifier: Apache-2.0
/* Open addressing over twice the capacity; a removal moves the rest of its run
 * back, so that there are no marks of the dead to wade through. */
#include "mapper_table.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "../base/cleanup.h"

#define PLACES (2 * MAPPERS_MAX)

struct mapper_table {
	int epoll;
	unsigned total;
	unsigned count[MAPPER_LIBRARIES_MAX];
	struct mapper place[PLACES];
};

struct mapper_table *mapper_table_new(int epoll)
{
	struct mapper_table *t = calloc(1, sizeof(*t));

	if (t)
		t->epoll = epoll;
	return t;
}

struct mapper_table *mapper_table_free(struct mapper_table *t)
{
	for (size_t i = 0; t && i < PLACES; i++)
		if (t->place[i].tgid)
			closep(&t->place[i].pidfd);
	free(t);
	return NULL;
}

static size_t home_of(pid_t tgid)
{
	return (uint32_t)tgid * 2654435769u % PLACES;
}

/* Where it is, or the free place where it would be. */
static size_t place_of(const struct mapper_table *t, pid_t tgid)
{
	size_t i = home_of(tgid);

	while (t->place[i].tgid && t->place[i].tgid != tgid)
		i = (i + 1) % PLACES;
	return i;
}

const struct mapper *mapper_find(const struct mapper_table *t, pid_t tgid)
{
	const struct mapper *m = &t->place[place_of(t, tgid)];

	return m->tgid ? m : NULL;
}

static int open_pidfd(const struct mapper_table *t, pid_t tgid)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)tgid };
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, tgid, 0);

	if (fd < 0)
		return -errno;
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	return TAKE_FD(fd);
}

int mapper_add(struct mapper_table *t, pid_t tgid, int library)
{
	struct mapper *m = &t->place[place_of(t, tgid)];
	uint64_t bit = 1ull << library;

	if (m->tgid && m->libraries & bit)
		return 0;
	if (!m->tgid) {
		int fd = t->total < MAPPERS_MAX ? open_pidfd(t, tgid) : -ENOSPC;

		if (fd == -ESRCH || fd == -EINVAL || fd == -ENOSPC)
			return fd == -ENOSPC ? fd : -ESRCH;
		*m = (struct mapper){ .tgid = tgid, .pidfd = fd < 0 ? -1 : fd };
		t->total++;
	}
	m->libraries |= bit;
	t->count[library]++;
	return 1;
}

/* Moves back whoever stands past the hole and could stand in it. */
static void close_hole(struct mapper_table *t, size_t hole)
{
	for (size_t i = (hole + 1) % PLACES; t->place[i].tgid; i = (i + 1) % PLACES) {
		size_t home = home_of(t->place[i].tgid);

		/* Distances along the ring: is the hole between its home and its place? */
		if ((i + PLACES - home) % PLACES < (i + PLACES - hole) % PLACES)
			continue;
		t->place[hole] = t->place[i];
		hole = i;
	}
	t->place[hole] = (struct mapper){ 0 };
}

void mapper_set(struct mapper_table *t, pid_t tgid, uint64_t libraries)
{
	size_t i = place_of(t, tgid);
	struct mapper *m = &t->place[i];

	if (!m->tgid)
		return;
	for (int k = 0; k < MAPPER_LIBRARIES_MAX; k++) {
		t->count[k] -= m->libraries >> k & 1;
		t->count[k] += libraries >> k & 1;
	}
	m->libraries = libraries;
	if (libraries)
		return;
	closep(&m->pidfd); /* which also takes it out of the epoll set */
	t->total--;
	close_hole(t, i);
}

unsigned mapper_count(const struct mapper_table *t, int library)
{
	return t->count[library];
}

unsigned mapper_total(const struct mapper_table *t)
{
	return t->total;
}

void mapper_each(struct mapper_table *t, void (*fn)(void *ctx, const struct mapper *m), void *ctx)
{
	for (size_t i = 0; i < PLACES;) {
		struct mapper m = t->place[i];

		if (m.tgid)
			fn(ctx, &m);
		/* If it went, another may have moved to its place. */
		if (t->place[i].tgid == m.tgid)
			i++;
	}
}
