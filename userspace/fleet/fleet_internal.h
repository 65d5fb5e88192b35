/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_INTERNAL_H
#define OPMETER_FLEET_INTERNAL_H

/*
 * The stages of the aggregator, in the data's way:
 *
 *   intake.c     who reads which partition: the group, and what goes with it
 *   part.c       one readings partition: its records into registers, seals, debts
 *   claims.c     what a node can have done at most, in a register and in a day
 *   heal.c       assignments over which something older was written
 *   publish.c    its totals and their head onto the totals topic, under an epoch
 *   days.c       the days of those subjects whose days were asked for, with them
 *   view.c       all heads and totals of the topic, as a reader sees them; view_days.c: days
 *   judge.c      one instance: adds over partitions, forms families, asks policy
 *   findings.c   groups of tenants, refused records, unexplained work
 *   duties.c     daily series: asked for, added over partitions, given to policy
 *   silence.c    silent nodes: the alert, and what they may have done in the bounds
 *   heads.c      signed heads of the nodes' logs, compared
 *   processes.c  what processes do, as their nodes say; admitted, and kept for who asks
 *   jobs.c       from it: who serves whom, lineages under several names; jobs_said.c: what is said
 *   near.c       hints to the nodes of those who are near a level
 *   law.c        owners, declarations and regimes, read anew when they change
 *   speaker.c    alerts, each once, fenced by a transactional producer
 *
 * One thread. docs/fleet.md, "The aggregator", says why this is exact.
 */

#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "../../exporters/kafka.h"
#include <time.h>

#include "../base/cleanup.h"
#include "../core/law.h"
#include "../core/policy.h"
#include "../core/totals.h"
#include "admit.h"
#include "claims.h"
#include "fleet.h"
#include "id_set.h"
#include "key_map.h"

#define PARTITIONS_MAX 4096

/* What orders the writers of one partition's totals: the larger holds. */
struct epoch {
	uint64_t number, instance; /* 0,0: none */
};
static inline int epoch_compare(struct epoch a, struct epoch b)
{
	if (a.number != b.number)
		return a.number < b.number ? -1 : 1;
	return a.instance < b.instance ? -1 : a.instance > b.instance;
}
#define EPOCH_STRLEN 48
#define HEADER_EPOCH "opmeter_epoch" /* "<number>.<instance, 16 hex digits>" */
void epoch_format(struct epoch e, char buf[EPOCH_STRLEN]);
/* Epochs go up by one for each owner. One above the milliseconds since 1970, and a day for clocks that
 * differ, is none: whoever writes the highest there can be is behind us a millisecond later. */
static inline uint64_t epoch_max(uint64_t now_ns)
{
	return now_ns / 1000000 + 86400000;
}
#define EPOCH_MARGIN 60000 /* ms that clocks of readers may be behind ours */
/* 0,0: it is none. now_ns: Unix time. */
struct epoch epoch_parse(const char *s, size_t len, uint64_t now_ns);
/* Of a message; 0,0 if it has none. */
struct epoch epoch_of(const rd_kafka_message_t *m);

struct refusal_count {
	uint64_t count;
	uint64_t last_ms; /* the broker's time of the last one */
};

enum companion { COMPANION_ASSIGNMENTS, COMPANION_CARRY, COMPANION_TOTALS, COMPANION_END };

/* Whose days are told on the totals topic, beside the totals: days.c. */
struct days_told {
	struct key_map subject; /* struct told, by the key's part that names the subject */
	size_t records;		/* on the topic */
	uint32_t before;	/* all days before this one are told; 0: nothing was summed yet */
	bool is_due, is_to_write;
	uint64_t due_ns; /* CLOCK_MONOTONIC: not before */
};

