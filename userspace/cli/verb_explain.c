// SPDX-License-Identifier: Apache-2.0
/*
 * `explain`: why a job counts as it does, from one node's ledger, in words and numbers. What was read is put
 * into one JSON object first; words are made of that, so both say the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <jansson.h>

#include "../base/options.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "../core/decimal.h"
#include "../core/ledger_collectives.h"
#include "../agent/drain.h"
#include "../core/ledger_order.h"
#include "../core/ledger_phases.h"
#include "../core/process_record.h"
#include "../core/tally.h"
#include "../core/totals.h"
#include "explain_api.h"
#include "explain_ranks.h"
#include "replay_ranks.h"
#include "show_model.h"
#include "verbs.h"

#define DEFAULT_DIR "/var/lib/opmeter"
#define HOURS_SHOWN 24

struct explaining {
	struct om_ledger *ledger;
	const char *wanted; /* as given */
	struct om_id job;
	unsigned found;
	json_t *answer;
	json_t *assignments, *figures, *hours, *alerts;
	struct om_totals *totals;
	struct om_tally *tally;
	uint64_t communicators, records; /* records: of its processes */
	int32_t ranks;
	uint32_t last_day;
	struct job_judgement together; /* ranks 0: it has no products */
};

/* --- which job --- */

static int match_job(void *ctx, const struct om_id *job, uint64_t cgroup_id, const char *path,
		     uint64_t first_seen_ns)
{
	struct explaining *x = ctx;
	char id[OM_ID_STRLEN], when[OM_TIME_STRLEN], cgroup[24];

	om_id_format(job, id);
	if (strncasecmp(id, x->wanted, strlen(x->wanted)) &&
	    !(path && strchr(x->wanted, '/') && strstr(path, x->wanted)))
		return 0;
	if (x->found++ == 0) {
		x->job = *job;
		snprintf(cgroup, sizeof(cgroup), "%llu", (unsigned long long)cgroup_id);
		json_object_set_new(x->answer, "job", json_string(id));
		json_object_set_new(x->answer, "path", path ? json_string(path) : json_null());
		json_object_set_new(x->answer, "cgroup", json_string(cgroup));
		json_object_set_new(x->answer, "first_seen",
				    json_string(om_time_format(first_seen_ns, when)));
	}
	return 0;
}

/* --- what is known of it --- */

static int take_entry(void *ctx, const struct om_entry *e)
{
	struct explaining *x = ctx;
	struct om_assignment a;
	char id[OM_ID_STRLEN];
	json_t *o;

	if (e->kind == OM_ENTRY_PROCESS && e->payload)
		x->records += process_record_is_of(e->payload, e->len, &x->job);
	if (!e->payload || (e->kind != OM_ENTRY_ASSIGNMENT && e->kind != OM_ENTRY_ALERT))
		return 0;
	if (e->kind == OM_ENTRY_ASSIGNMENT) {
		if (om_assignment_decode(e->payload, e->len, &a) || !om_id_equal(&a.job, &x->job))
			return 0;
		o = json_loadb(e->payload, e->len, 0, NULL);
		json_object_set_new(o, "entry", json_integer((json_int_t)e->index));
		json_array_append_new(x->assignments, o);
		return om_totals_assign(x->totals, &a) < 0 ? -ENOMEM : 0;
	}
	o = json_loadb(e->payload, e->len, 0, NULL);
	if (o && strstr(json_string_value(json_object_get(o, "subject")) ?: "", om_id_format(&x->job, id)))
		json_array_append(x->alerts, json_object_get(json_object_get(o, "data"), "sentence"));
	json_decref(o);
	return 0;
}

static int take_register(void *ctx, const struct om_reading *r)
{
	struct explaining *x = ctx;
	uint64_t lost = 0;
	char day[16];

	if (!om_id_equal(&r->key.job, &x->job))
		return 0;
	for (int i = 0; i < OM_LOSS_END; i++)
		lost += r->value.lost[i];
	json_array_append_new(x->figures,
			      json_pack("{s:s,s:s,s:s,s:o,s:o,s:I,s:I}", "day",
					date_format((int32_t)r->key.day, day), "format",
					om_format_name(r->key.format), "meter", om_meter_name(r->key.meter),
					"low", decimal(om_value_lower(&r->value)), "high",
					decimal(om_value_upper(&r->value)), "calls",
					(json_int_t)r->value.calls, "lost", (json_int_t)lost));
	if (r->key.day > x->last_day)
		x->last_day = r->key.day;
	return om_totals_put(x->totals, r) < 0 ? -ENOMEM : 0;
}

