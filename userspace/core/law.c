// SPDX-License-Identifier: Apache-2.0
#include "law.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"

const char *law_file_name(enum law_file which)
{
	static const char *const names[] = { "owners", "declarations" };

	return names[which];
}

static int load_owners(struct law *l, struct law_news *news, struct error_text *err)
{
	_cleanup_(owners_freep) struct owners *o = NULL;
	int r = owners_load(l->file[LAW_OWNERS].path, &o, err);

	r = r ?: owners_prepare(o);
	if (r)
		return r;
	news->has_other_days = !l->owners || !owners_change_alike(l->owners, o);
	owners_free(l->owners);
	l->owners = TAKE_PTR(o);
	return 0;
}

static int load_declarations(struct law *l, struct error_text *err)
{
	_cleanup_(declarations_freep) struct declarations *d = NULL;
	int r = declarations_load(l->file[LAW_DECLARATIONS].path, &d, err);

	if (r)
		return r;
	declarations_free(l->declarations);
	l->declarations = TAKE_PTR(d);
	return 0;
}

static int load(struct law *l, enum law_file which, struct law_news *news, struct error_text *err)
{
	int r = which == LAW_OWNERS ? load_owners(l, news, err) : load_declarations(l, err);

	if (r && !err->text[0])
		error_set(err, r, "%s: %s", l->file[which].path, strerror(-r));
	news->is_any |= r == 0;
	return r;
}

int law_open(struct law *l, const char *owners_path, const char *declarations_path, uint64_t now_ns,
	     struct error_text *err)
{
	const char *const paths[LAW_FILES] = { owners_path, declarations_path };
	struct law_news news = { 0 };
	int r = 0;

	*l = (struct law){ 0 };
	for (int i = 0; i < LAW_FILES; i++)
		reload_begin(&l->file[i], paths[i], now_ns);
	for (int i = 0; r == 0 && i < LAW_FILES; i++)
		r = paths[i] ? load(l, (enum law_file)i, &news, err) : 0;
	return r && r != -ENOMEM ? -EINVAL : r;
}

void law_close(struct law *l)
{
	l->owners = owners_free(l->owners);
	l->declarations = declarations_free(l->declarations);
}

void law_look(struct law *l, uint64_t now_ns, bool forced, struct law_news *ret)
{
	*ret = (struct law_news){ 0 };
	for (int i = 0; i < LAW_FILES; i++) {
		struct error_text err = { 0 };
		int r;

		if (!reload_is_due(&l->file[i], now_ns, forced))
			continue;
		r = load(l, (enum law_file)i, ret, &err);
		ret->is_worth[i] = reload_tried(&l->file[i], now_ns, r, &err);
	}
}

const int32_t *law_days(void *ctx, const char *tenant, size_t *ret_count)
{
	return owners_change_days(((const struct law *)ctx)->owners, tenant, ret_count);
}
