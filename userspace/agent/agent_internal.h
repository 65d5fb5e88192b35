/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_AGENT_INTERNAL_H
#define OPMETER_AGENT_AGENT_INTERNAL_H

/* What the wiring's own files share; nobody else includes it. */

#include "../../exporters/feed.h"
#include "../../exporters/openmetrics.h"
#include "../core/attribution.h"
#include "../core/offsets.h"
#include "../core/declaration.h"
#include "../core/history.h"
#include "../core/law.h"
#include "../core/policy.h"
#include "../core/regime.h"
#include "../core/totals.h"
#include "agent.h"
#include "cgroups.h"
#include "device.h"
#include "discovery.h"
#include "drain.h"
#include "probes.h"

#define AGENT_SINKS_MAX 2
#define AGENT_REGISTERS_MAX 4000000
#define AGENT_JOBS_SLOTS 8192 /* a cache: a cgroup that finds no place is looked up each time */

/* A job instance that was seen in this run of the agent. */
struct agent_job {
	uint64_t cgroup_id; /* 0: free */
	struct om_id job;
	bool has_path;
};

struct agent_library {
	uint64_t dev, ino;
	uint64_t attached_ns; /* boot time; 0: its probes were there before us */
};

/* What the devices of one job did, since this agent began. */
struct agent_device_line {
	uint64_t cgroup_id; /* 0: devices that nobody holds */
	struct om_value device, allocation;
};

/* What was asked for beyond what the node can do: agent_claims.c. */
struct agent_claims {
	struct om_claim_over all; /* in the ledger, by this agent */
	uint64_t drains;	  /* in which there was any */
	struct om_claim_over now; /* in this drain */
	uint64_t cgroup_id[16];	  /* whose, in this drain, of those that were not said yet */
	size_t named;
	uint64_t said[1024]; /* the latest */
	size_t said_count;
};

#define AGENT_GUARDED 4
struct om_tally;
struct agent_counter;	  /* agent_counter.c */
struct agent_collectives; /* agent_collectives.c */
struct agent_phases;
struct agent_joins;
struct agent_models;
struct process_record;
struct om_communicator_event; /* agent_phases.c */
struct agent_near;	      /* agent_near.c */
struct agent_checkpoints;     /* agent_checkpoints.c */
struct om_collective_usage;

struct agent_guard_state {
	uint64_t begun_ns, next_ns; /* boot time; begun 0: no window is open */
	struct probes_cost before[AGENT_GUARDED];
	double share[AGENT_GUARDED]; /* of the node's processors, in the last window */
	unsigned over[AGENT_GUARDED];
};

struct agent {
	const struct agent_config *config;
	char source[64];
	struct om_ledger *ledger;
	struct cgroups *cgroups;
	struct tenant_map *tenants; /* NULL: none */
	struct om_offsets_table *offsets;
	struct om_catalogue *kernels;
	struct law law;	   /* regimes NULL: policy is not judged here */
	bool is_to_reload; /* a person asks for its files to be read now */
	struct om_totals *totals;
	struct om_peaks *peaks;
	struct device_meter *devices;	       /* NULL: not wanted */
	struct agent_counter *counter;	       /* NULL: it could not be opened */
	struct agent_collectives *collectives; /* NULL: likewise */
	struct agent_phases *phases;
	struct agent_joins *joins;
	struct agent_models *models;
	struct agent_checkpoints *checkpoints; /* NULL: the log is not signed here */
	struct resolve *resolve;	       /* NULL: identity is not asked for */
	char identity_version[72]; /* of the rules that the ledger's last answers were given under */
	bool identity_down[4], identity_said[4]; /* by source: as last logged; an alert was raised */
	struct holders *holders;		 /* NULL: no device meter */
	uint64_t holders_looked_ns;		 /* boot time */
	struct agent_device_line *device_lines;
	size_t device_line_count;
	struct agent_claims claims;
	uint64_t device_samples_off; /* not taken: the meter was switched off */
	char devices_why[200];	     /* as last said */
	uint32_t formats;	     /* number formats that were multiplied here: bit mask */
	uint64_t started_ns;	     /* boot time */
	struct probes *probes;
	struct drain *drain;
	struct discovery *discovery;
	struct om_feed *sinks[AGENT_SINKS_MAX];
	size_t sink_count;
	struct om_openmetrics *metrics;
	struct agent_job jobs[AGENT_JOBS_SLOTS];
	struct agent_library libraries[OM_LIBRARIES_MAX];
	size_t library_count;
	struct om_node_facts node;
	uint64_t last_drain_ns, last_shapes_ns, last_launches_ns;
	uint64_t regressions, drains, drain_failures;
	uint32_t off;	  /* which meters: enum om_off, as last seen */
	bool ledger_full; /* said already */
	struct agent_near *near;
	bool is_near; /* somebody, as last looked at */
	struct agent_guard_state guard;
	uint64_t duties_day; /* UTC day on which duties were looked at last; 0: not yet */
	int failed;	     /* first error inside a callback */
};