static int take_hour(void *ctx, const struct om_phase_hour *h)
{
	struct explaining *x = ctx;
	char when[OM_TIME_STRLEN];

	if (!om_id_equal(&h->job, &x->job))
		return 0;
	json_array_append_new(x->hours, json_pack("{s:s,s:s,s:s,s:o,s:{s:o,s:o},s:{s:o,s:o},s:i,s:s}", "hour",
						  om_time_format(h->hour * 3600000000000ULL, when), "verdict",
						  phase_verdict_name(h->verdict), "confidence", h->confidence,
						  "executed", decimal(h->executed), "training", "low",
						  decimal(h->training_low), "high", decimal(h->training_high),
						  "recomputed", "low", decimal(h->recompute_low), "high",
						  decimal(h->recompute_high), "processes", (int)h->processes,
						  "evidence", h->evidence));
	return 0;
}

static int take_shape(void *ctx, const struct om_shape_usage *s)
{
	struct explaining *x = ctx;

	return om_id_equal(&s->job, &x->job) ? om_tally_put(x->tally, s, 1) : 0;
}

static int take_communicator(void *ctx, const struct om_communicator_event *e)
{
	struct explaining *x = ctx;

	if (om_id_equal(&e->who.job, &x->job) && e->has_id) {
		x->communicators++;
		x->ranks = e->nranks > x->ranks ? e->nranks : x->ranks;
	}
	return 0;
}

static int take_total(void *ctx, const struct om_subject_total *s)
{
	json_t *list = ctx;

	json_array_append_new(list, json_pack("{s:s,s:s,s:{s:o,s:o},s:{s:o,s:o}}", "tenant", s->tenant,
					      "model", s->model, "all", "low", decimal(s->all_low), "high",
					      decimal(s->all_high), "training", "low",
					      decimal(s->training_low), "high", decimal(s->training_high)));
	return 0;
}

static int keep_nothing(void *ctx, const struct om_phase_hour *h)
{
	return 0;
}

static int take_order(void *ctx, const struct om_order_window *w)
{
	struct explaining *x = ctx;

	return om_tally_burst(x->tally, w->tgid, w->start_ns, w->window, w->steps, w->count);
}

/* As a recorded run is, from the counts and the windows of the order that the ledger keeps. */
static int judge_model(struct explaining *x, const struct architectures *known, struct model_fingerprint *f)
{
	_cleanup_(run_done) struct run run = { 0 };
	struct phase_judgement p;
	int r = om_tally_judge(x->tally, keep_nothing, NULL);

	r = r ?: om_tally_run(x->tally, &x->job, &run);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = phase_judge(&run, &p);
	return r ?: model_judge(&run, &p, known, f);
}

static int gather(struct explaining *x, const struct architectures *known, struct model_fingerprint *f)
{
	json_t *counts = json_array();
	int r = om_ledger_each_entry(x->ledger, 0, take_entry, x);

	r = r ?: om_ledger_each_register(x->ledger, take_register, x);
	r = r ?: om_ledger_each_phase_hour(x->ledger, 0, take_hour, x);
	r = r ?: om_ledger_each_shape(x->ledger, take_shape, x);
	r = r ?: om_ledger_each_order(x->ledger, &x->job, take_order, x);
	r = r ?: om_ledger_each_communicator(x->ledger, take_communicator, x);
	r = r ?: om_totals_each(x->totals, take_total, counts);
	r = r ?: judge_model(x, known, f);
	r = r ?: explain_ranks(x->ledger, &x->job, known, &x->together);
	json_object_set_new(x->answer, "together",
			    x->together.ranks ? show_job_json(&x->together) : json_null());
	json_object_set_new(x->answer, "counts", counts);
	json_object_set(x->answer, "assignments", x->assignments);
	json_object_set(x->answer, "figures", x->figures);
	json_object_set(x->answer, "hours", x->hours);
	json_object_set(x->answer, "findings", x->alerts);
	json_object_set_new(x->answer, "model", f->weights ? show_model_json(f) : json_null());
	json_object_set_new(
		x->answer, "communicators",
		json_pack("{s:I,s:i}", "joined", (json_int_t)x->communicators, "ranks", (int)x->ranks));
	json_object_set_new(x->answer, "processes", json_integer((json_int_t)x->records));
	return r;
}

/* --- in words --- */

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "-";
}

static const char *human(const json_t *o, const char *key, char buf[OPCOUNT_STRLEN])
{
	opcount v = 0;

	opcount_parse(text_of(o, key), &v);
	return opcount_human(v, buf);
}

static void print_counts(const json_t *answer)
{
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN], c[OPCOUNT_STRLEN], d[OPCOUNT_STRLEN];
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "counts"), i, one)
	{
		const json_t *all = json_object_get(one, "all"), *training = json_object_get(one, "training");

		printf("counts      for tenant %s, model %s: %s..%s operations, of which training %s..%s\n",
		       text_of(one, "tenant"), text_of(one, "model"), human(all, "low", a),
		       human(all, "high", b), human(training, "low", c), human(training, "high", d));
	}
}

