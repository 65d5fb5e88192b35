// SPDX-License-Identifier: Apache-2.0
/*
 * Nodes that fell silent. What their jobs do meanwhile is in no register, so it is an
 * alert, and all that their devices can have done since is in the ceiling of every tenant
 * that the last heartbeat names: which of them it was nobody knows, so each is given all of
 * it. A ceiling is reported and pages nobody; the alert does.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#define SECOND_NS UINT64_C(1000000000)
#define SILENT_INTERVALS 3
#define NODE_PREFIX "/opmeter/"
#define TENANTS_SIZE_MAX 16384 /* bytes of names that are kept of a heartbeat */
#define UNKNOWN "unknown"

static bool is_node(const char *source)
{
	size_t at = sizeof(NODE_PREFIX) - 1;

	return !strncmp(source, NODE_PREFIX, at) && strlen(source) == at + OM_ID_STRLEN - 1 &&
	       strspn(source + at, "0123456789abcdef") == OM_ID_STRLEN - 1;
}

static void free_node(struct key_node *n)
{
	free(((struct node_sign *)n)->tenants);
	free(((struct node_sign *)n)->person);
	free(((struct node_sign *)n)->reason);
	free(n);
}

void nodes_done(struct key_map *nodes)
{
	key_map_done(nodes, free_node);
}

/* Names one behind the other, each with its zero, an empty one at the end. What does not fit, and what is no
 * list of names, stands as one `unknown` more. NULL: out of memory. */
static char *names_of(const json_t *data)
{
	const json_t *list = json_object_get(data, "tenants"), *one;
	bool is_cut = json_array_size(list) == 0 || json_is_true(json_object_get(data, "tenants_more"));
	size_t size = 2 + sizeof(UNKNOWN), at = 0, i;
	char *names;

	json_array_foreach(list, i, one) size += json_string_length(one) + 1;
	if (size > TENANTS_SIZE_MAX)
		size = TENANTS_SIZE_MAX;
	names = calloc(1, size);
	json_array_foreach(list, i, one)
	{
		size_t len = json_string_length(one) + 1;

		if (len == 1 || at + len + sizeof(UNKNOWN) >= size)
			is_cut = true;
		else if (names)
			memcpy(names + at, json_string_value(one), len);
		at += len == 1 || at + len + sizeof(UNKNOWN) >= size ? 0 : len;
	}
	if (names && is_cut)
		memcpy(names + at, UNKNOWN, sizeof(UNKNOWN));
	return names;
}

static int need_node(struct key_map *nodes, size_t nodes_max, const char *source, struct node_sign **ret)
{
	*ret = (struct node_sign *)key_map_find(nodes, source, strlen(source));
	if (*ret)
		return 0;
	if (nodes->count >= nodes_max)
		return 1;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret || key_map_add(nodes, &(*ret)->node, source, strlen(source))) {
		free(*ret);
		return -ENOMEM;
	}
	return 0;
}

static int take_retirement(struct node_sign *n, const json_t *o)
{
	const char *person = json_string_value(json_object_get(o, "person"));
	const char *reason = json_string_value(json_object_get(o, "reason"));

	free(n->person);
	free(n->reason);
	n->person = n->reason = NULL;
	n->is_retired = person && reason && strlen(person) <= 100 && strlen(reason) <= 200;
	if (!n->is_retired)
		return 0;
	n->person = strdup(person);
	n->reason = strdup(reason);
	return n->person && n->reason ? 0 : -ENOMEM;
}

int nodes_take(struct key_map *nodes, size_t nodes_max, const json_t *event, uint64_t sent_ns,
	       uint64_t seen_ns)
{
	const char *source = json_string_value(json_object_get(event, "source"));
	const json_t *data = json_object_get(event, "data");
	const char *peak = json_string_value(json_object_get(data, "peak_ops_per_s"));
	json_int_t interval_s = json_integer_value(json_object_get(data, "interval_s"));
	struct node_sign *n;
	char *names;
	int r;

	if (!source || !is_node(source) || interval_s < 1 || interval_s > INTERVAL_S_MAX)
		return 1;
	names = names_of(data);
	r = names ? need_node(nodes, nodes_max, source, &n) : -ENOMEM;
	if (r) {
		free(names);
		return r;
	}
	/* The last record, not the latest time: that is what compaction leaves for the next judge. */
	n->sent_ns = sent_ns;
	n->seen_ns = seen_ns > n->seen_ns ? seen_ns : n->seen_ns;
	n->interval_ns = (uint64_t)interval_s * SECOND_NS;
	n->peak_ops_per_s = peak ? strtoull(peak, NULL, 10) : 0;
	free(n->tenants);
	n->tenants = names;
	n->has_worked = json_array_size(json_object_get(data, "tenants")) > 0;
	return take_retirement(n, json_object_get(data, "retired"));
}

