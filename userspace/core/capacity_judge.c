// SPDX-License-Identifier: Apache-2.0
/* An inventory against caps: summed by owner, by country, by both; in all, or of a calendar year. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "capacity_internal.h"

#define PPM 1000000u

/* A row as a line of a sum: sorted by what is summed, equal ones are added. */
struct line {
	const struct inventory_row *row;
	const char *owner, *country; /* "" where it is summed over */
	opcount sum;
};

struct judging {
	const struct regimes *regimes;
	const struct inventory *inv;
	const struct regime *regime;
	const struct capacity_limit *limit;
	int32_t day;
	int (*fn)(void *ctx, const struct capacity_finding *f);
	void *ctx;
};

size_t inventory_rows(const struct inventory *i)
{
	return i->rows;
}

opcount inventory_tpp(const struct inventory *i, int32_t day)
{
	opcount sum = 0;

	for (size_t k = 0; k < i->rows; k++)
		if (i->row[k].day <= day)
			sum += i->row[k].tpp; /* 10^6 rows of 10^9 chips: far below 2^128 */
	return sum;
}

int inventory_home(struct inventory *i, const char *owner, const char *country)
{
	struct owner_home *bigger = reallocarray(i->home, i->homes + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	i->home = bigger;
	snprintf(bigger[i->homes].owner, sizeof(bigger->owner), "%s", owner);
	snprintf(bigger[i->homes++].country, sizeof(bigger->country), "%s", country);
	return 0;
}

int inventory_status(struct inventory *i, const char *owner, const char *status)
{
	struct owner_status *bigger = reallocarray(i->status, i->statuses + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	i->status = bigger;
	snprintf(bigger[i->statuses].owner, sizeof(bigger->owner), "%s", owner);
	snprintf(bigger[i->statuses++].status, sizeof(bigger->status), "%s", status);
	return 0;
}

size_t inventory_later(const struct inventory *i, int32_t day)
{
	size_t n = 0;

	for (size_t k = 0; k < i->rows; k++)
		n += i->row[k].day > day;
	return n;
}

static int compare_rows(const void *x, const void *y)
{
	const struct inventory_row *a = *(const struct inventory_row *const *)x,
				   *b = *(const struct inventory_row *const *)y;
	int r = strcmp(a->site, b->site) ?: strcmp(a->owner, b->owner);

	r = r ?: strcmp(a->country, b->country) ?: strcmp(a->chip, b->chip);
	r = r ?: (a->day > b->day) - (a->day < b->day);
	return r ?: (a->tpp > b->tpp) - (a->tpp < b->tpp);
}

int inventory_doubled(const struct inventory *i, size_t *ret)
{
	_cleanup_free_ const struct inventory_row **row = calloc(i->rows + 1, sizeof(*row));

	*ret = 0;
	if (!row)
		return -ENOMEM;
	for (size_t k = 0; k < i->rows; k++)
		row[k] = &i->row[k];
	qsort(row, i->rows, sizeof(*row), compare_rows);
	for (size_t k = 1; k < i->rows; k++)
		*ret += compare_rows(&row[k - 1], &row[k]) == 0;
	return 0;
}

/* 1: the owner is what the cap is about; 0: it is something else; -1: nobody said. */
static int has_status(const struct judging *j, const char *owner)
{
	const struct inventory *i = j->inv;

	if (!j->limit->status)
		return 1;
	for (size_t k = 0; k < i->statuses; k++)
		if (!strcmp(i->status[k].owner, owner))
			return !strcmp(i->status[k].status, j->limit->status);
	return -1;
}

/* By the same name as the rows' countries. */
static const char *home_of(const struct judging *j, const char *owner)
{
	const struct inventory *i = j->inv;

	for (size_t k = 0; k < i->homes; k++)
		if (!strcmp(i->home[k].owner, owner))
			return regimes_alias(j->regimes, i->home[k].country);
	return NULL;
}

static int compare_lines(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	int r = strcmp(a->owner, b->owner);

	return r ?: strcmp(a->country, b->country);
}

static bool by_owner(enum capacity_scope s)
{
	return s != CAPACITY_COUNTRY;
}

static bool by_country(enum capacity_scope s)
{
	return s == CAPACITY_COUNTRY || s == CAPACITY_OWNER_COUNTRY || s >= CAPACITY_SHARE_OUTSIDE;
}

/* The calendar year of a day, as its first day and the next year's. */
static void year_of(int32_t day, int32_t *ret_first, int32_t *ret_next)
{
	char text[16];
	int year;

	date_format(day, text);
	year = (int)strtol(text, NULL, 10);
	snprintf(text, sizeof(text), "%04d-01-01", year % 10000);
	date_parse(text, ret_first);
	snprintf(text, sizeof(text), "%04d-01-01", (year + 1) % 10000);
	date_parse(text, ret_next);
}

static bool counts(const struct judging *j, const struct inventory_row *row)
{
	const struct capacity_limit *l = j->limit;
	int32_t first, next;

	if (row->day > j->day || (l->from_day != INT32_MIN && row->day < l->from_day) ||
	    (l->to_day != INT32_MIN && row->day >= l->to_day))
		return false;
	if (l->scope == CAPACITY_OWNER_YEAR) {
		year_of(j->day, &first, &next);
		if (row->day < first || row->day >= next)
			return false;
	}
	/* A share is of all that the owner has: countries inside the set count in the whole. */
	if (l->set && l->scope < CAPACITY_SHARE_OUTSIDE &&
	    regimes_country_in(j->regimes, l->set, row->country))
		return false;
	if (l->in && !regimes_country_in(j->regimes, l->in, row->country))
		return false;
	return !l->except || !regimes_country_in(j->regimes, l->except, row->country);
}

static bool meets(const struct capacity_limit *l, opcount figure, opcount cap)
{
	return l->comparator == REGIME_AT_LEAST ? figure >= cap : figure > cap;
}

static int amount(const struct judging *j, const struct line *line, opcount tpp, unsigned number)
{
	const struct capacity_limit *l = j->limit;
	struct capacity_finding f = {
		.regime = j->regime, .limit = l, .tpp = tpp, .cap = l->tpp, .line = number
	};

	for (size_t i = 0; i < l->quarters; i++)
		if (l->quarter[i].from_day <= j->day)
			f.cap = l->quarter[i].tpp;
	if (l->quarters && l->quarter[0].from_day > j->day)
		return 0; /* the schedule has not begun */
	f.owner = by_owner(l->scope) ? line->owner : NULL;
	f.country = by_country(l->scope) || number ? line->country : NULL;
	if (f.owner && has_status(j, f.owner) == 0)
		return 0;
	f.is_conditional = l->missing || (f.owner && has_status(j, f.owner) < 0);
	f.is_met = !f.is_conditional && meets(l, tpp, f.cap);
	return j->fn(j->ctx, &f);
}

/* One owner's sums by country: what part of them stands outside, most in one country, away from home. */
static int shares(const struct judging *j, const struct line *line, size_t n)
{
	const struct capacity_limit *l = j->limit;
	struct capacity_finding f = { .regime = j->regime, .limit = l, .owner = line->owner };
	const char *home = home_of(j, line->owner);

	for (size_t i = 0; i < n; i++) {
		bool outside = l->set && !regimes_country_in(j->regimes, l->set, line[i].country);

		f.of += line[i].sum;
		if (l->scope == CAPACITY_SHARE_OUTSIDE && outside)
			f.tpp += line[i].sum;
		if (l->scope == CAPACITY_SHARE_COUNTRY && outside && line[i].sum > f.tpp) {
			f.tpp = line[i].sum;
			f.country = line[i].country;
		}
		if (l->scope == CAPACITY_SHARE_ABROAD && home && strcmp(line[i].country, home))
			f.tpp += line[i].sum;
	}
	if (l->home && home && strcmp(home, regimes_alias(j->regimes, l->home)))
		return 0;
	if (has_status(j, line->owner) == 0)
		return 0;
	f.is_conditional = (l->home && !home) || has_status(j, line->owner) < 0;
	f.is_met = !f.is_conditional && meets(l, f.tpp * PPM, f.of * l->share_ppm);
	return j->fn(j->ctx, &f);
}

/* Adds equal lines into the first of them. Returns how many are left. */
static size_t add_up(struct line *lines, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (out && compare_lines(&lines[out - 1], &lines[i]) == 0)
			lines[out - 1].sum += lines[i].sum;
		else
			lines[out++] = lines[i];
	}
	return out;
}

static int judge_sums(const struct judging *j, struct line *lines, size_t n)
{
	int r = 0;

	if (n)
		qsort(lines, n, sizeof(*lines), compare_lines);
	n = add_up(lines, n);
	for (size_t i = 0, end; r == 0 && i < n; i = end) {
		end = i + 1;
		if (j->limit->scope < CAPACITY_SHARE_OUTSIDE) {
			r = amount(j, &lines[i], lines[i].sum, 0);
			continue;
		}
		while (end < n && !strcmp(lines[end].owner, lines[i].owner))
			end++;
		r = shares(j, &lines[i], end - i);
	}
	return r;
}

static int judge_limit(struct judging *j)
{
	const struct inventory *inv = j->inv;
	_cleanup_free_ struct line *lines = calloc(inv->rows + 1, sizeof(*lines));
	enum capacity_scope scope = j->limit->scope;
	size_t n = 0;
	int r = lines ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < inv->rows; i++) {
		const struct inventory_row *row = &inv->row[i];
		struct line l = { row, row->owner, regimes_alias(j->regimes, row->country), row->tpp };

		if (!counts(j, row))
			continue;
		if (scope == CAPACITY_LOT) {
			r = amount(j, &l, row->tpp, row->line);
			continue;
		}
		if (!by_owner(scope))
			l.owner = "";
		if (!by_country(scope))
			l.country = "";
		lines[n++] = l;
	}
	return r ?: judge_sums(j, lines, n);
}

int capacity_judge(const struct regimes *regimes, const struct inventory *i, int32_t day,
		   int (*fn)(void *ctx, const struct capacity_finding *f), void *ctx)
{
	struct judging j = { .regimes = regimes, .inv = i, .day = day, .fn = fn, .ctx = ctx };
	int r = 0;

	for (size_t k = 0; r == 0 && k < regimes_count(regimes); k++) {
		j.regime = regimes_at(regimes, k);
		if (j.regime->kind != REGIME_CAPACITY || !regime_covers(j.regime, day))
			continue;
		for (size_t m = 0; r == 0 && m < j.regime->limits; m++) {
			j.limit = &j.regime->limit[m];
			r = judge_limit(&j);
		}
	}
	return r;
}
