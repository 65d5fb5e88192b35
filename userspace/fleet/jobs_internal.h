/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_JOBS_INTERNAL_H
#define OPMETER_FLEET_JOBS_INTERNAL_H

/*
 * What the files of jobs share.
 *
 *   jobs.c       reading, when to look, and what a look finds: who serves whom, lineages, alerts
 *   jobs_lineage.c  lineages, as names of runs
 *   jobs_said.c  what the fleet's rules said before and people say, and what is to be said now
 */

#include "fleet_internal.h"
#include "processes.h"

#define DAY_NS UINT64_C(86400000000000)
#define RULE_LINEAGE "lineage-likeness"
#define RULE_VERSION "1"

/* What an assignment of ours says, by its key without the author; or a person's word about a lineage, by
 * ledger and job. */
struct said {
	struct key_node node;
	char value[128];
	uint64_t at_ns;
	uint32_t share_low_ppm, share_high_ppm;
};

/* One that waits to be written. */
struct to_say {
	char key[160]; /* of `said` */
	char value[128];
	uint64_t at_ns;
	uint32_t share_low_ppm, share_high_ppm;
};

struct jobs_said {
	struct key_map rule, person;
	uint64_t fresh_ns; /* the time of what is said now, above all that was */
	struct saying *sayings;
	struct to_say *to_say;
	size_t count, room;
	uint32_t partitions;
};

/* "<ledger>/<job>", and its length. */
size_t jobs_instance_key(const struct om_id *ledger, const struct om_id *job, char ret[2 * OM_ID_STRLEN]);
void jobs_said_done(struct jobs_said *s);
/* A record of the assignments topic about a lineage or who serves. -ENOMEM. */
int jobs_said_take(struct jobs_said *s, const rd_kafka_message_t *m);
/* Which lineage the rule said before, or a person says, of a job instance; NULL: none. A loan until the next
 * record is taken or written. */
const char *jobs_said_lineage(const struct jobs_said *s, const struct om_id *ledger, const struct om_id *job);
const char *jobs_said_word(const struct jobs_said *s, const struct om_id *ledger, const struct om_id *job);
/* What stands under the key of an assignment of ours; NULL: nothing. */
const struct said *jobs_said_find(const struct jobs_said *s, const struct om_assignment *a);
/* Puts it among what is to be said: its rule, version and time are filled in. -ENOMEM. */
int jobs_said_add(struct jobs_said *s, const struct fleet *f, struct om_assignment *a);
/* All of it was written, or is dropped. -ENOMEM. */
int jobs_said_written(struct jobs_said *s, bool is_written);

/* Alerts of one kind in a look, in all and of the same tenants: one can bring about many, and must not keep
 * what is to be said of others waiting. */
#define NEW_AT_ONCE 256
#define OF_ONE_AT_ONCE 16
enum { OF_SERVING, OF_ODDITIES, OF_LIKENESS, OF_END };

struct jobs {
	struct fleet *fleet;
	struct processes *processes;
	struct jobs_said said;
	struct architectures *known;
	const struct declarations *declarations; /* by which was looked */
	struct lineage_parent **parents;	 /* of the lineages told last */
	size_t parent_count, parent_room;
	uint64_t looked_ns, rest_ns; /* CLOCK_MONOTONIC */
	bool has_looked;
	uint64_t dead_letters;
	int error;
};

/* While one looks. */
struct look {
	struct jobs *jobs;
	struct findings *findings;
	uint64_t now_ns;
	struct key_map serving; /* job instances that do, by ledger and job */
	size_t emitted[OF_END];
	struct key_map told; /* how many, by kind and tenants */
};

/* jobs.c */
/* Whether an alert is to be said now: once, and not too many at a time; the others at a later look. */
bool jobs_may_tell(struct look *l, int kind, const char *subject, const char *cause, const char *level,
		   const char *const tenant[2]);
const char *jobs_whose(const char *tenant); /* "unknown" for none */

/* jobs_lineage.c; -ENOMEM */
int jobs_look_at_lineages(struct look *l);
/* The name that most of its runs had before, a person's before it. *ret may be the group's own. */
int jobs_name_of(const struct lineage_run *runs, const struct lineage_group *g, const char **ret);
/* The surest tie to those near it in time: members are by time. */
double jobs_best_tie(const struct lineage_run *runs, const struct lineage_group *g, size_t at,
		     const char **ret_why);
void jobs_forget_parents(struct jobs *j);

#endif
