// SPDX-License-Identifier: Apache-2.0
/* `owners list`, `show` and `check`: what the facts come to, and where each stands. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "../core/policy.h"
#include "owners_verbs.h"

#define HALF_PPB 500000000u

static json_t *day_json(int32_t day)
{
	char buf[16];

	return *owners_day(day, buf) ? json_string(buf) : json_null();
}

static json_t *hits_json(const struct owner_hits *h)
{
	return json_pack("{s:i,s:i,s:i}", "open", (int)h->open, "confirmed", (int)h->confirmed, "dismissed",
			 (int)h->dismissed);
}

static json_t *answer_json(const struct owner_answer *a)
{
	json_t *path = json_array();

	for (size_t i = 0; i < a->steps; i++) {
		const struct owner_step *p = &a->path[i];
		char share[24];

		snprintf(share, sizeof(share), "%u.%06u", p->share_ppm / 1000000, p->share_ppm % 1000000);
		json_array_append_new(
			path, json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:o,s:b}", "entity", p->entity, "name",
					p->name, "headquarters", p->headquarters, "jurisdiction",
					p->jurisdiction, "tie", owner_tie_name(p->tie), "share",
					p->share_ppm ? json_string(share) : json_null(), "source", p->source,
					"as_of", day_json(p->as_of_day), "lapsed", p->lapsed));
	}
	return json_pack("{s:b,s:s,s:s,s:s,s:o,s:b,s:o,s:b,s:s}", "known", a->state == OWNER_KNOWN, "state",
			 owner_state_text(a->state), "why", owner_why_text(a->why), "exception", a->exception,
			 "path", path, "lapsed", a->lapsed, "hits", hits_json(&a->hits), "screened",
			 a->is_screened, "version", a->version);
}

static json_t *standing_json(const struct owner_share_answer *a)
{
	char cascade[24], through[24], possible[24];

	snprintf(cascade, sizeof(cascade), "%u.%09u", a->cascade_ppb / 1000000000,
		 a->cascade_ppb % 1000000000);
	snprintf(through, sizeof(through), "%u.%09u", a->through_ppb / 1000000000,
		 a->through_ppb % 1000000000);
	snprintf(possible, sizeof(possible), "%u.%09u", a->possible_ppb / 1000000000,
		 a->possible_ppb % 1000000000);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "standing", owner_standing_name(a->standing), "why",
			 a->why, "cascade", cascade, "looked_through", through, "possible", possible, "hits",
			 hits_json(&a->hits));
}

struct showing {
	struct owner_store *store; /* NULL: a YAML file */
	struct owners *owners;
	struct regimes *regimes; /* NULL: no rule is asked */
	const char *what;
	bool is_entity;
	int32_t day, from, to;
};

static void showing_done(struct showing *g)
{
	owners_free(g->owners);
	regimes_free(g->regimes);
	owner_store_free(g->store);
}

/* Those of the rule that covers the day; without one those of the shipped rule. */
static const char *const *lists_on(const struct showing *g, int32_t day)
{
	for (size_t i = 0; g->regimes && i < regimes_count(g->regimes); i++) {
		const struct regime *r = regimes_at(g->regimes, i);

		if (r->kind == REGIME_LISTED && regime_covers(r, day))
			return (const char *const *)r->lists;
	}
	return owners_share_lists;
}

static int ask(struct showing *g, int32_t day, struct owner_answer *a, struct owner_share_answer *s)
{
	if (g->is_entity) {
		owners_resolve_entity(g->owners, g->what, day, a);
		return owners_standing_entity(g->owners, g->what, day, lists_on(g, day), HALF_PPB, s);
	}
	owners_resolve(g->owners, g->what, day, a);
	return owners_standing(g->owners, g->what, day, lists_on(g, day), HALF_PPB, s);
}

static int told_json(void *ctx, const struct owner_told *t)
{
	json_array_append_new(
		ctx, json_pack("{s:s,s:s,s:I,s:o,s:o,s:o,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "source",
			       t->source, "file", t->file, "line", (json_int_t)t->line, "as_of",
			       day_json(t->since_day), "last_seen", day_json(t->seen_day), "until",
			       day_json(t->until_day), "name", t->name, "headquarters", t->headquarters,
			       "jurisdiction", t->jurisdiction, "category", t->category, "status", t->status,
			       "registration", t->registration, "authority", t->authority, "number",
			       t->number, "no_parent", t->no_parent));
	return 0;
}

