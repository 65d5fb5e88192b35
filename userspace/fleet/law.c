// SPDX-License-Identifier: Apache-2.0
/*
 * Owners, declarations and regimes, read anew while the fleet runs (core/law.h). What is wrong in
 * one of them is said in the log, as a line of JSON, and by the judge as an alert.
 */
#include "fleet_internal.h"

#include <inttypes.h>
#include <stdio.h>

static void say(const struct fleet *f, enum law_file which)
{
	const struct reload *l = &f->law.file[which];
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

void fleet_look_at_law(struct fleet *f, bool forced)
{
	struct law_news news;

	law_look(&f->law, fleet_now_ns(CLOCK_MONOTONIC), fleet_today(), forced, &news);
	for (int i = 0; i < LAW_FILES; i++) {
		f->is_law_changed |= news.is_worth[i];
		if (news.is_worth[i])
			say(f, (enum law_file)i);
	}
	if (news.has_other_days)
		f->days_ns = fleet_now_ns(CLOCK_MONOTONIC);
	/* Totals tell what was trained before those days. */
	for (uint32_t i = 0; news.has_other_days && i < f->partitions; i++)
		if (f->parts[i])
			f->parts[i]->is_full = f->parts[i]->is_changed = true;
}
