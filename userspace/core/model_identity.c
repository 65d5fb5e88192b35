// SPDX-License-Identifier: Apache-2.0
/* Which buffers products read and write, in their order. */
#include "model_seeing.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t mix(uint64_t address, uint64_t small, uint64_t large)
{
	uint64_t h = (address + 1) * 0x9e3779b97f4a7c15ULL;

	h = (h ^ h >> 29 ^ small) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 32 ^ large) * 0x94d049bb133111ebULL;
	return h ^ h >> 31;
}

static struct buffer *buffer_at(struct seeing *s, uint32_t address)
{
	size_t i = mix(address, 0, 0) & (s->buffers - 1);

	while (s->buffer[i].address && s->buffer[i].address != address)
		i = (i + 1) & (s->buffers - 1);
	s->buffer[i].address = address;
	return &s->buffer[i];
}

struct held *seeing_held(struct seeing *s, uint32_t address, uint64_t a, uint64_t b)
{
	uint64_t small = a < b ? a : b, large = a < b ? b : a;
	size_t i = mix(address, small, large) & (s->slots - 1);

	while (s->held[i].address &&
	       (s->held[i].address != address || s->held[i].small != small || s->held[i].large != large))
		i = (i + 1) & (s->slots - 1);
	return &s->held[i];
}

static struct input *input_at(struct seeing *s, uint32_t address, uint64_t a, uint64_t b)
{
	uint64_t small = a < b ? a : b, large = a < b ? b : a;
	size_t i = mix(address, small, large) & (s->slots - 1);

	while (s->input[i].address &&
	       (s->input[i].address != address || s->input[i].small != small || s->input[i].large != large))
		i = (i + 1) & (s->slots - 1);
	s->input[i].small = small;
	s->input[i].large = large;
	return &s->input[i];
}

static void note_buffers(struct seeing *s)
{
	const struct run *r = s->j->run;

	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_step *x = &r->steps[i];

		if (x->d)
			buffer_at(s, x->d)->is_written = true;
		if (x->a && x->a == x->b)
			buffer_at(s, x->a)->is_twice = true;
	}
}

bool seeing_is_no_weight(struct seeing *s, uint32_t address)
{
	const struct buffer *b = buffer_at(s, address);

	return b->is_written || b->is_twice || (b->is_weight && b->is_input);
}

struct size *seeing_size(struct seeing *s, uint64_t small, uint64_t large)
{
	size_t i = mix(0, small, large) & (s->slots - 1);

	while (s->size[i].large && (s->size[i].small != small || s->size[i].large != large))
		i = (i + 1) & (s->slots - 1);
	s->size[i].small = small;
	s->size[i].large = large;
	return &s->size[i];
}

/* --- forward and backward --- */

static void visit(struct seeing *s, struct held *h)
{
	uint32_t here = (uint32_t)(h - s->held) + 1;
	struct size *z = seeing_size(s, h->small, h->large);

	if (z->clock != s->clock)
		z->now = 0;
	z->now += !h->visits || h->clock != s->clock;
	z->most = z->now > z->most ? z->now : z->most;
	z->clock = s->clock;

	if (s->last == here)
		return;
	s->last = here;
	h->visits++;
	h->in_a_row = h->clock == s->clock ? h->in_a_row + 1 : 1;
	h->clock = s->clock;
	h->again = h->in_a_row > h->again ? h->in_a_row : h->again;
}

static void wait_for(struct seeing *s, uint32_t address, const struct reading *w, uint64_t in,
		     const struct held *h)
{
	struct buffer *b = buffer_at(s, address);
	struct input *wait = input_at(s, address, w->small, w->large);

	if (wait->filled != b->filled || wait->tokens != w->tokens || wait->in != in ||
	    wait->window != s->windows)
		wait->count = 0;
	wait->window = s->windows;
	wait->address = address;
	wait->filled = b->filled;
	wait->tokens = w->tokens;
	wait->in = in;
	wait->held[wait->count++ % SEEING_WAITING] = (uint32_t)(h - s->held);
}

