// SPDX-License-Identifier: Apache-2.0
/*
 * A consumer's view: reads opmeter's topics, or those named, from the beginning to
 * their end, or on and on, and prints each record as a JSON line, or a summary.
 * Nothing of the program is used but its decoders.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "exporters/exporter.h"
#include "userspace/base/cleanup.h"
#include "userspace/base/options.h"
#include "userspace/core/reading_json.h"

static struct {
	uint64_t records, bytes;
} seen[OM_TOPIC_END];

static json_t *headers_json(const rd_kafka_message_t *m)
{
	json_t *o = json_object();
	rd_kafka_headers_t *h;
	const char *name;
	const void *value;
	size_t size;

	if (rd_kafka_message_headers(m, &h) == 0)
		for (size_t i = 0; rd_kafka_header_get_all(h, i, &name, &value, &size) == 0; i++)
			json_object_set_new(o, name, json_stringn(value ? value : "", size));
	return o;
}

static json_t *value_json(enum om_topic topic, const rd_kafka_message_t *m)
{
	struct om_reading r;

	if (!m->payload)
		return json_null();
	if (topic == OM_TOPIC_READINGS || topic == OM_TOPIC_ARCHIVE)
		return om_reading_decode(m->payload, m->len, &r) ? json_string("damaged") : om_reading_to_json(&r);
	return json_loadb(m->payload, m->len, 0, NULL) ?: json_string("not JSON");
}

static json_t *key_json(enum om_topic topic, const rd_kafka_message_t *m)
{
	char hex[2 * OM_REGISTER_KEY_SIZE + 1] = "";

	if (m->key_len != OM_REGISTER_KEY_SIZE || (topic != OM_TOPIC_READINGS && topic != OM_TOPIC_CARRY && topic != OM_TOPIC_ARCHIVE))
		return json_stringn(m->key ? m->key : "", m->key_len) ?: json_string("not text");
	for (size_t i = 0; i < m->key_len && i < OM_REGISTER_KEY_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)m->key)[i]);
	return json_string(hex);
}

static void print_record(enum om_topic topic, const rd_kafka_message_t *m)
{
	json_t *o = json_pack("{s:s,s:i,s:I,s:I,s:o,s:o,s:o}", "topic", om_topic_name(topic), "partition", (int)m->partition,
			      "offset", (json_int_t)m->offset, "timestamp_ms",
			      (json_int_t)rd_kafka_message_timestamp(m, NULL), "key", key_json(topic, m), "headers",
			      headers_json(m), "value", value_json(topic, m));
	char *text = json_dumps(o, JSON_COMPACT);

	puts(text);
	free(text);
	json_decref(o);
}

static enum om_topic topic_of(const rd_kafka_message_t *m)
{
	for (int t = 0; t < OM_TOPIC_END; t++)
		if (!strcmp(rd_kafka_topic_name(m->rkt), om_topic_name((enum om_topic)t)))
			return (enum om_topic)t;
	return OM_TOPIC_END;
}

static void print_sentence(const rd_kafka_message_t *m)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(m->payload, m->len, 0, NULL);
	const char *text = json_string_value(json_object_get(json_object_get(o, "data"), "sentence"));

	if (text)
		printf("  %-24s %s\n", rd_kafka_topic_name(m->rkt), text);
}

static bool is_wanted(const char *topic, const struct option_list *only)
{
	for (size_t i = 0; i < only->count; i++)
		if (!strcmp(only->item[i], topic))
			return true;
	return only->count == 0 && !strncmp(topic, "opmeter.", 8);
}

static size_t assign_all(rd_kafka_t *rk, const struct option_list *only)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
	const struct rd_kafka_metadata *md;
	size_t n = 0;

	if (rd_kafka_metadata(rk, 1, NULL, &md, 10000) == 0) {
		for (int i = 0; i < md->topic_cnt; i++)
			for (int p = 0; is_wanted(md->topics[i].topic, only) && p < md->topics[i].partition_cnt; p++, n++)
				rd_kafka_topic_partition_list_add(list, md->topics[i].topic, p)->offset =
					RD_KAFKA_OFFSET_BEGINNING;
		rd_kafka_metadata_destroy(md);
	}
	rd_kafka_assign(rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return n;
}

static void read_to_end(rd_kafka_t *rk, size_t partitions, bool summary, bool follow)
{
	while (follow || partitions > 0) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, follow ? 100 : 10000);

		if (!m && follow) {
			fflush(stdout);
			continue;
		}
		if (!m)
			break;
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			partitions--;
		} else if (!m->err && topic_of(m) != OM_TOPIC_END) {
			enum om_topic t = topic_of(m);

			seen[t].records++;
			seen[t].bytes += m->len + m->key_len;
			if (!summary)
				print_record(t, m);
			else if (t == OM_TOPIC_ALERTS || t == OM_TOPIC_ALERTS_SHADOW || t == OM_TOPIC_CASES)
				print_sentence(m);
		}
		rd_kafka_message_destroy(m);
	}
}

int main(int argc, char **argv)
{
	const char *brokers = NULL;
	struct option_list topics = { .count = 0 };
	bool summary = false, follow = false;
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &brokers, "HOST:PORT,..." },
		{ "topic", "NAME", OPTION_STRINGS, &topics, "only this one; may be given several times (all of opmeter's)" },
		{ "follow", NULL, OPTION_FLAG, &follow, "go on after the end, until killed" },
		{ "summary", NULL, OPTION_FLAG, &summary, "what people read, and counts" },
		{ 0 },
	};
	const struct option_spec spec = { .verb = "consume", .summary = "Reads opmeter's topics to their end.",
					  .options = options };
	rd_kafka_conf_t *conf;
	rd_kafka_t *rk;
	char why[256];
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r || !brokers)
		return r == 1 ? 0 : 2;
	conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why));
	rd_kafka_conf_set(conf, "group.id", "opmeter-consume", why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof(why));
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk)
		return 1;
	rd_kafka_poll_set_consumer(rk);
	read_to_end(rk, assign_all(rk, &topics), summary, follow);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	for (int t = 0; summary && t < OM_TOPIC_END; t++)
		printf("  %-24s %8llu records %10llu bytes\n", om_topic_name((enum om_topic)t),
		       (unsigned long long)seen[t].records, (unsigned long long)seen[t].bytes);
	return 0;
}
