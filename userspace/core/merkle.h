/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_MERKLE_H
#define OPMETER_CORE_MERKLE_H

/*
 * The Merkle tree hash of RFC 6962, section 2.1, over SHA-256, kept as a
 * frontier: the roots of the full subtrees along the right edge. Appending and
 * taking the root cost O(log n), and nothing but the frontier is needed.
 */

#include <stddef.h>
#include <stdint.h>

#define OM_HASH_SIZE 32

struct om_merkle {
	uint64_t size;			/* leaves */
	uint8_t node[64][OM_HASH_SIZE]; /* node[i] is valid where bit i of size is set */
};

/* H(0x00 || leaf) */
void om_merkle_leaf_hash(const void *leaf, size_t len, uint8_t ret[OM_HASH_SIZE]);
/* H(0x01 || left || right) */
void om_merkle_node_hash(const uint8_t left[OM_HASH_SIZE], const uint8_t right[OM_HASH_SIZE],
			 uint8_t ret[OM_HASH_SIZE]);
void om_merkle_append(struct om_merkle *t, const uint8_t leaf_hash[OM_HASH_SIZE]);
/* The root; of an empty tree, the hash of the empty string. */
void om_merkle_root(const struct om_merkle *t, uint8_t ret[OM_HASH_SIZE]);

#endif
