// SPDX-License-Identifier: Apache-2.0
/* The only file that includes libyaml. */
#include "yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>
#include <yaml.h>

#include "cleanup.h"
#include "text.h"

#define MAX_BYTES (8u << 20)
#define MAX_DEPTH 16
#define MAX_NODES 200000

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct yaml_node {
	struct yaml *doc;
	enum node_kind kind;
	int line;
	bool quoted, taken;
	char *text; /* of a scalar */
	char *key;  /* if it stands in a mapping */
	struct yaml_node *first, *last, *next;
	struct yaml_node *all_next; /* for freeing, whatever the shape */
	size_t count;
};

struct yaml {
	char *name;
	char digest[65];
	struct yaml_node *root, *all;
	size_t nodes;
};

static int error_at(const struct yaml *y, int line, struct error_text *err, const char *text)
{
	return error_set(err, -EINVAL, "%s:%d: %s", y->name, line, text);
}

int yaml_error(const struct yaml_node *n, struct error_text *err, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_at(n->doc, n->line, err, text);
}

struct yaml *yaml_close(struct yaml *y)
{
	if (!y)
		return NULL;
	while (y->all) {
		struct yaml_node *n = y->all;

		y->all = n->all_next;
		free(n->text);
		free(n->key);
		free(n);
	}
	free(y->name);
	free(y);
	return NULL;
}

struct yaml_node *yaml_root(struct yaml *y)
{
	return y->root;
}

const char *yaml_digest(const struct yaml *y)
{
	return y->digest;
}

const char *yaml_name(const struct yaml *y)
{
	return y->name;
}

int yaml_line(const struct yaml_node *n)
{
	return n->line;
}

static struct yaml_node *node_new(struct yaml *y, enum node_kind kind, const yaml_event_t *e)
{
	struct yaml_node *n;

	if (y->nodes >= MAX_NODES)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->doc = y;
	n->kind = kind;
	n->line = (int)e->start_mark.line + 1;
	n->all_next = y->all;
	y->all = n;
	y->nodes++;
	return n;
}

static void node_append(struct yaml_node *parent, struct yaml_node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->count++;
}

/* What has been read so far of a document. */
struct builder {
	struct yaml *y;
	struct yaml_node *stack[MAX_DEPTH];
	int depth;
	char *pending_key; /* of the innermost mapping */
	struct error_text *err;
	const char *text;
	size_t len;
};

static bool has_key(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *c = map->first; c; c = c->next)
		if (!strcmp(c->key, key))
			return true;
	return false;
}

/* Puts a new node where it belongs: the root, a list, or behind a key. */
static int place(struct builder *b, struct yaml_node *n)
{
	struct yaml_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;

	if (!parent) {
		b->y->root = n;
		return 0;
	}
	if (parent->kind == NODE_MAP) {
		if (!b->pending_key)
			return error_at(b->y, n->line, b->err, "a key must be plain text");
		n->key = TAKE_PTR(b->pending_key);
	}
	node_append(parent, n);
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *e)
{
	struct yaml_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;
	const char *text = (const char *)e->data.scalar.value;
	int line = (int)e->start_mark.line + 1;
	struct yaml_node *n;

	if (strlen(text) != e->data.scalar.length)
		return error_at(b->y, line, b->err, "text with a NUL byte");
	if (parent && parent->kind == NODE_MAP && !b->pending_key) {
		if (has_key(parent, text))
			return error_set(b->err, -EINVAL, "%s:%d: '%s' stands here twice", b->y->name, line,
					 text);
		b->pending_key = strdup(text);
		return b->pending_key ? 0 : -ENOMEM;
	}
	n = node_new(b->y, NODE_SCALAR, e);
	if (!n)
		return error_at(b->y, line, b->err, "too many items");
	n->text = strdup(text);
	n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return n->text ? place(b, n) : -ENOMEM;
}

