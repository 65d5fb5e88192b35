// SPDX-License-Identifier: Apache-2.0
/*
 * Answers about job instances: what their processes do, the jobs over nodes that communicators join them
 * into, and lineages of runs, from the processes topic as the judge reads it. The main thread reads, whoever
 * answers asks the same state under a lock; what an answer takes keeps the next records waiting, so that
 * whoever asks on and on costs a tenth of the time.
 */
#include "api_internal.h"
#include "jobs_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 1000
#define RUNS_SHOWN 200
#define REST 9
#define SHARE 49 /* a fiftieth of the time is for counting */
#define COUNT_NS UINT64_C(10000000000)

struct api_jobs {
	pthread_mutex_t lock;
	struct processes *processes;
	struct jobs_said said;
	uint64_t next_ns;  /* CLOCK_MONOTONIC: nothing is read before */
	bool is_due;	   /* what is counted is of before some record */
	uint64_t count_ns; /* CLOCK_MONOTONIC: not counted anew before */
	struct api_jobs_counts counts;
};

static int on_assigned(void *ctx, const rd_kafka_message_t *m)
{
	struct api_jobs *j = ctx;

	j->said.partitions = processes_partitions(j->processes);
	return jobs_said_take(&j->said, m);
}

struct api_jobs *api_jobs_new(const struct api_config *config)
{
	struct api_jobs *j = calloc(1, sizeof(*j));
	struct processes_config c = { .kafka = { config->brokers, config->kafka_config },
				      .name = config->name,
				      .processes_max = config->processes_max,
				      .ctx = j,
				      .assigned = on_assigned };

	if (!j)
		return NULL;
	pthread_mutex_init(&j->lock, NULL);
	j->processes = processes_new(&c);
	return j->processes ? j : api_jobs_free(j);
}

struct api_jobs *api_jobs_free(struct api_jobs *j)
{
	if (!j)
		return NULL;
	processes_free(j->processes);
	jobs_said_done(&j->said);
	pthread_mutex_destroy(&j->lock);
	free(j);
	return NULL;
}

static const char *said_before(void *ctx, const struct om_id *ledger, const struct om_id *job)
{
	return jobs_said_lineage(&((struct api_jobs *)ctx)->said, ledger, job);
}

static const char *persons_word(void *ctx, const struct om_id *ledger, const struct om_id *job)
{
	return jobs_said_word(&((struct api_jobs *)ctx)->said, ledger, job);
}

static int count_job(void *ctx, const struct together_process *first, size_t processes, size_t ledgers)
{
	((struct api_jobs_counts *)ctx)->over_nodes += ledgers > 1;
	return 0;
}

static int count_serving(void *ctx, const struct together_serving *s)
{
	((struct api_jobs_counts *)ctx)->serving++;
	return 0;
}

/* For the page of metrics, so that nobody who scrapes it waits for it. */
static int count(struct api_jobs *j)
{
	const struct together_words words = { .ctx = j, .before = said_before, .declared = persons_word };
	struct together *t = processes_together(j->processes);
	uint64_t begun = fleet_now_ns(CLOCK_MONOTONIC), took;
	struct api_jobs_counts n = { 0 };
	const struct lineage_run *runs;
	const struct lineages *l;
	size_t all;
	int r = together_each_size(t, count_job, &n);

	r = r ?: together_each_serving(t, count_serving, &n);
	r = r ?: together_lineages(t, &words, &runs, &all, &l);
	for (size_t i = 0; r == 0 && i < l->groups; i++)
		n.lineages += l->group[i].count > 1;
	if (r == 0)
		j->counts = n;
	took = fleet_now_ns(CLOCK_MONOTONIC) - begun;
	j->count_ns = begun + (SHARE * took > COUNT_NS ? SHARE * took : COUNT_NS);
	j->is_due = false;
	return r;
}

