// SPDX-License-Identifier: Apache-2.0
/* What one regime makes of one subject: the limit, the levels, what is missing, and why. */
#include <stdio.h>
#include <string.h>

#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL

const char *verdict_standing_name(enum verdict_standing s)
{
	static const char *const names[] = { "none",	    "possible", "reached",
					     "conditional", "exempt",	"not held" };

	return names[s];
}

static const struct regime_level *highest(const struct verdict *v, opcount low, opcount high)
{
	const struct regime *g = v->regime;

	for (size_t i = g->level_count; i-- > 0;) {
		const struct regime_level *l = &g->levels[i];

		if ((l->lower ? low : high) >= regime_limit_figure(&v->limit, l->share_ppm))
			return l;
	}
	return NULL;
}

static void end(struct verdict *v, enum verdict_standing standing, const char *why)
{
	v->standing = standing;
	snprintf(v->missing, sizeof(v->missing), "%s", why);
}

/* Facts that the regime asks for. False: one is declared not to hold. `unknown` collects the others. */
static bool conditions_hold(const struct policy *p, const struct policy_subject *s, const struct regime *g,
			    struct verdict *v, char *unknown, size_t size)
{
	for (size_t i = 0; i < g->requires_count; i++) {
		const struct regime_condition *c = &g->requires[i];
		const struct declaration *d = NULL;
		size_t at = strlen(unknown);

		while ((d = declarations_next(p->declarations, s->name, DECLARE_FACT, p->now_ns, d)) &&
		       strcmp(d->other, c->fact))
			;
		/* A mere word lowers nothing: what would take the subject out of the rule must be shown. */
		if (!d || (!d->value && !d->digest[0])) {
			snprintf(unknown + at, size - at, "%s%s", at ? "; " : "", c->what);
			step(v->steps, "condition '%s' (%s): %s%s%s", c->fact, c->what,
			     d ? "declared by " : "nobody has declared it", d ? d->by : "",
			     d ? " not to hold, without evidence: it stays open" : "");
		} else if (!d->value) {
			char why[300];

			snprintf(why, sizeof(why), "declared by %s that it is not so: %s", d->by, c->what);
			end(v, VERDICT_NOT_HELD, why);
			step(v->steps, "condition '%s': %s", c->fact, v->missing);
			return false;
		} else {
			v->has_declared = true;
			step(v->steps, "condition '%s' (%s): declared by %s", c->fact, c->what, d->by);
		}
	}
	return true;
}

static bool limit_is_more(const struct regime_limit *a, const struct regime_limit *b)
{
	return regime_limit_figure(a, PPM_ONE) > regime_limit_figure(b, PPM_ONE);
}

/* Note 1: the higher of a number and a part of the floor. Without the floor's number the limit may lie
 * higher. */
static struct regime_limit derived_limit(const struct regime *g)
{
	struct regime_limit abs = { g->derived.at_least, 1, 1, g->derived.comparator };
	struct regime_limit part = { g->floor, g->derived.num, g->derived.den, g->derived.comparator };

	return g->floor && limit_is_more(&part, &abs) ? part : abs;
}

static void tell_limit(struct verdict *v, const char *what)
{
	char n[OPCOUNT_STRLEN], exact[OPCOUNT_STRLEN];

	step(v->steps, "%s: met from %s operations on (%s)", what,
	     opcount_human(regime_limit_figure(&v->limit, PPM_ONE), n),
	     opcount_format(regime_limit_figure(&v->limit, PPM_ONE), exact));
}

/* From published weights, below the limit: exempt, with early levels of that limit. True: that is the
 * verdict. */
static bool judge_derived(const struct figure *f, struct verdict *v)
{
	const struct regime *g = v->regime;
	opcount at;
	char why[300];

	v->is_derived = true;
	v->limit = derived_limit(g);
	v->low = f->additional.low;
	v->high = f->additional.high;
	v->level = highest(v, v->low, v->high);
	at = regime_limit_figure(&v->limit, PPM_ONE);
	tell_limit(v, "limit of what may be derived from published weights");
	if (v->high >= at && !g->floor_missing)
		v->cases |= 1u << CASE_EXEMPTION_LOST;
	if (f->missing[0] && v->low < at) {
		end(v, VERDICT_CONDITIONAL, f->missing);
		step(v->steps, "what was added to the published weights is not all known: neither exempt nor "
			       "beyond");
		return true;
	}
	if (v->high < at) {
		snprintf(why, sizeof(why), "derived from published weights, %s", g->derived.citation);
		end(v, VERDICT_EXEMPT, why);
		step(v->steps, "the upper bound is below that limit: exempt");
		return true;
	}
	if (g->floor_missing) {
		end(v, VERDICT_CONDITIONAL, g->floor_missing);
		step(v->steps, "that limit may lie higher: %s is not known", g->floor_missing);
		return true;
	}
	step(v->steps, "%s bound is beyond that limit: the exemption of Note 1 %s",
	     v->low >= at ? "the lower" : "only the upper", v->low >= at ? "is lost" : "may be lost");
	return false;
}

