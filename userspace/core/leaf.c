// SPDX-License-Identifier: Apache-2.0
#include "leaf.h"

#include <errno.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/little_endian.h"

#define MAGIC "OPLF"
#define VERSION 1

void om_leaf_commit(const uint8_t salt[OM_SALT_SIZE], const void *payload, size_t len, uint8_t ret[32])
{
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, salt, OM_SALT_SIZE);
	crypto_hash_sha256_update(&s, payload, len);
	crypto_hash_sha256_final(&s, ret);
}

void om_leaf_encode(const struct om_leaf *l, uint8_t out[OM_LEAF_SIZE])
{
	memcpy(out, MAGIC, 4);
	le_put(out + 4, VERSION, 2);
	le_put(out + 6, l->kind, 2);
	le_put(out + 8, l->time_ns, 8);
	le_put(out + 16, l->index, 8);
	le_put(out + 24, l->len, 4);
	memcpy(out + 28, l->commitment, 32);
}

int om_leaf_decode(const uint8_t *in, size_t len, struct om_leaf *ret)
{
	if (len != OM_LEAF_SIZE || memcmp(in, MAGIC, 4))
		return -EBADMSG;
	if (le_get(in + 4, 2) != VERSION)
		return -EPROTONOSUPPORT;
	ret->kind = (uint16_t)le_get(in + 6, 2);
	ret->time_ns = le_get(in + 8, 8);
	ret->index = le_get(in + 16, 8);
	ret->len = (uint32_t)le_get(in + 24, 4);
	memcpy(ret->commitment, in + 28, 32);
	return 0;
}
