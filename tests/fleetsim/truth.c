// SPDX-License-Identifier: Apache-2.0
/*
 * The truth: what the fleet's totals must come to, from what the simulated nodes
 * did. Own code on purpose: nothing of core/totals.c or core/reconcile.c is used,
 * only the rules as docs/formats.md and core/reconcile.h state them.
 */
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "userspace/base/cleanup.h"

struct figure {
	opcount low, high, ceiling;
};

/* What one job's day is, all meters together. */
struct job_day {
	opcount asked, launched_low, launched_high, device, allocated;
	opcount sampled, added, taken_low, taken_high; /* the counter meter's; corrections */
	bool has_device, has_allocation;
	uint64_t registers;
};

struct subject {
	char tenant[SIM_NAME], model[SIM_NAME], lineage[SIM_NAME];
	struct figure all, training;
	/* No order in which the records may be read makes the subject's training larger than this. */
	opcount most_low, most_high;
	uint64_t registers;
};

struct table {
	struct subject *item;
	size_t count, room, last;
	bool failed;
};

static opcount least(opcount a, opcount b)
{
	return a < b ? a : b;
}

static opcount minus(opcount a, opcount b)
{
	return a > b ? a - b : 0;
}

/* core/reconcile.h, with r = 4. */
static opcount under_roof(const struct job_day *d, opcount roof)
{
	opcount everything = 4 * roof;
	opcount beside_products = d->asked + 4 * minus(roof, d->asked);
	opcount beside_kernels = d->asked + d->launched_high + d->sampled + 4 * minus(minus(roof, d->asked), d->launched_low / 4 + d->sampled);

	return least(everything, least(beside_products, beside_kernels));
}

static struct figure by_meters(const struct job_day *d)
{
	opcount asked_low = d->asked + d->launched_low + d->sampled, asked_high = d->asked + d->launched_high + d->sampled, roof, sure;
	struct figure f = { asked_low, asked_high, asked_high };
	bool by_device = d->has_device && (!d->has_allocation || d->device <= d->allocated);

	if (!d->has_device && !d->has_allocation)
		return f;
	roof = by_device ? d->device : d->allocated;
	sure = least(d->asked, roof);
	f.low = sure + least(d->launched_low + d->sampled, 4 * (roof - sure));
	f.ceiling = f.low < asked_low ? asked_high : under_roof(d, roof);
	if (f.ceiling < f.low)
		f.ceiling = f.low;
	f.high = by_device ? f.ceiling : asked_high;
	return f;
}

/* Corrections come last, and take nothing below zero. */
static struct figure reconcile(const struct job_day *d)
{
	struct figure f = by_meters(d);

	return (struct figure){ minus(f.low + d->added, d->taken_high), minus(f.high + d->added, d->taken_low),
				minus(f.ceiling + d->added, d->taken_low) };
}

static opcount share_down(opcount v, uint32_t ppm)
{
	return v * ppm / 1000000;
}

static opcount share_up(opcount v, uint32_t ppm)
{
	return (v * ppm + 999999) / 1000000;
}

static struct figure training_of(const struct sim_job *j, const struct figure *all)
{
	switch (j->phase) {
	case OM_PHASE_INFERENCE:
		return (struct figure){ 0 };
	case OM_PHASE_UNKNOWN:
		return (struct figure){ 0, all->high, all->ceiling };
	default:
		return (struct figure){ share_down(all->low, j->share_low_ppm), share_up(all->high, j->share_high_ppm),
					share_up(all->ceiling, j->share_high_ppm) };
	}
}

static void add(struct figure *to, const struct figure *f)
{
	to->low += f->low;
	to->high += f->high;
	to->ceiling += f->ceiling;
}

static struct subject *find(struct table *t, const char *tenant, const char *model, const char *lineage)
{
	for (size_t k = 0; k < t->count; k++) {
		struct subject *s = &t->item[(t->last + k) % t->count];

		if (!strcmp(s->tenant, tenant) && !strcmp(s->model, model) && !strcmp(s->lineage, lineage)) {
			t->last = (size_t)(s - t->item);
			return s;
		}
	}
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct subject *more = reallocarray(t->item, room, sizeof(*more));

		if (!more) {
			t->failed = true;
			return NULL;
		}
		t->item = more;
		t->room = room;
	}
	t->item[t->count] = (struct subject){ 0 };
	snprintf(t->item[t->count].tenant, SIM_NAME, "%s", tenant);
	snprintf(t->item[t->count].model, SIM_NAME, "%s", model);
	snprintf(t->item[t->count].lineage, SIM_NAME, "%s", lineage);
	return &t->item[t->count++];
}

