// SPDX-License-Identifier: Apache-2.0
/*
 * Pods of this node, by the kubelet or the API server, and the labels of their namespaces.
 * One list, asked for when a pod is not known, is all: a watch held open by every node of a
 * fleet would cost the API server more than a list of some dozen pods when one comes.
 *
 * A namespace that cannot be read makes the whole asking fail: without its labels another
 * rule would name another tenant.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "resolve_internal.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"
#define FOUND_MAX RESOLVE_KEYS_MAX
#define STATIC_NAMESPACE "kube-system"

struct found {
	char key[RESOLVE_KEY_MAX];
	struct resolve_pod pod; /* its facts are owned */
};

struct cluster {
	struct resolve_asking *asking;
	struct om_identity_kubernetes config;
	char api[256], node[256];
	struct found *found;
	size_t count;
};

static const char *file_or(const char *said, const char *otherwise)
{
	return said ?: access(otherwise, F_OK) == 0 ? otherwise : NULL;
}

/* Names that go into a URL: what Kubernetes takes as one, nothing else. */
static bool is_dns_name(const char *s, bool may_have_dots)
{
	return s[0] && strspn(s, may_have_dots ? "abcdefghijklmnopqrstuvwxyz0123456789-."
					       : "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

static int set_up(struct cluster *c)
{
	struct error_text *why = &c->asking->why;
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT"),
		   *node = c->config.node ?: getenv("NODE_NAME");

	if (c->config.api)
		snprintf(c->api, sizeof(c->api), "%s", c->config.api);
	else if (host && port && !c->config.kubelet)
		snprintf(c->api, sizeof(c->api), strchr(host, ':') ? "%s[%.100s]:%.10s" : "%s%.100s:%.10s",
			 "https://", host, port);
	if (!c->api[0] && !c->config.kubelet)
		return error_set(why, -EINVAL,
				 "nobody to ask: give kubernetes.api or kubernetes.kubelet, or run as a pod");
	if (node)
		snprintf(c->node, sizeof(c->node), "%s", node);
	else if (gethostname(c->node, sizeof(c->node) - 1))
		return error_set(why, -errno, "the host's name: %m");
	if (!is_dns_name(c->node, true))
		return error_set(why, -EINVAL, "'%.100s' is no node's name: give kubernetes.node", c->node);
	c->config.token = file_or(c->config.token, SERVICE_ACCOUNT "token");
	c->config.ca = file_or(c->config.ca, SERVICE_ACCOUNT "ca.crt");
	return 0;
}

/* --- pods --- */

static const char *key_of(const struct cluster *c, const struct resolve_pod *p)
{
	if (resolve_is_asked(c->asking, p->uid))
		return p->uid;
	/*
	 * A static pod's cgroup has the hash of its manifest, and the API server knows it by a mirror pod
	 * whose annotation says that hash. Whoever may make pods in a namespace can write all of a mirror's
	 * marks, its owner too. So one is believed only in the cluster's own namespace, where tenants make no
	 * pods; a static pod of another is named by the kubelet, whose list has the hash as its uid.
	 */
	return p->is_of_node && !strcmp(p->namespace, STATIC_NAMESPACE) && !strcmp(p->node, c->node) &&
			       strlen(p->hash) == 32 && resolve_is_asked(c->asking, p->hash)
		       ? p->hash
		       : NULL;
}

static int on_pod(void *ctx, struct resolve_pod *p)
{
	struct cluster *c = ctx;
	const char *key = key_of(c, p);

	if (!key || (p->node[0] && strcmp(p->node, c->node)))
		return 0;
	for (size_t i = 0; i < c->count; i++)
		if (!strcmp(c->found[i].key, key))
			return error_set(&c->asking->why, -EBADMSG, "two pods have the uid %s", key);
	if (c->count == FOUND_MAX)
		return 0;
	c->found[c->count] = (struct found){ .pod = *p };
	strcpy(c->found[c->count].key, key);
	c->count++;
	p->facts = (struct om_facts){ 0 };
	return 0;
}

static enum resolve_end get_pods(struct cluster *c)
{
	struct resolve_http h = { .token_path = c->config.token, .ca_path = c->config.ca };
	struct resolve_body body;
	char url[700];
	enum resolve_end end;
	int r;

	if (c->config.kubelet) {
		snprintf(url, sizeof(url), "%s/pods", c->config.kubelet);
		h.ca_path = c->config.kubelet_ca ?: c->config.ca;
		/* The port without authentication gets no token. */
		if (!strncmp(c->config.kubelet, "http://", 7))
			h.token_path = NULL;
	} else {
		/* From the server's cache: what is a second old is fresh enough, and cheap for it. */
		snprintf(url, sizeof(url),
			 "%s/api/v1/pods?fieldSelector=spec.nodeName%%3D%s&resourceVersion=0", c->api,
			 c->node);
	}
	h.url = url;
	end = resolve_http_get(&h, &body, &c->asking->why);
	if (end == RESOLVE_ANSWERED && body.status != 200) {
		error_set(&c->asking->why, 0, "%.200s: HTTP %ld", url, body.status);
		end = RESOLVE_UNREACHABLE;
	}
	if (end == RESOLVE_ANSWERED) {
		r = resolve_pods_parse(body.data, body.len, c->asking->rules, on_pod, c, &c->asking->why);
		end = r == 0 ? RESOLVE_ANSWERED : r == -EBADMSG ? RESOLVE_BAD : RESOLVE_UNREACHABLE;
	}
	resolve_body_done(&body);
	return end;
}

/* --- namespaces --- */

static int add_all(struct om_facts *to, const struct om_facts *from)
{
	for (size_t i = 0; i < from->count; i++)
		if (om_facts_add(to, from->item[i].name, from->item[i].value) == -ENOMEM)
			return -ENOMEM;
	to->cut += from->cut;
	return 0;
}

/* 404 is an answer: the namespace is gone, and its pods are left unanswered. */
static enum resolve_end get_namespace(struct cluster *c, const char *name, bool *ret_there,
				      struct om_facts *f)
{
	struct resolve_http h = { .token_path = c->config.token, .ca_path = c->config.ca };
	struct error_text *why = &c->asking->why;
	struct resolve_body body;
	enum resolve_end end;
	char url[400];
	int r = 0;

	if (!is_dns_name(name, false)) {
		error_set(why, 0, "a pod's namespace is no name");
		return RESOLVE_BAD;
	}
	snprintf(url, sizeof(url), "%s/api/v1/namespaces/%s", c->api, name);
	h.url = url;
	end = resolve_http_get(&h, &body, why);
	*ret_there = end == RESOLVE_ANSWERED && body.status == 200;
	if (*ret_there)
		r = resolve_namespace_parse(body.data, body.len, name, c->asking->rules, f, why);
	resolve_body_done(&body);
	return r == 0 ? end : r == -EBADMSG ? RESOLVE_BAD : RESOLVE_UNREACHABLE;
}

/* Says every pod of one namespace. */
static enum resolve_end say_namespace(struct cluster *c, const char *name, bool with_labels)
{
	_cleanup_(om_facts_done) struct om_facts labels = { 0 };
	bool is_there = true;
	enum resolve_end end = RESOLVE_ANSWERED;

	if (with_labels)
		end = get_namespace(c, name, &is_there, &labels);
	for (size_t i = 0; i < c->count && end == RESOLVE_ANSWERED && is_there; i++) {
		struct found *f = &c->found[i];

		if (strcmp(f->pod.namespace, name))
			continue;
		end = add_all(&f->pod.facts, &labels) ? RESOLVE_UNREACHABLE
						      : resolve_say(c->asking, f->key, &f->pod.facts);
	}
	return end;
}

static enum resolve_end say_all(struct cluster *c)
{
	const struct om_identity_rules *rules = c->asking->rules;
	bool with_labels = om_identity_wants_kind(rules, "namespace-label") ||
			   om_identity_wants_kind(rules, "namespace-annotation");
	enum resolve_end end = RESOLVE_ANSWERED;

	for (size_t i = 0; i < c->count && end == RESOLVE_ANSWERED; i++) {
		bool is_first = true;

		for (size_t k = 0; k < i; k++)
			is_first &= strcmp(c->found[k].pod.namespace, c->found[i].pod.namespace) != 0;
		if (is_first)
			end = say_namespace(c, c->found[i].pod.namespace, with_labels);
	}
	return end;
}

enum resolve_end resolve_ask_kubernetes(struct resolve_asking *a)
{
	struct cluster c = { .asking = a, .found = calloc(FOUND_MAX, sizeof(*c.found)) };
	enum resolve_end end = RESOLVE_UNREACHABLE;

	om_identity_kubernetes(a->rules, &c.config);
	if (c.found && set_up(&c) == 0)
		end = get_pods(&c);
	if (end == RESOLVE_ANSWERED)
		end = say_all(&c);
	for (size_t i = 0; i < c.count; i++)
		om_facts_done(&c.found[i].pod.facts);
	free(c.found);
	return end;
}
