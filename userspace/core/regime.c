// SPDX-License-Identifier: Apache-2.0
#include "regime.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"

#define REGIMES_MAX 64
#define SETS_MAX 16
#define ALIASES_MAX 16
#define PPM 1000000u

struct regimes {
	struct yaml *files[REGIMES_MAX + 1];
	size_t file_count;
	struct regime regime[REGIMES_MAX];
	size_t count;
	struct country_set set[SETS_MAX];
	size_t set_count;
	struct {
		const char *from, *to;
	} alias[ALIASES_MAX];
	size_t alias_count;
};

struct regimes *regimes_free(struct regimes *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->file_count; i++)
		yaml_close(r->files[i]);
	for (size_t i = 0; i < r->set_count; i++)
		free(r->set[i].codes);
	for (size_t i = 0; i < r->count; i++)
		free(r->regime[i].checklist);
	free(r);
	return NULL;
}

static int read_texts(struct yaml_node *list, const char ***ret, size_t *ret_n, struct error_text *err)
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

static int check_country(struct yaml_node *n, const char *code, struct error_text *err)
{
	if (strlen(code) == 2 && code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z')
		return 0;
	return yaml_error(n, err, "a country is two capital letters (ISO 3166-1), not '%s'", code);
}

static int read_set(struct regimes *r, struct yaml_node *n, struct error_text *err)
{
	struct country_set *s = &r->set[r->set_count];
	const char *source;
	struct yaml_node *codes;
	int rc;

	if (r->set_count == SETS_MAX)
		return yaml_error(n, err, "more than %d country sets", SETS_MAX);
	rc = yaml_need_string(n, "name", &s->name, err);
	rc = rc ?: yaml_need_string(n, "source", &source, err);
	rc = rc ?: yaml_need(n, "countries", &codes, err);
	if (rc)
		return rc;
	r->set_count++;
	rc = read_texts(codes, &s->codes, &s->count, err);
	for (size_t i = 0; rc == 0 && i < s->count; i++)
		rc = check_country(codes, s->codes[i], err);
	return rc ?: yaml_done(n, err);
}

static int read_alias(struct regimes *r, struct yaml_node *n, struct error_text *err)
{
	const char *source;
	int rc;

	if (r->alias_count == ALIASES_MAX)
		return yaml_error(n, err, "more than %d aliases", ALIASES_MAX);
	rc = yaml_need_string(n, "from", &r->alias[r->alias_count].from, err);
	rc = rc ?: yaml_need_string(n, "to", &r->alias[r->alias_count].to, err);
	rc = rc ?: yaml_need_string(n, "source", &source, err);
	r->alias_count++;
	return rc ?: yaml_done(n, err);
}

static int read_sets(struct regimes *r, struct yaml *y, struct error_text *err)
{
	struct yaml_node *root = yaml_root(y), *sets, *aliases = yaml_take(root, "aliases");
	int rc = yaml_need(root, "sets", &sets, err);

	rc = rc ?: yaml_check_list(sets, err) ?: yaml_check_list(aliases, err) ?: yaml_done(root, err);
	for (struct yaml_node *n = yaml_first(sets); rc == 0 && n; n = yaml_next(n))
		rc = read_set(r, n, err);
	for (struct yaml_node *n = yaml_first(aliases); rc == 0 && n; n = yaml_next(n))
		rc = read_alias(r, n, err);
	return rc;
}

static int read_level(struct regime *g, struct yaml_node *n, struct error_text *err)
{
	static const char *const bounds[] = { "upper", "lower", NULL };
	struct regime_level *l = &g->levels[g->level_count];
	int bound, rc;

	if (g->level_count == REGIME_LEVELS_MAX)
		return yaml_error(n, err, "more than %d levels", REGIME_LEVELS_MAX);
	rc = yaml_need_string(n, "name", &l->name, err);
	rc = rc ?: yaml_share(n, "share", &l->share_ppm, err);
	rc = rc ?: yaml_need_word(n, "bound", bounds, &bound, err);
	rc = rc ?: yaml_done(n, err);
	if (rc)
		return rc;
	if (l->share_ppm == 0 || (g->level_count && l[-1].share_ppm >= l->share_ppm))
		return yaml_error(n, err, "levels must grow, from above 0 to 1");
	l->lower = bound == 1;
	g->level_count++;
	return 0;
}

static int read_threshold(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	static const char *const comparators[] = { ">=", ">", NULL };
	struct yaml_node *n, *levels, *floor;
	const char *figure, *floor_text = NULL;
	int cmp, rc;

	rc = yaml_need(root, "threshold", &n, err);
	rc = rc ?: yaml_need_ops(n, "operations", &g->threshold, err);
	rc = rc ?: yaml_need_word(n, "comparator", comparators, &cmp, err);
	rc = rc ?: yaml_need_string(n, "figure", &figure, err);
	if (rc)
		return rc;
	if (strcmp(figure, "training"))
		return yaml_error(n, err, "'figure' must be training, not '%s'", figure);
	g->comparator = (enum regime_comparator)cmp;
	/* A floor that the law names and nobody has published makes the verdict conditional. */
	floor = yaml_take(n, "floor");
	if (floor) {
		rc = yaml_need_string(floor, "what", &floor_text, err);
		if (rc == 0 && yaml_take(floor, "operations") &&
		    !yaml_is_null(yaml_take(floor, "operations")))
			return yaml_error(floor, err,
					  "'operations' of a floor is not taken yet: it must be null");
		g->floor_missing = floor_text;
		rc = rc ?: yaml_done(floor, err);
	}
	rc = rc ?: yaml_done(n, err);
	rc = rc ?: yaml_need(root, "levels", &levels, err);
	rc = rc ?: yaml_check_list(levels, err);
	for (n = rc ? NULL : yaml_first(levels); rc == 0 && n; n = yaml_next(n))
		rc = read_level(g, n, err);
	return rc;
}

static int read_owner(struct regimes *r, struct regime *g, struct yaml_node *root, struct error_text *err)
{
	struct yaml_node *n, *list;
	int rc = yaml_need(root, "owner", &n, err);

	rc = rc ?: yaml_need_string(n, "clear-set", &g->clear_set, err);
	rc = rc ?: yaml_need_string(n, "apart-set", &g->apart_set, err);
	rc = rc ?: yaml_need_string(n, "material-regime", &g->threshold_of, err);
	rc = rc ?: yaml_share(n, "material-share", &g->material_ppm, err);
	rc = rc ?: yaml_done(n, err);
	for (int i = 0; rc == 0 && i < 2; i++) {
		const char *name = i ? g->apart_set : g->clear_set;
		bool known = false;

		for (size_t k = 0; k < r->set_count; k++)
			known |= !strcmp(r->set[k].name, name);
		if (!known)
			return yaml_error(n, err, "no country set '%s' in country-sets.yaml", name);
	}
	rc = rc ?: yaml_need(root, "checklist", &list, err);
	return rc ?: read_texts(list, &g->checklist, &g->checklist_count, err);
}

/* `enforce` opens cases and pages people: somebody must have accepted it. */
static int read_mode(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	static const char *const modes[] = { "enforce", "shadow", "notice", "off", NULL };
	struct yaml_node *accepted = yaml_take(root, "accepted");
	const char *by = NULL, *reference = NULL;
	int32_t date = INT32_MIN;
	int mode, rc = yaml_need_word(root, "mode", modes, &mode, err);

	rc = rc ?: yaml_bool(root, "demo", &g->demo, err);
	if (rc == 0 && accepted) {
		rc = yaml_need_string(accepted, "by", &by, err);
		rc = rc ?: yaml_need_string(accepted, "reference", &reference, err);
		rc = rc ?: yaml_date(accepted, "date", &date, err);
		rc = rc ?: yaml_done(accepted, err);
	}
	if (rc)
		return rc;
	g->mode = (enum regime_mode)mode;
	if (g->mode == REGIME_ENFORCE && !g->demo && date == INT32_MIN)
		return yaml_error(root, err,
				  "mode enforce needs 'accepted: {by, date, reference}', counsel's record");
	if (g->demo && !strstr(g->title, "DEMO"))
		return yaml_error(root, err, "a demo regime must say DEMO in its title");
	return 0;
}

static int read_citation(struct regime *g, struct yaml_node *root, struct error_text *err)
{
	static const char *const levels[] = { "primary-text-seen", "secondary-seen", "from-memory", "design",
					      NULL };
	struct yaml_node *notes = yaml_take(root, "notes"), *sources;
	int evidence, rc = yaml_need_string(root, "citation", &g->citation, err);

	rc = rc ?: yaml_need_word(root, "evidence", levels, &evidence, err);
	rc = rc ?: yaml_need(root, "sources", &sources, err);
	rc = rc ?: yaml_check_list(sources, err) ?: yaml_check_list(notes, err);
	if (rc == 0)
		g->evidence = levels[evidence];
	return rc;
}

static int read_regime(struct regimes *r, struct yaml *y, struct error_text *err)
{
	static const char *const kinds[] = { "threshold", "owner", NULL };
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
	rc = rc ?: yaml_date(root, "from", &g->from_day, err) ?: yaml_date(root, "to", &g->to_day, err);
	rc = rc ?: read_mode(g, root, err);
	if (rc)
		return rc;
	g->kind = (enum regime_kind)kind;
	rc = g->kind == REGIME_THRESHOLD ? read_threshold(g, root, err) : read_owner(r, g, root, err);
	rc = rc ?: yaml_done(root, err);
	for (size_t i = 0; rc == 0 && i + 1 < r->count; i++)
		if (!strcmp(r->regime[i].id, g->id) && !strcmp(r->regime[i].version, g->version))
			return yaml_error(root, err, "%s version %s stands in %s too", g->id, g->version,
					  r->regime[i].file);
	return rc;
}

static int is_regime_file(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && !strcmp(d->d_name + n - 5, ".yaml") && d->d_name[0] != '.' &&
	       strcmp(d->d_name, "country-sets.yaml");
}

static int load_file(struct regimes *r, const char *dir, const char *name, struct yaml **ret,
		     struct error_text *err)
{
	char path[4096];
	int rc;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	rc = yaml_load(path, ret, err);
	if (rc == 0)
		r->files[r->file_count++] = *ret;
	return rc;
}

static void free_names(struct dirent **names, int n)
{
	while (n > 0)
		free(names[--n]);
	free(names);
}

static int load_all(struct regimes *r, const char *dir, struct dirent **names, int n, struct error_text *err)
{
	struct yaml *y;
	char sets[4096];
	int rc = 0;

	snprintf(sets, sizeof(sets), "%s/country-sets.yaml", dir);
	if (access(sets, F_OK) == 0) {
		rc = load_file(r, dir, "country-sets.yaml", &y, err);
		rc = rc ?: read_sets(r, y, err);
	}
	if (rc == 0 && n > REGIMES_MAX)
		return error_set(err, -E2BIG, "%s: more than %d regimes", dir, REGIMES_MAX);
	for (int i = 0; rc == 0 && i < n; i++) {
		rc = load_file(r, dir, names[i]->d_name, &y, err);
		rc = rc ?: read_regime(r, y, err);
	}
	return rc;
}

int regimes_load(const char *dir, struct regimes **ret, struct error_text *err)
{
	_cleanup_(regimes_freep) struct regimes *r = calloc(1, sizeof(*r));
	struct dirent **names = NULL;
	int n, rc;

	if (!r)
		return -ENOMEM;
	n = scandir(dir, &names, is_regime_file, alphasort);
	if (n < 0)
		return error_set(err, -errno, "%s: cannot be read: %m", dir);
	rc = load_all(r, dir, names, n, err);
	free_names(names, n);
	if (rc)
		return rc;
	if (r->count == 0)
		return error_set(err, -ENOENT, "%s: holds no regime (*.yaml)", dir);
	*ret = TAKE_PTR(r);
	return 0;
}

size_t regimes_count(const struct regimes *r)
{
	return r->count;
}

const struct regime *regimes_at(const struct regimes *r, size_t i)
{
	return &r->regime[i];
}

const struct regime *regimes_find(const struct regimes *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->regime[i].id, id))
			return &r->regime[i];
	return NULL;
}

