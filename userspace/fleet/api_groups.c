// SPDX-License-Identifier: Apache-2.0
/*
 * Totals by other names than those they are kept under: tenants and families are sums of models' totals, made
 * of one state for one answer; the jobs of a total are read on demand, as its registers are.
 */
#include "api_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../core/policy.h"

/* The total's JSON without the names that are not its own. */
static json_t *nameless(const struct om_subject_total *t, const char *group)
{
	struct om_subject_total copy = *t;
	json_t *o;

	copy.group = OM_GROUP_MODEL;
	copy.until_count = 0;
	o = om_total_json(&copy, -1);
	json_object_del(o, "tenant");
	json_object_del(o, "model");
	json_object_set_new(o, "group", json_string(group));
	return o;
}

/* Takes the object; NULL: out of memory. */
static int put(FILE *f, json_t *o, bool is_first)
{
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!text)
		return -ENOMEM;
	fprintf(f, "%s%s", is_first ? "" : ",", text);
	return 0;
}

/* What the groups that are sums have in common. */
struct page {
	struct call *c;
	FILE *f;
	uint64_t limit, count;
	const char *after; /* the last name of the page before; NULL: none */
	char buf[API_CURSOR_MAX], next[API_CURSOR_MAX];
};

/* 0; 1: answered with a problem. */
static int take_page(struct page *p, const char *group)
{
	const char *text = api_query_get(&p->c->query, "cursor"), *name[API_CURSOR_NAMES];

	p->limit = 100;
	if (number_param(p->c, "limit", 10000, &p->limit))
		return 1;
	if (!text)
		return 0;
	if (api_cursor_decode(text, name, p->buf) || strcmp(name[0], group)) {
		refuse_cursor(p->c);
		return 1;
	}
	p->after = name[1];
	return 0;
}

static int open_page(struct page *p, struct body *b)
{
	const struct snapshot *s = p->c->snapshot;

	if (body_open(b))
		return -ENOMEM;
	p->f = b->f;
	fprintf(b->f, "{\"as_of\":%s,\"totals\":[", as_of(p->c, s->as_of, s->brief));
	return 0;
}

static void close_page(struct page *p, struct body *b)
{
	fputs("],", b->f);
	put_cursor(b->f, p->next);
	body_close(b, p->c->rq);
}

/* --- tenants --- */

/* The models of a tenant stand together: the index behind the last one. */
static size_t add_models(const struct snapshot *s, size_t from, struct om_subject_total *ret)
{
	size_t i = from + 1;

	*ret = s->total[OM_GROUP_MODEL][from];
	for (; i < s->count[OM_GROUP_MODEL] && !strcmp(s->total[OM_GROUP_MODEL][i].tenant, ret->tenant); i++)
		om_subject_total_add(ret, &s->total[OM_GROUP_MODEL][i]);
	return i;
}

static int put_tenant(struct page *p, const struct om_subject_total *t, size_t models)
{
	json_t *o = nameless(t, "tenant");

	if (o) {
		json_object_set_new(o, "tenant", json_string(t->tenant));
		json_object_set_new(o, "models", json_integer((json_int_t)models));
		if (silence_put(p->c->snapshot->silence, t, o)) {
			json_decref(o);
			return -ENOMEM;
		}
	}
	return put(p->f, o, p->count++ == 0);
}

static int put_tenants(struct page *p, const char *only)
{
	const struct snapshot *s = p->c->snapshot;
	const char *last = "";
	int r = 0;

	for (size_t i = 0, next; r == 0 && i < s->count[OM_GROUP_MODEL]; i = next) {
		const char *tenant = s->total[OM_GROUP_MODEL][i].tenant;
		struct om_subject_total sum;

		if ((p->after && strcmp(tenant, p->after) <= 0) || (only && strcmp(tenant, only)) ||
		    !api_token_may_tenant(p->c->token, tenant)) {
			next = i + 1;
			continue;
		}
		if (p->count == p->limit)
			return api_cursor_encode((const char *const[]){ "tenant", last, "" }, p->next);
		next = add_models(s, i, &sum);
		r = put_tenant(p, &sum, next - i);
		last = tenant;
	}
	return r;
}

static int answer_tenants(struct call *c)
{
	static const char *const known[] = { "group", "tenant", "limit", "cursor", NULL };
	const char *tenant = api_query_get(&c->query, "tenant");
	struct page p = { .c = c };
	struct body b;
	int r;

	if (check_params(c, known) || take_page(&p, "tenant"))
		return 0;
	if (!may_group(c, OM_GROUP_MODEL, tenant))
		return refuse_scope(c);
	if (open_page(&p, &b))
		return -ENOMEM;
	r = put_tenants(&p, tenant);
	close_page(&p, &b);
	return r;
}

