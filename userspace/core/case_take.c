// SPDX-License-Identifier: Apache-2.0
/* Findings of the policy become cases: each once, whoever found it and however often it is told. */
#include <errno.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"
#include "assignment.h"
#include "case_store_internal.h"

#define EVENT_MAX (256 * 1024)
#define TYPE "opmeter.case.v1"

/* Without the source: a node and the fleet find the same. Version 1 knew no causes. */
static void finding_of(const json_t *event, int version, char ret[33])
{
	const json_t *data = json_object_get(event, "data");
	const char *const parts[] = { version == 1 ? "opmeter-finding-v1" : "opmeter-finding-v2",
				      json_text(data, "regime"),
				      json_text(data, "version"),
				      json_text(event, "subject"),
				      json_text(data, "ownership_version"),
				      json_text(data, "cause") };
	size_t n = version == 1 ? ARRAY_SIZE(parts) - 1 : ARRAY_SIZE(parts);
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	for (size_t i = 0; i < n; i++)
		crypto_hash_sha256_update(&s, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
	crypto_hash_sha256_final(&s, hash);
	for (int i = 0; i < 16; i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

static int check_event(const json_t *event, struct error_text *err)
{
	const json_t *data = json_object_get(event, "data");
	struct om_id id;
	uint64_t time;

	if (om_id_parse(json_text(event, "id"), &id) || strlen(json_text(event, "id")) != 32)
		return error_set(err, -EBADMSG, "a case event whose id is not 32 hexadecimal digits");
	if (om_time_parse(json_text(event, "time"), &time) || !*json_text(event, "source") ||
	    !*json_text(event, "subject") || strlen(json_text(event, "subject")) > 512)
		return error_set(err, -EBADMSG, "case event %s without time, source or subject",
				 json_text(event, "id"));
	if (!*json_text(data, "regime") || !*json_text(data, "version") || !*json_text(data, "sentence"))
		return error_set(err, -EBADMSG, "case event %s without regime, version or sentence",
				 json_text(event, "id"));
	return 0;
}

static struct om_case *find_by_finding(struct om_case_store *s, const char *finding)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->cases[i]->finding, finding))
			return s->cases[i];
	return NULL;
}

/* A case of the time when findings had no cause: its first event tells it. Where that is destroyed, only the
 * id that this very finding gives: a case too many is better than a finding that nobody sees. */
static bool is_of_cause(const struct om_case *c, const json_t *event)
{
	const json_t *data = json_object_get(event, "data");

	return c->cause ? !strcmp(c->cause, json_text(data, "cause"))
			: !strcmp(c->id, json_text(data, "case"));
}

/* *ret: the finding as the case has it, or as a new one gets it. */
static struct om_case *find_case(struct om_case_store *s, const json_t *event, char ret[33])
{
	struct om_case *c;
	char old[33];

	finding_of(event, 2, ret);
	finding_of(event, 1, old);
	c = find_by_finding(s, ret);
	if (c)
		return c;
	c = find_by_finding(s, old);
	if (!c || !is_of_cause(c, event))
		return NULL;
	strcpy(ret, old);
	return c;
}

static bool has_event(const struct om_case *c, const char *id)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(c->record, "findings"), i,
			   f) if (!strcmp(json_text(f, "id"), id)) return true;
	return false;
}

/* The id that the alerts name; of an event that names none, from its own. */
static void case_id_of(const json_t *event, char ret[OM_CASE_ID_STRLEN])
{
	const char *named = json_text(json_object_get(event, "data"), "case");

	if (om_case_id_is_valid(named))
		strcpy(ret, named);
	else
		snprintf(ret, OM_CASE_ID_STRLEN, "case-%.12s", json_text(event, "id"));
}

static int take_event(struct om_case_store *s, json_t *event, const struct om_actor *actor,
		      char ret_id[OM_CASE_ID_STRLEN], struct error_text *err)
{
	_cleanup_(json_decrefp) json_t *act = NULL;
	struct om_case *c, *named;
	char finding[33], unique[96];
	bool is_new;
	int r;

	c = find_case(s, event, finding);
	case_id_of(event, ret_id);
	named = case_store_exact(s, ret_id);
	if (named && named != c)
		return error_set(err, -EBADMSG, "case event %s: %s is of another finding",
				 json_text(event, "id"), ret_id);
	if (c && (c->state == OM_CASE_ERASED || has_event(c, json_text(event, "id"))))
		return strcpy(ret_id, c->id), 1;
	is_new = !c;
	c = c ?: case_store_add(s, ret_id);
	act = json_pack("{s:s,s:s,s:O}", "act", "take", "finding", finding, "event", event);
	if (!c || !act)
		return -ENOMEM;
	strcpy(ret_id, c->id);
	/* With the finding: an event that was once added to a case of another cause opens its own. */
	snprintf(unique, sizeof(unique), "case-event-%s-%s", finding, json_text(event, "id"));
	r = case_store_append(s, c, act, unique, actor, NULL, err);
	return r ?: is_new ? 0 : 2;
}

int om_case_take(struct om_case_store *s, const void *text, size_t len, const struct om_actor *actor,
		 char ret_id[OM_CASE_ID_STRLEN], struct error_text *err)
{
	_cleanup_(json_decrefp) json_t *line = NULL;
	json_t *event;
	int r;

	*ret_id = 0;
	if (len > EVENT_MAX)
		return error_set(err, -EBADMSG, "longer than %d bytes", EVENT_MAX);
	line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(line))
		return error_set(err, -EBADMSG, "not a JSON object");
	event = json_object_get(line, "topic") ? json_object_get(line, "event") : line;
	if (strcmp(json_text(event, "type"), TYPE))
		return 3;
	r = check_event(event, err);
	return r ?: take_event(s, event, actor, ret_id, err);
}
