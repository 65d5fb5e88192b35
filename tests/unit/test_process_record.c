// SPDX-License-Identifier: Apache-2.0
/* Process records: whatever a process is judged to be comes back as it was said, and nothing else is read. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "golden.h"
#include "userspace/base/cleanup.h"
#include "userspace/base/text.h"
#include "userspace/core/process_record.h"

#define HOUR UINT64_C(3600000000000)
#define T0 (UINT64_C(1796050800) * 1000000000)

static uint64_t state64 = 88172645463325252ULL;

static uint64_t rnd(void)
{
	state64 ^= state64 << 13;
	state64 ^= state64 >> 7;
	return state64 ^= state64 << 17;
}

static uint64_t below(uint64_t n)
{
	return rnd() % n;
}

static double unit(void)
{
	return (double)below(1u << 30) / (double)(1u << 30);
}

static void random_text(char *to, size_t size)
{
	static const char *const some[] = { "a", "Z", "-", "/", "\"", "\\", "\n", "\x01", "\u00e9", "\u20ac", "\U0001f600", "\xff", "\xc3", "{", "]" };
	size_t n = 0;

	for (size_t want = below(size + 8); n + 5 < size && n < want;) {
		const char *s = some[below(sizeof(some) / sizeof(*some))];

		memcpy(to + n, s, strlen(s));
		n += strlen(s);
	}
	to[n] = '\0';
}

static struct model_bounds random_bounds(void)
{
	double low = floor(exp(unit() * 60)), best = low * (1 + unit());

	return (struct model_bounds){ low, best, best * (1 + unit()) };
}

static void random_model(struct model_fingerprint *f)
{
	f->hidden = below(1 << 20);
	f->feed_forward = below(1 << 20);
	f->vocabulary = below(1 << 20);
	f->experts = below(1024);
	f->experts_here = (uint32_t)below(100);
	f->layers = (uint32_t)below(200);
	f->tensor_parallel = (uint32_t)below(64);
	f->passes = unit() * 1e6;
	f->has_passes = below(2);
	f->by_buffers = below(2);
	f->is_certain = below(2);
	f->seen_in_order = (uint32_t)below(90);
	f->by_tokens = (uint32_t)below(90);
	f->parameters = random_bounds();
	f->active = random_bounds();
	f->tokens = random_bounds();
	f->check = unit() * 3;
	f->weights = below(MODEL_WEIGHTS_MAX + 1);
	f->weights_left_out = below(1000);
	for (size_t i = 0; i < f->weights; i++) {
		uint64_t small = 1 + below(1 << 14), copies = 1 + below(100);

		f->weight[i] = (struct model_weight){ .small = small,
						      .large = small + below(1 << 18),
						      .copies = (double)copies + (below(4) ? 0 : unit()),
						      .is_experts = below(2),
						      .narrows = below(2),
						      .widens = below(2) };
		f->weight[i].active = below(2) ? f->weight[i].copies : unit() * 8;
	}
	random_text(f->evidence, sizeof(f->evidence));
}

static void random_phase(struct process_record *p)
{
	static const char *const how[] = { "high", "low", "none" };
	struct phase_judgement *j = &p->phase;

	j->verdict = (enum phase_verdict)below(PHASE_VERDICTS);
	j->confidence = how[below(3)];
	j->training_low = unit();
	j->training_high = j->training_low + unit() * (1 - j->training_low);
	j->recompute_low = unit() / 2;
	j->recompute_best = j->recompute_low + unit() / 4;
	j->recompute_high = j->recompute_best + unit() / 4;
	j->executed = (opcount)rnd() * (below(2) ? rnd() >> 4 : 1);
	random_text(p->suspicion, sizeof(p->suspicion));
	j->suspicion = p->suspicion[0] ? p->suspicion : NULL;
	random_text(j->evidence, sizeof(j->evidence));
}

static void random_id(struct om_id *id)
{
	for (size_t i = 0; i < sizeof(id->byte); i++)
		id->byte[i] = (uint8_t)rnd();
}

static void random_record(struct process_record *p)
{
	memset(p, 0, sizeof(*p));
	random_id(&p->ledger);
	random_id(&p->job);
	random_id(&p->process);
	p->from_ns = T0 + below(HOUR);
	p->begun_ns = below(2) ? p->from_ns - below(30 * 24 * HOUR) : 0;
	p->to_ns = p->from_ns + below(HOUR);
	p->at_ns = p->to_ns + below(HOUR);
	p->has_ended = below(2);
	random_text(p->tenant, sizeof(p->tenant));
	random_text(p->model_name, sizeof(p->model_name));
	random_text(p->lineage, sizeof(p->lineage));
	random_phase(p);
	p->has_model = below(4);
	if (p->has_model)
		random_model(&p->model);
	p->claims = below(PROCESS_CLAIMS_MAX + 1);
	for (size_t i = 0; i < p->claims; i++) {
		struct om_join_claim *c = &p->claim[i];

		*c = (struct om_join_claim){ .has_id = true, .process = p->process, .job = p->job };
		random_id(&c->id);
		c->nranks = (int32_t)(1 + below(OM_JOIN_RANKS_MAX));
		c->rank = (int32_t)below((uint64_t)c->nranks + 1) - 1;
		c->time_ns = T0 + below(HOUR);
	}
	p->claims_left_out = below(10000);
	p->groups = below(PROCESS_GROUPS_MAX + 1);
	for (size_t i = 0; i < p->groups; i++)
		p->group[i] = (struct job_group){ 1 + (uint32_t)below(UINT32_MAX), (enum run_collective_kind)below(RUN_COLLECTIVE_KINDS),
						  (opcount)rnd() * rnd() };
}

static bool near9(double a, double b)
{
	return fabs(a - b) <= 1e-8 * fmax(fabs(a), fabs(b));
}

/* What is decided by it is the same; bounds have only widened. */
static void assert_same(const struct process_record *p, const struct process_record *q)
{
	assert_true(om_id_equal(&p->ledger, &q->ledger) && om_id_equal(&p->job, &q->job) && om_id_equal(&p->process, &q->process));
	assert_true(p->from_ns == q->from_ns && p->to_ns == q->to_ns && p->at_ns == q->at_ns && p->begun_ns == q->begun_ns && p->has_ended == q->has_ended);
	assert_true(p->phase.verdict == q->phase.verdict && strcmp(p->phase.confidence, q->phase.confidence) == 0 && p->phase.executed == q->phase.executed);
	assert_true(q->phase.training_low <= p->phase.training_low && q->phase.training_high >= p->phase.training_high);
	assert_true(q->phase.recompute_low <= p->phase.recompute_low && q->phase.recompute_high >= p->phase.recompute_high);
	assert_true(fabs(q->phase.recompute_best - p->phase.recompute_best) < 2e-6);
	assert_true(q->phase.algorithmic <= q->phase.executed);
	assert_true(!p->phase.suspicion == !q->phase.suspicion);
	assert_int_equal(p->has_model, q->has_model);
	assert_int_equal(p->model.weights, q->model.weights);
	assert_true(near9(p->model.parameters.best, q->model.parameters.best) && near9(p->model.tokens.high, q->model.tokens.high));
	for (size_t i = 0; i < p->model.weights; i++) {
		const struct model_weight *w = &p->model.weight[i], *x = &q->model.weight[i];

		assert_true(w->small == x->small && w->large == x->large && near9(w->copies, x->copies) && near9(w->active, x->active));
		assert_true(w->is_experts == x->is_experts && w->narrows == x->narrows && w->widens == x->widens);
	}
	assert_int_equal(p->claims, q->claims);
	assert_memory_equal(p->claim, q->claim, p->claims * sizeof(p->claim[0]));
	assert_int_equal(p->claims_left_out, q->claims_left_out);
	assert_int_equal(p->groups, q->groups);
	for (size_t i = 0; i < p->groups; i++)
		assert_true(p->group[i].ranks == q->group[i].ranks && p->group[i].kind == q->group[i].kind && p->group[i].bytes == q->group[i].bytes);
}

