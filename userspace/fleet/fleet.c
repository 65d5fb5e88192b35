// SPDX-License-Identifier: Apache-2.0
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <jansson.h>

#include "../base/exit_code.h"
#include "../base/text.h"

#define CONNECT_MS 10000
#define FLUSH_MS 10000

static volatile sig_atomic_t is_stopping, is_to_reload;

static void on_signal(int sig)
{
	is_stopping = 1;
}

static void on_hangup(int sig)
{
	is_to_reload = 1;
}

uint64_t fleet_now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static struct fleet *fleet_free(struct fleet *f)
{
	if (!f)
		return NULL;
	judge_end(f);
	intake_close(f);
	if (f->producer)
		f->producer->ops->free(f->producer);
	tenant_names_free(f->tenants);
	law_close(&f->law);
	free(f);
	return NULL;
}

static void fleet_freep(struct fleet **f)
{
	*f = fleet_free(*f);
}

void fleet_acked(void *ctx, uint64_t cookie, int err)
{
	struct fleet *f = ctx;

	if (!err) {
		f->acked++;
		return;
	}
	f->failed++;
	for (uint32_t i = 0; i < f->partitions; i++)
		if (f->parts[i])
			f->parts[i]->is_full = f->parts[i]->is_changed = true;
}

/* A full window is given a moment; a broker that is away must not keep us from the group. */
int fleet_send(struct fleet *f, const struct om_event *ev)
{
	int r = f->producer->ops->send(f->producer, ev);

	for (int i = 0; r == 1 && i < 20 && !is_stopping; i++) {
		f->producer->ops->poll(f->producer, 50);
		r = f->producer->ops->send(f->producer, ev);
	}
	f->sent += r == 0;
	return r;
}

static int load_files(struct fleet *f, struct error_text *err)
{
	const struct fleet_config *c = f->config;
	const char *const paths[LAW_FILES] = { [LAW_OWNERS] = c->owners_path,
					       [LAW_DECLARATIONS] = c->declarations_path,
					       [LAW_REGIMES] = c->regimes_dir };
	int r = law_open_signed(&f->law, paths, c->declaration_keys_path, fleet_now_ns(CLOCK_MONOTONIC),
				fleet_today(), err);

	if (r)
		return -EINVAL;
	if (c->log_keys_path && heads_check_keys(c->log_keys_path, err))
		return -EINVAL;
	reload_begin(&f->tenants_file, c->tenants_path, fleet_now_ns(CLOCK_MONOTONIC));
	r = c->tenants_path ? tenant_names_load(c->tenants_path, &f->tenants) : 0;
	return r ? error_set(err, -EINVAL, "%s: cannot be read: %s", c->tenants_path, strerror(-r)) : 0;
}

