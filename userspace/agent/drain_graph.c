// SPDX-License-Identifier: Apache-2.0
/*
 * What replays of CUDA graphs add up to. A graph is a segment, its parents, and
 * the segments nested in them (bpf/graph.bpf.c); a replay runs all of it once.
 *
 * Where the contents are not certain (conditional nodes, nodes changed by hand, no
 * room for all of them) they count in the upper bound only, and the replays as
 * launches whose operations are not known. The same holds for what was captured
 * and never launched when its process has ended: a call that failed unseen cannot
 * hide work.
 */
#include "drain_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/gemm_entries.h"

#define DEPTH_MAX 64 /* of parents and nested graphs; deeper is uncertain */

struct walk {
	struct drain *d;
	uint8_t *is_run; /* of each segment: some replay reaches it */
	const struct om_replay_key *replay;
	bool is_certain;
};

static int compare_keys(uint64_t start_a, uint32_t tgid_a, uint32_t segment_a, uint64_t start_b,
			uint32_t tgid_b, uint32_t segment_b)
{
	if (start_a != start_b)
		return start_a < start_b ? -1 : 1;
	if (tgid_a != tgid_b)
		return tgid_a < tgid_b ? -1 : 1;
	return segment_a < segment_b ? -1 : segment_a > segment_b;
}

static int by_segment(const void *x, const void *y)
{
	const struct om_segment_key *a = &((const struct segment *)x)->key,
				    *b = &((const struct segment *)y)->key;

	return compare_keys(a->start_ns, a->tgid, a->segment, b->start_ns, b->tgid, b->segment);
}

static int by_content(const void *x, const void *y)
{
	const struct om_content_key *a = &((const struct content *)x)->key,
				    *b = &((const struct content *)y)->key;

	return compare_keys(a->start_ns, a->tgid, a->segment, b->start_ns, b->tgid, b->segment);
}

static const struct segment *segment_find(const struct drain *d, uint64_t start_ns, uint32_t tgid,
					  uint32_t segment)
{
	struct segment key = { .key = { .start_ns = start_ns, .tgid = tgid, .segment = segment } };

	return d->segments.count ? bsearch(&key, d->segments.at, d->segments.count, sizeof(key), by_segment)
				 : NULL;
}