/* A readings partition that this instance owns. */
struct part {
	uint32_t number;
	struct om_totals *totals;
	bool readings_ended, companion_ended[COMPANION_END];
	struct epoch epoch, highest; /* its own, once it publishes; the highest on the topic */
	uint64_t round;		     /* of publication; goes on through epochs */
	struct key_map subjects;     /* of keys on the totals topic: struct subject, in publish.c */
	bool is_changed;	     /* something came since the last round */
	bool is_full;		     /* every total is to be written again */
	bool sees_successor;	     /* somebody writes under an epoch above ours */
	bool has_yielded;	     /* to whoever that is: once, so that nobody is yielded to for ever */
	uint64_t future;	     /* the highest epoch that is none yet, by our clock */
	uint64_t own_sent, own_seen; /* records under our epoch: more seen than sent are somebody else's */
	uint64_t left_out;	     /* totals that no record can hold, by the write */
	uint64_t left_out_ms, regressed_ms; /* when the last one was; of a reading, by the broker */
	struct days_told days;
	uint64_t seal_ns, owed_ns; /* CLOCK_MONOTONIC: not before */
	struct refusal_count refused[REFUSAL_END];
	uint64_t dead_letters, regressions, nulls;
	struct claims claims; /* of its nodes' days, as far as they are in this partition */
	struct {
		uint64_t *record; /* assignments that are to be written again: their offsets + 1 */
		size_t count, room;
		uint64_t written, lost; /* so far; of which nothing is left on the topic */
		uint64_t lost_ms;	/* Unix time of the last */
	} words;
};

struct fleet {
	const struct fleet_config *config;
	char source[80];
	struct epoch me; /* instance only */
	struct law law;
	bool is_law_changed; /* since the judge looked */
	uint64_t days_ns;    /* CLOCK_MONOTONIC: since when the days on which owners change are those */
	struct tenant_names *tenants;
	struct reload tenants_file;
	bool settings_unchecked; /* the ACLs do not let us read the topics' settings */
	uint64_t told_counts;	 /* of the instance, as heads have them: their sum */
	rd_kafka_t *consumer;	 /* member of the group: readings */
	rd_kafka_t *companion;	 /* the same partitions of the other topics, assigned by hand */
	uint64_t unsent;	 /* records that are to be moved or buried, and were not */
	uint64_t heal_ns;	 /* CLOCK_MONOTONIC: no fetching before */
	rd_kafka_t *fetcher;	 /* single records of them, by offset: heal.c; NULL: none was needed */
	struct om_exporter *producer;
	struct part *parts[PARTITIONS_MAX];
	uint32_t partitions; /* of the readings topic */
	bool was_assigned, is_owner_changed;
	struct heads *heads;  /* of the judge; NULL: not compared here */
	struct jobs *jobs;    /* of the judge; NULL: not yet */
	struct judge *judge;  /* where partition 0 is owned, or a --once wants to see */
	bool judge_is_reader; /* the latter: it says nothing */
	uint64_t records, readings, sent, acked, failed, rebalances, refused_by_broker;
	uint64_t refused_by_broker_ms; /* Unix time of the last */
	uint64_t taken_ns;	       /* CLOCK_REALTIME when the records in hand were taken */
	int error;
};

uint64_t fleet_now_ns(clockid_t clock);
static inline int32_t fleet_today(void) /* days since 1970-01-01, UTC */
{
	return (int32_t)(fleet_now_ns(CLOCK_REALTIME) / 86400000000000ULL);
}
/* 0 taken; 1 the producer's window is full: try later; -errno. */
int fleet_send(struct fleet *f, const struct om_event *ev);
/* The producer's acknowledgements. After a loss every total is written again. */
void fleet_acked(void *ctx, uint64_t cookie, int err);

/* law.c */
/* Reads anew what is due. `forced`: everything. */
void fleet_look_at_law(struct fleet *f, bool forced);

/* heads.c */
struct heads;
/* Whether the keys can be read: at the start. -EINVAL: *err says why not. */
int heads_check_keys(const char *path, struct error_text *err);
/* Reads some of the checkpoints topic; nothing where no keys are given. Returns how many records. */
size_t heads_poll(struct fleet *f);
/* Reads the keys anew if their file has changed: then the topic, too. */
void heads_look(struct fleet *f, bool forced);
bool heads_are_read(const struct fleet *f); /* all that was there; true where they are not compared */
void heads_end(struct fleet *f);

/* jobs.c */
struct jobs;
struct findings;
struct speaker;
/* Reads some of what processes do and of what is said of lineages. Returns how many records. */
size_t jobs_poll(struct fleet *f);
bool jobs_are_read(const struct fleet *f); /* all that was there; true where it cannot be read */
/* Looks if it is time: emits alerts and keeps assignments that are to be said. -ENOMEM. */
int jobs_look(struct fleet *f, struct findings *findings);
/* Says them, after the alerts: as speaker_say(). What was not said is found again. */
int jobs_say(struct fleet *f, struct speaker *speaker);
void jobs_leave(struct fleet *f); /* unsaid */
void jobs_end(struct fleet *f);

