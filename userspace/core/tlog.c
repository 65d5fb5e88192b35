// SPDX-License-Identifier: Apache-2.0
#include "tlog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define SIZE_LIMIT (UINT64_C(1) << 63)

/* The largest power of two below n; n > 1. */
static uint64_t split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* MTH(D[lo : lo + n]). Within a tree of RFC 6962 a range of 2^k leaves begins at a multiple of 2^k. */
static int range_hash(const struct om_tlog_reader *r, uint64_t lo, uint64_t n, uint8_t ret[OM_HASH_SIZE])
{
	uint8_t left[OM_HASH_SIZE], right[OM_HASH_SIZE];
	uint64_t k;
	int rc;

	if ((n & (n - 1)) == 0) {
		unsigned level = (unsigned)__builtin_ctzll(n);

		return r->read(r->ctx, level, lo >> level, ret);
	}
	k = split(n);
	rc = range_hash(r, lo, k, left);
	rc = rc ?: range_hash(r, lo + k, n - k, right);
	if (rc == 0)
		om_merkle_node_hash(left, right, ret);
	return rc;
}

int om_tlog_root(const struct om_tlog_reader *r, uint64_t size, uint8_t ret[OM_HASH_SIZE])
{
	static const struct om_merkle empty;

	if (size >= SIZE_LIMIT)
		return -EINVAL;
	if (size == 0)
		return om_merkle_root(&empty, ret), 0;
	return range_hash(r, 0, size, ret);
}

static int push(const struct om_tlog_reader *r, uint64_t lo, uint64_t n, struct om_tlog_proof *p)
{
	return range_hash(r, lo, n, p->hash[p->count++]);
}

/* Collected from the root down, told from the leaf up. */
static void reverse(struct om_tlog_proof *p)
{
	for (unsigned i = 0, j = p->count; i + 1 < j; i++) {
		uint8_t tmp[OM_HASH_SIZE];

		j--;
		memcpy(tmp, p->hash[i], sizeof(tmp));
		memcpy(p->hash[i], p->hash[j], sizeof(tmp));
		memcpy(p->hash[j], tmp, sizeof(tmp));
	}
}

int om_tlog_prove_inclusion(const struct om_tlog_reader *r, uint64_t size, uint64_t index,
			    struct om_tlog_proof *ret)
{
	struct om_tlog_proof p = { 0 };
	uint64_t lo = 0;
	int rc = 0;

	if (size >= SIZE_LIMIT || index >= size)
		return -EINVAL;
	for (uint64_t n = size, m = index; n > 1 && rc == 0;) {
		uint64_t k = split(n);

		if (m < k) {
			rc = push(r, lo + k, n - k, &p);
			n = k;
		} else {
			rc = push(r, lo, k, &p);
			lo += k;
			m -= k;
			n -= k;
		}
	}
	if (rc)
		return rc;
	reverse(&p);
	*ret = p;
	return 0;
}

int om_tlog_prove_consistency(const struct om_tlog_reader *r, uint64_t from, uint64_t to,
			      struct om_tlog_proof *ret)
{
	struct om_tlog_proof p = { 0 };
	uint64_t lo = 0, m = from, n = to;
	bool is_whole = true; /* what is left is the old tree itself: its root is known */
	int rc = 0;

	if (to >= SIZE_LIMIT || from > to)
		return -EINVAL;
	while (m && m < n && rc == 0) {
		uint64_t k = split(n);

		if (m <= k) {
			rc = push(r, lo + k, n - k, &p);
			n = k;
		} else {
			rc = push(r, lo, k, &p);
			lo += k;
			m -= k;
			n -= k;
			is_whole = false;
		}
	}
	if (rc == 0 && !is_whole)
		rc = push(r, lo, n, &p);
	if (rc)
		return rc;
	reverse(&p);
	*ret = p;
	return 0;
}

