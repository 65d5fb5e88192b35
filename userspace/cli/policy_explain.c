// SPDX-License-Identifier: Apache-2.0
/* `policy explain`: what a regime says; or why a subject's verdicts are what they are, step by step. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/yaml.h"
#include "policy_input.h"

static int print_fact(void *ctx, const char *field, const char *text)
{
	printf("  %-20s %s\n", field, text);
	return 0;
}

/* Every version of a regime, or the one that id@version names. */
static int explain_regime(const struct regimes *regimes, const char *name)
{
	const char *at = strchr(name, '@');
	size_t len = at ? (size_t)(at - name) : strlen(name);
	bool found = false;

	for (size_t i = 0; i < regimes_count(regimes); i++) {
		const struct regime *g = regimes_at(regimes, i);

		if (strlen(g->id) != len || strncmp(g->id, name, len) || (at && strcmp(g->version, at + 1)))
			continue;
		printf("%s version %s\n", g->id, g->version);
		regime_each_fact(g, print_fact, NULL);
		printf("  %-20s %s\n", "digest", g->digest);
		found = true;
	}
	if (!found)
		log_error("policy explain: no regime '%s'; `opmeter policy check` lists them", name);
	return found ? EXIT_OK : EXIT_USAGE;
}

static void explain_verdict(const struct policy *p, const struct policy_subject *s, const struct regime *g)
{
	struct verdict_steps *steps = calloc(1, sizeof(*steps));
	struct verdict v = { .steps = steps };

	if (!steps)
		return;
	policy_verdict(p, s, g, &v);
	printf("%s version %s (mode %s; %s; digest %.16s)\n", g->id, g->version, regime_mode_name(g->mode),
	       g->citation, g->digest);
	for (size_t i = 0; i < steps->count; i++)
		printf("  %2zu. %s\n", i + 1, steps->text[i]);
	for (int c = 0; c < CASE_END; c++)
		if (v.cases >> c & 1)
			printf("  finding: %s%s\n", regime_case_name((enum regime_case)c),
			       g->cases >> c & 1 ? g->mode == REGIME_ENFORCE
							   ? ", opens a case"
							   : ", would open a case if the regime were enforced"
						 : "");
	free(steps);
}

/* Whether training is material is told with the figures that it was judged by. */
static void explain_owner_rule(const struct policy_side *s, const struct policy_subject *of,
			       const struct regime *g, const struct owner_answer *a, int32_t day)
{
	bool clear = a->state == OWNER_KNOWN &&
		     regimes_country_in(s->regimes, g->clear_set, a->path[0].headquarters) &&
		     regimes_country_in(s->regimes, g->clear_set, a->path[a->steps - 1].headquarters);
	const struct regime *t = regimes_on(s->regimes, g->threshold_of, day);
	char n[OPCOUNT_STRLEN];
	struct regime_limit limit;
	opcount at;

	printf("  %s version %s (mode %s; %s): %s", g->id, g->version, regime_mode_name(g->mode), g->citation,
	       clear ? "clear\n" : "flagged: headquarters, or the ultimate parent's, are ");
	if (clear)
		return;
	printf("%s%s\n", policy_seat_words(&s->policy, g, a),
	       a->state == OWNER_KNOWN ? "" : ", and unknown is never clear");
	if (!t || t->kind != REGIME_THRESHOLD || t->threshold_missing)
		return;
	limit = regime_limit_of(t);
	at = regime_limit_figure(&limit, g->material_ppm);
	printf("    material from %s operations on (%g %% of %s): %s observed here; %s\n",
	       opcount_human(at, n), g->material_ppm / 1e4, t->id,
	       of->total->training_low >= at	? "reached"
	       : of->total->training_high >= at ? "possible"
						: "not reached by what is",
	       g->mode == REGIME_ENFORCE ? "a case is opened then"
					 : "no case is opened: the regime is not enforced");
}

static void explain_listed_rule(const struct policy_side *s, const char *tenant, const struct regime *g,
				int32_t day)
{
	struct owner_share_answer share;

	if (owners_standing(s->owners, tenant, day, g->lists, g->listed_ppm * 1000, &share))
		return;
	printf("  %s version %s (mode %s; %s): %s\n", g->id, g->version, regime_mode_name(g->mode),
	       g->citation,
	       share.standing == OWNER_CLEAR ? "clear" : policy_listed_verdict(g, share.standing));
}

static void explain_owner(const struct policy_side *s, const struct policy_subject *of, int32_t day,
			  const char *only)
{
	struct owner_answer a;

	if (!s->owners || !of->tenant)
		return;
	owners_resolve(s->owners, of->tenant, day, &a);
	printf("owner of %s: %s (ownership version %.16s)\n", of->tenant, owner_state_text(a.state),
	       a.version);
	for (size_t i = 0; i < a.steps; i++)
		printf("  %2zu. %s (%s), headquarters %s%s; %s\n", i + 1, a.path[i].name, a.path[i].entity,
		       a.path[i].headquarters, i ? ", holds the one before" : "", a.path[i].source);
	for (size_t i = 0; i < regimes_count(s->regimes); i++) {
		const struct regime *g = regimes_at(s->regimes, i);

		if (only ? strcmp(g->id, only) || !regime_covers(g, day) : !regime_holds_on(g, day))
			continue;
		if (g->kind == REGIME_OWNER)
			explain_owner_rule(s, of, g, &a, day);
		if (g->kind == REGIME_LISTED)
			explain_listed_rule(s, of->tenant, g, day);
	}
}

