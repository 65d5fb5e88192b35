// SPDX-License-Identifier: Apache-2.0
/*
 * The screening list in JSON: {"results": [entry, ...], ...}, or the array alone.
 * Of an entry, a text field may be a string, a number or a list; what is in a
 * list becomes a line each, what is in an object of `ids` its values with commas.
 */
#include "owner_import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/json_stream.h"

#define ENTRY_MAX (1u << 20)

enum field {
	F_ID,
	F_SOURCE,
	F_TYPE,
	F_PROGRAMS,
	F_NAME,
	F_ADDRESSES,
	F_START,
	F_END,
	F_ALT,
	F_IDS,
	F_URL,
	F_COUNT
};
static const char *const names[F_COUNT] = {
	[F_ID] = "id",
	[F_SOURCE] = "source",
	[F_TYPE] = "type",
	[F_PROGRAMS] = "programs",
	[F_NAME] = "name",
	[F_ADDRESSES] = "addresses",
	[F_START] = "start_date",
	[F_END] = "end_date",
	[F_ALT] = "alt_names",
	[F_IDS] = "ids",
	[F_URL] = "source_list_url",
};

struct entry {
	char *text;
	size_t len, room;
	size_t at[F_COUNT]; /* position + 1 of the field's text; 0: not there */
};

struct reader {
	struct json_stream *j;
	struct entry e;
	int (*fn)(void *ctx, const struct owner_csl *e, uint64_t offset);
	void *ctx;
	struct error_text *err;
};

static int put(struct reader *r, const char *s, size_t len)
{
	struct entry *e = &r->e;

	if (len == 0)
		return 0;
	if (e->len + len > ENTRY_MAX)
		return error_set(r->err, -EBADMSG, "byte %llu: an entry of over 1 MiB",
				 (unsigned long long)json_stream_offset(r->j));
	if (e->len + len > e->room) {
		size_t room = (e->len + len) * 2;
		char *more = realloc(e->text, room);

		if (!more)
			return -ENOMEM;
		e->text = more;
		e->room = room;
	}
	memcpy(e->text + e->len, s, len);
	e->len += len;
	return 0;
}

static int put_separated(struct reader *r, size_t begin, const char *separator)
{
	const char *s = json_stream_text(r->j);
	int rc = r->e.len > begin && *s ? put(r, separator, strlen(separator)) : 0;

	return rc ?: put(r, s, strlen(s));
}

static bool is_scalar(enum json_token t)
{
	return t == JSON_TOKEN_TEXT || t == JSON_TOKEN_NUMBER;
}

static int skip(struct reader *r, enum json_token t)
{
	return t == JSON_TOKEN_OBJECT || t == JSON_TOKEN_ARRAY ? json_stream_skip(r->j, r->err) : 0;
}

/* An object within a list: of addresses the country, of others each value. */
static int read_object(struct reader *r, enum field f, size_t begin)
{
	enum json_token t;
	size_t item = r->e.len;
	bool wanted = false;
	int rc;

	while ((rc = json_stream_next(r->j, &t, r->err)) == 0 && t != JSON_TOKEN_OBJECT_END) {
		if (t == JSON_TOKEN_KEY)
			wanted = f != F_ADDRESSES || !strcmp(json_stream_text(r->j), "country");
		else if (is_scalar(t) && wanted)
			rc = put_separated(r, begin, r->e.len == item ? "\n" : ", ");
		else
			rc = skip(r, t);
		if (rc)
			return rc;
	}
	return rc;
}

