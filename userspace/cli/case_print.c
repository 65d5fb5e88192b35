// SPDX-License-Identifier: Apache-2.0
/* A case's record as a reviewer reads it on a terminal: the finding first, then what was done, asked and
 * determined. What people and tenants typed is escaped. */
#include <stdio.h>
#include <string.h>

#include "../base/opcount.h"
#include "../base/text.h"
#include "case_verbs.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static bool has(const json_t *o, const char *key)
{
	return *text_of(o, key) && strcmp(text_of(o, key), "-");
}

static const char *safe(const char *s, char out[4096])
{
	return text_escape(s, out, 4096);
}

/* A label and its text; nothing where nothing was recorded. */
static void row(const char *indent, const char *label, const json_t *o, const char *key)
{
	char text[4096];

	if (has(o, key))
		printf("%s%-13s %s\n", indent, label, safe(text_of(o, key), text));
}

/* To the minute, UTC: the record has it whole. A date stays one. */
static const char *minute(const json_t *o, const char *key, char out[32])
{
	const char *s = text_of(o, key);

	snprintf(out, 32, "%.10s%s%.5s%s", s, s[0] && strlen(s) > 16 ? " " : "", strlen(s) > 16 ? s + 11 : "",
		 strlen(s) > 16 ? "Z" : "");
	return out;
}

/* "(alice, 2026-11-23 18:00Z) [entry 4]": who says so, when, and where that stands in the log. */
static void stamp(const json_t *o)
{
	char by[4096], time[32];

	printf("(%s, %s) [entry %lld]\n", safe(text_of(o, "by"), by), minute(o, "at", time),
	       (long long)json_integer_value(json_object_get(o, "entry")));
}

/* "5.40e+25 to 6.00e+25 operations (exact: LOW to HIGH)". */
static void print_range(const json_t *t)
{
	const char *low = text_of(t, "low"), *high = text_of(t, "high");
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN];
	opcount l, h;

	if (opcount_parse(low, &l) || opcount_parse(high, &h))
		printf("%s to %s operations", low, high);
	else if (l == h)
		printf("%s operations (exact: %s)", opcount_human(l, a), low);
	else
		printf("%s to %s operations (exact: %s to %s)", opcount_human(l, a), opcount_human(h, b), low,
		       high);
}

static void print_owner(const json_t *r)
{
	const json_t *v, *path = json_object_get(r, "path"), *s = json_object_get(r, "screening");
	char a[4096];
	size_t i;

	if (has(r, "ownership"))
		printf("owner         %s", safe(text_of(r, "ownership"), a));
	if (has(r, "seat"))
		printf("; headquarters: %s", safe(text_of(r, "seat"), a));
	printf("%s", has(r, "ownership") ? "\n" : "");
	json_array_foreach(path, i, v)
	{
		printf("  %zu. %s", i + 1, safe(text_of(v, "name"), a));
		printf(" (%s), as of %s: ", text_of(v, "headquarters"), text_of(v, "as_of"));
		printf("%s\n", safe(text_of(v, "source"), a));
	}
	row("  ", "until", r, "owner_until");
	if (!json_is_object(s))
		return;
	printf("lists         %s: %s", text_of(s, "standing"), safe(text_of(s, "verdict"), a));
	printf("%s%s; listed parties hold %s in cascade, %s looked through, %s at most\n",
	       has(s, "why") ? "; " : "", has(s, "why") ? text_of(s, "why") : "", text_of(s, "cascade"),
	       text_of(s, "through"), text_of(s, "possible"));
}

static void print_periods(const json_t *r)
{
	const json_t *list = json_object_get(r, "periods"), *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		const json_t *t = json_object_get(v, "training");

		printf("%s %s to %s: ", i ? "             " : "periods      ", text_of(v, "from"),
		       has(v, "to") ? text_of(v, "to") : "now");
		print_range(t);
		printf("%s, owner version %.12s\n",
		       json_is_false(json_object_get(v, "told")) ? ", wider than what was counted" : "",
		       text_of(v, "ownership_version"));
	}
}

static void print_notices(const json_t *r)
{
	const json_t *list = json_object_get(r, "notices"), *v;
	char a[4096], b[4096];
	size_t i;

	if (json_array_size(list))
		printf("\nnotices that the law asks for\n");
	json_array_foreach(list, i, v)
	{
		printf("  %s%s%s: ", safe(text_of(v, "what"), a), has(v, "who") ? ", by the " : "",
		       has(v, "who") ? safe(text_of(v, "who"), b) : "");
		if (has(v, "due"))
			printf("due %s", text_of(v, "due"));
		else if (has(v, "not_later_than"))
			printf("due on a day that is not known, not later than %s",
			       text_of(v, "not_later_than"));
		else
			printf("no date%s",
			       json_is_true(json_object_get(v, "when_known"))
				       ? ": its clock runs as soon as it is known that the level will be met"
				       : "");
		printf(" [%s]\n", safe(text_of(v, "citation"), a));
	}
}

