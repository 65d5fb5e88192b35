// SPDX-License-Identifier: Apache-2.0
/*
 * Which model each process computes: judged when a window of its order goes into the ledger (agent_order.c)
 * and when it ends, a few in each drain, and said in its record (agent_process.c). A model does not change by
 * the minute: what is certain, or came out twice the same, waits for the hour's window.
 *
 * All of it is bounded, since tenants make processes and products as they like: how many are known, how many
 * of them are of one job, the time that judging takes, of one job and in all, and how many records are
 * written. Who has had least comes first, and has a little where nothing is left, so that nobody's floods
 * keep another waiting. What is past a limit is counted and said of the job; its operations are in registers
 * and in its job's phase all the same.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/ledger_collectives.h"
#include "../core/process_record.h"
#include "../core/tally.h"
#include "agent_internal.h"

#define PROCESSES_MAX 2048
#define OF_A_JOB_MAX 256
#define JOBS_OF_A_PROCESS_MAX 8
#define HOUR_NS 3600000000000ULL
#define HOURLY 60 /* windows */
/* In one drain, of a second or less; more where drains are rarer. */
#define LIVE_AT_ONCE 16
#define LIVE_AT_ONCE_NS 40000000ULL
#define ENDED_AT_ONCE 16
#define ENDED_AT_ONCE_NS 200000000ULL
#define ENDED_AT_TURN_NS 2000000000ULL
/* Records: what a node needs in its first minutes, then what it may go on with. */
#define RECORDS_MAX 4096
#define RECORDS_A_MINUTE 16
#define RECORDS_OF_A_JOB 1024 /* in an hour */
/* Processor time: a model takes some 15 ms, made-up products in a made-up order up to a second. */
#define TIME_MAX_NS 5e9
#define TIME_A_MINUTE_NS 200e6
#define TIME_OF_A_JOB_NS 3000000000ULL /* in an hour */
/* What a job has in an hour, though the others have used up what there is. */
#define FIRST_TIME_NS 100000000ULL
#define FIRST_RECORDS 16
#define SAID_AT_ONCE 16	     /* jobs of which it is said that something was left out, at one look */
#define DEAR_NS 150000000ULL /* its kept windows are not looked at again */

struct known {
	struct agent_process_of of;
	uint32_t share;	  /* index */
	uint32_t windows; /* kept so far, by this agent */
	uint64_t names;	  /* what was said besides the judgement; 0: nothing was said */
	bool is_due, is_renamed;
	bool is_settled; /* nothing new comes of judging it again so soon */
};

/* What a job has had in this hour. */
struct share {
	struct om_id job;
	uint32_t records, known; /* known: processes now */
	uint64_t time_ns;
	bool was_left_out, is_said;
};

struct agent_models {
	struct known *known;
	size_t count, next; /* next: to be looked at, by turns */
	struct share share[PROCESSES_MAX];
	size_t shares;
	uint64_t base_ns, hour_ns, looked_ns; /* Unix time; base: counts before it are of another instance */
	bool is_ready, is_full;
	double records, time_ns; /* that may be written, and taken, now */
	uint64_t refilled_ns;
	struct process_record *now, *was;
	struct agent_model_totals totals;
};

struct agent_models *agent_models_free(struct agent_models *m)
{
	if (!m)
		return NULL;
	free(m->known);
	free(m->now);
	free(m->was);
	free(m);
	return NULL;
}

int agent_models_open(struct agent *a)
{
	struct agent_models *m = calloc(1, sizeof(*m));

	a->models = m;
	if (!m)
		return -ENOMEM;
	m->known = calloc(PROCESSES_MAX, sizeof(*m->known));
	m->now = calloc(1, sizeof(*m->now));
	m->was = calloc(1, sizeof(*m->was));
	if (!m->known || !m->now || !m->was)
		return -ENOMEM;
	m->records = RECORDS_MAX;
	m->time_ns = TIME_MAX_NS;
	m->refilled_ns = agent_steady_ns();
	m->hour_ns = agent_now_ns() / HOUR_NS * HOUR_NS;
	return om_ledger_shapes_until(a->ledger, probes_map_id(a->probes), &m->base_ns);
}

void agent_models_get_totals(const struct agent *a, struct agent_model_totals *ret)
{
	*ret = a->models ? a->models->totals : (struct agent_model_totals){ 0 };
	ret->processes = a->models ? a->models->count : 0;
}

/* --- who is known --- */

static struct known *find(struct agent_models *m, const struct om_id *job, uint32_t tgid, uint64_t start_ns)
{
	for (size_t i = 0; i < m->count; i++) {
		struct known *k = &m->known[i];

		if (k->of.tgid == tgid && k->of.start_ns == start_ns && om_id_equal(&k->of.job, job))
			return k;
	}
	return NULL;
}

