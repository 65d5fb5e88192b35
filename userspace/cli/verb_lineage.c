// SPDX-License-Identifier: Apache-2.0
/*
 * `lineage list|join|part`: which runs of one node's ledger are runs of one model. The rule's view is made
 * anew from the ledger each time it is asked for; what a person says goes into the log, by the agent if one
 * is at work.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <jansson.h>

#include "../base/options.h"
#include "../base/text.h"
#include "../agent/drain.h"
#include "../core/ledger_collectives.h"
#include "../core/ledger_order.h"
#include "../core/declaration.h"
#include "../core/lineage.h"
#include "../core/spool.h"
#include "../core/tally.h"
#include "../core/totals.h"
#include "explain_api.h"
#include "show_model.h"
#include "verbs.h"

#define DEFAULT_DIR "/var/lib/opmeter"

struct known_job {
	struct om_id job;
	char path[256], tenant[128], declared[128],
		subject[260]; /* subject: "tenant/model"; empty: no model is assigned */
	struct lineage_parent *parent;
	size_t parents;
	uint64_t from_ns, to_ns;
	uint32_t last_day;
	struct model_fingerprint *model; /* NULL: not told */
	bool is_united;
	struct om_id united;
};

struct looking {
	struct om_ledger *ledger;
	struct om_totals *totals;
	struct om_tally *tally;
	struct architectures *known;
	struct declarations *declarations; /* NULL: none */
	struct known_job *job;
	size_t jobs, room;
	struct om_join_claim *claim;
	size_t claims, claim_room;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct known_job *find(struct looking *k, const struct om_id *job)
{
	for (size_t i = 0; i < k->jobs; i++)
		if (om_id_equal(&k->job[i].job, job))
			return &k->job[i];
	return NULL;
}

/* --- reading --- */

static int take_job(void *ctx, const struct om_id *job, uint64_t cgroup_id, const char *path,
		    uint64_t first_seen_ns)
{
	struct looking *k = ctx;
	struct known_job *j;

	if (k->jobs == k->room) {
		size_t room = k->room ? 2 * k->room : 64;

		j = reallocarray(k->job, room, sizeof(*j));
		if (!j)
			return -ENOMEM;
		k->job = j;
		k->room = room;
	}
	j = &k->job[k->jobs++];
	*j = (struct known_job){ .job = *job, .from_ns = first_seen_ns, .to_ns = first_seen_ns };
	snprintf(j->path, sizeof(j->path), "%s", path ?: "");
	return 0;
}

static int take_entry(void *ctx, const struct om_entry *e)
{
	struct looking *k = ctx;
	struct om_assignment a;

	if (!om_entry_assignment(e, &a))
		return 0;
	return om_totals_assign(k->totals, &a) < 0 ? -ENOMEM : 0;
}

static int take_register(void *ctx, const struct om_reading *r)
{
	struct known_job *j = find(ctx, &r->key.job);

	if (!j)
		return 0;
	if (r->value.to_ns > j->to_ns)
		j->to_ns = r->value.to_ns;
	if (r->key.day > j->last_day)
		j->last_day = r->key.day;
	return 0;
}

static int take_shape(void *ctx, const struct om_shape_usage *s)
{
	return om_tally_put(((struct looking *)ctx)->tally, s, 1);
}

static int take_order(void *ctx, const struct om_order_window *w)
{
	return om_tally_burst(((struct looking *)ctx)->tally, w->tgid, w->start_ns, w->window, w->steps,
			      w->count);
}

static int take_communicator(void *ctx, const struct om_communicator_event *e)
{
	struct looking *k = ctx;

	if (k->claims == k->claim_room) {
		size_t room = k->claim_room ? 2 * k->claim_room : 64;
		struct om_join_claim *bigger = reallocarray(k->claim, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		k->claim = bigger;
		k->claim_room = room;
	}
	om_collective_claim(e, &k->claim[k->claims++]);
	return 0;
}

static int judged(void *ctx, const struct om_phase_hour *h)
{
	return 0;
}

static int judge_model(struct looking *k, struct known_job *j)
{
	_cleanup_free_ struct model_fingerprint *f = calloc(1, sizeof(*f));
	_cleanup_(run_done) struct run run = { 0 };
	struct phase_judgement p;
	int r = f ? om_tally_run(k->tally, &j->job, &run) : -ENOMEM;

	if (r == -ENOENT)
		return 0;
	r = r ?: phase_judge(&run, &p);
	r = r ?: model_judge(&run, &p, k->known, f);
	if (r == 0 && f->weights)
		j->model = TAKE_PTR(f);
	return r;
}

static int unite_jobs(struct looking *k)
{
	_cleanup_joining_ struct om_joining *j = NULL;
	int r = k->claims ? om_joining_make(k->claim, k->claims, 0, &j) : 0;

	for (size_t i = 0; j && i < j->job_count; i++)
		for (size_t m = 0; m < j->jobs[i].member_count && j->jobs[i].process_count > 1; m++) {
			struct known_job *one = find(k, &j->jobs[i].members[m].job);

			if (one) {
				one->is_united = true;
				one->united = j->jobs[i].name;
			}
		}
	return r;
}

static void take_words(struct looking *k, struct known_job *j)
{
	const struct om_id *ledger = om_ledger_id(k->ledger);
	const struct om_dated *tenant =
		om_totals_holds(k->totals, ledger, &j->job, OM_ASSIGN_TENANT, j->last_day);
	const struct om_dated *word =
		om_totals_holds(k->totals, ledger, &j->job, OM_ASSIGN_LINEAGE, j->last_day);
	const struct om_dated *model =
		om_totals_holds(k->totals, ledger, &j->job, OM_ASSIGN_MODEL, j->last_day);

	snprintf(j->tenant, sizeof(j->tenant), "%s", tenant ? tenant->value : "unknown");
	snprintf(j->declared, sizeof(j->declared), "%s", word && word->is_person ? word->value : "");
	if (model)
		snprintf(j->subject, sizeof(j->subject), "%s/%s", j->tenant, model->value);
}

/* What people declare the run's model to have been trained on from. */
static int take_parents(const struct looking *k, struct known_job *j)
{
	const struct declaration *d = NULL;

	while (j->subject[0] &&
	       (d = declarations_next(k->declarations, j->subject, DECLARE_PARENT, now_ns(), d))) {
		struct lineage_parent *more = reallocarray(j->parent, j->parents + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		j->parent = more;
		j->parent[j->parents++] = (struct lineage_parent){ d->other, d->digest[0] };
	}
	return 0;
}

static int read_all(struct looking *k)
{
	int r = om_ledger_each_job(k->ledger, take_job, k);

	r = r ?: om_ledger_each_entry(k->ledger, 0, take_entry, k);
	r = r ?: om_ledger_each_register(k->ledger, take_register, k);
	r = r ?: om_ledger_each_shape(k->ledger, take_shape, k);
	r = r ?: om_ledger_each_order(k->ledger, NULL, take_order, k);
	r = r ?: om_ledger_each_communicator(k->ledger, take_communicator, k);
	r = r ?: om_tally_judge(k->tally, judged, NULL);
	r = r ?: unite_jobs(k);
	for (size_t i = 0; i < k->jobs && r == 0; i++) {
		take_words(k, &k->job[i]);
		r = take_parents(k, &k->job[i]);
		r = r ?: judge_model(k, &k->job[i]);
	}
	return r;
}

/* --- showing --- */

static const char *own_name(const struct om_id *job, char ret[LINEAGE_NAME_MAX])
{
	char id[OM_ID_STRLEN];

	snprintf(ret, LINEAGE_NAME_MAX, "p-%.12s", om_id_format(job, id));
	return ret;
}

static bool is_own(const struct known_job *j)
{
	char own[LINEAGE_NAME_MAX];

	return !strcmp(j->declared, own_name(&j->job, own));
}

static int make(struct looking *k, struct lineage_run **ret_runs, struct lineages **ret)
{
	struct lineage_run *runs = calloc(k->jobs + 1, sizeof(*runs));

	if (!runs)
		return -ENOMEM;
	for (size_t i = 0; i < k->jobs; i++) {
		const struct known_job *j = &k->job[i];

		runs[i] = (struct lineage_run){ .ledger = *om_ledger_id(k->ledger),
						.job = j->job,
						.tenant = j->tenant,
						.from_ns = j->from_ns,
						.to_ns = j->to_ns,
						.model = j->model,
						.declared = j->declared[0] ? j->declared : NULL,
						.is_parted = is_own(j),
						.subject = j->subject[0] ? j->subject : NULL,
						.parent = j->parent,
						.parents = j->parents,
						.is_united = j->is_united,
						.united = j->united };
	}
	*ret_runs = runs;
	return lineages_make(runs, k->jobs, ret);
}

static json_t *run_json(const struct known_job *j, const struct lineage_run *first,
			const struct lineage_run *run)
{
	char id[OM_ID_STRLEN], from[OM_TIME_STRLEN], to[OM_TIME_STRLEN];
	const char *why = "the first";

	if (run != first)
		lineage_tie(first, run, &why);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "job", om_id_format(&j->job, id), "path", j->path,
			 "tenant", j->tenant, "from", om_time_format(j->from_ns, from), "to",
			 om_time_format(j->to_ns, to), "tie", why, "like",
			 j->model && j->model->matches ? json_string(j->model->match[0].name) : json_null());
}

static json_t *groups_json(const struct looking *k, const struct lineage_run *runs, const struct lineages *l)
{
	json_t *groups = json_array(), *findings = json_array();

	for (size_t i = 0; i < l->groups; i++) {
		const struct lineage_group *g = &l->group[i];
		json_t *list = json_array();

		for (size_t m = 0; m < g->count; m++)
			json_array_append_new(list, run_json(&k->job[g->member[m]], &runs[g->member[0]],
							     &runs[g->member[m]]));
		json_array_append_new(groups,
				      json_pack("{s:s,s:f,s:b,s:o}", "lineage", g->name, "confidence",
						g->confidence, "declared", g->is_declared, "runs", list));
	}
	for (size_t i = 0; i < l->findings; i++) {
		const struct lineage_finding *f = &l->finding[i];

		json_array_append_new(findings, json_pack("{s:s,s:s,s:f,s:b}", "a", l->group[f->a].name, "b",
							  l->group[f->b].name, "likeness", f->likeness,
							  "open_architecture", f->is_known));
	}
	return json_pack("{s:o,s:o}", "lineages", groups, "findings", findings);
}

static void print_words(const json_t *o)
{
	const json_t *g, *r, *f;
	size_t i, k;

	json_array_foreach(json_object_get(o, "lineages"), i, g)
	{
		printf("%s  confidence %.2f%s\n", json_string_value(json_object_get(g, "lineage")),
		       json_number_value(json_object_get(g, "confidence")),
		       json_is_true(json_object_get(g, "declared")) ? ", a person's word" : "");
		json_array_foreach(json_object_get(g, "runs"), k, r)
		{
			char path[300];

			printf("  %.12s  %.19s..%.19s  %-16s %-28s %s\n",
			       json_string_value(json_object_get(r, "job")),
			       json_string_value(json_object_get(r, "from")),
			       json_string_value(json_object_get(r, "to")),
			       json_string_value(json_object_get(r, "tenant")),
			       json_string_value(json_object_get(r, "tie")),
			       text_escape(json_string_value(json_object_get(r, "path")), path,
					   sizeof(path)));
		}
	}
	json_array_foreach(json_object_get(o, "findings"), i, f)
		printf("%sfinding: %s and %s are of two tenants and alike by %.2f%s\n", i ? "" : "\n",
		       json_string_value(json_object_get(f, "a")), json_string_value(json_object_get(f, "b")),
		       json_number_value(json_object_get(f, "likeness")),
		       json_is_true(json_object_get(f, "open_architecture"))
			       ? " (an open architecture: many train it)"
			       : "");
}

static void done(struct looking *k)
{
	for (size_t i = 0; i < k->jobs; i++) {
		free(k->job[i].model);
		free(k->job[i].parent);
	}
	declarations_free(k->declarations);
	free(k->job);
	free(k->claim);
	architectures_free(k->known);
	om_tally_free(k->tally);
	om_totals_free(k->totals);
	om_ledger_free(k->ledger);
}

static int look(struct looking *k, const char *dir, const char *architectures, const char *declarations)
{
	struct error_text err = { 0 };
	int r = declarations ? declarations_load(declarations, &k->declarations, &err) : 0;

	if (r) {
		log_error("%s: %s", declarations, err.text[0] ? err.text : strerror(-r));
		return r;
	}

	k->totals = om_totals_new(4000000);
	k->tally = om_tally_new(drain_shape_name);
	if (!k->totals || !k->tally)
		return -ENOMEM;
	om_tally_keep_windows(k->tally, OM_TALLY_WINDOWS_MAX);
	r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, &k->ledger, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r;
	}
	r = show_model_load(architectures, &k->known);
	r = r ?: read_all(k);
	if (r)
		log_error("%s: cannot be read to its end: %s", dir, strerror(-r));
	return r;
}

static int ask(const struct api_client *c, bool json)
{
	struct error_text err = { 0 };
	int r = lineages_api(c, json, &err);

	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : r == -EACCES ? EXIT_NOPERM : r ? EXIT_FAILED : EXIT_OK;
}

static int list(int argc, char **argv)
{
	_cleanup_(done) struct looking k = { 0 };
	_cleanup_(lineages_freep) struct lineages *l = NULL;
	_cleanup_free_ struct lineage_run *runs = NULL;
	const char *dir = DEFAULT_DIR, *architectures = NULL, *declarations = NULL;
	struct api_client client = { 0 };
	bool json = false;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (" DEFAULT_DIR ")" },
		{ "architectures", "FILE", OPTION_STRING, &architectures,
		  "known models (" SHOW_MODEL_DEFAULT ")" },
		{ "declarations", "FILE", OPTION_STRING, &declarations,
		  "what was trained on from what, as people declared it (none)" },
		API_CLIENT_OPTIONS(client),
		{ "json", NULL, OPTION_FLAG, &json, "as one object; with --api one for each page" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "lineage list",
		.summary = "Which runs are of one model, with a confidence: by what people said, by "
			   "communicators, and by likeness of what was\n"
			   "multiplied. Runs of two tenants are never joined by likeness; they are listed as "
			   "findings.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);
	char *text;
	json_t *o;

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (client.url)
		return ask(&client, json);
	r = look(&k, dir, architectures, declarations);
	r = r ?: make(&k, &runs, &l);
	if (r)
		return r == -EUCLEAN ? EXIT_FINDING : EXIT_FAILED;
	o = groups_json(&k, runs, l);
	text = json ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	if (json)
		puts(text ?: "");
	else
		print_words(o);
	free(text);
	json_decref(o);
	return EXIT_OK;
}

/* --- a person's word --- */

/* By the ledger's writer: by us if there is none else. */
static int record(const char *dir, const char *text)
{
	_cleanup_ledger_ struct om_ledger *l = NULL;
	struct error_text err = { 0 };
	int r = om_ledger_open(dir, 0, now_ns(), &l, &err);

	if (r == 0)
		r = om_ledger_append(l, OM_ENTRY_ASSIGNMENT, NULL, text, strlen(text), now_ns(), NULL);
	else if (r == -EBUSY || r == -EWOULDBLOCK)
		r = om_spool_put(dir, text);
	if (r < 0)
		log_error("%s: %s", dir, err.text[0] && l == NULL && r != -EBUSY ? err.text : strerror(-r));
	return r < 0 ? r : 0;
}

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len < LINEAGE_NAME_MAX && text_is_name(s, len);
}

static struct known_job *find_named(struct looking *k, const char *wanted)
{
	struct known_job *found = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < k->jobs; i++) {
		char id[OM_ID_STRLEN];