static void conclude(struct verdict *v, const char *missing, const char *unknown)
{
	const struct regime *g = v->regime;
	opcount at = regime_limit_figure(&v->limit, PPM_ONE);
	bool full = v->level && v->level->share_ppm == PPM_ONE;

	if (g->threshold_missing)
		end(v, VERDICT_CONDITIONAL, g->threshold_missing);
	else if (*missing && v->low < at)
		end(v, VERDICT_CONDITIONAL, missing);
	else if (!v->level)
		end(v, VERDICT_NONE, "");
	else if (*unknown)
		end(v, VERDICT_CONDITIONAL, unknown);
	else if (full && g->floor_missing)
		end(v, VERDICT_CONDITIONAL, g->floor_missing);
	else if (v->low < regime_limit_figure(&v->limit, v->level->share_ppm))
		end(v, VERDICT_POSSIBLE, "");
	else
		end(v, VERDICT_REACHED, "");
	/* Below the floor and above the threshold: Note 2 takes it out of control. */
	if (v->standing != VERDICT_CONDITIONAL && g->floor > g->threshold && v->high < at &&
	    v->low >= g->threshold) {
		char why[300];

		snprintf(why, sizeof(why), "below the %s", g->floor_what);
		end(v, VERDICT_EXEMPT, why);
	}
}

/* What speaks against a figure, however low it is. A gap is worth a case when it comes again, and of what is
 * a hundredth of the limit at least: a design choice. */
static void add_doubts(const struct policy_subject *s, struct verdict *v, opcount first, opcount at)
{
	struct range with = { 0, v->high };

	range_add(&with, 0, s->total->suspected);
	if (s->total->suspected && with.high >= first)
		v->cases |= 1u << CASE_SUSPECTED_TRAINING;
	if (s->total->gap_days > 1 && v->high >= at / 100)
		v->cases |= 1u << CASE_TELEMETRY_GAP;
}

static void find_cases(const struct policy_subject *s, const struct figure *f, struct verdict *v)
{
	opcount at = regime_limit_figure(&v->limit, PPM_ONE);
	opcount first =
		v->regime->level_count ? regime_limit_figure(&v->limit, v->regime->levels[0].share_ppm) : at;
	bool full = v->level && v->level->share_ppm == PPM_ONE;

	/* A level of the whole limit that a regime calls "notice" exceeds nothing that a case is about. */
	if (full && v->level->lower && v->standing == VERDICT_REACHED)
		v->cases |= 1u << CASE_EXCEEDED;
	if (full && v->standing == VERDICT_CONDITIONAL)
		v->cases |= 1u << CASE_CONDITIONAL;
	if (v->high >= at && f->observed.high < at && f->has_declared)
		v->cases |= 1u << CASE_PARTIAL_VIEW;
	add_doubts(s, v, first, at);
	if (!v->level)
		return;
	if (s->tenants > 1 && s->largest_high < first)
		v->cases |= 1u << CASE_STRUCTURING;
	if (s->group == POLICY_LINEAGE && s->models > 1 && s->largest_high < first)
		v->cases |= 1u << CASE_LINEAGE_MERGE;
}

static void add_missing(char to[MISSING_MAX], const char *what)
{
	size_t at = strlen(to);

	snprintf(to + at, MISSING_MAX - at, "%s%s", at ? "; " : "", what);
}

static void judge_threshold(const struct policy *p, const struct policy_subject *s, struct verdict *v,
			    const char *unknown)
{
	const struct regime *g = v->regime;
	struct figure f;
	struct range ceiling;
	char missing[sizeof(f.missing) + sizeof(f.parents_missing) + 2];

	policy_figure(p, s, g, v->steps, &f);
	v->has_declared |= f.has_declared;
	v->observed_low = f.observed.low;
	v->observed_high = f.observed.high;
	if (g->published_exempt && f.is_published) {
		v->low = f.additional.low;
		v->high = f.additional.high;
		end(v, VERDICT_EXEMPT, "its parameters are declared published");
		step(v->steps, "its parameters are declared published, with evidence: exempt");
		return;
	}
	if (g->derived.is_set && f.has_parent && f.is_parent_published && judge_derived(&f, v))
		return;
	v->limit = regime_limit_of(g);
	ceiling = f.additional;
	range_add(&ceiling, f.parents.low, f.parents.high);
	v->low = ceiling.low;
	v->high = ceiling.high;
	if (!g->threshold_missing) {
		tell_limit(v, "threshold");
		v->level = highest(v, v->low, v->high);
		v->observed_level = highest(v, v->observed_low, v->observed_high);
	}
	if (s->total->training_ceiling > s->total->training_high && !g->threshold_missing) {
		range_add(&ceiling, 0, s->total->training_ceiling - s->total->training_high);
		v->ceiling = ceiling.high;
		v->ceiling_level = highest(v, v->low, v->ceiling);
		if (v->ceiling_level == v->level)
			v->ceiling_level = NULL;
	}
	if (g->figure == REGIME_EXECUTED && s->total->is_older)
		add_missing(f.missing, "what was executed, of aggregators of an earlier version");
	snprintf(missing, sizeof(missing), "%s%s%s", f.parents_missing,
		 f.parents_missing[0] && f.missing[0] ? "; " : "", f.missing);
	conclude(v, missing, unknown);
	find_cases(s, &f, v);
}

