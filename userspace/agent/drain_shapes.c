// SPDX-License-Identifier: Apache-2.0
/*
 * Each product by itself: who asked for it how often, what replays of graphs add, and
 * in what order a sample of them came. For the ledger and for judgements; no total
 * is made of it.
 */
#include "drain_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(OM_FLAG_NESTED == OM_SHAPE_NESTED, "one bit");

bool drain_wants_shapes(const struct drain *d, uint32_t tgid, uint64_t start_ns)
{
	return d->with_shapes || drain_is_dead(d, tgid, start_ns);
}

int drain_shape_keep(struct drain *d, const struct om_shape_key *k, uint64_t calls)
{
	struct om_shape_usage s = {
		.map = *probes_map_id(d->p),
		.tgid = k->tgid,
		.start_ns = k->start_ns,
		.cgroup_id = k->cgroup_id,
		.m = k->m,
		.n = k->n,
		.k = k->k,
		.batch = k->batch,
		.types = k->types,
		.flags = (k->flags & 0xffff) | k->thread << 16,
		.calls = calls,
	};

	return drain_list_add(&d->shapes, sizeof(s), &s);
}

int drain_shape_replayed(struct drain *d, const struct om_replay_key *r, const struct om_content_key *c,
			 uint64_t times)
{
	struct om_shape_usage s = {
		.map = *probes_map_id(d->p),
		.tgid = r->tgid,
		.start_ns = r->start_ns,
		.cgroup_id = r->cgroup_id,
		.m = c->a[0],
		.n = c->a[1],
		.k = c->a[2],
		.batch = c->a[3],
		.types = c->types,
		.flags = (c->flags & 0xffff) | c->thread << 16 | OM_SHAPE_REPLAYED,
		.calls = times,
	};

	return drain_wants_shapes(d, r->tgid, r->start_ns) ? drain_list_add(&d->replayed, sizeof(s), &s) : 0;
}

static int by_product(const void *x, const void *y)
{
	const struct om_shape_usage *a = x, *b = y;
	const uint64_t p[] = { a->start_ns, a->tgid,  a->cgroup_id, a->m,    a->n,
			       a->k,	    a->batch, a->types,	    a->flags },
		       q[] = { b->start_ns, b->tgid,  b->cgroup_id, b->m,    b->n,
			       b->k,	    b->batch, b->types,	    b->flags };

	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	return 0;
}

/* The same product in several graphs is one. */
int drain_shapes_finish(struct drain *d)
{
	struct om_shape_usage *all = d->replayed.at;
	size_t count = d->replayed.count;
	int rc = 0;

	if (count)
		qsort(all, count, sizeof(*all), by_product);
	for (size_t i = 0, end; i < count && !rc; i = end) {
		for (end = i + 1; end < count && !by_product(&all[i], &all[end]); end++)
			if (__builtin_add_overflow(all[i].calls, all[end].calls, &all[i].calls))
				all[i].calls = UINT64_MAX;
		rc = drain_list_add(&d->shapes, sizeof(*all), &all[i]);
	}
	return rc;
}

/* --- order --- */

uint32_t drain_shape_name(const struct om_shape_usage *s)
{
	struct om_shape_key k = {
		.m = s->m, .n = s->n, .k = s->k, .batch = s->batch, .types = s->types, .flags = s->flags
	};

	return om_shape_hash(&k);
}

static int burst_keep(struct drain *d, const struct drain_process *p, const struct om_burst *b)
{
	uint32_t n = b->next < OM_BURST_STEPS ? b->next : OM_BURST_STEPS;
	struct drain_burst k = { .tgid = p->tgid, .start_ns = p->start_ns, .window = b->window, .count = n };

	k.steps = malloc(n * sizeof(*k.steps) + 1);
	if (!k.steps)
		return -ENOMEM;
	memcpy(k.steps, b->step, n * sizeof(*k.steps));
	if (!drain_list_add(&d->bursts, sizeof(k), &k))
		return 0;
	free(k.steps);
	return -ENOMEM;
}

int drain_bursts_read(struct drain *d)
{
	_cleanup_free_ struct om_burst *b = NULL;
	const struct drain_process *all = d->processes.at;
	int rc = 0;

	for (size_t i = 0; i < d->processes.count && !rc; i++) {
		struct om_proc_key key = { .start_ns = all[i].start_ns, .tgid = all[i].tgid };

		if (!d->with_shapes && !all[i].exit_ns)
			continue;
		if (!b)
			b = malloc(sizeof(*b));
		if (!b)
			return -ENOMEM;
		if (bpf_map_lookup_elem(probes_map_fd(d->p, PROBES_BURSTS), &key, b))
			rc = errno == ENOENT ? 0 : -errno;
		else
			rc = burst_keep(d, &all[i], b);
	}
	return rc;
}

void drain_bursts_reset(struct drain *d)
{
	struct drain_burst *b = d->bursts.at;

	for (size_t i = 0; i < d->bursts.count; i++)
		free(b[i].steps);
	d->bursts.count = 0;
}

int drain_next_burst(struct drain *d)
{
	struct om_sampling s = { 0 };
	uint32_t zero = 0;
	int fd = probes_map_fd(d->p, PROBES_SAMPLING);

	if (bpf_map_lookup_elem(fd, &zero, &s))
		return -errno;
	s.window = s.window + 1 ?: 1;
	return bpf_map_update_elem(fd, &zero, &s, BPF_ANY) ? -errno : 0;
}