static void go_forward(struct seeing *s, const struct run_step *x, const struct run_product *p, bool at_m)
{
	struct reading w = model_read_side(p, at_m);
	uint32_t address = at_m ? x->b : x->a, in = at_m ? x->a : x->b;
	double work = (double)w.small * (double)w.large * (double)w.tokens * (double)p->batch * x->repeat;
	struct held *h;

	/* What is multiplied with itself is no weight. */
	if (address && address == in)
		return;
	if (!model_may_learn(s->j, &s->answers, &w))
		work = 0;
	s->work += work;
	if (!address) {
		s->unknown += work;
		return;
	}
	h = seeing_held(s, address, w.small, w.large);
	h->address = address;
	h->small = w.small;
	h->large = w.large;
	h->out = at_m ? p->n : p->m;
	h->with = h->visits ? h->with : (uint32_t)(h - s->held);
	h->batch = (uint32_t)p->batch;
	h->work += work;
	h->tokens += (double)w.tokens * x->repeat;
	h->turn = ++s->turn;
	h->reads += work > 0 ? x->repeat : 0;
	buffer_at(s, address)->is_weight = true;
	visit(s, h);
	if (in) {
		buffer_at(s, in)->is_input = true;
		wait_for(s, in, &w, p->k, h);
	}
}

uint32_t seeing_model_of(struct seeing *s, uint32_t i)
{
	while (s->held[i].with != i) {
		s->held[i].with = s->held[s->held[i].with].with;
		i = s->held[i].with;
	}
	return i;
}

/* One backward pass goes through one model. */
static void met(struct seeing *s, struct held *h)
{
	uint32_t own = seeing_model_of(s, (uint32_t)(h - s->held));

	h->met++;
	if (s->first)
		s->held[own].with = seeing_model_of(s, s->first - 1);
	s->first = (uint32_t)(h - s->held) + 1;
}

static void meet(struct seeing *s, uint32_t address, uint64_t a, uint64_t b)
{
	struct held *h = address ? seeing_held(s, address, a, b) : NULL;

	if (h && h->address)
		met(s, h);
}

/* What waits for a weight gradient with this operand; NULL: nothing. */
static struct input *waiting(struct seeing *s, uint32_t address, uint64_t in, const struct run_product *p)
{
	struct input *wait = address ? input_at(s, address, p->m, p->n) : NULL;

	return wait && wait->address && wait->count && wait->in == in && wait->tokens == p->k &&
			       wait->window == s->windows && wait->filled == buffer_at(s, address)->filled
		       ? wait
		       : NULL;
}

/* A weight gradient is of the last layer that its input went into. The other operand is what came back: its
 * buffer may have been an input before, so the side tells where inputs stand elsewhere. */
static void teach(struct seeing *s, const struct run_step *x, const struct run_product *p)
{
	struct input *a = waiting(s, x->a, p->m, p), *b = waiting(s, x->b, p->n, p), *wait;
	struct held *h;

	s->x_at_a += a && !b && p->m != p->n;
	s->x_at_b += b && !a && p->m != p->n;
	if (p->m == p->n)
		wait = s->x_at_a > s->x_at_b ? a : b;
	else
		wait = !a || (b && s->x_at_b >= s->x_at_a) ? b : a;
	if (!wait)
		return;
	h = &s->held[wait->held[--wait->count % SEEING_WAITING]];
	met(s, h);
	h->taught++;
	s->is_taught = true;
}

/* Forward again: from here on the weight gradient's input is this one. */
static void go_again(struct seeing *s, const struct run_step *x, const struct run_product *p, bool at_m)
{
	uint32_t address = at_m ? x->b : x->a, in = at_m ? x->a : x->b;
	struct reading w = model_read_side(p, at_m);
	struct held *h = address && in ? seeing_held(s, address, w.small, w.large) : NULL;

	if (h && h->address && h->out == (at_m ? p->n : p->m))
		wait_for(s, in, &w, p->k, h);
}

