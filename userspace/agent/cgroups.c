// SPDX-License-Identifier: Apache-2.0
#include "cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/text.h"

#define KNOWN_MAX 65536

struct known {
	uint64_t id; /* 0: free */
	char *path;
};

struct cgroups {
	char root[PATH_MAX];
	int root_fd;
	struct om_id boot;
	struct known *known; /* open-addressed; grows up to KNOWN_MAX */
	size_t slots, count;
	char found[PATH_MAX], escaped[PATH_MAX];
};

/* "36 25 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw" */
static int find_root(struct cgroups *c, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return error_set(err, -errno, "/proc/self/mountinfo: %m");
	while (getline(&line, &size, f) > 0) {
		char *type = strstr(line, " - "), *at = line;

		if (!type || strncmp(type + 3, "cgroup2 ", 8))
			continue;
		for (int i = 0; i < 4 && at; i++)
			at = strchr(at + 1, ' ');
		if (!at)
			continue;
		at++;
		at[strcspn(at, " ")] = '\0';
		snprintf(c->root, sizeof(c->root), "%s", at);
		return 0;
	}
	return error_set(
		err, -ENOTSUP,
		"this host has only cgroup v1: every process has the same cgroup there, so tenants cannot be "
		"told apart; mount cgroup2 (hybrid or unified) and start again");
}

static int read_boot_id(struct cgroups *c, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[64], hex[OM_ID_STRLEN];
	size_t n = 0;

	if (!f || !fgets(text, sizeof(text), f))
		return error_set(err, -EIO, "/proc/sys/kernel/random/boot_id: %m");
	for (const char *s = text; *s && n < 32; s++)
		if (*s != '-' && *s != '\n')
			hex[n++] = *s;
	hex[n] = '\0';
	return om_id_parse(hex, &c->boot) ? error_set(err, -EIO, "the boot id '%s' is none", text) : 0;
}

struct cgroups *cgroups_free(struct cgroups *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->slots; i++)
		free(c->known[i].path);
	free(c->known);
	if (c->root_fd >= 0)
		close(c->root_fd);
	free(c);
	return NULL;
}

int cgroups_open(struct cgroups **ret, struct error_text *err)
{
	_cleanup_(cgroups_freep) struct cgroups *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->root_fd = -1;
	r = find_root(c, err);
	r = r ?: read_boot_id(c, err);
	if (r)
		return r;
	c->root_fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root_fd < 0)
		return error_set(err, -errno, "%s: %m", c->root);
	*ret = TAKE_PTR(c);
	return 0;
}

const char *cgroups_root(const struct cgroups *c)
{
	return c->root;
}

const struct om_id *cgroups_boot_id(const struct cgroups *c)
{
	return &c->boot;
}

static struct known *slot(const struct cgroups *c, uint64_t id)
{
	size_t i = (id * 0x9e3779b97f4a7c15ULL >> 20) & (c->slots - 1);

	while (c->known[i].id && c->known[i].id != id)
		i = (i + 1) & (c->slots - 1);
	return &c->known[i];
}

static int grow(struct cgroups *c)
{
	struct known *old = c->known;
	size_t old_slots = c->slots, slots = old_slots ? 2 * old_slots : 256;

	c->known = calloc(slots, sizeof(*c->known));
	if (!c->known) {
		c->known = old;
		return -ENOMEM;
	}
	c->slots = slots;
	for (size_t i = 0; i < old_slots; i++)
		if (old[i].id)
			*slot(c, old[i].id) = old[i];
	free(old);
	return 0;
}

int cgroups_learn(struct cgroups *c, uint64_t id, const char *path)
{
	char text[PATH_MAX];
	struct known *k;

	if (id == 0)
		return -EINVAL;
	if (2 * (c->count + 1) > c->slots && grow(c))
		return -ENOMEM;
	k = slot(c, id);
	if (k->id)
		return 0; /* an id is never used again while the machine is up */
	if (c->count >= KNOWN_MAX)
		return -ENOSPC;
	k->path = strdup(text_escape(path, text, sizeof(text)));
	if (!k->path)
		return -ENOMEM;
	k->id = id;
	c->count++;
	return 0;
}

/* The id is the kernfs node's 64-bit number, which is also its file handle. */
static int open_by_id(const struct cgroups *c, uint64_t id)
{
	struct {
		struct file_handle h;
		uint64_t id;
	} handle = { .h = { .handle_bytes = sizeof(id), .handle_type = 0xfe /* FILEID_KERNFS */ }, .id = id };

	return open_by_handle_at(c->root_fd, &handle.h, O_PATH | O_CLOEXEC);
}

bool cgroups_exists(const struct cgroups *c, uint64_t id)
{
	_cleanup_close_ int fd = id ? open_by_id(c, id) : -1;
	char link[64], path[PATH_MAX];
	ssize_t len;

	if (fd < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	/* A removed one can be opened while somebody holds it. */
	return len > 0 && !(len > 10 && !memcmp(path + len - 10, " (deleted)", 10));
}

static const char *path_by_handle(struct cgroups *c, uint64_t id)
{
	_cleanup_close_ int fd = open_by_id(c, id);
	size_t n = strlen(c->root);
	char link[64];
	ssize_t len;

	if (fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, c->found, sizeof(c->found) - 1);
	if (len < 0)
		return NULL;
	c->found[len] = '\0';
	/* Of a removed cgroup the kernel still gives the name, marked. */
	if (len > 10 && !strcmp(c->found + len - 10, " (deleted)"))
		c->found[len - 10] = '\0';
	if (strncmp(c->found, c->root, n) || (c->found[n] && c->found[n] != '/'))
		return NULL;
	return c->found[n] ? c->found + n : "/";
}

const char *cgroups_path(struct cgroups *c, uint64_t id)
{
	const char *path;

	if (c->slots && slot(c, id)->id)
		return slot(c, id)->path;
	path = path_by_handle(c, id);
	if (!path)
		return NULL;
	if (cgroups_learn(c, id, path) == 0)
		return slot(c, id)->path;
	return text_escape(path, c->escaped, sizeof(c->escaped));
}

uint64_t cgroups_of_path(const struct cgroups *c, const char *path)
{
	struct {
		struct file_handle h;
		uint64_t id;
	} handle = { .h = { .handle_bytes = sizeof(uint64_t) } };
	char full[PATH_MAX * 2];
	int mount;

	snprintf(full, sizeof(full), "%s%s", c->root, path);
	if (name_to_handle_at(AT_FDCWD, full, &handle.h, &mount, 0) ||
	    handle.h.handle_bytes != sizeof(uint64_t))
		return 0;
	return handle.id;
}

uint64_t cgroups_of_process(struct cgroups *c, int pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char name[64], line[PATH_MAX];

	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	f = fopen(name, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = '\0';
		return cgroups_of_path(c, line + 3);
	}
	return 0;
}
