// SPDX-License-Identifier: Apache-2.0
#include "policy_play.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"

#define DAY_NS 86400000000000ULL

void play_done(struct play *p)
{
	for (size_t i = 0; i < p->subjects; i++)
		free(p->subject[i].outcome);
	free(p->subject);
	free(p->cases);
	free(p->duties);
	free(p->ids);
	policy_side_done(&p->side);
}

static size_t id_index(const struct play *p, const char *id)
{
	size_t i = 0;

	while (i < p->id_count && strcmp(p->ids[i], id))
		i++;
	return i;
}

static int collect_ids(struct play *p)
{
	size_t n = regimes_count(p->side.regimes);

	p->ids = calloc(n + 1, sizeof(*p->ids));
	if (!p->ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct regime *g = regimes_at(p->side.regimes, i);

		if ((g->kind == REGIME_THRESHOLD || g->kind == REGIME_FRACTION) &&
		    id_index(p, g->id) == p->id_count)
			p->ids[p->id_count++] = g->id;
	}
	return 0;
}

static int need_room(struct play *p, size_t n)
{
	while (p->subjects < n) {
		struct play_subject *bigger;

		if (p->subjects == p->room) {
			size_t room = p->room ? 2 * p->room : 64;

			bigger = reallocarray(p->subject, room, sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			p->subject = bigger;
			p->room = room;
		}
		p->subject[p->subjects] = (struct play_subject){ 0 };
		p->subject[p->subjects].outcome = calloc(p->id_count + 1, sizeof(struct play_outcome));
		if (!p->subject[p->subjects++].outcome)
			return -ENOMEM;
	}
	return 0;
}

static int take_case(void *ctx, const struct alert *a)
{
	struct play *p = ctx;
	json_t *data;
	struct play_case *c;
	const char *id;

	if (a->type != ALERT_CASE)
		return 0;
	data = json_loads(a->data, 0, NULL);
	id = json_string_value(json_object_get(data, "case"));
	for (size_t i = 0; i < p->case_count; i++) {
		if (!strcmp(p->cases[i].id, id)) {
			json_decref(data);
			return 0;
		}
	}
	if (p->case_count == p->case_room) {
		size_t room = p->case_room ? 2 * p->case_room : 16;

		c = reallocarray(p->cases, room, sizeof(*c));
		if (!c) {
			json_decref(data);
			return -ENOMEM;
		}
		p->cases = c;
		p->case_room = room;
	}
	c = &p->cases[p->case_count++];
	*c = (struct play_case){ .day = p->day, .hold = json_is_true(json_object_get(data, "hold")) };
	snprintf(c->id, sizeof(c->id), "%s", id);
	snprintf(c->cause, sizeof(c->cause), "%s", json_string_value(json_object_get(data, "cause")));
	snprintf(c->regime, sizeof(c->regime), "%s", json_string_value(json_object_get(data, "regime")));
	snprintf(c->version, sizeof(c->version), "%s", json_string_value(json_object_get(data, "version")));
	snprintf(c->verdict, sizeof(c->verdict), "%s",
		 json_string_value(json_object_get(data, "verdict")) ?: "");
	snprintf(c->subject, sizeof(c->subject), "%s", a->subject);
	json_decref(data);
	return 0;
}

static void copy_text(char *to, size_t size, const json_t *data, const char *key)
{
	snprintf(to, size, "%s", json_string_value(json_object_get(data, key)));
}

static int take_duty(void *ctx, const struct alert *a)
{
	struct play *p = ctx;
	_cleanup_(json_decrefp) json_t *data = json_loads(a->data, 0, NULL);
	struct play_duty *d = reallocarray(p->duties, p->duty_count + 1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	p->duties = d;
	if (!data)
		return -ENOMEM;
	d += p->duty_count++;
	snprintf(d->subject, sizeof(d->subject), "%s", a->subject);
	snprintf(d->sentence, sizeof(d->sentence), "%s", a->sentence);
	copy_text(d->regime, sizeof(d->regime), data, "regime");
	copy_text(d->what, sizeof(d->what), data, "duty");
	d->is_met = json_object_get(data, "met_on") != NULL;
	copy_text(d->since, sizeof(d->since), data, d->is_met ? "met_on" : "known_on");
	copy_text(d->due, sizeof(d->due), data, "due");
	return 0;
}

/* True: not what it was the last time. Words are made when the play is over. */
static bool note_verdict(struct play_outcome *o, const struct verdict *v, const struct om_subject_total *t,
			 uint32_t day)
{
	const struct regime *g = v->regime;
	uint8_t level = v->level ? (uint8_t)(v->level - g->levels + 1) : 0;
	bool changed =
		o->regime != g || o->level != level || o->standing != v->standing || o->cases != v->cases;

	*o = (struct play_outcome){ .regime = g,
				    .low = v->low,
				    .high = v->high,
				    .level = level,
				    .observed_low = v->observed_low,
				    .observed_high = v->observed_high,
				    .executed_low = t->executed_low,
				    .executed_high = t->executed_high,
				    .ceiling = t->training_ceiling,
				    .cases = v->cases,
				    .standing = (uint8_t)v->standing,
				    .since[0] = o->since[0],
				    .since[1] = o->since[1],
				    .since[2] = o->since[2],
				    .since[3] = o->since[3],
				    .since[4] = o->since[4],
				    .since[5] = o->since[5],
				    .since[6] = o->since[6],
				    .since[7] = o->since[7] };
	for (size_t i = 0; i < g->level_count; i++) {
		const struct regime_level *l = &g->levels[i];

		if (level && !o->since[i] &&
		    (l->lower ? v->low : v->high) >= regime_limit_figure(&v->limit, l->share_ppm))
			o->since[i] = day + 1;
	}
	return changed;
}

static bool judge_regimes(struct play *p, const struct policy_subject *s, struct play_subject *to, bool words)
{
	bool changed = false;

	for (size_t i = 0; i < regimes_count(p->side.regimes); i++) {
		const struct regime *g = regimes_at(p->side.regimes, i);
		struct verdict v = { .steps = NULL };
		struct play_outcome *o;

		if ((g->kind != REGIME_THRESHOLD && g->kind != REGIME_FRACTION) ||
		    !regime_holds_on(g, (int32_t)p->day))
			continue;
		policy_verdict(&p->side.policy, s, g, &v);
		o = &to->outcome[id_index(p, g->id)];
		changed |= note_verdict(o, &v, s->total, p->day);
		if (words)
			verdict_words(&v, o->words, sizeof(o->words));
	}
	return changed;
}

/* A day on which the owners of the subject's tenant are others is judged, whatever the figures. */
static bool owners_changed(struct play *p, const struct policy_subject *s, struct play_subject *to)
{
	struct owner_answer a;

	if (!p->side.owners || !s->tenant)
		return false;
	owners_resolve(p->side.owners, s->tenant, (int32_t)p->day, &a);
	if (!strcmp(a.version, to->owner_version))
		return false;
	snprintf(to->owner_version, sizeof(to->owner_version), "%s", a.version);
	return true;
}

/* A material figure opens a Red Flag 28 case on the day it becomes one, which is a day of a new level or not.
 */
static bool has_owner_regimes(const struct play *p)
{
	for (size_t i = 0; i < regimes_count(p->side.regimes); i++)
		if (regimes_at(p->side.regimes, i)->kind == REGIME_OWNER)
			return p->side.owners != NULL;
	return false;
}

static int judge_day(void *ctx, uint32_t day)
{
	struct play *p = ctx;
	size_t n = history_subjects(p->side.history);
	int r = need_room(p, n);

	p->day = day;
	p->side.policy.now_ns = (day + 1ULL) * DAY_NS - 1;
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct history_subject *h = history_at(p->side.history, i);
		struct policy_subject s;
		char name[POLICY_NAME_MAX];
		bool changed;

		if (!h->changed)
			continue;
		policy_subject_of(&h->total, name, &s);
		if (!p->subject[i].name[0])
			snprintf(p->subject[i].name, sizeof(p->subject[i].name), "%s", name);
		changed = judge_regimes(p, &s, &p->subject[i], false);
		changed |= owners_changed(p, &s, &p->subject[i]);
		if (changed || p->owner_flags)
			r = policy_judge_subject(&p->side.policy, &s, take_case, p);
	}
	return r;
}

static int judge_family(void *ctx, const struct policy_subject *s)
{
	struct play *p = ctx;
	int r = need_room(p, p->subjects + 1);

	if (r)
		return r;
	snprintf(p->subject[p->subjects - 1].name, POLICY_NAME_MAX, "%s", s->name);
	judge_regimes(p, s, &p->subject[p->subjects - 1], true);
	return policy_judge_subject(&p->side.policy, s, take_case, p);
}

/* The end: every subject once more, with what is known of its kin, and the families. */
static int judge_end(struct play *p)
{
	int r;

	p->day = p->side.until;
	r = policy_side_day(&p->side, p->day);
	for (size_t i = 0; r == 0 && i < history_subjects(p->side.history); i++) {
		const struct history_subject *h = history_at(p->side.history, i);
		struct policy_subject s;
		char name[POLICY_NAME_MAX];

		policy_side_subject(&p->side, h, name, &s);
		judge_regimes(p, &s, &p->subject[i], true);
		r = policy_judge_subject(&p->side.policy, &s, take_case, p);
		r = r ?: policy_judge_known(&p->side.policy, &s, h->points, h->point_count, take_duty, p);
	}
	return r ?: kin_each_family(p->side.kin, judge_family, p);
}

static int compare_subjects(const void *x, const void *y)
{
	return strcmp(((const struct play_subject *)x)->name, ((const struct play_subject *)y)->name);
}

int play_run(const struct policy_input *in, struct play *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = policy_side_load(in, &ret->side);
	if (r)
		return r;
	ret->owner_flags = has_owner_regimes(ret);
	r = collect_ids(ret);
	r = r ?: history_play(ret->side.history, ret->side.until, judge_day, ret);
	r = r ?: judge_end(ret);
	if (r) {
		log_error("policy replay: %s", strerror(-r));
		return EXIT_FAILED;
	}
	qsort(ret->subject, ret->subjects, sizeof(*ret->subject), compare_subjects);
	return EXIT_OK;
}

const struct play_subject *play_find(const struct play *p, const char *name)
{
	struct play_subject key;

	snprintf(key.name, sizeof(key.name), "%s", name);
	if (!p->subjects)
		return NULL;
	return bsearch(&key, p->subject, p->subjects, sizeof(key), compare_subjects);
}

const struct play_outcome *play_outcome(const struct play *p, const struct play_subject *s, const char *id)
{
	size_t i = id_index(p, id);

	return s && i < p->id_count && s->outcome[i].regime ? &s->outcome[i] : NULL;
}