int api_jobs_step(struct api_jobs *j)
{
	uint64_t wall = fleet_now_ns(CLOCK_REALTIME);
	int r;

	pthread_mutex_lock(&j->lock);
	r = fleet_now_ns(CLOCK_MONOTONIC) < j->next_ns ? 0 : processes_step(j->processes);
	if (processes_take_change(j->processes)) {
		j->is_due = true;
		if (wall > PROCESSES_KEPT_NS)
			together_expire(processes_together(j->processes), wall - PROCESSES_KEPT_NS);
	}
	if (r >= 0 && j->is_due && processes_are_read(j->processes) &&
	    fleet_now_ns(CLOCK_MONOTONIC) >= j->count_ns)
		r = count(j);
	pthread_mutex_unlock(&j->lock);
	return r < 0 ? r : 0;
}

void api_jobs_state(struct api_jobs *j, struct processes_state *ret, struct together_counts *ret_counts,
		    struct api_jobs_counts *ret_jobs)
{
	pthread_mutex_lock(&j->lock);
	*ret = *processes_state(j->processes);
	together_count(processes_together(j->processes), ret_counts);
	*ret_jobs = j->counts;
	pthread_mutex_unlock(&j->lock);
}

/* --- as JSON --- */

static json_t *number(opcount v)
{
	char text[OPCOUNT_STRLEN];

	return json_string(opcount_format(v, text));
}

static json_t *bounds(const struct model_bounds *b)
{
	return json_pack("{s:f,s:f,s:f}", "low", b->low, "best", b->best, "high", b->high);
}

static json_t *text_or_null(const char *s)
{
	return s && *s ? json_string(s) : json_null();
}

static json_t *time_json(uint64_t ns)
{
	char text[OM_TIME_STRLEN];

	return json_string(om_time_format(ns, text));
}

static json_t *phase_json(const struct phase_judgement *p)
{
	return json_pack("{s:s,s:s,s:{s:f,s:f},s:{s:f,s:f,s:f},s:o,s:o,s:s}", "verdict",
			 phase_verdict_name(p->verdict), "confidence", p->confidence ?: "none", "training",
			 "low", p->training_low, "high", p->training_high, "recomputed", "low",
			 p->recompute_low, "best", p->recompute_best, "high", p->recompute_high, "executed",
			 number(p->executed), "suspicion", text_or_null(p->suspicion), "evidence",
			 p->evidence);
}

static json_t *model_json(const struct process_record *p)
{
	const struct model_fingerprint *f = &p->model;

	if (!p->has_model)
		return json_null();
	return json_pack("{s:I,s:I,s:I,s:I,s:b,s:o,s:o,s:f,s:s}", "hidden", (json_int_t)f->hidden,
			 "feed_forward", (json_int_t)f->feed_forward, "vocabulary", (json_int_t)f->vocabulary,
			 "layers", (json_int_t)f->layers, "certain", f->is_certain, "parameters",
			 bounds(&f->parameters), "tokens", bounds(&f->tokens), "check", f->check, "evidence",
			 f->evidence);
}

static json_t *process_json(const struct together *t, const struct together_process *one,
			    struct process_record *room)
{
	char id[OM_ID_STRLEN];

	together_record(t, one, room);
	return json_pack("{s:s,s:o,s:o,s:o,s:b,s:s,s:s,s:o,s:o,s:I}", "process",
			 om_id_format(&one->process, id), "from", time_json(room->from_ns), "to",
			 time_json(room->to_ns), "at", time_json(room->at_ns), "ended", room->has_ended,
			 "tenant", jobs_whose(room->tenant), "model_name",
			 room->model_name[0] ? room->model_name : "unassigned", "phase",
			 phase_json(&room->phase), "model", model_json(room), "communicators",
			 (json_int_t)(room->claims + room->claims_left_out));
}

