// SPDX-License-Identifier: Apache-2.0
/*
 * What comes in, and what is owed. Everything is a join, so nothing here depends on
 * order: a register's value is the maximum of all that came for it, by whatever way.
 */
#include "totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "totals_internal.h"

/* Folded registers may take as much as live ones. */
#define FOLDED_BYTES_PER_LIVE sizeof(struct reg)

struct om_totals *om_totals_new(size_t registers_max)
{
	struct om_totals *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->max = registers_max < NONE ? registers_max : NONE - 1;
	t->folded_bytes_max = t->max * FOLDED_BYTES_PER_LIVE;
	if (store_init(t))
		return om_totals_free(t);
	return t;
}

struct om_totals *om_totals_free(struct om_totals *t)
{
	if (!t)
		return NULL;
	sum_done(t);
	store_done(t);
	free(t);
	return NULL;
}

/* OM_OWED_*, or -1: nothing. */
static int debt_of(const struct reg *g)
{
	if (g->flags & REG_COVERED)
		return g->flags & REG_NULL ? -1 : OM_OWED_TOMBSTONE;
	if (g->flags & REG_GHOST)
		return OM_OWED_UNKNOWN;
	return g->flags & (REG_NULL | REG_BELOW) ? OM_OWED_MAXIMUM : -1;
}

static void forget_debt(struct om_totals *t, struct reg *g)
{
	uint32_t last;

	if (g->debt == NONE)
		return;
	last = t->debts.item[--t->debts.count];
	t->debts.item[g->debt] = last;
	reg_at(t, last)->debt = g->debt;
	g->debt = NONE;
}

/* A register whose value and last record a carry and a null have done with goes. */
static void let_go(struct om_totals *t, uint32_t i)
{
	struct reg *g = reg_at(t, i);

	forget_debt(t, g);
	t->ghosts -= !!(g->flags & REG_GHOST);
	t->live -= !(g->flags & REG_GHOST);
	t->overlap -= g->flags & REG_FOLDED && !(g->flags & REG_GHOST);
	sum_touch(t, g->job, true);
	store_drop_reg(t, i);
}

/* Puts a register's debt in order after its flags changed. */
static int settle(struct om_totals *t, uint32_t i)
{
	struct reg *g = reg_at(t, i);
	int r;

	if (debt_of(g) < 0) {
		forget_debt(t, g);
		return 0;
	}
	if (g->debt != NONE)
		return 0;
	r = list_push(&t->debts, i);
	if (r == 0)
		g->debt = (uint32_t)t->debts.count - 1;
	return r;
}

static void set_flag(struct reg *g, enum reg_flag flag, bool is_on)
{
	g->flags = (uint8_t)(is_on ? g->flags | flag : g->flags & ~flag);
}

/* Nearly every reading is later and nowhere below: the join is the reading itself. */
static bool just_grows(const struct reg *g, const struct om_reading *r)
{
	return !g->flags && r->sequence > g->sequence && r->value.to_ns > g->value.to_ns &&
	       r->value.from_ns == g->value.from_ns && (g->attempted || !r->attempted) &&
	       r->node.ledger_start_ns && !om_value_is_regression(&g->value, &r->value);
}

/* Joins a reading into a live register that has a value. */
static int join_live(struct om_totals *t, uint32_t i, const struct om_reading *r)
{
	struct reg *g = reg_at(t, i);
	struct om_reading before, now, folded;
	bool is_later = r->sequence > g->sequence, is_regression, is_news, is_below;
	int rc;

	reg_to_reading(t, g, &before);
	now = before;
	om_reading_join(&now, r);
	is_regression = om_value_is_regression(&before.value, &r->value);
	is_news = !om_reading_equal(&before, &now);
	is_below = !om_reading_equal(r, &now);
	reg_from_reading(g, &now);
	set_flag(g, REG_NULL, false);
	set_flag(g, REG_BELOW, is_below);
	if (is_news && g->flags & REG_FOLDED) {
		fold_get(job_at(t, g->job), g->day, g->format, g->meter, &folded);
		t->late_total += g->flags & REG_COVERED ? 1 : 0;
		set_flag(g, REG_COVERED, om_reading_is_within(&now, &folded));
	}
	if (is_news)
		sum_touch(t, g->job, false);
	t->regressions += is_later && is_regression;
	rc = settle(t, i);
	if (rc)
		return rc;
	if (is_regression && is_later)
		return 2;
	return is_news ? 0 : is_below ? 3 : 1;
}

/* A live register that is new, or that only a null told of. `r` is joined with what carries hold. */
static int make_live(struct om_totals *t, uint32_t i, const struct om_reading *r)
{
	struct reg *g = reg_at(t, i);
	struct om_reading folded;
	bool is_folded = fold_get(job_at(t, g->job), g->day, g->format, g->meter, &folded);

	t->ghosts -= !!(g->flags & REG_GHOST);
	t->live++;
	g->flags = 0;
	reg_from_reading(g, r);
	if (is_folded) {
		/* As if it had been here all the time. */
		folded.node = r->node;
		reg_from_reading(g, &folded);
		g->flags = REG_FOLDED | REG_COVERED;
		t->overlap++;
	}
	sum_touch(t, g->job, true);
	return is_folded ? join_live(t, i, r) : settle(t, i);
}

