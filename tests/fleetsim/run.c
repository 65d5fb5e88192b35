// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "userspace/base/cleanup.h"

enum { STREAM_STEP = 100, STREAM_FORGE };

/* Formats that jobs multiply in, the first three fifths of the operations in the first. */
static const uint8_t formats[] = { OM_FORMAT_BF16, OM_FORMAT_FP8, OM_FORMAT_FP32, OM_FORMAT_TF32,
				   OM_FORMAT_FP16, OM_FORMAT_INT8, OM_FORMAT_FP64, OM_FORMAT_FP4 };

void sim_reading_of(const struct sim *s, const struct sim_instance *i, const struct sim_register *r,
		    const struct om_value *value, struct om_reading *ret)
{
	const struct sim_node *n = &s->node[i->node];

	*ret = (struct om_reading){
		.key = r->key,
		.value = *value,
		.node = { .ledger_start_ns = r->is_restored ? n->restored_ns : n->start_ns,
			  .peak_ops_per_s = s->config.node_peak,
			  .device_count = SIM_GPUS,
			  .inventory = sim_hash(&s->config, 7, i->node) },
		.sequence = s->sequence,
		.attempted = !(s->job[i->job].meters >> OM_METER_DEVICE & 1),
	};
}

int sim_send_raw(struct sim *s, const struct om_reading *r, const void *value, size_t len)
{
	return sim_send_as(s, &r->key.ledger, r, value, len);
}

int sim_send_as(struct sim *s, const struct om_id *ledger, const struct om_reading *r, const void *value, size_t len)
{
	uint8_t key[OM_REGISTER_KEY_SIZE];
	char source[64], hex[OM_ID_STRLEN], id[20 + 1 + 48 + 1];
	struct om_event ev = { .topic = OM_TOPIC_READINGS,
			       .key = key,
			       .key_len = sizeof(key),
			       .value = value,
			       .value_len = len,
			       .ce_type = "opmeter.reading.v1",
			       .ce_source = source,
			       .ce_id = id,
			       .time_ns = r->value.to_ns };
	int n;

	om_register_key_encode(&r->key, key);
	snprintf(source, sizeof(source), "/opmeter/%s", om_id_format(ledger, hex));
	n = snprintf(id, sizeof(id), "%llu-", (unsigned long long)r->sequence);
	for (int i = 16; i < OM_REGISTER_KEY_SIZE; i++)
		n += snprintf(id + n, sizeof(id) - (size_t)n, "%02x", key[i]);
	return wire_send(s->wire, &ev, s->config.has_fault[SIM_REPLAY] && s->tick < s->ticks / 3);
}

int sim_send_reading(struct sim *s, const struct sim_instance *i, const struct sim_register *r,
		     const struct om_value *value)
{
	uint8_t bytes[OM_READING_SIZE];
	struct om_reading reading;

	s->sequence++;
	s->readings++;
	sim_reading_of(s, i, r, value, &reading);
	om_reading_encode(&reading, bytes);
	return sim_send_raw(s, &reading, bytes, sizeof(bytes));
}

int sim_send_assignment(struct sim *s, const struct om_assignment *a)
{
	char key[224], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], source[64], at[OM_TIME_STRLEN], id[48];
	_cleanup_free_ char *data = om_assignment_encode(a), *text = NULL;
	struct om_event ev = { .topic = OM_TOPIC_ASSIGNMENTS, .key = key, .time_ns = a->at_ns };
	json_t *event;

	if (!data)
		return -ENOMEM;
	snprintf(source, sizeof(source), "/opmeter/%s", om_id_format(&a->ledger, ledger));
	snprintf(id, sizeof(id), "assignment-%llu", (unsigned long long)++s->sequence);
	event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "specversion", "1.0", "id", id, "source", source, "type",
			  "opmeter.assignment.v1", "time", om_time_format(a->at_ns, at), "datacontenttype",
			  "application/json", "data", json_loads(data, 0, NULL));
	text = event ? json_dumps(event, JSON_COMPACT) : NULL;
	json_decref(event);
	if (!text)
		return -ENOMEM;
	ev.key_len = (size_t)snprintf(key, sizeof(key), "%s/%s/%s", ledger, om_id_format(&a->job, job),
				      om_assignment_kind_name(a->kind));
	if (!s->config.has_older || a->ledger.byte[0] % 2)
		ev.key_len += (size_t)snprintf(key + ev.key_len, sizeof(key) - ev.key_len, "/%llu/%s",
					       (unsigned long long)a->from_ns, a->person[0] ? "person" : "rule");
	ev.value = text;
	ev.value_len = strlen(text);
	s->assignments++;
	return wire_send(s->wire, &ev, false);
}

