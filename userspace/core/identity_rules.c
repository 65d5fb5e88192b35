// SPDX-License-Identifier: Apache-2.0
/* The file of identity rules: read once, every slip told with its line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "attribution.h"
#include "identity_internal.h"

#define REFRESH_S 600
#define ALERT_AFTER_S 600

struct om_identity_rules *om_identity_free(struct om_identity_rules *r)
{
	if (!r)
		return NULL;
	struct om_identity_rule_list *lists[] = { &r->tenant, &r->model };

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l]->count; i++)
			free(lists[l]->item[i].where);
		free(lists[l]->item);
	}
	free(r->trust);
	yaml_close(r->yaml);
	free(r);
	return NULL;
}

static int check_fact(struct yaml_node *n, const char *name, struct error_text *err)
{
	return om_fact_name_is_valid(name) && strlen(name) < OM_FACT_NAME_MAX
		       ? 0
		       : yaml_error(n, err,
				    "'%.100s' is no fact: docs/identity.md lists them, such as namespace, "
				    "namespace-label/KEY, pod-label/KEY, slurm-account",
				    name);
}

static int read_trust(struct om_identity_rules *r, struct error_text *err)
{
	struct yaml_node *list = yaml_take(yaml_root(r->yaml), "trust");
	int rc = yaml_check_list(list, err);

	if (rc)
		return rc;
	r->trust = calloc(yaml_count(list) + 1, sizeof(*r->trust));
	if (!r->trust)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(list); n && rc == 0; n = yaml_next(n)) {
		const char **to = &r->trust[r->trust_count];

		rc = yaml_string(n, to, err);
		rc = rc ?: check_fact(n, *to, err);
		r->trust_count += rc == 0;
	}
	return rc;
}

/* What a tenant could set must not decide whose the work is. */
static int check_trust(const struct om_identity_rules *r, struct yaml_node *n, const char *fact,
		       struct error_text *err)
{
	return om_identity_trusts(r, fact)
		       ? 0
		       : yaml_error(
				 n, err,
				 "a tenant is named by '%.100s', which is not under 'trust': list it there "
				 "if the provider sets it and tenants cannot",
				 fact);
}

static int read_where(struct om_identity_rules *r, struct yaml_node *n, struct om_identity_rule *rule,
		      bool names_tenant, struct error_text *err)
{
	struct yaml_node *list = yaml_take(n, "where");
	int rc = yaml_check_list(list, err);

	if (rc || !list)
		return rc;
	rule->where = calloc(yaml_count(list) + 1, sizeof(*rule->where));
	if (!rule->where)
		return -ENOMEM;
	for (struct yaml_node *c = yaml_first(list); c && rc == 0; c = yaml_next(c)) {
		struct om_identity_where *w = &rule->where[rule->where_count++];

		rc = yaml_need_string(c, "fact", &w->fact, err);
		rc = rc ?: yaml_need_string(c, "like", &w->like, err);
		rc = rc ?: check_fact(c, w->fact, err);
		if (rc == 0 && names_tenant)
			rc = check_trust(r, c, w->fact, err);
		rc = rc ?: yaml_done(c, err);
	}
	return rc;
}

static int read_rule(struct om_identity_rules *r, struct yaml_node *n, struct om_identity_rule *rule,
		     bool names_tenant, struct error_text *err)
{
	int rc = yaml_is_map(n) ? 0 : yaml_error(n, err, "a rule is a mapping with 'from' or 'name'");

	rule->line = yaml_line(n);
	rc = rc ?: yaml_optional_string(n, "from", &rule->from, err);
	rc = rc ?: yaml_optional_string(n, "name", &rule->name, err);
	if (rc == 0 && !rule->from == !rule->name)
		rc = yaml_error(n, err,
				"a rule has 'from' (a fact whose value is the name) or 'name', one of them");
	if (rc == 0 && rule->name && (!tenant_name_is_valid(rule->name) || !strcmp(rule->name, "unknown")))
		rc = yaml_error(n, err, "'name' must be 1 to 63 of A-Z a-z 0-9 . _ - and not 'unknown'");
	if (rc == 0 && rule->from)
		rc = check_fact(n, rule->from, err);
	if (rc == 0 && rule->from && names_tenant)
		rc = check_trust(r, n, rule->from, err);
	rc = rc ?: read_where(r, n, rule, names_tenant, err);
	if (rc == 0 && rule->name && !rule->where_count)
		rc = yaml_error(n, err, "a 'name' without 'where' would name every job");
	return rc ?: yaml_done(n, err);
}

