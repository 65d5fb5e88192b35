// SPDX-License-Identifier: Apache-2.0
/*
 * Which runs are held against each other. Whatever ties each of some runs to each other needs one of them
 * only, held against all: the sets that come of it are the same. Of runs with one model those that do not
 * overlap are tied; each that has such a partner has one in the run that ends first or in the one that begins
 * last, which are each other's. Models are compared with others of nearly their size only.
 */
#include "lineage_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define NONE UINT32_MAX
#define GLANCES_MAX (16 * LINEAGE_COMPARED_MAX)
#define WORK_MAX 200000000 /* pairs of weights of one tenant, or in finding: a fraction of a second */

static const struct lineage_run *run_at(const struct making *m, uint32_t position)
{
	return &m->runs[m->order[position]];
}

/* --- words, jobs, what was said before: one text or id for several runs --- */

struct labelled {
	const void *label;
	size_t size;
	uint32_t position;
	bool is_strong; /* of a declared checkpoint: with evidence */
};

static int compare_labels(const struct labelled *a, const struct labelled *b)
{
	int r = memcmp(a->label, b->label, a->size < b->size ? a->size : b->size);

	return r ?: (a->size > b->size) - (a->size < b->size);
}

static int by_label(const void *x, const void *y)
{
	const struct labelled *a = x, *b = y;
	int r = compare_labels(a, b);

	r = r ?: (a->is_strong ? 0 : 1) - (b->is_strong ? 0 : 1);
	return r ?: (a->position > b->position) - (a->position < b->position);
}

/* The one that all others are held against: one that nobody named holds whoever is not named, too. */
static uint32_t hub_of(const struct making *m, const struct labelled *l, size_t count)
{
	uint32_t named = NONE;

	for (size_t i = 0; i < count; i++) {
		const struct lineage_run *r = run_at(m, l[i].position);

		if (!r->declared && !r->is_parted)
			return l[i].position;
		named = named == NONE && !r->is_parted ? l[i].position : named;
	}
	return named == NONE ? l[0].position : named;
}

static int tie_labelled(struct making *m, struct labelled *l, size_t count, bool is_chain)
{
	int r = 0;

	if (count)
		qsort(l, count, sizeof(*l), by_label);
	for (size_t i = 0, end; r == 0 && i < count; i = end) {
		uint32_t hub;

		for (end = i + 1; end < count && !compare_labels(&l[end], &l[i]);)
			end++;
		hub = is_chain ? l[i].position : hub_of(m, &l[i], end - i);
		for (size_t k = i; r == 0 && k < end; k++)
			r = lineage_consider(m, hub, l[k].position, -1);
	}
	return r;
}

enum what { WORDS, JOBS, BEFORE };

static size_t labels_of(const struct lineage_run *r, enum what what)
{
	return what == JOBS ? lineage_jobs(r) : what == WORDS ? r->declared != NULL : r->before != NULL;
}

static struct labelled label_of(const struct lineage_run *r, enum what what, size_t i, uint32_t position)
{
	const char *word = what == WORDS ? r->declared : r->before;

	if (what == JOBS)
		return (struct labelled){ lineage_job(r, i), sizeof(struct om_id), position, false };
	return (struct labelled){ word, strlen(word), position, false };
}

static int tie_by(struct making *m, enum what what)
{
	_cleanup_free_ struct labelled *l = NULL;
	size_t n = 0;

	for (uint32_t i = 0; i < m->count; i++)
		n += labels_of(run_at(m, i), what);
	l = calloc(n + 1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < m->count; i++)
		for (size_t k = 0; k < labels_of(run_at(m, i), what); k++)
			l[n++] = label_of(run_at(m, i), what, k, i);
	return tie_labelled(m, l, n, what == WORDS);
}

/* --- declared checkpoints --- */

