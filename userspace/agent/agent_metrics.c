// SPDX-License-Identifier: Apache-2.0
/* The agent's OpenMetrics page: what tenants compute, what was lost, what we cost. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "agent_internal.h"
#include "holders.h"
#include "resolve.h"
#include "counter.h"

#define SAMPLES_MAX 5000

static int operations(void *ctx, const struct om_attributed *at)
{
	struct agent *a = ctx;
	const struct om_reading *r = at->reading;
	char job[OM_ID_STRLEN], day[24];
	const char *labels[] = { "tenant", at->tenant,
				 "model",  at->model,
				 "phase",  om_phase_name(at->phase),
				 "format", om_format_name(r->key.format),
				 "meter",  om_meter_name(r->key.meter),
				 "job",	   om_id_format(&r->key.job, job),
				 "day",	   day,
				 NULL };

	snprintf(day, sizeof(day), "%u", r->key.day);
	om_openmetrics_sample(a->metrics, "opmeter_operations_total", labels,
			      opcount_to_double(r->value.exact));
	return 0;
}

static int calls(void *ctx, const struct om_subject_total *s)
{
	const char *labels[] = { "tenant", s->tenant, "model", s->model, NULL };

	om_openmetrics_sample(((struct agent *)ctx)->metrics, "opmeter_calls_total", labels,
			      (double)s->calls);
	return 0;
}

static int losses(void *ctx, const struct om_subject_total *s)
{
	const char *labels[] = { "tenant", s->tenant, "model", s->model, NULL };

	om_openmetrics_sample(((struct agent *)ctx)->metrics, "opmeter_losses_total", labels,
			      (double)s->losses);
	return 0;
}

static void gauge(struct agent *a, const char *name, const char *unit, const char *help, double value)
{
	om_openmetrics_family(a->metrics, name, "gauge", unit, help);
	om_openmetrics_sample(a->metrics, name, NULL, value);
}

static void counter(struct agent *a, const char *family, const char *help, double value)
{
	char name[80];

	snprintf(name, sizeof(name), "%s_total", family);
	om_openmetrics_family(a->metrics, family, "counter", NULL, help);
	om_openmetrics_sample(a->metrics, name, NULL, value);
}

static void render_kernel(struct agent *a)
{
	struct om_stats s;

	if (probes_stats(a->probes, &s))
		return;
	counter(a, "opmeter_probe_duplicates", "Further probes that fired on a call already counted.",
		(double)s.duplicates);
	counter(a, "opmeter_probe_off", "Calls made while the meter was off.", (double)s.off);
	counter(a, "opmeter_shape_quota", "Calls counted without their shape: the process was at its quota.",
		(double)s.shape_quota);
	counter(a, "opmeter_spill_failed", "Calls lost with no name to them: no room anywhere.",
		(double)s.spill_failed);
}

static void render_self(struct agent *a)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	om_openmetrics_family(a->metrics, "opmeter_cpu_seconds", "counter", "seconds",
			      "CPU time of this agent.");
	om_openmetrics_sample(a->metrics, "opmeter_cpu_seconds_total", NULL,
			      (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
				      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	gauge(a, "opmeter_resident_max_bytes", "bytes", "Largest resident set of this agent.",
	      (double)u.ru_maxrss * 1024);
	gauge(a, "opmeter_registers", NULL, "Registers held.", (double)om_totals_registers(a->totals));
	gauge(a, "opmeter_libraries", NULL, "Library files with probes.",
	      (double)probes_attached_count(a->probes));
	om_openmetrics_family(
		a->metrics, "opmeter_probe_share", "gauge", NULL,
		"Share of the node's processors that a meter's probes took when last measured.");
	for (int i = 0; i < AGENT_GUARDED; i++) {
		const char *labels[] = { "meter", agent_guard_meter(i), NULL };

		om_openmetrics_sample(a->metrics, "opmeter_probe_share", labels, a->guard.share[i]);
	}
	gauge(a, "opmeter_on", NULL, "1 while every meter counts.", a->off ? 0 : 1);
	counter(a, "opmeter_drains", "Drains committed to the ledger.", (double)a->drains);
	counter(a, "opmeter_drain_failures",
		"Drains that could not be committed; the kernel kept the counts.", (double)a->drain_failures);
	counter(a, "opmeter_overclaimed_operations",
		"Operations asked for beyond what the node's devices can do: in no lower bound.",
		opcount_to_double(a->claims.all.over));
	counter(a, "opmeter_overclaimed_cut_operations",
		"Operations asked for beyond eight times what the devices can do: in no bound.",
		opcount_to_double(a->claims.all.cut));
	counter(a, "opmeter_overclaimed_drains", "Drains in which there were such operations.",
		(double)a->claims.drains);
	counter(a, "opmeter_regressions", "Counts below their cursor: never subtracted.",
		(double)a->regressions);
}

/* Bounded: states x reasons, and causes; only those that occur. */
static void render_collectors(struct agent *a, const struct agent_collectors *c)
{
	om_openmetrics_family(a->metrics, "opmeter_collectors", "gauge", NULL,
			      "Processes with a collector of hardware counters, by what it last said.");
	for (uint32_t s = 0; s < AGENT_COLLECTOR_STATES; s++)
		for (uint32_t r = 0; r < OM_COUNTER_REASON_END; r++) {
			const char *labels[] = { "state", counter_state_name(s), "reason",
						 counter_reason_name(r), NULL };

			if (agent_collectors_in(c, s, r))
				om_openmetrics_sample(a->metrics, "opmeter_collectors", labels,
						      (double)agent_collectors_in(c, s, r));
		}
	om_openmetrics_family(a->metrics, "opmeter_counter_readings_lost", "counter", NULL,
			      "Readings of collectors that were not believed or not kept, by cause.");
	for (int l = 0; l < OM_COUNTER_LOST_END; l++) {
		const char *labels[] = { "cause", counter_lost_name(l), NULL };

		om_openmetrics_sample(a->metrics, "opmeter_counter_readings_lost_total", labels,
				      (double)agent_collectors_lost(c, l));
	}
}