static int add_told(struct showing *g, const struct owner_answer *a, json_t *o)
{
	json_t *all = json_object();
	int r = 0;

	for (size_t i = 0; g->store && i < a->steps && r == 0; i++) {
		json_t *list = json_array();

		json_object_set_new(all, a->path[i].entity, list);
		r = owner_store_each_told(g->store, a->path[i].entity, told_json, list);
	}
	json_object_set_new(o, "told", all);
	return r;
}

static int add_periods(struct showing *g, json_t *o)
{
	_cleanup_free_ struct owner_period *p = NULL;
	json_t *list = json_array();
	size_t n;
	int r = owners_periods(g->owners, g->what, g->from, g->to, &p, &n);

	for (size_t i = 0; r == 0 && i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:o,s:o,s:o}", "from", day_json(p[i].from_day), "to",
						day_json(p[i].to_day), "answer", answer_json(&p[i].answer)));
	json_object_set_new(o, "periods", list);
	return r;
}

/* What the rules about listed owners that cover the day say of the standing. */
static json_t *rules_json(const struct showing *g, const struct owner_share_answer *s)
{
	json_t *list = json_array();

	for (size_t i = 0; g->regimes && i < regimes_count(g->regimes); i++) {
		const struct regime *rule = regimes_at(g->regimes, i);

		if (rule->kind == REGIME_LISTED && regime_covers(rule, g->day))
			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:s,s:s,s:s}", "regime", rule->id,
							"version", rule->version, "status",
							rule->status ?: "", "citation", rule->citation,
							"verdict", policy_listed_verdict(rule, s->standing)));
	}
	return list;
}

static void print_path(const json_t *path)
{
	const json_t *p;
	size_t i;

	json_array_foreach(path, i, p)
	{
		const char *share = json_string_value(json_object_get(p, "share"));
		char name[512];

		printf("  %s%s %s (%s)%s%s%s, by %s of %s%s\n",
		       i ? json_string_value(json_object_get(p, "tie")) : "is", share ? "" : ":",
		       json_string_value(json_object_get(p, "entity")),
		       text_escape(json_string_value(json_object_get(p, "name")), name, sizeof(name)),
		       share ? " " : "", share ?: "",
		       *json_string_value(json_object_get(p, "headquarters")) ? ""
									      : ", headquarters not known",
		       json_string_value(json_object_get(p, "source")),
		       json_string_value(json_object_get(p, "as_of")) ?: "no date",
		       json_is_true(json_object_get(p, "lapsed")) ? ", LAPSED" : "");
		if (*json_string_value(json_object_get(p, "headquarters")))
			printf("    headquartered in %s\n",
			       json_string_value(json_object_get(p, "headquarters")));
	}
}

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

static void print_told(const json_t *told)
{
	const char *entity;
	const json_t *list, *t;
	size_t i;

	json_object_foreach((json_t *)told, entity, list)
	{
		json_array_foreach(list, i, t)
		{
			char name[512], file[300];

			printf("  %s: %s, headquartered in %s, %s %s; %s:%lld of %s, last seen %s%s%s\n",
			       entity, text_escape(text_of(t, "name"), name, sizeof(name)),
			       text_of(t, "headquarters"), text_of(t, "source"), text_of(t, "registration"),
			       text_escape(text_of(t, "file"), file, sizeof(file)),
			       (long long)json_integer_value(json_object_get(t, "line")), text_of(t, "as_of"),
			       text_of(t, "last_seen"), *text_of(t, "until") ? ", told no longer from " : "",
			       text_of(t, "until"));
		}
	}
}

