// SPDX-License-Identifier: Apache-2.0
/* Files that say who holds a device: the kubelet's checkpoint, the operator's map. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/json_stream.h"
#include "../base/yaml.h"
#include "holders.h"

/* A device id as the plugin gives it; time slicing adds "::N" to it. */
static void add(struct holder_list *l, enum holder_source source, const char *device, const char *key)
{
	size_t n = strstr(device, "::") ? (size_t)(strstr(device, "::") - device) : strlen(device);
	struct holder *h = &l->item[l->count];

	if (l->count == HOLDERS_MAX || !n || n >= sizeof(h->device) || strlen(key) >= sizeof(h->key)) {
		l->cut++;
		return;
	}
	*h = (struct holder){ .source = source };
	memcpy(h->device, device, n);
	strcpy(h->key, key);
	for (size_t i = 0; i < l->count; i++)
		if (l->item[i].source == source && !strcmp(l->item[i].device, h->device) &&
		    !strcmp(l->item[i].key, key))
			return;
	l->count++;
}

/* --- the kubelet's checkpoint --- */

#define IDS_MAX 256
struct entry {
	char pod[40], resource[128];
	char device[IDS_MAX][64];
	size_t devices;
	uint64_t cut;
};

static int skip(struct json_stream *s, enum json_token t, struct error_text *err)
{
	return t == JSON_TOKEN_ARRAY || t == JSON_TOKEN_OBJECT ? json_stream_skip(s, err) : 0;
}

static void entry_device(struct entry *e, const char *id)
{
	if (e->devices == IDS_MAX || strlen(id) >= sizeof(e->device[0]))
		e->cut++;
	else
		strcpy(e->device[e->devices++], id);
}

static int read_ids(struct json_stream *s, struct entry *e, struct error_text *err)
{
	enum json_token t;
	int r;

	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		if (t == JSON_TOKEN_TEXT)
			entry_device(e, json_stream_text(s));
		r = skip(s, t, err);
		if (r)
			return r;
	}
	return r;
}

/* By NUMA node: {"-1": ["GPU-..."]}; a plain list before Kubernetes 1.20. */
static int read_devices(struct json_stream *s, enum json_token t, struct entry *e, struct error_text *err)
{
	int r;

	if (t == JSON_TOKEN_ARRAY)
		return read_ids(s, e, err);
	if (t != JSON_TOKEN_OBJECT)
		return 0;
	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_OBJECT_END) {
		r = json_stream_next(s, &t, err);
		if (r == 0)
			r = t == JSON_TOKEN_ARRAY ? read_ids(s, e, err) : skip(s, t, err);
		if (r)
			return r;
	}
	return r;
}

static int read_entry(struct json_stream *s, struct entry *e, struct error_text *err)
{
	enum json_token t;
	char key[24];
	int r;

	memset(e, 0, sizeof(*e));
	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_OBJECT_END) {
		snprintf(key, sizeof(key), "%s", json_stream_text(s));
		r = json_stream_next(s, &t, err);
		if (r)
			return r;
		if (t == JSON_TOKEN_TEXT && !strcmp(key, "PodUID"))
			snprintf(e->pod, sizeof(e->pod), "%s", json_stream_text(s));
		else if (t == JSON_TOKEN_TEXT && !strcmp(key, "ResourceName"))
			snprintf(e->resource, sizeof(e->resource), "%s", json_stream_text(s));
		else if (!strcmp(key, "DeviceIDs"))
			r = read_devices(s, t, e, err);
		else
			r = skip(s, t, err);
		if (r)
			return r;
	}
	return r;
}

static int read_entries(struct json_stream *s, struct holder_list *l, struct error_text *err)
{
	_cleanup_free_ struct entry *e = malloc(sizeof(*e));
	enum json_token t;
	int r;

	if (!e)
		return -ENOMEM;
	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		r = t == JSON_TOKEN_OBJECT ? read_entry(s, e, err) : skip(s, t, err);
		if (r)
			return r;
		if (t != JSON_TOKEN_OBJECT || strncmp(e->resource, "nvidia.com/", 11) || !e->pod[0])
			continue;
		for (size_t i = 0; i < e->devices; i++)
			add(l, HOLDER_KUBELET, e->device[i], e->pod);
		l->cut += e->cut;
	}
	return r;
}

