// SPDX-License-Identifier: Apache-2.0
/* `ledger join`, and what `ledger export` writes of communicators and collectives. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../agent/collective.h"
#include "../base/options.h"
#include "../base/text.h"
#include "../core/ledger_collectives.h"
#include "../core/assignment.h"
#include "ledger_verbs.h"

#define DEFAULT_DIR "/var/lib/opmeter"

static void print_line(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text)
		puts(text);
	free(text);
	json_decref(o);
}

/* --- export --- */

static json_t *who_json(const struct om_collective_who *w)
{
	char job[OM_ID_STRLEN], process[OM_ID_STRLEN];
	struct om_id id;

	om_collective_process_id(w, &id);
	return json_pack("{s:s,s:s,s:i}", "job", om_id_format(&w->job, job), "process",
			 om_id_format(&id, process), "pid", (int)w->tgid);
}

static void set_handle(json_t *o, uint64_t comm)
{
	char text[24];

	if (comm == OM_COLLECTIVE_NO_COMM) {
		json_object_set_new(o, "comm", json_null());
		return;
	}
	snprintf(text, sizeof(text), "%llx", (unsigned long long)comm);
	json_object_set_new(o, "comm", json_string(text));
}

static int export_collective(void *ctx, const struct om_collective_usage *u)
{
	json_t *o = who_json(&u->who);
	char bytes[OPCOUNT_STRLEN];

	set_handle(o, u->comm);
	json_object_set_new(o, "kind", json_string(collective_kind_name(u->kind)));
	json_object_set_new(o, "calls", json_integer((json_int_t)u->calls));
	json_object_set_new(o, "bytes", json_string(opcount_format(u->bytes, bytes)));
	print_line(o);
	return 0;
}

static int export_loss(void *ctx, const struct om_collective_loss *u)
{
	json_t *o = who_json(&u->who);

	json_object_set_new(o, "lost", json_string(collective_lost_name(u->cause)));
	json_object_set_new(o, "count", json_integer((json_int_t)u->count));
	print_line(o);
	return 0;
}

int ledger_export_collectives(struct om_ledger *l)
{
	int r = om_ledger_each_collective(l, export_collective, NULL);

	return r ?: om_ledger_each_collective_loss(l, export_loss, NULL);
}

static int export_communicator(void *ctx, const struct om_communicator_event *e)
{
	char id[OM_ID_STRLEN], time[OM_TIME_STRLEN];
	json_t *o = who_json(&e->who);

	json_object_set_new(o, "number", json_integer((json_int_t)e->number));
	json_object_set_new(o, "time", json_string(om_time_format(e->time_ns, time)));
	json_object_set_new(o, "kind", json_string(collective_kind_name(e->kind)));
	set_handle(o, e->comm);
	json_object_set_new(o, "id", e->has_id ? json_string(om_id_format(&e->id, id)) : json_null());
	json_object_set_new(o, "ids", json_integer(e->ids));
	json_object_set_new(o, "nranks", json_integer(e->nranks));
	json_object_set_new(o, "rank", json_integer(e->rank));
	json_object_set_new(o, "a", json_integer(e->a));
	json_object_set_new(o, "b", json_integer(e->b));
	print_line(o);
	return 0;
}

int ledger_export_communicators(struct om_ledger *l)
{
	return om_ledger_each_communicator(l, export_communicator, NULL);
}

/* --- join --- */

struct gathered {
	struct om_join_claim *claims;
	size_t count, room;
	json_t *instances; /* job instance -> {ledger, path} */
	char ledger[OM_ID_STRLEN];
};

static int gather_claim(void *ctx, const struct om_communicator_event *e)
{
	struct gathered *g = ctx;

	/* What ends or divides a communicator says nothing about who is in it. */
	if (e->kind != OM_COMMUNICATOR_INIT && e->kind != OM_COMMUNICATOR_INIT_ALL &&
	    e->kind != OM_COMMUNICATOR_GROW)
		return 0;
	if (g->count == g->room) {
		size_t room = g->room ? 2 * g->room : 1024;
		struct om_join_claim *more = reallocarray(g->claims, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->claims = more;
		g->room = room;
	}
	om_collective_claim(e, &g->claims[g->count++]);
	return 0;
}

static int gather_instance(void *ctx, const struct om_id *job, uint64_t cgroup_id, const char *path,
			   uint64_t first_seen_ns)
{
	struct gathered *g = ctx;
	char id[OM_ID_STRLEN], text[1024];

	om_id_format(job, id);
	json_object_set_new(g->instances, id,
			    json_pack("{s:s,s:s,s:s?}", "instance", id, "ledger", g->ledger, "path",
				      path ? text_escape(path, text, sizeof(text)) : NULL));
	return 0;
}

static int gather(struct gathered *g, const char *dir)
{
	_cleanup_ledger_ struct om_ledger *l = NULL;
	struct error_text err = { 0 };
	int r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, &l, &err);

	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r;
	}
	om_id_format(om_ledger_id(l), g->ledger);
	/* Instances last: the agent may be writing, and an instance is there before its events. */
	r = om_ledger_each_communicator(l, gather_claim, g);
	r = r ?: om_ledger_each_job(l, gather_instance, g);
	if (r)
		log_error("%s: cannot be read to its end: %s", dir, strerror(-r));
	return r;
}

