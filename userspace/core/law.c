// SPDX-License-Identifier: Apache-2.0
#include "law.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"

const char *law_file_name(enum law_file which)
{
	static const char *const names[] = { "owners", "declarations", "regimes" };

	return names[which];
}

static int look_at_end(const char *path, struct law_end *ret)
{
	static const char mark[] = "\n...\n";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[16] = "", tail[sizeof(mark)] = "";
	struct stat st;
	off_t from;

	*ret = (struct law_end){ 0 };
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	from = st.st_size < (off_t)strlen(mark) ? 0 : st.st_size - (off_t)strlen(mark);
	if (pread(fd, head, sizeof(head), 0) < 0 || pread(fd, tail, strlen(mark), from) < 0)
		return -errno;
	ret->is_database = memcmp(head, "SQLite format 3", sizeof(head)) == 0;
	ret->is_ended = tail[0] && tail[strlen(tail) - 1] == '\n';
	ret->is_marked = strcmp(tail, mark) == 0;
	return 0;
}

static int check_end(const struct law *l, const struct owners *o, const struct law_end *end,
		     struct error_text *err)
{
	const char *path = l->file[LAW_OWNERS].path, *lost;

	if (!l->owners || end->is_database)
		return 0;
	if (l->end.is_ended && !end->is_ended)
		return error_set(err, -EINVAL, "%s: its last line has no end: it seems to be cut", path);
	if (l->end.is_marked && !end->is_marked)
		return error_set(err, -EINVAL, "%s: the line '...' at its end is gone: it seems to be cut",
				 path);
	lost = end->is_marked ? NULL : owners_lost_tenant(o, l->owners);
	if (lost)
		return error_set(
			err, -EINVAL,
			"%s: tenant '%s' is bound no more: it seems to be cut; if not, end it with a "
			"line '...'",
			path, lost);
	return 0;
}

static void exchange(const struct law *l, bool begins)
{
	if (l->exchange)
		l->exchange(l->exchange_ctx, begins);
}

static int load_owners(struct law *l, int32_t today, struct law_news *news, struct error_text *err)
{
	_cleanup_(owners_freep) struct owners *o = NULL;
	struct law_end end;
	/* Looked at before it is read: what is written meanwhile is read anew. */
	int r = look_at_end(l->file[LAW_OWNERS].path, &end);

	if (r)
		return error_set(err, r, "%s: cannot be read: %s", l->file[LAW_OWNERS].path, strerror(-r));
	/* Readings and probes go on meanwhile: only at the start is an import waited for. */
	r = l->owners ? owners_try_load(l->file[LAW_OWNERS].path, &o, err)
		      : owners_load(l->file[LAW_OWNERS].path, &o, err);
	r = r ?: owners_check_dates(o, today, err);
	r = r ?: owners_prepare(o) ?: check_end(l, o, &end, err);
	if (r)
		return r;
	news->has_other_days = !l->owners || !owners_change_alike(l->owners, o);
	exchange(l, true);
	SWAP(l->owners, o);
	exchange(l, false);
	l->end = end;
	return 0;
}

static int load_declarations(struct law *l, struct error_text *err)
{
	_cleanup_(declarations_freep) struct declarations *d = NULL;
	const char *path = l->file[LAW_DECLARATIONS].path;
	int r = l->declaration_keys
			? declarations_load_signed(path, l->declaration_keys, !l->declarations, &d, err)
			: declarations_load(path, &d, err);

	if (r)
		return r;
	if (l->declarations && !declarations_continue(d, l->declarations))
		return error_set(err, -EINVAL,
				 "%s: the %zu records that were read before do not all stand there as they "
				 "did: the file only grows",
				 path, declarations_count(l->declarations));
	exchange(l, true);
	SWAP(l->declarations, d);
	exchange(l, false);
	return 0;
}

/* A version that is superseded stays, so that an old case can be judged as it was: one that is gone was lost.
 */
static int load_regimes(struct law *l, int32_t today, struct error_text *err)
{
	_cleanup_(regimes_freep) struct regimes *g = NULL;
	const char *path = l->file[LAW_REGIMES].path;
	int r = regimes_load(path, &g, err);

	r = r ?: regimes_check_accepted(g, today, err);
	if (r)
		return r;
	for (size_t i = 0; l->regimes && i < regimes_count(l->regimes); i++) {
		const struct regime *old = regimes_at(l->regimes, i);

		if (!regimes_version(g, old->id, old->version))
			return error_set(
				err, -EINVAL,
				"%s: %s version %s is gone: a superseded version stays, and one that is "
				"not to hold is of mode 'off'",
				path, old->id, old->version);
	}
	exchange(l, true);
	SWAP(l->regimes, g);
	exchange(l, false);
	return 0;
}

static int load(struct law *l, enum law_file which, int32_t today, struct law_news *news,
		struct error_text *err)
{
	int r = which == LAW_OWNERS	    ? load_owners(l, today, news, err)
		: which == LAW_DECLARATIONS ? load_declarations(l, err)
					    : load_regimes(l, today, err);

	if (r && !err->text[0])
		error_set(err, r, "%s: %s", l->file[which].path, strerror(-r));
	news->is_any |= r == 0;
	news->is_read[which] |= r == 0;
	return r;
}

int law_open(struct law *l, const char *const path[LAW_FILES], uint64_t now_ns, int32_t today,
	     struct error_text *err)
{
	return law_open_signed(l, path, NULL, now_ns, today, err);
}

int law_open_signed(struct law *l, const char *const path[LAW_FILES], const char *declaration_keys,
		    uint64_t now_ns, int32_t today, struct error_text *err)
{
	struct law_news news = { 0 };
	int r = 0;

	*l = (struct law){ .declaration_keys = declaration_keys };
	for (int i = 0; i < LAW_FILES; i++)
		reload_begin(&l->file[i], path[i], now_ns);
	for (int i = 0; r == 0 && i < LAW_FILES; i++)
		r = path[i] ? load(l, (enum law_file)i, today, &news, err) : 0;
	return r && r != -ENOMEM ? -EINVAL : r;
}

void law_close(struct law *l)
{
	l->owners = owners_free(l->owners);
	l->declarations = declarations_free(l->declarations);
	l->regimes = regimes_free(l->regimes);
}

void law_look(struct law *l, uint64_t now_ns, int32_t today, bool forced, struct law_news *ret)
{
	*ret = (struct law_news){ 0 };
	for (int i = 0; i < LAW_FILES; i++) {
		struct error_text err = { 0 };
		int r;

		if (!reload_is_due(&l->file[i], now_ns, forced))
			continue;
		r = load(l, (enum law_file)i, today, ret, &err);
		ret->is_worth[i] = reload_tried(&l->file[i], now_ns, r, &err);
	}
}

const int32_t *law_days(void *ctx, const char *tenant, size_t *ret_count)
{
	return owners_change_days(((const struct law *)ctx)->owners, tenant, ret_count);
}
