// SPDX-License-Identifier: Apache-2.0
/*
 * The judge: the instance that owns partition 0 of the readings topic. It first
 * fences its predecessor, then reads what was said and all totals to their ends, and
 * only then judges: so every finding is said once, whoever says it.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../../exporters/kafka_ended.h"
#include "../core/total_record.h"

#define BATCH 20000
#define SECOND_NS 1000000000ULL
/* So long after owners were read anew every instance has read them, and its totals tell of their days. */
#define DAYS_TOLD_NS (90 * SECOND_NS)
#define RETRY_NS (2 * SECOND_NS)
#define LOOK_NS (5 * SECOND_NS)
#define REST_NS (SECOND_NS / 20)
#define NEAR_RETRY_NS (60 * SECOND_NS)
#define SAYINGS_AT_ONCE 1000
#define GAP_NS (10 * SECOND_NS) /* who was away for so long does not know who was silent */

/* Of one who goes on, and of one who looks once, when everything was read. */
static const struct duties_pace paces[] = {
	{ .patience_ns = 90 * SECOND_NS, .rest_ns = 10 * SECOND_NS, .restless_ns = 600 * SECOND_NS },
	{ .patience_ns = 10 * SECOND_NS },
};

static const enum om_topic judge_topics[] = { OM_TOPIC_TOTALS, OM_TOPIC_ALERTS, OM_TOPIC_ALERTS_SHADOW,
					      OM_TOPIC_CASES };

struct judge {
	bool speaks, is_open, has_judged;
	uint64_t retry_ns; /* CLOCK_MONOTONIC */
	struct speaker *speaker;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	uint32_t unread; /* partitions that were not yet read to their end */
	struct view *view;
	struct near_watch *near;	  /* NULL: there is no topic for hints, or nobody to say them */
	uint64_t near_ns;		  /* CLOCK_MONOTONIC: none said before */
	struct id_set published, waiting; /* waiting: the ids of sayings */
	struct key_map nodes;
	struct duties *duties;
	struct saying *sayings;
	size_t count, room;
	uint64_t looked_ns; /* CLOCK_MONOTONIC of the last look at what no record brings: silence, dates */
	uint64_t polled_ns, listening_ns; /* CLOCK_MONOTONIC; CLOCK_REALTIME since when without a gap */
	uint64_t rest_ns;		  /* no look before that time has passed since */
	uint64_t said;
	uint64_t strange; /* heartbeats that are no node's, or of more nodes than there is room for */
	uint64_t refused; /* alerts that are too large to be said */
};

void judge_begin(struct fleet *f, bool speaks)
{
	if (f->judge)
		return;
	f->judge = calloc(1, sizeof(*f->judge));
	if (f->judge)
		f->judge->speaks = speaks;
	else
		f->error = -ENOMEM;
}

static void drop_sayings(struct judge *j)
{
	for (size_t i = 0; i < j->count; i++)
		free(j->sayings[i].text);
	j->count = 0;
	id_set_done(&j->waiting);
}

static void judge_close(struct judge *j)
{
	j->speaker = speaker_free(j->speaker);
	if (j->rk)
		rd_kafka_destroy_flags(j->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	j->rk = NULL;
	if (j->list)
		rd_kafka_topic_partition_list_destroy(j->list);
	j->list = NULL;
	j->view = view_free(j->view);
	j->near = near_watch_free(j->near);
	id_set_done(&j->published);
	nodes_done(&j->nodes);
	j->duties = duties_free(j->duties);
	drop_sayings(j);
	j->is_open = j->has_judged = false;
}

void judge_end(struct fleet *f)
{
	struct judge *j = f->judge;

	if (!j)
		return;
	judge_close(j);
	heads_end(f);
	jobs_end(f);
	free(j->sayings);
	free(j);
	f->judge = NULL;
}

bool judge_speaks(const struct fleet *f)
{
	return f->judge && f->judge->speaks;
}

/* Of an older fleet, or not allowed: nodes publish as they do otherwise. */
static int near_open(struct fleet *f)
{
	struct judge *j = f->judge;
	struct error_text err = { 0 };
	uint32_t n;
	int r = intake_partitions(f, j->rk, OM_TOPIC_NEAR, &n, &err);

	if (r) {
		log_warn("%s: no node is told that somebody is near a level", err.text);
		return 0;
	}
	j->near = near_watch_new(f->config->name);
	if (!j->near)
		return -ENOMEM;
	rd_kafka_topic_partition_list_add(j->list, om_topic_name(OM_TOPIC_NEAR), 0)->offset =
		RD_KAFKA_OFFSET_BEGINNING;
	j->unread++;
	return 0;
}

static int judge_open(struct fleet *f, struct error_text *err)
{
	struct judge *j = f->judge;
	int r = j->speaks ? speaker_open(f, &j->speaker, err) : 0;

	if (r)
		return r;
	j->rk = intake_consumer(f, err);
	j->view = view_new(f->config->name, f->partitions);
	j->duties = duties_new(f->partitions, &paces[f->config->once]);
	if (!j->rk || !j->view || !j->duties)
		return -EIO;
	j->list = rd_kafka_topic_partition_list_new(64);
	j->unread = 0;
	for (size_t t = 0; r == 0 && t < ARRAY_SIZE(judge_topics); t++) {
		uint32_t n = 0;

		r = intake_partitions(f, j->rk, judge_topics[t], &n, err);
		for (uint32_t i = 0; r == 0 && i < n; i++)
			rd_kafka_topic_partition_list_add(j->list, om_topic_name(judge_topics[t]), (int32_t)i)
				->offset = RD_KAFKA_OFFSET_BEGINNING;
		j->unread += n;
	}
	if (r == 0 && j->speaks && !f->config->once) /* who stays takes back what he said */
		r = near_open(f);
	if (r == 0 && rd_kafka_assign(j->rk, j->list))
		r = error_set(err, -EIO, "kafka: the alerts and totals cannot be read");
	j->is_open = r == 0;
	return r;
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name)) ?: "";
}

