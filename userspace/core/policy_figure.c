// SPDX-License-Identifier: Apache-2.0
/*
 * What counts for a regime beside what is observed here: operations elsewhere, synthetic
 * data and the training of what generated it (Technical Note 3 of 4E091), the parent
 * that a model was trained on from. A model's training counts once, however many ways
 * lead to it: the models that were counted are remembered.
 *
 * With the digest of its evidence a declaration enters both bounds, without one the upper only.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/text.h"
#include "policy_internal.h"

#define MODELS_MAX 64
#define DEPTH_MAX 16
/* Models looked at for one verdict, however declarations lead from one to another. */
#define LOOKS_MAX 4096
/* That see what a device does, not only what it was asked for. */
#define EXECUTION_METERS (1u << OM_METER_LAUNCH | 1u << OM_METER_COUNTER | 1u << OM_METER_DEVICE)

/* The models whose own training is in the sum already. */
struct counted {
	const char *name[MODELS_MAX];
	size_t count;
};

struct walk {
	const struct policy *p;
	const struct regime *g;
	struct verdict_steps *steps;
	struct counted seen;
	const struct walk *outer; /* whose probe this is; NULL: no probe */
	char *missing;		  /* MISSING_MAX bytes, a probe's are its walk's */
	unsigned *looks;	  /* how many are left */
};

void add_step(struct verdict_steps *steps, const char *fmt, ...)
{
	va_list args;

	if (steps->count == VERDICT_STEPS_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(steps->text[steps->count++], sizeof(steps->text[0]), fmt, args);
	va_end(args);
}

void range_add(struct range *to, opcount low, opcount high)
{
	opcount_add_saturating(&to->low, low);
	opcount_add_saturating(&to->high, high);
}

const char *range_text(const struct range *r, char *buf, size_t size)
{
	char low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];

	struct text_out t = { .buf = buf, .size = size };

	text_add(&t, opcount_human(r->low, low));
	if (r->low != r->high) {
		text_add(&t, " to ");
		text_add(&t, opcount_human(r->high, high));
	}
	return buf;
}

static const struct declaration *next(const struct walk *w, const char *subject, enum declaration_kind kind,
				      const struct declaration *after)
{
	return declarations_next(w->p->declarations, subject, kind, w->p->now_ns, after);
}

static bool is_published(const struct walk *w, const char *model)
{
	const struct declaration *d = next(w, model, DECLARE_PUBLICATION, NULL);

	return d && d->digest[0];
}

static bool is_among(const struct counted *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (!strcmp(c->name[i], name))
			return true;
	return false;
}

/* False: it was counted before, here or by a probe that led here. */
static bool count_once(struct walk *w, const char *name)
{
	for (const struct walk *o = w->outer; o && o->outer; o = o->outer)
		if (is_among(&o->seen, name))
			return false;
	if (is_among(&w->seen, name))
		return false;
	if (w->seen.count < MODELS_MAX)
		w->seen.name[w->seen.count++] = name;
	return true;
}

static void add_declared(struct range *to, const struct declaration *d)
{
	range_add(to, d->digest[0] ? d->low : 0, d->high);
}

/* Each gap is told once, however many ways lead to it. What a probe lacks and its walk has counted is told
 * there. */
static void miss(struct walk *w, const char *model)
{
	char gap[DECLARATION_NAME_MAX + 32];
	size_t at = strlen(w->missing), n;

	for (const struct walk *o = w->outer; o; o = o->outer)
		if (is_among(&o->seen, model))
			return;
	n = (size_t)snprintf(gap, sizeof(gap), "training operations of %s", model);
	for (const char *s = strstr(w->missing, gap); s; s = strstr(s + 1, gap))
		if (!s[n] || s[n] == ';')
			return;
	snprintf(w->missing + at, MISSING_MAX - at, "%s%s", at ? "; " : "", gap);
}

static void add_synthetic(struct walk *w, const char *model, struct range *to, int depth);

/* A model's own training. What is declared without evidence adds to what is observed here and never takes
 * from it. */
