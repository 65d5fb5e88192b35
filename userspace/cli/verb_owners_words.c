// SPDX-License-Identifier: Apache-2.0
/* `owners bind`, `suggest` and `screen`: what a person decides, and what it is shown for that. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/text.h"
#include "../core/screening.h"
#include "owners_verbs.h"

/* --- bind --- */

static int find_by_register(struct owner_store *s, const char *text, char ret[96])
{
	const char *slash = strchr(text, '/');
	char authority[64];
	int r;

	if (!slash || slash == text || !slash[1] || (size_t)(slash - text) >= sizeof(authority)) {
		log_error("owners bind: --registration is AUTHORITY/NUMBER");
		return -EINVAL;
	}
	snprintf(authority, sizeof(authority), "%.*s", (int)(slash - text), text);
	r = owner_store_by_number(s, authority, slash + 1, ret);
	if (r == -EEXIST)
		log_error("owners bind: more than one entity stands there under '%s'", text);
	else if (r)
		log_error("owners bind: no entity stands there under '%s'", text);
	return r;
}

struct binding_words {
	const char *db, *lei, *registration, *by, *because, *from, *to;
	bool none;
};

static int bind_tenant(const struct binding_words *w, const char *tenant)
{
	_cleanup_(owner_store_freep) struct owner_store *s = NULL;
	struct owner_binding_row b = { .tenant = tenant,
				       .by = w->by,
				       .because = w->because,
				       .entity = "",
				       .how = w->lei		? "lei"
					      : w->registration ? "registration"
								: "none",
				       .from_day = INT32_MIN,
				       .to_day = INT32_MAX,
				       .at_s = owners_now_s() };
	struct error_text err = { 0 };
	char entity[96];
	uint64_t hits;
	int r;

	if (owners_take_day("from", w->from, &b.from_day) || owners_take_day("to", w->to, &b.to_day))
		return EXIT_USAGE;
	r = owner_store_open(w->db, 0, &s, &err);
	if (r)
		return owners_failed(w->db, r, &err);
	if (w->lei) {
		if (!lei_is_valid(w->lei)) {
			log_error("owners bind: '%s' is no LEI: its check digits are wrong", w->lei);
			return EXIT_USAGE;
		}
		b.entity = w->lei;
	} else if (w->registration) {
		if (find_by_register(s, w->registration, entity))
			return EXIT_USAGE;
		b.entity = entity;
	}
	r = owner_store_bind(s, &b);
	if (r == -ENOENT) {
		log_error("owners bind: no record of %s: import it first", b.entity);
		return EXIT_USAGE;
	}
	r = r ?: owner_store_screen(s, NAME_SCORE_LEAST, &hits);
	if (r)
		return owners_failed(w->db, r, NULL);
	printf("tenant %s is %s, says %s\n", tenant, *b.entity ? b.entity : "no entity that is known", w->by);
	return EXIT_OK;
}

int owners_bind(int argc, char **argv)
{
	struct binding_words w = { .db = OWNERS_DEFAULT_DB };
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &w.db, "the owners database (" OWNERS_DEFAULT_DB ")" },
		{ "lei", "LEI", OPTION_STRING, &w.lei, "the entity, by its LEI" },
		{ "registration", "AUTHORITY/NUMBER", OPTION_STRING, &w.registration,
		  "the entity, by a register" },
		{ "none", NULL, OPTION_FLAG, &w.none,
		  "it is no entity that is known: takes an earlier word back" },
		{ "from", "DATE", OPTION_STRING, &w.from, "from this day on (always)" },
		{ "to", "DATE", OPTION_STRING, &w.to, "before this day (no end)" },
		{ "by", "PERSON", OPTION_STRING, &w.by, "who says so" },
		{ "because", "TEXT", OPTION_STRING, &w.because, "why: the evidence" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners bind",
		.operands = "TENANT",
		.summary = "Says which legal entity a tenant is. A name is no evidence: LEI or registration "
			   "number. Earlier words "
			   "stay; the last holds.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !w.by || !*w.by || !w.because || !*w.because ||
	    !!w.lei + !!w.registration + w.none != 1) {
		log_error("owners bind: give one TENANT, one of --lei, --registration and --none, --by "
			  "PERSON and --because TEXT");
		return EXIT_USAGE;
	}
	return bind_tenant(&w, argv[at]);
}

/* --- suggest --- */

#define SUGGESTIONS 10
struct suggestion {
	int score;
	char entity[96], name[256], headquarters[4], number[160];
};
struct suggesting {
	struct name_words wanted;
	struct suggestion best[SUGGESTIONS];
	int count;
};

static int look_at(void *ctx, const struct owner_told *t)
{
	struct suggesting *g = ctx;
	struct name_words words;
	int score, at = g->count;

	name_split(t->name, &words);
	score = name_score(&g->wanted, &words);
	if (score < 500)
		return 0;
	while (at > 0 && g->best[at - 1].score < score)
		at--;
	if (at == SUGGESTIONS)
		return 0;
	if (g->count < SUGGESTIONS)
		g->count++;
	memmove(&g->best[at + 1], &g->best[at], (size_t)(g->count - at - 1) * sizeof(g->best[0]));
	g->best[at].score = score;
	snprintf(g->best[at].entity, sizeof(g->best[at].entity), "%s", t->id);
	snprintf(g->best[at].name, sizeof(g->best[at].name), "%s", t->name);
	snprintf(g->best[at].headquarters, sizeof(g->best[at].headquarters), "%s", t->headquarters);
	snprintf(g->best[at].number, sizeof(g->best[at].number), "%s%s%s", t->authority,
		 *t->number ? "/" : "", t->number);
	return 0;
}

