// SPDX-License-Identifier: Apache-2.0
#include "feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "../userspace/base/cleanup.h"
#include "../userspace/core/alert.h"
#include "../userspace/core/assignment.h"
#include "../userspace/core/checkpoint.h"
#include "../userspace/core/process_record.h"

#define WINDOW 4096 /* events under way at once */
/* Of them records of processes: a far side that has no place for them (a topic that nobody has made yet) is
 * no reason to keep readings waiting. */
#define PROCESSES_AT_ONCE 512

#define ASK_AGAIN_MS 10000
/* Registers of days that are still open are said again so often, and at each start: what somebody wrote over
 * one of them, or deleted, is healed by the node that knows it. */
#define SAY_AGAIN_MS (6 * 3600000ULL)
#define OPEN_DAYS 2

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct flight {
	enum om_entry_kind kind; /* 0: a heartbeat, nothing to acknowledge */
	struct om_register_key key;
	uint64_t sequence;
	uint32_t next_free;
};

struct om_feed {
	struct om_ledger *ledger;
	struct om_exporter *exporter;
	char name[32], source[64];
	int outbox;
	struct flight flight[WINDOW];
	uint32_t free_head; /* WINDOW: none */
	uint32_t under_way, alerts_under_way, processes_under_way;
	bool lost; /* the exporter gave something back: offer again */
	/* Alerts that waited when this run began, or that the exporter lost, may have been
	 * delivered all the same: they are held back until the far side has said what it has. */
	bool is_unsure[2]; /* of alerts, of cases */
	uint64_t ask_ms;   /* CLOCK_MONOTONIC: not before */
	uint64_t again_ms; /* likewise, of open days */
	uint64_t heartbeats;
	int error; /* of the ledger, within a callback */
};

static bool is_once(enum om_entry_kind kind)
{
	return kind == OM_ENTRY_ALERT || kind == OM_ENTRY_CASE;
}

static uint32_t take_off(struct om_feed *f)
{
	uint32_t i = f->free_head;

	f->free_head = f->flight[i].next_free;
	f->under_way++;
	return i;
}

static void land(struct om_feed *f, uint32_t i)
{
	f->flight[i].next_free = f->free_head;
	f->free_head = i;
	f->under_way--;
	f->alerts_under_way -= is_once(f->flight[i].kind);
	f->processes_under_way -= f->flight[i].kind == OM_ENTRY_PROCESS;
}

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	struct om_feed *f = ctx;
	struct flight *fl = &f->flight[cookie];
	int r = 0;

	if (fl->kind && err) {
		f->lost = true;
		/* Lost to us, perhaps not to the far side. */
		if (is_once(fl->kind) && f->exporter->ops->published)
			f->is_unsure[fl->kind == OM_ENTRY_CASE] = true;
	} else if (fl->kind)
		r = om_ledger_ack(f->ledger, f->outbox, fl->kind, &fl->key, fl->sequence);
	if (r && !f->error)
		f->error = r;
	land(f, (uint32_t)cookie);
}

int om_feed_new(struct om_ledger *l, const char *name, struct om_exporter *e, struct om_feed **ret)
{
	struct om_feed *f = calloc(1, sizeof(*f));
	char id[OM_ID_STRLEN];
	int r;

	if (!f)
		return -ENOMEM;
	f->ledger = l;
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->source, sizeof(f->source), "/opmeter/%s", om_id_format(om_ledger_id(l), id));
	for (uint32_t i = 0; i < WINDOW; i++)
		f->flight[i].next_free = i + 1;
	r = om_ledger_exporter(l, name, &f->outbox);
	if (r) {
		free(f);
		return r;
	}
	f->exporter = e;
	f->is_unsure[0] = f->is_unsure[1] = e->ops->published != NULL;
	e->acked = on_acked;
	e->acked_ctx = f;
	*ret = f;
	return 0;
}

struct om_feed *om_feed_free(struct om_feed *f)
{
	if (!f)
		return NULL;
	f->exporter->ops->free(f->exporter);
	free(f);
	return NULL;
}

/* Alerts and cases that wait, by their id. */
struct waiting {
	struct item {
		enum om_entry_kind kind;
		uint64_t sequence;
		char id[OM_ID_STRLEN];
		bool delivered;
	} * items;
	size_t count, room;
	int error;
};

