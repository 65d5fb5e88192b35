// SPDX-License-Identifier: Apache-2.0
/*
 * Reads a Kineto (Chrome) trace: which operators asked for matrix products that
 * reached the GPU.
 *
 * A kernel names its launch by correlation; the launch lies, in thread and time,
 * within a stack of operators; the innermost operator of a kind that is counted
 * is the one that asked. "External id" is not used: in many traces of 2022 to
 * 2024 it only repeats the correlation. An operator counts once, however many
 * kernels it started, and not at all if a counted operator lies within it.
 *
 * Kernels of a CUDA graph replay have one correlation, the graph launch's. Where
 * the capture is in the trace, and exactly one sequence of operators made as
 * many launches while capturing as the replay ran kernels, the replay counts
 * these operators again; other replays are said to be left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "kineto_internal.h"

#define LAUNCH_SLACK_US 1.5 /* traces with whole microseconds */
#define STACK_MAX 64

static int by_thread_and_time(const void *x, const void *y)
{
	const struct event *a = x, *b = y;

	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->ts != b->ts)
		return a->ts < b->ts ? -1 : 1;
	if ((a->kind == EVENT_OP) != (b->kind == EVENT_OP))
		return a->kind == EVENT_OP ? -1 : 1;
	if (a->kind == EVENT_OP && a->dur != b->dur)
		return a->dur > b->dur ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int by_correlation_of_kernel(const void *x, const void *y)
{
	uint64_t a = ((const struct kernel *)x)->correlation, b = ((const struct kernel *)y)->correlation;

	return a < b ? -1 : a > b;
}

/* The first of the kernels that ran under a correlation, and how many there are. */
static struct kernel *kernels_at(const struct trace *t, uint64_t correlation, size_t *ret_count)
{
	const struct kernel key = { .correlation = correlation };
	struct kernel *p = t->kernel_count ? bsearch(&key, t->kernels, t->kernel_count, sizeof(*p),
						     by_correlation_of_kernel)
					   : NULL;
	size_t n = 0;

	while (p && p > t->kernels && p[-1].correlation == correlation)
		p--;
	while (p && p + n < t->kernels + t->kernel_count && p[n].correlation == correlation)
		n++;
	*ret_count = n;
	return p;
}

static size_t kernels_of(const struct trace *t, uint64_t correlation)
{
	size_t n;

	kernels_at(t, correlation, &n);
	return n;
}

/* The operators around a moment, outermost first. */
struct stack {
	struct event *item[STACK_MAX];
	double end[STACK_MAX];
	int depth;
};

static void push(struct stack *st, struct event *e)
{
	int i;

	for (i = 0; i < st->depth; i++)
		st->item[i]->outer = true;
	if (st->depth == STACK_MAX)
		return;
	/* By end, so that a child that outlives its parent by rounding stays inside. */
	for (i = st->depth; i > 0 && st->end[i - 1] < e->ts + e->dur; i--) {
		st->item[i] = st->item[i - 1];
		st->end[i] = st->end[i - 1];
	}
	st->item[i] = e;
	st->end[i] = e->ts + e->dur;
	st->depth++;
}

/* The innermost operator that holds the whole call; outer ones are settled later. */
static int32_t owner_of(const struct trace *t, const struct stack *st, const struct event *launch)
{
	double end = launch->ts + launch->dur - LAUNCH_SLACK_US;

	for (int i = st->depth - 1; i >= 0; i--)
		if (st->end[i] >= end)
			return (int32_t)(st->item[i] - t->events);
	return -1;
}

static void find_owners(struct trace *t)
{
	struct stack st = { .depth = 0 };

	for (size_t i = 0; i < t->count; i++) {
		struct event *e = &t->events[i];

		if (i && e->thread != e[-1].thread)
			st.depth = 0;
		while (st.depth && st.end[st.depth - 1] < e->ts - 1e-9)
			st.depth--;
		if (e->kind == EVENT_OP)
			push(&st, e);
		else if (e->kind == EVENT_LAUNCH)
			e->owner = owner_of(t, &st, e);
	}
}

/* The operator a launch counts for: NULL if there is none, or if it only
 * surrounds the one that counts. */
static struct event *counts_for(struct trace *t, const struct event *launch)
{
	struct event *op = launch->owner < 0 ? NULL : &t->events[launch->owner];

	return op && !op->outer ? op : NULL;
}

/* Calls of products as they are found, thread by thread; put in order of time at the end. */
struct found {
	struct run *run;
	struct found_call {
		double ts;
		size_t order;
		uint32_t thread;
		const struct run_product *product;
	} * calls;
	size_t count, room;
};