/* agent.c */
struct agent *agent_free(struct agent *a); /* half-built ones too; NULL is fine; returns NULL */
uint64_t agent_now_ns(void);		   /* Unix time */
uint64_t agent_steady_ns(void);		   /* CLOCK_MONOTONIC */
uint64_t agent_boot_ns(void);		   /* since boot, as the kernel side counts */

/* agent_meter.c: one drain, from the kernel to the ledger. */
int agent_meter(struct agent *a, bool is_last);
/* The job instance of a cgroup, with its judgements made at first sight. */
int agent_job(struct agent *a, uint64_t cgroup_id, struct om_id *ret);
/* A loss that no kernel counter knows, put on the job of a process. */
int agent_lose(struct agent *a, uint64_t cgroup_id, uint8_t meter, enum om_loss loss, uint64_t n);

/* agent_devices.c */
int agent_devices_step(struct agent *a);
/* The kernel's counts and the devices' in one array, the caller frees. */
int agent_devices_usage(struct agent *a, const struct om_usage *counted, size_t count, struct om_usage **ret,
			size_t *ret_count);

/* agent_claims.c. Before each drain; true: not now, the device sampler has yet to say what there is. */
bool agent_claims_wait(struct agent *a, bool is_last);
int agent_claims_say(struct agent *a); /* once it is committed */

/* agent_order.c: windows of the order of products, for the tally and, now and then, the ledger. */
int agent_order_put(struct agent *a, struct om_tally *t, const struct drain_result *d, uint64_t now_ns);

/* agent_counter.c: readings of collectors, calibrations, estimates. */
int agent_counter_open(struct agent *a, struct error_text *err);
struct agent_counter *agent_counter_free(struct agent_counter *c); /* NULL is fine; returns NULL */
void agent_counter_appeared(struct agent *a, const struct library *lib);
void agent_counter_released(struct agent *a, const struct library *lib);
int agent_counter_sweep(struct agent *a);
int agent_counter_look(struct agent *a); /* after a drain that read the launches */
int agent_counter_forget(struct agent *a, uint32_t tgid, uint64_t start_ns);
size_t agent_counter_lines(const struct agent *a);
void agent_counter_line(const struct agent *a, size_t i, struct om_usage *ret); /* without map, start, job */
/* Claims, tallies or metrics for which there was no room. */
uint64_t agent_counter_full(const struct agent *a);
int agent_counter_cost(const struct agent *a, struct probes_cost *ret);
const struct agent_collectors *agent_counter_collectors(const struct agent *a); /* NULL: no counter meter */
uint64_t agent_counter_dropped(const struct agent *a); /* claims that gave way to those of others */

/* agent_collectors.c: what collectors say of themselves, and who speaks. */
#define AGENT_COLLECTOR_STATES 5 /* none said, and enum om_counter_state */
struct counter_snapshot;
struct agent_collectors *agent_collectors_new(void);
struct agent_collectors *agent_collectors_free(struct agent_collectors *c); /* NULL is fine; returns NULL */
/* Whose voice a cgroup's is: the first cgroup seen of its tenant. */
uint64_t agent_collectors_owner(struct agent *a, struct agent_collectors *c, uint64_t cgroup_id);
void agent_collectors_look(struct agent *a, struct agent_collectors *c, const struct counter_snapshot *s);
/* Processes now in a state for a reason (bpf/counter.h), and readings lost by a cause, ever. */
uint64_t agent_collectors_in(const struct agent_collectors *c, uint32_t state, uint32_t reason);
uint64_t agent_collectors_lost(const struct agent_collectors *c, int cause);

/* agent_collectives.c: communicators and collectives of NCCL. */
int agent_collectives_open(struct agent *a, struct error_text *err);
struct agent_collectives *
agent_collectives_free(struct agent_collectives *c); /* NULL is fine; returns NULL */
/* Attaches to a file or lets it go, as the switch says. */
void agent_collectives_follow(struct agent *a, const struct library *lib);
void agent_collectives_released(struct agent *a, const struct library *lib);
int agent_collectives_mapped(struct agent *a, const struct library *lib, pid_t tgid, uint64_t mapped_ns);
int agent_collectives_sweep(struct agent *a);
int agent_collectives_drain(struct agent *a, bool with_all, uint64_t now_ns);
int agent_collectives_cost(const struct agent *a, struct probes_cost *ret);
uint64_t agent_collectives_events(const struct agent *a); /* written down by this agent */
uint64_t agent_collectives_lost(const struct agent *a);	  /* calls and events, of processes that are there */

