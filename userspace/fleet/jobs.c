// SPDX-License-Identifier: Apache-2.0
/*
 * Jobs over nodes, for the judge: from the records of processes (core/together.h) it says which job instances
 * serve the learning of others, and of which lineages runs are that go by several names, as assignments that
 * the keepers of partitions sum by. What a tenant can make up (shapes, communicators) widens upper bounds of
 * its own jobs and groups runs; it takes nothing away.
 */
#include "jobs_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../exporters/topic.h"
#include "../base/yaml.h"

#define SHARE 49				/* a fiftieth of the time is for looking */
#define DAYS_BACK 31				/* days that a job is said to serve on, at most */
#define SETTLES_NS (900 * UINT64_C(1000000000)) /* so long the records of a communicator may take to come */
#define DEAD_LETTERS_MAX 10000
#define SAYINGS_AT_ONCE 1000

/* --- reading --- */

static void on_refused(void *ctx, const rd_kafka_message_t *m, enum refusal why)
{
	struct jobs *j = ctx;

	if (j->dead_letters++ < DEAD_LETTERS_MAX)
		part_send_dead_letter(j->fleet, m, why);
}

static int on_assigned(void *ctx, const rd_kafka_message_t *m)
{
	struct jobs *j = ctx;

	processes_changed(j->processes); /* a person's word may be among them */
	return jobs_said_take(&j->said, m);
}

void jobs_end(struct fleet *f)
{
	struct jobs *j = f->jobs;

	if (!j)
		return;
	jobs_forget_parents(j);
	free(j->parents);
	jobs_said_done(&j->said);
	processes_free(j->processes);
	architectures_free(j->known);
	free(j);
	f->jobs = NULL;
}

/* Without the file no model is told to be an open one. */
static void load_known(struct jobs *j)
{
	const char *path = j->fleet->config->architectures_path;
	struct error_text err = { 0 };

	if (path && architectures_load(path, &j->known, &err))
		log_warn("%s: %s: no model is told to be an open one", path,
			 err.text[0] ? err.text : "cannot be read");
}

static int jobs_begin(struct fleet *f)
{
	struct jobs *j = f->jobs = calloc(1, sizeof(*j));
	struct processes_config config = { .kafka = { f->config->brokers, f->config->kafka_config },
					   .name = f->config->name,
					   .processes_max = f->config->processes_max,
					   .ctx = j,
					   .refused = on_refused,
					   .assigned = on_assigned };

	if (!j)
		return -ENOMEM;
	j->fleet = f;
	j->said.partitions = f->partitions;
	j->processes = processes_new(&config);
	if (!j->processes)
		return -ENOMEM;
	load_known(j);
	return 0;
}

size_t jobs_poll(struct fleet *f)
{
	int n;

	if (!judge_speaks(f))
		return 0;
	if (!f->jobs && jobs_begin(f)) {
		f->error = -ENOMEM;
		return 0;
	}
	n = processes_step(f->jobs->processes);
	if (n < 0)
		f->error = n;
	return n < 0 ? 0 : (size_t)n;
}

bool jobs_are_read(const struct fleet *f)
{
	const struct jobs *j = f->jobs;

	return !judge_speaks(f) ||
	       (j && (processes_are_read(j->processes) || processes_state(j->processes)->is_missing));
}

/* --- alerts --- */

struct told {
	struct key_node node; /* key: kind and tenants */
	size_t count;
};

/* Out of memory: nothing more is said now. */
static bool is_more_of_them(struct look *l, int kind, const char *const tenant[2])
{
	char key[300];
	size_t len = (size_t)snprintf(key, sizeof(key), "%d/%.140s/%.140s", kind, tenant[0], tenant[1]);
	struct told *t = (struct told *)key_map_find(&l->told, key, len);

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t || key_map_add(&l->told, &t->node, key, len)) {
			free(t);
			return true;
		}
	}
	return t->count++ >= OF_ONE_AT_ONCE;
}

/* Once, and not too many at a time: the others at a later look. True: it is to be said now. */
bool jobs_may_tell(struct look *l, int kind, const char *subject, const char *cause, const char *level,
		   const char *const tenant[2])
{
	if (findings_is_said(l->findings, subject, cause, level))
		return false;
	if (l->emitted[kind] == NEW_AT_ONCE || is_more_of_them(l, kind, tenant)) {
		processes_changed(l->jobs->processes);
		return false;
	}
	l->emitted[kind]++;
	return true;
}

