// SPDX-License-Identifier: Apache-2.0
/*
 * The launch meter's part of a drain: launches by name and geometry become
 * operations by the catalogue; names leave the kernel for the ledger.
 *
 * Replays are read before what graphs hold, and launches before names: whatever a
 * count refers to was there before it, so it is found. All of it is read only
 * every few seconds, and whenever one of its processes has ended.
 */
#include "drain_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of the kernel's map of names: past this it is emptied into the ledger. */
#define NAMES_KEPT 4096

void drain_launch_process(struct drain *d, const struct om_proc *p, bool is_dead)
{
	d->launches_held += p->launches;
	d->segments_held += p->segments;
	d->handles_held += p->handles;
	d->names_held += p->names;
	if (!is_dead)
		return;
	d->has_dead_handles |= p->handles;
	d->with_launches |= p->launches || p->segments;
}

/* --- reading --- */

static int launch_keep(struct drain *d, const struct om_launch_key *k, uint64_t calls)
{
	struct om_launch_usage u = {
		.map = *probes_map_id(d->p),
		.tgid = k->tgid,
		.start_ns = k->start_ns,
		.cgroup_id = k->cgroup_id,
		.name = k->name,
		.shared = k->shared,
		.flags = k->flags,
		.calls = calls,
	};

	memcpy(u.grid, k->grid, sizeof(u.grid));
	memcpy(u.block, k->block, sizeof(u.block));
	return drain_list_add(&d->launches, sizeof(u), &u);
}

static int launch_add(struct drain *d, const void *key, const void *value)
{
	const struct om_launch_key *k = key;
	int rc = launch_keep(d, k, *(const uint64_t *)value);

	if (rc || !drain_is_dead(d, k->tgid, k->start_ns))
		return rc;
	return drain_list_add(&d->dead_launches, sizeof(*k), k);
}

static int name_add(struct drain *d, const void *key, const void *value)
{
	struct om_kernel_name n = { .hash = *(const uint64_t *)key };
	const struct om_name *v = value;
	char text[OM_NAME_SIZE];
	int rc;

	if (!v->len || v->len >= sizeof(text))
		return 0; /* being written: next time */
	memcpy(text, v->text, v->len);
	text[v->len] = '\0';
	rc = drain_list_add(&d->name_keys, sizeof(n.hash), &n.hash);
	if (rc)
		return rc;
	rc = kernel_cache_add_name(d->kernels, n.hash, text);
	if (rc)
		return rc == 1 || rc == -ENOSPC ? 0 : rc;
	n.text = kernel_cache_name(d->kernels, n.hash);
	n.is_cut = v->is_cut;
	return drain_list_add(&d->new_names, sizeof(n), &n);
}

static int replay_add(struct drain *d, const void *key, const void *value)
{
	struct replay r = { .key = *(const struct om_replay_key *)key, .count = *(const uint64_t *)value };
	int rc = drain_list_add(&d->replays, sizeof(r), &r);

	if (rc || !drain_is_dead(d, r.key.tgid, r.key.start_ns))
		return rc;
	return drain_list_add(&d->dead_replays, sizeof(r.key), &r.key);
}

static int segment_add(struct drain *d, const void *key, const void *value)
{
	struct segment s = { .key = *(const struct om_segment_key *)key,
			     .value = *(const struct om_segment *)value };
	int rc = drain_list_add(&d->segments, sizeof(s), &s);

	if (rc || !drain_is_dead(d, s.key.tgid, s.key.start_ns))
		return rc;
	return drain_list_add(&d->dead_segments, sizeof(s.key), &s.key);
}

static int content_add(struct drain *d, const void *key, const void *value)
{
	struct content c = { .key = *(const struct om_content_key *)key, .count = *(const uint64_t *)value };
	int rc = drain_list_add(&d->contents, sizeof(c), &c);

	if (rc || !drain_is_dead(d, c.key.tgid, c.key.start_ns))
		return rc;
	return drain_list_add(&d->dead_contents, sizeof(c.key), &c.key);
}

