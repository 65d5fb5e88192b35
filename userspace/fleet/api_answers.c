// SPDX-License-Identifier: Apache-2.0
/*
 * From a request to an answer: who asks, what for, and what of it they may see. What a
 * token may not see is refused before anything is looked up, so that a refusal tells nothing.
 */
#include "api_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"
#define RETRY_S 5

int body_open(struct body *b)
{
	*b = (struct body){ 0 };
	b->f = open_memstream(&b->text, &b->len);
	return b->f ? 0 : -ENOMEM;
}

void body_close(struct body *b, struct api_request *rq)
{
	bool is_bad = ferror(b->f) != 0;

	is_bad |= fclose(b->f) != 0;
	free(rq->body);
	rq->body = is_bad ? NULL : TAKE_PTR(b->text);
	rq->body_len = b->len;
	if (is_bad)
		free(b->text);
	rq->status = 200;
	rq->type = JSON_TYPE;
	rq->retry_after_s = 0;
}

static const char *title_of(unsigned status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 410:
		return "Gone";
	case 414:
		return "URI Too Long";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

int answer_problem(struct api_request *rq, unsigned status, const char *reason, const char *detail, ...)
{
	char text[600];
	json_t *o;
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	o = json_pack("{s:s,s:i,s:s,s:s}", "title", title_of(status), "status", (int)status, "reason", reason,
		      "detail", text);
	free(rq->body);
	rq->body = o ? json_dumps(o, JSON_COMPACT) : NULL;
	rq->body_len = rq->body ? strlen(rq->body) : 0;
	json_decref(o);
	rq->status = status;
	rq->type = PROBLEM_TYPE;
	rq->retry_after_s = status == 503 ? RETRY_S : 0;
	return 0;
}

int check_params(struct call *c, const char *const *known)
{
	const char *name = api_query_unknown(&c->query, known);
	size_t n = name ? strlen(name) : 0;

	/* Never a part of a character: the answer is JSON. */
	for (n = n > 60 ? 60 : n; name && ((unsigned char)name[n] & 0xc0) == 0x80;)
		n--;
	if (name)
		answer_problem(c->rq, 400, "unknown-parameter", "There is no parameter '%.*s' here.", (int)n,
			       name);
	return name != NULL;
}

int number_param(struct call *c, const char *name, uint64_t max, uint64_t *io)
{
	const char *text = api_query_get(&c->query, name);
	char *end = NULL;
	unsigned long long v;

	if (!text)
		return 0;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || v < 1 || v > max) {
		answer_problem(c->rq, 400, "bad-parameter", "'%s' is a number from 1 to %llu.", name,
			       (unsigned long long)max);
		return 1;
	}
	*io = v;
	return 0;
}

const char *as_of(const struct call *c, const char *whole, const char *brief)
{
	return api_token_may_all(c->token) ? whole : brief;
}

void put_cursor(FILE *f, const char *cursor)
{
	if (*cursor)
		fprintf(f, "\"next\":\"%s\"}", cursor);
	else
		fputs("\"next\":null}", f);
}

int refuse_cursor(struct call *c)
{
	return answer_problem(c->rq, 400, "bad-cursor",
			      "This cursor is none of ours, or of another question.");
}

int refuse_scope(struct call *c)
{
	return answer_problem(c->rq, 403, "not-in-scope", "This token's scope does not cover that.");
}

bool group_param(const struct call *c, enum om_group *ret)
{
	const char *group = api_query_get(&c->query, "group") ?: "model";

	*ret = strcmp(group, "lineage") ? OM_GROUP_MODEL : OM_GROUP_LINEAGE;
	return *ret == OM_GROUP_LINEAGE || !strcmp(group, "model");
}

bool may_group(const struct call *c, enum om_group group, const char *tenant)
{
	if (group == OM_GROUP_LINEAGE)
		return api_token_may_all(c->token);
	return !tenant || api_token_may_tenant(c->token, tenant);
}

int subject_of(struct call *c, enum om_group *ret_group, const char **ret_first, const char **ret_second)
{
	const struct api_query *q = &c->query;

	if (!strcmp(q->segment[1], "models")) {
		*ret_group = OM_GROUP_MODEL;
		*ret_first = q->segment[2];
		*ret_second = q->segment[3];
		if (api_token_may_tenant(c->token, *ret_first))
			return 0;
	} else {
		*ret_group = OM_GROUP_LINEAGE;
		*ret_first = q->segment[2];
		*ret_second = "";
		if (api_token_may_all(c->token))
			return 0;
	}
	refuse_scope(c);
	return 1;
}