const char *jobs_whose(const char *tenant)
{
	return tenant[0] ? tenant : "unknown";
}

/* --- who serves --- */

static int remember_serving(struct look *l, const struct together_serving *s)
{
	char key[2 * OM_ID_STRLEN];
	size_t len = jobs_instance_key(&s->ledger, &s->job, key);
	struct key_node *n = calloc(1, sizeof(*n));

	if (!n || key_map_add(&l->serving, n, key, len)) {
		free(n);
		return -ENOMEM;
	}
	return 0;
}

static int tell_serving(struct look *l, const struct together_serving *s)
{
	char subject[64] = "job/", ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], sentence[500];

	om_id_format(&s->joined, subject + strlen(subject));
	if (!jobs_may_tell(l, OF_SERVING, subject, "job-serves", "1",
			   (const char *const[2]){ s->tenant, s->learner }))
		return 0;
	snprintf(sentence, sizeof(sentence),
		 "Processes of tenant %.100s that only infer are joined by communicators with others that "
		 "learn, or may do so (tenant %.100s): what they compute is in the upper bound of training.",
		 jobs_whose(s->tenant), jobs_whose(s->learner));
	return findings_emit(
		l->findings, subject, "job-serves", "1", sentence,
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "ledger", om_id_format(&s->ledger, ledger), "job",
			  om_id_format(&s->job, job), "tenant", jobs_whose(s->tenant), "learner_tenant",
			  jobs_whose(s->learner), "evidence", s->evidence, "what_to_do",
			  strcmp(s->tenant, s->learner)
				  ? "find out whether the two tenants work together: a communicator's id can "
				    "be copied; a person's word about the phase holds"
				  : "nothing, if this is reinforcement learning, distillation or evaluation; "
				    "else a person says the phase"));
}

/* Each day by itself, so that a later one is of what is known then. */
static int on_serving(void *ctx, const struct together_serving *s)
{
	struct look *l = ctx;
	uint64_t last = s->to_ns / DAY_NS, first = s->from_ns / DAY_NS;
	int r = remember_serving(l, s);

	if (first + DAYS_BACK <= last)
		first = last - DAYS_BACK + 1;
	for (uint64_t day = first; r == 0 && day <= last; day++) {
		struct om_assignment a = { .ledger = s->ledger,
					   .job = s->job,
					   .kind = OM_ASSIGN_SERVES,
					   .from_ns = day * DAY_NS,
					   .to_ns = (day + 1) * DAY_NS,
					   .share_high_ppm = 1000000 };
		const struct said *known = jobs_said_find(&l->jobs->said, &a);

		if (known && known->share_high_ppm)
			continue;
		om_id_format(&s->joined, a.value);
		snprintf(a.evidence, sizeof(a.evidence), "%s", s->evidence);
		r = jobs_said_add(&l->jobs->said, l->jobs->fleet, &a);
	}
	return r ?: tell_serving(l, s);
}

/* What was said by a communicator in which processes of two tenants claim one rank may be a stranger's doing.
 * Where another one still says it, it stays. */
static int on_disputed(void *ctx, const struct together_process *p)
{
	struct look *l = ctx;
	uint64_t today = l->now_ns / DAY_NS;
	char key[2 * OM_ID_STRLEN];
	size_t len = jobs_instance_key(&p->ledger, &p->job, key);
	int r = 0;

	if (key_map_find(&l->serving, key, len))
		return 0;
	for (uint64_t day = today - DAYS_BACK; r == 0 && day <= today + 1; day++) {
		struct om_assignment a = { .ledger = p->ledger,
					   .job = p->job,
					   .kind = OM_ASSIGN_SERVES,
					   .from_ns = day * DAY_NS,
					   .to_ns = (day + 1) * DAY_NS };
		const struct said *known = jobs_said_find(&l->jobs->said, &a);

		if (!known || !known->share_high_ppm)
			continue;
		snprintf(a.value, sizeof(a.value), "%s", known->value);
		snprintf(a.evidence, sizeof(a.evidence),
			 "Taken back: two processes of two tenants claim one rank of the communicator that "
			 "joined it with others that learn.");
		r = jobs_said_add(&l->jobs->said, l->jobs->fleet, &a);
	}
	return r;
}

/* How an oddity is said. */
struct odd {
	const char *subject, *cause, *what_to_do;
};

