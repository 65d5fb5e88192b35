// SPDX-License-Identifier: Apache-2.0
/* What goes with a regime of any kind: where it stands, its notices with their clocks, retention, clauses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "regime_internal.h"

static int need_date(struct yaml_node *map, const char *key, int32_t *ret, struct error_text *err)
{
	int rc = yaml_date(map, key, ret, err);

	return rc == 0 && *ret == INT32_MIN ? yaml_error(map, err, "'%s' is missing", key) : rc;
}

static int read_status(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	static const char *const codes[] = { "in-force",    "codified-not-enforced",
					     "enacted",	    "enacted-future",
					     "non-binding", "proposed",
					     "revoked",	    "vetoed",
					     "suspended",   "unconfirmed",
					     NULL };
	int code, rc;

	g->status_day = INT32_MIN;
	if (!n)
		return 0;
	rc = yaml_need_word(n, "code", codes, &code, err);
	rc = rc ?: need_date(n, "as-of", &g->status_day, err);
	rc = rc ?: yaml_done(n, err);
	if (rc == 0)
		g->status = codes[code];
	return rc;
}

static int read_history(struct regime *g, struct yaml_node *list, struct error_text *err)
{
	int rc = list ? yaml_check_list(list, err) : 0;

	for (struct yaml_node *n = rc ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n)) {
		struct regime_event *e = &g->event[g->events];

		if (g->events == REGIME_EVENTS_MAX)
			return yaml_error(n, err, "more than %d events", REGIME_EVENTS_MAX);
		rc = need_date(n, "date", &e->day, err);
		rc = rc ?: yaml_need_string(n, "what", &e->what, err);
		rc = rc ?: yaml_done(n, err);
		if (rc == 0 && g->events && e[-1].day > e->day)
			rc = yaml_error(n, err, "events stand in the order of their dates");
		g->events++;
	}
	return rc;
}

/* A whole number above zero; *ret stays as it is if the key is missing. */
static int read_number(struct yaml_node *map, const char *key, uint32_t max, uint32_t *ret,
		       struct error_text *err)
{
	struct yaml_node *n = yaml_take(map, key);
	const char *s;
	char *end;
	unsigned long v;
	int rc;

	if (!n)
		return 0;
	rc = yaml_string(n, &s, err);
	if (rc)
		return rc;
	v = strtoul(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || v == 0 || v > max)
		return yaml_error(n, err, "'%s' must be a whole number from 1 to %u, not '%s'", key, max, s);
	*ret = (uint32_t)v;
	return 0;
}

static int read_calendar(struct regime_notice *d, struct yaml_node *list, struct error_text *err)
{
	int rc = list ? yaml_check_list(list, err) : 0;

	for (struct yaml_node *n = rc ? NULL : yaml_first(list); rc == 0 && n; n = yaml_next(n)) {
		char date[16];
		const char *s;
		int32_t day;

		if (d->calendar_count == REGIME_CALENDAR_MAX)
			return yaml_error(n, err, "more than %d dates", REGIME_CALENDAR_MAX);
		rc = yaml_string(n, &s, err);
		if (rc)
			return rc;
		snprintf(date, sizeof(date), "2023-%.5s", s); /* no leap day: it would not come each year */
		if (strlen(s) != 5 || date_parse(date, &day))
			return yaml_error(n, err, "a date of every year is MM-DD, not '%s'", s);
		d->calendar[d->calendar_count++] = (uint32_t)(atoi(s) * 100 + atoi(s + 3));
	}
	return rc;
}

static int check_notice(const struct regime *g, struct regime_notice *d, const struct yaml_node *n,
			struct error_text *err)
{
	if (!d->within_hours && !d->every_months && !d->calendar_count)
		return yaml_error(n, err,
				  "a notice needs a clock: within-days, within-hours, every-months or "
				  "calendar");
	if (!d->level)
		return 0;
	for (size_t i = 0; i < g->level_count; i++)
		if (!strcmp(g->levels[i].name, d->level))
			return 0;
	return yaml_error(n, err, "there is no level '%s' to start the clock", d->level);
}

