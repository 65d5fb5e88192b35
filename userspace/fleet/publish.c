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

#include "../core/total_record.h"

struct subject {
	struct key_node node;
	uint64_t round; /* of ours in which it was written; 0: somebody else's */
};

void epoch_format(struct epoch e, char buf[EPOCH_STRLEN])
{
	snprintf(buf, EPOCH_STRLEN, "%" PRIu64 ".%016" PRIx64, e.number, e.instance);
}

struct epoch epoch_of(const rd_kafka_message_t *m)
{
	rd_kafka_headers_t *h;
	const void *value;
	size_t len;
	char text[EPOCH_STRLEN];
	struct epoch e = { 0, 0 };

	if (rd_kafka_message_headers(m, &h) || rd_kafka_header_get_last(h, HEADER_EPOCH, &value, &len) ||
	    !value || len >= sizeof(text))
		return e;
	memcpy(text, value, len);
	text[len] = '\0';
	if (sscanf(text, "%" SCNu64 ".%16" SCNx64, &e.number, &e.instance) != 2)
		return (struct epoch){ 0, 0 };
	return e;
}

static void free_subject(struct key_node *n)
{
	free(n);
}

void subjects_done(struct key_map *m)
{
	key_map_done(m, free_subject);
}

/* "<fleet>/<partition>", which is the head's key and how all others begin. */
static size_t prefix_of(const struct fleet *f, const struct part *p, char buf[160])
{
	return (size_t)snprintf(buf, 160, "%s/%" PRIu32, f->config->name, p->number);
}

/* Our own partition of the totals topic: which keys are there, and who else writes. */
void publish_take_total(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct epoch e = epoch_of(m);
	char prefix[160];
	size_t len = prefix_of(f, p, prefix);
	struct subject *s;

	if (m->key_len < len || memcmp(m->key, prefix, len) != 0 ||
	    (m->key_len > len && ((const char *)m->key)[len] != '/'))
		return; /* another fleet's */
	if (epoch_compare(e, p->highest) > 0)
		p->highest = e;
	if (p->epoch.number && epoch_compare(e, p->epoch) == 0)
		return; /* our own, coming back */
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

struct writing {
	struct fleet *f;
	struct part *p;
	char epoch[EPOCH_STRLEN];
	const char *headers[3];
	bool is_quiet; /* only to bring the sums' own notion of change up to date */
};

static int write_record(struct writing *w, const char *key, size_t key_len, const char *value,
			uint64_t time_ns)
{
	struct om_event ev = { .topic = OM_TOPIC_TOTALS,
			       .key = key,
			       .key_len = key_len,
			       .value = value,
			       .value_len = value ? strlen(value) : 0,
			       .time_ns = time_ns,
			       .headers = w->headers,
			       .partition_plus_1 = w->p->number + 1 };

	return fleet_send(w->f, &ev);
}

static int retract(struct writing *w, struct subject *s)
{
	int r = write_record(w, s->node.key, s->node.key_len, NULL, 0);

	if (r == 0) {
		key_map_remove(&w->p->subjects, &s->node);
		free(s);
	}
	return r;
}

static int write_subject(void *ctx, const struct om_subject_total *t)
{
	struct writing *w = ctx;
	char key[OM_TOTAL_KEY_MAX];
	_cleanup_free_ char *text = NULL;
	struct key_node *n;
	struct subject *s;
	int r = om_total_key(w->f->config->name, w->p->number, t, key);

	if (r || w->is_quiet)
		return r;
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
	text = om_total_encode(t, w->p->number);
	if (!text)
		return -ENOMEM;
	r = write_record(w, key, strlen(key), text, t->as_of_ns);
	if (r == 0)
		s->round = w->p->round;
	return r;
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

/* docs/formats.md, "Head of a partition". */
static int write_head(struct writing *w)
{
	const struct part *p = w->p;
	char key[160], number[5][24], time[OM_TIME_STRLEN];
	size_t len = prefix_of(w->f, p, key);
	uint64_t now = fleet_now_ns(CLOCK_REALTIME);
	const uint64_t numbers[5] = { p->round, p->subjects.count, om_totals_registers(p->totals),
				      p->regressions, p->nulls };
	_cleanup_free_ char *text = NULL;
	json_t *o;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		snprintf(number[i], sizeof(number[i]), "%" PRIu64, numbers[i]);
	o = json_pack("{s:i,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:s}", "v", 2, "group", "head", "partition",
		      (int)p->number, "epoch", w->epoch, "round", number[0], "subjects", number[1],
		      "registers", number[2], "regressions", number[3], "nulls", number[4], "refused",
		      refusals_json(p), "as_of", om_time_format(now, time));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text ? write_record(w, key, len, text, now) : -ENOMEM;
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

int publish_part(struct fleet *f, struct part *p)
{
	struct writing w = { .f = f, .p = p };
	int r;

	if (!p->is_changed && !p->is_full)
		return 0;
	/* An epoch above everything that is there: those below are ignored from the head on. */
	if (!p->epoch.number || epoch_compare(p->highest, p->epoch) > 0) {
		p->epoch = (struct epoch){ p->highest.number + 1, f->me.instance };
		p->round = 0;
		p->is_full = true;
	}
	p->round++;
	epoch_format(p->epoch, w.epoch);
	w.headers[0] = HEADER_EPOCH;
	w.headers[1] = w.epoch;
	r = p->is_full ? write_all(&w) : om_totals_each_changed(p->totals, write_subject, &w);
	r = r ?: write_head(&w);
	/* What was begun without its end is no round: the next one has everything. */
	p->is_full = r != 0;
	p->is_changed = r != 0;
	return r;
}