static struct odd say_odd(const struct together_oddity *o, char ret[500])
{
	static const struct odd conflict = { "communicator/", "communicator-conflict",
					     "look at both jobs: a restart within minutes under a constant "
					     "NCCL_COMM_ID does this, and so does who copies another's id" },
				partly = { "communicator/", "communicator-over-tenants",
					   "look whether the ranks that are missing run on nodes without a "
					   "meter" },
				left_out = { "job/", "communicators-left-out",
					     "find out whether it answers for the learning; a person's word "
					     "about the phase holds" },
				shared = { "process/", "process-shared",
					   "find out which node's record is not true" };
	const char *a = jobs_whose(o->a->tenant), *b = jobs_whose(o->b->tenant);

	switch (o->kind) {
	case TOGETHER_CONFLICT:
		if (o->rank == OM_JOIN_NO_RANK)
			snprintf(ret, 500,
				 "All %" PRId32 " ranks of a communicator were seen, and a process without a "
				 "rank claims it, of tenants %.100s and %.100s: it is not joined.",
				 o->nranks, a, b);
		else
			snprintf(ret, 500,
				 "Two processes claim rank %" PRId32 " of %" PRId32
				 " of one communicator, of tenants %.100s and %.100s: %s.",
				 o->rank, o->nranks, a, b,
				 o->is_over_tenants
					 ? "each tenant's processes are joined by it to its own only"
					 : "both are joined by it");
		return conflict;
	case TOGETHER_SHARED_PROCESS:
		snprintf(
			ret, 500,
			"Records of two ledgers or tenants (%.100s and %.100s) have one process id: it joins "
			"none of them to the other.",
			a, b);
		return shared;
	case TOGETHER_LEFT_OUT:
		snprintf(ret, 500,
			 "Processes of tenant %.100s that only infer made more communicators than their "
			 "records hold, and others of it learn: whether one of them joins both is not told.",
			 a);
		return left_out;
	case TOGETHER_PARTLY_SEEN:
		break;
	}
	snprintf(ret, 500,
		 "Processes of tenants %.100s and %.100s are of one communicator of which %" PRId32
		 " of %" PRId32 " ranks were seen: they are not joined to each other.",
		 a, b, o->rank, o->nranks);
	return partly;
}

static int on_oddity(void *ctx, const struct together_oddity *o)
{
	struct look *l = ctx;
	char subject[64], sentence[500], process[2][OM_ID_STRLEN], ledger[2][OM_ID_STRLEN];
	struct odd odd = say_odd(o, sentence);

	snprintf(subject, sizeof(subject), "%s%s", odd.subject, om_id_format(&o->id, process[0]));
	if ((!o->is_over_tenants && o->kind != TOGETHER_LEFT_OUT &&
	     om_id_equal(&o->a->ledger, &o->b->ledger)) ||
	    (o->kind == TOGETHER_PARTLY_SEEN && l->now_ns < o->time_ns + SETTLES_NS) ||
	    !jobs_may_tell(l, OF_ODDITIES, subject, odd.cause, "1",
			   (const char *const[2]){ o->a->tenant, o->b->tenant }))
		return 0;
	return findings_emit(
		l->findings, subject, odd.cause, "1", sentence,
		json_pack("{s:[s,s],s:[s,s],s:[s,s],s:s}", "processes",
			  om_id_format(&o->a->process, process[0]), om_id_format(&o->b->process, process[1]),
			  "ledgers", om_id_format(&o->a->ledger, ledger[0]),
			  om_id_format(&o->b->ledger, ledger[1]), "tenants", jobs_whose(o->a->tenant),
			  jobs_whose(o->b->tenant), "what_to_do", odd.what_to_do));
}

/* --- what is not as it should be, once a day --- */

static int tell_missing(struct findings *j, const struct processes_state *s)
{
	char sentence[400], day[16];

	date_format((int32_t)(j->policy.now_ns / DAY_NS), day);
	snprintf(sentence, sizeof(sentence),
		 "%s cannot be read: processes of several nodes are not joined into jobs. %.190s",
		 om_topic_name(OM_TOPIC_PROCESSES), s->why);
	return findings_emit(
		j, "processes", "jobs-not-joined", day, sentence,
		json_pack("{s:s}", "what_to_do",
			  "opmeter topics create, or give the fleet's user the right to read it"));
}

