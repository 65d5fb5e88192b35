// SPDX-License-Identifier: Apache-2.0
/*
 * A partition's totals onto the totals topic, in rounds. Every record of a round
 * carries the writer's epoch; the head that ends it says how many totals there are.
 * A reader takes a round when its head comes and never a part of one, and takes
 * nothing below the highest epoch. So two writers of one partition do no harm, be it
 * that one of them was frozen for an hour: what it still writes is ignored, and the
 * owner, who reads its own partition of the topic, writes over it.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/yaml.h"
#include "../core/total_record.h"

struct subject {
	struct key_node node;
	uint64_t round; /* of ours in which it was written, whatever the epoch; 0: somebody else's */
};

void epoch_format(struct epoch e, char buf[EPOCH_STRLEN])
{
	snprintf(buf, EPOCH_STRLEN, "%" PRIu64 ".%016" PRIx64, e.number, e.instance);
}

struct epoch epoch_parse(const char *s, size_t len, uint64_t now_ns)
{
	struct epoch e = { 0, 0 };
	char text[EPOCH_STRLEN];
	size_t digits;

	if (len >= sizeof(text))
		return e;
	memcpy(text, s, len);
	text[len] = '\0';
	digits = strspn(text, "0123456789");
	if (!digits || text[digits] != '.' || len - digits != 17 ||
	    strspn(text + digits + 1, "0123456789abcdef") != 16)
		return e;
	e.number = strtoull(text, NULL, 10); /* what is too large for it becomes the largest */
	e.instance = strtoull(text + digits + 1, NULL, 16);
	return e.number <= epoch_max(now_ns) ? e : (struct epoch){ 0, 0 };
}

static struct epoch epoch_within(const rd_kafka_message_t *m, uint64_t now_ns)
{
	rd_kafka_headers_t *h;
	const void *value;
	size_t len;

	if (rd_kafka_message_headers(m, &h) || rd_kafka_header_get_last(h, HEADER_EPOCH, &value, &len) ||
	    !value)
		return (struct epoch){ 0, 0 };
	return epoch_parse(value, len, now_ns);
}

struct epoch epoch_of(const rd_kafka_message_t *m)
{
	return epoch_within(m, fleet_now_ns(CLOCK_REALTIME));
}

/* Of a time to come, too. */
static struct epoch epoch_of_any(const rd_kafka_message_t *m)
{
	return epoch_within(m, UINT64_MAX);
}

void subjects_done(struct key_map *m)
{
	key_map_done(m, key_node_free);
}

/* "<fleet>/<partition>", which is the head's key and how all others begin. */
static size_t prefix_of(const struct fleet *f, const struct part *p, char buf[160])
{
	return (size_t)snprintf(buf, 160, "%s/%" PRIu32, f->config->name, p->number);
}

/* Our own partition of the totals topic: which keys are there, and who else writes. */
void publish_take_total(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct epoch e = epoch_of_any(m);
	char prefix[160];
	size_t len = prefix_of(f, p, prefix);
	struct subject *s;

	if (m->key_len < len || memcmp(m->key, prefix, len) != 0 ||
	    (m->key_len > len && ((const char *)m->key)[len] != '/'))
		return; /* another fleet's */
	if (e.number > epoch_max(fleet_now_ns(CLOCK_REALTIME))) {
		p->future = e.number > p->future ? e.number : p->future;
		e = (struct epoch){ 0, 0 };
	}
	if (epoch_compare(e, p->highest) > 0)
		p->highest = e;
	if (p->epoch.number && epoch_compare(e, p->epoch) == 0) {
		if (++p->own_seen <= p->own_sent)
			return;	     /* our own, coming back */
		p->epoch.number = 0; /* somebody else's under our name: above it */
	}
	p->sees_successor |= p->epoch.number && epoch_compare(e, p->epoch) > 0;
	if (m->key_len > len && days_take(f, p, (const char *)m->key + len + 1, m->key_len - len - 1, m))
		return;
	/* Somebody wrote over what may be ours. */
	p->is_changed = p->is_full = true;
	if (m->key_len == len || !m->payload || key_map_find(&p->subjects, m->key, m->key_len))
		return;
	s = calloc(1, sizeof(*s));
	if (!s || key_map_add(&p->subjects, &s->node, m->key, m->key_len)) {
		free(s);
		f->error = -ENOMEM;
	}
}

int publish_record(struct writing *w, const char *key, size_t key_len, const char *value, uint64_t time_ns)
{
	struct om_event ev = { .topic = OM_TOPIC_TOTALS,
			       .key = key,
			       .key_len = key_len,
			       .value = value,
			       .value_len = value ? strlen(value) : 0,
			       .time_ns = time_ns,
			       .headers = w->headers,
			       .partition_plus_1 = w->p->number + 1 };
	int r;

	r = fleet_send(w->f, &ev);
	w->p->own_sent += r == 0;
	return r;
}

