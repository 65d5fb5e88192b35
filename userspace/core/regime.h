/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_REGIME_H
#define OPMETER_CORE_REGIME_H

/*
 * Regimes: one law's rule each, as data (data/regimes/, docs/regimes.md). A
 * regime is read strictly: an unknown field is an error with file and line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "../base/opcount.h"

enum regime_mode { REGIME_ENFORCE, REGIME_SHADOW, REGIME_NOTICE, REGIME_OFF };
enum regime_kind {
	REGIME_THRESHOLD, /* training operations of a model against a threshold */
	REGIME_OWNER,	  /* where the customer's ultimate parent sits */
};
enum regime_comparator { REGIME_AT_LEAST, REGIME_MORE_THAN };

#define REGIME_LEVELS_MAX 8
struct regime_level {
	const char *name;   /* "notice", "warn", "urgent", "exceeded" */
	uint32_t share_ppm; /* of the threshold */
	bool lower;	    /* compares the lower bound; the early ones compare the upper */
};

struct country_set {
	const char *name;
	const char **codes; /* ISO 3166-1 alpha-2, upper case */
	size_t count;
};

struct regime {
	const char *id, *version, *title, *citation, *evidence, *digest, *file;
	enum regime_kind kind;
	enum regime_mode mode;
	bool demo;
	int32_t from_day, to_day; /* INT32_MIN: open */
	/* REGIME_THRESHOLD */
	opcount threshold;
	enum regime_comparator comparator;
	const char *floor_missing; /* data the verdict depends on that is null: conditional(...) */
	struct regime_level levels[REGIME_LEVELS_MAX];
	size_t level_count;
	/* REGIME_OWNER */
	const char *clear_set;	  /* headquarters there raise nothing */
	const char *apart_set;	  /* told apart from the rest */
	const char *threshold_of; /* id of the regime whose threshold makes a case material */
	uint32_t material_ppm;
	const char **checklist;
	size_t checklist_count;
};

struct regimes;
/* Every *.yaml of the directory but country-sets.yaml, which is read first.
 * -ENOENT: no regime there. -EINVAL with FILE:LINE. */
int regimes_load(const char *dir, struct regimes **ret, struct error_text *err);
struct regimes *regimes_free(struct regimes *r);
static inline void regimes_freep(struct regimes **r)
{
	*r = regimes_free(*r);
}
size_t regimes_count(const struct regimes *r);
const struct regime *regimes_at(const struct regimes *r, size_t i);
const struct regime *regimes_find(const struct regimes *r, const char *id);
/* Aliases (HK, UK) are resolved. An unknown set holds nobody. */
bool regimes_country_in(const struct regimes *r, const char *set, const char *country);

bool regime_holds_on(const struct regime *r, int32_t day);
/* True if a figure meets the level: exact integers, the regime's comparator. */
bool regime_level_met(const struct regime *r, const struct regime_level *level, opcount figure);
/* The smallest figure that meets the level. */
opcount regime_level_figure(const struct regime *r, const struct regime_level *level);
const char *regime_mode_name(enum regime_mode mode);

#endif
