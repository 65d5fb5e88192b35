// SPDX-License-Identifier: Apache-2.0
/*
 * Writes what a test wants to stand on one of opmeter's topics.
 *
 *   produce --brokers LIST --topic NAME [--partition N] [--epoch TEXT] [--hex] <LINES
 *
 * A line: the key, a tab, the value; without a tab: a null. The partition is that of the key, unless one is
 * given. --epoch: what the header of a total says. --hex: keys and values are in hexadecimal digits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/kafka.h"
#include "userspace/base/cleanup.h"
#include "userspace/base/options.h"

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	*(int *)ctx += err != 0;
}

struct saying {
	struct om_exporter *e;
	struct om_event like;
	bool is_hex;
};

/* In place. The number of bytes. */
static size_t bytes_of(char *text, bool is_hex)
{
	size_t n = 0, len = strlen(text);

	for (; is_hex && 2 * n + 1 < len; n++) {
		const char digits[3] = { text[2 * n], text[2 * n + 1] };

		text[n] = (char)strtoul(digits, NULL, 16);
	}
	return is_hex ? n : len;
}

static int send_line(const struct saying *s, char *line)
{
	char *tab = strchr(line, '\t');
	struct om_event ev = s->like;
	int r;

	line[strcspn(line, "\n")] = '\0';
	if (tab)
		*tab = '\0';
	ev.key = line;
	ev.value = tab ? tab + 1 : NULL;
	ev.value_len = tab ? bytes_of(tab + 1, s->is_hex) : 0;
	ev.key_len = bytes_of(line, s->is_hex);
	while ((r = s->e->ops->send(s->e, &ev)) == 1)
		s->e->ops->poll(s->e, 50);
	return r;
}

int main(int argc, char **argv)
{
	struct om_kafka_config kafka = { 0 };
	const char *name = "", *epoch = NULL;
	const char *headers[3] = { "opmeter_epoch" };
	uint64_t partition = UINT32_MAX;
	struct saying s = { 0 };
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &kafka.brokers, "HOST:PORT,..." },
		{ "topic", "NAME", OPTION_STRING, &name, "one of opmeter's" },
		{ "partition", "N", OPTION_UINT, &partition, "that of the key (4294967295)" },
		{ "epoch", "TEXT", OPTION_STRING, &epoch, "of a total: NUMBER.INSTANCE (none)" },
		{ "hex", NULL, OPTION_FLAG, &s.is_hex, "keys and values are hexadecimal digits" },
		{ 0 },
	};
	const struct option_spec spec = { .verb = "produce", .summary = "Writes lines of KEY<tab>VALUE, or KEY for a null.",
					  .options = options };
	struct error_text err = { 0 };
	struct om_exporter *e = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int at, lost = 0, topic = 0, r = options_parse(&spec, argc, argv, &at);

	while (r == 0 && topic < OM_TOPIC_END && strcmp(om_topic_name((enum om_topic)topic), name) != 0)
		topic++;
	if (r || topic == OM_TOPIC_END || om_kafka_open(&kafka, &e, &err)) {
		fprintf(stderr, "produce: %s\n", err.text[0] ? err.text : "no such topic");
		return 2;
	}
	e->acked = on_acked;
	e->acked_ctx = &lost;
	headers[1] = epoch;
	s.e = e;
	s.like = (struct om_event){ .topic = (enum om_topic)topic, .headers = epoch ? headers : NULL,
				    .partition_plus_1 = (uint32_t)(partition + 1) };
	while (r == 0 && getline(&line, &size, stdin) > 0)
		r = send_line(&s, line);
	if (e->ops->flush(e, 10000) || lost)
		r = -1;
	e->ops->free(e);
	return r ? 1 : 0;
}
