// SPDX-License-Identifier: Apache-2.0
/*
 * What the judge finds in totals that are added up: levels of each tenant's models,
 * of lineages and of the families of one ultimate parent, by policy; work
 * that no meter explains, by who holds the devices; records that were refused. What
 * silent nodes may have done is in the bounds (silence.c).
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

/* A tenant's figures over all its models. */
struct tenant_sum {
	const char *tenant; /* a loan of the view */
	struct om_subject_total sum;
};

struct gathering {
	struct tenant_sum *item;
	size_t count, room;
};

/* What makes an alert about the data the one it is: its cause and occasion. */
#define OCCASION_MAX 128
static void identify(const struct findings *j, const char *subject, const char *cause, const char *level,
		     char ret_occasion[OCCASION_MAX], struct om_id *ret)
{
	snprintf(ret_occasion, OCCASION_MAX, "%s/%s", cause, level);
	alert_make_id(ALERT_DATA, j->policy.source, "", "", subject, ret_occasion, ret);
}

bool findings_is_said(const struct findings *j, const char *subject, const char *cause, const char *level)
{
	char occasion[OCCASION_MAX];
	struct om_id id;

	identify(j, subject, cause, level, occasion, &id);
	return j->policy.is_known(j->policy.known_ctx, &id);
}

int findings_emit(struct findings *j, const char *subject, const char *cause, const char *level,
		  const char *sentence, json_t *data)
{
	struct alert a = { .type = ALERT_DATA,
			   .source = j->policy.source,
			   .subject = subject,
			   .time_ns = j->policy.now_ns };
	_cleanup_free_ char *text = NULL;
	char occasion[OCCASION_MAX];

	if (!data)
		return -ENOMEM;
	snprintf(a.sentence, sizeof(a.sentence), "%s", sentence);
	identify(j, subject, cause, level, occasion, &a.id);
	json_object_set_new(data, "cause", json_string(cause));
	json_object_set_new(data, "occasion", json_string(occasion));
	json_object_set_new(data, "sentence", json_string(sentence));
	a.data = text = json_dumps(data, JSON_COMPACT);
	json_decref(data);
	return text ? j->emit(j->ctx, &a) : -ENOMEM;
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
		return findings_emit(
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

/* Totals as law sees them: with what silent nodes may have done. */
struct widened {
	struct view *view;
	const struct silence *silence;
	int (*fn)(void *ctx, const struct om_subject_total *s);
	void *ctx;
	struct findings *findings;
};

static int widen(void *ctx, const struct om_subject_total *counted)
{
	struct widened *w = ctx;
	struct om_subject_total s = *counted;

	silence_widen(w->silence, &s);
	return w->fn(w->ctx, &s);
}

static int each_total(void *ctx, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s),
		      void *fn_ctx)
{
	struct widened w = *(const struct widened *)ctx;

	w.fn = fn;
	w.ctx = fn_ctx;
	return view_each(w.view, group, widen, &w);
}

static int points(void *ctx, const struct om_subject_total *s, struct om_forecast_point **ret,
		  size_t *ret_count)
{
	return duties_points(((struct widened *)ctx)->findings, s, ret, ret_count);
}

int findings_totals(struct findings *j)
{
	_cleanup_(silence_freep) struct silence *silence = silence_new(j->nodes, j->policy.now_ns);
	struct widened wide = { .view = j->view, .silence = silence, .findings = j };
	struct policy_totals totals = { each_total, &wide, points };
	struct gathering g = { .count = 0 };
	int r = silence ? view_each(j->view, OM_GROUP_MODEL, take_model, &g) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < g.count; i++)
		r = judge_unattributed(j, &g.item[i].sum);
	r = r ?: policy_judge_all(&j->policy, &totals, j->emit, j->ctx);
	free(g.item);
	return r;
}

/* Once a day and file, however often it changes. */
int findings_files(struct findings *j)
{
	int r = 0;

	for (int i = 0; r == 0 && i < LAW_FILES; i++) {
		const struct reload *l = &j->fleet->law.file[i];
		const char *name = law_file_name((enum law_file)i);
		char subject[64], sentence[200], day[16], failures[24];

		if (!l->has_failed)
			continue;
		snprintf(subject, sizeof(subject), "file/%s", name);
		snprintf(failures, sizeof(failures), "%" PRIu64, l->failures_total);
		/* What is wrong may name an owner: that stays in the log of the machine that judges. */
		snprintf(sentence, sizeof(sentence),
			 "the file of %s that the judge reads is refused, and what it read before stays in "
			 "use: its log says why.",
			 name);
		date_format((int32_t)(j->policy.now_ns / DAY_NS), day);
		r = findings_emit(j, subject, "file-refused", day, sentence,
				  json_pack("{s:s,s:s}", "failures", failures, "what_to_do",
					    "correct the file; it is read again when it has changed"));
	}
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
			r = findings_emit(j, subject, name, day, sentence,
					  json_pack("{s:s,s:s}", "count", count, "what_to_do",
						    refusal_what_to_do((enum refusal)i)));
		}
	}
	return r;
}

