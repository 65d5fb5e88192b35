// SPDX-License-Identifier: Apache-2.0
/* Thresholds and fractions: what is counted, and what it is compared with. */
#include <errno.h>
#include <string.h>

#include "regime_internal.h"

static const char *const comparators[] = { ">=", ">", NULL };

static int read_level(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	static const char *const bounds[] = { "upper", "lower", NULL };
	struct regime_level *l = &g->levels[g->level_count];
	int bound, rc;

	if (g->level_count == REGIME_LEVELS_MAX)
		return yaml_error(n, err, "more than %d levels", REGIME_LEVELS_MAX);
	rc = yaml_need_string(n, "name", &l->name, err);
	rc = rc ?: yaml_share(n, "share", &l->share_ppm, err);
	rc = rc ?: yaml_need_word(n, "bound", bounds, &bound, err);
	rc = rc ?: yaml_done(n, err);
	if (rc)
		return rc;
	if (l->share_ppm == 0 || (g->level_count && l[-1].share_ppm >= l->share_ppm))
		return yaml_error(n, err, "levels must grow, from above 0 to 1");
	l->lower = bound == 1;
	if (l->share_ppm == 1000000 && !l->lower)
		return yaml_error(n, err, "the level of the threshold itself compares the lower bound");
	g->level_count++;
	return 0;
}

static int read_levels(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *levels;
	int rc = yaml_need(root, "levels", &levels, err);

	rc = rc ?: yaml_check_list(levels, err);
	for (struct yaml_node *n = rc ? NULL : yaml_first(levels); rc == 0 && n; n = yaml_next(n))
		rc = read_level(g, n, err);
	return rc;
}

static int read_requires(struct regime *g, struct yaml_node *list, struct error_text *err)
{
	int rc = list ? yaml_check_list(list, err) : 0;

	for (struct yaml_node *n = rc ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n)) {
		struct regime_condition *c = &g->requires[g->requires_count];

		if (g->requires_count == REGIME_REQUIRES_MAX)
			return yaml_error(n, err, "more than %d conditions", REGIME_REQUIRES_MAX);
		rc = yaml_need_string(n, "fact", &c->fact, err);
		rc = rc ?: yaml_need_string(n, "what", &c->what, err);
		rc = rc ?: yaml_done(n, err);
		g->requires_count++;
	}
	return rc;
}

/* A floor that the law names and nobody has published makes the verdict conditional. */
static int read_floor(struct regime *g, struct yaml_node *floor, struct error_text *err)
{
	struct yaml_node *n;
	int rc;

	if (!floor)
		return 0;
	g->has_floor = true;
	rc = yaml_need_string(floor, "what", &g->floor_what, err);
	rc = rc ?: yaml_need(floor, "operations", &n, err);
	if (rc)
		return rc;
	if (yaml_is_null(n))
		g->floor_missing = g->floor_what;
	else
		rc = yaml_need_ops(floor, "operations", &g->floor, err);
	return rc ?: yaml_done(floor, err);
}

static int read_derived(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	int cmp, rc;

	if (!n)
		return 0;
	g->derived.is_set = true;
	rc = yaml_need_ops(n, "at-least", &g->derived.at_least, err);
	rc = rc ?: regime_read_fraction(n, "floor-share", &g->derived.num, &g->derived.den, err);
	rc = rc ?: yaml_need_word(n, "comparator", comparators, &cmp, err);
	rc = rc ?: yaml_need_string(n, "citation", &g->derived.citation, err);
	rc = rc ?: yaml_done(n, err);
	if (rc == 0 && !g->has_floor)
		return yaml_error(n, err, "'floor-share' is a part of the floor, and there is no 'floor'");
	g->derived.comparator = rc ? REGIME_MORE_THAN : (enum regime_comparator)cmp;
	return rc;
}

static int read_synthetic(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	int rc;

	if (!n)
		return 0;
	g->synthetic.is_set = true;
	rc = yaml_share(n, "over-share", &g->synthetic.over_ppm, err);
	rc = rc ?: yaml_need_string(n, "citation", &g->synthetic.citation, err);
	return rc ?: yaml_done(n, err);
}

