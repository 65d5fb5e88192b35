// SPDX-License-Identifier: Apache-2.0
#include "reload.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"

/* A database in WAL or rollback mode has what was written last beside it. */
static const char *const journals[] = { "", "-wal", "-journal" };

static uint64_t mixed(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static bool is_yaml(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 5 && !strcmp(name + n - 5, ".yaml");
}

/* What its files look like, in whatever order they are told. */
static void look_into(const char *path, struct reload_mark *ret)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		uint64_t h = 1;
		struct stat st;

		if (!is_yaml(e->d_name) || fstatat(dirfd(d), e->d_name, &st, 0))
			continue;
		for (const char *c = e->d_name; *c; c++)
			h = mixed(h, (unsigned char)*c);
		h = mixed(mixed(mixed(h, st.st_dev), st.st_ino), (uint64_t)st.st_size);
		h = mixed(mixed(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
		h = mixed(mixed(h, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
		ret->file[1].ino += h;
		ret->file[1].size++;
	}
	if (d)
		closedir(d);
}

static void look(const char *path, struct reload_mark *ret)
{
	struct stat dir;

	memset(ret, 0, sizeof(*ret));
	if (stat(path, &dir) == 0 && S_ISDIR(dir.st_mode)) {
		look_into(path, ret);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(journals); i++) {
		char name[PATH_MAX];
		struct stat st;

		if (snprintf(name, sizeof(name), "%s%s", path, journals[i]) >= (int)sizeof(name) ||
		    stat(name, &st))
			continue;
		ret->file[i].dev = st.st_dev;
		ret->file[i].ino = st.st_ino;
		ret->file[i].size = (uint64_t)st.st_size;
		ret->file[i].mtime_ns =
			(uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
		ret->file[i].ctime_ns =
			(uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec;
	}
}

void reload_begin(struct reload *r, const char *path, uint64_t now_ns)
{
	*r = (struct reload){ .path = path, .seen_ns = now_ns, .tried_ns = now_ns };
	if (!path)
		return;
	look(path, &r->seen);
	r->loaded = r->seen;
}

bool reload_is_due(struct reload *r, uint64_t now_ns, bool forced)
{
	struct reload_mark mark;
	bool changed, rests;

	if (!r->path)
		return false;
	look(r->path, &mark);
	if (memcmp(&mark, &r->seen, sizeof(mark)) != 0) {
		r->seen = mark;
		r->seen_ns = now_ns;
	}
	changed = memcmp(&r->seen, &r->loaded, sizeof(mark)) != 0;
	rests = now_ns - r->seen_ns >= RELOAD_REST_NS;
	if (r->was_busy && !forced && now_ns - r->tried_ns < RELOAD_REST_NS)
		return false;
	return forced || r->was_busy || (changed && rests) ||
	       ((changed || r->has_failed) && now_ns - r->tried_ns >= RELOAD_EVERY_NS);
}

bool reload_tried(struct reload *r, uint64_t now_ns, int result, const struct error_text *err)
{
	bool is_new = !result || !r->has_failed || strcmp(err->text, r->error.text) != 0;

	r->loaded = r->seen;
	r->tried_ns = now_ns;
	if (result == -EAGAIN && !r->was_busy)
		r->busy_ns = now_ns;
	r->was_busy = result == -EAGAIN;
	if (r->was_busy && now_ns - r->busy_ns < RELOAD_BUSY_NS)
		return false;
	r->has_failed = result != 0;
	r->failures_total += result != 0;
	r->loads_total += result == 0;
	if (result)
		r->error = *err;
	return is_new;
}
