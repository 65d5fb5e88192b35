// SPDX-License-Identifier: Apache-2.0
/*
 * The totals and alerts topics, followed by hand from their beginnings: no group, no
 * offset, nothing written. Totals go through the judge's own view of them; when it is whole
 * and changed a snapshot is made, at most so often that it takes a tenth of the time.
 */
#include "api_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../../exporters/kafka_ended.h"

#define FETCH_WAIT_MS 500
#define BATCH 20000
#define SECOND_NS 1000000000ULL
#define SNAPSHOT_NS (SECOND_NS / 5)
#define GROUP_NS (10 * SECOND_NS)
#define GROUP_MS 8000
#define CONTACT_MAX_NS (30 * SECOND_NS)
#define SILENCE_NS (15 * SECOND_NS) /* what silent nodes can have done grows: told anew after that */

static const enum om_topic topics[FOLLOWED_END] = { [FOLLOWED_TOTALS] = OM_TOPIC_TOTALS,
						    [FOLLOWED_ALERTS] = OM_TOPIC_ALERTS,
						    [FOLLOWED_SHADOW] = OM_TOPIC_ALERTS_SHADOW };

struct follow {
	const struct api_config *config;
	struct api_alerts *alerts;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_queue_t *answers; /* about the group */
	struct view *view;
	int64_t *head_offset;
	int64_t *position[FOLLOWED_END]; /* the next offset of each partition */
	uint32_t partitions[FOLLOWED_END];
	struct key_map nodes;
	uint64_t started_ns, next_ns, second_ns, group_ns; /* CLOCK_MONOTONIC */
	uint64_t contact_ns;				   /* CLOCK_REALTIME of the broker's last word */
	uint64_t records, strange;
	uint32_t unread;
	/* What the snapshot says of silent nodes is of then; how many there were; whether that is no more so.
	 */
	uint64_t silence_ns, silent;
	bool is_silence_due;
	bool asked_group;
	int error;
	pthread_mutex_t lock; /* of what follows */
	struct snapshot *snapshot;
	struct follow_state state;
};