static int read_cases(struct regime *g, struct yaml_node *list, struct error_text *err)
{
	int rc = list ? yaml_check_list(list, err) : 0;

	for (struct yaml_node *n = rc ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n)) {
		const char *s;
		int c = 0;

		rc = yaml_string(n, &s, err);
		if (rc)
			return rc;
		while (c < CASE_END && strcmp(regime_case_name((enum regime_case)c), s))
			c++;
		if (c == CASE_END)
			return yaml_error(n, err, "nothing called '%s' opens a case", s);
		g->cases |= 1u << c;
	}
	return rc;
}

/* `training` is the older word for algorithmic. */
static int read_figure(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	static const char *const figures[] = { "training", "algorithmic", "executed", NULL };
	static const char *const formats[] = { "all", "floating-point", NULL };
	int figure, format = 0, rc = yaml_need_word(n, "figure", figures, &figure, err);

	if (rc == 0 && yaml_take(n, "number-formats"))
		rc = yaml_need_word(n, "number-formats", formats, &format, err);
	if (rc)
		return rc;
	g->figure = figure == 2 ? REGIME_EXECUTED : REGIME_ALGORITHMIC;
	g->floating_only = format == 1;
	return 0;
}

static int read_amount(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	struct yaml_node *ops;
	int rc = yaml_need(n, "operations", &ops, err);

	if (rc)
		return rc;
	if (!yaml_is_null(ops))
		return yaml_need_ops(n, "operations", &g->threshold, err);
	rc = yaml_need_string(n, "missing", &g->threshold_missing, err);
	g->threshold = OPCOUNT_MAX;
	return rc;
}

int regime_read_threshold(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *n, *training = yaml_take(root, "training");
	struct yaml_node *derived = yaml_take(root, "derived"), *synthetic = yaml_take(root, "synthetic");
	struct yaml_node *requires = yaml_take(root, "requires"), *cases = yaml_take(root, "cases");
	int cmp, rc;

	rc = yaml_need(root, "threshold", &n, err);
	rc = rc ?: read_amount(g, n, err);
	rc = rc ?: yaml_need_word(n, "comparator", comparators, &cmp, err);
	rc = rc ?: read_figure(g, n, err);
	if (rc)
		return rc;
	g->comparator = (enum regime_comparator)cmp;
	rc = read_floor(g, yaml_take(n, "floor"), err);
	rc = rc ?: yaml_done(n, err);
	rc = rc ?: read_derived(g, derived, err);
	rc = rc ?: read_synthetic(g, synthetic, err);
	rc = rc ?: read_requires(g, requires, err);
	rc = rc ?: read_cases(g, cases, err);
	rc = rc ?: yaml_bool(root, "published-exempt", &g->published_exempt, err);
	if (rc == 0 && training)
		rc = regime_read_texts(training, &g->training, &g->training_count, err);
	return rc ?: read_levels(g, root, err);
}

int regime_read_fractions(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *n, *requires = yaml_take(root, "requires");
	int cmp, rc = yaml_need(root, "fraction", &n, err);

	rc = rc ?: regime_read_fraction(n, "of-parent", &g->fraction.num, &g->fraction.den, err);
	rc = rc ?: yaml_need_word(n, "comparator", comparators, &cmp, err);
	rc = rc ?: read_figure(g, n, err);
	rc = rc ?: yaml_bool(n, "unpublished-parent", &g->fraction.unpublished, err);
	if (rc == 0 && yaml_take(n, "unknown-parent-operations"))
		rc = yaml_need_ops(n, "unknown-parent-operations", &g->fraction.fallback, err);
	rc = rc ?: yaml_done(n, err);
	if (rc)
		return rc;
	g->comparator = (enum regime_comparator)cmp;
	rc = read_requires(g, requires, err);
	return rc ?: read_levels(g, root, err);
}