/* While meters, phase and names come one by one a subject may for a moment hold more than in the end. */
static void add_most(struct table *t, const char *tenant, const char *model, opcount low, opcount high)
{
	struct subject *s = find(t, tenant[0] ? tenant : "unknown", model[0] ? model : "unassigned", "");

	if (!s)
		return;
	s->most_low += low;
	s->most_high += high;
}

static void add_transients(struct table *t, const struct sim *s, const struct sim_job *j, const struct job_day *d,
			   const struct figure *all, const struct figure *training, bool moved)
{
	opcount asked_low = d->asked + d->launched_low + d->sampled + d->added;
	opcount asked_high = d->asked + d->launched_high + d->sampled + d->added;
	opcount alone = d->has_device ? 4 * d->device + d->added : 0; /* the device's word before the products' */
	bool corrected = d->added || d->taken_high;
	bool late = j->tell_tick != j->start_tick, disorder = s->config.has_fault[SIM_SHUFFLE];
	opcount high = training->high, low = training->low;

	if (late || disorder || (corrected && training->high) || j->phase == OM_PHASE_UNKNOWN)
		high = (disorder || corrected) && alone > all->high ? alone : all->high > asked_high ? all->high : asked_high;
	else if (d->has_device && training->high)
		high = all->high > asked_high ? all->high : asked_high;
	if (low)
		low = asked_low;
	add_most(t, j->tenant, j->model, low, high);
	if (moved)
		add_most(t, j->moved_to, j->model, low, high);
	if (!late)
		return;
	add_most(t, "", j->model, low, high);
	if (j->model[0])
		add_most(t, j->tenant, "", low, high);
	if (j->model[0] && j->tenant[0])
		add_most(t, "", "", low, high);
}

static void add_job_day(struct table *totals, struct table *lineages, const struct sim *s, const struct sim_instance *i,
			uint32_t day, const struct job_day *d)
{
	const struct sim_job *j = &s->job[i->job];
	/* It holds for the whole of the day on which it begins. */
	bool moved = i->is_moved && day >= sim_tick_s(s, j->move_tick) / SIM_DAY_S;
	const char *tenant = moved ? j->moved_to : j->tenant[0] ? j->tenant : "unknown";
	struct figure all = reconcile(d), training = training_of(j, &all);
	struct subject *to = find(totals, tenant, j->model[0] ? j->model : "unassigned", "");

	if (to) {
		add(&to->all, &all);
		add(&to->training, &training);
		to->registers += d->registers;
	}
	add_transients(totals, s, j, d, &all, &training, moved);
	to = j->lineage[0] ? find(lineages, tenant, "", j->lineage) : NULL;
	if (to) {
		add(&to->all, &all);
		add(&to->training, &training);
		to->registers += d->registers;
	}
}

static void see(struct job_day *d, const struct sim_register *r)
{
	const struct om_value *v = &r->value;

	d->registers++;
	switch (r->key.meter) {
	case OM_METER_SHAPE:
		d->asked += v->exact;
		break;
	case OM_METER_LAUNCH:
		d->launched_low += v->low;
		d->launched_high += v->high;
		break;
	case OM_METER_DEVICE:
		d->has_device = true;
		d->device += v->high;
		break;
	case OM_METER_COUNTER:
		d->sampled += (opcount)v->mean;
		break;
	case OM_METER_CORRECTION:
		d->added += v->exact;
		d->taken_low += v->low;
		d->taken_high += v->high;
		break;
	case OM_METER_ALLOCATION:
		d->has_allocation = true;
		d->allocated += v->high;
		break;
	}
}

static void add_instance(struct table *totals, struct table *lineages, const struct sim *s, const struct sim_instance *i)
{
	for (uint32_t k = 0; k < i->count; k++) {
		struct job_day d = { 0 };
		bool is_first = true;

		for (uint32_t n = 0; n < i->count; n++) {
			if (i->reg[n].key.day != i->reg[k].key.day || i->reg[n].is_restored != i->reg[k].is_restored)
				continue;
			is_first = is_first && n >= k;
			see(&d, &i->reg[n]);
		}
		if (is_first)
			add_job_day(totals, lineages, s, i, i->reg[k].key.day, &d);
	}
}

static json_t *decimal(opcount v)
{
	char buf[OPCOUNT_STRLEN];

	return json_string(opcount_format(v, buf));
}

