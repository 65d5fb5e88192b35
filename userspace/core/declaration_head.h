/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_DECLARATION_HEAD_H
#define OPMETER_CORE_DECLARATION_HEAD_H

/*
 * The head of a file of declarations, FILE.head: how many records stand in it, and the root of the RFC 6962
 * tree over their lines, as a C2SP checkpoint. The chain in the file finds what was changed before its last
 * line; the head finds that the last ones were taken away. With keys of its own (core/evidence_key.h) it is
 * signed and never goes back; without, whoever can write the file can write the head. docs/formats.md.
 */

#include "../base/log.h"
#include "declaration.h"
#include "tlog_note.h"

struct declaration_head {
	bool is_there, is_signed;
	struct om_checkpoint tree;
	char *text; /* as it stands there; owned */
};
void declaration_head_done(struct declaration_head *h);

/* Read it before the file: a record that comes meanwhile is then behind it. A file without one is no error.
 * -EINVAL: it is damaged. */
int declaration_head_read(const char *path, struct declaration_head *ret, struct error_text *err);
/* -EINVAL: the file does not begin with what the head names, or has less. Nothing where there is none. */
int declaration_head_check(const char *path, const struct declaration_head *h, const struct declarations *d,
			   struct error_text *err);
/* Whether one of the keys signed just these records. -EINVAL: not. */
int declaration_head_verify(const char *path, const struct declaration_head *h, const struct declarations *d,
			    const struct om_note_key *keys, size_t count, struct error_text *err);

/* Public keys of a file, one a line; empty lines and # are none. -EINVAL: it has none, too many, a private
 * one, or what is no key. */
#define DECLARATION_KEYS_MAX 16
int declaration_head_keys(const char *path, struct om_note_key ret[DECLARATION_KEYS_MAX], size_t *ret_count,
			  struct error_text *err);

/* Before a record is appended: whether a head of it may be written then. keys: their directory; NULL: none,
 * which is refused where the head is signed. -EINVAL. */
int declaration_head_may_grow(const char *path, const struct declaration_head *h,
			      const struct declarations *d, const char *keys, struct error_text *err);
/* In place of the one that is there. */
int declaration_head_put(const char *path, const struct declarations *d, const char *keys, uint64_t now_ns,
			 struct error_text *err);

#endif
