// SPDX-License-Identifier: Apache-2.0
/*
 * /proc/PID/maps is read in blocks: a process may have 65,000 mappings, and
 * gathering them all in memory would let a tenant decide how much we use.
 *
 * A file is opened in two steps, first as a place (O_PATH, which runs no code of
 * any driver or file system) and, if that is a regular file, for reading.
 */
#include "proc_maps.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define _cleanup_closedir_ _cleanup_(closedirp)

static int parse_number(const char **s, int base, char end, uint64_t *ret)
{
	char *rest;

	if (!isxdigit((unsigned char)**s))
		return -EINVAL;
	*ret = strtoull(*s, &rest, base);
	if (*rest != end)
		return -EINVAL;
	*s = rest + 1;
	return 0;
}

/* "7f..-7f.. r-xp 00001000 fd:00 1234    /lib/x.so". True for an executable
 * mapping of a file. */
static bool parse_line(const char *line, struct proc_mapping *m)
{
	uint64_t offset, major, minor;
	const char *s = line;

	if (parse_number(&s, 16, '-', &m->start) || parse_number(&s, 16, ' ', &m->end) || strlen(s) < 5 ||
	    s[2] != 'x')
		return false;
	s += 5;
	if (parse_number(&s, 16, ' ', &offset) || parse_number(&s, 16, ':', &major) ||
	    parse_number(&s, 16, ' ', &minor) || parse_number(&s, 10, ' ', &m->ino) || m->ino == 0)
		return false;
	m->dev_major = (unsigned)major;
	m->dev_minor = (unsigned)minor;
	snprintf(m->path, sizeof(m->path), "%s", s + strspn(s, " "));
	return true;
}

static int each_line(FILE *f, pid_t task, int (*fn)(void *, const struct proc_mapping *), void *ctx,
		     size_t *ret_lines)
{
	static const size_t line_size = PATH_MAX + 128;
	_cleanup_free_ char *line = malloc(line_size);
	_cleanup_free_ struct proc_mapping *m = malloc(sizeof(*m));

	*ret_lines = 0;
	if (!line || !m)
		return -ENOMEM;
	while (fgets(line, (int)line_size, f)) {
		int r;

		line[strcspn(line, "\n")] = '\0';
		++*ret_lines;
		m->task = task;
		if (!parse_line(line, m))
			continue;
		r = fn(ctx, m);
		if (r)
			return r;
	}
	return 0;
}

static int maps_of_task(pid_t task, int (*fn)(void *, const struct proc_mapping *), void *ctx,
			size_t *ret_lines)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", task);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	return each_line(f, task, fn, ctx, ret_lines);
}

int proc_maps_each(pid_t tgid, int (*fn)(void *ctx, const struct proc_mapping *m), void *ctx)
{
	_cleanup_closedir_ DIR *tasks = NULL;
	struct dirent *e;
	size_t lines;
	char path[64];
	int r = maps_of_task(tgid, fn, ctx, &lines);

	if (r || lines)
		return r;
	/* No memory: a kernel thread, a zombie, or a leader that left its threads behind. */
	snprintf(path, sizeof(path), "/proc/%d/task", tgid);
	tasks = opendir(path);
	while (tasks && (e = readdir(tasks))) {
		pid_t task = atoi(e->d_name);

		if (task <= 0 || task == tgid)
			continue;
		r = maps_of_task(task, fn, ctx, &lines);
		if (lines || (r && r != -ESRCH))
			return r;
	}
	return -ESRCH;
}

int proc_each(int (*fn)(void *ctx, pid_t tgid), void *ctx)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *e;

	if (!proc)
		return -errno;
	while ((e = readdir(proc))) {
		pid_t tgid = atoi(e->d_name);
		int r = tgid > 0 ? fn(ctx, tgid) : 0;

		if (r)
			return r;
	}
	return 0;
}

/* `at` was opened with O_PATH. */
static int reopen(int at)
{
	char path[64];
	struct stat st;
	int fd;

	if (fstat(at, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int proc_open_mapped(pid_t task, uint64_t start, uint64_t end)
{
	_cleanup_close_ int at = -1;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", task, (unsigned long long)start,
		 (unsigned long long)end);
	at = open(path, O_PATH | O_CLOEXEC);
	return at < 0 ? -errno : reopen(at);
}

int proc_open_path(pid_t task, const char *path, uint64_t ino)
{
	/* The process decides what its links say; they are followed within its root. */
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int root = -1, at = -1;
	char name[64];
	struct stat st;

	if (path[0] != '/')
		return -ENOENT;
	snprintf(name, sizeof(name), "/proc/%d/root", task);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	at = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (at < 0 || fstat(at, &st))
		return -errno;
	return st.st_ino == ino ? reopen(at) : -ESTALE;
}

int proc_start_ticks(pid_t tgid, uint64_t *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[1024];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tgid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return -ESRCH;
	/* The name is the process's own choice, and may hold anything. */
	at = strrchr(line, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, "%" SCNu64, ret) == 1 ? 0 : -ESRCH;
}
