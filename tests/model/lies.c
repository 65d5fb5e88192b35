// SPDX-License-Identifier: Apache-2.0
#include "lies.h"

#include <errno.h>
#include <stdlib.h>

#include "userspace/base/cleanup.h"

#define FAR 0x1000000u /* above all numbers of a recording */

static uint32_t dice(uint64_t i)
{
	i = (i + 1) * 0x9e3779b97f4a7c15ULL;
	i = (i ^ i >> 29) * 0xbf58476d1ce4e5b9ULL;
	return (uint32_t)(i >> 32);
}

static uint32_t highest(const struct run *r)
{
	uint32_t most = 1;

	for (size_t i = 0; i < r->step_count; i++) {
		const uint32_t at[] = { r->steps[i].a, r->steps[i].b, r->steps[i].d };

		for (int k = 0; k < 3; k++)
			most = at[k] > most ? at[k] : most;
	}
	return most;
}

static int fresh(struct run *r, size_t turn)
{
	for (size_t i = 0; i < r->step_count; i++) {
		r->steps[i].a = FAR + 3 * (uint32_t)i;
		r->steps[i].b = FAR + 3 * (uint32_t)i + 1;
		r->steps[i].d = FAR + 3 * (uint32_t)i + 2;
	}
	return 0;
}

static int one_for_all(struct run *r, size_t turn)
{
	for (size_t i = 0; i < r->step_count; i++)
		r->steps[i].a = r->steps[i].b = r->steps[i].d = 1;
	return 0;
}

static int dealt(struct run *r, size_t turn)
{
	uint32_t n = highest(r);

	for (size_t i = 0; i < r->step_count; i++) {
		r->steps[i].a = 1 + dice(3 * i) % n;
		r->steps[i].b = 1 + dice(3 * i + 1) % n;
		r->steps[i].d = 1 + dice(3 * i + 2) % n;
	}
	return 0;
}

static int exchanged(struct run *r, size_t turn)
{
	for (size_t i = 1; i < r->step_count; i += 2) {
		uint32_t a = r->steps[i].a;

		r->steps[i].a = r->steps[i].b;
		r->steps[i].b = a;
	}
	return 0;
}

static int written_over(struct run *r, size_t turn)
{
	for (size_t i = 0; i < r->step_count; i++)
		r->steps[i].d = i % 2 ? r->steps[i].a : r->steps[i].b;
	return 0;
}

/* Gives what products do not write to, weights among them, another number. */
static int move(struct run *r, size_t turn, uint32_t (*to)(uint32_t number, uint32_t turns))
{
	_cleanup_free_ bool *is_written = calloc((size_t)highest(r) + 1, sizeof(*is_written));

	if (!is_written)
		return -ENOMEM;
	for (size_t i = 0; i < r->step_count; i++)
		is_written[r->steps[i].d] = true;
	for (size_t i = 0; i < r->step_count; i++) {
		struct run_step *s = &r->steps[i];
		uint32_t turns = (uint32_t)(i / turn);

		s->a = s->a && !is_written[s->a] ? to(s->a, turns) : s->a;
		s->b = s->b && !is_written[s->b] ? to(s->b, turns) : s->b;
	}
	return 0;
}

static uint32_t to_half(uint32_t number, uint32_t turns)
{
	return FAR + number / 2;
}

static uint32_t to_one_of_eight(uint32_t number, uint32_t turns)
{
	return FAR + number % 8;
}

static uint32_t by_turns(uint32_t number, uint32_t turns)
{
	return FAR + 2 * number + turns % 2;
}

static uint32_t somewhere_new(uint32_t number, uint32_t turns)
{
	return FAR + number + (turns << 16);
}

static int halved(struct run *r, size_t turn)
{
	return move(r, turn, to_half);
}

static int eight(struct run *r, size_t turn)
{
	return move(r, turn, to_one_of_eight);
}

static int two_copies(struct run *r, size_t turn)
{
	return move(r, turn, by_turns);
}

static int copied_anew(struct run *r, size_t turn)
{
	return move(r, turn, somewhere_new);
}

/* Fifteen of sixteen steps are of the smallest product, on buffers never seen before. */
static int flooded(struct run *r, size_t turn)
{
	size_t least = 0;

	for (size_t i = 1; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i], *q = &r->products[least];

		if ((double)p->m * (double)p->n * (double)p->k < (double)q->m * (double)q->n * (double)q->k)
			least = i;
	}
	for (size_t i = 0; i < r->step_count; i++)
		if (i % 16)
			r->steps[i] = (struct run_step){ .product = (uint32_t)least, .repeat = 1, .begins = r->steps[i].begins, .a = FAR + 3 * (uint32_t)i,
							 .b = FAR + 3 * (uint32_t)i + 1, .d = FAR + 3 * (uint32_t)i + 2 };
	return 0;
}

const struct lie lies[] = {
	{ "an address for each product", fresh },
	{ "one address for all", one_for_all },
	{ "addresses dealt at random", dealt },
	{ "A and B exchanged every other time", exchanged },
	{ "operands named as results", written_over },
	{ "two weights in one buffer", halved },
	{ "all weights in eight buffers", eight },
	{ "two copies of each weight, by turns", two_copies },
	{ "weights copied to a new place each time", copied_anew },
	{ "a window filled with noise", flooded },
};
const size_t lie_count = ARRAY_SIZE(lies);