static int tell_refused(struct findings *j, const struct processes_state *s, enum refusal why)
{
	char sentence[400], day[16], count[24];

	if (!s->refused[why])
		return 0;
	date_format((int32_t)(s->refused_ms[why] / 86400000), day);
	if (findings_is_said(j, "processes", refusal_name(why), day))
		return 0;
	snprintf(count, sizeof(count), "%" PRIu64, s->refused[why]);
	snprintf(sentence, sizeof(sentence),
		 "%s records of processes were refused (%s), the last on %s: they join nobody.", count,
		 refusal_name(why), day);
	return findings_emit(
		j, "processes", refusal_name(why), day, sentence,
		json_pack("{s:s,s:s}", "count", count, "what_to_do",
			  "find out who writes to this topic: its records are in the dead letters"));
}

static int tell_forgotten(struct look *l)
{
	struct together_counts counts;
	char sentence[400], day[16], count[24];

	together_count(processes_together(l->jobs->processes), &counts);
	if (!counts.forgotten)
		return 0;
	date_format((int32_t)(l->now_ns / DAY_NS), day);
	if (findings_is_said(l->findings, "processes", "processes-forgotten", day))
		return 0;
	snprintf(count, sizeof(count), "%" PRIu64, counts.forgotten);
	snprintf(
		sentence, sizeof(sentence),
		"There is no room for the records of more processes: %zu are kept, and %s were forgotten, of "
		"the tenant that has most, first those that ended.",
		counts.processes, count);
	return findings_emit(l->findings, "processes", "processes-forgotten", day, sentence,
			     json_pack("{s:s,s:s}", "count", count, "what_to_do", "raise --processes-max"));
}

/* --- looking --- */

static int look(struct look *l)
{
	struct together *t = processes_together(l->jobs->processes);
	int r;

	if (l->now_ns > PROCESSES_KEPT_NS)
		together_expire(t, l->now_ns - PROCESSES_KEPT_NS);
	r = together_each_serving(t, on_serving, l);
	r = r ?: together_each_disputed(t, on_disputed, l);
	r = r ?: together_each_oddity(t, on_oddity, l);
	r = r ?: jobs_look_at_lineages(l);
	for (int i = 1; r == 0 && i < REFUSAL_END; i++)
		r = tell_refused(l->findings, processes_state(l->jobs->processes), (enum refusal)i);
	return r ?: tell_forgotten(l);
}

static bool is_due(struct jobs *j, uint64_t now)
{
	if (j->has_looked && now - j->looked_ns < j->rest_ns)
		return false;
	if (j->declarations != j->fleet->law.declarations)
		processes_changed(j->processes);
	return processes_take_change(j->processes) || !j->has_looked;
}

int jobs_look(struct fleet *f, struct findings *findings)
{
	struct look l = { .jobs = f->jobs, .findings = findings, .now_ns = findings->policy.now_ns };
	uint64_t begun = fleet_now_ns(CLOCK_MONOTONIC), took;
	int r;

	if (!f->jobs)
		return 0;
	if (processes_state(f->jobs->processes)->is_missing)
		return tell_missing(findings, processes_state(f->jobs->processes));
	if (!processes_are_read(f->jobs->processes) || !is_due(f->jobs, begun))
		return 0;
	r = look(&l);
	key_map_done(&l.serving, key_node_free);
	key_map_done(&l.told, key_node_free);
	took = fleet_now_ns(CLOCK_MONOTONIC) - begun;
	f->jobs->has_looked = true;
	f->jobs->looked_ns = begun;
	f->jobs->rest_ns = SHARE * took > f->config->jobs_every_ns ? SHARE * took : f->config->jobs_every_ns;
	return r;
}

void jobs_leave(struct fleet *f)
{
	if (!f->jobs || !f->jobs->said.count)
		return;
	jobs_said_written(&f->jobs->said, false);
	processes_changed(f->jobs->processes);
}

int jobs_say(struct fleet *f, struct speaker *speaker)
{
	struct jobs_said *s = f->jobs ? &f->jobs->said : NULL;
	int r = 0, rc;

	if (!s || !s->count)
		return 0;
	/* Not all at once: a transaction has a time to be done in. What some of them wrote is read again. */
	for (size_t at = 0; r == 0 && at < s->count; at += SAYINGS_AT_ONCE)
		r = speaker_say(speaker, &s->sayings[at],
				s->count - at < SAYINGS_AT_ONCE ? s->count - at : SAYINGS_AT_ONCE);
	if (r)
		processes_changed(f->jobs->processes);
	rc = jobs_said_written(s, r == 0);
	return r ?: rc;
}