struct alerts_page {
	FILE *f;
	const struct api_token *token;
	size_t count;
	char last_time[24], last_id[OM_ID_STRLEN];
};

static int put_alert(void *ctx, const struct api_alert *one)
{
	struct alerts_page *p = ctx;
	bool is_whole = api_token_may_all(p->token);

	fprintf(p->f, "%s{\"severity\":\"%s\",\"shadow\":%s,\"event\":%s}", p->count++ ? "," : "",
		api_severity_names[one->severity], one->is_shadow ? "true" : "false",
		is_whole ? one->event : one->told);
	snprintf(p->last_time, sizeof(p->last_time), "%llu", (unsigned long long)one->time_ns);
	memcpy(p->last_id, one->id, sizeof(p->last_id));
	return 0;
}

static int take_alerts_filters(struct call *c, struct api_alerts_ask *ask)
{
	const char *severity = api_query_get(&c->query, "severity");
	const char *since = api_query_get(&c->query, "since");
	int i = 0;

	ask->tenant = api_query_get(&c->query, "tenant");
	ask->type = api_query_get(&c->query, "type");
	ask->token = c->token;
	while (severity && i < API_SEVERITIES && strcmp(severity, api_severity_names[i]))
		i++;
	ask->has_severity = severity != NULL;
	ask->severity = (enum api_severity)i;
	if (i == API_SEVERITIES || (since && om_time_parse(since, &ask->since_ns))) {
		answer_problem(c->rq, 400, "bad-parameter",
			       "'severity' is info, warning or critical; 'since' a time such as "
			       "2026-11-23T18:00:00Z.");
		return 1;
	}
	if (ask->tenant && !api_token_may_tenant(c->token, ask->tenant)) {
		refuse_scope(c);
		return 1;
	}
	return 0;
}

int answer_alerts(struct call *c)
{
	static const char *const known[] = { "tenant", "severity", "type", "since", "limit", "cursor", NULL };
	const char *text = api_query_get(&c->query, "cursor"), *name[API_CURSOR_NAMES];
	char buf[API_CURSOR_MAX], next[API_CURSOR_MAX] = "";
	struct api_alerts_ask ask = { 0 };
	struct alerts_page page = { 0 };
	uint64_t limit = 100, dropped;
	struct body b;
	bool has_more;
	int r;

	if (check_params(c, known) || number_param(c, "limit", 1000, &limit) || take_alerts_filters(c, &ask))
		return 0;
	ask.limit = limit;
	if (text && (api_cursor_decode(text, name, buf) || strcmp(name[0], "alert") ||
		     om_parse_u64(name[1], &ask.after_ns) || strlen(name[2]) >= OM_ID_STRLEN))
		return refuse_cursor(c);
	ask.after_id = text ? name[2] : NULL;
	if (body_open(&b))
		return -ENOMEM;
	fprintf(b.f, "{\"as_of\":%s,\"alerts\":[", as_of(c, c->snapshot->as_of, c->snapshot->brief));
	page.f = b.f;
	page.token = c->token;
	r = api_alerts_each(&c->api->alerts, &ask, put_alert, &page, &has_more);
	dropped = api_alerts_dropped(&c->api->alerts);
	if (has_more)
		r = api_cursor_encode((const char *const[]){ "alert", page.last_time, page.last_id }, next);
	fputs("],", b.f);
	if (api_token_may_all(c->token))
		fprintf(b.f, "\"dropped\":\"%llu\",", (unsigned long long)dropped);
	put_cursor(b.f, next);
	body_close(&b, c->rq);
	return r;
}

static void answer_health(struct call *c)
{
	struct follow_state s;
	struct body b;

	follow_state(c->api->follow, &s);
	if (s.is_ready && !body_open(&b)) {
		fputs("{\"status\":\"ok\"}", b.f);
		body_close(&b, c->rq);
	} else {
		/* Why, and of which broker, is not for everybody: the log and who has a token are told. */
		answer_problem(c->rq, 503, "not-ready", "There are no figures to give yet.");
	}
}

