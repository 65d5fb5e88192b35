// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the topics for one question. The partitions go through the aggregator's own stage
 * (part.c), whose exporter throws away what it would write: nothing is written from
 * here. With a question about one subject only its jobs' records are kept, all
 * partitions at once; about all of them one partition after the other.
 */
#include "api_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "../../exporters/kafka_ended.h"
#include "../core/history.h"

#define JOB_SIZE 32 /* ledger and job: how the keys of readings and carries begin */
#define LOOK_EVERY 20000
#define FETCH_WAIT_MS 20 /* what is at its end must not hold up what was just begun */
#define SECOND_NS 1000000000ULL
#define SETTLE_NS (5 * SECOND_NS) /* the aggregator's totals of what was read are there by then */

const char *const study_agrees_names[] = { "equal", "between", "no" };

struct reader {
	struct api *api;
	struct study *s;
	const atomic_bool *is_stopping;
	struct fleet *f;
	struct fleet_config config;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	uint32_t unread;
	bool is_choosing; /* the jobs concerned are looked for */
	bool filters;
	struct key_map jobs;
	struct history *history;
	uint64_t end_ns; /* CLOCK_MONOTONIC */
	struct snapshot *before, *after;
	int error;
};

static int discard(struct om_exporter *e, const struct om_event *ev)
{
	return 0;
}

static int stand_still(struct om_exporter *e, int timeout_ms)
{
	return 0;
}

static void keep(struct om_exporter *e)
{
}

static const struct om_exporter_ops nowhere_ops = {
	.name = "nowhere", .send = discard, .poll = stand_still, .flush = stand_still, .free = keep
};
static struct om_exporter nowhere = { .ops = &nowhere_ops };

static void reader_done(struct reader *r)
{
	for (uint32_t i = 0; r->f && i < r->f->partitions; i++)
		part_free(r->f->parts[i]);
	if (r->f)
		tenant_names_free(r->f->tenants);
	free(r->f);
	if (r->list)
		rd_kafka_topic_partition_list_destroy(r->list);
	if (r->rk)
		rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	key_map_done(&r->jobs, key_node_free);
	history_free(r->history);
	snapshot_unref(r->before);
	snapshot_unref(r->after);
	study_unref(r->s);
}

/* About one total; else about several, with which no total can be compared. */
static bool is_one(const struct study_ask *ask)
{
	return ask->first[0] && (ask->second[0] || ask->group == OM_GROUP_LINEAGE);
}

/* By which assignment the jobs concerned are found; -1: by none, nobody said anything of some of them. */
static int kind_of(const struct study_ask *ask, const char **ret_value)
{
	*ret_value = ask->first;
	if (ask->group == OM_GROUP_LINEAGE)
		return ask->first[0] ? OM_ASSIGN_LINEAGE : -1;
	if (ask->first[0] && strcmp(ask->first, "unknown"))
		return OM_ASSIGN_TENANT;
	*ret_value = ask->second;
	return ask->second[0] && strcmp(ask->second, "unassigned") ? OM_ASSIGN_MODEL : -1;
}

static void job_bytes(const struct om_id *ledger, const struct om_id *job, char out[JOB_SIZE])
{
	memcpy(out, ledger, JOB_SIZE / 2);
	memcpy(out + JOB_SIZE / 2, job, JOB_SIZE / 2);
}

static int choose_job(struct reader *r, const char job[JOB_SIZE])
{
	struct key_node *n;

	if (key_map_find(&r->jobs, job, JOB_SIZE))
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n || key_map_add(&r->jobs, n, job, JOB_SIZE)) {
		free(n);
		return -ENOMEM;
	}
	return 0;
}

static void take_assignment(struct reader *r, struct part *p, const rd_kafka_message_t *m)
{
	struct admission a = { p->number, r->f->partitions, r->f->taken_ns, r->f->tenants,
			       (uint32_t)r->config.node_devices };
	struct raw_record raw = { m->key, m->payload, m->key_len, m->len, NULL, 0 };
	struct om_assignment as;
	char job[JOB_SIZE];
	const char *value;
	int kind = kind_of(&r->s->ask, &value);

	if (!m->payload)
		return;
	if (admit_assignment(&a, &raw, &as) != ADMITTED) {
		if (!r->is_choosing)
			part_take_assignment(r->f, p, m); /* counts it */
		return;
	}
	job_bytes(&as.ledger, &as.job, job);
	if (r->is_choosing) {
		if ((int)as.kind == kind && !strcmp(as.value, value))
			r->error = choose_job(r, job);
		return;
	}
	if (r->filters && !key_map_find(&r->jobs, job, JOB_SIZE))
		return;
	part_take_assignment(r->f, p, m);
	r->error = history_assignment(r->history, &as);
}

