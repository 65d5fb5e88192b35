/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEDGER_EVIDENCE_H
#define OPMETER_CORE_LEDGER_EVIDENCE_H

/* The log as evidence: its leaves with their salts, its tree, and the logged act that destroys payloads. */

#include "leaf.h"
#include "ledger.h"
#include "tlog.h"

struct om_leaf_entry {
	struct om_entry entry; /* payload NULL: destroyed by entry.destroyed_by */
	const uint8_t *leaf;   /* OM_LEAF_SIZE bytes */
	const uint8_t *salt;   /* OM_SALT_SIZE bytes; NULL: destroyed with the payload */
};
/* In the order of the log. As om_ledger_each_entry(); -EUCLEAN: a leaf or salt of a wrong size. */
int om_ledger_each_leaf(struct om_ledger *l, uint64_t from_index,
			int (*fn)(void *ctx, const struct om_leaf_entry *e), void *ctx);

/*
 * The log's roots at sizes that grow: each takes the leaves that came since the last and nothing else, in 2
 * KiB whatever the log's size. A smaller size begins anew, from the first leaf. The root of a size stands on
 * the one before it, so that it is shown, not believed, that the log grew.
 */
struct om_ledger_growth {
	struct om_ledger *ledger;
	struct om_merkle tree; /* all zero: nothing is hashed yet */
};
/* `growth`: a struct om_ledger_growth; fits struct om_roots. -ESTALE: the log is smaller. */
int om_ledger_growth_root(void *growth, uint64_t size, uint8_t ret[OM_HASH_SIZE]);

/* The hashes of all leaves, in memory: 64 bytes a leaf. */
int om_ledger_tree(struct om_ledger *l, struct om_tlog_tree **ret);

/*
 * Appends `act`, a JSON object with "act":"erase" and "entries": the indices, and destroys payload and salt
 * of these entries, in one transaction. Leaves stay, so every proof holds. Only entries of kinds ALERT, ACT
 * and CASE can be destroyed; -EINVAL: another kind, one that is not there, or the act does not name just
 * these. 1: done, but a reader holds the journal, in which the bytes stay until it is next written back.
 */
int om_ledger_destroy(struct om_ledger *l, const char *act, const uint64_t *indices, size_t n,
		      uint64_t now_ns, uint64_t *ret_act);

#endif
