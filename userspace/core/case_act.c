// SPDX-License-Identifier: Apache-2.0
/* What an act is, and when it may be done. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "assignment.h"
#include "case_internal.h"

#define ON(s) (1u << OM_CASE_##s)
#define ANY (ON(ERASED) - 1)
#define AT_WORK                                                                                              \
	(ON(DETECTED) | ON(TRIAGE) | ON(INQUIRY_SENT) | ON(UNDER_REVIEW) | ON(SECOND_REVIEW) | ON(REOPENED))

static const char *const state_names[] = {
	[OM_CASE_DETECTED] = "detected",
	[OM_CASE_TRIAGE] = "triage",
	[OM_CASE_INQUIRY_SENT] = "inquiry_sent",
	[OM_CASE_UNDER_REVIEW] = "under_review",
	[OM_CASE_SECOND_REVIEW] = "second_review",
	[OM_CASE_CLOSED] = "closed",
	[OM_CASE_ESCALATED] = "escalated",
	[OM_CASE_REOPENED] = "reopened",
	[OM_CASE_ERASED] = "erased",
};

static const struct case_kind_info kinds[CASE_KIND_END] = {
	[CASE_TAKE] = { "take", { "finding" }, ANY, OM_ENTRY_CASE },
	[CASE_EVIDENCE] = { "evidence", { "what", "name", "sha256" }, ANY, OM_ENTRY_CASE },
	[CASE_FACT] = { "fact", { "name", "value", "source" }, ANY, OM_ENTRY_ACT },
	[CASE_ASSIGN] = { "assign", { "sre" }, ANY, OM_ENTRY_ACT },
	[CASE_NOTE] = { "note", { "text" }, ANY, OM_ENTRY_ACT },
	[CASE_CHECKLIST] = { "checklist", { NULL }, AT_WORK, OM_ENTRY_ACT },
	[CASE_INQUIRY] = { "inquiry", { "question", "to" }, AT_WORK & ~ON(SECOND_REVIEW), OM_ENTRY_ACT },
	[CASE_ANSWER] = { "answer", { "text" }, AT_WORK & ~ON(SECOND_REVIEW), OM_ENTRY_ACT },
	[CASE_EVENT] = { "event", { "kind", "date" }, ANY, OM_ENTRY_ACT },
	[CASE_HOLD] = { "hold", { "reason" }, ANY, OM_ENTRY_ACT },
	[CASE_RELEASE] = { "release", { "reason", "authorization" }, ANY, OM_ENTRY_ACT },
	[CASE_DETERMINE] = { "determine",
			     { "outcome", "rationale" },
			     ON(TRIAGE) | ON(INQUIRY_SENT) | ON(UNDER_REVIEW) | ON(REOPENED),
			     OM_ENTRY_ACT },
	[CASE_CONFIRM] = { "confirm", { "rationale" }, ON(SECOND_REVIEW), OM_ENTRY_ACT },
	[CASE_DISAGREE] = { "disagree", { "rationale" }, ON(SECOND_REVIEW), OM_ENTRY_ACT },
	[CASE_ESCALATE] = { "escalate", { "reason" }, AT_WORK, OM_ENTRY_ACT },
	[CASE_REOPEN] = { "reopen", { "reason" }, ON(CLOSED) | ON(ESCALATED), OM_ENTRY_ACT },
	[CASE_ERASE_REQUEST] = { "erase-request", { "reason" }, ON(CLOSED), OM_ENTRY_ACT },
	[CASE_ERASE] = { "erase", { "reason", "asked_by" }, ON(CLOSED), OM_ENTRY_ACT },
};

static const char *const outcomes[] = { "not_4e091",	 "published",	      "below_floor", "licence_held",
					"exception_aia", "customer_informed", "refused",     "not_flagged" };

const char *om_case_state_name(enum om_case_state s)
{
	return s < ARRAY_SIZE(state_names) ? state_names[s] : "?";
}

const struct case_kind_info *case_kind_info(enum case_kind k)
{
	return &kinds[k];
}

enum case_kind case_kind_of(const json_t *act)
{
	const char *name = json_text(act, "act");
	enum case_kind k = 0;

	while (k < CASE_KIND_END && strcmp(kinds[k].name, name))
		k++;
	return k;
}

bool om_case_id_is_valid(const char *id)
{
	return !strncmp(id, "case-", 5) && strspn(id + 5, "0123456789abcdef") == 12 && !id[17];
}

bool om_person_is_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-");

	return n && !name[n] && n < 64;
}

/* --- form --- */

