// SPDX-License-Identifier: Apache-2.0
/*
 * From what devices did to the jobs that held them: whoever has a process on a device
 * holds it, by the driver's own list, and so does whoever it was given to by Kubernetes,
 * Slurm or the operator (holders.h). A holder is charged with all that the device may
 * have done; several are each charged with all of it, as who did what is not
 * known, and none with its lower bound. What a device does that nobody holds goes
 * to the site's line, which has no cgroup.
 *
 * The figures are kept as counts that grow from the start of this agent, so that the
 * ledger takes them as it takes the kernel's: what is new, once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent_internal.h"
#include "device.h"
#include "holders.h"

#define ON_DEVICE_MAX 64 /* of one device */
#define SITE 0		 /* no cgroup has this id */

static struct agent_device_line *line_of(struct agent *a, uint64_t cgroup_id, bool *ret_is_new)
{
	struct agent_device_line *more;

	for (size_t i = 0; i < a->device_line_count; i++)
		if (a->device_lines[i].cgroup_id == cgroup_id)
			return &a->device_lines[i];
	more = reallocarray(a->device_lines, a->device_line_count + 1, sizeof(*more));
	if (!more)
		return NULL;
	a->device_lines = more;
	more += a->device_line_count++;
	*more = (struct agent_device_line){ .cgroup_id = cgroup_id };
	*ret_is_new = true;
	return more;
}

/* Whether a cgroup lies below another one. */
static bool is_within(struct agent *a, uint64_t inner, uint64_t outer)
{
	char above[4096];
	const char *path = cgroups_path(a->cgroups, outer);
	size_t len = (size_t)snprintf(above, sizeof(above), "%s", path ?: "");

	path = cgroups_path(a->cgroups, inner);
	return len && len < sizeof(above) && path && !strncmp(path, above, len) &&
	       (path[len] == '/' || !path[len]);
}

/* The cgroup that a pod's or job's share is put on: one of its own that has work already, so that
 * one job's meters stay together; else the pod's or job's own. */
static uint64_t line_within(struct agent *a, uint64_t holder)
{
	for (size_t i = a->device_line_count; i > 0; i--) {
		uint64_t id = a->device_lines[i - 1].cgroup_id;
		const char *path = id == SITE ? NULL : cgroups_path(a->cgroups, id);

		if (path && is_within(a, id, holder) && cgroups_of_path(a->cgroups, path) == id)
			return id;
	}
	return holder;
}

/* Adds those that the device was given to and that no process of theirs shows on it. */
static size_t add_given(struct agent *a, const struct device_sample *s, uint64_t *ret, size_t n)
{
	uint64_t given[ON_DEVICE_MAX];
	size_t count =
		a->holders ? holders_find(a->holders, s->uuid, s->slice, s->index, given, ON_DEVICE_MAX) : 0;

	for (size_t i = 0; i < count && n < ON_DEVICE_MAX; i++) {
		bool is_there = false;

		for (size_t k = 0; k < n; k++)
			is_there |= is_within(a, ret[k], given[i]);
		if (!is_there)
			ret[n++] = line_within(a, given[i]);
	}
	return n;
}

static size_t holders_of(struct agent *a, const struct device_sample *s, uint64_t ret[ON_DEVICE_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < s->pid_count; i++) {
		uint64_t cgroup_id = cgroups_of_process(a->cgroups, (pid_t)s->pid[i]);
		bool is_known = false;

		for (size_t j = 0; j < n; j++)
			is_known |= ret[j] == cgroup_id;
		if (!is_known && n < ON_DEVICE_MAX)
			ret[n++] = cgroup_id;
	}
	n = add_given(a, s, ret, n);
	if (n == 0 && s->high)
		ret[n++] = SITE;
	return n;
}

struct covered {
	const struct om_id *job;
	uint64_t device_to_ns, counted_from_ns; /* Unix time; 0: never */
};

static int look_at_register(void *ctx, const struct om_attributed *r)
{
	const struct om_reading *reading = r->reading;
	struct covered *c = ctx;

	if (!om_id_equal(&reading->key.job, c->job))
		return 0;
	if (reading->key.meter == OM_METER_DEVICE && reading->value.to_ns > c->device_to_ns)
		c->device_to_ns = reading->value.to_ns;
	if (reading->key.meter != OM_METER_DEVICE && reading->key.meter != OM_METER_ALLOCATION &&
	    (!c->counted_from_ns || reading->value.from_ns < c->counted_from_ns))
		c->counted_from_ns = reading->value.from_ns;
	return 0;
}

/* For how long a job's work was counted while nobody sampled its devices: this agent, or the
 * device meter, came later. ns before the sample begins. */
static int uncovered_before(struct agent *a, uint64_t cgroup_id, const struct device_sample *s, uint64_t *ret)
{
	uint64_t begins = agent_now_ns() - (agent_boot_ns() - s->from_ns), since;
	struct om_id job;
	struct covered c = { .job = &job };
	int r = agent_job(a, cgroup_id, &job);

	r = r ?: om_totals_each_register(a->totals, look_at_register, &c);
	since = c.device_to_ns ?: c.counted_from_ns;
	*ret = r == 0 && since && since + (s->to_ns - s->from_ns) < begins ? begins - since : 0;
	return r;
}

