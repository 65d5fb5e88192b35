/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOGETHER_H
#define OPMETER_CORE_TOGETHER_H

/*
 * What processes of many nodes do together, from the records that their nodes send (core/process_record.h):
 * jobs that communicators join (core/joining.h), one phase and model for each (core/job_model.h), and the
 * lineages that their runs are of (core/lineage.h). Pure; records may come in any order and repeatedly.
 *
 * Memory is bounded: of more processes than there is room for the ones heard of longest ago go, and how many
 * is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lineage.h"
#include "process_record.h"

struct together;

/* NULL: out of memory. */
struct together *together_new(size_t processes_max);
struct together *together_free(struct together *t); /* NULL is fine; returns NULL */
/* 0: it told something new; 1: not later than what is known; -ENOMEM. */
int together_put(struct together *t, const struct process_record *p);
/* The record is gone from the topic. */
void together_drop(struct together *t, const struct om_id *ledger, const struct om_id *job,
		   const struct om_id *process);
/* Records before this time are forgotten. */
void together_expire(struct together *t, uint64_t before_ns);

/* A job over nodes; pointers are loans during the call. */
struct together_job {
	struct om_id name;			     /* the least of its processes */
	const struct process_record *const *process; /* sorted by process */
	size_t count;
	struct job_judgement judgement;
	uint32_t conflicts; /* communicators of its processes in which two claim one rank: they join nobody */
};
/* Jobs of one process, too. In the order of their names. -ENOMEM, or what fn returns other than 0. */
int together_each_job(struct together *t, int (*fn)(void *ctx, const struct together_job *j), void *ctx);

/* Job instances whose processes only infer and that are joined with others' that learn: all of it may be for
 * the learning (core/job_model.h). Sorted by ledger and job. */
struct together_serving {
	struct om_id ledger, job, joined; /* joined: the name of the job over nodes */
	uint64_t from_ns;		  /* of the job instance's earliest record that is known */
	char evidence[512];
};
int together_each_serving(struct together *t, int (*fn)(void *ctx, const struct together_serving *s),
			  void *ctx);

/* Job instances as runs of lineages: of each the process with most operations tells the model. Both are valid
 * until the next call for t. -ENOMEM; -E2BIG. */
int together_lineages(struct together *t, const struct lineage_run **ret_runs, size_t *ret_count,
		      const struct lineages **ret);

struct together_counts {
	size_t processes, jobs;
	uint64_t forgotten; /* for want of room */
};
void together_count(const struct together *t, struct together_counts *ret);

#endif