static int read_list(struct reader *r, enum field f, size_t begin)
{
	enum json_token t;
	int rc;

	while ((rc = json_stream_next(r->j, &t, r->err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		if (is_scalar(t))
			rc = put_separated(r, begin, f == F_PROGRAMS ? "; " : "\n");
		else if (t == JSON_TOKEN_OBJECT)
			rc = read_object(r, f, begin);
		else
			rc = skip(r, t);
		if (rc)
			return rc;
	}
	return rc;
}

static int read_field(struct reader *r, enum field f)
{
	size_t begin = r->e.len;
	enum json_token t;
	int rc = json_stream_next(r->j, &t, r->err);

	if (rc)
		return rc;
	r->e.at[f] = begin + 1;
	if (is_scalar(t))
		rc = put(r, json_stream_text(r->j), strlen(json_stream_text(r->j)));
	else if (t == JSON_TOKEN_ARRAY)
		rc = read_list(r, f, begin);
	else
		rc = skip(r, t);
	return rc ?: put(r, "", 1);
}

static int skip_value(struct reader *r)
{
	enum json_token t;

	return json_stream_next(r->j, &t, r->err) ?: skip(r, t);
}

static int read_entry(struct reader *r)
{
	uint64_t offset = json_stream_offset(r->j);
	const char *of[F_COUNT];
	enum json_token t;
	int rc;

	r->e.len = 0;
	memset(r->e.at, 0, sizeof(r->e.at));
	while ((rc = json_stream_next(r->j, &t, r->err)) == 0 && t == JSON_TOKEN_KEY) {
		const char *key = json_stream_text(r->j);
		int f = F_COUNT;

		for (int i = 0; i < F_COUNT; i++)
			if (!strcmp(key, names[i]) || (i == F_ID && !strcmp(key, "_id")))
				f = i;
		rc = f < F_COUNT && !r->e.at[f] ? read_field(r, (enum field)f) : skip_value(r);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	for (int i = 0; i < F_COUNT; i++)
		of[i] = r->e.at[i] ? r->e.text + r->e.at[i] - 1 : "";
	return r->fn(r->ctx,
		     &(struct owner_csl){ .id = of[F_ID],
					  .source = of[F_SOURCE],
					  .type = of[F_TYPE],
					  .programs = of[F_PROGRAMS],
					  .name = of[F_NAME],
					  .countries = of[F_ADDRESSES],
					  .start_date = of[F_START],
					  .end_date = of[F_END],
					  .alt_names = of[F_ALT],
					  .ids = of[F_IDS],
					  .source_list_url = of[F_URL] },
		     offset);
}

static int read_results(struct reader *r)
{
	enum json_token t;
	int rc;

	while ((rc = json_stream_next(r->j, &t, r->err)) == 0 && t != JSON_TOKEN_ARRAY_END) {
		if (t != JSON_TOKEN_OBJECT)
			return error_set(r->err, -EBADMSG, "byte %llu: an entry that is no object",
					 (unsigned long long)json_stream_offset(r->j));
		rc = read_entry(r);
		if (rc)
			return rc;
	}
	return rc;
}

static int read_top(struct reader *r)
{
	bool found = false;
	enum json_token t;
	int rc = json_stream_next(r->j, &t, r->err);

	if (rc)
		return rc;
	if (t == JSON_TOKEN_ARRAY)
		return read_results(r) ?: json_stream_next(r->j, &t, r->err);
	if (t != JSON_TOKEN_OBJECT)
		return error_set(r->err, -EBADMSG, "neither an object with results nor a list");
	while ((rc = json_stream_next(r->j, &t, r->err)) == 0 && t == JSON_TOKEN_KEY) {
		bool is_results = !strcmp(json_stream_text(r->j), "results");

		if (!is_results || found) {
			rc = skip_value(r);
		} else {
			found = true;
			rc = json_stream_next(r->j, &t, r->err);
			if (rc == 0 && t != JSON_TOKEN_ARRAY)
				return error_set(r->err, -EBADMSG, "'results' is no list");
			rc = rc ?: read_results(r);
		}
		if (rc)
			return rc;
	}
	if (rc == 0 && !found)
		return error_set(r->err, -EBADMSG, "no 'results' in it");
	return rc ?: json_stream_next(r->j, &t, r->err);
}

int owner_csl_each(struct json_stream *j, int (*fn)(void *ctx, const struct owner_csl *e, uint64_t offset),
		   void *ctx, struct error_text *err)
{
	struct reader r = { .j = j, .fn = fn, .ctx = ctx, .err = err };
	int rc = read_top(&r);

	free(r.e.text);
	return rc;
}