static void what_is_written_is_read_again(void **state)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p)), *q = malloc(sizeof(*q));

	for (int i = 0; i < 500; i++) {
		_cleanup_free_ char *text = NULL, *again = NULL;

		random_record(p);
		text = process_record_encode(p);
		assert_non_null(text);
		if (process_record_decode(text, strlen(text), q))
			fail_msg("not read: %s", text);
		assert_same(p, q);
		assert_true(text_is_utf8(text));
		assert_true(!*p->lineage == !*q->lineage && *q->tenant && *q->model_name);
		again = process_record_encode(q);
		assert_string_equal(text, again);
	}
}

/* What no record can hold is cut or left out, and said so: nothing of a tenant's keeps a record from being read. */
static void what_cannot_be_said_is_cut(void **state)
{
	_cleanup_free_ struct process_record *p = calloc(1, sizeof(*p)), *q = calloc(1, sizeof(*q));
	_cleanup_free_ char *text = NULL;

	random_record(p);
	memset(p->tenant, 'x', sizeof(p->tenant) - 2);
	memcpy(p->tenant + sizeof(p->tenant) - 3, "\xc3", 2); /* cut within a character */
	p->from_ns = p->at_ns + 5;
	p->to_ns = p->at_ns + HOUR;
	p->phase.training_low = NAN;
	p->phase.training_high = NAN;
	p->phase.recompute_low = -1;
	p->phase.recompute_best = 7;
	p->phase.recompute_high = INFINITY;
	p->has_model = true;
	p->model.weights = 0;
	p->model.check = INFINITY;
	p->model.passes = NAN;
	p->model.parameters = (struct model_bounds){ 5, 3, NAN };
	p->claims = 2;
	p->claim[0].rank = p->claim[0].nranks;
	p->claims_left_out = 3;
	text = process_record_encode(p);
	assert_int_equal(process_record_decode(text, strlen(text), q), 0);
	assert_true(q->from_ns <= q->to_ns && q->to_ns <= q->at_ns);
	assert_true(q->phase.training_low <= 0 && q->phase.training_high >= 1);
	assert_int_equal(q->claims, 1);
	assert_int_equal(q->claims_left_out, 4);
	assert_true(q->model.parameters.low >= 5 && q->model.parameters.high >= 5);
	free(text);
	p->model.weights = 1;
	p->model.weight[0] = (struct model_weight){ .small = 1, .large = UINT64_MAX / 2, .copies = 1 };
	text = process_record_encode(p);
	assert_int_equal(process_record_decode(text, strlen(text), q), 0);
	assert_false(q->has_model);
}

