/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_PROCESS_RECORD_H
#define OPMETER_CORE_PROCESS_RECORD_H

/*
 * What one process of a job does, as its node judged it: phase, model, and the communicators that join it to
 * others. A node writes it into its log and sends it; what processes of many nodes do together is judged
 * from these (core/together.h). docs/formats.md, "Process", is the specification.
 *
 * All of it is of the tenant's own making but the counts' bounds: it tells models and jobs apart and may
 * widen what counts as training, never narrow it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job_model.h"
#include "joining.h"
#include "register.h"

#define PROCESS_CLAIMS_MAX 64 /* communicators, the earliest and the latest; further ones are counted */
#define PROCESS_GROUPS_MAX 64 /* kinds of traffic, the most bytes first */

struct process_record {
	struct om_id ledger, job, process; /* process: as in om_join_claim, the same in every ledger */
	/* What the counts are of, Unix time: all of it since the process or the UTC hour began, whichever is
	 * later; where an earlier judgement stands (process_record_stands()), since that one's began. at_ns:
	 * when it was judged. */
	uint64_t from_ns, to_ns, at_ns;
	uint64_t begun_ns; /* when the process began, Unix time, at from_ns or before; 0: not told */
	bool has_ended;
	/* Whose it is, as its node knows it; "unknown", "unassigned", "" where nothing says. A lineage is a
	 * person's word. */
	char tenant[128], model_name[128], lineage[128];
	struct phase_judgement phase; /* shares in parts per million; evidence and suspicion as they came */
	char suspicion[256];	      /* what phase.suspicion points to; "": none, and it is NULL */
	bool has_model;
	struct model_fingerprint model; /* `match` is not carried: it follows from the weights */
	struct om_join_claim claim[PROCESS_CLAIMS_MAX]; /* job and process as above */
	size_t claims;
	uint64_t claims_left_out;
	struct job_group group[PROCESS_GROUPS_MAX];
	size_t groups;
};

/* JSON, one line, malloc'ed: the caller frees. NULL: out of memory. */
char *process_record_encode(const struct process_record *p);
/* 0; -EBADMSG; -EPROTONOSUPPORT (a later version); -ENOMEM. What it points to is within *ret, so a copy of
 * *ret is made by process_record_copy(). */
int process_record_decode(const void *json, size_t len, struct process_record *ret);
/* The same of a CloudEvent in structured mode, whose `data` it is. */
int process_record_decode_event(const void *json, size_t len, struct process_record *ret);
/* Is it a record of that job instance? False: it is none, or there is no memory. */
bool process_record_is_of(const void *json, size_t len, const struct om_id *job);
void process_record_copy(struct process_record *to, const struct process_record *from);

/* Of one process under one job instance: does `now` tell what `was` does not? Times, counts (operations,
 * passes, tokens, bytes), words and figures that moved by less than half a percent are no news. */
bool process_record_is_news(const struct process_record *was, const struct process_record *now);
/* In the first minutes of an hour, or after the agent's restart, too little may have been counted to tell
 * what a process does. Does what it was judged to do before still stand for it? Only in these minutes, while
 * no other phase is known and nothing speaks against it, and where it has done no more than ten times as much
 * in the time as it used to. */
bool process_record_stands(const struct process_record *was, const struct process_record *now);
/* Phase and model of `was`, and when that began, become now's. `to` and `at` stay. */
void process_record_keep(struct process_record *now, const struct process_record *was);

/* "<ledger>/<job>/<process>", the Kafka key; its partition is that of the job's registers. */
#define PROCESS_KEY_STRLEN (3 * OM_ID_STRLEN)
const char *process_record_key(const struct process_record *p, char buf[PROCESS_KEY_STRLEN]);

#endif
