// SPDX-License-Identifier: Apache-2.0
#include "file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

static int sync_directory(int dir_fd, const char *name)
{
	char path[PATH_MAX];
	const char *slash = strrchr(name, '/');
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%.*s", slash ? (int)(slash - name + 1) : 1, slash ? name : ".");
	fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

int om_file_put(int dir_fd, const char *name, const void *data, size_t len, mode_t mode)
{
	char part[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int r;

	if (snprintf(part, sizeof(part), "%s.part", name) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	if (unlinkat(dir_fd, part, 0) && errno != ENOENT)
		return -errno;
	fd = openat(dir_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r == 0 && renameat(dir_fd, part, dir_fd, name))
		r = -errno;
	if (r) {
		unlinkat(dir_fd, part, 0);
		return r;
	}
	return sync_directory(dir_fd, name);
}

int om_file_get(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *data = NULL;
	size_t len = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	data[len] = 0;
	*ret = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}
