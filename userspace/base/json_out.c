// SPDX-License-Identifier: Apache-2.0
#include "json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

void json_out_free(struct json_out *o)
{
	free(o->text);
	*o = (struct json_out){ .text = NULL };
}

void json_out_reset(struct json_out *o)
{
	o->len = 0;
	o->failed = false;
}

/* Room for n bytes more and the zero behind them; NULL once memory ran out. */
static char *need(struct json_out *o, size_t n)
{
	size_t room = o->room ? o->room : 2048;
	char *more;

	if (o->failed)
		return NULL;
	if (o->room - o->len > n)
		return o->text + o->len;
	while (room - o->len <= n)
		room *= 2;
	more = realloc(o->text, room);
	if (!more) {
		o->failed = true;
		return NULL;
	}
	o->text = more;
	o->room = room;
	return o->text + o->len;
}

const char *json_out_text(struct json_out *o)
{
	char *end = need(o, 0);

	if (!end)
		return NULL;
	*end = '\0';
	return o->text;
}

char *json_out_take(struct json_out *o)
{
	char *text = (char *)json_out_text(o);

	if (text)
		*o = (struct json_out){ .text = NULL };
	return text;
}

static void put(struct json_out *o, const char *bytes, size_t n)
{
	char *at = need(o, n);

	if (!at)
		return;
	memcpy(at, bytes, n);
	o->len += n;
}

/* A comma, unless this is the first of an object or array, or the value of a key. */
static void separate(struct json_out *o)
{
	char last = o->len ? o->text[o->len - 1] : '{';

	if (last != '{' && last != '[' && last != ':')
		put(o, ",", 1);
}

void json_out_open(struct json_out *o, char open)
{
	separate(o);
	put(o, &open, 1);
}

void json_out_close(struct json_out *o, char close)
{
	put(o, &close, 1);
}

void json_out_key(struct json_out *o, const char *key)
{
	size_t n = strlen(key);
	char *at;

	separate(o);
	at = need(o, n + 3);
	if (!at)
		return;
	at[0] = '"';
	memcpy(at + 1, key, n);
	at[n + 1] = '"';
	at[n + 2] = ':';
	o->len += n + 3;
}

#define EACH(byte) (0x0101010101010101ULL * (byte))

/* How many bytes from s on stand in JSON as they are: printable ASCII but quotes and backslashes. Eight at a
 * time: a byte is found by the borrow that subtracting from it leaves in its highest bit, which may also mark
 * a byte behind a found one, and never one in front of the first. */
static size_t plain(const char *s, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t w, quote, slash, found;

		memcpy(&w, s + i, 8);
		quote = w ^ EACH('"');
		slash = w ^ EACH('\\');
		found = ((w - EACH(0x20)) & ~w) | ((quote - EACH(1)) & ~quote) |
			((slash - EACH(1)) & ~slash) | w;
		if (found & EACH(0x80))
			break;
	}
	while (i < len && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x80 && s[i] != '"' &&
	       s[i] != '\\')
		i++;
	return i;
}

/* One character that does not stand as it is. Returns its bytes in s. */
static size_t put_special(struct json_out *o, const char *s)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", digits[] = "0123456789ABCDEF";
	unsigned char c = (unsigned char)*s;
	const char *is_short = strchr(from, c);
	size_t n;

	if (is_short) {
		put(o, (char[]){ '\\', to[is_short - from] }, 2);
		return 1;
	}
	if (c < 0x20) {
		put(o, (char[]){ '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] }, 6);
		return 1;
	}
	n = text_character(s);
	if (n == 0)
		put(o, "\xef\xbf\xbd", 3);
	else
		put(o, s, n);
	return n ? n : 1;
}

void json_out_string(struct json_out *o, const char *value)
{
	const char *end = value + strlen(value);

	separate(o);
	put(o, "\"", 1);
	while (value < end) {
		size_t n = plain(value, (size_t)(end - value));

		put(o, value, n);
		value += n;
		if (value < end)
			value += put_special(o, value);
	}
	put(o, "\"", 1);
}

void json_out_count(struct json_out *o, opcount v)
{
	char n[OPCOUNT_STRLEN];

	json_out_string(o, opcount_format(v, n));
}

void json_out_number(struct json_out *o, int64_t v)
{
	char text[OPCOUNT_STRLEN];
	opcount size = v < 0 ? -(opcount)v : (opcount)v;

	separate(o);
	if (v < 0)
		put(o, "-", 1);
	opcount_format(size, text);
	put(o, text, strlen(text));
}

void json_out_real(struct json_out *o, double v)
{
	char text[40], *e;

	snprintf(text, sizeof(text) - 2, "%.17g", v);
	e = strchr(text, 'e');
	if (!e && !strchr(text, '.')) {
		strcat(text, ".0"); /* else it would be read as a whole number */
	} else if (e) {
		/* e+05 and e-05: no plus, no zeros in front. */
		char *digits = e + 1 + (e[1] == '-' || e[1] == '+');
		char *to = e + 1 + (e[1] == '-');

		while (digits[0] == '0' && digits[1])
			digits++;
		memmove(to, digits, strlen(digits) + 1);
	}
	json_out_raw(o, text, strlen(text));
}

void json_out_bool(struct json_out *o, bool v)
{
	json_out_raw(o, v ? "true" : "false", v ? 4 : 5);
}

void json_out_null(struct json_out *o)
{
	json_out_raw(o, "null", 4);
}

void json_out_raw(struct json_out *o, const char *json, size_t len)
{
	separate(o);
	put(o, json, len);
}