static bool is_wanted(const struct reader *r, const rd_kafka_message_t *m)
{
	return !r->filters ||
	       (m->key_len >= JOB_SIZE && key_map_find(&r->jobs, (const char *)m->key, JOB_SIZE));
}

static void take_record(struct reader *r, struct part *p, const rd_kafka_message_t *m, enum om_topic topic)
{
	r->s->records++;
	if (topic == OM_TOPIC_ASSIGNMENTS)
		take_assignment(r, p, m);
	else if (is_wanted(r, m) && topic == OM_TOPIC_CARRY)
		part_take_carry(r->f, p, m);
	else if (is_wanted(r, m))
		part_take_reading(r->f, p, m);
	if (!r->error)
		r->error = r->f->error;
}

static enum om_topic topic_of(const rd_kafka_message_t *m)
{
	static const enum om_topic read[] = { OM_TOPIC_READINGS, OM_TOPIC_CARRY, OM_TOPIC_ASSIGNMENTS };
	const char *name = m->rkt ? rd_kafka_topic_name(m->rkt) : "";

	for (size_t i = 0; i < ARRAY_SIZE(read); i++)
		if (!strcmp(name, om_topic_name(read[i])))
			return read[i];
	return OM_TOPIC_END;
}

static void take(struct reader *r, const rd_kafka_message_t *m)
{
	enum om_topic topic = topic_of(m);
	struct study_offsets *o;
	int64_t next = m->offset + (m->err ? 0 : 1);

	if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		if (m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
			r->error = -EACCES;
		return; /* what passes is tried again, what does not ends with the time */
	}
	if (topic == OM_TOPIC_END || m->partition < 0 || m->partition >= (int32_t)r->s->partitions)
		return;
	o = &r->s->offset[m->partition];
	if (topic == OM_TOPIC_READINGS)
		o->readings = next;
	else if (topic == OM_TOPIC_CARRY)
		o->carry = next;
	else
		o->assignments = next;
	if (!m->err)
		take_record(r, r->f->parts[m->partition], m, topic);
	else if (om_kafka_ended(r->list, om_topic_name(topic), m->partition))
		r->unread--;
}

/* A partition that is full refuses what is above: what was read is then a part, and a part is never given. */
static bool is_too_much(const struct reader *r)
{
	size_t registers = r->s->registers + r->s->jobs;

	for (uint32_t i = 0; i < r->f->partitions; i++) {
		const struct part *p = r->f->parts[i];

		if (p && p->refused[REFUSED_FULL].count)
			return true;
		registers += p ? om_totals_registers(p->totals) : 0;
	}
	return registers > r->api->config->registers_max;
}

static int look(const struct reader *r)
{
	if (is_too_much(r))
		return -E2BIG;
	if (atomic_load(r->is_stopping))
		return -ECANCELED;
	return fleet_now_ns(CLOCK_MONOTONIC) > r->end_ns ? -ETIMEDOUT : 0;
}

/* Some partitions of some topics from their beginnings to their ends. */
static int read_topics(struct reader *r, const enum om_topic *topics, size_t n, uint32_t first,
		       uint32_t count)
{
	uint64_t since_look = 0;

	if (r->list)
		rd_kafka_topic_partition_list_destroy(r->list);
	r->list = rd_kafka_topic_partition_list_new((int)(n * count));
	for (size_t t = 0; t < n; t++)
		for (uint32_t i = first; i < first + count; i++)
			rd_kafka_topic_partition_list_add(r->list, om_topic_name(topics[t]), (int32_t)i)
				->offset = RD_KAFKA_OFFSET_BEGINNING;
	r->unread = (uint32_t)n * count;
	if (rd_kafka_assign(r->rk, r->list))
		return -EIO;
	while (r->unread && !r->error) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(r->rk, 100);

		r->f->taken_ns = fleet_now_ns(CLOCK_REALTIME);
		if (m) {
			take(r, m);
			rd_kafka_message_destroy(m);
		}
		if (!r->error && (!m || since_look++ % LOOK_EVERY == 0))
			r->error = look(r);
	}
	return r->error;
}

