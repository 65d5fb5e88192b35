// SPDX-License-Identifier: Apache-2.0
/* Entries of the US Consolidated Screening List, whether they stood in CSV or in JSON. */
#include "owner_fact.h"

#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"

/* The lists by their names in the column `source`: data/screening-lists.csv. */
static const struct {
	const char *begins, *code;
} lists[] = {
#include "screening_lists.h"
};

static int reject(struct owner_reject *note, const char *column, enum owner_reject_kind kind,
		  const char *reason)
{
	note->kind = kind;
	snprintf(note->column, sizeof(note->column), "%s", column);
	snprintf(note->reason, sizeof(note->reason), "%s", reason);
	return 1;
}

static int read_day(const char *s, const char *column, int32_t *ret, struct owner_reject *note)
{
	if (!s || !*s)
		return 0;
	/* Before 1950 there was no such list; an end may lie far off. */
	if (owner_day_parse(s, ret) || *ret < -7305 || *ret > 84006)
		return reject(note, column, OWNER_REJECT_DATE, "no date that such an entry can have");
	return 0;
}

int owner_csl_read(const struct owner_csl *e, int32_t as_of_day, struct owner_fact *ret,
		   struct owner_reject *ret_note)
{
	int r;

	*ret_note = (struct owner_reject){ .kind = OWNER_REJECT_END };
	*ret = (struct owner_fact){ .kind = OWNER_FACT_LISTING,
				    .since = as_of_day,
				    .start = INT32_MIN,
				    .end = INT32_MAX,
				    .from = INT32_MIN,
				    .to = INT32_MAX };
	if (!e->id || !*e->id || strlen(e->id) > 128)
		return reject(ret_note, "_id", OWNER_REJECT_MALFORMED,
			      "the entry has no id, or one of over 128 bytes");
	if (!e->name || !*e->name || strlen(e->name) > 2048)
		return reject(ret_note, "name", OWNER_REJECT_MALFORMED,
			      "the entry has no name, or one of over 2048 bytes");
	for (size_t i = 0; e->source && i < ARRAY_SIZE(lists); i++)
		if (!strncmp(e->source, lists[i].begins, strlen(lists[i].begins)))
			ret->list = lists[i].code;
	if (!ret->list)
		return reject(ret_note, "source", OWNER_REJECT_MALFORMED, "no list that is known");
	r = read_day(e->start_date, "start_date", &ret->start, ret_note);
	r = r ?: read_day(e->end_date, "end_date", &ret->end, ret_note);
	if (r == 0 && ret->end < ret->start)
		return reject(ret_note, "end_date", OWNER_REJECT_DATE, "it ends before it begins");
	ret->entity = e->id;
	ret->list_name = e->source;
	ret->name = e->name;
	ret->alt_names = e->alt_names ?: "";
	ret->type = e->type ?: "";
	ret->countries = e->countries ?: "";
	ret->ids = e->ids ?: "";
	ret->programs = e->programs ?: "";
	ret->url = e->source_list_url ?: "";
	return r;
}
