/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_DAYS_RECORD_H
#define OPMETER_CORE_DAYS_RECORD_H

/*
 * Daily series on the totals topic (docs/formats.md, "Days"): whoever judges asks the
 * keeper of a partition for a subject's days, and the keeper tells them from then on.
 */

#include <stddef.h>
#include <stdint.h>

#include "total_record.h"

/* Of 100 bytes each at most: a record fits Kafka's usual megabyte, and holds ten years of training each day.
 */
#define OM_DAYS_MAX 4096

struct om_days {
	struct om_subject_total of; /* group and names only; they belong to the record */
	uint32_t partition;	    /* of the readings topic */
	struct om_day *day;	    /* ascending; owned */
	size_t count;
	bool is_folded; /* the first one has what was trained on earlier days, too */
	void *owned;
};
void om_days_done(struct om_days *d);

enum om_days_kind { OM_DAYS_TOLD, OM_DAYS_ASK };
int om_days_key(const char *fleet, uint32_t partition, enum om_days_kind kind,
		const struct om_subject_total *of, char out[OM_TOTAL_KEY_MAX]);
/* Of a key behind "<fleet>/<partition>/": which kind it is, and where the subject's part begins. 0; 1: of
 * none. */
int om_days_key_kind(const char *key, size_t len, enum om_days_kind *ret, size_t *ret_at);
/* JSON, one line, malloc'ed. Of more days than `max` (1 .. OM_DAYS_MAX) the earliest are folded into one.
 * NULL: out of memory. */
char *om_days_encode(const struct om_subject_total *of, uint32_t partition, const struct om_day *day,
		     size_t count, size_t max);
char *om_days_ask_encode(const struct om_subject_total *of, uint32_t partition);
/* 0, the caller ends with om_days_done(); -EBADMSG; -EPROTONOSUPPORT: of a later version; -ENOMEM. Of an ask
 * there are no days. */
int om_days_decode(const void *json, size_t len, enum om_days_kind kind, struct om_days *ret);

#endif
