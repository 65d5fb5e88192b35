// SPDX-License-Identifier: Apache-2.0
/*
 * Process records as JSON. Whatever a process is judged to be can be written so that it is read again: what
 * comes from a tenant (names, sizes, times) is cut to what docs/formats.md allows here, and nowhere refused.
 * Shares are rounded away from each other, so that bounds only widen.
 */
#include "process_record.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/json_out.h"
#include "../base/text.h"
#include "assignment.h"
#include "process_record_internal.h"

#define PPM_NEAR 1e-4 /* of a part: what was read is written again as it was */

/* --- single values --- */

/* UTF-8, of at most `max` bytes; what is no character is a question mark, so that nothing grows. */
static void put_text(struct json_out *o, const char *key, const char *text, size_t max)
{
	char whole[PROCESS_TEXT_MAX];
	size_t n = 0;

	while (*text) {
		size_t len = text_character(text), step = len ?: 1;

		if (n + step >= max || n + step >= sizeof(whole))
			break;
		memcpy(whole + n, len ? text : "?", step);
		n += step;
		text += step;
	}
	whole[n] = '\0';
	json_out_member(o, key, whole);
}

static void put_name(struct json_out *o, const char *key, const char *name, const char *otherwise)
{
	put_text(o, key, *name ? name : otherwise, PROCESS_NAME_MAX);
}

static void put_or_null(struct json_out *o, const char *key, const char *text, size_t max)
{
	if (text && *text) {
		put_text(o, key, text, max);
		return;
	}
	json_out_key(o, key);
	json_out_null(o);
}

static void put_id(struct json_out *o, const char *key, const struct om_id *id)
{
	char hex[OM_ID_STRLEN];

	json_out_member(o, key, om_id_format(id, hex));
}

static void put_time(struct json_out *o, const char *key, uint64_t time_ns)
{
	char text[OM_TIME_STRLEN];

	json_out_member(o, key, om_time_format(time_ns, text));
}

static void put_number(struct json_out *o, const char *key, uint64_t v)
{
	json_out_key(o, key);
	json_out_number(o, (int64_t)(v < PROCESS_NUMBER_MAX ? v : PROCESS_NUMBER_MAX));
}

static void put_bool(struct json_out *o, const char *key, bool v)
{
	json_out_key(o, key);
	json_out_bool(o, v);
}

/* Nine significant digits; what is no number is 0, which says that it is not known. */
static void put_real(struct json_out *o, const char *key, double v)
{
	char text[32];

	if (!(v > 0))
		v = 0;
	snprintf(text, sizeof(text), "%.9g", fmin(v, PROCESS_REAL_MAX));
	json_out_member(o, key, text);
}

static void put_bounds(struct json_out *o, const char *key, const struct model_bounds *b)
{
	double low = b->low > 0 ? b->low : 0, best = fmax(low, b->best > 0 ? b->best : 0);

	json_out_key(o, key);
	json_out_open(o, '{');
	put_real(o, "low", low);
	put_real(o, "best", best);
	put_real(o, "high", fmax(best, b->high > 0 ? b->high : 0));
	json_out_close(o, '}');
}

static uint32_t ppm(double share, bool up)
{
	double parts = share * PPM, whole = round(parts);

	if (!(share > 0))
		return up && isnan(share) ? PPM : 0;
	if (share >= 1)
		return PPM;
	if (fabs(parts - whole) < PPM_NEAR)
		return (uint32_t)whole;
	return (uint32_t)(up ? ceil(parts) : floor(parts));
}

static void put_share(struct json_out *o, const char *key, uint32_t parts)
{
	char text[16];
	size_t n;

	snprintf(text, sizeof(text), "%u.%06u", parts / PPM, parts % PPM);
	for (n = strlen(text); text[n - 1] == '0'; n--)
		text[n - 1] = '\0';
	if (text[n - 1] == '.')
		text[n - 1] = '\0';
	json_out_member(o, key, text);
}