/* Once for each node and day. Nothing is refused for it: each register by itself can be. */
static int say_overclaim(struct findings *j, const struct claim_told *c)
{
	char subject[64] = "/opmeter/", sentence[400], day[16], claimed[OPCOUNT_STRLEN],
	     possible[OPCOUNT_STRLEN], human[2][OPCOUNT_STRLEN];

	om_id_format(&c->ledger, subject + strlen(subject));
	date_format((int32_t)c->day, day);
	snprintf(sentence, sizeof(sentence),
		 "%s claims %s operations or more on %s over all its jobs, and its devices can do %s: they "
		 "are "
		 "counted.",
		 subject, opcount_human(c->claimed, human[0]), day, opcount_human(c->possible, human[1]));
	return findings_emit(
		j, subject, "overclaimed", day, sentence,
		json_pack("{s:s,s:s,s:s,s:s}", "day", day, "claimed", opcount_format(c->claimed, claimed),
			  "possible", opcount_format(c->possible, possible), "what_to_do",
			  "look at the node: was its agent away for days, did its clock step, or "
			  "does somebody write under its name?"));
}

int findings_overclaims(struct findings *j)
{
	int r = 0;

	for (uint32_t p = 0; r == 0 && p < j->fleet->partitions; p++) {
		const struct view_head *h = view_head(j->view, p);
		char subject[64], sentence[300], count[24];

		for (size_t i = 0; r == 0 && i < h->overclaimed_count; i++)
			r = say_overclaim(j, &h->overclaimed[i]);
		if (r || h->overclaims <= CLAIMS_NAMED)
			continue;
		snprintf(subject, sizeof(subject), "partition/%" PRIu32, p);
		snprintf(count, sizeof(count), "%" PRIu64, h->overclaims);
		snprintf(sentence, sizeof(sentence),
			 "%s nodes' days of partition %" PRIu32
			 " claim more than the nodes can do; the first %d are named.",
			 count, p, CLAIMS_NAMED);
		r = findings_emit(
			j, subject, "overclaimed", "many", sentence,
			json_pack("{s:s,s:s}", "count", count, "what_to_do",
				  "find out who writes readings: give each node a certificate and a "
				  "prefixed ACL"));
	}
	return r;
}

static const struct loss {
	const char *cause, *means, *what_to_do;
} losses[] = {
	{ "regression", "readings were below what is known though later; the maximum stands",
	  "look at the nodes of these jobs: an old disk image that kept its ledger, a copied node, or "
	  "somebody "
	  "who writes under its name" },
	{ "left-out", "totals were too large for a record and are in no sum",
	  "shorten the names of tenants and models, or raise message.max.bytes; the owner's log names them" },
	{ "assignment-lost",
	  "assignments that hold are no longer on the topic, and something older stands under their keys",
	  "assign again: the owner's log names their offsets; whoever reads the topic anew goes by the "
	  "older" },
};

/* Once for each partition and day of the last of them. */
static int say_loss(struct findings *j, uint32_t partition, const struct loss *l,
		    const struct refusal_count *c)
{
	char subject[64], sentence[300], day[16], count[24];

	if (!c->count)
		return 0;
	snprintf(subject, sizeof(subject), "partition/%" PRIu32, partition);
	snprintf(count, sizeof(count), "%" PRIu64, c->count);
	date_format((int32_t)(c->last_ms / 86400000), day);
	snprintf(sentence, sizeof(sentence), "%s times in partition %" PRIu32 ", the last on %s: %s.", count,
		 partition, day, l->means);
	return findings_emit(j, subject, l->cause, day, sentence,
			     json_pack("{s:s,s:s,s:i}", "count", count, "what_to_do", l->what_to_do,
				       "partition", (int)partition));
}

/* An instance counts over all its partitions: the first of them says it. */
static bool is_first_of_instance(const struct findings *j, uint32_t partition)
{
	uint64_t instance = view_head(j->view, partition)->epoch.instance;

	for (uint32_t p = 0; p < partition; p++)
		if (view_head(j->view, p)->epoch.instance == instance)
			return false;
	return true;
}

/* Once for each instance and day. */
static int say_refused(struct findings *j, uint32_t partition)
{
	const struct view_head *h = view_head(j->view, partition);
	const struct refusal_count *c = &h->refused_by_broker;
	char subject[64], sentence[300], day[16], count[24];

	if (!c->count || !is_first_of_instance(j, partition))
		return 0;
	snprintf(subject, sizeof(subject), "instance/%016" PRIx64, h->epoch.instance);
	snprintf(count, sizeof(count), "%" PRIu64, c->count);
	date_format((int32_t)(c->last_ms / 86400000), day);
	snprintf(sentence, sizeof(sentence),
		 "The broker's ACLs refused something %s times to the instance that keeps partition %" PRIu32
		 ", the last on %s.",
		 count, partition, day);
	return findings_emit(
		j, subject, "refused-by-broker", day, sentence,
		json_pack("{s:s,s:s,s:i}", "count", count, "what_to_do",
			  "give the fleet's user the rights that docs/fleet.md lists: what it may "
			  "not read is in no total",
			  "partition", (int)partition));
}

int findings_losses(struct findings *j)
{
	int r = 0;

	for (uint32_t p = 0; r == 0 && p < j->fleet->partitions; p++) {
		const struct view_head *h = view_head(j->view, p);

		r = say_loss(j, p, &losses[0], &h->regressed);
		r = r ?: say_loss(j, p, &losses[1], &h->left_out);
		r = r ?: say_loss(j, p, &losses[2], &h->lost_words);
		r = r ?: say_refused(j, p);
	}
	return r;
}
