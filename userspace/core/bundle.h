/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_BUNDLE_H
#define OPMETER_CORE_BUNDLE_H

/*
 * A sealed case: one tar with every entry of it, what proves them, and what they
 * come to (docs/formats.md, "Evidence bundle"). It is verified with a public key
 * and nothing else. Pure, but for om_bundle_make(), which reads and signs.
 */

#include "case_store.h"
#include "evidence_tar.h"
#include "tlog_note.h"

#define OM_BUNDLE_MAX (512u * 1024 * 1024)

/* Signs the log's head with the keys of a directory, seals the case, and verifies what came out: malloc'ed.
 * -EINVAL: it is erased. -EBADMSG, -EFBIG, -E2BIG: as om_bundle_check(); nothing is given out. */
int om_bundle_make(struct om_ledger *l, const struct om_case *c, const char *keys,
		   const struct om_actor *actor, uint8_t **ret, size_t *ret_len, struct error_text *err);

#define OM_BUNDLE_NODES_MAX 64
#define OM_BUNDLE_HEADS_MAX 256
struct om_bundle_report {
	char case_id[OM_CASE_ID_STRLEN], origin[OM_NOTE_NAME_MAX], made[40], state[32], outcome[32];
	char key[OM_NOTE_NAME_MAX + 16]; /* the trusted one that signed: name+id */
	uint64_t size, entries, evidence, files;
	uint64_t previous;	 /* size of the earlier checkpoint it grows from; 0: none is in it */
	bool previous_is_signed; /* by a trusted key */
	size_t others;		 /* keys that signed too, beside the trusted one */
	char other[OM_NOTE_SIGNATURES_MAX][OM_NOTE_KEY_TEXT_MAX];
	/* Nodes whose log entries are evidence. */
	size_t nodes;
	struct om_bundle_node {
		char ledger[33], origin[OM_NOTE_NAME_MAX]; /* origin "": no checkpoint */
		uint64_t entries;
		enum { OM_NODE_UNSIGNED, OM_NODE_NO_KEY, OM_NODE_SIGNED } signature;
	} node[OM_BUNDLE_NODES_MAX];
	/* Every head that something in it is proved against, each once, to be compared with those kept
	 * elsewhere. */
	size_t heads;
	bool heads_are_cut;
	struct om_checkpoint head[OM_BUNDLE_HEADS_MAX];
};
/* 0, or -EBADMSG with the first thing that is wrong; -ENOKEY: no trusted key signed it; -EFBIG: larger than
 * OM_BUNDLE_MAX; -E2BIG: evidence of more nodes than the report holds. For any bytes. */
int om_bundle_check(const uint8_t *data, size_t len, const struct om_note_key *trusted, size_t n,
		    struct om_bundle_report *ret, struct error_text *err);

#endif