struct follow *follow_free(struct follow *f)
{
	if (!f)
		return NULL;
	if (f->answers)
		rd_kafka_queue_destroy(f->answers);
	if (f->rk)
		rd_kafka_destroy_flags(f->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	if (f->list)
		rd_kafka_topic_partition_list_destroy(f->list);
	view_free(f->view);
	for (int t = 0; t < FOLLOWED_END; t++)
		free(f->position[t]);
	free(f->head_offset);
	nodes_done(&f->nodes);
	snapshot_unref(f->snapshot);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

int api_consumer(const struct api_config *config, int wait_ms, rd_kafka_t **ret, struct error_text *err)
{
	struct om_kafka_config kafka = { config->brokers, config->kafka_config };
	char wait[16];
	const char *const settings[][2] = { { "fetch.wait.max.ms", wait } };

	snprintf(wait, sizeof(wait), "%d", wait_ms);
	*ret = intake_reader(&kafka, config->name, NULL, settings, ARRAY_SIZE(settings), err);
	return *ret ? 0 : -EINVAL;
}

static int add_topic(struct follow *f, enum followed t, struct error_text *err)
{
	/* What it asks of the aggregator's state is nothing: the handle and the names are enough. */
	int r = intake_partitions(NULL, f->rk, topics[t], &f->partitions[t], err);

	if (r)
		return r;
	f->position[t] = calloc(f->partitions[t], sizeof(*f->position[t]));
	if (!f->position[t])
		return -ENOMEM;
	for (uint32_t i = 0; i < f->partitions[t]; i++)
		rd_kafka_topic_partition_list_add(f->list, om_topic_name(topics[t]), (int32_t)i)->offset =
			RD_KAFKA_OFFSET_BEGINNING;
	f->unread += f->partitions[t];
	return 0;
}

int follow_open(const struct api_config *config, struct api_alerts *alerts, struct follow **ret,
		struct error_text *err)
{
	_cleanup_(follow_freep) struct follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->config = config;
	f->alerts = alerts;
	f->started_ns = fleet_now_ns(CLOCK_MONOTONIC);
	pthread_mutex_init(&f->lock, NULL);
	r = api_consumer(config, FETCH_WAIT_MS, &f->rk, err);
	if (r)
		return r;
	f->answers = rd_kafka_queue_new(f->rk);
	f->list = rd_kafka_topic_partition_list_new(64);
	for (int t = 0; r == 0 && t < (alerts ? FOLLOWED_END : FOLLOWED_ALERTS + 1); t++)
		r = add_topic(f, (enum followed)t, err);
	if (r)
		return r;
	f->view = view_new(config->name, f->partitions[FOLLOWED_TOTALS]);
	f->head_offset = calloc(f->partitions[FOLLOWED_TOTALS], sizeof(*f->head_offset));
	if (!f->view || !f->head_offset)
		return -ENOMEM;
	if (rd_kafka_assign(f->rk, f->list))
		return error_set(err, -EIO, "kafka: the totals cannot be read");
	*ret = TAKE_PTR(f);
	return 0;
}

static bool is_same_round(const struct view_head *a, const struct view_head *b)
{
	return epoch_compare(a->epoch, b->epoch) == 0 && a->round == b->round;
}

static void take_total(struct follow *f, const rd_kafka_message_t *m)
{
	struct view_record record = { m->key, m->payload,  m->key_len,
				      m->len, epoch_of(m), (uint32_t)m->partition };
	struct view_head before = *view_head(f->view, record.partition);
	int r = view_take(f->view, &record);

	if (r < 0)
		f->error = r;
	if (!is_same_round(&before, view_head(f->view, record.partition)))
		f->head_offset[record.partition] = m->offset;
}

static void take_event(struct follow *f, const rd_kafka_message_t *m, bool is_shadow)
{
	_cleanup_(json_decrefp) json_t *o =
		m->payload ? json_loadb(m->payload, m->len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *type = json_string_value(json_object_get(o, "type"));
	int r;

	if (!type || strcmp(type, alert_type_name(ALERT_HEARTBEAT))) {
		r = o && f->alerts ? api_alerts_take(f->alerts, o, is_shadow) : 1;
	} else {
		r = nodes_hear(&f->nodes, m, o, !f->unread);
		f->strange += r == 1;
	}
	if (r < 0)
		f->error = r;
}

static enum followed followed_of(const rd_kafka_message_t *m)
{
	const char *name = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
	int t = 0;

	while (t < FOLLOWED_END && strcmp(name, om_topic_name(topics[t])))
		t++;
	return (enum followed)t;
}

static void say(struct follow *f, const char *why)
{
	pthread_mutex_lock(&f->lock);
	snprintf(f->state.reason, sizeof(f->state.reason), "%s", why);
	pthread_mutex_unlock(&f->lock);
}

static void take_error(struct follow *f, const rd_kafka_message_t *m)
{
	char why[200];

	snprintf(why, sizeof(why), "kafka: %s", rd_kafka_message_errstr(m));
	say(f, why);
	log_warn("%s", why);
	if (m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
	    m->err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
		f->error = -EACCES;
}

static void take(struct follow *f, const rd_kafka_message_t *m)
{
	enum followed t = followed_of(m);

	if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		take_error(f, m);
		return;
	}
	f->contact_ns = fleet_now_ns(CLOCK_REALTIME);
	if (t == FOLLOWED_END || m->partition < 0 || m->partition >= (int32_t)f->partitions[t])
		return;
	if (m->err) {
		f->position[t][m->partition] = m->offset;
		if (om_kafka_ended(f->list, om_topic_name(topics[t]), m->partition))
			f->unread--;
		return;
	}
	f->position[t][m->partition] = m->offset + 1;
	f->records++;
	if (t == FOLLOWED_TOTALS)
		take_total(f, m);
	else
		take_event(f, m, t == FOLLOWED_SHADOW);
}

static uint32_t unwhole(const struct follow *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->partitions[FOLLOWED_TOTALS]; i++)
		n += !view_head(f->view, i)->is_whole;
	return n;
}

/* Why there are no figures yet, for whoever asks for them. */
static void say_what_is_missing(struct follow *f)
{
	uint32_t missing = unwhole(f);
	char why[200];

	if (f->unread)
		snprintf(why, sizeof(why), "%" PRIu32 " partitions are not yet read to their ends",
			 f->unread);
	else
		snprintf(why, sizeof(why),
			 "%" PRIu32 " of %" PRIu32
			 " partitions have no whole totals: no aggregator of fleet %.60s "
			 "has published them",
			 missing, f->partitions[FOLLOWED_TOTALS], f->config->name);
	say(f, missing || f->unread ? why : "");
}

static int renew(struct follow *f)
{
	uint64_t before = fleet_now_ns(CLOCK_MONOTONIC), now = fleet_now_ns(CLOCK_REALTIME), took;
	struct snapshot *s = NULL, *old;
	int r;

	if (before < f->next_ns || f->unread || !view_is_whole(f->view) ||
	    (!view_is_changed(f->view) && f->snapshot && !f->is_silence_due))
		return 0;
	f->silent = silence_count(&f->nodes, now);
	r = snapshot_make(f->view, f->config->name, f->partitions[FOLLOWED_TOTALS], f->head_offset,
			  silence_new(&f->nodes, now), &s);
	if (r)
		return r;
	f->silence_ns = before;
	f->is_silence_due = false;
	took = fleet_now_ns(CLOCK_MONOTONIC) - before;
	f->next_ns = before + (10 * took > SNAPSHOT_NS ? 10 * took : SNAPSHOT_NS);
	pthread_mutex_lock(&f->lock);
	old = f->snapshot;
	f->snapshot = s;
	if (!f->state.is_ready)
		f->state.ready_after_ns = fleet_now_ns(CLOCK_MONOTONIC) - f->started_ns;
	f->state.is_ready = true;
	f->state.records = f->records;
	f->state.reason[0] = '\0';
	pthread_mutex_unlock(&f->lock);
	snapshot_unref(old);
	return 0;
}

static uint64_t lag_of(struct follow *f, enum followed t)
{
	uint64_t lag = 0;

	for (uint32_t i = 0; i < f->partitions[t]; i++) {
		int64_t low, high;

		if (rd_kafka_get_watermark_offsets(f->rk, om_topic_name(topics[t]), (int32_t)i, &low,
						   &high) ||
		    high < 0)
			continue;
		lag += high > f->position[t][i] ? (uint64_t)(high - f->position[t][i]) : 0;
	}
	return lag;
}

/* The totals topic's first partition is asked for its end: an idle topic sends nothing, and that is not to be
 * taken for a broker that is gone. */
static void look_for_broker(struct follow *f)
{
	uint64_t now = fleet_now_ns(CLOCK_REALTIME);
	int64_t low, high;

	if (now - f->contact_ns < 5 * SECOND_NS)
		return;
	if (rd_kafka_query_watermark_offsets(f->rk, om_topic_name(OM_TOPIC_TOTALS), 0, &low, &high, 500) == 0)
		f->contact_ns = now;
	else if (now - f->contact_ns > CONTACT_MAX_NS)
		say(f, "the broker does not answer: these figures are of an earlier time");
}

static void look_at_state(struct follow *f)
{
	uint64_t lag[FOLLOWED_END] = { 0 }, silent = 0;

	if (!f->unread)
		silent = silence_count(&f->nodes, fleet_now_ns(CLOCK_REALTIME));
	/* While the broker is silent nobody can be heard. */
	if (fleet_now_ns(CLOCK_REALTIME) - f->contact_ns < CONTACT_MAX_NS)
		f->is_silence_due |= silent != f->silent ||
				     (silent && fleet_now_ns(CLOCK_MONOTONIC) - f->silence_ns >= SILENCE_NS);
	for (int t = 0; t < FOLLOWED_END; t++)
		lag[t] = lag_of(f, (enum followed)t);
	pthread_mutex_lock(&f->lock);
	f->state.partitions = f->partitions[FOLLOWED_TOTALS];
	f->state.unread = f->unread;
	f->state.unwhole = unwhole(f);
	memcpy(f->state.lag, lag, sizeof(lag));
	f->state.nodes = f->nodes.count;
	f->state.nodes_silent = silent;
	f->state.strange = f->strange;
	f->state.records = f->records;
	f->state.contact_ns = f->contact_ns;
	pthread_mutex_unlock(&f->lock);
	if (!f->state.is_ready)
		say_what_is_missing(f);
	look_for_broker(f);
}

static void ask_for_group(struct follow *f)
{
	char name[FLEET_GROUP_STRLEN];
	const char *names[1] = { name };
	char why[256];
	rd_kafka_AdminOptions_t *o =
		rd_kafka_AdminOptions_new(f->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);

	fleet_group_of(f->config->name, name);
	rd_kafka_AdminOptions_set_request_timeout(o, GROUP_MS, why, sizeof(why));
	rd_kafka_DescribeConsumerGroups(f->rk, names, 1, o, f->answers);
	rd_kafka_AdminOptions_destroy(o);
	f->asked_group = true;
}

static void count_owned(const rd_kafka_ConsumerGroupDescription_t *d, struct group_state *g)
{
	const char *readings = om_topic_name(OM_TOPIC_READINGS);

	for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(d); i++) {
		const rd_kafka_MemberDescription_t *m = rd_kafka_ConsumerGroupDescription_member(d, i);
		const rd_kafka_MemberAssignment_t *a = rd_kafka_MemberDescription_assignment(m);
		const rd_kafka_topic_partition_list_t *list =
			a ? rd_kafka_MemberAssignment_partitions(a) : NULL;

		g->instances++;
		for (int k = 0; list && k < list->cnt; k++) {
			if (strcmp(list->elems[k].topic, readings))
				continue;
			g->unowned -= g->unowned > 0;
			g->has_judge |= list->elems[k].partition == 0;
		}
	}
}

static void take_group(struct follow *f, rd_kafka_event_t *ev)
{
	const rd_kafka_DescribeConsumerGroups_result_t *r = rd_kafka_event_DescribeConsumerGroups_result(ev);
	struct group_state g = { .unowned = f->partitions[FOLLOWED_TOTALS] };
	size_t n = 0;
	const rd_kafka_ConsumerGroupDescription_t **d =
		r && !rd_kafka_event_error(ev) ? rd_kafka_DescribeConsumerGroups_result_groups(r, &n) : NULL;

	if (n == 1 && !rd_kafka_error_code(rd_kafka_ConsumerGroupDescription_error(d[0]))) {
		g.is_known = true;
		count_owned(d[0], &g);
	}
	pthread_mutex_lock(&f->lock);
	f->state.group = g;
	pthread_mutex_unlock(&f->lock);
}

static void look_at_group(struct follow *f, uint64_t now)
{
	rd_kafka_event_t *ev = rd_kafka_queue_poll(f->answers, 0);

	if (ev) {
		f->asked_group = false;
		take_group(f, ev);
		rd_kafka_event_destroy(ev);
	}
	if (f->alerts && !f->asked_group && now >= f->group_ns) {
		f->group_ns = now + GROUP_NS;
		ask_for_group(f);
	}
}

int follow_step(struct follow *f, int timeout_ms)
{
	uint64_t now;

	for (size_t n = 0; n < BATCH; n++) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(f->rk, n ? 0 : timeout_ms);

		if (!m)
			break;
		take(f, m);
		rd_kafka_message_destroy(m);
	}
	now = fleet_now_ns(CLOCK_MONOTONIC);
	if (!f->error)
		f->error = renew(f);
	if (now >= f->second_ns) {
		f->second_ns = now + SECOND_NS;
		look_at_state(f);
		look_at_group(f, now);
	}
	return f->error;
}

struct snapshot *follow_snapshot(struct follow *f)
{
	struct snapshot *s;

	pthread_mutex_lock(&f->lock);
	s = snapshot_ref(f->snapshot);
	pthread_mutex_unlock(&f->lock);
	return s;
}

void follow_state(struct follow *f, struct follow_state *ret)
{
	pthread_mutex_lock(&f->lock);
	*ret = f->state;
	pthread_mutex_unlock(&f->lock);
}