static int check_texts(const json_t *act, enum case_kind k, struct error_text *err)
{
	const json_t *v;
	const char *key;

	for (size_t i = 0; i < ARRAY_SIZE(kinds[k].needs) && kinds[k].needs[i]; i++)
		if (!*json_text(act, kinds[k].needs[i]))
			return error_set(err, -EBADMSG, "act '%s' without '%s'", kinds[k].name,
					 kinds[k].needs[i]);
	json_object_foreach((json_t *)act, key, v)
	{
		if (json_is_string(v) && json_string_length(v) > OM_CASE_TEXT_MAX && strcmp(key, "data"))
			return error_set(err, -EBADMSG, "'%s' is longer than %d bytes", key,
					 OM_CASE_TEXT_MAX);
	}
	return 0;
}

static bool is_outcome(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
		if (!strcmp(s, outcomes[i]))
			return true;
	return false;
}

static int check_own(const json_t *act, enum case_kind k, struct error_text *err)
{
	const char *outcome = json_text(act, "outcome");
	int32_t day;

	if (k == CASE_TAKE &&
	    (!json_is_object(json_object_get(act, "event")) ||
	     strspn(json_text(act, "finding"), "0123456789abcdef") != 32 || json_text(act, "finding")[32]))
		return error_set(err, -EBADMSG, "act 'take' without a finding");
	if (k == CASE_CHECKLIST && !json_is_integer(json_object_get(act, "item")))
		return error_set(err, -EBADMSG, "act 'checklist' without an item");
	if (k == CASE_EVENT && date_parse(json_text(act, "date"), &day))
		return error_set(err, -EBADMSG, "'%s' is no date (YYYY-MM-DD)", json_text(act, "date"));
	if (k != CASE_DETERMINE)
		return 0;
	if (!is_outcome(outcome))
		return error_set(err, -EBADMSG,
				 "'%s' is no outcome: not_4e091, published, below_floor, licence_held, "
				 "exception_aia, customer_informed, refused or not_flagged",
				 outcome);
	if (!strcmp(outcome, "licence_held") &&
	    (!*json_text(act, "licence") || date_parse(json_text(act, "expires"), &day)))
		return error_set(err, -EBADMSG,
				 "licence_held needs the licence's number and expiry (YYYY-MM-DD)");
	if (!strcmp(outcome, "exception_aia") && !*json_text(act, "certificate"))
		return error_set(err, -EBADMSG, "exception_aia needs the certificate");
	if (*json_text(act, "next_review") && date_parse(json_text(act, "next_review"), &day))
		return error_set(err, -EBADMSG, "'%s' is no date (YYYY-MM-DD)",
				 json_text(act, "next_review"));
	return 0;
}

int om_case_act_form(const json_t *act, struct error_text *err)
{
	enum case_kind k = case_kind_of(act);
	uint64_t at;
	int r;

	if (!json_is_object(act) || !json_is_integer(json_object_get(act, "v")))
		return error_set(err, -EBADMSG, "not an act");
	if (json_integer_value(json_object_get(act, "v")) != 1)
		return error_set(err, -EPROTONOSUPPORT, "an act of a later version");
	if (k == CASE_KIND_END || !om_case_id_is_valid(json_text(act, "case")) ||
	    !json_is_integer(json_object_get(act, "n")) ||
	    json_integer_value(json_object_get(act, "n")) < 0 || om_time_parse(json_text(act, "at"), &at))
		return error_set(err, -EBADMSG, "not an act of a case");
	if (!om_person_is_valid(json_text(act, "by")))
		return error_set(err, -EBADMSG,
				 "'%s' is no person's name: letters, digits and . _ @ -, at most 63",
				 json_text(act, "by"));
	r = check_texts(act, k, err);
	return r ?: check_own(act, k, err);
}

/* --- rules --- */

static bool same_person(const char *a, const char *b)
{
	return !strcasecmp(a, b);
}

/* Names that are parted by commas; older acts have blanks around them. */
static bool is_among(const char *list, const char *name)
{
	for (const char *s = list; *s;) {
		size_t n, end = strcspn(s, ",");
		const char *first = s + strspn(s, " \t\r\n");

		n = first < s + end ? (size_t)(s + end - first) : 0;
		while (n && strchr(" \t\r\n", first[n - 1]))
			n--;
		if (n == strlen(name) && !strncasecmp(first, name, n))
			return true;
		s += end + (s[end] == ',');
	}
	return false;
}

