// SPDX-License-Identifier: Apache-2.0
/*
 * What comes from the carry and totals topics. A carry that is taken is the bytes it was made of, and joining it is
 * never below anything. The digest is made good first, or noise would not get past it.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "userspace/core/carry.h"
#include "userspace/core/total_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ignore(void *ctx, const struct om_subject_total *s)
{
	return 0;
}

static void join(const struct om_carry *c)
{
	struct om_totals *t = om_totals_new(1000);

	if (!t)
		return;
	for (size_t i = 0; i < c->count; i += 2)
		om_totals_put(t, &c->reg[i]);
	assert(om_totals_carry(t, c) >= 0);
	assert(om_totals_carry(t, c) == 1);
	for (size_t i = 0; i < c->count; i++) {
		struct om_reading r;

		assert(om_totals_get(t, &c->reg[i].key, &r) && om_reading_equal(&r, &c->reg[i]));
		assert(om_totals_null(t, &c->reg[i].key) == 0);
	}
	om_totals_each(t, ignore, NULL);
	assert(om_totals_registers(t) == c->count);
	om_totals_free(t);
}

static void carry(const uint8_t *data, size_t size)
{
	struct om_carry c;
	uint8_t *again;
	size_t len;

	if (om_carry_decode(data, size, &c))
		return;
	if (om_carry_encode(&c, &again, &len) == 0) {
		assert(len == size && !memcmp(data, again, size));
		free(again);
	}
	join(&c);
	om_carry_done(&c);
}

static void with_digest(const uint8_t *data, size_t size)
{
	crypto_hash_sha256_state s;
	uint8_t *copy;

	if (size < OM_CARRY_HEAD_SIZE || size > OM_CARRY_SIZE_MAX)
		return;
	copy = malloc(size);
	if (!copy)
		return;
	memcpy(copy, data, size);
	for (int i = 0; i < 4; i++)
		copy[8 + i] = (uint8_t)(size >> (8 * i));
	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, copy, 64);
	crypto_hash_sha256_update(&s, copy + OM_CARRY_HEAD_SIZE, size - OM_CARRY_HEAD_SIZE);
	crypto_hash_sha256_final(&s, copy + 64);
	carry(copy, size);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_id ledger, job;
	uint32_t day;

	carry(data, size);
	with_digest(data, size);
	om_carry_key_decode(data, size, &ledger, &job, &day);
	return 0;
}
