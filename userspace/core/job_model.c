// SPDX-License-Identifier: Apache-2.0
#include "job_model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define DEGREE_MAX 4096
#define PACE_DIFFERS 0.05 /* of stages with the head that were looked at at different times */

bool job_learns(enum phase_verdict v)
{
	return v == PHASE_IS_TRAINING || v == PHASE_IS_FROZEN || v == PHASE_IS_MIXED;
}

bool job_may_learn(enum phase_verdict v, opcount executed, bool is_suspected)
{
	return job_learns(v) || (executed && (v == PHASE_IS_UNKNOWN || is_suspected));
}

static bool learns(const struct job_rank *r)
{
	return job_learns(r->phase.verdict);
}

/* --- the phase --- */

static opcount share(opcount of, double part)
{
	return part >= 1 ? of : (opcount)(opcount_to_double(of) * fmax(0, part));
}

static void add_phases(const struct job_rank *r, size_t count, struct job_judgement *ret)
{
	opcount frozen = 0, trained = 0;
	size_t may_learn = 0, doubtful = 0; /* how many, and one of them */

	for (size_t i = 0; i < count; i++) {
		const struct phase_judgement *p = &r[i].phase;

		ret->suspicion = ret->suspicion ?: p->suspicion;
		ret->learning += learns(&r[i]);
		if (job_may_learn(p->verdict, p->executed, p->suspicion)) {
			may_learn++;
			doubtful = i;
		}
		ret->inferring += p->verdict == PHASE_IS_INFERENCE;
		ret->unknown += p->verdict == PHASE_IS_UNKNOWN;
		opcount_add_saturating(&ret->executed, p->executed);
		opcount_add_saturating(&ret->training_low,
				       share(p->executed, p->training_low - p->recompute_high));
		opcount_add_saturating(p->verdict == PHASE_IS_FROZEN ? &frozen : &trained,
				       learns(&r[i]) ? p->executed : 0);
	}
	for (size_t i = 0; i < count; i++) {
		const struct phase_judgement *p = &r[i].phase;
		/* One that is suspected need not serve itself. */
		bool serves_learning =
			p->verdict == PHASE_IS_INFERENCE && may_learn && (may_learn > 1 || doubtful != i);

		opcount_add_saturating(&ret->training_high,
				       serves_learning
					       ? p->executed
					       : share(p->executed, p->training_high - p->recompute_low));
	}
	ret->in_doubt = !ret->learning && may_learn;
	ret->verdict = ret->learning	? (frozen > trained ? PHASE_IS_FROZEN : PHASE_IS_TRAINING)
		       : ret->suspicion ? PHASE_IS_UNKNOWN
		       : ret->inferring ? PHASE_IS_INFERENCE
					: PHASE_IS_UNKNOWN;
}

/* --- the model --- */

/* Ranks that the model is spread over: those that learn, or all where none does. */
static bool counts(const struct job_rank *r, const struct job_judgement *j)
{
	return j->learning == 0 || learns(r);
}

static bool is_headless(const struct job_rank *r)
{
	return !r->model.has_passes || !r->model.vocabulary;
}

/* What a rank's counts are of: runs are of one time. 0: nothing. */
static double span_of(const struct job_rank *r)
{
	if (r->run)
		return 1;
	return r->to_ns > r->from_ns ? (double)(r->to_ns - r->from_ns) : 0;
}

/* Passes in each unit of time that the stages with a head have made; 0: there is none, or they differ. */
static double pace_of_head(const struct job_rank *r, size_t count, double differ,
			   const struct job_judgement *j)
{
	double pace = 0, sum = 0, heads = 0;

	for (size_t i = 0; i < count; i++) {
		double span = span_of(&r[i]);

		if (!counts(&r[i], j) || is_headless(&r[i]) || !(span > 0))
			continue;
		if (pace > 0 && fabs(pace - r[i].model.passes / span) > differ * pace)
			return 0;
		pace = r[i].model.passes / span;
		sum += pace;
		heads++;
	}
	return heads > 0 ? sum / heads : 0;
}