static void print_words(const json_t *o)
{
	const json_t *a = json_object_get(o, "answer"), *s = json_object_get(o, "shares"), *p;
	size_t i;

	printf("%s on %s: %s%s%s%s%s\n", text_of(o, "subject"), text_of(o, "date"), text_of(a, "state"),
	       *text_of(a, "why") ? ": " : "", text_of(a, "why"), *text_of(a, "exception") ? ", " : "",
	       text_of(a, "exception"));
	print_path(json_object_get(a, "path"));
	printf("listed parties: %s%s%s; they hold %s by cascade, %s looked through, %s if what is not known "
	       "were theirs\n",
	       text_of(s, "standing"), *text_of(s, "why") ? ": " : "", text_of(s, "why"),
	       text_of(s, "cascade"), text_of(s, "looked_through"), text_of(s, "possible"));
	json_array_foreach(json_object_get(o, "rules"), i, p) printf(
		"  %s version %s: %s\n", text_of(p, "regime"), text_of(p, "version"), text_of(p, "verdict"));
	printf("version %s\n", text_of(a, "version"));
	if (json_array_size(json_object_get(o, "periods")))
		printf("periods:\n");
	json_array_foreach(json_object_get(o, "periods"), i, p)
		printf("  %s..%s  %s  %.12s\n", text_of(p, "from"), text_of(p, "to"),
		       text_of(json_object_get(p, "answer"), "state"),
		       text_of(json_object_get(p, "answer"), "version"));
	if (json_object_size(json_object_get(o, "told")))
		printf("told:\n");
	print_told(json_object_get(o, "told"));
}

static int open_facts(const char *path, const char *also, struct showing *g, struct error_text *err)
{
	int r = owners_load(path, &g->owners, err);

	r = r ?: owners_check_dates(g->owners, owners_today(), err);
	if (r)
		return r;
	/* A YAML file has no more to show. */
	if (owner_store_open(path, OWNER_STORE_READ_ONLY, &g->store, NULL) || !also)
		return 0;
	owners_free(g->owners);
	g->owners = NULL;
	return owner_store_load(g->store, also, &g->owners);
}

static int show(struct showing *g, bool json, bool has_periods)
{
	struct owner_share_answer shares;
	struct owner_answer a;
	char day[16], *text;
	json_t *o;
	int r = ask(g, g->day, &a, &shares);

	if (r)
		return r;
	o = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "subject", g->what, "kind",
		      g->is_entity ? "entity" : "tenant", "date", date_format(g->day, day), "answer",
		      answer_json(&a), "shares", standing_json(&shares), "rules", rules_json(g, &shares));
	r = add_told(g, &a, o);
	if (r == 0 && has_periods && !g->is_entity)
		r = add_periods(g, o);
	text = json && r == 0 ? json_dumps(o, JSON_COMPACT) : NULL;
	if (text)
		puts(text);
	else if (r == 0)
		print_words(o);
	free(text);
	json_decref(o);
	return r ?: owner_is_settled(&a) && shares.standing == OWNER_CLEAR ? 0 : 1;
}

static bool is_tenant(const struct owners *o, const char *name)
{
	size_t n = owners_tenant_count(o);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(owners_tenant(o, i), name))
			return true;
	return false;
}

int owners_show(int argc, char **argv)
{
	const char *db = OWNERS_DEFAULT_DB, *date = NULL, *from = NULL, *to = NULL, *regimes = NULL;
	_cleanup_(showing_done) struct showing g = { .day = owners_today() };
	struct error_text err = { 0 };
	bool json = false;
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &db,
		  "the owners database, or owners.yaml (" OWNERS_DEFAULT_DB ")" },
		{ "date", "DATE", OPTION_STRING, &date, "as it was on this day (today)" },
		{ "from", "DATE", OPTION_STRING, &from,
		  "with --to: every version of a tenant's answer in that time" },
		{ "to", "DATE", OPTION_STRING, &to, "the day after the last" },
		{ "regimes", "DIR", OPTION_STRING, &regimes,
		  "what these rules about listed owners say on the day (none)" },
		{ "json", NULL, OPTION_FLAG, &json, "as one object" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners show",
		.operands = "TENANT|ENTITY",
		.summary = "The path to the ultimate parent and what listed parties hold, each fact with "
			   "source, file and line. Exit "
			   "codes: 0 clear, 3 not.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !from != !to) {
		log_error("owners show: give one TENANT or ENTITY, and --from with --to");
		return EXIT_USAGE;
	}
	if (owners_take_day("date", date, &g.day) || owners_take_day("from", from, &g.from) ||
	    owners_take_day("to", to, &g.to))
		return EXIT_USAGE;
	if (from && g.to <= g.from) {
		log_error("owners show: --to lies after --from");
		return EXIT_USAGE;
	}
	g.what = argv[at];
	r = regimes ? regimes_load(regimes, &g.regimes, &err) : 0;
	r = r ?: open_facts(db, g.what, &g, &err);
	if (r)
		return owners_failed(db, r, &err);
	g.is_entity = !is_tenant(g.owners, g.what);
	r = show(&g, json, from != NULL);
	return r < 0 ? owners_failed(db, r, NULL) : r ? EXIT_FINDING : EXIT_OK;
}

