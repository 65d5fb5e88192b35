// SPDX-License-Identifier: Apache-2.0
#include "explain_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "../core/register.h"

#define RUNS_PATH "/v1/job-lineages?limit=1000"

/* Whatever a tenant named stays on its line. */
static const char *words(const json_t *o, const char *name, char buf[600])
{
	return text_escape(json_string_value(json_object_get(o, name)) ?: "-", buf, 600);
}

static double real(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

static long long count(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void print_process(const json_t *p)
{
	const json_t *phase = json_object_get(p, "phase"), *model = json_object_get(p, "model"),
		     *share = json_object_get(phase, "training");
	char a[600], b[600], c[600];

	printf("process %.12s  %s, confidence %s, training %.2f to %.2f of %s operations, %s to %s%s\n",
	       words(p, "process", a), words(phase, "verdict", b), words(phase, "confidence", c),
	       real(share, "low"), real(share, "high"),
	       json_string_value(json_object_get(phase, "executed")) ?: "?",
	       json_string_value(json_object_get(p, "from")) ?: "?",
	       json_string_value(json_object_get(p, "to")) ?: "?",
	       json_is_true(json_object_get(p, "ended")) ? ", ended" : "");
	printf("  %s\n", words(phase, "evidence", a));
	if (json_is_object(model))
		printf("  hidden %lld, %lld layers, vocabulary %lld, parameters %.4g (%.4g to %.4g). %s\n",
		       count(model, "hidden"), count(model, "layers"), count(model, "vocabulary"),
		       real(json_object_get(model, "parameters"), "best"),
		       real(json_object_get(model, "parameters"), "low"),
		       real(json_object_get(model, "parameters"), "high"), words(model, "evidence", a));
}

static void print_joined(const json_t *j)
{
	const json_t *judgement = json_object_get(j, "judgement"), *one;
	const char *instance;
	char a[600], b[600];

	printf("job over nodes %s: %lld processes of %lld ledgers, %lld of other tenants, %lld disputed "
	       "communicators\n",
	       words(j, "name", a), count(j, "processes"), count(j, "ledgers"),
	       count(j, "processes_of_others"), count(j, "conflicts"));
	json_object_foreach((json_t *)json_object_get(j, "job_instances"), instance, one) printf(
		"  %s  %-20s %lld processes\n", instance, words(one, "tenant", a), count(one, "processes"));
	if (!json_is_object(judgement))
		return;
	printf("  together: %s, training %s to %s of %s operations, parameters %.4g (%.4g to %.4g). %s\n",
	       words(judgement, "verdict", a),
	       json_string_value(json_object_get(judgement, "training_low")) ?: "?",
	       json_string_value(json_object_get(judgement, "training_high")) ?: "?",
	       json_string_value(json_object_get(judgement, "executed")) ?: "?",
	       real(json_object_get(judgement, "parameters"), "best"),
	       real(json_object_get(judgement, "parameters"), "low"),
	       real(json_object_get(judgement, "parameters"), "high"), words(judgement, "evidence", b));
}

static void print_job(const json_t *o)
{
	const json_t *job = json_object_get(o, "job"), *lineage = json_object_get(job, "lineage"),
		     *serves = json_object_get(job, "serves"), *one;
	char a[600], b[600], c[600], d[600];
	size_t i;

	printf("job %s of ledger %s: tenant %s, model %s\n", words(job, "job", a), words(job, "ledger", b),
	       words(job, "tenant", c), words(job, "model_name", d));
	printf("lineage: %s by the rule, %s by a person\n", words(lineage, "rule", a),
	       words(lineage, "person", b));
	if (json_is_object(serves))
		printf("serves the learning of job %s: all of it is in the upper bound of training. %s\n",
		       words(serves, "job", a), words(serves, "evidence", b));
	json_array_foreach(json_object_get(job, "processes"), i, one) print_process(one);
	if (count(job, "processes_left_out"))
		printf("%lld further processes\n", count(job, "processes_left_out"));
	json_array_foreach(json_object_get(job, "joined"), i, one) print_joined(one);
}

int explain_api(const struct api_client *c, const char *wanted, bool json, struct error_text *err)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	char target[128], ledger[OM_ID_STRLEN];
	struct om_id id;
	int r = api_client_check(c, err);

	if (r)
		return r;
	if (strlen(wanted) != 2 * OM_ID_STRLEN - 1 || wanted[OM_ID_STRLEN - 1] != '/' ||
	    om_id_parse(wanted + OM_ID_STRLEN, &id))
		return error_set(err, -EINVAL, "with --api JOB is LEDGER/JOB, 32 hexadecimal digits each");
	memcpy(ledger, wanted, sizeof(ledger));
	ledger[OM_ID_STRLEN - 1] = '\0';
	if (om_id_parse(ledger, &id))
		return error_set(err, -EINVAL, "with --api JOB is LEDGER/JOB, 32 hexadecimal digits each");
	snprintf(target, sizeof(target), "/v1/jobs/%s", wanted);
	r = api_client_get(c, target, &o, err);
	if (r)
		return r;
	if (json) {
		_cleanup_free_ char *text = json_dumps(o, JSON_COMPACT);

		puts(text ?: "");
	} else {
		print_job(o);
	}
	return 0;
}

/* --- lineages --- */

static void print_groups(const json_t *lineages)
{
	const json_t *g, *run;
	char a[600], b[600], c[600];
	size_t i, k;

	json_array_foreach(json_object_get(lineages, "groups"), i, g)
	{
		printf("%s  confidence %.2f, %lld runs%s\n", words(g, "lineage", a), real(g, "confidence"),
		       count(g, "count"),
		       json_is_true(json_object_get(g, "declared")) ? ", a person's word" : "");
		json_array_foreach(json_object_get(g, "runs"), k, run)
			printf("  %.12s  %.19s..%.19s  %-28s %s %.2f\n",
			       json_string_value(json_object_get(run, "job")) ?: "",
			       json_string_value(json_object_get(run, "from")) ?: "",
			       json_string_value(json_object_get(run, "to")) ?: "",
			       json_is_string(json_object_get(run, "model")) ? words(run, "model", a)
									     : words(run, "tenant", b),
			       words(run, "tie", c), real(run, "confidence"));
	}
}

static void print_findings(const json_t *lineages)
{
	const json_t *f;
	char a[600], b[600];
	size_t i;

	json_array_foreach(json_object_get(lineages, "findings"), i, f)
		printf("%sfinding: %s and %s are of two tenants and alike by %.2f%s\n", i ? "" : "\n",
		       words(f, "a", a), words(f, "b", b), real(f, "likeness"),
		       json_is_true(json_object_get(f, "open_architecture"))
			       ? " (an open architecture: many train it)"
			       : "");
}

static int show_page(const json_t *o, bool json, bool is_last)
{
	const json_t *lineages = json_object_get(o, "lineages");

	if (json) {
		_cleanup_free_ char *text = json_dumps(lineages, JSON_COMPACT);

		return puts(text ?: "") < 0 ? -EIO : 0;
	}
	print_groups(lineages);
	if (is_last)
		print_findings(lineages);
	return 0;
}

int lineages_api(const struct api_client *c, bool json, struct error_text *err)
{
	char target[96] = RUNS_PATH;
	int r = api_client_check(c, err);

	for (long long next = 1; r == 0 && next;) {
		_cleanup_(json_decrefp) json_t *o = NULL;

		r = api_client_get(c, target, &o, err);
		if (r)
			break;
		next = count(json_object_get(o, "lineages"), "next");
		r = show_page(o, json, !next);
		snprintf(target, sizeof(target), RUNS_PATH "&from=%lld", next);
	}
	return r;
}
