// SPDX-License-Identifier: Apache-2.0
#include "ownership.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"

struct edge {
	size_t parent; /* position of the entity */
	uint32_t share_ppm;
	int32_t from_day, to_day, as_of_day;
	const char *source, *parent_id;
	struct yaml_node *node;
};

struct entity {
	const char *id, *name, *headquarters, *lei, *source;
	int32_t as_of_day;
	bool top; /* somebody says that it has no parent */
	struct edge *edges;
	size_t edge_count;
};

struct binding {
	const char *tenant, *entity_id;
	size_t entity;
};

struct owners {
	struct yaml *yaml;
	struct entity *entities;
	size_t entity_count;
	struct binding *bindings;
	size_t binding_count;
};

struct owners *owners_free(struct owners *o)
{
	if (!o)
		return NULL;
	for (size_t i = 0; i < o->entity_count; i++)
		free(o->entities[i].edges);
	free(o->entities);
	free(o->bindings);
	yaml_close(o->yaml);
	free(o);
	return NULL;
}

bool lei_is_valid(const char *lei)
{
	unsigned rest = 0;

	if (strlen(lei) != 20)
		return false;
	for (int i = 0; i < 20; i++) {
		char c = lei[i];

		if (c >= '0' && c <= '9')
			rest = (rest * 10 + (unsigned)(c - '0')) % 97;
		else if (c >= 'A' && c <= 'Z' && i < 18)
			rest = (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
		else
			return false;
	}
	return rest == 1;
}

static int read_edge(struct yaml_node *n, struct edge *e, struct error_text *err)
{
	int r = yaml_need_string(n, "entity", &e->parent_id, err);

	e->node = n;
	r = r ?: yaml_share(n, "share", &e->share_ppm, err);
	r = r ?: yaml_need_string(n, "source", &e->source, err);
	r = r ?: yaml_date(n, "as-of", &e->as_of_day, err);
	r = r ?: yaml_date(n, "from", &e->from_day, err) ?: yaml_date(n, "to", &e->to_day, err);
	r = r ?: yaml_done(n, err);
	if (r == 0 && e->as_of_day == INT32_MIN)
		return yaml_error(n, err, "'as-of' is missing: when the source said so");
	return r;
}

static int read_edges(struct yaml_node *list, struct entity *e, struct error_text *err)
{
	int r = yaml_check_list(list, err);

	if (r || !yaml_count(list))
		return r;
	e->edges = calloc(yaml_count(list), sizeof(*e->edges));
	if (!e->edges)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(list); n; n = yaml_next(n)) {
		r = read_edge(n, &e->edges[e->edge_count++], err);
		if (r)
			return r;
	}
	return 0;
}

static bool is_country(const char *s)
{
	return strlen(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z';
}

static int read_entity(struct yaml_node *n, struct entity *e, struct error_text *err)
{
	int r = yaml_need_string(n, "id", &e->id, err);

	r = r ?: yaml_need_string(n, "name", &e->name, err);
	r = r ?: yaml_need_string(n, "headquarters", &e->headquarters, err);
	r = r ?: yaml_optional_string(n, "lei", &e->lei, err);
	r = r ?: yaml_need_string(n, "source", &e->source, err);
	r = r ?: yaml_date(n, "as-of", &e->as_of_day, err);
	r = r ?: yaml_bool(n, "no-parent", &e->top, err);
	r = r ?: read_edges(yaml_take(n, "parents"), e, err);
	r = r ?: yaml_done(n, err);
	if (r)
		return r;
	if (!is_country(e->headquarters))
		return yaml_error(n, err, "'headquarters' must be two capital letters (ISO 3166-1), not '%s'",
				  e->headquarters);
	if (e->lei && !lei_is_valid(e->lei))
		return yaml_error(n, err, "'%s' is no LEI: its check digits are wrong", e->lei);
	if (e->as_of_day == INT32_MIN)
		return yaml_error(n, err, "'as-of' is missing: when the source said so");
	if (e->top && e->edge_count)
		return yaml_error(n, err, "'no-parent: true' beside parents");
	return 0;
}

static int find_entity(const struct owners *o, const char *id, size_t *ret)
{
	for (size_t i = 0; i < o->entity_count; i++) {
		if (!strcmp(o->entities[i].id, id)) {
			*ret = i;
			return 0;
		}
	}
	return -ENOENT;
}

static int read_entities(struct owners *o, struct yaml_node *list, struct error_text *err)
{
	size_t at;
	int r = yaml_check_list(list, err);

	if (r)
		return r;
	o->entities = calloc(yaml_count(list) + 1, sizeof(*o->entities));
	if (!o->entities)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(list); n; n = yaml_next(n)) {
		struct entity *e = &o->entities[o->entity_count];

		o->entity_count++;
		r = read_entity(n, e, err);
		if (r)
			return r;
		if (find_entity(o, e->id, &at) == 0 && at + 1 != o->entity_count)
			return yaml_error(n, err, "entity '%s' stands here twice", e->id);
	}
	for (size_t i = 0; i < o->entity_count; i++) {
		for (size_t k = 0; k < o->entities[i].edge_count; k++) {
			struct edge *e = &o->entities[i].edges[k];

			if (find_entity(o, e->parent_id, &e->parent))
				return yaml_error(e->node, err, "no entity '%s'", e->parent_id);
		}
	}
	return 0;
}