static size_t first_of(const struct labelled *l, size_t count, const struct labelled *wanted)
{
	size_t lo = 0, hi = count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (compare_labels(&l[mid], wanted) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* All children of one parent, and all runs that it may be. */
static int tie_family(struct making *m, const struct labelled *child, size_t children,
		      const struct labelled *parent, size_t parents)
{
	uint32_t of_children = hub_of(m, child, children), of_parents = hub_of(m, parent, parents);
	int r = 0;

	for (size_t i = 0; r == 0 && i < children; i++)
		r = lineage_consider(m, child[i].position, of_parents, -1);
	for (size_t i = 0; r == 0 && i < parents; i++)
		r = lineage_consider(m, of_children, parent[i].position, -1);
	return r;
}

static int tie_declared(struct making *m)
{
	_cleanup_free_ struct labelled *child = NULL, *parent = calloc(m->count + 1, sizeof(*parent));
	size_t children = 0, parents = 0;
	int r = 0;

	for (uint32_t i = 0; i < m->count; i++)
		children += run_at(m, i)->parents;
	child = calloc(children + 1, sizeof(*child));
	if (!child || !parent)
		return -ENOMEM;
	children = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		const struct lineage_run *run = run_at(m, i);

		for (size_t k = 0; k < run->parents; k++)
			child[children++] =
				(struct labelled){ run->parent[k].name, strlen(run->parent[k].name), i,
						   run->parent[k].has_evidence };
		if (run->subject)
			parent[parents++] = (struct labelled){ run->subject, strlen(run->subject), i, false };
	}
	if (!children || !parents)
		return 0;
	qsort(child, children, sizeof(*child), by_label);
	qsort(parent, parents, sizeof(*parent), by_label);
	for (size_t i = 0, end; r == 0 && i < children; i = end) {
		size_t from = first_of(parent, parents, &child[i]), to = from;

		for (end = i + 1; end < children && !compare_labels(&child[end], &child[i]);)
			end++;
		while (to < parents && !compare_labels(&parent[to], &child[i]))
			to++;
		if (to > from)
			r = tie_family(m, &child[i], end - i, &parent[from], to - from);
	}
	return r;
}

int lineage_tie_words(struct making *m)
{
	int r = tie_by(m, WORDS);

	r = r ?: tie_by(m, JOBS);
	r = r ?: tie_by(m, BEFORE);
	return r ?: tie_declared(m);
}

/* --- likeness --- */

/* Runs of one tenant with one model: a range of positions. */
struct class
{
	uint32_t first, count;
	uint32_t ends_first, begins_last; /* positions */
};

static int compare_numbers(double a, double b)
{
	return (a > b) - (a < b);
}

/* Those whose passes are not known are told up to a factor only: they come first, and are compared with all
 * that follow. */
int lineage_compare_models(const struct model_fingerprint *a, const struct model_fingerprint *b)
{
	int r = (a->has_passes > b->has_passes) - (a->has_passes < b->has_passes);

	r = r ?: compare_numbers(a->parameters.best, b->parameters.best);
	r = r ?: (a->hidden > b->hidden) - (a->hidden < b->hidden);
	r = r ?: (a->weights > b->weights) - (a->weights < b->weights);
	for (size_t i = 0; r == 0 && i < a->weights; i++) {
		const struct model_weight *x = &a->weight[i], *y = &b->weight[i];

		r = (x->small > y->small) - (x->small < y->small);
		r = r ?: (x->large > y->large) - (x->large < y->large);
		r = r ?: compare_numbers(x->copies, y->copies);
	}
	return r;
}

static int compare_classes(const struct lineage_run *a, const struct lineage_run *b)
{
	int r = a->model == b->model ? 0 : lineage_compare_models(a->model, b->model);

	return r ?: lineage_is_open(a) - lineage_is_open(b);
}

static int by_class(const void *x, const void *y, void *making)
{
	uint32_t p = *(const uint32_t *)x, q = *(const uint32_t *)y;
	const struct lineage_run *a = run_at(making, p), *b = run_at(making, q);
	int r = strcmp(a->tenant, b->tenant);

	r = r ?: compare_classes(a, b);
	return r ?: (p > q) - (p < q);
}

static void class_make(const struct making *m, const uint32_t *position, uint32_t first, uint32_t end,
		       struct class *ret)
{
	*ret = (struct class){ first, end - first, position[first], position[first] };
	for (uint32_t i = first + 1; i < end; i++) {
		if (run_at(m, position[i])->to_ns < run_at(m, ret->ends_first)->to_ns)
			ret->ends_first = position[i];
		if (run_at(m, position[i])->from_ns > run_at(m, ret->begins_last)->from_ns)
			ret->begins_last = position[i];
	}
}

/* Each run of a against the two of b. */
static int tie_classes(struct making *m, const uint32_t *position, const struct class *a,
		       const struct class *b, double like)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < a->count; i++) {
		r = lineage_consider(m, position[a->first + i], b->ends_first, like);
		if (b->begins_last != b->ends_first)
			r = r ?: lineage_consider(m, position[a->first + i], b->begins_last, like);
	}
	return r;
}

/* Whether b, which is no smaller, and all behind it are too large to be like a. */
static bool is_too_large(const struct model_fingerprint *a, const struct model_fingerprint *b)
{
	return a->has_passes && b->has_passes && a->parameters.best < LINEAGE_LIKE * b->parameters.best;
}

/* What is left of the comparisons that one thing may have. */
struct budget {
	uint64_t *work; /* pairs of weights, of many things */
	uint32_t compared, glances, like;
	bool is_spent;
};

/* 1: not alike, or not to be compared; 0 and *ret: they are. */
static int compare_within(struct making *m, struct budget *b, const struct lineage_run *x,
			  const struct lineage_run *y, double *ret)
{
	uint64_t work = x->model->weights * y->model->weights;

	b->is_spent = b->glances == GLANCES_MAX;
	if (!b->is_spent && lineage_is_other_size(x, y)) {
		b->glances++;
		return 1;
	}
	/* Tied to so many that are like it, it is tied to what those are like. */
	if (!b->is_spent && b->like == LINEAGE_LIKE_MAX) {
		b->is_spent = true;
		return 1;
	}
	b->is_spent |= b->compared == LINEAGE_COMPARED_MAX || work > *b->work;
	if (b->is_spent) {
		m->not_compared++;
		return 1;
	}
	b->glances++;
	b->compared++;
	*b->work -= work;
	*ret = model_similarity(x->model, y->model);
	b->like += *ret >= LINEAGE_LIKE;
	return *ret < LINEAGE_LIKE;
}

