// SPDX-License-Identifier: Apache-2.0
#include "api_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "../base/exit_code.h"

#define SECOND_NS 1000000000ULL
#define STEP_MS 100

static volatile sig_atomic_t is_stopping, is_reloading;

static void on_signal(int sig)
{
	if (sig == SIGHUP)
		is_reloading = 1;
	else
		is_stopping = 1;
}

static void api_close(struct api *a)
{
	studies_stop(a->studies); /* nobody may wait for us when the library ends */
	a->http = api_http_free(a->http);
	a->studies = studies_free(a->studies);
	a->jobs = api_jobs_free(a->jobs);
	a->follow = follow_free(a->follow);
	api_alerts_done(&a->alerts);
	api_tokens_free(a->tokens);
	tenant_names_free(a->tenants);
	law_close(&a->law);
	pthread_rwlock_destroy(&a->law_lock);
	pthread_rwlock_destroy(&a->tokens_lock);
}

static void lock_law(void *ctx, bool begins)
{
	struct api *a = ctx;

	if (begins)
		pthread_rwlock_wrlock(&a->law_lock);
	else
		pthread_rwlock_unlock(&a->law_lock);
}

static int open_law(struct api *a, struct error_text *err)
{
	const char *paths[LAW_FILES] = {
		[LAW_OWNERS] = a->config->owners_path, [LAW_REGIMES] = a->config->regimes_dir
	};

	int r = law_open(&a->law, paths, fleet_now_ns(CLOCK_MONOTONIC), fleet_today(), err);

	a->law.exchange = lock_law;
	a->law.exchange_ctx = a;
	return r;
}

/* Read anew when a file changed, while answers go on by what there was; what cannot be read leaves that. */
static void look_at_law(struct api *a, bool forced)
{
	struct law_news news;

	law_look(&a->law, fleet_now_ns(CLOCK_MONOTONIC), fleet_today(), forced, &news);
	for (int i = 0; i < LAW_FILES; i++) {
		const struct reload *l = &a->law.file[i];
		const char *name = law_file_name((enum law_file)i);

		if (!news.is_worth[i])
			continue;
		if (l->has_failed)
			log_error("%s: what was read before stays in use: %s", name, l->error.text);
		else
			log_info("%s: %s was read anew", name, l->path);
	}
}

/* Likewise the names of tenants, by which readings of the topics take assignments. */
static void look_at_tenants(struct api *a, bool forced)
{
	_cleanup_(tenant_names_freep) struct tenant_names *fresh = NULL;
	const char *path = a->config->tenants_path;
	uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
	struct error_text err = { 0 };
	struct tenant_names *old;
	const char *why;
	int r;

	if (!path || !reload_is_due(&a->tenants_file, now, forced))
		return;
	r = tenant_names_load(path, &fresh);
	if (r)
		error_set(&err, r, "%s: cannot be read: %s", path, strerror(-r));
	why = r ? NULL : tenant_names_refuse(a->tenants, fresh);
	if (why)
		r = error_set(&err, -EINVAL, "%s: %s", path, why);
	if (reload_tried(&a->tenants_file, now, r, &err)) {
		if (r)
			log_error("%s: the tenants stay as they were", err.text);
		else
			log_info("tenants: %s was read anew", path);
	}
	if (r || tenant_names_equal(a->tenants, fresh))
		return;
	pthread_rwlock_wrlock(&a->law_lock);
	old = a->tenants;
	a->tenants = TAKE_PTR(fresh);
	atomic_fetch_add(&a->tenants_serial, 1);
	pthread_rwlock_unlock(&a->law_lock);
	tenant_names_free(old);
}

static int api_open(struct api *a, struct error_text *err)
{
	const struct api_config *c = a->config;
	int r;

	if (sodium_init() < 0)
		return error_set(err, -EIO, "libsodium cannot begin");
	r = api_tokens_load(c->tokens_path, &a->tokens, err);
	if (r)
		return -EINVAL;
	r = open_law(a, err);
	reload_begin(&a->tenants_file, c->tenants_path, fleet_now_ns(CLOCK_MONOTONIC));
	if (r == 0 && c->tenants_path && tenant_names_load(c->tenants_path, &a->tenants))
		r = error_set(err, -EINVAL, "%s: cannot be read", c->tenants_path);
	if (r)
		return -EINVAL;
	r = api_http_new(a, &a->http, err);
	r = r ?: follow_open(c, &a->alerts, &a->follow, err);
	if (r == 0) {
		a->studies = studies_new(a);
		a->jobs = api_jobs_new(c);
		r = a->studies && a->jobs ? 0 : -ENOMEM;
	}
	return r ?: api_http_start(a->http, err);
}

