// SPDX-License-Identifier: Apache-2.0
/* owners.yaml: a few entities, holdings and bindings that people write. */
#include "ownership_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "country.h"

/* When the source said so. Whether that day has come, only the caller knows: owners_check_dates(). */
static int read_as_of(struct owners *o, struct yaml_node *n, int32_t *ret, struct error_text *err)
{
	int r = yaml_date(n, "as-of", ret, err);
	char day[16];

	if (r)
		return r;
	if (*ret == INT32_MIN)
		return yaml_error(n, err, "'as-of' is missing: when the source said so");
	if (*ret > o->latest_day) {
		o->latest_day = *ret;
		o->latest.text[0] = '\0';
		yaml_error(n, &o->latest, "'as-of' %s lies in the future", date_format(*ret, day));
	}
	return 0;
}

/* A holding's parent may stand further down: entities are all made before. */
static int read_edge(struct owners *o, size_t child, struct yaml_node *n, struct error_text *err)
{
	struct own_edge e = {
		.tie = OWNER_TIE_HOLDS, .has_share = true, .is_active = true, .until = INT32_MAX
	};
	const char *parent;
	uint32_t share_ppm;
	int r = yaml_need_string(n, "entity", &parent, err);

	r = r ?: yaml_share(n, "share", &share_ppm, err);
	r = r ?: yaml_need_string(n, "source", &e.source, err);
	r = r ?: read_as_of(o, n, &e.as_of, err);
	r = r ?: yaml_date(n, "from", &e.from, err) ?: yaml_date(n, "to", &e.to, err);
	r = r ?: yaml_done(n, err);
	if (r)
		return r;
	if (e.to == INT32_MIN)
		e.to = INT32_MAX;
	e.share_ppb = share_ppm * 1000;
	e.since = e.as_of;
	e.parent = owners_find(o, parent);
	if (e.parent == OWNER_NOWHERE)
		return yaml_error(n, err, "no entity '%s'", parent);
	return owners_add_edge(o, child, &e);
}

static int read_edges(struct owners *o, size_t child, struct yaml_node *list, struct error_text *err)
{
	int r = yaml_check_list(list, err);

	for (struct yaml_node *n = yaml_first(list); n && r == 0; n = yaml_next(n))
		r = read_edge(o, child, n, err);
	return r;
}

struct waiting {
	struct yaml_node *parents;
	size_t entity;
};

static int read_entity(struct owners *o, struct yaml_node *n, struct waiting *ret, struct error_text *err)
{
	struct own_record record = { .until = INT32_MAX };
	const char *id, *lei = NULL;
	int r = yaml_need_string(n, "id", &id, err);

	r = r ?: yaml_need_string(n, "name", &record.name, err);
	r = r ?: yaml_need_string(n, "headquarters", &record.headquarters, err);
	r = r ?: yaml_optional_string(n, "lei", &lei, err);
	r = r ?: yaml_need_string(n, "source", &record.source, err);
	r = r ?: read_as_of(o, n, &record.as_of, err);
	r = r ?: yaml_bool(n, "no-parent", &record.top, err);
	ret->parents = yaml_take(n, "parents");
	r = r ?: yaml_done(n, err);
	if (r)
		return r;
	if (!country_is_code(record.headquarters))
		return yaml_error(
			n, err, "'headquarters' must be a code of ISO 3166-1, two capital letters, not '%s'",
			record.headquarters);
	if (lei && !lei_is_valid(lei))
		return yaml_error(n, err, "'%s' is no LEI: its check digits are wrong", lei);
	if (record.top && yaml_count(ret->parents))
		return yaml_error(n, err, "'no-parent: true' beside parents");
	if (owners_find(o, id) != OWNER_NOWHERE)
		return yaml_error(n, err, "entity '%s' stands here twice", id);
	record.since = record.as_of;
	return owners_entity(o, id, &ret->entity) ?: owners_add_record(o, ret->entity, &record);
}

static int read_entities(struct owners *o, struct yaml_node *list, struct error_text *err)
{
	_cleanup_free_ struct waiting *waiting = NULL;
	size_t count = 0;
	int r = yaml_check_list(list, err);

	if (r)
		return r;
	waiting = calloc(yaml_count(list) + 1, sizeof(*waiting));
	if (!waiting)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(list); n && r == 0; n = yaml_next(n))
		r = read_entity(o, n, &waiting[count++], err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = read_edges(o, waiting[i].entity, waiting[i].parents, err);
	return r;
}

static int read_bindings(struct owners *o, struct yaml_node *list, struct error_text *err)
{
	int r = yaml_check_list(list, err);

	if (r)
		return r;
	for (struct yaml_node *n = yaml_first(list); n; n = yaml_next(n)) {
		struct own_binding b = { .from = INT32_MIN, .to = INT32_MAX, .number = o->bindings.count };
		const char *entity;

		r = yaml_need_string(n, "tenant", &b.tenant, err);
		r = r ?: yaml_need_string(n, "entity", &entity, err);
		r = r ?: yaml_done(n, err);
		if (r)
			return r;
		b.entity = owners_find(o, entity);
		if (b.entity == OWNER_NOWHERE)
			return yaml_error(n, err, "no entity '%s'", entity);
		for (size_t i = 0; i < o->bindings.count; i++)
			if (!strcmp(o->bindings.item[i].tenant, b.tenant))
				return yaml_error(n, err, "tenant '%s' is bound twice", b.tenant);
		r = owners_add_binding(o, &b);
		if (r)
			return r;
	}
	return 0;
}

int owners_check_dates(const struct owners *o, int32_t today, struct error_text *err)
{
	/* A day's grace, as an import has: elsewhere it may be tomorrow. */
	return o->latest_day > today + 1 ? error_set(err, -EINVAL, "%s", o->latest.text) : 0;
}

int owners_load_yaml(const char *path, struct owners **ret, struct error_text *err)
{
	_cleanup_(owners_freep) struct owners *o = owners_new();
	_cleanup_(yaml_closep) struct yaml *yaml = NULL;
	struct yaml_node *root, *entities, *tenants;
	int r;

	if (!o)
		return -ENOMEM;
	o->latest_day = INT32_MIN;
	r = yaml_load(path, &yaml, err);
	if (r)
		return r;
	root = yaml_root(yaml);
	r = yaml_need(root, "entities", &entities, err);
	r = r ?: read_entities(o, entities, err);
	r = r ?: yaml_need(root, "tenants", &tenants, err);
	r = r ?: read_bindings(o, tenants, err);
	r = r ?: yaml_done(root, err);
	if (r)
		return r;
	owners_sort(o);
	*ret = TAKE_PTR(o);
	return 0;
}
