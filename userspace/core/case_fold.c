// SPDX-License-Identifier: Apache-2.0
/* The record of a case: what its acts come to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "assignment.h"
#include "case_internal.h"

struct om_case *om_case_new(const char *id)
{
	struct om_case *c = om_case_id_is_valid(id) ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	strcpy(c->id, id);
	c->record = json_pack("{s:i,s:s,s:[],s:[],s:[],s:[],s:[],s:[],s:[],s:[],s:{},s:{},s:[],s:[]}",
			      "schema_version", 2, "case_id", id, "findings", "state_history", "checklist",
			      "notes", "inquiries", "events", "evidence", "determinations", "facts", "latest",
			      "irregular", "destroyed");
	c->sres = json_array();
	return c->record && c->sres ? c : om_case_free(c);
}

struct om_case *om_case_free(struct om_case *c)
{
	if (!c)
		return NULL;
	json_decref(c->record);
	json_decref(c->sres);
	free(c->cause);
	free(c);
	return NULL;
}

const char *om_case_id(const struct om_case *c)
{
	return c->id;
}

enum om_case_state om_case_state(const struct om_case *c)
{
	return c->state;
}

const char *om_case_finding(const struct om_case *c)
{
	return c->finding;
}

uint64_t om_case_acts(const struct om_case *c)
{
	return c->acts;
}

static json_t *list(struct om_case *c, const char *name)
{
	return json_object_get(c->record, name);
}

static void put(json_t *o, const char *key, const json_t *from, const char *from_key)
{
	json_t *v = json_object_get(from, from_key);

	json_object_set_new(o, key, v ? json_deep_copy(v) : json_null());
}

/* Who, when and where in the log: stands on everything an act brought. */
static json_t *stamp(const json_t *act, uint64_t entry)
{
	json_t *o = json_object();

	put(o, "by", act, "by");
	put(o, "at", act, "at");
	json_object_set_new(o, "entry", json_integer((json_int_t)entry));
	return o;
}

static void move_to(struct om_case *c, enum om_case_state to, const json_t *act, uint64_t entry)
{
	json_t *h = stamp(act, entry);

	json_object_set_new(h, "from", c->acts ? json_string(om_case_state_name(c->state)) : json_null());
	json_object_set_new(h, "to", json_string(om_case_state_name(to)));
	put(h, "act", act, "act");
	/* Why it was handed on or opened again: the record keeps the last such act alone. */
	if (case_kind_of(act) == CASE_ESCALATE || case_kind_of(act) == CASE_REOPEN) {
		put(h, "reason", act, "reason");
		put(h, "handed_to", act, "to");
	}
	json_array_append_new(list(c, "state_history"), h);
	c->state = to;
}

/* The first act of a person takes a case up. */
static void take_up(struct om_case *c, const json_t *act, uint64_t entry)
{
	if (c->state == OM_CASE_DETECTED)
		move_to(c, OM_CASE_TRIAGE, act, entry);
}

/* What version 2 of the record has of the finding and version 1 had not; absent where the event has it not.
 */
static const char *const since_2[] = { "cause",	      "verdict",	 "hold", "periods", "notices",
				       "owner_until", "owner_until_told" };

static void apply_first(struct om_case *c, const json_t *act, const json_t *event)
{
	static const char *const policy[] = { "regime", "version", "digest", "mode", "citation", "evidence" };
	static const char *const own[] = { "tenant", "model", "lineage",   "ownership", "ownership_version",
					   "seat",   "path",  "screening", "demo",	"family" };
	const json_t *data = json_object_get(event, "data"), *v;
	json_t *p = json_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(since_2); i++)
		if (json_object_get(data, since_2[i]))
			put(c->record, since_2[i], data, since_2[i]);
	strcpy(c->finding, json_text(act, "finding"));
	c->cause = strdup(json_text(data, "cause"));
	for (i = 0; i < ARRAY_SIZE(policy); i++)
		put(p, policy[i], data, policy[i]);
	json_object_set_new(c->record, "policy", p);
	for (i = 0; i < ARRAY_SIZE(own); i++)
		put(c->record, own[i], data, own[i]);
	put(c->record, "opened_at", act, "at");
	put(c->record, "opened_by_rule", data, "regime");
	json_array_foreach(json_object_get(data, "checklist"), i, v) json_array_append_new(
		list(c, "checklist"),
		json_pack("{s:i,s:s,s:b}", "item", (int)i + 1, "duty", json_text(v, "duty"), "done", 0));
}

