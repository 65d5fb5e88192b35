// SPDX-License-Identifier: Apache-2.0
/* One regime's file: what every kind has, and owners. Figures, law and capacity have files of their own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "regime_internal.h"

int regime_read_texts(struct yaml_node *list, const char ***ret, size_t *ret_n, struct error_text *err)
{
	const char **texts;
	int r = yaml_check_list(list, err);

	if (r)
		return r;
	texts = calloc(yaml_count(list) + 1, sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	*ret = texts;
	*ret_n = 0;
	for (struct yaml_node *n = yaml_first(list); n; n = yaml_next(n)) {
		r = yaml_string(n, &texts[*ret_n], err);
		if (r)
			return r;
		++*ret_n;
	}
	return 0;
}

int regime_read_evidence(struct yaml_node *map, const char *otherwise, const char **ret,
			 struct error_text *err)
{
	static const char *const levels[] = { "primary-text-seen", "secondary-seen", "from-memory", "design",
					      NULL };
	struct yaml_node *n = yaml_take(map, "evidence");
	int level, rc;

	*ret = otherwise;
	if (!n && otherwise)
		return 0;
	rc = yaml_need_word(map, "evidence", levels, &level, err);
	if (rc == 0)
		*ret = levels[level];
	return rc;
}

static int parse_slash(const char *s, uint32_t *ret_num, uint32_t *ret_den)
{
	char *end;
	unsigned long num = strtoul(s, &end, 10), den;

	if (*s < '0' || *s > '9' || *end != '/' || end[1] < '0' || end[1] > '9')
		return -EINVAL;
	den = strtoul(end + 1, &end, 10);
	if (*end || den == 0 || den > 1000000 || num == 0 || num > den)
		return -EINVAL;
	*ret_num = (uint32_t)num;
	*ret_den = (uint32_t)den;
	return 0;
}

static uint32_t divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

int regime_read_fraction(struct yaml_node *map, const char *key, uint32_t *ret_num, uint32_t *ret_den,
			 struct error_text *err)
{
	struct yaml_node *n;
	uint32_t ppm;
	const char *s;
	int rc = yaml_need(map, key, &n, err);

	rc = rc ?: yaml_string(n, &s, err);
	if (rc || parse_slash(s, ret_num, ret_den) == 0)
		return rc;
	if (strchr(s, '/'))
		return yaml_error(n, err, "'%s' must be a fraction such as 25%% or 1/3, not '%s'", key, s);
	rc = yaml_share(map, key, &ppm, err);
	if (rc == 0 && ppm == 0)
		return yaml_error(n, err, "'%s' must be above 0", key);
	if (rc == 0) {
		uint32_t d = divisor(ppm, 1000000);

		*ret_num = ppm / d;
		*ret_den = 1000000 / d;
	}
	return rc;
}

static int need_set(const struct regimes *r, const struct yaml_node *n, const char *name,
		    struct error_text *err)
{
	return regimes_has_set(r, name)
		       ? 0
		       : yaml_error(n, err, "no country set '%s' in country-sets.yaml", name);
}

static int read_checklist(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *list;
	int rc = yaml_need(root, "checklist", &list, err);

	return rc ?: regime_read_texts(list, &g->checklist, &g->checklist_count, err);
}

static int read_owner(struct regimes *r, struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *n;
	int rc = yaml_need(root, "owner", &n, err);

	rc = rc ?: yaml_need_string(n, "clear-set", &g->clear_set, err);
	rc = rc ?: yaml_need_string(n, "apart-set", &g->apart_set, err);
	rc = rc ?: yaml_need_string(n, "material-regime", &g->threshold_of, err);
	rc = rc ?: yaml_share(n, "material-share", &g->material_ppm, err);
	rc = rc ?: yaml_done(n, err);
	rc = rc ?: need_set(r, n, g->clear_set, err);
	rc = rc ?: need_set(r, n, g->apart_set, err);
	return rc ?: read_checklist(g, root, err);
}

static int read_listed(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	const char **codes = NULL;
	struct yaml_node *n, *lists;
	size_t count = 0;
	int rc = yaml_need(root, "listed", &n, err);

	rc = rc ?: yaml_share(n, "share", &g->listed_ppm, err);
	rc = rc ?: yaml_bool(n, "suspended", &g->is_suspended, err);
	rc = rc ?: yaml_need(n, "lists", &lists, err);
	rc = rc ?: regime_read_texts(lists, &codes, &count, err);
	if (rc == 0 && (!count || count > REGIME_LISTS_MAX))
		rc = yaml_error(n, err, "'lists' names 1 to %d lists", REGIME_LISTS_MAX);
	for (size_t i = 0; rc == 0 && i < count; i++)
		g->lists[i] = codes[i];
	free(codes);
	rc = rc ?: yaml_done(n, err);
	if (rc == 0 && g->listed_ppm == 0)
		return yaml_error(n, err, "'share' must be above 0");
	return rc ?: read_checklist(g, root, err);
}

/* An acceptance in the file itself would be of any text that the file may have later: acceptances.yaml binds
 * one to a digest. */
