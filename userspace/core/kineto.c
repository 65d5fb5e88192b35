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
 *
 * Only operators and launches are kept, as small structs: a trace of gigabytes
 * needs memory for what it did, not for what it says.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/json_stream.h"
#include "run.h"

#define DIMS_MAX 12 /* inputs of an operator that are looked at */
#define RANK_MAX 4
#define LAUNCH_SLACK_US 1.5 /* traces with whole microseconds */
#define STACK_MAX 64

/* Operators with operations of their own; the first kinds are matrix products. */
enum op_kind {
	OP_MM,
	OP_ADDMM,
	OP_BMM,
	OP_BADDBMM,
	OP_SCALED_MM,
	OP_PRODUCT_END,
	OP_OTHER = OP_PRODUCT_END,
	OP_NONE
};

static const char *const product_names[OP_PRODUCT_END] = { "mm", "addmm", "bmm", "baddbmm", "_scaled_mm" };

/* Not matrix products, or products by another name: kernels within them are theirs. */
static const char *const other_names[] = {
	"aten::_int_mm",
	"aten::addmm_",
	"aten::_addmm_activation",
	"aten::baddbmm_",
	"aten::addbmm",
	"aten::mv",
	"aten::addmv",
	"aten::addmv_",
	"aten::dot",
	"aten::linear",
	"aten::_scaled_dot_product_flash_attention",
	"aten::_scaled_dot_product_efficient_attention",
	"aten::_scaled_dot_product_cudnn_attention",
	"aten::_scaled_dot_product_fused_attention_overrideable",
	"aten::_flash_attention_forward",
	"aten::_efficient_attention_forward",
	"flash_attn::_flash_attn_forward",
	"customflash::custom_flash_aligned",
	"aten::_scaled_dot_product_flash_attention_backward",
	"aten::_scaled_dot_product_efficient_attention_backward",
	"aten::_scaled_dot_product_cudnn_attention_backward",
	"aten::_flash_attention_backward",
	"aten::_efficient_attention_backward",
	"flash_attn::_flash_attn_backward",
	"flash_attn_3::fwd",
	"flash_attn_3::bwd",
	"aten::cudnn_convolution",
	"aten::miopen_convolution",
	"aten::cudnn_convolution_relu",
	"aten::cudnn_convolution_add_relu",
	"aten::conv2d",
	"aten::convolution",
	"aten::_convolution",
	"aten::_conv_depthwise2d",
	"aten::thnn_conv2d",
	"aten::_slow_conv2d_forward",
	"aten::mkldnn_convolution",
	"aten::slow_conv_dilated2d",
	"aten::miopen_depthwise_convolution",
	"aten::cudnn_convolution_transpose",
	"aten::miopen_convolution_transpose",
	"aten::convolution_backward",
	"aten::cudnn_convolution_backward_input",
	"aten::cudnn_convolution_backward_weight",
};

enum event_kind { EVENT_OP, EVENT_LAUNCH, EVENT_CAPTURE_BEGIN, EVENT_CAPTURE_END, EVENT_KERNEL, EVENT_NONE };

struct event {
	double ts, dur; /* microseconds */
	uint64_t correlation;
	uint32_t thread, order; /* order: place in the file, to break ties */
	enum event_kind kind;
	enum op_kind op;
	bool has_correlation, is_graph_launch, is_kernel_launch, ran, outer, has_shape, counted;
	struct run_product product; /* of a matrix product with shapes */
	int32_t owner;		    /* of a launch: position of the operator; -1 none */
};

struct trace {
	struct event *events;
	size_t count, room;
	char **threads;
	size_t thread_count;
	uint64_t *kernels; /* correlations, sorted later */
	size_t kernel_count, kernel_room;
	uint64_t kernels_without;
	char gpu[64];
};

static void trace_done(struct trace *t)
{
	for (size_t i = 0; i < t->thread_count; i++)
		free(t->threads[i]);
	free(t->threads);
	free(t->events);
	free(t->kernels);
}

/* What is collected of one event while it is read. */
struct raw {
	char name[160], category[32], pid[32], tid[64], types[DIMS_MAX][32];
	double ts, dur;
	bool complete, has_correlation;
	uint64_t correlation;
	int64_t dims[DIMS_MAX][RANK_MAX];
	int rank[DIMS_MAX]; /* -1: not a plain list of numbers */
	int inputs, type_count;
};

