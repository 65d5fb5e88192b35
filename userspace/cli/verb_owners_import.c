// SPDX-License-Identifier: Apache-2.0
/* `owners import`: a file, all of it or nothing; what is not taken is told row by row. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../base/text.h"
#include "../core/owner_import.h"
#include "../core/screening.h"
#include "owners_verbs.h"

struct wanted {
	const char *db, *format, *source, *as_of, *rejects, *by;
	uint64_t lost_max;
	bool complete, partial, dry_run, json;
};

struct telling {
	const char *file;
	FILE *rejects; /* NULL: the first ones go to the terminal */
	unsigned shown;
	bool is_terminal, has_bar;
};

static void put_field(FILE *f, const char *s)
{
	putc('"', f);
	for (; *s; s++) {
		if (*s == '"')
			putc('"', f);
		putc(*s, f);
	}
	putc('"', f);
}

static void clear_bar(struct telling *t)
{
	if (t->has_bar)
		fprintf(stderr, "\r%*s\r", 70, "");
	t->has_bar = false;
}

static int on_reject(void *ctx, uint64_t line, const struct owner_reject *r)
{
	struct telling *t = ctx;

	if (!t->rejects) {
		clear_bar(t);
		if (t->shown++ < 10)
			log_warn("%s:%llu: %s%s%s: %s", t->file, (unsigned long long)line, r->column,
				 *r->column ? ": " : "", owner_reject_name(r->kind), r->reason);
		else if (t->shown == 11)
			log_warn("%s: more rejects follow: `--rejects FILE` keeps them all", t->file);
		return 0;
	}
	put_field(t->rejects, t->file);
	fprintf(t->rejects, ",%llu,", (unsigned long long)line);
	put_field(t->rejects, r->column);
	fprintf(t->rejects, ",%s,", owner_reject_name(r->kind));
	put_field(t->rejects, r->reason);
	return fprintf(t->rejects, "\n") < 0 ? -EIO : 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct telling *t = ctx;
	int filled = total ? (int)(done * 30 / total) : 0;

	if (!t->is_terminal)
		return;
	if (total)
		fprintf(stderr, "\r  [%.*s%*s] %3d %%  %llu MB", filled, "##############################",
			30 - filled, "", (int)(done * 100 / total), (unsigned long long)(done / 1000000));
	else
		fprintf(stderr, "\r  %llu MB", (unsigned long long)(done / 1000000));
	t->has_bar = true;
}

static void print_json(const struct owner_import *i, int r, bool is_dry, uint64_t hits)
{
	json_t *rejects = json_object();
	char *text;
	json_t *o;

	for (enum owner_reject_kind k = 0; k < OWNER_REJECT_END; k++)
		json_object_set_new(rejects, owner_reject_name(k), json_integer((json_int_t)i->rejected[k]));
	o = json_pack("{s:s,s:s,s:s,s:b,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:o,s:s}", "file", i->file, "format",
		      owner_format_name(i->format), "source", i->source, "complete", i->is_complete,
		      "imported", r == 0 && !is_dry, "dry_run", is_dry, "rows", (json_int_t)i->rows, "new",
		      (json_int_t)i->taken, "confirmed", (json_int_t)i->confirmed, "ended",
		      (json_int_t)i->ended, "hits", (json_int_t)hits, "rejects", rejects, "sha256",
		      i->digest);
	text = json_dumps(o, JSON_COMPACT);
	puts(text ?: "");
	free(text);
	json_decref(o);
}

static void print_words(const struct owner_import *i, int r, bool is_dry, uint64_t hits)
{
	uint64_t lost = 0;

	for (enum owner_reject_kind k = 0; k < OWNER_REJECT_END; k++)
		lost += owner_reject_is_loss(k) ? i->rejected[k] : 0;
	printf("%s: %s of %s, %s\n  %llu rows: %llu %snew or changed, %llu as before", i->file,
	       owner_format_name(i->format), i->source,
	       r	? "nothing imported, nothing is changed"
	       : is_dry ? "would be imported"
			: "imported",
	       (unsigned long long)i->rows, (unsigned long long)i->taken, r || is_dry ? "would be " : "",
	       (unsigned long long)i->confirmed);
	for (enum owner_reject_kind k = 0; k < OWNER_REJECT_END; k++)
		if (i->rejected[k])
			printf(", %llu %s", (unsigned long long)i->rejected[k], owner_reject_name(k));
	if (i->ended)
		printf("; %llu told no longer, and ended", (unsigned long long)i->ended);
	printf("\n");
	if (r && lost)
		printf("  rejected rows stop it: --rejects FILE lists each with its line, --lost-max %llu "
		       "imports without them%s\n",
		       (unsigned long long)lost,
		       i->format == OWNER_FORMAT_CSL_JSON ? "; of JSON that breaks off nothing is" : "");
	if (hits)
		printf("  hits on lists: %llu (`opmeter owners screen`)\n", (unsigned long long)hits);
}

