/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CASE_GATHER_H
#define OPMETER_CORE_CASE_GATHER_H

/*
 * What stands behind a case, copied into its store so that it outlives node and
 * ledger: entries of a node's log, each with its leaf, salt and the proof that it
 * is in that log; and files. docs/formats.md, "Case act", evidence.
 */

#include "case_store.h"

struct om_gathered {
	uint64_t jobs, readings, assignments, alerts, others; /* entries added */
	uint64_t known;					      /* were there already */
	bool is_signed; /* the node's log had a checkpoint that covers them all */
};
/* From a node's ledger, for the tenant of the case: its jobs, their assignments, the last published reading
 * of each of their registers, the alerts about the tenant, the node's inventory. An entry of readings is
 * taken whole, as its salt covers the whole: other jobs' pseudonymous readings come with it. */
int om_case_gather(struct om_case_store *s, const struct om_case *c, struct om_ledger *node,
		   const struct om_actor *actor, struct om_gathered *ret, struct error_text *err);

/* A file: what is "regime", "ownership", "customer" or "attachment". 0; 1: was there. -EFBIG. */
#define OM_ATTACHMENT_MAX (16 * 1024 * 1024)
int om_case_attach(struct om_case_store *s, const struct om_case *c, const char *what, const char *path,
		   const struct om_actor *actor, struct error_text *err);

/* The bytes of an act of evidence: malloc'ed. -EBADMSG: not in order, or their digest is not the one named.
 */
int om_evidence_data(const json_t *act, uint8_t **ret, size_t *ret_len);
/* For an entry of a node's log: that salt and data give the leaf, that the leaf is of the kind, time and
 * index that are named, and is in the tree of the root that is named. */
int om_evidence_check(const json_t *act, struct error_text *err);

#endif