/* Again later, where connections of the change before are not yet through. */
static void reload_certificate(struct api *a)
{
	struct error_text err = { 0 };
	int r = api_http_reload(a->http, &err);

	a->is_certificate_due = r == -EBUSY;
	if (r && r != -EBUSY)
		log_error("%s: the certificate stays as it was", err.text[0] ? err.text : strerror(-r));
}

/* What cannot be read leaves what there was. */
static void reload(struct api *a)
{
	struct api_tokens *fresh = NULL, *old;
	struct error_text err = { 0 };

	if (api_tokens_load(a->config->tokens_path, &fresh, &err)) {
		log_error("%s: the tokens stay as they were", err.text);
	} else {
		pthread_rwlock_wrlock(&a->tokens_lock);
		old = a->tokens;
		a->tokens = fresh;
		pthread_rwlock_unlock(&a->tokens_lock);
		api_tokens_free(old);
		log_info("%zu tokens", api_tokens_count(fresh));
	}
	reload_certificate(a);
	look_at_law(a, true);
	look_at_tenants(a, true);
}

static int loop(struct api *a)
{
	uint64_t end = a->config->seconds ? a->started_ns + a->config->seconds * SECOND_NS : UINT64_MAX;
	uint64_t second = 0;
	bool was_ready = false;
	int r = 0;

	while (r == 0 && !is_stopping && fleet_now_ns(CLOCK_MONOTONIC) < end) {
		struct follow_state s;

		r = follow_step(a->follow, STEP_MS);
		r = r ?: api_jobs_step(a->jobs);
		follow_state(a->follow, &s);
		if (s.is_ready && !was_ready)
			log_info("ready %.3f s after its start, %" PRIu64 " records read",
				 (double)s.ready_after_ns / 1e9, s.records);
		was_ready = s.is_ready;
		if (is_reloading) {
			is_reloading = 0;
			reload(a);
		}
		if (fleet_now_ns(CLOCK_MONOTONIC) >= second) {
			second = fleet_now_ns(CLOCK_MONOTONIC) + SECOND_NS;
			api_http_reap(a->http);
			look_at_law(a, false);
			look_at_tenants(a, false);
			if (a->is_certificate_due)
				reload_certificate(a);
		}
	}
	return r;
}

static int exit_code_of(int r)
{
	return r == -EINVAL ? EXIT_USAGE : r == -EACCES ? EXIT_NOPERM : EXIT_FAILED;
}

int api_run(const struct api_config *config)
{
	struct api a = { .config = config, .started_ns = fleet_now_ns(CLOCK_MONOTONIC) };
	struct error_text err = { 0 };
	int r;

	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGPIPE, SIG_IGN);
	pthread_rwlock_init(&a.tokens_lock, NULL);
	pthread_rwlock_init(&a.law_lock, NULL);
	api_alerts_init(&a.alerts, config->alerts_max);
	r = api_open(&a, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	} else {
		log_info("listening on %s://%s, port %u, %zu tokens", config->tls_cert ? "https" : "http",
			 config->listen, api_http_port(a.http), api_tokens_count(a.tokens));
		r = loop(&a);
		if (r)
			log_error("ended: %s", strerror(-r));
	}
	api_close(&a);
	return r ? exit_code_of(r) : EXIT_OK;
}

static int emit(struct snapshot *s, int (*fn)(void *ctx, struct json_t *total), void *ctx)
{
	int r = 0;

	for (int g = 0; g < 2; g++)
		for (size_t i = 0; r == 0 && i < s->count[g]; i++) {
			json_t *o = snapshot_json(s, &s->total[g][i]);

			r = o ? fn(ctx, o) : -ENOMEM;
			json_decref(o);
		}
	return r;
}

int api_totals_once(const struct api_config *config, int (*fn)(void *ctx, struct json_t *total), void *ctx,
		    struct error_text *err)
{
	_cleanup_(follow_freep) struct follow *f = NULL;
	_cleanup_(snapshot_unrefp) struct snapshot *s = NULL;
	uint64_t end = fleet_now_ns(CLOCK_MONOTONIC) + config->seconds * SECOND_NS;
	struct follow_state state;
	int r = follow_open(config, NULL, &f, err);

	while (r == 0 && !s && fleet_now_ns(CLOCK_MONOTONIC) < end) {
		r = follow_step(f, STEP_MS);
		s = follow_snapshot(f);
	}
	if (r == 0 && !s) {
		follow_state(f, &state);
		return error_set(err, -ETIMEDOUT, "after %" PRIu64 " s: %s", config->seconds, state.reason);
	}
	return r ?: emit(s, fn, ctx);
}
