/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_CASE_VERBS_H
#define OPMETER_CLI_CASE_VERBS_H

/* What the files of `case` share. */

#include "../core/case_gather.h"
#include "../core/case_store.h"
#include "store.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif
#define RETENTION_DEFAULT OPMETER_DATADIR "/retention.yaml"

/* A store that was opened for writing and read. */
struct case_desk {
	struct om_ledger *ledger;
	struct om_case_store *store;
	const struct om_case *c; /* the case that is named, if one was */
	struct om_actor actor;
};
/* Says what is wrong. id NULL: no case is named. by NULL: only to look. 0 or -errno. */
int case_desk_open(struct case_desk *d, const char *dir, bool create, const char *id, const char *by);
void case_desk_done(struct case_desk *d);
#define _cleanup_desk_ _cleanup_(case_desk_done)
/* The exit code of r, after a sentence. */
int case_say(const struct error_text *err, int r);

/* case_speak.c: acts that are words of a person alone. argv[0] is the act. */
int case_speak(int argc, char **argv);
int case_take(int argc, char **argv);
int case_gather(int argc, char **argv);
int case_list(int argc, char **argv);
int case_show(int argc, char **argv);
void case_print(const json_t *record); /* for a reviewer, on stdout */
int case_erase(int argc, char **argv);

#endif
