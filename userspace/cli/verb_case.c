// SPDX-License-Identifier: Apache-2.0
/* `case`: what reviewers work on. docs/cases.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/text.h"
#include "../base/yaml.h"
#include "../core/regime.h"
#include "case_verbs.h"
#include "verbs.h"

int case_say(const struct error_text *err, int r)
{
	log_error("%s", err->text[0] ? err->text : strerror(-r));
	return store_exit(r);
}

/* Who logged in, whoever they became since; where the kernel does not keep that, the user. */
static unsigned login(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/loginuid", "re");
	unsigned id;

	return f && fscanf(f, "%u", &id) == 1 && id != (unsigned)-1 ? id : (unsigned)getuid();
}

void case_desk_done(struct case_desk *d)
{
	om_case_store_free(d->store);
	om_ledger_free(d->ledger);
}

int case_desk_open(struct case_desk *d, const char *dir, bool create, const char *id, const char *by)
{
	struct error_text err = { 0 };
	int r;

	if (by && !om_person_is_valid(by)) {
		log_error("'%s' is no person's name: letters, digits and . _ @ -, at most 63", by);
		return -EINVAL;
	}
	r = by ? store_open(dir, create, &d->ledger) : store_open_reader(dir, &d->ledger);
	if (r)
		return r;
	r = om_case_store_load(d->ledger, &d->store, &err);
	if (r) {
		log_error("%s: %s", dir, err.text[0] ? err.text : strerror(-r));
		return r;
	}
	d->c = id ? om_case_store_find(d->store, id) : NULL;
	if (id && !d->c) {
		log_error("%s: no case '%s', or several that begin so: `opmeter case list`", dir, id);
		return -EINVAL;
	}
	d->actor = (struct om_actor){ .by = by, .uid = login(), .now_ns = store_now_ns() };
	return 0;
}

/* --- take --- */

struct taking {
	struct case_desk *d;
	const char *from;
	uint64_t line, opened, added, known, other, refused;
	struct error_text err;
};

static int take_one(struct taking *t, const void *event, size_t len)
{
	char id[OM_CASE_ID_STRLEN];
	struct error_text err = { 0 };
	int r = om_case_take(t->d->store, event, len, &t->d->actor, id, &err);

	switch (r) {
	case 0:
		t->opened++;
		printf("%s opened\n", id);
		return 0;
	case 1:
		t->known++;
		return 0;
	case 2:
		t->added++;
		printf("%s: found by another source too\n", id);
		return 0;
	case 3:
		t->other++;
		return 0;
	case -EBADMSG:
	case -EINVAL:
		t->refused++;
		log_warn("%s:%llu: refused: %s", t->from, (unsigned long long)t->line, err.text);
		return 0;
	}
	t->err = err;
	return r;
}

static int take_entry(void *ctx, const struct om_entry *e)
{
	struct taking *t = ctx;

	t->line = e->index;
	return e->kind == OM_ENTRY_CASE && e->payload ? take_one(t, e->payload, e->len) : 0;
}

static int take_ledger(struct taking *t, const char *dir)
{
	_cleanup_ledger_ struct om_ledger *l = NULL;
	int r = store_open_reader(dir, &l);

	t->from = dir;
	return r ?: om_ledger_each_entry(l, 0, take_entry, t);
}

static int take_file(struct taking *t, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int r = 0;

	if (!f)
		return error_set(&t->err, -errno, "%s: cannot be read: %m", path);
	t->from = path;
	for (t->line = 1; r == 0 && (n = getline(&line, &room, f)) > 0; t->line++)
		r = n > 1 ? take_one(t, line, (size_t)n) : 0;
	return r ?: ferror(f) ? error_set(&t->err, -EIO, "%s: cannot be read to its end", path) : 0;
}