static void golden(const char *name, struct process_record *ret, char **ret_text)
{
	*ret_text = golden_json(name);
	assert_int_equal(process_record_decode(*ret_text, strlen(*ret_text), ret), 0);
}

static void the_golden_record_is_read_and_written(void **state)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p));
	_cleanup_free_ char *text = NULL, *again = NULL;
	char key[PROCESS_KEY_STRLEN];

	golden("process_v1.json", p, &text);
	again = process_record_encode(p);
	assert_string_equal(text, again);
	assert_string_equal(process_record_key(p, key),
			    "000102030405060708090a0b0c0d0e0f/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf");
	assert_int_equal(p->phase.verdict, PHASE_IS_TRAINING);
	assert_int_equal(p->model.weights, 3);
	assert_true(p->model.weight[2].is_experts && p->model.weight[2].active < p->model.weight[2].copies);
	assert_int_equal(p->claim[1].rank, OM_JOIN_NO_RANK);
	assert_true(om_id_equal(&p->claim[0].process, &p->process));
	assert_true(p->group[0].bytes == (opcount)UINT64_MAX * 3);
	assert_null(p->phase.suspicion);
	assert_string_equal(p->lineage, "");
}

static void a_copy_stands_by_itself(void **state)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p)), *q = malloc(sizeof(*q));
	_cleanup_free_ char *text = NULL, *first = NULL, *second = NULL;

	golden("process_v1.json", p, &text);
	p->phase.suspicion = "what a rule says";
	process_record_copy(q, p);
	first = process_record_encode(p);
	memset(p, 0x55, sizeof(*p));
	second = process_record_encode(q);
	assert_string_equal(first, second);
	assert_ptr_equal(q->phase.suspicion, q->suspicion);
}

