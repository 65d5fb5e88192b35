// SPDX-License-Identifier: Apache-2.0
/*
 * Attaching to a library file, by path and file offset.
 *
 * The number of an attachment decides which probe counts a call (bpf/matmul.bpf.c),
 * so it is drawn, and all its probes attached, under one lock: the order of
 * numbers is the order of attachment. Each probe is pinned as soon as it is
 * attached, then its descriptors are closed: the pin holds it. If we die half
 * way, the next instance finds a directory with too few pins and does it again.
 */

#include "probes_internal.h"

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

#include "../core/gemm_entries.h"
#include "driver_entries.h"
#include "opmeter.skel.h"

int probes_perf_type(void)
{
	_cleanup_fclose_ FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type;

	if (!f)
		return -errno;
	return fscanf(f, "%d", &type) == 1 ? type : -EINVAL;
}

/* Bit 0 of the uprobe device's config: /sys/bus/event_source/devices/uprobe/format/retprobe */
#define AT_RETURN 1

int probe_attach(int type, int prog_fd, const char *path, uint64_t offset, uint64_t cookie, uint64_t config,
		 const char *pin)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)type,
		.config = config,
		.config1 = (uintptr_t)path,
		.config2 = offset,
	};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = cookie);
	_cleanup_close_ int event = -1;
	_cleanup_close_ int link = -1;

	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link = bpf_link_create(prog_fd, event, BPF_PERF_EVENT, &opts);
	if (link < 0)
		return -errno;
	return bpf_obj_pin(link, pin) ? -errno : 0;
}

static int driver_prog_fd(const struct probes *p, uint16_t index)
{
	switch (om_driver_entries[index].op) {
	case OM_OP_LAUNCH:
		return bpf_program__fd(p->skel->progs.on_launch);
	case OM_OP_LAUNCH_EX:
		return bpf_program__fd(p->skel->progs.on_launch_ex);
	case OM_OP_LAUNCH_MANY:
		return bpf_program__fd(p->skel->progs.on_launch_many);
	case OM_OP_LAUNCH_GRID:
		return bpf_program__fd(p->skel->progs.on_launch_grid);
	case OM_OP_GRAPH_LAUNCH:
		return bpf_program__fd(p->skel->progs.on_graph_launch);
	default:
		return bpf_program__fd(p->skel->progs.on_driver);
	}
}

static bool is_driver_entry(uint16_t entry)
{
	return entry >= OM_DRIVER_SITE_BASE && entry - OM_DRIVER_SITE_BASE < (int)om_driver_entry_count;
}

static const char *symbol_of(uint16_t entry)
{
	return is_driver_entry(entry) ? om_driver_entries[entry - OM_DRIVER_SITE_BASE].symbol
				      : om_gemm_entries[entry].symbol;
}

static int prog_fd_of(const struct probes *p, uint16_t entry)
{
	if (is_driver_entry(entry))
		return driver_prog_fd(p, entry - OM_DRIVER_SITE_BASE);
	switch (om_gemm_entries[entry].class) {
	case OM_GEMM_LT_MATMUL:
		return bpf_program__fd(p->skel->progs.on_lt_matmul);
	case OM_GEMM_GROUPED:
		return bpf_program__fd(p->skel->progs.on_gemm_grouped);
	default:
		return bpf_program__fd(p->skel->progs.on_gemm);
	}
}

/* --- attachments as directories --- */

#define GOING "gone-"

static bool attachment_parse(const char *name, struct attachment *ret)
{
	int end = 0;

	ret->is_going = !strncmp(name, GOING, strlen(GOING));
	name += ret->is_going ? strlen(GOING) : 0;
	return sscanf(name, "%" SCNu32 "-%" SCNx64 "-%" SCNu64 "-%" SCNx64 "%n", &ret->seq, &ret->dev,
		      &ret->ino, &ret->build, &end) == 4 &&
	       !name[end];
}

