// SPDX-License-Identifier: Apache-2.0
/*
 * Daily series on the totals topic, as the judge sees them. Records of days come within
 * the rounds of totals, under their epochs; they are counted apart, for a reader of before
 * they were there takes none of them and must find its partitions whole all the same.
 */
#include "view_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void view_free_days(struct key_node *n)
{
	struct seen_days *d = (struct seen_days *)n;

	om_days_done(&d->days);
	free(d);
}

int view_stage_days(struct view *v, struct staged *s, const struct view_record *m, uint32_t partition)
{
	const char *rest = memchr(s->key + strlen(v->fleet) + 1, '/', s->key_len - strlen(v->fleet) - 1);
	enum om_days_kind kind;
	size_t at;
	int r;

	if (!rest || om_days_key_kind(rest + 1, (size_t)(s->key + s->key_len - rest - 1), &kind, &at))
		return 0;
	if (kind == OM_DAYS_ASK)
		return 1; /* is for the keeper of the partition */
	s->is_days = true;
	if (!m->value)
		return 0;
	s->days = calloc(1, sizeof(*s->days));
	if (!s->days)
		return -ENOMEM;
	r = om_days_decode(m->value, m->value_len, OM_DAYS_TOLD, &s->days->days);
	if (r == 0 && s->days->days.partition == partition)
		return 0;
	view_free_days(&s->days->node);
	s->days = NULL;
	return r == -ENOMEM ? r : 1;
}

int view_take_days(struct view *v, struct view_part *p, struct staged *s)
{
	struct seen_days *known = (struct seen_days *)key_map_find(&p->days, s->key, s->key_len);
	struct seen_days *d = s->days;

	if (known) {
		key_map_remove(&p->days, &known->node);
		view_free_days(&known->node);
	}
	if (!d)
		return 0;
	d->epoch = s->epoch;
	d->serial = ++v->serial;
	if (key_map_add(&p->days, &d->node, s->key, s->key_len))
		return -ENOMEM;
	s->days = NULL;
	return 0;
}

static int drop_one(void *ctx, struct key_node *n)
{
	struct view_part *p = ctx;

	if (epoch_compare(((struct seen_days *)n)->epoch, p->head.epoch) != 0) {
		key_map_remove(&p->days, n);
		view_free_days(n);
	}
	return 0;
}

void view_drop_days(struct view_part *p)
{
	key_map_each(&p->days, drop_one, p);
}

/* The first of the subject's parts. */
static size_t first_of(const struct view *v, const struct om_subject_total *s)
{
	size_t lo = 0, hi = v->ordered;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (view_compare(v->order[mid], s) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void find_days(const struct view *v, const struct om_subject_total *s, struct view_piece *piece)
{
	char key[OM_TOTAL_KEY_MAX];
	const struct seen_days *d;

	if (om_days_key(v->fleet, piece->partition, OM_DAYS_TOLD, s, key))
		return;
	d = (const struct seen_days *)key_map_find(&v->part[piece->partition].days, key, strlen(key));
	if (!d)
		return;
	piece->days = &d->days;
	piece->serial = d->serial;
}

int view_pieces(struct view *v, const struct om_subject_total *s, struct view_piece **ret, size_t *ret_count)
{
	int r = view_put_in_order(v);
	size_t from, to;

	*ret = NULL;
	*ret_count = 0;
	if (r)
		return r;
	from = to = first_of(v, s);
	while (to < v->ordered && view_compare(v->order[to], s) == 0)
		to++;
	*ret = calloc(to - from + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = from; i < to; i++) {
		/* It is the first member of its record. */
		const struct om_total_record *rec = (const struct om_total_record *)v->order[i];
		struct view_piece *piece = &(*ret)[(*ret_count)++];

		piece->partition = rec->partition;
		piece->total = &rec->total;
		find_days(v, s, piece);
	}
	return 0;
}