static void an_event_is_read_by_its_data(void **state)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p));
	_cleanup_free_ char *text = golden_json("process_v1.json"), *event = malloc(strlen(text) + 100);

	sprintf(event, "{\"specversion\":\"1.0\",\"type\":\"opmeter.process.v1\",\"data\":%s}", text);
	assert_int_equal(process_record_decode_event(event, strlen(event), p), 0);
	assert_int_equal(process_record_decode(event, strlen(event), p), -EBADMSG);
	assert_int_equal(process_record_decode_event(text, strlen(text), p), -EBADMSG);
}

/* The golden record with one thing changed, by where it stands (the path's last part is replaced). */
struct change {
	const char *where, *value;
	int want;
};

static const struct change changes[] = {
	{ "unheard_of", "{\"a\":[1]}", 0 },
	{ "v", "2", -EPROTONOSUPPORT },
	{ "v", "0", -EBADMSG },
	{ "v", "\"1\"", -EBADMSG },
	{ "v", NULL, -EBADMSG },
	{ "ledger", "\"00\"", -EBADMSG },
	{ "process", NULL, -EBADMSG },
	{ "to", "\"2026-11-23T17:00:00Z\"", -EBADMSG }, /* before from */
	{ "at", "\"2026-11-23T18:00:00Z\"", -EBADMSG }, /* before to */
	{ "to", "\"9999-11-23T17:00:00Z\"", -EBADMSG }, /* past 2^64 ns */
	{ "at", "\"2026-11-23T18:12:61Z\"", -EBADMSG },
	{ "from", "null", -EBADMSG },
	{ "begun", "\"2026-11-23T18:00:00.000000001Z\"", -EBADMSG }, /* after from */
	{ "begun", "null", -EBADMSG },
	{ "begun", "\"2026-11-23T18:00:00Z\"", 0 },
	{ "ended", "0", -EBADMSG },
	{ "tenant", "\"\"", -EBADMSG },
	{ "tenant", "null", -EBADMSG },
	{ "lineage", "\"\"", -EBADMSG },
	{ "lineage", "\"l-1\"", 0 },
	{ "phase", "[]", -EBADMSG },
	{ "phase/verdict", "\"learning\"", -EBADMSG },
	{ "phase/confidence", "\"some\"", -EBADMSG },
	{ "phase/training/low", "\"0.9\"", -EBADMSG }, /* over high */
	{ "phase/training/high", "\"1.000001\"", -EBADMSG },
	{ "phase/training/high", "\"nan\"", -EBADMSG },
	{ "phase/training/high", "1", -EBADMSG },
	{ "phase/training/low", "\"-0\"", -EBADMSG },
	{ "phase/training/low", "\"0.1234567\"", -EBADMSG },
	{ "phase/recomputed/best", "\"0.2\"", -EBADMSG },
	{ "phase/executed", "\"1e26\"", -EBADMSG },
	{ "phase/executed", "\"340282366920938463463374607431768211456\"", -EBADMSG },
	{ "phase/suspicion", "\"\"", -EBADMSG },
	{ "model", "null", 0 },
	{ "model", "false", -EBADMSG },
	{ "model", NULL, -EBADMSG },
	{ "model/hidden", "-1", -EBADMSG },
	{ "model/hidden", "9007199254740993", -EBADMSG },
	{ "model/layers", "4294967296", -EBADMSG },
	{ "model/passes", "\"0x10\"", -EBADMSG },
	{ "model/passes", "\"inf\"", -EBADMSG },
	{ "model/passes", "\"1e41\"", -EBADMSG },
	{ "model/passes", "\" 1\"", -EBADMSG },
	{ "model/passes", "\"1.\"", -EBADMSG },
	{ "model/parameters/low", "\"1e30\"", -EBADMSG },
	{ "model/certain", "null", -EBADMSG },
	{ "model/weights", "{}", -EBADMSG },
	{ "model/weights/0/small", "0", -EBADMSG },
	{ "model/weights/0/small", "99999999", -EBADMSG },
	{ "model/weights/0/copies", "\"0\"", -EBADMSG },
	{ "model/weights/0/experts", "1", -EBADMSG },
	{ "communicators", "null", -EBADMSG },
	{ "communicators/0/rank", "16", -EBADMSG },
	{ "communicators/0/rank", "-2", -EBADMSG },
	{ "communicators/0/ranks", "16777217", -EBADMSG },
	{ "communicators/0/ranks", "0", -EBADMSG },
	{ "communicators/0/id", "\"x\"", -EBADMSG },
	{ "communicators_left_out", "-1", -EBADMSG },
	{ "groups/0/ranks", "0", -EBADMSG },
	{ "groups/0/kind", "\"AllReduce\"", -EBADMSG },
	{ "groups/0/bytes", "5", -EBADMSG },
};

