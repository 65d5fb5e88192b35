// SPDX-License-Identifier: Apache-2.0
/* Answers of what stands behind totals: days, registers, forecasts. */
#include "api_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/yaml.h"
#include "../core/forecast_json.h"
#include "../core/hex.h"
#include "../core/reading_json.h"

#define DAY_NS 86400000000000ULL
#define CURSOR_REGISTER "register"
#define CURSOR_FORECAST "forecast"
#define CURSOR_JOB "job"

static int problem_of(struct call *c)
{
	switch (c->rq->study_error) {
	case -ETIMEDOUT:
		return answer_problem(c->rq, 503, "read-time",
				      "The topics were not read to their ends within --read-time.");
	case -E2BIG:
		return answer_problem(c->rq, 503, "too-many-registers",
				      "There are more registers behind that than --registers-max.");
	case -EDQUOT:
		return answer_problem(c->rq, 503, "busy",
				      "This token waits for too much that has to be read.");
	case -EBUSY:
	case -ECANCELED:
		return answer_problem(c->rq, 503, "busy",
				      "Too many ask for what has to be read, or the server ends.");
	default:
		return answer_problem(c->rq, 503, "not-read", "The topics could not be read: %s.",
				      strerror(-c->rq->study_error));
	}
}

/* 0: c->rq->study is there; 1: it has to be read; 2: answered with a problem. reading: the id that a cursor
 * names;
 * "": none. */
static int want(struct call *c, const char *reading)
{
	if (c->rq->study_error) {
		problem_of(c);
		return 2;
	}
	if (!c->rq->study)
		c->rq->study = studies_have(c->api->studies, c->ask, *reading ? reading : NULL);
	snprintf(c->rq->asker, sizeof(c->rq->asker), "%s", api_token_name(c->token));
	if (!c->rq->study)
		return 1;
	if (!*reading || !strcmp(reading, c->rq->study->id))
		return 0;
	answer_problem(c->rq, 410, "other-reading",
		       "What this cursor goes on in is no longer kept, and something came since: begin again "
		       "with the "
		       "first page.");
	return 2;
}

static int set_ask(struct call *c, enum om_group group, const char *first, const char *second, unsigned wants,
		   const char *reading)
{
	*c->ask = (struct study_ask){ .group = group, .wants = wants };
	if (strlen(first) >= sizeof(c->ask->first) || strlen(second) >= sizeof(c->ask->second))
		return answer_problem(c->rq, 404, "no-such-total", "There is no such total."), 2;
	snprintf(c->ask->first, sizeof(c->ask->first), "%s", first);
	snprintf(c->ask->second, sizeof(c->ask->second), "%s", second);
	return want(c, reading);
}

/* A page goes on in the reading that the page before was made of: its cursor names it, behind the kind. */
static int encode_place(const char *kind, const struct study *s, const char *first, const char *second,
			char cursor[API_CURSOR_MAX])
{
	char both[64];

	snprintf(both, sizeof(both), "%s %s", kind, s->id);
	return api_cursor_encode((const char *const[]){ both, first, second }, cursor);
}

/* 0 and the reading, "" without a cursor; 1: answered with a problem. */
static int decode_place(struct call *c, const char *kind, const char *name[API_CURSOR_NAMES],
			char buf[API_CURSOR_MAX], const char **ret_reading)
{
	const char *text = api_query_get(&c->query, "cursor");
	size_t n = strlen(kind);

	*ret_reading = "";
	if (!text)
		return 0;
	if (api_cursor_decode(text, name, buf) == 0 && !strncmp(name[0], kind, n) && name[0][n] == ' ' &&
	    strlen(name[0] + n + 1) == STUDY_ID_STRLEN - 1) {
		*ret_reading = name[0] + n + 1;
		return 0;
	}
	refuse_cursor(c);
	return 1;
}