bool regimes_country_in(const struct regimes *r, const char *set, const char *country)
{
	for (size_t i = 0; i < r->alias_count; i++)
		if (!strcmp(r->alias[i].from, country))
			country = r->alias[i].to;
	for (size_t i = 0; i < r->set_count; i++) {
		if (strcmp(r->set[i].name, set))
			continue;
		for (size_t k = 0; k < r->set[i].count; k++)
			if (!strcmp(r->set[i].codes[k], country))
				return true;
	}
	return false;
}

bool regime_holds_on(const struct regime *r, int32_t day)
{
	return r->mode != REGIME_OFF && (r->from_day == INT32_MIN || day >= r->from_day) &&
	       (r->to_day == INT32_MIN || day < r->to_day);
}

opcount regime_level_figure(const struct regime *r, const struct regime_level *level)
{
	opcount product, figure;

	/* threshold * share, rounded up: a figure just below a fraction does not meet it. */
	if (opcount_mul(r->threshold, level->share_ppm, &product))
		return OPCOUNT_MAX;
	figure = product / PPM;
	if (r->comparator == REGIME_MORE_THAN)
		return figure + 1;
	return figure + (product % PPM != 0);
}

bool regime_level_met(const struct regime *r, const struct regime_level *level, opcount figure)
{
	return figure >= regime_level_figure(r, level);
}

const char *regime_mode_name(enum regime_mode mode)
{
	static const char *const names[] = { "enforce", "shadow", "notice", "off" };

	return names[mode];
}