/* Operations beyond the parent's, against a part of the parent's. */
static void judge_fraction(const struct policy *p, const struct policy_subject *s, struct verdict *v,
			   const char *unknown)
{
	const struct regime *g = v->regime;
	struct figure f;
	opcount base;

	policy_figure(p, s, g, v->steps, &f);
	v->observed_low = f.observed.low;
	v->observed_high = f.observed.high;
	v->low = f.additional.low;
	v->high = f.additional.high;
	v->has_declared = f.has_declared;
	if (!f.has_parent || (g->fraction.unpublished && f.is_parent_published)) {
		end(v, VERDICT_NONE, "");
		step(v->steps, f.has_parent ? "the parent's weights are published: the rule is not about it"
					    : "no parent is declared: nothing was trained on from");
		return;
	}
	if (f.parents_missing[0] && !g->fraction.fallback) {
		end(v, VERDICT_CONDITIONAL, f.parents_missing);
		step(v->steps, "the part is of the parent's operations, and they are not known");
		return;
	}
	base = f.parents_missing[0] ? g->fraction.fallback : f.parents.low;
	if (f.parents_missing[0])
		step(v->steps, "the parent's operations are not known: a number stands in");
	v->limit = (struct regime_limit){ base, g->fraction.num, g->fraction.den, g->comparator };
	tell_limit(v, "limit");
	v->level = highest(v, v->low, v->high);
	v->observed_level = highest(v, v->observed_low, v->observed_high);
	conclude(v, f.missing, unknown);
	/* The parent's are known to an interval: what reaches a part of its low end need not reach one of its
	 * high end. */
	if (v->standing == VERDICT_REACHED && base == f.parents.low && f.parents.high > base) {
		struct regime_limit upper = v->limit;

		upper.operations = f.parents.high;
		if (v->low < regime_limit_figure(&upper, v->level->share_ppm))
			end(v, VERDICT_POSSIBLE, "");
	}
}

static void tell_end(struct verdict *v)
{
	char text[400];

	if (v->ceiling_level)
		step(v->steps,
		     "with what only time held x peak bounds level '%s' would be possible: reported, "
		     "never paged",
		     v->ceiling_level->name);
	step(v->steps, "verdict: %s", verdict_words(v, text, sizeof(text)));
}

void policy_verdict(const struct policy *p, const struct policy_subject *s, const struct regime *g,
		    struct verdict *ret)
{
	struct verdict_steps *steps = ret->steps;
	char unknown[256] = "";
	int32_t day = (int32_t)(p->now_ns / NS_PER_DAY);

	*ret = (struct verdict){ .regime = g, .steps = steps };
	ret->limit = regime_limit_of(g);
	ret->meters = s->total->meters & ~(1u << OM_METER_ALLOCATION);
	if (!regime_covers(g, day)) {
		end(ret, VERDICT_NOT_HELD, "its window does not cover the day");
		step(steps, "the window of %s version %s does not cover the day", g->id, g->version);
		return;
	}
	/* Most subjects are far below everything: that costs nothing. */
	if (!steps && g->kind == REGIME_THRESHOLD && !g->threshold_missing &&
	    s->total->training_ceiling < g->first_figure && s->total->training_high < g->first_figure &&
	    g->figure == REGIME_ALGORITHMIC && !s->total->suspected && !s->total->gap_days &&
	    !declarations_concern(p->declarations, s->name)) {
		ret->observed_low = ret->low = s->total->training_low;
		ret->observed_high = ret->high = s->total->training_high;
		return;
	}
	if (conditions_hold(p, s, g, ret, unknown, sizeof(unknown))) {
		if (g->kind == REGIME_THRESHOLD)
			judge_threshold(p, s, ret, unknown);
		else if (g->kind == REGIME_FRACTION)
			judge_fraction(p, s, ret, unknown);
	}
	tell_end(ret);
}

const char *verdict_words(const struct verdict *v, char *buf, size_t size)
{
	const char *level = v->level ? v->level->name : NULL;

	switch (v->standing) {
	case VERDICT_NONE:
		snprintf(buf, size, "none");
		break;
	case VERDICT_CONDITIONAL:
		snprintf(buf, size,
			 level ? "conditional(%s): whether level '%s' is met depends on that"
			       : "conditional(%s)",
			 v->missing, level);
		break;
	case VERDICT_EXEMPT:
	case VERDICT_NOT_HELD:
		snprintf(buf, size, "%s%s%s(%s)", level ? level : "", level ? " " : "",
			 verdict_standing_name(v->standing), v->missing);
		break;
	default:
		snprintf(buf, size, "%s %s", level ? level : "", verdict_standing_name(v->standing));
	}
	return buf;
}