		if (!strncasecmp(om_id_format(&k->job[i].job, id), wanted, strlen(wanted)) ||
		    (strchr(wanted, '/') && strstr(k->job[i].path, wanted))) {
			found = &k->job[i];
			n++;
		}
	}
	if (n != 1)
		log_error("lineage: '%s' is %u jobs of this ledger, not one", wanted, n);
	return n == 1 ? found : NULL;
}

static int say(const struct looking *k, const struct known_job *j, const char *dir, const char *name,
	       const char *by, const char *because)
{
	struct om_assignment as = { .ledger = *om_ledger_id(k->ledger),
				    .job = j->job,
				    .kind = OM_ASSIGN_LINEAGE,
				    .from_ns = j->from_ns,
				    .share_low_ppm = 1000000,
				    .share_high_ppm = 1000000,
				    .at_ns = now_ns() };
	_cleanup_free_ char *text = NULL;
	char id[OM_ID_STRLEN];

	snprintf(as.value, sizeof(as.value), "%s", name);
	snprintf(as.person, sizeof(as.person), "%s", by);
	snprintf(as.evidence, sizeof(as.evidence), "%s", because);
	text = om_assignment_encode(&as);
	if (!text || record(dir, text))
		return EXIT_FAILED;
	printf("%.12s is of lineage %s, says %s\n", om_id_format(&j->job, id), name, by);
	return EXIT_OK;
}

