// SPDX-License-Identifier: Apache-2.0
/*
 * What jobs are judged to do: each 45 seconds the products of each process are judged as a
 * recorded run is (core/tally.h), the hour's judgement of each job goes into the ledger, and
 * the day's, made of its hours, becomes an assignment when it has changed.
 *
 * An assignment is of a UTC day because registers are. Its share is of what was
 * judged so far in that day; it is said again when it has moved by half a percent, and exactly at the end
 * of each hour and of each process.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/text.h"
#include "../core/ledger_collectives.h"
#include "../core/ledger_phases.h"
#include "agent_internal.h"
#include "collective.h"

#define HOUR_NS 3600000000000ULL
#define DAY_NS (24 * HOUR_NS)
#define RULE "phase-shapes"
#define RULE_VERSION "2"
#define SERVES "A communicator joins it with a job that learns, for which it may answer, judge or teach. "
#define NAMED_MAX 65536 /* kernels: what further ones are called is not looked at */
#define JOBS_MAX 8192	/* of one day; what others do stays unknown, and that is said */
#define MOVED_PPM 5000
#define CONTRADICTED_PPM 50000

struct job {
	struct om_phase_hour day;     /* hours of this day that are over */
	struct om_phase_hour earlier; /* this hour, as an instance before us left it */
	struct om_phase_hour now;     /* this hour, by us */
	struct om_assignment said;    /* at_ns 0: nothing yet for this day */
	bool is_to_say;		      /* exactly, however little it has moved */
	bool serves_learning;	      /* it only infers, and a communicator joins it with a job that learns */
	const char *suspected;	      /* said of this day; NULL: nothing */
};

/* A kernel's name that says backward or optimizer. */
struct named {
	uint64_t hash;
	enum om_kernel_role role;
};

struct agent_phases {
	struct om_tally *tally;
	uint64_t hour;
	struct job *job;
	size_t count, room;
	bool is_full;	     /* said */
	struct named *named; /* by hash: kernels whose names say that something learns */
	size_t named_count, named_room;
};

/* Jobs of a node in a day: few. */
static struct job *job_find(struct agent_phases *p, const struct om_id *id)
{
	for (size_t i = 0; i < p->count; i++)
		if (om_id_equal(&p->job[i].now.job, id))
			return &p->job[i];
	return NULL;
}

static struct job *job_need(struct agent_phases *p, const struct om_id *id)
{
	struct job *j = job_find(p, id);

	if (j)
		return j;
	if (p->count >= JOBS_MAX) {
		if (!p->is_full)
			log_warn("more than %d jobs in a day: what further ones do is not judged", JOBS_MAX);
		p->is_full = true;
		return NULL;
	}
	if (p->count == p->room) {
		size_t room = p->room ? 2 * p->room : 16;
		struct job *bigger = reallocarray(p->job, room, sizeof(*bigger));

		if (!bigger)
			return NULL;
		p->job = bigger;
		p->room = room;
	}
	j = &p->job[p->count++];
	*j = (struct job){ .day = { .job = *id }, .earlier = { .job = *id }, .now = { .job = *id } };
	return j;
}

/* --- kernels' names --- */

