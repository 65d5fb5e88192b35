// SPDX-License-Identifier: Apache-2.0
/*
 * The wiring of one node. Opening follows the data's way, from what it ends in
 * to where it begins: ledger, judgements, exporters, then probes and discovery,
 * so that nothing is counted that could not be kept.
 *
 * One thread, one loop: library events as they come, a drain each --drain, a
 * publication each --publish. Everything else waits in the kernel's maps or in
 * the ledger's outbox, so being late costs nothing but time.
 */
#include "agent.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "../../exporters/file.h"
#include "../../exporters/kafka.h"
#include "../base/exit_code.h"
#include "../base/memory.h"
#include "../core/near.h"
#include "agent_internal.h"
#include "collective.h"
#include "holders.h"
#include "counter.h"
#include "resolve.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t agent_now_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t agent_steady_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t agent_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	discovery_free(a->discovery);
	drain_free(a->drain);
	probes_free(a->probes);
	for (size_t i = 0; i < a->sink_count; i++)
		om_feed_free(a->sinks[i]);
	om_openmetrics_free(a->metrics);
	om_totals_free(a->totals);
	law_close(&a->law);
	om_offsets_free(a->offsets);
	om_catalogue_free(a->kernels);
	holders_free(a->holders);
	device_free(a->devices);
	agent_counter_free(a->counter);
	agent_collectives_free(a->collectives);
	agent_phases_free(a->phases);
	agent_models_free(a->models);
	agent_joins_free(a->joins);
	agent_checkpoints_free(a->checkpoints);
	agent_near_free(a->near);
	om_peaks_free(a->peaks);
	free(a->device_lines);
	resolve_free(a->resolve);
	tenant_map_free(a->tenants);
	cgroups_free(a->cgroups);
	om_ledger_free(a->ledger);
	free(a);
	return NULL;
}

static void agent_freep(struct agent **a)
{
	*a = agent_free(*a);
}

/* Data lies beside the offsets unless told otherwise. */
static const char *beside_offsets(const struct agent *a, const char *name, char buf[PATH_MAX])
{
	const char *slash = strrchr(a->config->offsets_path, '/');

	snprintf(buf, PATH_MAX, "%.*s%s", slash ? (int)(slash + 1 - a->config->offsets_path) : 0,
		 a->config->offsets_path, name);
	return buf;
}

/* Files that people write: read first, so that a slip is told before anything is touched. */
static int open_configuration(struct agent *a, struct error_text *err)
{
	const struct agent_config *c = a->config;
	char path[PATH_MAX];
	int r;

	r = om_offsets_load(c->offsets_path, &a->offsets, err);
	r = r
		    ?: om_catalogue_load(c->kernels_path ?: beside_offsets(a, "kernels.csv", path),
					 &a->kernels, err);
	r = r ?: om_peaks_load(c->peaks_path ?: beside_offsets(a, "peaks.csv", path), &a->peaks, err);
	if (r == 0 && c->tenants_path)
		r = tenant_map_load(c->tenants_path, &a->tenants, err);
	r = r ?: agent_identity_open(a, err);
	r = r ?: agent_checkpoints_open(a, err);
	return r ?: agent_law_open(a, err);
}

static int open_ledger(struct agent *a, struct error_text *err)
{
	char id[OM_ID_STRLEN];
	int r = om_ledger_open(a->config->dir, OM_LEDGER_CREATE | OM_LEDGER_EXPECT_BASELINE, agent_now_ns(),
			       &a->ledger, err);

	if (r)
		return r;
	snprintf(a->source, sizeof(a->source), "/opmeter/%s", om_id_format(om_ledger_id(a->ledger), id));
	a->node.ledger_start_ns = om_ledger_start_ns(a->ledger);
	r = cgroups_open(&a->cgroups, err);
	if (r == 0 && a->resolve)
		resolve_use_cgroups(a->resolve, a->cgroups);
	r = r ?: agent_load_totals(a);
	if (r == 0 && om_ledger_was_replaced(a->ledger)) {
		log_warn("%s: the ledger was damaged or a copy: it was set aside and a new one begun",
			 a->config->dir);
		agent_say(a, "the ledger was damaged or a copy and was replaced", "ledger",
			  "Look at the directory it was set aside in; registers under the old id stay as "
			  "published.");
	}
	return r;
}

static int add_sink(struct agent *a, const char *name, struct om_exporter *e)
{
	int r = om_feed_new(a->ledger, name, e, &a->sinks[a->sink_count]);

	if (r)
		e->ops->free(e);
	else
		a->sink_count++;
	return r;
}

