/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_API_INTERNAL_H
#define OPMETER_FLEET_API_INTERNAL_H

/*
 * The stages of the API:
 *
 *   api_follow.c     the totals and alerts topics into a view, alerts, signs of life
 *   api_snapshot.c   a whole view, added up and frozen: what one answer is made of
 *   api_alerts.c     the alerts that were said, by time
 *   api_query.c      targets of requests, parsed strictly
 *   api_tokens.c     who may ask what
 *   api_answers.c    from a request and a snapshot to an answer
 *   api_totals.c     answers about totals
 *   api_groups.c     likewise: of tenants, families and jobs
 *   api_study.c      days of and registers behind a total, read on demand from the topics
 *   api_days.c       what such a reading comes to
 *   api_studies.c    who waits for that, and what of it is kept
 *   api_behind.c     answers of it: days, registers, forecasts
 *   api_jobs.c       job instances, jobs over nodes, lineages of runs
 *   api_metrics.c    the page for Prometheus
 *   api_http.c       the only one that knows the HTTP library
 *   api.c            wiring
 *
 * Threads: one follows (the main one), the library's serve, one studies. What they share is
 * a snapshot, which never changes once it is there, and what has a lock of its own.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "api.h"
#include "api_query.h"
#include "api_tokens.h"
#include "../../exporters/openmetrics.h"
#include "fleet_internal.h"
#include "processes.h"
#include "../core/hex.h"
#include "../core/law.h"
#include "../core/total_record.h"

#define API_VIEW_STRLEN 33

struct snapshot_head {
	struct epoch epoch;
	uint64_t round, time_ns;
	int64_t offset; /* of the head's record in its partition of the totals topic */
	uint64_t registers, overclaims, unsent, failed;
	bool settings_unchecked;
	struct refusal_count lost_words, refused_by_broker, regressed, left_out, refused[REFUSAL_END];
};

/* All totals of one moment, added over partitions. Constant once it is made. */
struct snapshot {
	atomic_uint refs;
	struct om_subject_total *total[2]; /* by enum om_group, in the order of their names */
	size_t count[2];
	_Atomic(char *) *text[2]; /* of each its JSON, once somebody asked for it */
	uint32_t *by_size;	  /* indices of models, the largest upper bound of all work first */
	struct snapshot_head *head;
	uint32_t partitions;
	uint64_t time_ns;	     /* of the latest head */
	struct silence *silence;     /* what silent nodes can have done by when it was made */
	char view[API_VIEW_STRLEN];  /* names this state: a hash over epochs and rounds */
	char *as_of;		     /* JSON object: what an answer cites */
	char *brief;		     /* likewise, for who may not see how much the whole fleet does */
	struct arena_block *strings; /* what the names and members point into */
};

/* Of a whole view; offsets: of each partition's head; silence: is taken over in any case. 0, -ENOMEM. */
int snapshot_make(struct view *v, const char *fleet, uint32_t partitions, const int64_t *offsets,
		  struct silence *silence, struct snapshot **ret);
struct snapshot *snapshot_ref(struct snapshot *s);
struct snapshot *snapshot_unref(struct snapshot *s);
static inline void snapshot_unrefp(struct snapshot **s)
{
	*s = snapshot_unref(*s);
}
/* Index of the first total that is not before the names; a model's tenant and model, or a lineage and "". */
size_t snapshot_at(const struct snapshot *s, enum om_group group, const char *first, const char *second);
/* NULL: none. */
const struct om_subject_total *snapshot_find(const struct snapshot *s, enum om_group group, const char *first,
					     const char *second);

/* With what silent nodes can have done. The caller's; NULL: out of memory. */
json_t *snapshot_json(const struct snapshot *s, const struct om_subject_total *t);
/* The total's JSON: a loan, as long as the snapshot. NULL: out of memory. From any thread. */
const char *snapshot_text(const struct snapshot *s, const struct om_subject_total *t);

enum api_severity { API_INFO, API_WARNING, API_CRITICAL, API_SEVERITIES };
extern const char *const api_severity_names[API_SEVERITIES];

