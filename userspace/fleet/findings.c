// SPDX-License-Identifier: Apache-2.0
/*
 * What the judge finds in totals that are added up: levels of each tenant's models,
 * by policy; levels that several tenants reach together and none of them alone; work
 * that no meter explains, by who holds the devices; nodes that fell silent; records
 * that were refused.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/yaml.h"

#define DAY_NS 86400000000000ULL
#define SILENT_INTERVALS 3

/* A tenant's figures over all its models. */
struct tenant_sum {
	const char *tenant; /* a loan of the view */
	const char *owner;  /* its ultimate parent's entity; NULL: not known */
	struct om_subject_total sum;
};

struct gathering {
	struct findings *j;
	struct tenant_sum *item;
	size_t count, room;
};

static int emit_data(struct findings *j, const char *subject, const char *cause, const char *level,
		     const char *sentence, json_t *data)
{
	struct alert a = { .type = ALERT_DATA,
			   .source = j->policy.source,
			   .subject = subject,
			   .time_ns = j->policy.now_ns };
	char cause_level[128];
	int r;

	if (!data)
		return -ENOMEM;
	snprintf(a.sentence, sizeof(a.sentence), "%s", sentence);
	snprintf(cause_level, sizeof(cause_level), "%s/%s", cause, level);
	alert_make_id(a.type, a.source, "", "", subject, cause_level, &a.id);
	json_object_set_new(data, "cause", json_string(cause));
	json_object_set_new(data, "sentence", json_string(sentence));
	a.data = json_dumps(data, JSON_COMPACT);
	json_decref(data);
	r = a.data ? j->emit(j->ctx, &a) : -ENOMEM;
	alert_done(&a);
	return r;
}

/* Executed on its devices, and explained by no meter: evasion, or a gap of ours. */
static int judge_unattributed(struct findings *j, const struct om_subject_total *s)
{
	static const unsigned percents[] = { 50, 25, 10 };
	char sentence[400], human[OPCOUNT_STRLEN], exact[OPCOUNT_STRLEN], level[16];

	for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
		opcount share;

		if (opcount_muldiv(s->all_high, percents[i], 100, &share) || s->unattributed == 0 ||
		    s->unattributed < share)
			continue;
		snprintf(level, sizeof(level), "%u", percents[i]);
		snprintf(sentence, sizeof(sentence),
			 "%s: %s operations on the devices it holds are explained by no meter: %u %% or more "
			 "of its "
			 "work. They count in the upper bound.",
			 s->tenant, opcount_human(s->unattributed, human), percents[i]);
		return emit_data(
			j, s->tenant, "unattributed", level, sentence,
			json_pack("{s:s,s:s}", "operations", opcount_format(s->unattributed, exact),
				  "what_to_do",
				  "look at the kernels that the tenant's jobs launch; calibrate them, or "
				  "raise it with compliance"));
	}
	return 0;
}

static int take_model(void *ctx, const struct om_subject_total *s)
{
	struct gathering *g = ctx;
	struct tenant_sum *t = g->count ? &g->item[g->count - 1] : NULL;
	int r = policy_judge(&g->j->policy, s, g->j->emit, g->j->ctx);

	if (r)
		return r;
	if (t && !strcmp(t->tenant, s->tenant)) {
		om_subject_total_add(&t->sum, s);
		return 0;
	}
	if (g->count == g->room) {
		size_t room = g->room ? 2 * g->room : 64;

		t = reallocarray(g->item, room, sizeof(*t));
		if (!t)
			return -ENOMEM;
		g->item = t;
		g->room = room;
	}
	g->item[g->count++] = (struct tenant_sum){ .tenant = s->tenant, .sum = *s };
	return 0;
}

/* The levels that a figure meets: "<regime>/<level>" each. */
struct levels {
	char **name;
	size_t count;
	int (*emit)(void *ctx, const struct levels *but, const struct alert *a, const char *name);
	const struct levels *but;
	void *ctx;
};

static void levels_done(struct levels *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->name[i]);
	free(l->name);
}

static bool levels_has(const struct levels *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->name[i], name))
			return true;
	return false;
}

