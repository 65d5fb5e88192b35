// SPDX-License-Identifier: Apache-2.0
#include "id_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct om_id none;

void id_set_done(struct id_set *s)
{
	free(s->slot);
	*s = (struct id_set){ 0 };
}

/* Ids are hashes: their first bytes are as good as any. */
static struct om_id *find(const struct id_set *s, const struct om_id *id)
{
	size_t i;

	memcpy(&i, id, sizeof(i));
	for (i &= s->slots - 1; !om_id_equal(&s->slot[i], &none) && !om_id_equal(&s->slot[i], id);)
		i = (i + 1) & (s->slots - 1);
	return &s->slot[i];
}

bool id_set_has(const struct id_set *s, const struct om_id *id)
{
	return s->slots && om_id_equal(find(s, id), id);
}

int id_set_add(struct id_set *s, const struct om_id *id)
{
	if (id_set_has(s, id))
		return 1;
	if (2 * (s->count + 1) > s->slots) {
		struct id_set bigger = { .slots = s->slots ? 2 * s->slots : 256 };

		bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
		if (!bigger.slot)
			return -ENOMEM;
		for (size_t i = 0; i < s->slots; i++)
			if (!om_id_equal(&s->slot[i], &none))
				*find(&bigger, &s->slot[i]) = s->slot[i];
		bigger.count = s->count;
		free(s->slot);
		*s = bigger;
	}
	*find(s, id) = *id;
	s->count++;
	return 0;
}