static bool is_asked(const struct study_ask *ask, const char *first, const char *second)
{
	return (!ask->first[0] || !strcmp(ask->first, first)) &&
	       (!ask->second[0] || !strcmp(ask->second, second));
}

static int take_day(void *ctx, uint32_t day)
{
	struct reader *r = ctx;

	for (size_t i = 0; i < history_subjects(r->history); i++) {
		const struct history_subject *h = history_at(r->history, i);
		const struct om_subject_total *t = &h->total;
		const char *first = t->group == OM_GROUP_MODEL ? t->tenant : t->lineage;
		const char *second = t->group == OM_GROUP_MODEL ? t->model : "";
		opcount now[STUDY_FIGURES];
		struct study_subject *u;
		struct study_day *d;

		if (!h->changed || t->group != r->s->ask.group || !is_asked(&r->s->ask, first, second))
			continue;
		u = study_subject_get(r->s, first, second);
		d = u ? study_day_get(u, day) : NULL;
		if (!d)
			return -ENOMEM;
		study_figures(t, now);
		for (int k = 0; k < STUDY_FIGURES; k++) {
			opcount_add_saturating(&d->figure[k],
					       now[k] > u->before[k] ? now[k] - u->before[k] : 0);
			u->before[k] = now[k];
		}
	}
	return 0;
}

static int forget_before(void *ctx, struct key_node *n)
{
	struct study_subject *u = (struct study_subject *)n;

	memset(u->before, 0, sizeof(u->before));
	return 0;
}

struct listing {
	struct reader *r;
	const struct om_totals *totals;
};

static int take_register(void *ctx, const struct om_attributed *a)
{
	struct listing *l = ctx;
	struct reader *r = l->r;
	const struct study_ask *ask = &r->s->ask;
	int rc;

	if (ask->group == OM_GROUP_MODEL) {
		if (!is_asked(ask, a->tenant, a->model))
			return 0;
	} else {
		const struct om_register_key *k = &a->reading->key;
		const struct om_dated *d =
			om_totals_holds(l->totals, &k->ledger, &k->job, OM_ASSIGN_LINEAGE, k->day);

		if (!d || !is_asked(ask, d->value, ""))
			return 0;
	}
	rc = history_reading(r->history, a->reading);
	return rc ?: ask->wants & STUDY_REGISTERS ? study_keep_register(r->s, a) : 0;
}

static int take_job(void *ctx, const struct om_id *ledger, const struct om_id *job,
		    const struct om_subject_total *t)
{
	return study_keep_job(ctx, ledger, job, t);
}

static int take_jobs(struct reader *r, struct om_totals *totals)
{
	const struct study_ask *ask = &r->s->ask;
	bool is_lineage = ask->group == OM_GROUP_LINEAGE;
	struct om_subject_total of = { .group = ask->group,
				       .tenant = is_lineage ? "" : ask->first,
				       .model = ask->second,
				       .lineage = is_lineage ? ask->first : "" };

	return ask->wants & STUDY_JOBS ? om_totals_each_job(totals, &of, take_job, r->s) : 0;
}

static int read_partitions(struct reader *r, uint32_t first, uint32_t count)
{
	static const enum om_topic all[] = { OM_TOPIC_ASSIGNMENTS, OM_TOPIC_CARRY, OM_TOPIC_READINGS };
	int rc;

	r->history = history_new();
	if (!r->history)
		return -ENOMEM;
	for (uint32_t i = first; i < first + count; i++) {
		r->f->parts[i] = part_new(r->f, i);
		if (!r->f->parts[i])
			return -ENOMEM;
	}
	rc = read_topics(r, all, ARRAY_SIZE(all), first, count);
	if (rc == 0 && is_too_much(r))
		rc = -E2BIG;
	for (uint32_t i = first; i < first + count; i++) {
		struct part *p = r->f->parts[i];
		struct listing l = { r, p->totals };

		rc = rc ?: om_totals_each_register(p->totals, take_register, &l);
		rc = rc ?: take_jobs(r, p->totals);
		for (int k = 1; k < REFUSAL_END; k++)
			r->s->refused += p->refused[k].count;
		r->f->parts[i] = part_free(p);
	}
	key_map_each(&r->s->subjects, forget_before, NULL);
	rc = rc ?: history_play(r->history, UINT32_MAX, take_day, r);
	r->history = history_free(r->history);
	return rc;
}