static int on_open(struct builder *b, const yaml_event_t *e, enum node_kind kind)
{
	int line = (int)e->start_mark.line + 1;
	struct yaml_node *n;
	int r;

	if (b->depth == MAX_DEPTH)
		return error_at(b->y, line, b->err, "nested too deeply");
	n = node_new(b->y, kind, e);
	if (!n)
		return error_at(b->y, line, b->err, "too many items");
	r = place(b, n);
	if (r)
		return r;
	b->stack[b->depth++] = n;
	return 0;
}

static bool is_decorated(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.anchor || e->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor || e->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor || e->data.mapping_start.tag;
	default:
		return e->type == YAML_ALIAS_EVENT;
	}
}

static int on_event(struct builder *b, const yaml_event_t *e)
{
	if (is_decorated(e))
		return error_at(b->y, (int)e->start_mark.line + 1, b->err,
				"anchors, aliases and tags are not taken");
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, e, NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, e, NODE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_DOCUMENT_START_EVENT:
		if (b->y->root)
			return error_at(b->y, (int)e->start_mark.line + 1, b->err, "a second document");
		return 0;
	default:
		return 0;
	}
}

/* What the reader of characters stumbles over has an offset and no mark. */
static size_t problem_line(const struct builder *b, const yaml_parser_t *parser)
{
	size_t line = 1;

	if (parser->error != YAML_READER_ERROR)
		return parser->problem_mark.line + 1;
	for (size_t i = 0; i < parser->problem_offset && i < b->len; i++)
		line += b->text[i] == '\n';
	return line;
}

static int build(struct builder *b, yaml_parser_t *parser)
{
	bool end = false;
	int r = 0;

	while (r == 0 && !end) {
		yaml_event_t e;

		if (!yaml_parser_parse(parser, &e))
			return error_set(b->err, -EINVAL, "%s:%zu: %s", b->y->name, problem_line(b, parser),
					 parser->problem ? parser->problem : "cannot be read");
		r = on_event(b, &e);
		end = e.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
	}
	if (r == 0 && (!b->y->root || b->y->root->kind != NODE_MAP))
		return error_set(b->err, -EINVAL, "%s:1: expected `key: value` lines", b->y->name);
	return r;
}

int yaml_parse(const char *name, const void *text, size_t len, struct yaml **ret, struct error_text *err)
{
	_cleanup_(yaml_closep) struct yaml *y = calloc(1, sizeof(*y));
	unsigned char hash[crypto_hash_sha256_BYTES];
	struct builder b = { .y = y, .err = err, .text = text, .len = len };
	yaml_parser_t parser;
	int r;

	if (!y || !(y->name = strdup(name)))
		return -ENOMEM;
	crypto_hash_sha256(hash, text, len);
	sodium_bin2hex(y->digest, sizeof(y->digest), hash, sizeof(hash));
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, text, len);
	r = build(&b, &parser);
	free(b.pending_key); /* of a document that ends in the middle of a pair */
	yaml_parser_delete(&parser);
	if (r)
		return r;
	*ret = TAKE_PTR(y);
	return 0;
}

int yaml_load(const char *path, struct yaml **ret, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (!f)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	text = malloc(MAX_BYTES + 1);
	if (!text)
		return -ENOMEM;
	n = fread(text, 1, MAX_BYTES + 1, f);
	if (ferror(f))
		return error_set(err, -EIO, "%s: cannot be read: %m", path);
	if (n > MAX_BYTES)
		return error_set(err, -EFBIG, "%s: over 8 MiB: not a configuration file", path);
	return yaml_parse(path, text, n, ret, err);
}

struct yaml_node *yaml_take(struct yaml_node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	for (struct yaml_node *c = map->first; c; c = c->next) {
		if (!strcmp(c->key, key)) {
			c->taken = true;
			return c;
		}
	}
	return NULL;
}

