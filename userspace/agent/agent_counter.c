// SPDX-License-Identifier: Apache-2.0
/*
 * The counter meter's readings put to use: claims of collectors become calibrations of
 * kernels, and launches of kernels that the catalogue does not bound are estimated by
 * them, whoever launched them.
 *
 * What is new since the last look is estimated, with the calibration of that moment, and
 * added to counts that grow from the start of this agent; what was launched while no
 * agent ran is not, and stays among the launches without operations. A calibration's
 * error is the same in all launches of a job, so it adds in full: the variance
 * grows with the square of their number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/calibration.h"
#include "agent_internal.h"
#include "counter.h"

#define CLAIMS_MAX 65536
#define SLOTS_MIN 4096
#define SLOTS_MAX (1u << 18)
#define METRICS_MAX 64
#define PART_MASK 0xff00u /* a metric without its part: what an estimate adds up over */

/* Launches by process and signature in this look, or estimated so far by job and signature. */
struct tally {
	struct om_launch_key key;
	uint64_t launches;
	bool is_used;
};

struct tallies {
	struct tally *slot;
	size_t slots, count;
};

struct line {
	uint64_t cgroup_id;
	uint8_t format;
	struct om_value value;
};

struct agent_counter {
	struct counter *meter;
	struct agent_collectors *collectors;
	struct om_calibrations *calibrations;
	struct tallies now, before, estimated;
	bool has_looked;	      /* or the kernel's counts began with this agent */
	uint32_t metric[METRICS_MAX]; /* seen in readings, without their parts */
	size_t metric_count;
	struct line *lines;
	size_t line_count;
	uint64_t full; /* claims or tallies for which there was no room */
};

/* --- tallies --- */

static int tallies_init(struct tallies *t, size_t slots)
{
	t->slot = calloc(slots, sizeof(*t->slot));
	t->slots = t->slot ? slots : 0;
	t->count = 0;
	return t->slot ? 0 : -ENOMEM;
}

static struct tally *tally_slot(const struct tallies *t, const struct om_launch_key *key)
{
	uint64_t word[sizeof(*key) / sizeof(uint64_t)], h = 0;
	size_t i;

