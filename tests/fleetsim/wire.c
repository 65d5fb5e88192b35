// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/kafka.h"
#include "userspace/base/cleanup.h"

#define WINDOW 8192  /* records under way */
#define POOL 512     /* records that wait to be out of order, or to come a second time */
#define KEPT 200000  /* for the replay */
#define POLL_EVERY 256

enum { STREAM_WIRE = 200 };

/* One block: the record, then key, value, type, source and id. */
struct record {
	struct om_event ev;
	struct record *next; /* in the list of those to be sent again */
	bool has_value;
	char bytes[];
};

struct pool {
	struct record *item[POOL];
	size_t count;
};

struct wire {
	const struct sim_config *config;
	struct om_exporter *exporter;
	struct record *under_way[WINDOW];
	uint32_t free_slot[WINDOW], free_count;
	struct record *again; /* lost by the producer: to be sent again */
	struct pool disorder, later;
	struct record **kept;
	size_t kept_count;
	uint64_t drawn, sent;
};

static uint64_t draw(struct wire *w)
{
	return sim_hash(w->config, STREAM_WIRE, w->drawn++);
}

static const char *put(struct record *r, size_t *at, const void *from, size_t len)
{
	char *to = r->bytes + *at;

	if (len)
		memcpy(to, from, len);
	to[len] = '\0';
	*at += len + 1;
	return to;
}

static struct record *copy_of(const struct om_event *ev)
{
	const char *texts[3] = { ev->ce_type ?: "", ev->ce_source ?: "", ev->ce_id ?: "" };
	size_t len = ev->key_len + ev->value_len + strlen(texts[0]) + strlen(texts[1]) + strlen(texts[2]) + 5, at = 0;
	struct record *r = malloc(sizeof(*r) + len);

	if (!r)
		return NULL;
	*r = (struct record){ .ev = *ev, .has_value = ev->value != NULL };
	r->ev.key = put(r, &at, ev->key, ev->key_len);
	r->ev.value = put(r, &at, ev->value, ev->value_len);
	r->ev.value = r->has_value ? r->ev.value : NULL;
	if (!ev->ce_type)
		return r;
	r->ev.ce_type = put(r, &at, texts[0], strlen(texts[0]));
	r->ev.ce_source = put(r, &at, texts[1], strlen(texts[1]));
	r->ev.ce_id = put(r, &at, texts[2], strlen(texts[2]));
	return r;
}

static void on_acked(void *ctx, uint64_t cookie, int err)
{
	struct wire *w = ctx;
	struct record *r = w->under_way[cookie];

	w->under_way[cookie] = NULL;
	w->free_slot[w->free_count++] = (uint32_t)cookie;
	if (!err) {
		free(r);
		return;
	}
	r->next = w->again;
	w->again = r;
}

int wire_open(const struct sim_config *c, struct wire **ret, struct error_text *err)
{
	struct om_kafka_config kafka = { c->brokers, c->kafka_config };
	struct wire *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->config = c;
	for (; w->free_count < WINDOW; w->free_count++)
		w->free_slot[w->free_count] = w->free_count;
	w->kept = calloc(c->has_fault[SIM_REPLAY] ? KEPT : 1, sizeof(*w->kept));
	r = !w->kept ? -ENOMEM : c->is_dry ? 0 : om_kafka_open(&kafka, &w->exporter, err);
	if (r) {
		wire_free(w);
		return r;
	}
	if (w->exporter) {
		w->exporter->acked = on_acked;
		w->exporter->acked_ctx = w;
	}
	*ret = w;
	return 0;
}

struct wire *wire_free(struct wire *w)
{
	if (!w)
		return NULL;
	if (w->exporter)
		w->exporter->ops->free(w->exporter);
	for (size_t i = 0; i < WINDOW; i++)
		free(w->under_way[i]);
	for (size_t i = 0; i < w->kept_count; i++)
		free(w->kept[i]);
	free(w->kept);
	free(w);
	return NULL;
}

static int offer(struct wire *w, struct record *r)
{
	uint32_t slot;
	int rc;

	while (w->free_count == 0)
		w->exporter->ops->poll(w->exporter, 100);
	slot = w->free_slot[--w->free_count];
	w->under_way[slot] = r;
	r->ev.cookie = slot;
	while ((rc = w->exporter->ops->send(w->exporter, &r->ev)) == 1)
		w->exporter->ops->poll(w->exporter, 100);
	if (++w->sent % POLL_EVERY == 0)
		w->exporter->ops->poll(w->exporter, 0);
	return rc;
}

/* Takes the record over. */
static int send_now(struct wire *w, struct record *r)
{
	int rc = r ? 0 : -ENOMEM;

	while (rc == 0 && w->again) {
		struct record *lost = w->again;

		w->again = lost->next;
		rc = offer(w, lost);
	}
	return rc ?: offer(w, r);
}

/* Puts one in and, when the pool is full, sends any one of it. */
static int through_pool(struct wire *w, struct pool *p, struct record *r)
{
	size_t i;

	if (p->count < POOL) {
		p->item[p->count++] = r;
		return 0;
	}
	i = draw(w) % POOL;
	{
		struct record *out = p->item[i];

		p->item[i] = r;
		return send_now(w, out);
	}
}

static int empty_pool(struct wire *w, struct pool *p)
{
	int rc = 0;

	while (rc == 0 && p->count) {
		size_t i = draw(w) % p->count;
		struct record *out = p->item[i];

		p->item[i] = p->item[--p->count];
		rc = send_now(w, out);
	}
	return rc;
}

int wire_send(struct wire *w, const struct om_event *ev, bool is_kept)
{
	struct record *r;
	int rc = 0;

	if (w->config->is_dry)
		return 0;
	r = copy_of(ev);
	if (!r)
		return -ENOMEM;
	if (is_kept && w->kept_count < KEPT && (w->kept[w->kept_count] = copy_of(ev)))
		w->kept_count++;
	if (w->config->has_fault[SIM_DUPLICATE]) {
		uint64_t h = draw(w);
		struct record *twin = h % 8 < 2 ? copy_of(ev) : NULL;

		if (twin)
			rc = h % 8 ? through_pool(w, &w->later, twin) : send_now(w, twin);
	}
	if (rc)
		return rc;
	return w->config->has_fault[SIM_SHUFFLE] ? through_pool(w, &w->disorder, r) : send_now(w, r);
}

int wire_replay(struct wire *w)
{
	int rc = 0;

	for (size_t left = w->kept_count; rc == 0 && left; left--) {
		size_t i = draw(w) % left;
		struct record *out = w->kept[i];

		w->kept[i] = w->kept[left - 1];
		w->kept[left - 1] = NULL;
		rc = send_now(w, out);
	}
	w->kept_count = 0;
	return rc;
}

int wire_flush(struct wire *w)
{
	int rc;

	if (!w->exporter)
		return 0;
	rc = empty_pool(w, &w->disorder) ?: empty_pool(w, &w->later);
	while (rc == 0 && (w->free_count < WINDOW || w->again)) {
		struct record *lost = w->again;

		if (lost) {
			w->again = lost->next;
			rc = offer(w, lost);
		}
		w->exporter->ops->poll(w->exporter, 20);
	}
	return rc;
}

uint64_t wire_sent(const struct wire *w)
{
	return w->sent;
}