static int speak(int argc, char **argv, bool is_part)
{
	_cleanup_(done) struct looking k = { 0 };
	const char *dir = DEFAULT_DIR, *name = NULL, *by = NULL, *because = "";
	const struct option join_options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (" DEFAULT_DIR ")" },
		{ "by", "PERSON", OPTION_STRING, &by, "who says so" },
		{ "because", "TEXT", OPTION_STRING, &because, "why: kept as the evidence (none)" },
		{ "name", "NAME", OPTION_STRING, &name, "of the lineage: letters, digits, . _ -" },
		{ 0 },
	};
	const struct option part_options[] = { join_options[0], join_options[1], join_options[2], { 0 } };
	const struct option_spec spec = {
		.verb = is_part ? "lineage part" : "lineage join",
		.operands = "JOB ...",
		.summary = is_part ? "Says that each of these runs is of a lineage of its own, whatever it "
				     "is like."
				   : "Says that these runs are of one lineage.",
		.options = is_part ? part_options : join_options,
	};
	int at, r = options_parse(&spec, argc, argv, &at), code = EXIT_OK;

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at == argc || !by || !*by || (!is_part && (!name || !is_name(name)))) {
		log_error(is_part ? "lineage part: give --by PERSON and the JOBs"
				  : "lineage join: give --name NAME (letters, digits, . _ -), --by PERSON "
				    "and the JOBs");
		return EXIT_USAGE;
	}
	if (look(&k, dir, NULL, NULL))
		return EXIT_FAILED;
	for (int i = at; i < argc; i++)
		if (!find_named(&k, argv[i]))
			return EXIT_USAGE; /* nothing is said unless all of it can be */
	for (int i = at; i < argc && code == EXIT_OK; i++) {
		const struct known_job *j = find_named(&k, argv[i]);
		char own[LINEAGE_NAME_MAX];

		code = say(&k, j, dir, is_part ? own_name(&j->job, own) : name, by, because);
	}
	return code;
}

int verb_lineage(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "list"))
		return list(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "join"))
		return speak(argc - 1, argv + 1, false);
	if (argc > 1 && !strcmp(argv[1], "part"))
		return speak(argc - 1, argv + 1, true);
	if (argc > 1 && strcmp(argv[1], "--help")) {
		log_error("lineage: no '%s': list, join or part", argv[1]);
		return EXIT_USAGE;
	}
	printf("usage: opmeter lineage ACT [OPTION ...]\n\nWhich runs are of one model.\n\n"
	       "  list     the lineages, with a confidence\n  join     these runs are of one, says a person\n"
	       "  part     these runs are of none but their own, says a person\n"
	       "  --help   print this; `opmeter lineage ACT --help` tells the rest\n");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
