// SPDX-License-Identifier: Apache-2.0
#include "near.h"

#define PART 50

bool om_near_level(const struct regimes *regimes, const struct om_subject_total *s, int32_t day)
{
	for (size_t i = 0; i < regimes_count(regimes); i++) {
		const struct regime *g = regimes_at(regimes, i);

		if (g->kind != REGIME_THRESHOLD || !regime_holds_on(g, day))
			continue;
		for (size_t k = 0; k < g->level_count; k++) {
			opcount is = g->levels[k].lower ? s->training_low : s->training_high;
			opcount figure = regime_level_figure(g, &g->levels[k]);

			if (is < figure && figure - is < figure / PART)
				return true;
		}
	}
	return false;
}