/* How much was read, and from where, is of the whole fleet: not for who may see some tenants only. */
static void put_read(struct call *c, FILE *f)
{
	const struct study *s = c->rq->study;
	char time[OM_TIME_STRLEN];

	fprintf(f, "\"read\":{\"id\":\"%s\",\"time\":\"%s\"", s->id, om_time_format(s->time_ns, time));
	if (!api_token_may_all(c->token)) {
		fputc('}', f);
		return;
	}
	fprintf(f, ",\"records\":\"%" PRIu64 "\",\"refused\":\"%" PRIu64 "\",\"partitions\":[", s->records,
		s->refused);
	for (uint32_t i = 0; i < s->partitions; i++)
		fprintf(f,
			"%s{\"partition\":%" PRIu32 ",\"readings\":\"%" PRId64 "\",\"assignments\":\"%" PRId64
			"\",\"carry\":\"%" PRId64 "\"}",
			i ? "," : "", i, s->offset[i].readings, s->offset[i].assignments, s->offset[i].carry);
	fputs("]}", f);
}

static void put_bounds(FILE *f, const char *name, const opcount v[3])
{
	char low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN], ceiling[OPCOUNT_STRLEN];

	fprintf(f, "\"%s\":{\"low\":\"%s\",\"high\":\"%s\",\"ceiling\":\"%s\"}", name,
		opcount_format(v[0], low), opcount_format(v[1], high), opcount_format(v[2], ceiling));
}

static void put_sum(FILE *f, const char *name, const opcount v[STUDY_FIGURES])
{
	char registers[OPCOUNT_STRLEN];

	fprintf(f, "\"%s\":{", name);
	put_bounds(f, "training", v);
	fputc(',', f);
	put_bounds(f, "all", v + 3);
	fprintf(f, ",\"registers\":\"%s\"}", opcount_format(v[6], registers));
}

static void put_check(FILE *f, const struct study *s)
{
	fprintf(f, "\"check\":{\"agrees\":\"%s\",", study_agrees_names[s->agrees]);
	put_sum(f, "sum", s->sum);
	fputc(',', f);
	put_sum(f, "before", s->before);
	fputc(',', f);
	put_sum(f, "after", s->after);
	fputc('}', f);
}

/* Answers what both have in common: as_of, read, check. 0; else answered, or to be read first. */
static int begin_of(struct call *c, enum om_group group, const char *first, const char *second,
		    unsigned wants, const char *reading, struct body *b)
{
	int r;

	/* What nobody knows is not worth a reading. */
	if (!c->rq->study && !c->rq->study_error && !snapshot_find(c->snapshot, group, first, second))
		return answer_problem(c->rq, 404, "no-such-total", "There is no such total."), 2;
	r = set_ask(c, group, first, second, wants, reading);
	if (r)
		return r;
	if (!c->rq->study->has_total && !study_find(c->rq->study, first, second))
		return answer_problem(c->rq, 404, "no-such-total", "There is no such total."), 2;
	if (body_open(b))
		return -ENOMEM;
	fprintf(b->f, "{\"as_of\":%s,", as_of(c, c->rq->study->as_of, c->rq->study->brief));
	put_read(c, b->f);
	fputc(',', b->f);
	put_check(b->f, c->rq->study);
	return 0;
}

/* The same of the subject that the path names. */
static int begin(struct call *c, unsigned wants, const char *reading, struct body *b)
{
	const char *first, *second;
	enum om_group group;

	if (subject_of(c, &group, &first, &second))
		return 2;
	return begin_of(c, group, first, second, wants, reading, b);
}

/* 0; 1: answered with a problem. */
static int day_param(struct call *c, const char *name, int32_t *io)
{
	const char *text = api_query_get(&c->query, name);

	if (!text || date_parse(text, io) == 0)
		return 0;
	answer_problem(c->rq, 400, "bad-parameter", "'%s' is a day such as 2026-11-23.", name);
	return 1;
}

static int outcome(int r)
{
	return r == 2 ? 0 : r;
}