static void add_own(struct walk *w, const char *model, struct range *to)
{
	const struct declaration *own = next(w, model, DECLARE_TRAINING, NULL);
	struct range here = { 0, 0 };
	bool is_seen = !(own && own->digest[0]) && w->p->observed &&
		       w->p->observed(w->p->observed_ctx, model, &here.low, &here.high) == 0;
	char text[100];

	if (is_seen)
		step(w->steps, "%s: %s operations of training, observed here", model,
		     range_text(&here, text, sizeof(text)));
	if (own) {
		step(w->steps, "%s: %s operations of training, declared by %s%s", model,
		     range_text(&(struct range){ own->low, own->high }, text, sizeof(text)), own->by,
		     own->digest[0] ? "" : " without evidence: in the upper bound only, where it is higher");
		if (own->digest[0])
			here.low = own->low;
		if (own->high > here.high)
			here.high = own->high;
	}
	/* A mere word may be too low, so it fills no gap: whoever is asked must show it. */
	if (!is_seen && !(own && own->digest[0])) {
		miss(w, model);
		step(w->steps,
		     own ? "%s: nothing shows that it was not trained more"
			 : "%s: how much it was trained is neither declared nor observed here",
		     model);
	}
	range_add(to, here.low, here.high);
}

/* The whole training of a model that is not the subject: its own, its parents', its generators'. */
static void add_model(struct walk *w, const char *model, struct range *to, int depth)
{
	const struct declaration *parent;

	if (!count_once(w, model))
		return;
	if (depth > DEPTH_MAX || !*w->looks) {
		miss(w, model);
		step(w->steps, "%s: too many models lead to it, its training is not followed", model);
		return;
	}
	--*w->looks;
	add_own(w, model, to);
	for (parent = next(w, model, DECLARE_PARENT, NULL); parent;
	     parent = next(w, model, DECLARE_PARENT, parent))
		add_model(w, parent->other, to, depth + 1);
	add_synthetic(w, model, to, depth + 1);
}

/* Technical Note 3 asks for more than a share, on data that is not published, of one generator. That data is
 * published takes something away, so without evidence it does not hold for the upper bound. */
static bool is_counted(const struct walk *w, const struct declaration *d, bool upper)
{
	return !(d->value && (!upper || d->digest[0])) &&
	       (upper ? d->share_high_ppm : d->share_low_ppm) > w->g->synthetic.over_ppm;
}

/* Of several unpublished generators the one with the most training alone counts. One whose training is not
 * known may be it: what is missing of any of them is missing of the sum. */
static const struct declaration *largest_generator(struct walk *w, const char *model, int depth)
{
	const struct declaration *best = NULL;
	opcount most = 0;

	for (const struct declaration *d = next(w, model, DECLARE_SYNTHETIC, NULL); d;
	     d = next(w, model, DECLARE_SYNTHETIC, d)) {
		struct walk probe = {
			.p = w->p, .g = w->g, .outer = w, .missing = w->missing, .looks = w->looks
		};
		struct range r = { 0, 0 };
		size_t known = strlen(w->missing);

		if (!is_counted(w, d, true) || is_published(w, d->other))
			continue;
		add_model(&probe, d->other, &r, depth + 1);
		if (w->missing[known])
			step(w->steps, "%s may be the generator with the most training: not known: %s",
			     d->other, w->missing + known + (known ? 2 : 0));
		if (!best || r.high > most) {
			best = d;
			most = r.high;
		}
	}
	return best;
}

static void add_synthetic(struct walk *w, const char *model, struct range *to, int depth)
{
	const struct declaration *largest;
	char text[100];

	if (!w->g->synthetic.is_set || !next(w, model, DECLARE_SYNTHETIC, NULL))
		return;
	largest = largest_generator(w, model, depth);
	for (const struct declaration *d = next(w, model, DECLARE_SYNTHETIC, NULL); d;
	     d = next(w, model, DECLARE_SYNTHETIC, d)) {
		struct range r = { 0, 0 };

		if (!is_counted(w, d, true)) {
			step(w->steps,
			     "synthetic data of %s: %g to %g %%, %s: not more than %g %%, it adds nothing",
			     d->other, d->share_low_ppm / 1e4, d->share_high_ppm / 1e4,
			     d->value ? "published" : "unpublished", w->g->synthetic.over_ppm / 1e4);
			continue;
		}
		add_declared(&r, d);
		step(w->steps, "synthetic data of %s: %g to %g %% of the operations, %s: %s to generate it",
		     d->other, d->share_low_ppm / 1e4, d->share_high_ppm / 1e4,
		     d->value ? "published without evidence" : "unpublished",
		     range_text(&(struct range){ d->low, d->high }, text, sizeof(text)));
		if (d == largest)
			add_model(w, d->other, &r, depth + 1);
		/* Where only the high end of the share is over, it is in the upper bound only. */
		range_add(to, is_counted(w, d, false) && d->digest[0] ? r.low : 0, r.high);
	}
}

