// SPDX-License-Identifier: Apache-2.0
/*
 * Says alerts, each once. There is one judge, but a judge that was frozen does not
 * know that another one took over. Its producer has a transactional id of the fleet's:
 * opening the next one fences it at the broker, so what it still holds is refused, and
 * the next one reads what was said after that and says only what is missing. A
 * transaction here adds nothing up; it makes a batch of alerts happen whole or not.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OPEN_MS 15000
#define SAY_MS 10000

struct speaker {
	rd_kafka_t *rk;
	size_t undelivered;
	struct saying *sayings; /* a loan during speaker_say() */
	size_t count;
	uint32_t turn; /* which call it is */
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct speaker *s = opaque;
	uint64_t at = (uint64_t)(uintptr_t)m->_private;

	/* A report may come when its sayings are long gone. */
	if (m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && at >> 32 == s->turn &&
	    (at & UINT32_MAX) < s->count)
		s->sayings[at & UINT32_MAX].is_refused = true;
	s->undelivered += m->err != 0;
}

struct speaker *speaker_free(struct speaker *s)
{
	if (!s)
		return NULL;
	if (s->rk) {
		rd_kafka_purge(s->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_destroy(s->rk);
	}
	free(s);
	return NULL;
}

/* 0 or what is to be done about it; the error is ended. */
static int outcome(rd_kafka_error_t *e, struct error_text *err)
{
	int r;

	if (!e)
		return 0;
	r = rd_kafka_error_is_fatal(e) ? -EOWNERDEAD : -EAGAIN;
	error_set(err, r, "kafka: the alerts' producer: %s", rd_kafka_error_string(e));
	rd_kafka_error_destroy(e);
	return r;
}

int speaker_open(struct fleet *f, struct speaker **ret, struct error_text *err)
{
	struct om_kafka_config kafka = { f->config->brokers, f->config->kafka_config };
	rd_kafka_conf_t *conf = om_kafka_conf(&kafka, err);
	struct speaker *s = calloc(1, sizeof(*s));
	char id[128], why[256];
	int r;

	snprintf(id, sizeof(id), "opmeter-judge-%.80s", f->config->name);
	if (!conf || !s) {
		if (conf)
			rd_kafka_conf_destroy(conf);
		free(s);
		return conf ? -ENOMEM : -EINVAL;
	}
	rd_kafka_conf_set(conf, "transactional.id", id, why, sizeof(why));
	rd_kafka_conf_set(conf, "transaction.timeout.ms", "15000", why, sizeof(why));
	rd_kafka_conf_set(conf, "partitioner", "murmur2", why, sizeof(why));
	rd_kafka_conf_set(conf, "linger.ms", "0", why, sizeof(why));
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_opaque(conf, s);
	s->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!s->rk) {
		rd_kafka_conf_destroy(conf);
		free(s);
		return error_set(err, -EINVAL, "kafka: %s", why);
	}
	r = outcome(rd_kafka_init_transactions(s->rk, OPEN_MS), err);
	if (r) {
		speaker_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static int put(struct speaker *s, size_t at)
{
	struct saying *a = &s->sayings[at];
	void *cookie = (void *)(uintptr_t)((uint64_t)s->turn << 32 | at);
	int32_t partition = a->partition_plus_1 ? (int32_t)a->partition_plus_1 - 1 : RD_KAFKA_PARTITION_UA;
	rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
	char id[OM_ID_STRLEN];
	const char *key = a->key ?: om_id_format(&a->id, id);
	rd_kafka_resp_err_t e;

	if (a->text)
		rd_kafka_header_add(headers, "content-type", -1,
				    a->key && a->topic != OM_TOPIC_ASSIGNMENTS
					    ? "application/json"
					    : "application/cloudevents+json",
				    -1);
	do {
		e = rd_kafka_producev(s->rk, RD_KAFKA_V_TOPIC(om_topic_name(a->topic)),
				      RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(key, strlen(key)),
				      RD_KAFKA_V_VALUE(a->text, a->text ? strlen(a->text) : 0),
				      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
				      RD_KAFKA_V_OPAQUE(cookie), RD_KAFKA_V_END);
		if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			rd_kafka_poll(s->rk, 50);
	} while (e == RD_KAFKA_RESP_ERR__QUEUE_FULL);
	if (e)
		rd_kafka_headers_destroy(headers);
	/* It would keep all others from ever being said. */
	a->is_refused |= e == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
	return e && !a->is_refused ? -EIO : 0;
}

static bool is_fenced(const struct speaker *s)
{
	char why[8];

	return rd_kafka_fatal_error(s->rk, why, sizeof(why)) != 0;
}

static int say(struct speaker *s)
{
	struct error_text err = { 0 };
	int r = outcome(rd_kafka_begin_transaction(s->rk), &err);

	if (r)
		return r;
	s->undelivered = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++)
		r = put(s, i);
	if (r == 0)
		r = rd_kafka_flush(s->rk, SAY_MS) || s->undelivered ? -EIO : 0;
	if (r == 0)
		r = outcome(rd_kafka_commit_transaction(s->rk, SAY_MS), &err);
	if (r == 0)
		return 0;
	/* Whether a commit that timed out came to be is not known: a new producer will tell. */
	if (is_fenced(s) || outcome(rd_kafka_abort_transaction(s->rk, SAY_MS), &err))
		return -EOWNERDEAD;
	return -EAGAIN;
}

int speaker_say(struct speaker *s, struct saying *sayings, size_t n)
{
	int r;

	s->sayings = sayings;
	s->count = n;
	s->turn++;
	r = say(s);
	s->sayings = NULL;
	s->count = 0;
	return r;
}
