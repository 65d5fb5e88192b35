// SPDX-License-Identifier: Apache-2.0
#include "json_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cleanup.h"

#define DEPTH_MAX 64
#define TEXT_MAX (1u << 20)

struct json_stream {
	char *path;
	gzFile file; /* NULL: memory */
	const unsigned char *at, *end;
	unsigned char *buffer;
	size_t buffer_size;
	uint64_t before; /* bytes in front of the buffer */
	const unsigned char *start;
	char *text;
	size_t len, room;
	char in[DEPTH_MAX]; /* '{' or '[' */
	int depth;
	bool need_key, begun, ended, broken;
};

static int stream_new(struct json_stream **ret, const char *path)
{
	struct json_stream *s = calloc(1, sizeof(*s));

	if (!s || !(s->path = strdup(path)) || !(s->text = malloc(256))) {
		json_stream_free(s);
		return -ENOMEM;
	}
	s->room = 256;
	s->text[0] = '\0';
	*ret = s;
	return 0;
}

int json_stream_open(const char *path, struct json_stream **ret, struct error_text *err)
{
	_cleanup_(json_stream_freep) struct json_stream *s = NULL;
	int r = stream_new(&s, path);

	if (r)
		return r;
	s->file = gzopen(path, "rbe");
	if (!s->file)
		return error_set(err, errno ? -errno : -ENOMEM, "%s: cannot be read: %m", path);
	s->buffer_size = 1 << 18;
	s->buffer = malloc(s->buffer_size);
	if (!s->buffer)
		return -ENOMEM;
	gzbuffer(s->file, 1 << 18);
	s->at = s->end = s->start = s->buffer;
	*ret = TAKE_PTR(s);
	return 0;
}

int json_stream_memory(const void *text, size_t len, struct json_stream **ret)
{
	int r = stream_new(ret, "memory");

	if (r)
		return r;
	(*ret)->at = (*ret)->start = text;
	(*ret)->end = (const unsigned char *)text + len;
	return 0;
}

struct json_stream *json_stream_free(struct json_stream *s)
{
	if (!s)
		return NULL;
	if (s->file)
		gzclose(s->file);
	free(s->buffer);
	free(s->path);
	free(s->text);
	free(s);
	return NULL;
}

const char *json_stream_text(const struct json_stream *s)
{
	return s->text;
}

uint64_t json_stream_offset(const struct json_stream *s)
{
	return s->before + (uint64_t)(s->at - s->start);
}

static int bad(struct json_stream *s, struct error_text *err, const char *what)
{
	return error_set(err, -EBADMSG, "%s: byte %llu: %s", s->path,
			 (unsigned long long)json_stream_offset(s), what);
}

/* The next byte without taking it; -1: the end, which may be a cut file. */
static int peek(struct json_stream *s)
{
	int n, zerr;

	if (s->at < s->end)
		return *s->at;
	if (!s->file || s->broken)
		return -1;
	s->before += (uint64_t)(s->at - s->start);
	n = gzread(s->file, s->buffer, (unsigned)s->buffer_size);
	s->at = s->start = s->buffer;
	s->end = s->buffer + (n > 0 ? n : 0);
	if (n <= 0) {
		gzerror(s->file, &zerr);
		s->broken = n < 0 || (zerr != Z_OK && zerr != Z_STREAM_END);
		return -1;
	}
	return *s->at;
}

static int cut_or_bad(struct json_stream *s, struct error_text *err, const char *what)
{
	return bad(s, err, s->broken ? "the compressed file is damaged or cut short" : what);
}

static int put(struct json_stream *s, int c)
{
	if (s->len + 1 >= s->room) {
		char *more;

		if (s->room >= TEXT_MAX)
			return -E2BIG;
		more = realloc(s->text, s->room * 2);
		if (!more)
			return -ENOMEM;
		s->text = more;
		s->room *= 2;
	}
	s->text[s->len++] = (char)c;
	s->text[s->len] = '\0';
	return 0;
}

static int put_utf8(struct json_stream *s, unsigned c)
{
	if (c == 0)
		return put(s, '?'); /* a NUL would end the text early */
	if (c < 0x80)
		return put(s, (int)c);
	if (c < 0x800)
		return put(s, (int)(0xc0 | c >> 6)) ?: put(s, (int)(0x80 | (c & 63)));
	return put(s, (int)(0xe0 | c >> 12)) ?: put(s, (int)(0x80 | (c >> 6 & 63))) ?: put(s, (int)(0x80 | (c & 63)));
}

static int read_hex(struct json_stream *s, unsigned *ret)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		int c = peek(s);

		if (c >= '0' && c <= '9')
			v = v * 16 + (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (unsigned)((c | 32) - 'a') + 10;
		else
			return -EBADMSG;
		s->at++;
	}
	*ret = v;
	return 0;
}

static int read_escape(struct json_stream *s)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int c = peek(s);
	const char *known = c > 0 ? strchr(from, c) : NULL;
	unsigned v;

	if (c == 'u') {
		s->at++;
		return read_hex(s, &v) ?: put_utf8(s, v);
	}
	if (!known)
		return put(s, '\\'); /* escapes nothing: it stands for itself */
	s->at++;
	return put(s, to[known - from]);
}