static int read_shape(struct json_stream *s, struct raw *e, struct error_text *err)
{
	enum json_token t;
	int rank = 0, r;

	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		if (t == JSON_TOKEN_ARRAY || t == JSON_TOKEN_OBJECT) {
			r = json_stream_skip(s, err);
			rank = -1;
		} else if (t != JSON_TOKEN_NUMBER || rank < 0 || rank == RANK_MAX) {
			rank = -1;
		} else if (e->inputs < DIMS_MAX) {
			e->dims[e->inputs][rank++] = strtoll(json_stream_text(s), NULL, 10);
		}
		if (r)
			return r;
	}
	if (r == 0 && e->inputs < DIMS_MAX)
		e->rank[e->inputs++] = rank;
	return r;
}

static int read_dims(struct json_stream *s, struct raw *e, struct error_text *err)
{
	enum json_token t;
	int r;

	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		if (t == JSON_TOKEN_ARRAY) {
			r = read_shape(s, e, err);
			if (r)
				return r;
		} else {
			if (t == JSON_TOKEN_OBJECT && (r = json_stream_skip(s, err)))
				return r;
			if (e->inputs < DIMS_MAX)
				e->rank[e->inputs++] = -1;
		}
	}
	return r;
}

static int read_types(struct json_stream *s, struct raw *e, struct error_text *err)
{
	enum json_token t;
	int r;

	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		if (t == JSON_TOKEN_ARRAY || t == JSON_TOKEN_OBJECT)
			r = json_stream_skip(s, err);
		else if (e->type_count < DIMS_MAX)
			snprintf(e->types[e->type_count], sizeof(e->types[0]), "%s",
				 t == JSON_TOKEN_TEXT ? json_stream_text(s) : "");
		e->type_count++;
		if (r)
			return r;
	}
	if (e->type_count > DIMS_MAX)
		e->type_count = DIMS_MAX;
	return r;
}

static int skip_value(struct json_stream *s, enum json_token t, struct error_text *err)
{
	return t == JSON_TOKEN_ARRAY || t == JSON_TOKEN_OBJECT ? json_stream_skip(s, err) : 0;
}

static int read_args(struct json_stream *s, struct raw *e, struct error_text *err)
{
	enum json_token t;
	char key[32];
	int r;

	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_OBJECT_END) {
		snprintf(key, sizeof(key), "%s", json_stream_text(s));
		r = json_stream_next(s, &t, err);
		if (r)
			return r;
		if (t == JSON_TOKEN_ARRAY && (!strcmp(key, "Input Dims") || !strcmp(key, "Input dims")))
			r = read_dims(s, e, err);
		else if (t == JSON_TOKEN_ARRAY && !strcmp(key, "Input type"))
			r = read_types(s, e, err);
		else
			r = skip_value(s, t, err);
		if (!strcmp(key, "correlation") && (t == JSON_TOKEN_NUMBER || t == JSON_TOKEN_TEXT)) {
			e->correlation = strtoull(json_stream_text(s), NULL, 10);
			e->has_correlation = true;
		}
		if (r)
			return r;
	}
	return r;
}

static void keep_text(const struct json_stream *s, const char *key, struct raw *e)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} fields[] = { { "name", e->name, sizeof(e->name) },
		       { "cat", e->category, sizeof(e->category) },
		       { "pid", e->pid, sizeof(e->pid) },
		       { "tid", e->tid, sizeof(e->tid) } };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(key, fields[i].key))
			snprintf(fields[i].to, fields[i].size, "%s", json_stream_text(s));
	if (!strcmp(key, "ph"))
		e->complete = !strcmp(json_stream_text(s), "X");
	if (!strcmp(key, "ts"))
		e->ts = strtod(json_stream_text(s), NULL);
	if (!strcmp(key, "dur"))
		e->dur = strtod(json_stream_text(s), NULL);
}

