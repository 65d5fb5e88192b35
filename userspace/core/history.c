// SPDX-License-Identifier: Apache-2.0
#include "history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "policy.h"

#define DAY_NS 86400000000000ULL
#define EMPTY UINT32_MAX

struct subject {
	struct history_subject s;
	struct om_member *members; /* of a lineage; owned, and their tenants' names */
	size_t room;
	char *tenant, *model, *lineage; /* owned */
	struct om_forecast_point *points;
	size_t point_room;
};

struct history {
	struct om_reading *reading;
	size_t readings, reading_room;
	struct om_assignment *assignment;
	size_t assignments, assignment_room;
	struct subject **subject; /* each stays where it is */
	size_t subjects, subject_room;
	uint32_t *slot; /* by name; at most half full */
	size_t slots;
	int error;
};

struct history *history_new(void)
{
	return calloc(1, sizeof(struct history));
}

static void free_subject(struct subject *s)
{
	for (size_t i = 0; i < s->s.total.member_count; i++)
		free((char *)s->members[i].tenant);
	free(s->members);
	free(s->tenant);
	free(s->model);
	free(s->lineage);
	free(s->points);
	free(s);
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->subjects; i++)
		free_subject(h->subject[i]);
	free(h->subject);
	free(h->slot);
	free(h->reading);
	free(h->assignment);
	free(h);
	return NULL;
}

static int grow(void *array, size_t count, size_t *room, size_t size)
{
	void **p = array, *bigger;
	size_t more = *room ? 2 * *room : 64;

	if (count < *room)
		return 0;
	bigger = reallocarray(*p, more, size);
	if (!bigger)
		return -ENOMEM;
	*room = more;
	*p = bigger;
	return 0;
}

int history_reading(struct history *h, const struct om_reading *r)
{
	int rc = grow(&h->reading, h->readings, &h->reading_room, sizeof(*h->reading));

	if (rc == 0)
		h->reading[h->readings++] = *r;
	return rc;
}

int history_assignment(struct history *h, const struct om_assignment *a)
{
	int rc = grow(&h->assignment, h->assignments, &h->assignment_room, sizeof(*h->assignment));

	if (rc == 0)
		h->assignment[h->assignments++] = *a;
	return rc;
}

static uint64_t hash_name(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return h ^ h >> 29;
}

static uint32_t *find_slot(const struct history *h, const char *name)
{
	size_t i = hash_name(name) & (h->slots - 1);

	while (h->slot[i] != EMPTY && strcmp(h->subject[h->slot[i]]->s.name, name))
		i = (i + 1) & (h->slots - 1);
	return &h->slot[i];
}

static int grow_slots(struct history *h)
{
	size_t more = h->slots ? 2 * h->slots : 1024;
	uint32_t *bigger;

	if (2 * (h->subjects + 1) <= h->slots)
		return 0;
	bigger = malloc(more * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger, 0xff, more * sizeof(*bigger));
	free(h->slot);
	h->slot = bigger;
	h->slots = more;
	for (size_t i = 0; i < h->subjects; i++)
		*find_slot(h, h->subject[i]->s.name) = (uint32_t)i;
	return 0;
}

static struct subject *new_subject(struct history *h, const struct om_subject_total *t, const char *name)
{
	struct subject *s = calloc(1, sizeof(*s));

	if (!s || grow(&h->subject, h->subjects, &h->subject_room, sizeof(*h->subject))) {
		free(s);
		return NULL;
	}
	s->tenant = strdup(t->tenant);
	s->model = strdup(t->model);
	s->lineage = strdup(t->lineage ? t->lineage : "");
	if (!s->tenant || !s->model || !s->lineage) {
		free_subject(s);
		return NULL;
	}
	snprintf(s->s.name, sizeof(s->s.name), "%s", name);
	s->s.total = (struct om_subject_total){ .group = t->group,
						.tenant = s->tenant,
						.model = s->model,
						.lineage = s->lineage,
						.is_bounded = true };
	h->subject[h->subjects++] = s;
	return s;
}

static int need_subject(struct history *h, const struct om_subject_total *t, struct subject **ret)
{
	struct policy_subject named;
	char name[POLICY_NAME_MAX];
	uint32_t *slot;

	if (grow_slots(h))
		return -ENOMEM;
	policy_subject_of(t, name, &named);
	slot = find_slot(h, name);
	if (*slot != EMPTY) {
		*ret = h->subject[*slot];
		return 0;
	}
	*ret = new_subject(h, t, name);
	if (!*ret)
		return -ENOMEM;
	*slot = (uint32_t)(h->subjects - 1);
	return 0;
}

static int add_member(struct subject *s, const struct om_member *m)
{
	size_t i = 0, n = s->s.total.member_count;

	while (i < n && strcmp(s->members[i].tenant, m->tenant))
		i++;
	if (i == n) {
		char *tenant = strdup(m->tenant);

		if (!tenant || grow(&s->members, n, &s->room, sizeof(*s->members))) {
			free(tenant);
			return -ENOMEM;
		}
		s->members[i] = (struct om_member){ .tenant = tenant };
		s->s.total.member_count++;
		s->s.total.members = s->members;
	}
	opcount_add_saturating(&s->members[i].training_low, m->training_low);
	opcount_add_saturating(&s->members[i].training_high, m->training_high);
	opcount_add_saturating(&s->members[i].training_ceiling, m->training_ceiling);
	s->members[i].registers += m->registers;
	return 0;
}