int om_totals_put(struct om_totals *t, const struct om_reading *r)
{
	const struct om_register_key *k = &r->key;
	uint32_t job, i;
	int rc = store_need_job(t, &k->ledger, &k->job, &job);

	if (rc)
		return rc;
	i = store_find_reg(t, job, k->day, k->format, k->meter);
	if (i != NONE && just_grows(reg_at(t, i), r)) {
		reg_from_reading(reg_at(t, i), r);
		sum_touch(t, job, false);
		return 0;
	}
	if (i != NONE && !(reg_at(t, i)->flags & REG_GHOST))
		return join_live(t, i, r);
	if (i == NONE)
		rc = store_add_reg(t, job, k->day, k->format, k->meter, &i);
	return rc ?: make_live(t, i, r);
}

int om_totals_null(struct om_totals *t, const struct om_register_key *k)
{
	struct om_reading folded;
	struct reg *g;
	uint32_t job, i;
	int rc = store_need_job(t, &k->ledger, &k->job, &job);

	if (rc)
		return rc;
	i = store_find_reg(t, job, k->day, k->format, k->meter);
	if (i == NONE && fold_get(job_at(t, job), k->day, k->format, k->meter, &folded))
		return 0;
	if (i == NONE) {
		rc = store_add_reg(t, job, k->day, k->format, k->meter, &i);
		if (rc)
			return rc;
		reg_at(t, i)->flags = REG_GHOST;
		t->ghosts++;
	}
	g = reg_at(t, i);
	if (g->flags & REG_COVERED) {
		let_go(t, i);
		return 0;
	}
	set_flag(g, REG_NULL, true);
	set_flag(g, REG_BELOW, false);
	t->uncovered_total++;
	return settle(t, i) ?: 1;
}

/* What a carry means for a live register of its day. */
static int cover(struct om_totals *t, uint32_t i, const struct om_reading *folded)
{
	struct reg *g = reg_at(t, i);
	struct om_reading before, now;

	if (g->flags & REG_GHOST) {
		let_go(t, i);
		return 0;
	}
	reg_to_reading(t, g, &before);
	now = before;
	om_reading_join(&now, folded);
	set_flag(g, REG_COVERED, om_reading_is_within(&now, folded));
	/* Where the carry raises it, the last record of its key is below it. */
	if (!om_reading_equal(&now, &before))
		set_flag(g, REG_BELOW, true);
	reg_from_reading(g, &now);
	t->overlap += !(g->flags & REG_FOLDED);
	set_flag(g, REG_FOLDED, true);
	if (g->flags & REG_COVERED && g->flags & REG_NULL) {
		let_go(t, i);
		return 0;
	}
	return settle(t, i);
}

int om_totals_carry(struct om_totals *t, const struct om_carry *c)
{
	struct section s;
	struct om_reading folded;
	bool is_news, is_below;
	uint32_t job, i;
	int rc = store_need_job(t, &c->ledger, &c->job, &job);

	rc = rc ?: fold_join(t, job_at(t, job), c, &is_news, &is_below);
	if (rc)
		return rc;
	if (is_news)
		sum_touch(t, job, true);
	fold_find(job_at(t, job), c->day, &s);
	for (uint32_t at = 0; rc == 0 && fold_register(job_at(t, job), &s, &at, &folded);) {
		i = store_find_reg(t, job, c->day, folded.key.format, folded.key.meter);
		rc = i == NONE ? 0 : cover(t, i, &folded);
	}
	return rc ?: is_below ? 2 : is_news ? 0 : 1;
}

int om_totals_assign(struct om_totals *t, const struct om_assignment *a)
{
	const char *value = store_name(t, a->value);
	struct om_dated_list *l;
	uint32_t at, room;
	int r = value ? store_need_job(t, &a->ledger, &a->job, &at) : -ENOMEM;

	if (r)
		return r;
	l = &job_at(t, at)->assigned[a->kind];
	room = l->room;
	r = om_dated_put(l, a, value);
	t->dated_bytes += (l->room - room) * sizeof(*l->item);
	if (r == 0)
		sum_touch(t, at, true);
	return r;
}

const struct om_dated *om_totals_assigned(const struct om_totals *t, const struct om_assignment *like)
{
	uint32_t at = store_find_job((struct om_totals *)t, &like->ledger, &like->job);

	return at == NONE
		       ? NULL
		       : om_dated_exact(&job_at(t, at)->assigned[like->kind], like->from_ns, like->person[0]);
}

const struct om_dated *job_holds(const struct job *j, enum om_assignment_kind kind, uint32_t day)
{
	return om_dated_in(&j->assigned[kind], day * DAY_NS, (day + 1ULL) * DAY_NS);
}

