// SPDX-License-Identifier: Apache-2.0
/* Whether a later record of a process tells anything that is not known: it is said again only then. */
#include "process_record.h"

#include <math.h>
#include <string.h>

#define MOVED 0.005 /* of a figure, or of all operations */
#define HOUR_NS 3600000000000ULL
#define FIRST_NS 300000000000ULL /* by then a process is judged by itself again */
#define FASTER 10		 /* than before: that is other work */
#define LITTLE 100		 /* of what was counted before: its shares and its model are surer */

static bool has_moved(double a, double b)
{
	return fabs(a - b) > MOVED * fmax(fabs(a), fabs(b));
}

static bool has_moved_bounds(const struct model_bounds *a, const struct model_bounds *b)
{
	return has_moved(a->low, b->low) || has_moved(a->best, b->best) || has_moved(a->high, b->high);
}

static bool is_other_text(const char *a, const char *b)
{
	return !a != !b || (a && strcmp(a, b) != 0);
}

static bool is_other_phase(const struct phase_judgement *a, const struct phase_judgement *b)
{
	return a->verdict != b->verdict || is_other_text(a->confidence, b->confidence) ||
	       is_other_text(a->suspicion, b->suspicion) || fabs(a->training_low - b->training_low) > MOVED ||
	       fabs(a->training_high - b->training_high) > MOVED ||
	       fabs(a->recompute_low - b->recompute_low) > MOVED ||
	       fabs(a->recompute_high - b->recompute_high) > MOVED;
}

static bool is_other_weight(const struct model_weight *a, const struct model_weight *b)
{
	return a->small != b->small || a->large != b->large || a->is_experts != b->is_experts ||
	       a->narrows != b->narrows || a->widens != b->widens || has_moved(a->copies, b->copies);
}

static bool is_other_model(const struct model_fingerprint *a, const struct model_fingerprint *b)
{
	if (a->hidden != b->hidden || a->feed_forward != b->feed_forward || a->key_value != b->key_value ||
	    a->vocabulary != b->vocabulary || a->experts != b->experts ||
	    a->experts_here != b->experts_here || a->layers != b->layers ||
	    a->tensor_parallel != b->tensor_parallel || a->has_passes != b->has_passes ||
	    a->by_buffers != b->by_buffers || a->is_certain != b->is_certain || a->weights != b->weights)
		return true;
	for (size_t i = 0; i < a->weights; i++)
		if (is_other_weight(&a->weight[i], &b->weight[i]))
			return true;
	return has_moved_bounds(&a->parameters, &b->parameters) || has_moved_bounds(&a->active, &b->active);
}

static bool is_other_claim(const struct om_join_claim *a, const struct om_join_claim *b)
{
	return !om_id_equal(&a->id, &b->id) || a->nranks != b->nranks || a->rank != b->rank ||
	       a->time_ns != b->time_ns;
}

/* Bytes grow, and the order with them. */
static bool has_group(const struct process_record *p, const struct job_group *g)
{
	for (size_t i = 0; i < p->groups; i++)
		if (p->group[i].ranks == g->ranks && p->group[i].kind == g->kind)
			return true;
	return false;
}

bool process_record_is_news(const struct process_record *was, const struct process_record *now)
{
	if (was->has_ended != now->has_ended || strcmp(was->tenant, now->tenant) != 0 ||
	    strcmp(was->model_name, now->model_name) != 0 || strcmp(was->lineage, now->lineage) != 0 ||
	    is_other_phase(&was->phase, &now->phase) || was->has_model != now->has_model)
		return true;
	if (now->has_model && is_other_model(&was->model, &now->model))
		return true;
	if (was->claims != now->claims || was->claims_left_out != now->claims_left_out ||
	    was->groups != now->groups)
		return true;
	for (size_t i = 0; i < now->claims; i++)
		if (is_other_claim(&was->claim[i], &now->claim[i]))
			return true;
	for (size_t i = 0; i < now->groups; i++)
		if (!has_group(was, &now->group[i]))
			return true;
	return false;
}

/* Operations in a second; those of a hostile process are of any size, and its times too. */
static double rate(const struct process_record *p)
{
	double seconds = p->to_ns > p->from_ns ? (double)(p->to_ns - p->from_ns) / 1e9 : 1;

	return opcount_to_double(p->phase.executed) / fmax(seconds, 1);
}

bool process_record_stands(const struct process_record *was, const struct process_record *now)
{
	bool is_same = now->phase.verdict == was->phase.verdict &&
		       now->phase.executed < was->phase.executed / LITTLE;

	return was->phase.verdict != PHASE_IS_UNKNOWN &&
	       (now->phase.verdict == PHASE_IS_UNKNOWN || is_same) && !now->phase.suspicion &&
	       now->to_ns < now->from_ns + FIRST_NS && was->from_ns < now->from_ns &&
	       now->from_ns < was->to_ns + HOUR_NS && rate(now) <= FASTER * rate(was);
}

void process_record_keep(struct process_record *now, const struct process_record *was)
{
	now->from_ns = was->from_ns;
	now->phase = was->phase;
	memcpy(now->suspicion, was->suspicion, sizeof(now->suspicion));
	now->phase.suspicion = was->phase.suspicion ? now->suspicion : NULL;
	now->has_model = was->has_model;
	now->model = was->model;
}