int case_take(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *by = "opmeter", *ledger = NULL;
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir,
		  "the case store, made if it is not there (" STORE_DEFAULT ")" },
		{ "by", "PERSON", OPTION_STRING, &by, "who takes them (opmeter)" },
		{ "ledger", "DIR", OPTION_STRING, &ledger, "take the findings of this ledger too (none)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "case take",
		.operands = "[FILE ...]",
		.summary = "Opens a case for each finding: opmeter.case.v1 events, from a ledger or from "
			   "files of "
			   "JSON lines (the file exporter's,\nor a consumer's of the cases topic). The same "
			   "finding never opens two, whoever tells it and however often.",
		.options = options,
	};
	_cleanup_desk_ struct case_desk d = { 0 };
	struct taking t = { .d = &d };
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at == argc && !ledger) {
		log_error("case take: name a FILE, or --ledger DIR");
		return EXIT_USAGE;
	}
	r = case_desk_open(&d, dir, true, NULL, by);
	if (r)
		return store_exit(r);
	r = ledger ? take_ledger(&t, ledger) : 0;
	for (int i = at; i < argc && r == 0; i++)
		r = take_file(&t, argv[i]);
	printf("%llu opened, %llu added to a case, %llu known, %llu other events, %llu refused\n",
	       (unsigned long long)t.opened, (unsigned long long)t.added, (unsigned long long)t.known,
	       (unsigned long long)t.other, (unsigned long long)t.refused);
	if (r)
		return case_say(&t.err, r);
	return t.refused ? EXIT_FINDING : EXIT_OK;
}

/* --- gather --- */

static int attach_regime(struct case_desk *d, const char *dir, struct error_text *err)
{
	_cleanup_(regimes_freep) struct regimes *regimes = NULL;
	_cleanup_(json_decrefp) json_t *record = om_case_record(d->c, NULL);
	const char *digest = json_string_value(json_object_get(json_object_get(record, "policy"), "digest"));
	int r = regimes_load(dir, &regimes, err);

	for (size_t i = 0; r == 0 && i < regimes_count(regimes); i++)
		if (digest && !strcmp(regimes_at(regimes, i)->digest, digest)) {
			char path[4096];
			const char *file = regimes_at(regimes, i)->file;

			snprintf(path, sizeof(path), "%s%s%s", strchr(file, '/') ? "" : dir,
				 strchr(file, '/') ? "" : "/", file);
			return om_case_attach(d->store, d->c, "regime", path, &d->actor, err);
		}
	return r
		       ?: error_set(err, -EINVAL,
				    "%s: no regime has the digest that the finding names, %.12s...", dir,
				    digest ? digest : "none");
}

static int attach_all(struct case_desk *d, const char *what, const struct option_list *files,
		      struct error_text *err)
{
	int r = 0;

	for (size_t i = 0; i < files->count && r >= 0; i++)
		r = om_case_attach(d->store, d->c, what, files->item[i], &d->actor, err);
	return r < 0 ? r : 0;
}

static int gather_ledgers(struct case_desk *d, const struct option_list *dirs, struct error_text *err)
{
	for (size_t i = 0; i < dirs->count; i++) {
		_cleanup_ledger_ struct om_ledger *node = NULL;
		struct om_gathered g;
		int r = om_ledger_open(dirs->item[i], OM_LEDGER_READ_ONLY, 0, &node, err);

		r = r ?: om_case_gather(d->store, d->c, node, &d->actor, &g, err);
		if (r)
			return r;
		printf("%s: %llu jobs, %llu assignments, %llu entries of readings, %llu alerts, %llu others; "
		       "%llu were there. %s\n",
		       dirs->item[i], (unsigned long long)g.jobs, (unsigned long long)g.assignments,
		       (unsigned long long)g.readings, (unsigned long long)g.alerts,
		       (unsigned long long)g.others, (unsigned long long)g.known,
		       g.is_signed ? "Proved against the ledger's own checkpoint."
				   : "The ledger has no checkpoint over them: proved against its root as it "
				     "stands.");
	}
	return 0;
}

int case_gather(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *by = NULL, *regimes = NULL;
	struct option_list ledgers = { 0 }, owners = { 0 }, customers = { 0 }, files = { 0 };
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "by", "PERSON", OPTION_STRING, &by, "who gathers it" },
		{ "ledger", "DIR", OPTION_STRINGS, &ledgers,
		  "a node's ledger, or a copy: what it holds of the tenant; may be repeated" },
		{ "regimes", "DIR", OPTION_STRING, &regimes,
		  "attach the regime that the finding names by its digest (none)" },
		{ "owners", "FILE", OPTION_STRINGS, &owners,
		  "attach ownership facts as given: the whole file, other customers' too (none)" },
		{ "customer", "FILE", OPTION_STRINGS, &customers, "attach what the customer gave (none)" },
		{ "attach", "FILE", OPTION_STRINGS, &files, "attach any other file; may be repeated" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "case gather",
		.operands = "CASE",
		.summary = "Copies what stands behind a case into its store, so that it outlives the node: "
			   "entries of ledgers, each with the\nproof that it was in that log, and files. "
			   "Again is harmless: only what is new is added.",
		.options = options,
	};
	_cleanup_desk_ struct case_desk d = { 0 };
	struct error_text err = { 0 };
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !by) {
		log_error("case gather: name one CASE and who gathers (--by PERSON)");
		return EXIT_USAGE;
	}
	r = case_desk_open(&d, dir, false, argv[at], by);
	if (r)
		return store_exit(r);
	r = gather_ledgers(&d, &ledgers, &err);
	if (r == 0 && regimes)
		r = attach_regime(&d, regimes, &err);
	r = r < 0 ? r : attach_all(&d, "ownership", &owners, &err);
	r = r ?: attach_all(&d, "customer", &customers, &err);
	r = r ?: attach_all(&d, "attachment", &files, &err);
	if (r)
		return case_say(&err, r);
	printf("%s: gathered\n", om_case_id(d.c));
	return EXIT_OK;
}