/* The last part of a path: whose machine it lay on is no part of the fact. */
static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(path, "-") ? "standard input" : slash ? slash + 1 : path;
}

static int fill(const struct wanted *w, struct owner_import *i)
{
	int32_t as_of = INT32_MIN;

	if (!w->format || owner_format_parse(w->format, &i->format)) {
		log_error("owners import: --format is one of gleif-lei, gleif-rr, gleif-repex, entities, "
			  "holdings, csl, csl-json");
		return -EINVAL;
	}
	if (!w->as_of || owners_take_day("as-of", w->as_of, &as_of)) {
		if (!w->as_of)
			log_error("owners import: give --as-of DATE: the day of the file, by its publisher");
		return -EINVAL;
	}
	if (as_of > owners_today() + 1) {
		log_error("owners import: --as-of %s lies in the future", w->as_of);
		return -EINVAL;
	}
	i->as_of_day = as_of;
	i->source = w->source
			    ?: i->format <= OWNER_FORMAT_REPEX ? "GLEIF"
		       : i->format >= OWNER_FORMAT_CSL	       ? "US-CSL"
							       : NULL;
	if (!i->source || !*i->source || strlen(i->source) > 64) {
		log_error("owners import: give --source NAME: who says so");
		return -EINVAL;
	}
	/* The list is published whole; an entry that is gone is no longer listed. */
	i->is_complete = (w->complete || i->format >= OWNER_FORMAT_CSL) && !w->partial;
	i->by = w->by ?: "";
	i->at_s = owners_now_s();
	return 0;
}

static int run(const struct wanted *w, const char *path)
{
	_cleanup_(owner_store_freep) struct owner_store *s = NULL;
	_cleanup_fclose_ FILE *rejects = NULL;
	struct owner_import i = { .file = name_of(path) };
	struct telling t = { .file = i.file, .is_terminal = isatty(STDERR_FILENO) };
	const struct owner_sink sink = { &t, on_progress, on_reject };
	struct error_text err = { 0 };
	uint64_t hits = 0;
	int r = fill(w, &i);

	if (r)
		return EXIT_USAGE;
	if (w->rejects) {
		t.rejects = rejects = fopen(w->rejects, "we");
		if (!rejects || fprintf(rejects, "file,line,column,reject,reason\n") < 0) {
			log_error("%s: cannot be written: %m", w->rejects);
			return EXIT_FAILED;
		}
	}
	r = owner_store_open(w->db, OWNER_STORE_CREATE, &s, &err);
	r = r ?: owner_import_run(s, path, &i, w->lost_max, w->dry_run, &sink, &err);
	clear_bar(&t);
	if (r == 0 && !w->dry_run)
		r = owner_store_screen(s, NAME_SCORE_LEAST, &hits);
	if (rejects && (fflush(rejects) || ferror(rejects)))
		r = r < 0 ? r : -EIO;
	if (r < 0)
		return owners_failed(w->db, r, &err);
	(w->json ? print_json : print_words)(&i, r, w->dry_run, hits);
	return r ? EXIT_FINDING : EXIT_OK;
}

int owners_import(int argc, char **argv)
{
	struct wanted w = { .db = OWNERS_DEFAULT_DB };
	const struct option options[] = {
		{ "db", "FILE", OPTION_STRING, &w.db,
		  "the owners database (" OWNERS_DEFAULT_DB "); made if it is not there" },
		{ "format", "NAME", OPTION_STRING, &w.format,
		  "gleif-lei, gleif-rr, gleif-repex, entities, holdings, csl or csl-json" },
		{ "as-of", "DATE", OPTION_STRING, &w.as_of, "the day of the file, by its publisher" },
		{ "source", "NAME", OPTION_STRING, &w.source, "who says so (GLEIF, US-CSL; else needed)" },
		{ "complete", NULL, OPTION_FLAG, &w.complete,
		  "what this source told before and is not in the file has ended" },
		{ "partial", NULL, OPTION_FLAG, &w.partial, "it has not: for a part of a screening list" },
		{ "lost-max", "N", OPTION_UINT, &w.lost_max,
		  "import although up to N rows are rejected (0)" },
		{ "rejects", "FILE", OPTION_STRING, &w.rejects,
		  "every reject as CSV: file, line, column, reject, reason" },
		{ "dry-run", NULL, OPTION_FLAG, &w.dry_run, "read and check all of it, change nothing" },
		{ "by", "PERSON", OPTION_STRING, &w.by, "who imports it (nobody is named)" },
		{ "json", NULL, OPTION_FLAG, &w.json, "as one object" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "owners import",
		.operands = "FILE",
		.summary = "Takes a file, all of it or nothing, in constant memory. `-` is standard input "
			   "(CSV only). Rejected "
			   "rows stop it,\nunless --lost-max allows them. Exit codes: 0 imported, 3 nothing "
			   "imported because rows "
			   "were rejected.",
		.options = options,
	};
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc) {
		log_error("owners import: give one FILE");
		return EXIT_USAGE;
	}
	return run(&w, argv[at]);
}
