// SPDX-License-Identifier: Apache-2.0
#include "joining.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_MAX (64u << 20)

/* While it is being made. Claims and processes are sorted copies. */
struct work {
	struct om_joining *out;
	struct om_join_claim *claim; /* valid ones with an id */
	size_t claim_count;
	struct om_id *process; /* sorted, each once */
	size_t process_count;
	size_t *parent; /* union-find over processes */
	size_t *seat;	/* of each: the last set (from 1) in which it has a rank */
	uint64_t window_ns;
};

const char *om_join_verdict_name(enum om_join_verdict v)
{
	static const char *const names[] = { "?", "complete", "incomplete", "conflict" };

	return (size_t)v < ARRAY_SIZE(names) ? names[v] : "?";
}

/* --- orders: total, so that nothing depends on how claims come --- */

static int by_number(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_id(const struct om_id *a, const struct om_id *b)
{
	return memcmp(a->byte, b->byte, sizeof(a->byte));
}

static int by_time(const void *x, const void *y)
{
	const struct om_join_claim *a = x, *b = y;
	int c = by_id(&a->id, &b->id);

	c = c ?: by_number((uint32_t)a->nranks, (uint32_t)b->nranks);
	c = c ?: by_number(a->time_ns, b->time_ns);
	c = c ?: by_id(&a->process, &b->process);
	return c ?: by_number((uint32_t)a->rank, (uint32_t)b->rank);
}

static int by_rank(const void *x, const void *y)
{
	const struct om_join_claim *a = x, *b = y;
	int c = by_number((uint32_t)a->rank, (uint32_t)b->rank);

	return c ?: by_id(&a->process, &b->process);
}

static int by_process(const void *x, const void *y)
{
	return by_id(x, y);
}

static int by_member(const void *x, const void *y)
{
	const struct om_join_member *a = x, *b = y;

	return by_id(&a->process, &b->process) ?: by_id(&a->job, &b->job);
}

/* --- union-find --- */

static size_t root_of(struct work *w, size_t i)
{
	while (w->parent[i] != i)
		i = w->parent[i] = w->parent[w->parent[i]];
	return i;
}

static size_t index_of(const struct work *w, const struct om_id *process)
{
	const struct om_id *at =
		bsearch(process, w->process, w->process_count, sizeof(*w->process), by_process);

	return (size_t)(at - w->process);
}

/* The least is the root: its place among the sorted is the component's name. */
static void unite(struct work *w, const struct om_id *x, const struct om_id *y)
{
	size_t a = root_of(w, index_of(w, x)), b = root_of(w, index_of(w, y));

	if (a < b)
		w->parent[b] = a;
	else
		w->parent[a] = b;
}

/* --- sets --- */

/* Claims of one stretch, sorted by rank now: those without one are last. */
static void set_judge(struct om_join_set *s, const struct om_join_claim *c, size_t count)
{
	s->verdict = OM_JOIN_COMPLETE;
	for (size_t i = 0; i < count && c[i].rank >= 0; i++) {
		bool is_again = i && c[i].rank == c[i - 1].rank;

		if (is_again && by_id(&c[i].process, &c[i - 1].process) && s->verdict != OM_JOIN_CONFLICT) {
			s->verdict = OM_JOIN_CONFLICT;
			s->claimed_rank = c[i].rank;
			s->claimant[0] = c[i - 1].process;
			s->claimant[1] = c[i].process;
		}
		s->ranks_seen += !is_again;
	}
	if (s->verdict == OM_JOIN_COMPLETE && s->ranks_seen < (uint32_t)s->nranks)
		s->verdict = OM_JOIN_INCOMPLETE;
}

static void set_make(struct work *w, struct om_join_claim *c, size_t count)
{
	struct om_join_set *s = &w->out->sets[w->out->set_count++];

	*s = (struct om_join_set){
		.id = c->id, .nranks = c->nranks, .first_ns = c->time_ns, .last_ns = c[count - 1].time_ns
	};
	qsort(c, count, sizeof(*c), by_rank);
	set_judge(s, c, count);
	for (size_t i = 0; i < count && c[i].rank >= 0; i++)
		w->seat[index_of(w, &c[i].process)] = w->out->set_count;
	if (s->verdict == OM_JOIN_CONFLICT) {
		s->job = index_of(w, &s->claimant[0]);
		return;
	}
	s->job = index_of(w, &c->process);
	for (size_t i = 1; i < count; i++) {
		size_t *seat = &w->seat[index_of(w, &c[i].process)];

		/* Where all are seen no place is left for who claims none. */
		if (s->verdict == OM_JOIN_COMPLETE && *seat != w->out->set_count) {
			s->unseated += by_id(&c[i].process, &c[i - 1].process) != 0;
			continue;
		}
		unite(w, &c->process, &c[i].process);
	}
}

static void sets_make(struct work *w)
{
	size_t from = 0;

	qsort(w->claim, w->claim_count, sizeof(*w->claim), by_time);
	for (size_t i = 1; i <= w->claim_count; i++) {
		const struct om_join_claim *c = &w->claim[i], *before = &w->claim[i - 1];

		if (i < w->claim_count && !by_id(&c->id, &before->id) && c->nranks == before->nranks &&
		    c->time_ns - before->time_ns <= w->window_ns)
			continue;
		set_make(w, &w->claim[from], i - from);
		from = i;
	}
}

/* Sets of one id are neighbours. Each is held against those of another number of ranks. */
static void sets_compare(struct work *w)
{
	struct om_joining *out = w->out;

	for (size_t i = 0, end = 0; i < out->set_count; i = end) {
		for (end = i; end < out->set_count && !by_id(&out->sets[end].id, &out->sets[i].id); end++)
			;
		if (out->sets[i].nranks == out->sets[end - 1].nranks)
			continue;
		for (size_t a = i; a < end; a++)
			for (size_t b = a + 1; b < end && b < a + 64; b++) {
				struct om_join_set *x = &out->sets[a], *y = &out->sets[b];

				if (x->nranks == y->nranks || x->first_ns > y->last_ns + w->window_ns ||
				    y->first_ns > x->last_ns + w->window_ns)
					continue;
				x->disagrees = y->disagrees = true;
			}
	}
}

/* --- jobs --- */

static int jobs_make(struct work *w, size_t member_count)
{
	struct om_joining *out = w->out;
	size_t *place = calloc(w->process_count + 1, sizeof(*place)); /* of a root: its job, then a cursor */
	struct om_join_member *sorted = calloc(member_count + 1, sizeof(*sorted));

	if (!place || !sorted) {
		free(place);
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < w->process_count; i++) {
		size_t root = root_of(w, i);

		/* The root is the least, so it is there before its members. */
		if (root == i) {
			place[i] = out->job_count;
			out->jobs[out->job_count++].name = w->process[i];
		}
		out->jobs[place[root]].process_count++;
	}
	for (size_t i = 0; i < member_count; i++)
		out->jobs[place[root_of(w, index_of(w, &out->member[i].process))]].member_count++;
	for (size_t i = 0, at = 0; i < out->job_count; i++) {
		out->jobs[i].members = &sorted[at];
		at += out->jobs[i].member_count;
		out->jobs[i].member_count = 0;
	}
	for (size_t i = 0; i < member_count; i++) {
		struct om_join_job *j = &out->jobs[place[root_of(w, index_of(w, &out->member[i].process))]];

		sorted[(size_t)(j->members - sorted) + j->member_count++] = out->member[i];
	}
	for (size_t i = 0; i < out->set_count; i++) {
		struct om_join_set *s = &out->sets[i];

		s->job = place[root_of(w, s->job)];
		if (s->verdict == OM_JOIN_CONFLICT)
			continue;
		out->jobs[s->job].sets++;
		out->jobs[s->job].incomplete_sets += s->verdict == OM_JOIN_INCOMPLETE;
	}
	free(out->member);
	out->member = sorted;
	free(place);
	return 0;
}

/* --- beginning and end --- */

static bool is_valid(const struct om_join_claim *c)
{
	return c->nranks > 0 && c->nranks <= OM_JOIN_RANKS_MAX && c->rank >= OM_JOIN_NO_RANK &&
	       c->rank < c->nranks;
}

/* Sorts and drops what is there more than once. Returns how many are left. */
static size_t unique(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	uint8_t *at = base;
	size_t kept = 0;

	qsort(base, count, size, compare);
	for (size_t i = 0; i < count; i++) {
		if (kept && !compare(at + (kept - 1) * size, at + i * size))
			continue;
		if (kept != i)
			memcpy(at + kept * size, at + i * size, size);
		kept++;
	}
	return kept;
}

static int prepare(struct work *w, const struct om_join_claim *claims, size_t count, size_t *ret_members)
{
	struct om_joining *out = w->out;

	out->member = calloc(count + 1, sizeof(*out->member));
	out->jobs = calloc(count + 1, sizeof(*out->jobs));
	out->sets = calloc(count + 1, sizeof(*out->sets));
	w->claim = calloc(count + 1, sizeof(*w->claim));
	w->process = calloc(count + 1, sizeof(*w->process));
	w->parent = calloc(count + 1, sizeof(*w->parent));
	w->seat = calloc(count + 1, sizeof(*w->seat));
	if (!out->member || !out->jobs || !out->sets || !w->claim || !w->process || !w->parent || !w->seat)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		w->process[i] = claims[i].process;
		out->member[i] = (struct om_join_member){ claims[i].process, claims[i].job };
		if (claims[i].has_id && is_valid(&claims[i]))
			w->claim[w->claim_count++] = claims[i];
	}
	w->process_count = unique(w->process, count, sizeof(*w->process), by_process);
	*ret_members = unique(out->member, count, sizeof(*out->member), by_member);
	w->claim_count = unique(w->claim, w->claim_count, sizeof(*w->claim), by_time);
	for (size_t i = 0; i < w->process_count; i++)
		w->parent[i] = i;
	return 0;
}