static int collect(void *ctx, const struct om_outbox_item *item)
{
	struct waiting *w = ctx;
	_cleanup_(json_decrefp) json_t *o = NULL;
	const char *id;

	if (item->kind == OM_ENTRY_READINGS)
		return 1;
	if (!is_once(item->kind))
		return 0;
	o = json_loadb(item->payload, item->len, 0, NULL);
	id = json_string_value(json_object_get(o, "id"));
	if (!id)
		return 0;
	if (w->count == w->room) {
		struct item *more = reallocarray(w->items, w->room ? 2 * w->room : 16, sizeof(*more));

		if (!more)
			return w->error = -ENOMEM;
		w->items = more;
		w->room = w->room ? 2 * w->room : 16;
	}
	w->items[w->count] = (struct item){ .kind = item->kind, .sequence = item->sequence };
	snprintf(w->items[w->count++].id, OM_ID_STRLEN, "%s", id);
	return 0;
}

static void on_published(void *ctx, const void *key, size_t len)
{
	struct waiting *w = ctx;

	for (size_t i = 0; i < w->count; i++)
		if (len == strlen(w->items[i].id) && !memcmp(w->items[i].id, key, len))
			w->items[i].delivered = true;
}

static int list_waiting(struct om_feed *f, struct waiting *w)
{
	int r;

	/* What was held back counts as handed out. Readings under way are offered once more: harmless. */
	om_ledger_unsend(f->ledger, f->outbox);
	r = om_ledger_outbox(f->ledger, f->outbox, SIZE_MAX >> 1, collect, w);
	om_ledger_unsend(f->ledger, f->outbox);
	return r < 0 ? r : w->error;
}

/* What the far side has already is acknowledged; then those of its kind may go. */
static int settle_kind(struct om_feed *f, struct waiting *w, bool cases)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < w->count; i++)
		n += (w->items[i].kind == OM_ENTRY_CASE) == cases;
	if (n)
		r = f->exporter->ops->published(f->exporter, cases, on_published, w);
	for (size_t i = 0; r == 0 && i < w->count; i++)
		if (w->items[i].delivered && (w->items[i].kind == OM_ENTRY_CASE) == cases)
			r = om_ledger_ack(f->ledger, f->outbox, w->items[i].kind, NULL, w->items[i].sequence);
	f->is_unsure[cases] = r != 0;
	return r;
}

static int settle(struct om_feed *f)
{
	struct waiting w = { .count = 0 };
	int r = list_waiting(f, &w);

	for (int cases = 0; cases < 2; cases++)
		if (f->is_unsure[cases] && !w.error)
			r = settle_kind(f, &w, cases) ?: r;
	free(w.items);
	return r;
}

static int send_event(struct om_feed *f, struct om_event *ev, enum om_entry_kind kind,
		      const struct om_register_key *key, uint64_t sequence)
{
	uint32_t i;
	int r;

	/* The last place is for a sign of life: a node with a backlog is not silent. */
	if (f->free_head == WINDOW || (kind && f->under_way >= WINDOW - 1))
		return 1;
	i = take_off(f);
	f->flight[i].kind = kind;
	f->alerts_under_way += is_once(kind);
	f->processes_under_way += kind == OM_ENTRY_PROCESS;
	f->flight[i].sequence = sequence;
	if (key)
		f->flight[i].key = *key;
	ev->cookie = i;
	r = f->exporter->ops->send(f->exporter, ev);
	if (r)
		land(f, i);
	return r;
}

static int send_reading(struct om_feed *f, const struct om_outbox_item *item)
{
	uint8_t key[OM_REGISTER_KEY_SIZE], value[OM_READING_SIZE];
	char id[20 + 1 + 48 + 1];
	struct om_event ev = {
		.topic = OM_TOPIC_READINGS,
		.key = key,
		.key_len = sizeof(key),
		.value = value,
		.value_len = sizeof(value),
		.ce_type = "opmeter.reading.v1",
		.ce_source = f->source,
		.ce_id = id,
		.time_ns = item->time_ns,
	};
	int n;

	om_register_key_encode(&item->reading.key, key);
	om_reading_encode(&item->reading, value);
	n = snprintf(id, sizeof(id), "%llu-", (unsigned long long)item->reading.sequence);
	for (int i = 16; i < OM_REGISTER_KEY_SIZE; i++)
		n += snprintf(id + n, sizeof(id) - (size_t)n, "%02x", key[i]);
	return send_event(f, &ev, OM_ENTRY_READINGS, &item->reading.key, item->sequence);
}

/* An alert's topic follows from its type and the mode of its regime. */
static enum om_topic topic_of(const json_t *event)
{
	const char *mode = json_string_value(json_object_get(json_object_get(event, "data"), "mode"));

