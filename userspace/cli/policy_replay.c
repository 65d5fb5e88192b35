// SPDX-License-Identifier: Apache-2.0
/* `policy replay`: a history judged under one or two sets of regimes and assignments, beside each other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/yaml.h"
#include "../core/decimal.h"
#include "policy_play.h"

struct replay {
	struct policy_input old_in, new_in;
	struct play old, new;
	bool has_new, json, all;
	size_t rows, changed;
};

static json_t *outcome_json(const struct play_outcome *o)
{
	json_t *since, *findings;
	char day[16];

	if (!o)
		return json_null();
	since = json_object();
	findings = json_array();
	for (size_t i = 0; i < o->regime->level_count; i++)
		if (o->since[i])
			json_object_set_new(since, o->regime->levels[i].name,
					    json_string(date_format((int32_t)o->since[i] - 1, day)));
	for (int c = 0; c < CASE_END; c++)
		if (o->cases >> c & 1)
			json_array_append_new(findings, json_string(regime_case_name((enum regime_case)c)));
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s?,s:{s:o,s:o},s:{s:o,s:o},s:{s:o,s:o},s:o,s:o,s:o}",
			 "version", o->regime->version, "digest", o->regime->digest, "mode",
			 regime_mode_name(o->regime->mode), "verdict", o->words, "standing",
			 verdict_standing_name((enum verdict_standing)o->standing), "level",
			 o->level ? o->regime->levels[o->level - 1].name : NULL, "observed", "low",
			 decimal(o->observed_low), "high", decimal(o->observed_high), "counted", "low",
			 decimal(o->low), "high", decimal(o->high), "executed", "low",
			 decimal(o->executed_low), "high", decimal(o->executed_high), "ceiling",
			 decimal(o->ceiling), "since", since, "findings", findings);
}

static void print_json(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text)
		puts(text);
	free(text);
	json_decref(o);
}

static bool is_worth_a_row(const struct play_outcome *o)
{
	return o && o->standing != VERDICT_NONE && o->standing != VERDICT_NOT_HELD;
}

static void print_side(const char *label, const struct play_outcome *o)
{
	char day[16], low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];

	if (!o) {
		printf("    %-4s not judged\n", label);
		return;
	}
	printf("    %-4s version %s: %s; %s to %s observed here", label, o->regime->version, o->words,
	       opcount_human(o->observed_low, low), opcount_human(o->observed_high, high));
	if (o->low != o->observed_low || o->high != o->observed_high)
		printf(", %s to %s with what is declared", opcount_human(o->low, low),
		       opcount_human(o->high, high));
	for (size_t i = 0; i < o->regime->level_count; i++)
		if (o->since[i])
			printf("; %s since %s", o->regime->levels[i].name,
			       date_format((int32_t)o->since[i] - 1, day));
	for (int c = 0; c < CASE_END; c++)
		if (o->cases >> c & 1)
			printf("; finding: %s", regime_case_name((enum regime_case)c));
	printf("\n");
}

static void row(struct replay *r, const char *subject, const char *id, const struct play_outcome *a,
		const struct play_outcome *b)
{
	bool changed = r->has_new && strcmp(a ? a->words : "", b ? b->words : "");

	if (!r->all && !changed && !is_worth_a_row(a) && !is_worth_a_row(b))
		return;
	r->rows++;
	r->changed += changed;
	if (r->json) {
		json_t *o =
			json_pack("{s:s,s:s,s:o}", "subject", subject, "regime", id, "old", outcome_json(a));

		if (r->has_new) {
			json_object_set_new(o, "new", outcome_json(b));
			json_object_set_new(o, "changed", json_boolean(changed));
		}
		print_json(o);
		return;
	}
	printf("%s  %s%s\n", subject, id, changed ? "  CHANGED" : "");
	print_side(r->has_new ? "old" : "", a);
	if (r->has_new)
		print_side("new", b);
}

static void print_rows(struct replay *r)
{
	for (size_t i = 0; i < r->old.subjects; i++) {
		const struct play_subject *s = &r->old.subject[i], *t = play_find(&r->new, s->name);

		for (size_t k = 0; k < r->old.id_count; k++)
			row(r, s->name, r->old.ids[k], play_outcome(&r->old, s, r->old.ids[k]),
			    play_outcome(&r->new, t, r->old.ids[k]));
	}
	/* What only the new side judges, or has: other assignments make other subjects. */
	for (size_t i = 0; i < r->new.subjects; i++) {
		const struct play_subject *t = &r->new.subject[i], *s = play_find(&r->old, t->name);

		for (size_t k = 0; k < r->new.id_count; k++) {
			const char *id = r->new.ids[k];
			bool known = s && r->old.id_count;
			size_t n = 0;

			while (known && n < r->old.id_count && strcmp(r->old.ids[n], id))
				n++;
			if (!known || n == r->old.id_count)
				row(r, t->name, id, NULL, play_outcome(&r->new, t, id));
		}
	}
}

