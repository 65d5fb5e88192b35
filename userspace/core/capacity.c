// SPDX-License-Identifier: Apache-2.0
/* Chips and inventories, from CSV. What caps make of them is in capacity_judge.c. */
#include "capacity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "capacity_internal.h"
#include "country.h"

#define FIELDS_MAX 16
#define LINE_BYTES_MAX 4096
#define FILE_BYTES_MAX (256u << 20)

struct chips {
	struct {
		char name[64];
		uint64_t tpp;
	} * item;
	size_t count, room;
};

struct chips *chips_free(struct chips *c)
{
	if (c)
		free(c->item);
	free(c);
	return NULL;
}

struct inventory *inventory_free(struct inventory *i)
{
	if (!i)
		return NULL;
	free(i->row);
	free(i->home);
	free(i->status);
	free(i);
	return NULL;
}

/* One line into its fields, in place. -1: a quote that nothing closes, text behind one, too many fields. */
static int split(char *line, char *field[FIELDS_MAX])
{
	int n = 0;

	for (char *s = line;; s++) {
		char *out;

		if (n == FIELDS_MAX)
			return -1;
		field[n++] = out = s;
		if (*s != '"') {
			s += strcspn(s, ",");
			if (memchr(out, '"', (size_t)(s - out)))
				return -1;
		} else {
			field[n - 1] = out = s + 1;
			for (s++; *s && (*s != '"' || s[1] == '"'); s++) {
				s += *s == '"';
				*out++ = *s;
			}
			if (*s != '"' || (s[1] && s[1] != ','))
				return -1;
			*out = '\0';
			s++;
		}
		if (!*s)
			return n;
		*s = '\0';
	}
}

/* Lines of a text, one after the other, without their ends, comments and empty ones. */
struct lines {
	const char *at, *end;
	unsigned number;
	char text[LINE_BYTES_MAX];
};

/* 1: a line; 0: the end; -1: too long, or with a NUL byte. */
static int next_line(struct lines *l)
{
	while (l->at < l->end) {
		const char *stop = memchr(l->at, '\n', (size_t)(l->end - l->at)) ?: l->end;
		size_t n = (size_t)(stop - l->at);
		const char *from = l->at;

		l->at = stop < l->end ? stop + 1 : stop;
		l->number++;
		if (n && from[n - 1] == '\r')
			n--;
		if (n >= sizeof(l->text) || memchr(from, '\0', n))
			return -1;
		memcpy(l->text, from, n);
		l->text[n] = '\0';
		if (n && l->text[0] != '#')
			return 1;
	}
	return 0;
}

static int check_header(struct lines *l, const char *name, const char *header, struct error_text *err)
{
	int r = next_line(l);
	const char *text = !strncmp(l->text, "\xef\xbb\xbf", 3) ? l->text + 3 : l->text;

	if (r == 1 && !strcmp(text, header))
		return 0;
	return error_set(err, -EINVAL, "%s:%u: the first line must be %s", name, l->number ? l->number : 1,
			 header);
}

/* A rate to a tenth, in tenths; empty: 0. */
static int parse_rate(const char *s, uint64_t *ret)
{
	char *end;
	unsigned long whole = strtoul(s, &end, 10), tenth = 0;

	*ret = 0;
	if (!*s)
		return 0;
	if (*s < '0' || *s > '9' || whole > 10000000)
		return -EINVAL;
	if (*end == '.') {
		if (end[1] < '0' || end[1] > '9' || end[2])
			return -EINVAL;
		tenth = (unsigned long)(end[1] - '0');
		end += 2;
	}
	*ret = 10 * whole + tenth;
	return *end ? -EINVAL : 0;
}

static int add_chip(struct chips *c, char *field[FIELDS_MAX], const char **why)
{
	static const uint64_t bits[] = { 16, 8, 8, 4 };
	uint64_t rate, best = 0, said;

	*why = "a rate is a number with at most one decimal";
	for (int i = 0; i < 4; i++) {
		if (parse_rate(field[1 + i], &rate))
			return -EINVAL;
		best = rate * bits[i] > best ? rate * bits[i] : best;
	}
	*why = "the TPP is not the highest of rate x bits";
	if (parse_rate(field[5], &said) || said % 10 || best / 10 != said / 10 || best == 0)
		return -EINVAL;
	*why = "a name is missing or too long, or stands here twice; evidence and source must be given";
	if (!field[0][0] || strlen(field[0]) >= sizeof(c->item->name) || chips_tpp(c, field[0]) ||
	    !field[6][0] || !field[7][0])
		return -EINVAL;
	if (c->count == c->room) {
		size_t room = c->room ? 2 * c->room : 32;
		void *bigger = reallocarray(c->item, room, sizeof(*c->item));

		if (!bigger)
			return -ENOMEM;
		c->item = bigger;
		c->room = room;
	}
	snprintf(c->item[c->count].name, sizeof(c->item->name), "%s", field[0]);
	c->item[c->count++].tpp = said / 10;
	return 0;
}

