/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LEAF_H
#define OPMETER_CORE_LEAF_H

/* The leaf of the ledger's log: a salted commitment to an entry's payload (docs/formats.md, "Ledger and
 * leaf"). */

#include <stddef.h>
#include <stdint.h>

#define OM_LEAF_SIZE 60
#define OM_SALT_SIZE 32

struct om_leaf {
	uint16_t kind; /* enum om_entry_kind */
	uint64_t time_ns, index;
	uint32_t len; /* of the payload */
	uint8_t commitment[32];
};

void om_leaf_commit(const uint8_t salt[OM_SALT_SIZE], const void *payload, size_t len, uint8_t ret[32]);
void om_leaf_encode(const struct om_leaf *l, uint8_t out[OM_LEAF_SIZE]);
int om_leaf_decode(const uint8_t *in, size_t len, struct om_leaf *ret); /* 0, -EBADMSG, -EPROTONOSUPPORT */

#endif
