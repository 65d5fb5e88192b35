// SPDX-License-Identifier: Apache-2.0
/* Process records from their JSON, which anybody may have written: every member is looked up by name at a
 * depth that is known, and each value must lie in its range. */
#include "process_record.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "assignment.h"
#include "process_record_internal.h"

/* --- single values --- */

static const char *string_of(const json_t *o, const char *key, size_t max)
{
	const json_t *v = json_object_get(o, key);
	size_t len = json_string_length(v);

	return json_is_string(v) && len && len < max ? json_string_value(v) : NULL;
}

static int take_text(const json_t *o, const char *key, char *ret, size_t size)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v) || json_string_length(v) >= size)
		return -EBADMSG;
	memcpy(ret, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

static int take_name(const json_t *o, const char *key, char ret[PROCESS_NAME_MAX])
{
	return take_text(o, key, ret, PROCESS_NAME_MAX) ?: *ret ? 0 : -EBADMSG;
}

static int take_or_null(const json_t *o, const char *key, char *ret, size_t size)
{
	*ret = '\0';
	if (json_is_null(json_object_get(o, key)))
		return 0;
	return take_text(o, key, ret, size) ?: *ret ? 0 : -EBADMSG;
}

static int take_id(const json_t *o, const char *key, struct om_id *ret)
{
	const char *hex = string_of(o, key, OM_ID_STRLEN);

	return hex && strlen(hex) == OM_ID_STRLEN - 1 && om_id_parse(hex, ret) == 0 ? 0 : -EBADMSG;
}

/* Written back as it was: no other spelling, and nothing that passes 2^64. */
static int take_time(const json_t *o, const char *key, uint64_t *ret)
{
	const char *text = string_of(o, key, OM_TIME_STRLEN);
	char again[OM_TIME_STRLEN];

	if (!text || om_time_parse(text, ret) || !*ret || strcmp(om_time_format(*ret, again), text) != 0)
		return -EBADMSG;
	return 0;
}

static int take_number(const json_t *o, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
		return -EBADMSG;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int take_number_32(const json_t *o, const char *key, uint32_t *ret)
{
	uint64_t v;
	int r = take_number(o, key, UINT32_MAX, &v);

	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

static int take_bool(const json_t *o, const char *key, bool *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_boolean(v))
		return -EBADMSG;
	*ret = json_is_true(v);
	return 0;
}

/* A member that is there only where it is true. */
static int take_mark(const json_t *o, const char *key, bool *ret)
{
	*ret = false;
	return json_object_get(o, key) ? take_bool(o, key, ret) : 0;
}

/* Digits, a fraction, an exponent: no sign in front, no space, no hexadecimal, no word. */
static bool is_decimal(const char *s)
{
	if (!isdigit((unsigned char)*s))
		return false;
	s += strspn(s, "0123456789");
	if (*s == '.') {
		s++;
		if (!isdigit((unsigned char)*s))
			return false;
		s += strspn(s, "0123456789");
	}
	if (*s == 'e') {
		s += s[1] == '+' || s[1] == '-' ? 2 : 1;
		if (!isdigit((unsigned char)*s))
			return false;
		s += strspn(s, "0123456789");
	}
	return !*s;
}

static int take_real(const json_t *o, const char *key, double *ret)
{
	const char *text = string_of(o, key, 32);

	if (!text || !is_decimal(text))
		return -EBADMSG;
	*ret = strtod(text, NULL);
	return *ret <= PROCESS_REAL_MAX ? 0 : -EBADMSG;
}

/* At most six digits behind the point, 0 to 1. */
static int take_share(const json_t *o, const char *key, double *ret)
{
	const char *text = string_of(o, key, 9);

	if (!text || !is_decimal(text) || strchr(text, 'e'))
		return -EBADMSG;
	*ret = strtod(text, NULL);
	return *ret <= 1 ? 0 : -EBADMSG;
}

static int take_count(const json_t *o, const char *key, opcount *ret)
{
	const char *text = string_of(o, key, OPCOUNT_STRLEN);

	return text && strspn(text, "0123456789") == strlen(text) && opcount_parse(text, ret) == 0 ? 0
												   : -EBADMSG;
}

static int take_bounds(const json_t *o, const char *key, struct model_bounds *ret)
{
	const json_t *b = json_object_get(o, key);
	int r = take_real(b, "low", &ret->low) ?: take_real(b, "best", &ret->best);

	r = r ?: take_real(b, "high", &ret->high);
	return r ?: ret->low <= ret->best && ret->best <= ret->high ? 0 : -EBADMSG;
}

/* --- parts of the record --- */

static int take_verdict(const json_t *o, enum phase_verdict *ret)
{
	const char *text = string_of(o, "verdict", PROCESS_NAME_MAX);

	for (int v = 0; text && v < PHASE_VERDICTS; v++)
		if (!strcmp(phase_verdict_name((enum phase_verdict)v), text)) {
			*ret = (enum phase_verdict)v;
			return 0;
		}
	return -EBADMSG;
}

static int take_confidence(const json_t *o, const char **ret)
{
	static const char *const all[] = { "high", "low", "none" };
	const char *text = string_of(o, "confidence", PROCESS_NAME_MAX);

	for (size_t i = 0; text && i < ARRAY_SIZE(all); i++)
		if (!strcmp(all[i], text)) {
			*ret = all[i];
			return 0;
		}
	return -EBADMSG;
}

static int take_phase(const json_t *o, struct process_record *p)
{
	const json_t *training = json_object_get(o, "training"), *again = json_object_get(o, "recomputed");
	struct phase_judgement *j = &p->phase;
	opcount again_ops;
	int r = take_verdict(o, &j->verdict) ?: take_confidence(o, &j->confidence);

	r = r ?: take_share(training, "low", &j->training_low);
	r = r ?: take_share(training, "high", &j->training_high);
	r = r ?: take_share(again, "low", &j->recompute_low);
	r = r ?: take_share(again, "best", &j->recompute_best);
	r = r ?: take_share(again, "high", &j->recompute_high);
	r = r ?: take_count(o, "executed", &j->executed);
	r = r ?: take_or_null(o, "suspicion", p->suspicion, sizeof(p->suspicion));
	r = r ?: take_text(o, "evidence", j->evidence, sizeof(j->evidence));
	if (r)
		return r;
	if (j->training_low > j->training_high || j->recompute_low > j->recompute_best ||
	    j->recompute_best > j->recompute_high)
		return -EBADMSG;
	j->suspicion = p->suspicion[0] ? p->suspicion : NULL;
	j->backward = -1;
	if (opcount_muldiv(j->executed, (uint64_t)round(j->recompute_best * PPM), PPM, &again_ops))
		return -EBADMSG;
	j->algorithmic = j->executed - again_ops;
	return 0;
}

static int take_weight(const json_t *o, struct model_weight *w)
{
	int r = take_number(o, "small", PROCESS_NUMBER_MAX, &w->small);

	r = r ?: take_number(o, "large", PROCESS_NUMBER_MAX, &w->large);
	r = r ?: take_real(o, "copies", &w->copies);
	r = r ?: take_mark(o, "experts", &w->is_experts) ?: take_mark(o, "narrows", &w->narrows);
	r = r ?: take_mark(o, "widens", &w->widens);
	w->active = w->copies;
	if (r == 0 && json_object_get(o, "active"))
		r = take_real(o, "active", &w->active);
	return r ?: w->small && w->small <= w->large && w->copies > 0 ? 0 : -EBADMSG;
}

static int take_weights(const json_t *o, struct model_fingerprint *f)
{
	const json_t *all = json_object_get(o, "weights");
	uint64_t left_out;
	int r = take_number(o, "weights_left_out", PROCESS_NUMBER_MAX, &left_out);

	if (r || !json_is_array(all) || json_array_size(all) > MODEL_WEIGHTS_MAX)
		return -EBADMSG;
	f->weights = json_array_size(all);
	f->weights_left_out = left_out;
	for (size_t i = 0; i < f->weights && r == 0; i++)
		r = take_weight(json_array_get(all, i), &f->weight[i]);
	return r;
}

static int take_model(const json_t *o, struct model_fingerprint *f)
{
	int r = take_number(o, "hidden", PROCESS_NUMBER_MAX, &f->hidden);

	r = r ?: take_number(o, "feed_forward", PROCESS_NUMBER_MAX, &f->feed_forward);
	r = r ?: take_number(o, "key_value", PROCESS_NUMBER_MAX, &f->key_value);
	r = r ?: take_number(o, "vocabulary", PROCESS_NUMBER_MAX, &f->vocabulary);
	r = r ?: take_number(o, "experts", PROCESS_NUMBER_MAX, &f->experts);
	r = r ?: take_number_32(o, "experts_here", &f->experts_here);
	r = r ?: take_number_32(o, "layers", &f->layers);
	r = r ?: take_number_32(o, "tensor_parallel", &f->tensor_parallel);
	r = r ?: take_number_32(o, "seen_in_order", &f->seen_in_order);
	r = r ?: take_number_32(o, "by_tokens", &f->by_tokens);
	r = r ?: take_real(o, "passes", &f->passes) ?: take_real(o, "check", &f->check);
	r = r ?: take_bool(o, "has_passes", &f->has_passes) ?: take_bool(o, "certain", &f->is_certain);
	r = r ?: take_bool(o, "by_buffers", &f->by_buffers);
	r = r ?: take_bounds(o, "parameters", &f->parameters) ?: take_bounds(o, "active", &f->active);
	r = r ?: take_bounds(o, "tokens", &f->tokens) ?: take_weights(o, f);
	return r ?: take_text(o, "evidence", f->evidence, sizeof(f->evidence));
}

static int take_communicator(const json_t *o, struct process_record *p)
{
	struct om_join_claim *c = &p->claim[p->claims];
	const json_t *rank = json_object_get(o, "rank");
	uint64_t ranks;
	int r = take_id(o, "id", &c->id) ?: take_number(o, "ranks", OM_JOIN_RANKS_MAX, &ranks);

	r = r ?: take_time(o, "time", &c->time_ns);
	if (r || !json_is_integer(rank) || json_integer_value(rank) < OM_JOIN_NO_RANK ||
	    json_integer_value(rank) >= (json_int_t)ranks)
		return -EBADMSG;
	c->has_id = true;
	c->process = p->process;
	c->job = p->job;
	c->nranks = (int32_t)ranks;
	c->rank = (int32_t)json_integer_value(rank);
	p->claims++;
	return process_claim_is_valid(c) ? 0 : -EBADMSG;
}

static int take_group(const json_t *o, struct process_record *p)
{
	struct job_group *g = &p->group[p->groups];
	const char *kind = string_of(o, "kind", PROCESS_NAME_MAX);
	int r = take_number_32(o, "ranks", &g->ranks) ?: take_count(o, "bytes", &g->bytes);

	if (r || !g->ranks)
		return -EBADMSG;
	for (int k = 0; kind && k < RUN_COLLECTIVE_KINDS; k++)
		if (!strcmp(run_collective_name((enum run_collective_kind)k), kind)) {
			g->kind = (enum run_collective_kind)k;
			p->groups++;
			return 0;
		}
	return -EBADMSG;
}

static int take_arrays(const json_t *o, struct process_record *p)
{
	const json_t *all = json_object_get(o, "communicators"), *groups = json_object_get(o, "groups");
	int r = take_number(o, "communicators_left_out", PROCESS_NUMBER_MAX, &p->claims_left_out);

	if (r || !json_is_array(all) || json_array_size(all) > PROCESS_CLAIMS_MAX || !json_is_array(groups) ||
	    json_array_size(groups) > PROCESS_GROUPS_MAX)
		return -EBADMSG;
	for (size_t i = 0; r == 0 && i < json_array_size(all); i++)
		r = take_communicator(json_array_get(all, i), p);
	for (size_t i = 0; r == 0 && i < json_array_size(groups); i++)
		r = take_group(json_array_get(groups, i), p);
	return r;
}

/* --- the whole --- */

static int take_record(const json_t *o, struct process_record *p)
{
	const json_t *version = json_object_get(o, "v"), *model = json_object_get(o, "model");
	int r;

	if (!json_is_integer(version) || json_integer_value(version) < 1)
		return -EBADMSG;
	if (json_integer_value(version) > PROCESS_VERSION)
		return -EPROTONOSUPPORT;
	memset(p, 0, sizeof(*p));
	r = take_id(o, "ledger", &p->ledger) ?: take_id(o, "job", &p->job);
	r = r ?: take_id(o, "process", &p->process);
	r = r ?: take_time(o, "from", &p->from_ns) ?: take_time(o, "to", &p->to_ns);
	r = r ?: take_time(o, "at", &p->at_ns) ?: take_bool(o, "ended", &p->has_ended);
	if (r == 0 && json_object_get(o, "begun"))
		r = take_time(o, "begun", &p->begun_ns);
	if (r || p->begun_ns > p->from_ns || p->from_ns > p->to_ns || p->to_ns > p->at_ns)
		return -EBADMSG;
	r = take_name(o, "tenant", p->tenant) ?: take_name(o, "model_name", p->model_name);
	r = r ?: take_or_null(o, "lineage", p->lineage, sizeof(p->lineage));
	r = r ?: take_phase(json_object_get(o, "phase"), p);
	p->has_model = json_is_object(model);
	if (r || (!p->has_model && !json_is_null(model)))
		return -EBADMSG;
	r = p->has_model ? take_model(model, &p->model) : 0;
	return r ?: take_arrays(o, p);
}

static int decode(const void *json, size_t len, bool is_event, struct process_record *ret)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	_cleanup_free_ struct process_record *p = NULL;
	int r;

	if (!json_is_object(o))
		return -EBADMSG;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	r = take_record(is_event ? json_object_get(o, "data") : o, p);
	if (r == 0)
		process_record_copy(ret, p);
	return r;
}

int process_record_decode(const void *json, size_t len, struct process_record *ret)
{
	return decode(json, len, false, ret);
}

int process_record_decode_event(const void *json, size_t len, struct process_record *ret)
{
	return decode(json, len, true, ret);
}

bool process_record_is_of(const void *json, size_t len, const struct om_id *job)
{
	_cleanup_free_ struct process_record *p = malloc(sizeof(*p));

	return p && process_record_decode(json, len, p) == 0 && om_id_equal(&p->job, job);
}