static int judge_headless(struct job_rank *r, size_t count, const struct job_judgement *j,
			  const struct architectures *known)
{
	double passes = pace_of_head(r, count, 0.02, j);
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0 && passes > 0; i++)
		if (counts(&r[i], j) && is_headless(&r[i]))
			rc = model_judge_passes(r[i].run, &r[i].phase, known, passes, &r[i].model);
	return rc;
}

/* Degrees that the ranks' communicators show: of those that carry such traffic, the largest. */
static uint32_t largest_group(const struct job_rank *r, size_t count, enum run_collective_kind kind)
{
	uint32_t most = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < r[i].group_count; k++)
			if (r[i].groups[k].kind == kind && r[i].groups[k].bytes &&
			    r[i].groups[k].ranks > most)
				most = r[i].groups[k].ranks;
	return most <= DEGREE_MAX ? most : 0;
}

struct tallied {
	uint32_t ranks, heads, tensor;
	bool has_experts, tensor_differs;
	bool is_open; /* of a stage without the head bounds are all that is known */
	double dense, routed, low, high, largest_low, largest_high;
	double expert; /* degree; 0: not told */
};

static double routed_parameters(const struct model_fingerprint *f)
{
	double sum = 0;

	for (size_t i = 0; i < f->weights; i++)
		if (f->weight[i].is_experts)
			sum += f->weight[i].copies * (double)f->weight[i].small * (double)f->weight[i].large;
	return sum;
}

static void tally_model(const struct model_fingerprint *f, struct tallied *t)
{
	double routed = routed_parameters(f);

	t->ranks++;
	t->heads += f->vocabulary > 0 && f->has_passes;
	t->dense += fmax(0, f->parameters.best - routed);
	t->routed += routed;
	t->low += f->parameters.low;
	t->high += f->parameters.high;
	t->largest_low = fmax(t->largest_low, f->parameters.low);
	t->largest_high = fmax(t->largest_high, f->parameters.high);
	if (f->tensor_parallel > DEGREE_MAX) {
		t->tensor_differs = true;
	} else if (f->tensor_parallel) {
		t->tensor_differs |= t->tensor && t->tensor != f->tensor_parallel;
		t->tensor = f->tensor_parallel;
	}
	t->has_experts |= routed > 0;
	if (routed > 0 && f->experts && f->experts_here)
		t->expert = fmax(t->expert, round((double)f->experts / f->experts_here));
}

/* 0: none that can be. */
static uint32_t degree(double v)
{
	return v >= 1 && v <= DEGREE_MAX ? (uint32_t)v : 0;
}

/* Stages: learning ranks for each one with the head, if all ranks are seen; else the ranks that hand
 * activations on. */
static uint32_t find_pipeline(const struct job_rank *r, size_t count, const struct tallied *t,
			      const struct job_judgement *j)
{
	if (j->ranks == j->world)
		return t->heads && t->ranks % t->heads == 0 ? degree(t->ranks / t->heads) : 0;
	return largest_group(r, count, RUN_SENDRECV);
}

/* How many ranks hold the same of the model, and share what. */
static void find_degrees(const struct job_rank *r, size_t count, const struct tallied *t,
			 struct job_judgement *j)
{
	uint32_t all = t->ranks == j->ranks ? j->world : t->ranks;

	j->tensor = t->tensor_differs ? 0 : t->tensor;
	j->pipeline = find_pipeline(r, count, t, j);
	j->expert = !t->has_experts ? 1 : degree(t->expert);
	if (t->has_experts && !j->expert)
		j->expert = largest_group(r, count, RUN_ALLTOALL);
	if (j->tensor && j->pipeline && all % (j->tensor * j->pipeline) == 0)
		j->data = all / (j->tensor * j->pipeline);
}