/* --- parts of the record --- */

static void put_phase(struct json_out *o, const struct phase_judgement *p)
{
	uint32_t low = ppm(p->training_low, false), high = ppm(p->training_high, true);
	uint32_t again_low = ppm(p->recompute_low, false), again_high = ppm(p->recompute_high, true);
	uint32_t again = ppm(p->recompute_best, false);

	json_out_key(o, "phase");
	json_out_open(o, '{');
	json_out_member(o, "verdict", phase_verdict_name(p->verdict));
	put_text(o, "confidence", p->confidence ?: "none", PROCESS_NAME_MAX);
	json_out_key(o, "training");
	json_out_open(o, '{');
	put_share(o, "low", low < high ? low : high);
	put_share(o, "high", high);
	json_out_close(o, '}');
	again_high = again_high > again_low ? again_high : again_low;
	again = again < again_low ? again_low : again > again_high ? again_high : again;
	json_out_key(o, "recomputed");
	json_out_open(o, '{');
	put_share(o, "low", again_low);
	put_share(o, "best", again);
	put_share(o, "high", again_high);
	json_out_close(o, '}');
	json_out_key(o, "executed");
	json_out_count(o, p->executed);
	put_or_null(o, "suspicion", p->suspicion, PROCESS_SUSPICION_MAX);
	put_text(o, "evidence", p->evidence, sizeof(p->evidence));
	json_out_close(o, '}');
}

static void put_weight(struct json_out *o, const struct model_weight *w)
{
	json_out_open(o, '{');
	put_number(o, "small", w->small);
	put_number(o, "large", w->large);
	put_real(o, "copies", w->copies);
	if (w->active < w->copies || w->active > w->copies)
		put_real(o, "active", w->active);
	if (w->is_experts)
		put_bool(o, "experts", true);
	if (w->narrows)
		put_bool(o, "narrows", true);
	if (w->widens)
		put_bool(o, "widens", true);
	json_out_close(o, '}');
}

static void put_model(struct json_out *o, const struct model_fingerprint *f)
{
	json_out_open(o, '{');
	put_number(o, "hidden", f->hidden);
	put_number(o, "feed_forward", f->feed_forward);
	put_number(o, "key_value", f->key_value);
	put_number(o, "vocabulary", f->vocabulary);
	put_number(o, "experts", f->experts);
	put_number(o, "experts_here", f->experts_here);
	put_number(o, "layers", f->layers);
	put_number(o, "tensor_parallel", f->tensor_parallel);
	put_real(o, "passes", f->passes);
	put_bool(o, "has_passes", f->has_passes);
	put_number(o, "seen_in_order", f->seen_in_order);
	put_number(o, "by_tokens", f->by_tokens);
	put_bool(o, "by_buffers", f->by_buffers);
	put_bool(o, "certain", f->is_certain);
	put_bounds(o, "parameters", &f->parameters);
	put_bounds(o, "active", &f->active);
	put_bounds(o, "tokens", &f->tokens);
	put_real(o, "check", f->check);
	json_out_key(o, "weights");
	json_out_open(o, '[');
	for (size_t i = 0; i < f->weights; i++)
		put_weight(o, &f->weight[i]);
	json_out_close(o, ']');
	put_number(o, "weights_left_out", f->weights_left_out);
	put_text(o, "evidence", f->evidence, sizeof(f->evidence));
	json_out_close(o, '}');
}

/* No memory holds a weight with a side of 2^53, and no reader of JSON an exact one: such a model is none. */
static bool is_sayable(const struct model_fingerprint *f)
{
	for (size_t i = 0; i < f->weights; i++)
		if (!f->weight[i].small || f->weight[i].small > f->weight[i].large ||
		    f->weight[i].large > PROCESS_NUMBER_MAX || !(f->weight[i].copies > 0))
			return false;
	return f->weights <= MODEL_WEIGHTS_MAX;
}