static void apply(json_t *o, const struct change *c)
{
	_cleanup_free_ char *path = strdup(c->where);
	char *save, *part = strtok_r(path, "/", &save), *next;

	for (; (next = strtok_r(NULL, "/", &save)); part = next)
		o = json_is_array(o) ? json_array_get(o, (size_t)atoi(part)) : json_object_get(o, part);
	assert_non_null(o);
	if (!c->value)
		assert_int_equal(json_object_del(o, part), 0);
	else
		assert_int_equal(json_object_set_new(o, part, json_loads(c->value, JSON_DECODE_ANY, NULL)), 0);
}

static void what_is_out_of_its_range_is_refused(void **state)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p));
	_cleanup_free_ char *text = golden_json("process_v1.json");

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		json_t *o = json_loads(text, 0, NULL);
		_cleanup_free_ char *changed = NULL;
		int r;

		apply(o, &changes[i]);
		changed = json_dumps(o, JSON_COMPACT);
		json_decref(o);
		r = process_record_decode(changed, strlen(changed), p);
		if (r != changes[i].want)
			fail_msg("%s = %s: %d, not %d", changes[i].where, changes[i].value ?: "nothing", r, changes[i].want);
	}
}

static void longer_than_it_may_be_is_refused(void **state)
{
	static const char *const array[] = { "communicators", "groups" };
	static const char *const name[] = { "tenant", "model_name", "lineage" };
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p));
	_cleanup_free_ char *text = golden_json("process_v1.json");
	char long_name[130];

	memset(long_name, 'n', sizeof(long_name));
	for (int i = 0; i < 5; i++) {
		json_t *o = json_loads(text, 0, NULL), *a;
		size_t most = PROCESS_CLAIMS_MAX;
		_cleanup_free_ char *full = NULL, *over = NULL;

		if (i < 2) {
			a = json_object_get(o, array[i]);
			while (json_array_size(a) < most)
				json_array_append(a, json_array_get(a, 0));
			full = json_dumps(o, 0);
			json_array_append(a, json_array_get(a, 0));
		} else {
			json_object_set_new(o, name[i - 2], json_stringn(long_name, 127));
			full = json_dumps(o, 0);
			json_object_set_new(o, name[i - 2], json_stringn(long_name, 128));
		}
		over = json_dumps(o, 0);
		json_decref(o);
		assert_int_equal(process_record_decode(full, strlen(full), p), 0);
		assert_int_equal(process_record_decode(over, strlen(over), p), -EBADMSG);
	}
}