void attachment_format(const struct attachment *a, char ret[ATTACHMENT_NAME_SIZE])
{
	snprintf(ret, ATTACHMENT_NAME_SIZE, "%s%" PRIu32 "-%" PRIx64 "-%" PRIu64 "-%016" PRIx64,
		 a->is_going ? GOING : "", a->seq, a->dev, a->ino, a->build);
}

int attachment_let_go(const char *dir, struct attachment *a)
{
	char from[PATH_MAX], to[PATH_MAX], name[ATTACHMENT_NAME_SIZE];

	if (a->is_going)
		return 0;
	attachment_format(a, name);
	snprintf(from, sizeof(from), "%s/%s", dir, name);
	a->is_going = true;
	attachment_format(a, name);
	snprintf(to, sizeof(to), "%s/%s", dir, name);
	return rename(from, to) ? -errno : 0;
}

int attachments_list(const char *dir, struct attachment *ret, size_t max)
{
	struct dirent *e;
	size_t count = 0;
	DIR *d = opendir(dir);

	if (!d)
		return -errno;
	while (count < max && (e = readdir(d)))
		if (attachment_parse(e->d_name, &ret[count]))
			count++;
	closedir(d);
	return (int)count;
}

int attachment_find(const char *dir, uint32_t seq, char ret_name[NAME_MAX + 1])
{
	struct attachment a;
	struct dirent *e;
	int rc = -ENOENT;
	DIR *d = opendir(dir);

	if (!d)
		return -errno;
	while (rc && (e = readdir(d))) {
		if (!attachment_parse(e->d_name, &a) || a.seq != seq)
			continue;
		snprintf(ret_name, NAME_MAX + 1, "%s", e->d_name);
		rc = 0;
	}
	closedir(d);
	return rc;
}

size_t attachment_pins(const char *dir, const struct attachment *a)
{
	char name[ATTACHMENT_NAME_SIZE], path[PATH_MAX];
	struct dirent *e;
	size_t count = 0;
	DIR *d;

	attachment_format(a, name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d)))
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

/* --- what a library needs in the maps --- */

static bool offsets_are_sane(const struct om_offsets *o)
{
	const uint16_t in_layout[] = { o->layout_type, o->layout_batch };
	const uint16_t in_desc[] = { o->desc_compute, o->desc_transa, o->desc_transb };

	if (!o->layout_size || o->layout_size > OM_LAYOUT_READ_MAX || !o->desc_size ||
	    o->desc_size > OM_DESC_READ_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(in_layout); i++)
		if (in_layout[i] % 4 || in_layout[i] + 4u > o->layout_size)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(in_desc); i++)
		if (in_desc[i] % 4 || in_desc[i] + 4u > o->desc_size)
			return false;
	if (o->layout_mode != OM_OFFSET_NONE && (o->layout_mode % 4 || o->layout_mode + 4u > o->layout_size))
		return false;
	return !(o->layout_rows % 8) && o->layout_rows + 8u <= o->layout_size && !(o->layout_cols % 8) &&
	       o->layout_cols + 8u <= o->layout_size;
}

/* The row that holds these offsets, a new one if need be; 0 for an unproven file. */
static int offsets_row(struct probes *p, const struct library *lib)
{
	int fd = bpf_map__fd(p->skel->maps.offsets);
	struct om_offsets o;

	if (!lib->is_proven)
		return 0;
	if (!offsets_are_sane(&lib->offsets))
		return -EINVAL;
	for (uint32_t row = 1; row < OM_OFFSETS_ROWS; row++) {
		if (bpf_map_lookup_elem(fd, &row, &o))
			return -errno;
		if (!memcmp(&o, &lib->offsets, sizeof(o)))
			return (int)row;
		if (o.layout_size)
			continue;
		return bpf_map_update_elem(fd, &row, &lib->offsets, BPF_ANY) ? -errno : (int)row;
	}
	return -ENOSPC;
}