static int on_level(void *ctx, const struct alert *a)
{
	struct levels *l = ctx;
	_cleanup_(json_decrefp) json_t *data = json_loads(a->data, 0, NULL);
	const char *regime = json_string_value(json_object_get(data, "regime"));
	const char *level = json_string_value(json_object_get(data, "level"));
	char name[192], **more;

	if (a->type != ALERT_LEVEL || !regime || !level)
		return 0;
	snprintf(name, sizeof(name), "%s/%s", regime, level);
	if (l->emit)
		return l->emit(l->ctx, l->but, a, name);
	if (levels_has(l, name))
		return 0;
	more = reallocarray(l->name, l->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	l->name = more;
	l->name[l->count] = strdup(name);
	return l->name[l->count] ? (l->count++, 0) : -ENOMEM;
}

struct together {
	struct findings *j;
	const char *what; /* "family", "lineage" */
	json_t *members;
	size_t count;
};

static int emit_together(void *ctx, const struct levels *alone, const struct alert *found, const char *name)
{
	struct together *t = ctx;
	struct alert a = *found;
	json_t *data;
	int r;

	if (levels_has(alone, name))
		return 0; /* said of the tenant itself already */
	data = json_loads(found->data, 0, NULL);
	if (!data)
		return -ENOMEM;
	snprintf(a.sentence, sizeof(a.sentence),
		 "%zu tenants of one %s together, and none of them alone: %.500s", t->count, t->what,
		 found->sentence);
	json_object_set_new(data, "group", json_string(t->what));
	json_object_set(data, "members", t->members);
	json_object_set_new(data, "sentence", json_string(a.sentence));
	a.data = json_dumps(data, JSON_COMPACT);
	json_decref(data);
	r = a.data ? t->j->emit(t->j->ctx, &a) : -ENOMEM;
	alert_done(&a);
	return r;
}

/* Structuring: work spread over tenants so that no one's total says it. */
static int judge_together(struct findings *j, const char *what, struct om_subject_total *sum,
			  const struct om_member *members, size_t n)
{
	struct policy policy = j->policy;
	struct levels together = { 0 }, alone = { 0 };
	struct together t = { j, what, json_array(), n };
	int r;

	policy.owners = NULL; /* a group is nobody's customer */
	r = t.members ? policy_judge(&policy, sum, on_level, &together) : -ENOMEM;
	for (size_t i = 0; r == 0 && together.count && i < n; i++) {
		struct om_subject_total one = *sum;

		one.training_low = members[i].training_low;
		one.training_high = members[i].training_high;
		one.training_ceiling = members[i].training_ceiling;
		json_array_append_new(t.members, json_string(members[i].tenant));
		r = policy_judge(&policy, &one, on_level, &alone);
	}
	if (r == 0 && together.count > alone.count) {
		struct levels rest = { .emit = emit_together, .but = &alone, .ctx = &t };

		r = policy_judge(&policy, sum, on_level, &rest);
	}
	json_decref(t.members);
	levels_done(&together);
	levels_done(&alone);
	return r;
}

static int take_lineage(void *ctx, const struct om_subject_total *s)
{
	struct findings *j = ctx;
	struct om_subject_total named = *s;
	char name[160];

	if (s->member_count < 2)
		return 0;
	snprintf(name, sizeof(name), "lineage:%.120s", s->lineage);
	named.tenant = name;
	named.model = "all-tenants";
	return judge_together(j, "lineage", &named, s->members, s->member_count);
}

static int compare_owners(const void *a, const void *b)
{
	const struct tenant_sum *x = a, *y = b;

	if (!x->owner || !y->owner)
		return !x->owner - !y->owner;
	return strcmp(x->owner, y->owner);
}

static int judge_family(struct findings *j, const struct tenant_sum *t, size_t n)
{
	struct om_subject_total sum = t[0].sum;
	_cleanup_free_ struct om_member *members = calloc(n, sizeof(*members));
	char name[32], hex[OM_ID_STRLEN];
	struct om_id id;

	if (!members)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		members[i] = (struct om_member){ t[i].tenant, t[i].sum.training_low, t[i].sum.training_high,
						 t[i].sum.training_ceiling, t[i].sum.registers };
		if (i)
			om_subject_total_add(&sum, &t[i].sum);
	}
	/* An alert names no parent: a hash says only that it is the same one as before. */
	alert_make_id(ALERT_DATA, j->policy.source, "family", "", t[0].owner, "", &id);
	snprintf(name, sizeof(name), "family:%.12s", om_id_format(&id, hex));
	sum.tenant = name;
	sum.model = "all-models";
	return judge_together(j, "family", &sum, members, n);
}