const struct om_dated *om_totals_holds(const struct om_totals *t, const struct om_id *ledger,
				       const struct om_id *job, enum om_assignment_kind kind, uint32_t day)
{
	uint32_t at = store_find_job((struct om_totals *)t, ledger, job);

	return at == NONE ? NULL : job_holds(job_at(t, at), kind, day);
}

bool om_totals_get(const struct om_totals *t, const struct om_register_key *k, struct om_reading *ret)
{
	struct om_totals *found = (struct om_totals *)t; /* it remembers what was found last, no more */
	uint32_t job = store_find_job(found, &k->ledger, &k->job), i;

	if (job == NONE)
		return false;
	i = store_find_reg(found, job, k->day, k->format, k->meter);
	if (i == NONE || reg_at(t, i)->flags & REG_GHOST)
		return fold_get(job_at(t, job), k->day, k->format, k->meter, ret);
	reg_to_reading(t, reg_at(t, i), ret);
	return true;
}

bool om_totals_node(const struct om_totals *t, const struct om_register_key *k, struct om_node_facts *ret)
{
	struct om_totals *found = (struct om_totals *)t;
	uint32_t job = store_find_job(found, &k->ledger, &k->job), i;

	if (job == NONE)
		return false;
	i = store_find_reg(found, job, k->day, k->format, k->meter);
	if (i == NONE)
		i = job_at(t, job)->first;
	if (i == NONE || reg_at(t, i)->flags & REG_GHOST)
		return false;
	*ret = reg_at(t, i)->node;
	return true;
}

void om_totals_set_node(struct om_totals *t, const struct om_register_key *k,
			const struct om_node_facts *node)
{
	uint32_t job = store_find_job(t, &k->ledger, &k->job), i;

	if (job == NONE)
		return;
	i = store_find_reg(t, job, k->day, k->format, k->meter);
	if (i != NONE && !(reg_at(t, i)->flags & REG_GHOST))
		reg_at(t, i)->node = *node;
}

bool om_totals_owe_carry(struct om_totals *t, const struct om_id *ledger, const struct om_id *job,
			 uint32_t day)
{
	uint32_t at = store_find_job(t, ledger, job);

	return at != NONE && fold_owe(job_at(t, at), day);
}

int om_totals_each_owed(struct om_totals *t,
			int (*fn)(void *ctx, enum om_owed what, const struct om_reading *r), void *ctx)
{
	size_t count = t->debts.count, from = count ? t->debts_from % count : 0;
	int r = 0;

	for (size_t n = 0; n < count; n++) {
		const struct reg *g = reg_at(t, t->debts.item[(from + n) % count]);
		struct om_reading reading;

		reg_to_reading(t, g, &reading);
		r = fn(ctx, (enum om_owed)debt_of(g), &reading);
		if (r) {
			t->debts_from = from + n;
			break;
		}
	}
	return r;
}

enum om_phase phase_of(const struct om_dated *d)
{
	enum om_phase phase;

	return d && om_phase_parse(d->value, &phase) == 0 ? phase : OM_PHASE_UNKNOWN;
}

const char *value_of(const struct job *j, enum om_assignment_kind kind, uint32_t day, const char *otherwise)
{
	const struct om_dated *d = job_holds(j, kind, day);

	return d ? d->value : otherwise;
}

static int show(const struct om_totals *t, const struct job *j, const struct om_reading *r,
		int (*fn)(void *ctx, const struct om_attributed *a), void *ctx)
{
	struct om_attributed a = {
		.reading = r,
		.tenant = value_of(j, OM_ASSIGN_TENANT, r->key.day, t->unknown),
		.model = value_of(j, OM_ASSIGN_MODEL, r->key.day, t->unassigned),
		.phase = phase_of(job_holds(j, OM_ASSIGN_PHASE, r->key.day)),
	};

	return fn(ctx, &a);
}

static int show_folded(struct om_totals *t, uint32_t job, int (*fn)(void *ctx, const struct om_attributed *a),
		       void *ctx)
{
	const struct job *j = job_at(t, job);
	struct om_reading one;
	struct section s;
	int r = 0;

	for (uint32_t at = 0; r == 0 && fold_next(j, &at, &s);)
		for (uint32_t in = 0; r == 0 && fold_register(j, &s, &in, &one);)
			if (store_find_reg(t, job, s.day, one.key.format, one.key.meter) == NONE)
				r = show(t, j, &one, fn, ctx);
	return r;
}

int om_totals_each_register(struct om_totals *t, int (*fn)(void *ctx, const struct om_attributed *a),
			    void *ctx)
{
	struct om_reading one;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->regs.count; i++) {
		const struct reg *g = reg_at(t, i);

		if (g->flags & (REG_FREE | REG_GHOST))
			continue;
		reg_to_reading(t, g, &one);
		r = show(t, job_at(t, g->job), &one, fn, ctx);
	}
	for (uint32_t job = 0; r == 0 && t->folded && job < t->jobs.count; job++)
		r = show_folded(t, job, fn, ctx);
	return r;
}

size_t om_totals_registers(const struct om_totals *t)
{
	return t->live + t->folded - t->overlap;
}
