// SPDX-License-Identifier: Apache-2.0
/*
 * What people write and the judge judges by: owners and declarations. Each is read anew
 * when its file changed (core/reload.h), whole or not at all: what is wrong in it is said
 * by name, in the log, as a line of JSON and as an alert, and what was read before stays.
 */
#include "fleet_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *law_file_name(enum law_file which)
{
	static const char *const names[] = { "owners", "declarations" };

	return names[which];
}

static int load(struct fleet *f, enum law_file which, struct error_text *err)
{
	_cleanup_(owners_freep) struct owners *owners = NULL;
	_cleanup_(declarations_freep) struct declarations *declarations = NULL;
	int r;

	if (which == LAW_OWNERS) {
		r = owners_load(f->config->owners_path, &owners, err);
		if (r == 0) {
			owners_free(f->owners);
			f->owners = TAKE_PTR(owners);
		}
		return r;
	}
	r = declarations_load(f->config->declarations_path, &declarations, err);
	if (r == 0) {
		declarations_free(f->declarations);
		f->declarations = TAKE_PTR(declarations);
	}
	return r;
}

int law_open(struct fleet *f, struct error_text *err)
{
	const char *const paths[LAW_FILES] = { f->config->owners_path, f->config->declarations_path };
	int r = regimes_load(f->config->regimes_dir, &f->regimes, err);

	for (int i = 0; r == 0 && i < LAW_FILES; i++) {
		reload_begin(&f->law[i], paths[i], fleet_now_ns(CLOCK_MONOTONIC));
		r = paths[i] ? load(f, (enum law_file)i, err) : 0;
	}
	return r;
}

void law_close(struct fleet *f)
{
	owners_free(f->owners);
	declarations_free(f->declarations);
	regimes_free(f->regimes);
}

static void say(const struct fleet *f, enum law_file which)
{
	const struct reload *l = &f->law[which];
	_cleanup_free_ char *text = NULL;
	char loads[24], failures[24];
	json_t *o;

	if (l->has_failed)
		log_error("%s: what was read before stays in use (%" PRIu64 " failures so far): %s",
			  law_file_name(which), l->failures_total, l->error.text);
	else
		log_info("%s: %s was read anew", law_file_name(which), l->path);
	if (!f->config->json || f->config->once)
		return;
	snprintf(loads, sizeof(loads), "%" PRIu64, l->loads_total);
	snprintf(failures, sizeof(failures), "%" PRIu64, l->failures_total);
	o = json_pack("{s:s,s:s,s:s,s:s,s:s}", "file", law_file_name(which), "state",
		      l->has_failed ? "refused" : "read", "loads", loads, "failures", failures, "error",
		      l->has_failed ? l->error.text : "");
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	printf("%s\n", text ?: "");
	fflush(stdout);
}

void law_reload(struct fleet *f, bool forced)
{
	for (int i = 0; i < LAW_FILES; i++) {
		struct reload *l = &f->law[i];
		struct error_text err = { 0 };
		uint64_t now = fleet_now_ns(CLOCK_MONOTONIC);
		int r;

		if (!reload_is_due(l, now, forced))
			continue;
		r = load(f, (enum law_file)i, &err);
		if (r && !err.text[0])
			snprintf(err.text, sizeof(err.text), "%s: %s", l->path, strerror(-r));
		f->is_law_changed |= r == 0;
		if (reload_tried(l, now, r, &err))
			say(f, (enum law_file)i);
	}
}