/* The tenants of one ultimate parent. Those whose parent nobody knows are no family. */
static int judge_families(struct findings *j, struct gathering *g)
{
	int32_t day = (int32_t)(j->policy.now_ns / DAY_NS);
	struct owner_answer answer;
	int r = 0;

	if (!j->policy.owners)
		return 0;
	for (size_t i = 0; i < g->count; i++) {
		owners_resolve(j->policy.owners, g->item[i].tenant, day, &answer);
		if (answer.state == OWNER_KNOWN && answer.steps)
			g->item[i].owner = answer.path[answer.steps - 1].entity;
	}
	qsort(g->item, g->count, sizeof(*g->item), compare_owners);
	for (size_t i = 0, k; r == 0 && i < g->count && g->item[i].owner; i = k) {
		for (k = i + 1;
		     k < g->count && g->item[k].owner && !strcmp(g->item[k].owner, g->item[i].owner);)
			k++;
		if (k - i > 1)
			r = judge_family(j, &g->item[i], k - i);
	}
	return r;
}

int findings_totals(struct findings *j)
{
	struct gathering g = { .j = j };
	int r = view_each(j->view, OM_GROUP_MODEL, take_model, &g);

	for (size_t i = 0; r == 0 && i < g.count; i++)
		r = judge_unattributed(j, &g.item[i].sum);
	r = r ?: view_each(j->view, OM_GROUP_LINEAGE, take_lineage, j);
	r = r ?: judge_families(j, &g);
	free(g.item);
	return r;
}

/* Once for each partition, cause and day: the records themselves are in the dead letters. */
int findings_refusals(struct findings *j)
{
	int r = 0;

	for (uint32_t p = 0; r == 0 && p < j->fleet->partitions; p++) {
		const struct view_head *h = view_head(j->view, p);

		for (int i = 1; r == 0 && i < REFUSAL_END; i++) {
			const struct refusal_count *c = &h->refused[i];
			const char *name = refusal_name((enum refusal)i);
			char subject[64], sentence[400], day[16], count[24];

			if (!c->count)
				continue;
			snprintf(subject, sizeof(subject), "partition/%" PRIu32, p);
			snprintf(count, sizeof(count), "%" PRIu64, c->count);
			date_format((int32_t)(c->last_ms / 86400000), day);
			snprintf(sentence, sizeof(sentence),
				 "%s records of partition %" PRIu32
				 " were refused (%s), the last on %s: no total moved for them. %s.",
				 count, p, name, day, refusal_what_to_do((enum refusal)i));
			r = emit_data(j, subject, name, day, sentence,
				      json_pack("{s:s,s:s}", "count", count, "what_to_do",
						refusal_what_to_do((enum refusal)i)));
		}
	}
	return r;
}

static int look_at_node(void *ctx, struct key_node *n)
{
	struct findings *j = ctx;
	const struct node_sign *s = (const struct node_sign *)n;
	uint64_t now = j->policy.now_ns;
	char sentence[500], time[OM_TIME_STRLEN], exact[OPCOUNT_STRLEN] = "", human[OPCOUNT_STRLEN];
	opcount bound = 0;

	if (!s->interval_ns || now < s->last_ns || now - s->last_ns <= SILENT_INTERVALS * s->interval_ns)
		return 0;
	if (s->peak_ops_per_s && !opcount_muldiv(s->peak_ops_per_s, now - s->last_ns, 1000000000, &bound))
		opcount_format(bound, exact);
	snprintf(sentence, sizeof(sentence),
		 "%s: silent since %s, %" PRIu64 " intervals of %" PRIu64
		 " s. What its jobs do meanwhile is in no total%s%s%s.",
		 n->key, om_time_format(s->last_ns - s->last_ns % 1000000000, time),
		 (now - s->last_ns) / s->interval_ns, s->interval_ns / 1000000000, exact[0] ? ": up to " : "",
		 exact[0] ? opcount_human(bound, human) : "", exact[0] ? " operations by now" : "");
	return emit_data(j, n->key, "silent-node", time, sentence,
			 json_pack("{s:s,s:s,s:s}", "silent_since", time, "operations_possible", exact,
				   "what_to_do", "page the node's owner: is it up, and does its agent run?"));
}

int findings_silence(struct findings *j)
{
	return key_map_each(j->nodes, look_at_node, j);
}
