// SPDX-License-Identifier: Apache-2.0
/* Four-way sets, replaced in turn: no allocation after the start, no chains for
 * a tenant to make long. */
#include "file_cache.h"

#include <string.h>

#define WAYS 4
#define SETS 4096

struct set {
	struct file_verdict way[WAYS]; /* ino 0: free */
	unsigned next;
};

struct file_cache {
	struct set set[SETS];
};

void file_identity_from(const struct stat *st, struct file_identity *ret)
{
	*ret = (struct file_identity){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000ull + (uint64_t)st->st_mtim.tv_nsec,
		.ctime_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000ull + (uint64_t)st->st_ctim.tv_nsec,
	};
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns;
}

struct file_cache *file_cache_new(void)
{
	return calloc(1, sizeof(struct file_cache));
}

struct file_cache *file_cache_free(struct file_cache *c)
{
	free(c);
	return NULL;
}

static size_t set_of(uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ dev << 40 ^ dev >> 24) * 0x9e3779b97f4a7c15ull;

	return h >> 52; /* SETS is 2^12 */
}
_Static_assert(SETS == 1 << 12, "the index is the top 12 bits of the hash");

const struct file_verdict *file_cache_get(const struct file_cache *c, uint64_t dev, uint64_t ino)
{
	const struct set *s = &c->set[set_of(dev, ino)];

	for (size_t i = 0; i < WAYS; i++)
		if (s->way[i].ino == ino && s->way[i].dev == dev)
			return &s->way[i];
	return NULL;
}

void file_cache_put(struct file_cache *c, const struct file_verdict *v)
{
	struct set *s = &c->set[set_of(v->dev, v->ino)];
	struct file_verdict *to = (struct file_verdict *)file_cache_get(c, v->dev, v->ino);

	for (size_t i = 0; i < WAYS && !to; i++)
		if (!s->way[i].ino)
			to = &s->way[i];
	if (!to)
		to = &s->way[s->next++ % WAYS];
	*to = *v;
}

void file_cache_drop_library(struct file_cache *c, int library)
{
	for (size_t i = 0; i < SETS; i++)
		for (size_t k = 0; k < WAYS; k++)
			if (c->set[i].way[k].ino && c->set[i].way[k].library == library)
				c->set[i].way[k] = (struct file_verdict){ 0 };
}
