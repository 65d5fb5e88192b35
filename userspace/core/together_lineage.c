// SPDX-License-Identifier: Apache-2.0
/* Job instances as runs of lineages. Equal models are kept once: a run of many is 14 KB otherwise. */
#include "together_internal.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "lineage_internal.h"

struct gathering {
	struct together *t;
	const struct together_words *words;
	const struct together_process **p; /* by ledger, job, process */
	size_t united;			   /* used of t->united */
	void *models;			   /* a tree of those in t->model */
	struct process_record *record;
};

void together_lineages_done(struct together *t)
{
	lineages_free(t->lineages);
	for (size_t i = 0; i < t->models; i++)
		free(t->model[i]);
	for (size_t i = 0; i < t->runs; i++)
		free(t->subject[i]);
	free(t->model);
	free(t->subject);
	free(t->run);
	free(t->united);
	t->lineages = NULL;
	t->model = NULL;
	t->subject = NULL;
	t->run = NULL;
	t->united = NULL;
	t->models = t->model_room = t->runs = 0;
}

static int by_instance(const void *x, const void *y)
{
	const struct together_process *a = *(struct together_process *const *)x,
				      *b = *(struct together_process *const *)y;
	int r = memcmp(&a->ledger, &b->ledger, sizeof(a->ledger));

	r = r ?: memcmp(&a->job, &b->job, sizeof(a->job));
	return r ?: memcmp(&a->process, &b->process, sizeof(a->process));
}

static int by_weights(const void *x, const void *y)
{
	return lineage_compare_models(x, y);
}

static int keep_model(struct gathering *g, const struct model_fingerprint *f)
{
	struct together *t = g->t;
	struct model_fingerprint *copy;

	if (t->models == t->model_room) {
		size_t room = t->model_room ? 2 * t->model_room : 64;
		struct model_fingerprint **bigger = reallocarray(t->model, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->model = bigger;
		t->model_room = room;
	}
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *f;
	if (!tsearch(copy, &g->models, by_weights)) {
		free(copy);
		return -ENOMEM;
	}
	copy->matches = 0;
	if (g->words && g->words->known)
		model_match(g->words->known, copy);
	t->model[t->models++] = copy;
	return 0;
}

/* NULL: out of memory. */
static const struct model_fingerprint *model_of(struct gathering *g, const struct together_process *p)
{
	struct model_fingerprint *const *at;

	together_record(g->t, p, g->record);
	at = tfind(&g->record->model, &g->models, by_weights);
	if (at)
		return *at;
	return keep_model(g, &g->record->model) ? NULL : g->t->model[g->t->models - 1];
}

static bool is_own(const struct together_process *p, const char *name)
{
	char job[OM_ID_STRLEN], own[LINEAGE_NAME_MAX];

	snprintf(own, sizeof(own), "p-%.12s", om_id_format(&p->job, job));
	return !strcmp(name, own);
}

/* Names are those of the record that was judged last. */
static const struct together_process *latest_of(const struct together_process *const *p, size_t count)
{
	const struct together_process *last = p[0];

	for (size_t i = 1; i < count; i++)
		if (p[i]->at_ns > last->at_ns)
			last = p[i];
	return last;
}

static const struct together_process *face_of(const struct together_process *const *p, size_t count)
{
	const struct together_process *most = NULL;

	for (size_t i = 0; i < count; i++)
		if (p[i]->has_model && (!most || p[i]->executed > most->executed))
			most = p[i];
	return most;
}

static int name_run(struct gathering *g, const struct together_process *p, char **ret_subject,
		    struct lineage_run *ret)
{
	const struct together_words *w = g->words;

	ret->tenant = p->tenant;
	ret->declared = w && w->declared ? w->declared(w->ctx, &p->ledger, &p->job) : NULL;
	ret->declared = ret->declared ?: p->lineage[0] ? p->lineage : NULL;
	ret->is_parted = ret->declared && is_own(p, ret->declared);
	if (w && w->before)
		ret->before = w->before(w->ctx, &p->ledger, &p->job);
	if (!p->model_name[0] || !strcmp(p->model_name, "unassigned"))
		return 0;
	if (asprintf(ret_subject, "%s/%s", p->tenant, p->model_name) < 0) {
		*ret_subject = NULL;
		return -ENOMEM;
	}
	ret->subject = *ret_subject;
	if (w && w->parents)
		ret->parent = w->parents(w->ctx, ret->subject, &ret->parents);
	return 0;
}

static int by_id(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct om_id));
}