bool agent_collectives_has(const struct agent *a,
			   const struct om_id *map); /* the kernel's sums are of that map */

/* agent_joins.c: which jobs of this node communicators join. */
int agent_joins_open(struct agent *a);
struct agent_joins *agent_joins_free(struct agent_joins *j); /* NULL is fine; returns NULL */
int agent_joins_event(struct agent *a, const struct om_communicator_event *e);
/* Once for each look at all phases: begin, then who learns, then who is joined with one that does. */
int agent_joins_begin(struct agent *a);
void agent_joins_learns(struct agent *a, const struct om_id *job);
bool agent_joins_with_learner(const struct agent *a, const struct om_id *job);

/* How many of its communicators have an id and several ranks. */
size_t agent_joins_count(const struct agent *a, const struct om_id *process);
/* The communicators of p->process, the earliest and the latest. */
void agent_joins_claims(const struct agent *a, struct process_record *p);
/* The ranks of its communicators, if all are of one size: the handle that a collective is asked of is not the
 * one that a communicator was made with. 0: not known. */
uint32_t agent_joins_ranks(const struct agent *a, const struct om_id *process);
uint64_t agent_joins_left_out(const struct agent *a); /* communicators past a limit */

/* agent_models.c: which model each process computes, judged now and then, and said in its record. */
struct agent_model_totals {
	size_t processes;      /* known now */
	uint64_t judged, said; /* models; records */
	uint64_t left_out;     /* processes and records past a limit */
	uint64_t worst_ns;     /* the longest that one judgement took */
};
int agent_models_open(struct agent *a);
struct agent_models *agent_models_free(struct agent_models *m); /* NULL is fine; returns NULL */
/* A window of its order has been kept: its model is told from it soon. */
int agent_models_window(struct agent *a, const struct om_id *job, uint32_t tgid, uint64_t start_ns);
/* Its last counts are in t. True: they are to stay there until om_tally_ended() is called from here. */
bool agent_models_ended(struct agent *a, const struct om_tally *t, uint32_t tgid, uint64_t start_ns,
			uint64_t now_ns);
/* The tally has the counts of all processes, as of now_ns. */
void agent_models_looked(struct agent *a, uint64_t now_ns);
int agent_models_tell_left_out(struct agent *a);
/* A new hour begins: what has ended is judged by the one that it ended in. */
int agent_models_turn(struct agent *a, struct om_tally *t, uint64_t now_ns);
/* A few models, after each drain. *ret_ended: processes that have ended were finished with. */
int agent_models_step(struct agent *a, struct om_tally *t, uint64_t now_ns, bool *ret_ended);
void agent_models_get_totals(const struct agent *a, struct agent_model_totals *ret);

/* agent_process.c: the record of one process. Fills in all but names and claims; 1: there is nothing to tell,
 * -ENOENT: the tally does not know it. */
struct agent_process_of {
	struct om_id job, process;
	uint32_t tgid;
	uint64_t start_ns; /* boot time */
	uint64_t from_ns, to_ns;
	bool has_ended, is_dear; /* is_dear: by its counts and its last window alone */
};
int agent_process_judge(struct agent *a, const struct om_tally *t, const struct agent_process_of *of,
			uint64_t now_ns, struct process_record *ret);
/* Whose it is, and its communicators, as they are known now. */
void agent_process_name(struct agent *a, const struct om_tally *t, const struct agent_process_of *of,
			struct process_record *p);
/* Says it if it is news, or the last one is old: 0 said, 1 not. The last one is looked for in the log. */
struct agent_process_said {
	bool is_same,	 /* as the last one */
		is_kept; /* it has the last one's judgement: it is to be judged again */
};
int agent_process_say(struct agent *a, struct process_record *p, struct process_record *was,
		      struct agent_process_said *ret);
/* The last record of that process under that job: 0, 1 there is none. */
int agent_process_last(struct agent *a, const struct agent_process_of *of, struct process_record *ret);

/* agent_phases.c: what jobs are judged to do. */
int agent_phases_open(struct agent *a);
struct agent_phases *agent_phases_free(struct agent_phases *p); /* NULL is fine; returns NULL */
bool agent_phases_hour_is_over(const struct agent *a, uint64_t now_ns);
/* A sum of collectives that has changed. -ENOMEM. */
int agent_phases_collective(struct agent *a, const struct om_collective_usage *u);
/* After a drain was committed; had_all: it had the shapes of all processes. */
int agent_phases_look(struct agent *a, const struct drain_result *d, bool had_all, uint64_t now_ns);