	return mode && !strcmp(mode, "shadow") ? OM_TOPIC_ALERTS_SHADOW : OM_TOPIC_ALERTS;
}

/* A CloudEvent in structured mode; malloc'ed. NULL: out of memory. */
static char *event_of(const struct om_feed *f, const struct om_outbox_item *item, const char *what,
		      json_t *data)
{
	_cleanup_(json_decrefp) json_t *event = NULL;
	char time[OM_TIME_STRLEN], id[64], type[64];

	snprintf(id, sizeof(id), "%s-%llu", what, (unsigned long long)item->sequence);
	snprintf(type, sizeof(type), "opmeter.%s.v1", what);
	event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:O}", "specversion", "1.0", "id", id, "source",
			  f->source, "type", type, "time", om_time_format(item->time_ns, time),
			  "datacontenttype", "application/json", "data", data);
	return event ? json_dumps(event, JSON_COMPACT) : NULL;
}

static int send_assignment(struct om_feed *f, const struct om_outbox_item *item, json_t *o)
{
	char key[224], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN];
	struct om_assignment a;
	int r;
	_cleanup_free_ char *text = NULL;
	struct om_event ev = { .topic = OM_TOPIC_ASSIGNMENTS, .key = key, .time_ns = item->time_ns };

	r = om_assignment_decode(item->payload, item->len, &a);
	if (r)
		return r;
	/* What compaction may forget is only what a later `at` replaced: the key has the date. */
	ev.key_len = (size_t)snprintf(key, sizeof(key), "%s/%s/%s/%llu/%s", om_id_format(&a.ledger, ledger),
				      om_id_format(&a.job, job), om_assignment_kind_name(a.kind),
				      (unsigned long long)a.from_ns, a.person[0] ? "person" : "rule");
	text = event_of(f, item, "assignment", o);
	if (!text)
		return -ENOMEM;
	ev.value = text;
	ev.value_len = strlen(text);
	return send_event(f, &ev, item->kind, NULL, item->sequence);
}

static int send_process(struct om_feed *f, const struct om_outbox_item *item, json_t *o)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p));
	_cleanup_free_ char *text = NULL;
	char key[PROCESS_KEY_STRLEN];
	struct om_event ev = { .topic = OM_TOPIC_PROCESSES, .time_ns = item->time_ns };
	int r = p ? process_record_decode(item->payload, item->len, p) : -ENOMEM;

	if (r)
		return r;
	text = event_of(f, item, "process", o);
	if (!text)
		return -ENOMEM;
	ev.key = process_record_key(p, key);
	ev.key_len = strlen(key);
	ev.value = text;
	ev.value_len = strlen(text);
	return send_event(f, &ev, item->kind, NULL, item->sequence);
}

static int send_checkpoint(struct om_feed *f, const struct om_outbox_item *item)
{
	_cleanup_free_ char *origin = NULL;
	_cleanup_free_ char *note = om_checkpoint_of_act(item->payload, item->len, &origin);
	_cleanup_free_ char *text = note ? om_checkpoint_event(note, f->source, item->time_ns) : NULL;
	struct om_event ev = { .topic = OM_TOPIC_CHECKPOINTS, .key = origin, .time_ns = item->time_ns };

	if (!text)
		return -EBADMSG;
	ev.key_len = strlen(origin);
	ev.value = text;
	ev.value_len = strlen(text);
	return send_event(f, &ev, item->kind, NULL, item->sequence);
}

static int send_entry(struct om_feed *f, const struct om_outbox_item *item)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(item->payload, item->len, 0, NULL);
	struct om_event ev = { .value = item->payload, .value_len = item->len, .time_ns = item->time_ns };

	if (!json_is_object(o))
		return -EBADMSG;
	if (item->kind == OM_ENTRY_ASSIGNMENT)
		return send_assignment(f, item, o);
	if (item->kind == OM_ENTRY_PROCESS)
		return send_process(f, item, o);
	if (item->kind == OM_ENTRY_ACT)
		return send_checkpoint(f, item);
	ev.topic = item->kind == OM_ENTRY_CASE ? OM_TOPIC_CASES : topic_of(o);
	ev.key = json_string_value(json_object_get(o, "id"));
	ev.key_len = ev.key ? strlen(ev.key) : 0;
	return send_event(f, &ev, item->kind, NULL, item->sequence);
}