/* All of them: the first alone may be a decoy, made to hide the others. */
static void take_jobs(struct gathering *g, const struct together_process *const *p, size_t count,
		      struct lineage_run *run)
{
	struct om_id *all = g->t->united + g->united;
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < count; i++) {
		const struct joined *j = &g->t->job[((const struct held *)p[i])->job];

		if (j->count > 1)
			all[n++] = j->name;
	}
	qsort(all, n, sizeof(*all), by_id);
	for (size_t i = 0; i < n; i++)
		if (!i || !om_id_equal(&all[i], &all[kept - 1]))
			all[kept++] = all[i];
	g->united += kept;
	if (!kept)
		return;
	run->is_united = true;
	run->united = all[0];
	run->also = all + 1;
	run->also_count = kept - 1;
}

static int make_run(struct gathering *g, const struct together_process *const *p, size_t count)
{
	struct together *t = g->t;
	const struct together_process *face = face_of(p, count);
	struct lineage_run *run = &t->run[t->runs];
	int r;

	*run = (struct lineage_run){ .ledger = p[0]->ledger, .job = p[0]->job, .from_ns = UINT64_MAX };
	for (size_t i = 0; i < count; i++) {
		run->from_ns = p[i]->from_ns < run->from_ns ? p[i]->from_ns : run->from_ns;
		run->to_ns = p[i]->to_ns > run->to_ns ? p[i]->to_ns : run->to_ns;
	}
	take_jobs(g, p, count, run);
	r = name_run(g, latest_of(p, count), &t->subject[t->runs], run);
	t->runs++;
	if (r || !face)
		return r;
	run->model = model_of(g, face);
	return run->model ? 0 : -ENOMEM;
}

/* The tree goes, what hangs in it stays. */
static void leave(void *at)
{
	(void)at;
}

static void gathering_done(struct gathering *g)
{
	tdestroy(g->models, leave);
	free(g->p);
	free(g->record);
}

static int gather(struct gathering *g)
{
	struct together *t = g->t;
	int r = 0;

	g->p = calloc(t->count + 1, sizeof(*g->p));
	g->record = malloc(sizeof(*g->record));
	t->run = calloc(t->count + 1, sizeof(*t->run));
	t->subject = calloc(t->count + 1, sizeof(*t->subject));
	t->united = calloc(t->count + 1, sizeof(*t->united));
	if (!g->p || !g->record || !t->run || !t->subject || !t->united)
		return -ENOMEM;
	memcpy(g->p, t->order, t->count * sizeof(*g->p));
	qsort(g->p, t->count, sizeof(*g->p), by_instance);
	for (size_t i = 0, end; r == 0 && i < t->count; i = end) {
		for (end = i + 1; end < t->count && om_id_equal(&g->p[end]->job, &g->p[i]->job) &&
				  om_id_equal(&g->p[end]->ledger, &g->p[i]->ledger);)
			end++;
		r = make_run(g, &g->p[i], end - i);
	}
	return r;
}

int together_lineages(struct together *t, const struct together_words *words,
		      const struct lineage_run **ret_runs, size_t *ret_count, const struct lineages **ret)
{
	_cleanup_(gathering_done) struct gathering g = { .t = t, .words = words };
	int r = together_make(t);

	if (r)
		return r;
	together_lineages_done(t);
	r = gather(&g);
	r = r ?: lineages_make(t->run, t->runs, &t->lineages);
	if (r) {
		together_lineages_done(t);
		return r;
	}
	*ret_runs = t->run;
	*ret_count = t->runs;
	*ret = t->lineages;
	return 0;
}