static void add_parameters(const struct tallied *t, struct job_judgement *j)
{
	double all = t->dense + t->routed, held_by = 0;

	j->parameters.low = t->largest_low;
	j->parameters.high = t->largest_high * j->world;
	if (!j->data || (t->has_experts && !j->expert) || j->ranks < j->world || t->is_open)
		return;
	held_by = (double)t->ranks / (j->tensor * j->pipeline);
	j->parameters.best = t->dense / held_by;
	if (t->has_experts)
		j->parameters.best += t->routed / ((double)t->ranks / (j->pipeline * j->expert));
	if (t->low > 0.9 * all && t->high < 1.1 * all) {
		j->parameters.low = j->parameters.best * t->low / all;
		j->parameters.high = j->parameters.best * t->high / all;
	}
	j->parameters.low = fmin(j->parameters.low, j->parameters.best);
	j->parameters.high = fmax(j->parameters.high, j->parameters.best);
}

static void say(struct job_judgement *j)
{
	char degrees[160] = "How the model is spread over them is not told.";

	if (j->data)
		snprintf(degrees, sizeof(degrees),
			 "%u share each layer, %u stages follow one another, experts are split %u ways, all "
			 "is "
			 "there %u times.",
			 j->tensor, j->pipeline, j->expert, j->data);
	snprintf(j->evidence, sizeof(j->evidence),
		 "%s%s%sOf %u ranks %u were seen: %u learn, %u only infer%s, %u are unknown. %s",
		 j->suspicion ? PHASE_SUSPECTED " in a rank: " : "", j->suspicion ?: "",
		 j->suspicion ? ". " : "", j->world, j->ranks, j->learning, j->inferring,
		 !j->inferring ? ""
		 : j->learning ? " (answers, references or teachers: in the upper bound only)"
		 : j->in_doubt ? " (perhaps for what is not told: in the upper bound)"
			       : "",
		 j->unknown, degrees);
}

static int begin(size_t count, uint32_t world, struct job_judgement *ret)
{
	*ret = (struct job_judgement){ .ranks = (uint32_t)count, .world = (uint32_t)count };
	if (!count || count > UINT32_MAX)
		return -EINVAL;
	if (world > ret->world)
		ret->world = world;
	return 0;
}

static void conclude(const struct job_rank *r, size_t count, const struct tallied *t,
		     struct job_judgement *ret)
{
	find_degrees(r, count, t, ret);
	add_parameters(t, ret);
	say(ret);
}

int job_judge(struct job_rank *ranks, size_t count, uint32_t world, const struct architectures *known,
	      struct job_judgement *ret)
{
	struct tallied t = { 0 };
	int rc = begin(count, world, ret);

	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = phase_judge(ranks[i].run, &ranks[i].phase);
		rc = rc ?: model_judge(ranks[i].run, &ranks[i].phase, known, &ranks[i].model);
	}
	if (rc)
		return rc;
	add_phases(ranks, count, ret);
	rc = judge_headless(ranks, count, ret, known);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++)
		if (counts(&ranks[i], ret))
			tally_model(&ranks[i].model, &t);
	conclude(ranks, count, &t, ret);
	return 0;
}

/* A stage without the head made as many passes as the one with it in the same time. */
static int tally_headless(const struct job_rank *r, double pace, struct tallied *t)
{
	_cleanup_free_ struct model_fingerprint *f = malloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	*f = r->model;
	t->is_open |= !(pace > 0) || !model_scale(f, pace * span_of(r));
	tally_model(f, t);
	return 0;
}

int job_combine(const struct job_rank *ranks, size_t count, uint32_t world, struct job_judgement *ret)
{
	struct tallied t = { 0 };
	int rc = begin(count, world, ret);
	double pace;

	if (rc)
		return rc;
	add_phases(ranks, count, ret);
	pace = pace_of_head(ranks, count, PACE_DIFFERS, ret);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!counts(&ranks[i], ret))
			continue;
		if (is_headless(&ranks[i]))
			rc = tally_headless(&ranks[i], pace, &t);
		else
			tally_model(&ranks[i].model, &t);
	}
	if (rc == 0)
		conclude(ranks, count, &t, ret);
	return rc;
}