static void print_job(const struct gathered *g, const struct om_join_job *j)
{
	json_t *instances = json_array();
	char name[OM_ID_STRLEN], id[OM_ID_STRLEN];
	json_t *seen = json_object();

	for (size_t i = 0; i < j->member_count; i++) {
		json_t *instance = json_object_get(g->instances, om_id_format(&j->members[i].job, id));

		if (json_object_get(seen, id))
			continue;
		json_object_set_new(seen, id, json_true());
		json_array_append_new(instances, instance ? json_incref(instance)
							  : json_pack("{s:s,s:n}", "instance", id, "path"));
	}
	json_decref(seen);
	print_line(json_pack("{s:s,s:I,s:o,s:i,s:i}", "job", om_id_format(&j->name, name), "processes",
			     (json_int_t)j->process_count, "instances", instances, "sets", (int)j->sets,
			     "incomplete_sets", (int)j->incomplete_sets));
}

static bool print_set(const struct om_joining *all, const struct om_join_set *s)
{
	char id[OM_ID_STRLEN], job[OM_ID_STRLEN], a[OM_ID_STRLEN], b[OM_ID_STRLEN];
	char first[OM_TIME_STRLEN], last[OM_TIME_STRLEN];
	json_t *o = json_pack("{s:s,s:i,s:i,s:s,s:s,s:s,s:b}", "set", om_id_format(&s->id, id), "nranks",
			      (int)s->nranks, "ranks_seen", (int)s->ranks_seen, "verdict",
			      om_join_verdict_name(s->verdict), "first", om_time_format(s->first_ns, first),
			      "last", om_time_format(s->last_ns, last), "disagrees", (int)s->disagrees);

	if (s->verdict == OM_JOIN_CONFLICT)
		json_object_update_new(o, json_pack("{s:i,s:[s,s]}", "rank", (int)s->claimed_rank,
						    "claimants", om_id_format(&s->claimant[0], a),
						    om_id_format(&s->claimant[1], b)));
	else
		json_object_set_new(o, "job", json_string(om_id_format(&all->jobs[s->job].name, job)));
	if (s->unseated)
		json_object_set_new(o, "unseated", json_integer(s->unseated));
	print_line(o);
	return s->verdict == OM_JOIN_CONFLICT || s->disagrees || s->unseated;
}

static int print_joining(const struct gathered *g, uint64_t window_ns)
{
	_cleanup_joining_ struct om_joining *j = NULL;
	bool has_finding = false;
	int r = om_joining_make(g->claims, g->count, window_ns, &j);

	if (r) {
		log_error("cannot join: %s", strerror(-r));
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < j->job_count; i++)
		print_job(g, &j->jobs[i]);
	for (size_t i = 0; i < j->set_count; i++)
		has_finding |= print_set(j, &j->sets[i]);
	if (j->invalid)
		log_warn("%llu calls claim a rank that their communicator cannot have: not joined",
			 (unsigned long long)j->invalid);
	if (has_finding)
		log_warn("some process claims what another claims too, or another number of ranks: not "
			 "joined");
	return has_finding ? EXIT_FINDING : EXIT_OK;
}

int ledger_join(int argc, char **argv)
{
	struct option_list dirs = { 0 };
	uint64_t window_ns = OM_JOIN_WINDOW_NS;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRINGS, &dirs,
		  "a ledger's directory (" DEFAULT_DIR "); may be repeated: ledgers of several nodes" },
		{ "window", "TIME", OPTION_DURATION, &window_ns,
		  "the longest gap between two ranks of one communicator (5m)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "ledger join",
		.summary = "Joins processes into jobs by the ids of their NCCL communicators, as JSON lines "
			   "(docs/formats.md).\n"
			   "Nodes are joined if they had the same --join-key. Exit code 3 if two processes "
			   "claim one rank.",
		.options = options,
	};
	struct gathered g = { 0 };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	g.instances = json_object();
	for (size_t i = 0; r == 0 && i < dirs.count; i++)
		r = gather(&g, dirs.item[i]);
	if (!dirs.count)
		r = gather(&g, DEFAULT_DIR);
	r = r ? EXIT_FAILED : print_joining(&g, window_ns);
	json_decref(g.instances);
	free(g.claims);
	return r;
}
