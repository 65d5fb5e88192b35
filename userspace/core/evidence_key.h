/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_EVIDENCE_KEY_H
#define OPMETER_CORE_EVIDENCE_KEY_H

/*
 * The keys of a log, in a directory of their own: ID.key (private, with the
 * times it signs from and until), ID.pub (what verifiers need), and
 * last.checkpoint: what was signed last, of the empty log at first. A log never
 * signs a checkpoint that does not grow from it, whatever became of the ledger,
 * and nothing where it is missing. docs/evidence.md.
 */

#include "../base/log.h"
#include "merkle.h"
#include "tlog_note.h"

#define OM_SIGNER_KEYS_MAX 8 /* in force together */
struct om_signer;

/* Makes a key from `seed`; the first gives the log its origin. A further one takes over: the older stop at
 * now + overlap. -EEXIST: the directory's keys are of another origin. */
int om_signer_make(const char *dir, const char *origin, const uint8_t seed[32], uint64_t now_ns,
		   uint64_t overlap_ns, struct om_note_key *ret, struct error_text *err);

/* Waits for whoever has it. -ENOENT: no keys there; -EPERM: directory or a key is not ours alone; -EBADMSG: a
 * key file is damaged. */
int om_signer_open(const char *dir, struct om_signer **ret, struct error_text *err);
/* The same without waiting: -EWOULDBLOCK. */
int om_signer_try(const char *dir, struct om_signer **ret, struct error_text *err);
struct om_signer *om_signer_free(struct om_signer *s); /* clears the secrets */
static inline void om_signer_freep(struct om_signer **s)
{
	*s = om_signer_free(*s);
}
const char *om_signer_origin(const struct om_signer *s);
/* The keys in force; they come without their secrets. */
size_t om_signer_keys(const struct om_signer *s, uint64_t now_ns, struct om_note_key ret[OM_SIGNER_KEYS_MAX]);

/* The log's root at a size; asked for in growing order. 0 or -errno. */
struct om_roots {
	int (*root)(void *ctx, uint64_t size, uint8_t ret[OM_HASH_SIZE]);
	void *ctx;
};

/* What was signed last, if the log of `size` leaves grows from it. *ret_note: malloc'ed, as it was given out.
 * -EUCLEAN: the log is not what was signed, or nobody knows what was; -ESTALE: it is smaller. */
int om_signer_last(struct om_signer *s, const struct om_roots *r, uint64_t size, struct om_checkpoint *ret,
		   char **ret_note, struct error_text *err);
/*
 * Signs the tree of `size` leaves with every key in force, after showing that it begins with the one signed
 * last; that is durable before anything is returned. The same tree gives the same note.
 * Errors as om_signer_last(), and -ENOKEY: no key is in force.
 */
int om_signer_checkpoint(struct om_signer *s, const struct om_roots *r, uint64_t size, uint64_t now_ns,
			 char **ret_note, struct error_text *err);
/* A person's word that these keys have signed nothing: where last.checkpoint is missing, that of the empty
 * log is put there. -EEXIST: one is there. */
int om_signer_begin(struct om_signer *s, uint64_t now_ns, struct error_text *err);
/* Any other text (a bundle's manifest). */
int om_signer_text(struct om_signer *s, const char *text, uint64_t now_ns, char **ret_note);

#endif