/* intake.c */
int intake_open(struct fleet *f, struct error_text *err);
void intake_close(struct fleet *f);
/* Takes what is there, waiting at most timeout_ms for the first of it. Returns how many records. */
size_t intake_poll(struct fleet *f, int timeout_ms);
/* The group that the instances of a fleet share. */
#define FLEET_GROUP_STRLEN 96
void fleet_group_of(const char *name, char out[FLEET_GROUP_STRLEN]);
/* A reader of a fleet's topics, from their beginnings, that commits nothing; n settings beside the common
 * ones. member: an instance that shares the group's partitions; NULL: it joins no group. NULL: *err says why.
 */
rd_kafka_t *intake_reader(const struct om_kafka_config *kafka, const char *name, struct fleet *member,
			  const char *const settings[][2], size_t n, struct error_text *err);
/* One of this instance that joins no group. */
rd_kafka_t *intake_consumer(const struct fleet *f, struct error_text *err);
int intake_partitions(struct fleet *f, rd_kafka_t *rk, enum om_topic topic, uint32_t *ret,
		      struct error_text *err);
void intake_error(struct fleet *f, const rd_kafka_message_t *m);

/* part.c */
struct part *part_new(struct fleet *f, uint32_t number);
struct part *part_free(struct part *p);
bool part_is_live(const struct part *p);
void part_take_reading(struct fleet *f, struct part *p, const rd_kafka_message_t *m);
void part_take_assignment(struct fleet *f, struct part *p, const rd_kafka_message_t *m);
void part_take_carry(struct fleet *f, struct part *p, const rd_kafka_message_t *m);
/* Seals what is due and writes what the readings topic is owed; for live parts only. */
int part_maintain(struct fleet *f, struct part *p);
void part_refuse(struct fleet *f, struct part *p, const rd_kafka_message_t *m, enum refusal why);

/* A refused record among the dead letters, as it was. */
void part_send_dead_letter(struct fleet *f, const rd_kafka_message_t *m, enum refusal why);

/* heal.c */
/* Something that says nothing stands under an assignment's key: what is known of it is owed. */
void heal_overwritten(struct fleet *f, struct part *p, const rd_kafka_message_t *m);
/* One came that is not later than what is known: unless it says the same, what is known is owed. */
void heal_older(struct fleet *f, struct part *p, const struct om_assignment *older);
/* Writes some of what is owed. 0, -ENOMEM, or -errno of the producer. */
int heal_step(struct fleet *f, struct part *p);

/* publish.c */
struct writing {
	struct fleet *f;
	struct part *p;
	char epoch[EPOCH_STRLEN];
	const char *headers[3];
	bool is_quiet; /* only to bring the sums' own notion of change up to date */
};
/* One record of the round; value NULL: a tombstone. 0; 1: the window is full; -errno. */
int publish_record(struct writing *w, const char *key, size_t key_len, const char *value, uint64_t time_ns);
void subjects_done(struct key_map *m);
void publish_take_total(struct fleet *f, struct part *p, const rd_kafka_message_t *m);
/* One round of a live part: 0; 1: the producer is full, to be gone on with; -errno. */
int publish_part(struct fleet *f, struct part *p);

/* days.c */
/* A record of our partition, not of ours, whose key goes on so behind the head's. True: nothing needs to be
 * written over it. */
bool days_take(struct fleet *f, struct part *p, const char *rest, size_t len, const rd_kafka_message_t *m);
/* Sums what is due. True: some days are others than those on the topic. */
bool days_prepare(struct fleet *f, struct part *p);
/* Into the round: what is new, or everything. As publish_record(). */
int days_write(struct writing *w, bool everything);
bool days_wait(const struct part *p); /* somebody asked, and was not answered */
void days_done(struct part *p);

