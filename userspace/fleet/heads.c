// SPDX-License-Identifier: Apache-2.0
/*
 * The signed heads of the nodes' logs, as they come on the checkpoints topic, compared by the judge
 * (core/log_heads.h). It has a reader of its own: years of heads must not keep it from judging. A log's heads
 * are in one partition, that of its origin, so whoever reads them sees them in one order and finds the same.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../exporters/kafka_ended.h"
#include "../../exporters/topic.h"
#include "../base/yaml.h"
#include "../core/file_io.h"
#include "../core/log_heads.h"

#define KEYS_SIZE_MAX (64 << 20)
#define CONNECT_MS 10000
#define RETRY_NS UINT64_C(10000000000)
#define TURN_NS UINT64_C(20000000) /* of reading, before anything else has its turn */
#define DAY_NS UINT64_C(86400000000000)

/* Records that are of no log's: what a person is told of each day. */
enum strange { STRANGE_DAMAGED, STRANGE_FORGED, STRANGE_NO_KEY, STRANGE_MISPLACED, STRANGE_END };
static const struct {
	const char *cause, *what, *todo;
} stranges[STRANGE_END] = {
	[STRANGE_DAMAGED] = { "checkpoint-damaged", "are no signed heads under their origin's key",
			      "find out who else may write to the topic; such records hide nothing" },
	[STRANGE_FORGED] = { "checkpoint-forged", "have a signature that the log's key did not make",
			     "find out who may write to the topic: somebody speaks in a log's name" },
	[STRANGE_NO_KEY] = { "checkpoint-unknown-key", "are signed by no key that was given for their origin",
			     "add the node's new public key to the file of --log-keys; if the node has no "
			     "such "
			     "key, somebody else made them" },
	[STRANGE_MISPLACED] = { "checkpoint-misplaced",
				"are not in the partition of their key, and not compared",
				"find out who may write to the topic, or whether its partitions were "
				"changed" },
};

struct strange_count {
	uint64_t count, last_ns; /* last_ns: the latest of their times, none of them to come */
	char first[64];		 /* partition/offset */
};

struct heads {
	struct om_log_heads *logs;
	struct reload keys;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	uint32_t partitions, unread;
	uint64_t retry_ns; /* CLOCK_MONOTONIC */
	struct strange_count strange[STRANGE_END];
};

static int read_keys(const char *path, struct om_log_heads **ret, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	struct error_text why = { 0 };
	size_t len;
	int r = om_file_get(AT_FDCWD, path, KEYS_SIZE_MAX, &text, &len);

	if (r)
		return error_set(err, -EINVAL, "%s: cannot be read: %s", path, strerror(-r));
	r = om_log_heads_new(text, len, ret, &why);
	return r == -ENOMEM ? r : r ? error_set(err, -EINVAL, "%s: %s", path, why.text) : 0;
}

int heads_check_keys(const char *path, struct error_text *err)
{
	_cleanup_(om_log_heads_freep) struct om_log_heads *logs = NULL;

	return read_keys(path, &logs, err);
}