/* NULL: more jobs than processes are known. */
static struct share *share_of(struct agent_models *m, const struct om_id *job)
{
	size_t i = 0;

	while (i < m->shares && !om_id_equal(&m->share[i].job, job))
		i++;
	if (i == PROCESSES_MAX)
		return NULL;
	if (i == m->shares)
		m->share[m->shares++] = (struct share){ .job = *job };
	return &m->share[i];
}

static void leave_out(struct agent_models *m, struct share *s)
{
	m->totals.left_out++;
	if (s)
		s->was_left_out = true;
}

static void forget(struct agent_models *m, struct known *k)
{
	m->share[k->share].known--;
	*k = m->known[--m->count];
}

/* At the cost of the job that has most, if that has more. */
static bool make_room(struct agent_models *m, const struct share *s)
{
	struct share *most = &m->share[0];
	struct known *victim = NULL;

	for (size_t i = 1; i < m->shares; i++)
		most = m->share[i].known > most->known ? &m->share[i] : most;
	if (most->known <= s->known + 1)
		return false;
	for (size_t i = 0; i < m->count; i++) {
		struct known *k = &m->known[i];

		if (&m->share[k->share] == most && !k->of.has_ended && (!victim || !k->is_due))
			victim = k;
	}
	if (!victim)
		return false;
	forget(m, victim);
	leave_out(m, most);
	return true;
}

static bool has_room(struct agent_models *m, struct share *s)
{
	if (s && s->known < OF_A_JOB_MAX && (m->count < PROCESSES_MAX || make_room(m, s)))
		return true;
	if (!m->is_full)
		log_warn("more than %d processes, or %d of one job: what further ones compute is not "
			 "recorded by process",
			 PROCESSES_MAX, OF_A_JOB_MAX);
	m->is_full = true;
	leave_out(m, s);
	return false;
}

/* NULL: there is no room. */
static struct known *need(struct agent *a, const struct om_id *job, uint32_t tgid, uint64_t start_ns)
{
	struct om_collective_who who = { .boot = *cgroups_boot_id(a->cgroups),
					 .tgid = tgid,
					 .start_ns = start_ns };
	struct agent_models *m = a->models;
	struct known *k = find(m, job, tgid, start_ns);
	struct share *s = k ? NULL : share_of(m, job);

	if (k || !has_room(m, s))
		return k;
	k = &m->known[m->count++];
	*k = (struct known){ .of = { .job = *job, .tgid = tgid, .start_ns = start_ns },
			     .share = (uint32_t)(s - m->share) };
	s->known++;
	om_collective_process_id(&who, &k->of.process);
	return k;
}

int agent_models_window(struct agent *a, const struct om_id *job, uint32_t tgid, uint64_t start_ns)
{
	struct known *k = a->models ? need(a, job, tgid, start_ns) : NULL;

	if (!k)
		return 0;
	k->windows++;
	k->is_due |= !k->is_settled || k->windows % HOURLY == 0;
	return 0;
}

bool agent_models_ended(struct agent *a, const struct om_tally *t, uint32_t tgid, uint64_t start_ns,
			uint64_t now_ns)
{
	struct om_id job[JOBS_OF_A_PROCESS_MAX];
	size_t n = a->models ? om_tally_jobs(t, tgid, start_ns, job, ARRAY_SIZE(job)) : 0;
	bool is_kept = false;

	for (size_t i = 0; i < n; i++) {
		struct known *k = need(a, &job[i], tgid, start_ns);

		if (!k)
			continue;
		k->is_due = k->of.has_ended = is_kept = true;
		k->of.to_ns = now_ns;
	}
	return is_kept;
}

/* --- what was said of it --- */

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	return (h ^ 0xff) * 0x100000001b3ULL;
}

/* Never 0. */
static uint64_t names_of(struct agent *a, const struct known *k, uint64_t now_ns)
{
	static const enum om_assignment_kind kinds[] = { OM_ASSIGN_TENANT, OM_ASSIGN_MODEL,
							 OM_ASSIGN_LINEAGE };
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct om_dated *d = om_totals_holds(a->totals, om_ledger_id(a->ledger), &k->of.job,
							   kinds[i], (uint32_t)(now_ns / (24 * HOUR_NS)));

		h = hash_text(h, d ? d->value : "");
	}
	return (h ^ agent_joins_count(a, &k->of.process)) * 0x100000001b3ULL | 1;
}

void agent_models_looked(struct agent *a, uint64_t now_ns)
{
	struct agent_models *m = a->models;

	m->is_ready = true;
	m->looked_ns = now_ns;
	for (size_t i = 0; i < m->count; i++) {
		struct known *k = &m->known[i];

		if (k->names && !k->of.has_ended)
			k->is_renamed |= names_of(a, k, now_ns) != k->names;
	}
}