static json_t *judgement_json(const struct job_judgement *j)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I},s:o,s:o,s:o,s:o,s:o,s:s}", "verdict",
			 phase_verdict_name(j->verdict), "world", (json_int_t)j->world, "ranks",
			 (json_int_t)j->ranks, "learning", (json_int_t)j->learning, "inferring",
			 (json_int_t)j->inferring, "unknown", (json_int_t)j->unknown, "parallel", "tensor",
			 (json_int_t)j->tensor, "pipeline", (json_int_t)j->pipeline, "expert",
			 (json_int_t)j->expert, "data", (json_int_t)j->data, "parameters",
			 bounds(&j->parameters), "executed", number(j->executed), "training_low",
			 number(j->training_low), "training_high", number(j->training_high), "suspicion",
			 text_or_null(j->suspicion), "evidence", j->evidence);
}

/* --- one job instance --- */

struct asking {
	struct call *c;
	struct api_jobs *jobs;
	struct om_id ledger, job;
	struct process_record *room;
	json_t *processes, *joined;
	const struct together_process *latest; /* of the job instance */
	size_t left_out;
	bool is_covered; /* the token may see the job instance */
	bool is_serving;
	char served[OM_ID_STRLEN], evidence[512];
};

static bool is_of(const struct asking *a, const struct together_process *p)
{
	return om_id_equal(&p->job, &a->job) && om_id_equal(&p->ledger, &a->ledger);
}

static bool may_see(const struct asking *a, const struct together_process *p)
{
	return api_token_may_all(a->c->token) || api_token_may_tenant(a->c->token, jobs_whose(p->tenant));
}

/* How many of each job instance, those that the token covers by name. */
static json_t *instances_json(const struct asking *a, const struct together_job *j, size_t *ret_others)
{
	json_t *list = json_object();

	for (size_t i = 0; list && i < j->count; i++) {
		const struct together_process *p = j->process[i];
		char key[2 * OM_ID_STRLEN];
		json_t *one;

		if (!may_see(a, p)) {
			++*ret_others;
			continue;
		}
		jobs_instance_key(&p->ledger, &p->job, key);
		one = json_object_get(list, key);
		if (!one && json_object_size(list) < SHOWN_MAX)
			json_object_set_new(list, key,
					    json_pack("{s:s,s:I}", "tenant", jobs_whose(p->tenant),
						      "processes", (json_int_t)1));
		else if (one)
			json_object_set_new(
				one, "processes",
				json_integer(1 + json_integer_value(json_object_get(one, "processes"))));
	}
	return list;
}

static int take_job(void *ctx, const struct together_job *j)
{
	struct asking *a = ctx;
	char name[OM_ID_STRLEN];
	size_t others = 0;
	json_t *instances;

	for (size_t i = 0; i < j->count; i++) {
		const struct together_process *p = j->process[i];

		if (!is_of(a, p) || !may_see(a, p))
			continue;
		a->is_covered = true;
		if (!a->latest || p->at_ns > a->latest->at_ns)
			a->latest = p;
		if (json_array_size(a->processes) < SHOWN_MAX)
			json_array_append_new(
				a->processes,
				process_json(processes_together(a->jobs->processes), p, a->room));
		else
			a->left_out++;
	}
	instances = instances_json(a, j, &others);
	/* What others do stays theirs: a judgement of the whole tells of it. */
	return json_array_append_new(
		a->joined,
		json_pack("{s:s,s:I,s:I,s:I,s:I,s:o,s:o}", "name", om_id_format(&j->name, name), "processes",
			  (json_int_t)j->count, "ledgers", (json_int_t)j->ledgers, "processes_of_others",
			  (json_int_t)others, "conflicts", (json_int_t)j->conflicts, "job_instances",
			  instances, "judgement", others ? json_null() : judgement_json(&j->judgement)));
}

static int take_serving(void *ctx, const struct together_serving *s)
{
	struct asking *a = ctx;

	if (!om_id_equal(&s->job, &a->job) || !om_id_equal(&s->ledger, &a->ledger))
		return 0;
	a->is_serving = true;
	om_id_format(&s->joined, a->served);
	snprintf(a->evidence, sizeof(a->evidence), "%s", s->evidence);
	return 0;
}

