/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_FLEETSIM_H
#define OPMETER_TESTS_FLEETSIM_H

/*
 * A simulated fleet: nodes with ledgers run jobs of a real schedule, and what they
 * publish goes to a real broker in the product's own formats and through its own
 * producer. What it adds up itself, in 128 bits and by its own code (truth.c), is
 * the truth that the aggregator's totals are compared with.
 *
 * Everything follows from the seed: ids, who runs what, how much, every fault and
 * its place. Time is the simulation's own and ends `age_days` before now: records
 * carry it, and nobody waits for it. Operations are integers; no figure here is a
 * double, but for what the counter meter samples, of which a double holds every sum. Losses are not simulated.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "exporters/exporter.h"
#include "userspace/base/log.h"
#include "userspace/core/assignment.h"

#define SIM_NS 1000000000ULL
#define SIM_DAY_S 86400u
#define SIM_GPUS 8 /* of a node */
#define SIM_NAME 40
#define SIM_SAMPLED_BITS 40 /* what the counter meter samples is a multiple of 2 to this */

/* What may go wrong; each has its own place in time and its own victims. */
enum sim_fault {
	SIM_DUPLICATE, /* records twice, at once and later */
	SIM_SHUFFLE,   /* records in another order than they were made */
	SIM_REPLAY,    /* the first third of the run once more, at the end */
	SIM_REGRESS,   /* an old disk image: registers of long ago sent under the same ledger id */
	SIM_RESTORE,   /* an old disk image whose ledger has a new id, as it must */
	SIM_CLOCK,     /* a node's clock steps by hours, to and fro, over midnight too */
	SIM_TORN,      /* a publication that ends in the middle, of a record too; the next one is whole */
	SIM_LATE,      /* assignments come after the readings they speak of */
	SIM_MOVE,      /* a job's tenant changes while it runs */
	SIM_HOLD,      /* a node is cut off and sends everything at the end: late after a seal too */
	SIM_DIE,       /* a node ends for ever; what it published stays */
	SIM_FORGE,     /* readings that no honest node makes: expected to be refused */
	SIM_FAULTS,
};
const char *sim_fault_name(enum sim_fault f);

/* What SIM_FORGE sends, each counted. */
enum sim_forgery {
	SIM_FORGED_NEW,	    /* more than the node's peak can do, in a register of its own */
	SIM_FORGED_GROWN,   /* the same in a register that is there */
	SIM_FORGED_KEY,	    /* the record's key is another register's */
	SIM_FORGED_DAMAGED, /* cut off, or without its magic */
	SIM_FORGED_VERSION, /* of a version that nobody knows */
	SIM_FORGED_CROSSED, /* low bound above the high one */
	SIM_FORGED_NULL,    /* a tombstone that no carry covers */
	SIM_FORGED_SOURCE,  /* by another node, of which it says its own facts */
	SIM_FORGED_PEAK,    /* more than any node can do, by one that tells no peak */
	SIM_FORGED_START,   /* a hundred days' work in a day, by a ledger that tells no start */
	SIM_FORGED_OLD,	    /* the same, by one that says it is fifty years old */
	SIM_FORGED_DEVICES, /* a peak that no node has, by one that tells of no devices */
	SIM_FORGERIES,
};
const char *sim_forgery_name(enum sim_forgery f);

struct sim_config {
	const char *brokers, *truth_path, *schedule_path, *kafka_config;
	uint64_t seed, nodes, days, tick_s, jobs, giant_percent, formats, rate, age_days, node_peak;
	uint64_t tenants;    /* 0: the schedule's own */
	uint64_t crossings;  /* tenants that cross by one reading, sent at a known moment */
	opcount crossing_ops; /* what that reading holds */
	uint64_t beat_ns;    /* between two heartbeats of a node, real time; 0: none */
	uint64_t linger_ns;  /* living nodes go on beating for so long after the run, real time */
	bool has_fault[SIM_FAULTS];
	bool is_plain;	 /* shape meter only: for benchmarks */
	bool has_more;	 /* corrections and the counter meter, too */
	bool has_older;	 /* some nodes write the keys of assignments as before 0.2 */
	bool republish; /* every register once more at the end, as agents do from time to time */
	bool is_dry;	 /* no broker: the truth alone */
};

/* Splitmix64: the n-th number of a named stream under the seed; no state, so no order to keep. */
uint64_t sim_hash(const struct sim_config *c, uint64_t stream, uint64_t n);

struct sim_node {
	struct om_id ledger, restored; /* `restored`: the id after SIM_RESTORE */
	uint64_t start_ns;	       /* of the ledger */
	uint64_t restored_ns;
	int64_t clock_s;      /* how far its clock is off now */
	uint32_t die_tick;    /* UINT32_MAX: never; so with those below */
	uint32_t hold_tick;   /* nothing is sent from here to the end */
	uint32_t image_tick;  /* SIM_REGRESS: the image is taken */
	uint32_t replay_tick; /* and sent */
	uint32_t restore_tick;
	uint32_t clock_tick[2]; /* steps by clock_step_s and back */
	int64_t clock_step_s;
	uint32_t torn_tick;
	char *told; /* JSON: the tenants of its last heartbeat; NULL: it gave none */
};