static int read_event(struct json_stream *s, struct raw *e, struct error_text *err)
{
	enum json_token t;
	char key[32];
	int r;

	memset(e, 0, sizeof(*e));
	while ((r = json_stream_next(s, &t, err)) == 0 && t != JSON_TOKEN_OBJECT_END) {
		snprintf(key, sizeof(key), "%s", json_stream_text(s));
		r = json_stream_next(s, &t, err);
		if (r)
			return r;
		if (t == JSON_TOKEN_OBJECT && !strcmp(key, "args"))
			r = read_args(s, e, err);
		else if (t == JSON_TOKEN_TEXT || t == JSON_TOKEN_NUMBER)
			keep_text(s, key, e);
		else
			r = skip_value(s, t, err);
		if (r)
			return r;
	}
	for (char *c = e->category; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return r;
}

/* "thread 12 (python)" and "12" are one thread. */
static int thread_of(struct trace *t, const struct raw *e, uint32_t *ret)
{
	const char *tid = !strncmp(e->tid, "thread ", 7) ? e->tid + 7 : e->tid;
	char name[100];
	char **more;

	snprintf(name, sizeof(name), "%s/%.*s", e->pid, (int)strcspn(tid, " "), tid);
	for (size_t i = 0; i < t->thread_count; i++) {
		if (!strcmp(t->threads[i], name)) {
			*ret = (uint32_t)i;
			return 0;
		}
	}
	more = reallocarray(t->threads, t->thread_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->threads = more;
	t->threads[t->thread_count] = strdup(name);
	if (!t->threads[t->thread_count])
		return -ENOMEM;
	*ret = (uint32_t)t->thread_count++;
	return 0;
}

static enum op_kind op_of(const char *name)
{
	if (!strncmp(name, "aten::", 6))
		for (int i = 0; i < OP_PRODUCT_END; i++)
			if (!strcmp(name + 6, product_names[i]))
				return (enum op_kind)i;
	for (size_t i = 0; i < ARRAY_SIZE(other_names); i++)
		if (!strcmp(name, other_names[i]))
			return OP_OTHER;
	return OP_NONE;
}

static enum event_kind kind_of(const struct raw *e, enum op_kind *op)
{
	static const char *const runtimes[] = { "cuda_runtime", "cuda_driver", "runtime", "driver",
						"hip_runtime" };

	if (!e->complete)
		return EVENT_NONE;
	if (!strcmp(e->category, "kernel"))
		return EVENT_KERNEL;
	if (!strcmp(e->category, "cpu_op") || !strcmp(e->category, "operator")) {
		*op = op_of(e->name);
		return *op == OP_NONE ? EVENT_NONE : EVENT_OP;
	}
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		if (strcmp(e->category, runtimes[i]))
			continue;
		if (strstr(e->name, "StreamBeginCapture"))
			return EVENT_CAPTURE_BEGIN;
		if (strstr(e->name, "StreamEndCapture"))
			return EVENT_CAPTURE_END;
		return e->has_correlation ? EVENT_LAUNCH : EVENT_NONE;
	}
	return EVENT_NONE;
}

/* cudaDataType of the recorder's name for a tensor's type; 255: not known. */
static uint32_t cuda_type(const char *type)
{
	static const struct {
		const char *name;
		uint32_t type;
	} types[] = { { "c10::BFloat16", 14 },
		      { "c10::Half", 2 },
		      { "float", 0 },
		      { "double", 1 },
		      { "c10::Float8_e4m3fn", 28 },
		      { "c10::Float8_e5m2", 29 },
		      { "signed char", 3 },
		      { "unsigned char", 8 },
		      { "c10::complex<float>", 4 },
		      { "c10::complex<double>", 5 },
		      { "int", 10 } };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, type))
			return types[i].type;
	return 255;
}

/* Reads the product of A and B at two inputs of `rank` dimensions. */
static bool product_of(const struct raw *e, int a, int b, int rank, struct run_product *p)
{
	const int64_t *x = e->dims[a], *y = e->dims[b];
	uint32_t ta, tb;

	if (e->inputs <= b || e->rank[a] != rank || e->rank[b] != rank)
		return false;
	p->batch = 1;
	if (rank == 3) {
		p->batch = (uint64_t)x[0];
		x++;
		y++;
	}
	for (int i = 0; i < 2; i++)
		if (x[i] < 0 || y[i] < 0)
			return false;
	if (x[1] != y[0])
		return false;
	p->m = (uint64_t)x[0];
	p->k = (uint64_t)x[1];
	p->n = (uint64_t)y[1];
	ta = a < e->type_count ? cuda_type(e->types[a]) : 255;
	tb = b < e->type_count ? cuda_type(e->types[b]) : 255;
	/* The compute type is not recorded: 32F (68) for all but doubles. */
	p->types = ta | tb << 8 | ta << 16 | (ta == 1 || ta == 5 ? 70u : 68u) << 24;
	return true;
}

