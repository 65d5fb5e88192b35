// SPDX-License-Identifier: Apache-2.0
#include "leaf.h"

#include <errno.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#define MAGIC "OPLF"
#define VERSION 1

static void put_le(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

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
	put_le(out + 4, VERSION, 2);
	put_le(out + 6, l->kind, 2);
	put_le(out + 8, l->time_ns, 8);
	put_le(out + 16, l->index, 8);
	put_le(out + 24, l->len, 4);
	memcpy(out + 28, l->commitment, 32);
}

int om_leaf_decode(const uint8_t *in, size_t len, struct om_leaf *ret)
{
	if (len != OM_LEAF_SIZE || memcmp(in, MAGIC, 4))
		return -EBADMSG;
	if (get_le(in + 4, 2) != VERSION)
		return -EPROTONOSUPPORT;
	ret->kind = (uint16_t)get_le(in + 6, 2);
	ret->time_ns = get_le(in + 8, 8);
	ret->index = get_le(in + 16, 8);
	ret->len = (uint32_t)get_le(in + 24, 4);
	memcpy(ret->commitment, in + 28, 32);
	return 0;
}
