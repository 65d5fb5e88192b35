// SPDX-License-Identifier: Apache-2.0
/* Proofs from anywhere: none that was made up may show anything, and a true one with another size or place may not either. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/tlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t number(const uint8_t **data, size_t *size)
{
	uint64_t v = 0;

	for (int i = 0; i < 8 && *size; i++, (*size)--)
		v = v << 8 | *(*data)++;
	return v;
}

static void made_up(uint64_t from, uint64_t to, const uint8_t *data, size_t size)
{
	struct om_tlog_proof p = { 0 };
	uint8_t root[OM_HASH_SIZE], other[OM_HASH_SIZE];

	memset(root, 0x11, sizeof(root));
	memset(other, 0x22, sizeof(other));
	p.count = (unsigned)(size / OM_HASH_SIZE) % (OM_TLOG_PROOF_MAX + 4);
	memcpy(p.hash, data, (p.count > OM_TLOG_PROOF_MAX ? OM_TLOG_PROOF_MAX : p.count) * OM_HASH_SIZE);
	if (om_tlog_check_inclusion(other, from, to, &p, root) == 0 ||
	    om_tlog_check_consistency(from, root, to, other, &p) == 0)
		abort(); /* a hash collision, or a fault */
}

static void true_ones(uint64_t from, uint64_t to)
{
	struct om_tlog_tree *t = om_tlog_tree_new();
	struct om_tlog_reader r = om_tlog_tree_reader(t);
	uint8_t root[2][OM_HASH_SIZE], hash[64][OM_HASH_SIZE];
	struct om_tlog_proof p;

	to %= 64;
	from %= 64;
	for (uint64_t i = 0; i < to; i++) {
		om_merkle_leaf_hash(&i, sizeof(i), hash[i]);
		om_tlog_tree_append(t, hash[i]);
	}
	if (from < to) {
		om_tlog_root(&r, from, root[0]);
		om_tlog_root(&r, to, root[1]);
		if (om_tlog_prove_inclusion(&r, to, from, &p) ||
		    om_tlog_check_inclusion(hash[from], from, to, &p, root[1]) ||
		    om_tlog_check_inclusion(hash[from], from + 1, to, &p, root[1]) == 0)
			abort();
		if (om_tlog_prove_consistency(&r, from, to, &p) ||
		    om_tlog_check_consistency(from, root[0], to, root[1], &p))
			abort();
	}
	om_tlog_tree_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t from = number(&data, &size), to = number(&data, &size);

	made_up(from, to, data, size);
	true_ones(from, to);
	return 0;
}
