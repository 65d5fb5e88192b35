/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOTAL_RECORD_H
#define OPMETER_CORE_TOTAL_RECORD_H

/*
 * Totals as they cross processes (docs/formats.md, "Totals"): partial sums, one record
 * for each readings partition and subject, compacted. Readers add over partitions.
 */

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "totals.h"

struct om_total_record {
	struct om_subject_total total; /* its strings and members belong to the record */
	uint32_t partition;	       /* of the readings topic */
	void *owned;
};

void om_total_record_done(struct om_total_record *r);

#define OM_TOTAL_KEY_MAX 1024
/* The Kafka key. 0, or -ENAMETOOLONG. */
int om_total_key(const char *fleet, uint32_t partition, const struct om_subject_total *s,
		 char out[OM_TOTAL_KEY_MAX]);
/* JSON, version 3, one line, malloc'ed: the caller frees. NULL: out of memory. */
char *om_total_encode(const struct om_subject_total *s, uint32_t partition);
/* The same as an object that the caller owns; partition -1: a sum over partitions, which names none. NULL:
 * out of memory. */
json_t *om_total_json(const struct om_subject_total *s, int64_t partition);
/* Versions 1 to 3. 0, the caller ends with om_total_record_done(); -EBADMSG;
 * -EPROTONOSUPPORT: a later version; -ENOMEM. A record of version 1 is of group model; one below 3
 * is_older: executed, suspected and gap_days are then not known. */
int om_total_decode(const void *json, size_t len, struct om_total_record *ret);

#endif
