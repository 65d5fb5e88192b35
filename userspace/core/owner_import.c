// SPDX-License-Identifier: Apache-2.0
#include "owner_import.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "../base/csv.h"
#include "../base/json_stream.h"
#include "../base/text.h"

struct running {
	struct owner_store *store;
	struct owner_import *i;
	const struct owner_sink *sink;
	const char *path;
	bool is_json;
	uint64_t entries;
};

static int tell(struct running *g, uint64_t line, const struct owner_reject *r)
{
	g->i->rejected[r->kind]++;
	return g->sink->reject(g->sink->ctx, line, r);
}

static int tell_twice(struct running *g, uint64_t line, const struct owner_fact *f, bool is_conflict,
		      uint64_t other)
{
	struct owner_reject r = { .kind = is_conflict ? OWNER_REJECT_CONFLICT : OWNER_REJECT_DUPLICATE };

	snprintf(r.reason, sizeof(r.reason), "%s%s%s: %s line %llu", f->entity, f->parent ? " and " : "",
		 f->parent ?: "", is_conflict ? "something else is said of it in" : "the same is said in",
		 (unsigned long long)other);
	return tell(g, line, &r);
}

static int take(struct running *g, const struct owner_fact *f, uint64_t line)
{
	uint64_t other = 0;
	int r = owner_store_put(g->store, f, line, &other);

	if (r < 0)
		return r;
	g->i->taken += r == OWNER_PUT_NEW;
	g->i->confirmed += r == OWNER_PUT_CONFIRMED;
	if (r == OWNER_PUT_DUPLICATE || r == OWNER_PUT_CONFLICT)
		return tell_twice(g, line, f, r == OWNER_PUT_CONFLICT, other);
	return 0;
}

static int bad_row(struct running *g, const struct csv_row *row)
{
	struct owner_reject r = { .kind = row->is_encoding ? OWNER_REJECT_ENCODING : OWNER_REJECT_MALFORMED };

	snprintf(r.column, sizeof(r.column), "field %zu", row->problem_column);
	if (row->last_line > row->line)
		snprintf(r.reason, sizeof(r.reason), "%s; the row ends in line %llu", row->problem,
			 (unsigned long long)row->last_line);
	else
		snprintf(r.reason, sizeof(r.reason), "%s", row->problem);
	return tell(g, row->line, &r);
}

static int one_row(struct running *g, struct owner_columns *c, struct csv_row *row)
{
	struct owner_reject note;
	struct owner_fact f;
	int r = owner_fact_read(c, row->field, row->count, &f, &note);

	if (r < 0)
		return r;
	if (note.kind != OWNER_REJECT_END) {
		int told = tell(g, row->line, &note);

		if (told)
			return told;
	}
	return r == 0 ? take(g, &f, row->line) : 0;
}

static int read_rows(struct running *g, struct csv *csv, struct owner_columns *c)
{
	struct csv_row row;
	int r;

	while ((r = csv_next(csv, &row)) == CSV_ROW || r == CSV_BAD) {
		g->i->rows++;
		r = r == CSV_BAD ? bad_row(g, &row) : one_row(g, c, &row);
		if (r)
			return r;
		if (g->sink->progress && g->i->rows % 4096 == 0)
			g->sink->progress(g->sink->ctx, csv_offset(csv), csv_size(csv));
	}
	return r == CSV_END ? 0 : r;
}

static int import_csv(struct running *g, struct error_text *err)
{
	_cleanup_(csv_freep) struct csv *csv = NULL;
	_cleanup_(owner_columns_done) struct owner_columns c = { 0 };
	struct error_text why = { 0 };
	struct csv_row head;
	int r = csv_open(g->path, &csv, err);

	if (r)
		return r;
	r = csv_next(csv, &head);
	if (r < 0)
		return error_set(err, r, "%s: cannot be read: %s", g->path, strerror(-r));
	if (r != CSV_ROW)
		return error_set(err, -EINVAL, "%s:%llu: no head of columns: %s", g->path,
				 (unsigned long long)head.line,
				 r == CSV_END ? "the file is empty" : head.problem);
	r = owner_columns_init(&c, g->i->format, g->i->as_of_day, head.field, head.count, &why);
	if (r)
		return error_set(err, r, "%s:%llu: %s", g->path, (unsigned long long)head.line, why.text);
	r = read_rows(g, csv, &c);
	csv_digest(csv, g->i->digest);
	return r;
}

