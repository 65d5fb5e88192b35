// SPDX-License-Identifier: Apache-2.0
/* Owners, declarations and regimes, read anew while the node is metered (core/law.h). */
#include <stdio.h>

#include "../base/yaml.h"
#include "agent_internal.h"

static int32_t today(void)
{
	return (int32_t)(agent_now_ns() / 86400000000000ULL);
}

int agent_law_open(struct agent *a, struct error_text *err)
{
	const struct agent_config *c = a->config;

	const char *const paths[LAW_FILES] = { [LAW_OWNERS] = c->owners_path,
					       [LAW_DECLARATIONS] = c->declarations_path,
					       [LAW_REGIMES] = c->regimes_dir };

	return law_open_signed(&a->law, paths, c->declaration_keys_path, agent_steady_ns(), today(), err);
}

/* The log says what is wrong: that may name an owner, and an alert goes to those who run the machines. */
static int say(struct agent *a, enum law_file which)
{
	const struct reload *l = &a->law.file[which];
	char subject[64], day[16];

	if (!l->has_failed) {
		log_info("%s: %s was read anew", law_file_name(which), l->path);
		return 0;
	}
	log_error("%s: what was read before stays in use (%llu failures so far): %s", law_file_name(which),
		  (unsigned long long)l->failures_total, l->error.text);
	snprintf(subject, sizeof(subject), "file/%s/%s", law_file_name(which), date_format(today(), day));
	return agent_say(a, "file-refused", subject,
			 "What was read before stays in use: correct the file, the log says where.");
}

int agent_law_look(struct agent *a, bool *ret_is_new)
{
	struct law_news news;
	int r = 0;

	law_look(&a->law, agent_steady_ns(), today(), a->is_to_reload, &news);
	a->is_to_reload = false;
	*ret_is_new = news.is_any;
	/* What was not a duty yesterday may be one under the law that was read now. */
	if (news.is_read[LAW_REGIMES] || news.is_read[LAW_DECLARATIONS])
		a->duties_day = 0;
	for (int i = 0; r == 0 && i < LAW_FILES; i++)
		if (news.is_worth[i])
			r = say(a, (enum law_file)i);
	return r;
}
