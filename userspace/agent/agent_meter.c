// SPDX-License-Identifier: Apache-2.0
/*
 * One drain: what the kernel counted is read, given to its jobs, and committed
 * to the ledger; only then may the kernel forget the dead.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "agent_internal.h"

/* Below a minute: what a job does is known within one, with what the drain and the judging of many jobs take.
 */
#define SHAPES_EVERY_NS 45000000000ULL
#define LAUNCHES_EVERY_NS 5000000000ULL /* walking their maps costs what they could hold */

/* The job instance goes on record with the path that names it. */
static int record_job(struct agent *a, const struct om_id *job, uint64_t cgroup_id, const char *path)
{
	char id[OM_ID_STRLEN], boot[OM_ID_STRLEN], cgroup[24], unique[80];
	_cleanup_free_ char *text = NULL;
	json_t *o;
	int r;

	snprintf(cgroup, sizeof(cgroup), "%llu", (unsigned long long)cgroup_id);
	o = json_pack("{s:i,s:s,s:s,s:s,s:s?}", "v", 1, "job", om_id_format(job, id), "boot",
		      om_id_format(cgroups_boot_id(a->cgroups), boot), "cgroup", cgroup, "path", path);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return -ENOMEM;
	snprintf(unique, sizeof(unique), "job/%s/%s", id, path ? "path" : "no-path");
	r = om_ledger_append(a->ledger, OM_ENTRY_JOB, unique, text, strlen(text), agent_now_ns(), NULL);
	return r < 0 ? r : 0;
}

static struct agent_job *cache_slot(struct agent *a, uint64_t cgroup_id)
{
	size_t i = (cgroup_id * 0x9e3779b97f4a7c15ULL >> 40) % AGENT_JOBS_SLOTS;

	for (size_t n = 0; n < 16; n++, i = (i + 1) % AGENT_JOBS_SLOTS)
		if (a->jobs[i].cgroup_id == cgroup_id || a->jobs[i].cgroup_id == 0)
			return &a->jobs[i];
	return NULL;
}

int agent_job(struct agent *a, uint64_t cgroup_id, struct om_id *ret)
{
	struct agent_job *cached = cgroup_id ? cache_slot(a, cgroup_id) : NULL;
	uint64_t now = agent_now_ns();
	const char *path;
	bool is_new;
	int r;

	if (cached && cached->cgroup_id == cgroup_id && cached->has_path) {
		*ret = cached->job;
		return 0;
	}
	path = cgroup_id ? cgroups_path(a->cgroups, cgroup_id) : NULL;
	r = om_ledger_job(a->ledger, cgroups_boot_id(a->cgroups), cgroup_id, path, now, ret, &is_new);
	if (r)
		return r;
	if (is_new || (path && cached && cached->cgroup_id == cgroup_id && !cached->has_path))
		r = record_job(a, ret, cgroup_id, path);
	if (r == 0 && (!cached || cached->cgroup_id != cgroup_id || (path && !cached->has_path)))
		r = agent_assign(a, ret, cgroup_id, path, now);
	if (r == 0 && cached)
		*cached = (struct agent_job){ .cgroup_id = cgroup_id, .job = *ret, .has_path = path != NULL };
	return r;
}

int agent_lose(struct agent *a, uint64_t cgroup_id, uint8_t meter, enum om_loss loss, uint64_t n)
{
	struct om_register_key key = { .format = OM_FORMAT_UNKNOWN, .meter = meter };
	struct om_value delta = { 0 };
	int r = agent_job(a, cgroup_id, &key.job);

	delta.lost[loss] = n;
	return r ?: om_ledger_add(a->ledger, &key, &delta, agent_now_ns());
}

static int learn_cgroups(struct agent *a, const struct drain_result *d)
{
	for (size_t i = 0; i < d->cgroup_count; i++) {
		int r = cgroups_learn(a->cgroups, d->cgroups[i].id, d->cgroups[i].path);

		if (r && r != -ENOSPC)
			return r;
	}
	return 0;
}