static void take_heartbeat(struct fleet *f, const rd_kafka_message_t *m, const json_t *event)
{
	struct judge *j = f->judge;
	int r = nodes_hear(&j->nodes, m, event, !j->unread);

	if (r < 0)
		f->error = r;
	else if (r && j->strange++ == 0)
		log_warn("kafka: a heartbeat of no node, or of one too many, is ignored; further ones are "
			 "counted only");
}

/* An id is known to everybody, so a record that has it keeps nobody from saying what it stands for, unless it
 * is just that: under its id as key, by this fleet, and of the facts that make the id. */
static bool is_what_it_says(const struct fleet *f, const rd_kafka_message_t *m, const json_t *o,
			    struct om_id *ret)
{
	const json_t *data = json_object_get(o, "data");
	const char *id = text_of(o, "id");
	enum alert_type type;
	struct om_id made;

	if (om_id_parse(id, ret) || m->key_len != strlen(id) || memcmp(m->key, id, m->key_len) != 0 ||
	    strcmp(text_of(o, "source"), f->source) != 0 || alert_type_parse(text_of(o, "type"), &type))
		return false;
	alert_make_id(type, f->source, text_of(data, "regime"), text_of(data, "version"),
		      text_of(o, "subject"), text_of(data, "occasion"), &made);
	return om_id_equal(&made, ret);
}

static void take_said(struct fleet *f, const rd_kafka_message_t *m)
{
	_cleanup_(json_decrefp) json_t *o = m->payload ? json_loadb(m->payload, m->len, 0, NULL) : NULL;
	struct om_id id;
	int r;

	if (!strcmp(text_of(o, "type"), alert_type_name(ALERT_HEARTBEAT))) {
		take_heartbeat(f, m, o);
		return;
	}
	if (!is_what_it_says(f, m, o, &id))
		return; /* whatever else stands there was said by nobody of us */
	r = id_set_add(&f->judge->published, &id);
	if (r < 0)
		f->error = r;
}

static void take(struct fleet *f, const rd_kafka_message_t *m)
{
	struct judge *j = f->judge;
	int r;

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		if (m->rkt && om_kafka_ended(j->list, rd_kafka_topic_name(m->rkt), m->partition))
			j->unread--;
	} else if (m->err) {
		intake_error(f, m);
	} else if (!strcmp(rd_kafka_topic_name(m->rkt), om_topic_name(OM_TOPIC_TOTALS))) {
		struct view_record record = { m->key, m->payload,  m->key_len,
					      m->len, epoch_of(m), (uint32_t)m->partition };

		r = view_take(j->view, &record);
		if (r < 0)
			f->error = r;
	} else if (!strcmp(rd_kafka_topic_name(m->rkt), om_topic_name(OM_TOPIC_NEAR))) {
		r = j->near ? near_watch_take(j->near, m) : 0;
		if (r < 0)
			f->error = r;
	} else {
		take_said(f, m);
	}
}

