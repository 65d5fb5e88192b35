/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_VIEW_INTERNAL_H
#define OPMETER_FLEET_VIEW_INTERNAL_H

/* What view.c and view_days.c share. */

#include "../core/days_record.h"
#include "../core/total_record.h"
#include "fleet_internal.h"

struct seen {
	struct key_node node;
	struct epoch epoch;
	struct om_total_record record; /* its partition is the one where it was read */
	bool has_record;
};

/* A subject's days, as its partition tells them. */
struct seen_days {
	struct key_node node;
	struct epoch epoch;
	struct om_days days;
	uint64_t serial; /* another one for each that was taken */
};

struct staged {
	struct staged *next;
	struct epoch epoch;
	bool has_record; /* false: a tombstone, or days */
	struct om_total_record record;
	bool is_days;		/* days, or a tombstone of some */
	struct seen_days *days; /* NULL: a tombstone */
	size_t key_len;
	char key[];
};

struct view_part {
	struct view_head head;
	struct key_map seen, days;
	struct staged *first, **last;
};

struct view {
	char fleet[96];
	uint32_t partitions;
	struct view_part *part;
	bool is_changed;
	/* All totals by group and names, as view_each() goes; made anew when subjects come or go. */
	const struct om_subject_total **order;
	size_t ordered;
	bool is_order_stale;
	uint64_t later; /* records of a later version */
	uint64_t serial;
};

/* view.c */
/* By group and names: as totals are told. */
int view_compare(const struct om_subject_total *a, const struct om_subject_total *b);
int view_put_in_order(struct view *v); /* 0, -ENOMEM */

/* view_days.c */
/* A record of days into `s`, whose key is set. 0, -ENOMEM; 1: it is none. */
int view_stage_days(struct view *v, struct staged *s, const struct view_record *m, uint32_t partition);
/* Takes what was staged so. 0, -ENOMEM */
int view_take_days(struct view *v, struct view_part *p, struct staged *s);
void view_drop_days(struct view_part *p); /* of another epoch than the head's */
void view_free_days(struct key_node *n);

#endif
