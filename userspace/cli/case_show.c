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

/* What is waited for first: a notice of the law or the next review; of a licence that a case was closed
 * under, its end. */
static const char *next_due(const json_t *r)
{
	const json_t *d = json_object_get(r, "determination"), *v;
	const char *first = NULL, *day[] = { text_of(d, "next_review"), text_of(d, "expires") };
	bool is_closed = !strcmp(text_of(r, "state"), "closed");
	size_t i;

	for (i = 0; d && i < 2; i++)
		if (strlen(day[i]) == 10 && (!first || strcmp(day[i], first) < 0))
			first = day[i];
	json_array_foreach(json_object_get(r, "notices"), i, v)
	{
		const char *due = json_string_value(json_object_get(v, "due"));

		due = due ?: json_string_value(json_object_get(v, "not_later_than"));
		if (due && !is_closed && (!first || strncmp(due, first, 10) < 0))
			first = due;
	}
	return first;
}

static int list_one(const struct om_case *c, bool json, const char *due_by)
{
	_cleanup_(json_decrefp) json_t *r = om_case_record(c, NULL);
	const json_t *policy = json_object_get(r, "policy");
	char tenant[1024], regime[1024];
	const char *due = next_due(r);

	if (!r)
		return -ENOMEM;
	if (due_by && (!due || strncmp(due, due_by, 10) > 0))
		return 0;
	if (json)
		return store_print(json_incref(r), true);
	printf("%-17s %-13s %-17s %-20.20s %-20s %-16.16s %-10.10s %s\n", om_case_id(c),
	       om_case_state_name(om_case_state(c)), text_of(r, "outcome"),
	       safe(text_of(r, "tenant"), tenant), safe(text_of(policy, "regime"), regime),
	       text_of(r, "opened_at"), due ? due : "-",
	       json_array_size(json_object_get(r, "irregular"))	  ? "IRREGULAR"
	       : json_is_object(json_object_get(r, "legal_hold")) ? "on legal hold"
	       : json_is_true(json_object_get(r, "hold"))	  ? "work waits"
								  : "");
	return 0;
}

int case_list(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *state = NULL, *due = NULL;
	bool json = false;
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "state", "STATE", OPTION_STRING, &state, "only those in this state (all)" },
		{ "due", "DATE", OPTION_STRING, &due,
		  "only those of which a notice, the next review or a licence's end is due by then (all)" },
		{ "json", NULL, OPTION_FLAG, &json, "whole records, one a line" },
		{ 0 },
	};
	const struct option_spec spec = { .verb = "case list",
					  .summary = "The cases, in the order in which they were opened.",
					  .options = options };
	_cleanup_desk_ struct case_desk d = { 0 };
	int32_t day;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (due && date_parse(due, &day)) {
		log_error("case list: '%s' is no date (2026-11-23)", due);
		return EXIT_USAGE;
	}
	r = case_desk_open(&d, dir, false, NULL, NULL);
	if (r)
		return store_exit(r);
	if (!json)
		printf("%-17s %-13s %-17s %-20s %-20s %-16s %s\n", "CASE", "STATE", "OUTCOME", "TENANT",
		       "REGIME", "OPENED", "DUE");
	for (size_t i = 0; i < om_case_store_count(d.store) && r == 0; i++) {
		const struct om_case *c = om_case_store_at(d.store, i);

		if (!state || !strcmp(om_case_state_name(om_case_state(c)), state))
			r = list_one(c, json, due);
	}
	return store_exit(r);
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
		case_print(record);
	return irregular ? EXIT_FINDING : EXIT_OK;
}