/* Cut anywhere, twice the same member, depths that nobody asked for: refused, and the record that was there stays. */
static void no_json_is_no_record(void **state)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p)), *was = malloc(sizeof(*was));
	_cleanup_free_ char *text = NULL, *deep = malloc(200001);

	golden("process_v1.json", p, &text);
	memcpy(was, p, sizeof(*p));
	for (size_t len = 0; len < strlen(text); len++)
		assert_int_equal(process_record_decode(text, len, p), -EBADMSG);
	memset(deep, '[', 200000);
	deep[200000] = '\0';
	assert_int_equal(process_record_decode(deep, 200000, p), -EBADMSG);
	assert_int_equal(process_record_decode("{\"v\":1,\"v\":1}", 13, p), -EBADMSG);
	assert_int_equal(process_record_decode("null", 4, p), -EBADMSG);
	assert_int_equal(process_record_decode_event("{\"data\":null}", 13, p), -EBADMSG);
	assert_memory_equal(was, p, sizeof(*p));
}

/* --- news --- */

static void assert_news(struct process_record *was, struct process_record *now, bool is_news)
{
	assert_int_equal(process_record_is_news(was, now), is_news);
	assert_int_equal(process_record_is_news(now, was), is_news);
	process_record_copy(now, was);
}

#define NEWS(is_news, change)                                                                                                            \
	do {                                                                                                                             \
		change;                                                                                                                  \
		assert_news(was, now, is_news);                                                                                          \
	} while (0)

static void what_moves_anyway_is_no_news(void **state)
{
	_cleanup_free_ struct process_record *was = malloc(sizeof(*was)), *now = malloc(sizeof(*now));
	_cleanup_free_ char *text = NULL;

	golden("process_v1.json", was, &text);
	process_record_copy(now, was);
	NEWS(false, now->at_ns += HOUR; now->to_ns += HOUR; now->from_ns += 1);
	NEWS(false, now->phase.executed *= 3; now->model.passes *= 3; now->model.tokens.best *= 3);
	NEWS(false, now->phase.training_low += 0.004; now->model.parameters.best *= 1.004);
	NEWS(false, now->group[0].bytes *= 7);
	NEWS(false, struct job_group g = now->group[0]; now->group[0] = now->group[1]; now->group[1] = g);
	NEWS(false, now->phase.evidence[0] ^= 1);
	NEWS(true, now->phase.training_low += 0.006);
	NEWS(true, now->phase.verdict = PHASE_IS_FROZEN);
	NEWS(true, now->phase.confidence = "low");
	NEWS(true, now->phase.suspicion = "what somebody does");
	NEWS(true, now->model.parameters.high *= 1.006);
	NEWS(true, now->model.active.low *= 0.99);
	NEWS(true, now->model.layers++);
	NEWS(true, now->model.is_certain = false);
	NEWS(true, now->model.weight[1].large++);
	NEWS(true, now->model.weight[1].copies *= 1.01);
	NEWS(true, now->model.weights--);
	NEWS(true, now->has_model = false);
	NEWS(true, now->has_ended = true);
	NEWS(true, now->tenant[0] = 'x');
	NEWS(true, now->model_name[0] = 'x');
	NEWS(true, now->lineage[0] = 'x');
	NEWS(true, now->claims--);
	NEWS(true, now->claims_left_out++);
	NEWS(true, now->claim[0].id.byte[3] ^= 1);
	NEWS(true, now->claim[1].rank = 0);
	NEWS(true, now->groups--);
	NEWS(true, now->group[0].kind = RUN_ALLTOALL);
}

