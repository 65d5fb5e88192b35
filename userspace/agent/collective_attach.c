// SPDX-License-Identifier: Apache-2.0
/*
 * Links to NCCL's entries. As with the other libraries (agent/probes_attach.c) the
 * number of an attachment decides which of several probes counts a call, so it is
 * drawn, and all its probes attached, under one lock.
 */

#include "collective_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collective_entries.h"
#include "elf_image.h"
#include "probe_site.h"

struct site {
	uint32_t entry;
	uint64_t vaddr, offset;
};

struct target {
	struct site site[OM_COLLECTIVE_SITES_MAX];
	size_t count;
	int fd;
};

static void site_take(struct target *t, const struct elf_export *e)
{
	uint8_t code[PROBE_SITE_BYTES] = { 0 };
	int entry = om_collective_entry_find(e->name);
	size_t add;
	ssize_t n;

	if (entry < 0 || t->count == OM_COLLECTIVE_SITES_MAX)
		return;
	/* Two symbols at one address are one function: one probe. */
	n = pread(t->fd, code, sizeof(code), (off_t)e->offset);
	add = n > 0 ? probe_site_offset(code, (size_t)n) : 0;
	for (size_t i = 0; i < t->count; i++)
		if (t->site[i].offset == e->offset + add)
			return;
	t->site[t->count++] = (struct site){ (uint32_t)entry, e->vaddr + add, e->offset + add };
}

static int sites_find(const struct library *lib, struct target *ret, struct error_text *err)
{
	_cleanup_(elf_exports_done) struct elf_exports x = { 0 };
	_cleanup_elf_image_ struct elf_image *img = NULL;
	int rc = elf_image_open(ret->fd, &img, err);

	rc = rc ?: elf_image_exports(img, "nccl", &x, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < x.count; i++)
		site_take(ret, &x.item[i]);
	return ret->count ? 0 : error_set(err, -ENOENT, "%s: it has no entry of NCCL", lib->display_path);
}

/* The next number whose slot among the files is not in use. */
static int seq_draw(struct collective *c, const struct attachment *all, int count, uint32_t *ret)
{
	struct om_collective_meta meta;
	uint32_t zero = 0, seq = 0;
	bool is_used = true;

	if (bpf_map_lookup_elem(c->map_fd[COLLECTIVE_META], &zero, &meta))
		return -errno;
	for (size_t tries = 0; is_used && tries <= OM_COLLECTIVE_FILES_MAX; tries++) {
		seq = ++meta.next_seq;
		is_used = !seq;
		for (int i = 0; i < count; i++)
			is_used |= all[i].seq % OM_COLLECTIVE_FILES_MAX == seq % OM_COLLECTIVE_FILES_MAX;
	}
	if (is_used)
		return -ENOSPC;
	*ret = seq;
	return bpf_map_update_elem(c->map_fd[COLLECTIVE_META], &zero, &meta, BPF_ANY) ? -errno : 0;
}

static int file_store(struct collective *c, const struct library *lib, const struct target *t, uint32_t seq)
{
	struct om_collective_file f = { .seq = seq,
					.text_start = lib->text_start,
					.text_end = lib->text_end };
	uint32_t slot = seq % OM_COLLECTIVE_FILES_MAX;

	for (size_t i = 0; i < t->count; i++)
		f.site_vaddr[t->site[i].entry] = t->site[i].vaddr;
	return bpf_map_update_elem(c->map_fd[COLLECTIVE_FILES], &slot, &f, BPF_ANY) ? -errno : 0;
}

static int prog_fd_of(const struct collective *c, uint32_t entry)
{
	return bpf_program__fd(om_collective_entries[entry].kind < OM_COLLECTIVE_KIND_END
				       ? c->skel->progs.on_collective
				       : c->skel->progs.on_communicator);
}

static int sites_attach(struct collective *c, const struct library *lib, const struct target *t,
			const struct attachment *a, struct error_text *err)
{
	char name[ATTACHMENT_NAME_SIZE], dir[PATH_MAX - 64], pin[PATH_MAX];
	int type = probes_perf_type(), rc = type < 0 ? type : 0;

	attachment_format(a, name);
	snprintf(dir, sizeof(dir), "%s/%s", c->releaser.dir, name);
	if (mkdir(dir, 0700))
		return error_set(err, -errno, "%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < t->count && !rc; i++) {
		const struct site *s = &t->site[i];

		snprintf(pin, sizeof(pin), "%s/%u", dir, s->entry);
		rc = probe_page_read(t->fd, s->offset);
		rc = rc
			     ?: probe_attach(type, prog_fd_of(c, s->entry), lib->open_path, s->offset,
					     OM_COOKIE(s->entry, 0, a->seq), 0, pin);
		if (rc)
			error_set(err, rc, "%s: cannot attach to %s: %s", lib->display_path,
				  om_collective_entries[s->entry].symbol, strerror(-rc));
	}
	return rc;
}

static int attach_new(struct collective *c, const struct library *lib, const struct target *t,
		      const struct attachment *all, int count, struct attachment *a, struct error_text *err)
{
	int rc = seq_draw(c, all, count, &a->seq);

	if (rc)
		return error_set(err, rc, "%s: %d files have probes already", lib->display_path,
				 OM_COLLECTIVE_FILES_MAX);
	rc = file_store(c, lib, t, a->seq);
	rc = rc ?: sites_attach(c, lib, t, a, err);
	if (rc)
		attachment_remove(c->releaser.dir, a->seq, NULL);
	return rc;
}

/* --- which are there --- */

