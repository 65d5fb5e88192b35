// SPDX-License-Identifier: Apache-2.0
/*
 * The page for Prometheus. As many samples for ten thousand tenants as for twenty: the
 * largest are named, the others are one sum. Operations are doubles there; a lower bound is
 * rounded down, any other up, so what is between them is still what it was.
 */
#include "api_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define SAMPLES_MAX 20000

struct tenant_sum {
	const char *tenant; /* a loan of the snapshot; NULL: the others */
	opcount figure[4];
};
static const struct figure {
	const char *what, *bound;
	bool rounds_down;
} figures[4] = { { "training", "low", true },
		 { "training", "high", false },
		 { "all", "low", true },
		 { "all", "high", false } };

struct page {
	struct call *c;
	struct om_openmetrics *m;
	struct follow_state state;
};

double api_metrics_round(opcount v, bool down)
{
	double d = opcount_to_double(v);

	/* 2^128 is no opcount: a double that large can only have been rounded up. */
	if (down && (d >= 0x1p128 || (opcount)d > v))
		return nextafter(d, 0);
	if (!down && d < 0x1p128 && (opcount)d < v)
		return nextafter(d, INFINITY);
	return d;
}

static void gauge(struct page *p, const char *name, const char *help, double value)
{
	om_openmetrics_family(p->m, name, "gauge", NULL, help);
	om_openmetrics_sample(p->m, name, NULL, value);
}

static void timestamp(struct page *p, const char *name, const char *help, uint64_t ns)
{
	om_openmetrics_family(p->m, name, "gauge", "seconds", help);
	om_openmetrics_sample(p->m, name, NULL, (double)(ns / 1000000) / 1e3);
}

static void put_state(struct page *p)
{
	static const char *const names[FOLLOWED_END] = { "totals", "alerts", "alerts.shadow" };
	const struct follow_state *s = &p->state;

	gauge(p, "opmeter_fleet_ready", "1: all topics were read to their ends and every partition is whole.",
	      s->is_ready);
	gauge(p, "opmeter_fleet_partitions", "Partitions of the totals.", s->partitions);
	gauge(p, "opmeter_fleet_partitions_unread",
	      "Followed partitions that were not yet read to their end.", s->unread);
	gauge(p, "opmeter_fleet_partitions_not_whole", "Partitions whose totals are not all there.",
	      s->unwhole);
	om_openmetrics_family(p->m, "opmeter_fleet_lag_records", "gauge", "records",
			      "Records between what was read and the topic's end.");
	for (int t = 0; t < FOLLOWED_END; t++)
		om_openmetrics_sample(p->m, "opmeter_fleet_lag_records",
				      (const char *const[]){ "topic", names[t], NULL }, (double)s->lag[t]);
	timestamp(p, "opmeter_fleet_broker_contact_timestamp_seconds", "When the broker answered last.",
		  s->contact_ns);
	gauge(p, "opmeter_fleet_nodes", "Nodes that ever gave a heartbeat.", (double)s->nodes);
	gauge(p, "opmeter_fleet_nodes_silent", "Nodes that gave none for three intervals.",
	      (double)s->nodes_silent);
	gauge(p, "opmeter_fleet_heartbeats_strange", "Heartbeats of no node, or of one too many.",
	      (double)s->strange);
	gauge(p, "opmeter_fleet_group_known", "1: the broker tells of the aggregators' group.",
	      s->group.is_known);
	gauge(p, "opmeter_fleet_instances", "Aggregators in the group.", s->group.instances);
	gauge(p, "opmeter_fleet_partitions_unowned", "Partitions of the readings that no aggregator owns.",
	      s->group.unowned);
	gauge(p, "opmeter_fleet_judge", "1: an aggregator owns the first partition, and judges.",
	      s->group.has_judge);
}

/* The counts begin anew when a partition changes hands, so they are no counters; the time of the last one
 * only goes on. */
static void put_refused(struct page *p, const struct snapshot *s)
{
	uint64_t last_ms[REFUSAL_END] = { 0 };

	om_openmetrics_family(
		p->m, "opmeter_fleet_refused_records", "gauge", "records",
		"Records that moved no total, as their partitions' owners count since they own them.");
	for (int k = 1; k < REFUSAL_END; k++) {
		uint64_t count = 0;

		for (uint32_t i = 0; i < s->partitions; i++) {
			count += s->head[i].refused[k].count;
			if (s->head[i].refused[k].last_ms > last_ms[k])
				last_ms[k] = s->head[i].refused[k].last_ms;
		}
		om_openmetrics_sample(p->m, "opmeter_fleet_refused_records",
				      (const char *const[]){ "cause", refusal_name((enum refusal)k), NULL },
				      (double)count);
	}
	om_openmetrics_family(p->m, "opmeter_fleet_refused_last_timestamp_seconds", "gauge", "seconds",
			      "When the last of them came, by the broker; 0: none did.");
	for (int k = 1; k < REFUSAL_END; k++)
		om_openmetrics_sample(p->m, "opmeter_fleet_refused_last_timestamp_seconds",
				      (const char *const[]){ "cause", refusal_name((enum refusal)k), NULL },
				      (double)last_ms[k] / 1e3);
}

