// SPDX-License-Identifier: Apache-2.0
/*
 * `topics retire`: a person says that a node is gone for good. It is the last record under
 * the node's key, so it stays on the topic with the name and the reason; a heartbeat
 * that comes after it takes it back.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "../../exporters/kafka.h"
#include "../base/cleanup.h"
#include "../base/options.h"
#include "../core/alert.h"
#include "topics_verbs.h"
#include "verbs.h"

#define BROKER_MS 10000

struct retirement {
	struct om_kafka_config kafka;
	const char *person, *reason;
};

static char *encode(const struct retirement *o, const char *source)
{
	struct timespec t;
	struct alert a = { .type = ALERT_HEARTBEAT, .source = source, .subject = "node" };
	_cleanup_(json_decrefp) json_t *data = json_pack("{s:i,s:{s:s,s:s}}", "interval_s", 60, "retired",
							 "person", o->person, "reason", o->reason);
	_cleanup_free_ char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
	char number[40];

	clock_gettime(CLOCK_REALTIME, &t);
	a.time_ns = (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
	snprintf(number, sizeof(number), "retired/%" PRIu64, a.time_ns);
	alert_make_id(a.type, source, "", "", "node", number, &a.id);
	a.data = text;
	return text ? alert_encode(&a) : NULL;
}

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	*(int *)ctx = err;
}

static int send(const struct retirement *o, const char *source, struct error_text *err)
{
	_cleanup_free_ char *text = encode(o, source);
	struct om_event ev = {
		.topic = OM_TOPIC_ALERTS, .key = source, .key_len = strlen(source), .value = text
	};
	struct om_exporter *e = NULL;
	int outcome = -EIO, r = text ? om_kafka_open(&o->kafka, &e, err) : -EINVAL;

	if (!text)
		return error_set(err, r, "the name and the reason must be UTF-8");
	if (r)
		return r;
	e->acked = on_acked;
	e->acked_ctx = &outcome;
	ev.value_len = strlen(text);
	r = e->ops->send(e, &ev);
	if (r == 0 && (e->ops->flush(e, BROKER_MS) || outcome))
		r = error_set(err, -EIO, "kafka: the broker did not take it: nothing is retired");
	e->ops->free(e);
	return r;
}

int topics_retire(int argc, char **argv)
{
	struct retirement o = { 0 };
	struct error_text err = { 0 };
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &o.kafka.brokers,
		  "Kafka bootstrap servers, HOST:PORT,... (must be given)" },
		{ "kafka-config", "FILE", OPTION_STRING, &o.kafka.config_path,
		  "librdkafka properties, key=value a line (none)" },
		{ "person", "NAME", OPTION_STRING, &o.person, "who says so (must be given)" },
		{ "reason", "TEXT", OPTION_STRING, &o.reason, "why (must be given)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "topics retire",
		.operands = "LEDGER",
		.summary = "Says that the node of a ledger (32 hex digits) is gone for good: its silence is "
			   "no alert "
			   "any more and widens no tenant's ceiling. A later heartbeat takes it back.",
		.options = options
	};
	int operand, r = options_parse(&spec, argc, argv, &operand);
	char source[16 + OM_ID_STRLEN];
	struct om_id id;

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (argc - operand != 1 || om_id_parse(argv[operand], &id)) {
		log_error("topics retire: which node? Its ledger's id, 32 hex digits, as in the alert");
		return EXIT_USAGE;
	}
	if (!o.kafka.brokers || !o.person || !o.reason || !*o.person || !*o.reason ||
	    strlen(o.person) > 100 || strlen(o.reason) > 200) {
		log_error("topics retire: --brokers, --person and --reason must be given, at most 100 and "
			  "200 bytes");
		return EXIT_USAGE;
	}
	snprintf(source, sizeof(source), "/opmeter/%s", argv[operand]);
	r = send(&o, source, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	printf("%s is retired: its silence is no alert any more\n", source);
	return EXIT_OK;
}
