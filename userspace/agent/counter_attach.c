// SPDX-License-Identifier: Apache-2.0
/*
 * Links to the collector's sites. The directory's name holds the file and the build
 * of the programs, so a later build attaches anew and then lets the old ones go; both
 * hear the same readings meanwhile, which changes nothing.
 *
 * The semaphore goes with the perf event: the kernel raises it in every process that
 * maps the file, also in those to come.
 */

#include "counter_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "elf_notes.h"
#include "probes_internal.h"

#define SITES_MAX 8
#define SEMAPHORE_SHIFT 32 /* /sys/bus/event_source/devices/uprobe/format/ref_ctr_offset: config:32-63 */

#if defined(__x86_64__)
#define SITE_ARGUMENTS "8@%rdi"
#else
#define SITE_ARGUMENTS "8@x0"
#endif

int counter_build(struct counter *c)
{
	struct bpf_program *prog;

	c->build = FNV64_START;
	bpf_object__for_each_program(prog, c->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			return -errno;
		c->build = fnv64(c->build, info.tag, sizeof(info.tag));
	}
	return 0;
}

static bool is_usable(const struct elf_probe *p)
{
	return !strcmp(p->arguments, SITE_ARGUMENTS) && p->semaphore && p->semaphore <= UINT32_MAX &&
	       (!strcmp(p->name, OM_COUNTER_READING_SITE) || !strcmp(p->name, OM_COUNTER_STATUS_SITE));
}

/* The sites of the file behind fd; -ENOENT: not both kinds, so it is no collector. */
static int sites_find(int fd, struct elf_probe ret[SITES_MAX], size_t *ret_count, struct error_text *err)
{
	_cleanup_elf_image_ struct elf_image *img = NULL;
	bool has_reading = false, has_status = false;
	size_t count, kept = 0;
	int rc = elf_image_open(fd, &img, err);

	rc = rc ?: elf_image_probes(img, OM_COUNTER_PROVIDER, ret, SITES_MAX, &count, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (!is_usable(&ret[i]))
			continue;
		has_reading |= !strcmp(ret[i].name, OM_COUNTER_READING_SITE);
		has_status |= !strcmp(ret[i].name, OM_COUNTER_STATUS_SITE);
		ret[kept++] = ret[i];
	}
	*ret_count = kept;
	return has_reading && has_status ? 0
					 : error_set(err, -ENOENT, "it has not the collector's probe sites");
}

bool counter_is_collector(const char *open_path)
{
	_cleanup_close_ int fd = open(open_path, O_RDONLY | O_CLOEXEC);
	struct elf_probe sites[SITES_MAX];
	size_t count;

	return fd >= 0 && !sites_find(fd, sites, &count, NULL);
}

static int site_attach(struct counter *c, const char *path, const struct elf_probe *site, const char *pin)
{
	int prog = bpf_program__fd(strcmp(site->name, OM_COUNTER_READING_SITE)
					   ? c->skel->progs.on_counter_status
					   : c->skel->progs.on_counter_reading);
	int type = probes_perf_type();
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)type,
		.config = site->semaphore << SEMAPHORE_SHIFT,
		.config1 = (uintptr_t)path,
		.config2 = site->offset,
	};
	_cleanup_close_ int event = -1;
	_cleanup_close_ int link = -1;

	if (type < 0)
		return type;
	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link = bpf_link_create(prog, event, BPF_PERF_EVENT, NULL);
	if (link < 0)
		return -errno;
	return bpf_obj_pin(link, pin) ? -errno : 0;
}

/* --- directories of links --- */

static void dir_path(const struct counter *c, const char *name, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/links/%s", c->dir, name);
}

static size_t entries_count(const char *path)
{
	struct dirent *e;
	size_t count = 0;
	DIR *d = opendir(path);

	while (d && (e = readdir(d)))
		count += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return count;
}

/* Unlinks what is in it, then itself. */
static int dir_remove(const char *path)
{
	struct dirent *e;
	char name[PATH_MAX];
	DIR *d = opendir(path);

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    snprintf(name, sizeof(name), "%s/%s", path, e->d_name) < (int)sizeof(name))
			unlink(name);
	closedir(d);
	return rmdir(path) ? -errno : 0;
}

static bool own_has(const struct counter *c, const char *name)
{
	for (size_t i = 0; i < c->own_count; i++)
		if (!strcmp(c->own[i], name))
			return true;
	return false;
}

