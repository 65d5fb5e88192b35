// SPDX-License-Identifier: Apache-2.0
#include "tally_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define PPM 1000000

struct om_tally *om_tally_new(uint32_t (*hash)(const struct om_shape_usage *s))
{
	struct om_tally *t = calloc(1, sizeof(*t));

	if (t) {
		t->hash = hash;
		t->windows_max = 1;
	}
	return t;
}

void om_tally_keep_windows(struct om_tally *t, unsigned n)
{
	t->windows_max = n < 1 ? 1 : n < OM_TALLY_WINDOWS_MAX ? n : OM_TALLY_WINDOWS_MAX;
}

static void process_done(struct process *p)
{
	free(p->item);
	for (uint32_t i = 0; i < p->bursts; i++)
		free(p->burst[i].step);
	free(p->sum);
}

struct om_tally *om_tally_free(struct om_tally *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->count; i++)
		process_done(&t->process[i]);
	free(t->process);
	free(t->index);
	free(t);
	return NULL;
}

/* --- processes --- */

static size_t slot_of(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, const struct om_id *job)
{
	uint64_t h = (start_ns ^ (uint64_t)tgid << 32) * 0x9e3779b97f4a7c15ULL;
	size_t i = (h ^ h >> 32) & (t->slots - 1);

	while (t->index[i]) {
		const struct process *p = &t->process[t->index[i] - 1];

		if (p->tgid == tgid && p->start_ns == start_ns && (!job || om_id_equal(&p->job, job)))
			break;
		i = (i + 1) & (t->slots - 1);
	}
	return i;
}

struct process *tally_find(const struct om_tally *t, const struct om_id *job, uint32_t tgid,
			   uint64_t start_ns)
{
	size_t slot = t->slots ? slot_of(t, tgid, start_ns, job) : 0;

	return t->slots && t->index[slot] ? &t->process[t->index[slot] - 1] : NULL;
}

static int index_make(struct om_tally *t, size_t slots)
{
	uint32_t *index = calloc(slots, sizeof(*index));

	if (!index)
		return -ENOMEM;
	free(t->index);
	t->index = index;
	t->slots = slots;
	for (size_t i = 0; i < t->count; i++) {
		const struct process *p = &t->process[i];

		t->index[slot_of(t, p->tgid, p->start_ns, &p->job)] = (uint32_t)i + 1;
	}
	return 0;
}

static int process_need(struct om_tally *t, const struct om_shape_usage *s, struct process **ret)
{
	size_t slot;

	if (t->slots < 2 * (t->count + 1) && index_make(t, t->slots ? 2 * t->slots : 64))
		return -ENOMEM;
	slot = slot_of(t, s->tgid, s->start_ns, &s->job);
	if (!t->index[slot]) {
		if (t->count == t->room) {
			size_t room = t->room ? 2 * t->room : 16;
			struct process *bigger = reallocarray(t->process, room, sizeof(*bigger));

			if (!bigger)
				return -ENOMEM;
			t->process = bigger;
			t->room = room;
		}
		t->process[t->count++] =
			(struct process){ .start_ns = s->start_ns, .tgid = s->tgid, .job = s->job };
		t->index[slot] = (uint32_t)t->count;
	}
	*ret = &t->process[t->index[slot] - 1];
	return 0;
}

/* --- products --- */

