// SPDX-License-Identifier: Apache-2.0
/*
 * Which processes are one job. What communicators join is found twice: first as all claims have it; then each
 * set is looked at with its tenants, and what they do not have in common is taken apart:
 *
 *   of one tenant          all of it is joined, also where two claim one rank: else a second claim would be a
 *                          way out of a join
 *   of several, and every  those with a rank are joined. Who claims none has no place in it
 *   rank is one tenant's
 *   of several, otherwise  each tenant's processes are joined among themselves
 *
 * So a stranger who copies an id neither joins another's processes to his own nor parts them from each other.
 * Where nothing says whose a job instance is it is a tenant by itself.
 */
#include "together_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

/* While it is made. Processes are joined by their numbers. */
struct making {
	struct together *t;
	struct held **sorted; /* by process, ledger, tenant, job: the first of each process by `first` */
	size_t *first;
	size_t processes;
	struct om_join_claim *claim;
	struct held **of; /* of each claim */
	size_t *by_set;	  /* claims with an id by id, number of ranks, time */
	size_t claims, with_id;
	size_t *seat; /* of each process: the last set in which it has a rank */
	size_t sets;  /* looked at */
	struct om_joining *joining;
	bool is_taken_apart;
};

void together_unmake(struct together *t)
{
	together_lineages_done(t);
	free(t->order);
	free(t->job);
	free(t->oddity);
	t->order = NULL;
	t->job = NULL;
	t->oddity = NULL;
	t->jobs = t->oddities = t->oddity_room = 0;
	t->is_made = false;
}

