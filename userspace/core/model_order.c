// SPDX-License-Identifier: Apache-2.0
/*
 * Where one thread asks for everything (a CUDA graph), which products go back? Buffers and their order tell.
 *
 * A layer's three products share their three operands by twos: forward reads X and the weight, the input
 * gradient the weight and dY, the weight gradient X and dY. Forward comes first, and each of them contracts
 * over another dimension. So what reads a buffer again that forward has read, turned (over the dimension that
 * was not contracted then), goes back; no forward pass does that. Dimensions that are equal show no turning,
 * but what was on one side of a product and is now on the other has turned, and a gradient is read by both of
 * backward's products in a row. Forward work within backward, through weights that wait for their gradients,
 * is recomputed, and stands with backward, as it does on a thread of its own; through weights that have had
 * them it is the next pass.
 *
 * The steps that go back are put on a thread of their own: all that follows reads a run of two threads. Only
 * for runs whose order is known from the beginning: windows that begin anywhere do not say what was read
 * before.
 */
#include "model_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define GOES_BACK 0.05	    /* of the operations, where it is known that something learns */
#define GOES_BACK_ALONE 0.5 /* where that is not known */
#define WAITS 0.5	    /* of forward work within backward: is recomputed */
#define ANSWERED 0.25	    /* unless as much goes through what has had its gradients */
#define IN_A_ROW 4	    /* layers that share what goes in, as q, k and v do */
#define REFILLED 0.01	    /* of the operations, at most */
#define OF_A_THREAD 0.95    /* of a thread's operations: it goes back, or as little: it does not */
#define BACK_THREAD 1

enum direction { FORWARD, BACK, OPEN };

/* An operand as a step has read it. */
struct read {
	uint32_t address; /* 0: free */
	uint64_t outer, over, other;
	uint32_t filled, step;
	bool at_b, is_gradient;
	bool is_answered; /* by backward, since */
	bool is_ever;	  /* at any time */
};

/* How often products have written to a buffer. */
struct written {
	uint32_t address, times;
};

struct ordering {
	const struct run *run;
	struct read *read;
	struct written *written;
	size_t slots;	    /* of each, a power of two, at most half full */
	uint8_t *direction; /* of steps */
	uint32_t came[2];   /* that may have come back, read by the step before if that goes back; 0: none */
	double refilled;    /* operations through buffers that were filled anew in between */
	uint32_t *answers;  /* the forward step, from 1, whose operand a step of backward has read; 0: none */
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static struct written *written_at(struct ordering *o, uint32_t address)
{
	size_t i = mix(1, address) & (o->slots - 1);

	while (o->written[i].address && o->written[i].address != address)
		i = (i + 1) & (o->slots - 1);
	o->written[i].address = address;
	return &o->written[i];
}

static struct read *read_at(struct ordering *o, const struct read *key)
{
	size_t i = mix(mix(mix(mix(1, key->address), key->outer), key->over), key->other) & (o->slots - 1);

	while (o->read[i].address && (o->read[i].address != key->address || o->read[i].outer != key->outer ||
				      o->read[i].over != key->over || o->read[i].other != key->other))
		i = (i + 1) & (o->slots - 1);
	return &o->read[i];
}

static struct read operand_of(struct ordering *o, size_t step, bool at_b)
{
	const struct run_step *x = &o->run->steps[step];
	const struct run_product *p = &o->run->products[x->product];
	uint32_t address = at_b ? x->b : x->a;

	return (struct read){ .address = address,
			      .outer = at_b ? p->n : p->m,
			      .over = p->k,
			      .other = at_b ? p->m : p->n,
			      .filled = address ? written_at(o, address)->times : 0,
			      .step = (uint32_t)step,
			      .at_b = at_b };
}

/* What has read this operand before, over its other dimension; NULL: nothing. */
static struct read *turned(struct ordering *o, const struct read *now)
{
	struct read key = *now, *was;

