// SPDX-License-Identifier: Apache-2.0
/*
 * Detaching in the background: the kernel takes 0.1 s for each probe, 6 s for a
 * libcublas. A pin that is unlinked detaches its probe; 6.18 does so on a worker
 * of its own, so unlinking is quick there, which nobody promises. Whoever stops
 * in the middle leaves a directory with the rest, which the next sweep finds.
 *
 * Removing takes no lock: an attachment's number is never used again, and
 * nobody adopts one that has lost a pin.
 */

#include "probes_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int attachment_remove(const char *dir, uint32_t seq, const bool *is_stopping)
{
	char name[NAME_MAX + 1];
	struct dirent *e;
	int rc, fd;
	DIR *d;

	rc = attachment_find(dir, seq, name);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!d) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while ((e = readdir(d)) && !(is_stopping && __atomic_load_n(is_stopping, __ATOMIC_ACQUIRE)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rc = unlinkat(fd, name, AT_REMOVEDIR) ? -errno : 0;
	close(fd);
	return rc;
}

static void *releaser_run(void *arg)
{
	struct releaser *r = arg;
	uint32_t seq;

	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping) {
		if (!r->queued) {
			r->is_busy = false;
			pthread_cond_broadcast(&r->changed);
			pthread_cond_wait(&r->changed, &r->lock);
			continue;
		}
		r->is_busy = true;
		seq = r->queue[--r->queued];
		pthread_mutex_unlock(&r->lock);
		attachment_remove(r->dir, seq, &r->is_stopping);
		pthread_mutex_lock(&r->lock);
	}
	r->is_busy = false;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int releaser_start(struct releaser *r, const char *dir)
{
	pthread_condattr_t attr;
	int rc;

	snprintf(r->dir, sizeof(r->dir), "%s", dir);
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
	rc = pthread_create(&r->thread, NULL, releaser_run, r);
	if (rc)
		return -rc;
	r->is_started = true;
	return 0;
}

void releaser_stop(struct releaser *r)
{
	if (!r->is_started)
		return;
	pthread_mutex_lock(&r->lock);
	__atomic_store_n(&r->is_stopping, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	r->is_started = false;
}

int releaser_add(struct releaser *r, uint32_t seq)
{
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->queued; i++)
		if (r->queue[i] == seq)
			rc = -EALREADY;
	if (!rc && r->queued == OM_LIBRARIES_MAX)
		rc = -ENOSPC; /* the next sweep finds it */
	if (!rc) {
		r->queue[r->queued++] = seq;
		r->is_busy = true;
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

int releaser_wait(struct releaser *r, int timeout_ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_nsec -= 1000000000l;
		until.tv_sec++;
	}
	pthread_mutex_lock(&r->lock);
	while ((r->queued || r->is_busy) && !rc)
		rc = pthread_cond_timedwait(&r->changed, &r->lock, &until);
	pthread_mutex_unlock(&r->lock);
	return -rc;
}

int probes_wait_released(struct probes *p, int timeout_ms)
{
	return releaser_wait(&p->releaser, timeout_ms);
}

static int dir_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(path) ? -errno : 0;
}

int probes_remove_all(const char *pin_dir, struct error_text *err)
{
	const char *dir = pin_dir ? pin_dir : PROBES_PIN_DIR;
	_cleanup_free_ struct attachment *all = calloc(OM_LIBRARIES_MAX, sizeof(*all));
	static const char *const parts[] = { "libraries", "process", "maps" };
	_cleanup_close_ int lock = -1;
	char path[PATH_MAX];
	int count, rc;

	if (!all)
		return -ENOMEM;
	rc = probes_lock(dir, &lock);
	if (rc)
		return error_set(err, rc, rc == -ENOENT ? "%s: nothing is pinned there" : "%s: cannot lock",
				 dir);
	snprintf(path, sizeof(path), "%s/libraries", dir);
	while ((count = attachments_list(path, all, OM_LIBRARIES_MAX)) > 0)
		for (int i = 0; i < count; i++) {
			rc = attachment_remove(path, all[i].seq, NULL);
			if (rc)
				return error_set(err, rc, "%s: cannot remove: %s", path, strerror(-rc));
		}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, parts[i]);
		rc = dir_empty(path);
		if (rc)
			return error_set(err, rc, "%s: cannot remove: %s", path, strerror(-rc));
	}
	return rmdir(dir) ? error_set(err, -errno, "%s: cannot remove: %s", dir, strerror(errno)) : 0;
}