static int offer(void *ctx, const struct om_outbox_item *item)
{
	struct om_feed *f = ctx;
	int r;

	if (is_once(item->kind) && f->is_unsure[item->kind == OM_ENTRY_CASE])
		return 0; /* held back, and what stands behind it goes on */
	if (item->kind == OM_ENTRY_PROCESS && f->processes_under_way == PROCESSES_AT_ONCE) {
		f->lost = true; /* passed over, to be offered again */
		return 0;
	}
	r = item->kind == OM_ENTRY_READINGS ? send_reading(f, item) : send_entry(f, item);
	if (r < 0 && !f->error)
		f->error = r;
	return r;
}

static int say_again(struct om_feed *f)
{
	uint32_t today = (uint32_t)(time(NULL) / 86400);
	uint64_t n;

	if (!f->exporter->ops->keeps_last || now_ms() < f->again_ms)
		return 0;
	f->again_ms = now_ms() + SAY_AGAIN_MS;
	return om_ledger_owe_again(f->ledger, f->outbox, today - OPEN_DAYS, &n);
}

int om_feed_step(struct om_feed *f, int timeout_ms)
{
	int r = say_again(f);

	if (r)
		return r;
	f->error = 0;
	if ((f->is_unsure[0] || f->is_unsure[1]) && f->alerts_under_way == 0 && now_ms() >= f->ask_ms &&
	    settle(f))
		f->ask_ms = now_ms() + ASK_AGAIN_MS;
	if (f->lost && f->under_way == 0) {
		om_ledger_unsend(f->ledger, f->outbox);
		f->lost = false;
	}
	r = om_ledger_outbox(f->ledger, f->outbox, WINDOW, offer, f);
	if (r < 0)
		return r;
	if (f->under_way == 0)
		return f->error;
	r = om_ledger_ack_begin(f->ledger);
	if (r)
		return r;
	f->exporter->ops->poll(f->exporter, timeout_ms);
	r = om_ledger_ack_end(f->ledger);
	return r ?: f->error;
}

int om_feed_drain(struct om_feed *f, int timeout_ms)
{
	uint64_t end = now_ms() + (uint64_t)timeout_ms, backlog = 1;

	while (now_ms() < end) {
		if (om_feed_step(f, 20) < 0 || om_ledger_backlog(f->ledger, f->outbox, &backlog))
			return 1;
		if (backlog == 0 && f->under_way == 0)
			return 0;
	}
	return 1;
}

static void add_number(json_t *o, const char *name, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	json_object_set_new(o, name, json_string(text));
}

/* docs/formats.md, "Alerts": opmeter.heartbeat.v1. */
static char *beat_data(struct om_feed *f, const struct om_heartbeat *b)
{
	_cleanup_(json_decrefp) json_t *o =
		json_pack("{s:I}", "interval_s", (json_int_t)(b->interval_ns / 1000000000));
	json_t *tenants = json_array();
	struct om_feed_totals t;

	om_feed_totals(f, &t);
	add_number(o, "sequence", f->heartbeats++);
	add_number(o, "registers", b->registers);
	add_number(o, "backlog", t.backlog);
	add_number(o, "peak_ops_per_s", b->peak_ops_per_s);
	for (size_t i = 0; i < b->tenant_count; i++)
		json_array_append_new(tenants, json_string(b->tenants[i]));
	json_object_set_new(o, "tenants", tenants);
	if (b->has_more_tenants)
		json_object_set_new(o, "tenants_more", json_true());
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

int om_feed_heartbeat(struct om_feed *f, const struct om_heartbeat *b)
{
	struct alert a = {
		.type = ALERT_HEARTBEAT, .source = f->source, .subject = "node", .time_ns = b->now_ns
	};
	struct om_event ev = { .topic = OM_TOPIC_ALERTS, .time_ns = b->now_ns };
	_cleanup_free_ char *text = NULL, *data = beat_data(f, b);
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)b->now_ns);
	alert_make_id(ALERT_HEARTBEAT, f->source, "", "", "node", number, &a.id);
	a.data = data;
	text = data ? alert_encode(&a) : NULL;
	if (!text)
		return -ENOMEM;
	ev.key = f->source; /* one key: the last sign of life is what counts */
	ev.key_len = strlen(f->source);
	ev.value = text;
	ev.value_len = strlen(text);
	return send_event(f, &ev, 0, NULL, 0);
}

void om_feed_totals(struct om_feed *f, struct om_feed_totals *ret)
{
	*ret = (struct om_feed_totals){
		.name = f->name,
		.sent = f->exporter->sent_total,
		.acked = f->exporter->acked_total,
		.failed = f->exporter->failed_total,
	};
	om_ledger_backlog(f->ledger, f->outbox, &ret->backlog);
}
