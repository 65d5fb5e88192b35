// SPDX-License-Identifier: Apache-2.0
/* `case list|show`: cases for people and for programs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "case_verbs.h"
#include "verbs.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

/* What people typed, on a terminal. */
static const char *safe(const char *s, char out[1024])
{
	return text_escape(s, out, 1024);
}

static int list_one(const struct om_case *c, bool json)
{
	_cleanup_(json_decrefp) json_t *r = om_case_record(c, NULL);
	const json_t *policy = json_object_get(r, "policy");
	char tenant[1024], regime[1024];

	if (!r)
		return -ENOMEM;
	if (json)
		return store_print(json_incref(r), true);
	printf("%-17s %-13s %-17s %-20.20s %-20s %-16s %s\n", om_case_id(c),
	       om_case_state_name(om_case_state(c)), text_of(r, "outcome"),
	       safe(text_of(r, "tenant"), tenant), safe(text_of(policy, "regime"), regime),
	       text_of(r, "opened_at"),
	       json_array_size(json_object_get(r, "irregular"))	  ? "IRREGULAR"
	       : json_is_object(json_object_get(r, "legal_hold")) ? "on hold"
								  : "");
	return 0;
}

int case_list(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *state = NULL;
	bool json = false;
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "state", "STATE", OPTION_STRING, &state, "only those in this state (all)" },
		{ "json", NULL, OPTION_FLAG, &json, "whole records, one a line" },
		{ 0 },
	};
	const struct option_spec spec = { .verb = "case list",
					  .summary = "The cases, in the order in which they were opened.",
					  .options = options };
	_cleanup_desk_ struct case_desk d = { 0 };
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	r = case_desk_open(&d, dir, false, NULL, NULL);
	if (r)
		return store_exit(r);
	if (!json)
		printf("%-17s %-13s %-17s %-20s %-20s %s\n", "CASE", "STATE", "OUTCOME", "TENANT", "REGIME",
		       "OPENED");
	for (size_t i = 0; i < om_case_store_count(d.store) && r == 0; i++) {
		const struct om_case *c = om_case_store_at(d.store, i);

		if (!state || !strcmp(om_case_state_name(om_case_state(c)), state))
			r = list_one(c, json);
	}
	return store_exit(r);
}

static void print_list(const json_t *r, const char *name, const char *title, const char *const *keys)
{
	const json_t *list = json_object_get(r, name), *v;
	char text[1024];
	size_t i;

	if (json_array_size(list))
		printf("%s\n", title);
	json_array_foreach(list, i, v)
	{
		printf("  %-20s %-14s", text_of(v, "at"), safe(text_of(v, "by"), text));
		for (const char *const *k = keys; *k; k++)
			printf("  %s", safe(text_of(v, *k), text));
		printf("  [entry %lld]\n", (long long)json_integer_value(json_object_get(v, "entry")));
	}
}

static void print_checklist(const json_t *r)
{
	const json_t *list = json_object_get(r, "checklist"), *v;
	char text[1024], by[1024];
	size_t i;

	if (json_array_size(list))
		printf("checklist\n");
	json_array_foreach(list, i, v)
	{
		const json_t *last = json_object_get(v, "last");

		printf("  [%s] %zu. %s%s%s\n", json_is_true(json_object_get(v, "done")) ? "x" : " ", i + 1,
		       safe(text_of(v, "duty"), text), last ? "  by " : "",
		       last ? safe(text_of(last, "by"), by) : "");
	}
}

static void print_determination(const json_t *r)
{
	const json_t *d = json_object_get(r, "determination"), *second = json_object_get(d, "second");
	char text[1024];

	if (!d)
		return;
	printf("determination %s by %s at %s: %s\n", text_of(d, "outcome"), text_of(d, "by"),
	       text_of(d, "at"), safe(text_of(d, "rationale"), text));
	if (second)
		printf("  confirmed by %s at %s (%s): %s\n", text_of(second, "by"), text_of(second, "at"),
		       text_of(d, "four_eyes"), safe(text_of(second, "rationale"), text));
	else
		printf("  waits for a second person\n");
}