static void put_losses(struct page *p, const struct snapshot *s)
{
	uint64_t regressed = 0, left_out = 0, overclaims = 0, regressed_ms = 0, left_out_ms = 0;

	for (uint32_t i = 0; i < s->partitions; i++) {
		const struct snapshot_head *h = &s->head[i];

		regressed += h->regressed.count;
		left_out += h->left_out.count;
		overclaims += h->overclaims;
		regressed_ms = h->regressed.last_ms > regressed_ms ? h->regressed.last_ms : regressed_ms;
		left_out_ms = h->left_out.last_ms > left_out_ms ? h->left_out.last_ms : left_out_ms;
	}
	gauge(p, "opmeter_fleet_regressed_readings",
	      "Readings that were below what is known though later, as owners count since they own.",
	      (double)regressed);
	timestamp(p, "opmeter_fleet_regressed_last_timestamp_seconds",
		  "When the last of them came, by the broker; 0: none did.", regressed_ms * 1000000);
	gauge(p, "opmeter_fleet_left_out_totals", "Totals too large for a record, by the write.",
	      (double)left_out);
	timestamp(p, "opmeter_fleet_left_out_last_timestamp_seconds",
		  "When one was left out last; 0: none was.", left_out_ms * 1000000);
	gauge(p, "opmeter_fleet_overclaimed_days",
	      "Nodes' days whose jobs together claim more than the node can do, by partition.",
	      (double)overclaims);
}

/* Each of an instance's heads has its counts, some older than others: the largest is the last. */
static void put_instances(struct page *p, const struct snapshot *s)
{
	uint64_t refused = 0, unsent = 0, failed = 0, unchecked = 0, lost = 0;

	for (uint32_t i = 0; i < s->partitions; i++) {
		const struct snapshot_head *h = &s->head[i];
		uint64_t most[4] = { 0 };
		bool is_first = true;

		lost += h->lost_words.count;
		for (uint32_t k = 0; k < s->partitions; k++) {
			const struct snapshot_head *o = &s->head[k];
			const uint64_t counts[4] = { o->refused_by_broker.count, o->unsent, o->failed,
						     o->settings_unchecked };

			if (o->epoch.instance != h->epoch.instance)
				continue;
			is_first = is_first && k >= i;
			for (int n = 0; n < 4; n++)
				most[n] = counts[n] > most[n] ? counts[n] : most[n];
		}
		if (!is_first)
			continue;
		refused += most[0];
		unsent += most[1];
		failed += most[2];
		unchecked += most[3];
	}
	gauge(p, "opmeter_fleet_refused_by_broker",
	      "What the ACLs refused to the aggregators that publish now.", (double)refused);
	gauge(p, "opmeter_fleet_unsent_records",
	      "Records that are to be moved or buried, and were not, by the aggregators that publish now.",
	      (double)unsent);
	gauge(p, "opmeter_fleet_failed_records",
	      "Records that the broker did not take from them; written again.", (double)failed);
	gauge(p, "opmeter_fleet_settings_unchecked",
	      "Aggregators that may not read the topics' settings, so nobody knows that they are right.",
	      (double)unchecked);
	gauge(p, "opmeter_fleet_lost_assignments",
	      "Assignments that hold, are no longer on the topic, and under whose key something older "
	      "stands.",
	      (double)lost);
}

static void put_snapshot(struct page *p, const struct snapshot *s)
{
	static const char *const groups[2] = { "model", "lineage" };
	uint64_t registers = 0;

	for (uint32_t i = 0; i < s->partitions; i++)
		registers += s->head[i].registers;
	timestamp(p, "opmeter_fleet_totals_timestamp_seconds",
		  "When the latest round of totals was published; an idle fleet publishes none.", s->time_ns);
	gauge(p, "opmeter_fleet_judge_epoch", "Epoch of the first partition: how often it changed hands.",
	      (double)s->head[0].epoch.number);
	gauge(p, "opmeter_fleet_registers", "Registers behind the totals.", (double)registers);
	om_openmetrics_family(p->m, "opmeter_fleet_subjects", "gauge", NULL, "Totals, by group.");
	for (int g = 0; g < 2; g++)
		om_openmetrics_sample(p->m, "opmeter_fleet_subjects",
				      (const char *const[]){ "group", groups[g], NULL }, (double)s->count[g]);
	put_refused(p, s);
	put_losses(p, s);
	put_instances(p, s);
}

