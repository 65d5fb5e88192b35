// SPDX-License-Identifier: Apache-2.0
/* `owners`: legal entities, what holds between them, who is listed, and which tenant is which. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "owners_verbs.h"
#include "verbs.h"

const char *const owners_share_lists[] = { "EL", "MEU", "SDN", NULL };

uint64_t owners_now_s(void)
{
	return (uint64_t)time(NULL);
}

int32_t owners_today(void)
{
	return (int32_t)(time(NULL) / 86400);
}

const char *owners_day(int32_t day, char buf[16])
{
	if (day != INT32_MIN && day != INT32_MAX)
		return date_format(day, buf);
	buf[0] = '\0';
	return buf;
}

int owners_take_day(const char *option, const char *text, int32_t *ret)
{
	if (!text)
		return 0;
	if (date_parse(text, ret) == 0)
		return 0;
	log_error("--%s: '%s' is no date: YYYY-MM-DD", option, text);
	return -EINVAL;
}

int owners_failed(const char *db, int r, const struct error_text *err)
{
	if (err && err->text[0])
		log_error("%s", err->text);
	else
		log_error("%s: %s", db, strerror(-r));
	if (r == -EACCES || r == -EPERM || r == -EROFS)
		return EXIT_NOPERM;
	return r == -EINVAL || r == -ENOENT || r == -EPROTONOSUPPORT || r == -EEXIST ? EXIT_USAGE
										     : EXIT_FAILED;
}

int verb_owners(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
		const char *help;
	} acts[] = {
		{ "import", owners_import, "take a file of entities, relationships, exceptions or listings" },
		{ "list", owners_list, "the tenants, their entities and how they stand" },
		{ "show", owners_show, "a tenant or an entity: the path up, with every fact's source" },
		{ "bind", owners_bind, "this tenant is that entity, says a person" },
		{ "suggest", owners_suggest,
		  "entities with a name like this one, for a person to choose from" },
		{ "screen", owners_screen, "hits on lists, and a person's word about one" },
		{ "check", owners_check, "what is imported, and what is in doubt" },
	};

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(acts); i++)
		if (!strcmp(argv[1], acts[i].name))
			return acts[i].run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--help")) {
		log_error("owners: no '%s': import, list, show, bind, suggest, screen or check", argv[1]);
		return EXIT_USAGE;
	}
	printf("usage: opmeter owners ACT [OPTION ...]\n\nLegal entities, who holds them, and which tenant "
	       "is which.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		printf("  %-8s %s\n", acts[i].name, acts[i].help);
	printf("  --help   print this; `opmeter owners ACT --help` tells the rest\n");
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
