// SPDX-License-Identifier: Apache-2.0
/* A directory of regimes: the files, and what must hold between them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "regime_internal.h"

#define SETS_FILE "country-sets.yaml"
#define ACCEPTANCES_FILE "acceptances.yaml"

struct regimes *regimes_free(struct regimes *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->file_count; i++)
		yaml_close(r->files[i]);
	for (size_t i = 0; i < r->set_count; i++)
		free(r->set[i].codes);
	for (size_t i = 0; i < r->count; i++) {
		free(r->regime[i].checklist);
		free(r->regime[i].notes);
		free(r->regime[i].unverified);
		free(r->regime[i].training);
	}
	free(r);
	return NULL;
}

static int is_regime_file(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && !strcmp(d->d_name + n - 5, ".yaml") && d->d_name[0] != '.' &&
	       strcmp(d->d_name, SETS_FILE) && strcmp(d->d_name, ACCEPTANCES_FILE);
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

/* As load_file(); *ret is NULL if there is no such file. */
static int load_if_there(struct regimes *r, const char *dir, const char *name, struct yaml **ret,
			 struct error_text *err)
{
	char path[4096];

	*ret = NULL;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0 ? load_file(r, dir, name, ret, err) : 0;
}

static void free_names(struct dirent **names, int n)
{
	while (n > 0)
		free(names[--n]);
	free(names);
}

static bool windows_meet(const struct regime *a, const struct regime *b)
{
	return (a->to_day == INT32_MIN || b->from_day < a->to_day) &&
	       (b->to_day == INT32_MIN || a->from_day < b->to_day);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Two versions of one regime: one holds on a day, and a floor that "must not decrease" does not. */
static int check_versions(const struct regime *a, const struct regime *b, struct error_text *err)
{
	const struct regime *old = a->from_day <= b->from_day ? a : b, *new = old == a ? b : a;

	if (strcmp(a->id, b->id))
		return 0;
	if (!strcmp(a->version, b->version))
		return error_set(err, -EINVAL, "%s:1: %s version %s stands in %s too", b->file, b->id,
				 b->version, base_name(a->file));
	if (windows_meet(a, b))
		return error_set(err, -EINVAL,
				 "%s:1: %s version %s holds on days on which version %s (%s) does: end the "
				 "older with 'to'",
				 new->file, new->id, new->version, old->version, base_name(old->file));
	if (new->has_floor &&new->floor < old->floor)
		return error_set(err, -EINVAL,
				 "%s:1: the floor of %s version %s is below that of version %s: it must not "
				 "decrease",
				 new->file, new->id, new->version, old->version);
	return 0;
}

static int check_across(const struct regimes *r, struct error_text *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->count; i++)
		for (size_t k = 0; rc == 0 && k < i; k++)
			rc = check_versions(&r->regime[k], &r->regime[i], err);
	for (size_t i = 0; rc == 0 && i < r->count; i++) {
		const struct regime *g = &r->regime[i];

		if (g->threshold_of && !regimes_find(r, g->threshold_of))
			rc = error_set(err, -EINVAL,
				       "%s:1: 'material-regime' is %s, and there is no such regime", g->file,
				       g->threshold_of);
	}
	return rc;
}

static int load_all(struct regimes *r, const char *dir, struct dirent **names, int n, struct error_text *err)
{
	struct yaml *y;
	int rc = load_if_there(r, dir, SETS_FILE, &y, err);

	if (rc == 0 && y)
		rc = regime_read_sets(r, y, err);
	if (rc == 0 && n > REGIMES_MAX)
		return error_set(err, -E2BIG, "%s: more than %d regimes", dir, REGIMES_MAX);
	for (int i = 0; rc == 0 && i < n; i++) {
		rc = load_file(r, dir, names[i]->d_name, &y, err);
		rc = rc ?: regime_read(r, y, err);
	}
	rc = rc ?: load_if_there(r, dir, ACCEPTANCES_FILE, &y, err);
	rc = rc ?: regime_accept(r, y, err);
	return rc ?: check_across(r, err);
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

int regimes_parse(const char *name, const void *text, size_t len, struct regimes **ret,
		  struct error_text *err)
{
	_cleanup_(regimes_freep) struct regimes *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	rc = yaml_parse(name, text, len, &r->files[0], err);
	if (rc)
		return rc;
	r->file_count = 1;
	rc = regime_read(r, r->files[0], err);
	if (rc)
		return rc;
	*ret = TAKE_PTR(r);
	return 0;
}