/* Once for each job: what its processes are is not all known. */
int agent_models_tell_left_out(struct agent *a)
{
	struct agent_models *m = a->models;
	size_t said = 0;
	int r = 0;

	for (size_t i = 0; i < m->shares && r == 0 && said < SAID_AT_ONCE; i++) {
		struct share *s = &m->share[i];
		char id[OM_ID_STRLEN], subject[OM_ID_STRLEN + 8];

		if (!s->was_left_out || s->is_said)
			continue;
		snprintf(subject, sizeof(subject), "job %s", om_id_format(&s->job, id));
		r = agent_say(
			a, "models-left-out: not all of a job's processes are recorded", subject,
			"It has more processes, or judging them takes longer, than one job may: they are "
			"joined with nobody's. Its operations are counted.");
		s->is_said = true;
		said++;
	}
	return r;
}

/* --- limits --- */

static void refill(struct agent_models *m)
{
	uint64_t now = agent_steady_ns();
	double minutes = (double)(now - m->refilled_ns) / 60e9;

	m->records = fmin(RECORDS_MAX, m->records + minutes * RECORDS_A_MINUTE);
	m->time_ns = fmin(TIME_MAX_NS, m->time_ns + minutes * TIME_A_MINUTE_NS);
	m->refilled_ns = now;
}

static bool may_say(const struct agent_models *m, const struct share *s)
{
	return s->records < RECORDS_OF_A_JOB &&
	       (m->records >= 1 || (s->records < FIRST_RECORDS && m->records > -RECORDS_MAX));
}

/* One that has had all that a job may is left out, which costs nothing. */
static bool may_judge(const struct agent_models *m, const struct share *s)
{
	return m->time_ns > 0 || s->time_ns > TIME_OF_A_JOB_NS ||
	       (s->time_ns < FIRST_TIME_NS && m->time_ns > -TIME_MAX_NS);
}

static uint64_t processor_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void spend(struct agent_models *m, struct known *k, uint64_t took_ns)
{
	m->time_ns -= (double)took_ns;
	m->share[k->share].time_ns += took_ns;
	k->of.is_dear |= took_ns > DEAR_NS;
	if (took_ns > m->totals.worst_ns)
		m->totals.worst_ns = took_ns;
}

/* --- judging --- */

/* Of whom nothing is known but that it multiplied: no record says so better. */
static bool tells_nothing(const struct process_record *p)
{
	return p->has_ended && p->phase.verdict == PHASE_IS_UNKNOWN && !p->phase.suspicion && !p->has_model &&
	       !p->claims;
}

static int say(struct agent *a, struct known *k, uint64_t names)
{
	struct agent_models *m = a->models;
	struct share *s = &m->share[k->share];
	struct agent_process_said said = { 0 };
	bool was_said = k->names != 0;
	int r;

	if (!was_said && tells_nothing(m->now))
		return 0;
	if (!may_say(m, s)) {
		leave_out(m, s);
		return 0;
	}
	r = agent_process_say(a, m->now, m->was, &said);
	if (r < 0)
		return r;
	if (r == 0) {
		m->totals.said++;
		m->records--;
		s->records++;
	}
	k->is_settled =
		!said.is_kept && (said.is_same || k->of.is_dear ||
				  (m->now->model.is_certain && !strcmp(m->now->phase.confidence, "high")));
	k->names = names;
	return 0;
}

static void set_times(const struct agent_models *m, struct known *k, uint64_t now_ns)
{
	uint64_t boot = agent_boot_ns(), age = boot > k->of.start_ns ? boot - k->of.start_ns : 0,
		 born = now_ns > age ? now_ns - age : 0;

	k->of.from_ns = born > m->hour_ns ? born : m->hour_ns;
	if (m->base_ns > k->of.from_ns)
		k->of.from_ns = m->base_ns;
	if (!k->of.has_ended)
		k->of.to_ns = m->looked_ns;
}

/* 1: it is gone, or did nothing since. */
static int make(struct agent *a, const struct om_tally *t, const struct known *k, uint64_t now_ns)
{
	struct agent_models *m = a->models;
	int r;

	if (!k->is_due) {
		r = agent_process_last(a, &k->of, m->now);
		m->now->at_ns = now_ns;
	} else {
		r = agent_process_judge(a, t, &k->of, now_ns, m->now);
		m->totals.judged += r == 0;
		/* What ended without having done anything this hour still ends what was said of it. */
		if (r == 1 && k->of.has_ended && k->names) {
			r = agent_process_last(a, &k->of, m->now);
			m->now->at_ns = now_ns;
			m->now->has_ended = true;
		}
	}
	return r == -ENOENT ? 1 : r;
}