static int read_mode(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	static const char *const modes[] = { "enforce", "shadow", "notice", "off", NULL };
	struct yaml_node *accepted = yaml_take(root, "accepted");
	int mode, rc = yaml_need_word(root, "mode", modes, &mode, err);

	g->accepted.day = INT32_MIN;
	rc = rc ?: yaml_bool(root, "demo", &g->demo, err);
	if (rc == 0 && accepted)
		return yaml_error(accepted, err,
				  "an acceptance does not stand in the text that it accepts: it goes into "
				  "acceptances.yaml, with the text's digest");
	if (rc)
		return rc;
	g->mode = (enum regime_mode)mode;
	if (g->demo && !strstr(g->title, "DEMO"))
		return yaml_error(root, err, "a demo regime must say DEMO in its title");
	return 0;
}

static int read_citation(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *notes = yaml_take(root, "notes"), *sources;
	struct yaml_node *unverified = yaml_take(root, "unverified");
	int rc = yaml_need_string(root, "citation", &g->citation, err);

	rc = rc ?: regime_read_evidence(root, NULL, &g->evidence, err);
	rc = rc ?: yaml_need(root, "sources", &sources, err);
	rc = rc ?: yaml_check_list(sources, err);
	if (rc == 0 && yaml_count(sources) == 0)
		return yaml_error(sources, err, "'sources' is empty: where does the text come from?");
	if (rc == 0 && notes)
		rc = regime_read_texts(notes, &g->notes, &g->note_count, err);
	if (rc == 0 && unverified)
		rc = regime_read_texts(unverified, &g->unverified, &g->unverified_count, err);
	return rc;
}

static int read_window(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	int rc = yaml_date(root, "from", &g->from_day, err) ?: yaml_date(root, "to", &g->to_day, err);

	if (rc == 0 && g->to_day != INT32_MIN && g->to_day <= g->from_day)
		return yaml_error(root, err, "'to' is the day after the last: it must be later than 'from'");
	return rc;
}

static int read_kind(struct regimes *r, struct regime *g, struct yaml_node *root, struct error_text *err)
{
	switch (g->kind) {
	case REGIME_THRESHOLD:
		return regime_read_threshold(g, root, err);
	case REGIME_FRACTION:
		return regime_read_fractions(g, root, err);
	case REGIME_OWNER:
		return read_owner(r, g, root, err);
	case REGIME_LISTED:
		return read_listed(g, root, err);
	case REGIME_CAPACITY:
		return regime_read_capacity(r, g, root, err);
	case REGIME_TEXT:
		return g->mode == REGIME_OFF
			       ? 0
			       : yaml_error(root, err,
					    "nothing judges a regime of kind text: its mode is off");
	}
	return -EINVAL;
}

int regime_read(struct regimes *r, struct yaml *y, struct error_text *err)
{
	static const char *const kinds[] = { "threshold", "owner", "fraction", "capacity",
					     "listed",	  "text",  NULL };
	struct yaml_node *root = yaml_root(y);
	struct regime *g = &r->regime[r->count];
	int kind, rc;

	memset(g, 0, sizeof(*g));
	r->count++;
	g->digest = yaml_digest(y);
	g->file = yaml_name(y);
	rc = yaml_need_string(root, "id", &g->id, err);
	rc = rc ?: yaml_need_string(root, "version", &g->version, err);
	rc = rc ?: yaml_need_string(root, "title", &g->title, err);
	rc = rc ?: yaml_need_word(root, "kind", kinds, &kind, err);
	rc = rc ?: read_citation(g, root, err);
	rc = rc ?: read_window(g, root, err);
	rc = rc ?: read_mode(g, root, err);
	if (rc)
		return rc;
	g->kind = (enum regime_kind)kind;
	rc = read_kind(r, g, root, err);
	rc = rc ?: regime_read_law(g, root, err);
	/* Below the floor and from the threshold on it is exempt: that is to be said. */
	g->first_figure = g->level_count ? regime_level_figure(g, &g->levels[0]) : OPCOUNT_MAX;
	if (g->floor > g->threshold && g->first_figure > g->threshold)
		g->first_figure = g->threshold;
	return rc ?: yaml_done(root, err);
}
