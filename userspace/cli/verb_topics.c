// SPDX-License-Identifier: Apache-2.0
/* `topics`: the topics that opmeter needs: print them, make them, compare them with what a broker has. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "../../exporters/kafka.h"
#include "../../exporters/topic.h"
#include "../base/cleanup.h"
#include "../base/options.h"
#include "topics_verbs.h"
#include "verbs.h"

#define BROKER_MS 10000

struct topics_options {
	struct om_kafka_config kafka;
	uint64_t partitions, replication;
	bool json;
	size_t findings;
};

static void print_topic(const struct om_topic_spec *s, const struct topics_options *o)
{
	char keeps[48];

	if (s->is_compacted)
		snprintf(keeps, sizeof(keeps), "lag %" PRId64 " h", s->compaction_lag_ms / 3600000);
	else if (s->retention_ms < 0)
		snprintf(keeps, sizeof(keeps), "for ever");
	else
		snprintf(keeps, sizeof(keeps), "%" PRId64 " days", s->retention_ms / 86400000);
	printf("%-25s %10d  %-7s %-10s %6d  %s%s\n", s->name, om_topic_partitions(s, (int)o->partitions),
	       s->is_compacted ? "compact" : "delete", keeps, om_topic_min_insync((int)o->replication),
	       s->holds, s->is_restricted ? " (restricted)" : "");
}

static void print_topic_json(const struct om_topic_spec *s, const struct topics_options *o)
{
	json_t *j = json_pack("{s:s,s:s,s:I,s:b,s:s,s:i,s:i,s:b}", "topic", s->name, "holds", s->holds,
			      "partitions", (json_int_t)om_topic_partitions(s, (int)o->partitions), "by_job",
			      s->is_by_job, "cleanup.policy", s->is_compacted ? "compact" : "delete",
			      "min.insync.replicas", om_topic_min_insync((int)o->replication), "replication",
			      (int)o->replication, "restricted", s->is_restricted);
	_cleanup_free_ char *text = NULL;

	json_object_set_new(j, s->is_compacted ? "min.compaction.lag.ms" : "retention.ms",
			    json_integer(s->is_compacted ? s->compaction_lag_ms : s->retention_ms));
	if (s->compaction_by_ms)
		json_object_set_new(j, "max.compaction.lag.ms", json_integer(s->compaction_by_ms));
	if (s->segment_ms)
		json_object_set_new(j, "segment.ms", json_integer(s->segment_ms));
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	puts(text ?: "");
}

static int topics_list(struct topics_options *o)
{
	if (!o->json)
		printf("%-25s %10s  %-7s %-10s %6s  %s\n", "TOPIC", "PARTITIONS", "CLEANUP", "KEEPS",
		       "INSYNC", "HOLDS");
	for (int t = 0; t < OM_TOPIC_END; t++)
		(o->json ? print_topic_json : print_topic)(om_topic_spec((enum om_topic)t), o);
	return EXIT_OK;
}

static int failed(int r, const struct error_text *err)
{
	log_error("%s", err->text[0] ? err->text : strerror(-r));
	return r == -EINVAL ? EXIT_USAGE : r == -EACCES ? EXIT_NOPERM : EXIT_FAILED;
}

static void on_finding(void *ctx, const struct om_kafka_finding *f)
{
	struct topics_options *o = ctx;
	json_t *j;
	_cleanup_free_ char *text = NULL;

	o->findings++;
	if (!o->json) {
		printf("%s: %s%s\n    %s\n", f->topic, f->what,
		       f->is_fatal ? " (no totals are made from it)" : "", f->todo);
		return;
	}
	j = json_pack("{s:s,s:s,s:s,s:b}", "topic", f->topic, "finding", f->what, "what_to_do", f->todo,
		      "fatal", f->is_fatal);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	puts(text ?: "");
}

static int topics_check(struct topics_options *o)
{
	struct error_text err = { 0 };
	int r = om_kafka_check_topics(&o->kafka, (int)o->replication, BROKER_MS, on_finding, o, &err);

	if (r)
		return failed(r, &err);
	if (o->findings)
		return EXIT_FINDING;
	if (!o->json)
		printf("%d topics, all as they should be\n", OM_TOPIC_END);
	return EXIT_OK;
}

/* What was there before is not changed, so it is compared. */
static int topics_create(struct topics_options *o)
{
	struct error_text err = { 0 };
	int r = om_kafka_create_topics(&o->kafka, (int)o->partitions, (int)o->replication, BROKER_MS, &err);

	return r ? failed(r, &err) : topics_check(o);
}

static int run(const char *verb, const char *summary, bool needs_broker, int (*fn)(struct topics_options *o),
	       int argc, char **argv)
{
	struct topics_options o = { .partitions = OM_TOPIC_PARTITIONS, .replication = OM_TOPIC_REPLICATION };
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &o.kafka.brokers,
		  "Kafka bootstrap servers, HOST:PORT,... (must be given)" },
		{ "kafka-config", "FILE", OPTION_STRING, &o.kafka.config_path,
		  "librdkafka properties, key=value a line (none)" },
		{ "partitions", "N", OPTION_UINT, &o.partitions,
		  "of the topics whose records belong to a job; fixed once records are there (24)" },
		{ "replication", "N", OPTION_UINT, &o.replication, "copies of each partition (3)" },
		{ "json", NULL, OPTION_FLAG, &o.json, "one JSON object a line" },
		{ 0 },
	};
	const struct option_spec spec = { .verb = verb,
					  .summary = summary,
					  .options = needs_broker ? options : options + 2 };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (needs_broker && !o.kafka.brokers) {
		log_error("%s: --brokers must be given, HOST:PORT", verb);
		return EXIT_USAGE;
	}
	if (o.partitions < 1 || o.partitions > 4096 || o.replication < 1 || o.replication > 100) {
		log_error("%s: 1 to 4096 partitions, 1 to 100 copies", verb);
		return EXIT_USAGE;
	}
	return fn(&o);
}

int verb_topics(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "list"))
		return run("topics list",
			   "Prints the topics that opmeter uses, and how a broker must keep them.", false,
			   topics_list, argc - 1, argv + 1);
	if (!strcmp(what, "create"))
		return run("topics create",
			   "Makes the topics that are missing, then checks all of them. What is there is not "
			   "changed.",
			   true, topics_create, argc - 1, argv + 1);
	if (!strcmp(what, "check"))
		return run("topics check",
			   "Compares the broker's topics with what opmeter needs, and says what to do about "
			   "each difference. Exit code 3: there is one.",
			   true, topics_check, argc - 1, argv + 1);
	if (!strcmp(what, "retire"))
		return topics_retire(argc - 1, argv + 1);
	if (argc > 1 && strcmp(what, "--help")) {
		log_error("topics: no '%s': list, create, check, retire", what);
		return EXIT_USAGE;
	}
	printf("usage: opmeter topics list|create|check|retire [OPTION ...]\n\nThe topics on Kafka.\n\n"
	       "  list     what opmeter needs, as one table\n"
	       "  create   make what is missing\n"
	       "  check    is the broker's as it should be? Exit code 3: no\n"
	       "  retire   a node is gone for good: its silence is no alert any more\n"
	       "  --help   print this; `opmeter topics check --help` tells the rest\n");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
