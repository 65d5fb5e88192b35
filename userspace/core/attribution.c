// SPDX-License-Identifier: Apache-2.0
#include "attribution.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "cgroup_path.h"

struct rule {
	const char *path, *pod, *slurm_job, *container, *unit, *user; /* patterns; NULL: any */
	const char *tenant, *model, *declared_by;
	enum om_phase phase;
	int line;
};

struct tenant_map {
	struct yaml *yaml; /* the rules' strings are loans from it */
	struct rule *rules;
	size_t count;
};

struct tenant_map *tenant_map_free(struct tenant_map *m)
{
	if (!m)
		return NULL;
	yaml_close(m->yaml);
	free(m->rules);
	free(m);
	return NULL;
}

size_t tenant_map_rules(const struct tenant_map *m)
{
	return m->count;
}

/* Iterative, with one point of return per kind of star: linear but for the
 * product of pattern and text, whatever a tenant calls its cgroups. */
bool tenant_map_like(const char *pattern, const char *text)
{
	const char *star = NULL, *star_text = NULL, *wide = NULL, *wide_text = NULL;

	while (*text || *pattern) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			wide = pattern += 2;
			wide_text = text;
			star = NULL;
			continue;
		}
		if (*pattern == '*') {
			star = ++pattern;
			star_text = text;
			continue;
		}
		if (*text && (*pattern == *text || (*pattern == '?' && *text != '/'))) {
			pattern++;
			text++;
			continue;
		}
		if (star && *star_text && *star_text != '/') {
			pattern = star;
			text = ++star_text;
			continue;
		}
		if (wide && *wide_text) {
			star = NULL;
			pattern = wide;
			text = ++wide_text;
			continue;
		}
		return false;
	}
	return true;
}

bool tenant_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len <= 63 && text_is_name(name, len);
}

static int check_name(struct yaml_node *map, const char *key, const char *name, struct error_text *err)
{
	if (!tenant_name_is_valid(name))
		return yaml_error(map, err, "'%s' must be 1 to 63 of A-Z a-z 0-9 . _ -, not '%s'", key, name);
	return 0;
}

static int read_match(struct yaml_node *n, struct rule *r, struct error_text *err)
{
	const struct {
		const char *key;
		const char **to;
	} fields[] = {
		{ "path", &r->path },		{ "pod", &r->pod },   { "slurm-job", &r->slurm_job },
		{ "container", &r->container }, { "unit", &r->unit }, { "user", &r->user },
	};
	bool any = false;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		rc = yaml_optional_string(n, fields[i].key, fields[i].to, err);
		if (rc)
			return rc;
		any |= *fields[i].to != NULL;
	}
	rc = yaml_done(n, err);
	if (rc)
		return rc;
	return any ? 0
		   : yaml_error(n, err,
				"'match' names nothing: give path, pod, slurm-job, container, unit or user");
}

static int read_phase(struct yaml_node *n, struct rule *r, struct error_text *err)
{
	struct yaml_node *declared = yaml_take(n, "declared");
	const char *phase = NULL;
	int32_t date = INT32_MIN;
	int rc = yaml_optional_string(n, "phase", &phase, err);

	if (rc)
		return rc;
	if (phase && om_phase_parse(phase, &r->phase))
		return yaml_error(n, err,
				  "'phase' must be training, frozen-weight-training, inference or unknown");
	if (!declared)
		return phase ? yaml_error(n, err,
					  "a phase needs 'declared: {by: ..., date: ...}': who stands for it")
			     : 0;
	rc = yaml_need_string(declared, "by", &r->declared_by, err);
	rc = rc ?: yaml_date(declared, "date", &date, err);
	rc = rc ?: yaml_done(declared, err);
	return rc ?: date == INT32_MIN ? yaml_error(declared, err, "'date' is missing") : 0;
}

static int read_rule(struct yaml_node *n, struct rule *r, struct error_text *err)
{
	struct yaml_node *match;
	int rc = yaml_need(n, "match", &match, err);

	r->line = yaml_line(n);
	rc = rc ?: read_match(match, r, err);
	rc = rc ?: yaml_need_string(n, "tenant", &r->tenant, err);
	rc = rc ?: check_name(n, "tenant", r->tenant, err);
	rc = rc ?: yaml_optional_string(n, "model", &r->model, err);
	if (rc == 0 && r->model)
		rc = check_name(n, "model", r->model, err);
	rc = rc ?: read_phase(n, r, err);
	return rc ?: yaml_done(n, err);
}

int tenant_map_load(const char *path, struct tenant_map **ret, struct error_text *err)
{
	_cleanup_(tenant_map_freep) struct tenant_map *m = calloc(1, sizeof(*m));
	struct yaml_node *rules;
	int r;

	if (!m)
		return -ENOMEM;
	r = yaml_load(path, &m->yaml, err);
	r = r ?: yaml_need(yaml_root(m->yaml), "rules", &rules, err);
	r = r ?: yaml_check_list(rules, err);
	r = r ?: yaml_done(yaml_root(m->yaml), err);
	if (r)
		return r;
	m->rules = calloc(yaml_count(rules) + 1, sizeof(*m->rules));
	if (!m->rules)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(rules); n; n = yaml_next(n)) {
		r = read_rule(n, &m->rules[m->count++], err);
		if (r)
			return r;
	}
	*ret = TAKE_PTR(m);
	return 0;
}

static bool field_matches(const char *pattern, const char *value)
{
	return !pattern || (value[0] && tenant_map_like(pattern, value));
}

static bool rule_matches(const struct rule *r, const char *path, const struct cgroup_path *p)
{
	return field_matches(r->path, path) && field_matches(r->pod, p->pod) &&
	       field_matches(r->slurm_job, p->slurm_job) && field_matches(r->container, p->container) &&
	       field_matches(r->unit, p->unit) && field_matches(r->user, p->user);
}

void tenant_map_attribute(const struct tenant_map *m, const char *path, struct attribution *ret)
{
	struct cgroup_path p;

	memset(ret, 0, sizeof(*ret));
	ret->tenant = "unknown";
	ret->version = m ? yaml_digest(m->yaml) : "none";
	if (!path) {
		snprintf(ret->evidence, sizeof(ret->evidence), "the path of the cgroup is not known");
		return;
	}
	cgroup_path_parse(path, &p);
	for (size_t i = 0; m && i < m->count; i++) {
		const struct rule *r = &m->rules[i];

		if (!rule_matches(r, path, &p))
			continue;
		ret->tenant = r->tenant;
		ret->is_matched = true;
		ret->model = r->model;
		ret->phase = r->phase;
		ret->declared_by = r->declared_by;
		snprintf(ret->evidence, sizeof(ret->evidence), "%.200s:%d matched %s cgroup %.230s",
			 yaml_name(m->yaml), r->line, cgroup_kind_name(p.kind), path);
		return;
	}
	snprintf(ret->evidence, sizeof(ret->evidence), "no rule of %.200s matched %s cgroup %.230s",
		 m ? yaml_name(m->yaml) : "a tenant map (there is none)", cgroup_kind_name(p.kind), path);
}