/* What was read goes with its reader. */
static void heads_close(struct heads *h)
{
	if (h->rk)
		rd_kafka_destroy_flags(h->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	h->rk = NULL;
	if (h->list)
		rd_kafka_topic_partition_list_destroy(h->list);
	h->list = NULL;
	h->logs = om_log_heads_free(h->logs);
	memset(h->strange, 0, sizeof(h->strange));
	h->unread = 0;
}

void heads_end(struct fleet *f)
{
	if (!f->heads)
		return;
	if (f->heads->rk)
		log_info("heads of %zu logs of %zu whose keys are known", om_log_heads_heard(f->heads->logs),
			 om_log_heads_logs(f->heads->logs));
	heads_close(f->heads);
	free(f->heads);
	f->heads = NULL;
}

/* Where to begin: what is older was compared by whoever judged then. */
static void find_beginning(struct fleet *f, struct heads *h)
{
	uint64_t now = fleet_now_ns(CLOCK_REALTIME), history = f->config->log_history_ns;

	if (!history || history >= now)
		return;
	for (int i = 0; i < h->list->cnt; i++)
		h->list->elems[i].offset = (int64_t)((now - history) / 1000000);
	if (rd_kafka_offsets_for_times(h->rk, h->list, CONNECT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (int i = 0; i < h->list->cnt; i++)
		h->list->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
}

static int heads_open(struct fleet *f, struct heads *h, struct error_text *err)
{
	static const char *const settings[][2] = { { "queued.max.messages.kbytes", "4096" } };
	struct om_kafka_config kafka = { f->config->brokers, f->config->kafka_config };
	const char *topic = om_topic_name(OM_TOPIC_CHECKPOINTS);
	int r = read_keys(f->config->log_keys_path, &h->logs, err);

	if (r)
		return r;
	h->rk = intake_reader(&kafka, f->config->name, NULL, settings, ARRAY_SIZE(settings), err);
	r = h->rk ? intake_partitions(f, h->rk, OM_TOPIC_CHECKPOINTS, &h->partitions, err) : -EIO;
	if (r)
		return r;
	h->list = rd_kafka_topic_partition_list_new((int)h->partitions);
	for (uint32_t i = 0; i < h->partitions; i++)
		rd_kafka_topic_partition_list_add(h->list, topic, (int32_t)i)->offset =
			RD_KAFKA_OFFSET_BEGINNING;
	find_beginning(f, h);
	h->unread = h->partitions;
	return rd_kafka_assign(h->rk, h->list) ? error_set(err, -EIO, "kafka: %s cannot be read", topic) : 0;
}

/* False: there is nothing to read from now. */
static bool is_open(struct fleet *f)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	struct error_text err = { 0 };
	struct heads *h = f->heads;
	int r;

	if (!h) {
		h = f->heads = calloc(1, sizeof(*h));
		if (!h) {
			f->error = -ENOMEM;
			return false;
		}
		reload_begin(&h->keys, f->config->log_keys_path, now);
	}
	if (h->rk)
		return true;
	if (now < h->retry_ns)
		return false;
	r = heads_open(f, h, &err);
	if (r == 0)
		return true;
	log_warn("%s: the heads of logs are not compared, tried again",
		 err.text[0] ? err.text : strerror(-r));
	heads_close(h);
	h->retry_ns = now + RETRY_NS;
	/* Who ends when all is read must not wait for what never comes. */
	if (f->config->once)
		f->error = r;
	return false;
}

static uint32_t partition_of(const struct heads *h, const rd_kafka_message_t *m)
{
	uint32_t p;

	if (om_topic_partition(m->key, m->key_len, h->partitions, &p) == 0)
		return p;
	return (uint32_t)rd_kafka_msg_partitioner_murmur2(m->rkt, m->key, m->key_len, (int32_t)h->partitions,
							  NULL, NULL);
}

/* A time that nobody believes is that of the oldest record that may be: the days told are bounded. */
static uint64_t time_of(const struct fleet *f, const rd_kafka_message_t *m)
{
	int64_t ms = rd_kafka_message_timestamp(m, NULL);
	uint64_t now = fleet_now_ns(CLOCK_REALTIME), history = f->config->log_history_ns ?: 365 * DAY_NS;
	uint64_t t = ms > 0 && (uint64_t)ms < now / 1000000 ? (uint64_t)ms * 1000000 : now;

	return now > history && t < now - history ? now - history : t;
}

static void count_strange(struct heads *h, enum strange what, const rd_kafka_message_t *m, uint64_t time_ns)
{
	struct strange_count *c = &h->strange[what];

	if (c->count++ == 0)
		snprintf(c->first, sizeof(c->first), "%" PRId32 "/%" PRId64, m->partition, m->offset);
	if (time_ns > c->last_ns)
		c->last_ns = time_ns;
}

static void take(struct fleet *f, const rd_kafka_message_t *m)
{
	struct heads *h = f->heads;
	struct om_head_record record = { m->key, m->payload, m->key_len, m->len, m->offset, time_of(f, m) };
	int r;

	if (!m->key || partition_of(h, m) != (uint32_t)m->partition) {
		count_strange(h, m->key ? STRANGE_MISPLACED : STRANGE_DAMAGED, m, record.time_ns);
		return;
	}
	r = om_log_heads_take(h->logs, &record);
	if (r < 0)
		f->error = r;
	else if (r == OM_HEAD_DAMAGED)
		count_strange(h, STRANGE_DAMAGED, m, record.time_ns);
	else if (r == OM_HEAD_FORGED)
		count_strange(h, STRANGE_FORGED, m, record.time_ns);
	else if (r == OM_HEAD_STRANGER)
		count_strange(h, STRANGE_NO_KEY, m, record.time_ns);
}

size_t heads_poll(struct fleet *f)
{
	uint64_t begun = fleet_now_ns(CLOCK_MONOTONIC);
	size_t n = 0;

	if (!f->config->log_keys_path || !judge_speaks(f) || !is_open(f))
		return 0;
	while (fleet_now_ns(CLOCK_MONOTONIC) - begun < TURN_NS) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(f->heads->rk, 0);

		if (!m)
			break;
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			f->heads->unread -=
				m->rkt &&
				om_kafka_ended(f->heads->list, rd_kafka_topic_name(m->rkt), m->partition);
		else if (m->err)
			log_warn("kafka: heads of logs: %s", rd_kafka_message_errstr(m));
		else
			take(f, m);
		rd_kafka_message_destroy(m);
		n++;
	}
	return n;
}

bool heads_are_read(const struct fleet *f)
{
	return !f->config->log_keys_path || (f->heads && f->heads->rk && !f->heads->unread);
}

void heads_look(struct fleet *f, bool forced)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	struct error_text err = { 0 };
	struct heads *h = f->heads;
	int r;

	if (!h || !reload_is_due(&h->keys, now, forced))
		return;
	r = heads_check_keys(h->keys.path, &err);
	if (reload_tried(&h->keys, now, r, &err) && r)
		log_error("keys of logs: those read before stay in use: %s", err.text);
	if (r)
		return;
	/* What was signed by a key that is known only now is on the topic. */
	log_info("keys of logs: %s was read anew, and what the logs said is", h->keys.path);
	heads_close(h);
	h->retry_ns = now;
}