static const char *range(double low, double high, char *buf, size_t size)
{
	if (high - low < 5e-5)
		snprintf(buf, size, "%.4g %%", 100 * high);
	else
		snprintf(buf, size, "%.4g to %.4g %%", 100 * low, 100 * high);
	return buf;
}

/* What the verdict comes to, for who has to act on it. */
static void print_meaning(const struct om_dated *d)
{
	double low = d->share_low_ppm / 1e6, high = d->share_high_ppm / 1e6;
	char part[48];

	printf("            ");
	if (!strcmp(d->value, "inference"))
		printf("It answers and does not learn: %s of its operations may count as training.\n",
		       range(1 - high, 1 - low, part, sizeof(part)));
	else if (!strcmp(d->value, "unknown"))
		printf("What it is for is not told: %s of its operations count as training (lower and upper "
		       "bound).\n",
		       range(low, high, part, sizeof(part)));
	else
		printf("%s: %s of its operations count as training (lower and upper bound; recomputation is "
		       "left "
		       "out).\n",
		       !strcmp(d->value, "mixed") ? "It learns and answers"
		       : !strcmp(d->value, "frozen-weight-training")
			       ? "It learns, but most of its weights do not"
			       : "It learns",
		       range(low, high, part, sizeof(part)));
}

static void print_holding(const struct explaining *x, enum om_assignment_kind kind)
{
	const struct om_dated *d =
		om_totals_holds(x->totals, om_ledger_id(x->ledger), &x->job, kind, x->last_day);
	const json_t *one, *from = NULL;
	char when[OM_TIME_STRLEN], part[48];
	size_t i;

	if (!d) {
		printf("%-11s nobody says\n", om_assignment_kind_name(kind));
		return;
	}
	om_time_format(d->at_ns, when);
	json_array_foreach(json_object_get(x->answer, "assignments"), i,
			   one) if (!strcmp(text_of(one, "kind"), om_assignment_kind_name(kind)) &&
				    !strcmp(text_of(one, "at"), when) &&
				    !strcmp(text_of(one, "value"), d->value)) from = one;
	printf("%-11s %s: ", om_assignment_kind_name(kind), d->value);
	if (from) {
		const json_t *author = json_object_get(from, "author"),
			     *share = json_object_get(from, "share");

		printf("said by %s at %s (entry %lld), for %s of the operations. %s\n",
		       json_string_value(json_object_get(author, "person")) ?: text_of(author, "rule"), when,
		       (long long)json_integer_value(json_object_get(from, "entry")),
		       range(atof(text_of(share, "low")), atof(text_of(share, "high")), part, sizeof(part)),
		       text_of(from, "evidence"));
	}
	if (kind == OM_ASSIGN_PHASE)
		print_meaning(d);
}

static void print_hours(const json_t *answer)
{
	const json_t *hours = json_object_get(answer, "hours"), *h;
	size_t count = json_array_size(hours), i;
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN], c[OPCOUNT_STRLEN];

	if (!count) {
		printf("\nNo hour of it was judged: products are judged a minute after they were asked "
		       "for.\n");
		return;
	}
	printf("\n%-17s %-24s %-6s %10s %22s  %s\n", "HOUR", "VERDICT", "SURE", "OPERATIONS", "TRAINING",
	       "WHY");
	json_array_foreach(hours, i, h)
	{
		const json_t *t = json_object_get(h, "training");

		if (i + HOURS_SHOWN >= count)
			printf("%-17.16s %-24s %-6s %10s %10s..%-10s  %s\n", text_of(h, "hour"),
			       text_of(h, "verdict"), text_of(h, "confidence"), human(h, "executed", a),
			       human(t, "low", b), human(t, "high", c), text_of(h, "evidence"));
	}
	if (count > HOURS_SHOWN)
		printf("... and %zu earlier hours: --json has them\n", count - HOURS_SHOWN);
}

static void print_figures(const json_t *answer)
{
	char a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN];
	const json_t *f;
	size_t i;

	printf("\n%-11s %-8s %-10s %22s %14s %10s\n", "DAY", "FORMAT", "METER", "OPERATIONS", "CALLS",
	       "LOST");
	json_array_foreach(json_object_get(answer, "figures"), i, f)
		printf("%-11s %-8s %-10s %10s..%-10s %14lld %10lld\n", text_of(f, "day"),
		       text_of(f, "format"), text_of(f, "meter"), human(f, "low", a), human(f, "high", b),
		       (long long)json_integer_value(json_object_get(f, "calls")),
		       (long long)json_integer_value(json_object_get(f, "lost")));
}