/* Thread and replay come last: what differs in them alone is one product. */
static int by_product(const void *x, const void *y)
{
	const struct item *a = x, *b = y;
	const uint64_t p[] = { a->m, a->n, a->k, a->batch, a->types, a->flags & 0xffdf, a->flags },
		       q[] = { b->m, b->n, b->k, b->batch, b->types, b->flags & 0xffdf, b->flags };

	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

static int item_add(struct process *p, const struct item *i)
{
	if (p->count == p->room) {
		size_t room = p->room ? 2 * p->room : 32;
		struct item *bigger = reallocarray(p->item, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->item = bigger;
		p->room = room;
	}
	p->item[p->count++] = *i;
	return 0;
}

static void items_sort(struct process *p)
{
	if (p->sorted < p->count)
		qsort(p->item, p->count, sizeof(*p->item), by_product);
	p->sorted = p->count;
}

static int item_put(struct om_tally *t, const struct om_shape_usage *s, bool is_base)
{
	struct item key = {
		s->m, s->n, s->k, s->batch, s->types, s->flags, is_base ? s->calls : 0, s->calls
	};
	struct item *known = NULL;
	struct process *p;
	int r = process_need(t, s, &p);

	if (r)
		return r;
	if (p->sorted)
		known = bsearch(&key, p->item, p->sorted, sizeof(key), by_product);
	if (!known) {
		p->has_changed |= !is_base;
		return item_add(p, &key);
	}
	if (s->calls <= known->now)
		return 0;
	known->now = s->calls;
	p->has_changed = true;
	return 0;
}

int om_tally_base(struct om_tally *t, const struct om_shape_usage *s)
{
	return item_put(t, s, true);
}

int om_tally_put(struct om_tally *t, const struct om_shape_usage *s, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < t->count; i++)
		items_sort(&t->process[i]);
	for (size_t i = 0; i < n && r == 0; i++)
		if (!(s[i].flags & OM_SHAPE_NESTED))
			r = item_put(t, &s[i], false);
	for (size_t i = 0; i < t->count; i++)
		items_sort(&t->process[i]);
	return r;
}

int om_tally_unshaped(struct om_tally *t, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
		      opcount ops)
{
	struct om_shape_usage key = { .job = *job, .tgid = tgid, .start_ns = start_ns };
	struct process *p;
	int r = ops ? process_need(t, &key, &p) : 0;

	if (r == 0 && ops)
		opcount_add_saturating(&p->unshaped_seen, ops);
	return r;
}

int om_tally_named(struct om_tally *t, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
		   enum om_kernel_role role, uint64_t launches)
{
	struct om_shape_usage key = { .job = *job, .tgid = tgid, .start_ns = start_ns };
	struct process *p;
	int r = process_need(t, &key, &p);

	if (r == 0 && __builtin_add_overflow(p->named_seen[role], launches, &p->named_seen[role]))
		p->named_seen[role] = UINT64_MAX;
	return r;
}

static void seen_settle(struct process *p)
{
	for (int i = 0; i < OM_ROLES; i++) {
		p->has_names |= p->named_seen[i] && !p->named[i];
		p->has_changed |= p->has_names;
		p->named[i] = p->named_seen[i] > p->named[i] ? p->named_seen[i] : p->named[i];
		p->named_seen[i] = 0;
	}
	if (p->unshaped_seen > p->unshaped) {
		p->unshaped = p->unshaped_seen;
		p->has_changed = true;
	}
	p->unshaped_seen = 0;
}

/* --- collectives --- */

static struct collective_sum *sum_need(struct process *p, uint64_t comm, enum run_collective_kind kind)
{
	struct collective_sum *bigger;

	for (size_t i = 0; i < p->sums; i++)
		if (p->sum[i].comm == comm && p->sum[i].kind == kind)
			return &p->sum[i];
	if (p->sums == TALLY_COLLECTIVES_MAX)
		return NULL;
	bigger = reallocarray(p->sum, p->sums + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	p->sum = bigger;
	p->sum[p->sums] = (struct collective_sum){ .comm = comm, .kind = kind };
	return &p->sum[p->sums++];
}

int om_tally_collective(struct om_tally *t, const struct om_tally_collective *c, bool is_base)
{
	struct om_shape_usage key = { .job = c->job, .tgid = c->tgid, .start_ns = c->start_ns };
	struct collective_sum *sum;
	struct process *p;
	int r = process_need(t, &key, &p);

	if (r)
		return r;
	sum = sum_need(p, c->comm, c->kind);
	if (!sum)
		return p->sums == TALLY_COLLECTIVES_MAX ? 0 : -ENOMEM;
	if (c->calls <= sum->now.calls)
		return 0;
	sum->now = (struct collective_count){ c->calls, c->bytes };
	if (is_base)
		sum->base = sum->now;
	p->has_changed |= !is_base;
	return 0;
}

/* A process of several jobs (it moved) stands there several times. */
static struct process *process_next(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, size_t *slot)
{
	while (t->slots && t->index[*slot]) {
		struct process *p = &t->process[t->index[*slot] - 1];

		*slot = (*slot + 1) & (t->slots - 1);
		if (p->tgid == tgid && p->start_ns == start_ns)
			return p;
	}
	return NULL;
}

/* Where a window's steps go: over the same window's, at the end, or the oldest makes room. */
static struct burst *burst_place(const struct om_tally *t, struct process *p, uint32_t window)
{
	for (uint32_t i = 0; i < p->bursts; i++)
		if (p->burst[i].window == window)
			return &p->burst[i];
	p->windows++;
	if (p->bursts < t->windows_max)
		return &p->burst[p->bursts++];
	free(p->burst[0].step);
	memmove(&p->burst[0], &p->burst[1], (p->bursts - 1) * sizeof(p->burst[0]));
	p->burst[p->bursts - 1] = (struct burst){ 0 };
	return &p->burst[p->bursts - 1];
}

static int burst_put(const struct om_tally *t, struct process *p, uint32_t window,
		     const struct om_tally_step *steps, size_t n)
{
	struct om_tally_step *copy;
	struct burst *b;

	if (n == 0)
		return 0;
	copy = malloc(n * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	b = burst_place(t, p, window);
	if (b->count >= n) {
		free(copy);
		return 0;
	}
	memcpy(copy, steps, n * sizeof(*copy));
	free(b->step);
	*b = (struct burst){ window, copy, n };
	p->has_changed = true;
	return 0;
}

bool om_tally_has_window(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, uint32_t window,
			 size_t n)
{
	size_t slot = t->slots ? slot_of(t, tgid, start_ns, NULL) : 0, jobs = 0, has = 0;
	const struct process *p;

	for (; (p = process_next(t, tgid, start_ns, &slot)); jobs++)
		for (uint32_t i = 0; i < p->bursts; i++)
			has += p->burst[i].window == window && p->burst[i].count >= n;
	return jobs && has == jobs;
}

uint32_t om_tally_windows(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, struct om_id *ret_job)
{
	size_t slot = t->slots ? slot_of(t, tgid, start_ns, NULL) : 0;
	const struct process *p = process_next(t, tgid, start_ns, &slot);

	if (p)
		*ret_job = p->job;
	return p ? p->windows : 0;
}

int om_tally_burst(struct om_tally *t, uint32_t tgid, uint64_t start_ns, uint32_t window,
		   const struct om_tally_step *steps, size_t n)
{
	size_t slot = t->slots ? slot_of(t, tgid, start_ns, NULL) : 0;
	struct process *p;
	int r = 0;

	while (r == 0 && (p = process_next(t, tgid, start_ns, &slot)))
		r = burst_put(t, p, window, steps, n);
	return r;
}

size_t om_tally_jobs(const struct om_tally *t, uint32_t tgid, uint64_t start_ns, struct om_id *ret,
		     size_t max)
{
	size_t slot = t->slots ? slot_of(t, tgid, start_ns, NULL) : 0, n = 0;
	const struct process *p;

	for (; n < max && (p = process_next(t, tgid, start_ns, &slot)); n++)
		ret[n] = p->job;
	return n;
}

void om_tally_ended(struct om_tally *t, uint32_t tgid, uint64_t start_ns)
{
	size_t slot = t->slots ? slot_of(t, tgid, start_ns, NULL) : 0;
	struct process *p;

	while ((p = process_next(t, tgid, start_ns, &slot)))
		p->has_ended = true;
}

size_t om_tally_products(const struct om_tally *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++)
		n += t->process[i].count;
	return n;
}

/* --- judging --- */

static uint64_t ppm(double share, bool up)
{
	double v = fmin(1, fmax(0, share)) * PPM;

	return (uint64_t)(up ? ceil(v) : floor(v));
}

static opcount part(opcount of, double share, bool up)
{
	opcount r;

	/* A share of 1 or less, so it fits. */
	return opcount_muldiv(of, ppm(share, up), PPM, &r) ? of : r;
}

/* So many operations, of which the shares are known; unshaped ones are in the upper bound. What has moved
 * since then counts twice: backward products that are new make as many forward ones, which were there before,
 * training's. */
static void set_amounts(struct process *p, opcount executed)
{
	opcount unshaped = p->unshaped - p->unshaped_base;
	struct om_phase_hour *h = &p->judged;
	double other = 2 * p->like.moved;

	h->executed = executed;
	h->recompute_low = part(executed, p->like.recompute_low - other, false);
	h->recompute_high = part(executed, p->like.recompute_high + other, true);
	h->training_low = part(executed, p->like.training_low - p->like.recompute_high - other, false);
	h->training_high = part(executed, p->like.training_high - p->like.recompute_low + other, true);
	opcount_add_saturating(&h->executed, unshaped);
	opcount_add_saturating(&h->training_high, unshaped);
	p->has_changed = false;
}

static int process_judge(const struct om_tally *t, struct process *p)
{
	_cleanup_(run_done) struct run r = { 0 };
	struct phase_judgement j;
	opcount shaped;
	bool is_known = tally_ops(p, &shaped) == 0;
	int rc;

	if (is_known && tally_goes_on(p, shaped)) {
		set_amounts(p, shaped);
		return 0;
	}
	rc = tally_process_run(t, p, &r);
	rc = rc ?: phase_judge(&r, &j);
	if (rc)
		return rc;
	p->judged = (struct om_phase_hour){ .job = p->job, .processes = 1, .verdict = j.verdict };
	snprintf(p->judged.confidence, sizeof(p->judged.confidence), "%s", j.confidence);
	snprintf(p->judged.evidence, sizeof(p->judged.evidence), "%s", j.evidence);
	p->judged.suspicion = j.suspicion;
	p->like.training_low = j.training_low;
	p->like.training_high = j.training_high;
	p->like.recompute_low = j.recompute_low;
	p->like.recompute_high = j.recompute_high;
	tally_remember(p, j.executed);
	p->has_names = false;
	set_amounts(p, j.executed);
	return 0;
}

static bool is_training(enum phase_verdict v)
{
	return v == PHASE_IS_TRAINING || v == PHASE_IS_FROZEN;
}

/* The shares say how much is not known, so doubt about a part takes no verdict away from the rest. */
static enum phase_verdict verdict_of_both(const struct om_phase_hour *a, const struct om_phase_hour *b)
{
	const struct om_phase_hour *most = a->executed >= b->executed ? a : b;

	if (a->verdict == b->verdict || a->executed == 0)
		return b->verdict;
	if (a->verdict == PHASE_IS_UNKNOWN || b->executed == 0)
		return b->executed ? b->verdict : a->verdict;
	if (b->verdict == PHASE_IS_UNKNOWN)
		return a->verdict;
	return is_training(a->verdict) && is_training(b->verdict) ? most->verdict : PHASE_IS_MIXED;
}

void om_phase_hour_add(struct om_phase_hour *a, const struct om_phase_hour *b)
{
	enum phase_verdict verdict = verdict_of_both(a, b);

	if (b->executed > a->executed || !a->confidence[0]) {
		memcpy(a->confidence, b->confidence, sizeof(a->confidence));
		memcpy(a->evidence, b->evidence, sizeof(a->evidence));
	}
	a->suspicion = a->suspicion ?: b->suspicion;
	a->verdict = verdict;
	opcount_add_saturating(&a->executed, b->executed);
	opcount_add_saturating(&a->training_low, b->training_low);
	opcount_add_saturating(&a->training_high, b->training_high);
	opcount_add_saturating(&a->recompute_low, b->recompute_low);
	opcount_add_saturating(&a->recompute_high, b->recompute_high);
	a->processes += b->processes;
}

static int by_job(const void *x, const void *y)
{
	const struct process *a = *(struct process *const *)x, *b = *(struct process *const *)y;
	int r = memcmp(&a->job, &b->job, sizeof(a->job));

	/* The largest first: its evidence is shown. */
	if (r)
		return r;
	return a->judged.executed < b->judged.executed ? 1 : a->judged.executed > b->judged.executed ? -1 : 0;
}

/* --- the past --- */

static int index_refill(struct om_tally *t)
{
	return t->slots ? index_make(t, t->slots) : 0;
}

/* Those that have ended become one for each job, with their sum and nothing else. */
static int fold_ended(struct om_tally *t)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct process *p = &t->process[i], *sum = NULL;

		for (size_t k = kept; p->has_ended && k-- > 0 && !sum;)
			if (t->process[k].has_ended && om_id_equal(&t->process[k].job, &p->job))
				sum = &t->process[k];
		if (p->has_ended) {
			process_done(p);
			*p = (struct process){ .job = p->job, .has_ended = true, .judged = p->judged };
		}
		if (sum)
			om_phase_hour_add(&sum->judged, &p->judged);
		else
			t->process[kept++] = *p;
	}
	if (kept < t->count) {
		t->count = kept;
		r = index_refill(t);
	}
	return r;
}

