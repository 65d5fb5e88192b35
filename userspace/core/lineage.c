// SPDX-License-Identifier: Apache-2.0
#include "lineage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "lineage_internal.h"

#define DECLARED_PROVEN 0.95
#define DECLARED 0.7

bool lineage_is_open(const struct lineage_run *r)
{
	return r->model && r->model->matches && r->model->match[0].score >= LINEAGE_LIKE;
}

/* Told at a glance, so that many runs are compared soon. */
bool lineage_is_other_size(const struct lineage_run *a, const struct lineage_run *b)
{
	return a->model->hidden && b->model->hidden && a->model->hidden != b->model->hidden;
}

static bool same_time(const struct lineage_run *a, const struct lineage_run *b)
{
	return a->from_ns < b->to_ns && b->from_ns < a->to_ns;
}

/* The child's declared parent is what the other run is. */
static double declared_parent(const struct lineage_run *child, const struct lineage_run *of)
{
	double best = 0;

	for (size_t i = 0; i < child->parents && of->subject; i++)
		if (!strcmp(child->parent[i].name, of->subject))
			best = child->parent[i].has_evidence ? DECLARED_PROVEN : best > 0 ? best : DECLARED;
	return best;
}

static bool has_job(const struct lineage_run *r, const struct om_id *job)
{
	size_t lo = 0, hi = lineage_jobs(r);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = memcmp(lineage_job(r, mid), job, sizeof(*job));

		if (!c)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static bool share_job(const struct lineage_run *a, const struct lineage_run *b)
{
	const struct lineage_run *few = lineage_jobs(a) < lineage_jobs(b) ? a : b, *many = few == a ? b : a;

	for (size_t i = 0; i < lineage_jobs(few); i++)
		if (has_job(many, lineage_job(few, i)))
			return true;
	return false;
}

/* The words of lineage_tie(); like: of their models, if it is known already, else below 0. */
static double tie_of(const struct lineage_run *a, const struct lineage_run *b, double like,
		     const char **ret_why)
{
	double declared = declared_parent(a, b), back = declared_parent(b, a), tie = 0;

	*ret_why = "nothing";
	if (a->declared && b->declared) {
		*ret_why = "a person's word";
		return strcmp(a->declared, b->declared) ? 0 : 1;
	}
	if (a->is_parted || b->is_parted) {
		*ret_why = "parted by a person";
		return 0;
	}
	if (share_job(a, b)) {
		*ret_why = "one job";
		return 0.99;
	}
	if (declared > 0 || back > 0) {
		*ret_why = "a declared checkpoint";
		return declared > back ? declared : back;
	}
	if (a->model && b->model && !strcmp(a->tenant, b->tenant) && !lineage_is_other_size(a, b)) {
		bool open = lineage_is_open(a) && lineage_is_open(b);

		like = like < 0 ? model_similarity(a->model, b->model) : like;
		*ret_why = like < LINEAGE_LIKE ? *ret_why
			   : open	       ? "a like model, of an open architecture"
					       : "a like model";
		tie = like < LINEAGE_LIKE ? 0 : like * (open ? 0.6 : 0.9) * (same_time(a, b) ? 0.5 : 1);
	}
	if (tie < LINEAGE_JOINS && a->before && b->before && !strcmp(a->before, b->before)) {
		*ret_why = "said before";
		return LINEAGE_JOINS;
	}
	return tie;
}

double lineage_tie(const struct lineage_run *a, const struct lineage_run *b, const char **ret_why)
{
	return tie_of(a, b, -1, ret_why);
}

/* --- in one order --- */

static int compare_runs(const struct lineage_run *a, const struct lineage_run *b)
{
	int r = memcmp(&a->ledger, &b->ledger, sizeof(a->ledger));

	r = r ?: memcmp(&a->job, &b->job, sizeof(a->job));
	return r ?: a->from_ns < b->from_ns ? -1 : a->from_ns > b->from_ns;
}

static int by_run(const void *x, const void *y, void *runs)
{
	const struct lineage_run *all = runs;

	return compare_runs(&all[*(const uint32_t *)x], &all[*(const uint32_t *)y]);
}

static int by_confidence(const void *x, const void *y)
{
	const struct tie *a = x, *b = y;

	if (a->confidence != b->confidence)
		return a->confidence < b->confidence ? 1 : -1;
	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	return a->b < b->b ? -1 : a->b > b->b;
}

/* --- sets --- */

static uint32_t root_of(struct making *m, uint32_t i)
{
	while (m->parent[i] != i) {
		m->parent[i] = m->parent[m->parent[i]];
		i = m->parent[i];
	}
	return i;
}

/* What two people have named differently stays apart. */
static void unite(struct making *m, const struct tie *t)
{
	uint32_t a = root_of(m, t->a), b = root_of(m, t->b), low = a < b ? a : b, high = a < b ? b : a;

	if (a == b || (m->named[a] && m->named[b] && strcmp(m->named[a], m->named[b])))
		return;
	m->parent[high] = low;
	m->named[low] = m->named[low] ?: m->named[high];
	m->weakest[low] = m->weakest[low] < m->weakest[high] ? m->weakest[low] : m->weakest[high];
	if (t->confidence < m->weakest[low])
		m->weakest[low] = t->confidence;
}

static int add_tie(struct making *m, const struct tie *t)
{
	if (m->ties == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		struct tie *bigger = reallocarray(m->tie, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		m->tie = bigger;
		m->room = room;
	}
	m->tie[m->ties++] = *t;
	return 0;
}

int lineage_consider(struct making *m, uint32_t x, uint32_t y, double like)
{
	struct tie t = { .a = x < y ? x : y, .b = x < y ? y : x };
	const char *why;

	if (x == y)
		return 0;
	t.confidence = tie_of(&m->runs[m->order[t.a]], &m->runs[m->order[t.b]], like, &why);
	return t.confidence >= LINEAGE_JOINS ? add_tie(m, &t) : 0;
}

static int unite_all(struct making *m)
{
	int r = lineage_tie_words(m);

	r = r ?: lineage_tie_models(m);
	if (r == 0 && m->ties)
		qsort(m->tie, m->ties, sizeof(*m->tie), by_confidence);
	for (size_t i = 0; r == 0 && i < m->ties; i++)
		unite(m, &m->tie[i]);
	return r;
}

static int making_begin(struct making *m)
{
	m->order = calloc(m->count + 1, sizeof(*m->order));
	m->parent = calloc(m->count + 1, sizeof(*m->parent));
	m->weakest = calloc(m->count + 1, sizeof(*m->weakest));
	m->named = calloc(m->count + 1, sizeof(*m->named));
	if (!m->order || !m->parent || !m->weakest || !m->named)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->count; i++)
		m->order[i] = i;
	qsort_r(m->order, m->count, sizeof(*m->order), by_run, (void *)m->runs);
	for (uint32_t i = 0; i < m->count; i++) {
		m->parent[i] = i;
		m->weakest[i] = 1;
		m->named[i] = m->runs[m->order[i]].declared;
	}
	return 0;
}

static void making_done(struct making *m)
{
	free(m->order);
	free(m->parent);
	free(m->weakest);
	free(m->named);
	free(m->tie);
}

/* --- groups --- */

static void name_group(const struct making *m, uint32_t root, struct lineage_group *g)
{
	char id[OM_ID_STRLEN];

	g->confidence = m->weakest[root];
	g->is_declared = m->named[root];
	if (g->is_declared)
		snprintf(g->name, sizeof(g->name), "%s", m->named[root]);
	else
		snprintf(g->name, sizeof(g->name), "l-%.12s", om_id_format(&m->runs[m->order[root]].job, id));
}

static int by_time(const void *x, const void *y, void *runs)
{
	const struct lineage_run *all = runs, *a = &all[*(const size_t *)x], *b = &all[*(const size_t *)y];

	if (a->from_ns != b->from_ns)
		return a->from_ns < b->from_ns ? -1 : 1;
	return compare_runs(a, b);
}

/* Positions by the root of their set. */
static int by_root(const void *x, const void *y, void *making)
{
	uint32_t p = *(const uint32_t *)x, q = *(const uint32_t *)y, a = root_of(making, p),
		 b = root_of(making, q);

	if (a != b)
		return a < b ? -1 : 1;
	return p < q ? -1 : p > q;
}

static int groups_make(struct making *m, struct lineages *l)
{
	_cleanup_free_ uint32_t *at = calloc(m->count + 1, sizeof(*at));

	l->group = calloc(m->count + 1, sizeof(*l->group));
	l->index = calloc(m->count + 1, sizeof(*l->index));
	if (!l->group || !l->index || !at)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->count; i++)
		at[i] = i;
	qsort_r(at, m->count, sizeof(*at), by_root, m);
	for (size_t first = 0, end; first < m->count; first = end) {
		struct lineage_group *g = &l->group[l->groups++];
		uint32_t root = root_of(m, at[first]);

		for (end = first; end < m->count && root_of(m, at[end]) == root; end++)
			l->index[end] = m->order[at[end]];
		qsort_r(&l->index[first], end - first, sizeof(*l->index), by_time, (void *)m->runs);
		g->member = &l->index[first];
		g->count = end - first;
		name_group(m, root, g);
	}
	return 0;
}

struct lineages *lineages_free(struct lineages *l)
{
	if (!l)
		return NULL;
	free(l->group);
	free(l->finding);
	free(l->index);
	free(l);
	return NULL;
}

int lineages_make(const struct lineage_run *runs, size_t count, struct lineages **ret)
{
	_cleanup_(making_done) struct making m = { .runs = runs, .count = count };
	_cleanup_(lineages_freep) struct lineages *l = calloc(1, sizeof(*l));
	int r;

	if (count > LINEAGE_RUNS_ALL)
		return -E2BIG;
	if (!l)
		return -ENOMEM;
	r = making_begin(&m);
	r = r ?: unite_all(&m);
	r = r ?: groups_make(&m, l);
	r = r ?: lineage_find(&m, l);
	l->not_compared = m.not_compared;
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}