static void go_back(struct seeing *s, const struct run_step *x, const struct run_product *p, bool at_m)
{
	meet(s, x->a, p->m, p->k);
	meet(s, x->b, p->k, p->n);
	go_again(s, x, p, at_m);
	if (model_is_tokens_of(&s->answers, p->k))
		seeing_size(s, p->m < p->n ? p->m : p->n, p->m < p->n ? p->n : p->m)->gradients += x->repeat;
	for (uint32_t i = 0; i < x->repeat && i < SEEING_WAITING; i++)
		teach(s, x, p);
}

static bool goes_back(const struct seeing *s, size_t step)
{
	const struct phase_judgement *p = s->j->phase;

	return p->backward >= 0 && s->j->run->steps[step].thread == (uint32_t)p->backward;
}

/*
 * A window begins and ends anywhere. What counts is from where forward takes over from backward, until it
 * does so for the last time: then each weight has been met as often as gradients came back. Where nothing
 * goes back all of it counts.
 */
static void trim(struct seeing *s, size_t *from, size_t *to)
{
	size_t first = *to, last = *to;

	if (!s->is_sampled || s->j->phase->backward < 0)
		return;
	for (size_t i = *from + 1; i < *to; i++)
		if (goes_back(s, i - 1) && !goes_back(s, i)) {
			s->cycles += first < *to;
			first = first < *to ? first : i;
			last = i;
		}
	*from = first;
	*to = last;
}

static void walk_part(struct seeing *s, bool at_m, size_t from, size_t to)
{
	const struct judging *j = s->j;
	bool was_back = false;

	for (size_t i = from; i < to; i++) {
		const struct run_step *x = &j->run->steps[i];
		const struct run_product *p = &j->run->products[x->product];
		bool is_back = goes_back(s, i);

		if (is_back && !was_back) {
			s->clock++;
			s->first = 0;
		}
		if (is_back)
			go_back(s, x, p, at_m);
		else if (model_forward_calls(j, x->product, at_m) > 0)
			go_forward(s, x, p, at_m);
		if (x->d)
			buffer_at(s, x->d)->filled++;
		was_back = is_back;
	}
}

/* Window by window: nothing of one goes on in the next. */
static void walk(struct seeing *s, bool at_m)
{
	const struct run *r = s->j->run;

	for (size_t begin = 0, end; begin < r->step_count; begin = end) {
		size_t from = begin, to;

		for (end = begin + 1; end < r->step_count && !r->steps[end].begins; end++)
			;
		to = end;
		trim(s, &from, &to);
		walk_part(s, at_m, from, to);
		s->windows++;
		s->clock++;
		s->last = s->first = 0;
	}
}

/* Are there calls that the order does not have? */
static bool is_sampled(const struct run *r)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < r->step_count; i++)
		seen += r->steps[i].repeat;
	return r->has_threads && seen != run_calls(r);
}

void seeing_done(struct seeing *s)
{
	free(s->buffer);
	free(s->held);
	free(s->input);
	free(s->size);
	model_answers_done(&s->answers);
	*s = (struct seeing){ 0 };
}

int seeing_make(const struct judging *j, bool at_m, struct seeing *s)
{
	*s = (struct seeing){ .j = j, .slots = 16, .buffers = 16, .is_sampled = is_sampled(j->run) };
	/* A step reads one weight of one size and one input, and three buffers. */
	while (s->slots < 2 * j->run->step_count + 16)
		s->slots *= 2;
	while (s->buffers < 6 * j->run->step_count + 16)
		s->buffers *= 2;
	s->buffer = calloc(s->buffers, sizeof(*s->buffer));
	s->held = calloc(s->slots, sizeof(*s->held));
	s->input = calloc(s->slots, sizeof(*s->input));
	s->size = calloc(s->slots, sizeof(*s->size));
	if (!s->buffer || !s->held || !s->input || !s->size || model_answers_make(j, at_m, &s->answers))
		return -ENOMEM;
	note_buffers(s);
	walk(s, at_m);
	return 0;
}