static int fleet_open(const struct fleet_config *config, struct fleet **ret, struct error_text *err)
{
	_cleanup_(fleet_freep) struct fleet *f = calloc(1, sizeof(*f));
	struct om_kafka_config kafka = { config->brokers, config->kafka_config };
	int r;

	if (!f)
		return -ENOMEM;
	f->config = config;
	f->days_ns = fleet_now_ns(CLOCK_MONOTONIC);
	snprintf(f->source, sizeof(f->source), "/opmeter/%.60s", config->name);
	if (getrandom(&f->me.instance, sizeof(f->me.instance), 0) != sizeof(f->me.instance))
		return -errno;
	r = load_files(f, err);
	if (r == 0 && config->create_topics)
		r = om_kafka_create_topics(&kafka, 0, 0, CONNECT_MS, err);
	r = r ?: om_kafka_open(&kafka, &f->producer, err);
	if (r)
		return r;
	f->producer->acked = fleet_acked;
	f->producer->acked_ctx = f;
	r = intake_open(f, err);
	if (r)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

static void add_ranges(const struct fleet *f, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (uint32_t i = 0, k; i < f->partitions && at + 24 < size; i = k + 1) {
		for (k = i; k < f->partitions && f->parts[k]; k++)
			;
		if (k == i)
			continue;
		at += (size_t)snprintf(buf + at, size - at,
				       k == i + 1 ? "%s%" PRIu32 : "%s%" PRIu32 "-%" PRIu32, at ? "," : "", i,
				       k - 1);
	}
}

/* What this instance owns, each time that it changes: for people, and as a line of JSON for programs. */
static void say_what_is_owned(struct fleet *f)
{
	char ranges[1024];
	uint32_t owned = 0, live = 0;
	size_t registers = 0;
	json_t *list;

	for (uint32_t i = 0; i < f->partitions; i++) {
		owned += f->parts[i] != NULL;
		live += f->parts[i] && part_is_live(f->parts[i]);
		registers += f->parts[i] ? om_totals_registers(f->parts[i]->totals) : 0;
	}
	if (owned && live < owned)
		return;
	f->is_owner_changed = false;
	add_ranges(f, ranges, sizeof(ranges));
	log_info("instance %016" PRIx64 " owns %" PRIu32 " of %" PRIu32 " partitions (%s)%s, %zu registers",
		 f->me.instance, owned, f->partitions, ranges, judge_speaks(f) ? " and judges" : "",
		 registers);
	if (!f->config->json || f->config->once)
		return;
	list = json_array();
	for (uint32_t i = 0; i < f->partitions; i++)
		if (f->parts[i])
			json_array_append_new(list, json_integer(i));
	{
		char instance[24];
		_cleanup_free_ char *text = NULL;
		json_t *o;

		snprintf(instance, sizeof(instance), "%016" PRIx64, f->me.instance);
		o = json_pack("{s:s,s:o,s:b,s:I}", "instance", instance, "owns", list, "judge",
			      judge_speaks(f), "registers", (json_int_t)registers);
		text = o ? json_dumps(o, JSON_COMPACT) : NULL;
		json_decref(o);
		printf("%s\n", text ?: "");
		fflush(stdout);
	}
}

static void choose_judge(struct fleet *f)
{
	bool owns_first = f->partitions && f->parts[0];

	if (owns_first && f->judge && !f->judge_is_reader)
		return;
	if (owns_first && f->judge)
		judge_end(f);
	if (owns_first || (f->config->once && f->was_assigned && !f->judge)) {
		judge_begin(f, owns_first);
		f->judge_is_reader = !owns_first;
	}
}

static bool is_away(int r)
{
	return r == -EIO || r == -ETIMEDOUT;
}

static int begin_anew(struct fleet *f)
{
	struct timespec pause = { 1, 0 };
	struct error_text err = { 0 };
	int r;

	f->was_assigned = false;
	/* The broker may be away just now: it was there at the start, so it is waited for. */
	while (is_away(r = intake_open(f, &err)) && !is_stopping) {
		log_warn("%s: tried again", err.text);
		intake_close(f);
		err = (struct error_text){ 0 };
		nanosleep(&pause, NULL);
	}
	if (r && !is_away(r))
		log_error("%s", err.text);
	return is_away(r) ? 0 : r;
}

/*
 * Who is a tenant decides which assignments are taken, so what was read under other names is read anew: the
 * state is the input, under the file as it is. What was published stays until all of it is there again.
 */
static int look_at_tenants(struct fleet *f, bool is_forced)
{
	struct tenant_names *fresh = NULL;
	struct error_text err = { 0 };
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	const char *why;
	int r;

	if (!f->config->tenants_path || !reload_is_due(&f->tenants_file, now, is_forced))
		return 0;
	r = tenant_names_load(f->config->tenants_path, &fresh);
	if (r)
		error_set(&err, r, "%s: cannot be read: %s", f->config->tenants_path, strerror(-r));
	why = r ? NULL : tenant_names_refuse(f->tenants, fresh);
	if (why)
		r = error_set(&err, -EINVAL, "%s: %s", f->config->tenants_path, why);
	if (reload_tried(&f->tenants_file, now, r, &err)) {
		if (r)
			log_error("%s: the tenants stay as they were", err.text);
		else
			log_info("tenants: %s was read anew", f->config->tenants_path);
	}
	if (r || tenant_names_equal(f->tenants, fresh)) {
		tenant_names_free(fresh);
		return 0;
	}
	intake_close(f);
	tenant_names_free(f->tenants);
	f->tenants = fresh;
	return begin_anew(f);
}

/* Heads tell them, so what nobody else would bring is told, too. */
static void look_at_counts(struct fleet *f)
{
	uint64_t sum = f->refused_by_broker + f->unsent + f->failed;

	for (uint32_t i = 0; sum != f->told_counts && i < f->partitions; i++)
		if (f->parts[i])
			f->parts[i]->is_changed = true;
	f->told_counts = sum;
}

/* Totals of every partition that was read to its end. A full window stops the round and not us. */
static int publish_all(struct fleet *f)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < f->partitions; i++) {
		struct part *p = f->parts[i];

		if (!p || !part_is_live(p))
			continue;
		r = publish_part(f, p);
		r = r ?: part_maintain(f, p);
	}
	return r < 0 ? r : 0;
}

