// SPDX-License-Identifier: Apache-2.0
/*
 * The totals topic as its readers see it. Records of a round wait until the head
 * that ends the round has come; then all of them are taken, or, when a higher epoch
 * was seen, none. A partition is whole when as many totals of its head's epoch are
 * there as the head says; until every one is whole nothing is added up.
 */
#include "view_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/yaml.h"

static void free_seen(struct key_node *n)
{
	struct seen *s = (struct seen *)n;

	if (s->has_record)
		om_total_record_done(&s->record);
	free(s);
}

static void free_staged(struct staged *s)
{
	if (s->has_record)
		om_total_record_done(&s->record);
	if (s->days)
		view_free_days(&s->days->node);
	free(s);
}

struct view *view_new(const char *fleet, uint32_t partitions)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	snprintf(v->fleet, sizeof(v->fleet), "%s", fleet);
	v->partitions = partitions;
	v->part = calloc(partitions, sizeof(*v->part));
	if (!v->part)
		return view_free(v);
	for (uint32_t i = 0; i < partitions; i++)
		v->part[i].last = &v->part[i].first;
	return v;
}

struct view *view_free(struct view *v)
{
	for (uint32_t i = 0; v && v->part && i < v->partitions; i++) {
		while (v->part[i].first) {
			struct staged *s = v->part[i].first;

			v->part[i].first = s->next;
			free_staged(s);
		}
		key_map_done(&v->part[i].seen, free_seen);
		key_map_done(&v->part[i].days, view_free_days);
	}
	if (v) {
		free(v->part);
		free(v->order);
	}
	free(v);
	return NULL;
}

/* Which partition's record this is, and whether it is its head. False: none of this fleet. */
static bool parse_key(const struct view *v, const struct view_record *m, uint32_t *ret, bool *ret_is_head)
{
	size_t len = strlen(v->fleet), at = len + 1;
	const char *key = m->key;
	uint64_t n = 0;

	if (m->key_len < len + 2 || memcmp(key, v->fleet, len) != 0 || key[len] != '/')
		return false;
	for (; at < m->key_len && key[at] >= '0' && key[at] <= '9' && n <= v->partitions; at++)
		n = 10 * n + (uint64_t)(key[at] - '0');
	if (at == len + 1 || n >= v->partitions || (at < m->key_len && key[at] != '/'))
		return false;
	*ret = (uint32_t)n;
	*ret_is_head = at == m->key_len;
	return true;
}

static uint64_t number_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? strtoull(s, NULL, 10) : 0;
}

/* An aggregator that tells of no days has nothing of this in its heads. */
static void parse_days(const json_t *days, struct view_head *ret)
{
	const char *before = json_string_value(json_object_get(days, "before"));
	int32_t day;

	if (!before || date_parse(before, &day) || day < 0)
		return;
	ret->tells_days = true;
	ret->days_before = (uint32_t)day;
	ret->days_records = number_of(days, "records");
}

static void parse_instance(const json_t *o, struct view_head *ret)
{
	ret->refused_by_broker = (struct refusal_count){ number_of(o, "refused_by_broker"),
							 number_of(o, "refused_by_broker_ms") };
	ret->unsent = number_of(o, "unsent");
	ret->failed = number_of(o, "failed");
	ret->settings_unchecked = json_is_true(json_object_get(o, "settings_unchecked"));
}

static int parse_head(const struct view_record *m, struct view_head *ret)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(m->value, m->value_len, 0, NULL);
	const json_t *refused = json_object_get(o, "refused");
	const char *time = json_string_value(json_object_get(o, "as_of"));

	*ret = (struct view_head){ .epoch = m->epoch };
	if (!ret->epoch.number || json_integer_value(json_object_get(o, "v")) != 2)
		return -EBADMSG;
	ret->round = number_of(o, "round");
	ret->subjects = number_of(o, "subjects");
	ret->registers = number_of(o, "registers");
	parse_days(json_object_get(o, "days"), ret);
	ret->regressed = (struct refusal_count){ number_of(o, "regressions"), number_of(o, "regressed_ms") };
	ret->left_out = (struct refusal_count){ number_of(o, "left_out"), number_of(o, "left_out_ms") };
	ret->overclaims = number_of(o, "overclaims");
	parse_instance(json_object_get(o, "instance"), ret);
	ret->lost_words = (struct refusal_count){ number_of(o, "lost_words"), number_of(o, "lost_words_ms") };
	ret->overclaimed_count = claims_decode(json_object_get(o, "overclaimed"), ret->overclaimed);
	if (!time || om_time_parse(time, &ret->time_ns))
		return -EBADMSG;
	for (int i = 1; i < REFUSAL_END; i++) {
		const json_t *c = json_object_get(refused, refusal_name((enum refusal)i));

		ret->refused[i].count = number_of(c, "count");
		ret->refused[i].last_ms = number_of(c, "last_ms");
	}
	return 0;
}