static int tell(struct agent *a, struct om_tally *t, struct known *k, uint64_t now_ns)
{
	struct share *s = &a->models->share[k->share];
	uint64_t begun = processor_ns();
	int r;

	if (k->is_due && (s->time_ns > TIME_OF_A_JOB_NS || !may_judge(a->models, s))) {
		leave_out(a->models, s);
		k->is_due = false;
		return 0;
	}
	set_times(a->models, k, now_ns);
	r = make(a, t, k, now_ns);
	spend(a->models, k, processor_ns() - begun);
	k->is_due = k->is_renamed = false;
	if (r)
		return r < 0 ? r : 0;
	agent_process_name(a, t, &k->of, a->models->now);
	return say(a, k, names_of(a, k, now_ns));
}

/* The last of its job instances is told: the tally may let it go. */
static void finish(struct agent *a, struct om_tally *t, struct known *k)
{
	uint32_t tgid = k->of.tgid;
	uint64_t start_ns = k->of.start_ns;
	bool is_last = true;

	forget(a->models, k);
	for (size_t i = 0; i < a->models->count; i++)
		is_last &= a->models->known[i].of.tgid != tgid || a->models->known[i].of.start_ns != start_ns;
	if (is_last)
		om_tally_ended(t, tgid, start_ns);
}

/* What has ended keeps its place until it is judged: where places run out it is left out instead. */
static bool is_crowded(const struct agent_models *m)
{
	return m->count > PROCESSES_MAX / 4 * 3;
}

/* The one whose job has had least in this hour, by turns among equals; NULL: none is due, or has time left.
 */
static struct known *next_of(struct agent_models *m, bool has_ended)
{
	struct known *best = NULL;
	size_t at = 0;

	for (size_t i = 1; i <= m->count; i++) {
		struct known *k = &m->known[(m->next + i) % m->count];
		const struct share *s = &m->share[k->share];

		if (k->of.has_ended != has_ended || (!has_ended && !k->is_due && !k->is_renamed) ||
		    !(may_judge(m, s) || (has_ended && is_crowded(m))) ||
		    (best && s->time_ns >= m->share[best->share].time_ns))
			continue;
		best = k;
		at = (m->next + i) % m->count;
	}
	m->next = best ? at : m->next;
	return best;
}

static int step_ended(struct agent *a, struct om_tally *t, uint64_t now_ns, size_t most, uint64_t most_ns,
		      bool *ret_ended)
{
	struct agent_models *m = a->models;
	uint64_t until = agent_steady_ns() + most_ns;
	struct known *k;
	int r = 0;

	for (size_t n = 0; r == 0 && n < most && m->count && (k = next_of(m, true)); n++) {
		if (n && agent_steady_ns() > until)
			break;
		r = tell(a, t, k, now_ns);
		finish(a, t, k);
		*ret_ended = true;
	}
	return r;
}

static int step_live(struct agent *a, struct om_tally *t, uint64_t now_ns)
{
	struct agent_models *m = a->models;
	uint64_t seconds = a->config->drain_ns / 1000000000ULL ?: 1;
	uint64_t until = agent_steady_ns() + seconds * LIVE_AT_ONCE_NS, left = seconds * LIVE_AT_ONCE;
	struct known *k;
	int r = 0;

	while (r == 0 && left && m->is_ready && m->count && (k = next_of(m, false))) {
		r = tell(a, t, k, now_ns);
		left = agent_steady_ns() > until ? 0 : left - 1;
	}
	return r;
}

int agent_models_step(struct agent *a, struct om_tally *t, uint64_t now_ns, bool *ret_ended)
{
	int r;

	*ret_ended = false;
	if (!a->models || !a->models->count)
		return 0;
	refill(a->models);
	r = step_ended(a, t, now_ns, ENDED_AT_ONCE, ENDED_AT_ONCE_NS, ret_ended);
	return r ?: step_live(a, t, now_ns);
}

int agent_models_turn(struct agent *a, struct om_tally *t, uint64_t now_ns)
{
	struct agent_models *m = a->models;
	bool has_ended;
	int r = step_ended(a, t, now_ns, PROCESSES_MAX, ENDED_AT_TURN_NS, &has_ended);

	m->hour_ns = now_ns;
	m->base_ns = 0;
	m->is_ready = false; /* there is nothing to judge by yet */
	m->shares = 0;
	for (size_t i = 0; i < m->count; i++) {
		struct share *s = share_of(m, &m->known[i].of.job);

		m->known[i].share = (uint32_t)(s - m->share);
		s->known++;
	}
	return r;
}