static bool is_done(const struct fleet *f)
{
	for (uint32_t i = 0; i < f->partitions; i++)
		if (f->parts[i] &&
		    (!part_is_live(f->parts[i]) || f->parts[i]->is_full || days_wait(f->parts[i])))
			return false;
	return f->config->once && f->was_assigned && judge_has_judged(f);
}

static int fleet_step(struct fleet *f, uint64_t *next, int timeout_ms)
{
	size_t n = judge_poll(f);
	bool is_forced;
	uint64_t now;
	int r = 0;

	n += intake_poll(f, n ? 0 : timeout_ms);
	f->producer->ops->poll(f->producer, 0);
	choose_judge(f);
	now = fleet_now_ns(CLOCK_MONOTONIC);
	if (now >= *next) {
		*next = now + (f->config->once ? 20000000ULL : f->config->interval_ns);
		/* Cleared before the files are read: a signal that comes meanwhile is for the next time. */
		is_forced = is_to_reload;
		if (is_forced)
			is_to_reload = 0;
		fleet_look_at_law(f, is_forced);
		heads_look(f, is_forced);
		r = look_at_tenants(f, is_forced);
		look_at_counts(f);
		if (f->is_owner_changed)
			say_what_is_owned(f);
		r = r ?: publish_all(f);
	}
	return r ?: judge_tick(f) ?: f->error;
}

static int fleet_loop(struct fleet *f)
{
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC), next = now;
	uint64_t end = f->config->seconds ? now + f->config->seconds * 1000000000ULL : UINT64_MAX;
	int r = 0;

	while (r == 0 && !is_stopping && fleet_now_ns(CLOCK_MONOTONIC) < end) {
		r = fleet_step(f, &next, 20);
		if (r == 0 && is_done(f)) {
			if (f->config->json)
				r = judge_print(f);
			break;
		}
	}
	if (f->producer->ops->flush(f->producer, FLUSH_MS))
		log_warn("the broker has not acknowledged everything; the next run writes what is missing");
	return r;
}

static void say_what_was_seen(const struct fleet *f)
{
	uint64_t refused[REFUSAL_END] = { 0 }, regressions = 0, nulls = 0;
	size_t registers = 0;
	char text[400] = "";

	for (uint32_t i = 0; i < f->partitions; i++) {
		const struct part *p = f->parts[i];

		if (!p)
			continue;
		registers += om_totals_registers(p->totals);
		regressions += p->regressions;
		nulls += p->nulls;
		for (int k = 1; k < REFUSAL_END; k++)
			refused[k] += p->refused[k].count;
	}
	for (int k = 1; k < REFUSAL_END; k++) {
		size_t at = strlen(text);

		if (refused[k])
			snprintf(text + at, sizeof(text) - at, ", %" PRIu64 " %s", refused[k],
				 refusal_name((enum refusal)k));
	}
	log_info("%zu registers from %" PRIu64 " readings, %" PRIu64 " records in all; refused%s; %" PRIu64
		 " regressions (the maximum stays), %" PRIu64 " nulls; %" PRIu64 " sent, %" PRIu64
		 " acknowledged, %" PRIu64 " failed, %" PRIu64 " neither moved nor buried; %" PRIu64
		 " rebalances",
		 registers, f->readings, f->records, text[0] ? text + 1 : " none", regressions, nulls,
		 f->sent, f->acked, f->failed, f->unsent, f->rebalances);
}

static int exit_code_of(int r)
{
	switch (r) {
	case -EINVAL:
		return EXIT_USAGE;
	case -EACCES:
		return EXIT_NOPERM;
	case -EPROTO:
		return EXIT_FINDING;
	default:
		return EXIT_FAILED;
	}
}

bool fleet_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len <= 60 && text_is_name(name, len);
}

int fleet_run(const struct fleet_config *config)
{
	_cleanup_(fleet_freep) struct fleet *f = NULL;
	struct error_text err = { 0 };
	int r;

	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_hangup);
	r = fleet_open(config, &f, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return exit_code_of(r);
	}
	r = fleet_loop(f);
	say_what_was_seen(f);
	if (r)
		log_error("ended: %s", strerror(-r));
	return r == -EACCES ? EXIT_NOPERM : r ? EXIT_FAILED : EXIT_OK;
}