static void add_total(struct tenant_sum *t, const struct om_subject_total *s)
{
	opcount_add_saturating(&t->figure[0], s->training_low);
	opcount_add_saturating(&t->figure[1], s->training_high);
	opcount_add_saturating(&t->figure[2], s->all_low);
	opcount_add_saturating(&t->figure[3], s->all_high);
}

static int compare_sums(const void *x, const void *y)
{
	const struct tenant_sum *a = x, *b = y;

	if (a->figure[3] != b->figure[3])
		return a->figure[3] < b->figure[3] ? 1 : -1;
	return strcmp(a->tenant, b->tenant);
}

/* Models stand by tenant. NULL: out of memory. */
static struct tenant_sum *sum_tenants(const struct snapshot *s, size_t *ret_count)
{
	struct tenant_sum *sum = calloc(s->count[OM_GROUP_MODEL] + 1, sizeof(*sum));
	size_t n = 0;

	for (size_t i = 0; sum && i < s->count[OM_GROUP_MODEL]; i++) {
		const struct om_subject_total *t = &s->total[OM_GROUP_MODEL][i];

		if (!n || strcmp(sum[n - 1].tenant, t->tenant))
			sum[n++].tenant = t->tenant;
		add_total(&sum[n - 1], t);
	}
	if (n)
		qsort(sum, n, sizeof(*sum), compare_sums);
	*ret_count = n;
	return sum;
}

static void put_figures(struct page *p, const char *name, const struct tenant_sum *t)
{
	for (size_t k = 0; k < ARRAY_SIZE(figures); k++) {
		const char *labels[] = { "work",
					 figures[k].what,
					 "bound",
					 figures[k].bound,
					 t->tenant ? "tenant" : NULL,
					 t->tenant,
					 NULL };

		om_openmetrics_sample(p->m, name, labels,
				      api_metrics_round(t->figure[k], figures[k].rounds_down));
	}
}

static int put_tenants(struct page *p, const struct snapshot *s)
{
	size_t count, top = p->c->api->config->tenants_max;
	_cleanup_free_ struct tenant_sum *sum = sum_tenants(s, &count);
	struct tenant_sum rest = { 0 };

	if (!sum)
		return -ENOMEM;
	om_openmetrics_family(
		p->m, "opmeter_tenant_operations", "gauge", "operations",
		"Operations of the tenants with the most; low is rounded down, high up, to a double.");
	for (size_t i = 0; i < count && i < top; i++)
		put_figures(p, "opmeter_tenant_operations", &sum[i]);
	for (size_t i = top; i < count; i++)
		for (size_t k = 0; k < ARRAY_SIZE(figures); k++)
			opcount_add_saturating(&rest.figure[k], sum[i].figure[k]);
	om_openmetrics_family(p->m, "opmeter_tenants_rest_operations", "gauge", "operations",
			      "Operations of all tenants that are not named.");
	put_figures(p, "opmeter_tenants_rest_operations", &rest);
	gauge(p, "opmeter_tenants", "Tenants with a total.", (double)count);
	gauge(p, "opmeter_tenants_rest", "Tenants that are not named.",
	      count > top ? (double)(count - top) : 0);
	return 0;
}

/* How near the nearest model or lineage is to each threshold that holds today: as many samples as regimes. */
static void put_nearest(struct page *p, const struct snapshot *s)
{
	const struct regimes *all = p->c->api->law.regimes;
	int32_t today = (int32_t)(fleet_now_ns(CLOCK_REALTIME) / 86400000000000ULL);
	opcount low = 0, high = 0;

	for (int g = 0; g < 2; g++)
		for (size_t i = 0; i < s->count[g]; i++) {
			low = opcount_max(low, s->total[g][i].training_low);
			high = opcount_max(high, s->total[g][i].training_high);
		}
	om_openmetrics_family(
		p->m, "opmeter_regime_nearest_ratio", "gauge", "ratio",
		"The largest training total of one model or lineage, as a share of the threshold.");
	for (size_t i = 0; i < regimes_count(all); i++) {
		const struct regime *r = regimes_at(all, i);
		struct regime_limit limit = regime_limit_of(r);
		opcount figure = regime_limit_figure(&limit, 1000000);

		if (r->kind != REGIME_THRESHOLD || r->threshold_missing || !regime_holds_on(r, today) ||
		    !figure)
			continue;
		om_openmetrics_sample(p->m, "opmeter_regime_nearest_ratio",
				      (const char *const[]){ "regime", r->id, "bound", "low", NULL },
				      opcount_to_double(low) / opcount_to_double(figure));
		om_openmetrics_sample(p->m, "opmeter_regime_nearest_ratio",
				      (const char *const[]){ "regime", r->id, "bound", "high", NULL },
				      opcount_to_double(high) / opcount_to_double(figure));
	}
}