/* Its head counts it, so until we are updated the partition is not whole and nothing is judged. */
static void say_later(struct view *v, uint32_t partition)
{
	if (v->later++ == 0)
		log_warn("totals of partition %" PRIu32
			 " are of a later version: alerts wait until this instance is updated",
			 partition);
}

static int stage(struct view *v, uint32_t partition, const struct view_record *m)
{
	struct view_part *p = &v->part[partition];
	struct staged *s = calloc(1, sizeof(*s) + m->key_len);
	int r;

	if (!s)
		return -ENOMEM;
	s->epoch = m->epoch;
	s->key_len = m->key_len;
	memcpy(s->key, m->key, m->key_len);
	r = view_stage_days(v, s, m, partition);
	if (r == 0 && !s->is_days && m->value) {
		r = om_total_decode(m->value, m->value_len, &s->record);
		if (r == -EPROTONOSUPPORT)
			say_later(v, partition);
		s->has_record = r == 0;
		s->record.partition = partition;
	}
	if (r) {
		free(s);
		return r == -ENOMEM ? r : 0;
	}
	*p->last = s;
	p->last = &s->next;
	return 0;
}

int view_compare(const struct om_subject_total *a, const struct om_subject_total *b)
{
	int r = a->group != b->group ? (a->group < b->group ? -1 : 1) : strcmp(a->tenant, b->tenant);

	r = r ?: strcmp(a->model, b->model);
	return r ?: strcmp(a->lineage, b->lineage);
}

static int take_staged(struct view *v, struct view_part *p, struct staged *s)
{
	struct seen *known = (struct seen *)key_map_find(&p->seen, s->key, s->key_len);

	if (s->is_days)
		return view_take_days(v, p, s);
	if (!s->has_record) {
		if (known) {
			key_map_remove(&p->seen, &known->node);
			free_seen(&known->node);
			v->is_order_stale = true;
		}
		return 0;
	}
	v->is_order_stale |=
		!known || !known->has_record || view_compare(&known->record.total, &s->record.total) != 0;
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known || key_map_add(&p->seen, &known->node, s->key, s->key_len)) {
			free(known);
			return -ENOMEM;
		}
	}
	if (known->has_record)
		om_total_record_done(&known->record);
	known->record = s->record;
	known->has_record = true;
	known->epoch = s->epoch;
	s->has_record = false;
	return 0;
}

/* What an earlier writer left is not part of this one's totals. */
struct dropping {
	struct view *v;
	struct view_part *p;
};

static int drop_below(void *ctx, struct key_node *n)
{
	struct dropping *d = ctx;
	struct seen *s = (struct seen *)n;

	if (epoch_compare(s->epoch, d->p->head.epoch) != 0) {
		key_map_remove(&d->p->seen, n);
		free_seen(n);
		d->v->is_order_stale = true;
	}
	return 0;
}

static int take_head(struct view *v, struct view_part *p, const struct view_head *head)
{
	struct dropping dropping = { v, p };
	struct staged *s = p->first, *next;
	bool is_new = epoch_compare(head->epoch, p->head.epoch) != 0;
	int r = 0;

	if (epoch_compare(head->epoch, p->head.epoch) < 0)
		return 0; /* a writer that has been replaced and does not know it yet */
	p->head = *head;
	p->first = NULL;
	p->last = &p->first;
	for (; s; s = next) {
		next = s->next;
		s->next = NULL;
		if (epoch_compare(s->epoch, head->epoch) > 0) { /* its own head is still to come */
			*p->last = s;
			p->last = &s->next;
			continue;
		}
		if (r == 0 && epoch_compare(s->epoch, head->epoch) == 0)
			r = take_staged(v, p, s);
		free_staged(s);
	}
	if (is_new) {
		key_map_each(&p->seen, drop_below, &dropping);
		view_drop_days(p);
	}
	p->head.is_whole = p->seen.count == head->subjects;
	p->head.has_all_days = p->days.count == head->days_records;
	return r;
}

