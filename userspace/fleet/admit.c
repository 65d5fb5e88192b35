// SPDX-License-Identifier: Apache-2.0
#include "admit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../../exporters/topic.h"
#include "../base/cleanup.h"
#include "../base/text.h"
#include "claims.h"

#define DAY_NS 86400000000000ULL

static const struct {
	const char *name, *what_to_do;
} refusals[REFUSAL_END] = {
	[ADMITTED] = { "admitted", "nothing" },
	[REFUSED_DAMAGED] = { "damaged",
			      "find out who writes to this topic: its records are in the dead letters" },
	[REFUSED_UNKNOWN_VERSION] = { "unknown-version",
				      "update the fleet's instances: a node already writes a later version" },
	[REFUSED_FORGED] = { "forged", "find out who writes under another ledger's name; give each node a "
				       "certificate and a prefixed ACL" },
	[REFUSED_MISPLACED] = { "misplaced", "a writer uses another partitioner, or the topic was given more "
					     "partitions: readings and carries are moved; an assignment is "
					     "moved or is in the dead letters: assign again" },
	[REFUSED_IMPOSSIBLE] = { "impossible", "look at the node: its readings claim more than its devices "
					       "can do; nothing of "
					       "them is counted" },
	[REFUSED_NO_SUCH_TENANT] = { "no-such-tenant", "add the tenant to --tenants, or correct the map or "
						       "label that names it" },
	[REFUSED_BARE_TOMBSTONE] = { "bare-tombstone",
				     "find out who wrote a null to the readings topic; the node "
				     "sends the register again" },
	[REFUSED_FULL] = { "full", "raise --registers-max, or start more instances" },
};

const char *refusal_name(enum refusal r)
{
	return r < REFUSAL_END ? refusals[r].name : "invalid";
}

const char *refusal_what_to_do(enum refusal r)
{
	return r < REFUSAL_END ? refusals[r].what_to_do : "";
}

struct tenant_names {
	char **name; /* sorted */
	size_t count;
	bool is_open; /* the last line has no end */
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct tenant_names *t, char *line)
{
	char **more;

	line[strcspn(line, "#\r\n \t")] = '\0';
	if (!*line)
		return 0;
	more = reallocarray(t->name, t->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->name = more;
	t->name[t->count] = strdup(line);
	return t->name[t->count] ? (t->count++, 0) : -ENOMEM;
}

int tenant_names_load(const char *path, struct tenant_names **ret)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	struct tenant_names *t;
	char line[256];
	int r = 0;

	if (!f)
		return -errno;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	while (r == 0 && fgets(line, sizeof(line), f)) {
		t->is_open = !strchr(line, '\n');
		r = add_name(t, line);
	}
	if (r) {
		tenant_names_free(t);
		return r;
	}
	if (t->count)
		qsort(t->name, t->count, sizeof(*t->name), compare_names);
	*ret = t;
	return 0;
}

struct tenant_names *tenant_names_copy(const struct tenant_names *t)
{
	_cleanup_(tenant_names_freep) struct tenant_names *copy = calloc(1, sizeof(*copy));

	if (copy)
		copy->name = calloc(t->count + 1, sizeof(*copy->name));
	if (!copy || !copy->name)
		return NULL;
	copy->is_open = t->is_open;
	for (; copy->count < t->count; copy->count++) {
		copy->name[copy->count] = strdup(t->name[copy->count]);
		if (!copy->name[copy->count])
			return NULL;
	}
	return TAKE_PTR(copy);
}

struct tenant_names *tenant_names_free(struct tenant_names *t)
{
	for (size_t i = 0; t && i < t->count; i++)
		free(t->name[i]);
	if (t)
		free(t->name);
	free(t);
	return NULL;
}

bool tenant_names_equal(const struct tenant_names *a, const struct tenant_names *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->name[i], b->name[i]) != 0)
			return false;
	return true;
}

const char *tenant_names_refuse(const struct tenant_names *before, const struct tenant_names *fresh)
{
	if (before->count && !fresh->count)
		return "names nobody any more";
	if (fresh->is_open && !before->is_open)
		return "its last line has no end, so it may be a part of it";
	return NULL;
}

const char *tenant_names_at(const struct tenant_names *t, size_t i)
{
	return i < t->count ? t->name[i] : NULL;
}

bool tenant_names_has(const struct tenant_names *t, const char *name)
{
	return t->count && bsearch(&name, t->name, t->count, sizeof(*t->name), compare_names);
}

/* A record says under which ledger it was written; who may write is the broker's matter (ACLs). */
bool admit_is_source(const struct raw_record *m, const struct om_id *ledger)
{
	char want[9 + OM_ID_STRLEN] = "/opmeter/";

	if (!m->source)
		return true;
	om_id_format(ledger, want + 9);
	return m->source_len == strlen(want) && !memcmp(m->source, want, m->source_len);
}

static enum refusal place(const struct admission *a, const struct raw_record *m)
{
	uint32_t p;

	if (om_topic_partition(m->key, m->key_len, a->partitions, &p))
		return REFUSED_FORGED;
	return p == a->partition ? ADMITTED : REFUSED_MISPLACED;
}

/* A node's clock may be a day ahead. */
static bool is_day_to_come(uint32_t day, uint64_t now_ns)
{
	return day > now_ns / DAY_NS + 1;
}

bool admit_is_impossible(const struct om_reading *r, uint64_t now_ns, uint32_t devices_max)
{
	return is_day_to_come(r->key.day, now_ns) || !claim_is_possible(r, now_ns, devices_max);
}

enum refusal admit_reading(const struct admission *a, const struct raw_record *m, struct om_reading *ret)
{
	uint8_t key[OM_REGISTER_KEY_SIZE];
	int r = om_reading_decode(m->value, m->value_len, ret);

