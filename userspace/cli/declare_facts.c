// SPDX-License-Identifier: Apache-2.0
/* Facts that regimes ask for: a slip in a name would be a record that nothing ever looks at. */
#include "declare_facts.h"

#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/exit_code.h"
#include "../base/text.h"
#include "../core/regime.h"

#define NEAR_MAX 3 /* changed letters up to which a name may have been meant */

static bool is_listed(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

/* Each fact that a regime asks for, once; at most `room`. */
static size_t collect(const struct regimes *all, const char **names, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < regimes_count(all); i++) {
		const struct regime *g = regimes_at(all, i);

		for (size_t k = 0; k < g->requires_count && n < room; k++)
			if (!is_listed(names, n, g->requires[k].fact))
		names[n++] = g->requires[k].fact;
	}
	return n;
}

static void refuse(const char *fact, const char *const *names, size_t n, const char *dir)
{
	size_t nearest = NEAR_MAX + 1;
	char buf[600];
	struct text_out t = TEXT_OUT(buf);

	for (size_t i = 0; i < n; i++) {
		size_t far = text_distance(fact, names[i]);

		nearest = far < nearest ? far : nearest;
	}
	for (size_t i = 0; i < n; i++) {
		if (nearest <= NEAR_MAX && text_distance(fact, names[i]) != nearest)
			continue;
		text_add(&t, t.len ? ", " : "");
		text_add(&t, names[i]);
	}
	log_error("declare: no regime of %s asks for a fact '%s'; %s: %s (--new-fact if one to come does)",
		  dir, fact, nearest <= NEAR_MAX ? "the nearest" : "known ones", n ? buf : "none");
}

int declare_check_fact(const char *dir, const char *fact)
{
	_cleanup_(regimes_freep) struct regimes *all = NULL;
	struct error_text err = { 0 };
	const char *names[256];
	int r = regimes_load(dir, &all, &err);
	size_t n;

	if (r) {
		log_error("declare: %s", err.text[0] ? err.text : strerror(-r));
		log_error(
			"declare: whether a regime asks for the fact '%s' cannot be looked up: --regimes DIR",
			fact);
		return EXIT_FAILED;
	}
	n = collect(all, names, ARRAY_SIZE(names));
	if (is_listed(names, n, fact))
		return EXIT_OK;
	refuse(fact, names, n, dir);
	return EXIT_USAGE;
}
