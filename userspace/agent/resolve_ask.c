// SPDX-License-Identifier: Apache-2.0
/* The child's side of an asking: reads the rules, asks one source, says what it was told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>

#include "../base/cleanup.h"
#include "../base/exit_code.h"
#include "resolve_internal.h"

bool resolve_is_asked(const struct resolve_asking *a, const char *key)
{
	for (size_t i = 0; i < a->count; i++)
		if (!strcmp(a->keys[i], key))
			return true;
	return false;
}

int resolve_add(const struct om_identity_rules *rules, struct om_facts *f, const char *kind, const char *key,
		const char *value)
{
	char name[OM_FACT_NAME_MAX];
	int n = snprintf(name, sizeof(name), "%s/%s", kind, key);

	if (n >= (int)sizeof(name) || (f->count >= OM_FACTS_MAX / 2 && !om_identity_wants(rules, name))) {
		f->cut++;
		return 0;
	}
	/* An empty key is no label of anybody's. */
	n = om_facts_add(f, name, value);
	return n == -ENOMEM ? n : 0;
}

static enum resolve_end put_line(struct resolve_asking *a, char *line)
{
	bool is_bad = !line || fprintf(a->out, "%s\n", line) < 0;

	free(line);
	if (!is_bad)
		return RESOLVE_ANSWERED;
	error_set(&a->why, 0, "out of memory");
	return RESOLVE_UNREACHABLE;
}

enum resolve_end resolve_say(struct resolve_asking *a, const char *key, const struct om_facts *f)
{
	return put_line(a, resolve_line_fact(key, f));
}

/* What parses a server's answers needs no right of root's. Programs of Slurm are started as root's own. */
static void drop_rights(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_capset, &header, none);
}

int resolve_ask(const char *source, const char *rules_path, char **keys, size_t count, FILE *out)
{
	static const struct {
		const char *name;
		enum resolve_end (*ask)(struct resolve_asking *a);
		bool needs_rights;
	} sources[] = {
		{ "kubernetes", resolve_ask_kubernetes, false },
		{ "slurm", resolve_ask_slurm, true },
		{ "docker", resolve_ask_docker, false },
	};
	struct resolve_asking a = { .keys = keys, .count = count, .out = out };
	_cleanup_(om_identity_freep) struct om_identity_rules *rules = NULL;
	enum resolve_end end = RESOLVE_BAD;

	if (om_identity_load(rules_path, &rules, &a.why) == 0) {
		a.rules = rules;
		for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
			if (strcmp(sources[i].name, source))
				continue;
			if (!sources[i].needs_rights)
				drop_rights();
			end = sources[i].ask(&a);
		}
	}
	put_line(&a, resolve_line_end(end, a.why.text));
	return fflush(out) ? EXIT_FAILED : end == RESOLVE_ANSWERED ? EXIT_OK : EXIT_FAILED;
}
