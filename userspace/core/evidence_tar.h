/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_EVIDENCE_TAR_H
#define OPMETER_CORE_EVIDENCE_TAR_H

/*
 * A tar of one spelling (ustar, mode 0644, owner 0, time 0): any tar reads it, and a byte of it that is not
 * as we would have written it is found.
 */

#include <stddef.h>
#include <stdint.h>

#define OM_TAR_NAME_MAX 100
#define OM_TAR_FILES_MAX 4096

struct om_tar_file {
	char name[OM_TAR_NAME_MAX + 1]; /* letters, digits and . _ - /, no part of it . or .. */
	const void *data;		/* a loan, or owned: see om_tar_files */
	size_t len;
};
struct om_tar_files {
	struct om_tar_file *file;
	size_t count;
	int owns; /* the data is malloc'ed and ours */
};
void om_tar_files_done(struct om_tar_files *f);
/* Takes `data` over if f->owns, also on failure. -EINVAL: the name; -E2BIG. */
int om_tar_add(struct om_tar_files *f, const char *name, void *data, size_t len);
const struct om_tar_file *om_tar_find(const struct om_tar_files *f, const char *name);

int om_tar_write(const struct om_tar_files *f, uint8_t **ret, size_t *ret_len);
/* Loans of `data`. -EBADMSG: not a tar of this spelling. */
int om_tar_read(const uint8_t *data, size_t len, struct om_tar_files *ret);

#endif