int om_tlog_check_inclusion(const uint8_t leaf_hash[OM_HASH_SIZE], uint64_t index, uint64_t size,
			    const struct om_tlog_proof *p, const uint8_t root[OM_HASH_SIZE])
{
	uint64_t fn = index, sn = size - 1;
	uint8_t h[OM_HASH_SIZE];

	if (index >= size || p->count > OM_TLOG_PROOF_MAX)
		return -EBADMSG;
	memcpy(h, leaf_hash, sizeof(h));
	for (unsigned i = 0; i < p->count; i++) {
		if (sn == 0)
			return -EBADMSG;
		if ((fn & 1) || fn == sn) {
			om_merkle_node_hash(p->hash[i], h, h);
			for (; !(fn & 1) && fn; fn >>= 1)
				sn >>= 1;
		} else {
			om_merkle_node_hash(h, p->hash[i], h);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && !memcmp(h, root, sizeof(h)) ? 0 : -EBADMSG;
}

/* 0 < from < to. */
static int check_growth(uint64_t from, const uint8_t *from_root, uint64_t to, const uint8_t *to_root,
			const struct om_tlog_proof *p)
{
	uint64_t fn = from - 1, sn = to - 1;
	uint8_t fr[OM_HASH_SIZE], sr[OM_HASH_SIZE];
	unsigned i = 0;

	/* A full old tree stands in the new one as a node: its root begins the path. */
	if ((from & (from - 1)) == 0) {
		memcpy(fr, from_root, sizeof(fr));
	} else {
		if (p->count == 0)
			return -EBADMSG;
		memcpy(fr, p->hash[i++], sizeof(fr));
	}
	memcpy(sr, fr, sizeof(sr));
	for (; fn & 1; fn >>= 1)
		sn >>= 1;
	for (; i < p->count; i++) {
		if (sn == 0)
			return -EBADMSG;
		if ((fn & 1) || fn == sn) {
			om_merkle_node_hash(p->hash[i], fr, fr);
			om_merkle_node_hash(p->hash[i], sr, sr);
			for (; !(fn & 1) && fn; fn >>= 1)
				sn >>= 1;
		} else {
			om_merkle_node_hash(sr, p->hash[i], sr);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && !memcmp(fr, from_root, sizeof(fr)) && !memcmp(sr, to_root, sizeof(sr)) ? 0
												 : -EBADMSG;
}

int om_tlog_check_consistency(uint64_t from, const uint8_t from_root[OM_HASH_SIZE], uint64_t to,
			      const uint8_t to_root[OM_HASH_SIZE], const struct om_tlog_proof *p)
{
	static const struct om_merkle empty;
	uint8_t none[OM_HASH_SIZE];

	if (from > to || p->count > OM_TLOG_PROOF_MAX)
		return -EBADMSG;
	if (from == to)
		return p->count == 0 && !memcmp(from_root, to_root, OM_HASH_SIZE) ? 0 : -EBADMSG;
	if (from)
		return check_growth(from, from_root, to, to_root, p);
	om_merkle_root(&empty, none);
	return p->count == 0 && !memcmp(from_root, none, sizeof(none)) ? 0 : -EBADMSG;
}

/* --- a tree in memory --- */

struct om_tlog_tree {
	uint64_t size;
	uint64_t room[64];
	uint8_t (*level[64])[OM_HASH_SIZE]; /* level[i] holds size >> i hashes */
};

struct om_tlog_tree *om_tlog_tree_new(void)
{
	return calloc(1, sizeof(struct om_tlog_tree));
}

struct om_tlog_tree *om_tlog_tree_free(struct om_tlog_tree *t)
{
	for (int i = 0; t && i < 64; i++)
		free(t->level[i]);
	free(t);
	return NULL;
}

static int make_room(struct om_tlog_tree *t, int level, uint64_t n)
{
	uint64_t room = t->room[level] ? 2 * t->room[level] : 64;
	void *p;

	if (n < t->room[level])
		return 0;
	p = reallocarray(t->level[level], room, OM_HASH_SIZE);
	if (!p)
		return -ENOMEM;
	t->level[level] = p;
	t->room[level] = room;
	return 0;
}

int om_tlog_tree_append(struct om_tlog_tree *t, const uint8_t leaf_hash[OM_HASH_SIZE])
{
	uint64_t n = t->size;
	uint8_t h[OM_HASH_SIZE];
	int level = 0;

	for (int i = 0; i == 0 || n >> (i - 1) & 1; i++)
		if (make_room(t, i, n >> i))
			return -ENOMEM;
	memcpy(h, leaf_hash, sizeof(h));
	for (;; level++, n >>= 1) {
		memcpy(t->level[level][n], h, sizeof(h));
		if (!(n & 1))
			break;
		om_merkle_node_hash(t->level[level][n - 1], h, h);
	}
	t->size++;
	return 0;
}

uint64_t om_tlog_tree_size(const struct om_tlog_tree *t)
{
	return t->size;
}

static int tree_read(void *ctx, unsigned level, uint64_t index, uint8_t ret[OM_HASH_SIZE])
{
	struct om_tlog_tree *t = ctx;

	if (level > 63 || index >= t->size >> level)
		return -ENOENT;
	memcpy(ret, t->level[level][index], OM_HASH_SIZE);
	return 0;
}

struct om_tlog_reader om_tlog_tree_reader(struct om_tlog_tree *t)
{
	return (struct om_tlog_reader){ .read = tree_read, .ctx = t };
}