static void print_head(const json_t *r)
{
	const json_t *p = json_object_get(r, "policy"), *o = json_object_get(r, "operations"),
		     *t = json_object_get(o, "training"), *path = json_object_get(r, "path"), *v;
	char a[1024], b[1024];
	size_t i;

	printf("%s  %s%s%s\n", text_of(r, "case_id"), text_of(r, "state"),
	       json_object_get(r, "outcome") ? ": " : "",
	       json_object_get(r, "outcome") ? text_of(r, "outcome") : "");
	printf("tenant    %s, model %s\n", safe(text_of(r, "tenant"), a), safe(text_of(r, "model"), b));
	printf("policy    %s version %s, mode %s: %s\n", text_of(p, "regime"), text_of(p, "version"),
	       text_of(p, "mode"), safe(text_of(p, "citation"), a));
	printf("training  %s to %s operations observed here%s; %s\n", text_of(t, "low"), text_of(t, "high"),
	       json_is_true(json_object_get(o, "attempted")) ? " (attempted)" : "",
	       safe(text_of(o, "coverage"), a));
	printf("owner     %s; seat %s\n", safe(text_of(r, "ownership"), a), safe(text_of(r, "seat"), b));
	json_array_foreach(path, i, v)
	{
		printf("  %s", safe(text_of(v, "name"), a));
		printf(", %s, as of %s: %s\n", text_of(v, "headquarters"), text_of(v, "as_of"),
		       safe(text_of(v, "source"), a));
	}
}

static void print_people(const json_t *r)
{
	const json_t *k = json_object_get(r, "retention"), *h = json_object_get(r, "legal_hold");
	char text[1024];

	if (!strcmp(text_of(r, "state"), "erased")) {
		printf("%s  erased: by %s at %s, asked for by %s: %s\n", text_of(r, "case_id"),
		       text_of(json_object_get(r, "erase"), "by"), text_of(json_object_get(r, "erase"), "at"),
		       text_of(json_object_get(r, "erase"), "asked_by"),
		       safe(text_of(json_object_get(r, "erase"), "reason"), text));
		return;
	}
	print_head(r);
	print_checklist(r);
	print_list(r, "findings", "findings", (const char *const[]){ "source", "sentence", NULL });
	print_list(r, "inquiries", "inquiries", (const char *const[]){ "to", "question", NULL });
	print_list(r, "notes", "notes", (const char *const[]){ "text", NULL });
	print_list(r, "events", "events", (const char *const[]){ "kind", "date", NULL });
	print_list(r, "state_history", "history", (const char *const[]){ "from", "to", NULL });
	print_list(r, "irregular", "IRREGULAR: not by the rules",
		   (const char *const[]){ "act", "why", NULL });
	print_determination(r);
	if (json_is_object(h))
		printf("ON HOLD since %s by %s: %s\n", text_of(h, "at"), text_of(h, "by"),
		       safe(text_of(h, "reason"), text));
	printf("evidence  %zu pieces; kept until %s (%s from %s)%s\n",
	       json_array_size(json_object_get(r, "evidence")), text_of(k, "until"), text_of(k, "clock"),
	       text_of(k, "from"),
	       json_is_true(json_object_get(k, "open")) ? ", and at least while it is open" : "");
}

int case_show(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *clocks = RETENTION_DEFAULT;
	bool json = false;
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "json", NULL, OPTION_FLAG, &json, "the whole record" },
		{ "retention", "FILE", OPTION_STRING, &clocks, "the clocks (" RETENTION_DEFAULT ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "case show",
		.operands = "CASE",
		.summary = "One case: its finding, what was done, by whom, and where that "
			   "stands in the log.",
		.options = options
	};
	_cleanup_(om_retention_freep) struct om_retention *retention = NULL;
	_cleanup_(json_decrefp) json_t *record = NULL;
	_cleanup_desk_ struct case_desk d = { 0 };
	struct error_text err = { 0 };
	bool irregular;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc) {
		log_error("case show: name one CASE");
		return EXIT_USAGE;
	}
	r = om_retention_load(clocks, &retention, &err);
	if (r)
		return case_say(&err, -EINVAL);
	r = case_desk_open(&d, dir, false, argv[at], NULL);
	if (r)
		return store_exit(r);
	record = om_case_record(d.c, retention);
	if (!record)
		return EXIT_FAILED;
	irregular = json_array_size(json_object_get(record, "irregular"));
	if (json)
		store_print(json_incref(record), false);
	else
		print_people(record);
	return irregular ? EXIT_FINDING : EXIT_OK;
}
