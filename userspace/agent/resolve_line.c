// SPDX-License-Identifier: Apache-2.0
/* The lines that an asking ends in: JSON, one object a line. What a server said stands in them as text,
 * escaped and bounded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "resolve_internal.h"

const char *resolve_end_name(enum resolve_end e)
{
	static const char *const names[RESOLVE_ENDS] = { "answered", "refused",	  "unreachable",
							 "bad",	     "too-large", "timeout" };

	return e < RESOLVE_ENDS ? names[e] : "?";
}

/* What is no UTF-8 cannot stand in JSON as it is. */
static json_t *text_of(const char *s)
{
	char safe[4 * OM_FACT_NAME_MAX];

	return json_string(s) ?: json_string(text_escape(s, safe, sizeof(safe)));
}

char *resolve_line_fact(const char *key, const struct om_facts *f)
{
	_cleanup_(json_decrefp) json_t *o = json_object();
	json_t *facts = json_object();
	char name[4 * OM_FACT_NAME_MAX];

	if (!o || !facts || json_object_set_new(o, "facts", facts))
		return NULL;
	for (size_t i = 0; i < f->count; i++)
		if (json_object_set_new(facts, text_escape(f->item[i].name, name, sizeof(name)),
					text_of(f->item[i].value)))
			return NULL;
	if (json_object_set_new(o, "key", json_string(key)) ||
	    json_object_set_new(o, "cut", json_integer((json_int_t)f->cut)))
		return NULL;
	return json_dumps(o, JSON_COMPACT);
}

char *resolve_line_end(enum resolve_end end, const char *why)
{
	char safe[256];
	_cleanup_(json_decrefp) json_t *o = json_pack("{s:s,s:s}", "end", resolve_end_name(end), "why",
						      text_escape(why, safe, sizeof(safe)));

	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static int read_end(const json_t *o, enum resolve_end *ret_end, char why[256])
{
	const char *end = json_string_value(json_object_get(o, "end")),
		   *text = json_string_value(json_object_get(o, "why"));

	for (int e = 0; end && text && e < RESOLVE_ENDS; e++) {
		if (strcmp(end, resolve_end_name(e)))
			continue;
		*ret_end = (enum resolve_end)e;
		text_escape(text, why, 256);
		return 1;
	}
	return -EBADMSG;
}

int resolve_line_read(const char *line, size_t len, char key[RESOLVE_KEY_MAX], struct om_facts *f,
		      enum resolve_end *ret_end, char why[256])
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(line, len, 0, NULL);
	const char *k = json_string_value(json_object_get(o, "key")), *name;
	const json_t *cut = json_object_get(o, "cut");
	json_t *facts = json_object_get(o, "facts"), *value;

	if (!json_is_object(o))
		return -EBADMSG;
	if (json_object_get(o, "end"))
		return read_end(o, ret_end, why);
	if (!k || strlen(k) >= RESOLVE_KEY_MAX || !json_is_object(facts) || !json_is_integer(cut) ||
	    json_integer_value(cut) < 0)
		return -EBADMSG;
	strcpy(key, k);
	json_object_foreach(facts, name, value)
	{
		int r = json_is_string(value) ? om_facts_add(f, name, json_string_value(value)) : -EBADMSG;

		if (r < 0)
			return r == -EINVAL ? -EBADMSG : r;
	}
	f->cut += (uint64_t)json_integer_value(cut);
	return 0;
}
