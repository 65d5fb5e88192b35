// SPDX-License-Identifier: Apache-2.0
/*
 * Registers and jobs stand in dense arrays, found through open-addressed
 * indexes that hold positions. Totals are summed when asked for: the state is
 * the input and nothing else, so there is no derived figure that could drift.
 */
#include "totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "reconcile.h"

#define EMPTY UINT32_MAX

struct index {
	uint32_t *slot; /* positions, EMPTY if free; at most half full */
	size_t mask;
};

struct job {
	struct om_id ledger, id;
	struct om_dated_list assigned[OM_ASSIGN_END];
};

struct om_totals {
	struct om_reading *registers;
	uint32_t *job_of; /* position of a register's job */
	size_t count, room, max;
	struct job *jobs;
	size_t jobs_count, jobs_room;
	struct index by_key, by_job;
};

/* Job and ledger ids are random already; what is beside them is mixed in. */
static uint64_t hash_ids(const struct om_id *ledger, const struct om_id *job)
{
	uint64_t a, b;

	memcpy(&a, ledger, 8);
	memcpy(&b, job, 8);
	return (a ^ b) * 0x9e3779b97f4a7c15ULL;
}

static uint64_t hash_key(const struct om_register_key *k)
{
	uint64_t h = hash_ids(&k->ledger, &k->job) ^
		     ((uint64_t)k->day << 16 | (uint64_t)k->format << 8 | k->meter);

	h *= 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

static bool key_equal(const struct om_register_key *a, const struct om_register_key *b)
{
	return a->day == b->day && a->format == b->format && a->meter == b->meter &&
	       om_id_equal(&a->job, &b->job) && om_id_equal(&a->ledger, &b->ledger);
}

static int index_init(struct index *x, size_t slots)
{
	x->slot = malloc(slots * sizeof(*x->slot));
	if (!x->slot)
		return -ENOMEM;
	memset(x->slot, 0xff, slots * sizeof(*x->slot));
	x->mask = slots - 1;
	return 0;
}

struct om_totals *om_totals_new(size_t registers_max)
{
	struct om_totals *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->max = registers_max;
	if (index_init(&t->by_key, 1024) || index_init(&t->by_job, 256))
		return om_totals_free(t);
	return t;
}

struct om_totals *om_totals_free(struct om_totals *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->jobs_count; i++)
		for (int k = 0; k < OM_ASSIGN_END; k++)
			om_dated_done(&t->jobs[i].assigned[k]);
	free(t->jobs);
	free(t->registers);
	free(t->job_of);
	free(t->by_key.slot);
	free(t->by_job.slot);
	free(t);
	return NULL;
}

static uint32_t *find_register(const struct om_totals *t, const struct om_register_key *key)
{
	size_t i = hash_key(key) & t->by_key.mask;

	while (t->by_key.slot[i] != EMPTY && !key_equal(&t->registers[t->by_key.slot[i]].key, key))
		i = (i + 1) & t->by_key.mask;
	return &t->by_key.slot[i];
}

static uint32_t *find_job(const struct om_totals *t, const struct om_id *ledger, const struct om_id *job)
{
	uint64_t h = hash_ids(ledger, job);
	size_t i = (h ^ h >> 32) & t->by_job.mask;

	while (t->by_job.slot[i] != EMPTY) {
		const struct job *j = &t->jobs[t->by_job.slot[i]];

		if (om_id_equal(&j->id, job) && om_id_equal(&j->ledger, ledger))
			break;
		i = (i + 1) & t->by_job.mask;
	}
	return &t->by_job.slot[i];
}

static int grow_registers(struct om_totals *t)
{
	size_t room = t->room ? 2 * t->room : 256;
	struct om_reading *r;
	uint32_t *j;
	struct index bigger;

	r = reallocarray(t->registers, room, sizeof(*r));
	if (!r)
		return -ENOMEM;
	t->registers = r;
	j = reallocarray(t->job_of, room, sizeof(*j));
	if (!j)
		return -ENOMEM;
	t->job_of = j;
	t->room = room;
	if (2 * room <= t->by_key.mask + 1)
		return 0;
	if (index_init(&bigger, 4 * room))
		return -ENOMEM;
	free(t->by_key.slot);
	t->by_key = bigger;
	for (size_t i = 0; i < t->count; i++)
		*find_register(t, &t->registers[i].key) = (uint32_t)i;
	return 0;
}

static int grow_jobs(struct om_totals *t)
{
	size_t room = t->jobs_room ? 2 * t->jobs_room : 64;
	struct job *j = reallocarray(t->jobs, room, sizeof(*j));
	struct index bigger;

	if (!j)
		return -ENOMEM;
	t->jobs = j;
	t->jobs_room = room;
	if (2 * room <= t->by_job.mask + 1)
		return 0;
	if (index_init(&bigger, 4 * room))
		return -ENOMEM;
	free(t->by_job.slot);
	t->by_job = bigger;
	for (size_t i = 0; i < t->jobs_count; i++)
		*find_job(t, &t->jobs[i].ledger, &t->jobs[i].id) = (uint32_t)i;
	return 0;
}