/* A minute of an hour after one that was told. */
#define STANDS(yes, change)                                                                                                              \
	do {                                                                                                                             \
		process_record_copy(now, was);                                                                                           \
		now->from_ns = was->to_ns;                                                                                               \
		now->to_ns = now->at_ns = now->from_ns + HOUR / 60;                                                                      \
		now->phase.verdict = PHASE_IS_UNKNOWN;                                                                                   \
		now->phase.executed = was->phase.executed / 60;                                                                          \
		change;                                                                                                                  \
		assert_int_equal(process_record_stands(was, now), yes);                                                                  \
	} while (0)

static void an_earlier_hour_stands_for_minutes_only(void **state)
{
	_cleanup_free_ struct process_record *was = malloc(sizeof(*was)), *now = malloc(sizeof(*now));
	_cleanup_free_ char *text = NULL;

	golden("process_v1.json", was, &text);
	was->to_ns = was->at_ns = was->from_ns + HOUR;
	STANDS(true, );
	STANDS(true, now->phase.executed = 1);
	STANDS(false, now->phase.executed *= 11); /* faster than ever: other work */
	STANDS(false, now->phase.verdict = was->phase.verdict);
	STANDS(true, now->phase.verdict = was->phase.verdict; now->phase.executed = 1); /* its model is surer */
	STANDS(false, now->phase.verdict = PHASE_IS_INFERENCE; now->phase.executed = 1);
	STANDS(false, now->phase.suspicion = "what somebody does");
	STANDS(false, now->to_ns = now->from_ns + HOUR / 10);
	STANDS(false, now->from_ns = was->from_ns); /* of the same hour: it was taken back */
	STANDS(false, now->from_ns += 2 * HOUR; now->to_ns += 2 * HOUR);
	/* However much was claimed to be inference once: who learns after that is seen to learn, and unknown is unknown in time. */
	was->phase.executed = OPCOUNT_MAX / 16;
	was->phase.verdict = PHASE_IS_INFERENCE;
	STANDS(false, now->phase.verdict = PHASE_IS_TRAINING; now->phase.executed = 1);
	STANDS(false, now->to_ns = now->from_ns + HOUR / 2; now->phase.executed = 1);
	was->phase.verdict = PHASE_IS_UNKNOWN;
	STANDS(false, );
}

static void what_stands_keeps_its_beginning_and_no_end(void **state)
{
	_cleanup_free_ struct process_record *was = malloc(sizeof(*was)), *now = malloc(sizeof(*now));
	_cleanup_free_ char *text = NULL, *again = NULL;
	uint64_t to;

	golden("process_v1.json", was, &text);
	process_record_copy(now, was);
	now->from_ns += HOUR;
	to = now->to_ns = now->at_ns = was->at_ns + 2 * HOUR;
	now->phase.verdict = PHASE_IS_UNKNOWN;
	now->has_model = false;
	snprintf(was->suspicion, sizeof(was->suspicion), "what a rule says");
	was->phase.suspicion = was->suspicion;
	process_record_keep(now, was);
	assert_true(now->from_ns == was->from_ns && now->to_ns == to && now->at_ns == to);
	assert_false(process_record_is_news(was, now));
	assert_ptr_equal(now->phase.suspicion, now->suspicion);
	again = process_record_encode(now);
	assert_int_equal(process_record_decode(again, strlen(again), was), 0);
	assert_true(was->to_ns == to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(what_cannot_be_said_is_cut),
		cmocka_unit_test(the_golden_record_is_read_and_written),
		cmocka_unit_test(a_copy_stands_by_itself),
		cmocka_unit_test(an_event_is_read_by_its_data),
		cmocka_unit_test(what_is_out_of_its_range_is_refused),
		cmocka_unit_test(longer_than_it_may_be_is_refused),
		cmocka_unit_test(no_json_is_no_record),
		cmocka_unit_test(what_moves_anyway_is_no_news),
		cmocka_unit_test(an_earlier_hour_stands_for_minutes_only),
		cmocka_unit_test(what_stands_keeps_its_beginning_and_no_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
