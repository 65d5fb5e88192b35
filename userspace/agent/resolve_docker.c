// SPDX-License-Identifier: Apache-2.0
/* Docker by its socket: labels are what whoever started the container wrote, so claims unless trusted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "resolve_internal.h"

static int add_text(struct om_facts *f, const char *name, const char *value)
{
	int r = value ? om_facts_add(f, name, value) : 0;

	return r < 0 ? r : 0;
}

int resolve_docker_parse(const char *text, size_t len, const char *id, const struct om_identity_rules *rules,
			 struct om_facts *f, struct error_text *err)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *config = json_object_get(o, "Config");
	const char *is = json_string_value(json_object_get(o, "Id")), *name, *key;
	json_t *labels = json_object_get(config, "Labels"), *value;
	int r;

	/* By a prefix of its id another container could answer. */
	if (!is || strcmp(is, id))
		return error_set(err, -EBADMSG, "the answer is not the container %.64s", id);
	name = json_string_value(json_object_get(o, "Name"));
	r = add_text(f, "container-name", name && name[0] == '/' ? name + 1 : name);
	r = r ?: add_text(f, "container-image", json_string_value(json_object_get(config, "Image")));
	json_object_foreach(labels, key, value)
	{
		if (r == 0 && json_is_string(value))
			r = resolve_add(rules, f, "container-label", key, json_string_value(value));
	}
	return r;
}

static enum resolve_end ask_one(struct resolve_asking *a, const char *socket, const char *id)
{
	_cleanup_(om_facts_done) struct om_facts f = { 0 };
	struct resolve_http h = { .unix_socket = socket };
	struct resolve_body body;
	enum resolve_end end;
	char url[160];
	int r = 0;

	snprintf(url, sizeof(url), "http://localhost/containers/%.64s/json", id);
	h.url = url;
	end = resolve_http_get(&h, &body, &a->why);
	if (end == RESOLVE_ANSWERED && body.status == 200) {
		r = resolve_docker_parse(body.data, body.len, id, a->rules, &f, &a->why);
		end = r == 0 ? resolve_say(a, id, &f) : r == -EBADMSG ? RESOLVE_BAD : RESOLVE_UNREACHABLE;
	}
	resolve_body_done(&body);
	return end;
}

enum resolve_end resolve_ask_docker(struct resolve_asking *a)
{
	enum resolve_end end = RESOLVE_ANSWERED;
	const char *socket;

	om_identity_docker(a->rules, &socket);
	for (size_t i = 0; i < a->count && end == RESOLVE_ANSWERED; i++)
		if (strlen(a->keys[i]) == 64 && strspn(a->keys[i], "0123456789abcdef") == 64)
			end = ask_one(a, socket, a->keys[i]);
	return end;
}
