// SPDX-License-Identifier: Apache-2.0
/* Regimes as they were read: which holds when, and the arithmetic of levels. Reading is in regime_*.c. */
#include "regime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "regime_internal.h"

#define PPM 1000000u

size_t regimes_count(const struct regimes *r)
{
	return r->count;
}

const struct regime *regimes_at(const struct regimes *r, size_t i)
{
	return &r->regime[i];
}

const struct regime *regimes_find(const struct regimes *r, const char *id)
{
	const struct regime *best = NULL;

	for (size_t i = 0; i < r->count; i++) {
		const struct regime *g = &r->regime[i];

		if (!strcmp(g->id, id) && (!best || g->from_day > best->from_day))
			best = g;
	}
	return best;
}

const struct regime *regimes_on(const struct regimes *r, const char *id, int32_t day)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->regime[i].id, id) && regime_covers(&r->regime[i], day))
			return &r->regime[i];
	return NULL;
}

const struct regime *regimes_version(const struct regimes *r, const char *id, const char *version)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->regime[i].id, id) && !strcmp(r->regime[i].version, version))
			return &r->regime[i];
	return NULL;
}

const char *regimes_alias(const struct regimes *r, const char *country)
{
	for (size_t i = 0; i < r->alias_count; i++)
		if (!strcmp(r->alias[i].from, country))
			return r->alias[i].to;
	return country;
}

bool regimes_has_set(const struct regimes *r, const char *set)
{
	for (size_t i = 0; i < r->set_count; i++)
		if (!strcmp(r->set[i].name, set))
			return true;
	return false;
}

bool regimes_country_in(const struct regimes *r, const char *set, const char *country)
{
	country = regimes_alias(r, country);
	for (size_t i = 0; i < r->set_count; i++) {
		if (strcmp(r->set[i].name, set))
			continue;
		for (size_t k = 0; k < r->set[i].count; k++)
			if (!strcmp(r->set[i].codes[k], country))
				return true;
	}
	return false;
}

bool regime_covers(const struct regime *r, int32_t day)
{
	return (r->from_day == INT32_MIN || day >= r->from_day) &&
	       (r->to_day == INT32_MIN || day < r->to_day);
}

bool regime_holds_on(const struct regime *r, int32_t day)
{
	return r->mode != REGIME_OFF && regime_covers(r, day);
}

struct regime_limit regime_limit_of(const struct regime *r)
{
	return (struct regime_limit){ opcount_max(r->threshold, r->floor), 1, 1, r->comparator };
}

opcount regime_limit_figure(const struct regime_limit *l, uint32_t share_ppm)
{
	uint64_t num = (uint64_t)l->num * share_ppm, den = (uint64_t)(l->den ?: 1) * PPM;
	opcount product, figure;

	/* limit * share, rounded up: a figure just below a fraction does not meet it. */
	if (opcount_mul(l->operations, num, &product))
		return OPCOUNT_MAX;
	figure = product / den;
	if (l->comparator == REGIME_MORE_THAN)
		return figure + 1;
	return figure + (product % den != 0);
}

opcount regime_level_figure(const struct regime *r, const struct regime_level *level)
{
	struct regime_limit l = regime_limit_of(r);

	return regime_limit_figure(&l, level->share_ppm);
}

bool regime_level_met(const struct regime *r, const struct regime_level *level, opcount figure)
{
	return figure >= regime_level_figure(r, level);
}

const char *regime_mode_name(enum regime_mode mode)
{
	static const char *const names[] = { "enforce", "shadow", "notice", "off" };

	return names[mode];
}

const char *regime_kind_name(enum regime_kind kind)
{
	static const char *const names[] = { "threshold", "owner", "fraction", "capacity", "listed", "text" };

	return names[kind];
}

const char *regime_comparator_text(enum regime_comparator c)
{
	return c == REGIME_AT_LEAST ? ">=" : ">";
}

const char *regime_case_name(enum regime_case c)
{
	static const char *const names[] = { "exceeded",      "partial-view",	    "structuring",
					     "lineage-merge", "suspected-training", "exemption-lost",
					     "telemetry-gap", "conditional" };

	return names[c];
}