/* One alert that was said. */
struct api_alert {
	uint64_t time_ns;
	char id[OM_ID_STRLEN];
	enum api_severity severity;
	bool is_shadow;
	char *tenant;	  /* NULL: of none, or of several */
	char *event;	  /* one line of JSON */
	char *told;	  /* likewise, for a token of the tenant's; NULL: that is not told */
	const char *type; /* a loan of alert_type_name() */
};
struct api_alerts {
	pthread_mutex_t lock;
	struct api_alert *item;
	size_t count, room, max;
	struct id_set known;
	bool is_sorted;
	uint64_t dropped; /* older ones that there was no room for */
	uint64_t said[API_SEVERITIES];
};
void api_alerts_init(struct api_alerts *a, size_t max);
void api_alerts_done(struct api_alerts *a);
/* An event of an alerts topic. 0; 1: it is no alert, or is known; -ENOMEM. */
int api_alerts_take(struct api_alerts *a, const json_t *event, bool is_shadow);
struct api_alerts_ask {
	const char *tenant, *type; /* NULL: any */
	bool has_severity;
	enum api_severity severity;
	uint64_t since_ns; /* not before */
	uint64_t after_ns;
	const char *after_id; /* NULL: from the first */
	size_t limit;
	const struct api_token *token;
};
/* Older ones that there was no room for. */
uint64_t api_alerts_dropped(struct api_alerts *a);
/* Those that fit, in the order of time and id; fn returns 0 to go on. *ret_more: the limit stopped it. */
int api_alerts_each(struct api_alerts *a, const struct api_alerts_ask *ask,
		    int (*fn)(void *ctx, const struct api_alert *alert), void *ctx, bool *ret_more);

/* What is known of the group of the aggregators, asked of the broker. */
struct group_state {
	bool is_known;
	uint32_t instances, unowned;
	bool has_judge; /* somebody owns the first partition of the readings */
};

enum followed { FOLLOWED_TOTALS, FOLLOWED_ALERTS, FOLLOWED_SHADOW, FOLLOWED_END };

/* What one look at the topics' state is; copied under the lock. */
struct follow_state {
	bool is_ready;	  /* a snapshot is there */
	char reason[200]; /* why not, or why what is there may be old */
	uint32_t partitions, unread, unwhole;
	uint64_t lag[FOLLOWED_END];
	uint64_t contact_ns; /* CLOCK_REALTIME of the broker's last answer */
	uint64_t nodes, nodes_silent, strange;
	struct group_state group;
	uint64_t ready_after_ns; /* since the start */
	uint64_t records;
};

struct follow;
int follow_open(const struct api_config *config, struct api_alerts *alerts, struct follow **ret,
		struct error_text *err);
struct follow *follow_free(struct follow *f);
static inline void follow_freep(struct follow **f)
{
	*f = follow_free(*f);
}
/* Takes what comes for at most timeout_ms. 0; -errno: it cannot go on. */
int follow_step(struct follow *f, int timeout_ms);
/* The latest; the caller ends with snapshot_unref(). NULL: none yet. From any thread, as the next one. */
struct snapshot *follow_snapshot(struct follow *f);
void follow_state(struct follow *f, struct follow_state *ret);

/* One request, as the HTTP library's side fills it, and its answer. */
struct api_request {
	char *target; /* raw */
	size_t target_len;
	bool is_too_long, is_seen;
	const char *authorization;	   /* of the header; a loan; NULL: none */
	struct study *study;		   /* what was read for it; a reference */
	int study_error;		   /* instead of it: an -errno */
	char asker[API_TOKEN_NAME_STRLEN]; /* whose token it came with, once something has to be read */
	unsigned status;
	const char *type;
	char *body; /* malloc'ed; NULL and `fixed` NULL: out of memory */
	size_t body_len;
	void *server, *connection; /* what is of api_http.c */
	const char *fixed;	   /* instead of it: not freed */
	unsigned retry_after_s;	   /* 0: none */
};

/* A consumer that joins no group; the broker lets it wait for records at most wait_ms. 0; -EINVAL with *err.
 */
int api_consumer(const struct api_config *config, int wait_ms, rd_kafka_t **ret, struct error_text *err);

#include "api_study.h"

struct api {
	const struct api_config *config;
	pthread_rwlock_t law_lock; /* of `law` and `tenants`: held while one answers by it */
	struct tenant_names *tenants;
	struct reload tenants_file;
	atomic_ullong tenants_serial; /* how often they became others */
	struct law law;
	struct api_alerts alerts;
	struct follow *follow;
	struct studies *studies;
	struct api_jobs *jobs;
	pthread_rwlock_t tokens_lock; /* of `tokens`: held while one is used */
	struct api_tokens *tokens;
	struct api_http *http;
	bool is_certificate_due;   /* to be read again */
	uint64_t started_ns;	   /* CLOCK_MONOTONIC */
	atomic_ullong answered[6]; /* by the first digit of the status */
	atomic_ullong cut_off;	   /* connections that took too long */
};

