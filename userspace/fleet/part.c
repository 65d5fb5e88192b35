// SPDX-License-Identifier: Apache-2.0
/*
 * One readings partition: its readings, assignments and carries into registers, in
 * any order. What the compacted topic is owed (a maximum over which something
 * smaller was written, a tombstone under a carry) is written when everything was
 * read to its end; so are seals.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../exporters/topic.h"

#define SECOND_NS 1000000000ULL
#define DEAD_LETTERS_MAX 10000 /* of one partition and assignment: a rebuild sees old ones again */
#define CARRIES_AT_ONCE 2000
#define DEBTS_AT_ONCE 5000
#define AGAIN_NS (2 * SECOND_NS) /* what was written comes back in that time, or is written again */

struct part *part_new(struct fleet *f, uint32_t number)
{
	struct part *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->number = number;
	p->claims.devices_max = (uint32_t)f->config->node_devices;
	p->is_full = true;
	p->totals = om_totals_new(f->config->registers_max);
	if (!p->totals)
		return part_free(p);
	om_totals_set_days(p->totals, law_days, &f->law);
	return p;
}

struct part *part_free(struct part *p)
{
	if (!p)
		return NULL;
	om_totals_free(p->totals);
	free(p->words.record);
	subjects_done(&p->subjects);
	days_done(p);
	claims_done(&p->claims);
	free(p);
	return NULL;
}

bool part_is_live(const struct part *p)
{
	bool is_live = p->readings_ended;

	for (int i = 0; i < COMPANION_END; i++)
		is_live = is_live && p->companion_ended[i];
	return is_live;
}

/* What could not be moved or buried stays where it is: whoever reads the partition anew does it. */
static void note_unsent(struct fleet *f, int r)
{
	if (r && f->unsent++ == 0)
		log_warn("the producer takes no more: records that belong elsewhere, or among the dead "
			 "letters, stay where they are until the next start reads them; further ones are "
			 "counted only");
}

/* As it was, with where it stood and why it was refused. */
void part_send_dead_letter(struct fleet *f, const rd_kafka_message_t *m, enum refusal why)
{
	char key[96], partition[16], offset[24];
	const char *headers[] = { "reason",
				  refusal_name(why),
				  "topic",
				  rd_kafka_topic_name(m->rkt),
				  "partition",
				  partition,
				  "offset",
				  offset,
				  "content-type",
				  "application/octet-stream",
				  NULL };
	struct om_event ev = { .topic = OM_TOPIC_DEADLETTERS,
			       .key = key,
			       .value = m->payload ?: "",
			       .value_len = m->len,
			       .headers = headers };

	snprintf(partition, sizeof(partition), "%d", (int)m->partition);
	snprintf(offset, sizeof(offset), "%lld", (long long)m->offset);
	ev.key_len = (size_t)snprintf(key, sizeof(key), "%s/%s/%s", rd_kafka_topic_name(m->rkt), partition,
				      offset);
	note_unsent(f, fleet_send(f, &ev));
}

static void bury(struct fleet *f, struct part *p, const rd_kafka_message_t *m, enum refusal why)
{
	if (p->dead_letters++ < DEAD_LETTERS_MAX)
		part_send_dead_letter(f, m, why);
}

void part_refuse(struct fleet *f, struct part *p, const rd_kafka_message_t *m, enum refusal why)
{
	struct refusal_count *c = &p->refused[why];
	int64_t ms = rd_kafka_message_timestamp(m, NULL);

	c->count++;
	if (ms > 0 && (uint64_t)ms > c->last_ms)
		c->last_ms = (uint64_t)ms;
	p->is_changed = true;
	if (why != REFUSED_MISPLACED)
		bury(f, p, m, why);
}

static struct raw_record raw_of(const rd_kafka_message_t *m)
{
	return (struct raw_record){ m->key, m->payload, m->key_len, m->len, NULL, 0 };
}

/*
 * Whether a record says that it is another ledger's. Whoever lies about a register can lie here, too, so this
 * finds mistakes: a bridge, a node with another's state. They show in a job that is new or in what the node
 * says of itself; elsewhere it is not looked, since parsing headers is a third of what a reading costs.
 */
static bool is_of_another(const struct part *p, const rd_kafka_message_t *m, const struct om_reading *r)
{
	struct raw_record raw = raw_of(m);
	struct om_node_facts known;
	rd_kafka_headers_t *h;
	const void *source;

	if (om_totals_node(p->totals, &r->key, &known) && om_node_facts_equal(&known, &r->node))
		return false;
	if (rd_kafka_message_headers(m, &h) == 0 &&
	    rd_kafka_header_get_last(h, "ce_source", &source, &raw.source_len) == 0)
		raw.source = source;
	return !admit_is_source(&raw, &r->key.ledger);
}

