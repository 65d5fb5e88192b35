/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_STORE_H
#define OPMETER_CLI_STORE_H

/* What the verbs about cases, evidence and reports share. */

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "../core/ledger.h"

#define STORE_DEFAULT "/var/lib/opmeter/cases"
#define KEYS_DEFAULT "/var/lib/opmeter/keys"

uint64_t store_now_ns(void);
/* As the writer: waits some seconds for another to be done. Says what is wrong. create: begins one. */
int store_open(const char *dir, bool create, struct om_ledger **ret);
int store_open_reader(const char *dir, struct om_ledger **ret);
/* One line of JSON, for programs, or indented. Takes the reference. */
int store_print(json_t *o, bool compact);
/* The exit code for an error that was said. */
int store_exit(int r);

struct store_act {
	const char *name, *help;
	int (*run)(int argc, char **argv);
};
/* Finds argv[1] among acts (ended by a NULL name) and runs it; or helps. */
int store_dispatch(const char *verb, const char *what, const struct store_act *acts, int argc, char **argv);

#endif