int answer_series(struct call *c)
{
	static const char *const known[] = { "from", "to", NULL };
	int32_t from = INT32_MIN, to = INT32_MAX;
	const struct study_subject *u;
	opcount sum[STUDY_FIGURES] = { 0 };
	const char *before = "";
	struct body b;
	int r;

	if (check_params(c, known) || day_param(c, "from", &from) || day_param(c, "to", &to))
		return 0;
	r = begin(c, 0, "", &b);
	if (r)
		return outcome(r);
	fputs(",\"days\":[", b.f);
	u = study_find(c->rq->study, c->ask->first, c->ask->second);
	for (size_t i = 0; u && i < u->days; i++) {
		const struct study_day *d = &u->day[i];
		char day[16];

		for (int k = 0; k < STUDY_FIGURES; k++)
			opcount_add_saturating(&sum[k], d->figure[k]);
		if ((int32_t)d->day < from || (int32_t)d->day > to)
			continue;
		fprintf(b.f, "%s{\"day\":\"%s\",", before, date_format((int32_t)d->day, day));
		put_bounds(b.f, "training", sum);
		fputc(',', b.f);
		put_bounds(b.f, "all", sum + 3);
		fputc(',', b.f);
		put_bounds(b.f, "training_day", d->figure);
		fputc(',', b.f);
		put_bounds(b.f, "all_day", d->figure + 3);
		fputc('}', b.f);
		before = ",";
	}
	fputs("]}", b.f);
	body_close(&b, c->rq);
	return 0;
}

/* Where a page begins: 0; 1: answered with a problem. reading: into buf. */
static int registers_at(struct call *c, char buf[API_CURSOR_MAX], const char **ret_reading,
			uint8_t ret_after[OM_REGISTER_KEY_SIZE])
{
	const char *name[API_CURSOR_NAMES];

	if (decode_place(c, CURSOR_REGISTER, name, buf, ret_reading))
		return 1;
	if (!**ret_reading || (strlen(name[1]) == 2 * OM_REGISTER_KEY_SIZE &&
			       om_unhex(name[1], ret_after, OM_REGISTER_KEY_SIZE) == 0))
		return 0;
	refuse_cursor(c);
	return 1;
}

static int put_register(FILE *f, const struct study_register *g, bool is_first)
{
	_cleanup_(json_decrefp) json_t *o =
		json_pack("{s:s,s:s,s:s,s:o}", "tenant", g->tenant, "model", g->model, "phase",
			  om_phase_name(g->phase), "reading", om_reading_to_json(&g->reading));
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text)
		fprintf(f, "%s%s", is_first ? "" : ",", text);
	return text ? 0 : -ENOMEM;
}

int answer_registers(struct call *c)
{
	static const char *const known[] = { "limit", "cursor", NULL };
	uint8_t after[OM_REGISTER_KEY_SIZE];
	char key[2 * OM_REGISTER_KEY_SIZE + 1], cursor[API_CURSOR_MAX] = "", buf[API_CURSOR_MAX];
	const char *reading;
	const struct study *s;
	uint64_t limit = 100, n = 0;
	struct body b;
	int r;

	if (check_params(c, known) || number_param(c, "limit", 10000, &limit) ||
	    registers_at(c, buf, &reading, after))
		return 0;
	r = begin(c, STUDY_REGISTERS, reading, &b);
	if (r)
		return outcome(r);
	s = c->rq->study;
	fputs(",\"registers\":[", b.f);
	for (size_t i = 0; r == 0 && i < s->registers; i++) {
		const struct study_register *g = &s->reg[i];

		if (*reading && memcmp(g->key, after, sizeof(after)) <= 0)
			continue;
		if (n == limit) {
			r = encode_place(CURSOR_REGISTER, s, om_hex(s->reg[i - 1].key, sizeof(after), key),
					 "", cursor);
			break;
		}
		r = put_register(b.f, g, n++ == 0);
	}
	fputs("],", b.f);
	put_cursor(b.f, cursor);
	body_close(&b, c->rq);
	return r;
}