/* The position of a job, made if it is new. */
static int need_job(struct om_totals *t, const struct om_id *ledger, const struct om_id *job, uint32_t *ret)
{
	uint32_t *slot = find_job(t, ledger, job);

	if (*slot == EMPTY) {
		if (t->jobs_count >= t->max)
			return -ENOSPC;
		if (t->jobs_count == t->jobs_room && grow_jobs(t))
			return -ENOMEM;
		slot = find_job(t, ledger, job);
		t->jobs[t->jobs_count] = (struct job){ .ledger = *ledger, .id = *job };
		*slot = (uint32_t)t->jobs_count++;
	}
	*ret = *slot;
	return 0;
}

static int put_new(struct om_totals *t, const struct om_reading *r)
{
	uint32_t job;
	int rc;

	if (t->count >= t->max)
		return -ENOSPC;
	rc = need_job(t, &r->key.ledger, &r->key.job, &job);
	if (rc == 0 && t->count == t->room)
		rc = grow_registers(t);
	if (rc)
		return rc;
	*find_register(t, &r->key) = (uint32_t)t->count;
	t->registers[t->count] = *r;
	t->job_of[t->count++] = job;
	return 0;
}

static bool value_equal(const struct om_value *a, const struct om_value *b)
{
	return !om_value_is_regression(a, b) && !om_value_is_regression(b, a) && a->to_ns == b->to_ns;
}

int om_totals_put(struct om_totals *t, const struct om_reading *r)
{
	uint32_t at = *find_register(t, &r->key);
	struct om_reading *known;
	struct om_value before;
	bool later;

	if (at == EMPTY)
		return put_new(t, r);
	known = &t->registers[at];
	before = known->value;
	later = r->sequence > known->sequence;
	om_value_join(&known->value, &r->value);
	/* A device meter that came to stand behind the figure does not leave it again. */
	known->attempted = known->attempted && r->attempted;
	if (later) {
		known->sequence = r->sequence;
		known->node = r->node;
	}
	if (!value_equal(&before, &known->value) && !(later && om_value_is_regression(&before, &r->value)))
		return 0;
	/* An older reading is below what is known and no fault; a later one is. */
	return later && om_value_is_regression(&before, &r->value) ? 2 : 1;
}

int om_totals_assign(struct om_totals *t, const struct om_assignment *a)
{
	uint32_t at;
	int r = need_job(t, &a->ledger, &a->job, &at);

	return r ?: om_dated_put(&t->jobs[at].assigned[a->kind], a);
}

const struct om_dated *om_totals_assigned(const struct om_totals *t, const struct om_assignment *like)
{
	uint32_t at = *find_job(t, &like->ledger, &like->job);

	return at == EMPTY
		       ? NULL
		       : om_dated_exact(&t->jobs[at].assigned[like->kind], like->from_ns, like->person[0]);
}

#define DAY_NS 86400000000000ULL

static const struct om_dated *held(const struct job *j, enum om_assignment_kind kind, uint32_t day)
{
	return om_dated_in(&j->assigned[kind], day * DAY_NS, (day + 1ULL) * DAY_NS);
}

const struct om_dated *om_totals_holds(const struct om_totals *t, const struct om_id *ledger,
				       const struct om_id *job, enum om_assignment_kind kind, uint32_t day)
{
	uint32_t at = *find_job(t, ledger, job);

	return at == EMPTY ? NULL : held(&t->jobs[at], kind, day);
}

static const char *assigned_value(const struct job *j, enum om_assignment_kind kind, uint32_t day,
				  const char *otherwise)
{
	const struct om_dated *d = held(j, kind, day);

	return d ? d->value : otherwise;
}

static enum om_phase phase_of(const struct om_dated *d)
{
	enum om_phase phase;

	return d && om_phase_parse(d->value, &phase) == 0 ? phase : OM_PHASE_UNKNOWN;
}

int om_totals_each_register(struct om_totals *t, int (*fn)(void *ctx, const struct om_attributed *a),
			    void *ctx)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct job *j = &t->jobs[t->job_of[i]];
		uint32_t day = t->registers[i].key.day;
		struct om_attributed a = {
			.reading = &t->registers[i],
			.tenant = assigned_value(j, OM_ASSIGN_TENANT, day, "unknown"),
			.model = assigned_value(j, OM_ASSIGN_MODEL, day, "unassigned"),
			.phase = phase_of(held(j, OM_ASSIGN_PHASE, day)),
		};
		int r = fn(ctx, &a);

		if (r)
			return r;
	}
	return 0;
}

size_t om_totals_registers(const struct om_totals *t)
{
	return t->count;
}

/* A register as a line of the sum: sorted by subject, equal ones are added. */
struct line {
	const struct job *job;
	const struct om_reading *reading;
	const char *tenant, *model; /* as they hold on the reading's day */
};

