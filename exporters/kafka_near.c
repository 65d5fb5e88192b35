// SPDX-License-Identifier: Apache-2.0
/*
 * A consumer for tens of thousands of nodes: one partition, whose number is known, by librdkafka's plain
 * interface, which needs no group, no coordinator and no right to one.
 */
#include "kafka_near.h"

#include <errno.h>
#include <stdlib.h>
#include <librdkafka/rdkafka.h>

#include "../userspace/base/cleanup.h"
#include "exporter.h"

#define RECORDS_AT_ONCE 1000

struct om_near_reader {
	struct om_kafka_config config;
	struct om_near_handler handler;
	rd_kafka_t *rk; /* NULL: not now */
	rd_kafka_topic_t *topic;
	uint64_t retry_ns;
	rd_kafka_resp_err_t refusal; /* 0: none */
	struct om_near_reader_totals totals;
};

static bool is_refusal(rd_kafka_resp_err_t e)
{
	return e == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || e == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	       e == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	       e == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

static void end(struct om_near_reader *r)
{
	if (r->topic) {
		rd_kafka_consume_stop(r->topic, 0);
		rd_kafka_topic_destroy(r->topic);
	}
	r->topic = NULL;
	if (r->rk)
		rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	r->rk = NULL;
}

/* What is wrong with a topic as a whole comes here, and not as a record; within rd_kafka_consume(). */
static void on_librdkafka_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	struct om_near_reader *r = opaque;

	if (is_refusal(err))
		r->refusal = err;
	log_debug("kafka: %s: %s", om_topic_name(OM_TOPIC_NEAR), reason);
}

static rd_kafka_t *make(struct om_near_reader *r, struct error_text *err)
{
	/* The broker answers one request of a connection after the other, and one that waits holds up those
	 * behind it: no request may be given up before that. */
	static const char *const settings[][2] = {
		{ "fetch.wait.max.ms", "60000" },
		{ "socket.timeout.ms", "90000" },
		{ "topic.metadata.refresh.interval.ms", "600000" },
		{ "fetch.message.max.bytes", "65536" },
		{ "queued.max.messages.kbytes", "256" },
		{ "enable.auto.commit", "false" },
		{ "enable.partition.eof", "true" },
		{ "topic.metadata.propagation.max.ms", "5000" },
	};
	rd_kafka_conf_t *conf = om_kafka_conf(&r->config, err);
	rd_kafka_t *rk;
	char why[256];

	if (!conf)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK) {
			error_set(err, -EINVAL, "librdkafka: %s", why);
			rd_kafka_conf_destroy(conf);
			return NULL;
		}
	rd_kafka_conf_set_error_cb(conf, on_librdkafka_error);
	rd_kafka_conf_set_opaque(conf, r);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk) {
		error_set(err, -EINVAL, "kafka: %s", why);
		rd_kafka_conf_destroy(conf);
	}
	return rk;
}

static int begin(struct om_near_reader *r, struct error_text *err)
{
	rd_kafka_topic_conf_t *conf = rd_kafka_topic_conf_new();
	char why[256];

	/* A topic that was made anew is read anew, and what stood there before is void. */
	rd_kafka_topic_conf_set(conf, "auto.offset.reset", "error", why, sizeof(why));
	r->refusal = 0;
	r->rk = make(r, err);
	if (!r->rk) {
		rd_kafka_topic_conf_destroy(conf);
		return -EINVAL;
	}
	r->topic = rd_kafka_topic_new(r->rk, om_topic_name(OM_TOPIC_NEAR), conf);
	if (!r->topic || rd_kafka_consume_start(r->topic, 0, RD_KAFKA_OFFSET_BEGINNING)) {
		error_set(err, -EIO, "kafka: %s: %s", om_topic_name(OM_TOPIC_NEAR),
			  rd_kafka_err2str(rd_kafka_last_error()));
		end(r);
		return -EIO;
	}
	r->handler.begins(r->handler.ctx);
	return 0;
}

int om_near_reader_new(const struct om_kafka_config *config, const struct om_near_handler *handler,
		       struct om_near_reader **ret, struct error_text *err)
{
	struct om_near_reader *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->config = *config;
	r->handler = *handler;
	e = begin(r, err);
	if (e) {
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

struct om_near_reader *om_near_reader_free(struct om_near_reader *r)
{
	if (r)
		end(r);
	free(r);
	return NULL;
}

static void give_up(struct om_near_reader *r, const char *why, uint64_t retry_ns)
{
	r->totals.failures++;
	if (!r->totals.is_refused)
		log_warn("kafka: %s: %s: nothing is published each second near a level; tried again every %d "
			 "minutes",
			 om_topic_name(OM_TOPIC_NEAR), why, (int)(OM_NEAR_RETRY_NS / 60000000000ULL));
	r->totals.is_refused = true;
	r->retry_ns = retry_ns;
	end(r);
	r->handler.begins(r->handler.ctx);
}

static void on_error(struct om_near_reader *r, rd_kafka_resp_err_t e, uint64_t now_ns)
{
	if (e == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		r->totals.is_refused = false;
	} else if (is_refusal(e)) {
		give_up(r, rd_kafka_err2str(e), now_ns + OM_NEAR_RETRY_NS);
	} else if (e == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || e == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
		log_info("kafka: %s begins anew", om_topic_name(OM_TOPIC_NEAR));
		r->retry_ns = now_ns + OM_NEAR_WAIT_MS * 1000000ULL;
		end(r);
		r->handler.begins(r->handler.ctx);
	} else { /* a broker that is away: librdkafka goes on trying, and hints end by themselves */
		log_debug("kafka: %s: %s", om_topic_name(OM_TOPIC_NEAR), rd_kafka_err2str(e));
	}
}

static void try_again(struct om_near_reader *r, uint64_t now_ns)
{
	struct error_text err = { 0 };

	if (begin(r, &err))
		give_up(r, err.text, now_ns + OM_NEAR_RETRY_NS);
}

/* False: there was nothing, or it is over. */
static bool take_one(struct om_near_reader *r, uint64_t now_ns)
{
	rd_kafka_message_t *m = rd_kafka_consume(r->topic, 0, 0);
	rd_kafka_resp_err_t e = m ? m->err : 0;

	if (m && !e) {
		r->totals.records++;
		r->totals.is_refused = false;
		r->handler.takes(r->handler.ctx, m->key ?: "", m->key_len, m->payload, m->len);
	}
	if (m)
		rd_kafka_message_destroy(m);
	e = e ?: r->refusal;
	if (e)
		on_error(r, e, now_ns);
	return m && r->rk;
}

void om_near_reader_step(struct om_near_reader *r, uint64_t now_ns)
{
	if (!r->rk && now_ns >= r->retry_ns)
		try_again(r, now_ns);
	if (r->rk)
		rd_kafka_poll(r->rk, 0);
	for (int i = 0; r->rk && i < RECORDS_AT_ONCE && take_one(r, now_ns); i++)
		;
}

void om_near_reader_totals(const struct om_near_reader *r, struct om_near_reader_totals *ret)
{
	*ret = r->totals;
}