static int read_rules(struct om_identity_rules *r, const char *key, struct om_identity_rule_list *l,
		      struct error_text *err)
{
	struct yaml_node *list = yaml_take(yaml_root(r->yaml), key);
	int rc = yaml_check_list(list, err);

	if (rc)
		return rc;
	l->item = calloc(yaml_count(list) + 1, sizeof(*l->item));
	if (!l->item)
		return -ENOMEM;
	for (struct yaml_node *n = yaml_first(list); n && rc == 0; n = yaml_next(n))
		rc = read_rule(r, n, &l->item[l->count++], l == &r->tenant, err);
	return rc;
}

static int check_url(struct yaml_node *n, const char *key, const char *url, struct error_text *err)
{
	bool is_plain = url && !strncmp(url, "http://", 7);
	const char *host = url ? url + (is_plain ? 7 : 8) : NULL;

	if (!url)
		return 0;
	if ((!is_plain && strncmp(url, "https://", 8)) || !host[0] || strlen(url) > 255 ||
	    strpbrk(host, "/?#@ \t\r\n"))
		return yaml_error(n, err, "'%s' must be https or http, a host and a port, no path", key);
	return 0;
}

/* By its address alone: a name could be anybody's. */
static bool is_loopback(const char *host)
{
	size_t n = strcspn(host, ":");

	if (!strncmp(host, "[::1]", 5))
		return !host[5] || host[5] == ':';
	return !strncmp(host, "127.", 4) && strspn(host, "0123456789.") == n;
}

/* Every asking carries the token: it is not sent over a network for all to read. */
static int check_api(struct yaml_node *n, const char *url, struct error_text *err)
{
	if (url && !strncmp(url, "http://", 7) && !is_loopback(url + 7))
		return yaml_error(
			n, err,
			"'api' by http would send the token in clear: use https, or 127.0.0.1 with a proxy "
			"there");
	return 0;
}

static int read_kubernetes(struct om_identity_rules *r, struct error_text *err)
{
	struct yaml_node *n = yaml_take(yaml_root(r->yaml), "kubernetes");
	struct om_identity_kubernetes *k = &r->kubernetes;
	int rc;

	if (!n)
		return 0;
	r->has_kubernetes = true;
	if (yaml_is_null(n))
		return 0;
	rc = yaml_is_map(n) ? 0 : yaml_error(n, err, "'kubernetes' is a mapping");
	rc = rc ?: yaml_optional_string(n, "api", &k->api, err);
	rc = rc ?: yaml_optional_string(n, "kubelet", &k->kubelet, err);
	rc = rc ?: yaml_optional_string(n, "node", &k->node, err);
	rc = rc ?: yaml_optional_string(n, "token", &k->token, err);
	rc = rc ?: yaml_optional_string(n, "ca", &k->ca, err);
	rc = rc ?: yaml_optional_string(n, "kubelet-ca", &k->kubelet_ca, err);
	rc = rc ?: check_url(n, "api", k->api, err);
	rc = rc ?: check_api(n, k->api, err);
	rc = rc ?: check_url(n, "kubelet", k->kubelet, err);
	return rc ?: yaml_done(n, err);
}

static int read_others(struct om_identity_rules *r, struct error_text *err)
{
	struct yaml_node *slurm = yaml_take(yaml_root(r->yaml), "slurm"),
			 *docker = yaml_take(yaml_root(r->yaml), "docker");
	int rc = 0;

	r->has_slurm = slurm != NULL;
	r->has_docker = docker != NULL;
	if (slurm && !yaml_is_null(slurm))
		rc = yaml_is_map(slurm) ? yaml_done(slurm, err)
					: yaml_error(slurm, err, "'slurm' is a mapping, an empty one: {}");
	if (rc || !docker || yaml_is_null(docker))
		return rc;
	rc = yaml_is_map(docker) ? 0 : yaml_error(docker, err, "'docker' is a mapping");
	rc = rc ?: yaml_optional_string(docker, "socket", &r->docker_socket, err);
	if (rc == 0 && r->docker_socket && (r->docker_socket[0] != '/' || strlen(r->docker_socket) > 100))
		rc = yaml_error(docker, err, "'socket' must be the path of a unix socket");
	return rc ?: yaml_done(docker, err);
}