static void print_head(const json_t *r)
{
	const json_t *p = json_object_get(r, "policy"), *o = json_object_get(r, "operations"),
		     *t = json_object_get(o, "training"), *h = json_object_get(r, "legal_hold");
	char a[4096], b[4096], time[32];

	printf("%s  %s%s%s\n", text_of(r, "case_id"), text_of(r, "state"), has(r, "outcome") ? ": " : "",
	       has(r, "outcome") ? text_of(r, "outcome") : "");
	printf("finding       %s, opened %s\n",
	       has(r, "cause") ? safe(text_of(r, "cause"), a) : "no cause told",
	       minute(r, "opened_at", time));
	printf("policy        %s version %s, mode %s: %s\n", text_of(p, "regime"), text_of(p, "version"),
	       text_of(p, "mode"), safe(text_of(p, "citation"), a));
	row("", "verdict", r, "verdict");
	printf("tenant        %s%s%s\n", safe(text_of(r, "tenant"), a), has(r, "model") ? ", model " : "",
	       has(r, "model") ? safe(text_of(r, "model"), b) : "");
	row("", "lineage", r, "lineage");
	row("", "family", r, "family");
	if (json_is_object(t)) {
		printf("training      ");
		print_range(t);
		printf(" observed here%s; %s; as of %s\n",
		       json_is_true(json_object_get(o, "attempted")) ? " (attempted: no device meter)" : "",
		       safe(text_of(o, "coverage"), a), minute(o, "as_of", time));
	}
	print_owner(r);
	print_periods(r);
	if (json_is_true(json_object_get(r, "hold")))
		printf("WORK WAITS    whose it is, is not known: neither cleared nor condemned until it "
		       "is\n");
	if (json_is_object(h)) {
		printf("LEGAL HOLD    %s%s%s ", safe(text_of(h, "reason"), a),
		       has(h, "authority") ? ", asked for by " : "",
		       has(h, "authority") ? safe(text_of(h, "authority"), b) : "");
		stamp(h);
	}
	if (has(json_object_get(r, "account"), "sre"))
		printf("machines      run by %s; they cannot confirm\n",
		       safe(text_of(json_object_get(r, "account"), "sre"), a));
	print_notices(r);
}

static void print_checklist(const json_t *r)
{
	const json_t *list = json_object_get(r, "checklist"), *v;
	char text[4096];
	size_t i;

	if (json_array_size(list))
		printf("\nchecklist\n");
	json_array_foreach(list, i, v)
	{
		printf("  [%s] %zu. %s\n", json_is_true(json_object_get(v, "done")) ? "x" : " ", i + 1,
		       safe(text_of(v, "duty"), text));
		if (!json_object_get(v, "last"))
			continue;
		printf("         %s%s", has(v, "text") ? safe(text_of(v, "text"), text) : "",
		       has(v, "text") ? " " : "");
		stamp(json_object_get(v, "last"));
	}
}

static void print_inquiries(const json_t *r)
{
	const json_t *list = json_object_get(r, "inquiries"), *v;
	char text[4096];
	size_t i;

	if (json_array_size(list))
		printf("\nquestions\n");
	json_array_foreach(list, i, v)
	{
		const json_t *a = json_object_get(v, "answer");

		printf("  %zu. to %s%s%s ", i + 1, safe(text_of(v, "to"), text),
		       has(v, "sent_at") ? ", sent " : "", has(v, "sent_at") ? text_of(v, "sent_at") : "");
		stamp(v);
		row("     ", "asked", v, "question");
		if (!json_is_object(a)) {
			printf("     NOT ANSWERED YET\n");
			continue;
		}
		row("     ", "answered", a, "text");
		row("     ", "on", a, "answered_at");
		row("     ", "file, sha256", a, "sha256");
		printf("     %-13s ", "recorded");
		stamp(a);
	}
}

static void print_facts(const json_t *r)
{
	json_t *facts = json_object_get(r, "facts"), *v;
	char a[4096], b[4096];
	const char *name;

	if (json_object_size(facts))
		printf("\nfacts that people recorded\n");
	json_object_foreach(facts, name, v)
	{
		printf("  %s: %s\n", safe(name, a), safe(text_of(v, "value"), b));
		printf("    source: %s ", safe(text_of(v, "source"), a));
		stamp(v);
	}
}

