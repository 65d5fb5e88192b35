// SPDX-License-Identifier: Apache-2.0
#include "merkle.h"

#include <string.h>
#include <sodium/crypto_hash_sha256.h>

void om_merkle_leaf_hash(const void *leaf, size_t len, uint8_t ret[OM_HASH_SIZE])
{
	static const uint8_t prefix = 0x00;
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, &prefix, 1);
	crypto_hash_sha256_update(&s, leaf, len);
	crypto_hash_sha256_final(&s, ret);
}

void om_merkle_node_hash(const uint8_t left[OM_HASH_SIZE], const uint8_t right[OM_HASH_SIZE],
			 uint8_t ret[OM_HASH_SIZE])
{
	uint8_t buf[1 + 2 * OM_HASH_SIZE];

	buf[0] = 0x01;
	memcpy(buf + 1, left, OM_HASH_SIZE);
	memcpy(buf + 1 + OM_HASH_SIZE, right, OM_HASH_SIZE);
	crypto_hash_sha256(ret, buf, sizeof(buf));
}

void om_merkle_append(struct om_merkle *t, const uint8_t leaf_hash[OM_HASH_SIZE])
{
	uint8_t carry[OM_HASH_SIZE];
	int level = 0;

	/* As a binary counter: full subtrees of equal size merge and carry. */
	memcpy(carry, leaf_hash, OM_HASH_SIZE);
	for (; t->size >> level & 1; level++)
		om_merkle_node_hash(t->node[level], carry, carry);
	memcpy(t->node[level], carry, OM_HASH_SIZE);
	t->size++;
}

void om_merkle_root(const struct om_merkle *t, uint8_t ret[OM_HASH_SIZE])
{
	uint8_t acc[OM_HASH_SIZE];
	int have = 0;

	if (t->size == 0) {
		crypto_hash_sha256(ret, (const uint8_t *)"", 0);
		return;
	}
	/* From the smallest subtree up: each larger one stands to its left. */
	for (int level = 0; level < 64; level++) {
		if (!(t->size >> level & 1))
			continue;
		if (have)
			om_merkle_node_hash(t->node[level], acc, acc);
		else
			memcpy(acc, t->node[level], OM_HASH_SIZE);
		have = 1;
	}
	memcpy(ret, acc, OM_HASH_SIZE);
}