static json_t *job_json(const struct asking *a)
{
	const struct together_process *p = a->latest;
	const char *word = jobs_said_word(&a->jobs->said, &a->ledger, &a->job);
	const char *said = jobs_said_lineage(&a->jobs->said, &a->ledger, &a->job);
	bool is_whole = api_token_may_all(a->c->token);
	char ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];
	json_t *serves = !a->is_serving ? json_null()
					: json_pack("{s:s,s:o}", "job", a->served, "evidence",
						    is_whole ? json_string(a->evidence) : json_null());

	return json_pack("{s:s,s:s,s:s,s:s,s:{s:o,s:o},s:O,s:I,s:O,s:o}", "ledger",
			 om_id_format(&a->ledger, ledger), "job", om_id_format(&a->job, job), "tenant",
			 jobs_whose(p->tenant), "model_name", p->model_name[0] ? p->model_name : "unassigned",
			 "lineage", "rule", text_or_null(said), "person", text_or_null(word ?: p->lineage),
			 "processes", a->processes, "processes_left_out", (json_int_t)a->left_out, "joined",
			 a->joined, "serves", serves);
}

static int put_answer(struct call *c, const char *name, json_t *value)
{
	_cleanup_free_ char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
	struct body b;

	json_decref(value);
	if (!text || body_open(&b))
		return -ENOMEM;
	fprintf(b.f, "{\"as_of\":%s,\"%s\":%s}", as_of(c, c->snapshot->as_of, c->snapshot->brief), name,
		text);
	body_close(&b, c->rq);
	return 0;
}

/* Asks under the lock. 0; 1: nothing that the token may see; -ENOMEM. */
static int ask_job(struct asking *a, json_t **ret)
{
	struct together *t = processes_together(a->jobs->processes);
	uint64_t begun = fleet_now_ns(CLOCK_MONOTONIC);
	int r;

	r = together_jobs_of(t, &a->ledger, &a->job, take_job, a);
	r = r ?: together_each_serving(t, take_serving, a);
	if (r == 0)
		*ret = a->is_covered ? job_json(a) : NULL;
	a->jobs->next_ns = fleet_now_ns(CLOCK_MONOTONIC);
	a->jobs->next_ns += REST * (a->jobs->next_ns - begun);
	return r ? -ENOMEM : !a->is_covered ? 1 : *ret ? 0 : -ENOMEM;
}

/* 0; 1: answered, that there is nothing to tell yet. */
static int refuse_unread(struct call *c)
{
	struct processes *p = c->api->jobs->processes;
	bool is_read, is_missing;

	pthread_mutex_lock(&c->api->jobs->lock);
	is_read = processes_are_read(p);
	is_missing = processes_state(p)->is_missing;
	pthread_mutex_unlock(&c->api->jobs->lock);
	if (is_read)
		return 0;
	answer_problem(c->rq, 503, is_missing ? "no-processes" : "not-ready", "%s",
		       is_missing ? "The topic of processes cannot be read: the server's log says why."
				  : "Not all processes were read yet.");
	return 1;
}

int answer_job(struct call *c)
{
	struct asking a = { .c = c, .jobs = c->api->jobs };
	json_t *found = NULL;
	int r;

	if (check_params(c, (const char *const[]){ NULL }) || refuse_unread(c))
		return 0;
	if (om_id_parse(c->query.segment[2], &a.ledger) || om_id_parse(c->query.segment[3], &a.job))
		return answer_problem(c->rq, 400, "bad-parameter",
				      "Ledger and job are 32 hexadecimal digits each.");
	a.room = malloc(sizeof(*a.room));
	a.processes = json_array();
	a.joined = json_array();
	pthread_mutex_lock(&a.jobs->lock);
	r = a.room && a.processes && a.joined ? ask_job(&a, &found) : -ENOMEM;
	pthread_mutex_unlock(&a.jobs->lock);
	free(a.room);
	json_decref(a.processes);
	json_decref(a.joined);
	/* What others have is told like what nobody has. */
	if (r == 1)
		return answer_problem(c->rq, 404, "no-such-job",
				      "No process of that job instance is known, or it is not in this "
				      "token's scope.");
	return r ? r : put_answer(c, "job", found);
}