static void print_cases(struct replay *r, const struct play *p, const char *side)
{
	char day[16];

	for (size_t i = 0; i < p->case_count; i++) {
		const struct play_case *c = &p->cases[i];

		if (r->json)
			print_json(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "case", c->id, "side",
					     side, "regime", c->regime, "version", c->version, "cause",
					     c->cause, "verdict", c->verdict, "subject", c->subject, "day",
					     date_format((int32_t)c->day, day), "hold", c->hold));
		else
			printf("%s: %s opens on %s: %s, %s, %s%s\n", side, c->id,
			       date_format((int32_t)c->day, day), c->subject, c->regime, c->cause,
			       c->hold ? "; hold until the owner is known" : "");
	}
}

static void print_duties(struct replay *r, const struct play *p, const char *side)
{
	for (size_t i = 0; i < p->duty_count; i++) {
		const struct play_duty *d = &p->duties[i];

		if (r->json)
			print_json(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "duty", d->what, "side", side,
					     "regime", d->regime, "subject", d->subject,
					     d->is_met ? "met_on" : "known_on", d->since, "due", d->due,
					     "sentence", d->sentence));
		else
			printf("%s: clock since %s, %s: %s, %s: %s, due %s\n", side, d->since,
			       d->is_met ? "when it was met" : "when it was known", d->subject, d->regime,
			       d->what, d->due);
	}
}

static void print_head(const struct replay *r, const struct play *p, const struct policy_input *in,
		       const char *side)
{
	char day[16];

	printf("%s: regimes %s, assignments '%s' (%.16s, %llu left out), up to %s\n", side, in->regimes,
	       in->set, p->side.set_digest, (unsigned long long)p->side.left_out,
	       date_format((int32_t)p->side.until, day));
}

static int replay(struct replay *r)
{
	int rc = play_run(&r->old_in, &r->old);

	if (rc == EXIT_OK && r->has_new)
		rc = play_run(&r->new_in, &r->new);
	if (rc)
		return rc;
	if (!r->json) {
		print_head(r, &r->old, &r->old_in, r->has_new ? "old" : "judged");
		if (r->has_new)
			print_head(r, &r->new, &r->new_in, "new");
	}
	print_rows(r);
	print_cases(r, &r->old, r->has_new ? "old" : "judged");
	print_duties(r, &r->old, r->has_new ? "old" : "judged");
	if (r->has_new) {
		print_cases(r, &r->new, "new");
		print_duties(r, &r->new, "new");
	}
	if (!r->json)
		printf("%zu subjects, %zu rows, %zu verdicts changed\n", r->old.subjects, r->rows,
		       r->changed);
	return EXIT_OK;
}

int policy_replay(int argc, char **argv)
{
	struct replay r = { .old_in = { .regimes = POLICY_REGIMES, .set = "recorded" } };
	struct policy_input *in = &r.old_in;
	const char *against = NULL, *set = NULL, *declarations = NULL, *owners = NULL;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &in->dir, "the ledger (none)" },
		{ "readings", "FILE", OPTION_STRING, &in->readings, "or a file of readings (none)" },
		{ "assignment-file", "FILE", OPTION_STRING, &in->assignments,
		  "assignments as JSON lines, with those of the ledger (none)" },
		{ "regimes", "DIR", OPTION_STRING, &in->regimes, "old regimes (" POLICY_REGIMES ")" },
		{ "assignments", "SET", OPTION_STRING, &in->set,
		  "old: recorded, rules, people or before:YYYY-MM-DD (recorded)" },
		{ "owners", "FILE", OPTION_STRING, &in->owners,
		  "old: legal entities and their parents (none)" },
		{ "declarations", "FILE", OPTION_STRING, &in->declarations,
		  "old: what people declared (none)" },
		{ "against", "DIR", OPTION_STRING, &against,
		  "new regimes, judged beside the old (as the old)" },
		{ "against-assignments", "SET", OPTION_STRING, &set, "new set of assignments (as the old)" },
		{ "against-owners", "FILE", OPTION_STRING, &owners, "new owners (as the old)" },
		{ "against-declarations", "FILE", OPTION_STRING, &declarations,
		  "new declarations (as the old)" },
		{ "until", "DATE", OPTION_STRING, &in->until, "play up to that day (the last one)" },
		{ "all", NULL, OPTION_FLAG, &r.all, "rows of verdicts that are none, too" },
		{ "json", NULL, OPTION_FLAG, &r.json, "one JSON object a row and a case, exact figures" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "policy replay",
		.summary = "Judges a history day by day: the verdict at its end, since when each level is "
			   "met, and the "
			   "cases that open.\nWith an --against option it is judged a second time, and the "
			   "old and "
			   "new verdicts stand beside each other.",
		.options = options,
	};
	int operand, rc = options_parse(&spec, argc, argv, &operand);

	if (rc)
		return rc < 0 ? EXIT_USAGE : EXIT_OK;
	r.has_new = against || set || declarations || owners;
	r.new_in = r.old_in;
	r.new_in.regimes = against ?: in->regimes;
	r.new_in.set = set ?: in->set;
	r.new_in.declarations = declarations ?: in->declarations;
	r.new_in.owners = owners ?: in->owners;
	rc = replay(&r);
	play_done(&r.old);
	play_done(&r.new);
	return rc;
}
