/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_KAFKA_NEAR_H
#define OPMETER_EXPORTERS_KAFKA_NEAR_H

/*
 * The topic of hints as every node follows it: from its beginning, in no group, committing nothing. A request
 * waits at the broker for a minute unless something is new, so nodes cost it little (docs/fleet.md, "Near").
 * Without the topic, or the right to read it, there are no hints: that is said once, and tried again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kafka.h"

#define OM_NEAR_WAIT_MS 60000		       /* a request at the broker */
#define OM_NEAR_RETRY_NS (300 * 1000000000ULL) /* after a refusal */

struct om_near_reader;
struct om_near_handler {
	/* From the beginning again: what was taken before is void. */
	void (*begins)(void *ctx);
	/* A record, as a loan; value NULL: a tombstone. */
	void (*takes)(void *ctx, const void *key, size_t key_len, const void *value, size_t value_len);
	void *ctx;
};
/* Does not wait for a broker. *config's strings are loans for the reader's life. -EINVAL with *err. */
int om_near_reader_new(const struct om_kafka_config *config, const struct om_near_handler *handler,
		       struct om_near_reader **ret, struct error_text *err);
struct om_near_reader *om_near_reader_free(struct om_near_reader *r); /* NULL is fine; returns NULL */
/* Takes what has come, without waiting. now_ns: CLOCK_MONOTONIC. */
void om_near_reader_step(struct om_near_reader *r, uint64_t now_ns);

struct om_near_reader_totals {
	uint64_t records;  /* taken, from each beginning */
	uint64_t failures; /* no topic, no right to read it, no consumer */
	bool is_refused;   /* such a failure stands: there are no hints */
};
void om_near_reader_totals(const struct om_near_reader *r, struct om_near_reader_totals *ret);

#endif