static json_t *figure_json(const struct figure *f)
{
	return json_pack("{s:o,s:o,s:o}", "low", decimal(f->low), "high", decimal(f->high), "ceiling", decimal(f->ceiling));
}

static json_t *subjects_json(const struct table *t)
{
	json_t *a = json_array();

	for (size_t k = 0; k < t->count; k++) {
		const struct subject *s = &t->item[k];

		json_array_append_new(a, json_pack("{s:s,s:s,s:s,s:o,s:o,s:{s:o,s:o},s:I}", "tenant", s->tenant, "model",
						   s->model, "lineage", s->lineage, "all", figure_json(&s->all), "training",
						   figure_json(&s->training), "most", "low", decimal(s->most_low), "high",
						   decimal(s->most_high), "registers", (json_int_t)s->registers));
	}
	return a;
}

static json_t *plan_json(const struct sim *s)
{
	json_t *faults = json_array(), *forged = json_object();
	uint64_t registers = 0;

	for (int f = 0; f < SIM_FAULTS; f++)
		if (s->config.has_fault[f])
			json_array_append_new(faults, json_string(sim_fault_name((enum sim_fault)f)));
	for (int f = 0; f < SIM_FORGERIES; f++)
		json_object_set_new(forged, sim_forgery_name((enum sim_forgery)f), json_integer((json_int_t)s->forged[f]));
	for (size_t i = 0; i < s->instance_count; i++)
		registers += s->instance[i].count;
	return json_pack("{s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "seed", (json_int_t)s->config.seed, "faults",
			 faults, "nodes", (json_int_t)s->config.nodes, "jobs", (json_int_t)s->job_count, "not_placed",
			 (json_int_t)s->not_placed, "instances", (json_int_t)s->instance_count, "ticks", (json_int_t)s->ticks,
			 "registers", (json_int_t)registers, "readings", (json_int_t)s->readings, "regressed", (json_int_t)s->regressed, "assignments",
			 (json_int_t)s->assignments, "heartbeats", (json_int_t)s->beats, "sent", (json_int_t)(s->wire ? wire_sent(s->wire) : 0), "forged", forged);
}

/* Of the crossings that were sent: when, and their totals, which nothing else adds to. */
static json_t *crossings_json(const struct sim *s, struct table *totals)
{
	json_t *a = json_array();

	for (uint64_t n = 0; n < s->crossed; n++) {
		struct figure f = { s->config.crossing_ops, s->config.crossing_ops, s->config.crossing_ops };
		char tenant[SIM_NAME];
		struct subject *to;

		snprintf(tenant, sizeof(tenant), "cross-%llu", (unsigned long long)n);
		to = find(totals, tenant, "m", "");
		if (!to)
			break;
		add(&to->all, &f);
		add(&to->training, &f);
		to->most_low = to->most_high = f.low;
		to->registers++;
		json_array_append_new(a, json_pack("{s:s,s:I}", "tenant", tenant, "sent_ms", (json_int_t)s->crossed_ms[n]));
	}
	return a;
}

/* What is known of every node: who died is planned, whose tenants it named last only a run with a broker tells. */
static json_t *nodes_json(const struct sim *s)
{
	json_t *a = json_array();

	for (size_t i = 0; s->config.beat_ns && i < s->config.nodes; i++) {
		const struct sim_node *n = &s->node[i];
		char source[64], hex[OM_ID_STRLEN];

		snprintf(source, sizeof(source), "/opmeter/%s", om_id_format(&n->ledger, hex));
		json_array_append_new(a, json_pack("{s:s,s:b,s:o}", "source", source, "dies", n->die_tick < s->ticks, "tenants",
						   n->told ? json_loads(n->told, 0, NULL) : json_null()));
	}
	return a;
}

int sim_write_truth(const struct sim *s, FILE *to)
{
	struct table totals = { 0 }, lineages = { 0 };
	json_t *o = plan_json(s);
	int r;

	for (size_t i = 0; i < s->instance_count; i++)
		add_instance(&totals, &lineages, s, &s->instance[i]);
	json_object_set_new(o, "nodes_told", nodes_json(s));
	json_object_set_new(o, "crossings", crossings_json(s, &totals));
	json_object_set_new(o, "totals", subjects_json(&totals));
	json_object_set_new(o, "lineages", subjects_json(&lineages));
	r = totals.failed || lineages.failed ? -ENOMEM : 0;
	if (r == 0 && (json_dumpf(o, to, JSON_INDENT(1)) || fputc('\n', to) == EOF || fflush(to)))
		r = -EIO;
	json_decref(o);
	free(totals.item);
	free(lineages.item);
	return r;
}