static bool shape_of(const struct raw *e, enum op_kind op, struct run_product *p)
{
	if (op >= OP_PRODUCT_END)
		return false;
	snprintf(p->op, sizeof(p->op), "%s", product_names[op]);
	switch (op) {
	case OP_ADDMM:
		return product_of(e, 1, 2, 2, p);
	case OP_BMM:
		return product_of(e, 0, 1, 3, p);
	case OP_BADDBMM:
		return product_of(e, 1, 2, 3, p);
	default:
		return product_of(e, 0, 1, 2, p);
	}
}

static int add_kernel(struct trace *t, const struct raw *e)
{
	if (!e->has_correlation) {
		t->kernels_without++;
		return 0;
	}
	if (t->kernel_count == t->kernel_room) {
		size_t room = t->kernel_room ? 2 * t->kernel_room : 4096;
		uint64_t *more = reallocarray(t->kernels, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->kernels = more;
		t->kernel_room = room;
	}
	t->kernels[t->kernel_count++] = e->correlation;
	return 0;
}

static int add_event(struct trace *t, const struct raw *e)
{
	enum op_kind op = OP_NONE;
	enum event_kind kind = kind_of(e, &op);
	struct event *v;

	if (kind == EVENT_NONE)
		return 0;
	if (kind == EVENT_KERNEL)
		return add_kernel(t, e);
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 4096;
		struct event *more = reallocarray(t->events, room, sizeof(*more));

		if (!more || room > INT32_MAX)
			return -ENOMEM;
		t->events = more;
		t->room = room;
	}
	v = &t->events[t->count];
	*v = (struct event){ .ts = e->ts,
			     .dur = e->dur,
			     .correlation = e->correlation,
			     .order = (uint32_t)t->count,
			     .kind = kind,
			     .op = op,
			     .has_correlation = e->has_correlation,
			     .owner = -1 };
	v->is_graph_launch = strstr(e->name, "GraphLaunch") != NULL;
	v->is_kernel_launch = strstr(e->name, "LaunchKernel") || strstr(e->name, "LaunchCooperativeKernel") ||
			      strstr(e->name, "LaunchExtKernel");
	/* Of several calls with one correlation, the launch is the one that counts. */
	v->ran = strstr(e->name, "aunch") != NULL;
	v->has_shape = kind == EVENT_OP && shape_of(e, op, &v->product);
	t->count++;
	return thread_of(t, e, &v->thread);
}

static int read_events(struct json_stream *s, struct trace *t, struct error_text *err)
{
	_cleanup_free_ struct raw *e = malloc(sizeof(*e));
	enum json_token tok;
	int r;

	if (!e)
		return -ENOMEM;
	while ((r = json_stream_next(s, &tok, err)) == 0 && tok != JSON_TOKEN_ARRAY_END) {
		if (tok != JSON_TOKEN_OBJECT)
			return error_set(err, -EBADMSG,
					 "traceEvents holds something that is no event (byte %llu)",
					 (unsigned long long)json_stream_offset(s));
		r = read_event(s, e, err);
		r = r ?: add_event(t, e);
		if (r)
			return r;
	}
	return r;
}

static int read_device(struct json_stream *s, struct trace *t, struct error_text *err)
{
	enum json_token tok;
	char key[32] = "";
	int r, depth = 1;

	/* The first "name" within deviceProperties. */
	while (depth > 0 && (r = json_stream_next(s, &tok, err)) == 0) {
		if (tok == JSON_TOKEN_KEY)
			snprintf(key, sizeof(key), "%s", json_stream_text(s));
		else if (tok == JSON_TOKEN_TEXT && !strcmp(key, "name") && !t->gpu[0])
			snprintf(t->gpu, sizeof(t->gpu), "%s", json_stream_text(s));
		depth += tok == JSON_TOKEN_ARRAY || tok == JSON_TOKEN_OBJECT;
		depth -= tok == JSON_TOKEN_ARRAY_END || tok == JSON_TOKEN_OBJECT_END;
	}
	return depth > 0 ? r : 0;
}