/* --- findings --- */

/* Once for each log and cause, for ever: a log that showed it is not believed any more. */
static int tell_pair(struct findings *j, const struct om_log_state *s, enum om_head_answer what)
{
	static const struct {
		const char *cause, *words, *todo;
	} told[] = {
		[OM_HEAD_OLD] = { "log-old-head",
				  "which is older than what is remembered of it: it was sent again, or the "
				  "log was "
				  "put back",
				  "compare the node's ledger with the topic: opmeter evidence verify "
				  "--seen" },
		[OM_HEAD_BACK] = { "log-went-back",
				   "which never came before: the log was cut or put back from an older copy, "
				   "or two "
				   "machines write it",
				   "compare the node's ledger with the topic (opmeter evidence verify "
				   "--seen), and "
				   "give the node new keys under a new origin" },
		[OM_HEAD_FORK] = { "log-forked",
				   "with another root: whoever has its key showed two logs under one name",
				   "keep this alert: opmeter evidence verify --seen shows the fork to "
				   "anybody who "
				   "has the public key" },
	};
	const struct om_head_pair *p = s->first[what];
	char sentence[600], count[24], first[24], second[24];

	if (!p || findings_is_said(j, s->origin, told[what].cause, "1"))
		return 0;
	snprintf(first, sizeof(first), "%" PRIu64, p->size[0]);
	snprintf(second, sizeof(second), "%" PRIu64, p->size[1]);
	snprintf(count, sizeof(count), "%" PRIu64, s->answers[what]);
	snprintf(sentence, sizeof(sentence),
		 "%s: behind its signed head of %s leaves came one of %s leaves, %s.", s->origin, first,
		 second, told[what].words);
	return findings_emit(j, s->origin, told[what].cause, "1", sentence,
			     json_pack("{s:[s,s],s:[s,s],s:[I,I],s:s,s:s}", "checkpoints", p->note[0],
				       p->note[1], "sizes", first, second, "offsets",
				       (json_int_t)p->offset[0], (json_int_t)p->offset[1], "count", count,
				       "what_to_do", told[what].todo));
}

