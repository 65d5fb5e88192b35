/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_BUNDLE_INTERNAL_H
#define OPMETER_CORE_BUNDLE_INTERNAL_H

/* What makes and checks bundles shares; nobody else includes it. */

#include "bundle.h"
#include "case_internal.h"

#define BUNDLE_MANIFEST "MANIFEST"
#define BUNDLE_ENTRIES "entries.jsonl"
#define BUNDLE_CHECKPOINT "checkpoint"
#define BUNDLE_PREVIOUS "previous.checkpoint"
#define BUNDLE_CONSISTENCY "consistency.json"

struct bundle_facts {
	char origin[OM_NOTE_NAME_MAX], case_id[OM_CASE_ID_STRLEN], made[40], by[64];
	size_t signers;
	struct om_note_key signer[OM_NOTE_SIGNATURES_MAX];
};
/* The manifest's text over all files but itself: malloc'ed. */
char *bundle_manifest(const struct bundle_facts *facts, const struct om_tar_files *files);

/* As om_bundle_make(), but nobody asked whether it can be verified. */
int bundle_seal(struct om_ledger *l, const struct om_case *c, const char *keys, const struct om_actor *actor,
		uint8_t **ret, size_t *ret_len, struct error_text *err);

/* One entry of the case, as a line of entries.jsonl has it. */
struct bundle_entry {
	uint64_t index;
	json_t *act;
};
/* Adds what the entries come to: the record, lists of what was gathered, attached files, instructions. The
 * same entries give the same bytes. record: the version of the case record, 1 or BUNDLE_RECORD. */
#define BUNDLE_RECORD 2
int bundle_derive(const char *case_id, int record, const struct bundle_entry *e, size_t n,
		  struct om_tar_files *files, struct om_case **ret_case);

#endif