	/* The key is the tenant's in good part: mixed, so that it does not choose its slot. */
	memcpy(word, key, sizeof(word));
	for (size_t w = 0; w < ARRAY_SIZE(word); w++) {
		h = (h ^ word[w]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	i = h & (t->slots - 1);

	while (t->slot[i].is_used && memcmp(&t->slot[i].key, key, sizeof(*key)))
		i = (i + 1) & (t->slots - 1);
	return &t->slot[i];
}

static int tallies_grow(struct tallies *t)
{
	struct tallies bigger;

	if (t->slots >= SLOTS_MAX)
		return -ENOSPC;
	if (tallies_init(&bigger, t->slots * 2))
		return -ENOMEM;
	for (size_t i = 0; i < t->slots; i++)
		if (t->slot[i].is_used)
			*tally_slot(&bigger, &t->slot[i].key) = t->slot[i];
	bigger.count = t->count;
	free(t->slot);
	*t = bigger;
	return 0;
}

static struct tally *tally_get(struct tallies *t, const struct om_launch_key *key)
{
	struct tally *s = tally_slot(t, key);

	if (s->is_used)
		return s;
	if (2 * (t->count + 1) > t->slots && tallies_grow(t))
		return NULL;
	s = tally_slot(t, key);
	s->key = *key;
	s->is_used = true;
	t->count++;
	return s;
}

static void tallies_clear(struct tallies *t)
{
	memset(t->slot, 0, t->slots * sizeof(*t->slot));
	t->count = 0;
}

/* --- opening --- */

struct agent_counter *agent_counter_free(struct agent_counter *c)
{
	if (!c)
		return NULL;
	counter_free(c->meter);
	agent_collectors_free(c->collectors);
	om_calibrations_free(c->calibrations);
	free(c->now.slot);
	free(c->before.slot);
	free(c->estimated.slot);
	free(c->lines);
	free(c);
	return NULL;
}

static int on_launch(void *ctx, const struct om_launch_key *k, uint64_t launches)
{
	struct agent_counter *c = ctx;
	struct tally *t = tally_get(&c->now, k);

	if (t)
		t->launches += launches;
	else
		c->full++;
	return 0;
}

int agent_counter_open(struct agent *a, struct error_text *err)
{
	struct counter_config config = { .pin_dir = a->config->pin_dir,
					 .control_fd = probes_map_fd(a->probes, PROBES_CONTROL) };
	struct agent_counter *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->has_looked = !probes_was_adopted(a->probes);
	c->calibrations = om_calibrations_new(CLAIMS_MAX);
	c->collectors = agent_collectors_new();
	r = c->calibrations && c->collectors ? 0 : -ENOMEM;
	r = r ?: tallies_init(&c->now, SLOTS_MIN);
	r = r ?: tallies_init(&c->before, SLOTS_MIN);
	r = r ?: tallies_init(&c->estimated, SLOTS_MIN);
	r = r ?: counter_open(&config, &c->meter, err);
	if (r) {
		agent_counter_free(c);
		return r;
	}
	drain_set_unbounded(a->drain, on_launch, c);
	a->counter = c;
	return 0;
}

/* --- libraries --- */

void agent_counter_appeared(struct agent *a, const struct library *lib)
{
	struct error_text err = { 0 };

	if (counter_attach(a->counter->meter, lib->open_path, lib->dev, lib->ino, &err)) {
		log_warn("%s: a collector, not attached to: %s", lib->display_path, err.text);
		return;
	}
	log_info("%s: a collector: its readings are taken", lib->display_path);
}

void agent_counter_released(struct agent *a, const struct library *lib)
{
	counter_release(a->counter->meter, lib->dev, lib->ino);
}

int agent_counter_sweep(struct agent *a)
{
	size_t swept;

	return counter_sweep(a->counter->meter, &swept);
}

/* --- claims --- */

static void learn_metric(struct agent_counter *c, uint32_t metric)
{
	metric &= ~PART_MASK;
	for (size_t i = 0; i < c->metric_count; i++)
		if (c->metric[i] == metric)
			return;
	if (c->metric_count < METRICS_MAX)
		c->metric[c->metric_count++] = metric;
	else
		c->full++;
}

static int say_findings(struct agent *a)
{
	size_t count;
	const struct om_calibration_finding *f = om_calibrations_findings(a->counter->calibrations, &count);
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		const char *path = cgroups_path(a->cgroups, f[i].owner);
		char what[160];

		snprintf(what, sizeof(what),
			 "It says %.3g operations a launch of kernel %016llx, others %.3g: left out. Forged, "
			 "or "
			 "other sizes under one name.",
			 f[i].claimed, (unsigned long long)f[i].key.name, f[i].expected);
		r = agent_say(a, "readings of hardware counters that others contradict", path ?: "a cgroup",
			      what);
	}
	return r;
}

/* --- estimates --- */

static struct line *line_of(struct agent_counter *c, uint64_t cgroup_id, uint8_t format)
{
	struct line *more;

	for (size_t i = 0; i < c->line_count; i++)
		if (c->lines[i].cgroup_id == cgroup_id && c->lines[i].format == format)
			return &c->lines[i];
	more = reallocarray(c->lines, c->line_count + 1, sizeof(*more));
	if (!more)
		return NULL;
	c->lines = more;
	more += c->line_count++;
	*more = (struct line){ .cgroup_id = cgroup_id, .format = format };
	return more;
}

static bool estimate_of(const struct agent_counter *c, const struct om_launch_key *k, uint32_t metric,
			struct om_calibration_estimate *ret)
{
	struct om_calibration_key key = { .name = k->name, .shared = k->shared, .metric = metric };