static int name_jobs(struct agent *a, struct drain_result *d)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->usage_count; i++)
		r = agent_job(a, d->usage[i].cgroup_id, &d->usage[i].job);
	for (size_t i = 0; r == 0 && i < d->shape_count; i++)
		r = agent_job(a, d->shapes[i].cgroup_id, &d->shapes[i].job);
	for (size_t i = 0; r == 0 && i < d->launch_count; i++)
		r = agent_job(a, d->launches[i].cgroup_id, &d->launches[i].job);
	return r;
}

static void learn_formats(struct agent *a, const struct drain_result *d)
{
	for (size_t i = 0; i < d->usage_count; i++)
		if (d->usage[i].now.calls && d->usage[i].format != OM_FORMAT_UNKNOWN)
			a->formats |= 1u << (d->usage[i].format & ~OM_FORMAT_COMPLEX);
}

static int commit(struct agent *a, struct drain_result *d, uint64_t now)
{
	_cleanup_free_ struct om_usage *all = NULL;
	size_t count = 0;
	int r;

	learn_formats(a, d);
	r = learn_cgroups(a, d);
	r = r ?: name_jobs(a, d);
	if (r == 0 && drain_had_launches(a->drain))
		r = agent_counter_look(a);
	r = r ?: agent_devices_usage(a, d->usage, d->usage_count, &all, &count);
	r = r ?: om_ledger_accrue(a->ledger, all, count, a->last_drain_ns, now, &a->regressions);
	r = r ?: om_ledger_store_shapes(a->ledger, d->shapes, d->shape_count, now);
	r = r ?: om_ledger_store_launches(a->ledger, d->launches, d->launch_count, now);
	r = r ?: om_ledger_store_kernel_names(a->ledger, d->names, d->name_count);
	r = r ?: drain_commit(a->drain);
	for (size_t i = 0; r == 0 && i < d->dead_count; i++) {
		const struct drain_process *p = &d->processes[d->dead[i]];

		r = om_ledger_forget(a->ledger, probes_map_id(a->probes), p->tgid, p->start_ns);
		r = r ?: agent_counter_forget(a, p->tgid, p->start_ns);
	}
	return r;
}

int agent_meter(struct agent *a, bool is_last)
{
	uint64_t now = agent_now_ns();
	bool with_shapes =
		is_last || now - a->last_shapes_ns >= SHAPES_EVERY_NS || agent_phases_hour_is_over(a, now);
	bool with_launches = is_last || now - a->last_launches_ns >= LAUNCHES_EVERY_NS;
	struct drain_result d;
	int r;

	agent_switch_probes(a);
	if (agent_claims_wait(a, is_last))
		return 0;
	r = drain_read(a->drain, (with_shapes ? DRAIN_SHAPES : 0) | (with_launches ? DRAIN_LAUNCHES : 0), &d);
	r = r ?: commit(a, &d, now);
	r = r ?: agent_claims_say(a);
	/* A process that has ended is judged now, or by less: the sums of its ranks first. */
	r = r ?: agent_collectives_drain(a, is_last || with_shapes || d.dead_count, now);
	r = r ?: agent_phases_look(a, &d, with_shapes, now);
	if (r == 0) {
		a->last_drain_ns = now;
		if (with_shapes)
			a->last_shapes_ns = now;
		if (with_launches)
			a->last_launches_ns = now;
		a->drains++;
		if (a->ledger_full)
			log_info("the ledger can be written again; nothing was lost");
		a->ledger_full = false;
		return 0;
	}
	a->drain_failures++;
	if (r == -ENOSPC) {
		if (!a->ledger_full)
			log_error("%s: the disk is full: counting goes on in the kernel, nothing is lost; "
				  "make room",
				  a->config->dir);
		a->ledger_full = true;
		return 0;
	}
	return r;
}