struct sim_job {
	char tenant[SIM_NAME], model[SIM_NAME], lineage[SIM_NAME]; /* "": nobody says */
	char moved_to[SIM_NAME];
	enum om_phase phase; /* OM_PHASE_UNKNOWN: nobody says */
	uint32_t share_low_ppm, share_high_ppm;
	uint32_t start_tick, end_tick; /* [start, end) */
	uint32_t move_tick, tell_tick; /* when its assignments are sent */
	uint32_t gpus;
	uint8_t meters; /* bit mask of enum om_meter beside shape */
	bool is_contradicted;
};

struct sim_register {
	struct om_register_key key;
	struct om_value value;
	struct om_value image; /* as it stood at the node's image_tick; `calls` 0: not there then */
	bool is_changed;
	bool is_restored; /* of the second ledger */
};

/* A job on one node: in the product's words a job instance. */
struct sim_instance {
	uint32_t node, job, gpus;
	struct om_id id;
	uint64_t ops_per_s;
	struct sim_register *reg;
	uint32_t count, room;
	bool is_told, is_told_restored, is_moved;
};

struct sim {
	struct sim_config config;
	uint64_t begin_s; /* Unix time of tick 0: a midnight, UTC */
	uint32_t ticks, tick; /* of the run; the one that passes now */
	struct sim_node *node;
	struct sim_job *job;
	size_t job_count;
	struct sim_instance *instance;
	size_t instance_count, instance_room;
	uint64_t not_placed; /* jobs that found no free GPU */
	uint64_t sequence;
	uint64_t *crossed_ms; /* Unix time at which the n-th crossing was handed to the producer; 0: not yet */
	uint64_t crossed, beats, next_beat_ns;
	uint64_t regressed; /* records of an image that are below what the node sent before */
	uint64_t readings, assignments, forged[SIM_FORGERIES]; /* records made, not counting repetitions */
	struct wire *wire;
};

/* plan.c: who runs what, where and when. 0, or -errno with *err. */
int sim_plan(struct sim *s, struct error_text *err);
void sim_done(struct sim *s);

/* run.c: the days go by. */
int sim_run(struct sim *s, struct error_text *err);

/*
 * cross.c: crossings, one after the other over the run, each a tenant `cross-N` with a model,
 * a job and a register of its own; and signs of life of every node that lives.
 */
int sim_cross_begin(struct sim *s);
int sim_cross(struct sim *s);
int sim_beat(struct sim *s);
int sim_linger(struct sim *s);

/* truth.c: totals as they must come out, as JSON. */
int sim_write_truth(const struct sim *s, FILE *to);

/* forge.c: one record that must be refused, next to an honest instance. */
int sim_forge(struct sim *s, const struct sim_instance *i, uint64_t n);

/*
 * wire.c: the way to the broker. Records are kept until they are acknowledged and
 * sent again if they were not; wire_flush() returns when all are. Duplicates,
 * disorder and the replay happen here.
 */
struct wire;
int wire_open(const struct sim_config *c, struct wire **ret, struct error_text *err);
struct wire *wire_free(struct wire *w);
/* `is_kept`: SIM_REPLAY repeats it. The bytes are copied; a NULL value is a tombstone. */
int wire_send(struct wire *w, const struct om_event *ev, bool is_kept);
int wire_replay(struct wire *w);
int wire_flush(struct wire *w);
uint64_t wire_sent(const struct wire *w);

int sim_send_reading(struct sim *s, const struct sim_instance *i, const struct sim_register *r,
		     const struct om_value *value);
int sim_send_assignment(struct sim *s, const struct om_assignment *a);
int sim_send_assignments(struct sim *s, struct sim_instance *i, bool restored);
int sim_send_move(struct sim *s, struct sim_instance *i, bool restored);
void sim_reading_of(const struct sim *s, const struct sim_instance *i, const struct sim_register *r,
		    const struct om_value *value, struct om_reading *ret);
/* One record of the readings topic, whatever its bytes. */
int sim_send_raw(struct sim *s, const struct om_reading *r, const void *value, size_t len);
/* The same under the name of a ledger that may be another's. */
int sim_send_as(struct sim *s, const struct om_id *ledger, const struct om_reading *r, const void *value, size_t len);
/* Unix time at the beginning of a tick, by a right clock. */
uint64_t sim_tick_s(const struct sim *s, uint32_t tick);
struct om_id sim_id(const struct sim_config *c, uint64_t stream, uint64_t n);

/* reset.c: deletes every topic of ours and waits until they are gone. */
int sim_reset(const char *brokers, struct error_text *err);

#endif
