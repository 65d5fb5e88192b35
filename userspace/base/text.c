// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at s; 0: none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const uint8_t *s)
{
	static const struct {
		uint8_t from, to, second_from, second_to, length;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (s[0] < forms[i].from || s[0] > forms[i].to)
			continue;
		if (s[1] < forms[i].second_from || s[1] > forms[i].second_to)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if (s[k] < 0x80 || s[k] > 0xbf)
				return 0;
		return forms[i].length;
	}
	return 0;
}

size_t text_character(const char *s)
{
	return utf8_length((const uint8_t *)s);
}

bool text_is_utf8(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	while (*s) {
		size_t len = utf8_length(s);

		if (len == 0)
			return false;
		s += len;
	}
	return true;
}

const char *text_escape(const char *in, char *out, size_t size)
{
	const uint8_t *s = (const uint8_t *)in;
	size_t n = 0;

	while (*s) {
		size_t len = utf8_length(s);
		char escaped[5];
		const void *from = s;

		if (len == 0 || *s < 0x20 || *s == 0x7f || *s == '\\') {
			snprintf(escaped, sizeof(escaped), "\\x%02x", *s);
			from = escaped;
			s++;
			len = 4;
		} else {
			s += len;
		}
		if (n + len + 1 > size)
			break;
		memcpy(out + n, from, len);
		n += len;
	}
	out[n] = '\0';
	return out;
}

/* Bytes of text, at most max, that end between characters. */
static size_t cut(const char *text, size_t max)
{
	size_t n = strnlen(text, max + 1);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

void text_add_cut(struct text_out *t, const char *text, size_t max)
{
	size_t left = t->size - t->len - 1, n = cut(text, max < left ? max : left);

	memcpy(t->buf + t->len, text, n);
	t->len += n;
	t->buf[t->len] = '\0';
}

void text_add_words(struct text_out *t, const char *text, size_t max)
{
	size_t left = t->size - t->len - 1, n = strlen(text);

	if (max > left)
		max = left;
	if (n <= max) {
		text_add(t, text);
		return;
	}
	n = max < 3 ? 0 : max - 3;
	for (size_t i = n; i > n / 2; i--) {
		if (text[i] == ' ') {
			n = i;
			break;
		}
	}
	text_add_cut(t, text, n);
	text_add_cut(t, "...", 3);
}

void text_add(struct text_out *t, const char *text)
{
	text_add_cut(t, text, SIZE_MAX - 1);
}

int text_split_address(const char *s, char *host, size_t size, const char **ret_port)
{
	const char *colon = strrchr(s, ':');
	size_t n = colon ? (size_t)(colon - s) : 0;

	if (!n || !colon[1] || strlen(colon + 1) > 7)
		return -EINVAL;
	if (s[0] == '[' && colon[-1] == ']' && n >= 2) {
		s++;
		n -= 2;
	}
	if (n >= size)
		return -EINVAL;
	memcpy(host, s, n);
	host[n] = '\0';
	*ret_port = colon + 1;
	return 0;
}

bool text_is_name(const char *s, size_t len)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	for (size_t i = 0; i < len; i++)
		if (!memchr(set, s[i], sizeof(set) - 1))
			return false;
	return len > 0;
}

#define DISTANCE_MAX 80

size_t text_distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[DISTANCE_MAX + 1];

	if (strlen(a) > DISTANCE_MAX || n > DISTANCE_MAX)
		return strcmp(a, b) ? DISTANCE_MAX : 0;
	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (; *a; a++) {
		size_t corner = row[0];

		row[0]++;
		for (size_t k = 1; k <= n; k++) {
			size_t best = corner + (*a != b[k - 1]);

			corner = row[k];
			if (row[k] + 1 < best)
				best = row[k] + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
		}
	}
	return row[n];
}
