/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOTAL_RECORD_INTERNAL_H
#define OPMETER_CORE_TOTAL_RECORD_INTERNAL_H

/* What the records of the totals topic share. Each take returns 0 or -EBADMSG. */

#include <jansson.h>

#include "total_record.h"

#define TOTAL_RECORD_VERSION 3

const char *total_group_name(enum om_group group);
/* om_total_key() with "<kind>" before the group: "" or, with its slash, "days/" or "ask/". */
int total_key_of_kind(const char *fleet, uint32_t partition, const char *kind,
		      const struct om_subject_total *s, char out[OM_TOTAL_KEY_MAX]);
int total_take_opcount(const json_t *o, const char *key, opcount *ret);
int total_take_range(const json_t *o, opcount *low, opcount *high);	 /* {low, high} */
int total_take_name(const json_t *o, const char *key, const char **ret); /* a loan of the object */
int total_take_day(const json_t *v, uint32_t *ret);

#endif
