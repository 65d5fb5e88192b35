// SPDX-License-Identifier: Apache-2.0
/*
 * Lineages of runs that go by several names or accounts: one name for each, which stays, said of each of its
 * runs. A person's word holds before it, and what it is said of is never taken back: a lineage only grows.
 */
#include "jobs_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/yaml.h"

#define NEIGHBOURS 32 /* runs that a run's tie is looked for among, before and behind it */

void jobs_forget_parents(struct jobs *j)
{
	for (size_t i = 0; i < j->parent_count; i++)
		free(j->parents[i]);
	j->parent_count = 0;
}

static const char *said_before(void *ctx, const struct om_id *ledger, const struct om_id *job)
{
	return jobs_said_lineage(&((struct jobs *)ctx)->said, ledger, job);
}

static const char *persons_word(void *ctx, const struct om_id *ledger, const struct om_id *job)
{
	return jobs_said_word(&((struct jobs *)ctx)->said, ledger, job);
}

static int keep_parents(struct jobs *j, struct lineage_parent *list)
{
	if (j->parent_count == j->parent_room) {
		size_t room = j->parent_room ? 2 * j->parent_room : 16;
		struct lineage_parent **bigger = reallocarray(j->parents, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		j->parents = bigger;
		j->parent_room = room;
	}
	j->parents[j->parent_count++] = list;
	return 0;
}

/* What people declare a model to have been trained on from. */
static const struct lineage_parent *declared_parents(void *ctx, const char *subject, size_t *ret_count)
{
	struct jobs *j = ctx;
	uint64_t now = fleet_now_ns(CLOCK_REALTIME);
	const struct declaration *d = NULL;
	struct lineage_parent *list = NULL;
	size_t n = 0;

	while ((d = declarations_next(j->declarations, subject, DECLARE_PARENT, now, d))) {
		struct lineage_parent *more = reallocarray(list, n + 1, sizeof(*more));

		if (!more) {
			j->error = -ENOMEM;
			break;
		}
		list = more;
		list[n++] = (struct lineage_parent){ d->other, d->digest[0] };
	}
	if (list && keep_parents(j, list)) {
		free(list);
		j->error = -ENOMEM;
		n = 0;
		list = NULL;
	}
	*ret_count = n;
	return list;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

int jobs_name_of(const struct lineage_run *runs, const struct lineage_group *g, const char **ret)
{
	_cleanup_free_ const char **name = NULL;
	size_t n = 0, most = 0;

	*ret = g->name;
	if (g->is_declared)
		return 0;
	name = calloc(g->count + 1, sizeof(*name));
	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++)
		if (runs[g->member[i]].before)
			name[n++] = runs[g->member[i]].before;
	qsort(name, n, sizeof(*name), by_text);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && !strcmp(name[end], name[i]);)
			end++;
		if (end - i > most) {
			most = end - i;
			*ret = name[i];
		}
	}
	return 0;
}

static bool is_other_subject(const struct lineage_run *a, const struct lineage_run *b)
{
	if (strcmp(a->tenant, b->tenant) != 0 || !a->subject != !b->subject)
		return true;
	return a->subject && strcmp(a->subject, b->subject) != 0;
}

/* One name says the same as the model's total. */
static bool has_several_names(const struct lineage_run *runs, const struct lineage_group *g)
{
	for (size_t i = 1; i < g->count; i++)
		if (is_other_subject(&runs[g->member[0]], &runs[g->member[i]]))
			return true;
	return false;
}

double jobs_best_tie(const struct lineage_run *runs, const struct lineage_group *g, size_t at,
		     const char **ret_why)
{
	size_t first = at > NEIGHBOURS ? at - NEIGHBOURS : 0;
	double best = 0;

	*ret_why = "joined with others of it";
	for (size_t i = first; i < g->count && i <= at + NEIGHBOURS; i++) {
		const char *why;
		double tie = i == at ? 0 : lineage_tie(&runs[g->member[at]], &runs[g->member[i]], &why);

		if (tie > best) {
			best = tie;
			*ret_why = why;
		}
	}
	return best;
}

static bool is_sure(const struct lineage_run *a, const struct lineage_run *b)
{
	struct lineage_run x = *a, y = *b;
	const char *why;

	x.model = y.model = NULL; /* likeness is never sure */
	return lineage_tie(&x, &y, &why) >= LINEAGE_SURE;
}

static size_t root_of(size_t *root, size_t i)
{
	while (root[i] != i)
		i = root[i] = root[root[i]];
	return i;
}

/*
 * The largest part of a lineage that sure ties hold together: only it is in the lower bound, for what
 * likeness ties to it may be another model. root_of() of *ret is each member's part; the caller frees.
 * *ret_largest: the largest, `count` where no two are tied. Members are by time; each is compared with those
 * near it.
 */
static int sure_parts(const struct lineage_run *runs, const struct lineage_group *g, size_t **ret,
		      size_t *ret_largest)
{
	size_t *root = calloc(2 * g->count + 1, sizeof(*root)), *size = root + g->count, most = 1;

	if (!root)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++) {
		root[i] = i;
		for (size_t k = i > NEIGHBOURS ? i - NEIGHBOURS : 0; k < i; k++)
			if (is_sure(&runs[g->member[i]], &runs[g->member[k]]))
				root[root_of(root, i)] = root_of(root, k);
	}
	*ret_largest = g->count;
	for (size_t i = 0; i < g->count; i++)
		size[root_of(root, i)]++;
	for (size_t i = 0; i < g->count; i++)
		if (size[i] > most) {
			most = size[i];
			*ret_largest = i;
		}
	*ret = root;
	return 0;
}