/* The first content of a segment; *ret_count of them follow each other. */
static const struct content *contents_of(const struct drain *d, const struct om_segment_key *s,
					 size_t *ret_count)
{
	const struct content *all = d->contents.at;
	size_t lo = 0, hi = d->contents.count, end;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct om_content_key *k = &all[mid].key;

		if (compare_keys(k->start_ns, k->tgid, k->segment, s->start_ns, s->tgid, s->segment) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (end = lo; end < d->contents.count; end++) {
		const struct om_content_key *k = &all[end].key;

		if (compare_keys(k->start_ns, k->tgid, k->segment, s->start_ns, s->tgid, s->segment))
			break;
	}
	*ret_count = end - lo;
	return all + lo;
}

static bool product_of(const uint64_t a[4], opcount *ret)
{
	opcount product = 1;

	for (int i = 0; i < 4; i++)
		if (a[i] >> 63 || opcount_mul(product, a[i], &product))
			return false;
	*ret = product;
	return !(product >> 63);
}

static int fold_product(struct walk *w, const struct content *c, uint64_t times)
{
	const struct om_replay_key *r = w->replay;
	opcount product, ops;
	struct om_usage *u;
	int rc = drain_usage(w->d, r->tgid, r->start_ns, r->cgroup_id, drain_format_of(c->key.types),
			     OM_METER_SHAPE, &u);

	if (rc)
		return rc;
	if (!product_of(c->key.a, &product)) {
		u->now.lost[OM_LOSS_ABSURD] += times;
		return 0;
	}
	if (opcount_mul(product, times, &ops))
		ops = OPCOUNT_MAX;
	if (w->is_certain)
		u->now.calls += times;
	opcount_add_saturating(w->is_certain ? &u->now.exact : &u->now.high, om_gemm_ops(ops, u->format));
	return w->is_certain ? drain_shape_replayed(w->d, r, &c->key, times) : 0;
}

static int fold_launch(struct walk *w, const struct content *c, uint64_t times)
{
	const uint64_t *a = c->key.a;
	struct om_launch_key k = {
		.start_ns = w->replay->start_ns,
		.cgroup_id = w->replay->cgroup_id,
		.tgid = w->replay->tgid,
		.name = a[0],
		.grid = { (uint32_t)a[1], (uint32_t)(a[1] >> 32), (uint32_t)a[2] },
		.block = { (uint32_t)(a[2] >> 32), (uint32_t)a[3], (uint32_t)(a[3] >> 32) },
		.shared = c->key.types,
		.flags = c->key.flags,
	};

	return drain_launch_fold(w->d, &k, times, w->is_certain);
}

static uint64_t times_of(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* Replays whose contents may be others, or more, than we saw: launches without operations. */
static int fold_uncertain(struct walk *w, uint64_t times)
{
	struct om_usage *u;
	int rc = drain_usage(w->d, w->replay->tgid, w->replay->start_ns, w->replay->cgroup_id,
			     OM_FORMAT_UNKNOWN, OM_METER_LAUNCH, &u);

	if (rc)
		return rc;
	u->now.calls += times;
	u->now.overflow_calls += times;
	w->d->graph_stats.uncertain += times;
	return 0;
}

static int fold_segment(struct walk *w, uint32_t segment, uint64_t times, int depth);

static int fold_contents(struct walk *w, const struct segment *s, uint64_t times, int depth)
{
	size_t count;
	const struct content *c = contents_of(w->d, &s->key, &count);
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		uint64_t n = times_of(times, c[i].count);

		switch (c[i].key.kind) {
		case OM_CONTENT_PRODUCT:
			rc = fold_product(w, &c[i], n);
			break;
		case OM_CONTENT_LAUNCH:
			rc = fold_launch(w, &c[i], n);
			break;
		default:
			rc = depth < 0 ? 0 : fold_segment(w, (uint32_t)c[i].key.a[0], n, depth + 1);
		}
	}
	return rc;
}

/* Everything that one run of the segment does, `times` times. */
static int fold_segment(struct walk *w, uint32_t segment, uint64_t times, int depth)
{
	const struct segment *s = segment_find(w->d, w->replay->start_ns, w->replay->tgid, segment);
	bool was_certain = w->is_certain;
	int rc = 0;

	if (!s || depth > DEPTH_MAX)
		return fold_uncertain(w, times);
	w->is_run[s - (const struct segment *)w->d->segments.at] = 1;
	if (s->value.flags & (OM_SEGMENT_UNCERTAIN | OM_SEGMENT_DEVICE)) {
		w->is_certain = false;
		rc = fold_uncertain(w, times);
	}
	rc = rc ?: fold_contents(w, s, times, depth);
	if (!rc && s->value.parent)
		rc = fold_segment(w, s->value.parent, times, depth + 1);
	w->is_certain = was_certain;
	return rc;
}

static int fold_replay(struct walk *w, const struct replay *r)
{
	int rc = 0;

	w->replay = &r->key;
	w->is_certain = !(r->key.flags & OM_SEGMENT_UNCERTAIN);
	/* A graph that may also be launched from the device: at least these. */
	if (!w->is_certain || r->key.flags & OM_SEGMENT_DEVICE)
		rc = fold_uncertain(w, r->count);
	w->d->graph_stats.replays += r->count;
	return rc ?: fold_segment(w, r->key.segment, r->count, 0);
}

/* Captures that no replay reaches, when nothing can launch them any more. */
static int fold_never_ran(struct walk *w)
{
	const struct segment *all = w->d->segments.at;
	int rc = 0;

	for (size_t i = 0; i < w->d->segments.count && !rc; i++) {
		const struct segment *s = &all[i];
		struct om_replay_key as = { .start_ns = s->key.start_ns,
					    .cgroup_id = s->value.cgroup_id,
					    .tgid = s->key.tgid };

		if (w->is_run[i] || !(s->value.flags & OM_SEGMENT_CAPTURED))
			continue;
		if (!(s->value.flags & OM_SEGMENT_FAILED) &&
		    !drain_is_dead(w->d, s->key.tgid, s->key.start_ns))
			continue;
		w->replay = &as;
		w->is_certain = false;
		w->d->graph_stats.never_ran++;
		rc = fold_contents(w, s, 1, -1);
	}
	return rc;
}

int drain_graph_fold(struct drain *d)
{
	const struct replay *replays = d->replays.at;
	_cleanup_free_ uint8_t *is_run = calloc(d->segments.count + 1, 1);
	struct walk w = { .d = d, .is_run = is_run };
	int rc = 0;

	if (!is_run)
		return -ENOMEM;
	d->graph_stats = (struct drain_graph_stats){ .segments = d->segments.count };
	if (d->segments.count)
		qsort(d->segments.at, d->segments.count, sizeof(struct segment), by_segment);
	if (d->contents.count)
		qsort(d->contents.at, d->contents.count, sizeof(struct content), by_content);
	for (size_t i = 0; i < d->replays.count && !rc; i++)
		rc = fold_replay(&w, &replays[i]);
	return rc ?: fold_never_ran(&w);
}