static struct om_assignment judgement(const struct sim *s, const struct sim_instance *i, bool restored,
				      enum om_assignment_kind kind, const char *value, uint32_t tick)
{
	const struct sim_node *n = &s->node[i->node];
	struct om_assignment a = { .ledger = restored ? n->restored : n->ledger,
				   .job = i->id,
				   .kind = kind,
				   .from_ns = sim_tick_s(s, tick) * SIM_NS,
				   .at_ns = sim_tick_s(s, tick) * SIM_NS,
				   .share_low_ppm = 1000000,
				   .share_high_ppm = 1000000,
				   .rule = "fleetsim",
				   .version = "1",
				   .evidence = "simulated" };

	snprintf(a.value, sizeof(a.value), "%s", value);
	return a;
}

int sim_send_move(struct sim *s, struct sim_instance *i, bool restored)
{
	const struct sim_job *j = &s->job[i->job];
	struct om_assignment a = judgement(s, i, restored, OM_ASSIGN_TENANT, j->moved_to, j->move_tick);

	return sim_send_assignment(s, &a);
}

int sim_send_assignments(struct sim *s, struct sim_instance *i, bool restored)
{
	const struct sim_job *j = &s->job[i->job];
	const struct {
		enum om_assignment_kind kind;
		const char *value;
	} says[] = { { OM_ASSIGN_TENANT, j->tenant },
		     { OM_ASSIGN_MODEL, j->model },
		     { OM_ASSIGN_LINEAGE, j->lineage },
		     { OM_ASSIGN_PHASE, j->phase == OM_PHASE_UNKNOWN ? "" : om_phase_name(j->phase) } };
	int r = 0;

	for (size_t n = 0; r == 0 && n < ARRAY_SIZE(says); n++) {
		/* A clock that stands back puts work before the job's beginning: a day's leave. */
		uint32_t tick = j->start_tick;
		struct om_assignment a = judgement(s, i, restored, says[n].kind, says[n].value, tick);

		if (!says[n].value[0])
			continue;
		a.from_ns -= SIM_DAY_S * SIM_NS;
		if (says[n].kind == OM_ASSIGN_PHASE) {
			a.share_low_ppm = j->share_low_ppm;
			a.share_high_ppm = j->share_high_ppm;
		}
		r = sim_send_assignment(s, &a);
	}
	return r;
}

static struct sim_register *need_register(struct sim *s, struct sim_instance *i, uint32_t day, uint8_t format,
					  uint8_t meter, bool restored)
{
	const struct sim_node *n = &s->node[i->node];
	struct sim_register *r;

	for (uint32_t k = 0; k < i->count; k++) {
		r = &i->reg[k];
		if (r->key.day == day && r->key.format == format && r->key.meter == meter && r->is_restored == restored)
			return r;
	}
	if (i->count == i->room) {
		uint32_t room = i->room ? 2 * i->room : 4;
		struct sim_register *more = reallocarray(i->reg, room, sizeof(*more));

		if (!more)
			return NULL;
		i->reg = more;
		i->room = room;
	}
	r = &i->reg[i->count++];
	*r = (struct sim_register){ .key = { .ledger = restored ? n->restored : n->ledger,
					     .job = i->id, .day = day, .format = format, .meter = meter },
				    .is_restored = restored };
	return r;
}

static void stretch(struct om_value *v, uint64_t from_ns, uint64_t to_ns)
{
	if (!v->from_ns || from_ns < v->from_ns)
		v->from_ns = from_ns;
	if (to_ns > v->to_ns)
		v->to_ns = to_ns;
	v->calls++;
}

/* What one meter has seen of `ops` in this tick. */
static void accrue(struct om_value *v, const struct sim_job *j, uint8_t meter, opcount ops, opcount peak)
{
	switch (meter) {
	case OM_METER_SHAPE:
		v->exact += ops;
		break;
	case OM_METER_LAUNCH:
		v->low += ops / 16;
		v->high += ops / 10;
		break;
	case OM_METER_DEVICE: /* a little more than was asked for, or, contradicting it, half */
		v->low += j->is_contradicted ? ops / 2 : ops + ops / 8;
		v->high += j->is_contradicted ? ops / 2 : ops + ops / 5;
		break;
	case OM_METER_ALLOCATION:
		v->high += peak;
		break;
	case OM_METER_COUNTER: /* of so few digits that a double holds each sum of them */
		v->mean += (double)(uint64_t)(ops / 8 >> SIM_SAMPLED_BITS) * (double)(1ULL << SIM_SAMPLED_BITS);
		break;
	case OM_METER_CORRECTION: /* more was missed of some jobs, and taken back of others */
		v->exact += j->is_contradicted ? ops / 50 : ops / 7;
		v->low += j->is_contradicted ? ops / 5 : 0;
		v->high += j->is_contradicted ? ops / 3 : ops / 90;
		break;
	}
}