/* Its node lives and something ran there in the last day, so there was something to sign. */
static int tell_silent(struct findings *j, const struct om_log_state *s)
{
	uint64_t now = j->policy.now_ns, limit = j->fleet->config->log_silent_ns;
	const struct node_sign *node;
	char sentence[500], size[24], since[OM_TIME_STRLEN];

	if (!limit || !s->heard_ns || now < s->heard_ns || now - s->heard_ns < limit)
		return 0;
	node = (const struct node_sign *)key_map_find(j->nodes, s->source, strlen(s->source));
	if (!node || !node->has_worked || node->is_retired || node_is_silent(node, now))
		return 0;
	snprintf(size, sizeof(size), "%" PRIu64, s->size);
	if (findings_is_said(j, s->origin, "log-silent", size))
		return 0;
	om_time_format(s->heard_ns - s->heard_ns % UINT64_C(1000000000), since);
	snprintf(sentence, sizeof(sentence),
		 "%s: no new signed head since %s, though its node %s lives and jobs computed there. What it "
		 "recorded since can be rewritten unseen.",
		 s->origin, since, s->source);
	return findings_emit(
		j, s->origin, "log-silent", size, sentence,
		json_pack("{s:s,s:s,s:s,s:s}", "node", s->source, "size", size, "silent_since", since,
			  "what_to_do",
			  "look at the agent's log: does it sign (--evidence-keys), is it refused, has "
			  "its key run out?"));
}

static int look_at_log(void *ctx, const struct om_log_state *s)
{
	struct findings *j = ctx;
	int r = tell_pair(j, s, OM_HEAD_FORK);

	r = r ?: tell_pair(j, s, OM_HEAD_BACK);
	r = r ?: tell_pair(j, s, OM_HEAD_OLD);
	/* Whether it is silent is known when all is read. */
	return r || j->fleet->heads->unread ? r : tell_silent(j, s);
}

/* Once a day and cause: anybody who may write to the topic can bring it about. */
static int tell_strange(struct findings *j, enum strange what)
{
	const struct strange_count *c = &j->fleet->heads->strange[what];
	char sentence[400], day[16], count[24];

	if (!c->count)
		return 0;
	date_format((int32_t)(c->last_ns / DAY_NS), day);
	if (findings_is_said(j, "logs", stranges[what].cause, day))
		return 0;
	snprintf(count, sizeof(count), "%" PRIu64, c->count);
	snprintf(sentence, sizeof(sentence), "%s records of %s %s, the last on %s; the first is %s.", count,
		 om_topic_name(OM_TOPIC_CHECKPOINTS), stranges[what].what, day, c->first);
	return findings_emit(j, "logs", stranges[what].cause, day, sentence,
			     json_pack("{s:s,s:s,s:s}", "count", count, "first", c->first, "what_to_do",
				       stranges[what].todo));
}

static int tell_keys(struct findings *j)
{
	const struct reload *keys = &j->fleet->heads->keys;
	char day[16];

	date_format((int32_t)(j->policy.now_ns / DAY_NS), day);
	if (!keys->has_failed || findings_is_said(j, "file/log-keys", "file-refused", day))
		return 0;
	return findings_emit(
		j, "file/log-keys", "file-refused", day,
		"the file of logs' keys that the judge reads is refused, and what it read before stays "
		"in use: its log says why.",
		json_pack("{s:s}", "what_to_do", "correct the file; it is read again when it has changed"));
}

int findings_heads(struct findings *j)
{
	const struct heads *h = j->fleet->heads;
	int r;

	if (!h || !h->rk)
		return 0;
	r = om_log_heads_each(h->logs, look_at_log, j);
	for (int i = 0; r == 0 && i < STRANGE_END; i++)
		r = tell_strange(j, (enum strange)i);
	return r ?: tell_keys(j);
}