static int take_total(void *ctx, const struct om_subject_total *t)
{
	struct history *h = ctx;
	struct subject *s;
	int r = need_subject(h, t, &s);

	if (r)
		return r;
	om_subject_total_add(&s->s.total, t);
	s->s.changed = true;
	for (size_t i = 0; r == 0 && i < t->member_count; i++)
		r = add_member(s, &t->members[i]);
	return r;
}

static int compare_jobs(const struct om_id *ledger_a, const struct om_id *job_a, const struct om_id *ledger_b,
			const struct om_id *job_b)
{
	int r = memcmp(ledger_a, ledger_b, sizeof(*ledger_a));

	return r ?: memcmp(job_a, job_b, sizeof(*job_a));
}

static int compare_readings(const void *x, const void *y)
{
	const struct om_register_key *a = &((const struct om_reading *)x)->key,
				     *b = &((const struct om_reading *)y)->key;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	return compare_jobs(&a->ledger, &a->job, &b->ledger, &b->job);
}

static int compare_assignments(const void *x, const void *y)
{
	const struct om_assignment *a = x, *b = y;

	return compare_jobs(&a->ledger, &a->job, &b->ledger, &b->job);
}

/* Everything that is assigned to one job and can hold on the day. */
static int assign_job(const struct history *h, struct om_totals *t, const struct om_register_key *key)
{
	size_t lo = 0, hi = h->assignments;
	uint64_t from = key->day * DAY_NS, to = from + DAY_NS;
	int r = 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct om_assignment *a = &h->assignment[mid];

		if (compare_jobs(&a->ledger, &a->job, &key->ledger, &key->job) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; r >= 0 && lo < h->assignments; lo++) {
		const struct om_assignment *a = &h->assignment[lo];

		if (compare_jobs(&a->ledger, &a->job, &key->ledger, &key->job))
			break;
		if (a->from_ns < to && (!a->to_ns || a->to_ns > from))
			r = om_totals_assign(t, a);
	}
	return r < 0 ? r : 0;
}

static int play_day(struct history *h, size_t first, size_t end)
{
	_cleanup_(om_totals_freep) struct om_totals *t = om_totals_new(end - first + 16);
	const struct om_register_key *before = NULL;
	int r = t ? 0 : -ENOMEM;

	for (size_t i = first; r >= 0 && i < end; i++) {
		const struct om_register_key *key = &h->reading[i].key;

		r = om_totals_put(t, &h->reading[i]);
		if (r >= 0 &&
		    (!before || compare_jobs(&before->ledger, &before->job, &key->ledger, &key->job)))
			r = assign_job(h, t, key);
		before = key;
	}
	if (r < 0)
		return r;
	r = om_totals_each(t, take_total, h);
	return r ?: om_totals_each_lineage(t, take_total, h);
}

static int keep_points(struct history *h, uint32_t day)
{
	for (size_t i = 0; i < h->subjects; i++) {
		struct subject *s = h->subject[i];
		int r;

		if (!s->s.changed)
			continue;
		r = grow(&s->points, s->s.point_count, &s->point_room, sizeof(*s->points));
		if (r)
			return r;
		s->points[s->s.point_count++] =
			(struct om_forecast_point){ (int32_t)day, s->s.total.training_low,
						    s->s.total.training_high };
		s->s.points = s->points;
	}
	return 0;
}

int history_play(struct history *h, uint32_t until, int (*fn)(void *ctx, uint32_t day), void *ctx)
{
	int r = 0;

	if (h->readings)
		qsort(h->reading, h->readings, sizeof(*h->reading), compare_readings);
	if (h->assignments)
		qsort(h->assignment, h->assignments, sizeof(*h->assignment), compare_assignments);
	for (size_t first = 0, end; r == 0 && first < h->readings; first = end) {
		uint32_t day = h->reading[first].key.day;

		if (day > until)
			break;
		for (end = first; end < h->readings && h->reading[end].key.day == day;)
			end++;
		for (size_t i = 0; i < h->subjects; i++)
			h->subject[i]->s.changed = false;
		r = play_day(h, first, end);
		r = r ?: keep_points(h, day);
		r = r ?: fn(ctx, day);
	}
	return r;
}

uint32_t history_last_day(const struct history *h)
{
	uint32_t last = 0;

	for (size_t i = 0; i < h->readings; i++)
		if (h->reading[i].key.day > last)
			last = h->reading[i].key.day;
	return last;
}

size_t history_subjects(const struct history *h)
{
	return h->subjects;
}

const struct history_subject *history_at(const struct history *h, size_t i)
{
	return &h->subject[i]->s;
}

const struct history_subject *history_find(const struct history *h, const char *name)
{
	uint32_t *slot = h->slots ? find_slot(h, name) : NULL;

	return slot && *slot != EMPTY ? &h->subject[*slot]->s : NULL;
}

int assignment_set_parse(const char *text, struct assignment_set *ret)
{
	int32_t day;

	*ret = (struct assignment_set){ .name = text };
	if (!strcmp(text, "recorded"))
		return 0;
	ret->rules_only = !strcmp(text, "rules");
	ret->people_only = !strcmp(text, "people");
	if (ret->rules_only || ret->people_only)
		return 0;
	if (strncmp(text, "before:", 7) || date_parse(text + 7, &day) || day < 0)
		return -EINVAL;
	ret->before_ns = (uint64_t)day * DAY_NS;
	return 0;
}

bool assignment_set_has(const struct assignment_set *set, const struct om_assignment *a)
{
	if (set->before_ns && a->at_ns >= set->before_ns)
		return false;
	if (set->rules_only && a->person[0])
		return false;
	return !set->people_only || a->person[0] || a->kind == OM_ASSIGN_TENANT;
}