/* What nobody asked for yet and looks like it: a slip, which stands on another line. */
static const struct yaml_node *near_key(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *c = map->first; c; c = c->next)
		if (!c->taken && text_distance(c->key, key) <= 2 && strlen(key) > 3)
			return c;
	return NULL;
}

int yaml_need(struct yaml_node *map, const char *key, struct yaml_node **ret, struct error_text *err)
{
	const struct yaml_node *slip;

	if (map->kind != NODE_MAP)
		return yaml_error(map, err, "expected `key: value` lines");
	*ret = yaml_take(map, key);
	if (*ret)
		return 0;
	slip = near_key(map, key);
	return slip ? yaml_error(slip, err, "'%s' is missing: is '%s' meant for it?", key, slip->key)
		    : yaml_error(map, err, "'%s' is missing", key);
}

int yaml_done(struct yaml_node *map, struct error_text *err)
{
	if (map->kind != NODE_MAP)
		return yaml_error(map, err, "expected `key: value` lines");
	for (struct yaml_node *c = map->first; c; c = c->next)
		if (!c->taken)
			return yaml_error(c, err, "unknown field '%s'", c->key);
	return 0;
}

int yaml_check_list(struct yaml_node *n, struct error_text *err)
{
	return n && n->kind != NODE_LIST && !yaml_is_null(n) ? yaml_error(n, err, "expected a list") : 0;
}

size_t yaml_count(const struct yaml_node *n)
{
	return n && n->kind == NODE_LIST ? n->count : 0;
}

struct yaml_node *yaml_first(struct yaml_node *list)
{
	return list && list->kind == NODE_LIST ? list->first : NULL;
}

struct yaml_node *yaml_next(struct yaml_node *item)
{
	return item->next;
}

bool yaml_is_null(const struct yaml_node *n)
{
	return n->kind == NODE_SCALAR && !n->quoted &&
	       (!n->text[0] || !strcmp(n->text, "null") || !strcmp(n->text, "~"));
}

bool yaml_is_map(const struct yaml_node *n)
{
	return n->kind == NODE_MAP;
}

int yaml_string(struct yaml_node *n, const char **ret, struct error_text *err)
{
	if (n->kind != NODE_SCALAR || yaml_is_null(n))
		return yaml_error(n, err, "expected text%s%s%s", n->key ? " for '" : "", n->key ? n->key : "",
				  n->key ? "'" : "");
	*ret = n->text;
	return 0;
}

int yaml_need_string(struct yaml_node *map, const char *key, const char **ret, struct error_text *err)
{
	struct yaml_node *n;
	int r = yaml_need(map, key, &n, err);

	return r ?: yaml_string(n, ret, err);
}

int yaml_optional_string(struct yaml_node *map, const char *key, const char **ret, struct error_text *err)
{
	struct yaml_node *n = yaml_take(map, key);

	return n && !yaml_is_null(n) ? yaml_string(n, ret, err) : 0;
}

int yaml_bool(struct yaml_node *map, const char *key, bool *ret, struct error_text *err)
{
	struct yaml_node *n = yaml_take(map, key);
	const char *s;
	int r;

	if (!n)
		return 0;
	r = yaml_string(n, &s, err);
	if (r)
		return r;
	if (strcmp(s, "true") && strcmp(s, "false"))
		return yaml_error(n, err, "'%s' must be true or false", key);
	*ret = !strcmp(s, "true");
	return 0;
}

int yaml_need_ops(struct yaml_node *map, const char *key, opcount *ret, struct error_text *err)
{
	struct yaml_node *n;
	const char *s;
	int r = yaml_need(map, key, &n, err);

	r = r ?: yaml_string(n, &s, err);
	if (r)
		return r;
	if (opcount_parse(s, ret))
		return yaml_error(n, err, "'%s' must be a whole number of operations such as 1e26, not '%s'",
				  key, s);
	return 0;
}