static bool was_sre(const struct om_case *c, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(c->sres, i, v) if (is_among(json_string_value(v), name)) return true;
	return false;
}

static int check_second(const struct om_case *c, const json_t *act, struct error_text *err)
{
	const json_t *d = json_object_get(c->record, "determination");
	const char *sre = json_text(json_object_get(c->record, "account"), "sre");
	const char *by = json_text(act, "by");

	if (same_person(by, json_text(d, "by")))
		return error_set(err, -EPERM, "%s: %s determined it; a second person confirms", c->id, by);
	if (!*sre)
		return error_set(err, -EINVAL,
				 "%s: say first who runs the account's machines (case assign --sre): they "
				 "cannot confirm",
				 c->id);
	if (was_sre(c, by))
		return error_set(err, -EPERM,
				 "%s: %s runs the account's machines, or did when named, and cannot confirm",
				 c->id, by);
	return 0;
}

static bool has_open(const struct om_case *c, const char *list, const char *key)
{
	const json_t *v, *done;
	size_t i;

	json_array_foreach(json_object_get(c->record, list), i, v)
	{
		done = json_object_get(v, key);
		if (!done || json_is_null(done) || json_is_false(done))
			return true;
	}
	return false;
}

static int check_determine(const struct om_case *c, const json_t *act, struct error_text *err)
{
	if (*json_text(act, "open_items"))
		return 0;
	if (has_open(c, "checklist", "done"))
		return error_set(err, -EINVAL,
				 "%s: the checklist has open items: do them, or say why with --open-items",
				 c->id);
	if (has_open(c, "inquiries", "answer"))
		return error_set(err, -EINVAL,
				 "%s: an inquiry is not answered: record the answer, or say why with "
				 "--open-items",
				 c->id);
	return 0;
}

static int check_erase(const struct om_case *c, const json_t *act, enum case_kind k, struct error_text *err)
{
	const json_t *asked = json_object_get(c->record, "erasure_request");

	if (c->is_held)
		return error_set(err, -EINVAL, "%s is on hold: nothing of it is destroyed", c->id);
	if (k == CASE_ERASE_REQUEST)
		return 0;
	if (!asked)
		return error_set(err, -EINVAL, "%s: one person asks for the erasure, another does it", c->id);
	if (same_person(json_text(asked, "by"), json_text(act, "by")))
		return error_set(err, -EPERM, "%s: %s asked for the erasure; a second person does it", c->id,
				 json_text(act, "by"));
	return 0;
}

static int check_checklist(const struct om_case *c, const json_t *act, struct error_text *err)
{
	json_int_t item = json_integer_value(json_object_get(act, "item"));
	size_t n = json_array_size(json_object_get(c->record, "checklist"));

	if (item < 1 || (size_t)item > n)
		return error_set(err, -EINVAL, "%s: the checklist has items 1 to %zu", c->id, n);
	return 0;
}

int om_case_check(const struct om_case *c, const json_t *act, struct error_text *err)
{
	enum case_kind k = case_kind_of(act);
	int r = om_case_act_form(act, err);

	if (r)
		return r;
	if (strcmp(json_text(act, "case"), c->id) ||
	    (uint64_t)json_integer_value(json_object_get(act, "n")) != c->acts)
		return error_set(err, -EINVAL, "%s: not its next act", c->id);
	if ((k == CASE_TAKE) != (c->acts == 0) &&
	    (k != CASE_TAKE || strcmp(json_text(act, "finding"), c->finding)))
		return error_set(err, -EINVAL, "%s: a case begins with its finding, and has one", c->id);
	if (!(kinds[k].states >> c->state & 1))
		return error_set(err, -EINVAL, "%s is %s: '%s' cannot be done now", c->id,
				 om_case_state_name(c->state), kinds[k].name);
	switch (k) {
	case CASE_CHECKLIST:
		return check_checklist(c, act, err);
	case CASE_ANSWER:
		return has_open(c, "inquiries", "answer")
			       ? 0
			       : error_set(err, -EINVAL, "%s: no inquiry waits for an answer", c->id);
	case CASE_RELEASE:
		return c->is_held ? 0 : error_set(err, -EINVAL, "%s is not on hold", c->id);
	case CASE_DETERMINE:
		return check_determine(c, act, err);
	case CASE_CONFIRM:
	case CASE_DISAGREE:
		return check_second(c, act, err);
	case CASE_ERASE_REQUEST:
	case CASE_ERASE:
		return check_erase(c, act, k, err);
	default:
		return 0;
	}
}