static opcount over(opcount peak, uint64_t ns, uint64_t span_ns)
{
	opcount r;

	return opcount_muldiv(peak, ns, span_ns, &r) ? OPCOUNT_MAX : r;
}

/* As the programs in the kernel do: the switch holds from the moment it is turned. What the
 * device did meanwhile is not known, so it is bounded by its peak. */
static void leave_out(struct agent *a, struct device_sample *s)
{
	if (!(probes_off(a->probes) & (OM_OFF_NODE | OM_OFF_DEVICE)))
		return;
	a->device_samples_off++;
	s->low = 0;
	s->high = s->peak;
	s->busy_ns = 0;
}

static int charge(struct agent *a, uint64_t cgroup_id, const struct device_sample *s, bool is_only)
{
	bool is_new = false;
	struct agent_device_line *l = line_of(a, cgroup_id, &is_new);
	uint64_t before = 0, span = s->to_ns - s->from_ns;
	int r = 0;

	if (!l)
		return -ENOMEM;
	if (is_new && cgroup_id != SITE)
		r = uncovered_before(a, cgroup_id, s, &before);
	opcount_add_saturating(&l->device.low, is_only ? s->low : 0);
	opcount_add_saturating(&l->device.high, s->high);
	opcount_add_saturating(&l->device.high, over(s->peak, before, span));
	l->device.device_time_ns += s->busy_ns;
	l->device.calls++;
	if (cgroup_id == SITE)
		return r;
	opcount_add_saturating(&l->allocation.high, s->peak);
	opcount_add_saturating(&l->allocation.high, over(s->peak, before, span));
	l->allocation.device_time_ns += span + before;
	l->allocation.calls++;
	return r;
}

static int on_sample(void *ctx, const struct device_sample *sample)
{
	uint64_t holder[ON_DEVICE_MAX];
	struct device_sample s = *sample;
	struct agent *a = ctx;
	size_t holders;
	int r = 0;

	leave_out(a, &s);
	holders = holders_of(a, &s, holder);
	for (size_t i = 0; i < holders && r == 0; i++)
		r = charge(a, holder[i], &s, holders == 1 && s.has_all_pids);
	return r;
}

int agent_devices_step(struct agent *a)
{
	struct device_totals t;
	int r;

	if (!a->devices)
		return 0;
	if (a->holders && agent_boot_ns() - a->holders_looked_ns >= 1000000000ULL) {
		a->holders_looked_ns = agent_boot_ns();
		holders_step(a->holders, a->holders_looked_ns);
	}
	device_set_paused(a->devices, probes_off(a->probes) & (OM_OFF_NODE | OM_OFF_DEVICE));
	r = device_step(a->devices, a->formats, on_sample, a);
	device_get_totals(a->devices, &t);
	a->node.device_count = t.devices;
	a->node.peak_ops_per_s = t.peak_ops_per_s;
	if (strcmp(t.why, a->devices_why)) {
		memcpy(a->devices_why, t.why, sizeof(a->devices_why));
		if (t.why[0])
			log_info("no device meter: %s; figures stay `attempted`", t.why);
		else
			log_info("device meter: %u devices", t.devices);
	}
	return r;
}

/* What every line that grows from this agent's start has. */
static int complete(struct agent *a, struct om_usage *u)
{
	u->map = *probes_map_id(a->probes);
	u->start_ns = a->started_ns;
	return agent_job(a, u->cgroup_id, &u->job);
}

static int fill(struct agent *a, const struct agent_device_line *l, uint8_t meter, const struct om_value *now,
		struct om_usage *ret)
{
	*ret = (struct om_usage){
		.cgroup_id = l->cgroup_id, .format = OM_FORMAT_UNKNOWN, .meter = meter, .now = *now
	};
	return complete(a, ret);
}

int agent_devices_usage(struct agent *a, const struct om_usage *counted, size_t count, struct om_usage **ret,
			size_t *ret_count)
{
	struct om_usage *all =
		calloc(count + 2 * a->device_line_count + agent_counter_lines(a) + 1, sizeof(*all));
	int r = 0;

	if (!all)
		return -ENOMEM;
	if (count)
		memcpy(all, counted, count * sizeof(*all));
	for (size_t i = 0; i < a->device_line_count && r == 0; i++) {
		const struct agent_device_line *l = &a->device_lines[i];

		r = fill(a, l, OM_METER_DEVICE, &l->device, &all[count++]);
		if (r == 0 && l->allocation.calls)
			r = fill(a, l, OM_METER_ALLOCATION, &l->allocation, &all[count++]);
	}
	for (size_t i = 0; i < agent_counter_lines(a) && r == 0; i++) {
		agent_counter_line(a, i, &all[count]);
		r = complete(a, &all[count++]);
	}
	if (r) {
		free(all);
		return r;
	}
	*ret = all;
	*ret_count = count;
	return 0;
}