static size_t named_place(const struct agent_phases *p, uint64_t hash)
{
	size_t low = 0, high = p->named_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->named[mid].hash < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int learn_name(struct agent_phases *p, const struct om_kernel_name *n)
{
	enum om_kernel_role role = om_kernel_role_of(n->text);
	size_t at = named_place(p, n->hash);

	if (role == OM_ROLE_OTHER || p->named_count == NAMED_MAX ||
	    (at < p->named_count && p->named[at].hash == n->hash))
		return 0;
	if (p->named_count == p->named_room) {
		size_t room = p->named_room ? 2 * p->named_room : 64;
		struct named *bigger = reallocarray(p->named, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->named = bigger;
		p->named_room = room;
	}
	memmove(&p->named[at + 1], &p->named[at], (p->named_count - at) * sizeof(*p->named));
	p->named[at] = (struct named){ n->hash, role };
	p->named_count++;
	return 0;
}

static int put_named(struct agent_phases *p, const struct drain_result *d)
{
	int r = 0;

	for (size_t i = 0; i < d->name_count && r == 0; i++)
		r = learn_name(p, &d->names[i]);
	for (size_t i = 0; i < d->launch_count && r == 0; i++) {
		const struct om_launch_usage *u = &d->launches[i];
		size_t at = named_place(p, u->name);

		if (at < p->named_count && p->named[at].hash == u->name)
			r = om_tally_named(p->tally, &u->job, u->tgid, u->start_ns, p->named[at].role,
					   u->calls);
	}
	return r;
}

/* --- after a restart --- */

struct loading {
	struct agent *a;
	const struct om_id *map;
};

/* Written down by an instance before us, of the kernel's maps as they are now. */
static int load_shape(void *ctx, const struct om_shape_usage *s)
{
	struct loading *l = ctx;

	return om_id_equal(&s->map, l->map) ? om_tally_base(l->a->phases->tally, s) : 0;
}

static int put_collective(struct agent_phases *p, const struct om_collective_usage *u, bool is_base)
{
	struct om_tally_collective c;

	return collective_to_tally(u, &c) ? om_tally_collective(p->tally, &c, is_base) : 0;
}

int agent_phases_collective(struct agent *a, const struct om_collective_usage *u)
{
	return a->phases ? put_collective(a->phases, u, false) : 0;
}

static int load_collective(void *ctx, const struct om_collective_usage *u)
{
	const struct agent *a = ((struct loading *)ctx)->a;

	return agent_collectives_has(a, &u->who.map) ? put_collective(a->phases, u, true) : 0;
}

static int load_name(void *ctx, const struct om_kernel_name *n)
{
	return learn_name(((struct loading *)ctx)->a->phases, n);
}

static int load_hour(void *ctx, const struct om_phase_hour *h)
{
	struct agent_phases *p = ((struct loading *)ctx)->a->phases;
	struct job *j = job_need(p, &h->job);

	if (!j)
		return p->count < JOBS_MAX ? -ENOMEM : 0;
	om_phase_hour_add(h->hour == p->hour ? &j->earlier : &j->day, h);
	return 0;
}

int agent_phases_open(struct agent *a)
{
	struct loading l = { a, probes_map_id(a->probes) };
	uint64_t now = agent_now_ns();
	int r = agent_models_open(a);

	if (r)
		return r;
	a->phases = calloc(1, sizeof(*a->phases));
	if (!a->phases)
		return -ENOMEM;
	a->phases->tally = om_tally_new(drain_shape_name);
	if (!a->phases->tally)
		return -ENOMEM;
	a->phases->hour = now / HOUR_NS;
	r = om_ledger_each_shape(a->ledger, load_shape, &l);
	r = r ?: om_ledger_each_collective(a->ledger, load_collective, &l);
	r = r ?: om_ledger_each_kernel_name(a->ledger, load_name, &l);
	r = r ?: om_ledger_each_phase_hour(a->ledger, now / DAY_NS * 24, load_hour, &l);
	return r ?: drain_next_burst(a->drain);
}

struct agent_phases *agent_phases_free(struct agent_phases *p)
{
	if (!p)
		return NULL;
	om_tally_free(p->tally);
	free(p->job);
	free(p->named);
	free(p);
	return NULL;
}

/* --- saying --- */

static uint32_t share_ppm(opcount part, opcount of, bool up)
{
	opcount r;

	if (part >= of)
		return 1000000;
	/* Both halved until the product fits: a share of a sum that large loses nothing. */
	while (of >> 100) {
		part >>= 1;
		of >>= 1;
	}
	r = part * 1000000 / of;
	return (uint32_t)(up && r * of != part * 1000000 ? r + 1 : r);
}

static void shares_set(struct om_assignment *as, const struct om_phase_hour *d)
{
	uint32_t low = share_ppm(d->training_low, d->executed, false),
		 high = share_ppm(d->training_high, d->executed, true);

	if (low > high)
		low = high;
	as->share_low_ppm = d->verdict == PHASE_IS_INFERENCE ? 1000000 - high : low;
	as->share_high_ppm = d->verdict == PHASE_IS_INFERENCE ? 1000000 - low : high;
}

static uint32_t distance(uint32_t a, uint32_t b)
{
	return a > b ? a - b : b - a;
}

static bool is_worth_saying(const struct job *j, const struct om_assignment *as)
{
	uint32_t moved = distance(j->said.share_low_ppm, as->share_low_ppm),
		 moved_high = distance(j->said.share_high_ppm, as->share_high_ppm);

	if (!j->said.at_ns || strcmp(j->said.value, as->value))
		return true;
	return j->is_to_say ? moved || moved_high : moved > MOVED_PPM || moved_high > MOVED_PPM;
}

/* A person has declared another phase than the one that is seen. */
static int compare_declared(struct agent *a, const struct om_assignment *as, uint64_t day)
{
	const struct om_dated *d =
		om_totals_holds(a->totals, &as->ledger, &as->job, OM_ASSIGN_PHASE, (uint32_t)day);
	bool trains = strcmp(as->value, "inference") && as->share_low_ppm > CONTRADICTED_PPM;
	bool serves = !strcmp(as->value, "inference") && as->share_low_ppm > 1000000 - CONTRADICTED_PPM;
	char id[OM_ID_STRLEN], subject[OM_ID_STRLEN + 8], what[200];

	if (!d || !d->is_person || !strcmp(d->value, "unknown") ||
	    !(!strcmp(d->value, "inference") ? trains : serves))
		return 0;
	snprintf(subject, sizeof(subject), "job %s", om_id_format(&as->job, id));
	snprintf(what, sizeof(what),
		 "Declared %.32s, measured %.32s. The declaration holds; see `opmeter explain %s`.", d->value,
		 as->value, id);
	return agent_say(a, "what a person declared contradicts what its products show", subject, what);
}

static struct om_phase_hour day_of(const struct job *j)
{
	struct om_phase_hour d = j->day;

	om_phase_hour_add(&d, &j->earlier);
	om_phase_hour_add(&d, &j->now);
	return d;
}

/* For a person to look at: nothing else follows from it than that the work counts in the upper bound. */
static int say_suspicion(struct agent *a, struct job *j, const struct om_phase_hour *d)
{
	char id[OM_ID_STRLEN], subject[OM_ID_STRLEN + 8], what[300];

	if (!d->suspicion || d->suspicion == j->suspected)
		return 0;
	j->suspected = d->suspicion;
	snprintf(subject, sizeof(subject), "job %s", om_id_format(&j->now.job, id));
	snprintf(what, sizeof(what),
		 "In one of its processes %s. What it did is unknown and counts in the upper bound; see "
		 "`opmeter explain %s`.",
		 d->suspicion, id);
	return agent_say(a, "deception-suspected: what its products look like is not what it does", subject,
			 what);
}

static int say(struct agent *a, struct job *j, uint64_t day, uint64_t now_ns)
{
	struct om_assignment as = { .ledger = *om_ledger_id(a->ledger),
				    .job = j->now.job,
				    .kind = OM_ASSIGN_PHASE,
				    .from_ns = day * DAY_NS,
				    .to_ns = (day + 1) * DAY_NS,
				    .at_ns = now_ns,
				    .rule = RULE,
				    .version = RULE_VERSION };
	struct om_phase_hour d = day_of(j);
	int r;

	if (!d.executed)
		return 0;
	if (j->serves_learning)
		d.training_high = d.executed;
	r = say_suspicion(a, j, &d);
	if (r)
		return r;
	snprintf(as.value, sizeof(as.value), "%s", phase_verdict_name(d.verdict));
	shares_set(&as, &d);
	if (!is_worth_saying(j, &as))
		return 0;
	snprintf(as.evidence, sizeof(as.evidence), "%sConfidence: %s. Of the largest process: %.330s",
		 j->serves_learning ? SERVES : "", d.confidence, d.evidence);
	r = agent_assign_record(a, &as);
	if (r)
		return r;
	j->said = as;
	j->is_to_say = false;
	return compare_declared(a, &as, day);
}

/* --- judging --- */

struct judging {
	struct agent *a;
	uint64_t now_ns;
};

static int on_hour(void *ctx, const struct om_phase_hour *h)
{
	struct judging *g = ctx;
	struct agent_phases *p = g->a->phases;
	struct job *j = job_need(p, &h->job);
	struct om_phase_hour row;
	int r;

	if (!j)
		return p->count < JOBS_MAX ? -ENOMEM : 0;
	j->now = *h;
	j->is_to_say |= h->has_ended;
	row = j->earlier;
	om_phase_hour_add(&row, h);
	row.hour = p->hour;
	r = om_ledger_store_phase_hours(g->a->ledger, &row, 1, g->now_ns);
	return r ?: say(g->a, j, p->hour / 24, g->now_ns);
}

/* Ranks of one job under several cgroups: what infers beside what learns counts in the upper bound
 * (core/job_model.h). */
static int look_together(struct agent *a, uint64_t now_ns)
{
	struct agent_phases *p = a->phases;
	int r = agent_joins_begin(a);

	for (size_t i = 0; i < p->count && r == 0; i++) {
		enum phase_verdict v = day_of(&p->job[i]).verdict;

		if (v == PHASE_IS_TRAINING || v == PHASE_IS_FROZEN || v == PHASE_IS_MIXED)
			agent_joins_learns(a, &p->job[i].now.job);
	}
	for (size_t i = 0; i < p->count && r == 0; i++) {
		struct job *j = &p->job[i];
		bool serves =
			day_of(j).verdict == PHASE_IS_INFERENCE && agent_joins_with_learner(a, &j->now.job);

		if (serves == j->serves_learning)
			continue;
		j->serves_learning = serves;
		r = say(a, j, p->hour / 24, now_ns);
	}
	return r;
}

/* The hour that was is over: its judgements are final. */
static int turn(struct agent *a, uint64_t now_ns)
{
	struct agent_phases *p = a->phases;
	uint64_t hour = now_ns / HOUR_NS, day = p->hour / 24;
	int r = 0;

	for (size_t i = 0; i < p->count && r == 0; i++) {
		struct job *j = &p->job[i];

		j->is_to_say = true;
		r = say(a, j, day, now_ns);
		om_phase_hour_add(&j->day, &j->earlier);
		om_phase_hour_add(&j->day, &j->now);
		j->earlier = j->now = (struct om_phase_hour){ .job = j->now.job };
	}
	if (hour / 24 != day) {
		p->count = 0;
		p->is_full = false;
	}
	p->hour = hour;
	r = r ?: agent_models_turn(a, p->tally, now_ns);
	return r ?: om_tally_turn(p->tally);
}

static int put_unshaped(struct agent_phases *p, const struct drain_result *d)
{
	int r = 0;

	for (size_t i = 0; i < d->usage_count && r == 0; i++) {
		const struct om_usage *u = &d->usage[i];

		r = om_tally_unshaped(p->tally, &u->job, u->tgid, u->start_ns, u->unshaped);
	}
	return r;
}

bool agent_phases_hour_is_over(const struct agent *a, uint64_t now_ns)
{
	return a->phases && now_ns / HOUR_NS != a->phases->hour;
}

static void take_dead(struct agent *a, const struct drain_result *d, uint64_t now_ns)
{
	struct om_tally *t = a->phases->tally;

	for (size_t i = 0; i < d->dead_count; i++) {
		const struct drain_process *p = &d->processes[d->dead[i]];

		if (!agent_models_ended(a, t, p->tgid, p->start_ns, now_ns))
			om_tally_ended(t, p->tgid, p->start_ns);
	}
}

static int take_counts(struct agent *a, const struct drain_result *d, bool had_all, uint64_t now_ns)
{
	struct agent_phases *p = a->phases;
	int r;

	r = om_tally_put(p->tally, d->shapes, d->shape_count);
	r = r ?: put_unshaped(p, d);
	r = r ?: agent_order_put(a, p->tally, d, now_ns);
	r = r ?: put_named(p, d);
	if (r)
		return r;
	take_dead(a, d, now_ns);
	if (!had_all)
		return 0;
	agent_models_looked(a, now_ns);
	return agent_models_tell_left_out(a);
}

int agent_phases_look(struct agent *a, const struct drain_result *d, bool had_all, uint64_t now_ns)
{
	bool has_ended, has_counts = had_all || d->dead_count;
	struct judging g = { a, now_ns };
	struct agent_phases *p = a->phases;
	int r = has_counts ? take_counts(a, d, had_all, now_ns) : 0;

	/* What has ended is judged as a whole before only its sum is kept. */
	r = r ?: agent_models_step(a, p->tally, now_ns, &has_ended);
	if (r || (!has_counts && !has_ended))
		return r;
	if (agent_phases_hour_is_over(a, now_ns))
		om_tally_hour_ends(p->tally);
	r = om_tally_judge(p->tally, on_hour, &g);
	r = r ?: look_together(a, now_ns);
	if (r == 0 && agent_phases_hour_is_over(a, now_ns))
		r = turn(a, now_ns);
	return r == 0 && had_all ? drain_next_burst(a->drain) : r;
}