int chips_parse(const char *name, const char *text, size_t len, struct chips **ret, struct error_text *err)
{
	_cleanup_(chips_freep) struct chips *c = calloc(1, sizeof(*c));
	struct lines l = { .at = text, .end = text + len };
	int more, r = c ? check_header(&l, name, "name,bf16,fp8,int8,fp4,tpp,evidence,source", err) : -ENOMEM;

	while (r == 0 && (more = next_line(&l)) != 0) {
		const char *why = "eight fields, quoted as in RFC 4180, in a line of less than 4 KiB";
		char *field[FIELDS_MAX];

		r = more < 0 || split(l.text, field) != 8 ? -EINVAL : add_chip(c, field, &why);
		if (r == -EINVAL)
			return error_set(err, r, "%s:%u: %s", name, l.number, why);
	}
	if (r == 0)
		*ret = TAKE_PTR(c);
	return r;
}

uint64_t chips_tpp(const struct chips *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (!strcasecmp(c->item[i].name, name))
			return c->item[i].tpp;
	return 0;
}

static bool set_name(char *to, size_t size, const char *from)
{
	for (const char *s = from; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return *from && (size_t)snprintf(to, size, "%s", from) < size;
}

/* NULL, or why the row is refused. */
static const char *read_row(const struct chips *chips, char *field[FIELDS_MAX], struct inventory_row *ret)
{
	const char *cc = field[1];
	opcount count, tpp;
	uint64_t one = chips_tpp(chips, field[3]);

	if (!set_name(ret->site, sizeof(ret->site), field[0]) ||
	    !set_name(ret->owner, sizeof(ret->owner), field[2]))
		return "site or owner is empty, too long, or holds control characters";
	if (strlen(cc) != 2 || cc[0] < 'A' || cc[0] > 'Z' || cc[1] < 'A' || cc[1] > 'Z')
		return "a country is two capital letters (ISO 3166-1)";
	memcpy(ret->country, cc, 3);
	if (!country_is_code(cc))
		return "no country of ISO 3166-1 has that code";
	if (!one || !set_name(ret->chip, sizeof(ret->chip), field[3]))
		return "a chip of which no TPP is known: add it to tpp.csv with its source";
	if (strspn(field[4], "0123456789") != strlen(field[4]) || opcount_parse(field[4], &count) ||
	    count == 0 || count > 1000000000)
		return "the count is a whole number from 1 to 10^9";
	if (date_parse(field[5], &ret->day))
		return "a date is YYYY-MM-DD";
	if (opcount_mul(count, one, &tpp))
		return "the count is absurd";
	ret->tpp = tpp;
	return NULL;
}

static int add_row(struct inventory *i, const struct inventory_row *row)
{
	if (i->rows == CAPACITY_ROWS_MAX)
		return -E2BIG;
	if (i->rows == i->room) {
		size_t room = i->room ? 2 * i->room : 256;
		void *bigger = reallocarray(i->row, room, sizeof(*i->row));

		if (!bigger)
			return -ENOMEM;
		i->row = bigger;
		i->room = room;
	}
	i->row[i->rows++] = *row;
	return 0;
}

int inventory_parse(const char *name, const char *text, size_t len, const struct chips *chips,
		    void (*reject)(void *ctx, unsigned line, const char *why), void *ctx,
		    struct inventory **ret, struct error_text *err)
{
	_cleanup_(inventory_freep) struct inventory *inv = calloc(1, sizeof(*inv));
	struct lines l = { .at = text, .end = text + len };
	size_t bad = 0;
	int more, r = inv ? check_header(&l, name, "site,country,owner,chip,count,date", err) : -ENOMEM;

	while (r == 0 && (more = next_line(&l)) != 0) {
		struct inventory_row row = { .line = l.number };
		char *field[FIELDS_MAX];
		const char *why = more < 0 || split(l.text, field) != 6
					  ? "six fields, quoted as in RFC 4180, in a line of less than 4 KiB"
					  : read_row(chips, field, &row);

		if (why && bad++ == 0)
			error_set(err, -EINVAL, "%s:%u: %s", name, l.number, why);
		if (why && reject)
			reject(ctx, l.number, why);
		r = why ? 0 : add_row(inv, &row);
	}
	if (r == 0 && bad)
		return -EINVAL;
	if (r == 0)
		*ret = TAKE_PTR(inv);
	return r;
}

static int read_file(const char *path, char **ret, size_t *ret_len, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t room = 65536, n = 0, got;

	if (!f)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	for (;;) {
		char *bigger = realloc(text, room);

		if (!bigger)
			return -ENOMEM;
		text = bigger;
		got = fread(text + n, 1, room - n, f);
		n += got;
		if (got == 0)
			break;
		if (n == room && room >= FILE_BYTES_MAX)
			return error_set(err, -EFBIG, "%s: over 256 MiB", path);
		if (n == room)
			room *= 2;
	}
	if (ferror(f))
		return error_set(err, -EIO, "%s: cannot be read: %m", path);
	*ret_len = n;
	*ret = TAKE_PTR(text);
	return 0;
}

int chips_load(const char *path, struct chips **ret, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_file(path, &text, &len, err);

	return r ?: chips_parse(path, text, len, ret, err);
}

int inventory_load(const char *path, const struct chips *chips,
		   void (*reject)(void *ctx, unsigned line, const char *why), void *ctx,
		   struct inventory **ret, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_file(path, &text, &len, err);

	return r ?: inventory_parse(path, text, len, chips, reject, ctx, ret, err);
}