static bool own_has(const struct collective *c, uint32_t seq)
{
	for (size_t i = 0; i < c->own_count; i++)
		if (c->own[i] == seq)
			return true;
	return false;
}

static void own_add(struct collective *c, uint32_t seq)
{
	if (!own_has(c, seq) && c->own_count < ARRAY_SIZE(c->own))
		c->own[c->own_count++] = seq;
}

static void let_go(struct collective *c, struct attachment *a)
{
	for (size_t i = 0; i < c->own_count; i++)
		if (c->own[i] == a->seq)
			c->own[i--] = c->own[--c->own_count];
	attachment_let_go(c->releaser.dir, a);
	releaser_add(&c->releaser, a->seq);
}

/* The attachments there are, with the lock held. Returns how many, or -errno. */
static int list_locked(struct collective *c, struct attachment ret[OM_COLLECTIVE_FILES_MAX], int *ret_lock)
{
	int rc = probes_lock(c->dir, ret_lock);

	return rc ? rc : attachments_list(c->releaser.dir, ret, OM_COLLECTIVE_FILES_MAX);
}

static uint64_t build_of(const struct collective *c, const struct library *lib, const struct target *t)
{
	uint64_t h = fnv64(c->build, &lib->text_start, sizeof(lib->text_start));

	h = fnv64(h, &lib->text_end, sizeof(lib->text_end));
	for (size_t i = 0; i < t->count; i++) {
		h = fnv64(h, &t->site[i].entry, sizeof(t->site[i].entry));
		h = fnv64(h, &t->site[i].offset, sizeof(t->site[i].offset));
	}
	return h;
}

int collective_attach(struct collective *c, const struct library *lib, struct error_text *err)
{
	_cleanup_close_ int fd = open(lib->open_path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ struct attachment *all = calloc(OM_COLLECTIVE_FILES_MAX, sizeof(*all));
	struct attachment a = { .dev = lib->dev, .ino = lib->ino };
	struct target t = { .fd = fd };
	_cleanup_close_ int lock = -1;
	int count, rc;

	if (fd < 0 || !all)
		return error_set(err, fd < 0 ? -errno : -ENOMEM, "%s: cannot be opened", lib->display_path);
	rc = sites_find(lib, &t, err);
	if (rc)
		return rc;
	a.build = build_of(c, lib, &t);
	count = list_locked(c, all, &lock);
	if (count < 0)
		return error_set(err, count, "%s: %s", c->releaser.dir, strerror(-count));
	for (int i = 0; i < count && !a.seq; i++)
		if (!all[i].is_going && all[i].dev == a.dev && all[i].ino == a.ino &&
		    all[i].build == a.build && attachment_pins(c->releaser.dir, &all[i]) == t.count)
			a.seq = all[i].seq;
	rc = a.seq ? 0 : attach_new(c, lib, &t, all, count, &a, err);
	if (rc)
		return rc;
	own_add(c, a.seq);
	for (int i = 0; i < count; i++)
		if (all[i].dev == a.dev && all[i].ino == a.ino && all[i].seq != a.seq && !all[i].is_going)
			let_go(c, &all[i]);
	return 0;
}

int collective_release(struct collective *c, uint64_t dev, uint64_t ino)
{
	_cleanup_free_ struct attachment *all = calloc(OM_COLLECTIVE_FILES_MAX, sizeof(*all));
	_cleanup_close_ int lock = -1;
	int count = all ? list_locked(c, all, &lock) : -ENOMEM, found = 0;

	for (int i = 0; i < count; i++) {
		if (all[i].dev != dev || all[i].ino != ino || all[i].is_going)
			continue;
		let_go(c, &all[i]);
		found++;
	}
	return count < 0 ? count : found ? 0 : -ENOENT;
}

int collective_sweep(struct collective *c, size_t *ret_count)
{
	_cleanup_free_ struct attachment *all = calloc(OM_COLLECTIVE_FILES_MAX, sizeof(*all));
	_cleanup_close_ int lock = -1;
	int count = all ? list_locked(c, all, &lock) : -ENOMEM;
	size_t swept = 0;

	for (int i = 0; i < count; i++) {
		if (own_has(c, all[i].seq))
			continue;
		let_go(c, &all[i]);
		swept++;
	}
	if (count >= 0)
		*ret_count = swept;
	return count < 0 ? count : 0;
}

size_t collective_attached_count(const struct collective *c)
{
	_cleanup_free_ struct attachment *all = calloc(OM_COLLECTIVE_FILES_MAX, sizeof(*all));
	int count = all ? attachments_list(c->releaser.dir, all, OM_COLLECTIVE_FILES_MAX) : 0;
	size_t live = 0;

	for (int i = 0; i < count; i++)
		live += !all[i].is_going;
	return live;
}

int collective_remove_all(const char *pin_dir)
{
	_cleanup_free_ struct attachment *all = calloc(OM_COLLECTIVE_FILES_MAX, sizeof(*all));
	char dir[PATH_MAX / 2], path[PATH_MAX];
	int count;

	if (!all)
		return -ENOMEM;
	if (snprintf(dir, sizeof(dir), "%s/collective/libraries", pin_dir) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	count = attachments_list(dir, all, OM_COLLECTIVE_FILES_MAX);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++)
		attachment_remove(dir, all[i].seq, NULL);
	for (size_t i = 0; i < COLLECTIVE_MAP_END; i++) {
		snprintf(path, sizeof(path), "%s/collective/maps/%s", pin_dir, collective_pinned[i]);
		unlink(path);
	}
	rmdir(dir);
	snprintf(path, sizeof(path), "%s/collective/maps", pin_dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/collective", pin_dir);
	return rmdir(path) ? -errno : 0;
}