static int add_oddity(struct together *t, const struct together_oddity *o)
{
	if (t->oddities == t->oddity_room) {
		size_t room = t->oddity_room ? 2 * t->oddity_room : 16;
		struct together_oddity *bigger = reallocarray(t->oddity, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->oddity = bigger;
		t->oddity_room = room;
	}
	t->oddity[t->oddities++] = *o;
	return 0;
}

/* --- whose, and which process --- */

static bool has_tenant(const struct together_process *p)
{
	return p->tenant[0] && strcmp(p->tenant, "unknown") != 0;
}

static int by_owner(const void *x, const void *y)
{
	const struct together_process *a = *(struct together_process *const *)x,
				      *b = *(struct together_process *const *)y;
	int r = has_tenant(a) - has_tenant(b);

	if (r || has_tenant(a))
		return r ?: strcmp(a->tenant, b->tenant);
	return memcmp(&a->ledger, &b->ledger, sizeof(a->ledger)) ?: memcmp(&a->job, &b->job, sizeof(a->job));
}

/* Of one process: equal where it is one, and neither a copy of its id nor one that went over to another. */
static int by_identity(const struct held *a, const struct held *b)
{
	int r = memcmp(&a->told.process, &b->told.process, sizeof(a->told.process));

	r = r ?: memcmp(&a->told.ledger, &b->told.ledger, sizeof(a->told.ledger));
	return r ?: (a->owner > b->owner) - (a->owner < b->owner);
}

static int by_process(const void *x, const void *y)
{
	const struct held *a = *(struct held *const *)x, *b = *(struct held *const *)y;

	return by_identity(a, b) ?: memcmp(&a->told.job, &b->told.job, sizeof(a->told.job));
}

static int by_key(const void *x, const void *y)
{
	const struct together_process *a = *(struct together_process *const *)x,
				      *b = *(struct together_process *const *)y;

	return together_by_key(&a->ledger, &a->job, &a->process, b);
}

/* An id that several have joins none of them to the other. */
static int tell_shared(struct making *m, size_t at)
{
	const struct together_process *a = &m->sorted[at - 1]->told, *b = &m->sorted[at]->told;
	struct together_oddity o = { .kind = TOGETHER_SHARED_PROCESS, .id = a->process, .a = a, .b = b };

	o.time_ns = a->from_ns > b->from_ns ? a->from_ns : b->from_ns;
	o.is_over_tenants = m->sorted[at - 1]->owner != m->sorted[at]->owner;
	m->sorted[at - 1]->is_shared = m->sorted[at]->is_shared = true;
	return add_oddity(m->t, &o);
}

static int number(struct making *m)
{
	struct together *t = m->t;
	int r = 0;

	m->sorted = calloc(t->count + 1, sizeof(*m->sorted));
	m->first = calloc(t->count + 1, sizeof(*m->first));
	if (!m->sorted || !m->first)
		return -ENOMEM;
	memcpy(m->sorted, t->all, t->count * sizeof(struct held *));
	qsort(m->sorted, t->count, sizeof(*m->sorted), by_owner);
	for (size_t i = 0, owner = 0; i < t->count; i++) {
		owner += i && by_owner(&m->sorted[i - 1], &m->sorted[i]) != 0;
		m->sorted[i]->owner = owner;
		m->sorted[i]->is_shared = m->sorted[i]->is_disputed = false;
	}
	qsort(m->sorted, t->count, sizeof(*m->sorted), by_process);
	for (size_t i = 0; r == 0 && i < t->count; i++) {
		if (i && !by_identity(m->sorted[i - 1], m->sorted[i]))
			continue;
		m->first[m->processes++] = i;
		if (i && om_id_equal(&m->sorted[i - 1]->told.process, &m->sorted[i]->told.process))
			r = tell_shared(m, i);
	}
	m->first[m->processes] = t->count;
	return r;
}

/* Numbers are in the order of processes, and so are the ids that stand for them. */
static struct om_id id_of_number(uint64_t number)
{
	struct om_id id = { { 0 } };

	for (size_t i = 0; i < sizeof(number); i++)
		id.byte[i] = (uint8_t)(number >> (56 - 8 * i));
	return id;
}

static size_t number_of_id(const struct om_id *id)
{
	size_t number = 0;

	for (size_t i = 0; i < sizeof(uint64_t); i++)
		number = number << 8 | id->byte[i];
	return number;
}

/* --- claims --- */

static int by_set(const void *x, const void *y, void *claims)
{
	const struct om_join_claim *all = claims, *a = &all[*(const size_t *)x],
				   *b = &all[*(const size_t *)y];
	int r = memcmp(&a->id, &b->id, sizeof(a->id));

	if (r || (r = (a->nranks > b->nranks) - (a->nranks < b->nranks)))
		return r;
	r = (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
	r = r ?: memcmp(&a->process, &b->process, sizeof(a->process));
	return r ?: (a->rank > b->rank) - (a->rank < b->rank);
}

/* Those without a rank first. */
static int by_rank(const void *x, const void *y, void *claims)
{
	const struct om_join_claim *all = claims, *a = &all[*(const size_t *)x],
				   *b = &all[*(const size_t *)y];
	int r = (a->rank > b->rank) - (a->rank < b->rank);

	return r ?: by_set(x, y, claims);
}

static void add_claim(struct making *m, struct held *h, size_t process)
{
	struct om_join_claim *c = &m->claim[m->claims];

	c->process = id_of_number(process);
	c->job = h->told.job;
	c->has_id &= c->nranks > 0 && c->nranks <= OM_JOIN_RANKS_MAX && c->rank >= OM_JOIN_NO_RANK &&
		     c->rank < c->nranks;
	if (c->has_id)
		m->by_set[m->with_id++] = m->claims;
	m->of[m->claims++] = h;
}

/* One without an id for a process that has none, so that it is a job alone. */
static int gather(struct making *m)
{
	struct together *t = m->t;
	size_t room = 0;

	for (size_t i = 0; i < t->count; i++)
		room += t->all[i]->claims ?: 1;
	m->claim = calloc(room + 1, sizeof(*m->claim));
	m->of = calloc(room + 1, sizeof(*m->of));
	m->by_set = calloc(room + 1, sizeof(*m->by_set));
	m->seat = calloc(m->processes + 1, sizeof(*m->seat));
	if (!m->claim || !m->of || !m->by_set || !m->seat)
		return -ENOMEM;
	for (size_t process = 0; process < m->processes; process++)
		for (size_t i = m->first[process]; i < m->first[process + 1]; i++) {
			struct held *h = m->sorted[i];
			size_t n = together_claims(t, h, &m->claim[m->claims]);

			if (!n)
				m->claim[m->claims + n++] = (struct om_join_claim){ .time_ns = 0 };
			for (; n; n--)
				add_claim(m, h, process);
		}
	qsort_r(m->by_set, m->with_id, sizeof(*m->by_set), by_set, m->claim);
	return 0;
}

static const struct om_join_claim *claim_at(const struct making *m, size_t at)
{
	return &m->claim[m->by_set[at]];
}

static struct held *held_at(const struct making *m, size_t at)
{
	return m->of[m->by_set[at]];
}

static bool is_of(const struct om_join_claim *c, const struct om_join_set *s)
{
	return om_id_equal(&c->id, &s->id) && c->nranks == s->nranks && c->time_ns >= s->first_ns &&
	       c->time_ns <= s->last_ns;
}

/* The set's claims, as a range of by_set: those from *at on. */
static size_t claims_of(const struct making *m, const struct om_join_set *s, size_t *at)
{
	size_t first = *at;

	while (first < m->with_id && !is_of(claim_at(m, first), s))
		first++;
	for (*at = first; *at < m->with_id && is_of(claim_at(m, *at), s);)
		++*at;
	return first;
}

/* --- sets and their tenants --- */

/* Claims by rank: those without one from `from`, those with one from `seats`. SIZE_MAX: there is none. */
struct looked {
	size_t from, seats, to;
	size_t other;	 /* the first of another tenant than the first's */
	size_t twice;	 /* claims the rank of the one before it, as another process */
	size_t crossing; /* the same, of another tenant */
	int32_t seen;
};

static size_t *seat_of(const struct making *m, size_t at)
{
	return &m->seat[number_of_id(&claim_at(m, at)->process)];
}

static struct looked look(struct making *m, size_t from, size_t to)
{
	struct looked l = { from, from, to, SIZE_MAX, SIZE_MAX, SIZE_MAX, 0 };

	m->sets++;
	qsort_r(&m->by_set[from], to - from, sizeof(*m->by_set), by_rank, m->claim);
	for (size_t i = from; i < to; i++) {
		const struct om_join_claim *c = claim_at(m, i);
		bool is_again = i > l.seats && c->rank == claim_at(m, i - 1)->rank;

		if (held_at(m, i)->owner != held_at(m, from)->owner && l.other == SIZE_MAX)
			l.other = i;
		if (c->rank == OM_JOIN_NO_RANK) {
			l.seats = i + 1;
			continue;
		}
		*seat_of(m, i) = m->sets;
		l.seen += !is_again;
		if (!is_again || om_id_equal(&c->process, &claim_at(m, i - 1)->process))
			continue;
		l.twice = l.twice == SIZE_MAX ? i : l.twice;
		if (held_at(m, i)->owner != held_at(m, i - 1)->owner && l.crossing == SIZE_MAX)
			l.crossing = i;
	}
	return l;
}

static int tell(struct making *m, const struct om_join_set *s, enum together_oddity_kind kind, size_t a,
		size_t b)
{
	const struct held *one = held_at(m, a), *two = held_at(m, b);
	struct together_oddity o = { kind, s->id, s->nranks, claim_at(m, b)->rank, s->first_ns };
	bool is_sorted = by_key(&one, &two) <= 0;

	o.a = is_sorted ? &one->told : &two->told;
	o.b = is_sorted ? &two->told : &one->told;
	o.is_over_tenants = one->owner != two->owner;
	return add_oddity(m->t, &o);
}

/* Whoever claims the same in what is left of a set is joined by it, so ranks are taken away: they say nothing
 * more. Each tenant's part gets an id of its own. Ids are keyed hashes: none is another's by chance. */
static void take_apart(struct making *m, size_t from, size_t to, bool by_tenants)
{
	for (size_t i = from; i < to; i++) {
		struct om_join_claim *c = &m->claim[m->by_set[i]];
		uint64_t mix = (held_at(m, i)->owner + 1) * UINT64_C(0x9e3779b97f4a7c15);

		c->rank = OM_JOIN_NO_RANK;
		for (size_t k = 0; by_tenants && k < sizeof(mix); k++)
			c->id.byte[k] ^= (uint8_t)(mix >> (8 * k));
	}
	m->is_taken_apart = true;
}

/* Of several tenants, each rank of one of them: those without a rank go. */
static int take_out_unseated(struct making *m, const struct om_join_set *s, const struct looked *l)
{
	size_t out = SIZE_MAX, owner = held_at(m, l->seats)->owner;

	for (size_t i = l->from; i < l->seats; i++) {
		if (*seat_of(m, i) == m->sets)
			continue;
		if (out == SIZE_MAX || (held_at(m, out)->owner == owner && held_at(m, i)->owner != owner))
			out = i;
		take_apart(m, i, i + 1, true);
	}
	if (l->twice != SIZE_MAX)
		take_apart(m, l->seats, l->to, false);
	return out == SIZE_MAX ? 0 : tell(m, s, TOGETHER_CONFLICT, l->seats, out);
}

static int look_at_set(struct making *m, const struct om_join_set *s, size_t from, size_t to)
{
	struct looked l = look(m, from, to);
	size_t twice = l.crossing != SIZE_MAX ? l.crossing : l.twice;
	int r = twice != SIZE_MAX ? tell(m, s, TOGETHER_CONFLICT, twice - 1, twice) : 0;

	if (r)
		return r;
	if (l.other == SIZE_MAX) {
		if (l.twice != SIZE_MAX || (l.seen == s->nranks && l.seats > from))
			take_apart(m, from, to, false);
		return 0;
	}
	if (l.seen == s->nranks && l.crossing == SIZE_MAX)
		return take_out_unseated(m, s, &l);
	if (l.crossing == SIZE_MAX) {
		r = tell(m, s, TOGETHER_PARTLY_SEEN, from, l.other);
		if (r == 0)
			m->t->oddity[m->t->oddities - 1].rank = l.seen;
	}
	for (size_t i = from; i < to && l.crossing != SIZE_MAX; i++)
		held_at(m, i)->is_disputed = true;
	take_apart(m, from, to, true);
	return r;
}

static int join(struct making *m)
{
	size_t at = 0;
	int r = om_joining_make(m->claim, m->claims, 0, &m->joining);

	for (size_t i = 0; r == 0 && i < m->joining->set_count; i++) {
		size_t from = claims_of(m, &m->joining->sets[i], &at);

		r = from < at ? look_at_set(m, &m->joining->sets[i], from, at) : 0;
	}
	if (r || !m->is_taken_apart)
		return r;
	m->joining = om_joining_free(m->joining);
	return om_joining_make(m->claim, m->claims, 0, &m->joining);
}

/* --- jobs --- */

/* The least of its processes; where others have that id, too, one that tells them apart. */
static struct om_id name_of(const struct held *least)
{
	struct om_id name = least->told.process;

	for (size_t i = 0; least->is_shared && i < sizeof(name.byte); i++)
		name.byte[i] ^= (uint8_t)(least->told.ledger.byte[i] ^
					  least->told.job.byte[sizeof(name.byte) - 1 - i]);
	return name;
}

/* In its first minutes nobody's phase is known: a server of several nodes would be in doubt each time it
 * starts, and what was said of a day stays. */
#define DOUBT_NS UINT64_C(600000000000)

static bool is_early(const struct held *h)
{
	const struct together_process *p = &h->told;

	return p->verdict == PHASE_IS_UNKNOWN && !h->is_suspected && !p->has_ended &&
	       p->to_ns < p->from_ns + DOUBT_NS;
}

static void note_learning(struct joined *to, const struct held *h)
{
	const struct together_process *p = &h->told;

	if (!to->learner && job_learns(p->verdict))
		to->learner = p;
	if (!to->doubtful && !is_early(h) && job_may_learn(p->verdict, p->executed, h->is_suspected))
		to->doubtful = p;
}

/* Members are sorted by process, and come more than once if their cgroup changed. */
static void place(struct making *m, size_t job, size_t *at)
{
	const struct om_join_job *from = &m->joining->jobs[job];
	struct together *t = m->t;
	struct joined *to = &t->job[job];

	*to = (struct joined){ .name = name_of(m->sorted[m->first[number_of_id(&from->name)]]),
			       .first = *at };
	for (size_t i = 0; i < from->member_count; i++) {
		size_t process = number_of_id(&from->members[i].process);

		if (i && om_id_equal(&from->members[i].process, &from->members[i - 1].process))
			continue;
		for (size_t k = m->first[process]; k < m->first[process + 1]; k++) {
			m->sorted[k]->job = job;
			t->order[(*at)++] = &m->sorted[k]->told;
			note_learning(to, m->sorted[k]);
		}
	}
	to->count = *at - to->first;
}

/* What is odd is told of the jobs of both. */
static void count_sets(struct making *m)
{
	for (size_t i = 0; i < m->joining->set_count; i++) {
		const struct om_join_set *s = &m->joining->sets[i];
		struct joined *j = &m->t->job[s->job];

		if (s->verdict != OM_JOIN_CONFLICT && j->world < (uint32_t)s->nranks)
			j->world = (uint32_t)s->nranks;
	}
	for (size_t i = 0; i < m->t->oddities; i++) {
		const struct together_oddity *o = &m->t->oddity[i];
		const struct together_process *both[] = { o->a, o->b };

		for (size_t k = 0; k < ARRAY_SIZE(both) && o->kind == TOGETHER_CONFLICT; k++) {
			struct joined *j = &m->t->job[((const struct held *)both[k])->job];

			j->conflicts += j->seen != i + 1;
			j->seen = i + 1;
		}
	}
}

/* What its record leaves out may be what joins it to its tenant's learner. */
static int tell_left_out(struct making *m)
{
	struct together *t = m->t;
	_cleanup_free_ const struct together_process **learner = calloc(t->count + 1, sizeof(*learner));
	int r = 0;

	if (!learner)
		return -ENOMEM;
	for (size_t i = 0; i < t->count; i++)
		if (job_learns(m->sorted[i]->told.verdict) && !learner[m->sorted[i]->owner])
			learner[m->sorted[i]->owner] = &m->sorted[i]->told;
	for (size_t i = 0; r == 0 && i < t->count; i++) {
		const struct held *h = m->sorted[i];
		struct joined *j = &t->job[h->job];
		struct together_oddity o = { .kind = TOGETHER_LEFT_OUT, .id = j->name };

		if (!h->claims_left_out || h->told.verdict != PHASE_IS_INFERENCE || !learner[h->owner] ||
		    j->learner || j->is_left_out)
			continue;
		o.a = &h->told;
		o.b = learner[h->owner];
		o.time_ns = h->told.from_ns;
		j->is_left_out = true;
		r = add_oddity(t, &o);
	}
	return r;
}

static void making_done(struct making *m)
{
	free(m->sorted);
	free(m->first);
	free(m->claim);
	free(m->of);
	free(m->by_set);
	free(m->seat);
	om_joining_free(m->joining);
}

static int make(struct making *m)
{
	struct together *t = m->t;
	size_t at = 0;
	int r = number(m);

	r = r ?: gather(m);
	r = r ?: join(m);
	if (r)
		return r;
	t->order = calloc(t->count + 1, sizeof(struct together_process *));
	t->job = calloc(m->joining->job_count + 1, sizeof(*t->job));
	if (!t->order || !t->job)
		return -ENOMEM;
	t->jobs = m->joining->job_count;
	for (size_t i = 0; i < t->jobs; i++)
		place(m, i, &at);
	count_sets(m);
	return tell_left_out(m);
}

int together_make(struct together *t)
{
	_cleanup_(making_done) struct making m = { .t = t };
	int r;

	if (t->is_made)
		return 0;
	r = make(&m);
	t->is_made = r == 0;
	if (r)
		together_unmake(t);
	return r;
}