static void print_list(const json_t *r, const char *name, const char *title, const char *const *keys)
{
	const json_t *list = json_object_get(r, name), *v;
	char text[4096];
	size_t i;

	if (json_array_size(list))
		printf("\n%s\n", title);
	json_array_foreach(list, i, v)
	{
		printf("  ");
		for (const char *const *k = keys; *k; k++)
			if (has(v, *k))
				printf("%s ", safe(text_of(v, *k), text));
		stamp(v);
	}
}

static void print_determination(const json_t *d, size_t number)
{
	const json_t *second = json_object_get(d, "second");
	char text[4096];

	printf("  %zu. %s ", number, safe(text_of(d, "outcome"), text));
	stamp(d);
	row("     ", "because", d, "rationale");
	row("     ", "licence", d, "licence");
	row("     ", "expires", d, "expires");
	row("     ", "certificate", d, "certificate");
	row("     ", "left open", d, "open_items");
	row("     ", "review by", d, "next_review");
	if (!second) {
		printf("     WAITS FOR A SECOND PERSON\n");
		return;
	}
	printf("     %-13s ",
	       json_is_true(json_object_get(second, "agrees")) ? "confirmed" : "NOT confirmed");
	stamp(second);
	row("     ", "because", second, "rationale");
	row("     ", "four eyes", d, "four_eyes");
}

/* All that were made, those that a reopening set aside too; last the one that waits. */
static void print_determinations(const json_t *r)
{
	const json_t *list = json_object_get(r, "determinations"), *d = json_object_get(r, "determination"),
		     *v;
	size_t i;

	if (json_array_size(list) || d)
		printf("\ndeterminations\n");
	json_array_foreach(list, i, v) print_determination(v, i + 1);
	if (d && !json_object_get(d, "second"))
		print_determination(d, json_array_size(list) + 1);
}

static void print_history(const json_t *r)
{
	const json_t *list = json_object_get(r, "state_history"), *v;
	char a[4096];
	size_t i;

	printf("\nhistory\n");
	json_array_foreach(list, i, v)
	{
		printf("  %s%s%s ", has(v, "from") ? text_of(v, "from") : "", has(v, "from") ? " -> " : "",
		       text_of(v, "to"));
		if (has(v, "handed_to"))
			printf("to %s ", safe(text_of(v, "handed_to"), a));
		if (has(v, "reason"))
			printf("because: %s ", safe(text_of(v, "reason"), a));
		stamp(v);
	}
}

static void print_end(const json_t *r)
{
	const json_t *k = json_object_get(r, "retention"), *asked = json_object_get(r, "erasure_request"),
		     *released = json_object_get(r, "hold_released");
	char a[4096], b[4096];

	if (released) {
		printf("\nhold released: %s, by the authorization %s ", safe(text_of(released, "reason"), a),
		       safe(text_of(released, "authorization"), b));
		stamp(released);
	}
	if (asked) {
		printf("\nerasure asked for: %s ", safe(text_of(asked, "reason"), a));
		stamp(asked);
	}
	printf("\nevidence      %zu pieces\n", json_array_size(json_object_get(r, "evidence")));
	if (json_is_true(json_object_get(k, "held")))
		printf("kept          while it is on hold\n");
	else if (has(k, "until"))
		printf("kept          until %s (%s, from %s)%s\n", text_of(k, "until"), text_of(k, "clock"),
		       text_of(k, "from"),
		       json_is_true(json_object_get(k, "open")) ? ", and at least while it is open" : "");
	else
		printf("kept          no clock speaks of it, so it is kept\n");
}

void case_print(const json_t *r)
{
	const json_t *e = json_object_get(r, "erase");
	char text[4096];

	if (!strcmp(text_of(r, "state"), "erased")) {
		printf("%s  erased: by %s at %s, asked for by %s: %s\n", text_of(r, "case_id"),
		       text_of(e, "by"), text_of(e, "at"), text_of(e, "asked_by"),
		       safe(text_of(e, "reason"), text));
		return;
	}
	print_head(r);
	print_list(r, "irregular", "IRREGULAR: not by the rules",
		   (const char *const[]){ "act", "why", NULL });
	print_checklist(r);
	print_inquiries(r);
	print_determinations(r);
	print_facts(r);
	print_list(r, "notes", "notes", (const char *const[]){ "text", NULL });
	print_list(r, "events", "dated events", (const char *const[]){ "date", "kind", "text", NULL });
	print_list(r, "findings", "findings", (const char *const[]){ "source", "sentence", NULL });
	print_history(r);
	print_end(r);
}
