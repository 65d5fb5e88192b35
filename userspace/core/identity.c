// SPDX-License-Identifier: Apache-2.0
/* Rules applied to facts; identity_rules.c reads the file. */
#include "identity.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "attribution.h"
#include "identity_internal.h"

/* --- facts --- */

bool om_fact_name_is_valid(const char *name)
{
	static const struct {
		const char *kind;
		bool has_key;
	} kinds[] = {
		{ "namespace", false },
		{ "namespace-label", true },
		{ "namespace-annotation", true },
		{ "pod", false },
		{ "pod-label", true },
		{ "pod-annotation", true },
		{ "pod-owner", false },
		{ "service-account", false },
		{ "priority-class", false },
		{ "slurm-user", false },
		{ "slurm-uid", false },
		{ "slurm-account", false },
		{ "slurm-partition", false },
		{ "slurm-job-name", false },
		{ "container-name", false },
		{ "container-image", false },
		{ "container-label", true },
		{ "unit", false },
		{ "uid", false },
	};
	size_t n = strcspn(name, "/");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i].kind) == n && !strncmp(kinds[i].kind, name, n))
			return kinds[i].has_key ? name[n] == '/' && name[n + 1] : !name[n];
	return false;
}

int om_facts_add(struct om_facts *f, const char *name, const char *value)
{
	static const char mark[] = " [cut]"; /* no name has this: a cut value names nobody */
	_cleanup_free_ char *n = NULL;
	_cleanup_free_ char *v = NULL;
	size_t len = strlen(value);

	if (!om_fact_name_is_valid(name))
		return -EINVAL;
	if (f->count == OM_FACTS_MAX || strlen(name) >= OM_FACT_NAME_MAX) {
		f->cut++;
		return 1;
	}
	if (om_facts_get(f, name))
		return 1;
	n = strdup(name);
	v = strndup(value, OM_FACT_VALUE_MAX - 1);
	if (!n || !v)
		return -ENOMEM;
	if (len >= OM_FACT_VALUE_MAX)
		memcpy(v + OM_FACT_VALUE_MAX - sizeof(mark), mark, sizeof(mark));
	f->item[f->count++] = (struct om_fact){ TAKE_PTR(n), TAKE_PTR(v) };
	return 0;
}

const char *om_facts_get(const struct om_facts *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (!strcmp(f->item[i].name, name))
			return f->item[i].value;
	return NULL;
}

void om_facts_done(struct om_facts *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->item[i].name);
		free(f->item[i].value);
	}
	f->count = 0;
	f->cut = 0;
}

/* --- applying --- */

bool om_identity_trusts(const struct om_identity_rules *r, const char *name)
{
	for (size_t i = 0; i < r->trust_count; i++)
		if (!strcmp(r->trust[i], name))
			return true;
	/* Parts of the cgroup's path above whatever a tenant could make: the host's word. */
	return !strcmp(name, "unit") || !strcmp(name, "uid");
}

static bool rules_want(const struct om_identity_rule_list *l, const char *name, size_t len)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct om_identity_rule *r = &l->item[i];

		if (r->from && !strncmp(r->from, name, len) && (!r->from[len] || r->from[len] == '/'))
			return true;
		for (size_t k = 0; k < r->where_count; k++)
			if (!strncmp(r->where[k].fact, name, len) &&
			    (!r->where[k].fact[len] || r->where[k].fact[len] == '/'))
				return true;
	}
	return false;
}

bool om_identity_wants_kind(const struct om_identity_rules *r, const char *kind)
{
	size_t len = strlen(kind);

	for (size_t i = 0; i < r->trust_count; i++)
		if (!strncmp(r->trust[i], kind, len) && (!r->trust[i][len] || r->trust[i][len] == '/'))
			return true;
	return rules_want(&r->tenant, kind, len) || rules_want(&r->model, kind, len);
}

static bool rule_names(const struct om_identity_rule_list *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->item[i].from && !strcmp(l->item[i].from, name))
			return true;
		for (size_t k = 0; k < l->item[i].where_count; k++)
			if (!strcmp(l->item[i].where[k].fact, name))
				return true;
	}
	return false;
}

bool om_identity_wants(const struct om_identity_rules *r, const char *name)
{
	return om_identity_trusts(r, name) || rule_names(&r->tenant, name) || rule_names(&r->model, name);
}