int owners_list(int argc, char **argv)
{
	const char *db = OWNERS_DEFAULT_DB, *date = NULL;
	_cleanup_(showing_done) struct showing g = { .day = owners_today() };
	struct error_text err = { 0 };
	bool json = false;
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &db,
		  "the owners database, or owners.yaml (" OWNERS_DEFAULT_DB ")" },
		{ "date", "DATE", OPTION_STRING, &date, "as it was on this day (today)" },
		{ "json", NULL, OPTION_FLAG, &json, "one object a tenant" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners list",
		.summary = "The tenants that are bound, with their ultimate parents and what listed parties "
			   "hold.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (owners_take_day("date", date, &g.day))
		return EXIT_USAGE;
	r = open_facts(db, NULL, &g, &err);
	if (r)
		return owners_failed(db, r, &err);
	for (size_t i = 0; i < owners_tenant_count(g.owners); i++) {
		struct owner_share_answer s;
		struct owner_answer a;

		g.what = owners_tenant(g.owners, i);
		r = ask(&g, g.day, &a, &s);
		if (r)
			return owners_failed(db, r, NULL);
		if (json) {
			json_t *o = json_pack("{s:s,s:o,s:o}", "tenant", g.what, "answer", answer_json(&a),
					      "shares", standing_json(&s));
			char *text = json_dumps(o, JSON_COMPACT);

			puts(text ?: "");
			free(text);
			json_decref(o);
		} else {
			const struct owner_step *top = a.steps ? &a.path[a.steps - 1] : NULL;

			printf("%-20s %-22s %-2s  top %-22s %-2s  %s%s%s; listed parties: %s%s%s\n", g.what,
			       top ? a.path[0].entity : "-", top ? a.path[0].headquarters : "",
			       top ? top->entity : "-", top ? top->headquarters : "",
			       owner_state_text(a.state), *owner_why_text(a.why) ? ": " : "",
			       owner_why_text(a.why), owner_standing_name(s.standing), *s.why ? ": " : "",
			       s.why);
		}
	}
	return EXIT_OK;
}

/* --- check --- */

struct checking {
	unsigned doubts, shown;
};

static int print_import(void *ctx, const struct owner_import_row *r)
{
	char day[16];

	printf("import %lld: %s of %s, %s of %s%s: %lld rows, %lld new, %lld as before, %lld lost, %lld "
	       "ended; sha256 %.16s\n",
	       (long long)r->number, r->format, r->source, r->file, owners_day(r->as_of_day, day),
	       r->is_complete ? " (complete)" : "", (long long)r->rows, (long long)r->taken,
	       (long long)r->confirmed, (long long)r->lost, (long long)r->ended, r->digest);
	return 0;
}

static int print_doubt(void *ctx, enum owner_doubt d, const char *entity, const char *a, const char *b)
{
	struct checking *c = ctx;

	if (c->doubts++ < 100)
		printf("doubt: %s: %s: %s%s%s\n", entity, owner_doubt_text(d), a, *b ? ", " : "", b);
	return 0;
}

int owners_check(int argc, char **argv)
{
	static const char *const tables[] = { "record", "edge", "exception", "listing", "binding", "hit" };
	_cleanup_(owner_store_freep) struct owner_store *s = NULL;
	const char *db = OWNERS_DEFAULT_DB;
	struct error_text err = { 0 };
	struct checking c = { 0 };
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &db, "the owners database (" OWNERS_DEFAULT_DB ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners check",
		.summary = "What is imported, and where sources disagree, name what nobody knows, or hold "
			   "over 100 %. Exit codes: 0 "
			   "in order, 3 doubts.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	r = owner_store_open(db, OWNER_STORE_READ_ONLY, &s, &err);
	r = r ?: owner_store_each_import(s, print_import, NULL);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(tables); i++)
		printf("%s%lld %s%s", i ? ", " : "", (long long)owner_store_count(s, tables[i]), tables[i],
		       i + 1 == ARRAY_SIZE(tables) ? "\n" : "");
	r = r ?: owner_store_each_doubt(s, print_doubt, &c);
	if (r)
		return owners_failed(db, r, &err);
	if (c.doubts > 100)
		printf("and %u doubts more\n", c.doubts - 100);
	printf("%u doubts\n", c.doubts);
	return c.doubts ? EXIT_FINDING : EXIT_OK;
}
