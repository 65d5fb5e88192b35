// SPDX-License-Identifier: Apache-2.0
/* A regime in words, a field a sentence: `policy explain` prints them, `policy diff` compares them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/text.h"
#include "../base/yaml.h"
#include "regime.h"

struct teller {
	int (*fn)(void *ctx, const char *field, const char *text);
	void *ctx;
	int r;
};

static void tell(struct teller *t, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void tell(struct teller *t, const char *field, const char *fmt, ...)
{
	char text[900];
	va_list args;

	if (t->r)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	t->r = t->fn(t->ctx, field, text);
}

static void tell_each(struct teller *t, const char *field, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tell(t, field, "%s", texts[i]);
}

static const char *day_text(int32_t day, char buf[16])
{
	return day == INT32_MIN ? "open" : date_format(day, buf);
}

static void tell_head(struct teller *t, const struct regime *g)
{
	char a[16], b[16];

	tell(t, "title", "%s", g->title);
	tell(t, "kind", "%s", regime_kind_name(g->kind));
	tell(t, "citation", "%s", g->citation);
	tell(t, "evidence", "%s", g->evidence);
	if (g->jurisdiction)
		tell(t, "jurisdiction", "%s", g->jurisdiction);
	tell(t, "window", "from %s to %s", day_text(g->from_day, a), day_text(g->to_day, b));
	tell(t, "mode", "%s", regime_mode_name(g->mode));
	if (g->accepted.by)
		tell(t, "accepted", "by %s on %s (%s)", g->accepted.by, day_text(g->accepted.day, a),
		     g->accepted.reference);
	if (g->status)
		tell(t, "status", "%s, as of %s", g->status, day_text(g->status_day, a));
	for (size_t i = 0; i < g->events; i++)
		tell(t, "history", "%s: %s", day_text(g->event[i].day, a), g->event[i].what);
}

static void tell_figure(struct teller *t, const struct regime *g)
{
	char n[OPCOUNT_STRLEN];

	tell(t, "figure", "%s operations of training, %s",
	     g->figure == REGIME_EXECUTED ? "executed" : "algorithmic",
	     g->floating_only ? "floating-point only in the text; opmeter's totals hold integer formats too"
			      : "any number format");
	tell_each(t, "counts as training", g->training, g->training_count);
	for (size_t i = 0; i < g->requires_count; i++)
		tell(t, "condition", "%s (declared fact '%s'; conditional until it is declared)",
		     g->requires[i].what, g->requires[i].fact);
	for (size_t i = 0; i < g->level_count; i++) {
		if (g->kind == REGIME_THRESHOLD && !g->threshold_missing)
			tell(t, "level", "%s: %s bound %s %s, %g %% of the limit", g->levels[i].name,
			     g->levels[i].lower ? "lower" : "upper",
			     g->comparator == REGIME_AT_LEAST ? "at least" : "from",
			     opcount_format(regime_level_figure(g, &g->levels[i]), n),
			     g->levels[i].share_ppm / 1e4);
		else
			tell(t, "level", "%s: %s bound, %g %% of the limit", g->levels[i].name,
			     g->levels[i].lower ? "lower" : "upper", g->levels[i].share_ppm / 1e4);
	}
}

static void tell_threshold(struct teller *t, const struct regime *g)
{
	char n[OPCOUNT_STRLEN], human[OPCOUNT_STRLEN];

	if (g->threshold_missing)
		tell(t, "threshold", "not set by the law yet: conditional(%s)", g->threshold_missing);
	else
		tell(t, "threshold", "%s %s operations (%s)", regime_comparator_text(g->comparator),
		     opcount_format(g->threshold, n), opcount_human(g->threshold, human));
	if (g->has_floor && g->floor_missing)
		tell(t, "floor", "%s: not known, so what reaches the threshold is conditional",
		     g->floor_what);
	else if (g->has_floor)
		tell(t, "floor", "%s: %s operations; the higher of threshold and floor holds", g->floor_what,
		     opcount_format(g->floor, n));
	if (g->published_exempt)
		tell(t, "published weights", "a model whose parameters are published is not controlled");
	if (g->derived.is_set)
		tell(t, "derived from published weights",
		     "not controlled while the additional operations are not %s the higher of %s and %u/%u "
		     "of "
		     "the floor (%s)",
		     regime_comparator_text(g->derived.comparator), opcount_format(g->derived.at_least, n),
		     g->derived.num, g->derived.den, g->derived.citation);
	if (g->synthetic.is_set)
		tell(t, "synthetic data",
		     "over %g %% of the operations on unpublished data of one generator: the operations that "
		     "generated it count, and the generator's training if it is unpublished (%s)",
		     g->synthetic.over_ppm / 1e4, g->synthetic.citation);
	tell_figure(t, g);
}

static void tell_fraction(struct teller *t, const struct regime *g)
{
	char n[OPCOUNT_STRLEN];

	tell(t, "fraction", "additional operations %s %u/%u of the training operations of the parent model%s",
	     regime_comparator_text(g->comparator), g->fraction.num, g->fraction.den,
	     g->fraction.unpublished ? ", whose weights are not published" : "");
	if (g->fraction.fallback)
		tell(t, "unknown parent", "instead of the parent's operations %s stands in",
		     opcount_format(g->fraction.fallback, n));
	tell_figure(t, g);
}

static void tell_limits(struct teller *t, const struct regime *g)
{
	char n[OPCOUNT_STRLEN], a[16], b[16];

	for (size_t i = 0; i < g->limits; i++) {
		const struct capacity_limit *l = &g->limit[i];

		if (l->missing)
			tell(t, "limit", "%s: %s: conditional(%s) (%s, %s)", l->id, l->what, l->missing,
			     l->citation, l->evidence);
		else if (l->share_ppm)
			tell(t, "limit", "%s: %s: %s %g %% of the owner's TPP (%s)", l->id, l->what,
			     regime_comparator_text(l->comparator), l->share_ppm / 1e4, l->citation);
		else if (!l->quarters)
			tell(t, "limit", "%s: %s: %s %s TPP (%s)", l->id, l->what,
			     regime_comparator_text(l->comparator), opcount_format(l->tpp, n), l->citation);
		for (size_t k = 0; k < l->quarters; k++)
			tell(t, "limit", "%s: %s: %s %s TPP from %s on (%s)", l->id, l->what,
			     regime_comparator_text(l->comparator), opcount_format(l->quarter[k].tpp, n),
			     day_text(l->quarter[k].from_day, a), l->citation);
		if (l->from_day != INT32_MIN || l->to_day != INT32_MIN)
			tell(t, "limit", "%s: counts what was added from %s to %s", l->id,
			     day_text(l->from_day, a), day_text(l->to_day, b));
		if (l->set)
			tell(t, "limit", "%s: not in %s", l->id, l->set);
		if (l->in)
			tell(t, "limit", "%s: in %s", l->id, l->in);
		if (l->except)
			tell(t, "limit", "%s: not in %s either", l->id, l->except);
	}
}

static void tell_notice(struct teller *t, const struct regime_notice *d)
{
	char clock[160] = "", dates[80] = "";
	size_t at = 0;

	for (size_t i = 0; i < d->calendar_count && at < sizeof(dates); i++)
		at += (size_t)snprintf(dates + at, sizeof(dates) - at, "%s%02u-%02u", i ? ", " : " on ",
				       d->calendar[i] / 100, d->calendar[i] % 100);
	if (d->within_hours)
		snprintf(clock, sizeof(clock), " within %u %s%s",
			 d->in_days ? d->within_hours / 24 : d->within_hours, d->in_days ? "day" : "hour",
			 d->within_hours == (d->in_days ? 24 : 1) ? "" : "s");
	else if (d->every_months)
		snprintf(clock, sizeof(clock), " every %u months", d->every_months);
	tell(t, "notice", "%s%s%s%s%s%s%s%s%s (%s; %s)", d->who ? d->who : "", d->who ? ": " : "", d->what,
	     clock, dates, d->clock_from ? ", from " : "", d->clock_from ? d->clock_from : "",
	     d->level ? "; the clock starts at level " : "", d->level ? d->level : "", d->citation,
	     d->evidence);
}

static void tell_rest(struct teller *t, const struct regime *g)
{
	for (size_t i = 0; i < g->clauses; i++) {
		const struct regime_clause *c = &g->clause[i];

		tell(t, "clause", "%s: %s (%s; %s). %s%s", c->id, c->says, c->citation, c->evidence,
		     c->judged ? "Judged: " : "opmeter does not judge it.", c->judged ? c->judged : "");
	}
	for (size_t i = 0; i < g->notices; i++)
		tell_notice(t, &g->notice[i]);
	if (g->retention.years)
		tell(t, "retention", "%u years from %s%s (%s; %s)", g->retention.years, g->retention.from,
		     g->retention.hold ? "; none is destroyed once an agency asked" : "",
		     g->retention.citation, g->retention.evidence);
	for (int c = 0; c < CASE_END; c++)
		if (g->cases >> c & 1)
			tell(t, "opens a case", "%s", regime_case_name((enum regime_case)c));
	tell_each(t, "checklist", g->checklist, g->checklist_count);
	tell_each(t, "note", g->notes, g->note_count);
	tell_each(t, "unverified", g->unverified, g->unverified_count);
}

static void tell_listed(struct teller *t, const struct regime *g)
{
	char codes[100];
	struct text_out out = TEXT_OUT(codes);

	codes[0] = '\0';
	for (size_t i = 0; g->lists[i]; i++) {
		text_add(&out, i ? ", " : "");
		text_add(&out, g->lists[i]);
	}
	tell(t, "listed owners", "%g %% or more by parties of %s, direct or indirect, alone or together: %s",
	     g->listed_ppm / 1e4, codes, g->is_suspended ? "suspended, a red flag to look at" : "restricted");
}

int regime_each_fact(const struct regime *g, int (*fn)(void *ctx, const char *field, const char *text),
		     void *ctx)
{
	struct teller t = { fn, ctx, 0 };

	tell_head(&t, g);
	if (g->kind == REGIME_THRESHOLD)
		tell_threshold(&t, g);
	if (g->kind == REGIME_FRACTION)
		tell_fraction(&t, g);
	if (g->kind == REGIME_OWNER)
		tell(&t, "owner",
		     "flags headquarters, or an ultimate parent's, outside %s, tells %s apart, unknown is "
		     "never clear; a "
		     "case from %g %% of %s",
		     g->clear_set, g->apart_set, g->material_ppm / 1e4, g->threshold_of);
	if (g->kind == REGIME_LISTED)
		tell_listed(&t, g);
	tell_limits(&t, g);
	tell_rest(&t, g);
	return t.r;
}
