// SPDX-License-Identifier: Apache-2.0
/* The key under which ids of communicators are hashed. */

#include "collective.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium/core.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>

#define DIGITS (2 * COLLECTIVE_KEY_SIZE)

/* Under another name first: nobody ever sees half a key. */
static int key_make(const char *path, struct error_text *err)
{
	char text[DIGITS + 2], temporary[PATH_MAX];
	uint8_t key[COLLECTIVE_KEY_SIZE];
	_cleanup_close_ int fd = -1;
	int rc = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.new-%d", path, (int)getpid()) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "%s: cannot be made: %s", temporary, strerror(errno));
	randombytes_buf(key, sizeof(key));
	sodium_bin2hex(text, sizeof(text), key, sizeof(key));
	text[DIGITS] = '\n';
	if (write(fd, text, DIGITS + 1) != DIGITS + 1 || fsync(fd))
		rc = errno ? -errno : -EIO;
	/* link, not rename: a key that another process has made meanwhile stays. */
	if (!rc && link(temporary, path) && errno != EEXIST)
		rc = -errno;
	unlink(temporary);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(text, sizeof(text));
	return rc ? error_set(err, rc, "%s: cannot be written: %s", path, strerror(-rc)) : 0;
}

static int key_parse(const char *text, size_t len, uint8_t ret[COLLECTIVE_KEY_SIZE])
{
	size_t n = 0;

	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len != DIGITS || sodium_hex2bin(ret, COLLECTIVE_KEY_SIZE, text, len, NULL, &n, NULL) ||
	    n != COLLECTIVE_KEY_SIZE)
		return -EINVAL;
	return 0;
}

int collective_key_load(const char *path, bool may_make, uint8_t ret[COLLECTIVE_KEY_SIZE],
			struct error_text *err)
{
	_cleanup_close_ int fd = -1;
	char text[DIGITS + 8];
	struct stat st;
	ssize_t n;
	int rc;

	if (sodium_init() < 0)
		return error_set(err, -EIO, "libsodium cannot be initialised");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && may_make) {
		rc = key_make(path, err);
		if (rc)
			return rc;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st))
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (st.st_mode & 077)
		return error_set(err, -EPERM, "%s: others may read this key: chmod 600 it", path);
	n = read(fd, text, sizeof(text));
	rc = n < 0 ? -errno : key_parse(text, (size_t)n, ret);
	sodium_memzero(text, sizeof(text));
	return rc ? error_set(err, rc, "%s: not a key: it must hold %d hexadecimal digits", path, DIGITS) : 0;
}