static void apply_take(struct om_case *c, const json_t *act, uint64_t entry)
{
	const json_t *event = json_object_get(act, "event");
	json_t *f = stamp(act, entry), *operations = json_object();
	const json_t *data = json_object_get(event, "data");

	if (c->acts == 0) {
		apply_first(c, act, event);
		move_to(c, OM_CASE_DETECTED, act, entry);
	}
	put(f, "id", event, "id");
	put(f, "source", event, "source");
	put(f, "time", event, "time");
	put(f, "case", data, "case");
	put(f, "sentence", data, "sentence");
	json_array_append_new(list(c, "findings"), f);
	put(operations, "training", data, "observed");
	put(operations, "attempted", data, "attempted");
	put(operations, "coverage", data, "coverage");
	put(operations, "as_of", event, "time");
	json_object_set_new(c->record, "operations", operations);
}

static void apply_evidence(struct om_case *c, const json_t *act, uint64_t entry)
{
	static const char *const keys[] = { "what", "name", "media_type", "sha256", "source" };
	json_t *e = stamp(act, entry);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		put(e, keys[i], act, keys[i]);
	json_array_append_new(list(c, "evidence"), e);
}

static void apply_checklist(struct om_case *c, const json_t *act, uint64_t entry)
{
	json_t *item = json_array_get(list(c, "checklist"),
				      (size_t)json_integer_value(json_object_get(act, "item")) - 1);

	json_object_set_new(item, "done", json_boolean(!json_is_false(json_object_get(act, "done"))));
	json_object_set_new(item, "last", stamp(act, entry));
	put(item, "text", act, "text");
	take_up(c, act, entry);
}

static void apply_inquiry(struct om_case *c, const json_t *act, uint64_t entry)
{
	json_t *q = stamp(act, entry);

	put(q, "question", act, "question");
	put(q, "to", act, "to");
	put(q, "sent_at", act, "sent_at");
	json_object_set_new(q, "answer", json_null());
	json_array_append_new(list(c, "inquiries"), q);
	if (c->state != OM_CASE_INQUIRY_SENT)
		move_to(c, OM_CASE_INQUIRY_SENT, act, entry);
}

/* Answers the oldest that waits. */
static void apply_answer(struct om_case *c, const json_t *act, uint64_t entry)
{
	json_t *q, *a = stamp(act, entry);
	bool is_waiting = false;
	size_t i;

	put(a, "text", act, "text");
	put(a, "answered_at", act, "answered_at");
	put(a, "sha256", act, "sha256");
	json_array_foreach(list(c, "inquiries"), i, q)
	{
		if (!json_is_null(json_object_get(q, "answer")))
			continue;
		if (a)
			json_object_set_new(q, "answer", TAKE_PTR(a));
		else
			is_waiting = true;
	}
	json_decref(a);
	if (!is_waiting && c->state == OM_CASE_INQUIRY_SENT)
		move_to(c, OM_CASE_UNDER_REVIEW, act, entry);
}

static void apply_determine(struct om_case *c, const json_t *act, uint64_t entry)
{
	static const char *const keys[] = { "outcome",	   "rationale",	 "licence",	"expires",
					    "certificate", "open_items", "next_review", "uid" };
	json_t *d = stamp(act, entry);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		put(d, keys[i], act, keys[i]);
	json_object_set_new(c->record, "determination", d);
	move_to(c, OM_CASE_SECOND_REVIEW, act, entry);
}

