/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_JOB_MODEL_H
#define OPMETER_CORE_JOB_MODEL_H

/*
 * What the ranks of one job do together: one phase, one model, and how it is spread over them. Pure.
 *
 * Each rank is judged by itself first (core/phase.h, core/model.h): threads and order mean something only
 *within one process. Then:
 *
 *   passes     a stage of a pipeline without the head cannot tell its layers from its passes; all stages make
 *as many passes as the one with the head tensor     ranks that share each layer: attention's output
 *projection is H x H / ranks pipeline   learning ranks for each one with the head expert     experts of the
 *router for each one that the rank holds data       what is left of the ranks
 *
 * N of the job is the sum over the ranks that learn (or, where none does, over all), divided by how often
 *each weight is held: all of a stage `data` times, experts by as many ranks as are no part of the pipeline or
 *of the experts' split. Where a degree is not told, `low` is the largest rank's and `high` the sum of all.
 *
 * The phase follows from the ranks' phases:
 *   1. none is told: unknown
 *   2. any learns: training (frozen-weight training if that is most of what learns). Ranks that only infer
 *beside it answer, judge or teach for it as far as anybody can tell (reinforcement learning, distillation):
 *what they do is not in `low`, but in `high`. Ranks of unknown phase the same.
 *   3. no rank learns and at least one infers: inference; what is unknown of others is in `high`. If one of
 *those computed anything it may be what learns, so what infers beside it is in `high`, too
 *   4. a rank whose work is suspected (core/phase.h, suspicion) makes a job in which no rank learns unknown,
 *and may be what learns
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/opcount.h"
#include "model.h"
#include "phase.h"
#include "run.h"

/* What a rank sends through communicators of so many ranks, of one kind. */
struct job_group {
	uint32_t ranks;
	enum run_collective_kind kind;
	opcount bytes;
};

struct job_rank {
	const struct run *run;		/* a loan */
	const struct job_group *groups; /* a loan; NULL: not known */
	size_t group_count;
	/* Filled in by job_judge(). */
	struct phase_judgement phase;
	struct model_fingerprint model;
	uint64_t from_ns, to_ns; /* what its counts are of; job_combine() only */
};

struct job_judgement {
	enum phase_verdict verdict;
	uint32_t ranks, learning, inferring, unknown; /* of those seen */
	uint32_t world;				      /* ranks of the job: those seen, if nothing says more */
	opcount executed, training_low, training_high; /* of the ranks seen */
	/* 0: not told. */
	uint32_t tensor, pipeline, expert, data;
	struct model_bounds parameters; /* of the whole job: 0, 0, 0: nothing is known */
	bool in_doubt;	       /* none is told to learn, but one may: what infers beside it is in high */
	const char *suspicion; /* of one of the ranks; NULL: none */
	char evidence[512];
};

/* One process' work of several kinds (PHASE_IS_MIXED) is learning, too. */
bool job_learns(enum phase_verdict v);
/* It does, or nobody can tell that it does not. */
bool job_may_learn(enum phase_verdict v, opcount executed, bool is_suspected);

/* `world`: ranks that the job has by its communicators; 0: those given. `known` may be NULL. 0; -EINVAL: no
 * ranks; -ENOMEM, -EOVERFLOW. */
int job_judge(struct job_rank *ranks, size_t count, uint32_t world, const struct architectures *known,
	      struct job_judgement *ret);

/* The same of ranks that were judged by themselves, on their nodes: phase, model, groups and the time that
 * they are of are given, and there is no run. A stage without the head takes its passes from one with it, by
 * the time that both are of. */
int job_combine(const struct job_rank *ranks, size_t count, uint32_t world, struct job_judgement *ret);

#endif