int nodes_hear(struct key_map *nodes, const rd_kafka_message_t *m, const json_t *event, bool is_live)
{
	const char *source = json_string_value(json_object_get(event, "source")) ?: "";
	int64_t ms = rd_kafka_message_timestamp(m, NULL);
	uint64_t now = fleet_now_ns(CLOCK_REALTIME), sent = ms > 0 ? (uint64_t)ms * 1000000 : 0;

	if (!m->key || m->key_len != strlen(source) || memcmp(m->key, source, m->key_len) != 0)
		return 1;
	/* What arrives while we watch is a sign of life now, whatever the node's clock says. */
	return nodes_take(nodes, NODES_MAX, event, sent, !is_live && sent < now ? sent : now);
}

bool node_is_silent(const struct node_sign *s, uint64_t now_ns)
{
	return !s->is_retired && now_ns > s->seen_ns &&
	       now_ns - s->seen_ns > SILENT_INTERVALS * s->interval_ns;
}

/* False: the node's peak is not known, or it is out of range: no bound. */
static bool bound_of(const struct node_sign *s, uint64_t now_ns, opcount *ret)
{
	return s->peak_ops_per_s && !opcount_muldiv(s->peak_ops_per_s, now_ns - s->seen_ns, SECOND_NS, ret);
}

static json_t *names_json(const char *names)
{
	json_t *list = json_array();

	for (; names && *names; names += strlen(names) + 1)
		json_array_append_new(list, json_string(names));
	return list;
}

/* A person's word, or that of somebody who may write there: it is always seen. */
static int tell_retired(struct findings *j, const struct node_sign *s)
{
	char sentence[500], time[OM_TIME_STRLEN];

	om_time_format(s->sent_ns - s->sent_ns % SECOND_NS, time);
	snprintf(sentence, sizeof(sentence), "%s: retired on %s by %s: %s. Its silence is no alert any more.",
		 s->node.key, time, s->person ?: "", s->reason ?: "");
	return findings_emit(j, s->node.key, "node-retired", time, sentence,
			     json_pack("{s:s,s:s,s:s}", "person", s->person ?: "", "reason", s->reason ?: "",
				       "what_to_do",
				       "nothing, if that is so; a heartbeat of the node takes it back"));
}

static int look_at_node(void *ctx, struct key_node *n)
{
	struct findings *j = ctx;
	const struct node_sign *s = (const struct node_sign *)n;
	uint64_t now = j->policy.now_ns;
	char sentence[500], time[OM_TIME_STRLEN], exact[OPCOUNT_STRLEN] = "", human[OPCOUNT_STRLEN];
	opcount bound = 0;

	if (s->is_retired)
		return tell_retired(j, s);
	/* Who has just come, or was stopped, has not listened long enough to say that somebody is silent. */
	if (!node_is_silent(s, now) ||
	    (now > j->listening_ns && now - j->listening_ns <= SILENT_INTERVALS * s->interval_ns))
		return 0;
	if (bound_of(s, now, &bound))
		opcount_format(bound, exact);
	snprintf(sentence, sizeof(sentence),
		 "%s: silent since %s, %" PRIu64 " intervals of %" PRIu64
		 " s. What its jobs do meanwhile is in no total%s%s%s.",
		 n->key, om_time_format(s->sent_ns - s->sent_ns % SECOND_NS, time),
		 (now - s->seen_ns) / s->interval_ns, s->interval_ns / SECOND_NS,
		 exact[0] ? ", but in the ceilings of its tenants: up to " : "",
		 exact[0] ? opcount_human(bound, human) : "", exact[0] ? " operations by now" : "");
	/* Its id has the heartbeat's own time, not that at which some judge received it. */
	return findings_emit(
		j, n->key, "silent-node", time, sentence,
		json_pack("{s:s,s:s,s:o,s:s}", "silent_since", time, "operations_possible", exact, "tenants",
			  names_json(s->tenants), "what_to_do",
			  "page the node's owner: is it up, and does its agent run? If it is gone "
			  "for good: opmeter topics retire"));
}