	key.outer = now->over;
	key.over = now->outer;
	was = now->address ? read_at(o, &key) : NULL;
	if (!was || !was->address || was->filled != now->filled || was->step >= now->step)
		return NULL;
	/* Who reads what came back does so at once; the buffer may be another's later. */
	if (was->is_gradient && now->step - was->step > IN_A_ROW)
		return NULL;
	return now->outer != now->over || was->at_b != now->at_b ? was : NULL;
}

static void note(struct ordering *o, const struct read *now, bool is_gradient)
{
	struct read *at = now->address ? read_at(o, now) : NULL;

	if (!at)
		return;
	*at = *now;
	at->is_gradient = is_gradient;
}

static void answer(struct ordering *o, size_t step, const struct read *forward)
{
	if (forward && forward->address && !forward->is_gradient && forward->step + 1 > o->answers[step])
		o->answers[step] = forward->step + 1;
}

/* `back` came back, as a step says that has told by its other operand to be backward's. The step before,
 * which has read it too, is the weight gradient, of an input that no product is known to have read: kernels
 * of their own made it again. */
static void take_before(struct ordering *o, size_t step, const struct read *back)
{
	const struct run_step *last = step ? &o->run->steps[step - 1] : NULL;

	if (!last || !back->address || o->direction[step - 1] == BACK || last->d == back->address ||
	    (last->a != back->address && last->b != back->address))
		return;
	o->direction[step - 1] = BACK;
	for (int side = 0; side < 2; side++) {
		struct read key = operand_of(o, step - 1, side);

		note(o, &key, true);
	}
}

/* Both of backward's products read what came back. Is this the second one, whose other operand is a weight
 * that no backward has read since forward did? */
static bool is_second(struct ordering *o, size_t step, const struct read *a, const struct read *b)
{
	for (int side = 0; side < 2; side++) {
		const struct read *back = side ? b : a, *other = side ? a : b;
		struct read *weight = other->address ? read_at(o, other) : NULL;

		if (!back->address || (back->address != o->came[0] && back->address != o->came[1]) ||
		    !weight || !weight->address || weight->is_answered)
			continue;
		weight->is_answered = true;
		answer(o, step, weight);
		o->came[0] = o->came[1] = back->address;
		return true;
	}
	return false;
}

/* The operand that came back is the one that forward has not read, or that the step before has read and
 * nobody knew as what. */
static void take_back(struct ordering *o, size_t step, const struct read *now, const struct read *was,
		      const struct read *other)
{
	if (!other || (was && was->step + 1 != step))
		return;
	take_before(o, step, now);
	if (!was)
		note(o, now, true);
}

static enum direction direct(struct ordering *o, size_t step)
{
	const struct run_step *x = &o->run->steps[step];
	struct read a = operand_of(o, step, false), b = operand_of(o, step, true);
	struct read *by_a = turned(o, &a), *by_b = turned(o, &b);
	bool is_square = a.outer == a.over || b.outer == b.over;

	if (x->a && x->a == x->b)
		return OPEN;
	if (by_a || by_b) {
		/* What was read last: a buffer that comes again may have been read long ago as well. */
		answer(o, step, by_a);
		answer(o, step, by_b);
		take_back(o, step, &a, by_a, by_b);
		take_back(o, step, &b, by_b, by_a);
		o->came[0] = by_a && !by_b ? 0 : x->a;
		o->came[1] = by_b && !by_a ? 0 : x->b;
		return BACK;
	}
	if (is_square && is_second(o, step, &a, &b))
		return BACK;
	o->came[0] = o->came[1] = 0;
	note(o, &a, false);
	note(o, &b, false);
	return is_square ? OPEN : FORWARD;
}

static double ops_of(const struct run *r, size_t step)
{
	const struct run_product *p = &r->products[r->steps[step].product];

	return (double)p->batch * (double)p->m * (double)p->n * (double)p->k * r->steps[step].repeat;
}

/* Forward multiplies nothing twice: what comes right after with the same operands has others, in buffers that
 * were filled anew (weights of 4 bits, for the time of a product). Such buffers tell no order. */
static bool is_refilled(const struct ordering *o, size_t step)
{
	const struct run_step *s = o->run->steps, *x = &s[step];

	for (size_t i = step; x->a && x->b && i-- > 0 && i + IN_A_ROW >= step;)
		if (o->direction[i] != BACK && s[i].product == x->product && s[i].a == x->a && s[i].b == x->b)
			return true;
	return false;
}

static void direct_all(struct ordering *o)
{
	const struct run *r = o->run;

	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_step *x = &r->steps[i];

		/* Attention's batches, and experts', go where what is asked for around them goes. */
		if (r->products[x->product].batch == 1)
			o->direction[i] = direct(o, i);
		else if (i)
			o->direction[i] = o->direction[i - 1];
		for (int k = 0; k < 2; k++)
			o->came[k] = x->d && x->d == o->came[k] ? 0 : o->came[k];
		if (x->d)
			written_at(o, x->d)->times++;
		o->refilled += o->direction[i] != BACK && is_refilled(o, i) ? ops_of(r, i) : 0;
	}
}