static int open_exporters(struct agent *a, struct error_text *err)
{
	const struct agent_config *c = a->config;
	struct om_kafka_config kafka = { c->brokers, c->kafka_config };
	struct om_exporter *e;
	int r = 0;

	if (c->brokers) {
		struct error_text topics = { 0 };

		/* A broker that is away now may be there later: the outbox waits. */
		if (c->create_topics && om_kafka_create_topics(&kafka, 0, 0, 5000, &topics))
			log_warn("%s; going on, events wait in the ledger", topics.text);
		r = om_kafka_open(&kafka, &e, err);
		r = r ?: add_sink(a, "kafka", e);
	}
	if (r == 0 && c->file_path) {
		r = om_file_open(c->file_path, &e, err);
		r = r ?: add_sink(a, "file", e);
	}
	if (r == 0 && c->listen)
		r = om_openmetrics_open(c->listen, &a->metrics, err);
	return r;
}

static int learn_name(void *ctx, const struct om_kernel_name *n)
{
	int r = drain_learn_name(ctx, n);

	return r == -ENOSPC ? 0 : r; /* more than are kept in memory: unknown kernels */
}

static int open_probes(struct agent *a, struct error_text *err)
{
	struct probes_config pc = { .pin_dir = a->config->pin_dir };
	struct discovery_config dc = { .offsets = a->offsets };
	size_t swept = 0;
	int r;

	r = probes_open(&pc, &a->probes, err);
	r = r ?: drain_new(a->probes, &a->drain);
	if (r == 0) {
		drain_set_catalogue(a->drain, a->kernels);
		r = om_ledger_each_kernel_name(a->ledger, learn_name, a->drain);
	}
	/* Maps that are newly made hold nothing that another ledger could have. */
	if (r == 0 && !probes_was_adopted(a->probes))
		r = om_ledger_clear_baseline(a->ledger);
	if (r == 0 && agent_counter_open(a, err))
		log_warn("no counter meter: %s", err->text);
	if (r == 0 && agent_collectives_open(a, err)) {
		/* A key that was asked for and is none: other nodes would never be joined, so it is told now.
		 */
		if (a->config->join_key_path)
			return -EINVAL;
		log_warn("no collective meter: %s", err->text);
	}
	r = r ?: agent_joins_open(a);
	r = r ?: agent_phases_open(a);
	a->off = r == 0 ? probes_off(a->probes) : 0;
	r = r ?: discovery_open(&dc, &agent_discovery_ops, a, &a->discovery, err);
	for (size_t i = 0; r == 0 && i < a->config->libraries.count; i++)
		r = discovery_add(a->discovery, a->config->libraries.item[i], err)
			    ? error_set(err, -EINVAL, "--library %s: cannot be probed",
					a->config->libraries.item[i])
			    : 0;
	r = r ?: discovery_scan(a->discovery);
	r = r ?: probes_sweep(a->probes, &swept);
	if (r == 0 && a->counter)
		agent_counter_sweep(a);
	if (r == 0)
		agent_collectives_sweep(a);
	if (r == 0 && !a->config->no_devices)
		r = device_open(
			&(struct device_config){ .nvml_path = a->config->nvml_path, .peaks = a->peaks },
			&a->devices, err);
	if (r == 0 && a->devices)
		r = holders_open(&(struct holders_config){ .cgroups = a->cgroups,
							   .checkpoint_path = a->config->kubelet_devices,
							   .map_path = a->config->holders_path,
							   .slurm_node = a->config->slurm_node },
				 &a->holders, err);
	if (r == 0 && swept)
		log_info("%zu library files that nobody maps any more: their probes are being released",
			 swept);
	return r;
}

static int agent_open(const struct agent_config *config, struct agent **ret, struct error_text *err)
{
	_cleanup_(agent_freep) struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->config = config;
	a->started_ns = agent_boot_ns();
	r = open_configuration(a, err);
	if (r)
		return r == -EINVAL || r == -ENOENT ? -EINVAL : r;
	r = open_ledger(a, err);
	r = r ?: open_exporters(a, err);
	r = r ?: agent_near_open(a, err);
	r = r ?: open_probes(a, err);
	if (r)
		return r;
	*ret = TAKE_PTR(a);
	return 0;
}

static void feed_all(struct agent *a)
{
	for (size_t i = 0; i < a->sink_count; i++) {
		int r = om_feed_step(a->sinks[i], 0);

		if (r && r != -ENOSPC)
			log_warn("an exporter stumbled: %s", strerror(-r));
	}
}

/* When the next of each is due, CLOCK_MONOTONIC: a clock that steps must not stop the meter. */
struct schedule {
	uint64_t drain, heartbeat, checkpoint, end;
	struct om_cadence publish;
};

static int publish_what_is_due(struct agent *a, struct om_cadence *c, uint64_t now)
{
	enum om_publish due = om_cadence_step(c, now, a->config->publish_ns, a->is_near);
	int r = 0;

	if (due != OM_PUBLISH_NOTHING)
		r = due == OM_PUBLISH_ALL ? agent_publish(a) : agent_publish_near(a);
	if (due != OM_PUBLISH_NOTHING && a->metrics)
		agent_render_metrics(a);
	return r;
}