static int retract(struct writing *w, struct subject *s)
{
	int r = publish_record(w, s->node.key, s->node.key_len, NULL, 0);

	if (r == 0) {
		key_map_remove(&w->p->subjects, &s->node);
		free(s);
	}
	return r;
}

static int write_total(struct writing *w, const char *key, const struct om_subject_total *t)
{
	_cleanup_free_ char *text = om_total_encode(t, w->p->number);

	return text ? publish_record(w, key, strlen(key), text, t->as_of_ns) : -ENOMEM;
}

static int compare_work(const void *a, const void *b)
{
	const struct om_member *x = a, *y = b;

	if (x->training_high != y->training_high)
		return x->training_high > y->training_high ? -1 : 1;
	return strcmp(x->tenant, y->tenant);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct om_member *)a)->tenant, ((const struct om_member *)b)->tenant);
}

/* A lineage of so many tenants that no record holds them: those with the most work are named, the others
 * are counted. The lineage's own figures stay whole. */
static int write_cut(struct writing *w, const char *key, const struct om_subject_total *t)
{
	struct om_subject_total cut = *t;
	_cleanup_free_ struct om_member *m = NULL;
	int r = write_total(w, key, t);

	while (r == -EMSGSIZE && cut.member_count) {
		if (!m) {
			m = calloc(t->member_count, sizeof(*m));
			if (!m)
				return -ENOMEM;
			cut.members = m;
		}
		cut.member_count /= 2;
		cut.members_cut = t->members_cut + t->member_count - cut.member_count;
		memcpy(m, t->members, t->member_count * sizeof(*m));
		qsort(m, t->member_count, sizeof(*m), compare_work);
		qsort(m, cut.member_count, sizeof(*m), compare_names);
		r = write_total(w, key, &cut);
	}
	return r;
}

#define LEFT_OUT_SAID_MAX 10

/* No record can hold it. It is none of the head's subjects, so the others are still taken. */
static int leave_out(struct writing *w, const char *name, struct subject *s)
{
	w->p->left_out_ms = fleet_now_ns(CLOCK_REALTIME) / 1000000;
	if (w->p->left_out++ < LEFT_OUT_SAID_MAX)
		log_error("the total of %.200s in partition %" PRIu32
			  " is too large for a record and left out: shorten the names of tenants and models, "
			  "or raise message.max.bytes",
			  name, w->p->number);
	return s ? retract(w, s) : 0;
}

static int write_subject(void *ctx, const struct om_subject_total *t)
{
	struct writing *w = ctx;
	char key[OM_TOTAL_KEY_MAX];
	struct key_node *n;
	struct subject *s;
	int r;

	if (w->is_quiet)
		return 0;
	r = om_total_key(w->f->config->name, w->p->number, t, key);
	if (r)
		return leave_out(w, t->group == OM_GROUP_MODEL ? t->tenant : t->lineage, NULL);
	n = key_map_find(&w->p->subjects, key, strlen(key));
	s = (struct subject *)n;
	if (t->registers == 0)
		return s ? retract(w, s) : 0;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || key_map_add(&w->p->subjects, &s->node, key, strlen(key))) {
			free(s);
			return -ENOMEM;
		}
	}
	r = write_cut(w, key, t);
	if (r == 0)
		s->round = w->p->round;
	return r == -EMSGSIZE ? leave_out(w, key, s) : r;
}

static int retract_stale(void *ctx, struct key_node *n)
{
	struct writing *w = ctx;
	struct subject *s = (struct subject *)n;

	return s->round == w->p->round ? 0 : retract(w, s);
}

static json_t *refusals_json(const struct part *p)
{
	json_t *o = json_object();

	for (int i = 1; i < REFUSAL_END; i++) {
		const struct refusal_count *c = &p->refused[i];
		char count[24], last[24];

		if (!c->count)
			continue;
		snprintf(count, sizeof(count), "%" PRIu64, c->count);
		snprintf(last, sizeof(last), "%" PRIu64, c->last_ms);
		json_object_set_new(o, refusal_name((enum refusal)i),
				    json_pack("{s:s,s:s}", "count", count, "last_ms", last));
	}
	return o;
}

/* What is counted by the instance, not by the partition: each of its heads has it. */
static json_t *instance_json(const struct fleet *f)
{
	const uint64_t numbers[4] = { f->refused_by_broker, f->refused_by_broker_ms, f->unsent, f->failed };
	char number[4][24];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		snprintf(number[i], sizeof(number[i]), "%" PRIu64, numbers[i]);
	return json_pack("{s:s,s:s,s:s,s:s,s:b}", "refused_by_broker", number[0], "refused_by_broker_ms",
			 number[1], "unsent", number[2], "failed", number[3], "settings_unchecked",
			 f->settings_unchecked);
}