static int step(struct sim *s, struct sim_instance *i, uint32_t number, uint32_t tick)
{
	struct sim_node *n = &s->node[i->node];
	const struct sim_job *j = &s->job[i->job];
	uint64_t tick_s = s->config.tick_s, end_s = (uint64_t)((int64_t)sim_tick_s(s, tick + 1) + n->clock_s);
	opcount ops = (opcount)i->ops_per_s * tick_s + (sim_hash(&s->config, STREAM_STEP, (uint64_t)number << 24 | tick) & 0xffff);
	opcount peak = (opcount)(s->config.node_peak / SIM_GPUS * i->gpus) * tick_s, left = ops;
	uint32_t day = (uint32_t)((end_s - 1) / SIM_DAY_S);
	bool restored = n->restored_ns != 0;

	for (uint64_t k = 0; k < s->config.formats; k++) {
		opcount here = k + 1 == s->config.formats ? left : left * 3 / 5;
		struct sim_register *r = need_register(s, i, day, formats[k], OM_METER_SHAPE, restored);

		if (!r)
			return -ENOMEM;
		left -= here;
		accrue(&r->value, j, OM_METER_SHAPE, here, peak);
		stretch(&r->value, (end_s - tick_s) * SIM_NS, end_s * SIM_NS);
		r->is_changed = true;
	}
	for (uint8_t m = OM_METER_LAUNCH; m <= OM_METER_CORRECTION; m++) {
		struct sim_register *r;

		if (!(j->meters >> m & 1))
			continue;
		r = need_register(s, i, day, OM_FORMAT_UNKNOWN, m, restored);
		if (!r)
			return -ENOMEM;
		accrue(&r->value, j, m, ops, peak);
		stretch(&r->value, (end_s - tick_s) * SIM_NS, end_s * SIM_NS);
		r->is_changed = true;
	}
	return 0;
}

/* Everything that changed of one instance; `torn`: only the first, and then half a record. */
static int publish(struct sim *s, struct sim_instance *i, bool torn)
{
	int r = 0;

	for (uint32_t k = 0; r == 0 && k < i->count; k++) {
		if (!i->reg[k].is_changed)
			continue;
		if (torn && k > 0) {
			struct om_reading cut;
			uint8_t bytes[OM_READING_SIZE];

			sim_reading_of(s, i, &i->reg[k], &i->reg[k].value, &cut);
			om_reading_encode(&cut, bytes);
			s->forged[SIM_FORGED_DAMAGED]++;
			return sim_send_raw(s, &cut, bytes, OM_READING_SIZE / 2);
		}
		r = sim_send_reading(s, i, &i->reg[k], &i->reg[k].value);
		i->reg[k].is_changed = false;
	}
	return r;
}

static int send_image(struct sim *s, struct sim_instance *i)
{
	int r = 0;

	for (uint32_t k = 0; r == 0 && k < i->count; k++) {
		const struct sim_register *g = &i->reg[k];

		if (!g->image.calls)
			continue;
		s->regressed += !g->is_changed && g->image.calls < g->value.calls;
		r = sim_send_reading(s, i, g, &g->image);
	}
	return r;
}

static void take_image(struct sim_instance *i)
{
	for (uint32_t k = 0; k < i->count; k++)
		i->reg[k].image = i->reg[k].value;
}

/* Who is told of and not yet: before any reading that it speaks of, unless it is late. */
static int tell(struct sim *s, struct sim_instance *i, uint32_t tick)
{
	struct sim_node *n = &s->node[i->node];
	const struct sim_job *j = &s->job[i->job];
	int r = 0;

	if (tick >= j->tell_tick && !i->is_told) {
		i->is_told = true;
		r = sim_send_assignments(s, i, false);
	}
	if (r == 0 && n->restored_ns && tick >= j->tell_tick && !i->is_told_restored && j->end_tick > n->restore_tick) {
		i->is_told_restored = true;
		r = sim_send_assignments(s, i, true);
		if (r == 0 && i->is_moved)
			r = sim_send_move(s, i, true);
	}
	if (r == 0 && tick >= j->move_tick && !i->is_moved) {
		i->is_moved = true;
		r = sim_send_move(s, i, false);
		if (r == 0 && i->is_told_restored)
			r = sim_send_move(s, i, true);
	}
	return r;
}

