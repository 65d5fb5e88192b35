/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_PHASE_H
#define OPMETER_CORE_PHASE_H

/*
 * What a job's matrix products were for, from their shapes, their order and the threads
 * that asked for them; never from a label. Pure.
 *
 * A linear layer with a weight of O x I, for T tokens, asks forward for a T x O product
 * that contracts over I; training asks besides for the input gradient, T x I over O,
 * and the weight gradient, O x I over T. Products are put into families by a
 * weight's pair {O, I} with T free; a family is complete as far as all three are
 * there, by operations, each product being used once. Only learning leaves
 * complete families whose contraction runs over the tokens. What looks like it and is not:
 *
 *   X^T X (calibration, covariance, Shampoo, Muon) contracts over tokens, with both
 *     sides equal: such products complete no family;
 *   equal dimensions (O = I, T = I) make two of the three shapes one: then only the
 *     threads tell (backward runs on a thread of its own, and asks for twice what forward does);
 *   one shape alone (matrix factorisation), or the three right after one another
 *     (a benchmark): no model.
 *
 * Where shapes, order and threads do not agree, the verdict is unknown. docs/phases.md has
 * the method, its table over recorded runs, and what it cannot tell.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/opcount.h"
#include "run.h"

/* How evidence begins where the verdict was taken away. */
#define PHASE_SUSPECTED "Deception suspected"

enum phase_verdict {
	PHASE_IS_UNKNOWN,
	PHASE_IS_TRAINING,
	PHASE_IS_FROZEN, /* most of the weights that are used do not learn */
	PHASE_IS_INFERENCE,
	PHASE_IS_MIXED, /* of several processes or hours (core/tally.h) */
	PHASE_VERDICTS
};
const char *phase_verdict_name(enum phase_verdict v);

struct phase_judgement {
	enum phase_verdict verdict;
	const char *confidence; /* "high", "low", "none" */
	char evidence[512];	/* sentences for a reviewer */
	/* What speaks against the verdict that the cues would give, so that it is unknown: deception is
	 * suspected. NULL: nothing does. */
	const char *suspicion; /* static */
	bool is_forged;	       /* what looks like learning may be none: `training_low` is 0 */
	/* Shares of all operations. */
	double complete;    /* in complete families */
	double twice, once; /* in products of which the backward thread asks for twice what the others do, or
			       as much */
	double elsewhere;   /* in products that no backward thread asks for */
	/* Launches of kernels whose names say so; claims that can only speak for learning. */
	uint64_t named_backward, named_optimizer;
	uint32_t weights; /* different products that are there in all three forms */
	int backward;	  /* the thread, -1: none was told */
	bool is_told;	  /* by forms: two of three are asked for by it alone */
	/* Operations that serve training, shares: `low` the complete families, `high` what cannot be
	 * excluded. */
	double training_low, training_high;
	/* Forward work done again within backward, share of all operations. On one thread it is only
	 * suspected: `low` is 0. */
	double recompute_low, recompute_best, recompute_high;
	opcount executed, algorithmic; /* algorithmic: executed less the best estimate of recomputation */
};

/* 0 or -ENOMEM; -EOVERFLOW: more than 2^125 operations. */
int phase_judge(const struct run *r, struct phase_judgement *ret);

#endif
