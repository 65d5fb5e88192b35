// SPDX-License-Identifier: Apache-2.0
/* The fleet's totals, from a server of the API or straight from the topics: the same figures. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/opcount.h"
#include "../base/options.h"
#include "../fleet/api.h"
#include "api_client.h"
#include "show_total.h"
#include "verbs.h"

#define TRIES 5

struct request {
	struct api_client api;
	struct api_config topics;
	const char *tenant, *model, *lineage;
	const char *group; /* NULL: model, or lineage where it is asked for otherwise */
	bool lineages, json;
	json_t *rows; /* array */
};

static bool is_group(const struct request *q, const char *name)
{
	return !strcmp(q->group, name);
}

/* Rows of a group that is asked for by name were chosen by the server. */
static bool is_asked(const struct request *q, const json_t *total)
{
	const char *tenant = json_string_value(json_object_get(total, "tenant"));
	const char *model = json_string_value(json_object_get(total, "model"));
	const char *lineage = json_string_value(json_object_get(total, "lineage"));

	if (!is_group(q, "model") && !is_group(q, "lineage"))
		return true;
	if (is_group(q, "lineage"))
		return lineage && (!q->lineage || !strcmp(q->lineage, lineage));
	return tenant && model && (!q->tenant || !strcmp(q->tenant, tenant)) &&
	       (!q->model || !strcmp(q->model, model));
}

static int keep(void *ctx, const json_t *total)
{
	struct request *q = ctx;

	if (!is_asked(q, total))
		return 0;
	return json_array_append(q->rows, (json_t *)total) ? -ENOMEM : 0;
}

static int keep_one(void *ctx, json_t *total)
{
	return keep(ctx, total);
}

static int add_filter(char **target, const char *name, const char *value)
{
	_cleanup_free_ char *escaped = value ? api_client_escape(value) : NULL;
	char *more;

	if (!value)
		return 0;
	if (!escaped || asprintf(&more, "%s&%s=%s", *target, name, escaped) < 0)
		return -ENOMEM;
	free(*target);
	*target = more;
	return 0;
}

/* All pages of one state, or, of a fleet that does not rest, what was there: then that is said. */
static int ask(struct request *q, struct error_text *err)
{
	_cleanup_free_ char *target = NULL;
	bool is_one = false;
	int r;

	if (asprintf(&target, "/v1/totals?limit=10000&group=%s", q->group) < 0)
		return -ENOMEM;
	r = add_filter(&target, "tenant", q->tenant) ?: add_filter(&target, "model", q->model);
	r = r ?: add_filter(&target, "lineage", q->lineage);
	for (int i = 0; r == 0 && !is_one && i < TRIES; i++) {
		json_array_clear(q->rows);
		r = api_client_pages(&q->api, target, "totals", keep, q, &is_one, err);
	}
	if (r == 0 && !is_one)
		log_warn("the totals changed from page to page: these rows are of several moments");
	return r;
}

static void show(const struct request *q)
{
	const json_t *total;
	size_t i;

	if (!q->json)
		show_total_header();
	json_array_foreach(q->rows, i, total)
	{
		_cleanup_free_ char *text = q->json ? json_dumps(total, JSON_COMPACT) : NULL;

		if (q->json)
			printf("%s\n", text ?: "");
		else
			show_total(total, NULL);
	}
	if (!q->json && json_array_size(q->rows) == 0)
		printf("nothing has been metered yet\n");
}

static int check_group(struct request *q)
{
	static const char *const known[] = { "model", "lineage", "tenant", "family", "job" };
	bool is_known = false;

	if ((q->lineage || q->lineages) && (q->tenant || q->model)) {
		log_error("totals: --lineage and --lineages do not go with --tenant and --model");
		return EXIT_USAGE;
	}
	if (!q->group)
		q->group = q->lineages || q->lineage ? "lineage" : "model";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		is_known |= is_group(q, known[i]);
	if (!is_known || (q->lineages && !is_group(q, "lineage"))) {
		log_error("totals: --group is model, lineage, tenant, family or job");
		return EXIT_USAGE;
	}
	if (!q->api.url && !is_group(q, "model") && !is_group(q, "lineage")) {
		log_error("totals: --group %s needs --api: the topics have models and lineages", q->group);
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static int totals(struct request *q)
{
	struct error_text err = { 0 };
	int r;

	if (!q->api.url == !q->topics.brokers) {
		log_error("totals: either --api URL or --brokers HOST:PORT must be given");
		return EXIT_USAGE;
	}
	r = check_group(q);
	if (r)
		return r;
	r = q->api.url ? api_client_check(&q->api, &err) : 0;
	r = r ?: q->api.url ? ask(q, &err) : api_totals_once(&q->topics, keep_one, q, &err);
	if (r == 0)
		show(q);
	else
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : r == -EACCES ? EXIT_NOPERM : r ? EXIT_FAILED : EXIT_OK;
}

int verb_totals(int argc, char **argv)
{
	struct request q = { .topics = { .name = "fleet", .seconds = 60 } };
	const struct option options[] = {
		API_CLIENT_OPTIONS(q.api),
		{ "brokers", "LIST", OPTION_STRING, &q.topics.brokers,
		  "or read the topics: Kafka bootstrap servers, HOST:PORT,... (none)" },
		{ "kafka-config", "FILE", OPTION_STRING, &q.topics.kafka_config,
		  "librdkafka properties, key=value a line (none)" },
		{ "name", "NAME", OPTION_STRING, &q.topics.name, "of the fleet, with --brokers (fleet)" },
		{ "seconds", "N", OPTION_UINT, &q.topics.seconds,
		  "with --brokers: give up if the totals are not whole by then (60)" },
		{ "tenant", "NAME", OPTION_STRING, &q.tenant, "only this tenant's (all)" },
		{ "model", "NAME", OPTION_STRING, &q.model, "only of models of this name (all)" },
		{ "group", "GROUP", OPTION_STRING, &q.group,
		  "by model, lineage, tenant, family, or job: the jobs of --tenant and --model, or of "
		  "--lineage "
		  "(model)" },
		{ "lineages", NULL, OPTION_FLAG, &q.lineages, "of lineages instead of models" },
		{ "lineage", "NAME", OPTION_STRING, &q.lineage, "of one lineage" },
		{ "json", NULL, OPTION_FLAG, &q.json, "exact figures, one JSON object a line" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "totals",
		.summary = "Prints the fleet's totals, from a server of the API or from the topics. "
			   "OPERATIONS is the "
			   "upper bound;\n"
			   "TRAINING a figure, or LOW..HIGH where the phase of some work is not known.",
		.options = options,
	};
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	q.rows = json_array();
	r = q.rows ? totals(&q) : EXIT_FAILED;
	json_decref(q.rows);
	return r;
}