static int read_notice(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	struct regime_notice *d = &g->notice[g->notices];
	struct yaml_node *calendar = yaml_take(n, "calendar");
	uint32_t days = 0;
	int rc;

	if (g->notices == REGIME_NOTICES_MAX)
		return yaml_error(n, err, "more than %d notices", REGIME_NOTICES_MAX);
	rc = yaml_need_string(n, "what", &d->what, err);
	rc = rc ?: yaml_optional_string(n, "who", &d->who, err);
	rc = rc ?: yaml_optional_string(n, "clock-from", &d->clock_from, err);
	d->citation = g->citation;
	rc = rc ?: yaml_optional_string(n, "citation", &d->citation, err);
	rc = rc ?: regime_read_evidence(n, g->evidence, &d->evidence, err);
	rc = rc ?: yaml_optional_string(n, "level", &d->level, err);
	rc = rc ?: yaml_bool(n, "when-known", &d->when_known, err);
	rc = rc ?: read_number(n, "within-days", 3650, &days, err);
	rc = rc ?: read_number(n, "within-hours", 87600, &d->within_hours, err);
	rc = rc ?: read_number(n, "every-months", 120, &d->every_months, err);
	rc = rc ?: read_calendar(d, calendar, err);
	if (rc == 0 && days && d->within_hours)
		return yaml_error(n, err, "within-days or within-hours, not both");
	d->in_days = days > 0;
	if (days)
		d->within_hours = 24 * days;
	rc = rc ?: check_notice(g, d, n, err);
	g->notices++;
	return rc ?: yaml_done(n, err);
}

static int read_clause(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	struct regime_clause *c = &g->clause[g->clauses];
	int rc;

	if (g->clauses == REGIME_CLAUSES_MAX)
		return yaml_error(n, err, "more than %d clauses", REGIME_CLAUSES_MAX);
	rc = yaml_need_string(n, "id", &c->id, err);
	rc = rc ?: yaml_need_string(n, "says", &c->says, err);
	rc = rc ?: yaml_need_string(n, "citation", &c->citation, err);
	rc = rc ?: regime_read_evidence(n, g->evidence, &c->evidence, err);
	rc = rc ?: yaml_optional_string(n, "judged", &c->judged, err);
	g->clauses++;
	return rc ?: yaml_done(n, err);
}

static int read_retention(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	int rc;

	if (!n)
		return 0;
	rc = read_number(n, "years", 100, &g->retention.years, err);
	rc = rc ?: yaml_need_string(n, "from", &g->retention.from, err);
	rc = rc ?: yaml_need_string(n, "citation", &g->retention.citation, err);
	rc = rc ?: regime_read_evidence(n, g->evidence, &g->retention.evidence, err);
	rc = rc ?: yaml_bool(n, "hold", &g->retention.hold, err);
	if (rc == 0 && !g->retention.years)
		return yaml_error(n, err, "'years' is missing");
	return rc ?: yaml_done(n, err);
}

int regime_read_law(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *history = yaml_take(root, "history"), *notices = yaml_take(root, "notices");
	struct yaml_node *clauses = yaml_take(root, "clauses"), *retention = yaml_take(root, "retention");
	int rc = yaml_optional_string(root, "jurisdiction", &g->jurisdiction, err);

	rc = rc ?: read_status(g, yaml_take(root, "status"), err);
	rc = rc ?: read_history(g, history, err);
	rc = rc ?: read_retention(g, retention, err);
	if (rc == 0 && notices)
		rc = yaml_check_list(notices, err);
	for (struct yaml_node *n = rc ? NULL : yaml_first(notices); rc == 0 && n; n = yaml_next(n))
		rc = read_notice(g, n, err);
	if (rc == 0 && clauses)
		rc = yaml_check_list(clauses, err);
	for (struct yaml_node *n = rc ? NULL : yaml_first(clauses); rc == 0 && n; n = yaml_next(n))
		rc = read_clause(g, n, err);
	return rc;
}
