// SPDX-License-Identifier: Apache-2.0
/* Kubernetes' PodList and Namespace as streams: a list of any size costs one pod's memory beside its text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/json_stream.h"
#include "resolve_internal.h"

#define FIELD_MAX 320

struct parsing {
	struct json_stream *s;
	const struct om_identity_rules *rules;
	struct error_text *err;
};

/* Calls fn for each field of an object whose beginning was just read; fn consumes the value, whose first
 * token it is given. */
typedef int field_fn(struct parsing *p, const char *key, enum json_token t, void *ctx);

static int skip(struct parsing *p, enum json_token t)
{
	return t == JSON_TOKEN_ARRAY || t == JSON_TOKEN_OBJECT ? json_stream_skip(p->s, p->err) : 0;
}

static int each_field(struct parsing *p, field_fn *fn, void *ctx)
{
	enum json_token t;
	char key[FIELD_MAX];
	int r;

	while ((r = json_stream_next(p->s, &t, p->err)) == 0 && t == JSON_TOKEN_KEY) {
		bool fits = strlen(json_stream_text(p->s)) < sizeof(key);

		snprintf(key, sizeof(key), "%s", json_stream_text(p->s));
		r = json_stream_next(p->s, &t, p->err);
		r = r ?: fits ? fn(p, key, t, ctx) : skip(p, t);
		if (r)
			return r;
	}
	return r;
}

/* An object's fields, or nothing where it is none. */
static int object(struct parsing *p, enum json_token t, field_fn *fn, void *ctx)
{
	return t == JSON_TOKEN_OBJECT ? each_field(p, fn, ctx) : skip(p, t);
}