/* view.c: the totals topic as its readers see it. */
struct view;
/* One partition's head. */
struct view_head {
	struct epoch epoch;
	uint64_t round, subjects, registers, time_ns;
	struct refusal_count regressed, left_out;
	uint64_t overclaims;		 /* nodes' days that claim more than can be */
	struct refusal_count lost_words; /* assignments that hold and are no longer on the topic */
	/* Of the instance that wrote the head, over all its partitions. */
	struct refusal_count refused_by_broker;
	uint64_t unsent, failed;
	bool settings_unchecked;
	struct claim_told overclaimed[CLAIMS_NAMED];
	size_t overclaimed_count;
	struct refusal_count refused[REFUSAL_END];
	bool tells_days; /* whoever asks for a subject's days is told them: all before days_before */
	uint32_t days_before;
	uint64_t days_records;
	bool has_all_days; /* that many are here */
	bool is_whole;	   /* all its totals are here */
};
struct view *view_new(const char *fleet, uint32_t partitions);
struct view *view_free(struct view *v);
struct view_record {
	const void *key, *value; /* value NULL: a tombstone */
	size_t key_len, value_len;
	struct epoch epoch;
	uint32_t partition; /* where it was read */
};
/* 0, -ENOMEM. What is no record of this fleet, or not in the partition of its key, is left. */
int view_take(struct view *v, const struct view_record *m);
bool view_is_whole(const struct view *v);
bool view_is_changed(struct view *v); /* since the last call */
const struct view_head *view_head(const struct view *v, uint32_t partition);
/* Every subject of a group, added over partitions, in the order of its names; loans during the call. */
int view_each(struct view *v, enum om_group group, int (*fn)(void *ctx, const struct om_subject_total *s),
	      void *ctx);

/* view_days.c */
struct om_days;
/* A subject's part in one partition. */
struct view_piece {
	uint32_t partition;
	const struct om_subject_total *total;
	const struct om_days *days; /* NULL: not told */
	uint64_t serial;	    /* of the days; 0 */
};
/* All parts of the subject that `s` names, as loans until the next record is taken; *ret is the caller's.
 * -ENOMEM. */
int view_pieces(struct view *v, const struct om_subject_total *s, struct view_piece **ret, size_t *ret_count);

/* duties.c: what the judge knows of daily series. */
struct duties;
struct duties_pace {
	uint64_t
		patience_ns; /* how long days that were asked for may take before it is said that they miss */
	/* What a node sends late comes in many records. A clock that was said to run is not taken back, so it
	 * is started from days that have rested for so long, or have not for `restless_ns`. */
	uint64_t rest_ns, restless_ns;
};
/* NULL: out of memory. */
struct duties *duties_new(uint32_t partitions, const struct duties_pace *pace);
struct duties *duties_free(struct duties *d);
/* policy_totals.points; ctx: a struct findings. Asks the keepers of partitions for what is not told. */
int duties_points(void *ctx, const struct om_subject_total *s, struct om_forecast_point **ret,
		  size_t *ret_count);
/* Before a look at all totals. is_other: regimes, declarations or owners are others than at the last one, or
 * what was found then was not said. */
void duties_begin(struct duties *d, bool is_other);
bool duties_wait(const struct duties *d); /* days that were asked for may still come */

/* speaker.c */
struct speaker;
/* Fences every other speaker of this fleet before it returns. */
int speaker_open(struct fleet *f, struct speaker **ret, struct error_text *err);
struct speaker *speaker_free(struct speaker *s);
struct saying {
	enum om_topic topic;
	struct om_id id;
	char *text;		   /* NULL: a tombstone */
	const char *key;	   /* NULL: the id */
	uint32_t partition_plus_1; /* 0: by the key */
	bool is_refused;	   /* set by speaker_say(): too large, it can never be sent */
};
/* All of them but those that can never be sent, or none: 0; -EAGAIN: none, try again; -EOWNERDEAD: another
 * one speaks now. */
int speaker_say(struct speaker *s, struct saying *sayings, size_t n);

/* judge.c */
void judge_begin(struct fleet *f, bool speaks);
void judge_end(struct fleet *f);
size_t judge_poll(struct fleet *f);
int judge_tick(struct fleet *f);
bool judge_speaks(const struct fleet *f);
bool judge_has_judged(const struct fleet *f); /* what all own parts have published, too */
int judge_print(struct fleet *f);	      /* totals as JSON lines */