/* Classes of one tenant, by size. */
static int tie_tenant(struct making *m, const uint32_t *position, const struct class *c, size_t count)
{
	uint64_t work = WORK_MAX;
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct budget budget = { .work = &work };
		const struct lineage_run *a = run_at(m, position[c[i].first]);

		r = tie_classes(m, position, &c[i], &c[i], model_similarity(a->model, a->model));
		for (size_t k = i + 1; r == 0 && k < count && !budget.is_spent; k++) {
			const struct lineage_run *b = run_at(m, position[c[k].first]);
			double like;

			if (is_too_large(a->model, b->model))
				break;
			if (compare_within(m, &budget, a, b, &like))
				continue;
			r = tie_classes(m, position, &c[i], &c[k], like);
			r = r ?: tie_classes(m, position, &c[k], &c[i], like);
		}
	}
	return r;
}

int lineage_tie_models(struct making *m)
{
	_cleanup_free_ uint32_t *position = calloc(m->count + 1, sizeof(*position));
	_cleanup_free_ struct class *c = calloc(m->count + 1, sizeof(*c));
	size_t classes = 0;
	uint32_t n = 0;
	int r = 0;

	if (!position || !c)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->count; i++)
		if (run_at(m, i)->model && !run_at(m, i)->is_parted)
			position[n++] = i;
	qsort_r(position, n, sizeof(*position), by_class, m);
	for (uint32_t i = 0, end; r == 0 && i < n; i = end) {
		const struct lineage_run *first = run_at(m, position[i]);
		bool is_last;

		for (end = i + 1; end < n && !strcmp(run_at(m, position[end])->tenant, first->tenant) &&
				  !compare_classes(run_at(m, position[end]), first);)
			end++;
		class_make(m, position, i, end, &c[classes++]);
		is_last = end == n || strcmp(run_at(m, position[end])->tenant, first->tenant) != 0;
		if (!is_last)
			continue;
		r = tie_tenant(m, position, c, classes);
		classes = 0;
	}
	return r;
}

/* --- findings --- */

/* A group, and the first of its runs that has a model. */
struct face {
	const struct lineage_run *run;
	size_t group;
};

static int by_model(const void *x, const void *y)
{
	const struct face *a = x, *b = y;
	int r = compare_classes(a->run, b->run);

	r = r ?: strcmp(a->run->tenant, b->run->tenant);
	return r ?: (a->group > b->group) - (a->group < b->group);
}

static size_t faces_of(const struct lineage_run *runs, const struct lineages *l, struct face *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < l->groups; i++)
		for (size_t k = 0; k < l->group[i].count; k++)
			if (runs[l->group[i].member[k]].model) {
				ret[n++] = (struct face){ &runs[l->group[i].member[k]], i };
				break;
			}
	return n;
}

/* Half of the room is for models that not everybody trains. */
static void add_finding(struct lineages *l, size_t *known, const struct face *a, const struct face *b,
			double like)
{
	bool is_known = lineage_is_open(a->run) && lineage_is_open(b->run);

	if (l->findings == LINEAGE_FINDINGS_MAX || (is_known && *known == LINEAGE_FINDINGS_MAX / 2)) {
		l->findings_left_out++;
		return;
	}
	*known += is_known;
	l->finding[l->findings++] = (struct lineage_finding){
		a->group < b->group ? a->group : b->group,
		a->group < b->group ? b->group : a->group,
		like,
		is_known,
	};
}

int lineage_find(struct making *m, struct lineages *l)
{
	_cleanup_free_ struct face *face = calloc(l->groups + 1, sizeof(*face));
	uint64_t work = WORK_MAX;
	size_t n, known = 0;

	l->finding = calloc(LINEAGE_FINDINGS_MAX, sizeof(*l->finding));
	if (!face || !l->finding)
		return -ENOMEM;
	n = faces_of(m->runs, l, face);
	qsort(face, n, sizeof(*face), by_model);
	for (size_t i = 0; i < n; i++) {
		struct budget budget = { .work = &work };

		for (size_t k = i + 1; k < n && !budget.is_spent; k++) {
			double like;

			if (is_too_large(face[i].run->model, face[k].run->model))
				break;
			if (!strcmp(face[i].run->tenant, face[k].run->tenant)) {
				budget.is_spent = ++budget.glances > GLANCES_MAX;
				continue;
			}
			if (!compare_within(m, &budget, face[i].run, face[k].run, &like))
				add_finding(l, &known, &face[i], &face[k], like);
		}
	}
	return 0;
}