/* 0: answered; 1: *ret_ask is to be read first, then it is called again. */
int api_answer(struct api *a, struct api_request *rq, struct study_ask *ret_ask);
extern const char api_openapi_json[];

/* What one answer is made of. */
struct call {
	struct api *api;
	struct api_request *rq;
	struct api_query query;
	const struct api_token *token; /* a loan, while the tokens' lock is held */
	struct snapshot *snapshot;
	struct study_ask *ask;
};
/* Of each of them: 0 answered (also by a problem); 1: c->ask is to be read first. */
int answer_totals(struct call *c);
int answer_total(struct call *c);
int answer_group(struct call *c, const char *group); /* tenant, family or job */
int answer_jobs(struct call *c);
/* -ENOMEM. */
int put_job_total(FILE *f, const struct study_job *j, bool is_first);
int answer_alerts(struct call *c);
int answer_metrics(struct call *c);
int answer_series(struct call *c);
int answer_registers(struct call *c);
int answer_forecasts(struct call *c);
int answer_job(struct call *c);
int answer_job_lineages(struct call *c);
/* To the next double that is not above (down) or not below. */
double api_metrics_round(opcount v, bool down);

/* A body in the making. */
struct body {
	FILE *f;
	char *text;
	size_t len;
};
int body_open(struct body *b); /* 0, -ENOMEM */
/* Becomes the answer. */
void body_close(struct body *b, struct api_request *rq);
/* RFC 9457. Returns 0. */
int answer_problem(struct api_request *rq, unsigned status, const char *reason, const char *detail, ...)
	__attribute__((format(printf, 4, 5)));
/* Which of two forms of `as_of` the token may see. */
const char *as_of(const struct call *c, const char *whole, const char *brief);
/* The last member of a page, and its end; "": there is no further page. */
void put_cursor(FILE *f, const char *cursor);
/* The problems that several answers have. Return 0. */
int refuse_cursor(struct call *c);
int refuse_scope(struct call *c);
/* `group`, model where it is not given. False: it is none. */
bool group_param(const struct call *c, enum om_group *ret);
/* Whether the token covers all of a group; tenant: or only that one's; NULL: those it covers. */
bool may_group(const struct call *c, enum om_group group, const char *tenant);
/* 0; 1: answered with a problem: a parameter that is not in `known`, which NULL ends. */
int check_params(struct call *c, const char *const *known);
/* A decimal number of a parameter, from 1 to max. 0; 1: answered with a problem. */
int number_param(struct call *c, const char *name, uint64_t max, uint64_t *io);
/* The subject that the path names from its third part on: 0; 1: answered, as unknown or not allowed. */
int subject_of(struct call *c, enum om_group *ret_group, const char **ret_first, const char **ret_second);

/* api_jobs.c; NULL: out of memory */
struct api_jobs *api_jobs_new(const struct api_config *config);
struct api_jobs *api_jobs_free(struct api_jobs *j);
/* Reads for a moment; of one thread. 0; -ENOMEM. */
int api_jobs_step(struct api_jobs *j);
/* As they were when they were counted last. */
struct api_jobs_counts {
	uint64_t over_nodes, serving, lineages; /* jobs of several ledgers; job instances; of several runs */
};
void api_jobs_state(struct api_jobs *j, struct processes_state *ret, struct together_counts *ret_counts,
		    struct api_jobs_counts *ret_jobs);

/* api_http.c */
struct api_http;
/* Checks and reads what the configuration says of address and TLS; serves nothing yet. */
int api_http_new(struct api *a, struct api_http **ret, struct error_text *err);
int api_http_start(struct api_http *h, struct error_text *err);
struct api_http *api_http_free(struct api_http *h);
/* Certificate and key anew from their files, if they changed; on an error the old ones stay. -EBUSY: somebody
 * who came with the certificate before the last still waits; to be called again. */
int api_http_reload(struct api_http *h, struct error_text *err);
/* Cuts off requests that take too long; to be called each second. */
void api_http_reap(struct api_http *h);

uint16_t api_http_port(const struct api_http *h);
unsigned api_http_connections(struct api_http *h);

#endif
