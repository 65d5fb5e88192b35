// SPDX-License-Identifier: Apache-2.0
#include "case_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "assignment.h"
#include "case_store_internal.h"
#include "ledger_evidence.h"

struct om_case_store *om_case_store_free(struct om_case_store *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->count; i++)
		om_case_free(s->cases[i]);
	free(s->cases);
	free(s);
	return NULL;
}

size_t om_case_store_count(const struct om_case_store *s)
{
	return s->count;
}

const struct om_case *om_case_store_at(const struct om_case_store *s, size_t i)
{
	return s->cases[i];
}

static bool has_alias(const struct om_case *c, const char *id)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(c->record, "findings"), i,
			   f) if (!strcmp(json_text(f, "case"), id)) return true;
	return false;
}

struct om_case *case_store_exact(const struct om_case_store *s, const char *id)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->cases[i]->id, id))
			return s->cases[i];
	return NULL;
}

/* The only case that `is` says is named so; NULL: none, or several. */
static const struct om_case *only(const struct om_case_store *s, const char *id,
				  bool (*is)(const struct om_case *c, const char *id), size_t *ret_count)
{
	const struct om_case *found = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < s->count; i++)
		if (is(s->cases[i], id) && ++*ret_count == 1)
			found = s->cases[i];
	return *ret_count == 1 ? found : NULL;
}

static bool begins_so(const struct om_case *c, const char *id)
{
	size_t n = strlen(id);

	return !strncmp(c->id, id, n) || !strncmp(c->id + 5, id, n);
}

/* A case's own id before what other cases' findings call them. */
const struct om_case *om_case_store_find(const struct om_case_store *s, const char *id)
{
	const struct om_case *found = case_store_exact(s, id);
	size_t n;

	if (found || !*id)
		return found;
	found = only(s, id, has_alias, &n);
	return n ? found : only(s, id, begins_so, &n);
}

struct om_case *case_store_add(struct om_case_store *s, const char *id)
{
	struct om_case *c;

	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		void *p = reallocarray(s->cases, room, sizeof(*s->cases));

		if (!p)
			return NULL;
		s->cases = p;
		s->room = room;
	}
	c = om_case_new(id);
	if (c)
		s->cases[s->count++] = c;
	return c;
}

/* Acts of cases are told from other entries by their "case". */
static json_t *act_of(const struct om_entry *e)
{
	json_t *act;

	if (!e->payload || (e->kind != OM_ENTRY_CASE && e->kind != OM_ENTRY_ACT))
		return NULL;
	act = json_loadb(e->payload, e->len, 0, NULL);
	if (json_is_string(json_object_get(act, "case")) && json_object_get(act, "n"))
		return act;
	json_decref(act);
	return NULL;
}

struct loading {
	struct om_case_store *s;
	struct error_text *err;
};

static int load_entry(void *ctx, const struct om_entry *e)
{
	struct loading *in = ctx;
	_cleanup_(json_decrefp) json_t *act = act_of(e);
	struct om_case *c;
	const json_t *v;
	size_t i;
	int r;

	if (!act)
		return 0;
	r = om_case_act_form(act, in->err);
	if (r)
		return r;
	c = case_store_exact(in->s, json_text(act, "case"));
	c = c ?: case_store_add(in->s, json_text(act, "case"));
	if (!c)
		return -ENOMEM;
	r = om_case_apply(c, e->index, act);
	if (case_kind_of(act) != CASE_ERASE)
		return r;
	json_array_foreach(json_object_get(act, "entries"), i, v) r =
		r ?: om_case_lost(c, (uint64_t)json_integer_value(v), e->index);
	return r;
}