/* --- families --- */

struct families {
	struct row {
		char name[POLICY_NAME_MAX];
		size_t tenants, models;
		opcount largest_high;
		struct om_subject_total total;
	} * row;
	size_t count, room;
};

static int keep_family(void *ctx, const struct policy_subject *s)
{
	struct families *f = ctx;
	struct row *row;

	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 64;

		row = reallocarray(f->row, room, sizeof(*row));
		if (!row)
			return -ENOMEM;
		f->row = row;
		f->room = room;
	}
	row = &f->row[f->count++];
	*row = (struct row){ .tenants = s->tenants,
			     .models = s->models,
			     .largest_high = s->largest_high,
			     .total = *s->total };
	snprintf(row->name, sizeof(row->name), "%s", s->name);
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* All families of a state, by the owners that are known now; sorted. */
static int find_families(struct call *c, struct families *ret)
{
	_cleanup_(kin_freep) struct kin *kin = kin_new();
	struct policy policy = { .now_ns = fleet_now_ns(CLOCK_REALTIME) };
	const struct snapshot *s = c->snapshot;
	int r = kin ? 0 : -ENOMEM;

	pthread_rwlock_rdlock(&c->api->law_lock);
	policy.owners = c->api->law.owners;
	for (size_t i = 0; r == 0 && i < s->count[OM_GROUP_MODEL]; i++)
		r = kin_put(kin, &policy, &s->total[OM_GROUP_MODEL][i]);
	r = r ?: kin_each_family(kin, keep_family, ret);
	pthread_rwlock_unlock(&c->api->law_lock);
	if (r == 0 && ret->count)
		qsort(ret->row, ret->count, sizeof(*ret->row), compare_rows);
	return r;
}

/* A pseudonym and numbers: neither parent nor members. */
static int put_family(struct page *p, const struct row *row)
{
	char largest[OPCOUNT_STRLEN];
	json_t *o = nameless(&row->total, "family");

	if (o) {
		json_object_set_new(o, "family", json_string(row->name));
		json_object_set_new(o, "tenants", json_integer((json_int_t)row->tenants));
		json_object_set_new(o, "models", json_integer((json_int_t)row->models));
		json_object_set_new(o, "largest_high",
				    json_string(opcount_format(row->largest_high, largest)));
	}
	return put(p->f, o, p->count++ == 0);
}

static int put_families(struct page *p, const struct families *f)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->count; i++) {
		if (p->after && strcmp(f->row[i].name, p->after) <= 0)
			continue;
		if (p->count == p->limit)
			return api_cursor_encode((const char *const[]){ "family", f->row[i - 1].name, "" },
						 p->next);
		r = put_family(p, &f->row[i]);
	}
	return r;
}

static int answer_families(struct call *c)
{
	static const char *const known[] = { "group", "limit", "cursor", NULL };
	struct families all = { 0 };
	struct page p = { .c = c };
	struct body b;
	int r;

	if (!api_token_may_all(c->token))
		return refuse_scope(c);
	if (check_params(c, known) || take_page(&p, "family"))
		return 0;
	if (!c->api->config->owners_path)
		return answer_problem(c->rq, 400, "no-owners",
				      "This server was started without --owners: it knows no families.");
	r = find_families(c, &all);
	if (r == 0 && open_page(&p, &b)) {
		r = -ENOMEM;
	} else if (r == 0) {
		r = put_families(&p, &all);
		close_page(&p, &b);
	}
	free(all.row);
	return r;
}

int answer_group(struct call *c, const char *group)
{
	if (!strcmp(group, "tenant"))
		return answer_tenants(c);
	return strcmp(group, "family") ? answer_jobs(c) : answer_families(c);
}

int put_job_total(FILE *f, const struct study_job *j, bool is_first)
{
	char hex[2 * STUDY_JOB_SIZE + 1];
	json_t *o = nameless(&j->total, "job");

	om_hex(j->key, STUDY_JOB_SIZE, hex);
	if (o) {
		json_object_set_new(o, "ledger", json_stringn(hex, STUDY_JOB_SIZE));
		json_object_set_new(o, "job", json_string(hex + STUDY_JOB_SIZE));
		json_object_set_new(o, "tenant", json_string(j->total.tenant));
		if (j->total.lineage[0])
			json_object_set_new(o, "lineage", json_string(j->total.lineage));
		else
			json_object_set_new(o, "model", json_string(j->total.model));
	}
	return put(f, o, is_first);
}