static int read_bindings(struct owners *o, struct yaml_node *list, struct error_text *err)
{
	int r = yaml_check_list(list, err);

	if (r)
		return r;
	o->bindings = calloc(yaml_count(list) + 1, sizeof(*o->bindings));
	if (!o->bindings)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(list); n; n = yaml_next(n)) {
		struct binding *b = &o->bindings[o->binding_count++];

		r = yaml_need_string(n, "tenant", &b->tenant, err);
		r = r ?: yaml_need_string(n, "entity", &b->entity_id, err);
		r = r ?: yaml_done(n, err);
		if (r)
			return r;
		if (find_entity(o, b->entity_id, &b->entity))
			return yaml_error(n, err, "no entity '%s'", b->entity_id);
		for (size_t i = 0; i + 1 < o->binding_count; i++)
			if (!strcmp(o->bindings[i].tenant, b->tenant))
				return yaml_error(n, err, "tenant '%s' is bound twice", b->tenant);
	}
	return 0;
}

int owners_load(const char *path, struct owners **ret, struct error_text *err)
{
	_cleanup_(owners_freep) struct owners *o = calloc(1, sizeof(*o));
	struct yaml_node *root, *entities, *tenants;
	int r;

	if (!o)
		return -ENOMEM;
	r = yaml_load(path, &o->yaml, err);
	if (r)
		return r;
	root = yaml_root(o->yaml);
	r = yaml_need(root, "entities", &entities, err);
	r = r ?: read_entities(o, entities, err);
	r = r ?: yaml_need(root, "tenants", &tenants, err);
	r = r ?: read_bindings(o, tenants, err);
	r = r ?: yaml_done(root, err);
	if (r)
		return r;
	*ret = TAKE_PTR(o);
	return 0;
}

const char *owner_state_text(enum owner_state s)
{
	static const char *const texts[] = {
		"the ultimate parent is known",
		"no legal entity is bound to the tenant",
		"the ultimate parent is not known",
		"the parents form a cycle",
		"two parents hold 50 % or more at the same date",
	};

	return texts[s];
}

static bool edge_holds(const struct edge *e, int32_t day)
{
	return (e->from_day == INT32_MIN || day >= e->from_day) &&
	       (e->to_day == INT32_MIN || day < e->to_day);
}

/* The parent: the one edge of 50 % or more that holds on the day. A minority
 * holder decides nothing, and its presence makes the parent unknown. */
static const struct edge *parent_of(const struct entity *e, int32_t day, enum owner_state *state)
{
	const struct edge *found = NULL;

	for (size_t i = 0; i < e->edge_count; i++) {
		if (!edge_holds(&e->edges[i], day) || e->edges[i].share_ppm < 500000)
			continue;
		if (found) {
			*state = OWNER_CONTRADICTION;
			return NULL;
		}
		found = &e->edges[i];
	}
	if (!found)
		*state = e->top ? OWNER_KNOWN : OWNER_PARENT_UNKNOWN;
	return found;
}

static void add_step(struct owner_answer *a, const struct entity *e, const struct edge *by)
{
	a->path[a->steps++] = (struct owner_step){
		.entity = e->id,
		.name = e->name,
		.headquarters = e->headquarters,
		.source = by ? by->source : e->source,
		.as_of_day = by ? by->as_of_day : e->as_of_day,
		.share_ppm = by ? by->share_ppm : 0,
	};
}

static void set_version(struct owner_answer *a)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;
	char line[512];

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, (const unsigned char *)owner_state_text(a->state),
				  strlen(owner_state_text(a->state)) + 1);
	for (size_t i = 0; i < a->steps; i++) {
		/* Not the sources' dates: a fact confirmed again is the same fact. */
		int n = snprintf(line, sizeof(line), "%s|%s|%u\n", a->path[i].entity, a->path[i].headquarters,
				 a->path[i].share_ppm);

		crypto_hash_sha256_update(&s, (const unsigned char *)line,
					  (size_t)n < sizeof(line) ? (size_t)n : sizeof(line));
	}
	crypto_hash_sha256_final(&s, hash);
	sodium_bin2hex(a->version, sizeof(a->version), hash, sizeof(hash));
}

static void walk_up(const struct owners *o, size_t at, int32_t day, struct owner_answer *a)
{
	const struct edge *by = NULL;

	for (;;) {
		for (size_t i = 0; i < a->steps; i++) {
			if (a->path[i].entity == o->entities[at].id) {
				a->state = OWNER_CYCLE;
				return;
			}
		}
		if (a->steps == OWNER_PATH_MAX) {
			a->state = OWNER_PARENT_UNKNOWN;
			return;
		}
		add_step(a, &o->entities[at], by);
		by = parent_of(&o->entities[at], day, &a->state);
		if (!by)
			return;
		at = by->parent;
	}
}

void owners_resolve(const struct owners *o, const char *tenant, int32_t day, struct owner_answer *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->state = OWNER_NO_ENTITY;
	for (size_t i = 0; o && i < o->binding_count; i++) {
		if (!strcmp(o->bindings[i].tenant, tenant)) {
			walk_up(o, o->bindings[i].entity, day, ret);
			break;
		}
	}
	set_version(ret);
}