/* A letter that came after the day that is judged has no effect on it, and that is to be told. */
static void tell_later(const struct policy_side *s)
{
	size_t later = 0;

	for (size_t i = 0; s->declarations && i < declarations_count(s->declarations); i++)
		later += declarations_at(s->declarations, i)->at_ns > s->policy.now_ns;
	if (later)
		printf("%zu declaration%s made after that day: without effect here (--until judges a later "
		       "day)\n",
		       later, later == 1 ? " was" : "s were");
}

struct finding_family {
	const char *name;
	struct policy_side *side;
	const char *only;
	bool found;
};

static void explain_all(const struct policy_side *side, const struct policy_subject *s, const char *only)
{
	int32_t day = (int32_t)side->until;

	for (size_t i = 0; i < regimes_count(side->regimes); i++) {
		const struct regime *g = regimes_at(side->regimes, i);

		/* What is off is explained where somebody asks for it by name. */
		if ((g->kind == REGIME_THRESHOLD || g->kind == REGIME_FRACTION) &&
		    (only ? !strcmp(g->id, only) : regime_holds_on(g, day)))
			explain_verdict(&side->policy, s, g);
	}
}

static int explain_family(void *ctx, const struct policy_subject *s)
{
	struct finding_family *f = ctx;

	if (strcmp(s->name, f->name))
		return 0;
	f->found = true;
	explain_all(f->side, s, f->only);
	return 0;
}

static int nothing(void *ctx, uint32_t day)
{
	return 0;
}

static int explain_subject(const struct policy_input *in, const char *name, const char *only)
{
	_cleanup_(policy_side_done) struct policy_side side;
	const struct history_subject *h;
	struct policy_subject s;
	char text[POLICY_NAME_MAX], day[16];
	int r = policy_side_load(in, &side);

	if (r)
		return r;
	if (only && !regimes_find(side.regimes, only)) {
		log_error("policy explain: no regime '%s'; `opmeter policy check` lists them", only);
		return EXIT_USAGE;
	}
	if (history_play(side.history, side.until, nothing, NULL) || policy_side_day(&side, side.until)) {
		log_error("policy explain: %s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	printf("%s at the end of %s, assignments '%s' (%.16s)\n", name, date_format((int32_t)side.until, day),
	       in->set, side.set_digest);
	tell_later(&side);
	h = history_find(side.history, name);
	if (h) {
		policy_side_subject(&side, h, text, &s);
		explain_owner(&side, &s, (int32_t)side.until, only);
		explain_all(&side, &s, only);
	} else {
		struct finding_family f = { name, &side, only, false };

		kin_each_family(side.kin, explain_family, &f);
		if (!f.found) {
			log_error("policy explain: nothing is known of '%s' up to that day", name);
			return EXIT_USAGE;
		}
	}
	return EXIT_OK;
}

int policy_explain(int argc, char **argv)
{
	struct policy_input in = { .regimes = POLICY_REGIMES, .set = "recorded" };
	const char *only = NULL;
	const struct option options[] = {
		{ "regimes", "DIR", OPTION_STRING, &in.regimes, "regimes (" POLICY_REGIMES ")" },
		{ "dir", "DIR", OPTION_STRING, &in.dir, "of a subject: the ledger (none)" },
		{ "readings", "FILE", OPTION_STRING, &in.readings, "or a file of readings (none)" },
		{ "assignment-file", "FILE", OPTION_STRING, &in.assignments,
		  "assignments as JSON lines, with those of the ledger (none)" },
		{ "assignments", "SET", OPTION_STRING, &in.set,
		  "recorded, rules, people or before:YYYY-MM-DD (recorded)" },
		{ "owners", "FILE", OPTION_STRING, &in.owners, "legal entities and their parents (none)" },
		{ "declarations", "FILE", OPTION_STRING, &in.declarations, "what people declared (none)" },
		{ "until", "DATE", OPTION_STRING, &in.until, "judge the end of that day (the last one)" },
		{ "regime", "ID", OPTION_STRING, &only,
		  "of a subject: this one only, off or not (those that hold)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "policy explain",
		.operands = "REGIME[@VERSION]|SUBJECT",
		.summary = "Says everything that a regime says, or why a subject's verdicts are what they "
			   "are, step "
			   "by step.\nA SUBJECT is TENANT/MODEL, lineage/NAME or family/PSEUDONYM.",
		.options = options,
	};
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (argc - operand != 1) {
		log_error("policy explain: one regime or one subject must be given");
		return EXIT_USAGE;
	}
	if (strchr(argv[operand], '/'))
		return explain_subject(&in, argv[operand], only);
	r = policy_regimes_load(in.regimes, &regimes);
	return r ? r : explain_regime(regimes, argv[operand]);
}
