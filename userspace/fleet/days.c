// SPDX-License-Identifier: Apache-2.0
/*
 * The days of a partition's subjects onto the totals topic, for those of which the judge
 * asked. Nobody else knows which subject is large enough over all partitions, and most
 * never are: who is not asked sums nothing. What is told is summed anew when a UTC day
 * ended and after anything came that may have been of a day that is over, but for no
 * more than a fiftieth of the time; it is written when it is other than what stands there.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../core/days_record.h"

#define SECOND_NS 1000000000ULL
#define DAY_NS (86400 * SECOND_NS)
#define SUBJECTS_MAX 100000 /* whoever may write here could ask for more than there is room for */
#define SHARE 50	    /* of the time at most one part is spent on sums */

struct told {
	struct key_node node;
	struct om_days ask; /* whose days; owned NULL: nobody asked, the record is somebody's left over */
	char *text;	    /* as it is, or is to be, on the topic; NULL: not summed yet */
	size_t days_max;    /* that fit a record here */
	bool is_there, is_new, is_gone;
};

static void free_told(struct key_node *n)
{
	struct told *s = (struct told *)n;

	om_days_done(&s->ask);
	free(s->text);
	free(s);
}

void days_done(struct part *p)
{
	key_map_done(&p->days.subject, free_told);
}

static struct told *need(struct fleet *f, struct part *p, const char *name, size_t len)
{
	struct told *s = (struct told *)key_map_find(&p->days.subject, name, len);

	if (s || p->days.subject.count >= SUBJECTS_MAX)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s || key_map_add(&p->days.subject, &s->node, name, len)) {
		free(s);
		f->error = -ENOMEM;
		return NULL;
	}
	s->days_max = OM_DAYS_MAX;
	return s;
}

static bool is_its_key(const struct fleet *f, const struct part *p, const struct om_days *ask,
		       const rd_kafka_message_t *m)
{
	char key[OM_TOTAL_KEY_MAX];

	return om_days_key(f->config->name, p->number, OM_DAYS_ASK, &ask->of, key) == 0 &&
	       strlen(key) == m->key_len && memcmp(key, m->key, m->key_len) == 0;
}

static void take_ask(struct fleet *f, struct part *p, const char *name, size_t len,
		     const rd_kafka_message_t *m)
{
	struct told *s = (struct told *)key_map_find(&p->days.subject, name, len);
	struct om_days ask;
	int r;

	if (!m->payload) { /* whoever kept the partition found nothing of that subject */
		if (s)
			om_days_done(&s->ask);
		return;
	}
	r = om_days_decode(m->payload, m->len, OM_DAYS_ASK, &ask);
	if (r == -ENOMEM)
		f->error = r;
	if (r)
		return;
	s = is_its_key(f, p, &ask, m) ? need(f, p, name, len) : NULL;
	if (!s || s->ask.owned) {
		om_days_done(&ask);
		return;
	}
	s->ask = ask;
	p->days.is_due = true;
	p->days.due_ns = 0;
}

bool days_take(struct fleet *f, struct part *p, const char *rest, size_t len, const rd_kafka_message_t *m)
{
	enum om_days_kind kind;
	struct told *s;
	size_t at;

	if (om_days_key_kind(rest, len, &kind, &at))
		return false;
	if (kind == OM_DAYS_ASK) {
		take_ask(f, p, rest + at, len - at, m);
		return true;
	}
	p->is_changed = p->is_full = true;
	s = m->payload ? need(f, p, rest + at, len - at) : NULL;
	if (s && !s->is_there) {
		s->is_there = true;
		p->days.records++;
	}
	return true;
}

static int sum(struct part *p, struct told *s)
{
	_cleanup_free_ struct om_day *day = NULL;
	size_t count;
	char *text;
	int r = om_totals_days(p->totals, &s->ask.of, p->days.before, &day, &count);

	if (r)
		return r;
	text = om_days_encode(&s->ask.of, p->number, day, count, s->days_max);
	if (!text)
		return -ENOMEM;
	s->is_gone = false;
	if (count == 0) { /* not before today, or not at all */
		r = om_totals_days(p->totals, &s->ask.of, UINT32_MAX, &day, &count);
		s->is_gone = count == 0;
	}
	s->is_new |= !s->text || strcmp(s->text, text) != 0;
	free(s->text);
	s->text = text;
	return r;
}