static int read_trace(struct json_stream *s, struct trace *t, const char *path, struct error_text *err)
{
	enum json_token tok;
	bool found = false;
	char key[32];
	int r = json_stream_next(s, &tok, err);

	if (r)
		return r;
	if (tok == JSON_TOKEN_ARRAY)
		return read_events(s, t, err);
	if (tok != JSON_TOKEN_OBJECT)
		return error_set(err, -EBADMSG, "%s: neither a Kineto trace nor an opmeter run", path);
	while ((r = json_stream_next(s, &tok, err)) == 0 && tok != JSON_TOKEN_OBJECT_END) {
		snprintf(key, sizeof(key), "%s", json_stream_text(s));
		r = json_stream_next(s, &tok, err);
		if (r)
			return r;
		if (!strcmp(key, "traceEvents") && tok == JSON_TOKEN_ARRAY) {
			r = read_events(s, t, err);
			found = true;
		} else if (!strcmp(key, "deviceProperties") && tok == JSON_TOKEN_ARRAY) {
			r = read_device(s, t, err);
		} else {
			r = skip_value(s, tok, err);
		}
		if (r)
			return r;
	}
	if (r == 0 && !found)
		return error_set(err, -EBADMSG, "%s: has no traceEvents: not a Kineto trace", path);
	return r;
}

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

static int by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/* How many kernels ran under a correlation. */
static size_t kernels_of(const struct trace *t, uint64_t correlation)
{
	const uint64_t *p =
		t->kernel_count ? bsearch(&correlation, t->kernels, t->kernel_count, sizeof(*p), by_number)
				: NULL;
	size_t n = 0;

	if (!p)
		return 0;
	while (p > t->kernels && p[-1] == correlation)
		p--;
	for (; p < t->kernels + t->kernel_count && *p == correlation; p++)
		n++;
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

static int count_op(struct run *r, struct event *op)
{
	if (op->op == OP_OTHER) {
		r->left.other_ops++;
		return 0;
	}
	if (!op->has_shape) {
		r->left.no_shapes++;
		return 0;
	}
	return run_add(r, &op->product);
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

static int count_capture(struct trace *t, struct run *r, const struct capture *c)
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
		rc = count_op(r, op);
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

static int count_all(struct trace *t, struct run *r)
{
	struct capture captures[256];
	size_t n = find_captures(t, captures, ARRAY_SIZE(captures));
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < t->count; i++) {
		struct event *e = &t->events[i], *op;

		if (e->kind != EVENT_LAUNCH || !e->ran)
			continue;
		if (e->is_graph_launch) {
			const struct capture *c = capture_of(t, captures, n, kernels_of(t, e->correlation));

			r->left.graph_launches++;
			r->left.graph_aligned += c != NULL;
			rc = c ? count_capture(t, r, c) : 0;
			continue;
		}
		op = counts_for(t, e);
		if (!op || op->counted)
			continue;
		op->counted = true;
		rc = count_op(r, op);
	}
	return rc;
}

int run_read_kineto(const char *path, struct run *ret, struct error_text *err)
{
	_cleanup_(json_stream_freep) struct json_stream *s = NULL;
	_cleanup_(trace_done) struct trace t = { 0 };
	struct run run = { 0 };
	const char *base = strrchr(path, '/');
	int r;

	r = json_stream_open(path, &s, err);
	r = r ?: read_trace(s, &t, path, err);
	if (r)
		return r;
	/* qsort() takes no NULL, not even for nothing. */
	if (t.kernel_count)
		qsort(t.kernels, t.kernel_count, sizeof(*t.kernels), by_number);
	if (t.count)
		qsort(t.events, t.count, sizeof(*t.events), by_thread_and_time);
	run.left.kernels = t.kernel_count + t.kernels_without;
	snprintf(run.name, sizeof(run.name), "%.100s", base ? base + 1 : path);
	run.name[strcspn(run.name, ".")] = '\0';
	snprintf(run.gpu, sizeof(run.gpu), "%s", t.gpu);
	r = find_launches(&t, &run);
	if (r == 0)
		find_owners(&t);
	r = r ?: count_all(&t, &run);
	if (r) {
		run_done(&run);
		return error_set(err, r, "%s: %s", path, strerror(-r));
	}
	*ret = run;
	return 0;
}
