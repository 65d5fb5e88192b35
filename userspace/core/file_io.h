/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_FILE_IO_H
#define OPMETER_CORE_FILE_IO_H

#include <stddef.h>
#include <sys/types.h>

/* Whole files. dir_fd: the directory `name` is in, or AT_FDCWD. */

/* In place of what was there, or not at all; durable when it returns. 0 or -errno. */
int om_file_put(int dir_fd, const char *name, const void *data, size_t len, mode_t mode);
/* At most `max` bytes; *ret is malloc'ed and ended by a NUL that is not counted. -EFBIG; -EINVAL: not a
 * regular file. */
int om_file_get(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len);

#endif