static void own_add(struct counter *c, const char *name)
{
	if (!own_has(c, name) && c->own_count < COUNTER_FILES_MAX)
		snprintf(c->own[c->own_count++], NAME_MAX + 1, "%s", name);
}

static void own_remove(struct counter *c, const char *name)
{
	for (size_t i = 0; i < c->own_count; i++)
		if (!strcmp(c->own[i], name))
			memmove(c->own[i], c->own[--c->own_count], sizeof(c->own[i]));
}

/* Removes the directories whose name begins with `prefix` and is not `keep`, or, with `only_foreign`, is not
 * ours. Returns how many. */
static int dirs_remove(struct counter *c, const char *prefix, const char *keep, bool only_foreign)
{
	char links[PATH_MAX], path[PATH_MAX];
	struct dirent *e;
	int count = 0;
	DIR *d;

	dir_path(c, "", links);
	d = opendir(links);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) ||
		    (keep && !strcmp(e->d_name, keep)) || (only_foreign && own_has(c, e->d_name)))
			continue;
		dir_path(c, e->d_name, path);
		own_remove(c, e->d_name);
		count += !dir_remove(path);
	}
	closedir(d);
	return count;
}

/* --- the public side --- */

static int sites_attach(struct counter *c, const char *path, const struct elf_probe *sites, size_t count,
			const char *dir, struct error_text *err)
{
	char pin[PATH_MAX + 32];
	int rc;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return error_set(err, -errno, "%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < count; i++) {
		snprintf(pin, sizeof(pin), "%s/%zu", dir, i);
		rc = site_attach(c, path, &sites[i], pin);
		if (rc) {
			dir_remove(dir);
			return error_set(err, rc, "%s: cannot attach to %s: %s", path, sites[i].name,
					 strerror(-rc));
		}
	}
	return 0;
}

int counter_attach(struct counter *c, const char *open_path, uint64_t dev, uint64_t ino,
		   struct error_text *err)
{
	_cleanup_close_ int fd = open(open_path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int lock = -1;
	struct elf_probe sites[SITES_MAX];
	char name[NAME_MAX + 1], prefix[64], dir[PATH_MAX];
	size_t count;
	int rc;

	if (fd < 0)
		return error_set(err, -errno, "%s: %s", open_path, strerror(errno));
	rc = sites_find(fd, sites, &count, err);
	rc = rc ?: probes_lock(c->dir, &lock);
	if (rc)
		return rc;
	snprintf(prefix, sizeof(prefix), "%" PRIx64 "-%" PRIu64 "-", dev, ino);
	snprintf(name, sizeof(name), "%s%016" PRIx64, prefix,
		 fnv64(c->build, sites, count * sizeof(sites[0])));
	dir_path(c, name, dir);
	if (entries_count(dir) != count) {
		dir_remove(dir); /* one that was cut short */
		rc = sites_attach(c, open_path, sites, count, dir, err);
	}
	if (rc)
		return rc;
	own_add(c, name);
	rc = dirs_remove(c, prefix, name, false);
	return rc < 0 ? rc : 0;
}

int counter_release(struct counter *c, uint64_t dev, uint64_t ino)
{
	char prefix[64];
	int rc;

	snprintf(prefix, sizeof(prefix), "%" PRIx64 "-%" PRIu64 "-", dev, ino);
	rc = dirs_remove(c, prefix, NULL, false);
	return rc < 0 ? rc : rc ? 0 : -ENOENT;
}

int counter_sweep(struct counter *c, size_t *ret_count)
{
	int rc = dirs_remove(c, "", NULL, true);

	if (rc < 0)
		return rc;
	if (ret_count)
		*ret_count = (size_t)rc;
	return 0;
}

int counter_remove_all(const char *pin_dir)
{
	struct counter c = {};
	char path[PATH_MAX];
	int rc;

	if (snprintf(c.dir, sizeof(c.dir), "%s/counter", pin_dir) >= (int)sizeof(c.dir))
		return -ENAMETOOLONG;
	rc = dirs_remove(&c, "", NULL, false);
	if (rc < 0)
		return rc;
	dir_path(&c, "", path);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/maps", c.dir);
	dir_remove(path);
	return rmdir(c.dir) ? -errno : 0;
}