int findings_silence(struct findings *j)
{
	return key_map_each(j->nodes, look_at_node, j);
}

struct silence_counting {
	uint64_t now_ns;
	size_t count;
};

static int count_node(void *ctx, struct key_node *n)
{
	struct silence_counting *c = ctx;

	c->count += node_is_silent((const struct node_sign *)n, c->now_ns);
	return 0;
}

size_t silence_count(struct key_map *nodes, uint64_t now_ns)
{
	struct silence_counting c = { now_ns, 0 };

	key_map_each(nodes, count_node, &c);
	return c.count;
}

/* What a tenant's silent nodes can have done. */
struct width {
	struct key_node node; /* key: the tenant */
	struct silence_told told;
};

struct silence {
	struct key_map tenants;
	uint64_t now_ns;
};

struct silence *silence_free(struct silence *s)
{
	if (s)
		key_map_done(&s->tenants, key_node_free);
	free(s);
	return NULL;
}

static void add_told(struct silence_told *sum, const struct silence_told *one)
{
	sum->nodes += one->nodes;
	if (!sum->since_ns || one->since_ns < sum->since_ns)
		sum->since_ns = one->since_ns;
	opcount_add_saturating(&sum->most, one->most);
	sum->is_unbounded |= one->is_unbounded;
}

static int add_width(struct silence *s, const char *tenant, const struct silence_told *one)
{
	struct width *w = (struct width *)key_map_find(&s->tenants, tenant, strlen(tenant));

	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w || key_map_add(&s->tenants, &w->node, tenant, strlen(tenant))) {
			free(w);
			return -ENOMEM;
		}
	}
	add_told(&w->told, one);
	return 0;
}

static int add_node(void *ctx, struct key_node *n)
{
	struct silence *s = ctx;
	const struct node_sign *sign = (const struct node_sign *)n;
	struct silence_told one = { .nodes = 1, .since_ns = sign->seen_ns };
	int r = 0;

	if (!node_is_silent(sign, s->now_ns))
		return 0;
	one.is_unbounded = !bound_of(sign, s->now_ns, &one.most);
	for (const char *name = sign->tenants; r == 0 && name && *name; name += strlen(name) + 1)
		r = add_width(s, name, &one);
	return r;
}

struct silence *silence_new(struct key_map *nodes, uint64_t now_ns)
{
	struct silence *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->now_ns = now_ns;
	return key_map_each(nodes, add_node, s) ? silence_free(s) : s;
}

static void tell_tenant(const struct silence *s, const char *tenant, struct silence_told *ret)
{
	const struct width *w = (const struct width *)key_map_find(&s->tenants, tenant, strlen(tenant));

	if (w)
		add_told(ret, &w->told);
}

bool silence_tell(const struct silence *s, const struct om_subject_total *t, struct silence_told *ret)
{
	*ret = (struct silence_told){ 0 };
	if (t->group == OM_GROUP_MODEL)
		tell_tenant(s, t->tenant, ret);
	for (size_t i = 0; t->group == OM_GROUP_LINEAGE && i < t->member_count; i++)
		tell_tenant(s, t->members[i].tenant, ret);
	return ret->nodes > 0;
}

void silence_widen(const struct silence *s, struct om_subject_total *t)
{
	struct silence_told told;

	if (!silence_tell(s, t, &told))
		return;
	opcount_add_saturating(&t->training_ceiling, told.most);
	opcount_add_saturating(&t->all_ceiling, told.most);
	if (told.is_unbounded)
		t->is_bounded = false;
}

int silence_put(const struct silence *s, const struct om_subject_total *t, json_t *total)
{
	char most[OPCOUNT_STRLEN], since[OM_TIME_STRLEN], now[OM_TIME_STRLEN];
	struct silence_told told;
	json_t *o;

	if (!silence_tell(s, t, &told))
		return 0;
	o = json_pack("{s:I,s:s,s:s,s:s,s:b}", "nodes", (json_int_t)told.nodes, "since",
		      om_time_format(told.since_ns, since), "operations", opcount_format(told.most, most),
		      "as_of", om_time_format(s->now_ns, now), "bounded", !told.is_unbounded);
	return o && json_object_set_new(total, "silent", o) == 0 ? 0 : -ENOMEM;
}