static int read_seconds(struct yaml_node *map, const char *key, uint64_t otherwise, uint64_t *ret,
			struct error_text *err)
{
	const char *s = NULL;
	char *end;
	int rc = yaml_optional_string(map, key, &s, err);

	*ret = otherwise;
	if (rc || !s)
		return rc;
	if (strspn(s, "0123456789") != strlen(s) || !s[0] || strlen(s) > 7)
		return yaml_error(map, err, "'%s' must be a number of seconds, up to 9999999", key);
	*ret = strtoull(s, &end, 10);
	return *ret ? 0 : yaml_error(map, err, "'%s' must be at least 1", key);
}

static int read_all(struct om_identity_rules *r, struct error_text *err)
{
	struct yaml_node *root = yaml_root(r->yaml);
	int rc = yaml_is_map(root) ? 0 : yaml_error(root, err, "identity rules are a mapping");

	rc = rc ?: read_trust(r, err);
	rc = rc ?: read_rules(r, "tenant", &r->tenant, err);
	rc = rc ?: read_rules(r, "model", &r->model, err);
	rc = rc ?: read_kubernetes(r, err);
	rc = rc ?: read_others(r, err);
	rc = rc ?: read_seconds(root, "refresh-s", REFRESH_S, &r->refresh_s, err);
	rc = rc ?: read_seconds(root, "alert-after-s", ALERT_AFTER_S, &r->alert_after_s, err);
	rc = rc ?: yaml_done(root, err);
	if (rc == 0 && r->kubernetes.kubelet && !r->kubernetes.api &&
	    (om_identity_wants_kind(r, "namespace-label") ||
	     om_identity_wants_kind(r, "namespace-annotation")))
		rc = yaml_error(root, err,
				"rules name labels of namespaces, which a kubelet does not know: give "
				"kubernetes.api too");
	return rc;
}

static int take(struct yaml *y, struct om_identity_rules **ret, struct error_text *err)
{
	_cleanup_(om_identity_freep) struct om_identity_rules *r = calloc(1, sizeof(*r));
	int rc;

	if (!r) {
		yaml_close(y);
		return -ENOMEM;
	}
	r->yaml = y;
	rc = read_all(r, err);
	if (rc == 0)
		*ret = TAKE_PTR(r);
	return rc;
}

int om_identity_load(const char *path, struct om_identity_rules **ret, struct error_text *err)
{
	struct yaml *y;
	int rc = yaml_load(path, &y, err);

	return rc ?: take(y, ret, err);
}

int om_identity_parse(const char *name, const void *text, size_t len, struct om_identity_rules **ret,
		      struct error_text *err)
{
	struct yaml *y;
	int rc = yaml_parse(name, text, len, &y, err);

	return rc ?: take(y, ret, err);
}

const char *om_identity_version(const struct om_identity_rules *r)
{
	return yaml_digest(r->yaml);
}

bool om_identity_kubernetes(const struct om_identity_rules *r, struct om_identity_kubernetes *ret)
{
	*ret = r->kubernetes;
	return r->has_kubernetes;
}

bool om_identity_slurm(const struct om_identity_rules *r)
{
	return r->has_slurm;
}

bool om_identity_docker(const struct om_identity_rules *r, const char **ret_socket)
{
	*ret_socket = r->docker_socket ?: "/run/docker.sock";
	return r->has_docker;
}

uint64_t om_identity_refresh_s(const struct om_identity_rules *r)
{
	return r->refresh_s;
}

uint64_t om_identity_alert_after_s(const struct om_identity_rules *r)
{
	return r->alert_after_s;
}
