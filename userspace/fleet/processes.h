/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_PROCESSES_H
#define OPMETER_FLEET_PROCESSES_H

/*
 * The processes topic as its readers see it: the judge (jobs.c) and the API (api_jobs.c). Each reads it from
 * its beginning with a consumer of its own, since nothing else may wait for it, into a core/together.h. With
 * it come the assignments of some kinds. Where the topic is not there or may not be read, all else goes on,
 * and it is tried again each minute.
 */

#include <librdkafka/rdkafka.h>

#include "../../exporters/kafka.h"
#include "../core/together.h"
#include "admit.h"

#define PROCESSES_MAX 100000
#define PROCESSES_KEPT_NS                                                                                    \
	(400 * 86400 * UINT64_C(1000000000)) /* what was last heard of before is forgotten */

struct processes_config {
	struct om_kafka_config kafka;
	const char *name; /* of the fleet */
	size_t processes_max;
	void *ctx;
	/* A record that is refused; may be NULL. */
	void (*refused)(void *ctx, const rd_kafka_message_t *m, enum refusal why);
	/* Assignments about lineages and who serves whom, as they come; NULL: they are not read. -ENOMEM. */
	int (*assigned)(void *ctx, const rd_kafka_message_t *m);
};

struct processes;
/* NULL: out of memory. */
struct processes *processes_new(const struct processes_config *config);
struct processes *processes_free(struct processes *p); /* NULL is fine; returns NULL */
/* Reads for a moment. Returns how many records; -ENOMEM. */
int processes_step(struct processes *p);
/* All that was there. Once it was, it stays so while the topic can be read. */
bool processes_are_read(const struct processes *p);
uint32_t processes_partitions(const struct processes *p);
/* A loan. What is put into it is this reader's alone. */
struct together *processes_together(struct processes *p);
bool processes_take_change(struct processes *p); /* since the last call */
void processes_changed(struct processes *p);	 /* to be looked at again */

struct processes_state {
	bool is_missing; /* the topic cannot be read */
	char why[200];
	uint64_t records, refused[REFUSAL_END], refused_ms[REFUSAL_END]; /* ms: of the last, by the broker */
};
/* A loan. */
const struct processes_state *processes_state(const struct processes *p);

#endif