/* Passes over an object's fields to the value of KEY. -ENOENT: it has none. */
static int find_key(struct json_stream *s, const char *key, enum json_token *ret, struct error_text *err)
{
	enum json_token t;
	bool found;
	int r;

	while ((r = json_stream_next(s, &t, err)) == 0 && t == JSON_TOKEN_KEY) {
		found = !strcmp(json_stream_text(s), key);
		r = json_stream_next(s, ret, err);
		if (r || found)
			return r;
		r = skip(s, *ret, err);
		if (r)
			return r;
	}
	return r ?: -ENOENT;
}

static int not_a_checkpoint(const char *path, struct error_text *err)
{
	return error_set(err, -EBADMSG,
			 "%s: not a checkpoint of the kubelet's device manager: no Data.PodDeviceEntries",
			 path);
}

/* A list beside the one that is replaced: what failed half way is not used. */
static int list_new(const struct holder_list *l, enum holder_source source, struct holder_list *ret)
{
	ret->item = calloc(HOLDERS_MAX, sizeof(*ret->item));
	ret->count = 0;
	ret->cut = l->cut;
	for (size_t i = 0; ret->item && i < l->count; i++)
		if (l->item[i].source != source)
			ret->item[ret->count++] = l->item[i];
	return ret->item ? 0 : -ENOMEM;
}

static void list_take(struct holder_list *l, struct holder_list *new)
{
	memcpy(l->item, new->item, new->count * sizeof(*l->item));
	l->count = new->count;
	l->cut = new->cut;
}

int holders_read_checkpoint(const char *path, struct holder_list *l, struct error_text *err)
{
	_cleanup_(json_stream_freep) struct json_stream *s = NULL;
	struct holder_list new = { 0 };
	enum json_token t;
	int r = json_stream_open(path, &s, err);

	r = r ?: list_new(l, HOLDER_KUBELET, &new);
	r = r ?: json_stream_next(s, &t, err);
	if (r == 0 && t != JSON_TOKEN_OBJECT)
		r = not_a_checkpoint(path, err);
	r = r ?: find_key(s, "Data", &t, err);
	if (r == 0 && t != JSON_TOKEN_OBJECT)
		r = not_a_checkpoint(path, err);
	r = r ?: find_key(s, "PodDeviceEntries", &t, err);
	if (r == -ENOENT && s)
		r = not_a_checkpoint(path, err);
	/* No pods at all: null. */
	if (r == 0 && t == JSON_TOKEN_ARRAY)
		r = read_entries(s, &new, err);
	else if (r == 0 && t != JSON_TOKEN_NULL)
		r = not_a_checkpoint(path, err);
	if (r == 0)
		list_take(l, &new);
	free(new.item);
	return r;
}

/* --- the operator's map --- */

static int read_rule(struct yaml_node *n, struct holder_list *l, struct error_text *err)
{
	const char *device = NULL, *cgroup = NULL;
	int r = yaml_need_string(n, "device", &device, err);

	r = r ?: yaml_need_string(n, "cgroup", &cgroup, err);
	r = r ?: yaml_done(n, err);
	if (r)
		return r;
	if (cgroup[0] != '/' || strstr(cgroup, "/.."))
		return yaml_error(
			n, err,
			"'cgroup' must be a path from the cgroup root, as in /system.slice/x.service");
	add(l, HOLDER_MAP, device, cgroup);
	return 0;
}

int holders_read_map(const char *path, struct holder_list *l, struct error_text *err)
{
	_cleanup_(yaml_closep) struct yaml *y = NULL;
	struct holder_list new = { 0 };
	struct yaml_node *list = NULL;
	int r = yaml_load(path, &y, err);

	r = r ?: list_new(l, HOLDER_MAP, &new);
	r = r ?: yaml_need(yaml_root(y), "holders", &list, err);
	r = r ?: yaml_done(yaml_root(y), err);
	r = r ?: yaml_check_list(list, err);
	for (struct yaml_node *n = r ? NULL : yaml_first(list); n && r == 0; n = yaml_next(n))
		r = read_rule(n, &new, err);
	if (r == 0)
		list_take(l, &new);
	free(new.item);
	return r;
}