int yaml_need_word(struct yaml_node *map, const char *key, const char *const *words, int *ret,
		   struct error_text *err)
{
	char known[200] = "";
	struct yaml_node *n;
	const char *s;
	int r = yaml_need(map, key, &n, err);

	r = r ?: yaml_string(n, &s, err);
	if (r)
		return r;
	for (int i = 0; words[i]; i++) {
		if (!strcmp(words[i], s)) {
			*ret = i;
			return 0;
		}
		if (strlen(known) + strlen(words[i]) + 3 < sizeof(known)) {
			strcat(known, i ? ", " : "");
			strcat(known, words[i]);
		}
	}
	return yaml_error(n, err, "'%s' must be one of %s, not '%s'", key, known, s);
}

/* Days before a year, proleptic Gregorian, counted from year 0. */
static int32_t days_before_year(int32_t y)
{
	return 365 * y + (y + 3) / 4 - (y + 99) / 100 + (y + 399) / 400;
}

static int month_days(int y, int m)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[m - 1] + (m == 2 && ((y % 4 == 0 && y % 100) || y % 400 == 0));
}

int date_parse(const char *s, int32_t *ret_day)
{
	int y, m, d;
	int32_t day;

	if (strlen(s) != 10)
		return -EINVAL;
	for (int i = 0; i < 10; i++)
		if (i == 4 || i == 7 ? s[i] != '-' : s[i] < '0' || s[i] > '9')
			return -EINVAL;
	y = (s[0] - '0') * 1000 + (s[1] - '0') * 100 + (s[2] - '0') * 10 + s[3] - '0';
	m = (s[5] - '0') * 10 + s[6] - '0';
	d = (s[8] - '0') * 10 + s[9] - '0';
	if (y < 1900 || y > 2999 || m < 1 || m > 12 || d < 1 || d > month_days(y, m))
		return -EINVAL;
	day = days_before_year(y) - days_before_year(1970) + d - 1;
	for (int i = 1; i < m; i++)
		day += month_days(y, i);
	*ret_day = day;
	return 0;
}

const char *date_format(int32_t day, char buf[16])
{
	int y = 1900, m = 1;
	int32_t left = day - (days_before_year(1900) - days_before_year(1970));

	if (left < 0 || day > 376200)
		return strcpy(buf, "?");
	for (; left >= days_before_year(y + 1) - days_before_year(y); y++)
		left -= days_before_year(y + 1) - days_before_year(y);
	for (; left >= month_days(y, m); m++)
		left -= month_days(y, m);
	snprintf(buf, 16, "%04d-%02d-%02d", y % 10000, m % 100, (left + 1) % 100);
	return buf;
}

int yaml_date(struct yaml_node *map, const char *key, int32_t *ret, struct error_text *err)
{
	struct yaml_node *n = yaml_take(map, key);
	const char *s;
	int r;

	*ret = INT32_MIN;
	if (!n || yaml_is_null(n))
		return 0;
	r = yaml_string(n, &s, err);
	if (r)
		return r;
	return date_parse(s, ret)
		       ? yaml_error(n, err, "'%s' must be a date such as 2026-11-23, not '%s'", key, s)
		       : 0;
}

int yaml_share(struct yaml_node *map, const char *key, uint32_t *ret_ppm, struct error_text *err)
{
	struct yaml_node *n;
	const char *s;
	char *end;
	double v;
	int r = yaml_need(map, key, &n, err);

	r = r ?: yaml_string(n, &s, err);
	if (r)
		return r;
	v = strtod(s, &end);
	if (end > s && !strcmp(end, "%")) {
		v /= 100;
		end++;
	}
	if (end == s || *end || !(v >= 0 && v <= 1))
		return yaml_error(n, err, "'%s' must be a share such as 0.5 or 50%%, not '%s'", key, s);
	*ret_ppm = (uint32_t)(v * 1e6 + 0.5);
	return 0;
}