static void render_counter(struct agent *a)
{
	if (agent_counter_collectors(a))
		render_collectors(a, agent_counter_collectors(a));
	counter(a, "opmeter_counter_claims_dropped",
		"Claims of collectors that gave way because their tenant had the most.",
		(double)agent_counter_dropped(a));
	gauge(a, "opmeter_counter_lines", NULL,
	      "Jobs and formats with launches that are estimated by hardware counters.",
	      (double)agent_counter_lines(a));
	counter(a, "opmeter_counter_refused",
		"Readings or launches of the counter meter for which there was no room.",
		(double)agent_counter_full(a));
}

static void render_holders(struct agent *a)
{
	struct holders_totals t;

	holders_get_totals(a->holders, &t);
	om_openmetrics_family(
		a->metrics, "opmeter_device_holders", "gauge", NULL,
		"Devices given to a pod, job or cgroup, by source; `gone`: it has no cgroup now.");
	for (int s = 0; s < HOLDER_SOURCES; s++) {
		const char *held[] = { "source", holder_source_name(s), "state", "held", NULL };
		const char *gone[] = { "source", holder_source_name(s), "state", "gone", NULL };

		om_openmetrics_sample(a->metrics, "opmeter_device_holders", held, (double)t.held[s]);
		om_openmetrics_sample(a->metrics, "opmeter_device_holders", gone, (double)t.gone[s]);
	}
	om_openmetrics_family(a->metrics, "opmeter_device_holder_failures", "counter", NULL,
			      "Readings of a source of holders that failed: what was read before holds on.");
	for (int s = 0; s < HOLDER_SOURCES; s++) {
		const char *labels[] = { "source", holder_source_name(s), NULL };

		om_openmetrics_sample(a->metrics, "opmeter_device_holder_failures_total", labels,
				      (double)t.failures[s]);
	}
	counter(a, "opmeter_device_holders_cut", "Holders or cgroups beyond what is kept.", (double)t.cut);
}

static void render_identity(struct agent *a)
{
	struct resolve_totals t;

	resolve_get_totals(a->resolve, &t);
	om_openmetrics_family(a->metrics, "opmeter_identity_jobs", "gauge", NULL,
			      "Jobs whose tenant is asked for, by source and what became of it.");
	for (int s = 0; s < RESOLVE_SOURCES; s++)
		for (int k = 0; k < RESOLVE_STATES; k++) {
			const char *labels[] = { "source", resolve_source_name((enum resolve_source)s),
						 "state", resolve_state_name((enum resolve_state)k), NULL };

			om_openmetrics_sample(a->metrics, "opmeter_identity_jobs", labels,
					      (double)t.jobs[s][k]);
		}
	om_openmetrics_family(a->metrics, "opmeter_identity_asked", "counter", NULL,
			      "Askings by source and how they ended.");
	for (int s = 0; s < RESOLVE_SYSTEMD; s++)
		for (int e = 0; e < RESOLVE_ENDS; e++) {
			const char *labels[] = { "source", resolve_source_name((enum resolve_source)s), "end",
						 resolve_end_name((enum resolve_end)e), NULL };

			om_openmetrics_sample(a->metrics, "opmeter_identity_asked_total", labels,
					      (double)t.ends[s][e]);
		}
	counter(a, "opmeter_identity_unasked", "Jobs whose path names no source that may be asked.",
		(double)t.unasked);
	counter(a, "opmeter_identity_given_up", "Jobs that ended and were not answered within a day.",
		(double)t.given_up);
	counter(a, "opmeter_identity_no_room", "Jobs beyond what is kept to be asked for.",
		(double)t.no_room);
}