static void put_communicators(struct json_out *o, const struct process_record *p)
{
	uint64_t left_out = p->claims_left_out;

	json_out_key(o, "communicators");
	json_out_open(o, '[');
	for (size_t i = 0; i < p->claims && i < PROCESS_CLAIMS_MAX; i++) {
		const struct om_join_claim *c = &p->claim[i];

		if (!process_claim_is_valid(c)) {
			left_out++;
			continue;
		}
		json_out_open(o, '{');
		put_id(o, "id", &c->id);
		put_number(o, "ranks", (uint64_t)c->nranks);
		json_out_key(o, "rank");
		json_out_number(o, c->rank);
		put_time(o, "time", c->time_ns);
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
	put_number(o, "communicators_left_out", left_out);
}

static void put_groups(struct json_out *o, const struct process_record *p)
{
	json_out_key(o, "groups");
	json_out_open(o, '[');
	for (size_t i = 0; i < p->groups && i < PROCESS_GROUPS_MAX; i++) {
		const struct job_group *g = &p->group[i];

		if (!g->ranks || g->kind >= RUN_COLLECTIVE_KINDS)
			continue;
		json_out_open(o, '{');
		put_number(o, "ranks", g->ranks);
		json_out_member(o, "kind", run_collective_name(g->kind));
		json_out_key(o, "bytes");
		json_out_count(o, g->bytes);
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
}

bool process_claim_is_valid(const struct om_join_claim *c)
{
	return c->has_id && c->nranks > 0 && c->nranks <= OM_JOIN_RANKS_MAX && c->rank >= OM_JOIN_NO_RANK &&
	       c->rank < c->nranks && c->time_ns;
}

char *process_record_encode(const struct process_record *p)
{
	struct json_out o = { 0 };
	uint64_t at = p->at_ns ?: 1, to = p->to_ns < at ? p->to_ns ?: at : at,
		 from = p->from_ns && p->from_ns < to ? p->from_ns : to;

	json_out_open(&o, '{');
	json_out_key(&o, "v");
	json_out_number(&o, PROCESS_VERSION);
	put_id(&o, "ledger", &p->ledger);
	put_id(&o, "job", &p->job);
	put_id(&o, "process", &p->process);
	put_time(&o, "from", from);
	put_time(&o, "to", to);
	put_time(&o, "at", at);
	if (p->begun_ns)
		put_time(&o, "begun", p->begun_ns < from ? p->begun_ns : from);
	put_bool(&o, "ended", p->has_ended);
	put_name(&o, "tenant", p->tenant, "unknown");
	put_name(&o, "model_name", p->model_name, "unassigned");
	put_or_null(&o, "lineage", p->lineage, PROCESS_NAME_MAX);
	put_phase(&o, &p->phase);
	json_out_key(&o, "model");
	if (p->has_model && is_sayable(&p->model))
		put_model(&o, &p->model);
	else
		json_out_null(&o);
	put_communicators(&o, p);
	put_groups(&o, p);
	json_out_close(&o, '}');
	return json_out_take(&o);
}

/* --- the rest --- */

void process_record_copy(struct process_record *to, const struct process_record *from)
{
	*to = *from;
	if (!from->phase.suspicion)
		return;
	if (from->phase.suspicion != from->suspicion)
		snprintf(to->suspicion, sizeof(to->suspicion), "%s", from->phase.suspicion);
	to->phase.suspicion = to->suspicion;
}

const char *process_record_key(const struct process_record *p, char buf[PROCESS_KEY_STRLEN])
{
	char ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], process[OM_ID_STRLEN];

	snprintf(buf, PROCESS_KEY_STRLEN, "%s/%s/%s", om_id_format(&p->ledger, ledger),
		 om_id_format(&p->job, job), om_id_format(&p->process, process));
	return buf;
}