/* What is open goes back between two that do. */
static void close_open(struct ordering *o)
{
	size_t n = o->run->step_count;

	for (size_t i = 0, end; i < n; i = end) {
		bool is_back = i && o->direction[i - 1] == BACK;

		for (end = i; end < n && o->direction[end] == OPEN; end++)
			;
		is_back &= end < n && o->direction[end] == BACK && end - i <= IN_A_ROW;
		for (size_t k = i; k < end; k++)
			o->direction[k] = is_back ? BACK : FORWARD;
		end += end == i;
	}
}

/* Who waits: any number of tokens may have gone through a weight. */
static struct read *waiting_at(struct ordering *o, size_t step, bool at_b)
{
	struct read key = operand_of(o, step, at_b), *at;

	key.other = key.step = 0;
	at = key.address ? read_at(o, &key) : NULL;
	if (at && !at->address)
		*at = key;
	return at;
}

/* Has forward gone through an operand of the step, and does it wait for an answer? 'w'; 'a': it has had one;
 * 0: it has not gone there, or backward never comes there. */
static char state_of(struct ordering *o, size_t step)
{
	char state = 0;

	for (int side = 0; side < 2 && state != 'w'; side++) {
		const struct read *was = waiting_at(o, step, side);

		if (was && was->step && was->is_ever)
			state = was->step == 1 ? 'w' : 'a';
	}
	return state;
}

static void set_state(struct ordering *o, size_t step, char state)
{
	for (int side = 0; side < 2; side++) {
		struct read *at = waiting_at(o, step, side);

		if (at)
			at->step = state == 'w' ? 1 : 2;
	}
}

/* Forward work through what waits for its gradients stands with backward. */
static void put_recomputed(struct ordering *o, size_t begin, size_t end)
{
	double all = 0, waits = 0, answered = 0;

	for (size_t i = begin; i < end; i++) {
		char state = state_of(o, i);

		all += ops_of(o->run, i);
		waits += state == 'w' ? ops_of(o->run, i) : 0;
		answered += state == 'a' ? ops_of(o->run, i) : 0;
	}
	for (size_t i = begin; i < end; i++) {
		set_state(o, i, 'w');
		if (waits >= WAITS * all && answered < ANSWERED * waits)
			o->direction[i] = BACK;
	}
}

static void put_all_recomputed(struct ordering *o)
{
	size_t n = o->run->step_count;
	struct read *at;

	memset(o->read, 0, o->slots * sizeof(*o->read));
	for (size_t i = 0; i < n; i++)
		for (int side = 0; side < 2; side++)
			if (o->answers[i] && (at = waiting_at(o, o->answers[i] - 1, side)))
				at->is_ever = true;
	for (size_t i = 0, end; i < n; i = end) {
		end = i + 1;
		if (o->answers[i])
			set_state(o, o->answers[i] - 1, 'a');
		if (o->direction[i] != FORWARD)
			continue;
		for (; end < n && o->direction[end] == FORWARD; end++)
			;
		put_recomputed(o, i, end);
	}
}

static void ordering_done(struct ordering *o)
{
	free(o->read);
	free(o->written);
	free(o->direction);
	free(o->answers);
}