/* The line of a byte, for a reject; 1 in a file that can't be read twice. */
static uint64_t line_of(const char *path, uint64_t offset)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	uint64_t line = 1;
	int c;

	while (f && offset-- && (c = getc(f)) != EOF)
		line += c == '\n';
	return line;
}

static const char *bad_text(const struct owner_csl *e)
{
	const struct {
		const char *name, *text;
	} fields[] = { { "id", e->id },
		       { "source", e->source },
		       { "name", e->name },
		       { "alt_names", e->alt_names },
		       { "ids", e->ids },
		       { "programs", e->programs },
		       { "addresses", e->countries },
		       { "type", e->type },
		       { "source_list_url", e->source_list_url } };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].text && !text_is_utf8(fields[i].text))
			return fields[i].name;
	return NULL;
}

static int one_entry(void *ctx, const struct owner_csl *e, uint64_t offset)
{
	const char *bad = bad_text(e);
	struct running *g = ctx;
	struct owner_reject note;
	struct owner_fact f;
	int r;

	g->i->rows++;
	if (bad) {
		note = (struct owner_reject){ .kind = OWNER_REJECT_ENCODING };
		snprintf(note.column, sizeof(note.column), "%s", bad);
		snprintf(note.reason, sizeof(note.reason), "text that is not UTF-8");
		r = 1;
	} else {
		r = owner_csl_read(e, g->i->as_of_day, &f, &note);
	}
	/* Lines are looked for only where one is told; an entry is its number in the list. */
	return r ? tell(g, line_of(g->path, offset), &note) : take(g, &f, g->i->rows);
}

static int digest_of(const char *path, char ret[65], struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	unsigned char buffer[65536], hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;
	size_t n;

	if (!f)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	crypto_hash_sha256_init(&s);
	while ((n = fread(buffer, 1, sizeof(buffer), f)))
		crypto_hash_sha256_update(&s, buffer, n);
	if (ferror(f))
		return error_set(err, -EIO, "%s: cannot be read to its end", path);
	crypto_hash_sha256_final(&s, hash);
	sodium_bin2hex(ret, 65, hash, sizeof(hash));
	return 0;
}

static int import_json(struct running *g, bool *ret_broken, struct error_text *err)
{
	_cleanup_(json_stream_freep) struct json_stream *j = NULL;
	struct owner_reject note = { .kind = OWNER_REJECT_MALFORMED };
	struct error_text why = { 0 };
	int r = digest_of(g->path, g->i->digest, err);

	r = r ?: json_stream_open(g->path, &j, err);
	r = r ?: owner_csl_each(j, one_entry, g, &why);
	if (r != -EBADMSG)
		return r;
	/* What follows cannot be told apart any more. */
	*ret_broken = true;
	snprintf(note.reason, sizeof(note.reason), "%.250s", why.text);
	return tell(g, line_of(g->path, json_stream_offset(j)), &note);
}

int owner_import_run(struct owner_store *s, const char *path, struct owner_import *i, uint64_t lost_max,
		     bool is_dry, const struct owner_sink *sink, struct error_text *err)
{
	struct running g = { .store = s, .i = i, .sink = sink, .path = path };
	bool is_broken = false;
	uint64_t lost = 0;
	int r = owner_store_begin(s, i, err);

	if (r)
		return error_set(err, r, "%s: the import cannot begin: %s", i->file, strerror(-r));
	r = i->format == OWNER_FORMAT_CSL_JSON ? import_json(&g, &is_broken, err) : import_csv(&g, err);
	for (enum owner_reject_kind k = 0; k < OWNER_REJECT_END; k++)
		lost += owner_reject_is_loss(k) ? i->rejected[k] : 0;
	if (r == 0 && (is_broken || lost > lost_max))
		r = 1;
	if (r == 0 && !is_dry)
		return owner_store_commit(s);
	owner_store_rollback(s);
	return r;
}