static void pass_node(struct sim *s, struct sim_node *n, uint32_t tick)
{
	if (tick == n->clock_tick[0])
		n->clock_s = n->clock_step_s;
	if (tick == n->clock_tick[1])
		n->clock_s = 0;
	if (tick == n->restore_tick)
		n->restored_ns = sim_tick_s(s, tick) * SIM_NS;
}

static bool runs(const struct sim *s, const struct sim_instance *i, uint32_t tick)
{
	const struct sim_job *j = &s->job[i->job];

	return tick >= j->start_tick && tick < j->end_tick && tick < s->node[i->node].die_tick;
}

static int pass_instance(struct sim *s, uint32_t number, uint32_t tick)
{
	struct sim_instance *i = &s->instance[number];
	const struct sim_node *n = &s->node[i->node];
	int r = 0;

	if (tick == n->image_tick)
		take_image(i);
	if (tick == n->replay_tick)
		r = send_image(s, i);
	if (r == 0 && runs(s, i, tick))
		r = step(s, i, number, tick);
	if (r == 0 && tick < n->hold_tick)
		r = publish(s, i, tick == n->torn_tick);
	if (r == 0 && s->config.has_fault[SIM_FORGE] && runs(s, i, tick) &&
	    sim_hash(&s->config, STREAM_FORGE, (uint64_t)number << 24 | tick) % 37 == 0)
		r = sim_forge(s, i, (uint64_t)number << 24 | tick);
	return r;
}

/* Publication at a given rate, by the real clock. */
static void keep_pace(const struct sim *s, const struct timespec *begin)
{
	struct timespec until = *begin;
	uint64_t ns;

	if (!s->config.rate || s->config.is_dry)
		return;
	ns = (uint64_t)((unsigned __int128)wire_sent(s->wire) * SIM_NS / s->config.rate);
	until.tv_sec += (time_t)(ns / SIM_NS);
	until.tv_nsec += (long)(ns % SIM_NS);
	if (until.tv_nsec >= (long)SIM_NS) {
		until.tv_sec++;
		until.tv_nsec -= (long)SIM_NS;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int tell_all(struct sim *s, uint32_t tick)
{
	uint64_t before = s->assignments;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->instance_count; i++)
		if (tick >= s->job[s->instance[i].job].start_tick)
			r = tell(s, &s->instance[i], tick);
	/* Whoever reads both topics may still see a reading first, but none that waited for this. */
	return r ?: s->assignments != before ? wire_flush(s->wire) : 0;
}

static int finish(struct sim *s)
{
	int r = 0;

	s->tick = s->ticks;
	if (s->config.has_fault[SIM_REPLAY])
		r = wire_replay(s->wire);
	for (size_t i = 0; r == 0 && i < s->instance_count; i++) {
		for (uint32_t k = 0; s->config.republish && k < s->instance[i].count; k++)
			s->instance[i].reg[k].is_changed = true;
		r = tell(s, &s->instance[i], s->ticks) ?: publish(s, &s->instance[i], false);
	}
	return r ?: wire_flush(s->wire) ?: sim_linger(s);
}

int sim_run(struct sim *s, struct error_text *err)
{
	struct timespec begin;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	r = sim_cross_begin(s);
	for (uint32_t tick = 0; r == 0 && tick < s->ticks; tick++) {
		s->tick = tick;
		for (size_t n = 0; n < s->config.nodes; n++)
			pass_node(s, &s->node[n], tick);
		r = tell_all(s, tick);
		for (uint32_t i = 0; r == 0 && i < s->instance_count; i++) {
			r = pass_instance(s, i, tick);
			if (i % 64)
				continue;
			keep_pace(s, &begin);
			r = r ?: sim_cross(s) ?: sim_beat(s);
		}
		keep_pace(s, &begin);
		r = r ?: sim_cross(s) ?: sim_beat(s);
	}
	r = r ?: finish(s);
	return r ? error_set(err, r, "the simulation ended: %s", strerror(-r)) : 0;
}