/* The next number whose slot among the facts is not in use. */
static int seq_draw(struct probes *p, const struct attachment *all, size_t count, uint32_t *ret)
{
	uint32_t zero = 0, seq = 0;
	struct om_meta meta;
	bool is_used = true;

	if (bpf_map_lookup_elem(p->map_fd[PROBES_META], &zero, &meta))
		return -errno;
	for (size_t tries = 0; is_used && tries <= OM_LIBRARIES_MAX; tries++) {
		seq = meta.next_seq++;
		is_used = !seq;
		for (size_t i = 0; i < count; i++)
			is_used |= all[i].seq % OM_LIBRARIES_MAX == seq % OM_LIBRARIES_MAX;
	}
	if (is_used)
		return -ENOSPC;
	if (bpf_map_update_elem(p->map_fd[PROBES_META], &zero, &meta, BPF_ANY))
		return -errno;
	*ret = seq;
	return 0;
}

static int facts_store(struct probes *p, const struct library *lib, uint32_t seq)
{
	struct om_library_facts facts = { .seq = seq,
					  .kind = lib->kind,
					  .dev = lib->dev,
					  .ino = lib->ino,
					  .text_start = lib->text_start,
					  .text_end = lib->text_end };
	uint32_t slot = seq % OM_LIBRARIES_MAX;

	for (size_t i = 0; i < lib->entry_count; i++)
		if (lib->entries[i].entry < OM_CALL_SITES_MAX)
			facts.site_vaddr[lib->entries[i].entry] = lib->entries[i].vaddr;
	return bpf_map_update_elem(p->map_fd[PROBES_LIBRARIES], &slot, &facts, BPF_ANY) ? -errno : 0;
}

/* --- one library --- */

/* Two symbols at one address are one function: one probe. */
static bool is_repeated(const struct library *lib, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (lib->entries[i].file_offset == lib->entries[index].file_offset)
			return true;
	return false;
}

static int library_check(const struct library *lib, struct error_text *err)
{
	if (!lib->entry_count || lib->entry_count > LIBRARY_ENTRIES_MAX)
		return error_set(err, -EINVAL, "%s: no entries to attach to", lib->display_path);
	for (size_t i = 0; i < lib->entry_count; i++)
		if (lib->entries[i].entry >= om_gemm_entry_count && !is_driver_entry(lib->entries[i].entry))
			return error_set(err, -EINVAL, "%s: entry %u is not in the table", lib->display_path,
					 lib->entries[i].entry);
	return 0;
}

int probe_page_read(int fd, uint64_t offset)
{
	char byte;
	ssize_t n = pread(fd, &byte, 1, (off_t)offset);

	return n < 0 ? -errno : n ? 0 : -ENODATA;
}

/* Calls that write a handle or a name: what that means is known when they have returned. */
static bool has_result(uint16_t entry)
{
	if (!is_driver_entry(entry))
		return false;
	switch (om_driver_entries[entry - OM_DRIVER_SITE_BASE].op) {
	case OM_OP_FUNCTION:
	case OM_OP_FUNCTION_OF:
	case OM_OP_NAME_OF:
	case OM_OP_CAPTURE_END:
	case OM_OP_GRAPH_CREATE:
	case OM_OP_GRAPH_CLONE:
	case OM_OP_INSTANTIATE:
	case OM_OP_EXEC_UPDATE:
		return true;
	default:
		return false;
	}
}

struct target {
	struct probes *p;
	const struct library *lib;
	const char *dir; /* of the pins */
	int type, row, fd;
	uint32_t seq;
};

static int entry_attach(const struct target *t, const struct library_entry *e)
{
	uint64_t cookie = OM_COOKIE(e->entry, t->row, t->seq);
	char pin[PATH_MAX];
	int rc;

	snprintf(pin, sizeof(pin), "%s/%u", t->dir, e->entry);
	rc = probe_page_read(t->fd, e->file_offset);
	rc = rc
		     ?: probe_attach(t->type, prog_fd_of(t->p, e->entry), t->lib->open_path, e->file_offset,
				     cookie, 0, pin);
	if (rc || !has_result(e->entry) || !t->p->features.has_return_probes)
		return rc;
	snprintf(pin, sizeof(pin), "%s/%u-return", t->dir, e->entry);
	return probe_attach(t->type, bpf_program__fd(t->p->skel->progs.on_driver_return), t->lib->open_path,
			    e->file_offset, cookie, AT_RETURN, pin);
}

