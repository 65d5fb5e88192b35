/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CHECKPOINT_H
#define OPMETER_CORE_CHECKPOINT_H

/* Checkpoints of a ledger's log: made, recorded in it, and as an event that leaves the machine. */

#include "ledger_evidence.h"
#include "tlog.h"
#include "tlog_note.h"

/*
 * Signs the log as it stands with the keys of a directory and records the note in it, as an act: what is
 * signed of N leaves stands in entry N. ret_tree (may be NULL): the tree that was signed. 1: signed, but the
 * ledger is open for reading only, so it is not recorded. Errors as om_signer_checkpoint().
 */
int om_checkpoint_make(struct om_ledger *l, const char *keys, uint64_t now_ns, struct om_tlog_tree **ret_tree,
		       char **ret_note, struct error_text *err);

/*
 * What a writer of the log does again and again. First what was signed last is recorded, if it is not yet:
 * after a crash between signing and recording it must go out all the same, since somebody may have it. Then,
 * if anything but that record came since, the log is signed as it stands and that is recorded. Both are in
 * the outbox then. 0: signed, *ret is what; 1: nothing is new, *ret is what was signed last. -EWOULDBLOCK:
 * another has the keys; else as om_signer_checkpoint(): then nothing is recorded.
 */
int om_checkpoint_advance(struct om_ledger_growth *g, const char *keys, uint64_t now_ns,
			  struct om_checkpoint *ret, struct error_text *err);

/* The latest checkpoint recorded in the log of an origin (NULL: of any) with a size of at most `max`:
 * malloc'ed, or NULL in *ret. */
int om_checkpoint_find(struct om_ledger *l, const char *origin, uint64_t max, char **ret_note);

/* The CloudEvent `opmeter.checkpoint.v1` (docs/formats.md): one line, malloc'ed; NULL: out of memory or no
 * checkpoint. The Kafka key is the origin; topic opmeter.checkpoints.v1. */
char *om_checkpoint_event(const char *note, const char *source, uint64_t now_ns);

/* The note in an act that records a checkpoint: malloc'ed; NULL: it is another act. *ret_origin (may be
 * NULL): malloc'ed likewise. */
char *om_checkpoint_of_act(const void *payload, size_t len, char **ret_origin);

#endif