/* confirm and disagree: either ends the second review. */
static void apply_second(struct om_case *c, const json_t *act, uint64_t entry, bool agrees)
{
	json_t *d = json_object_get(c->record, "determination"), *second = stamp(act, entry);
	bool is_one_login = json_equal(json_object_get(d, "uid"), json_object_get(act, "uid"));

	put(second, "rationale", act, "rationale");
	put(second, "uid", act, "uid");
	json_object_set_new(second, "agrees", json_boolean(agrees));
	json_object_set_new(d, "second", second);
	/* The names are claims; the logins are what the machine saw. */
	json_object_set_new(d, "four_eyes",
			    json_string(is_one_login ? "two names, one login of the machine"
						     : "two names, two logins of the machine"));
	json_array_append(list(c, "determinations"), d);
	if (agrees)
		put(c->record, "outcome", d, "outcome");
	move_to(c, agrees ? OM_CASE_CLOSED : OM_CASE_UNDER_REVIEW, act, entry);
	if (!agrees)
		json_object_del(c->record, "determination");
}

static void apply_hold(struct om_case *c, const json_t *act, uint64_t entry, bool is_held)
{
	json_t *h = stamp(act, entry);

	c->is_held = is_held;
	put(h, "reason", act, "reason");
	put(h, "authority", act, "authority");
	put(h, "authorization", act, "authorization");
	json_object_set_new(c->record, is_held ? "legal_hold" : "hold_released", h);
	if (!is_held)
		json_object_set_new(c->record, "legal_hold", json_null());
}

static void apply_note(struct om_case *c, const json_t *act, uint64_t entry, const char *list_name,
		       const char *key)
{
	json_t *n = stamp(act, entry);

	put(n, key, act, key);
	put(n, "date", act, "date");
	put(n, "text", act, "text");
	json_array_append_new(list(c, list_name), n);
}

static void apply_fact(struct om_case *c, const json_t *act, uint64_t entry)
{
	json_t *f = stamp(act, entry);

	put(f, "value", act, "value");
	put(f, "source", act, "source");
	json_object_set_new(json_object_get(c->record, "facts"), json_text(act, "name"), f);
}

static void apply_account(struct om_case *c, const json_t *act, uint64_t entry)
{
	json_t *a = stamp(act, entry);

	put(a, "sre", act, "sre");
	json_object_set_new(c->record, "account", a);
	/* Whoever is named once stays barred: naming others later frees nobody. */
	json_array_append(c->sres, json_object_get(act, "sre"));
}

static void apply_end(struct om_case *c, const json_t *act, uint64_t entry, enum case_kind k)
{
	json_t *o = stamp(act, entry);

	put(o, "reason", act, "reason");
	if (k == CASE_ERASE_REQUEST) {
		json_object_set_new(c->record, "erasure_request", o);
		return;
	}
	put(o, "asked_by", act, "asked_by");
	put(o, "to", act, "to");
	json_object_set_new(c->record, case_kind_info(k)->name, o);
	if (k == CASE_REOPEN) {
		json_object_del(c->record, "determination");
		json_object_del(c->record, "outcome");
		json_object_del(c->record, "erasure_request");
	}
	move_to(c,
		k == CASE_ESCALATE ? OM_CASE_ESCALATED
		: k == CASE_REOPEN ? OM_CASE_REOPENED
				   : OM_CASE_ERASED,
		act, entry);
}

static void apply_kind(struct om_case *c, const json_t *act, uint64_t entry, enum case_kind k)
{
	switch (k) {
	case CASE_TAKE:
		return apply_take(c, act, entry);
	case CASE_EVIDENCE:
		return apply_evidence(c, act, entry);
	case CASE_FACT:
		return apply_fact(c, act, entry);
	case CASE_ASSIGN:
		return apply_account(c, act, entry);
	case CASE_NOTE:
		apply_note(c, act, entry, "notes", "text");
		return take_up(c, act, entry);
	case CASE_CHECKLIST:
		return apply_checklist(c, act, entry);
	case CASE_INQUIRY:
		return apply_inquiry(c, act, entry);
	case CASE_ANSWER:
		return apply_answer(c, act, entry);
	case CASE_EVENT:
		return apply_note(c, act, entry, "events", "kind");
	case CASE_HOLD:
	case CASE_RELEASE:
		return apply_hold(c, act, entry, k == CASE_HOLD);
	case CASE_DETERMINE:
		return apply_determine(c, act, entry);
	case CASE_CONFIRM:
	case CASE_DISAGREE:
		return apply_second(c, act, entry, k == CASE_CONFIRM);
	default:
		return apply_end(c, act, entry, k);
	}
}

