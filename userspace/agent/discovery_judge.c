// SPDX-License-Identifier: Apache-2.0
/* From a mapping that was seen to the library that it is of, or to none. */
#include "discovery_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "describe.h"

/* --- files -------------------------------------------------------------- */

struct search {
	const struct proc_mapping *want;
	int fd;
};

static int open_if_same(void *ctx, const struct proc_mapping *m)
{
	struct search *s = ctx;

	if (m->ino != s->want->ino || m->dev_major != s->want->dev_major ||
	    m->dev_minor != s->want->dev_minor)
		return 0;
	s->fd = proc_open_mapped(m->task, m->start, m->end);
	return s->fd >= 0;
}

/* The mapping as announced may have been split since, or the file be reachable by
 * its path only. */
static int open_sighted(const struct sighting *s)
{
	const struct proc_mapping *m = s->mapping;
	struct search search = { m, -1 };
	int fd = proc_open_mapped(m->task, m->start, m->end);

	if (fd >= 0 || fd == -EINVAL)
		return fd;
	proc_maps_each(s->tgid, open_if_same, &search);
	return search.fd >= 0 ? search.fd : proc_open_path(m->task, m->path, m->ino);
}

static int identify(int fd, struct file_identity *ret)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	file_identity_from(&st, ret);
	return 0;
}

/* True if the file behind a cached verdict is still the one it was given for; if
 * it can't be asked any more, the verdict stands. */
static bool is_fresh(const struct file_verdict *v, const struct proc_mapping *m)
{
	struct file_identity id;
	struct stat st;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", m->task, (unsigned long long)m->start,
		 (unsigned long long)m->end);
	if (stat(path, &st))
		return true;
	file_identity_from(&st, &id);
	return file_identity_equal(&id, &v->identity);
}

static void refuse(struct discovery *d, const char *path, pid_t tgid, const char *why)
{
	if (d->ops.refused)
		d->ops.refused(d->ctx, path, tgid, why);
}

/* --- slots -------------------------------------------------------------- */

static int slot_by_identity(const struct discovery *d, const struct file_identity *id)
{
	for (unsigned i = 0; i < d->config.libraries_max; i++)
		if (d->slot[i].state != SLOT_FREE && file_identity_equal(&d->slot[i].identity, id))
			return (int)i;
	return NO_LIBRARY;
}

/* A free slot, else one that is only kept in mind. */
static int slot_take(struct discovery *d)
{
	for (unsigned i = 0; i < d->config.libraries_max; i++)
		if (d->slot[i].state == SLOT_FREE)
			return (int)i;
	for (unsigned i = 0; i < d->config.libraries_max; i++) {
		if (d->slot[i].state != SLOT_DORMANT)
			continue;
		file_cache_drop_library(d->cache, (int)i);
		d->slot[i].state = SLOT_FREE;
		return (int)i;
	}
	return FAILED;
}

/* Takes fd over. */
static void slot_enliven(struct discovery *d, int index, int fd, const char *path)
{
	struct slot *s = &d->slot[index];

	s->state = SLOT_LIVE;
	s->fd = fd;
	s->idle_since_ns = discovery_now_ns();
	snprintf(s->lib.open_path, sizeof(s->lib.open_path), "/proc/self/fd/%d", fd);
	snprintf(s->lib.display_path, sizeof(s->lib.display_path), "%s", path);
	d->totals.libraries++;
	d->ops.appeared(d->ctx, &s->lib);
}

void discovery_release(struct discovery *d, struct slot *s)
{
	d->ops.released(d->ctx, &s->lib);
	closep(&s->fd);
	s->fd = -1;
	s->state = SLOT_DORMANT;
	d->totals.libraries--;
}

/* Looks at an open file that is not known: the index of its library, NO_LIBRARY,
 * or FAILED with *err. */
static int describe_new(struct discovery *d, int fd, const struct file_identity *id, struct error_text *err)
{
	struct library *lib = malloc(sizeof(*lib));
	int index = NO_LIBRARY, r = lib ? library_describe(fd, d->config.offsets, lib, err) : -ENOMEM;

	d->totals.checked++;
	if (r < 0)
		index = FAILED;
	if (r == 0) {
		index = slot_take(d);
		error_set(index < 0 ? err : NULL, 0, "more than %u libraries are mapped at once",
			  d->config.libraries_max);
	}
	if (index >= 0) {
		d->slot[index].lib = *lib;
		d->slot[index].identity = *id;
	}
	free(lib);
	return index;
}

/* Takes fd over. The index, or NO_LIBRARY, or FAILED and *err. */
int discovery_look_at(struct discovery *d, int fd_given, const char *path, struct file_identity *id,
		      struct error_text *err)
{
	_cleanup_close_ int fd = fd_given;
	int index, r = identify(fd, id);

	if (r) {
		error_set(err, r, "can't be looked at: %s", strerror(-r));
		return FAILED;
	}
	index = slot_by_identity(d, id);
	if (index == NO_LIBRARY)
		index = describe_new(d, fd, id, err);
	if (index >= 0 && d->slot[index].state != SLOT_LIVE)
		slot_enliven(d, index, TAKE_FD(fd), path);
	return index;
}

int discovery_judge(struct discovery *d, const struct sighting *s)
{
	const struct proc_mapping *m = s->mapping;
	uint64_t dev = makedev(m->dev_major, m->dev_minor);
	const struct file_verdict *known = file_cache_get(d->cache, dev, m->ino);
	struct file_verdict v = { .dev = dev, .ino = m->ino };
	struct error_text err = { "" };
	int fd;

	if (known && (s->trusts_cache || is_fresh(known, m)) &&
	    (known->library == NO_LIBRARY || d->slot[known->library].state == SLOT_LIVE))
		return known->library;
	fd = open_sighted(s);
	if (fd == -EINVAL) /* a device: no file, so no library */
		return NO_LIBRARY;
	if (fd < 0) {
		d->totals.unopened++;
		if (strstr(m->path, "cublas"))
			refuse(d, m->path, s->tgid, "its process was gone before it could be opened");
		return NO_LIBRARY;
	}
	v.library = discovery_look_at(d, fd, m->path, &v.identity, &err);
	if (v.library == FAILED) {
		d->totals.refused++;
		refuse(d, m->path, s->tgid, err.text);
		v.library = NO_LIBRARY;
	}
	file_cache_put(d->cache, &v);
	return v.library;
}
