/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TOGETHER_INTERNAL_H
#define OPMETER_CORE_TOGETHER_INTERNAL_H

/*
 * What the files of core/together share.
 *
 *   together_store.c    records, packed, by their keys; who goes when there is no room
 *   together_join.c     which processes are one job, by communicators
 *   together.c          what they do, who serves whom
 *   together_lineage.c  their job instances as runs of lineages
 *
 * All that is told is made anew from the records when some changed, so the order of their coming has no part
 * in it.
 */

#include "together.h"

/* A process as it is kept: in short, and its record with runs of zeros taken out. */
struct held {
	struct together_process told; /* first: its address is the held one's */
	char *names;		      /* what told's strings point into */
	uint8_t *packed;
	size_t packed_size;
	uint32_t claims;
	bool is_suspected;
	uint64_t claims_left_out;
	size_t at; /* position in the list of all */
	/* Made anew with the rest. */
	size_t job;	  /* index of its job over nodes */
	size_t owner;	  /* equal of one tenant's; a job instance of nobody knows whom has one of its own */
	bool is_disputed; /* it is in a communicator in which two tenants claim one rank */
	bool is_shared;	  /* another ledger or tenant has a process of that id */
};

/* A job over nodes: a range of `order`. */
struct joined {
	struct om_id name;
	size_t first, count;
	uint32_t world, conflicts;
	bool is_left_out;			 /* it was told that a communicator of it may be */
	size_t seen;				 /* while conflicts are counted */
	const struct together_process *learner;	 /* the first; NULL: none */
	const struct together_process *doubtful; /* the first that may be one; NULL: none */
};

struct together {
	void *by_key; /* a tree of struct held */
	struct held **all;
	size_t count, room, bytes;
	size_t charged, charged_max; /* bytes, of each record at least TOGETHER_CHARGE */
	uint64_t forgotten;
	struct process_record *scratch;
	/* Made when some record changed. */
	bool is_made;
	const struct together_process **order; /* by job over nodes, then process, ledger, job */
	struct joined *job;		       /* by name */
	size_t jobs;
	struct together_oddity *oddity;
	size_t oddities, oddity_room;
	/* Those of the last call of together_lineages(). */
	struct lineage_run *run;
	struct model_fingerprint **model; /* different ones */
	size_t models, model_room;
	char **subject;
	struct om_id *united; /* jobs over nodes that runs are of */
	size_t runs;
	struct lineages *lineages;
};

/* together_store.c */
int together_by_key(const struct om_id *ledger_a, const struct om_id *job_a, const struct om_id *process_a,
		    const struct together_process *b);
/* Its communicators; `room` for PROCESS_CLAIMS_MAX. How many. */
size_t together_claims(const struct together *t, const struct held *h, struct om_join_claim *ret);

/* together_join.c */
int together_make(struct together *t); /* what is told, if something changed. -ENOMEM */
void together_unmake(struct together *t);

/* together_lineage.c */
void together_lineages_done(struct together *t);

#endif
