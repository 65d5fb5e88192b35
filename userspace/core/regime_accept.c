// SPDX-License-Identifier: Apache-2.0
/*
 * acceptances.yaml: who accepted which regime, by the digest of its text. An
 * acceptance switches the regime to `enforce`; the file as shipped stays as it is,
 * and a text that changed afterwards is refused until somebody accepts it anew.
 */
#include <errno.h>
#include <string.h>

#include "regime_internal.h"

struct acceptance {
	const char *regime, *version, *digest, *by, *reference;
	int32_t day;
};

static int read_acceptance(struct yaml_node *n, struct acceptance *a, struct error_text *err)
{
	int rc = yaml_need_string(n, "regime", &a->regime, err);

	rc = rc ?: yaml_need_string(n, "version", &a->version, err);
	rc = rc ?: yaml_need_string(n, "digest", &a->digest, err);
	rc = rc ?: yaml_need_string(n, "by", &a->by, err);
	rc = rc ?: yaml_need_string(n, "reference", &a->reference, err);
	rc = rc ?: yaml_date(n, "date", &a->day, err);
	rc = rc ?: yaml_done(n, err);
	if (rc == 0 && a->day == INT32_MIN)
		return yaml_error(n, err, "'date' is missing: when was it accepted?");
	return rc;
}

static struct regime *find(struct regimes *r, const struct acceptance *a)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->regime[i].id, a->regime) && !strcmp(r->regime[i].version, a->version))
			return &r->regime[i];
	return NULL;
}

static int accept(struct regimes *r, struct yaml_node *n, struct error_text *err)
{
	struct acceptance a;
	struct regime *g;
	int rc = read_acceptance(n, &a, err);

	if (rc)
		return rc;
	g = find(r, &a);
	if (!g)
		return yaml_error(n, err, "there is no %s version %s to accept", a.regime, a.version);
	if (strcmp(g->digest, a.digest))
		return yaml_error(n, err, "another text of %s version %s was accepted: it is %.16s... now",
				  g->id, g->version, g->digest);
	if (g->accepted.by)
		return yaml_error(n, err, "%s version %s is accepted twice", g->id, g->version);
	g->accepted.by = a.by;
	g->accepted.reference = a.reference;
	g->accepted.day = a.day;
	g->mode = REGIME_ENFORCE;
	return 0;
}

int regime_accept(struct regimes *r, struct yaml *y, struct error_text *err)
{
	struct yaml_node *list;
	int rc = y ? yaml_need(yaml_root(y), "accepted", &list, err) : 0;

	if (rc == 0 && y)
		rc = yaml_check_list(list, err) ?: yaml_done(yaml_root(y), err);
	for (struct yaml_node *n = rc || !y ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n))
		rc = accept(r, n, err);
	for (size_t i = 0; rc == 0 && i < r->count; i++) {
		const struct regime *g = &r->regime[i];

		if (g->mode == REGIME_ENFORCE && !g->demo && !g->accepted.by)
			rc = error_set(
				err, -EINVAL,
				"%s:1: mode enforce of %s version %s needs counsel's recorded acceptance: "
				"none in acceptances.yaml for digest %s",
				g->file, g->id, g->version, g->digest);
	}
	return rc;
}

int regimes_check_accepted(const struct regimes *r, int32_t today, struct error_text *err)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct regime *g = &r->regime[i];
		char day[16];

		if (g->accepted.by && g->accepted.day > today)
			return error_set(
				err, -EINVAL,
				"acceptances.yaml: %s version %s is accepted on %s, a day to come (UTC)",
				g->id, g->version, date_format(g->accepted.day, day));
	}
	return 0;
}