static int entries_attach(struct probes *p, const struct library *lib, const struct attachment *a, int row,
			  struct error_text *err)
{
	char name[ATTACHMENT_NAME_SIZE], dir[PATH_MAX - 512];
	_cleanup_close_ int fd = open(lib->open_path, O_RDONLY | O_CLOEXEC);
	struct target t = { p, lib, dir, probes_perf_type(), row, fd, a->seq };
	int rc;

	if (t.type < 0)
		return error_set(err, t.type, "the kernel has no uprobes (CONFIG_UPROBE_EVENTS)");
	if (fd < 0)
		return error_set(err, -errno, "%s: %s", lib->open_path, strerror(errno));
	attachment_format(a, name);
	snprintf(dir, sizeof(dir), "%s/libraries/%s", p->dir, name);
	if (mkdir(dir, 0700))
		return error_set(err, -errno, "%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < lib->entry_count; i++) {
		if (is_repeated(lib, i))
			continue;
		rc = entry_attach(&t, &lib->entries[i]);
		if (rc)
			return error_set(err, rc, "%s: cannot attach to %s: %s%s", lib->display_path,
					 symbol_of(lib->entries[i].entry), strerror(-rc),
					 rc == -EMFILE ? " (RLIMIT_NOFILE)" : "");
	}
	return 0;
}

static size_t pins_expected(const struct probes *p, const struct library *lib)
{
	size_t count = 0;

	for (size_t i = 0; i < lib->entry_count; i++)
		if (!is_repeated(lib, i))
			count += 1 + (has_result(lib->entries[i].entry) && p->features.has_return_probes);
	return count;
}

/* What must be the same for a probe to be the same probe. */
static uint64_t build_of(const struct probes *p, const struct library *lib)
{
	uint64_t h = fnv64(p->build, lib->text_hash, sizeof(lib->text_hash));

	if (lib->is_proven)
		h = fnv64(h, &lib->offsets, sizeof(lib->offsets));
	for (size_t i = 0; i < lib->entry_count; i++) {
		h = fnv64(h, &lib->entries[i].entry, sizeof(lib->entries[i].entry));
		h = fnv64(h, &lib->entries[i].file_offset, sizeof(lib->entries[i].file_offset));
	}
	return h;
}

static bool own_has(const struct probes *p, uint32_t seq)
{
	for (size_t i = 0; i < p->own_count; i++)
		if (p->own[i] == seq)
			return true;
	return false;
}

static void own_add(struct probes *p, uint32_t seq)
{
	if (!own_has(p, seq) && p->own_count < OM_LIBRARIES_MAX)
		p->own[p->own_count++] = seq;
}

static void own_remove(struct probes *p, uint32_t seq)
{
	for (size_t i = 0; i < p->own_count; i++)
		if (p->own[i] == seq)
			p->own[i--] = p->own[--p->own_count];
}

static void let_go(struct probes *p, struct attachment *a)
{
	own_remove(p, a->seq);
	attachment_let_go(p->releaser.dir, a);
	releaser_add(&p->releaser, a->seq);
}

/* Every other attachment on that file goes. */
static void release_others(struct probes *p, struct attachment *all, size_t count,
			   const struct attachment *keep)
{
	for (size_t i = 0; i < count; i++)
		if (all[i].dev == keep->dev && all[i].ino == keep->ino && all[i].seq != keep->seq &&
		    !all[i].is_going)
			let_go(p, &all[i]);
}

static int attach_new(struct probes *p, const struct library *lib, const struct attachment *all, size_t count,
		      struct attachment *a, struct error_text *err)
{
	int row = offsets_row(p, lib);
	int rc;

