// SPDX-License-Identifier: Apache-2.0
/*
 * Duties whose clock runs from the day on which it is known that a level will be met
 * (core/policy_known.c). Totals do not say when they grew, so the judge asks for the days
 * of those subjects that are large enough, adds the parts of all partitions, and gives
 * policy the points: at the start, when a UTC day began, and when some part changed. From
 * part of the days nothing is concluded: where one is not told, that is said instead.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/yaml.h"
#include "../core/days_record.h"

#define SECOND_NS 1000000000ULL
#define DAY_NS (86400 * SECOND_NS)
#define AGAIN_NS (30 * SECOND_NS) /* an ask that was lost */
struct asking {
	struct key_node node;	    /* key: the ask's */
	uint64_t first_ns, last_ns; /* CLOCK_MONOTONIC */
	uint64_t look;		    /* the last one at which the days were missing */
};

struct series {
	struct key_node node; /* key: the subject's in partition 0 */
	uint64_t mark;	      /* of what is there: day and parts */
	uint64_t since_ns;    /* CLOCK_MONOTONIC: since when it is */
	uint64_t waits_ns;    /* since when it was not judged */
	bool is_judged;
};

struct partition {
	uint64_t silent_ns; /* CLOCK_MONOTONIC: since when days are missing of a head that tells none; 0 */
	uint64_t subjects;  /* whose days it does not tell, at this look */
};

struct duties {
	struct duties_pace pace;
	struct key_map asked, judged;
	struct partition *partition;
	uint32_t partitions;
	uint64_t look; /* how many there were */
	bool is_other, is_waiting;
};

struct duties *duties_new(uint32_t partitions, const struct duties_pace *pace)
{
	struct duties *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->pace = *pace;
	d->partitions = partitions;
	d->partition = calloc(partitions, sizeof(*d->partition));
	return d->partition ? d : duties_free(d);
}

struct duties *duties_free(struct duties *d)
{
	if (!d)
		return NULL;
	key_map_done(&d->asked, key_node_free);
	key_map_done(&d->judged, key_node_free);
	free(d->partition);
	free(d);
	return NULL;
}

void duties_begin(struct duties *d, bool is_other)
{
	d->look++;
	d->is_other = is_other;
	d->is_waiting = false;
	for (uint32_t i = 0; i < d->partitions; i++)
		d->partition[i].subjects = 0;
}

bool duties_wait(const struct duties *d)
{
	return d->is_waiting;
}

/* Who asks knows the sum over all partitions; who is asked knows the days. */
static int send_ask(struct fleet *f, uint32_t partition, const struct om_subject_total *s, const char *key)
{
	_cleanup_free_ char *text = om_days_ask_encode(s, partition);
	struct om_event ev = { .topic = OM_TOPIC_TOTALS,
			       .key = key,
			       .key_len = strlen(key),
			       .value = text,
			       .value_len = text ? strlen(text) : 0,
			       .time_ns = fleet_now_ns(CLOCK_REALTIME),
			       .partition_plus_1 = partition + 1 };

	return text ? fleet_send(f, &ev) : -ENOMEM;
}

static int ask(struct duties *d, struct fleet *f, uint32_t partition, const struct om_subject_total *s)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	char key[OM_TOTAL_KEY_MAX];
	struct asking *a;
	int r = om_days_key(f->config->name, partition, OM_DAYS_ASK, s, key);

	if (r)
		return 0; /* names that no record has room for: its total is left out, too */
	a = (struct asking *)key_map_find(&d->asked, key, strlen(key));
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a || key_map_add(&d->asked, &a->node, key, strlen(key))) {
			free(a);
			return -ENOMEM;
		}
		a->first_ns = now;
		a->look = d->look;
	}
	/* They were there, or not needed, meanwhile. */
	if (a->look + 1 < d->look)
		*a = (struct asking){ .node = a->node, .first_ns = now };
	a->look = d->look;
	if (now - a->first_ns < d->pace.patience_ns)
		d->is_waiting = true;
	else
		d->partition[partition].subjects++;
	if (a->last_ns && now - a->last_ns < AGAIN_NS)
		return 0;
	r = send_ask(f, partition, s, key);
	if (r == 0)
		a->last_ns = now;
	return r == -ENOMEM ? r : 0;
}

static void answered(struct duties *d, const struct fleet *f, uint32_t partition,
		     const struct om_subject_total *s)
{
	char key[OM_TOTAL_KEY_MAX];
	struct key_node *n;

	if (!d->asked.count || om_days_key(f->config->name, partition, OM_DAYS_ASK, s, key))
		return;
	n = key_map_find(&d->asked, key, strlen(key));
	if (n) {
		key_map_remove(&d->asked, n);
		free(n);
	}
}

/* An aggregator of before there were days. */
static void missed(struct duties *d, uint32_t partition)
{
	struct partition *p = &d->partition[partition];
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);

	p->silent_ns = p->silent_ns ? p->silent_ns : now;
	if (now - p->silent_ns < d->pace.patience_ns)
		d->is_waiting = true;
	else
		p->subjects++;
}