static void found_done(struct found *f)
{
	free(f->calls);
}

/* A call at the moment of `launch`, which for a replay is not the operator's own. */
static int count_op(struct found *f, const struct event *op, const struct event *launch)
{
	struct run *r = f->run;

	if (op->op == OP_OTHER) {
		r->left.other_ops++;
		return 0;
	}
	if (!op->has_shape) {
		r->left.no_shapes++;
		return 0;
	}
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 1024;
		struct found_call *more = reallocarray(f->calls, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		f->calls = more;
		f->room = room;
	}
	f->calls[f->count] = (struct found_call){ launch->ts, f->count, launch->thread, &op->product };
	f->count++;
	return 0;
}

static int by_time(const void *x, const void *y)
{
	const struct found_call *a = x, *b = y;

	if (a->ts != b->ts)
		return a->ts < b->ts ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int add_in_order(struct found *f, size_t threads)
{
	_cleanup_free_ uint32_t *numbers = calloc(threads + 1, sizeof(*numbers));
	uint32_t last = 0;
	int rc = 0;

	if (!numbers)
		return -ENOMEM;
	if (f->count)
		qsort(f->calls, f->count, sizeof(*f->calls), by_time);
	for (size_t i = 0; rc == 0 && i < f->count; i++) {
		uint32_t *number = &numbers[f->calls[i].thread];

		if (!*number)
			*number = ++last;
		rc = run_add(f->run, f->calls[i].product, *number - 1);
	}
	return rc;
}

/* Which call of a correlation is the launch: the last one named so. */
struct by_correlation {
	uint64_t correlation;
	size_t event;
	bool named;
	uint32_t order;
};

static int compare_correlation(const void *x, const void *y)
{
	const struct by_correlation *a = x, *b = y;

	if (a->correlation != b->correlation)
		return a->correlation < b->correlation ? -1 : 1;
	if (a->named != b->named)
		return a->named ? 1 : -1;
	/* Of named ones the last in the file holds, of others the first. */
	return a->named ? (a->order < b->order ? -1 : 1) : (a->order < b->order ? 1 : -1);
}

/* Marks the launches: `ran` is left set only on those whose kernels are recorded. */
static int find_launches(struct trace *t, struct run *r)
{
	_cleanup_free_ struct by_correlation *list = malloc((t->count + 1) * sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < t->count; i++) {
		struct event *e = &t->events[i];

		if (e->kind == EVENT_LAUNCH)
			list[n++] = (struct by_correlation){ e->correlation, i, e->ran, e->order };
		e->ran = false;
	}
	qsort(list, n, sizeof(*list), compare_correlation);
	for (size_t i = 0; i < n; i++) {
		struct event *e = &t->events[list[i].event];
		size_t kernels;

		if (i + 1 < n && list[i + 1].correlation == list[i].correlation)
			continue;
		kernels = kernels_of(t, e->correlation);
		e->ran = kernels > 0;
		r->left.linked += kernels;
	}
	return 0;
}

/* A capture: a span of events of one thread, and the launches in it that ran nothing at once. */
struct capture {
	size_t first, last, launches;
};

static bool is_captured(const struct event *e)
{
	return e->kind == EVENT_LAUNCH && e->is_kernel_launch && !e->ran;
}

static size_t find_captures(const struct trace *t, struct capture *ret, size_t max)
{
	size_t n = 0, begin = SIZE_MAX;

	for (size_t i = 0; i < t->count && n < max; i++) {
		const struct event *e = &t->events[i];

		if (i && e->thread != e[-1].thread)
			begin = SIZE_MAX;
		if (e->kind == EVENT_CAPTURE_BEGIN) {
			begin = i;
		} else if (e->kind == EVENT_CAPTURE_END && begin != SIZE_MAX) {
			struct capture c = { begin, i, 0 };

			for (size_t k = begin; k < i; k++)
				c.launches += is_captured(&t->events[k]);
			if (c.launches)
				ret[n++] = c;
			begin = SIZE_MAX;
		}
	}
	return n;
}

/* Two captures that asked for the same products in the same order are one. */
static bool same_capture(struct trace *t, const struct capture *a, const struct capture *b)
{
	size_t i = a->first, k = b->first;

	for (;; i++, k++) {
		struct event *x, *y;

		while (i < a->last && !is_captured(&t->events[i]))
			i++;
		while (k < b->last && !is_captured(&t->events[k]))
			k++;
		if (i >= a->last || k >= b->last)
			return i >= a->last && k >= b->last;
		x = counts_for(t, &t->events[i]);
		y = counts_for(t, &t->events[k]);
		if (!x != !y ||
		    (x && (x->op != y->op || memcmp(&x->product, &y->product, sizeof(x->product)))))
			return false;
	}
}

static int count_capture(struct trace *t, struct found *f, const struct capture *c,
			 const struct event *launch)
{
	int rc = 0;

	for (size_t i = c->first; i < c->last; i++)
		if (is_captured(&t->events[i]) && counts_for(t, &t->events[i]))
			counts_for(t, &t->events[i])->counted = false;
	for (size_t i = c->first; rc == 0 && i < c->last; i++) {
		struct event *op = is_captured(&t->events[i]) ? counts_for(t, &t->events[i]) : NULL;

		if (!op || op->counted)
			continue;
		op->counted = true;
		rc = count_op(f, op, launch);
	}
	return rc;
}

/* The capture that a replay of so many kernels can only be; NULL: not settled. */
static const struct capture *capture_of(struct trace *t, const struct capture *all, size_t n, size_t kernels)
{
	const struct capture *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (all[i].launches != kernels)
			continue;
		if (found && !same_capture(t, found, &all[i]))
			return NULL;
		if (!found)
			found = &all[i];
	}
	return found;
}

