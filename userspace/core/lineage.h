/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_LINEAGE_H
#define OPMETER_CORE_LINEAGE_H

/*
 * Runs of one model: restarts, renames, other days and nodes. Pure: from what is known of runs to groups
 * with a confidence. The order of the runs plays no part.
 *
 * What joins two runs, the first that is there, and how surely:
 *
 * - A person's word, 1: the same name given to both. Different names part them whatever else is alike, and
 *   what was parted is joined by nothing else.
 * - One job, 0.99: a communicator unites their processes (core/joining.h).
 * - A declared checkpoint, 0.95: a person declares that the one's model was trained on from the other's (kind
 *   `parent`, docs/formats.md) with the digest of the evidence; 0.7 without. Over tenants, too.
 * - A like model, 0.9 x likeness of the fingerprints (core/model.h), from 0.9 on, of one tenant. 0.6 x where
 *   the model is a known open one, which anybody may train anew. Half of it where both ran at the same time,
 *   as experiments beside each other do.
 * - What the rule said before, 0.5, so that a lineage only grows but for a person's word.
 *
 * All of it only from LINEAGE_JOINS on. Runs of two tenants are never joined by likeness: that is a finding
 * for a person.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "register.h"

#define LINEAGE_JOINS 0.5
#define LINEAGE_LIKE 0.9
/* From here on a tie is no matter of likeness: such a run is in both bounds of its lineage. */
#define LINEAGE_SURE 0.95
#define LINEAGE_RUNS_ALL (1 << 24)
/* A model is compared with so many of its tenant that are as large or larger, a group with so many of other
 * tenants, the nearest in size first, until so many were like it. Those whose comparing ended so are counted.
 */
#define LINEAGE_COMPARED_MAX 512
#define LINEAGE_LIKE_MAX 32
#define LINEAGE_FINDINGS_MAX 4096
#define LINEAGE_NAME_MAX 64

struct lineage_parent {
	const char *name;  /* "tenant/model"; a loan */
	bool has_evidence; /* a digest was given */
};

/* What is known of one run of one job instance; pointers are loans. */
struct lineage_run {
	struct om_id ledger, job;
	const char *tenant;
	uint64_t from_ns, to_ns;	       /* Unix time */
	const struct model_fingerprint *model; /* NULL: not told */
	const char *declared;		       /* a person's name for its lineage; NULL: none */
	const char *before;		       /* what the rule said before; NULL: nothing */
	bool is_parted; /* a person says that it is of no other's: `declared` is its own */
	/* What it is assigned to be, "tenant/model"; NULL: not known. And what it was trained on from, as
	 * declared. */
	const char *subject;
	const struct lineage_parent *parent;
	size_t parents;
	bool is_united; /* `united` is the job that communicators unite it into */
	struct om_id united;
	const struct om_id *also; /* further ones, where its processes are of several; sorted, all greater */
	size_t also_count;
};

struct lineage_group {
	char name[LINEAGE_NAME_MAX]; /* a person's, or "l-" and the beginning of the least job's id */
	const size_t *member;	     /* indexes into the runs, by time */
	size_t count;
	double confidence; /* of the weakest tie that holds it together; 1: one run, or a person's word */
	bool is_declared;
};

/* Runs of two tenants whose models are alike: for a person to look at. */
struct lineage_finding {
	size_t a, b; /* groups */
	double likeness;
	bool is_known; /* an open architecture */
};

struct lineages {
	struct lineage_group *group;
	size_t groups;
	struct lineage_finding *finding;
	size_t findings, findings_left_out;
	uint64_t not_compared; /* models that were not held against all of nearly their size */
	size_t *index;	       /* what groups point into */
};

/* 0; -ENOMEM; -E2BIG: more than LINEAGE_RUNS_ALL. What it takes grows with the runs and with the different
 * models of a tenant, not with the pairs of runs. */
int lineages_make(const struct lineage_run *runs, size_t count, struct lineages **ret);
struct lineages *lineages_free(struct lineages *l); /* NULL is fine; returns NULL */
static inline void lineages_freep(struct lineages **l)
{
	*l = lineages_free(*l);
}
/* How surely two runs are of one model by what is known of them, and why (a word). 0: not at all. */
double lineage_tie(const struct lineage_run *a, const struct lineage_run *b, const char **ret_why);

#endif