static struct admission admission_of(const struct fleet *f, const struct part *p)
{
	return (struct admission){ p->number, f->partitions, f->taken_ns, f->tenants,
				   (uint32_t)f->config->node_devices };
}

static int send_reading(struct fleet *f, enum om_topic topic, const struct om_reading *r)
{
	uint8_t key[OM_REGISTER_KEY_SIZE], value[OM_READING_SIZE];
	char source[16 + OM_ID_STRLEN] = "/opmeter/", id[96];
	struct om_event ev = { .topic = topic,
			       .key = key,
			       .key_len = sizeof(key),
			       .value = value,
			       .value_len = sizeof(value),
			       .ce_type = "opmeter.reading.v1",
			       .ce_source = source,
			       .ce_id = id,
			       .time_ns = r->value.to_ns };
	int n;

	om_register_key_encode(&r->key, key);
	om_reading_encode(r, value);
	om_id_format(&r->key.ledger, source + 9);
	n = snprintf(id, sizeof(id), "%llu-", (unsigned long long)r->sequence);
	for (int i = 16; i < OM_REGISTER_KEY_SIZE; i++)
		n += snprintf(id + n, sizeof(id) - (size_t)n, "%02x", key[i]);
	return fleet_send(f, &ev);
}

/* A refused record under a register's key is what compaction will keep of it: the register is owed. */
static void key_is_overwritten(struct part *p, const rd_kafka_message_t *m)
{
	struct om_register_key key;
	struct om_reading known;

	if (om_register_key_decode(m->key, m->key_len, &key) == 0 && om_totals_get(p->totals, &key, &known))
		om_totals_null(p->totals, &key);
}

static void take_null(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct om_register_key key;
	int r = om_register_key_decode(m->key, m->key_len, &key);

	p->nulls++;
	if (r) {
		part_refuse(f, p, m, REFUSED_DAMAGED);
		return;
	}
	r = om_totals_null(p->totals, &key);
	if (r == -ENOSPC)
		part_refuse(f, p, m, REFUSED_FULL);
	else if (r < 0)
		f->error = r;
	p->is_changed = true;
}

/*
 * What a register becomes is written back as a reading, so it must be one that is taken: else whoever reads
 * the topic anew has nothing. A reading is refused whose node facts its register does not fit; where only the
 * facts that are known do not fit, they are what was false, and the reading's stand.
 */
static enum refusal judge_joined(const struct admission *a, struct part *p, const struct om_reading *r,
				 opcount *ret_growth)
{
	struct om_reading joined;

	*ret_growth = claim_of(&r->key, &r->value);
	if (!om_totals_get(p->totals, &r->key, &joined))
		return ADMITTED;
	*ret_growth = claim_of(&r->key, &joined.value);
	om_reading_join(&joined, r);
	*ret_growth = claim_of(&r->key, &joined.value) - *ret_growth;
	if (!admit_is_impossible(&joined, a->now_ns, a->devices_max))
		return ADMITTED;
	joined.node = r->node;
	if (admit_is_impossible(&joined, a->now_ns, a->devices_max))
		return REFUSED_IMPOSSIBLE;
	om_totals_set_node(p->totals, &r->key, &r->node);
	return ADMITTED;
}

/* A later reading that is below an earlier one. The maximum stands; that it came is said. */
static void note_regression(struct part *p, const rd_kafka_message_t *m)
{
	int64_t ms = rd_kafka_message_timestamp(m, NULL);

	p->regressions++;
	if (ms > 0 && (uint64_t)ms > p->regressed_ms)
		p->regressed_ms = (uint64_t)ms;
	p->is_changed = true;
}

