// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/alert.h"

enum { STREAM_CROSS = 400 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SIM_NS + (uint64_t)t.tv_nsec;
}

/* Who the crossings are is said at the beginning: what is measured is the reading's way. */
int sim_cross_begin(struct sim *s)
{
	int r = 0;

	s->crossed_ms = calloc(s->config.crossings + 1, sizeof(*s->crossed_ms));
	if (!s->crossed_ms)
		return -ENOMEM;
	for (uint64_t n = 0; r == 0 && n < s->config.crossings; n++) {
		struct om_assignment a = { .ledger = s->node[n % s->config.nodes].ledger,
					   .job = sim_id(&s->config, STREAM_CROSS, n),
					   .from_ns = s->begin_s * SIM_NS, .at_ns = s->begin_s * SIM_NS,
					   .share_low_ppm = 1000000, .share_high_ppm = 1000000,
					   .rule = "fleetsim", .version = "1", .evidence = "simulated" };

		a.kind = OM_ASSIGN_TENANT;
		snprintf(a.value, sizeof(a.value), "cross-%llu", (unsigned long long)n);
		r = sim_send_assignment(s, &a);
		a.kind = OM_ASSIGN_MODEL;
		snprintf(a.value, sizeof(a.value), "m");
		r = r ?: sim_send_assignment(s, &a);
		a.kind = OM_ASSIGN_PHASE;
		snprintf(a.value, sizeof(a.value), "%s", om_phase_name(OM_PHASE_TRAINING));
		r = r ?: sim_send_assignment(s, &a);
	}
	return r;
}

static int cross_one(struct sim *s, uint64_t n)
{
	const struct sim_node *node = &s->node[n % s->config.nodes];
	uint64_t end_ns = sim_tick_s(s, s->tick + 1) * SIM_NS;
	struct om_reading r = { .key = { .ledger = node->ledger,
					 .job = sim_id(&s->config, STREAM_CROSS, n),
					 .day = (uint32_t)((sim_tick_s(s, s->tick + 1) - 1) / SIM_DAY_S),
					 .format = OM_FORMAT_BF16, .meter = OM_METER_SHAPE },
				.value = { .exact = s->config.crossing_ops, .calls = 1,
					   .from_ns = end_ns - s->config.tick_s * SIM_NS, .to_ns = end_ns },
				.node = { .ledger_start_ns = node->start_ns, .peak_ops_per_s = s->config.node_peak,
					  .device_count = SIM_GPUS, .inventory = sim_hash(&s->config, 7, n % s->config.nodes) },
				.sequence = ++s->sequence, .attempted = true };
	uint8_t bytes[OM_READING_SIZE];

	om_reading_encode(&r, bytes);
	s->readings++;
	s->crossed_ms[n] = now_ns() / 1000000;
	return sim_send_raw(s, &r, bytes, sizeof(bytes));
}

/* Evenly over the run: the n-th when n parts of its ticks are over. */
int sim_cross(struct sim *s)
{
	int r = 0;

	/* Not in the first eighth, where who starts up would be measured. */
	while (r == 0 && s->crossed < s->config.crossings &&
	       (uint64_t)s->tick * 8 * s->config.crossings >= s->ticks * s->config.crossings + s->crossed * 7 * s->ticks)
		r = cross_one(s, s->crossed++);
	return r;
}

static bool has_name(const json_t *list, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) if (!strcmp(json_string_value(one), name)) return true;
	return false;
}

/* Whose jobs computed there in the last day, as far as the node was told. */
static json_t *tenants_of(const struct sim *s, const struct sim_node *n)
{
	uint32_t day = SIM_DAY_S / (uint32_t)s->config.tick_s;
	json_t *list = json_array();

	for (size_t i = 0; i < s->instance_count; i++) {
		const struct sim_instance *at = &s->instance[i];
		const struct sim_job *j = &s->job[at->job];
		const char *name = !at->is_told || !j->tenant[0] ? "unknown" : at->is_moved ? j->moved_to : j->tenant;

		if (&s->node[at->node] != n || !at->count || j->start_tick > s->tick || j->end_tick + day < s->tick)
			continue;
		if (!has_name(list, name))
			json_array_append_new(list, json_string(name));
	}
	return list;
}

static int beat(struct sim *s, struct sim_node *n, uint64_t at_ns)
{
	char source[64], hex[OM_ID_STRLEN], number[24], peak[24], sequence[24];
	_cleanup_free_ char *text = NULL, *data = NULL;
	struct alert a = { .type = ALERT_HEARTBEAT, .source = source, .subject = "node", .time_ns = at_ns };
	struct om_event ev = { .topic = OM_TOPIC_ALERTS, .key = source, .time_ns = at_ns };
	json_t *tenants = tenants_of(s, n), *o;

	free(n->told);
	n->told = json_dumps(tenants, JSON_COMPACT);
	snprintf(source, sizeof(source), "/opmeter/%s", om_id_format(n->restored_ns ? &n->restored : &n->ledger, hex));
	snprintf(number, sizeof(number), "%llu", (unsigned long long)at_ns);
	snprintf(peak, sizeof(peak), "%llu", (unsigned long long)s->config.node_peak);
	snprintf(sequence, sizeof(sequence), "%llu", (unsigned long long)s->beats);
	o = json_pack("{s:I,s:s,s:s,s:s,s:s,s:o}", "interval_s", (json_int_t)((s->config.beat_ns + SIM_NS - 1) / SIM_NS), "sequence", sequence,
		      "registers", "0", "backlog", "0", "peak_ops_per_s", peak, "tenants", tenants);
	a.data = data = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!data || !n->told)
		return -ENOMEM;
	alert_make_id(ALERT_HEARTBEAT, source, "", "", "node", number, &a.id);
	text = alert_encode(&a);
	if (!text)
		return -ENOMEM;
	ev.key_len = strlen(source);
	ev.value = text;
	ev.value_len = strlen(text);
	s->beats++;
	return wire_send(s->wire, &ev, false);
}

int sim_beat(struct sim *s)
{
	uint64_t now = now_ns();
	int r = 0;

	if (!s->config.beat_ns || s->config.is_dry || now < s->next_beat_ns)
		return 0;
	s->next_beat_ns = now + s->config.beat_ns;
	for (size_t i = 0; r == 0 && i < s->config.nodes; i++)
		if (s->tick < s->node[i].die_tick && s->tick < s->node[i].hold_tick)
			r = beat(s, &s->node[i], now);
	return r;
}

int sim_linger(struct sim *s)
{
	uint64_t end = now_ns() + s->config.linger_ns;
	int r = 0;

	while (r == 0 && s->config.linger_ns && !s->config.is_dry && now_ns() < end) {
		r = sim_beat(s) ?: wire_flush(s->wire);
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
	return r;
}