int om_case_store_load(struct om_ledger *l, struct om_case_store **ret, struct error_text *err)
{
	_cleanup_(om_case_store_freep) struct om_case_store *s = calloc(1, sizeof(*s));
	struct loading in = { .s = s, .err = err };
	int r;

	if (!s)
		return -ENOMEM;
	s->ledger = l;
	r = om_ledger_each_entry(l, 0, load_entry, &in);
	if (r)
		return error_set(err, r == -EBADMSG ? -EUCLEAN : r, "the store cannot be read: %s",
				 strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}

int case_store_append(struct om_case_store *s, struct om_case *c, json_t *act, const char *unique,
		      const struct om_actor *actor, uint64_t *ret_entry, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	char time[OM_TIME_STRLEN];
	uint64_t entry;
	int r;

	json_object_set_new(act, "v", json_integer(1));
	json_object_set_new(act, "case", json_string(c->id));
	json_object_set_new(act, "n", json_integer((json_int_t)c->acts));
	json_object_set_new(act, "by", json_string(actor->by));
	json_object_set_new(act, "uid", json_integer(actor->uid));
	json_object_set_new(act, "at", json_string(om_time_format(actor->now_ns, time)));
	r = om_case_check(c, act, err);
	r = r ?: case_check_new(c, act, err);
	if (r)
		return r == -EBADMSG ? -EINVAL : r;
	text = json_dumps(act, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	r = om_ledger_append(s->ledger, case_kind_info(case_kind_of(act))->entry, unique, text, strlen(text),
			     actor->now_ns, &entry);
	if (r)
		return r < 0 ? error_set(err, r, "the log cannot be written: %s", strerror(-r)) : r;
	if (ret_entry)
		*ret_entry = entry;
	return om_case_apply(c, entry, act);
}

int om_case_act(struct om_case_store *s, const struct om_case *c, json_t *what, const char *unique,
		const struct om_actor *actor, uint64_t *ret_entry, struct error_text *err)
{
	return case_store_append(s, case_store_exact(s, c->id), what, unique, actor, ret_entry, err);
}

/* --- the acts of one case --- */

struct acts {
	const char *id;
	int (*fn)(void *ctx, const struct om_entry *e, const json_t *act);
	void *ctx;
};

static int pick(void *ctx, const struct om_entry *e)
{
	const struct acts *a = ctx;
	_cleanup_(json_decrefp) json_t *act = NULL;

	/* Most entries are of other cases: no need to take them apart. */
	if (!e->payload || !memmem(e->payload, e->len, a->id, strlen(a->id)))
		return 0;
	act = act_of(e);
	return act && !strcmp(json_text(act, "case"), a->id) ? a->fn(a->ctx, e, act) : 0;
}

int om_case_each_act(struct om_ledger *l, const char *id,
		     int (*fn)(void *ctx, const struct om_entry *e, const json_t *act), void *ctx)
{
	struct acts a = { .id = id, .fn = fn, .ctx = ctx };

	return om_ledger_each_entry(l, 0, pick, &a);
}

/* --- erasing --- */

static int collect(void *ctx, const struct om_entry *e, const json_t *act)
{
	return json_array_append_new(ctx, json_integer((json_int_t)e->index)) ? -ENOMEM : 0;
}

static int check_clocks(const struct om_case *c, const struct om_retention *r, const struct om_actor *actor,
			json_t *act, struct error_text *err)
{
	struct om_retained k;
	char day[16];

	om_case_retained(c, r, &k);
	if (!k.is_known)
		return error_set(err, -EINVAL, "%s: no clock holds for it, so it is kept", c->id);
	if ((int64_t)(actor->now_ns / UINT64_C(86400000000000)) <= k.day)
		return error_set(err, -EINVAL, "%s is kept to the end of %s (%s, from %s)", c->id,
				 date_format(k.day, day), k.clock, k.event);
	json_object_set_new(act, "kept_until", json_string(date_format(k.day, day)));
	json_object_set_new(act, "clock", json_string(k.clock));
	json_object_set_new(act, "clocks", json_string(om_retention_digest(r)));
	return 0;
}

static int destroy(struct om_case_store *s, struct om_case *c, json_t *act, const struct om_actor *actor,
		   uint64_t *ret_act, struct error_text *err)
{
	const json_t *entries = json_object_get(act, "entries"), *v;
	size_t i, n = json_array_size(entries);
	_cleanup_free_ uint64_t *indices = calloc(n + 1, sizeof(*indices));
	_cleanup_free_ char *text = json_dumps(act, JSON_COMPACT);
	int r;

	if (!indices || !text)
		return -ENOMEM;
	json_array_foreach(entries, i, v) indices[i] = (uint64_t)json_integer_value(v);
	r = om_ledger_destroy(s->ledger, text, indices, n, actor->now_ns, ret_act);
	if (r < 0)
		return error_set(err, r, "%s: nothing was destroyed: %s", c->id, strerror(-r));
	return om_case_apply(c, *ret_act, act) ?: r;
}

int om_case_erase(struct om_case_store *s, const struct om_case *named, const struct om_retention *r,
		  const char *reason, const struct om_actor *actor, uint64_t *ret_act, struct error_text *err)
{
	struct om_case *c = case_store_exact(s, named->id);
	const char *asked = json_text(json_object_get(c->record, "erasure_request"), "by");
	char time[OM_TIME_STRLEN];
	_cleanup_(json_decrefp) json_t *act =
		json_pack("{s:i,s:s,s:I,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:[]}", "v", 1, "case", c->id, "n",
			  (json_int_t)c->acts, "act", "erase", "by", actor->by, "uid", (int)actor->uid, "at",
			  om_time_format(actor->now_ns, time), "reason", reason, "asked_by",
			  *asked ? asked : "nobody", "finding", c->finding, "entries");
	int rc = act ? om_case_check(c, act, err) : -ENOMEM;

	rc = rc ?: check_clocks(c, r, actor, act, err);
	rc = rc ?: om_case_each_act(s->ledger, c->id, collect, json_object_get(act, "entries"));
	rc = rc ?: destroy(s, c, act, actor, ret_act, err);
	return rc == -EBADMSG ? -EINVAL : rc;
}
