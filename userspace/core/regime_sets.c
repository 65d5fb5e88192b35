// SPDX-License-Identifier: Apache-2.0
/* country-sets.yaml: the sets that regimes refer to, and other names of countries. */
#include <errno.h>
#include <string.h>

#include "country.h"
#include "regime_internal.h"

static int check_country(struct yaml_node *n, const char *code, struct error_text *err)
{
	if (country_is_code(code))
		return 0;
	return yaml_error(n, err, "a country is a code of ISO 3166-1, two capital letters, not '%s'", code);
}

static int check_codes(const struct country_set *s, struct yaml_node *list, struct error_text *err)
{
	struct yaml_node *n = yaml_first(list);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++, n = yaml_next(n)) {
		rc = check_country(n, s->codes[i], err);
		for (size_t k = 0; rc == 0 && k < i; k++)
			if (!strcmp(s->codes[i], s->codes[k]))
				rc = yaml_error(n, err, "'%s' stands in set '%s' twice", s->codes[i],
						s->name);
	}
	return rc;
}

static int read_set(struct regimes *r, struct yaml_node *n, struct error_text *err)
{
	struct country_set *s = &r->set[r->set_count];
	const char *source, *name;
	struct yaml_node *codes;
	int rc;

	if (r->set_count == SETS_MAX)
		return yaml_error(n, err, "more than %d country sets", SETS_MAX);
	rc = yaml_need_string(n, "name", &name, err);
	rc = rc ?: yaml_need_string(n, "source", &source, err);
	rc = rc ?: yaml_need(n, "countries", &codes, err);
	if (rc)
		return rc;
	if (regimes_has_set(r, name))
		return yaml_error(n, err, "set '%s' stands here twice", name);
	s->name = name;
	r->set_count++;
	rc = regime_read_texts(codes, &s->codes, &s->count, err);
	rc = rc ?: check_codes(s, codes, err);
	return rc ?: yaml_done(n, err);
}

static int read_alias(struct regimes *r, struct yaml_node *n, struct error_text *err)
{
	const char *source;
	int rc;

	if (r->alias_count == ALIASES_MAX)
		return yaml_error(n, err, "more than %d aliases", ALIASES_MAX);
	rc = yaml_need_string(n, "from", &r->alias[r->alias_count].from, err);
	rc = rc ?: yaml_need_string(n, "to", &r->alias[r->alias_count].to, err);
	rc = rc ?: yaml_need_string(n, "source", &source, err);
	rc = rc ?: check_country(n, r->alias[r->alias_count].from, err);
	rc = rc ?: check_country(n, r->alias[r->alias_count].to, err);
	if (rc)
		return rc;
	r->alias_count++;
	return yaml_done(n, err);
}

int regime_read_sets(struct regimes *r, struct yaml *y, struct error_text *err)
{
	struct yaml_node *root = yaml_root(y), *sets, *aliases = yaml_take(root, "aliases");
	int rc = yaml_need(root, "sets", &sets, err);

	rc = rc ?: yaml_check_list(sets, err) ?: aliases ? yaml_check_list(aliases, err) : 0;
	rc = rc ?: yaml_done(root, err);
	for (struct yaml_node *n = yaml_first(sets); rc == 0 && n; n = yaml_next(n))
		rc = read_set(r, n, err);
	for (struct yaml_node *n = yaml_first(aliases); rc == 0 && n; n = yaml_next(n))
		rc = read_alias(r, n, err);
	return rc;
}