static int read_text(struct json_stream *s, struct error_text *err)
{
	int c, r = 0;

	s->at++; /* the quote */
	s->len = 0;
	s->text[0] = '\0';
	while ((c = peek(s)) != '"') {
		if (c < 0)
			return cut_or_bad(s, err, "a string does not end");
		s->at++;
		r = c == '\\' ? read_escape(s) : put(s, c ? c : '?');
		if (r == -E2BIG)
			return bad(s, err, "a string of over 1 MiB");
		if (r)
			return r == -EBADMSG ? bad(s, err, "a broken \\u escape") : r;
	}
	s->at++;
	return 0;
}

/* Nothing was taken yet, and the file begins with a byte order mark of UTF-16, or has a zero in every other
 * byte. */
static bool is_utf16(const struct json_stream *s)
{
	const unsigned char *b = s->at;

	return json_stream_offset(s) < 2 && s->end - b >= 2 &&
	       ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff) || !b[0] || !b[1]);
}

/* Numbers, true, false, null, and what profilers write for numbers that are none. */
static int read_word(struct json_stream *s, enum json_token *ret, struct error_text *err)
{
	static const struct {
		const char *word;
		enum json_token token;
		bool number;
	} words[] = { { "true", JSON_TOKEN_TRUE, false },      { "false", JSON_TOKEN_FALSE, false },
		      { "null", JSON_TOKEN_NULL, false },      { "NaN", JSON_TOKEN_NUMBER, true },
		      { "nan", JSON_TOKEN_NUMBER, true },      { "-nan", JSON_TOKEN_NUMBER, true },
		      { "Infinity", JSON_TOKEN_NUMBER, true }, { "-Infinity", JSON_TOKEN_NUMBER, true },
		      { "inf", JSON_TOKEN_NUMBER, true },      { "-inf", JSON_TOKEN_NUMBER, true } };
	int c;

	s->len = 0;
	s->text[0] = '\0';
	while ((c = peek(s)) > 0 &&
	       (strchr("+-.", c) || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'))) {
		if (s->len > 64 || put(s, c))
			return bad(s, err, "a number or word that is too long");
		s->at++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(s->text, words[i].word))
			continue;
		*ret = words[i].token;
		if (words[i].number)
			strcpy(s->text, "0");
		return 0;
	}
	if (s->len == 0 || !strpbrk(s->text, "0123456789") || strspn(s->text, "+-.0123456789eE") != s->len)
		return cut_or_bad(s, err, is_utf16(s) ? "the file is UTF-16, not UTF-8" : "not JSON");
	*ret = JSON_TOKEN_NUMBER;
	return 0;
}

static int open_level(struct json_stream *s, char kind, struct error_text *err)
{
	if (s->depth == DEPTH_MAX)
		return bad(s, err, "nested too deeply");
	s->at++;
	s->in[s->depth++] = kind;
	s->need_key = kind == '{';
	return 0;
}

static int close_level(struct json_stream *s, char kind, struct error_text *err)
{
	if (s->depth == 0 || s->in[s->depth - 1] != kind)
		return bad(s, err, "a bracket that closes nothing");
	s->at++;
	s->depth--;
	s->need_key = s->depth && s->in[s->depth - 1] == '{';
	return 0;
}

static int read_key(struct json_stream *s, struct error_text *err)
{
	int c, r = read_text(s, err);

	if (r)
		return r;
	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
	if (c != ':')
		return cut_or_bad(s, err, "a key without ':'");
	s->at++;
	s->need_key = false;
	return 0;
}

int json_stream_next(struct json_stream *s, enum json_token *ret, struct error_text *err)
{
	int c, r;

	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r' || (c == ',' && s->depth))
		s->at++;
	if (c < 0) {
		if (s->depth || !s->begun || s->broken)
			return cut_or_bad(s, err,
					  s->begun ? "the file ends in mid-value" : "the file is empty");
		*ret = JSON_TOKEN_END;
		return 0;
	}
	if (s->begun && s->depth == 0)
		return bad(s, err, "more than one value");
	s->begun = true;
	/* Readers go by keys to the end of their object: its end in a value's place would lead them past it.
	 */
	if (c == '}' && s->depth && s->in[s->depth - 1] == '{' && !s->need_key)
		return bad(s, err, "a key without a value");
	if (c == '}' || c == ']') {
		*ret = c == '}' ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
		return close_level(s, c == '}' ? '{' : '[', err);
	}
	if (s->need_key) {
		*ret = JSON_TOKEN_KEY;
		return c == '"' ? read_key(s, err) : bad(s, err, "a key that is no string");
	}
	if (c == '{' || c == '[') {
		*ret = c == '{' ? JSON_TOKEN_OBJECT : JSON_TOKEN_ARRAY;
		return open_level(s, (char)c, err);
	}
	*ret = JSON_TOKEN_TEXT;
	r = c == '"' ? read_text(s, err) : read_word(s, ret, err);
	s->need_key = s->depth && s->in[s->depth - 1] == '{';
	return r;
}

int json_stream_skip(struct json_stream *s, struct error_text *err)
{
	int depth = s->depth - 1, r;
	enum json_token t;

	while (s->depth > depth) {
		r = json_stream_next(s, &t, err);
		if (r)
			return r;
	}
	return 0;
}