/* --- lineages --- */

static json_t *run_json(const struct lineage_run *runs, const struct lineage_group *g, size_t at)
{
	const struct lineage_run *run = &runs[g->member[at]];
	char ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];
	const char *why;
	double tie = jobs_best_tie(runs, g, at, &why);

	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:s,s:f}", "ledger", om_id_format(&run->ledger, ledger),
			 "job", om_id_format(&run->job, job), "tenant", jobs_whose(run->tenant), "model",
			 text_or_null(run->subject), "from", time_json(run->from_ns), "to",
			 time_json(run->to_ns), "tie", why, "confidence", tie);
}

static json_t *group_json(const struct lineage_run *runs, const struct lineage_group *g)
{
	json_t *list = json_array();
	const char *name;

	if (!list || jobs_name_of(runs, g, &name)) {
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < g->count && i < RUNS_SHOWN; i++)
		json_array_append_new(list, run_json(runs, g, i));
	return json_pack("{s:s,s:f,s:b,s:I,s:o}", "lineage", name, "confidence", g->confidence, "declared",
			 g->is_declared, "count", (json_int_t)g->count, "runs", list);
}

static json_t *finding_json(const struct lineage_run *runs, const struct lineages *l,
			    const struct lineage_finding *f)
{
	const char *a, *b;

	if (jobs_name_of(runs, &l->group[f->a], &a) || jobs_name_of(runs, &l->group[f->b], &b))
		return NULL;
	return json_pack("{s:s,s:s,s:[s,s],s:f,s:b}", "a", a, "b", b, "tenants",
			 jobs_whose(runs[l->group[f->a].member[0]].tenant),
			 jobs_whose(runs[l->group[f->b].member[0]].tenant), "likeness", f->likeness,
			 "open_architecture", f->is_known);
}

/* Those of several runs, from the one at *io on. NULL: out of memory. */
static json_t *lineages_json(struct api_jobs *j, uint64_t *io, uint64_t limit)
{
	const struct together_words words = { .ctx = j, .before = said_before, .declared = persons_word };
	uint64_t begun = fleet_now_ns(CLOCK_MONOTONIC), at;
	json_t *groups = json_array(), *findings = json_array();
	const struct lineage_run *runs;
	const struct lineages *l;
	size_t count;

	if (together_lineages(processes_together(j->processes), &words, &runs, &count, &l)) {
		json_decref(groups);
		json_decref(findings);
		return NULL;
	}
	for (at = *io; at < l->groups && json_array_size(groups) < limit; at++)
		if (l->group[at].count > 1)
			json_array_append_new(groups, group_json(runs, &l->group[at]));
	*io = at < l->groups ? at : 0;
	for (size_t i = 0; i < l->findings && i < SHOWN_MAX; i++)
		json_array_append_new(findings, finding_json(runs, l, &l->finding[i]));
	j->next_ns = fleet_now_ns(CLOCK_MONOTONIC);
	j->next_ns += REST * (j->next_ns - begun);
	return json_pack("{s:o,s:o,s:I,s:I}", "groups", groups, "findings", findings, "runs",
			 (json_int_t)count, "next", (json_int_t)*io);
}

/* The number in a cursor is a place, which moves when runs come: a page may repeat or miss some then. */
int answer_job_lineages(struct call *c)
{
	static const char *const known[] = { "limit", "from", NULL };
	uint64_t limit = 100, from = 0;
	json_t *o;

	if (check_params(c, known) || number_param(c, "limit", SHOWN_MAX, &limit) ||
	    number_param(c, "from", INT64_MAX, &from))
		return 0;
	if (!api_token_may_all(c->token))
		return refuse_scope(c);
	if (refuse_unread(c))
		return 0;
	pthread_mutex_lock(&c->api->jobs->lock);
	o = lineages_json(c->api->jobs, &from, limit);
	pthread_mutex_unlock(&c->api->jobs->lock);
	return o ? put_answer(c, "lineages", o) : -ENOMEM;
}