	if (row < 0)
		return error_set(err, row, "%s: its offsets cannot be used: %s", lib->display_path,
				 strerror(-row));
	rc = seq_draw(p, all, count, &a->seq);
	if (rc)
		return error_set(err, rc, "%s: %d library files have probes already", lib->display_path,
				 OM_LIBRARIES_MAX);
	rc = facts_store(p, lib, a->seq);
	if (!rc)
		rc = entries_attach(p, lib, a, row, err);
	if (rc)
		attachment_remove(p->releaser.dir, a->seq, NULL);
	return rc;
}

int probes_attach(struct probes *p, const struct library *lib, uint32_t *ret_seq, struct error_text *err)
{
	struct attachment a = { .dev = lib->dev, .ino = lib->ino, .build = build_of(p, lib) };
	_cleanup_free_ struct attachment *all = NULL;
	_cleanup_close_ int lock = -1;
	int count, rc;

	rc = library_check(lib, err);
	if (rc)
		return rc;
	all = calloc(OM_LIBRARIES_MAX, sizeof(*all));
	if (!all)
		return -ENOMEM;
	rc = probes_lock(p->dir, &lock);
	if (rc)
		return error_set(err, rc, "%s: cannot lock: %s", p->dir, strerror(-rc));
	count = attachments_list(p->releaser.dir, all, OM_LIBRARIES_MAX);
	if (count < 0)
		return error_set(err, count, "%s: %s", p->releaser.dir, strerror(-count));
	for (int i = 0; i < count && !a.seq; i++)
		if (!all[i].is_going && all[i].dev == a.dev && all[i].ino == a.ino &&
		    all[i].build == a.build &&
		    attachment_pins(p->releaser.dir, &all[i]) == pins_expected(p, lib))
			a.seq = all[i].seq;
	rc = a.seq ? 0 : attach_new(p, lib, all, (size_t)count, &a, err);
	if (rc)
		return rc;
	own_add(p, a.seq);
	release_others(p, all, (size_t)count, &a);
	if (ret_seq)
		*ret_seq = a.seq;
	return 0;
}

/* The attachments there are, with the lock held. */
static int list_locked(struct probes *p, struct attachment **ret_all, int *ret_lock)
{
	int rc;

	*ret_all = calloc(OM_LIBRARIES_MAX, sizeof(**ret_all));
	if (!*ret_all)
		return -ENOMEM;
	rc = probes_lock(p->dir, ret_lock);
	return rc ? rc : attachments_list(p->releaser.dir, *ret_all, OM_LIBRARIES_MAX);
}

int probes_release(struct probes *p, uint64_t dev, uint64_t ino)
{
	_cleanup_free_ struct attachment *all = NULL;
	_cleanup_close_ int lock = -1;
	int count = list_locked(p, &all, &lock);
	int found = 0;

	for (int i = 0; i < count; i++) {
		if (all[i].dev != dev || all[i].ino != ino || all[i].is_going)
			continue;
		let_go(p, &all[i]);
		found++;
	}
	return count < 0 ? count : found ? 0 : -ENOENT;
}

int probes_sweep(struct probes *p, size_t *ret_count)
{
	_cleanup_free_ struct attachment *all = NULL;
	_cleanup_close_ int lock = -1;
	int count = list_locked(p, &all, &lock);
	size_t swept = 0;

	for (int i = 0; i < count; i++) {
		if (own_has(p, all[i].seq))
			continue;
		let_go(p, &all[i]);
		swept++;
	}
	if (count >= 0)
		*ret_count = swept;
	return count < 0 ? count : 0;
}

size_t probes_attached_count(const struct probes *p)
{
	_cleanup_free_ struct attachment *all = calloc(OM_LIBRARIES_MAX, sizeof(*all));
	int count = all ? attachments_list(p->releaser.dir, all, OM_LIBRARIES_MAX) : 0;
	size_t live = 0;

	for (int i = 0; i < count; i++)
		live += !all[i].is_going;
	return live;
}