static void add_elsewhere(struct walk *w, const char *subject, struct figure *f)
{
	for (const struct declaration *d = next(w, subject, DECLARE_EXTERNAL, NULL); d;
	     d = next(w, subject, DECLARE_EXTERNAL, d)) {
		char text[100];

		add_declared(&f->additional, d);
		f->has_declared = true;
		step(w->steps, "elsewhere (%s): %s operations, declared by %s%s", d->other,
		     range_text(&(struct range){ d->low, d->high }, text, sizeof(text)), d->by,
		     d->digest[0] ? ", with evidence" : " without evidence: in the upper bound only");
	}
}

static void add_parent(struct walk *w, const char *subject, struct figure *f)
{
	for (const struct declaration *d = next(w, subject, DECLARE_PARENT, NULL); d;
	     d = next(w, subject, DECLARE_PARENT, d)) {
		/* What would exempt it rests on evidence for both: that it comes from there, and that that is
		 * out. */
		bool published = is_published(w, d->other) && d->digest[0];

		f->is_parent_published = f->has_parent ? f->is_parent_published && published : published;
		f->has_parent = f->has_declared = true;
		f->parent = d;
		step(w->steps, "trained on from %s, %s, as %s declared", d->other,
		     published			 ? "whose weights are published"
		     : is_published(w, d->other) ? "published, but nothing shows that it comes from there"
						 : "not declared published",
		     d->by);
		add_model(w, d->other, &f->parents, 1);
	}
}

static struct range observed(const struct om_subject_total *t, const struct regime *g)
{
	if (g->figure == REGIME_EXECUTED)
		return (struct range){ t->executed_low, t->executed_high };
	return (struct range){ t->training_low, t->training_high };
}

void policy_figure(const struct policy *p, const struct policy_subject *s, const struct regime *g,
		   struct verdict_steps *steps, struct figure *ret)
{
	unsigned looks = LOOKS_MAX;
	struct walk w = { .p = p, .g = g, .steps = steps, .missing = ret->parents_missing, .looks = &looks };
	char text[100];

	memset(ret, 0, sizeof(*ret));
	ret->observed = observed(s->total, g);
	ret->additional = ret->observed;
	step(steps, "observed here: %s operations of training%s",
	     range_text(&ret->observed, text, sizeof(text)),
	     s->total->attempted ? ", as asked for: no device meter stands behind them" : "");
	if (s->total->meters & EXECUTION_METERS)
		step(steps, "beside it: %s operations executed for training by the devices%s",
		     range_text(&(struct range){ s->total->executed_low, s->total->executed_high }, text,
				sizeof(text)),
		     s->total->attempted ? ", in part as asked for" : "");
	else
		step(steps,
		     "beside it: what devices executed is not known: no meter of theirs stands behind it");
	if (s->total->is_older)
		step(steps, "in part from an aggregator of an earlier version: what was executed, what is "
			    "suspected and gaps are not all known");
	if (s->total->suspected)
		step(steps, "a person says inference where the shapes say training: up to %s operations more",
		     opcount_human(s->total->suspected, text));
	if (s->total->gap_days)
		step(steps,
		     "%llu days of jobs with something that could not be counted: confidence is lowered",
		     (unsigned long long)s->total->gap_days);
	if (!declarations_concern(p->declarations, s->name))
		return;
	w.seen.name[w.seen.count++] = s->name;
	ret->is_published = is_published(&w, s->name);
	add_elsewhere(&w, s->name, ret);
	add_parent(&w, s->name, ret);
	w.missing = ret->missing;
	if (g->synthetic.is_set && next(&w, s->name, DECLARE_SYNTHETIC, NULL)) {
		ret->has_declared = true;
		add_synthetic(&w, s->name, &ret->additional, 0);
	}
}
