/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_MODEL_H
#define OPMETER_CORE_MODEL_H

/*
 * Which model a process computes, from its matrix products. Pure.
 *
 * A linear layer is a pair of dimensions that meets tokens: forward it contracts over one of
 * them, for the input gradient over the other, and for the weight gradient over the tokens. So the
 * dimension that all products share and that only weight gradients contract over is the
 * tokens', and what is left of each product is a weight. How often a weight is asked for in one
 * pass is told by the one that is there once (the head), by the order of a sampled burst
 * where no head is seen, or not at all: then only bounds hold.
 *
 *   parameters   sum of copies x O x I over the weights that are seen, of this process. Input
 *                embeddings are looked up, not multiplied: an untied one is not in it.
 *   tokens       positions in training forward passes; in inference, in all of them
 *   check        executed operations over 6 N D (training), 2 N D (inference), N being the
 *                parameters that one token meets: 1 where nothing else was multiplied; attention's own
 *                products and recomputation add to it
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "phase.h"
#include "run.h"

struct model_bounds {
	double low, best, high; /* 0, 0, 0: nothing is known */
};

/* A weight of O x I, whichever is which: small <= large. */
struct model_weight {
	uint64_t small, large;
	double copies;	 /* in one pass; of experts: all of them */
	double active;	 /* that one token meets */
	bool is_experts; /* each copy meets its own number of tokens */
	/* Forward goes from the larger side to the smaller one only, or the other way only, as far as that is
	 * seen. */
	bool narrows, widens;
};

#define MODEL_WEIGHTS_MAX 256
#define MODEL_MATCHES_MAX 4

struct model_match {
	char name[48];
	double score; /* 0 to 1 */
	uint32_t tensor_parallel;
	uint32_t layers; /* of the architecture; the process may hold fewer */
};

struct model_fingerprint {
	uint64_t hidden, feed_forward, key_value, vocabulary, experts; /* 0: not seen */
	/* Ranks that share each layer, by attention's output; 0: not told. `vocabulary`, `feed_forward` and
	 * `key_value` are this rank's part. */
	uint32_t tensor_parallel;
	uint32_t layers;
	uint32_t experts_here;	/* in each layer of this rank; 0: not told */
	bool is_certain;	/* the weights fit nearly all of the work: bounds are those of the copies */
	bool has_passes;	/* how often a weight is met in one pass is known */
	uint32_t seen_in_order; /* layers, by the order of calls; 0: it does not tell */
	bool by_buffers;	/* weights are told one by one, by the buffers that products read */
	uint32_t by_tokens;	/* layers, by what passes of different lengths have in common; 0: nothing */
	struct model_bounds parameters, active, tokens;
	double check; /* 0: not known */
	double passes;
	struct model_weight weight[MODEL_WEIGHTS_MAX]; /* the largest first */
	size_t weights, weights_left_out;
	struct model_match match[MODEL_MATCHES_MAX]; /* the best first */
	size_t matches;
	char evidence[512];
};

/* Architectures that are known, from data/architectures.csv. */
struct architectures;
/* 0; -EINVAL with *err naming file, line and what is wrong; -errno. */
int architectures_load(const char *path, struct architectures **ret, struct error_text *err);
struct architectures *architectures_free(struct architectures *a); /* NULL is fine; returns NULL */
static inline void architectures_freep(struct architectures **a)
{
	*a = architectures_free(*a);
}
size_t architectures_count(const struct architectures *a);

/* `known` may be NULL: no matches. 0; -ENOMEM. */
int model_judge(const struct run *r, const struct phase_judgement *p, const struct architectures *known,
		struct model_fingerprint *ret);
/* The same where another rank tells how many passes were made (core/job_model.h). */
int model_judge_passes(const struct run *r, const struct phase_judgement *p,
		       const struct architectures *known, double passes, struct model_fingerprint *ret);
/* The same of what model_judge() has told, the run being gone: `passes` that another rank tells for the same
 * time. False, and nothing is changed: weights would not come to whole numbers of copies, so bounds are all
 * that is known. */
bool model_scale(struct model_fingerprint *f, double passes);
/* Fills in `match`. */
void model_match(const struct architectures *known, struct model_fingerprint *f);

/*
 * The fingerprint as one line of text (docs/formats.md, "Fingerprint"), without what a run's length, batch or
 * order decides; and back. -EBADMSG: not such a line, or of a later version.
 */
#define MODEL_TEXT_MAX 4096
void model_format(const struct model_fingerprint *f, char ret[MODEL_TEXT_MAX]);
int model_parse(const char *text, struct model_fingerprint *ret);
/* How alike two models are, 0 to 1: the share of parameters in weights that both have, as often. Symmetric; 0
 * where one has none. */
double model_similarity(const struct model_fingerprint *a, const struct model_fingerprint *b);

#endif
