// SPDX-License-Identifier: Apache-2.0
/* publish BROKERS READINGS ASSIGNMENTS: what the two files say, onto the readings and assignments topics, as nodes write it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "exporters/kafka.h"
#include "userspace/base/cleanup.h"
#include "userspace/core/assignment.h"
#include "userspace/core/register.h"

static unsigned long long sent, acked, lost;

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	acked += err == 0;
	lost += err != 0;
}

static int offer(struct om_exporter *e, struct om_event *ev)
{
	int r;

	while ((r = e->ops->send(e, ev)) == 1)
		e->ops->poll(e, 100);
	sent += r == 0;
	return r;
}

static int send_readings(struct om_exporter *e, FILE *f)
{
	uint8_t wire[OM_READING_SIZE], key[OM_REGISTER_KEY_SIZE];
	struct om_reading r;
	int rc = 0;

	while (rc == 0 && fread(wire, 1, sizeof(wire), f) == sizeof(wire)) {
		char source[64], ledger[OM_ID_STRLEN], id[64];
		struct om_event ev = { .topic = OM_TOPIC_READINGS,
				       .key = key,
				       .key_len = sizeof(key),
				       .value = wire,
				       .value_len = sizeof(wire),
				       .ce_type = "opmeter.reading.v1",
				       .ce_source = source,
				       .ce_id = id };

		rc = om_reading_decode(wire, sizeof(wire), &r);
		if (rc)
			break;
		om_register_key_encode(&r.key, key);
		snprintf(source, sizeof(source), "/opmeter/%s", om_id_format(&r.key.ledger, ledger));
		snprintf(id, sizeof(id), "%llu-%u", (unsigned long long)r.sequence, (unsigned)r.key.meter);
		ev.time_ns = r.value.to_ns;
		rc = offer(e, &ev);
	}
	return rc;
}

static int send_assignment(struct om_exporter *e, const char *line, size_t len)
{
	char key[256], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], source[64], at[OM_TIME_STRLEN], id[48];
	_cleanup_free_ char *text = NULL;
	struct om_assignment a;
	json_t *event;
	struct om_event ev = { .topic = OM_TOPIC_ASSIGNMENTS, .key = key };

	if (om_assignment_decode(line, len, &a))
		return -1;
	snprintf(source, sizeof(source), "/opmeter/%s", om_id_format(&a.ledger, ledger));
	snprintf(id, sizeof(id), "assignment-%llu", sent);
	event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "specversion", "1.0", "id", id, "source", source, "type",
			  "opmeter.assignment.v1", "time", om_time_format(a.at_ns, at), "datacontenttype", "application/json",
			  "data", json_loadb(line, len, 0, NULL));
	text = event ? json_dumps(event, JSON_COMPACT) : NULL;
	json_decref(event);
	if (!text)
		return -1;
	ev.key_len = (size_t)snprintf(key, sizeof(key), "%s/%s/%s/%llu/%s", ledger, om_id_format(&a.job, job),
				      om_assignment_kind_name(a.kind), (unsigned long long)a.from_ns,
				      a.person[0] ? "person" : "rule");
	ev.value = text;
	ev.value_len = strlen(text);
	ev.time_ns = a.at_ns;
	return offer(e, &ev);
}

int main(int argc, char **argv)
{
	struct om_kafka_config kafka = { .brokers = argc > 1 ? argv[1] : NULL };
	struct om_exporter *e = NULL;
	struct error_text err = { 0 };
	char line[8192];
	FILE *readings, *assignments;
	int rc;

	if (argc != 4)
		return 2;
	readings = fopen(argv[2], "r");
	assignments = fopen(argv[3], "r");
	if (!readings || !assignments)
		return 2;
	rc = om_kafka_open(&kafka, &e, &err);
	if (rc) {
		fprintf(stderr, "publish: %s\n", err.text);
		return 1;
	}
	e->acked = on_acked;
	rc = send_readings(e, readings);
	while (rc == 0 && fgets(line, sizeof(line), assignments))
		rc = send_assignment(e, line, strcspn(line, "\n"));
	if (rc == 0 && e->ops->flush(e, 60000))
		rc = -1;
	e->ops->free(e);
	fclose(readings);
	fclose(assignments);
	printf("%llu sent, %llu acknowledged, %llu lost\n", sent, acked, lost);
	return rc == 0 && acked == sent ? 0 : 1;
}
