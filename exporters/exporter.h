/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_EXPORTER_H
#define OPMETER_EXPORTERS_EXPORTER_H

/*
 * The one small interface behind which everything leaves the node. An exporter
 * takes events and acknowledges each when the far side has it for good; what is
 * not acknowledged stays in the ledger's outbox and is offered again.
 *
 * One thread calls an exporter; acknowledgements come from within its poll().
 */

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

enum om_topic {
	OM_TOPIC_READINGS,
	OM_TOPIC_ASSIGNMENTS,
	OM_TOPIC_TOTALS,
	OM_TOPIC_ALERTS,
	OM_TOPIC_ALERTS_SHADOW,
	OM_TOPIC_CASES,
	OM_TOPIC_CARRY,
	OM_TOPIC_ARCHIVE,
	OM_TOPIC_DEADLETTERS,
	OM_TOPIC_CHECKPOINTS,
	OM_TOPIC_NEAR,
	OM_TOPIC_PROCESSES,
	OM_TOPIC_END,
};
/* "opmeter.readings.v1" ... (docs/formats.md; exporters/topic.h has the table) */
const char *om_topic_name(enum om_topic topic);

struct om_event {
	enum om_topic topic;
	const void *key;
	size_t key_len;
	const void *value;
	size_t value_len; /* value NULL: a tombstone */
	/* CloudEvents binary mode if ce_type is set, structured JSON if it is NULL. */
	const char *ce_type, *ce_source, *ce_id;
	uint64_t time_ns;
	uint64_t cookie;	    /* handed back by the acknowledgement */
	const char *const *headers; /* further ones: name, value, ..., NULL; or NULL */
	uint32_t partition_plus_1;  /* 0: by the key */
};

struct om_exporter;
struct om_exporter_ops {
	const char *name;
	bool keeps_last; /* the far side keeps the last record of each key, and could lose it */
	/* 0 taken (all bytes copied); 1 full for now, offer again later; -errno refused for good. */
	int (*send)(struct om_exporter *e, const struct om_event *ev);
	/* Moves things along for at most timeout_ms and delivers acknowledgements. */
	int (*poll)(struct om_exporter *e, int timeout_ms);
	/* Waits until all taken events are acknowledged: 0, or 1 if the time ran out. */
	int (*flush)(struct om_exporter *e, int timeout_ms);
	void (*free)(struct om_exporter *e);
	/* May be NULL. Calls fn with the key of every alert, or of every case, that the far side has
	 * already, so that none is sent twice after a crash between delivery and
	 * acknowledgement. 0, or -errno: not known now, ask again later. Each is asked for by itself: a node
	 * whose rights end before the cases says alerts all the same. */
	int (*published)(struct om_exporter *e, bool cases,
			 void (*fn)(void *ctx, const void *key, size_t len), void *ctx);
};

/* An implementation embeds this as its first member. */
struct om_exporter {
	const struct om_exporter_ops *ops;
	/* err: 0 delivered, -errno lost and to be offered again. */
	void (*acked)(void *ctx, uint64_t cookie, int err);
	void *acked_ctx;
	uint64_t sent_total, acked_total, failed_total;
};

#endif