int om_tally_judge(struct om_tally *t, int (*fn)(void *ctx, const struct om_phase_hour *h), void *ctx)
{
	_cleanup_free_ struct process **order = calloc(t->count + 1, sizeof(*order));
	_cleanup_free_ bool *is_new = calloc(t->count + 1, sizeof(*is_new));
	bool has_ended = false;
	int r = order && is_new ? 0 : -ENOMEM;

	for (size_t i = 0; i < t->count && r == 0; i++) {
		order[i] = &t->process[i];
		seen_settle(order[i]);
		is_new[i] = order[i]->has_changed;
		has_ended |= order[i]->has_ended;
		if (is_new[i])
			r = process_judge(t, order[i]);
	}
	if (r == 0 && t->count)
		qsort(order, t->count, sizeof(struct process *), by_job);
	for (size_t i = 0, end; i < t->count && r == 0; i = end) {
		struct om_phase_hour h = { .job = order[i]->job };
		bool has_new = false;

		for (end = i; end < t->count && om_id_equal(&order[end]->job, &h.job); end++) {
			has_new |= is_new[order[end] - t->process];
			h.has_ended |= order[end]->has_ended && order[end]->tgid;
			om_phase_hour_add(&h, &order[end]->judged);
		}
		if (h.executed && (has_new || h.has_ended))
			r = fn(ctx, &h);
	}
	return r == 0 && has_ended ? fold_ended(t) : r;
}

int om_tally_run(struct om_tally *t, const struct om_id *job, struct run *ret)
{
	const struct process *best = NULL;

	for (size_t i = 0; i < t->count; i++) {
		const struct process *p = &t->process[i];

		if (om_id_equal(&p->job, job) && (!best || p->judged.executed > best->judged.executed))
			best = p;
	}
	return best ? tally_process_run(t, best, ret) : -ENOENT;
}

int om_tally_turn(struct om_tally *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct process *p = &t->process[i];

		if (p->has_ended) {
			process_done(p);
			continue;
		}
		for (size_t k = 0; k < p->count; k++)
			p->item[k].base = p->item[k].now;
		for (size_t k = 0; k < p->sums; k++)
			p->sum[k].base = p->sum[k].now;
		p->unshaped_base = p->unshaped;
		p->judged = (struct om_phase_hour){ .job = p->job };
		p->has_changed = false;
		t->process[kept++] = *p;
	}
	t->count = kept;
	return index_refill(t);
}
