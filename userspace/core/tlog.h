/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TLOG_H
#define OPMETER_CORE_TLOG_H

/*
 * Proofs over the log's tree (RFC 6962, section 2.1; checking after RFC 9162,
 * sections 2.1.3.2 and 2.1.4.2) and its static layout as tiles (C2SP
 * tlog-tiles). Pure: hashes come through a reader, so the same code proves from
 * memory and from files. Sizes and indices are of leaves.
 */

#include <stddef.h>
#include <stdint.h>

#include "merkle.h"

/* Reads the hash of the full subtree of 2^level leaves that begins at leaf index << level. 0 or -errno. */
struct om_tlog_reader {
	int (*read)(void *ctx, unsigned level, uint64_t index, uint8_t ret[OM_HASH_SIZE]);
	void *ctx;
};

/* A tree of 2^63 leaves needs 63 hashes, its consistency one more. */
#define OM_TLOG_PROOF_MAX 65
struct om_tlog_proof {
	unsigned count;
	uint8_t hash[OM_TLOG_PROOF_MAX][OM_HASH_SIZE];
};

/* Root of the first `size` leaves; of none, the hash of the empty string. -errno of the reader; -EINVAL: size
 * is 2^63 or more. */
int om_tlog_root(const struct om_tlog_reader *r, uint64_t size, uint8_t ret[OM_HASH_SIZE]);
/* -EINVAL: the index is not in the tree. */
int om_tlog_prove_inclusion(const struct om_tlog_reader *r, uint64_t size, uint64_t index,
			    struct om_tlog_proof *ret);
/* That the tree of `to` leaves begins with the one of `from`. -EINVAL: from > to. */
int om_tlog_prove_consistency(const struct om_tlog_reader *r, uint64_t from, uint64_t to,
			      struct om_tlog_proof *ret);

/* 0, or -EBADMSG: the proof does not show it. For any input. */
int om_tlog_check_inclusion(const uint8_t leaf_hash[OM_HASH_SIZE], uint64_t index, uint64_t size,
			    const struct om_tlog_proof *p, const uint8_t root[OM_HASH_SIZE]);
int om_tlog_check_consistency(uint64_t from, const uint8_t from_root[OM_HASH_SIZE], uint64_t to,
			      const uint8_t to_root[OM_HASH_SIZE], const struct om_tlog_proof *p);

/* All hashes of a tree in memory: 64 bytes a leaf. */
struct om_tlog_tree;
struct om_tlog_tree *om_tlog_tree_new(void);
struct om_tlog_tree *om_tlog_tree_free(struct om_tlog_tree *t);
static inline void om_tlog_tree_freep(struct om_tlog_tree **t)
{
	*t = om_tlog_tree_free(*t);
}
int om_tlog_tree_append(struct om_tlog_tree *t, const uint8_t leaf_hash[OM_HASH_SIZE]); /* 0, -ENOMEM */
uint64_t om_tlog_tree_size(const struct om_tlog_tree *t);
struct om_tlog_reader om_tlog_tree_reader(struct om_tlog_tree *t); /* valid as long as the tree */

/* Tiles: 256 hashes of one level of the tree, every 8 levels; the entries beside them. */
#define OM_TILE_WIDTH 256
#define OM_TILE_LEVELS 8
#define OM_TILE_ENTRIES (-1) /* in place of a level: the bundle of entries */
struct om_tile {
	int level; /* 0..5 (more cannot be full), or OM_TILE_ENTRIES */
	uint64_t index;
	unsigned width; /* 1..256; less than 256: a partial tile */
};
#define OM_TILE_PATH_MAX 64
/* "tile/0/x001/x234/067", "tile/entries/000.p/5". Returns buf. */
const char *om_tile_path(const struct om_tile *t, char buf[OM_TILE_PATH_MAX]);
int om_tile_parse(const char *path, struct om_tile *ret); /* -EINVAL: not the path of a tile */
/* How wide a tile of a tree of `size` leaves is: 0 if it holds none. */
unsigned om_tile_width(uint64_t size, int level, uint64_t index);
/* width x 32 bytes of a hash tile. */
int om_tile_read(const struct om_tlog_reader *r, const struct om_tile *t,
		 uint8_t ret[OM_TILE_WIDTH * OM_HASH_SIZE]);

#endif
