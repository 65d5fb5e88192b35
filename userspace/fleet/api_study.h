/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_API_STUDY_H
#define OPMETER_FLEET_API_STUDY_H

/*
 * What stands behind a total: its days and registers. No topic has the days of a total, so
 * they are formed anew from what the total is of: the readings, carries and assignments
 * of the jobs concerned, read from their beginnings through the aggregator's own admission and
 * sums, and played day by day (core/history.h). Only included by api_internal.h.
 */

enum study_want { STUDY_REGISTERS = 1, STUDY_JOBS = 2 };
struct study_ask {
	enum om_group group;
	char first[128], second[128]; /* tenant and model, or lineage and ""; both "": all of the group */
	unsigned wants;		      /* bit mask of enum study_want; days are always there */
};

/* Operations of training (low, high, ceiling), of all work (the same), and the number of registers. */
#define STUDY_FIGURES 7
struct study_day {
	uint32_t day;		       /* since 1970-01-01 */
	opcount figure[STUDY_FIGURES]; /* of this day alone */
};

struct study_subject {
	struct key_node node; /* key: "first\\0second" */
	const char *first, *second;
	struct study_day *day; /* ascending */
	size_t days, room;
	opcount before[STUDY_FIGURES]; /* so far, of the partitions in hand */
};

struct study_register {
	uint8_t key[OM_REGISTER_KEY_SIZE];
	struct om_reading reading;
	const char *tenant, *model;
	enum om_phase phase;
};

/* What a job adds to the subject. */
#define STUDY_JOB_SIZE 32
struct study_job {
	uint8_t key[STUDY_JOB_SIZE]; /* ledger and job */
	struct om_subject_total total;
};

struct study_offsets {
	int64_t readings, assignments, carry; /* read up to here */
};

enum study_agrees { STUDY_EQUAL, STUDY_BETWEEN, STUDY_NO };
extern const char *const study_agrees_names[];

#define STUDY_ID_STRLEN 33

struct study {
	atomic_uint refs;
	struct study_ask ask;
	struct key_map subjects, names;
	struct study_subject **sorted; /* by first, second */
	struct study_register *reg;    /* by key */
	size_t registers, room;
	struct study_job *job; /* by key, then tenant */
	size_t jobs, job_room;
	struct study_offsets *offset; /* by partition */
	uint32_t partitions;
	uint64_t time_ns; /* when it was read to the ends */
	uint64_t records, refused;
	/* Of one subject: what was read, and its total before and after. */
	bool has_total;
	opcount sum[STUDY_FIGURES], before[STUDY_FIGURES], after[STUDY_FIGURES];
	enum study_agrees agrees;
	char id[STUDY_ID_STRLEN];  /* names this reading */
	char *as_of;		   /* the state of the totals that it was compared with, or ended at; JSON */
	char *brief;		   /* likewise, without the partitions */
	uint64_t tenants_serial;   /* of struct api, when it was begun */
	uint64_t made_ns, used_ns; /* CLOCK_MONOTONIC; used: by a page that goes on in it */
	struct study *next;	   /* in the cache */
};

/* api_days.c, while a study is made. Each NULL or -ENOMEM: out of memory. */
struct study_subject *study_subject_get(struct study *s, const char *first, const char *second);
struct study_day *study_day_get(struct study_subject *u, uint32_t day);
int study_keep_register(struct study *s, const struct om_attributed *a);
int study_keep_job(struct study *s, const struct om_id *ledger, const struct om_id *job,
		   const struct om_subject_total *t);
int study_sort(struct study *s); /* at its end */

struct api;
/* Reads the topics. 0; -ETIMEDOUT: not to their ends in time; -E2BIG: more registers than allowed;
 * -ECANCELED: *is_stopping; -EAGAIN: there are no totals yet; -EIO, -ENOMEM. */
int study_read(struct api *a, const struct study_ask *ask, const atomic_bool *is_stopping,
	       struct study **ret);
struct study *study_unref(struct study *s);
/* The total of what was asked for is another one now. */
bool study_is_behind(struct api *a, const struct study *s);
/* NULL: nothing is known of it. */
const struct study_subject *study_find(const struct study *s, const char *first, const char *second);
void study_figures(const struct om_subject_total *t, opcount ret[STUDY_FIGURES]);

/* One reads at a time; what was read is kept for a minute, or as long as somebody pages through it. A new
 * question is answered from it while its total is what it was, and within ten seconds in any case. */
struct studies;
struct studies *studies_new(struct api *a);
/* Everybody who waits is answered with -ECANCELED, and who comes later with -EBUSY. */
void studies_stop(struct studies *s);
/* After studies_stop(). */
struct studies *studies_free(struct studies *s);
/* A reference to the one of that id, or else to one that is fresh; NULL: it has to be read. id NULL: any. */
struct study *studies_have(struct studies *s, const struct study_ask *ask, const char *id);
/* Somebody who waits: fn is called once, from any thread, with a reference or an -errno; -ECONNRESET: nobody
 * is there any more. is_gone is asked meanwhile, under a lock: it must not wait. */
struct study_waiter {
	void (*fn)(void *ctx, struct study *study, int error);
	bool (*is_gone)(void *ctx);
	void *ctx;
};
/* asker: the token's name. -EBUSY: too many wait; -EDQUOT: too many of this asker; those who are gone do not
 * count, and nothing is read for them. */
int studies_want(struct studies *s, const struct study_ask *ask, const char *asker,
		 const struct study_waiter *waiter);

#endif