static int compare_subjects(const struct line *a, const struct line *b)
{
	int r = strcmp(a->tenant, b->tenant);

	return r ? r : strcmp(a->model, b->model);
}

/* Within a subject by job and day: what is reconciled together. */
static int compare_lines(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	uint32_t day_a = a->reading->key.day, day_b = b->reading->key.day;
	int r = compare_subjects(a, b);

	if (r)
		return r;
	if (a->job != b->job)
		return a->job < b->job ? -1 : 1;
	return day_a < day_b ? -1 : day_a > day_b;
}

static void add_saturating(opcount *to, opcount v)
{
	if (opcount_add(*to, v, to))
		*to = OPCOUNT_MAX;
}

/* The part of a figure that an assignment speaks of; rounded away from doubt. */
static opcount part(opcount v, uint32_t ppm, bool up)
{
	opcount r;

	if (opcount_muldiv(v, ppm, 1000000, &r))
		return OPCOUNT_MAX;
	return up && r < v && ppm ? r + 1 : r;
}

static void add_training(struct om_subject_total *s, const struct line *l, opcount low, opcount high,
			 opcount ceiling)
{
	const struct om_dated *a = held(l->job, OM_ASSIGN_PHASE, l->reading->key.day);
	uint32_t share = 1000000;

	switch (phase_of(a)) {
	case OM_PHASE_TRAINING:
	case OM_PHASE_FROZEN:
	case OM_PHASE_MIXED:
		add_saturating(&s->training_low, part(low, a->share_low_ppm, false));
		share = a->share_high_ppm;
		break;
	case OM_PHASE_INFERENCE:
		/* What is not the inference share may be training. */
		share = 1000000 - a->share_low_ppm;
		break;
	case OM_PHASE_UNKNOWN:
		break;
	}
	add_saturating(&s->training_high, share == 1000000 ? high : part(high, share, true));
	add_saturating(&s->training_ceiling, share == 1000000 ? ceiling : part(ceiling, share, true));
}

static void add_line(struct om_subject_total *s, const struct line *l)
{
	const struct om_value *v = &l->reading->value;
	uint8_t meter = l->reading->key.meter;

	for (int i = 0; i < OM_LOSS_END; i++)
		s->losses += v->lost[i];
	s->calls += meter == OM_METER_SHAPE ? v->calls : 0;
	s->launches += meter == OM_METER_LAUNCH ? v->calls : 0;
	s->meters |= 1u << meter;
	s->registers++;
	if (v->to_ns > s->as_of_ns)
		s->as_of_ns = v->to_ns;
}

/* One job's day, all meters together. */
static void add_interval(struct om_subject_total *s, const struct line *l, const struct om_evidence *e)
{
	struct om_interval i;
	opcount high;

	om_reconcile(e, &i);
	high = i.roof == OM_ROOF_ALLOCATION ? i.asked_high : i.high;
	add_saturating(&s->all_low, i.low);
	add_saturating(&s->all_high, high);
	add_saturating(&s->all_ceiling, i.high);
	add_training(s, l, i.low, high, i.high);
	add_saturating(&s->contradicted, i.contradicted);
	add_saturating(&s->unattributed, i.unattributed);
	s->is_bounded = s->is_bounded && i.is_bounded;
	s->attempted |= !(e->meters >> OM_METER_DEVICE & 1);
}

static bool same_day(const struct line *a, const struct line *b)
{
	return a->job == b->job && a->reading->key.day == b->reading->key.day;
}

int om_totals_each(struct om_totals *t, int (*fn)(void *ctx, const struct om_subject_total *s), void *ctx)
{
	_cleanup_free_ struct line *lines = NULL;
	struct om_subject_total s = { .is_bounded = true, .lineage = "" };
	struct om_evidence e = { 0 };
	int r;

	if (t->count == 0)
		return 0;
	lines = malloc(t->count * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; i < t->count; i++) {
		const struct job *j = &t->jobs[t->job_of[i]];
		uint32_t day = t->registers[i].key.day;

		lines[i] = (struct line){ j, &t->registers[i],
					  assigned_value(j, OM_ASSIGN_TENANT, day, "unknown"),
					  assigned_value(j, OM_ASSIGN_MODEL, day, "unassigned") };
	}
	qsort(lines, t->count, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < t->count; i++) {
		if (i && !same_day(&lines[i - 1], &lines[i])) {
			add_interval(&s, &lines[i - 1], &e);
			memset(&e, 0, sizeof(e));
		}
		if (i && compare_subjects(&lines[i - 1], &lines[i])) {
			r = fn(ctx, &s);
			if (r)
				return r;
			s = (struct om_subject_total){ .is_bounded = true, .lineage = "" };
		}
		s.tenant = lines[i].tenant;
		s.model = lines[i].model;
		add_line(&s, &lines[i]);
		om_evidence_add(&e, lines[i].reading);
	}
	add_interval(&s, &lines[t->count - 1], &e);
	return fn(ctx, &s);
}
