// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the events of a Kineto (Chrome) trace. Only operators, launches, and the
 * names and correlations of kernels are kept, as small structs: a trace of
 * gigabytes needs memory for what it did, not for what it says.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/json_stream.h"
#include "kineto_internal.h"

#define DIMS_MAX 12 /* inputs of an operator that are looked at */
#define RANK_MAX 4

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

void kineto_trace_done(struct trace *t)
{
	for (size_t i = 0; i < t->thread_count; i++)
		free(t->threads[i]);
	free(t->threads);
	free(t->events);
	free(t->kernels);
	free(t->names);
}

/* What is collected of one event while it is read. */
struct raw {
	char name[KERNEL_NAME_LEN], category[32], pid[32], tid[64], types[DIMS_MAX][32];
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

/* The place of a name; KERNEL_NAMES_MAX where the table holds enough others. */
static int place_name(struct trace *t, const char *text, uint32_t *ret)
{
	uint32_t h = 2166136261u;

	if (!t->names)
		t->names = calloc(KERNEL_NAMES_MAX, sizeof(*t->names));
	if (!t->names)
		return -ENOMEM;
	for (const char *c = text; *c; c++)
		h = (h ^ (uint8_t)*c) * 16777619u;
	for (h %= KERNEL_NAMES_MAX; t->names[h].text[0]; h = (h + 1) % KERNEL_NAMES_MAX) {
		if (!strcmp(t->names[h].text, text)) {
			*ret = h;
			return 0;
		}
	}
	*ret = KERNEL_NAMES_MAX;
	if (t->name_count < KERNEL_NAMES_MAX / 2) {
		t->name_count++;
		snprintf(t->names[h].text, sizeof(t->names[h].text), "%s", text[0] ? text : "?");
		*ret = h;
	}
	return 0;
}

static int add_kernel(struct trace *t, const struct raw *e)
{
	struct kernel *k;

	if (!e->has_correlation) {
		t->kernels_without++;
		return 0;
	}
	if (t->kernel_count == t->kernel_room) {
		size_t room = t->kernel_room ? 2 * t->kernel_room : 4096;
		struct kernel *more = reallocarray(t->kernels, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->kernels = more;
		t->kernel_room = room;
	}
	k = &t->kernels[t->kernel_count++];
	*k = (struct kernel){ .correlation = e->correlation };
	return place_name(t, e->name, &k->name);
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

int kineto_trace_read(const char *path, struct trace *ret, struct error_text *err)
{
	_cleanup_(json_stream_freep) struct json_stream *s = NULL;
	int r = json_stream_open(path, &s, err);

	return r ?: read_trace(s, ret, path, err);
}
