// SPDX-License-Identifier: Apache-2.0
/* Answers about totals: one, or a page of those that fit and that the token may see. */
#include "api_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int put_total(struct call *c, FILE *f, const struct om_subject_total *t, bool is_first)
{
	const char *text = snapshot_text(c->snapshot, t);

	if (!text)
		return -ENOMEM;
	if (!is_first)
		fputc(',', f);
	fputs(text, f);
	return 0;
}

int answer_total(struct call *c)
{
	const struct om_subject_total *t;
	const char *first, *second;
	enum om_group group;
	struct body b;
	int r;

	if (subject_of(c, &group, &first, &second) || check_params(c, (const char *const[]){ NULL }))
		return 0;
	t = snapshot_find(c->snapshot, group, first, second);
	if (!t)
		return answer_problem(c->rq, 404, "no-such-total", "There is no such total.");
	if (body_open(&b))
		return -ENOMEM;
	fprintf(b.f, "{\"as_of\":%s,\"total\":", as_of(c, c->snapshot->as_of, c->snapshot->brief));
	r = put_total(c, b.f, t, true);
	fputc('}', b.f);
	body_close(&b, c->rq);
	return r;
}

struct totals_ask {
	enum om_group group;
	const char *tenant, *model, *lineage;
	uint64_t limit, largest;
	size_t at; /* where the page begins */
};

static bool is_member(const struct om_subject_total *t, const char *tenant)
{
	for (size_t i = 0; i < t->member_count; i++)
		if (!strcmp(t->members[i].tenant, tenant))
			return true;
	return false;
}

static bool fits(const struct totals_ask *ask, const struct api_token *token,
		 const struct om_subject_total *t)
{
	if (t->group == OM_GROUP_LINEAGE)
		return (!ask->lineage || !strcmp(ask->lineage, t->lineage)) &&
		       (!ask->tenant || is_member(t, ask->tenant));
	return (!ask->tenant || !strcmp(ask->tenant, t->tenant)) &&
	       (!ask->model || !strcmp(ask->model, t->model)) && api_token_may_tenant(token, t->tenant);
}

static int take_cursor(struct call *c, struct totals_ask *ask)
{
	const char *text = api_query_get(&c->query, "cursor");
	const char *name[API_CURSOR_NAMES];
	char buf[API_CURSOR_MAX];

	if (!text)
		return 0;
	if (api_cursor_decode(text, name, buf) || strcmp(name[0], ask->group ? "lineage" : "model")) {
		refuse_cursor(c);
		return 1;
	}
	ask->at = snapshot_at(c->snapshot, ask->group, name[1], name[2]);
	if (snapshot_find(c->snapshot, ask->group, name[1], name[2]))
		ask->at++;
	return 0;
}

/* 0; 1: answered with a problem. */
static int take_totals_ask(struct call *c, struct totals_ask *ask)
{
	static const char *const known[] = { "group", "tenant", "model",   "lineage",
					     "limit", "cursor", "largest", NULL };
	bool is_group;

	*ask = (struct totals_ask){ .limit = 100 };
	if (check_params(c, known) || number_param(c, "limit", 10000, &ask->limit) ||
	    number_param(c, "largest", 10000, &ask->largest))
		return 1;
	ask->tenant = api_query_get(&c->query, "tenant");
	ask->model = api_query_get(&c->query, "model");
	ask->lineage = api_query_get(&c->query, "lineage");
	is_group = group_param(c, &ask->group);
	if (!is_group || (ask->lineage && !ask->group) || (ask->model && ask->group) ||
	    (ask->largest && (ask->group || api_query_get(&c->query, "cursor")))) {
		answer_problem(c->rq, 400, "bad-parameter",
			       "'group' is model, lineage, tenant, family or job; 'model' and 'largest' go "
			       "with model, 'lineage' with "
			       "lineage, and 'largest' with no cursor.");
		return 1;
	}
	if (!may_group(c, ask->group, ask->tenant)) {
		refuse_scope(c);
		return 1;
	}
	return take_cursor(c, ask);
}

static int cursor_behind(const struct om_subject_total *last, char cursor[API_CURSOR_MAX])
{
	const char *names[API_CURSOR_NAMES] = { last->group ? "lineage" : "model",
						last->group ? last->lineage : last->tenant,
						last->group ? "" : last->model };

	return api_cursor_encode(names, cursor);
}

/* The index of the next total after i that may fit: a tenant that may not be seen, or was not asked for, is
 * passed over as a whole. */
static size_t pass_over(struct call *c, const struct totals_ask *ask, size_t i)
{
	const struct snapshot *s = c->snapshot;
	const char *const *mine = api_token_tenants(c->token);
	const char *at, *next = NULL;

	if (ask->group != OM_GROUP_MODEL || ask->largest || i >= s->count[OM_GROUP_MODEL])
		return i;
	at = s->total[OM_GROUP_MODEL][i].tenant;
	if (ask->tenant) {
		int order = strcmp(at, ask->tenant);

		return order == 0  ? i
		       : order > 0 ? s->count[OM_GROUP_MODEL]
				   : snapshot_at(s, OM_GROUP_MODEL, ask->tenant, "");
	}
	if (!mine || api_token_may_tenant(c->token, at))
		return i;
	for (; *mine; mine++)
		if (strcmp(*mine, at) > 0 && (!next || strcmp(*mine, next) < 0))
			next = *mine;
	return next ? snapshot_at(s, OM_GROUP_MODEL, next, "") : s->count[OM_GROUP_MODEL];
}

static int put_page(struct call *c, const struct totals_ask *ask, FILE *f)
{
	const struct snapshot *s = c->snapshot;
	const struct om_subject_total *last = NULL;
	uint64_t n = 0, limit = ask->largest ?: ask->limit;
	char next[API_CURSOR_MAX] = "";
	int r = 0;

	for (size_t i = ask->at; r == 0 && (i = pass_over(c, ask, i)) < s->count[ask->group]; i++) {
		const struct om_subject_total *t =
			&s->total[ask->group][ask->largest ? s->by_size[i] : (uint32_t)i];

		if (!fits(ask, c->token, t))
			continue;
		if (n == limit) {
			r = ask->largest ? 0 : cursor_behind(last, next);
			break;
		}
		r = put_total(c, f, t, n++ == 0);
		last = t;
	}
	fputs("],", f);
	put_cursor(f, next);
	return r;
}

int answer_totals(struct call *c)
{
	const char *group = api_query_get(&c->query, "group") ?: "";
	struct totals_ask ask;
	struct body b;
	int r;

	if (!strcmp(group, "tenant") || !strcmp(group, "family") || !strcmp(group, "job"))
		return answer_group(c, group);
	if (take_totals_ask(c, &ask))
		return 0;
	if (body_open(&b))
		return -ENOMEM;
	fprintf(b.f, "{\"as_of\":%s,\"totals\":[", as_of(c, c->snapshot->as_of, c->snapshot->brief));
	r = put_page(c, &ask, b.f);
	body_close(&b, c->rq);
	return r;
}