/* The total now; it stays zero where there is none. *state: the snapshot that it is of, a reference. */
static bool total_now(struct api *a, const struct study_ask *ask, opcount ret[STUDY_FIGURES],
		      struct snapshot **state)
{
	const struct om_subject_total *t;

	snapshot_unref(*state);
	*state = follow_snapshot(a->follow);
	t = *state ? snapshot_find(*state, ask->group, ask->first, ask->second) : NULL;
	memset(ret, 0, STUDY_FIGURES * sizeof(*ret));
	if (t)
		study_figures(t, ret);
	return t != NULL;
}

static bool is_equal(const opcount a[STUDY_FIGURES], const opcount b[STUDY_FIGURES])
{
	return !memcmp(a, b, STUDY_FIGURES * sizeof(*a));
}

bool study_is_behind(struct api *a, const struct study *s)
{
	struct snapshot *state = NULL;
	opcount now[STUDY_FIGURES];
	bool is_behind = total_now(a, &s->ask, now, &state) && !is_equal(s->sum, now);

	snapshot_unref(state);
	return is_behind;
}

/* What was read, against the total that the aggregators made: two ways to one figure. Where readings come in
 * all the while the total before is below and the one after above. */
static void compare(struct reader *r)
{
	struct study *s = r->s;
	uint64_t end = fleet_now_ns(CLOCK_MONOTONIC) + SETTLE_NS;
	struct timespec pause = { 0, 50000000 };
	bool is_between = true;

	for (size_t i = 0; i < s->subjects.count; i++)
		for (size_t d = 0; d < s->sorted[i]->days; d++)
			for (int k = 0; k < STUDY_FIGURES; k++)
				opcount_add_saturating(&s->sum[k], s->sorted[i]->day[d].figure[k]);
	s->agrees = STUDY_EQUAL;
	for (;;) {
		s->has_total = total_now(r->api, &s->ask, s->after, &r->after);
		if (is_equal(s->sum, s->before) || is_equal(s->sum, s->after))
			return;
		if (atomic_load(r->is_stopping) || fleet_now_ns(CLOCK_MONOTONIC) > end)
			break;
		nanosleep(&pause, NULL);
	}
	for (int k = 0; k < STUDY_FIGURES; k++)
		is_between = is_between && s->before[k] <= s->sum[k] && s->sum[k] <= s->after[k];
	s->agrees = is_between ? STUDY_BETWEEN : STUDY_NO;
}

/* Which state of the totals the figures are of, and which reading this is: the question and how far each
 * topic was read. Where nothing came meanwhile another reading, also another instance's, is the same. */
static int cite(struct reader *r)
{
	struct study *s = r->s;
	const struct snapshot *state =
		is_one(&s->ask) && !is_equal(s->sum, s->after) && is_equal(s->sum, s->before) && r->before
			? r->before
			: r->after;
	unsigned char digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state hash;
	const char *name;

	if (!state)
		return -EAGAIN;
	s->as_of = strdup(state->as_of);
	s->brief = strdup(state->brief);
	crypto_hash_sha256_init(&hash);
	crypto_hash_sha256_update(&hash, (const unsigned char *)s->ask.first, strlen(s->ask.first) + 1);
	crypto_hash_sha256_update(&hash, (const unsigned char *)s->ask.second, strlen(s->ask.second) + 1);
	for (uint32_t i = 0; i < s->partitions; i++) {
		const struct study_offsets *o = &s->offset[i];
		char line[120];
		int n = snprintf(line, sizeof(line), "%d/%" PRIu32 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
				 (int)s->ask.group, i, o->readings, o->assignments, o->carry);

		crypto_hash_sha256_update(&hash, (const unsigned char *)line, (size_t)n);
	}
	/* Other names make another reading of the same records. */
	for (size_t i = 0; r->f->tenants && (name = tenant_names_at(r->f->tenants, i)); i++)
		crypto_hash_sha256_update(&hash, (const unsigned char *)name, strlen(name) + 1);
	crypto_hash_sha256_final(&hash, digest);
	sodium_bin2hex(s->id, sizeof(s->id), digest, (sizeof(s->id) - 1) / 2);
	return s->as_of && s->brief ? 0 : -ENOMEM;
}