	if (r)
		return r == -EPROTONOSUPPORT ? REFUSED_UNKNOWN_VERSION : REFUSED_DAMAGED;
	/* The key decides what compaction keeps, so it must be the reading's own. */
	om_register_key_encode(&ret->key, key);
	if (m->key_len != sizeof(key) || memcmp(m->key, key, sizeof(key)) ||
	    !admit_is_source(m, &ret->key.ledger))
		return REFUSED_FORGED;
	if (admit_is_impossible(ret, a->now_ns, a->devices_max))
		return REFUSED_IMPOSSIBLE;
	return place(a, m);
}

enum refusal admit_carry(const struct admission *a, const struct raw_record *m, struct om_carry *ret)
{
	uint8_t key[OM_CARRY_KEY_SIZE];
	int r;

	*ret = (struct om_carry){ 0 };
	r = om_carry_decode(m->value, m->value_len, ret);
	if (r)
		return r == -EPROTONOSUPPORT ? REFUSED_UNKNOWN_VERSION : REFUSED_DAMAGED;
	om_carry_key_encode(&ret->ledger, &ret->job, ret->day, key);
	if (m->key_len != sizeof(key) || memcmp(m->key, key, sizeof(key)) != 0)
		return REFUSED_FORGED;
	if (is_day_to_come(ret->day, a->now_ns))
		return REFUSED_IMPOSSIBLE;
	return place(a, m);
}

static bool is_printable(const char *s)
{
	const char *p = s;

	while ((unsigned char)*p >= ' ' && *p != 0x7f)
		p++;
	return *s && !*p;
}

/* A total's record has these as names, and its reader refuses what is none. */
static bool is_value(const struct om_assignment *a)
{
	switch (a->kind) {
	case OM_ASSIGN_MODEL:
		return text_is_name(a->value, strlen(a->value));
	case OM_ASSIGN_LINEAGE:
	case OM_ASSIGN_FAMILY:
		return is_printable(a->value);
	case OM_ASSIGN_SERVES:
		return !a->person[0] && !strcmp(a->rule, OM_RULE_JOINED);
	default:
		return true; /* a tenant has a refusal of its own, phases were parsed */
	}
}

/* "<ledger>/<job>/<kind>/<from>/<rule or person>"; earlier nodes wrote the first three only. */
static bool key_is_own(const struct raw_record *m, const struct om_assignment *a)
{
	char want[2 * OM_ID_STRLEN + 64];
	size_t is_short, is_long;

	om_id_format(&a->ledger, want);
	want[OM_ID_STRLEN - 1] = '/';
	om_id_format(&a->job, want + OM_ID_STRLEN);
	want[2 * OM_ID_STRLEN - 1] = '/';
	is_short = (size_t)(stpcpy(want + 2 * OM_ID_STRLEN, om_assignment_kind_name(a->kind)) - want);
	if (m->key_len == is_short)
		return !memcmp(m->key, want, is_short);
	is_long =
		is_short + (size_t)snprintf(want + is_short, sizeof(want) - is_short, "/%llu/%s",
					    (unsigned long long)a->from_ns, a->person[0] ? "person" : "rule");
	return m->key_len == is_long && !memcmp(m->key, want, is_long);
}

enum refusal admit_assignment(const struct admission *a, const struct raw_record *m,
			      struct om_assignment *ret)
{
	int r = om_assignment_decode_event(m->value, m->value_len, ret);

	if (r)
		return r == -EPROTONOSUPPORT ? REFUSED_UNKNOWN_VERSION : REFUSED_DAMAGED;
	if (!key_is_own(m, ret))
		return REFUSED_FORGED;
	if (!is_value(ret))
		return REFUSED_DAMAGED;
	if (ret->kind == OM_ASSIGN_TENANT && (!text_is_name(ret->value, strlen(ret->value)) ||
					      (a->tenants && !tenant_names_has(a->tenants, ret->value))))
		return REFUSED_NO_SUCH_TENANT;
	return place(a, m);
}

enum refusal admit_process(const struct admission *a, const struct raw_record *m, struct process_record *ret)
{
	int r = process_record_decode_event(m->value, m->value_len, ret);
	char key[PROCESS_KEY_STRLEN];

	if (r)
		return r == -EPROTONOSUPPORT ? REFUSED_UNKNOWN_VERSION : REFUSED_DAMAGED;
	process_record_key(ret, key);
	if (m->key_len != strlen(key) || memcmp(m->key, key, m->key_len) != 0)
		return REFUSED_FORGED;
	/* It would be the latest for ever. */
	if (is_day_to_come((uint32_t)(ret->at_ns / DAY_NS), a->now_ns) ||
	    is_day_to_come((uint32_t)(ret->to_ns / DAY_NS), a->now_ns))
		return REFUSED_IMPOSSIBLE;
	return place(a, m);
}

bool admit_process_key(const struct raw_record *m, struct om_id *ret_ledger, struct om_id *ret_job,
		       struct om_id *ret_process)
{
	struct om_id *const part[] = { ret_ledger, ret_job, ret_process };
	char key[PROCESS_KEY_STRLEN], *at = key;

	if (m->key_len != sizeof(key) - 1)
		return false;
	memcpy(key, m->key, m->key_len);
	key[m->key_len] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(part); i++, at += OM_ID_STRLEN) {
		char end = at[OM_ID_STRLEN - 1];

		if (end != (i + 1 < ARRAY_SIZE(part) ? '/' : '\0'))
			return false;
		at[OM_ID_STRLEN - 1] = '\0';
		if (om_id_parse(at, part[i]))
			return false;
	}
	return true;
}