int view_take(struct view *v, const struct view_record *m)
{
	struct view_head head;
	uint32_t number;
	bool is_head;
	int r;

	if (!parse_key(v, m, &number, &is_head) || m->partition != number)
		return 0;
	if (!is_head)
		return stage(v, number, m);
	if (!m->value || parse_head(m, &head))
		return 0;
	r = take_head(v, &v->part[number], &head);
	v->is_changed = true;
	return r;
}

bool view_is_whole(const struct view *v)
{
	for (uint32_t i = 0; i < v->partitions; i++)
		if (!v->part[i].head.is_whole)
			return false;
	return v->partitions > 0;
}

bool view_is_changed(struct view *v)
{
	bool was = v->is_changed;

	v->is_changed = false;
	return was;
}

const struct view_head *view_head(const struct view *v, uint32_t partition)
{
	return &v->part[partition].head;
}

struct listing {
	const struct om_subject_total **item;
	size_t count;
};

static int list_one(void *ctx, struct key_node *n)
{
	struct listing *l = ctx;
	const struct seen *s = (const struct seen *)n;

	if (s->has_record)
		l->item[l->count++] = &s->record.total;
	return 0;
}

static int compare_items(const void *a, const void *b)
{
	return view_compare(*(const struct om_subject_total *const *)a,
			    *(const struct om_subject_total *const *)b);
}

static int compare_members(const void *a, const void *b)
{
	return strcmp(((const struct om_member *)a)->tenant, ((const struct om_member *)b)->tenant);
}

/* The parts of a tenant in several partitions become one. */
static size_t fold_members(struct om_member *m, size_t n)
{
	size_t kept = 0;

	qsort(m, n, sizeof(*m), compare_members);
	for (size_t i = 0; i < n; i++) {
		if (kept && !strcmp(m[kept - 1].tenant, m[i].tenant)) {
			opcount_add_saturating(&m[kept - 1].training_low, m[i].training_low);
			opcount_add_saturating(&m[kept - 1].training_high, m[i].training_high);
			opcount_add_saturating(&m[kept - 1].training_ceiling, m[i].training_ceiling);
			m[kept - 1].registers += m[i].registers;
		} else {
			m[kept++] = m[i];
		}
	}
	return kept;
}

static int give_sum(const struct om_subject_total *const *part, size_t n,
		    int (*fn)(void *ctx, const struct om_subject_total *s), void *ctx)
{
	struct om_subject_total sum = *part[0];
	_cleanup_free_ struct om_member *members = NULL;
	_cleanup_free_ struct om_until *until = NULL;
	size_t count = 0;
	int r = om_until_fold(part, n, &until, &sum.until_count);

	if (r)
		return r;
	sum.until = until;

	for (size_t i = 0; i < n; i++)
		count += part[i]->member_count;
	if (count) {
		members = calloc(count, sizeof(*members));
		if (!members)
			return -ENOMEM;
		count = 0;
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < part[i]->member_count; k++)
				members[count++] = part[i]->members[k];
		sum.members = members;
		sum.member_count = fold_members(members, count);
	}
	for (size_t i = 1; i < n; i++) {
		om_subject_total_add(&sum, part[i]);
		sum.members_cut += part[i]->members_cut;
	}
	return fn(ctx, &sum);
}

int view_put_in_order(struct view *v)
{
	const struct om_subject_total **bigger;
	struct listing l = { .count = 0 };
	size_t n = 0;

	if (!v->is_order_stale)
		return 0;
	for (uint32_t i = 0; i < v->partitions; i++)
		n += v->part[i].seen.count;
	bigger = reallocarray(v->order, n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	v->order = l.item = bigger;
	for (uint32_t i = 0; i < v->partitions; i++)
		key_map_each(&v->part[i].seen, list_one, &l);
	qsort(v->order, l.count, sizeof(*v->order), compare_items);
	v->ordered = l.count;
	v->is_order_stale = false;
	return 0;
}

int view_each(struct view *v, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s),
	      void *ctx)
{
	int r = view_put_in_order(v);

	for (size_t i = 0, j; r == 0 && i < v->ordered; i = j) {
		for (j = i + 1; j < v->ordered && !view_compare(v->order[i], v->order[j]); j++)
			;
		if (v->order[i]->group == group)
			r = give_sum(v->order + i, j - i, fn, ctx);
	}
	return r;
}
