// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/cleanup.h"
#include "../base/log.h"
#include "verbs.h"

#define WAIT_TRIES 100 /* of a tenth of a second */

uint64_t store_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int store_open(const char *dir, bool create, struct om_ledger **ret)
{
	struct error_text err = { 0 };
	unsigned flags = OM_LEDGER_KEEP | (create ? OM_LEDGER_CREATE : 0);
	int r = -EWOULDBLOCK;

	for (int i = 0; i < WAIT_TRIES && r == -EWOULDBLOCK; i++) {
		error_clear(&err);
		r = om_ledger_open(dir, flags, store_now_ns(), ret, &err);
		if (r == -EWOULDBLOCK)
			nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r;
}

int store_open_reader(const char *dir, struct om_ledger **ret)
{
	struct error_text err = { 0 };
	int r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, ret, &err);

	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r;
}

int store_print(json_t *o, bool compact)
{
	char *text = o ? json_dumps(o, compact ? JSON_COMPACT : JSON_INDENT(2)) : NULL;

	if (text)
		puts(text);
	free(text);
	json_decref(o);
	return text ? EXIT_OK : EXIT_FAILED;
}

int store_exit(int r)
{
	switch (r) {
	case 0:
		return EXIT_OK;
	case -EUCLEAN:
	case -ESTALE:
	case -EBADMSG:
		return EXIT_FINDING;
	case -EPERM:
	case -EACCES:
		return EXIT_NOPERM;
	case -EINVAL:
		return EXIT_USAGE;
	}
	return EXIT_FAILED;
}

int store_dispatch(const char *verb, const char *what, const struct store_act *acts, int argc, char **argv)
{
	for (const struct store_act *a = acts; argc > 1 && a->name; a++)
		if (!strcmp(argv[1], a->name))
			return a->run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--help")) {
		log_error("%s: no '%s': `opmeter %s --help` lists the acts", verb, argv[1], verb);
		return EXIT_USAGE;
	}
	printf("usage: opmeter %s ACT [OPTION ...]\n\n%s\n\n", verb, what);
	for (const struct store_act *a = acts; a->name; a++)
		printf("  %-10s %s\n", a->name, a->help);
	printf("  %-10s print this; `opmeter %s ACT --help` tells the rest\n", "--help", verb);
	return argc > 1 ? EXIT_OK : EXIT_USAGE;
}