/* A reading goes by the names that there are at its beginning. */
static int take_tenants(struct reader *r)
{
	struct api *a = r->api;
	int rc = 0;

	pthread_rwlock_rdlock(&a->law_lock);
	r->s->tenants_serial = atomic_load(&a->tenants_serial);
	if (a->tenants) {
		r->f->tenants = tenant_names_copy(a->tenants);
		rc = r->f->tenants ? 0 : -ENOMEM;
	}
	pthread_rwlock_unlock(&a->law_lock);
	return rc;
}

static int reader_init(struct reader *r)
{
	const struct api_config *c = r->api->config;
	struct error_text err = { 0 };
	int rc = api_consumer(c, FETCH_WAIT_MS, &r->rk, &err);

	if (rc)
		return -EIO;
	r->f = calloc(1, sizeof(*r->f));
	r->s = calloc(1, sizeof(*r->s));
	if (!r->f || !r->s)
		return -ENOMEM;
	atomic_init(&r->s->refs, 1);
	r->config = (struct fleet_config){ .name = c->name,
					   .registers_max = c->registers_max,
					   .node_devices = c->node_devices };
	r->f->config = &r->config;
	r->f->producer = &nowhere;
	if (take_tenants(r))
		return -ENOMEM;
	if (intake_partitions(r->f, r->rk, OM_TOPIC_READINGS, &r->f->partitions, &err))
		return -EIO;
	r->s->partitions = r->f->partitions;
	r->s->offset = calloc(r->s->partitions, sizeof(*r->s->offset));
	return r->s->offset ? 0 : -ENOMEM;
}

/* Which jobs are concerned. */
static int choose(struct reader *r)
{
	static const enum om_topic assignments[] = { OM_TOPIC_ASSIGNMENTS };
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < r->f->partitions; i++) {
		r->f->parts[i] = part_new(r->f, i);
		rc = r->f->parts[i] ? 0 : -ENOMEM;
	}
	r->is_choosing = true;
	rc = rc ?: read_topics(r, assignments, 1, 0, r->f->partitions);
	r->is_choosing = false;
	for (uint32_t i = 0; i < r->f->partitions; i++)
		r->f->parts[i] = part_free(r->f->parts[i]);
	return rc;
}

int study_read(struct api *a, const struct study_ask *ask, const atomic_bool *is_stopping, struct study **ret)
{
	_cleanup_(reader_done) struct reader r = { .api = a, .is_stopping = is_stopping };
	const char *value;
	int rc = reader_init(&r);

	if (rc)
		return rc;
	r.s->ask = *ask;
	r.end_ns = fleet_now_ns(CLOCK_MONOTONIC) + a->config->read_ns;
	total_now(a, ask, r.s->before, &r.before);
	r.filters = kind_of(ask, &value) >= 0;
	if (r.filters) {
		rc = choose(&r);
		rc = rc ?: read_partitions(&r, 0, r.f->partitions);
	}
	for (uint32_t i = 0; rc == 0 && !r.filters && i < r.f->partitions; i++)
		rc = read_partitions(&r, i, 1);
	rc = rc ?: study_sort(r.s);
	if (rc)
		return rc;
	r.s->time_ns = fleet_now_ns(CLOCK_REALTIME);
	if (is_one(ask))
		compare(&r);
	else
		total_now(a, ask, r.s->after, &r.after);
	rc = cite(&r);
	if (rc)
		return rc;
	r.s->made_ns = r.s->used_ns = fleet_now_ns(CLOCK_MONOTONIC);
	*ret = TAKE_PTR(r.s);
	return 0;
}