/* What anybody may ask. False: it is none of that. */
static bool answer_open(struct call *c)
{
	const struct api_query *q = &c->query;

	if (q->segments != 1 || (strcmp(q->segment[0], "healthz") && strcmp(q->segment[0], "livez") &&
				 strcmp(q->segment[0], "openapi.json")))
		return false;
	if (check_params(c, (const char *const[]){ NULL }))
		return true;
	c->rq->status = 200;
	c->rq->type = JSON_TYPE;
	if (!strcmp(q->segment[0], "healthz"))
		answer_health(c);
	else
		c->rq->fixed = strcmp(q->segment[0], "livez") ? api_openapi_json : "{\"status\":\"ok\"}";
	return true;
}

static const struct api_token *token_of(const struct call *c)
{
	static const char scheme[] = "Bearer ";
	const char *text = c->rq->authorization;

	if (!text || strncasecmp(text, scheme, sizeof(scheme) - 1))
		return NULL;
	return api_tokens_find(c->api->tokens, text + sizeof(scheme) - 1);
}

static const struct route {
	const char *collection;
	size_t segments;
	const char *last; /* NULL: the subject itself, or the collection */
	int (*answer)(struct call *c);
} routes[] = {
	{ "totals", 2, NULL, answer_totals },
	{ "alerts", 2, NULL, answer_alerts },
	{ "forecasts", 2, NULL, answer_forecasts },
	{ "jobs", 4, NULL, answer_job },
	{ "job-lineages", 2, NULL, answer_job_lineages },
	{ "models", 4, NULL, answer_total },
	{ "models", 5, "series", answer_series },
	{ "models", 5, "registers", answer_registers },
	{ "lineages", 3, NULL, answer_total },
	{ "lineages", 4, "series", answer_series },
	{ "lineages", 4, "registers", answer_registers },
};

static const struct route *route_of(const struct api_query *q)
{
	for (size_t i = 0; q->segments > 1 && !strcmp(q->segment[0], "v1") && i < ARRAY_SIZE(routes); i++)
		if (!strcmp(q->segment[1], routes[i].collection) && q->segments == routes[i].segments &&
		    (!routes[i].last || !strcmp(q->segment[q->segments - 1], routes[i].last)))
			return &routes[i];
	return NULL;
}

static int answer_route(struct call *c)
{
	const struct route *route = route_of(&c->query);
	struct follow_state s;

	if (!route)
		return answer_problem(c->rq, 404, "no-such-path",
				      "There is nothing here: /openapi.json lists what "
				      "there is.");
	/* A token for metrics only covers nothing else. */
	if (!api_token_may_all(c->token) && !api_token_tenants(c->token))
		return refuse_scope(c);
	c->snapshot = follow_snapshot(c->api->follow);
	if (!c->snapshot) {
		follow_state(c->api->follow, &s);
		return answer_problem(c->rq, 503, "not-ready", "%s",
				      !api_token_may_all(c->token) ? "There are no figures to give yet."
				      : s.reason[0]		   ? s.reason
								   : "Not yet begun.");
	}
	return route->answer(c);
}

static int answer_as(struct call *c)
{
	const struct api_query *q = &c->query;

	c->token = token_of(c);
	if (!c->token)
		return answer_problem(c->rq, 401, "no-token",
				      "A token is needed: Authorization: Bearer TOKEN.");
	if (q->segments == 1 && !strcmp(q->segment[0], "metrics"))
		return !api_token_may_metrics(c->token)			? refuse_scope(c)
		       : check_params(c, (const char *const[]){ NULL }) ? 0
									: answer_metrics(c);
	return answer_route(c);
}

int api_answer(struct api *a, struct api_request *rq, struct study_ask *ret_ask)
{
	struct call c = { .api = a, .rq = rq, .ask = ret_ask };
	const char *why = NULL;
	int r = rq->is_too_long ? -E2BIG : api_query_parse(rq->target, rq->target_len, &c.query, &why);

	if (r == -E2BIG)
		answer_problem(rq, 414, "too-long", "At most %d bytes, %d parts and %d parameters.",
			       API_TARGET_MAX - API_PARAMS_MAX, API_SEGMENTS_MAX, API_PARAMS_MAX);
	else if (r)
		answer_problem(rq, 400, "bad-target", "The target is not taken: %s.", why ?: "");
	if (r || answer_open(&c))
		return 0;
	pthread_rwlock_rdlock(&a->tokens_lock);
	r = answer_as(&c);
	pthread_rwlock_unlock(&a->tokens_lock);
	snapshot_unref(c.snapshot);
	if (r < 0)
		answer_problem(rq, 500, "failed", "The answer could not be made: %s.", strerror(-r));
	return r > 0;
}
