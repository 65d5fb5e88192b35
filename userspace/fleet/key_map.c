// SPDX-License-Identifier: Apache-2.0
#include "key_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: keys come from topics that only members of the fleet may write. */
static uint64_t hash_of(const char *key, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)key[i]) * 0x100000001b3ULL;
	return h ^ h >> 32;
}

void key_node_free(struct key_node *n)
{
	free(n);
}

void key_map_done(struct key_map *m, void (*fn)(struct key_node *n))
{
	for (size_t i = 0; i < m->buckets; i++) {
		for (struct key_node *n = m->bucket[i], *next; n; n = next) {
			next = n->next;
			free(n->key);
			fn(n);
		}
	}
	free(m->bucket);
	*m = (struct key_map){ 0 };
}

struct key_node *key_map_find(const struct key_map *m, const char *key, size_t len)
{
	uint64_t h = hash_of(key, len);
	struct key_node *n = m->buckets ? m->bucket[h & (m->buckets - 1)] : NULL;

	while (n && (n->hash != h || n->key_len != len || memcmp(n->key, key, len) != 0))
		n = n->next;
	return n;
}

static int make_room(struct key_map *m)
{
	size_t buckets = m->buckets ? 2 * m->buckets : 64;
	struct key_node **bigger;

	if (m->count < m->buckets)
		return 0;
	bigger = calloc(buckets, sizeof(struct key_node *));
	if (!bigger)
		return -ENOMEM;
	for (size_t i = 0; i < m->buckets; i++) {
		for (struct key_node *n = m->bucket[i], *next; n; n = next) {
			next = n->next;
			n->next = bigger[n->hash & (buckets - 1)];
			bigger[n->hash & (buckets - 1)] = n;
		}
	}
	free(m->bucket);
	m->bucket = bigger;
	m->buckets = buckets;
	return 0;
}

int key_map_add(struct key_map *m, struct key_node *n, const char *key, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy || make_room(m)) {
		free(copy);
		return -ENOMEM;
	}
	memcpy(copy, key, len);
	copy[len] = '\0';
	n->key = copy;
	n->key_len = len;
	n->hash = hash_of(key, len);
	n->next = m->bucket[n->hash & (m->buckets - 1)];
	m->bucket[n->hash & (m->buckets - 1)] = n;
	m->count++;
	return 0;
}

void key_map_remove(struct key_map *m, struct key_node *n)
{
	struct key_node **at = &m->bucket[n->hash & (m->buckets - 1)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	m->count--;
	free(n->key);
	n->key = NULL;
}

int key_map_each(struct key_map *m, int (*fn)(void *ctx, struct key_node *n), void *ctx)
{
	for (size_t i = 0; i < m->buckets; i++) {
		for (struct key_node *n = m->bucket[i], *next; n; n = next) {
			int r;

			next = n->next;
			r = fn(ctx, n);
			if (r)
				return r;
		}
	}
	return 0;
}
