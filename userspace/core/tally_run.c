// SPDX-License-Identifier: Apache-2.0
/* A process's counts as a run, for the judgements of phase and model. */
#include "tally_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"

static bool same_product(const struct item *a, const struct item *b)
{
	return a->m == b->m && a->n == b->n && a->k == b->k && a->batch == b->batch && a->types == b->types &&
	       !((a->flags ^ b->flags) & 0xffdf);
}

struct name {
	uint32_t hash, product;
	bool is_shared; /* by different products: a step with it tells nothing */
};

static int by_hash(const void *x, const void *y)
{
	const struct name *a = x, *b = y;

	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static int add_products(const struct om_tally *t, const struct process *p, struct run *r, struct name *names)
{
	int rc = 0;

	for (size_t i = 0, end; i < p->count && !rc; i = end) {
		const struct item *it = &p->item[i];
		struct run_product product = { .batch = it->batch,
					       .m = it->m,
					       .n = it->n,
					       .k = it->k,
					       .types = it->types,
					       .op = "gemm" };
		struct om_shape_usage key = { .m = it->m,
					      .n = it->n,
					      .k = it->k,
					      .batch = it->batch,
					      .types = it->types,
					      .flags = it->flags & 0xffdf };

		for (end = i; end < p->count && same_product(it, &p->item[end]); end++) {
			uint32_t thread = OM_SHAPE_THREAD(p->item[end].flags);
			uint64_t calls = p->item[end].now - p->item[end].base;

			product.calls += calls;
			product.calls_by_thread[thread < RUN_THREADS_MAX ? thread : RUN_THREADS_MAX - 1] +=
				calls;
		}
		if (!product.calls || !it->m || !it->n || !it->k || !it->batch)
			continue;
		names[r->product_count] = (struct name){ t->hash(&key), (uint32_t)r->product_count, false };
		rc = run_add_product(r, &product);
	}
	return rc;
}

/* What names no product of this hour, or several, is left out. */
static int add_window(const struct om_tally_step *steps, size_t n, struct run *r, const struct name *names,
		      size_t count)
{
	bool begins = true;
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		const struct om_tally_step *s = &steps[i];
		struct name key = { .hash = s->hash };
		const struct name *at = bsearch(&key, names, count, sizeof(key), by_hash);
		struct run_step step = { .repeat = s->repeat,
					 .thread = s->thread,
					 .begins = begins,
					 .a = s->a,
					 .b = s->b,
					 .d = s->d };

		if (!at || at->is_shared)
			continue;
		step.product = at->product;
		rc = run_add_step(r, &step);
		begins = false;
	}
	return rc;
}

static bool is_own(const struct process *p, uint32_t window)
{
	for (uint32_t i = 0; i < p->bursts; i++)
		if (p->burst[i].window == window)
			return true;
	return false;
}

/* The latest of those that are not the process's own, as many as there is room for. */
static int add_kept(const struct process *p, const struct om_tally_window *w, size_t n, struct run *r,
		    const struct name *names, size_t count)
{
	size_t others = 0, most = OM_TALLY_WINDOWS_MAX - p->bursts;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		others += !is_own(p, w[i].window);
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (is_own(p, w[i].window) || others-- > most)
			continue;
		rc = add_window(w[i].steps, w[i].count, r, names, count);
	}
	return rc;
}

static int add_steps(const struct process *p, const struct om_tally_window *w, size_t n, struct run *r,
		     struct name *names)
{
	size_t count = r->product_count;
	int rc = 0;

	if (count)
		qsort(names, count, sizeof(*names), by_hash);
	for (size_t i = 1; i < count; i++)
		if (names[i].hash == names[i - 1].hash)
			names[i].is_shared = names[i - 1].is_shared = true;
	if (count)
		rc = add_kept(p, w, n, r, names, count);
	for (uint32_t i = 0; i < p->bursts && count && !rc; i++)
		rc = add_window(p->burst[i].step, p->burst[i].count, r, names, count);
	return rc;
}

/* The kernel keeps sums: of one communicator and kind the calls are of one size, or of their mean. */
static int add_collectives(const struct process *p, struct run *r)
{
	int rc = 0;

	for (size_t i = 0; i < p->sums && rc == 0; i++) {
		const struct collective_sum *s = &p->sum[i];
		uint64_t calls = s->now.calls - s->base.calls;
		opcount each =
			calls && s->now.bytes > s->base.bytes ? (s->now.bytes - s->base.bytes) / calls : 0;

		if (each)
			rc = run_add_collective(
				r, &(struct run_collective){
					   s->kind, each > UINT64_MAX ? UINT64_MAX : (uint64_t)each, calls });
	}
	return rc;
}

static int make(const struct om_tally *t, const struct process *p, const struct om_tally_window *w, size_t n,
		struct run *ret)
{
	_cleanup_free_ struct name *names = calloc(p->count + 1, sizeof(*names));
	int rc = names ? 0 : -ENOMEM;

	*ret = (struct run){ .has_threads = true,
			     .named_backward = p->named[OM_ROLE_BACKWARD],
			     .named_optimizer = p->named[OM_ROLE_OPTIMIZER] };
	rc = rc ?: add_products(t, p, ret, names);
	rc = rc ?: add_steps(p, w, n, ret, names);
	rc = rc ?: add_collectives(p, ret);
	if (rc)
		run_done(ret);
	return rc;
}

int tally_process_run(const struct om_tally *t, const struct process *p, struct run *ret)
{
	return make(t, p, NULL, 0, ret);
}

int om_tally_process(const struct om_tally *t, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
		     const struct om_tally_window *windows, size_t n, struct run *ret, opcount *ret_unshaped)
{
	const struct process *p = tally_find(t, job, tgid, start_ns);

	if (!p)
		return -ENOENT;
	*ret_unshaped = p->unshaped - p->unshaped_base;
	return make(t, p, windows, n, ret);
}

size_t om_tally_collectives(const struct om_tally *t, const struct om_id *job, uint32_t tgid,
			    uint64_t start_ns, struct om_tally_collective *ret, size_t max)
{
	const struct process *p = tally_find(t, job, tgid, start_ns);
	size_t n = 0;

	for (; p && n < p->sums && n < max; n++)
		ret[n] = (struct om_tally_collective){ *job,
						       tgid,
						       start_ns,
						       p->sum[n].comm,
						       p->sum[n].kind,
						       p->sum[n].now.calls,
						       p->sum[n].now.bytes };
	return n;
}

int om_tally_each_run(struct om_tally *t,
		      int (*fn)(void *ctx, const struct om_id *job, uint32_t tgid, uint64_t start_ns,
				struct run *r),
		      void *ctx)
{
	int rc = 0;

	for (size_t i = 0; i < t->count && rc == 0; i++) {
		_cleanup_(run_done) struct run r = { 0 };

		rc = t->process[i].count ? tally_process_run(t, &t->process[i], &r) : 0;
		if (rc == 0 && r.product_count)
			rc = fn(ctx, &t->process[i].job, t->process[i].tgid, t->process[i].start_ns, &r);
	}
	return rc;
}