static void render_devices(struct agent *a)
{
	struct device_totals t = { 0 };

	if (a->devices)
		device_get_totals(a->devices, &t);
	gauge(a, "opmeter_device_meter", NULL, "1 while NVML is sampled.", t.is_running && t.devices ? 1 : 0);
	gauge(a, "opmeter_devices", NULL, "GPUs, or GPU instances, that are sampled.", t.devices);
	counter(a, "opmeter_device_samples", "Samples of devices.", (double)t.samples);
	counter(a, "opmeter_device_gaps", "Spans in which nobody looked: bounded by the peak.",
		(double)t.gaps);
	counter(a, "opmeter_device_samples_off", "Samples not taken while the meter was switched off.",
		(double)a->device_samples_off);
	counter(a, "opmeter_device_restarts", "Samplers that ended or were killed because NVML hung.",
		(double)t.restarts);
	counter(a, "opmeter_device_lost", "Devices that fell off the bus.", (double)t.lost);
}

static void render_checkpoints(struct agent *a)
{
	const struct agent_checkpoint_totals *t = agent_checkpoints_totals(a);

	if (!t)
		return;
	counter(a, "opmeter_checkpoints", "Heads of the ledger's log that were signed.", (double)t->made);
	gauge(a, "opmeter_checkpoint_leaves", NULL, "Entries of the log that the last checkpoint covers.",
	      (double)t->size);
	counter(a, "opmeter_checkpoints_refused",
		"Heads that were not signed since the log is not the one that was signed before.",
		(double)t->refused);
	counter(a, "opmeter_checkpoints_failed", "Heads that could not be signed; the agent's log says why.",
		(double)t->failed);
	counter(a, "opmeter_checkpoints_postponed", "Heads not signed since another process had the keys.",
		(double)t->postponed);
}

static void render_models(struct agent *a)
{
	struct agent_model_totals t;

	agent_models_get_totals(a, &t);
	gauge(a, "opmeter_processes", NULL, "Processes whose models are judged.", (double)t.processes);
	counter(a, "opmeter_models_judged", "Judgements of which model a process computes.",
		(double)t.judged);
	counter(a, "opmeter_process_records", "Records of what a process does.", (double)t.said);
	counter(a, "opmeter_process_records_left_out",
		"Processes and records past a limit: not judged, or not said.", (double)t.left_out);
	counter(a, "opmeter_communicators_left_out",
		"Communicators past a process's, a job's or the node's limit: they join nothing here.",
		(double)agent_joins_left_out(a));
	gauge(a, "opmeter_model_worst_seconds", "seconds", "The most processor time that one judgement took.",
	      (double)t.worst_ns / 1e9);
}

static void render_near(struct agent *a)
{
	struct agent_near_totals t;

	agent_near_get_totals(a, &t);
	gauge(a, "opmeter_near_follows", NULL, "1 while the fleet's hints of who is near a level are read.",
	      t.follows);
	gauge(a, "opmeter_near_hints", NULL, "Hints that hold: of their jobs readings go out each second.",
	      (double)t.hints);
	counter(a, "opmeter_near_failures", "Tries to read the hints' topic that found none, or no right to.",
		(double)t.failures);
	counter(a, "opmeter_near_strange", "Records of the hints' topic that are none.", (double)t.strange);
	counter(a, "opmeter_near_full", "Hints for which there was no room.", (double)t.full);
}

void agent_render_metrics(struct agent *a)
{
	static const char *const version[] = { "version", OPMETER_VERSION, NULL };

	om_openmetrics_begin(a->metrics, SAMPLES_MAX);
	om_openmetrics_family(a->metrics, "opmeter_build", "info", NULL, "The program.");
	om_openmetrics_sample(a->metrics, "opmeter_build_info", version, 1);
	om_openmetrics_family(
		a->metrics, "opmeter_operations", "counter", NULL,
		"Operations by job and day, an approximate view (double); exact in the ledger and on Kafka.");
	om_totals_each_register(a->totals, operations, a);
	om_openmetrics_family(a->metrics, "opmeter_calls", "counter", NULL, "Library calls counted.");
	om_totals_each(a->totals, calls, a);
	om_openmetrics_family(a->metrics, "opmeter_losses", "counter", NULL,
			      "Calls or processes that could not be counted; see the ledger for causes.");
	om_totals_each(a->totals, losses, a);
	om_openmetrics_family(a->metrics, "opmeter_backlog", "gauge", NULL,
			      "Events that an exporter has not acknowledged.");
	for (size_t i = 0; i < a->sink_count; i++) {
		struct om_feed_totals t;
		const char *labels[] = { "exporter", NULL, NULL };

		om_feed_totals(a->sinks[i], &t);
		labels[1] = t.name;
		om_openmetrics_sample(a->metrics, "opmeter_backlog", labels, (double)t.backlog);
	}
	render_kernel(a);
	if (a->resolve)
		render_identity(a);
	render_devices(a);
	if (a->holders)
		render_holders(a);
	render_counter(a);
	if (a->collectives) {
		counter(a, "opmeter_communicator_events", "Calls that make, change or end communicators.",
			(double)agent_collectives_events(a));
		gauge(a, "opmeter_collective_lost", NULL,
		      "Collectives and communicators' events lost, of processes that are there.",
		      (double)agent_collectives_lost(a));
	}
	render_checkpoints(a);
	render_near(a);
	render_models(a);
	render_self(a);
	om_openmetrics_commit(a->metrics);
}