/* Which total's jobs are asked for: 0; 1: answered with a problem. */
static int take_jobs_ask(struct call *c, enum om_group *ret_group, const char **ret_first,
			 const char **ret_second)
{
	static const char *const known[] = { "group", "tenant", "model", "lineage", "limit", "cursor", NULL };
	const char *tenant = api_query_get(&c->query, "tenant"), *model = api_query_get(&c->query, "model");
	const char *lineage = api_query_get(&c->query, "lineage");

	if (check_params(c, known))
		return 1;
	if (lineage ? tenant || model : !tenant || !model) {
		answer_problem(c->rq, 400, "bad-parameter",
			       "The jobs of one total: either 'tenant' and 'model', or 'lineage'.");
		return 1;
	}
	*ret_group = lineage ? OM_GROUP_LINEAGE : OM_GROUP_MODEL;
	*ret_first = lineage ?: tenant;
	*ret_second = model ?: "";
	if (may_group(c, *ret_group, tenant))
		return 0;
	refuse_scope(c);
	return 1;
}

/* A place among the jobs: ledger and job, and the tenant, for a lineage's job may be there once for each. */
static int compare_place(const struct study_job *j, const uint8_t key[STUDY_JOB_SIZE], const char *tenant)
{
	return memcmp(j->key, key, STUDY_JOB_SIZE) ?: strcmp(j->total.tenant, tenant);
}

static int put_jobs(struct call *c, FILE *f, uint64_t limit, const uint8_t *after, const char *after_tenant,
		    char cursor[API_CURSOR_MAX])
{
	const struct study *s = c->rq->study;
	char key[2 * STUDY_JOB_SIZE + 1];
	uint64_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->jobs; i++) {
		if (after && compare_place(&s->job[i], after, after_tenant) <= 0)
			continue;
		if (n == limit)
			return encode_place(CURSOR_JOB, s, om_hex(s->job[i - 1].key, STUDY_JOB_SIZE, key),
					    s->job[i - 1].total.tenant, cursor);
		r = put_job_total(f, &s->job[i], n++ == 0);
	}
	return r;
}

int answer_jobs(struct call *c)
{
	const char *name[API_CURSOR_NAMES], *reading, *first, *second;
	char cursor[API_CURSOR_MAX] = "", buf[API_CURSOR_MAX];
	uint8_t after[STUDY_JOB_SIZE];
	uint64_t limit = 100;
	enum om_group group;
	struct body b;
	int r;

	if (take_jobs_ask(c, &group, &first, &second) || number_param(c, "limit", 10000, &limit) ||
	    decode_place(c, CURSOR_JOB, name, buf, &reading))
		return 0;
	if (*reading && (strlen(name[1]) != 2 * STUDY_JOB_SIZE || om_unhex(name[1], after, STUDY_JOB_SIZE)))
		return refuse_cursor(c);
	r = begin_of(c, group, first, second, STUDY_JOBS, reading, &b);
	if (r)
		return outcome(r);
	fputs(",\"totals\":[", b.f);
	r = put_jobs(c, b.f, limit, *reading ? after : NULL, *reading ? name[2] : "", cursor);
	fputs("],", b.f);
	put_cursor(b.f, cursor);
	body_close(&b, c->rq);
	return r;
}

struct forecasting {
	struct call *c;
	FILE *f;
	enum om_group group;
	const char *tenant, *model, *lineage, *regime;
	uint64_t limit, horizon, rows;
	int32_t today;
	bool only_due;
	struct om_forecast_point *points;
};

/* 0; 1: answered with a problem. */
static int take_forecast_ask(struct forecasting *a)
{
	static const char *const known[] = { "group",	"tenant", "model", "lineage", "regime",
					     "horizon", "due",	  "limit", "cursor",  NULL };
	struct call *c = a->c;
	const char *due = api_query_get(&c->query, "due");
	bool is_group;

	if (check_params(c, known) || number_param(c, "horizon", 36500, &a->horizon) ||
	    number_param(c, "limit", 10000, &a->limit))
		return 1;
	a->tenant = api_query_get(&c->query, "tenant");
	a->model = api_query_get(&c->query, "model");
	a->lineage = api_query_get(&c->query, "lineage");
	a->regime = api_query_get(&c->query, "regime");
	is_group = group_param(c, &a->group);
	a->only_due = due && !strcmp(due, "true");
	if (!is_group || (due && !a->only_due && strcmp(due, "false")) ||
	    (a->group ? a->tenant || a->model : a->lineage || (a->model && !a->tenant))) {
		answer_problem(c->rq, 400, "bad-parameter",
			       "'group' is model or lineage; 'tenant' and, beside it, 'model' go with model, "
			       "'lineage' with lineage; 'due' is true or false.");
		return 1;
	}
	if (!may_group(c, a->group, a->tenant)) {
		refuse_scope(c);
		return 1;
	}
	return 0;
}