/* agent_identity.c: whose jobs are, as resolvers are told. */
int agent_identity_open(struct agent *a, struct error_text *err);
void agent_identity_loaded(struct agent *a, const struct om_assignment *as);
/* Whether what is assigned with just this beginning stands, where the static map names nobody. */
bool agent_identity_keeps(const struct agent *a, const struct om_assignment *as);
int agent_identity_want(struct agent *a, const struct om_id *job, uint64_t cgroup_id, const char *path,
			uint64_t first_seen_ns, const struct attribution *at);
int agent_identity_step(struct agent *a);

/* agent_spool.c: what people say meanwhile. */
int agent_spool(struct agent *a);

/* agent_checkpoints.c: the log's head, signed. */
struct agent_checkpoint_totals {
	uint64_t made, size; /* size: leaves that the last one covers; 0: none yet */
	uint64_t refused;    /* the log is not the one that was signed */
	uint64_t failed;     /* no key in force, the disk: anything else */
	uint64_t postponed;  /* another process had the keys */
};
int agent_checkpoints_open(struct agent *a, struct error_text *err);
struct agent_checkpoints *
agent_checkpoints_free(struct agent_checkpoints *c); /* NULL is fine; returns NULL */
void agent_checkpoint(struct agent *a);
const struct agent_checkpoint_totals *agent_checkpoints_totals(const struct agent *a); /* NULL: not wanted */

/* agent_duties.c: what is owed since it is known that a level will be met; once for each UTC day that is
 * over. */
int agent_duties(struct agent *a, const struct policy *p);
/* For policy.days; ctx: a struct agent_days. The ledger is gone through once for one of these, when somebody
 * asks. */
struct agent_days {
	struct agent *agent;
	uint32_t until;		/* the last day */
	struct history *played; /* NULL: nobody asked; history_free() when done */
};
int agent_days(void *ctx, const struct policy_subject *s, struct om_forecast_point **ret, size_t *ret_count);

/* agent_guard.c: to be called often. */
void agent_guard(struct agent *a);
const char *agent_guard_meter(int i);

/* agent_near.c: who is near a level, and so published each second. */
struct agent_near_totals {
	bool follows;	   /* the topic of hints is read */
	uint64_t hints;	   /* that hold now */
	uint64_t records;  /* read, from each beginning */
	uint64_t failures; /* to read it: no topic, or no right to */
	uint64_t strange;  /* records that are no hint */
	uint64_t full;	   /* hints for which there was no room */
};
int agent_near_open(struct agent *a, struct error_text *err);
struct agent_near *agent_near_free(struct agent_near *n); /* NULL is fine; returns NULL */
/* Takes what has come, without waiting. True: somebody is near. */
bool agent_near_step(struct agent *a, uint64_t steady_ns);
/* These two do nothing where it was not opened: what is played back has no hurry. Before all totals are
 * judged here; then of each that is near. */
void agent_near_judged(struct agent *a);
void agent_near_here(struct agent *a, const struct om_subject_total *s);
bool agent_near_has(const struct agent *a, const struct om_id *job);
void agent_near_get_totals(const struct agent *a, struct agent_near_totals *ret);

/* agent_law.c: owners and declarations. */
int agent_law_open(struct agent *a, struct error_text *err);
/* Reads anew what has changed, and says what it could not read. */
int agent_law_look(struct agent *a, bool *ret_is_new);

/* agent_judge.c: assignments, totals, policy. */
int agent_load_totals(struct agent *a);
int agent_assign(struct agent *a, const struct om_id *job, uint64_t cgroup_id, const char *path,
		 uint64_t from_ns);
int agent_assign_record(struct agent *a, const struct om_assignment *as); /* into the log and the totals */
/* agent_beat.c: a heartbeat to every sink. One that is lost is itself the message. */
void agent_beat(struct agent *a);

int agent_raise(void *ctx, const struct alert *al); /* ctx: the agent; once for each id */
int agent_publish(struct agent *a);		    /* publishes, and judges where policy is judged */
int agent_publish_near(struct agent *a);	    /* the same of what is near a level alone */
/* A finding about the metering itself: once for each subject and cause. */
int agent_say(struct agent *a, const char *cause, const char *subject, const char *what_to_do);

/* agent_libraries.c: what discovery finds, attached and released. */
extern const struct discovery_ops agent_discovery_ops;
void agent_switch_probes(struct agent *a);

/* agent_metrics.c */
void agent_render_metrics(struct agent *a);

#endif
