// SPDX-License-Identifier: Apache-2.0
/* What people say in a case: a table of acts and their words. The rules are in core/case_act.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "case_verbs.h"
#include "verbs.h"

enum word_kind {
	WORD_TEXT,
	WORD_NUMBER,
	WORD_FALSE,  /* a flag that makes its key false */
	WORD_ACT,    /* a flag that makes it another act */
	WORD_FILE,   /* attached; its digest goes with the act */
	WORD_CLOCKS, /* a file of clocks, which must know the word of `key` */
};

struct word {
	const char *option, *metavar, *key;
	enum word_kind kind;
	const char *help;
};

#define WORDS_MAX 8
static const struct speech {
	const char *act, *summary;
	struct word words[WORDS_MAX];
} speeches[] = {
	{ "note", "Adds a note.", { { "text", "TEXT", "text", WORD_TEXT, "the note" } } },
	{ "fact",
	  "Records a field of the case that the meter cannot know, with its source; the latest holds.",
	  { { "name", "NAME", "name", WORD_TEXT, "the field, as in docs/cases.md" },
	    { "value", "TEXT", "value", WORD_TEXT, "what it is" },
	    { "source", "TEXT", "source", WORD_TEXT, "who says so, and of what date" } } },
	{ "assign",
	  "Says who runs the account's machines: they cannot confirm a determination.",
	  { { "sre", "NAMES", "sre", WORD_TEXT, "names, parted by commas" } } },
	{ "checklist",
	  "Marks a duty of the checklist as done.",
	  { { "item", "N", "item", WORD_NUMBER, "which, from 1" },
	    { "undone", NULL, "done", WORD_FALSE, "it is not done after all" },
	    { "text", "TEXT", "text", WORD_TEXT, "how (none)" } } },
	{ "inquiry",
	  "Records a question that was sent to the customer.",
	  { { "question", "TEXT", "question", WORD_TEXT, "what was asked" },
	    { "to", "TEXT", "to", WORD_TEXT, "whom" },
	    { "sent-at", "TIME", "sent_at", WORD_TEXT, "when it was sent, if not now (none)" } } },
	{ "answer",
	  "Records the answer to the oldest question that waits for one.",
	  { { "text", "TEXT", "text", WORD_TEXT, "what was answered" },
	    { "answered-at", "TIME", "answered_at", WORD_TEXT, "when, if not now (none)" },
	    { "file", "FILE", "sha256", WORD_FILE, "the answer itself, attached to the case (none)" } } },
	{ "event",
	  "Records something that a retention clock runs from: export, termination, account-closed, ...",
	  { { "kind", "KIND", "kind", WORD_TEXT, "a word of the clocks (data/retention.yaml)" },
	    { "date", "DATE", "date", WORD_TEXT, "when, YYYY-MM-DD" },
	    { "text", "TEXT", "text", WORD_TEXT, "more (none)" },
	    { "retention", "FILE", "kind", WORD_CLOCKS, "the clocks (" RETENTION_DEFAULT ")" } } },
	{ "hold",
	  "Puts the case on hold: nothing of it is destroyed until it is released.",
	  { { "reason", "TEXT", "reason", WORD_TEXT, "why" },
	    { "authority", "TEXT", "authority", WORD_TEXT, "who asked for it (none)" } } },
	{ "release",
	  "Ends a hold.",
	  { { "reason", "TEXT", "reason", WORD_TEXT, "why" },
	    { "authorization", "TEXT", "authorization", WORD_TEXT, "the written authorization" } } },
	{ "determine",
	  "The first person's determination. A second one confirms it, or does not.",
	  { { "outcome", "WORD", "outcome", WORD_TEXT,
	      "not_4e091, published, below_floor, licence_held, exception_aia, customer_informed, refused or "
	      "not_flagged" },
	    { "rationale", "TEXT", "rationale", WORD_TEXT, "why" },
	    { "licence", "NUMBER", "licence", WORD_TEXT, "for licence_held (none)" },
	    { "expires", "DATE", "expires", WORD_TEXT, "for licence_held (none)" },
	    { "certificate", "TEXT", "certificate", WORD_TEXT, "for exception_aia (none)" },
	    { "next-review", "DATE", "next_review", WORD_TEXT, "when to look again (none)" },
	    { "open-items", "TEXT", "open_items", WORD_TEXT,
	      "why duties or questions may stay open (none: they may not)" } } },
	{ "confirm",
	  "The second person's word: another than the first, and none who runs the account's machines. "
	  "Closes the case.",
	  { { "rationale", "TEXT", "rationale", WORD_TEXT, "why" },
	    { "disagree", NULL, "disagree", WORD_ACT, "do not confirm: back under review" } } },
	{ "escalate",
	  "Hands the case on, to counsel or to an authority.",
	  { { "reason", "TEXT", "reason", WORD_TEXT, "why" },
	    { "to", "TEXT", "to", WORD_TEXT, "to whom (none)" } } },
	{ "reopen",
	  "Opens a closed or escalated case again; it is determined anew, by two people.",
	  { { "reason", "TEXT", "reason", WORD_TEXT, "why" } } },
};