/* findings.c */
struct findings {
	struct fleet *fleet;
	struct view *view;
	struct policy policy;
	int (*emit)(void *ctx, const struct alert *a);
	void *ctx;
	struct key_map *nodes; /* struct node_sign */
	struct duties *duties;
	uint64_t listening_ns; /* Unix time since when heartbeats were heard without a gap; 0: only the record
				  counts */
};
int findings_totals(struct findings *j);
int findings_refusals(struct findings *j);
int findings_overclaims(struct findings *j);
int findings_losses(struct findings *j); /* steps back, and totals that are left out */
/* An alert about the data; takes `data` over. `level`: what makes it another one than the last of its cause.
 */
int findings_emit(struct findings *j, const char *subject, const char *cause, const char *level,
		  const char *sentence, json_t *data);
/* Whether that alert was said before, by whichever judge. */
bool findings_is_said(const struct findings *j, const char *subject, const char *cause, const char *level);

/* near.c */
struct near_watch;
struct near_watch *near_watch_new(const char *fleet);
struct near_watch *near_watch_free(struct near_watch *w); /* NULL is fine; returns NULL */
/* A record of the hints' topic. -ENOMEM. */
int near_watch_take(struct near_watch *w, const rd_kafka_message_t *m);
/* Who is near now, by the totals of the view; at most once a second, else nothing is done. -ENOMEM. */
int near_watch_look(struct near_watch *w, struct view *view, const struct policy *p);
/* What the topic lacks, and what is to be taken back: loans until near_watch_said(), which tells whether they
 * were written. -ENOMEM. */
int near_watch_owed(struct near_watch *w, struct saying **ret, size_t *ret_count);
void near_watch_said(struct near_watch *w, bool are_written);

/* silence.c */
/* A node's last sign of life. */
struct node_sign {
	struct key_node node; /* key: its source */
	/* Of its last heartbeat: the record's own time, the same for all who read it, and when it was here.
	 */
	uint64_t sent_ns, seen_ns;
	uint64_t interval_ns, peak_ops_per_s;
	char *tenants;	 /* whose jobs ran there: names, each with its zero, an empty one at the end */
	bool has_worked; /* it names any: something ran there in the last day */
	bool is_retired; /* a person said that it is gone for good */
	char *person, *reason;
};
#define NODES_MAX 1000000
#define INTERVAL_S_MAX 3600 /* longer ones would be a way to be silent */
/* A heartbeat that came. 0; 1: refused, its source is no node's, its interval none, or there are nodes_max;
 * -ENOMEM. */
int nodes_take(struct key_map *nodes, size_t nodes_max, const json_t *event, uint64_t sent_ns,
	       uint64_t seen_ns);
/* The same of a record of the alerts topic, under the key of whose heartbeat it is. is_live: the topic was
 * read to its end. */
int nodes_hear(struct key_map *nodes, const rd_kafka_message_t *m, const json_t *event, bool is_live);
void nodes_done(struct key_map *nodes);
int findings_silence(struct findings *j);
int findings_untold(struct findings *j); /* partitions that do not tell the days that were asked for */
int findings_files(struct findings *j);	 /* of people that cannot be read anew */
int findings_heads(struct findings *j);	 /* heads.c */
bool node_is_silent(const struct node_sign *s, uint64_t now_ns);
size_t silence_count(struct key_map *nodes, uint64_t now_ns); /* silent nodes */
/* What the silent nodes of each tenant can have done by now. NULL: out of memory. */
struct silence;
struct silence *silence_new(struct key_map *nodes, uint64_t now_ns);
struct silence *silence_free(struct silence *s);
static inline void silence_freep(struct silence **s)
{
	*s = silence_free(*s);
}
/* Adds it to a tenant's ceilings, and to a lineage's for each of its tenants: devices of two of them count
 * twice. */
void silence_widen(const struct silence *s, struct om_subject_total *t);
/* The same as figures. Of a lineage a node that ran several of its tenants' jobs is there for each. */
struct silence_told {
	uint64_t nodes, since_ns; /* since: of the one that is silent for longest, Unix time */
	opcount most;		  /* what those with a known peak can have done */
	bool is_unbounded;	  /* some have none */
};
/* False: none of its nodes is silent. */
bool silence_tell(const struct silence *s, const struct om_subject_total *t, struct silence_told *ret);
/* Puts it into a total's JSON as "silent" (docs/api.md), if there is something to tell. 0, -ENOMEM. */
int silence_put(const struct silence *s, const struct om_subject_total *t, json_t *total);

#endif
