// SPDX-License-Identifier: Apache-2.0
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium/crypto_generichash.h>

#include "../base/cleanup.h"

#define NAME_BYTES 16
#define SUFFIX ".json"

static void name_of(const char *text, size_t len, char ret[2 * NAME_BYTES + sizeof(SUFFIX)])
{
	unsigned char hash[NAME_BYTES];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, len, NULL, 0);
	for (int i = 0; i < NAME_BYTES; i++)
		sprintf(ret + 2 * i, "%02x", hash[i]);
	strcpy(ret + 2 * NAME_BYTES, SUFFIX);
}

static int write_file(int at, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = fd < 0 ? -1 : write(fd, text, len);

	if (n < 0)
		return -errno;
	if ((size_t)n != len)
		return -ENOSPC;
	return fsync(fd) ? -errno : 0;
}

int om_spool_put(const char *dir, const char *text)
{
	char path[PATH_MAX], name[2 * NAME_BYTES + sizeof(SUFFIX)], part[sizeof(name) + 8];
	_cleanup_close_ int at = -1;
	size_t len = strlen(text);
	int r;

	if (len > OM_SPOOL_MAX)
		return -E2BIG;
	if (snprintf(path, sizeof(path), "%s/spool", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	name_of(text, len, name);
	snprintf(part, sizeof(part), ".%s", name);
	r = write_file(at, part, text, len);
	if (r == 0 && renameat(at, part, at, name))
		r = -errno;
	return r ?: fsync(at) ? -errno : 0;
}

/* 0, 1: not a word of ours. */
static int read_file(int at, const char *name, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char expected[2 * NAME_BYTES + sizeof(SUFFIX)];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > OM_SPOOL_MAX)
		return 1;
	*ret = calloc(1, (size_t)st.st_size + 1);
	if (!*ret)
		return -ENOMEM;
	n = read(fd, *ret, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	*ret_len = (size_t)n;
	name_of(*ret, *ret_len, expected);
	return strcmp(expected, name) ? 1 : 0;
}

static int take(int at, const char *name,
		int (*fn)(void *ctx, const char *name, const char *text, size_t len), void *ctx)
{
	_cleanup_free_ char *text = NULL;
	char refused[NAME_MAX + 16];
	size_t len = 0;
	int r = read_file(at, name, &text, &len);

	r = r ?: fn(ctx, name, text, len);
	if (r < 0)
		return r;
	snprintf(refused, sizeof(refused), "%s.refused", name);
	return (r ? renameat(at, name, at, refused) : unlinkat(at, name, 0)) ? -errno : 0;
}

int om_spool_each(const char *dir, int (*fn)(void *ctx, const char *name, const char *text, size_t len),
		  void *ctx)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/spool", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (e->d_name[0] != '.' && len > sizeof(SUFFIX) &&
		    !strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX))
			r = take(dirfd(d), e->d_name, fn, ctx);
	}
	closedir(d);
	return r;
}