static void print_words(const struct explaining *x, const struct model_fingerprint *f)
{
	const json_t *one;
	char path[512];
	size_t i;

	printf("job         %s, first seen %s\ncgroup      %s\n", text_of(x->answer, "job"),
	       text_of(x->answer, "first_seen"), text_escape(text_of(x->answer, "path"), path, sizeof(path)));
	print_counts(x->answer);
	for (int kind = 0; kind < OM_ASSIGN_FAMILY; kind++)
		print_holding(x, (enum om_assignment_kind)kind);
	show_model_print(f);
	if (x->together.world > 1)
		show_job_print(&x->together);
	if (x->communicators)
		printf("joined      %llu communicators of up to %d ranks: `opmeter ledger join` names the "
		       "job's other processes\n",
		       (unsigned long long)x->communicators, (int)x->ranks);
	print_hours(x->answer);
	print_figures(x->answer);
	json_array_foreach(x->alerts, i, one)
		printf("%sfinding     %s\n", i ? "" : "\n", json_string_value(one));
}

/* --- the verb --- */

static void done(struct explaining *x)
{
	om_ledger_free(x->ledger);
	om_totals_free(x->totals);
	om_tally_free(x->tally);
	json_decref(x->answer);
	json_decref(x->assignments);
	json_decref(x->figures);
	json_decref(x->hours);
	json_decref(x->alerts);
}

static int find_job(struct explaining *x, const char *dir)
{
	struct error_text err = { 0 };
	int r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, &x->ledger, &err);

	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r;
	}
	r = om_ledger_each_job(x->ledger, match_job, x);
	if (r == 0 && !x->found)
		log_error("explain: no job '%s' in %s: `opmeter ledger show` lists them", x->wanted, dir);
	if (r == 0 && x->found > 1)
		log_error("explain: '%s' is %u jobs: give more of the id or path", x->wanted, x->found);
	return r ?: x->found == 1 ? 0 : -ENOENT;
}

static int explain(struct explaining *x, const char *dir, bool json, const char *architectures)
{
	_cleanup_(architectures_freep) struct architectures *known = NULL;
	_cleanup_free_ struct model_fingerprint *f = calloc(1, sizeof(*f));
	char *text;
	int r = f ? find_job(x, dir) : -ENOMEM;

	if (r)
		return r;
	r = show_model_load(architectures, &known);
	r = r ?: gather(x, known, f);
	if (r) {
		log_error("%s: cannot be read to its end: %s", dir, strerror(-r));
		return r;
	}
	if (!json) {
		print_words(x, f);
		return 0;
	}
	text = json_dumps(x->answer, JSON_COMPACT | JSON_REAL_PRECISION(9));
	puts(text ?: "");
	free(text);
	return text ? 0 : -ENOMEM;
}

static int ask(const struct api_client *c, const char *wanted, bool json)
{
	struct error_text err = { 0 };
	int r = explain_api(c, wanted, json, &err);

	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : r == -EACCES ? EXIT_NOPERM : r ? EXIT_FAILED : EXIT_OK;
}

int verb_explain(int argc, char **argv)
{
	_cleanup_(done) struct explaining x = { .answer = json_object(),
						.assignments = json_array(),
						.figures = json_array(),
						.hours = json_array(),
						.alerts = json_array() };
	const char *dir = DEFAULT_DIR, *architectures = NULL;
	bool json = false;
	struct api_client client = { 0 };
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir, "the ledger's directory (" DEFAULT_DIR ")" },
		{ "architectures", "FILE", OPTION_STRING, &architectures,
		  "known models (" SHOW_MODEL_DEFAULT ")" },
		API_CLIENT_OPTIONS(client),
		{ "json", NULL, OPTION_FLAG, &json, "exact, as one object" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "explain",
		.operands = "JOB",
		.summary =
			"Says why a job counts as it does: who says what of it, what each hour was judged "
			"to be and why, which\n"
			"model its products are like, and its figures. JOB is the beginning of its id, or "
			"a part of its cgroup's\n"
			"path with a slash in it; with --api LEDGER/JOB, of which the fleet knows what its "
			"processes do and\n"
			"which job over nodes they are of.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !*argv[at]) {
		log_error("explain: name one JOB; `opmeter ledger show` lists them");
		return EXIT_USAGE;
	}
	if (client.url)
		return ask(&client, argv[at], json);
	x.wanted = argv[at];
	x.totals = om_totals_new(4000000);
	x.tally = om_tally_new(drain_shape_name);
	if (!x.totals || !x.tally)
		return EXIT_FAILED;
	om_tally_keep_windows(x.tally, OM_TALLY_WINDOWS_MAX);
	r = explain(&x, dir, json, architectures);
	return r == 0 ? EXIT_OK : r == -ENOENT ? EXIT_USAGE : r == -EUCLEAN ? EXIT_FINDING : EXIT_FAILED;
}
