// SPDX-License-Identifier: Apache-2.0
/* Caps on what machines could do: total processing performance (TPP), which is no count of operations. */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "regime_internal.h"

static const char *const scopes[] = { "owner-year",    "owner-total",	"owner-country", "country", "lot",
				      "share-outside", "share-country", "share-abroad",	 NULL };

static bool is_share(enum capacity_scope s)
{
	return s >= CAPACITY_SHARE_OUTSIDE;
}

static int read_quarters(struct capacity_limit *l, struct yaml_node *list, struct error_text *err)
{
	int rc = yaml_check_list(list, err);

	for (struct yaml_node *n = rc ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n)) {
		int32_t *day = &l->quarter[l->quarters].from_day;

		if (l->quarters == REGIME_QUARTERS_MAX)
			return yaml_error(n, err, "more than %d steps", REGIME_QUARTERS_MAX);
		rc = yaml_date(n, "from", day, err);
		rc = rc ?: yaml_need_ops(n, "tpp", &l->quarter[l->quarters].tpp, err);
		rc = rc ?: yaml_done(n, err);
		if (rc == 0 && *day == INT32_MIN)
			return yaml_error(n, err, "'from' is missing");
		if (rc == 0 && l->quarters && l->quarter[l->quarters - 1].from_day >= *day)
			return yaml_error(n, err, "steps stand in the order of their dates");
		l->quarters++;
	}
	return rc;
}

static int read_bound(struct capacity_limit *l, struct yaml_node *n, struct error_text *err)
{
	struct yaml_node *schedule = yaml_take(n, "schedule");

	if (l->missing)
		return 0; /* nothing to compare with */
	if (is_share(l->scope))
		return yaml_share(n, "share", &l->share_ppm, err);
	if (schedule)
		return read_quarters(l, schedule, err);
	return yaml_need_ops(n, "tpp", &l->tpp, err);
}

static int check_sets(const struct regimes *r, const struct capacity_limit *l, const struct yaml_node *n,
		      struct error_text *err)
{
	const char *const sets[] = { l->set, l->in, l->except };

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (sets[i] && !regimes_has_set(r, sets[i]))
			return yaml_error(n, err, "no country set '%s' in country-sets.yaml", sets[i]);
	if ((l->in || l->except) && is_share(l->scope))
		return yaml_error(n, err, "'in' and 'except' are for amounts, not for shares");
	return 0;
}

static int read_limit(struct regimes *r, struct regime *g, struct yaml_node *n, struct error_text *err)
{
	static const char *const comparators[] = { ">=", ">", NULL };
	struct capacity_limit *l = &g->limit[g->limits];
	int scope, cmp, rc;

	if (g->limits == REGIME_LIMITS_MAX)
		return yaml_error(n, err, "more than %d limits", REGIME_LIMITS_MAX);
	rc = yaml_need_string(n, "id", &l->id, err);
	rc = rc ?: yaml_need_string(n, "what", &l->what, err);
	rc = rc ?: yaml_need_word(n, "scope", scopes, &scope, err);
	rc = rc ?: yaml_optional_string(n, "missing", &l->missing, err);
	cmp = REGIME_MORE_THAN;
	if (rc == 0 && !l->missing)
		rc = yaml_need_word(n, "comparator", comparators, &cmp, err);
	l->citation = g->citation;
	rc = rc ?: yaml_optional_string(n, "citation", &l->citation, err);
	rc = rc ?: regime_read_evidence(n, g->evidence, &l->evidence, err);
	rc = rc ?: yaml_optional_string(n, "not-in", &l->set, err);
	rc = rc ?: yaml_optional_string(n, "in", &l->in, err);
	rc = rc ?: yaml_optional_string(n, "except", &l->except, err);
	rc = rc ?: yaml_optional_string(n, "home", &l->home, err);
	rc = rc ?: yaml_optional_string(n, "status", &l->status, err);
	rc = rc ?: yaml_date(n, "from", &l->from_day, err) ?: yaml_date(n, "to", &l->to_day, err);
	if (rc)
		return rc;
	l->scope = (enum capacity_scope)scope;
	l->comparator = (enum regime_comparator)cmp;
	g->limits++;
	rc = read_bound(l, n, err);
	rc = rc ?: check_sets(r, l, n, err);
	if (rc == 0 && !l->set && (l->scope == CAPACITY_SHARE_OUTSIDE || l->scope == CAPACITY_SHARE_COUNTRY))
		return yaml_error(n, err, "'not-in' is missing: outside which set of countries?");
	return rc ?: yaml_done(n, err);
}

int regime_read_capacity(struct regimes *r, struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *list;
	int rc = yaml_need(root, "capacity", &list, err);

	rc = rc ?: yaml_check_list(list, err);
	for (struct yaml_node *n = rc ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n))
		rc = read_limit(r, g, n, err);
	return rc;
}