void part_take_reading(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct admission a = admission_of(f, p);
	struct raw_record raw;
	struct om_reading r;
	enum refusal why;
	opcount growth;
	int rc;

	f->readings++;
	if (!m->payload) {
		take_null(f, p, m);
		return;
	}
	raw = raw_of(m);
	why = admit_reading(&a, &raw, &r);
	if ((why == ADMITTED || why == REFUSED_IMPOSSIBLE || why == REFUSED_MISPLACED) &&
	    is_of_another(p, m, &r))
		why = REFUSED_FORGED;
	if (why == REFUSED_MISPLACED)
		note_unsent(f, send_reading(f, OM_TOPIC_READINGS, &r));
	if (why == ADMITTED)
		why = judge_joined(&a, p, &r, &growth);
	if (why) {
		part_refuse(f, p, m, why);
		if (why != REFUSED_UNKNOWN_VERSION) /* that is for a fleet to come, and must stay */
			key_is_overwritten(p, m);
		return;
	}
	rc = om_totals_put(p->totals, &r);
	if (rc == 2)
		note_regression(p, m);
	p->is_changed |= rc == 0;
	if (rc == 0)
		rc = claims_add(&p->claims, &r, growth, a.now_ns);
	if (rc == -ENOSPC)
		part_refuse(f, p, m, REFUSED_FULL);
	else if (rc < 0)
		f->error = rc;
}

/*
 * To its own partition, unless a later one of its key is known there: the last record is what compaction
 * keeps. Where that cannot be known it is left for a person: a rebuild sees the same record again.
 */
static void move_assignment(struct fleet *f, struct part *p, const rd_kafka_message_t *m,
			    const struct om_assignment *a)
{
	struct om_event ev = { .topic = OM_TOPIC_ASSIGNMENTS,
			       .key = m->key,
			       .key_len = m->key_len,
			       .value = m->payload,
			       .value_len = m->len };
	const struct om_dated *known;
	const struct part *own;
	uint32_t n;

	if (om_topic_partition(m->key, m->key_len, f->partitions, &n))
		return;
	own = f->parts[n];
	if (!own || !own->companion_ended[COMPANION_ASSIGNMENTS]) {
		bury(f, p, m, REFUSED_MISPLACED);
		return;
	}
	known = om_totals_assigned(own->totals, a);
	if (!known || known->at_ns < a->at_ns)
		note_unsent(f, fleet_send(f, &ev));
}

void part_take_assignment(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct admission a = admission_of(f, p);
	struct om_assignment assignment;
	struct raw_record raw;
	enum refusal why;
	int r;

	if (!m->payload) {
		heal_overwritten(f, p, m); /* assignments are closed by their `to`, not by nulls */
		return;
	}
	raw = raw_of(m); /* structured mode: the event has its source inside */
	why = admit_assignment(&a, &raw, &assignment);
	if (why == REFUSED_MISPLACED)
		move_assignment(f, p, m, &assignment);
	if (why) {
		part_refuse(f, p, m, why);
		/* The others are of a fleet to come, or of a tenant to come: they must stay. */
		if (why == REFUSED_DAMAGED || why == REFUSED_FORGED)
			heal_overwritten(f, p, m);
		return;
	}
	assignment.record = (uint64_t)m->offset + 1;
	r = om_totals_assign(p->totals, &assignment);
	if (r == 1)
		heal_older(f, p, &assignment);
	p->is_changed |= r == 0;
	if (r == -ENOSPC)
		part_refuse(f, p, m, REFUSED_FULL);
	else if (r < 0)
		f->error = r;
}

/* Its id is of its registers alone, as the carry is: two sealers of one day say the same event. */
static int send_carry_record(struct fleet *f, const void *key, const void *value, size_t len)
{
	char id[OM_ID_STRLEN];
	const char *headers[] = { "ce_specversion",
				  "1.0",
				  "ce_type",
				  "opmeter.carry.v1",
				  "ce_source",
				  f->source,
				  "ce_id",
				  id,
				  "content-type",
				  "application/vnd.opmeter.carry.v1",
				  NULL };
	struct om_event ev = { .topic = OM_TOPIC_CARRY,
			       .key = key,
			       .key_len = OM_CARRY_KEY_SIZE,
			       .value = value,
			       .value_len = len,
			       .headers = headers };
	struct om_id digest;

	memcpy(digest.byte, (const uint8_t *)value + OM_CARRY_DIGEST_AT, sizeof(digest.byte));
	om_id_format(&digest, id);
	return fleet_send(f, &ev);
}

/* Under a carry's key compaction would keep this: what is known of the day is owed. */
static void carry_is_overwritten(struct part *p, const rd_kafka_message_t *m)
{
	struct om_id ledger, job;
	uint32_t day;

	if (om_carry_key_decode(m->key, m->key_len, &ledger, &job, &day) == 0)
		om_totals_owe_carry(p->totals, &ledger, &job, day);
}

