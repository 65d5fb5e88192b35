/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_REGIME_INTERNAL_H
#define OPMETER_CORE_REGIME_INTERNAL_H

/* What the files of core/regime share. */

#include "../base/yaml.h"
#include "regime.h"

#define REGIMES_MAX 64
#define SETS_MAX 16
#define ALIASES_MAX 16

struct regimes {
	struct yaml *files[REGIMES_MAX + 2];
	size_t file_count;
	struct regime regime[REGIMES_MAX];
	size_t count;
	struct country_set set[SETS_MAX];
	size_t set_count;
	struct {
		const char *from, *to;
	} alias[ALIASES_MAX];
	size_t alias_count;
};

/* regime_read.c: one file into the next free place of r. */
int regime_read(struct regimes *r, struct yaml *y, struct error_text *err);
int regime_read_texts(struct yaml_node *list, const char ***ret, size_t *ret_n, struct error_text *err);
int regime_read_evidence(struct yaml_node *map, const char *otherwise, const char **ret,
			 struct error_text *err);
/* "25%", "0.25" or "1/3" as a fraction in lowest terms as written; the sum of it is at most 1. */
int regime_read_fraction(struct yaml_node *map, const char *key, uint32_t *ret_num, uint32_t *ret_den,
			 struct error_text *err);
/* regime_figures.c */
int regime_read_threshold(struct regime *g, struct yaml_node *root, struct error_text *err);
int regime_read_fractions(struct regime *g, struct yaml_node *root, struct error_text *err);
/* regime_law.c: what goes with any kind: status, history, notices, retention, clauses */
int regime_read_law(struct regime *g, struct yaml_node *root, struct error_text *err);
/* regime_capacity.c */
int regime_read_capacity(struct regimes *r, struct regime *g, struct yaml_node *root, struct error_text *err);
/* regime_sets.c */
int regime_read_sets(struct regimes *r, struct yaml *y, struct error_text *err);
/* regime_accept.c: acceptances.yaml, and that nothing is enforced without one. y may be NULL. */
int regime_accept(struct regimes *r, struct yaml *y, struct error_text *err);

#endif