static int ordering_make(const struct run *r, struct ordering *o)
{
	*o = (struct ordering){ .run = r, .slots = 16 };
	while (o->slots < 6 * r->step_count)
		o->slots *= 2;
	o->read = calloc(o->slots, sizeof(*o->read));
	o->written = calloc(o->slots, sizeof(*o->written));
	o->direction = calloc(r->step_count, sizeof(*o->direction));
	o->answers = calloc(r->step_count, sizeof(*o->answers));
	if (!o->read || !o->written || !o->direction || !o->answers)
		return -ENOMEM;
	direct_all(o);
	close_open(o);
	put_all_recomputed(o);
	return 0;
}

static bool may_order(const struct judging *j)
{
	const struct run *r = j->run;

	if (j->phase->verdict == PHASE_IS_INFERENCE || r->has_threads || !r->step_count)
		return false;
	for (size_t i = 1; i < r->step_count; i++)
		if (r->steps[i].begins)
			return false;
	return true;
}

static bool is_on_one_thread(const struct run *r)
{
	for (size_t i = 0; i < r->step_count; i++)
		if (r->steps[i].thread)
			return false;
	return true;
}

int model_directions(const struct run *r, bool *ret_back)
{
	_cleanup_(ordering_done) struct ordering o = { 0 };

	if (ordering_make(r, &o))
		return -ENOMEM;
	for (size_t i = 0; i < r->step_count; i++)
		ret_back[i] = o.direction[i] == BACK;
	return 0;
}

static void go_with(struct judging *j, int backward)
{
	j->threaded = *j->phase;
	j->threaded.backward = backward;
	j->phase = j->judged = &j->threaded;
}

/* Where the phase is not known, nor which thread goes back for sure: the one of which the order says so. */
static void take_thread(struct judging *j, const struct ordering *o)
{
	double all[RUN_THREADS_MAX] = { 0 }, back[RUN_THREADS_MAX] = { 0 };
	int found = -1;

	for (size_t i = 0; i < j->run->step_count; i++) {
		uint32_t t = j->run->steps[i].thread;

		t = t < RUN_THREADS_MAX ? t : RUN_THREADS_MAX - 1;
		all[t] += ops_of(j->run, i);
		back[t] += o->direction[i] == BACK ? ops_of(j->run, i) : 0;
	}
	for (int t = 0; t < RUN_THREADS_MAX; t++) {
		if (back[t] > OF_A_THREAD * all[t])
			found = found == -1 ? t : -2;
		else if (back[t] > (1 - OF_A_THREAD) * all[t])
			return;
	}
	if (found >= 0 && found != j->phase->backward && j->phase->verdict == PHASE_IS_UNKNOWN)
		go_with(j, found);
}

/* Puts what goes back on a thread of its own. */
static int put_apart(struct judging *j, const struct ordering *o)
{
	j->ordered = *j->run;
	j->ordered.steps = calloc(j->run->step_count, sizeof(*j->ordered.steps));
	if (!j->ordered.steps)
		return -ENOMEM;
	j->is_ordered = true;
	for (size_t i = 0; i < j->run->step_count; i++) {
		j->ordered.steps[i] = j->run->steps[i];
		j->ordered.steps[i].thread = o->direction[i] == BACK ? BACK_THREAD : 0;
	}
	j->run = &j->ordered;
	go_with(j, BACK_THREAD);
	return 0;
}

int model_order(struct judging *j)
{
	_cleanup_(ordering_done) struct ordering o = { 0 };
	bool is_known = j->phase->verdict != PHASE_IS_UNKNOWN;
	double all = 0, back = 0;

	if (!may_order(j) || (is_known && j->phase->backward >= 0))
		return 0;
	if (ordering_make(j->run, &o))
		return -ENOMEM;
	for (size_t i = 0; i < j->run->step_count; i++) {
		all += ops_of(j->run, i);
		back += o.direction[i] == BACK ? ops_of(j->run, i) : 0;
	}
	if (o.refilled > REFILLED * all)
		return 0;
	if (!is_on_one_thread(j->run))
		take_thread(j, &o);
	else if (back >= (is_known ? GOES_BACK : GOES_BACK_ALONE) * all)
		return put_apart(j, &o);
	return 0;
}