static int on_time(struct agent *a, struct schedule *s, uint64_t now)
{
	const struct agent_config *c = a->config;
	int r = 0;

	if (now >= s->drain) {
		s->drain = now + c->drain_ns;
		r = agent_meter(a, false);
		r = r ?: agent_identity_step(a);
	}
	a->is_near = agent_near_step(a, now);
	if (r == 0)
		r = publish_what_is_due(a, &s->publish, now);
	if (r == 0 && now >= s->checkpoint) {
		s->checkpoint = now + c->checkpoint_ns;
		agent_checkpoint(a);
	}
	if (now >= s->heartbeat) {
		s->heartbeat = now + c->heartbeat_ns;
		agent_beat(a);
	}
	agent_guard(a);
	feed_all(a);
	return r ?: a->failed;
}

static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* SIGHUP: files that people write are read at the next publication, which is now. One that comes while they
 * are read waits here for the next time. False: the agent is told to end. */
static bool take_signals(struct agent *a, struct schedule *s, int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			return false;
		a->is_to_reload = true;
		s->publish.all_ns = 0;
	}
	return true;
}

static int agent_loop(struct agent *a, int signal_fd)
{
	uint64_t now = agent_steady_ns();
	struct schedule s = { .drain = now,
			      .publish.all_ns = now + a->config->publish_ns,
			      .heartbeat = now,
			      .checkpoint = now };
	struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN },
				{ .fd = discovery_fd(a->discovery), .events = POLLIN },
				{ .fd = -1, .events = POLLIN } };
	int r = 0;

	s.end = a->config->seconds ? now + a->config->seconds * 1000000000ULL : UINT64_MAX;
	while (r == 0 && now < s.end) {
		uint64_t publish = om_cadence_next(&s.publish, a->config->publish_ns, a->is_near);
		uint64_t due = s.drain < publish ? s.drain : publish;
		int wait_ms = due > now ? (int)((due - now) / 1000000) + 1 : 0;

		/* With an exporter, deliveries are to be noticed soon. */
		if (a->sink_count && wait_ms > 50)
			wait_ms = 50;
		fds[2].fd = a->devices ? device_fd(a->devices) : -1; /* another one after a restart */
		if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents && !take_signals(a, &s, signal_fd))
			break;
		r = discovery_step(a->discovery, 0);
		r = r ?: agent_devices_step(a);
		now = agent_steady_ns();
		r = r ?: on_time(a, &s, now);
	}
	return r;
}

/* The last of everything, in the order of the data's way. */
static int agent_end(struct agent *a)
{
	struct error_text err = { 0 };
	int r = agent_meter(a, true);

	r = r ?: agent_publish(a);
	if (r == 0)
		agent_checkpoint(a);
	for (size_t i = 0; i < a->sink_count; i++)
		if (om_feed_drain(a->sinks[i], 5000))
			log_warn("an exporter has not acknowledged everything: the rest waits in the ledger");
	if (a->config->detach) {
		a->discovery = discovery_free(a->discovery);
		a->drain = drain_free(a->drain);
		a->probes = probes_free(a->probes);
		a->counter = agent_counter_free(a->counter);
		a->collectives = agent_collectives_free(a->collectives);
		counter_remove_all(a->config->pin_dir);
		collective_remove_all(a->config->pin_dir);
		if (probes_remove_all(a->config->pin_dir, &err))
			log_warn("%s", err.text);
	}
	return r;
}

static int exit_code_of(int r)
{
	switch (r) {
	case 0:
		return EXIT_OK;
	case -EINVAL:
		return EXIT_USAGE;
	case -EPERM:
	case -EACCES:
		return EXIT_NOPERM;
	default:
		return EXIT_FAILED;
	}
}

int agent_run(const struct agent_config *config)
{
	_cleanup_(agent_freep) struct agent *a = NULL;
	_cleanup_close_ int signal_fd = block_signals();
	struct error_text err = { 0 };
	char id[OM_ID_STRLEN];
	int r;

	memory_keep_freed();
	if (signal_fd < 0) {
		log_error("signals cannot be taken: %s", strerror(-signal_fd));
		return EXIT_FAILED;
	}
	r = agent_open(config, &a, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return exit_code_of(r);
	}
	printf("ready pid=%d ledger=%s libraries=%zu\n", (int)getpid(),
	       om_id_format(om_ledger_id(a->ledger), id), probes_attached_count(a->probes));
	fflush(stdout);
	r = agent_loop(a, signal_fd);
	if (r == 0)
		r = agent_end(a);
	if (r)
		log_error("ended: %s; the kernel goes on counting, start again to go on", strerror(-r));
	return exit_code_of(r);
}
