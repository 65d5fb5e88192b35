// SPDX-License-Identifier: Apache-2.0
#include "near.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"
#include "assignment.h"

#define PART 50
#define VERSION 1
#define DIGITS 32

bool om_near_level(const struct regimes *regimes, const struct om_subject_total *s, int32_t day)
{
	for (size_t i = 0; i < regimes_count(regimes); i++) {
		const struct regime *g = regimes_at(regimes, i);

		if (g->kind != REGIME_THRESHOLD || !regime_holds_on(g, day))
			continue;
		for (size_t k = 0; k < g->level_count; k++) {
			opcount is = g->levels[k].lower ? s->training_low : s->training_high;
			opcount figure = regime_level_figure(g, &g->levels[k]);

			if (is < figure && figure - is < figure / PART)
				return true;
		}
	}
	return false;
}

/* --- names and records --- */

static void hash(const char *what, const char *a, const char *b, struct om_id *ret)
{
	unsigned char full[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, (const unsigned char *)what, strlen(what) + 1);
	crypto_hash_sha256_update(&s, (const unsigned char *)a, strlen(a) + 1);
	crypto_hash_sha256_update(&s, (const unsigned char *)b, strlen(b) + 1);
	crypto_hash_sha256_final(&s, full);
	memcpy(ret, full, sizeof(*ret));
}

void om_near_id_of(enum om_near_kind kind, const char *name, const char *model, struct om_id *ret)
{
	static const char *const what[] = { [OM_NEAR_MODEL] = "opmeter-near-v1/model",
					    [OM_NEAR_LINEAGE] = "opmeter-near-v1/lineage",
					    [OM_NEAR_TENANT] = "opmeter-near-v1/tenant" };

	hash(what[kind], name, model, ret);
}

const char *om_near_key(const char *fleet, const struct om_id *id, char buf[OM_NEAR_KEY_MAX])
{
	char hex[OM_ID_STRLEN];

	snprintf(buf, OM_NEAR_KEY_MAX, "%.*s/%s", OM_NEAR_FLEET_MAX, fleet, om_id_format(id, hex));
	return buf;
}

int om_near_key_parse(const void *key, size_t len, struct om_id *ret, size_t *ret_fleet)
{
	char hex[DIGITS + 1];

	if (len <= DIGITS + 1 || len >= OM_NEAR_KEY_MAX || memchr(key, 0, len) ||
	    ((const char *)key)[len - DIGITS - 1] != '/')
		return -EBADMSG;
	memcpy(hex, (const char *)key + len - DIGITS, DIGITS);
	hex[DIGITS] = '\0';
	if (om_id_parse(hex, ret))
		return -EBADMSG;
	*ret_fleet = len - DIGITS - 1;
	return 0;
}

