// SPDX-License-Identifier: Apache-2.0
/*
 * Reading the kernel's counts.
 *
 * The processes are read first: one that had ended by then can add nothing to
 * the counts that are read after. Maps are read by batch, which costs a seventh
 * of walking the keys. Shapes are folded into one usage for each process, cgroup
 * and format through an index by hash.
 */

#include "drain_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../core/format.h"
#include "../core/gemm_entries.h"

#define LIVENESS_EVERY 64 /* reads */

int drain_list_add(struct list *l, size_t size, const void *item)
{
	size_t room = l->room ? l->room * 2 : 64;
	void *at;

	if (l->count == l->room) {
		at = realloc(l->at, room * size);
		if (!at)
			return -ENOMEM;
		l->at = at;
		l->room = room;
	}
	memcpy((char *)l->at + l->count++ * size, item, size);
	return 0;
}

uint64_t drain_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

/* Keeps the index at most half full. */
int drain_index_reserve(uint32_t **index, size_t *slots, size_t count)
{
	uint32_t *bigger;

	if (*slots >= 2 * (count + 1))
		return 0;
	bigger = calloc(*slots ? *slots * 2 : 1024, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	free(*index);
	*index = bigger;
	*slots = *slots ? *slots * 2 : 1024;
	return 1;
}

/* --- usage --- */

static size_t usage_slot(const struct drain *d, const struct om_usage *key)
{
	const struct om_usage *all = d->usage.at;
	uint64_t h = drain_mix(
		drain_mix(drain_mix(drain_mix(key->start_ns, key->tgid), key->cgroup_id), key->format),
		key->meter);
	size_t i = h & (d->usage_slots - 1);

	while (d->usage_index[i]) {
		const struct om_usage *u = &all[d->usage_index[i] - 1];

		if (u->start_ns == key->start_ns && u->tgid == key->tgid && u->cgroup_id == key->cgroup_id &&
		    u->format == key->format && u->meter == key->meter)
			break;
		i = (i + 1) & (d->usage_slots - 1);
	}
	return i;
}

int drain_usage(struct drain *d, uint32_t tgid, uint64_t start_ns, uint64_t cgroup_id, uint8_t format,
		uint8_t meter, struct om_usage **ret)
{
	struct om_usage key = { .map = *probes_map_id(d->p),
				.tgid = tgid,
				.start_ns = start_ns,
				.cgroup_id = cgroup_id,
				.format = format,
				.meter = meter };
	int rc = drain_index_reserve(&d->usage_index, &d->usage_slots, d->usage.count);
	struct om_usage *all = d->usage.at;
	size_t i;

	if (rc < 0)
		return rc;
	for (i = 0; rc && i < d->usage.count; i++)
		d->usage_index[usage_slot(d, &all[i])] = (uint32_t)i + 1;
	i = usage_slot(d, &key);
	if (!d->usage_index[i]) {
		rc = drain_list_add(&d->usage, sizeof(key), &key);
		if (rc)
			return rc;
		d->usage_index[i] = (uint32_t)d->usage.count;
	}
	*ret = (struct om_usage *)d->usage.at + (d->usage_index[i] - 1);
	return 0;
}

uint8_t drain_format_of(uint32_t types)
{
	uint32_t compute = types >> 24;

	if (types == OM_TYPES_UNKNOWN)
		return OM_FORMAT_UNKNOWN;
	return om_format_from_cuda(types & 0xff, types >> 8 & 0xff, compute == OM_TYPE_NONE ? 0 : compute);
}

/* --- processes --- */

static size_t process_slot(const struct drain *d, uint32_t tgid, uint64_t start_ns)
{
	const struct drain_process *all = d->processes.at;
	size_t i = drain_mix(start_ns, tgid) & (d->process_slots - 1);

	while (d->process_index[i] && (all[d->process_index[i] - 1].tgid != tgid ||
				       all[d->process_index[i] - 1].start_ns != start_ns))
		i = (i + 1) & (d->process_slots - 1);
	return i;
}

/* A process without an entry has lost it to nobody: it is alive as far as we know. */
bool drain_is_dead(const struct drain *d, uint32_t tgid, uint64_t start_ns)
{
	const struct drain_process *all = d->processes.at;
	uint32_t i = d->process_slots ? d->process_index[process_slot(d, tgid, start_ns)] : 0;

	return i && all[i - 1].exit_ns;
}

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* In case the kernel's record of an end was missed: now and then. */
static bool is_gone(const struct drain *d, uint32_t tgid)
{
	return d->is_init_pidns && d->reads % LIVENESS_EVERY == 0 && kill((pid_t)tgid, 0) && errno == ESRCH;
}

static int process_add(struct drain *d, const void *key, const void *value)
{
	const struct om_proc_key *k = key;
	const struct om_proc *v = value;
	struct drain_process p = {
		.tgid = k->tgid,
		.start_ns = k->start_ns,
		.parent_tgid = v->parent_tgid,
		.parent_start_ns = v->parent_start_ns,
		.cgroup_id = v->cgroup_id,
		.first_ns = v->first_ns,
		.exit_ns = v->flags & OM_PROC_EXITED ? v->exit_ns : 0,
		.shapes = (uint32_t)v->shapes,
		.has_opened_device = v->flags & OM_PROC_OPENED_DEVICE,
		.is_killed = v->flags & OM_PROC_KILLED,
	};
	size_t index = d->processes.count;
	int rc;

	d->sums_held += v->sums;
	memcpy(p.comm, v->comm, sizeof(p.comm) - 1);
	if (!p.exit_ns && is_gone(d, p.tgid))
		p.exit_ns = boot_ns();
	drain_launch_process(d, v, p.exit_ns);
	rc = drain_list_add(&d->processes, sizeof(p), &p);
	if (rc || !p.exit_ns)
		return rc;
	rc = drain_list_add(&d->dead, sizeof(index), &index);
	return rc ? rc : drain_list_add(&d->dead_procs, sizeof(*k), k);
}

static int processes_index(struct drain *d)
{
	const struct drain_process *all = d->processes.at;
	int rc;

	do
		rc = drain_index_reserve(&d->process_index, &d->process_slots, d->processes.count);
	while (rc > 0);
	if (rc)
		return rc;
	memset(d->process_index, 0, d->process_slots * sizeof(*d->process_index));
	for (size_t i = 0; i < d->processes.count; i++)
		d->process_index[process_slot(d, all[i].tgid, all[i].start_ns)] = (uint32_t)i + 1;
	return 0;
}

/* --- counts --- */

static int shape_add(struct drain *d, const void *key, const void *value)
{
	const struct om_shape_key *k = key;
	uint64_t calls = *(const uint64_t *)value;
	bool dead = drain_is_dead(d, k->tgid, k->start_ns);
	struct om_usage *u;
	opcount product;
	int rc;

	d->shapes_held++;
	rc = drain_usage(d, k->tgid, k->start_ns, k->cgroup_id, drain_format_of(k->types), OM_METER_SHAPE,
			 &u);
	if (rc)
		return rc;
	if (k->flags & OM_FLAG_NESTED) {
		u->now.nested += calls;
	} else {
		/* one call's product is below 2^63: checked where the entry was made */
		product = (opcount)(k->m * k->n * k->k * k->batch);
		u->now.calls += calls;
		if (opcount_mul(product, calls, &product))
			product = OPCOUNT_MAX;
		opcount_add_saturating(&u->now.exact, om_gemm_ops(product, u->format));
	}
	rc = drain_wants_shapes(d, k->tgid, k->start_ns) ? drain_shape_keep(d, k, calls) : 0;
	return rc || !dead ? rc : drain_list_add(&d->dead_shapes, sizeof(*k), k);
}

static int sum_fold(struct drain *d, const struct om_sum_key *k, uint64_t start_ns, const struct om_sum *s)
{
	struct om_usage *u;
	opcount product = 0;
	int rc;

	_Static_assert((int)OM_LOST_END == (int)OM_LOSS_END && (int)OM_LOST_OFF == (int)OM_LOSS_OFF,
		       "one order of causes");
	rc = drain_usage(d, k->tgid, start_ns, k->cgroup_id, drain_format_of(k->types), OM_METER_SHAPE, &u);
	if (rc)
		return rc;
	for (size_t i = 0; i < OM_LIMBS; i++)
		product += (opcount)s->products[i] << (16 * i);
	u->now.calls += s->calls;
	u->now.overflow_calls += s->calls;
	opcount_add_saturating(&u->now.exact, om_gemm_ops(product, u->format));
	opcount_add_saturating(&u->unshaped, om_gemm_ops(product, u->format));
	u->now.nested += s->nested;
	u->now.duplicates += s->duplicates;
	for (size_t i = 0; i < OM_LOSS_END; i++)
		u->now.lost[i] += s->lost[i];
	return 0;
}

static int sum_add(struct drain *d, const void *key, const void *value)
{
	const struct om_sum_key *k = key;
	int rc = sum_fold(d, k, k->start_ns, value);

	return rc || !drain_is_dead(d, k->tgid, k->start_ns) ? rc
							     : drain_list_add(&d->dead_sums, sizeof(*k), k);
}

static int spill_add(struct drain *d, const void *key, const void *value)
{
	const struct om_sum_key *k = key;

	return sum_fold(d, k, k->cgroup_id, value);
}

int drain_map_each(struct drain *d, enum probes_map map, uint32_t batch, size_t key_size, size_t value_size,
		   int (*fn)(struct drain *d, const void *key, const void *value))
{
	uint64_t at[8]; /* the kernel's place in the map: one u32 for hash maps */
	bool is_begun = false;
	uint32_t count;
	int rc, end;

	do {
		count = batch;
		rc = bpf_map_lookup_batch(probes_map_fd(d->p, map), is_begun ? at : NULL, at, d->keys,
					  d->values, &count, NULL);
		end = rc ? errno : 0;
		if (end && end != ENOENT)
			return -end;
		is_begun = true;
		for (uint32_t i = 0; i < count; i++) {
			rc = fn(d, (char *)d->keys + i * key_size, (char *)d->values + i * value_size);
			if (rc)
				return rc;
		}
	} while (!end);
	return 0;
}

/* Walking a map costs its capacity, not what it holds, and these two are almost
 * always empty: whoever puts something there says so first. */
static int sums_read(struct drain *d)
{
	struct om_stats stats;
	struct om_usage *u;
	int rc;

	if (d->sums_held) {
		rc = drain_map_each(d, PROBES_SUMS, BATCH, sizeof(struct om_sum_key), sizeof(struct om_sum),
				    sum_add);
		if (rc)
			return rc;
	}
	rc = probes_stats(d->p, &stats);
	if (rc)
		return rc;
	if (stats.sum_failed || stats.thread_failed) {
		rc = drain_map_each(d, PROBES_SPILLS, BATCH, sizeof(struct om_sum_key), sizeof(struct om_sum),
				    spill_add);
		if (rc)
			return rc;
	}
	if (!stats.spill_failed)
		return 0;
	/* what not even a cgroup's spill had room for */
	rc = drain_usage(d, 0, 0, 0, OM_FORMAT_UNKNOWN, OM_METER_SHAPE, &u);
	if (!rc)
		u->now.lost[OM_LOSS_REFUSED] = stats.spill_failed;
	return rc;
}

static int cgroup_add(struct drain *d, const void *key, const void *value)
{
	const struct om_cgroup *v = value;
	struct drain_cgroup c = { .id = *(const uint64_t *)key,
				  .created_ns = v->created_ns,
				  .is_removed = v->removed,
				  .is_cut = v->len >= OM_CGROUP_PATH_SIZE - 1 };
	int rc;

	if (!v->created_ns)
		return 0; /* being written: next time */
	c.path = strndup(v->path, sizeof(v->path));
	if (!c.path)
		return -ENOMEM;
	rc = drain_list_add(&d->cgroups, sizeof(c), &c);
	if (rc)
		free((char *)c.path);
	return rc ? rc : drain_list_add(&d->cgroup_ids, sizeof(c.id), &c.id);
}

/* --- all of it --- */

static void read_reset(struct drain *d)
{
	struct drain_cgroup *cgroups = d->cgroups.at;
	struct list *all[] = { &d->usage,	&d->shapes,    &d->processes,  &d->dead,       &d->cgroups,
			       &d->dead_shapes, &d->dead_sums, &d->dead_procs, &d->cgroup_ids, &d->replayed };

	for (size_t i = 0; i < d->cgroups.count; i++)
		free((char *)cgroups[i].path);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		all[i]->count = 0;
	drain_bursts_reset(d);
	drain_launch_reset(d);
	if (d->usage_index)
		memset(d->usage_index, 0, d->usage_slots * sizeof(*d->usage_index));
}

static int read_all(struct drain *d)
{
	int rc;

	rc = drain_map_each(d, PROBES_PROCS, BATCH, sizeof(struct om_proc_key), sizeof(struct om_proc),
			    process_add);
	if (!rc)
		rc = processes_index(d);
	if (!rc)
		rc = drain_map_each(d, PROBES_SHAPES, BATCH, sizeof(struct om_shape_key), sizeof(uint64_t),
				    shape_add);
	if (!rc)
		rc = sums_read(d);
	if (!rc)
		rc = drain_launch_read(d);
	if (!rc)
		rc = drain_shapes_finish(d);
	if (!rc)
		rc = drain_bursts_read(d);
	if (!rc)
		rc = drain_map_each(d, PROBES_CGROUPS, BATCH_CGROUPS, sizeof(uint64_t),
				    sizeof(struct om_cgroup), cgroup_add);
	return rc;
}

int drain_read(struct drain *d, unsigned what, struct drain_result *ret)
{
	uint64_t begun = boot_ns();
	int rc;

	read_reset(d);
	d->with_shapes = what & DRAIN_SHAPES;
	d->with_launches = what & DRAIN_LAUNCHES;
	d->reads++;
	d->shapes_held = 0;
	d->sums_held = 0;
	rc = read_all(d);
	if (rc) {
		read_reset(d); /* a commit after a failed read deletes nothing */
		return rc;
	}
	*ret = (struct drain_result){
		.usage = d->usage.at,
		.usage_count = d->usage.count,
		.shapes = d->shapes.at,
		.shape_count = d->shapes.count,
		.bursts = d->bursts.at,
		.burst_count = d->bursts.count,
		.processes = d->processes.at,
		.process_count = d->processes.count,
		.dead = d->dead.at,
		.dead_count = d->dead.count,
		.launches = d->launches.at,
		.launch_count = d->launches.count,
		.names = d->new_names.at,
		.name_count = d->new_names.count,
		.graphs = d->graph_stats,
		.cgroups = d->cgroups.at,
		.cgroup_count = d->cgroups.count,
		.shapes_held = d->shapes_held,
		.time_ns = boot_ns() - begun,
	};
	return 0;
}

int drain_keys_delete(struct drain *d, enum probes_map map, struct list *l, size_t key_size)
{
	char *key = l->at;

	/* One by one: a batch stops at the first key that is gone. */
	for (size_t i = 0; i < l->count; i++)
		if (bpf_map_delete_elem(probes_map_fd(d->p, map), key + i * key_size) && errno != ENOENT)
			return -errno;
	l->count = 0;
	return 0;
}

/* By the same keys as the processes, which go after. */
static int bursts_delete(struct drain *d)
{
	struct list keys = d->dead_procs;

	return drain_keys_delete(d, PROBES_BURSTS, &keys, sizeof(struct om_proc_key));
}

int drain_commit(struct drain *d)
{
	int rc;

	rc = drain_keys_delete(d, PROBES_SHAPES, &d->dead_shapes, sizeof(struct om_shape_key));
	if (!rc)
		rc = drain_keys_delete(d, PROBES_SUMS, &d->dead_sums, sizeof(struct om_sum_key));
	if (!rc)
		rc = drain_launch_commit(d);
	if (!rc)
		rc = bursts_delete(d);
	/* Last: while it is there, the next read knows the rest for dead. */
	if (!rc)
		rc = drain_keys_delete(d, PROBES_PROCS, &d->dead_procs, sizeof(struct om_proc_key));
	if (!rc)
		rc = drain_keys_delete(d, PROBES_CGROUPS, &d->cgroup_ids, sizeof(uint64_t));
	return rc;
}

int drain_new(struct probes *p, struct drain **ret)
{
	_cleanup_drain_ struct drain *d = calloc(1, sizeof(*d));
	struct stat st;

	if (!d)
		return -ENOMEM;
	d->p = p;
	d->keys = malloc(BATCH * sizeof(struct om_shape_key));
	d->values = malloc(BATCH * sizeof(struct om_proc)); /* the widest of those read in large batches */
	if (!d->keys || !d->values)
		return -ENOMEM;
	/* PROC_PID_INIT_INO: process numbers in the maps are those of the first pid namespace */
	d->is_init_pidns = !stat("/proc/self/ns/pid", &st) && st.st_ino == 0xEFFFFFFCu;
	d->kernels = kernel_cache_new();
	if (!d->kernels)
		return -ENOMEM;
	*ret = TAKE_PTR(d);
	return 0;
}

struct drain *drain_free(struct drain *d)
{
	if (!d)
		return NULL;
	read_reset(d);
	drain_launch_free(d);
	free(d->usage.at);
	free(d->shapes.at);
	free(d->replayed.at);
	free(d->bursts.at);
	free(d->processes.at);
	free(d->dead.at);
	free(d->cgroups.at);
	free(d->dead_shapes.at);
	free(d->dead_sums.at);
	free(d->dead_procs.at);
	free(d->cgroup_ids.at);
	free(d->usage_index);
	free(d->process_index);
	free(d->keys);
	free(d->values);
	free(d);
	return NULL;
}