union said {
	const char *text;
	bool flag;
	uint64_t number;
};

static void fill_options(const struct speech *s, union said *said, struct option *o)
{
	for (size_t i = 0; i < WORDS_MAX && s->words[i].option; i++) {
		const struct word *w = &s->words[i];
		bool is_flag = w->kind == WORD_FALSE || w->kind == WORD_ACT;

		*o++ = (struct option){ w->option, w->metavar,
					is_flag			 ? OPTION_FLAG
					: w->kind == WORD_NUMBER ? OPTION_UINT
								 : OPTION_STRING,
					&said[i], w->help };
	}
}

static int attach(struct case_desk *d, const char *path, json_t *act, struct error_text *err)
{
	const json_t *e;
	json_t *record;
	size_t n;
	int r = om_case_attach(d->store, d->c, "answer", path, &d->actor, err);

	if (r)
		return r < 0 ? r : error_set(err, -EEXIST, "%s: is attached to the case already", path);
	record = om_case_record(d->c, NULL);
	e = json_object_get(record, "evidence");
	n = json_array_size(e);
	json_object_set(act, "sha256", json_object_get(json_array_get(e, n - 1), "sha256"));
	json_decref(record);
	return 0;
}

/* A word that no clock knows would move none, and nobody would see it. */
static int check_word(const char *path, const char *word, struct error_text *err)
{
	_cleanup_(om_retention_freep) struct om_retention *clocks = NULL;
	int r = om_retention_load(path, &clocks, err);

	if (r)
		return -EINVAL;
	return om_retention_has(clocks, word)
		       ? 0
		       : error_set(err, -EINVAL, "'%s': no clock of %s runs from such an event", word, path);
}

/* What was said, as an act. */
static int make_act(struct case_desk *d, const struct speech *s, const union said *said, json_t *act,
		    struct error_text *err)
{
	int r = 0;

	json_object_set_new(act, "act", json_string(s->act));
	for (size_t i = 0; i < WORDS_MAX && s->words[i].option && r == 0; i++) {
		const struct word *w = &s->words[i];

		if (w->kind == WORD_NUMBER)
			json_object_set_new(act, w->key, json_integer((json_int_t)said[i].number));
		else if (w->kind == WORD_FALSE && said[i].flag)
			json_object_set_new(act, w->key, json_false());
		else if (w->kind == WORD_ACT && said[i].flag)
			json_object_set_new(act, "act", json_string(w->key));
		else if (w->kind == WORD_FILE && said[i].text)
			r = attach(d, said[i].text, act, err);
		else if (w->kind == WORD_CLOCKS)
			r = check_word(said[i].text ? said[i].text : RETENTION_DEFAULT,
				       json_string_value(json_object_get(act, w->key)) ?: "", err);
		else if (w->kind == WORD_TEXT && said[i].text &&
			 json_object_set_new(act, w->key, json_string(said[i].text)))
			r = error_set(err, -EINVAL, "--%s: not UTF-8", w->option);
	}
	return r;
}

static int speak(const struct speech *s, const union said *said, const char *dir, const char *by,
		 const char *id)
{
	_cleanup_desk_ struct case_desk d = { 0 };
	_cleanup_(json_decrefp) json_t *act = json_object();
	struct error_text err = { 0 };
	uint64_t entry = 0;
	int r = case_desk_open(&d, dir, false, id, by);

	if (r)
		return store_exit(r);
	r = make_act(&d, s, said, act, &err);
	r = r ?: om_case_act(d.store, d.c, act, NULL, &d.actor, &entry, &err);
	if (r)
		return case_say(&err, r);
	printf("%s: %s by %s is entry %llu; the case is %s\n", om_case_id(d.c),
	       json_string_value(json_object_get(act, "act")), by, (unsigned long long)entry,
	       om_case_state_name(om_case_state(d.c)));
	return EXIT_OK;
}

int case_speak(int argc, char **argv)
{
	const struct speech *s = speeches;
	const char *dir = STORE_DEFAULT, *by = NULL;
	union said said[WORDS_MAX] = { 0 };
	struct option options[WORDS_MAX + 3] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "by", "PERSON", OPTION_STRING, &by, "who says so" },
	};
	char verb[32];
	struct option_spec spec = { .verb = verb, .operands = "CASE", .options = options };
	int at, r;

	while (strcmp(s->act, argv[0]))
		s++;
	snprintf(verb, sizeof(verb), "case %s", s->act);
	spec.summary = s->summary;
	fill_options(s, said, options + 2);
	r = options_parse(&spec, argc, argv, &at);
	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !by) {
		log_error("case %s: name one CASE and who says so (--by PERSON)", s->act);
		return EXIT_USAGE;
	}
	return speak(s, said, dir, by, argv[at]);
}