static int sum_one(void *ctx, struct key_node *n)
{
	struct part *p = ctx;
	struct told *s = (struct told *)n;
	int r = s->ask.owned ? sum(p, s) : 0;

	p->days.is_to_write |= s->ask.owned && (s->is_new || s->is_gone);
	return r;
}

bool days_prepare(struct fleet *f, struct part *p)
{
	struct days_told *d = &p->days;
	uint32_t today = (uint32_t)(fleet_now_ns(CLOCK_REALTIME) / DAY_NS);
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	int r;

	if (d->subject.count == 0) {
		d->before = today;
		return false;
	}
	d->is_due |= p->is_changed || p->is_full || d->before != today;
	if (!d->is_due || (now < d->due_ns && !f->config->once))
		return d->is_to_write;
	d->is_due = false;
	/* Its head says so, even if no series became another one. */
	d->is_to_write |= d->before != today;
	d->before = today;
	r = key_map_each(&d->subject, sum_one, p);
	if (r)
		f->error = r;
	d->due_ns = now + SECOND_NS + SHARE * (fleet_now_ns(CLOCK_MONOTONIC) - now);
	return d->is_to_write;
}

struct days_writing {
	struct writing *w;
	bool everything;
};

static int retract(struct writing *w, struct told *s, enum om_days_kind kind)
{
	const struct fleet *f = w->f;
	char key[OM_TOTAL_KEY_MAX];
	size_t n = (size_t)snprintf(key, sizeof(key), "%s/%" PRIu32 "/%s/", f->config->name, w->p->number,
				    kind == OM_DAYS_ASK ? "ask" : "days");

	if (n + s->node.key_len > sizeof(key))
		return 0;
	memcpy(key + n, s->node.key, s->node.key_len);
	return publish_record(w, key, n + s->node.key_len, NULL, 0);
}

/* Nothing of it is here any more, or nobody asks: whoever judges asks again when there is. */
static int let_go(struct writing *w, struct told *s)
{
	int r = s->is_there ? retract(w, s, OM_DAYS_TOLD) : 0;

	if (r == 0 && s->ask.owned)
		r = retract(w, s, OM_DAYS_ASK);
	if (r)
		return r;
	w->p->days.records -= s->is_there;
	key_map_remove(&w->p->days.subject, &s->node);
	free_told(&s->node);
	return 0;
}

/* A broker that takes smaller records only: of fewer days, the earliest together. */
static int write_series(struct writing *w, struct told *s)
{
	char key[OM_TOTAL_KEY_MAX];
	int r = om_days_key(w->f->config->name, w->p->number, OM_DAYS_TOLD, &s->ask.of, key);

	if (r)
		return r;
	r = publish_record(w, key, strlen(key), s->text, 0);
	while (r == -EMSGSIZE && s->days_max > 1) {
		s->days_max /= 2;
		r = sum(w->p, s);
		r = r ?: publish_record(w, key, strlen(key), s->text, 0);
	}
	return r;
}

static int write_one(void *ctx, struct key_node *n)
{
	struct days_writing *d = ctx;
	struct told *s = (struct told *)n;
	int r;

	if ((s->text && s->is_gone) || !s->ask.owned)
		return let_go(d->w, s);
	if (!s->text || !(d->everything || s->is_new))
		return 0;
	r = write_series(d->w, s);
	if (r)
		return r;
	d->w->p->days.records += !s->is_there;
	s->is_there = true;
	s->is_new = false;
	return 0;
}

int days_write(struct writing *w, bool everything)
{
	struct days_writing d = { w, everything };
	int r = key_map_each(&w->p->days.subject, write_one, &d);

	w->p->days.is_to_write &= r != 0;
	return r;
}

static int is_unanswered(void *ctx, struct key_node *n)
{
	const struct told *s = (const struct told *)n;

	return s->ask.owned && (!s->text || s->is_new);
}

bool days_wait(const struct part *p)
{
	/* It only looks at them. */
	return p->days.is_due || key_map_each((struct key_map *)&p->days.subject, is_unanswered, NULL) != 0;
}