static int put_regimes(struct forecasting *a, const struct study_subject *u)
{
	const struct regimes *all = a->c->api->law.regimes;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < regimes_count(all); i++) {
		const struct regime *g = regimes_at(all, i);
		_cleanup_(json_decrefp) json_t *o =
			a->group ? json_pack("{s:s}", "lineage", u->first)
				 : json_pack("{s:s,s:s}", "tenant", u->first, "model", u->second);
		_cleanup_free_ char *text = NULL;

		if (a->regime && strcmp(a->regime, g->id))
			continue;
		r = o ? om_forecast_json(o, g, a->points, u->days, a->today, (uint32_t)a->horizon) : -ENOMEM;
		if (r || (a->only_due && !json_is_true(json_object_get(o, "notice_due"))))
			continue;
		text = json_dumps(o, JSON_COMPACT);
		if (!text)
			return -ENOMEM;
		fprintf(a->f, "%s%s", a->rows++ ? "," : "", text);
	}
	return r < 0 ? r : 0;
}

static int put_rows(struct forecasting *a, const struct study_subject *u)
{
	opcount low = 0, high = 0;
	int r;

	a->points = reallocarray(a->points, u->days + 1, sizeof(*a->points));
	if (!a->points)
		return -ENOMEM;
	for (size_t i = 0; i < u->days; i++) {
		opcount_add_saturating(&low, u->day[i].figure[0]);
		opcount_add_saturating(&high, u->day[i].figure[1]);
		a->points[i] = (struct om_forecast_point){ (int32_t)u->day[i].day, low, high };
	}
	pthread_rwlock_rdlock(&a->c->api->law_lock);
	r = put_regimes(a, u);
	pthread_rwlock_unlock(&a->c->api->law_lock);
	return r;
}

/* Whole subjects until there are rows enough. */
static int put_subjects(struct forecasting *a, const char *const *after, char cursor[API_CURSOR_MAX])
{
	const struct study *s = a->c->rq->study;
	const struct study_subject *last = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->subjects.count; i++) {
		const struct study_subject *u = s->sorted[i];
		int order = after ? strcmp(u->first, after[1]) ?: strcmp(u->second, after[2]) : 1;

		if (order <= 0 || (!a->group && !api_token_may_tenant(a->c->token, u->first)))
			continue;
		if (a->rows >= a->limit)
			return encode_place(CURSOR_FORECAST, s, last->first, last->second, cursor);
		r = put_rows(a, u);
		last = u;
	}
	return r;
}

int answer_forecasts(struct call *c)
{
	struct forecasting a = { .c = c,
				 .limit = 1000,
				 .horizon = 90,
				 .today = (int32_t)(fleet_now_ns(CLOCK_REALTIME) / DAY_NS) };
	const char *name[API_CURSOR_NAMES], *reading;
	char buf[API_CURSOR_MAX], next[API_CURSOR_MAX] = "", day[16];
	struct body b;
	int r;

	if (take_forecast_ask(&a) || decode_place(c, CURSOR_FORECAST, name, buf, &reading))
		return 0;
	r = set_ask(c, a.group, (a.group ? a.lineage : a.tenant) ?: "", a.model ?: "", 0, reading);
	if (r)
		return outcome(r);
	if (body_open(&b))
		return -ENOMEM;
	a.f = b.f;
	fprintf(b.f, "{\"as_of\":%s,", as_of(c, c->rq->study->as_of, c->rq->study->brief));
	put_read(c, b.f);
	fprintf(b.f, ",\"today\":\"%s\",\"forecasts\":[", date_format(a.today, day));
	r = put_subjects(&a, *reading ? name : NULL, next);
	fputs("],", b.f);
	put_cursor(b.f, next);
	body_close(&b, c->rq);
	free(a.points);
	return r;
}