char *om_near_hint_encode(const struct om_near_hint *h)
{
	char since[OM_TIME_STRLEN], until[OM_TIME_STRLEN];
	_cleanup_(json_decrefp) json_t *o =
		json_pack("{s:i,s:s,s:s}", "v", VERSION, "since", om_time_format(h->since_ns, since), "until",
			  om_time_format(h->until_ns, until));

	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

int om_near_hint_decode(const void *value, size_t len, struct om_near_hint *ret)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(value, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *v = json_object_get(o, "v");
	const char *since = json_string_value(json_object_get(o, "since"));
	const char *until = json_string_value(json_object_get(o, "until"));

	if (json_is_integer(v) && json_integer_value(v) > VERSION)
		return -EPROTONOSUPPORT;
	if (!json_is_integer(v) || json_integer_value(v) != VERSION || !since || !until ||
	    om_time_parse(since, &ret->since_ns) || om_time_parse(until, &ret->until_ns))
		return -EBADMSG;
	return 0;
}

/* --- the set --- */

struct item {
	struct om_id key; /* hash of the record's */
	struct om_id id;
	uint64_t until_ns;
};

struct om_near_set {
	struct item *item;
	size_t count, room;
};

struct om_near_set *om_near_set_new(void)
{
	return calloc(1, sizeof(struct om_near_set));
}

struct om_near_set *om_near_set_free(struct om_near_set *s)
{
	if (s)
		free(s->item);
	free(s);
	return NULL;
}

void om_near_set_clear(struct om_near_set *s)
{
	s->count = 0;
}

static struct item *find(const struct om_near_set *s, const struct om_id *key)
{
	for (size_t i = 0; i < s->count; i++)
		if (om_id_equal(&s->item[i].key, key))
			return &s->item[i];
	return NULL;
}

static void drop(struct om_near_set *s, struct item *i)
{
	if (i)
		*i = s->item[--s->count];
}

static int put(struct om_near_set *s, const struct item *new)
{
	struct item *i = find(s, &new->key);

	if (!i && s->count == OM_NEAR_MAX)
		return -ENOSPC;
	if (!i && s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct item *more = reallocarray(s->item, room, sizeof(*more));

		if (!more)
			return -ENOSPC;
		s->item = more;
		s->room = room;
	}
	*(i ?: &s->item[s->count++]) = *new;
	return 0;
}

static void drop_ended(struct om_near_set *s, uint64_t now_ns)
{
	for (size_t i = s->count; i > 0; i--)
		if (s->item[i - 1].until_ns <= now_ns)
			drop(s, &s->item[i - 1]);
}

int om_near_set_take(struct om_near_set *s, const void *key, size_t key_len, const void *value,
		     size_t value_len, uint64_t now_ns)
{
	struct om_near_hint h;
	struct item new;
	size_t fleet;
	char text[OM_NEAR_KEY_MAX];
	int r = om_near_key_parse(key, key_len, &new.id, &fleet);

	if (r)
		return r;
	memcpy(text, key, key_len);
	text[key_len] = '\0';
	hash("opmeter-near-key", text, "", &new.key);
	if (!value) {
		drop(s, find(s, &new.key));
		return 0;
	}
	r = om_near_hint_decode(value, value_len, &h);
	if (r)
		return r;
	new.until_ns = h.until_ns < now_ns + OM_NEAR_HOLDS_NS ? h.until_ns : now_ns + OM_NEAR_HOLDS_NS;
	if (new.until_ns <= now_ns) {
		drop(s, find(s, &new.key));
		return 0;
	}
	if (s->count == OM_NEAR_MAX)
		drop_ended(s, now_ns);
	return put(s, &new);
}

int om_near_set_add(struct om_near_set *s, const struct om_id *id)
{
	struct item new = { .key = *id, .id = *id, .until_ns = UINT64_MAX };

	return put(s, &new);
}

bool om_near_set_has(const struct om_near_set *s, const struct om_id *id, uint64_t now_ns)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->item[i].until_ns > now_ns && om_id_equal(&s->item[i].id, id))
			return true;
	return false;
}

size_t om_near_set_count(const struct om_near_set *s, uint64_t now_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		n += s->item[i].until_ns > now_ns;
	return n;
}

/* --- the cadence --- */

enum om_publish om_cadence_step(struct om_cadence *c, uint64_t now_ns, uint64_t interval_ns, bool is_near)
{
	if (now_ns >= c->all_ns) {
		c->all_ns = now_ns + interval_ns;
		c->near_ns = now_ns + OM_NEAR_INTERVAL_NS;
		return OM_PUBLISH_ALL;
	}
	if (!is_near || interval_ns <= OM_NEAR_INTERVAL_NS || now_ns < c->near_ns)
		return OM_PUBLISH_NOTHING;
	c->near_ns = now_ns + OM_NEAR_INTERVAL_NS;
	return OM_PUBLISH_NEAR;
}

uint64_t om_cadence_next(const struct om_cadence *c, uint64_t interval_ns, bool is_near)
{
	return is_near && interval_ns > OM_NEAR_INTERVAL_NS && c->near_ns < c->all_ns ? c->near_ns
										      : c->all_ns;
}