static int handle_add(struct drain *d, const void *key, const void *value)
{
	const struct om_handle_key *k = key;

	(void)value;
	return drain_is_dead(d, k->tgid, k->start_ns) ? drain_list_add(&d->dead_handles, sizeof(*k), k) : 0;
}

static int read_maps(struct drain *d)
{
	const struct {
		bool is_wanted;
		enum probes_map map;
		uint32_t batch;
		size_t key, value;
		int (*fn)(struct drain *d, const void *key, const void *value);
	} maps[] = {
		{ true, PROBES_LAUNCHES, BATCH, sizeof(struct om_launch_key), 8, launch_add },
		{ d->segments_held, PROBES_REPLAYS, BATCH, sizeof(struct om_replay_key), 8, replay_add },
		{ d->segments_held, PROBES_CONTENTS, BATCH, sizeof(struct om_content_key), 8, content_add },
		{ d->segments_held, PROBES_SEGMENTS, BATCH, sizeof(struct om_segment_key),
		  sizeof(struct om_segment), segment_add },
		{ d->names_held, PROBES_NAMES, BATCH_CGROUPS, 8, sizeof(struct om_name), name_add },
		{ d->has_dead_handles, PROBES_HANDLES, BATCH, sizeof(struct om_handle_key),
		  sizeof(struct om_handle), handle_add },
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(maps) && !rc; i++)
		if (maps[i].is_wanted)
			rc = drain_map_each(d, maps[i].map, maps[i].batch, maps[i].key, maps[i].value,
					    maps[i].fn);
	return rc;
}

/* --- from launches to operations --- */

static void scale(opcount ops, uint64_t calls, opcount *into)
{
	opcount product;

	if (opcount_mul(ops, calls, &product))
		product = OPCOUNT_MAX;
	opcount_add_saturating(into, product);
}

static int fold_without_estimate(struct drain *d, const struct om_launch_key *k, uint64_t calls)
{
	struct om_usage *u;
	int rc = drain_usage(d, k->tgid, k->start_ns, k->cgroup_id, OM_FORMAT_UNKNOWN, OM_METER_LAUNCH, &u);

	if (rc)
		return rc;
	if (k->flags & OM_LAUNCH_UNKNOWN_GRAPH) {
		u->now.lost[OM_LOSS_UNREAD] += calls;
	} else if (k->flags & OM_LAUNCH_FAILED_READ) {
		u->now.lost[OM_LOSS_FAILED_READ] += calls;
	} else if (k->flags & OM_LAUNCH_IN_PRODUCT) {
		u->now.nested += calls;
	} else {
		u->now.calls += calls;
		u->now.overflow_calls += calls;
	}
	return 0;
}

int drain_launch_fold(struct drain *d, const struct om_launch_key *k, uint64_t calls, bool is_certain)
{
	struct kernel_signature s = { .name = k->name, .shared = k->shared };
	const struct om_kernel_estimate *e;
	struct om_usage *u;
	int rc;

	if (k->flags & ~OM_LAUNCH_NO_BLOCK)
		return fold_without_estimate(d, k, calls);
	memcpy(s.grid, k->grid, sizeof(s.grid));
	memcpy(s.block, k->block, sizeof(s.block));
	e = kernel_cache_estimate(d->kernels, &s);
	if (!e)
		return -ENOMEM;
	if (!e->is_bounded) {
		rc = d->on_unbounded && is_certain && k->name ? d->on_unbounded(d->unbounded_ctx, k, calls)
							      : 0;
		return rc ?: fold_without_estimate(d, k, calls);
	}
	rc = drain_usage(d, k->tgid, k->start_ns, k->cgroup_id, e->format, OM_METER_LAUNCH, &u);
	if (rc)
		return rc;
	u->now.calls += calls;
	scale(is_certain ? e->low : 0, calls, &u->now.low);
	scale(e->high, calls, &u->now.high);
	return 0;
}