int owners_suggest(int argc, char **argv)
{
	_cleanup_(owner_store_freep) struct owner_store *s = NULL;
	const char *db = OWNERS_DEFAULT_DB;
	struct suggesting g = { .count = 0 };
	struct error_text err = { 0 };
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &db, "the owners database (" OWNERS_DEFAULT_DB ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners suggest",
		.operands = "NAME",
		.summary =
			"Entities with a name like this one, the likest first. A suggestion binds nothing.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc) {
		log_error("owners suggest: give one NAME");
		return EXIT_USAGE;
	}
	name_split(argv[at], &g.wanted);
	r = owner_store_open(db, OWNER_STORE_READ_ONLY, &s, &err);
	r = r ?: owner_store_each_record(s, look_at, &g);
	if (r)
		return owners_failed(db, r, &err);
	for (int i = 0; i < g.count; i++) {
		char name[512];

		printf("%4d  %-22s %s  %s  %s\n", g.best[i].score, g.best[i].entity, g.best[i].headquarters,
		       text_escape(g.best[i].name, name, sizeof(name)), g.best[i].number);
	}
	if (!g.count)
		printf("no name is like it\n");
	return EXIT_OK;
}

/* --- screen --- */

struct showing {
	bool json, all;
	unsigned open, confirmed;
};

static void print_hit(const struct owner_hit_row *h, bool json)
{
	char list_day[16], from[16], to[16], own[400], listed[400], entry[160];

	if (json) {
		json_t *o = json_pack(
			"{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:b,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "hit", h->id,
			"entity", h->entity, "own_name", h->own_name, "list", h->list, "list_name",
			h->list_name, "entry", h->entry, "listed_name", h->listed_name, "score", h->score,
			"by_id", h->is_by_id, "list_date", owners_day(h->list_day, list_day), "listed_from",
			owners_day(h->from_day, from), "listed_to", owners_day(h->to_day, to), "countries",
			h->countries, "disposition", h->word, "by", h->by, "because", h->because);
		char *text = json_dumps(o, JSON_COMPACT);

		puts(text ?: "");
		free(text);
		json_decref(o);
		return;
	}
	printf("%s  %-9s %4d%s  %s \"%s\"\n              %s of %s: \"%s\" (%s)%s%s%s%s\n", h->id, h->word,
	       h->score, h->is_by_id ? " by id" : "", h->entity, text_escape(h->own_name, own, sizeof(own)),
	       h->list, owners_day(h->list_day, list_day),
	       text_escape(h->listed_name, listed, sizeof(listed)),
	       text_escape(h->entry, entry, sizeof(entry)), *h->by ? ", says " : "", h->by,
	       *h->because ? ": " : "", h->because);
}

static int show_hit(void *ctx, const struct owner_hit_row *h)
{
	struct showing *g = ctx;

	g->open += !strcmp(h->word, "open");
	g->confirmed += !strcmp(h->word, "confirmed");
	if (g->all || strcmp(h->word, "dismissed"))
		print_hit(h, g->json);
	return 0;
}

static int decide(struct owner_store *s, const char *db, const char *hit, const char *as, const char *by,
		  const char *because)
{
	int r;

	if (!as || (strcmp(as, "confirmed") && strcmp(as, "dismissed") && strcmp(as, "open")) || !by ||
	    !*by || !because || !*because) {
		log_error("owners screen: with --hit give --as confirmed|dismissed|open, --by PERSON and "
			  "--because TEXT");
		return EXIT_USAGE;
	}
	r = owner_store_decide(s, hit, as, by, because, owners_now_s());
	if (r == -ENOENT) {
		log_error("owners screen: no hit '%s'", hit);
		return EXIT_USAGE;
	}
	if (r)
		return owners_failed(db, r, NULL);
	printf("hit %s is %s, says %s\n", hit, as, by);
	return EXIT_OK;
}

int owners_screen(int argc, char **argv)
{
	_cleanup_(owner_store_freep) struct owner_store *s = NULL;
	const char *db = OWNERS_DEFAULT_DB, *hit = NULL, *as = NULL, *by = NULL, *because = NULL;
	uint64_t least = NAME_SCORE_LEAST, hits;
	struct showing g = { 0 };
	struct error_text err = { 0 };
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &db, "the owners database (" OWNERS_DEFAULT_DB ")" },
		{ "least", "SCORE", OPTION_UINT, &least,
		  "likeness from which on a name is a hit, of 1000 (850)" },
		{ "all", NULL, OPTION_FLAG, &g.all, "dismissed hits too" },
		{ "hit", "ID", OPTION_STRING, &hit, "a person's word about this hit" },
		{ "as", "WORD", OPTION_STRING, &as, "confirmed, dismissed or open" },
		{ "by", "PERSON", OPTION_STRING, &by, "who says so" },
		{ "because", "TEXT", OPTION_STRING, &because, "why: the evidence" },
		{ "json", NULL, OPTION_FLAG, &g.json, "one object a hit" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners screen",
		.summary = "The tenants' entities and all above them against the lists. Exit codes: 0 "
			   "nothing found, 3 hits that are "
			   "open or confirmed.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (least < 500 || least > 1000) {
		log_error("owners screen: --least is 500 to 1000");
		return EXIT_USAGE;
	}
	r = owner_store_open(db, 0, &s, &err);
	if (r)
		return owners_failed(db, r, &err);
	if (hit)
		return decide(s, db, hit, as, by, because);
	r = owner_store_screen(s, (int)least, &hits);
	r = r ?: owner_store_each_hit(s, show_hit, &g);
	if (r)
		return owners_failed(db, r, NULL);
	if (!g.json)
		printf("%u open, %u confirmed\n", g.open, g.confirmed);
	return g.open + g.confirmed ? EXIT_FINDING : EXIT_OK;
}