/* NULL: the rule does not apply. */
static const char *value_of(const struct om_identity_rule *r, const struct om_facts *f)
{
	for (size_t k = 0; k < r->where_count; k++) {
		const char *v = om_facts_get(f, r->where[k].fact);

		if (!v || !tenant_map_like(r->where[k].like, v))
			return NULL;
	}
	if (r->name)
		return r->name;
	return om_facts_get(f, r->from);
}

static const struct om_identity_rule *find(const struct om_identity_rule_list *l, const struct om_facts *f,
					   const char **ret)
{
	for (size_t i = 0; i < l->count; i++) {
		const char *v = value_of(&l->item[i], f);

		if (v && v[0]) {
			*ret = v;
			return &l->item[i];
		}
	}
	return NULL;
}

/* Text in a buffer that is never overrun; what does not fit is left out whole. */
struct line {
	char *to;
	size_t size, len;
};

static bool __attribute__((format(printf, 2, 3))) put(struct line *l, const char *fmt, ...)
{
	char text[1024], safe[1024];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = strlen(text_escape(text, safe, sizeof(safe)));
	if (l->len + n + 1 > l->size)
		return false;
	memcpy(l->to + l->len, safe, n + 1);
	l->len += n;
	return true;
}

static void put_rule(const struct om_identity_rules *rules, const struct om_identity_rule *r,
		     const struct om_facts *f, struct line *l)
{
	put(l, "%.100s:%d: ", yaml_name(rules->yaml), r->line);
	if (r->from)
		put(l, "%.200s=%.100s", r->from, om_facts_get(f, r->from) ?: "");
	else
		put(l, "by name");
	for (size_t k = 0; k < r->where_count; k++)
		put(l, "%s%.100s=%.100s", k ? ", " : " where ", r->where[k].fact,
		    om_facts_get(f, r->where[k].fact) ?: "");
}

/* Everything else that was said. Room is kept for the count of what did not fit. */
static void put_claims(const struct om_identity_rules *rules, const struct om_facts *f, const char *decided,
		       struct line *l)
{
	uint64_t left = f->cut;
	size_t shown = 0;

	l->size -= 24;
	for (int trusted = 1; trusted >= 0; trusted--) {
		for (size_t i = 0; i < f->count; i++) {
			const struct om_fact *x = &f->item[i];

			if (om_identity_trusts(rules, x->name) != trusted ||
			    (decided && !strcmp(x->name, decided)))
				continue;
			if (put(l, "%s%s=%.120s",
				trusted ? "; "
				: shown ? ", "
					: "; claims: ",
				x->name, x->value))
				shown += !trusted;
			else
				left++;
		}
	}
	l->size += 24;
	if (left)
		put(l, "; %llu more", (unsigned long long)left);
}

static void name_tenant(const struct om_identity_rules *rules, const struct om_facts *f, const char *what,
			struct om_identity *ret)
{
	struct line l = { ret->tenant_evidence, sizeof(ret->tenant_evidence), 0 };
	const char *value;
	const struct om_identity_rule *r = find(&rules->tenant, f, &value);

	strcpy(ret->tenant, "unknown");
	if (!r) {
		ret->outcome = OM_IDENTITY_UNMATCHED;
		put(&l, "no rule of %.100s names a tenant for %.100s", yaml_name(rules->yaml), what);
	} else if (!tenant_name_is_valid(value) || !strcmp(value, "unknown")) {
		ret->outcome = OM_IDENTITY_REFUSED;
		put(&l, "what should name the tenant cannot: %.100s, ", what);
		put_rule(rules, r, f, &l);
	} else {
		ret->outcome = OM_IDENTITY_NAMED;
		strcpy(ret->tenant, value);
		put(&l, "%.100s, ", what);
		put_rule(rules, r, f, &l);
	}
	put_claims(rules, f, r ? r->from : NULL, &l);
}

static void name_model(const struct om_identity_rules *rules, const struct om_facts *f, const char *what,
		       struct om_identity *ret)
{
	struct line l = { ret->model_evidence, sizeof(ret->model_evidence), 0 };
	const char *value;
	const struct om_identity_rule *r = find(&rules->model, f, &value);

	if (!r)
		return;
	put(&l, "%.100s, ", what);
	put_rule(rules, r, f, &l);
	if (r->from && !om_identity_trusts(rules, r->from))
		put(&l, ", a claim");
	if (tenant_name_is_valid(value))
		strcpy(ret->model, value);
}

void om_identity_apply(const struct om_identity_rules *r, const struct om_facts *f, const char *what,
		       struct om_identity *ret)
{
	*ret = (struct om_identity){ 0 };
	name_tenant(r, f, what, ret);
	name_model(r, f, what, ret);
}
