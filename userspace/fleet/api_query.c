// SPDX-License-Identifier: Apache-2.0
#include "api_query.h"

#include <errno.h>
#include <string.h>
#include <sodium.h>

#include "../base/text.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct decoder {
	char *out, *end;
	const char *why;
};

/* One part into d->out, ended by a zero. NULL: d->why says what is wrong. */
static const char *decode(struct decoder *d, const char *s, size_t len, bool is_query)
{
	char *begin = d->out;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= ' ' || c >= 0x7f) {
			d->why = "a byte stands there that must be percent-encoded";
			return NULL;
		}
		if (c == '+' && is_query) {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < len ? hex_digit(s[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(s[i + 2]) : -1;

			if (low < 0) {
				d->why = "a percent sign without two hexadecimal digits";
				return NULL;
			}
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (c < ' ' || c == 0x7f) {
			d->why = "a control character";
			return NULL;
		}
		*d->out++ = (char)c;
	}
	*d->out++ = '\0';
	if (!text_is_utf8(begin)) {
		d->why = "what is encoded there is no UTF-8";
		return NULL;
	}
	return begin;
}

static int parse_path(struct decoder *d, const char *s, size_t len, struct api_query *q)
{
	size_t at = 1;

	if (len == 0 || s[0] != '/') {
		d->why = "a path begins with a slash";
		return -EBADMSG;
	}
	while (at < len) {
		const char *slash = memchr(s + at, '/', len - at);
		size_t end = slash ? (size_t)(slash - s) : len;

		if (q->segments == API_SEGMENTS_MAX)
			return -E2BIG;
		if (end == at || end + 1 == len) {
			d->why = "a part of the path is empty";
			return -EBADMSG;
		}
		q->segment[q->segments] = decode(d, s + at, end - at, false);
		if (!q->segment[q->segments])
			return -EBADMSG;
		q->segments++;
		at = end + 1;
	}
	return 0;
}

static int parse_param(struct decoder *d, const char *s, size_t len, struct api_query *q)
{
	const char *equals = memchr(s, '=', len), *name, *value;
	size_t n = equals ? (size_t)(equals - s) : len;

	if (q->params == API_PARAMS_MAX)
		return -E2BIG;
	name = decode(d, s, n, true);
	value = name ? decode(d, equals ? equals + 1 : s, equals ? len - n - 1 : 0, true) : NULL;
	if (!value)
		return -EBADMSG;
	if (!*name || api_query_get(q, name)) {
		d->why = *name ? "a parameter is there twice" : "a parameter has no name";
		return -EBADMSG;
	}
	q->param[q->params].name = name;
	q->param[q->params++].value = value;
	return 0;
}

int api_query_parse(const char *target, size_t len, struct api_query *ret, const char **ret_why)
{
	struct decoder d = { .out = ret->text };
	const char *mark = memchr(target, '?', len);
	size_t at = mark ? (size_t)(mark - target) : len;
	int r;

	ret->segments = ret->params = 0;
	*ret_why = NULL;
	/* Each part loses the separator before it and gets a zero, so the text fits; a name and its
	 * value may come from one separator, hence the room for each parameter below. */
	if (len > API_TARGET_MAX - API_PARAMS_MAX)
		return -E2BIG;
	r = parse_path(&d, target, at, ret);
	for (at++; r == 0 && at < len;) {
		const char *next = memchr(target + at, '&', len - at);
		size_t end = next ? (size_t)(next - target) : len;

		r = parse_param(&d, target + at, end - at, ret);
		at = end + 1;
	}
	*ret_why = d.why;
	return r;
}

const char *api_query_get(const struct api_query *q, const char *name)
{
	for (size_t i = 0; i < q->params; i++)
		if (!strcmp(q->param[i].name, name))
			return q->param[i].value;
	return NULL;
}

const char *api_query_unknown(const struct api_query *q, const char *const *known)
{
	for (size_t i = 0; i < q->params; i++) {
		const char *const *k = known;

		while (*k && strcmp(*k, q->param[i].name))
			k++;
		if (!*k)
			return q->param[i].name;
	}
	return NULL;
}

int api_cursor_encode(const char *const names[API_CURSOR_NAMES], char out[API_CURSOR_MAX])
{
	unsigned char raw[API_CURSOR_MAX];
	size_t n = 0;

	for (int i = 0; i < API_CURSOR_NAMES; i++) {
		size_t len = strlen(names[i]) + 1;

		if (n + len > API_CURSOR_MAX / 2)
			return -E2BIG;
		memcpy(raw + n, names[i], len);
		n += len;
	}
	sodium_bin2base64(out, API_CURSOR_MAX, raw, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return 0;
}

int api_cursor_decode(const char *text, const char *names[API_CURSOR_NAMES], char buf[API_CURSOR_MAX])
{
	size_t len, at = 0;

	if (sodium_base642bin((unsigned char *)buf, API_CURSOR_MAX, text, strlen(text), NULL, &len, NULL,
			      sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
	    len == 0 || buf[len - 1])
		return -EBADMSG;
	for (int i = 0; i < API_CURSOR_NAMES; i++) {
		if (at >= len || !text_is_utf8(buf + at))
			return -EBADMSG;
		names[i] = buf + at;
		at += strlen(buf + at) + 1;
	}
	return at == len ? 0 : -EBADMSG;
}
