/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_KEY_MAP_H
#define OPMETER_FLEET_KEY_MAP_H

/* A map from text keys to nodes that their owner embeds as first member and frees. */

#include <stddef.h>
#include <stdint.h>

struct key_node {
	struct key_node *next; /* in its bucket */
	uint64_t hash;
	char *key; /* owned by the node */
	size_t key_len;
};

struct key_map {
	struct key_node **bucket;
	size_t buckets, count;
};

/* For key_map_done(), of nodes that own nothing more than their memory. */
void key_node_free(struct key_node *n);
/* Frees the buckets and, by fn, every node. */
void key_map_done(struct key_map *m, void (*fn)(struct key_node *n));
struct key_node *key_map_find(const struct key_map *m, const char *key, size_t len);
/* A copy of the key goes into the node. It must not be there yet. -ENOMEM: nothing was changed. */
int key_map_add(struct key_map *m, struct key_node *n, const char *key, size_t len);
/* The node is the caller's again; its key is freed. */
void key_map_remove(struct key_map *m, struct key_node *n);
/* Every node, in no order. fn may remove (and free) the node that it is given; it returns 0 to go on. */
int key_map_each(struct key_map *m, int (*fn)(void *ctx, struct key_node *n), void *ctx);

#endif
