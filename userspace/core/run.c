// SPDX-License-Identifier: Apache-2.0
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "format.h"
#include "gemm_entries.h"

#define ITEMS_MAX 4000000
#define KERNELS_MAX 8192

void run_done(struct run *r)
{
	free(r->products);
	free(r->steps);
	free(r->collectives);
	free(r->launches);
	free(r->facts);
	memset(r, 0, sizeof(*r));
}

static bool same_product(const struct run_product *a, const struct run_product *b)
{
	return a->batch == b->batch && a->m == b->m && a->n == b->n && a->k == b->k && a->types == b->types &&
	       !strcmp(a->op, b->op);
}

/* Room for one more item; NULL where there is none. */
static void *one_more(void **items, size_t *count, size_t *room, size_t size)
{
	if (*count == *room) {
		size_t more = *room ? 2 * *room : 64;
		void *grown = *count < ITEMS_MAX ? reallocarray(*items, more, size) : NULL;

		if (!grown)
			return NULL;
		*items = grown;
		*room = more;
	}
	return (char *)*items + (*count)++ * size;
}

#define ADD(run, list, item)                                                                                 \
	({                                                                                                   \
		__typeof__((run)->list##s) to_ = one_more((void **)&(run)->list##s, &(run)->list##_count,    \
							  &(run)->list##_room, sizeof(*(run)->list##s));     \
                                                                                                             \
		if (to_)                                                                                     \
			*to_ = *(item);                                                                      \
		to_ ? 0 : (run)->list##_count < ITEMS_MAX ? -ENOMEM : -EOVERFLOW;                            \
	})

int run_add_product(struct run *r, const struct run_product *p)
{
	return ADD(r, product, p);
}

int run_add_step(struct run *r, const struct run_step *s)
{
	struct run_step *last = r->step_count ? &r->steps[r->step_count - 1] : NULL;

	if (last && !s->begins && last->product == s->product && last->thread == s->thread &&
	    last->a == s->a && last->b == s->b && last->d == s->d && last->repeat <= UINT32_MAX - s->repeat) {
		last->repeat += s->repeat;
		return 0;
	}
	return ADD(r, step, s);
}

int run_add_collective(struct run *r, const struct run_collective *c)
{
	return ADD(r, collective, c);
}

int run_add_launches(struct run *r, const char *kernel, uint64_t launches)
{
	struct run_launch l = { .launches = launches };

	/* Names come from a file that anybody may have written: the search below stays bounded. */
	snprintf(l.kernel, sizeof(l.kernel), "%s",
		 r->launch_count < KERNELS_MAX ? kernel : "(other kernels)");
	for (size_t i = 0; i < r->launch_count; i++) {
		if (!strcmp(r->launches[i].kernel, l.kernel)) {
			r->launches[i].launches += launches;
			return 0;
		}
	}
	return one_more((void **)&r->launches, &r->launch_count, &r->launch_room, sizeof(l))
		       ? (r->launches[r->launch_count - 1] = l, 0)
		       : -ENOMEM;
}

int run_add_fact(struct run *r, const struct run_fact *f)
{
	return ADD(r, fact, f);
}

const char *run_fact(const struct run *r, const char *key)
{
	for (size_t i = 0; i < r->fact_count; i++)
		if (!strcmp(r->facts[i].key, key))
			return r->facts[i].value;
	return NULL;
}

const char *run_collective_name(enum run_collective_kind kind)
{
	static const char *const names[] = { "allreduce", "reducescatter", "allgather", "alltoall",
					     "broadcast", "reduce",	   "sendrecv" };

	return kind < ARRAY_SIZE(names) ? names[kind] : "?";
}

int run_add(struct run *r, const struct run_product *p, uint32_t thread)
{
	struct run_product first = *p;
	struct run_step step = { .repeat = 1, .thread = thread };
	size_t i = 0;
	int rc;

	/* A run has tens to hundreds of shapes: a search is cheaper than an index. */
	while (i < r->product_count && !same_product(&r->products[i], p))
		i++;
	first.calls = 0;
	rc = i == r->product_count ? run_add_product(r, &first) : 0;
	if (rc)
		return rc;
	r->products[i].calls++;
	step.product = (uint32_t)i;
	return run_add_step(r, &step);
}

uint8_t run_format(const struct run_product *p)
{
	return om_format_from_cuda(p->types & 255, p->types >> 8 & 255, p->types >> 24);
}

static int product_ops(const struct run_product *p, opcount *ret)
{
	opcount v;

	if (opcount_mul((opcount)p->m * p->n, p->k, &v) || opcount_mul(v, p->batch, &v) ||
	    opcount_mul(v, p->calls, &v) || v > OPCOUNT_MAX / 8)
		return -EOVERFLOW;
	*ret = om_gemm_ops(v, run_format(p));
	return 0;
}

int run_ops(const struct run *r, opcount *ret)
{
	opcount sum = 0, ops;

	for (size_t i = 0; i < r->product_count; i++)
		if (product_ops(&r->products[i], &ops) || opcount_add(sum, ops, &sum))
			return -EOVERFLOW;
	*ret = sum;
	return 0;
}

uint64_t run_calls(const struct run *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->product_count; i++)
		n += r->products[i].calls;
	return n;
}
