/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_OWNERS_VERBS_H
#define OPMETER_CLI_OWNERS_VERBS_H

/* What the acts of `opmeter owners` share. Each returns an enum exit_code. */
#include <stdint.h>

#include "../base/exit_code.h"
#include "../core/owner_store.h"

#define OWNERS_DEFAULT_DB "/var/lib/opmeter/owners.db"

int owners_import(int argc, char **argv);
int owners_list(int argc, char **argv);
int owners_show(int argc, char **argv);
int owners_bind(int argc, char **argv);
int owners_suggest(int argc, char **argv);
int owners_screen(int argc, char **argv);
int owners_check(int argc, char **argv);

/* Logs and returns the exit code of an error. */
int owners_failed(const char *db, int r, const struct error_text *err);
int32_t owners_today(void);
uint64_t owners_now_s(void);
/* "" for an open end. */
const char *owners_day(int32_t day, char buf[16]);
/* An option's date; EXIT_USAGE is logged. 0 or -EINVAL; *ret stays if text is NULL. */
int owners_take_day(const char *option, const char *text, int32_t *ret);
/* The lists whose owners' shares are summed up, NULL-terminated. */
extern const char *const owners_share_lists[];

#endif