/* docs/formats.md, "Head of a partition". */
static int write_head(struct writing *w)
{
	const struct part *p = w->p;
	char key[160], number[12][24], time[OM_TIME_STRLEN], day[16];
	size_t len = prefix_of(w->f, p, key);
	uint64_t now = fleet_now_ns(CLOCK_REALTIME);
	const uint64_t numbers[12] = { p->round,
				       p->subjects.count,
				       om_totals_registers(p->totals),
				       p->regressions,
				       p->nulls,
				       p->left_out,
				       p->days.records,
				       p->claims.over_count,
				       p->regressed_ms,
				       p->left_out_ms,
				       p->words.lost,
				       p->words.lost_ms };
	_cleanup_free_ char *text = NULL;
	json_t *o;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		snprintf(number[i], sizeof(number[i]), "%" PRIu64, numbers[i]);
	o = json_pack("{s:i,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:s,s:s,s:o,s:s}", "v", 2,
		      "group", "head", "partition", (int)p->number, "epoch", w->epoch, "round", number[0],
		      "subjects", number[1], "registers", number[2], "regressions", number[3], "nulls",
		      number[4], "left_out", number[5], "regressed_ms", number[8], "left_out_ms", number[9],
		      "overclaims", number[7], "overclaimed", claims_encode(&p->claims), "refused",
		      refusals_json(p), "lost_words", number[10], "lost_words_ms", number[11], "instance",
		      instance_json(w->f), "as_of", om_time_format(now, time));
	if (o && p->days.before)
		json_object_set_new(o, "days",
				    json_pack("{s:s,s:s}", "before",
					      date_format((int32_t)p->days.before, day), "records",
					      number[6]));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text ? publish_record(w, key, len, text, now) : -ENOMEM;
}

static int write_all(struct writing *w)
{
	struct part *p = w->p;
	int r = om_totals_each(p->totals, write_subject, w);

	r = r ?: om_totals_each_lineage(p->totals, write_subject, w);
	r = r ?: key_map_each(&p->subjects, retract_stale, w);
	w->is_quiet = true;
	return r ?: om_totals_each_changed(p->totals, write_subject, w);
}

/* An epoch above everything that is there: those below are ignored from the head on. The round goes on
 * counting, because the subjects remember in which one they were written. */
static int raise_epoch(const struct fleet *f, struct part *p)
{
	/* Somebody forged the highest there can be: in a moment there is a higher one, for readers whose
	 * clocks are behind, too. */
	if (p->highest.number + EPOCH_MARGIN >= epoch_max(fleet_now_ns(CLOCK_REALTIME)))
		return -EAGAIN;
	p->own_sent = p->own_seen = 0;
	p->epoch = (struct epoch){ p->highest.number + 1, f->me.instance };
	p->is_full = true;
	return 0;
}

/* What was none when we read it is one now, for us as for all readers. */
static void look_at_future(struct part *p)
{
	if (!p->future || p->future + EPOCH_MARGIN > epoch_max(fleet_now_ns(CLOCK_REALTIME)))
		return;
	if (p->future > p->highest.number)
		p->highest = (struct epoch){ p->future, UINT64_MAX };
	p->future = 0;
	p->is_changed = p->is_full = true;
}

int publish_part(struct fleet *f, struct part *p)
{
	struct writing w = { .f = f, .p = p };
	uint64_t failed = f->failed;
	int r;

	look_at_future(p);
	/* What came may have been of days that are over. */
	if (!days_prepare(f, p) && !p->is_changed && !p->is_full)
		return 0;
	/* Who writes above us may be the owner: the group is asked once more before we write above it. */
	if (p->sees_successor && !p->has_yielded) {
		p->has_yielded = true;
		return 0;
	}
	p->sees_successor = p->has_yielded = false;
	if (!p->epoch.number || epoch_compare(p->highest, p->epoch) > 0) {
		r = raise_epoch(f, p);
		if (r)
			return 0;
	}
	p->round++;
	epoch_format(p->epoch, w.epoch);
	w.headers[0] = HEADER_EPOCH;
	w.headers[1] = w.epoch;
	r = p->is_full ? write_all(&w) : om_totals_each_changed(p->totals, write_subject, &w);
	r = r ?: days_write(&w, p->is_full);
	r = r ?: write_head(&w);
	/* What was begun without its end is no round, nor is one of which the broker lost a record while it
	 * was written: the next one has everything. */
	p->is_full = r != 0 || f->failed != failed;
	p->is_changed = p->is_full;
	return r;
}
