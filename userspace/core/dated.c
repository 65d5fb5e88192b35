// SPDX-License-Identifier: Apache-2.0
#include "dated.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void om_dated_done(struct om_dated_list *l)
{
	free(l->item);
	*l = (struct om_dated_list){ 0 };
}

/* The place of (from, author), or where it belongs. */
static size_t place(const struct om_dated_list *l, uint64_t from_ns, bool is_person)
{
	size_t lo = 0, hi = l->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct om_dated *d = &l->item[mid];

		if (d->from_ns < from_ns || (d->from_ns == from_ns && d->is_person < is_person))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct om_dated *om_dated_exact(const struct om_dated_list *l, uint64_t from_ns, bool is_person)
{
	size_t i = place(l, from_ns, is_person);

	return i < l->count && l->item[i].from_ns == from_ns && l->item[i].is_person == is_person
		       ? &l->item[i]
		       : NULL;
}

/* A total order, so that the order of arrival has no part in what holds. */
static bool is_later(const struct om_assignment *a, const struct om_dated *d)
{
	int r = strcmp(a->value, d->value);

	if (a->at_ns != d->at_ns)
		return a->at_ns > d->at_ns;
	if (r)
		return r > 0;
	if (a->to_ns != d->to_ns)
		return a->to_ns > d->to_ns;
	if (a->share_low_ppm != d->share_low_ppm)
		return a->share_low_ppm > d->share_low_ppm;
	return a->share_high_ppm > d->share_high_ppm;
}

static bool is_same(const struct om_assignment *a, const struct om_dated *d)
{
	return a->at_ns == d->at_ns && a->to_ns == d->to_ns && a->share_low_ppm == d->share_low_ppm &&
	       a->share_high_ppm == d->share_high_ppm && !strcmp(a->value, d->value);
}

static int make_room(struct om_dated_list *l)
{
	/* Most jobs have one tenant. */
	uint32_t room = l->room ? 2 * l->room : 1;
	struct om_dated *bigger;

	if (l->count < l->room)
		return 0;
	if (l->count >= OM_DATED_MAX)
		return -ENOSPC;
	bigger = reallocarray(l->item, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->item = bigger;
	l->room = room;
	return 0;
}

int om_dated_put(struct om_dated_list *l, const struct om_assignment *a, const char *value)
{
	bool is_person = a->person[0] != '\0';
	size_t i = place(l, a->from_ns, is_person);
	bool is_known = om_dated_exact(l, a->from_ns, is_person) != NULL;
	int r;

	if (is_known && !is_later(a, &l->item[i])) {
		if (is_same(a, &l->item[i]) && a->record > l->item[i].record)
			l->item[i].record = a->record;
		return 1;
	}
	r = is_known ? 0 : make_room(l);
	if (r)
		return r;
	if (!is_known) {
		memmove(&l->item[i + 1], &l->item[i], (l->count - i) * sizeof(*l->item));
		l->count++;
	}
	l->item[i] = (struct om_dated){ .from_ns = a->from_ns,
					.to_ns = a->to_ns,
					.at_ns = a->at_ns,
					.value = value,
					.share_low_ppm = a->share_low_ppm,
					.share_high_ppm = a->share_high_ppm,
					.record = a->record,
					.is_person = is_person };
	return 0;
}

static bool holds_before(const struct om_dated *a, const struct om_dated *b)
{
	if (a->is_person != b->is_person)
		return a->is_person;
	if (!a->to_ns != !b->to_ns)
		return a->to_ns;
	return a->from_ns > b->from_ns;
}

static const struct om_dated *best_in(const struct om_dated_list *l, uint64_t from_ns, uint64_t to_ns,
				      bool rules_only)
{
	const struct om_dated *best = NULL;

	for (size_t i = 0; i < l->count && l->item[i].from_ns < to_ns; i++) {
		const struct om_dated *d = &l->item[i];

		if ((d->to_ns && d->to_ns <= from_ns) || (rules_only && d->is_person))
			continue;
		if (!best || holds_before(d, best))
			best = d;
	}
	return best;
}

const struct om_dated *om_dated_rule_in(const struct om_dated_list *l, uint64_t from_ns, uint64_t to_ns)
{
	return best_in(l, from_ns, to_ns, true);
}

const struct om_dated *om_dated_in(const struct om_dated_list *l, uint64_t from_ns, uint64_t to_ns)
{
	return best_in(l, from_ns, to_ns, false);
}