static void put_nearest_now(struct page *p, const struct snapshot *s)
{
	pthread_rwlock_rdlock(&p->c->api->law_lock);
	put_nearest(p, s);
	pthread_rwlock_unlock(&p->c->api->law_lock);
}

static void put_alerts(struct page *p)
{
	struct api_alerts *a = &p->c->api->alerts;
	uint64_t said[API_SEVERITIES], dropped;

	pthread_mutex_lock(&a->lock);
	memcpy(said, a->said, sizeof(said));
	dropped = a->dropped;
	pthread_mutex_unlock(&a->lock);
	om_openmetrics_family(p->m, "opmeter_fleet_alerts", "gauge", NULL,
			      "Alerts that were said, by severity.");
	for (int i = 0; i < API_SEVERITIES; i++)
		om_openmetrics_sample(p->m, "opmeter_fleet_alerts",
				      (const char *const[]){ "severity", api_severity_names[i], NULL },
				      (double)said[i]);
	gauge(p, "opmeter_fleet_alerts_dropped", "Older alerts that this instance has no room for.",
	      (double)dropped);
}

static void put_api(struct page *p)
{
	struct api *a = p->c->api;

	om_openmetrics_family(p->m, "opmeter_api_answers", "counter", NULL, "Answers, by class of status.");
	for (int i = 2; i < 6; i++) {
		const char class[] = { (char)('0' + i), 'x', 'x', '\0' };

		om_openmetrics_sample(p->m, "opmeter_api_answers_total",
				      (const char *const[]){ "code", class, NULL },
				      (double)atomic_load(&a->answered[i]));
	}
	om_openmetrics_family(p->m, "opmeter_api_cut_off", "counter", NULL,
			      "Connections that took too long for a request.");
	om_openmetrics_sample(p->m, "opmeter_api_cut_off_total", NULL, (double)atomic_load(&a->cut_off));
	gauge(p, "opmeter_api_connections", "Connections now.", api_http_connections(a->http));
}

/* What this instance has read of the processes topic, as the judge reads it. */
static void put_jobs(struct page *p)
{
	struct processes_state s;
	struct together_counts n;
	struct api_jobs_counts jobs;

	api_jobs_state(p->c->api->jobs, &s, &n, &jobs);
	gauge(p, "opmeter_fleet_jobs_over_nodes", "Jobs whose processes are of several ledgers.",
	      (double)jobs.over_nodes);
	gauge(p, "opmeter_fleet_jobs_serving", "Job instances that serve the learning of others.",
	      (double)jobs.serving);
	gauge(p, "opmeter_fleet_job_lineages", "Lineages of several job instances.", (double)jobs.lineages);
	gauge(p, "opmeter_fleet_processes", "Processes whose records are kept.", (double)n.processes);
	gauge(p, "opmeter_fleet_processes_missing", "Whether the topic of processes cannot be read.",
	      s.is_missing);
	gauge(p, "opmeter_fleet_processes_forgotten", "Records that there was no room for.",
	      (double)n.forgotten);
	om_openmetrics_family(p->m, "opmeter_fleet_processes_refused", "gauge", NULL,
			      "Records of processes that were refused, by cause.");
	for (int i = 1; i < REFUSAL_END; i++)
		if (s.refused[i])
			om_openmetrics_sample(
				p->m, "opmeter_fleet_processes_refused",
				(const char *const[]){ "cause", refusal_name((enum refusal)i), NULL },
				(double)s.refused[i]);
}

int answer_metrics(struct call *c)
{
	struct page p = { .c = c, .m = om_openmetrics_page() };
	int r = 0;

	if (!p.m)
		return -ENOMEM;
	follow_state(c->api->follow, &p.state);
	c->snapshot = follow_snapshot(c->api->follow);
	om_openmetrics_begin(p.m, SAMPLES_MAX);
	put_state(&p);
	put_alerts(&p);
	put_api(&p);
	put_jobs(&p);
	if (c->snapshot) {
		put_snapshot(&p, c->snapshot);
		put_nearest_now(&p, c->snapshot);
		r = put_tenants(&p, c->snapshot);
	}
	om_openmetrics_commit(p.m);
	free(c->rq->body);
	c->rq->body = om_openmetrics_take(p.m);
	c->rq->body_len = c->rq->body ? strlen(c->rq->body) : 0;
	c->rq->status = 200;
	c->rq->type = TYPE;
	om_openmetrics_free(p.m);
	return r;
}