/* --- erase --- */

static int ask(struct case_desk *d, const char *reason, struct error_text *err)
{
	_cleanup_(json_decrefp) json_t *act =
		json_pack("{s:s,s:s}", "act", "erase-request", "reason", reason);
	uint64_t entry = 0;
	int r = act ? om_case_act(d->store, d->c, act, NULL, &d->actor, &entry, err) : -EINVAL;

	if (r)
		return case_say(err, r);
	printf("%s: its erasure is asked for in entry %llu; a second person does it, with --second\n",
	       om_case_id(d->c), (unsigned long long)entry);
	return EXIT_OK;
}

int case_erase(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *by = NULL, *reason = NULL, *clocks = RETENTION_DEFAULT;
	bool second = false;
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "by", "PERSON", OPTION_STRING, &by, "who says so" },
		{ "reason", "TEXT", OPTION_STRING, &reason, "why" },
		{ "second", NULL, OPTION_FLAG, &second, "the second person's word: destroys it" },
		{ "retention", "FILE", OPTION_STRING, &clocks, "the clocks (" RETENTION_DEFAULT ")" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "case erase",
		.operands = "CASE",
		.summary =
			"Destroys what a closed case holds, when every clock has run out and no hold is on "
			"it: one person asks,\nanother does it. The log keeps the leaves and the act, so "
			"every "
			"proof still holds.",
		.options = options,
	};
	_cleanup_(om_retention_freep) struct om_retention *retention = NULL;
	_cleanup_desk_ struct case_desk d = { 0 };
	struct error_text err = { 0 };
	uint64_t act;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !by || !reason) {
		log_error("case erase: name one CASE, who (--by PERSON) and why (--reason TEXT)");
		return EXIT_USAGE;
	}
	r = om_retention_load(clocks, &retention, &err);
	if (r)
		return case_say(&err, -EINVAL);
	r = case_desk_open(&d, dir, false, argv[at], by);
	if (r)
		return store_exit(r);
	if (!second)
		return ask(&d, reason, &err);
	r = om_case_erase(d.store, d.c, retention, reason, &d.actor, &act, &err);
	if (r < 0)
		return case_say(&err, r);
	printf("%s: destroyed by act %llu\n", om_case_id(d.c), (unsigned long long)act);
	if (r)
		log_warn("%s: another process reads the store: its journal keeps the bytes until that ends "
			 "and the "
			 "store is next written",
			 dir);
	return EXIT_OK;
}

int verb_case(int argc, char **argv)
{
	static const struct store_act acts[] = {
		{ "take", "open cases for findings", case_take },
		{ "list", "the cases", case_list },
		{ "show", "one case, whole", case_show },
		{ "gather", "copy what stands behind it into the store", case_gather },
		{ "note", "add a note", case_speak },
		{ "fact", "record a field, with its source", case_speak },
		{ "assign", "say who runs the account's machines", case_speak },
		{ "checklist", "mark a duty as done", case_speak },
		{ "inquiry", "record a question to the customer", case_speak },
		{ "answer", "record its answer", case_speak },
		{ "event", "record what a retention clock runs from", case_speak },
		{ "hold", "nothing of it is destroyed", case_speak },
		{ "release", "end a hold", case_speak },
		{ "determine", "the first person's determination", case_speak },
		{ "confirm", "the second person's word", case_speak },
		{ "escalate", "hand it on", case_speak },
		{ "reopen", "open it again", case_speak },
		{ "erase", "destroy it, by two people", case_erase },
		{ 0 },
	};

	return store_dispatch("case", "What reviewers work on. Each act is an entry of the store's log.",
			      acts, argc, argv);
}