size_t judge_poll(struct fleet *f)
{
	struct judge *j = f->judge;
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	size_t n = 0;

	if (!j)
		return 0;
	if (!j->is_open) {
		struct error_text err = { 0 };

		if (now < j->retry_ns)
			return 0;
		if (judge_open(f, &err)) {
			log_warn("%s: alerts wait", err.text[0] ? err.text : "the judge cannot begin");
			judge_close(j);
			j->retry_ns = now + RETRY_NS;
			return 0;
		}
	}
	if (now - j->polled_ns > GAP_NS)
		j->listening_ns = fleet_now_ns(CLOCK_REALTIME);
	j->polled_ns = now;
	n = heads_poll(f) + jobs_poll(f);
	while (n < BATCH) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(j->rk, 0);

		if (!m)
			break;
		take(f, m);
		rd_kafka_message_destroy(m);
		n++;
	}
	return n;
}

/* What is published, or waits for that: not made again. */
static bool is_said(void *ctx, const struct om_id *id)
{
	const struct judge *j = ctx;

	return id_set_has(&j->published, id) || id_set_has(&j->waiting, id);
}

static int keep_saying(void *ctx, const struct alert *a)
{
	struct fleet *f = ctx;
	struct judge *j = f->judge;
	struct saying s = { .id = a->id };
	int r;

	if (is_said(j, &a->id))
		return 0;
	if (j->count == j->room) {
		size_t room = j->room ? 2 * j->room : 32;
		struct saying *more = reallocarray(j->sayings, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		j->sayings = more;
		j->room = room;
	}
	r = id_set_add(&j->waiting, &a->id);
	if (r < 0)
		return r;
	s.text = alert_encode(a);
	if (!s.text)
		return -ENOMEM;
	s.topic = a->type == ALERT_CASE ? OM_TOPIC_CASES
		  : a->shadow		? OM_TOPIC_ALERTS_SHADOW
					: OM_TOPIC_ALERTS;
	j->sayings[j->count++] = s;
	return 0;
}

static void show(const struct fleet *f, const struct saying *s)
{
	_cleanup_(json_decrefp) json_t *o = json_loads(s->text, 0, NULL);
	const char *sentence = json_string_value(json_object_get(json_object_get(o, "data"), "sentence"));

	printf("%s\n", f->config->json || !sentence ? s->text : sentence);
	fflush(stdout);
}

/* Not tried again before the next judge: the others must be said. */
static void refuse(struct judge *j, const struct saying *s)
{
	char id[OM_ID_STRLEN];

	j->refused++;
	log_error("kafka: alert %s of %zu bytes is too large for %s and is not said (%" PRIu64
		  " so far): raise message.max.bytes",
		  om_id_format(&s->id, id), strlen(s->text), om_topic_name(s->topic), j->refused);
}

/* Levels are first among them. Not all at once: a transaction has a time to be done in. */
static int say_some(struct fleet *f, struct saying *sayings, size_t n)
{
	struct judge *j = f->judge;
	int r = speaker_say(j->speaker, sayings, n);

	for (size_t i = 0; i < n; i++) {
		const struct saying *s = &sayings[i];
		int added = r == 0 || s->is_refused ? id_set_add(&j->published, &s->id) : 0;

		if (added < 0)
			f->error = added;
		if (s->is_refused)
			refuse(j, s);
		else if (r == 0)
			show(f, s);
		j->said += r == 0 && !s->is_refused;
	}
	return r;
}

/* Another judge, or a broker that lost us: whoever still owns partition 0 begins anew. */
static void begin_anew(struct fleet *f)
{
	struct judge *j = f->judge;

	log_warn("kafka: the alerts' producer was replaced: reading again what was said");
	judge_close(j);
	jobs_end(f);
	j->retry_ns = fleet_now_ns(CLOCK_MONOTONIC) + RETRY_NS;
}

/* After the alerts, for a hint only hastens the next one. */
static int say_near(struct fleet *f, const struct policy *p)
{
	struct judge *j = f->judge;
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	struct saying *sayings = NULL;
	size_t n = 0;
	int r;

	if (!j->near || now < j->near_ns)
		return 0;
	r = near_watch_look(j->near, j->view, p);
	r = r ?: near_watch_owed(j->near, &sayings, &n);
	if (r == 0 && n)
		r = speaker_say(j->speaker, sayings, n);
	near_watch_said(j->near, r == 0);
	if (r == -ENOMEM)
		return r;
	if (r == -EOWNERDEAD) {
		begin_anew(f);
	} else if (r) {
		log_warn("kafka: %s: not written: nodes publish no sooner near a level; tried again",
			 om_topic_name(OM_TOPIC_NEAR));
		j->near_ns = now + NEAR_RETRY_NS;
	}
	return 0;
}

static int say_all(struct fleet *f)
{
	struct judge *j = f->judge;
	int r = 0;

	for (size_t at = 0; r == 0 && at < j->count; at += SAYINGS_AT_ONCE)
		r = say_some(f, &j->sayings[at],
			     j->count - at < SAYINGS_AT_ONCE ? j->count - at : SAYINGS_AT_ONCE);
	drop_sayings(j);
	if (r == -EOWNERDEAD)
		begin_anew(f);
	return r;
}

/* What was found of jobs over nodes; it is found again where it cannot be said now. */
static int say_jobs(struct fleet *f)
{
	int r = jobs_say(f, f->judge->speaker);

	if (r == -EOWNERDEAD)
		begin_anew(f);
	else if (r && r != -ENOMEM)
		log_warn("kafka: %s: what jobs over nodes are is not written; tried again",
			 om_topic_name(OM_TOPIC_ASSIGNMENTS));
	return r;
}

static bool sees_own_parts(const struct fleet *f)
{
	for (uint32_t i = 0; i < f->partitions; i++) {
		const struct part *p = f->parts[i];
		const struct view_head *h = view_head(f->judge->view, i);

		if (p && (epoch_compare(h->epoch, p->epoch) != 0 || h->round < p->round || p->is_full))
			return false;
	}
	return true;
}

bool judge_has_judged(const struct fleet *f)
{
	const struct judge *j = f->judge;

	return j && j->is_open && j->unread == 0 && view_is_whole(j->view) && sees_own_parts(f) &&
	       ((j->has_judged && !duties_wait(j->duties)) || !j->speaks);
}

int judge_tick(struct fleet *f)
{
	struct judge *j = f->judge;
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	uint64_t took;
	struct findings findings = { .fleet = f, .emit = keep_saying, .ctx = f };
	int r;

	if (!j || !j->speaks || !j->is_open || j->unread || now - j->looked_ns < j->rest_ns ||
	    !view_is_whole(j->view) ||
	    (f->config->once && !(sees_own_parts(f) && heads_are_read(f) && jobs_are_read(f))))
		return 0;
	if (!view_is_changed(j->view) && !f->is_law_changed && now - j->looked_ns <= LOOK_NS)
		return 0;
	j->looked_ns = now;
	duties_begin(j->duties, f->is_law_changed || !j->has_judged);
	f->is_law_changed = false;
	findings.view = j->view;
	findings.nodes = &j->nodes;
	findings.duties = j->duties;
	findings.listening_ns = f->config->once ? 0 : j->listening_ns;
	findings.policy =
		(struct policy){ .regimes = f->law.regimes,
				 .owners = f->law.owners,
				 .declarations = f->law.declarations,
				 .is_live = true,
				 .is_until_due = !f->config->once && now - f->days_ns < DAYS_TOLD_NS,
				 .notice_days = (uint32_t)f->config->notice_days,
				 .source = f->source,
				 .now_ns = fleet_now_ns(CLOCK_REALTIME),
				 .is_known = is_said,
				 .known_ctx = j };
	r = findings_totals(&findings);
	r = r ?: findings_refusals(&findings);
	r = r ?: findings_overclaims(&findings);
	r = r ?: findings_losses(&findings);
	r = r ?: findings_silence(&findings);
	r = r ?: findings_files(&findings);
	r = r ?: findings_untold(&findings);
	r = r ?: findings_heads(&findings);
	r = r ?: jobs_look(f, &findings);
	if (r) {
		drop_sayings(j);
		return r;
	}
	r = say_all(f);
	if (r)
		jobs_leave(f);
	r = r ?: say_jobs(f);
	j->has_judged = r == 0;
	if (r == 0)
		r = say_near(f, &findings.policy);
	if (r == -ENOMEM)
		return r;
	/* As soon as a round is there, for what crosses must be said at once; but reading goes before
	 * judging. */
	took = fleet_now_ns(CLOCK_MONOTONIC) - now;
	j->rest_ns = 4 * took > REST_NS ? 4 * took : REST_NS;
	return 0;
}

static int print_total(void *ctx, const struct om_subject_total *s)
{
	_cleanup_free_ char *text = om_total_encode(s, 0);

	if (!text)
		return -ENOMEM;
	printf("%s\n", text);
	return 0;
}

int judge_print(struct fleet *f)
{
	int r = view_each(f->judge->view, OM_GROUP_MODEL, print_total, NULL);

	r = r ?: view_each(f->judge->view, OM_GROUP_LINEAGE, print_total, NULL);
	fflush(stdout);
	return r;
}