static void mark_of_product(struct trace *t, const struct event *launch)
{
	size_t n;
	struct kernel *k = kernels_at(t, launch->correlation, &n);

	for (size_t i = 0; i < n; i++)
		k[i].of_product = true;
}

static int count_replay(struct trace *t, struct found *f, const struct capture *all, size_t n,
			const struct event *launch)
{
	const struct capture *c = capture_of(t, all, n, kernels_of(t, launch->correlation));

	f->run->left.graph_launches++;
	if (!c)
		return 0;
	f->run->left.graph_aligned++;
	/* Which kernel of a replay is which product's is not told: none is listed. */
	mark_of_product(t, launch);
	return count_capture(t, f, c, launch);
}

static int count_all(struct trace *t, struct found *f)
{
	struct capture captures[256];
	size_t n = find_captures(t, captures, ARRAY_SIZE(captures));
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < t->count; i++) {
		struct event *e = &t->events[i], *op;

		if (e->kind != EVENT_LAUNCH || !e->ran)
			continue;
		if (e->is_graph_launch) {
			rc = count_replay(t, f, captures, n, e);
			continue;
		}
		op = counts_for(t, e);
		if (op && op->op < OP_PRODUCT_END && op->has_shape)
			mark_of_product(t, e);
		if (!op || op->counted)
			continue;
		op->counted = true;
		rc = count_op(f, op, e);
	}
	return rc;
}

/* Kernels that no counted product started, by name. */
static int list_kernels(struct trace *t, struct run *r)
{
	uint64_t others = 0;
	int rc = 0;

	for (size_t i = 0; i < t->kernel_count; i++) {
		if (t->kernels[i].of_product)
			continue;
		if (t->kernels[i].name < KERNEL_NAMES_MAX)
			t->names[t->kernels[i].name].launches++;
		else
			others++;
	}
	for (size_t i = 0; rc == 0 && t->names && i < KERNEL_NAMES_MAX; i++)
		if (t->names[i].launches)
			rc = run_add_launches(r, t->names[i].text, t->names[i].launches);
	return rc ?: others ? run_add_launches(r, "(other kernels)", others) : 0;
}

int run_read_kineto(const char *path, struct run *ret, struct error_text *err)
{
	_cleanup_(kineto_trace_done) struct trace t = { 0 };
	_cleanup_(found_done) struct found found = { 0 };
	struct run run = { 0 };
	const char *base = strrchr(path, '/');
	int r;

	r = kineto_trace_read(path, &t, err);
	if (r)
		return r;
	/* qsort() takes no NULL, not even for nothing. */
	if (t.kernel_count)
		qsort(t.kernels, t.kernel_count, sizeof(*t.kernels), by_correlation_of_kernel);
	if (t.count)
		qsort(t.events, t.count, sizeof(*t.events), by_thread_and_time);
	run.left.kernels = t.kernel_count + t.kernels_without;
	snprintf(run.name, sizeof(run.name), "%.100s", base ? base + 1 : path);
	run.name[strcspn(run.name, ".")] = '\0';
	snprintf(run.gpu, sizeof(run.gpu), "%s", t.gpu);
	r = find_launches(&t, &run);
	if (r == 0)
		find_owners(&t);
	found.run = &run;
	r = r ?: count_all(&t, &found);
	r = r ?: add_in_order(&found, t.thread_count);
	r = r ?: list_kernels(&t, &run);
	if (r) {
		run_done(&run);
		return error_set(err, r, "%s: %s", path, strerror(-r));
	}
	*ret = run;
	return 0;
}
