// SPDX-License-Identifier: Apache-2.0
/*
 * Who says what of lineages and of who serves whom. It is read from the assignments topic, where the judge
 * before wrote it, so a new one says nothing again and keeps the names.
 */
#include "jobs_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../exporters/topic.h"

void jobs_said_done(struct jobs_said *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->sayings[i].text);
		free((char *)s->sayings[i].key);
	}
	free(s->sayings);
	free(s->to_say);
	key_map_done(&s->rule, key_node_free);
	key_map_done(&s->person, key_node_free);
	*s = (struct jobs_said){ .partitions = s->partitions };
}

size_t jobs_instance_key(const struct om_id *ledger, const struct om_id *job, char ret[2 * OM_ID_STRLEN])
{
	om_id_format(ledger, ret);
	ret[OM_ID_STRLEN - 1] = '/';
	om_id_format(job, ret + OM_ID_STRLEN);
	return 2 * OM_ID_STRLEN - 1;
}

/* Without the author, who is a rule. */
static size_t key_of(const struct om_assignment *a, char ret[160])
{
	size_t n = jobs_instance_key(&a->ledger, &a->job, ret);

	return n + (size_t)snprintf(ret + n, 160 - n, "/%s/%" PRIu64, om_assignment_kind_name(a->kind),
				    a->from_ns);
}

static int note(struct key_map *m, const char *key, size_t len, const char *value, uint64_t at_ns,
		uint32_t share_low_ppm, uint32_t share_high_ppm)
{
	struct said *s = (struct said *)key_map_find(m, key, len);

	if (s && at_ns < s->at_ns)
		return 0;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || key_map_add(m, &s->node, key, len)) {
			free(s);
			return -ENOMEM;
		}
	}
	snprintf(s->value, sizeof(s->value), "%s", value);
	s->at_ns = at_ns;
	s->share_low_ppm = share_low_ppm;
	s->share_high_ppm = share_high_ppm;
	return 0;
}

/* Only what is without an end: what ended says nothing of the runs of now. */
static int take_word(struct jobs_said *s, const struct om_assignment *a)
{
	char key[2 * OM_ID_STRLEN];
	size_t len = jobs_instance_key(&a->ledger, &a->job, key);

	return a->to_ns ? 0
			: note(&s->person, key, len, a->value, a->at_ns, a->share_low_ppm, a->share_high_ppm);
}

int jobs_said_take(struct jobs_said *s, const rd_kafka_message_t *m)
{
	struct raw_record raw = { m->key, m->payload, m->key_len, m->len, NULL, 0 };
	struct admission at = { (uint32_t)m->partition, s->partitions, fleet_now_ns(CLOCK_REALTIME), NULL,
				0 };
	struct om_assignment a;
	char key[160];

	if (!m->payload || admit_assignment(&at, &raw, &a))
		return 0; /* refused by who keeps the partition, too */
	if (a.at_ns > s->fresh_ns && a.at_ns < at.now_ns + DAY_NS)
		s->fresh_ns = a.at_ns;
	if (a.person[0])
		return a.kind == OM_ASSIGN_LINEAGE ? take_word(s, &a) : 0;
	if (strcmp(a.rule, RULE_LINEAGE) != 0 && strcmp(a.rule, OM_RULE_JOINED) != 0)
		return 0;
	return note(&s->rule, key, key_of(&a, key), a.value, a.at_ns, a.share_low_ppm, a.share_high_ppm);
}

const char *jobs_said_lineage(const struct jobs_said *s, const struct om_id *ledger, const struct om_id *job)
{
	const struct om_assignment a = { .ledger = *ledger, .job = *job, .kind = OM_ASSIGN_LINEAGE };
	const struct said *said = jobs_said_find(s, &a);

	return said ? said->value : NULL;
}

const char *jobs_said_word(const struct jobs_said *s, const struct om_id *ledger, const struct om_id *job)
{
	char key[2 * OM_ID_STRLEN];
	size_t len = jobs_instance_key(ledger, job, key);
	const struct said *said = (const struct said *)key_map_find(&s->person, key, len);

	return said ? said->value : NULL;
}

const struct said *jobs_said_find(const struct jobs_said *s, const struct om_assignment *a)
{
	char key[160];
	size_t len = key_of(a, key);

	return (const struct said *)key_map_find(&s->rule, key, len);
}

static int make_room(struct jobs_said *s)
{
	size_t room = s->room ? 2 * s->room : 64;
	struct saying *sayings;
	struct to_say *to_say;

	if (s->count < s->room)
		return 0;
	sayings = reallocarray(s->sayings, room, sizeof(*sayings));
	if (!sayings)
		return -ENOMEM;
	s->sayings = sayings;
	to_say = reallocarray(s->to_say, room, sizeof(*to_say));
	if (!to_say)
		return -ENOMEM;
	s->to_say = to_say;
	s->room = room;
	return 0;
}

/* The event as nodes send theirs. NULL: out of memory. */
static char *event_of(const struct fleet *f, const struct om_assignment *a, const char *key)
{
	_cleanup_free_ char *data = om_assignment_encode(a);
	json_t *o = data ? json_loads(data, 0, NULL) : NULL, *event;
	char time[OM_TIME_STRLEN], id[224], *text;

	if (!o)
		return NULL;
	snprintf(id, sizeof(id), "%s/%" PRIu64, key, a->at_ns);
	event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "specversion", "1.0", "id", id, "source",
			  f->source, "type", "opmeter.assignment.v1", "time", om_time_format(a->at_ns, time),
			  "datacontenttype", "application/json", "data", o);
	text = event ? json_dumps(event, JSON_COMPACT) : NULL;
	json_decref(event);
	return text;
}

int jobs_said_add(struct jobs_said *s, const struct fleet *f, struct om_assignment *a)
{
	uint64_t now = fleet_now_ns(CLOCK_REALTIME);
	struct to_say *t;
	struct saying *say;
	char *key;

	if (make_room(s))
		return -ENOMEM;
	s->fresh_ns = now > s->fresh_ns ? now : s->fresh_ns + 1;
	a->at_ns = s->fresh_ns;
	snprintf(a->rule, sizeof(a->rule), "%s", a->kind == OM_ASSIGN_SERVES ? OM_RULE_JOINED : RULE_LINEAGE);
	snprintf(a->version, sizeof(a->version), RULE_VERSION);
	t = &s->to_say[s->count];
	*t = (struct to_say){ .at_ns = a->at_ns,
			      .share_low_ppm = a->share_low_ppm,
			      .share_high_ppm = a->share_high_ppm };
	key_of(a, t->key);
	snprintf(t->value, sizeof(t->value), "%s", a->value);
	if (asprintf(&key, "%s/rule", t->key) < 0)
		return -ENOMEM;
	say = &s->sayings[s->count];
	*say = (struct saying){ .topic = OM_TOPIC_ASSIGNMENTS, .key = key, .text = event_of(f, a, t->key) };
	if (om_topic_partition(key, strlen(key), f->partitions, &say->partition_plus_1) || !say->text) {
		free(say->text);
		free(key);
		return -ENOMEM;
	}
	say->partition_plus_1++;
	s->count++;
	return 0;
}

int jobs_said_written(struct jobs_said *s, bool is_written)
{
	int r = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct to_say *t = &s->to_say[i];

		if (is_written && r == 0)
			r = note(&s->rule, t->key, strlen(t->key), t->value, t->at_ns, t->share_low_ppm,
				 t->share_high_ppm);
		free(s->sayings[i].text);
		free((char *)s->sayings[i].key);
	}
	s->count = 0;
	return r;
}