void part_take_carry(struct fleet *f, struct part *p, const rd_kafka_message_t *m)
{
	struct admission a = admission_of(f, p);
	struct raw_record raw;
	struct om_carry c = { 0 };
	enum refusal why =
		REFUSED_DAMAGED; /* a null: no carry is ever taken back, what it covers may be gone */
	int r;

	p->nulls += !m->payload;
	raw = raw_of(m);
	if (m->payload)
		why = admit_carry(&a, &raw, &c);
	if (why == REFUSED_MISPLACED)
		note_unsent(f, send_carry_record(f, m->key, m->payload, m->len));
	if (why) {
		part_refuse(f, p, m, why);
		if (why != REFUSED_UNKNOWN_VERSION)
			carry_is_overwritten(p, m);
	} else {
		r = om_totals_carry(p->totals, &c);
		p->is_changed |= r == 0;
		if (r == -ENOSPC)
			part_refuse(f, p, m, REFUSED_FULL);
		else if (r < 0)
			f->error = r;
	}
	om_carry_done(&c);
}

struct sealing {
	struct fleet *f;
	size_t count, max; /* days */
};

static int archive_day(void *ctx, const struct om_carry *c)
{
	struct sealing *s = ctx;
	int r = 0;

	if (s->count == s->max)
		return 1;
	for (size_t i = 0; r == 0 && i < c->count; i++)
		r = send_reading(s->f, OM_TOPIC_ARCHIVE, &c->reg[i]);
	s->count += r == 0;
	return r;
}

static int send_carry(void *ctx, const struct om_carry *c)
{
	struct sealing *s = ctx;
	uint8_t key[OM_CARRY_KEY_SIZE];
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	int r;

	if (s->count == s->max)
		return 1;
	r = om_carry_encode(c, &value, &len);
	if (r)
		return r;
	om_carry_key_encode(&c->ledger, &c->job, c->day, key);
	r = send_carry_record(s->f, key, value, len);
	s->count += r == 0;
	return r;
}

/* The archive has it before the carry is written, day by day: both passes see the same days in the same
 * order. The carry is read back before anything is folded. */
static int seal(struct fleet *f, struct part *p)
{
	uint64_t grace_ns = f->config->seal_after_ns; /* 0: no day is sealed, but what is owed is written */
	uint32_t open_day = grace_ns ? om_carry_open_day(fleet_now_ns(CLOCK_REALTIME), grace_ns) : 0;
	struct sealing s = { f, 0, CARRIES_AT_ONCE };
	uint64_t failed = f->failed;
	int r = om_totals_seal(p->totals, open_day, archive_day, &s);

	if (r < 0 || s.count == 0 || f->producer->ops->flush(f->producer, 5000) || f->failed != failed)
		return r < 0 ? r : 0;
	s.max = s.count;
	s.count = 0;
	r = om_totals_seal(p->totals, open_day, send_carry, &s);
	return r < 0 ? r : 0;
}

struct debts {
	struct fleet *f;
	struct part *p;
	size_t count;
};

static int settle(void *ctx, enum om_owed what, const struct om_reading *r)
{
	struct debts *d = ctx;
	uint8_t key[OM_REGISTER_KEY_SIZE];
	struct om_event ev = { .topic = OM_TOPIC_READINGS, .key = key, .key_len = sizeof(key) };

	if (what == OM_OWED_UNKNOWN) {
		/* Counted by the register, not by the null: it is told at every call. */
		d->p->refused[REFUSED_BARE_TOMBSTONE].count++;
		d->p->refused[REFUSED_BARE_TOMBSTONE].last_ms = fleet_now_ns(CLOCK_REALTIME) / 1000000;
		return 0;
	}
	if (d->count++ == DEBTS_AT_ONCE)
		return 1;
	if (what == OM_OWED_MAXIMUM)
		return send_reading(d->f, OM_TOPIC_READINGS, r);
	om_register_key_encode(&r->key, key);
	return fleet_send(d->f, &ev);
}

int part_maintain(struct fleet *f, struct part *p)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	struct debts d = { f, p, 0 };
	uint64_t bare = p->refused[REFUSED_BARE_TOMBSTONE].count;
	int r = 0;

	if (now >= p->owed_ns) {
		p->owed_ns = now + AGAIN_NS;
		p->refused[REFUSED_BARE_TOMBSTONE].count = 0;
		r = heal_step(f, p);
		r = r ?: om_totals_each_owed(p->totals, settle, &d);
		p->is_changed |= p->refused[REFUSED_BARE_TOMBSTONE].count != bare;
	}
	if (r >= 0 && now >= p->seal_ns) {
		p->seal_ns = now + 2 * AGAIN_NS;
		r = seal(f, p);
	}
	return r < 0 ? r : 0;
}