/* The latest date of each kind of event, for the clocks: of acts, the word "act". */
static void note_date(struct om_case *c, const json_t *act, enum case_kind k)
{
	json_t *latest = json_object_get(c->record, "latest");
	const char *word = k == CASE_EVENT ? json_text(act, "kind") : k == CASE_CONFIRM ? "closed" : NULL;
	char day[16];

	/* What is filed moves no clock, nor does asking for the end. */
	if (k == CASE_EVIDENCE || k == CASE_ERASE_REQUEST || k == CASE_ERASE)
		return;
	snprintf(day, 11, "%s", json_text(act, "at"));
	if (strcmp(json_text(latest, "act"), day) < 0)
		json_object_set_new(latest, "act", json_string(day));
	if (!word)
		return;
	if (k == CASE_EVENT)
		snprintf(day, 11, "%s", json_text(act, "date"));
	if (strcmp(json_text(latest, word), day) < 0)
		json_object_set_new(latest, word, json_string(day));
}

int om_case_apply(struct om_case *c, uint64_t entry, const json_t *act)
{
	struct error_text err = { 0 };
	int r = om_case_act_form(act, &err);

	if (r)
		return r;
	if (case_kind_of(act) == CASE_ERASE && c->acts == 0) {
		/* It destroyed what came before: nothing is left that could speak against it. */
		apply_end(c, act, entry, CASE_ERASE);
		snprintf(c->finding, sizeof(c->finding), "%s", json_text(act, "finding"));
		c->acts = (uint64_t)json_integer_value(json_object_get(act, "n")) + 1;
		return 0;
	}
	if (om_case_check(c, act, &err)) {
		json_t *o = stamp(act, entry);

		put(o, "act", act, "act");
		json_object_set_new(o, "why", json_string(err.text));
		return json_array_append_new(list(c, "irregular"), o) ? -ENOMEM : 0;
	}
	apply_kind(c, act, entry, case_kind_of(act));
	note_date(c, act, case_kind_of(act));
	c->acts++;
	return 0;
}

int om_case_lost(struct om_case *c, uint64_t entry, uint64_t by_act)
{
	return json_array_append_new(list(c, "destroyed"), json_pack("{s:I,s:I}", "entry", (json_int_t)entry,
								     "by_act", (json_int_t)by_act))
		       ? -ENOMEM
		       : 0;
}

static json_t *retention_json(const struct om_case *c, const struct om_retention *r)
{
	struct om_retained k;
	char day[16];

	om_case_retained(c, r, &k);
	return json_pack("{s:s?,s:b,s:b,s:s?,s:s?,s:s}", "until", k.is_known ? date_format(k.day, day) : NULL,
			 "held", k.is_held, "open", k.is_open, "clock", k.clock, "from", k.event, "clocks",
			 om_retention_digest(r));
}

json_t *om_case_record(const struct om_case *c, const struct om_retention *r)
{
	json_t *o = json_deep_copy(c->record);

	if (!o)
		return NULL;
	json_object_set_new(o, "state", json_string(om_case_state_name(c->state)));
	json_object_set_new(o, "acts", json_integer((json_int_t)c->acts));
	json_object_set_new(o, "confidentiality", json_string("restricted"));
	if (r)
		json_object_set_new(o, "retention", retention_json(c, r));
	return o;
}

/* Later versions only add to it. */
json_t *case_record_1(const struct om_case *c)
{
	json_t *o = om_case_record(c, NULL), *v;
	size_t i;

	if (!o)
		return NULL;
	json_object_set_new(o, "schema_version", json_integer(1));
	for (i = 0; i < ARRAY_SIZE(since_2); i++)
		json_object_del(o, since_2[i]);
	json_array_foreach(json_object_get(o, "state_history"), i, v)
	{
		json_object_del(v, "reason");
		json_object_del(v, "handed_to");
	}
	return o;
}
