// SPDX-License-Identifier: Apache-2.0
/* How long a case is kept: the latest of all clocks, as data; a hold wins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "case_internal.h"

#define CLOCKS_MAX 64
#define WORDS_MAX 16
#define YEARS_MAX 100

struct clock {
	const char *id, *citation;
	unsigned years;
	const char *word[WORDS_MAX];
	size_t words;
};

struct om_retention {
	struct yaml *file; /* owns the texts */
	struct clock clock[CLOCKS_MAX];
	size_t clocks;
};

struct om_retention *om_retention_free(struct om_retention *r)
{
	if (r)
		yaml_close(r->file);
	free(r);
	return NULL;
}

const char *om_retention_digest(const struct om_retention *r)
{
	return yaml_digest(r->file);
}

static int read_clock(struct yaml_node *n, struct clock *c, struct error_text *err)
{
	const char *evidence = NULL, *years = NULL;
	struct yaml_node *from;
	char *end;
	int r = yaml_need_string(n, "id", &c->id, err);

	r = r ?: yaml_need_string(n, "citation", &c->citation, err);
	r = r ?: yaml_need_string(n, "evidence", &evidence, err);
	r = r ?: yaml_need_string(n, "years", &years, err);
	r = r ?: yaml_need(n, "from", &from, err);
	r = r ?: yaml_check_list(from, err);
	if (r)
		return r;
	c->years = (unsigned)strtoul(years, &end, 10);
	if (*years < '0' || *years > '9' || *end || c->years > YEARS_MAX)
		return yaml_error(n, err, "years: a whole number up to %d", YEARS_MAX);
	for (struct yaml_node *w = yaml_first(from); w; w = yaml_next(w)) {
		if (c->words == WORDS_MAX)
			return yaml_error(w, err, "more than %d kinds of events", WORDS_MAX);
		r = yaml_string(w, &c->word[c->words++], err);
		if (r)
			return r;
	}
	if (c->words == 0)
		return yaml_error(n, err, "from: from what does the clock run?");
	return yaml_done(n, err);
}

static int read_file(struct om_retention *r, struct error_text *err)
{
	struct yaml_node *root = yaml_root(r->file), *clocks;
	int rc = yaml_need(root, "clocks", &clocks, err);

	rc = rc ?: yaml_check_list(clocks, err);
	if (rc)
		return rc;
	for (struct yaml_node *n = yaml_first(clocks); n; n = yaml_next(n)) {
		if (r->clocks == CLOCKS_MAX)
			return yaml_error(n, err, "more than %d clocks", CLOCKS_MAX);
		rc = read_clock(n, &r->clock[r->clocks++], err);
		if (rc)
			return rc;
	}
	return yaml_done(root, err);
}

static int take_file(struct yaml *file, struct om_retention **ret, struct error_text *err)
{
	_cleanup_(om_retention_freep) struct om_retention *r = calloc(1, sizeof(*r));
	int rc;

	if (!r) {
		yaml_close(file);
		return -ENOMEM;
	}
	r->file = file;
	rc = read_file(r, err);
	if (rc == 0)
		*ret = TAKE_PTR(r);
	return rc;
}

int om_retention_load(const char *path, struct om_retention **ret, struct error_text *err)
{
	struct yaml *file;
	int r = yaml_load(path, &file, err);

	return r ?: take_file(file, ret, err);
}

int om_retention_parse(const char *name, const void *text, size_t len, struct om_retention **ret,
		       struct error_text *err)
{
	struct yaml *file;
	int r = yaml_parse(name, text, len, &file, err);

	return r ?: take_file(file, ret, err);
}

bool om_retention_has(const struct om_retention *r, const char *event)
{
	for (size_t i = 0; i < r->clocks; i++)
		for (size_t w = 0; w < r->clock[i].words; w++)
			if (!strcmp(r->clock[i].word[w], event))
				return strcmp(event, "act") && strcmp(event, "closed");
	return false;
}

int32_t om_day_add_years(int32_t day, unsigned years)
{
	char text[16], later[24];
	int32_t ret;

	date_format(day, text);
	snprintf(later, sizeof(later), "%04ld%s", strtol(text, NULL, 10) + (long)years, text + 4);
	if (date_parse(later, &ret) == 0)
		return ret;
	/* 29 February of a year that has none. */
	memcpy(later + 4, "-03-01", 7);
	if (date_parse(later, &ret) == 0)
		return ret;
	/* Past the last year that a date has: the last day of all, never an earlier one. */
	return date_parse("2999-12-31", &ret) ? day : ret;
}

void om_case_retained(const struct om_case *c, const struct om_retention *r, struct om_retained *ret)
{
	const json_t *latest = json_object_get(c->record, "latest");

	*ret = (struct om_retained){ .is_held = c->is_held,
				     .is_open = c->state != OM_CASE_CLOSED && c->state != OM_CASE_ERASED };
	for (size_t i = 0; i < r->clocks; i++) {
		for (size_t w = 0; w < r->clock[i].words; w++) {
			int32_t from, until;

			if (date_parse(json_text(latest, r->clock[i].word[w]), &from))
				continue;
			until = om_day_add_years(from, r->clock[i].years);
			if (ret->is_known && until <= ret->day)
				continue;
			ret->is_known = true;
			ret->day = until;
			ret->clock = r->clock[i].id;
			ret->event = r->clock[i].word[w];
		}
	}
}