/* 1: all parts are told; 0: not yet; -ENOMEM. */
static int look_at_parts(struct findings *j, const struct om_subject_total *s, const struct view_piece *piece,
			 size_t n)
{
	bool is_all = true;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct view_head *h = view_head(j->view, piece[i].partition);

		if (!piece[i].total->registers)
			continue;
		if (!h->tells_days) {
			missed(j->duties, piece[i].partition);
			is_all = false;
			continue;
		}
		j->duties->partition[piece[i].partition].silent_ns = 0;
		if (piece[i].days && h->has_all_days) {
			answered(j->duties, j->fleet, piece[i].partition, s);
		} else {
			r = ask(j->duties, j->fleet, piece[i].partition, s);
			is_all = false;
		}
	}
	return r ?: is_all;
}

static uint64_t mixed(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static struct series *need_series(struct findings *j, const struct om_subject_total *s)
{
	char key[OM_TOTAL_KEY_MAX];
	struct series *known;

	/* Of names for which there is room: its total came in a record. */
	if (om_total_key(j->fleet->config->name, 0, s, key))
		return NULL;
	known = (struct series *)key_map_find(&j->duties->judged, key, strlen(key));
	if (known)
		return known;
	known = calloc(1, sizeof(*known));
	if (!known || key_map_add(&j->duties->judged, &known->node, key, strlen(key))) {
		free(known);
		return NULL;
	}
	return known;
}

/* Something of it is new since it was judged, and has rested. */
static bool is_due(struct findings *j, struct series *known, const struct view_piece *piece, size_t n)
{
	uint64_t mark = mixed(1, j->policy.now_ns / DAY_NS), now = fleet_now_ns(CLOCK_MONOTONIC);
	const struct duties_pace *pace = &j->duties->pace;

	for (size_t i = 0; i < n; i++) {
		mark = mixed(mark, piece[i].serial);
		mark = mixed(mark, view_head(j->view, piece[i].partition)->days_before);
	}
	if (known->mark != mark)
		known->since_ns = now;
	if (known->mark != mark || j->duties->is_other) {
		known->waits_ns = known->waits_ns ? known->waits_ns : now;
		known->is_judged = false;
	}
	known->mark = mark;
	if (known->is_judged ||
	    (now - known->since_ns < pace->rest_ns && now - known->waits_ns < pace->restless_ns))
		return false;
	known->waits_ns = 0;
	known->is_judged = true;
	return true;
}

/* As policy takes them: the sum so far, at the end of each day. */
static void accumulate(const struct om_day *day, size_t n, struct om_forecast_point *p)
{
	for (size_t i = 0; i < n; i++) {
		p[i] = (struct om_forecast_point){ (int32_t)day[i].day, day[i].training_low,
						   day[i].training_high };
		if (i == 0)
			continue;
		opcount_add_saturating(&p[i].low, p[i - 1].low);
		opcount_add_saturating(&p[i].high, p[i - 1].high);
	}
}

static int add_parts(struct findings *j, const struct view_piece *piece, size_t n,
		     struct om_forecast_point **ret, size_t *ret_count)
{
	uint32_t before = UINT32_MAX, from = 0;
	_cleanup_free_ struct om_forecast_point *p = NULL;
	_cleanup_free_ struct om_day *day = NULL;
	size_t room = 1, count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct om_days *d = piece[i].days;
		uint32_t its = view_head(j->view, piece[i].partition)->days_before;

		if (!d)
			continue;
		before = its < before ? its : before;
		/* Earlier days of a part that folded them are in its first: so are those of the others. */
		if (d->is_folded && d->count && d->day[0].day > from)
			from = d->day[0].day;
		room += d->count;
	}
	day = calloc(room, sizeof(*day));
	p = calloc(room, sizeof(*p));
	if (!day || !p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; piece[i].days && k < piece[i].days->count; k++) {
			const struct om_day *d = &piece[i].days->day[k];

			if (d->day >= before)
				continue;
			day[count] = *d;
			day[count++].day = d->day < from ? from : d->day;
		}
	*ret_count = om_day_fold(day, count);
	accumulate(day, *ret_count, p);
	*ret = TAKE_PTR(p);
	return 0;
}

int duties_points(void *ctx, const struct om_subject_total *s, struct om_forecast_point **ret,
		  size_t *ret_count)
{
	struct findings *j = ctx;
	_cleanup_free_ struct view_piece *piece = NULL;
	struct series *known;
	size_t n;
	int r = view_pieces(j->view, s, &piece, &n);

	*ret = NULL;
	*ret_count = 0;
	if (r)
		return r;
	r = look_at_parts(j, s, piece, n);
	if (r <= 0)
		return r;
	known = need_series(j, s);
	if (!known)
		return -ENOMEM;
	return is_due(j, known, piece, n) ? add_parts(j, piece, n, ret, ret_count) : 0;
}

int findings_untold(struct findings *j)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < j->duties->partitions; i++) {
		uint64_t subjects = j->duties->partition[i].subjects;
		char subject[64], sentence[400], day[16], count[24];

		if (!subjects)
			continue;
		snprintf(subject, sizeof(subject), "partition/%" PRIu32, i);
		snprintf(count, sizeof(count), "%" PRIu64, subjects);
		date_format((int32_t)(j->policy.now_ns / DAY_NS), day);
		snprintf(sentence, sizeof(sentence),
			 "partition %" PRIu32 " does not tell the days of %s subjects that are large enough "
			 "for it to be known that "
			 "they will meet a level: no clock is started from the rest of their days.",
			 i, count);
		r = findings_emit(
			j, subject, "days-untold", day, sentence,
			json_pack("{s:s,s:s}", "subjects", count, "what_to_do",
				  "update the aggregator that keeps the partition; if it is as new as "
				  "the judge, its log says why"));
	}
	return r;
}