	memcpy(key.grid, k->grid, sizeof(key.grid));
	memcpy(key.block, k->block, sizeof(key.block));
	return om_calibrations_estimate(c->calibrations, &key, ret) == 0;
}

/* Launches `from` to `to` of a job's signature, by one metric. Counts them once, however many it has. */
static int estimate_metric(struct agent_counter *c, const struct om_launch_key *k, uint32_t metric,
			   uint64_t from, uint64_t to, bool *ret_is_known)
{
	struct om_calibration_estimate e;
	struct line *l;

	if (!estimate_of(c, k, metric, &e) || (e.mean == 0 && *ret_is_known))
		return 0;
	l = line_of(c, k->cgroup_id, OM_CALIBRATION_FORMAT(metric));
	if (!l)
		return -ENOMEM;
	l->value.mean += e.mean * (double)(to - from);
	l->value.variance += e.variance * (double)(to - from) +
			     e.mean_variance * ((double)to * (double)to - (double)from * (double)from);
	l->value.calibration = e.id;
	l->value.calls += *ret_is_known ? 0 : to - from;
	*ret_is_known = true;
	return 0;
}

/* The metric with the most operations first: its format is the one that the launches count under. None of a
 * format says nothing: others may not have been looked at yet, so such a kernel stays unknown. */
static size_t main_metric(const struct agent_counter *c, const struct om_launch_key *k)
{
	struct om_calibration_estimate e;
	double most = 0;
	size_t best = c->metric_count;

	for (size_t i = 0; i < c->metric_count; i++)
		if (estimate_of(c, k, c->metric[i], &e) && e.mean > most) {
			most = e.mean;
			best = i;
		}
	return best;
}

/* What is new of one process's signature, for its job. */
static int estimate(struct agent_counter *c, const struct tally *t, uint64_t before, size_t first)
{
	struct om_launch_key job = t->key;
	struct tally *estimated;
	bool is_known = false;
	uint64_t to, delta = t->launches > before ? t->launches - before : 0;
	int r;

	if (!delta)
		return 0;
	job.tgid = 0;
	job.start_ns = 0;
	estimated = tally_get(&c->estimated, &job);
	if (!estimated) {
		c->full++;
		return 0;
	}
	to = estimated->launches + delta;
	r = estimate_metric(c, &job, c->metric[first], estimated->launches, to, &is_known);
	for (size_t i = 0; i < c->metric_count && r == 0; i++)
		if (i != first)
			r = estimate_metric(c, &job, c->metric[i], estimated->launches, to, &is_known);
	estimated->launches = to;
	return r;
}

static int estimate_all(struct agent_counter *c)
{
	struct tallies swap;
	int r = 0;

	for (size_t i = 0; i < c->now.slots && r == 0; i++) {
		struct tally *t = &c->now.slot[i], *b;
		uint64_t before;
		size_t first;

		if (!t->is_used)
			continue;
		b = tally_slot(&c->before, &t->key);
		before = b->is_used ? b->launches : c->has_looked ? 0 : t->launches;
		/* One that is not calibrated yet waits: all of its launches are still new when it is. */
		first = main_metric(c, &t->key);
		if (first < c->metric_count)
			r = estimate(c, t, before, first);
		else
			t->launches = before;
	}
	swap = c->before;
	c->before = c->now;
	c->now = swap;
	tallies_clear(&c->now);
	c->has_looked = true;
	return r;
}

static uint64_t owner_of(void *ctx, uint64_t cgroup_id)
{
	struct agent *a = ctx;

	return agent_collectors_owner(a, a->counter->collectors, cgroup_id);
}

int agent_counter_look(struct agent *a)
{
	struct agent_counter *c = a->counter;
	struct counter_snapshot s;
	int r;

	if (!c)
		return 0;
	r = counter_read(c->meter, &s);
	for (size_t i = 0; r == 0 && i < s.row_count; i++)
		learn_metric(c, s.rows[i].key.metric);
	if (r == 0)
		agent_collectors_look(a, c->collectors, &s);
	r = r ?: counter_claim(&s, owner_of, a, c->calibrations);
	if (r == -ENOSPC || r == -EINVAL) {
		c->full++;
		r = 0;
	}
	r = r ?: om_calibrations_settle(c->calibrations);
	if (r == 0) {
		size_t settled;

		om_calibrations_all(c->calibrations, &settled);
		log_debug("counter: %zu rows read, %zu calibrations, %zu signatures launched", s.row_count,
			  settled, c->now.count);
	}
	r = r ?: say_findings(a);
	return r ?: estimate_all(c);
}

int agent_counter_forget(struct agent *a, uint32_t tgid, uint64_t start_ns)
{
	struct om_proc_key key = { .tgid = tgid, .start_ns = start_ns };

	return a->counter ? counter_forget(a->counter->meter, &key) : 0;
}

size_t agent_counter_lines(const struct agent *a)
{
	return a->counter ? a->counter->line_count : 0;
}

void agent_counter_line(const struct agent *a, size_t i, struct om_usage *ret)
{
	const struct line *l = &a->counter->lines[i];

	*ret = (struct om_usage){
		.cgroup_id = l->cgroup_id, .format = l->format, .meter = OM_METER_COUNTER, .now = l->value
	};
}

int agent_counter_cost(const struct agent *a, struct probes_cost *ret)
{
	*ret = (struct probes_cost){ 0 };
	return a->counter ? counter_cost(a->counter->meter, &ret->runs, &ret->time_ns) : 0;
}

uint64_t agent_counter_full(const struct agent *a)
{
	return a->counter ? a->counter->full : 0;
}

uint64_t agent_counter_dropped(const struct agent *a)
{
	return a->counter ? om_calibrations_dropped(a->counter->calibrations) : 0;
}

const struct agent_collectors *agent_counter_collectors(const struct agent *a)
{
	return a->counter ? a->counter->collectors : NULL;
}
