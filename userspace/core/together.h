/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOGETHER_H
#define OPMETER_CORE_TOGETHER_H

/*
 * What processes of many nodes do together, from the records that their nodes send (core/process_record.h):
 * jobs that communicators join (core/joining.h), one phase and model for each (core/job_model.h), and the
 * lineages that their runs are of (core/lineage.h). Pure; records may come in any order and repeatedly.
 *
 * A communicator is a claim. Within a tenant it joins whoever makes it, also where two claim one rank. Over
 * tenants only one joins of which every rank was seen and is claimed by one tenant's processes alone, and it
 * joins only those with a rank: whoever copies an id must fill just the ranks that nobody else has. Of any
 * other each tenant's processes are joined among themselves. A job instance whose tenant is "unknown" or ""
 * is a tenant by itself.
 *
 * Memory is bounded: a record takes 1 to 3 KB, one made to be large 13 KB. Where there is no more room,
 * records of the tenants that have most go: of processes that ended, then those heard of longest ago; how
 * many is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lineage.h"
#include "process_record.h"

/* Of a job with more processes nothing is judged: unknown, all of it in the upper bound. While one is judged
 * each of its processes takes 15 KB. */
#define TOGETHER_RANKS_MAX 20000

struct together;

/* Of each process so much room is counted, or what it takes if that is more. */
#define TOGETHER_CHARGE 3072

/* Room for processes_max * TOGETHER_CHARGE, at least 32 KB. NULL: out of memory. */
struct together *together_new(size_t processes_max);
struct together *together_free(struct together *t); /* NULL is fine; returns NULL */
static inline void together_freep(struct together **t)
{
	*t = together_free(*t);
}
/* 0: it told something new; 1: not later than what is known; -ENOMEM. */
int together_put(struct together *t, const struct process_record *p);
/* The record is gone from the topic. */
void together_drop(struct together *t, const struct om_id *ledger, const struct om_id *job,
		   const struct om_id *process);
/* Records before this time are forgotten. */
void together_expire(struct together *t, uint64_t before_ns);

/* One process in short; strings are loans, valid as it is itself until the next record is put, dropped or
 * forgotten. */
struct together_process {
	struct om_id ledger, job, process;
	/* from_ns: the earliest of all its records and communicators that are known. */
	uint64_t from_ns, to_ns, at_ns;
	bool has_ended, has_model;
	const char *tenant, *model_name, *lineage; /* as in its record; "" where nothing says */
	enum phase_verdict verdict;
	opcount executed;
};
/* The whole of its last record; 20 KB. */
void together_record(const struct together *t, const struct together_process *p, struct process_record *ret);

/* A job over nodes; pointers are loans during the call. */
struct together_job {
	/* The least of its processes; where another ledger or tenant has that id, too, one made of it. */
	struct om_id name;
	const struct together_process *const *process; /* sorted by process */
	size_t count;
	size_t ledgers, tenants; /* how many */
	struct job_judgement judgement;
	uint32_t conflicts; /* communicators in which two claim one rank, one of them its process */
};
/* Jobs of one process, too. In the order of their least processes. -ENOMEM, or what fn returns other than 0.
 */
int together_each_job(struct together *t, int (*fn)(void *ctx, const struct together_job *j), void *ctx);
/* How many processes and ledgers each has, in the same order; nothing is judged. */
int together_each_size(struct together *t,
		       int (*fn)(void *ctx, const struct together_process *first, size_t processes,
				 size_t ledgers),
		       void *ctx);
/* The jobs that a job instance has processes in: the same. */
int together_jobs_of(struct together *t, const struct om_id *ledger, const struct om_id *job,
		     int (*fn)(void *ctx, const struct together_job *j), void *ctx);

/* Job instances of which some process infers and is joined with one that learns, or may do so: of unknown or
 * suspected work. All of it may be for the learning (core/job_model.h). Sorted by ledger and job. */
struct together_serving {
	struct om_id ledger, job, joined; /* joined: the name of the job over nodes */
	/* From the earliest record or communicator of the job instance that is known to its latest record. */
	uint64_t from_ns, to_ns;
	const char *tenant, *learner; /* the learner's tenant: of the first of them; loans */
	char evidence[512];
};
int together_each_serving(struct together *t, int (*fn)(void *ctx, const struct together_serving *s),
			  void *ctx);

/* What does not join, or does not as it should. */
enum together_oddity_kind {
	TOGETHER_CONFLICT,	 /* two processes claim one rank, or one claims none where all were seen */
	TOGETHER_PARTLY_SEEN,	 /* of several tenants, and not all ranks were seen */
	TOGETHER_SHARED_PROCESS, /* one process id of two ledgers or tenants: it unites nobody */
	TOGETHER_LEFT_OUT, /* it infers, its tenant has another that learns, and its record has no room for
			    * all of its communicators: once a job */
};
struct together_oddity {
	enum together_oddity_kind kind;
	struct om_id id; /* of the communicator, of the process, of the job over nodes */
	/* rank: that two claim, or OM_JOIN_NO_RANK; of one partly seen how many were; else 0, as nranks. */
	int32_t nranks, rank;
	uint64_t time_ns;
	/* Those who claim it, or whose it is; of one partly seen two of two tenants. Sorted by process. Of
	 * one left out the one that infers and the one that learns. */
	const struct together_process *a, *b;
	bool is_over_tenants; /* a and b are of two */
};
int together_each_oddity(struct together *t, int (*fn)(void *ctx, const struct together_oddity *o),
			 void *ctx);
/* Processes of a communicator of which two tenants claim one rank: what was said of their job instances by
 * the communicator may be somebody else's doing. */
int together_each_disputed(struct together *t, int (*fn)(void *ctx, const struct together_process *p),
			   void *ctx);

/* Job instances as runs of lineages: of each the process with most operations tells the model, and a person's
 * word holds for it. Sorted by ledger and job. */
struct together_words {
	void *ctx;
	/* What the rule said before that this job instance is of; NULL: nothing. A loan until the next call.
	 */
	const char *(*before)(void *ctx, const struct om_id *ledger, const struct om_id *job);
	/* A person's word that is known otherwise than by the record; NULL: none, the record's holds. A loan
	 * as above. */
	const char *(*declared)(void *ctx, const struct om_id *ledger, const struct om_id *job);
	/* What a model was declared to be trained on from; a loan as long as the lineages. */
	const struct lineage_parent *(*parents)(void *ctx, const char *subject, size_t *ret_count);
	const struct architectures *known; /* NULL: none is told to be an open one */
};
/* Both are valid until the next call for t that is given a record or this one. `words`: NULL, or with members
 * that are NULL. -ENOMEM; -E2BIG: more runs than LINEAGE_RUNS_ALL. */
int together_lineages(struct together *t, const struct together_words *words,
		      const struct lineage_run **ret_runs, size_t *ret_count, const struct lineages **ret);

struct together_counts {
	size_t processes, jobs;
	uint64_t forgotten; /* for want of room */
	size_t bytes;	    /* of all records */
};
void together_count(const struct together *t, struct together_counts *ret);

#endif