static int each_item(struct parsing *p, enum json_token t, int (*fn)(struct parsing *p, void *ctx), void *ctx)
{
	int r;

	if (t != JSON_TOKEN_ARRAY)
		return skip(p, t);
	while ((r = json_stream_next(p->s, &t, p->err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		r = t == JSON_TOKEN_OBJECT ? fn(p, ctx) : skip(p, t);
		if (r)
			return r;
	}
	return r;
}

/* --- labels --- */

struct labels {
	const char *kind;
	struct om_facts *facts;
	bool only_wanted; /* annotations are many, and long */
};

static int on_label(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct labels *l = ctx;
	char name[OM_FACT_NAME_MAX];

	if (t != JSON_TOKEN_TEXT)
		return skip(p, t);
	snprintf(name, sizeof(name), "%s/%s", l->kind, key);
	if (l->only_wanted && !om_identity_wants(p->rules, name))
		return 0;
	return resolve_add(p->rules, l->facts, l->kind, key, json_stream_text(p->s));
}

/* --- a pod --- */

struct list {
	int (*fn)(void *ctx, struct resolve_pod *pod);
	void *ctx;
	struct resolve_pod *pod;
	char kind[32];
	bool has_items;
};

struct owner {
	char kind[64], name[256];
	bool is_controller;
};

static void keep(struct parsing *p, enum json_token t, char *to, size_t size)
{
	/* What does not fit is none: a cut uid would be another's. */
	if (t == JSON_TOKEN_TEXT && strlen(json_stream_text(p->s)) < size)
		strcpy(to, json_stream_text(p->s));
}

static int on_owner_field(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct owner *o = ctx;

	if (!strcmp(key, "kind"))
		keep(p, t, o->kind, sizeof(o->kind));
	else if (!strcmp(key, "name"))
		keep(p, t, o->name, sizeof(o->name));
	else if (!strcmp(key, "controller"))
		o->is_controller = t == JSON_TOKEN_TRUE;
	return skip(p, t);
}

static int on_owner(struct parsing *p, void *ctx)
{
	struct resolve_pod *pod = ctx;
	struct owner o = { 0 };
	char text[FIELD_MAX + 8];
	int r = each_field(p, on_owner_field, &o);

	if (r || !o.is_controller)
		return r;
	pod->is_of_node |= !strcmp(o.kind, "Node");
	snprintf(text, sizeof(text), "%s/%s", o.kind, o.name);
	r = om_facts_add(&pod->facts, "pod-owner", text);
	return r < 0 ? r : 0;
}

static int on_annotation(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct resolve_pod *pod = ctx;
	struct labels l = { "pod-annotation", &pod->facts, true };

	if (!strcmp(key, "kubernetes.io/config.hash"))
		keep(p, t, pod->hash, sizeof(pod->hash));
	return on_label(p, key, t, &l);
}

static int add_text(struct parsing *p, enum json_token t, struct om_facts *f, const char *name)
{
	int r = t == JSON_TOKEN_TEXT ? om_facts_add(f, name, json_stream_text(p->s)) : skip(p, t);

	return r < 0 ? r : 0;
}

static int on_pod_metadata(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct resolve_pod *pod = ctx;
	struct labels l = { "pod-label", &pod->facts, false };

	if (!strcmp(key, "labels"))
		return object(p, t, on_label, &l);
	if (!strcmp(key, "annotations"))
		return object(p, t, on_annotation, pod);
	if (!strcmp(key, "ownerReferences"))
		return each_item(p, t, on_owner, pod);
	if (!strcmp(key, "uid"))
		keep(p, t, pod->uid, sizeof(pod->uid));
	else if (!strcmp(key, "namespace"))
		keep(p, t, pod->namespace, sizeof(pod->namespace));
	if (!strcmp(key, "name"))
		return add_text(p, t, &pod->facts, "pod");
	if (!strcmp(key, "namespace"))
		return add_text(p, t, &pod->facts, "namespace");
	return skip(p, t);
}

static int on_pod_spec(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct resolve_pod *pod = ctx;

	if (!strcmp(key, "nodeName"))
		keep(p, t, pod->node, sizeof(pod->node));
	if (!strcmp(key, "serviceAccountName"))
		return add_text(p, t, &pod->facts, "service-account");
	if (!strcmp(key, "priorityClassName"))
		return add_text(p, t, &pod->facts, "priority-class");
	return skip(p, t);
}

static int on_pod_field(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	if (!strcmp(key, "metadata"))
		return object(p, t, on_pod_metadata, ctx);
	return !strcmp(key, "spec") ? object(p, t, on_pod_spec, ctx) : skip(p, t);
}

static int on_pod(struct parsing *p, void *ctx)
{
	struct list *l = ctx;
	int r;

	*l->pod = (struct resolve_pod){ 0 };
	r = each_field(p, on_pod_field, l->pod);
	if (r == 0 && l->pod->uid[0] && l->pod->namespace[0])
		r = l->fn(l->ctx, l->pod);
	om_facts_done(&l->pod->facts);
	return r;
}

static int on_list_field(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct list *l = ctx;

	if (!strcmp(key, "kind"))
		keep(p, t, l->kind, sizeof(l->kind));
	if (strcmp(key, "items"))
		return skip(p, t);
	l->has_items = true;
	return each_item(p, t, on_pod, l);
}

/* One whole value, an object. */
static int document(struct parsing *p, const char *text, size_t len, field_fn *fn, void *ctx)
{
	_cleanup_(json_stream_freep) struct json_stream *s = NULL;
	enum json_token t;
	int r = json_stream_memory(text, len, &s);

	p->s = s;
	r = r ?: json_stream_next(s, &t, p->err);
	if (r == 0 && t != JSON_TOKEN_OBJECT)
		r = error_set(p->err, -EBADMSG, "the answer is no JSON object");
	r = r ?: each_field(p, fn, ctx);
	return r ?: json_stream_next(s, &t, p->err);
}

int resolve_pods_parse(const char *text, size_t len, const struct om_identity_rules *rules,
		       int (*fn)(void *ctx, struct resolve_pod *p), void *ctx, struct error_text *err)
{
	struct parsing p = { .rules = rules, .err = err };
	_cleanup_free_ struct resolve_pod *pod = calloc(1, sizeof(*pod));
	struct list l = { .fn = fn, .ctx = ctx, .pod = pod };
	int r = pod ? document(&p, text, len, on_list_field, &l) : -ENOMEM;

	if (r == 0 && (strcmp(l.kind, "PodList") || !l.has_items))
		r = error_set(err, -EBADMSG, "the answer is no PodList, but '%.40s'", l.kind);
	return r;
}

/* --- a namespace --- */

struct namespace
{
	struct om_facts *facts;
	char name[64], kind[32];
};

static int on_namespace_metadata(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct namespace *n = ctx;
	struct labels label = { "namespace-label", n->facts, false },
		      annotation = { "namespace-annotation", n->facts, true };

	if (!strcmp(key, "name"))
		keep(p, t, n->name, sizeof(n->name));
	if (!strcmp(key, "labels"))
		return object(p, t, on_label, &label);
	if (!strcmp(key, "annotations"))
		return object(p, t, on_label, &annotation);
	return skip(p, t);
}

static int on_namespace_field(struct parsing *p, const char *key, enum json_token t, void *ctx)
{
	struct namespace *n = ctx;

	if (!strcmp(key, "kind"))
		keep(p, t, n->kind, sizeof(n->kind));
	return !strcmp(key, "metadata") ? object(p, t, on_namespace_metadata, ctx) : skip(p, t);
}

int resolve_namespace_parse(const char *text, size_t len, const char *name,
			    const struct om_identity_rules *rules, struct om_facts *f, struct error_text *err)
{
	struct parsing p = { .rules = rules, .err = err };
	struct namespace n = { .facts = f };
	int r = document(&p, text, len, on_namespace_field, &n);

	if (r == 0 && (strcmp(n.kind, "Namespace") || strcmp(n.name, name)))
		r = error_set(err, -EBADMSG, "the answer is not the Namespace %.63s", name);
	return r;
}