static int launches_fold(struct drain *d)
{
	const struct om_launch_usage *all = d->launches.at;
	int rc = 0;

	for (size_t i = 0; i < d->launches.count && !rc; i++) {
		struct om_launch_key k = { .start_ns = all[i].start_ns,
					   .cgroup_id = all[i].cgroup_id,
					   .name = all[i].name,
					   .shared = all[i].shared,
					   .tgid = all[i].tgid,
					   .flags = all[i].flags };

		memcpy(k.grid, all[i].grid, sizeof(k.grid));
		memcpy(k.block, all[i].block, sizeof(k.block));
		rc = drain_launch_fold(d, &k, all[i].calls, true);
	}
	return rc;
}

/* Without the wish for each, only the dead ones' launches are handed on. */
static void launches_filter(struct drain *d)
{
	struct om_launch_usage *all = d->launches.at;
	size_t kept = 0;

	if (d->with_shapes)
		return;
	for (size_t i = 0; i < d->launches.count; i++)
		if (drain_is_dead(d, all[i].tgid, all[i].start_ns))
			all[kept++] = all[i];
	d->launches.count = kept;
}

int drain_launch_read(struct drain *d)
{
	int rc;

	d->had_launches = false;
	if (!(d->with_launches || d->with_shapes || d->has_dead_handles) ||
	    !(d->launches_held || d->segments_held || d->handles_held))
		return 0;
	d->had_launches = true;
	rc = read_maps(d);
	if (!rc)
		rc = launches_fold(d);
	if (!rc)
		rc = drain_graph_fold(d);
	launches_filter(d);
	return rc;
}

int drain_launch_commit(struct drain *d)
{
	int rc;

	rc = drain_keys_delete(d, PROBES_REPLAYS, &d->dead_replays, sizeof(struct om_replay_key));
	rc = rc ?: drain_keys_delete(d, PROBES_CONTENTS, &d->dead_contents, sizeof(struct om_content_key));
	rc = rc ?: drain_keys_delete(d, PROBES_SEGMENTS, &d->dead_segments, sizeof(struct om_segment_key));
	rc = rc ?: drain_keys_delete(d, PROBES_LAUNCHES, &d->dead_launches, sizeof(struct om_launch_key));
	rc = rc ?: drain_keys_delete(d, PROBES_HANDLES, &d->dead_handles, sizeof(struct om_handle_key));
	if (d->name_keys.count > NAMES_KEPT)
		rc = rc ?: drain_keys_delete(d, PROBES_NAMES, &d->name_keys, sizeof(uint64_t));
	return rc;
}

void drain_launch_reset(struct drain *d)
{
	struct list *all[] = { &d->launches,	 &d->new_names,	    &d->segments,      &d->contents,
			       &d->replays,	 &d->dead_launches, &d->dead_segments, &d->dead_contents,
			       &d->dead_replays, &d->dead_handles,  &d->name_keys };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		all[i]->count = 0;
	d->launches_held = 0;
	d->segments_held = 0;
	d->handles_held = 0;
	d->names_held = 0;
	d->has_dead_handles = false;
}

void drain_launch_free(struct drain *d)
{
	struct list *all[] = { &d->launches,	 &d->new_names,	    &d->segments,      &d->contents,
			       &d->replays,	 &d->dead_launches, &d->dead_segments, &d->dead_contents,
			       &d->dead_replays, &d->dead_handles,  &d->name_keys };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]->at);
	d->kernels = kernel_cache_free(d->kernels);
}

void drain_set_catalogue(struct drain *d, const struct om_catalogue *c)
{
	kernel_cache_set_catalogue(d->kernels, c);
}

void drain_set_unbounded(struct drain *d,
			 int (*fn)(void *ctx, const struct om_launch_key *k, uint64_t launches), void *ctx)
{
	d->on_unbounded = fn;
	d->unbounded_ctx = ctx;
}

bool drain_had_launches(const struct drain *d)
{
	return d->had_launches;
}

int drain_learn_name(struct drain *d, const struct om_kernel_name *n)
{
	int rc = kernel_cache_add_name(d->kernels, n->hash, n->text);

	return rc == 1 ? 0 : rc;
}
