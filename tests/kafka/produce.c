// SPDX-License-Identifier: Apache-2.0
/*
 * Writes what a test wants to stand on one of opmeter's topics.
 *
 *   produce --brokers LIST --topic NAME <LINES
 *
 * A line: the key, a tab, the value; without a tab: a null. The partition is that of the key.
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

static int send_line(struct om_exporter *e, enum om_topic topic, char *line)
{
	char *tab = strchr(line, '\t');
	struct om_event ev = { .topic = topic, .key = line };
	int r;

	line[strcspn(line, "\n")] = '\0';
	if (tab)
		*tab = '\0';
	ev.key_len = strlen(line);
	ev.value = tab ? tab + 1 : NULL;
	ev.value_len = tab ? strlen(tab + 1) : 0;
	while ((r = e->ops->send(e, &ev)) == 1)
		e->ops->poll(e, 50);
	return r;
}

int main(int argc, char **argv)
{
	struct om_kafka_config kafka = { 0 };
	const char *name = "";
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &kafka.brokers, "HOST:PORT,..." },
		{ "topic", "NAME", OPTION_STRING, &name, "one of opmeter's" },
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
	while (r == 0 && getline(&line, &size, stdin) > 0)
		r = send_line(e, (enum om_topic)topic, line);
	if (e->ops->flush(e, 10000) || lost)
		r = -1;
	e->ops->free(e);
	return r ? 1 : 0;
}
