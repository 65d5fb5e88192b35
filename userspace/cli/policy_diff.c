// SPDX-License-Identifier: Apache-2.0
/* `policy diff`: two sets of regimes, field by field, in words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/yaml.h"
#include "policy_play.h"

#define FACTS_MAX 256
struct facts {
	char *field[FACTS_MAX], *text[FACTS_MAX];
	size_t count;
};

static void facts_done(struct facts *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->field[i]);
		free(f->text[i]);
	}
}

static int take_fact(void *ctx, const char *field, const char *text)
{
	struct facts *f = ctx;

	if (f->count == FACTS_MAX)
		return -E2BIG;
	f->field[f->count] = strdup(field);
	f->text[f->count] = strdup(text);
	if (!f->field[f->count] || !f->text[f->count])
		return -ENOMEM;
	f->count++;
	return 0;
}

static bool has(const struct facts *f, const char *field, const char *text)
{
	for (size_t i = 0; i < f->count; i++)
		if (!strcmp(f->field[i], field) && !strcmp(f->text[i], text))
			return true;
	return false;
}

/* The only sentence of its field on that side which the other has not; NULL: none or several. */
static const char *lone(const struct facts *f, const struct facts *other, const char *field)
{
	const char *found = NULL;

	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->field[i], field) || has(other, field, f->text[i]))
			continue;
		if (found)
			return NULL;
		found = f->text[i];
	}
	return found;
}

static size_t print_facts(const struct facts *a, const struct facts *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->count; i++) {
		const char *was = lone(a, b, a->field[i]), *is = lone(b, a, a->field[i]);

		if (has(b, a->field[i], a->text[i]))
			continue;
		n++;
		if (was && is)
			printf("  %s was: %s\n  %*s is: %s\n", a->field[i], was, (int)strlen(a->field[i]) + 1,
			       "", is);
		else
			printf("  %s no longer: %s\n", a->field[i], a->text[i]);
	}
	for (size_t i = 0; i < b->count; i++) {
		if (has(a, b->field[i], b->text[i]) || (lone(a, b, b->field[i]) && lone(b, a, b->field[i])))
			continue;
		n++;
		printf("  %s new: %s\n", b->field[i], b->text[i]);
	}
	return n;
}

static size_t compare(const struct regime *a, const struct regime *b)
{
	_cleanup_(facts_done) struct facts old = { .count = 0 }, new = { .count = 0 };
	size_t n;

	if (!strcmp(a->digest, b->digest) && a->mode == b->mode)
		return 0;
	if (!strcmp(a->version, b->version))
		printf("%s version %s: two texts of one version; what the law changed wants a new version "
		       "beside it, a "
		       "slip that is corrected a new acceptance\n",
		       a->id, a->version);
	else
		printf("%s: version %s, then version %s\n", a->id, a->version, b->version);
	if (regime_each_fact(a, take_fact, &old) || regime_each_fact(b, take_fact, &new))
		printf("  too much to compare\n");
	n = print_facts(&old, &new);
	if (n == 0)
		printf("  nothing that is judged or told: the texts differ (digest %.16s, then %.16s)\n",
		       a->digest, b->digest);
	return 1;
}

/* The version that stands beside a regime on the other side: the same one, or the one that holds when it
 * does. */
static const struct regime *partner(const struct regimes *other, const struct regime *g)
{
	const struct regime *same = regimes_version(other, g->id, g->version);

	return same ?: regimes_find(other, g->id);
}

static size_t diff(const struct regimes *old, const struct regimes *new)
{
	size_t n = 0;

	for (size_t i = 0; i < regimes_count(old); i++) {
		const struct regime *a = regimes_at(old, i), *b = partner(new, a);

		if (b)
			n += compare(a, b);
		else
			printf("%s version %s: gone; a superseded version should stay, with its 'to'\n",
			       a->id, a->version);
		n += !b;
	}
	for (size_t i = 0; i < regimes_count(new); i++) {
		const struct regime *b = regimes_at(new, i), *a = partner(old, b);

		if (a && (!strcmp(a->version, b->version) || !regimes_version(new, a->id, a->version)))
			continue; /* compared already */
		printf("%s version %s: new\n", b->id, b->version);
		if (a)
			compare(a, b);
		n++;
	}
	return n;
}

/* Which verdicts change, if there is something to judge. */
static int diff_verdicts(const struct policy_input *in, const char *old, const char *new)
{
	struct policy_input a = *in, b = *in;
	struct play x, y = { 0 };
	size_t n = 0;
	int r;

	a.regimes = old;
	b.regimes = new;
	r = play_run(&a, &x);
	r = r ?: play_run(&b, &y);
	for (size_t i = 0; r == 0 && i < y.subjects; i++) {
		const struct play_subject *t = &y.subject[i], *s = play_find(&x, t->name);

		for (size_t k = 0; k < y.id_count; k++) {
			const struct play_outcome *p = play_outcome(&x, s, y.ids[k]);
			const struct play_outcome *q = play_outcome(&y, t, y.ids[k]);

			if (!strcmp(p ? p->words : "not judged", q ? q->words : "not judged"))
				continue;
			printf("verdict on %s under %s was: %s; is: %s\n", t->name, y.ids[k],
			       p ? p->words : "not judged", q ? q->words : "not judged");
			n++;
		}
	}
	if (r == 0)
		printf("%zu verdicts change\n", n);
	play_done(&x);
	play_done(&y);
	return r;
}

int policy_diff(int argc, char **argv)
{
	struct policy_input in = { .set = "recorded" };
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &in.dir, "a ledger: which of its verdicts change? (none)" },
		{ "readings", "FILE", OPTION_STRING, &in.readings, "or a file of readings (none)" },
		{ "assignment-file", "FILE", OPTION_STRING, &in.assignments,
		  "assignments as JSON lines (none)" },
		{ "owners", "FILE", OPTION_STRING, &in.owners, "legal entities and their parents (none)" },
		{ "declarations", "FILE", OPTION_STRING, &in.declarations, "what people declared (none)" },
		{ "until", "DATE", OPTION_STRING, &in.until, "judge up to that day (the last one)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "policy diff",
		.operands = "OLD NEW",
		.summary = "Says in words what two directories of regimes say differently, field by field; "
			   "with a ledger "
			   "also which verdicts change.\nExit code 3 if they differ.",
		.options = options,
	};
	_cleanup_(regimes_freep) struct regimes *old = NULL, *new = NULL;
	size_t n;
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (argc - operand != 2) {
		log_error("policy diff: two directories of regimes must be given");
		return EXIT_USAGE;
	}
	r = policy_regimes_load(argv[operand], &old);
	r = r ?: policy_regimes_load(argv[operand + 1], &new);
	if (r)
		return r;
	n = diff(old, new);
	if (in.dir || in.readings)
		r = diff_verdicts(&in, argv[operand], argv[operand + 1]);
	if (n == 0)
		printf("no difference\n");
	return r ? r : n ? EXIT_FINDING : EXIT_OK;
}