static int say_lineage(struct look *l, const struct lineage_run *runs, const struct lineage_group *g,
		       const char *name)
{
	_cleanup_free_ size_t *part = NULL;
	size_t largest;
	int r = sure_parts(runs, g, &part, &largest);

	for (size_t i = 0; r == 0 && i < g->count; i++) {
		const struct lineage_run *run = &runs[g->member[i]];
		/* Of all of a job instance's days, whichever of them is known here. */
		struct om_assignment a = { .ledger = run->ledger,
					   .job = run->job,
					   .kind = OM_ASSIGN_LINEAGE,
					   .share_high_ppm = 1000000 };
		const struct said *known = jobs_said_find(&l->jobs->said, &a);
		const char *why;
		double tie;

		if (run->declared)
			continue;
		a.share_low_ppm = root_of(part, i) == largest ? 1000000 : 0;
		if (known && !strcmp(known->value, name) && known->share_low_ppm == a.share_low_ppm)
			continue;
		tie = jobs_best_tie(runs, g, i, &why);
		snprintf(a.value, sizeof(a.value), "%s", name);
		snprintf(a.evidence, sizeof(a.evidence),
			 "One of %zu runs of lineage %.64s, which go by several names. Its surest tie: %s, "
			 "%.2f; the weakest of the lineage: %.2f.",
			 g->count, name, why, tie, g->confidence);
		r = jobs_said_add(&l->jobs->said, l->jobs->fleet, &a);
	}
	return r;
}

/* Once for two tenants and a size of model. */
static int tell_likeness(struct look *l, const struct lineage_run *a, const struct lineage_run *b,
			 double likeness)
{
	bool is_turned = strcmp(a->tenant, b->tenant) > 0;
	const char *first = jobs_whose(is_turned ? b->tenant : a->tenant),
		   *second = jobs_whose(is_turned ? a->tenant : b->tenant);
	char subject[300], level[96], sentence[500];

	snprintf(subject, sizeof(subject), "%.128s+%.128s", first, second);
	snprintf(level, sizeof(level), "h%" PRIu64 "-l%" PRIu32 "-v%" PRIu64, a->model->hidden,
		 a->model->layers, a->model->vocabulary);
	if (!jobs_may_tell(l, OF_LIKENESS, subject, RULE_LINEAGE, level,
			   (const char *const[2]){ first, second }))
		return 0;
	snprintf(sentence, sizeof(sentence),
		 "Tenants %.100s and %.100s compute models that are alike by %.2f (hidden size %" PRIu64
		 ", %" PRIu32 " layers) and no open architecture: they are not joined.",
		 first, second, likeness, a->model->hidden, a->model->layers);
	return findings_emit(
		l->findings, subject, RULE_LINEAGE, level, sentence,
		json_pack("{s:[s,s],s:f,s:s}", "tenants", first, second, "likeness", likeness, "what_to_do",
			  "find out whether they train one model; a person joins runs by `opmeter lineage "
			  "join`"));
}

/* The first run of a group that has a model. */
static const struct lineage_run *face_of(const struct lineage_run *runs, const struct lineage_group *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (runs[g->member[i]].model)
			return &runs[g->member[i]];
	return NULL;
}

/* Once a day. What makes so many models may be made to hide one of them. */
static int tell_not_compared(struct look *l, const struct lineages *all)
{
	char sentence[400], day[16], models[24], findings[24];

	if (!all->not_compared && !all->findings_left_out)
		return 0;
	date_format((int32_t)(l->now_ns / DAY_NS), day);
	snprintf(models, sizeof(models), "%" PRIu64, all->not_compared);
	snprintf(findings, sizeof(findings), "%zu", all->findings_left_out);
	snprintf(sentence, sizeof(sentence),
		 "%s models were not held against all others of nearly their size, and %s likenesses of two "
		 "tenants have no room: lineages may be missing.",
		 models, findings);
	return findings_emit(
		l->findings, "lineages", "lineages-not-compared", day, sentence,
		json_pack("{s:s,s:s,s:s}", "models", models, "findings", findings, "what_to_do",
			  "look who computes hundreds of different models: `opmeter lineage list --api`"));
}

int jobs_look_at_lineages(struct look *l)
{
	struct jobs *j = l->jobs;
	struct together_words words = { .ctx = j,
					.before = said_before,
					.declared = persons_word,
					.parents = declared_parents,
					.known = j->known };
	const struct lineage_run *runs;
	const struct lineages *all;
	size_t count;
	int r;

	jobs_forget_parents(j);
	j->declarations = j->fleet->law.declarations;
	r = together_lineages(processes_together(j->processes), &words, &runs, &count, &all);
	r = r ?: j->error;
	for (size_t i = 0; r == 0 && i < all->groups; i++) {
		const char *name;

		if (!has_several_names(runs, &all->group[i]))
			continue;
		r = jobs_name_of(runs, &all->group[i], &name);
		r = r ?: say_lineage(l, runs, &all->group[i], name);
	}
	for (size_t i = 0; r == 0 && i < all->findings; i++) {
		const struct lineage_finding *f = &all->finding[i];
		const struct lineage_run *a = face_of(runs, &all->group[f->a]),
					 *b = face_of(runs, &all->group[f->b]);

		if (!f->is_known && a && b)
			r = tell_likeness(l, a, b, f->likeness);
	}
	return r ?: tell_not_compared(l, all);
}