/* Of different claims, so that a repeated one changes nothing. */
static int count_invalid(const struct om_join_claim *claims, size_t count, uint64_t *ret)
{
	struct om_join_claim *c = calloc(count + 1, sizeof(*c));
	size_t n = 0;

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (claims[i].has_id && !is_valid(&claims[i]))
			c[n++] = claims[i];
	*ret = unique(c, n, sizeof(*c), by_time);
	free(c);
	return 0;
}

int om_joining_make(const struct om_join_claim *claims, size_t count, uint64_t window_ns,
		    struct om_joining **ret)
{
	_cleanup_joining_ struct om_joining *out = NULL;
	struct work w = { .window_ns = window_ns ?: OM_JOIN_WINDOW_NS };
	size_t members = 0;
	int r;

	if (count > CLAIMS_MAX)
		return -E2BIG;
	out = w.out = calloc(1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	r = prepare(&w, claims, count, &members);
	r = r ?: count_invalid(claims, count, &out->invalid);
	if (r == 0) {
		sets_make(&w);
		sets_compare(&w);
		r = jobs_make(&w, members);
	}
	free(w.claim);
	free(w.process);
	free(w.parent);
	free(w.seat);
	if (r)
		return r;
	*ret = TAKE_PTR(out);
	return 0;
}

struct om_joining *om_joining_free(struct om_joining *j)
{
	if (!j)
		return NULL;
	free(j->jobs);
	free(j->sets);
	free(j->member);
	free(j);
	return NULL;
}
