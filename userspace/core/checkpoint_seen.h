/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CHECKPOINT_SEEN_H
#define OPMETER_CORE_CHECKPOINT_SEEN_H

/*
 * Checkpoints that somebody kept elsewhere, as they came over Kafka: what a log shows now is compared with
 * what it showed then. Two signed heads of one origin and one size that differ are a fork, whoever made it.
 * Pure.
 */

#include "../base/log.h"
#include "ledger_evidence.h"
#include "tlog_note.h"

struct json_t;
/* An event `opmeter.checkpoint.v1`, of any origin: what it says beside the note is what the note says.
 * *ret_note has loans of the event. Nothing of it is verified. -EBADMSG: it is none. */
int om_checkpoint_read_event(const struct json_t *event, struct om_note *ret_note, struct om_checkpoint *ret);

struct om_seen {
	struct om_checkpoint *item; /* by origin and size, each head once */
	size_t count, room;
	uint64_t read;	    /* checkpoints in the text */
	uint64_t by_others; /* of them by keys that were not given: not used */
	uint64_t passed;    /* events of other types */
	uint64_t damaged; /* lines that are none, whose data are not the note's, or with a wrong signature */
	size_t first_damaged; /* of them; 1: the first line */
};
void om_seen_done(struct om_seen *s);

/*
 * One note; or lines of JSON, each an event (`opmeter.checkpoint.v1`, as a consumer prints the topic; an
 * alert that has checkpoints as its evidence) or {"event": ...} as --file writes it. Adds to *s; damaged
 * lines are counted and passed over. For any bytes. -EBADMSG: no head is there, and something is damaged;
 * -EUCLEAN: a fork; *err names the line, or the origin and both roots.
 */
int om_seen_read(struct om_seen *s, const char *data, size_t len, const struct om_note_key *keys, size_t n,
		 struct error_text *err);

enum om_seen_answer { OM_SEEN_SAME, OM_SEEN_OTHER_SIZE, OM_SEEN_OTHER_ORIGIN };
/* 0 and whether just this head was seen; -EUCLEAN: another of its size was. */
int om_seen_compare(const struct om_seen *s, const struct om_checkpoint *c, enum om_seen_answer *ret,
		    struct error_text *err);

/* That the log grew through every head of the origin that was seen: *ret_n of them. -EUCLEAN: it is another
 * log, or was rewritten; -ESTALE: it is smaller than one of them. */
int om_seen_compare_log(const struct om_seen *s, const char *origin, struct om_ledger_growth *g,
			uint64_t *ret_n, struct error_text *err);

#endif
